package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

const fileColumns = `connector, destination, object_key, schema_id, hour, target, event_type, part, log, first_offset, last_offset,
	events, raw_hash, size, version, encoder, cut, adopted, at`

// insertFiles adds what is not in a lane's ledger yet, and to the sums of its hours.
func (c conn) insertFiles(l control.Lane, files []control.File) error {
	rows := make([][]any, len(files))
	for i := range files {
		f := &files[i]
		if f.Lane != l {
			return fault.New(fault.Internal, "", "file %s is of lane %s, not %s", f.Key, laneName(f.Lane), laneName(l))
		}
		rows[i] = []any{string(f.Lane.Connector), f.Lane.Destination, f.Key, f.Stream.Schema, int32(f.Stream.Hour), f.Stream.Target, f.EventType,
			f.Partition, f.Log.String(), int64(f.First), int64(f.Last), f.Events, f.RawHash[:], f.Size, f.Version, f.Encoder, f.Cut,
			f.Adopted, millis(f.At)}
	}
	sums := map[eventlog.Hour]control.Tally{}
	err := several(rowsAtOnce, "INSERT INTO files ("+fileColumns+") VALUES ", nil, "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		" ON CONFLICT (connector, destination, object_key) DO NOTHING RETURNING hour, target, events, size", rows, func(query string, all []any) error {
			_, err := list(c, func(r scanner) (none struct{}, err error) {
				var h eventlog.Hour
				var target uint32
				var n control.Tally
				if err = r.Scan(&h, &target, &n.Delivered, &n.Bytes); target == 0 {
					sums[h] = sums[h].Plus(n)
				}
				return none, err
			}, query, all...)
			return err
		})
	if err != nil {
		return err
	}
	rows = rows[:0]
	for h, n := range sums {
		rows = append(rows, []any{string(l.Connector), int32(h), n.Delivered, n.Bytes})
	}
	return c.many("INSERT INTO delivered_hours (connector, hour, events, bytes) VALUES ", nil, "(?, ?, ?, ?)",
		" ON CONFLICT (connector, hour) DO UPDATE SET events = delivered_hours.events + excluded.events, bytes = delivered_hours.bytes + excluded.bytes", rows)
}

func scanFile(r scanner) (f control.File, err error) {
	var log string
	var hash []byte
	var at int64
	err = r.Scan(&f.ID, &f.Lane.Connector, &f.Lane.Destination, &f.Key, &f.Stream.Schema, &f.Stream.Hour, &f.Stream.Target, &f.EventType,
		&f.Partition, &log, &f.First, &f.Last, &f.Events, &hash, &f.Size, &f.Version, &f.Encoder, &f.Cut, &f.Adopted, &at)
	if err != nil {
		return f, err
	}
	id, ok := eventlog.ParseID(log)
	if !ok || len(hash) != len(f.RawHash) {
		return f, fault.New(fault.Corrupt, "", "ledger row %d does not hold together", f.ID)
	}
	f.Log, f.At = id, fromMillis(at)
	copy(f.RawHash[:], hash)
	return f, nil
}

// saveDrop inserts d, or updates its row.
func (c conn) saveDrop(l control.Lane, d *control.Drop) error {
	if d.Lane != l {
		return fault.New(fault.Internal, "", "a drop is of lane %s, not %s", laneName(d.Lane), laneName(l))
	}
	values := []any{string(d.Lane.Connector), d.Lane.Destination, d.Stream.Schema, int32(d.Stream.Hour), d.Stream.Target, d.EventType,
		d.Log.String(), int64(d.First), int64(d.Last), d.Events, string(d.Reason), d.Settled, millis(d.At)}
	if d.ID == 0 {
		_, err := c.exec(`INSERT INTO drops (connector, destination, schema_id, hour, target, event_type, log, first_offset, last_offset,
			events, reason, settled, at, told) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`, values...)
		return err
	}
	err := must(c.exec(`UPDATE drops SET connector = ?, destination = ?, schema_id = ?, hour = ?, target = ?, event_type = ?, log = ?,
		first_offset = ?, last_offset = ?, events = ?, reason = ?, settled = ?, at = ? WHERE id = ? AND connector = ? AND destination = ?`,
		append(values, d.ID, string(l.Connector), l.Destination)...))
	if errors.Is(err, sql.ErrNoRows) {
		err = fault.New(fault.Internal, "", "lane %s has no drop %d", laneName(l), d.ID)
	}
	return err
}

const dropColumns = `d.id, d.connector, d.destination, d.schema_id, d.hour, d.target, d.event_type, d.log, d.first_offset, d.last_offset,
	d.events, d.reason, d.settled, d.at, d.told_at`

func scanDrop(r scanner) (d control.Drop, err error) {
	var log string
	var at int64
	var told sql.NullInt64
	err = r.Scan(&d.ID, &d.Lane.Connector, &d.Lane.Destination, &d.Stream.Schema, &d.Stream.Hour, &d.Stream.Target, &d.EventType, &log,
		&d.First, &d.Last, &d.Events, &d.Reason, &d.Settled, &at, &told)
	if err != nil {
		return d, err
	}
	id, ok := eventlog.ParseID(log)
	if !ok {
		return d, fault.New(fault.Corrupt, "", "drop %d names no log", d.ID)
	}
	d.Log, d.At, d.ToldAt = id, fromMillis(at), fromOptMillis(told)
	return d, nil
}

