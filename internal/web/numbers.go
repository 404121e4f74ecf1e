package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// numberRoutes are about how much, over time.
func (a *api) numberRoutes() []route {
	const group = "ledger"
	return []route{
		{name: "getConnectorCounts", method: http.MethodGet, path: atConnector + "/counts", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Counts what was accepted, delivered and dropped, by minute, hour or day.", op: op(a.getConnectorCounts)},
		{name: "getCounts", method: http.MethodGet, path: "/workspaces/{workspace}/counts", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Gives the last 24 hours of each connector, or of those that are named, by name.", op: op(a.getCounts)},
		{name: "getOverview", method: http.MethodGet, path: "/workspaces/{workspace}/overview", right: control.RightView, group: "workspaces", status: http.StatusOK,
			summary: "Gives how the workspace does, in a few numbers.", op: op(a.getOverview)},
	}
}

// Bounds of counts over time.
const (
	countMinutes = control.MinutesKept
	countHours   = 24 * countDays
	countDays    = 31
)

type countsIn struct {
	Connector control.ConnectorID `path:"connector"`
	By        string              `query:"by" enum:",minute,hour,day" doc:"Hours if it is left out."`
	From      *time.Time          `query:"from" doc:"60 minutes, 24 hours or 30 days before the end if it is left out. At most 180 minutes or 31 days."`
	Until     *time.Time          `query:"until" doc:"Now if it is left out: what goes on then is counted too."`
	Zone      string              `query:"zone" doc:"Of days, as America/Sao_Paulo: UTC if it is left out. An hour of acceptance belongs to the day in which it begins."`
}

func (a *api) getConnectorCounts(c *call, in countsIn) (out client.Page[client.Count], err error) {
	zone, err := time.LoadLocation(in.Zone)
	if err != nil || in.Zone == "Local" {
		return out, &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{fault.Field("zone", "unknown_value", "field.time_zone", "This is not a time zone such as Europe/Madrid or America/Sao_Paulo.")}}
	}
	until := time.Now()
	if in.Until != nil {
		until = *in.Until
	}
	last := until.Add(-1) // the end itself is not in it
	var begins []time.Time
	step := func(first time.Time, next func(time.Time) time.Time, most int) error {
		for at := first; !at.After(last); at = next(at) {
			begins = append(begins, at)
			if len(begins) > most {
				break
			}
		}
		if len(begins) == 0 || len(begins) > most {
			return &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{fault.Field("from", "out_of_range", "field.counts", "Counts begin before their end, and are at most 180 minutes or 31 days long.")}}
		}
		return nil
	}
	from := func(otherwise time.Time) time.Time {
		if in.From != nil {
			return *in.From
		}
		return otherwise
	}
	if in.By == "minute" {
		first := from(last.Add(-59 * time.Minute)).UTC().Truncate(time.Minute)
		if err := step(first, func(t time.Time) time.Time { return t.Add(time.Minute) }, countMinutes); err != nil {
			return out, err
		}
		by, err := a.deps.Store.MinuteTallies(c, c.workspace.Number, in.Connector, control.MinuteOf(first), control.MinuteOf(last)+1)
		for _, at := range begins {
			out.Items = append(out.Items, showTally(at, by[control.MinuteOf(at)]))
		}
		return out, err
	}
	if in.By == "day" {
		first := from(last.AddDate(0, 0, -29)).In(zone)
		midnight := func(t time.Time, days int) time.Time {
			return time.Date(t.Year(), t.Month(), t.Day()+days, 0, 0, 0, 0, zone)
		}
		err = step(midnight(first, 0), func(t time.Time) time.Time { return midnight(t, 1) }, countDays)
	} else {
		first := from(last.Add(-23 * time.Hour)).UTC().Truncate(time.Hour)
		err = step(first, func(t time.Time) time.Time { return t.Add(time.Hour) }, countHours)
	}
	if err != nil {
		return out, err
	}
	by, err := a.deps.Store.HourTallies(c, c.workspace.Number, in.Connector, hourFrom(begins[0]), eventlog.HourOf(last)+1)
	for i, at := range begins {
		end := eventlog.HourOf(last) + 1
		if i+1 < len(begins) {
			end = hourFrom(begins[i+1])
		}
		var sum control.Tally
		for h := hourFrom(at); h < end; h++ {
			sum = sum.Plus(by[h])
		}
		out.Items = append(out.Items, showTally(at, sum))
	}
	return out, err
}

// hourFrom gives the first hour that begins at t or later.
func hourFrom(t time.Time) eventlog.Hour { return eventlog.HourOf(t.Add(time.Hour - 1)) }

