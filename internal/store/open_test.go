package store_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
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
	"github.com/millrace/millrace/internal/store/storetest"
)

// catalogue is read once for all tests.
var catalogue = sync.OnceValues(func() (*event.Catalogue, error) { return event.NewCatalogue(nil) })

func open(t testing.TB, path string) (*store.Store, error) {
	t.Helper()
	return openAt(t, store.Config{Path: path})
}

func openAt(t testing.TB, cfg store.Config) (*store.Store, error) {
	t.Helper()
	return openIn(context.Background(), t, cfg)
}

func openIn(ctx context.Context, t testing.TB, cfg store.Config) (*store.Store, error) {
	t.Helper()
	var err error
	if cfg.Keyring, err = secret.NewKeyring(); err != nil {
		t.Fatal(err)
	}
	if cfg.Catalogue, err = catalogue(); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(ctx, cfg)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// each runs f with an empty database of each kind.
func each(t *testing.T, f func(t *testing.T, cfg store.Config)) {
	t.Run("SQLite", func(t *testing.T) { f(t, store.Config{Path: filepath.Join(t.TempDir(), "m.db")}) })
	t.Run("PostgreSQL", func(t *testing.T) { f(t, storetest.EmptyPostgres(t)) })
}

// behind opens a database behind the store's back.
func behind(t *testing.T, cfg store.Config) *sql.DB {
	t.Helper()
	if cfg.URL.Empty() {
		return raw(t, cfg.Path)
	}
	db, err := sql.Open("pgx", cfg.URL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
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
			each(t, func(t *testing.T, cfg store.Config) {
				s, err := openAt(t, cfg)
				ok(t, err)
				ok(t, s.Close())
				db := behind(t, cfg)
				if _, err := db.Exec(row.change); err != nil {
					t.Fatal(err)
				}
				before := schemaOf(t, db, cfg)
				ok(t, db.Close())
				var file []byte
				if cfg.Path != "" {
					file, err = os.ReadFile(cfg.Path)
					ok(t, err)
				}
				for range 2 {
					_, err := openAt(t, cfg)
					if !fault.Is(err, row.code) || !strings.Contains(err.Error(), row.says) || fault.HintOf(err) == "" {
						t.Fatalf("error %v (hint %q), want %s … %s", err, fault.HintOf(err), row.code, row.says)
					}
				}
				if cfg.Path != "" {
					after, err := os.ReadFile(cfg.Path)
					if err != nil || string(after) != string(file) {
						t.Fatalf("the refused database was changed (%v)", err)
					}
				}
				equal(t, "tables of the refused database", schemaOf(t, behind(t, cfg), cfg), before)
			})
		})
	}
}

// A server that stood by while a newer version changed the tables does not take over.
func TestALeaseIsNotForAVersionThatIsTooOld(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		s, err := openAt(t, cfg)
		ok(t, err)
		acquire := func() (bool, error) { return s.AcquireLease(t.Context(), eventlog.ID{1}, "a", time.Minute) }
		got, err := acquire()
		ok(t, err)
		equal(t, "lease", got, true)
		_, err = behind(t, cfg).Exec("INSERT INTO schema_migrations VALUES (1000, '1000_later.sql', 'x', 0)")
		ok(t, err)
		if got, err := acquire(); got || !fault.Is(err, fault.Unavailable) || fault.As(err).Retry || fault.HintOf(err) == "" {
			t.Fatalf("lease %v, error %v; want none, and how to go on", got, err)
		}
	})
}

