package delivery_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// swept is one fault of a sweep: the kth call of op goes wrong, in a way of its own.
type swept struct {
	op    string
	k     int
	n     int // calls of op so far
	fault buckettest.Fault
	store storeFault
}

// due counts a call, and reports whether it is the one.
func (f *swept) due(op string) bool {
	if op != f.op {
		return false
	}
	f.n++
	return f.n == f.k
}

func (f *swept) hit() bool { return f.n >= f.k }

// storeFault is how a call to the store goes wrong.
type storeFault struct {
	err  error
	done bool // all the same
}

// call lets one call of the store go wrong.
func (f *swept) call(op string, do func() error) error {
	if !f.due(op) {
		return do()
	}
	if f.store.done {
		if err := do(); err != nil {
			return err
		}
	}
	return f.store.err
}

// faultyStore is a store whose calls go through a function that decides what becomes of them.
type faultyStore struct {
	delivery.Store
	call func(op string, do func() error) error
}

func (s faultyStore) Save(ctx context.Context, v control.Save) (seq int64, err error) {
	return seq, s.call("Save", func() error { seq, err = s.Store.Save(ctx, v); return err })
}

func (s faultyStore) Position(ctx context.Context, l control.Lane) (p control.Position, err error) {
	return p, s.call("Position", func() error { p, err = s.Store.Position(ctx, l); return err })
}

func (s faultyStore) UnsettledDrops(ctx context.Context, l control.Lane) (d []control.Drop, err error) {
	return d, s.call("UnsettledDrops", func() error { d, err = s.Store.UnsettledDrops(ctx, l); return err })
}

func (s faultyStore) Access(ctx context.Context, l control.Lane) (a bucket.Access, err error) {
	return a, s.call("Access", func() error { a, err = s.Store.Access(ctx, l); return err })
}

func (s faultyStore) SaveHealth(ctx context.Context, h control.Health) error {
	return s.call("SaveHealth", func() error { return s.Store.SaveHealth(ctx, h) })
}

func (s faultyStore) TellDrops(ctx context.Context, d []control.Drop, n []control.Notice) error {
	return s.call("TellDrops", func() error { return s.Store.TellDrops(ctx, d, n) })
}

func (s faultyStore) ApplyControl(ctx context.Context, log eventlog.ID, next eventlog.Offset, recs []control.LoggedRecord) error {
	return s.call("ApplyControl", func() error { return s.Store.ApplyControl(ctx, log, next, recs) })
}

func (s faultyStore) AddCounts(ctx context.Context, log eventlog.ID, next eventlog.Offset, c []control.Count) error {
	return s.call("AddCounts", func() error { return s.Store.AddCounts(ctx, log, next, c) })
}

func (s faultyStore) FinishLane(ctx context.Context, l control.Lane) error {
	return s.call("FinishLane", func() error { return s.Store.FinishLane(ctx, l) })
}

// TestFaultSweep tells one story again and again, and lets another call to the bucket or the store fail each time, in each
// of the ways in which it can: at rest each event is in exactly one object or counted as dropped, ledger = bucket, and the
// hourly counts are exact.
func TestFaultSweep(t *testing.T) {
	defer oneThread()()
	all := []string{buckettest.OpPut, buckettest.OpHead, buckettest.OpGet, buckettest.OpList}
	var kinds []struct {
		name string
		ops  []string
		f    swept
	}
	add := func(name string, f swept, ops ...string) {
		kinds = append(kinds, struct {
			name string
			ops  []string
			f    swept
		}{name, ops, f})
	}
	add("is refused", swept{fault: buckettest.Fault{Problem: bucket.AccessDenied}}, all...)
	add("fails", swept{fault: buckettest.Fault{Problem: bucket.ServerError}}, all...)
	add("hangs", swept{fault: buckettest.Fault{Hang: true}}, all...)
	add("is done, and refused", swept{fault: buckettest.Fault{Problem: bucket.AccessDenied, After: true}}, buckettest.OpPut)
	add("is done, and the answer is lost", swept{fault: buckettest.Fault{Problem: bucket.Network, After: true}}, buckettest.OpPut)
	add("is done after the answer is lost", swept{fault: buckettest.Fault{Problem: bucket.Network, Late: 4 * time.Second}}, buckettest.OpPut)
	add("is in conflict", swept{fault: buckettest.Fault{Problem: bucket.Busy}}, buckettest.OpPut)
	add("breaks off", swept{fault: buckettest.Fault{CutAt: 300}}, buckettest.OpGet)
	busy := fault.New(fault.Unavailable, "sql", "busy")
	add("fails", swept{store: storeFault{err: busy}},
		"Save", "Position", "UnsettledDrops", "Access", "SaveHealth", "TellDrops", "ApplyControl", "AddCounts", "FinishLane")
	add("is done, and the answer is lost", swept{store: storeFault{err: busy, done: true}},
		"Save", "SaveHealth", "TellDrops", "ApplyControl", "AddCounts", "FinishLane")
	add("is stale", swept{store: storeFault{err: fault.New(fault.Stale, "sql", "somebody else was ahead")}}, "Save", "TellDrops")
	synctest.Test(t, func(t *testing.T) { story(t, &swept{}) })
	runs := 0
	for _, kind := range kinds {
		for _, op := range kind.ops {
			for k := 1; ; k++ {
				f := kind.f
				f.op, f.k = op, k
				ok := t.Run(fmt.Sprintf("call %d of %s %s", k, op, kind.name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { story(t, &f) })
				})
				if !ok {
					return
				}
				if !f.hit() {
					if k == 1 {
						t.Errorf("the story makes no call of %s", op)
					}
					break
				}
				runs++
			}
		}
	}
	t.Logf("%d faults", runs)
}

