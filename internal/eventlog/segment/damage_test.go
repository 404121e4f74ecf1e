package segment_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/eventlogtest"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

const (
	headerBytes = 128
	commitBytes = 64 + 8 + 1 // a commit of one value of one byte
)

// fill makes a log of one-byte values a, b, c …, one a commit, synced one by one.
func fill(t *testing.T, l *segment.Log, from byte, n int) {
	t.Helper()
	for i := range n {
		if _, err := l.Append(t.Context(), eventlogtest.Events(1, string(rune(int(from)+i)))); err != nil {
			t.Fatal(err)
		}
	}
}

func text(all []read) string {
	var b strings.Builder
	for _, r := range all {
		b.WriteString(r.value)
	}
	return b.String()
}

// crashed is a log of six commits, a to f, in segment 1 that was never closed.
func crashed(t *testing.T) *vfstest.Disk {
	disk := vfstest.New()
	l := mustOpen(t, segment.Config{FS: disk})
	fill(t, l, 'a', 6)
	after := disk.Crash(vfstest.KeepAll)
	l.Close()
	return after
}

func at(commit int) int { return headerBytes + commit*commitBytes }

func flip(pos int) func([]byte) []byte {
	return func(b []byte) []byte { b[pos] ^= 0x40; return b }
}

func cut(pos int) func([]byte) []byte { return func(b []byte) []byte { return b[:pos] } }

func TestTornOrDamaged(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		reads  string // before the end or the damage
		head   eventlog.Offset
		damage int // position; 0: none, what is bad is torn
	}{
		{"nothing", func(b []byte) []byte { return b }, "abcdef", 6, 0},
		{"the last commit's payload", flip(at(6) - 1), "abcde", 5, 0},
		{"the last commit's header", flip(at(5) + 40), "abcde", 5, 0},
		{"the last commit is cut off", cut(at(6) - 1), "abcde", 5, 0},
		{"the last commit's header is cut off", cut(at(5) + 10), "abcde", 5, 0},
		{"the last commit is missing", cut(at(5)), "abcde", 5, 0},
		{"zeros follow", func(b []byte) []byte { return append(b, make([]byte, 700)...) }, "abcdef", 6, 0},
		{"a commit's payload below the durable mark", flip(at(4) - 1), "abc", 6, at(3)},
		{"a commit's header below the durable mark", flip(at(3) + 20), "abc", 6, at(3)},
		{"two commits below the durable mark", func(b []byte) []byte { return flip(at(1) + 1)(flip(at(2) + 1)(b)) }, "a", 6, at(1)},
		{"zeros in the middle", func(b []byte) []byte { clear(b[at(2):at(3)]); return b }, "ab", 6, at(2)},
		{"a commit twice", func(b []byte) []byte {
			return slices.Concat(b[:at(3)], b[at(2):])
		}, "abc", 6, at(3)},
		{"a commit left out", func(b []byte) []byte {
			return slices.Concat(b[:at(2)], b[at(3):])
		}, "ab", 6, at(2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := crashed(t)
			disk.Alter("0000000001.seg", c.change)
			broken := disk.Bytes("0000000001.seg")
			var told []*fault.Error
			l := mustOpen(t, segment.Config{FS: disk, Hooks: segment.Hooks{OnDamage: func(e *fault.Error) { told = append(told, e) }}})
			defer l.Close()
			all, err := readAll(l)
			if text(all) != c.reads {
				t.Errorf("read %q, want %q", text(all), c.reads)
			}
			if _, head := l.Bounds(); head < c.head || c.damage == 0 && head != c.head {
				t.Errorf("head %d, want %d", head, c.head)
			}
			if (err != nil) != (c.damage != 0) || (l.Health() != nil) != (c.damage != 0) || (len(told) > 0) != (c.damage != 0) {
				t.Fatalf("reading says %v, health %v, told %v", err, l.Health(), told)
			}
			if c.damage != 0 {
				if e := fault.As(err); e.Code != fault.Corrupt || e.Params["file"] != "0000000001.seg" || fmt.Sprint(e.Params["position"]) != fmt.Sprint(c.damage) {
					t.Errorf("damage reported as %v (%v), want position %d", err, e.Params, c.damage)
				}
			}
			// Ingest goes on, behind everything that was ever given out, and nothing was deleted.
			before := head(l)
			fill(t, l, 'x', 1)
			r, err := l.Reader(before, eventlog.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			if got := eventlogtest.Drain(t, r); len(got) != 1 || got[0] != "1/1/x" {
				t.Errorf("appended x after recovery, read %q", got)
			}
			r.Close()
			if !bytes.Equal(disk.Bytes("0000000001.seg"), broken) {
				t.Error("the damaged segment was changed")
			}
		})
	}
}

func head(l *segment.Log) eventlog.Offset {
	_, h := l.Bounds()
	return h
}

