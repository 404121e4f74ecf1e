package control

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// Status is what a connector's page shows in one word.
type Status string

// The statuses.
const (
	StatusDraft   Status = "draft" // was never launched
	StatusActive  Status = "active"
	StatusFailing Status = "failing" // something only the customer can mend; its events are kept for the grace period
	StatusPaused  Status = "paused"
	StatusDeleted Status = "deleted"
)

// StatusOf gives a connector's status from what its lanes say of themselves. One failing lane is enough, also that to
// an earlier destination. A connector of version 0 was never launched.
func StatusOf(c Connector, lanes []Health) Status {
	switch {
	case c.Version == 0:
		return StatusDraft
	case c.Deleted:
		return StatusDeleted
	case c.Paused:
		return StatusPaused
	}
	for _, h := range lanes {
		if h.State == LaneFailing {
			return StatusFailing
		}
	}
	return StatusActive
}

// Pause makes a connector hold its uploads. It decides nothing about events; those that wait for longer than the
// installation's limit are lost, after notices. Errors: not_found; stale.
func (p *Plane) Pause(ctx context.Context, workspace uint32, id ConnectorID) error {
	return fault.Wrap(p.set(ctx, "connector.pause", workspace, id, func(c *Connector) { c.Paused = true }), "pause connector")
}

// Resume lets a paused connector go on where it stopped. Errors: not_found; stale.
func (p *Plane) Resume(ctx context.Context, workspace uint32, id ConnectorID) error {
	return fault.Wrap(p.set(ctx, "connector.resume", workspace, id, func(c *Connector) { c.Paused = false }), "resume connector")
}

// Upgrade makes a test connector one that delivers in full: events that were dropped for its cap stay dropped. There
// is no way back. Errors: not_found; stale.
func (p *Plane) Upgrade(ctx context.Context, workspace uint32, id ConnectorID) error {
	return fault.Wrap(p.set(ctx, "connector.upgrade", workspace, id, func(c *Connector) { c.Test = false }), "upgrade connector")
}

// set changes what is not part of a version.
func (p *Plane) set(ctx context.Context, action string, workspace uint32, id ConnectorID, change func(c *Connector)) error {
	return anew(func() error { return p.setOnce(ctx, action, workspace, id, change) })
}

func (p *Plane) setOnce(ctx context.Context, action string, workspace uint32, id ConnectorID, change func(c *Connector)) error {
	had, err := p.connector(ctx, workspace, id)
	if err != nil {
		return err
	}
	next := had
	if change(&next); next.Paused == had.Paused && next.Test == had.Test {
		return nil
	}
	ctx = p.logged(ctx, action, subjectConnector(had), viewConnector(had), viewConnector(next))
	return p.Store.UpdateConnector(ctx, next, nil)
}

// SendTestEvents asks for one realistic event of each selected type, through the whole path, to this connector alone.
// It gives the id of the job, which the process that owns the log does. Errors: not_found.
func (p *Plane) SendTestEvents(ctx context.Context, workspace uint32, id ConnectorID) (job int64, err error) {
	job, err = p.addJob(ctx, JobTestEvents, workspace, id, nil)
	return job, fault.Wrap(err, "send test events")
}

// Replay asks for what the ledger of a connector says of the hours from r.From until r.Until: its files again, or
// what was dropped. It gives the id of the job, which the process that owns the log does.
//
// Errors: invalid if the interval is none; not_found.
func (p *Plane) Replay(ctx context.Context, workspace uint32, id ConnectorID, r ReplayParams) (job int64, err error) {
	const op = "replay"
	var problems []fault.Problem
	if r.From.IsZero() {
		problems = append(problems, fault.Field("from", "required", "field.from_needed", "The time from which on is needed."))
	}
	if r.From.After(p.now()) {
		problems = append(problems, fault.Field("from", "out_of_range", "field.replay_future", "This time has yet to come: nothing was accepted then."))
	}
	if !r.Until.IsZero() && !r.Until.After(r.From) {
		problems = append(problems, fault.Field("until", "out_of_range", "field.until", "The end lies after the beginning."))
	}
	if err := invalid(op, problems); err != nil {
		return 0, err
	}
	job, err = p.addJob(ctx, JobReplay, workspace, id, r)
	return job, fault.Wrap(err, op)
}

