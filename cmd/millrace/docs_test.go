package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/millrace/millrace/internal/app"
)

var update = flag.Bool("update", false, "write the generated pages")

// Pages made from the code say what the code says.
func TestDocsAreAsTheCodeSays(t *testing.T) {
	pages := app.Pages()
	pages["cli.md"] = cliPage(t)
	for name, want := range pages {
		path := filepath.Join("..", "..", "docs", name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v; run make docs", err)
			continue
		}
		if string(got) != want {
			t.Errorf("docs/%s is not what the code says; run make docs", name)
		}
	}
}

// cliPage is the help of every command, as a page.
func cliPage(t *testing.T) string {
	t.Setenv("COLUMNS", "") // help is as wide as the terminal; the page is not
	var b strings.Builder
	b.WriteString("# The command line\n\n<!-- Generated from cmd/millrace and internal/app; a test compares. -->\n\n" +
		"Results go to standard output, everything else to standard error. Exit codes: [errors.md](errors.md). Every setting of\n" +
		"[settings.md](settings.md) is also a flag of every command, for instance `--data-dir`.\n")
	for _, path := range commands(t) {
		var out bytes.Buffer
		c := &app.Console{Out: &out, Err: &out, Version: "test"}
		if code := run(t.Context(), c, append(slices.Clone(path), "--help"), nil); code != 0 {
			t.Fatalf("millrace %v --help: exit %d\n%s", path, code, out.String())
		}
		fmt.Fprintf(&b, "\n## millrace %s\n\n```\n%s\n```\n", strings.Join(path, " "), strings.TrimSpace(out.String()))
	}
	return b.String()
}

// commands gives the path of every command that can be run.
func commands(t *testing.T) [][]string {
	parser, _, err := newParser(&app.Console{Out: new(bytes.Buffer), Err: new(bytes.Buffer)})
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	var walk func(n *kong.Node, path []string)
	walk = func(n *kong.Node, path []string) {
		if n.Type == kong.CommandNode {
			path = append(slices.Clone(path), n.Name)
			if n.Leaf() {
				all = append(all, path)
			}
		}
		for _, c := range n.Children {
			walk(c, path)
		}
	}
	walk(parser.Model.Node, nil)
	return all
}
