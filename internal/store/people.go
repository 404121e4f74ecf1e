package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Profiles keeps what is made from the log about people: who they are, what they did, what is counted of them.
//
// On SQLite it is a file of its own beside the control plane's, so that catching up never holds up the saves of delivery;
// on PostgreSQL it stands in the same database, with a lock of its own. All methods are safe for concurrent use; one
// reader at a time applies batches.
type Profiles struct {
	s   *Store
	own *prepared // see Following; nil: the readers' connections
}

// prepared is a database whose queries are prepared once: of few texts, which stay until it is closed.
type prepared struct {
	*sql.DB
	mu    sync.Mutex
	ready map[string]*sql.Stmt
}

func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	p.mu.Lock()
	st := p.ready[query]
	if st == nil {
		var err error
		if st, err = p.PrepareContext(ctx, query); err != nil {
			p.mu.Unlock()
			return nil, err
		}
		p.ready[query] = st
	}
	p.mu.Unlock()
	return st.QueryContext(ctx, args...)
}

// OpenProfiles opens the tables of people, makes them if there are none, and brings them up to date. Of cfg it needs
// Path or URL. Errors: as Open.
func OpenProfiles(ctx context.Context, cfg Config) (*Profiles, error) {
	s, err := open(ctx, cfg, profiles, "open database of people")
	if err != nil {
		return nil, err
	}
	return &Profiles{s: s}, nil
}

// Following gives p to who applies batches, and looks for people while the batch before is being written.
func (p *Profiles) Following() *Profiles {
	if p.s.d.far() {
		return p
	}
	return &Profiles{s: p.s, own: &prepared{DB: p.s.read, ready: map[string]*sql.Stmt{}}}
}

// reader is Store.reader, for what batches need.
func (p *Profiles) reader(ctx context.Context) conn {
	if p.own != nil {
		return conn{s: p.s, ctx: context.WithoutCancel(ctx), on: p.own} // short: see Apply
	}
	return p.s.reader(ctx)
}

// Close lets go of the database. It is safe to call twice.
func (p *Profiles) Close() error { return p.s.Close() }

// CopyTo writes the tables of people, as they are at one moment, into the file at path: see Store.CopyTo.
func (p *Profiles) CopyTo(ctx context.Context, path string) (schema int, err error) {
	return p.s.CopyTo(ctx, path)
}

// Cursor gives the log that people are made from, and the offset up to which it has been applied. known: there is one.
func (p *Profiles) Cursor(ctx context.Context) (log eventlog.ID, next eventlog.Offset, known bool, err error) {
	const op = "read cursor of people"
	var text string
	err = p.s.reader(ctx).one("SELECT log, next_offset FROM people_cursor", nil, &text, &next)
	if errors.Is(err, sql.ErrNoRows) {
		return log, 0, false, nil
	}
	if err != nil {
		return log, 0, false, p.s.fail(err, op)
	}
	if log, known = eventlog.ParseID(text); !known {
		return log, 0, false, fault.New(fault.Corrupt, op, "%q names no log", text)
	}
	return log, next, true, nil
}

// Highest gives the highest numbers of people and names that were given.
func (p *Profiles) Highest(ctx context.Context) (row, name int64, err error) {
	err = p.s.reader(ctx).one("SELECT COALESCE((SELECT MAX(id) FROM people), 0), COALESCE((SELECT MAX(id) FROM people_names), 0)", nil, &row, &name)
	return row, name, p.s.fail(err, "read highest numbers of people")
}

// askedAtOnce is how many values one query asks for at most.
const askedAtOnce = 256

// inChunks calls f for values in parts, each with as many ? as it has values. The last value is repeated until there are 1, 2,
// 4 … of them, so that there are few different texts for the database to remember.
func inChunks[T any](values []T, f func(part []T, marks string) error) error {
	for part := range slices.Chunk(values, askedAtOnce) {
		for part = slices.Clip(part); len(part)&(len(part)-1) != 0; {
			part = append(part, part[len(part)-1])
		}
		if err := f(part, strings.Repeat(", ?", len(part))[2:]); err != nil {
			return err
		}
	}
	return nil
}