// story is what delivery goes through in a sweep: an object that holds some of ours without saying so, files of several
// streams and versions, a kill between a file and its save, a change of bucket, refusals that end in drops one of which is in
// the bucket after all, and test events.
func story(t *testing.T, f *swept) {
	w := newWorld(t)
	defer w.killAll()
	w.wrap = func(s delivery.Store) delivery.Store { return faultyStore{s, f.call} }
	refuse, landed := false, false
	for _, name := range []string{"b1", "b2"} {
		w.buckets[name].Script(func(c buckettest.Call) buckettest.Fault {
			switch {
			case f.due(c.Op):
				return f.fault
			case refuse && name == "b2":
				landed = landed || c.Op == buckettest.OpPut
				return buckettest.Fault{Problem: bucket.AccessDenied, After: true}
			}
			return buckettest.Fault{Delay: 50 * time.Millisecond}
		})
	}
	w.configure(func(c *control.Config) { c.FlushEvents = 30 })
	w.append(someTypes[0], 40)
	w.buckets["b1"].Set(w.nameOf(w.appended[0]).Key(), partly(t, w), nil)
	p := w.start()
	time.Sleep(2 * time.Second)
	w.append(someTypes[1], 30)
	time.Sleep(300 * time.Millisecond)
	p.kill()
	p = w.start()
	time.Sleep(time.Second)
	w.append(someTypes[2], 10)
	w.configure(func(c *control.Config) { c.Codec, c.Destination.Number, c.Destination.Bucket = "null", 2, "b2" })
	w.append(someTypes[0], 45)
	w.appendTo(someTypes[0], 5, 7)
	time.Sleep(time.Minute)
	refuse = true
	w.append(someTypes[1], 30)
	time.Sleep(90 * time.Second)
	w.log.mu.Lock()
	w.log.max = 1 // everything is too much
	w.log.mu.Unlock()
	time.Sleep(time.Minute)
	w.log.mu.Lock()
	w.log.max = 0
	w.log.mu.Unlock()
	refuse = false
	w.append(someTypes[1], 30)
	must(t, w, 6*time.Hour)
	time.Sleep(time.Minute)
	p.stop()
	w.check()
	if f.op == "" && (len(w.dropped()) == 0 || !landed) {
		t.Errorf("dropped %v; a file refused that landed all the same: %v", w.dropped(), landed)
	}
	counted, sent := int64(0), int64(0)
	for _, n := range w.store.counts {
		counted += n
	}
	for _, a := range w.appended {
		if a.target == 0 {
			sent++
		}
	}
	if counted != sent {
		t.Errorf("the hourly counts have %d events, %d were accepted", counted, sent)
	}
}

// partly makes the file of another timeline that holds every second ten of w's events.
func partly(t *testing.T, w *world) []byte {
	t.Helper()
	other := newWorld(t)
	defer other.killAll()
	other.configure(nil)
	var some []string
	for i, a := range w.appended {
		if i/10%2 == 1 {
			some = append(some, a.id)
		}
	}
	other.appendIDs(w.appended[0].schema.Type.Name, some, 0)
	p := other.start()
	must(t, other, time.Hour)
	p.stop()
	data, _, _ := other.buckets["b1"].Object(other.objects()[0].key)
	return data
}