// UnsettledDrops gives a lane's provisional drops, oldest first.
func (s *Store) UnsettledDrops(ctx context.Context, l control.Lane) ([]control.Drop, error) {
	ds, err := list(s.reader(ctx), scanDrop, "SELECT "+dropColumns+" FROM drops d WHERE d.connector = ? AND d.destination = ? AND d.settled = 0 ORDER BY d.id",
		string(l.Connector), l.Destination)
	return ds, s.fail(err, "list unsettled drops")
}

// The conditions of a filter that files and drops meet differently. Drops over all streams have no type and no hour.
var (
	fileConditions   = conditions{"f.event_type = ?", "f.hour >= ?", "f.hour < ?"}
	searchConditions = conditions{"x.event_type = ?", "x.hour >= ?", "x.hour < ?"}
	dropConditions   = conditions{"d.event_type IN (?, '')",
		"CASE d.event_type WHEN '' THEN d.at / 3600000 ELSE d.hour END >= ?", "(d.event_type = '' OR d.hour < ?)"}
)

type conditions struct{ eventType, from, until string }

// where makes filter f a condition on table t.
func where(t string, of conditions, f control.LedgerFilter) (cond string, args []any) {
	var b strings.Builder
	add := func(c string, v any) {
		b.WriteString(" AND " + c)
		args = append(args, v)
	}
	if f.Workspace != 0 {
		add(t+".connector IN (SELECT id FROM connectors WHERE workspace = ?)", f.Workspace)
	}
	if f.Connector != "" {
		add(t+".connector = ?", string(f.Connector))
	}
	if f.Destination != 0 {
		add(t+".destination = ?", f.Destination)
	}
	if f.EventType != "" {
		add(of.eventType, f.EventType)
	}
	if f.From != 0 {
		add(of.from, int32(f.From))
	}
	if f.Until != 0 {
		add(of.until, int32(f.Until))
	}
	return b.String(), args
}

// Files gives up to limit files of the ledger with an ID above after, in the order in which they were written. The
// newest first, it gives those with an ID below after, 0 being the begin: files that come meanwhile move no page.
func (s *Store) Files(ctx context.Context, f control.LedgerFilter, after int64, limit int) ([]control.File, error) {
	cond, args := where("f", fileConditions, f)
	if f.Search != "" {
		of, first := where("x", searchConditions, f)
		cond += " AND f.id > COALESCE((SELECT x.id FROM files x WHERE 1 = 1" + of + " ORDER BY x.id DESC LIMIT 1 OFFSET ?), 0) AND REPLACE(f.object_key, ?, '') <> f.object_key"
		args = append(append(args, first...), control.FilesSearched, f.Search)
	}
	beyond, order := ordered("f", f.Newest, after)
	if f.From != 0 && f.Until != 0 && f.Until-f.From <= fewHours { // of so few, not along all that there are
		order = strings.Replace(order, "f.id", "f.id + 0", 1)
	}
	fs, err := list(s.reader(ctx), scanFile, "SELECT id, "+fileColumns+" FROM files f WHERE "+beyond+cond+order+" LIMIT ?",
		append(append([]any{after}, args...), limit)...)
	return fs, s.fail(err, "list files")
}

// fewHours is how many hours it is quicker to look through by the hour and to sort than to look through in order.
const fewHours = 24

// ordered gives the condition on table t that its rows lie beyond one ID, and their order.
func ordered(t string, newest bool, after int64) (beyond, order string) {
	switch {
	case !newest:
		return t + ".id > ?", " ORDER BY " + t + ".id"
	case after == 0:
		return t + ".id > ?", " ORDER BY " + t + ".id DESC"
	}
	return t + ".id < ?", " ORDER BY " + t + ".id DESC"
}

// FileByKey gives the ledger row of one object. Errors: not_found.
func (s *Store) FileByKey(ctx context.Context, l control.Lane, key string) (control.File, error) {
	fs, err := list(s.reader(ctx), scanFile, "SELECT id, "+fileColumns+" FROM files WHERE connector = ? AND destination = ? AND object_key = ?",
		string(l.Connector), l.Destination, key)
	if err == nil && len(fs) == 0 {
		return control.File{}, fault.New(fault.NotFound, "", "the ledger of %s has no file %s", laneName(l), key)
	}
	if err != nil {
		return control.File{}, s.fail(err, "find file")
	}
	return fs[0], nil
}

// Drops gives up to limit drops of the ledger, in the order in which they were first written, or the other way round; see
// Files.
func (s *Store) Drops(ctx context.Context, f control.LedgerFilter, after int64, limit int) ([]control.Drop, error) {
	cond, args := where("d", dropConditions, f)
	beyond, order := ordered("d", f.Newest, after)
	ds, err := list(s.reader(ctx), scanDrop, "SELECT "+dropColumns+" FROM drops d WHERE "+beyond+cond+order+" LIMIT ?",
		append(append([]any{after}, args...), limit)...)
	return ds, s.fail(err, "list drops")
}

