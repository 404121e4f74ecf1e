package vfstest

import (
	"bytes"
	"io"
	"testing"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// Run is what every vfs.FS must pass. open gives an empty folder that need not exist yet.
func Run(t *testing.T, open func(t *testing.T) vfs.FS) {
	begin := func(t *testing.T) vfs.FS {
		fs := open(t)
		must(t, fs.MkdirAll("."))
		return fs
	}
	write := func(t *testing.T, fs vfs.FS, name, text string) {
		t.Helper()
		f, err := fs.OpenAppend(name)
		must(t, err)
		_, err = f.Write([]byte(text))
		must(t, err)
		must(t, f.Sync())
		must(t, f.Close())
	}
	read := func(t *testing.T, fs vfs.FS, name string) string {
		t.Helper()
		b, err := vfs.ReadFile(fs, name, 1<<20)
		must(t, err)
		return string(b)
	}

	t.Run("a created file is written at its end and read anywhere", func(t *testing.T) {
		fs := begin(t)
		f, err := fs.Create("a")
		must(t, err)
		for _, s := range []string{"mill", "race"} {
			n, err := f.Write([]byte(s))
			must(t, err)
			if n != len(s) {
				t.Fatalf("wrote %d bytes of %d", n, len(s))
			}
		}
		b := make([]byte, 4)
		if n, err := f.ReadAt(b, 2); n != 4 || err != nil || string(b) != "llra" {
			t.Fatalf("read %d %q, %v", n, b, err)
		}
		if n, err := f.ReadAt(b, 6); n != 2 || err != io.EOF {
			t.Fatalf("a read over the end gave %d, %v; want 2, EOF", n, err)
		}
		if n, err := f.Size(); n != 8 || err != nil {
			t.Fatalf("size %d, %v", n, err)
		}
		must(t, f.Close())
		write(t, fs, "a", "!")
		if got := read(t, fs, "a"); got != "millrace!" {
			t.Fatalf("read %q", got)
		}
	})

	t.Run("errors have codes", func(t *testing.T) {
		fs := begin(t)
		write(t, fs, "a", "x")
		must(t, fs.MkdirAll("d/e"))
		for _, c := range []struct {
			what string
			do   func() error
			want fault.Code
		}{
			{"create over a file", func() error { _, err := fs.Create("a"); return err }, fault.Conflict},
			{"open nothing", func() error { _, err := fs.Open("b"); return err }, fault.NotFound},
			{"create in no folder", func() error { _, err := fs.Create("no/b"); return err }, fault.NotFound},
			{"remove nothing", func() error { return fs.Remove("b") }, fault.NotFound},
			{"remove a full folder", func() error { return fs.Remove("d") }, fault.Conflict},
			{"rename nothing", func() error { return fs.Rename("b", "c") }, fault.NotFound},
			{"list nothing", func() error { _, err := fs.List("b"); return err }, fault.NotFound},
			{"stat nothing", func() error { _, err := fs.Stat("b"); return err }, fault.NotFound},
			{"sync no folder", func() error { return fs.SyncDir("b") }, fault.NotFound},
			{"leave the folder", func() error { _, err := fs.Create("../b"); return err }, fault.Invalid},
			{"read too much", func() error { _, err := vfs.ReadFile(fs, "a", 0); return err }, fault.TooLarge},
		} {
			if got := fault.CodeOf(c.do()); got != c.want {
				t.Errorf("%s: code %q, want %q", c.what, got, c.want)
			}
		}
	})

	t.Run("names are listed, renamed over, removed", func(t *testing.T) {
		fs := begin(t)
		write(t, fs, "b", "b")
		write(t, fs, "a", "a")
		must(t, fs.MkdirAll("d"))
		must(t, fs.MkdirAll("d"))
		write(t, fs, "d/x", "xyz")
		must(t, fs.Rename("b", "a"))
		must(t, fs.SyncDir("."))
		if got := read(t, fs, "a"); got != "b" {
			t.Fatalf("a holds %q after b was renamed to it", got)
		}
		entries, err := fs.List(".")
		must(t, err)
		if len(entries) != 2 || entries[0] != (vfs.Entry{Name: "a"}) || entries[1] != (vfs.Entry{Name: "d", Dir: true}) {
			t.Fatalf("listed %v", entries)
		}
		info, err := fs.Stat("d/x")
		must(t, err)
		if info.Size != 3 || info.Dir {
			t.Fatalf("stat %+v", info)
		}
		must(t, fs.Remove("d/x"))
		must(t, fs.Remove("d"))
		if _, err := fs.Stat("d"); !fault.Is(err, fault.NotFound) {
			t.Fatalf("the removed folder is there: %v", err)
		}
	})

	t.Run("an open file outlives its name", func(t *testing.T) {
		fs := begin(t)
		write(t, fs, "a", "mill")
		f, err := fs.Open("a")
		must(t, err)
		must(t, fs.Remove("a"))
		b := make([]byte, 4)
		if _, err := f.ReadAt(b, 0); err != nil || !bytes.Equal(b, []byte("mill")) {
			t.Fatalf("read %q, %v", b, err)
		}
		must(t, f.Close())
	})

	t.Run("one holder of a lock at a time", func(t *testing.T) {
		fs := begin(t)
		held, err := fs.Lock("LOCK")
		must(t, err)
		if _, err := fs.Lock("LOCK"); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("a second lock: %v, want unavailable", err)
		}
		must(t, held.Close())
		held, err = fs.Lock("LOCK")
		must(t, err)
		must(t, held.Close())
	})

	t.Run("a small file changes in one step", func(t *testing.T) {
		fs := begin(t)
		write(t, fs, "a"+vfs.TempSuffix, "left by a crash")
		must(t, vfs.WriteFile(fs, "a", []byte("one")))
		must(t, vfs.WriteFile(fs, "a", []byte("two")))
		if got := read(t, fs, "a"); got != "two" {
			t.Fatalf("read %q", got)
		}
		if _, err := fs.Stat("a" + vfs.TempSuffix); !fault.Is(err, fault.NotFound) {
			t.Fatalf("the temporary file is still there: %v", err)
		}
	})

	t.Run("the disk's size and what is free of it are known", func(t *testing.T) {
		fs := begin(t)
		free, err := fs.Free()
		if err != nil || free <= 0 {
			t.Fatalf("free %d, %v", free, err)
		}
		if total, err := fs.Total(); err != nil || total < free {
			t.Fatalf("%d bytes altogether and %d of them free, %v", total, free, err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
