package avrofile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/internal/fault"
)

// container puts a file together by hand, so that any part of it can be wrong.
func container(schema, codec string, blocks ...[]byte) []byte {
	b := []byte(magic)
	b = binary.AppendVarint(b, 2)
	b = appendEntry(b, keySchema, schema)
	b = appendEntry(b, keyCodec, codec)
	b = append(b, 0)
	b = append(b, "0123456789abcdef"...)
	for _, k := range blocks {
		b = append(b, k...)
		b = append(b, "0123456789abcdef"...)
	}
	return b
}

func block(count int64, data []byte) []byte {
	b := binary.AppendVarint(nil, count)
	b = binary.AppendVarint(b, int64(len(data)))
	return append(b, data...)
}

const idOnly = `{"type":"record","name":"r","fields":[{"name":"id","type":"string"}]}`

func readAll(r io.Reader) error {
	for _, err := range Records(r) {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestFilesOfOtherWritersAreRead(t *testing.T) {
	// What other writers do and we do not: null second, attributes beside types, bytes of a codec that is left out,
	// a header map in blocks that state their size, arrays in blocks that state theirs.
	schema := `{"type":"record","name":"r","namespace":"x","aliases":["q"],"fields":[
		{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
		{"name":"id","type":{"type":"string","avro.java.string":"String"},"order":"ignore"},
		{"name":"note","type":["string","null"]},
		{"name":"tags","type":{"type":"array","items":["string","null"]}}]}`
	b := []byte(magic)
	entry := appendEntry(nil, keySchema, schema)
	b = binary.AppendVarint(b, -1)
	b = binary.AppendVarint(b, int64(len(entry)))
	b = append(b, entry...)
	b = append(b, 0)
	b = append(b, "0123456789abcdef"...)
	rec := []byte{14}
	rec = append(rec, "\x04e1\x02"...) // note is null
	rec = append(rec, 3, 8)            // two items in 4 bytes
	rec = append(rec, 0, 2, 'a', 2)    // "a", null
	rec = append(rec, 0)
	b = append(b, block(1, rec)...)
	b = append(b, "0123456789abcdef"...)
	b = append(b, 0, 0) // a block without records
	b = append(b, "0123456789abcdef"...)

	var lines []string
	for line, err := range Records(bytes.NewReader(b)) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	if got, want := strings.Join(lines, "\n"), `{"at":7,"id":"e1","note":null,"tags":["a",null]}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if ids := idsOf(t, b); len(ids) != 1 || ids[0] != "e1" {
		t.Errorf("ids %q", ids)
	}
	r, err := Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if _, ours := r.Meta(); ours || r.Codec() != Null {
		t.Errorf("a foreign file is said to be ours, or to have the codec %q", r.Codec())
	}
}

func TestTextsBecomeValidJSON(t *testing.T) {
	file := container(idOnly, "null", block(1, []byte("\x1ca\"\\\n\r\t\x00\x7f\xffü\u2028")))
	for line, err := range Records(bytes.NewReader(file)) {
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"id":"a\"\\\n\r\t\u0000\u007f` + "\ufffdü\u2028" + `"}`; string(line) != want {
			t.Errorf("%s, want %s", line, want)
		}
	}
}

// damage is a file with something wrong, and what must be said of it.
type damage struct {
	why  string
	file []byte
	says string
}

func damaged() []damage {
	one := block(1, []byte("\x02a"))
	badSync := container(idOnly, "null", one)
	badSync[len(badSync)-1]++
	headerEnd := len(container(idOnly, "null"))
	twice := []byte(magic)
	twice = binary.AppendVarint(twice, 2)
	twice = appendEntry(appendEntry(twice, keySchema, idOnly), keySchema, idOnly)
	packedZeros := func(n int) []byte { return z().AppendBlock(nil, Deflate, 1, make([]byte, n)) }

	return []damage{
		{"nothing", nil, "at byte 0: the file ends in magic"},
		{"text", []byte("id,time\n"), "at byte 0: does not begin as an Avro object container file does"},
		{"ends in the header", []byte("Obj\x01\x04"), "at byte 5: the file ends in a key"},
		{"header without schema", []byte("Obj\x01\x00"), "at byte 5: the header has no avro.schema"},
		{"header with a key twice", twice, `the key "avro.schema" twice`},
		{"header with too many entries", binary.AppendVarint([]byte(magic), 1<<40), "at byte 4: the header has too many entries"},
		{"header with a count that cannot be negated", append(binary.AppendVarint([]byte(magic), -1<<63), 0), "at byte 4: the header has too many entries"},
		{"header with a huge key", binary.AppendVarint([]byte("Obj\x01\x02"), 1<<40), "at byte 5: the header has a key of 1099511627776 bytes"},
		{"header with a negative length", binary.AppendVarint([]byte("Obj\x01\x02"), -1), "a key of -1 bytes"},
		{"number too long", append([]byte(magic), bytes.Repeat([]byte{0xff}, 12)...), "at byte 4: the header's count is not a number"},
		{"schema that is no JSON", container("{", "null"), "avro.schema in the header is not the schema of a record"},
		{"schema of a string", container(`"string"`, "null"), "is not the schema of a record"},
		{"schema without fields", container(`{"type":"record","name":"r","fields":[]}`, "null"), "is not the schema of a record with fields"},
		{"schema of an enum", container(`{"type":"enum","name":"r","symbols":["id"]}`, "null"), "is not the schema of a record"},
		{"nested record", container(`{"type":"record","name":"r","fields":[{"name":"u","type":{"type":"record","name":"q","fields":[]}}]}`, "null"), `has field "u" of a type that no event has`},
		{"union of three", container(`{"type":"record","name":"r","fields":[{"name":"u","type":["null","int","string"]}]}`, "null"), `has field "u"`},
		{"union of nulls", container(`{"type":"record","name":"r","fields":[{"name":"u","type":["null","null"]}]}`, "null"), `has field "u"`},
		{"bytes", container(`{"type":"record","name":"r","fields":[{"name":"u","type":"bytes"}]}`, "null"), `has field "u"`},
		{"array of numbers", container(`{"type":"record","name":"r","fields":[{"name":"u","type":{"type":"array","items":"int"}}]}`, "null"), `has field "u"`},
		{"unknown codec", container(idOnly, "bzip2"), `the codec "bzip2" is not read here`},
		{"another marker", badSync, fmt.Sprintf("at byte %d: the sync marker is not that of the header", headerEnd+len(one))},
		{"ends in a block", container(idOnly, "null", one)[:headerEnd+3], fmt.Sprintf("at byte %d: the file ends in a block", headerEnd+3)},
		{"ends in a marker", container(idOnly, "null", one)[:headerEnd+5], "the file ends in a sync marker"},
		{"block of negative size", container(idOnly, "null", []byte{2, 1}), fmt.Sprintf("at byte %d: the block has a size of -1 bytes", headerEnd)},
		{"block of huge size", container(idOnly, "null", binary.AppendVarint([]byte{2}, 1<<40)), "the block has a size of 1099511627776 bytes"},
		{"negative count", container(idOnly, "null", block(-1, []byte("\x02a"))), "claims -1 records in 2 bytes"},
		{"more records than bytes", container(idOnly, "null", block(3, []byte("\x02a"))), "claims 3 records in 2 bytes"},
		{"fewer records than bytes", container(idOnly, "null", block(1, []byte("\x02a\x02b"))), "2 bytes after its last record"},
		{"record cut short", container(idOnly, "null", block(2, []byte("\x02a\x04b"))), "record 2 of the block has no valid id"},
		{"text of negative length", container(idOnly, "null", block(1, []byte("\x01a"))), "record 1 of the block has no valid id"},
		{"deflate: garbage", container(idOnly, "deflate", block(1, []byte("\xff\xff\xff"))), fmt.Sprintf("at byte %d: the block cannot be decompressed", headerEnd+3)},
		{"deflate: cut short", container(idOnly, "deflate", block(1, []byte{0x4b})), "cannot be decompressed"},
		{"deflate: bomb", container(idOnly, "deflate", packedZeros(maxBlock+1)), "more than 16777216 bytes"},
		{"snappy: no checksum", container(idOnly, "snappy", block(1, []byte("abc"))), "it has no checksum"},
		{"snappy: claims much", container(idOnly, "snappy", block(1, []byte("\xff\xff\xff\x07aaaa"))), "cannot be decompressed"},
		{"snappy: claims too much", container(idOnly, "snappy", block(1, []byte("\xff\xff\xff\xff\x07aaaa"))), "cannot be decompressed"},
		{"snappy: other checksum", container(idOnly, "snappy", block(1, append(snappy.Encode(nil, []byte("\x02a")), 0, 0, 0, 0))), "its checksum is not that of its bytes"},
		{"zstandard: garbage", container(idOnly, "zstandard", block(1, []byte("abc"))), "cannot be decompressed"},
		{"zstandard: bomb", container(idOnly, "zstandard", z().AppendBlock(nil, Zstandard, 1, make([]byte, maxBlock+1))), "cannot be decompressed"},
	}
}

func TestDamageIsNamedWithItsPlace(t *testing.T) {
	for _, row := range damaged() {
		t.Run(row.why, func(t *testing.T) {
			for name, read := range map[string]func() error{
				"Records":         func() error { return readAll(bytes.NewReader(row.file)) },
				"EventIDs":        func() error { return EventIDs(bytes.NewReader(row.file), func([]byte) bool { return true }) },
				"byte after byte": func() error { return readAll(iotest.OneByteReader(bytes.NewReader(row.file))) },
			} {
				err := read()
				if !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), row.says) {
					t.Errorf("%s: %v, want corrupt with %q", name, err, row.says)
				}
			}
		})
	}
}

