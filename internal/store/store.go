// Package store keeps the control plane in SQL: workspaces, members, keys, connectors and their versions, positions, the
// ledger, counts, the log of changes.
//
// It owns the transaction; what a transaction writes is decided by the rooms that call it, in control's nouns. A line of
// the log of changes comes with the context (control.WithEntry) and is written by whichever method is called with it.
// Every method is one transaction: when it returns nil, what it wrote survives a crash of process or machine;
// when it returns an error, nothing of it was written. All methods are safe for concurrent use, also by several
// processes on one database.
//
// Errors carry the codes of fault, made from the driver's codes: not_found, conflict (a name or number is taken),
// stale (based on what has changed since), unavailable (busy, disk full; repeating is safe), corrupt, internal.
//
// The database is a file of SQLite, or PostgreSQL. What differs between them stands in dialect; statements are plain
// SQL with ? for parameters, and mean the same in both.
//
// Writers follow one another. In SQLite there is room for one. In PostgreSQL each takes a lock first that stands for
// the whole database, so a method that is right in the one is right in the other, with nothing that could be forgotten
// in a method and no transaction that has to be tried again because it lost. Only what works on one connector's lanes
// (inScope) goes on beside others: it takes part in that lock, and alone has a lock for its connector. So the saves of
// many connectors share their way to the server and its disk. What such a transaction reads and writes stands in rows
// of that connector alone; the numbers that rows of different connectors get from one counter say nothing about which
// was first.
//
// Start reading at Store, then at Save, the transaction everything else is there for.
package store

import (
	"context"
	"database/sql"
	"errors"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// Config says where the database is.
type Config struct {
	Path        string           // of the SQLite file, made if it is not there; not with URL
	URL         secret.Value     // postgres://… or postgresql://…, in place of Path
	Keyring     *secret.Keyring  // seals credentials; required
	Catalogue   *event.Catalogue // says what a selection takes; required
	Now         func() time.Time // nil: time.Now
	OnStatement func(sql string) // called before each statement; for tests and traces; may be nil
}

// Store is the control plane's database.
type Store struct {
	write  *sql.DB // one connection: writers queue here rather than in the database
	read   *sql.DB
	d      dialect
	part   part
	ring   *secret.Keyring
	types  *event.Catalogue
	now    func() time.Time
	onStmt func(string)
	clock  string // a query for the time that leases go by; empty: now

	mu      sync.Mutex
	counted map[eventlog.ID]eventlog.Offset // the counts cursor that this Store saw last; see AddCounts
}

// Open opens the database, makes it if there is none, and brings its schema up to date.
//
// Errors: invalid (what cfg says), unavailable, corrupt. A database with a newer schema, or with a migration that
// differs from this program's, is refused and left as it is.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	const op = "open database"
	if cfg.Keyring == nil {
		return nil, fault.New(fault.Internal, op, "no keyring was given")
	}
	if cfg.Catalogue == nil {
		return nil, fault.New(fault.Internal, op, "no catalogue was given")
	}
	return open(ctx, cfg, plane, op)
}

// open is Open of one part.
func open(ctx context.Context, cfg Config, which part, op string) (*Store, error) {
	s := &Store{
		d: sqlite{}, part: which, ring: cfg.Keyring, types: cfg.Catalogue, now: cfg.Now, onStmt: cfg.OnStatement,
		counted: map[eventlog.ID]eventlog.Offset{},
	}
	switch {
	case !cfg.URL.Empty():
		s.d = postgres{within: answerWithin}
	case cfg.Path == "":
		return nil, fault.New(fault.Invalid, op, "no path was given")
	}
	if s.now == nil {
		s.clock = s.d.clock()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.onStmt == nil {
		s.onStmt = func(string) {}
	}
	var err error
	if s.write, s.read, err = s.d.open(cfg, s.part.bulk); err != nil {
		return nil, s.fail(err, op)
	}
	if err := s.prepare(ctx); err != nil {
		_ = s.Close() // what kept it from opening says more
		if e := fault.As(err); e != nil && e.Code == fault.Unavailable && e.Message() == "" && !errors.Is(e, context.Canceled) {
			if better := s.d.explain(cfg, e.Retry); better != nil {
				better.Op, better.Retry, better.Cause = op, e.Retry, e.Cause
				return nil, better
			}
		}
		return nil, fault.Wrap(err, op)
	}
	return s, nil
}

// How long opening waits for another process that is making the database, and how often it looks.
const (
	prepareFor   = 10 * time.Second
	prepareEvery = 20 * time.Millisecond
)

// prepare makes the first connection and brings the schema up to date.
//
// While another process makes the same database, some steps are refused as busy at once, without the wait that
// later statements get.
func (s *Store) prepare(ctx context.Context) error {
	give := time.Now().Add(prepareFor)
	for {
		err := s.migrate(ctx)
		if e := fault.As(err); e == nil || !e.Retry || time.Now().After(give) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(prepareEvery):
		}
	}
}

// Close lets go of the database. It is safe to call twice.
func (s *Store) Close() error {
	return s.fail(errors.Join(s.read.Close(), s.write.Close()), "close database")
}

