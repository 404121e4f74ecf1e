package page

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

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
	if f.Says, err = v.currentSays(c); err != nil {
		return c, frame{}, err
	}
	base := v.path("/currents/" + c.ID)
	if stateOf(c) == "capped" {
		f.SaysTo = base + "/losses"
	}
	for _, t := range currentTabs {
		f.Tabs = append(f.Tabs, tab{v.t(t.key), base + t.path, t.path == path})
	}
	if v.may("editor") && c.Status != "deleted" {
		act := func(key, icon, path string) menuItem {
			return menuItem{Text: v.t(key), Icon: icon, Href: base + path, Post: true}
		}
		f.Actions = []button{{Text: v.t("page.send_test_events"), Icon: "send", Href: base + "/test-events", Post: true}}
		more := menu{Label: v.t("page.more_actions"), Icon: "ellipsis"}
		link := func(key, icon, path string) menuItem { return menuItem{Text: v.t(key), Icon: icon, Href: base + path} }
		more.Items = append(more.Items, act("page.check_now", "shield-check", "/check"), link("page.form_rotate", "key-round", "/credentials"), link("page.form_replay", "rotate-ccw", "/replay"))
		if c.Paused {
			more.Items = append(more.Items, act("page.resume", "play", "/resume"))
		} else {
			more.Items = append(more.Items, act("page.pause", "pause", "/pause"))
		}
		if c.Test {
			more.Items = append(more.Items, link("page.form_upgrade", "upload", "/upgrade"))
		}
		remove := link("page.form_delete", "trash-2", "/delete")
		remove.Danger, remove.Line = true, true
		more.Items = append(more.Items, remove)
		f.More = &more
		f.Tabs = append(f.Tabs, tab{v.t("page.form_settings"), base + "/settings", path == "/settings"})
	}
	return c, f, nil
}

// may reports whether the visitor's role in the workspace is at least that. It only decides what is offered: the API
// decides what is done.
func (v *visit) may(role string) bool {
	order := []string{"viewer", "editor", "administrator"}
	return v.place != nil && slices.Index(order, v.place.Role) >= slices.Index(order, role)
}

// currentSays says in one sentence how a Current is, with its numbers.
func (v *visit) currentSays(c client.Connector) (*says, error) {
	x, d := statuses[stateOf(c)], c.Delivery
	s := &says{x.tone, x.icon, v.t(x.says)}
	if d == nil {
		return s, nil
	}
	unit := time.Minute
	if v.now.Sub(d.Since) < unit {
		unit = time.Second
	}
	since := v.lang.Duration(max(v.now.Sub(d.Since), unit).Truncate(unit))
	switch stateOf(c) {
	case "retrying":
		s.Text = v.t("page.says_retrying", "time", since)
	case "failing", "paused":
		key := map[string]string{"failing": "page.current_failing", "paused": "page.current_paused"}[c.Status]
		if c.Status == d.State { // else the lane has yet to take the pause up: its time is that of the state before
			s.Text = v.t(key, "time", since)
		}
		s.Text += " " + v.t("page.current_kept", "n", *d.Waiting)
	case "capped":
		s.Text = v.t(x.says, "n", d.Cap.Dropped)
	case "deleted":
		if d.Waiting != nil && *d.Waiting > 0 {
			s.Text = v.t("page.current_ending", "n", *d.Waiting)
		}
	case "active":
		if d.State == "paused" { // the lane has yet to take the end of the pause up
			s.Text = v.t("page.current_resuming") + " " + v.t("page.current_kept", "n", *d.Waiting)
			break
		}
		minutes, err := v.api.GetConnectorCounts(v, v.place.Workspace, c.ID, client.CountFilter{By: "minute"})
		if err != nil {
			return nil, v.said(err)
		}
		var hour int64
		for _, m := range minutes {
			hour += m.Accepted
		}
		said := []string{v.t("page.current_hour_says", "n", accepted(hour, d, time.Hour))}
		if d.LastFileAt != nil {
			said = append(said, v.t("page.current_last_says", "time", v.moment(*d.LastFileAt).Text))
		} else {
			said = append(said, v.t("page.current_first_says", "time", v.value("flush.interval", c.Flush.Interval)))
		}
		if d.Waiting != nil {
			idle := v.t("page.current_idle_says")
			if *d.Waiting > 0 {
				idle = v.t("page.current_waiting_says", "n", *d.Waiting)
			}
			said = append(said, idle)
		}
		s.Text += " " + strings.Join(said, ", ") + "."
	}
	return s, nil
}

