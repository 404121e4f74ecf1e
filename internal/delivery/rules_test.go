package delivery_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

var lane1 = control.Lane{Connector: connectorID, Destination: 1}

func TestAPlannedFileOfMoreThanOneMiBIsWrittenAfterParking(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.buckets["b1"].IgnoreCreateOnly(true)
		w.store.access = bucket.Access{Bucket: "b1", Features: bucket.Features{IgnoresCreateOnly: true}}
		w.configure(func(c *control.Config) { c.FlushEvents = 100_000 })
		for range 20 {
			w.append(someTypes[0], 1000)
		}
		w.buckets["b1"].Deny(bucket.AccessDenied)
		p := w.start()
		time.Sleep(10 * time.Minute)
		w.buckets["b1"].Deny("")
		ok := w.settled(24 * time.Hour)
		if !ok {
			p.kill()
			p = w.start()
			p.stop()
			t.Fatal("never delivered again")
		}
		p.stop()
		w.check()
	})
}

func landedBeforeDrops(t *testing.T, other bool, commits, drops int) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(func(c *control.Config) { c.FlushEvents = 100_000; c.FlushInterval = 170 * time.Second })
		refuse := false
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if refuse {
				return buckettest.Fault{Problem: bucket.AccessDenied}
			}
			if c.Op == buckettest.OpPut && strings.Contains(c.Key, someTypes[0]) {
				refuse = true
				return buckettest.Fault{Problem: bucket.AccessDenied, After: true}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		for range commits {
			w.append(someTypes[0], 50)
			if other {
				w.append(someTypes[1], 50)
			}
			time.Sleep(50 * time.Second)
		}
		time.Sleep(10 * time.Minute)
		for range 400 {
			time.Sleep(5 * time.Second)
			w.log.mu.Lock()
			w.log.max = w.log.bytes
			w.log.mu.Unlock()
			w.store.mu.Lock()
			n := 0
			for _, d := range w.store.drops {
				if d.EventType == someTypes[0] {
					n++
				}
			}
			w.store.mu.Unlock()
			if n >= drops {
				break
			}
		}
		w.log.max = 0
		time.Sleep(time.Second)
		floor, _ := w.store.RetentionFloor(t.Context(), w.log.id)
		_ = w.log.Trim(t.Context(), floor, 0) // as the next tick of trim does while the log is tight
		w.buckets["b1"].Script(nil)
		ok := w.settled(24 * time.Hour)
		time.Sleep(2 * time.Hour)
		for _, d := range w.store.drops {
			if !d.Settled {
				t.Errorf("unsettled after a day of a bucket that answers")
			}
		}
		p.stop()
		if !ok {
			t.Errorf("not delivered; health %+v start %d", w.store.health[lane1], w.log.start)
		}
		w.check()
	})
}

func TestALinkOverSeveralDropsIsCountedOnce(t *testing.T)       { landedBeforeDrops(t, false, 4, 2) }
func TestALinkThatGoesOnBeyondATrimmedDropSettles(t *testing.T) { landedBeforeDrops(t, true, 4, 1) }

func TestAFinishedLaneSettlesAfterAPassingError(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 200)
		w.configure(func(c *control.Config) { c.Destination.Number, c.Destination.Bucket = 2, "b2" })
		w.buckets["b1"].Deny(bucket.NoSuchBucket)
		p := w.start()
		time.Sleep(3 * time.Minute)
		w.append(someTypes[0], 300)
		w.log.max = w.log.bytes + 1
		time.Sleep(10 * time.Minute)
		n := 0
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpList {
				if n++; n <= 1 {
					return buckettest.Fault{Problem: bucket.ServerError}
				}
			}
			return buckettest.Fault{}
		})
		w.buckets["b1"].Deny("")
		time.Sleep(24 * time.Hour)
		if !w.store.done[lane1] {
			t.Errorf("one 500 to a LIST, and the lane has not settled in a day; %d lists", n)
		}
		p.stop()
	})
}

func TestAListThatHangsDoesNotHoldTheLaneForEver(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 200)
		w.buckets["b1"].Deny(bucket.NoSuchBucket)
		p := w.start()
		time.Sleep(3 * time.Minute)
		w.log.max = w.log.bytes
		time.Sleep(10 * time.Minute)
		w.log.max = 0
		n := 0
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpList {
				if n++; n == 1 {
					return buckettest.Fault{Hang: true}
				}
			}
			return buckettest.Fault{}
		})
		w.buckets["b1"].Deny("")
		w.append(someTypes[1], 100)
		time.Sleep(24 * time.Hour)
		if n := len(w.buckets["b1"].Keys()); n == 0 {
			t.Errorf("a LIST that hangs stopped the lane for a day")
		}
		p.cancel()
		select {
		case <-p.done:
		case <-time.After(time.Hour):
			panic("shutdown hangs: the manager has not ended an hour after its context")
		}
	})
}

