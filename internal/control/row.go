package control

import (
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/secret"
)

// Access and Features are the bucket's nouns, by the names under which what is stored of a destination is known
// to rooms that have nothing to do with buckets.
type (
	Access   = bucket.Access
	Features = bucket.Features
)

// Credentials open a destination's bucket, together with what the check found there: a key pair, or a role.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey secret.Value
	RoleARN         string   // in place of the pair; the external id is the workspace's
	Features        Features // how the store differs from Amazon S3
	Region          string   // in which the bucket really lies; empty: not found out
}

// LaneRow is a lane that is not done, with what its worker must know of the connector.
type LaneRow struct {
	Lane          Lane
	Workspace     uint32
	WorkspaceName string
	Name          string // of the connector
	Number        uint32 // of the connector
	Paused        bool
	Test          bool
}

// Count is events of one type accepted in one hour and era.
type Count struct {
	Workspace uint32
	EventType string
	Hour      eventlog.Hour
	Minute    Minute // of acceptance; 0: it is not told apart
	// Era is the offset of the newest control record of kind config of that workspace below the events; 0: none. All
	// of them met the same configurations.
	Era    eventlog.Offset
	Events int64
}

// Delivered is what the ledger says was delivered of one type in one hour. Test events are not in it.
type Delivered struct {
	EventType string
	Hour      eventlog.Hour
	Files     int64
	Events    int64
}

// LedgerFilter chooses ledger rows. Fields that are zero choose all; Until is exclusive. A drop over all streams may
// hold events of any type and of any hour until it was made: type and Until let it through, From does if it was made
// in that hour or later.
type LedgerFilter struct {
	Workspace   uint32
	Connector   ConnectorID
	Destination int
	EventType   string
	From, Until eventlog.Hour
	Newest      bool // first, in place of the oldest
	// Search chooses files whose key holds this text, of the newest FilesSearched that the rest chooses. Drops have no
	// key: it means nothing for them.
	Search string
}

// FilesSearched is how many files are searched for a text in their key, at most.
const FilesSearched = 20_000

// SchemaPrint is a schema as it was first seen: what stands under an id may never change.
type SchemaPrint struct {
	ID          uint32
	Type        string
	Fingerprint [32]byte // SHA-256 of the schema's Avro text
}
