package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/millrace/millrace/internal/fault"
)

// CopyTo writes the database, as it is at one moment, into the file at path, which is empty or does not exist, and gives
// the number of its schema. Others read and write meanwhile. The copy is a database of SQLite, whichever this one is, and
// not synced.
func (s *Store) CopyTo(ctx context.Context, path string) (schema int, err error) {
	const op = "copy database"
	if _, ok := s.d.(sqlite); !ok {
		to, err := open(ctx, Config{Path: path, Keyring: s.ring, Catalogue: s.types}, s.part, op)
		if err != nil {
			return 0, err
		}
		return s.part.newest(), errors.Join(to.Fill(ctx, s), to.Close())
	}
	// On the writers' connection, since the readers' may not write anything; it only reads this database.
	c := conn{s: s, ctx: ctx, on: s.write}
	if _, err := c.exec("VACUUM INTO ?", path); err != nil {
		return 0, s.fail(err, op)
	}
	return s.part.newest(), nil // Open has brought it there
}

// NewestSchema is the number of the newest schema of the control plane that this program knows.
func NewestSchema() int { return plane.newest() }

// newest is the number of the newest migration.
func (p part) newest() int {
	all, err := migrations.ReadDir(p.folder)
	if err != nil {
		panic("store: its migrations are not embedded: " + err.Error())
	}
	return len(all)
}

// CheckSealed opens every sealed value. Errors: corrupt if the keyring does not open one, as when it is not the one that
// the database was used with.
func (s *Store) CheckSealed(ctx context.Context) error {
	return s.snapshot(ctx, "open what is sealed", func(c conn) error {
		for _, t := range sealedColumns() {
			values, err := list(c, t.scan, t.query)
			if err != nil {
				return err
			}
			for _, v := range values {
				if _, err := s.ring.Open(v.sealed, v.context); err != nil {
					return fault.Wrap(err, v.context)
				}
			}
		}
		return nil
	})
}

// Revive makes a copy that was put back fit for use: leases, sessions and links that work once end. A lease is held in the
// other copy; a session or a link may have ended there since. apart says that nobody else can work on this copy, so that
// no lease in it is anybody's.
//
// Errors: conflict where it is not apart and a lease goes on: a server works here, or the copy is seconds old. Nothing is
// changed then, and it may be tried again once the lease is over.
func (s *Store) Revive(ctx context.Context, apart bool) error {
	return s.inTx(ctx, "revive database", func(c conn) error {
		now, err := c.sharedNow()
		if err != nil {
			return err
		}
		var until sql.NullInt64
		if err := c.one("SELECT MAX(lease_until) FROM logs WHERE lease_owner <> ''", nil, &until); err != nil {
			return err
		}
		if left := fromMillis(until.Int64).Sub(now); until.Valid && left > 0 && !apart {
			return fault.New(fault.Conflict, "", "a server works on this database").
				WithHint("Stop every server that uses it, and see that MILLRACE_DATABASE_URL names the database that was put back. Where none runs, try again in %d s: the copy is that young.", int64(left.Seconds())+1)
		}
		for _, q := range []string{
			"UPDATE logs SET lease_until = 0, lease_owner = ''",
			"DELETE FROM sessions",
			"DELETE FROM tickets",
		} {
			if _, err := c.exec(q); err != nil {
				return err
			}
		}
		return nil
	})
}