func TestTheHourlyCountsKeepUpWithManySmallRequests(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		for range 30 {
			for range 1000 {
				w.append(someTypes[0], 1)
			}
			time.Sleep(time.Second)
		}
		_, head := w.log.Bounds()
		if behind := int64(head - w.store.counted); behind > 5000 {
			t.Errorf("at 1000 requests a second the counts, and with them retention, are %d behind after 30 s", behind)
		}
		p.stop()
	})
}

func TestALanePausedBeforeTheStartGivesRoomToTheQuota(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		time.Sleep(time.Second)
		p.stop()
		r := w.store.rows[lane1]
		r.Paused = true
		w.store.rows[lane1] = r
		w.append(someTypes[0], 300)
		p = w.start()
		time.Sleep(10 * time.Minute)
		w.log.max = w.log.bytes
		time.Sleep(2 * time.Hour)
		if w.log.bytes >= w.log.max/10*9 {
			t.Errorf("full for two hours: %d of %d bytes; state %q", w.log.bytes, w.log.max, p.m.Status()[0].State)
		}
		p.stop()
	})
}

func TestARestoredPositionBelowTheStartKeepsTheRules(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(func(c *control.Config) { c.Codec = "null" })
		w.buckets["b1"].Deny(bucket.AccessDenied)
		p := w.start()
		w.append(someTypes[0], 20)
		time.Sleep(time.Second)
		w.configure(func(c *control.Config) {
			c.Transformations = []control.Transformation{{Field: "user_id", Action: "remove"}}
		})
		time.Sleep(10 * time.Second)
		before := w.store.copy() // knows version 2; the lane lags behind its record
		w.append(someTypes[0], 20)
		w.buckets["b1"].Deny("")
		must(t, w, time.Hour)
		p.stop()
		_, head := w.log.Bounds()
		if err := w.log.Trim(t.Context(), head, 0); err != nil {
			t.Fatal(err)
		}
		w.store = before
		first := len(w.appended)
		w.append(someTypes[0], 20)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		for _, o := range w.objects() {
			for _, id := range o.ids {
				if id == w.appended[first].id {
					data, _, _ := w.buckets[o.bucket].Object(o.key)
					if !strings.Contains(string(data), "[REDACTED]") {
						t.Errorf("user_id, removed by version 2, left in clear; position has version %d", w.store.pos[lane1].Version)
					}
				}
			}
		}
	})
}

func TestHolesSurviveACrash(t *testing.T) {
	for ms := 0; ms < 4000; ms += 200 {
		t.Run(fmt.Sprint(ms), func(t *testing.T) {
			scenario(t, func(t *testing.T, w *world) {
				few := func(c *control.Config) { c.FlushEvents = 10 }
				w.configure(few)
				for range 40 {
					w.append(someTypes[0], 1)
				}
				other := newWorld(t)
				other.configure(nil)
				var some []string
				for _, a := range w.appended {
					if n := int(a.offset-1) / 10 % 2; n == 1 {
						some = append(some, a.id)
					}
				}
				other.appendIDs(someTypes[0], some, 0)
				q := other.start()
				must(t, other, time.Hour)
				q.stop()
				key := other.objects()[0].key
				data, info, _ := other.buckets["b1"].Object(key)
				w.buckets["b1"].Set(key, data, info.Metadata)
				w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
					if c.Op == buckettest.OpPut && strings.HasSuffix(c.Key, "+0000000021.avro") && c.Attempt == 1 {
						return buckettest.Fault{Delay: 4900 * time.Millisecond}
					}
					return buckettest.Fault{Delay: 300 * time.Millisecond}
				})
				p := w.start()
				time.Sleep(time.Duration(ms) * time.Millisecond)
				p.kill()
				p = w.start()
				must(t, w, time.Hour)
				p.stop()
				w.check()
			})
		})
	}
}

func TestADropOfATypeThatIsGoneDoesNotPanic(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		time.Sleep(time.Second)
		p.stop()
		w.store.drops[1] = control.Drop{ID: 1, Lane: lane1, Stream: control.Stream{Schema: 1_000_001, Hour: 5}, EventType: "own", Log: w.log.id, First: 0, Last: 0, Events: 1, Reason: control.DropQuota, At: time.Now()}
		p = w.start()
		time.Sleep(time.Hour)
		p.stop()
	})
}

