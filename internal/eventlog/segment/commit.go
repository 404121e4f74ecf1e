package segment

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// run is the committer: it takes what waits, makes it durable, and lets readers and callers know, in this order.
func (l *Log) run() {
	defer close(l.done)
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		closing := false
		select {
		case <-l.wake:
		case <-retry.C:
			l.recover()
		case <-l.quit:
			closing = true
		}
		batch := l.take()
		if err := l.commit(batch); err != nil {
			l.fail(err)
		}
		if l.isBroken() {
			retry.Reset(l.delay)
		}
		if l.rolled { // not before the commits that filled the segment are answered
			l.rolled = false
			select {
			case l.sealCh <- struct{}{}:
			default:
			}
		}
		if closing {
			break
		}
	}
	l.file.Close() // everything that counts was synced
	// A segment whose end is known needs no recovery. Without an index the next opening finds the end itself.
	l.sealOne(l.active)
}

// take gives all that waits.
func (l *Log) take() []commit {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.pending
	l.pending, l.spare = l.spare[:0], batch
	l.waiting = 0
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
	return batch
}

// commit makes a batch durable. What could not be is answered with the error by fail.
func (l *Log) commit(batch []commit) error {
	for len(batch) > 0 {
		n := 1
		for n < len(batch) && batch[n].seg == batch[0].seg {
			n++
		}
		err := l.commitRun(batch[:n])
		if err != nil {
			e := l.breakOff(err)
			for i := range batch {
				l.answer(&batch[i], e)
			}
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// commitRun makes commits of one segment durable.
func (l *Log) commitRun(run []commit) error {
	if run[0].seg != l.active {
		if err := l.roll(run[0].seg, nil); err != nil {
			return err
		}
	}
	begin := time.Now()
	bytes := 0
	for i := 0; i < len(run); {
		c := run[i].chunk
		if c == nil {
			i++
			continue
		}
		from, to := run[i].start, run[i].start
		for ; i < len(run) && run[i].chunk == c; i++ {
			stamp(c.mem[run[i].start:], l.active.number, l.synced, l.active.salt)
			to = run[i].start + run[i].size
		}
		if _, err := l.file.Write(c.mem[from:to]); err != nil {
			return fault.Wrap(err, fmt.Sprintf("append to segment %d", l.active.number))
		}
		bytes += to - from
	}
	if bytes > 0 {
		if err := l.file.Sync(); err != nil {
			return fault.Wrap(err, fmt.Sprintf("sync segment %d", l.active.number))
		}
		l.synced += int64(bytes)
		l.delay = firstRetry
		if f := l.cfg.Hooks.OnSync; f != nil {
			f(time.Since(begin), bytes, len(run))
		}
	}
	l.publish(run)
	for i := range run {
		l.answer(&run[i], nil)
	}
	return nil
}

// publish lets everybody see what became durable.
func (l *Log) publish(run []commit) {
	for i := range run {
		switch c := &run[i]; {
		case c.flags&flagAnswer != 0:
			l.keys.add(l.active, row{key: c.key, answer: c.answer, clock: c.clock})
		case c.flags&flagKeys != 0:
			l.keys.addCarried(l.active, c.rows)
		}
	}
	s, seg := l.shelf, l.active
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range run {
		c := &run[i]
		if c.chunk == nil {
			continue
		}
		pos := c.chunk.base + int64(c.start)
		if n := len(seg.marks); n == 0 || pos-seg.marks[n-1].pos >= markEvery {
			seg.marks = append(seg.marks, mark{offset: c.first, pos: pos, at: c.at})
		}
		if c.chunk.used == 0 {
			s.keep(c.chunk, l.cfg.CacheBytes)
		}
		c.chunk.used = c.start + c.size
		seg.lastAt, seg.lastClock = c.at, c.clock
		seg.end, seg.endOffset = pos+int64(c.size), c.first+eventlog.Offset(c.count)
		s.head = seg.endOffset
		if c.count > 0 {
			s.announce(c.header, seg, pos, c.first)
		}
	}
}

// answer ends a commit's wait. The key, if any, is free after it.
func (l *Log) answer(c *commit, err error) {
	if c.flags&flagAnswer != 0 {
		l.keys.letGo(c.key)
	}
	if c.chunk != nil {
		c.chunk.release()
	}
	if c.waiter != nil {
		c.waiter.done <- err
	}
	*c = commit{}
}

// keep puts a chunk into the memory of newest commits. Callers hold mu.
func (s *shelf) keep(c *chunk, limit int64) {
	if int64(len(c.mem)) > limit {
		return
	}
	c.hold()
	s.recent = append(s.recent, c)
	s.recentN += len(c.mem)
	for int64(s.recentN) > limit {
		s.recentN -= len(s.recent[0].mem)
		s.recent[0].release()
		copy(s.recent, s.recent[1:])
		s.recent[len(s.recent)-1] = nil
		s.recent = s.recent[:len(s.recent)-1]
	}
}

// announce wakes the readers that a commit matches. Callers hold mu.
func (s *shelf) announce(h eventlog.Header, seg *segment, pos int64, first eventlog.Offset) {
	if len(s.interest) == 0 {
		return
	}
	for _, f := range [...]eventlog.Filter{
		{}, {Kind: h.Kind}, {Workspace: h.Workspace}, {Workspace: h.Workspace, Kind: h.Kind},
	} {
		in := s.interest[f]
		if in == nil {
			continue
		}
		for i, r := range in.idle {
			r.arrive(seg, pos, first)
			in.idle[i] = nil
		}
		in.idle = in.idle[:0]
	}
}

// breakOff makes the log refuse appends until it goes on in a new segment, and gives the error for those that
// wait.
func (l *Log) breakOff(err error) *fault.Error {
	e := fault.New(fault.Unavailable, "append to log", "the log could not be written").WithRetry(retryFailed).WithCause(err)
	if h := fault.HintOf(err); h != "" {
		e = e.WithHint("%s", h)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = e
	return e
}

// fail answers all that waits and plans a new segment from the last durable offset. The file whose write or sync
// failed is never written again: nobody knows what of it is on the disk, and a second sync would not tell.
func (l *Log) fail(err error) {
	if l.cfg.Hooks.OnFail != nil {
		l.cfg.Hooks.OnFail(err)
	}
	rest := l.take()
	l.mu.Lock()
	e := l.broken
	_, l.next = l.shelf.bounds()
	l.target = l.active
	l.newTarget()
	if n, err := diskUse(l.cfg.FS); err == nil { // else the estimate stands until the next opening
		l.bytes = n + segmentHeader
	}
	l.mu.Unlock()
	for i := range rest {
		l.answer(&rest[i], e)
	}
}

func (l *Log) isBroken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken != nil
}

// recover tries to go on after a failure.
func (l *Log) recover() {
	if !l.isBroken() {
		return
	}
	l.mu.Lock()
	seg := l.target
	l.mu.Unlock()
	l.delay = min(2*l.delay, lastRetry)
	if err := l.roll(seg, nil); err != nil {
		l.breakOff(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = nil
}

// roll makes seg the active segment. The one before is complete from then on: its end stands in seg's header.
func (l *Log) roll(seg *segment, content []byte) error {
	seg.prevEnd = l.synced
	f, err := createSegment(l.cfg.FS, seg, content)
	if err != nil {
		return fault.Wrap(err, fmt.Sprintf("begin segment %d", seg.number))
	}
	l.file.Close() // everything that counts was synced
	l.file, l.active, l.synced = f, seg, seg.synced
	s := l.shelf
	s.mu.Lock()
	seg.end, seg.endOffset, seg.lastAt, seg.lastClock = seg.synced, seg.base, seg.baseAt, seg.baseClock
	s.segs = append(s.segs[:len(s.segs):len(s.segs)], seg)
	s.mu.Unlock()
	l.keys.expire()
	l.rolled = true
	return nil
}

// createSegment makes a segment file of a header and, after a recovery, content that is copied. It has its name
// only once its bytes are durable, so a header that cannot be read is damage and never an unfinished one.
//
// Durable when err is nil, name included. A second call after an error is safe: nothing was appended yet.
func createSegment(fs vfs.FS, seg *segment, content []byte) (vfs.File, error) {
	name := segmentName(seg.number)
	if err := fs.Remove(name + newExt); err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	f, err := fs.Create(name + newExt)
	if err != nil {
		return nil, err
	}
	b := seg.encode()
	if len(content) > 0 {
		b = append(b, content...)
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.Rename(name+newExt, name)
	}
	if err == nil {
		err = fs.SyncDir(".")
	}
	if err != nil {
		f.Close() // its failure adds nothing
		return nil, err
	}
	return f, nil
}