const personColumns = `p.id, p.workspace, p.person, p.external_id, p.bucket, p.created_at, p.updated_at, p.first_name, p.last_name, p.email, p.phone, p.gender, p.dob,
	p.country, p.language, p.time_zone, p.home_city, p.email_subscribe, p.push_subscribe, ` + doneColumns + ", m.custom, m.rest"

// orNone is a text that is scanned, and empty for NULL: to let SQLite turn NULL into a text costs three times what reading it does.
type orNone string

func (t *orNone) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*t = ""
	case string:
		*t = orNone(v)
	case []byte:
		*t = orNone(v)
	default:
		return fmt.Errorf("%T is no text", v)
	}
	return nil
}

// What stands beside a person's row.
const (
	joinDone = " JOIN people_done d ON d.person = p.id"
	joinMore = " LEFT JOIN people_more m ON m.person = p.id"
)

func scanPerson(r scanner) (*control.Person, error) {
	var p control.Person
	var created, updated int64
	var first, last, purchase, uninstalled sql.NullInt64
	err := r.Scan(&p.Row, &p.Workspace, (*string)(&p.ID), (*orNone)(&p.ExternalID), &p.Bucket, &created, &updated, (*orNone)(&p.FirstName), (*orNone)(&p.LastName),
		(*orNone)(&p.Email), (*orNone)(&p.Phone), (*orNone)(&p.Gender), (*orNone)(&p.Birth), (*orNone)(&p.Country), (*orNone)(&p.Language), (*orNone)(&p.TimeZone),
		(*orNone)(&p.HomeCity), (*orNone)(&p.EmailSubscribe), (*orNone)(&p.PushSubscribe), &p.Sessions, &p.Purchases, &p.Revenue,
		&first, &last, &purchase, &uninstalled, &p.Channels, &p.Custom, &p.Rest)
	p.CreatedAt, p.UpdatedAt = fromMillis(created), fromMillis(updated)
	p.FirstSession, p.LastSession, p.LastPurchase, p.UninstalledAt = fromOptMillis(first), fromOptMillis(last), fromOptMillis(purchase), fromOptMillis(uninstalled)
	p.Known = control.AllParts
	return &p, err
}

// doneOf are the columns of who somebody is to their events.
const doneOf = "p.id, p.workspace, p.person, p.external_id, " + doneColumns

func scanDone(r scanner) (*control.Person, error) {
	p := control.Person{Known: control.PartDone}
	var first, last, purchase, uninstalled sql.NullInt64
	err := r.Scan(&p.Row, &p.Workspace, (*string)(&p.ID), (*orNone)(&p.ExternalID), &p.Sessions, &p.Purchases, &p.Revenue, &first, &last, &purchase, &uninstalled, &p.Channels)
	p.FirstSession, p.LastSession, p.LastPurchase, p.UninstalledAt = fromOptMillis(first), fromOptMillis(last), fromOptMillis(purchase), fromOptMillis(uninstalled)
	return &p, err
}

// Active gives those of a workspace that there are, in no order, with their external ids and what events count of them: all
// that most events need, for half of what reading everything costs.
func (p *Profiles) Active(ctx context.Context, workspace uint32, ids []control.PersonID) ([]*control.Person, error) {
	return p.people(ctx, scanDone, doneOf, joinDone, workspace, ids)
}

// People gives those of a workspace that there are, in no order.
func (p *Profiles) People(ctx context.Context, workspace uint32, ids []control.PersonID) ([]*control.Person, error) {
	return p.people(ctx, scanPerson, personColumns, joinDone+joinMore, workspace, ids)
}

func (p *Profiles) people(ctx context.Context, scan func(scanner) (*control.Person, error), columns, join string, workspace uint32, ids []control.PersonID) ([]*control.Person, error) {
	out, err := listKeyed(p.reader(ctx), scan, columns, "people p", join, "p.workspace = ?", "p.person", []any{workspace}, ids)
	return out, p.s.fail(err, "read people")
}

