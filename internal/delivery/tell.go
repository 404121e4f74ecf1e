package delivery

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// loss sums what a lane has dropped for one reason since people were told last. Test events are not in it.
type loss struct {
	events      int64
	types       map[string]int64
	first, last eventlog.Hour
}

// tellEpisode tells what is due of the lane's episode, and sees to it that watch looks again when more is.
func (l *lane) tellEpisode(p patience, spent time.Duration) {
	episode := l.episode()
	if l.toldOf != episode {
		l.toldOf, l.told = episode, map[control.NoticeKind]bool{}
	}
	params := func() map[string]string {
		m := map[string]string{
			"since": l.health.Episode.UTC().Format(time.RFC3339),
			"until": l.now.Add(max(0, p.limit-spent)).UTC().Format(time.RFC3339),
		}
		if p.reason == control.DropGrace {
			m["bucket"], m["problem"], m["message"] = l.bucketName(), l.health.Problem, l.health.Message
		}
		return m
	}
	for _, s := range p.stages {
		if l.told[s.kind] {
			continue
		}
		if spent < s.after {
			if l.counting {
				l.watchBy(l.now.Add(s.after - spent))
			}
			return
		}
		if s.kind == control.NoticeFailing {
			// A bucket that takes one file and refuses the next makes no storm.
			if again := l.failingAt.Add(passEvery(p.limit)); !l.failingAt.IsZero() && again.After(l.now) {
				l.watchBy(again)
				return
			}
			l.failingAt = l.now
		}
		l.told[s.kind] = true
		l.tell(s.kind, episode, params())
	}
}

// tellResumed tells of the end of an episode that people know of.
func (l *lane) tellResumed() {
	l.tellLosses(true)
	if l.toldOf == l.episode() && l.told[control.NoticeFailing] {
		l.tell(control.NoticeResumed, l.episode(), map[string]string{
			"bucket": l.bucketName(), "since": l.health.Episode.UTC().Format(time.RFC3339),
		})
	}
}

// tellSlow tells that a bucket has given nothing but passing errors for a while.
func (l *lane) tellSlow(problem string, err error) {
	l.tell(control.NoticeSlow, l.occasion(l.failedAt), map[string]string{
		"bucket": l.bucketName(), "problem": problem, "message": err.Error(), "since": l.failedAt.UTC().Format(time.RFC3339),
	})
}

// lost notes a drop for the next notice of losses.
func (l *lane) lost(d control.Drop) {
	if d.Stream.Target != 0 {
		return
	}
	if l.losses == nil {
		l.losses = map[control.DropReason]*loss{}
	}
	sum := l.losses[d.Reason]
	if sum == nil {
		sum = &loss{types: map[string]int64{}, first: d.Stream.Hour, last: d.Stream.Hour}
		l.losses[d.Reason] = sum
	}
	sum.events += d.Events
	sum.types[d.EventType] += d.Events
	sum.first, sum.last = min(sum.first, d.Stream.Hour), max(sum.last, d.Stream.Hour)
}

// tellLosses tells what was dropped: at once, then what comes in an hour together. With now it does not wait.
func (l *lane) tellLosses(now bool) {
	if len(l.losses) == 0 {
		return
	}
	if again := l.lossAt.Add(tellAgain); !now && !l.lossAt.IsZero() && again.After(l.now) {
		l.watchBy(again)
		return
	}
	l.lossAt = l.now
	for _, reason := range slices.Sorted(maps.Keys(l.losses)) {
		sum := l.losses[reason]
		types := slices.SortedFunc(maps.Keys(sum.types), func(a, b string) int {
			return cmp.Or(cmp.Compare(sum.types[b], sum.types[a]), cmp.Compare(a, b))
		})
		for i, t := range types {
			types[i] = fmt.Sprintf("%s: %d", t, sum.types[t])
		}
		l.tell(control.NoticeDropped, l.occasion(l.now)+"/"+string(reason), map[string]string{
			"reason": string(reason), "events": strconv.FormatInt(sum.events, 10),
			"first_hour": sum.first.Start().Format(time.RFC3339), "last_hour": sum.last.Start().Format(time.RFC3339),
			"types": strings.Join(types, ", "),
		})
	}
	l.losses = nil
}

func (l *lane) bucketName() string { return l.hist.last().config.Destination.Bucket }

// tell makes a notice of the lane's connector. It is written by sendNotices, again and again until the store takes it.
func (l *lane) tell(kind control.NoticeKind, episode string, params map[string]string) {
	params["workspace"], params["connector"] = l.row.WorkspaceName, l.row.Name
	l.outbox = append(l.outbox, control.Notice{
		Workspace: l.row.Workspace, Connector: l.row.Lane.Connector, Kind: kind, Episode: episode, At: l.now, Params: params,
	})
	l.watchBy(l.now)
}

// sendNotices writes what is to be told.
func (l *lane) sendNotices(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, saveTooOld)
	defer cancel()
	for len(l.outbox) > 0 {
		if err := l.m.addNotice(ctx, l.outbox[0]); err != nil {
			l.log.Error("a notice is not written; trying again", "kind", l.outbox[0].Kind, "error", fault.Wrap(err, "save notice"))
			l.watchBy(l.now.Add(backoffMax))
			return
		}
		l.outbox = l.outbox[1:]
	}
	l.outbox = nil
}

func (m *Manager) addNotice(ctx context.Context, n control.Notice) error {
	if err := m.deps.Store.AddNotice(ctx, n); err != nil {
		return err
	}
	if h := m.deps.Hooks.OnNotice; h != nil {
		h(n)
	}
	return nil
}
