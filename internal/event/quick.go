package event

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// passes is for how many events of a type quick is not tried after one whose fields were not in the schema's order.
const passes = 64

// quick reads an event that begins with event_type, has the fields in the schema's order, and no fault. Not ok:
// it is not one of these, or may not be, and is to be read again by scan and write.
func (r *Reader) quick(dst, raw []byte, o *Options) (out []byte, s *Schema, ok bool) {
	const key = `"` + eventTypeKey + `":`
	i := scanSpace(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return nil, nil, false
	}
	i = scanSpace(raw, i+1)
	if len(raw)-i < len(key) || string(raw[i:i+len(key)]) != key {
		return nil, nil, false
	}
	i = scanSpace(raw, i+len(key))
	if i >= len(raw) || raw[i] != '"' {
		return nil, nil, false
	}
	from := i + 1
	if i = skipString(raw, from); i < 0 {
		return nil, nil, false
	}
	t := r.c.known.find(raw[from:i])
	if t < 0 {
		return nil, nil, false
	}
	s = r.c.types[t].Newest()
	learnt := &r.learnt[s.plan.ordinal]
	if learnt.pass > 0 {
		learnt.pass--
		return nil, nil, false
	}
	var (
		keys  = s.plan.keys
		steps = s.plan.steps
		next  = learnt.next[:len(keys)]
		last  = len(steps) // event_type
		field = 0          // all before it are written
	)
	dst = slices.Grow(dst, len(raw)+room(len(steps)))
	for i++; ; {
		if i = scanSpace(raw, i); i >= len(raw) {
			return nil, nil, false
		}
		if raw[i] != ',' {
			break
		}
		i = scanSpace(raw, i+1)

		g := int(next[last])
		if !keys[g].standsAt(raw, i) {
			if g = int(next[g]); !keys[g].standsAt(raw, i) {
				if g = s.plan.fieldAt(raw, i); g < 0 {
					return nil, nil, false
				}
				next[last] = uint16(g)
			}
		}
		if g < field || g == len(steps) {
			learnt.pass = passes
			return nil, nil, false
		}
		for ; field < g; field++ {
			if steps[field].nullable {
				dst = append(dst, 0)
			} else {
				dst = r.put(dst, raw, s, field, value{}, o)
			}
		}
		last, field = g, g+1
		if i = scanSpace(raw, i+len(keys[g].text)); i >= len(raw) {
			return nil, nil, false
		}

		step := &steps[g]
		if raw[i] == '"' && step.op <= opJSON {
			if step.nullable {
				dst = append(dst, 2)
			}
			if dst, i = appendJSONString(dst, raw, i+1); i < 0 {
				return nil, nil, false
			}
			continue
		}
		v, end := scanValue(raw, i, false)
		if end < 0 || v.marks&spoilt != 0 {
			return nil, nil, false
		}
		dst = r.put(dst, raw, s, g, v, o)
		i = end
	}
	if raw[i] != '}' || scanSpace(raw, i+1) != len(raw) {
		return nil, nil, false
	}
	for ; field < len(steps); field++ {
		dst = r.put(dst, raw, s, field, value{}, o)
	}
	return dst, s, len(r.found) == 0
}

// fieldAt gives the field whose key stands at b[i:], without escapes or space before its colon, or -1.
func (p *plan) fieldAt(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	end := bytes.IndexByte(b[i+1:], '"')
	if end < 0 {
		return -1
	}
	g := p.names.find(b[i+1 : i+1+end])
	if g >= 0 && !p.keys[g].standsAt(b, i) {
		return -1
	}
	return g
}

// appendJSONString appends the string that begins at raw[i:], after its opening quote, with its length, and gives
// the position after its closing quote. It checks, copies and resolves escapes in the same pass, step bytes at a time:
// what is copied beyond the string is overwritten by what comes next.
//
// The position is negative for a string with a fault, and where there is no room for a word; dst is then of no use.
func appendJSONString(dst, raw []byte, i int) ([]byte, int) {
	const step = 16
	var (
		first = i
		at    = len(dst)
		out   = dst[:cap(dst)]
		w     = at + 1 // behind a length of one byte
		high  uint64
	)
	for {
		if w+step > len(out) {
			return dst, -1
		}
		var from []byte
		if i+step <= len(raw) {
			from = raw[i : i+step]
		} else {
			var last [step]byte // zeros behind the text, which are control characters
			copy(last[:], raw[i:])
			from = last[:]
		}
		to := out[w : w+step]
		x, y := binary.LittleEndian.Uint64(from), binary.LittleEndian.Uint64(from[8:])
		binary.LittleEndian.PutUint64(to, x)
		binary.LittleEndian.PutUint64(to[8:], y)
		hit, second := stops(x), stops(y)
		if hit|second == 0 {
			high |= x | y
			i += step
			w += step
			continue
		}
		n := 0
		if hit == 0 {
			high |= x
			n, x, hit = 8, y, second
		}
		high |= x & (hit&-hit - 1)
		n += bits.TrailingZeros64(hit) / 8
		i += n
		w += n
		if i >= len(raw) {
			return dst, -1
		}
		switch raw[i] {
		case '"':
			if high&highs != 0 && !utf8.Valid(raw[first:i]) {
				return dst, -1
			}
			n := w - at - 1
			if n < 64 {
				out[at] = byte(n << 1)
				return out[:w], i + 1
			}
			return setLength(out[:w], at, 1, n), i + 1
		case '\\':
			if i+1 < len(raw) {
				if c := shortEscapes[raw[i+1]]; c != 0 {
					out[w] = c
					w++
					i += 2
					continue
				}
			}
			next, bad := scanEscape(raw, i)
			if bad != 0 {
				return dst, -1
			}
			w = len(appendUnescaped(out[:w], raw[i:next]))
			i = next
		default:
			return dst, -1
		}
	}
}

// shortEscapes is what the letter after a backslash stands for.
var shortEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}
