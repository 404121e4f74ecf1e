package store

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// Audit compares what was accepted for a connector with what became of it, by hour and type, for the hours from and
// later, before until; an until of 0 has no end. Test events are left out, and so are hours and types with nothing.
//
// Accepted follows the selection as it stood at each event. Accepted = delivered + dropped + waiting. While an hour
// is not complete, accepted is at least what is delivered and dropped, because it is counted a little later. In a
// complete hour waiting is 0, unless the books do not balance. Events that were lost in unknown number are told as
// dropped once their hour is complete.
//
// Errors: not_found, also if the connector belongs to another workspace.
func (s *Store) Audit(ctx context.Context, workspace uint32, id control.ConnectorID, from, until eventlog.Hour) (out map[eventlog.Hour][]control.HourCount, err error) {
	err = s.snapshot(ctx, "audit", func(c conn) error {
		if err := c.belongs(workspace, id); err != nil {
			return err
		}
		if until == 0 {
			until = math.MaxInt32
		}
		out, err = c.audit(workspace, id, from, until)
		return err
	})
	return out, err
}

// entry is what an audit knows of one type in one hour.
type entry struct {
	accepted, delivered, dropped int64
	unsized                      bool // some were dropped in unknown number
}

type entryKey struct {
	hour      eventlog.Hour
	eventType string
}

func (c conn) audit(workspace uint32, id control.ConnectorID, from, until eventlog.Hour) (map[eventlog.Hour][]control.HourCount, error) {
	entries := map[entryKey]*entry{}
	at := func(k entryKey) *entry {
		if entries[k] == nil {
			entries[k] = &entry{}
		}
		return entries[k]
	}
	if err := c.auditAccepted(workspace, id, from, until, at); err != nil {
		return nil, err
	}
	if err := c.auditLedger(id, from, until, at); err != nil {
		return nil, err
	}
	done, err := list(c, func(r scanner) (h eventlog.Hour, err error) { return h, r.Scan(&h) },
		"SELECT hour FROM hours_done WHERE connector = ? AND hour >= ? AND hour < ?", string(id), int32(from), int32(until))
	if err != nil {
		return nil, err
	}
	complete := make(map[eventlog.Hour]bool, len(done))
	for _, h := range done {
		complete[h] = true
	}
	// Drops over all streams, of hours until they were made.
	var unsized sql.NullInt64
	if err := c.one("SELECT MAX(at) / 3600000 FROM drops WHERE connector = ? AND event_type = '' AND events <> 0", []any{string(id)}, &unsized); err != nil {
		return nil, err
	}
	out := map[eventlog.Hour][]control.HourCount{}
	for k, e := range entries {
		rest := e.accepted - e.delivered - e.dropped
		switch {
		case rest < 0 && !complete[k.hour]:
			e.accepted, rest = e.delivered+e.dropped, 0
		case rest > 0 && complete[k.hour] && (e.unsized || unsized.Valid && int64(k.hour) <= unsized.Int64):
			e.dropped, rest = e.dropped+rest, 0
		}
		if *e != (entry{unsized: e.unsized}) {
			out[k.hour] = append(out[k.hour], control.HourCount{EventType: k.eventType, Accepted: e.accepted,
				Delivered: e.delivered, Dropped: e.dropped, Waiting: rest})
		}
	}
	for _, counts := range out {
		slices.SortFunc(counts, func(a, b control.HourCount) int { return strings.Compare(a.EventType, b.EventType) })
	}
	return out, nil
}

// auditAccepted adds what was accepted while the connector selected it.
func (c conn) auditAccepted(workspace uint32, id control.ConnectorID, from, until eventlog.Hour, at func(entryKey) *entry) error {
	all, err := c.versions(only(id))
	if err != nil {
		return err
	}
	type row struct {
		entryKey
		events int64
	}
	selected, args := all[id].selected("hour")
	rows, err := list(c, func(r scanner) (v row, err error) { return v, r.Scan(&v.hour, &v.eventType, &v.events) },
		"SELECT hour, event_type, SUM(events) FROM counts WHERE workspace = ? AND hour >= ? AND hour < ? AND "+selected+" GROUP BY hour, event_type",
		append([]any{workspace, int32(from), int32(until)}, args...)...)
	for _, r := range rows {
		at(r.entryKey).accepted += r.events
	}
	return err
}

// auditLedger adds what the ledger says.
func (c conn) auditLedger(id control.ConnectorID, from, until eventlog.Hour, at func(entryKey) *entry) error {
	type row struct {
		entryKey
		events, unsized int64
	}
	scan := func(r scanner) (v row, err error) { return v, r.Scan(&v.hour, &v.eventType, &v.events, &v.unsized) }
	files, err := list(c, scan, `SELECT hour, event_type, SUM(events), 0 FROM files
		WHERE connector = ? AND hour >= ? AND hour < ? AND target = 0 GROUP BY hour, event_type`, string(id), int32(from), int32(until))
	if err != nil {
		return err
	}
	for _, r := range files {
		at(r.entryKey).delivered += r.events
	}
	drops, err := list(c, scan, `SELECT hour, event_type, SUM(CASE WHEN events > 0 THEN events ELSE 0 END), SUM(CASE WHEN events < 0 THEN 1 ELSE 0 END)
		FROM drops WHERE connector = ? AND hour >= ? AND hour < ? AND target = 0 AND event_type <> '' GROUP BY hour, event_type`,
		string(id), int32(from), int32(until))
	for _, r := range drops {
		e := at(r.entryKey)
		e.dropped += r.events
		e.unsized = e.unsized || r.unsized > 0
	}
	return err
}
