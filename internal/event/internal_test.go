package event

import (
	"slices"
	"testing"
)

func TestInternalRecordsAreNobodysToChoose(t *testing.T) {
	c, err := NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := c.Schema(PersonChange)
	if !ok || !s.Type.Internal {
		t.Fatal("a reader of the log cannot tell what it is")
	}
	if s.ID >= FirstOwnID {
		t.Error("an operator could give the id to a type of their own")
	}
	all, _ := c.Select([]string{All})
	if all.Has(s) {
		t.Error("a connector with all types would get it")
	}
	if _, problems := c.Select([]string{s.Type.Name}); len(problems) == 0 {
		t.Error("a connector can ask for it by name")
	}
	if _, known := c.Type(s.Type.Name); known || slices.Contains(c.Types(), s.Type) || slices.Contains(c.Schemas(), s) {
		t.Error("it is listed among the event types")
	}
}
