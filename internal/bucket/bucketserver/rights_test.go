package bucketserver

import "testing"

func TestPatternsMatchAsInPolicies(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"*", "", true}, {"*", "a/b", true}, {"a*", "a", true}, {"a*", "ba", false},
		{"*a", "bca", true}, {"*a", "ab", false}, {"a*b*c", "aXbXbYc", true}, {"a*b*c", "aXcXb", false}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"arn:aws:s3:::acme*", "arn:aws:s3:::acme-other/k", true}, {"arn:aws:s3:::acme/*", "arn:aws:s3:::acme", false}, {"[a]", "a", false}, {"*?", "", false},
	} {
		if got := wild(tt.pattern, tt.s); got != tt.want {
			t.Errorf("%q against %q: %t", tt.s, tt.pattern, got)
		}
	}
}
