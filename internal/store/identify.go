package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// maxAlike is how many people with one e-mail address or telephone number are told apart: those that changed last.
const maxAlike = 100

// Whom gives whom identifiers name, of those that name anybody. Of an e-mail address or a telephone number several people
// may be given, the newest first; else it is one at most.
//
// Errors: unavailable, corrupt.
func (p *Profiles) Whom(ctx context.Context, workspace uint32, ids []control.Identifier) ([]control.Known, error) {
	values := map[control.IdentifierKind][]string{}
	for _, i := range ids {
		values[i.Kind] = append(values[i.Kind], i.Value)
	}
	c := p.s.reader(ctx)
	var out []control.Known
	for kind, some := range values {
		slices.Sort(some)
		err := p.whom(c, workspace, kind, slices.Compact(some), &out)
		if err != nil {
			return nil, p.s.fail(err, "find people")
		}
	}
	renamed, err := p.renamed(c, workspace)
	if err != nil {
		return nil, p.s.fail(err, "find people")
	}
	// What the reader has not come to yet is only known by its identifiers.
	var bare []control.PersonID
	for i, k := range out {
		if now, is := renamed[k.Person]; is {
			k.ExternalID, out[i].ExternalID = now, now
		}
		if k.ExternalID == "" && k.Kind != control.ByExternalID {
			bare = append(bare, k.Person)
		}
	}
	named, err := p.Named(ctx, workspace, bare)
	if err != nil {
		return nil, err
	}
	external := map[control.PersonID]string{}
	for _, n := range named {
		if n.Kind == control.ByExternalID {
			external[n.Person] = n.Value
		}
	}
	for i, k := range out {
		switch {
		case k.ExternalID != "":
		case k.Kind == control.ByExternalID: // others of theirs may be of people who went up in them
			out[i].ExternalID = k.Value
		default:
			out[i].ExternalID = external[k.Person]
		}
	}
	return out, nil
}

const (
	whomColumns = "p.external_id, p.email, p.phone, COALESCE(p.updated_at, 0)"

	whomKept = "SELECT i.value, i.person, " + whomColumns + ` FROM people_identities i LEFT JOIN people p ON p.workspace = i.workspace AND p.person = i.person
		WHERE i.workspace = ? AND i.kind = ? AND i.value IN (`
	whomPerson = "SELECT p.person, p.person, " + whomColumns + " FROM people p WHERE p.workspace = ? AND p.person IN ("
	whomFresh  = "SELECT DISTINCT person, person, '', '', '', 0 FROM people_identities WHERE workspace = ? AND person IN ("
	whomEmail  = "SELECT p.email, p.person, " + whomColumns + " FROM people p WHERE p.workspace = ? AND p.email = ? ORDER BY p.updated_at DESC, p.id DESC LIMIT ?"
	whomPhone  = "SELECT p.phone, p.person, " + whomColumns + " FROM people p WHERE p.workspace = ? AND p.phone = ? ORDER BY p.updated_at DESC, p.id DESC LIMIT ?"
)

func (p *Profiles) whom(c conn, workspace uint32, kind control.IdentifierKind, values []string, out *[]control.Known) error {
	add := func(query string, args ...any) error {
		some, err := list(c, func(r scanner) (k control.Known, err error) {
			var value []byte
			var updated int64
			err = r.Scan(&value, &k.Person, (*orNone)(&k.ExternalID), (*orNone)(&k.Email), (*orNone)(&k.Phone), &updated)
			k.Identifier = control.Identifier{Kind: kind, Value: string(value)}
			if updated != 0 {
				k.UpdatedAt = fromMillis(updated)
			}
			return k, err
		}, query, args...)
		*out = append(*out, some...)
		return err
	}
	switch kind {
	case control.ByEmail, control.ByPhone:
		query := whomEmail
		if kind == control.ByPhone {
			query = whomPhone
		}
		for _, v := range values {
			if err := add(query, workspace, v, maxAlike); err != nil {
				return err
			}
		}
		return nil
	case control.ByPerson:
		return inChunks(values, func(part []string, marks string) error {
			args := []any{workspace}
			for _, v := range part {
				args = append(args, v)
			}
			from := len(*out)
			if err := add(whomPerson+marks+")", args...); err != nil {
				return err
			}
			made := (*out)[from:]
			args = args[:1]
			for _, v := range part {
				if !slices.ContainsFunc(made, func(k control.Known) bool { return k.Value == v }) {
					args = append(args, v)
				}
			}
			if len(args) == 1 {
				return nil
			}
			return add(whomFresh+marks[:3*(len(args)-1)-2]+")", args...)
		})
	}
	return inChunks(values, func(part []string, marks string) error {
		args := []any{workspace, uint8(kind)}
		for _, v := range part {
			args = append(args, []byte(v))
		}
		return add(whomKept+marks+")", args...)
	})
}

