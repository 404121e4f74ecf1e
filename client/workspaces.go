package client

import (
	"context"
	"iter"
	"time"
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

// UpdateWorkspace changes a workspace. Errors: stale, if etag is not empty.
func (c *Client) UpdateWorkspace(ctx context.Context, workspace string, e WorkspaceEdit, etag string) (Workspace, error) {
	return ask[Workspace](ctx, c, patch(path("/workspaces/%s", workspace), e).based(etag))
}

// ChangeFilter chooses entries of the log of changes. Fields that are empty choose all.
type ChangeFilter struct {
	Kind    string    // of things that were changed: connector, api_key, member …
	Subject string    // id of the thing
	Member  string    // id of who changed it
	From    time.Time // changes of this moment and later
	Until   time.Time // changes before it
}

func (f ChangeFilter) query() map[string]string {
	return map[string]string{"kind": f.Kind, "subject": f.Subject, "member": f.Member, "from": moment(f.From), "until": moment(f.Until)}
}

// ListChanges lists who changed what in a workspace, newest first.
func (c *Client) ListChanges(ctx context.Context, workspace string, f ChangeFilter) iter.Seq2[ChangeEntry, error] {
	return list[ChangeEntry](ctx, c, get(path("/workspaces/%s/changes", workspace)).with(f.query()))
}

// ListInstallationChanges lists what was changed of the installation, newest first.
func (c *Client) ListInstallationChanges(ctx context.Context, f ChangeFilter) iter.Seq2[ChangeEntry, error] {
	return list[ChangeEntry](ctx, c, get("/installation/changes").with(f.query()))
}

// ListNotices lists what was told about a workspace, newest first.
func (c *Client) ListNotices(ctx context.Context, workspace string) iter.Seq2[Notice, error] {
	return list[Notice](ctx, c, get(path("/workspaces/%s/notices", workspace)).told(c))
}

// CountUnread gives how many notices of a workspace the member has not read.
func (c *Client) CountUnread(ctx context.Context, workspace string) (Unread, error) {
	return ask[Unread](ctx, c, get(path("/workspaces/%s/notices/unread", workspace)))
}

// MarkNoticesRead notes up to which notice the member has read.
func (c *Client) MarkNoticesRead(ctx context.Context, workspace string, in NoticesRead) error {
	return c.tell(ctx, put(path("/workspaces/%s/notices/read", workspace), in))
}

// ListInstallationNotices is ListNotices for the installation itself.
func (c *Client) ListInstallationNotices(ctx context.Context) iter.Seq2[Notice, error] {
	return list[Notice](ctx, c, get("/installation/notices").told(c))
}

// CountInstallationUnread is CountUnread for the installation itself.
func (c *Client) CountInstallationUnread(ctx context.Context) (Unread, error) {
	return ask[Unread](ctx, c, get("/installation/notices/unread"))
}

// MarkInstallationNoticesRead is MarkNoticesRead for the installation itself.
func (c *Client) MarkInstallationNoticesRead(ctx context.Context, in NoticesRead) error {
	return c.tell(ctx, put("/installation/notices/read", in))
}

// ListWebhooks lists a workspace's webhooks, oldest first.
func (c *Client) ListWebhooks(ctx context.Context, workspace string) iter.Seq2[Webhook, error] {
	return list[Webhook](ctx, c, get(path("/workspaces/%s/webhooks", workspace)))
}

// CreateWebhook makes a webhook.
func (c *Client) CreateWebhook(ctx context.Context, workspace string, in WebhookCreate) (WebhookIssued, error) {
	return ask[WebhookIssued](ctx, c, create(path("/workspaces/%s/webhooks", workspace), in))
}

// DeleteWebhook removes a webhook.
func (c *Client) DeleteWebhook(ctx context.Context, workspace, id string) error {
	return c.tell(ctx, del(path("/workspaces/%s/webhooks/%s", workspace, id)))
}

// TestWebhook calls a webhook once, and says whether it was taken.
func (c *Client) TestWebhook(ctx context.Context, workspace, id string) (WebhookTest, error) {
	return ask[WebhookTest](ctx, c, post(path("/workspaces/%s/webhooks/%s/test", workspace, id), nil))
}

// ListEventTypes lists the types of events with their fields.
func (c *Client) ListEventTypes(ctx context.Context) iter.Seq2[EventType, error] {
	return list[EventType](ctx, c, get("/event-types"))
}

// Table says which table definition is wanted, over which files: a connector's, or those of a bucket and folder.
type Table struct {
	DDL       string // snowflake, athena, redshift, spark, bigquery, duckdb; empty: none
	Workspace string // of Connector
	Connector string // its id
	Bucket    string
	Folder    string
}

// GetEventType gives a type of events, with a table definition if one is wanted.
func (c *Client) GetEventType(ctx context.Context, name string, t Table) (EventType, error) {
	return ask[EventType](ctx, c, get(path("/event-types/%s", name)).with(map[string]string{
		"ddl": t.DDL, "workspace": t.Workspace, "connector": t.Connector, "bucket": t.Bucket, "folder": t.Folder,
	}))
}

// PolicyFor says of which access a policy is wanted.
type PolicyFor struct {
	Bucket string
	Method string // key, role; empty: key
	Format string // json, cli, terraform, cloudformation; empty: json
	Strict bool   // the tight form where the vendor's is loose
	Folder string // with Strict: objects of this folder only
}

// GetPolicy gives the IAM policy that a bucket needs for a kind of use: currents, exports, both.
func (c *Client) GetPolicy(ctx context.Context, workspace, kind string, f PolicyFor) (Policy, error) {
	return ask[Policy](ctx, c, get(path("/workspaces/%s/policies/%s", workspace, kind)).with(map[string]string{
		"bucket": f.Bucket, "method": f.Method, "format": f.Format, "strict": flag(f.Strict), "folder": f.Folder,
	}))
}

// GetTrust gives what a role has to trust for an integration, currents or exports, with the policy in a format; see
// PolicyFor.
func (c *Client) GetTrust(ctx context.Context, workspace, integration, format string) (Trust, error) {
	return ask[Trust](ctx, c, get(path("/workspaces/%s/trust", workspace)).with(map[string]string{"integration": integration, "format": format}))
}
