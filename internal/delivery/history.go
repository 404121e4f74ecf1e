package delivery

import (
	"log/slog"
	"slices"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// epoch is a version of the configuration and where it begins to hold.
type epoch struct {
	from    eventlog.Offset
	config  control.Config
	codec   avrofile.Codec
	rules   []avrofile.Rule
	selects event.Selection
}

// history is which configuration holds where, as the log tells it: reading the log again gives the same history,
// in this process or another, so that each event is decided alike.
type history struct {
	row       control.LaneRow
	catalogue *event.Catalogue
	log       *slog.Logger
	epochs    []*epoch        // oldest first, at least one
	until     eventlog.Offset // where the lane ends; 0: not met yet
}

func newHistory(row control.LaneRow, c *event.Catalogue, log *slog.Logger, from eventlog.Offset, first control.Config, until eventlog.Offset) (*history, error) {
	h := &history{row: row, catalogue: c, log: log, until: until}
	return h, h.add(from, first)
}

func (h *history) add(from eventlog.Offset, c control.Config) error {
	codec, ok := avrofile.ParseCodec(c.Codec)
	if !ok {
		return fault.New(fault.Corrupt, "load configuration", "connector %s version %d names the unknown codec %q", c.Name, c.Version, c.Codec)
	}
	// The selection was checked when the version was made; what is gone from the catalogue since selects nothing.
	sel, problems := h.catalogue.Select(c.Events)
	for _, p := range problems {
		h.log.Warn("selection names what the catalogue does not have", "field", p.Field, "problem", p.Message)
	}
	e := &epoch{from: from, config: c, codec: codec, selects: sel}
	for _, t := range c.Transformations {
		e.rules = append(e.rules, avrofile.Rule{Field: t.Field, Action: t.Action})
	}
	h.epochs = append(h.epochs, e)
	return nil
}

// clone gives a history that can go on by itself.
func (h *history) clone() *history {
	c := *h
	c.epochs = slices.Clone(h.epochs)
	return &c
}

// last is the configuration that holds at the end of what was read.
func (h *history) last() *epoch { return h.epochs[len(h.epochs)-1] }

// at is the configuration in force at offset o.
func (h *history) at(o eventlog.Offset) *epoch {
	for _, e := range slices.Backward(h.epochs) {
		if e.from <= o {
			return e
		}
	}
	return h.epochs[0]
}

// over reports whether offset o lies beyond the lane's end.
func (h *history) over(o eventlog.Offset) bool { return h.until > 0 && o >= h.until }

// forget drops what holds no longer at from.
func (h *history) forget(from eventlog.Offset) {
	for len(h.epochs) > 1 && h.epochs[1].from <= from {
		h.epochs = h.epochs[1:]
	}
}

// rewind goes back to from: what holds only later is met again on the way.
func (h *history) rewind(from eventlog.Offset) {
	for len(h.epochs) > 1 && h.last().from > from {
		h.epochs = h.epochs[:len(h.epochs)-1]
	}
}

// observe follows a control commit: a version holds for the events after its record, and its first record wins.
func (h *history) observe(c *eventlog.Commit) (changed bool, err error) {
	for r := range c.Records() {
		rec, err := control.DecodeRecord(r.Value)
		if err != nil {
			return changed, fault.Wrap(err, "read control record")
		}
		cfg := rec.Config
		if cfg == nil || cfg.Connector != h.row.Lane.Connector || cfg.Version <= h.last().config.Version {
			continue
		}
		changed = true
		if cfg.Deleted || cfg.Destination.Number != h.row.Lane.Destination {
			if h.until == 0 {
				h.until = r.Offset
			}
			return true, nil
		}
		if err := h.add(r.Offset+1, *cfg); err != nil {
			return changed, err
		}
	}
	return changed, nil
}
