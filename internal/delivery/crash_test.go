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

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

var crashSeed = flag.Uint64("crash.seed", 0, "seed of the crash sweep; 0: a new one")

// life is how a life of a process and its machine ends: what is left of the disk.
type life func(*vfstest.Disk) *vfstest.Disk

// TestCrashSweep delivers from the real log on a disk that loses power after each of its changes (the short form takes every
// third), with none, all or some of the unsynced bytes kept, or is killed there, and may lose power once more while it
// catches up; of the bucket's answers some are lost, and what a dead process has sent off may still land. The store commits
// as a whole. What is accepted is in the log afterwards, and each event of the log in exactly one object.
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
			none := func(d *vfstest.Disk) *vfstest.Disk { return d.Crash(vfstest.KeepNone) }
			all := func(d *vfstest.Disk) *vfstest.Disk { return d.Crash(vfstest.KeepAll) }
			some := func(d *vfstest.Disk) *vfstest.Disk { return d.Crash(vfstest.KeepRandom(seed + uint64(k))) }
			killed := func(d *vfstest.Disk) *vfstest.Disk { // the machine goes on
				d.Heal()
				return d
			}
			opening := func(d *vfstest.Disk) *vfstest.Disk { // killed, and the power goes while the log is opened again
				d.Heal()
				d.StopAfter(1 + k%8)
				if l, err := open(d); err == nil {
					_ = l.Close()
				}
				return some(d)
			}
			for way, lives := range [][]life{{none}, {all}, {some}, {killed}, {opening}, {some, none}, {killed, some}} {
				crashes += len(lives)
				at = fmt.Sprintf("script %d, stopped after %d changes of the disk, way %d", script, k, way)
				synctest.Test(t, func(t *testing.T) { whole = crashed(t, seed+script, k, lives) })
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

// crashed plays a script on a disk that stops after k changes, goes on with what each of lives leaves of it, of which the later
// ones end sooner, and reports whether the script came to its end in the first.
func crashed(t *testing.T, seed uint64, k int, lives []life) (whole bool) {
	r := rand.New(rand.NewPCG(seed, 3))
	w := newWorld(t)
	defer w.killAll()
	w.cfg.LogRetention = time.Millisecond
	calm := false
	w.buckets["b1"].Script(func(buckettest.Call) buckettest.Fault {
		f := buckettest.Fault{Delay: time.Duration(r.IntN(300)) * time.Millisecond}
		if calm {
			return f
		}
		switch r.IntN(12) {
		case 0:
			f.Problem, f.After = bucket.Network, true
		case 1:
			f.Problem, f.Late = bucket.Network, time.Duration(1+r.IntN(4000))*time.Millisecond
		}
		return f
	})
	c := w.config()
	c.Version, c.FlushEvents = 1, 25
	w.history, w.logged = append(w.history, c), append(w.logged, 1<<60)
	begin := func() {
		var b eventlog.Batch
		b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Control})
		b.Add(0, control.EncodeRecord(control.Record{Kind: control.RecordConfig, Config: &c}))
		_, _ = w.disk.Append(context.Background(), &b) // what the log holds in the end is read from it
	}
	disk := vfstest.New()
	disk.StopAfter(k)
	for i, end := range lives {
		if l, err := open(disk); err == nil {
			w.disk = l
			if i > 0 {
				if !w.recall(t) {
					begin()
				}
				disk.StopAfter(1 + r.IntN(20))
			} else {
				begin()
			}
			p := w.start()
			p.late = func(string) time.Duration { return time.Duration(r.IntN(8000)-3000) * time.Millisecond }
			for range 25 {
				w.append(someTypes[r.IntN(3)], 1+r.IntN(40))
				time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
				if disk.Stopped() {
					break
				}
			}
			whole = i == 0 && !disk.Stopped() || i > 0 && whole
			p.kill()
			_ = w.disk.Close() // its disk may have stopped
		} else if i > 0 {
			t.Fatalf("the log does not open after a crash: %v", err)
		}
		time.Sleep(10 * time.Second) // what was sent off lands
		disk = end(disk)
	}
	l, err := open(disk)
	if err != nil {
		t.Fatalf("the log does not open after the crash: %v", err)
	}
	defer l.Close()
	w.disk, calm = l, true
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
			a.offset, a.refused = at, false // what an opening shows is durable
		case a.offset >= start:
			t.Errorf("promise 1 (a 2xx means durable) is broken: %s was accepted at %d, and the log holds %d to %d", a.id, a.offset, start, head)
		}
	}
	return begun
}
