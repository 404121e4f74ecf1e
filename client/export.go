package client

import (
	"context"
	"io"
	"iter"
	"time"
)

// Export is something that is taken out on demand. Its row stays; its file can be downloaded for a few hours.
type Export struct {
	ID      string `json:"id"`
	Kind    string `json:"kind" doc:"As ExportCreate has it."`
	Source  string `json:"source" enum:"api,dashboard,schedule" doc:"By what it was asked for."`
	By      string `json:"by" doc:"Who asked: the e-mail address of a member, or the name of an API key."`
	Subject string `json:"subject,omitempty" doc:"Id of the segment, campaign, Canvas or report; absent: the whole workspace."`
	Name    string `json:"name,omitempty" doc:"What that was called then."`
	ExportForm

	State  string `json:"state" enum:"waiting,running,done,failed,cancelled"`
	People int64  `json:"people" doc:"Written so far; of a report its lines."`
	Total  int64  `json:"total,omitempty" doc:"About how many there are; absent: not known."`
	Parts  int    `json:"parts" doc:"Files that are finished."`
	Bytes  int64  `json:"bytes" doc:"Of what is finished, packed."`
	Error  *Error `json:"error,omitempty" doc:"Why it failed, and what to do; while it waits or runs: why it is held up, and is tried again by itself."`

	Bucket       string `json:"bucket,omitempty" doc:"Of the workspace's, to which its files go; absent: none was linked."`
	Endpoint     string `json:"endpoint,omitempty"`
	Folder       string `json:"folder,omitempty" doc:"Where in the bucket."`
	ObjectPrefix string `json:"object_prefix" doc:"As the compatible calls answer it."`

	Downloadable bool       `json:"downloadable" doc:"DownloadExport gives its file, until expires_at."`
	Removed      bool       `json:"removed,omitempty" doc:"Its file was removed before, because somebody was deleted since who is, or may be, in it."`
	CreatedAt    time.Time  `json:"created_at"`
	StartedAt    *time.Time `json:"started_at,omitempty"`
	DoneAt       *time.Time `json:"done_at,omitempty" doc:"When it was done, failed or was cancelled."`
	ExpiresAt    *time.Time `json:"expires_at,omitempty" doc:"Until when its file can be downloaded."`
}

// ExportForm is how an export's files are made, as far as its kind knows it.
type ExportForm struct {
	Fields     []string `json:"fields_to_export,omitempty" doc:"Of JSON lines: names of the user export object."`
	Attributes []string `json:"custom_attributes_to_export,omitempty" doc:"Custom attributes: columns of a CSV, or in JSON lines those that are written in place of all."`
	Events     []string `json:"custom_events_to_export,omitempty" doc:"Custom events: columns of a CSV."`
	Packing    string   `json:"output_format,omitempty" enum:",zip,gzip,none" doc:"zip if it is left out. JSON lines have zip and gzip, which is of files in a linked bucket; a CSV of people has zip; a report has all three."`
	Delimiter  string   `json:"delimiter,omitempty" doc:"Of a CSV or report: a comma, a semicolon, a colon or |. A comma if it is left out."`
	BOM        bool     `json:"bom,omitempty" doc:"Of a CSV: it begins with a byte order mark, by which spreadsheets know UTF-8."`
	Report     *Report  `json:"report,omitempty" doc:"What a report is about; of kinds that are none there is none."`
	Language   string   `json:"language,omitempty" enum:",en,pt-BR,es" doc:"Of mails about it; that of who asks if it is left out."`
	Recipients []string `json:"recipients,omitempty" doc:"E-mail addresses of members who are told when it is done; who asks if it is left out."`
}

