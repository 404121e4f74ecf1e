package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const (
	exportColumns = "number, id, workspace, kind, source, actor, api_key, subject, title, spec, bucket, endpoint, state, people, total, parts, bytes, after_row, file, error, " +
		"created_at, started_at, done_at, expires_at, call_at, calls"
	exportQuery = "SELECT " + exportColumns + ", CASE WHEN " + exportOpen + " THEN (SELECT w.erased_at FROM workspaces w WHERE w.number = exports.workspace) ELSE exports.erased_at END FROM exports "
	exportOpen  = "state IN ('waiting', 'running')"
	exportKept  = "state = 'done' AND erased_at IS NULL AND expires_at > ?" // its file can be downloaded
)

func scanExport(r scanner) (e control.Export, err error) {
	var actor, spec, failure string
	var created int64
	var started, done, expires, call, erased sql.NullInt64
	if err = r.Scan(&e.Number, &e.ID, &e.Workspace, &e.Kind, &e.Source, &actor, &e.Key, &e.Subject, &e.Title, &spec, &e.Place.Bucket, &e.Place.Endpoint, &e.State,
		&e.People, &e.Total, &e.Parts, &e.Bytes, &e.After, &e.File, &failure, &created, &started, &done, &expires, &call, &e.Call.Tries, &erased); err != nil {
		return e, err
	}
	e.CreatedAt, e.StartedAt, e.DoneAt = fromMillis(created), fromOptMillis(started), fromOptMillis(done)
	e.ExpiresAt, e.Call.Next, e.ErasedAt = fromOptMillis(expires), fromOptMillis(call), fromOptMillis(erased)
	d := json.NewDecoder(strings.NewReader(spec))
	d.DisallowUnknownFields() // of a filter of which something is passed over, other people would be exported
	if err = d.Decode(&e.Spec); err == nil {
		err = json.Unmarshal([]byte(actor), &e.Actor)
	}
	if err == nil && failure != "" {
		e.Failure, err = readFailure(failure)
	}
	if err != nil {
		e.Spec = control.ExportSpec{}
		err = unreadable(err, string(e.ID), fault.Message{Key: "control.export_unreadable", Text: "What was asked for with export {id} is not of this program."})
	}
	return e, err
}

// unreadable says of a row that it cannot be read. Nothing of it is changed.
func unreadable(err error, id string, what fault.Message) error {
	return (&fault.Error{Code: fault.Corrupt, Msg: what, Params: fault.Params{"id": id},
		Hint: fault.Message{Key: "control.unreadable_hint", Text: "If a newer version of Millrace wrote it, the operator starts that version."}}).WithCause(err)
}

// despite lists a row that cannot be read beside the others: failure is where it says so.
func despite[T any](scan func(scanner) (T, error), failure func(*T) **fault.Error) func(scanner) (T, error) {
	return func(r scanner) (x T, err error) {
		if x, err = scan(r); fault.Is(err, fault.Corrupt) {
			*failure(&x), err = fault.As(err), nil
		}
		return x, err
	}
}

// Limits of exports that wait or run.
const (
	exportsOfOne    = 100 // of a workspace
	segmentExports  = 100 // of segments by the vendor's calls, of the installation. Source: Braze, "Export user profiles by segment"
	exportsPerLimit = time.Minute
	partsAtOnce     = 100 // that are searched for people
)

// AddExport stores an export that waits, and gives its Number. Errors: rate_limited if 100 of the workspace wait or run;
// of those that the vendor's call asks for, also if one of the same segment does, or 100 of the installation.
func (s *Store) AddExport(ctx context.Context, e control.Export) (number int64, err error) {
	return number, s.inTx(ctx, "add export", func(c conn) (err error) {
		number, err = c.addExport(e)
		return err
	})
}

func (c conn) addExport(e control.Export) (number int64, err error) {
	actor, err := json.Marshal(e.Actor)
	if err != nil {
		return 0, err
	}
	spec, err := json.Marshal(e.Spec)
	if err != nil {
		return 0, err
	}
	if err := c.roomForExport(e); err != nil {
		return 0, err
	}
	return number, c.one(`INSERT INTO exports (id, workspace, kind, source, actor, member, api_key, subject, title, spec, bucket, endpoint, state, people, total, parts, bytes, after_row,
			file, error, created_at, calls)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', 0, 0, 0, 0, 0, '', '', ?, 0) RETURNING number`,
		[]any{string(e.ID), e.Workspace, string(e.Kind), string(e.Source), string(actor), string(e.Actor.Member), string(e.Key), e.Subject, e.Title, string(spec),
			e.Place.Bucket, e.Place.Endpoint, millis(e.CreatedAt)}, &number)
}

