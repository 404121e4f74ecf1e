package control

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
)

// CheckRow is a credential check that was made.
type CheckRow struct {
	ID        int64 // 0: new
	Workspace uint32
	Connector ConnectorID // empty: the data export integration
	Trigger   CheckTrigger
	OK        bool
	Report    []byte // bucket.Report as JSON
	At        time.Time
}

// CheckTrigger is what a check was made for.
type CheckTrigger string

// The triggers.
const (
	CheckLaunch   CheckTrigger = "launch"
	CheckSave     CheckTrigger = "save"
	CheckSchedule CheckTrigger = "schedule"
	CheckDemand   CheckTrigger = "demand" // of what is stored
	CheckTest     CheckTrigger = "test"   // of what is not stored yet, and may never be
)

// CheckDue is a connector, or the data export of a workspace if it names none, whose scheduled check is due.
type CheckDue struct {
	Workspace uint32
	Connector ConnectorID
}

// trial is a credential check that is to be made, remembered and told.
type trial struct {
	workspace   uint32
	connector   ConnectorID // empty: the data export
	name        string      // of the connector
	contact     string      // of a connector that is not stored yet
	integration Integration
	trigger     CheckTrigger
	in          bucket.CheckInput
}

// exportName is how the data export is called where a connector's name stands: as on its page.
const exportName = "Amazon S3"

// try makes a check: with the external id of the workspace if it is about a role, written to the history, and told in
// a notice. It gives the report also with an error.
//
// Errors: forbidden, with a field problem for each right that is missing, if the store refuses; unavailable if it
// cannot be reached; invalid only for input that was not tried, which is neither remembered nor told.
func (p *Plane) try(ctx context.Context, t trial) (bucket.Report, error) {
	a := &t.in.Access
	if err := p.assuming(ctx, a, t.workspace, t.integration, t.name); err != nil {
		return bucket.Report{}, err
	}
	workspace, err := p.Store.WorkspaceName(ctx, t.workspace)
	if err != nil {
		return bucket.Report{}, err
	}
	report, err := p.Check(ctx, t.in)
	if err != nil {
		return report, err
	}
	if err := p.remember(ctx, t, workspace, report); err != nil {
		return report, err
	}
	err = report.Err()
	if e := fault.As(err); e != nil && e.Code == fault.Invalid {
		// What was asked for is right; what it gives access to is not.
		refused := *e
		refused.Code = fault.Forbidden
		if failedBy(report) == bucket.RoleRefused && refused.HintText() == "" {
			refused.Hint = fault.Message{Key: "control.role_hint",
				Text: "The role's trust policy must name this installation's account and the external id {external_id}. Print it with: millrace policy trust --workspace {workspace} --for {integration}"}
			refused.Params = fault.Params{}
			for k, v := range e.Params {
				refused.Params[k] = v
			}
			refused.Params["external_id"], refused.Params["workspace"], refused.Params["integration"] = a.ExternalID, workspace, string(t.integration)
		}
		err = &refused
	}
	return report, err
}

// assuming fills in what the role of a is assumed with, if it has one.
func (p *Plane) assuming(ctx context.Context, a *bucket.Access, workspace uint32, i Integration, name string) (err error) {
	if a.RoleARN == "" {
		return nil
	}
	a.SessionName = SessionName(name)
	a.ExternalID, err = p.Store.ExternalID(ctx, workspace, i)
	return err
}

// failedBy is the problem of the first step that failed.
func failedBy(r bucket.Report) bucket.Problem {
	for _, s := range r.Steps {
		if s.State == bucket.Failed {
			return s.Problem
		}
	}
	return ""
}

