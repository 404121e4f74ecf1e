package segment_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/eventlogtest"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

func appendValue(t *testing.T, l *segment.Log, value string) (eventlog.Receipt, error) {
	t.Helper()
	return l.Append(t.Context(), eventlogtest.Events(1, value))
}

func TestTimesOfAcceptanceSurviveAClockSetBack(t *testing.T) {
	disk := vfstest.New()
	var last eventlog.Receipt
	synctest.Test(t, func(t *testing.T) { // each bubble begins at the same moment: the second is three days back
		l := mustOpen(t, segment.Config{FS: disk})
		time.Sleep(72 * time.Hour)
		var err error
		if last, err = appendValue(t, l, "late"); err != nil {
			t.Fatal(err)
		}
		remember(t, l, keyOf(1, 1), 5)
		disk = disk.Crash(vfstest.KeepAll)
		l.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, segment.Config{FS: disk, SegmentBytes: 200})
		r, err := appendValue(t, l, "after")
		if err != nil || r.At.Before(last.At) {
			t.Errorf("accepted at %v after %v (%v)", r.At, last.At, err)
		}
		time.Sleep(time.Hour)
		for range 3 {
			if r, err = appendValue(t, l, "more"); err != nil || r.At.Before(last.At) {
				t.Errorf("accepted at %v after %v (%v)", r.At, last.At, err)
			}
		}
		// Ages go on by the monotonic clock: what was appended an hour ago is an hour old, not minus three days.
		if known(t, l, keyOf(1, 1)) != 5 {
			t.Error("a key an hour old does not count")
		}
		if err := l.Trim(t.Context(), head(l), 2*time.Hour); err != nil {
			t.Fatal(err)
		}
		if start, _ := l.Bounds(); start != 0 {
			t.Errorf("what is an hour old was trimmed at two hours: start %d", start)
		}
		time.Sleep(90 * time.Minute)
		if err := l.Trim(t.Context(), head(l), 2*time.Hour); err != nil {
			t.Fatal(err)
		}
		if start, _ := l.Bounds(); start == 0 {
			t.Error("what is two and a half hours old was kept at two hours")
		}
		l.Close()
	})
}

func TestTrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfstest.New()
		var freed int64
		l := mustOpen(t, segment.Config{FS: disk, SegmentBytes: headerBytes + 4*commitBytes, Hooks: segment.Hooks{
			OnTrim: func(_ eventlog.Offset, n int64) { freed += n },
		}})
		defer l.Close()
		fill(t, l, 'a', 12) // three segments of four
		synctest.Wait()
		time.Sleep(time.Hour)
		before := l.Usage().Bytes
		for _, c := range []struct {
			floor eventlog.Offset
			age   time.Duration
			start eventlog.Offset
		}{
			{0, 0, 0}, {3, 0, 0}, {12, 2 * time.Hour, 0}, {4, 0, 4}, {11, 0, 8}, {12, 0, 12},
		} {
			if err := l.Trim(t.Context(), c.floor, c.age); err != nil {
				t.Fatal(err)
			}
			start, head := l.Bounds()
			if start != c.start {
				t.Errorf("trimmed to %d at %v: start %d, want %d", c.floor, c.age, start, c.start)
			}
			release := start + 4 // what the next trim needs at least
			if start == head {
				release = 0
			}
			if got := l.Usage().Release; got != release {
				t.Errorf("the log from %d to %d gives something back at %d, it says %d", start, head, release, got)
			}
			if _, err := l.Reader(c.start-1, eventlog.Filter{}); !fault.Is(err, fault.Stale) {
				t.Errorf("a reader below start: %v, want stale", err)
			}
		}
		if used := l.Usage().Bytes; freed <= 0 || before-freed > used || used > before/2 {
			t.Errorf("%d bytes before, %d freed, %d now", before, freed, used)
		}
		if names := strings.Join(disk.Names(), " "); strings.Contains(names, "0000000001") {
			t.Errorf("trimmed files are there: %s", names)
		}
	})
}

func TestAReaderUnderATrimIsStaleAndAnIdleOneIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, segment.Config{FS: vfstest.New(), SegmentBytes: headerBytes + 2*commitBytes, CacheBytes: 1})
		defer l.Close()
		fill(t, l, 'a', 6)
		behind, _ := l.Reader(0, eventlog.Filter{})
		idle, _ := l.Reader(0, eventlog.Filter{})
		defer behind.Close()
		defer idle.Close()
		eventlogtest.Drain(t, idle)
		if c, err := behind.Next(); c == nil || err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := l.Trim(t.Context(), 6, 0); err != nil {
			t.Fatal(err)
		}
		for {
			c, err := behind.Next()
			if err != nil {
				if !fault.Is(err, fault.Stale) {
					t.Errorf("a reader under a trim: %v, want stale", err)
				}
				break
			}
			if c == nil {
				t.Error("a reader passed over what was trimmed")
				break
			}
		}
		fill(t, l, 'g', 1)
		if got := eventlogtest.Drain(t, idle); len(got) != 1 {
			t.Errorf("the idle reader got %q", got)
		}
	})
}

