package delivery_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/eventlog"
)

// told gives the notices so far: what, and how long after begin, rounded.
func (w *world) told(begin time.Time, round time.Duration) (out []string) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, n := range w.store.told {
		if n.Kind == control.NoticeHourComplete {
			continue
		}
		out = append(out, fmt.Sprintf("%s %v", n.Kind, n.At.Sub(begin).Round(round)))
	}
	return out
}

// lastTold is the newest notice of a kind.
func (w *world) lastTold(kind control.NoticeKind) (n control.Notice) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, t := range w.store.told {
		if t.Kind == kind {
			n = t
		}
	}
	return n
}

// dropped sums the ledger's drops by reason.
func (w *world) dropped() map[control.DropReason]int64 {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	sum := map[control.DropReason]int64{}
	for _, d := range w.store.drops {
		sum[d.Reason] += d.Events
	}
	return nonzero2(sum)
}

func nonzero2(m map[control.DropReason]int64) map[control.DropReason]int64 {
	for k, n := range m {
		if n == 0 {
			delete(m, k)
		}
	}
	return m
}

func (w *world) pause(on bool) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for l, r := range w.store.rows {
		r.Paused = on
		w.store.rows[l] = r
	}
}

func (w *world) done(l control.Lane) bool {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return w.store.done[l]
}

func (w *world) test(on bool) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for l, r := range w.store.rows {
		r.Test = on
		w.store.rows[l] = r
	}
}

func TestFortyEightHours(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		begin := time.Now()
		w.buckets["b1"].Deny(bucket.AccessDenied)
		// Fifty events an hour for sixty hours; the key is mended then.
		for range 60 {
			w.append(someTypes[0], 30)
			w.append(someTypes[1], 20)
			time.Sleep(time.Hour)
		}
		if got := w.lastTold(control.NoticeFailing).Params; got["bucket"] != "b1" || got["problem"] != string(bucket.AccessDenied) || got["connector"] != "warehouse" {
			t.Errorf("the notice names %v", got)
		}
		if h := w.store.health[lane1]; h.Said != "Access Denied" {
			t.Errorf("while it fails the store is quoted with %q", h.Said)
		}
		lost := w.dropped()[control.DropGrace]
		if lost < 11*50 || lost > 13*50 {
			t.Errorf("%d events dropped after 60 hours of 50 an hour, want those of the first 12 or so", lost)
		}
		w.buckets["b1"].Deny("") // a pass is due now, and finds out before it drops
		mended := time.Now()
		for w.store.health[lane1].State != control.LaneActive {
			time.Sleep(time.Second)
			if time.Since(mended) > time.Hour {
				t.Fatal("it did not resume")
			}
		}
		if h := w.store.health[lane1]; h.Said != "" || h.Message != "" {
			t.Errorf("after it was mended the store is still quoted: %q, %q", h.Said, h.Message)
		}
		resumed := time.Since(mended)
		if resumed > 12*time.Minute {
			t.Errorf("resumed %v after it was mended", resumed)
		}
		must(t, w, time.Hour)
		p.stop()
		w.check()
		got := w.told(begin, time.Hour)
		want := []string{"failing 0s", "half_time 24h0m0s", "last_call 44h0m0s", "dropped 48h0m0s"}
		if len(got) < 5 || !slices.Equal(got[:4], want) {
			t.Errorf("told %q, want it to begin %q", got, want)
		}
		if n := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "resumed") }); n < 0 {
			t.Errorf("told %q, but not that it resumed", got)
		}
		sum := int64(0)
		for _, n := range w.store.told {
			if n.Kind == control.NoticeDropped {
				var k int64
				fmt.Sscan(n.Params["events"], &k)
				sum += k
				if n.Params["reason"] != "grace" || !strings.Contains(n.Params["types"], someTypes[0]+": ") {
					t.Errorf("a loss is told as %v", n.Params)
				}
			}
		}
		if now := w.dropped()[control.DropGrace]; now != lost {
			t.Errorf("%d events were lost after the key was mended", now-lost)
		}
		if sum != lost {
			t.Errorf("notices tell of %d lost events, the ledger of %d", sum, lost)
		}
		// What was held comes in big files, one for each hour and type.
		if n := len(w.objects()); n > 100 {
			t.Errorf("%d files for 48 hours of two types", n)
		}
	})
}

