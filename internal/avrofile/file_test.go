package avrofile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro/ocf"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/event"
)

var update = flag.Bool("update", false, "write the golden files anew; needs a new number for Encoder")

var codecs = []Codec{Null, Deflate, Snappy, Zstandard}

// A change of these bytes, also by a new release of a compression library, needs a new number for Encoder.
func TestFilesAreTheGoldenOnesByteForByte(t *testing.T) {
	recs := madeRecords(260, 1)
	for _, c := range codecs {
		n := exampleName()
		f := makeFile(NewCompressor(), madeSchema(), c, n, recs)
		if f.blocks < 2 {
			t.Fatalf("%d blocks; the golden file must show a border", f.blocks)
		}
		golden(t, string(c)+".avro", f.bytes)
	}
	n := exampleName()
	n.Target = 7
	golden(t, "test-events.avro", makeFile(NewCompressor(), madeSchema(), Deflate, n, recs[:2]).bytes)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("%s: %d bytes, want %d; the first difference is at byte %d", name, len(got), len(want), at)
	}
}

func TestOtherReadersReadTheGoldenFiles(t *testing.T) {
	want := natives(t, madeRecords(260, 1))
	for _, c := range codecs {
		file, err := os.ReadFile(filepath.Join("testdata", string(c)+".avro"))
		if err != nil {
			t.Fatal(err)
		}
		compare(t, string(c)+" by ours", readOurs(t, madeSchema(), file), want)
		compare(t, string(c)+" by twmb/avro", readTwmb(t, madeSchema(), file), want)
		if c != Zstandard { // which goavro does not know
			compare(t, string(c)+" by goavro", readGoavro(t, madeSchema(), file), want)
		}
	}
}

// fataler is what testing.T and rapid.T have in common here.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// natives decodes records of madeSchema with goavro, so that nothing of ours is needed to say what is right.
func natives(t fataler, recs [][]byte) []map[string]any {
	t.Helper()
	s := madeSchema()
	codec, err := goavro.NewCodec(s.Avro)
	if err != nil {
		t.Fatal(err)
	}
	r := make([]map[string]any, len(recs))
	for i, rec := range recs {
		v, rest, err := codec.NativeFromBinary(rec)
		if err != nil || len(rest) > 0 {
			t.Fatalf("record %d: %v, %d bytes left", i, err, len(rest))
		}
		r[i] = plain(t, s, v)
	}
	return r
}

func readGoavro(t fataler, s *event.Schema, file []byte) []map[string]any {
	t.Helper()
	r, err := goavro.NewOCFReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var l []map[string]any
	for r.Scan() {
		v, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, plain(t, s, v))
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return l
}

func readTwmb(t fataler, s *event.Schema, file []byte) []map[string]any {
	t.Helper()
	r, err := ocf.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var l []map[string]any
	for {
		var v any
		if err := r.Decode(&v); err == io.EOF {
			return l
		} else if err != nil {
			t.Fatal(err)
		}
		l = append(l, plain(t, s, v))
	}
}

func readOurs(t fataler, s *event.Schema, file []byte) []map[string]any {
	t.Helper()
	var l []map[string]any
	for line, err := range Records(bytes.NewReader(file)) {
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		var v map[string]any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		l = append(l, plain(t, s, v))
	}
	return l
}

// plain brings what the readers make of a record to one form: int64, float32 or float64 by the field's kind, unions
// without their wrapping.
func plain(t fataler, s *event.Schema, rec any) map[string]any {
	t.Helper()
	m, ok := rec.(map[string]any)
	if !ok || len(m) != len(s.Fields) {
		t.Fatalf("%v is not a record of %d fields", rec, len(s.Fields))
	}
	r := make(map[string]any, len(m))
	for _, f := range s.Fields {
		v, ok := m[f.Name]
		if !ok {
			t.Fatalf("%v has no %s", rec, f.Name)
		}
		r[f.Name] = plainValue(t, f.Kind, v)
	}
	return r
}