// fail turns an error of the driver into one with a code; errors that have one go through with op before them.
func (s *Store) fail(err error, op string) error {
	if err == nil {
		return nil
	}
	if fault.As(err) != nil {
		return fault.Wrap(err, op)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fault.From(err, fault.NotFound, op)
	case errors.Is(err, context.Canceled), errors.Is(err, sql.ErrConnDone):
		return fault.From(err, fault.Unavailable, op)
	case errors.Is(err, context.DeadlineExceeded): // by a limit of the caller's, or of ours
		return &fault.Error{Code: fault.Unavailable, Op: op, Retry: true, Cause: err}
	}
	code, retry := s.d.code(err)
	return &fault.Error{Code: code, Op: op, Retry: retry, Cause: err}
}

// conn is what statements run on: the readers' pool or a transaction.
type conn struct {
	s   *Store
	ctx context.Context
	on  interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
	// bare lends a transaction's connection as the driver has it, see sql.Conn.Raw; nil where a server is far.
	bare func(f func(on any) error) error
}

// inTx runs f in one writing transaction, beside which nobody else writes. It commits if f returns nil.
func (s *Store) inTx(ctx context.Context, op string, f func(c conn) error) error {
	return s.inScope(ctx, op, "", f)
}

// inScope is inTx for what reads and writes nothing but rows of one connector's lanes: others may go on beside it.
func (s *Store) inScope(ctx context.Context, op string, connector control.ConnectorID, f func(c conn) error) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.transact(ctx, op, string(connector), f)
}

// transact is inScope without a limit of time.
func (s *Store) transact(ctx context.Context, op, scope string, f func(c conn) error) error {
	// Each statement sees what was committed before it, also while the transaction waited for its turn.
	c := conn{s: s, ctx: ctx}
	begin := s.write.BeginTx // where a server is far, it takes another connection in place of one that broke
	if !s.d.far() {
		on, err := s.write.Conn(ctx)
		if err != nil {
			return s.fail(err, op)
		}
		defer on.Close() // gives it back
		begin, c.bare = on.BeginTx, on.Raw
	}
	tx, err := begin(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return s.fail(err, op)
	}
	c.on = tx
	changes := s.part == plane // what is made from the log is nobody's change, whoever asks for it
	if err = s.d.begin(ctx, tx, s.part.lock, scope); err == nil && changes {
		err = c.stillMay()
	}
	if err == nil {
		err = f(c)
	}
	if err == nil && changes {
		err = c.writeEntry()
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		_ = tx.Rollback() // after a failed commit there may be nothing left to roll back
	}
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		err = ctx.Err() // whose end rolled it back before the commit
	}
	return s.fail(err, op)
}

// limit ends what waits for a database that is gone without a word.
func (s *Store) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if d := s.d.patience(); d > 0 {
		return context.WithTimeout(ctx, d)
	}
	return ctx, func() {}
}

// reader gives a conn for single statements, each of which sees what was committed before it.
func (s *Store) reader(ctx context.Context) conn { return conn{s: s, ctx: ctx, on: s.read} }

// snapshot runs f on one state of the database, without writing.
func (s *Store) snapshot(ctx context.Context, op string, f func(c conn) error) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.still(ctx, op, f)
}

// still is snapshot without a limit of time.
func (s *Store) still(ctx context.Context, op string, f func(c conn) error) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return s.fail(err, op)
	}
	defer tx.Rollback() // nothing was written
	return s.fail(f(conn{s: s, ctx: ctx, on: tx}), op)
}

// exec runs a statement and gives the number of rows that it changed.
func (c conn) exec(query string, args ...any) (int64, error) {
	c.s.onStmt(query)
	query, args = c.s.d.bind(query, args)
	res, err := c.on.ExecContext(c.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// rowsAtOnce is how many rows one statement takes at most.
const rowsAtOnce = 64

// many runs a statement that takes a list of rows: head, with args, then row for each of rows, with its values,
// then tail. What is more than one statement takes is given to several, of 1, 2, 4 … rows, so that there are few
// different texts for the database to remember.
func (c conn) many(head string, args []any, row, tail string, rows [][]any) error {
	return several(rowsAtOnce, head, args, row, tail, rows, func(query string, all []any) error {
		_, err := c.exec(query, all...)
		return err
	})
}

// several is many for statements that are run by do, with up to most rows each.
func several(most int, head string, args []any, row, tail string, rows [][]any, do func(query string, all []any) error) error {
	for len(rows) > 0 {
		n := min(1<<(bits.Len(uint(len(rows)))-1), most)
		if err := do(head+strings.Repeat(row+", ", n-1)+row+tail, slices.Concat(args, slices.Concat(rows[:n]...))); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// one runs a query for one row and scans it into dest; sql.ErrNoRows if there is none.
func (c conn) one(query string, args []any, dest ...any) error {
	c.s.onStmt(query)
	ctx, cancel := c.s.limit(c.ctx)
	defer cancel()
	query, args = c.s.d.bind(query, args)
	return c.on.QueryRowContext(ctx, query, args...).Scan(dest...)
}

// list runs a query and gives what scan makes of each row.
func list[T any](c conn, scan func(row scanner) (T, error), query string, args ...any) ([]T, error) {
	c.s.onStmt(query)
	ctx, cancel := c.s.limit(c.ctx)
	defer cancel()
	query, args = c.s.d.bind(query, args)
	rows, err := c.on.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// scanner is a row.
type scanner interface{ Scan(dest ...any) error }

// Times are stored as milliseconds, and given back in UTC.
func millis(t time.Time) int64      { return t.UnixMilli() }
func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func optMillis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return millis(t)
}

func fromOptMillis(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return fromMillis(ms.Int64)
}