func (p *Plane) addJob(ctx context.Context, kind JobKind, workspace uint32, id ConnectorID, params any) (int64, error) {
	c, err := p.connector(ctx, workspace, id)
	if err != nil {
		return 0, err
	}
	if params == nil {
		params = struct{}{}
	}
	j, err := p.ask(p.logged(ctx, "connector."+string(kind), subjectConnector(c), nil, params), Job{Kind: kind, Workspace: workspace, Connector: id}, params, nil)
	return j.ID, err
}

// LookAtDraft says what SaveDraft would refuse of e, and does nothing. Errors: invalid.
func (p *Plane) LookAtDraft(e Edit) error { return invalid("", validateName("name", or(e.Name))) }

// SaveDraft keeps a connector that is not ready: a new draft if id is empty, else that one anew, if it is the save rev or
// that is nil. Only its name is looked at. A secret that e leaves out stays, as long as the draft is not about a role.
//
// Errors: invalid; not_found if there is no such draft; stale.
func (p *Plane) SaveDraft(ctx context.Context, workspace uint32, id ConnectorID, e Edit, rev *int64) (d Draft, err error) {
	err = p.based(rev, func() error {
		d, err = p.saveDraft(ctx, workspace, id, e, rev)
		return err
	})
	return d, fault.Wrap(err, "save draft")
}

func (p *Plane) saveDraft(ctx context.Context, workspace uint32, id ConnectorID, e Edit, rev *int64) (Draft, error) {
	if err := p.LookAtDraft(e); err != nil {
		return Draft{}, err
	}
	d := Draft{ID: id, Workspace: workspace, Edit: e, CreatedAt: p.now(), UpdatedAt: p.now()}
	var before any
	if id == "" {
		d.ID = NewConnectorID()
	} else {
		had, err := p.Store.Draft(ctx, workspace, id)
		if err == nil {
			err = sameRev(rev, had.Rev)
		}
		if err != nil {
			return Draft{}, err
		}
		d.CreatedAt, d.Rev, before = had.CreatedAt, had.Rev, viewDraft(had)
		if next := had.UpdatedAt.Add(time.Millisecond); d.UpdatedAt.Before(next) { // another save of that moment, or a clock that was set back
			d.UpdatedAt = next
		}
		if e.SecretAccessKey == nil && or(e.RoleARN) == "" {
			d.Edit.SecretAccessKey = had.Edit.SecretAccessKey
		}
	}
	var secrets []string
	if e.SecretAccessKey != nil {
		secrets = []string{secretOfDestination}
	}
	err := p.Store.SaveDraft(p.logged(ctx, "draft.save", subjectDraft(d), before, viewDraft(d), secrets...), d)
	d.Rev = d.UpdatedAt.UnixMilli()
	return d, err
}

// LaunchDraft launches what a draft describes, as Launch does, and the draft goes with it. If it fails, the draft
// stays.
func (p *Plane) LaunchDraft(ctx context.Context, workspace uint32, id ConnectorID) (Connector, error) {
	d, err := p.Store.Draft(ctx, workspace, id)
	if err != nil {
		return Connector{}, fault.Wrap(err, "launch connector")
	}
	return p.launch(ctx, workspace, d.ID, d.Edit)
}

// DeleteDraft forgets a draft. Errors: not_found.
func (p *Plane) DeleteDraft(ctx context.Context, workspace uint32, id ConnectorID) error {
	const op = "delete draft"
	d, err := p.Store.Draft(ctx, workspace, id)
	if err != nil {
		return fault.Wrap(err, op)
	}
	ctx = p.logged(ctx, "draft.delete", subjectDraft(d), viewDraft(d), nil)
	return fault.Wrap(p.Store.DeleteDraft(ctx, workspace, id), op)
}
