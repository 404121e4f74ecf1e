package web

import (
	"net/http"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
)

// draftRoutes are about connectors that are not ready.
func (a *api) draftRoutes() []route {
	const group, at = "drafts", "/workspaces/{workspace}/drafts"
	return []route{
		{name: "listDrafts", method: http.MethodGet, path: at, right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists the workspace's drafts, oldest first.", op: op(a.listDrafts)},
		{name: "createDraft", method: http.MethodPost, path: at, right: control.RightChange, group: group, status: http.StatusCreated,
			summary: "Keeps a connector that is not ready. Only its name is looked at.", op: op(a.createDraft),
			rules: look(func(_ *call, in launchConnectorIn) error { return a.deps.Plane.LookAtDraft(editOf(in.Body)) })},
		{name: "getDraft", method: http.MethodGet, path: at + "/{draft}", right: control.RightView, group: group, status: http.StatusOK, versioned: versionsOfDraft,
			summary: "Gives a draft, without its secret.", op: op(a.getDraft)},
		{name: "saveDraft", method: http.MethodPut, path: at + "/{draft}", right: control.RightChange, group: group, status: http.StatusOK, versioned: versionsOfDraft,
			summary: "Keeps a draft anew. A secret that is left out stays.", op: op(a.saveDraft),
			rules: look(func(_ *call, in saveDraftIn) error { return a.deps.Plane.LookAtDraft(editOf(in.Body)) })},
		{name: "deleteDraft", method: http.MethodDelete, path: at + "/{draft}", right: control.RightChange, group: group, status: http.StatusNoContent,
			summary: "Forgets a draft.", op: op(a.deleteDraft)},
		{name: "launchDraft", method: http.MethodPost, path: at + "/{draft}/launch", right: control.RightChange, group: group, status: http.StatusAccepted,
			summary: "Launches what a draft describes; the draft goes once its check has passed.", op: op(a.launchDraft)},
	}
}

func showDraft(d control.Draft) client.Draft {
	secret := d.Edit.SecretAccessKey
	return client.Draft{ID: string(d.ID), Name: d.Name(), HasSecret: secret != nil && !secret.Empty(), CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt, Connector: showEdit(d.Edit)}
}

// showEdit gives what is wanted of a connector, without its secret.
func showEdit(e control.Edit) client.ConnectorEdit {
	out := client.ConnectorEdit{Name: e.Name, ContactEmail: e.ContactEmail, Encryption: e.Encryption, Codec: e.Codec, Paused: e.Paused, Test: e.Test}
	to := client.DestinationEdit{Bucket: e.Bucket, Folder: e.Folder, Region: e.Region, Endpoint: e.Endpoint, PathStyle: e.PathStyle, AccessKeyID: e.AccessKeyID, RoleARN: e.RoleARN}
	if e.SameAs != nil {
		to.SameAs = new(string(*e.SameAs))
	}
	if to != (client.DestinationEdit{}) {
		out.Destination = &to
	}
	if e.Events != nil {
		out.Events = &e.Events
	}
	if e.Transformations != nil {
		out.Transformations = new(append([]client.Transformation{}, showTransformations(e.Transformations)...))
	}
	if e.FlushInterval != nil || e.FlushEvents != nil {
		out.Flush = &client.FlushEdit{Events: e.FlushEvents}
		if e.FlushInterval != nil {
			out.Flush.Interval = new(e.FlushInterval.String())
		}
	}
	return out
}

func (a *api) listDrafts(c *call, in paged) (client.Page[client.Draft], error) {
	all, err := a.deps.Store.Drafts(c, c.workspace.Number)
	if err != nil {
		return client.Page[client.Draft]{}, err
	}
	return pageOf(c, in, all, func(d control.Draft) int64 { return idNumber(d.ID) }, showDraft)
}

type draftIn struct {
	Draft control.ConnectorID `path:"draft"`
}

func (a *api) createDraft(c *call, in launchConnectorIn) (client.Draft, error) {
	d, err := a.deps.Plane.SaveDraft(c, c.workspace.Number, "", editOf(in.Body), nil)
	if err == nil {
		c.location("/workspaces/%s/drafts/%s", workspaceID(c.workspace.Number), d.ID)
	}
	return showDraft(d), err
}

func (a *api) getDraft(c *call, in draftIn) (client.Draft, error) {
	d, err := a.deps.Store.Draft(c, c.workspace.Number, in.Draft)
	c.versioned(d.Rev)
	return showDraft(d), err
}

type saveDraftIn struct {
	Draft control.ConnectorID  `path:"draft"`
	Body  client.ConnectorEdit `body:""`
}

func (a *api) saveDraft(c *call, in saveDraftIn) (client.Draft, error) {
	rev, err := meant(c)
	if err != nil {
		return client.Draft{}, err
	}
	d, err := a.deps.Plane.SaveDraft(c, c.workspace.Number, in.Draft, editOf(in.Body), rev)
	c.versioned(d.Rev)
	return showDraft(d), err
}

func (a *api) deleteDraft(c *call, in draftIn) (none, error) {
	return none{}, a.deps.Plane.DeleteDraft(c, c.workspace.Number, in.Draft)
}

func (a *api) launchDraft(c *call, in draftIn) (client.Check, error) {
	j, err := a.deps.Plane.AskLaunchDraft(c, c.workspace.Number, in.Draft)
	return a.begun(c, j, err)
}