func z() *Compressor { return NewCompressor() }

func TestEventsWithoutIDsAreCorrupt(t *testing.T) {
	for why, file := range map[string][]byte{
		"no id":    container(`{"type":"record","name":"r","fields":[{"name":"ID","type":"string"}]}`, "null", block(1, []byte("\x02a"))),
		"a number": container(`{"type":"record","name":"r","fields":[{"name":"id","type":"long"}]}`, "null", block(1, []byte("\x02"))),
		"null":     container(`{"type":"record","name":"r","fields":[{"name":"id","type":["null","string"]}]}`, "null", block(1, []byte("\x00"))),
	} {
		if err := EventIDs(bytes.NewReader(file), func([]byte) bool { return true }); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v, want corrupt", why, err)
		}
		if err := readAll(bytes.NewReader(file)); err != nil {
			t.Errorf("%s: but cat should show it: %v", why, err)
		}
	}
}

// threeBlocks is a small file of two records a block.
func threeBlocks(c Codec) []byte {
	b := z().AppendBlock(nil, c, 2, bytes.Join(madeRecords(2, 6), nil))
	return container(madeSchema().Avro, string(c), b, b, b)
}

func TestAFileCutAnywhereIsCorruptUnlessABlockEndsThere(t *testing.T) {
	for _, c := range codecs {
		file := threeBlocks(c)
		whole := 0
		for cut := range file {
			err := readAll(bytes.NewReader(file[:cut]))
			if err == nil {
				whole++
			} else if !fault.Is(err, fault.Corrupt) {
				t.Fatalf("%s cut at %d: %v", c, cut, err)
			}
		}
		if whole != 3 {
			t.Errorf("%s: %d cuts went unnoticed, want 3: after the header and the first two blocks", c, whole)
		}
	}
}

