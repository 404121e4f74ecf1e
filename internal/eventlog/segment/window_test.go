package segment_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/eventlogtest"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

func keyOf(workspace uint32, n int) eventlog.KeyHash {
	return eventlog.KeyHash{Workspace: workspace, Hash: [16]byte{byte(n * 37), byte(n), byte(n >> 8), 8: byte(n), 15: 1}}
}

// remember appends an event under a key.
func remember(t *testing.T, l *segment.Log, key eventlog.KeyHash, accepted uint32) {
	t.Helper()
	claim, known, err := l.Claim(t.Context(), key)
	if err != nil || known != nil {
		t.Fatalf("claim %v: %v, %v", key, known, err)
	}
	defer claim.Release()
	b := eventlogtest.Events(key.Workspace, "some event of some length")
	b.Claim, b.Answer = claim, eventlog.Answer{Status: 200, Accepted: accepted}
	if _, err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// known is what was kept for a key; 0 for nothing.
func known(t *testing.T, l *segment.Log, key eventlog.KeyHash) uint32 {
	t.Helper()
	claim, a, err := l.Claim(t.Context(), key)
	if err != nil {
		t.Fatalf("claim %v: %v", key, err)
	}
	claim.Release()
	if a == nil {
		return 0
	}
	return a.Accepted
}

func TestKeysCountForTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfstest.New()
		cfg := segment.Config{FS: disk, SegmentBytes: 700}
		l := mustOpen(t, cfg)
		for n := range 24 { // one an hour, over several segments
			remember(t, l, keyOf(1, n), uint32(n+1))
			time.Sleep(time.Hour)
		}
		check := func(when string, oldest int) {
			t.Helper()
			for n := range 24 {
				want := uint32(n + 1)
				if n < oldest {
					want = 0
				}
				if got := known(t, l, keyOf(1, n)); got != want {
					t.Fatalf("%s: key %d gives %d, want %d", when, n, got, want)
				}
			}
		}
		check("after a day", 0)
		if w := l.Usage().Window; w != 24*time.Hour {
			t.Errorf("window %v, want 24h", w)
		}
		time.Sleep(10*time.Hour + time.Minute)
		check("ten hours later", 11)
		l.Close()
		l = mustOpen(t, cfg)
		check("after closing in order", 11)
		after := disk.Crash(vfstest.KeepNone)
		l.Close()
		cfg.FS = after
		l = mustOpen(t, cfg)
		check("after a crash", 11)

		// Everything may go but the young keys.
		if err := l.Trim(t.Context(), head(l), 0); err != nil {
			t.Fatal(err)
		}
		if start, h := l.Bounds(); start != h {
			t.Errorf("the log holds %d to %d, want nothing", start, h)
		}
		check("after a trim", 11)
		l.Close()
		l = mustOpen(t, cfg)
		check("after a trim and closing", 11)
		time.Sleep(24 * time.Hour)
		check("a day later", 24)
		remember(t, l, keyOf(1, 3), 100)
		if got := known(t, l, keyOf(1, 3)); got != 100 {
			t.Errorf("a key used again after the window gives %d, want the new answer 100", got)
		}
		l.Close()
	})
}

func TestKeysHaveABudgetForEachWorkspace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := segment.Config{FS: vfstest.New(), SegmentBytes: 2000, WindowBudget: 20}
		l := mustOpen(t, cfg)
		for n := range 100 {
			remember(t, l, keyOf(1, n), uint32(n+1))
			if n%10 == 0 {
				remember(t, l, keyOf(2, n), uint32(n+1))
			}
			time.Sleep(time.Minute)
		}
		check := func(when string) {
			t.Helper()
			held := 0
			for n := range 100 {
				switch got := known(t, l, keyOf(1, n)); {
				case got == uint32(n+1):
					held++
				case got != 0 || held > 0:
					t.Fatalf("%s: key %d gives %d although an older one is held", when, n, got)
				}
				if n%10 == 0 && known(t, l, keyOf(2, n)) == 0 {
					t.Fatalf("%s: key %d of the small workspace was given up", when, n)
				}
			}
			if held < 5 || held > 20 {
				t.Fatalf("%s: %d keys are held, the budget is 20", when, held)
			}
			w := l.Usage().Window
			if w < time.Duration(held-1)*time.Minute || w > time.Duration(held+2)*time.Minute {
				t.Errorf("%s: window %v with %d keys, one a minute", when, w, held)
			}
		}
		check("live")
		l.Close()
		l = mustOpen(t, cfg)
		check("after closing")
		l.Close()
	})
}

func TestAKeyInFlightIsNotFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfstest.New()
		l := mustOpen(t, segment.Config{FS: disk})
		defer l.Close()
		claim, _, err := l.Claim(t.Context(), keyOf(1, 1))
		if err != nil {
			t.Fatal(err)
		}
		b := eventlogtest.Events(1, "x")
		b.Claim, b.Answer = claim, eventlog.Answer{Status: 200, Accepted: 7}
		disk.FailAt(vfstest.Sync, 0, nil)
		if _, err := l.Append(t.Context(), b); err == nil {
			t.Fatal("appended although the sync failed")
		}
		if err := l.Health(); err == nil {
			t.Error("healthy after a failed sync")
		}
		claim.Release()
		if got := known(t, l, keyOf(1, 1)); got != 0 {
			t.Errorf("a request that failed left an answer: %d", got)
		}
		time.Sleep(time.Minute)
		remember(t, l, keyOf(1, 1), 8)
		if got := known(t, l, keyOf(1, 1)); got != 8 {
			t.Errorf("the key gives %d, want 8", got)
		}
	})
}
