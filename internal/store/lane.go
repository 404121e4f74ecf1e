package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

func laneName(l control.Lane) string { return fmt.Sprintf("%s/%d", l.Connector, l.Destination) }

// Lanes gives every lane that is not done, of all workspaces, in the order of their identities.
func (s *Store) Lanes(ctx context.Context) ([]control.LaneRow, error) {
	rows, err := list(s.reader(ctx), func(r scanner) (v control.LaneRow, err error) {
		return v, r.Scan(&v.Lane.Connector, &v.Lane.Destination, &v.Workspace, &v.WorkspaceName, &v.Name, &v.Number, &v.Paused, &v.Test)
	}, `SELECT l.connector, l.destination, c.workspace, w.name, c.name, c.number, c.paused, c.test
		FROM lanes l JOIN connectors c ON c.id = l.connector JOIN workspaces w ON w.number = c.workspace
		WHERE l.done_at IS NULL ORDER BY l.connector, l.destination`)
	return rows, s.fail(err, "list lanes")
}

// laneState is a row of lanes.
type laneState struct {
	log     string
	cursor  eventlog.Offset
	version int
	until   eventlog.Offset
	high    eventlog.Offset
	seq     int64
	done    sql.NullInt64
}

func (c conn) lane(l control.Lane) (v laneState, err error) {
	err = c.one("SELECT log, cursor_offset, version, until_offset, high, seq, done_at FROM lanes WHERE connector = ? AND destination = ?",
		[]any{string(l.Connector), l.Destination}, &v.log, &v.cursor, &v.version, &v.until, &v.high, &v.seq, &v.done)
	if errors.Is(err, sql.ErrNoRows) {
		err = fault.New(fault.NotFound, "", "there is no lane %s", laneName(l))
	}
	return v, err
}

func (c conn) links(l control.Lane) (map[control.Stream]eventlog.Offset, error) {
	type link struct {
		stream control.Stream
		last   eventlog.Offset
	}
	rows, err := list(c, func(r scanner) (v link, err error) {
		return v, r.Scan(&v.stream.Schema, &v.stream.Hour, &v.stream.Target, &v.last)
	}, "SELECT schema_id, hour, target, last_offset FROM links WHERE connector = ? AND destination = ?", string(l.Connector), l.Destination)
	links := make(map[control.Stream]eventlog.Offset, len(rows))
	for _, r := range rows {
		links[r.stream] = r.last
	}
	return links, err
}

func (c conn) plans(l control.Lane) ([]control.Plan, error) {
	return list(c, func(r scanner) (p control.Plan, err error) {
		return p, r.Scan(&p.Stream.Schema, &p.Stream.Hour, &p.Stream.Target, &p.Partition, &p.First, &p.Last)
	}, `SELECT schema_id, hour, target, part, first_offset, last_offset FROM plans
		WHERE connector = ? AND destination = ? ORDER BY first_offset, part, schema_id, hour, target`, string(l.Connector), l.Destination)
}

// Position gives how far a lane has come, with its links (never nil) and plans, as of one moment. Errors:
// not_found.
func (s *Store) Position(ctx context.Context, l control.Lane) (control.Position, error) {
	p := control.Position{Lane: l}
	return p, s.snapshot(ctx, "load position", func(c conn) error {
		v, err := c.lane(l)
		if err != nil {
			return err
		}
		id, ok := eventlog.ParseID(v.log)
		if !ok {
			return fault.New(fault.Corrupt, "", "the position of %s names no log", laneName(l))
		}
		p.Log, p.Cursor, p.Version, p.Until, p.Seq = id, v.cursor, v.version, v.until, v.seq
		if p.Links, err = c.links(l); err != nil {
			return err
		}
		p.Plans, err = c.plans(l)
		return err
	})
}

