// Package speed compares the reader of events with general JSON libraries, per event type.
//
// The libraries only decode, into a map, as whoever takes any event must; checking it against its schema and
// writing Avro would come on top. The reader does all three. Ratios are theirs divided by ours.
package speed

import (
	"encoding/json"
	"testing"

	"github.com/bytedance/sonic"
	gojson "github.com/goccy/go-json"
	jsoniter "github.com/json-iterator/go"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/event/sample"
)

// different is how many events of a type take turns.
const different = 200

func BenchmarkReader(b *testing.B) {
	c, err := event.NewCatalogue(nil)
	if err != nil {
		b.Fatal(err)
	}
	decoders := []struct {
		name   string
		decode func([]byte, any) error
	}{
		{"encoding-json", json.Unmarshal},
		{"goccy", gojson.Unmarshal},
		{"jsoniter", jsoniter.ConfigFastest.Unmarshal},
		{"sonic", sonic.ConfigFastest.Unmarshal},
	}
	for _, name := range sample.Mix() {
		t, ok := c.Type(name)
		if !ok {
			b.Fatalf("no type %s", name)
		}
		maker := sample.New(c, 1, []string{name})
		events, bytes := make([][]byte, different), 0
		for i := range events {
			events[i] = maker.AppendType(nil, t)
			bytes += len(events[i])
		}
		bench := func(program string, read func(i int) error) {
			b.Run(name+"/"+program, func(b *testing.B) {
				b.SetBytes(int64(bytes / different))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := read(i % different); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		r := event.NewReader(c)
		var dst []byte
		bench("millrace", func(i int) error {
			out, _, res := r.Read(dst[:0], events[i], event.Options{})
			if dst = out; res.Problems != nil {
				b.Fatal(res.Problems)
			}
			return nil
		})
		for _, d := range decoders {
			bench(d.name, func(i int) error {
				var members map[string]any
				return d.decode(events[i], &members)
			})
		}
	}
}
