package segment

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// Open takes the log in cfg.FS, makes it if there is none, and recovers it if it was not closed.
//
// It reads the headers of all segments, the filters of those whose keys still count, and the last segment if the
// log was not closed: well below a second for 10 GiB. Damage it meets does not keep it from opening; see Health.
// Durable: on return everything that can be read is; the log's identity is from its first opening on.
// Errors: unavailable (another process has the log, disk full), corrupt (the file LOG is damaged, or missing
// beside segments), conflict (a newer program wrote it; IsNewer). Nothing is deleted but what an earlier process
// had trimmed or not finished.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := cfg.FS.MkdirAll("."); err != nil {
		return nil, fault.Wrap(err, "open log")
	}
	lock, err := cfg.FS.Lock(lockName)
	if err != nil {
		return nil, fault.Wrap(err, "open log")
	}
	l, err := open(ctx, cfg)
	if err != nil {
		lock.Close() // the error that counts is there already
		return nil, fault.Wrap(err, "open log")
	}
	l.lock = lock
	go l.run()
	go l.sealAll()
	return l, nil
}

func open(ctx context.Context, cfg Config) (*Log, error) {
	fs := cfg.FS
	m, err := identity(fs)
	if err != nil {
		return nil, err
	}
	// What is seen from here on stays: a name that a process saw and built on must not vanish, nor what LOG says of it.
	if err := fs.SyncDir("."); err != nil {
		return nil, err
	}
	if err := clean(fs, m); err != nil {
		return nil, err
	}
	segs, err := loadSegments(fs, m)
	if err != nil {
		return nil, err
	}
	s := newShelf(fs, m.id)
	s.onDamage = cfg.Hooks.OnDamage
	tail, err := recoverLast(fs, m, segs, s)
	if err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg, id: m.id, shelf: s, clock: newClock(max(tail.lastClock, tail.lastAt)), delay: firstRetry,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		sealCh: make(chan struct{}, 1), sealed: make(chan struct{}), quit: make(chan struct{}),
	}
	s.segs, s.start = segs, m.start
	l.keys = newKeys(s, l.clock, cfg.Window.Milliseconds(), cfg.WindowBudget)
	for _, seg := range segs {
		if seg.bad != nil {
			s.note(seg.number, 0, fault.As(seg.bad))
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fault.From(err, fault.Unavailable, "recover")
	}

	seg := &segment{header: header{
		log: m.id, number: m.first, base: m.start, baseAt: tail.lastAt, baseClock: tail.lastClock, salt: newSalt(),
	}}
	if n := len(segs); n > 0 {
		seg.number, seg.base = segs[n-1].number+1, tail.base
		seg.prevEnd, seg.prevBase = segs[n-1].end, segs[n-1].base
	}
	content := l.restamp(tail, seg)
	seg.synced = int64(segmentHeader + len(content))
	if l.file, err = createSegment(fs, seg, content); err != nil {
		return nil, fault.Wrap(err, fmt.Sprintf("begin segment %d", seg.number))
	}
	seg.end, seg.endOffset, seg.lastAt, seg.lastClock = seg.synced, tail.head, tail.lastAt, tail.lastClock
	s.segs = append(segs[:len(segs):len(segs)], seg)
	s.head = tail.head
	l.active, l.synced = seg, seg.synced
	l.target, l.pos, l.next, l.lastAt = seg, seg.synced, tail.head, tail.lastAt

	if err := l.loadKeys(segs, tail); err != nil {
		l.file.Close() // the error that counts is there already
		return nil, err
	}
	if l.bytes, err = diskUse(fs); err != nil {
		l.file.Close() // the error that counts is there already
		return nil, err
	}
	return l, nil
}

