package page

import (
	_ "embed" // the examples
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/client"
)

// noticeKinds are those that a workspace's webhook is called with, each in a few words. A test holds them to
// control.NoticeKinds.
var noticeKinds = []struct {
	key   string
	kinds []struct{ name, text string }
}{
	{"page.kinds_delivery", []struct{ name, text string }{
		{"failing", "page.kind_failing"}, {"half_time", "page.kind_half_time"}, {"last_call", "page.kind_last_call"}, {"dropped", "page.kind_dropped"}, {"resumed", "page.kind_resumed"}, {"slow", "page.kind_slow"},
		{"pause_half", "page.kind_pause_half"}, {"pause_last", "page.kind_pause_last"}, {"hour_complete", "page.kind_hour_complete"}}},
	{"page.kinds_checks", []struct{ name, text string }{{"check_passed", "page.kind_check_passed"}, {"check_failed", "page.kind_check_failed"}}},
	{"page.rail_exports", []struct{ name, text string }{{"export_ready", "page.kind_export_ready"}, {"export_failed", "page.kind_export_failed"}, {"schedule_paused", "page.kind_schedule_paused"}}},
	{"page.kinds_keys", []struct{ name, text string }{{"key_unused", "page.kind_key_unused"}, {"key_expiring", "page.kind_key_expiring"}, {"key_expired", "page.kind_key_expired"}}},
}

// How a call's signature is checked, as in docs/notifications.md.
var (
	//go:embed verify.py
	verifyPython string
	//go:embed verify.go.txt
	verifyGo string
)

func listWebhooks(v *visit) error {
	all, err := collect(v, v.api.ListWebhooks(v, v.place.Workspace))
	if err != nil {
		return err
	}
	create := button{Text: v.t("page.create_webhook"), Kind: "primary", Icon: "plus", Href: v.path("/settings/webhooks/new")}
	f := v.settings("/webhooks")
	if f.Says = (&says{Text: v.t("page.webhooks_say", "n", len(all))}); len(all) == 0 {
		f.Says.Text = v.t("page.webhooks_say_none")
	}
	t := table{Columns: []column{{v.t("page.address"), false}, {v.t("page.notices_sent"), false}, {v.t("page.created"), false}}, Empty: &empty{Title: v.t("page.webhooks_none"), Text: v.t("page.webhooks_none_text")}}
	if v.may("editor") {
		if len(all) == 0 {
			t.Empty.Action = &create
		} else {
			f.Actions = []button{create}
		}
	}
	for _, w := range all {
		t.Rows = append(t.Rows, row{[]cell{{Text: w.URL, Mono: true, Href: v.path("/settings/webhooks/" + w.ID)}, {Text: v.kindsOf(w)}, {Time: v.moment(w.CreatedAt)}}})
	}
	v.show(http.StatusOK, "list", listPage{Frame: f, Table: t})
	return nil
}

// kindsOf says with which notices a webhook is called.
func (v *visit) kindsOf(w client.Webhook) string {
	var names []string
	for _, g := range noticeKinds {
		for _, k := range g.kinds {
			if slices.Contains(w.Kinds, k.name) {
				names = append(names, v.t(k.text))
			}
		}
	}
	if len(names) == 0 {
		return v.t("page.all_kinds")
	}
	return strings.Join(names, " · ")
}

func newWebhook(v *visit) error {
	if !v.may("editor") {
		return v.forbidden()
	}
	return v.webhookAgain(client.WebhookCreate{}, true, nil)
}