// A crash may leave the tail at any length; all whole commits come back and nothing is called damage.
func TestTheTailIsCutAtEveryByte(t *testing.T) {
	whole := crashed(t).Bytes("0000000001.seg")
	for n := headerBytes; n <= len(whole); n++ {
		disk := crashed(t)
		disk.Alter("0000000001.seg", cut(n))
		l := mustOpen(t, segment.Config{FS: disk})
		all, err := readAll(l)
		if want := "abcdef"[:(n-headerBytes)/commitBytes]; text(all) != want || err != nil {
			t.Fatalf("cut at byte %d: read %q, %v; want %q", n, text(all), err, want)
		}
		l.Close()
	}
}

// Whatever byte of a complete segment changes, what is read is right or an error, and Check finds the place.
func TestEveryFlippedByteIsFound(t *testing.T) {
	for _, file := range []string{"0000000001.seg", "0000000001.idx", "LOG"} {
		size := len(closedLog(t).Bytes(file))
		if size == 0 {
			t.Fatalf("there is no %s", file)
		}
		for pos := range size {
			disk := closedLog(t)
			disk.Alter(file, flip(pos))
			rep, cerr := segment.Check(t.Context(), disk, nil)
			l, err := segment.Open(t.Context(), segment.Config{FS: disk})
			if err != nil {
				if file != "LOG" || !fault.Is(err, fault.Corrupt) {
					t.Fatalf("%s, byte %d: open: %v", file, pos, err)
				}
				continue
			}
			all, err := readAll(l)
			if err == nil && text(all) != "abcdef" || err != nil && !strings.HasPrefix("abcdef", text(all)) {
				t.Fatalf("%s, byte %d: read %q, %v", file, pos, text(all), err)
			}
			if file == "0000000001.seg" && (err == nil || cerr != nil || len(rep.Damage) == 0) {
				t.Fatalf("byte %d: reading says %v, check %+v, %v", pos, err, rep, cerr)
			}
			if file == "0000000001.idx" {
				// It is derived: nobody notices but the disk.
				if _, known, kerr := l.Claim(t.Context(), eventlog.KeyHash{Workspace: 1, Hash: [16]byte{1}}); err != nil || known == nil || kerr != nil {
					t.Fatalf("index byte %d: reading says %v, the key %v, %v", pos, err, known, kerr)
				}
			}
			l.Close()
		}
	}
}

// closedLog is a to f in segment 1, with a key, closed in order.
func closedLog(t *testing.T) *vfstest.Disk {
	disk := vfstest.New()
	l := mustOpen(t, segment.Config{FS: disk})
	fill(t, l, 'a', 5)
	claim, _, err := l.Claim(t.Context(), eventlog.KeyHash{Workspace: 1, Hash: [16]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	b := eventlogtest.Events(1, "f")
	b.Claim, b.Answer = claim, eventlog.Answer{Status: 200, Accepted: 1}
	if _, err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	claim.Release()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return disk
}

func TestWrongFiles(t *testing.T) {
	three := func() *vfstest.Disk {
		disk := vfstest.New()
		for i := range 3 {
			l := mustOpen(t, segment.Config{FS: disk})
			fill(t, l, byte('a'+2*i), 2)
			l.Close()
		}
		return disk
	}
	for _, c := range []struct {
		name   string
		change func(d *vfstest.Disk)
		want   string // what is read before damage, and "!" for damage
	}{
		{"nothing", func(*vfstest.Disk) {}, "abcdef"},
		{"a stale file under a newer name", func(d *vfstest.Disk) { d.Put("0000000002.seg", d.Bytes("0000000001.seg")) }, "ab!"},
		{"a segment of another log", func(d *vfstest.Disk) { d.Put("0000000002.seg", three().Bytes("0000000002.seg")) }, "ab!"},
		{"a missing segment", func(d *vfstest.Disk) { d.Remove("0000000002.seg") }, "ab!"},
		{"a missing first segment", func(d *vfstest.Disk) { d.Remove("0000000001.seg") }, "!"},
		{"an older, shorter copy of a segment", func(d *vfstest.Disk) { d.Alter("0000000002.seg", cut(at(1))) }, "abc!"},
		{"missing indexes", func(d *vfstest.Disk) { d.Remove("0000000001.idx"); d.Remove("0000000003.idx") }, "abcdef"},
		{"an unfinished segment", func(d *vfstest.Disk) { d.Put("0000000004.seg.new", []byte("x")) }, "abcdef"},
		{"a stranger's file", func(d *vfstest.Disk) { d.Put("notes.txt", []byte("x")) }, "abcdef"},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := three()
			c.change(disk)
			l := mustOpen(t, segment.Config{FS: disk})
			defer l.Close()
			all, err := readAll(l)
			got := text(all)
			if err != nil {
				got += "!"
				if !fault.Is(err, fault.Corrupt) || !fault.Is(l.Health(), fault.Corrupt) {
					t.Errorf("read: %v, health: %v; want corrupt", err, l.Health())
				}
			}
			if got != c.want || head(l) != 6 {
				t.Errorf("read %q up to %d, want %q up to 6 (%v)", got, head(l), c.want, err)
			}
			fill(t, l, 'g', 1)
		})
	}

	t.Run("segments without the file LOG", func(t *testing.T) {
		disk := three()
		disk.Remove("LOG")
		if _, err := segment.Open(t.Context(), segment.Config{FS: disk}); !fault.Is(err, fault.Corrupt) {
			t.Errorf("opened: %v, want corrupt", err)
		}
		if disk.Bytes("0000000001.seg") == nil || disk.Bytes("LOG") != nil {
			t.Error("something was changed")
		}
	})
	for _, file := range []string{"LOG", "0000000001.seg", "0000000003.seg", "0000000003.idx"} {
		t.Run("a newer version of "+file, func(t *testing.T) {
			disk := three()
			disk.Alter(file, func(b []byte) []byte {
				n := map[bool]int{true: 64, false: 128}[file == "LOG"]
				binary.LittleEndian.PutUint32(b[8:], 2)
				table := crc32.MakeTable(crc32.Castagnoli)
				binary.LittleEndian.PutUint32(b[12:], crc32.Update(crc32.Checksum(b[:12], table), table, b[16:n]))
				return b
			})
			_, err := segment.Open(t.Context(), segment.Config{FS: disk})
			if !segment.IsNewer(err) || fault.Is(err, fault.Corrupt) {
				t.Errorf("opened: %v, want the error for a newer version", err)
			}
		})
	}
}