// Save writes a position and the ledger rows that it covers in one commit, and gives the position's new Seq.
//
// Links and plans become exactly those of the position; only differences are written. Of the position, Until is
// not written: ApplyControl alone sets it. A file whose key is in the lane's ledger is left as it is. A drop with an
// ID replaces that row; one without becomes a new row, whose ID UnsettledDrops and Drops tell. sv is only read.
//
// Errors: stale if the position is not based on the newest (or the lane is done): load it again. internal if the
// cursor would go back, or the log is another one. not_found. Nothing is written with any error.
func (s *Store) Save(ctx context.Context, sv control.Save) (seq int64, err error) {
	p := sv.Position
	err = s.inScope(ctx, "save position", p.Lane.Connector, func(c conn) error {
		had, err := c.lane(p.Lane)
		if err != nil {
			return err
		}
		switch {
		case had.done.Valid:
			return fault.New(fault.Stale, "", "lane %s is done", laneName(p.Lane))
		case had.seq != p.Seq:
			return fault.New(fault.Stale, "", "lane %s was saved meanwhile (%d, this is based on %d)", laneName(p.Lane), had.seq, p.Seq)
		case had.log != p.Log.String():
			return fault.New(fault.Internal, "", "lane %s is in log %s, not %s", laneName(p.Lane), had.log, p.Log)
		case p.Cursor < had.cursor:
			return fault.New(fault.Internal, "", "the cursor of lane %s would go back from %d to %d", laneName(p.Lane), had.cursor, p.Cursor)
		}
		if err := c.saveLinks(p); err != nil {
			return err
		}
		if err := c.savePlans(p); err != nil {
			return err
		}
		if err := c.insertFiles(p.Lane, sv.Files); err != nil {
			return err
		}
		for i := range sv.Drops {
			if err := c.saveDrop(p.Lane, &sv.Drops[i]); err != nil {
				return err
			}
		}
		seq = had.seq + 1
		return must(c.exec("UPDATE lanes SET cursor_offset = ?, version = ?, high = ?, seq = ? WHERE connector = ? AND destination = ?",
			int64(p.Cursor), p.Version, int64(max(had.high, highest(sv))), seq, string(p.Lane.Connector), p.Lane.Destination))
	})
	if err != nil {
		return 0, err
	}
	return seq, nil
}

// highest is one above the highest offset that sv names, of its own log.
func highest(sv control.Save) eventlog.Offset {
	p := sv.Position
	high := p.Cursor
	for _, last := range p.Links {
		high = max(high, last+1)
	}
	for _, plan := range p.Plans {
		high = max(high, plan.Last+1)
	}
	for i := range sv.Files {
		if sv.Files[i].Log == p.Log {
			high = max(high, sv.Files[i].Last+1)
		}
	}
	for i := range sv.Drops {
		if sv.Drops[i].Log == p.Log {
			high = max(high, sv.Drops[i].Last+1)
		}
	}
	return high
}

func (c conn) saveLinks(p control.Position) error {
	had, err := c.links(p.Lane)
	if err != nil {
		return err
	}
	lane := []any{string(p.Lane.Connector), p.Lane.Destination}
	var gone, news [][]any
	for s := range had {
		if _, ok := p.Links[s]; !ok {
			gone = append(gone, []any{s.Schema, int32(s.Hour), s.Target})
		}
	}
	for s, last := range p.Links {
		if old, ok := had[s]; !ok || old != last {
			news = append(news, append(slices.Clip(lane), s.Schema, int32(s.Hour), s.Target, int64(last)))
		}
	}
	if err := c.many("DELETE FROM links WHERE connector = ? AND destination = ? AND (schema_id, hour, target) IN (VALUES ", lane,
		"(CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT))", ")", gone); err != nil {
		return err
	}
	return c.many("INSERT INTO links (connector, destination, schema_id, hour, target, last_offset) VALUES ", nil, "(?, ?, ?, ?, ?, ?)",
		" ON CONFLICT (connector, destination, schema_id, hour, target) DO UPDATE SET last_offset = excluded.last_offset", news)
}

