package delivery_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

var crashSeed = flag.Uint64("crash.seed", 0, "seed of the crash sweep; 0: a new one")

// TestCrashSweep delivers from the real log on a disk that loses power after each of its changes (the short form takes every
// third), with none, all or some of the unsynced bytes kept, or is killed there; the store commits as a whole. What is
// accepted is in the log afterwards, and each event of the log in exactly one object.
func TestCrashSweep(t *testing.T) {
	defer oneThread()()
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	scripts, step := 1, 3
	if os.Getenv("MILLRACE_SOAK") == "1" {
		scripts, step = 20, 1
	}
	crashes, at := 0, ""
	defer func() { t.Logf("%d crashes; the last: %s; repeat with -crash.seed %d", crashes, at, seed) }()
	for script := range uint64(scripts) {
		for k, whole := int(seed%uint64(step)), false; !whole; k += step {
			some := func() vfstest.Keep { return vfstest.KeepRandom(seed + uint64(k)) }
			for way, end := range []func(*vfstest.Disk) *vfstest.Disk{
				func(d *vfstest.Disk) *vfstest.Disk { return d.Crash(vfstest.KeepNone) },
				func(d *vfstest.Disk) *vfstest.Disk { return d.Crash(vfstest.KeepAll) },
				func(d *vfstest.Disk) *vfstest.Disk { return d.Crash(some()) },
				func(d *vfstest.Disk) *vfstest.Disk { // killed; the machine goes on
					d.Heal()
					return d
				},
				func(d *vfstest.Disk) *vfstest.Disk { // and the power goes while the log is opened again
					d.Heal()
					d.StopAfter(1 + k%8)
					if l, err := open(d); err == nil {
						_ = l.Close()
					}
					return d.Crash(some())
				},
			} {
				crashes++
				at = fmt.Sprintf("script %d, stopped after %d changes of the disk, way %d", script, k, way)
				synctest.Test(t, func(t *testing.T) { whole = crashed(t, seed+script, k, end) })
				if t.Failed() {
					return
				}
			}
		}
	}
	if crashes < 40 {
		t.Errorf("%d crashes: the script changes its disk hardly at all", crashes)
	}
}

func open(disk *vfstest.Disk) (*segment.Log, error) {
	return segment.Open(context.Background(), segment.Config{FS: disk, SegmentBytes: 12_000, CacheBytes: 1, MinFree: -1})
}

// crashed plays a script on a disk that stops after k changes, goes on with what end leaves of it, and reports whether the
// script came to its end before.
func crashed(t *testing.T, seed uint64, k int, end func(*vfstest.Disk) *vfstest.Disk) (whole bool) {
	r := rand.New(rand.NewPCG(seed, 3))
	w := newWorld(t)
	defer w.killAll()
	w.cfg.LogRetention = time.Millisecond
	w.buckets["b1"].Script(func(buckettest.Call) buckettest.Fault {
		return buckettest.Fault{Delay: time.Duration(r.IntN(300)) * time.Millisecond}
	})
	disk := vfstest.New()
	disk.StopAfter(k)
	c := w.config()
	c.Version, c.FlushEvents = 1, 25
	w.history, w.logged = append(w.history, c), append(w.logged, 1<<60)
	begin := func() {
		var b eventlog.Batch
		b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Control})
		b.Add(0, control.EncodeRecord(control.Record{Kind: control.RecordConfig, Config: &c}))
		_, _ = w.disk.Append(context.Background(), &b) // what the log holds in the end is read from it
	}
	if l, err := open(disk); err == nil {
		w.disk = l
		begin()
		p := w.start()
		for range 25 {
			w.append(someTypes[r.IntN(3)], 1+r.IntN(40))
			time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
			if disk.Stopped() {
				break
			}
		}
		whole = !disk.Stopped()
		p.kill()
		_ = w.disk.Close() // its disk may have stopped
	}
	time.Sleep(10 * time.Second) // what was sent off lands
	l, err := open(end(disk))
	if err != nil {
		t.Fatalf("the log does not open after the crash: %v", err)
	}
	defer l.Close()
	w.disk = l
	if !w.recall(t) {
		begin()
		w.recall(t)
	}
	p := w.start()
	w.append(someTypes[0], 30)
	must(t, w, time.Hour)
	p.stop()
	w.check()
	return whole
}

// recall makes what the test knows agree with what the log holds now: the offsets of events, those that are there although
// their request was not answered, and those that are not. It reports whether the connector has begun.
func (w *world) recall(t *testing.T) (begun bool) {
	t.Helper()
	start, head := w.disk.Bounds()
	r, err := w.disk.Reader(start, eventlog.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	holds := map[string]eventlog.Offset{}
	for {
		c, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if c == nil {
			break
		}
		for rec := range c.Records() {
			if c.Kind == eventlog.Control {
				w.logged[0], begun = rec.Offset, true
				continue
			}
			s, _ := w.catalogue.Schema(event.SchemaID(rec.Schema))
			id, err := s.EventID(rec.Value)
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := holds[string(id)]; twice {
				t.Errorf("the log holds %s twice", id)
			}
			holds[string(id)] = rec.Offset
		}
	}
	if start > 0 {
		w.logged[0], begun = 0, true // trimmed away, so it was applied
	}
	w.appended = slices.DeleteFunc(w.appended, func(a appended) bool { _, is := holds[a.id]; return a.refused && !is })
	for i := range w.appended {
		a := &w.appended[i]
		at, is := holds[a.id]
		switch {
		case is:
			a.offset = at
		case a.offset >= start:
			t.Errorf("promise 1 (a 2xx means durable) is broken: %s was accepted at %d, and the log holds %d to %d", a.id, a.offset, start, head)
		}
	}
	return begun
}
