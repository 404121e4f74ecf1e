package profile

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/control"
)

func TestWhoIsInBatchesStaysInMemoryAndMemoryIsBounded(t *testing.T) {
	somebody := func() *person { return &person{Person: &control.Person{}} }
	c := cache{limit: 100 * somebody().size()}
	key := func(i int) personKey { return personKey{1, control.PersonID(fmt.Sprint(i))} }
	regular := somebody()
	c.put(key(-1), regular)
	c.put(key(-2), somebody())
	for i := range 1000 {
		c.put(key(i), somebody())
		if i%20 == 0 {
			if c.get(key(-1)) != regular {
				t.Fatalf("who is in every twentieth batch is gone after %d", i)
			}
			c.put(key(-1), regular)
		}
		if n := len(c.young) + len(c.old); n > 100 {
			t.Fatalf("%d people are kept, of 100 for whom there is room", n)
		}
	}
	if c.get(key(-2)) != nil {
		t.Error("who never came again is still there")
	}
	if c.get(key(999)) == nil {
		t.Error("who came last is not")
	}
	c.drop(key(999))
	c.drop(key(-1))
	if c.get(key(999)) != nil || c.get(key(-1)) != nil {
		t.Error("who was to go is still there")
	}
}
