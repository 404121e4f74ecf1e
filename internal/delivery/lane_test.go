package delivery_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
)

// scenario runs f in a bubble of its own time.
func scenario(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.killAll()
		f(t, w)
	})
}

func must(t *testing.T, w *world, limit time.Duration) {
	t.Helper()
	if !w.settled(limit) {
		t.Fatalf("not everything was delivered within %v: %+v", limit, w.store.pos)
	}
}

func TestAFileIsCutByCountAndByAgeWithoutTraffic(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		for _, n := range []int{100, 100, 50} {
			w.append(someTypes[0], n)
			time.Sleep(5 * time.Second)
		}
		if got := len(w.objects()); got != 2 {
			t.Errorf("%d files after the count was reached twice, want 2", got)
		}
		time.Sleep(5 * time.Minute)
		if got := len(w.objects()); got != 3 {
			t.Errorf("%d files after five minutes, want 3: the rest is cut by a timer, also without traffic", got)
		}
		must(t, w, 2*time.Minute)
		p.stop()
		w.check()
		for _, f := range w.store.files[control.Lane{Connector: connectorID, Destination: 1}] {
			if f.Cut != "count" && f.Cut != "age" {
				t.Errorf("%s was cut by %q", f.Key, f.Cut)
			}
		}
	})
}

func TestInternalRecordsAmongEventsReachNoBucketAndNoCount(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		w.append(someTypes[0], 1)
		var b eventlog.Batch
		b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
		for range 3 {
			b.Commit(append(b.Begin(), control.EncodePersonChange(control.PersonChange{Kind: control.PersonDelete, Person: "p"})...), uint32(event.PersonChange))
		}
		if _, err := w.source().Append(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		w.append(someTypes[0], 1)
		must(t, w, 10*time.Minute)
		p.stop()
		w.check()
		if n := len(w.objects()); n != 1 {
			t.Errorf("%d files: records that are no events cut the stream, or went out", n)
		}
		for c, n := range w.store.counts {
			if c.EventType != someTypes[0] || n != 2 {
				t.Errorf("counted %d of %s", n, c.EventType)
			}
		}
	})
}

func TestTheKeyIsThatOfTheDocuments(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 1)
		hour := time.Now().UTC().Format("2006-01-02-15")
		p := w.start()
		must(t, w, 10*time.Minute)
		p.stop()
		w.check()
		id := w.appended[0].schema.ID
		want := fmt.Sprintf("currents/dataexport.prod-01.S3.integration.%s/event_type=%s/date=%s/%d/default/dataexport.prod-01.S3.integration.%s+0+0000000001.avro",
			connectorID, someTypes[0], hour, id, connectorID)
		if got := w.objects()[0].key; got != want {
			t.Errorf("key\n got %s\nwant %s", got, want)
		}
	})
}

func TestAnAnswerThatGotLostMakesNoSecondObject(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		for i := range 5 {
			w.append(someTypes[i%3], 40)
		}
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpPut && c.Attempt == 1 {
				return buckettest.Fault{Problem: bucket.Network, After: true}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

func TestKilledAtEveryMomentAndStartedAgain(t *testing.T) {
	for ms := 0; ms < 4000; ms += 250 {
		t.Run(fmt.Sprint(ms), func(t *testing.T) {
			scenario(t, func(t *testing.T, w *world) {
				w.configure(nil)
				r := newRand(t, uint64(ms))
				w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
					return buckettest.Fault{Delay: time.Duration(r.IntN(300)) * time.Millisecond}
				})
				for range 20 {
					w.append(someTypes[r.IntN(3)], 1+r.IntN(150))
				}
				for range 4 {
					p := w.start()
					p.late = func(string) time.Duration { return time.Duration(r.IntN(3000)-1000) * time.Millisecond }
					time.Sleep(time.Duration(ms+r.IntN(250)) * time.Millisecond)
					p.kill()
					w.append(someTypes[r.IntN(3)], 1+r.IntN(50))
				}
				p := w.start()
				must(t, w, 2*time.Hour)
				p.stop()
				w.check()
			})
		})
	}
}

func TestTwoWorkersAtOnceConvergeOnOneChain(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		r := newRand(t, 5)
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			return buckettest.Fault{Delay: time.Duration(r.IntN(900)) * time.Millisecond}
		})
		a := w.start()
		for i := range 30 {
			w.append(someTypes[r.IntN(3)], 1+r.IntN(120))
			time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
			if i == 10 {
				b := w.start()
				defer b.stop()
			}
		}
		must(t, w, 2*time.Hour)
		a.stop()
		w.check()
	})
}

