package control

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// A change that needs a check takes up to minutes, which is too long to wait for an answer. The methods that begin with
// Ask look at what is wanted as far as that goes without the network, and leave the rest as a job, which Do carries
// out in the process that owns the log. A job may be begun more than once, because a process may end in the middle:
// Do then finds what was done already and leaves it.

// editParams are the parameters of a JobLaunch and a JobEdit.
type editParams struct {
	Edit   Edit    `json:"edit"`
	Secret *string `json:"secret_access_key,omitempty"` // in clear, because Edit leaves it out; parameters are kept sealed
	Rev    *int64  `json:"rev,omitempty"`               // on which the change is based; nil: any
}

// exportParams are the parameters of a JobExportTest and a JobExportSave.
type exportParams struct {
	Edit   ExportEdit `json:"edit"`
	Secret *string    `json:"secret_access_key,omitempty"`
	Rev    *int64     `json:"rev,omitempty"`
}

// applyParams are the parameters of a JobApply.
type applyParams struct {
	Name    string            `json:"name"`
	Text    string            `json:"text"`
	Secrets map[string]string `json:"secrets,omitempty"`
	DryRun  bool              `json:"dry_run,omitempty"`
}

// LaunchDone is what comes out of a JobLaunch.
type LaunchDone struct {
	Connector ConnectorID `json:"connector"`
	Asked     *Edit       `json:"asked,omitempty"` // if it failed: what was asked for, without its secret
}

// EditDone is what comes out of a JobEdit.
type EditDone struct {
	Changes []string `json:"changes"`         // in words
	Kept    []string `json:"kept,omitempty"`  // earlier folders that keep their former credentials, which the new ones do not open
	Asked   *Edit    `json:"asked,omitempty"` // if it failed: what was asked for, without its secret
}

// DataExportDone is what comes out of a JobExportTest and a JobExportSave.
type DataExportDone struct {
	Changes []string   `json:"changes,omitempty"` // in words; of a save
	Asked   ExportEdit `json:"asked"`             // what was tested or to be saved, without its secret
}

// ApplyDone is what comes out of a JobApply.
type ApplyDone struct {
	Result
	DryRun bool
}

// ask stores a job for whoever asks. One that begins with a check of access says from the start which steps that has.
func (p *Plane) ask(ctx context.Context, j Job, params any, access *bucket.Access) (Job, error) {
	if access != nil {
		b, err := json.Marshal(JobProgress{Checks: []CheckProgress{{Bucket: access.Bucket, ByRole: access.ByRole(), Steps: []bucket.Step{}}}})
		if err != nil {
			return j, fault.From(err, fault.Internal, "encode the job's progress")
		}
		j.Progress = b
	}
	if params != nil {
		b, err := json.Marshal(params)
		if err != nil {
			return j, fault.From(err, fault.Internal, "encode the job's parameters")
		}
		j.Params = b
	}
	j.State, j.Actor, j.CreatedAt = JobWaiting, ActorOf(ctx), p.now().Truncate(time.Millisecond)
	var err error
	j.ID, err = p.Store.AddJob(ctx, j)
	return j, err
}

// AskLaunch is Launch as a job. The connector's identity is made here, so that it is launched once.
//
// Errors: as Launch, without those of the check.
func (p *Plane) AskLaunch(ctx context.Context, workspace uint32, e Edit) (Job, error) {
	return p.askLaunch(ctx, workspace, NewConnectorID(), e)
}

// LookAtLaunch says what AskLaunch would refuse, and does nothing. Errors: as that.
func (p *Plane) LookAtLaunch(ctx context.Context, workspace uint32, e Edit) error {
	_, err := p.plan(ctx, workspace, nil, e)
	return err
}

// LookAtEdit says what AskEdit would refuse, whatever the version, and does nothing. Errors: as that.
func (p *Plane) LookAtEdit(ctx context.Context, workspace uint32, id ConnectorID, e Edit) error {
	_, err := p.planEdit(ctx, workspace, id, e, nil)
	return err
}

