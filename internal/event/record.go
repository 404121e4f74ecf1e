package event

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/millrace/millrace/internal/fault"
)

// The functions below read records that Reader wrote, after they have been on disk, in a bucket or on a network:
// whatever the bytes are, they stay within them, and give corrupt for bytes that are not one record of the schema.

// EventID gives the id of the event in rec, sharing its memory.
//
// Errors: corrupt. What stands after the id is not looked at.
func (s *Schema) EventID(rec []byte) ([]byte, error) {
	var id []byte
	err := s.Walk(rec, func(i int, span []byte) bool {
		if s.plan.steps[i].op != opID {
			return true
		}
		_, n := binary.Uvarint(span)
		id = span[n:]
		return false
	})
	if err == nil && len(id) == 0 {
		err = s.corrupt(rec, 0, "it has no id")
	}
	return id, err
}

// Walk gives the encoded bytes of each field in the schema's order, the number of a union's branch included;
// together the spans are rec. It stops when yield returns false.
//
// Errors: corrupt: rec is not one record of s; fields before the damage have been given.
func (s *Schema) Walk(rec []byte, yield func(i int, span []byte) bool) error {
	at := 0
	for i := range s.Fields {
		end := skipField(rec, at, &s.Fields[i])
		if end < 0 {
			return s.corrupt(rec, at, "its field "+s.Fields[i].Name+" cannot be read")
		}
		if !yield(i, rec[at:end:end]) {
			return nil
		}
		at = end
	}
	if at != len(rec) {
		return s.corrupt(rec, at, "there are bytes after its last field")
	}
	return nil
}

func (s *Schema) corrupt(rec []byte, at int, what string) error {
	return fault.New(fault.Corrupt, "read a record of "+s.Type.Name, "the record (schema %d, %d bytes) is damaged at byte %d: %s", s.ID, len(rec), at, what)
}

// AppendJSON appends the record as one JSON object with all fields of the schema, in its order. Fields that hold
// JSON text are strings, as they are in the record; bytes that are not UTF-8 become U+FFFD.
//
// Errors: corrupt, also for a float that is no number, which JSON cannot say; nothing is appended then.
func (s *Schema) AppendJSON(dst, rec []byte) ([]byte, error) {
	out := append(dst, '{')
	finite := true
	err := s.Walk(rec, func(i int, span []byte) bool {
		f := &s.Fields[i]
		if i > 0 {
			out = append(out, ',')
		}
		out = appendQuoted(out, []byte(f.Name))
		out = append(out, ':')
		out, finite = appendValue(out, span, f)
		return finite
	})
	if err == nil && !finite {
		err = s.corrupt(rec, 0, "it holds a float that is not a number")
	}
	if err != nil {
		return dst, err
	}
	return append(out, '}'), nil
}

// appendValue appends what stands in span, which skipField has been over; false: it is not a finite number.
func appendValue(dst, span []byte, f *Field) ([]byte, bool) {
	if f.Nullable {
		if span[0] == 0 {
			return append(dst, "null"...), true
		}
		span = span[1:]
	}
	switch f.Kind {
	case String:
		_, n := binary.Uvarint(span)
		return appendQuoted(dst, span[n:]), true
	case Int, Long:
		v, _ := binary.Varint(span)
		return strconv.AppendInt(dst, v, 10), true
	case Float:
		return appendNumber(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(span))), 32)
	case Double:
		return appendNumber(dst, math.Float64frombits(binary.LittleEndian.Uint64(span)), 64)
	case Boolean:
		return strconv.AppendBool(dst, span[0] == 1), true
	}
	return appendItems(dst, span, f), true
}

func appendNumber(dst []byte, v float64, width int) ([]byte, bool) {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return dst, false
	}
	form := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(dst, v, form, -1, width), true
}

func appendItems(dst, span []byte, f *Field) []byte {
	dst = append(dst, '[')
	first := true
	for at := 0; ; {
		n, size, _ := readBlock(span, at)
		at += size
		if n == 0 {
			return append(dst, ']')
		}
		for range n {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			if f.NullableItems {
				at++
				if span[at-1] == 0 {
					dst = append(dst, "null"...)
					continue
				}
			}
			end := skipText(span, at)
			_, n := binary.Uvarint(span[at:])
			dst = appendQuoted(dst, span[at+n:end])
			at = end
		}
	}
}

