package web

import (
	"reflect"
	"testing"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
)

const acmesSchedules = "/workspaces/acme/report-schedules"

// schedule makes a schedule of acme.
func (w *world) schedule() control.ReportSchedule {
	w.t.Helper()
	actor := control.Actor{Member: w.member(exporter).ID, Name: mailOf(exporter), Seats: map[uint32]control.Membership{w.acme.Number: {Workspace: w.acme.Number, Role: control.Viewer, ExportUserData: true}}}
	s, err := w.plane.CreateSchedule(control.WithActor(w.t.Context(), actor), w.acme.Number, scheduleEdit(newSchedule(w.acme), weekly(), nil))
	must(w.t, err)
	return s
}

func weekly() client.ScheduleEdit {
	return client.ScheduleEdit{Name: new("s" + fresh()[:20]), Kind: new("engagement"), Report: &client.Report{Tags: []string{"eu"}, LastDays: 7}}
}

// scheduleExamples are those of rows about schedules.
func (w *world) scheduleExamples() map[string]func(who string) example {
	one := func(more string, body any) func(string) example {
		return func(string) example {
			return example{path: acmesSchedules + "/" + string(w.schedule().ID) + more, body: body}
		}
	}
	return map[string]func(string) example{
		"listSchedules":  func(string) example { return example{path: acmesSchedules} },
		"createSchedule": func(string) example { return example{path: acmesSchedules, body: weekly()} },
		"getSchedule":    one("", nil), "updateSchedule": one("", client.ScheduleEdit{Hour: new(7)}), "deleteSchedule": one("", nil), "runSchedule": one("/run", nil),
	}
}

func TestAReportRunsOnAScheduleAndNow(t *testing.T) {
	w := newWorld(t, nil)
	h := w.session(exporter)
	var made, seen client.ReportSchedule
	in := weekly()
	in.Zone, in.Hour, in.Recipients = new("America/Sao_Paulo"), new(6), &[]string{mailOf(exporter)}
	w.ask("POST", acmesSchedules, in, h).read(201, &made)
	if made.NextAt == nil || made.Unit != "week" || made.Every != 1 || made.FirstDay == "" || made.Report.LastDays != 7 || made.Zone != "America/Sao_Paulo" {
		t.Errorf("got %+v", made)
	}
	at := acmesSchedules + "/" + made.ID
	w.ask("PATCH", at, client.ScheduleEdit{Unit: new("month"), Most: new(3)}, h).read(200, &seen)
	if seen.Unit != "month" || seen.Most != 3 || seen.Hour != 6 || !reflect.DeepEqual(seen.Report, made.Report) || len(seen.Recipients) != 1 {
		t.Errorf("got %+v", seen)
	}
	var now client.Export
	w.ask("POST", at+"/run", nil, h).read(201, &now)
	if now.Name != made.Name || now.Subject != made.ID || now.Report == nil || now.Report.LastDays != 7 {
		t.Errorf("got %+v", now)
	}
	// One that says no zone has the workspace's.
	_, err := w.plane.UpdateWorkspace(control.WithActor(t.Context(), control.CommandLine()), w.acme.Number, control.WorkspaceEdit{TimeZone: new("Asia/Tokyo")})
	must(t, err)
	var tokyo client.ReportSchedule
	in.Zone, in.Name = nil, new("in Tokyo")
	w.ask("POST", acmesSchedules, in, h).read(201, &tokyo)
	if tokyo.Zone != "Asia/Tokyo" {
		t.Errorf("it runs in %s", tokyo.Zone)
	}
	w.ask("GET", at, nil, h).read(200, &seen)
	if seen.Runs != 0 || seen.NextAt == nil {
		t.Errorf("got %+v", seen)
	}
	seen = client.ReportSchedule{}
	w.ask("PATCH", at, client.ScheduleEdit{Paused: new(true)}, h).read(200, &seen)
	if !seen.Paused || seen.NextAt != nil {
		t.Errorf("got %+v", seen)
	}
	w.ask("DELETE", at, nil, h).read(204, nil)
	w.ask("GET", at, nil, h).refused(404)
}

func TestEachProblemOfAScheduleIsSaidAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	in := weekly()
	in.FirstDay = new("2026-11-22")
	in.Name, in.Hour, in.Unit, in.Zone, in.Report, in.Recipients = new(""), new(24), new("year"), new("Mars"), &client.Report{}, &[]string{mailOf(viewer)}
	same(t, "problems", problems(w.as(exporter, "POST", acmesSchedules, in).refused(422)),
		[]string{"name required", "report.campaigns required", "recipients[0] invalid", "hour out_of_range", "unit unknown_value", "zone unknown_value"})
}
