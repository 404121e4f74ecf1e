package web

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// FlowStore is what the rows about connectors, and what belongs to them, read.
type FlowStore interface {
	Connectors(ctx context.Context, workspace uint32) ([]control.Connector, error)
	DeletedConnectors(ctx context.Context, workspace uint32) ([]control.Connector, error)
	Connector(ctx context.Context, workspace uint32, id control.ConnectorID) (control.Connector, error)
	Destinations(ctx context.Context, workspace uint32, id control.ConnectorID) ([]control.Destination, error)
	Healths(ctx context.Context, workspace uint32, id control.ConnectorID) ([]control.Health, error)
	Files(ctx context.Context, f control.LedgerFilter, after int64, limit int) ([]control.File, error)
	Drops(ctx context.Context, f control.LedgerFilter, after int64, limit int) ([]control.Drop, error)
	CapUsed(ctx context.Context, workspace uint32, since time.Time) (int64, error)
	CapDrops(ctx context.Context, workspace uint32, since time.Time) (map[control.ConnectorID]int64, error)
	Waiting(ctx context.Context, workspace uint32, ids []control.ConnectorID) (map[control.ConnectorID]control.Waiting, error)
	Audit(ctx context.Context, workspace uint32, id control.ConnectorID, from, until eventlog.Hour) (map[eventlog.Hour][]control.HourCount, error)
	HourDone(ctx context.Context, workspace uint32, id control.ConnectorID, h eventlog.Hour) (control.HourDone, bool, error)
	HourTallies(ctx context.Context, workspace uint32, id control.ConnectorID, from, until eventlog.Hour) (map[eventlog.Hour]control.Tally, error)
	MinuteTallies(ctx context.Context, workspace uint32, id control.ConnectorID, from, until control.Minute) (map[control.Minute]control.Tally, error)
	Tallies(ctx context.Context, workspace uint32, from, until eventlog.Hour, only ...control.ConnectorID) (map[control.ConnectorID]map[eventlog.Hour]control.Tally, error)
	AcceptedCounts(ctx context.Context, workspace uint32, from, until eventlog.Hour) ([]control.Count, error)
	AcceptedMinutes(ctx context.Context, workspace uint32, from, until control.Minute) (map[control.Minute]int64, error)
	Checks(ctx context.Context, workspace uint32, id control.ConnectorID, limit int) ([]control.CheckRow, error)
	Drafts(ctx context.Context, workspace uint32) ([]control.Draft, error)
	Draft(ctx context.Context, workspace uint32, id control.ConnectorID) (control.Draft, error)
	Segments(ctx context.Context, workspace uint32) ([]control.Segment, error)
	Segment(ctx context.Context, workspace uint32, id control.SegmentID) (control.Segment, error)
	DataExport(ctx context.Context, workspace uint32) (control.DataExport, error)
	Notices(ctx context.Context, workspace uint32, before int64, limit int) ([]control.Notice, error)
	UnreadNotices(ctx context.Context, workspace uint32, id control.MemberID) (int, error)
	OldestUnread(ctx context.Context, workspace uint32, id control.MemberID) (oldest control.Notice, unread int, err error)
	SeenNotices(ctx context.Context, workspace uint32, id control.MemberID) (upTo int64, since time.Time, err error)
	MarkNoticesRead(ctx context.Context, workspace uint32, id control.MemberID, upTo int64) error
	Webhooks(ctx context.Context, workspace uint32) ([]control.Webhook, error)
	Schemas(ctx context.Context) ([]control.SchemaPrint, error)
	FindJob(ctx context.Context, id int64) (control.Job, error)
	OpenJobs(ctx context.Context, workspace uint32) ([]control.Job, error)
	TakeResult(ctx context.Context, id int64, left json.RawMessage) (json.RawMessage, error)
	Worked(ctx context.Context) (bool, error)
}

const atConnector = "/workspaces/{workspace}/connectors/{connector}"

