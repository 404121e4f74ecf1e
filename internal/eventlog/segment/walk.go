package segment

import (
	"bytes"
	"encoding/binary"

	"github.com/millrace/millrace/internal/eventlog"
)

// hole is a stretch of a segment without a good commit.
type hole struct {
	pos, end    int64
	first, next eventlog.Offset // the offsets it had; next is -1 if nothing after it tells
	what        string
}

// walked is what walk found.
type walked struct {
	end    int64           // after the last good commit
	offset eventlog.Offset // after the last good commit
	synced int64           // the highest position that any header calls durable
	lastAt int64
	holes  []hole
}

// walk reads all commits of a segment, checks everything, and goes on after what is bad. data is the segment
// from its first byte. visit may be nil; what it gets is valid during the call.
func walk(data []byte, h *header, visit func(e *entry, pos int64)) walked {
	w := walked{end: segmentHeader, offset: h.base, synced: h.synced, lastAt: h.baseAt}
	var e entry
	for pos := int64(segmentHeader); pos < int64(len(data)); {
		if why := e.check(data[pos:], h.number, h.salt); why != "" {
			next, at := resync(data, h, pos+1, w.offset)
			w.holes = append(w.holes, hole{pos: pos, end: at, first: w.offset, next: next, what: why})
			if next >= 0 {
				w.offset = next
			}
			pos = at
			continue
		}
		w.synced = max(w.synced, e.synced)
		switch stop := pos + e.size(); {
		case e.first > w.offset:
			w.holes = append(w.holes, hole{pos: pos, end: pos, first: w.offset, next: e.first, what: "commits are missing"})
			w.offset = e.first
		case e.first < w.offset:
			w.holes = append(w.holes, hole{pos: pos, end: min(stop, int64(len(data))), first: w.offset, next: w.offset, what: "a commit stands in the wrong place"})
			pos = stop
		case stop > int64(len(data)):
			w.holes = append(w.holes, hole{pos: pos, end: int64(len(data)), first: e.first, next: e.end(), what: "a commit is cut off"})
			pos = stop
		default:
			if why := e.checkPayload(data[pos+int64(e.headSize()) : stop]); why != "" {
				w.holes = append(w.holes, hole{pos: pos, end: stop, first: e.first, next: e.end(), what: why})
				w.offset = e.end()
				pos = stop
				continue
			}
			if visit != nil {
				visit(&e, pos)
			}
			w.end, w.offset, w.lastAt = stop, e.end(), max(w.lastAt, e.at)
			pos = stop
		}
	}
	return w
}

// resync finds the next commit header at pos or later. The salt keeps a producer from planting one in its
// payload. It gives -1 and the end of data if there is none.
func resync(data []byte, h *header, pos int64, from eventlog.Offset) (eventlog.Offset, int64) {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], commitMagic)
	var e entry
	for start := pos; ; pos++ {
		i := bytes.Index(data[min(pos, int64(len(data))):], magic[:])
		if i < 0 {
			return -1, int64(len(data))
		}
		pos += int64(i)
		// A record takes eight bytes at least, which bounds the offsets that the stretch can have had.
		if e.check(data[pos:], h.number, h.salt) == "" && e.first >= from && int64(e.first-from) <= (pos-start)/8+1 {
			return e.first, pos
		}
	}
}

// records is how many records can have stood in so many bytes, at most.
func records(n int64) eventlog.Offset { return eventlog.Offset(n / 8) }
