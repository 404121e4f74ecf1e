package delivery

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Archive is what is kept of deliveries, for those who look back: Verify and Replay. It changes neither log nor
// ledger, and may be used beside a running Manager, in this process or another.
type Archive struct {
	Log       Source
	Ledger    Ledger
	Opener    bucket.Opener
	Catalogue *event.Catalogue
	Progress  Progress // may be nil
}

// Source is a log that is only read.
type Source interface {
	ID() eventlog.ID
	Bounds() (start, head eventlog.Offset)
	Reader(from eventlog.Offset, f eventlog.Filter) (eventlog.Reader, error)
}

// Ledger is what an Archive needs of the control plane. Errors: not_found where there is no such row; of Access
// forbidden once the credentials are erased.
type Ledger interface {
	Config(ctx context.Context, c control.ConnectorID, version int) (control.Config, error)
	// PendingConfigs gives the versions that have no control record in the log yet.
	PendingConfigs(ctx context.Context) ([]control.Config, error)
	Access(ctx context.Context, l control.Lane) (bucket.Access, error)
	Position(ctx context.Context, l control.Lane) (control.Position, error)
	FileByKey(ctx context.Context, l control.Lane, key string) (control.File, error)
	// EachFile and EachDrop call do for each row that f chooses, in the order of writing, until do fails.
	EachFile(ctx context.Context, f control.LedgerFilter, do func(control.File) error) error
	EachDrop(ctx context.Context, f control.LedgerFilter, do func(control.Drop) error) error
}

// Progress is told how far long work has come: what is being done, and done of total; total 0 is not known. It is
// called often and must be quick.
type Progress func(doing string, done, total int64)

func (a Archive) progress(doing string, done, total int64) {
	if a.Progress != nil {
		a.Progress(doing, done, total)
	}
}

// placedStream is a stream at one of a connector's destinations.
type placedStream struct {
	destination int
	control.Stream
}

func placed(l control.Lane, s control.Stream) placedStream { return placedStream{l.Destination, s} }

// epochs gives a history without lane, to which versions are added.
func (a Archive) epochs() *history {
	return &history{catalogue: a.Catalogue, log: slog.New(slog.DiscardHandler)}
}

// past reads which configuration of the connector held where, over all its destinations, from the control records
// that the log still holds. Before the first of them the version before it was in force; in a log without any, the
// newest that is recorded. The history is empty if the connector has not begun.
func (a Archive) past(ctx context.Context, conn control.Connector) (*history, error) {
	start, head := a.Log.Bounds()
	h := a.epochs()
	err := a.eachCommit(ctx, start, head, eventlog.Filter{Workspace: conn.Workspace, Kind: eventlog.Control}, func(c *eventlog.Commit) error {
		for r := range c.Records() {
			rec, err := control.DecodeRecord(r.Value)
			if err != nil {
				return fault.Wrap(err, "read control record")
			}
			cfg := rec.Config
			if cfg == nil || cfg.Connector != conn.Connector || len(h.epochs) > 0 && cfg.Version <= h.last().config.Version {
				continue // the first record of a version counts
			}
			if err := h.add(r.Offset+1, *cfg); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	before := conn.Version
	if len(h.epochs) > 0 {
		before = h.epochs[0].config.Version - 1
	} else {
		pending, err := a.Ledger.PendingConfigs(ctx)
		if err != nil {
			return nil, err
		}
		for _, c := range pending {
			if c.Connector == conn.Connector {
				before = min(before, c.Version-1)
			}
		}
	}
	if before < 1 {
		return h, nil
	}
	cfg, err := a.Ledger.Config(ctx, conn.Connector, before)
	if err != nil {
		return nil, err
	}
	all := a.epochs()
	if err := all.add(start, cfg); err != nil {
		return nil, err
	}
	all.epochs = append(all.epochs, h.epochs...)
	return all, nil
}

// inForce gives what held at offset o; nil before the connector began and after it was deleted.
func inForce(h *history, o eventlog.Offset) *epoch {
	if len(h.epochs) == 0 || o < h.epochs[0].from {
		return nil
	}
	if e := h.at(o); !e.config.Deleted {
		return e
	}
	return nil
}

// takes reports whether an event of the schema belongs to the connector: test events do whatever is selected.
func (e *epoch) takes(s *event.Schema, target uint32) bool { return target != 0 || e.selects.Has(s) }

// destinations gives every place that a connector was ever pointed to, oldest first.
func (a Archive) destinations(ctx context.Context, conn control.Connector) ([]control.Destination, error) {
	var all []control.Destination
	for version := 1; version <= conn.Version; version++ {
		cfg, err := a.Ledger.Config(ctx, conn.Connector, version)
		if fault.Is(err, fault.NotFound) {
			continue // a restored database may know later versions only
		}
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(d control.Destination) bool { return d.Number == cfg.Destination.Number }) {
			all = append(all, cfg.Destination)
		}
	}
	return all, nil
}

// eachCommit calls do for the commits that match f and hold offsets of [from, to), until it fails or ctx ends.
func (a Archive) eachCommit(ctx context.Context, from, to eventlog.Offset, f eventlog.Filter, do func(*eventlog.Commit) error) error {
	if from >= to {
		return nil
	}
	r, err := a.Log.Reader(from, f)
	if err != nil {
		return fault.Wrap(err, "read the log")
	}
	defer r.Close() // read only
	for {
		c, err := r.Next()
		if err != nil {
			return fault.Wrap(err, "read the log")
		}
		if c == nil || c.First >= to {
			return nil
		}
		if err := do(c); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// pause waits for d; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
