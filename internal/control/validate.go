package control

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/fault"
)

// Longest name of a workspace, connector or key, in characters.
const maxName = 100

// validateName gives the problem of a name, if it has one. A slash is refused because commands write
// WORKSPACE/NAME.
func validateName(field, name string) []fault.Problem {
	problem := func(code, format string, args ...any) []fault.Problem {
		return []fault.Problem{{Field: field, Code: code, Message: fmt.Sprintf(format, args...)}}
	}
	switch {
	case name == "":
		return problem("required", "A name is needed.")
	case !utf8.ValidString(name):
		return problem("invalid_utf8", "The name is not valid UTF-8.")
	case utf8.RuneCountInString(name) > maxName:
		return problem("too_long", "A name has at most %d characters.", maxName)
	case strings.TrimSpace(name) != name:
		return problem("invalid", "A name neither begins nor ends with a space.")
	case strings.Contains(name, "/"):
		return problem("invalid", "A name holds no slash, because commands write WORKSPACE/NAME.")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return problem("invalid", "A name holds printable characters only.")
	}
	return nil
}

// oneOf is the problem of a value that is none of those that exist; it names the nearest.
func oneOf(field, got string, valid ...string) fault.Problem {
	p := fault.Problem{Field: field, Code: "unknown_value", Message: fmt.Sprintf("%q is none of %s.", got, strings.Join(valid, ", "))}
	if near := Nearest(got, valid); near != "" {
		p.Message += fmt.Sprintf(" Did you mean %q?", near)
	}
	return p
}

func index(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// Nearest gives the one of valid that was most likely meant by got; empty if none is close.
func Nearest(got string, valid []string) string {
	best, dist := "", max(2, len(got)/3)+1
	for _, v := range valid {
		if d := distance(strings.ToLower(got), strings.ToLower(v)); d < dist {
			best, dist = v, d
		}
	}
	return best
}

// distance is the number of insertions, deletions, replacements and swaps of neighbours between a and b.
func distance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return 100
	}
	var before, prev, cur []int
	prev = make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		cur = make([]int, len(b)+1)
		cur[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			cur[j+1] = slices.Min([]int{prev[j] + cost, prev[j+1] + 1, cur[j] + 1})
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cur[j+1] = min(cur[j+1], before[j-1]+1)
			}
		}
		before, prev = prev, cur
	}
	return prev[len(b)]
}