func TestDamageIsSetAside(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(d *vfstest.Disk)
		reads  string
		lost   int64
	}{
		{"a payload", func(d *vfstest.Disk) { d.Alter("0000000001.seg", flip(at(3)-1)) }, "abdefx", 1},
		{"a header", func(d *vfstest.Disk) { d.Alter("0000000001.seg", flip(at(2)+30)) }, "abdefx", 1},
		{"two commits", func(d *vfstest.Disk) {
			d.Alter("0000000001.seg", flip(at(2)+30))
			d.Alter("0000000001.seg", flip(at(4)+30))
		}, "abdfx", 2},
		{"the end cut off", func(d *vfstest.Disk) { d.Alter("0000000001.seg", cut(at(4)+5)) }, "abcdx", 2},
		{"the segment's header", func(d *vfstest.Disk) { d.Alter("0000000001.seg", flip(50)) }, "x", 6},
		{"the segment", func(d *vfstest.Disk) { d.Remove("0000000001.seg") }, "x", 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := closedLog(t)
			l := mustOpen(t, segment.Config{FS: disk})
			fill(t, l, 'x', 1)
			if _, err := segment.Skip(t.Context(), disk, segment.Damage{Segment: 1}); !fault.Is(err, fault.Unavailable) {
				t.Fatalf("skipped under a process that has the log open: %v", err)
			}
			l.Close()
			c.change(disk)
			broken := disk.Bytes("0000000001.seg")
			rep, err := segment.Check(t.Context(), disk, nil)
			if err != nil || len(rep.Damage) == 0 {
				t.Fatalf("check: %+v, %v", rep, err)
			}
			var lost int64
			for _, d := range rep.Damage {
				rg, err := segment.Skip(t.Context(), disk, d)
				if err != nil {
					t.Fatalf("skip %+v: %v", d, err)
				}
				lost += rg.Count
				if rg.First != d.First || rg.Next != d.Next || int64(rg.Next-rg.First) != rg.Count {
					t.Errorf("skipped %+v for %+v", rg, d)
				}
				if broken != nil && disk.Bytes(rg.Kept) == nil {
					t.Errorf("%s was not kept", rg.Kept)
				}
				if _, err := segment.Skip(t.Context(), disk, d); !fault.Is(err, fault.Stale) {
					t.Errorf("skipped twice: %v, want stale", err)
				}
			}
			if lost != c.lost {
				t.Errorf("%d records lost, want %d", lost, c.lost)
			}
			if broken != nil && !bytes.Equal(disk.Bytes(fmt.Sprintf("0000000001.seg.aside-%d", max(rep.Damage[0].Position, headerBytes))), broken) {
				t.Error("the segment as it was found is gone")
			}
			if rep, err = segment.Check(t.Context(), disk, nil); err != nil || len(rep.Damage) != 0 || len(rep.Aside) == 0 {
				t.Errorf("check afterwards: %+v, %v", rep, err)
			}
			l = mustOpen(t, segment.Config{FS: disk})
			defer l.Close()
			all, err := readAll(l)
			if text(all) != c.reads || err != nil || l.Health() != nil || all[len(all)-1].offset != 6 {
				t.Errorf("read %q, %v, health %v; want %q", text(all), err, l.Health(), c.reads)
			}
		})
	}
}
