package control

import (
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// Workspace is a tenant: everything but the installation itself belongs to exactly one.
type Workspace struct {
	// Number stands in the log's headers and in control records. It is drawn at random from 1 to 2³¹−1 and never
	// given twice, so that a database restored from an old copy cannot hand the number of a workspace it has
	// forgotten, whose events are still in the log, to another one.
	Number        uint32
	Name          string // unique in the installation
	UnknownFields UnknownFields
	Language      string  // in which its people are sent mails: one of Languages; empty: DefaultLanguage
	TimeZone      string  // of whose calendar the days of statistics are; empty: DefaultZone
	ControlGroup  Buckets // whom the global control group holds; empty: there is none
	CreatedAt     time.Time
	Rev           int64 // counts the changes, see Connector.Rev
}

// WorkspaceEdit is what somebody wants of a workspace. Fields that are nil stay as they are.
type WorkspaceEdit struct {
	Name          *string
	UnknownFields *UnknownFields
	Language      *string
	TimeZone      *string
	ControlGroup  *[]BucketRange
	Rev           *int64 // of the workspace that it was thought through on; nil: whatever it is now
}

// UnknownFields is what becomes of an event's fields that its schema does not have.
type UnknownFields string

// The policies.
const (
	RejectUnknown UnknownFields = "reject" // the event is rejected with unknown_field; the default
	IgnoreUnknown UnknownFields = "ignore" // they are counted and dropped
)

// DefaultLanguage is the language of a workspace that chose none.
const DefaultLanguage = "en"

// DefaultZone is the time zone of a workspace that chose none.
const DefaultZone = "UTC"

// Zone is the time zone of w. One that this program's database of zones does not have is UTC.
func (w Workspace) Zone() *time.Location { return ZoneOf(w.TimeZone) }

// ZoneOf is the time zone of that name, as Workspace.Zone.
func ZoneOf(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

// Languages are the languages in which people can be addressed, as BCP 47 names them.
func Languages() []string { return []string{DefaultLanguage, "pt-BR", "es"} }

// Validate gives every problem of a workspace's fields.
func (w Workspace) Validate() []fault.Problem {
	ps := validateName("name", w.Name)
	if w.Name != "" && strings.Trim(w.Name, "0123456789") == "" {
		ps = append(ps, fault.Field("name", "invalid", "field.name_number", "A workspace's name holds more than digits, because its number may stand for it."))
	}
	switch w.UnknownFields {
	case RejectUnknown, IgnoreUnknown:
	default:
		ps = append(ps, oneOf("unknown_fields", string(w.UnknownFields), string(RejectUnknown), string(IgnoreUnknown)))
	}
	if w.Language != "" && !slices.Contains(Languages(), w.Language) {
		ps = append(ps, oneOf("language", w.Language, Languages()...))
	}
	return append(ps, validateZone("time_zone", w.TimeZone)...)
}

// ErrWorkspaceTaken says that a workspace has that name, or one that differs from it in case alone: conflict.
func ErrWorkspaceTaken(name string) error {
	return (&fault.Error{Code: fault.Conflict, Params: fault.Params{"name": name},
		Msg: fault.Message{Key: "control.workspace_taken", Text: `There is a workspace "{name}" already.`}}).At("name", "duplicate")
}
