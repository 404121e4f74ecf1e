package segment

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// segment is one file of the log. Fields without a note never change after it was put on the shelf.
type segment struct {
	header
	bad error // the header is damaged or the file is missing: nothing can be read

	// Guarded by shelf.mu until the segment is complete, then unchanging.
	end       int64           // durable bytes that belong to the log
	endOffset eventlog.Offset // after the last durable record
	lastAt    int64
	lastClock int64

	marks []mark // while no index file has them

	live    *liveKeys // keys while no index file has them; guarded by keys.mu
	expired bool      // all keys are older than the window; guarded by keys.mu
	// index is nil until the file exists, and for segments whose keys are too old to matter until it is asked for.
	index atomic.Pointer[index]

	file sharedFile
}

// empty reports whether the segment holds no records. Callers hold shelf.mu.
func (s *segment) empty() bool { return s.endOffset == s.base }

// sharedFile is a segment opened for reading, once for all readers.
type sharedFile struct {
	mu   sync.Mutex
	f    vfs.File
	refs int
}

func (s *sharedFile) acquire(fs vfs.FS, name string) (vfs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs == 0 {
		f, err := fs.Open(name)
		if err != nil {
			return nil, err
		}
		s.f = f
	}
	s.refs++
	return s.f, nil
}

func (s *sharedFile) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs--; s.refs == 0 {
		s.f.Close() // read only: nothing can be lost by it
		s.f = nil
	}
}

// shelf is what can be read: segments, how far they are durable, and the newest bytes in memory. The log that
// writes and views of other processes share it.
type shelf struct {
	fs vfs.FS
	id eventlog.ID

	mu       sync.Mutex
	segs     []*segment // consecutive numbers; replaced, never changed in place, so that a copy of the slice stays good
	start    eventlog.Offset
	head     eventlog.Offset
	recent   []*chunk // oldest first
	recentN  int      // bytes of them
	interest map[eventlog.Filter]*interest
	closed   bool
	harmed   map[place]*fault.Error // damage found so far
	first    *fault.Error           // of it
	oldestMS int64                  // acceptance of the first commit, as read when the log began at oldestAt
	oldestAt eventlog.Offset

	buffers buffers

	onDamage func(*fault.Error)
	opened   chan struct{} // closed from the beginning: for readers that have something
}

type place struct {
	number uint64
	pos    int64
}

func newShelf(fs vfs.FS, id eventlog.ID) *shelf {
	s := &shelf{fs: fs, id: id, interest: map[eventlog.Filter]*interest{}, harmed: map[place]*fault.Error{}, opened: make(chan struct{})}
	close(s.opened)
	return s
}

// interest is what readers of one filter share.
type interest struct {
	readers int
	idle    []*reader // waiting at the head; nothing that matches came since they began to
}

// segmentsNow gives the segments of this moment.
func (s *shelf) segmentsNow() []*segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segs
}

// bounds gives start and head.
func (s *shelf) bounds() (start, head eventlog.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.start, s.head
}

// after gives the segment that follows, nil at the end. Callers hold mu.
func (s *shelf) after(seg *segment) *segment {
	if i := int(seg.number+1) - int(s.segs[0].number); i >= 0 && i < len(s.segs) {
		return s.segs[i]
	}
	return nil
}

// holding gives the segment in which the record at offset is or will be. Callers hold mu.
func (s *shelf) holding(offset eventlog.Offset) *segment {
	i, _ := slices.BinarySearchFunc(s.segs, offset, func(seg *segment, o eventlog.Offset) int {
		if seg.base <= o {
			return -1
		}
		return 1
	})
	return s.segs[max(i-1, 0)]
}

// harm notes damage that was found and gives it back with the position it stands at.
func (s *shelf) harm(seg *segment, pos int64, what string) error {
	e := damage(segmentName(seg.number), pos, what)
	s.note(seg.number, pos, e)
	return e
}

func (s *shelf) note(number uint64, pos int64, e *fault.Error) {
	s.mu.Lock()
	_, known := s.harmed[place{number, pos}]
	if !known {
		s.harmed[place{number, pos}] = e
		if s.first == nil {
			s.first = e
		}
	}
	s.mu.Unlock()
	if !known && s.onDamage != nil {
		s.onDamage(e)
	}
}

// forget lets go of damage in segments that are gone. Callers hold mu.
func (s *shelf) forget(below uint64) {
	for at := range s.harmed {
		if at.number < below {
			delete(s.harmed, at)
		}
	}
	s.first = nil
	for _, e := range s.harmed {
		s.first = e
		break
	}
}

