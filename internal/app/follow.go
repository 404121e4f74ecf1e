package app

import (
	"context"
	"sync/atomic"
	"time"

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
}

func (s *system) newFollower(log eventlog.Log) *follower {
	f := &follower{log: log}
	if s.profiles == nil {
		return f
	}
	f.reader = profile.New(profile.Deps{Log: log, Store: s.profiles, Catalogue: s.plane.catalogue, Logger: s.logger, Memory: peopleMemory(s.cfg), Hooks: profile.Hooks{
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
