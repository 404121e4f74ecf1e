package control

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/millrace/millrace/internal/fault"
)

// How often something may be tried: so many at once after a rest, and one more each time that so long has passed.
const (
	triesOfAddress, everyOfAddress = 30, 10 * time.Second // sign-ins from one network: an office that begins its day
	triesOfAccount, everyOfAccount = 10, time.Minute      // sign-ins into one account, from anywhere and from one network
	triesLate, everyLate           = 100, time.Second     // sign-ins from one network that are looked at though they are too many
	resetsAtOnce, everyReset       = 3, 20 * time.Minute  // letters with a link for one account
	invitesAtOnce, everyInvite     = 50, time.Minute      // invitations of one member
)

// limits is how often something may be tried, by key. Keys share places by a hash under a seed of the process: memory is
// bounded, and no flood of other keys lets one begin anew. Safe for concurrent use.
type limits struct {
	seed   maphash.Seed
	burst  int
	every  time.Duration
	mu     sync.Mutex
	places [1 << 13]*rate.Limiter // nil: rested
}

func newLimits(burst int, every time.Duration) *limits {
	return &limits{seed: maphash.MakeSeed(), burst: burst, every: every}
}

// try counts a try under key. Errors: rate_limited with the time to wait; then it does not count.
func (l *limits) try(key string, now time.Time) error {
	_, err := l.take(key, now)
	return err
}

// take is try that can be undone: giveBack, never nil, has it not count.
func (l *limits) take(key string, now time.Time) (giveBack func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	place := &l.places[maphash.String(l.seed, key)%uint64(len(l.places))]
	if *place == nil {
		*place = rate.NewLimiter(rate.Every(l.every), l.burst)
	}
	r := (*place).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			r.CancelAt(now)
		}, nil
	}
	r.CancelAt(now)
	return func() {}, (&fault.Error{Code: fault.RateLimited, Params: fault.Params{"wait": max(wait.Round(time.Second), time.Second)},
		Msg: fault.Message{Key: "control.too_many_tries", Text: "There were too many tries. Try again in {wait}."}}).WithRetry(wait)
}

// pairs remembers which member signed in from which network. It forgets some when there are many, and never takes a
// stranger for known. Safe for concurrent use.
type pairs struct {
	seed   maphash.Seed
	mu     sync.Mutex
	places [1 << 14]uint64 // hashes
}

func newPairs() *pairs { return &pairs{seed: maphash.MakeSeed()} }

func (p *pairs) add(m MemberID, network string) {
	h := maphash.String(p.seed, string(m)+" "+network)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places[h%uint64(len(p.places))] = h
}

func (p *pairs) has(m MemberID, network string) bool {
	h := maphash.String(p.seed, string(m)+" "+network)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.places[h%uint64(len(p.places))] == h
}

// networkOf gives the network that an address counts as: of IPv6 the /64 that one customer has at least. What is no
// address counts as itself.
// Source: RFC 6177, section 2.
func networkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64) // 64 fits every IPv6 address
		return p.String()
	}
	return a.String()
}