func TestAForeignObjectIsLeftAloneAndWrittenBeside(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 3)
		name := w.nameOf(w.appended[0])
		w.buckets["b1"].Set(name.Key(), []byte("not ours"), nil)
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		data, _, _ := w.buckets["b1"].Object(name.Key())
		if string(data) != "not ours" {
			t.Error("promise 3 (objects never change) is broken: a stranger's object was overwritten")
		}
		name.Partition = 1000
		if _, _, ok := w.buckets["b1"].Object(name.Key()); !ok {
			t.Errorf("nothing at %s; keys %v", name.Key(), w.buckets["b1"].Keys())
		}
		if got := strings.Join(p.heard(), " "); !strings.Contains(got, "foreign") {
			t.Errorf("nobody was told of the foreign object: %q", got)
		}
		w.check()
	})
}

func (w *world) nameOf(a appended) avrofile.Name {
	c := w.config()
	return avrofile.Name{
		Folder: c.Destination.Folder, Cluster: "prod-01", Kind: "S3", Connector: string(connectorID),
		EventType: a.schema.Type.Name, Hour: int32(time.Now().Unix() / 3600), SchemaID: uint32(a.schema.ID), Zone: "default",
		First: int64(a.offset),
	}
}

func TestObjectsWithoutMetadataAreRecognisedByTheirEvents(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		for range 6 {
			w.append(someTypes[0], 70)
		}
		before := w.store.copy()
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		// The database goes back to before, and the bucket is a copy that lost its metadata.
		b := buckettest.NewMemory()
		for _, k := range w.buckets["b1"].Keys() {
			data, _, _ := w.buckets["b1"].Object(k)
			b.Set(k, data, nil)
		}
		w.buckets["b1"], w.store = b, before
		w.append(someTypes[0], 33)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

func TestParkedOnTheCustomersErrorAndResumedByItself(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 500)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		p := w.start()
		time.Sleep(20 * time.Minute)
		lane := control.Lane{Connector: connectorID, Destination: 1}
		if h := w.store.health[lane]; h.State != control.LaneFailing || h.Problem != "access_denied" {
			t.Errorf("health %+v, want failing with access_denied", h)
		}
		calls := len(w.buckets["b1"].Calls())
		if calls > 60 {
			t.Errorf("%d calls in 20 minutes to a bucket that refuses", calls)
		}
		if held := p.m.Held(); held > 1<<16 {
			t.Errorf("a parked lane holds %d bytes", held)
		}
		w.append(someTypes[1], 50)
		w.buckets["b1"].Deny("")
		must(t, w, time.Hour)
		if h := w.store.health[lane]; h.State != control.LaneActive {
			t.Errorf("health %+v, want active again", h)
		}
		p.stop()
		if got := fmt.Sprint(p.heard()); got != "[parked resumed]" {
			t.Errorf("heard %s", got)
		}
		w.check()
	})
}

func TestOneBrokenBucketSlowsNobodyElse(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 100)
		w.configure(func(c *control.Config) { c.Destination.Number, c.Destination.Bucket = 2, "b2" })
		w.append(someTypes[0], 100)
		w.buckets["b1"].Deny(bucket.NoSuchBucket)
		p := w.start()
		time.Sleep(6 * time.Minute)
		if n := len(w.buckets["b2"].Keys()); n != 1 {
			t.Errorf("%d files in the new bucket while the old one is broken, want 1", n)
		}
		w.buckets["b1"].Deny("")
		must(t, w, time.Hour)
		p.stop()
		w.check()
		if !w.store.done[control.Lane{Connector: connectorID, Destination: 1}] {
			t.Error("the old destination is drained, yet its lane is not done")
		}
	})
}

func TestAChangeOfConfigurationHoldsFromItsRecordOn(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 10)
		w.append(someTypes[1], 10)
		w.configure(func(c *control.Config) { c.Events = []string{someTypes[1]} })
		w.append(someTypes[0], 10)
		w.append(someTypes[1], 10)
		w.configure(func(c *control.Config) { c.Events = []string{"all"} })
		w.append(someTypes[0], 10)
		for range 3 {
			p := w.start()
			time.Sleep(time.Second)
			p.kill()
		}
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

func TestAFieldToBeHashedIsHashedFromTheRecordOn(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 3)
		w.configure(func(c *control.Config) {
			c.Transformations = []control.Transformation{{Field: "user_id", Action: "remove"}}
			c.Codec = "null"
		})
		w.append(someTypes[0], 3)
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
		clear, redacted := 0, 0
		for _, o := range w.objects() {
			data, _, _ := w.buckets[o.bucket].Object(o.key)
			if strings.Contains(string(data), "[REDACTED]") {
				redacted += len(o.ids)
				if strings.Contains(string(data), "x-event-") && strings.Count(string(data), "[REDACTED]") != len(o.ids) {
					t.Error("a field that is to be removed stands in clear beside removed ones")
				}
			} else {
				clear += len(o.ids)
			}
		}
		if clear != 3 || redacted != 3 {
			t.Errorf("%d events in clear and %d redacted, want 3 and 3", clear, redacted)
		}
	})
}