// DeliveredCounts gives files and events of the ledger by hour and type. Test events are left out.
func (s *Store) DeliveredCounts(ctx context.Context, f control.LedgerFilter) ([]control.Delivered, error) {
	cond, args := where("f", fileConditions, f)
	cs, err := list(s.reader(ctx), func(r scanner) (v control.Delivered, err error) {
		return v, r.Scan(&v.EventType, &v.Hour, &v.Files, &v.Events)
	}, "SELECT event_type, hour, COUNT(*), SUM(events) FROM files f WHERE target = 0"+cond+" GROUP BY hour, event_type ORDER BY hour, event_type", args...)
	return cs, s.fail(err, "count delivered events")
}

// AcceptedCounts gives how many events of each type a workspace's hours from and later, before until, hold;
// an until of 0 has no end. Test events are left out, and eras are not told apart.
func (s *Store) AcceptedCounts(ctx context.Context, workspace uint32, from, until eventlog.Hour) ([]control.Count, error) {
	query, args := "SELECT workspace, event_type, hour, SUM(events) FROM counts WHERE workspace = ? AND hour >= ?", []any{workspace, int32(from)}
	if until != 0 {
		query, args = query+" AND hour < ?", append(args, int32(until))
	}
	cs, err := list(s.reader(ctx), func(r scanner) (v control.Count, err error) {
		return v, r.Scan(&v.Workspace, &v.EventType, &v.Hour, &v.Events)
	}, query+" GROUP BY workspace, hour, event_type ORDER BY hour, event_type", args...)
	return cs, s.fail(err, "count accepted events")
}

// CapUsed gives how many events stand in files that a workspace's test connectors have written since then. Test
// events are left out, and so is what was dropped and brought back: that somebody asked for it makes no later event
// one too many.
func (s *Store) CapUsed(ctx context.Context, workspace uint32, since time.Time) (n int64, err error) {
	err = s.reader(ctx).one(`SELECT COALESCE(SUM(f.events), 0) FROM connectors c JOIN files f ON f.connector = c.id
		WHERE c.workspace = ? AND c.test = 1 AND f.at >= ? AND f.target = 0 AND f.cut <> ?`, []any{workspace, millis(since), control.CutReplay}, &n)
	return n, s.fail(err, "find what is used of the cap")
}

// CapDrops gives how many events each test connector of a workspace has lost to the cap since then; those that lost none are
// left out.
func (s *Store) CapDrops(ctx context.Context, workspace uint32, since time.Time) (map[control.ConnectorID]int64, error) {
	out := map[control.ConnectorID]int64{}
	_, err := list(s.reader(ctx), func(r scanner) (none struct{}, err error) {
		var id control.ConnectorID
		var events int64
		err = r.Scan(&id, &events)
		out[id] = events
		return none, err
	}, `SELECT c.id, SUM(d.events) FROM connectors c JOIN drops d ON d.connector = c.id
		WHERE c.workspace = ? AND c.test = 1 AND d.reason = ? AND d.at >= ? AND d.events > 0 GROUP BY c.id`, workspace, string(control.DropCap), millis(since))
	return out, s.fail(err, "count what the cap dropped")
}

// RecoverDrop writes into the ledger that files hold events which stood in it as dropped, and makes the drop's row
// d, or removes it if d has no events left, in one commit. Doing it again changes nothing.
//
// Errors: not_found if there is no such lane; conflict if the drop is not settled yet; stale if its row is gone and a
// file is new. Nothing is written with any error.
func (s *Store) RecoverDrop(ctx context.Context, d control.Drop, files []control.File) error {
	return s.inTx(ctx, "recover drop", func(c conn) error {
		if _, err := c.lane(d.Lane); err != nil {
			return err
		}
		var settled bool
		err := c.one("SELECT settled FROM drops WHERE id = ? AND connector = ? AND destination = ?",
			[]any{d.ID, string(d.Lane.Connector), d.Lane.Destination}, &settled)
		gone := errors.Is(err, sql.ErrNoRows)
		switch {
		case gone:
		case err != nil:
			return err
		case !settled:
			return fault.New(fault.Conflict, "", "drop %d is not settled yet", d.ID)
		}
		if gone {
			for i := range files {
				var n int
				if err := c.one("SELECT COUNT(*) FROM files WHERE connector = ? AND destination = ? AND object_key = ?",
					[]any{string(d.Lane.Connector), d.Lane.Destination, files[i].Key}, &n); err != nil {
					return err
				}
				if n == 0 {
					return fault.New(fault.Stale, "", "drop %d is no longer in the ledger", d.ID)
				}
			}
			return nil
		}
		if err := c.insertFiles(d.Lane, files); err != nil {
			return err
		}
		if d.Events == 0 {
			_, err := c.exec("DELETE FROM drops WHERE id = ?", d.ID)
			return err
		}
		d.Settled = true
		return c.saveDrop(d.Lane, &d)
	})
}
