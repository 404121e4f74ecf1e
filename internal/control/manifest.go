package control

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// Manifest is what a file of apply wants. What it does not mention stays as it is.
type Manifest struct {
	Workspaces []WorkspaceSpec

	places map[string]string // file:line:column by path
}

// WorkspaceSpec is what a file wants of a workspace.
type WorkspaceSpec struct {
	Name          string
	UnknownFields *UnknownFields
	Language      *string
	TimeZone      *string
	Keys          []KeySpec
	Webhooks      []WebhookSpec
	Connectors    []ConnectorSpec
	DataExport    *DataExportSpec // nil: not mentioned

	path string
}

// WebhookSpec is what a file wants of a webhook.
type WebhookSpec struct {
	URL    string
	Secret secret.Value // empty: not mentioned
	Kinds  []NoticeKind // nil: not mentioned

	path string
}

// DataExportSpec is what a file wants of a workspace's data export.
type DataExportSpec struct {
	ExportEdit
	Deleted bool // it is to be gone

	path string
}

// KeySpec is what a file wants of an API key.
type KeySpec struct {
	Name      string
	Scopes    []Scope        // nil: not mentioned
	Networks  []netip.Prefix // nil: not mentioned
	ExpiresAt *time.Time     // nil: not mentioned; zero: never
	Secret    secret.Value   // empty: not mentioned; made for a new key

	path string
}

// ConnectorSpec is what a file wants of a connector.
type ConnectorSpec struct {
	Edit           // its Name is always set
	SameAs  string // name of the connector whose bucket and credentials are taken; hides Edit's, which has its id
	Deleted bool   // it is to be gone

	path string
}

// ParseManifest reads the file of apply called name. Secrets are taken from where the file says: env looks up an
// environment variable, readFile reads a file.
//
// The keys are those of the product's file of apply, see docs. Beside them: a workspace has language (en, pt-BR, es),
// time_zone and webhooks, each with url, secret_env or secret_file, and kinds; an API key has networks, from which it works, and
// expires_at; a destination has same_as, the name of a
// connector of the workspace whose bucket and credentials it takes where the file says nothing else; a connector and the
// data export have deleted: with true it is deleted, if it is there.
//
// Errors: invalid with everything that is wrong; each field is "NAME:LINE:COLUMN: PATH", and a key that does not
// exist comes with the nearest that does. No message holds a secret.
func ParseManifest(name string, data []byte, env func(string) (string, bool), readFile func(string) ([]byte, error)) (Manifest, error) {
	return parseManifest(name, data, func(from, what string) (string, fault.Problem) {
		if from == "env" {
			value, found := env(what)
			if !found {
				return "", fault.Problem{Code: "not_set", Message: fmt.Sprintf("The environment variable %s is not set.", what)}
			}
			return value, fault.Problem{}
		}
		b, err := readFile(what)
		if err != nil {
			return "", fault.Problem{Code: "unreadable_file", Message: fmt.Sprintf("The file %s cannot be read: %v.", what, err)}
		}
		return string(b), fault.Problem{}
	})
}

// lookUp gives the value that an environment variable ("env") or a file ("file") holds; else the problem's code and
// message.
type lookUp func(from, what string) (string, fault.Problem)

func parseManifest(name string, data []byte, find lookUp) (Manifest, error) {
	r := manifestReader{yamlReader{file: name, anchors: map[string]ast.Node{}, places: map[string]string{}}, find}
	m := Manifest{places: r.places}
	if root := r.root(data); root != nil {
		known := fields{"workspaces": func(path string, n ast.Node) {
			r.sequence(path, n, func(path string, n ast.Node) { m.Workspaces = append(m.Workspaces, r.workspace(path, n)) })
		}}
		// Keys that begin with x- are free: a place for anchors.
		if root, ok := root.(*ast.MappingNode); ok {
			for _, pair := range root.Values {
				if key := scalar(pair.Key); strings.HasPrefix(key, "x-") {
					known[key] = func(_ string, n ast.Node) { ast.Walk(anchorsOf(r.anchors), n) }
				}
			}
		}
		r.mapping("", root, known)
	}
	unique(&r.yamlReader, m.Workspaces, func(w WorkspaceSpec) (path, name, as string) { return w.path, w.Name, w.Name })
	for _, w := range m.Workspaces {
		unique(&r.yamlReader, w.Keys, func(k KeySpec) (path, name, as string) { return k.path, k.Name, k.Name })
		unique(&r.yamlReader, w.Webhooks, func(h WebhookSpec) (path, name, as string) { return h.path, h.URL, receiver(h.URL) })
		unique(&r.yamlReader, w.Connectors, func(c ConnectorSpec) (path, name, as string) { return c.path, *c.Name, *c.Name })
	}
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, ByPlace)
		return m, &fault.Error{Code: fault.Invalid, Op: "read " + name, Fields: r.problems}
	}
	return m, nil
}