// listKeyed gives rows of a table, which an alias follows, that stand in a unique index under what a condition says and one of
// values, whose column has the alias too. Each value is given once.
//
// One query for many values may look at every row that the condition holds instead: PostgreSQL does while it knows nothing
// of a table that has just been filled. There each value is looked for by itself.
func listKeyed[T any, V ~string | ~[]byte](c conn, scan func(scanner) (T, error), columns, table, join, where, key string, args []any, values []V) (out []T, err error) {
	if len(values) == 0 {
		return nil, nil
	}
	if c.s.d.far() {
		array, kind := any(nil), "TEXT"
		switch any(values[0]).(type) {
		case []byte:
			array, kind = values, "BYTEA"
		default:
			texts := make([]string, len(values))
			for i, v := range values {
				texts[i] = string(v)
			}
			array = texts
		}
		alias := table[strings.LastIndex(table, " ")+1:]
		return list(c, scan, "SELECT "+columns+" FROM unnest(CAST(? AS "+kind+"[])) AS asked (value) CROSS JOIN LATERAL (SELECT "+alias+".* FROM "+table+
			" WHERE "+where+" AND "+key+" = asked.value OFFSET 0) AS "+alias+join, append([]any{array}, args...)...)
	}
	err = inChunks(values, func(part []V, marks string) error {
		all := slices.Clone(args)
		for _, v := range part {
			all = append(all, plain(v))
		}
		some, err := list(c, scan, "SELECT "+columns+" FROM "+table+join+" WHERE "+where+" AND "+key+" IN ("+marks+")", all...)
		out = append(out, some...)
		return err
	})
	return out, err
}

// plain is a value of a type of its own as drivers take it.
func plain[V ~string | ~[]byte](v V) any {
	if b, is := any(v).([]byte); is {
		return b
	}
	return string(v)
}

// Identities gives whom identifiers of one kind name, of those that name anybody.
func (p *Profiles) Identities(ctx context.Context, workspace uint32, kind control.IdentifierKind, values []string) ([]control.PersonIdentity, error) {
	out, err := listKeyed(p.reader(ctx), func(r scanner) (x control.PersonIdentity, err error) {
		var value []byte
		x.Workspace, x.Kind = workspace, kind
		err = r.Scan(&value, &x.Person)
		x.Value = string(value)
		return x, err
	}, "i.value, i.person", "people_identities i", "", "i.workspace = ? AND i.kind = ?", "i.value", []any{workspace, uint8(kind)}, blobs(values))
	return out, p.s.fail(err, "read identities")
}

// blobs are texts as columns of bytes take them.
func blobs[T ~string](texts []T) [][]byte {
	out := make([][]byte, len(texts))
	for i, t := range texts {
		out[i] = []byte(t)
	}
	return out
}

// Names gives what a workspace's events have named, of one kind, by name.
func (p *Profiles) Names(ctx context.Context, workspace uint32, kind control.NameKind) ([]control.Name, error) {
	out, err := list(p.reader(ctx), scanName, "SELECT "+nameColumns+" FROM people_names WHERE workspace = ? AND kind = ? ORDER BY name", workspace, uint8(kind))
	return out, p.s.fail(err, "read names")
}

// SetAside gives up to limit of the newest records that could not be applied, of one workspace, and ranges of which
// nobody knows whose they were.
func (p *Profiles) SetAside(ctx context.Context, workspace uint32, limit int) ([]control.SetAside, error) {
	out, err := list(p.s.reader(ctx), func(r scanner) (x control.SetAside, err error) {
		var at int64
		err = r.Scan(&x.Offset, &x.Workspace, &x.EventType, &x.Reason, &at)
		x.At = fromMillis(at)
		return x, err
	}, "SELECT record_offset, workspace, event_type, reason, at FROM people_set_aside WHERE workspace IN (?, 0) ORDER BY at DESC, record_offset DESC LIMIT ?", workspace, limit)
	return out, p.s.fail(err, "read what was set aside")
}

