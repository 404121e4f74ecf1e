package delivery_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
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

// wrong is a way in which a call can go wrong.
type wrong struct {
	name  string
	ops   []string // calls that it is for
	fault buckettest.Fault
	lasts time.Duration // so long after the call every call to a bucket goes wrong like it
	store storeFault
}

// swept is one fault of a sweep: the kth call of op goes wrong.
type swept struct {
	wrong
	op string
	k  int

	mu    sync.Mutex
	calls map[string]int // so far, by op
	until time.Time      // of what lasts
}

// due counts a call, and reports whether it is the one.
func (f *swept) due(op string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[op]++
	if op != f.op || f.calls[op] != f.k {
		return false
	}
	f.until = time.Now().Add(f.lasts)
	return true
}

// lasting reports whether what went wrong goes on.
func (f *swept) lasting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.until)
}

func (f *swept) hit() bool { return f.calls[f.op] >= f.k }

// storeFault is how a call to the store or the log goes wrong.
type storeFault struct {
	err   error
	done  bool          // all the same
	after time.Duration // the answer takes so long, unless its caller gives it up
}

// call lets one call of the store or the log go wrong.
func (f *swept) call(ctx context.Context, op string, do func() error) error {
	if !f.due(op) {
		return do()
	}
	if f.store.done {
		if err := do(); err != nil {
			return err
		}
	}
	if f.store.after > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(f.store.after):
		}
	}
	return f.store.err
}

// faultyLog is a log whose calls go through a function that decides what becomes of them.
type faultyLog struct {
	eventlog.Log
	call func(ctx context.Context, op string, do func() error) error
}

func (l faultyLog) Reader(from eventlog.Offset, f eventlog.Filter) (r eventlog.Reader, err error) {
	err = l.call(context.Background(), "Reader", func() error { r, err = l.Log.Reader(from, f); return err })
	if err != nil {
		return nil, err
	}
	return faultyReader{r, l.call}, nil
}

func (l faultyLog) Trim(ctx context.Context, floor eventlog.Offset, minAge time.Duration) error {
	return l.call(ctx, "Trim", func() error { return l.Log.Trim(ctx, floor, minAge) })
}

func (l faultyLog) OffsetAt(ctx context.Context, t time.Time) (o eventlog.Offset, err error) {
	err = l.call(ctx, "OffsetAt", func() error { o, err = l.Log.OffsetAt(ctx, t); return err })
	return o, err
}

type faultyReader struct {
	eventlog.Reader
	call func(ctx context.Context, op string, do func() error) error
}

func (r faultyReader) Next() (c *eventlog.Commit, err error) {
	err = r.call(context.Background(), "Next", func() error { c, err = r.Reader.Next(); return err })
	return c, err
}

// faultyStore is a store whose calls go through a function that decides what becomes of them.
type faultyStore struct {
	delivery.Store
	call func(ctx context.Context, op string, do func() error) error
}

// reads and writes are the calls of a store, logs those of a log and its readers that can fail.
var (
	reads = []string{
		"Lanes", "Position", "Config", "ConfigAt", "Access", "Health", "UnsettledDrops", "FileByKey", "NoticeGone", "UntoldDrops", "CapUsed",
		"ControlCursor", "CountsCursor", "RetentionFloor",
	}
	writes = []string{"Save", "SaveHealth", "FinishLane", "AddNotice", "TellDrops", "CompleteHours", "ApplyControl", "AddCounts"}
	logs   = []string{"Reader", "Next", "Trim", "OffsetAt"}
	polled = []string{"Lanes", "RetentionFloor", "Access", "CompleteHours", "Next", "Trim"} // by the clock, also while nothing happens
	// methods are what scripts of a bucket see, as the bucket calls them.
	methods = map[string]string{buckettest.OpPut: "Put", buckettest.OpHead: "Head", buckettest.OpGet: "Get", buckettest.OpList: "List"}
)

// ask is call for what gives a value.
func ask[T any](ctx context.Context, s faultyStore, op string, do func() (T, error)) (v T, err error) {
	err = s.call(ctx, op, func() error { v, err = do(); return err })
	return v, err
}

