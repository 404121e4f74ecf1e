package text

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// families are keys that code puts together from a constant and "PREFIX": which constants there are is read from the
// sources, and each has every sentence of its family.
var families = []struct {
	prefix, file, constants string
	suffixes                []string // "" is the key without one
}{
	{"bucket.", "bucket/error.go", "Problem", []string{"", ".hint"}},
	{"drop.", "control/connector.go", "DropReason", []string{""}},
	{"page.cut_", "delivery/stream.go", "cutReason", []string{""}},
	{"notice.", "control/notice.go", "NoticeKind", []string{"", ".subject", ".many", ".meaning", ".action"}},
}

// without are the members of families that lack a sentence on purpose.
var without = []string{
	// What to do follows from the problem.
	"notice.failing.action", "notice.half_time.action", "notice.last_call.action", "notice.slow.action",
	"notice.resumed.action",
	"notice.export_ready.action",
	// Never a mail.
	"notice.hour_complete.subject", "notice.hour_complete.many", "notice.hour_complete.meaning", "notice.hour_complete.action",
	// They never reach people: "exists" and the like are dealt with by the lane itself.
}

// same are words that are theirs in another language too.
var same = []string{"bucket", "Bucket", "Menu", "Status", "Balance", "Webhook", "Webhooks", "Editor", "No", "Currents", "e-mail", "E-mail", "Banner", "Canvas", "Token", "App", "Apps"}

// beside are keys of a family's prefix that are named in full.
var beside = []string{"notice.dropped.uncounted", "notice.dropped.uncounted.subject", "notice.dropped.types", "notice.dropped.deleted",
	"notice.check_passed.exports", "notice.check_failed.exports", "notice.check_passed.unchanged", "notice.check_passed.saved",
	"notice.export_ready.report", "notice.export_ready.bucket", "notice.export_failed.unknown",
	"notice.check_passed.exports_unchanged", "notice.check_passed.exports_saved", "notice.check_failed.exports_meaning"}

func TestAllCataloguesHaveTheSameKeysInTheSameOrder(t *testing.T) {
	for _, part := range parts {
		t.Run("part "+part, func(t *testing.T) { testOrder(t, part) })
	}
}

func testOrder(t *testing.T, part string) {
	var want []string
	for _, l := range Languages() {
		b, err := files.ReadFile(partName(part, l))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				t.Fatal(err)
			}
			var e entry
			if err := d.Decode(&e); err != nil {
				t.Fatalf("%s %v: %v", l, k, err)
			}
			if slices.Contains(got, k.(string)) {
				t.Errorf("%s: %q stands twice", l, k)
			}
			got = append(got, k.(string))
		}
		if l == English {
			want = got
		}
		if !slices.Equal(got, want) {
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Errorf("%s: the key at place %d is not %q as in English", l, i, want[i])
					break
				}
			}
			if len(got) > len(want) {
				t.Errorf("%s has %d keys, English %d", l, len(got), len(want))
			}
		}
	}
}

var place = regexp.MustCompile(`\{([^{}]*)\}`)