func (c conn) savePlans(p control.Position) error {
	had, err := c.plans(p.Lane)
	if err != nil {
		return err
	}
	for _, plan := range had {
		if slices.Contains(p.Plans, plan) {
			continue
		}
		if _, err := c.exec(`DELETE FROM plans WHERE connector = ? AND destination = ? AND schema_id = ? AND hour = ? AND target = ?
			AND part = ? AND first_offset = ?`, string(p.Lane.Connector), p.Lane.Destination,
			plan.Stream.Schema, int32(plan.Stream.Hour), plan.Stream.Target, plan.Partition, int64(plan.First)); err != nil {
			return err
		}
	}
	for _, plan := range p.Plans {
		if slices.Contains(had, plan) {
			continue
		}
		if _, err := c.exec(`INSERT INTO plans (connector, destination, schema_id, hour, target, part, first_offset, last_offset)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, string(p.Lane.Connector), p.Lane.Destination,
			plan.Stream.Schema, int32(plan.Stream.Hour), plan.Stream.Target, plan.Partition, int64(plan.First), int64(plan.Last)); err != nil {
			return err
		}
	}
	return nil
}

// FinishLane marks a lane done: its links and plans go, its ledger stays. Where the lane's destination is no longer
// the connector's, or the connector is deleted, its credentials are erased. Finishing it again changes nothing.
//
// Errors: not_found; conflict if the lane has no end.
func (s *Store) FinishLane(ctx context.Context, l control.Lane) error {
	return s.inTx(ctx, "finish lane", func(c conn) error {
		v, err := c.lane(l)
		if err != nil || v.done.Valid {
			return err
		}
		if v.until == 0 {
			return fault.New(fault.Conflict, "", "lane %s goes on", laneName(l))
		}
		return c.finishLane(l)
	})
}

func (c conn) finishLane(l control.Lane) error {
	if _, err := c.exec("UPDATE lanes SET done_at = ?, seq = seq + 1 WHERE connector = ? AND destination = ?",
		millis(c.s.now()), string(l.Connector), l.Destination); err != nil {
		return err
	}
	if err := c.clearLinks(l); err != nil {
		return err
	}
	_, err := c.exec(`UPDATE credentials SET secret = NULL, access_key_id = '', role_arn = '' WHERE connector = ? AND destination = ? AND NOT EXISTS (
			SELECT 1 FROM connectors c JOIN connector_configs n ON n.connector = c.id AND n.version = c.version
			WHERE c.id = credentials.connector AND c.deleted_at IS NULL AND n.destination = credentials.destination)`,
		string(l.Connector), l.Destination)
	return err
}

func (c conn) clearLinks(l control.Lane) error {
	if _, err := c.exec("DELETE FROM links WHERE connector = ? AND destination = ?", string(l.Connector), l.Destination); err != nil {
		return err
	}
	_, err := c.exec("DELETE FROM plans WHERE connector = ? AND destination = ?", string(l.Connector), l.Destination)
	return err
}

// UntoldDrops gives the drops of a lane that people have not been told of, oldest first: those of which something is
// lost, test events left out.
func (s *Store) UntoldDrops(ctx context.Context, l control.Lane) ([]control.Drop, error) {
	ds, err := list(s.reader(ctx), scanDrop, "SELECT "+dropColumns+` FROM drops d
		WHERE d.connector = ? AND d.destination = ? AND d.told = 0 AND d.target = 0 AND d.events > 0 AND d.event_type <> '' ORDER BY d.id`,
		string(l.Connector), l.Destination)
	return ds, s.fail(err, "list drops to tell of")
}

// TellDrops writes notices and marks the drops that they tell of as told, in one commit. Errors: stale if a drop is gone,
// has another count now, or was told of meanwhile; nothing is written.
func (s *Store) TellDrops(ctx context.Context, told []control.Drop, notices []control.Notice) error {
	return s.inTx(ctx, "tell of drops", func(c conn) error {
		for i := range told {
			err := must(c.exec("UPDATE drops SET told = 1, told_at = ? WHERE id = ? AND told = 0 AND events = ?",
				millis(s.now()), told[i].ID, told[i].Events))
			if errors.Is(err, sql.ErrNoRows) {
				return fault.New(fault.Stale, "", "drop %d has changed meanwhile", told[i].ID)
			}
			if err != nil {
				return err
			}
		}
		for _, n := range notices {
			if err := c.addNotice(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// SaveHealth keeps what a lane says of itself. Errors: not_found if there is no such lane.
func (s *Store) SaveHealth(ctx context.Context, h control.Health) error {
	return s.inScope(ctx, "save health", h.Lane.Connector, func(c conn) error {
		if _, err := c.lane(h.Lane); err != nil {
			return err
		}
		_, err := c.exec(`INSERT INTO health (connector, destination, state, since, problem, message, said, failing, last_file_at, episode_at,
				kept, kept_episode_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (connector, destination) DO UPDATE SET state = excluded.state, since = excluded.since,
				problem = excluded.problem, message = excluded.message, said = excluded.said, failing = excluded.failing, last_file_at = excluded.last_file_at,
				episode_at = excluded.episode_at, kept = excluded.kept, kept_episode_at = excluded.kept_episode_at`,
			string(h.Lane.Connector), h.Lane.Destination, string(h.State), millis(h.Since), h.Problem, h.Message, h.Said,
			int64(h.Failing), optMillis(h.LastFile), optMillis(h.Episode), int64(h.Kept), optMillis(h.KeptEpisode))
		return err
	})
}

// Healths gives what the lanes of a connector that are not done last said of themselves, by destination; those that
// have said nothing yet are left out. Without a connector it gives those of all connectors of the workspace, in the
// order of their identities. A connector of another workspace has none.
func (s *Store) Healths(ctx context.Context, workspace uint32, id control.ConnectorID) ([]control.Health, error) {
	hs, err := list(s.reader(ctx), scanHealth, "SELECT "+healthColumns+` FROM health h JOIN connectors c ON c.id = h.connector
		JOIN lanes l ON l.connector = h.connector AND l.destination = h.destination
		WHERE c.workspace = ? AND (CAST(? AS TEXT) = '' OR c.id = ?) AND l.done_at IS NULL ORDER BY h.connector, h.destination`,
		workspace, string(id), string(id))
	return hs, s.fail(err, "list health")
}

// Health gives what a lane last said of itself; active, with zero times, if it has said nothing yet.
func (s *Store) Health(ctx context.Context, l control.Lane) (control.Health, error) {
	hs, err := list(s.reader(ctx), scanHealth, "SELECT "+healthColumns+" FROM health h WHERE h.connector = ? AND h.destination = ?",
		string(l.Connector), l.Destination)
	if err != nil || len(hs) == 0 {
		return control.Health{Lane: l, State: control.LaneActive}, s.fail(err, "load health")
	}
	return hs[0], nil
}

// healthColumns has the last file from the ledger: a lane says how it is when that changes, not with each file.
const healthColumns = `h.connector, h.destination, h.state, h.since, h.problem, h.message, h.said, h.failing,
	COALESCE((SELECT MAX(f.at) FROM files f WHERE f.connector = h.connector AND f.destination = h.destination), h.last_file_at), h.episode_at, h.kept, h.kept_episode_at`

func scanHealth(r scanner) (h control.Health, err error) {
	var since, failing, kept int64
	var last, episode, keptEpisode sql.NullInt64
	err = r.Scan(&h.Lane.Connector, &h.Lane.Destination, &h.State, &since, &h.Problem, &h.Message, &h.Said, &failing, &last, &episode, &kept, &keptEpisode)
	h.Since, h.Failing, h.LastFile, h.Episode = fromMillis(since), time.Duration(failing), fromOptMillis(last), fromOptMillis(episode)
	h.Kept, h.KeptEpisode = time.Duration(kept), fromOptMillis(keptEpisode)
	return h, err
}
