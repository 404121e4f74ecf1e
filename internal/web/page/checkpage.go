package page

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
)

// checkPage shows a check as it goes, and then what came of it.
type checkPage struct {
	Frame   frame
	Watch   bool // it goes on
	Results []banner
	Steps   []step
	Actions []button
}

// checkEvery is how often a page of something that goes on is asked for again, in seconds.
const checkEvery = 1

// showCheck shows a check. A launch or a change that has passed without remarks leads to its Current.
func showCheck(v *visit) error {
	c, err := v.api.GetCheck(v, v.r.PathValue("check"))
	if err != nil {
		return v.said(err)
	}
	at := v.path("/currents/" + c.Connector)
	if c.State == "passed" && len(c.Notes) == 0 {
		switch c.For {
		case "launch":
			return v.done(at, "page.form_launched")
		case "edit":
			return v.done(at+"/settings", "page.form_saved")
		case "export_save":
			return v.linkSaved(c)
		}
	}
	exports := c.For == "export_test" || c.For == "export_save"
	here, crumbs := "/currents", []crumb{{v.t("page.rail_currents"), v.path("/currents")}}
	if exports {
		here, crumbs = "/partners", []crumb{{v.t("page.rail_partners"), v.path("/partners")}, {partnerName, v.path("/partners/s3")}}
	}
	title := v.t("page.form_check_title")
	p := checkPage{Frame: v.frame(title, here), Steps: v.steps(c)}
	p.Frame.Crumbs = append(crumbs, crumb{title, ""})
	for _, n := range c.Notes {
		b := banner{Tone: warn, Icon: "triangle-alert", Title: n.Message}
		if n.Hint != "" {
			b.Texts = []string{n.Hint}
		}
		p.Results = append(p.Results, b)
		if len(n.Remedy) > 0 {
			p.Steps = append(p.Steps, step{State: "skipped", Title: v.t("page.form_remedy"), Text: n.Message, Remedy: v.remedy(n.Remedy)})
		}
	}
	switch c.State {
	case "passed":
		p.Frame.Says = &says{good, "circle-check", v.t(cmp.Or(passedSays[c.For], "page.form_check_says"))}
		p.Actions = []button{{Text: v.t("page.to_current"), Kind: "primary", Href: at}}
		if c.For == "launch" {
			p.Actions = append(p.Actions, button{Text: v.t("page.send_test_events"), Icon: "send", Href: at + "/test-events", Post: true})
		}
	case "failed":
		p.Frame.Says = &says{bad, "circle-x", v.t(cmp.Or(failedSays[c.For], "page.form_check_failed"))}
		p.Results = append(p.Results, *v.failure(c))
		p.Actions = v.afterFailure(c)
	default:
		p.Watch, p.Frame.Refresh = true, checkEvery
		checking := "page.form_checking_says"
		if c.ByRole {
			checking = "page.form_checking_role"
		}
		p.Frame.Says = &says{plain, "loader-circle", v.t(checking)}
		if c.Note != "" {
			b := banner{Tone: info, Icon: "info", Title: c.Note}
			p.Frame.Says = &says{plain, "circle-dashed", v.t("page.form_check_waits")}
			if c.Behind != "" {
				b.Actions = []button{{Text: v.t("page.form_check_first"), Href: v.path("/checks/" + c.Behind)}}
			}
			p.Results = append(p.Results, b)
		}
	}
	if exports {
		v.exportCheck(c, &p)
	}
	v.show(http.StatusOK, "check", p)
	return nil
}

// underWay says which checks of a Current have not ended, and leads to their steps.
func (v *visit) underWay(connector string) (out []banner, err error) {
	open, err := collect(v, v.api.ListOpenChecks(v, v.place.Workspace, connector))
	for _, c := range open {
		title := "page.under_way_check"
		if c.For == "edit" {
			title = "page.under_way_edit"
		}
		b := banner{Tone: info, Icon: "loader-circle", Title: v.t(title), Texts: []string{v.t("page.under_way_since", "ago", v.moment(c.CreatedAt).Text)},
			Actions: []button{{Text: v.t("page.under_way_steps"), Href: v.path("/checks/" + c.ID)}}}
		if c.Note != "" {
			b.Texts = append(b.Texts, c.Note)
		}
		out = append(out, b)
	}
	return out, err
}

// passedSays say what has come of a check.
var passedSays = map[string]string{"launch": "page.form_launched", "edit": "page.form_saved", "export_save": "page.form_saved"}

// failedSays say what a check that has failed leaves as it is.
var failedSays = map[string]string{"launch": "page.form_launch_failed", "edit": "page.form_edit_failed", "export_save": "page.form_edit_failed"}

// afterFailure offers what to do about a check that has failed: above all, the form as it was sent.
func (v *visit) afterFailure(c client.Check) []button {
	back := button{Text: v.t("page.form_back"), Kind: "primary"}
	at := v.path("/currents/" + c.Connector)
	switch {
	case !v.may("editor"):
		return nil
	case c.For == "launch":
		back.Href = v.path("/currents/new?check=" + c.ID)
	case c.For == "edit" && c.Asked != nil && c.Asked.Name == nil:
		back.Href = at + "/credentials?check=" + c.ID
	case c.For == "edit":
		back.Href = at + "/settings?check=" + c.ID
	case c.For == "check":
		return []button{{Text: v.t("page.form_check_again"), Kind: "primary", Href: at + "/check", Post: true}, {Text: v.t("page.form_rotate"), Icon: "key-round", Href: at + "/credentials"}, {Text: v.t("page.to_current"), Kind: "quiet", Href: at}}
	default:
		return nil
	}
	return []button{back}
}

