package client

import (
	"context"
	"iter"
)

// ListWorkspaces lists the workspaces that the member may see.
func (c *Client) ListWorkspaces(ctx context.Context) iter.Seq2[Workspace, error] {
	return list[Workspace](ctx, c, get("/workspaces"))
}

// CreateWorkspace makes a workspace. It needs an installation administrator. Errors: conflict: the name is taken.
func (c *Client) CreateWorkspace(ctx context.Context, in WorkspaceCreate) (Workspace, error) {
	return ask[Workspace](ctx, c, create("/workspaces", in))
}

// GetWorkspace gives a workspace.
func (c *Client) GetWorkspace(ctx context.Context, workspace string) (Workspace, error) {
	return ask[Workspace](ctx, c, get(path("/workspaces/%s", workspace)))
}

// UpdateWorkspace changes a workspace.
func (c *Client) UpdateWorkspace(ctx context.Context, workspace string, e WorkspaceEdit) (Workspace, error) {
	return ask[Workspace](ctx, c, patch(path("/workspaces/%s", workspace), e))
}

// ChangeFilter chooses entries of the log of changes. Fields that are empty choose all.
type ChangeFilter struct {
	Kind    string // of things that were changed: connector, api_key, member …
	Subject string // id of the thing
	Member  string // id of who changed it
}

func (f ChangeFilter) query() map[string]string {
	return map[string]string{"kind": f.Kind, "subject": f.Subject, "member": f.Member}
}

// ListChanges lists who changed what in a workspace, newest first.
func (c *Client) ListChanges(ctx context.Context, workspace string, f ChangeFilter) iter.Seq2[ChangeEntry, error] {
	return list[ChangeEntry](ctx, c, get(path("/workspaces/%s/changes", workspace)).with(f.query()))
}

// ListInstallationChanges lists what was changed of the installation, newest first.
func (c *Client) ListInstallationChanges(ctx context.Context, f ChangeFilter) iter.Seq2[ChangeEntry, error] {
	return list[ChangeEntry](ctx, c, get("/installation/changes").with(f.query()))
}