// placed finds line and column in what stands before a problem.
var placed = regexp.MustCompile(`:(\d+):(\d+)(?:: |$)`)

// ByPlace orders problems of one file as their places stand in it; those without one come first.
func ByPlace(a, b fault.Problem) int {
	at := func(p fault.Problem) (at [2]int) {
		if m := placed.FindStringSubmatch(p.Field); m != nil {
			at[0], _ = strconv.Atoi(m[1]) // digits, and few
			at[1], _ = strconv.Atoi(m[2])
		}
		return at
	}
	x, y := at(a), at(b)
	return slices.Compare(x[:], y[:])
}

// locate gives problems of the thing at path with their places in the file.
func (m Manifest) locate(path string, problems []fault.Problem) []fault.Problem {
	out := make([]fault.Problem, len(problems))
	for i, p := range problems {
		at := join(path, p.Field)
		place := m.places[path]
		for try := at; len(try) > len(path); try = try[:max(strings.LastIndexAny(try, ".["), 0)] {
			if found, ok := m.places[try]; ok {
				place = found
				break
			}
		}
		p.Field = located(place, at)
		out[i] = p
	}
	return out
}

// unique refuses things of a list that are the same: as is what their names stand for.
func unique[T any](r *yamlReader, list []T, of func(T) (path, name, as string)) {
	seen := map[string]bool{}
	for _, v := range list {
		if r.over {
			return
		}
		path, name, as := of(v)
		if name != "" && seen[as] {
			at := path + ".name"
			if _, ok := r.places[at]; !ok {
				at = path + ".url"
			}
			r.note(fault.Problem{Field: located(r.places[at], at), Code: "duplicate",
				Message: fmt.Sprintf("%q stands in the file twice.", name)})
		}
		seen[as] = true
	}
}

type manifestReader struct {
	yamlReader
	find lookUp
}

func (r *manifestReader) workspace(path string, n ast.Node) WorkspaceSpec {
	w := WorkspaceSpec{path: path}
	var name, unknown *string
	r.mapping(path, n, fields{
		"name":           r.into(&name),
		"unknown_fields": r.into(&unknown),
		"api_keys": func(path string, n ast.Node) {
			r.sequence(path, n, func(path string, n ast.Node) { w.Keys = append(w.Keys, r.key(path, n)) })
		},
		"connectors": func(path string, n ast.Node) {
			r.sequence(path, n, func(path string, n ast.Node) { w.Connectors = append(w.Connectors, r.connector(path, n)) })
		},
		"language":  r.into(&w.Language),
		"time_zone": r.into(&w.TimeZone),
		"webhooks": func(path string, n ast.Node) {
			r.sequence(path, n, func(path string, n ast.Node) { w.Webhooks = append(w.Webhooks, r.webhook(path, n)) })
		},
		"data_export": func(path string, n ast.Node) {
			d := r.dataExport(path, n)
			w.DataExport = &d
		},
	})
	w.Name = r.required(path, n, name)
	if unknown != nil {
		u := UnknownFields(*unknown)
		w.UnknownFields = &u
	}
	return w
}

func (r *manifestReader) key(path string, n ast.Node) KeySpec {
	k := KeySpec{path: path}
	var name *string
	var networks []string
	var expires *string
	var value *secret.Value
	known := fields{"name": r.into(&name), "scopes": namesInto(&r.yamlReader, &k.Scopes, Scopes(), oneOfScopes),
		"networks": func(path string, n ast.Node) {
			r.texts(&networks)(path, n)
			var problems []fault.Problem
			k.Networks, problems = ParseNetworks(path, networks)
			for _, p := range problems {
				r.problem(p.Field, n, p.Code, "%s", p.Message)
			}
		},
		"expires_at": func(path string, n ast.Node) {
			if r.intoOrNull(&expires, "never")(path, n); expires == nil {
				return
			}
			at, err := time.Parse(time.RFC3339, *expires)
			if err != nil && *expires != "never" {
				r.problem(path, n, "invalid", "%q is not a time such as 2027-12-31T23:59:59Z, nor never.", *expires)
				return
			}
			k.ExpiresAt = &at
		}}
	maps.Copy(known, r.secret("secret", &value))
	r.mapping(path, n, known)
	k.Name = r.required(path, n, name)
	if value != nil {
		k.Secret = *value
	}
	return k
}

func (r *manifestReader) webhook(path string, n ast.Node) WebhookSpec {
	h := WebhookSpec{path: path}
	var url *string
	var value *secret.Value
	known := fields{"url": r.into(&url), "kinds": namesInto(&r.yamlReader, &h.Kinds, NoticeKinds(), oneOfKinds)}
	maps.Copy(known, r.secret("secret", &value))
	r.mapping(path, n, known)
	h.URL = or(url)
	if value != nil {
		h.Secret = *value
	}
	return h
}

