package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/millrace/millrace/internal/event/sample"
)

// shape is another way to write the same events, for bench.
type shape struct {
	name string
	// member rewrites one member but id and event_type; nil: as it is. It may append further members.
	member func(r *rand.Rand, dst []byte, name string, value []byte) []byte
	pretty bool // in an array, indented, over many lines
}

// shapes are all of them; the first is how sample makes events.
var shapes = []shape{
	{name: "plain"},
	{name: "pretty", pretty: true},
	{name: "long", member: longTexts},
	{name: "escapes", member: escapedTexts},
	{name: "unknown", member: unknownFields},
}

// findShape gives nil for plain.
func findShape(name string) (*shape, bool) {
	i := slices.IndexFunc(shapes, func(s shape) bool { return s.name == name })
	if i <= 0 {
		return nil, i == 0 || name == ""
	}
	return &shapes[i], true
}

func shapeNames() []string {
	var names []string
	for _, s := range shapes {
		names = append(names, s.name)
	}
	return names
}

func (s *shape) contentType() string {
	if s != nil && s.pretty {
		return "application/json"
	}
	return "application/x-ndjson"
}

// shapePool is how many events are rewritten beforehand; from then on only their ids change.
const shapePool = 2048

// source makes a pool of the maker's events in this shape and gives what appends n of them to a request's body.
func (s *shape) source(maker *sample.Maker) func(body []byte, n int) []byte {
	type made struct {
		text []byte
		id   int
	}
	r := rand.New(rand.NewPCG(1, 1))
	pool := make([]made, shapePool)
	for i := range pool {
		text := s.rewrite(r, maker.Append(nil))
		id := bytes.Index(text, []byte(`"id":`)) + len(`"id":`)
		pool[i] = made{text, id + bytes.IndexByte(text[id:], '"') + 1}
	}
	next := 0
	return func(body []byte, n int) []byte {
		open, between, end := "", "\n", "\n"
		if s.pretty {
			open, between, end = "[\n", ",\n", "\n]\n"
		}
		body = append(body, open...)
		for i := range n {
			if i > 0 {
				body = append(body, between...)
			}
			e := &pool[next]
			next = (next + 1) % len(pool)
			at := len(body)
			body = append(body, e.text...)
			copy(body[at+e.id:], uuid.NewString())
		}
		return append(body, end...)
	}
}

func (s *shape) rewrite(r *rand.Rand, line []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(line))
	must(d.Token())
	dst := []byte("{")
	for d.More() {
		name := must(d.Token()).(string)
		var value json.RawMessage
		must(0, d.Decode(&value))
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		if s.member == nil || name == "id" || name == "event_type" {
			dst = appendMember(dst, name, value)
		} else {
			dst = s.member(r, dst, name, value)
		}
	}
	dst = append(dst, '}')
	if s.pretty {
		var b bytes.Buffer
		must(0, json.Indent(&b, dst, "  ", "  "))
		dst = b.Bytes()
	}
	return dst
}

// must is for events that sample made, which are JSON.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func appendMember(dst []byte, name string, value []byte) []byte {
	return append(fmt.Appendf(dst, "%q:", name), value...)
}

// longTexts makes every name a text of 2 KiB.
func longTexts(r *rand.Rand, dst []byte, name string, value []byte) []byte {
	if strings.HasSuffix(name, "_name") || name == "name" {
		value = append(value[:len(value)-1:len(value)-1], ' ')
		for len(value) < 2<<10 {
			value = fmt.Appendf(value, "%s %x ", [...]string{"olá", "spring", "pedido", "coupon", "mañana"}[r.IntN(5)], r.Uint32())
		}
		value = append(value, '"')
	}
	return appendMember(dst, name, value)
}

// escapedTexts writes a letter of every text as \u0061, wherever it stands.
func escapedTexts(_ *rand.Rand, dst []byte, name string, value []byte) []byte {
	if value[0] == '"' && len(value) > 2 {
		at := 1
		if c := value[1]; c != '\\' && c < 0x80 {
			value = slices.Concat(value[:1], fmt.Appendf(nil, `\u%04x`, c), value[2:])
			at += len(`\u0061`)
		}
		if rest := value[at:]; !bytes.Contains(rest, []byte(`\`)) {
			value = append(value[:at:at], bytes.ReplaceAll(rest, []byte("e"), []byte(`\u0065`))...)
		}
	}
	return appendMember(dst, name, value)
}

// unknownFields puts a member that no type has behind every fifth that it has.
func unknownFields(r *rand.Rand, dst []byte, name string, value []byte) []byte {
	dst = appendMember(dst, name, value)
	if r.IntN(5) == 0 {
		dst = append(dst, ',')
		unknown := [...]string{`"some text of its own"`, `12345.5`, `true`, `["a","b"]`, `null`}
		dst = appendMember(dst, fmt.Sprintf("internal_%s", name), []byte(unknown[r.IntN(len(unknown))]))
	}
	return dst
}
