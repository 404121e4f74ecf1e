package delivery

import (
	"slices"
	"time"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
)

// stream is the chain of files of one schema, hour and target in one lane.
type stream struct {
	control.Stream
	schema *event.Schema

	// last: every event at or below is in an object, or decided otherwise. -1: none.
	last eventlog.Offset
	// tail is the last offset gathered, or last: what is read again up to here is known.
	tail eventlog.Offset
	// covered holds events above last that some object holds already.
	covered map[eventlog.Offset]struct{}
	// While covered is not empty the position stays where it was before, so that a restart finds the same objects
	// and covers the same events: since is the first event that was open then, held the last link.
	since, held eventlog.Offset
	// partition is what the next link is written under; above 0 after a stranger took its key.
	partition int
	// plan is the border that the next link must have, because its write may have happened.
	plan *control.Plan

	// files are what is gathered above last, in order. Only the last may be open, only the first in flight.
	files    []*file
	inFlight bool
	// Once looked, borders are the first offsets of the objects that stood under the stream's prefix, in order: a file
	// ends before each of them, because there a link of ours may begin that the position does not know of.
	looked  bool
	borders []eventlog.Offset

	tries   int
	retryAt time.Time
	most    int // events of the next file, because a cap leaves room for no more; 0: no such border
}

// file is a link that is being gathered or waits to be written.
type file struct {
	cfg       *epoch
	transform *avrofile.Transform // nil: records as they are

	first, last eventlog.Offset
	events      int
	raw         int64 // bytes before compression
	hash        avrofile.Hash
	accepted    time.Time     // acceptance of the first event
	born        time.Time     // when it was gathered
	age         time.Duration // of the first event when it was gathered
	cut         cutReason     // empty: open

	blocks []*block
	// The block that is being gathered, if there is one: the first records of draft.
	draft      *draft
	draftCount int
	draftMark  mark
	marks      []mark // of the draft, as far as was looked
}

// cutReason is why a file was closed.
type cutReason string

// The cut reasons.
const (
	cutCount    cutReason = "count"
	cutAge      cutReason = "age"
	cutHour     cutReason = "hour"
	cutSize     cutReason = "size"
	cutMemory   cutReason = "memory"
	cutConfig   cutReason = "config"
	cutShutdown cutReason = "shutdown"
	cutProbe    cutReason = "probe"           // a lane that rests tries with what it has
	cutPlanned  cutReason = "planned"         // the border was fixed before a restart
	cutFound    cutReason = "found"           // before an object that stood there, or of one: its borders are not ours
	cutReplay   cutReason = control.CutReplay // dropped events that were brought back
)

// open gives the file that the next event goes into.
func (s *stream) open() *file {
	if n := len(s.files); n > 0 && s.files[n-1].cut == "" {
		return s.files[n-1]
	}
	return nil
}

// next gives the first file, if it is closed and may be written.
func (s *stream) next() *file {
	if s.inFlight || len(s.files) == 0 || s.files[0].cut == "" {
		return nil
	}
	return s.files[0]
}

// knows reports whether the event at o is gathered, or in an object already.
func (s *stream) knows(o eventlog.Offset) bool {
	if o <= s.tail {
		return true
	}
	_, is := s.covered[o]
	return is
}

// planned reports whether f's border is fixed: it may stand in the bucket already, and nothing else cuts it.
func (s *stream) planned(f *file) bool {
	return s.plan != nil && f.first >= s.plan.First && f.first <= s.plan.Last
}

// crosses reports whether a border lies in (first, last].
func (s *stream) crosses(first, last eventlog.Offset) bool {
	i, _ := slices.BinarySearch(s.borders, first+1)
	return i < len(s.borders) && s.borders[i] <= last
}

// floor is the lowest offset that the stream still has to deliver; ok is false if it has nothing gathered.
func (s *stream) floor() (eventlog.Offset, bool) {
	if len(s.files) == 0 {
		return 0, false
	}
	return s.files[0].first, true
}

