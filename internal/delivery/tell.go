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

// loss sums what a lane has dropped for one reason since people were told last.
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
	l.tellLosses(l.life, true)
	if l.toldOf == l.episode() && l.told[control.NoticeFailing] {
		l.tell(control.NoticeResumed, l.episode(), map[string]string{
			"bucket": l.bucketName(), "since": l.health.Episode.UTC().Format(time.RFC3339),
		})
	}
}

// tellSlow tells that a bucket has given nothing but passing errors for a while: once for each such time, and no more often
// than notices of a kind may come.
func (l *lane) tellSlow(problem string, err error) {
	if l.slowOf.Equal(l.failedAt) || !l.slowAt.IsZero() && l.now.Sub(l.slowAt) < tellAgain {
		return
	}
	l.slowOf, l.slowAt = l.failedAt, l.now
	l.tell(control.NoticeSlow, l.occasion(l.failedAt), map[string]string{
		"bucket": l.bucketName(), "problem": problem, "message": err.Error(), "since": l.failedAt.UTC().Format(time.RFC3339),
	})
}

// tellLosses tells what was dropped: at once, then what comes in an hour together. With now it does not wait. Which drops
// people know of stands in the ledger, so each lost event is told of once, whatever dies in between.
func (l *lane) tellLosses(ctx context.Context, now bool) {
	if !l.untold {
		return
	}
	if again := l.lossAt.Add(tellAgain); !now && !l.lossAt.IsZero() && again.After(l.now) {
		l.watchBy(again)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, saveTooOld)
	defer cancel()
	err := l.tellDrops(ctx)
	if l.untold = err != nil; err != nil {
		l.watchBy(l.now.Add(backoffMax))
		l.log.Error("what was dropped is not told; trying again", "error", fault.Wrap(err, "tell of drops"))
	}
}

func (l *lane) tellDrops(ctx context.Context) error {
	drops, err := l.m.deps.Store.UntoldDrops(ctx, l.row.Lane)
	if err != nil || len(drops) == 0 {
		return err
	}
	losses := map[control.DropReason]*loss{}
	for _, d := range drops {
		sum := losses[d.Reason]
		if sum == nil {
			sum = &loss{types: map[string]int64{}, first: d.Stream.Hour, last: d.Stream.Hour}
			losses[d.Reason] = sum
		}
		sum.events += d.Events
		sum.types[d.EventType] += d.Events
		sum.first, sum.last = min(sum.first, d.Stream.Hour), max(sum.last, d.Stream.Hour)
	}
	var notices []control.Notice
	for _, reason := range slices.Sorted(maps.Keys(losses)) {
		sum := losses[reason]
		types := slices.SortedFunc(maps.Keys(sum.types), func(a, b string) int {
			return cmp.Or(cmp.Compare(sum.types[b], sum.types[a]), cmp.Compare(a, b))
		})
		for i, t := range types {
			types[i] = fmt.Sprintf("%s: %d", t, sum.types[t])
		}
		params := map[string]string{
			"reason": string(reason), "events": strconv.FormatInt(sum.events, 10),
			"first_hour": sum.first.Start().Format(time.RFC3339), "last_hour": sum.last.Start().Format(time.RFC3339),
			"types": strings.Join(types, ", "),
		}
		if l.deleted() {
			params[control.ParamDeleted] = "true"
		}
		notices = append(notices, l.notice(control.NoticeDropped, l.occasion(l.now)+"/"+string(reason), params))
	}
	if err := l.m.deps.Store.TellDrops(ctx, drops, notices); err != nil {
		return err
	}
	l.lossAt = l.now
	if h := l.m.deps.Hooks.OnNotice; h != nil {
		for _, n := range notices {
			h(n)
		}
	}
	return nil
}

func (l *lane) bucketName() string { return l.hist.last().config.Destination.Bucket }

// tell makes a notice of the lane's connector. It is written by sendNotices, again and again until the store takes it.
// Of a deleted connector nobody can mend anything any more: of it only losses are told, by tellDrops.
func (l *lane) tell(kind control.NoticeKind, episode string, params map[string]string) {
	if l.deleted() {
		return
	}
	l.outbox = append(l.outbox, l.notice(kind, episode, params))
	l.watchBy(l.now)
}

func (l *lane) notice(kind control.NoticeKind, episode string, params map[string]string) control.Notice {
	params["workspace"], params["connector"] = l.row.WorkspaceName, l.row.Name
	return control.Notice{
		Workspace: l.row.Workspace, Connector: l.row.Lane.Connector, Kind: kind, Episode: episode, At: l.now, Params: params,
	}
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
