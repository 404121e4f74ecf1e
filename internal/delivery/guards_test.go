package delivery_test

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/eventlog"
)

// Each test of this file fails when one rule of delivery is taken out, and no other test does: docs/reliability.md names
// the rules.

// A write may take place although its answer is a refusal, and later than the answer: what it leaves is found before the
// drop that followed is final.
func TestADropWaitsForWhatWasSentBeforeIt(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.GracePeriod = time.Hour
		w.configure(nil)
		w.append(someTypes[0], 50)
		var begun time.Time
		mended := false
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			switch {
			case mended, c.Op != buckettest.OpPut:
				return buckettest.Fault{}
			case begun.IsZero():
				begun = c.At
			case c.At.Sub(begun) >= w.cfg.GracePeriod:
				mended = true
				return buckettest.Fault{Problem: bucket.AccessDenied, Late: 4 * time.Second}
			}
			return buckettest.Fault{Problem: bucket.AccessDenied}
		})
		p := w.start()
		for len(w.dropped()) == 0 {
			time.Sleep(time.Second)
		}
		must(t, w, time.Hour)
		p.stop()
		w.check()
		if got := w.dropped(); len(got) > 0 {
			t.Errorf("dropped %v, and all of it is in the bucket", got)
		}
	})
}

func TestAClockThatJumpsMakesNoEventOlderThanItIs(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		const jump = 24 * time.Hour
		w.log.behind = jump // what follows is accepted before the clock jumps
		w.configure(nil)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		m := delivery.New(w.cfg, delivery.Deps{Log: w.log, Store: w.store, Opener: w, Catalogue: w.catalogue, Logger: slog.New(said())})
		m.Jumped(jump)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); m.Run(ctx) }()
		w.append(someTypes[0], 50)
		time.Sleep(20 * time.Hour)
		w.append(someTypes[0], 50)
		time.Sleep(31 * time.Hour)
		if got := w.dropped()[control.DropGrace]; got != 50 {
			t.Errorf("promise 4 is broken: the clock jumped a day forward, and %d events are dropped; 50 of them have waited for 51 hours, 50 for 31", got)
		}
		cancel()
		<-done
	})
}

// The database was restored from before a rule, and the log has forgotten the record of the rule: the files in the bucket
// tell that there was one.
func TestFilesOfANewerVersionKeepALaneFromGoingOnByOlderRules(t *testing.T) {
	t.Run("the log has forgotten the file's events", func(t *testing.T) { restoredFromBeforeARule(t, 21) })
	t.Run("the log has forgotten the rule alone", func(t *testing.T) { restoredFromBeforeARule(t, 1) })
}

func restoredFromBeforeARule(t *testing.T, forgotten eventlog.Offset) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(func(c *control.Config) { c.Codec = "null" })
		p := w.start()
		time.Sleep(10 * time.Second)
		before := w.store.copy()
		hide := func(c *control.Config) {
			c.Transformations = []control.Transformation{{Field: "user_id", Action: "remove"}}
		}
		w.configure(hide)
		w.append(someTypes[0], 20)
		must(t, w, time.Hour)
		p.stop()
		if err := w.log.Trim(t.Context(), w.logged[1]+forgotten, 0); err != nil {
			t.Fatal(err)
		}
		w.store = before
		w.append(someTypes[0], 20)
		p = w.start()
		time.Sleep(time.Hour)
		if n := len(w.objects()); n != 1 {
			t.Errorf("%d objects: version 2 removes user_id, this database does not know it, and events went out all the same", n)
		}
		if h := w.store.health[lane1]; h.Problem != "conflict" || !strings.Contains(h.Message, "version 2") {
			t.Errorf("it says %q: %q, want that version 2 is not known", h.Problem, h.Message)
		}
		// The way out that is printed: the rules are set again until their version is above that of the files.
		w.history, w.logged = w.history[:1], w.logged[:1]
		w.configure(hide)
		w.configure(hide)
		must(t, w, time.Hour)
		p.stop()
		for _, o := range w.objects() {
			if data, _, _ := w.buckets[o.bucket].Object(o.key); !strings.Contains(string(data), "[REDACTED]") {
				t.Errorf("user_id, which is to be removed, stands in clear in %s", o.key)
			}
		}
		w.check()
	})
}

