package store

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/millrace/millrace/internal/fault"
)

// part is tables that are brought up to date together, and whose writers follow one another.
type part struct {
	folder string // of its migrations
	table  string // of those that were applied
	lock   int64  // that its writers share, where the database has room for several
	bulk   bool   // much is written at once: SQLite gets memory for it
}

var (
	plane    = part{"migrations", "schema_migrations", allWriters, false}
	profiles = part{"profiles", "people_migrations", allWriters + 1, true} // see Profiles
)

// Migrations are numbered from 0001 without gaps and never change once released. They are written for SQLite, with
// the types and clauses that each dialect knows how to say in its own words; see dialect.schema.
//
//go:embed migrations profiles
var migrations embed.FS

type migration struct {
	number   int
	name     string // 0001_start.sql
	sql      string // in the words of the dialect
	checksum string // SHA-256 of them in hex
}

func (s *Store) migrations() ([]migration, error) {
	dir := s.part.folder
	entries, err := migrations.ReadDir(dir) // in the order of their names
	if err != nil {
		return nil, fault.From(err, fault.Internal, "read migrations")
	}
	var all []migration
	for i, e := range entries {
		b, err := migrations.ReadFile(dir + "/" + e.Name())
		if err != nil {
			return nil, fault.From(err, fault.Internal, "read migrations")
		}
		if !strings.HasPrefix(e.Name(), fmt.Sprintf("%04d_", i+1)) {
			return nil, fault.New(fault.Internal, "read migrations", "%s stands where migration %d belongs", e.Name(), i+1)
		}
		text := s.d.schema(string(b))
		sum := sha256.Sum256([]byte(text))
		all = append(all, migration{i + 1, e.Name(), text, hex.EncodeToString(sum[:])})
	}
	return all, nil
}

// migrate brings the schema up to date in one transaction, beside which nobody else writes: of two processes one does
// it and the other finds it done.
func (s *Store) migrate(ctx context.Context) error {
	all, err := s.migrations()
	if err != nil {
		return err
	}
	return s.transact(ctx, "migrate", "", func(c conn) error {
		if _, err := c.exec(s.d.schema(`CREATE TABLE IF NOT EXISTS ` + s.part.table + ` (
			number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)`)); err != nil {
			return err
		}
		if err := c.refuseNewer(); err != nil {
			return err
		}
		done, err := list(c, func(r scanner) (m migration, err error) {
			return m, r.Scan(&m.number, &m.name, &m.checksum)
		}, "SELECT number, name, checksum FROM "+s.part.table+" ORDER BY number")
		if err != nil {
			return err
		}
		for i, m := range done {
			if m.number != all[i].number || m.checksum != all[i].checksum {
				return fault.New(fault.Corrupt, "", "migration %s of the database is not %s of this program", m.name, all[i].name).
					WithHint("Start the version that made the database. Nothing was changed.")
			}
		}
		for _, m := range all[len(done):] {
			if _, err := c.on.ExecContext(ctx, m.sql); err != nil { // many statements, without values
				return s.fail(err, m.name)
			}
			if _, err := c.exec("INSERT INTO "+s.part.table+" (number, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
				m.number, m.name, m.checksum, millis(s.now())); err != nil {
				return err
			}
		}
		return nil
	})
}

// refuseNewer fails if the schema is one that this program does not know yet.
func (c conn) refuseNewer() error {
	var number int
	newest := c.s.part.newest()
	if err := c.one("SELECT COALESCE(MAX(number), 0) FROM "+c.s.part.table, nil, &number); err != nil || number <= newest {
		return err
	}
	return fault.New(fault.Unavailable, "", "the database has schema %d, made by a newer version; this version knows schemas up to %d", number, newest).
		WithHint("Start the version that made it, or a newer one. Nothing was changed.")
}