// Named gives the identifiers of people, those that are kept.
func (p *Profiles) Named(ctx context.Context, workspace uint32, people []control.PersonID) (out []control.PersonIdentity, err error) {
	err = inChunks(people, func(part []control.PersonID, marks string) error {
		args := []any{workspace}
		for _, id := range part {
			args = append(args, string(id))
		}
		some, err := list(p.s.reader(ctx), func(r scanner) (x control.PersonIdentity, err error) {
			var value []byte
			x.Workspace = workspace
			err = r.Scan(&x.Kind, &value, &x.Person)
			x.Value = string(value)
			return x, err
		}, "SELECT kind, value, person FROM people_identities WHERE workspace = ? AND person IN ("+marks+")", args...)
		out = append(out, some...)
		return err
	})
	return out, p.s.fail(err, "read identities")
}

// Holders gives who has external ids, of those that somebody has, as the log says up to the cursor. Identities may be ahead of
// it: requests fix there whom identifiers name before the reader comes to them.
func (p *Profiles) Holders(ctx context.Context, workspace uint32, externals []string) ([]control.PersonIdentity, error) {
	out, err := listKeyed(p.reader(ctx), func(r scanner) (x control.PersonIdentity, err error) {
		x.Workspace, x.Kind = workspace, control.ByExternalID
		return x, r.Scan(&x.Value, &x.Person)
	}, "p.external_id, p.person", "people p", "", "p.workspace = ?", "p.external_id", []any{workspace}, externals)
	return out, p.s.fail(err, "read who has external ids")
}

