package delivery_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
)

// cuts counts the ledger's files of the first lane by cut reason, and the events of the largest.
func (w *world) cuts() (by map[string]int, largest int) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	by = map[string]int{}
	for _, f := range w.store.files[lane1] {
		by[f.Cut]++
		largest = max(largest, f.Events)
	}
	return by, largest
}

func TestAFileIsCutAtTheHoursEndWithoutTraffic(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(func(c *control.Config) { c.FlushInterval = time.Hour })
		p := w.start()
		time.Sleep(58 * time.Minute)
		w.append(someTypes[0], 5)
		time.Sleep(90 * time.Second)
		if n := len(w.objects()); n != 0 {
			t.Errorf("%d files before the hour's end", n)
		}
		time.Sleep(time.Minute)
		if by, _ := w.cuts(); by["hour"] != 1 {
			t.Errorf("files by cut reason %v, want one by hour within a minute of its end", by)
		}
		p.stop()
		w.check()
	})
}

func TestALaneThatLagsMakesBigFiles(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil) // 100 events a file
		for range 230 {
			w.append(someTypes[0], 1000)
		}
		time.Sleep(time.Minute)
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
		by, largest := w.cuts()
		if n := len(w.objects()); largest != 100_000 || n != 3 {
			t.Errorf("%d files, the largest of %d events, by reason %v; want two of 100,000 while it lags, and the rest", n, largest, by)
		}
	})
}

func TestAnOrderedStopWritesWhatIsGathered(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		w.append(someTypes[0], 30)
		w.append(someTypes[1], 20)
		time.Sleep(5 * time.Second)
		p.stop()
		if by, _ := w.cuts(); by["shutdown"] != 2 {
			t.Errorf("files by cut reason %v, want two by shutdown", by)
		}
		w.check()
	})
}

func TestMemoryCutsTheLargestFile(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.MemoryBudget = 512 << 10
		w.configure(func(c *control.Config) { c.FlushEvents, c.FlushInterval, c.Codec = 100_000, time.Hour, "null" })
		p := w.start()
		w.append(someTypes[1], 10)
		for range 20 {
			w.append(someTypes[0], 1000)
			time.Sleep(time.Second)
		}
		if by, _ := w.cuts(); by["memory"] == 0 || len(by) != 1 {
			t.Errorf("files by cut reason %v, want some by memory", by)
		}
		for _, f := range w.store.files[lane1] {
			if f.EventType == someTypes[1] {
				t.Errorf("memory cut the small file of %s", f.EventType)
			}
		}
		if held := p.m.Held(); held > 2*w.cfg.MemoryBudget {
			t.Errorf("%d bytes held with a budget of %d", held, w.cfg.MemoryBudget)
		}
		p.stop()
		w.check()
	})
}

// The log has one large event, again and again, in the same memory: a file of it goes through delivery, and is nowhere whole.
func TestAFileIsCutAt256MiBBeforeCompression(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(func(c *control.Config) { c.FlushEvents, c.FlushInterval = 100_000, time.Hour })
		typ, _ := w.catalogue.Type("users.behaviors.CustomEvent")
		large := fmt.Appendf(nil, `{"event_type":%q,"id":"large","user_id":"u","time":1790000000,"name":"n","properties":%q}`, typ.Name, strings.Repeat("x", 900_000))
		var b eventlog.Batch
		b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
		out, schema, res := w.reader.Read(b.Begin(), large, event.Options{})
		if len(res.Problems) > 0 {
			t.Fatalf("made a bad event: %v", res.Problems)
		}
		b.Commit(out, uint32(schema.ID))
		if _, err := w.log.Append(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		c := w.log.commits[len(w.log.commits)-1]
		size := 0
		for r := range c.Records() {
			size = len(r.Value)
		}
		most := (256<<20 + size - 1) / size
		for range most + 9 {
			c.First = w.log.head
			w.log.commits, w.log.head = append(w.log.commits, c), w.log.head+1
		}
		p := w.start()
		must(t, w, 3*time.Hour)
		p.stop()
		got := map[string]int{}
		for _, f := range w.store.files[lane1] {
			got[f.Cut] += f.Events
		}
		if want := (map[string]int{"size": most, "age": 10}); !maps.Equal(got, want) {
			t.Errorf("events by cut reason %v, want %v: a file ends with the event by which it has 256 MiB before compression", got, want)
		}
	})
}

func TestAnObjectCutShortOnItsWayIsReadAgainAndNotTakenForForeign(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 90)
		before := w.store.copy()
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		b := buckettest.NewMemory()
		for _, k := range w.buckets["b1"].Keys() {
			data, _, _ := w.buckets["b1"].Object(k)
			b.Set(k, data, nil)
		}
		w.buckets["b1"], w.store = b, before
		b.Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpGet && c.Attempt <= 3 {
				return buckettest.Fault{CutAt: 300}
			}
			return buckettest.Fault{}
		})
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
		if n := len(w.buckets["b1"].Keys()); n != 1 {
			t.Errorf("%d objects, want the one that was there", n)
		}
	})
}

func TestAfterAConflictTheKeyIsLookedAtBeforeItIsWrittenAgain(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 100)
		var ops []string
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			ops = append(ops, c.Op)
			if c.Op == buckettest.OpPut && c.Attempt == 1 {
				return buckettest.Fault{Problem: bucket.Busy}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
		want := []string{buckettest.OpList, buckettest.OpPut, buckettest.OpHead, buckettest.OpPut} // looked first
		if !slices.Equal(ops, want) {
			t.Errorf("calls %v, want %v", ops, want)
		}
	})
}

func TestLagIsTheAgeOfTheOldestUndeliveredEventAlsoWhileNothingIsHeld(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 100)
		begun := time.Now()
		w.buckets["b1"].Deny(bucket.AccessDenied)
		p := w.start()
		for range 20 {
			time.Sleep(time.Minute)
			if st := p.m.Status()[0]; st.Oldest.IsZero() || st.Oldest.After(begun.Add(time.Second)) {
				t.Fatalf("after %v the oldest undelivered event is of %v, want %v: state %s", time.Since(begun), st.Oldest, begun, st.State)
			}
		}
		p.kill()
	})
}

func TestARestartKnowsTheRulesThatHeldAtItsCursor(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(func(c *control.Config) { c.Codec = "null" })
		w.append(someTypes[0], 3)
		w.configure(func(c *control.Config) {
			c.Transformations = []control.Transformation{{Field: "user_id", Action: "remove"}}
		})
		w.append(someTypes[1], 100)
		// The first file does not arrive, the one after the change does: the position is saved between them.
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpPut && strings.Contains(c.Key, someTypes[0]) {
				return buckettest.Fault{Problem: bucket.ServerError}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		time.Sleep(10 * time.Second)
		p.kill()
		if len(w.store.files[lane1]) != 1 {
			t.Fatalf("%d files saved before the kill, want the second only", len(w.store.files[lane1]))
		}
		w.buckets["b1"].Script(nil)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
		for _, o := range w.objects() {
			data, _, _ := w.buckets[o.bucket].Object(o.key)
			if hidden := strings.Contains(string(data), "[REDACTED]"); hidden != strings.Contains(o.key, someTypes[1]) {
				t.Errorf("%s: fields removed %v; the rule holds from its record on, for what was accepted after it", o.key, hidden)
			}
		}
	})
}