// accepted gives how many events were accepted within a time until now, of which so many are counted. Counts are saved every
// few seconds and what waits is known at once, so that events of that time may wait which are not counted yet.
func accepted(counted int64, d *client.Delivery, within time.Duration) int64 {
	if d == nil || d.Waiting == nil || d.LagSeconds == nil || *d.LagSeconds == 0 || seconds(*d.LagSeconds) > within {
		return counted // what waits may be older
	}
	return max(counted, *d.Waiting)
}

// ranges are the times that a chart shows: the first if nothing is chosen.
var ranges = []struct{ by, key, title, when, unit string }{
	{"minute", "page.current_minutes", "page.current_by_minute", "page.current_minute", "page.chart_unit"},
	{"hour", "page.current_hours", "page.current_by_hour", "page.hour", "page.chart_unit_hour"},
	{"day", "page.current_days", "page.current_by_day", "page.current_date", "page.chart_unit_day"},
}

// by is which of the ranges the address asks for. Errors: invalid.
func (v *visit) by() (int, error) {
	asked := v.r.URL.Query().Get("by")
	for i, r := range ranges {
		if asked == r.by || asked == "" {
			return i, nil
		}
	}
	return 0, &fault.Error{Code: fault.Invalid, Params: fault.Params{"by": asked},
		Msg: fault.Message{Key: "page.current_range_wrong", Text: "There is no chart “{by}”: it goes by minute, hour or day."}}
}

// countsChart draws counts of one of the ranges, oldest first; the last goes on.
func (v *visit) countsChart(by int, counts []client.Count) *chart {
	var points []point
	for _, n := range counts {
		at := n.At.In(v.zone)
		p := point{At: n.At, Values: [2]int64{n.Accepted, n.Delivered}}
		clock := at.Format("15:04")
		switch ranges[by].by {
		case "minute":
			p.Label = clock
			p.Tick, p.Wide = minuteTick(at)
		case "hour":
			p.Label = v.lang.DayMonth(at) + ", " + clock
			if at.Hour()%3 == 0 {
				p.Tick, p.Wide = clock, at.Hour()%6 != 0
			}
		default:
			p.Label = v.lang.Date(at)
			if len(points)%7 == 1 {
				p.Tick, p.Wide = v.lang.DayMonth(at), len(points)%14 != 1
			}
		}
		points = append(points, p)
	}
	r := ranges[by]
	c := newChart(v.lang, v.t(r.title), v.t(r.when), []string{v.t("page.accepted"), v.t("page.delivered")}, points, true)
	c.Unit = v.t(r.unit, "zone", v.zone.String())
	for i, r := range ranges {
		c.Ranges = append(c.Ranges, tab{v.t(r.key), v.r.URL.Path + "?by=" + r.by, i == by})
	}
	return &c
}

// minuteTick gives what stands below a minute of a chart: every tenth, half of them only where there is room.
func minuteTick(at time.Time) (text string, wide bool) {
	if at.Minute()%10 != 0 {
		return "", false
	}
	return at.Format("15:04"), at.Minute()%20 != 0
}

