package event

import "encoding/binary"

// plan is what the reader needs of a schema, laid out for it.
type plan struct {
	ordinal int    // place among the catalogue's schemas: where a Reader keeps what it learnt
	steps   []step // one for each field, in the schema's order
	keys    []key  // each field's, then event_type's
	names   names  // the same names, bare
}

// key is a field's name as it stands in JSON, with quotes and colon. Its words are the same, for comparing without
// a branch for each letter.
type key struct {
	text  string
	words [keyWords]uint64
	masks [keyWords]uint64
}

const keyWords = 4

func newKey(name string) key {
	k := key{text: `"` + name + `":`}
	var text, mask [8 * keyWords]byte
	for i := range copy(text[:], k.text) {
		mask[i] = 0xff
	}
	for i := range keyWords {
		k.words[i] = binary.LittleEndian.Uint64(text[8*i:])
		k.masks[i] = binary.LittleEndian.Uint64(mask[8*i:])
	}
	return k
}

// standsAt reports whether the key begins at b[i], i ≤ len(b).
func (k *key) standsAt(b []byte, i int) bool {
	if len(b)-i < 8*keyWords || len(k.text) > 8*keyWords {
		return len(b)-i >= len(k.text) && string(b[i:i+len(k.text)]) == k.text
	}
	p := b[i : i+8*keyWords]
	return (binary.LittleEndian.Uint64(p)^k.words[0])&k.masks[0]|
		(binary.LittleEndian.Uint64(p[8:])^k.words[1])&k.masks[1]|
		(binary.LittleEndian.Uint64(p[16:])^k.words[2])&k.masks[2]|
		(binary.LittleEndian.Uint64(p[24:])^k.words[3])&k.masks[3] == 0
}

// step says how one field is written.
type step struct {
	op       op
	nullable bool
	items    bool // of opStrings: items may be null
}

type op uint8

const (
	opString op = iota
	opJSON      // a string or an object
	opID
	opTimeInt
	opTimeLong
	opInt
	opLong
	opFloat
	opDouble
	opBoolean
	opStrings
)

// eventTypeKey is the member that names an event's type. It is in no schema.
const eventTypeKey = "event_type"

func newPlan(fields []Field, ordinal int) *plan {
	p := &plan{ordinal: ordinal}
	bare := make([]string, 0, len(fields)+1)
	for _, f := range fields {
		s := step{nullable: f.Nullable, items: f.NullableItems}
		switch f.Kind {
		case String:
			s.op = opString
			if f.JSON {
				s.op = opJSON
			}
			if f.Name == "id" {
				s.op = opID
			}
		case Int:
			s.op = opInt
			if f.Name == "time" {
				s.op = opTimeInt
			}
		case Long:
			s.op = opLong
			if f.Name == "time" {
				s.op = opTimeLong
			}
		case Float:
			s.op = opFloat
		case Double:
			s.op = opDouble
		case Boolean:
			s.op = opBoolean
		case Strings:
			s.op = opStrings
		}
		p.steps = append(p.steps, s)
		bare = append(bare, f.Name)
	}
	bare = append(bare, eventTypeKey)
	for _, name := range bare {
		p.keys = append(p.keys, newKey(name))
	}
	p.names = newNames(bare)
	return p
}

// guess gives the field whose key stands at b[i:], if it is one of those that came next before, or -1. Fields
// usually come in the order of the last event of their type, with some left out.
func (p *plan) guess(next []uint16, last int, b []byte, i int) int {
	g := last
	for range 3 {
		g = int(next[g])
		if p.keys[g].standsAt(b, i) {
			return g
		}
	}
	return -1
}
