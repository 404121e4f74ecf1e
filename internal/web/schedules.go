package web

import (
	"cmp"
	"context"
	"net/http"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/text"
)

// ScheduleStore is what the rows about schedules read.
type ScheduleStore interface {
	Schedules(ctx context.Context, workspace uint32) ([]control.ReportSchedule, error)
	Schedule(ctx context.Context, workspace uint32, id control.ScheduleID) (control.ReportSchedule, error)
}

const atSchedule = "/workspaces/{workspace}/report-schedules/{schedule}"

// scheduleRoutes are about reports that are made again and again.
func (a *api) scheduleRoutes() []route {
	const group, at = "exports", "/workspaces/{workspace}/report-schedules"
	return []route{
		{name: "listSchedules", method: http.MethodGet, path: at, right: control.RightExportUserData, group: group, status: http.StatusOK,
			summary: "Lists the workspace's schedules of reports by name.", op: op(a.listSchedules)},
		{name: "createSchedule", method: http.MethodPost, path: at, right: control.RightExportUserData, group: group, status: http.StatusCreated,
			summary: "Makes a schedule of a report.", op: op(a.createSchedule), rules: look(func(c *call, in createScheduleIn) error {
				return a.deps.Plane.LookAtSchedule(c, c.workspace.Number, "", scheduleEdit(newSchedule(c.workspace), in.Body, nil))
			})},
		{name: "getSchedule", method: http.MethodGet, path: atSchedule, right: control.RightExportUserData, group: group, status: http.StatusOK, versioned: versionsOfSchedule,
			summary: "Gives a schedule.", op: op(a.getSchedule)},
		{name: "updateSchedule", method: http.MethodPatch, path: atSchedule, right: control.RightExportUserData, group: group, status: http.StatusOK, versioned: versionsOfSchedule,
			summary: "Changes a schedule; its reports are then of whoever changed it.", op: op(a.updateSchedule), rules: look(func(c *call, in updateScheduleIn) error {
				had, err := a.deps.Store.Schedule(c, c.workspace.Number, in.Schedule)
				if err != nil {
					return err
				}
				return a.deps.Plane.LookAtSchedule(c, c.workspace.Number, in.Schedule, scheduleEdit(had, in.Body, nil))
			})},
		{name: "deleteSchedule", method: http.MethodDelete, path: atSchedule, right: control.RightExportUserData, group: group, status: http.StatusNoContent,
			summary: "Removes a schedule; the reports that it made stay.", op: op(a.deleteSchedule)},
		{name: "runSchedule", method: http.MethodPost, path: atSchedule + "/run", right: control.RightExportUserData, group: group, status: http.StatusCreated,
			summary: "Asks for the report of a schedule now; when it runs next stays as it is.", op: op(a.runSchedule)},
	}
}

var versionsOfSchedule = &versions{[]string{"schedule.update", "schedule.create", "schedule.pause"}, func(c *call) string { return c.r.PathValue("schedule") }}

// newSchedule is what a schedule of a workspace is as far as nothing is said of it.
func newSchedule(w control.Workspace) control.ReportSchedule {
	return control.ReportSchedule{ScheduleTimes: control.ScheduleTimes{Every: 1, Unit: control.EveryWeek, Zone: w.TimeZone}}
}

// scheduleEdit gives what is wanted of had.
func scheduleEdit(had control.ReportSchedule, e client.ScheduleEdit, rev *int64) control.ScheduleEdit {
	spec, times := had.Spec, had.ScheduleTimes
	if e.Report != nil {
		spec.Report = control.ReportSpec{}
		carry(e.Report, &spec.Report)
	}
	spec.Packing, spec.Delimiter, spec.BOM, spec.Language = *cmp.Or(e.Packing, &spec.Packing), *cmp.Or(e.Delimiter, &spec.Delimiter), *cmp.Or(e.BOM, &spec.BOM), *cmp.Or(e.Language, &spec.Language)
	spec.Recipients = *cmp.Or(e.Recipients, &spec.Recipients)
	times.Every, times.Unit, times.FirstDay = *cmp.Or(e.Every, &times.Every), *cmp.Or((*control.ScheduleUnit)(e.Unit), &times.Unit), *cmp.Or(e.FirstDay, &times.FirstDay)
	times.Hour, times.Zone, times.LastDay, times.Most = *cmp.Or(e.Hour, &times.Hour), *cmp.Or(e.Zone, &times.Zone), *cmp.Or(e.LastDay, &times.LastDay), *cmp.Or(e.Most, &times.Most)
	return control.ScheduleEdit{Name: e.Name, Kind: (*control.ExportKind)(e.Kind), Spec: &spec, Times: &times, Paused: e.Paused, Rev: rev}
}