func (s *shelf) damaged() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		return nil // not a nil *fault.Error in an interface
	}
	return s.first
}

// loadSegments reads the headers of all segments of a log, in order, with places for missing ones. The last
// segment's end is not known yet; see recoverLast.
//
// Errors: corrupt if there are none where there should be, conflict for a newer version, whatever the disk says.
func loadSegments(fs vfs.FS, m meta) ([]*segment, error) {
	entries, err := fs.List(".")
	if err != nil {
		return nil, err
	}
	var segs []*segment
	for _, e := range entries {
		number, ok := parseName(e.Name, ".seg")
		if !ok || number < m.first {
			continue
		}
		for next := m.first + uint64(len(segs)); next < number; next++ {
			segs = append(segs, &segment{header: header{number: next}, bad: damage(segmentName(next), 0, "the file is missing")})
			if len(segs) > 1<<20 {
				return nil, damage(e.Name, 0, "its number is far from all others")
			}
		}
		seg := &segment{header: header{number: number}}
		h, err := readHeader(fs, number)
		switch {
		case err == nil && h.log != m.id:
			seg.bad = damage(e.Name, 16, "it belongs to another log")
		case err == nil && h.number != number:
			seg.bad = damage(e.Name, 32, fmt.Sprintf("it is segment %d under a wrong name", h.number))
		case err == nil:
			seg.header = h
		case fault.Is(err, fault.Corrupt):
			seg.bad = err
		default:
			return nil, err
		}
		segs = append(segs, seg)
	}
	return segs, link(fs, m, segs)
}

func readHeader(fs vfs.FS, number uint64) (header, error) {
	name := segmentName(number)
	f, err := fs.Open(name)
	if err != nil {
		return header{}, err
	}
	defer f.Close() // read only: nothing can be lost by it
	b := make([]byte, segmentHeader)
	if err := readFull(f, b, 0, name); err != nil {
		return header{}, err
	}
	return decodeHeader(b, name)
}

// link gives every segment but the last its end, from the header of the one after it, and what can be known of
// damaged ones from their neighbours. The end of the last is left at 0.
func link(fs vfs.FS, m meta, segs []*segment) error {
	for i := len(segs) - 2; i >= 0; i-- {
		if next := segs[i+1]; next.bad == nil {
			s := segs[i]
			s.end, s.endOffset, s.lastAt, s.lastClock = next.prevEnd, next.base, next.baseAt, next.baseClock
			if s.bad != nil {
				s.base = next.prevBase
			}
		}
	}
	for i, s := range segs {
		if s.bad == nil {
			continue
		}
		told := i+1 < len(segs) && segs[i+1].bad == nil // the next one says where this one begins
		if i == 0 {
			s.base = m.start
		} else {
			prev := segs[i-1]
			if prev.bad == nil {
				if err := measure(fs, m.id, prev); err != nil {
					return err
				}
			}
			if told {
				prev.endOffset = s.base
			} else {
				s.base = prev.endOffset
			}
			s.baseAt, s.baseClock = prev.lastAt, prev.lastClock
		}
		s.endOffset = max(s.endOffset, s.base)
		s.lastAt, s.lastClock = max(s.lastAt, s.baseAt), max(s.lastClock, s.baseClock)
	}
	return nil
}

// measure finds the end of a good segment whose successor cannot tell it.
func measure(fs vfs.FS, id eventlog.ID, s *segment) error {
	x, err := loadIndex(fs, id, s.number)
	if err == nil {
		s.end, s.endOffset, s.lastAt, s.lastClock = x.end, x.endOffset, x.lastAt, x.lastClock
		return nil
	}
	if !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Corrupt) {
		return err
	}
	data, err := readSegment(fs, s.number)
	if err != nil {
		return err
	}
	v := judge(data, &s.header)
	s.end, s.endOffset, s.lastAt = v.end, v.head, v.headAt
	s.lastClock = s.clockOf(v.headAt)
	return nil
}

// clockOf estimates the ageing clock at a time of acceptance that another process gave.
func (h *header) clockOf(at int64) int64 { return h.baseClock + max(0, at-h.baseAt) }

// readSegment gives a whole segment file.
func readSegment(fs vfs.FS, number uint64) ([]byte, error) {
	return vfs.ReadFile(fs, segmentName(number), maxSegment)
}
