package event

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/fault"
)

// The codes of what can be wrong with an event. They stand in answers and in docs; the set is closed.
const (
	CodeRequired         = "required"           // missing, or null where a value must be
	CodeWrongType        = "wrong_type"         // a JSON value of another kind
	CodeOutOfRange       = "out_of_range"       // a number too large for the field, an id too short or too long
	CodeNotInteger       = "not_integer"        // a fraction or an exponent where an integer belongs
	CodeInvalidUTF8      = "invalid_utf8"       // bytes that are not UTF-8
	CodeInvalidEscape    = "invalid_escape"     // an unknown escape, or half a surrogate pair
	CodeDuplicateField   = "duplicate_field"    // a field that stands twice
	CodeTooDeep          = "too_deep"           // nested deeper than 32 levels
	CodeTooLarge         = "too_large"          // more than MaxEventBytes
	CodeUnknownField     = "unknown_field"      // a field that the type does not have
	CodeUnknownEventType = "unknown_event_type" // a type that the catalogue does not have
	CodeInvalidTime      = "invalid_time"       // a time that is not RFC 3339
	CodeInvalidJSON      = "invalid_json"       // not one JSON value
)

// maxProblems bounds what is told about one event, and so the memory that a hostile one can take.
const maxProblems = 100

// found is a problem and where in the input it was met.
type found struct {
	at int
	fault.Problem
}

func (r *Reader) problem(at int, field, code, format string, args ...any) {
	if len(r.found) < maxProblems {
		r.found = append(r.found, found{at, fault.Problem{Field: field, Code: code, Message: fmt.Sprintf(format, args...)}})
	}
}

// spoilt reports what the scanner marked in a value, or key, of field.
func (r *Reader) spoilt(at int, field string, m marks) {
	if m&badUTF8 != 0 {
		r.problem(at, field, CodeInvalidUTF8, "%s holds bytes that are not UTF-8", field)
	}
	if m&badEscape != 0 {
		r.problem(at, field, CodeInvalidEscape, "%s holds a backslash escape that stands for no character", field)
	}
	if m&tooDeep != 0 {
		r.problem(at, field, CodeTooDeep, "%s is nested too deep: an event may have %d levels", field, maxDepth)
	}
}

// takeProblems gives what was found, in the order of the input, and forgets it.
func (r *Reader) takeProblems() []fault.Problem {
	slices.SortStableFunc(r.found, func(a, b found) int { return cmp.Compare(a.at, b.at) })
	problems := make([]fault.Problem, len(r.found))
	for i, f := range r.found {
		problems[i] = f.Problem
	}
	r.forget()
	return problems
}

func (r *Reader) forget() {
	clear(r.found)
	r.found = r.found[:0]
}

// describeBreak says where JSON text stops being JSON. Bytes are counted from 0.
func describeBreak(raw []byte, at int) string {
	if at >= len(raw) {
		return fmt.Sprintf("it is not JSON: it ends too early, after %d bytes", len(raw))
	}
	what := strconv.QuoteRune(rune(raw[at]))
	if c := raw[at]; c < ' ' || c >= 0x7f {
		what = fmt.Sprintf("the byte %#02x", c)
	}
	what = fmt.Sprintf("it is not JSON: %s cannot stand at byte %d", what, at)
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		what += "; an event is an object, {…}"
	}
	return what
}

// clip makes a text from outside fit to be repeated in a sentence.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most]
		for len(s) > most-utf8.UTFMax && !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
		s += "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func (t token) String() string {
	switch t {
	case aString:
		return "a string"
	case anInteger, aFraction:
		return "a number"
	case aTrue, aFalse:
		return "a boolean"
	case aNull:
		return "null"
	case anObject:
		return "an object"
	case anArray:
		return "an array"
	}
	return "nothing"
}

func (o op) String() string {
	switch o {
	case opString, opID:
		return "a string"
	case opJSON:
		return "a string or an object"
	case opTimeInt, opTimeLong:
		return "an integer of seconds or an RFC 3339 string"
	case opInt, opLong:
		return "an integer"
	case opFloat, opDouble:
		return "a number"
	case opBoolean:
		return "a boolean"
	case opStrings:
		return "an array of strings"
	}
	return "unknown"
}