// AskLaunchDraft is LaunchDraft as a job: what the draft says now is launched. Errors: not_found; as AskLaunch.
func (p *Plane) AskLaunchDraft(ctx context.Context, workspace uint32, id ConnectorID) (Job, error) {
	d, err := p.Store.Draft(ctx, workspace, id)
	if err != nil {
		return Job{}, fault.Wrap(err, "launch connector")
	}
	return p.askLaunch(ctx, workspace, d.ID, d.Edit)
}

func (p *Plane) askLaunch(ctx context.Context, workspace uint32, id ConnectorID, e Edit) (Job, error) {
	const op = "launch connector"
	pl, err := p.plan(ctx, workspace, nil, e)
	if err != nil {
		return Job{}, fault.Wrap(err, op)
	}
	j, err := p.ask(ctx, Job{Kind: JobLaunch, Workspace: workspace, Connector: id}, editParams{Edit: e, Secret: revealed(e.SecretAccessKey)}, &pl.access)
	return j, fault.Wrap(err, op)
}

// AskEdit is Edit, as a job where a check is needed, else at once: then job is nil, and c and its changes are what came
// of it. rev is the version that the change is meant for; nil is whichever there is.
//
// Errors: as Edit, without those of the check. stale if the connector has another version than rev, unless nothing
// is left to change: so the same wish may come again.
func (p *Plane) AskEdit(ctx context.Context, workspace uint32, id ConnectorID, e Edit, rev *int64) (c Connector, changes []string, job *Job, err error) {
	const op = "edit connector"
	err = p.based(rev, func() error {
		pl, err := p.planEdit(ctx, workspace, id, e, rev)
		if err == nil && !pl.check {
			err = p.carryOut(ctx, &pl)
		} else if err == nil {
			var j Job
			j, err = p.ask(ctx, Job{Kind: JobEdit, Workspace: workspace, Connector: id}, editParams{e, revealed(e.SecretAccessKey), rev}, &pl.access)
			job = &j
		}
		c, changes = pl.next, pl.changes
		return err
	})
	return c, changes, job, fault.Wrap(err, op)
}

// based does a change. One that is meant for no version in particular is thought through once more if somebody else was
// quicker: it says nothing about what they changed.
func (p *Plane) based(rev *int64, do func() error) error {
	if rev == nil {
		return anew(do)
	}
	return do()
}

// planEdit thinks through a change that is meant for a version.
func (p *Plane) planEdit(ctx context.Context, workspace uint32, id ConnectorID, e Edit, rev *int64) (plan, error) {
	had, err := p.connector(ctx, workspace, id)
	if err != nil {
		return plan{}, err
	}
	pl, err := p.plan(ctx, workspace, &had, e)
	if err == nil && len(pl.changes) > 0 {
		err = sameRev(rev, had.Rev)
	}
	return pl, err
}

// sameRev refuses a change that is meant for another version than that which is there.
func sameRev(meant *int64, is int64) error {
	if meant == nil || *meant == is {
		return nil
	}
	return &fault.Error{Code: fault.Stale,
		Msg:  fault.Message{Key: "control.changed_since", Text: "It was changed since the version that this change is based on."},
		Hint: fault.Message{Key: "control.changed_since_hint", Text: "Load it again."}}
}

// AskCheck is CheckNow on demand, as a job. Errors: not_found.
func (p *Plane) AskCheck(ctx context.Context, workspace uint32, id ConnectorID) (Job, error) {
	const op = "check connector"
	c, err := p.connector(ctx, workspace, id)
	if err != nil {
		return Job{}, fault.Wrap(err, op)
	}
	j, err := p.ask(ctx, Job{Kind: JobCheck, Workspace: workspace, Connector: id}, nil, &bucket.Access{Bucket: c.Destination.Bucket, RoleARN: c.RoleARN})
	return j, fault.Wrap(err, op)
}

