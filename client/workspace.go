package client

import "time"

// Workspace is a tenant.
type Workspace struct {
	Versioned
	ID            string `json:"id"`
	Name          string `json:"name"`
	UnknownFields string `json:"unknown_fields" enum:"reject,ignore" doc:"What becomes of fields of events that their type does not have."`
	Language      string `json:"language" enum:"en,pt-BR,es" doc:"Of what its contacts are sent."`
	TimeZone      string `json:"time_zone" doc:"As America/Sao_Paulo: of whose calendar the days of statistics and reports are. A change holds for what is counted from then on."`
	// ControlGroup are the users who are in the global control group; empty: there is none.
	ControlGroup []BucketRange `json:"control_group" doc:"Random buckets of the users who are in the global control group; empty: there is none."`
	CreatedAt    time.Time     `json:"created_at"`
}

// WorkspaceCreate asks for a workspace.
type WorkspaceCreate struct {
	Name          string `json:"name"`
	UnknownFields string `json:"unknown_fields,omitempty" enum:",reject,ignore"`
	Language      string `json:"language,omitempty" enum:",en,pt-BR,es"`
	TimeZone      string `json:"time_zone,omitempty" doc:"UTC if it is left out."`
}

// WorkspaceEdit changes a workspace.
type WorkspaceEdit struct {
	Name          *string        `json:"name,omitempty"`
	UnknownFields *string        `json:"unknown_fields,omitempty" enum:"reject,ignore"`
	Language      *string        `json:"language,omitempty" enum:"en,pt-BR,es"`
	TimeZone      *string        `json:"time_zone,omitempty"`
	ControlGroup  *[]BucketRange `json:"control_group,omitempty" doc:"All ranges of random buckets; an empty list: there is none."`
}

// Installation is the machine, as its administrators see it.
type Installation struct {
	Version   string `json:"version"`
	Cluster   string `json:"cluster"`
	AccountID string `json:"account_id,omitempty" doc:"Of AWS: who takes on customers' roles. Absent: not known."`
	LogBytes  int64  `json:"log_bytes"`
	LogLimit  int64  `json:"log_limit_bytes"`
	DiskFree  int64  `json:"disk_free_bytes"`
	DiskTotal int64  `json:"disk_total_bytes"`
	Head      int64  `json:"head" doc:"Offset of the next event."`

	ProfileLag       *ProfileLag `json:"profile_lag,omitempty" doc:"How far profiles are behind; absent if the server that was asked does not keep them up."`
	ExportStoreFails bool        `json:"export_store_fails" doc:"Whether the installation's own store of exports has failed within the last two minutes, as the server saw it that was asked. Its log says why."`

	SetAside int64 `json:"set_aside" doc:"How much could not be taken up in profiles, of all workspaces: see listInstallationSetAside."`
}

// Rules are what an installation has decided for all connectors.
type Rules struct {
	GracePeriod float64 `json:"grace_period_seconds" doc:"How long events of a failing connector are kept."`
	PauseLimit  float64 `json:"pause_limit_seconds" doc:"How long events of a paused connector are kept."`
	Cluster     string  `json:"cluster" doc:"Part of the keys of connectors that are launched now; theirs for ever."`
	Zone        string  `json:"zone" doc:"Likewise."`
	TestCap     int     `json:"test_cap" doc:"How many events the test connectors of a workspace deliver in a time."`
	TestWindow  float64 `json:"test_window_seconds" doc:"That time."`

	LogRetention float64 `json:"log_retention_seconds" doc:"How long the log keeps events at least: longer while a connector waits to deliver them."`
	ExportRetry  float64 `json:"export_retry_seconds" doc:"How long an export that is held up is tried again."`
	Profiles     bool    `json:"profiles" doc:"Whether profiles are kept of the people whom events are about."`
}

// Notice is something that people were told.
type Notice struct {
	ID        string            `json:"id"`
	At        time.Time         `json:"at"`
	Kind      string            `json:"kind"`
	Connector string            `json:"connector,omitempty" doc:"Id of the connector that it is about."`
	Title     string            `json:"title" doc:"In the language that the request accepts."`
	Text      string            `json:"text"`
	Params    map[string]string `json:"params"`
	Read      bool              `json:"read" doc:"By the member who asks."`
}

// Notices are a part of the inbox.
type Notices struct {
	Page[Notice]
	Unread int `json:"unread"`
}

// Unread is how many notices a member has not read.
type Unread struct {
	Unread int `json:"unread"`
}

// NoticesRead says up to which notice the member has read.
type NoticesRead struct {
	UpTo string `json:"up_to" doc:"Id of the newest that was seen."`
}

// Webhook is an address that is called with notices.
type Webhook struct {
	ID        string    `json:"id"`
	URL       string    `json:"url"`
	Kinds     []string  `json:"kinds" doc:"Of notices; empty: all."`
	CreatedAt time.Time `json:"created_at"`
}

// WebhookCreate asks for a webhook.
type WebhookCreate struct {
	URL    string   `json:"url"`
	Secret string   `json:"secret,omitempty" doc:"Signs each call. Made, and answered once, if it is left out."`
	Kinds  []string `json:"kinds,omitempty"`
}