// Report is what a report is about. Its days are those of UTC, as statistics are kept.
type Report struct {
	Campaigns  []string `json:"campaigns,omitempty" doc:"Of engagement: ids. Of performance: one."`
	Canvases   []string `json:"canvases,omitempty" doc:"Of engagement: ids."`
	Tags       []string `json:"tags,omitempty" doc:"Of engagement, in place of ids: whatever campaigns and Canvases have these when it is made."`
	AllTags    bool     `json:"all_tags,omitempty" doc:"Each of the tags is needed, and not one at least."`
	Names      []string `json:"names,omitempty" doc:"Of custom events and revenue: names of events, ids of products. All if it is left out."`
	Statistics []string `json:"statistics,omitempty" doc:"Of engagement: columns, as email.unique_opens. All if it is left out."`
	Variations bool     `json:"variations,omitempty" doc:"Of performance: a line for each variation."`
	FirstDay   string   `json:"first_day,omitempty" doc:"As 2026-11-22. That of the oldest number if it is left out."`
	LastDay    string   `json:"last_day,omitempty" doc:"Today if it is left out."`
	LastDays   int      `json:"last_days,omitempty" doc:"In place of both: so many whole days before the one on which it is made, in UTC."`
	Every      int      `json:"every,omitempty" doc:"A line is of so many days or weeks; one if it is left out."`
	Per        string   `json:"per,omitempty" enum:",hour,day,week,range" doc:"What a line is of; a day if it is left out. Only custom events and revenue are counted by the hour."`
}

// ExportCreate is what is to be taken out.
type ExportCreate struct {
	Kind    string `json:"kind" enum:"segment_users,control_group,users_csv,emails_csv,campaign_users_csv,canvas_users_csv,campaign_performance,custom_events,revenue,engagement" doc:"JSON lines of a segment's people or of the global control group; a CSV of a segment's people, of their e-mail addresses, of the people who got a campaign or entered a Canvas. The last four are reports."`
	Subject string `json:"subject,omitempty" doc:"Id of the segment, campaign or Canvas. Without one, kinds about segments take everybody."`
	ExportForm
}

// ExportFilter narrows a list of exports down. What is empty narrows nothing.
type ExportFilter struct {
	Kind    string
	State   string
	Source  string
	Subject string
	Member  string // id of who asked
}

// ListExports lists a workspace's exports, the newest first. Errors, as of all methods about exports: forbidden without the
// right to export user data.
func (c *Client) ListExports(ctx context.Context, workspace string, f ExportFilter) iter.Seq2[Export, error] {
	return list[Export](ctx, c, get(path("/workspaces/%s/exports", workspace)).
		with(map[string]string{"kind": f.Kind, "state": f.State, "source": f.Source, "subject": f.Subject, "member": f.Member}).told(c))
}

// CreateExport asks for an export, which waits for its turn. Errors: invalid with every problem; not_found: there is no such
// segment, campaign or Canvas; conflict: the workspace has no global control group; rate_limited: too many wait.
func (c *Client) CreateExport(ctx context.Context, workspace string, in ExportCreate) (Export, error) {
	return ask[Export](ctx, c, create(path("/workspaces/%s/exports", workspace), in).told(c))
}

// GetExport says how far an export is, and what came of it.
func (c *Client) GetExport(ctx context.Context, workspace, id string) (Export, error) {
	return ask[Export](ctx, c, get(path("/workspaces/%s/exports/%s", workspace, id)).told(c))
}

// CancelExport ends an export that waits or runs; one that has ended stays as it is.
func (c *Client) CancelExport(ctx context.Context, workspace, id string) (Export, error) {
	return ask[Export](ctx, c, create(path("/workspaces/%s/exports/%s/cancel", workspace, id), nil).told(c))
}

// DownloadExport gives the file of an export, whatever time it takes; the caller closes it. Who downloaded stands in the log
// of changes. Errors: not_found: it is not ready, or there is none; stale: the file doesn't exist anymore.
func (c *Client) DownloadExport(ctx context.Context, workspace, id string) (io.ReadCloser, error) {
	return c.stream(ctx, get(path("/workspaces/%s/exports/%s/file", workspace, id)))
}
