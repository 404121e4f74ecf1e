package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// opens and clicks are the two types of events that these tests are about.
const (
	opens  = "users.messages.email.Open"
	clicks = "users.messages.email.Click"
)

// ended takes up the mark that hour h is over at offset at.
func (e *env) ended(at eventlog.Offset, h eventlog.Hour) {
	e.t.Helper()
	ok(e.t, e.ApplyControl(e.t.Context(), e.log, at+1, []control.LoggedRecord{
		{Offset: at, Record: control.Record{Kind: control.RecordHour, Hour: h}}}))
}

// counted adds counts and moves the counts cursor to next.
func (e *env) counted(next eventlog.Offset, counts ...control.Count) {
	e.t.Helper()
	_, err := e.CountsCursor(e.t.Context(), e.log)
	ok(e.t, err)
	ok(e.t, e.AddCounts(e.t.Context(), e.log, next, counts))
}

// reach moves a lane's cursor to at, with ledger rows.
func (e *env) reach(l control.Lane, at eventlog.Offset, files []control.File, drops ...control.Drop) {
	e.t.Helper()
	p := e.position(l)
	p.Cursor = at
	_, err := e.Save(e.t.Context(), control.Save{Position: p, Files: files, Drops: drops})
	ok(e.t, err)
}

// complete gives the hours that are newly complete, in words.
func (e *env) complete() (out []string) {
	e.t.Helper()
	hs, err := e.CompleteHours(e.t.Context(), e.log)
	ok(e.t, err)
	for _, h := range hs {
		again, done, err := e.HourDone(e.t.Context(), h.Workspace, h.Connector, h.Hour)
		ok(e.t, err)
		equal(e.t, "it is stored", done, true)
		equal(e.t, "the hour found again", again, h)
		out = append(out, fmt.Sprintf("%+d %v", h.Hour-eventlog.HourOf(e.now), h.Counts))
	}
	return out
}

// in gives f with events of that type and hour.
func in(f control.File, eventType string, h eventlog.Hour) control.File {
	f.EventType, f.Stream.Hour, f.Key = eventType, h, fmt.Sprintf("%s/%s/%010d", eventType, h, f.First)
	return f
}

