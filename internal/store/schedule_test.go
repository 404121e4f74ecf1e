package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// scheduler is a bench with a workspace and members who may take out personal data.
type scheduler struct {
	*bench
	ws uint32
}

func newScheduler(t *testing.T) *scheduler {
	b := newBench(t)
	w, err := b.CreateWorkspace(t.Context(), control.Workspace{Name: "acme"})
	ok(t, err)
	s := &scheduler{b, w.Number}
	for _, name := range []string{"ana", "bob"} {
		ok(t, b.store.CreateMember(t.Context(), control.Member{ID: control.MemberID(name), Email: name + "@acme.example", Name: name, CreatedAt: b.now}, control.Lock{},
			&control.Membership{Workspace: w.Number, Member: control.MemberID(name), Role: control.Viewer, ExportUserData: true, CreatedAt: b.now}))
	}
	return s
}

// as gives what a member asks with.
func (s *scheduler) as(name control.MemberID) context.Context {
	m, err := s.store.Member(s.t.Context(), name)
	ok(s.t, err)
	seats, err := s.store.SeatsOf(s.t.Context(), name)
	ok(s.t, err)
	return control.WithActor(s.t.Context(), control.Actor{Via: "session"}.As(m, seats))
}

// daily makes a schedule at 9 o'clock of São Paulo, 12 of UTC.
func (s *scheduler) daily(change func(*control.ScheduleTimes)) control.ReportSchedule {
	times := control.ScheduleTimes{Every: 1, Unit: control.EveryDay, Hour: 9, Zone: "America/Sao_Paulo"}
	if change != nil {
		change(&times)
	}
	x, err := s.CreateSchedule(s.as("ana"), s.ws, control.ScheduleEdit{Name: new("Daily"), Kind: new(control.ExportEngagement), Times: &times,
		Spec: &control.ExportSpec{Report: control.ReportSpec{Tags: []string{"a"}, LastDays: 7}, Recipients: []string{"bob@acme.example", "ana@acme.example"}}})
	ok(s.t, err)
	return x
}

// run lets what is due run at t, and gives what waits then.
func (s *scheduler) run(t string) []control.Export {
	at, err := time.Parse(time.RFC3339, t)
	ok(s.t, err)
	s.now = at
	ok(s.t, s.RunSchedules(s.t.Context()))
	all, err := s.store.Exports(s.t.Context(), s.ws, control.ExportFilter{Source: control.ExportBySchedule}, 0, 100)
	ok(s.t, err)
	return all
}

func (s *scheduler) ran(at string, exports int, next string) {
	s.t.Helper()
	n := len(s.run(at))
	all, err := s.store.Schedules(s.t.Context(), s.ws)
	ok(s.t, err)
	is := ""
	if !all[0].Next.IsZero() {
		is = all[0].Next.Format(time.RFC3339)
	}
	if n != exports || is != next {
		s.t.Errorf("at %s there are %d exports and not %d, and it runs next at %q and not %q", at, n, exports, is, next)
	}
}

func TestAScheduleRunsOncePerTimeAndMissedRunsOnce(t *testing.T) {
	s := newScheduler(t)
	x := s.daily(nil)
	s.ran("2026-11-22T11:59:59Z", 0, "2026-11-22T12:00:00Z")
	s.ran("2026-11-22T12:00:00Z", 1, "2026-11-23T12:00:00Z")
	s.ran("2026-11-22T12:00:01Z", 1, "2026-11-23T12:00:00Z")
	s.ran("2026-11-22T11:59:00Z", 1, "2026-11-23T12:00:00Z") // the clock went back a minute
	s.ran("2026-11-29T15:00:00Z", 2, "2026-11-30T12:00:00Z") // a week was missed
	s.ran("2036-01-01T15:00:00Z", 3, "2036-01-02T12:00:00Z") // the clock is ten years ahead …
	s.ran("2026-11-29T16:00:00Z", 3, "2026-11-30T12:00:00Z") // … and was set right
	s.ran("2026-11-30T12:00:30Z", 4, "2026-12-01T12:00:00Z")
	e := s.run("2026-11-30T12:00:31Z")[0]
	if e.Kind != control.ExportEngagement || e.Subject != string(x.ID) || e.Title != "Daily" || e.Actor.Member != "ana" || e.State != control.ExportWaiting ||
		e.Spec.Report.LastDays != 7 || len(e.Spec.Recipients) != 2 || !e.CreatedAt.Equal(s.now.Add(-time.Second)) {
		t.Errorf("it asked for %+v", e)
	}
}

func TestAScheduleEnds(t *testing.T) {
	s := newScheduler(t)
	s.daily(func(x *control.ScheduleTimes) { x.Most = 2 })
	s.ran("2026-11-22T12:00:00Z", 1, "2026-11-23T12:00:00Z")
	s.ran("2026-11-25T12:00:00Z", 2, "")
	s.ran("2026-11-26T12:00:00Z", 2, "")
	s = newScheduler(t)
	s.daily(func(x *control.ScheduleTimes) { x.LastDay = "2026-11-23" })
	s.ran("2026-11-22T12:00:00Z", 1, "2026-11-23T12:00:00Z")
	s.ran("2026-11-23T12:00:00Z", 2, "")
	_, err := s.CreateSchedule(s.as("ana"), s.ws, control.ScheduleEdit{Name: new("Past"), Kind: new(control.ExportRevenue), Spec: &control.ExportSpec{},
		Times: &control.ScheduleTimes{Every: 1, Unit: control.EveryDay, FirstDay: "2026-01-01", LastDay: "2026-01-02"}})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("a schedule that never runs: %v", err)
	}
}

