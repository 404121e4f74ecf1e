package delivery

import (
	"context"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// patience is how long a lane that delivers nothing keeps its events, and what is told on the way.
type patience struct {
	limit  time.Duration // 0: for ever
	reason control.DropReason
	stages []stage
}

// stage is a notice that is due once so much of the patience is used up.
type stage struct {
	after time.Duration
	kind  control.NoticeKind
}

// patience gives what holds in the lane's state. Time of other states is not counted.
func (l *lane) patience() patience {
	switch l.health.State {
	case control.LaneFailing:
		d := l.m.cfg.GracePeriod
		return patience{d, control.DropGrace, []stage{
			{0, control.NoticeFailing}, {d / 2, control.NoticeHalfTime}, {lastCall(d), control.NoticeLastCall},
		}}
	case control.LanePaused:
		d := l.m.cfg.PauseLimit
		return patience{d, control.DropPause, []stage{{d / 2, control.NoticePauseHalf}, {lastCall(d), control.NoticePauseLast}}}
	}
	return patience{}
}

// lastCall is when the last notice before a loss is due. Source: the product's decided details.
func lastCall(limit time.Duration) time.Duration { return max(limit-4*time.Hour, limit/4*3) }

// passEvery is the time between two passes of a lane that drops what has become too old.
func passEvery(limit time.Duration) time.Duration { return min(tellAgain, limit/8) }

// counted is how much of the patience is used up: time that passed on the monotonic clock of a running process while
// the last word was the customer's refusal, or while the lane was paused.
func (l *lane) counted() time.Duration {
	d := l.health.Failing
	if l.counting {
		d += l.now.Sub(l.healthAt)
	}
	return d
}

// stopClock ends the counting until the next refusal.
func (l *lane) stopClock() {
	l.health.Failing, l.healthAt = l.counted(), l.now
	l.counting = false
}

// episode names the lane's episode of failing, or its pause, in notices.
func (l *lane) episode() string { return l.occasion(l.health.Episode) }

// occasion names something that began at t: two lanes of a connector may begin at once.
func (l *lane) occasion(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z") + "/" + strconv.Itoa(l.row.Lane.Destination)
}

// watchBy makes watch look again at t at the latest.
func (l *lane) watchBy(t time.Time) {
	if l.watchAt.IsZero() || t.Before(l.watchAt) {
		l.watchAt = t
	}
}

// watch does what is due by the clock alone: notices, losses, and the end of a deleted connector. It is cheap while
// nothing is due.
func (l *lane) watch(ctx context.Context) error {
	if l.stopping || l.watchAt.IsZero() || l.watchAt.After(l.now) {
		return nil
	}
	l.watchAt = time.Time{}
	if err := l.watchEnd(); err != nil {
		return err
	}
	p := l.patience()
	if p.limit > 0 {
		if err := l.watchPatience(ctx, p); err != nil {
			return err
		}
	}
	l.tellLosses(ctx, false)
	l.sendNotices(ctx)
	return nil
}

func (l *lane) watchPatience(ctx context.Context, p patience) error {
	spent := l.counted()
	if l.counting && l.health.State == control.LanePaused {
		every := min(clockSave, p.limit/20)
		if l.now.Sub(l.healthAt) >= every {
			l.setHealth(l.health.State, l.health.Problem, nil) // a failing lane saves its clock with each probe
		}
		l.watchBy(l.now.Add(every))
	}
	l.tellEpisode(p, spent)
	if !l.counting {
		return nil
	}
	if spent < p.limit {
		l.watchBy(l.now.Add(p.limit - spent))
		return nil
	}
	if l.passAt.After(l.now) {
		l.watchBy(l.passAt)
		return nil
	}
	if l.health.State == control.LaneFailing && l.now.Sub(l.refusedAt) > freshRefusal {
		// It may have been mended since the last probe: what is dropped follows a fresh refusal.
		l.resting = l.now
		l.watchBy(l.now.Add(passEvery(p.limit)))
		return nil
	}
	l.passAt = l.now.Add(passEvery(p.limit))
	l.watchBy(l.passAt)
	l.sendNotices(ctx)
	if gone, err := l.announced(ctx, p); err != nil || !gone {
		return nil // looked at again with the next pass: later is never wrong
	}
	floor, err := l.m.deps.Log.OffsetAt(ctx, l.m.steady(l.now).Add(-p.limit))
	if err != nil {
		return fault.Wrap(err, "find events older than the limit")
	}
	if floor > l.pos.Cursor && l.order == nil {
		// A restart must not find more left than there is.
		l.setHealth(l.health.State, l.health.Problem, nil)
		l.order = &order{floor, p.reason}
	}
	return nil
}

// steady is the wall time of now, or what it would be had the clock only ticked since the manager was made, whichever is
// earlier: by it, no jump of the clock makes an event older than it is.
func (m *Manager) steady(now time.Time) time.Time {
	wall, ticked := now.Round(0), m.wall.Add(now.Sub(m.made))
	if ticked.Before(wall) {
		return ticked
	}
	return wall
}

// announced reports whether everybody has been told of what is about to be lost.
func (l *lane) announced(ctx context.Context, p patience) (bool, error) {
	for _, s := range p.stages {
		gone, err := l.m.deps.Store.NoticeGone(ctx, l.row.Workspace, l.row.Lane.Connector, s.kind, l.episode(), p.limit/4)
		if err != nil {
			l.log.Error("cannot tell whether notices have gone out; nothing is dropped", "error", fault.Wrap(err, "load notice"))
		}
		if err != nil || !gone {
			return false, err
		}
	}
	return true, nil
}

// watchEnd looks for the end of a deleted connector's minute.
func (l *lane) watchEnd() error {
	if l.lookEnd {
		if err := l.findEnd(); err != nil {
			return err
		}
		l.lookEnd = false
	}
	switch {
	case l.endAt.IsZero():
	case l.endAt.After(l.now):
		l.watchBy(l.endAt)
	case l.order == nil && l.pos.Cursor < l.hist.until:
		l.order = &order{l.hist.until, control.DropDeleted}
	}
	if at := l.finalAt(); l.hist.over(l.pos.Cursor) && len(l.unsettled) > 0 && at.After(l.now) {
		l.watchBy(at)
	}
	return nil
}

// findEnd looks in the log, from the lane's end on, for the record that deletes the connector: it gives every lane of it
// a minute.
func (l *lane) findEnd() error {
	if l.hist.until == 0 || !l.endAt.IsZero() {
		return nil
	}
	start, head := l.m.deps.Log.Bounds()
	from := max(l.looked, l.hist.until, start)
	if from >= head {
		return nil
	}
	r, err := l.m.deps.Log.Reader(from, eventlog.Filter{Workspace: l.row.Workspace, Kind: eventlog.Control})
	if err != nil {
		return fault.Wrap(err, "read log")
	}
	defer r.Close()
	for {
		c, err := r.Next()
		if err != nil {
			return fault.Wrap(err, "read log")
		}
		if c == nil {
			l.looked = r.Position()
			return nil
		}
		for rec := range c.Records() {
			d, err := control.DecodeRecord(rec.Value)
			if err != nil {
				return fault.Wrap(err, "read control record")
			}
			if d.Config != nil && d.Config.Connector == l.row.Lane.Connector && d.Config.Deleted {
				// A minute of a process that could deliver: not of one that was away, nor of a clock that was moved.
				begin := maxTime(l.clock(c.Time()), l.made)
				if begin.After(l.now) {
					begin = l.now
				}
				l.endAt = begin.Add(deleteTime)
				return nil
			}
		}
	}
}

// deleted reports whether the connector is deleted, as far as the log was looked.
func (l *lane) deleted() bool { return !l.endAt.IsZero() }

// ending reports whether a deleted connector's time is over: nothing more is written.
func (l *lane) ending() bool { return l.deleted() && !l.endAt.After(l.now) }

// finalAt is when drops of a lane that has ended stay as they are, settled or not.
func (l *lane) finalAt() time.Time {
	if l.endAt.IsZero() {
		return l.clock(l.lastDrop).Add(finalAfter)
	}
	return maxTime(l.endAt, l.clock(l.lastDrop)).Add(l.settleWait() + deleteTime)
}

// settleWait is how long what was sent before a drop may still arrive: from this process or from another that does not
// know of the drop yet, see sure. It is counted from a load that knows of the drop, whatever the wall clock says.
func (l *lane) settleWait() time.Duration { return sureFor + l.m.cfg.AttemptLimit }
