package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
)

// dying is a ledger whose process dies at its nth write: before it, or right after.
type dying struct {
	*memStore
	left  int
	after bool
}

var errDied = errors.New("the process died")

func (d *dying) RecoverDrop(ctx context.Context, x control.Drop, files []control.File) error {
	if d.left--; d.left < 0 {
		return errDied
	}
	if d.left == 0 && d.after {
		if err := d.memStore.RecoverDrop(ctx, x, files); err != nil {
			return err
		}
		return errDied
	}
	if d.left == 0 {
		return errDied
	}
	return d.memStore.RecoverDrop(ctx, x, files)
}

func (w *world) recover(books delivery.Books, change func(*delivery.RecoverInput)) (delivery.Recovered, error) {
	if books == nil {
		books = w.store
	}
	in := delivery.RecoverInput{Books: books, ReplayInput: delivery.ReplayInput{
		Archive:   delivery.Archive{Log: w.log, Ledger: w.store, Opener: w, Catalogue: w.catalogue},
		Connector: control.Connector{Config: w.config()},
	}}
	if change != nil {
		change(&in)
	}
	return delivery.Recover(context.Background(), in)
}

func (w *world) verify() delivery.Verdict {
	w.t.Helper()
	v, err := delivery.Verify(context.Background(), delivery.VerifyInput{
		Archive:   delivery.Archive{Log: w.log, Ledger: w.store, Opener: w, Catalogue: w.catalogue},
		Connector: control.Connector{Config: w.config()},
	})
	if err != nil {
		w.t.Fatalf("verify: %v", err)
	}
	return v
}

// lossy is a world in which a connector has lost events of several types, hours and configurations, and delivers again.
func lossy(t *testing.T, w *world) {
	t.Helper()
	w.cfg.GracePeriod = 10 * time.Hour
	w.cfg.LogRetention = 1000 * time.Hour
	w.configure(nil)
	p := w.start()
	w.append(someTypes[0], 100)
	w.append(someTypes[1], 30)
	time.Sleep(time.Minute)
	// What the bucket took before it refused, its answer lost, is found again.
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
	w.append(someTypes[0], 100)
	time.Sleep(10 * time.Second)
	for i := range 14 {
		w.append(someTypes[0], 120)
		w.append(someTypes[1], 40)
		w.appendTo(someTypes[2], 5, 7)
		if i == 1 {
			time.Sleep(10 * time.Minute)
			w.configure(func(c *control.Config) {
				c.Transformations = []control.Transformation{{Field: "user_id", Action: control.Hash}}
			})
			w.append(someTypes[0], 20)
		}
		time.Sleep(time.Hour)
	}
	w.buckets["b1"].Script(nil)
	must(t, w, 3*time.Hour)
	p.stop()
	w.check()
	if len(w.dropped()) == 0 {
		t.Fatal("nothing was dropped")
	}
}

func TestWhatWasDroppedIsBroughtBack(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		lossy(t, w)
		lost := w.dropped()[control.DropGrace]
		dry, err := w.recover(nil, func(in *delivery.RecoverInput) { in.DryRun = true })
		if err != nil || dry.Events != lost || w.dropped()[control.DropGrace] != lost {
			t.Errorf("a dry run: %+v, %v; lost %d", dry, err, lost)
		}
		out, err := w.recover(nil, nil)
		if err != nil || out.Events != lost || len(out.Refused) > 0 || len(out.Written) != len(dry.Written) {
			t.Fatalf("%+v, %v; lost %d", out, err, lost)
		}
		if got := w.dropped(); len(got) > 0 {
			t.Errorf("the ledger still has %v as dropped", got)
		}
		w.check() // each event once, the ledger as the bucket
		if v := w.verify(); len(v.Wrong) > 0 || v.Dropped != 0 {
			t.Errorf("verify: %+v", v)
		}
		again, err := w.recover(nil, nil)
		if err != nil || len(again.Written)+len(again.Found) != 0 || again.Drops != 0 {
			t.Errorf("a second time: %+v, %v", again, err)
		}
		// Files that were brought back are files like others.
		for _, f := range w.store.files[lane1] {
			w.buckets["b1"].Remove(f.Key)
		}
		back, err := delivery.Replay(t.Context(), delivery.ReplayInput{
			Archive:   delivery.Archive{Log: w.log, Ledger: w.store, Opener: w, Catalogue: w.catalogue},
			Connector: control.Connector{Config: w.config()},
		})
		if err != nil || len(back.Written) != len(w.store.files[lane1]) {
			t.Errorf("replay of all files: %+v, %v", back, err)
		}
		w.check()
	})
}

