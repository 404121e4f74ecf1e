package bucket

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/millrace/millrace/internal/fault"
)

// MaxFolder is the longest folder in bytes. Keys have at most 1,024 (Amazon S3, object keys); what follows the
// folder needs less than the rest.
const MaxFolder = 512

// ExportFolders are the first folders of data exports, which connectors must leave free: both may share a bucket.
func ExportFolders() []string { return []string{"segment-export", "engagement-report-export"} }

// ParseFolder gives a folder path as it is used: without slashes at its ends; empty is the bucket's root.
//
// problems has at most one entry, for field.
func ParseFolder(field, s string) (folder string, problems []fault.Problem) {
	problem := func(code, key, message string, pairs ...any) (string, []fault.Problem) {
		return "", []fault.Problem{fault.Field(field, code, key, message, pairs...)}
	}
	folder = strings.Trim(s, "/")
	if folder == "" {
		return "", nil
	}
	parts := strings.Split(folder, "/")
	switch {
	case len(folder) > MaxFolder:
		return problem("too_long", "field.folder_long", "A folder has at most {most} bytes; this one has {given}.", "most", MaxFolder, "given", len(folder))
	case !utf8.ValidString(folder):
		return problem("invalid_utf8", "field.folder_utf8", "The folder is not valid UTF-8.")
	case strings.ContainsFunc(folder, unicode.IsControl):
		return problem("invalid", "field.folder_control", "A folder holds no control characters.")
	case slices.Contains(parts, ""):
		return problem("invalid", "field.folder_slashes", "A folder holds no two slashes in a row.")
	case slices.Contains(parts, "."), slices.Contains(parts, ".."):
		return problem("invalid", "field.folder_dots", `No part of a folder is "." or "..".`)
	case slices.Contains(ExportFolders(), parts[0]):
		return problem("reserved", "field.folder_reserved", `The folder "{folder}" is kept for data exports.`, "folder", parts[0])
	}
	return folder, nil
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	keyID      = regexp.MustCompile(`^[A-Za-z0-9_.@+=-]{3,128}$`)

	// Source: AWS IAM API reference, CreateRole (path, role name); AWS STS API reference, AssumeRole (session name).
	roleARN     = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov):iam::[0-9]{12}:role/([!-.0-~]+/)*[\w+=,.@-]{1,64}$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// maxRoleARN bounds a role's ARN. Source: AWS STS API reference, AssumeRole.
const maxRoleARN = 2048

// otherKinds are beginnings and ends of names that are not general purpose buckets. Source: Amazon S3 user guide,
// bucket naming rules.
var otherKinds = struct{ prefixes, suffixes []string }{
	[]string{"xn--", "sthree-", "amzn-s3-demo-"},
	[]string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"},
}

// ValidateName gives the problem of a bucket's name, if it has one.
func ValidateName(field, name string) []fault.Problem {
	problem := func(code, key, message string, pairs ...any) []fault.Problem {
		return []fault.Problem{fault.Field(field, code, key, message, pairs...)}
	}
	switch {
	case name == "":
		return problem("required", "field.bucket_needed", "The name of the bucket is needed.")
	case strings.HasPrefix(name, "arn:"), strings.Contains(name, "/"), strings.Contains(name, ":"):
		return problem("invalid", "field.bucket_name_only", "Only the bucket's name is needed: no ARN, no address, no path.")
	case !bucketName.MatchString(name), strings.Contains(name, ".."), strings.Contains(name, ".-"), strings.Contains(name, "-."):
		return problem("invalid", "field.bucket_form", "A bucket's name has 3 to 63 lower-case letters, digits, hyphens and single dots, and begins and ends with a letter or digit.")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return problem("invalid", "field.bucket_ip", "A bucket's name does not look like an IP address.")
	}
	for _, p := range otherKinds.prefixes {
		if strings.HasPrefix(name, p) {
			return problem("invalid", "field.bucket_prefix", `No bucket's name begins with "{prefix}".`, "prefix", p)
		}
	}
	for _, s := range otherKinds.suffixes {
		if strings.HasSuffix(name, s) {
			return problem("invalid", "field.bucket_suffix", `Names that end with "{suffix}" are not those of general purpose buckets.`, "suffix", s)
		}
	}
	return nil
}

