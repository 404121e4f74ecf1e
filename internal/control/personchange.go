package control

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// PersonID names a person within a workspace: the user_id of events. Of people that were made here it is 24 hex digits,
// the beginning of an HMAC-SHA256 of workspace and first identifier under a key of the installation; of people that
// producers' own events name, it is what they say.
type PersonID string

// Alias is a second name of a person: a person has at most one of each label.
type Alias struct {
	Label string `json:"alias_label"`
	Name  string `json:"alias_name"`
}

// PersonChange is what a request changed about one person: the content of a record with the schema event.PersonChange.
// Everything in it was checked when it was accepted, and is applied in the order of the log.
type PersonChange struct {
	Kind   PersonChangeKind `json:"kind"`
	Person PersonID         `json:"person"`

	// Event is the id of the event in the same commit that tells connectors of this change; a reader of both applies the
	// change and passes over the event. Empty: there is none.
	Event string `json:"event,omitempty"`

	// Of PersonUpdate; what is absent stays as it is. Attributes are the standard ones by their names in requests
	// (facts: first_name, email, country, dob, email_subscribe, …), as JSON values in their normal form; null removes one.
	ExternalID string                     `json:"external_id,omitempty"` // also of PersonRename: the new one
	Alias      *Alias                     `json:"alias,omitempty"`
	At         *time.Time                 `json:"at,omitempty"` // when it was so, if the request says
	Attributes map[string]json.RawMessage `json:"attributes,omitempty"`
	Custom     []CustomChange             `json:"custom,omitempty"`

	Into PersonID `json:"into,omitempty"` // of PersonMerge: who stays
	// Old is the external id that was, of PersonRename and PersonForgetID; of PersonUpdate the name of the alias in whose place
	// Alias comes.
	Old string `json:"old,omitempty"`
}

// Moves are what c does to identifiers that name somebody already, in order.
func (c PersonChange) Moves() []IdentityMove {
	give := func(i Identifier) IdentityMove { return IdentityMove{i, c.Person, c.Person} }
	take := func(i Identifier) IdentityMove { return IdentityMove{Identifier: i, From: c.Person} }
	switch {
	case c.Kind == PersonDelete, c.Kind == PersonMerge:
		return []IdentityMove{{From: c.Person, Into: c.Into}}
	case c.Kind == PersonRename:
		return []IdentityMove{give(Identifier{ByExternalID, c.ExternalID}), take(Identifier{ByExternalID, c.Old}), give(Identifier{ByFormerID, c.Old})}
	case c.Kind == PersonForgetID:
		return []IdentityMove{take(Identifier{ByFormerID, c.Old})}
	case c.Alias != nil && c.Old != "":
		return []IdentityMove{give(ByNameOf(*c.Alias)), take(ByNameOf(Alias{c.Alias.Label, c.Old}))}
	}
	return nil
}

// PersonChangeKind says what a PersonChange is.
type PersonChangeKind string

// The kinds.
const (
	PersonUpdate   PersonChangeKind = "update"    // attributes, identifiers; makes the person if there is none
	PersonMerge    PersonChangeKind = "merge"     // Person goes up in Into: gaps are filled, counts added, first and last kept
	PersonDelete   PersonChangeKind = "delete"    // everything about Person goes
	PersonRename   PersonChangeKind = "rename"    // ExternalID in place of Old, which stays usable
	PersonForgetID PersonChangeKind = "forget_id" // Old is nobody's any more
)

// CustomChange changes one custom attribute.
type CustomChange struct {
	Name  string          `json:"name"`
	Do    CustomDo        `json:"do"`
	Value json.RawMessage `json:"value,omitempty"` // absent with CustomUnset
}

// CustomDo is how a custom attribute changes.
type CustomDo string

// The ways. Source: the vendor's page of the user attributes object.
const (
	CustomSet    CustomDo = "set"    // to the value: a scalar, an array, an object
	CustomUnset  CustomDo = "unset"  //
	CustomInc    CustomDo = "inc"    // by a number, of a number or nothing
	CustomAdd    CustomDo = "add"    // an array's items: one that is there moves to the end
	CustomRemove CustomDo = "remove" // an array's items
	CustomMerge  CustomDo = "merge"  // an object into the object that is there, at every depth
	CustomEdit   CustomDo = "edit"   // an array of objects: {"$add":[…],"$update":[{"$identifier_key","$identifier_value","$new_object"}],"$remove":[…]}
)

// EncodePersonChange gives c as it stands in the log: one JSON object.
func EncodePersonChange(c PersonChange) []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic("control: a change of checked values did not encode: " + err.Error())
	}
	return b
}

// DecodePersonChange reads what EncodePersonChange gave. Errors: corrupt, also for what a newer version wrote and this
// one does not understand: to pass over it would be to keep a person who was deleted, in silence.
func DecodePersonChange(b []byte) (PersonChange, error) {
	const op = "read change of a person"
	var c PersonChange
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return PersonChange{}, fault.New(fault.Corrupt, op, "this version does not understand it").WithCause(err).
			WithHint("If a newer version of Millrace wrote it, start that version.")
	}
	whole := c.Person != ""
	switch c.Kind {
	case PersonUpdate, PersonDelete:
	case PersonMerge:
		whole = whole && c.Into != "" && c.Into != c.Person
	case PersonRename:
		whole = whole && c.ExternalID != "" && c.Old != ""
	case PersonForgetID:
		whole = whole && c.Old != ""
	default:
		return PersonChange{}, fault.New(fault.Corrupt, op, "there is no kind %q", c.Kind)
	}
	if !whole {
		return PersonChange{}, fault.New(fault.Corrupt, op, "a change of the kind %s lacks whom it is about", c.Kind)
	}
	return c, nil
}
