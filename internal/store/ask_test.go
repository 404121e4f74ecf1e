package store_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/text"
)

// wish is a connector that is asked for.
func wish(name, folder string) control.Edit {
	key := secret.New("hunter2hunter2")
	return control.Edit{Name: &name, ContactEmail: new("data@acme.example"), Bucket: new("acme-currents"), Folder: &folder, Region: new("us-east-1"),
		AccessKeyID: new("AKIAIOSFODNN7EXAMPLE"), SecretAccessKey: &key, Events: []string{"all"}}
}

// fetched gives a job as the process that does it reads it.
func (b *bench) fetched(j control.Job) control.Job {
	b.t.Helper()
	js, err := b.store.WaitingJobs(b.t.Context())
	ok(b.t, err)
	i := slices.IndexFunc(js, func(x control.Job) bool { return x.ID == j.ID })
	if i < 0 {
		b.t.Fatalf("job %d does not wait", j.ID)
	}
	return js[i]
}

func (b *bench) workspace(name string) control.Workspace {
	b.t.Helper()
	w, err := b.CreateWorkspace(b.t.Context(), control.Workspace{Name: name})
	ok(b.t, err)
	return w
}

func code(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != want {
		t.Fatalf("%v, want an error of code %s", err, want)
	}
}

func TestALaunchThatIsAskedForHappensOnceHoweverOftenItIsBegun(t *testing.T) {
	b := newBench(t)
	w := b.workspace("acme")
	j, err := b.AskLaunch(t.Context(), w.Number, wish("warehouse", "currents"))
	ok(t, err)
	if len(b.checks) > 0 {
		t.Fatalf("asking went out to %v", b.checks)
	}
	for range 2 { // the second time as after a process that ended before it noted the first
		out, err := b.Do(t.Context(), b.fetched(j))
		ok(t, err)
		equal(t, "result", out, control.LaunchDone{Connector: j.Connector})
	}
	equal(t, "checks", b.checks, "[acme-currents/currents by AKIAIOSFODNN7EXAMPLE:hunter2hunter2]")
	equal(t, "connector", b.only("acme").Connector, j.Connector)
}

func TestWhatIsWrongIsToldWhenItIsAskedFor(t *testing.T) {
	b := newBench(t)
	w := b.workspace("acme")
	e := wish("", "currents")
	e.Events = []string{"users.messages.email.Opne"}
	e.SecretAccessKey = nil
	_, err := b.AskLaunch(t.Context(), w.Number, e)
	code(t, err, fault.Invalid)
	var fields []string
	for _, p := range fault.As(err).Fields {
		fields = append(fields, p.Field)
	}
	equal(t, "fields", fields, "[name events[0] destination.secret_access_key]")
	if js, err := b.store.WaitingJobs(t.Context()); err != nil || len(js) > 0 {
		t.Errorf("%d jobs wait, %v", len(js), err)
	}
}

func TestAFailedCheckOfAJobStoresNothing(t *testing.T) {
	b := newBench(t)
	w := b.workspace("acme")
	b.refuse["acme-currents"] = refused("s3:PutObject", bucket.AccessDenied, "The policy does not allow s3:PutObject.")
	j, err := b.AskLaunch(t.Context(), w.Number, wish("warehouse", "currents"))
	ok(t, err)
	_, err = b.Do(t.Context(), b.fetched(j))
	code(t, err, fault.Forbidden)
	_, err = b.store.Connector(t.Context(), w.Number, j.Connector)
	code(t, err, fault.NotFound)
}

