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
// its rows and what their people did, and nothing of the people. Of people it gives what exports have a use for, and of what they
// did not the revenue. Safe for concurrent use.
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
	columns := bulkColumns
	for _, m := range []struct {
		of     string
		needed bool
	}{{"m.custom", b.needs.Custom}, {"m.rest", b.needs.Rest}} {
		if !m.needed {
			m.of = "''"
		}
		columns += ", " + m.of
	}
	next, who := 0, &control.Person{Workspace: b.workspace} // the place in rows of who comes next
	x, scan := control.Profile{Person: who}, scanBulk(who)
	each := func(r scanner) error {
		if err := scan(r); err != nil {
			return err
		}
		for next < len(rows) && rows[next] < who.Row {
			next++
		}
		if next == len(rows) || rows[next] != who.Row {
			return nil
		}
		x.Deeds, x.Had = x.Deeds[:0], x.Had[:0]
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
		if args = within.doneWithin(args); b.needs.Custom || b.needs.Rest {
			args = within.doneWithin(args)
		} else {
			from = " FROM people p CROSS JOIN people_done d WHERE " + doneWithin
		}
		if err := b.forEach(ctx, each, columns, from+"+p.workspace = ? AND "+where+" ORDER BY p.id", args...); err != nil {
			return b.p.s.fail(err, op)
		}
	}
	return nil
}

// bulkColumns are those of people that exports have a use for, but for what is long.
const bulkColumns = `p.id, p.person, p.external_id, p.bucket, p.created_at, p.first_name, p.last_name, p.email, p.phone, p.gender, p.dob, p.country, p.language,
	p.time_zone, p.home_city, p.email_subscribe, p.push_subscribe, d.sessions, d.revenue, d.first_session, d.last_session, d.uninstalled_at`

// scanBulk gives what makes p who stands in a row of bulkColumns, custom and rest.
func scanBulk(p *control.Person) func(r scanner) error {
	var created int64
	var first, last, uninstalled sql.NullInt64
	to := []any{&p.Row, (*string)(&p.ID), (*orNone)(&p.ExternalID), &p.Bucket, &created, (*orNone)(&p.FirstName), (*orNone)(&p.LastName), (*orNone)(&p.Email), (*orNone)(&p.Phone),
		(*orNone)(&p.Gender), (*orNone)(&p.Birth), (*orNone)(&p.Country), (*orNone)(&p.Language), (*orNone)(&p.TimeZone), (*orNone)(&p.HomeCity), (*orNone)(&p.EmailSubscribe),
		(*orNone)(&p.PushSubscribe), &p.Sessions, &p.Revenue, &first, &last, &uninstalled, &p.Custom, &p.Rest}
	return func(r scanner) error {
		err := r.Scan(to...)
		p.CreatedAt, p.FirstSession, p.LastSession, p.UninstalledAt = fromMillis(created), fromOptMillis(first), fromOptMillis(last), fromOptMillis(uninstalled)
		return err
	}
}

// of is something of a person.
type ofPerson[T any] struct {
	person int64
	rank   int
	of     T
}

func (b *Bulk) deedsOf(ctx context.Context, rows []int64, near bool) ([]ofPerson[control.Deed], error) {
	return ofPeople(ctx, b, "people_events", "first_at, last_at, count", " AND last_at >= ?", b.deeds, rows, near,
		func(name, person *int64) ([]any, func() control.Deed) {
			var d control.Deed
			var first, last int64
			return []any{name, person, &first, &last, &d.Count}, func() control.Deed {
				n := b.deeds[*name]
				d.Kind, d.Name, d.First, d.Last = n.Kind, n.Name.Name, fromMillis(first), fromMillis(last)
				return d
			}
		})
}

func (b *Bulk) hadOf(ctx context.Context, rows []int64, near bool) ([]ofPerson[control.Had], error) {
	return ofPeople(ctx, b, "people_messages", "variation, flags, received, opened, clicked, entered, exited", "", b.had, rows, near,
		func(name, person *int64) ([]any, func() control.Had) {
			var m control.PersonMessage
			var received, opened, clicked, entered, exited sql.NullInt64
			return []any{name, person, &m.Variation, &m.Flags, &received, &opened, &clicked, &entered, &exited}, func() control.Had {
				m.Name, m.Person = *name, *person
				m.Received, m.Opened, m.Clicked, m.Entered, m.Exited = fromOptMillis(received), fromOptMillis(opened), fromOptMillis(clicked), fromOptMillis(entered), fromOptMillis(exited)
				return control.Had{Of: b.had[*name].Name, Deed: m}
			}
		})
}

// ofPeople reads from a table that stands by name and person what belongs to rows, by person and then by the rank of its
// name. since: a condition on times that count. scan says where a row goes, and what is made of it there.
func ofPeople[T any](ctx context.Context, b *Bulk, table, columns, since string, names map[int64]ranked, rows []int64, near bool, scan func(name, person *int64) (to []any, made func() T)) (out []ofPerson[T], err error) {
	if len(names) == 0 {
		return nil, nil
	}
	var name, person int64
	to, made := scan(&name, &person)
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
			return b.forEach(ctx, func(r scanner) error {
				if err := r.Scan(to...); err != nil {
					return err
				}
				out = append(out, ofPerson[T]{person, names[name].rank, made()})
				return nil
			}, "name, person, "+columns, " FROM "+table+" WHERE name IN ("+marks+") AND "+where, append(all, args...)...)
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

// forEach calls f with each row of a query, whose columns stand apart, until one fails.
func (b *Bulk) forEach(ctx context.Context, f func(row scanner) error, columns, from string, args ...any) error {
	s := b.p.s
	if !s.d.far() {
		// SQLite would watch ctx at each row; between queries is soon enough.
		ctx, columns = context.WithoutCancel(ctx), packed+"("+columns+")"
		each := f
		f = func(r scanner) error {
			var one sql.RawBytes
			if err := r.Scan(&one); err != nil {
				return err
			}
			return each(packedRow{one, string(one)})
		}
	}
	_, err := list(s.reader(ctx), func(r scanner) (struct{}, error) { return struct{}{}, f(r) }, "SELECT "+columns+from, args...) // of nothing a list takes nothing
	return err
}
