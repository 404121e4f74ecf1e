package page

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/text"
)

// currentPages are the list of Currents and the pages of each.
func currentPages() []page {
	return slices.Concat([]page{
		{"GET /w/{workspace}/currents", false, listCurrents},
		{"GET /w/{workspace}/checks/{check}", false, showCheck},
		{"GET /w/{workspace}/currents/{current}", false, showCurrent},
		{"GET /w/{workspace}/currents/{current}/files", false, showFiles},
		{"GET /w/{workspace}/currents/{current}/files/{file}", false, showFile},
		{"GET /w/{workspace}/currents/{current}/audit", false, showAudit},
		{"GET /w/{workspace}/currents/{current}/audit/{hour}", false, showAuditHour},
		{"GET /w/{workspace}/currents/{current}/losses", false, showLosses},
		{"GET /w/{workspace}/currents/{current}/checks", false, showChecks},
	}, newPages(), currentSettingsPages(), currentActionPages())
}

// listPage is a list with a table.
type listPage struct {
	Frame   frame
	Banners []banner
	Table   table
	Filter  *filter
}

// listRows is how many Currents a page of the list shows; up to listSearch of them need no search.
const listRows, listSearch = 50, 8

// liveEvery is how often a page that shows how things go is asked for again, in seconds.
const liveEvery = 10

// listed is a Current or a draft, as the list sorts and searches it.
type listed struct {
	name, place, state string
	current            client.Connector
	draft              string // id; empty: it is a Current
}

func listing(c client.Connector) listed {
	return listed{name: c.Name, place: strings.TrimSuffix(c.Destination.Bucket+"/"+c.Destination.Folder, "/"), state: stateOf(c), current: c}
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
	var items []listed
	states := map[string]int{}
	for _, c := range all {
		items = append(items, listing(c))
	}
	for _, d := range drafts {
		items = append(items, listed{name: d.Name, state: "draft", draft: d.ID})
	}
	for _, i := range items {
		states[i.state]++
	}
	slices.SortStableFunc(items, func(a, b listed) int {
		return cmp.Or(slices.Index(bySeverity, a.state)-slices.Index(bySeverity, b.state), cmp.Compare(strings.ToLower(a.name), strings.ToLower(b.name)))
	})

	f := v.frame(v.t("page.rail_currents"), "/currents")
	f.Live = liveEvery
	p := listPage{Frame: f, Table: table{Columns: v.currentColumns()}}
	var create *button
	if v.may("editor") {
		create = &button{Text: v.t("page.create_current"), Kind: "primary", Icon: "plus", Href: v.path("/currents/new")}
	}
	if len(items) == 0 {
		p.Table.Empty = &empty{v.t("page.currents_none"), v.t("page.currents_none_text"), create}
	} else {
		if create != nil {
			p.Frame.Actions = []button{*create}
		}
		p.Frame.Says = v.currentsSay(states)
	}
	if p.Table.Rows, err = v.currentRows(v.narrow(&p, items, states)); err != nil {
		return err
	}
	v.show(http.StatusOK, "list", p)
	return nil
}

// narrow gives those of items that the address asks for by a search, a state, a page, and puts into the page what leads to
// the others.
func (v *visit) narrow(p *listPage, items []listed, states map[string]int) []listed {
	q := v.r.URL.Query()
	words, state, at := strings.ToLower(strings.TrimSpace(q.Get("q"))), q.Get("state"), pageOf(q)
	if len(items) > listSearch || words != "" || state != "" {
		choose := field{Name: "state", Label: v.t("page.status"), Options: []option{{"", v.t("page.current_any"), state == ""}}}
		for _, s := range bySeverity {
			if states[s] > 0 || s == state {
				choose.Options = append(choose.Options, option{s, v.t(statuses[s].key) + " (" + v.lang.Number(int64(states[s])) + ")", s == state})
			}
		}
		p.Filter = &filter{Fields: []field{{Name: "q", Type: "search", Label: v.t("page.current_search"), Value: q.Get("q")}, choose}, Button: v.t("page.filter")}
	}
	if words != "" || state != "" {
		items = slices.DeleteFunc(items, func(i listed) bool {
			return state != "" && i.state != state || !strings.Contains(strings.ToLower(i.name+" "+i.place), words)
		})
		p.Filter.Clear = &button{Text: v.t("page.filter_clear"), Kind: "quiet", Href: v.r.URL.Path}
		p.Table.Empty = &empty{v.t("page.filter_none"), v.t("page.filter_none_text"), nil}
	}
	page := func(n int) string {
		to := url.Values{}
		for _, k := range []string{"q", "state"} {
			if x := q.Get(k); x != "" {
				to.Set(k, x)
			}
		}
		if n > 1 {
			to.Set("page", strconv.Itoa(n))
		}
		return v.r.URL.Path + "?" + to.Encode()
	}
	first := min((at-1)*listRows, len(items))
	last := min(first+listRows, len(items))
	if last < len(items) {
		p.Table.Next = page(at + 1)
	}
	if at > 1 {
		p.Table.First = page(1)
	}
	return items[first:last]
}

// pageOf reads which page of a list an address asks for: the first, if it says nothing of use.
func pageOf(q url.Values) int {
	n, _ := strconv.ParseUint(q.Get("page"), 10, 16) // 0 if there is none
	return max(1, int(n))
}

// currentColumns head the rows of Currents.
func (v *visit) currentColumns() []column {
	return []column{{v.t("page.name"), false}, {v.t("page.status"), false}, {v.t("page.waiting"), true}, {v.t("page.current_day"), true}, {v.t("page.current_trend"), false}, {v.t("page.last_file"), false}}
}

