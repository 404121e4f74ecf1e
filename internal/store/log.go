package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// The internal readers of the log that keep a cursor.
const (
	controlReader = "control"
	countsReader  = "counts"
)

func (c conn) cursor(reader string, log eventlog.ID) (next eventlog.Offset, err error) {
	err = c.one("SELECT next_offset FROM cursors WHERE reader = ? AND log = ?", []any{reader, log.String()}, &next)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return next, err
}

func (c conn) setCursor(reader string, log eventlog.ID, next eventlog.Offset) error {
	_, err := c.exec(`INSERT INTO cursors (reader, log, next_offset) VALUES (?, ?, ?)
		ON CONFLICT (reader, log) DO UPDATE SET next_offset = excluded.next_offset`, reader, log.String(), int64(next))
	return err
}

// ControlCursor gives the first offset of log whose control records are not applied yet; 0 for a log that was
// never read.
func (s *Store) ControlCursor(ctx context.Context, log eventlog.ID) (eventlog.Offset, error) {
	next, err := s.reader(ctx).cursor(controlReader, log)
	return next, s.fail(err, "load control cursor")
}

// CountsCursor gives the first offset of log that is not counted yet, and makes AddCounts go on from it.
func (s *Store) CountsCursor(ctx context.Context, log eventlog.ID) (eventlog.Offset, error) {
	next, err := s.reader(ctx).cursor(countsReader, log)
	if err != nil {
		return 0, s.fail(err, "load counts cursor")
	}
	s.mu.Lock()
	s.counted[log] = next
	s.mu.Unlock()
	return next, nil
}

// AddCounts adds to the counts by hour, and by minute as long as these are kept, what was accepted between the counts
// cursor and next, and moves the cursor to next, in one commit.
//
// What is added must begin where this Store last saw the cursor, in CountsCursor or AddCounts. If another process
// has moved it since, the call fails with stale, because it would count events twice: call CountsCursor again.
func (s *Store) AddCounts(ctx context.Context, log eventlog.ID, next eventlog.Offset, counts []control.Count) error {
	err := s.inTx(ctx, "add counts", func(c conn) error {
		stored, err := c.cursor(countsReader, log)
		if err != nil {
			return err
		}
		s.mu.Lock()
		from, known := s.counted[log]
		s.mu.Unlock()
		if !known || from != stored {
			return fault.New(fault.Stale, "", "the counts cursor is at %d", stored)
		}
		if next < stored {
			return fault.New(fault.Internal, "", "the counts cursor would go back from %d to %d", stored, next)
		}
		oldest := control.MinuteOf(s.now()) - control.MinutesKept
		if err := c.addCounts("counts", "hour", log, counts, func(n control.Count) (int32, bool) { return int32(n.Hour), true }); err != nil {
			return err
		}
		if err := c.addCounts("minute_counts", "minute", log, counts, func(n control.Count) (int32, bool) { return int32(n.Minute), n.Minute >= oldest }); err != nil {
			return err
		}
		if _, err := c.exec("DELETE FROM minute_counts WHERE minute < ?", int32(oldest)); err != nil {
			return err
		}
		return c.setCursor(countsReader, log, next)
	})
	if err == nil {
		s.mu.Lock()
		s.counted[log] = next
		s.mu.Unlock()
	}
	return err
}

// addCounts adds counts to a table of them by what at gives, which stands in the column unit; those that it does not want
// are left out.
func (c conn) addCounts(table, unit string, log eventlog.ID, counts []control.Count, at func(control.Count) (int32, bool)) error {
	// One statement may not add to the same row twice.
	type key struct {
		workspace uint32
		at        int32
		eventType string
		era       eventlog.Offset
	}
	sums := map[key]int64{}
	for _, n := range counts {
		if at, ok := at(n); ok {
			sums[key{n.Workspace, at, n.EventType, n.Era}] += n.Events
		}
	}
	var rows [][]any
	for k, events := range sums {
		rows = append(rows, []any{k.workspace, k.at, k.eventType, log.String(), int64(k.era), events})
	}
	return c.many("INSERT INTO "+table+" (workspace, "+unit+", event_type, log, era, events) VALUES ", nil, "(?, ?, ?, ?, ?, ?)",
		" ON CONFLICT (workspace, "+unit+", event_type, log, era) DO UPDATE SET events = "+table+".events + excluded.events", rows)
}

// PendingConfigs gives the versions that have no control record yet, oldest first: append them in this order.
func (s *Store) PendingConfigs(ctx context.Context) ([]control.Config, error) {
	cs, err := list(s.reader(ctx), scanConfig, "SELECT config FROM connector_configs WHERE recorded_offset IS NULL ORDER BY id")
	return cs, s.fail(err, "list pending configurations")
}