func plainValue(t fataler, kind event.Kind, v any) any {
	t.Helper()
	switch v := v.(type) {
	case map[string]any: // goavro's way to write a union
		for _, inner := range v {
			return plainValue(t, kind, inner)
		}
	case []any:
		l := make([]any, len(v))
		for i := range v {
			l[i] = plainValue(t, event.String, v[i])
		}
		return l
	case json.Number:
		var x any
		var err error
		switch kind {
		case event.Float:
			x, err = strconv.ParseFloat(v.String(), 32)
			x = float32(x.(float64))
		case event.Double:
			x, err = v.Float64()
		default:
			x, err = v.Int64()
		}
		if err != nil {
			t.Fatalf("%s: %v", v, err)
		}
		return x
	case int32:
		return int64(v)
	}
	return v
}

func compare(t fataler, who string, got, want []map[string]any) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d records, want %d", who, len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("%s: record %d is\n%v, want\n%v", who, i, got[i], want[i])
		}
	}
}

func anyField(name string) *rapid.Generator[event.Field] {
	return rapid.Custom(func(t *rapid.T) event.Field {
		f := event.Field{Name: name, Kind: event.Kind(rapid.IntRange(int(event.String), int(event.Strings)).Draw(t, "kind")), Nullable: rapid.Bool().Draw(t, "nullable")}
		f.NullableItems = f.Kind == event.Strings && rapid.Bool().Draw(t, "nullable items")
		return f
	})
}

func anyValue(t *rapid.T, f event.Field) any {
	if f.Nullable && rapid.Bool().Draw(t, "null") {
		return nil
	}
	switch f.Kind {
	case event.Int:
		return int64(rapid.Int32().Draw(t, "int"))
	case event.Long:
		return rapid.Int64().Draw(t, "long")
	case event.Float:
		return rapid.Float32().Draw(t, "float")
	case event.Double:
		return rapid.Float64().Draw(t, "double")
	case event.Boolean:
		return rapid.Bool().Draw(t, "boolean")
	case event.Strings:
		items := make([]any, rapid.IntRange(0, 4).Draw(t, "items"))
		for i := range items {
			if !f.NullableItems || rapid.Bool().Draw(t, "item") {
				items[i] = rapid.String().Draw(t, "text")
			}
		}
		return items
	}
	return rapid.String().Draw(t, "text")
}

func TestAnyRecordsOfAnySchemaAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := []event.Field{{Name: "id", Kind: event.String}}
		for i := range rapid.IntRange(0, 8).Draw(t, "fields") {
			fields = append(fields, anyField(string(rune('a'+i))).Draw(t, "field"))
		}
		s := schemaOf(fields...)
		var recs [][]byte
		var want []map[string]any
		var ids []string
		for range rapid.IntRange(1, 20).Draw(t, "records") {
			values := make([]any, len(fields))
			m := map[string]any{}
			for i, f := range fields {
				values[i] = anyValue(t, f)
				m[f.Name] = values[i]
			}
			recs = append(recs, appendRecord(nil, fields, values))
			want = append(want, m)
			ids = append(ids, values[0].(string))
		}
		c := rapid.SampledFrom(codecs).Draw(t, "codec")
		n := anyName().Draw(t, "name")
		n.First &= 1<<62 - 1 // room for the offsets after it
		f := makeFile(NewCompressor(), s, c, n, recs)

		compare(t, "ours", readOurs(t, s, f.bytes), want)
		compare(t, "twmb/avro", readTwmb(t, s, f.bytes), want)
		if c != Zstandard {
			compare(t, "goavro", readGoavro(t, s, f.bytes), want)
		}
		if got := idsOf(t, f.bytes); !reflect.DeepEqual(got, ids) {
			t.Fatalf("ids %q, want %q", got, ids)
		}
		r, err := Open(bytes.NewReader(f.bytes))
		if err != nil {
			t.Fatal(err)
		}
		if m, ok := r.Meta(); !ok || m != f.meta || r.Codec() != c || r.Schema() != s.Avro {
			t.Fatalf("header gives %+v %v %s %s", m, ok, r.Codec(), r.Schema())
		}
	})
}