// LookAtDataExport says what AskSaveDataExport would refuse, whatever the version, and does nothing. Errors: as that.
func (p *Plane) LookAtDataExport(ctx context.Context, workspace uint32, e ExportEdit) error {
	_, err := p.planExport(ctx, workspace, e)
	return err
}

// AskTestDataExport is TestDataExport as a job. Errors: as that, without those of the check.
func (p *Plane) AskTestDataExport(ctx context.Context, workspace uint32, e ExportEdit) (Job, error) {
	return p.askExport(ctx, JobExportTest, workspace, e, nil)
}

// AskSaveDataExport is SaveDataExport as a job. Errors: as that, without those of the check; stale as AskEdit, where 0
// is the version of a data export that is not there.
func (p *Plane) AskSaveDataExport(ctx context.Context, workspace uint32, e ExportEdit, rev *int64) (Job, error) {
	return p.askExport(ctx, JobExportSave, workspace, e, rev)
}

func (p *Plane) askExport(ctx context.Context, kind JobKind, workspace uint32, e ExportEdit, rev *int64) (Job, error) {
	const op = "check data export"
	pl, err := p.planExportAt(ctx, workspace, e, rev)
	if err != nil {
		return Job{}, fault.Wrap(err, op)
	}
	j, err := p.ask(ctx, Job{Kind: kind, Workspace: workspace}, exportParams{e, revealed(e.SecretAccessKey), rev}, &pl.access)
	return j, fault.Wrap(err, op)
}

// planExportAt is planEdit for a data export.
func (p *Plane) planExportAt(ctx context.Context, workspace uint32, e ExportEdit, rev *int64) (exportPlan, error) {
	pl, err := p.planExport(ctx, workspace, e)
	if err == nil && len(pl.changes) > 0 {
		err = sameRev(rev, pl.next.Rev)
	}
	return pl, err
}

// AskApply is Apply of the manifest text, as a job. What its secret_env and secret_file stand for is looked up in
// secrets, by env:NAME and file:PATH, and nowhere else. Who asks needs the rights of what the manifest names: a workspace
// that is to be made needs RightInstall, keys and what is the workspace's own RightAdminister, the rest RightChange.
//
// Errors: as Problems, whatever is wrong if anything cannot be read; invalid if it names no workspace; forbidden.
func (p *Plane) AskApply(ctx context.Context, name, text string, secrets map[string]string, dryRun bool) (Job, error) {
	const op = "apply"
	if !ActorOf(ctx).decides() {
		return Job{}, fault.New(fault.Forbidden, op, "there is no workspace of which you may change anything")
	}
	params := applyParams{name, text, secrets, dryRun}
	m, err := params.manifest()
	if err == nil && len(m.Workspaces) == 0 {
		err = fault.New(fault.Invalid, "", "%s names no workspaces", name)
	}
	held, refused := p.mayApply(ctx, m) // as far as it could be read
	switch {
	case err == nil:
		err = refused
	case refused == nil:
		err = p.Problems(held, m, err)
	}
	if err != nil {
		return Job{}, fault.Wrap(err, op)
	}
	j, err := p.ask(held, Job{Kind: JobApply}, params, nil)
	return j, fault.Wrap(err, op)
}

func (a applyParams) manifest() (Manifest, error) {
	return parseManifest(a.Name, []byte(a.Text), func(from, what string) (string, fault.Problem) {
		v, ok := a.Secrets[from+":"+what]
		if !ok {
			return "", fault.Problem{Code: "not_set", Message: fmt.Sprintf("The request has no secret %q: what the manifest refers to comes with it, in secrets.", from+":"+what)}
		}
		return v, fault.Problem{}
	})
}

