package profile

import (
	"testing"
	"time"
)

func TestABatchTakesHalfASecond(t *testing.T) {
	for name, x := range map[string]struct {
		most, n int
		took    time.Duration
		want    int
	}{
		"as long as it may":                     {1000, 1000, batchFor, 1000},
		"twice as long":                         {1000, 1000, 2 * batchFor, 500},
		"a quarter of it: not more than twice":  {1000, 1000, batchFor / 4, 2000},
		"no more had come":                      {1000, 10, time.Millisecond, 1000},
		"few, and they took long":               {4000, 500, 2 * batchFor, 500},
		"a moment in which nothing went on":     {32_000, 32_000, time.Hour, 4000},
		"never fewer than this":                 {batchLeast, batchLeast, time.Hour, batchLeast},
		"never more than this":                  {batchRecords, batchRecords, time.Microsecond, batchRecords},
		"nothing, in no time that can be told":  {1000, 0, 0, 1000},
		"a full batch in no time that was told": {1000, 1000, 0, 2000},
	} {
		if got := paced(x.most, x.n, x.took); got != x.want {
			t.Errorf("%s: %d after %d of %d in %v, want %d", name, got, x.n, x.most, x.took, x.want)
		}
	}
}