func (r *manifestReader) dataExport(path string, n ast.Node) DataExportSpec {
	d := DataExportSpec{path: path}
	var deleted *bool
	known := fields{"bucket": r.into(&d.Bucket), "region": r.into(&d.Region), "endpoint": r.into(&d.Endpoint), "path_style": r.flag(&d.PathStyle),
		"deleted": r.flag(&deleted)}
	r.access(path, n, known, &d.AccessKeyID, &d.SecretAccessKey, &d.RoleARN)
	d.Deleted = deleted != nil && *deleted
	return d
}

// access reads a mapping of known keys, and of those that open a bucket.
func (r *manifestReader) access(path string, n ast.Node, known fields, keyID **string, key **secret.Value, role **string) {
	known["role_arn"] = r.into(role)
	var id *secret.Value
	maps.Copy(known, r.secret("access_key_id", &id))
	maps.Copy(known, r.secret("secret_access_key", key))
	r.mapping(path, n, known)
	if id != nil {
		s := id.Reveal() // not a secret, but often kept beside one
		*keyID = &s
	}
}

func (r *manifestReader) connector(path string, n ast.Node) ConnectorSpec {
	c := ConnectorSpec{path: path}
	var kind *string
	var deleted *bool
	r.mapping(path, n, fields{
		"name":          r.into(&c.Name),
		"type":          r.into(&kind),
		"contact_email": r.into(&c.ContactEmail),
		"destination":   func(path string, n ast.Node) { r.destination(path, n, &c) },
		"encryption":    r.flag(&c.Encryption),
		"events":        r.texts(&c.Events),
		"transformations": func(path string, n ast.Node) {
			c.Transformations = []Transformation{}
			r.short(path, n, func(path string, n ast.Node) {
				var field, action *string
				r.mapping(path, n, fields{"field": r.into(&field), "action": r.into(&action)})
				c.Transformations = append(c.Transformations, Transformation{Field: or(field), Action: or(action)})
			})
		},
		"codec": r.intoOrNull(&c.Codec, "null"), // the codec of that name, which YAML reads as nothing
		"flush": func(path string, n ast.Node) {
			r.mapping(path, n, fields{"interval": r.duration(&c.FlushInterval), "events": r.integer(&c.FlushEvents)})
		},
		"paused":  r.flag(&c.Paused),
		"test":    r.flag(&c.Test),
		"deleted": r.flag(&deleted),
	})
	c.Deleted = deleted != nil && *deleted
	name := r.required(path, n, c.Name)
	c.Name = &name
	if kind != nil && *kind != "s3" {
		r.note(fault.Problem{Field: located(r.places[path+".type"], path+".type"), Code: "unknown_value",
			Message: fmt.Sprintf("There are no connectors of type %q; the type is s3.", *kind)})
	}
	return c
}

func (r *manifestReader) destination(path string, n ast.Node, c *ConnectorSpec) {
	e := &c.Edit
	known := fields{
		"bucket":     r.into(&e.Bucket),
		"folder":     r.intoOrNull(&e.Folder, DefaultFolder),
		"region":     r.into(&e.Region),
		"endpoint":   r.into(&e.Endpoint),
		"path_style": r.flag(&e.PathStyle),
	}
	var like *string
	known["same_as"] = r.into(&like)
	r.access(path, n, known, &e.AccessKeyID, &e.SecretAccessKey, &e.RoleARN)
	c.SameAs = or(like)
}

// secret gives the three keys by which a secret comes: itself, NAME_env and NAME_file.
func (r *manifestReader) secret(name string, dst **secret.Value) fields {
	from := ""
	set := func(path string, n ast.Node, key, value string) {
		if from != "" {
			r.problem(path, n, "duplicate", "%s is given already, by %s.", name, from)
			return
		}
		if value == "" {
			r.problem(path, n, "required", "What it leads to is empty.")
			return
		}
		from = key
		v := secret.New(value)
		*dst = &v
	}
	refer := func(from, cut string) func(path string, n ast.Node) {
		return func(path string, n ast.Node) {
			what, ok := r.text(path, n)
			if !ok {
				return
			}
			value, p := r.find(from, what)
			if p.Code != "" {
				r.problem(path, n, p.Code, "%s", p.Message)
				return
			}
			set(path, n, name+"_"+from, strings.TrimRight(value, cut))
		}
	}
	return fields{
		name: func(path string, n ast.Node) {
			if s, ok := r.text(path, n); ok {
				set(path, n, name, s)
			}
		},
		name + "_env":  refer("env", ""),
		name + "_file": refer("file", "\r\n"),
	}
}

func (r *manifestReader) required(path string, n ast.Node, name *string) string {
	if _, given := r.places[path+".name"]; !given {
		r.problem(path+".name", n, "required", "A name is needed.")
	}
	return or(name)
}

func or(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