// mayApply refuses a manifest that names what the actor of ctx may not decide about, and gives ctx with them held to all
// of that. A workspace that is not theirs to see is refused like one that is not there.
func (p *Plane) mayApply(ctx context.Context, m Manifest) (context.Context, error) {
	a := ActorOf(ctx)
	for _, w := range m.Workspaces {
		ws, err := p.Store.Workspace(ctx, w.Name)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return ctx, err
		}
		if err != nil || !a.May(RightView, ws.Number) {
			if !a.May(RightInstall, 0) {
				return ctx, fault.New(fault.Forbidden, "", "there is no workspace %q that you may see, and only installation administrators make workspaces", w.Name)
			}
			ctx = Holding(ctx, RightInstall, 0)
			continue
		}
		if !a.May(w.needs(), ws.Number) {
			return ctx, fault.New(fault.Forbidden, "", "what the manifest says of the workspace %q needs the right %q there", w.Name, w.needs())
		}
		ctx = Holding(ctx, w.needs(), ws.Number)
	}
	return ctx, nil
}

// May gives a context in which whoever asked for a job acts, with the rights that they have now: a job may wait for long,
// and is done by nobody's former rights. What the command line asked for stays its.
//
// Errors: forbidden if they may not ask for it any more.
func (p *Plane) May(ctx context.Context, j Job) (context.Context, error) {
	ctx, err := p.actNow(ctx, j.Actor)
	if err == nil && j.Actor.Member != "" && j.Kind != JobApply { // that asks for the rights of what the manifest names
		_, _, err = need(ctx, RightChange, j.Workspace)
	}
	return ctx, err
}

// actNow gives a context in which a acts with the rights that they have now: of a member who is gone, none.
func (p *Plane) actNow(ctx context.Context, a Actor) (context.Context, error) {
	if a.Member == "" {
		return WithActor(ctx, a), nil
	}
	m, err := p.Store.Member(ctx, a.Member)
	if ended(err) != nil {
		return ctx, err
	}
	if err != nil { // their name stays
		m = Member{ID: a.Member, Email: a.Name, Language: a.Language}
	}
	seats, err := p.Store.SeatsOf(ctx, m.ID)
	return WithActor(ctx, a.As(m, seats)), err
}

// Do carries out a job that Ask left, as the actor who asked, and gives what comes out of it: a LaunchDone, EditDone,
// DataExportDone or ApplyDone, or nil; of all but an ApplyDone also with an error. It is safe to do a job again, however far it came before, but not beside itself.
//
// A check takes minutes, and its length is in the hands of whose bucket it is: whoever loses the right meanwhile changes
// nothing by the job.
//
// Errors: as May; those of the action, also those of its check; internal for a job of another kind.
func (p *Plane) Do(ctx context.Context, j Job) (any, error) {
	ctx, err := p.May(ctx, j)
	if err != nil {
		return nil, err
	}
	if j.Kind != JobApply {
		ctx = Holding(ctx, RightChange, j.Workspace)
	}
	switch j.Kind {
	case JobLaunch, JobEdit:
		var in editParams
		if err := j.read(&in); err != nil {
			return nil, err
		}
		in.Edit.SecretAccessKey = concealed(in.Secret)
		if j.Kind == JobLaunch {
			return p.doLaunch(ctx, j, in)
		}
		return p.doEdit(ctx, j, in)
	case JobCheck:
		_, err := p.CheckNow(ctx, j.Workspace, j.Connector, CheckDemand)
		return nil, err
	case JobExportTest, JobExportSave:
		var in exportParams
		if err := j.read(&in); err != nil {
			return nil, err
		}
		in.Edit.SecretAccessKey = concealed(in.Secret)
		if j.Kind == JobExportTest {
			_, err := p.TestDataExport(ctx, j.Workspace, in.Edit)
			return DataExportDone{Asked: in.Edit}, err
		}
		return p.doSaveExport(ctx, j, in)
	case JobApply:
		var in applyParams
		if err := j.read(&in); err != nil {
			return nil, err
		}
		m, err := in.manifest()
		if err == nil {
			ctx, err = p.mayApply(ctx, m) // also a name may stand for another workspace by now
		}
		if err != nil {
			return nil, fault.Wrap(err, "apply")
		}
		return ApplyDone{p.Apply(ctx, m, in.DryRun), in.DryRun}, nil
	}
	return nil, fault.New(fault.Internal, "", "this version does not know jobs of kind %q", j.Kind)
}

