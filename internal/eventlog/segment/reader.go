package segment

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// readBytes is how much is read from the disk at a time, at least; some requests of a thousand events take more.
const readBytes = 256 << 10

// keepBytes is the largest buffer that a reader keeps while it waits for nothing.
const keepBytes = 1 << 20

// buffers are shared by the readers that are reading: an idle one has none.
type buffers struct{ pool sync.Pool }

func (b *buffers) get(size int) []byte {
	if p, ok := b.pool.Get().(*[]byte); ok && cap(*p) >= size {
		return (*p)[:cap(*p)]
	}
	return make([]byte, max(size, readBytes))
}

func (b *buffers) put(p []byte) {
	if cap(p) > 0 && cap(p) <= keepBytes {
		b.pool.Put(&p)
	}
}

// reader is the eventlog.Reader of a shelf. One goroutine uses it, but arrive comes from the committer.
type reader struct {
	shelf  *shelf
	filter eventlog.Filter
	from   eventlog.Offset // records below are left out

	seg    *segment
	pos    int64           // of the next commit in seg
	offset eventlog.Offset // of its first record, or of what is there before
	commit eventlog.Commit
	closed bool

	// What was read last: a stretch of a chunk that is held, or of the reader's own buffer.
	window    []byte
	windowPos int64
	windowSeg *segment
	chunk     *chunk
	buf       []byte

	// Guarded by shelf.mu. An idle reader stands at the head: everything durable was given or does not match.
	idle  bool
	ready chan struct{}
}

// reader gives one that begins at from.
func (s *shelf) reader(from eventlog.Offset, f eventlog.Filter) (eventlog.Reader, error) {
	const op = "read log"
	s.mu.Lock()
	start, head := s.start, s.head
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed()
	}
	if from < start || from > head {
		s.mu.Unlock()
		return nil, fault.New(fault.Stale, op, "offset %d is not in the log, which holds %d to %d", from, start, head)
	}
	seg := s.holding(from)
	r := &reader{shelf: s, filter: f, from: from, seg: seg, pos: segmentHeader, offset: seg.base}
	marks, atHead := seg.marks, from == head && seg == s.segs[len(s.segs)-1]
	if atHead {
		r.pos, r.offset = seg.end, head
	}
	in := s.interest[f]
	if in == nil {
		in = &interest{}
		s.interest[f] = in
	}
	in.readers++
	s.mu.Unlock()
	if !atHead && seg.bad == nil {
		r.skipTo(marks)
	}
	return r, nil
}

func errClosed() error { return fault.New(fault.Unavailable, "read log", "the log is closed") }

// skipTo goes near the first offset by the segment's marks. Without marks reading begins at the segment's begin.
func (r *reader) skipTo(marks []mark) {
	for _, m := range r.shelf.marksOf(r.seg, marks) {
		if m.offset > r.from {
			break
		}
		r.pos, r.offset = m.pos, m.offset
	}
}

// marksOf gives a segment's marks: those in memory, or else those of its index file; none if it cannot be read,
// since all that they do is save time.
func (s *shelf) marksOf(seg *segment, marks []mark) []mark {
	if len(marks) > 0 || seg.bad != nil {
		return marks
	}
	x := seg.index.Load()
	if x == nil {
		var err error
		if x, err = loadIndex(s.fs, s.id, seg.number); err != nil {
			return nil
		}
	}
	marks, err := x.readMarks(s.fs, seg.number)
	if err != nil {
		return nil
	}
	return marks
}

// Next implements eventlog.Reader.
func (r *reader) Next() (*eventlog.Commit, error) {
	var e entry
	for {
		head, err := r.see(commitHeader)
		if head == nil || err != nil {
			return nil, err
		}
		memory := r.chunk != nil
		if memory {
			e.decode(head)
		} else {
			if head[61]&flagAnswer != 0 {
				if head, err = r.see(commitHeader + answerHeader); err != nil {
					return nil, err
				}
			}
			if why := e.check(head, r.seg.number, r.seg.salt); why != "" {
				return nil, r.harm(why)
			}
			if e.first != r.offset {
				return nil, r.harm("a commit stands in the wrong place")
			}
		}
		end := e.end()
		if !e.visible() || !r.filter.Matches(e.Header) || end <= r.from {
			r.pos += e.size()
			r.offset = end
			continue
		}
		b, err := r.see(int(e.size()))
		if err != nil {
			return nil, err
		}
		payload := b[e.headSize():]
		if !memory {
			if why := e.checkPayload(payload); why != "" {
				return nil, r.harm(why)
			}
		}
		r.commit = eventlog.Commit{
			Header: e.Header, At: e.at, First: e.first, Count: e.count,
			Payload: payload, Skip: int(max(0, r.from-e.first)),
		}
		r.pos += e.size()
		r.offset = end
		return &r.commit, nil
	}
}