// schemaOf gives what a database has: tables with their columns, types and defaults, indexes, in one dialect's words.
func schemaOf(t *testing.T, db *sql.DB, cfg store.Config) (out []string) {
	t.Helper()
	query := `SELECT m.name || '.' || c.name || ' ' || CASE c.type WHEN 'INTEGER' THEN 'bigint' WHEN 'BIGINT' THEN 'bigint' WHEN 'BLOB' THEN 'bytea' ELSE 'text C' END
			|| CASE c."notnull" WHEN 1 THEN ' required' ELSE '' END || COALESCE(' ' || c.dflt_value, '') AS line
		FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'
		UNION ALL SELECT m.name || ' by ' || group_concat(x.name, ', ' ORDER BY x.seqno) || CASE i."unique" WHEN 1 THEN ' unique' ELSE '' END || CASE i.partial WHEN 1 THEN ' some' ELSE '' END
		FROM sqlite_master m, pragma_index_list(m.name) i, pragma_index_info(i.name) x WHERE m.type = 'table' AND i.origin <> 'pk' GROUP BY m.name, i.name
		UNION ALL SELECT m.name || ' key ' || group_concat(c.name, ', ' ORDER BY c.pk)
		FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.pk > 0 GROUP BY m.name
		UNION ALL SELECT m.name || ' refers to ' || f."table" || ' by ' || group_concat(f."from", ', ' ORDER BY f.seq)
		FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table' GROUP BY m.name, f.id
		ORDER BY line`
	if !cfg.URL.Empty() {
		query = `SELECT table_name || '.' || column_name || ' ' || data_type || COALESCE(' ' || collation_name, '')
				|| CASE is_nullable WHEN 'NO' THEN ' required' ELSE '' END || COALESCE(' ' || replace(column_default, '::text', ''), '') COLLATE "C" AS line
			FROM information_schema.columns WHERE table_schema = 'public'
			UNION ALL SELECT t.relname || CASE WHEN i.indisprimary THEN ' key ' ELSE ' by ' END || (SELECT string_agg(a.attname, ', ' ORDER BY k.n)
				FROM unnest(i.indkey) WITH ORDINALITY k (c, n) JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.c)
				|| CASE WHEN i.indisunique AND NOT i.indisprimary THEN ' unique' ELSE '' END || CASE WHEN i.indpred IS NULL THEN '' ELSE ' some' END
			FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid WHERE t.relnamespace = 'public'::regnamespace
			UNION ALL SELECT t.relname || ' refers to ' || o.relname || ' by ' || (SELECT string_agg(a.attname, ', ' ORDER BY k.n)
				FROM unnest(f.conkey) WITH ORDINALITY k (c, n) JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.c)
			FROM pg_constraint f JOIN pg_class t ON t.oid = f.conrelid JOIN pg_class o ON o.oid = f.confrelid WHERE f.contype = 'f'
			ORDER BY line`
	}
	rows, err := db.Query(query)
	ok(t, err)
	defer rows.Close()
	for rows.Next() {
		var line string
		ok(t, rows.Scan(&line))
		out = append(out, line)
	}
	ok(t, rows.Err())
	return out
}

func TestBothDatabasesHaveTheSameTables(t *testing.T) {
	var schemas [][]string
	for _, cfg := range []store.Config{{Path: filepath.Join(t.TempDir(), "m.db")}, storetest.EmptyPostgres(t)} {
		_, err := openAt(t, cfg)
		ok(t, err)
		schemas = append(schemas, schemaOf(t, behind(t, cfg), cfg))
	}
	if len(schemas[0]) < 200 {
		t.Fatalf("only %d lines", len(schemas[0]))
	}
	for i, other := range []string{"PostgreSQL", "SQLite"} {
		for _, line := range schemas[i] {
			if !slices.Contains(schemas[1-i], line) {
				t.Errorf("%s lacks: %s", other, line)
			}
		}
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
	each(t, func(t *testing.T, cfg store.Config) {
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if _, err := openAt(t, cfg); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// A commit that was answered must survive: what decides it is how the database is told to sync.
func TestEveryConnectionSyncsFullyAndChecksReferences(t *testing.T) {
	s, err := open(t, filepath.Join(t.TempDir(), "m.db"))
	if err != nil {
		t.Fatal(err)
	}
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} {
		if got := store.Setting(t.Context(), t, s, "PRAGMA "+pragma); got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
}

// A save of ten files in ten streams, of two hundred: one after the other, and of 200 connectors at once. What is
// committed to PostgreSQL here need not reach a disk, to SQLite it must.
func BenchmarkSave(b *testing.B) {
	for name, fresh := range map[string]func() store.Config{
		"SQLite":     func() store.Config { return store.Config{Path: filepath.Join(b.TempDir(), "m.db")} },
		"PostgreSQL": func() store.Config { return storetest.Postgres(b) },
	} {
		b.Run(name, func(b *testing.B) {
			s, err := openAt(b, fresh())
			if err != nil {
				b.Fatal(err)
			}
			log := eventlog.ID{1}
			saves := make(chan func(), 200)
			for range cap(saves) {
				p, err := s.Position(b.Context(), launched(b, s, log))
				if err != nil {
					b.Fatal(err)
				}
				for i := range 200 {
					p.Links[control.Stream{Schema: uint32(i)}] = 1
				}
				n := 0
				saves <- func() {
					sv := control.Save{Position: p}
					for range 10 {
						n++
						p.Links[control.Stream{Schema: uint32(n % 200)}]++
						sv.Files = append(sv.Files, control.File{Lane: p.Lane, Key: "k" + time.Duration(n).String(), Log: log, At: time.Now()})
					}
					seq, err := s.Save(b.Context(), sv)
					if err != nil {
						b.Error(err)
					}
					p.Seq = seq
				}
			}
			b.Run("one", func(b *testing.B) {
				save := <-saves
				for b.Loop() {
					save()
				}
				saves <- save
			})
			b.Run("200 at once", func(b *testing.B) {
				b.SetParallelism(100)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						save := <-saves
						save()
						saves <- save
					}
				})
			})
		})
	}
}

func TestAFolderThatCannotBeWrittenIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone", "m.db")
	_, err := open(t, path)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), path) || fault.HintOf(err) == "" {
		t.Errorf("error %v (hint %q)", err, fault.HintOf(err))
	}
}
