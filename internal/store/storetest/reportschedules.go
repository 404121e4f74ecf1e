package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

func reportSchedules(run runner) {
	schedule := func(e *env, w control.Workspace, id control.ScheduleID, name string) control.ReportSchedule {
		return control.ReportSchedule{ID: id, Workspace: w.Number, Name: name, Kind: control.ExportRevenue, Spec: control.ExportSpec{Report: control.ReportSpec{Names: []string{"hat"}}, BOM: true},
			ScheduleTimes: control.ScheduleTimes{Every: 2, Unit: control.EveryWeek, FirstDay: "2026-11-22", Hour: 9, Zone: "Europe/Madrid", Most: 4}, Member: "m1",
			Runs: 1, RanAt: e.now.Add(-time.Hour), Next: e.now, CreatedAt: e.now, UpdatedAt: e.now}
	}
	run("a schedule is kept in versions, and stays in its workspace", func(t *testing.T, e *env) {
		ctx := t.Context()
		w, other := e.workspace("acme"), e.workspace("other")
		x, theirs := schedule(e, w, "s-1", "Weekly"), schedule(e, other, "s-2", "Weekly")
		ok(t, e.CreateSchedule(ctx, x))
		ok(t, e.CreateSchedule(ctx, theirs))
		want(t, e.CreateSchedule(ctx, schedule(e, w, "s-3", "Weekly")), fault.Conflict)
		got, err := e.Schedule(ctx, w.Number, "s-1")
		ok(t, err)
		equal(t, "schedule", got, x)
		_, err = e.Schedule(ctx, other.Number, "s-1")
		want(t, err, fault.NotFound)
		x.Name, x.Paused, x.Next, x.Failure = "Other", true, time.Time{}, fault.New(fault.Forbidden, "", "no")
		ok(t, e.UpdateSchedule(ctx, x))
		want(t, e.UpdateSchedule(ctx, x), fault.Stale)
		x.Rev = 1
		all, err := e.Schedules(ctx, w.Number)
		ok(t, err)
		if len(all) != 1 || all[0].Failure == nil || all[0].Failure.Code != fault.Forbidden {
			t.Fatalf("%+v", all)
		}
		all[0].Failure, x.Failure = nil, nil
		equal(t, "the changed one", all[0], x)
		want(t, e.DeleteSchedule(ctx, other.Number, "s-1"), fault.NotFound)
		ok(t, e.DeleteSchedule(ctx, w.Number, "s-1"))
		want(t, e.DeleteSchedule(ctx, w.Number, "s-1"), fault.NotFound)
		for i := range control.MaxSchedules {
			ok(t, e.CreateSchedule(ctx, schedule(e, w, control.ScheduleID(fmt.Sprint(i)), fmt.Sprint(i))))
		}
		want(t, e.CreateSchedule(ctx, schedule(e, w, "more", "more")), fault.Conflict)
	})
	run("a schedule that cannot be read is listed beside the others, and says so", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		ok(t, e.CreateSchedule(ctx, schedule(e, w, "s-1", "Daily")))
		good := schedule(e, w, "s-2", "Weekly")
		ok(t, e.CreateSchedule(ctx, good))
		e.spoil("UPDATE report_schedules SET spec = '{\"of_a_newer_version\":1}' WHERE id = 's-1'")
		all, err := e.Schedules(ctx, w.Number)
		ok(t, err)
		if len(all) != 2 || all[0].Name != "Daily" || all[0].Failure == nil || all[0].Failure.Code != fault.Corrupt || !strings.Contains(all[0].Failure.Message(), "s-1") {
			t.Fatalf("listed are %+v", all)
		}
		equal(t, "the other", all[1], good)
		_, err = e.Schedule(ctx, w.Number, "s-1")
		want(t, err, fault.Corrupt)
	})
	run("a run and its export are one, and a run is made once", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		was := schedule(e, w, "s-1", "Weekly")
		ok(t, e.CreateSchedule(ctx, was))
		next := was
		next.Runs, next.Next = 2, e.now.Add(time.Hour)
		x := control.Export{ID: "e-1", Workspace: w.Number, Kind: control.ExportRevenue, Source: control.ExportBySchedule, CreatedAt: e.now}
		ok(t, e.RunSchedule(ctx, was, next, &x))
		y := x
		y.ID = "e-2"
		want(t, e.RunSchedule(ctx, was, next, &y), fault.Stale)
		_, err := e.Export(ctx, w.Number, "e-2")
		want(t, err, fault.NotFound)
		again := next
		again.Runs = 3
		want(t, e.RunSchedule(ctx, next, again, &x), fault.Conflict) // its export cannot be
		got, err := e.Schedule(ctx, w.Number, "s-1")
		ok(t, err)
		equal(t, "what ran once", got, next)
		next.Rev = 7
		want(t, e.RunSchedule(ctx, next, next, nil), fault.Stale)
	})
	run("what is due comes first, and what is not due does not come", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		for id, change := range map[control.ScheduleID]func(*control.ReportSchedule){
			"due": func(x *control.ReportSchedule) {}, "longer due": func(x *control.ReportSchedule) { x.Next = e.now.Add(-time.Hour) },
			"later": func(x *control.ReportSchedule) { x.Next = e.now.Add(time.Millisecond) }, "never": func(x *control.ReportSchedule) { x.Next = time.Time{} },
			"of a clock that was ahead": func(x *control.ReportSchedule) { x.RanAt, x.Next = e.now.Add(time.Hour), e.now.Add(2*time.Hour) },
		} {
			x := schedule(e, w, id, string(id))
			change(&x)
			ok(t, e.CreateSchedule(ctx, x))
		}
		all, err := e.SchedulesDue(ctx, e.now)
		ok(t, err)
		var ids []control.ScheduleID
		for _, x := range all {
			ids = append(ids, x.ID)
		}
		equal(t, "due", ids, []control.ScheduleID{"longer due", "due", "of a clock that was ahead"})
	})
}