func idsOf(t fataler, file []byte) []string {
	t.Helper()
	var ids []string
	if err := EventIDs(bytes.NewReader(file), func(id []byte) bool { ids = append(ids, string(id)); return true }); err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestTheSameEventsGiveTheSameBytesWhateverTheCompressorDidBefore(t *testing.T) {
	recs := madeRecords(1000, 5)
	used := NewCompressor()
	for round := range 3 {
		for _, c := range codecs {
			n := exampleName()
			n.First = 1000 + int64(round)
			fresh := makeFile(NewCompressor(), madeSchema(), c, n, recs)
			again := makeFile(used, madeSchema(), c, n, recs)
			if !bytes.Equal(fresh.bytes, again.bytes) {
				t.Fatalf("%s, round %d: a used compressor gives other bytes", c, round)
			}
		}
	}
}

// The frame is read here by hand and without any tolerance: readers such as fastavro take only a header map in one
// block with a positive count, and no byte after the last marker.
func TestTheFrameIsThePlainestThereIs(t *testing.T) {
	n := exampleName()
	recs := madeRecords(400, 2)
	f := makeFile(NewCompressor(), madeSchema(), Deflate, n, recs)
	b := f.bytes
	long := func() int64 {
		v, size := binary.Varint(b)
		if size <= 0 {
			t.Fatal("no number")
		}
		b = b[size:]
		return v
	}
	take := func(n int64) string {
		if n < 0 || n > int64(len(b)) {
			t.Fatalf("%d bytes wanted of %d", n, len(b))
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	if take(4) != "Obj\x01" {
		t.Fatal("magic")
	}
	count := long()
	if count <= 0 {
		t.Fatalf("count %d of the header's map", count)
	}
	var keys []string
	header := map[string]string{}
	for range count {
		k := take(long())
		keys = append(keys, k)
		header[k] = take(long())
	}
	if long() != 0 {
		t.Fatal("the map has a second block")
	}
	if want := "avro.schema avro.codec millrace.log millrace.partition millrace.first millrace.last millrace.events millrace.version millrace.encoder millrace.hash"; strings.Join(keys, " ") != want {
		t.Fatalf("keys %v, want %s", keys, want)
	}
	if header["avro.codec"] != "deflate" || header["avro.schema"] != madeSchema().Avro || header["millrace.hash"] != f.meta.Hash.String() {
		t.Fatalf("header %v", header)
	}
	marker := SyncMarker(n.Key())
	if take(16) != string(marker[:]) {
		t.Fatal("the header's marker is not that of the key")
	}
	events, blocks := int64(0), 0
	for len(b) > 0 {
		events += long()
		take(long())
		if take(16) != string(marker[:]) {
			t.Fatal("a block's marker is not that of the key")
		}
		blocks++
	}
	if events != int64(len(recs)) || blocks != f.blocks {
		t.Fatalf("%d events in %d blocks, want %d in %d", events, blocks, len(recs), f.blocks)
	}
}

func TestMarkersOfDifferentKeysDiffer(t *testing.T) {
	a, b := exampleName(), exampleName()
	b.First++
	if SyncMarker(a.Key()) == SyncMarker(b.Key()) {
		t.Fatal("they do not")
	}
}

func TestAssembleCopiesNothing(t *testing.T) {
	header, block := []byte("h"), []byte("b")
	parts := Assemble(header, [16]byte{1}, [][]byte{block, block})
	if len(parts) != 5 || &parts[0][0] != &header[0] || &parts[1][0] != &block[0] || &parts[3][0] != &block[0] || parts[2][0] != 1 || len(parts[4]) != 16 {
		t.Fatalf("%q", parts)
	}
}

func TestMetaIsReadBackFromMetadata(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Meta{
			Log:       rapid.StringMatching(`[0-9a-f]{32}`).Draw(t, "log"),
			Partition: rapid.IntRange(0, math.MaxInt).Draw(t, "partition"),
			First:     rapid.Int64Range(0, 1<<61).Draw(t, "first"),
			Version:   rapid.IntRange(0, math.MaxInt).Draw(t, "version"),
			Encoder:   rapid.IntRange(0, 9).Draw(t, "encoder"),
			Target:    rapid.Uint32Range(0, 3).Draw(t, "target"),
			Hash:      Hash(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "hash")),
		}
		m.Last = m.First + rapid.Int64Range(0, 1<<61).Draw(t, "length")
		m.Events = int(rapid.Int64Range(1, m.Last-m.First+1).Draw(t, "events"))
		stored := m.Map()
		for k := range stored {
			if k != strings.ToLower(k) || !strings.HasPrefix(k, "millrace-") {
				t.Fatalf("key %q", k)
			}
		}
		stored["another"] = "thing"
		if got, ok := ParseMeta(stored); !ok || got != m {
			t.Fatalf("%v gave %+v %v, want %+v", stored, got, ok, m)
		}
		for k := range m.Map() {
			if k == "millrace-target" {
				continue
			}
			less := maps.Clone(stored)
			delete(less, k)
			if got, ok := ParseMeta(less); ok {
				t.Fatalf("without %s: %+v", k, got)
			}
		}
	})
}