// WebhookIssued is a new webhook.
type WebhookIssued struct {
	Webhook
	Secret string `json:"secret,omitempty" doc:"Shown this once; absent if it was brought."`
}

// WebhookTest is what came of a trial call.
type WebhookTest struct {
	OK      bool   `json:"ok" doc:"The receiver took it."`
	Status  int    `json:"status,omitempty" doc:"Of HTTP, that a receiver answered with that did not take it; absent: nothing came."`
	Message string `json:"message,omitempty" doc:"Why it did not."`
}

// EventType is a row of the catalogue.
type EventType struct {
	Name     string       `json:"name"`
	Group    string       `json:"group"`
	Doc      string       `json:"doc,omitempty"`
	Own      bool         `json:"own,omitempty" doc:"It comes from the installation's own schema files."`
	SchemaID int          `json:"schema_id" doc:"Of the newest version."`
	Versions []int        `json:"versions" doc:"Schema ids, oldest first."`
	Fields   []EventField `json:"fields"`
	Example  string       `json:"example,omitempty" doc:"An event as it is posted, with all fields, where a single type is asked for."`
	DDL      string       `json:"ddl,omitempty" doc:"A table over its files, if ddl was asked for."`
}

// EventField is a field of an event type.
type EventField struct {
	Name     string `json:"name"`
	Type     string `json:"type" doc:"Of Avro: string, int, long, float, double, boolean."`
	Nullable bool   `json:"nullable"`
	Since    int    `json:"since" doc:"Schema id of the first version that has it."`
	Doc      string `json:"doc,omitempty"`
}

// Policy is an IAM policy, filled in.
type Policy struct {
	Text     string   `json:"text"`
	Format   string   `json:"format" enum:"json,cli,terraform,cloudformation"`
	Warnings []string `json:"warnings"`
}

// Trust is what a role has to trust.
type Trust struct {
	AccountID   string `json:"account_id,omitempty" doc:"Absent where the installation has no credentials of its own."`
	ExternalID  string `json:"external_id"`
	Integration string `json:"integration" enum:"currents,exports"`
	Policy      string `json:"policy,omitempty" doc:"The trust policy, in the format that was asked for; absent without an account."`
}

// Job is work that goes on after the answer.
type Job struct {
	ID        string         `json:"id"`
	Kind      string         `json:"kind"`
	State     string         `json:"state" enum:"waiting,running,done,failed"`
	Connector string         `json:"connector,omitempty"`
	Progress  map[string]any `json:"progress,omitempty"`
	Result    map[string]any `json:"result,omitempty"`
	Error     *Error         `json:"error,omitempty" doc:"Why it failed."`
	Note      string         `json:"note,omitempty" doc:"While it waits for a server that works on the log."`
	CreatedAt time.Time      `json:"created_at"`
	DoneAt    *time.Time     `json:"done_at,omitempty"`
}

// Manifest is a file of apply, with what it refers to.
type Manifest struct {
	Name    string            `json:"name" doc:"Of the file, for messages."`
	Text    string            `json:"text" doc:"YAML."`
	Secrets map[string]string `json:"secrets,omitempty" doc:"By env:NAME and file:PATH: what the file's secret_env and secret_file stand for."`
	DryRun  bool              `json:"dry_run,omitempty"`
}

// Applied is what came of a manifest: the result of its job.
type Applied struct {
	DryRun   bool            `json:"dry_run,omitempty"`
	Changes  []AppliedChange `json:"changes"`
	Keys     []AppliedKey    `json:"keys" doc:"That were made."`
	Failures []ApplyFailure  `json:"failures"`
}

// AppliedChange is a thing that is different now, or would be.
type AppliedChange struct {
	Kind      string   `json:"kind" doc:"workspace, API key, webhook, connector, data export."`
	Workspace string   `json:"workspace"`
	Name      string   `json:"name,omitempty" doc:"Absent for a workspace and its data export."`
	Different []string `json:"different,omitempty" doc:"In words; absent for a thing that is just made."`
}

// ApplyFailure is a thing of a manifest that could not be made so.
type ApplyFailure struct {
	Kind      string         `json:"kind"`
	Workspace string         `json:"workspace"`
	Name      string         `json:"name,omitempty"`
	Place     string         `json:"place,omitempty" doc:"Where the manifest speaks of it: name:line:column."`
	Code      string         `json:"code"`
	Message   string         `json:"message"`
	Hint      string         `json:"hint,omitempty"`
	Fields    []FieldProblem `json:"fields,omitempty"`
}

// AppliedKey is an API key that a manifest made.
type AppliedKey struct {
	Workspace string `json:"workspace"`
	Name      string `json:"name"`
	Key       string `json:"key,omitempty" doc:"Shown once, to who asked for it alone, and never to a token that only reads."`
}

// BucketRange is a range of random buckets, which are 0 to 9999; both ends belong to it.
type BucketRange struct {
	First int `json:"first"`
	Last  int `json:"last"`
}
