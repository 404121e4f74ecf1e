package segment_test

import (
	"context"
	"flag"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

var update = flag.Bool("update", false, "write golden files instead of comparing with them")

// The order of writes, syncs and renames is what durability rests on. A change of it is meant to be seen.
func TestTraceOfOperations(t *testing.T) {
	var got strings.Builder
	synctest.Test(t, func(t *testing.T) {
		disk := vfstest.New()
		step := func(what string, do func()) {
			disk.StartTrace()
			do()
			synctest.Wait() // for the sealer
			got.WriteString("# " + what + "\n")
			for _, line := range disk.Trace() {
				got.WriteString(line + "\n")
			}
		}
		cfg := segment.Config{FS: disk, SegmentBytes: headerBytes + 3*commitBytes}
		var l *segment.Log
		step("open an empty folder", func() { l = mustOpen(t, cfg) })
		step("append", func() { fill(t, l, 'a', 1) })
		step("append twice more", func() { fill(t, l, 'b', 2) })
		step("append to a full segment: it is sealed", func() { fill(t, l, 'd', 1) })
		step("append with a failing sync, and go on", func() {
			disk.FailAt(vfstest.Sync, 0, nil)
			if _, err := appendValue(t, l, "x"); err == nil {
				t.Error("appended although the sync failed")
			}
			time.Sleep(time.Minute)
			fill(t, l, 'e', 1)
		})
		step("trim", func() {
			if err := l.Trim(context.Background(), 3, 0); err != nil {
				t.Error(err)
			}
		})
		crashed := disk.Crash(vfstest.KeepAll)
		step("close", func() { l.Close() })
		step("open what was closed", func() { l = mustOpen(t, cfg) })
		l.Close()
		disk, cfg.FS = crashed, crashed
		step("open after a crash: what is good but perhaps not durable is copied", func() { l = mustOpen(t, cfg) })
		l.Close()
	})
	const file = "testdata/trace.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the operations differ from %s; if that is meant, run with -update and read the difference. Now:\n%s", file, got.String())
	}
}