func showTally(at time.Time, t control.Tally) client.Count {
	return client.Count{At: at.UTC(), Accepted: t.Accepted, Delivered: t.Delivered, Dropped: t.Dropped, Bytes: t.Bytes}
}

// dayHours is how many hours make the last day.
const dayHours = 24

type countedIn struct {
	Connectors connectorIDs `query:"connectors" doc:"Ids with commas between them: only these, as far as they are there. All if it is left out."`
}

// connectorIDs are several, with commas between them.
type connectorIDs string

// Valid reports whether each has the form of an id.
func (ids connectorIDs) Valid() bool {
	for id := range strings.SplitSeq(string(ids), ",") {
		if !control.ConnectorID(id).Valid() {
			return false
		}
	}
	return true
}

func (a *api) getCounts(c *call, in countedIn) (out client.Page[client.ConnectorCounts], err error) {
	all, err := a.deps.Store.Connectors(c, c.workspace.Number)
	if err != nil {
		return out, err
	}
	var only []control.ConnectorID
	if in.Connectors != "" {
		wanted := strings.Split(string(in.Connectors), ",")
		all = slices.DeleteFunc(all, func(x control.Connector) bool { return !slices.Contains(wanted, string(x.Connector)) })
		for _, x := range all {
			only = append(only, x.Connector)
		}
		if len(only) == 0 {
			return out, nil
		}
	}
	now := eventlog.HourOf(time.Now())
	by, err := a.deps.Store.Tallies(c, c.workspace.Number, now-dayHours+1, now+1, only...)
	out.Items = []client.ConnectorCounts{}
	for _, x := range all {
		var sum control.Tally
		n := client.ConnectorCounts{Connector: string(x.Connector)}
		for h := now - dayHours + 1; h <= now; h++ {
			t := by[x.Connector][h]
			sum = sum.Plus(t)
			n.Hours = append(n.Hours, showTally(h.Start(), t))
		}
		n.Accepted, n.Delivered, n.Dropped = sum.Accepted, sum.Delivered, sum.Dropped
		out.Items = append(out.Items, n)
	}
	return out, err
}

// overviewMinutes is how many minutes an overview looks back.
const overviewMinutes = 60

func (a *api) getOverview(c *call, _ spoken) (out client.Overview, err error) {
	store, workspace, now := a.deps.Store, c.workspace.Number, time.Now()
	all, err := store.Connectors(c, workspace)
	if err != nil {
		return out, err
	}
	how, err := a.doing(c, all)
	if err != nil {
		return out, err
	}
	for _, x := range all {
		switch control.StatusOf(x, how.lanes[x.Connector]) {
		case control.StatusFailing:
			out.Connectors.Failing++
		case control.StatusPaused:
			out.Connectors.Paused++
		default:
			out.Connectors.Active++
		}
		if w := how.held[x.Connector]; !w.Oldest.IsZero() {
			w.Events = max(w.Events, how.kept[x.Connector].Events)
			lag := client.Lag{Connector: string(x.Connector), Name: x.Name, Seconds: max(0, now.Sub(w.Oldest).Seconds()), Events: w.Events}
			if out.Worst == nil || lag.Seconds > out.Worst.Seconds {
				out.Worst = &lag
			}
		}
	}
	first := control.MinuteOf(now) - overviewMinutes + 1
	minutes, err := store.AcceptedMinutes(c, workspace, first, first+overviewMinutes)
	if err != nil {
		return out, err
	}
	for m := first; m < first+overviewMinutes; m++ {
		out.Minutes = append(out.Minutes, client.MinuteCount{At: m.Start(), Accepted: minutes[m]})
	}
	begin := eventlog.HourOf(now) - dayHours + 1
	counts, err := store.AcceptedCounts(c, workspace, begin, begin+dayHours)
	if err != nil {
		return out, err
	}
	for _, n := range counts {
		out.Accepted += n.Events
	}
	tallies, err := store.Tallies(c, workspace, begin, begin+dayHours)
	if err != nil {
		return out, err
	}
	var sum control.Tally
	for _, by := range tallies {
		for _, t := range by {
			sum = sum.Plus(t)
		}
	}
	out.Day = showTally(begin.Start(), sum)
	oldest, unread, err := store.OldestUnread(c, workspace, c.actor.Member)
	if err == nil && unread > 0 {
		n := a.showNotice(c.reader(), oldest, false)
		out.Unread, out.OldestUnread = unread, &n
	}
	return out, err
}
