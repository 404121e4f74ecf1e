package page

import (
	"net/http"

	"github.com/millrace/millrace/client"
)

// checkPage shows a check as it goes, and then what came of it.
type checkPage struct {
	Frame   frame
	Watch   bool // it goes on
	Steps   []step
	Results []banner
	Actions []button
}

// checkEvery is how often a page of something that goes on is asked for again, in seconds.
const checkEvery = 1

// formats are those of policies, in the order in which they are shown.
var formats = []struct{ name, text string }{{"json", "JSON"}, {"cli", "AWS CLI"}, {"terraform", "Terraform"}, {"cloudformation", "CloudFormation"}}

// showCheck shows a check. A launch that has passed leads to its Current.
func showCheck(v *visit) error {
	c, err := v.api.GetCheck(v, v.r.PathValue("check"))
	if err != nil {
		return v.said(err)
	}
	if c.State == "passed" && c.Connector != "" && len(c.Notes) == 0 {
		v.redirect(v.path("/currents/" + c.Connector))
		return nil
	}
	p := checkPage{Frame: v.frame(v.t(checkTitles[c.State]), "/currents")}
	p.Frame.Crumbs = []crumb{{v.t("page.rail_currents"), v.path("/currents")}, {p.Frame.Title, ""}}
	for _, s := range c.Steps {
		p.Steps = append(p.Steps, v.step(s))
	}
	for _, n := range c.Notes {
		p.Results = append(p.Results, banner{Tone: warn, Icon: "triangle-alert", Title: n.Message})
	}
	switch c.State {
	case "passed":
		p.Results = append(p.Results, banner{Tone: good, Icon: "circle-check", Title: v.t("page.check_passed")})
		p.Actions = []button{{Text: v.t("page.to_current"), Kind: "primary", Href: v.path("/currents/" + c.Connector)}}
	case "failed":
		b := banner{Tone: bad, Icon: "circle-x", Title: v.t("page.check_failed")}
		if c.Error != nil {
			b.Title, b.Texts = c.Error.Message, []string{c.Error.Hint}
		}
		p.Results = append(p.Results, b)
		p.Actions = []button{{Text: v.t("page.try_again"), Kind: "primary", Href: v.path("/currents/new")}}
	default:
		p.Watch, p.Frame.Refresh = true, checkEvery
		if c.Note != "" {
			p.Results = append(p.Results, banner{Tone: info, Icon: "info", Title: c.Note})
		}
	}
	if c.For == "export_test" || c.For == "export_save" {
		if answered, err := v.exportCheck(c, &p); answered {
			return err
		}
	}
	v.show(http.StatusOK, "check", p)
	return nil
}

var checkTitles = map[string]string{"waiting": "page.checking", "running": "page.checking", "passed": "page.check_passed", "failed": "page.check_failed"}

// step says one step of a check, with what to put in place where that would mend it.
func (v *visit) step(s client.CheckStep) step {
	out := step{State: s.State, Title: s.Action, Text: s.Message, Hint: s.Hint}
	for _, f := range formats {
		if text := s.Remedy[f.name]; text != "" {
			out.Remedies = append(out.Remedies, code{"remedy-" + s.Action + "-" + f.name, f.text, text})
		}
	}
	return out
}
