package event

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/fault"
)

// full is a record of t.Kinds with every field set.
func full(t testing.TB) (*Schema, []byte) {
	out, s, res := kindsReader(t).Read(nil, []byte(k(`"s":"é\"","i":-7,"l":70,"f":1.5,"d":-1e300,"b":true,"a":["x",""],"n":["y",null],"j":{"a":1}`)), fixed)
	if res.Problems != nil {
		t.Fatal(res.Problems)
	}
	return s, out
}

func TestWalkGivesEachFieldsBytes(t *testing.T) {
	s, rec := full(t)
	want := []string{"\x02x", "\x02", "\x02\x06é\"", "\x02\x0d", "\x02\x8c\x01", "\x02\x00\x00\xc0\x3f",
		"\x02\x9c\x75\x00\x88\x3c\xe4\x37\xfe", "\x02\x01", "\x02\x04\x02x\x00\x00", "\x02\x04\x02\x02y\x00\x00", "\x02\x0e{\"a\":1}"}
	if err := s.Walk(rec, func(i int, span []byte) bool {
		if string(span) != want[i] {
			t.Errorf("%s: %q, want %q", s.Fields[i].Name, span, want[i])
		}
		if cap(span) != len(span) {
			t.Errorf("%s: an append to its span would reach the next field", s.Fields[i].Name)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := s.Walk(rec, func(int, []byte) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("stopped after %d fields, %v", n, err)
	}
}

func TestEventIDWhereverItStands(t *testing.T) {
	s, rec := full(t)
	if id, err := s.EventID(rec); err != nil || string(id) != "x" {
		t.Errorf("%q %v", id, err)
	}
	long := strings.Repeat("i", 200)
	out, s, res := kindsReader(t).Read(nil, []byte(`{"event_type":"t.Required","s":"s","i":1,"b":true,"a":["q"],"time":1,"id":"`+long+`","j":""}`), fixed)
	if id, err := s.EventID(out); err != nil || string(id) != long || res.Problems != nil {
		t.Errorf("%q %v", id, err)
	}
}

func TestAppendJSONGivesAllFields(t *testing.T) {
	s, rec := full(t)
	b, err := s.AppendJSON([]byte("before"), rec)
	const want = `before{"id":"x","time":1,"s":"é\"","i":-7,"l":70,"f":1.5,"d":-1e+300,"b":true,"a":["x",""],"n":["y",null],"j":"{\"a\":1}"}`
	if err != nil || string(b) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, b, want)
	}
}

func TestDamagedRecordsAreCorrupt(t *testing.T) {
	s, rec := full(t)
	for _, tt := range []struct {
		name string
		rec  string
	}{
		{"nothing", ""},
		{"a byte too many", string(rec) + "\x00"},
		{"a length beyond the end", "\x04x"},
		{"a negative length", "\x01x"},
		{"a length that takes more than 64 bits", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
		{"the greatest length", "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
		{"a branch that no union has", "\x02x\x02\x04"},
		{"an int beyond 32 bits", "\x02x\x80\x80\x80\x80\x10"},
		{"a boolean of 2", "\x02x\x02\x00\x00\x00\x00\x00\x02\x02"},
		{"an array with more items than bytes", "\x02x\x02\x00\x00\x00\x00\x00\x00\x02\xfe\xff\xff\xff\x0f"},
		{"an array with a negative count", "\x02x\x02\x00\x00\x00\x00\x00\x00\x02\x01\x02\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := s.Walk([]byte(tt.rec), func(int, []byte) bool { return true }); !fault.Is(err, fault.Corrupt) {
				t.Errorf("walk: %v", err)
			}
			if b, err := s.AppendJSON([]byte("before"), []byte(tt.rec)); !fault.Is(err, fault.Corrupt) || string(b) != "before" {
				t.Errorf("JSON: %s %v", b, err)
			}
		})
	}
	for n := range len(rec) {
		if err := s.Walk(rec[:n:n], func(int, []byte) bool { return true }); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if _, err := s.EventID([]byte{0}); !fault.Is(err, fault.Corrupt) {
		t.Errorf("an empty id: %v", err)
	}
}

func TestAFloatThatIsNoNumberIsNotMadeIntoJSON(t *testing.T) {
	s, rec := full(t)
	at := bytes.Index(rec, []byte("\x00\x00\xc0\x3f"))
	inf := math.Float32bits(float32(math.Inf(1)))
	bad := bytes.Clone(rec)
	copy(bad[at:], []byte{byte(inf), byte(inf >> 8), byte(inf >> 16), byte(inf >> 24)})
	if b, err := s.AppendJSON(nil, bad); !fault.Is(err, fault.Corrupt) || b != nil {
		t.Errorf("%s %v", b, err)
	}
}

func TestAFloatIsTheShortestDecimalThatItStandsFor(t *testing.T) {
	f := Field{Kind: Float, Nullable: true}
	for _, want := range []float64{19.99, 1.10, 0.1, -2.5, 123456.78, 1e30, 0} {
		span := binary.LittleEndian.AppendUint32([]byte{2}, math.Float32bits(float32(want)))
		if got, ok := f.Number(span); !ok || got != want {
			t.Errorf("%v is read as %v, %v", want, got, ok)
		}
	}
}

func FuzzRecord(f *testing.F) {
	s, rec := full(f)
	f.Add(rec)
	f.Add([]byte("\x02x\x02\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x02x\x02\x02\x02\xff\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, rec []byte) {
		var spans []byte
		err := s.Walk(rec, func(_ int, span []byte) bool {
			spans = append(spans, span...)
			return true
		})
		if err == nil != bytes.Equal(spans, rec) && err == nil {
			t.Fatalf("the spans %q are not the record", spans)
		}
		b, jsonErr := s.AppendJSON(nil, rec)
		if jsonErr == nil && (err != nil || !json.Valid(b)) {
			t.Fatalf("%s of a record with %v", b, err)
		}
		s.EventID(rec)
	})
}