func TestAFailureIsReadAsItWasStored(t *testing.T) {
	b := newBench(t)
	j, err := b.AskLaunch(t.Context(), b.workspace("acme").Number, wish("warehouse", "currents"))
	ok(t, err)
	j.State = control.JobFailed
	j.Failure = &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "check.heading.invalid", Text: "S3 credentials are invalid"}, Params: fault.Params{"bucket": "acme"},
		Fields: []fault.Problem{fault.Field("flush.events", "out_of_range", "field.flush_events", "The number of events lies between {least} and {most}; this is {given}.", "least", 100, "most", 100_000, "given", 2_000_000)}}
	ok(t, b.store.SaveJob(t.Context(), j))
	got, err := b.store.Job(t.Context(), j.Workspace, j.ID)
	ok(t, err)
	equal(t, "message", got.Failure.Msg, j.Failure.Msg)
	equal(t, "in Spanish", text.Problem(text.Spanish, got.Failure.Fields[0]), "El número de eventos está entre 100 y 100.000; este es 2.000.000.")
}

func TestADraftThatIsLaunchedByAJobGoesWithIt(t *testing.T) {
	b := newBench(t)
	w := b.workspace("acme")
	d, err := b.SaveDraft(t.Context(), w.Number, "", wish("warehouse", "currents"), nil)
	ok(t, err)
	j, err := b.AskLaunchDraft(t.Context(), w.Number, d.ID)
	ok(t, err)
	_, err = b.Do(t.Context(), b.fetched(j))
	ok(t, err)
	equal(t, "connector", b.only("acme").Connector, d.ID)
	_, err = b.store.Draft(t.Context(), w.Number, d.ID)
	code(t, err, fault.NotFound)
}

// launched gives the only connector of workspace w.
func (b *bench) launched(w control.Workspace) control.Connector {
	b.t.Helper()
	_, err := b.Launch(b.t.Context(), w.Number, wish("warehouse", "currents"))
	ok(b.t, err)
	b.checks = nil
	return b.only(w.Name)
}

func TestAnEditWithoutNeedOfACheckHappensAtOnce(t *testing.T) {
	b := newBench(t)
	c := b.launched(b.workspace("acme"))
	got, changes, job, err := b.AskEdit(t.Context(), c.Workspace, c.Connector, control.Edit{Codec: new("snappy")}, &c.Rev)
	ok(t, err)
	if job != nil || len(b.checks) > 0 {
		t.Errorf("job %v, checks %v", job, b.checks)
	}
	equal(t, "changes", changes, "[codec: deflate → snappy]")
	equal(t, "version of the answer", got.Rev, b.only("acme").Rev)
}

func TestAnEditIsMeantForItsVersion(t *testing.T) {
	b := newBench(t)
	c := b.launched(b.workspace("acme"))
	old := c.Rev
	_, _, _, err := b.AskEdit(t.Context(), c.Workspace, c.Connector, control.Edit{Codec: new("snappy")}, &old)
	ok(t, err)
	t.Run("another one is refused", func(t *testing.T) {
		_, _, _, err := b.AskEdit(t.Context(), c.Workspace, c.Connector, control.Edit{Codec: new("null")}, &old)
		code(t, err, fault.Stale)
		_, _, _, err = b.AskEdit(t.Context(), c.Workspace, c.Connector, control.Edit{Folder: new("elsewhere")}, &old)
		code(t, err, fault.Stale)
	})
	t.Run("what is there already is no change", func(t *testing.T) {
		_, changes, _, err := b.AskEdit(t.Context(), c.Workspace, c.Connector, control.Edit{Codec: new("snappy")}, &old)
		ok(t, err)
		equal(t, "changes", changes, "[]")
	})
	t.Run("also while it waits as a job", func(t *testing.T) {
		now := b.only("acme").Rev
		_, _, job, err := b.AskEdit(t.Context(), c.Workspace, c.Connector, control.Edit{Folder: new("elsewhere")}, &now)
		ok(t, err)
		ok(t, b.Pause(t.Context(), c.Workspace, c.Connector))
		_, err = b.Do(t.Context(), b.fetched(*job))
		code(t, err, fault.Stale)
		equal(t, "folder", b.only("acme").Destination.Folder, "currents")
	})
	t.Run("a job that was done is done", func(t *testing.T) {
		now := b.only("acme").Rev
		_, _, job, err := b.AskEdit(t.Context(), c.Workspace, c.Connector, control.Edit{Folder: new("elsewhere")}, &now)
		ok(t, err)
		for range 2 {
			_, err := b.Do(t.Context(), b.fetched(*job))
			ok(t, err)
		}
		equal(t, "folder", b.only("acme").Destination.Folder, "elsewhere")
	})
	t.Run("one that is meant for none overtakes nothing", func(t *testing.T) {
		_, _, job, err := b.AskEdit(t.Context(), c.Workspace, c.Connector, control.Edit{Folder: new("third")}, nil)
		ok(t, err)
		check := b.Check
		b.Check = func(ctx context.Context, in bucket.CheckInput) (bucket.Report, error) {
			b.Check = check
			ok(t, b.Resume(ctx, c.Workspace, c.Connector))
			return check(ctx, in)
		}
		_, err = b.Do(t.Context(), b.fetched(*job))
		ok(t, err)
		if c := b.only("acme"); c.Destination.Folder != "third" || c.Paused {
			t.Errorf("folder %s, paused %v", c.Destination.Folder, c.Paused)
		}
	})
}