// Apply writes a batch and its cursor in one transaction.
//
// Errors: stale if the cursor is not where the batch begins, because somebody else applied it; conflict if two people
// claim what one can have. When ctx ends, nothing is written, or all.
func (p *Profiles) Apply(ctx context.Context, b *control.PeopleBatch) error {
	within := ctx
	if !p.s.d.far() {
		// SQLite would have somebody watch ctx during each of the many statements. Between them is soon enough.
		within = context.WithoutCancel(ctx)
	}
	return p.s.transact(within, "apply to people", "", func(c conn) error {
		n, err := c.exec("UPDATE people_cursor SET next_offset = ? WHERE log = ? AND next_offset = ?", int64(b.Next), b.Log.String(), int64(b.From))
		if err == nil && n == 0 && b.From == 0 { // the first log may begin at 0 without further words
			n, err = c.exec("INSERT INTO people_cursor (log, next_offset) SELECT CAST(? AS TEXT), CAST(? AS BIGINT) WHERE NOT EXISTS (SELECT 1 FROM people_cursor)", b.Log.String(), int64(b.Next))
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.New(fault.Stale, "", "people are not at offset %d of the log %s", b.From, b.Log)
		}
		w := &batchWriter{c: c, b: b, until: ctx, ready: map[string]driver.Stmt{}}
		defer w.close()
		for _, write := range []func() error{w.names, w.moves, w.people, w.done, w.more, w.attributes, w.events, w.messages, w.groups, w.stats, w.identities, w.setAside} {
			if err := write(); err != nil {
				return err
			}
		}
		return nil
	})
}

// batchWriter writes the parts of a batch. Rows go in the order of their keys, so that neighbours are written together.
type batchWriter struct {
	c     conn
	b     *control.PeopleBatch
	until context.Context
	ready map[string]driver.Stmt // by their text
	args  []driver.NamedValue    // of the statement that runs
}

// rowsOfBatch is how many rows one statement of a batch takes at most.
const rowsOfBatch = 256

// put runs a statement that inserts a row, for all of rows: with many at a time, whose neighbours it finds where it
// stands. Whatever it did before a row that is refused goes with the transaction, so SQLite need not keep what was there
// before the statement.
func (w *batchWriter) put(query string, rows [][]any) error {
	head, rest, _ := strings.Cut(query, "VALUES ")
	row, tail, _ := strings.Cut(rest, ")")
	do := func(query string, values []any) error {
		_, err := w.c.exec(query, values...)
		return err
	}
	if !w.c.s.d.far() {
		head, do = strings.Replace(head, "INSERT", "INSERT OR FAIL", 1), w.run
	}
	return several(rowsOfBatch, head+"VALUES ", nil, row+")", tail, rows, do)
}

// run runs a statement of SQLite, which is prepared once for the transaction. It goes past database/sql, which for
// statements as short as these, two for each event, costs a fifth of the whole.
func (w *batchWriter) run(query string, values []any) error {
	if err := w.until.Err(); err != nil {
		return err
	}
	w.c.s.onStmt(query)
	return w.c.bare(func(on any) error {
		st := w.ready[query]
		if st == nil {
			var err error
			if st, err = on.(driver.ConnPrepareContext).PrepareContext(w.c.ctx, query); err != nil {
				return err
			}
			w.ready[query] = st
		}
		w.args = w.args[:0]
		for i, v := range values {
			plain, err := driver.DefaultParameterConverter.ConvertValue(v)
			if err != nil {
				return err
			}
			w.args = append(w.args, driver.NamedValue{Ordinal: i + 1, Value: plain})
		}
		_, err := st.(driver.StmtExecContext).ExecContext(w.c.ctx, w.args)
		return err
	})
}

// close lets go of what run prepared.
func (w *batchWriter) close() {
	if len(w.ready) == 0 {
		return
	}
	_ = w.c.bare(func(any) error { // they hold nothing of the transaction any more
		for _, st := range w.ready {
			_ = st.Close()
		}
		return nil
	})
}

// optText is NULL for an empty text: what is not known.
func optText[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}

// object is a JSON object as it is stored.
func object(b []byte) string {
	if len(b) == 0 {
		return "{}"
	}
	return string(b)
}

