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

// JobState is how far a job is.
type JobState string

// The states.
const (
	JobWaiting JobState = "waiting"
	JobRunning JobState = "running"
	JobDone    JobState = "done"
	JobFailed  JobState = "failed"
)
