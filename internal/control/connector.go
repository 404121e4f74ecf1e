package control

import (
	"time"

	"github.com/millrace/millrace/internal/eventlog"
)

// ConnectorID names a connector for ever: 24 hex digits, part of its object keys.
type ConnectorID string

// Connector is one configured flow of events into a customer's bucket, as a person edits it.
type Connector struct {
	Config       // the newest version, whether or not its control record is in the log yet
	ContactEmail string
	Paused       bool   // holds uploads, decides nothing about events
	Test         bool   // capped, and left out of statistics
	AccessKeyID  string // of the newest destination's credentials; empty once they are erased, and with a role
	RoleARN      string // in place of a key
	CreatedAt    time.Time
	// Rev counts the changes, those of credentials and of what is no part of a version too. A change that was thought
	// through on another one is refused as stale, however long its check took.
	Rev int64
}

// Config is one version of everything about a connector that decides which events it gets and in what form. It is
// immutable: a change is a new version. It holds no secret, because the whole of it stands in a control record.
//
// A version holds for the events after its control record in the log. What only concerns how uploads go on
// (paused, credentials) is not part of it.
type Config struct {
	Connector   ConnectorID `json:"connector"`
	Number      uint32      `json:"number"`    // the connector's number in this installation; target of test events
	Workspace   uint32      `json:"workspace"` // number of the workspace
	Version     int         `json:"version"`   // 1, 2, …
	Name        string      `json:"name"`
	Deleted     bool        `json:"deleted,omitempty"` // the last version: nothing after it is delivered
	Destination Destination `json:"destination"`

	Events          []string         `json:"events"` // types, groups, or "all"; future types too when "all"
	Transformations []Transformation `json:"transformations,omitempty"`
	Codec           string           `json:"codec"` // null, deflate, snappy, zstandard
	FlushInterval   time.Duration    `json:"flush_interval"`
	FlushEvents     int              `json:"flush_events"`
}

// Destination is where files go. Its number changes when bucket, endpoint or folder change: a new number is a new
// chain with its own position, and its own credentials.
type Destination struct {
	Number     int    `json:"number"` // 1, 2, … within the connector
	Bucket     string `json:"bucket"`
	Folder     string `json:"folder"` // without slashes at its ends; empty: the bucket's root
	Region     string `json:"region,omitempty"`
	Endpoint   string `json:"endpoint,omitempty"`
	PathStyle  bool   `json:"path_style,omitempty"`
	Encryption bool   `json:"encryption,omitempty"`
	Cluster    string `json:"cluster"` // frozen at launch, part of the key
	Zone       string `json:"zone"`    // likewise
}

// Transformation changes one field, by name, in every type that has it as a string. Null stays null.
type Transformation struct {
	Field  string `json:"field"`
	Action string `json:"action"` // remove, hash
}

// Lane is one connector's way to one of its destinations: the unit that has a position, a chain, and is parked or
// settled on its own.
type Lane struct {
	Connector   ConnectorID `json:"connector"`
	Destination int         `json:"destination"`
}

// Stream is the files of one event type and version in one hour.
type Stream struct {
	Schema uint32        `json:"schema"`
	Hour   eventlog.Hour `json:"hour"`
	Target uint32        `json:"target,omitempty"` // set: test events, in files of their own
}

// Position is how far a lane has come: one value, saved in one commit together with the ledger rows it covers.
type Position struct {
	Lane Lane        `json:"lane"`
	Log  eventlog.ID `json:"log"`
	// Cursor: everything below is delivered, dropped or not selected.
	Cursor eventlog.Offset `json:"cursor"`
	// Version of the configuration in force at Cursor.
	Version int `json:"version"`
	// Until is where the lane ends: the control record that changed its destination or deleted the connector;
	// 0 while it goes on. Only the applier of control records sets it.
	Until eventlog.Offset `json:"until,omitempty"`
	// Links holds, for every stream with a link that ends at or above Cursor, that link's last offset.
	Links map[Stream]eventlog.Offset `json:"-"`
	// Plans are borders fixed before their write, for stores without create-only writes.
	Plans []Plan `json:"-"`
	// Seq counts the saves. A save must be based on the newest, or it is refused as stale.
	Seq int64 `json:"seq"`
}