// roomForExport refuses an export where too many wait or run. Errors: rate_limited.
func (c conn) roomForExport(e control.Export) error {
	refuse := func(key, text string) error {
		return (&fault.Error{Code: fault.RateLimited, Msg: fault.Message{Key: key, Text: text}, Params: fault.Params{"n": exportsOfOne},
			Hint: fault.Message{Key: "control.exports_wait", Text: "Wait until one of them is done, or cancel one."}}).WithRetry(exportsPerLimit)
	}
	var mine, same, all int
	if err := c.one("SELECT COALESCE(SUM(CASE WHEN workspace = ? THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN workspace = ? AND kind = ? AND source = ? AND subject = ? THEN 1 ELSE 0 END), 0), "+
		"COALESCE(SUM(CASE WHEN kind = ? AND source = ? THEN 1 ELSE 0 END), 0) FROM exports WHERE "+exportOpen,
		[]any{e.Workspace, e.Workspace, string(e.Kind), string(e.Source), e.Subject, string(control.ExportSegmentUsers), string(control.ExportByAPI)}, &mine, &same, &all); err != nil {
		return err
	}
	called := e.Source == control.ExportByAPI && e.Kind.Lines()
	switch {
	case called && same > 0:
		return refuse("control.export_running", "An export of this segment waits or runs already.")
	case called && e.Kind == control.ExportSegmentUsers && all >= segmentExports:
		return refuse("control.exports_installation", "{n} exports of segments wait or run already.")
	case mine >= exportsOfOne:
		return refuse("control.exports_workspace", "{n} exports of the workspace wait or run already.")
	}
	return nil
}

// Export gives one export. Errors: not_found, also if it belongs to another workspace.
func (s *Store) Export(ctx context.Context, workspace uint32, id control.ExportID) (control.Export, error) {
	all, err := list(s.reader(ctx), scanExport, exportQuery+"WHERE id = ? AND workspace = ?", string(id), workspace)
	if err == nil && len(all) == 0 {
		return control.Export{}, fault.New(fault.NotFound, "", "there is no export %s", id)
	}
	if err != nil {
		return control.Export{}, s.fail(err, "find export")
	}
	return all[0], nil
}

// Exports gives up to limit exports of a workspace that f chooses and whose Number is less than before, the newest first;
// before 0: from the newest on.
// Of one that cannot be read, Failure says so, and Spec is empty.
func (s *Store) Exports(ctx context.Context, workspace uint32, f control.ExportFilter, before int64, limit int) ([]control.Export, error) {
	where, args := "WHERE workspace = ?", []any{workspace}
	and := func(text string, values ...any) {
		where, args = where+" AND "+text, append(args, values...)
	}
	if before > 0 {
		and("number < ?", before)
	}
	if len(f.Kinds) > 0 {
		and("kind IN (" + strings.Repeat(", ?", len(f.Kinds))[2:] + ")")
		for _, k := range f.Kinds {
			args = append(args, string(k))
		}
	}
	if len(f.States) > 0 {
		and("state IN (" + strings.Repeat(", ?", len(f.States))[2:] + ")")
		for _, k := range f.States {
			args = append(args, string(k))
		}
	}
	if f.Source != "" {
		and("source = ?", string(f.Source))
	}
	if f.Subject != "" {
		and("subject = ?", f.Subject)
	}
	if f.Member != "" {
		and("member = ?", string(f.Member))
	}
	all, err := list(s.reader(ctx), despite(scanExport, func(e *control.Export) **fault.Error { return &e.Failure }), exportQuery+where+" ORDER BY number DESC LIMIT ?", append(args, limit)...)
	return all, s.fail(err, "list exports")
}

// OpenExports gives the exports of all workspaces that wait or run, oldest first. It is for the process that does them: one
// that runs and that it does not know of was running when its process ended.
//
// Errors: corrupt, naming those that cannot be read, beside those that can; they have failed then, and are not met again.
func (s *Store) OpenExports(ctx context.Context) (open []control.Export, err error) {
	const op = "list open exports"
	open, broken, why, err := s.readExports(ctx, exportQuery+"WHERE "+exportOpen+" ORDER BY number")
	if err != nil {
		return nil, s.fail(err, op)
	}
	for _, e := range broken {
		e.State, e.DoneAt = control.ExportFailed, s.now()
		e.Failure = fault.New(fault.Corrupt, "", "What was asked for cannot be read any more.").WithHint("Ask for it again.")
		if err := s.EndExport(ctx, e); err != nil {
			return open, err
		}
	}
	return open, s.fail(why, op)
}

