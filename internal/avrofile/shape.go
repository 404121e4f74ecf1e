package avrofile

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/millrace/millrace/internal/event"
)

// column is one field as the writer of a file had it. Unlike an event.Field it takes what other writers do: null
// as the second of a union, attributes beside a type's name.
type column struct {
	name     string
	kind     event.Kind
	null     int8 // the branch of the union that is null; none: not a union
	itemNull int8 // the same for the items of Strings
}

const none int8 = -1

var kinds = map[string]event.Kind{
	"string": event.String, "int": event.Int, "long": event.Long, "float": event.Float, "double": event.Double, "boolean": event.Boolean,
}

// parseColumns reads an Avro schema: a flat record of the kinds of the catalogue.
func parseColumns(schema []byte) ([]column, error) {
	var s struct {
		Type   string
		Fields []struct {
			Name string
			Type any
		}
	}
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, fmt.Errorf("is not the schema of a record: %w", err)
	}
	if s.Type != "record" || len(s.Fields) == 0 {
		return nil, fmt.Errorf("is not the schema of a record with fields")
	}
	cols := make([]column, len(s.Fields))
	for i, f := range s.Fields {
		c := column{name: f.Name, itemNull: none}
		t, ok := f.Type, true
		if c.null, t, ok = withoutNull(t); ok {
			if c.kind = kindOf(t); c.kind == 0 {
				c.itemNull, ok = itemsOf(t)
				c.kind = event.Strings
			}
		}
		if !ok {
			return nil, fmt.Errorf("has field %q of a type that no event has", f.Name)
		}
		cols[i] = c
	}
	return cols, nil
}

// withoutNull takes the null out of a union of it and one other type; any other union is not ok.
func withoutNull(t any) (null int8, rest any, ok bool) {
	u, union := t.([]any)
	if !union {
		return none, t, true
	}
	if len(u) != 2 || (u[0] == any("null")) == (u[1] == any("null")) {
		return none, nil, false
	}
	if u[0] == any("null") {
		return 0, u[1], true
	}
	return 1, u[0], true
}

// kindOf gives the kind of a plain type, written as a name or as an object with attributes; 0 for anything else.
func kindOf(t any) event.Kind {
	if o, ok := t.(map[string]any); ok {
		t = o["type"]
	}
	name, _ := t.(string)
	return kinds[name]
}

// itemsOf reads an array of strings, or of a union of null and string.
func itemsOf(t any) (null int8, ok bool) {
	o, isObject := t.(map[string]any)
	if !isObject || o["type"] != any("array") {
		return none, false
	}
	null, item, ok := withoutNull(o["items"])
	return null, ok && kindOf(item) == event.String
}

// value finds the column's value at rec[at:]. rec[from:to] is the text of a string and the encoding of any other
// value; the next column begins at to. Of null, from is to.
func (c *column) value(rec []byte, at int) (from, to int, null, ok bool) {
	if c.null != none {
		branch, next, ok := long(rec, at)
		if !ok || branch>>1 != 0 {
			return 0, 0, false, false
		}
		if int8(branch) == c.null {
			return next, next, true, true
		}
		at = next
	}
	switch c.kind {
	case event.String:
		from, to, ok = text(rec, at)
		return from, to, false, ok
	case event.Int, event.Long:
		_, to, ok = long(rec, at)
	case event.Float:
		to, ok = at+4, len(rec)-at >= 4
	case event.Double:
		to, ok = at+8, len(rec)-at >= 8
	case event.Boolean:
		to, ok = at+1, len(rec) > at && rec[at] <= 1
	case event.Strings:
		to = at
		ok = c.items(rec, &to, nil)
	}
	return at, to, false, ok
}

// items walks an array of strings that begins at rec[*at:] and moves at behind it. yield, if any, gets each item.
func (c *column) items(rec []byte, at *int, yield func(text []byte, null bool)) bool {
	for {
		n, next, ok := long(rec, *at)
		if !ok {
			return false
		}
		*at = next
		if n == 0 {
			return true
		}
		if n < 0 { // the block's size in bytes follows, for readers that skip
			if _, *at, ok = long(rec, next); !ok || n == -n {
				return false
			}
			n = -n
		}
		// An item takes at least a byte, so a count that lies ends with the record.
		for ; n > 0; n-- {
			if c.itemNull != none {
				branch, next, ok := long(rec, *at)
				if !ok || branch>>1 != 0 {
					return false
				}
				*at = next
				if int8(branch) == c.itemNull {
					if yield != nil {
						yield(nil, true)
					}
					continue
				}
			}
			from, to, ok := text(rec, *at)
			if !ok {
				return false
			}
			*at = to
			if yield != nil {
				yield(rec[from:to], false)
			}
		}
	}
}

// long reads a zig-zag number at rec[at:].
func long(rec []byte, at int) (v int64, next int, ok bool) {
	if at < len(rec) && rec[at] < 0x80 {
		u := rec[at]
		return int64(u>>1) ^ -int64(u&1), at + 1, true
	}
	v, n := binary.Varint(rec[at:])
	return v, at + n, n > 0
}

// text reads a length and as many bytes at rec[at:].
func text(rec []byte, at int) (from, to int, ok bool) {
	n, from, ok := long(rec, at)
	if !ok || n < 0 || n > int64(len(rec)-from) {
		return 0, 0, false
	}
	return from, from + int(n), true
}
