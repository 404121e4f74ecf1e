package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// Bulk reads the people of a filter for an export, in the order of their rows and part by part: what it holds of a part is
// its rows and what their people did, and nothing of the people. Safe for concurrent use.
type Bulk struct {
	p         *Profiles
	workspace uint32
	filter    control.Filter
	now       time.Time
	needs     control.ProfileNeeds
	names     map[filterName]int64
	deeds     map[int64]ranked // names of what people did
	had       map[int64]ranked // of what they had
	last      int64            // the highest row when it began
}

// ranked is a name and its place among all, by kind and name.
type ranked struct {
	control.Name
	rank int
}

// Bulk gives what reads the people of a workspace whom a filter holds; moments count from now. People who come later are not
// read. Errors: unavailable.
func (p *Profiles) Bulk(ctx context.Context, workspace uint32, f control.Filter, now time.Time, needs control.ProfileNeeds) (*Bulk, error) {
	const op = "begin to read people"
	b := &Bulk{p: p, workspace: workspace, filter: f, now: now, needs: needs}
	var err error
	if b.last, _, err = p.Highest(ctx); err != nil {
		return nil, err
	}
	if b.names, err = p.namesOf(ctx, workspace, f); err != nil {
		return nil, p.s.fail(err, op)
	}
	var deeds []control.NameKind
	if needs.Events {
		deeds = append(deeds, control.NameEvent)
	}
	if needs.Purchases {
		deeds = append(deeds, control.NameProduct)
	}
	if b.deeds, err = b.rankedNames(ctx, deeds, func(n control.Name) bool {
		return n.Kind != control.NameEvent || needs.Only == nil || slices.Contains(needs.Only, n.Name)
	}); err == nil {
		b.had, err = b.rankedNames(ctx, needs.Had, func(n control.Name) bool { return needs.HadOf == "" || n.Name == needs.HadOf })
	}
	return b, err
}

// rankedNames gives the names of kinds that are needed, and of which there is something recent.
func (b *Bulk) rankedNames(ctx context.Context, kinds []control.NameKind, needed func(control.Name) bool) (map[int64]ranked, error) {
	out := map[int64]ranked{}
	for _, kind := range kinds {
		all, err := b.p.Names(ctx, b.workspace, kind)
		if err != nil {
			return nil, err
		}
		for _, n := range all {
			if !n.LastAt.Before(b.needs.Since) && needed(n) {
				out[n.ID] = ranked{n, len(out)}
			}
		}
	}
	return out, nil
}

// Next gives the rows of the first up to limit people after a row; none: there are no more. Errors: unavailable.
func (b *Bulk) Next(ctx context.Context, after int64, limit int) (rows []int64, err error) {
	for ; after < b.last && len(rows) < limit; after += filterRows {
		q := filterQuery{d: b.p.s.d, names: b.names, now: b.now, rows: rowRange{after, min(after+filterRows, b.last)}}
		from := q.people(b.workspace, b.filter)
		some, err := list(b.p.s.reader(ctx), func(r scanner) (row int64, err error) { return row, r.Scan(&row) },
			"SELECT p.id FROM "+from+" ORDER BY p.id LIMIT ?", append(q.args, limit-len(rows))...)
		if err != nil {
			return nil, b.p.s.fail(err, "find people of a filter")
		}
		rows = append(rows, some...)
	}
	return rows, nil
}

// Each gives those of rows, which Next gave, who are still there, in their order, with what is needed of them. f may not keep
// its argument. Errors: unavailable; that of f, which ends it.
func (b *Bulk) Each(ctx context.Context, rows []int64, f func(control.Profile) error) error {
	const op = "read people"
	if len(rows) == 0 {
		return nil
	}
	near := dense(rows)
	deeds, err := b.deedsOf(ctx, rows, near)
	if err != nil {
		return b.p.s.fail(err, op)
	}
	had, err := b.hadOf(ctx, rows, near)
	if err != nil {
		return b.p.s.fail(err, op)
	}
	columns := personColumns
	if !b.needs.More {
		columns = strings.Replace(columns, "m.custom, m.rest", "'', ''", 1)
	}
	next, x := 0, control.Profile{} // the place in rows of who comes next
	each := func(r scanner) error {
		who, err := scanPerson(r)
		if err != nil {
			return err
		}
		for next < len(rows) && rows[next] < who.Row {
			next++
		}
		if next == len(rows) || rows[next] != who.Row {
			return nil
		}
		x.Person, x.Deeds, x.Had = who, x.Deeds[:0], x.Had[:0]
		for ; len(deeds) > 0 && deeds[0].person <= who.Row; deeds = deeds[1:] {
			if deeds[0].person == who.Row {
				x.Deeds = append(x.Deeds, deeds[0].of)
			}
		}
		for ; len(had) > 0 && had[0].person <= who.Row; had = had[1:] {
			if had[0].person == who.Row {
				x.Had = append(x.Had, had[0].of)
			}
		}
		return f(x)
	}
	for part := range slices.Chunk(rows, rowsOf(near)) {
		where, args := inRows("p.id", part, near)
		within, args := rowRange{part[0] - 1, part[len(part)-1]}, append([]any{b.workspace}, args...)
		from := peopleWithin
		if args = within.doneWithin(args); b.needs.More {
			args = within.doneWithin(args)
		} else {
			from = " FROM people p CROSS JOIN people_done d WHERE " + doneWithin
		}
		if err := forEach(b.reader(ctx), each, "SELECT "+columns+from+"+p.workspace = ? AND "+where+" ORDER BY p.id", args...); err != nil {
			return b.p.s.fail(err, op)
		}
	}
	return nil
}

