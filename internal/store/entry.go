package store

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// writeEntry writes the line of the log of changes that goes with this transaction, if it has one.
func (c conn) writeEntry() error {
	e, ok := control.EntryOf(c.ctx)
	if !ok {
		return nil
	}
	return c.insertEntry(e)
}

func (c conn) insertEntry(e control.Entry) error {
	_, err := c.exec(`INSERT INTO entries (workspace, at, member, actor, via, address, request, action, subject_id, subject_name, was, became)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, e.Workspace, millis(e.At), string(e.Member), e.Actor, e.Via, e.Address, e.Request,
		e.Action, e.SubjectID, e.SubjectName, string(e.Before), string(e.After))
	return err
}

// stillMay refuses what the actor may no longer do, if they are held to anything: beside this transaction nobody writes
// who could take a right away before it commits. Errors: forbidden, or
// unauthorized if they are no member any more.
func (c conn) stillMay() error {
	a, held := control.HeldTo(c.ctx)
	if !held {
		return nil
	}
	m, err := c.member("WHERE m.id = ?", string(a.Member))
	if fault.Is(err, fault.NotFound) {
		m, err = control.Member{}, nil // nobody is signed in
	}
	if err != nil {
		return err
	}
	seats, err := c.seatsOf(m.ID)
	if err != nil {
		return err
	}
	var sessions int
	if err := c.one("SELECT COUNT(*) FROM sessions WHERE id = ? AND member = ?", []any{string(a.Session), string(m.ID)}, &sessions); err != nil {
		return err
	}
	if sessions == 0 {
		a.Session = ""
	}
	return control.StillMay(c.ctx, a.As(m, seats))
}

// Entries gives up to limit lines of the log of changes with an ID below before, newest first; a before of 0 begins
// with the newest. IDs rise in the order of the commits.
func (s *Store) Entries(ctx context.Context, f control.EntryFilter, before int64, limit int) ([]control.Entry, error) {
	conds, args := []string{"1 = 1"}, []any{}
	add := func(cond string, values ...any) {
		conds, args = append(conds, cond), append(args, values...)
	}
	if before != 0 {
		add("id < ?", before)
	}
	if !f.All {
		add("workspace = ?", f.Workspace)
	}
	if f.Kind != "" { // texts are compared byte by byte, and a slash follows on a dot
		add("action > ? AND action < ?", f.Kind+".", f.Kind+"/")
	}
	if f.SubjectID != "" {
		add("subject_id = ?", f.SubjectID)
	}
	if f.Member != "" {
		add("member = ?", string(f.Member))
	}
	if !f.From.IsZero() {
		add("at >= ?", millis(f.From))
	}
	if !f.Until.IsZero() {
		add("at < ?", millis(f.Until))
	}
	es, err := list(s.reader(ctx), scanEntry, `SELECT id, workspace, at, member, actor, via, address, request, action, subject_id, subject_name, was, became
		FROM entries WHERE `+strings.Join(conds, " AND ")+" ORDER BY id DESC LIMIT ?", append(args, limit)...)
	return es, s.fail(err, "list changes")
}

func scanEntry(r scanner) (e control.Entry, err error) {
	var at int64
	var was, became string
	err = r.Scan(&e.ID, &e.Workspace, &at, &e.Member, &e.Actor, &e.Via, &e.Address, &e.Request, &e.Action, &e.SubjectID, &e.SubjectName, &was, &became)
	e.At = fromMillis(at)
	if was != "" {
		e.Before = json.RawMessage(was)
	}
	if became != "" {
		e.After = json.RawMessage(became)
	}
	return e, err
}

// Note writes the entry that ctx has, and nothing else: somebody is going to look at what not everybody may.
func (s *Store) Note(ctx context.Context) error {
	return s.inTx(ctx, "write log of changes", func(conn) error { return nil })
}