// stepActions are those of a check, in the order in which they are made, and what they are called.
var stepActions = []struct{ action, key string }{
	{"sts:AssumeRole", "page.form_step_role"}, {"s3:GetBucketLocation", "page.form_step_location"}, {"s3:ListBucket", "page.form_step_list"},
	{"s3:PutObject", "page.form_step_put"}, {"s3:GetObject", "page.form_step_get"}, {"s3:DeleteObject", "page.form_step_delete"},
}

// stepTitle is what a step is called.
func (v *visit) stepTitle(action string) string {
	for _, s := range stepActions {
		if s.action == action {
			return v.t(s.key)
		}
	}
	return action
}

// steps gives the steps of a check, those that are still to come too: the first is a role's, the last is that of exports.
func (v *visit) steps(c client.Check) []step {
	var out []step
	made := map[string]bool{}
	for _, s := range c.Steps {
		out, made[s.Action] = append(out, v.step(s)), true
	}
	if c.State == "waiting" || c.State == "running" {
		has := map[string]bool{"sts:AssumeRole": c.ByRole, "s3:DeleteObject": c.For == "export_test" || c.For == "export_save"}
		for _, s := range stepActions {
			if may, sometimes := has[s.action]; !made[s.action] && (may || !sometimes) {
				out = append(out, step{State: "waiting", Title: v.t(s.key), Mono: s.action})
			}
		}
	}
	return out
}

// step says one step of a check, with what to put in place where that would mend it.
func (v *visit) step(s client.CheckStep) step {
	out := step{State: s.State, Title: v.stepTitle(s.Action), Mono: s.Action, Text: s.Message, Hint: s.Hint, Said: s.Said, Remedy: v.remedy(s.Remedy)}
	if s.LeftSecs > 0 {
		out.Left = v.t("page.form_left", "time", v.lang.Duration(time.Duration(s.LeftSecs*float64(time.Second))))
	}
	return out
}

// remedy gives what to put in place, in each format; nil if there is nothing.
func (v *visit) remedy(texts map[string]string) *formatted {
	v.remedies++
	out := &formatted{Name: fmt.Sprintf("remedy-%d", v.remedies), Legend: v.t("page.form_remedy")}
	for _, f := range formats {
		if text := texts[f.name]; text != "" {
			out.Items = append(out.Items, formattedItem{f.name, len(out.Items) == 0, code{out.Name + "-" + f.name, f.text, text}})
		}
	}
	if len(out.Items) == 0 {
		return nil
	}
	return out
}

// failedFields are the fields that a check's problems are about, by problem.
var failedFields = map[string]string{
	"no_such_bucket": "destination.bucket", "access_denied": "destination.bucket", "all_denied": "destination.bucket", "kms_denied": "encryption", "object_locked": "destination.bucket",
	"unknown_key": "destination.access_key_id", "expired_token": "destination.access_key_id", "bad_secret": "destination.secret_access_key",
	"role_refused": "destination.role_arn", "wrong_region": "destination.region", "address_forbidden": "destination.endpoint", "network": "destination.endpoint",
	"not_implemented": "destination.endpoint", "bad_request": "destination.endpoint",
}

// failure says why a check has failed, without its steps.
func (v *visit) failure(c client.Check) *banner {
	b := &banner{Tone: bad, Icon: "circle-x", Title: v.t("page.check_failed")}
	if c.Error != nil {
		b.Title = cmp.Or(c.Error.Message, v.t("page.form_wrong"))
		if left := v.refusal(); c.Error.Code == string(fault.Stale) && fault.Is(left, fault.Stale) {
			b.Title = v.message(left)
		}
		if c.Error.Hint != "" {
			b.Texts = append(b.Texts, c.Error.Hint)
		}
	}
	return b
}

// whyFailed says why a check has failed, and adds to problems what is wrong with the fields of its form. What is wrong with
// one alone stands there, with its advice.
func (v *visit) whyFailed(c client.Check, problems map[string]string) *banner {
	b := v.failure(c)
	if c.Error != nil {
		for _, f := range c.Error.Fields {
			switch {
			case isStep(f.Field):
			case f.Message == c.Error.Message:
				problems[f.Field] = strings.TrimSpace(f.Message + " " + c.Error.Hint)
				b.Title, b.Texts = v.t("page.form_wrong"), nil
			default:
				problems[f.Field] = f.Message
			}
		}
	}
	for _, s := range c.Steps {
		if s.State != "failed" {
			continue
		}
		if field := failedFields[s.Problem]; field != "" && problems[field] == "" {
			problems[field] = s.Message
		}
		b.Texts = append(b.Texts, v.stepTitle(s.Action)+": "+s.Message)
	}
	return b
}

// isStep reports whether a check's problem is about a step, not about a field.
func isStep(name string) bool {
	for _, s := range stepActions {
		if s.action == name {
			return true
		}
	}
	return false
}
