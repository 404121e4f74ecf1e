package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

// ScheduleID names a schedule: a UUID.
type ScheduleID string

// ReportSchedule is a report that is made again and again. Each time it is an Export, with the rights that Member has then.
type ReportSchedule struct {
	ID        ScheduleID
	Workspace uint32
	Name      string // one schedule's in its workspace; the report's title
	Kind      ExportKind
	Spec      ExportSpec
	ScheduleTimes
	Paused  bool
	Failure *fault.Error // why it was paused by itself; nil: it was not
	Member  MemberID     // who changed it last
	Runs    int          // how often it ran
	RanAt   time.Time    // the last time; zero: never
	Next    time.Time    // zero: never again

	CreatedAt time.Time
	UpdatedAt time.Time
	Rev       int64 // counts the changes by people
}

// ScheduleTimes is when a schedule runs: on its first day, and each so many days, weeks or months later, at an hour of a zone.
type ScheduleTimes struct {
	Every    int          `json:"every"`
	Unit     ScheduleUnit `json:"unit"`
	FirstDay string       `json:"first_day"` // 2026-11-22, in the zone
	Hour     int          `json:"hour"`      // 0 to 23
	Zone     string       `json:"zone"`      // as America/Sao_Paulo; empty: UTC
	LastDay  string       `json:"last_day"`  // on which it may run; empty: there is none
	Most     int          `json:"most"`      // how often it runs; 0: it does not end by that
}

// ScheduleUnit is what lies between two runs.
type ScheduleUnit string

// The units.
const (
	EveryDay   ScheduleUnit = "day"
	EveryWeek  ScheduleUnit = "week"
	EveryMonth ScheduleUnit = "month" // on the same day of the month, or its last
)

// ScheduleUnits are the units in the order in which they are shown.
func ScheduleUnits() []ScheduleUnit { return []ScheduleUnit{EveryDay, EveryWeek, EveryMonth} }

// Bounds of schedules.
const (
	MaxSchedules    = 100 // of a workspace
	maxScheduleStep = 366
	maxScheduleRuns = 10_000
)

// After gives the first time after t at which the schedule is to run, however often it ran; zero: there is none.
func (s ScheduleTimes) After(t time.Time) time.Time {
	zone, err := time.LoadLocation(s.Zone)
	first, ok := DayOfText(s.FirstDay)
	if err != nil || !ok || s.Every < 1 {
		return time.Time{}
	}
	const farthest = 1 << 16 // that many days from any first day are more than a lifetime
	n := sort.Search(farthest, func(n int) bool { return s.on(s.day(first, n), zone).After(t) })
	day := s.day(first, n)
	if last, ends := DayOfText(s.LastDay); n == farthest || ends && day > last {
		return time.Time{}
	}
	return s.on(day, zone)
}

// on is when it runs on a day.
func (s ScheduleTimes) on(day int32, zone *time.Location) time.Time {
	return onClocks(DateOf(day).Add(time.Duration(s.Hour)*time.Hour), zone)
}

