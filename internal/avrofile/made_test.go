package avrofile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/millrace/millrace/internal/event"
)

// This file makes what the tests work on: schemas, records, files.

// schemaOf makes a schema with its Avro text.
func schemaOf(fields ...event.Field) *event.Schema {
	type avroField struct {
		Name    string           `json:"name"`
		Type    any              `json:"type"`
		Default *json.RawMessage `json:"default,omitempty"`
	}
	null := json.RawMessage("null")
	avro := make([]avroField, len(fields))
	for i, f := range fields {
		a := avroField{Name: f.Name}
		switch f.Kind {
		case event.String:
			a.Type = "string"
		case event.Int:
			a.Type = "int"
		case event.Long:
			a.Type = "long"
		case event.Float:
			a.Type = "float"
		case event.Double:
			a.Type = "double"
		case event.Boolean:
			a.Type = "boolean"
		case event.Strings:
			a.Type = map[string]any{"type": "array", "items": "string"}
			if f.NullableItems {
				a.Type = map[string]any{"type": "array", "items": []string{"null", "string"}}
			}
		}
		if f.Nullable {
			a.Type, a.Default = []any{"null", a.Type}, &null
		}
		avro[i] = a
	}
	text, err := json.Marshal(map[string]any{"type": "record", "name": "Made", "namespace": "dataexport.S3.inner.users.tests", "fields": avro})
	if err != nil {
		panic(err)
	}
	t := &event.Type{Name: "users.tests.Made"}
	s := &event.Schema{ID: 77, Type: t, Fields: fields, Avro: string(text)}
	t.Versions = []*event.Schema{s}
	return s
}

// madeSchema has a field of every kind, required and nullable.
func madeSchema() *event.Schema {
	return schemaOf(
		event.Field{Name: "id", Kind: event.String},
		event.Field{Name: "user_id", Kind: event.String},
		event.Field{Name: "external_user_id", Kind: event.String, Nullable: true},
		event.Field{Name: "time", Kind: event.Int},
		event.Field{Name: "time_ms", Kind: event.Long, Nullable: true},
		event.Field{Name: "price", Kind: event.Float},
		event.Field{Name: "score", Kind: event.Double, Nullable: true},
		event.Field{Name: "machine_open", Kind: event.Boolean, Nullable: true},
		event.Field{Name: "reasons", Kind: event.Strings, Nullable: true},
		event.Field{Name: "media_urls", Kind: event.Strings, NullableItems: true},
		event.Field{Name: "campaign_name", Kind: event.String, Nullable: true},
		event.Field{Name: "email_address", Kind: event.String, Nullable: true},
		event.Field{Name: "user_agent", Kind: event.String, Nullable: true},
	)
}

// appendRecord encodes values, one for each field; nil is null. It is the plainest encoder there is.
func appendRecord(dst []byte, fields []event.Field, values []any) []byte {
	text := func(s string) {
		dst = binary.AppendVarint(dst, int64(len(s)))
		dst = append(dst, s...)
	}
	for i, f := range fields {
		v := values[i]
		if f.Nullable {
			if v == nil {
				dst = append(dst, 0)
				continue
			}
			dst = append(dst, 2)
		}
		switch v := v.(type) {
		case string:
			text(v)
		case int64:
			dst = binary.AppendVarint(dst, v)
		case float32:
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		case float64:
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		case bool:
			if v {
				dst = append(dst, 1)
			} else {
				dst = append(dst, 0)
			}
		case []any:
			if len(v) > 0 {
				dst = binary.AppendVarint(dst, int64(len(v)))
			}
			for _, item := range v {
				if item == nil {
					dst = append(dst, 0)
					continue
				}
				if f.NullableItems {
					dst = append(dst, 2)
				}
				text(item.(string))
			}
			dst = append(dst, 0)
		default:
			panic(fmt.Sprintf("no encoding for %T", v))
		}
	}
	return dst
}

// madeRecords makes n records of madeSchema, the same for the same seed. They look like events: new ids, few
// campaigns, long texts that repeat.
func madeRecords(n int, seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, 1))
	fields := madeSchema().Fields
	maybe := func(v any) any {
		if r.IntN(4) == 0 {
			return nil
		}
		return v
	}
	recs := make([][]byte, n)
	for i := range recs {
		recs[i] = appendRecord(nil, fields, []any{
			fmt.Sprintf("%08x-%04x-7%03x-8%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Uint64()>>16),
			fmt.Sprintf("%024x", r.Uint64()),
			maybe(fmt.Sprintf("customer-%d", r.IntN(100_000))),
			int64(1_795_000_000 + i),
			maybe(int64(1_795_000_000_000 + r.IntN(1e9))),
			float32(r.IntN(10_000)) / 100,
			maybe(r.Float64()),
			maybe(r.IntN(2) == 0),
			maybe([]any{"user_agent", "ip_address"}[:r.IntN(3)]),
			[]any{"https://media.example/a.png", nil, "https://media.example/ü.png"}[:r.IntN(4)],
			maybe(fmt.Sprintf("Campaign %d: welcome back, we have missed you", r.IntN(20))),
			maybe(fmt.Sprintf("person%d@mail.example", r.IntN(100_000))),
			maybe(fmt.Sprintf("Mozilla/5.0 (Linux; Android %d) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0 Mobile Safari/537.36", 8+r.IntN(8), 100+r.IntN(30))),
		})
	}
	return recs
}

// made is a file as delivery puts one together.
type made struct {
	bytes  []byte
	meta   Meta
	blocks int
}

// makeFile makes the file of recs, which have consecutive offsets from n.First on.
func makeFile(z *Compressor, s *event.Schema, c Codec, n Name, recs [][]byte) made {
	m := Meta{Log: "00112233445566778899aabbccddeeff", Partition: n.Partition, First: n.First, Last: n.First + int64(len(recs)) - 1,
		Events: len(recs), Version: 3, Encoder: Encoder, Target: n.Target}
	var blocks [][]byte
	var raw []byte
	count := 0
	for i, rec := range recs {
		offset := n.First + int64(i)
		m.Hash.Add(offset, rec)
		raw = append(raw, rec...)
		count++
		if BorderAfter(offset, len(raw)) || i == len(recs)-1 {
			blocks = append(blocks, z.AppendBlock(nil, c, count, raw))
			raw, count = raw[:0], 0
		}
	}
	key := n.Key()
	return made{bytes.Join(Assemble(Header(s, c, m, key), SyncMarker(key), blocks), nil), m, len(blocks)}
}
