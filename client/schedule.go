package client

import (
	"context"
	"iter"
	"time"
)

// ReportSchedule is a report that is made again and again, each time as an Export, with the rights that who changed it last
// has then.
type ReportSchedule struct {
	Versioned
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Kind       string   `json:"kind" doc:"As ExportCreate has it."`
	Report     Report   `json:"report"`
	Packing    string   `json:"output_format"`
	Delimiter  string   `json:"delimiter"`
	BOM        bool     `json:"bom"`
	Language   string   `json:"language"`
	Recipients []string `json:"recipients" doc:"E-mail addresses of members; none: who changed it last."`
	Every      int      `json:"every"`
	Unit       string   `json:"unit" enum:"day,week,month"`
	FirstDay   string   `json:"first_day"`
	Hour       int      `json:"hour"`
	Zone       string   `json:"zone"`
	LastDay    string   `json:"last_day,omitempty" doc:"On which it may run; absent: there is none."`
	Most       int      `json:"most,omitempty" doc:"How often it runs; absent: it does not end by that."`
	Paused     bool     `json:"paused"`
	Error      *Error   `json:"error,omitempty" doc:"Why it was paused by itself."`

	Runs      int        `json:"runs" doc:"How often it ran."`
	RanAt     *time.Time `json:"ran_at,omitempty" doc:"The last time."`
	NextAt    *time.Time `json:"next_at,omitempty" doc:"Absent: never."`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
}

// ScheduleEdit is what is wanted of a schedule; what is nil stays as it is. A new one needs a name, a kind and a report.
type ScheduleEdit struct {
	Name       *string   `json:"name,omitempty"`
	Kind       *string   `json:"kind,omitempty"`
	Report     *Report   `json:"report,omitempty"`
	Packing    *string   `json:"output_format,omitempty"`
	Delimiter  *string   `json:"delimiter,omitempty"`
	BOM        *bool     `json:"bom,omitempty"`
	Language   *string   `json:"language,omitempty"`
	Recipients *[]string `json:"recipients,omitempty" doc:"E-mail addresses of members who may export user data."`
	Every      *int      `json:"every,omitempty" doc:"So many units lie between two runs; 1 of a new one."`
	Unit       *string   `json:"unit,omitempty" doc:"day, week or month; week of a new one."`
	FirstDay   *string   `json:"first_day,omitempty" doc:"On which it runs first, as 2026-11-22; today of a new one."`
	Hour       *int      `json:"hour,omitempty" doc:"0 to 23, in the zone."`
	Zone       *string   `json:"zone,omitempty" doc:"As America/Sao_Paulo; the workspace's of a new one."`
	LastDay    *string   `json:"last_day,omitempty" doc:"Empty: it ends by no day."`
	Most       *int      `json:"most,omitempty" doc:"0: it ends by no number of runs."`
	Paused     *bool     `json:"paused,omitempty"`
}

// ListSchedules lists a workspace's schedules of reports by name.
func (c *Client) ListSchedules(ctx context.Context, workspace string) iter.Seq2[ReportSchedule, error] {
	return list[ReportSchedule](ctx, c, get(path("/workspaces/%s/report-schedules", workspace)).told(c))
}

// CreateSchedule makes a schedule. Errors: invalid with every problem; conflict: its name is taken, or there are too many.
func (c *Client) CreateSchedule(ctx context.Context, workspace string, e ScheduleEdit) (ReportSchedule, error) {
	return ask[ReportSchedule](ctx, c, create(path("/workspaces/%s/report-schedules", workspace), e).told(c))
}

// GetSchedule gives a schedule.
func (c *Client) GetSchedule(ctx context.Context, workspace, id string) (ReportSchedule, error) {
	return ask[ReportSchedule](ctx, c, get(path("/workspaces/%s/report-schedules/%s", workspace, id)).told(c))
}

// UpdateSchedule changes a schedule, whose reports are then those of who asks. Errors: as CreateSchedule; stale, if etag is
// not empty.
func (c *Client) UpdateSchedule(ctx context.Context, workspace, id string, e ScheduleEdit, etag string) (ReportSchedule, error) {
	return ask[ReportSchedule](ctx, c, patch(path("/workspaces/%s/report-schedules/%s", workspace, id), e).based(etag).told(c))
}

// DeleteSchedule removes a schedule; the reports that it made stay.
func (c *Client) DeleteSchedule(ctx context.Context, workspace, id string) error {
	return c.tell(ctx, del(path("/workspaces/%s/report-schedules/%s", workspace, id)))
}

// RunSchedule asks for the report of a schedule now; when it runs next stays as it is.
func (c *Client) RunSchedule(ctx context.Context, workspace, id string) (Export, error) {
	return ask[Export](ctx, c, create(path("/workspaces/%s/report-schedules/%s/run", workspace, id), nil).told(c))
}