// currentRows gives the rows of Currents and drafts, with the counts of these alone.
func (v *visit) currentRows(shown []listed) (rows []row, err error) {
	var ids []string
	for _, i := range shown {
		if i.draft == "" {
			ids = append(ids, i.current.ID)
		}
	}
	by := map[string]client.ConnectorCounts{}
	if len(ids) > 0 {
		counts, err := v.api.GetCounts(v, v.place.Workspace, ids...)
		if err != nil {
			return nil, v.said(err)
		}
		for _, n := range counts {
			by[n.Connector] = n
		}
	}
	for _, i := range shown {
		if i.draft == "" {
			rows = append(rows, v.currentRow(i, by[i.current.ID]))
			continue
		}
		dash, name := cell{Text: "–"}, cell{Text: i.name}
		if v.may("editor") {
			name.Href = v.path("/currents/new?draft=" + i.draft)
		}
		rows = append(rows, row{[]cell{name, {Pill: v.status("draft")}, dash, dash, dash, dash}})
	}
	return rows, nil
}

func (v *visit) currentRow(i listed, counts client.ConnectorCounts) row {
	c, state, at := i.current, i.state, v.path("/currents/"+i.current.ID)
	status, waiting, last := cell{Pill: v.status(state)}, cell{}, cell{Text: "–"}
	waiting.Text, waiting.Small = v.waits(c.Delivery)
	if d := c.Delivery; d != nil {
		if state == "failing" || state == "retrying" {
			status.Small = v.problem(d.Problem)
		}
		if d.LastFileAt != nil {
			last = cell{Time: v.moment(*d.LastFileAt)}
		}
	}
	var hours []int64
	for _, h := range counts.Hours {
		hours = append(hours, h.Accepted)
	}
	return row{[]cell{{Text: c.Name, Href: at, Small: i.place}, status, waiting, {Text: v.lang.Number(accepted(counts.Accepted, c.Delivery, 24*time.Hour)), Href: at + "/audit"},
		{Spark: newSpark(v.t("page.current_trend_says", "name", c.Name), hours)}, last}}
}

// waits says how many events wait, and for how long the oldest has.
func (v *visit) waits(d *client.Delivery) (n, oldest string) {
	if d == nil || d.Waiting == nil {
		return "–", ""
	}
	if *d.Waiting > 0 && d.LagSeconds != nil && *d.LagSeconds >= 1 {
		oldest = v.t("page.current_oldest", "time", v.lang.Duration(seconds(*d.LagSeconds)))
	}
	return v.lang.Number(*d.Waiting), oldest
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// currentsSay says of all Currents how they are, the worst first.
func (v *visit) currentsSay(counts map[string]int) *says {
	switch {
	case counts["failing"] > 0:
		return &says{bad, "circle-alert", v.t("page.currents_failing", "n", counts["failing"])}
	case counts["retrying"] > 0:
		return &says{warn, "triangle-alert", v.t("page.current_delayed", "n", counts["retrying"])}
	case counts["capped"] > 0:
		return &says{warn, "triangle-alert", v.t("page.currents_capped", "n", counts["capped"])}
	case counts["active"] > 0:
		return &says{good, "circle-check", v.t("page.currents_active", "n", counts["active"])}
	case counts["paused"] > 0:
		return &says{warn, "pause", v.t("page.currents_paused", "n", counts["paused"])}
	}
	return &says{plain, "circle-dashed", v.t("page.current_drafts")}
}

// bySeverity are the states of Currents, those that need somebody first.
var bySeverity = []string{"failing", "retrying", "capped", "paused", "active", "draft", "deleted"}

// statuses are how a Current's states look.
var statuses = map[string]struct {
	tone            tone
	icon, key, says string
}{
	"draft": {plain, "circle-dashed", "page.status_draft", "page.says_draft"}, "active": {good, "circle-check", "page.status_active", "page.says_active"},
	"failing": {bad, "circle-alert", "page.status_failing", "page.says_failing"}, "paused": {warn, "pause", "page.status_paused", "page.says_paused"},
	"capped":   {warn, "triangle-alert", "page.status_capped", "page.says_capped"},
	"retrying": {warn, "triangle-alert", "page.current_retrying", "page.says_active"},
	"deleted":  {plain, "trash-2", "page.status_deleted", "page.says_deleted"},
}

// stateOf is a Current's status, or what keeps one that is active from delivering: its store does not answer as it should, or
// its cap is used up.
func stateOf(c client.Connector) string {
	d := c.Delivery
	switch {
	case c.Status != "active" || d == nil:
	case d.State == "retrying":
		return "retrying"
	case d.Cap != nil && d.Cap.Reached:
		return "capped"
	}
	return c.Status
}

func (v *visit) status(s string) *pill {
	x := statuses[s]
	return &pill{x.tone, x.icon, v.t(x.key)}
}

// problem says what a store refused, by the name that deliveries give it.
func (v *visit) problem(name string) string {
	if !text.Has("bucket." + name) {
		name = "unknown"
	}
	return v.t("bucket." + name)
}

// moment says a time as far from now, with the whole of it on hover.
func (v *visit) moment(at time.Time) *moment {
	m := &moment{Title: v.lang.Time(at, v.zone), At: at}
	switch ago := v.now.Sub(at); {
	case ago < -time.Minute || ago >= 48*time.Hour: // what came while the page was made is new, not to come
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

// toTheHour says a time that is known to the hour alone: something came then, and perhaps more within an hour of it.
func (v *visit) toTheHour(at time.Time) *moment {
	m := v.moment(at)
	if v.now.Sub(at) < time.Hour {
		m.Text = v.t("page.within_hour")
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
