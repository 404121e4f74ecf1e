package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// object is a JSON object of the description. Its members are written in the order of their names.
type object = map[string]any

// Description gives the API's description, OpenAPI 3.1, as GET /api/v1/openapi.json answers it. It is made from the
// table alone and is the same for every installation of one release.
//
// Source: OpenAPI Specification 3.1.1, JSON Schema 2020-12.
func Description() []byte {
	b, err := json.MarshalIndent(describe((&api{}).routes()), "", " ")
	if err != nil { // it is of this program's making
		panic(fault.From(err, fault.Internal, "encode the API's description"))
	}
	return append(b, '\n')
}

const about = `Everything that the dashboard can do, for scripts. Requests carry a personal token, ` + "`Authorization: Bearer TOKEN`" + `, and may
do what its member may; x-right says for each operation what that has to be. A workspace stands in addresses with its id
or its name; one that does not exist and one that may not be seen are answered alike.

Lists come in pages: ` + "`next`" + ` of one is ` + "`cursor`" + ` of the next. What is created under an ` + "`Idempotency-Key`" + ` is created once, however
often the request is repeated within a day. Things with an ` + "`ETag`" + ` are changed under ` + "`If-Match`" + `: if somebody else was quicker, the
answer is 412 and says who. Work that goes on after its answer is 202 with the address of what to watch in ` + "`Location`" + `.
Unknown fields and parameters are refused by name, and every problem of what can be read of an input is said at once.`

// groups are the groups of operations, in the order in which they are shown.
var groups = []struct{ name, about string }{
	{"sign-in", "Coming in, going out, passwords, invitations."},
	{"me", "What members decide about themselves: sessions, tokens, second factor."},
	{"workspaces", "Tenants, their members, their log of changes."},
	{"api-keys", "Keys of producers, and what was rejected of theirs."},
	{"connectors", "Currents: continuous delivery into a bucket."},
	{"ledger", "What was delivered and what was dropped, hour by hour."},
	{"drafts", "Currents that are not launched yet."},
	{"data-export", "The bucket for what is exported on demand."},
	{"exports", "What is taken out on demand: people as files, and reports."},
	{"segments", "Filters of people that were saved, and of what filters are made."},
	{"campaigns", "Campaigns and Canvases, as events tell of them, and what is counted of them."},
	{"policies", "What the customer's side has to allow."},
	{"people", "The people whom events are about, and what is kept of each."},
	{"notices", "What people were told, and webhooks."},
	{"catalogue", "Types of events."},
	{"work", "Checks and jobs that go on after their answer."},
	{"installation", "The machine and everybody on it."},
}

