package event

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/fault"
)

// token is the kind of a JSON value.
type token uint8

const (
	absent token = iota
	aString
	anInteger
	aFraction // a number with a fraction or an exponent
	aTrue
	aFalse
	aNull
	anObject
	anArray
)

// marks says what was met inside a value.
type marks uint8

const (
	escaped   marks = 1 << iota // a string with backslashes
	spaced                      // an object or array with white space between its tokens
	badEscape                   // an escape that means nothing, or half a surrogate pair
	badUTF8
	tooDeep
	overStack // deeper than the scanner follows

	spoilt = badEscape | badUTF8 | tooDeep
)

// value is where a JSON value stands: a string without its quotes, all else whole.
type value struct {
	start, end uint32
	token      token
	marks      marks
}

// Nesting: an event may have maxDepth levels, itself counted. Source: the ingest contract. The scanner follows
// maxStack levels, so that an event that is too deep can be told from the ones beside it.
const (
	maxDepth = 32
	maxStack = 512
)

// Functions of this file give the position after what they read. Where the text is not JSON they give ^p, p being
// the position of the first byte that cannot be.

func scanSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// stops sets the high bit of each byte of w that matters inside a string: a quote, a backslash, a control character.
// The lowest bit set is always true; above it there may be others that are not.
//
// Of bytes below 0x80, x-n sets the high bit where a byte of x is less than n, and (a borrow) perhaps above such a
// byte, never below one. Less than 0x21 after ^2 are the control characters and the quote; less than 1 after
// ^'\\' is the backslash.
func stops(w uint64) uint64 {
	return (((w ^ 2*ones) - 0x21*ones) | ((w ^ '\\'*ones) - ones)) &^ w & highs
}

// scanString reads from after the opening quote to the closing one and gives the closing quote's position. Loose,
// it looks for nothing but the end.
func scanString(b []byte, i int, loose bool) (int, marks) {
	if loose {
		return skipString(b, i), 0
	}
	var (
		m     marks
		high  uint64
		first = i
	)
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			if hit := stops(w); hit != 0 {
				high |= w & (hit&-hit - 1)
				i += bits.TrailingZeros64(hit) / 8
				break
			}
			high |= w
			i += 8
		}
		if i >= len(b) {
			return ^len(b), m
		}
		switch c := b[i]; {
		case c == '"':
			if high&highs != 0 && !utf8.Valid(b[first:i]) {
				m |= badUTF8
			}
			return i, m
		case c == '\\':
			var bad marks
			i, bad = scanEscape(b, i)
			m |= escaped | bad
		case c < ' ':
			return ^i, m
		default: // the last bytes of the text
			high |= uint64(c)
			i++
		}
	}
}

// skipString looks for the closing quote: the first with an even number of backslashes before it.
func skipString(b []byte, i int) int {
	for end := i; ; end++ {
		n := bytes.IndexByte(b[end:], '"')
		if n < 0 {
			return ^len(b)
		}
		end += n
		slash := end
		for slash > i && b[slash-1] == '\\' {
			slash--
		}
		if (end-slash)%2 == 0 {
			return end
		}
	}
}

// scanEscape reads the escape whose backslash stands at i; a surrogate pair is one escape. Of one that means
// nothing it reads the backslash alone.
func scanEscape(b []byte, i int) (int, marks) {
	if i+1 >= len(b) {
		return i + 1, badEscape // and scanString will miss the quote
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, 0
	case 'u':
		switch r := hex4(b[i+2:]); {
		case r < 0, r >= 0xDC00 && r < 0xE000:
			return i + 2, badEscape
		case r >= 0xD800 && r < 0xDC00:
			if i+8 > len(b) || b[i+6] != '\\' || b[i+7] != 'u' {
				return i + 6, badEscape
			}
			if low := hex4(b[i+8:]); low < 0xDC00 || low >= 0xE000 {
				return i + 6, badEscape
			}
			return i + 12, 0
		}
		return i + 6, 0
	}
	return i + 1, badEscape
}

// hex4 gives the number that four hex digits make, or -1.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

func scanNumber(b []byte, i int) (int, token) {
	if b[i] == '-' {
		i++
	}
	first := i
	i = scanDigits(b, i)
	if i < 0 {
		return i, absent
	}
	if b[first] == '0' && i > first+1 {
		return ^(first + 1), absent // no leading zeros
	}
	kind := anInteger
	if i < len(b) && b[i] == '.' {
		kind = aFraction
		if i = scanDigits(b, i+1); i < 0 {
			return i, absent
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		kind = aFraction
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i = scanDigits(b, i); i < 0 {
			return i, absent
		}
	}
	return i, kind
}

// scanDigits reads one digit or more.
func scanDigits(b []byte, i int) int {
	first := i
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	if i == first {
		return ^i
	}
	return i
}

func scanWord(b []byte, i int, word string) int {
	if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
		return i + len(word)
	}
	for k := range len(word) {
		if i+k >= len(b) || b[i+k] != word[k] {
			return ^(i + k)
		}
	}
	return i
}

