package segment

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// Report is what Check found.
type Report struct {
	ID       eventlog.ID
	Start    eventlog.Offset
	Head     eventlog.Offset
	Segments int
	Bytes    int64 // read
	Commits  int
	Records  int64
	Torn     int64    // bytes at the end without a whole commit: an unfinished write, or one going on; no damage
	Aside    []Range  // set aside by Skip before
	Damage   []Damage // in the order of the log
}

// Damage is a stretch of a segment that is not what was written.
type Damage struct {
	Segment  uint64
	File     string
	Position int64           // in bytes
	End      int64           // in bytes
	First    eventlog.Offset // of the records it held
	Next     eventlog.Offset // after them
	What     string          // a sentence without its full stop
}

// Range is a stretch of the log that was set aside.
type Range struct {
	Segment uint64
	First   eventlog.Offset
	Next    eventlog.Offset // after the last
	Count   int64           // records lost; at most so many where the damage hides how many there were
	Kept    string          // file in the log's folder that has the segment as it was found; empty if there was none
}

// Check reads the whole log and says what is wrong. It changes nothing and works beside a process that has the
// log open. progress, which may be nil, is told the bytes read and in all.
func Check(ctx context.Context, fs vfs.FS, progress func(done, total int64)) (Report, error) {
	s, torn, err := look(ctx, fs)
	if err != nil {
		return Report{}, fault.Wrap(err, "check log")
	}
	r := Report{ID: s.id, Start: s.start, Head: s.head, Segments: len(s.segs), Torn: torn}
	var total int64
	for _, seg := range s.segs {
		total += seg.end
	}
	for i, seg := range s.segs {
		if err := ctx.Err(); err != nil {
			return r, fault.From(err, fault.Unavailable, "check log")
		}
		_, err := r.segment(s, seg, i == len(s.segs)-1)
		if err != nil && !s.trimmed(seg.number) {
			return r, fault.Wrap(err, fmt.Sprintf("check segment %d", seg.number))
		}
		r.Bytes += seg.end
		if progress != nil {
			progress(r.Bytes, total)
		}
	}
	return r, nil
}

// segment adds one segment to the report and gives its bytes as far as they belong to the log, padded with zeros
// where the file ends early.
func (r *Report) segment(s *shelf, seg *segment, last bool) ([]byte, error) {
	file := segmentName(seg.number)
	if seg.bad != nil {
		r.Damage = append(r.Damage, Damage{
			Segment: seg.number, File: file, End: seg.end, First: seg.base, Next: seg.endOffset, What: fault.As(seg.bad).Message(),
		})
		return nil, nil
	}
	data, err := readSegment(s.fs, seg.number)
	if err != nil {
		if fault.Is(err, fault.NotFound) && last && seg.endOffset == s.start {
			return nil, nil // a log that has no segment yet
		}
		return nil, err
	}
	if short := seg.end - int64(len(data)); short > 0 {
		data = append(data, make([]byte, short)...)
	}
	data = data[:seg.end]
	w := walk(data, &seg.header, func(e *entry, pos int64) {
		switch {
		case e.visible():
			r.Commits++
			r.Records += int64(e.count)
		case e.flags&flagGap != 0:
			r.Aside = append(r.Aside, Range{Segment: seg.number, First: e.first, Next: e.end(), Count: int64(e.count), Kept: keptName(seg.number, pos)})
		}
	})
	for _, h := range w.holes {
		next := h.next
		if next < 0 {
			next = seg.endOffset
		}
		r.Damage = append(r.Damage, Damage{
			Segment: seg.number, File: file, Position: h.pos, End: h.end, First: h.first, Next: next, What: h.what,
		})
	}
	return data, nil
}

func keptName(number uint64, pos int64) string {
	return fmt.Sprintf("%s.aside-%d", segmentName(number), pos)
}

// Skip sets a damage that Check found aside: the segment as it is is kept under another name, and in its place
// comes one in which readers pass over the damaged stretch. The offsets are not used again. The caller writes
// the range into the ledger.
//
// Nothing is deleted, and a crash at any point leaves the damage or the result. Calling it again is safe.
// Errors: unavailable (a process has the log open), stale (there is no such damage any more).
func Skip(ctx context.Context, fs vfs.FS, d Damage) (Range, error) {
	// Opening recovers the log, so that the segment is complete, and takes the lock.
	l, err := Open(ctx, Config{FS: fs, MinFree: -1})
	if err != nil {
		return Range{}, err
	}
	rg, err := l.skip(d)
	if e := l.Close(); err == nil {
		err = e
	}
	return rg, fault.Wrap(err, fmt.Sprintf("set damage in segment %d aside", d.Segment))
}

func (l *Log) skip(d Damage) (Range, error) {
	var seg *segment
	for _, s := range l.shelf.segmentsNow() {
		if s.number == d.Segment && s != l.active {
			seg = s
		}
	}
	gone := fault.New(fault.Stale, "", "%s has no damage at byte %d", d.File, d.Position).WithHint("run `millrace log check` again")
	if seg == nil {
		return Range{}, gone
	}
	var r Report
	data, err := r.segment(l.shelf, seg, false)
	if err != nil {
		return Range{}, err
	}
	var found *Damage
	for i := range r.Damage {
		if r.Damage[i].Position == d.Position {
			found = &r.Damage[i]
			break
		}
	}
	if found == nil {
		return Range{}, gone
	}
	from, to := found.Position, found.End
	whole := seg.bad != nil
	if whole { // a new header, and a gap over all the rest; none where there is no room, since nothing is read there
		from, to = segmentHeader, seg.end
		seg.log, seg.salt, seg.synced = l.id, newSalt(), segmentHeader
		data = append(seg.encode(), make([]byte, max(0, to-from))...)
	}
	if !whole && to-from < commitHeader {
		return Range{}, fault.New(fault.Corrupt, "", "the damage is too short to be marked").WithHint("keep the folder and ask for help")
	}
	rg := Range{Segment: seg.number, First: found.First, Next: found.Next, Count: int64(found.Next - found.First)}

	if to-from >= commitHeader {
		gap := entry{first: found.First, at: seg.baseAt, count: int(rg.Count), payload: int(to - from - commitHeader), flags: flagGap}
		clear(data[from:to])
		gap.encode(data[from:], eventlog.KeyHash{}, eventlog.Answer{})
		stamp(data[from:], seg.number, segmentHeader, seg.salt)
	}

	raw, err := readSegment(l.cfg.FS, seg.number)
	switch {
	case err == nil:
		rg.Kept = keptName(seg.number, from)
		if err := vfs.WriteFile(l.cfg.FS, rg.Kept, raw); err != nil {
			return Range{}, err
		}
	case !fault.Is(err, fault.NotFound):
		return Range{}, err
	}
	// The index may have marks inside the stretch. Without one it is made again from the segment.
	if err := l.cfg.FS.Remove(indexName(seg.number)); err != nil && !fault.Is(err, fault.NotFound) {
		return Range{}, err
	}
	if err := l.cfg.FS.SyncDir("."); err != nil {
		return Range{}, err
	}
	if err := vfs.WriteFile(l.cfg.FS, segmentName(seg.number), data); err != nil {
		return Range{}, err
	}
	seg.bad, seg.end = nil, int64(len(data))
	return rg, l.reindex(seg)
}
