package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/millrace/millrace/internal/control"
)

const tokenQuery = "SELECT id, member, name, read_only, created_at, expires_at, used_at FROM tokens "

func scanToken(r scanner) (v control.Token, err error) {
	var created int64
	var expires, used sql.NullInt64
	err = r.Scan(&v.ID, &v.Member, &v.Name, &v.ReadOnly, &created, &expires, &used)
	v.CreatedAt, v.ExpiresAt, v.UsedAt = fromMillis(created), fromOptMillis(expires), fromOptMillis(used)
	return v, err
}

// CreateToken adds a personal token. Errors: not_found if the member is gone; conflict if they have one of that name.
func (s *Store) CreateToken(ctx context.Context, v control.Token, hash control.KeyHash) error {
	return s.inTx(ctx, "create token", func(c conn) error {
		if _, err := c.member("WHERE m.id = ?", string(v.Member)); err != nil {
			return err
		}
		_, err := c.exec("INSERT INTO tokens (id, hash, member, name, read_only, created_at, expires_at, used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			string(v.ID), hash[:], string(v.Member), v.Name, v.ReadOnly, millis(v.CreatedAt), optMillis(v.ExpiresAt), optMillis(v.UsedAt))
		return err
	})
}

// TokenByHash gives the token with that hash, also one that has expired. Errors: not_found.
func (s *Store) TokenByHash(ctx context.Context, hash control.KeyHash) (control.Token, error) {
	vs, err := list(s.reader(ctx), scanToken, tokenQuery+"WHERE hash = ?", hash[:])
	return single(s, vs, err, "token")
}

// TouchToken writes when a token was last used, and with it when its member was seen. Errors: not_found if it was
// revoked.
func (s *Store) TouchToken(ctx context.Context, id control.TokenID, at time.Time) error {
	return s.inTx(ctx, "touch token", func(c conn) error {
		var member control.MemberID
		if err := c.one("UPDATE tokens SET used_at = ? WHERE id = ? RETURNING member", []any{millis(at), string(id)}, &member); err != nil {
			return err
		}
		return c.seen(member, at)
	})
}

// Tokens gives the personal tokens of a member by name.
func (s *Store) Tokens(ctx context.Context, id control.MemberID) ([]control.Token, error) {
	vs, err := list(s.reader(ctx), scanToken, tokenQuery+"WHERE member = ? ORDER BY name", string(id))
	return vs, s.fail(err, "list tokens")
}

// DeleteToken revokes a token. Errors: not_found, also if it is another member's.
func (s *Store) DeleteToken(ctx context.Context, member control.MemberID, id control.TokenID) error {
	return s.inTx(ctx, "delete token", func(c conn) error {
		return must(c.exec("DELETE FROM tokens WHERE id = ? AND member = ?", string(id), string(member)))
	})
}
