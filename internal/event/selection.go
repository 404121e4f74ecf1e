package event

import (
	"fmt"

	"github.com/millrace/millrace/internal/fault"
)

// All selects every type, those of later releases too.
const All = "all"

// Selection is a set of types. The zero value is empty. It is immutable and safe for concurrent use.
type Selection struct {
	all bool
	set []uint64 // by a type's place in the catalogue
}

// Select reads what a connector asks for: "all", names of groups, names of types.
//
// Unknown names, and asking for nothing, are reported together, as problems of the fields events[0], events[1] …
// A type selected twice is no problem.
func (c *Catalogue) Select(events []string) (Selection, []fault.Problem) {
	var problems []fault.Problem
	if len(events) == 0 {
		problems = append(problems, fault.Field("events", CodeRequired, "field.events_needed", "Choose at least one event type, a group or \"all\"."))
	}
	s := Selection{set: make([]uint64, (len(c.types)+63)/64)}
	for i, name := range events {
		if name == All {
			s.all = true
			continue
		}
		found := false
		for _, t := range c.types {
			if t.Name == name || string(t.Group) == name {
				s.set[t.index/64] |= 1 << (t.index % 64)
				found = true
			}
		}
		if !found {
			known := []string{All}
			for _, g := range Groups() {
				known = append(known, string(g))
			}
			problems = append(problems, unknownEvents(fmt.Sprintf("events[%d]", i), name, append(known, c.typeNames()...)))
		}
	}
	return s, problems
}

func unknownEvents(field, name string, known []string) fault.Problem {
	if near := fault.Nearest(name, known); near != "" {
		return fault.Field(field, CodeUnknownEventType, "field.events_unknown_near", `"{value}" is neither an event type nor a group; the nearest known name is "{near}"`,
			"value", fault.Escaped(clip(name)), "near", near)
	}
	return fault.Field(field, CodeUnknownEventType, "field.events_unknown", `"{value}" is neither an event type nor a group`, "value", fault.Escaped(clip(name)))
}

// Has reports whether the schema's type is selected.
func (s Selection) Has(schema *Schema) bool { return s.HasType(schema.Type) }

// HasType reports whether t, a type of the catalogue that made the selection, is selected.
func (s Selection) HasType(t *Type) bool {
	return !t.Internal && (s.all || t.index/64 < len(s.set) && s.set[t.index/64]>>(t.index%64)&1 == 1)
}

// suggest gives the end of a sentence about an unknown name.
func suggest(name string, known []string) string {
	if n := fault.Nearest(name, known); n != "" {
		return fmt.Sprintf("; the nearest known name is %q", n)
	}
	return ""
}