// StartExport says that an export runs, and how many people there may be. One that runs goes on from the progress of e, which
// is where it is, or the beginning: parts above that are forgotten. Without a part, what it will hold is read from at on.
// Errors: stale if it has ended.
func (s *Store) StartExport(ctx context.Context, e control.Export, total int64, at time.Time) error {
	return s.inTx(ctx, "start export", func(c conn) error {
		started := "COALESCE(started_at, ?)"
		if e.Parts == 0 {
			started = "?"
		}
		if err := met(c.exec("UPDATE exports SET state = 'running', total = ?, started_at = "+started+", people = ?, parts = ?, bytes = ?, after_row = ? WHERE number = ? AND workspace = ? AND "+exportOpen,
			total, millis(at), e.People, e.Parts, e.Bytes, e.After, e.Number, e.Workspace)); err != nil {
			return err
		}
		_, err := c.exec("DELETE FROM export_parts WHERE export = ? AND part > ?", e.Number, e.Parts)
		return err
	})
}

// HoldExport writes why an export that waits or runs does not come on for now: e.Failure, which holds until its next part, or
// its end. Errors: stale if it has ended.
func (s *Store) HoldExport(ctx context.Context, e control.Export) error {
	return s.inTx(ctx, "hold export up", func(c conn) error {
		return met(c.exec("UPDATE exports SET error = ? WHERE number = ? AND workspace = ? AND "+exportOpen, failureText(e.Failure), e.Number, e.Workspace))
	})
}