func TestAPlannedBorderHoldsOverAShutdown(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		b := w.buckets["b1"]
		b.IgnoreCreateOnly(true)
		w.store.access = bucket.Access{Bucket: "b1", Features: bucket.Features{IgnoresCreateOnly: true}}
		w.configure(nil)
		for range 40 {
			w.append(someTypes[0], 1)
		}
		// The write arrives much later than its client waits for it.
		b.Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpPut && c.Attempt == 1 {
				return buckettest.Fault{Hang: true, Late: 60 * time.Second}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		for len(w.store.pos[lane1].Plans) == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		plan := w.store.pos[lane1].Plans[0]
		time.Sleep(time.Second)
		p.kill()
		// Killed and started; stopped at once.
		for range 3 {
			p = w.start()
			time.Sleep(0)
			p.stop()
		}
		for _, f := range w.store.files[lane1] {
			if f.First == plan.First && f.Last != plan.Last {
				t.Errorf("planned %d..%d, written %d..%d cut by %s", plan.First, plan.Last, f.First, f.Last, f.Cut)
			}
		}
	})
}

func TestDropsOfEventsAndOfTestEventsAreApart(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 10)
		w.appendTo(someTypes[0], 5, 7)
		w.append(someTypes[0], 10)
		time.Sleep(10 * time.Minute)
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if strings.Contains(c.Key, "+test-") {
				return buckettest.Fault{}
			}
			return buckettest.Fault{Delay: time.Second, Problem: bucket.AccessDenied}
		})
		p := w.start()
		time.Sleep(3 * time.Minute)
		w.log.max = w.log.bytes
		time.Sleep(30 * time.Minute)
		w.log.max = 0
		w.buckets["b1"].Script(nil)
		w.append(someTypes[0], 3)
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

func TestMemoryIsFreedWithoutWaitingForTheTimer(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.MemoryBudget = 256 << 10
		w.configure(func(c *control.Config) { c.FlushEvents, c.FlushInterval, c.Codec = 100_000, time.Hour, "null" })
		p := w.start()
		time.Sleep(time.Second)
		// One request of all types, larger than the budget.
		var b eventlog.Batch
		b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
		var as []appended
		for k, typ := range someTypes {
			t2, _ := w.catalogue.Type(typ)
			for i := range 3000 {
				id := fmt.Sprintf("m-%d-%d", k, i)
				out, s, _ := w.reader.Read(b.Begin(), minimal(t2, id), event.Options{})
				b.Commit(out, uint32(s.ID))
				as = append(as, appended{id: id, schema: s})
			}
		}
		r, _ := w.log.Append(context.Background(), &b)
		for i := range as {
			as[i].offset = r.First + eventlog.Offset(i)
		}
		w.appended = append(w.appended, as...)
		time.Sleep(time.Second)
		w.append(someTypes[0], 100)
		time.Sleep(10 * time.Minute)
		st := p.m.Status()[0]
		_, head := w.log.Bounds()
		if st.Read < head {
			t.Error("nothing more is gathered: memory is full of open files that nobody cuts")
		}
		must(t, w, 3*time.Hour)
		p.stop()
		w.check()
	})
}

func TestALaneWhoseCredentialsCouldNotBeLoadedTriesAgain(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 50)
		p := w.start()
		time.Sleep(10 * time.Second)
		n := 0
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if n++; n == 1 { // SQL is busy for two seconds, beginning during an attempt that fails
				w.store.mu.Lock()
				w.store.fail = fault.New(fault.Unavailable, "sql", "busy")
				w.store.mu.Unlock()
				go func() {
					time.Sleep(2 * time.Second)
					w.store.mu.Lock()
					w.store.fail = nil
					w.store.mu.Unlock()
				}()
				return buckettest.Fault{Problem: bucket.ServerError}
			}
			return buckettest.Fault{}
		})
		time.Sleep(24 * time.Hour)
		if len(w.objects()) == 0 {
			t.Errorf("nothing delivered in a day: %+v", p.m.Status())
		}
		p.stop()
		w.check()
	})
}

// A file of test events lies within the range of a drop of events, and landed before either was given up. When the log has
// forgotten both, its metadata alone tell that it is none of them.
func TestATestFileInTheRangeOfADropIsNotTakenForIt(t *testing.T) {
	for range 8 { // which of the two is settled first is up to chance
		scenario(t, testFileInADrop)
	}
}

