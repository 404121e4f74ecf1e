package segment_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/eventlogtest"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// The folder testdata/v1 was written by the first version of this format, by TestWriteFixture, and stays as it
// is for ever: every later version reads it.
func TestVersion1IsRead(t *testing.T) {
	disk := vfstest.New()
	files, err := filepath.Glob("testdata/v1/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixture: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		disk.Put(filepath.Base(f), b)
	}
	rep, err := segment.Check(t.Context(), disk, nil)
	if err != nil || len(rep.Damage) != 0 || rep.Records != 7 || rep.Commits != 5 {
		t.Errorf("check: %+v, %v", rep, err)
	}
	// The answer is from the day the fixture was made: the window must reach back to it.
	l := mustOpen(t, segment.Config{FS: disk, Window: 200 * 365 * 24 * time.Hour})
	defer l.Close()
	r, err := l.Reader(0, eventlog.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := []string{"1/1/first", "1/2/second", "2/1/third", "1/1/keyed", "3/7/control", "1/1/ä", "1/2/last"}
	got := eventlogtest.Drain(t, r)
	for i, w := range want {
		if i >= len(got) || got[i] != w {
			t.Fatalf("read %q, want %q", got, want)
		}
	}
	if got := known(t, l, keyOf(1, 1)); got != 1 {
		t.Errorf("the key's answer is %d, want 1", got)
	}
}

// TestWriteFixture makes testdata/v1 anew; it is kept to show how, and runs only where the folder is missing.
func TestWriteFixture(t *testing.T) {
	if _, err := os.Stat("testdata/v1"); err == nil {
		return
	}
	disk := vfstest.New()
	l := mustOpen(t, segment.Config{FS: disk})
	put := func(b *eventlog.Batch) {
		if _, err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	put(eventlogtest.Events(1, "first", "second"))
	put(eventlogtest.Events(2, "third"))
	claim, _, err := l.Claim(t.Context(), keyOf(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	b := eventlogtest.Events(1, "keyed")
	b.Claim, b.Answer = claim, eventlog.Answer{Body: [16]byte{1, 2, 3}, Status: 200, Accepted: 1}
	put(b)
	claim.Release()
	if err := l.Close(); err != nil { // the first segment gets an index
		t.Fatal(err)
	}
	l = mustOpen(t, segment.Config{FS: disk})
	b = &eventlog.Batch{}
	b.Reset(eventlog.Header{Workspace: 3, Kind: eventlog.Control, Target: 5})
	b.Add(7, []byte("control"))
	put(b)
	put(eventlogtest.Events(1, "ä", "last"))
	after := disk.Crash(vfstest.KeepAll) // not closed: the last segment has no index
	l.Close()
	if err := os.MkdirAll("testdata/v1", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range after.Names() {
		if err := os.WriteFile(filepath.Join("testdata/v1", name), after.Bytes(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
