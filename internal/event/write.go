package event

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"time"
	"unsafe"
)

// room is what a record of fields fields may need beyond the size of its text: the defaults, a byte for each
// absent field,
// and slack for copying in whole words. No value's record form is longer than its text
// with its key.
func room(fields int) int { return 2*fields + 64 }

// write appends the record of the event whose values stand in r.values, and reports each value that its field
// cannot take. It writes on after a problem, so as to find them all; Read then drops the record.
func (r *Reader) write(dst, raw []byte, s *Schema, o *Options) []byte {
	dst = slices.Grow(dst, len(raw)+room(len(s.Fields)))
	for i := range s.Fields {
		if v := r.values[i]; v.marks&spoilt == 0 { // else reported where it was met
			dst = r.put(dst, raw, s, i, v, o)
		}
	}
	return dst
}

// put appends field i of s with its value v, absent or any other, or reports why it cannot have it.
func (r *Reader) put(dst, raw []byte, s *Schema, i int, v value, o *Options) []byte {
	step := &s.plan.steps[i]
	switch v.token {
	case absent:
		switch {
		case step.nullable:
			dst = append(dst, 0)
		case step.op == opID:
			dst = o.appendID(dst)
		case step.op == opTimeInt || step.op == opTimeLong:
			dst = r.appendTime(dst, s, i, v, o.now().Unix())
		default:
			r.problem(len(raw)+i, s.Fields[i].Name, CodeRequired, "%s is missing: it is required", s.Fields[i].Name)
		}
		return dst
	case aNull:
		if step.nullable {
			dst = append(dst, 0)
		} else {
			r.problem(int(v.start), s.Fields[i].Name, CodeRequired, "%s is null: it is required", s.Fields[i].Name)
		}
		return dst
	}
	if step.nullable {
		dst = append(dst, 2) // the union's second branch
	}
	switch step.op {
	case opString:
		if v.token == aString {
			dst = appendString(dst, raw, v)
			return dst
		}
	case opJSON:
		if v.token == aString {
			dst = appendString(dst, raw, v)
			return dst
		}
		if v.token == anObject {
			dst = appendObject(dst, raw, v)
			return dst
		}
	case opID:
		if v.token == aString {
			n := v.end - v.start
			if v.marks&escaped != 0 {
				n = uint32(len(r.text(raw, v)))
			}
			if n == 0 || n > maxIDBytes {
				r.problem(int(v.start), s.Fields[i].Name, CodeOutOfRange, "id has %d bytes: it must have 1 to %d", n, maxIDBytes)
			}
			dst = appendString(dst, raw, v)
			return dst
		}
	case opTimeInt, opTimeLong:
		switch v.token {
		case anInteger:
			dst = r.appendInteger(dst, raw, s, i, v)
			return dst
		case aFraction:
			r.problem(int(v.start), s.Fields[i].Name, CodeNotInteger, "time must be whole seconds, without fraction or exponent")
			return dst
		case aString:
			t, ok := parseTime(r.text(raw, v))
			if !ok {
				r.problem(int(v.start), s.Fields[i].Name, CodeInvalidTime, "%q is not a time as in RFC 3339, such as 2026-11-22T10:15:00Z", clip(string(r.text(raw, v))))
			} else {
				dst = r.appendTime(dst, s, i, v, t.Unix())
			}
			return dst
		}
	case opInt, opLong:
		switch v.token {
		case anInteger:
			dst = r.appendInteger(dst, raw, s, i, v)
			return dst
		case aFraction:
			r.problem(int(v.start), s.Fields[i].Name, CodeNotInteger, "%s must be an integer, without fraction or exponent", s.Fields[i].Name)
			return dst
		}
	case opFloat, opDouble:
		if v.token == anInteger || v.token == aFraction {
			dst = r.appendFloat(dst, raw, s, i, v)
			return dst
		}
	case opBoolean:
		if v.token == aTrue {
			dst = append(dst, 1)
			return dst
		}
		if v.token == aFalse {
			dst = append(dst, 0)
			return dst
		}
	case opStrings:
		if v.token == anArray {
			dst = r.appendStrings(dst, raw, s, i, v)
			return dst
		}
	}
	r.problem(int(v.start), s.Fields[i].Name, CodeWrongType, "%s must be %v, not %v", s.Fields[i].Name, step.op, v.token)
	return dst
}

// appendString appends a string with its length. That of one with escapes is known only afterwards.
func appendString(dst, raw []byte, v value) []byte {
	b := raw[v.start:v.end]
	if v.marks&escaped == 0 {
		return appendBytes(dst, b)
	}
	at, width := len(dst), lengthSize(len(b))
	dst = appendUnescaped(append(dst, zeros[:width]...), b)
	return setLength(dst, at, width, len(dst)-at-width)
}

// appendObject appends an object's text as a string, without the white space between its tokens.
func appendObject(dst, raw []byte, v value) []byte {
	b := raw[v.start:v.end]
	if v.marks&spaced == 0 {
		return appendBytes(dst, b)
	}
	at, width := len(dst), lengthSize(len(b))
	dst = appendCompact(append(dst, zeros[:width]...), b)
	return setLength(dst, at, width, len(dst)-at-width)
}

