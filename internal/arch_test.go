// Package internal_test keeps the house in order: which room may import which, and who may touch the outside.
//
// The rooms table below is the rule; ARCHITECTURE.md shows the same table to people. Run with -update to write it
// there after a change. Each failure says what to do instead.
package internal_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "write the rooms table into ARCHITECTURE.md")

const module = "github.com/millrace/millrace"

// room is one package directory below internal/ with everything inside it.
type room struct {
	name    string
	floor   int // fault lies below all others: -1
	imports string
	purpose string
	planned bool // not built yet: the table reserves its place
}

// rooms is the table. fault may be imported by every room and is left out of imports.
var rooms = []room{
	{"fault", -1, "", "The ways anything can go wrong: codes, the error type, field problems.", false},
	{"dial", 0, "", "The only door to addresses that customers give: resolved, checked, connected.", false},
	{"secret", 0, "", "Values that never print, and their sealing for storage.", false},
	{"text", 0, "", "Every sentence a person reads, in English, Portuguese and Spanish.", false},
	{"vfs", 0, "", "The only door to the disk; `vfs/vfstest` has the disk that can crash.", false},
	{"event", 1, "", "What an event is: the catalogue of types with versioned schemas, and the compiled reader that turns checked JSON into Avro. `sample/` makes realistic events.", false},
	{"eventlog", 1, "vfs", "The durable ordered log: append, read from an offset, retention. `segment/` is the embedded one, `eventlogtest/` the suite.", false},
	{"bucket", 1, "dial secret vfs", "Objects in a customer's store: create-only put, head, list, credentials, the credential check, IAM policies. `s3/`, `bucketserver/` (the demo's S3), `buckettest/` (suite).", false},
	{"httpd", 1, "", "Serving HTTP well: server, limits, middleware, error → response, probes, metrics page.", false},
	{"config", 1, "secret", "Settings: read, checked, immutable, documented.", false},
	{"avrofile", 2, "event", "Records into Avro object container files, byte for byte reproducible, at keys planned by one function; transformations.", false},
	{"control", 2, "bucket event eventlog secret", "The control plane's nouns and rules: workspaces, API keys, connectors, destinations, positions, ledger rows, and the content of control records.", false},
	{"store", 3, "bucket control event eventlog secret", "The control plane in SQL: migrations, queries, positions, ledger; it owns the transaction, the working rooms decide its content.", false},
	{"ingest", 3, "control event eventlog httpd", "The only writer of the log: accepts events over HTTP and acknowledges only what is durable; appends control records.", false},
	{"delivery", 3, "avrofile bucket control event eventlog", "For each connector: read, gather, encode, write the next file of the chain; retry, park, drop by rule.", false},
	{"profile", 3, "control event eventlog", "User profiles and message statistics, kept up from the log.", false},
	{"export", 3, "bucket control dial event vfs", "One-off exports asked for by a person or a script, as jobs with progress.", false},
	{"notify", 3, "control dial eventlog secret text vfs", "Telling people: dashboard, e-mail, signed webhook. `outbox/` catches the mails of demo and tests.", false},
	{"web", 3, "avrofile bucket control dial event eventlog httpd secret text", "The control plane for people (pages) and scripts (JSON), from the same actions.", false},
	{"app", 4, "*", "Building every room from config, starting and stopping them in order; the commands as values.", false},
}

// doors are the things of the outside that one room alone may touch. Tests and *test packages are free.
var doors = []struct {
	prefix string // of the import path
	rooms  string // which may
	say    string
}{
	{"github.com/aws/", "bucket/s3", "ask the bucket.Bucket seam instead, or add to bucket/s3 what is missing"},
	{"github.com/twmb/franz-go", "eventlog/kafka", "use eventlog.Log"},
	{"database/sql", "store", "add a method to store"},
	{"modernc.org/sqlite", "store", "add a method to store"},
	{"github.com/jackc/pgx", "store", "add a method to store"},
	{"github.com/alecthomas/kong", "cmd/millrace", "flags end in cmd/millrace; take a value with fields instead"},
	{"io/ioutil", "", "it is deprecated; use vfs"},
}

var (
	fileCalls = strings.Fields("Open OpenFile OpenRoot OpenInRoot Create CreateTemp ReadFile WriteFile ReadDir Mkdir MkdirAll MkdirTemp " +
		"Remove RemoveAll Rename Link Symlink Truncate Stat Lstat Chmod Chown Chtimes DirFS CopyFS")
	fileRooms = strings.Fields("vfs config")
	envCalls  = strings.Fields("Getenv LookupEnv Environ Setenv Unsetenv ExpandEnv")
	envRooms  = strings.Fields("config cmd/millrace")
	vague     = strings.Fields("util utils common helper helpers misc base types models shared")
)

