package client_test

import (
	"context"
	"encoding/json"
	"go/parser"
	"go/token"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
)

// besides is what a Client can do that is no operation of the API, with why.
var besides = map[string]string{
	"AwaitCheck": "asks for a check until it has ended",
	"AwaitHour":  "asks for an hour until it is complete",
	"AwaitJob":   "asks for a job until it has ended",
}

// operation is what the API's description says of one row of its table.
type operation struct {
	method, path string
	ID           string `json:"operationId"`
	Parameters   []struct {
		Name string
		In   string
	}
	RequestBody struct {
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			}
		}
	}
}

func (o operation) parameters(in string) (names []string) {
	for _, p := range o.Parameters {
		if p.In == in && p.Name != "cursor" && p.Name != "limit" { // pages are the iterator's
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// table reads the API's description as it is committed.
func table(t *testing.T) (all []operation, fields func(ref string) []string) {
	t.Helper()
	b, err := os.ReadFile("../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Paths      map[string]map[string]operation
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	for path, methods := range d.Paths {
		for method, o := range methods {
			o.method, o.path = strings.ToUpper(method), path
			all = append(all, o)
		}
	}
	return all, func(ref string) []string {
		return slices.Sorted(maps.Keys(d.Components.Schemas[ref[strings.LastIndexByte(ref, '/')+1:]].Properties))
	}
}

// sent is a request as it came to the server.
type sent struct {
	*http.Request
	body map[string]any
}

// Each row of the API's table has a method of its name that asks for just that row, with all that can be said there.
func TestEachOperationHasAMethod(t *testing.T) {
	var last *sent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last = &sent{Request: r}
		if b, _ := io.ReadAll(r.Body); len(b) > 0 {
			if err := json.Unmarshal(b, &last.body); err != nil {
				t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
			}
		}
		w.Write([]byte("{}"))
	}))
	defer s.Close()
	speaks := client.New(s.URL, "mrp_token")
	speaks.Language = "pt-BR"
	c := reflect.ValueOf(speaks)
	all, fields := table(t)
	known := maps.Clone(besides)
	for _, o := range all {
		name := strings.ToUpper(o.ID[:1]) + o.ID[1:]
		known[name] = o.ID
		t.Run(name, func(t *testing.T) {
			m := c.MethodByName(name)
			if !m.IsValid() {
				t.Fatalf("the client has no method %s for %s %s", name, o.method, o.path)
			}
			last = nil
			call(t, m)
			if last == nil {
				t.Fatal("nothing was asked")
			}
			want := "^/api/v1" + regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(o.path), "(a%20b|2026-11-22T10)") + "$"
			if at := last.URL.EscapedPath(); last.Method != o.method || !regexp.MustCompile(want).MatchString(at) {
				t.Errorf("it asks %s %s, want %s %s", last.Method, at, o.method, o.path)
			}
			if got := slices.Sorted(maps.Keys(last.URL.Query())); !slices.Equal(got, o.parameters("query")) {
				t.Errorf("its query has %q, want %q", got, o.parameters("query"))
			}
			for _, h := range []string{"Idempotency-Key", "If-Match", "Accept-Language"} {
				if got, want := last.Header.Get(h) != "", slices.Contains(o.parameters("header"), h); got != want {
					t.Errorf("%s is sent: %t, want %t", h, got, want)
				}
			}
			if got := last.Header.Get("Authorization"); got != "Bearer mrp_token" {
				t.Errorf("it shows %q", got)
			}
			var body []string
			if ref := o.RequestBody.Content["application/json"].Schema.Ref; ref != "" {
				body = fields(ref)
			}
			if got := slices.Sorted(maps.Keys(last.body)); !slices.Equal(got, body) {
				t.Errorf("its body has %q, want %q", got, body)
			}
		})
	}
	for m := range c.Type().Methods() {
		if _, ok := known[m.Name]; !ok {
			t.Errorf("%s is no operation of the API; if it is meant to be there, it needs a line in besides", m.Name)
		}
	}
}

// call calls a method of the client with something for each argument, and uses up what it gives.
func call(t *testing.T, m reflect.Value) {
	t.Helper()
	var in []reflect.Value
	for p := range m.Type().Ins() {
		v := reflect.New(p).Elem()
		if p == reflect.TypeFor[context.Context]() {
			v.Set(reflect.ValueOf(t.Context()))
		} else {
			fill(t, v)
		}
		in = append(in, v)
	}
	do := m.Call
	if m.Type().IsVariadic() {
		do = m.CallSlice
	}
	out := do(in)
	if m.Type().Out(0).Kind() == reflect.Func { // a list
		for range out[0].Seq2() {
		}
		return
	}
	if err, _ := out[len(out)-1].Interface().(error); err != nil {
		t.Error(err)
	}
}

// fill puts something into v that is not its zero value, so that nothing of it is left out. What has things of its own
// type within, which within names, stays empty the second time.
func fill(t *testing.T, v reflect.Value, within ...reflect.Type) {
	t.Helper()
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)))
		return
	}
	if slices.Contains(within, v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("a b") // as an id it has to be escaped
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), within...)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), within...)
	case reflect.Map:
		x := reflect.New(v.Type().Elem()).Elem()
		fill(t, x, within...)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("k").Convert(v.Type().Key()), x)
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(v.Type()) {
			if f.IsExported() && !f.Anonymous {
				fill(t, v.FieldByIndex(f.Index), append(slices.Clone(within), v.Type())...)
			}
		}
	case reflect.Func:
	default:
		t.Fatalf("the test has nothing for a %v", v.Type())
	}
}

// Whoever takes this package into a program takes nothing else with it.
func TestTheClientNeedsTheStandardLibraryAlone(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if first, _, _ := strings.Cut(strings.Trim(i.Path.Value, `"`), "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s: the public client has the standard library and nothing else", name, i.Path.Value)
			}
		}
	}
}

// all gives what a list gives until its first error.
func all[T any](seq iter.Seq2[T, error]) (items []T, err error) {
	for x, err := range seq {
		if err != nil {
			return items, err
		}
		items = append(items, x)
	}
	return items, nil
}
