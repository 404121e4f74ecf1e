package app

import (
	"context"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// source is a log as commands read it.
type source interface {
	ID() eventlog.ID
	Bounds() (start, head eventlog.Offset)
	Reader(from eventlog.Offset, f eventlog.Filter) (eventlog.Reader, error)
}

// tale is which configuration of a connector holds where in the log, for those who look back.
type tale struct {
	connector control.Connector
	epochs    []tide // oldest first
}

// tide is a version and the offset from which it holds.
type tide struct {
	from   eventlog.Offset
	config control.Config
	picks  event.Selection
}

// tell reads the control records that the log still holds. Before the first of them the version before it was in
// force; of a log without any, the newest that is recorded.
func (p *plane) tell(ctx context.Context, log source, conn control.Connector) (*tale, error) {
	start, head := log.Bounds()
	t := &tale{connector: conn}
	err := eachCommit(ctx, log, start, head, eventlog.Filter{Workspace: conn.Workspace, Kind: eventlog.Control}, func(c *eventlog.Commit) error {
		for r := range c.Records() {
			rec, err := control.DecodeRecord(r.Value)
			if err != nil {
				return err
			}
			cfg := rec.Config
			if cfg == nil || cfg.Connector != conn.Connector || len(t.epochs) > 0 && cfg.Version <= t.last().config.Version {
				continue // the first record of a version counts
			}
			if err := t.add(p, r.Offset+1, *cfg); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	before := 0
	if len(t.epochs) > 0 {
		before = t.epochs[0].config.Version - 1
	} else if pending, err := p.store.PendingConfigs(ctx); err != nil {
		return nil, err
	} else {
		before = conn.Version
		for _, c := range pending {
			if c.Connector == conn.Connector {
				before = min(before, c.Version-1)
			}
		}
	}
	if before < 1 {
		return t, nil
	}
	cfg, err := p.store.Config(ctx, conn.Connector, before)
	if err != nil {
		return nil, err
	}
	later := t.epochs
	t.epochs = nil
	if err := t.add(p, start, cfg); err != nil {
		return nil, err
	}
	t.epochs = append(t.epochs, later...)
	return t, nil
}

func (t *tale) last() tide { return t.epochs[len(t.epochs)-1] }

func (t *tale) add(p *plane, from eventlog.Offset, cfg control.Config) error {
	picks, _ := p.catalogue.Select(cfg.Events) // a type that is gone from the catalogue picks nothing
	t.epochs = append(t.epochs, tide{from, cfg, picks})
	return nil
}

// at gives what holds at offset o; nil before the connector began and after it was deleted.
func (t *tale) at(o eventlog.Offset) *tide {
	for i := len(t.epochs) - 1; i >= 0; i-- {
		if t.epochs[i].from <= o {
			if t.epochs[i].config.Deleted {
				return nil
			}
			return &t.epochs[i]
		}
	}
	return nil
}

// eachCommit calls do for the commits that match f and hold offsets of [from, to).
func eachCommit(ctx context.Context, log source, from, to eventlog.Offset, f eventlog.Filter, do func(*eventlog.Commit) error) error {
	if from >= to {
		return nil
	}
	r, err := log.Reader(from, f)
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