func TestAReplayOfDropsMayDieAnywhere(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		lossy(t, w)
		start, contents := w.store.copy(), w.buckets["b1"]
		for n := 1; ; n++ {
			w.store = start.copy()
			b := buckettest.NewMemory()
			for _, k := range contents.Keys() {
				data, info, _ := contents.Object(k)
				b.Set(k, data, info.Metadata)
			}
			w.buckets["b1"] = b
			_, err := w.recover(&dying{memStore: w.store, left: n, after: n%2 == 0}, nil)
			if err == nil {
				if n < 4 {
					t.Errorf("died at no write but %d", n)
				}
				break
			}
			if !errors.Is(err, errDied) {
				t.Fatal(err)
			}
			out, err := w.recover(nil, nil)
			if err != nil || len(out.Refused) > 0 || len(w.dropped()) > 0 {
				t.Fatalf("after a death at write %d: %+v, %v, left %v", n, out, err, w.dropped())
			}
			if n%2 == 1 && len(out.Found) != 1 {
				t.Errorf("after a death between file and row, %d files found", len(out.Found))
			}
			w.check()
			if v := w.verify(); len(v.Wrong) > 0 {
				t.Errorf("after a death at write %d verify finds %+v", n, v.Wrong)
			}
		}
	})
}

func TestWhatTheLogHasForgottenIsRefusedByName(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		lossy(t, w)
		before := w.dropped()[control.DropGrace]
		var first control.Drop
		for _, d := range w.store.drops {
			if d.Events > 0 && (first.Events == 0 || d.First < first.First) {
				first = d
			}
		}
		// A file of a replay that died stands already, and then the log forgets half of the drop.
		if _, err := w.recover(&dying{memStore: w.store, left: 1}, func(in *delivery.RecoverInput) { in.Until = first.Stream.Hour + 1 }); !errors.Is(err, errDied) {
			t.Fatal(err)
		}
		if err := w.log.Trim(t.Context(), first.Last+1, 0); err != nil {
			t.Fatal(err)
		}
		w.log.mu.Lock()
		start := w.log.start
		w.log.mu.Unlock()
		out, err := w.recover(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		left := w.dropped()[control.DropGrace]
		var refused int64
		for _, x := range out.Refused {
			refused += x.Events
			if x.First >= start || !strings.Contains(x.Why, fmt.Sprint(start)) {
				t.Errorf("refused %+v; the log begins at %d", x, start)
			}
		}
		if len(out.Found) != 1 || left != refused || left+out.Events != before {
			t.Errorf("%+v; %d were lost before and %d now", out, before, left)
		}
		w.check()
	})
}