// connectorRoutes are about flows of events into buckets.
func (a *api) connectorRoutes() []route {
	const group, at = "connectors", "/workspaces/{workspace}/connectors"
	return []route{
		{name: "listConnectors", method: http.MethodGet, path: at, right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists the workspace's connectors by name, with how they do.", op: op(a.listConnectors)},
		{name: "launchConnector", method: http.MethodPost, path: at, right: control.RightChange, group: group, status: http.StatusAccepted,
			summary: "Launches a connector: it is made once its credentials have passed the check that this begins.", op: op(a.launchConnector),
			rules: look(func(c *call, in launchConnectorIn) error {
				return misread(in.Body, a.deps.Plane.LookAtLaunch(c, c.workspace.Number, editOf(in.Body)))
			})},
		{name: "getConnector", method: http.MethodGet, path: atConnector, right: control.RightView, group: group, status: http.StatusOK, versioned: versionsOfConnector,
			summary: "Gives a connector, a deleted one too.", op: op(a.getConnector)},
		{name: "updateConnector", method: http.MethodPatch, path: atConnector, right: control.RightChange, group: group, status: http.StatusOK, versioned: versionsOfConnector,
			summary: "Changes a connector, after a check where access, bucket or folder change.", op: opOr[updateConnectorIn, client.Connector, client.Check](http.StatusAccepted, a.updateConnector),
			rules: look(func(c *call, in updateConnectorIn) error {
				return misread(in.Body, a.deps.Plane.LookAtEdit(c, c.workspace.Number, in.Connector, editOf(in.Body)))
			})},
		{name: "previewConnector", method: http.MethodPost, path: atConnector + "/preview", right: control.RightChange, group: group, status: http.StatusOK,
			summary: "Says what a change would come to, and changes nothing.", op: op(a.previewConnector),
			rules: look(func(c *call, in previewConnectorIn) error {
				return misread(in.Body, a.deps.Plane.LookAtEdit(c, c.workspace.Number, in.Connector, editOf(in.Body)))
			})},
		{name: "deleteConnector", method: http.MethodDelete, path: atConnector, right: control.RightChange, group: group, status: http.StatusAccepted,
			summary: "Ends a connector: what was accepted before is delivered for up to a minute, the rest is lost and listed.", op: op(a.act((*control.Plane).Delete))},
		{name: "pauseConnector", method: http.MethodPost, path: atConnector + "/pause", right: control.RightChange, group: group, status: http.StatusOK,
			summary: "Holds the connector's uploads; its events are kept.", op: op(a.act((*control.Plane).Pause))},
		{name: "resumeConnector", method: http.MethodPost, path: atConnector + "/resume", right: control.RightChange, group: group, status: http.StatusOK,
			summary: "Lets a paused connector go on.", op: op(a.act((*control.Plane).Resume))},
		{name: "upgradeConnector", method: http.MethodPost, path: atConnector + "/upgrade", right: control.RightChange, group: group, status: http.StatusOK,
			summary: "Lets a test connector deliver in full, for ever.", op: op(a.act((*control.Plane).Upgrade))},
		{name: "checkConnector", method: http.MethodPost, path: atConnector + "/check", right: control.RightChange, group: group, status: http.StatusAccepted,
			summary: "Tries the connector's credentials.", op: op(a.checkConnector)},
		{name: "sendTestEvents", method: http.MethodPost, path: atConnector + "/test-events", right: control.RightChange, group: group, status: http.StatusAccepted,
			summary: "Sends one event of each selected type to this connector alone.", op: op(a.sendTestEvents)},
		{name: "replayConnector", method: http.MethodPost, path: atConnector + "/replays", right: control.RightChange, group: group, status: http.StatusAccepted,
			summary: "Makes the files of some hours again, or delivers what was dropped of them.", op: op(a.replayConnector)},
		{name: "listConnectorChecks", method: http.MethodGet, path: atConnector + "/checks", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists the last checks of the connector's credentials, newest first.", op: op(a.listConnectorChecks)},
	}
}

type listConnectorsIn struct {
	paged
	Deleted bool `query:"deleted" doc:"Those that are deleted, in place of the others; the last deleted first."`
}

func (a *api) listConnectors(c *call, in listConnectorsIn) (out client.Page[client.Connector], err error) {
	list := a.deps.Store.Connectors
	if in.Deleted {
		list = a.deps.Store.DeletedConnectors
	}
	all, err := list(c, c.workspace.Number)
	if err != nil {
		return out, err
	}
	how, err := a.doing(c, all)
	if err != nil {
		return out, err
	}
	return pageOf(c, in.paged, all, func(x control.Connector) int64 { return idNumber(x.Connector) },
		func(x control.Connector) client.Connector { return a.showConnector(x, how) })
}

// doing is how connectors do.
type doing struct {
	lanes   map[control.ConnectorID][]control.Health
	held    map[control.ConnectorID]Waiting         // by this process
	kept    map[control.ConnectorID]control.Waiting // of those that keep their events in the log
	capUsed bool                                    // the cap of the test connectors is used up
	dropped map[control.ConnectorID]int64           // by it
}

// doing finds out how connectors of the call's workspace do, with as many questions for all as for one.
func (a *api) doing(c *call, all []control.Connector) (how doing, err error) {
	one := control.ConnectorID("")
	if len(all) == 1 {
		one = all[0].Connector
	}
	lanes, err := a.deps.Store.Healths(c, c.workspace.Number, one)
	if err != nil {
		return how, err
	}
	how.lanes = map[control.ConnectorID][]control.Health{}
	for _, h := range lanes {
		how.lanes[h.Lane.Connector] = append(how.lanes[h.Lane.Connector], h)
	}
	if a.deps.Waiting != nil {
		how.held = a.deps.Waiting()
	}
	var keep []control.ConnectorID
	test := false
	for _, x := range all {
		if keeps(x, how.lanes[x.Connector]) {
			keep = append(keep, x.Connector)
		}
		test = test || x.Test
	}
	if how.kept, err = a.deps.Store.Waiting(c, c.workspace.Number, keep); err != nil {
		return how, err
	}
	if test {
		since := time.Now().Add(-a.cfg.TestWindow)
		used, err := a.deps.Store.CapUsed(c, c.workspace.Number, since)
		if err != nil {
			return how, err
		}
		how.capUsed = a.cfg.TestCap > 0 && used >= int64(a.cfg.TestCap)
		if how.dropped, err = a.deps.Store.CapDrops(c, c.workspace.Number, since); err != nil {
			return how, err
		}
	}
	return how, nil
}

// keeps reports whether a connector delivers nothing and leaves its events in the log, or did so a moment ago: then a process
// holds few of those that wait, and the books tell how many do.
func keeps(x control.Connector, lanes []control.Health) bool {
	if s := control.StatusOf(x, lanes); s == control.StatusFailing || s == control.StatusPaused {
		return true
	}
	return slices.ContainsFunc(lanes, func(h control.Health) bool {
		return h.State == control.LanePaused || time.Since(h.Since) < time.Minute
	})
}

func (a *api) showConnector(x control.Connector, how doing) client.Connector {
	d, lanes := x.Destination, how.lanes[x.Connector]
	return client.Connector{
		ID: string(x.Connector), Name: x.Name, Type: "s3", Status: string(control.StatusOf(x, lanes)), ContactEmail: x.ContactEmail,
		Destination: client.Destination{Bucket: d.Bucket, Folder: d.Folder, Region: d.Region, Endpoint: d.Endpoint, PathStyle: d.PathStyle,
			AccessKeyID: x.AccessKeyID, RoleARN: x.RoleARN, Prefix: avrofile.ConnectorPrefix(d.Folder, d.Cluster, string(x.Connector))},
		Encryption: d.Encryption, Events: x.Events, Transformations: showTransformations(x.Transformations), Codec: x.Codec,
		Flush: client.Flush{Interval: x.FlushInterval.String(), Events: x.FlushEvents}, Paused: x.Paused, Test: x.Test, Version: x.Version,
		CreatedAt: x.CreatedAt, Delivery: a.showDelivery(x, how),
	}
}

func showTransformations(ts []control.Transformation) (out []client.Transformation) {
	for _, t := range ts {
		out = append(out, client.Transformation(t))
	}
	return out
}

// severity orders what lanes of one connector say: the worst is told.
var severity = []control.LaneState{control.LaneFailing, control.LaneRetrying, control.LanePaused, control.LaneActive}

// showDelivery gives how a connector's uploads go; nil if none of its lanes has said anything and nothing waits.
func (a *api) showDelivery(x control.Connector, how doing) *client.Delivery {
	lanes := how.lanes[x.Connector]
	w, delivers := how.held[x.Connector]
	if len(lanes) == 0 && !delivers {
		return nil
	}
	worst := control.Health{State: control.LaneActive, Since: x.CreatedAt}
	out := client.Delivery{}
	for i, h := range lanes {
		if i == 0 || slices.Index(severity, h.State) < slices.Index(severity, worst.State) {
			worst = h
		}
		if out.LastFileAt == nil || h.LastFile.After(*out.LastFileAt) {
			out.LastFileAt = maybe(h.LastFile)
		}
	}
	out.State, out.Since, out.Problem, out.Message, out.Said = string(worst.State), worst.Since, worst.Problem, worst.Message, worst.Said
	switch {
	case worst.Episode.IsZero():
	case worst.State == control.LaneFailing && a.cfg.GracePeriod > 0:
		out.Until = maybe(worst.Episode.Add(a.cfg.GracePeriod))
	case worst.State == control.LanePaused && a.cfg.PauseLimit > 0:
		out.Until = maybe(worst.Episode.Add(a.cfg.PauseLimit))
	}
	if delivers {
		lag := 0.0
		if !w.Oldest.IsZero() {
			lag = max(0, time.Since(w.Oldest).Seconds())
		}
		out.Waiting, out.LagSeconds = &w.Events, &lag
		if out.LastFileAt == nil || w.LastFile.After(*out.LastFileAt) {
			out.LastFileAt = maybe(w.LastFile)
		}
	}
	if keeps(x, lanes) {
		out.Waiting = new(max(w.Events, how.kept[x.Connector].Events))
	}
	if x.Test {
		out.Cap = &client.Cap{Reached: how.capUsed, Dropped: how.dropped[x.Connector]}
	}
	return &out
}

type connectorIn struct {
	Connector control.ConnectorID `path:"connector"`
}

// connector gives one connector as it is shown, and as it is. Errors: not_found.
func (a *api) connector(c *call, id control.ConnectorID) (client.Connector, control.Connector, error) {
	x, err := a.deps.Store.Connector(c, c.workspace.Number, id)
	if err != nil {
		return client.Connector{}, x, err
	}
	how, err := a.doing(c, []control.Connector{x})
	return a.showConnector(x, how), x, err
}

func (a *api) getConnector(c *call, in connectorIn) (client.Connector, error) {
	out, x, err := a.connector(c, in.Connector)
	if err == nil {
		c.versioned(x.Rev)
	}
	return out, err
}

// editOf gives what a body wants of a connector.
func editOf(in client.ConnectorEdit) control.Edit {
	e := control.Edit{Name: in.Name, ContactEmail: in.ContactEmail, Encryption: in.Encryption, Codec: in.Codec, Paused: in.Paused, Test: in.Test}
	if d := in.Destination; d != nil {
		e.Bucket, e.Folder, e.Region, e.Endpoint, e.PathStyle = d.Bucket, d.Folder, d.Region, d.Endpoint, d.PathStyle
		e.AccessKeyID, e.SecretAccessKey, e.RoleARN = d.AccessKeyID, hidden(d.SecretAccessKey), d.RoleARN
		if d.SameAs != nil {
			e.SameAs = new(control.ConnectorID(*d.SameAs))
		}
	}
	if in.Events != nil {
		e.Events = append([]string{}, *in.Events...)
	}
	if in.Transformations != nil {
		e.Transformations = []control.Transformation{}
		for _, t := range *in.Transformations {
			e.Transformations = append(e.Transformations, control.Transformation(t))
		}
	}
	if f := in.Flush; f != nil {
		e.FlushEvents = f.Events
		if f.Interval != nil {
			d, err := time.ParseDuration(*f.Interval)
			if err != nil {
				d = 0 // out of range: refused together with what else is wrong, in the words of misread
			}
			e.FlushInterval = &d
		}
	}
	return e
}

// misread names the problem of an interval that is none by its name.
func misread(in client.ConnectorEdit, err error) error {
	if in.Flush == nil || in.Flush.Interval == nil {
		return err
	}
	if _, bad := time.ParseDuration(*in.Flush.Interval); bad == nil {
		return err
	}
	if e := fault.As(err); e != nil {
		for i, p := range e.Fields {
			if p.Field == "flush.interval" {
				e.Fields[i] = fault.Field(p.Field, p.Code, "field.interval", "An interval is written as 90s or 5m, from 1s to 1h.")
			}
		}
	}
	return err
}

func hidden(s *string) *secret.Value {
	if s == nil {
		return nil
	}
	return new(secret.New(*s))
}

type launchConnectorIn struct {
	Body client.ConnectorEdit `body:""`
}

func (a *api) launchConnector(c *call, in launchConnectorIn) (client.Check, error) {
	j, err := a.deps.Plane.AskLaunch(c, c.workspace.Number, editOf(in.Body))
	return a.begun(c, j, misread(in.Body, err))
}

type updateConnectorIn struct {
	Connector control.ConnectorID  `path:"connector"`
	Body      client.ConnectorEdit `body:""`
}

func (a *api) updateConnector(c *call, in updateConnectorIn) (any, error) {
	rev, err := meant(c)
	if err != nil {
		return nil, err
	}
	_, _, job, err := a.deps.Plane.AskEdit(c, c.workspace.Number, in.Connector, editOf(in.Body), rev)
	if err != nil {
		return nil, misread(in.Body, err)
	}
	if job != nil {
		return a.begun(c, *job, nil)
	}
	return a.getConnector(c, connectorIn{in.Connector})
}

// meant gives the version that a change is meant for; nil: whichever there is. Errors: invalid.
func meant(c *call) (*int64, error) {
	rev, given, err := c.expected()
	if err != nil || !given {
		return nil, err
	}
	return &rev, nil
}

// act makes a row of an action on a connector, which answers with the connector.
func (a *api) act(do func(*control.Plane, context.Context, uint32, control.ConnectorID) error) func(*call, connectorIn) (client.Connector, error) {
	return func(c *call, in connectorIn) (client.Connector, error) {
		if err := do(a.deps.Plane, c, c.workspace.Number, in.Connector); err != nil {
			return client.Connector{}, err
		}
		out, _, err := a.connector(c, in.Connector)
		return out, err
	}
}

func (a *api) checkConnector(c *call, in connectorIn) (client.Check, error) {
	j, err := a.deps.Plane.AskCheck(c, c.workspace.Number, in.Connector)
	return a.begun(c, j, err)
}

func (a *api) sendTestEvents(c *call, in connectorIn) (client.Job, error) {
	id, err := a.deps.Plane.SendTestEvents(c, c.workspace.Number, in.Connector)
	return a.began(c, id, err)
}

type replayIn struct {
	Connector control.ConnectorID `path:"connector"`
	Body      client.Replay       `body:""`
}

func (a *api) replayConnector(c *call, in replayIn) (client.Job, error) {
	r := control.ReplayParams{From: in.Body.From, Dropped: in.Body.Dropped}
	if in.Body.Until != nil {
		r.Until = *in.Body.Until
	}
	id, err := a.deps.Plane.Replay(c, c.workspace.Number, in.Connector, r)
	return a.began(c, id, err)
}

type connectorPageIn struct {
	paged
	spoken
	Connector control.ConnectorID `path:"connector"`
}

func (a *api) listConnectorChecks(c *call, in connectorPageIn) (client.Page[client.PastCheck], error) {
	if _, err := a.deps.Store.Connector(c, c.workspace.Number, in.Connector); err != nil {
		return client.Page[client.PastCheck]{}, err
	}
	return a.pastChecks(c, in.Connector, in.paged)
}
