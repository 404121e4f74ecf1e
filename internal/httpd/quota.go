package httpd

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// Quota is how many requests each party may make in a time, which begins with its first one. Several addresses may share
// one: then their requests are counted together. Safe for concurrent use.
type Quota struct {
	most int
	per  time.Duration
	mu   sync.Mutex
	used map[uint32]spent
}

type spent struct {
	until time.Time
	n     int
}

// NewQuota gives a quota of which nothing is used.
func NewQuota(most int, per time.Duration) *Quota {
	return &Quota{most: most, per: per, used: map[uint32]spent{}}
}

// Take counts a request of a party, and says in the answer's header how many are left until when. Errors: rate_limited if
// it is one too many.
func (q *Quota) Take(w http.ResponseWriter, party uint32) error {
	left, until := q.take(party, time.Now())
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(q.most))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, left)))
	h.Set("X-RateLimit-Reset", strconv.FormatInt((until.UnixMilli()+999)/1000, 10))
	if left < 0 {
		return fault.New(fault.RateLimited, "", "The workspace may make %d of these requests in %s.", q.most, q.per).WithRetry(time.Until(until))
	}
	return nil
}

// take counts a request, and reports how many are left until when; -1: it is one too many.
func (q *Quota) take(party uint32, now time.Time) (left int, until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.used[party]
	if !now.Before(s.until) {
		s = spent{until: now.Add(q.per)}
	}
	s.n = min(s.n+1, q.most+1)
	q.used[party] = s
	return q.most - s.n, s.until
}
