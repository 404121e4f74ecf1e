package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What a document says is shown by a test is shown by one that is there: a command that runs no test ends well.
func TestTheTestsThatDocumentsNameAreThere(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	var names []string
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(b, -1) {
			names = append(names, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(Test|Fuzz|Benchmark)[A-Z]\w+`)
	for _, doc := range []string{"reliability", "performance"} {
		b, err := os.ReadFile("../docs/" + doc + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range named.FindAllString(string(b), -1) {
			found := false
			for _, is := range names {
				found = found || strings.HasPrefix(is, name) // the documents shorten long ones, as -run does
			}
			if !found {
				t.Errorf("docs/%s.md names %s, and no test begins so", doc, name)
			}
		}
	}
}
