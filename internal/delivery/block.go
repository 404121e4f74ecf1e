package delivery

import (
	"sync"
	"unsafe"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/eventlog"
)

// block is consecutive raw records of one stream, compressed. Lanes that take the same records unchanged share it.
type block struct {
	blockKey
	hash avrofile.Hash
	raw  int64 // bytes before compression

	// done is closed once data is there.
	done chan struct{}
	data []byte

	refs int // guarded by blocks.mu; 0: forgotten
}

// draft is the records of a block that is being gathered. Lanes that take the same records unchanged share one: each
// is at a place of its own in it, and only the foremost copies and hashes.
type draft struct {
	key draftKey

	mu    sync.Mutex
	buf   []byte
	marks []mark // one for each record
	room  int64  // what of buf is counted in the budget: all of it, not only what is filled

	shared bool // found under key; guarded by blocks.mu
	refs   int  // lanes and compressors that use it; guarded by blocks.mu
}

// draftKey says which records a draft holds: those of a stream from first on.
type draftKey struct {
	workspace, schema, target uint32
	first                     eventlog.Offset
}

// mark is the place after a record.
type mark struct {
	offset eventlog.Offset
	end    int
	hash   avrofile.Hash // of all records up to here
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
	drafts map[draftKey]*draft
	spare  []*draft // to use again
}

// job is to compress the first len(raw) bytes of d.
type job struct {
	b   *block
	d   *draft
	raw []byte
}

// maxSpare bounds the drafts kept for reuse; each is at most a few times avrofile.MaxBlock.
const maxSpare = 64

func newBlocks(b *budget, workers int) *blocks {
	return &blocks{
		budget: b, jobs: make(chan job, 4*workers),
		shared: map[blockKey]*block{}, drafts: map[draftKey]*draft{},
	}
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
			c.budget.take(int64(len(data)))
		}
		c.drop(j.d)
		c.mu.Unlock()
		close(j.b.done)
	}
}

// draft gives the draft of the records of k from its first on: one that others gather too, if share is set.
func (c *blocks) draft(k draftKey, share bool) *draft {
	c.mu.Lock()
	defer c.mu.Unlock()
	if share {
		if d := c.drafts[k]; d != nil {
			d.refs++
			return d
		}
	}
	d := &draft{}
	// Where memory is short a draft grows with what fills it: a used one would take at once what a cut gave back.
	if n := len(c.spare); n > 0 && !c.budget.over() {
		d, c.spare = c.spare[n-1], c.spare[:n-1]
	}
	d.key, d.shared, d.refs = k, share, 1
	if share {
		c.drafts[k] = d
	}
	return d
}

// fork gives a draft of one's own with the first n records of d, which it lets go of.
func (c *blocks) fork(d *draft, n int) *draft {
	own := c.draft(d.key, false)
	d.mu.Lock()
	own.marks = append(own.marks, d.marks[:n]...)
	own.buf = append(own.buf, d.buf[:d.marks[n-1].end]...)
	d.mu.Unlock()
	c.leave(d)
	return own
}

// put makes r the n-th record of d, counted from 0, unless another lane has put one there already, and gives the marks
// of the records that are there: they do not change any more.
func (c *blocks) put(d *draft, n int, r eventlog.Record, t *avrofile.Transform) ([]mark, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n < len(d.marks) {
		return d.marks, nil
	}
	if t == nil {
		d.buf = append(d.buf, r.Value...)
	} else if buf, err := t.Append(d.buf, r.Value); err != nil {
		return nil, err
	} else {
		d.buf = buf
	}
	var m mark
	if n > 0 {
		m = d.marks[n-1]
	}
	m.offset, m.end = r.Offset, len(d.buf)
	m.hash.Add(int64(r.Offset), r.Value)
	d.marks = append(d.marks, m)
	if room := int64(cap(d.buf)) + int64(cap(d.marks))*int64(unsafe.Sizeof(m)); room != d.room {
		c.budget.take(room - d.room)
		d.room = room
	}
	return d.marks, nil
}

// leave lets go of a draft.
func (c *blocks) leave(d *draft) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(d)
}

// drop is leave with mu held.
func (c *blocks) drop(d *draft) {
	if d.refs--; d.refs > 0 {
		return
	}
	if d.shared {
		delete(c.drafts, d.key)
	}
	c.budget.take(-d.room)
	if cap(d.buf) >= avrofile.MinBlock && cap(d.buf) <= 4*avrofile.MaxBlock && len(c.spare) < maxSpare {
		d.buf, d.marks, d.room = d.buf[:0], d.marks[:0], 0
		c.spare = append(c.spare, d)
	}
}

// get gives the block of k, which are the first records of d up to m, made now unless share is set and somebody holds
// it already. It lets go of d.
func (c *blocks) get(k blockKey, d *draft, m mark, share bool) *block {
	c.mu.Lock()
	if share {
		if b := c.shared[k]; b != nil && b.hash == m.hash {
			b.refs++
			c.drop(d)
			c.mu.Unlock()
			return b
		}
	}
	b := &block{blockKey: k, hash: m.hash, done: make(chan struct{}), raw: int64(m.end), refs: 1}
	if share && c.shared[k] == nil {
		c.shared[k] = b
	}
	c.mu.Unlock()
	d.mu.Lock()
	raw := d.buf[:m.end] // what others add stands behind
	d.mu.Unlock()
	c.jobs <- job{b, d, raw}
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
	c.budget.take(-int64(len(b.data)))
}
