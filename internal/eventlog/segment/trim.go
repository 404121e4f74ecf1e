package segment

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// carryBytes is how many bytes of keys move on in one commit.
const carryBytes = 1 << 20

// Trim implements eventlog.Log. The unit is the segment; the newest goes, too, once it is replaced, which Trim
// does when it holds nothing but what may go.
//
// Keys that still count move on first; then the new start is made durable; then files are removed.
func (l *Log) Trim(ctx context.Context, floor eventlog.Offset, minAge time.Duration) error {
	l.trim.Lock()
	defer l.trim.Unlock()
	if _, err := l.removeStrays(); err != nil {
		return fault.Wrap(err, "trim log")
	}
	oldest := l.clock.now() - minAge.Milliseconds()
	gone, keep := l.trimmable(floor, oldest)
	if keep == nil {
		if err := l.replaceNewest(ctx); err != nil {
			return fault.Wrap(err, "trim log")
		}
		gone, keep = l.trimmable(floor, oldest)
	}
	if len(gone) == 0 || keep == nil {
		return nil
	}
	if err := l.carry(ctx, gone); err != nil {
		return fault.Wrap(err, "trim log")
	}
	m := meta{id: l.id, first: keep.number, start: keep.base}
	if err := m.save(l.cfg.FS); err != nil {
		return fault.Wrap(err, "trim log")
	}
	s := l.shelf
	s.mu.Lock()
	s.segs = s.segs[len(gone):]
	s.start = keep.base
	s.forget(keep.number)
	s.mu.Unlock()
	l.keys.drop(gone)
	for _, seg := range gone {
		l.strays = append(l.strays, indexName(seg.number), segmentName(seg.number))
	}
	freed, err := l.removeStrays()
	if f := l.cfg.Hooks.OnTrim; f != nil {
		f(keep.base, freed)
	}
	return fault.Wrap(err, "trim log")
}

// trimmable gives the segments that may go and the one after them; nil if even the newest may.
func (l *Log) trimmable(floor eventlog.Offset, oldest int64) (gone []*segment, keep *segment) {
	s := l.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, seg := range s.segs {
		newest := i == len(s.segs)-1
		if seg.endOffset > floor || seg.lastClock >= oldest || newest && seg.empty() {
			return s.segs[:i], seg
		}
	}
	return s.segs, nil
}

// replaceNewest begins a new segment so that the one before can go.
func (l *Log) replaceNewest(ctx context.Context) error {
	w := l.waiter()
	l.mu.Lock()
	if err := l.admit(0, true); err != nil {
		l.mu.Unlock()
		return err
	}
	if l.pos == segmentHeader {
		l.mu.Unlock()
		return nil // it was replaced a moment ago
	}
	l.newTarget()
	l.pending = append(l.pending, commit{seg: l.target, waiter: w})
	l.kick()
	l.mu.Unlock()
	return l.await(ctx, w)
}

func (l *Log) await(ctx context.Context, w *waiter) error {
	select {
	case err := <-w.done:
		l.waiters.Put(w)
		return err
	case <-ctx.Done():
		return fault.From(ctx.Err(), fault.Unavailable, "wait for the disk")
	}
}

// carry moves the keys that still count out of segments that go.
func (l *Log) carry(ctx context.Context, gone []*segment) error {
	oldest := l.clock.now() - l.keys.window
	for _, seg := range gone {
		if seg.bad != nil || seg.lastClock < oldest {
			continue
		}
		rows, err := l.keys.young(seg)
		if fault.Is(err, fault.Corrupt) || fault.Is(err, fault.NotFound) {
			if err = l.reindex(seg); err == nil {
				rows, err = l.keys.young(seg)
			}
		}
		if fault.Is(err, fault.Corrupt) || fault.Is(err, fault.NotFound) {
			// The window is shorter from here on, and Usage says so.
			l.keys.gaveUp(seg.lastClock)
			continue
		}
		if err != nil {
			return err
		}
		for len(rows) > 0 {
			n := min(len(rows), carryBytes/rowSize)
			if err := l.appendKeys(ctx, rows[:n]); err != nil {
				return err
			}
			rows = rows[n:]
		}
	}
	return nil
}

func (l *Log) appendKeys(ctx context.Context, rows []row) error {
	payload := make([]byte, 0, len(rows)*rowSize)
	for i := range rows {
		payload = rows[i].append(payload)
	}
	e := entry{payload: len(payload), sum: checksum(payload), flags: flagKeys}
	w := l.waiter()
	if _, _, err := l.enqueue(ctx, &e, commit{flags: flagKeys, rows: rows, waiter: w}, payload); err != nil {
		l.waiters.Put(w)
		return err
	}
	return l.await(ctx, w)
}

// removeStrays removes trimmed files and gives how many bytes that freed. Callers hold trim.
func (l *Log) removeStrays() (freed int64, err error) {
	l.indexing.Lock()
	defer l.indexing.Unlock()
	var left []string
	for _, name := range l.strays {
		info, e := l.cfg.FS.Stat(name)
		if e == nil {
			e = l.cfg.FS.Remove(name)
		}
		switch {
		case e == nil:
			freed += info.Size
		case !fault.Is(e, fault.NotFound):
			err = e
			left = append(left, name)
		}
	}
	l.strays = left
	l.mu.Lock()
	l.bytes -= freed
	l.mu.Unlock()
	return freed, fault.Wrap(err, "remove trimmed files")
}
