package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

func counts(run runner) {
	run("tallies by hour are the audit's numbers, for one connector and for all of a workspace", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		h := eventlog.HourOf(e.now)
		all := e.connector(w, "all", 9)
		some := e.draft(w, "some")
		some.Events = []string{opens}
		ok(t, e.CreateConnector(t.Context(), some, credentials()))
		e.apply(20, some.Config)
		changing := e.connector(w, "changing", 30)
		for i, events := range [][]string{{clicks}, {clicks}, {opens, clicks}, {}} {
			changing.Version, changing.Events = 2+i, events
			e.update(&changing, nil)
			e.apply(eventlog.Offset(40+10*i), changing.Config)
		}
		theirs := e.connector(other, "theirs", 90)
		gone := e.connector(w, "gone", 100)
		last := gone.Config
		last.Version, last.Deleted = 2, true
		e.apply(110, last)

		var counted []control.Count
		for i, era := range []eventlog.Offset{0, 9, 20, 30, 40, 50, 60, 70, 100, 110} {
			for hours := range eventlog.Hour(3) {
				n := int64(1) << i << (10 * hours)
				counted = append(counted, control.Count{Workspace: w.Number, EventType: opens, Hour: h - hours, Era: era, Events: n},
					control.Count{Workspace: w.Number, EventType: clicks, Hour: h - hours, Era: era, Events: 3 * n},
					control.Count{Workspace: other.Number, EventType: opens, Hour: h - hours, Era: era, Events: 1})
			}
		}
		e.counted(200, counted...)
		test := in(e.file(laneOf(all.Config), 40, 49), opens, h)
		test.Stream.Target = all.Number
		files := []control.File{in(e.file(laneOf(all.Config), 10, 16), opens, h), in(e.file(laneOf(all.Config), 17, 19), clicks, h), in(e.file(laneOf(all.Config), 20, 29), clicks, h-1), test}
		drop := e.drop(laneOf(all.Config), 50, 51)
		drop.EventType, drop.Stream.Hour = clicks, h-1
		unknown := drop
		unknown.Events = -1
		e.reach(laneOf(all.Config), 60, files, drop, unknown)
		e.reach(laneOf(all.Config), 61, files) // written again, they stand there once
		little := in(e.file(laneOf(some.Config), 10, 11), opens, h)
		e.reach(laneOf(some.Config), 61, []control.File{little})
		bytes := map[string]map[eventlog.Hour]int64{"all": {h: files[0].Size + files[1].Size, h - 1: files[2].Size}, "some": {h: little.Size}}

		for _, from := range []eventlog.Hour{h - 2, h - 1, h, h + 1} {
			tallies, err := e.Tallies(t.Context(), w.Number, from, h+1)
			ok(t, err)
			for name, c := range map[string]control.Connector{"all": all, "some": some, "changing": changing, "gone": gone} {
				audit, err := e.Audit(t.Context(), w.Number, c.Connector, from, h+1)
				ok(t, err)
				one, err := e.HourTallies(t.Context(), w.Number, c.Connector, from, h+1)
				ok(t, err)
				for x := from; x <= h; x++ {
					sum := control.Tally{Bytes: bytes[name][x]}
					for _, n := range audit[x] {
						sum = sum.Plus(control.Tally{Accepted: n.Accepted, Delivered: n.Delivered, Dropped: n.Dropped})
					}
					equal(t, fmt.Sprint(name, " alone, ", x), one[x], sum)
					equal(t, fmt.Sprint(name, " among all, ", x), tallies[c.Connector][x], sum)
				}
			}
			if tallies[theirs.Connector] != nil {
				t.Error("a connector of another workspace is told of")
			}
		}
		one, err := e.HourTallies(t.Context(), w.Number, changing.Connector, h, h+1)
		ok(t, err)
		equal(t, "while its selection changed", one[h].Accepted, 1<<3+3<<3+3<<4+3<<5+(1<<6+3<<6))
		_, err = e.HourTallies(t.Context(), other.Number, all.Connector, h, h+1)
		want(t, err, fault.NotFound)
	})
	run("tallies of a workspace are as many statements for one connector as for fifty", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		asked := map[int]int{}
		for i := range 50 {
			e.connector(w, fmt.Sprint("c", i), eventlog.Offset(10+i))
			e.statements = 0
			_, err := e.Tallies(t.Context(), w.Number, h-23, h+1)
			ok(t, err)
			asked[i+1] = e.statements
		}
		if asked[50] > asked[2] || asked[50] > asked[1]+1 {
			t.Errorf("%d statements for one, %d for fifty", asked[1], asked[50])
		}
	})
	run("minutes tell what was accepted, delivered and dropped in them, as long as they are kept", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		c := e.draft(w, "warehouse")
		c.Events = []string{opens}
		ok(t, e.CreateConnector(t.Context(), c, credentials()))
		e.apply(9, c.Config)
		now, h := control.MinuteOf(e.now), eventlog.HourOf(e.now)
		count := func(m control.Minute, kind string, era eventlog.Offset, n int64) control.Count {
			return control.Count{Workspace: w.Number, EventType: kind, Hour: eventlog.HourOf(m.Start()), Minute: m, Era: era, Events: n}
		}
		e.counted(20, count(now, opens, 9, 5), count(now, clicks, 9, 50), count(now, opens, 0, 500), count(now-1, opens, 9, 7),
			count(now-control.MinutesKept-1, opens, 9, 11), control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: 9, Events: 1000})
		e.counted(30, count(now, opens, 9, 2))
		late := in(e.file(laneOf(c.Config), 10, 12), opens, h-5)
		test := in(e.file(laneOf(c.Config), 20, 22), opens, h)
		test.Stream.Target = c.Number
		before := in(e.file(laneOf(c.Config), 30, 33), opens, h)
		before.At = e.now.Add(-time.Minute)
		drop := e.drop(laneOf(c.Config), 40, 48)
		e.reach(laneOf(c.Config), 60, []control.File{late, test, before}, drop)

		got, err := e.MinuteTallies(t.Context(), w.Number, c.Connector, now-59, now+1)
		ok(t, err)
		equal(t, "minutes", got, map[control.Minute]control.Tally{now: {Accepted: 7, Delivered: 3, Dropped: 9, Bytes: late.Size}, now - 1: {Accepted: 7, Delivered: 4, Bytes: before.Size}})
		accepted, err := e.AcceptedMinutes(t.Context(), w.Number, now-59, now+1)
		ok(t, err)
		equal(t, "of the workspace", accepted, map[control.Minute]int64{now: 557, now - 1: 7})
		accepted, err = e.AcceptedMinutes(t.Context(), other.Number, now-59, now+1)
		ok(t, err)
		equal(t, "of another", len(accepted), 0)
		_, err = e.MinuteTallies(t.Context(), other.Number, c.Connector, now-59, now+1)
		want(t, err, fault.NotFound)

		// A log that was set back is told by time, as hours are.
		e.accept(e.log, 0, 5, 0)
		accepted, err = e.AcceptedMinutes(t.Context(), w.Number, now, now+1)
		ok(t, err)
		equal(t, "after the log was set back", accepted[now], 557)

		e.now = e.now.Add((control.MinutesKept + 1) * time.Minute)
		e.counted(30, count(control.MinuteOf(e.now), opens, 9, 1))
		accepted, err = e.AcceptedMinutes(t.Context(), w.Number, 0, now+1)
		ok(t, err)
		equal(t, "what is old is gone", len(accepted), 0)
	})
}