func places(forms ...string) []string {
	found := map[string]bool{}
	for _, f := range forms {
		for _, m := range place.FindAllStringSubmatch(f, -1) {
			found[m[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func TestEachSentenceIsWholeAndHasTheSamePlacesInEachLanguage(t *testing.T) {
	for key, en := range catalogues[English] {
		want := places(en.forms()...)
		for _, l := range Languages() {
			e := catalogues[l][key]
			if got := places(e.forms()...); !slices.Equal(got, want) {
				t.Errorf("%s %s has the places %v, English %v", l, key, got, want)
			}
			if e.By != en.By {
				t.Errorf("%s %s counts by %q, English by %q", l, key, e.By, en.By)
			}
			if e.By != "" && (e.Many != "") != (l != English) {
				t.Errorf("%s %s: forms one and other, and many in Portuguese and Spanish alone", l, key)
			}
			for _, f := range e.forms() {
				switch {
				case strings.TrimSpace(f) == "" || f != strings.TrimSpace(f):
					t.Errorf("%s %s is empty or has blanks at its ends: %q", l, key, f)
				case strings.ContainsFunc(f, unicode.IsControl), strings.Contains(f, "  "):
					t.Errorf("%s %s has two blanks or a control character: %q", l, key, f)
				case strings.ContainsAny(f, "!¡") || strings.Contains(strings.ToLower(f), "please"):
					t.Errorf("%s %s shouts or begs: %q", l, key, f)
				}
			}
			// In Portuguese and Spanish a sentence equal to the English one has been forgotten, unless it names
			// nothing but places and signs.
			if bare := strings.TrimFunc(place.ReplaceAllString(en.Other, ""), func(r rune) bool { return !unicode.IsLetter(r) }); l != English && e.Other == en.Other && bare != "" && !slices.Contains(same, bare) {
				t.Errorf("%s %s is the English sentence: %q", l, key, e.Other)
			}
		}
	}
}

// connector is the word that commands, files and logs have for what people read of as a Current.
var connector = regexp.MustCompile(`(?i)(^|[^{_a-z])connectors?\b`)

func TestRefusalsBeginAsSentencesAndSpeakOfCurrents(t *testing.T) {
	for _, l := range Languages() {
		for key, e := range catalogues[l] {
			for _, f := range e.forms() {
				if connector.MatchString(f) {
					t.Errorf("%s %s says connector, which people know as a Current: %q", l, key, f)
				}
				if family, _, _ := strings.Cut(key, "."); slices.Contains([]string{"control", "field"}, family) && unicode.IsLower([]rune(f)[0]) {
					t.Errorf("%s %s begins in lower case: %q", l, key, f)
				}
			}
		}
	}
}

// eventDocs gives what the catalogue of events says of its types and fields, by the keys that the sentences here have.
// What has none here is said in English.
func eventDocs(t *testing.T) map[string]string {
	b, err := os.ReadFile("../event/catalogue.json")
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Fields map[string]struct{ Doc string }
		Types  []struct{ Name, Doc string }
	}
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	for name, f := range c.Fields {
		docs["event.field."+name] = f.Doc
	}
	for _, x := range c.Types {
		docs["event."+x.Name] = x.Doc
	}
	return docs
}

func TestEventsAreSaidAsTheirCatalogueHasThem(t *testing.T) {
	docs := eventDocs(t)
	for key, e := range catalogues[English] {
		if strings.HasPrefix(key, "event.") && e.Other != docs[key] {
			t.Errorf("%s\nin the catalogue of events: %q\nhere:                       %q", key, docs[key], e.Other)
		}
	}
}

// named is what the sources say of keys.
type named struct {
	keys  map[string]string   // key → where it is named first
	texts map[string][]string // key → English sentences beside it
	pairs map[string][]string // key of a field problem → the places that the call which says it fills
}

var keyLike = regexp.MustCompile(`^[a-z_]+(\.[a-z_0-9]+)+$`)

// inTemplate is a key where a page's template says it.
var inTemplate = regexp.MustCompile(`[{( ]t "([^"]+)"`)

// readSources finds, in all templates and in all Go files of the program that are not tests, every string that looks like a key of ours and the
// English sentence that stands after it in the same list, call or message.
func readSources(t *testing.T) named {
	got := named{map[string]string{}, map[string][]string{}, map[string][]string{}}
	spaces := map[string]bool{}
	for key := range catalogues[English] {
		space, _, _ := strings.Cut(key, ".")
		spaces[space] = true
	}
	literal := func(e ast.Expr) (string, bool) {
		if b, ok := e.(*ast.BasicLit); ok && b.Kind == token.STRING {
			s, err := strconv.Unquote(b.Value)
			return s, err == nil
		}
		return "", false
	}
	root := os.DirFS("../..")
	for _, top := range []string{"internal", "cmd"} {
		err := fs.WalkDir(root, top, func(name string, d fs.DirEntry, err error) error {
			template := strings.HasSuffix(name, ".html")
			if err != nil || d.IsDir() || !template && !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			src, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			if template {
				for _, m := range inTemplate.FindAllSubmatch(src, -1) {
					got.keys[string(m[1])] = name
				}
				return nil
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
			if err != nil {
				return nil // somebody is writing it: the compiler says more about it
			}
			row := func(list []ast.Expr) {
				for i, e := range list {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						e = kv.Value
					}
					key, ok := literal(e)
					if !ok || !keyLike.MatchString(key) || i+1 >= len(list) {
						continue
					}
					next := list[i+1]
					if kv, ok := next.(*ast.KeyValueExpr); ok {
						next = kv.Value
					}
					if s, ok := literal(next); ok && strings.Contains(s, " ") {
						got.texts[key] = append(got.texts[key], s)
					}
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.ImportSpec:
					return false
				case *ast.CompositeLit:
					row(n.Elts)
					// A message with a key that has no sentence here would be English for everybody.
					for i, e := range n.Elts {
						kv, ok := e.(*ast.KeyValueExpr)
						if !ok || i+1 >= len(n.Elts) {
							continue
						}
						field, _ := kv.Key.(*ast.Ident)
						next, _ := n.Elts[i+1].(*ast.KeyValueExpr)
						if field == nil || field.Name != "Key" || next == nil {
							continue
						}
						if beside, _ := next.Key.(*ast.Ident); beside != nil && beside.Name == "Text" {
							if s, ok := literal(kv.Value); ok {
								got.keys[s] = name
							}
						}
					}
				case *ast.CallExpr:
					row(n.Args)
					for i, e := range n.Args {
						key, _ := literal(e)
						if !strings.HasPrefix(key, "field.") || !keyLike.MatchString(key) {
							continue
						}
						names := []string{}
						for j := i + 2; j < len(n.Args); j += 2 {
							s, _ := literal(n.Args[j])
							names = append(names, s)
						}
						slices.Sort(names)
						got.pairs[key] = names
					}
				case *ast.BasicLit:
					s, ok := literal(n)
					// In pages every such string is a key, also one that the catalogues lack, or the beginning of keys.
					if space, _, _ := strings.Cut(s, "."); ok && keyLike.MatchString(s) && spaces[space] && got.keys[s] == "" && (Has(s) || space == "page" && !strings.HasSuffix(s, "_")) {
						got.keys[s] = name
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Rows of the credential check are named by the row alone.
	for key := range got.texts {
		if space, _, _ := strings.Cut(key, "."); got.keys[key] == "" && spaces[space] {
			got.keys[key] = "a row with its sentence"
		}
	}
	return got
}

// members gives the values of the constants of a type in one file.
func members(t *testing.T, file, typ string) []string {
	f, err := parser.ParseFile(token.NewFileSet(), "../"+file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); !ok || id.Name != typ {
			return true
		}
		for _, e := range v.Values {
			if b, ok := e.(*ast.BasicLit); ok {
				s, _ := strconv.Unquote(b.Value)
				found = append(found, s)
			}
		}
		return true
	})
	if len(found) == 0 {
		t.Fatalf("%s has no constants of the type %s", file, typ)
	}
	return found
}

func TestEachKeyOfTheProgramIsHereAndNoOther(t *testing.T) {
	src := readSources(t)
	used := map[string]bool{}
	for _, fam := range families {
		for _, m := range members(t, fam.file, fam.constants) {
			for _, s := range fam.suffixes {
				key := fam.prefix + m + s
				used[key] = true
				if slices.Contains(without, key) == Has(key) {
					t.Errorf("%s: there is a sentence: %v; a constant of %s needs one unless the test's list \"without\" names it", key, Has(key), fam.file)
				}
			}
		}
	}
	for _, key := range without {
		if !used[key] {
			t.Errorf("the test's list \"without\" names %s, which no constant stands for", key)
		}
	}
	for key, where := range src.keys {
		if used[key] {
			continue
		}
		used[key] = true
		if !Has(key) {
			t.Errorf("%s names %q, which the catalogues lack: add it to internal/text/catalogue in all languages", where, key)
		}
	}
	for _, key := range beside {
		if src.keys[key] == "" {
			t.Errorf("the test's list \"beside\" names %s, which no code names", key)
		}
	}
	for key := range eventDocs(t) {
		used[key] = true
	}
	for key := range catalogues[English] {
		if !used[key] {
			t.Errorf("no code names %q: take it out of the catalogues, or see why it is no longer said", key)
		}
	}
	if len(src.texts) < 30 {
		t.Errorf("only %d English sentences were found beside their keys; does the test still see them?", len(src.texts))
	}
}

func TestAFieldProblemFillsThePlacesOfItsSentence(t *testing.T) {
	filled := 0
	for key, names := range readSources(t).pairs {
		if want := places(catalogues[English][key].forms()...); !slices.Equal(names, want) {
			t.Errorf("%s has the places %q, and the program fills %q", key, want, names)
		}
		filled += len(names)
	}
	if filled < 10 {
		t.Errorf("only %d places were found to be filled; does the test still see them?", filled)
	}
}

func TestEnglishIsWhatTheProgramSays(t *testing.T) {
	src := readSources(t)
	for key, texts := range src.texts {
		e, ok := catalogues[English][key]
		if !ok {
			continue // the test above says it
		}
		for _, s := range texts {
			if s != e.Other {
				t.Errorf("%s\nin the code:      %q\nin the catalogue: %q", key, s, e.Other)
			}
		}
	}
}