// skipField gives the position after the field that begins at rec[at:], or -1 if there is no such field.
func skipField(rec []byte, at int, f *Field) int {
	if f.Nullable {
		if at >= len(rec) || rec[at] != 0 && rec[at] != 2 {
			return -1
		}
		at++
		if rec[at-1] == 0 {
			return at
		}
	}
	size := 0
	switch f.Kind {
	case String:
		return skipText(rec, at)
	case Int, Long:
		v, n := binary.Varint(rec[at:])
		if n <= 0 || f.Kind == Int && v != int64(int32(v)) {
			return -1
		}
		size = n
	case Float:
		size = 4
	case Double:
		size = 8
	case Boolean:
		if at >= len(rec) || rec[at] > 1 {
			return -1
		}
		size = 1
	case Strings:
		return skipStrings(rec, at, f.NullableItems)
	}
	if size > len(rec)-at {
		return -1
	}
	return at + size
}

func skipText(rec []byte, at int) int {
	if at < len(rec) && rec[at]&0x81 == 0 { // the usual case: fewer than 64 bytes
		if n := int(rec[at] >> 1); n < len(rec)-at {
			return at + 1 + n
		}
		return -1
	}
	n, size := binary.Varint(rec[min(at, len(rec)):])
	if size <= 0 || n < 0 || n > int64(len(rec)-at-size) {
		return -1
	}
	return at + size + int(n)
}

func skipStrings(rec []byte, at int, nullable bool) int {
	for {
		n, size, ok := readBlock(rec, at)
		if !ok {
			return -1
		}
		at += size
		if n == 0 {
			return at
		}
		for range n {
			if nullable {
				if at >= len(rec) || rec[at] != 0 && rec[at] != 2 {
					return -1
				}
				at++
				if rec[at-1] == 0 {
					continue
				}
			}
			if at = skipText(rec, at); at < 0 {
				return -1
			}
		}
	}
}

// readBlock reads the head of an array's block: how many items follow, 0 at the end. Every item takes a byte at
// least, so a count beyond the bytes left is refused before anything is done n times. The form with a negative
// count and a size, which Reader never writes, is not read.
func readBlock(rec []byte, at int) (n, size int, ok bool) {
	v, size := binary.Varint(rec[at:])
	if size <= 0 || v < 0 || v > int64(len(rec)-at-size) {
		return 0, 0, false
	}
	return int(v), size, true
}

// Text gives the text of a String field from the span that Walk gave for it, sharing its memory; false if it is null, or
// a field of another kind.
func (f *Field) Text(span []byte) ([]byte, bool) {
	span, ok := f.value(span)
	if !ok || f.Kind != String {
		return nil, false
	}
	_, n := binary.Uvarint(span)
	return span[n:], true
}

// Number gives the number of a field likewise: of Int, Long, Double, the shortest decimal of Float, or 0 and 1 of Boolean.
func (f *Field) Number(span []byte) (float64, bool) {
	span, ok := f.value(span)
	if !ok {
		return 0, false
	}
	switch f.Kind {
	case Int, Long:
		v, _ := binary.Varint(span)
		return float64(v), true
	case Float:
		return shortest(math.Float32frombits(binary.LittleEndian.Uint32(span))), true
	case Double:
		return math.Float64frombits(binary.LittleEndian.Uint64(span)), true
	case Boolean:
		return float64(span[0]), true
	}
	return 0, false
}

// shortest is the shortest decimal that f stands for: of the price 19.99 a schema's 32 bits keep 19.989999771118164.
func shortest(f float32) float64 {
	x, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil {
		panic("event: a number was not read back: " + err.Error()) // none fails
	}
	return x
}

// value is span without the number of a union's branch; false if it is null.
func (f *Field) value(span []byte) ([]byte, bool) {
	if !f.Nullable {
		return span, true
	}
	return span[1:], span[0] != 0
}
