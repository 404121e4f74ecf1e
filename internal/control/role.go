package control

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/millrace/millrace/internal/fault"
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

// roleARN is the form of a role's name. Source: AWS IAM User Guide, "IAM identifiers" (paths of up to 512 printable
// characters between slashes) and "IAM and STS quotas" (role names of up to 64 characters).
var roleARN = regexp.MustCompile(`^arn:aws(-cn|-us-gov)?:iam::[0-9]{12}:role/([!-.0-~]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,64}$`)

// validateRole gives the problem of a role's ARN, if it has one.
func validateRole(field, arn string) []fault.Problem {
	problem := func(message string) []fault.Problem {
		return []fault.Problem{{Field: field, Code: "invalid", Message: message}}
	}
	switch {
	case roleARN.MatchString(arn):
		return nil
	case strings.Contains(arn, ":user/"):
		return problem("This is the ARN of a user; that of a role looks like arn:aws:iam::123456789012:role/millrace.")
	case strings.Contains(arn, ":instance-profile/"), strings.Contains(arn, ":assumed-role/"), strings.Contains(arn, ":policy/"):
		return problem("This is not the ARN of a role itself, which looks like arn:aws:iam::123456789012:role/millrace.")
	}
	return problem("The ARN of a role looks like arn:aws:iam::123456789012:role/millrace.")
}
