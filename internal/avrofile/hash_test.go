package avrofile

import (
	"testing"

	"pgregory.net/rapid"
)

func hashOf(first int64, recs [][]byte) Hash {
	var h Hash
	for i, r := range recs {
		h.Add(first+int64(i), r)
	}
	return h
}

func TestHashOfPartsIsThatOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		recs := rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "records")
		first := rapid.Int64Min(0).Draw(t, "first")
		cut := rapid.IntRange(0, len(recs)).Draw(t, "cut")
		whole := hashOf(first, recs)
		head, tail := hashOf(first, recs[:cut]), hashOf(first+int64(cut), recs[cut:])
		sum := head
		sum.Merge(tail)
		if sum != whole {
			t.Fatalf("parts %s, whole %s", sum, whole)
		}
		rest := whole
		rest.Remove(tail)
		if rest != head {
			t.Fatalf("whole less tail %s, head %s", rest, head)
		}
		if back, ok := ParseHash(whole.String()); !ok || back != whole {
			t.Fatalf("%s was read back as %s", whole, back)
		}
	})
}

func TestHashTellsOrderRepetitionAndBordersApart(t *testing.T) {
	a, b := []byte("a"), []byte("b")
	base := hashOf(10, [][]byte{a, b})
	for why, other := range map[string]Hash{
		"order":             hashOf(10, [][]byte{b, a}),
		"place":             hashOf(11, [][]byte{a, b}),
		"one record":        hashOf(10, [][]byte{[]byte("ab")}),
		"one more":          hashOf(10, [][]byte{a, b, b}),
		"one twice":         hashOf(10, [][]byte{a, a}),
		"an empty one more": hashOf(10, [][]byte{a, b, nil}),
		"none":              {},
	} {
		if other == base {
			t.Errorf("the hash does not see %s", why)
		}
	}
}

// The value of a hash stands in every object's metadata, so it may never change.
func TestHashIsFrozen(t *testing.T) {
	h := hashOf(41, [][]byte{[]byte("one"), {}, []byte("three")})
	h.Add(1<<40, make([]byte, 1000))
	if got, want := h.String(), "8419a224000234c2bbda9e34c447333d"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParseHashTakesOneSpelling(t *testing.T) {
	for _, s := range []string{"", "0", "0123456789ABCDEF0123456789abcdef", "0123456789abcdef0123456789abcdeg", "0123456789abcdef0123456789abcdef00"} {
		if _, ok := ParseHash(s); ok {
			t.Errorf("%q was read", s)
		}
	}
}