func testFileInADrop(t *testing.T, w *world) {
	w.configure(nil)
	p := w.start()
	time.Sleep(time.Second)
	w.append(someTypes[0], 10)
	w.appendTo(someTypes[0], 5, 7)
	w.append(someTypes[0], 10)
	w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
		return buckettest.Fault{Delay: time.Second, Problem: bucket.AccessDenied, After: strings.Contains(c.Key, "+test-")}
	})
	time.Sleep(10 * time.Minute)
	w.log.mu.Lock()
	w.log.max = 1
	w.log.mu.Unlock()
	for start, head := w.log.Bounds(); start < head; start, head = w.log.Bounds() {
		time.Sleep(time.Second)
	}
	w.log.mu.Lock()
	w.log.max = 0
	w.log.mu.Unlock()
	if n := len(w.objects()); n != 1 {
		t.Fatalf("%d files, want that of the test events", n)
	}
	w.buckets["b1"].Script(nil)
	w.append(someTypes[0], 3)
	must(t, w, time.Hour)
	p.stop()
	w.check()
	for _, d := range w.store.drops {
		if want := map[uint32]int64{0: 20, 7: 0}[d.Stream.Target]; d.Events != want || !d.Settled {
			t.Errorf("the drop of target %d has %d events, want %d: %+v", d.Stream.Target, d.Events, want, d)
		}
	}
}

func TestNoMemoryIsHeldAtRest(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		for i := range 50 {
			w.append(someTypes[i%3], 37)
			time.Sleep(time.Second)
		}
		must(t, w, time.Hour)
		time.Sleep(time.Minute)
		if h := p.m.Held(); h != 0 {
			t.Errorf("held %d at rest", h)
		}
		p.stop()
	})
}

func TestASlowBucketUnderLoadStarvesNobody(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.MemoryBudget = 1 << 20
		w.configure(func(c *control.Config) { c.FlushEvents = 100000; c.Codec = "null" })
		for k := range 900 {
			w.append(someTypes[k%3], 1000)
		}
		w.configure(func(c *control.Config) {
			c.Destination.Number, c.Destination.Bucket = 2, "b2"
			c.FlushEvents, c.FlushInterval = 2000, time.Hour
		})
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault { return buckettest.Fault{Delay: 4900 * time.Millisecond} })
		p := w.start()
		time.Sleep(time.Second)
		begun := time.Now()
		for range 60 {
			w.append(someTypes[1], 500)
			time.Sleep(time.Second)
		}
		for time.Since(begun) < 6*time.Hour {
			time.Sleep(time.Second)
			n := 0
			for _, f := range w.store.files[control.Lane{Connector: connectorID, Destination: 2}] {
				n += f.Events
			}
			if n == 30000 {
				break
			}
		}
		if took := time.Since(begun); took > 90*time.Second {
			t.Errorf("promise 5 (one customer's broken bucket slows nobody else) is broken: the healthy bucket had everything after %v", took)
		}
		p.stop()
	})
}

// Two processes that believe themselves alone: one gives events up while the other, which rests, holds the position from
// before.
func TestOfTwoOwnersTheOneThatRestsMeetsTheOthersDrop(t *testing.T) {
	for _, apart := range []time.Duration{10, 25, 40, 55} {
		t.Run(fmt.Sprint(apart), func(t *testing.T) {
			scenario(t, func(t *testing.T, w *world) {
				w.cfg.GracePeriod = 10 * time.Hour
				w.configure(func(c *control.Config) { c.FlushEvents = 15000 })
				w.buckets["b1"].Deny(bucket.AccessDenied)
				p1 := w.start()
				time.Sleep(10 * time.Second)
				w.append(someTypes[0], 50)
				time.Sleep(apart * time.Minute)
				p2 := w.start()
				w.append(someTypes[0], 50)
				for w.dropped()[control.DropGrace] == 0 {
					time.Sleep(time.Second)
				}
				time.Sleep(time.Second)
				w.buckets["b1"].Deny("")
				time.Sleep(5 * time.Hour)
				p1.stop()
				p2.stop()
				w.check()
			})
		})
	}
}

func TestADropSettlesAfterTheClockWasSetBack(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 50)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		w.cfg.GracePeriod = time.Hour
		p := w.start()
		for len(w.dropped()) == 0 {
			time.Sleep(time.Minute)
		}
		p.kill()
		for id, d := range w.store.drops {
			d.At = time.Now().Add(48 * time.Hour)
			w.store.drops[id] = d
		}
		w.buckets["b1"].Deny("")
		w.append(someTypes[0], 50)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

