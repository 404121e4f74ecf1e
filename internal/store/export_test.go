package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"time"
)

// ProfilesOf gives the tables of people that OpenPeople opened.
func ProfilesOf(s *Store) *Profiles { return &Profiles{s: s} }

// OpenPeople is OpenProfiles as tests that look at every call want it.
func OpenPeople(ctx context.Context, cfg Config) (*Store, error) {
	p, err := OpenProfiles(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return p.s, nil
}

// GivenUp is a transaction that is given up after its last statement, and gives its error.
func GivenUp(ctx context.Context, s *Store) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	return s.inTx(ctx, "try", func(c conn) error {
		_, err := c.exec("INSERT INTO settings (name, value) VALUES ('given', 'up')")
		end()
		for err == nil { // until database/sql has rolled it back
			_, err = c.on.ExecContext(context.WithoutCancel(ctx), "SELECT 1")
		}
		if errors.Is(err, sql.ErrTxDone) {
			return nil
		}
		return err
	})
}

// Raw gives the writing connections.
func Raw(s *Store) *sql.DB { return s.write }

// Tables gives the tables of the database's part, and the columns that it numbers by table.
func Tables(t *testing.T, s *Store) (all []string, numbered map[string]string) {
	t.Helper()
	numbered = map[string]string{}
	ts, err := s.part.tables()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range ts {
		all = append(all, x.name)
		if x.numbered != "" {
			numbered[x.name] = x.numbered
		}
	}
	return all, numbered
}

// Setting gives what a query says on the writing connection.
func Setting(ctx context.Context, t *testing.T, s *Store, query string) (value string) {
	t.Helper()
	if err := s.write.QueryRowContext(ctx, query).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// Impatient makes the calls of a store on PostgreSQL wait no longer than that for their answers.
func Impatient(s *Store, within time.Duration) { s.d = postgres{within: within} }

// LockWriters is the statement by which a writer of PostgreSQL waits until it is alone.
func LockWriters() string { return fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", allWriters) }

// LockTogether is the statement by which a writer of PostgreSQL keeps those away that must be alone.
func LockTogether() string { return fmt.Sprintf("SELECT pg_advisory_xact_lock_shared(%d)", allWriters) }

// LimitPages lets the file grow to n pages; to its present size if that is more.
func LimitPages(ctx context.Context, t *testing.T, s *Store, n int) {
	t.Helper()
	if _, err := s.write.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", max(n, 1))); err != nil {
		t.Fatal(err)
	}
}

// Between puts what f makes of each of a store's pools in its place, until end, which closes them all.
func Between(s *Store, f func(db *sql.DB) driver.Connector) (end func() error) {
	write, read := s.write, s.read
	s.write, s.read = sql.OpenDB(f(write)), sql.OpenDB(f(read))
	s.write.SetMaxOpenConns(1)
	s.read.SetMaxOpenConns(readers)
	return func() error { return errors.Join(s.Close(), read.Close(), write.Close()) } // the last one takes SQLite's write-ahead log in
}

// Column gives what a query says in its one column.
func Column(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}