// add gathers one event. Events must come in the order of the log.
func (l *lane) add(s *stream, e *epoch, r eventlog.Record, accepted time.Time) error {
	f := s.open()
	if f != nil && f.cfg != e {
		l.cut(s, cutConfig)
		f = nil
	}
	if f != nil && s.crosses(f.first, r.Offset) {
		l.cut(s, cutFound)
		f = s.open()
	}
	if f == nil {
		f = &file{cfg: e, first: r.Offset, accepted: accepted, born: l.now, age: max(0, l.now.Round(0).Sub(accepted))}
		if len(e.rules) > 0 {
			f.transform = avrofile.NewTransform(s.schema, e.rules)
		}
		s.files = append(s.files, f)
	}
	if f.draft == nil {
		share := f.transform == nil && len(s.covered) == 0
		f.draft = l.m.blocks.draft(draftKey{l.row.Workspace, s.Schema, s.Target, r.Offset}, share)
	}
	m, err := f.gather(l.m.blocks, r)
	if err != nil {
		return err
	}
	l.held.Add(int64(m.end - f.draftMark.end))
	f.draftCount++
	f.draftMark = m
	f.last, s.tail = r.Offset, r.Offset
	f.events++
	f.raw += int64(len(r.Value))
	l.waiting++
	if avrofile.BorderAfter(int64(r.Offset), m.end) {
		l.closeBlock(s, f)
	}
	switch {
	case s.planned(f):
		if s.plan.Last == r.Offset {
			l.cut(s, cutPlanned)
		}
	case f.events >= maxEvents:
		l.cut(s, cutCount)
	case f.events >= e.config.FlushEvents && !s.inFlight && len(s.files) == 1 && !l.lagging:
		l.cut(s, cutCount)
	case s.most > 0 && f.events >= s.most:
		l.cut(s, cutCount)
	case f.raw >= l.maxRaw:
		l.cut(s, cutSize)
	}
	return nil
}

// gather puts r behind what f has of its draft.
func (f *file) gather(c *blocks, r eventlog.Record) (mark, error) {
	n := f.draftCount
	for {
		if n < len(f.marks) {
			if m := f.marks[n]; m.offset == r.Offset {
				return m, nil
			}
			f.draft = c.fork(f.draft, n)
		}
		var err error
		if f.marks, err = c.put(f.draft, n, r, f.transform); err != nil {
			return mark{}, err
		}
	}
}

// closeBlock hands what is gathered to the compressors.
func (l *lane) closeBlock(s *stream, f *file) {
	if f.draftCount == 0 {
		return
	}
	share := f.transform == nil && len(s.covered) == 0
	k := blockKey{
		workspace: l.row.Workspace, schema: s.Schema, target: s.Target,
		first: int64(f.draft.key.first), last: int64(f.draftMark.offset), count: f.draftCount, codec: f.cfg.codec,
	}
	f.blocks = append(f.blocks, l.m.blocks.get(k, f.draft, f.draftMark, share))
	f.hash.Merge(f.draftMark.hash)
	f.draft, f.draftCount, f.draftMark, f.marks = nil, 0, mark{}, nil
}

// cut closes the stream's open file, if it has one.
func (l *lane) cut(s *stream, why cutReason) {
	if f := s.open(); f != nil && (why == cutPlanned || !s.planned(f)) {
		l.closeBlock(s, f)
		f.cut = why
		l.mark(s)
	}
}

// discard lets go of the stream's first n files.
func (l *lane) discard(s *stream, n int) {
	for _, f := range s.files[:n] {
		l.waiting -= int64(f.events)
		if f.draft != nil {
			l.held.Add(-int64(f.draftMark.end))
			l.m.blocks.leave(f.draft)
		}
		for _, b := range f.blocks {
			l.held.Add(-b.raw)
			l.m.blocks.release(b)
		}
	}
	s.files = slices.Delete(s.files, 0, n)
	l.mark(s)
}

// mark keeps ready true: the streams of which the first file is closed and not in flight.
func (l *lane) mark(s *stream) {
	if s.next() != nil {
		l.ready[s] = struct{}{}
	} else {
		delete(l.ready, s)
	}
}

// due tells when the stream's open file must be cut, and why. Zero: not before something else happens.
func (l *lane) due(s *stream) (time.Time, cutReason) {
	f := s.open()
	if f == nil || s.planned(f) {
		return time.Time{}, ""
	}
	if l.hist.over(l.reader.Position()) {
		return l.now, cutConfig // the lane ends here: nothing more joins the file
	}
	interval := f.cfg.config.FlushInterval
	at, why := f.born.Add(interval), cutAge
	if l.caughtUp {
		// Only then is it known that nothing older than now waits to join the file.
		at = at.Add(-min(f.age, interval))
		if end := (s.Hour + 1).Start().Add(hourSlack); l.clock(end).Before(at) {
			at, why = l.clock(end), cutHour
		}
	}
	return at, why
}

// clock turns a wall time into one that can be compared with l.now by the monotonic clock.
func (l *lane) clock(wall time.Time) time.Time { return l.now.Add(wall.Sub(l.now.Round(0))) }
