package page

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
)

// currentPage is a Current's first page.
type currentPage struct {
	Frame   frame
	Banners []banner
	Facts   pairs
	Chart   *chart
	Hint    *empty // before the first event
}

// currentTabs are a Current's pages.
var currentTabs = []struct{ key, path string }{
	{"page.tab_overview", ""}, {"page.tab_files", "/files"}, {"page.tab_audit", "/audit"}, {"page.tab_losses", "/losses"}, {"page.tab_checks", "/checks"},
}

// current gives the Current of the address, and the frame of the page of it that is at path.
func (v *visit) current(path string) (client.Connector, frame, error) {
	c, err := v.api.GetConnector(v, v.place.Workspace, v.r.PathValue("current"))
	if err != nil {
		return c, frame{}, v.said(err)
	}
	f := v.frame(c.Name, "/currents")
	f.Crumbs = []crumb{{v.t("page.rail_currents"), v.path("/currents")}, {c.Name, ""}}
	f.Says = v.currentSays(c)
	base := v.path("/currents/" + c.ID)
	for _, t := range currentTabs {
		f.Tabs = append(f.Tabs, tab{v.t(t.key), base + t.path, t.path == path})
	}
	if v.may("editor") && c.Status != "deleted" {
		act := func(key, icon, path string) menuItem {
			return menuItem{Text: v.t(key), Icon: icon, Href: base + path, Post: true}
		}
		f.Actions = []button{}
		more := menu{Label: v.t("page.more_actions"), Icon: "ellipsis"}
		more.Items = append(more.Items, act("page.check_now", "shield-check", "/check"), act("page.send_test_events", "send", "/test-events"))
		if c.Paused {
			more.Items = append(more.Items, act("page.resume", "play", "/resume"))
		} else {
			more.Items = append(more.Items, act("page.pause", "pause", "/pause"))
		}
		f.More = &more
	}
	return c, f, nil
}

// may reports whether the visitor's role in the workspace is at least that. It only decides what is offered: the API
// decides what is done.
func (v *visit) may(role string) bool {
	order := []string{"viewer", "editor", "administrator"}
	return v.place != nil && slices.Index(order, v.place.Role) >= slices.Index(order, role)
}

// currentSays says in one sentence how a Current is.
func (v *visit) currentSays(c client.Connector) *says {
	x := statuses[c.Status]
	s := &says{x.tone, x.icon, v.t(x.says)}
	d := c.Delivery
	if c.Status != "active" || d == nil {
		return s
	}
	switch {
	case d.State == "retrying":
		return &says{warn, "triangle-alert", v.t("page.says_retrying", "time", v.lang.Duration(v.now.Sub(d.Since).Truncate(time.Minute)))}
	case d.LastFileAt == nil:
		s.Text = v.t("page.says_first")
	case d.Waiting != nil && *d.Waiting > 0:
		s.Text = v.t("page.says_waiting", "n", *d.Waiting, "last", v.moment(*d.LastFileAt).Text)
	default:
		s.Text = v.t("page.says_idle", "last", v.moment(*d.LastFileAt).Text)
	}
	return s
}

// auditHours is how far the first page and the audit look back.
const auditHours = 24

func showCurrent(v *visit) error {
	c, f, err := v.current("")
	if err != nil {
		return err
	}
	hours, err := v.audit(c)
	if err != nil {
		return err
	}
	p := currentPage{Frame: f, Facts: v.facts(c)}
	if d := c.Delivery; d != nil && c.Status == "failing" {
		b := banner{Tone: bad, Icon: "circle-alert", Title: v.t("page.failing_since", "time", v.lang.Time(d.Since, v.zone)), Texts: []string{d.Message}}
		if d.Until != nil {
			b.Texts = append(b.Texts, v.t("page.kept_until", "time", v.lang.Time(*d.Until, v.zone)))
		}
		p.Banners = append(p.Banners, b)
	}
	var points []point
	var all int64
	for i, h := range hours {
		sum := sumOf(h)
		all += sum.Accepted
		at := h.Hour.In(v.zone)
		x := point{At: h.Hour, Label: v.lang.Time(h.Hour, v.zone), Values: [2]int64{sum.Accepted, sum.Delivered}}
		if i%6 == 0 {
			x.Tick = at.Format("15:04")
		}
		points = append(points, x)
	}
	if all > 0 {
		ch := newChart(v.lang, v.t("page.chart_hours"), v.t("page.hour"), []string{v.t("page.accepted"), v.t("page.delivered")}, points, true)
		p.Chart = &ch
	} else {
		p.Hint = &empty{v.t("page.waiting_first"), v.t("page.waiting_first_text"), nil}
	}
	v.show(http.StatusOK, "current", p)
	return nil
}