func (s faultyStore) Lanes(ctx context.Context) ([]control.LaneRow, error) {
	return ask(ctx, s, "Lanes", func() ([]control.LaneRow, error) { return s.Store.Lanes(ctx) })
}

func (s faultyStore) Position(ctx context.Context, l control.Lane) (control.Position, error) {
	return ask(ctx, s, "Position", func() (control.Position, error) { return s.Store.Position(ctx, l) })
}

func (s faultyStore) Save(ctx context.Context, v control.Save) (int64, error) {
	return ask(ctx, s, "Save", func() (int64, error) { return s.Store.Save(ctx, v) })
}

func (s faultyStore) Config(ctx context.Context, c control.ConnectorID, version int) (control.Config, error) {
	return ask(ctx, s, "Config", func() (control.Config, error) { return s.Store.Config(ctx, c, version) })
}

func (s faultyStore) ConfigAt(ctx context.Context, c control.ConnectorID, destination int, log eventlog.ID, below eventlog.Offset) (control.Config, error) {
	return ask(ctx, s, "ConfigAt", func() (control.Config, error) { return s.Store.ConfigAt(ctx, c, destination, log, below) })
}

func (s faultyStore) Access(ctx context.Context, l control.Lane) (bucket.Access, error) {
	return ask(ctx, s, "Access", func() (bucket.Access, error) { return s.Store.Access(ctx, l) })
}

func (s faultyStore) Health(ctx context.Context, l control.Lane) (control.Health, error) {
	return ask(ctx, s, "Health", func() (control.Health, error) { return s.Store.Health(ctx, l) })
}

func (s faultyStore) UnsettledDrops(ctx context.Context, l control.Lane) ([]control.Drop, error) {
	return ask(ctx, s, "UnsettledDrops", func() ([]control.Drop, error) { return s.Store.UnsettledDrops(ctx, l) })
}

func (s faultyStore) FileByKey(ctx context.Context, l control.Lane, key string) (control.File, error) {
	return ask(ctx, s, "FileByKey", func() (control.File, error) { return s.Store.FileByKey(ctx, l, key) })
}

func (s faultyStore) NoticeGone(ctx context.Context, w uint32, c control.ConnectorID, k control.NoticeKind, episode string, d time.Duration) (bool, error) {
	return ask(ctx, s, "NoticeGone", func() (bool, error) { return s.Store.NoticeGone(ctx, w, c, k, episode, d) })
}

func (s faultyStore) UntoldDrops(ctx context.Context, l control.Lane) ([]control.Drop, error) {
	return ask(ctx, s, "UntoldDrops", func() ([]control.Drop, error) { return s.Store.UntoldDrops(ctx, l) })
}

func (s faultyStore) CapUsed(ctx context.Context, workspace uint32, since time.Time) (int64, error) {
	return ask(ctx, s, "CapUsed", func() (int64, error) { return s.Store.CapUsed(ctx, workspace, since) })
}

func (s faultyStore) CompleteHours(ctx context.Context, log eventlog.ID) ([]control.HourDone, error) {
	return ask(ctx, s, "CompleteHours", func() ([]control.HourDone, error) { return s.Store.CompleteHours(ctx, log) })
}

func (s faultyStore) ControlCursor(ctx context.Context, log eventlog.ID) (eventlog.Offset, error) {
	return ask(ctx, s, "ControlCursor", func() (eventlog.Offset, error) { return s.Store.ControlCursor(ctx, log) })
}

func (s faultyStore) CountsCursor(ctx context.Context, log eventlog.ID) (eventlog.Offset, error) {
	return ask(ctx, s, "CountsCursor", func() (eventlog.Offset, error) { return s.Store.CountsCursor(ctx, log) })
}

func (s faultyStore) RetentionFloor(ctx context.Context, log eventlog.ID) (eventlog.Offset, error) {
	return ask(ctx, s, "RetentionFloor", func() (eventlog.Offset, error) { return s.Store.RetentionFloor(ctx, log) })
}

func (s faultyStore) SaveHealth(ctx context.Context, h control.Health) error {
	return s.call(ctx, "SaveHealth", func() error { return s.Store.SaveHealth(ctx, h) })
}

func (s faultyStore) FinishLane(ctx context.Context, l control.Lane) error {
	return s.call(ctx, "FinishLane", func() error { return s.Store.FinishLane(ctx, l) })
}

