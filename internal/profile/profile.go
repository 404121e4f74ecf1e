// Package profile keeps up, from the log, who people are and what they did.
//
// A Reader is an internal reader of the log with a cursor of its own. It gathers consecutive records into a batch, loads
// the people that they are about, applies the records in their order, and stores what came of it together with the
// cursor in one transaction: so each record counts once, whatever fails when. What it stores are control's nouns
// (control.PeopleBatch); how, is the store's affair.
//
// A record is about the person that its external id names, if it has one that somebody has, and else the one that its
// user id names. A record that cannot be applied is set aside with its offset and the reason, and stops nobody. Test
// events are nobody's doing and are passed over.
//
// Which fields of which event mean what is a table, in fold.go. Start reading at Reader.Run, then at folds.
package profile

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Store is what a Reader needs of the store.
type Store interface {
	Cursor(ctx context.Context) (log eventlog.ID, next eventlog.Offset, known bool, err error)
	Begin(ctx context.Context, log eventlog.ID, at eventlog.Offset, lost *control.SetAside) error
	Highest(ctx context.Context) (row, name int64, err error)
	People(ctx context.Context, workspace uint32, ids []control.PersonID) ([]*control.Person, error)
	Active(ctx context.Context, workspace uint32, ids []control.PersonID) ([]*control.Person, error)
	Holders(ctx context.Context, workspace uint32, externals []string) ([]control.PersonIdentity, error)
	Identities(ctx context.Context, workspace uint32, kind control.IdentifierKind, values []string) ([]control.PersonIdentity, error)
	Names(ctx context.Context, workspace uint32, kind control.NameKind) ([]control.Name, error)
	Apply(ctx context.Context, b *control.PeopleBatch) error
}

// Deps are what a Reader works with.
type Deps struct {
	Log       eventlog.Log
	Store     Store
	Catalogue *event.Catalogue
	Logger    *slog.Logger
	Hooks     Hooks
	Memory    int64 // bytes of people that are kept in memory from one batch to the next; 0: 64 MiB
}

// Hooks are called as things happen; each may be nil.
type Hooks struct {
	OnApplied  func(next eventlog.Offset, records int, took time.Duration)
	OnSetAside func(control.SetAside) // a record, or with workspace 0 a range
}

// Reader applies one log to people. There is one at a time on a database: who holds the log's lease.
type Reader struct {
	deps  Deps
	plans map[event.SchemaID]*plan

	// What the store holds, as far as this reader knows. Forgotten after an error, since somebody else may have
	// written.
	known     bool
	cursor    eventlog.Offset
	lastRow   int64
	lastName  int64
	names     map[nameKey]*control.Name
	nameCount map[nameList]int
	people    cache
	most      int           // records of the next batch
	wrote     time.Duration // how long this one was being written so far

	status atomic.Pointer[Status]
}

// Status is how far a reader is.
type Status struct {
	Next  eventlog.Offset // durably applied up to here
	Since time.Time       // when the oldest event was accepted that was read and is not applied; zero: none
}

// Status says how far the reader is; false until it knows. Safe for concurrent use.
func (r *Reader) Status() (Status, bool) {
	if s := r.status.Load(); s != nil {
		return *s, true
	}
	return Status{}, false
}

// New gives a reader of the log.
func New(d Deps) *Reader {
	return &Reader{deps: d, plans: map[event.SchemaID]*plan{}, most: batchRecords / 8}
}

// Limits of one batch: of what it keeps in memory, and of how long a transaction takes.
const (
	batchRecords = 32 << 10
	batchBytes   = 16 << 20
	batchEvery   = time.Second // how often a log that trickles is stored

	// batchFor is how long writing a batch may take. On SQLite requests that name new people wait for it, since one
	// transaction writes at a time; and where this reader has to stand behind others, few records take long.
	batchFor   = 500 * time.Millisecond
	batchLeast = 256 // records
)

// paced gives how many records the next batch has, after one of n that took so long to write.
func paced(most, n int, took time.Duration) int {
	if n < most && took < batchFor { // it was short because no more had come
		return most
	}
	fit := int(float64(n) * float64(batchFor) / float64(max(took, time.Microsecond)))
	return min(max(fit, most/8, batchLeast), 2*most, batchRecords)
}

const (
	againMin = 200 * time.Millisecond
	againMax = 30 * time.Second
)

// Run applies the log until ctx ends. Errors of the store that pass are tried again for ever.
func (r *Reader) Run(ctx context.Context) error {
	wait := againMin
	for {
		err := r.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if r.known {
			wait = againMin // it had come further
		}
		r.known = false
		r.deps.Logger.Error("people are not kept up; trying again", "error", err, "in", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, againMax)
	}
}

// load finds out where the store is.
func (r *Reader) load(ctx context.Context) error {
	log, at, known, err := r.deps.Store.Cursor(ctx)
	if err != nil {
		return err
	}
	start, head := r.deps.Log.Bounds()
	begin := max(at, start)
	var lost *control.SetAside
	switch own := r.deps.Log.ID(); {
	case !known: // people begin with what the log still holds
		begin = start
	case log != own:
		begin = start
		lost = r.lost(start, "the log %s took the place of %s: what that had from offset %d on is in no profile", own, log, at)
	case at < start:
		lost = r.lost(at, "the log no longer holds the offsets %d to %d, which are in no profile", at, start-1)
	case at > head:
		begin = head
		lost = r.lost(head, "the log was set back to offset %d: profiles have events up to %d that it has no more", head, at-1)
	}
	if !known || lost != nil {
		if err := r.deps.Store.Begin(ctx, r.deps.Log.ID(), begin, lost); err != nil {
			return err
		}
	}
	r.cursor = begin
	was, _ := r.Status()
	r.publish(was.Since) // what failed still waits
	if lost != nil && r.deps.Hooks.OnSetAside != nil {
		r.deps.Hooks.OnSetAside(*lost)
	}
	if r.lastRow, r.lastName, err = r.deps.Store.Highest(ctx); err != nil {
		return err
	}
	r.names, r.nameCount = map[nameKey]*control.Name{}, map[nameList]int{}
	r.people = cache{limit: int(cmp.Or(r.deps.Memory, 64<<20))}
	r.known = true
	return nil
}

