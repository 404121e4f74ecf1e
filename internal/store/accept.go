package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// LanesOutside gives how many lanes that are not done have their position in another log than log: undelivered
// events that this log cannot give.
func (s *Store) LanesOutside(ctx context.Context, log eventlog.ID) (n int, err error) {
	err = s.reader(ctx).one("SELECT COUNT(*) FROM lanes WHERE log <> ? AND done_at IS NULL", []any{log.String()}, &n)
	return n, s.fail(err, "count lanes of other logs")
}

// AcceptLog makes log, which now holds the offsets from start to below head, the current one, and brings every lane
// in line with it, in one commit. It is the operator's decision; nothing calls it by itself. It gives how many lanes
// may have lost events by it.
//
// A lane whose position is in another log begins at start, or is done if its end lay in the lost log; what is known
// of the lost log from its cursor on becomes a settled drop (log_lost, number of events not known), unless the lane
// had come past everything that is known.
//
// Where anything that is known of log lies above head, the log was set back. Then each lane that goes on gets a
// settled drop (log_lost) from head on: the number of its events is not known, or 0 if the lane had come past them
// all. It also says that ledger rows from before it speak of offsets that have been given anew since. Cursors, links and
// internal readers are cut to head: what the log still holds of a link was delivered. Plans that reach head go. Drops that
// reach it become final with the count they have: the bucket cannot be asked any more, because what it holds from now on
// under these offsets is other events. Versions whose control record is lost wait in
// PendingConfigs again; ends that were set by a lost record are taken back, also of lanes that were done, and lanes
// that it began are done until it comes again. A deleted connector's lane stays done: what is accepted now was
// accepted after the deletion.
//
// Doing it again changes nothing.
func (s *Store) AcceptLog(ctx context.Context, log eventlog.ID, start, head eventlog.Offset) (lost int, err error) {
	err = s.inTx(ctx, "accept log", func(c conn) error {
		if err := c.setCurrentLog(log); err != nil {
			return err
		}
		lanes, err := list(c, func(r scanner) (l control.Lane, err error) {
			return l, r.Scan(&l.Connector, &l.Destination)
		}, "SELECT connector, destination FROM lanes ORDER BY connector, destination")
		if err != nil {
			return err
		}
		known := map[string]eventlog.Offset{} // log → one above the highest offset that anything names
		for _, l := range lanes {
			v, err := c.lane(l)
			if err != nil {
				return err
			}
			if _, ok := known[v.log]; !ok {
				if known[v.log], err = c.maxLoggedOffset(v.log); err != nil {
					return err
				}
			}
		}
		for _, l := range lanes {
			v, err := c.lane(l)
			if err != nil {
				return err
			}
			some := false
			switch {
			case v.log != log.String() && !v.done.Valid:
				some, err = c.moveLane(l, v, log, start, known[v.log])
			case v.log == log.String():
				some, err = c.cutLane(l, v, log, head, known[v.log])
			}
			if err != nil {
				return fmt.Errorf("lane %s: %w", laneName(l), err)
			}
			if some {
				lost++
			}
		}
		for _, q := range []string{
			"UPDATE connector_configs SET recorded_offset = NULL, log = NULL WHERE log = ? AND recorded_offset >= ?",
			"UPDATE cursors SET next_offset = ? WHERE log = ? AND next_offset > ?",
		} {
			args := []any{int64(head), log.String(), int64(head)}
			if _, err := c.exec(q, args[3-strings.Count(q, "?"):]...); err != nil {
				return err
			}
		}
		return c.cutHours(log, head)
	})
	return lost, err
}

// cutHours forgets what is known of hours from head on. Eras from there on will mean others: what was counted in them
// is told by the time at which versions were made.
func (c conn) cutHours(log eventlog.ID, head eventlog.Offset) error {
	id, from := log.String(), int64(head)
	type statement struct {
		query string
		args  []any
	}
	all := []statement{
		{"DELETE FROM hour_marks WHERE log = ? AND mark_offset >= ?", []any{id, from}},
		{"UPDATE hour_progress SET mark_offset = ? WHERE log = ? AND mark_offset >= ?", []any{from - 1, id, from}},
	}
	for table, unit := range map[string]string{"counts": "hour", "minute_counts": "minute"} {
		all = append(all, statement{strings.NewReplacer("TABLE", table, "UNIT", unit).Replace(`INSERT INTO TABLE (workspace, UNIT, event_type, log, era, events)
			SELECT workspace, UNIT, event_type, '', 0, SUM(events) FROM TABLE WHERE log = ? AND era >= ? GROUP BY workspace, UNIT, event_type
			ON CONFLICT (workspace, UNIT, event_type, log, era) DO UPDATE SET events = TABLE.events + excluded.events`), []any{id, from}},
			statement{"DELETE FROM " + table + " WHERE log = ? AND era >= ?", []any{id, from}})
	}
	for _, st := range all {
		if _, err := c.exec(st.query, st.args...); err != nil {
			return err
		}
	}
	return nil
}