// AddExportPart writes a finished part and its export's progress, in one commit: it is not held up any more. Errors: stale if the export does not run
// any more, or does not stand right before this part.
func (s *Store) AddExportPart(ctx context.Context, e control.Export, p control.ExportPart) error {
	return s.inTx(ctx, "add part of export", func(c conn) error {
		if err := met(c.exec("UPDATE exports SET error = '', people = people + ?, parts = parts + 1, bytes = bytes + ?, after_row = ? WHERE number = ? AND workspace = ? AND state = 'running' AND parts = ? AND after_row = ?",
			p.People, p.Bytes, p.Last, e.Number, e.Workspace, p.Number-1, p.After)); err != nil {
			return err
		}
		_, err := c.exec("INSERT INTO export_parts (export, part, after_row, last_row, people, bytes, plain, name, sum, hash, who) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			e.Number, p.Number, p.After, p.Last, p.People, p.Bytes, p.Plain, p.Name, int64(p.Sum), p.Hash, p.Who)
		return err
	})
}

// ExportParts gives the finished parts of an export, in their order.
func (s *Store) ExportParts(ctx context.Context, e control.Export) ([]control.ExportPart, error) {
	parts, err := list(s.reader(ctx), func(r scanner) (p control.ExportPart, err error) {
		var sum int64
		err = r.Scan(&p.Number, &p.After, &p.Last, &p.People, &p.Bytes, &p.Plain, &p.Name, &sum, &p.Hash)
		p.Sum, p.Hash = uint32(sum), bytes.Clone(p.Hash)
		return p, err
	}, "SELECT p.part, p.after_row, p.last_row, p.people, p.bytes, p.plain, p.name, p.sum, p.hash FROM export_parts p JOIN exports e ON e.number = p.export "+
		"WHERE e.number = ? AND e.workspace = ? ORDER BY p.part", e.Number, e.Workspace)
	return parts, s.fail(err, "list parts of export")
}

// EndExport writes what came of an export that waits or runs: State, Failure, File, DoneAt, ExpiresAt, Call, and of a report
// People and Bytes. Its parts are forgotten, but while a file of people can be downloaded: they say who is in it. notices are written in the same commit. Errors: stale if it has ended already, or
// is not done after all: see control.Export.Outdated.
func (s *Store) EndExport(ctx context.Context, e control.Export, notices ...control.Notice) error {
	open := exportOpen
	if e.State == control.ExportDone && e.Kind.OfPeople() {
		open += " AND NOT EXISTS (SELECT 1 FROM workspaces w WHERE w.number = exports.workspace AND w.erased_at >= COALESCE(exports.started_at, exports.created_at))"
	}
	return s.inTx(ctx, "end export", func(c conn) error {
		if err := met(c.exec("UPDATE exports SET state = ?, error = ?, file = ?, people = ?, bytes = ?, done_at = ?, expires_at = ?, call_at = ?, calls = ? WHERE number = ? AND workspace = ? AND "+open,
			string(e.State), failureText(e.Failure), e.File, e.People, e.Bytes, millis(e.DoneAt), optMillis(e.ExpiresAt), optMillis(e.Call.Next), e.Call.Tries, e.Number, e.Workspace)); err != nil {
			return err
		}
		if e.State != control.ExportDone || e.File == "" {
			if err := c.dropParts(e.Number); err != nil {
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

// NoteExportCall writes how far the call of a program is. Errors: not_found.
func (s *Store) NoteExportCall(ctx context.Context, e control.Export) error {
	return s.inTx(ctx, "note call of export", func(c conn) error {
		return must(c.exec("UPDATE exports SET call_at = ?, calls = ? WHERE number = ? AND workspace = ?", optMillis(e.Call.Next), e.Call.Tries, e.Number, e.Workspace))
	})
}

// ExportCalls gives the exports of all workspaces of which a program has to be told, the longest due first.
//
// Errors: corrupt, naming those that cannot be read, beside those that can; their programs are told no more.
func (s *Store) ExportCalls(ctx context.Context) (due []control.Export, err error) {
	const op = "list calls of exports"
	due, broken, why, err := s.readExports(ctx, exportQuery+"WHERE call_at IS NOT NULL ORDER BY call_at, number LIMIT 1000")
	if err != nil {
		return nil, s.fail(err, op)
	}
	for _, e := range broken {
		e.Call.Next = time.Time{}
		if err := s.NoteExportCall(ctx, e); err != nil {
			return due, err
		}
	}
	return due, s.fail(why, op)
}

// readExports gives the exports of a query that can be read, and those that cannot, with why.
func (s *Store) readExports(ctx context.Context, query string) (good, broken []control.Export, why, err error) {
	_, err = list(s.reader(ctx), func(r scanner) (none struct{}, err error) {
		e, err := scanExport(r)
		switch {
		case fault.Is(err, fault.Corrupt):
			broken, why, err = append(broken, e), errors.Join(why, err), nil
		case err == nil:
			good = append(good, e)
		}
		return none, err
	}, query)
	return good, broken, why, err
}

// KeptExports gives the exports of all workspaces whose files may lie in the installation's own store at now: of those that
// wait or run, and of those that can be downloaded.
func (s *Store) KeptExports(ctx context.Context, now time.Time) (map[control.ExportID]bool, error) {
	kept := map[control.ExportID]bool{}
	_, err := list(s.reader(ctx), func(r scanner) (none struct{}, err error) {
		var id control.ExportID
		err = r.Scan(&id)
		kept[id] = true
		return none, err
	}, "SELECT id FROM exports WHERE "+exportOpen+" OR "+exportKept, millis(now))
	return kept, s.fail(err, "list kept exports")
}

func (c conn) dropParts(export int64) error {
	_, err := c.exec("DELETE FROM export_parts WHERE export = ?", export)
	return err
}

// NoteMoves ends the files of exports that may hold one of those whom moves, all of one workspace, delete, and remembers those
// who go up in others. It is to be done before they are, with a time by which they will be: exports that begin until then,
// or are open, may read them, and are not done.
//
// A file holds who is marked in one of its parts, and who took one of those in since it began. Files of which that is
// not known hold anybody. Memory is that of a part. Errors: not_found if there is no such workspace.
func (s *Store) NoteMoves(ctx context.Context, workspace uint32, moves []control.PersonMove, at time.Time) error {
	gone := map[uint32]bool{}
	var merges [][]any
	met := map[[2]uint32]bool{}
	for _, m := range moves {
		mark, into := control.MarkPerson(m.ID), control.MarkPerson(m.IntoID)
		switch {
		case m.Into == 0:
			gone[mark] = true
		case !met[[2]uint32{into, mark}]:
			met[[2]uint32{into, mark}] = true
			merges = append(merges, []any{workspace, int64(into), int64(mark), millis(at)})
		}
	}
	// Afterwards no export becomes done that is not searched below: without holding up other writers.
	if err := s.inTx(ctx, "note who goes", func(c conn) error {
		if err := c.many("INSERT INTO export_merges (workspace, into_mark, mark, at) VALUES ", nil, "(?, ?, ?, ?)",
			" ON CONFLICT (workspace, into_mark, mark) DO UPDATE SET at = excluded.at", merges); err != nil || len(gone) == 0 {
			return err
		}
		return c.noteErasure(workspace, at)
	}); err != nil || len(gone) == 0 {
		return err
	}
	const op = "look who is in files of exports"
	if err := s.addMerged(ctx, workspace, gone); err != nil {
		return s.fail(err, op)
	}
	kept, err := list(s.reader(ctx), func(r scanner) (e control.Export, err error) {
		return e, r.Scan(&e.Number, &e.Kind, &e.People, &e.Parts) // the rest may be of another program
	}, "SELECT number, kind, people, parts FROM exports WHERE workspace = ? AND file <> '' AND "+exportKept, workspace, millis(s.now()))
	if err != nil {
		return s.fail(err, op)
	}
	var ends []int64
	for _, e := range kept {
		if !e.Kind.OfPeople() {
			continue
		}
		holds, err := s.mayHold(ctx, e, gone)
		if err != nil {
			return s.fail(err, op)
		}
		if holds {
			ends = append(ends, e.Number)
		}
	}
	if len(ends) == 0 {
		return nil
	}
	return s.inTx(ctx, "end files of exports", func(c conn) error {
		for _, n := range ends {
			if _, err := c.exec("UPDATE exports SET erased_at = ? WHERE number = ?", millis(at), n); err != nil {
				return err
			}
			if err := c.dropParts(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// addMerged adds to marks those of people who went up in theirs, and in these, and so on.
func (s *Store) addMerged(ctx context.Context, workspace uint32, marks map[uint32]bool) error {
	for next := slices.Collect(maps.Keys(marks)); len(next) > 0; {
		var found []uint32
		if err := inChunks(next, func(part []uint32, places string) error {
			args := []any{workspace}
			for _, m := range part {
				args = append(args, int64(m))
			}
			_, err := list(s.reader(ctx), func(r scanner) (none struct{}, err error) {
				var mark int64
				if err = r.Scan(&mark); err == nil && !marks[uint32(mark)] {
					marks[uint32(mark)] = true
					found = append(found, uint32(mark))
				}
				return none, err
			}, "SELECT mark FROM export_merges WHERE workspace = ? AND into_mark IN ("+places+")", args...)
			return err
		}); err != nil {
			return err
		}
		next = found
	}
	return nil
}

// mayHold reports whether an export that is done holds one of those who have these marks, or does not say whom it holds.
func (s *Store) mayHold(ctx context.Context, e control.Export, marks map[uint32]bool) (holds bool, err error) {
	parts, people := 0, int64(0)
	for more := true; more && !holds; {
		more = false
		if _, err = list(s.reader(ctx), func(r scanner) (none struct{}, err error) {
			var who []byte
			var part int
			var n int64
			if err = r.Scan(&part, &n, &who); err == nil {
				more, parts, people = true, parts+1, people+n
				holds = holds || part != parts || int64(len(who)) != 4*n || control.Marked(who, marks)
			}
			return none, err
		}, "SELECT part, people, who FROM export_parts WHERE export = ? AND part > ? ORDER BY part LIMIT ?", e.Number, parts, partsAtOnce); err != nil {
			return false, err
		}
	}
	return holds || parts != e.Parts || people != e.People, nil
}

// forgetHeld forgets who was in files of exports that cannot be downloaded any more.
func (c conn) forgetHeld(now time.Time) error {
	const needed = "FROM exports WHERE " + exportOpen + " OR " + exportKept
	if _, err := c.exec("DELETE FROM export_parts WHERE export NOT IN (SELECT number "+needed+")", millis(now)); err != nil {
		return err
	}
	_, err := c.exec("DELETE FROM export_merges WHERE at < COALESCE((SELECT MIN(COALESCE(started_at, created_at)) "+needed+"), ?)", millis(now), millis(now))
	return err
}

// NoteErasure says that somebody of a workspace was deleted on demand: what is made of an export then is thrown away, see
// control.Export.Outdated. Errors: not_found.
func (s *Store) NoteErasure(ctx context.Context, workspace uint32, at time.Time) error {
	return s.inTx(ctx, "note a deletion", func(c conn) error { return c.noteErasure(workspace, at) })
}

func (c conn) noteErasure(workspace uint32, at time.Time) error {
	return must(c.exec("UPDATE workspaces SET erased_at = ? WHERE number = ?", millis(at), workspace))
}

// met makes a change that met no row stale.
func met(n int64, err error) error {
	if err == nil && n == 0 {
		err = errChanged()
	}
	return err
}
