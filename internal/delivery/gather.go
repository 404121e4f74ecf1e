package delivery

import (
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// mayGather reports whether more events fit.
func (l *lane) mayGather() bool {
	switch {
	case l.stopping, l.row.Paused, l.mustRewind:
		return false
	case l.hist.over(l.reader.Position()):
		return false
	case !l.resting.IsZero():
		return !l.resting.After(l.now) && (l.held.Load() < restGather || l.planning()) && len(l.ready) == 0
	case l.m.budget.full():
		return l.held.Load() <= l.m.budget.share() || l.planning()
	}
	return true
}

// planning reports whether a file with a planned border is being gathered: it must be gathered whole.
func (l *lane) planning() bool {
	for _, s := range l.streams {
		if f := s.open(); f != nil && s.planned(f) {
			return true
		}
	}
	return false
}

// atEnd reports whether nothing more can be gathered now.
func (l *lane) atEnd() bool { return l.caughtUp || l.hist.over(l.reader.Position()) }

// gather reads what is there, a bounded amount at a time so that answers are not kept waiting.
func (l *lane) gather() error {
	for range 32 {
		if !l.mayGather() {
			return nil
		}
		c, err := l.reader.Next()
		if err != nil {
			return fault.Wrap(err, "read log")
		}
		l.caughtUp = c == nil
		if c == nil {
			l.lagging = false
			return nil
		}
		l.lagging = l.now.Sub(c.Time()) > lagging
		if err := l.take(c, nil); err != nil {
			return err
		}
	}
	return nil
}

// take gathers a commit's events; with only, those of one stream that is built again.
func (l *lane) take(c *eventlog.Commit, only *stream) error {
	if c.Kind == eventlog.Control {
		if only != nil {
			return nil // followed before
		}
		changed, err := l.hist.observe(c)
		if changed {
			if l.hist.until > 0 {
				l.lookEnd = true
				l.watchBy(l.now)
			}
			for _, s := range l.streams {
				l.cut(s, cutConfig)
			}
		}
		return err
	}
	if c.Kind != eventlog.Events {
		return nil
	}
	if c.Target != 0 && c.Target != l.row.Number {
		return nil
	}
	key := control.Stream{Hour: c.Hour(), Target: c.Target}
	accepted := c.Time()
	for r := range c.Records() {
		if l.hist.over(r.Offset) {
			return nil
		}
		key.Schema = r.Schema
		if only != nil {
			if key != only.Stream || only.knows(r.Offset) {
				continue
			}
			e := l.hist.at(r.Offset)
			if !e.selects.Has(only.schema) && c.Target == 0 {
				continue
			}
			if err := l.add(only, e, r, accepted); err != nil {
				return l.damaged(r, err)
			}
			continue
		}
		s, err := l.route(key)
		if err != nil {
			return err
		}
		if s == nil || s.knows(r.Offset) {
			continue
		}
		if err := l.add(s, l.hotCfg, r, accepted); err != nil {
			return l.damaged(r, err)
		}
	}
	return nil
}

// damaged stops the lane at a record that its own schema cannot read: going on would leave it out in silence.
func (l *lane) damaged(r eventlog.Record, err error) error {
	return fault.New(fault.Corrupt, "encode event", "the record at offset %d is not an event of schema %d", r.Offset, r.Schema).WithCause(err)
}

// route gives the stream for an event, or nil if its type is not selected.
func (l *lane) route(k control.Stream) (*stream, error) {
	if e := l.hist.last(); l.hot == nil || l.hotFor.Hour != k.Hour || l.hotFor.Target != k.Target || l.hotCfg != e {
		l.hot, l.hotFor, l.hotCfg = map[uint32]*stream{}, k, e
	}
	s, known := l.hot[k.Schema]
	if known {
		return s, nil
	}
	sc, ok := l.m.deps.Catalogue.Schema(event.SchemaID(k.Schema))
	if !ok {
		return nil, unknownSchema(k.Schema)
	}
	if l.hotCfg.selects.Has(sc) || k.Target != 0 {
		s = l.stream(k)
	}
	l.hot[k.Schema] = s
	return s, nil
}

// unknownSchema refuses to go on: passing over an event that nobody can read would lose it in silence.
func unknownSchema(id uint32) error {
	return fault.New(fault.Corrupt, "read event", "there are events of schema %d, which the catalogue does not know", id).
		WithHint("put the schema file that was there when they were accepted back into the schema folder")
}

// cutDue closes the files whose time has come.
func (l *lane) cutDue() {
	if !l.resting.IsZero() {
		if !l.resting.After(l.now) && len(l.ready) == 0 && (l.atEnd() || l.held.Load() >= restGather) {
			l.cutProbe()
		}
		return
	}
	for _, s := range l.streams {
		f := s.open()
		if f == nil {
			continue
		}
		if at, why := l.due(s); !at.IsZero() && !at.After(l.now) {
			l.cut(s, why)
			continue
		}
		// The link before was in flight when the count was reached.
		if f.events >= f.cfg.config.FlushEvents && !s.inFlight && len(s.files) == 1 && !l.lagging {
			l.cut(s, cutCount)
		}
	}
}

// cutProbe closes the file with the oldest event: while a lane rests, one real write tells whether it may go on.
func (l *lane) cutProbe() {
	var oldest *stream
	for _, s := range l.streams {
		if f, ok := s.floor(); ok && !s.planned(s.files[0]) {
			if g, _ := oldest.floorOr(f); oldest == nil || f < g {
				oldest = s
			}
		}
	}
	if oldest != nil {
		l.cut(oldest, cutProbe)
	}
}

// floorOr is floor for a stream that may be nil.
func (s *stream) floorOr(o eventlog.Offset) (eventlog.Offset, bool) {
	if s == nil {
		return o, false
	}
	return s.floor()
}

// cutLargest closes the file that holds most, because memory is short.
func (l *lane) cutLargest() {
	if len(l.ready) > 0 || l.attempts > 0 {
		return // what is closed already frees memory soon
	}
	var largest *stream
	var most int64
	for _, s := range l.streams {
		if f := s.open(); f != nil && !s.planned(f) && !s.inFlight && f.raw > most {
			largest, most = s, f.raw
		}
	}
	if largest != nil {
		l.cut(largest, cutMemory)
	}
}
