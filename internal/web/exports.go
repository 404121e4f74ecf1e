package web

import (
	"cmp"
	"context"
	"net/http"
	"path"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// ExportStore is what the rows about exports read.
type ExportStore interface {
	Export(ctx context.Context, workspace uint32, id control.ExportID) (control.Export, error)
	Exports(ctx context.Context, workspace uint32, f control.ExportFilter, before int64, limit int) ([]control.Export, error)
}

const atExport = "/workspaces/{workspace}/exports/{export}"

// exportRoutes are about what is taken out on demand.
func (a *api) exportRoutes() []route {
	const group, at = "exports", "/workspaces/{workspace}/exports"
	return []route{
		{name: "listExports", method: http.MethodGet, path: at, right: control.RightExportUserData, group: group, status: http.StatusOK,
			summary: "Lists the workspace's exports, newest first.", op: op(a.listExports)},
		{name: "createExport", method: http.MethodPost, path: at, right: control.RightExportUserData, group: group, status: http.StatusCreated,
			summary: "Asks for an export, which waits for its turn. The log of changes keeps who asked.", op: op(a.createExport), rules: look(a.lookAtExport)},
		{name: "getExport", method: http.MethodGet, path: atExport, right: control.RightExportUserData, group: group, status: http.StatusOK,
			summary: "Says how far an export is, and what came of it.", op: op(a.getExport)},
		{name: "cancelExport", method: http.MethodPost, path: atExport + "/cancel", right: control.RightExportUserData, group: group, status: http.StatusAccepted,
			summary: "Ends an export that waits or runs: no part of it is begun any more. One that has ended stays as it is.", op: op(a.cancelExport)},
		{name: "downloadExport", method: http.MethodGet, path: atExport + "/file", right: control.RightExportUserData, group: group, status: http.StatusOK,
			summary: "Gives the file of an export. The log of changes keeps who downloaded it.", op: op(a.downloadExport), also: []fault.Code{fault.Stale}},
	}
}

func (a *api) showExport(l text.Language, e control.Export) client.Export {
	s := e.Spec
	out := client.Export{ID: string(e.ID), Kind: string(e.Kind), Source: string(e.Source), By: e.Actor.Name, Subject: e.Subject, Name: e.Title, State: string(e.State),
		ExportForm: client.ExportForm{Fields: s.Fields, Attributes: s.Attributes, Events: s.Events, Packing: cmp.Or(s.Packing, control.ExportPackings()[0]),
			Language: s.Language, Recipients: s.Recipients},
		People: e.People, Total: e.Total, Parts: e.Parts, Bytes: e.Bytes, Error: showError(l, e.Failure), Bucket: e.Place.Bucket, Endpoint: e.Place.Endpoint, ObjectPrefix: e.Prefix(),
		Downloadable: e.Failure == nil && e.Downloadable(time.Now()), Removed: e.State == control.ExportDone && e.File != "" && e.Outdated(),
		CreatedAt: e.CreatedAt, StartedAt: maybe(e.StartedAt), DoneAt: maybe(e.DoneAt), ExpiresAt: maybe(e.ExpiresAt)}
	if !e.Kind.Lines() {
		out.Delimiter, out.BOM = s.Delimiter, s.BOM
	}
	if e.Kind.Counts() {
		out.Report = new(client.Report)
		carry(s.Report, out.Report)
	}
	if e.Place.Linked() {
		out.Folder = e.Folder()
	}
	return out
}

type listExportsIn struct {
	paged
	spoken
	Kind    string           `query:"kind" enum:",segment_users,control_group,users_csv,emails_csv,campaign_users_csv,canvas_users_csv,campaign_performance,custom_events,revenue,engagement"`
	State   string           `query:"state" enum:",waiting,running,done,failed,cancelled"`
	Source  string           `query:"source" enum:",api,dashboard,schedule"`
	Subject string           `query:"subject" doc:"Id of the segment, campaign, Canvas or report."`
	Member  control.MemberID `query:"member" doc:"Id of who asked, who may be gone."`
}

func (a *api) listExports(c *call, in listExportsIn) (client.Page[client.Export], error) {
	f := control.ExportFilter{Source: control.ExportSource(in.Source), Subject: in.Subject, Member: in.Member}
	if in.Kind != "" {
		f.Kinds = []control.ExportKind{control.ExportKind(in.Kind)}
	}
	if in.State != "" {
		f.States = []control.ExportState{control.ExportState(in.State)}
	}
	return page(c, in.paged, func(before int64, limit int) ([]control.Export, error) {
		return a.deps.Store.Exports(c, c.workspace.Number, f, before, limit)
	}, func(e control.Export) int64 { return e.Number }, func(e control.Export) client.Export { return a.showExport(c.reader(), e) })
}

type createExportIn struct {
	spoken
	Body client.ExportCreate `body:""`
}

// exported is what kinds of exports are about that events tell of.
var exported = map[control.ExportKind]program{control.ExportCampaignUsers: campaigns, control.ExportCanvasUsers: canvases, control.ExportPerformance: campaigns}

// export gives what is asked for. Errors: not_found if there is no such campaign or Canvas; invalid with every problem if
// none is named.
func (a *api) export(c *call, in createExportIn) (control.Export, error) {
	b := in.Body
	e := control.Export{Workspace: c.workspace.Number, Kind: control.ExportKind(b.Kind), Source: control.ExportByAPI, Subject: b.Subject,
		Spec: control.ExportSpec{Fields: b.Fields, Attributes: b.Attributes, Events: b.Events, Packing: b.Packing, Delimiter: b.Delimiter, BOM: b.BOM,
			Language: cmp.Or(b.Language, c.actor.Language), Recipients: b.Recipients}}
	if c.session.ID != "" {
		e.Source = control.ExportByDashboard
	}
	if b.Report != nil {
		carry(b.Report, &e.Spec.Report)
	}
	of, about := exported[e.Kind], e.Subject
	switch {
	case e.Kind == control.ExportPerformance && len(e.Spec.Report.Campaigns) == 1:
		about = e.Spec.Report.Campaigns[0]
	case of == program{} || e.Kind == control.ExportPerformance:
		return e, nil
	case about == "":
		problems := []fault.Problem{fault.Field("subject", "required", "field.export_of", "Say of which one.")}
		if more := fault.As(a.deps.Plane.LookAtExport(c, e)); more != nil {
			problems = append(problems, more.Fields...)
		}
		return e, refused(problems)
	}
	_, t, err := a.program(c, of, about)
	e.Title = t.title()
	return e, err
}

func (a *api) lookAtExport(c *call, in createExportIn) error {
	e, err := a.export(c, in)
	if err != nil {
		return err
	}
	return a.deps.Plane.LookAtExport(c, e)
}

func (a *api) createExport(c *call, in createExportIn) (client.Export, error) {
	if _, err := a.profiles(); err != nil {
		return client.Export{}, err
	}
	e, err := a.export(c, in)
	if err == nil {
		e, err = a.deps.Plane.AskExport(c, e)
	}
	if err != nil {
		return client.Export{}, err
	}
	a.deps.Wake()
	c.location("/workspaces/%s/exports/%s", workspaceID(e.Workspace), e.ID)
	return a.showExport(c.reader(), e), nil
}

type exportIn struct {
	spoken
	Export control.ExportID `path:"export"`
}

func (a *api) getExport(c *call, in exportIn) (client.Export, error) {
	e, err := a.deps.Store.Export(c, c.workspace.Number, in.Export)
	if err != nil {
		return client.Export{}, err
	}
	return a.showExport(c.reader(), e), nil
}

func (a *api) cancelExport(c *call, in exportIn) (client.Export, error) {
	e, err := a.deps.Plane.CancelExport(c, c.workspace.Number, in.Export)
	if err != nil {
		return client.Export{}, err
	}
	a.deps.Wake()
	c.location("/workspaces/%s/exports/%s", workspaceID(e.Workspace), e.ID)
	return a.showExport(c.reader(), e), nil
}

type exportFileIn struct {
	Export control.ExportID `path:"export"`
}

func (a *api) downloadExport(c *call, in exportFileIn) (attachment, error) {
	e, err := a.deps.Plane.DownloadExport(c, c.workspace.Number, in.Export, false)
	if err != nil {
		return attachment{}, err
	}
	f, err := a.deps.ExportFile(c, e)
	return attachment{fileOf(e), e.DoneAt, f}, err
}

// fileOf is what an export's file is called where it is kept: nothing of it is anybody's own words. The end of an id is random.
func fileOf(e control.Export) string {
	return string(e.Kind) + "-" + e.CreatedAt.UTC().Format(time.DateOnly) + "-" + string(e.ID[len(e.ID)-8:]) + path.Ext(e.File)
}