// describe makes the description of a table.
func describe(table []route) object {
	d := description{schemas: object{}, types: map[string]reflect.Type{}, inputs: map[reflect.Type]bool{}}
	for _, r := range table {
		if s := shapeOf(r.op.in); s.body != nil {
			d.markInput(s.typ.FieldByIndex(s.body).Type)
		}
	}
	paths := object{}
	for _, r := range table {
		if paths[r.path] == nil {
			paths[r.path] = object{}
		}
		paths[r.path].(object)[strings.ToLower(r.method)] = d.operation(r)
	}
	d.schemas["Failure"] = object{
		"type": "object", "required": []string{"error"}, "description": "Any answer that is none of what was asked for.",
		"properties": object{"error": d.schema(reflect.TypeFor[client.Error]())},
	}
	var tags []object
	for _, g := range groups {
		if slices.ContainsFunc(table, func(r route) bool { return r.group == g.name }) {
			tags = append(tags, object{"name": g.name, "description": g.about})
		}
	}
	return object{
		"openapi": "3.1.1",
		"info": object{
			"title": "Millrace", "version": "1", "summary": "The control plane of a self-hosted export engine.", "description": about,
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []object{{"url": prefix}},
		"security": []object{{"token": []string{}}, {"session": []string{}}},
		"tags":     tags,
		"paths":    paths,
		"components": object{
			"schemas":   d.schemas,
			"responses": failures(),
			"securitySchemes": object{
				"token":   object{"type": "http", "scheme": "bearer", "description": "A personal token, made by POST /me/tokens."},
				"session": object{"type": "apiKey", "in": "cookie", "name": "millrace", "description": "Set by signing in; over HTTPS it is called __Host-millrace."},
			},
		},
	}
}

// description gathers the named types that operations use.
type description struct {
	schemas object
	types   map[string]reflect.Type // by name in schemas
	inputs  map[reflect.Type]bool   // that stand in a body which is read: unknown fields are refused
}

var braces = regexp.MustCompile(`\{(\w+)\}`)

func (d *description) operation(r route) object {
	s := shapeOf(r.op.in)
	o := object{
		"operationId": r.name, "tags": []string{r.group}, "summary": r.summary, "x-right": string(r.right),
		"responses": d.responses(r),
	}
	if r.right == control.RightAnyone {
		o["security"] = []object{}
	}
	if params := d.parameters(r, s); len(params) > 0 {
		o["parameters"] = params
	}
	if s.body != nil {
		o["requestBody"] = object{"required": true, "content": jsonContent(d.schema(s.typ.FieldByIndex(s.body).Type))}
	}
	return o
}

func (d *description) parameters(r route, s shape) (params []object) {
	add := func(name, in, doc string, must bool, schema object) {
		p := object{"name": name, "in": in, "schema": schema, "required": must}
		if doc != "" {
			p["description"] = doc
		}
		params = append(params, p)
	}
	for _, m := range braces.FindAllStringSubmatch(r.path, -1) {
		p := field{name: m[1], doc: "Id of the " + m[1] + "."}
		if p.name == "workspace" {
			p.doc = "Id or name of the workspace."
		}
		if i := slices.IndexFunc(s.params, func(x field) bool { return x.in == "path" && x.name == p.name }); i >= 0 {
			p.enum, p.doc = s.params[i].enum, cmp.Or(s.params[i].doc, p.doc)
		}
		schema := object{"type": "string", "minLength": 1}
		if p.enum != nil {
			schema = enumerated(schema, p.enum)
		}
		add(p.name, "path", p.doc, true, schema)
	}
	for _, p := range s.params {
		if p.in != "path" {
			add(p.name, p.in, p.doc, p.required, enumerated(d.schema(p.typ), p.enum))
		}
	}
	if r.creates() {
		add(keyHeader, "header", "Chosen by the client: the same request under the same key makes nothing twice.", false,
			object{"type": "string", "minLength": 1, "maxLength": maxKey, "pattern": "^[!-~]+$"})
	}
	if r.versioned != nil && r.changes() {
		add("If-Match", "header", "The ETag of the answer that the change is based on.", false, object{"type": "string", "pattern": `^(\*|(W/)?"\d{1,18}")$`})
	}
	return params
}

func (d *description) responses(r route) object {
	all := object{}
	good := func(status int, t reflect.Type) {
		a := object{"description": http.StatusText(status)}
		switch {
		case t == attachmentType:
			a["content"] = object{anyBytes: object{"schema": object{"type": "string", "format": "binary"}}}
		case status != http.StatusNoContent:
			a["content"] = jsonContent(d.schema(t))
		}
		headers := object{}
		header := func(name, doc string) { headers[name] = object{"description": doc, "schema": object{"type": "string"}} }
		if status == http.StatusCreated || status == http.StatusAccepted {
			header("Location", "Where what was made, or goes on, is found.")
			if r.creates() {
				header(replayedHeader, "true: this is the answer of an earlier request under the same key.")
			}
		}
		if r.versioned != nil && status != http.StatusNoContent {
			header("ETag", "The version of what is answered, for If-Match.")
		}
		if len(headers) > 0 {
			a["headers"] = headers
		}
		all[strconv.Itoa(status)] = a
	}
	good(r.status, r.op.out)
	if r.op.or != nil {
		good(r.op.orWith, r.op.or)
	}
	if r.op.out == attachmentType {
		good(http.StatusPartialContent, r.op.out)
		for _, status := range []int{http.StatusNotModified, http.StatusRequestedRangeNotSatisfiable} {
			all[strconv.Itoa(status)] = object{"description": http.StatusText(status)}
		}
	}
	for _, status := range r.fails() {
		all[strconv.Itoa(status)] = object{"$ref": "#/components/responses/" + failureName(status)}
	}
	return all
}

// changes reports whether a row does more than show.
func (r route) changes() bool { return r.method != http.MethodGet }

// fails gives the statuses of the errors that a row can answer, rising.
func (r route) fails() []int {
	all := map[int]bool{400: true, 422: true, 429: true, headersTooLarge: true, 500: true, 503: true}
	if r.right != control.RightAnyone {
		all[401] = true
		all[403] = r.right != control.RightSignedIn
	}
	if r.changes() {
		for _, status := range []int{403, 409, 412, 413, 415} {
			all[status] = true
		}
	}
	if strings.Contains(r.path, "{") {
		all[404] = true
	}
	for _, c := range r.also {
		all[c.HTTP()] = true
	}
	maps.DeleteFunc(all, func(_ int, can bool) bool { return !can })
	return slices.Sorted(maps.Keys(all))
}

// failures are the answers of errors by name: one for each status.
func failures() object {
	all := object{}
	headers := func(names ...string) object {
		h := object{}
		for _, n := range names {
			h[n] = object{"schema": object{"type": "string"}}
		}
		return h
	}
	for _, row := range fault.Table {
		a := object{"description": row.Means, "content": jsonContent(object{"$ref": "#/components/schemas/Failure"})}
		switch row.HTTP {
		case 401:
			a["headers"] = headers("WWW-Authenticate")
		case 409, 429, 503:
			a["headers"] = headers("Retry-After")
		}
		all[failureName(row.HTTP)] = a
	}
	all[failureName(422)] = object{"description": "the input can be read and is wrong: every problem of its fields", "content": jsonContent(object{"$ref": "#/components/schemas/Failure"})}
	all[failureName(headersTooLarge)] = object{"description": "the request's line and headers are longer than 64 KiB; the connection ends", "content": object{"text/plain": object{"schema": object{"type": "string"}}}}
	return all
}

// headersTooLarge is answered before there is a request that the API could answer, as the one error that is not JSON.
// Source: net/http, Server.MaxHeaderBytes, which httpd sets.
const headersTooLarge = http.StatusRequestHeaderFieldsTooLarge

func failureName(status int) string { return strings.ReplaceAll(http.StatusText(status), " ", "") }

func jsonContent(schema object) object {
	return object{"application/json": object{"schema": schema}}
}

func enumerated(schema object, enum []string) object {
	if len(enum) == 0 {
		return schema
	}
	if schema["type"] == "array" {
		schema["items"] = object{"type": "string", "enum": enum}
		return schema
	}
	return object{"type": "string", "enum": enum}
}

// schema gives the schema of t; of named structs a reference.
func (d *description) schema(t reflect.Type) object {
	switch {
	case t == timeType:
		return object{"type": "string", "format": "date-time"}
	case t == rawType || t.Kind() == reflect.Interface:
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer", "format": "int64"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		if t.Name() == "" {
			return d.fields(t)
		}
		return object{"$ref": "#/components/schemas/" + d.named(t)}
	}
	panic("web: no schema for " + t.String())
}