// showCurrent is a Current's first page: how it is, what it carried, what it is.
func showCurrent(v *visit) error {
	c, f, err := v.current("")
	if err != nil {
		return err
	}
	by, err := v.by()
	if err != nil {
		return err
	}
	counts, err := v.api.GetConnectorCounts(v, v.place.Workspace, c.ID, client.CountFilter{By: ranges[by].by, Zone: v.zone.String()})
	if err != nil {
		return v.said(err)
	}
	hours, err := v.api.GetAudit(v, v.place.Workspace, c.ID, time.Time{}, time.Time{})
	if err != nil {
		return v.said(err)
	}
	of, err := v.api.GetConnectorCounts(v, v.place.Workspace, c.ID, client.CountFilter{By: "hour"})
	if err != nil {
		return v.said(err)
	}
	var day client.Count
	for _, n := range of {
		day.Accepted += n.Accepted
		day.Delivered += n.Delivered
		day.Bytes += n.Bytes
	}
	f.Live = liveEvery
	open, err := v.underWay(c.ID)
	if err != nil {
		return err
	}
	p := sectionsPage{Frame: f, Banners: append(v.currentBanners(c), open...)}
	types, _ := byType(hours)
	sum := accepted(day.Accepted, c.Delivery, 24*time.Hour)
	for _, n := range counts {
		sum += n.Accepted
	}
	base := v.path("/currents/" + c.ID)
	if sum > 0 {
		p.Sections = append(p.Sections, section{Figures: v.currentFigures(c, day, base)}, section{Chart: v.countsChart(by, counts)})
	} else if c.Status != "deleted" {
		first := v.t("page.current_first_comes", "time", v.value("flush.interval", c.Flush.Interval))
		e := empty{v.t("page.waiting_first"), first + " " + v.t("page.waiting_first_text"), nil}
		if v.may("editor") {
			e.Action = &button{Text: v.t("page.send_test_events"), Icon: "send", Kind: "primary", Href: base + "/test-events", Post: true}
			p.Frame.Actions = nil
		}
		p.Sections = append(p.Sections, section{Empty: &e})
	}
	if len(types) > 0 {
		p.Sections = append(p.Sections, section{Title: v.t("page.current_types"), Text: v.t("page.current_types_text"), Table: v.typesTable(types, day.Accepted, base)})
	}
	p.Sections = append(p.Sections, section{Title: v.t("page.current_facts"), Pairs: v.facts(c)})
	v.show(http.StatusOK, "sections", p)
	return nil
}

// currentBanners say what needs somebody.
func (v *visit) currentBanners(c client.Connector) []banner {
	d := c.Delivery
	if d == nil {
		return nil
	}
	base := v.path("/currents/" + c.ID)
	b := banner{Tone: warn, Icon: "triangle-alert"}
	switch stateOf(c) {
	case "failing":
		b.Tone, b.Icon, b.Title = bad, "circle-alert", v.t("page.failing_since", "time", v.lang.Time(d.Since, v.zone))
		b.Texts = []string{v.problem(d.Problem), v.problemHint(d.Problem)}
		b.Said, b.Details, b.Help = d.Said, d.Message, v.help("failing")
	case "retrying":
		b.Title, b.Texts = v.problem(d.Problem), []string{v.problemHint(d.Problem), v.t("page.current_nothing_lost")}
		b.Said, b.Details = d.Said, d.Message
	case "capped":
		rules, err := v.installed()
		if err != nil {
			return nil // the sentence of the page says it too
		}
		b.Title = v.t("page.capped")
		b.Texts = []string{v.t("page.capped_text", "n", rules.TestCap, "time", v.lang.Duration(seconds(rules.TestWindow)))}
		if v.may("editor") {
			b.Actions = []button{{Text: v.t("page.form_upgrade"), Icon: "upload", Kind: "primary", Href: base + "/upgrade"}}
		}
		b.Actions = append(b.Actions, button{Text: v.t("page.capped_losses"), Href: base + "/losses"})
		return []banner{b}
	case "paused":
		b.Icon, b.Title = "pause", v.t("page.status_paused")
		if d.State == "paused" {
			b.Title = v.t("page.current_paused_since", "time", v.lang.Time(d.Since, v.zone))
		}
	default:
		return nil
	}
	if d.Until != nil {
		b.Texts = append(b.Texts, v.t("page.kept_until", "time", v.lang.Time(*d.Until, v.zone)))
	}
	if v.may("editor") {
		if c.Paused {
			b.Actions = []button{{Text: v.t("page.resume"), Icon: "play", Kind: "primary", Href: base + "/resume", Post: true}}
		} else {
			b.Actions = []button{{Text: v.t("page.check_now"), Icon: "shield-check", Kind: "primary", Href: base + "/check", Post: true}}
			switch {
			case c.Status != "failing":
			case ofRights[d.Problem]: // the check names the statement that is missing, the form the whole policy
				b.Actions = append(b.Actions, button{Text: v.t("page.current_see_policy"), Icon: "file-text", Href: base + "/settings#" + pasted})
			case ofBucket[d.Problem]:
				b.Actions = append(b.Actions, button{Text: v.t("page.change_bucket"), Icon: "settings", Href: base + "/settings"})
			default:
				b.Actions = append(b.Actions, button{Text: v.t("page.form_rotate"), Icon: "key-round", Href: base + "/credentials"})
			}
		}
	}
	return []banner{b}
}

