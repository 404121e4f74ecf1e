package control

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/secret"
)

func TestAPasswordIsLongAndNotTheFirstThatIsTried(t *testing.T) {
	for password, want := range map[string]string{
		"":                           "required",
		"ninechars":                  "too_short",
		"çãõáéíóúü":                  "too_short", // nine characters, more bytes
		strings.Repeat("long", 50):   "",
		strings.Repeat("long", 51):   "too_long",
		"not \xff utf-8 at all":      "invalid_utf8",
		"Ana.Maria@acme.example":     "too_easy", // the address
		"ana.maria@":                 "",
		"ANA.MARIA.SOUZA":            "",
		"Password123":                "too_easy",
		"qwertyuiop":                 "too_easy",
		"aaaaaaaaaaaaaaaaaaaa":       "too_easy",
		"abcabcabcabcabc":            "too_easy",
		"a horse of the right color": "",
		"um cavalo 🐎 qualquer":       "",
	} {
		got := ""
		if ps := validatePassword("password", secret.New(password), "ana.maria@acme.example"); len(ps) > 0 {
			got = ps[0].Code
		}
		if got != want {
			t.Errorf("%q: %q, want %q", password, got, want)
		}
	}
	for _, p := range strings.Fields(commonest) {
		if ps := validatePassword("password", secret.New(p), "x@example.com"); len(ps) == 0 || ps[0].Code != "too_easy" {
			t.Errorf("the list has %q, which is refused without it: %v", p, ps)
		}
	}
}
