package store_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
)

// catalogue is read once for all tests.
var catalogue = sync.OnceValues(func() (*event.Catalogue, error) { return event.NewCatalogue(nil) })

func open(t testing.TB, path string) (*store.Store, error) {
	t.Helper()
	ring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	types, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(context.Background(), store.Config{Path: path, Keyring: ring, Catalogue: types})
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// raw opens the file behind the store's back.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestADatabaseThisProgramDoesNotUnderstandIsRefusedAndLeftAlone(t *testing.T) {
	for _, row := range []struct {
		name, change string
		code         fault.Code
		says         string
	}{
		{"a newer schema", "INSERT INTO schema_migrations VALUES (1000, '1000_later.sql', 'x', 0)", fault.Unavailable, "newer version"},
		{"another migration under the same number", "UPDATE schema_migrations SET checksum = 'x'", fault.Corrupt, "0001_start.sql"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.db")
			s, err := open(t, path)
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			db := raw(t, path)
			if _, err := db.Exec(row.change); err != nil {
				t.Fatal(err)
			}
			db.Close()
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := open(t, path)
				if !fault.Is(err, row.code) || !strings.Contains(err.Error(), row.says) || fault.HintOf(err) == "" {
					t.Fatalf("error %v (hint %q), want %s … %s", err, fault.HintOf(err), row.code, row.says)
				}
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Fatalf("the refused database was changed (%v)", err)
			}
		})
	}
}

func TestErrorsOfTheDatabaseHaveCodes(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("this is no database. ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, garbage); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a file that is no database: %v, want corrupt", err)
	}
	if _, err := open(t, filepath.Join(dir, "no", "such", "folder.db")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("no folder: %v, want unavailable", err)
	}
	if _, err := open(t, ""); !fault.Is(err, fault.Invalid) {
		t.Errorf("no path: %v, want invalid", err)
	}
	ring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Config{URL: "postgres://u:hunter2@h/d", Keyring: ring, Catalogue: &event.Catalogue{}}); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("another database: %v, want invalid", err)
	}

	// A disk that is full: the file may not grow any more.
	path := filepath.Join(dir, "full.db")
	if _, err := open(t, path); err != nil {
		t.Fatal(err)
	}
	full, err := open(t, path)
	if err != nil {
		t.Fatal(err)
	}
	store.LimitPages(t.Context(), t, full, 0)
	w := control.Workspace{Number: 1, Name: strings.Repeat("x", 100), UnknownFields: control.RejectUnknown}
	for w.Number = 1; ; w.Number++ {
		w.Name = strings.Repeat("x", 2000) + string(rune('a'+w.Number))
		if err = full.CreateWorkspace(t.Context(), w); err != nil || w.Number > 1000 {
			break
		}
	}
	if e := fault.As(err); e == nil || e.Code != fault.Unavailable || !e.Retry {
		t.Fatalf("a full disk: %v, want unavailable and passing", err)
	}
	store.LimitPages(t.Context(), t, full, 1<<20)
	if err := full.CreateWorkspace(t.Context(), w); err != nil {
		t.Fatalf("after room was made: %v", err)
	}
}

func TestManyOpenAnEmptyDatabaseAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if _, err := open(t, path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A commit that was answered must survive: what decides it is how the database is told to sync.
func TestEveryConnectionSyncsFullyAndChecksReferences(t *testing.T) {
	s, err := open(t, filepath.Join(t.TempDir(), "m.db"))
	if err != nil {
		t.Fatal(err)
	}
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} {
		if got := store.Pragma(t.Context(), t, s, pragma); got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
}

func BenchmarkSave(b *testing.B) {
	s, err := open(b, filepath.Join(b.TempDir(), "m.db"))
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	w := control.Workspace{Number: 1, Name: "w", UnknownFields: control.RejectUnknown}
	c := control.Connector{Config: control.Config{Connector: control.NewConnectorID(), Number: 1, Workspace: 1, Version: 1, Name: "c",
		Destination: control.Destination{Number: 1, Bucket: "b"}}}
	log := eventlog.ID{1}
	for _, err := range []error{
		s.CreateWorkspace(ctx, w), s.CreateConnector(ctx, c, control.Credentials{}),
		s.ApplyControl(ctx, log, 1, []control.LoggedRecord{{Workspace: 1, Record: control.Record{Kind: control.RecordConfig, Config: &c.Config}}}),
	} {
		if err != nil {
			b.Fatal(err)
		}
	}
	p, err := s.Position(ctx, control.Lane{Connector: c.Connector, Destination: 1})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 200 {
		p.Links[control.Stream{Schema: uint32(i)}] = 1
	}
	n := 0
	for b.Loop() {
		sv := control.Save{Position: p}
		for range 10 { // ten files in ten streams, as in a second under load
			n++
			p.Links[control.Stream{Schema: uint32(n % 200)}]++
			sv.Files = append(sv.Files, control.File{Lane: p.Lane, Key: "k" + time.Duration(n).String(), Log: log, At: time.Now()})
		}
		if p.Seq, err = s.Save(ctx, sv); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAFolderThatCannotBeWrittenIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone", "m.db")
	_, err := open(t, path)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), path) || fault.HintOf(err) == "" {
		t.Errorf("error %v (hint %q)", err, fault.HintOf(err))
	}
}
