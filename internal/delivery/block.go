package delivery

import (
	"sync"

	"github.com/millrace/millrace/internal/avrofile"
)

// block is consecutive raw records of one stream, compressed. Lanes that take the same records unchanged share it.
type block struct {
	blockKey
	hash avrofile.Hash
	raw  int64 // bytes before compression

	// done is closed once data is there.
	done chan struct{}
	data []byte

	size int64 // bytes counted in the budget: raw until done, then len(data); guarded by blocks.mu
	refs int   // guarded by blocks.mu; 0: forgotten
}

// blockKey says which records a block holds: with the codec it says which bytes.
type blockKey struct {
	workspace, schema, target uint32
	first, last               int64
	count                     int
	codec                     avrofile.Codec
}

// blocks compresses blocks on a few goroutines and keeps those that somebody holds, so that a second lane that
// gathers the same records finds them compressed.
type blocks struct {
	budget *budget
	jobs   chan job

	mu     sync.Mutex
	shared map[blockKey]*block
	raws   [][]byte // buffers to use again
}

type job struct {
	b   *block
	raw []byte
}

// maxRawBuffers bounds the buffers kept for reuse; each is at most a few times avrofile.MaxBlock.
const maxRawBuffers = 64

func newBlocks(b *budget, workers int) *blocks {
	return &blocks{budget: b, jobs: make(chan job, 4*workers), shared: map[blockKey]*block{}}
}

// work compresses until jobs is closed.
func (c *blocks) work() {
	z := avrofile.NewCompressor()
	var scratch []byte
	for j := range c.jobs {
		scratch = z.AppendBlock(scratch[:0], j.b.codec, j.b.count, j.raw)
		data := make([]byte, len(scratch))
		copy(data, scratch)
		c.mu.Lock()
		j.b.data = data
		if j.b.refs > 0 {
			c.budget.take(int64(len(data)) - j.b.size)
			j.b.size = int64(len(data))
		}
		c.recycle(j.raw)
		c.mu.Unlock()
		close(j.b.done)
	}
}

// get gives the block that holds raw, made now unless share is set and somebody holds it already. The buffer raw
// belongs to blocks afterwards.
func (c *blocks) get(k blockKey, hash avrofile.Hash, raw []byte, share bool) *block {
	c.mu.Lock()
	if share {
		if b := c.shared[k]; b != nil && b.hash == hash {
			b.refs++
			c.recycle(raw)
			c.mu.Unlock()
			return b
		}
	}
	b := &block{blockKey: k, hash: hash, done: make(chan struct{}), raw: int64(len(raw)), size: int64(len(raw)), refs: 1}
	if share && c.shared[k] == nil {
		c.shared[k] = b
	}
	c.mu.Unlock()
	c.budget.take(b.size)
	c.jobs <- job{b, raw}
	return b
}

// release lets go of one reference.
func (c *blocks) release(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.refs--; b.refs > 0 {
		return
	}
	if c.shared[b.blockKey] == b {
		delete(c.shared, b.blockKey)
	}
	c.budget.take(-b.size)
}

// buffer gives an empty buffer to gather raw records in.
func (c *blocks) buffer() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.raws); n > 0 {
		r := c.raws[n-1]
		c.raws = c.raws[:n-1]
		return r[:0]
	}
	return nil
}

// recycle keeps a buffer for buffer; mu is held.
func (c *blocks) recycle(raw []byte) {
	if cap(raw) >= avrofile.MinBlock && cap(raw) <= 4*avrofile.MaxBlock && len(c.raws) < maxRawBuffers {
		c.raws = append(c.raws, raw)
	}
}
