package segment_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/vfs"
)

// TestStartWithALongLog opens a log of 160 segments; with MILLRACE_SOAK=1 they are of full size, 10 GiB together.
// What an opening reads does not depend on the segments' size.
func TestStartWithALongLog(t *testing.T) {
	const segments = 160
	size := 16 << 10
	if soak {
		size = 64 << 20
	}
	dir := t.TempDir()
	cfg := segment.Config{FS: vfs.OS(dir), SegmentBytes: int64(size)}
	l := mustOpen(t, cfg)
	b := &eventlog.Batch{}
	value := make([]byte, min(size/3, 4<<20))
	for n := 0; ; n++ {
		claim, _, err := l.Claim(t.Context(), keyOf(1, n))
		if err != nil {
			t.Fatal(err)
		}
		b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
		b.Add(1, value)
		b.Claim, b.Answer = claim, eventlog.Answer{Status: 200, Accepted: uint32(n)}
		if _, err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		claim.Release()
		if l.Usage().Bytes > int64(segments)*int64(size) {
			break
		}
	}
	l.Close()
	for _, how := range []string{"after closing", "after a crash"} {
		if how == "after a crash" {
			// A last segment without its index is what a crash leaves; the fullest makes the most work.
			entries, err := cfg.FS.List(".")
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if number, ok := strings.CutSuffix(e.Name, ".seg"); ok && number > fmt.Sprintf("%010d", segments-1) {
					if err := errors.Join(cfg.FS.Remove(number+".idx"), cfg.FS.Remove(e.Name)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := cfg.FS.Remove(fmt.Sprintf("%010d.idx", segments-1)); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		l = mustOpen(t, cfg)
		took := time.Since(begin)
		t.Logf("%s: open in %v with %d MiB behind", how, took.Round(time.Millisecond), l.Usage().Bytes>>20)
		if took > time.Second {
			t.Errorf("%s: opening took %v, more than a second", how, took)
		}
		if got := known(t, l, keyOf(1, 5)); got != 5 {
			t.Errorf("an old key gives %d, want 5", got)
		}
		l.Close()
	}
}