func TestAFailedSyncIsNotTriedAgain(t *testing.T) {
	for _, op := range []vfstest.Op{vfstest.Sync, vfstest.Write, vfstest.ShortWrite} {
		t.Run(string(op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := vfstest.New()
				l := mustOpen(t, segment.Config{FS: disk})
				defer l.Close()
				fill(t, l, 'a', 2)
				disk.FailAt(op, 0, nil)
				_, err := appendValue(t, l, "lost")
				e := fault.As(err)
				if e == nil || e.Code != fault.Unavailable || !e.Retry || e.RetryAfter <= 0 {
					t.Fatalf("append: %v, want unavailable with RetryAfter", err)
				}
				if _, err := appendValue(t, l, "at once"); !fault.Is(err, fault.Unavailable) {
					t.Errorf("append before the log went on: %v", err)
				}
				disk.StartTrace()
				time.Sleep(time.Minute)
				if err := l.Health(); err != nil {
					t.Errorf("health a minute later: %v", err)
				}
				fill(t, l, 'c', 2)
				for _, line := range disk.Trace() {
					if strings.HasPrefix(line, "sync 0000000001.seg") || strings.HasPrefix(line, "write 0000000001.seg") {
						t.Errorf("the failed file was used again: %s", line)
					}
				}
				for _, d := range []*vfstest.Disk{disk.Crash(vfstest.KeepNone), disk.Crash(vfstest.KeepAll)} {
					after := mustOpen(t, segment.Config{FS: d})
					if all, err := readAll(after); err != nil || text(all) != "abcd" {
						t.Errorf("after a crash: %q, %v; want abcd", text(all), err)
					}
					after.Close()
				}
			})
		})
	}
}

func TestAFullDiskAndAFullQuotaRefuseAndRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfstest.New()
		disk.SetFree(1 << 20)
		l := mustOpen(t, segment.Config{FS: disk, MinFree: 256 << 10, SegmentBytes: 100 << 10})
		defer l.Close()
		value := strings.Repeat("x", 10_000)
		var err error
		n := 0
		for ; err == nil; n++ {
			_, err = appendValue(t, l, value)
		}
		if e := fault.As(err); e.Code != fault.Unavailable || e.RetryAfter <= 0 || e.HintText() == "" {
			t.Errorf("a full disk: %v", err)
		}
		if free, _ := disk.Free(); free < 256<<10-20_000 || n < 50 {
			t.Errorf("%d appends, then %d bytes free", n, free)
		}
		disk.SetFree(200 << 10)
		time.Sleep(time.Second)
		if l.Health() == nil {
			t.Error("healthy on a full disk")
		}
		disk.SetFree(1 << 30)
		time.Sleep(time.Second)
		if _, err = appendValue(t, l, value); err != nil || l.Health() != nil {
			t.Errorf("after space was freed: %v, health %v", err, l.Health())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, segment.Config{FS: vfstest.New(), MaxBytes: 100_000, SegmentBytes: 20_000})
		defer l.Close()
		value := strings.Repeat("x", 5_000)
		var err error
		for err == nil {
			_, err = appendValue(t, l, value)
		}
		if e := fault.As(err); e.Code != fault.Unavailable || e.RetryAfter <= 0 {
			t.Errorf("a full quota: %v", err)
		}
		if u := l.Usage(); u.Bytes > u.MaxBytes || u.Bytes < 90_000 {
			t.Errorf("%d bytes of %d in use", u.Bytes, u.MaxBytes)
		}
		time.Sleep(time.Second)
		if err := l.Trim(t.Context(), head(l)/2, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := appendValue(t, l, value); err != nil {
			t.Errorf("after a trim: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the disk fills up under the log's feet
		disk := vfstest.New()
		l := mustOpen(t, segment.Config{FS: disk, MinFree: -1})
		defer l.Close()
		fill(t, l, 'a', 2)
		disk.SetFree(100)
		if _, err := appendValue(t, l, strings.Repeat("x", 200)); !fault.Is(err, fault.Unavailable) {
			t.Errorf("no space: %v", err)
		}
		time.Sleep(time.Hour)
		disk.SetFree(-1)
		time.Sleep(time.Minute)
		fill(t, l, 'c', 1)
		if all, err := readAll(l); err != nil || text(all) != "abc" {
			t.Errorf("read %q, %v", text(all), err)
		}
	})
}