// answersLate is a store whose answers to saves come long after the commit.
type answersLate struct{ delivery.Store }

func (s answersLate) Save(ctx context.Context, v control.Save) (int64, error) {
	seq, err := s.Store.Save(ctx, v)
	time.Sleep(2 * time.Second)
	return seq, err
}

func TestACapDropsNothingWhileASaveIsUnderWay(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.TestCap = 80
		w.configure(func(c *control.Config) { c.FlushEvents = 40 })
		w.wrap = func(s delivery.Store) delivery.Store { return answersLate{s} }
		p := w.start()
		time.Sleep(time.Second)
		w.test(true)
		time.Sleep(2 * time.Second)
		w.append(someTypes[0], 40)
		time.Sleep(time.Second) // saved, and the lane does not know it yet
		w.append(someTypes[1], 40)
		must(t, w, time.Hour)
		p.stop()
		if got := w.dropped(); len(got) > 0 {
			t.Errorf("dropped %v; the cap of 80 leaves room for both files of 40", got)
		}
		w.check()
	})
}

// An object holds some of our events above others that are still to be written, and the log's quota asks for what lies
// below the middle of them: what the object holds is found again only from its first event on.
func TestADropLeavesNothingBehindThatAnObjectCovers(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 25)
		other := newWorld(t)
		other.configure(nil)
		time.Sleep(30 * time.Minute)
		w.append(someTypes[0], 15)
		var some []string
		for i, a := range w.appended {
			if i/10%2 == 1 {
				some = append(some, a.id)
			}
		}
		other.appendIDs(someTypes[0], some, 0)
		q := other.start()
		must(t, other, time.Hour)
		q.stop()
		made := other.objects()[0].key
		data, _, _ := other.buckets["b1"].Object(made)
		key := w.nameOf(w.appended[0]).Key()
		w.buckets["b1"].Set(key, data, nil)
		refuse := false
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if refuse {
				return buckettest.Fault{Problem: bucket.AccessDenied}
			}
			refuse = c.Op == buckettest.OpGet
			return buckettest.Fault{}
		})
		p := w.start()
		time.Sleep(10 * time.Minute)
		w.log.mu.Lock()
		w.log.max = w.log.bytes
		w.log.mu.Unlock()
		time.Sleep(10 * time.Minute)
		w.log.mu.Lock()
		w.log.max = 0
		w.log.mu.Unlock()
		w.buckets["b1"].Script(nil)
		must(t, w, 3*time.Hour)
		p.stop()
		w.check()
	})
}

func TestWhoIsOvertakenBeginsAgainAndBlamesNoBucket(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 100)
		// The first of two processes waits for its answer while the other delivers, and the log forgets.
		first := true
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpPut && first {
				first = false
				return buckettest.Fault{Delay: 4500 * time.Millisecond}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		time.Sleep(time.Second)
		q := w.start()
		time.Sleep(2 * time.Second)
		// Without metadata the object is compared by its events.
		key := w.objects()[0].key
		data, _, _ := w.buckets["b1"].Object(key)
		w.buckets["b1"].Set(key, data, nil)
		_, head := w.log.Bounds()
		if err := w.log.Trim(t.Context(), head, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := p.heard(); len(got) > 0 {
			t.Errorf("the other process was ahead, and this one says %q of the bucket", got)
		}
		w.append(someTypes[0], 100)
		must(t, w, time.Hour)
		p.stop()
		q.stop()
		w.check()
	})
}