func TestTheHouseStands(t *testing.T) {
	for _, p := range check(t, os.DirFS("..")) {
		t.Error(p)
	}
}

func TestTheTableGoesDown(t *testing.T) {
	floors := map[string]int{}
	for _, r := range rooms {
		floors[r.name] = r.floor
	}
	for _, r := range rooms {
		for _, i := range strings.Fields(r.imports) {
			if i == "*" {
				continue
			}
			f, known := floors[i]
			if !known || f >= r.floor {
				t.Errorf("%s (floor %d) lists %s (floor %d, known %v): a room imports only rooms on floors below it", r.name, r.floor, i, f, known)
			}
		}
	}
}

func TestEachRoomIsBuiltOrPlanned(t *testing.T) {
	for _, r := range rooms {
		_, err := os.Stat(r.name)
		if built := err == nil; built == r.planned {
			t.Errorf("room %s: there is a folder: %v, the table says planned: %v; correct the table in internal/arch_test.go", r.name, built, r.planned)
		}
	}
}

const (
	tableBegins = "<!-- rooms: written by go test ./internal -update -->\n"
	tableEnds   = "<!-- end of rooms -->\n"
)

func TestArchitectureShowsTheTable(t *testing.T) {
	const name = "../ARCHITECTURE.md"
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), tableBegins)
	shown, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		t.Fatalf("ARCHITECTURE.md has no lines %q and %q around its table", tableBegins, tableEnds)
	}
	want := table()
	if shown == want {
		return
	}
	if !*update {
		t.Fatalf("ARCHITECTURE.md shows another table than internal/arch_test.go; run `make docs`.\nshown:\n%s\nwant:\n%s", shown, want)
	}
	if err := os.WriteFile(name, []byte(before+tableBegins+want+tableEnds+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func table() string {
	var b strings.Builder
	b.WriteString("| floor | room | its one purpose | may import |\n|---|---|---|---|\n")
	for _, r := range rooms {
		imports := "every room"
		if r.imports != "*" {
			imports = "—"
			if r.imports != "" {
				imports = strings.ReplaceAll(r.imports, " ", ", ")
			}
		}
		floor, purpose := strconv.Itoa(r.floor), r.purpose
		if r.floor < 0 {
			floor = "below"
		}
		if r.planned {
			purpose += " *(planned)*"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", floor, r.name, purpose, imports)
	}
	return b.String()
}

// source is one parsed Go file with its place in the house.
type source struct {
	name  string // cmd/millrace/main.go
	place string // cmd/millrace, e2e, or the path below internal: bucket/s3
	room  string // its first element, e.g. bucket
	test  bool   // a _test.go file or in a *test package
	file  *ast.File
	set   *token.FileSet
}

func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.name, s.set.Position(n.Pos()).Line)
}

// check gives a sentence for each rule that a file below root breaks.
func check(t *testing.T, root fs.FS) []string {
	var all []source
	for _, top := range []string{"cmd", "internal", "e2e", "client"} {
		err := fs.WalkDir(root, top, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return fs.SkipDir
			}
			if d.IsDir() && d.Name() == "testdata" {
				return fs.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(name, ".go") || path.Dir(name) == "internal" {
				return nil
			}
			text, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, name, text, 0)
			if err != nil {
				return err
			}
			place := strings.TrimPrefix(path.Dir(name), "internal/")
			r, _, _ := strings.Cut(place, "/")
			all = append(all, source{name, place, r, strings.HasSuffix(name, "_test.go") || strings.HasSuffix(path.Base(place), "test"), f, set})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	table := map[string]room{}
	for _, r := range rooms {
		table[r.name] = r
	}
	vars := map[string]map[string]bool{} // by place: variables of the package
	for _, s := range all {
		if vars[s.place] == nil {
			vars[s.place] = map[string]bool{}
		}
		for v := range packageVars(s.file) {
			vars[s.place][v] = true
		}
	}
	var bad []string
	for _, s := range all {
		say := func(n ast.Node, format string, args ...any) {
			bad = append(bad, s.at(n)+": "+fmt.Sprintf(format, args...))
		}
		inHouse := strings.HasPrefix(s.name, "internal/")
		if _, known := table[s.room]; inHouse && !known {
			say(s.file.Name, "there is no room %q. Put the file into the room whose purpose it serves, or give the room a row in internal/arch_test.go: one sentence, and two rooms that need it", s.room)
			continue
		}
		if n := s.file.Name.Name; slices.Contains(vague, strings.TrimSuffix(n, "_test")) {
			say(s.file.Name, "package %s says nothing. Name it after the one thing it is about", n)
		}
		for _, i := range s.file.Imports {
			p, _ := strconv.Unquote(i.Path.Value)
			if i.Name != nil && i.Name.Name == "." {
				say(i, "dot import of %s. Import it under its name", p)
			}
			if !s.test && (p == "testing" || strings.HasPrefix(p, "testing/")) {
				say(i, "testing is for _test.go files and *test packages. Move the helper to a *test package")
			}
			if below, ok := strings.CutPrefix(p, module+"/internal/"); ok {
				if why := mayImport(s, table, below); why != "" {
					say(i, "imports %s: %s", below, why)
				}
			} else if strings.HasPrefix(p, module+"/cmd") || strings.HasPrefix(p, module+"/e2e") {
				say(i, "imports %s: nothing imports it", p)
			}
			for _, d := range doors {
				if strings.HasPrefix(p, d.prefix) && !s.test && !slices.Contains(strings.Fields(d.rooms), s.place) {
					say(i, "imports %s, which only %q may: %s", p, d.rooms, d.say)
				}
			}
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				say(f, "init runs behind the reader's back. Build the value in a constructor or a var declaration")
			}
		}
		if s.test {
			for _, n := range []string{"t", "tb", "b", "f"} {
				for at, call := range selections(s.file, n) {
					if strings.HasPrefix(call, "Skip") {
						say(at, "%s.%s: a test that is skipped proves nothing and looks green. Let it fail and say what is missing", n, call)
					}
				}
			}
			continue
		}
		for n, call := range selections(s.file, "os") {
			if slices.Contains(fileCalls, call) && !slices.Contains(fileRooms, s.place) {
				say(n, "os.%s touches files, which only vfs may. Take a vfs.FS, or bytes that app has read", call)
			}
			if slices.Contains(envCalls, call) && !slices.Contains(envRooms, s.place) {
				say(n, "os.%s reads the environment, which only config and cmd may. Add a setting to config", call)
			}
		}
		for n, name := range writes(s.file, vars[s.place]) {
			say(n, "package variable %s is written after start. Keep it in a struct that its users are given", name)
		}
	}
	return bad
}

// mayImport says why s may not import the package below internal/; empty if it may.
func mayImport(s source, table map[string]room, below string) string {
	other, closet, _ := strings.Cut(below, "/")
	if other == s.room && strings.HasPrefix(s.name, "internal/") && !strings.HasSuffix(closet, "test") {
		if s.place == s.room && closet != "" && !s.test {
			return "a room does not reach into its own closets; app puts them together"
		}
		return ""
	}
	if strings.HasSuffix(below, "test") {
		if !s.test {
			return "*test packages are for tests"
		}
		return ""
	}
	if other == "fault" || s.test && s.room == "e2e" {
		return ""
	}
	if s.place == "cmd/millrace" {
		if below == "app" || s.test {
			return ""
		}
		return "cmd only turns flags into app's commands and their errors into exit codes. Do it in app"
	}
	if s.room == "app" {
		return ""
	}
	if closet != "" && !s.test {
		return "closets are reached only by app and by tests. Use the room's own interface"
	}
	r, o := table[s.room], table[other]
	if slices.Contains(strings.Fields(r.imports), other) || s.test && o.floor < r.floor {
		return ""
	}
	if o.floor >= r.floor {
		return fmt.Sprintf("%s is not below %s. Declare the few methods you call as an interface in %s and let app fill it", other, s.room, s.room)
	}
	return fmt.Sprintf("the table does not list %s for %s. If it really belongs there, add it in internal/arch_test.go and say why in the commit", other, s.room)
}

// isParameter reports whether the parser bound o to a function's parameter.
func isParameter(o *ast.Object) bool {
	_, ok := o.Decl.(*ast.Field)
	return ok
}

// selections gives each use of x.Name in f, where x is a package or a parameter.
func selections(f *ast.File, pkg string) map[ast.Node]string {
	found := map[ast.Node]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg && (x.Obj == nil || isParameter(x.Obj)) {
				found[s] = s.Sel.Name
			}
		}
		return true
	})
	return found
}

