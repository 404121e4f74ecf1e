package store

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// HourTallies gives what came of a connector's events by hour of acceptance, from and later, before until; hours with
// nothing are left out. The numbers are those of Audit, but for what was lost in unknown number. Test events are left
// out.
//
// Errors: not_found, also if the connector belongs to another workspace.
func (s *Store) HourTallies(ctx context.Context, workspace uint32, id control.ConnectorID, from, until eventlog.Hour) (out map[eventlog.Hour]control.Tally, err error) {
	err = s.snapshot(ctx, "count by hour", func(c conn) error {
		if err := c.belongs(workspace, id); err != nil {
			return err
		}
		all, err := c.hourTallies(workspace, only(id), from, until)
		out = all[id]
		return err
	})
	return out, err
}

// Tallies gives what HourTallies does, of every connector of a workspace that is not deleted, or was deleted only after
// from had begun; only those that are named, if any are. It makes as many statements for hundreds of connectors as for one.
func (s *Store) Tallies(ctx context.Context, workspace uint32, from, until eventlog.Hour, only ...control.ConnectorID) (out map[control.ConnectorID]map[eventlog.Hour]control.Tally, err error) {
	err = s.snapshot(ctx, "count by connector", func(c conn) error {
		of := choice{"IN (SELECT id FROM connectors WHERE workspace = ? AND (deleted_at IS NULL OR deleted_at >= ?)", []any{workspace, millis(from.Start())}}
		if len(only) > 0 {
			some := among(only)
			of = choice{of.is + " AND id " + some.is, append(of.args, some.args...)}
		}
		of.is += ")"
		out, err = c.hourTallies(workspace, of, from, until)
		return err
	})
	return out, err
}

func (c conn) hourTallies(workspace uint32, of choice, from, until eventlog.Hour) (map[control.ConnectorID]map[eventlog.Hour]control.Tally, error) {
	out, err := tallies[eventlog.Hour]{
		table: "counts", unit: "hour", hour: "hour",
		delivered: "SELECT connector, hour, events, bytes FROM delivered_hours WHERE connector " + of.is + " AND hour >= ? AND hour < ?",
		dropped: "SELECT connector, hour, SUM(events), 0 FROM drops WHERE connector " + of.is + ` AND hour >= ? AND hour < ?
			AND target = 0 AND events > 0 AND event_type <> '' GROUP BY connector, hour`,
	}.of(c, workspace, of, from, until, []any{int32(from), int32(until)})
	for _, hours := range out {
		for h, t := range hours { // what was accepted last is counted a little later
			t.Accepted = max(t.Accepted, t.Delivered+t.Dropped)
			hours[h] = t
		}
	}
	return out, err
}

// Waiting gives what waits for connectors of a workspace, by the books: what was accepted in hours that are not complete and is
// neither delivered nor dropped. Those for which nothing waits are left out, and so are ids of no connector of the workspace.
// It makes as many statements for hundreds of connectors as for one.
func (s *Store) Waiting(ctx context.Context, workspace uint32, ids []control.ConnectorID) (out map[control.ConnectorID]control.Waiting, err error) {
	out = map[control.ConnectorID]control.Waiting{}
	if len(ids) == 0 {
		return out, nil
	}
	err = s.snapshot(ctx, "count what waits", func(c conn) error {
		of := among(ids)
		first := eventlog.Hour(math.MaxInt32)
		open := map[control.ConnectorID]eventlog.Hour{} // the first hour that is not complete
		if _, err := list(c, func(r scanner) (none struct{}, err error) {
			var id control.ConnectorID
			var h eventlog.Hour
			err = r.Scan(&id, &h)
			open[id], first = h, min(first, h)
			return none, err
		}, `SELECT id, COALESCE((SELECT MAX(hour) + 1 FROM hours_done WHERE connector = id), created_at / 3600000) FROM connectors
			WHERE workspace = ? AND id `+of.is, append([]any{workspace}, of.args...)...); err != nil || len(open) == 0 {
			return err
		}
		all, err := c.hourTallies(workspace, among(slices.Collect(maps.Keys(open))), first, math.MaxInt32)
		for id, hours := range all {
			for h, n := range hours {
				rest := n.Accepted - n.Delivered - n.Dropped
				if h < open[id] || rest == 0 {
					continue
				}
				w := out[id]
				if w.Events == 0 || h < w.Since {
					w.Since = h
				}
				w.Events += rest
				out[id] = w
			}
		}
		return err
	})
	return out, err
}

// MinuteTallies gives, by minute, what was accepted for a connector, and what was delivered and dropped then, whenever
// it was accepted, from and later, before until; minutes with nothing are left out, and so are test events. What was
// accepted is kept for control.MinutesKept.
//
// Errors: not_found, also if the connector belongs to another workspace.
func (s *Store) MinuteTallies(ctx context.Context, workspace uint32, id control.ConnectorID, from, until control.Minute) (out map[control.Minute]control.Tally, err error) {
	err = s.snapshot(ctx, "count by minute", func(c conn) error {
		if err := c.belongs(workspace, id); err != nil {
			return err
		}
		all, err := tallies[control.Minute]{
			table: "minute_counts", unit: "minute", hour: "minute / 60",
			delivered: "SELECT connector, at / 60000, SUM(events), SUM(size) FROM files WHERE connector = ? AND at >= ? AND at < ? AND target = 0 GROUP BY connector, at / 60000",
			dropped: `SELECT connector, at / 60000, SUM(events), 0 FROM drops WHERE connector = ? AND at >= ? AND at < ?
				AND target = 0 AND events > 0 AND event_type <> '' GROUP BY connector, at / 60000`,
		}.of(c, workspace, only(id), from, until, []any{millis(from.Start()), millis(until.Start())})
		out = all[id]
		return err
	})
	return out, err
}

