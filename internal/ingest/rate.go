package ingest

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/millrace/millrace/internal/control"
)

// PerKey gives a limit for Deps.Limit: each API key may make that many requests a second on average, and as many at
// once after a rest. 0 or less: nil, no limit.
//
// Memory: that of the keys which made requests in the last moments. Safe for concurrent use.
func PerKey(requests int) func(control.Grant) time.Duration {
	if requests <= 0 {
		return nil
	}
	l := &keyLimits{requests: requests, byKey: map[control.KeyID]*rate.Limiter{}}
	return l.wait
}

type keyLimits struct {
	requests int
	mu       sync.Mutex
	byKey    map[control.KeyID]*rate.Limiter
}

// wait counts a request of g's key, or says how long it has to wait; then the request does not count.
func (l *keyLimits) wait(g control.Grant) time.Duration {
	now := time.Now()
	r := l.of(g.Key, now).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

func (l *keyLimits) of(key control.KeyID, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.byKey[key]
	if k == nil {
		if len(l.byKey) >= maxCachedKeys {
			// A full bucket says nothing: it is what a new one begins with.
			for other, k := range l.byKey {
				if k.TokensAt(now) >= float64(l.requests) {
					delete(l.byKey, other)
				}
			}
		}
		k = rate.NewLimiter(rate.Limit(l.requests), l.requests)
		l.byKey[key] = k
	}
	return k
}
