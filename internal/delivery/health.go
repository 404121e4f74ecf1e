package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// failed takes a failed attempt. Whose error it is decides what follows: the customer's parks the lane and keeps
// everything, a passing one is tried again for ever, ours raises an alarm and blames nobody.
func (l *lane) failed(err error) {
	l.failures++
	if l.failures == 1 {
		l.failedAt = l.now
	}
	problem, owner := bucket.ProblemOf(err), ownerOf(err)
	if owner == bucket.Passing && l.access.Endpoint != "" && l.now.Sub(l.failedAt) > deadAfter {
		owner = bucket.Customer // an endpoint of the customer's own that has been away for a day
	}
	if l.row.Paused {
		return // the answer of an attempt from before the pause; it is tried again after it
	}
	if owner != bucket.Customer {
		l.stopClock() // of a grace period only what the customer is asked to mend is counted
	}
	switch owner {
	case bucket.Customer:
		if l.health.State != control.LaneFailing {
			l.log.Warn("bucket refuses; events are kept until it is mended", "problem", problem, "error", err)
			if h := l.m.deps.Hooks.OnParked; h != nil {
				h(l.row, err)
			}
		}
		l.refusedAt = l.now
		l.setHealth(control.LaneFailing, string(problem), err)
		l.rest(l.probeInterval())
		return
	case bucket.Ours:
		switch st := l.health.State; {
		case st == control.LaneActive || st == control.LaneRetrying && l.health.Problem != string(problem):
			l.setHealth(control.LaneRetrying, string(problem), err)
		case st == control.LaneFailing && l.health.Problem != string(problem):
			l.show(string(problem), err) // what the customer refused is not the trouble now
		}
		l.hinder(problem, err)
	default:
		l.log.Info("attempt failed; trying again", "problem", problem, "error", err, "failures", l.failures)
	}
	if h := l.m.deps.Hooks.OnRetry; h != nil {
		h(l.row, err)
	}
	if st := l.health.State; (st == control.LaneActive || st == control.LaneRetrying) && l.now.Sub(l.failedAt) > sayRetrying {
		if st == control.LaneActive {
			l.setHealth(control.LaneRetrying, string(problem), err)
		}
		if owner == bucket.Passing {
			l.tellSlow(string(problem), err)
		}
	}
	if l.failures >= restAfter {
		l.rest(backoffMax)
	}
}

// hinder says in the log that this installation is in the way: one line for an episode, however many lanes and attempts
// meet it, and another for each hour that it lasts.
func (l *lane) hinder(problem bucket.Problem, err error) {
	l.hindrance = problem
	l.m.mu.Lock()
	said, known := l.m.hindered[problem]
	again := !known || l.now.Sub(said) >= tellAgain
	if again {
		l.m.hindered[problem] = l.now
	}
	l.m.mu.Unlock()
	if again {
		l.log.Error("this installation itself is in the way: its credentials or its clock", "problem", problem, "error", err)
	}
}

// unhinder ends the episode that the lane met, since the store answers it.
func (l *lane) unhinder() {
	l.m.mu.Lock()
	delete(l.m.hindered, l.hindrance)
	l.m.mu.Unlock()
	l.hindrance = ""
}

// ownerOf says who can mend what stops a lane.
func ownerOf(err error) bucket.Owner {
	if e, ok := errors.AsType[*bucket.Error](err); ok {
		return e.Problem.Owner()
	}
	if fault.Is(err, fault.Forbidden) {
		return bucket.Customer // a restored database lacks the credentials
	}
	return bucket.Passing
}

// succeeded takes a file that was written: an episode of failing ends with it. A probe that was answered well only
// ends the rest.
func (l *lane) succeeded(wrote bool) {
	l.unhinder()
	l.failures, l.failedAt = 0, time.Time{}
	l.resting, l.hurried = time.Time{}, false
	if wrote && l.health.State == control.LanePaused {
		l.health.Kept, l.health.KeptEpisode = 0, time.Time{} // a file from before the pause ends the episode it interrupted
	}
	if l.health.State == control.LaneFailing {
		l.stopClock()
		if l.order != nil && l.order.reason == control.DropGrace {
			l.order = nil // just in time
		}
		if !wrote {
			return
		}
		l.tellResumed()
	}
	if l.health.State != control.LaneActive && !l.row.Paused {
		l.log.Info("bucket takes files again", "was", l.health.State)
		l.setHealth(control.LaneActive, "", nil)
		if h := l.m.deps.Hooks.OnResumed; h != nil {
			h(l.row)
		}
	}
}

