package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"net/http"
	"strconv"
	"time"
)

// flag and moment give a part of a query; empty for what is left out.
func flag(b bool) string {
	if b {
		return "true"
	}
	return ""
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// ListConnectors lists a workspace's connectors by name; with deleted those that are deleted, the last deleted first.
func (c *Client) ListConnectors(ctx context.Context, workspace string, deleted bool) iter.Seq2[Connector, error] {
	return list[Connector](ctx, c, get(path("/workspaces/%s/connectors", workspace)).with(map[string]string{"deleted": flag(deleted)}))
}

// LaunchConnector launches a connector: it is made once the check has passed that this begins, see AwaitCheck.
//
// Errors: invalid with every problem; conflict: its name or folder is taken.
func (c *Client) LaunchConnector(ctx context.Context, workspace string, e ConnectorEdit) (Check, error) {
	return ask[Check](ctx, c, create(path("/workspaces/%s/connectors", workspace), e))
}

// GetConnector gives a connector, a deleted one too.
func (c *Client) GetConnector(ctx context.Context, workspace, id string) (Connector, error) {
	return ask[Connector](ctx, c, get(path("/workspaces/%s/connectors/%s", workspace, id)))
}

// UpdateConnector changes a connector. Where access, bucket or folder change, this begins a check, and the change is made
// once it has passed: then the connector is empty, and the check is not nil.
//
// Errors: as LaunchConnector; stale, if etag is not empty.
func (c *Client) UpdateConnector(ctx context.Context, workspace, id string, e ConnectorEdit, etag string) (Connector, *Check, error) {
	a, err := c.do(ctx, patch(path("/workspaces/%s/connectors/%s", workspace, id), e).based(etag))
	if err != nil {
		return Connector{}, nil, err
	}
	if a.status == http.StatusAccepted {
		check, err := read[Check](a)
		return Connector{}, &check, err
	}
	x, err := read[Connector](a)
	return x, nil, err
}

// DeleteConnector ends a connector: what was accepted before is delivered for up to a minute, the rest is lost and
// listed. GetWaiting says beforehand how much that is.
func (c *Client) DeleteConnector(ctx context.Context, workspace, id string) (Connector, error) {
	return ask[Connector](ctx, c, del(path("/workspaces/%s/connectors/%s", workspace, id)))
}

// PauseConnector holds a connector's uploads; its events are kept.
func (c *Client) PauseConnector(ctx context.Context, workspace, id string) (Connector, error) {
	return ask[Connector](ctx, c, post(path("/workspaces/%s/connectors/%s/pause", workspace, id), nil))
}

// ResumeConnector lets a paused connector go on.
func (c *Client) ResumeConnector(ctx context.Context, workspace, id string) (Connector, error) {
	return ask[Connector](ctx, c, post(path("/workspaces/%s/connectors/%s/resume", workspace, id), nil))
}

// UpgradeConnector makes a test connector a full one, for ever.
func (c *Client) UpgradeConnector(ctx context.Context, workspace, id string) (Connector, error) {
	return ask[Connector](ctx, c, post(path("/workspaces/%s/connectors/%s/upgrade", workspace, id), nil))
}

// CheckConnector tries a connector's credentials; see AwaitCheck.
func (c *Client) CheckConnector(ctx context.Context, workspace, id string) (Check, error) {
	return ask[Check](ctx, c, create(path("/workspaces/%s/connectors/%s/check", workspace, id), nil))
}

// SendTestEvents sends one event of each selected type to a connector alone; see AwaitJob.
func (c *Client) SendTestEvents(ctx context.Context, workspace, id string) (Job, error) {
	return ask[Job](ctx, c, create(path("/workspaces/%s/connectors/%s/test-events", workspace, id), nil))
}

// ReplayConnector makes files again, or delivers what was dropped; see AwaitJob.
func (c *Client) ReplayConnector(ctx context.Context, workspace, id string, in Replay) (Job, error) {
	return ask[Job](ctx, c, create(path("/workspaces/%s/connectors/%s/replays", workspace, id), in))
}

// ListConnectorChecks lists the last checks of a connector's credentials, newest first.
func (c *Client) ListConnectorChecks(ctx context.Context, workspace, id string) iter.Seq2[PastCheck, error] {
	return list[PastCheck](ctx, c, get(path("/workspaces/%s/connectors/%s/checks", workspace, id)).told(c))
}

// LedgerFilter chooses rows of the ledger. Fields that are zero choose all.
type LedgerFilter struct {
	From      time.Time // hours of acceptance from this one on
	Until     time.Time // hours before this one
	EventType string
	Newest    bool // first, in place of the oldest
}

func (f LedgerFilter) query() map[string]string {
	q := map[string]string{"from": moment(f.From), "until": moment(f.Until), "event_type": f.EventType}
	if f.Newest {
		q["order"] = "newest"
	}
	return q
}

// FileFilter chooses files of the ledger.
type FileFilter struct {
	LedgerFilter
	Search string // text in their key, or s3://BUCKET/KEY whole; of the newest 20,000 that the rest chooses
}

// ListFiles lists the files that a connector delivered, in the order of writing, or the other way round.
func (c *Client) ListFiles(ctx context.Context, workspace, id string, f FileFilter) iter.Seq2[File, error] {
	q := f.query()
	q["search"] = f.Search
	return list[File](ctx, c, get(path("/workspaces/%s/connectors/%s/files", workspace, id)).with(q))
}

// GetFile gives a file of the ledger.
func (c *Client) GetFile(ctx context.Context, workspace, connector, id string) (File, error) {
	return ask[File](ctx, c, get(path("/workspaces/%s/connectors/%s/files/%s", workspace, connector, id)))
}

// ListLosses lists what was dropped by rule, and why.
func (c *Client) ListLosses(ctx context.Context, workspace, id string, f LedgerFilter) iter.Seq2[Loss, error] {
	return list[Loss](ctx, c, get(path("/workspaces/%s/connectors/%s/losses", workspace, id)).with(f.query()))
}

// GetAudit compares what was accepted with what became of it, by hour and type, over at most 31 days. With zero times it
// is the last day.
func (c *Client) GetAudit(ctx context.Context, workspace, id string, from, until time.Time) ([]AuditHour, error) {
	p, err := ask[Page[AuditHour]](ctx, c, get(path("/workspaces/%s/connectors/%s/audit", workspace, id)).
		with(map[string]string{"from": moment(from), "until": moment(until)}))
	return p.Items, err
}

// GetWaiting counts what was accepted for a connector and is neither delivered nor dropped.
func (c *Client) GetWaiting(ctx context.Context, workspace, id string) (Waiting, error) {
	return ask[Waiting](ctx, c, get(path("/workspaces/%s/connectors/%s/waiting", workspace, id)))
}

// maxHourWait is for how long the server lets one wait in one request. Source: docs/openapi.json, getHour.
const maxHourWait = time.Minute

// GetHour says whether an hour is complete, and waits for it for at most a minute: until then the answer says that it is
// not.
func (c *Client) GetHour(ctx context.Context, workspace, id string, hour time.Time, wait time.Duration) (Hour, error) {
	seconds := ""
	if wait > 0 {
		seconds = strconv.Itoa(int(math.Ceil(min(wait, maxHourWait).Seconds())))
	}
	return ask[Hour](ctx, c, get(path("/workspaces/%s/connectors/%s/hours/%s", workspace, id, hour.UTC().Format("2006-01-02T15"))).
		with(map[string]string{"wait": seconds}))
}

// AwaitHour waits until an hour is complete, or ctx ends.
func (c *Client) AwaitHour(ctx context.Context, workspace, id string, hour time.Time) (Hour, error) {
	return await(ctx, nil, func() (Hour, bool, error) {
		h, err := c.GetHour(ctx, workspace, id, hour, maxHourWait)
		return h, h.Complete, err
	})
}

// ListDrafts lists a workspace's drafts, oldest first.
func (c *Client) ListDrafts(ctx context.Context, workspace string) iter.Seq2[Draft, error] {
	return list[Draft](ctx, c, get(path("/workspaces/%s/drafts", workspace)))
}

// CreateDraft keeps a connector that is not ready. Only its name is looked at.
func (c *Client) CreateDraft(ctx context.Context, workspace string, e ConnectorEdit) (Draft, error) {
	return ask[Draft](ctx, c, create(path("/workspaces/%s/drafts", workspace), e))
}

// GetDraft gives a draft, without its secret.
func (c *Client) GetDraft(ctx context.Context, workspace, id string) (Draft, error) {
	return ask[Draft](ctx, c, get(path("/workspaces/%s/drafts/%s", workspace, id)))
}

// SaveDraft keeps a draft anew: what e leaves out is gone, its secret apart. Errors: stale, if etag is not empty.
func (c *Client) SaveDraft(ctx context.Context, workspace, id string, e ConnectorEdit, etag string) (Draft, error) {
	return ask[Draft](ctx, c, put(path("/workspaces/%s/drafts/%s", workspace, id), e).based(etag))
}

// DeleteDraft forgets a draft.
func (c *Client) DeleteDraft(ctx context.Context, workspace, id string) error {
	return c.tell(ctx, del(path("/workspaces/%s/drafts/%s", workspace, id)))
}

// LaunchDraft is LaunchConnector for what a draft describes; the draft goes once the check has passed.
func (c *Client) LaunchDraft(ctx context.Context, workspace, id string) (Check, error) {
	return ask[Check](ctx, c, create(path("/workspaces/%s/drafts/%s/launch", workspace, id), nil))
}

// GetDataExport gives a workspace's data export integration. Errors: not_found: there is none.
func (c *Client) GetDataExport(ctx context.Context, workspace string) (DataExport, error) {
	return ask[DataExport](ctx, c, get(path("/workspaces/%s/data-export", workspace)))
}

// SaveDataExport links a workspace to a bucket, or changes the link, once the check has passed that this begins.
// Errors: invalid with every problem; stale, if etag is not empty.
func (c *Client) SaveDataExport(ctx context.Context, workspace string, e DataExportEdit, etag string) (Check, error) {
	return ask[Check](ctx, c, put(path("/workspaces/%s/data-export", workspace), e).based(etag))
}

// TestDataExport is the check of SaveDataExport alone: nothing is saved.
func (c *Client) TestDataExport(ctx context.Context, workspace string, e DataExportEdit) (Check, error) {
	return ask[Check](ctx, c, create(path("/workspaces/%s/data-export/test", workspace), e))
}

// DeleteDataExport ends the link and forgets its credentials.
func (c *Client) DeleteDataExport(ctx context.Context, workspace string) error {
	return c.tell(ctx, del(path("/workspaces/%s/data-export", workspace)))
}

// ListDataExportChecks lists the last checks of the data export's credentials, newest first.
func (c *Client) ListDataExportChecks(ctx context.Context, workspace string) iter.Seq2[PastCheck, error] {
	return list[PastCheck](ctx, c, get(path("/workspaces/%s/data-export/checks", workspace)).told(c))
}

// ListOpenChecks lists the checks that have not ended, oldest first; of one connector, unless that is empty.
func (c *Client) ListOpenChecks(ctx context.Context, workspace, connector string) iter.Seq2[Check, error] {
	return list[Check](ctx, c, get(path("/workspaces/%s/checks", workspace)).with(map[string]string{"connector": connector}).told(c))
}

// GetCheck says how far a check is.
func (c *Client) GetCheck(ctx context.Context, id string) (Check, error) {
	return ask[Check](ctx, c, get(path("/checks/%s", id)).told(c))
}

// AwaitCheck waits until a check has ended, and with it what waited for it. seen is given each state of it that is seen
// on the way, the last too; nil: nobody watches. Errors: what the check found, as *Error.
func (c *Client) AwaitCheck(ctx context.Context, id string, seen func(Check)) (Check, error) {
	check, err := await(ctx, seen, func() (Check, bool, error) {
		x, err := c.GetCheck(ctx, id)
		return x, x.State == "passed" || x.State == "failed", err
	})
	if err == nil && check.State == "failed" {
		err = refused(check.Error)
	}
	return check, err
}

// GetJob says how far a job is.
func (c *Client) GetJob(ctx context.Context, id string) (Job, error) {
	return ask[Job](ctx, c, get(path("/jobs/%s", id)).told(c))
}

// AwaitJob is AwaitCheck for a job.
func (c *Client) AwaitJob(ctx context.Context, id string, seen func(Job)) (Job, error) {
	job, err := await(ctx, seen, func() (Job, bool, error) {
		x, err := c.GetJob(ctx, id)
		return x, x.State == "done" || x.State == "failed", err
	})
	if err == nil && job.State == "failed" {
		err = refused(job.Error)
	}
	return job, err
}

// refused is the error of what has failed.
func refused(e *Error) error {
	if e == nil {
		e = &Error{Message: "it failed"}
	}
	return e
}

// await looks until it is over, more and more seldom. What is looked at may wait by itself.
func await[T any](ctx context.Context, seen func(T), look func() (now T, over bool, err error)) (T, error) {
	for wait := firstWait; ; wait = min(2*wait, lastLook) {
		now, over, err := look()
		if err == nil && seen != nil {
			seen(now)
		}
		if err != nil || over {
			return now, err
		}
		if !sleep(ctx, wait) {
			return now, context.Cause(ctx)
		}
	}
}

// Apply makes workspaces, keys, connectors and the rest as a manifest says; see AwaitJob and Job.Applied.
func (c *Client) Apply(ctx context.Context, in Manifest) (Job, error) {
	return ask[Job](ctx, c, create("/apply", in))
}

// Applied gives what came of a manifest, of the job that Apply began, once it is done.
func (j Job) Applied() (Applied, error) {
	var out Applied
	b, err := json.Marshal(j.Result)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		return out, fmt.Errorf("read what was applied: %w", err)
	}
	return out, nil
}
