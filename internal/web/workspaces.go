package web

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// workspaceRoutes are about tenants and what was changed of them.
func (a *api) workspaceRoutes() []route {
	const group = "workspaces"
	return []route{
		{name: "listWorkspaces", method: http.MethodGet, path: "/workspaces", right: control.RightSignedIn, group: group, status: http.StatusOK,
			summary: "Lists the workspaces that the member may see.", op: op(a.listWorkspaces)},
		{name: "createWorkspace", method: http.MethodPost, path: "/workspaces", right: control.RightInstall, group: group, status: http.StatusCreated,
			summary: "Makes a workspace.", op: op(a.createWorkspace),
			rules: look(func(_ *call, in createWorkspaceIn) error {
				return refused(control.Workspace{Name: in.Body.Name, UnknownFields: control.RejectUnknown, TimeZone: in.Body.TimeZone}.Validate()) // the rest are lists of values
			})},
		{name: "getWorkspace", method: http.MethodGet, path: "/workspaces/{workspace}", right: control.RightView, group: group, status: http.StatusOK, versioned: versionsOfWorkspace,
			summary: "Gives a workspace.", op: op(a.getWorkspace)},
		{name: "updateWorkspace", method: http.MethodPatch, path: "/workspaces/{workspace}", right: control.RightAdminister, group: group, status: http.StatusOK, versioned: versionsOfWorkspace,
			summary: "Changes name, language, time zone, the global control group or what becomes of unknown fields.", op: op(a.updateWorkspace),
			rules: look(func(c *call, in updateWorkspaceIn) error {
				w := c.workspace
				if in.Body.Name != nil {
					w.Name = *in.Body.Name
				}
				if in.Body.TimeZone != nil {
					w.TimeZone = *in.Body.TimeZone
				}
				problems := w.Validate()
				if r := readRanges(in.Body.ControlGroup); r != nil {
					if _, err := control.BucketsOf("control_group", *r); err != nil {
						problems = append(problems, fault.As(err).Fields...)
					}
				}
				return refused(problems)
			})},
		{name: "listChanges", method: http.MethodGet, path: "/workspaces/{workspace}/changes", right: control.RightAdminister, group: group, status: http.StatusOK,
			summary: "Lists who changed what in the workspace, newest first.", op: op(a.listChanges)},
	}
}

func showWorkspace(w control.Workspace) client.Workspace {
	out := client.Workspace{ID: workspaceID(w.Number), Name: w.Name, UnknownFields: string(w.UnknownFields), Language: w.Language, TimeZone: w.TimeZone, ControlGroup: []client.BucketRange{}, CreatedAt: w.CreatedAt}
	for _, r := range w.ControlGroup.Ranges() {
		out.ControlGroup = append(out.ControlGroup, client.BucketRange(r))
	}
	return out
}

// readRanges gives the ranges that are wanted; nil: they stay.
func readRanges(in *[]client.BucketRange) *[]control.BucketRange {
	if in == nil {
		return nil
	}
	out := []control.BucketRange{}
	for _, r := range *in {
		out = append(out, control.BucketRange(r))
	}
	return &out
}

func (a *api) listWorkspaces(c *call, in paged) (out client.Page[client.Workspace], err error) {
	all, err := a.deps.Store.Workspaces(c)
	if err != nil {
		return out, err
	}
	mine := all[:0]
	for _, w := range all {
		if c.actor.May(control.RightView, w.Number) {
			mine = append(mine, w)
		}
	}
	return pageOf(c, in, mine, func(w control.Workspace) int64 { return int64(w.Number) }, showWorkspace)
}

type createWorkspaceIn struct {
	Body client.WorkspaceCreate `body:""`
}