// A loss is due, and waits for files that are on their way; one of them arrives.
func TestAFileThatIsTakenJustInTimeKeepsTheRest(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.GracePeriod = 30 * time.Minute
		w.configure(func(c *control.Config) { c.FlushInterval = 2 * time.Hour })
		w.buckets["b1"].Deny(bucket.AccessDenied)
		p := w.start()
		w.append(someTypes[2], 10)
		for len(w.dropped()) == 0 {
			time.Sleep(time.Minute)
		}
		// The bucket answers again, but nothing waits that would show that it takes files too.
		w.buckets["b1"].Deny("")
		must(t, w, time.Hour)
		lost := w.dropped()[control.DropGrace]
		next := eventlog.HourOf(time.Now()).Start().Add(time.Hour)
		time.Sleep(time.Until(next.Add(10 * time.Second)))
		w.append(someTypes[0], 50)
		w.append(someTypes[1], 50)
		refused := false
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			switch {
			case c.Op != buckettest.OpPut:
			case strings.Contains(c.Key, someTypes[1]):
				return buckettest.Fault{Delay: 2 * time.Second}
			case !refused:
				refused = true
				return buckettest.Fault{Problem: bucket.AccessDenied}
			}
			return buckettest.Fault{}
		})
		must(t, w, 2*time.Hour)
		p.stop()
		if now := w.dropped()[control.DropGrace]; now != lost || !refused {
			t.Errorf("promise 4 is broken: %d events were dropped after the bucket took a file", now-lost)
		}
		w.check()
	})
}

// failsSaves is a store that saves no position while it is told not to.
type failsSaves struct {
	delivery.Store
	fails *bool
}

func (s failsSaves) Save(ctx context.Context, v control.Save) (int64, error) {
	if *s.fails {
		return 0, context.DeadlineExceeded
	}
	return s.Store.Save(ctx, v)
}

func TestAPauseThatEndsJustInTimeLosesNothing(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.PauseLimit = time.Hour
		w.configure(nil)
		fails := false
		w.wrap = func(s delivery.Store) delivery.Store { return failsSaves{s, &fails} }
		p := w.start()
		time.Sleep(10 * time.Second)
		w.append(someTypes[0], 100)
		fails = true
		w.append(someTypes[0], 50)
		time.Sleep(10 * time.Second)
		w.pause(true)
		time.Sleep(90 * time.Minute) // the loss is due, and waits for the save
		w.pause(false)
		time.Sleep(10 * time.Second)
		fails = false
		must(t, w, 3*time.Hour)
		p.stop()
		if got := w.dropped(); len(got) > 0 {
			t.Errorf("dropped %v after the pause had ended", got)
		}
		w.check()
	})
}

func TestAnUpgradeJustInTimeLosesNothing(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.TestCap = 40
		w.configure(func(c *control.Config) { c.FlushEvents = 40 })
		fails := false
		w.wrap = func(s delivery.Store) delivery.Store { return failsSaves{s, &fails} }
		p := w.start()
		time.Sleep(time.Second)
		w.test(true)
		time.Sleep(3 * time.Second)
		w.append(someTypes[0], 40)
		time.Sleep(3 * time.Second)
		fails = true
		w.appendTo(someTypes[2], 40, 7) // under no cap
		time.Sleep(time.Second)
		w.append(someTypes[1], 40) // the cap is spent: given up as soon as all answers are saved
		time.Sleep(3 * time.Second)
		w.test(false)
		time.Sleep(5 * time.Second)
		fails = false
		must(t, w, 3*time.Hour)
		p.stop()
		if got := w.dropped(); len(got) > 0 {
			t.Errorf("dropped %v after the upgrade", got)
		}
		w.check()
	})
}

