package page

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
)

// currentActionPages do something with a Current.
func currentActionPages() []page {
	const at = "/w/{workspace}/currents/{current}"
	return []page{
		{"POST " + at + "/check", false, actOn(checkCurrent)},
		{"POST " + at + "/test-events", false, actOn(sendTestEvents)},
		{"POST " + at + "/pause", false, actOn(pauseCurrent)},
		{"POST " + at + "/resume", false, actOn(resumeCurrent)},
		{"GET " + at + "/upgrade", false, editors(showUpgrade)},
		{"POST " + at + "/upgrade", false, actOn(upgradeCurrent)},
		{"GET " + at + "/delete", false, editors(deleteCurrent)},
		{"POST " + at + "/delete", false, editors(deleteCurrent)},
		{"GET " + at + "/replay", false, editors(showReplay)},
		{"POST " + at + "/replay", false, startReplay},
		{"GET /w/{workspace}/jobs/{job}", false, showJob},
	}
}

// actOn does something with a Current, and goes where that is seen, or says on the Current's page what came of it.
func actOn(do func(v *visit, id string) (to, said string, err error)) func(v *visit) error {
	return func(v *visit) error {
		id := v.r.PathValue("current")
		to, said, err := do(v, id)
		if err != nil {
			return v.said(err)
		}
		if to = cmp.Or(to, v.path("/currents/"+id)); said != "" {
			return v.done(to, said)
		}
		v.redirect(to)
		return nil
	}
}

func pauseCurrent(v *visit, id string) (to, said string, err error) {
	_, err = v.api.PauseConnector(v, v.place.Workspace, id)
	return "", "page.form_paused", err
}

func resumeCurrent(v *visit, id string) (to, said string, err error) {
	_, err = v.api.ResumeConnector(v, v.place.Workspace, id)
	return "", "page.form_resumed", err
}

func upgradeCurrent(v *visit, id string) (to, said string, err error) {
	_, err = v.api.UpgradeConnector(v, v.place.Workspace, id)
	return "", "page.form_upgraded", err
}

func checkCurrent(v *visit, id string) (to, said string, err error) {
	c, err := v.api.CheckConnector(v, v.place.Workspace, id)
	return v.path("/checks/" + c.ID), "", err
}

func sendTestEvents(v *visit, id string) (to, said string, err error) {
	j, err := v.api.SendTestEvents(v, v.place.Workspace, id)
	return v.path("/jobs/" + j.ID), "", err
}

// below gives the frame of a page below a Current's.
func (v *visit) below(title string) (client.Connector, frame, error) {
	c, f, err := v.current("")
	if err == nil {
		err = v.acts(c)
	}
	if err != nil {
		return c, f, err
	}
	g := v.frame(title, "/currents")
	g.Told = f.Told
	g.Crumbs = []crumb{f.Crumbs[0], {c.Name, v.path("/currents/" + c.ID)}, {title, ""}}
	return c, g, nil
}

// acts refuses to show the form of an action on a Current that is deleted, as the API refuses the action. One that is
// sent goes on: who deletes twice is answered twice.
func (v *visit) acts(c client.Connector) error {
	if c.Status != "deleted" || v.r.Method == http.MethodPost {
		return nil
	}
	return &fault.Error{Code: fault.NotFound, Params: fault.Params{"name": c.Name},
		Msg:  fault.Message{Key: "control.connector_deleted", Text: "The Current {name} is deleted."},
		Hint: fault.Message{Key: "control.connector_deleted_hint", Text: "It does not come back; a new one may take its name and folder."}}
}

func showUpgrade(v *visit) error {
	c, f, err := v.below(v.t("page.form_upgrade"))
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "form", formPage{f, form{Intro: []string{v.t("page.form_upgrade_text", "name", c.Name)}, Buttons: []button{
		{Text: v.t("page.form_upgrade"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: v.path("/currents/" + c.ID)}}}})
	return nil
}

func deleteCurrent(v *visit) error {
	c, f, err := v.below(v.t("page.form_delete"))
	if err != nil {
		return err
	}
	w, err := v.api.GetWaiting(v, v.place.Workspace, c.ID)
	if err != nil {
		return v.said(err)
	}
	texts := []string{v.t("page.form_delete_none"), v.t("page.form_delete_stays", "bucket", c.Destination.Bucket)}
	if w.Events > 0 {
		texts[0] = v.t("page.form_delete_waiting", "n", w.Events)
	}
	return v.confirm(confirmation{Frame: f, Name: c.Name, Texts: texts, Button: v.t("page.form_delete"), Back: v.path("/currents/" + c.ID)}, func() error {
		if _, err := v.api.DeleteConnector(v, v.place.Workspace, c.ID); err != nil {
			return v.said(err)
		}
		return v.done(v.path("/currents"), "page.form_deleted", "name", c.Name)
	})
}

// timeForm is how a browser gives a time that was chosen, in no zone: on this page it is UTC, as folders are.
const timeForm = "2006-01-02T15:04"

func showReplay(v *visit) error {
	return v.replayForm(http.StatusOK, v.now.UTC().Add(-24*time.Hour).Truncate(time.Hour).Format(timeForm), "", v.r.URL.Query().Get("dropped") != "", map[string]string{}, nil)
}

func (v *visit) replayForm(status int, from, until string, dropped bool, problems map[string]string, wrong *banner) error {
	c, f, err := v.below(v.t("page.form_replay"))
	if err != nil {
		return err
	}
	v.show(status, "form", formPage{f, form{Intro: []string{v.t("page.form_replay_text")}, Problem: wrong, Parts: []part{
		{Choices: &choices{Name: "dropped", Legend: v.t("page.form_replay_what"), Options: []choice{
			{"", v.t("page.form_replay_files"), v.t("page.form_replay_files_text"), !dropped},
			{"on", v.t("page.form_replay_dropped"), v.t("page.form_replay_dropped_text"), dropped}}}},
		{Pair: []field{
			{Name: "from", Label: v.t("page.form_from"), Hint: v.t("page.form_from_hint"), Type: "datetime-local", Value: from, Error: problems["from"], Required: true},
			{Name: "until", Label: v.t("page.form_until"), Hint: v.t("page.form_until_hint"), Type: "datetime-local", Value: until, Error: problems["until"]},
		}}},
		Buttons: []button{{Text: v.t("page.form_replay_start"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: v.path("/currents/" + c.ID)}}}})
	return nil
}

func startReplay(v *visit) error {
	typed, problems := map[string]string{}, map[string]string{}
	at := map[string]time.Time{}
	for _, name := range []string{"from", "until"} {
		typed[name] = strings.TrimSpace(v.form(name))
		t, err := time.Parse(timeForm, typed[name][:min(len(typed[name]), len(timeForm))]) // some browsers add seconds
		if err != nil && (typed[name] != "" || name == "from") {
			problems[name] = v.t("page.form_time_wrong")
		}
		at[name] = t
	}
	dropped := v.form("dropped") != ""
	if len(problems) > 0 {
		return v.replayForm(http.StatusUnprocessableEntity, typed["from"], typed["until"], dropped, problems, &banner{Tone: bad, Icon: "circle-alert", Title: v.t("page.form_wrong")})
	}
	r := client.Replay{From: at["from"], Dropped: dropped}
	if until := at["until"]; !until.IsZero() {
		r.Until = &until
	}
	j, err := v.api.ReplayConnector(v, v.place.Workspace, v.r.PathValue("current"), r)
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		return v.replayForm(again(err), typed["from"], typed["until"], dropped, v.problems(err), v.wrong(err))
	}
	v.redirect(v.path("/jobs/" + j.ID))
	return nil
}