func TestADataExportIsSavedByAJobForItsVersion(t *testing.T) {
	b := newBench(t)
	w := b.workspace("acme")
	key := secret.New("hunter2hunter2")
	e := control.ExportEdit{Bucket: new("acme-exports"), AccessKeyID: new("AKIAIOSFODNN7EXAMPLE"), SecretAccessKey: &key}
	none := int64(0)
	j, err := b.AskSaveDataExport(t.Context(), w.Number, e, &none)
	ok(t, err)
	for range 2 {
		_, err = b.Do(t.Context(), b.fetched(j))
		ok(t, err)
	}
	equal(t, "checks", b.checks, "[acme-exports/ by AKIAIOSFODNN7EXAMPLE:hunter2hunter2]")
	_, err = b.AskSaveDataExport(t.Context(), w.Number, control.ExportEdit{Bucket: new("acme-others")}, &none)
	code(t, err, fault.Stale)
	j, err = b.AskTestDataExport(t.Context(), w.Number, control.ExportEdit{Bucket: new("acme-others")})
	ok(t, err)
	_, err = b.Do(t.Context(), b.fetched(j))
	ok(t, err)
	d, err := b.store.DataExport(t.Context(), w.Number)
	ok(t, err)
	equal(t, "bucket", d.Bucket, "acme-exports")
}

const manifest = `
workspaces:
  - name: acme
    connectors:
      - name: warehouse
        contact_email: data@acme.example
        destination: {bucket: acme-currents, access_key_id: AKIAIOSFODNN7EXAMPLE, secret_access_key_env: ACME_S3_SECRET}
        events: [all]
`

func TestAManifestIsAppliedByAJobWithItsOwnSecretsAlone(t *testing.T) {
	t.Setenv("ACME_S3_SECRET", "of-the-server")
	b := newBench(t)
	root := control.WithActor(t.Context(), control.CommandLine())
	_, err := b.AskApply(root, "apply.yaml", manifest, nil, false)
	code(t, err, fault.Invalid)
	// The server's variables have nothing to do with it, and its files even less.
	if said := err.Error(); !strings.Contains(said, `no secret "env:ACME_S3_SECRET"`) || strings.Contains(said, "environment variable") {
		t.Errorf("%v", err)
	}
	_, err = b.AskApply(root, "apply.yaml", "workspaces: [{name: acme, api_keys: [{name: k, scopes: [events.write], secret_file: /etc/passwd}]}]", nil, false)
	code(t, err, fault.Invalid)
	if !strings.Contains(err.Error(), `no secret "file:/etc/passwd"`) {
		t.Errorf("%v", err)
	}

	j, err := b.AskApply(root, "apply.yaml", manifest, map[string]string{"env:ACME_S3_SECRET": "hunter2hunter2"}, false)
	ok(t, err)
	for i, want := range []int{2, 0} {
		out, err := b.Do(t.Context(), b.fetched(j))
		ok(t, err)
		if done := out.(control.ApplyDone); len(done.Changes) != want || len(done.Failures) > 0 {
			t.Errorf("time %d: %v, %v", i+1, done.Changes, done.Failures)
		}
	}
	equal(t, "checks", b.checks, "[acme-currents/currents by AKIAIOSFODNN7EXAMPLE:hunter2hunter2]")
}