func TestTheGracePeriodCountsOnlyWhatTheCustomerIsAskedToMend(t *testing.T) {
	for name, trouble := range map[string]bucket.Problem{"network errors": bucket.Network, "our own credentials": bucket.OwnCredentials} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(t *testing.T, w *world) {
				w.cfg.GracePeriod = 8 * time.Hour
				w.configure(nil)
				p := w.start()
				w.append(someTypes[0], 50)
				w.buckets["b1"].Deny(trouble)
				time.Sleep(10 * time.Hour)
				w.buckets["b1"].Deny(bucket.AccessDenied)
				time.Sleep(time.Hour)
				// And back: what was counted stays, nothing is added.
				w.buckets["b1"].Deny(trouble)
				time.Sleep(10 * time.Hour)
				if got := w.dropped(); len(got) > 0 {
					t.Errorf("10 hours of %s, one of refusals, 10 more, a grace period of 8: dropped %v", name, got)
				}
				slow := w.lastTold(control.NoticeSlow)
				if told := slow.Kind != ""; told != (trouble == bucket.Network) {
					t.Errorf("told that it is slow: %v", told)
				}
				if h := w.store.health[lane1]; trouble == bucket.OwnCredentials && (h.State != control.LaneFailing || h.Problem != string(trouble)) {
					t.Errorf("it says %s, %q, while the installation's own credentials are in the way", h.State, h.Problem)
				}
				if f := w.store.health[lane1].Failing; f > 2*time.Hour {
					t.Errorf("%v counted", f)
				}
				// Only another refusal shows whether the time between was counted: nothing drops without one.
				w.buckets["b1"].Deny(bucket.AccessDenied)
				time.Sleep(time.Hour)
				if got := w.dropped(); len(got) > 0 {
					t.Errorf("two hours of refusals with %s before and between, a grace period of 8: dropped %v", name, got)
				}
				w.buckets["b1"].Deny("")
				must(t, w, 2*time.Hour)
				p.stop()
				w.check()
			})
		})
	}
}

func TestACustomersOwnEndpointThatIsAwayForDaysFails(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.store.access = bucket.Access{Bucket: "b1", Endpoint: "https://s3.example"}
		w.cfg.GracePeriod = 8 * time.Hour
		w.configure(nil)
		p := w.start()
		begin := time.Now()
		w.append(someTypes[0], 50)
		w.buckets["b1"].Deny(bucket.Network)
		time.Sleep(31 * time.Hour)
		if len(w.dropped()) > 0 {
			t.Error("dropped before a day and the grace period were over")
		}
		time.Sleep(3 * time.Hour)
		if w.dropped()[control.DropGrace] != 50 {
			t.Errorf("dropped %v, want 50 by grace", w.dropped())
		}
		if got := w.told(begin, time.Hour); !slices.Equal(got, []string{"slow 0s", "failing 24h0m0s", "half_time 28h0m0s", "last_call 30h0m0s", "dropped 32h0m0s"}) {
			t.Errorf("told %q", got)
		}
		p.stop()
	})
}

func TestNothingIsDroppedBeforeTheNoticesHaveGoneOut(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.store.mute = true
		w.cfg.GracePeriod = 8 * time.Hour
		w.configure(nil)
		p := w.start()
		w.append(someTypes[0], 50)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		time.Sleep(20 * time.Hour)
		if got := w.dropped(); len(got) > 0 {
			t.Errorf("dropped %v, and nobody has been told", got)
		}
		w.store.mute, w.store.slow = false, 0
		time.Sleep(2 * time.Hour)
		if w.dropped()[control.DropGrace] != 50 {
			t.Errorf("dropped %v once they were told, want 50", w.dropped())
		}
		p.stop()
	})
}

func TestAMailThatDoesNotGoOutHoldsADropBackForAQuarterOfThePeriod(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.store.slow = 1000 * time.Hour
		w.configure(nil)
		p := w.start()
		w.append(someTypes[0], 50)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		time.Sleep(55 * time.Hour)
		if got := w.dropped(); len(got) > 0 {
			t.Errorf("dropped %v eleven hours after the last call", got)
		}
		time.Sleep(3 * time.Hour)
		if w.dropped()[control.DropGrace] != 50 {
			t.Errorf("dropped %v fourteen hours after it, want 50", w.dropped())
		}
		p.stop()
	})
}

