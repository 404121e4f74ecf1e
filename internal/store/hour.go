package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// hoursAtOnce is how many hours one call of CompleteHours stores at most, so that no transaction grows with the
// number of connectors.
const hoursAtOnce = 200

// CompleteHours finds the hours of connectors that are complete by now, stores them, and gives those only, with their
// counts; up to some hundreds in one call, the rest in the next. The notice of each, see control.HourNotice, is in the
// same commit, so that no crash can come between an hour and its signal.
//
// An hour that the log has marked as over is complete for a connector once each of its lanes is past the mark, or has
// ended before it, the counts are past it too, and no provisional drop of that hour is left in a lane that goes on. A
// connector has the hours from the one in which it was launched to the one in which it was deleted; none while its
// launch is in no log, because the log was set back. An hour without a mark of its own is over with the next mark; it
// is complete only if events of its workspace were accepted in it.
//
// While nothing is complete it only reads: one query over the lanes that lag behind a mark, and a few for each
// connector with an hour that is kept back, however many hours lie behind that.
func (s *Store) CompleteHours(ctx context.Context, log eventlog.ID) (done []control.HourDone, err error) {
	const op = "complete hours"
	some := false
	if err := s.snapshot(ctx, op, func(c conn) error {
		found, err := c.completing(log)
		some = len(found) > 0
		return err
	}); err != nil || !some {
		return nil, err
	}
	err = s.inTx(ctx, op, func(c conn) error {
		found, err := c.completing(log)
		if err != nil {
			return err
		}
		at := s.now()
		for _, f := range found {
			for _, h := range f.hours {
				if _, err := c.exec("INSERT INTO hours_done (connector, hour, at) VALUES (?, ?, ?)", string(f.connector), int32(h), millis(at)); err != nil {
					return err
				}
				counts, err := c.audit(f.workspace, f.connector, h, h+1)
				if err != nil {
					return err
				}
				d := control.HourDone{Connector: f.connector, Workspace: f.workspace, Hour: h, At: fromMillis(millis(at)), Counts: counts[h]}
				if err := c.tellHour(d); err != nil {
					return err
				}
				done = append(done, d)
			}
			if err := c.forgetHours(f.connector, at.Add(-hoursTold)); err != nil {
				return err
			}
			if _, err := c.exec(`INSERT INTO hour_progress (connector, log, mark_offset) VALUES (?, ?, ?)
				ON CONFLICT (connector, log) DO UPDATE SET mark_offset = excluded.mark_offset`,
				string(f.connector), log.String(), int64(f.progress)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// hoursTold is for how long notices of complete hours are kept: there are 24 a day of each connector, and the hours
// themselves are kept in any case.
const hoursTold = 30 * 24 * time.Hour

// tellHour writes the notice of a complete hour.
func (c conn) tellHour(d control.HourDone) error {
	var workspace, connector string
	if err := c.one("SELECT w.name, c.name FROM connectors c JOIN workspaces w ON w.number = c.workspace WHERE c.id = ?",
		[]any{string(d.Connector)}, &workspace, &connector); err != nil {
		return err
	}
	return c.addNotice(control.HourNotice(d, workspace, connector))
}

// forgetHours removes the notices of complete hours of a connector from before then of which nothing waits to be sent.
func (c conn) forgetHours(id control.ConnectorID, before time.Time) error {
	old, err := list(c, func(r scanner) (id int64, err error) { return id, r.Scan(&id) },
		`SELECT n.id FROM notices n WHERE n.workspace = (SELECT workspace FROM connectors WHERE id = ?) AND n.connector = ? AND n.kind = ?
			AND n.at < ? AND n.planned = 1 AND NOT EXISTS (SELECT 1 FROM send_notices x JOIN sends s ON s.id = x.send
				WHERE x.notice = n.id AND s.done_at IS NULL AND s.failed = '')`,
		string(id), string(id), string(control.NoticeHourComplete), millis(before))
	for _, n := range old {
		sends, err := list(c, func(r scanner) (id int64, err error) { return id, r.Scan(&id) }, "SELECT send FROM send_notices WHERE notice = ?", n)
		if err != nil {
			return err
		}
		if _, err := c.exec("DELETE FROM send_notices WHERE notice = ?", n); err != nil {
			return err
		}
		for _, s := range sends {
			if _, err := c.exec("DELETE FROM sends WHERE id = ? AND NOT EXISTS (SELECT 1 FROM send_notices x WHERE x.send = sends.id)", s); err != nil {
				return err
			}
		}
		if _, err := c.exec("DELETE FROM notices WHERE id = ?", n); err != nil {
			return err
		}
	}
	return err
}

// completed is what is newly complete of one connector.
type completed struct {
	connector control.ConnectorID
	workspace uint32
	hours     []eventlog.Hour
	progress  eventlog.Offset // up to this mark all hours are done
}

// nowhere is above every offset.
const nowhere = eventlog.Offset(math.MaxInt64)

// reach is how far the lanes of a connector have come in a log.
type reach struct {
	completed
	low   eventlog.Offset // everything below is delivered or decided
	end   eventlog.Offset // where the connector's last lane ends
	lanes int             // in this log
}

// reaches gives the connectors that have not done every mark up to top. Where the launch itself was lost, the
// connector has no hours until its record comes again.
func (c conn) reaches(log eventlog.ID, top eventlog.Offset) (out []reach, err error) {
	type lane struct {
		connector control.ConnectorID
		workspace uint32
		progress  eventlog.Offset
		log       string
		cursor    eventlog.Offset
		until     eventlog.Offset
		done      bool
	}
	lanes, err := list(c, func(r scanner) (l lane, err error) {
		return l, r.Scan(&l.connector, &l.workspace, &l.progress, &l.log, &l.cursor, &l.until, &l.done)
	}, `SELECT l.connector, c.workspace, COALESCE(p.mark_offset, -1), l.log, l.cursor_offset, l.until_offset,
			CASE WHEN l.done_at IS NULL THEN 0 ELSE 1 END
		FROM lanes l JOIN connectors c ON c.id = l.connector
		LEFT JOIN hour_progress p ON p.connector = l.connector AND p.log = ?
		WHERE COALESCE(p.mark_offset, -1) < ?
			AND EXISTS (SELECT 1 FROM connector_configs n WHERE n.connector = l.connector AND n.recorded_offset IS NOT NULL)
		ORDER BY l.connector`, log.String(), int64(top))
	if err != nil {
		return nil, err
	}
	for _, l := range lanes {
		if n := len(out); n == 0 || out[n-1].connector != l.connector {
			out = append(out, reach{completed: completed{connector: l.connector, workspace: l.workspace, progress: l.progress}, low: nowhere})
		}
		v := &out[len(out)-1]
		switch ended := l.done || l.until != 0 && l.cursor >= l.until; {
		case l.log != log.String() && l.done:
			continue
		case l.log != log.String():
			v.low = -1 // what it has to do lies in a log that is not here
			continue
		case !ended:
			v.low = min(v.low, l.cursor)
		}
		v.lanes++
		switch {
		case l.until != 0:
			v.end = max(v.end, l.until)
		case l.done: // the record of its end is lost: all that is left of it is decided
			v.end = max(v.end, l.cursor)
		default:
			v.end = nowhere
		}
	}
	return out, nil
}

// completing gives what is newly complete, or has newly nothing to be done.
func (c conn) completing(log eventlog.ID) (out []completed, err error) {
	var top sql.NullInt64
	if err := c.one("SELECT MAX(mark_offset) FROM hour_marks WHERE log = ?", []any{log.String()}, &top); err != nil || !top.Valid {
		return nil, err
	}
	counted, err := c.cursor(countsReader, log)
	if err != nil {
		return nil, err
	}
	all, err := c.reaches(log, eventlog.Offset(top.Int64))
	if err != nil || len(all) == 0 {
		return nil, err
	}
	from := nowhere
	for _, v := range all {
		from = min(from, v.progress)
	}
	marks, err := c.marks(log, from)
	if err != nil {
		return nil, err
	}
	room := hoursAtOnce
	for _, v := range all {
		if v.lanes == 0 && v.low == nowhere {
			v.progress = nowhere // its last lane ended in another log
			out = append(out, v.completed)
			continue
		}
		v.low = min(v.low, counted)
		before := v.progress
		passed := slices.DeleteFunc(slices.Clone(marks), func(m mark) bool { return m.at <= v.progress || m.at > v.low })
		if err := c.complete(log, &v, passed, room); err != nil {
			return nil, err
		}
		if room -= len(v.hours); v.progress != before || len(v.hours) > 0 {
			out = append(out, v.completed)
		}
		if room <= 0 {
			break
		}
	}
	return out, nil
}

// complete finds the hours of v that are over with marks, complete and not stored yet, about as many as there is room
// for.
func (c conn) complete(log eventlog.ID, v *reach, marks []mark, room int) error {
	if len(marks) == 0 {
		return nil
	}
	begin, err := c.beginning(log, v.connector)
	if err != nil {
		return err
	}
	// What a lane left unsettled at its end is final.
	open, err := list(c, scanDrop, "SELECT "+dropColumns+` FROM drops d JOIN lanes l ON l.connector = d.connector AND l.destination = d.destination
		WHERE d.connector = ? AND d.settled = 0 AND d.target = 0 AND l.done_at IS NULL`, string(v.connector))
	if err != nil {
		return err
	}
	done, err := c.doneHours(v.connector, marks)
	if err != nil {
		return err
	}
	whole := true // up to here
	for _, m := range marks {
		if m.before >= v.end {
			if whole {
				v.progress = nowhere // deleted before this hour began
			}
			return nil
		}
		if m.at > begin {
			hours, err := c.hoursOf(v.workspace, m)
			if err != nil {
				return err
			}
			for _, h := range hours {
				switch {
				case done[h]:
				case slices.ContainsFunc(open, func(d control.Drop) bool { return concerns(&d, h, m) }):
					whole = false
				default:
					done[h] = true
					v.hours = append(v.hours, h)
				}
			}
		}
		if whole {
			v.progress = m.at
		}
		if len(v.hours) >= room {
			return nil
		}
	}
	return nil
}

// concerns reports whether d may hold events of hour h, which is over at m.
func concerns(d *control.Drop, h eventlog.Hour, m mark) bool {
	if d.OverAll() {
		return d.First < m.at && d.Last > m.before
	}
	return d.Stream.Hour == h
}

// beginning gives the offset of the record that launched a connector; -1 if it was launched in an earlier log.
func (c conn) beginning(log eventlog.ID, id control.ConnectorID) (at eventlog.Offset, err error) {
	err = c.one(`SELECT MIN(CASE log WHEN ? THEN recorded_offset ELSE -1 END) FROM connector_configs
		WHERE connector = ? AND recorded_offset IS NOT NULL`, []any{log.String(), string(id)}, &at)
	return at, err
}

// doneHours gives the hours of a connector that are stored as done, of those that may be over with marks.
func (c conn) doneHours(id control.ConnectorID, marks []mark) (map[eventlog.Hour]bool, error) {
	from := marks[0].hour
	for _, m := range marks {
		from = min(from, m.hour, m.after()+1)
	}
	hours, err := list(c, func(r scanner) (h eventlog.Hour, err error) { return h, r.Scan(&h) },
		"SELECT hour FROM hours_done WHERE connector = ? AND hour >= ?", string(id), int32(from))
	done := make(map[eventlog.Hour]bool, len(hours))
	for _, h := range hours {
		done[h] = true
	}
	return done, err
}

// HourDone gives a complete hour of a connector, with its counts as they are now; false while it is not complete.
// Errors: not_found, also if the connector belongs to another workspace.
func (s *Store) HourDone(ctx context.Context, workspace uint32, id control.ConnectorID, h eventlog.Hour) (done control.HourDone, ok bool, err error) {
	err = s.snapshot(ctx, "find hour", func(c conn) error {
		if err := c.belongs(workspace, id); err != nil {
			return err
		}
		var at int64
		err := c.one("SELECT at FROM hours_done WHERE connector = ? AND hour = ?", []any{string(id), int32(h)}, &at)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		counts, err := c.audit(workspace, id, h, h+1)
		done, ok = control.HourDone{Connector: id, Workspace: workspace, Hour: h, At: fromMillis(at), Counts: counts[h]}, err == nil
		return err
	})
	return done, ok, err
}