func (s faultyStore) AddNotice(ctx context.Context, n control.Notice) error {
	return s.call(ctx, "AddNotice", func() error { return s.Store.AddNotice(ctx, n) })
}

func (s faultyStore) TellDrops(ctx context.Context, d []control.Drop, n []control.Notice) error {
	return s.call(ctx, "TellDrops", func() error { return s.Store.TellDrops(ctx, d, n) })
}

func (s faultyStore) ApplyControl(ctx context.Context, log eventlog.ID, next eventlog.Offset, recs []control.LoggedRecord) error {
	return s.call(ctx, "ApplyControl", func() error { return s.Store.ApplyControl(ctx, log, next, recs) })
}

func (s faultyStore) AddCounts(ctx context.Context, log eventlog.ID, next eventlog.Offset, c []control.Count) error {
	return s.call(ctx, "AddCounts", func() error { return s.Store.AddCounts(ctx, log, next, c) })
}

// ways are all ways in which calls go wrong.
func ways() []wrong {
	every := []string{"Put", "Head", "Get", "List"}
	put, get := every[:1], every[2:3]
	all := slices.Concat(reads, writes)
	busy := fault.New(fault.Unavailable, "sql", "busy")
	return []wrong{
		{name: "is refused", ops: every, fault: buckettest.Fault{Problem: bucket.AccessDenied}},
		{name: "is refused, as is all for a while", ops: every, fault: buckettest.Fault{Problem: bucket.AccessDenied}, lasts: 45 * time.Second},
		{name: "fails", ops: every, fault: buckettest.Fault{Problem: bucket.ServerError}},
		{name: "is reset before it arrives", ops: every, fault: buckettest.Fault{Problem: bucket.Network}},
		{name: "is reset, as is all for a while", ops: every, fault: buckettest.Fault{Problem: bucket.Network}, lasts: 45 * time.Second},
		{name: "hangs", ops: every, fault: buckettest.Fault{Hang: true}},
		{name: "is done, and refused", ops: put, fault: buckettest.Fault{Problem: bucket.AccessDenied, After: true}},
		{name: "is done, and the answer is lost", ops: put, fault: buckettest.Fault{Problem: bucket.Network, After: true}},
		{name: "is done after the answer is lost", ops: put, fault: buckettest.Fault{Problem: bucket.Network, Late: 4 * time.Second}},
		{name: "is in conflict", ops: put, fault: buckettest.Fault{Problem: bucket.Busy}},
		{name: "breaks off", ops: get, fault: buckettest.Fault{CutAt: 300}},
		{name: "fails", ops: slices.Concat(all, logs), store: storeFault{err: busy}},
		{name: "hangs for ten minutes", ops: all, store: storeFault{err: busy, after: 10 * time.Minute}},
		{name: "is done, and answers ten minutes later", ops: writes, store: storeFault{done: true, after: 10 * time.Minute}},
		{name: "is done, and the answer is lost", ops: writes, store: storeFault{err: busy, done: true}},
		{name: "is stale", ops: []string{"Save", "TellDrops"}, store: storeFault{err: fault.New(fault.Stale, "sql", "somebody else was ahead")}},
	}
}