// ValidateEndpoint gives the problem of the address of an S3-compatible store, if it has one; empty is Amazon S3.
// Where the address leads is checked when it is connected, by dial.Guard.
func ValidateEndpoint(field, endpoint string) []fault.Problem {
	if endpoint == "" {
		return nil
	}
	problem := func(key, message string) []fault.Problem {
		return []fault.Problem{fault.Field(field, "invalid", key, message)}
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || strings.ContainsFunc(endpoint, unicode.IsSpace):
		return problem("field.endpoint_form", "The endpoint is not an address such as https://storage.example.com.")
	case u.Scheme != "http" && u.Scheme != "https":
		return problem("field.endpoint_scheme", "The endpoint begins with http:// or https://.")
	case u.Hostname() == "":
		return problem("field.endpoint_host", "The endpoint names a host.")
	case u.User != nil:
		return problem("field.endpoint_user", "The endpoint holds no user and password; keys have fields of their own.")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return problem("field.endpoint_end", "The endpoint ends with the host or a path: no question mark, no number sign.")
	}
	if !PortExists(u) {
		return problem("field.endpoint_port", "The endpoint's port lies between 1 and 65535.")
	}
	return ValidateHost(field, u)
}

// PortExists reports whether an address names no port, or one that there is. A colon says that one follows.
func PortExists(u *url.URL) bool {
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0 || !strings.HasSuffix(u.Host, ":"+u.Port())
}

// Source: RFC 1123 §2.1, with the underscore that resolvers take.
var hostLabel = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// An old form of an IPv4 address ends like this, never a name. Source: WHATWG URL Standard, "ends in a number checker".
var hostNumber = regexp.MustCompile(`^([0-9]+|0[xX][0-9a-fA-F]*)$`)

// AskedFor gives the host of an address as resolvers are asked for it, in ASCII, as net/http does it: full-width digits are
// digits, and signs that cannot be seen are nothing. One that there can be none of stays as it is.
func AskedFor(host string) string {
	if !strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return host
	}
	asked, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return host
	}
	return asked
}

// ValidateHost gives the problem of the host of an address, if there can be none of that name: it is an IP address or the
// form of a name. Addresses have one way of being written, so that who looks at them and who connects mean the same.
func ValidateHost(field string, u *url.URL) []fault.Problem {
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	asked := AskedFor(host)
	labels := strings.Split(strings.TrimSuffix(asked, "."), ".")
	wrong := func(label string) bool { return !hostLabel.MatchString(label) }
	if len(asked) <= 253 && !slices.ContainsFunc(labels, wrong) && !hostNumber.MatchString(labels[len(labels)-1]) {
		return nil
	}
	return []fault.Problem{fault.Field(field, "invalid", "field.host", `There can be no host "{host}".`, "host", fault.Escaped(host))}
}

// ValidatePlace gives the problems of where a bucket is: its name, endpoint and region.
func ValidatePlace(a Access) []fault.Problem {
	problems := ValidateName("bucket", a.Bucket)
	problems = append(problems, ValidateEndpoint("endpoint", a.Endpoint)...)
	if a.Region != "" && !regionName.MatchString(a.Region) {
		problems = append(problems, fault.Field("region", "invalid", "field.region", "A region looks like us-east-1."))
	}
	return problems
}

// ValidateAccess gives every problem of a, with fields named as in the file of apply. That a role has its external id
// is left to who opens the bucket: a form is checked before there is one.
func ValidateAccess(a Access) []fault.Problem {
	problems := ValidatePlace(a)
	if a.ByRole() {
		return append(problems, validateRole(a)...)
	}
	switch {
	case a.AccessKeyID == "":
		problems = append(problems, fault.Field("access_key_id", "required", "field.key_id_needed", "The access key id is needed."))
	case !keyID.MatchString(a.AccessKeyID):
		problems = append(problems, fault.Field("access_key_id", "invalid", "field.key_id", "An access key id has 3 to 128 letters and digits, without spaces."))
	}
	if a.SecretAccessKey.Empty() {
		problems = append(problems, fault.Field("secret_access_key", "required", "field.secret_key_needed", "The secret access key is needed."))
	}
	return problems
}

// validateRole gives the problems of the role method's own fields.
func validateRole(a Access) (problems []fault.Problem) {
	problem := func(field, code, key, message string) {
		problems = append(problems, fault.Field(field, code, key, message))
	}
	if len(a.RoleARN) > maxRoleARN || !roleARN.MatchString(a.RoleARN) {
		problem("role_arn", "invalid", "field.role_arn", "A role's ARN looks like arn:aws:iam::123456789012:role/millrace-currents.")
	}
	if a.AccessKeyID != "" {
		problem("access_key_id", "conflict", "field.role_or_key", "Either a role or an access key lets us in, not both.")
	}
	if !a.SecretAccessKey.Empty() {
		problem("secret_access_key", "conflict", "field.role_or_key", "Either a role or an access key lets us in, not both.")
	}
	if a.ExternalID != "" && !externalID.MatchString(a.ExternalID) {
		problem("external_id", "invalid", "field.external_id", "An external id has 2 to 1,000 letters, digits and signs out of + = , . @ : / _ -.")
	}
	if a.SessionName != "" && !sessionName.MatchString(a.SessionName) {
		problem("session_name", "invalid", "", "A session's name has 2 to 64 letters, digits and signs out of _ + = , . @ -.") // made here, never typed
	}
	return problems
}
