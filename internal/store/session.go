package store

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/control"
)

const sessionQuery = "SELECT id, member, address, agent, created_at, seen_at, expires_at FROM sessions "

func scanSession(r scanner) (v control.Session, err error) {
	var created, seen, expires int64
	err = r.Scan(&v.ID, &v.Member, &v.Address, &v.Agent, &created, &seen, &expires)
	v.CreatedAt, v.SeenAt, v.ExpiresAt = fromMillis(created), fromMillis(seen), fromMillis(expires)
	return v, err
}

// CreateSession signs a member in. Errors: not_found if the member is gone.
func (s *Store) CreateSession(ctx context.Context, v control.Session, hash control.KeyHash) error {
	return s.inTx(ctx, "create session", func(c conn) error {
		if err := c.seen(v.Member, v.SeenAt); err != nil {
			return err
		}
		_, err := c.exec("INSERT INTO sessions (id, hash, member, address, agent, created_at, seen_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			string(v.ID), hash[:], string(v.Member), v.Address, v.Agent, millis(v.CreatedAt), millis(v.SeenAt), millis(v.ExpiresAt))
		return err
	})
}

// seen notes when a member last asked for something. Errors: not_found.
func (c conn) seen(id control.MemberID, at time.Time) error {
	return must(c.exec("UPDATE members SET seen_at = ? WHERE id = ?", millis(at), string(id)))
}

// SessionByHash gives the session whose token has that hash, also one that has expired. Errors: not_found.
func (s *Store) SessionByHash(ctx context.Context, hash control.KeyHash) (v control.Session, err error) {
	vs, err := list(s.reader(ctx), scanSession, sessionQuery+"WHERE hash = ?", hash[:])
	return single(s, vs, err, "session")
}

// TouchSession writes from where and when a session was last used, and when it ends; with it, when its member was seen.
// Errors: not_found if it was ended.
func (s *Store) TouchSession(ctx context.Context, v control.Session) error {
	return s.inTx(ctx, "touch session", func(c conn) error {
		if err := must(c.exec("UPDATE sessions SET address = ?, seen_at = ?, expires_at = ? WHERE id = ?",
			v.Address, millis(v.SeenAt), millis(v.ExpiresAt), string(v.ID))); err != nil {
			return err
		}
		return c.seen(v.Member, v.SeenAt)
	})
}

// Sessions gives the sessions of a member that have not expired, the last used first.
func (s *Store) Sessions(ctx context.Context, id control.MemberID) ([]control.Session, error) {
	vs, err := list(s.reader(ctx), scanSession, sessionQuery+"WHERE member = ? AND expires_at > ? ORDER BY seen_at DESC, id", string(id), millis(s.now()))
	return vs, s.fail(err, "list sessions")
}

// EndSession signs out. Errors: not_found, also if the session is another member's.
func (s *Store) EndSession(ctx context.Context, member control.MemberID, id control.SessionID) error {
	return s.inTx(ctx, "end session", func(c conn) error {
		return must(c.exec("DELETE FROM sessions WHERE id = ? AND member = ?", string(id), string(member)))
	})
}

// endSessions ends all sessions of a member but one.
func (c conn) endSessions(id control.MemberID, keep control.SessionID) error {
	_, err := c.exec("DELETE FROM sessions WHERE member = ? AND id <> ?", string(id), string(keep))
	return err
}