// scanKey reads a key and its colon.
func scanKey(b []byte, i int) (value, int) {
	if i >= len(b) || b[i] != '"' {
		return value{}, ^i
	}
	end, m := scanString(b, i+1, false)
	if end < 0 {
		return value{}, end
	}
	key := value{uint32(i + 1), uint32(end), aString, m}
	if i = scanSpace(b, end+1); i >= len(b) || b[i] != ':' {
		return key, ^i
	}
	return key, i + 1
}

// scanValue reads the value that begins at i < len(b), inside an object.
func scanValue(b []byte, i int, loose bool) (value, int) {
	v := value{start: uint32(i)}
	end := i
	switch c := b[i]; c {
	case '"':
		if end, v.marks = scanString(b, i+1, loose); end < 0 {
			return v, end
		}
		v.token, v.start, v.end = aString, uint32(i+1), uint32(end)
		return v, end + 1
	case 't':
		v.token, end = aTrue, scanWord(b, i, "true")
	case 'f':
		v.token, end = aFalse, scanWord(b, i, "false")
	case 'n':
		v.token, end = aNull, scanWord(b, i, "null")
	case '{':
		v.token = anObject
		end, v.marks = scanNested(b, i, 1, loose)
	case '[':
		v.token = anArray
		end, v.marks = scanNested(b, i, 1, loose)
	default:
		if c != '-' && c-'0' > 9 {
			return v, ^i
		}
		end, v.token = scanNumber(b, i)
	}
	v.end = uint32(end)
	return v, end
}

// scanNested reads the object or array at i that has depth levels around it. It checks strings as scanValue does.
func scanNested(b []byte, i, depth int, loose bool) (int, marks) {
	var (
		m       marks
		objects [maxStack / 64]uint64 // a bit for each open level: it is an object
		open    int
	)
	// Each round reads one value, or the beginning of an object or array, then all that may follow before the next.
	for {
		if i >= len(b) {
			return ^i, m
		}
		opened := false
		switch c := b[i]; c {
		case '"':
			end, n := scanString(b, i+1, loose)
			if end < 0 {
				return end, m
			}
			m |= n
			i = end + 1
		case '{', '[':
			if open == maxStack {
				return ^i, m | overStack
			}
			if depth+open >= maxDepth {
				m |= tooDeep
			}
			if word, bit := &objects[open/64], uint64(1)<<(open%64); c == '{' {
				*word |= bit
			} else {
				*word &^= bit
			}
			open++
			i++
			opened = true
		case 't':
			i = scanWord(b, i, "true")
		case 'f':
			i = scanWord(b, i, "false")
		case 'n':
			i = scanWord(b, i, "null")
		default:
			if c != '-' && c-'0' > 9 {
				return ^i, m
			}
			i, _ = scanNumber(b, i)
		}
		if i < 0 {
			return i, m
		}

		inObject := false
		for { // the ends of this level and of those around it
			if open == 0 {
				return i, m
			}
			if i < len(b) && b[i] <= ' ' {
				if k := scanSpace(b, i); k > i {
					i, m = k, m|spaced
				}
			}
			if i >= len(b) {
				return ^i, m
			}
			inObject = objects[(open-1)/64]>>((open-1)%64)&1 == 1
			if c := b[i]; c == '}' && inObject || c == ']' && !inObject {
				open--
				i++
				opened = false
				continue
			}
			break
		}
		if !opened {
			if b[i] != ',' {
				return ^i, m
			}
			if k := scanSpace(b, i+1); k > i+1 {
				i, m = k, m|spaced
			} else {
				i = k
			}
		}
		if inObject {
			if i >= len(b) || b[i] != '"' {
				return ^i, m
			}
			end, n := scanString(b, i+1, loose)
			if end < 0 {
				return end, m
			}
			m |= n
			i = end + 1
			k := scanSpace(b, i)
			if k >= len(b) || b[k] != ':' {
				return ^k, m
			}
			next := scanSpace(b, k+1)
			if next > i+1 {
				m |= spaced
			}
			i = next
		}
	}
}

// SkipValue gives the length of the JSON value at the front of raw: n bytes, white space before it included, none
// after it. It is how a body that holds several events is cut into single ones.
//
// It checks the grammar, but not what Read checks of each event by itself: UTF-8, the meaning of escapes, and
// nesting up to 512 levels. A number at the end of raw ends there.
//
// Errors: invalid; n is then the position of the first byte that cannot stand where it stands, or len(raw) if the
// text ends too early.
func SkipValue(raw []byte) (n int, err error) {
	i := scanSpace(raw, 0)
	if i == len(raw) {
		return i, notJSON(raw, i)
	}
	v, end := scanValue(raw, i, true)
	if v.marks&overStack != 0 {
		return ^end, fault.New(fault.Invalid, "read JSON", "nested deeper than %d levels at byte %d", maxStack, ^end)
	}
	if end < 0 {
		return ^end, notJSON(raw, ^end)
	}
	return end, nil
}

func notJSON(raw []byte, at int) error {
	return fault.New(fault.Invalid, "read JSON", "%s", describeBreak(raw, at))
}
