package control

import (
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

// Longest name of a workspace, connector or key, in characters.
const maxName = 100

// validateName gives the problem of a name that commands and addresses say, if it has one: WORKSPACE/NAME has one slash, and
// browsers take . and .. in an address for steps, however they are escaped.
func validateName(field, name string) []fault.Problem {
	ps := validatePerson(field, name)
	switch {
	case len(ps) > 0:
		return ps
	case strings.Contains(name, "/"):
		return []fault.Problem{fault.Field(field, "invalid", "field.name_slash", "A name holds no slash, because commands write WORKSPACE/NAME.")}
	case name == ".", name == "..":
		return []fault.Problem{fault.Field(field, "invalid", "field.name_dots", "A name is neither . nor .., because addresses mean something else by them.")}
	}
	return nil
}

// validatePerson gives the problem of the name of a person, or of a thing that no command names, if it has one.
func validatePerson(field, name string) []fault.Problem {
	problem := func(code, key, message string, pairs ...any) []fault.Problem {
		return []fault.Problem{fault.Field(field, code, key, message, pairs...)}
	}
	switch {
	case name == "":
		return problem("required", "field.name_needed", "A name is needed.")
	case !utf8.ValidString(name):
		return problem("invalid_utf8", "field.name_utf8", "The name is not valid UTF-8.")
	case utf8.RuneCountInString(name) > maxName:
		return problem("too_long", "field.name_long", "A name has at most {most} characters.", "most", maxName)
	case strings.TrimSpace(name) != name:
		return problem("invalid", "field.name_spaces", "A name neither begins nor ends with a space.")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return problem("invalid", "field.name_unprintable", "A name holds printable characters only.")
	}
	return nil
}

// oneOf is the problem of a value that is none of those that exist; it names the nearest.
func oneOf(field, got string, valid ...string) fault.Problem {
	value, list := fault.Escaped(got), strings.Join(valid, ", ")
	if near := fault.Nearest(got, valid); near != "" {
		return fault.Field(field, "unknown_value", "field.none_of_near", `"{value}" is none of {valid}. Did you mean "{near}"?`, "value", value, "valid", list, "near", near)
	}
	return fault.Field(field, "unknown_value", "field.none_of", `"{value}" is none of {valid}.`, "value", value, "valid", list)
}

// Limits of flushing. Source: the product's decided details, "Files".
const (
	MinFlushInterval = time.Second
	MaxFlushInterval = time.Hour
	MinFlushEvents   = 100
	MaxFlushEvents   = 100_000
)

// Codecs are the codecs a connector may have, in the order in which they are shown.
func Codecs() []string { return []string{"deflate", "null", "snappy", "zstandard"} }

// What a transformation does.
const (
	Remove = "remove" // the value becomes [REDACTED]
	Hash   = "hash"   // the value becomes its SHA-256 in lower-case hex
)

// Validate gives every problem of what a person decides about a connector, credentials apart. Fields are named as
// in the file of apply.
func (c Connector) Validate(types *event.Catalogue) []fault.Problem {
	ps := validateName("name", c.Name)
	ps = append(ps, validateEmail("contact_email", c.ContactEmail)...)
	ps = append(ps, c.Destination.validate()...)
	_, unknown := types.Select(c.Events)
	ps = append(ps, unknown...)
	ps = append(ps, validateTransformations(c.Transformations, types)...)
	if !slices.Contains(Codecs(), c.Codec) {
		ps = append(ps, oneOf("codec", c.Codec, Codecs()...))
	}
	if c.FlushInterval < MinFlushInterval || c.FlushInterval > MaxFlushInterval {
		ps = append(ps, fault.Field("flush.interval", "out_of_range",
			"field.flush_interval", "The interval lies between 1s and 1h; this is {given}.", "given", c.FlushInterval))
	}
	if c.FlushEvents < MinFlushEvents || c.FlushEvents > MaxFlushEvents {
		ps = append(ps, fault.Field("flush.events", "out_of_range",
			"field.flush_events", "The number of events lies between {least} and {most}; this is {given}.", "least", MinFlushEvents, "most", MaxFlushEvents, "given", c.FlushEvents))
	}
	return ps
}

func (d Destination) validate() []fault.Problem {
	_, ps := bucket.ParseFolder("destination.folder", d.Folder)
	// What else access needs is checked where the secret is at hand.
	return append(bucket.ValidateName("destination.bucket", d.Bucket), ps...)
}

// validateAccess gives every problem of what opens the bucket, as e wants it: of who chose a role or a key it says what
// that lacks. The bucket's name is left to Destination.
func (p *Plane) validateAccess(a bucket.Access, e Edit) []fault.Problem {
	var ps []fault.Problem
	none := a.RoleARN == "" && a.AccessKeyID == "" && a.SecretAccessKey.Empty()
	said := none
	switch role, key := e.RoleARN != nil, e.namesKey(); {
	case none && role && !key:
		ps = append(ps, fault.Field("destination.role_arn", "required", "field.role_needed", "The ARN of the role is needed."))
	case none && key && !role:
		said = false
	case none:
		ps = append(ps, fault.Field("destination.access_key_id", "required",
			"field.access_needed", "An access key id with its secret access key is needed, or the ARN of a role that trusts this installation."))
	}
	for _, q := range bucket.ValidateAccess(a) {
		if said && (q.Field == "access_key_id" || q.Field == "secret_access_key") {
			continue
		}
		if q.Field != "bucket" {
			q.Field = "destination." + q.Field
			ps = append(ps, q)
		}
	}
	if at := p.inside(a.Endpoint); at.IsValid() {
		ps = append(ps, fault.Field("destination.endpoint", string(bucket.AddressForbidden), "field.endpoint_inside",
			"{address} lies inside the operator's own network, where nobody's store is looked for. The operator can allow the network with the setting MILLRACE_ALLOWED_ENDPOINT_NETWORKS.", "address", at.String()))
	}
	return ps
}

func validateEmail(field, address string) []fault.Problem {
	if address == "" {
		return []fault.Problem{fault.Field(field, "required", "field.contact_needed", "A contact e-mail address is needed: it is told when delivery fails.")}
	}
	if a, err := mail.ParseAddress(address); err != nil || a.Address != address || len(address) > 254 {
		return []fault.Problem{fault.Field(field, "invalid", "field.email", "This is not an e-mail address such as data@example.com.")}
	}
	if fault.Visible(address) != address || strings.ContainsFunc(address, looksLikeAnother) {
		return []fault.Problem{fault.Field(field, "invalid", "field.email_unprintable", "An e-mail address holds printable characters only, and none of full width.")}
	}
	return nil
}

// looksLikeAnother reports whether an address with r is easily taken for one without. Source: Unicode, the block Halfwidth and
// Fullwidth Forms.
func looksLikeAnother(r rune) bool { return !unicode.IsPrint(r) || 0xff00 <= r && r <= 0xffef }

// TransformationFields gives the fields that a transformation can be chosen for, sorted: the fields that hold text in
// a type that events selects, id apart. Names in events that do not exist select nothing.
func TransformationFields(types *event.Catalogue, events []string) []string {
	sel, _ := types.Select(events)
	var names []string
	for _, t := range types.Types() {
		if !sel.HasType(t) {
			continue
		}
		for _, f := range t.Newest().Fields {
			if f.Kind == event.String && f.Name != idField {
				names = append(names, f.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// idField is what tells one event from another: no transformation touches it.
const idField = "id"

func validateTransformations(ts []Transformation, types *event.Catalogue) (ps []fault.Problem) {
	var texts, others []string // fields by what they hold
	for _, t := range types.Types() {
		for _, f := range t.Newest().Fields {
			if f.Kind == event.String {
				texts = append(texts, f.Name)
			} else {
				others = append(others, f.Name)
			}
		}
	}
	seen := map[string]bool{}
	for i, t := range ts {
		field := index("transformations", i) + ".field"
		problem := func(code, key, message string, pairs ...any) {
			ps = append(ps, fault.Field(field, code, key, message, pairs...))
		}
		switch {
		case t.Field == "":
			problem("required", "field.transformation_needed", "The name of a field is needed.")
		case t.Field == idField:
			problem("invalid", "field.transformation_id", "The field id stays as it is: it is what tells one event from another.")
		case seen[t.Field]:
			problem("duplicate", "field.transformation_twice", "The field {field} has a transformation already.", "field", t.Field)
		case slices.Contains(texts, t.Field):
		case slices.Contains(others, t.Field):
			problem("invalid", "field.transformation_no_text", "The field {field} holds no text; only text can be removed or hashed.", "field", t.Field)
		default:
			if near := fault.Nearest(t.Field, texts); near != "" {
				problem("unknown_field", "field.transformation_unknown_near", `No event type has a field "{field}". Did you mean "{near}"?`, "field", fault.Escaped(t.Field), "near", near)
			} else {
				problem("unknown_field", "field.transformation_unknown", `No event type has a field "{field}".`, "field", fault.Escaped(t.Field))
			}
		}
		seen[t.Field] = true
		if t.Action != Remove && t.Action != Hash {
			ps = append(ps, oneOf(index("transformations", i)+".action", t.Action, Remove, Hash))
		}
	}
	return ps
}

func index(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