func TestOnlyOneProcessHasTheLogAndOthersMayLook(t *testing.T) {
	disk := vfstest.New()
	if _, err := segment.OpenReader(t.Context(), disk); !fault.Is(err, fault.NotFound) {
		t.Errorf("a view of nothing: %v, want not_found", err)
	}
	l := mustOpen(t, segment.Config{FS: disk, SegmentBytes: headerBytes + 4*commitBytes})
	fill(t, l, 'a', 9)
	if _, err := segment.Open(t.Context(), segment.Config{FS: disk}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("opened twice: %v, want unavailable", err)
	}
	disk.StartTrace()
	look := func() {
		t.Helper()
		v, err := segment.OpenReader(t.Context(), disk)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if all, err := readAll(v); err != nil || text(all) != "abcdefghi" {
			t.Errorf("the view has %q, %v", text(all), err)
		}
		if v.ID() != l.ID() {
			t.Error("the view is of another log")
		}
	}
	look()
	rep, err := segment.Check(t.Context(), disk, nil)
	if err != nil || rep.Records != 9 || rep.Commits != 9 || len(rep.Damage) != 0 || rep.Head != 9 {
		t.Errorf("check: %+v, %v", rep, err)
	}
	for _, line := range disk.Trace() {
		if !strings.Contains(line, ".idx") { // the owner's sealer may be at work
			t.Errorf("looking changed the disk: %s", line)
		}
	}
	l.Close()
	look()
}

func TestIdentityStaysAndDiffers(t *testing.T) {
	disk := vfstest.New()
	l := mustOpen(t, segment.Config{FS: disk})
	id := l.ID()
	l.Close()
	for range 2 {
		l = mustOpen(t, segment.Config{FS: disk})
		if l.ID() != id {
			t.Error("the identity changed")
		}
		l.Close()
	}
	other := mustOpen(t, segment.Config{FS: vfstest.New()})
	if other.ID() == id {
		t.Error("two logs have one identity")
	}
	other.Close()
}

// Commits of the largest size do not fit the memory of new commits or a small segment.
func TestLargeCommits(t *testing.T) {
	l := mustOpen(t, segment.Config{FS: vfstest.New(), SegmentBytes: 1 << 20, CacheBytes: 4 << 20})
	defer l.Close()
	r, _ := l.Reader(0, eventlog.Filter{})
	defer r.Close()
	for _, size := range []int{eventlog.MaxBatchBytes - 8, 3 << 20, 10, 2<<20 + 1} {
		b := &eventlog.Batch{}
		b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events})
		value := make([]byte, size)
		value[size-1] = byte(size)
		b.Add(1, value)
		if _, err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		c, err := r.Next()
		if err != nil || c == nil || len(c.Payload) != size+8 || c.Payload[size+7] != byte(size) {
			t.Fatalf("%d bytes came back wrong: %v", size, err)
		}
	}
}

// A thousand readers that wait for something else cost an append nothing that grows with them.
func TestForeignReadersSleep(t *testing.T) {
	l := mustOpen(t, segment.Config{FS: vfstest.New()})
	defer l.Close()
	var idle []eventlog.Reader
	for ws := range uint32(1000) {
		r, err := l.Reader(0, eventlog.Filter{Workspace: ws + 10})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		eventlogtest.Drain(t, r)
		idle = append(idle, r)
	}
	woken := make([]<-chan struct{}, len(idle))
	for i, r := range idle {
		woken[i] = r.Ready()
	}
	fill(t, l, 'a', 20)
	if _, err := l.Append(t.Context(), eventlogtest.Events(10, "mine")); err != nil {
		t.Fatal(err)
	}
	for i, r := range idle {
		select {
		case <-woken[i]:
			if i != 0 {
				t.Fatalf("the reader of workspace %d was woken", i+10)
			}
		default:
			if i == 0 {
				t.Fatal("the reader of workspace 10 sleeps on")
			}
		}
		if i > 0 && r.Position() != 21 {
			t.Fatalf("a sleeping reader's position is %d, want 21", r.Position())
		}
	}
	if got := fmt.Sprint(eventlogtest.Drain(t, idle[0])); got != "[10/1/mine]" {
		t.Errorf("read %s", got)
	}
}