// TestFaultSweep tells two stories again and again, and lets another call to a bucket, the store or the log fail each time,
// in each of the ways in which it can: at rest each event is in exactly one object or counted as dropped, ledger = bucket,
// and the hourly counts are exact. It proves that it has reached every call that delivery makes.
func TestFaultSweep(t *testing.T) {
	defer oneThread()()
	stories := []struct {
		name string
		tell func(*testing.T, *swept)
	}{{"story", story}, {"losses", losses}}
	failed, known, runs := map[string]bool{}, map[string]bool{}, 0
	for i, others := range map[reflect.Type][]string{ // and what of it cannot fail, or is not delivery's to call
		reflect.TypeFor[delivery.Store]():  nil,
		reflect.TypeFor[bucket.Bucket]():   {"PutFile", "GetFrom", "Delete", "Location", "Close"},
		reflect.TypeFor[eventlog.Log]():    {"ID", "Bounds", "Usage", "Append", "Claim", "Health", "Close"},
		reflect.TypeFor[eventlog.Reader](): {"Ready", "Position", "Close"},
	} {
		for m := range i.Methods() {
			if !slices.Contains(others, m.Name) {
				known[m.Name] = true
			}
		}
	}
	for _, s := range stories {
		calm := &swept{} // nothing goes wrong: the calls there are
		t.Run(s.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { s.tell(t, calm) }) })
		for op := range calm.calls {
			known[op] = true
		}
		for _, way := range ways() {
			for _, op := range way.ops {
				for k := 1; k <= calm.calls[op] && !t.Failed(); k++ {
					if slices.Contains(polled, op) || way.store.after > 0 {
						k += k / 4
					}
					f := &swept{wrong: way, op: op, k: k}
					t.Run(fmt.Sprintf("%s, call %d of %s %s", s.name, k, op, way.name), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { s.tell(t, f) })
					})
					failed[op] = failed[op] || f.hit()
					runs++
				}
			}
		}
	}
	for op := range known {
		if !failed[op] && !t.Failed() {
			t.Errorf("no call of %s was made to fail: a story has to need it, and the ways to name it", op)
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
	w.wrapLog = func(l eventlog.Log) eventlog.Log { return faultyLog{l, f.call} }
	refuse, landed := false, false
	for _, name := range []string{"b1", "b2"} {
		w.buckets[name].Script(func(c buckettest.Call) buckettest.Fault {
			switch {
			case f.due(methods[c.Op]), f.lasting():
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
	// A check that passed. Before there are drops the object of the other timeline has to be met: settling would not know it,
	// because it goes by metadata.
	p.m.Try(connectorID)
	time.Sleep(10 * time.Second)
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
	for end := time.Now().Add(time.Hour); !w.allCounted() && time.Now().Before(end); {
		time.Sleep(time.Minute)
	}
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

// allCounted reports whether the hourly counts have come to the end of the log.
func (w *world) allCounted() bool {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	_, head := w.log.Bounds()
	return w.store.counted >= head
}

// losses is what delivery goes through while a connector loses events by each rule of time: a cap, a grace period at whose
// end a file lands all the same, a pause, and its end with a bucket that refuses.
func losses(t *testing.T, f *swept) {
	w := newWorld(t)
	defer w.killAll()
	w.cfg.GracePeriod, w.cfg.PauseLimit, w.cfg.TestCap = 4*time.Minute, 4*time.Minute, 50
	w.wrap = func(s delivery.Store) delivery.Store { return faultyStore{s, f.call} }
	w.wrapLog = func(l eventlog.Log) eventlog.Log { return faultyLog{l, f.call} }
	refuse, late := false, 4*time.Second
	w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
		switch {
		case f.due(methods[c.Op]), f.lasting():
			return f.fault
		case refuse:
			return buckettest.Fault{Problem: bucket.AccessDenied, Late: late}
		}
		return buckettest.Fault{Delay: 50 * time.Millisecond}
	})
	w.configure(func(c *control.Config) { c.FlushEvents = 30 })
	w.append(someTypes[0], 40)
	p := w.start()
	time.Sleep(5 * time.Second)
	w.test(true)
	time.Sleep(5 * time.Second)
	w.append(someTypes[1], 80)
	must(t, w, time.Hour)
	w.test(false)
	refuse = true
	w.append(someTypes[0], 60)
	time.Sleep(7 * time.Minute)
	refuse = false
	w.append(someTypes[0], 20)
	must(t, w, time.Hour)
	w.pause(true)
	w.append(someTypes[2], 40)
	time.Sleep(7 * time.Minute)
	w.pause(false)
	w.append(someTypes[2], 40)
	must(t, w, time.Hour)
	w.mark(eventlog.HourOf(time.Now()) - 1)
	refuse, late = true, 0 // what is tried before the end of the connector is known would land, and not be lost
	w.append(someTypes[1], 30)
	w.configure(func(c *control.Config) { c.Deleted = true })
	time.Sleep(2 * time.Minute)
	refuse = false
	must(t, w, time.Hour)
	p.stop()
	w.check()
	if got := w.dropped(); f.op == "" && len(got) != 4 {
		t.Errorf("dropped %v, want some by the cap, the grace period, the pause and the deletion", got)
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