func showSchedule(l text.Language, s control.ReportSchedule) client.ReportSchedule {
	out := client.ReportSchedule{ID: string(s.ID), Name: s.Name, Kind: string(s.Kind), Packing: cmp.Or(s.Spec.Packing, control.ExportPackings()[0]),
		Delimiter: cmp.Or(s.Spec.Delimiter, control.ExportDelimiters()[0]), BOM: s.Spec.BOM, Language: s.Spec.Language, Recipients: append([]string{}, s.Spec.Recipients...),
		Every: s.Every, Unit: string(s.Unit), FirstDay: s.FirstDay, Hour: s.Hour, Zone: cmp.Or(s.Zone, "UTC"), LastDay: s.LastDay, Most: s.Most, Paused: s.Paused,
		Error: showError(l, s.Failure), Runs: s.Runs, RanAt: maybe(s.RanAt), NextAt: maybe(s.Next), CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}
	carry(s.Spec.Report, &out.Report)
	return out
}

type listSchedulesIn struct {
	paged
	spoken
}

func (a *api) listSchedules(c *call, in listSchedulesIn) (client.Page[client.ReportSchedule], error) {
	all, err := a.deps.Store.Schedules(c, c.workspace.Number)
	if err != nil {
		return client.Page[client.ReportSchedule]{}, err
	}
	return pageOf(c, in.paged, all, func(s control.ReportSchedule) int64 { return idNumber(s.ID) },
		func(s control.ReportSchedule) client.ReportSchedule { return showSchedule(c.reader(), s) })
}

type createScheduleIn struct {
	spoken
	Body client.ScheduleEdit `body:""`
}

func (a *api) createSchedule(c *call, in createScheduleIn) (client.ReportSchedule, error) {
	s, err := a.deps.Plane.CreateSchedule(c, c.workspace.Number, scheduleEdit(newSchedule(c.workspace), in.Body, nil))
	if err != nil {
		return client.ReportSchedule{}, err
	}
	c.location("/workspaces/%s/report-schedules/%s", workspaceID(s.Workspace), s.ID)
	return showSchedule(c.reader(), s), nil
}

type scheduleIn struct {
	Schedule control.ScheduleID `path:"schedule"`
}

type tellScheduleIn struct {
	scheduleIn
	spoken
}

func (a *api) getSchedule(c *call, in tellScheduleIn) (client.ReportSchedule, error) {
	s, err := a.deps.Store.Schedule(c, c.workspace.Number, in.Schedule)
	if err != nil {
		return client.ReportSchedule{}, err
	}
	c.versioned(s.Rev)
	return showSchedule(c.reader(), s), nil
}

type updateScheduleIn struct {
	tellScheduleIn
	Body client.ScheduleEdit `body:""`
}

func (a *api) updateSchedule(c *call, in updateScheduleIn) (client.ReportSchedule, error) {
	rev, err := meant(c)
	if err != nil {
		return client.ReportSchedule{}, err
	}
	had, err := a.deps.Store.Schedule(c, c.workspace.Number, in.Schedule)
	if err != nil {
		return client.ReportSchedule{}, err
	}
	if rev == nil { // what is left out is laid over what was read
		rev = &had.Rev
	}
	s, err := a.deps.Plane.UpdateSchedule(c, c.workspace.Number, in.Schedule, scheduleEdit(had, in.Body, rev))
	if err != nil {
		return client.ReportSchedule{}, err
	}
	c.versioned(s.Rev)
	return showSchedule(c.reader(), s), nil
}

func (a *api) deleteSchedule(c *call, in scheduleIn) (none, error) {
	return none{}, a.deps.Plane.DeleteSchedule(c, c.workspace.Number, in.Schedule)
}

func (a *api) runSchedule(c *call, in tellScheduleIn) (client.Export, error) {
	s, err := a.deps.Store.Schedule(c, c.workspace.Number, in.Schedule)
	if err != nil {
		return client.Export{}, err
	}
	e, err := a.deps.Plane.AskExport(c, s.Export(control.ExportByDashboard))
	if err != nil {
		return client.Export{}, err
	}
	a.deps.Wake()
	c.location("/workspaces/%s/exports/%s", workspaceID(e.Workspace), e.ID)
	return a.showExport(c.reader(), e), nil
}
