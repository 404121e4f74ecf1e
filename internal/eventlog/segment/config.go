package segment

import (
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// Config is what Open needs. Zero values become the defaults that stand beside them.
type Config struct {
	FS vfs.FS // the log's own folder; made if it does not exist

	SegmentBytes int64 // 64 MiB; a segment is complete before it grows over this, but holds one commit at least
	MaxBytes     int64 // 0: no limit; Append refuses what would take the log over it
	MinFree      int64 // 256 MiB; Append refuses while less is free on the disk; negative: never

	Window       time.Duration // 24 h; how long an idempotency key counts
	WindowBudget int           // 1,000,000; keys kept for each workspace: 64 bytes on disk, 1.25 in memory each

	CacheBytes int64 // 16 MiB; newest commits that readers take from memory

	Hooks Hooks
}

// Hooks are told what happens. They are called from the log's own goroutines and must not call the log. Any may
// be nil.
type Hooks struct {
	// OnSync: so many commits of so many bytes together became durable; d is the time of write and sync.
	OnSync func(d time.Duration, bytes, commits int)
	// OnFail: a write or sync failed, and with it the requests that waited; the log tries to go on in a new
	// segment. Or an index could not be written, which is tried again.
	OnFail func(err error)
	// OnDamage: bytes are not what was written. Told once for each place.
	OnDamage func(err *fault.Error)
	// OnSeal: a segment is complete and has its index.
	OnSeal func(number uint64, bytes int64)
	// OnTrim: the log begins at start now; so many bytes were given back.
	OnTrim func(start eventlog.Offset, bytes int64)
}

func (c Config) withDefaults() (Config, error) {
	if c.FS == nil {
		return c, fault.New(fault.Invalid, "open log", "there is no folder")
	}
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.SegmentBytes, 64<<20)
	def(&c.MinFree, 256<<20)
	def(&c.CacheBytes, 16<<20)
	if c.Window == 0 {
		c.Window = 24 * time.Hour
	}
	if c.WindowBudget == 0 {
		c.WindowBudget = 1_000_000
	}
	switch {
	case c.SegmentBytes < segmentHeader+commitHeader, c.SegmentBytes > 1<<30:
		return c, fault.New(fault.Invalid, "open log", "a segment of %d bytes is too small or too large", c.SegmentBytes)
	case c.MaxBytes < 0, c.Window < 0, c.WindowBudget < 0, c.CacheBytes < 0:
		return c, fault.New(fault.Invalid, "open log", "a negative size or time")
	}
	return c, nil
}

// The pace at which the log tries to go on after a failed write or sync.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// What a refused Append is told to wait.
const (
	retryFailed = time.Second      // after a failed write or sync
	retryFull   = 10 * time.Second // quota or disk
)

// maxPending is how many bytes may wait for the disk; more make Append wait. Together with what is being
// written it bounds the memory of appending.
const maxPending = 16 << 20
