package client

import "time"

// Connector is a flow of events into a bucket: a Current.
type Connector struct {
	Versioned
	ID              string           `json:"id"`
	Name            string           `json:"name"`
	Type            string           `json:"type" enum:"s3"`
	Status          string           `json:"status" enum:"draft,active,failing,paused,deleted"`
	ContactEmail    string           `json:"contact_email"`
	Destination     Destination      `json:"destination"`
	Encryption      bool             `json:"encryption"`
	Events          []string         `json:"events" doc:"Types, groups, or all."`
	Transformations []Transformation `json:"transformations"`
	Codec           string           `json:"codec" enum:"deflate,null,snappy,zstandard"`
	Flush           Flush            `json:"flush"`
	Paused          bool             `json:"paused"`
	Test            bool             `json:"test"`
	Version         int              `json:"version" doc:"Of what decides about events; 0: a draft."`
	CreatedAt       time.Time        `json:"created_at"`
	Delivery        *Delivery        `json:"delivery,omitempty" doc:"How its uploads go; absent in lists of drafts and before the first."`
}

// Destination is where files go.
type Destination struct {
	Bucket      string `json:"bucket"`
	Folder      string `json:"folder"`
	Region      string `json:"region,omitempty"`
	Endpoint    string `json:"endpoint,omitempty" doc:"Absent: Amazon S3."`
	PathStyle   bool   `json:"path_style,omitempty"`
	AccessKeyID string `json:"access_key_id,omitempty"`
	RoleARN     string `json:"role_arn,omitempty"`
	Prefix      string `json:"prefix,omitempty" doc:"What the keys of all its files begin with."`
}

// Transformation changes a field of every event that has it.
type Transformation struct {
	Field  string `json:"field"`
	Action string `json:"action" enum:"remove,hash"`
}

// Flush says when a file is closed, at the latest.
type Flush struct {
	Interval string `json:"interval" doc:"As 5m: 1s to 1h."`
	Events   int    `json:"events" doc:"100 to 100000."`
}

// Delivery is how a connector's uploads go.
type Delivery struct {
	State      string     `json:"state" enum:"active,retrying,failing,paused,done"`
	Since      time.Time  `json:"since"`
	Problem    string     `json:"problem,omitempty"`
	Message    string     `json:"message,omitempty"`
	Said       string     `json:"said,omitempty" doc:"What the store said, in its own words."`
	Until      *time.Time `json:"until,omitempty" doc:"While failing or paused: when the oldest events begin to be lost."`
	LastFileAt *time.Time `json:"last_file_at,omitempty"`
	Waiting    *int64     `json:"waiting_events,omitempty" doc:"Read and not in the bucket yet; while failing or paused, all that is kept. Else absent where the server that was asked does not deliver."`
	LagSeconds *float64   `json:"lag_seconds,omitempty" doc:"Age of the oldest that waits; absent likewise."`
	Cap        *Cap       `json:"cap,omitempty" doc:"Of a test connector."`
}

// Cap is how a test connector stands to the cap that all of its workspace have together.
type Cap struct {
	Reached bool  `json:"reached" doc:"They have delivered as much as they may in the window: what comes now is dropped."`
	Dropped int64 `json:"dropped_events" doc:"That this one has lost to it in the window."`
}

// ConnectorEdit is what is wanted of a connector. Fields that are nil stay, or take their default in a new one.
type ConnectorEdit struct {
	Name            *string           `json:"name,omitempty"`
	ContactEmail    *string           `json:"contact_email,omitempty"`
	Destination     *DestinationEdit  `json:"destination,omitempty"`
	Encryption      *bool             `json:"encryption,omitempty"`
	Events          *[]string         `json:"events,omitempty"`
	Transformations *[]Transformation `json:"transformations,omitempty"`
	Codec           *string           `json:"codec,omitempty" enum:"deflate,null,snappy,zstandard"`
	Flush           *FlushEdit        `json:"flush,omitempty"`
	Paused          *bool             `json:"paused,omitempty"`
	Test            *bool             `json:"test,omitempty"`
}