// named gives the name under which t stands among the schemas, and puts it there.
func (d *description) named(t reflect.Type) string {
	name := t.Name()
	if base, arg, ok := strings.Cut(name, "["); ok { // Page[github.com/…/client.Connector]
		name = strings.TrimSuffix(arg[strings.LastIndexByte(arg, '.')+1:], "]") + base
	}
	name = strings.ToUpper(name[:1]) + name[1:]
	if had, ok := d.types[name]; ok {
		if had != t {
			panic(fmt.Sprintf("web: %s and %s have the same name in the API's description", had, t))
		}
		return name
	}
	d.types[name] = t
	d.schemas[name] = d.fields(t)
	return name
}

func (d *description) fields(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range fieldsOf(t) {
		s := enumerated(d.schema(f.typ), f.enum)
		if f.doc != "" {
			s["description"] = f.doc
		}
		properties[f.name] = s
		if f.required || !d.inputs[t] && f.always {
			required = append(required, f.name)
		}
	}
	o := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	if d.inputs[t] {
		o["additionalProperties"] = false
	}
	return o
}

// markInput notes t, and what it holds, as read.
func (d *description) markInput(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		d.markInput(t.Elem())
	case reflect.Struct:
		if t == timeType || d.inputs[t] {
			return
		}
		d.inputs[t] = true
		for _, f := range fieldsOf(t) {
			d.markInput(f.typ)
		}
	}
}

// descriptionRoutes show the description.
func (a *api) descriptionRoutes() []route {
	return []route{{
		name: "getDescription", method: http.MethodGet, path: "/openapi.json", right: control.RightAnyone, group: "work", status: http.StatusOK,
		summary: "Gives this description.",
		op:      op(func(*call, struct{}) (object, error) { return describe(a.routes()), nil }),
	}}
}
