package web

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/millrace/millrace/internal/httpd"
)

var noneType = reflect.TypeFor[none]()

// document is the API's description, by which answers are checked.
type document struct {
	compiler *jsonschema.Compiler
	paths    map[string]map[string]struct {
		Responses map[string]struct {
			Ref     string         `json:"$ref"`
			Content map[string]any `json:"content"`
			Headers map[string]any `json:"headers"`
		}
	}
	responses map[string]struct{ Headers map[string]any }
}

func documentOf(t *testing.T) *document {
	t.Helper()
	text := Description()
	var v struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Ref     string         `json:"$ref"`
				Content map[string]any `json:"content"`
				Headers map[string]any `json:"headers"`
			}
		}
		Components struct {
			Responses map[string]struct{ Headers map[string]any }
		}
	}
	must(t, json.Unmarshal(text, &v))
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	must(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	must(t, c.AddResource("openapi.json", whole))
	return &document{c, v.Paths, v.Components.Responses}
}

// template finds the path of the description that a request went to; empty: none.
func (d *document) template(path string) string {
	path, _, _ = strings.Cut(path, "?")
	got := strings.Split(path, "/")
	best := ""
	for p := range d.paths {
		parts := strings.Split(p, "/")
		same := len(parts) == len(got)
		for i := range parts {
			same = same && (parts[i] == got[i] || parts[i][:min(1, len(parts[i]))] == "{")
		}
		if same && (best == "" || strings.Count(p, "{") < strings.Count(best, "{")) {
			best = p
		}
	}
	return best
}

// check holds an answer to the description: its status, its headers, its body.
func (d *document) check(t *testing.T, method, path string, a answer) {
	t.Helper()
	p := d.template(path)
	o, ok := d.paths[p][strings.ToLower(method)]
	if !ok || a.status == http.StatusMethodNotAllowed {
		return // the address or the method is none of the description's
	}
	r, ok := o.Responses[strconv.Itoa(a.status)]
	if !ok {
		t.Errorf("%s %s answered %d, which its description does not have: %s", method, path, a.status, a.body)
		return
	}
	headers := r.Headers
	pointer := "#/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p) + "/" + strings.ToLower(method) + "/responses/" + strconv.Itoa(a.status) + "/content/application~1json/schema"
	if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
		headers, pointer = d.responses[name].Headers, "#/components/schemas/Failure"
	} else if r.Content == nil {
		pointer = ""
	}
	for _, h := range []string{"Location", "ETag", "Retry-After", replayedHeader, "WWW-Authenticate"} {
		if _, described := headers[h]; a.header.Get(h) != "" && !described {
			t.Errorf("%s %s %d answered the header %s, which its description does not have", method, path, a.status, h)
		}
	}
	if _, file := r.Content[anyBytes]; file {
		if got := a.header.Get("Content-Type"); got != anyBytes {
			t.Errorf("%s %s %d answered %q", method, path, a.status, got)
		}
		return
	}
	if pointer == "" {
		if a.body != "" {
			t.Errorf("%s %s %d answered a body: %s", method, path, a.status, a.body)
		}
		return
	}
	if a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s %d answered %q", method, path, a.status, a.header.Get("Content-Type"))
	}
	s, err := d.compiler.Compile("openapi.json" + pointer)
	must(t, err)
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(a.body))
	must(t, err)
	if err := s.Validate(v); err != nil {
		t.Errorf("%s %s %d is not as described: %v\n%s", method, path, a.status, err, a.body)
	}
}

func TestTheDescriptionIsAnsweredToAnyone(t *testing.T) {
	a := newWorld(t, nil).ask("GET", "/openapi.json", nil, nil).read(200, nil)
	var got, want any
	must(t, json.Unmarshal([]byte(a.body), &got))
	must(t, json.Unmarshal(Description(), &want))
	if !reflect.DeepEqual(got, want) {
		t.Error("the answer is not the description")
	}
}

// Headers that are too long never reach the API; the description has the answer all the same, as it is.
func TestHeadersThatAreTooLongAreAnsweredAsDescribed(t *testing.T) {
	s, err := httpd.Open(httpd.Config{Listen: "127.0.0.1:0"}, newWorld(t, nil).h, nil, slog.New(slog.DiscardHandler), httpd.Hooks{})
	must(t, err)
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	defer func() { end(); must(t, <-done) }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+prefix+"/me", nil)
	must(t, err)
	r.Header.Set("Authorization", strings.Repeat("x", 80<<10))
	a, err := http.DefaultClient.Do(r)
	must(t, err)
	defer a.Body.Close() // what it says is net/http's
	kind, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	same(t, "the answer", []any{a.StatusCode, kind}, []any{431, "text/plain"})

	type response struct {
		Ref     string `json:"$ref"`
		Content map[string]any
	}
	var d struct {
		Paths      map[string]map[string]struct{ Responses map[string]response }
		Components struct{ Responses map[string]response }
	}
	must(t, json.Unmarshal(Description(), &d))
	for path, operations := range d.Paths {
		for method, o := range operations {
			name := strings.TrimPrefix(o.Responses["431"].Ref, "#/components/responses/")
			if c := d.Components.Responses[name].Content; len(c) != 1 || c[kind] == nil {
				t.Errorf("%s %s describes 431 as %q of %v", method, path, name, c)
			}
		}
	}
}

func TestADescriptionSaysWhatAnInputTakes(t *testing.T) {
	var d struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name, In string
				Required bool
				Schema   map[string]any
			}
			RequestBody struct{ Content map[string]any }
			Security    *[]any
		}
		Components struct{ Schemas map[string]map[string]any }
	}
	in := route{name: "in", method: http.MethodPut, path: "/things/{thing}", right: "anyone", group: "work", summary: "Takes.", status: 204, versioned: versionsOfMe,
		op: op(func(*call, nestedIn) (none, error) { return none{}, nil })}
	b, err := json.Marshal(describe([]route{in}))
	must(t, err)
	must(t, json.Unmarshal(b, &d))
	o := d.Paths["/things/{thing}"]["put"]
	var params []string
	for _, p := range o.Parameters {
		params = append(params, p.In+" "+p.Name+" "+strconv.FormatBool(p.Required))
	}
	if want := []string{"path thing true", "query cursor false", "query limit false", "query mode false", "query type false", "query dry false", "query needs true", "header If-Match false"}; !slices.Equal(params, want) {
		t.Errorf("parameters %q\nwant       %q", params, want)
	}
	body := d.Components.Schemas["Nested"]
	if body["additionalProperties"] != false || !reflect.DeepEqual(body["required"], []any{"name"}) {
		t.Errorf("body %v", body)
	}
	if role := body["properties"].(map[string]any)["role"]; !reflect.DeepEqual(role, map[string]any{"type": "string", "enum": []any{"", "viewer", "editor"}}) {
		t.Errorf("role %v", role)
	}
	if o.Security == nil || len(*o.Security) != 0 {
		t.Error("what anyone may do asks for a token")
	}
}
