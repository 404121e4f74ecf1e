package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/event/sample"
	"github.com/millrace/millrace/internal/fault"
)

// load is a producer: it makes realistic events and posts them over HTTP as NDJSON, as a customer's backend would.
// A request that is not answered is repeated under its Idempotency-Key, so each event counts once.
type load struct {
	url       string // of POST /v1/events
	key       string
	keys      []string // of several workspaces, which take turns; instead of key
	catalogue *event.Catalogue
	maker     func(connection int) appender // of events; nil: sample makes them of catalogue and seed
	shape     *shape                        // nil: as sample makes them
	silent    bool                          // the receiver is not Millrace: an empty answer takes every event
	seed      uint64
	conns     int     // requests at once
	per       int     // events in a request
	events    int64   // how many; 0: until ctx ends
	rate      float64 // events a second over all connections; 0: as fast as answers come

	// onAnswered is told each answered request's body, after its 2xx. May be nil; called by several goroutines.
	onAnswered func(body []byte)
	// onProgress is told how many events are acknowledged. May be nil.
	onProgress func(acked int64)
}

// played is what came of a load.
type played struct {
	Acked    int64
	Rejected int64
	Repeated int64 // requests sent again
	Took     time.Duration
	answers  []time.Duration // sorted
}

// Quantile gives the answer time that the share q of answers stayed below.
func (p played) Quantile(q float64) time.Duration {
	if len(p.answers) == 0 {
		return 0
	}
	return p.answers[min(len(p.answers)-1, int(q*float64(len(p.answers))))]
}

// Rate is the acknowledged events a second.
func (p played) Rate() float64 {
	if p.Took <= 0 {
		return 0
	}
	return float64(p.Acked) / p.Took.Seconds()
}

// run plays the load until its events are sent or ctx ends; the requests under way then are still finished.
//
// Errors: unauthorized: the key is not taken, or not any more; unavailable; internal. What was played until then is given.
func (l load) run(ctx context.Context) (played, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: l.conns, MaxConnsPerHost: l.conns}
	defer transport.CloseIdleConnections()
	client := &http.Client{Timeout: time.Minute, Transport: transport}
	var (
		next, acked, rejected, repeated atomic.Int64
		answers                         = make([][]time.Duration, l.conns)
		errs                            = make([]error, l.conns)
		wg                              sync.WaitGroup
		start                           = time.Now()
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for c := range l.conns {
		wg.Go(func() {
			source := l.source(c)
			var body []byte
			for ctx.Err() == nil {
				from := next.Add(int64(l.per)) - int64(l.per)
				n := l.per
				if l.events > 0 {
					if from >= l.events {
						return
					}
					n = int(min(int64(n), l.events-from))
				}
				body = source(body[:0], n)
				key := l.key
				if len(l.keys) > 0 {
					key = l.keys[int(from/int64(l.per))%len(l.keys)]
				}
				if l.rate > 0 && !sleep(ctx, time.Until(start.Add(time.Duration(float64(from)/l.rate*float64(time.Second))))) {
					return
				}
				idempotency := uuid.NewString()
				for try := 0; ; try++ {
					began := time.Now()
					a, retry, err := l.post(client, key, idempotency, body, n)
					if err == nil {
						answers[c] = append(answers[c], time.Since(began))
						total := acked.Add(a.Accepted)
						rejected.Add(a.Rejected)
						if l.onAnswered != nil {
							l.onAnswered(body)
						}
						if l.onProgress != nil {
							l.onProgress(total)
						}
						break
					}
					if !retry {
						errs[c] = err
						cancel()
						return
					}
					repeated.Add(1)
					// Not on ctx: a request whose answer is unknown must be known before the load ends.
					time.Sleep(min(time.Second, 20*time.Millisecond<<min(try, 6)))
					if try > 60 {
						errs[c] = err
						cancel()
						return
					}
				}
			}
		})
	}
	wg.Wait()
	p := played{Acked: acked.Load(), Rejected: rejected.Load(), Repeated: repeated.Load(), Took: time.Since(start), answers: slices.Concat(answers...)}
	slices.Sort(p.answers)
	for _, err := range errs {
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// appender makes events.
type appender interface {
	// Append appends one event, a JSON object without newline.
	Append(dst []byte) []byte
}

// source gives what appends a request's n events to body, for one connection.
func (l load) source(connection int) func(body []byte, n int) []byte {
	var maker appender
	if l.maker != nil {
		maker = l.maker(connection)
	} else {
		made := sample.New(l.catalogue, l.seed+uint64(connection), nil)
		if l.shape != nil {
			return l.shape.source(made)
		}
		maker = made
	}
	return func(body []byte, n int) []byte {
		for range n {
			body = append(maker.Append(body), '\n')
		}
		return body
	}
}

type postAnswer struct {
	Accepted int64 `json:"accepted"`
	Rejected int64 `json:"rejected"`
}

// post sends one request of n events. Retry says that the same request can succeed later.
func (l load) post(client *http.Client, key, idempotency string, body []byte, n int) (a postAnswer, retry bool, err error) {
	req, err := http.NewRequest(http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return a, false, fault.From(err, fault.Invalid, "post events")
	}
	req.Header.Set("Content-Type", l.shape.contentType())
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Idempotency-Key", idempotency)
	res, err := client.Do(req)
	if err != nil {
		return a, true, fault.From(err, fault.Unavailable, "post events")
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return a, true, fault.From(err, fault.Unavailable, "post events")
	}
	if res.StatusCode/100 != 2 {
		retry := res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests
		code := fault.Unavailable
		if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
			code = fault.Unauthorized
		}
		return a, retry, fault.New(code, "post events", "status %d: %.300s", res.StatusCode, b)
	}
	if l.silent {
		return postAnswer{Accepted: int64(n)}, false, nil
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, false, fault.New(fault.Internal, "post events", "the answer is not as documented: %.300s", b)
	}
	return a, false, nil
}

// idsOf gives the ids of the events in an NDJSON body that sample made.
func idsOf(body []byte) []string {
	var ids []string
	for line := range bytes.Lines(body) {
		_, rest, ok := bytes.Cut(line, []byte(`"id":"`))
		id, _, ok2 := bytes.Cut(rest, []byte(`"`))
		if ok && ok2 {
			ids = append(ids, string(id))
		}
	}
	return ids
}

// sleep waits, and reports whether it was not interrupted.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// thousands shows a number as people read it: 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
