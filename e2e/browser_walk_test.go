package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/text"
)

// Every page there is, found by the links of others as visitors find them, in each language, in light and dark, wide and
// narrow, and with everything from nothing to hostile names in it. Each is sound, and says nothing in another language.
func TestEveryPageIsSound(t *testing.T) {
	t.Parallel()
	d := newDashboard(t)
	d.furnish()
	found, table := map[string]bool{}, pagesOfTheTable(t)
	for name, x := range map[string]struct {
		screen
		from  string
		times int // at most so many pages of a kind
	}{
		"usual":   {screen{lang: text.English}, d.usual, 2},
		"failing": {screen{lang: text.Spanish, dark: true}, d.failing, 1},
		"hostile": {screen{lang: text.English, width: 320, dark: true}, d.odd, 2},
		"empty":   {screen{lang: text.Portuguese, width: 768}, d.empty, 1},
		"phone":   {screen{lang: text.Spanish, width: 320}, d.usual, 1},
		"broad":   {screen{lang: text.Portuguese}, d.usual, 1},
		"tablet":  {screen{lang: text.Spanish, width: 1080}, d.usual, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in := d.member(t, name+"@mill.example", x.screen)
			foreign := foreignTo(t, in.lang)
			walk(in, table, []string{x.from, d.warehouse, d.root}, x.times, func(pattern string) {
				found[pattern] = true
				in.sound()
				shown := in.read()
				for _, sentence := range foreign {
					if strings.Contains(shown, sentence) {
						t.Errorf("%s (%s) says in English: %q", in.path(), in.lang, sentence)
					}
				}
			})
		})
	}
	for pattern := range table {
		if !found[pattern] && !slices.Contains(hidden, pattern) {
			t.Errorf("no link leads to %s", pattern)
		}
	}
}

// walk visits, from a workspace on, at most so many pages of each kind that links lead to, but none of other
// workspaces, and no files. It begins with the first pages of from.
func walk(in *window, table kinds, from []string, most int, do func(pattern string)) {
	in.t.Helper()
	next, seen, times := from, map[string]bool{from[0]: true}, map[string]int{}
	for len(next) > 0 {
		path := next[0]
		next = next[1:]
		pattern := table.of(path)
		other := strings.HasPrefix(path, "/w/") && !strings.HasPrefix(path+"/", from[0]+"/")
		if other || times[pattern] == most {
			continue
		}
		times[pattern]++
		in.visit(path)
		do(table.of(in.path()))
		for _, link := range in.links() {
			if !seen[link] && !strings.HasPrefix(link, "/static/") && !strings.HasPrefix(link, "/api/") && !strings.HasSuffix(link, "/download") {
				seen[link] = true
				next = append(next, link)
			}
		}
	}
}

// kinds are the pages that the program has, from its source: with what finds them.
type kinds map[string]*regexp.Regexp

// of is the kind of page at a path. Of two that fit, it is the one that says more.
func (k kinds) of(path string) (pattern string) {
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "#")
	for p, fits := range k {
		if fits.MatchString(path) && strings.Count(p, "{}") <= strings.Count(pattern, "{}") || pattern == "" && fits.MatchString(path) {
			pattern = p
		}
	}
	return pattern
}

// pagesOfTheTable reads them.
func pagesOfTheTable(t *testing.T) kinds {
	t.Helper()
	files, err := filepath.Glob("../internal/web/page/*.go")
	if err != nil {
		t.Fatal(err)
	}
	k := kinds{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source := string(b)
		for _, m := range regexp.MustCompile(`const at = "([^"]*)"`).FindAllStringSubmatch(source, -1) {
			source = strings.ReplaceAll(source, `" + at + "`, m[1])
		}
		for _, m := range regexp.MustCompile(`\{"GET (/[^" ]*)", (?:true|false), `).FindAllStringSubmatch(source, -1) {
			p := regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllString(strings.TrimSuffix(m[1], "{$}"), "{}")
			k[p] = regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(p), `\{\}`, "[^/]+") + "$")
		}
	}
	if len(k) < 30 {
		t.Fatalf("the table of pages is not where it was: %v", k)
	}
	return k
}

// hidden are pages that no link leads to: one is sent them, or has to do something first. The journeys pass by them.
var hidden = []string{"/", "/start/{}", "/invitations/{}", "/password/{}", "/sign-in", "/password", "/_components", "/w/{}/checks/{}", "/w/{}/jobs/{}", "/me/two-factor",
	"/me/two-factor/off", "/installation/people/{}/two-factor", "/installation/invitations/{}/revoke", "/w/{}/currents/{}/upgrade", "/w/{}/people/{}", "/w/{}/people/{}/erase", "/w/{}/exports/{}/download", "/w/{}/set-aside", "/auth/oidc", "/auth/oidc/callback"}

// foreignTo gives parts of sentences of the English catalogue that no page in the language may have: at least four words in a
// row that its own catalogue does not have too.
func foreignTo(t *testing.T, l text.Language) (sentences []string) {
	t.Helper()
	if l == text.English {
		return nil
	}
	own := strings.Join(catalogue(t, l), "\n")
	for _, s := range catalogue(t, text.English) {
		for _, part := range regexp.MustCompile(`\{[^}]*\}|\n`).Split(s, -1) {
			if part = strings.TrimSpace(part); len(strings.Fields(part)) >= 4 && !strings.Contains(own, part) {
				sentences = append(sentences, part)
			}
		}
	}
	return sentences
}

// catalogue gives every sentence of a language.
func catalogue(t *testing.T, l text.Language) (sentences []string) {
	t.Helper()
	files, err := filepath.Glob("../internal/text/catalogue/*" + string(l) + ".json")
	if err != nil || len(files) == 0 {
		t.Fatal("the catalogues are not where they were", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var all map[string]any
		if err := json.Unmarshal(b, &all); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, v := range all {
			switch v := v.(type) {
			case string:
				sentences = append(sentences, v)
			case map[string]any:
				for form, s := range v {
					if form != "by" {
						sentences = append(sentences, s.(string))
					}
				}
			}
		}
	}
	return sentences
}
