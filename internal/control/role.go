package control

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// externalIDPrefix makes an external id recognisable in a trust policy.
const externalIDPrefix = "mlr-"

// NewExternalID makes an external id: mlr- and 32 hex digits, 128 random bits. A customer never chooses it, so that
// nobody can have the installation assume a role that trusts it on another customer's behalf.
// Source: AWS IAM User Guide, "The confused deputy problem".
func NewExternalID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails; see crypto/rand
	return externalIDPrefix + hex.EncodeToString(b[:])
}

// maxSessionName is the longest role session name. Source: AWS STS API reference, AssumeRole, RoleSessionName: 2 to
// 64 characters of letters, digits, underscore and =,.@-
const maxSessionName = 64

// SessionName gives the name under which a role is assumed for the connector called name: it stands in the
// customer's audit trail. What STS does not allow becomes a hyphen.
func SessionName(name string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("_=,.@-", r):
			return r
		}
		return '-'
	}, "millrace-"+name)
	return s[:min(len(s), maxSessionName)] // one byte a character by now
}