func TestAStoreWithoutCreateOnlyGetsBordersThatAreSavedFirst(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			scenario(t, func(t *testing.T, w *world) {
				r := newRand(t, seed)
				w.buckets["b1"].IgnoreCreateOnly(true)
				w.store.access = bucket.Access{Bucket: "b1", Features: bucket.Features{IgnoresCreateOnly: true}}
				w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
					return buckettest.Fault{Delay: time.Duration(r.IntN(800)) * time.Millisecond}
				})
				w.configure(nil)
				for range 12 {
					w.append(someTypes[r.IntN(3)], 1+r.IntN(150))
				}
				for range 4 {
					p := w.start()
					time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
					p.kill()
					w.append(someTypes[r.IntN(3)], 1+r.IntN(30))
				}
				p := w.start()
				must(t, w, 2*time.Hour)
				p.stop()
				w.check()
			})
		})
	}
}

// A file whose borders are saved must be gathered whole: also by a process that has less memory than the one that cut it.
func TestAFileWithSavedBordersIsMadeAgainInLessMemory(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.store.ignores = true
		w.buckets["b1"].IgnoreCreateOnly(true)
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault { return buckettest.Fault{Hang: c.Op == buckettest.OpPut} })
		w.configure(func(c *control.Config) { c.Codec, c.FlushEvents = "null", 20_000 })
		for range 200 {
			w.append(someTypes[0], 100)
		}
		p := w.start()
		time.Sleep(3 * time.Second)
		p.kill()
		if len(w.store.pos[control.Lane{Connector: connectorID, Destination: 1}].Plans) != 1 {
			t.Fatal("no borders were saved")
		}
		w.buckets["b1"].Script(nil)
		w.cfg.MemoryBudget = 64 << 10
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
		if n := len(w.objects()); n != 1 {
			t.Errorf("%d files, want the one that was begun", n)
		}
	})
}

func TestTestEventsGoToTheirConnectorInFilesOfTheirOwn(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 5)
		w.appendTo(someTypes[0], 5, 7)
		w.appendTo(someTypes[0], 5, 8)
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		w.check()
		if n := len(w.objects()); n != 2 {
			t.Errorf("%d files, want one for events and one for test events", n)
		}
		if n := w.store.counts[control.Count{Workspace: 1, EventType: someTypes[0], Hour: w.hour(), Era: w.logged[0]}]; n != 5 {
			t.Errorf("%d events counted, want 5: test events are in no statistics", n)
		}
	})
}

func TestAnObjectThatHoldsSomeOfOursLeavesTheRestToTheNextLinks(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 40)
		w.store.cursor = 0
		p := w.start()
		must(t, w, time.Hour)
		p.stop()
		// Another timeline: the object at the first key holds events 11 to 20 and 31 to 40 of what is accepted now.
		other := newWorld(t)
		other.configure(nil)
		var some []string
		for _, a := range w.appended {
			if n := int(a.offset-1) / 10 % 2; n == 1 {
				some = append(some, a.id)
			}
		}
		other.appendIDs(someTypes[0], append(some, "a stranger"), 0)
		q := other.start()
		must(t, other, time.Hour)
		q.stop()
		key := other.objects()[0].key
		data, info, _ := other.buckets["b1"].Object(key)
		b := buckettest.NewMemory()
		b.Set(key, data, info.Metadata)
		w.buckets["b1"] = b
		w.store = newMemStore()
		w.append(someTypes[0], 5)
		p = w.start()
		must(t, w, time.Hour)
		p.kill()
		w.check()
		p = w.start()
		time.Sleep(time.Hour)
		p.stop()
		w.check()
	})
}

func TestTheQuotaTakesTheOldestOfLanesThatDeliverNothing(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 200)
		w.configure(func(c *control.Config) { c.Destination.Number, c.Destination.Bucket = 2, "b2" })
		w.buckets["b1"].Deny(bucket.NoSuchBucket)
		p := w.start()
		time.Sleep(3 * time.Minute)
		w.append(someTypes[0], 300)
		w.log.max = w.log.bytes + 1
		time.Sleep(30 * time.Minute)
		if w.log.bytes >= w.log.max/10*9 {
			t.Errorf("the log still holds %d of %d bytes", w.log.bytes, w.log.max)
		}
		if n := len(w.buckets["b2"].Keys()); n != 2 {
			t.Errorf("the healthy bucket has %d files, want 2: a full log must not disturb it", n)
		}
		w.buckets["b1"].Deny("")
		time.Sleep(time.Hour)
		must(t, w, time.Hour)
		p.stop()
		w.check()
		for _, d := range w.store.drops {
			if d.Reason != control.DropQuota || d.Events != 200 || !d.Settled {
				t.Errorf("drop %+v, want 200 events by quota, settled", d)
			}
		}
		if len(w.store.drops) != 1 {
			t.Errorf("%d ledger rows of drops, want 1", len(w.store.drops))
		}
	})
}

