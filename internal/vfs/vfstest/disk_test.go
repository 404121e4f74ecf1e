package vfstest_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

func TestDisk(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.FS { return vfstest.New() })
}

func TestALossOfPowerKeepsWhatWasSynced(t *testing.T) {
	d := vfstest.New()
	f, _ := d.Create("a")
	f.Write(bytes.Repeat([]byte{1}, 1000))
	f.Sync()
	d.SyncDir(".")
	f.Write(bytes.Repeat([]byte{2}, 5000))
	d.Create("b")
	for seed := range uint64(200) {
		for _, keep := range []vfstest.Keep{vfstest.KeepNone, vfstest.KeepAll, vfstest.KeepRandom(seed)} {
			b := d.Crash(keep).Bytes("a")
			if len(b) < 1000 || !bytes.Equal(b[:1000], bytes.Repeat([]byte{1}, 1000)) {
				t.Fatalf("seed %d: synced bytes are gone", seed)
			}
		}
	}
	if n := len(d.Crash(vfstest.KeepNone).Bytes("a")); n != 1000 {
		t.Errorf("keeping none left %d bytes, want 1000", n)
	}
	if n := len(d.Crash(vfstest.KeepAll).Bytes("a")); n != 6000 {
		t.Errorf("keeping all left %d bytes, want 6000", n)
	}
}

func TestPartsOfUnsyncedBytesSurviveTorn(t *testing.T) {
	d := vfstest.New()
	f, _ := d.Create("a")
	d.SyncDir(".")
	f.Write(bytes.Repeat([]byte{7}, 8*512))
	var hole, torn, same bool
	for seed := range uint64(300) {
		b := d.Crash(vfstest.KeepRandom(seed)).Bytes("a")
		same = same || !slices.Equal(b, d.Crash(vfstest.KeepRandom(seed)).Bytes("a"))
		for at := 0; at+512 <= len(b); at += 512 {
			n := bytes.Count(b[at:at+512], []byte{7})
			torn = torn || n > 0 && n < 512
			hole = hole || n == 0 && bytes.IndexByte(b[at:], 7) >= 0
		}
	}
	if !hole || !torn {
		t.Errorf("300 seeds: a lost sector before a kept one %v, a torn one %v; want both", hole, torn)
	}
	if same {
		t.Error("the same seed gave two different disks")
	}
}

func TestNamesAreDurableAfterSyncDirOnly(t *testing.T) {
	d := vfstest.New()
	f, _ := d.Create("a")
	f.Write([]byte("x"))
	f.Sync()
	if d.Crash(vfstest.KeepNone).Bytes("a") != nil {
		t.Error("a name survived without SyncDir")
	}
	d.SyncDir(".")
	d.Rename("a", "b")
	if c := d.Crash(vfstest.KeepNone); c.Bytes("a") == nil || c.Bytes("b") != nil {
		t.Error("a rename was durable without SyncDir")
	}
	for seed := range uint64(50) {
		c := d.Crash(vfstest.KeepRandom(seed))
		if (c.Bytes("a") == nil) == (c.Bytes("b") == nil) {
			t.Fatalf("seed %d: a rename was half done: %v", seed, c.Names())
		}
	}
	d.Remove("b")
	d.SyncDir(".")
	if names := d.Crash(vfstest.KeepNone).Names(); len(names) != 0 {
		t.Errorf("removed and synced, yet there: %v", names)
	}
}

func TestAFailedSyncLosesItsBytesForGood(t *testing.T) {
	d := vfstest.New()
	f, _ := d.Create("a")
	d.SyncDir(".")
	f.Write([]byte("lost"))
	d.FailAt(vfstest.Sync, 0, nil)
	if err := f.Sync(); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("sync: %v", err)
	}
	f.Write([]byte("kept"))
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := d.Crash(vfstest.KeepNone).Bytes("a"); !bytes.Equal(got, []byte("\x00\x00\x00\x00kept")) {
		t.Errorf("after a failed and a good sync the disk holds %q", got)
	}
}

func TestFaultsStrikeOnceAndStopsStay(t *testing.T) {
	d := vfstest.New()
	f, _ := d.Create("a")
	d.FailAt(vfstest.ShortWrite, 1, nil)
	f.Write([]byte("abcd"))
	if n, err := f.Write([]byte("efgh")); n != 2 || err == nil {
		t.Errorf("the short write gave %d, %v", n, err)
	}
	d.SetFree(3)
	if n, err := f.Write([]byte("ijkl")); n != 3 || !fault.Is(err, fault.Unavailable) {
		t.Errorf("the full disk took %d, %v", n, err)
	}
	d.SetFree(-1)
	d.StopAfter(1)
	if _, err := f.Write([]byte("m")); err != nil {
		t.Errorf("the last change before the stop: %v", err)
	}
	if _, err := f.Write([]byte("n")); err == nil || !d.Stopped() {
		t.Errorf("the disk goes on after its stop: %v", err)
	}
}
