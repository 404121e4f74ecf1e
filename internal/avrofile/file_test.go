package avrofile

import (
	"bytes"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/millrace/millrace/internal/event"
)

var codecs = []Codec{Null, Deflate, Snappy, Zstandard}

func TestAFileIsReadBackByAnotherReader(t *testing.T) {
	s := &event.Schema{Avro: `{"type":"record","name":"Open","namespace":"dataexport.S3.inner.users","fields":[{"name":"id","type":"string"}]}`}
	for _, c := range []Codec{Null, Deflate, Snappy} {
		z := NewCompressor()
		b1 := z.AppendBlock(nil, c, 2, []byte("\x02a\x02b"))
		b2 := z.AppendBlock(nil, c, 1, []byte("\x04cd"))
		parts := Assemble(Header(s, c, Meta{Log: "x", Events: 3, Last: 2}, "k"), SyncMarker("k"), [][]byte{b1, b2})
		file := bytes.Join(parts, nil)
		r, err := goavro.NewOCFReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(c, err)
		}
		var got []any
		for r.Scan() {
			v, err := r.Read()
			if err != nil {
				t.Fatal(c, err)
			}
			got = append(got, v.(map[string]any)["id"])
		}
		if r.Err() != nil || len(got) != 3 || got[2] != "cd" {
			t.Errorf("%s: %v, %v", c, got, r.Err())
		}
		n := 0
		if err := EventIDs(bytes.NewReader(file), func(id []byte) bool { n++; return true }); err != nil || n != 3 {
			t.Errorf("%s: %d ids, %v", c, n, err)
		}
	}
}