func hours(run runner) {
	run("an hour is complete when every lane, the counts and the ledger are past its mark", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.connector(w, "warehouse", 9)
		l, h := laneOf(c.Config), eventlog.HourOf(e.now)
		count := func(kind string, n int64) control.Count {
			return control.Count{Workspace: w.Number, EventType: kind, Hour: h, Era: 9, Events: n}
		}
		equal(t, "without a mark", e.complete(), nil)
		e.ended(100, h)
		equal(t, "nothing delivered", e.complete(), nil)
		e.reach(l, 99, []control.File{in(e.file(l, 10, 59), opens, h)})
		e.counted(100, count(opens, 60), count(clicks, 5))
		equal(t, "a cursor below the mark", e.complete(), nil)
		drop := e.drop(l, 60, 69)
		drop.EventType, drop.Stream.Hour = opens, h
		e.reach(l, 101, []control.File{in(e.file(l, 70, 74), clicks, h)}, drop)
		equal(t, "with a provisional drop", e.complete(), nil)
		drops, err := e.UnsettledDrops(t.Context(), l)
		ok(t, err)
		drops[0].Settled = true
		e.reach(l, 101, nil, drops...)
		equal(t, "all of it", e.complete(), []string{fmt.Sprintf("+0 [{%s 5 5 0 0} {%s 60 50 10 0}]", clicks, opens)})
		e.statements = 0
		equal(t, "once only", e.complete(), nil)
		if e.statements > 3 {
			t.Errorf("with nothing to do it makes %d statements", e.statements)
		}

		// The next hour is empty, and is told all the same.
		e.ended(101, h+1)
		equal(t, "the counts are behind", e.complete(), nil)
		e.counted(102)
		e.reach(l, 102, nil)
		equal(t, "an empty hour", e.complete(), []string{"+1 []"})
		_, done, err := e.HourDone(t.Context(), w.Number, c.Connector, h+2)
		ok(t, err)
		equal(t, "an hour that is not over", done, false)
		_, _, err = e.HourDone(t.Context(), w.Number+1, c.Connector, h)
		want(t, err, fault.NotFound)
		_, err = e.Audit(t.Context(), w.Number+1, c.Connector, 0, 0)
		want(t, err, fault.NotFound)
	})
	run("a provisional drop keeps back its own hour alone", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		l := laneOf(e.connector(w, "warehouse", 9).Config)
		d := e.drop(l, 20, 29)
		e.reach(l, 400, nil, d)
		e.counted(400, control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: 9, Events: 4})
		e.ended(100, h)
		e.ended(200, h+1)
		equal(t, "while it is provisional", e.complete(), []string{"+1 []"})
		e.ended(300, h+2)
		equal(t, "the next", e.complete(), []string{"+2 []"})
		drops, err := e.UnsettledDrops(t.Context(), l)
		ok(t, err)
		drops[0].Settled, drops[0].Events = true, 4
		e.reach(l, 400, nil, drops...)
		equal(t, "settled", e.complete(), []string{fmt.Sprintf("+0 [{%s 4 0 4 0}]", opens)})
		equal(t, "after that", e.complete(), nil)
	})
	run("what a lane left unsettled at its end is final, and keeps no hour back", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		c := e.connector(w, "warehouse", 9)
		l := laneOf(c.Config)
		gone := c.Config
		gone.Version, gone.Deleted = 2, true
		e.apply(40, gone)
		e.reach(l, 40, nil, e.drop(l, 20, 29))
		e.counted(400, control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: 9, Events: 10})
		e.ended(100, h)
		equal(t, "before the lane has ended", e.complete(), nil)
		ok(t, e.FinishLane(t.Context(), l))
		equal(t, "after", e.complete(), []string{fmt.Sprintf("+0 [{%s 10 0 10 0}]", opens)})
	})
	run("a complete hour is told once, in its own commit, and forgotten after a while", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		c := e.connector(w, "warehouse", 9)
		l := laneOf(c.Config)
		e.counted(100, control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: 9, Events: 30})
		d := e.drop(l, 30, 39)
		d.Settled = true
		e.reach(l, 100, []control.File{in(e.file(l, 10, 29), opens, h)}, d)
		e.ended(50, h)
		e.ended(60, h+1)
		e.complete()
		told, err := e.UnplannedNotices(t.Context(), 10)
		ok(t, err)
		equal(t, "notices", len(told), 2)
		expect := control.Notice{ID: told[0].ID, Workspace: w.Number, Connector: c.Connector, Kind: control.NoticeHourComplete, Episode: h.String(), At: e.now,
			Params: map[string]string{"workspace": "acme", "connector": "warehouse", "hour": "2026-11-22T10:00:00Z", "delivered": "20", "dropped": "10",
				"types": `{"users.messages.email.Open":{"delivered":20,"dropped":10}}`}}
		equal(t, "notice", told[0], expect)
		ok(t, e.AddNotice(t.Context(), expect)) // by who asked
		inbox, err := e.Notices(t.Context(), w.Number, 0, 10)
		ok(t, err)
		equal(t, "in the inbox", len(inbox), 0)

		hook := control.Send{Channel: control.ChannelWebhook, Webhook: 1, NextTry: e.now}
		one, both := hook, hook
		one.Notices, both.Notices = []int64{told[0].ID}, []int64{told[0].ID, told[1].ID}
		both.Done = e.now
		ok(t, e.PlanSends(t.Context(), []int64{told[0].ID, told[1].ID}, []control.Send{one, both}))
		left := func() int {
			t.Helper()
			ns, err := e.NoticesByID(t.Context(), []int64{told[0].ID, told[1].ID})
			ok(t, err)
			return len(ns)
		}
		e.now = e.now.Add(31 * 24 * time.Hour)
		e.counted(1000)
		e.reach(l, 1000, nil)
		e.ended(70, h+2)
		e.complete()
		equal(t, "notices of which nothing waits go", left(), 1)
		one.ID, one.Failed = 1, "gone"
		ok(t, e.SaveSend(t.Context(), one))
		e.ended(80, h+3)
		e.complete()
		equal(t, "notices after the last was given up", left(), 0)
		want(t, e.SaveSend(t.Context(), one), fault.NotFound)
		_, done, err := e.HourDone(t.Context(), w.Number, c.Connector, h)
		ok(t, err)
		equal(t, "the hour itself stays", done, true)
	})
	run("a connector has the hours from its launch to its deletion, and both lanes count", func(t *testing.T, e *env) {
		h := eventlog.HourOf(e.now)
		w := e.workspace("acme")
		e.ended(50, h-1) // before it was launched
		c := e.connector(w, "warehouse", 60)
		one := laneOf(c.Config)
		moved := c.Config
		moved.Version, moved.Destination.Number, moved.Destination.Bucket = 2, 2, "b2"
		e.apply(90, moved)
		e.ended(100, h)
		e.counted(1000)
		e.reach(laneOf(moved), 100, nil)
		equal(t, "while the former destination waits", e.complete(), nil)
		e.reach(one, 90, nil) // its end, though the mark stands above it
		equal(t, "the hour of the launch", e.complete(), []string{"+0 []"})
		gone := moved
		gone.Version, gone.Deleted = 3, true
		e.apply(150, gone)
		e.ended(200, h+1)
		e.ended(300, h+2)
		equal(t, "while its last lane waits", e.complete(), nil)
		e.reach(laneOf(moved), 150, nil)
		ok(t, e.FinishLane(t.Context(), laneOf(moved)))
		ok(t, e.FinishLane(t.Context(), one))
		equal(t, "the hour of the deletion", e.complete(), []string{"+1 []"})
		equal(t, "and none after it", e.complete(), nil)
		e.ended(400, h+3)
		equal(t, "for ever", e.complete(), nil)
	})
	run("accepted follows the selection as it stood at each event", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		only := func(c control.Config, version int, types ...string) control.Config {
			c.Version, c.Events = version, types
			return c
		}
		first := e.draft(w, "warehouse")
		first.Events = []string{clicks}
		ok(t, e.CreateConnector(t.Context(), first, credentials()))
		e.apply(10, first.Config)
		other := e.connector(w, "another", 20) // all types; its record begins an era too
		e.apply(30, only(first.Config, 2, clicks, opens))
		e.apply(40, only(first.Config, 3, opens))
		gone := only(other.Config, 2, "all")
		gone.Deleted = true
		e.apply(50, gone)
		var counts []control.Count
		for i, era := range []eventlog.Offset{0, 10, 20, 35, 40, 50} { // 35: any offset up to the next record names the era
			n := int64(1)
			for range i {
				n *= 10
			}
			counts = append(counts, control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: era, Events: n},
				control.Count{Workspace: w.Number, EventType: clicks, Hour: h, Era: era, Events: 2 * n})
		}
		counts = append(counts, control.Count{Workspace: w.Number, EventType: "of.nobody", Hour: h, Era: 50, Events: 7})
		e.counted(60, counts...)
		audit := func(c control.Config) string {
			t.Helper()
			got, err := e.Audit(t.Context(), w.Number, c.Connector, 0, 0)
			ok(t, err)
			return fmt.Sprint(got[h])
		}
		equal(t, "of the first", audit(first.Config), fmt.Sprintf("[{%s 2220 0 0 2220} {%s 111000 0 0 111000}]", clicks, opens))
		equal(t, "of the other", audit(other.Config), fmt.Sprintf("[{%s 22200 0 0 22200} {%s 11100 0 0 11100}]", clicks, opens))
		all, err := e.AcceptedCounts(t.Context(), w.Number, h, h+1)
		ok(t, err)
		equal(t, "all that was accepted", all, []control.Count{{Workspace: w.Number, EventType: "of.nobody", Hour: h, Events: 7},
			{Workspace: w.Number, EventType: clicks, Hour: h, Events: 222222}, {Workspace: w.Number, EventType: opens, Hour: h, Events: 111111}})
	})
	run("the audit balances while counting is behind, and leaves test events out", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		c := e.connector(w, "warehouse", 9)
		l := laneOf(c.Config)
		e.counted(20, control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: 9, Events: 4})
		test := in(e.file(l, 40, 49), opens, h)
		test.Stream.Target = c.Number
		testDrop := e.drop(l, 50, 59)
		testDrop.Stream.Target = c.Number
		e.reach(l, 60, []control.File{in(e.file(l, 10, 16), opens, h), test}, e.drop(l, 20, 22), testDrop)
		got, err := e.Audit(t.Context(), w.Number, c.Connector, h, h+1)
		ok(t, err)
		equal(t, "audit", got[h], []control.HourCount{{EventType: opens, Accepted: 10, Delivered: 7, Dropped: 3}})
		e.counted(60, control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: 9, Events: 8})
		got, err = e.Audit(t.Context(), w.Number, c.Connector, 0, 0)
		ok(t, err)
		equal(t, "audit", got[h], []control.HourCount{{EventType: opens, Accepted: 12, Delivered: 7, Dropped: 3, Waiting: 2}})
		got, err = e.Audit(t.Context(), w.Number, c.Connector, h+1, 0)
		ok(t, err)
		equal(t, "of later hours", len(got), 0)
	})
	run("what was lost in unknown number is told as dropped once the hour is complete", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		c := e.connector(w, "warehouse", 9)
		l := laneOf(c.Config)
		d := e.drop(l, 20, 89)
		d.Stream, d.EventType, d.Events, d.Reason, d.Settled = control.Stream{}, "", -1, control.DropDamaged, true
		e.reach(l, 200, []control.File{in(e.file(l, 10, 19), opens, h)}, d)
		e.counted(200, control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: 9, Events: 50})
		got, err := e.Audit(t.Context(), w.Number, c.Connector, h, h+1)
		ok(t, err)
		equal(t, "while the hour lasts", got[h], []control.HourCount{{EventType: opens, Accepted: 50, Delivered: 10, Waiting: 40}})
		e.ended(100, h)
		equal(t, "complete", e.complete(), []string{fmt.Sprintf("+0 [{%s 50 10 40 0}]", opens)})
	})
	run("what waits is what the books of hours that are not complete leave over, of connectors of the workspace", func(t *testing.T, e *env) {
		w, other, h := e.workspace("acme"), e.workspace("other"), eventlog.HourOf(e.now)
		c, idle, theirs := e.connector(w, "warehouse", 9), e.connector(w, "idle", 10), e.connector(other, "theirs", 11)
		l := laneOf(c.Config)
		count := func(h eventlog.Hour, w control.Workspace, era eventlog.Offset, n int64) control.Count {
			return control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: era, Events: n}
		}
		waits := func(name string, want map[control.ConnectorID]control.Waiting) {
			t.Helper()
			got, err := e.Waiting(t.Context(), w.Number, []control.ConnectorID{c.Connector, theirs.Connector})
			ok(t, err)
			equal(t, name, got, want)
		}
		waits("at first", map[control.ConnectorID]control.Waiting{})
		e.counted(100, count(h, w, 9, 50), count(h, other, 11, 70))
		test := in(e.file(l, 60, 69), opens, h)
		test.Stream.Target = c.Number
		settled := e.drop(l, 20, 24)
		settled.Settled = true
		e.reach(l, 80, []control.File{in(e.file(l, 10, 19), opens, h), test}, settled)
		waits("delivered and dropped are off", map[control.ConnectorID]control.Waiting{c.Connector: {Events: 35, Since: h}})
		e.counted(120, count(h+1, w, 9, 4))
		waits("the next hour too", map[control.ConnectorID]control.Waiting{c.Connector: {Events: 39, Since: h}})
		d := e.drop(l, 25, 59)
		d.Stream, d.EventType, d.Events, d.Reason, d.Settled = control.Stream{}, "", -1, control.DropDamaged, true
		e.reach(l, 115, nil, d)
		e.reach(laneOf(idle.Config), 115, []control.File{in(e.file(laneOf(idle.Config), 10, 59), opens, h)})
		e.ended(110, h)
		e.complete()
		waits("a complete hour has nothing left", map[control.ConnectorID]control.Waiting{c.Connector: {Events: 4, Since: h + 1}})
		got, err := e.Waiting(t.Context(), w.Number, nil)
		ok(t, err)
		equal(t, "of none", len(got), 0)
	})
	run("an hour without a mark of its own is over with the next, if there was anything in it", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		c := e.connector(w, "warehouse", 9)
		at := func(h eventlog.Hour) control.Count {
			return control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: 9, Events: 1}
		}
		e.counted(1000, at(h-100), at(h-2), at(h+70))
		e.reach(laneOf(c.Config), 1000, []control.File{in(e.file(laneOf(c.Config), 10, 10), opens, h-2), in(e.file(laneOf(c.Config), 11, 11), opens, h+70)})
		e.ended(100, h)
		equal(t, "the first mark of a log", e.complete(), []string{fmt.Sprintf("-2 [{%s 1 1 0 0}]", opens), "+0 []"})
		e.ended(200, h+90)
		equal(t, "a mark after a long pause", e.complete(), []string{fmt.Sprintf("+70 [{%s 1 1 0 0}]", opens), "+90 []"})
		e.ended(300, h+90) // appended twice, by two processes
		equal(t, "the same mark again", e.complete(), nil)
	})
	run("hours follow the connector into another log, and marks of a log that was set back are forgotten", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		c := e.connector(w, "warehouse", 9)
		l := laneOf(c.Config)
		e.counted(100, control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: 9, Events: 3})
		e.reach(l, 100, []control.File{in(e.file(l, 10, 12), opens, h)})
		e.ended(50, h)
		equal(t, "in the first log", len(e.complete()), 1)
		e.ended(90, h+1)
		e.accept(e.log, 0, 60, 0) // the mark at 90 is lost
		equal(t, "after the log was set back", e.complete(), nil)
		e.ended(70, h+1)
		e.counted(200)
		e.reach(l, 200, nil)
		equal(t, "the mark again", e.complete(), []string{"+1 []"})

		former := e.log
		e.log = eventlog.ID{7}
		e.accept(e.log, 0, 5, 0)
		e.ended(10, h+2)
		e.counted(20, control.Count{Workspace: w.Number, EventType: clicks, Hour: h + 2, Events: 4})
		equal(t, "not delivered", e.complete(), nil)
		f := in(e.file(l, 6, 9), clicks, h+2)
		e.reach(l, 20, []control.File{f})
		equal(t, "in the other log", e.complete(), []string{fmt.Sprintf("+2 [{%s 4 4 0 0}]", clicks)})
		e.log = former
		equal(t, "in the former", e.complete(), nil)
	})
	run("an hour that is kept back keeps none of the later ones back, however many there are", func(t *testing.T, e *env) {
		l, h := e.lane(), eventlog.HourOf(e.now)
		e.counted(5000)
		e.reach(l, 5000, nil, e.drop(l, 20, 29))
		total := 0
		for i := range 600 {
			e.ended(eventlog.Offset(100+i), h+eventlog.Hour(i))
			if i%50 == 49 {
				total += len(e.complete())
			}
		}
		equal(t, "hours told of 600, the first of which waits", total, 599)
		e.statements = 0
		equal(t, "more", e.complete(), nil)
		if e.statements > 8 {
			t.Errorf("with nothing to tell it makes %d statements", e.statements)
		}
	})
	run("a connector whose launch was lost with a log that was set back stops no other, and has its hours once it is launched again", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		other := laneOf(e.connector(w, "other", 5).Config)
		c := e.connector(w, "warehouse", 50)
		e.ended(20, h-1)
		e.accept(e.log, 0, 40, 1)
		e.counted(40)
		e.reach(other, 40, nil)
		equal(t, "while the launch waits", e.complete(), []string{"-1 []"})
		e.ended(40, h)
		e.apply(41, c.Config)
		e.ended(44, h+1)
		e.counted(100)
		e.reach(other, 100, nil)
		e.reach(laneOf(c.Config), 100, nil)
		equal(t, "after it: two of the other, one of its own", len(e.complete()), 3)
	})
	run("a deleted connector has its hours up to where the log was set back below its end", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		c := e.connector(w, "warehouse", 9)
		l := laneOf(c.Config)
		e.ended(20, h-1)
		e.ended(30, h)
		gone := c.Config
		gone.Version, gone.Deleted = 2, true
		e.apply(50, gone)
		e.reach(l, 50, nil)
		ok(t, e.FinishLane(t.Context(), l))
		e.accept(e.log, 0, 40, 0)
		e.counted(40)
		equal(t, "hours", e.complete(), []string{"-1 []", "+0 []"})
		e.apply(45, gone) // again
		e.ended(46, h+1)
		e.ended(60, h+2)
		e.counted(100)
		equal(t, "after the deletion came again, in another hour", e.complete(), []string{"+1 []"})
	})
	run("hours are done in portions", func(t *testing.T, e *env) {
		l, h := e.lane(), eventlog.HourOf(e.now)
		e.counted(5000)
		e.reach(l, 5000, nil)
		for i := range 700 {
			e.ended(eventlog.Offset(100+i), h+eventlog.Hour(i))
		}
		total := 0
		for {
			n := len(e.complete())
			if n == 0 {
				break
			}
			total += n
		}
		equal(t, "hours", total, 700)
	})
	run("the cap counts what test connectors of the workspace wrote since", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		write := func(c control.Connector, first eventlog.Offset, at time.Time, target uint32) {
			t.Helper()
			f := in(e.file(laneOf(c.Config), first, first+9), opens, eventlog.HourOf(at))
			f.At, f.Stream.Target = at, target
			e.reach(laneOf(c.Config), 1000, []control.File{f})
		}
		var tests []control.Connector
		for i, ws := range []control.Workspace{w, w, other} {
			c := e.draft(ws, fmt.Sprint("test", i))
			c.Test = true
			ok(t, e.CreateConnector(t.Context(), c, credentials()))
			e.apply(eventlog.Offset(10+i), c.Config)
			tests = append(tests, c)
		}
		full := e.connector(w, "full", 20)
		since := e.now.Add(-7 * 24 * time.Hour)
		for i, c := range append(tests, full) {
			write(c, eventlog.Offset(100+100*i), since, 0)
		}
		write(tests[0], 600, since.Add(-time.Millisecond), 0) // too old
		write(tests[0], 700, e.now, tests[0].Number)          // test events
		write(tests[0], 800, e.now, 0)
		again := in(e.file(laneOf(tests[0].Config), 900, 909), opens, eventlog.HourOf(e.now))
		again.Cut = control.CutReplay // was dropped, and brought back
		e.reach(again.Lane, 1000, []control.File{again})
		n, err := e.CapUsed(t.Context(), w.Number, since)
		ok(t, err)
		equal(t, "used", n, 30)
		capped := e.drop(laneOf(tests[0].Config), 1010, 1016)
		capped.Reason = control.DropCap
		old, unknown := capped, capped
		old.First, old.At, unknown.First, unknown.Events = 1011, since.Add(-time.Millisecond), 1012, -1
		e.reach(capped.Lane, 1020, nil, capped, old, unknown, e.drop(capped.Lane, 1013, 1013))
		theirs := e.drop(laneOf(tests[2].Config), 1010, 1016)
		theirs.Reason = control.DropCap
		e.reach(theirs.Lane, 1020, nil, theirs)
		drops, err := e.CapDrops(t.Context(), w.Number, since)
		ok(t, err)
		equal(t, "lost to the cap", drops, map[control.ConnectorID]int64{tests[0].Connector: 7})
		tests[0].Test = false
		e.update(&tests[0], nil)
		n, err = e.CapUsed(t.Context(), w.Number, since)
		ok(t, err)
		equal(t, "used after an upgrade", n, 10)
	})
	run("what is recovered moves from dropped to delivered at once, however often it is said", func(t *testing.T, e *env) {
		w, h := e.workspace("acme"), eventlog.HourOf(e.now)
		c := e.connector(w, "warehouse", 9)
		l := laneOf(c.Config)
		e.counted(200, control.Count{Workspace: w.Number, EventType: opens, Hour: h, Era: 9, Events: 30})
		provisional := e.drop(l, 10, 39)
		e.reach(l, 200, nil, provisional)
		drops, err := e.UnsettledDrops(t.Context(), l)
		ok(t, err)
		d := drops[0]
		files := []control.File{in(e.file(l, 10, 29), opens, h)}
		want(t, e.RecoverDrop(t.Context(), d, files), fault.Conflict)
		d.Settled = true
		e.reach(l, 200, nil, d)
		e.ended(100, h)
		equal(t, "before", e.complete(), []string{fmt.Sprintf("+0 [{%s 30 0 30 0}]", opens)})

		part := d
		part.First, part.Events = 30, 10
		after := func(what, expect string) {
			t.Helper()
			done, _, err := e.HourDone(t.Context(), w.Number, c.Connector, h)
			ok(t, err)
			equal(t, what, fmt.Sprint(done.Counts), expect)
		}
		for range 2 {
			ok(t, e.RecoverDrop(t.Context(), part, files))
			after("a part", fmt.Sprintf("[{%s 30 20 10 0}]", opens))
		}
		rest := part
		rest.Events = 0
		last := []control.File{in(e.file(l, 30, 39), opens, h)}
		for range 2 {
			ok(t, e.RecoverDrop(t.Context(), rest, last))
			after("all", fmt.Sprintf("[{%s 30 30 0 0}]", opens))
		}
		left, err := e.Drops(t.Context(), control.LedgerFilter{Connector: c.Connector}, 0, 10)
		ok(t, err)
		equal(t, "drops left", len(left), 0)
		want(t, e.RecoverDrop(t.Context(), rest, []control.File{in(e.file(l, 90, 91), opens, h)}), fault.Stale)
		foreign := rest
		foreign.Lane.Connector = "x"
		want(t, e.RecoverDrop(t.Context(), foreign, nil), fault.NotFound)
	})
}
