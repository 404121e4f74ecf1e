package control

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/eventlog"
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
	Email      string    // empty: none
	Phone      string    // empty: none
	UpdatedAt  time.Time // zero: nothing was made of them yet
}

// IdentifiersOf gives the identifiers by which whoever value names is looked for: of an external id also as one that was
// renamed since, and of addresses and numbers also as they are kept of what producers' own events say.
func IdentifiersOf(kind IdentifierKind, value string) []Identifier {
	ids := []Identifier{{kind, value}}
	also := func(kind IdentifierKind, value string, ok bool) []Identifier {
		if id := (Identifier{kind, value}); ok && id != ids[0] {
			ids = append(ids, id)
		}
		return ids
	}
	switch kind {
	case ByExternalID:
		return also(ByFormerID, value, true)
	case ByEmail:
		normal, ok := NormalEmail(value)
		return also(kind, normal, ok)
	case ByPhone:
		normal, ok := NormalPhone(value)
		return also(kind, normal, ok)
	}
	return ids
}

// NewIdentity is an identifier that is to name somebody from now on, unless it names somebody already.
type NewIdentity struct {
	Identifier
	// Candidates are who it may name: the first that is nobody yet, and the last one whoever that is.
	Candidates []PersonID
}

// IdentityMove lets an identifier name somebody else. One of kind 0 stands for all of From's. Made again it changes nothing.
type IdentityMove struct {
	Identifier
	From PersonID // who had it; another's stays theirs
	Into PersonID // empty: nobody any more
}

// IdentityMoves are those of one commit, in order.
type IdentityMoves struct {
	Workspace uint32
	Log       eventlog.ID
	At        eventlog.Offset // of the commit's first record
	Moves     []IdentityMove
}

// AliasLabel is the label of an alias, as ByNameOf made it; empty for an identifier of another kind.
func (i Identifier) AliasLabel() string {
	label, _, found := strings.Cut(i.Value, "\x00")
	if i.Kind != ByAlias || !found {
		return ""
	}
	return label
}

// maxEmail bounds addresses. Source: RFC 5321 §4.5.3.1.3.
const maxEmail = 254

// NormalEmail gives an address as people are found by it: in lower case, since nobody means two people by its case. false:
// it is none.
func NormalEmail(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	local, domain, found := strings.Cut(s, "@")
	return s, found && local != "" && domain != "" && !strings.Contains(domain, "@") && !strings.ContainsAny(s, " \t\r\n,;<>") && len(s) <= maxEmail && utf8.ValidString(s)
}

// NormalPhone gives a telephone number as people are found by it: digits, and a plus before them if there is one. false: it
// is none.
func NormalPhone(s string) (string, bool) {
	s = strings.TrimSpace(s)
	var b strings.Builder
	for i, c := range s {
		switch {
		case c >= '0' && c <= '9', c == '+' && i == 0:
			b.WriteRune(c)
		case strings.ContainsRune(" -.()/\u00a0", c):
		default:
			return "", false
		}
	}
	n := len(strings.TrimPrefix(b.String(), "+"))
	return b.String(), n >= 3 && n <= 20
}
