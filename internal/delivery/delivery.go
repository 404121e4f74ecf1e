// Package delivery carries events from the log into customers' buckets: for each lane (one connector's way to one
// destination) it reads, gathers, encodes and writes the next file of the chain, exactly once.
//
// The nouns are those of FORMAT.md §3 and §4. A stream is (schema, hour, target). A file holds consecutive events
// of one stream and its key is made of the offset of its first event, so the key of the next link is known from the
// chain alone, whatever cut the last one. Links are written create-only and one at a time for each stream; when a
// link is taken already, what counts is what the object holds (adopt.go). A position and the ledger rows it covers
// are saved in one transaction (save.go); it may be stale by any amount and nothing is lost or written twice.
//
// Guaranteed: every event selected by the configuration in force at its offset is in exactly one object, or in the
// ledger as dropped. Not guaranteed: when; a lane retries passing errors for ever and waits for its customer on
// others. One lane never waits for another.
//
// Start reading at Manager.Run, then lane.run.
package delivery

import (
	"context"
	"log/slog"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
)

// Config is what the operator sets.
type Config struct {
	AttemptLimit  time.Duration // of one PUT or HEAD
	GracePeriod   time.Duration // how long events wait for a customer to mend credentials
	PauseLimit    time.Duration // how long they wait for a pause to end
	QuotaPatience time.Duration // how long a lane may deliver nothing before the quota may take its events
	LogRetention  time.Duration // how long delivered events stay in the log, for replay
	MemoryBudget  int64         // bytes gathered and not yet written, over all lanes
	Slots         int           // attempts at once in a lane
	Workers       int           // blocks that are compressed at once
	TestCap       int64         // events that the test connectors of a workspace deliver together in TestCapWindow
	TestCapWindow time.Duration
}

// Defaults are used for zero values.
var defaults = Config{
	AttemptLimit:  30 * time.Second,
	GracePeriod:   48 * time.Hour,
	PauseLimit:    7 * 24 * time.Hour,
	QuotaPatience: time.Hour,
	LogRetention:  72 * time.Hour,
	MemoryBudget:  256 << 20,
	Slots:         4,
	TestCap:       10_000,
	TestCapWindow: 7 * 24 * time.Hour,
}

// Limits of a file. Source: the flush rule of Braze Currents (15,000 events or 5 minutes, up to 100,000 under load).
const (
	maxEvents    = 100_000   // of a file while the lane lags, or while the link before it is in flight
	maxRaw       = 256 << 20 // bytes before compression
	minRaw       = 1 << 20   // as small as files get when whole ones do not arrive within an attempt's limit
	lagging      = 10 * time.Second
	saveDelay    = 500 * time.Millisecond // from an answer to the save that covers it; promised: 1 s
	idleSave     = time.Minute            // a cursor that moved without files is saved this often
	sureFor      = 5 * time.Second        // a PUT begins only this soon after the position was known to be ours
	saveTooOld   = 30 * time.Second       // no new PUT while answers wait longer than this for their save
	restAfter    = 8                      // failed attempts without one success until a lane rests
	restGather   = 1 << 20                // raw bytes gathered for an attempt while resting
	backoffMin   = 200 * time.Millisecond
	backoffMax   = 30 * time.Second
	foreignStep  = 1000 // between the partition numbers that are tried when a key is taken by a stranger
	hourSlack    = time.Second
	sayRetrying  = 15 * time.Minute    // passing errors for this long make the lane "retrying"
	deadAfter    = 24 * time.Hour      // passing errors of a customer's own endpoint for this long make it "failing"
	tellAgain    = time.Hour           // between two notices of the same kind by one lane, whatever happens
	clockSave    = 10 * time.Minute    // what is counted of a pause is saved this often
	deleteTime   = time.Minute         // a deleted connector delivers for this long, and is settled for this long again
	freshRefusal = time.Second         // what is dropped for a refusal follows one that is no older
	finalAfter   = 30 * 24 * time.Hour // a drop that could not be settled for this long is final
	askAgain     = time.Second         // after the store could not tell whether a position is the newest
	capRetry     = time.Second         // while the room under a cap is taken by files that are being written
	hoursEvery   = time.Second         // between two looks for hours that are complete
)