// audit gives the hours until now, oldest first, also those in which nothing came.
func (v *visit) audit(c client.Connector) ([]client.AuditHour, error) {
	until := v.now.UTC().Truncate(time.Hour).Add(time.Hour)
	from := until.Add(-auditHours * time.Hour)
	had, err := v.api.GetAudit(v, v.place.Workspace, c.ID, from, until)
	if err != nil {
		return nil, v.said(err)
	}
	var all []client.AuditHour
	for h := from; h.Before(until); h = h.Add(time.Hour) {
		i := slices.IndexFunc(had, func(x client.AuditHour) bool { return x.Hour.Equal(h) })
		if i < 0 {
			all = append(all, client.AuditHour{Hour: h})
		} else {
			all = append(all, had[i])
		}
	}
	return all, nil
}

// sumOf adds the types of an hour up.
func sumOf(h client.AuditHour) (sum client.AuditCount) {
	for _, c := range h.Counts {
		sum.Accepted += c.Accepted
		sum.Delivered += c.Delivered
		sum.Dropped += c.Dropped
		sum.Waiting += c.Waiting
	}
	return sum
}

// facts are what a Current is.
func (v *visit) facts(c client.Connector) pairs {
	d := c.Destination
	p := pairs{
		{Name: v.t("page.status"), Pill: v.status(c.Status)},
		{Name: v.t("page.bucket"), Text: d.Bucket, Mono: true},
		{Name: v.t("page.files_begin"), Copy: &line{"prefix", v.t("page.files_begin"), "s3://" + d.Bucket + "/" + d.Prefix}},
	}
	if d.RoleARN != "" {
		p = append(p, pairItem{Name: v.t("page.role_arn"), Text: d.RoleARN, Mono: true})
	} else {
		p = append(p, pairItem{Name: v.t("page.access_key_id"), Text: cmp.Or(d.AccessKeyID, "–"), Mono: true})
	}
	return append(p, pairItem{Name: v.t("page.contact"), Text: c.ContactEmail}, pairItem{Name: v.t("page.created"), Time: v.moment(c.CreatedAt)})
}

func showFiles(v *visit) error {
	c, f, err := v.current("/files")
	if err != nil {
		return err
	}
	t := table{Columns: []column{{v.t("page.time"), false}, {v.t("page.event_type"), false}, {v.t("page.key"), false}, {v.t("page.events"), true}, {v.t("page.size"), true}},
		Empty: &empty{v.t("page.files_none"), v.t("page.files_none_text"), nil}}
	for x, err := range v.api.ListFiles(v, v.place.Workspace, c.ID, client.LedgerFilter{}) {
		if err != nil {
			return v.said(err)
		}
		t.Rows = append(t.Rows, row{[]cell{{Time: v.moment(x.At)}, {Text: x.EventType, Mono: true}, {Text: strings.TrimPrefix(x.Key, c.Destination.Prefix), Mono: true}, {Text: v.lang.Number(int64(x.Events))}, {Text: v.lang.Bytes(x.Bytes)}}})
		if len(t.Rows) == pageRows {
			break
		}
	}
	v.show(http.StatusOK, "list", listPage{Frame: f, Table: t})
	return nil
}

// pageRows is how many rows a page of a list shows.
const pageRows = 100