// ApplyControl takes up control records of log, in their order, and moves the control cursor to next, in one commit.
//
// For a configuration: its version is marked as recorded at its offset. The first record of (connector, version)
// counts and later ones are ignored, so applying twice changes nothing, and a record wins over what the database
// holds under that version. A connector, workspace or version that the database does not know (it was restored from
// a copy) is added; its credentials stay missing. A new destination gets a lane that begins after the record, with
// that version; the lane before it, or the last one on deletion, ends at the record. A lane that is given an end
// counts a save, so that a worker that does not know of it is refused.
//
// For an hour mark: the hour is known to be over from its offset on; see CompleteHours.
//
// The cursor never goes back. Errors: corrupt if a record contradicts its workspace.
func (s *Store) ApplyControl(ctx context.Context, log eventlog.ID, next eventlog.Offset, recs []control.LoggedRecord) error {
	return s.inTx(ctx, "apply control records", func(c conn) error {
		for _, r := range recs {
			if r.Record.Kind == control.RecordHour {
				if _, err := c.exec("INSERT INTO hour_marks (log, mark_offset, hour) VALUES (?, ?, ?) ON CONFLICT (log, mark_offset) DO NOTHING",
					log.String(), int64(r.Offset), int32(r.Record.Hour)); err != nil {
					return err
				}
			}
			if r.Record.Kind != control.RecordConfig || r.Record.Config == nil {
				continue
			}
			if err := c.applyConfig(log, r.Offset, r.Workspace, *r.Record.Config); err != nil {
				return c.s.fail(err, fmt.Sprintf("record at %d", r.Offset))
			}
		}
		had, err := c.cursor(controlReader, log)
		if err != nil {
			return err
		}
		return c.setCursor(controlReader, log, max(had, next))
	})
}

func (c conn) applyConfig(log eventlog.ID, at eventlog.Offset, workspace uint32, n control.Config) error {
	if workspace != n.Workspace {
		return fault.New(fault.Corrupt, "", "a configuration of workspace %d stands in a commit of %d", n.Workspace, workspace)
	}
	newest, err := c.ensureConnector(n)
	if err != nil {
		return err
	}
	var recorded sql.NullInt64
	var known, config = "", string(control.EncodeConfig(n))
	err = c.one("SELECT recorded_offset, config FROM connector_configs WHERE connector = ? AND version = ?",
		[]any{string(n.Connector), n.Version}, &recorded, &known)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		if err := c.insertConfig(n); err != nil {
			return err
		}
	case err != nil:
		return err
	case recorded.Valid:
		return nil
	}
	var applied int
	if err := c.one("SELECT COALESCE(MAX(version), 0) FROM connector_configs WHERE connector = ? AND recorded_offset IS NOT NULL",
		[]any{string(n.Connector)}, &applied); err != nil {
		return err
	}
	if _, err := c.exec("UPDATE connector_configs SET log = ?, recorded_offset = ?, config = ?, destination = ?, bucket = ? WHERE connector = ? AND version = ?",
		log.String(), int64(at), config, n.Destination.Number, n.Destination.Bucket, string(n.Connector), n.Version); err != nil {
		return err
	}
	if n.Version < applied {
		return nil // what came after it is in force already
	}
	if n.Version >= newest {
		var deleted any
		if n.Deleted {
			deleted = millis(c.s.now())
		}
		name, err := c.freeName(n)
		if err != nil {
			return err
		}
		news := 0 // a record mostly says what is known; after a restore it does not, and undoes what was being thought through
		if config != known {
			news = 1
		}
		if _, err := c.exec("UPDATE connectors SET version = ?, name = ?, deleted_at = COALESCE(deleted_at, ?), rev = rev + ? WHERE id = ?",
			n.Version, name, deleted, news, string(n.Connector)); err != nil {
			return err
		}
	}
	keep := n.Destination.Number
	if n.Deleted {
		keep = 0 // no destination has this number
	}
	if _, err := c.exec(`UPDATE lanes SET until_offset = ?, seq = seq + 1
		WHERE connector = ? AND destination <> ? AND until_offset = 0 AND done_at IS NULL`, int64(at), string(n.Connector), keep); err != nil {
		return err
	}
	if n.Deleted {
		return nil
	}
	return c.beginLane(log, at, n)
}

