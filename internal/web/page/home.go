package page

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/millrace/millrace/client"
)

// homePages are the overview of a workspace.
func homePages() []page {
	return []page{{"GET /w/{workspace}", false, showHome}}
}

// homeHere is the overview's line of the rail.
const homeHere = "/"

// homeCurrents is how many Currents the overview names.
const homeCurrents = 5

// showHome says how a workspace does: what comes in, where it goes, and what needs somebody. A workspace without Currents
// is led to its first.
func showHome(v *visit) error {
	o, err := v.api.GetOverview(v, v.place.Workspace)
	if err != nil {
		return v.said(err)
	}
	all, err := collect(v, v.api.ListConnectors(v, v.place.Workspace, false))
	if err != nil {
		return err
	}
	f := v.frame(v.t("page.home"), homeHere)
	f.Live = liveEvery
	p := sectionsPage{Frame: f}
	notices, err := collect(v, v.api.ListNotices(client.InPart(v, &client.Part{Limit: pageRows}), v.place.Workspace))
	if err != nil {
		return err
	}
	notices = slices.DeleteFunc(notices, func(n client.Notice) bool { // of one that is deleted, or was never made, nobody is needed
		return n.Connector != "" && !slices.ContainsFunc(all, func(c client.Connector) bool { return c.ID == n.Connector })
	})
	if n := gravest(notices); n != nil {
		look := lookOf(n.Kind)
		p.Banners = append(p.Banners, banner{Tone: look.tone, Icon: look.icon, Title: n.Title, Texts: []string{v.t("page.home_unread", "n", o.Unread, "time", v.moment(n.At).Text)},
			Actions: []button{{Text: v.t("page.home_read"), Href: v.path("/notices")}}})
	}
	if len(all) == 0 {
		p.Frame.Says = &says{plain, "circle-dashed", v.t("page.home_empty")}
		e := empty{v.t("page.currents_none"), v.t("page.currents_none_text") + " " + v.t("page.home_empty_text"), nil}
		if v.may("editor") {
			e.Action = &button{Text: v.t("page.create_current"), Kind: "primary", Icon: "plus", Href: v.path("/currents/new")}
		}
		p.Sections = append(p.Sections, section{Empty: &e})
	} else {
		states := map[string]int{}
		for _, c := range all {
			states[stateOf(c)]++
		}
		p.Frame.Says = v.currentsSay(states)
		if states["failing"] > 0 {
			p.Frame.SaysTo = v.path("/currents?state=failing")
		}
		p.Frame.Says.Text += " " + v.t("page.home_day_says", "n", o.Accepted)
		currents, err := v.homeTable(all)
		if err != nil {
			return err
		}
		p.Sections = append(p.Sections, section{Figures: v.homeFigures(o)}, section{Title: v.t("page.home_minutes"), Chart: v.minutesChart(o.Minutes)},
			section{Title: v.t("page.rail_currents"), Actions: []button{{Text: v.t("page.home_all"), Href: v.path("/currents"), Small: true}}, Table: currents})
	}
	if v.me.Installation {
		m, err := v.api.GetInstallation(v)
		if err != nil {
			return v.said(err)
		}
		disk := section{Title: v.t("page.home_machine"), Text: v.t("page.home_machine_text")}
		for _, x := range []struct {
			key       string
			used, all int64
		}{{"page.home_log", m.LogBytes, m.LogLimit}, {"page.home_disk", m.DiskTotal - m.DiskFree, m.DiskTotal}} {
			if x.all > 0 {
				disk.Bars = append(disk.Bars, progress{v.t(x.key, "used", v.lang.Bytes(x.used), "all", v.lang.Bytes(x.all)), x.used, x.all})
			}
		}
		p.Sections = append(p.Sections, disk)
	}
	v.show(http.StatusOK, "sections", p)
	return nil
}

// gravest gives, of notices that begin with the newest, the unread one that needs somebody most; nil if none does: good
// news wait in the inbox. For a Current its newest notice speaks: what was mended since needs nobody.
func gravest(notices []client.Notice) *client.Notice {
	var found *client.Notice
	spoken := map[string]bool{}
	rank := func(n *client.Notice) int { return slices.Index([]tone{bad, warn, info}, lookOf(n.Kind).tone) }
	for i := range notices {
		n := &notices[i]
		if n.Read || spoken[n.Connector] {
			continue
		}
		spoken[n.Connector] = n.Connector != ""
		if lookOf(n.Kind).tone == good {
			continue
		}
		if found == nil || rank(n) < rank(found) {
			found = n
		}
	}
	return found
}

// homeFigures are the numbers of a workspace.
func (v *visit) homeFigures(o client.Overview) []figure {
	list := v.path("/currents")
	out := []figure{{Name: v.t("page.home_active"), Text: v.lang.Number(int64(o.Connectors.Active)), Href: list}}
	if n := o.Connectors.Failing; n > 0 {
		out = append(out, figure{Name: v.t("page.status_failing"), Text: v.lang.Number(int64(n)), Href: list + "?state=failing"})
	}
	if n := o.Connectors.Paused; n > 0 {
		out = append(out, figure{Name: v.t("page.status_paused"), Text: v.lang.Number(int64(n)), Href: list + "?state=paused"})
	}
	out = append(out, figure{Name: v.t("page.current_accepted_day"), Text: v.lang.Number(o.Accepted), Href: list},
		figure{Name: v.t("page.home_delivered"), Text: v.lang.Number(o.Day.Delivered), Href: list})
	if w := o.Worst; w != nil && w.Seconds >= 1 {
		out = append(out, figure{Name: v.t("page.home_lag"), Text: v.lang.Duration(seconds(w.Seconds)), Small: w.Name, Href: v.path("/currents/" + w.Connector)})
	}
	return out
}

// minutesChart draws what a workspace accepted in each of the last minutes.
func (v *visit) minutesChart(minutes []client.MinuteCount) *chart {
	var points []point
	for _, m := range minutes {
		at := m.At.In(v.zone)
		p := point{At: m.At, Label: at.Format("15:04"), Values: [2]int64{m.Accepted}}
		p.Tick, p.Wide = minuteTick(at)
		points = append(points, p)
	}
	c := newChart(v.lang, v.t("page.home_minutes"), v.t("page.current_minute"), []string{v.t("page.accepted")}, points, true)
	c.Unit = v.t("page.chart_unit", "zone", v.zone.String())
	return &c
}

// homeTable names the Currents that need somebody, and then those with the newest files.
func (v *visit) homeTable(all []client.Connector) (*table, error) {
	at := func(c client.Connector) time.Time {
		if c.Delivery == nil || c.Delivery.LastFileAt == nil {
			return time.Time{}
		}
		return *c.Delivery.LastFileAt
	}
	slices.SortStableFunc(all, func(a, b client.Connector) int {
		return cmp.Or(slices.Index(bySeverity, stateOf(a))-slices.Index(bySeverity, stateOf(b)), at(b).Compare(at(a)))
	})
	var first []listed
	for _, c := range all[:min(homeCurrents, len(all))] {
		first = append(first, listing(c))
	}
	rows, err := v.currentRows(first)
	return &table{Columns: v.currentColumns(), Rows: rows}, err
}
