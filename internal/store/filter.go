package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// How people are asked for by filters.
const (
	// filterRows is how many rows one query looks at: what it gathers of a leaf stays small, and several work
	// side by side.
	filterRows   = 50_000
	filterBeside = 2
	// filterWithin is how long a call may take.
	filterWithin = 30 * time.Second
	// Of more people than this a size is estimated, from so many parts spread evenly over their rows.
	estimateFrom  = 40_000
	estimateParts = 80
)

// Size gives how many people of a workspace a filter holds. Errors: unavailable, also after 30 seconds.
func (p *Profiles) Size(ctx context.Context, workspace uint32, f control.Filter, now time.Time) (int64, error) {
	last, _, err := p.Highest(ctx)
	if err != nil {
		return 0, err
	}
	var ranges []rowRange
	for from := int64(0); from < last; from += filterRows {
		ranges = append(ranges, rowRange{from, min(from+filterRows, last)})
	}
	n, err := p.count(ctx, workspace, f, now, ranges)
	return n, p.s.fail(err, "count people of a filter")
}

// Estimate is Size from a sample, where there are so many people that counting takes time; exact says that there are not.
func (p *Profiles) Estimate(ctx context.Context, workspace uint32, f control.Filter, now time.Time) (n int64, exact bool, err error) {
	last, _, err := p.Highest(ctx)
	if err != nil {
		return 0, false, err
	}
	if last <= estimateFrom {
		n, err = p.Size(ctx, workspace, f, now)
		return n, true, err
	}
	var ranges []rowRange
	const rows = estimateFrom / 4 / estimateParts
	for i := range int64(estimateParts) {
		from := last * i / estimateParts
		ranges = append(ranges, rowRange{from, from + rows})
	}
	n, err = p.count(ctx, workspace, f, now, ranges)
	return int64(math.Round(float64(n) * float64(last) / (rows * estimateParts))), false, p.s.fail(err, "estimate people of a filter")
}

// Matching gives up to limit people of a workspace whom a filter holds, in the order of their rows, from the one after the
// row after on. Errors: as Size.
func (p *Profiles) Matching(ctx context.Context, workspace uint32, f control.Filter, now time.Time, after int64, limit int) (out []*control.Person, err error) {
	const op = "read people of a filter"
	last, _, err := p.Highest(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, filterWithin)
	defer cancel()
	names, err := p.namesOf(ctx, workspace, f)
	if err != nil {
		return nil, p.s.fail(err, op)
	}
	for ; after < last && len(out) < limit; after += filterRows {
		q := filterQuery{d: p.s.d, names: names, now: now, rows: rowRange{after, min(after+filterRows, last)}}
		where := q.where(workspace, f)
		some, err := list(p.s.reader(ctx), scanPerson, "SELECT "+personColumns+peopleWithin+where+" ORDER BY p.id LIMIT ?", append(q.rows.peopleWithin(q.args), limit-len(out))...)
		if err != nil {
			return nil, p.s.fail(err, op)
		}
		out = append(out, some...)
	}
	return out, nil
}

// Holds reports whether a filter holds somebody. Errors: as Size.
func (p *Profiles) Holds(ctx context.Context, who *control.Person, f control.Filter, now time.Time) (bool, error) {
	n, err := p.count(ctx, who.Workspace, f, now, []rowRange{{who.Row - 1, who.Row}})
	return n > 0, p.s.fail(err, "look whether a filter holds somebody")
}

// count counts in ranges of rows, several at once.
func (p *Profiles) count(ctx context.Context, workspace uint32, f control.Filter, now time.Time, ranges []rowRange) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, filterWithin)
	defer cancel()
	names, err := p.namesOf(ctx, workspace, f)
	if err != nil {
		return 0, err
	}
	var total, next atomic.Int64
	var wait sync.WaitGroup
	var once sync.Once
	for range filterBeside {
		wait.Go(func() {
			for at := next.Add(1) - 1; at < int64(len(ranges)); at = next.Add(1) - 1 {
				q := filterQuery{d: p.s.d, names: names, now: now, rows: ranges[at]}
				from := q.from(workspace, f)
				var n int64
				if failed := p.s.reader(ctx).one("SELECT COUNT(*) FROM "+from, q.args, &n); failed != nil {
					once.Do(func() { err = failed })
					cancel() // the others work for nothing
					return
				}
				total.Add(n)
			}
		})
	}
	wait.Wait()
	return total.Load(), err
}