func (r *reader) harm(what string) error { return r.shelf.harm(r.seg, r.pos, what) }

// see gives the n bytes from pos, or nil if the log ends here: then the reader is idle.
func (r *reader) see(n int) ([]byte, error) {
	// An idle reader has no window, and its place belongs to the committer.
	if r.window != nil && r.windowSeg == r.seg && r.pos >= r.windowPos && r.pos+int64(n) <= r.windowPos+int64(len(r.window)) {
		at := r.pos - r.windowPos
		return r.window[at : at+int64(n) : at+int64(n)], nil
	}
	limit, err := r.locate()
	if limit == 0 || err != nil {
		return nil, err
	}
	if limit-r.pos < int64(n) {
		return nil, r.harm("a commit is longer than its segment")
	}
	if r.chunk == nil {
		if err := r.load(n, limit); err != nil {
			return nil, err
		}
	}
	if int(r.windowPos-r.pos)+len(r.window) < n {
		return nil, r.harm("the file ends early")
	}
	at := r.pos - r.windowPos
	return r.window[at : at+int64(n) : at+int64(n)], nil
}

// locate finds where pos is to be read: it leaves a chunk if the bytes are in memory. It goes on to the next
// segment where one ends, and gives where the durable bytes of the segment end; 0 if there are none.
func (r *reader) locate() (limit int64, err error) {
	s := r.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	r.letGo()
	if s.closed || r.closed {
		return 0, errClosed()
	}
	if r.idle {
		return 0, nil
	}
	for {
		if r.offset < s.start && r.seg.number < s.segs[0].number {
			return 0, fault.New(fault.Stale, "read log", "offset %d was trimmed away; the log begins at %d", r.offset, s.start)
		}
		if r.seg.bad != nil {
			return 0, r.seg.bad
		}
		if r.pos < r.seg.end {
			break
		}
		next := s.segs[0]
		if r.seg.number >= next.number {
			next = s.after(r.seg)
		}
		if next == nil {
			r.offset = s.head
			r.idle = true
			in := s.interest[r.filter]
			in.idle = append(in.idle, r)
			r.dropBuffer()
			return 0, nil
		}
		r.seg, r.pos, r.offset = next, segmentHeader, next.base
	}
	for i := len(s.recent) - 1; i >= 0; i-- {
		if c := s.recent[i]; c.seg == r.seg && c.base <= r.pos && r.pos < c.base+int64(c.used) {
			c.hold()
			r.chunk, r.window, r.windowPos, r.windowSeg = c, c.mem[:c.used], c.base, r.seg
			break
		}
	}
	return r.seg.end, nil
}

// load reads at least n bytes at pos from the disk, more if there are more before limit.
func (r *reader) load(n int, limit int64) error {
	want := int(min(max(int64(n), readBytes), limit-r.pos))
	if cap(r.buf) < want {
		r.dropBuffer()
		r.buf = r.shelf.buffers.get(max(want, min(2*n, keepBytes))) // two, so that most are read once, but of large ones one
	}
	want = int(min(int64(cap(r.buf)), limit-r.pos))
	f, err := r.seg.file.acquire(r.shelf.fs, segmentName(r.seg.number))
	if err != nil {
		return r.missing(err)
	}
	defer r.seg.file.release()
	got, err := f.ReadAt(r.buf[:want], r.pos)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	r.window, r.windowPos, r.windowSeg = r.buf[:got], r.pos, r.seg
	return nil
}

// missing tells a segment that was trimmed a moment ago, here or by the process that owns the log, from one that
// is lost.
func (r *reader) missing(err error) error {
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	if r.shelf.trimmed(r.seg.number) {
		return fault.New(fault.Stale, "read log", "offset %d was trimmed away", r.offset).WithCause(err)
	}
	return r.shelf.harm(r.seg, 0, "the file is missing")
}

// trimmed asks the disk, since another process may have moved the start.
func (s *shelf) trimmed(number uint64) bool {
	m, err := loadMeta(s.fs)
	return err == nil && m.first > number
}