func (a *api) createWorkspace(c *call, in createWorkspaceIn) (client.Workspace, error) {
	w, err := a.deps.Plane.CreateWorkspace(c, control.Workspace{Name: in.Body.Name, UnknownFields: control.UnknownFields(in.Body.UnknownFields), Language: in.Body.Language, TimeZone: in.Body.TimeZone})
	if err != nil {
		return client.Workspace{}, err
	}
	c.location("/workspaces/%s", workspaceID(w.Number))
	return showWorkspace(w), nil
}

type updateWorkspaceIn struct {
	Body client.WorkspaceEdit `body:""`
}

func (a *api) getWorkspace(c *call, _ struct{}) (client.Workspace, error) {
	c.versioned(c.workspace.Rev)
	return showWorkspace(c.workspace), nil
}

func (a *api) updateWorkspace(c *call, in updateWorkspaceIn) (client.Workspace, error) {
	rev, err := meant(c)
	if err != nil {
		return client.Workspace{}, err
	}
	w, err := a.deps.Plane.UpdateWorkspace(c, c.workspace.Number, control.WorkspaceEdit{Name: in.Body.Name,
		UnknownFields: (*control.UnknownFields)(in.Body.UnknownFields), Language: in.Body.Language, TimeZone: in.Body.TimeZone, ControlGroup: readRanges(in.Body.ControlGroup), Rev: rev})
	if err != nil {
		return client.Workspace{}, err
	}
	c.versioned(w.Rev)
	return showWorkspace(w), nil
}

type changesIn struct {
	paged
	Kind    string           `query:"kind" enum:",api_key,campaign,canvas,connector,data_export,draft,export,invitation,member,person,schedule,segment,session,token,webhook,workspace" doc:"Of things that were changed."`
	Subject string           `query:"subject" doc:"Id of the thing, which may be gone."`
	Member  control.MemberID `query:"member" doc:"Id of who changed it, who may be gone."`
	From    time.Time        `query:"from" doc:"Changes of this moment and later."`
	Until   time.Time        `query:"until" doc:"Changes before it."`
}

func (a *api) listChanges(c *call, in changesIn) (client.Page[client.ChangeEntry], error) {
	return a.changes(c, in, control.EntryFilter{Workspace: c.workspace.Number})
}

func (a *api) changes(c *call, in changesIn, f control.EntryFilter) (client.Page[client.ChangeEntry], error) {
	f.Kind, f.SubjectID, f.Member, f.From, f.Until = in.Kind, in.Subject, in.Member, in.From, in.Until
	if n, err := a.deps.IDs.number(webhookID, in.Subject); err == nil { // the log has the number of its row, which other things may have too
		f.Kind, f.SubjectID = cmp.Or(in.Kind, webhookKind), strconv.FormatInt(n, 10)
	}
	return page(c, in.paged, func(before int64, limit int) ([]control.Entry, error) {
		return a.deps.Store.Entries(c, f, before, limit)
	},
		func(e control.Entry) int64 { return e.ID }, a.showEntry)
}

// webhookKind is what the log of changes calls webhooks.
const webhookKind = "webhook"

func (a *api) showEntry(e control.Entry) client.ChangeEntry {
	out := client.ChangeEntry{
		ID: a.deps.IDs.name(entryID, e.ID), At: e.At, Actor: e.Actor, Via: e.Via, Address: e.Address, RequestID: e.Request,
		Action: e.Action, SubjectID: e.SubjectID, SubjectName: e.SubjectName, Before: anyObject(e.Before), After: anyObject(e.After),
	}
	if kind, _, _ := strings.Cut(e.Action, "."); kind == webhookKind {
		n, _ := strconv.ParseInt(e.SubjectID, 10, 64) // of this program's making
		out.SubjectID = a.deps.IDs.name(webhookID, n)
	}
	if e.Workspace != 0 {
		out.Workspace = workspaceID(e.Workspace)
	}
	return out
}

// anyObject reads an object that this program has written; nil for none.
func anyObject(raw json.RawMessage) (m map[string]any) {
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, &m) // what cannot be read is shown as nothing: the rest of the line still counts
	}
	return m
}
