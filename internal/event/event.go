// Package event says what an event is: the catalogue of types with versioned schemas, and the compiled reader
// that turns checked JSON into Avro in one pass.
//
// A Type is a dotted name with its versions; a Schema is one version: an ordered list of fields with a schema
// id that is global over all types, so that an id alone names type and version. From the moment an event has been
// read it is bytes in its schema's Avro encoding; record.go reads them again.
// Start reading at Catalogue, then at Reader.
package event

import "crypto/sha256"

// SchemaID names one version of one type, globally. Ids of the operator's own types begin at 1,000,000.
type SchemaID uint32

// FirstOwnID is the lowest schema id that the operator's own types may have.
const FirstOwnID SchemaID = 1_000_000

// Group is how types are offered for selection.
type Group string

// The groups. Source: Braze's event glossaries; the vendor's check boxes follow them.
const (
	Behavior   Group = "behavior"
	Engagement Group = "engagement"
	Profile    Group = "profile"
	Agent      Group = "agent"
)

// Groups lists the groups in the order in which they are offered.
func Groups() []Group { return []Group{Engagement, Behavior, Profile, Agent} }

// Kind is the type of a field's value.
type Kind uint8

// The kinds. A field is one of them, or a union of null (first) and one of them.
const (
	String Kind = iota + 1
	Int
	Long
	Float
	Double
	Boolean
	Strings // an array of strings
)

// String gives the kind's name in the catalogue's notation: Avro's, and "[string]" for an array of strings.
func (k Kind) String() string {
	switch k {
	case String:
		return "string"
	case Int:
		return "int"
	case Long:
		return "long"
	case Float:
		return "float"
	case Double:
		return "double"
	case Boolean:
		return "boolean"
	case Strings:
		return "[string]"
	}
	return "unknown"
}

// Field is one field of a schema.
type Field struct {
	Name          string
	Doc           string
	Kind          Kind
	Nullable      bool // a union with null first and default null
	NullableItems bool // of Strings: items may be null
	JSON          bool // of String: holds JSON text; an object is accepted for it
	Personal      bool // may hold personal data
}

// Notation gives the field's type as the catalogue writes it: "string", "int?", "[string?]?".
func (f *Field) Notation() string {
	s := f.Kind.String()
	if f.NullableItems {
		s = "[string?]"
	}
	if f.Nullable {
		s += "?"
	}
	return s
}

// Schema is one version of a type. It is immutable and safe for concurrent use.
type Schema struct {
	ID      SchemaID
	Type    *Type
	Version int // release of the catalogue that brought it: 10, 11, 12 …; own types count from 1
	Fields  []Field
	// Avro is the schema's JSON text as it stands in file headers: compact, deterministic, documentation included.
	Avro string

	plan *plan // what the compiled reader needs
}

// Fingerprint is the SHA-256 of the Avro text. Kept beside the id, it shows that an id still means what it meant.
func (s *Schema) Fingerprint() [32]byte { return sha256.Sum256([]byte(s.Avro)) }

// Field gives the field called name and its place; nil and -1 if there is none.
func (s *Schema) Field(name string) (*Field, int) {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return &s.Fields[i], i
		}
	}
	return nil, -1
}

// Type is a kind of event. It is immutable and safe for concurrent use.
type Type struct {
	Name     string // users.messages.email.Open
	Record   string // full name of the Avro record: dataexport.S3.inner.users.messages.email.Open
	Group    Group
	Doc      string
	Own      bool      // from the operator's schema files
	Internal bool      // for internal readers only: found by Schema, in no list and no selection
	Versions []*Schema // oldest first

	index int // place in the catalogue's order
}

// Newest is the version that is written.
func (t *Type) Newest() *Schema { return t.Versions[len(t.Versions)-1] }