func TestWhatIsOldInAFreshEpisodeIsKept(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		// As after a jump of the clock: by their time the events are older than the period, and nothing was counted.
		w.configure(nil)
		w.append(someTypes[0], 50)
		time.Sleep(100 * time.Hour)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		p := w.start()
		time.Sleep(47 * time.Hour)
		if got := w.dropped(); len(got) > 0 {
			t.Errorf("dropped %v before the period was counted", got)
		}
		p.stop()
	})
}

func TestAProcessThatIsAwayCountsNothing(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 50)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		for range 6 {
			p := w.start()
			time.Sleep(6 * time.Hour)
			p.kill()
			time.Sleep(100 * time.Hour)
		}
		p := w.start()
		time.Sleep(11 * time.Hour)
		if got := w.dropped(); len(got) > 0 {
			t.Errorf("dropped %v after 47 hours", got)
		}
		time.Sleep(4 * time.Hour)
		if w.dropped()[control.DropGrace] != 50 {
			t.Errorf("dropped %v after 51 hours, want 50; counted %v", w.dropped(), w.store.health[lane1].Failing)
		}
		if n := len(w.store.told); n != 4 {
			t.Errorf("told %d times over seven starts, want 4: %v", n, w.store.told)
		}
		p.stop()
	})
}

func TestABucketThatTakesOneTypeOnlyMakesNoStorm(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.buckets["b1"].Script(func(c buckettest.Call) buckettest.Fault {
			if strings.Contains(c.Key, someTypes[1]) {
				return buckettest.Fault{Problem: bucket.AccessDenied}
			}
			return buckettest.Fault{}
		})
		p := w.start()
		for range 24 * 12 {
			w.append(someTypes[0], 5)
			w.append(someTypes[1], 5)
			time.Sleep(5 * time.Minute)
		}
		if n := len(w.store.told); n > 50 {
			t.Errorf("%d notices in a day", n)
		}
		w.buckets["b1"].Script(nil)
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

func TestAPauseHoldsForItsLimitAndThenLosesTheOldest(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.PauseLimit = 16 * time.Hour
		w.configure(nil)
		p := w.start()
		time.Sleep(10 * time.Second)
		w.append(someTypes[0], 50)
		time.Sleep(time.Second)
		w.pause(true)
		time.Sleep(3 * time.Second)
		begin := time.Now()
		for range 9 {
			time.Sleep(2 * time.Hour)
			w.append(someTypes[0], 50)
		}
		if got := w.dropped(); got[control.DropPause] != 50 {
			t.Errorf("dropped %v after 18 hours of pause, want what is older than 16", got)
		}
		if got, want := w.told(begin, time.Hour), []string{"pause_half 8h0m0s", "pause_last 12h0m0s", "dropped 16h0m0s"}; len(got) < 3 || !slices.Equal(got[:3], want) {
			t.Errorf("told %q, want %q", got, want)
		}
		w.pause(false)
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

func TestAPauseThatEndedWhileNobodyRanLosesNothingMore(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.PauseLimit = 16 * time.Hour
		w.configure(nil)
		p := w.start()
		time.Sleep(10 * time.Second)
		w.pause(true)
		time.Sleep(3 * time.Second)
		for range 9 {
			w.append(someTypes[0], 50)
			time.Sleep(2 * time.Hour)
		}
		p.stop()
		before := w.dropped()[control.DropPause]
		w.pause(false)
		time.Sleep(10 * time.Hour)
		p = w.start()
		must(t, w, time.Hour)
		p.stop()
		if got := w.dropped()[control.DropPause]; got != before {
			t.Errorf("%d events dropped by the pause before it ended, %d after the next start", before, got)
		}
		w.check()
	})
}

func TestADeletedConnectorHasItsMinuteAfterAStandstill(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		time.Sleep(10 * time.Second)
		w.append(someTypes[0], 50)
		time.Sleep(time.Minute)
		w.configure(func(c *control.Config) { c.Deleted = true })
		p.kill()
		time.Sleep(2 * time.Minute)
		p = w.start()
		time.Sleep(10 * time.Minute)
		p.stop()
		if got := w.dropped(); len(got) > 0 || !w.done(lane1) {
			t.Errorf("the bucket is well: dropped %v, done %v", got, w.done(lane1))
		}
		w.check()
	})
}

// slowSaves is a store that takes its time to save positions.
type slowSaves struct{ delivery.Store }

func (s slowSaves) Save(ctx context.Context, v control.Save) (int64, error) {
	time.Sleep(5 * time.Second)
	return s.Store.Save(ctx, v)
}

