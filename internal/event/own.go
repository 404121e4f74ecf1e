package event

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/fault"
)

// OwnFile is an Avro schema file with a type of the operator's own.
//
// Its data is one record schema: flat, of the types that the built-in catalogue uses (and double), with a
// required string id and a required int or long time. Beside Avro's attributes it has "schema_id" (from
// FirstOwnID on), may have "group" (behavior if it has none), and its fields may have "json" and "personal" with
// the meaning of Field. Another version of a type is another file: same full name, higher schema id, the same fields, and
// after them new ones that are nullable with default null.
type OwnFile struct {
	Name string // of the file, for messages
	Data []byte
}

// Bounds of own types. A type's name becomes part of object keys, of which S3 allows 1,024 bytes.
const (
	maxOwnName   = 200
	maxOwnFields = 1000
	maxOwnID     = math.MaxInt32 // readers keep schema ids in 32-bit columns
)

// ownVersion is one file, read.
type ownVersion struct {
	file   string
	record string
	id     SchemaID
	group  Group
	doc    string
	fields []Field
}

// parseOwn gives the operator's types, or every problem of every file.
func parseOwn(files []OwnFile, builtin []*Type) ([]*Type, []fault.Problem) {
	var problems []fault.Problem
	var versions []ownVersion
	for _, f := range files {
		p := ownParser{file: f.Name}
		v := p.parse(f.Data)
		if len(p.problems) == 0 {
			versions = append(versions, v)
		}
		problems = append(problems, p.problems...)
	}
	slices.SortFunc(versions, func(a, b ownVersion) int {
		return cmp.Or(cmp.Compare(a.id, b.id), strings.Compare(a.file, b.file))
	})

	types := map[string]*Type{}
	first := map[string]ownVersion{} // of each type: its newest version read so far
	for i, v := range versions {
		p := ownParser{file: v.file}
		name := strings.TrimPrefix(v.record, namespacePrefix)
		if i > 0 && versions[i-1].id == v.id {
			p.problem("schema_id", CodeDuplicateField, "%d is also the id of %s: each version has its own", v.id, versions[i-1].file)
		}
		for _, t := range builtin {
			if t.Name == name {
				p.problem("name", CodeDuplicateField, "%s is a built-in type, which cannot be changed", name)
			}
		}
		before, later := first[name]
		if later {
			p.follows(before, v)
		}
		if len(p.problems) > 0 {
			problems = append(problems, p.problems...)
			continue
		}
		first[name] = v
		t := types[name]
		if t == nil {
			t = &Type{Name: name, Record: v.record, Own: true}
			types[name] = t
		}
		t.Group, t.Doc = v.group, v.doc
		t.Versions = append(t.Versions, newSchema(t, v.id, len(t.Versions)+1, v.fields, v.doc))
	}
	return slices.Collect(maps.Values(types)), problems
}

// follows checks that v may come after the version before it.
func (p *ownParser) follows(before, v ownVersion) {
	if before.record != v.record {
		p.problem("namespace", CodeWrongType, "the full name is %s, but %s in %s", v.record, before.record, before.file)
	}
	for i := range before.fields {
		old := &before.fields[i]
		if i >= len(v.fields) || v.fields[i].Name != old.Name {
			p.problem(old.Name, CodeRequired, "it is field %d in %s and must stay so: new fields stand last", i+1, before.file)
			return
		}
		if v.fields[i].Notation() != old.Notation() {
			p.problem(old.Name, CodeWrongType, "its type is %s, but %s in %s", v.fields[i].Notation(), old.Notation(), before.file)
		}
	}
	for _, f := range v.fields[min(len(before.fields), len(v.fields)):] {
		if !f.Nullable {
			p.problem(f.Name, CodeWrongType, "a field added after %s must be nullable, with default null", before.file)
		}
	}
}

// ownParser reads one file and gathers what is wrong with it.
type ownParser struct {
	file     string
	problems []fault.Problem
}

