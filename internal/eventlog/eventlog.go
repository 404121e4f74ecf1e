// Package eventlog is the durable ordered log between ingest and everything that reads events: append, read
// from an offset, forget.
//
// Values are opaque bytes. What is appended together is one Commit: it is durable, visible and recovered as a
// whole, and carries workspace, kind, target and time of acceptance for all of its records. An Offset numbers a
// record; offsets rise and are never reused, but need not be consecutive, so no count is ever a difference of
// offsets.
//
// The package holds the seam (Log, Reader), what both sides of it share (Batch, Commit), and nothing that knows
// a disk or a network: segment is the embedded log, eventlogtest the suite that every implementation passes.
// Start reading at Log.
package eventlog

import (
	"context"
	"time"
)

// Log is an append-only sequence of commits.
//
// All methods are safe for concurrent use.
type Log interface {
	// ID is the random identity that the log was given the day it was made.
	ID() ID

	// Bounds gives the first offset that can still be read and the one after the last durable record.
	Bounds() (start, head Offset)

	// Append makes b durable as one commit.
	//
	// Shape:   1 to MaxRecords records, at most MaxBatchBytes together.
	// Durable: when err is nil, a crash of process or machine keeps every record and the batch's answer.
	// Errors:  too_large, nothing written. unavailable (disk full, quota, failed sync, log closing): nothing is
	//          acknowledged and a repetition is safe; it carries RetryAfter.
	//          ctx ended: the commit may or may not become durable.
	// b may be used again after Append returned nil or an error, but not after ctx ended.
	Append(ctx context.Context, b *Batch) (Receipt, error)

	// Claim asks for the right to answer a request that carries an idempotency key.
	//
	// It returns the answer kept for key, or a claim that the caller must Release. While another claim on the
	// same key is held it waits, until ctx ends.
	Claim(ctx context.Context, key KeyHash) (*Claim, *Answer, error)

	// Reader reads the commits that match f, beginning with the record at from.
	//
	// Errors: stale if from lies below start or above head.
	Reader(from Offset, f Filter) (Reader, error)

	// Trim forgets whole commits of which every record lies below floor and which were accepted longer than
	// minAge ago. It forgets as much as its units of storage allow, and records the new start durably first.
	Trim(ctx context.Context, floor Offset, minAge time.Duration) error

	// OffsetAt gives the first readable offset accepted at t or later; head if there is none.
	OffsetAt(ctx context.Context, t time.Time) (Offset, error)

	// Usage says what the log occupies now.
	Usage() Usage

	// Health is nil while the log takes appends and has found no damage; else the error that says what is wrong.
	Health() error

	// Close makes what is in flight durable and stops. It is safe to call twice.
	Close() error
}

// Reader gives commits in order. It is used by one goroutine at a time.
type Reader interface {
	// Next gives the next commit, or nil if none is durable yet. The commit and its values are valid until the
	// call of Next that follows. A reader that stops in between keeps up to some MiB of the log in memory: who
	// will not read on for long copies what is needed and closes it.
	//
	// Records below the reader's first offset are left out of the first commit.
	// Errors: corrupt (names file and position; the reader stays there), stale (trimmed away under the reader).
	Next() (*Commit, error)

	// Ready gives a channel that is closed once Next may give a commit, or the log closes.
	Ready() <-chan struct{}

	// Position is the offset up to which everything has been given or does not match the filter. It goes on
	// over commits that do not match, also while Next gives nil.
	Position() Offset

	// Close lets go of what the reader holds.
	Close() error
}

// Limits of one commit. Source: the product's design; a request that encodes to more is refused whole.
const (
	MaxBatchBytes = 32 << 20
	MaxRecords    = 1 << 20
)

// Offset numbers a record of one log. The first is 0.
type Offset int64

// ID is the identity of a log.
type ID [16]byte

// Kind is what a commit holds.
type Kind uint8

// The kinds.
const (
	Events  Kind = 1 // events of producers, or test events when the target is set
	Control Kind = 2 // control records: changes of configuration, marks
)

// Header is what all records of a commit have in common.
type Header struct {
	Workspace uint32 // 0: of the whole installation
	Kind      Kind
	Target    uint32 // number of the one connector that the records are for; 0: for all
}

// Filter chooses commits. The zero value chooses all.
type Filter struct {
	Workspace uint32 // 0: any
	Kind      Kind   // 0: any
}

// Matches reports whether a commit with header h passes.
func (f Filter) Matches(h Header) bool {
	return (f.Workspace == 0 || f.Workspace == h.Workspace) && (f.Kind == 0 || f.Kind == h.Kind)
}

// Receipt is what Append answers.
type Receipt struct {
	First Offset    // of the batch's first record
	At    time.Time // time of acceptance, never before that of an earlier commit
}

// Usage says what the log occupies.
type Usage struct {
	Bytes    int64         // on disk
	Oldest   time.Time     // acceptance of the oldest readable commit; zero if there is none
	MaxBytes int64         // the quota; 0: none
	Window   time.Duration // how far back idempotency keys are really held, at least
	// Release is how far readers have to be for Trim to give anything back: the end of the oldest unit of storage.
	// 0: nothing is held, or each record can go by itself.
	Release Offset
}

// Hour is an hour of acceptance: hours since 1970-01-01T00 UTC.
type Hour int32

// HourOf gives the hour that holds t.
func HourOf(t time.Time) Hour { return Hour(t.Unix() / 3600) }

// Start is the first moment of the hour, in UTC.
func (h Hour) Start() time.Time { return time.Unix(int64(h)*3600, 0).UTC() }

// String is the hour as object keys have it: 2006-01-02-15.
func (h Hour) String() string { return h.Start().Format("2006-01-02-15") }
