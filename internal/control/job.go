package control

import (
	"encoding/json"
	"time"
)

// Job is work that outlives who asked for it, done by the process that owns the log.
type Job struct {
	ID        int64 // 0: new
	Kind      JobKind
	Workspace uint32
	Connector ConnectorID
	Params    json.RawMessage // what the kind needs
	State     JobState
	Result    json.RawMessage // what came out; nil until done
	Error     string          // with JobFailed, in English
	CreatedAt time.Time
	DoneAt    time.Time
}

// JobKind is what a job does.
type JobKind string

// The kinds.
const (
	JobTestEvents JobKind = "test_events" // one realistic event of each selected type, to one connector
	JobReplay     JobKind = "replay"      // the ledger's files again, or what was dropped
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
