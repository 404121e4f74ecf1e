package event

import "strings"

// longestSuggested bounds the work of a suggestion: what is longer than any name is not a misspelt one.
const longestSuggested = 128

// nearest gives the name of all that is fewest edits away from s, or "" if none resembles it: at most a third of
// the letters may differ, upper and lower case not counted.
func nearest(s string, all []string) string {
	if len(s) > longestSuggested {
		return ""
	}
	s = strings.ToLower(s)
	best, least := "", len(s)/3+1
	for _, name := range all {
		if d := distance(s, strings.ToLower(name), least); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or exchange to turn a into b; any number ≥ limit stands for
// "limit or more".
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal, least := row[0], i+1
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], d
			least = min(least, d)
		}
		if least >= limit {
			return limit
		}
	}
	return row[len(b)]
}
