package app

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

const (
	checkEvery = 24 * time.Hour   // between two checks of a connector's credentials
	checkLook  = time.Minute      // how often somebody looks whose check is due, which spreads them over the day
	checksOnce = 10               // how many are made in one go
	quotaLook  = 10 * time.Second // how often somebody looks how full the log is
	peopleLook = 10 * time.Second // how often somebody looks how people get on
	quotaShare = 10               // the notice comes when less than a tenth of the quota is left
	// How often somebody looks after API keys. Not at once: what is used shows itself within the first minute.
	keyLook   = time.Hour
	keyUnused = 90 * 24 * time.Hour
)

// scheduleChecks tries the credentials of each connector once a day, until ctx ends.
func (s *system) scheduleChecks(ctx context.Context) {
	for sleep(ctx, checkLook) {
		made, err := s.rules.CheckAll(ctx, checkEvery, checksOnce)
		if err != nil && ctx.Err() == nil {
			s.logger.Error("the daily credential checks were not all made", "error", err)
		}
		if made > 0 {
			s.logger.Debug("credentials checked", "connectors", made)
		}
	}
}

// watchQuota tells the operator when the log nears its quota, once a day at most, until ctx ends.
func (s *system) watchQuota(ctx context.Context, log eventlog.Log) {
	for told := ""; sleep(ctx, quotaLook); {
		u, now := log.Usage(), time.Now().UTC()
		day := now.Format(time.DateOnly)
		if u.MaxBytes <= 0 || u.Bytes < u.MaxBytes-u.MaxBytes/quotaShare || told == day {
			continue
		}
		err := s.plane.store.AddNotice(ctx, control.Notice{
			Kind: control.NoticeDiskQuota, Episode: day, At: now,
			Params: map[string]string{"used": fmt.Sprint(u.Bytes), "limit": fmt.Sprint(u.MaxBytes)},
		})
		if err != nil {
			if ctx.Err() == nil {
				s.logger.Error("the notice that the log is nearly full was not written", "error", err)
			}
			continue
		}
		told = day
		s.logger.Warn("the log is nearly full", "used", u.Bytes, "limit", u.MaxBytes)
	}
}

// watchPeople tells the operator when people stand still, and of what was set aside: of each once a day at most, until ctx
// ends.
func (s *system) watchPeople(ctx context.Context, lagOf func(time.Time) (client.ProfileLag, bool)) {
	if s.profiles == nil {
		return
	}
	told := map[control.NoticeKind]string{}
	for sleep(ctx, peopleLook) {
		now := time.Now().UTC()
		var due []control.Notice
		if lag, known := lagOf(now); known && lag.StandsStill {
			due = append(due, control.Notice{Kind: control.NoticeProfilesStill, Episode: now.Format(time.DateOnly), At: now, Params: map[string]string{"since": lag.AsOf.Format(time.RFC3339)}})
		}
		last, err := s.profiles.AllSetAside(ctx, 1)
		for _, x := range last {
			due = append(due, control.Notice{Kind: control.NoticeSetAside, Episode: x.At.Format(time.DateOnly), At: now,
				Params: map[string]string{"offset": fmt.Sprint(int64(x.Offset)), "type": x.EventType, "reason": x.Reason}})
		}
		for _, n := range due {
			if err != nil || told[n.Kind] == n.Episode {
				continue
			}
			if err = s.plane.store.AddNotice(ctx, n); err == nil {
				told[n.Kind] = n.Episode
			}
		}
		if err != nil && ctx.Err() == nil {
			s.logger.Error("how people get on was not looked at, or not told; it is tried again", "error", err)
		}
	}
}

// watchKeys tells of API keys that nobody uses, and of those that end, until ctx ends. wake is called when there is
// something to tell.
func (s *system) watchKeys(ctx context.Context, wake func()) {
	for sleep(ctx, keyLook) {
		due, err := s.plane.store.KeysToTell(ctx, time.Now().UTC(), keyUnused)
		for _, n := range due {
			if err == nil {
				err = s.plane.store.AddNotice(ctx, n)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.logger.Error("notices about API keys were not written; it is tried again", "error", err)
		}
		if len(due) > 0 {
			wake()
		}
	}
}