// lost is a range that nobody can apply any more.
func (r *Reader) lost(at eventlog.Offset, format string, args ...any) *control.SetAside {
	return &control.SetAside{Offset: at, Reason: fmt.Sprintf(format, args...), At: time.Now().UTC()}
}

// publish says how far the reader is, and since when what it has read waits.
func (r *Reader) publish(since time.Time) { r.status.Store(&Status{Next: r.cursor, Since: since}) }

// follow reads the log from the cursor on until something fails.
func (r *Reader) follow(ctx context.Context) error {
	if err := r.load(ctx); err != nil {
		return fault.Wrap(err, "load cursor of people")
	}
	in, err := r.deps.Log.Reader(r.cursor, eventlog.Filter{Kind: eventlog.Events})
	if err != nil {
		return fault.Wrap(err, "read log")
	}
	defer in.Close() // only read
	g := &gathered{}
	began := time.Now()
	for {
		c, err := in.Next()
		if err != nil {
			return fault.Wrap(err, "read log")
		}
		if c != nil && c.Target == 0 {
			if len(g.records) == 0 {
				r.publish(c.Time())
			}
			for rec := range c.Records() {
				g.add(c, rec)
			}
		}
		if c == nil || g.full(r.most) {
			due := g.full(r.most) || time.Since(began) >= batchEvery
			if at := in.Position(); at > r.cursor && due {
				if err := r.apply(ctx, g, at); err != nil {
					return err
				}
				g.reset()
				r.publish(time.Time{})
				began = time.Now()
			}
		}
		if c != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		ready := in.Ready()
		var tick <-chan time.Time
		if in.Position() > r.cursor {
			tick = time.After(max(0, batchEvery-time.Since(began)))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ready:
		case <-tick:
		}
	}
}

// apply stores what the gathered records make, all of them below next. Where a batch is refused for something in it, its
// records go one at a time, and the one that is refused alone is set aside.
func (r *Reader) apply(ctx context.Context, g *gathered, next eventlog.Offset) error {
	began := time.Now()
	n := len(g.records)
	r.wrote = 0
	parts := g.parts()
	for i, part := range parts {
		to := next
		if i+1 < len(parts) {
			to = parts[i+1][0].offset
		}
		err := r.applyPart(ctx, g, part, to)
		if refused(err) && len(part) > 1 {
			for j, rec := range part {
				to := to
				if j+1 < len(part) {
					to = part[j+1].offset
				}
				if err = r.applyOne(ctx, g, rec, to); err != nil {
					break
				}
			}
		} else if refused(err) {
			err = r.applyOne(ctx, g, part[0], to)
		}
		if err != nil {
			return fault.Wrap(err, "apply to people")
		}
	}
	r.most = paced(r.most, n, r.wrote)
	if told := r.deps.Hooks.OnApplied; told != nil {
		told(next, n, time.Since(began))
	}
	return nil
}

// refused reports whether err is about what was to be stored, so that storing it again would fail again.
func refused(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Conflict, fault.Internal, fault.Invalid, fault.Corrupt:
		return err != nil
	}
	return false
}

// applyOne applies a record alone, or sets it aside.
func (r *Reader) applyOne(ctx context.Context, g *gathered, rec record, next eventlog.Offset) error {
	if err := r.load(ctx); err != nil { // the batch that was refused has numbered what is not there
		return err
	}
	err := r.applyPart(ctx, g, []record{rec}, next)
	if !refused(err) {
		return err
	}
	if lerr := r.load(ctx); lerr != nil {
		return lerr
	}
	b := r.newBatch(next)
	b.setAside(rec, r.typeName(rec.schema), err.Error())
	return r.store(ctx, b)
}

// applyPart makes a batch of records and stores it. An empty part only moves the cursor.
func (r *Reader) applyPart(ctx context.Context, g *gathered, part []record, next eventlog.Offset) error {
	b := r.newBatch(next)
	if err := b.load(ctx, g, part); err != nil {
		return err
	}
	for _, rec := range part {
		b.applySafely(rec, g)
	}
	return r.store(ctx, b)
}

// store applies a batch and follows it.
func (r *Reader) store(ctx context.Context, b *batch) error {
	out := b.finish()
	began := time.Now()
	err := r.deps.Store.Apply(ctx, out)
	r.wrote += time.Since(began)
	if err != nil {
		return err
	}
	r.cursor = b.out.Next
	was, _ := r.Status()
	r.publish(was.Since)
	r.lastRow, r.lastName = b.lastRow, b.lastName
	for _, n := range b.newNames {
		r.remember(n)
	}
	for k, p := range b.people {
		if p == nil {
			r.people.drop(k)
			continue
		}
		p.settle()
		r.people.put(k, p)
	}
	if told := r.deps.Hooks.OnSetAside; told != nil {
		for _, x := range b.out.SetAside {
			told(x)
		}
	}
	return nil
}
