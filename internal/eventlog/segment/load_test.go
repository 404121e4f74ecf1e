package segment_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/eventlogtest"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// More may not wait in memory than its limit; what is over it waits outside, and all of it is appended.
func TestManyLargeAppendsAtOnce(t *testing.T) {
	l := mustOpen(t, segment.Config{FS: vfs.OS(t.TempDir()), SegmentBytes: 8 << 20})
	defer l.Close()
	var wg sync.WaitGroup
	for g := range 12 {
		wg.Go(func() {
			b := &eventlog.Batch{}
			for range 2 {
				b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
				b.Add(uint32(g), make([]byte, 3<<20))
				if _, err := l.Append(t.Context(), b); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if all, err := readAll(l); len(all) != 24 || err != nil {
		t.Errorf("%d of 24 came back, %v", len(all), err)
	}
}

// The log is closed, or its disk cut off, while many append: all that was acknowledged is there afterwards, each
// reader saw only what is, and nobody waits for ever.
func TestEndUnderLoad(t *testing.T) {
	for _, how := range []string{"close", "crash", "context"} {
		t.Run(how, func(t *testing.T) {
			disk := vfstest.New()
			l := mustOpen(t, segment.Config{FS: disk, SegmentBytes: 5000})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var mu sync.Mutex
			var acked []string
			var wg sync.WaitGroup
			for g := range 8 {
				wg.Go(func() {
					for i := 0; ; i++ {
						value := fmt.Sprintf("%d.%d", g, i)
						if _, err := l.Append(ctx, eventlogtest.Events(1, value)); err != nil {
							if !fault.Is(err, fault.Unavailable) {
								t.Errorf("append: %v", err)
							}
							return
						}
						mu.Lock()
						acked = append(acked, value)
						mu.Unlock()
					}
				})
			}
			var seen []string
			wg.Go(func() {
				r, err := l.Reader(0, eventlog.Filter{})
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				for {
					c, err := r.Next()
					if err != nil || ctx.Err() != nil {
						return
					}
					if c == nil {
						select {
						case <-r.Ready():
						case <-ctx.Done():
							return
						}
						continue
					}
					for rec := range c.Records() {
						seen = append(seen, string(rec.Value))
					}
				}
			})
			time.Sleep(30 * time.Millisecond)
			after := disk
			switch how {
			case "close":
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			case "crash":
				disk.StopAfter(0)
			}
			cancel()
			wg.Wait()
			l.Close()
			if how == "crash" {
				after = disk.Crash(vfstest.KeepNone)
			}
			l = mustOpen(t, segment.Config{FS: after})
			defer l.Close()
			all, err := readAll(l)
			if err != nil {
				t.Fatal(err)
			}
			there := map[string]bool{}
			for _, r := range all {
				there[r.value] = true
			}
			for _, v := range acked {
				if !there[v] {
					t.Errorf("%s was acknowledged and is lost", v)
				}
			}
			if len(seen) > len(all) || !slices.EqualFunc(seen, all[:min(len(seen), len(all))], func(s string, r read) bool { return s == r.value }) {
				t.Errorf("a reader saw %.60s…, the log has %d records", strings.Join(seen, " "), len(all))
			}
			if len(acked) == 0 {
				t.Error("nothing was acknowledged")
			}
		})
	}
}
