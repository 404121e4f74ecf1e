package page

import (
	"net/http"
	"time"

	"github.com/millrace/millrace/client"
)

// currentPages are the list of Currents and the pages of each.
func currentPages() []page {
	return []page{
		{"GET /w/{workspace}/currents", false, listCurrents},
		{"GET /w/{workspace}/currents/new", false, newCurrent},
		{"POST /w/{workspace}/currents/new", false, launchCurrent},
		{"GET /w/{workspace}/checks/{check}", false, showCheck},
		{"GET /w/{workspace}/currents/{current}", false, showCurrent},
		{"GET /w/{workspace}/currents/{current}/files", false, showFiles},
		{"GET /w/{workspace}/currents/{current}/audit", false, showAudit},
		{"GET /w/{workspace}/currents/{current}/losses", false, showLosses},
		{"GET /w/{workspace}/currents/{current}/checks", false, showChecks},
		{"POST /w/{workspace}/currents/{current}/check", false, actOn(checkCurrent)},
		{"POST /w/{workspace}/currents/{current}/test-events", false, actOn(sendTestEvents)},
		{"POST /w/{workspace}/currents/{current}/pause", false, actOn(pauseCurrent)},
		{"POST /w/{workspace}/currents/{current}/resume", false, actOn(resumeCurrent)},
	}
}

// listPage is a list with a table.
type listPage struct {
	Frame  frame
	Table  table
	Filter *filter
}

func listCurrents(v *visit) error {
	all, err := collect(v, v.api.ListConnectors(v, v.place.Workspace, false))
	if err != nil {
		return err
	}
	drafts, err := collect(v, v.api.ListDrafts(v, v.place.Workspace))
	if err != nil {
		return err
	}
	f := v.frame(v.t("page.rail_currents"), "/currents")
	create := button{Text: v.t("page.create_current"), Kind: "primary", Icon: "plus", Href: v.path("/currents/new")}
	t := table{
		Columns: []column{{v.t("page.name"), false}, {v.t("page.status"), false}, {v.t("page.bucket"), false}, {v.t("page.waiting"), true}, {v.t("page.last_file"), false}},
		Empty:   &empty{v.t("page.currents_none"), v.t("page.currents_none_text"), &create},
	}
	counts := map[string]int{}
	for _, c := range all {
		counts[c.Status]++
		t.Rows = append(t.Rows, v.currentRow(c))
	}
	for _, d := range drafts {
		t.Rows = append(t.Rows, row{[]cell{{Text: d.Name, Href: v.path("/currents/new?draft=" + d.ID)}, {Pill: v.status("draft")}, {Text: "–"}, {Text: "–"}, {Text: "–"}}})
	}
	if len(t.Rows) > 0 {
		f.Actions = []button{create}
		f.Says = v.currentsSay(counts)
	}
	v.show(http.StatusOK, "list", listPage{Frame: f, Table: t})
	return nil
}

func (v *visit) currentRow(c client.Connector) row {
	place := c.Destination.Bucket
	if c.Destination.Folder != "" {
		place += "/" + c.Destination.Folder
	}
	waiting, last := "–", cell{Text: "–"}
	if d := c.Delivery; d != nil {
		if d.Waiting != nil {
			waiting = v.lang.Number(*d.Waiting)
		}
		if d.LastFileAt != nil {
			last = cell{Time: v.moment(*d.LastFileAt)}
		}
	}
	return row{[]cell{{Text: c.Name, Href: v.path("/currents/" + c.ID)}, {Pill: v.status(c.Status)}, {Text: place, Mono: true}, {Text: waiting}, last}}
}

// currentsSay says of all Currents how they are, the worst first.
func (v *visit) currentsSay(counts map[string]int) *says {
	switch {
	case counts["failing"] > 0:
		return &says{bad, "circle-alert", v.t("page.currents_failing", "n", counts["failing"])}
	case counts["paused"] > 0:
		return &says{warn, "pause", v.t("page.currents_paused", "n", counts["paused"])}
	case counts["active"] > 0:
		return &says{good, "circle-check", v.t("page.currents_active", "n", counts["active"])}
	}
	return nil
}

// statuses are how a Current's states look.
var statuses = map[string]struct {
	tone            tone
	icon, key, says string
}{
	"draft": {plain, "circle-dashed", "page.status_draft", "page.says_draft"}, "active": {good, "circle-check", "page.status_active", "page.says_active"},
	"failing": {bad, "circle-alert", "page.status_failing", "page.says_failing"}, "paused": {warn, "pause", "page.status_paused", "page.says_paused"},
	"deleted": {plain, "trash-2", "page.status_deleted", "page.says_deleted"},
}

func (v *visit) status(s string) *pill {
	x := statuses[s]
	return &pill{x.tone, x.icon, v.t(x.key)}
}

// moment says a time as far from now, with the whole of it on hover.
func (v *visit) moment(at time.Time) *moment {
	m := &moment{Title: v.lang.Time(at, v.zone), At: at}
	switch ago := v.now.Sub(at); {
	case ago < 0 || ago >= 48*time.Hour:
		m.Text = m.Title
	case ago < time.Second:
		m.Text = v.t("page.just_now")
	case ago < time.Minute:
		m.Text = v.t("page.ago", "time", v.lang.Duration(ago.Truncate(time.Second)))
	case ago < time.Hour:
		m.Text = v.t("page.ago", "time", v.lang.Duration(ago.Truncate(time.Minute)))
	default:
		m.Text = v.t("page.ago", "time", v.lang.Duration(ago.Truncate(time.Hour)))
	}
	return m
}

// collect gives a whole list of the API.
func collect[T any](v *visit, list func(yield func(T, error) bool)) (all []T, err error) {
	for x, err := range list {
		if err != nil {
			return nil, v.said(err)
		}
		all = append(all, x)
	}
	return all, nil
}