func TestAPauseDuringASaveForgetsNoRule(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.PauseLimit = time.Hour
		w.configure(nil)
		m := delivery.New(w.cfg, delivery.Deps{Log: w.log, Store: slowSaves{w.store}, Opener: w, Catalogue: w.catalogue, Logger: slog.New(said())})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); m.Run(ctx) }()
		time.Sleep(10 * time.Second)
		w.configure(func(c *control.Config) { c.Events = []string{someTypes[0]} })
		time.Sleep(52 * time.Second) // the cursor moved, and is being saved
		w.pause(true)
		time.Sleep(time.Minute)
		w.append(someTypes[1], 50) // not selected any more
		time.Sleep(3 * time.Hour)
		if got := w.dropped(); len(got) > 0 {
			t.Errorf("dropped %v, and none of it was selected", got)
		}
		cancel()
		<-done
	})
}

func TestADeletedConnectorDeliversForAMinute(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 50)
		p := w.start()
		time.Sleep(10 * time.Second)
		w.configure(func(c *control.Config) { c.Deleted = true })
		w.append(someTypes[0], 50) // nobody's
		time.Sleep(2 * time.Minute)
		if !w.done(lane1) || len(w.dropped()) > 0 {
			t.Errorf("done %v, dropped %v; want everything delivered", w.done(lane1), w.dropped())
		}
		p.stop()
		w.check()
	})
}

func TestADeletedConnectorWhoseBucketRefusesGivesUpTheRest(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"failing": func(w *world) { w.buckets["b1"].Deny(bucket.AccessDenied) },
		"away":    func(w *world) { w.buckets["b1"].Deny(bucket.Network) },
		"paused":  func(w *world) { w.pause(true) },
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(t *testing.T, w *world) {
				w.configure(nil)
				p := w.start()
				time.Sleep(time.Second)
				prepare(w)
				time.Sleep(5 * time.Second)
				w.append(someTypes[0], 50)
				time.Sleep(time.Hour)
				w.configure(func(c *control.Config) { c.Deleted = true })
				time.Sleep(50 * time.Second)
				if len(w.dropped()) > 0 {
					t.Errorf("dropped %v before the minute was over", w.dropped())
				}
				time.Sleep(4 * time.Minute)
				if w.dropped()[control.DropDeleted] != 50 || !w.done(lane1) {
					t.Errorf("done %v, dropped %v; want 50 given up", w.done(lane1), w.dropped())
				}
				settled := name == "paused"
				for _, d := range w.store.drops {
					if d.Settled != settled {
						t.Errorf("settled %v, want %v", d.Settled, settled)
					}
				}
				p.stop()
			})
		})
	}
}

// lines counts what is logged at a level.
type lines struct {
	slog.Handler
	level slog.Level
	n     *atomic.Int64
}

func (h lines) Enabled(context.Context, slog.Level) bool { return true }
func (h lines) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h lines) Handle(_ context.Context, r slog.Record) error {
	if r.Level == h.level {
		h.n.Add(1)
	}
	return nil
}

// The installation's own trouble is everybody's: it is shown at once, and logged once for all.
func TestTheInstallationsOwnTroubleIsSaidOnceAndShownAtOnce(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		var errors atomic.Int64
		w.logger = slog.New(lines{slog.DiscardHandler, slog.LevelError, &errors})
		w.configure(nil)
		p := w.start()
		for episode := range int64(2) {
			w.buckets["b1"].Deny(bucket.OwnCredentials)
			w.append(someTypes[0], 50)
			w.append(someTypes[1], 50)
			time.Sleep(10 * time.Minute)
			if h := w.store.health[lane1]; h.State != control.LaneRetrying || h.Problem != string(bucket.OwnCredentials) || h.Message == "" {
				t.Errorf("it says %s, %q %q", h.State, h.Problem, h.Message)
			}
			if n := errors.Load(); n != episode+1 {
				t.Errorf("%d lines in episode %d", n, episode)
			}
			w.buckets["b1"].Deny("")
			must(t, w, 2*time.Hour)
			if h := w.store.health[lane1]; h.State != control.LaneActive || h.Problem != "" {
				t.Errorf("after it: %s, %q", h.State, h.Problem)
			}
		}
		p.stop()
		w.check()
	})
}

