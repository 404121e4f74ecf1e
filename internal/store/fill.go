package store

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/fault"
)

// Fill copies everything of other databases, each as it is at one moment, into this one, which may be of the other
// dialect: all of it in one transaction. Rows stay as they are, with the numbers that they have, and those that come get
// numbers that none ever had. What is sealed stays sealed under the same key. PostgreSQL has room for both parts, a Store
// and a Profiles, in one database, whose tables OpenProfiles has made then; a file of SQLite has one.
//
// Shape: streams; 64 rows are in memory at a time.
// Errors: conflict if one of the tables that would be filled holds anything; nothing is changed then, or after any other
// error.
func (s *Store) Fill(ctx context.Context, from ...*Store) error {
	// As long as it takes. A server that begins meanwhile waits for its lease until this is through, and finds it here.
	return s.transact(ctx, "fill database", "", func(c conn) error {
		for _, f := range from {
			if err := c.fill(f); err != nil {
				return err
			}
		}
		return nil
	})
}

// Store gives the database of p as Fill takes it.
func (p *Profiles) Store() *Store { return p.s }

func (c conn) fill(from *Store) error {
	all, err := from.part.tables()
	if err != nil {
		return err
	}
	for _, t := range all {
		var some int
		if err := c.one("SELECT COUNT(*) FROM (SELECT 1 FROM "+t.name+" LIMIT 1) AS rows", nil, &some); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		if some > 0 {
			return fault.New(fault.Conflict, "", "the database is not empty: there is something in its table %s", t.name).
				WithHint("Name a new and empty database: nothing is overwritten, and nothing was changed.")
		}
	}
	return from.still(c.ctx, "read database", func(r conn) error {
		for _, t := range all {
			if err := c.copyTable(r, t); err != nil {
				return c.s.fail(err, "copy "+t.name)
			}
		}
		return nil
	})
}

// copyTable copies the rows of a table that is empty here.
func (c conn) copyTable(from conn, t table) error {
	from.s.onStmt(t.name)
	rows, err := from.on.QueryContext(from.ctx, "SELECT * FROM "+t.name)
	if err != nil {
		return err
	}
	defer rows.Close() // again after an error
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	var some [][]any
	write := func() error {
		err := c.many("INSERT INTO "+t.name+" ("+strings.Join(columns, ", ")+") VALUES ", nil, "(?"+strings.Repeat(", ?", len(columns)-1)+")", "", some)
		some = some[:0]
		return err
	}
	for rows.Next() {
		values, at := make([]any, len(columns)), make([]any, len(columns))
		for i := range at {
			at[i] = &values[i]
		}
		if err := rows.Scan(at...); err != nil {
			return err
		}
		for i, v := range values {
			if b, is := v.([]byte); is && b == nil { // an empty value, as SQLite's driver gives it: NULL has no type
				values[i] = []byte{}
			}
		}
		if some = append(some, values); len(some) == rowsAtOnce {
			if err := write(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := write(); err != nil || t.numbered == "" {
		return err
	}
	var last int64
	if err := from.one(from.s.d.lastNumber(t.name, t.numbered), nil, &last); err != nil || last == 0 {
		return err
	}
	for _, q := range c.s.d.setLastNumber(t.name, t.numbered) {
		if _, err := c.exec(q, last); err != nil {
			return err
		}
	}
	return nil
}

// table is a table of a part.
type table struct {
	name     string
	numbered string // the column whose values the database gives, each a higher one; empty: none
}

var (
	tableWords  = regexp.MustCompile(`(?s)(CREATE|DROP) TABLE (\w+)(?: \((.*?)\n\))?`)
	numberWords = regexp.MustCompile(`(?m)^ *(\w+) .*AUTOINCREMENT`)
)

// tables gives the tables that the migrations have made, each after those that its rows refer to: as they were made.
func (p part) tables() (all []table, err error) {
	steps, err := (&Store{d: sqlite{}, part: p}).migrations()
	for _, m := range steps {
		for _, w := range tableWords.FindAllStringSubmatch(m.sql, -1) {
			if w[1] == "CREATE" {
				t := table{name: w[2]}
				if n := numberWords.FindStringSubmatch(w[3]); n != nil {
					t.numbered = n[1]
				}
				all = append(all, t)
			} else {
				all = slices.DeleteFunc(all, func(t table) bool { return t.name == w[2] })
			}
		}
	}
	return all, err
}