// An attempt whose key is taken and free again writes a second time. If that came later than the attempt may last, it
// would come after another process has looked into the bucket and made a drop final.
func TestNoWriteOutlastsItsAttempt(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 100)
		first := w.appended[0]
		stream := control.Stream{Schema: uint32(first.schema.ID), Hour: eventlog.HourOf(time.Now())}
		b := w.buckets["b1"]
		puts := 0
		var sent time.Time
		b.Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpPut {
				puts++
			}
			switch {
			case c.Op == buckettest.OpPut && puts == 1:
				sent = c.At
				return buckettest.Fault{Delay: 4 * time.Second, Problem: bucket.Busy}
			case c.Op == buckettest.OpHead && puts == 1:
				return buckettest.Fault{Delay: 4 * time.Second}
			case c.Op == buckettest.OpPut && puts == 2:
				return buckettest.Fault{Delay: 4900 * time.Millisecond}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		for sent.IsZero() {
			time.Sleep(10 * time.Millisecond)
		}
		// Another process gives these events up meanwhile, and then delivers.
		w.store.mu.Lock()
		pos := w.store.pos[lane1]
		pos.Cursor, pos.Seq = first.offset+100, pos.Seq+1
		w.store.pos[lane1] = pos
		w.store.drops[1] = control.Drop{
			ID: 1, Lane: lane1, Stream: stream, EventType: someTypes[0], Log: w.log.id,
			First: first.offset, Last: first.offset + 99, Events: 100, Reason: control.DropQuota, At: time.Now(),
		}
		w.store.dropID = 1
		w.store.mu.Unlock()
		q := w.start()
		must(t, w, time.Hour)
		time.Sleep(time.Minute)
		p.stop()
		q.stop()
		w.check()
	})
}

// A log is lost while a drop waits to be settled, and a file that is in the bucket after all is of that log.
func TestADropOfALostLogIsSettledByTheLinksOfThatLog(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 100)
		w.append(someTypes[1], 30)
		refuse := false
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if refuse = refuse || c.Op == buckettest.OpPut; refuse {
				return buckettest.Fault{Problem: bucket.AccessDenied, After: true}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		time.Sleep(3 * time.Minute)
		w.log.mu.Lock()
		w.log.max = 1
		w.log.mu.Unlock()
		for w.dropped()[control.DropQuota] < 130 {
			time.Sleep(time.Second)
		}
		p.kill()
		w.replaceLog(newMemLog(2))
		w.buckets["b1"].Script(nil)
		w.append(someTypes[0], 10)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
		if got := w.dropped()[control.DropQuota]; got != 30 {
			t.Errorf("%d events are dropped by the ledger; 100 of the 130 are in the bucket", got)
		}
	})
}

// A log is set back while a drop waits to be settled. Other events get the offsets of the dropped ones, and are neither
// taken for them when they stand in the bucket, nor brought back in their place.
func TestADropOfASetBackLogIsNotTakenForTheEventsThatCameAfter(t *testing.T) {
	for name, deliver := range map[string]bool{"delivered": true, "waiting": false} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(t *testing.T, w *world) {
				w.configure(nil)
				old := w.log.copy()
				w.append(someTypes[0], 100)
				w.buckets["b1"].Deny(bucket.AccessDenied)
				p := w.start()
				time.Sleep(3 * time.Minute)
				w.log.mu.Lock()
				w.log.max = 1
				w.log.mu.Unlock()
				for w.dropped()[control.DropQuota] < 100 {
					time.Sleep(time.Second)
				}
				p.kill()
				w.replaceLog(old)
				w.buckets["b1"].Deny("")
				w.append(someTypes[0], 100)
				if deliver {
					p = w.start()
					must(t, w, time.Hour)
					p.stop()
				}
				out, err := w.recover(nil, nil)
				if err != nil || out.Events != 0 || len(out.Refused) == 0 {
					t.Errorf("events of an offset given anew are brought back for those that were dropped: %+v, %v", out, err)
				}
				p = w.start()
				must(t, w, time.Hour)
				p.stop()
				w.check()
			})
		})
	}
}

