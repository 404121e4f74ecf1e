package ingest

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/millrace/millrace/internal/control"
)

// PerKey gives a limit for Deps.Limit: each API key may make that many requests a second on average, and as many at
// once after a rest. 0 or less: nil, no limit.
//
// Memory: that of 4,096 keys. If more make requests within a moment, some are let through too often. Safe for concurrent
// use.
func PerKey(requests int) func(control.Grant) time.Duration {
	if requests <= 0 {
		return nil
	}
	l := newLimits[control.KeyID](float64(requests), requests, maxCachedKeys)
	return func(g control.Grant) time.Duration { return l.take(g.Key, time.Now()) }
}

// limits are buckets of tokens, one for each K that asked lately.
type limits[K comparable] struct {
	perSecond rate.Limit
	burst     int
	most      int // buckets
	mu        sync.Mutex
	buckets   map[K]*rate.Limiter
	swept     time.Time
}

func newLimits[K comparable](perSecond float64, burst, most int) *limits[K] {
	return &limits[K]{perSecond: rate.Limit(perSecond), burst: burst, most: most, buckets: map[K]*rate.Limiter{}}
}

// take counts a request of k, or says how long it has to wait; then the request does not count.
func (l *limits[K]) take(k K, now time.Time) time.Duration {
	r := l.of(k, now).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// wait says how long k would have to wait, and counts nothing.
func (l *limits[K]) wait(k K, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[k]
	if b == nil {
		return 0
	}
	return time.Duration(max(0, 1-b.TokensAt(now)) / float64(l.perSecond) * float64(time.Second))
}

func (l *limits[K]) of(k K, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[k]
	if b == nil {
		if len(l.buckets) >= l.most {
			l.makeRoom(now)
		}
		b = rate.NewLimiter(l.perSecond, l.burst)
		l.buckets[k] = b
	}
	return b
}

// makeRoom forgets the full buckets, which say nothing: a new one is full. If there is none it forgets any one. To look
// at all of them is work, so that a crowd must not have it done for each of its requests.
func (l *limits[K]) makeRoom(now time.Time) {
	if now.Sub(l.swept) >= time.Second {
		l.swept = now
		for k, b := range l.buckets {
			if b.TokensAt(now) >= float64(l.burst) {
				delete(l.buckets, k)
			}
		}
	}
	for k := range l.buckets {
		if len(l.buckets) < l.most {
			return
		}
		delete(l.buckets, k)
	}
}

// networkOf is what counts as one client: an address, of IPv6 the network of 64 bits that one customer of a provider has
// at least.
func networkOf(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
