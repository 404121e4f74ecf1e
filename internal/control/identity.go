package control

import (
	"strings"
	"time"
)

// By what requests name people beside the identifiers that are kept: each is looked for in people as they stand.
const (
	ByPerson IdentifierKind = 4 // a PersonID
	ByEmail  IdentifierKind = 5 // may be several people's
	ByPhone  IdentifierKind = 6 // may be several people's
)

// Known is somebody whom an identifier names.
type Known struct {
	Identifier
	Person     PersonID
	ExternalID string    // empty: none
	UpdatedAt  time.Time // zero: nothing was made of them yet
}

// NewIdentity is an identifier that is to name somebody from now on, unless it names somebody already.
type NewIdentity struct {
	Identifier
	// Candidates are who it may name: the first that is nobody yet, and the last one whoever that is.
	Candidates []PersonID
}

// IdentityMove lets an identifier name somebody else. One of kind 0 stands for all of From's.
type IdentityMove struct {
	Identifier
	From PersonID
	Into PersonID // empty: nobody any more
}

// AliasLabel is the label of an alias, as ByNameOf made it; empty for an identifier of another kind.
func (i Identifier) AliasLabel() string {
	label, _, found := strings.Cut(i.Value, "\x00")
	if i.Kind != ByAlias || !found {
		return ""
	}
	return label
}
