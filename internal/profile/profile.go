// Package profile keeps up, from the log, who people are and what they did.
//
// A Reader is an internal reader of the log with a cursor of its own. It gathers consecutive records into a batch, loads
// the people that they are about, applies the records in their order, and stores what came of it together with the
// cursor in one transaction: so each record counts once, whatever fails when. What it stores are control's nouns
// (control.PeopleBatch); how, is the store's affair.
//
// While a batch is being stored the next one is made, as if both were one: whom the first knows, and whom it lets an
// external id name, the second takes from it and not from the store. If the first fails, the second is thrown away. A
// batch that ends somebody, or takes an identifier from them, is waited for.
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
	"errors"
	"fmt"
	"log/slog"
	"sync"
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
	Zones     func(context.Context) (map[uint32]*time.Location, error) // of workspaces whose days are not UTC's; nil: all are
	Logger    *slog.Logger
	Hooks     Hooks
	Memory    int64  // bytes of people that are kept in memory from one batch to the next; 0: 64 MiB
	GiveWay   func() // called on the goroutine that stores, before it begins; nil: nothing is
}

// Hooks are called as things happen; each may be nil.
type Hooks struct {
	OnApplied  func(next eventlog.Offset, records int, took time.Duration) // a batch, and how long it was being stored
	OnSetAside func(control.SetAside)                                      // a record, or with workspace 0 a range
}