// Nobody can mend a deleted connector: the stages of its last minute are not told, and its losses as what they are.
func TestADeletedConnectorAsksNobodyToMendIt(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.GracePeriod = time.Minute
		w.configure(nil)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		w.append(someTypes[0], 50)
		p := w.start()
		time.Sleep(10 * time.Second)
		w.configure(func(c *control.Config) { c.Deleted = true })
		time.Sleep(10 * time.Minute)
		p.stop()
		var dropped int
		for k, n := range w.store.notices {
			switch k.kind {
			case control.NoticeFailing: // from before
			case control.NoticeDropped:
				dropped++
				if n.Params[control.ParamDeleted] != "true" {
					t.Errorf("the loss does not say that the connector is deleted: %v", n.Params)
				}
			default:
				t.Errorf("told of %s", k.kind)
			}
		}
		if dropped == 0 || !w.done(lane1) {
			t.Errorf("told of %d losses, done %t", dropped, w.done(lane1))
		}
	})
}

func TestTheOldDestinationOfADeletedConnectorIsGivenUpToo(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 50)
		w.configure(func(c *control.Config) { c.Destination.Number, c.Destination.Bucket = 2, "b2" })
		w.append(someTypes[0], 20)
		w.buckets["b1"].Deny(bucket.NoSuchBucket)
		p := w.start()
		time.Sleep(time.Hour)
		w.configure(func(c *control.Config) { c.Deleted = true })
		time.Sleep(5 * time.Minute)
		lane2 := control.Lane{Connector: connectorID, Destination: 2}
		if !w.done(lane1) || !w.done(lane2) || w.dropped()[control.DropDeleted] != 50 {
			t.Errorf("done %v and %v, dropped %v", w.done(lane1), w.done(lane2), w.dropped())
		}
		p.stop()
	})
}

func TestADropThatNobodyCanSettleIsFinalAfterThirtyDays(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 50)
		w.configure(func(c *control.Config) { c.Destination.Number, c.Destination.Bucket = 2, "b2" })
		w.buckets["b1"].Deny(bucket.NoSuchBucket)
		w.cfg.GracePeriod = time.Hour
		p := w.start()
		time.Sleep(3 * time.Hour)
		p.kill()
		for id, d := range w.store.drops {
			d.At = time.Now().Add(time.Hour - 30*24*time.Hour)
			w.store.drops[id] = d
		}
		p = w.start()
		time.Sleep(50 * time.Minute)
		if w.done(lane1) || len(w.store.drops) != 1 {
			t.Errorf("done %v with %d drops while it could still be settled", w.done(lane1), len(w.store.drops))
		}
		time.Sleep(20 * time.Minute)
		if !w.done(lane1) || w.dropped()[control.DropGrace] != 50 {
			t.Errorf("done %v, dropped %v", w.done(lane1), w.dropped())
		}
		p.stop()
	})
}

func TestTheCapOfTestConnectorsIsNotPassed(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.TestCap = 250
		w.configure(nil)
		p := w.start()
		time.Sleep(time.Second)
		w.test(true)
		time.Sleep(3 * time.Second)
		w.append(someTypes[0], 90)
		w.appendTo(someTypes[2], 40, 7) // under no cap
		time.Sleep(10 * time.Minute)
		w.append(someTypes[0], 500)
		w.append(someTypes[1], 500)
		time.Sleep(time.Hour)
		files := func() (n int) {
			for _, f := range w.store.files[lane1] {
				if f.Stream.Target == 0 {
					n += f.Events
				}
			}
			return n
		}
		if n := files(); n != 250 {
			t.Errorf("%d events delivered under a cap of 250", n)
		}
		if got := w.dropped()[control.DropCap]; got != 840 {
			t.Errorf("dropped %v, want 840 by the cap", w.dropped())
		}
		// The window rolls on.
		time.Sleep(8 * 24 * time.Hour)
		w.append(someTypes[0], 100)
		time.Sleep(time.Hour)
		if n := files(); n != 350 {
			t.Errorf("%d events delivered a week later, want 350", n)
		}
		// An upgrade lets later events through.
		w.append(someTypes[0], 200)
		time.Sleep(time.Hour)
		w.test(false)
		time.Sleep(3 * time.Second)
		w.append(someTypes[1], 700)
		must(t, w, time.Hour)
		p.stop()
		w.check()
		if n := files(); n != 500+700 {
			t.Errorf("%d events delivered after the upgrade, want 1200", n)
		}
	})
}

