package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

// frame cuts a body into its events and gives each, with space around it, to take, in order. It stops at the first
// error of take.
//
// Lines: each line that is not blank is an event, whatever it holds. Whole: an array, or an object with the single
// member events; the array's elements are events.
// Errors: invalid, if a whole is not JSON or has other members. Some events may have been given by then.
func frame(body []byte, f form, take func(raw []byte) error) error {
	if f == lines {
		return frameLines(body, take)
	}
	c := cursor{b: body}
	switch c.peek() {
	case '[':
		if err := c.array(take); err != nil {
			return err
		}
	case '{':
		if err := c.envelope(take); err != nil {
			return err
		}
	default:
		return c.broken(c.i)
	}
	if c.peek(); c.i < len(body) {
		return c.broken(c.i)
	}
	return nil
}

func frameLines(body []byte, take func([]byte) error) error {
	for len(body) > 0 {
		line := body
		if i := bytes.IndexByte(body, '\n'); i >= 0 {
			line, body = body[:i], body[i+1:]
		} else {
			body = nil
		}
		c := cursor{b: line}
		if c.peek(); c.i == len(line) {
			continue
		}
		if err := take(line); err != nil {
			return err
		}
	}
	return nil
}

// cursor goes through a body that is one JSON value.
type cursor struct {
	b []byte
	i int
}

// peek skips white space and gives the byte that follows; 0 at the end, where no byte of JSON is 0.
func (c *cursor) peek() byte {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ' ', '\t', '\r', '\n':
			c.i++
		default:
			return c.b[c.i]
		}
	}
	return 0
}

// value goes over one value and gives its text.
func (c *cursor) value() ([]byte, error) {
	n, err := event.SkipValue(c.b[c.i:])
	if err != nil {
		return nil, c.broken(c.i + n)
	}
	v := c.b[c.i : c.i+n]
	c.i += n
	return v, nil
}

// list goes over the members of an array or object that ends with end, of which each is read by item.
func (c *cursor) list(end byte, item func() error) error {
	c.i++
	if c.peek() == end {
		c.i++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		switch c.peek() {
		case ',':
			c.i++
		case end:
			c.i++
			return nil
		default:
			return c.broken(c.i)
		}
	}
}

func (c *cursor) array(take func([]byte) error) error {
	return c.list(']', func() error {
		v, err := c.value()
		if err != nil {
			return err
		}
		return take(v)
	})
}

// maxNamed is how many members of an envelope are listed as unknown.
const maxNamed = 20

func (c *cursor) envelope(take func([]byte) error) error {
	var problems []fault.Problem
	seen, bare := false, false
	err := c.list('}', func() error {
		if c.peek() != '"' {
			return c.broken(c.i)
		}
		at := c.i
		v, err := c.value()
		if err != nil {
			return err
		}
		var name string
		if json.Unmarshal(v, &name) != nil {
			return c.broken(at)
		}
		if c.peek() != ':' {
			return c.broken(c.i)
		}
		c.i++
		switch {
		case name == "events" && !seen:
			seen = true
			if c.peek() == '[' {
				return c.array(take)
			}
			problems = append(problems, fault.Problem{Field: name, Code: event.CodeWrongType, Message: "events must be an array of events"})
		case name == "events":
			problems = append(problems, fault.Problem{Field: name, Code: event.CodeDuplicateField, Message: "events stands twice"})
		case len(problems) < maxNamed:
			bare = bare || name == "event_type"
			name = fmt.Sprintf("%.100s", name)
			problems = append(problems, fault.Problem{Field: name, Code: event.CodeUnknownField, Message: "the only member beside the events is events"})
		}
		_, err = c.value()
		return err
	})
	if err != nil {
		return err
	}
	if !seen {
		problems = append(problems, fault.Problem{Field: "events", Code: event.CodeRequired, Message: "events, an array, is missing"})
	}
	if len(problems) == 0 {
		return nil
	}
	e := fault.New(fault.Invalid, "read envelope", `The body must be {"events":[…]} with nothing else in it; nothing was appended.`)
	if bare {
		e.WithHint("A single event is sent as a line of application/x-ndjson, or inside of an array.")
	}
	e.Fields = problems
	return e
}

// broken is the error for a body that stops being JSON at byte i.
func (c *cursor) broken(i int) error {
	if i >= len(c.b) {
		return fault.New(fault.Invalid, "read body", "The body ends before its JSON does, at byte %d; nothing was appended.", len(c.b))
	}
	return fault.New(fault.Invalid, "read body", "The body is not JSON at byte %d; nothing was appended.", i).
		WithHint("application/json takes an array of events, or an object with the member events. For one event a line the Content-Type is application/x-ndjson.")
}