func TestParseMetaRefusesWhatContradictsItself(t *testing.T) {
	good := Meta{Log: "00", First: 10, Last: 12, Events: 3, Version: 1, Encoder: 1}
	for why, change := range map[string][2]string{
		"more events than offsets": {"millrace-events", "4"},
		"no events":                {"millrace-events", "0"},
		"last before first":        {"millrace-last", "9"},
		"negative offset":          {"millrace-first", "-1"},
		"not a number":             {"millrace-version", "one"},
		"padded number":            {"millrace-version", "01"},
		"short hash":               {"millrace-hash", "00"},
		"target zero":              {"millrace-target", "0"},
		"target not a number":      {"millrace-target", "x"},
		"target too large":         {"millrace-target", "4294967296"},
	} {
		m := good.Map()
		if _, ok := ParseMeta(m); !ok {
			t.Fatal("the good one is refused, so the table proves nothing")
		}
		m[change[0]] = change[1]
		if got, ok := ParseMeta(m); ok {
			t.Errorf("%s: %+v", why, got)
		}
	}
}

func TestEventIDsStopsWhenTold(t *testing.T) {
	f := makeFile(NewCompressor(), madeSchema(), Deflate, exampleName(), madeRecords(5, 3))
	n := 0
	if err := EventIDs(bytes.NewReader(f.bytes), func([]byte) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Fatalf("%d calls, %v", n, err)
	}
}

func TestWritingAllocatesNothing(t *testing.T) {
	recs := madeRecords(200, 4)
	raw := bytes.Join(recs, nil)
	z := NewCompressor()
	for _, c := range codecs {
		dst := z.AppendBlock(nil, c, len(recs), raw)
		if n := testing.AllocsPerRun(20, func() { dst = z.AppendBlock(dst[:0], c, len(recs), raw) }); n > 0 {
			t.Errorf("%s: %v allocations for a block", c, n)
		}
	}
	var h Hash
	at := int64(0)
	if n := testing.AllocsPerRun(100, func() { h.Add(at, recs[at]); BorderAfter(at, 20<<10); at++ }); n > 0 {
		t.Errorf("%v allocations for a record", n)
	}
	tr := NewTransform(madeSchema(), []Rule{{"email_address", ActionHash}, {"user_agent", ActionRemove}})
	dst := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		var err error
		if dst, err = tr.Append(dst[:0], recs[0]); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a transformed record", n)
	}
}