func TestDropsThatCannotBeBroughtBackAreNamed(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		lossy(t, w)
		w.store.drops[100] = control.Drop{ID: 100, Lane: lane1, Log: w.log.id, First: 0, Last: 3, Events: -1, Reason: control.DropTrimmed, Settled: true, At: time.Now()}
		for id, d := range w.store.drops {
			if d.EventType == someTypes[1] {
				d.Settled = false
				w.store.drops[id] = d
			}
		}
		out, err := w.recover(nil, nil)
		if err != nil || len(out.Refused) < 2 || out.Events == 0 {
			t.Errorf("%+v, %v", out, err)
		}
		w.buckets["b1"].Deny(bucket.AccessDenied)
		if out, err := w.recover(nil, func(in *delivery.RecoverInput) { in.From = 1 }); err != nil && bucket.ProblemOf(err) != bucket.AccessDenied {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestAReplayLeavesAStrangersObjectAloneWhereCreateOnlyIsIgnored(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		lossy(t, w)
		dry, err := w.recover(nil, func(in *delivery.RecoverInput) { in.DryRun = true })
		if err != nil || len(dry.Written) == 0 {
			t.Fatal(dry, err)
		}
		w.store.ignores = true
		w.buckets["b1"].IgnoreCreateOnly(true)
		key := dry.Written[0]
		w.buckets["b1"].Set(key, []byte("not ours"), nil)
		out, err := w.recover(nil, nil)
		if err != nil || len(out.Refused) != 1 {
			t.Errorf("%+v, %v; want one refused", out, err)
		}
		if data, _, _ := w.buckets["b1"].Object(key); string(data) != "not ours" {
			t.Errorf("promise 3 (objects never change) is broken: %s was overwritten with %d bytes", key, len(data))
		}
	})
}

func TestAReplayWhoseFirstTryFailsDoesNotTakeAStrangersObjectForItsFile(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		lossy(t, w)
		dry, err := w.recover(nil, func(in *delivery.RecoverInput) { in.DryRun = true })
		if err != nil || len(dry.Written) == 0 {
			t.Fatal(dry, err)
		}
		key := dry.Written[0]
		w.buckets["b1"].Set(key, []byte("not ours"), nil)
		tried := map[string]bool{}
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpPut && !tried[c.Key] {
				tried[c.Key] = true
				return buckettest.Fault{Problem: bucket.ServerError}
			}
			return buckettest.Fault{}
		})
		out, err := w.recover(nil, nil)
		if err != nil || len(out.Refused) != 1 {
			t.Errorf("%+v, %v; want one refused", out, err)
		}
		w.buckets["b1"].Script(nil)
		w.check()
	})
}

func TestWhatACapDroppedStaysDroppedUntilTheUpgrade(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.TestCap = 100
		w.configure(nil)
		p := w.start()
		time.Sleep(time.Second)
		w.test(true)
		time.Sleep(3 * time.Second)
		w.append(someTypes[0], 1000)
		time.Sleep(time.Hour)
		p.stop()
		if got := w.dropped()[control.DropCap]; got != 900 {
			t.Fatalf("dropped %v, want 900 by the cap", w.dropped())
		}
		out, err := w.recover(nil, func(in *delivery.RecoverInput) { in.Connector.Test = true })
		if err != nil || out.Events != 0 || len(out.Refused) == 0 || !strings.Contains(out.Refused[0].Why, "cap") {
			t.Errorf("%+v, %v; want it refused for the cap", out, err)
		}
		if out, err = w.recover(nil, nil); err != nil || out.Events != 900 {
			t.Errorf("after the upgrade: %+v, %v", out, err)
		}
		w.check()
	})
}

func TestFilesThatAnInterruptedReplayLeftAreUnderNoCap(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		lossy(t, w)
		w.test(true)
		used := func() int64 {
			n, err := w.store.CapUsed(t.Context(), 1, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := used()
		if _, err := w.recover(&dying{memStore: w.store, left: 1}, nil); !errors.Is(err, errDied) {
			t.Fatal(err)
		}
		out, err := w.recover(nil, nil)
		if err != nil || len(out.Found) != 1 || len(out.Written) == 0 {
			t.Fatalf("%+v, %v; want one file found and others written", out, err)
		}
		if now := used(); now != before {
			t.Errorf("%d events brought back count against the cap of test connectors: those in files that a replay left when it was cut short", now-before)
		}
	})
}