func (p *ownParser) problem(field, code, format string, args ...any) {
	at := p.file
	if field != "" {
		at += ": " + clip(field)
	}
	p.problems = append(p.problems, fault.Problem{Field: at, Code: code, Message: fmt.Sprintf(format, args...)})
}

type attributes map[string]json.RawMessage

func (p *ownParser) parse(data []byte) ownVersion {
	v := ownVersion{file: p.file, group: Behavior}
	var top attributes
	if n, err := SkipValue(data); err != nil || scanSpace(data, n) < len(data) {
		p.problem("", CodeInvalidJSON, "%s", describeBreak(data, scanSpace(data, n)))
		return v
	}
	if json.Unmarshal(data, &top) != nil || top == nil {
		p.problem("", CodeWrongType, "a schema file holds one record schema, an object")
		return v
	}
	p.known("", top, "type", "name", "namespace", "doc", "fields", "schema_id", "group")
	if kind, ok := p.text("", top, "type", true); ok && kind != "record" {
		p.problem("type", CodeWrongType, "it must be \"record\", not %q", clip(kind))
	}
	name, ok := p.text("", top, "name", true)
	space, _ := p.text("", top, "namespace", false)
	if v.record = name; space != "" && !strings.Contains(name, ".") {
		v.record = space + "." + name
	}
	if ok {
		p.name(v.record)
	}
	v.doc, _ = p.text("", top, "doc", false)
	if _, there := top["group"]; there {
		group, ok := p.text("", top, "group", true)
		if v.group = Group(group); ok && !slices.Contains(Groups(), v.group) {
			p.problem("group", CodeOutOfRange, "%q is no group: it is one of %v", clip(group), Groups())
		}
	}
	if id, there := top["schema_id"]; !there {
		p.problem("schema_id", CodeRequired, "it is required: a number from %d on that no other version has", FirstOwnID)
	} else if json.Unmarshal(id, &v.id) != nil || string(id) == "null" || v.id < FirstOwnID || v.id > maxOwnID {
		p.problem("schema_id", CodeOutOfRange, "%s is not a number from %d to %d", clip(string(id)), FirstOwnID, maxOwnID)
	}
	v.fields = p.fields(top["fields"])
	return v
}

func (p *ownParser) name(record string) {
	name := strings.TrimPrefix(record, namespacePrefix)
	parts := strings.Split(name, ".")
	for _, part := range parts {
		if !isName(part) {
			p.problem("name", CodeWrongType, "%q is not an Avro name: letters, digits and _, parts joined by dots", clip(record))
			return
		}
	}
	if len(parts) < 2 {
		p.problem("namespace", CodeRequired, "the type %q needs a namespace, so that it cannot be taken for a group", clip(name))
	}
	if len(name) > maxOwnName {
		p.problem("name", CodeTooLarge, "the full name has %d bytes, more than %d", len(name), maxOwnName)
	}
}

func (p *ownParser) fields(raw json.RawMessage) []Field {
	var list []json.RawMessage
	if raw == nil || json.Unmarshal(raw, &list) != nil || list == nil {
		p.problem("fields", CodeRequired, "it is required: an array of fields")
		return nil
	}
	if len(list) > maxOwnFields {
		p.problem("fields", CodeTooLarge, "there are %d fields, more than %d", len(list), maxOwnFields)
		return nil
	}
	var fields []Field
	seen := map[string]bool{}
	for i, raw := range list {
		f, ok := p.field(i, raw)
		if !ok {
			continue
		}
		if seen[f.Name] {
			p.problem(f.Name, CodeDuplicateField, "there are two fields of that name")
		}
		seen[f.Name] = true
		fields = append(fields, f)
	}
	check := func(name, want string, kinds ...Kind) {
		for _, f := range fields {
			if f.Name == name {
				if !slices.Contains(kinds, f.Kind) || f.Nullable {
					p.problem(name, CodeWrongType, "it must be %s, not %s", want, f.Notation())
				}
				return
			}
		}
		if len(fields) == len(list) {
			p.problem(name, CodeRequired, "every type needs this field: %s", want)
		}
	}
	check("id", "string", String)
	check("time", "int or long", Int, Long)
	return fields
}