// beginLane makes the lane of n's destination, beginning after the record of n at offset at, unless an earlier
// version has begun it. A lane whose beginning was lost with a log that was set back begins anew.
func (c conn) beginLane(log eventlog.ID, at eventlog.Offset, n control.Config) error {
	var earlier int
	if err := c.one("SELECT COUNT(*) FROM connector_configs WHERE connector = ? AND destination = ? AND recorded_offset IS NOT NULL AND version <> ?",
		[]any{string(n.Connector), n.Destination.Number, n.Version}, &earlier); err != nil {
		return err
	}
	l := control.Lane{Connector: n.Connector, Destination: n.Destination.Number}
	_, err := c.lane(l)
	switch {
	case fault.Is(err, fault.NotFound):
		_, err = c.exec(`INSERT INTO lanes (connector, destination, log, cursor_offset, version, until_offset, high, seq)
			VALUES (?, ?, ?, ?, ?, 0, ?, 0)`, string(l.Connector), l.Destination, log.String(), int64(at+1), n.Version, int64(at+1))
	case err == nil && earlier == 0:
		_, err = c.exec(`UPDATE lanes SET log = ?, cursor_offset = ?, version = ?, until_offset = 0, high = ?, done_at = NULL, seq = seq + 1
			WHERE connector = ? AND destination = ?`, log.String(), int64(at+1), n.Version, int64(at+1), string(l.Connector), l.Destination)
	}
	return err
}

// ensureConnector adds n's connector and workspace where they are missing, and gives the newest version that the
// database knows; 0 if it did not know the connector.
func (c conn) ensureConnector(n control.Config) (newest int, err error) {
	var workspace uint32
	err = c.one("SELECT workspace, version FROM connectors WHERE id = ?", []any{string(n.Connector)}, &workspace, &newest)
	if err == nil && workspace != n.Workspace {
		return 0, fault.New(fault.Corrupt, "", "connector %s belongs to workspace %d, not %d", n.Connector, workspace, n.Workspace)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return newest, err
	}
	now := c.s.now()
	if _, err := c.exec("INSERT INTO workspaces ("+workspaceColumns+") VALUES (?, ?, ?, ?, 'UTC', '', ?, 0) ON CONFLICT (number) DO NOTHING",
		n.Workspace, fmt.Sprintf("restored-%d", n.Workspace), string(control.RejectUnknown), control.DefaultLanguage, millis(now)); err != nil {
		return 0, err
	}
	name, err := c.freeName(n)
	if err != nil {
		return 0, err
	}
	_, err = c.exec(`INSERT INTO connectors (id, number, workspace, name, contact_email, paused, test, version, created_at)
		VALUES (?, ?, ?, ?, '', 0, 0, ?, ?)`, string(n.Connector), n.Number, n.Workspace, name, n.Version, millis(now))
	return 0, err
}

// freeName gives n's name, or one made from it if another connector of the workspace has it by now.
func (c conn) freeName(n control.Config) (string, error) {
	var taken int
	err := c.one("SELECT COUNT(*) FROM connectors WHERE workspace = ? AND name = ? AND id <> ? AND deleted_at IS NULL",
		[]any{n.Workspace, n.Name, string(n.Connector)}, &taken)
	if taken > 0 {
		return n.Name + " " + string(n.Connector), err
	}
	return n.Name, err
}

// RetentionFloor gives the first offset of log that somebody still needs: the lowest cursor of the lanes that are
// not done, of the control reader and of the counts.
func (s *Store) RetentionFloor(ctx context.Context, log eventlog.ID) (floor eventlog.Offset, err error) {
	err = s.snapshot(ctx, "find retention floor", func(c conn) error {
		floor, err = c.cursor(controlReader, log)
		if err != nil {
			return err
		}
		counts, err := c.cursor(countsReader, log)
		if err != nil {
			return err
		}
		var lanes sql.NullInt64
		if err := c.one("SELECT MIN(cursor_offset) FROM lanes WHERE log = ? AND done_at IS NULL", []any{log.String()}, &lanes); err != nil {
			return err
		}
		floor = min(floor, counts)
		if lanes.Valid {
			floor = min(floor, eventlog.Offset(lanes.Int64))
		}
		return nil
	})
	return floor, err
}

// MaxLoggedOffset gives the lowest head that log can have if it is whole: one above the highest offset that a
// position, a ledger row or an internal reader's cursor ever named. A head below it means that the log was set back.
func (s *Store) MaxLoggedOffset(ctx context.Context, log eventlog.ID) (high eventlog.Offset, err error) {
	err = s.snapshot(ctx, "find highest offset", func(c conn) error {
		high, err = c.maxLoggedOffset(log.String())
		return err
	})
	return high, err
}

