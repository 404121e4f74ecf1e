package delivery

import (
	"sync"
	"sync/atomic"
)

// budget counts the bytes that lanes hold and asks the one that holds most to cut a file when they are too many.
type budget struct {
	limit int64
	used  atomic.Int64

	mu    sync.Mutex
	lanes map[*lane]struct{}
}

func newBudget(limit int64) *budget {
	return &budget{limit: limit, lanes: map[*lane]struct{}{}}
}

func (b *budget) join(l *lane) {
	b.mu.Lock()
	b.lanes[l] = struct{}{}
	b.mu.Unlock()
}

func (b *budget) leave(l *lane) {
	b.mu.Lock()
	delete(b.lanes, l)
	b.mu.Unlock()
}

// take counts n more bytes (fewer when negative).
func (b *budget) take(n int64) {
	if b.used.Add(n); n > 0 && b.over() {
		b.squeeze()
	}
}

// share is what a lane may hold while nobody may gather more: a lane with a slow bucket must not keep the others from
// reading. Together these are a quarter of the limit.
func (b *budget) share() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	holders := int64(1)
	for l := range b.lanes {
		if l.held.Load() > 0 {
			holders++
		}
	}
	return b.limit / 4 / holders
}

// over reports whether more is held than the limit.
func (b *budget) over() bool { return b.used.Load() > b.limit }

// full reports whether nobody may gather more for now.
func (b *budget) full() bool { return b.used.Load() > b.limit+b.limit/4 }

// squeeze asks the lane that holds most to cut its largest file.
func (b *budget) squeeze() {
	b.mu.Lock()
	defer b.mu.Unlock()
	var most *lane
	for l := range b.lanes {
		if most == nil || l.held.Load() > most.held.Load() {
			most = l
		}
	}
	if most != nil {
		select {
		case most.squeeze <- struct{}{}:
		default: // asked already
		}
	}
}