// packageVars gives the names of f's package variables.
func packageVars(f *ast.File) map[string]bool {
	names := map[string]bool{}
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, s := range g.Specs {
				for _, n := range s.(*ast.ValueSpec).Names {
					names[n.Name] = true
				}
			}
		}
	}
	delete(names, "_")
	return names
}

// writes gives the places in f's functions that write one of the package's variables, and variables that exist to
// be written: locks, onces, atomics. A sync.Pool is a cache without meaning and passes.
func writes(f *ast.File, vars map[string]bool) map[ast.Node]string {
	found := map[ast.Node]string{}
	own := packageVars(f)
	mark := func(n ast.Node, e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.SelectorExpr:
				e = x.X
			case *ast.IndexExpr:
				e = x.X
			case *ast.StarExpr:
				e = x.X
			case *ast.ParenExpr:
				e = x.X
			case *ast.Ident:
				// The parser binds locals and the file's own declarations; what stays unbound is another file's.
				global := x.Obj == nil && vars[x.Name] && !own[x.Name] ||
					x.Obj != nil && own[x.Name] && f.Scope != nil && f.Scope.Lookup(x.Name) == x.Obj
				if global {
					found[n] = x.Name
				}
				return
			default:
				return
			}
		}
	}
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if t, ok := v.Type.(*ast.SelectorExpr); ok {
					if p, ok := t.X.(*ast.Ident); ok && (p.Name == "atomic" || p.Name == "sync" && t.Sel.Name != "Pool") {
						found[v] = v.Names[0].Name
					}
				}
			}
		}
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.AssignStmt:
				if x.Tok != token.DEFINE {
					for _, l := range x.Lhs {
						mark(x, l)
					}
				}
			case *ast.IncDecStmt:
				mark(x, x.X)
			}
			return true
		})
	}
	return found
}

