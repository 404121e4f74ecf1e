package storetest

import (
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
)

// Open gives a store over an empty SQLite database, for tests of rooms that work with one. Each of onStatement is
// called before each statement.
func Open(t testing.TB, onStatement ...func(sql string)) *store.Store {
	t.Helper()
	types, err := event.NewCatalogue(nil)
	ok(t, err)
	ring, err := secret.NewKeyring()
	ok(t, err)
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "millrace.db"), Keyring: ring, Catalogue: types, OnStatement: func(sql string) {
		for _, f := range onStatement {
			f(sql)
		}
	}})
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()) })
	return s
}

// People are the profiles of a database, for tests of rooms that do not know store.
type People = store.Profiles

// Profiles runs a test with the tables of people in each database, where nobody is known yet.
func Profiles(t *testing.T, f func(t *testing.T, p *store.Profiles)) {
	t.Run("SQLite", func(t *testing.T) { f(t, OpenProfiles(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { f(t, PostgresProfiles(t)) })
}

// PostgresProfiles gives the tables of people in a database of PostgreSQL that nobody has used.
func PostgresProfiles(t testing.TB) *store.Profiles {
	t.Helper()
	p, err := store.OpenProfiles(t.Context(), Postgres(t))
	ok(t, err)
	t.Cleanup(func() { ok(t, p.Close()) })
	return p
}

// OpenProfiles gives the tables of people in an empty SQLite database, or in the one at a path, which is made if it is not there.
func OpenProfiles(t testing.TB, at ...string) *store.Profiles {
	t.Helper()
	p, err := store.OpenProfiles(t.Context(), store.Config{Path: append(at, filepath.Join(t.TempDir(), "people.db"))[0]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}
