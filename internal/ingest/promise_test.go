package ingest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

func openSegments(t *testing.T, fs vfs.FS) *segment.Log {
	t.Helper()
	l, err := segment.Open(t.Context(), segment.Config{FS: fs, SegmentBytes: 32 << 10, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func idsOf(t *testing.T, l eventlog.Log) []string {
	t.Helper()
	r, err := l.Reader(0, eventlog.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var ids []string
	for {
		c, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if c == nil {
			slices.Sort(ids)
			return ids
		}
		for rec := range c.Records() {
			ids = append(ids, string(rec.Value[1:1+rec.Value[0]>>1]))
		}
	}
}

// Producers repeat what was not answered, under its key; answers get lost, syncs fail, clients hang up, the power
// goes. In the end each event is in the log once.
func TestEachEventIsInTheLogOnceWhateverFails(t *testing.T) {
	seeds := 12
	if os.Getenv("MILLRACE_SOAK") != "" {
		seeds = 400
	}
	first := rand.Uint64() >> 1
	t.Logf("seeds from %d", first)
	var replays, cuts atomic.Int64
	for i := range seeds {
		seed := first + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { promise(t, seed, &replays, &cuts) })
		})
	}
	if replays.Load() == 0 || cuts.Load() == 0 {
		t.Errorf("%d repetitions were recognised and %d requests cut off: nothing was proven", replays.Load(), cuts.Load())
	}
}

func promise(t *testing.T, seed uint64, replays, cuts *atomic.Int64) {
	const producers, requests, events = 6, 12, 3
	var current atomic.Pointer[Ingest]
	h := open(t, Config{AnswerLimit: 5 * time.Second})
	rng := rand.New(rand.NewPCG(seed, 1))

	var want []string
	var wg sync.WaitGroup
	for p := range producers {
		rng := rand.New(rand.NewPCG(seed, uint64(100+p)))
		var bodies []string
		for q := range requests {
			var b strings.Builder
			for e := range events {
				id := fmt.Sprintf("%d-%02d-%d", p, q, e)
				want = append(want, id)
				b.WriteString(custom(id) + "\n")
			}
			bodies = append(bodies, b.String())
		}
		wg.Go(func() {
			for q, body := range bodies {
				for {
					in := current.Load()
					if in == nil { // the process is down
						time.Sleep(50 * time.Millisecond)
						continue
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(3000))*time.Millisecond)
					r := newRequest(strings.NewReader(body), IdempotencyHeader, fmt.Sprintf("%d-%d", p, q)).WithContext(ctx)
					w := httptest.NewRecorder()
					in.Events().ServeHTTP(w, r)
					cancel()
					if w.Header().Get(ReplayedHeader) != "" {
						replays.Add(1)
					}
					if w.Code == 200 && rng.IntN(3) > 0 { // else the answer is lost on its way
						break
					}
					if w.Code != 200 {
						if w.Code != 503 {
							t.Errorf("%d %s", w.Code, w.Body)
							return
						}
						cuts.Add(1)
					}
					time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
				}
				time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
			}
		})
	}
	slices.Sort(want)
	over := make(chan struct{})
	go func() { wg.Wait(); close(over) }()

	disk := vfstest.New()
	log := openSegments(t, disk)
	current.Store(New(h.in.cfg, h.deps(log)))
	for round := 0; round < 4; round++ {
		time.Sleep(time.Duration(rng.IntN(800)) * time.Millisecond)
		disk.FailAt(vfstest.Sync, rng.IntN(6), nil)
		disk.FailAt(vfstest.Write, rng.IntN(12), nil)
		time.Sleep(time.Duration(rng.IntN(800)) * time.Millisecond)
		disk.StopAfter(rng.IntN(8))
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)

		in := current.Swap(nil)
		closing, cancel := context.WithTimeout(t.Context(), time.Second)
		_ = in.Close(closing) // what hangs on the dead disk ends with the log
		cancel()
		_ = log.Close() // as above: the power is gone
		disk = disk.Crash([]vfstest.Keep{vfstest.KeepNone, vfstest.KeepAll, vfstest.KeepRandom(seed)}[rng.IntN(3)])
		log = openSegments(t, disk)
		current.Store(New(h.in.cfg, h.deps(log)))
	}
	<-over
	if err := current.Load().Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := idsOf(t, log); !slices.Equal(got, want) {
		missing, doubled := difference(want, got)
		t.Errorf("seed %d: %d events, want %d; missing %v, doubled %v", seed, len(got), len(want), missing, doubled)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

func difference(want, got []string) (missing, doubled []string) {
	n := map[string]int{}
	for _, id := range got {
		n[id]++
	}
	for _, id := range want {
		if n[id] == 0 {
			missing = append(missing, id)
		} else if n[id] > 1 {
			doubled = append(doubled, id)
		}
	}
	return missing, doubled
}

func TestOverTheRealLog(t *testing.T) {
	h := open(t, Config{})
	dir := t.TempDir()
	l, err := segment.Open(t.Context(), segment.Config{FS: vfs.OS(dir), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	h.in = New(Config{}, h.deps(l))
	body := string(realistic(500))
	if got := h.post(body, "Idempotency-Key", "k"); got.status != 200 || got.Accepted != 500 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if _, err := h.in.AppendControl(t.Context(), 7, []byte("c")); err != nil {
		t.Fatal(err)
	}
	if err := h.in.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = segment.Open(t.Context(), segment.Config{FS: vfs.OS(dir), MinFree: -1}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h.in = New(Config{}, h.deps(l))
	if got := h.post(body, "Idempotency-Key", "k"); got.Accepted != 500 || got.header.Get(ReplayedHeader) != "true" {
		t.Errorf("after a restart: %d %s", got.status, got.body)
	}
	if got := h.post(body+"\n", "Idempotency-Key", "k"); got.status != 422 {
		t.Errorf("another body after a restart: %d %s", got.status, got.body)
	}
	if _, head := l.Bounds(); head != 501 {
		t.Errorf("%d records", head)
	}
}

func TestAFullDiskIs503AndTheRepetitionCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfstest.New()
		l, err := segment.Open(t.Context(), segment.Config{FS: disk, MinFree: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		h := open(t, Config{})
		h.in = New(Config{}, h.deps(l))
		h.log.before = func() error { return nil } // the budget is looked at below, while nothing runs
		body := custom("a") + "\n" + custom("b")
		disk.SetFree(1 << 19)
		time.Sleep(time.Minute) // for whoever looks at the disk now and then
		got := h.post(body, "Idempotency-Key", "k")
		if got.status != 503 || got.header.Get("Retry-After") == "" || got.Error.Code != "unavailable" {
			t.Errorf("full: %d %s", got.status, got.body)
		}
		disk.SetFree(-1)
		time.Sleep(time.Minute)
		if got := h.post(body, "Idempotency-Key", "k"); got.status != 200 || got.Accepted != 2 || got.header.Get(ReplayedHeader) != "" {
			t.Errorf("space again: %d %s", got.status, got.body)
		}
		if got := idsOf(t, l); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("%v", got)
		}
		if free := h.in.budget.free.Load(); free != h.in.cfg.MemoryBudget {
			t.Errorf("%d bytes of the budget are lost", h.in.cfg.MemoryBudget-free)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
