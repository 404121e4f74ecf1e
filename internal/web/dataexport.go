package web

import (
	"net/http"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
)

// dataExportRoutes are about a workspace's bucket for exports on demand.
func (a *api) dataExportRoutes() []route {
	const group, at = "data-export", "/workspaces/{workspace}/data-export"
	return []route{
		{name: "getDataExport", method: http.MethodGet, path: at, right: control.RightView, group: group, status: http.StatusOK, versioned: versionsOfExport,
			summary: "Gives the data export integration.", op: op(a.getDataExport)},
		{name: "saveDataExport", method: http.MethodPut, path: at, right: control.RightChange, group: group, status: http.StatusAccepted, versioned: versionsOfExport,
			summary: "Links the workspace to a bucket, or changes the link, once the check that this begins has passed.", op: op(a.saveDataExport), rules: look(a.lookAtDataExport)},
		{name: "testDataExport", method: http.MethodPost, path: at + "/test", right: control.RightChange, group: group, status: http.StatusAccepted,
			summary: "Tries what the data export would be, and saves nothing.", op: op(a.testDataExport), rules: look(a.lookAtDataExport)},
		{name: "deleteDataExport", method: http.MethodDelete, path: at, right: control.RightChange, group: group, status: http.StatusNoContent,
			summary: "Ends the link and forgets its credentials; what was written stays in the bucket.", op: op(a.deleteDataExport)},
		{name: "listDataExportChecks", method: http.MethodGet, path: at + "/checks", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists the last checks of the data export's credentials, newest first.", op: op(a.listDataExportChecks)},
	}
}

func (a *api) getDataExport(c *call, _ struct{}) (client.DataExport, error) {
	d, err := a.deps.Store.DataExport(c, c.workspace.Number)
	if err != nil {
		return client.DataExport{}, err
	}
	c.versioned(d.Rev)
	return client.DataExport{Bucket: d.Bucket, Region: d.Region, Endpoint: d.Endpoint, PathStyle: d.PathStyle, AccessKeyID: d.AccessKeyID,
		RoleARN: d.RoleARN, CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt}, nil
}

type dataExportIn struct {
	Body client.DataExportEdit `body:""`
}

func (in dataExportIn) edit() control.ExportEdit {
	b := in.Body
	return control.ExportEdit{Bucket: b.Bucket, Region: b.Region, Endpoint: b.Endpoint, PathStyle: b.PathStyle, AccessKeyID: b.AccessKeyID,
		SecretAccessKey: hidden(b.SecretAccessKey), RoleARN: b.RoleARN}
}

// showExportEdit gives what is wanted of a data export, without its secret.
func showExportEdit(e control.ExportEdit) client.DataExportEdit {
	return client.DataExportEdit{Bucket: e.Bucket, Region: e.Region, Endpoint: e.Endpoint, PathStyle: e.PathStyle, AccessKeyID: e.AccessKeyID, RoleARN: e.RoleARN}
}

func (a *api) lookAtDataExport(c *call, in dataExportIn) error {
	return a.deps.Plane.LookAtDataExport(c, c.workspace.Number, in.edit())
}

func (a *api) saveDataExport(c *call, in dataExportIn) (client.Check, error) {
	rev, err := meant(c)
	if err != nil {
		return client.Check{}, err
	}
	j, err := a.deps.Plane.AskSaveDataExport(c, c.workspace.Number, in.edit(), rev)
	return a.begun(c, j, err)
}

func (a *api) testDataExport(c *call, in dataExportIn) (client.Check, error) {
	j, err := a.deps.Plane.AskTestDataExport(c, c.workspace.Number, in.edit())
	return a.begun(c, j, err)
}

func (a *api) deleteDataExport(c *call, _ struct{}) (none, error) {
	return none{}, a.deps.Plane.UnlinkDataExport(c, c.workspace.Number)
}

type dataExportChecksIn struct {
	paged
	spoken
}

func (a *api) listDataExportChecks(c *call, in dataExportChecksIn) (client.Page[client.PastCheck], error) {
	return a.pastChecks(c, "", in.paged)
}