func TestABodyCutShortOnTheWayIsNotCorrupt(t *testing.T) {
	file := threeBlocks(Deflate)
	for _, cause := range []error{io.ErrUnexpectedEOF, fault.New(fault.Unavailable, "get object", "reset")} {
		for cut := range file {
			err := readAll(io.MultiReader(bytes.NewReader(file[:cut]), iotest.ErrReader(cause)))
			if !errors.Is(err, cause) || fault.CodeOf(err) != fault.CodeOf(cause) {
				t.Fatalf("cut at %d by %v: %v", cut, cause, err)
			}
		}
	}
}

// A file may lie about sizes; the memory it takes follows the bytes that it has.
func TestMemoryIsBounded(t *testing.T) {
	zeros := make([]byte, 8<<20)
	var deflated bytes.Buffer
	w, _ := flate.NewWriter(&deflated, flate.BestSpeed)
	for range 16 {
		w.Write(zeros)
	}
	w.Close()
	e, _ := zstd.NewWriter(nil)
	packed := snappy.Encode(nil, zeros[:100])
	for why, file := range map[string][]byte{
		"a deflate bomb of 128 MiB":            container(idOnly, "deflate", block(1, deflated.Bytes())),
		"a zstandard bomb":                     container(idOnly, "zstandard", block(1, e.EncodeAll(bytes.Join([][]byte{zeros, zeros, zeros, zeros}, nil), nil))),
		"a snappy length of 16 MiB in 9 bytes": container(idOnly, "snappy", block(1, binary.BigEndian.AppendUint32(append([]byte("\xff\xff\xff\x07"), packed[1:]...), crc32.ChecksumIEEE(zeros[:100])))),
		"a block of 16 MiB that is not there":  container(idOnly, "null")[:],
		"a key of 4 MiB that is not there":     binary.AppendVarint([]byte("Obj\x01\x02"), 4<<20),
	} {
		if strings.HasPrefix(why, "a block") {
			file = binary.AppendVarint(append(file, 2), maxBlock)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := readAll(bytes.NewReader(file))
		runtime.ReadMemStats(&after)
		if !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", why, err)
		}
		// Everything ever allocated, garbage of growing slices included.
		if took := after.TotalAlloc - before.TotalAlloc; took > 6*maxBlock {
			t.Errorf("%s took %d MiB", why, took>>20)
		} else if strings.Contains(why, "not there") && took > 1<<20 {
			t.Errorf("%s took %d bytes", why, took)
		}
	}
}