// webhookAgain shows the form of a new webhook, as typed, and what was wrong with it.
func (v *visit) webhookAgain(typed client.WebhookCreate, all bool, wrong error) error {
	problems := v.problems(wrong)
	f := form{Problem: v.wrong(wrong), Intro: []string{v.t("page.webhook_text")}, Buttons: []button{{Text: v.t("page.create_webhook"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: v.path("/settings/webhooks")}}}
	t := &tree{Name: "kinds", Legend: v.t("page.notices_sent"), Search: v.t("page.kind_search"), Error: gathered(problems, "kinds")}
	for _, g := range noticeKinds {
		branch := treeGroup{Label: v.t(g.key)}
		for _, k := range g.kinds {
			c := check{Name: "kinds", Value: k.name, Label: v.t(k.text), On: slices.Contains(typed.Kinds, k.name)}
			branch.Open = branch.Open || c.On
			branch.Items = append(branch.Items, c)
		}
		t.Groups = append(t.Groups, branch)
	}
	f.Parts = []part{
		{Field: &field{Name: "url", Label: v.t("page.address"), Hint: v.t("page.address_hint"), Type: "url", Value: typed.URL, Error: problems["url"], Placeholder: "https://hooks.example.com/millrace", Mono: true, Required: true}},
		{Check: &check{Name: "all", Label: v.t("page.all_kinds"), Hint: v.t("page.all_kinds_hint"), On: all, Switch: true}},
		{Tree: t},
	}
	f.unplaced(problems)
	v.show(statusOf(wrong), "form", formPage{v.setting("/webhooks", v.t("page.create_webhook")), f})
	return nil
}

func createWebhook(v *visit) error {
	in := client.WebhookCreate{URL: v.form("url")}
	all := v.form("all") != ""
	chosen := v.r.PostForm["kinds"]
	var noKind error
	switch {
	case all:
	case len(chosen) == 0:
		noKind = wrongField("kinds", "page.no_kind", "Choose at least one notice, or all.")
		in.Kinds = []string{""} // to the API no kinds are all, and this is none
	default:
		in.Kinds = chosen
	}
	made, err := v.api.CreateWebhook(v, v.place.Workspace, in)
	if err != nil {
		if err = instead(v.said(err), noKind); !isInput(err) {
			return err
		}
		in.Kinds = chosen
		return v.webhookAgain(in, all, err)
	}
	v.show(http.StatusCreated, "sections", sectionsPage{Frame: v.setting("/webhooks", v.t("page.webhook")), Sections: append([]section{{
		Banner: &banner{Tone: good, Icon: "circle-check", Title: v.t("page.webhook_made"), Texts: []string{v.t("page.webhook_made_text")}, Actions: []button{{Text: v.t("page.to_webhook"), Href: v.path("/settings/webhooks/" + made.ID)}}},
		Line:   &line{"secret", v.t("page.secret"), made.Secret},
	}}, v.signature())})
	return nil
}

// signature says how a receiver knows that a call is ours.
func (v *visit) signature() section {
	return section{Title: v.t("page.signature"), Text: v.t("page.signature_text"), Codes: []code{{"verify-python", "Python", verifyPython}, {"verify-go", "Go", verifyGo}}}
}

// webhook finds the webhook of the address.
func (v *visit) webhook() (client.Webhook, error) {
	all, err := collect(v, v.api.ListWebhooks(v, v.place.Workspace))
	if err != nil {
		return client.Webhook{}, err
	}
	i := slices.IndexFunc(all, func(w client.Webhook) bool { return w.ID == v.r.PathValue("webhook") })
	if i < 0 {
		return client.Webhook{}, nothingHere(v)
	}
	return all[i], nil
}

func showWebhook(v *visit) error {
	w, err := v.webhook()
	if err != nil {
		return err
	}
	f := v.setting("/webhooks", v.t("page.webhook"))
	if v.may("editor") {
		f.More = &menu{Label: v.t("page.more_actions"), Icon: "ellipsis", Items: []menuItem{
			{Text: v.t("page.delete_webhook"), Icon: "trash-2", Danger: true, Href: v.path("/settings/webhooks/" + w.ID + "/delete")},
		}}
	}
	about := section{Pairs: pairs{{Name: v.t("page.address"), Text: w.URL, Mono: true}, {Name: v.t("page.notices_sent"), Text: v.kindsOf(w)}, {Name: v.t("page.created"), Time: v.moment(w.CreatedAt)}}}
	if v.may("editor") {
		about.Form = &form{Action: v.path("/settings/webhooks/" + w.ID + "/test"), Buttons: []button{{Text: v.t("page.test_webhook"), Kind: "primary", Icon: "send"}}}
	}
	v.show(http.StatusOK, "sections", sectionsPage{Frame: f, Sections: []section{about, v.signature()}})
	return nil
}

func testWebhook(v *visit) error {
	w, err := v.webhook()
	if err != nil {
		return err
	}
	came, err := v.api.TestWebhook(v, v.place.Workspace, w.ID)
	if err != nil {
		return v.said(err)
	}
	to := v.path("/settings/webhooks/" + w.ID)
	switch {
	case came.OK:
		return v.done(to, "page.told_taken", "address", w.URL)
	case came.Status != 0:
		return v.failed(to, "page.told_untaken", "status", strconv.Itoa(came.Status))
	}
	return v.failed(to, "page.told_unreached")
}

func deleteWebhook(v *visit) error {
	if !v.may("editor") {
		return v.forbidden()
	}
	w, err := v.webhook()
	if err != nil {
		return err
	}
	return v.confirm(confirmation{
		Frame: v.setting("/webhooks", v.t("page.delete_webhook")), Name: w.URL, Texts: []string{v.t("page.delete_webhook_text")}, Button: v.t("page.delete_webhook"), Back: v.path("/settings/webhooks/" + w.ID),
	}, func() error {
		if err := v.said(v.api.DeleteWebhook(v, v.place.Workspace, w.ID)); err != nil {
			return err
		}
		return v.done(v.path("/settings/webhooks"), "page.told_webhook_deleted", "address", w.URL)
	})
}