// mark logs that an hour is over.
func (w *world) mark(h eventlog.Hour) {
	w.t.Helper()
	w.log.control(w.t, control.Record{Kind: control.RecordHour, Hour: h})
}

func TestACompleteHourIsToldWithinSeconds(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		time.Sleep(time.Until(eventlog.HourOf(time.Now().Add(time.Hour)).Start().Add(-10 * time.Second)))
		for _, busy := range []bool{true, false} {
			h := eventlog.HourOf(time.Now())
			if busy {
				w.append(someTypes[0], 50)
			}
			time.Sleep(time.Until((h + 1).Start().Add(time.Millisecond)))
			w.mark(h)
			time.Sleep(6 * time.Second)
			if n := w.lastTold(control.NoticeHourComplete); n.Episode != h.String() || n.Params["connector"] != "warehouse" {
				t.Errorf("busy %v: six seconds after hour %v the last that was told of is %q", busy, h, n.Episode)
			}
			time.Sleep(time.Until((h + 2).Start().Add(-10 * time.Second)))
		}
		// While the bucket refuses, the hour is not complete.
		h := eventlog.HourOf(time.Now())
		w.buckets["b1"].Deny(bucket.AccessDenied)
		w.append(someTypes[0], 50)
		time.Sleep(time.Until((h + 1).Start().Add(time.Millisecond)))
		w.mark(h)
		time.Sleep(time.Minute)
		if n := w.lastTold(control.NoticeHourComplete); n.Episode == h.String() {
			t.Error("an hour is told as complete that is not in the bucket")
		}
		w.buckets["b1"].Deny("")
		must(t, w, time.Hour+10*time.Minute)
		time.Sleep(5 * time.Second)
		if n := w.lastTold(control.NoticeHourComplete); n.Episode != h.String() {
			t.Errorf("last told of %q, want %v", n.Episode, h)
		}
		p.stop()
	})
}

func TestABucketThatIsSlowNowAndThenMakesNoStorm(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(func(c *control.Config) { c.FlushInterval = time.Minute })
		p := w.start()
		begin := time.Now()
		for range 48 {
			w.buckets["b1"].Deny(bucket.Network)
			for range 18 {
				w.append(someTypes[0], 5)
				time.Sleep(time.Minute)
			}
			w.buckets["b1"].Deny("")
			time.Sleep(2 * time.Minute)
		}
		n := 0
		for _, s := range w.told(begin, time.Minute) {
			if strings.HasPrefix(s, "slow") {
				n++
			}
		}
		if n < 5 || n > 17 {
			t.Errorf("%d notices of slow in %v; promised: an hour between two of a kind", n, time.Since(begin))
		}
		p.stop()
	})
}

func TestAPositionThatCannotBeRebuiltIsTold(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 50)
		p := w.start()
		time.Sleep(10 * time.Second)
		backup := w.store.copy()
		must(t, w, time.Hour)
		p.stop()
		_, head := w.log.Bounds()
		if err := w.log.Trim(t.Context(), head, 0); err != nil {
			t.Fatal(err)
		}
		w.store = backup
		w.buckets["b1"].Deny(bucket.AccessDenied)
		begin := time.Now()
		p = w.start()
		time.Sleep(10 * time.Minute)
		if got := w.told(begin, time.Hour); len(got) != 1 || got[0] != "failing 0s" || w.lastTold(control.NoticeFailing).Params["bucket"] != "b1" {
			t.Errorf("told %q, want that it fails", got)
		}
		time.Sleep(50 * time.Hour)
		if got, want := w.told(begin, time.Hour), []string{"failing 0s", "half_time 24h0m0s", "last_call 44h0m0s"}; !slices.Equal(got, want) {
			t.Errorf("after fifty hours of refusals told %q, want %q", got, want)
		}
		w.buckets["b1"].Deny("")
		must(t, w, time.Hour)
		p.stop()
		w.check()
	})
}