// A log is set back beyond a file that the ledger has, and other events get its offsets and are dropped. When the log has
// forgotten them, too, nothing but the metadata of that file could tell: they do not make the drop smaller.
func TestAFileOfTheLedgerTakesNothingFromADrop(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		old := w.log.copy()
		w.append(someTypes[0], 100)
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		w.replaceLog(old)
		w.append(someTypes[0], 100)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		p = w.start()
		time.Sleep(3 * time.Minute)
		w.log.mu.Lock()
		w.log.max = 1
		w.log.mu.Unlock()
		for start, head := w.log.Bounds(); start < head; start, head = w.log.Bounds() {
			time.Sleep(time.Second)
		}
		w.buckets["b1"].Deny("")
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

// A log is set back, and the database does not know of files that were written beyond. A drop of the events that got their
// offsets is not made smaller by such a file, and they are brought back in spite of it.
func TestADropIsNotMadeSmallerByAFileOfEventsThatHadItsOffsetsBefore(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.GracePeriod = 10 * time.Minute
		w.configure(nil)
		p := w.start()
		time.Sleep(5 * time.Second)
		p.stop()
		log, store := w.log.copy(), w.store.copy()
		w.append(someTypes[1], 100)
		w.append(someTypes[0], 50)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		w.store = store
		w.replaceLog(log)
		w.append(someTypes[0], 200) // the file of the 50 is named by the 101st of them
		loseAll(t, w)
		w.check()
		if got := w.dropped()[control.DropGrace]; got != 200 {
			t.Errorf("promise 4 (nothing is lost in silence) is broken: %d of 200 lost events are in the ledger", got)
		}
		if out, err := w.recover(nil, nil); err != nil || out.Events != 200 || len(out.Found) > 0 {
			t.Errorf("not all that was lost is brought back: %+v, %v", out, err)
		}
		w.check()
	})
}

// What stands in the bucket of a drop is found by its events if its metadata were lost, and what it holds beyond the drop is
// not written again.
func TestWhatLandedBeforeADropIsFoundWithoutItsMetadata(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.GracePeriod = 10 * time.Minute
		w.configure(nil)
		w.append(someTypes[0], 60)
		lands, begun := false, time.Now()
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op != buckettest.OpPut {
				return buckettest.Fault{}
			}
			lands = lands || c.At.Sub(begun) > 9*time.Minute
			return buckettest.Fault{Problem: bucket.AccessDenied, After: lands}
		})
		p := w.start()
		time.Sleep(9 * time.Minute)
		w.append(someTypes[0], 30)
		for len(w.dropped()) == 0 {
			time.Sleep(time.Second)
		}
		objects := w.objects()
		if got := w.dropped()[control.DropGrace]; got != 60 || len(objects) != 1 || len(objects[0].ids) != 90 {
			t.Fatalf("%d dropped, in the bucket %v; want 60, and an object of 90", got, objects)
		}
		data, _, _ := w.buckets["b1"].Object(objects[0].key)
		w.buckets["b1"].Set(objects[0].key, data, nil)
		w.buckets["b1"].Script(nil)
		must(t, w, time.Hour)
		w.append(someTypes[0], 20)
		must(t, w, time.Hour)
		p.stop()
		w.check()
		if got := w.dropped()[control.DropGrace]; got != 0 {
			t.Errorf("promise 4 (nothing is lost in silence) is broken: %d events are dropped by the ledger that are in the bucket", got)
		}
	})
}