func (c conn) maxLoggedOffset(log string) (high eventlog.Offset, err error) {
	for _, q := range []string{
		"SELECT COALESCE(MAX(high), 0) FROM lanes WHERE log = ?",
		"SELECT COALESCE(MAX(recorded_offset + 1), 0) FROM connector_configs WHERE log = ?",
		"SELECT COALESCE(MAX(next_offset), 0) FROM cursors WHERE log = ?",
	} {
		var n eventlog.Offset
		if err := c.one(q, []any{log}, &n); err != nil {
			return 0, err
		}
		high = max(high, n)
	}
	return high, nil
}

const currentLog = "current_log"

// CurrentLog gives the one log that this installation works with; false if none was set yet.
func (s *Store) CurrentLog(ctx context.Context) (eventlog.ID, bool, error) {
	const op = "find current log"
	var v string
	err := s.reader(ctx).one("SELECT value FROM settings WHERE name = ?", []any{currentLog}, &v)
	if errors.Is(err, sql.ErrNoRows) {
		return eventlog.ID{}, false, nil
	}
	if err != nil {
		return eventlog.ID{}, false, s.fail(err, op)
	}
	id, ok := eventlog.ParseID(v)
	if !ok {
		return id, false, fault.New(fault.Corrupt, op, "%q names no log", v)
	}
	return id, true, nil
}

// SetCurrentLog makes log the one that this installation works with.
func (s *Store) SetCurrentLog(ctx context.Context, log eventlog.ID) error {
	return s.inTx(ctx, "set current log", func(c conn) error { return c.setCurrentLog(log) })
}

func (c conn) setCurrentLog(log eventlog.ID) error {
	_, err := c.exec("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
		currentLog, log.String())
	return err
}

// nobodyElse holds while no other log has a lease that somebody else holds: of log, owner, now.
const nobodyElse = "NOT EXISTS (SELECT 1 FROM logs WHERE id <> ? AND lease_owner <> ? AND lease_until > ?)"

// AcquireLease makes owner the one who works on log until ttl has passed, unless somebody else is, or works on
// another log of this database: there is one log at a time. A lease that has run out, or that owner holds already, is
// given. Time is the clock that all processes on the database share.
//
// Errors: unavailable also where a newer version has changed the tables since this Store was opened.
func (s *Store) AcquireLease(ctx context.Context, log eventlog.ID, owner string, ttl time.Duration) (ok bool, err error) {
	return s.lease(ctx, "acquire lease", `INSERT INTO logs (id, lease_owner, lease_until)
		SELECT CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT) WHERE `+nobodyElse+`
		ON CONFLICT (id) DO UPDATE SET lease_owner = excluded.lease_owner, lease_until = excluded.lease_until
		WHERE logs.lease_owner = excluded.lease_owner OR logs.lease_until <= ?`,
		func(c conn, now time.Time) ([]any, error) {
			return []any{log.String(), owner, millis(now.Add(ttl)), log.String(), owner, millis(now), millis(now)}, c.refuseNewer()
		})
}

// RenewLease prolongs owner's lease by ttl from now. False means that owner no longer holds it and must stop
// writing; a lease that ran out but was taken by nobody is renewed.
func (s *Store) RenewLease(ctx context.Context, log eventlog.ID, owner string, ttl time.Duration) (ok bool, err error) {
	return s.lease(ctx, "renew lease", "UPDATE logs SET lease_until = ? WHERE id = ? AND lease_owner = ? AND "+nobodyElse,
		func(_ conn, now time.Time) ([]any, error) {
			return []any{millis(now.Add(ttl)), log.String(), owner, log.String(), owner, millis(now)}, nil
		})
}

// ReleaseLease gives owner's lease up, so that the next need not wait. It is no error if owner has none.
func (s *Store) ReleaseLease(ctx context.Context, log eventlog.ID, owner string) error {
	_, err := s.lease(ctx, "release lease", "UPDATE logs SET lease_until = 0, lease_owner = '' WHERE id = ? AND lease_owner = ?",
		func(conn, time.Time) ([]any, error) { return []any{log.String(), owner}, nil })
	return err
}

func (s *Store) lease(ctx context.Context, op, query string, args func(c conn, now time.Time) ([]any, error)) (ok bool, err error) {
	err = s.inTx(ctx, op, func(c conn) error {
		now, err := c.sharedNow() // after waiting for the right to write
		if err != nil {
			return err
		}
		values, err := args(c, now)
		if err != nil {
			return err
		}
		n, err := c.exec(query, values...)
		ok = n > 0
		return err
	})
	return ok && err == nil, err
}

// sharedNow is the time that all processes on the database share: that of leases.
func (c conn) sharedNow() (time.Time, error) {
	if c.s.clock == "" {
		return c.s.now(), nil
	}
	var ms int64
	err := c.one(c.s.clock, nil, &ms)
	return fromMillis(ms), err
}
