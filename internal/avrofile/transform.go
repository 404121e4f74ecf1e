package avrofile

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
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
	cols []column // up to the last one that is changed
	does []change // to each of them
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
	cols := columns(s)
	does := make([]change, len(cols))
	end := 0
	for i, c := range cols {
		if c.kind != event.String || c.name == "id" {
			continue
		}
		for _, r := range rules {
			if r.Field != c.name {
				continue
			}
			what := remove
			if r.Action == ActionHash {
				what = hash
			}
			does[i] = max(does[i], what)
			end = i + 1
		}
	}
	if end == 0 {
		return nil
	}
	return &Transform{cols: cols[:end], does: does[:end]}
}

// Append appends rec, changed by the rules. Null stays null; fields without a rule stay as they are, byte for byte.
//
// Errors: corrupt if rec is not a record of the schema; dst is returned as it was.
func (t *Transform) Append(dst, rec []byte) ([]byte, error) {
	was := len(dst)
	at, done := 0, 0 // the next column; how far rec has been copied
	for i := range t.cols {
		c := &t.cols[i]
		begin := at
		from, to, null, ok := c.value(rec, at)
		if !ok {
			return dst[:was], fault.New(fault.Corrupt, "transform record", "the record has no valid %s", c.name)
		}
		at = to
		if t.does[i] == keep || null {
			continue
		}
		dst = append(dst, rec[done:begin]...)
		if c.null != none {
			dst = binary.AppendVarint(dst, int64(1-c.null))
		}
		if t.does[i] == remove {
			dst = binary.AppendVarint(dst, int64(len(redacted)))
			dst = append(dst, redacted...)
		} else {
			sum := sha256.Sum256(rec[from:to])
			dst = binary.AppendVarint(dst, 2*sha256.Size)
			dst = hex.AppendEncode(dst, sum[:])
		}
		done = to
	}
	return append(dst, rec[done:]...), nil
}
