package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// caps keeps the test connectors of each workspace below their cap together: what the ledger has of the window and what
// is on its way there. Within one process they do not pass it; what passes it is at most a file of each lane that had
// begun when a process died, and what a file that was found in the bucket holds beyond ours.
type caps struct {
	limit  int64
	window time.Duration
	store  Store

	mu      sync.Mutex
	pending map[*lane]pending
}

// pending is what a lane has in flight, or in files that no save has covered yet.
type pending struct {
	workspace uint32
	events    int64
}

func newCaps(cfg Config, s Store) *caps {
	return &caps{limit: cfg.TestCap, window: cfg.TestCapWindow, store: s, pending: map[*lane]pending{}}
}

// take makes room for n events of l if there is so much, and tells how much there is. spent: the ledger alone has
// reached the cap.
func (c *caps) take(ctx context.Context, l *lane, n int64) (room int64, spent bool, err error) {
	c.mu.Lock()
	room = c.limit
	for _, p := range c.pending {
		if p.workspace == l.row.Workspace {
			room -= p.events
		}
	}
	had := c.pending[l].events
	c.pending[l] = pending{l.row.Workspace, had + n} // who asks meanwhile leaves room for it
	c.mu.Unlock()
	// Asked after looking at what is pending, so that a save in between counts twice rather than not at all, and without
	// mu: whoever's answer is late holds up nobody else.
	used, err := c.store.CapUsed(ctx, l.row.Workspace, l.now.Add(-c.window))
	if room -= used; err != nil || n > room {
		c.set(l, had)
	}
	return room, err == nil && used >= c.limit, err
}

// set says what of l is pending.
func (c *caps) set(l *lane, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.pending[l] = pending{l.row.Workspace, n}
	} else {
		delete(c.pending, l)
	}
}

// reserve tells what of the lane counts against a cap besides the ledger.
func (l *lane) reserve() {
	n := int64(0)
	if l.row.Test {
		for _, s := range l.streams {
			if s.Target == 0 && len(s.files) > 0 && (s.inFlight || s.plan != nil) {
				n += int64(s.files[0].events)
			}
		}
		for i := range l.files {
			if l.files[i].Stream.Target == 0 {
				n += int64(l.files[i].Events)
			}
		}
	}
	l.m.caps.set(l, n)
}

// underCap takes room for a file of a test connector. If there is none the lane is ordered to drop what it has; if there
// is too little the stream is gathered again in a file that fits, or tried again soon.
func (l *lane) underCap(ctx context.Context, s *stream, f *file) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, saveTooOld)
	defer cancel()
	room, spent, err := l.m.caps.take(ctx, l, int64(f.events))
	switch {
	case err != nil:
		l.log.Error("cannot tell how much the test connectors have delivered; trying again", "error", fault.Wrap(err, "count events of test connectors"))
		l.later(s)
		return false, nil
	case int64(f.events) <= room:
		return true, nil
	case room > 0:
		s.most = int(room)
		return false, l.reform(s)
	case !spent:
		s.retryAt = l.now.Add(capRetry) // a save is under way, or another lane's file may yet fail
		return false, nil
	}
	floor := l.reader.Position()
	for _, t := range l.streams {
		if first, ok := t.floor(); ok && t.Target != 0 {
			floor = min(floor, first) // test events are under no cap
		}
	}
	if floor <= s.files[0].first {
		s.retryAt = l.now.Add(capRetry)
		return false, nil
	}
	l.order = &order{floor, control.DropCap}
	return false, nil
}
