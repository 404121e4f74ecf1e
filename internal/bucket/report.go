package bucket

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// StepState is how a step of a check ended, or that it goes on.
type StepState string

// The states. A Report holds the first three only.
const (
	Passed  StepState = "passed"
	Failed  StepState = "failed"
	Skipped StepState = "skipped" // what failed before leaves nothing to find out
	Trying  StepState = "trying"  // it failed, and is tried again: a role may have been made a moment ago
)

// Finding is a sentence of a check with its advice. Said is the store's own sentence, if it has one: a quotation, in
// the store's language.
type Finding struct {
	Message fault.Message
	Hint    fault.Message
	Params  fault.Params
	Said    string
	Remedy  Remedy // what to add or to put in place, ready to paste; nil: nothing
}

// Step is one right that was tried.
type Step struct {
	Action    string    `json:"action"` // s3:PutObject
	State     StepState `json:"state"`
	Problem   Problem   `json:"problem,omitempty"`   // with Failed and Trying
	Finding   Finding   `json:"finding,omitzero"`    // likewise, and with Skipped if the step may be what is missing too
	Statement string    `json:"statement,omitempty"` // with a right that is missing or may be: the policy statement that grants it, as JSON

	Left time.Duration `json:"-"` // with Trying: how long it will be tried yet
}

// Report is what a check found. Steps stand in the order in which they were made.
//
// It is stored as JSON, by snake_case names, and read again as it was; numbers among the parameters come back as
// float64.
type Report struct {
	OK      bool          `json:"ok"`
	Heading fault.Message `json:"-"`                 // unless OK
	Passing bool          `json:"passing,omitempty"` // unless OK: the store is in trouble, the same check may succeed later
	Steps   []Step        `json:"steps"`
	Notes   []Finding     `json:"notes,omitempty"` // what is worth knowing though it works

	Region   string   `json:"region,omitempty"`  // where the bucket lies, to be kept with the access; empty: unknown
	Features Features `json:"features,omitzero"` // to be kept with the access
	Lock     bool     `json:"lock,omitempty"`    // Object Lock keeps what is written
}

// sentence is a fault.Message as it is stored.
type sentence struct {
	Key  string `json:"key"`
	Text string `json:"text"`
}

type findingJSON struct {
	Message sentence     `json:"message"`
	Hint    sentence     `json:"hint,omitzero"`
	Params  fault.Params `json:"params,omitempty"`
	Said    string       `json:"said,omitempty"`
	Remedy  Remedy       `json:"remedy,omitempty"`
}

// MarshalJSON writes f with snake_case names.
func (f Finding) MarshalJSON() ([]byte, error) {
	return json.Marshal(findingJSON{sentence(f.Message), sentence(f.Hint), f.Params, f.Said, f.Remedy})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *Finding) UnmarshalJSON(b []byte) error {
	var j findingJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*f = Finding{fault.Message(j.Message), fault.Message(j.Hint), j.Params, j.Said, j.Remedy}
	return nil
}

type plainReport Report // without the methods

type reportJSON struct {
	plainReport
	Heading sentence `json:"heading,omitzero"`
}

// MarshalJSON writes r with snake_case names.
func (r Report) MarshalJSON() ([]byte, error) {
	return json.Marshal(reportJSON{plainReport(r), sentence(r.Heading)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Report) UnmarshalJSON(b []byte) error {
	var j reportJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*r = Report(j.plainReport)
	r.Heading = fault.Message(j.Heading)
	return nil
}

// Err gives the report as one error: the heading, then a field problem for each step that failed or may lack its
// right too, named by its action. Nil if OK. Of a problem the catalogues have the finding's message alone: hint and
// statement are the report's to show.
//
// Code: unavailable if the same check may succeed later by itself, else invalid.
func (r Report) Err() error {
	if r.OK {
		return nil
	}
	e := &fault.Error{Code: fault.Invalid, Op: "check credentials", Msg: r.Heading, Retry: r.Passing}
	if r.Passing {
		e.Code = fault.Unavailable
	}
	for _, s := range r.Steps {
		if s.State != Failed && s.Statement == "" {
			continue
		}
		text := s.Finding.Text()
		if s.Statement != "" {
			text += " " + s.Statement
		}
		e.Fields = append(e.Fields, fault.Problem{Field: s.Action, Code: string(cmp.Or(s.Problem, untold)), Message: text,
			Key: s.Finding.Message.Key, Params: s.Finding.Params})
	}
	return e
}

// Text is message, hint and quotation in English on one line.
func (f Finding) Text() string {
	filled := &fault.Error{Msg: f.Message, Hint: f.Hint, Params: f.Params}
	text := filled.Message()
	if h := filled.HintText(); h != "" {
		text += " " + h
	}
	if f.Said != "" {
		text += " (The store: " + f.Said + ")"
	}
	return text
}