func TestWhatLandedBeforeADropIsNotCountedAsLost(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 100)
		w.append(someTypes[1], 30)
		// The write takes place, but its answer and everything after it is a refusal.
		refuse := false
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if refuse {
				return buckettest.Fault{Problem: bucket.AccessDenied}
			}
			if c.Op == buckettest.OpPut {
				refuse = true
				return buckettest.Fault{Problem: bucket.AccessDenied, After: true}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		time.Sleep(3 * time.Minute)
		w.log.max = w.log.bytes
		time.Sleep(30 * time.Minute)
		if len(w.store.drops) != 2 {
			t.Fatalf("%d drops, want one for each stream", len(w.store.drops))
		}
		w.log.max = 0
		w.buckets["b1"].Script(nil)
		w.append(someTypes[2], 1)
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

func TestAPositionBelowTheLogsStartIsRebuiltFromTheBucket(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		time.Sleep(time.Second)
		before := w.store.copy()
		for range 4 {
			w.append(someTypes[0], 100)
			time.Sleep(10 * time.Second)
		}
		must(t, w, time.Hour)
		p.stop()
		if err := w.log.Trim(t.Context(), w.appended[250].offset, 0); err != nil {
			t.Fatal(err)
		}
		w.store = before
		w.append(someTypes[0], 10)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		files := w.store.files[control.Lane{Connector: connectorID, Destination: 1}]
		events := 0
		for _, f := range files {
			events += f.Events
		}
		if events != 410 {
			t.Errorf("the ledger has %d events, want all 410", events)
		}
		if len(w.store.drops) != 1 {
			t.Errorf("%d drops: what neither bucket nor log can tell must be said", len(w.store.drops))
		}
	})
}

func TestNothingIsWrittenWhileAnswersWaitTooLongForTheirSave(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		fails := false // saves alone, as on a full disk: whose position it is can still be read
		w.wrap = func(s delivery.Store) delivery.Store { return failsSaves{s, &fails} }
		p := w.start()
		time.Sleep(time.Second)
		fails = true
		for range 10 {
			w.append(someTypes[0], 100)
			time.Sleep(20 * time.Second)
		}
		if n := len(w.buckets["b1"].Keys()); n == 0 || n > 3 {
			t.Errorf("%d files written without a save, want those of the first 30 s only", n)
		}
		fails = false
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

// What is answered while a save is under way is not in it: the next one has to bring it.
func TestWhatComesInDuringASaveWaitsForTheNext(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.wrap = func(s delivery.Store) delivery.Store { return answersLate{s} }
		p := w.start()
		time.Sleep(time.Second)
		for i := range 3 {
			w.append(someTypes[i], 100)
			time.Sleep(time.Second)
		}
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

func TestPausedUploadsNothingAndDecidesNothing(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		w.append(someTypes[0], 50)
		time.Sleep(10 * time.Second)
		lane := control.Lane{Connector: connectorID, Destination: 1}
		pause := func(on bool) {
			w.store.mu.Lock()
			r := w.store.rows[lane]
			r.Paused = on
			w.store.rows[lane] = r
			w.store.mu.Unlock()
		}
		pause(true)
		time.Sleep(5 * time.Second)
		w.append(someTypes[0], 500)
		time.Sleep(2 * time.Hour)
		if n := len(w.buckets["b1"].Keys()); n != 0 {
			t.Errorf("%d files written while paused", n)
		}
		if h := w.store.health[lane]; h.State != control.LanePaused {
			t.Errorf("state %s, want paused", h.State)
		}
		if p.m.Held() != 0 {
			t.Errorf("a paused lane holds %d bytes", p.m.Held())
		}
		pause(false)
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

func TestFilesShrinkUntilTheyFitTheLineToTheBucket(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(func(c *control.Config) { c.FlushEvents, c.Codec = 100_000, "null" })
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			return buckettest.Fault{Delay: time.Duration(len(c.Body)) * time.Second / 400_000}
		})
		for range 60 {
			w.append(someTypes[0], 1000)
		}
		p := w.start()
		must(t, w, 6*time.Hour)
		p.stop()
		w.check()
		if n := len(w.objects()); n < 3 {
			t.Errorf("%d files", n)
		}
	})
}
