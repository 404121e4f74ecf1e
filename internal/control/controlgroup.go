package control

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/fault"
)

// Buckets are ranges of random buckets, "0-499,9000-9499": both ends belong to a range. Empty: none. The value can be
// compared; ParseBuckets gives the one form in which it is written.
type Buckets string

// BucketRange is random buckets from First to Last.
type BucketRange struct{ First, Last int }

// lastBucket is the highest of the random buckets. Source: Braze, "Random bucket number".
const lastBucket = 9999

// maxBucketRanges bounds the ranges of one control group.
const maxBucketRanges = 100

// BucketsOf writes ranges, sorted and joined where they touch. Errors: invalid, naming field.
func BucketsOf(field string, ranges []BucketRange) (Buckets, error) {
	var ps []fault.Problem
	if len(ranges) > maxBucketRanges {
		ps = append(ps, fault.Field(field, "too_many", "field.too_many_named", "At most {most} can be named.", "most", maxBucketRanges))
	}
	for i, r := range ranges {
		if r.First < 0 || r.Last > lastBucket || r.First > r.Last {
			ps = append(ps, fault.Field(index(field, i), "out_of_range", "field.bucket_range", "A range goes from one random bucket to the same or a higher one, between 0 and 9999."))
		}
	}
	if err := invalid("", ps); err != nil {
		return "", err
	}
	ranges = slices.Clone(ranges)
	slices.SortFunc(ranges, func(a, b BucketRange) int { return a.First - b.First })
	var joined []BucketRange
	for _, r := range ranges {
		if n := len(joined); n > 0 && r.First <= joined[n-1].Last+1 {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
			continue
		}
		joined = append(joined, r)
	}
	var b strings.Builder
	for i, r := range joined {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d-%d", r.First, r.Last)
	}
	return Buckets(b.String()), nil
}

// Ranges reads what BucketsOf wrote.
func (b Buckets) Ranges() (all []BucketRange) {
	for r := range strings.SplitSeq(string(b), ",") {
		first, last, _ := strings.Cut(r, "-")
		from, err := strconv.Atoi(first)
		to, wrong := strconv.Atoi(last)
		if err == nil && wrong == nil {
			all = append(all, BucketRange{from, to})
		}
	}
	return all
}

// Filter holds the people of those buckets; of none it holds nobody.
func (b Buckets) Filter() Filter {
	any := Filter{}
	for _, r := range b.Ranges() {
		least, most := float64(r.First), float64(r.Last)
		any.Any = append(any.Any, Filter{Attribute: &Condition{Name: "random_bucket", AtLeast: &least, AtMost: &most}})
	}
	if len(any.Any) == 0 {
		return Filter{Not: &Filter{}}
	}
	return any
}

// workspaceRef is how WorkspaceBy is asked for a number.
func workspaceRef(number uint32) string { return strconv.FormatUint(uint64(number), 10) }

// texts gives values of a kind as texts.
func texts[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}
