package delivery

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// found is what an object that has the key of our next link holds of our events.
type found struct {
	events      int             // 0: none of ours, the object is foreign
	first, last eventlog.Offset // of ours that it holds
	// holes is set when some of ours between first and last are not in the object: the offsets that are.
	holes   []eventlog.Offset
	hash    avrofile.Hash // of the raw records; zero if the object was compared by its events' ids
	size    int64
	meta    bool // version and encoder are known
	version int
	encoder int
}

// examine finds out what of the stream the object at f's key holds. What counts is what the object holds, not who
// wrote it: ourselves before a crash, another process that believed itself alone, or a stranger.
//
// It runs beside the lane: s is not changed while f is in flight.
func (l *lane) examine(ctx context.Context, store bucket.Bucket, s *stream, f *file, hist *history, info bucket.Info) (*found, error) {
	m, ok := avrofile.ParseMeta(info.Metadata)
	w := &found{size: info.Size, first: f.first, meta: ok, version: m.Version, encoder: m.Encoder}
	if ok && m.Log == l.m.deps.Log.ID().String() && m.First == int64(f.first) && m.Target == s.Target && m.Last >= m.First {
		last := eventlog.Offset(m.Last)
		hash, events := f.hash, f.events
		if last != f.last {
			hash, events = avrofile.Hash{}, 0
			if err := l.ours(s, f.first, hist, func(r eventlog.Record) bool {
				if r.Offset > last {
					return false
				}
				hash.Add(int64(r.Offset), r.Value)
				events++
				return true
			}); err != nil {
				return nil, err
			}
		}
		if hash == m.Hash && events == m.Events {
			w.events, w.last, w.hash = events, last, hash
			return w, nil
		}
	}
	return w, l.compare(ctx, store, s, f, hist, info.Key, w)
}

// compare reads the object and counts each id in it for one event of ours, in order.
func (l *lane) compare(ctx context.Context, store bucket.Bucket, s *stream, f *file, hist *history, key string, w *found) error {
	ids, left, err := l.idsOf(ctx, store, key)
	if err != nil {
		return err
	}
	var covered []eventlog.Offset
	missed := false
	err = l.ours(s, f.first, hist, func(r eventlog.Record) bool {
		if left == 0 {
			return false
		}
		id, err := s.schema.EventID(r.Value)
		if err != nil || ids[string(id)] == 0 {
			missed = true
			return true
		}
		ids[string(id)]--
		left--
		covered = append(covered, r.Offset)
		if missed {
			w.holes = covered
		}
		return true
	})
	if err != nil {
		return err
	}
	w.events = len(covered)
	if w.events > 0 {
		w.first, w.last = covered[0], covered[len(covered)-1]
		if w.first != f.first || w.holes != nil {
			w.holes = covered
		}
	}
	return nil
}

// idsOf counts each id that an object holds, and all of them. A corrupt object holds what could be read of it.
func (l *lane) idsOf(ctx context.Context, store bucket.Bucket, key string) (ids map[string]int, all int, err error) {
	ctx, cancel := context.WithTimeout(ctx, compareFactor*l.m.cfg.AttemptLimit)
	defer cancel()
	body, _, err := store.Get(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	defer body.Close()
	in := &watched{r: body}
	ids = map[string]int{}
	err = avrofile.EventIDs(in, func(id []byte) bool {
		ids[string(id)]++
		all++
		return true
	})
	if in.err != nil {
		return nil, 0, in.err // the answer was cut short: nothing is known yet
	}
	if err != nil && !fault.Is(err, fault.Corrupt) {
		return nil, 0, err
	}
	return ids, all, nil
}

// compareFactor is how many attempt limits reading a whole object may take.
const compareFactor = 10

// ours gives the events of s from offset from on that are not delivered yet, as far as the log goes, until yield
// returns false.
func (l *lane) ours(s *stream, from eventlog.Offset, hist *history, yield func(eventlog.Record) bool) error {
	return l.selected(s, from, math.MaxInt64, hist, func(r eventlog.Record) bool {
		_, is := s.covered[r.Offset]
		return is || yield(r)
	})
}

// selected gives the events of s that the log holds from first to last, as they were selected then, until yield returns
// false. It may run beside the lane: hist knows what held at first.
func (l *lane) selected(s *stream, first, last eventlog.Offset, hist *history, yield func(eventlog.Record) bool) error {
	hist = hist.clone()
	r, err := l.m.deps.Log.Reader(first, eventlog.Filter{Workspace: hist.row.Workspace})
	if err != nil {
		return fault.Wrap(err, "read log again")
	}
	defer r.Close()
	for {
		c, err := r.Next()
		if err != nil {
			return fault.Wrap(err, "read log again")
		}
		if c == nil || c.First > last || c.Hour() > s.Hour {
			return nil
		}
		if c.Kind == eventlog.Control {
			if _, err := hist.observe(c); err != nil {
				return err
			}
			continue
		}
		if c.Kind != eventlog.Events || c.Hour() != s.Hour || c.Target != s.Target {
			continue
		}
		for r := range c.Records() {
			if r.Offset > last || hist.over(r.Offset) {
				return nil
			}
			if r.Offset < first || r.Schema != s.Schema || s.Target == 0 && !hist.at(r.Offset).selects.Has(s.schema) {
				continue
			}
			if !yield(r) {
				return nil
			}
		}
	}
}

// cover notes events above last that an object holds.
func (s *stream) cover(offsets []eventlog.Offset) {
	if len(s.covered) == 0 {
		s.since, s.held = s.files[0].first, s.last
		s.covered = map[eventlog.Offset]struct{}{}
	}
	for _, o := range offsets {
		s.covered[o] = struct{}{}
	}
}

// watched remembers an error of reading, so that a connection cut short is not taken for a damaged object.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