// DestinationEdit is what is wanted of a destination. Either a key or a role: naming the one gives up the other.
type DestinationEdit struct {
	SameAs          *string `json:"same_as,omitempty" doc:"Id of a connector whose bucket and credentials are taken where nothing stands beside it."`
	Bucket          *string `json:"bucket,omitempty"`
	Folder          *string `json:"folder,omitempty"`
	Region          *string `json:"region,omitempty"`
	Endpoint        *string `json:"endpoint,omitempty"`
	PathStyle       *bool   `json:"path_style,omitempty"`
	AccessKeyID     *string `json:"access_key_id,omitempty"`
	SecretAccessKey *string `json:"secret_access_key,omitempty" doc:"Goes in and never comes out."`
	RoleARN         *string `json:"role_arn,omitempty"`
}

// Draft is a connector that is not launched. Nothing of it but its name is checked.
type Draft struct {
	Versioned
	ID        string        `json:"id" doc:"That the connector will have."`
	Name      string        `json:"name"`
	Connector ConnectorEdit `json:"connector" doc:"Without its secret."`
	HasSecret bool          `json:"has_secret"`
	CreatedAt time.Time     `json:"created_at"`
	UpdatedAt time.Time     `json:"updated_at"`
}

// FlushEdit is what is wanted of Flush.
type FlushEdit struct {
	Interval *string `json:"interval,omitempty"`
	Events   *int    `json:"events,omitempty"`
}