func TestADatabaseFromBeforeADropFindsTheLinksAfterIt(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.GracePeriod = 10 * time.Hour
		w.cfg.LogRetention = 1000 * time.Hour
		w.configure(func(c *control.Config) { c.FlushEvents = 15000 })
		p := w.start()
		time.Sleep(10 * time.Second)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		// Of one stream the first events are dropped and the others kept.
		time.Sleep(time.Until(eventlog.HourOf(time.Now()).Start().Add(time.Hour + time.Minute)))
		w.append(someTypes[0], 50)
		time.Sleep(time.Minute)
		backup := w.store.copy()
		time.Sleep(40 * time.Minute)
		w.append(someTypes[0], 50)
		for len(w.dropped()) == 0 {
			time.Sleep(time.Minute)
		}
		w.buckets["b1"].Deny("")
		must(t, w, 3*time.Hour)
		p.stop()
		w.check()
		before := len(w.objects())
		w.store = backup
		p = w.start()
		must(t, w, 3*time.Hour)
		p.stop()
		w.check()
		// What was dropped then is held by the log now, and nobody remembers that it was lost: it is delivered.
		if got := w.dropped(); len(got) > 0 || len(w.objects()) != before+1 {
			t.Errorf("dropped %v, %d objects where there were %d", got, len(w.objects()), before)
		}
	})
}

// A link that such a database does not know begins in the middle of a new drop and goes on beyond it: it takes only its
// own events out of the drop.
func TestALinkInTheMiddleOfADropTakesItsOwnEventsOnly(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		time.Sleep(10 * time.Second)
		p.stop()
		w.append(someTypes[0], 300)
		first, schema := w.appended[0].offset, uint32(w.appended[0].schema.ID)
		stream := control.Stream{Schema: schema, Hour: eventlog.HourOf(time.Now())}
		give := func(id int64, from, n eventlog.Offset) {
			pos := w.store.pos[lane1]
			pos.Cursor = first + from + n
			w.store.pos[lane1] = pos
			w.store.drops[id] = control.Drop{
				ID: id, Lane: lane1, Stream: stream, EventType: someTypes[0], Log: w.log.id,
				First: first + from, Last: first + from + n - 1, Events: int64(n), Reason: control.DropGrace, At: time.Now(),
			}
		}
		backup := w.store.copy()
		give(1, 0, 50)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check() // 50 dropped, links of 100, 100 and 50
		w.store = backup
		give(1, 0, 100)
		give(2, 100, 20)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
		if one, two := w.store.drops[1].Events, w.store.drops[2].Events; one != 50 || two != 0 {
			t.Errorf("the drops have %d and %d events left, want 50 and 0", one, two)
		}
	})
}

func TestADropKeepsTheBordersOfWhatItDoesNotTake(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.GracePeriod = time.Hour
		w.store.ignores = true
		w.buckets["b1"].IgnoreCreateOnly(true)
		w.configure(nil)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		p := w.start()
		w.append(someTypes[0], 50)
		time.Sleep(50 * time.Minute)
		w.append(someTypes[1], 50)
		p.stop()
		late := w.appended[50]
		plan := control.Plan{Stream: control.Stream{Schema: uint32(late.schema.ID), Hour: eventlog.HourOf(time.Now())}, First: late.offset, Last: late.offset + 29}
		pos := w.store.pos[lane1]
		pos.Plans = append(pos.Plans, plan)
		w.store.pos[lane1] = pos
		p = w.start()
		for len(w.dropped()) == 0 {
			time.Sleep(time.Minute)
		}
		p.kill()
		if plans := w.store.pos[lane1].Plans; len(plans) != 1 || plans[0] != plan {
			t.Errorf("plans %+v after a drop below them, want %+v", plans, plan)
		}
		w.buckets["b1"].Deny("")
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
		for _, f := range w.store.files[lane1] {
			if f.First == plan.First && f.Last != plan.Last {
				t.Errorf("planned %d..%d, written %d..%d", plan.First, plan.Last, f.First, f.Last)
			}
		}
	})
}

func TestARestoredPositionBelowTheStartGoesOnIntoNewerVersions(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		time.Sleep(10 * time.Second)
		backup := w.store.pos[lane1]
		w.append(someTypes[0], 50)
		must(t, w, time.Hour)
		w.configure(func(c *control.Config) { c.Codec = "null" })
		w.append(someTypes[0], 50)
		must(t, w, time.Hour)
		p.stop()
		if err := w.log.Trim(t.Context(), w.logged[1], 0); err != nil { // the newer version's record is in the log
			t.Fatal(err)
		}
		backup.Seq = w.store.pos[lane1].Seq
		w.store.pos[lane1], w.store.files[lane1] = backup, nil
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}