func (w *batchWriter) names() error {
	slices.SortFunc(w.b.Names, func(a, b control.Name) int { return cmp.Compare(a.ID, b.ID) })
	var rows [][]any
	for _, n := range w.b.Names {
		rows = append(rows, []any{n.ID, n.Workspace, uint8(n.Kind), n.Name, n.Title, n.Parent, millis(n.FirstAt), millis(n.LastAt), optMillis(n.FirstSent), optMillis(n.LastSent)})
	}
	return w.put("INSERT INTO people_names ("+nameColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET title = excluded.title, parent = excluded.parent, last_at = excluded.last_at, first_sent = excluded.first_sent, last_sent = excluded.last_sent", rows)
}

// What people's statements write, in the order of its parts; the last is new people's alone.
const (
	doneColumns = "sessions, purchases, revenue, first_session, last_session, last_purchase, uninstalled_at, channels"
	whoColumns  = "external_id, bucket, created_at, updated_at, first_name, last_name, email, phone, gender, dob, country, language, time_zone, home_city, email_subscribe, push_subscribe"
	newColumns  = "id, workspace, person"
)

var (
	insertPerson = "INSERT INTO people (" + whoColumns + ", " + newColumns + ") VALUES (" + strings.Repeat("?, ", 18) + "?)"
	updatePerson = "UPDATE people SET " + strings.ReplaceAll(whoColumns, ",", " = ?,") + " = ? WHERE id = ?"
)

// people inserts who is new and updates who is not: to insert and meet a conflict would look at every index. Where a
// statement takes many rows it meets the conflict in the first index that it looks at.
func (w *batchWriter) people() error {
	slices.SortFunc(w.b.People, func(a, b *control.Person) int { return cmp.Compare(a.Row, b.Row) })
	far := w.c.s.d.far()
	var rows [][]any
	for _, p := range w.b.People {
		if !p.New && p.Changed&control.PartWho == 0 {
			continue
		}
		row := []any{optText(p.ExternalID), p.Bucket, millis(p.CreatedAt), millis(p.UpdatedAt), optText(p.FirstName), optText(p.LastName),
			optText(p.Email), optText(p.Phone), optText(p.Gender), optText(p.Birth), optText(p.Country), optText(p.Language), optText(p.TimeZone), optText(p.HomeCity),
			optText(p.EmailSubscribe), optText(p.PushSubscribe), p.Row}
		if !p.New && !far {
			if err := w.run(updatePerson, row); err != nil {
				return err
			}
			continue
		}
		row = append(row, p.Workspace, string(p.ID))
		rows = append(rows, row)
	}
	if !far {
		return w.put(insertPerson, rows)
	}
	return w.put(insertPerson+" ON CONFLICT (id) DO UPDATE SET "+qualified("excluded", whoColumns), rows)
}

func (w *batchWriter) done() error {
	var rows [][]any
	for _, p := range w.b.People {
		if p.New || p.Changed&control.PartDone != 0 {
			rows = append(rows, []any{p.Row, p.Sessions, p.Purchases, p.Revenue, optMillis(p.FirstSession), optMillis(p.LastSession), optMillis(p.LastPurchase), optMillis(p.UninstalledAt), object(p.Channels)})
		}
	}
	return w.put("INSERT INTO people_done (person, "+doneColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (person) DO UPDATE SET "+qualified("excluded", doneColumns), rows)
}

// qualified sets columns to those of a row, as an UPDATE does.
func qualified(row, columns string) string {
	parts := strings.Split(columns, ", ")
	for i, c := range parts {
		parts[i] = c + " = " + row + "." + c
	}
	return strings.Join(parts, ", ")
}

func (w *batchWriter) more() error {
	var rows [][]any
	for _, p := range w.b.People {
		if p.Changed&control.PartMore != 0 || p.New && len(p.Custom)+len(p.Rest) > 0 {
			rows = append(rows, []any{p.Row, object(p.Custom), object(p.Rest)})
		}
	}
	for some := range slices.Chunk(rows, 8) { // each may be half a megabyte, and a statement copies what it takes
		if err := w.put("INSERT INTO people_more (person, custom, rest) VALUES (?, ?, ?) ON CONFLICT (person) DO UPDATE SET "+qualified("excluded", "custom, rest"), some); err != nil {
			return err
		}
	}
	return nil
}

func (w *batchWriter) attributes() error {
	slices.SortFunc(w.b.Attributes, func(a, b control.PersonAttribute) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Person, b.Person))
	})
	var rows [][]any
	for _, a := range w.b.Attributes {
		if a.Number == nil && a.Text == nil {
			if _, err := w.c.exec("DELETE FROM people_attributes WHERE name = ? AND person = ?", a.Name, a.Person); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []any{a.Name, a.Person, a.Number, a.Text})
	}
	return w.put("INSERT INTO people_attributes (name, person, number, text) VALUES (?, ?, ?, ?) ON CONFLICT (name, person) DO UPDATE SET number = excluded.number, text = excluded.text", rows)
}

