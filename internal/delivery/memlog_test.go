package delivery_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// memLog is a log in memory: what it acknowledges, it keeps.
type memLog struct {
	id eventlog.ID

	mu      sync.Mutex
	commits []eventlog.Commit
	start   eventlog.Offset
	head    eventlog.Offset
	changed chan struct{}
	bytes   int64
	max     int64
	behind  time.Duration // of the clock that commits are stamped by
}

func newMemLog(id byte) *memLog { return &memLog{id: eventlog.ID{id}, changed: make(chan struct{})} }

// copy is what a snapshot of the disk holds.
func (l *memLog) copy() *memLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &memLog{id: l.id, commits: slices.Clone(l.commits), start: l.start, head: l.head, changed: make(chan struct{}), bytes: l.bytes, max: l.max, behind: l.behind}
}

func (l *memLog) ID() eventlog.ID { return l.id }

func (l *memLog) Bounds() (eventlog.Offset, eventlog.Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start, l.head
}

func (l *memLog) Append(_ context.Context, b *eventlog.Batch) (eventlog.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := eventlog.Commit{Header: b.Header, At: time.Now().Add(-l.behind).UnixMilli(), First: l.head, Count: b.Count(), Payload: bytes.Clone(b.Payload())}
	if n := len(l.commits); n > 0 {
		c.At = max(c.At, l.commits[n-1].At)
	}
	l.commits = append(l.commits, c)
	l.head += eventlog.Offset(c.Count)
	l.bytes += int64(len(c.Payload))
	close(l.changed)
	l.changed = make(chan struct{})
	return eventlog.Receipt{First: c.First, At: c.Time()}, nil
}

// control appends a control record.
func (l *memLog) control(t testing.TB, r control.Record) eventlog.Offset {
	t.Helper()
	h := eventlog.Header{Kind: eventlog.Control}
	if r.Config != nil {
		h.Workspace = r.Config.Workspace
	}
	var b eventlog.Batch
	b.Reset(h)
	b.Add(0, control.EncodeRecord(r))
	at, err := l.Append(context.Background(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return at.First
}

func (l *memLog) Claim(context.Context, eventlog.KeyHash) (*eventlog.Claim, *eventlog.Answer, error) {
	panic("not used by delivery")
}

func (l *memLog) Reader(from eventlog.Offset, f eventlog.Filter) (eventlog.Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from < l.start || from > l.head {
		return nil, fault.New(fault.Stale, "read log", "offset %d is not in the log", from)
	}
	return &memReader{l: l, at: from, f: f}, nil
}

func (l *memLog) Trim(_ context.Context, floor eventlog.Offset, minAge time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.commits) > 0 && l.commits[0].End() <= floor && time.Since(l.commits[0].Time()) >= minAge {
		l.start = l.commits[0].End()
		l.bytes -= int64(len(l.commits[0].Payload))
		l.commits = l.commits[1:]
	}
	return nil
}

func (l *memLog) OffsetAt(_ context.Context, t time.Time) (eventlog.Offset, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.commits {
		if !c.Time().Before(t) {
			return c.First, nil
		}
	}
	return l.head, nil
}

func (l *memLog) Usage() eventlog.Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := eventlog.Usage{Bytes: l.bytes, MaxBytes: l.max}
	if len(l.commits) > 0 {
		u.Oldest = l.commits[0].Time()
	}
	return u
}

func (l *memLog) Health() error { return nil }
func (l *memLog) Close() error  { return nil }

type memReader struct {
	l  *memLog
	at eventlog.Offset
	f  eventlog.Filter
}

func (r *memReader) Next() (*eventlog.Commit, error) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.at < r.l.start {
		return nil, fault.New(fault.Stale, "read log", "offset %d was trimmed away", r.at)
	}
	from, _ := slices.BinarySearchFunc(r.l.commits, r.at, func(c eventlog.Commit, o eventlog.Offset) int { return int(c.End() - o - 1) })
	for _, c := range r.l.commits[from:] {
		if c.End() <= r.at {
			continue
		}
		skip := max(0, int(r.at-c.First))
		r.at = c.End()
		if r.f.Matches(c.Header) {
			c.Skip = skip
			return &c, nil
		}
	}
	return nil, nil
}

func (r *memReader) Ready() <-chan struct{} {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.at < r.l.head {
		c := make(chan struct{})
		close(c)
		return c
	}
	return r.l.changed
}

func (r *memReader) Position() eventlog.Offset { return r.at }
func (r *memReader) Close() error              { return nil }
