// Package segment is the embedded log: segment files in one folder, one partition, offsets without holes.
//
// Concurrent calls of Append share one write and one sync. Readers see what is synced, take it from memory while
// it is new, and check every checksum when it comes from the disk. After a crash the tail is judged commit by
// commit: what nobody can have been told is durable may be torn and is cut; anything else that is bad is damage,
// where readers stop and nothing is deleted. An opening copies what is good but perhaps not yet durable into a
// new segment and syncs it before anybody sees it, and no file is ever written again after a sync of it failed.
//
// One process, the holder of the folder's lock, recovers, appends and trims (Open); others may look (OpenView).
// FORMAT.md §2 is the format, format.go draws it. Start reading at Log.
package segment

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// Log is the embedded eventlog.Log.
//
// Three locks, taken in this order: mu (what waits to be written), keys.mu (idempotency), shelf.mu (what can be
// read). The committer alone writes to segment files.
type Log struct {
	cfg   Config
	id    eventlog.ID
	lock  io.Closer
	shelf *shelf
	keys  *keys
	clock clock
	stock stock

	mu        sync.Mutex
	pending   []commit // put together, not yet taken by the committer
	spare     []commit // the slice taken last, to be used again
	waiting   int      // bytes of pending
	room      chan struct{}
	target    *segment        // where the next commit goes; its file may not exist yet
	pos       int64           // at this position
	next      eventlog.Offset // with this offset
	lastAt    int64
	chunk     *chunk // being filled; nil if none
	bytes     int64  // of all segments, planned ones included
	broken    *fault.Error
	closing   bool
	space     int64 // bytes free on the disk, as far as known
	spaceAt   time.Time
	spaceUsed int64 // bytes put in since

	wake   chan struct{} // the committer has something to do
	done   chan struct{} // the committer has ended
	sealCh chan struct{} // the sealer has something to do
	sealed chan struct{} // the sealer has ended
	quit   chan struct{} // closed by Close: no more waiting

	// The committer's own.
	active *segment
	file   vfs.File
	synced int64 // bytes of active that are durable
	delay  time.Duration
	rolled bool // a segment became complete

	trim     sync.Mutex // one Trim at a time
	indexing sync.Mutex // one index file is written, or trimmed files removed, at a time
	strays   []string   // trimmed files that could not be removed; guarded by trim
	waiters  sync.Pool

	closeOnce sync.Once
	closeErr  error
}

var _ eventlog.Log = (*Log)(nil)

// commit is one that waits: its bytes in a chunk, or only a wish for a new segment (chunk nil).
type commit struct {
	seg    *segment
	chunk  *chunk
	start  int // in the chunk
	size   int
	first  eventlog.Offset
	count  int
	at     int64
	clock  int64
	header eventlog.Header
	flags  byte
	key    eventlog.KeyHash // with flagAnswer
	answer eventlog.Answer
	rows   []row // with flagKeys
	waiter *waiter
}

type waiter struct{ done chan error }

// ID implements eventlog.Log.
func (l *Log) ID() eventlog.ID { return l.id }

// Bounds implements eventlog.Log.
func (l *Log) Bounds() (start, head eventlog.Offset) { return l.shelf.bounds() }