// What joins rows of two batches, or of two people.
const (
	joinEvents = ` ON CONFLICT (name, person) DO UPDATE SET
		first_at = CASE WHEN excluded.first_at < people_events.first_at THEN excluded.first_at ELSE people_events.first_at END,
		last_at = CASE WHEN excluded.last_at > people_events.last_at THEN excluded.last_at ELSE people_events.last_at END,
		count = people_events.count + excluded.count, revenue = people_events.revenue + excluded.revenue`
	joinMessages = ` ON CONFLICT (name, person) DO UPDATE SET
		variation = CASE WHEN excluded.variation = '' THEN people_messages.variation ELSE excluded.variation END,
		flags = people_messages.flags | excluded.flags,
		received = CASE WHEN people_messages.received IS NULL OR excluded.received > people_messages.received THEN excluded.received ELSE people_messages.received END,
		opened = CASE WHEN people_messages.opened IS NULL OR excluded.opened < people_messages.opened THEN excluded.opened ELSE people_messages.opened END,
		clicked = CASE WHEN people_messages.clicked IS NULL OR excluded.clicked < people_messages.clicked THEN excluded.clicked ELSE people_messages.clicked END,
		entered = CASE WHEN people_messages.entered IS NULL OR excluded.entered > people_messages.entered THEN excluded.entered ELSE people_messages.entered END,
		exited = CASE WHEN people_messages.exited IS NULL OR excluded.exited > people_messages.exited THEN excluded.exited ELSE people_messages.exited END`
	joinGroups = ` ON CONFLICT (name, person) DO UPDATE SET
		subscribed = CASE WHEN excluded.at >= people_groups.at THEN excluded.subscribed ELSE people_groups.subscribed END,
		at = CASE WHEN excluded.at >= people_groups.at THEN excluded.at ELSE people_groups.at END`
)

func (w *batchWriter) events() error {
	slices.SortFunc(w.b.Events, func(a, b control.PersonEvents) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Person, b.Person))
	})
	var rows [][]any
	for _, e := range w.b.Events {
		rows = append(rows, []any{e.Name, e.Person, millis(e.First), millis(e.Last), e.Count, e.Revenue})
	}
	return w.put("INSERT INTO people_events (name, person, first_at, last_at, count, revenue) VALUES (?, ?, ?, ?, ?, ?)"+joinEvents, rows)
}

func (w *batchWriter) messages() error {
	slices.SortFunc(w.b.Messages, func(a, b control.PersonMessage) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Person, b.Person))
	})
	var rows [][]any
	for _, m := range w.b.Messages {
		rows = append(rows, []any{m.Name, m.Person, m.Variation, uint32(m.Flags), optMillis(m.Received), optMillis(m.Opened), optMillis(m.Clicked), optMillis(m.Entered), optMillis(m.Exited)})
	}
	return w.put("INSERT INTO people_messages (name, person, variation, flags, received, opened, clicked, entered, exited) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"+joinMessages, rows)
}

