package segment

import (
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// sealAll is the sealer: it writes the index files of complete segments, away from the path of appends. A segment
// without one costs memory and the next opening's time, nothing else, so failures are tried again later.
func (l *Log) sealAll() {
	defer close(l.sealed)
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-l.sealCh:
		case <-retry.C:
		case <-l.done: // by then no segment becomes complete any more
			l.sealReady()
			return
		}
		if !l.sealReady() {
			retry.Reset(lastRetry)
		}
	}
}

// sealReady reports false if an index could not be written.
func (l *Log) sealReady() bool {
	segs := l.shelf.segmentsNow()
	ok := true
	for _, seg := range segs[:len(segs)-1] {
		l.keys.mu.Lock()
		live := seg.live != nil
		l.keys.mu.Unlock()
		l.shelf.mu.Lock()
		ready := live || seg.marks != nil
		l.shelf.mu.Unlock()
		if ready && !l.sealOne(seg) {
			ok = false
		}
	}
	return ok
}

// sealOne writes the index of a segment that nothing is appended to any more.
func (l *Log) sealOne(seg *segment) bool {
	if seg.index.Load() != nil {
		return true
	}
	l.keys.mu.Lock()
	var rows []row
	if seg.live != nil {
		rows = seg.live.all()
	}
	l.keys.mu.Unlock()
	l.shelf.mu.Lock()
	marks := seg.marks
	x := &index{end: seg.end, endOffset: seg.endOffset, lastAt: seg.lastAt, lastClock: seg.lastClock}
	l.shelf.mu.Unlock()
	if err := l.writeIndex(seg, x, marks, rows); err != nil {
		if f := l.cfg.Hooks.OnFail; f != nil {
			f(err)
		}
		return false
	}
	if f := l.cfg.Hooks.OnSeal; f != nil {
		f(seg.number, x.end)
	}
	return true
}

// writeIndex puts an index in place of what is known in memory. A segment that was trimmed gets none.
func (l *Log) writeIndex(seg *segment, x *index, marks []mark, rows []row) error {
	l.indexing.Lock()
	defer l.indexing.Unlock()
	if segs := l.shelf.segmentsNow(); len(segs) > 0 && seg.number < segs[0].number {
		return nil
	}
	b := encodeIndex(l.id, seg.number, x, marks, rows)
	if err := vfs.WriteFile(l.cfg.FS, indexName(seg.number), b); err != nil {
		return fault.Wrap(err, "write "+indexName(seg.number))
	}
	l.mu.Lock()
	l.bytes += int64(len(b))
	l.mu.Unlock()
	l.keys.mu.Lock()
	seg.index.Store(x)
	seg.live = nil
	l.keys.mu.Unlock()
	l.shelf.mu.Lock()
	seg.marks = nil
	l.shelf.mu.Unlock()
	return nil
}

// reindex makes the index of a complete segment again, from the segment.
func (l *Log) reindex(seg *segment) error { return l.rebuild(seg, nil) }

// rebuild is reindex with the segment's bytes, if they were read already.
func (l *Log) rebuild(seg *segment, data []byte) error {
	if data == nil {
		var err error
		if data, err = readSegment(l.cfg.FS, seg.number); err != nil {
			return err
		}
	}
	data = data[:min(seg.end, int64(len(data)))]
	x := &index{end: seg.end, endOffset: seg.endOffset, lastAt: seg.lastAt, lastClock: seg.lastClock}
	var marks []mark
	live := newLiveKeys()
	w := walk(data, &seg.header, func(e *entry, pos int64) {
		if n := len(marks); n == 0 || pos-marks[n-1].pos >= markEvery {
			marks = append(marks, mark{offset: e.first, pos: pos, at: e.at})
		}
		l.addKeys(e, data[pos:pos+e.size()], seg.clockOf(e.at), func(r row, carried bool) {
			if _, known := live.rows[r.key]; !known || !carried {
				live.rows[r.key] = liveRow{r.answer, r.clock}
			}
		})
	})
	for _, h := range w.holes {
		l.shelf.harm(seg, h.pos, h.what)
	}
	return l.writeIndex(seg, x, marks, live.all())
}
