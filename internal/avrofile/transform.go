package avrofile

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/millrace/millrace/internal/event"
)

// The actions of a Rule.
const (
	ActionRemove = "remove" // the text becomes [REDACTED]
	ActionHash   = "hash"   // the text becomes its SHA-256, in 64 lower-case hex digits
)

const redacted = "[REDACTED]"

// Rule changes one field, by name.
type Rule struct {
	Field  string
	Action string // ActionRemove or ActionHash
}

// Transform changes fields of the records of one schema. It is immutable and safe for concurrent use.
type Transform struct {
	schema *event.Schema
	does   []change // to each field
}

type change uint8

const (
	keep change = iota
	hash
	remove
)

// NewTransform makes the transform of rules for records of s; nil if none of them concerns s.
//
// A rule concerns a field of that name that is a string. It never concerns id: by it consumers, and we, tell events
// apart. Of several rules for one field removal wins, and an action that is not known here removes, because in
// doubt no clear text may leave.
func NewTransform(s *event.Schema, rules []Rule) *Transform {
	t := &Transform{schema: s, does: make([]change, len(s.Fields))}
	concerned := false
	for _, r := range rules {
		f, i := s.Field(r.Field)
		if f == nil || f.Kind != event.String || f.Name == "id" {
			continue
		}
		what := remove
		if r.Action == ActionHash {
			what = hash
		}
		t.does[i] = max(t.does[i], what)
		concerned = true
	}
	if !concerned {
		return nil
	}
	return t
}

// Append appends rec, changed by the rules. Null stays null; fields without a rule stay as they are, byte for byte.
//
// Errors: corrupt if rec is not one record of the schema; dst is returned as it was then.
func (t *Transform) Append(dst, rec []byte) ([]byte, error) {
	out := dst
	at, copied := 0, 0 // in rec: the end of the field that was given last, and of what has been appended
	err := t.schema.Walk(rec, func(i int, span []byte) bool {
		begin := at
		at += len(span)
		if t.does[i] == keep {
			return true
		}
		if t.schema.Fields[i].Nullable {
			if span[0] == 0 {
				return true
			}
			begin, span = begin+1, span[1:] // the branch stays
		}
		out = append(out, rec[copied:begin]...)
		copied = at
		if t.does[i] == remove {
			out = binary.AppendVarint(out, int64(len(redacted)))
			out = append(out, redacted...)
			return true
		}
		_, size := binary.Varint(span)
		sum := sha256.Sum256(span[size:])
		out = binary.AppendVarint(out, 2*sha256.Size)
		out = hex.AppendEncode(out, sum[:])
		return true
	})
	if err != nil {
		return dst, err
	}
	return append(out, rec[copied:]...), nil
}