// A log is set back, and what landed before a drop holds events that came after the dropped ones then. Others have their
// offsets now, but for some that a producer sent again: what the object holds counts up to the first of the others, which
// would otherwise be passed over.
func TestWhatCameAfterADropCountsUpToTheFirstThatTheObjectLacks(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.GracePeriod = 10 * time.Minute
		w.configure(nil)
		w.append(someTypes[0], 60)
		old := w.log.copy()
		lands, begun := false, time.Now()
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op != buckettest.OpPut {
				return buckettest.Fault{}
			}
			lands = lands || c.At.Sub(begun) > 9*time.Minute
			return buckettest.Fault{Problem: bucket.AccessDenied, After: lands}
		})
		p := w.start()
		time.Sleep(9 * time.Minute)
		w.append(someTypes[0], 30)
		for len(w.dropped()) == 0 {
			time.Sleep(time.Second)
		}
		p.kill()
		if objects := w.objects(); len(objects) != 1 || len(objects[0].ids) != 90 {
			t.Fatalf("in the bucket %v, want an object of 90", objects)
		}
		var again []string
		for _, a := range w.appended[80:] {
			again = append(again, a.id)
		}
		w.replaceLog(old)
		w.buckets["b1"].Script(nil)
		w.append(someTypes[0], 20)
		others := w.appended[90:]
		w.appendIDs(someTypes[0], again, 0)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		had := map[string]int{}
		for _, o := range w.objects() {
			for _, id := range o.ids {
				had[id]++
			}
		}
		for _, a := range others {
			if had[a.id] != 1 {
				t.Fatalf("promise 2 (exactly once) is broken: event %s, accepted after the log was set back, is in the bucket %d times", a.id, had[a.id])
			}
		}
		if n := w.dropped()[control.DropGrace]; n > 0 {
			t.Errorf("promise 4 (nothing is lost in silence) is broken: %d events are dropped by the ledger that are in the bucket", n)
		}
	})
}

// A file that is yet to be written keeps the cursor low, and one of another type reaches across it. That one's entry in the
// position outlives the hour, however long it takes: without it, and with the file taken away by the customer, a restart
// would write the second half of it again.
func TestWhatWasDeliveredAboveTheCursorIsKnownAfterItsHour(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		b := w.buckets["b1"]
		b.Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpPut && strings.Contains(c.Key, someTypes[1]) {
				return buckettest.Fault{Delay: 4 * time.Second, Problem: bucket.ServerError}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		time.Sleep(57 * time.Minute)
		w.append(someTypes[0], 40)
		w.append(someTypes[1], 5)
		w.append(someTypes[0], 60)
		time.Sleep(3*time.Minute + time.Second) // into the next hour
		w.append(someTypes[2], 100)             // its save comes after the hour
		time.Sleep(2 * time.Second)
		p.kill()
		taken := map[string]int{}
		for _, o := range w.objects() {
			taken[o.key] = len(o.ids)
			b.Remove(o.key)
		}
		if len(taken) != 2 || len(w.store.files[lane1]) != 2 {
			t.Fatalf("in the bucket %v, want a file of each type that is taken", taken)
		}
		b.Script(nil)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		if got := w.objects(); len(got) != 1 || len(got[0].ids) != 5 {
			t.Errorf("promise 2 (exactly once) is broken: after the restart %d files were written, want one of the 5 events of the other type: %v", len(got), got)
		}
	})
}

// Producers may give two events one id. An object that others wrote may hold one of them, and then covers one.
func TestAnObjectCoversAsManyEventsOfAnIDAsItHolds(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		before := w.snapshot()
		ids := []string{"twin", "a", "b", "c"}
		w.appendIDs(someTypes[0], ids, 0)
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		w.restore(before)
		w.appendIDs(someTypes[0], []string{"twin", "twin", "a", "b", "c"}, 0)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		got := map[string]int{}
		for _, o := range w.objects() {
			for _, id := range o.ids {
				got[id]++
			}
		}
		if want := map[string]int{"twin": 2, "a": 1, "b": 1, "c": 1}; !maps.Equal(got, want) {
			t.Errorf("promise 2 (exactly once) is broken: in the bucket %v, want %v", got, want)
		}
	})
}