// DataExport is a workspace's link to a bucket for what is exported on demand.
type DataExport struct {
	Versioned
	Bucket      string    `json:"bucket"`
	Region      string    `json:"region,omitempty"`
	Endpoint    string    `json:"endpoint,omitempty"`
	PathStyle   bool      `json:"path_style,omitempty"`
	AccessKeyID string    `json:"access_key_id,omitempty"`
	RoleARN     string    `json:"role_arn,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// DataExportEdit is what is wanted of it.
type DataExportEdit struct {
	Bucket          *string `json:"bucket,omitempty"`
	Region          *string `json:"region,omitempty"`
	Endpoint        *string `json:"endpoint,omitempty"`
	PathStyle       *bool   `json:"path_style,omitempty"`
	AccessKeyID     *string `json:"access_key_id,omitempty"`
	SecretAccessKey *string `json:"secret_access_key,omitempty"`
	RoleARN         *string `json:"role_arn,omitempty"`
}

// Check is a credential check, and what waits for it: a launch, an edit, a save.
type Check struct {
	ID        string         `json:"id"`
	For       string         `json:"for" enum:"launch,edit,check,export_test,export_save"`
	State     string         `json:"state" enum:"waiting,running,passed,failed"`
	ByRole    bool           `json:"by_role,omitempty" doc:"Whether it is let in by a role: its first step is then to take that on."`
	Steps     []CheckStep    `json:"steps"`
	Notes     []CheckNote    `json:"notes" doc:"What is worth knowing though it passed."`
	Connector string         `json:"connector,omitempty" doc:"Id of the connector; with launch, which it has once it passed."`
	Changes   []string       `json:"changes,omitempty" doc:"What an edit changed, in words."`
	Error     *Error         `json:"error,omitempty" doc:"Why it failed."`
	Asked     *ConnectorEdit `json:"asked,omitempty" doc:"What a launch or an edit that failed was to do, without its secret."`
	Note      string         `json:"note,omitempty" doc:"Why it waits, where that is not only its turn: no server works on the log, or other checks go first."`
	Behind    string         `json:"behind,omitempty" doc:"Id of the check that goes first, while this one waits for it."`
	CreatedAt time.Time      `json:"created_at"`
	DoneAt    *time.Time     `json:"done_at,omitempty"`

	AskedExport *DataExportEdit `json:"asked_export,omitempty" doc:"What a data export was tested with, or was to be, without its secret; once the check has ended."`
}

// CheckStep is one thing that was tried.
type CheckStep struct {
	Action    string            `json:"action" doc:"As s3:PutObject."`
	State     string            `json:"state" enum:"passed,failed,skipped,trying"`
	Problem   string            `json:"problem,omitempty"`
	Message   string            `json:"message,omitempty"`
	Hint      string            `json:"hint,omitempty"`
	Said      string            `json:"said,omitempty" doc:"What the store said, in its own words."`
	Remedy    map[string]string `json:"remedy,omitempty" doc:"What to put in place, by format: json, cli, terraform, cloudformation."`
	LeftSecs  float64           `json:"left_seconds,omitempty" doc:"While trying again: for how long still."`
	Statement string            `json:"statement,omitempty" doc:"The policy statement that is missing."`
}

// CheckNote is a remark of a check.
type CheckNote struct {
	Message string            `json:"message"`
	Hint    string            `json:"hint,omitempty"`
	Said    string            `json:"said,omitempty" doc:"What the store said, in its own words."`
	Remedy  map[string]string `json:"remedy,omitempty"`
}

// PastCheck is a check of the history.
type PastCheck struct {
	ID      string      `json:"id"`
	At      time.Time   `json:"at"`
	Trigger string      `json:"trigger" enum:"launch,save,schedule,demand,test"`
	OK      bool        `json:"ok"`
	Steps   []CheckStep `json:"steps"`
	Notes   []CheckNote `json:"notes"`
}

// File is an object that was delivered.
type File struct {
	ID        string    `json:"id"`
	Key       string    `json:"key"`
	Bucket    string    `json:"bucket"`
	EventType string    `json:"event_type"`
	Hour      time.Time `json:"hour" doc:"Of acceptance, UTC."`
	First     int64     `json:"first_offset"`
	Last      int64     `json:"last_offset"`
	Events    int       `json:"events"`
	Bytes     int64     `json:"bytes"`
	SHA       string    `json:"records_hash,omitempty" doc:"128 bits in hex, over the raw records."`
	Cut       string    `json:"cut" doc:"Why it was closed."`
	At        time.Time `json:"at"`

	SchemaID    int    `json:"schema_id" doc:"Of the version of its type that it was written with."`
	Fingerprint string `json:"schema_fingerprint,omitempty" doc:"SHA-256 of that schema's Avro text, in hex; absent if the catalogue has it no more."`
	Destination int    `json:"destination" doc:"Number of the connector's destination, from 1: another bucket or folder has another."`
	Version     int    `json:"version" doc:"Of the connector that it was written with."`
	Adopted     bool   `json:"adopted,omitempty" doc:"It was found in the bucket rather than written then: an answer of the store was lost."`
	Test        bool   `json:"test,omitempty" doc:"Its events are test events."`
}

// Loss is a range of events that was dropped by rule.
type Loss struct {
	ID        string     `json:"id"`
	EventType string     `json:"event_type,omitempty" doc:"Absent: of all types."`
	Hour      *time.Time `json:"hour,omitempty" doc:"Of acceptance; absent: of several."`
	First     int64      `json:"first_offset"`
	Last      int64      `json:"last_offset"`
	Events    int64      `json:"events" doc:"-1: not known."`
	Reason    string     `json:"reason" enum:"grace,pause,quota,cap,deleted,log_lost,trimmed,damaged"`
	Settled   bool       `json:"settled"`
	At        time.Time  `json:"at"`
	ToldAt    *time.Time `json:"announced_at,omitempty" doc:"When a notice told of it; absent: not yet, or that was not kept."`
}

// AuditHour is an hour of a connector: accepted = delivered + dropped + waiting.
type AuditHour struct {
	Hour   time.Time    `json:"hour"`
	Counts []AuditCount `json:"counts" doc:"By event type."`
}

// AuditCount is an hour's count of one type.
type AuditCount struct {
	EventType string `json:"event_type"`
	Accepted  int64  `json:"accepted"`
	Delivered int64  `json:"delivered"`
	Dropped   int64  `json:"dropped"`
	Waiting   int64  `json:"waiting"`
}

// Waiting is what was accepted for a connector and is neither in its bucket nor in its ledger as dropped.
type Waiting struct {
	Events int64      `json:"events"`
	Since  *time.Time `json:"since,omitempty" doc:"The oldest hour of acceptance of them."`
}

// Hour is whether an hour is complete.
type Hour struct {
	Hour       time.Time    `json:"hour"`
	Complete   bool         `json:"complete"`
	CompleteAt *time.Time   `json:"complete_at,omitempty"`
	Counts     []AuditCount `json:"counts"`
}

// Replay asks for files again, or for what was dropped.
type Replay struct {
	From    time.Time  `json:"from" doc:"Of acceptance."`
	Until   *time.Time `json:"until,omitempty"`
	Dropped bool       `json:"dropped,omitempty" doc:"What was dropped, in place of the ledger's files."`
}
