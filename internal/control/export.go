package control

import "time"

// DataExport is a workspace's link to a bucket of its own for what is exported on demand: Technology partners →
// Amazon S3. There is at most one in a workspace.
type DataExport struct {
	Workspace   uint32
	Bucket      string
	Region      string
	Endpoint    string
	PathStyle   bool
	AccessKeyID string // of the key method
	RoleARN     string // of the role method
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Rev         int64 // counts the changes, from 1, see Connector.Rev; 0: there is none yet
}

// Integration is what credentials are for; each has an external id of its own in a workspace.
type Integration string

// The integrations.
const (
	IntegrationCurrents Integration = "currents"
	IntegrationExports  Integration = "exports"
)

// CheckRow is a credential check that was made.
type CheckRow struct {
	ID        int64 // 0: new
	Workspace uint32
	Connector ConnectorID // empty: the data export integration
	Trigger   CheckTrigger
	OK        bool
	Report    []byte // bucket.Report as JSON
	At        time.Time
}

// CheckTrigger is what a check was made for.
type CheckTrigger string

// The triggers.
const (
	CheckLaunch   CheckTrigger = "launch"
	CheckSave     CheckTrigger = "save"
	CheckSchedule CheckTrigger = "schedule"
	CheckDemand   CheckTrigger = "demand" // of what is stored
	CheckTest     CheckTrigger = "test"   // of what is not stored yet, and may never be
)