// remember writes a check into the history and tells its result. A scheduled check that passes is not told; one that
// fails, once a day, unless the store is in trouble that passes: delivery tells that.
//
// A check that this installation itself stood in the way of, by its own credentials, clock or settings, has tried
// nothing of the customer's: it is not told, and only a scheduled one is written, so that others have their turn.
func (p *Plane) remember(ctx context.Context, t trial, workspace string, report bucket.Report) error {
	ours := !report.OK && failedBy(report) != "" && failedBy(report).Owner() == bucket.Ours
	if ours && t.trigger != CheckSchedule {
		return nil
	}
	body, err := json.Marshal(report)
	if err != nil {
		return fault.From(err, fault.Internal, "encode report of check")
	}
	at := p.now()
	if err := p.Store.AddCheck(ctx, CheckRow{Workspace: t.workspace, Connector: t.connector, Trigger: t.trigger, OK: report.OK, Report: body, At: at}); err != nil {
		return err
	}
	n := Notice{Workspace: t.workspace, Connector: t.connector, Kind: NoticeCheckPassed, Episode: strconv.FormatInt(at.UnixMilli(), 10), At: at,
		Params: map[string]string{"workspace": workspace, "connector": t.name, "bucket": t.in.Access.Bucket, "trigger": string(t.trigger)}}
	if t.contact != "" {
		n.Params[ParamContact] = t.contact
	}
	if t.trigger == CheckSchedule {
		if report.OK || report.Passing || ours {
			return nil
		}
		n.Episode = at.Format(time.DateOnly)
	}
	if !report.OK {
		n.Kind = NoticeCheckFailed
		for _, s := range report.Steps {
			if s.State == bucket.Failed {
				n.Params["problem"] = string(s.Problem)
				n.say(&fault.Error{Msg: s.Finding.Message, Hint: s.Finding.Hint, Params: s.Finding.Params})
				break
			}
		}
	}
	return p.Store.AddNotice(ctx, n)
}

// CheckNow makes a connector's check, on demand or on a schedule: newest destination, stored credentials. What it finds
// about the store is kept. It gives the report also if the check fails.
//
// Errors: not_found; forbidden or unavailable as for Launch; forbidden if no credentials are stored.
func (p *Plane) CheckNow(ctx context.Context, workspace uint32, id ConnectorID, why CheckTrigger) (bucket.Report, error) {
	report, err := p.check(ctx, workspace, id, why)
	return report, fault.Wrap(err, "check connector")
}

func (p *Plane) check(ctx context.Context, workspace uint32, id ConnectorID, why CheckTrigger) (bucket.Report, error) {
	c, err := p.connector(ctx, workspace, id)
	if err != nil {
		return bucket.Report{}, err
	}
	l := Lane{Connector: id, Destination: c.Destination.Number}
	a, err := p.Store.Access(ctx, l)
	if err != nil {
		return bucket.Report{}, err
	}
	report, err := p.try(ctx, trial{workspace: workspace, connector: id, name: c.Name, integration: IntegrationCurrents, trigger: why,
		in: bucket.CheckInput{Kind: bucket.Currents, Access: a, Folder: c.Destination.Folder}})
	if err != nil {
		return report, err
	}
	return report, p.Store.SetFeatures(ctx, l, report.Features, report.Region)
}

// CheckAll makes the scheduled checks: of up to limit connectors and data exports whose last check is older than
// every, the longest ago first. Connectors that are paused, deleted or failing are left out: the last are tried by
// delivery itself. It is to be called often; that spreads the checks over the day. It gives how many were made.
//
// A check that fails is remembered and told, and is no error here. Errors: those of the database, and of ctx.
func (p *Plane) CheckAll(ctx context.Context, every time.Duration, limit int) (made int, err error) {
	due, err := p.Store.ChecksDue(ctx, p.now().Add(-every), limit)
	if err != nil {
		return 0, fault.Wrap(err, "make scheduled checks")
	}
	for _, d := range due {
		if ctx.Err() != nil {
			return made, fault.From(ctx.Err(), fault.Unavailable, "make scheduled checks")
		}
		var report bucket.Report
		if d.Connector == "" {
			report, err = p.checkExport(ctx, d.Workspace)
		} else {
			report, err = p.check(ctx, d.Workspace, d.Connector, CheckSchedule)
		}
		made++
		if err != nil && len(report.Steps) == 0 {
			if err = p.untried(ctx, d, err); err != nil {
				return made, fault.Wrap(err, "make scheduled checks")
			}
		}
	}
	return made, nil
}

// untried remembers that a scheduled check could not be made, so that it does not stay the first that is due: its
// credentials are lost, or are no longer accepted as an input. It gives err back if that is about neither.
func (p *Plane) untried(ctx context.Context, d CheckDue, err error) error {
	e := fault.As(err)
	switch {
	case e == nil:
		return err
	case e.Code == fault.NotFound: // deleted meanwhile
		return nil
	case e.Code != fault.Forbidden && e.Code != fault.Invalid:
		return err
	}
	body, jsonErr := json.Marshal(bucket.Report{Heading: fault.Message{Key: e.Msg.Key, Text: e.Message()}})
	if jsonErr != nil {
		return fault.From(jsonErr, fault.Internal, "encode report of check")
	}
	return p.Store.AddCheck(ctx, CheckRow{Workspace: d.Workspace, Connector: d.Connector, Trigger: CheckSchedule, Report: body, At: p.now()})
}