// reader is Store.reader, for the rows of a part. SQLite would watch ctx at each of them; between parts is soon enough.
func (b *Bulk) reader(ctx context.Context) conn {
	if !b.p.s.d.far() {
		ctx = context.WithoutCancel(ctx)
	}
	return b.p.s.reader(ctx)
}

// of is something of a person.
type ofPerson[T any] struct {
	person int64
	rank   int
	of     T
}

func (b *Bulk) deedsOf(ctx context.Context, rows []int64, near bool) ([]ofPerson[control.Deed], error) {
	return ofPeople(ctx, b, "people_events", "first_at, last_at, count, revenue", " AND last_at >= ?", b.deeds, rows, near,
		func(r scanner, name, person *int64) (d control.Deed, err error) {
			var first, last int64
			err = r.Scan(name, person, &first, &last, &d.Count, &d.Revenue)
			n := b.deeds[*name]
			d.Kind, d.Name, d.First, d.Last = n.Kind, n.Name.Name, fromMillis(first), fromMillis(last)
			return d, err
		})
}

func (b *Bulk) hadOf(ctx context.Context, rows []int64, near bool) ([]ofPerson[control.Had], error) {
	return ofPeople(ctx, b, "people_messages", "variation, flags, received, opened, clicked, entered, exited", "", b.had, rows, near,
		func(r scanner, name, person *int64) (h control.Had, err error) {
			var received, opened, clicked, entered, exited sql.NullInt64
			m := &h.Deed
			err = r.Scan(name, person, &m.Variation, &m.Flags, &received, &opened, &clicked, &entered, &exited)
			h.Of, m.Name, m.Person = b.had[*name].Name, *name, *person
			m.Received, m.Opened, m.Clicked, m.Entered, m.Exited = fromOptMillis(received), fromOptMillis(opened), fromOptMillis(clicked), fromOptMillis(entered), fromOptMillis(exited)
			return h, err
		})
}

// ofPeople reads from a table that stands by name and person what belongs to rows, by person and then by the rank of its
// name. since: a condition on times that count.
func ofPeople[T any](ctx context.Context, b *Bulk, table, columns, since string, names map[int64]ranked, rows []int64, near bool, scan func(r scanner, name, person *int64) (T, error)) (out []ofPerson[T], err error) {
	if len(names) == 0 {
		return nil, nil
	}
	ids := make([]int64, 0, len(names))
	for id := range names {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for part := range slices.Chunk(rows, rowsOf(near)) {
		where, args := inRows("person", part, near)
		if since != "" {
			where, args = where+since, append(args, millis(b.needs.Since))
		}
		err = inChunks(ids, func(some []int64, marks string) error {
			all := make([]any, 0, len(some)+len(args))
			for _, id := range some {
				all = append(all, id)
			}
			return forEach(b.reader(ctx), func(r scanner) error {
				var name, person int64
				v, err := scan(r, &name, &person)
				out = append(out, ofPerson[T]{person, names[name].rank, v})
				return err
			}, "SELECT name, person, "+columns+" FROM "+table+" WHERE name IN ("+marks+") AND "+where, append(all, args...)...)
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b ofPerson[T]) int { return cmp.Or(cmp.Compare(a.person, b.person), a.rank-b.rank) })
	return out, nil
}

// dense reports whether people lie so close that it is cheaper to read all rows from the first to the last.
func dense(rows []int64) bool { return rows[len(rows)-1]-rows[0] < 8*int64(len(rows)) }

// rowsOf is how many rows one query asks for.
func rowsOf(near bool) int {
	if near {
		return 1 << 30
	}
	return askedAtOnce
}

// inRows is a condition that holds of a column for rows; if they are near, also for those between.
func inRows(column string, rows []int64, near bool) (where string, args []any) {
	if near {
		return column + " >= ? AND " + column + " <= ?", []any{rows[0], rows[len(rows)-1]}
	}
	for _, r := range rows {
		args = append(args, r)
	}
	return column + " IN (" + strings.Repeat(", ?", len(rows))[2:] + ")", args
}

// forEach runs a query and calls f with each row, until one fails.
func forEach(c conn, f func(row scanner) error, query string, args ...any) error {
	_, err := list(c, func(r scanner) (struct{}, error) { return struct{}{}, f(r) }, query, args...) // of nothing a list takes nothing
	return err
}