// Store is what delivery needs of the control plane. Every method may be called by several goroutines.
type Store interface {
	// Lanes gives every lane that is not done.
	Lanes(ctx context.Context) ([]control.LaneRow, error)
	Position(ctx context.Context, l control.Lane) (control.Position, error)
	// Save writes position, ledger rows and drops in one transaction and gives the position's new Seq.
	// stale: the position was saved by somebody else since; nothing was written.
	Save(ctx context.Context, s control.Save) (int64, error)
	Config(ctx context.Context, c control.ConnectorID, version int) (control.Config, error)
	// ConfigAt gives the newest version of a connector's destination whose control record lies below an offset.
	ConfigAt(ctx context.Context, c control.ConnectorID, destination int, log eventlog.ID, below eventlog.Offset) (control.Config, error)
	// Access gives a lane's destination with its credentials opened. It is asked again after each failed attempt,
	// so that rotated credentials are taken up.
	Access(ctx context.Context, l control.Lane) (bucket.Access, error)
	SaveHealth(ctx context.Context, h control.Health) error
	Health(ctx context.Context, l control.Lane) (control.Health, error)
	UnsettledDrops(ctx context.Context, l control.Lane) ([]control.Drop, error)
	// FileByKey gives the ledger row of one object. Errors: not_found.
	FileByKey(ctx context.Context, l control.Lane, key string) (control.File, error)
	FinishLane(ctx context.Context, l control.Lane) error
	// AddNotice writes a notice unless there is one of its workspace, connector, kind and episode.
	AddNotice(ctx context.Context, n control.Notice) error
	// NoticeGone reports whether a notice is in the inbox and everybody it is for was reached, given up, or first
	// tried at least patience ago.
	NoticeGone(ctx context.Context, workspace uint32, c control.ConnectorID, kind control.NoticeKind, episode string, patience time.Duration) (bool, error)
	// UntoldDrops gives the drops of a lane that have lost events and of which nobody has been told; TellDrops writes notices
	// and marks drops as told, in one transaction. stale: one of them has changed; nothing was written.
	UntoldDrops(ctx context.Context, l control.Lane) ([]control.Drop, error)
	TellDrops(ctx context.Context, told []control.Drop, notices []control.Notice) error
	// CapUsed counts the events in files that a workspace's test connectors wrote since, test events left out.
	CapUsed(ctx context.Context, workspace uint32, since time.Time) (int64, error)
	// CompleteHours finds and keeps the hours that are complete now, with the notice of each, and gives those alone.
	CompleteHours(ctx context.Context, log eventlog.ID) ([]control.HourDone, error)

	ControlCursor(ctx context.Context, log eventlog.ID) (eventlog.Offset, error)
	ApplyControl(ctx context.Context, log eventlog.ID, next eventlog.Offset, recs []control.LoggedRecord) error
	CountsCursor(ctx context.Context, log eventlog.ID) (eventlog.Offset, error)
	AddCounts(ctx context.Context, log eventlog.ID, next eventlog.Offset, counts []control.Count) error
	RetentionFloor(ctx context.Context, log eventlog.ID) (eventlog.Offset, error)
}

// Deps are the parts that delivery works with.
type Deps struct {
	Log       eventlog.Log
	Store     Store
	Opener    bucket.Opener
	Catalogue *event.Catalogue
	Logger    *slog.Logger
	Hooks     Hooks
	Spread    Spread
	GiveWay   func() // called on each goroutine that compresses before it begins, so that others may go first; may be nil
}

// Spread moves a wait, so that many who failed together do not try again together. It gives at most d, and is called by
// several goroutines. nil: anything from the upper half of d.
type Spread func(d time.Duration) time.Duration

// Hooks are told what happens. Each may be nil. They are called on a lane's goroutine and must not block.
type Hooks struct {
	OnDelivered func(row control.LaneRow, f control.File, took time.Duration)
	OnRetry     func(row control.LaneRow, err error)
	OnParked    func(row control.LaneRow, err error)
	OnResumed   func(row control.LaneRow)
	OnDropped   func(row control.LaneRow, d control.Drop)
	OnForeign   func(row control.LaneRow, key string)
	OnNotice    func(n control.Notice) // stands in the store now, perhaps not for the first time
}

// Status is what a lane is doing now.
type Status struct {
	Row      control.LaneRow
	State    control.LaneState
	Problem  string // of the last error while the state is not active
	Cursor   eventlog.Offset
	Read     eventlog.Offset // everything below is gathered, delivered or passed over
	Waiting  int64           // events gathered and not yet delivered, test events apart
	Oldest   time.Time       // acceptance of the oldest of them; zero if none
	Held     int64           // bytes of memory
	LastFile time.Time
	Since    time.Time // when State began
}
