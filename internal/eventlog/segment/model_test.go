package segment_test

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/eventlogtest"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/vfs/vfstest"
	"pgregory.net/rapid"
)

type modelRecord struct {
	offset    eventlog.Offset
	workspace uint32
	value     string
}

// The log against a slice: appends, readers that stay open, readers that begin anywhere, trims and reopenings in
// any order, under any size of segments and memory.
func TestAgainstASlice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		disk := vfstest.New()
		cfg := segment.Config{
			FS:           disk,
			SegmentBytes: int64(rapid.IntRange(200, 3000).Draw(rt, "segment bytes")),
			CacheBytes:   int64(rapid.SampledFrom([]int{1, 8 << 20}).Draw(rt, "cache")),
		}
		l := mustOpen(t, cfg)
		defer func() { l.Close() }()
		var model []modelRecord // all that was ever appended
		type tailing struct {
			r    eventlog.Reader
			f    eventlog.Filter
			next int // in model
		}
		var tails []*tailing
		n := 0
		filter := func(rt *rapid.T) eventlog.Filter {
			return eventlog.Filter{Workspace: uint32(rapid.IntRange(0, 3).Draw(rt, "workspace"))}
		}
		catchUp := func(rt *rapid.T, tl *tailing) {
			for {
				c, err := tl.r.Next()
				if err != nil {
					rt.Fatalf("next: %v", err)
				}
				if c == nil {
					break
				}
				for rec := range c.Records() {
					for tl.next < len(model) && tl.f.Workspace != 0 && model[tl.next].workspace != tl.f.Workspace {
						tl.next++
					}
					if tl.next == len(model) || model[tl.next] != (modelRecord{rec.Offset, c.Workspace, string(rec.Value)}) {
						rt.Fatalf("read %d %q at model %d of %d", rec.Offset, rec.Value, tl.next, len(model))
					}
					tl.next++
				}
			}
			for ; tl.next < len(model); tl.next++ {
				if tl.f.Workspace == 0 || model[tl.next].workspace == tl.f.Workspace {
					rt.Fatalf("offset %d was not given", model[tl.next].offset)
				}
			}
			if _, h := l.Bounds(); tl.r.Position() != h {
				rt.Fatalf("position %d, head %d", tl.r.Position(), h)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				ws := uint32(rapid.IntRange(1, 3).Draw(rt, "workspace"))
				values := make([]string, rapid.IntRange(1, 4).Draw(rt, "count"))
				for i := range values {
					n++
					values[i] = fmt.Sprintf("%d:%0*d", n, rapid.IntRange(0, 300).Draw(rt, "size"), 0)
				}
				r, err := l.Append(t.Context(), eventlogtest.Events(ws, values...))
				if err != nil {
					rt.Fatal(err)
				}
				for i, v := range values {
					model = append(model, modelRecord{r.First + eventlog.Offset(i), ws, v})
				}
			},
			"tail": func(rt *rapid.T) {
				if len(tails) < 4 {
					f := filter(rt)
					r, err := l.Reader(head(l), f)
					if err != nil {
						rt.Fatal(err)
					}
					tails = append(tails, &tailing{r, f, len(model)})
				}
				catchUp(rt, tails[rapid.IntRange(0, len(tails)-1).Draw(rt, "which")])
			},
			"read from anywhere": func(rt *rapid.T) {
				start, h := l.Bounds()
				from := eventlog.Offset(rapid.Int64Range(int64(start), int64(h)).Draw(rt, "from"))
				tl := &tailing{f: filter(rt)}
				for tl.next < len(model) && model[tl.next].offset < from {
					tl.next++
				}
				var err error
				if tl.r, err = l.Reader(from, tl.f); err != nil {
					rt.Fatal(err)
				}
				defer tl.r.Close()
				catchUp(rt, tl)
			},
			"trim": func(rt *rapid.T) {
				start, h := l.Bounds()
				floor := eventlog.Offset(rapid.Int64Range(int64(start), int64(h)).Draw(rt, "floor"))
				for _, tl := range tails {
					catchUp(rt, tl) // none may be below
				}
				if err := l.Trim(t.Context(), floor, 0); err != nil {
					rt.Fatal(err)
				}
				if now, _ := l.Bounds(); now > floor || now < start {
					rt.Fatalf("trimmed to %d: start %d, was %d", floor, now, start)
				}
			},
			"reopen": func(rt *rapid.T) {
				for _, tl := range tails {
					tl.r.Close()
				}
				tails = nil
				crash := rapid.Bool().Draw(rt, "crash")
				if crash {
					disk = disk.Crash(vfstest.KeepNone)
				}
				if err := l.Close(); err != nil {
					rt.Fatal(err)
				}
				cfg.FS = disk
				l = mustOpen(t, cfg)
			},
			"": func(rt *rapid.T) {
				if err := l.Health(); err != nil {
					rt.Fatal(err)
				}
			},
		})
	})
}
