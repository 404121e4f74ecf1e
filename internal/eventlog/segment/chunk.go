package segment

import (
	"sync"
	"sync/atomic"
)

// chunkBytes holds two or three requests of a thousand events.
const chunkBytes = 2 << 20

// chunk is a stretch of a segment in memory: commits are put together in it, written from it, and read from it
// while they are new. Bytes below used never change.
type chunk struct {
	seg  *segment
	base int64 // where mem[0] stands in the segment
	mem  []byte
	fill int // bytes put in; guarded by Log.mu
	used int // bytes durable; guarded by shelf.mu

	refs  atomic.Int32 // the one who fills it, the shelf, readers
	stock *stock
}

func (c *chunk) hold() { c.refs.Add(1) }

func (c *chunk) release() {
	if c.refs.Add(-1) == 0 {
		c.stock.put(c)
	}
}

// stock keeps a few chunks for the next use.
type stock struct {
	mu   sync.Mutex
	free []*chunk
}

func (s *stock) get(size int) *chunk {
	var c *chunk
	if size <= chunkBytes {
		size = chunkBytes
		s.mu.Lock()
		if n := len(s.free); n > 0 {
			c = s.free[n-1]
			s.free = s.free[:n-1]
		}
		s.mu.Unlock()
	}
	if c == nil {
		c = &chunk{mem: make([]byte, size), stock: s}
	}
	c.fill, c.used = 0, 0
	c.refs.Store(1)
	return c
}

func (s *stock) put(c *chunk) {
	c.seg = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(c.mem) == chunkBytes && len(s.free) < 4 {
		s.free = append(s.free, c)
	}
}
