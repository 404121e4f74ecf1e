package event

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/fault"
)

// builtin is the catalogue as data: what each field means, then each type with its versions. A first version
// lists all its fields, a later one only what it adds, so that a version cannot but contain the ones before it.
//
// Release 10 is what the vendor's sample files show. Of the releases after it, the additions that are published
// with a field and a type are there; types that are known by name alone (content-optimizer component stores,
// landing pages, surveys, content-optimizer conversions) are left out until their fields are known.
//
// A schema id, once given, is never changed nor used again: it stands in logs and in object keys.
// testdata/frozen.golden holds each id to its text.
//
//go:embed catalogue.json
var builtin []byte

// namespacePrefix stands before a type's name in its record's full name, as readers of Currents files expect it.
const namespacePrefix = "dataexport.S3.inner."

// Catalogue is the set of known types, built-in and own. It is immutable and safe for concurrent use.
type Catalogue struct {
	types   []*Type          // by name
	byName  map[string]*Type // likewise
	byID    map[SchemaID]*Schema
	schemas []*Schema // by id; a plan's ordinal is its place here
	known   names     // of types
}

type catalogueFile struct {
	Fields map[string]struct {
		Doc      string `json:"doc"`
		JSON     bool   `json:"json"`
		Personal bool   `json:"personal"`
	} `json:"fields"`
	Types []struct {
		Name     string `json:"name"`
		Group    Group  `json:"group"`
		Doc      string `json:"doc"`
		Versions []struct {
			ID      SchemaID `json:"id"`
			Release int      `json:"release"`
			Fields  []string `json:"fields"`
			Adds    []string `json:"adds"`
		} `json:"versions"`
	} `json:"types"`
}

// NewCatalogue gives the built-in types together with the operator's own, from their schema files.
//
// Shape:  own may be nil; its order does not matter.
// Errors: invalid, with every problem of every file as a field problem named "FILE" or "FILE: FIELD".
func NewCatalogue(own []OwnFile) (*Catalogue, error) {
	types, err := parseBuiltin(builtin)
	if err != nil {
		return nil, fault.From(err, fault.Internal, "read the built-in catalogue")
	}
	more, problems := parseOwn(own, types)
	if len(problems) > 0 {
		return nil, &fault.Error{
			Code: fault.Invalid, Op: "read schema files", Fields: problems,
			Msg: fault.Message{Text: "the operator's own event types cannot be used"},
		}
	}
	c := &Catalogue{
		types:  append(types, more...),
		byName: map[string]*Type{},
		byID:   internalSchemas(),
	}
	slices.SortFunc(c.types, func(a, b *Type) int { return strings.Compare(a.Name, b.Name) })
	all := make([]string, len(c.types))
	for i, t := range c.types {
		t.index = i
		all[i] = t.Name
		c.byName[t.Name] = t
		for _, s := range t.Versions {
			c.byID[s.ID] = s
			c.schemas = append(c.schemas, s)
		}
	}
	slices.SortFunc(c.schemas, func(a, b *Schema) int { return int(a.ID) - int(b.ID) })
	for i, s := range c.schemas {
		s.plan = newPlan(s.Fields, i)
	}
	c.known = newNames(all)
	return c, nil
}

// Type gives the type called name.
func (c *Catalogue) Type(name string) (*Type, bool) {
	t, ok := c.byName[name]
	return t, ok
}

// Schema gives the schema with that id, also of an internal type.
func (c *Catalogue) Schema(id SchemaID) (*Schema, bool) {
	s, ok := c.byID[id]
	return s, ok
}

// Types gives all types, sorted by name. The list is shared: it must not be changed.
func (c *Catalogue) Types() []*Type { return c.types }

// Schemas gives all versions of all types, sorted by id. The list is shared: it must not be changed.
func (c *Catalogue) Schemas() []*Schema { return c.schemas }

// Nearest gives the known type whose name is most like name, or "" if none resembles it.
func (c *Catalogue) Nearest(name string) string { return fault.Nearest(name, c.typeNames()) }

func (c *Catalogue) typeNames() []string {
	all := make([]string, len(c.types))
	for i, t := range c.types {
		all[i] = t.Name
	}
	return all
}

func parseBuiltin(text []byte) ([]*Type, error) {
	var f catalogueFile
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	types := make([]*Type, 0, len(f.Types))
	for _, ft := range f.Types {
		t := &Type{Name: ft.Name, Record: namespacePrefix + ft.Name, Group: ft.Group, Doc: ft.Doc}
		var fields []Field
		for _, v := range ft.Versions {
			for _, line := range slices.Concat(v.Fields, v.Adds) {
				name, notation, _ := strings.Cut(line, " ")
				field, ok := parseNotation(notation)
				about, documented := f.Fields[name]
				if !ok || !documented {
					return nil, fmt.Errorf("%s: field %q has no known type or no documentation", t.Name, line)
				}
				field.Name, field.Doc, field.JSON, field.Personal = name, about.Doc, about.JSON, about.Personal
				fields = append(fields, field)
			}
			t.Versions = append(t.Versions, newSchema(t, v.ID, v.Release, slices.Clone(fields), t.Doc))
		}
		types = append(types, t)
	}
	return types, nil
}

// parseNotation reads what Field.Notation writes.
func parseNotation(s string) (f Field, ok bool) {
	s, f.Nullable = strings.CutSuffix(s, "?")
	if s == "[string?]" {
		f.Kind, f.NullableItems = Strings, true
		return f, true
	}
	f.Kind, ok = kinds[s]
	return f, ok
}

var kinds = map[string]Kind{
	"string": String, "int": Int, "long": Long, "float": Float, "double": Double, "boolean": Boolean, "[string]": Strings,
}

func newSchema(t *Type, id SchemaID, version int, fields []Field, doc string) *Schema {
	return &Schema{ID: id, Type: t, Version: version, Fields: fields, Avro: avroText(t.Record, doc, fields)}
}

// avroText writes a record's schema, attributes always in the same order. It stands in every file, and its hash
// beside the schema id: a change here makes every schema look changed.
func avroText(record, doc string, fields []Field) string {
	b := []byte(`{"type":"record"`)
	text := func(key, value string) {
		if value != "" {
			b = append(b, ',')
			b = appendQuoted(b, []byte(key))
			b = append(b, ':')
			b = appendQuoted(b, []byte(value))
		}
	}
	dot := strings.LastIndexByte(record, '.')
	text("namespace", record[:max(dot, 0)])
	text("name", record[dot+1:])
	text("doc", doc)
	b = append(b, `,"fields":[`...)
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"name":`...)
		b = appendQuoted(b, []byte(f.Name))
		b = append(b, `,"type":`...)
		kind := `"` + f.Kind.String() + `"`
		if f.Kind == Strings {
			kind = `{"type":"array","items":"string"}`
			if f.NullableItems {
				kind = `{"type":"array","items":["null","string"]}`
			}
		}
		if f.Nullable {
			kind = `["null",` + kind + `]`
		}
		b = append(b, kind...)
		text("doc", f.Doc)
		if f.Nullable {
			b = append(b, `,"default":null`...)
		}
		b = append(b, '}')
	}
	return string(append(b, "]}"...))
}