// identity reads the file LOG, or makes it durable for a new log.
func identity(fs vfs.FS) (meta, error) {
	m, err := loadMeta(fs)
	if !fault.Is(err, fault.NotFound) {
		return m, err
	}
	entries, err := fs.List(".")
	if err != nil {
		return m, err
	}
	for _, e := range entries {
		if _, ok := parseName(e.Name, ".seg"); ok {
			return m, fault.New(fault.Corrupt, "read "+metaName, "the file is missing although there is %s", e.Name).
				WithHint("restore the file %s of this log from a copy, or name an empty folder; nothing was changed", metaName)
		}
	}
	m = meta{first: 1}
	rand.Read(m.id[:]) // never fails; see crypto/rand
	return m, m.save(fs)
}

// clean removes what was not finished, and what was trimmed.
func clean(fs vfs.FS, m meta) error {
	entries, err := fs.List(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		number, isSegment := parseName(e.Name, ".seg")
		index, isIndex := parseName(e.Name, ".idx")
		trimmed := isSegment && number < m.first || isIndex && index < m.first
		if trimmed || strings.HasSuffix(e.Name, newExt) || strings.HasSuffix(e.Name, vfs.TempSuffix) {
			if err := fs.Remove(e.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// tail is what an opening found behind the last durable mark.
type tail struct {
	base      eventlog.Offset // where the new segment begins
	head      eventlog.Offset // after what is copied into it
	lastAt    int64
	lastClock int64
	data      []byte  // the last segment, if it was read
	copy      []place // commits to copy: positions in data
}

// recoverLast finds the end of the last segment.
//
// If it has an index it is complete. Otherwise its commits are judged: below the highest position that any header
// calls durable everything must be good, and what is not is damage; above it the first bad commit ends the log.
// Good commits above the mark are read back by nobody until they are copied into the next segment and synced.
func recoverLast(fs vfs.FS, m meta, segs []*segment, s *shelf) (*tail, error) {
	if len(segs) == 0 {
		return &tail{base: m.start, head: m.start}, nil
	}
	last := segs[len(segs)-1]
	t := &tail{}
	if last.bad != nil {
		// How many records it held is not known. Offsets are never used twice, so skip as many as it can have held.
		size := int64(0)
		if info, err := fs.Stat(segmentName(last.number)); err == nil {
			size = info.Size
		} else if !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		last.end, last.endOffset = size, last.base+records(size)
		t.base, t.head, t.lastAt, t.lastClock = last.endOffset, last.endOffset, last.baseAt, last.baseClock
		if x, err := loadIndex(fs, m.id, last.number); err == nil {
			last.end, last.endOffset = x.end, x.endOffset
			t.base, t.head, t.lastAt, t.lastClock = x.endOffset, x.endOffset, x.lastAt, x.lastClock
		}
		last.lastAt, last.lastClock = t.lastAt, t.lastClock
		return t, nil
	}
	x, err := loadIndex(fs, m.id, last.number)
	switch {
	case err == nil:
		last.end, last.endOffset, last.lastAt, last.lastClock = x.end, x.endOffset, x.lastAt, x.lastClock
		t.base, t.head, t.lastAt, t.lastClock = x.endOffset, x.endOffset, x.lastAt, x.lastClock
		if info, err := fs.Stat(segmentName(last.number)); err != nil {
			return nil, err
		} else if info.Size < x.end {
			s.harm(last, info.Size, "the file is cut off")
		}
		return t, nil
	case IsNewer(err), !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Corrupt):
		return nil, err
	}

	if t.data, err = readSegment(fs, last.number); err != nil {
		return nil, err
	}
	v := judge(t.data, &last.header)
	last.end, last.endOffset, last.lastAt = v.synced, v.endOffset, v.lastAt
	for _, h := range v.holes {
		s.harm(last, h.pos, h.what)
	}
	t.base, t.head, t.lastAt = v.endOffset, v.head, v.headAt
	for _, pos := range v.tail {
		t.copy = append(t.copy, place{last.number, pos})
	}
	last.lastClock = last.clockOf(last.lastAt)
	t.lastClock = last.clockOf(t.lastAt)
	return t, nil
}

// verdict is what judge found in a segment that was not completed.
type verdict struct {
	synced    int64           // durable for sure: what is bad below is damage
	endOffset eventlog.Offset // at synced
	lastAt    int64           // at synced
	holes     []hole          // below synced
	tail      []int64         // positions of good commits from synced on
	end       int64           // after them: what follows is torn, and nobody can have been told that it is durable
	head      eventlog.Offset // at end
	headAt    int64           // at end
}

func judge(data []byte, h *header) verdict {
	// First what the headers call durable, over the whole file; then what stands above it.
	synced := min(walk(data, h, nil).synced, int64(len(data)))
	w := walk(data[:synced], h, nil)
	v := verdict{synced: synced, endOffset: w.offset, lastAt: w.lastAt, holes: w.holes}
	for _, h := range w.holes {
		if h.next < 0 {
			v.endOffset = max(v.endOffset, h.first+records(h.end-h.pos))
		}
	}
	v.end, v.head, v.headAt = synced, v.endOffset, v.lastAt
	var e entry
	for v.end < int64(len(data)) {
		stop := v.end
		if e.check(data[v.end:], h.number, h.salt) == "" && e.first == v.head {
			stop += e.size()
		}
		if stop == v.end || stop > int64(len(data)) || e.checkPayload(data[v.end+int64(e.headSize()):stop]) != "" {
			break
		}
		v.tail = append(v.tail, v.end)
		v.end, v.head, v.headAt = stop, e.end(), max(v.headAt, e.at)
	}
	return v
}

// restamp gives the commits to copy as they stand in the new segment.
func (l *Log) restamp(t *tail, seg *segment) []byte {
	var content []byte
	var e entry
	for _, at := range t.copy {
		e.decode(t.data[at.pos:])
		pos := int64(segmentHeader + len(content))
		begin := len(content)
		content = append(content, t.data[at.pos:at.pos+e.size()]...)
		stamp(content[begin:], seg.number, segmentHeader, seg.salt)
		if n := len(seg.marks); n == 0 || pos-seg.marks[n-1].pos >= markEvery {
			seg.marks = append(seg.marks, mark{offset: e.first, pos: pos, at: e.at})
		}
	}
	return content
}

// loadKeys takes filters from index files, makes missing ones again, and counts what the new segment holds.
func (l *Log) loadKeys(segs []*segment, t *tail) error {
	oldest := l.clock.now() - l.keys.window
	for i, seg := range segs {
		if seg.bad != nil || seg.lastClock < oldest {
			continue // what is asked of it later is found without
		}
		x, err := loadIndex(l.cfg.FS, l.id, seg.number)
		if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Corrupt) {
			var data []byte
			if i == len(segs)-1 {
				data = t.data
			}
			err = l.rebuild(seg, data)
			x = seg.index.Load()
		}
		if err != nil {
			return err
		}
		seg.index.Store(x)
	}
	l.keys.count(segs)
	seg := l.active
	var e entry
	for _, at := range t.copy {
		e.decode(t.data[at.pos:])
		body := t.data[at.pos : at.pos+e.size()]
		l.addKeys(&e, body, seg.clockOf(e.at), func(r row, carried bool) {
			if carried {
				l.keys.addCarried(seg, []row{r})
			} else {
				l.keys.add(seg, r)
			}
		})
	}
	return nil
}

// addKeys gives the idempotency keys that a commit carries. clock is the commit's.
func (l *Log) addKeys(e *entry, body []byte, clock int64, add func(r row, carried bool)) {
	switch {
	case e.flags&flagAnswer != 0:
		key, a := answer(body)
		add(row{key: key, answer: a, clock: clock}, false)
	case e.flags&flagKeys != 0:
		rows, err := decodeRows(body[e.headSize():], segmentName(e.number))
		if err != nil {
			return // cannot be: the payload's checksum was right
		}
		for _, r := range rows {
			add(r, true)
		}
	}
}

// diskUse is the size of all files of a log.
func diskUse(fs vfs.FS) (int64, error) {
	entries, err := fs.List(".")
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, e := range entries {
		info, err := fs.Stat(e.Name)
		if fault.Is(err, fault.NotFound) {
			continue // removed between listing and asking
		}
		if err != nil {
			return 0, err
		}
		sum += info.Size
	}
	return sum, nil
}