// Reader applies one log to people. There is one at a time on a database: who holds the log's lease.
type Reader struct {
	deps  Deps
	plans map[event.SchemaID]*plan

	// What the store will hold once the batch that is being written is in it, as far as this reader knows. Forgotten
	// after an error, since somebody else may have written.
	known     bool
	cursor    eventlog.Offset
	lastRow   int64
	lastName  int64
	names     map[nameKey]*control.Name
	nameCount map[nameList]int
	people    cache

	most    int       // records of the next batch
	limit   int       // of most
	since   time.Time // when the oldest event was accepted that was read and is in no batch; zero: none
	writes  chan *batch
	writing *batch // what is being written; nil: nothing

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
	return &Reader{deps: d, plans: map[event.SchemaID]*plan{}, most: batchRecords / 8, limit: batchRecords}
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

// paced gives how many records a batch has, after one of n that took so long to write.
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
	r.writes = make(chan *batch)
	var writer sync.WaitGroup
	defer writer.Wait()
	defer close(r.writes)
	writer.Go(func() { r.write(ctx) })
	wait := againMin
	for {
		err := r.follow(ctx)
		_ = r.written() // what failed there besides is met again
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errAnew) {
			continue
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

// write stores batches, one after the other, until there are no more.
func (r *Reader) write(ctx context.Context) {
	if r.deps.GiveWay != nil {
		r.deps.GiveWay()
	}
	for b := range r.writes {
		began := time.Now()
		b.err = r.deps.Store.Apply(ctx, &b.out)
		b.took = time.Since(began)
		close(b.done)
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
	r.publish(begin, was.Since) // what failed still waits
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

// publish says how far the store is, and since when what was read waits.
func (r *Reader) publish(next eventlog.Offset, since time.Time) {
	r.status.Store(&Status{Next: next, Since: since})
}

// follow reads the log from the cursor on until something fails.
func (r *Reader) follow(ctx context.Context) error {
	if err := r.load(ctx); err != nil {
		return fault.Wrap(err, "load cursor of people")
	}
	in, err := r.deps.Log.Reader(r.cursor, eventlog.Filter{Kind: eventlog.Events})
	if err != nil {
		return fault.Wrap(err, "read log")
	}
	defer in.Close()                     // only read
	g, other := &gathered{}, &gathered{} // the records of a batch stay until it is stored
	r.since = time.Time{}
	began := time.Now()
	for {
		c, err := in.Next()
		if err != nil {
			return fault.Wrap(err, "read log")
		}
		if c != nil && c.Target == 0 {
			if len(g.records) == 0 {
				r.since = c.Time()
				if r.writing == nil {
					r.publish(r.cursor, r.since)
				}
			}
			for rec := range c.Records() {
				g.add(c, rec)
			}
		}
		if c == nil || g.full(r.most) {
			due := g.full(r.most) || time.Since(began) >= batchEvery
			if at := in.Position(); at > r.cursor && due {
				if err := r.apply(ctx, g, at); err != nil {
					return fault.Wrap(err, "apply to people")
				}
				g, other = other, g
				g.reset()
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
		var written <-chan struct{}
		if r.writing != nil {
			written = r.writing.done
		} else if len(g.records) == 0 {
			r.publish(r.cursor, time.Time{})
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ready:
		case <-tick:
		case <-written:
			if err := r.settle(ctx); err != nil {
				return fault.Wrap(err, "apply to people")
			}
		}
	}
}

// apply makes batches of the gathered records, all of them below next, and has them written.
func (r *Reader) apply(ctx context.Context, g *gathered, next eventlog.Offset) error {
	since := r.since
	r.since = time.Time{}
	parts := g.parts()
	for i, part := range parts {
		to := next
		if i+1 < len(parts) {
			to = parts[i+1][0].offset
		}
		b, err := r.make(ctx, g, part, to)
		if i+1 < len(parts) {
			b.since = since
		}
		if before := r.settle(ctx); before != nil {
			return before
		}
		if err == nil {
			r.send(b)
			if !b.ends {
				continue
			}
			err = r.settle(ctx)
		} else if refused(err) {
			err = r.singly(ctx, b, err)
		}
		if err != nil {
			return err
		}
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

// errAnew says that the log has to be read again from the cursor on.
var errAnew = errors.New("the log is read again from the cursor on")

// settle waits for the batch that is being written. Where it is refused for something in it, its records go one at a
// time, and the one that is refused alone is set aside. Errors: errAnew after that: what was made meanwhile counted on
// the batch.
func (r *Reader) settle(ctx context.Context) error {
	b := r.writing
	err := r.written()
	if refused(err) {
		err = r.singly(ctx, b, err)
	}
	return err
}

// singly applies the records of a batch that was refused one at a time. Errors: errAnew, and those of the store.
func (r *Reader) singly(ctx context.Context, b *batch, why error) error {
	if len(b.records) == 0 {
		return why
	}
	for i, rec := range b.records {
		to := b.out.Next
		if i+1 < len(b.records) {
			to = b.records[i+1].offset
		}
		if err := r.applyOne(ctx, b.g, rec, to); err != nil {
			return err
		}
	}
	return errAnew
}

// applyOne applies a record alone, or sets it aside.
func (r *Reader) applyOne(ctx context.Context, g *gathered, rec record, next eventlog.Offset) error {
	if err := r.load(ctx); err != nil { // the batch that was refused has numbered what is not there
		return err
	}
	b, err := r.make(ctx, g, []record{rec}, next)
	if err == nil {
		r.send(b)
		err = r.written()
	}
	if !refused(err) {
		return err
	}
	if lerr := r.load(ctx); lerr != nil {
		return lerr
	}
	b = r.newBatch(next)
	b.setAside(rec, r.typeName(rec.schema), err.Error())
	r.send(b)
	return r.written()
}

// make makes a batch of records that follow the cursor. An empty one only moves it.
func (r *Reader) make(ctx context.Context, g *gathered, part []record, next eventlog.Offset) (*batch, error) {
	b := r.newBatch(next)
	b.g, b.records = g, part
	if err := b.load(ctx, g, part); err != nil {
		return b, err
	}
	for _, rec := range part {
		b.applySafely(rec, g)
	}
	b.finish()
	return b, nil
}

// send has a batch written, and goes on as if it were stored. None may be being written.
func (r *Reader) send(b *batch) {
	r.writing = b
	r.writes <- b
	r.cursor = b.out.Next
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
}

// written waits for the batch that is being written, if one is, and gives its error.
func (r *Reader) written() error {
	b := r.writing
	if b == nil {
		return nil
	}
	<-b.done
	r.writing = nil
	if b.err != nil {
		return b.err
	}
	r.most = min(paced(r.most, len(b.records), b.took), r.limit)
	r.publish(b.out.Next, cmp.Or(b.since, r.since))
	if told := r.deps.Hooks.OnSetAside; told != nil {
		for _, x := range b.out.SetAside {
			told(x)
		}
	}
	if told := r.deps.Hooks.OnApplied; told != nil {
		told(b.out.Next, len(b.records), b.took)
	}
	return nil
}