// day is that of the n-th run, from 0.
func (s ScheduleTimes) day(first int32, n int) int32 {
	switch n *= s.Every; s.Unit {
	case EveryWeek:
		return first + 7*int32(n)
	case EveryMonth:
		from := DateOf(first)
		month := time.Date(from.Year(), from.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
		return DayOf(month, time.UTC) + int32(min(from.Day(), month.AddDate(0, 1, -1).Day())) - 1
	}
	return first + int32(n)
}

// ScheduleEdit is what is wanted of a schedule; what is nil stays as it is.
type ScheduleEdit struct {
	Name   *string
	Kind   *ExportKind
	Spec   *ExportSpec
	Times  *ScheduleTimes // with an empty first day: today
	Paused *bool
	Rev    *int64 // of the version that the change is based on; nil: whichever is there
}

func (e ScheduleEdit) apply(s ReportSchedule, now time.Time) ReportSchedule {
	s.Name, s.Kind, s.Spec = *orElse(e.Name, s.Name), *orElse(e.Kind, s.Kind), *orElse(e.Spec, s.Spec)
	s.ScheduleTimes, s.Paused = *orElse(e.Times, s.ScheduleTimes), *orElse(e.Paused, s.Paused)
	if zone, err := time.LoadLocation(s.Zone); err == nil && s.FirstDay == "" {
		s.FirstDay = now.In(zone).Format(time.DateOnly)
	}
	return s
}

// validate gives every problem of what a person decides about a schedule; seats are those of its workspace.
func (s ReportSchedule) validate(seats []Seat) []fault.Problem {
	ps := append(validatePerson("name", s.Name), s.Spec.validate(s.Kind)...)
	if s.Kind.Counts() {
		ps = append(ps, s.Spec.Report.Validate("report", s.Kind)...)
	} else {
		ps = append(ps, fault.Field("kind", "invalid", "field.schedule_kind", "Only reports run on a schedule."))
	}
	return append(append(ps, validateRecipients(s.Spec.Recipients, seats)...), s.ScheduleTimes.validate()...)
}

func (s ScheduleTimes) validate() (ps []fault.Problem) {
	for _, n := range []struct {
		field           string
		is, least, most int
	}{{"every", s.Every, 1, maxScheduleStep}, {"hour", s.Hour, 0, 23}, {"most", s.Most, 0, maxScheduleRuns}} {
		if n.is < n.least || n.is > n.most {
			ps = append(ps, fault.Field(n.field, "out_of_range", "field.between", "This is a whole number from {least} to {most}.", "least", n.least, "most", n.most))
		}
	}
	if !slices.Contains(ScheduleUnits(), s.Unit) {
		ps = append(ps, oneOf("unit", string(s.Unit), texts(ScheduleUnits())...))
	}
	ps = append(ps, validateZone("zone", s.Zone)...)
	first, firstOK := DayOfText(s.FirstDay)
	last, lastOK := DayOfText(s.LastDay)
	if !firstOK {
		ps = append(ps, fault.Field("first_day", "invalid", "field.report_day", "This is not a day such as 2026-11-22."))
	}
	switch {
	case s.LastDay == "":
	case !lastOK:
		ps = append(ps, fault.Field("last_day", "invalid", "field.report_day", "This is not a day such as 2026-11-22."))
	case firstOK && last < first:
		ps = append(ps, fault.Field("last_day", "out_of_range", "field.schedule_last", "The last day is not before the first."))
	case s.Most > 0:
		ps = append(ps, fault.Field("most", "ambiguous", "field.schedule_end", "Either a last day is given, or how often it runs."))
	}
	return ps
}

func validateRecipients(addresses []string, seats []Seat) (ps []fault.Problem) {
	for i, a := range addresses {
		if len(mayReceive([]string{a}, seats)) == 0 {
			ps = append(ps, fault.Field(index("recipients", i), "invalid", "field.schedule_recipient", "{email} is no member of the workspace who may export user data.", "email", a))
		}
	}
	return ps
}

// mayReceive gives those of e-mail addresses that are members' who may take out personal data.
func mayReceive(addresses []string, seats []Seat) (some []string) {
	for _, a := range addresses {
		if slices.ContainsFunc(seats, func(s Seat) bool { return s.ExportUserData && s.Email == foldEmail(a) }) {
			some = append(some, a)
		}
	}
	return some
}

// planned is s as it waits for its next run after now. Errors: invalid if there is none, though it is not paused.
func (s ReportSchedule) planned(now time.Time) (ReportSchedule, error) {
	s.Next = s.After(now)
	if s.Most > 0 && s.Runs >= s.Most {
		s.Next = time.Time{}
	}
	if s.Paused {
		s.Next = time.Time{}
		return s, nil
	}
	s.Failure = nil
	if s.Next.IsZero() {
		return s, invalid("", []fault.Problem{fault.Field("last_day", "out_of_range", "field.schedule_never", "At this time it would never run again.")})
	}
	return s, nil
}

// CreateSchedule makes a schedule, and gives it as it is then. Who makes it, or changes it last, is whom its reports are of:
// they need the right to take out personal data, then and at each run.
//
// Errors: invalid with every problem; unauthorized, forbidden; conflict if the name is taken, or the workspace has 100.
func (p *Plane) CreateSchedule(ctx context.Context, workspace uint32, e ScheduleEdit) (ReportSchedule, error) {
	const op = "create schedule"
	now := p.now()
	s := ReportSchedule{ID: ScheduleID(event.AppendUUID(nil, now)), Workspace: workspace, CreatedAt: now}
	ctx, s, err := p.decided(ctx, s, e)
	if err != nil {
		return s, fault.Wrap(err, op)
	}
	err = p.Store.CreateSchedule(p.logged(ctx, "schedule.create", subjectSchedule(s), nil, viewSchedule(s)), s)
	return s, fault.Wrap(scheduleTaken(err, s.Name), op)
}

// UpdateSchedule changes a schedule as e wants it, and gives it as it is then; nothing to change is no error. Errors:
// not_found; as CreateSchedule; stale, as AskEdit.
func (p *Plane) UpdateSchedule(ctx context.Context, workspace uint32, id ScheduleID, e ScheduleEdit) (s ReportSchedule, err error) {
	err = p.based(e.Rev, func() error {
		s, err = p.updateSchedule(ctx, workspace, id, e)
		return err
	})
	return s, fault.Wrap(err, "update schedule")
}

func (p *Plane) updateSchedule(ctx context.Context, workspace uint32, id ScheduleID, e ScheduleEdit) (ReportSchedule, error) {
	had, err := p.Store.Schedule(ctx, workspace, id)
	if err != nil {
		return had, err
	}
	ctx, next, err := p.decided(ctx, had, e)
	was, becomes := viewSchedule(had), viewSchedule(next)
	if err != nil || fmt.Sprint(was) == fmt.Sprint(becomes) {
		return had, err
	}
	if err := sameRev(e.Rev, had.Rev); err != nil {
		return had, err
	}
	err = p.Store.UpdateSchedule(p.logged(ctx, "schedule.update", subjectSchedule(next), was, becomes), next)
	next.Rev++
	return next, scheduleTaken(err, next.Name)
}

// decided gives s as e wants it, by who asks, who has to have the right still when it is written.
func (p *Plane) decided(ctx context.Context, s ReportSchedule, e ScheduleEdit) (context.Context, ReportSchedule, error) {
	ctx, a, err := need(ctx, RightExportUserData, s.Workspace)
	if err != nil {
		return ctx, s, err
	}
	seats, err := p.Store.Seats(ctx, s.Workspace)
	if err != nil {
		return ctx, s, err
	}
	now := p.now()
	s = e.apply(s, now)
	if err := invalid("", s.validate(seats)); err != nil {
		return ctx, s, err
	}
	s.Member, s.UpdatedAt = a.Member, now
	s, err = s.planned(now)
	return ctx, s, err
}

// LookAtSchedule gives every problem of a schedule as e would make it, or change the one with that id. Errors: as
// CreateSchedule; not_found.
func (p *Plane) LookAtSchedule(ctx context.Context, workspace uint32, id ScheduleID, e ScheduleEdit) (err error) {
	s := ReportSchedule{Workspace: workspace}
	if id != "" {
		if s, err = p.Store.Schedule(ctx, workspace, id); err != nil {
			return err
		}
	}
	_, _, err = p.decided(ctx, s, e)
	return err
}

// DeleteSchedule removes a schedule; the reports that it made stay. Errors: not_found; unauthorized, forbidden.
func (p *Plane) DeleteSchedule(ctx context.Context, workspace uint32, id ScheduleID) error {
	const op = "delete schedule"
	ctx, _, err := need(ctx, RightExportUserData, workspace)
	if err != nil {
		return fault.Wrap(err, op)
	}
	s, err := p.Store.Schedule(ctx, workspace, id)
	if err != nil {
		return fault.Wrap(err, op)
	}
	return fault.Wrap(p.Store.DeleteSchedule(p.logged(ctx, "schedule.delete", subjectSchedule(s), viewSchedule(s), nil), workspace, id), op)
}

// RunSchedules asks for the reports that are due: one of each schedule, however many times were missed. A schedule whose
// maker may not take out personal data any more, or whose report cannot be made, is paused, says why, and people are told.
//
// Errors: those of the store, and where the workspace has too many exports waiting; what failed is due still.
func (p *Plane) RunSchedules(ctx context.Context) error {
	due, err := p.Store.SchedulesDue(ctx, p.now())
	for _, s := range due {
		err = errors.Join(err, fault.Wrap(p.runSchedule(ctx, s), "run schedule "+string(s.ID)))
	}
	return err
}

func (p *Plane) runSchedule(ctx context.Context, s ReportSchedule) error {
	now, next := p.now(), s
	// Where two runs lie between now and the next, the clock was ahead when that was reckoned.
	if one := s.After(now); !one.IsZero() && s.Next.After(s.After(one)) && !s.After(one).IsZero() {
		next.Next = one
		return p.Store.RunSchedule(ctx, s, next, nil)
	}
	if s.Next.After(now) {
		return nil
	}
	e, err := p.reportOf(ctx, s)
	switch fault.CodeOf(err) {
	case fault.Forbidden, fault.Unauthorized, fault.Invalid:
		return p.pauseSchedule(ctx, s, FailureOf(err))
	}
	if err != nil {
		return err
	}
	next.Runs, next.RanAt = s.Runs+1, now
	next, _ = next.planned(now) // that there is no further run is how it ends
	// Whose right is lost just now has nothing made for them: it is due still, and paused the next time.
	ctx = Holding(WithActor(ctx, e.Actor), RightExportUserData, s.Workspace)
	return p.Store.RunSchedule(p.logged(ctx, "export.create", subjectOfExport(e), nil, viewOfExport(e)), s, next, &e)
}

// Export is what is to be asked for of a schedule.
func (s ReportSchedule) Export(source ExportSource) Export {
	e := Export{Workspace: s.Workspace, Kind: s.Kind, Source: source, Title: s.Name, Spec: s.Spec}
	if s.Kind == ExportEngagement { // all of its reports lie in one folder
		e.Subject = string(s.ID)
	}
	return e
}

// pauseSchedule pauses a schedule whose reports cannot be asked for any more, and tells those of the workspace whom it
// concerns: its maker, who gets its reports, and the administrators.
func (p *Plane) pauseSchedule(ctx context.Context, s ReportSchedule, why *fault.Error) error {
	why.Msg = fault.Message{Key: "control.schedule_maker", Text: "Who made the schedule, or changed it last, may not export user data in this workspace any more."}
	why.Hint = fault.Message{Key: "control.schedule_maker_hint", Text: "Somebody who may resumes it: from then on its reports are theirs."}
	if why.Code == fault.Invalid {
		why.Msg = fault.Message{Key: "control.schedule_invalid", Text: "The report cannot be made any more as it was asked for."}
		why.Hint = fault.Message{Key: "control.schedule_invalid_hint", Text: "Open the schedule, mend what is said there, and resume it."}
	}
	next := s
	next.Paused, next.Next, next.Failure = true, time.Time{}, why
	w, err := p.Store.WorkspaceBy(ctx, workspaceRef(s.Workspace))
	if err != nil {
		return err
	}
	maker, err := p.Store.Member(ctx, s.Member)
	if ended(err) != nil {
		return err
	}
	seats, err := p.Store.Seats(ctx, s.Workspace)
	if err != nil {
		return err
	}
	now := p.now()
	n := Notice{Workspace: s.Workspace, Kind: NoticeSchedulePaused, Episode: string(s.ID) + " " + now.UTC().Format(time.RFC3339Nano), At: now, Params: map[string]string{
		"workspace": w.Name, "schedule": string(s.ID), "export_kind": string(s.Kind), "name": s.Name, "by": maker.Email}}
	n.say(why)
	var to []string
	for _, x := range seats {
		if x.ID == s.Member || x.Role == Administrator || slices.ContainsFunc(s.Spec.Recipients, func(r string) bool { return foldEmail(r) == x.Email }) {
			to = append(to, x.Email)
		}
	}
	n.mailTo(to, s.Spec.Language)
	return p.Store.RunSchedule(p.logged(ctx, "schedule.pause", subjectSchedule(s), viewSchedule(s), viewSchedule(next)), s, next, nil, n)
}

// reportOf gives the export that a schedule asks for. Errors: forbidden if its maker may not, or is nobody any more; as
// AskExport.
func (p *Plane) reportOf(ctx context.Context, s ReportSchedule) (Export, error) {
	e := s.Export(ExportBySchedule)
	e.Actor = Actor{Member: s.Member, Via: "schedule"}
	ctx, err := p.MayExport(ctx, e)
	if err != nil {
		return e, err
	}
	seats, err := p.Store.Seats(ctx, s.Workspace)
	if err != nil {
		return e, err
	}
	e.Spec.Recipients = mayReceive(s.Spec.Recipients, seats)
	return p.planExportOf(ctx, e)
}

// scheduleTaken says of a conflict which name it is about.
func scheduleTaken(err error, name string) error {
	if e := fault.As(err); e == nil || e.Code != fault.Conflict || e.Msg.Key != "" {
		return err
	}
	return (&fault.Error{Code: fault.Conflict, Params: fault.Params{"name": name}, Cause: err,
		Msg: fault.Message{Key: "control.schedule_taken", Text: `The workspace has a schedule "{name}" already.`}}).At("name", "duplicate")
}

func subjectSchedule(s ReportSchedule) subject { return subject{s.Workspace, string(s.ID), s.Name} }

func viewSchedule(s ReportSchedule) view {
	report, err := json.Marshal(s.Spec.Report)
	if err != nil {
		panic("control: a report did not encode: " + err.Error())
	}
	return view{"name": s.Name, "export_kind": s.Kind, "report": string(report), "packing": cmp.Or(s.Spec.Packing, "zip"), "delimiter": cmp.Or(s.Spec.Delimiter, ","), "bom": s.Spec.BOM,
		"recipients": append([]string{}, s.Spec.Recipients...), "language": s.Spec.Language, "every": s.Every, "unit": s.Unit, "first_day": s.FirstDay, "hour": s.Hour, "zone": cmp.Or(s.Zone, "UTC"),
		"last_day": s.LastDay, "most": s.Most, "paused": s.Paused, "member": s.Member}
}
