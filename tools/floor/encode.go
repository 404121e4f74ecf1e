package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
)

// eventType is what encoding a type's events needs to know.
type eventType struct {
	name   string
	number uint16
	schema []byte
	fields []field
	byName map[string]int
}

type field struct {
	kind     kind
	nullable bool // a union of null, first, and the kind
	nullItem bool // items of the array are such unions
}

type kind byte

const (
	text kind = iota
	integer
	boolean
	float
	double
	texts
)

// catalogue is all types by name.
type catalogue map[string]*eventType

func readTypes(path string) (catalogue, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var schemas map[string]json.RawMessage
	if err := json.Unmarshal(b, &schemas); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	types := catalogue{}
	for name, schema := range schemas {
		t := &eventType{name: name, number: uint16(len(types)), schema: schema, byName: map[string]int{}}
		var record struct {
			Fields []struct {
				Name string
				Type any
			}
		}
		if err := json.Unmarshal(schema, &record); err != nil {
			return nil, fmt.Errorf("read the schema of %s: %w", name, err)
		}
		for _, f := range record.Fields {
			t.byName[f.Name] = len(t.fields)
			t.fields = append(t.fields, fieldOf(f.Type))
		}
		types[name] = t
	}
	return types, nil
}

func fieldOf(avro any) (f field) {
	if union, ok := avro.([]any); ok {
		f.nullable = true
		avro = union[1]
	}
	switch avro {
	case "string":
		f.kind = text
	case "int", "long":
		f.kind = integer
	case "boolean":
		f.kind = boolean
	case "float":
		f.kind = float
	case "double":
		f.kind = double
	default:
		f.kind = texts
		_, f.nullItem = avro.(map[string]any)["items"].([]any)
	}
	return f
}

// value is where a member's value stands in the line. Texts are without their quotes.
type value struct {
	raw     []byte
	escaped bool
}

// maxFields is more than any type has.
const maxFields = 256

// recordHeader is the number of the type and the length of the record.
const recordHeader = 6

// encodeLines appends a header and an Avro record for each line of body.
func (c catalogue) encodeLines(dst, body []byte) ([]byte, error) {
	values := make([]value, maxFields)
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte{'\n'})
		body = rest
		start := len(dst)
		dst = append(dst, make([]byte, recordHeader)...)
		var t *eventType
		if t, dst = c.encode(dst, line, values); t == nil {
			return nil, fmt.Errorf("cannot encode %.200s", line)
		}
		binary.LittleEndian.PutUint16(dst[start:], t.number)
		binary.LittleEndian.PutUint32(dst[start+2:], uint32(len(dst)-start-recordHeader))
	}
	return dst, nil
}

// encode appends the Avro record of a flat JSON object. It gives no type if it cannot.
func (c catalogue) encode(dst, line []byte, values []value) (*eventType, []byte) {
	_, after, ok := bytes.Cut(line, []byte(`"event_type":"`))
	if !ok {
		return nil, dst
	}
	name, _, _ := bytes.Cut(after, []byte{'"'})
	t := c[string(name)]
	if t == nil {
		return nil, dst
	}
	values = values[:len(t.fields)]
	clear(values)
	if !t.gather(line, values) {
		return nil, dst
	}
	for i, f := range t.fields {
		v := values[i]
		switch {
		case v.raw != nil && f.nullable:
			dst = append(dst, 2)
		case v.raw != nil:
		case f.nullable:
			dst = append(dst, 0)
			continue
		default:
			return nil, dst
		}
		dst = f.append(dst, v)
	}
	return t, dst
}

// gather notes the value of each member of the object that the type has a field for.
func (t *eventType) gather(line []byte, values []value) bool {
	for i := 1; i < len(line); i++ {
		for line[i] != '"' { // a step or two: a call would cost more
			if line[i] == '}' {
				return true
			}
			i++
		}
		i++
		end := bytes.IndexByte(line[i:], '"')
		if end < 0 {
			return false
		}
		name := line[i : i+end]
		i += end + 1
		for line[i] == ':' || line[i] == ' ' {
			i++
		}
		var v value
		switch line[i] {
		case '"':
			n := textLength(line[i+1:])
			if n < 0 {
				return false
			}
			v.raw = line[i+1 : i+1+n]
			v.escaped = bytes.IndexByte(v.raw, '\\') >= 0
			i += n + 2
		case '[':
			n := bytes.IndexByte(line[i:], ']')
			if n < 0 {
				return false
			}
			v.raw = line[i+1 : i+n]
			i += n + 1
		default:
			from := i
			for line[i] != ',' && line[i] != '}' {
				i++
			}
			v.raw = line[from:i]
		}
		if at, ok := t.byName[string(name)]; ok {
			values[at] = v
		}
		if i < len(line) && line[i] == '}' {
			return true
		}
	}
	return true
}

// textLength is the length of a JSON text up to its closing quote, which an even number of backslashes precedes.
func textLength(b []byte) int {
	for from := 0; ; {
		n := bytes.IndexByte(b[from:], '"')
		if n < 0 {
			return -1
		}
		end := from + n
		slashes := 0
		for slashes < end && b[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end
		}
		from = end + 1
	}
}

// append appends the value in Avro's encoding.
func (f field) append(dst []byte, v value) []byte {
	switch f.kind {
	case text:
		if v.escaped {
			if s, err := strconv.Unquote(`"` + string(v.raw) + `"`); err == nil {
				v.raw = []byte(s)
			}
		}
		return appendText(dst, v.raw)
	case integer:
		n, _ := strconv.ParseInt(string(v.raw), 10, 64) // the producer is trusted
		return appendLong(dst, n)
	case boolean:
		if v.raw[0] == 't' {
			return append(dst, 1)
		}
		return append(dst, 0)
	case float:
		x, _ := strconv.ParseFloat(string(v.raw), 32)
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(x)))
	case double:
		x, _ := strconv.ParseFloat(string(v.raw), 64)
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
	}
	if len(v.raw) > 0 { // texts without commas and escapes
		dst = appendLong(dst, int64(1+bytes.Count(v.raw, []byte{','})))
		for item := range bytes.SplitSeq(v.raw, []byte{','}) {
			if f.nullItem {
				dst = append(dst, 2)
			}
			dst = appendText(dst, bytes.Trim(item, ` "`))
		}
	}
	return append(dst, 0)
}

func appendText(dst, s []byte) []byte { return append(appendLong(dst, int64(len(s))), s...) }

func appendLong(dst []byte, n int64) []byte { return binary.AppendVarint(dst, n) }