func (p *ownParser) field(i int, raw json.RawMessage) (f Field, ok bool) {
	before := len(p.problems)
	place := fmt.Sprintf("fields[%d]", i)
	var a attributes
	if json.Unmarshal(raw, &a) != nil || a == nil {
		p.problem(place, CodeWrongType, "a field is an object")
		return f, false
	}
	if f.Name, ok = p.text(place, a, "name", true); ok {
		place = f.Name
		if !isName(f.Name) {
			p.problem(place, CodeWrongType, "%q is not an Avro name: letters, digits and _", clip(f.Name))
		}
		if f.Name == eventTypeKey {
			p.problem(place, CodeWrongType, "the name is taken: event_type says which type an event is of")
		}
	}
	p.known(place, a, "name", "type", "doc", "default", "json", "personal")
	f.Doc, _ = p.text(place, a, "doc", false)
	f.JSON = p.flag(place, a, "json")
	f.Personal = p.flag(place, a, "personal")
	notation, known := avroNotation(a["type"])
	if known {
		var kind Field
		if kind, known = parseNotation(notation); known {
			f.Kind, f.Nullable, f.NullableItems = kind.Kind, kind.Nullable, kind.NullableItems
		}
	}
	if !known {
		p.problem(place, CodeWrongType, "the type %s is not used here: string, int, long, float, double, boolean, an array of strings, or a union of null (first) with one of them", clip(compact(a["type"])))
		return f, false
	}
	if d, there := a["default"]; f.Nullable && string(d) != "null" {
		p.problem(place, CodeRequired, "a nullable field needs \"default\": null")
	} else if !f.Nullable && there {
		p.problem(place, CodeWrongType, "only a nullable field may have a default, which is null")
	}
	if f.JSON && f.Kind != String {
		p.problem(place, CodeWrongType, "only a string can hold JSON text")
	}
	return f, len(p.problems) == before
}

// avroNotation turns a field's Avro type into the catalogue's notation.
func avroNotation(raw json.RawMessage) (string, bool) {
	switch s := compact(raw); s {
	case `"string"`, `"int"`, `"long"`, `"float"`, `"double"`, `"boolean"`:
		return s[1 : len(s)-1], true
	case `["null","string"]`, `["null","int"]`, `["null","long"]`, `["null","float"]`, `["null","double"]`, `["null","boolean"]`:
		return s[len(`["null","`):len(s)-len(`"]`)] + "?", true
	}
	var union []json.RawMessage
	if json.Unmarshal(raw, &union) == nil && len(union) == 2 && compact(union[0]) == `"null"` {
		s, ok := avroNotation(union[1])
		return s + "?", ok && !strings.HasSuffix(s, "?")
	}
	var array attributes
	if json.Unmarshal(raw, &array) == nil && len(array) == 2 && compact(array["type"]) == `"array"` {
		s, _ := avroNotation(array["items"])
		return "[" + s + "]", s == "string" || s == "string?"
	}
	return "", false
}

func (p *ownParser) known(field string, a attributes, names ...string) {
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if !slices.Contains(names, key) {
			at := key
			if field != "" {
				at = field
			}
			p.problem(at, CodeUnknownField, "the attribute %q is not known here%s", clip(key), suggest(key, names))
		}
	}
}

func (p *ownParser) text(field string, a attributes, key string, required bool) (string, bool) {
	if field == "" {
		field = key
	}
	raw, there := a[key]
	if !there {
		if required {
			p.problem(field, CodeRequired, "the attribute %q is required", key)
		}
		return "", false
	}
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		p.problem(field, CodeWrongType, "the attribute %q must be a string", key)
		return "", false
	}
	return *s, true
}

func (p *ownParser) flag(field string, a attributes, key string) bool {
	raw, there := a[key]
	if there && string(raw) != "true" && string(raw) != "false" {
		p.problem(field, CodeWrongType, "the attribute %q must be true or false", key)
	}
	return string(raw) == "true"
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}

func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return ""
	}
	return b.String()
}