func showLosses(v *visit) error {
	c, f, err := v.current("/losses")
	if err != nil {
		return err
	}
	t := table{Columns: []column{{v.t("page.time"), false}, {v.t("page.event_type"), false}, {v.t("page.reason"), false}, {v.t("page.events"), true}},
		Empty: &empty{v.t("page.losses_none"), v.t("page.losses_none_text"), nil}}
	for x, err := range v.api.ListLosses(v, v.place.Workspace, c.ID, client.LedgerFilter{}) {
		if err != nil {
			return v.said(err)
		}
		n := v.t("page.unknown")
		if x.Events >= 0 {
			n = v.lang.Number(x.Events)
		}
		t.Rows = append(t.Rows, row{[]cell{{Time: v.moment(x.At)}, {Text: cmp.Or(x.EventType, v.t("page.all_types")), Mono: x.EventType != ""}, {Text: v.t("drop." + x.Reason)}, {Text: n}}})
		if len(t.Rows) == pageRows {
			break
		}
	}
	v.show(http.StatusOK, "list", listPage{Frame: f, Table: t})
	return nil
}

func showAudit(v *visit) error {
	c, f, err := v.current("/audit")
	if err != nil {
		return err
	}
	hours, err := v.audit(c)
	if err != nil {
		return err
	}
	slices.Reverse(hours)
	t := table{Columns: []column{{v.t("page.hour_utc"), false}, {v.t("page.accepted"), true}, {v.t("page.delivered"), true}, {v.t("page.dropped"), true}, {v.t("page.waiting"), true}, {v.t("page.balance"), false}}}
	for _, h := range hours {
		s := sumOf(h)
		balance := pill{good, "circle-check", v.t("page.balanced")}
		if diff := s.Accepted - s.Delivered - s.Dropped - s.Waiting; diff != 0 {
			balance = pill{bad, "circle-alert", v.lang.Number(diff)}
		} else if s.Waiting > 0 {
			balance = pill{info, "circle-dashed", v.t("page.under_way")}
		}
		t.Rows = append(t.Rows, row{[]cell{{Text: h.Hour.UTC().Format("2006-01-02 15:00")}, {Text: v.lang.Number(s.Accepted)}, {Text: v.lang.Number(s.Delivered)}, {Text: v.lang.Number(s.Dropped)}, {Text: v.lang.Number(s.Waiting)}, {Pill: &balance}}})
	}
	v.show(http.StatusOK, "list", listPage{Frame: f, Table: t})
	return nil
}

func showChecks(v *visit) error {
	c, f, err := v.current("/checks")
	if err != nil {
		return err
	}
	t := table{Columns: []column{{v.t("page.time"), false}, {v.t("page.result"), false}, {v.t("page.what_failed"), false}}, Empty: &empty{v.t("page.checks_none"), v.t("page.checks_none_text"), nil}}
	for x, err := range v.api.ListConnectorChecks(v, v.place.Workspace, c.ID) {
		if err != nil {
			return v.said(err)
		}
		result := cell{Pill: &pill{good, "circle-check", v.t("page.step_passed")}}
		failed := cell{Text: "–"}
		if !x.OK {
			result.Pill = &pill{bad, "circle-x", v.t("page.step_failed")}
			for _, s := range x.Steps {
				if s.State == "failed" {
					failed = cell{Text: s.Action, Mono: true, Small: s.Message}
					break
				}
			}
		}
		t.Rows = append(t.Rows, row{[]cell{{Time: v.moment(x.At)}, result, failed}})
		if len(t.Rows) == pageRows {
			break
		}
	}
	v.show(http.StatusOK, "list", listPage{Frame: f, Table: t})
	return nil
}

// actOn does something with a Current and comes back to its page.
func actOn(do func(v *visit, id string) (to string, err error)) func(v *visit) error {
	return func(v *visit) error {
		id := v.r.PathValue("current")
		to, err := do(v, id)
		if err != nil {
			return v.said(err)
		}
		v.redirect(cmp.Or(to, v.path("/currents/"+id)))
		return nil
	}
}

func pauseCurrent(v *visit, id string) (string, error) {
	_, err := v.api.PauseConnector(v, v.place.Workspace, id)
	return "", err
}

func resumeCurrent(v *visit, id string) (string, error) {
	_, err := v.api.ResumeConnector(v, v.place.Workspace, id)
	return "", err
}

func checkCurrent(v *visit, id string) (string, error) {
	c, err := v.api.CheckConnector(v, v.place.Workspace, id)
	return v.path("/checks/" + c.ID), err
}

func sendTestEvents(v *visit, id string) (string, error) {
	_, err := v.api.SendTestEvents(v, v.place.Workspace, id)
	return "", err
}