func TestAManifestNeedsTheRightsOfWhatItNames(t *testing.T) {
	b := newBench(t)
	acme, other := b.workspace("acme"), b.workspace("other")
	as := func(r control.Role) control.Actor {
		m := control.Member{ID: control.NewMemberID(), CreatedAt: b.now}
		m.Email = string(m.ID)
		seat := control.Membership{Workspace: acme.Number, Member: m.ID, Role: r, CreatedAt: b.now}
		ok(t, b.store.CreateMember(t.Context(), m, control.Lock{}, &seat))
		return control.Actor{}.As(m, []control.Membership{seat})
	}
	connector := "workspaces: [{name: acme, connectors: [{name: gone, deleted: true}]}]"
	settings := "workspaces: [{name: acme, language: es}]"
	keys := "workspaces: [{name: acme, api_keys: [{name: k, scopes: [events.write]}]}]"
	fresh := "workspaces: [{name: fresh}]"
	foreign := "workspaces: [{name: acme}, {name: " + other.Name + "}]"
	for _, row := range []struct {
		who  control.Actor
		text string
		may  bool
	}{
		{as(control.Viewer), connector, false},
		{as(control.Editor), connector, true},
		{as(control.Editor), settings, false},
		{as(control.Editor), keys, false},
		{as(control.Administrator), settings, true},
		{as(control.Administrator), keys, true},
		{as(control.Administrator), fresh, false},
		{as(control.Administrator), foreign, false},
		{control.CommandLine(), fresh, true},
		{control.CommandLine(), foreign, true},
	} {
		_, err := b.AskApply(control.WithActor(t.Context(), row.who), "apply.yaml", row.text, nil, true)
		if row.may != (err == nil) || err != nil && fault.CodeOf(err) != fault.Forbidden {
			t.Errorf("%v, %s: %v", row.who.Seats, row.text, err)
		}
	}
}

func TestAJobIsDoneWithTheRightsOfItsDay(t *testing.T) {
	b := newBench(t)
	acme := b.workspace("acme")
	eve := control.Member{ID: control.NewMemberID(), Email: "eve@acme.example", Name: "Eve", CreatedAt: b.now}
	seat := func(r control.Role) control.Membership {
		return control.Membership{Workspace: acme.Number, Member: eve.ID, Role: r, CreatedAt: b.now}
	}
	ok(t, b.store.CreateMember(t.Context(), eve, control.Lock{}, new(seat(control.Administrator))))
	spare := eve
	spare.ID, spare.Email = control.NewMemberID(), "spare@acme.example"
	ok(t, b.store.CreateMember(t.Context(), spare, control.Lock{}, &control.Membership{Workspace: acme.Number, Member: spare.ID, Role: control.Administrator, CreatedAt: b.now}))
	ctx := control.WithActor(t.Context(), control.Actor{}.As(eve, []control.Membership{seat(control.Administrator)}))

	launch, err := b.AskLaunch(ctx, acme.Number, wish("backdoor", "currents"))
	ok(t, err)
	const manifest = "workspaces: [{name: acme, api_keys: [{name: backdoor, scopes: [events.write]}]}]"
	apply, err := b.AskApply(ctx, "apply.yaml", manifest, nil, false)
	ok(t, err)
	export, err := b.AskSaveDataExport(ctx, acme.Number, control.ExportEdit{Bucket: new("acme-exports"), RoleARN: new("arn:aws:iam::123456789012:role/x")}, nil)
	ok(t, err)
	own, err := b.AskApply(control.WithActor(t.Context(), control.CommandLine()), "apply.yaml", "workspaces: [{name: acme, language: es}]", nil, false)
	ok(t, err)
	refused := func(jobs ...control.Job) {
		t.Helper()
		for _, j := range jobs {
			_, err := b.Do(t.Context(), b.fetched(j))
			code(t, err, fault.Forbidden)
		}
	}
	// A check may take minutes, and whoever owns the bucket sets its pace.
	b.overtaken(func() {
		ok(t, b.store.SetSeat(t.Context(), control.SeatChange{Was: seat(control.Administrator), Next: seat(control.Viewer)}))
	})
	refused(launch)
	ok(t, b.store.SetSeat(t.Context(), control.SeatChange{Was: seat(control.Viewer), Next: seat(control.Administrator)}))
	b.checks = nil

	ok(t, b.store.SetSeat(t.Context(), control.SeatChange{Was: seat(control.Administrator), Next: seat(control.Editor)}))
	refused(apply)
	ok(t, b.store.SetSeat(t.Context(), control.SeatChange{Was: seat(control.Editor), Next: seat(control.Viewer)}))
	refused(apply, launch, export)
	ok(t, b.store.DeleteMember(t.Context(), eve.ID))
	refused(apply, launch, export)
	if len(b.checks) > 0 {
		t.Errorf("it went out to %v", b.checks)
	}
	_, err = b.Do(t.Context(), b.fetched(own))
	ok(t, err)
}