func (p *Plane) doLaunch(ctx context.Context, j Job, in editParams) (any, error) {
	_, err := p.Store.Connector(ctx, j.Workspace, j.Connector)
	if fault.Is(err, fault.NotFound) { // else a process ended after it and before the job was noted as done
		_, err = p.launch(ctx, j.Workspace, j.Connector, in.Edit)
	}
	done := LaunchDone{Connector: j.Connector}
	if err != nil {
		done.Asked = &in.Edit
	}
	return done, err
}

func (p *Plane) doEdit(ctx context.Context, j Job, in editParams) (any, error) {
	done := EditDone{Changes: []string{}}
	err := p.based(in.Rev, func() error {
		pl, err := p.planEdit(ctx, j.Workspace, j.Connector, in.Edit, in.Rev)
		if err == nil {
			err = p.carryOut(ctx, &pl)
		}
		done.Changes, done.Kept = append([]string{}, pl.changes...), pl.kept
		return err
	})
	if err != nil {
		done.Asked = &in.Edit
	}
	return done, fault.Wrap(err, "edit connector")
}

func (p *Plane) doSaveExport(ctx context.Context, j Job, in exportParams) (any, error) {
	done := DataExportDone{Asked: in.Edit}
	err := p.based(in.Rev, func() error {
		pl, err := p.planExportAt(ctx, j.Workspace, in.Edit, in.Rev)
		if err == nil {
			err = p.carryOutExport(ctx, &pl)
		}
		done.Changes = pl.changes
		return err
	})
	return done, fault.Wrap(err, "save data export")
}

func (j Job) read(params any) error {
	return fault.From(json.Unmarshal(j.Params, params), fault.Corrupt, fmt.Sprintf("read the parameters of job %d", j.ID))
}

func revealed(v *secret.Value) *string {
	if v == nil {
		return nil
	}
	s := v.Reveal()
	return &s
}

func concealed(s *string) *secret.Value {
	if s == nil {
		return nil
	}
	v := secret.New(*s)
	return &v
}

// JobProgress is how far the checks of a job are, in the order in which they were begun. Those of a job that has ended
// are what they found.
type JobProgress struct {
	Checks []CheckProgress `json:"checks"`
}

// CheckProgress is a check that a job makes.
type CheckProgress struct {
	Bucket string           `json:"bucket"`
	Folder string           `json:"folder,omitempty"`
	ByRole bool             `json:"by_role,omitempty"` // so its first step is to take the role on
	Steps  []bucket.Step    `json:"steps"`
	Notes  []bucket.Finding `json:"notes,omitempty"`
	// Left is for how many seconds the last step will be tried yet, while it is tried again.
	Left float64 `json:"left_seconds,omitempty"`
}

// Watched gives a plane whose checks tell note how far they are: after each step, and at their end. note is called by
// one goroutine at a time and must not keep what it is given.
func (p *Plane) Watched(note func(JobProgress)) *Plane {
	var all JobProgress
	watched := *p
	watched.Check = func(ctx context.Context, in bucket.CheckInput) (bucket.Report, error) {
		all.Checks = append(all.Checks, CheckProgress{Bucket: in.Access.Bucket, Folder: in.Folder, ByRole: in.Access.ByRole(), Steps: []bucket.Step{}})
		now := &all.Checks[len(all.Checks)-1]
		in.Progress = func(s bucket.Step) {
			if n := len(now.Steps); n > 0 && now.Steps[n-1].State == bucket.Trying {
				now.Steps = now.Steps[:n-1]
			}
			now.Steps, now.Left = append(now.Steps, s), s.Left.Seconds()
			note(all)
		}
		note(all)
		report, err := p.Check(ctx, in)
		if err == nil {
			now.Steps, now.Notes, now.Left = report.Steps, report.Notes, 0
			note(all)
		}
		return report, err
	}
	return &watched
}