func addFiles(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.avro")
	if err != nil || len(paths) == 0 {
		f.Fatal("no golden files", err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 4096 {
			f.Add(b)
		}
	}
	for _, c := range codecs {
		f.Add(makeFile(NewCompressor(), madeSchema(), c, exampleName(), madeRecords(2, 9)).bytes)
		f.Add(container(idOnly, string(c), z().AppendBlock(nil, c, 2, []byte("\x02a\x02b"))))
	}
	for _, d := range damaged() {
		if len(d.file) < 4096 {
			f.Add(d.file)
		}
	}
}

func FuzzOpen(f *testing.F) {
	addFiles(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		records := 0
		var failed error
		for line, err := range Records(bytes.NewReader(file)) {
			if err != nil {
				failed = err
				break
			}
			if records++; line[0] != '{' || line[len(line)-1] != '}' {
				t.Fatalf("line %q", line)
			}
		}
		if failed != nil && !fault.Is(failed, fault.Corrupt) {
			t.Fatal(failed)
		}
		// What blocks say must be what records give.
		r, err := Open(bytes.NewReader(file))
		if err != nil {
			if failed == nil {
				t.Fatal(err)
			}
			return
		}
		claimed := 0
		for {
			_, n, err := r.Next()
			if err != nil {
				break
			}
			claimed += n
		}
		if failed == nil && claimed != records {
			t.Fatalf("%d records, the blocks claim %d", records, claimed)
		}
	})
}

func FuzzEventIDs(f *testing.F) {
	addFiles(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		n := 0
		err := EventIDs(bytes.NewReader(file), func(id []byte) bool {
			if n++; len(id) > maxBlock {
				t.Fatal("an id longer than a block")
			}
			return true
		})
		if err != nil && !fault.Is(err, fault.Corrupt) {
			t.Fatal(err)
		}
		if all := readAll(bytes.NewReader(file)); err == nil && all != nil {
			t.Fatalf("ids can be read, records not: %v", all)
		}
	})
}