func TestADeletedConnectorWhosePositionCannotBeRebuiltEnds(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		w.append(someTypes[0], 50)
		p := w.start()
		time.Sleep(10 * time.Second)
		backup := w.store.copy()
		must(t, w, time.Hour)
		p.stop()
		_, head := w.log.Bounds()
		if err := w.log.Trim(t.Context(), head, 0); err != nil {
			t.Fatal(err)
		}
		w.store = backup
		w.append(someTypes[0], 50)
		w.buckets["b1"].Deny(bucket.NoSuchBucket)
		p = w.start()
		time.Sleep(time.Hour)
		w.configure(func(c *control.Config) { c.Deleted = true })
		time.Sleep(10 * time.Minute)
		if floor, _ := w.store.RetentionFloor(t.Context(), w.log.id); !w.done(lane1) || floor < head {
			t.Errorf("done %v, and the log is kept from %d on: a deleted connector whose bucket is gone keeps it for ever", w.done(lane1), floor)
		}
		if len(w.store.drops) != 1 || w.store.drops[1].Reason != control.DropDeleted || w.store.drops[1].Events != -1 {
			t.Errorf("drops %+v, want the range once, uncounted, by deletion", w.store.drops)
		}
		p.stop()
	})
}

func TestAPassedCheckIsFollowedByAProbe(t *testing.T) {
	for name, c := range map[string]struct {
		slow  time.Duration // an answer of the bucket
		after time.Duration // a refused attempt has begun
	}{
		"between two probes":                 {0, 30 * time.Second},
		"right after a probe was refused":    {0, time.Second},
		"while a probe is yet to be refused": {4 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(t *testing.T, w *world) {
				w.configure(nil)
				p := w.start()
				w.append(someTypes[0], 50)
				b := w.buckets["b1"]
				b.Script(func(buckettest.Call) buckettest.Fault {
					return buckettest.Fault{Delay: c.slow, Problem: bucket.AccessDenied}
				})
				time.Sleep(10 * time.Hour) // until probes are far apart
				for n := len(b.Calls()); len(b.Calls()) == n; {
					time.Sleep(time.Second)
				}
				b.Script(nil)
				time.Sleep(c.after)
				if s := w.store.health[lane1].State; s != control.LaneFailing {
					t.Fatalf("the lane is %s before the check, want failing", s)
				}
				p.m.Try(lane1.Connector)
				must(t, w, c.slow+5*time.Second)
				if s := w.store.health[lane1].State; s != control.LaneActive {
					t.Errorf("the lane is %s after the check, want active", s)
				}
				p.stop()
			})
		})
	}
}

func TestAPauseKeepsTheEpisodeOfFailing(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.configure(nil)
		p := w.start()
		begin := time.Now()
		w.append(someTypes[0], 50)
		w.buckets["b1"].Deny(bucket.AccessDenied)
		for i := range 6 {
			time.Sleep(10 * time.Hour)
			w.pause(true)
			time.Sleep(time.Minute)
			if i%2 == 0 { // also over a restart
				p.kill()
				p = w.start()
			}
			time.Sleep(10 * time.Hour)
			w.pause(false)
			if i == 3 && len(w.dropped()) > 0 {
				t.Errorf("dropped %v after forty hours of refusals", w.dropped())
			}
		}
		if got := w.dropped()[control.DropGrace]; got != 50 {
			t.Errorf("dropped %v after sixty hours of refusals; counted %v", w.dropped(), w.store.health[lane1].Failing)
		}
		if got := w.told(begin, 100*time.Hour); len(got) != 4 {
			t.Errorf("told %q, want each once", got)
		}
		w.buckets["b1"].Deny("")
		w.append(someTypes[0], 50)
		must(t, w, 3*time.Hour)
		if h := w.store.health[lane1]; h.State != control.LaneActive || h.Failing != 0 || h.Kept != 0 || !h.KeptEpisode.IsZero() {
			t.Errorf("after a file: %+v", h)
		}
		if n := w.lastTold(control.NoticeResumed); n.Kind == "" {
			t.Error("not told that it resumed")
		}
		p.stop()
	})
}

func TestLossesAreToldExactlyOverCrashes(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.cfg.TestCap = 10
		w.configure(nil)
		p := w.start()
		time.Sleep(time.Second)
		w.test(true)
		time.Sleep(3 * time.Second)
		for range 3 {
			for range 4 {
				w.append(someTypes[0], 100)
				time.Sleep(10 * time.Minute)
			}
			p.kill()
			p = w.start()
		}
		time.Sleep(5 * time.Hour)
		p.stop()
		sum := int64(0)
		for _, n := range w.store.told {
			if n.Kind == control.NoticeDropped {
				var k int64
				fmt.Sscan(n.Params["events"], &k)
				sum += k
			}
		}
		if lost := w.dropped()[control.DropCap]; sum != lost || lost != 1190 {
			t.Errorf("notices tell of %d lost events, the ledger of %d, want 1190", sum, lost)
		}
	})
}
