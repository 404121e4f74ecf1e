package store

import (
	"context"
	"database/sql"
	"errors"
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

// AcceptLog makes log, which now holds the offsets from start to below head, the current one, and brings every
// lane that is not done in line with it, in one commit. It is the operator's decision; nothing calls it by itself.
//
// A lane whose position is in another log gets a settled drop from its cursor on (log_lost, number of events not
// known) and begins at start, or is done if its end lay in the lost log. Where a position, a link or a ledger row
// lies above head, the log was set back: links above head go, cursor and internal readers are cut to head, and a
// drop from head on says that what had been accepted there is gone. Versions whose control record is lost wait in
// PendingConfigs again; ends that were set by a lost record are taken back, and lanes that it began are done until it
// comes again.
//
// Doing it again changes nothing.
func (s *Store) AcceptLog(ctx context.Context, log eventlog.ID, start, head eventlog.Offset) error {
	return s.inTx(ctx, "accept log", func(c conn) error {
		if err := c.setCurrentLog(log); err != nil {
			return err
		}
		lanes, err := list(c, func(r scanner) (l control.Lane, err error) {
			return l, r.Scan(&l.Connector, &l.Destination)
		}, "SELECT connector, destination FROM lanes WHERE done_at IS NULL ORDER BY connector, destination")
		if err != nil {
			return err
		}
		for _, l := range lanes {
			v, err := c.lane(l)
			if err != nil {
				return err
			}
			switch {
			case v.log != log.String():
				err = c.moveLane(l, v, log, start)
			case v.high > head:
				err = c.cutLane(l, v, log, head)
			}
			if err != nil {
				return fmt.Errorf("lane %s: %w", laneName(l), err)
			}
		}
		for _, q := range []string{
			"UPDATE connector_configs SET recorded_offset = NULL, log = NULL WHERE log = ? AND recorded_offset >= ?",
			"UPDATE cursors SET next_offset = ? WHERE log = ? AND next_offset > ?",
			"UPDATE lanes SET high = ? WHERE log = ? AND high > ?", // of those that are done
		} {
			args := []any{int64(head), log.String(), int64(head)}
			if _, err := c.exec(q, args[3-strings.Count(q, "?"):]...); err != nil {
				return err
			}
		}
		return nil
	})
}

// moveLane lets a lane of a lost log begin in another one.
func (c conn) moveLane(l control.Lane, v laneState, log eventlog.ID, start eventlog.Offset) error {
	if err := c.logLost(l, v.log, v.cursor, v.high); err != nil {
		return err
	}
	if v.until != 0 {
		return c.finishLane(l)
	}
	if err := c.clearLinks(l); err != nil {
		return err
	}
	var version int
	if err := c.one("SELECT COALESCE(MAX(version), 0) FROM connector_configs WHERE connector = ? AND destination = ? AND recorded_offset IS NOT NULL",
		[]any{string(l.Connector), l.Destination}, &version); err != nil {
		return err
	}
	_, err := c.exec("UPDATE lanes SET log = ?, cursor_offset = ?, version = ?, high = ?, seq = seq + 1 WHERE connector = ? AND destination = ?",
		log.String(), int64(start), max(v.version, version), int64(start), string(l.Connector), l.Destination)
	return err
}

// cutLane takes a lane back to the head of a log that was set back.
func (c conn) cutLane(l control.Lane, v laneState, log eventlog.ID, head eventlog.Offset) error {
	if err := c.logLost(l, v.log, head, v.high); err != nil {
		return err
	}
	for _, q := range []string{
		"DELETE FROM links WHERE connector = ? AND destination = ? AND last_offset >= ?",
		"DELETE FROM plans WHERE connector = ? AND destination = ? AND last_offset >= ?",
	} {
		if _, err := c.exec(q, string(l.Connector), l.Destination, int64(head)); err != nil {
			return err
		}
	}
	// The version in force at the head is the newest of this destination whose record is left.
	var version int
	err := c.one(`SELECT version FROM connector_configs WHERE connector = ? AND destination = ? AND log = ? AND recorded_offset < ?
		ORDER BY version DESC LIMIT 1`, []any{string(l.Connector), l.Destination, log.String(), int64(head)}, &version)
	if errors.Is(err, sql.ErrNoRows) {
		// The record that began the lane is lost. It may not go on beside the lane before it; beginLane opens it
		// again once the record is appended anew.
		_, err = c.exec("UPDATE lanes SET done_at = ?, high = ?, seq = seq + 1 WHERE connector = ? AND destination = ?",
			millis(c.s.now()), int64(head), string(l.Connector), l.Destination)
		return err
	}
	if err != nil {
		return err
	}
	until := v.until
	if until >= head {
		until = 0
	}
	_, err = c.exec("UPDATE lanes SET cursor_offset = ?, version = ?, until_offset = ?, high = ?, seq = seq + 1 WHERE connector = ? AND destination = ?",
		int64(min(v.cursor, head)), min(v.version, version), int64(until), int64(head), string(l.Connector), l.Destination)
	return err
}

// logLost writes into the ledger that what a lane had of log from first on can no longer be told.
func (c conn) logLost(l control.Lane, log string, first, high eventlog.Offset) error {
	id, ok := eventlog.ParseID(log)
	if !ok {
		return fault.New(fault.Corrupt, "", "the position of %s names no log", laneName(l))
	}
	return c.saveDrop(l, &control.Drop{
		Lane: l, Log: id, First: first, Last: max(first, high-1), Events: -1, Reason: control.DropLogLost, At: c.s.now(), Settled: true,
	})
}