func TestAScheduleRunsByTheRightsOfThen(t *testing.T) {
	s := newScheduler(t)
	x := s.daily(nil)
	take := func(name control.MemberID) {
		seats, err := s.store.SeatsOf(t.Context(), name)
		ok(t, err)
		next := seats[0]
		next.ExportUserData = false
		ok(t, s.store.SetSeat(t.Context(), control.SeatChange{Was: seats[0], Next: next}))
	}
	take("bob")
	if all := s.run("2026-11-22T12:00:00Z"); len(all) != 1 || len(all[0].Spec.Recipients) != 1 || all[0].Spec.Recipients[0] != "ana@acme.example" {
		t.Fatalf("who lost the right is told: %+v", all)
	}
	for _, act := range []func() error{
		func() error {
			_, err := s.UpdateSchedule(s.as("bob"), s.ws, x.ID, control.ScheduleEdit{Paused: new(true)})
			return err
		},
		func() error { return s.DeleteSchedule(s.as("bob"), s.ws, x.ID) },
	} {
		if err := act(); !fault.Is(err, fault.Forbidden) {
			t.Errorf("who may not changes a schedule: %v", err)
		}
	}
	take("ana")
	s.ran("2026-11-23T12:00:00Z", 1, "")
	got, err := s.store.Schedule(t.Context(), s.ws, x.ID)
	ok(t, err)
	if !got.Paused || got.Failure == nil || got.Failure.Code != fault.Forbidden || got.Failure.Msg.Key != "control.schedule_maker" {
		t.Errorf("the schedule of who lost the right is %+v, %v", got, got.Failure)
	}
	s.run("2026-11-24T12:00:00Z") // tells nobody once more
	told, err := s.store.Notices(t.Context(), s.ws, 0, 10)
	ok(t, err)
	if len(told) != 1 || told[0].Kind != control.NoticeSchedulePaused || told[0].Params["schedule"] != string(x.ID) || told[0].Params["name"] != "Daily" || told[0].Params["by"] != "ana@acme.example" {
		t.Fatalf("they are told %+v", told)
	}
	who, err := s.store.Recipients(t.Context(), told[0])
	ok(t, err)
	if len(who) != 2 || who[0].Email != "ana@acme.example" || who[1].Email != "bob@acme.example" {
		t.Errorf("it is mailed to %v", who)
	}
	entries, err := s.store.Entries(t.Context(), control.EntryFilter{Workspace: s.ws, Kind: "schedule"}, 0, 10)
	ok(t, err)
	if len(entries) != 2 || entries[0].Action != "schedule.pause" || string(entries[0].After) != `{"paused":true}` {
		t.Errorf("%+v", entries)
	}
	got, err = s.UpdateSchedule(s.as("ana"), s.ws, x.ID, control.ScheduleEdit{Paused: new(false)})
	if !fault.Is(err, fault.Forbidden) {
		t.Errorf("it goes on by who may not: %+v, %v", got, err)
	}
}

func TestASchedulesRunsWaitWhereTooManyExportsDo(t *testing.T) {
	s := newScheduler(t)
	s.daily(nil)
	for range 100 {
		_, err := s.AskExport(s.as("ana"), control.Export{Workspace: s.ws, Kind: control.ExportRevenue, Source: control.ExportByDashboard})
		ok(t, err)
	}
	s.now = s.now.Add(2 * time.Hour)
	if err := s.RunSchedules(t.Context()); !fault.Is(err, fault.RateLimited) {
		t.Errorf("%v", err)
	}
	all, err := s.store.Exports(t.Context(), s.ws, control.ExportFilter{}, 0, 1)
	ok(t, err)
	_, err = s.CancelExport(s.as("ana"), s.ws, all[0].ID)
	ok(t, err)
	s.ran("2026-11-22T14:00:00Z", 1, "2026-11-23T12:00:00Z")
}

// leaving takes a member out of the workspace in the moment in which their report is to be written.
type leaving struct {
	control.Store
	leave func()
}

func (l leaving) RunSchedule(ctx context.Context, was, next control.ReportSchedule, e *control.Export, notices ...control.Notice) error {
	l.leave()
	return l.Store.RunSchedule(ctx, was, next, e, notices...)
}

func TestNoReportIsMadeForWhoHasJustLostTheRight(t *testing.T) {
	s := newScheduler(t)
	s.daily(nil)
	kept := s.Store
	s.Store = leaving{kept, func() { ok(t, s.store.RemoveSeat(t.Context(), s.ws, "ana")) }}
	s.now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	code(t, s.RunSchedules(t.Context()), fault.Forbidden)
	s.Store = kept
	if all := s.run("2026-11-23T12:00:01Z"); len(all) > 0 {
		t.Errorf("%d reports", len(all))
	}
	all, err := s.store.Schedules(t.Context(), s.ws)
	ok(t, err)
	if len(all) != 1 || !all[0].Paused || all[0].Failure == nil {
		t.Errorf("%+v", all)
	}
}
