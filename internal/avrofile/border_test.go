package avrofile

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestBlocksKeepTheirBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offset := rapid.Int64Min(0).Draw(t, "offset")
		if BorderAfter(offset, rapid.IntRange(0, MinBlock-1).Draw(t, "small")) {
			t.Fatal("a block below the least size ends")
		}
		if !BorderAfter(offset, rapid.IntRange(MaxBlock, 1<<30).Draw(t, "large")) {
			t.Fatal("a block of the greatest size goes on")
		}
	})
}

// walk gives the index of each record in sizes after which a block ends, for a reader that begins at from.
func walk(offsets []int64, sizes []int, from int) map[int]bool {
	ends := map[int]bool{}
	size := 0
	for i := from; i < len(offsets); i++ {
		size += sizes[i]
		if BorderAfter(offsets[i], size) {
			ends[i] = true
			size = 0
		}
	}
	return ends
}

func TestReadersThatBeginApartSoonAgreeOnBorders(t *testing.T) {
	for _, stride := range []int64{1, 10, 89, 1597, 1 << 16} { // two of them Fibonacci numbers
		for _, mean := range []int{120, 500, 4000} {
			r := rand.New(rand.NewPCG(uint64(stride), uint64(mean)))
			const n = 20_000
			offsets, sizes := make([]int64, n), make([]int, n)
			at := int64(1 << 33)
			for i := range offsets {
				at += stride
				offsets[i], sizes[i] = at, mean/2+r.IntN(mean)
			}
			const tries = 50
			sum := 0
			for range tries {
				a := r.IntN(1000)
				b := a + 1 + r.IntN(1000)
				one, two := walk(offsets, sizes, a), walk(offsets, sizes, b)
				meet := b
				for meet < n && !(one[meet] && two[meet]) {
					meet++
				}
				if meet == n {
					t.Fatalf("stride %d, %d bytes: readers from %d and %d never agree", stride, mean, a, b)
				}
				for i := meet; i < n; i++ {
					if one[i] != two[i] {
						t.Fatalf("stride %d, %d bytes: borders part again at %d", stride, mean, i)
					}
				}
				sum += meet - b
			}
			if got := sum / tries; got > 1000 {
				t.Errorf("stride %d, %d bytes: agreement takes %d records", stride, mean, got)
			}
		}
	}
}