// rest lets go of everything gathered and tries one file at a time, wait apart, until one is taken: a lane that
// fails costs nearly nothing.
func (l *lane) rest(wait time.Duration) {
	l.resting = l.now.Add(l.m.deps.Spread(wait))
	if l.hurried && l.attempts == 0 {
		l.restNoMore()
	}
	l.mustRewind = true
}

// probeInterval is the time to the next probe of a parked lane.
// Source: design §4, min(60 s, grace/20) backing off to min(10 min, grace/4).
func (l *lane) probeInterval() time.Duration {
	grace := l.m.cfg.GracePeriod
	d, most := min(time.Minute, grace/20), min(10*time.Minute, grace/4)
	for range min(l.failures-1, 10) {
		d = min(2*d, most)
	}
	return d
}

// resume takes the end of a pause. An episode of failing that it interrupted goes on, and is counted again from the next
// refusal on.
func (l *lane) resume() {
	if l.health.KeptEpisode.IsZero() {
		l.resting, l.failures = time.Time{}, 0
		l.setHealth(control.LaneActive, "", nil)
		return
	}
	l.setHealth(control.LaneFailing, l.health.Problem, nil)
	l.counting = false
	l.failingAt = time.Time{} // the same notice may be written again: it is of the same episode
	l.resting, l.failures = l.now, restAfter
}

// setHealth keeps what the lane says of itself, with what its patience has counted so far. Failing and paused begin an
// episode, each other state ends it; a pause keeps the episode of failing that it interrupts.
func (l *lane) setHealth(state control.LaneState, problem string, err error) {
	h := &l.health
	l.stopClock()
	l.watchBy(l.now)
	l.counting = state == control.LaneFailing || state == control.LanePaused
	if h.State != state {
		was, failing, episode := h.State, h.Kept, h.KeptEpisode
		h.State, h.Since = state, l.now
		h.Kept, h.KeptEpisode = 0, time.Time{}
		if was == control.LaneFailing && state == control.LanePaused {
			h.Kept, h.KeptEpisode = h.Failing, h.Episode
		}
		h.Failing, h.Episode = 0, time.Time{}
		switch {
		case state == control.LaneFailing && !episode.IsZero():
			h.Failing, h.Episode = failing, episode
		case l.counting:
			h.Episode = l.now
		}
		l.passAt = time.Time{}
	}
	l.show(problem, err)
}

// show saves what the lane says of itself, with its trouble of now.
func (l *lane) show(problem string, err error) {
	h := &l.health
	if err != nil {
		h.Message, h.Said = err.Error(), ""
		if e, ok := errors.AsType[*bucket.Error](err); ok {
			h.Said = e.Said
		}
	} else if problem == "" {
		h.Message, h.Said = "", ""
	}
	h.Lane, h.Problem, h.LastFile = l.row.Lane, problem, l.lastFile
	ctx, cancel := context.WithTimeout(context.Background(), saveTooOld)
	defer cancel()
	if err := l.m.deps.Store.SaveHealth(ctx, *h); err != nil {
		// Only what the page shows is stale until the next change.
		l.log.Error("health is not saved", "error", fault.Wrap(err, "save health"))
	}
}

// probe asks the bucket whether it answers again, when there is nothing to write that would tell.
func (l *lane) probe(ctx context.Context, store bucket.Bucket, key string) {
	ctx, cancel := context.WithTimeout(ctx, l.m.cfg.AttemptLimit)
	defer cancel()
	_, err := store.Head(ctx, key)
	if bucket.ProblemOf(err) == bucket.NotFound {
		err = nil
	}
	l.outcomes <- outcome{err: err}
}