// filterName is something of a workspace that a filter names.
type filterName struct {
	kind control.NameKind
	name string
}

// namesOf gives the numbers of what a filter names. What no event has named has none.
func (p *Profiles) namesOf(ctx context.Context, workspace uint32, f control.Filter) (map[filterName]int64, error) {
	names := map[filterName]int64{}
	for leaf := range f.Leaves() {
		kind, name := leaf.Names()
		if kind == 0 {
			continue
		}
		var id int64
		switch err := p.s.reader(ctx).one("SELECT id FROM people_names WHERE workspace = ? AND kind = ? AND name = ?", []any{workspace, uint8(kind), name}, &id); {
		case err == nil:
			names[filterName{kind, name}] = id
		case !errors.Is(err, sql.ErrNoRows):
			return nil, err
		}
	}
	return names, nil
}

// rowRange are the rows above from, to with it.
type rowRange struct{ from, to int64 }

// Rows of people_done and people_more in a range, beside those of people. PostgreSQL does not carry the range over from one
// table to another, and would read the whole of each; SQLite takes the tables in this order.
const (
	doneWithin   = "d.person > ? AND d.person <= ? AND d.person = p.id AND "
	peopleWithin = " FROM people p CROSS JOIN people_done d LEFT JOIN people_more m ON m.person > ? AND m.person <= ? AND m.person = p.id WHERE " + doneWithin
)

// doneWithin gives the arguments of doneWithin and of what follows.
func (r rowRange) doneWithin(args []any) []any { return append([]any{r.from, r.to}, args...) }

// peopleWithin gives those of peopleWithin and of what follows.
func (r rowRange) peopleWithin(args []any) []any { return r.doneWithin(r.doneWithin(args)) }

// filterQuery makes the condition of a query from a filter. What it says stands in args; of the text nothing comes from
// anybody.
type filterQuery struct {
	d     dialect
	names map[filterName]int64
	now   time.Time
	rows  rowRange
	args  []any
	done  bool // it asks for d, a row of people_done, as well
}

// where is true of p, a row of people with its d of people_done, if it is one of the workspace's that the filter holds,
// within rows.
func (q *filterQuery) where(workspace uint32, f control.Filter) string {
	q.args = append(q.args, workspace, q.rows.from, q.rows.to)
	return "p.workspace = ? AND p.id > ? AND p.id <= ? AND " + q.node(f)
}

// from is a table with its condition that has one row for each of the people. One leaf about what somebody did needs no
// more than the table where that stands: each of its rows is somebody's, and its name is one of the workspace's.
func (q *filterQuery) from(workspace uint32, f control.Filter) string {
	if kind, name := f.Names(); kind != 0 && !orNever(f) {
		if id := q.names[filterName{kind, name}]; id != 0 {
			return q.rowsOf(f, id)
		}
	}
	return q.people(workspace, f)
}

// people is from, with a row of people.
func (q *filterQuery) people(workspace uint32, f control.Filter) string {
	where := q.where(workspace, f)
	if q.done { // in this order: what there is of other workspaces is not looked at
		q.args = q.rows.doneWithin(q.args)
		return "people p CROSS JOIN people_done d WHERE " + doneWithin + where
	}
	return "people p WHERE " + where
}

const (
	nobody    = "1 = 0"
	everybody = "1 = 1"
)