func (w *batchWriter) groups() error {
	slices.SortFunc(w.b.Groups, func(a, b control.PersonGroup) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Person, b.Person))
	})
	var rows [][]any
	for _, g := range w.b.Groups {
		rows = append(rows, []any{g.Name, g.Person, g.Subscribed, millis(g.At)})
	}
	return w.put("INSERT INTO people_groups (name, person, subscribed, at) VALUES (?, ?, ?, ?)"+joinGroups, rows)
}

// kept are the tables with a row for each person and name, what is in their rows, and how two people's are joined.
// The names of a person are few among those of a workspace: each is looked for by its key.
var kept = []struct{ table, columns, join string }{
	{"people_events", "first_at, last_at, count, revenue", joinEvents},
	{"people_messages", "variation, flags, received, opened, clicked, entered, exited", joinMessages},
	{"people_groups", "subscribed, at", joinGroups},
	{"people_attributes", "", ""}, // made anew from people_more.custom
}

func (w *batchWriter) moves() error {
	const ofPerson = " WHERE person = ? AND name IN (SELECT id FROM people_names WHERE workspace = ?)"
	for _, m := range w.b.Moves {
		for _, t := range kept {
			if m.Into != 0 && t.join != "" {
				if _, err := w.c.exec("INSERT INTO "+t.table+" (name, person, "+t.columns+") SELECT name, CAST(? AS BIGINT), "+t.columns+" FROM "+t.table+ofPerson+t.join,
					m.Into, m.Person, m.Workspace); err != nil {
					return err
				}
			}
			if _, err := w.c.exec("DELETE FROM "+t.table+ofPerson, m.Person, m.Workspace); err != nil {
				return err
			}
		}
		if _, err := w.c.exec("DELETE FROM people_identities WHERE workspace = ? AND kind = ? AND value = ?", m.Workspace, uint8(ending), []byte(m.ID)); err != nil {
			return err
		}
		if m.Into != 0 {
			if _, err := w.c.exec("UPDATE people_identities SET person = ? WHERE workspace = ? AND person = ?", string(m.IntoID), m.Workspace, string(m.ID)); err != nil {
				return err
			}
		} else if _, err := w.c.exec("DELETE FROM people_identities WHERE workspace = ? AND person = ?", m.Workspace, string(m.ID)); err != nil {
			return err
		}
		for _, query := range []string{"DELETE FROM people_more WHERE person = ?", "DELETE FROM people_done WHERE person = ?", "DELETE FROM people WHERE id = ?"} {
			if _, err := w.c.exec(query, m.Person); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *batchWriter) identities() error {
	slices.SortFunc(w.b.Identities, func(a, b control.PersonIdentity) int {
		return cmp.Or(cmp.Compare(a.Workspace, b.Workspace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value))
	})
	ended, err := w.ended()
	if err != nil {
		return err
	}
	later, err := w.later()
	if err != nil {
		return err
	}
	var rows [][]any
	for _, i := range w.b.Identities {
		if ended[personIn{i.Workspace, i.Person}] || later[identifierIn{i.Workspace, i.Identifier}] {
			continue
		}
		if i.From != "" {
			if _, err := w.c.exec("DELETE FROM people_identities WHERE workspace = ? AND kind = ? AND value = ? AND person = ?", i.Workspace, uint8(i.Kind), []byte(i.Value), string(i.From)); err != nil {
				return err
			}
		}
		if i.Person != "" {
			rows = append(rows, []any{i.Workspace, uint8(i.Kind), []byte(i.Value), string(i.Person)})
		}
	}
	return w.put("INSERT INTO people_identities (workspace, kind, value, person) VALUES (?, ?, ?, ?) ON CONFLICT (workspace, kind, value) DO NOTHING", rows)
}

type personIn struct {
	workspace uint32
	id        control.PersonID
}

type identifierIn struct {
	workspace uint32
	control.Identifier
}

// later gives the identifiers that requests have moved after what the batch says: whom they name is not for the batch to say.
// It forgets the moves to which the batch has come.
func (w *batchWriter) later() (map[identifierIn]bool, error) {
	workspaces := map[uint32]bool{}
	for _, i := range w.b.Identities {
		workspaces[i.Workspace] = true
	}
	out := map[identifierIn]bool{}
	for workspace := range workspaces {
		all, err := w.c.allMoved(workspace)
		if err != nil {
			return nil, err
		}
		come := false
		for _, m := range all {
			if m.at < w.b.Next {
				come = true
			} else {
				out[identifierIn{workspace, m.i}] = true
			}
		}
		if !come {
			continue
		}
		if _, err := w.c.exec("DELETE FROM people_identities WHERE workspace = ? AND kind = ? AND value < ?", workspace, uint8(moved), movedBy{at: w.b.Next}.value()[:8]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ended gives whom requests have ended, of those whom identifiers of the batch name, and the reader has still to end. What the log
// said of them before would name them again until then, and be found by requests, which gave to who is no more what goes with them.
func (w *batchWriter) ended() (map[personIn]bool, error) {
	all := map[uint32][]control.PersonID{}
	for _, i := range w.b.Identities {
		all[i.Workspace] = append(all[i.Workspace], i.Person)
	}
	out := map[personIn]bool{}
	for workspace, people := range all {
		slices.Sort(people)
		some, err := listKeyed(w.c, func(r scanner) (value []byte, err error) { return value, r.Scan(&value) },
			"i.value", "people_identities i", "", "i.workspace = ? AND i.kind = ?", "i.value", []any{workspace, uint8(ending)}, blobs(slices.Compact(people)))
		if err != nil {
			return nil, err
		}
		for _, id := range some {
			out[personIn{workspace, control.PersonID(id)}] = true
		}
	}
	return out, nil
}

func (w *batchWriter) setAside() error {
	for _, x := range w.b.SetAside {
		if err := w.c.setAside(w.b.Log, x); err != nil {
			return err
		}
	}
	return nil
}

func (c conn) setAside(log eventlog.ID, x control.SetAside) error {
	_, err := c.exec("INSERT INTO people_set_aside (log, record_offset, workspace, event_type, reason, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (log, record_offset) DO NOTHING",
		log.String(), int64(x.Offset), x.Workspace, x.EventType, x.Reason, millis(x.At))
	return err
}

// Begin says from where on which log is applied: the first time, after what was not applied is gone from it, or when it
// takes the place of one that was lost. lost is what is never applied for that, and kept with what was set aside; nil:
// nothing.
func (p *Profiles) Begin(ctx context.Context, log eventlog.ID, at eventlog.Offset, lost *control.SetAside) error {
	return p.s.transact(ctx, "set cursor of people", "", func(c conn) error {
		// What requests have done that is not in this log, or not any more, the reader never comes to.
		if _, err := c.exec("DELETE FROM people_identities WHERE kind IN (?, ?) AND EXISTS (SELECT 1 FROM people_cursor WHERE log <> ? OR next_offset > ?)",
			uint8(ending), uint8(moved), log.String(), int64(at)); err != nil {
			return err
		}
		if _, err := c.exec("DELETE FROM people_cursor"); err != nil {
			return err
		}
		if _, err := c.exec("INSERT INTO people_cursor (log, next_offset) VALUES (?, ?)", log.String(), int64(at)); err != nil || lost == nil {
			return err
		}
		return c.setAside(log, *lost)
	})
}

// Done gives what a person did, by name.
func (p *Profiles) Done(ctx context.Context, who *control.Person) ([]control.Deed, error) {
	out, err := list(p.s.reader(ctx), func(r scanner) (d control.Deed, err error) {
		var first, last int64
		err = r.Scan(&d.Kind, &d.Name, &first, &last, &d.Count, &d.Revenue)
		d.First, d.Last = fromMillis(first), fromMillis(last)
		return d, err
	}, `SELECT n.kind, n.name, e.first_at, e.last_at, e.count, e.revenue FROM people_names n JOIN people_events e ON e.name = n.id AND e.person = ?
		WHERE n.workspace = ? AND n.kind IN (?, ?) ORDER BY n.kind, n.name`, who.Row, who.Workspace, uint8(control.NameEvent), uint8(control.NameProduct))
	return out, p.s.fail(err, "read what a person did")
}