// ofRights are the problems that a policy on the other side mends, and nothing that is entered here.
var ofRights = map[string]bool{"access_denied": true, "kms_denied": true}

// ofBucket are the problems that another bucket mends, and no other credentials.
var ofBucket = map[string]bool{"no_such_bucket": true, "wrong_region": true, "object_locked": true, "address_forbidden": true, "not_implemented": true}

// problemHint says what to do about a problem.
func (v *visit) problemHint(name string) string {
	if !text.Has("bucket." + name + ".hint") {
		name = "unknown"
	}
	return v.t("bucket." + name + ".hint")
}

// currentFigures are the numbers that a Current's page begins with. day is what came of the last 24 hours.
func (v *visit) currentFigures(c client.Connector, day client.Count, base string) []figure {
	waiting, last := figure{Name: v.t("page.waiting"), Href: base + "/audit"}, figure{Name: v.t("page.last_file"), Text: "–"}
	waiting.Text, waiting.Small = v.waits(c.Delivery)
	if d := c.Delivery; d != nil && d.LastFileAt != nil {
		last.Time = v.moment(*d.LastFileAt)
	}
	return []figure{
		{Name: v.t("page.current_accepted_day"), Text: v.lang.Number(accepted(day.Accepted, c.Delivery, 24*time.Hour)), Href: base + "/audit"},
		{Name: v.t("page.current_delivered_day"), Text: v.lang.Number(day.Delivered), Small: v.lang.Bytes(day.Bytes), Href: base + "/files"},
		waiting, last,
	}
}

// byType adds hours up: by type, those that carry the most first, and in all.
func byType(hours []client.AuditHour) (types []client.AuditCount, all client.AuditCount) {
	by := map[string]*client.AuditCount{}
	for _, h := range hours {
		for _, n := range h.Counts {
			if by[n.EventType] == nil {
				by[n.EventType] = &client.AuditCount{EventType: n.EventType}
			}
			add(by[n.EventType], n)
			add(&all, n)
		}
	}
	for _, n := range by {
		types = append(types, *n)
	}
	slices.SortFunc(types, func(a, b client.AuditCount) int {
		return cmp.Or(cmp.Compare(b.Accepted, a.Accepted), cmp.Compare(a.EventType, b.EventType))
	})
	return types, all
}

func add(to *client.AuditCount, n client.AuditCount) {
	to.Accepted += n.Accepted
	to.Delivered += n.Delivered
	to.Dropped += n.Dropped
	to.Waiting += n.Waiting
}

// topTypes is how many types a Current's first page names.
const topTypes = 5

func (v *visit) typesTable(types []client.AuditCount, all int64, base string) *table {
	t := table{Columns: []column{{v.t("page.event_type"), false}, {v.t("page.accepted"), true}, {v.t("page.delivered"), true}, {v.t("page.current_share"), true}}}
	for _, n := range types[:min(topTypes, len(types))] {
		t.Rows = append(t.Rows, row{[]cell{{Text: n.EventType, Mono: true, Href: base + "/files?type=" + url.QueryEscape(n.EventType)},
			{Text: v.lang.Number(n.Accepted)}, {Text: v.lang.Number(n.Delivered)}, {Text: v.t("page.percent", "n", (n.Accepted*100+all/2)/max(all, 1))}}})
	}
	return &t
}

// facts are what a Current is.
func (v *visit) facts(c client.Connector) pairs {
	d := c.Destination
	p := pairs{
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
