package store_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

// parts opens both parts of a database: the control plane and the tables of people.
func parts(t *testing.T, cfg store.Config) []*store.Store {
	t.Helper()
	s, err := openAt(t, cfg)
	ok(t, err)
	if cfg.Path != "" {
		cfg.Path += ".people"
	}
	p, err := store.OpenProfiles(t.Context(), cfg)
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()); ok(t, p.Close()) })
	return []*store.Store{s, p.Store()}
}

// crammed puts rows into every table of a SQLite database: of all types and sizes, with and without what may be left out.
// All columns of a row say the same, so that each row finds those that it refers to.
func crammed(t *testing.T, s *store.Store) {
	t.Helper()
	tables, numbered := store.Tables(t, s)
	db, err := store.Raw(s).Begin()
	ok(t, err)
	defer func() { ok(t, db.Commit()) }()
	for _, table := range tables {
		type column struct {
			name, kind string
			must       bool
		}
		var all []column
		rows, err := db.Query("SELECT name, type, \"notnull\" FROM pragma_table_info('" + table + "')")
		ok(t, err)
		for rows.Next() {
			var c column
			ok(t, rows.Scan(&c.name, &c.kind, &c.must))
			all = append(all, c)
		}
		ok(t, rows.Err())
		for i := range 3 * 64 {
			var columns, values []string
			for _, c := range all {
				n := int64(i)
				if i == 7 {
					n = 1<<53 + 1 // no float64
				}
				value := map[string]string{"INTEGER": fmt.Sprint(n), "TEXT": fmt.Sprintf("'%d é\n\"%%?$1\\'", n), "BLOB": fmt.Sprintf("x'00ff%04x'", i), "REAL": fmt.Sprintf("%d.1e-3", n)}[c.kind]
				switch {
				case i == 0 && c.kind == "BLOB":
					value = "x''"
				case i == 0 && c.kind == "TEXT":
					value = "''"
				case i%2 == 1 && !c.must:
					value = "NULL"
				}
				columns, values = append(columns, c.name), append(values, value)
			}
			_, err := db.Exec("INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")")
			ok(t, err)
		}
	}
	for table := range numbered { // numbers that were given and are not there any more
		_, err := db.Exec("INSERT INTO sqlite_sequence (name, seq) SELECT '" + table + "', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '" + table + "')")
		ok(t, err)
		_, err = db.Exec("UPDATE sqlite_sequence SET seq = seq + 5 WHERE name = '" + table + "'")
		ok(t, err)
	}
}

// holds gives all rows of a table, sorted, with the columns by their names.
func holds(t *testing.T, db *sql.DB, table string) (all []string) {
	t.Helper()
	rows, err := db.Query("SELECT * FROM " + table)
	ok(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	ok(t, err)
	for rows.Next() {
		values, at := make([]any, len(columns)), make([]any, len(columns))
		for i := range at {
			at[i] = &values[i]
		}
		ok(t, rows.Scan(at...))
		row := make([]string, len(columns))
		for i, v := range values {
			row[i] = fmt.Sprintf("%s=%T %v", columns[i], v, v)
		}
		slices.Sort(row)
		all = append(all, strings.Join(row, "; "))
	}
	ok(t, rows.Err())
	slices.Sort(all)
	return all
}

// Every table there is goes over as it is, and back again.
func TestADatabaseMovesToTheOtherDialectAsItIs(t *testing.T) {
	here := parts(t, store.Config{Path: filepath.Join(t.TempDir(), "m.db")})
	for _, s := range here {
		known, _ := store.Tables(t, s)
		var there []string
		for _, table := range holds(t, store.Raw(s), "sqlite_master") {
			name, isTable := strings.CutPrefix(strings.Split(table, "; ")[0], "name=string ")
			if isTable = strings.Contains(table, "type=string table"); isTable && !strings.HasPrefix(name, "sqlite_") && !strings.HasSuffix(name, "_migrations") {
				there = append(there, name)
			}
		}
		slices.Sort(known)
		equal(t, "tables", known, there)
		crammed(t, s)
	}
	there := parts(t, storetest.EmptyPostgres(t))
	ok(t, there[0].Fill(t.Context(), here...))
	back := parts(t, store.Config{Path: filepath.Join(t.TempDir(), "back.db")})
	for i, s := range here {
		ok(t, back[i].Fill(t.Context(), there[i]))
		tables, numbered := store.Tables(t, s)
		for _, table := range tables {
			want := holds(t, store.Raw(s), table)
			equal(t, "rows of "+table, len(want), 3*64)
			for where, db := range map[string]*sql.DB{"PostgreSQL": store.Raw(there[i]), "SQLite again": store.Raw(back[i])} {
				if got := holds(t, db, table); !slices.Equal(got, want) {
					for j := range want {
						if j >= len(got) || got[j] != want[j] {
							t.Fatalf("%s of %s:\n got %q\nwant %q", where, table, got[min(j, len(got)-1)], want[j])
						}
					}
					t.Fatalf("%d rows of %s in %s, want %d", len(got), table, where, len(want))
				}
			}
		}
		for table, column := range numbered {
			const last = 1<<53 + 1 + 5
			for where, q := range map[*store.Store]string{there[i]: "SELECT nextval(pg_get_serial_sequence('" + table + "', '" + column + "'))", back[i]: "SELECT seq + 1 FROM sqlite_sequence WHERE name = '" + table + "'"} {
				equal(t, "next number of "+table, store.Setting(t.Context(), t, where, q), fmt.Sprint(last+1))
			}
		}
	}
}

func TestOnlyAnEmptyDatabaseIsFilled(t *testing.T) {
	here := parts(t, store.Config{Path: filepath.Join(t.TempDir(), "m.db")})
	crammed(t, here[0])
	for _, table := range []string{"people_names", "settings"} {
		there := parts(t, storetest.Postgres(t))
		row := map[string]string{"settings": "(name, value) VALUES ('a', 'b')", "people_names": "(id, workspace, kind, name, title, parent, first_at, last_at) VALUES (1, 1, 1, 'a', '', 0, 0, 0)"}[table]
		_, err := store.Raw(there[0]).Exec("INSERT INTO " + table + " " + row)
		ok(t, err)
		err = there[0].Fill(t.Context(), here...)
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), table) || fault.HintOf(err) == "" {
			t.Errorf("something in %s: %v", table, err)
		}
		equal(t, "workspaces", len(holds(t, store.Raw(there[0]), "workspaces")), 0)
	}
}