// Identify lets identifiers name somebody, those that name nobody yet, and gives whom each names now, in order.
//
// Durable: when err is nil; all or none. Errors: unavailable.
func (p *Profiles) Identify(ctx context.Context, workspace uint32, fresh []control.NewIdentity) ([]control.PersonIdentity, error) {
	out := make([]control.PersonIdentity, len(fresh))
	err := p.s.transact(ctx, "identify people", "", func(c conn) error {
		for n, i := range fresh {
			out[n] = control.PersonIdentity{Workspace: workspace, Identifier: i.Identifier}
			key := []any{workspace, uint8(i.Kind), []byte(i.Value)}
			err := c.one("SELECT person FROM people_identities WHERE workspace = ? AND kind = ? AND value = ?", key, &out[n].Person)
			if !errors.Is(err, sql.ErrNoRows) {
				if err != nil {
					return err
				}
				continue
			}
			for _, id := range i.Candidates {
				var taken bool
				out[n].Person = id
				if err := c.one(`SELECT EXISTS (SELECT 1 FROM people_identities WHERE workspace = ? AND person = ?) OR EXISTS (SELECT 1 FROM people WHERE workspace = ? AND person = ?)
					OR EXISTS (SELECT 1 FROM people_identities WHERE workspace = ? AND kind = ? AND value = ?)`,
					[]any{workspace, string(id), workspace, string(id), workspace, uint8(ending), []byte(id)}, &taken); err != nil {
					return err
				}
				if !taken {
					break
				}
			}
			if _, err := c.exec("INSERT INTO people_identities (workspace, kind, value, person) VALUES (?, ?, ?, ?)", append(key, string(out[n].Person))...); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// Rows of people_identities that are no identifiers and name nobody: what requests have done and the reader has still to come to.
const (
	// ending is the kind of a row whose value is the id of somebody whom a request has ended.
	ending control.IdentifierKind = 7
	// moved is the kind of a row whose value is an identifier that a request has moved, and where in the log: see movedValue.
	moved control.IdentifierKind = 8
)

// movedBy is a move of one identifier.
type movedBy struct {
	at   eventlog.Offset
	i    control.Identifier
	into control.PersonID
}

// value is the value of a row of the kind moved. Rows stand in the order of offsets.
func (m movedBy) value() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(m.at))
	b = binary.AppendUvarint(append(b, byte(m.i.Kind)), uint64(len(m.i.Value)))
	return append(append(b, m.i.Value...), m.into...)
}

// readMoved reads what value gave; of what nothing wrote, nothing.
func readMoved(b []byte) (m movedBy) {
	const head = 9
	if len(b) < head {
		return m
	}
	n, width := binary.Uvarint(b[head:])
	rest := b[head+max(width, 0):]
	if width <= 0 || n > uint64(len(rest)) {
		return m
	}
	return movedBy{eventlog.Offset(binary.BigEndian.Uint64(b)), control.Identifier{Kind: control.IdentifierKind(b[head-1]), Value: string(rest[:n])}, control.PersonID(rest[n:])}
}

// allMoved gives what requests have moved in a workspace and the reader has still to come to, in the order of the log.
func (c conn) allMoved(workspace uint32) ([]movedBy, error) {
	return list(c, func(r scanner) (movedBy, error) {
		var value []byte
		err := r.Scan(&value)
		return readMoved(value), err
	}, "SELECT value FROM people_identities WHERE workspace = ? AND kind = ? ORDER BY value", workspace, uint8(moved))
}

// renamed gives the external ids of people whom requests have renamed, and the reader has still to.
func (p *Profiles) renamed(c conn, workspace uint32) (map[control.PersonID]string, error) {
	all, err := c.allMoved(workspace)
	now := map[control.PersonID]string{}
	for _, m := range all {
		if m.i.Kind == control.ByExternalID && m.into != "" {
			now[m.into] = m.i.Value
		}
	}
	return now, err
}

// MoveIdentities lets identifiers name somebody else, as a commit of the log says. The reader does the same when it comes to
// it: this only lets requests see it before, and does nothing once the reader has. To make the newest moves of a workspace again
// changes nothing.
//
// Durable: when err is nil; all or none. Errors: unavailable.
func (p *Profiles) MoveIdentities(ctx context.Context, m control.IdentityMoves) error {
	return p.s.transact(ctx, "move identities", "", func(c conn) error {
		var passed bool
		if err := c.one("SELECT EXISTS (SELECT 1 FROM people_cursor WHERE log = ? AND next_offset > ?)", []any{m.Log.String(), int64(m.At)}, &passed); err != nil || passed {
			return err
		}
		for _, v := range m.Moves {
			move := c.moveOne
			if v.Kind == 0 {
				move = c.moveAll
			}
			if err := move(m, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// moveAll lets all identifiers of somebody name somebody else.
func (c conn) moveAll(m control.IdentityMoves, v control.IdentityMove) error {
	// Once nothing names them and before the reader ends them they would seem to be nobody, whom the next may be: then
	// the reader would end that one's identities.
	var known bool
	err := c.one("SELECT EXISTS (SELECT 1 FROM people_identities WHERE workspace = ? AND person = ?)", []any{m.Workspace, string(v.From)}, &known)
	if err != nil || !known {
		return err
	}
	if _, err = c.exec("INSERT INTO people_identities (workspace, kind, value, person) VALUES (?, ?, ?, '') ON CONFLICT (workspace, kind, value) DO NOTHING",
		m.Workspace, uint8(ending), []byte(v.From)); err != nil {
		return err
	}
	if v.Into == "" {
		_, err = c.exec("DELETE FROM people_identities WHERE workspace = ? AND person = ?", m.Workspace, string(v.From))
	} else {
		_, err = c.exec("UPDATE people_identities SET person = ? WHERE workspace = ? AND person = ?", string(v.Into), m.Workspace, string(v.From))
	}
	return err
}

// moveOne lets an identifier name somebody else, and keeps the reader from saying otherwise by what the log told before.
func (c conn) moveOne(m control.IdentityMoves, v control.IdentityMove) error {
	_, err := c.exec("INSERT INTO people_identities (workspace, kind, value, person) VALUES (?, ?, ?, '') ON CONFLICT (workspace, kind, value) DO NOTHING",
		m.Workspace, uint8(moved), movedBy{m.At, v.Identifier, v.Into}.value())
	if err != nil {
		return err
	}
	if v.Into == "" {
		_, err = c.exec("DELETE FROM people_identities WHERE workspace = ? AND kind = ? AND value = ? AND person = ?", m.Workspace, uint8(v.Kind), []byte(v.Value), string(v.From))
	} else {
		_, err = c.exec("INSERT INTO people_identities (workspace, kind, value, person) VALUES (?, ?, ?, ?) ON CONFLICT (workspace, kind, value) DO UPDATE SET person = excluded.person",
			m.Workspace, uint8(v.Kind), []byte(v.Value), string(v.Into))
	}
	return err
}
