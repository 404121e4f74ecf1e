package web

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxAskers is how many askers a limit tells apart.
const maxAskers = 10_000

// limit bounds how often each asker may ask: so many times a second on average, and burst times at once after a rest.
// The nil limit bounds nothing. Memory: that of the askers of the last moments, at most maxAskers; if there are more,
// those beyond share one allowance. Safe for concurrent use.
type limit struct {
	every rate.Limit
	burst int
	mu    sync.Mutex
	by    map[string]*rate.Limiter
	rest  *rate.Limiter
}

// newLimit gives nil, which bounds nothing, for 0.
func newLimit(perSecond float64, burst int) *limit {
	if perSecond <= 0 {
		return nil
	}
	every := rate.Limit(perSecond)
	return &limit{every: every, burst: burst, by: map[string]*rate.Limiter{}, rest: rate.NewLimiter(every, burst)}
}

// wait counts one request of asker, or says how long it has to wait; then it does not count.
func (l *limit) wait(asker string) time.Duration {
	if l == nil {
		return 0
	}
	now := time.Now()
	r := l.of(asker, now).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

func (l *limit) of(asker string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one := l.by[asker]; one != nil {
		return one
	}
	if len(l.by) >= maxAskers {
		for other, one := range l.by {
			if one.TokensAt(now) >= float64(l.burst) { // it has rested: a new one begins the same
				delete(l.by, other)
			}
		}
		if len(l.by) >= maxAskers {
			return l.rest
		}
	}
	one := rate.NewLimiter(l.every, l.burst)
	l.by[asker] = one
	return one
}

// neighbours names an address by what one customer of a network is given: of IPv6 a /64.
func neighbours(a netip.Addr) string {
	if a.Is6() && !a.Is4In6() {
		p, _ := a.WithZone("").Prefix(64) // 64 bits fit
		return p.String()
	}
	return a.Unmap().String()
}