// tallies is where tallies by a unit of time are found.
type tallies[T ~int32] struct {
	table, unit, hour  string // of what was accepted; hour is the expression for the hour that a unit is in
	delivered, dropped string // queries for connector, unit, events and bytes
}

// conditionsAtOnce is how many conditions stand in one statement at most. Source: SQLite takes 500 parts of a compound
// SELECT and 32,766 values; a condition has a value for each type.
const conditionsAtOnce = 100

// of gives the tallies of connectors of a workspace from and later, before until. bounds say the same to the queries.
func (q tallies[T]) of(c conn, workspace uint32, of choice, from, until T, bounds []any) (map[control.ConnectorID]map[T]control.Tally, error) {
	all, err := c.versions(of)
	if err != nil {
		return nil, err
	}
	rows := " FROM " + q.table + " WHERE workspace = ? AND " + q.unit + " >= ? AND " + q.unit + " < ?"
	rowsArgs := []any{workspace, int32(from), int32(until)}
	if len(all) > 1 { // most connectors select the same, as far as these rows go
		spans, err := list(c, func(r scanner) (x span, err error) { return x, r.Scan(&x.log, &x.low, &x.high, &x.first, &x.last) },
			"SELECT log, MIN(era), MAX(era), MIN("+q.hour+"), MAX("+q.hour+")"+rows+" GROUP BY log", rowsArgs...)
		if err != nil {
			return nil, err
		}
		for id, vs := range all {
			all[id] = vs.within(spans)
		}
	}
	type condition struct {
		text string
		args []any
		of   []control.ConnectorID
	}
	var conditions []*condition
	known := map[string]*condition{}
	for id, vs := range all {
		text, args := vs.selected(q.hour)
		key := fmt.Sprint(text, args)
		if known[key] == nil {
			known[key] = &condition{text: text, args: args}
			conditions = append(conditions, known[key])
		}
		known[key].of = append(known[key].of, id)
	}
	out := make(map[control.ConnectorID]map[T]control.Tally, len(all))
	add := func(id control.ConnectorID, at T, n control.Tally) {
		if out[id] == nil {
			out[id] = map[T]control.Tally{}
		}
		out[id][at] = out[id][at].Plus(n)
	}
	for some := range slices.Chunk(conditions, conditionsAtOnce) {
		var parts []string
		var args []any
		for i, x := range some {
			parts = append(parts, "SELECT "+strconv.Itoa(i)+", "+q.unit+", SUM(events)"+rows+" AND "+x.text+" GROUP BY "+q.unit)
			args = slices.Concat(args, rowsArgs, x.args)
		}
		if _, err := list(c, func(r scanner) (none struct{}, err error) {
			var i int
			var at T
			var n control.Tally
			if err = r.Scan(&i, &at, &n.Accepted); err != nil {
				return none, err
			}
			for _, id := range some[i].of {
				add(id, at, n)
			}
			return none, nil
		}, strings.Join(parts, " UNION ALL "), args...); err != nil {
			return nil, err
		}
	}
	ledger := func(query string, as func(events, bytes int64) control.Tally) error {
		_, err := list(c, func(r scanner) (none struct{}, err error) {
			var id control.ConnectorID
			var at T
			var events, bytes int64
			if err = r.Scan(&id, &at, &events, &bytes); err == nil {
				add(id, at, as(events, bytes))
			}
			return none, err
		}, query, slices.Concat(of.args, bounds)...)
		return err
	}
	if err := ledger(q.delivered, func(n, bytes int64) control.Tally { return control.Tally{Delivered: n, Bytes: bytes} }); err != nil {
		return nil, err
	}
	return out, ledger(q.dropped, func(n, _ int64) control.Tally { return control.Tally{Dropped: n} })
}

// AcceptedMinutes gives how many events a workspace accepted in each minute, from and later, before until, whoever
// selects them; minutes with nothing are left out, and so are test events.
func (s *Store) AcceptedMinutes(ctx context.Context, workspace uint32, from, until control.Minute) (map[control.Minute]int64, error) {
	out := map[control.Minute]int64{}
	_, err := list(s.reader(ctx), func(r scanner) (none struct{}, err error) {
		var m control.Minute
		var events int64
		err = r.Scan(&m, &events)
		out[m] = events
		return none, err
	}, "SELECT minute, SUM(events) FROM minute_counts WHERE workspace = ? AND minute >= ? AND minute < ? GROUP BY minute", workspace, int32(from), int32(until))
	return out, s.fail(err, "count by minute")
}
