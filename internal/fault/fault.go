// Package fault names the ways anything can go wrong: codes, one error type, and field problems.
//
// Every room may import it. Errors from outside (SQL, S3, the disk, HTTP) are turned into a Code once, at the
// door where they come in, by code or type and never by text; after that callers branch on Code alone.
//
// Start reading at Error. The tables from codes to HTTP statuses and exit codes stand in codes.go.
package fault

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Error is a failure a caller can act on.
//
// Message and Hint are English sentences with {name} places filled from Params; their Key lets a catalogue of
// another language say the same. Cause is for logs only: it never leaves the process in an answer.
type Error struct {
	Code   Code
	Op     string  // what was being done, e.g. "open segment 12"
	Msg    Message // what happened, where
	Hint   Message // what to do now; may be empty
	Params Params
	Fields []Problem // every field problem found, in the order of the input

	// Retry says whether the same call can succeed later without anybody changing anything.
	Retry bool
	// RetryAfter is how long to wait before it; 0: no advice.
	RetryAfter time.Duration

	Cause error
}

// Message is a sentence with a stable key. Text is the English form.
type Message struct {
	Key  string
	Text string
}

// Params fills the {name} places of a Message.
type Params map[string]any

// Problem is what is wrong with one field of an input. Message is English, with its places filled; Key and Params let
// a catalogue of another language say the same, where a member may read it on a page.
type Problem struct {
	Field   string `json:"field"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Key     string `json:"-"` // empty: nobody but operators and scripts meets it
	Params  Params `json:"-"`
}

// Field gives the problem of a field that the catalogues say under key. message is the English sentence; pairs are the
// names of its places and their values in turn.
func Field(field, code, key, message string, pairs ...any) Problem {
	params := Params{}
	for i := 0; i < len(pairs); i += 2 {
		params[pairs[i].(string)] = pairs[i+1]
	}
	return Problem{Field: field, Code: code, Message: fill(message, params), Key: key, Params: params}
}

// Escaped gives what somebody wrote as %q does, without the quotation marks: those are the sentence's, for languages
// have their own. Characters that leave nothing to be seen are written out too.
func Escaped(s string) string {
	q := strconv.Quote(s)
	return Visible(q[1 : len(q)-1])
}

// Visible writes the characters of s out that are printable and show nothing, as %q does with those that are not: two texts
// that look alike are then two.
// Source: Unicode Standard Annex 44, Default_Ignorable_Code_Point; what else has that property is not printable.
func Visible(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool {
	return r > unicode.MaxASCII && unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// At returns e, told as the problem of a field too: so that a form can say it there.
func (e *Error) At(field, code string) *Error {
	e.Fields = append(e.Fields, Problem{field, code, e.Message(), e.Msg.Key, e.Params})
	return e
}

// New makes an error of code with an English sentence.
//
// Use it where the sentence is for operators and logs. One that a member may read on a page has a Message with a key.
func New(code Code, op, format string, args ...any) *Error {
	return &Error{Code: code, Op: op, Msg: Message{Text: fmt.Sprintf(format, args...)}}
}

// Wrap adds what was being done to err and keeps its code. It returns nil for nil.
func Wrap(err error, op string) error {
	if err == nil {
		return nil
	}
	return &wrapped{op: op, err: err}
}

// From turns a foreign error into one of code at the door where it comes in. It returns nil for nil.
func From(err error, code Code, op string) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Op: op, Cause: err}
}

// WithHint returns e with an English hint: what to do now.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = Message{Text: fmt.Sprintf(format, args...)}
	return e
}

// WithRetry returns e marked as passing, with advice how long to wait.
func (e *Error) WithRetry(after time.Duration) *Error {
	e.Retry, e.RetryAfter = true, after
	return e
}

// WithCause returns e with the error behind it, for logs.
func (e *Error) WithCause(err error) *Error {
	e.Cause = err
	return e
}

// Error gives operation, sentence, field problems and cause on one line. It is for logs and terminals, so that what shows
// nothing is written out in it.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op)
		b.WriteString(": ")
	}
	if t := e.Message(); t != "" {
		b.WriteString(t)
	} else if e.Cause == nil {
		b.WriteString(string(e.Code))
	}
	for _, p := range e.Fields {
		if p.Key != "" && p.Key == e.Msg.Key {
			continue // it is what the sentence says already
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s (%s)", p.Field, p.Message, p.Code)
	}
	if e.Cause != nil {
		if t := e.Message(); t != "" {
			b.WriteString(": ")
		}
		b.WriteString(e.Cause.Error())
	}
	return Visible(b.String())
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Message is the English sentence with its places filled, without operation and cause.
func (e *Error) Message() string { return fill(e.Msg.Text, e.Params) }

// HintText is the English hint with its places filled; empty if there is none.
func (e *Error) HintText() string { return fill(e.Hint.Text, e.Params) }

// fill puts params into the places of s, in one pass: what is filled in is not searched for places again.
func fill(s string, params Params) string {
	var b strings.Builder
	for len(params) > 0 {
		before, rest, ok := strings.Cut(s, "{")
		if !ok {
			break
		}
		b.WriteString(before)
		name, after, ok := strings.Cut(rest, "}")
		v, known := params[name]
		if !ok || !known {
			b.WriteByte('{')
			s = rest
			continue
		}
		fmt.Fprint(&b, v)
		s = after
	}
	b.WriteString(s)
	return b.String()
}

type wrapped struct {
	op  string
	err error
}

func (w *wrapped) Error() string { return w.op + ": " + w.err.Error() }
func (w *wrapped) Unwrap() error { return w.err }

// CodeOf gives the code of the first Error in err's chain; Internal if there is none, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

// Is reports whether err carries code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }

// As gives the first Error in err's chain, or nil.
func As(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return nil
}

// HintOf gives the first hint in err's tree, joined errors in their order; empty if there is none.
func HintOf(err error) string {
	for err != nil {
		if e, ok := err.(*Error); ok && e.Hint.Text != "" {
			return e.HintText()
		}
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range many.Unwrap() {
				if h := HintOf(e); h != "" {
					return h
				}
			}
			return ""
		}
		err = errors.Unwrap(err)
	}
	return ""
}
