package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

func repeats(run runner) {
	run("a request that comes again is given the answer, and a failed one begins anew", func(t *testing.T, e *env) {
		ctx := t.Context()
		r := control.Repeat{Key: tokenHash("k"), Body: tokenHash("body"), At: e.now}
		_, begun, err := e.BeginRepeat(ctx, r)
		ok(t, err)
		equal(t, "begun", begun, true)
		again := r
		again.At, again.Body = e.now.Add(time.Second), tokenHash("another body")
		had, begun, err := e.BeginRepeat(ctx, again)
		ok(t, err)
		equal(t, "begun", begun, false)
		equal(t, "under way", had, r)

		ok(t, e.DropRepeat(ctx, again)) // it reserved nothing
		_, begun, err = e.BeginRepeat(ctx, again)
		ok(t, err)
		equal(t, "begun", begun, false)
		ok(t, e.DropRepeat(ctx, r))
		_, begun, err = e.BeginRepeat(ctx, again)
		ok(t, err)
		equal(t, "begun after a failure", begun, true)

		again.Status, again.Headers, again.Answer = 201, `{"Location":"/x"}`, secret.New(`{"secret":"mr_1"}`)
		ok(t, e.EndRepeat(ctx, again))
		ok(t, e.DropRepeat(ctx, again)) // what has ended stays
		had, begun, err = e.BeginRepeat(ctx, r)
		ok(t, err)
		equal(t, "begun", begun, false)
		equal(t, "answer", had.Answer.Reveal(), `{"secret":"mr_1"}`)
		equal(t, "ended", had, again)
		want(t, e.EndRepeat(ctx, again), fault.Stale)

		late := r
		late.At = again.At.Add(24 * time.Hour)
		_, begun, err = e.BeginRepeat(ctx, late)
		ok(t, err)
		equal(t, "begun after 24 h", begun, false)
		late.At = late.At.Add(time.Millisecond)
		_, begun, err = e.BeginRepeat(ctx, late)
		ok(t, err)
		equal(t, "begun after more than 24 h", begun, true)
		had, _, err = e.BeginRepeat(ctx, late)
		ok(t, err)
		equal(t, "under way again", had, late)
		equal(t, "nothing of the former answer is left", had.Answer.Reveal(), "")
	})
	run("a request that lost its process is taken over, and cannot end any more", func(t *testing.T, e *env) {
		ctx := t.Context()
		r := control.Repeat{Key: tokenHash("k"), At: e.now}
		_, _, err := e.BeginRepeat(ctx, r)
		ok(t, err)
		next := r
		next.At = e.now.Add(2 * time.Minute)
		_, begun, err := e.BeginRepeat(ctx, next)
		ok(t, err)
		equal(t, "begun after 2 minutes", begun, false)
		next.At = next.At.Add(time.Millisecond)
		_, begun, err = e.BeginRepeat(ctx, next)
		ok(t, err)
		equal(t, "begun after more than 2 minutes", begun, true)
		r.Status = 201
		want(t, e.EndRepeat(ctx, r), fault.Stale)
		ok(t, e.DropRepeat(ctx, r))
		next.Status = 202
		ok(t, e.EndRepeat(ctx, next))
	})
	run("of many that ask at once one begins", func(t *testing.T, e *env) {
		var begun atomic.Int32
		var wg sync.WaitGroup
		for range 4 {
			s := e.open()
			wg.Go(func() {
				_, one, err := s.BeginRepeat(t.Context(), control.Repeat{Key: tokenHash("k"), At: e.now})
				if err != nil {
					t.Error(err)
				}
				if one {
					begun.Add(1)
				}
			})
		}
		wg.Wait()
		equal(t, "begun", begun.Load(), 1)
	})
	run("an installation's key is made once and is another for each name", func(t *testing.T, e *env) {
		var mu sync.Mutex
		seen := map[string]map[string]bool{"a": {}, "b": {}}
		var wg sync.WaitGroup
		for range 3 {
			s := e.open()
			for name := range seen {
				wg.Go(func() {
					k, err := s.InstallationKey(t.Context(), name)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					seen[name][k.Reveal()] = true
				})
			}
		}
		wg.Wait()
		for name, keys := range seen {
			again, err := e.InstallationKey(t.Context(), name)
			ok(t, err)
			if len(keys) != 1 || !keys[again.Reveal()] || len(again.Reveal()) != 32 || seen["a"][again.Reveal()] && seen["b"][again.Reveal()] {
				t.Fatalf("%d keys under %s, one with %d bytes", len(keys), name, len(again.Reveal()))
			}
		}
	})
}