// Each rule is seen to catch what it is for: without this, a rule that never fires would look like a clean house.
func TestEachRuleCatches(t *testing.T) {
	for name, c := range map[string]struct {
		file, text, want string
	}{
		"sideways":             {"internal/delivery/x.go", `package delivery; import _ "` + module + `/internal/store"`, "not below delivery"},
		"up":                   {"internal/vfs/x.go", `package vfs; import _ "` + module + `/internal/event"`, "not below vfs"},
		"not listed":           {"internal/control/x.go", `package control; import _ "` + module + `/internal/vfs"`, "does not list vfs"},
		"a closet":             {"internal/delivery/x.go", `package delivery; import _ "` + module + `/internal/eventlog/segment"`, "closets are reached only"},
		"its own closet":       {"internal/eventlog/x.go", `package eventlog; import _ "` + module + `/internal/eventlog/segment"`, "own closets"},
		"cmd past app":         {"cmd/millrace/x.go", `package main; import _ "` + module + `/internal/store"`, "Do it in app"},
		"an unknown room":      {"internal/stuff/x.go", `package stuff`, "no room"},
		"AWS elsewhere":        {"internal/delivery/x.go", `package delivery; import _ "github.com/aws/smithy-go"`, "only \"bucket/s3\""},
		"SQL elsewhere":        {"internal/app/x.go", `package app; import _ "database/sql"`, "only \"store\""},
		"testing in the open":  {"internal/event/x.go", `package event; import _ "testing"`, "*test package"},
		"test package outside": {"internal/app/x.go", `package app; import _ "` + module + `/internal/vfs/vfstest"`, "for tests"},
		"vague name":           {"internal/event/util/x.go", `package util`, "says nothing"},
		"dot import":           {"internal/event/x.go", `package event; import . "strings"`, "dot import"},
		"init":                 {"internal/event/x.go", `package event; func init() {}`, "init runs"},
		"files elsewhere":      {"internal/app/x.go", `package app; import "os"; func f() { os.ReadFile("x") }`, "touches files"},
		"environment":          {"internal/app/x.go", `package app; import "os"; func f() { os.Getenv("x") }`, "environment"},
		"written variable":     {"internal/event/x.go", `package event; var n int; func f() { n++ }`, "written after start"},
		"written map":          {"internal/event/x.go", `package event; var m = map[int]int{}; func f() { m[1] = 2 }`, "written after start"},
		"a global lock":        {"internal/event/x.go", `package event; import "sync"; var mu sync.Mutex`, "written after start"},
		"a skip":               {"internal/event/x_test.go", `package event; import "testing"; func TestX(t *testing.T) { t.Skip("no") }`, "looks green"},
		"a local is no global": {"internal/event/x.go", `package event; var n int; func f() { n := 1; n++; _ = n }`, ""},
		"tests look around":    {"internal/delivery/x_test.go", `package delivery; import _ "` + module + `/internal/eventlog/segment"`, ""},
		"down":                 {"internal/delivery/x.go", `package delivery; import _ "` + module + `/internal/avrofile"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := check(t, fstest.MapFS{c.file: {Data: []byte(c.text)}})
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
				t.Errorf("got %q, want one with %q", got, c.want)
			}
		})
	}
}
