package fault

import (
	"math"
	"strings"
)

// Nearest gives the one of known that was most likely meant by name, or "" if none resembles it: at most a third of
// its bytes, rounded up, may differ. Upper and lower case do not count. Of several as near the first is taken.
//
// The work is bounded by the names of known, however long name is, so that it can be done for every bad event.
func Nearest(name string, known []string) string {
	return nearest(name, known, (min(len(name), longestMeant)+2)/3+1)
}

// Closest is Nearest for those who always name one: whatever is fewest edits away, however many these are. It is ""
// only if known is empty.
func Closest(name string, known []string) string { return nearest(name, known, math.MaxInt) }

// longestMeant is where names are cut before they are compared: nothing that is known is longer, and it bounds the work.
const longestMeant = 128

func nearest(name string, known []string, least int) string {
	name = strings.ToLower(name[:min(len(name), longestMeant)])
	best := ""
	for _, k := range known {
		if d := distance(name, strings.ToLower(k), least); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is how many bytes to insert, delete or exchange, and how many pairs of neighbours to swap, to turn a into
// b; limit or more stands for "at least limit".
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, prev, row = prev, row, before
		row[0] = i + 1
		least := row[0]
		for j := range len(b) {
			if a[i] == b[j] {
				row[j+1] = prev[j]
			} else {
				row[j+1] = 1 + min(prev[j], prev[j+1], row[j])
				if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
					row[j+1] = min(row[j+1], before[j-1]+1)
				}
			}
			least = min(least, row[j+1])
		}
		// A swap looks back two rows, and the least of neighbouring rows differs by one at most: over the limit
		// here means that neither of the two leads to anything below it.
		if least > limit {
			return limit
		}
	}
	return row[len(b)]
}