// Append implements eventlog.Log. The payload is copied once, into the memory it is written and then read from.
func (l *Log) Append(ctx context.Context, b *eventlog.Batch) (eventlog.Receipt, error) {
	const op = "append to log"
	n := b.Count()
	switch {
	case n == 0, b.Kind == 0:
		return eventlog.Receipt{}, fault.New(fault.Invalid, op, "a batch needs a kind and a record")
	case n > eventlog.MaxRecords:
		return eventlog.Receipt{}, fault.New(fault.TooLarge, op, "%d records are more than %d", n, eventlog.MaxRecords)
	case b.Size() > eventlog.MaxBatchBytes:
		return eventlog.Receipt{}, fault.New(fault.TooLarge, op, "%d bytes are more than %d", b.Size(), eventlog.MaxBatchBytes)
	}
	if err := ctx.Err(); err != nil {
		return eventlog.Receipt{}, fault.From(err, fault.Unavailable, op)
	}
	e := entry{Header: b.Header, count: n, payload: b.Size(), sum: checksum(b.Payload())}
	c := commit{header: b.Header, count: n}
	if b.Claim != nil {
		e.flags, c.flags = flagAnswer, flagAnswer
		c.key, c.answer = b.Claim.Key, b.Answer
		if !l.keys.join(c.key) {
			return eventlog.Receipt{}, fault.New(fault.Internal, op, "the claim was released before")
		}
	}
	w := l.waiter()
	c.waiter = w
	first, at, err := l.enqueue(ctx, &e, c, b.Payload())
	if err != nil {
		if b.Claim != nil {
			l.keys.letGo(c.key)
		}
		l.waiters.Put(w)
		return eventlog.Receipt{}, err
	}
	select {
	case err = <-w.done:
	case <-ctx.Done():
		// The waiter is not used again: the committer will still answer it.
		return eventlog.Receipt{}, fault.From(ctx.Err(), fault.Unavailable, op)
	}
	l.waiters.Put(w)
	if err != nil {
		return eventlog.Receipt{}, err
	}
	return eventlog.Receipt{First: first, At: time.UnixMilli(at).UTC()}, nil
}

func (l *Log) waiter() *waiter {
	if w, ok := l.waiters.Get().(*waiter); ok {
		return w
	}
	return &waiter{done: make(chan error, 1)}
}

// enqueue gives a commit its place and puts its bytes together. e and c are completed by it.
func (l *Log) enqueue(ctx context.Context, e *entry, c commit, payload []byte) (eventlog.Offset, int64, error) {
	size := int(e.size())
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if err := l.admit(int64(size), c.flags&flagKeys != 0); err != nil {
			return 0, 0, err
		}
		if l.waiting == 0 || l.waiting+size <= maxPending {
			break
		}
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		l.mu.Lock()
		if err := ctx.Err(); err != nil {
			return 0, 0, fault.From(err, fault.Unavailable, "append to log")
		}
	}
	if l.pos+int64(size) > l.cfg.SegmentBytes && l.pos > segmentHeader {
		l.newTarget()
	}
	if l.chunk != nil && len(l.chunk.mem)-l.chunk.fill < size {
		l.dropChunk()
	}
	if l.chunk == nil {
		l.chunk = l.stock.get(size)
		l.chunk.seg, l.chunk.base = l.target, l.pos
	}
	// The hour of acceptance must not go back either, so the wall clock counts only where it is ahead.
	l.lastAt = max(l.lastAt, time.Now().UnixMilli())
	e.first, e.at = l.next, l.lastAt
	c.seg, c.chunk, c.start, c.size = l.target, l.chunk, l.chunk.fill, size
	c.first, c.at, c.clock = e.first, e.at, l.clock.now()
	c.chunk.hold()
	p := c.chunk.mem[c.start : c.start+size]
	e.encode(p, c.key, c.answer)
	copy(p[e.headSize():], payload)
	l.chunk.fill += size
	l.pos += int64(size)
	l.next += eventlog.Offset(c.count)
	l.bytes += int64(size)
	l.spaceUsed += int64(size)
	l.waiting += size
	l.pending = append(l.pending, c)
	l.kick()
	return c.first, c.at, nil
}

// kick wakes the committer.
func (l *Log) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// newTarget plans a new segment. Callers hold mu.
func (l *Log) newTarget() {
	l.dropChunk()
	l.target = &segment{header: header{
		log: l.id, number: l.target.number + 1, base: l.next, baseAt: l.lastAt, baseClock: l.clock.now(),
		synced: segmentHeader, prevBase: l.target.base, salt: newSalt(),
	}}
	l.pos = segmentHeader
	l.bytes += segmentHeader
}

func (l *Log) dropChunk() {
	if l.chunk != nil {
		l.chunk.release()
		l.chunk = nil
	}
}

