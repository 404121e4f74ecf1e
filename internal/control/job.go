package control

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// Job is work that outlives who asked for it, done by the process that owns the log.
type Job struct {
	ID        int64 // 0: new
	Kind      JobKind
	Workspace uint32          // 0: of several, or one that is to be made; it is of whom Actor says
	Connector ConnectorID     // of JobLaunch: the one that is to be
	Params    json.RawMessage // what the kind needs; kept sealed, since it may hold credentials, and erased at the end
	Actor     Actor           // who asked, with their rights of then; what they may do is looked at again, see Plane.May
	State     JobState
	Progress  json.RawMessage // how far it is, and at its end what its checks found; nil: nothing to tell
	Result    json.RawMessage // what came out, of some kinds also if they failed; nil until then. Kept sealed like Params: an apply may have made keys
	// Failure is why it failed, as an answer would say it: a fault.Error without cause and operation. nil: it did not.
	Failure   *fault.Error
	CreatedAt time.Time
	DoneAt    time.Time
}

// JobsAtOnce is how many jobs of one workspace are under way at once: a check may take minutes, and nobody's checks hold
// up those of others.
const JobsAtOnce = 4

// Owner is for whom a job is done, of whom JobsAtOnce are under way.
func (j Job) Owner() string {
	if j.Workspace == 0 {
		return "member " + string(j.Actor.Member)
	}
	return fmt.Sprint("workspace ", j.Workspace)
}

// Exclusive is what a job needs for itself, so that another that needs it waits; empty: nothing.
func (j Job) Exclusive() string {
	switch j.Kind {
	case JobReplay:
		return "replay" // each reads the log and fills memory
	case JobLaunch, JobEdit:
		return "connector " + string(j.Connector) // the second is meant for what the first makes of it
	case JobExportSave:
		return fmt.Sprint("data export ", j.Workspace)
	case JobApply:
		return "apply " + j.Owner()
	}
	return ""
}

// JobKind is what a job does.
type JobKind string

// The kinds.
const (
	JobTestEvents JobKind = "test_events" // one realistic event of each selected type, to one connector
	JobReplay     JobKind = "replay"      // the ledger's files again, or what was dropped
	JobLaunch     JobKind = "launch"      // a connector, after its check
	JobEdit       JobKind = "edit"        // a connector, after its check where that is needed
	JobCheck      JobKind = "check"       // of a connector's stored credentials
	JobExportTest JobKind = "export_test" // of what is not saved yet
	JobExportSave JobKind = "export_save"
	JobApply      JobKind = "apply" // a manifest
)

// ReplayParams are the parameters of a JobReplay. Its interval is that of hours of acceptance.
type ReplayParams struct {
	From    time.Time `json:"from"`
	Until   time.Time `json:"until,omitzero"`    // zero: until now
	Dropped bool      `json:"dropped,omitempty"` // what was dropped, in place of the ledger's files
}

// JobState is how far a job is.
type JobState string

// The states.
const (
	JobWaiting JobState = "waiting"
	JobRunning JobState = "running"
	JobDone    JobState = "done"
	JobFailed  JobState = "failed"
)

// FailureOf gives of err what an answer would say, for Job.Failure: code, sentence, hint and field problems. Of errors
// that are ours alone the sentence stays in the log.
func FailureOf(err error) *fault.Error {
	f := &fault.Error{Code: fault.CodeOf(err), Fields: fieldsOf(err)}
	if e := fault.As(err); e != nil && f.Code != fault.Internal && f.Code != fault.Corrupt {
		f.Msg, f.Params, f.Hint = e.Msg, e.Params, e.Hint
		if hint := fault.HintOf(err); f.Hint.Text == "" && hint != "" {
			f.Hint = fault.Message{Text: hint}
		}
	}
	return f
}

func fieldsOf(err error) []fault.Problem {
	if e := fault.As(err); e != nil {
		return e.Fields
	}
	return nil
}