// moveLane lets a lane of a lost log, which is known up to below known, begin in another one.
func (c conn) moveLane(l control.Lane, v laneState, log eventlog.ID, start, known eventlog.Offset) (lost bool, err error) {
	if v.until != 0 {
		known = min(known, v.until)
	}
	if lost = v.cursor < known; lost {
		if err := c.logLost(l, v.log, v.cursor, known, -1); err != nil {
			return lost, err
		}
	}
	if v.until != 0 {
		return lost, c.finishLane(l)
	}
	if err := c.clearLinks(l); err != nil {
		return lost, err
	}
	var version int
	if err := c.one("SELECT COALESCE(MAX(version), 0) FROM connector_configs WHERE connector = ? AND destination = ? AND recorded_offset IS NOT NULL",
		[]any{string(l.Connector), l.Destination}, &version); err != nil {
		return lost, err
	}
	_, err = c.exec("UPDATE lanes SET log = ?, cursor_offset = ?, version = ?, high = ?, seq = seq + 1 WHERE connector = ? AND destination = ?",
		log.String(), int64(start), max(v.version, version), int64(start), string(l.Connector), l.Destination)
	return lost, err
}

// cutLane takes a lane back to the head of a log that was set back and was known up to below known.
func (c conn) cutLane(l control.Lane, v laneState, log eventlog.ID, head, known eventlog.Offset) (lost bool, err error) {
	top := known // of what the lane had to do with
	if v.until != 0 {
		top = min(top, v.until)
	}
	if v.done.Valid {
		v.cursor = max(v.cursor, v.until) // what lies below its end is delivered or decided
		top = v.cursor
	}
	if top = max(top, v.high); top > head {
		events := int64(0)
		if lost = v.cursor < top; lost {
			events = -1
		}
		// Also without a loss: for offsets that are given anew this tells the ledger's rows from before.
		if err := c.logLost(l, v.log, head, top, events); err != nil {
			return lost, err
		}
	}
	endLost := v.until != 0 && v.until >= head
	if v.high <= head && !endLost {
		return lost, nil
	}
	// The version in force at the head is the newest of this destination whose record is left, here or in a log before; 0:
	// none is.
	var version int
	if err := c.one(`SELECT COALESCE(MAX(version), 0) FROM connector_configs
		WHERE connector = ? AND destination = ? AND recorded_offset IS NOT NULL AND (log <> ? OR recorded_offset < ?)`,
		[]any{string(l.Connector), l.Destination, log.String(), int64(head)}, &version); err != nil {
		return lost, err
	}
	cursor := min(v.cursor, head)
	for _, st := range []struct {
		query string
		args  []any
	}{
		{"UPDATE links SET last_offset = ? WHERE last_offset >= ?", []any{int64(head - 1), int64(head)}},
		{"DELETE FROM links WHERE last_offset < ?", []any{int64(cursor)}},
		{"DELETE FROM plans WHERE last_offset >= ?", []any{int64(head)}},
		{"UPDATE drops SET settled = 1 WHERE log = ? AND last_offset >= ?", []any{log.String(), int64(head)}},
	} {
		if _, err := c.exec(st.query+" AND connector = ? AND destination = ?", append(st.args, string(l.Connector), l.Destination)...); err != nil {
			return lost, err
		}
	}
	var deleted sql.NullInt64
	if err := c.one("SELECT deleted_at FROM connectors WHERE id = ?", []any{string(l.Connector)}, &deleted); err != nil {
		return lost, err
	}
	done := v.done
	switch {
	case version == 0 && !done.Valid:
		// The record that began the lane is lost. It may not go on beside the lane before it; beginLane opens it
		// again once the record is appended anew.
		done = sql.NullInt64{Int64: millis(c.s.now()), Valid: true}
	case version != 0 && endLost && !deleted.Valid:
		done = sql.NullInt64{} // until the record comes again nobody else delivers what is accepted now
	}
	if endLost {
		v.until = 0
	}
	if version != 0 {
		v.version = min(v.version, version)
	}
	_, err = c.exec(`UPDATE lanes SET cursor_offset = ?, version = ?, until_offset = ?, high = ?, done_at = ?, seq = seq + 1
		WHERE connector = ? AND destination = ?`,
		int64(cursor), v.version, int64(v.until), int64(min(v.high, head)), done, string(l.Connector), l.Destination)
	return lost, err
}

// logLost writes into the ledger that what a lane had of log from first to below next can no longer be told.
func (c conn) logLost(l control.Lane, log string, first, next eventlog.Offset, events int64) error {
	id, ok := eventlog.ParseID(log)
	if !ok {
		return fault.New(fault.Corrupt, "", "the position of %s names no log", laneName(l))
	}
	return c.saveDrop(l, &control.Drop{
		Lane: l, Log: id, First: first, Last: next - 1, Events: events, Reason: control.DropLogLost, At: c.s.now(), Settled: true,
	})
}