func newSalt() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails; see crypto/rand
	return binary.LittleEndian.Uint32(b[:])
}

// admit says why nothing can be appended now. moving: keys that move on so that space can be given back pass
// the quota. Callers hold mu.
func (l *Log) admit(size int64, moving bool) error {
	const op = "append to log"
	switch {
	case l.closing:
		return fault.New(fault.Unavailable, op, "the log is closing").WithRetry(retryFailed)
	case l.broken != nil:
		return l.broken
	case !moving && l.cfg.MaxBytes > 0 && l.bytes+size > l.cfg.MaxBytes:
		return fault.New(fault.Unavailable, op, "the log has %d bytes of its quota of %d", l.bytes, l.cfg.MaxBytes).
			WithHint("raise LOG_MAX_BYTES, or see which connectors lag").WithRetry(retryFull)
	}
	if moving || l.cfg.MinFree < 0 {
		return nil
	}
	// Asking is cheap but not free: once a second, or every 16 MiB, and often while it refuses.
	age := time.Since(l.spaceAt)
	if age >= time.Second || l.spaceUsed >= 16<<20 || age >= 100*time.Millisecond && l.space-l.spaceUsed-size < l.cfg.MinFree {
		free, err := l.cfg.FS.Free()
		if err != nil {
			return fault.Wrap(err, op)
		}
		// What waits in memory has not yet taken its space.
		l.space, l.spaceAt, l.spaceUsed = free-int64(l.waiting), time.Now(), 0
	}
	if l.space-l.spaceUsed-size < l.cfg.MinFree {
		return fault.New(fault.Unavailable, op, "%d bytes are free on the disk; %d are kept free", max(0, l.space-l.spaceUsed), l.cfg.MinFree).
			WithHint("free space on the disk or enlarge it").WithRetry(retryFull)
	}
	return nil
}

// Claim implements eventlog.Log.
func (l *Log) Claim(ctx context.Context, key eventlog.KeyHash) (*eventlog.Claim, *eventlog.Answer, error) {
	return l.keys.claim(ctx, key, l.reindex)
}

// Reader implements eventlog.Log.
func (l *Log) Reader(from eventlog.Offset, f eventlog.Filter) (eventlog.Reader, error) {
	return l.shelf.reader(from, f)
}

// OffsetAt implements eventlog.Log.
func (l *Log) OffsetAt(ctx context.Context, t time.Time) (eventlog.Offset, error) {
	return l.shelf.offsetAt(ctx, t)
}

// Usage implements eventlog.Log.
func (l *Log) Usage() eventlog.Usage {
	l.mu.Lock()
	u := eventlog.Usage{Bytes: l.bytes, MaxBytes: l.cfg.MaxBytes}
	l.mu.Unlock()
	u.Oldest, u.Release = l.shelf.oldest(), l.shelf.release()
	u.Window = time.Duration(l.keys.reach()) * time.Millisecond
	return u
}

// Health implements eventlog.Log. What keeps it from taking appends comes before damage, which does not.
func (l *Log) Health() error {
	l.mu.Lock()
	err := l.admit(0, false)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.shelf.damaged()
}

// Damage gives what is known to be damaged, in no order. It reads nothing; see Check.
func (l *Log) Damage() []*fault.Error {
	l.shelf.mu.Lock()
	defer l.shelf.mu.Unlock()
	var all []*fault.Error
	for _, e := range l.shelf.harmed {
		all = append(all, e)
	}
	return all
}

// Close implements eventlog.Log.
func (l *Log) Close() error {
	l.closeOnce.Do(func() {
		l.mu.Lock()
		l.closing = true
		if l.room != nil {
			close(l.room)
			l.room = nil
		}
		l.mu.Unlock()
		close(l.quit)
		<-l.done
		<-l.sealed
		l.shelf.close()
		l.mu.Lock()
		l.dropChunk()
		l.mu.Unlock()
		l.closeErr = l.lock.Close()
	})
	return l.closeErr
}