func appendBytes(dst, b []byte) []byte {
	return append(appendLength(dst, len(b)), b...)
}

func appendLength(dst []byte, n int) []byte {
	if n < 64 {
		return append(dst, byte(n<<1))
	}
	return appendZigzag(dst, int64(n))
}

const zeros = "\x00\x00\x00\x00\x00"

// setLength writes n into the width bytes that were kept at dst[at:], and moves what follows if n takes another
// number of bytes.
func setLength(dst []byte, at, width, n int) []byte {
	need := lengthSize(n)
	if need > width {
		dst = append(dst, zeros[:need-width]...)
		copy(dst[at+need:], dst[at+width:])
	} else if need < width {
		copy(dst[at+need:], dst[at+width:])
		dst = dst[:len(dst)-width+need]
	}
	binary.PutUvarint(dst[at:], uint64(n)<<1)
	return dst
}

// lengthSize is the size of length n as an Avro long. Lengths stay far below 2³⁴, so it is at most 5.
func lengthSize(n int) int { return (bits.Len64(uint64(n)<<1|1) + 6) / 7 }

func appendZigzag(dst []byte, v int64) []byte {
	return binary.AppendUvarint(dst, uint64(v)<<1^uint64(v>>63))
}

func (r *Reader) appendInteger(dst, raw []byte, s *Schema, i int, v value) []byte {
	n, ok := parseInteger(raw[v.start:v.end])
	if kind := s.Fields[i].Kind; !ok || kind == Int && n != int64(int32(n)) {
		width := 64
		if kind == Int {
			width = 32
		}
		r.problem(int(v.start), s.Fields[i].Name, CodeOutOfRange, "%s does not fit into %d bits", s.Fields[i].Name, width)
		return dst
	}
	return appendZigzag(dst, n)
}

// parseTime reads a time as RFC 3339 has it, which allows t and z as well as T and Z; package time does not.
// Source: RFC 3339 §5.6.
func parseTime(text []byte) (t time.Time, ok bool) {
	if t.UnmarshalText(text) == nil {
		return t, true
	}
	const at, longest = len("2026-11-22"), 64
	if len(text) <= at || len(text) > longest {
		return t, false
	}
	var b [longest]byte
	upper := b[:copy(b[:], text)]
	for _, i := range []int{at, len(upper) - 1} {
		if upper[i] == 't' || upper[i] == 'z' {
			upper[i] -= 'a' - 'A'
		}
	}
	return t, t.UnmarshalText(upper) == nil
}

func (r *Reader) appendTime(dst []byte, s *Schema, i int, v value, seconds int64) []byte {
	if s.Fields[i].Kind == Int && seconds != int64(int32(seconds)) {
		r.problem(int(v.start), s.Fields[i].Name, CodeOutOfRange, "time does not fit into 32 bits of seconds")
		return dst
	}
	return appendZigzag(dst, seconds)
}

// parseInteger reads what scanNumber called an integer; not ok: it does not fit into 64 bits.
func parseInteger(b []byte) (n int64, ok bool) {
	digits := b
	negative := b[0] == '-'
	if negative {
		digits = b[1:]
	}
	if len(digits) > 19 {
		return 0, false
	}
	var u uint64 // 19 digits fit
	for _, c := range digits {
		u = u*10 + uint64(c-'0')
	}
	if negative {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}

func (r *Reader) appendFloat(dst, raw []byte, s *Schema, i int, v value) []byte {
	width := 64
	if s.Fields[i].Kind == Float {
		width = 32
	}
	// ParseFloat wants a string and keeps it only in its error, which is not kept here.
	f, err := strconv.ParseFloat(unsafe.String(&raw[v.start], v.end-v.start), width)
	if err != nil {
		r.problem(int(v.start), s.Fields[i].Name, CodeOutOfRange, "%s is too large for a %d-bit float", s.Fields[i].Name, width)
		return dst
	}
	if width == 32 {
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(f)))
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

// appendStrings appends an array as one block. scanNested has been over it.
func (r *Reader) appendStrings(dst, raw []byte, s *Schema, field int, v value) []byte {
	at, n := len(dst), 0
	dst = append(dst, 0)
	i := scanSpace(raw, int(v.start)+1)
	for raw[i] != ']' {
		item, end := scanValue(raw, i, false)
		switch {
		case item.token == aString:
			if s.plan.steps[field].items {
				dst = append(dst, 2)
			}
			dst = appendString(dst, raw, item)
		case item.token == aNull && s.plan.steps[field].items:
			dst = append(dst, 0)
		default:
			r.problem(int(item.start), s.Fields[field].Name, CodeWrongType, "item %d of %s must be a string, not %v", n+1, s.Fields[field].Name, item.token)
		}
		n++
		if i = scanSpace(raw, end); raw[i] == ',' {
			i = scanSpace(raw, i+1)
		}
	}
	if n == 0 {
		return dst // the end of blocks, and no block before it
	}
	return append(setLength(dst, at, 1, n), 0)
}

func (o *Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

func (o *Options) appendID(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, 0)
	if o.NewID != nil {
		dst = o.NewID(dst)
	} else {
		dst = AppendUUID(dst, o.now())
	}
	return setLength(dst, at, 1, len(dst)-at-1)
}