func TestStepsAreTold(t *testing.T) {
	b := newBench(t)
	b.Check = func(_ context.Context, in bucket.CheckInput) (bucket.Report, error) {
		in.Progress(bucket.Step{Action: "sts:AssumeRole", State: bucket.Trying, Left: 90e9})
		in.Progress(bucket.Step{Action: "sts:AssumeRole", State: bucket.Trying, Left: 60e9})
		in.Progress(bucket.Step{Action: "sts:AssumeRole", State: bucket.Passed})
		return bucket.Report{OK: true, Steps: []bucket.Step{{Action: "sts:AssumeRole", State: bucket.Passed}, {Action: "s3:PutObject", State: bucket.Passed}}}, nil
	}
	var told []string
	p := b.Watched(func(x control.JobProgress) {
		var states []string
		for _, s := range x.Checks[0].Steps {
			states = append(states, string(s.State))
		}
		line, err := json.Marshal([]any{states, x.Checks[0].Left})
		ok(t, err)
		told = append(told, string(line))
	})
	_, err := p.Launch(t.Context(), b.workspace("acme").Number, wish("warehouse", "currents"))
	ok(t, err)
	equal(t, "told", strings.Join(told, " "), `[null,0] [["trying"],90] [["trying"],60] [["passed"],0] [["passed","passed"],0]`)
}

func TestAWebhookIsCreatedOnceWithASecret(t *testing.T) {
	b := newBench(t)
	w := b.workspace("acme")
	h, err := b.CreateWebhook(t.Context(), control.Webhook{Workspace: w.Number, URL: "https://acme.example/hook"})
	ok(t, err)
	if s := h.Secret.Reveal(); !strings.HasPrefix(s, "mrw_") || len(s) < 26 {
		t.Errorf("the secret is %q", s)
	}
	_, err = b.CreateWebhook(t.Context(), control.Webhook{Workspace: w.Number, URL: "https://acme.example/hook"})
	code(t, err, fault.Conflict)
	_, err = b.CreateWebhook(t.Context(), control.Webhook{Workspace: w.Number, URL: "ftp://acme.example", Secret: secret.New("short"), Kinds: []control.NoticeKind{"x"}})
	code(t, err, fault.Invalid)
	equal(t, "number of problems", len(fault.As(err).Fields), 3)
	hs, err := b.store.Webhooks(t.Context(), w.Number)
	ok(t, err)
	equal(t, "kept", hs[0].Secret.Reveal(), h.Secret.Reveal())
}