// Plan is a file whose borders are fixed.
type Plan struct {
	Stream    Stream          `json:"stream"`
	Partition int             `json:"partition"`
	First     eventlog.Offset `json:"first"`
	Last      eventlog.Offset `json:"last"`
}

// File is a ledger row: one object that holds events of a lane.
type File struct {
	ID        int64 // of the row, in the order of writing; 0: new
	Lane      Lane
	Key       string // unique within the lane
	Stream    Stream
	EventType string
	Partition int
	Log       eventlog.ID
	First     eventlog.Offset
	Last      eventlog.Offset
	Events    int
	RawHash   [16]byte // of the raw records, see avrofile.Hash; zero for objects adopted by their events
	Size      int64    // bytes of the object
	Version   int      // of the configuration
	Encoder   int      // version of the encoder
	Cut       string   // cut reason, as delivery names them
	Adopted   bool     // found in the bucket rather than written in this attempt
	At        time.Time
}

// CutReplay is the cut reason of files with events that had been dropped and were brought back.
const CutReplay = "replay"

// Drop is a ledger row: events that a lane lost by rule.
type Drop struct {
	ID        int64 // 0: new
	Lane      Lane
	Stream    Stream // zero: a range over all streams, of whatever hours until At
	EventType string // empty: the same
	Log       eventlog.ID
	First     eventlog.Offset
	Last      eventlog.Offset
	Events    int64 // -1: not known, the log no longer holds them
	Reason    DropReason
	At        time.Time
	ToldAt    time.Time // when people were told; zero: not yet, or that is not known. Only the store sets it
	// Settled: the bucket was looked at after the last attempt and what it holds is not counted here.
	Settled bool
}

// OverAll reports whether d is a range over all streams: what types and hours its events were of cannot be told.
func (d *Drop) OverAll() bool { return d.EventType == "" }

// DropReason is why events were lost.
type DropReason string

// The reasons.
const (
	DropGrace   DropReason = "grace"    // credentials bad for longer than the grace period
	DropPause   DropReason = "pause"    // paused for longer than the limit
	DropQuota   DropReason = "quota"    // the log's quota
	DropCap     DropReason = "cap"      // a test connector's cap
	DropDeleted DropReason = "deleted"  // the connector was deleted
	DropLogLost DropReason = "log_lost" // the log was lost, replaced or set back
	DropTrimmed DropReason = "trimmed"  // a position below the log's start, and not in the bucket
	DropDamaged DropReason = "damaged"  // a damaged range of the log was set aside
)

// Save is what one transaction of a lane writes.
type Save struct {
	Position Position // its Seq is the one the lane loaded or saved last; the store writes Seq+1
	Files    []File   // new ledger rows; a row whose key exists already is left as it is
	Drops    []Drop   // new (ID 0) or changed rows
}

// Waiting is what was accepted for a connector and is neither delivered nor dropped.
type Waiting struct {
	Events int64
	Since  eventlog.Hour // the oldest hour of acceptance of them
}

// Health is what a lane says of itself, kept in SQL so that it survives a restart.
type Health struct {
	Lane     Lane
	State    LaneState
	Since    time.Time     // when State began
	Problem  string        // bucket.Problem of the last error; empty when active
	Message  string        // the last error in English, for the connector's page
	Said     string        // the store's own sentence about it, a quotation; empty: it had none
	Failing  time.Duration // failing time counted so far in this episode, on a monotonic clock
	LastFile time.Time     // when the last file was delivered
	// Episode is when the episode of failing, or the pause, began; zero outside. Only a file that was written ends an
	// episode of failing.
	Episode time.Time
	// While an episode of failing is interrupted by a pause: what was counted of it, and its begin. Zero otherwise.
	Kept        time.Duration
	KeptEpisode time.Time
}

// LaneState is what a lane is doing.
type LaneState string

// The states.
const (
	LaneActive   LaneState = "active"
	LaneRetrying LaneState = "retrying" // passing errors for more than 15 minutes, or a trouble of this installation itself
	LaneFailing  LaneState = "failing"  // parked on an error that only the customer can mend
	LanePaused   LaneState = "paused"
	LaneDone     LaneState = "done" // ended at Until, all delivered or settled
)