// node is true or false, and never NULL: each leaf asks first whether anything is known.
func (q *filterQuery) node(f control.Filter) string {
	kind, name := f.Names()
	switch {
	case f.Not != nil:
		return "NOT (" + q.node(*f.Not) + ")"
	case f.Attribute != nil:
		return q.attribute(*f.Attribute)
	case kind != 0 && orNever(f): // who has no row that is not so
		return "NOT (" + q.among(f, q.names[filterName{kind, name}]) + ")"
	case kind != 0:
		return q.among(f, q.names[filterName{kind, name}])
	case f.Message != nil: // of a channel
		m := f.Message
		q.done = true
		return q.once(q.d.number("d.channels", string(m.Channel), touchFields[m.Did]), m.After, m.Before)
	}
	list, word := f.All, " AND "
	if len(f.Any) > 0 {
		list, word = f.Any, " OR "
	}
	if len(list) == 0 {
		return everybody
	}
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = q.node(x)
	}
	return "(" + strings.Join(parts, word) + ")"
}

// orNever reports whether a leaf holds also people who have no row in its table.
func orNever(f control.Filter) bool {
	d := cmp.Or(f.Event, f.Purchase)
	return d != nil && d.Never()
}

// among is true of people who have a row in a table that stands by names.
func (q *filterQuery) among(f control.Filter, name int64) string {
	if name == 0 {
		return nobody
	}
	// The plus keeps SQLite from looking for people by what is gathered, once for each part of an any: to go through the
	// range is cheaper.
	return "+p.id IN (SELECT person FROM " + q.rowsOf(f, name) + ")"
}

// rowsOf is the table of a leaf with its condition.
func (q *filterQuery) rowsOf(f control.Filter, name int64) string {
	q.args = append(q.args, name, q.rows.from, q.rows.to)
	var table, where string
	switch {
	case f.Custom != nil:
		table, where = "people_attributes", q.custom(*f.Custom)
	case f.Message != nil:
		table, where = "people_messages", q.message(*f.Message)
	case f.Group != nil:
		table, where = "people_groups", q.test("subscribed = ?", f.Group.State == control.Subscribed)
	default:
		table, where = "people_events", q.deeds(*cmp.Or(f.Event, f.Purchase))
		if orNever(f) {
			where = "NOT (" + where + ")"
		}
	}
	return table + " WHERE name = ? AND person > ? AND person <= ? AND " + where
}

// attributeColumns are the columns of people that are not named as their attribute is.
var attributeColumns = map[string]string{"random_bucket": "p.bucket"}

func (q *filterQuery) attribute(c control.Condition) string {
	a, _ := control.AttributeNamed(c.Name)
	column := cmp.Or(attributeColumns[a.Name], "p."+a.Name)
	if slices.Contains(strings.Split(doneColumns, ", "), a.Name) {
		column, q.done = "d."+a.Name, true
	}
	switch a.Kind {
	case control.KindTime:
		return q.moments(column, c.After, c.Before)
	case control.KindDay:
		day := func(t time.Time) any { return t.Format(time.DateOnly) }
		return and(column+" IS NOT NULL", q.moment(column+" >= ?", c.After, day), q.moment(column+" < ?", c.Before, day))
	case control.KindNumber:
		if a.Name == "revenue" {
			return and(q.number(asMoney(column)+" >= CAST(? AS NUMERIC)", c.AtLeast), q.number(asMoney(column)+" <= CAST(? AS NUMERIC)", c.AtMost))
		}
		return and(column+" IS NOT NULL", q.number(column+" >= CAST(? AS DOUBLE PRECISION)", c.AtLeast), q.number(column+" <= CAST(? AS DOUBLE PRECISION)", c.AtMost))
	}
	return q.texts(column, c)
}

func (q *filterQuery) texts(column string, c control.Condition) string {
	parts := []string{column + " IS NOT NULL"}
	if len(c.OneOf) > 0 {
		for _, v := range c.OneOf {
			q.args = append(q.args, v)
		}
		parts = append(parts, column+" IN ("+strings.Repeat(", ?", len(c.OneOf))[2:]+")")
	}
	if c.Contains != nil { // to take a text out changes whatever holds it; that databases know how to look for it differs
		parts = append(parts, q.test("REPLACE(LOWER("+column+"), ?, '') <> LOWER("+column+")", control.Lower(*c.Contains)))
	}
	return and(parts...)
}