// A write that nobody remembers lands after a restart has written the same key. Where create-only is ignored it replaces
// what stands there: the borders that it was sent with must be those of the restart.
func TestNothingIsWrittenBeforeItsBordersAreSaved(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.store.ignores = true
		w.buckets["b1"].IgnoreCreateOnly(true)
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpPut && c.Attempt == 1 {
				return buckettest.Fault{Hang: true, Late: 2 * time.Minute}
			}
			return buckettest.Fault{}
		})
		w.configure(nil)
		fails := true
		w.wrap = func(s delivery.Store) delivery.Store { return failsSaves{s, &fails} }
		w.append(someTypes[0], 100)
		p := w.start()
		time.Sleep(3 * time.Second)
		p.kill()
		fails = false
		w.append(someTypes[0], 200)
		time.Sleep(time.Minute) // who lags makes larger files
		p = w.start()
		must(t, w, time.Hour)
		time.Sleep(5 * time.Minute)
		p.stop()
		w.check()
	})
}

// A version that is logged again says nothing new, also if it says something else: a restored database may give a number
// again.
func TestTheFirstRecordOfAVersionWins(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(func(c *control.Config) { c.Codec = "null" })
		w.configure(func(c *control.Config) {
			c.Transformations = []control.Transformation{{Field: "user_id", Action: "remove"}}
		})
		w.append(someTypes[0], 30)
		again := w.config()
		again.Transformations = nil
		w.log.control(t, control.Record{Kind: control.RecordConfig, Config: &again})
		w.append(someTypes[1], 30)
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		for _, o := range w.objects() {
			if data, _, _ := w.buckets[o.bucket].Object(o.key); !strings.Contains(string(data), "[REDACTED]") {
				t.Errorf("version 2 removes user_id, and a second record of version 2 does not: it stands in clear in %s", o.key)
			}
		}
		w.check()
	})
}

// The log's quota asks a lane to give up what lies below an offset at which a link ends: that one event is delivered.
func TestALinkThatEndsWhereADropEndsIsKnownAfterIt(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpPut && strings.Contains(c.Key, someTypes[1]) {
				return buckettest.Fault{Problem: bucket.AccessDenied}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		w.append(someTypes[0], 99)
		w.append(someTypes[1], 30)
		time.Sleep(4 * time.Minute)
		w.append(someTypes[0], 1) // ends its file
		time.Sleep(time.Hour)
		if n := len(w.objects()); n != 1 {
			t.Fatalf("%d files, want that of one type", n)
		}
		w.log.mu.Lock()
		w.log.max = 1
		w.log.mu.Unlock()
		for len(w.dropped()) == 0 {
			time.Sleep(time.Second)
		}
		w.log.mu.Lock()
		w.log.max = 0
		w.log.mu.Unlock()
		if got := w.dropped(); got[control.DropQuota] != 30 {
			t.Fatalf("dropped %v, want 30 by the quota", got)
		}
		w.buckets["b1"].Script(nil)
		must(t, w, 2*time.Hour)
		p.stop()
		w.check()
	})
}

// What may be read of a taken key decides, and if it may not be read nothing does: a stranger's object is not taken for ours.
func TestATakenKeyThatMayNotBeReadParks(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 100)
		w.buckets["b1"].Set(w.nameOf(w.appended[0]).Key(), []byte("not ours"), nil)
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpHead {
				return buckettest.Fault{Problem: bucket.AccessDenied}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		time.Sleep(20 * time.Minute)
		if h := w.store.health[lane1]; h.State != control.LaneFailing || h.Problem != string(bucket.AccessDenied) {
			t.Errorf("health %+v after twenty minutes of refused HEADs, want failing with %s", h, bucket.AccessDenied)
		}
		w.buckets["b1"].Script(nil)
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

// loseAll has the bucket refuse until the grace period has taken events, and then answer again.
func loseAll(t *testing.T, w *world) {
	t.Helper()
	w.buckets["b1"].Deny(bucket.AccessDenied)
	p := w.start()
	for end := time.Now().Add(2 * time.Hour); len(w.dropped()) == 0; time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatal("nothing is dropped")
		}
	}
	w.buckets["b1"].Deny("")
	must(t, w, time.Hour)
	p.stop()
}