// letGo gives up the bytes of the commit given last.
func (r *reader) letGo() {
	if r.chunk != nil {
		r.chunk.release()
		r.chunk = nil
	}
	r.window, r.windowSeg = nil, nil
}

func (r *reader) dropBuffer() {
	r.shelf.buffers.put(r.buf)
	r.buf = nil
}

// arrive sends an idle reader to the first commit that matches. Callers hold shelf.mu.
func (r *reader) arrive(seg *segment, pos int64, first eventlog.Offset) {
	r.idle = false
	r.seg, r.pos, r.offset = seg, pos, first
	if r.ready != nil {
		close(r.ready)
		r.ready = nil
	}
}

// Ready implements eventlog.Reader.
func (r *reader) Ready() <-chan struct{} {
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	if !r.idle || r.shelf.closed || r.closed {
		return r.shelf.opened
	}
	if r.ready == nil {
		r.ready = make(chan struct{})
	}
	return r.ready
}

// Position implements eventlog.Reader.
func (r *reader) Position() eventlog.Offset {
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	if r.idle {
		return r.shelf.head
	}
	return max(r.offset, r.from)
}

// Close implements eventlog.Reader.
func (r *reader) Close() error {
	s := r.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	r.letGo()
	r.dropBuffer()
	in := s.interest[r.filter]
	if r.idle {
		r.idle = false
		for i, other := range in.idle {
			if other == r {
				in.idle[i] = in.idle[len(in.idle)-1]
				in.idle[len(in.idle)-1] = nil
				in.idle = in.idle[:len(in.idle)-1]
				break
			}
		}
	}
	if r.ready != nil {
		close(r.ready)
		r.ready = nil
	}
	if in.readers--; in.readers == 0 {
		delete(s.interest, r.filter)
	}
	return nil
}

// close ends all reading.
func (s *shelf) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, in := range s.interest {
		for _, r := range in.idle {
			if r.ready != nil {
				close(r.ready)
				r.ready = nil
			}
		}
	}
	for _, c := range s.recent {
		c.release()
	}
	s.recent, s.recentN = nil, 0
}

// offsetAt gives the first readable offset accepted at t or later.
func (s *shelf) offsetAt(ctx context.Context, t time.Time) (eventlog.Offset, error) {
	at := t.UnixMilli()
	if t.After(time.UnixMilli(at)) {
		at++ // times of acceptance are whole milliseconds
	}
	s.mu.Lock()
	from, head := s.head, s.head
	var marks []mark
	var seg *segment
	for _, sg := range s.segs {
		if !sg.empty() && sg.lastAt >= at {
			seg, marks, from = sg, sg.marks, sg.base
			break
		}
	}
	s.mu.Unlock()
	if seg == nil {
		return head, nil
	}
	for _, m := range s.marksOf(seg, marks) {
		if m.at >= at {
			break
		}
		from = m.offset
	}
	r, err := s.reader(max(from, s.startNow()), eventlog.Filter{})
	if err != nil {
		return 0, err
	}
	defer r.Close() // it holds nothing that could fail
	for ctx.Err() == nil {
		c, err := r.Next()
		if err != nil {
			return 0, err
		}
		if c == nil {
			return r.Position(), nil
		}
		if c.At >= at {
			return c.First + eventlog.Offset(c.Skip), nil
		}
	}
	return 0, fault.From(ctx.Err(), fault.Unavailable, "find an offset by time")
}

func (s *shelf) startNow() eventlog.Offset {
	start, _ := s.bounds()
	return start
}

// release is the end of the oldest segment, as far as it can be read; 0 if there is nothing to read.
func (s *shelf) release() eventlog.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.segs) == 0 || s.start == s.head {
		return 0
	}
	return min(s.segs[0].endOffset, s.head)
}

// oldest is the acceptance of the oldest readable commit; zero if there is none or it cannot be read.
func (s *shelf) oldest() time.Time {
	s.mu.Lock()
	known, at := s.oldestAt == s.start && s.oldestMS != 0, s.oldestMS
	start, head := s.start, s.head
	s.mu.Unlock()
	if start == head {
		return time.Time{}
	}
	if !known {
		r, err := s.reader(start, eventlog.Filter{})
		if err != nil {
			return time.Time{}
		}
		defer r.Close() // it holds nothing that could fail
		c, err := r.Next()
		if c == nil || err != nil {
			return time.Time{}
		}
		at = c.At
		s.mu.Lock()
		s.oldestAt, s.oldestMS = start, at
		s.mu.Unlock()
	}
	return time.UnixMilli(at).UTC()
}