func (q *filterQuery) custom(c control.Condition) string {
	var parts []string
	if len(c.OneOf) > 0 || c.Contains != nil {
		parts = append(parts, q.texts("text", c))
	}
	if c.Has != nil {
		parts = append(parts, q.test("REPLACE(text, ?, '') <> text", control.ItemBetween+*c.Has+control.ItemBetween))
	}
	if c.Is != nil {
		n := 0.0
		if *c.Is {
			n = 1
		}
		parts = append(parts, q.number("number = ?", &n))
	}
	millis := func(t time.Time) any { return float64(millis(t)) }
	return and(append(parts, q.number("number >= ?", c.AtLeast), q.number("number <= ?", c.AtMost),
		q.moment("number >= ?", c.After, millis), q.moment("number < ?", c.Before, millis))...)
}

func (q *filterQuery) deeds(d control.Deeds) string {
	var parts []string
	for _, p := range []struct {
		text string
		n    *int64
	}{{"count >= ?", d.AtLeast}, {"count <= ?", d.AtMost}} {
		if p.n != nil {
			parts = append(parts, q.test(p.text, *p.n))
		}
	}
	return and(append(parts, q.number(asMoney("revenue")+" >= CAST(? AS NUMERIC)", d.RevenueAtLeast), q.number(asMoney("revenue")+" <= CAST(? AS NUMERIC)", d.RevenueAtMost),
		q.moments("first_at", d.FirstAfter, d.FirstBefore), q.moments("last_at", d.LastAfter, d.LastBefore))...)
}

// asMoney is a sum as people see it: what adding up prices leaves behind the cents counts for nothing.
func asMoney(column string) string { return "ROUND(CAST(" + column + " AS NUMERIC), 2)" }

// touchFields are the fields of a control.Touch.
var touchFields = map[string]string{control.DidReceive: "r", control.DidOpen: "o", control.DidClick: "c"}

// once is moments of what costs time to read: it is read once; of two moments by SQLite alone.
func (q *filterQuery) once(column string, after, before control.Moment) string {
	const never = math.MinInt64 + 1 // some databases do not know how to write the least
	ms := func(t time.Time) any { return millis(t) }
	orElse := func(n int64) string { return "COALESCE(" + column + ", " + strconv.FormatInt(n, 10) + ")" }
	switch {
	case after == "" && before == "":
		return column + " IS NOT NULL"
	case before == "":
		return q.moment(orElse(never)+" >= ?", after, ms)
	case after == "":
		return q.moment(orElse(math.MaxInt64)+" < ?", before, ms)
	}
	last, _ := before.At(q.now)
	return q.moment(orElse(never)+" BETWEEN ?", after, ms) + q.test(" AND ?", millis(last)-1)
}

func (q *filterQuery) message(m control.MessageDeed) string {
	if m.Did == control.DidConvert {
		return "(flags & " + strconv.Itoa(int(control.Converted)) + ") <> 0"
	}
	return q.moments(m.Did, m.After, m.Before) // columns are named as what was done
}

// and joins conditions; those that say nothing are empty.
func and(parts ...string) string {
	all := everybody
	for _, p := range parts {
		if p != "" && p != everybody {
			if all == everybody {
				all = p
			} else {
				all += " AND " + p
			}
		}
	}
	return all
}

func (q *filterQuery) test(text string, value any) string {
	q.args = append(q.args, value)
	return text
}

func (q *filterQuery) number(text string, n *float64) string {
	if n == nil {
		return ""
	}
	return q.test(text, *n)
}

func (q *filterQuery) moment(text string, m control.Moment, write func(time.Time) any) string {
	if m == "" {
		return ""
	}
	at, _ := m.At(q.now)
	return q.test(text, write(at))
}

// moments is true of a time in milliseconds that is known, and lies between.
func (q *filterQuery) moments(column string, after, before control.Moment) string {
	ms := func(t time.Time) any { return millis(t) }
	return and(column+" IS NOT NULL", q.moment(column+" >= ?", after, ms), q.moment(column+" < ?", before, ms))
}
