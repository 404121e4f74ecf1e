package app

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/profile"
)

// follower keeps people up from the log while this process owns it.
type follower struct {
	log    eventlog.Log
	reader *profile.Reader // nil: nothing is kept of people

	// pressed counts how often in a row the log was asked for room in vain while people held it.
	pressed atomic.Int32

	mu   sync.Mutex
	seen pace
}

func (s *system) newFollower(log eventlog.Log) *follower {
	now := time.Now()
	f := &follower{log: log, seen: pace{moved: now, asOf: now}}
	if s.profiles == nil {
		return f
	}
	f.reader = profile.New(profile.Deps{Log: log, Store: erasing{s.profiles.Following(), s.plane.store}, Catalogue: s.plane.catalogue, Zones: s.plane.store.Zones, Logger: s.logger, Memory: peopleMemory(s.cfg), GiveWay: func() { giveWay(peopleWait) }, Hooks: profile.Hooks{
		OnApplied: func(_ eventlog.Offset, records int, _ time.Duration) { s.meters.applied.Add(float64(records)) },
		OnSetAside: func(x control.SetAside) {
			s.meters.setAside.Inc()
			s.logger.Error("set aside: not in profiles and statistics", "workspace", x.Workspace, "offset", int64(x.Offset), "event_type", x.EventType, "reason", x.Reason)
		},
	}})
	return f
}

// peopleMemory is how much of people stays in memory between batches, beside the budget, and peopleBatch what a batch takes
// at most: records and what is made of them.
func peopleMemory(cfg *config.Config) int64 { return cfg.MemoryBudget / 4 }

const peopleBatch = 64 << 20

// run follows the log until ctx ends.
func (f *follower) run(ctx context.Context) {
	if f.reader != nil {
		_ = f.reader.Run(ctx) // it has no error: what fails is tried again
	}
}

// status says how far people are; false if nothing is kept of them, or nobody knows yet.
func (f *follower) status() (profile.Status, bool) {
	if f.reader == nil {
		return profile.Status{}, false
	}
	return f.reader.Status()
}

// lag says how far people are behind what was accepted; false if nothing is kept of them. Safe for concurrent use.
func (f *follower) lag(now time.Time) (client.ProfileLag, bool) {
	if f.reader == nil {
		return client.ProfileLag{}, false
	}
	st, known := f.status()
	_, head := f.log.Bounds() // after status: what is applied is in the log
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen.see(now, st, known, head)
	return f.seen.lag(now), true
}

// peopleStill is how long nothing may be taken up while something waits, before people are said to stand still.
const peopleStill = 5 * time.Minute

// pace is what looks at a reader have told of how it gets on. The reader itself cannot say that it does not.
type pace struct {
	next  eventlog.Offset
	moved time.Time // the last look at which next was another, nothing waited, or something began to
	asOf  time.Time // everything accepted before is applied, as far as looks have told
	whole bool      // nothing waits
}

// see takes in a look.
func (p *pace) see(now time.Time, st profile.Status, known bool, head eventlog.Offset) {
	was := p.whole
	p.whole = known && st.Since.IsZero() && st.Next >= head
	switch {
	case p.whole:
		p.asOf = now
	case known && !st.Since.IsZero():
		p.asOf = st.Since
	}
	if p.whole || was || known && st.Next != p.next {
		p.next, p.moved = st.Next, now
	}
}

func (p *pace) lag(now time.Time) client.ProfileLag {
	return client.ProfileLag{Seconds: max(0, now.Sub(p.asOf).Seconds()), AsOf: p.asOf.UTC().Truncate(time.Millisecond), StandsStill: !p.whole && now.Sub(p.moved) >= peopleStill}
}

// retained is the store as delivery needs it, where people keep the log as well.
type retained struct {
	ledgerStore
	people *follower
}

// RetentionFloor gives the first offset of log that somebody still needs.
//
// People give way before producers are refused: where the log is nearly full and only they need its oldest part, that
// part goes, a twentieth of the time that the log spans at once. They find it gone and keep a row that names it
// (profile.Reader); so a reader that is broken for long does not stop the main job.
func (s retained) RetentionFloor(ctx context.Context, log eventlog.ID) (eventlog.Offset, error) {
	floor, err := s.ledgerStore.RetentionFloor(ctx, log)
	if err != nil || s.people.reader == nil {
		return floor, err
	}
	st, _ := s.people.status() // not known yet: nothing goes
	u := s.people.log.Usage()
	if st.Next >= floor || u.MaxBytes <= 0 || u.Bytes < u.MaxBytes/10*9 {
		s.people.pressed.Store(0)
		return min(floor, st.Next), nil
	}
	if s.people.pressed.Add(1) <= 2 { // first what nobody needs goes
		return st.Next, nil
	}
	oldest, err := s.people.log.OffsetAt(ctx, u.Oldest.Add(max(time.Second, time.Since(u.Oldest)/20)))
	return min(floor, max(st.Next, oldest, u.Release)), err
}
