package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

const roleARN = "arn:aws:iam::123456789012:role/millrace"

// access gives what opens the first destination of the one connector of acme.
func (b *bench) access() control.Access {
	b.t.Helper()
	c := b.only("acme")
	a, err := b.store.Access(b.t.Context(), control.Lane{Connector: c.Connector, Destination: c.Destination.Number})
	ok(b.t, err)
	return a
}

// notices gives kind and parameters of a workspace's notices, oldest first.
func (b *bench) notices(workspace string) (out []string) {
	b.t.Helper()
	w, err := b.store.Workspace(b.t.Context(), workspace)
	ok(b.t, err)
	ns, err := b.store.Notices(b.t.Context(), w.Number, 0, 100)
	ok(b.t, err)
	for _, n := range ns {
		out = append([]string{fmt.Sprintf("%s %v", n.Kind, n.Params)}, out...)
	}
	return out
}

func (b *bench) failed(text string) error {
	b.t.Helper()
	r := b.apply(text, false)
	if len(r.Failures) != 1 {
		b.t.Fatalf("failures %+v, want one", r.Failures)
	}
	return r.Failures[0].Err
}

func TestAConnectorIsOpenedByARoleOrAKeyAndEitherTakesTheOthersPlace(t *testing.T) {
	b := newBench(t)
	role := smallFile("contact_email: a@example.com", "events: [all]", "destination: {bucket: bbb, folder: f, role_arn: '"+roleARN+"'}")
	equal(t, "launch", b.applied(role), []string{"workspace acme: create", "connector acme/w: launch into bbb/f"})
	a := b.access()
	if a.RoleARN != roleARN || !strings.HasPrefix(a.ExternalID, "mlr-") || a.SessionName != "millrace-w" {
		t.Fatalf("access %+v", a)
	}
	byRole := fmt.Sprintf("bbb/f by %s with %s as millrace-w", roleARN, a.ExternalID)
	equal(t, "checked", b.checks, []string{byRole})
	equal(t, "again", b.applied(role), []string(nil))

	key := smallFile("destination: {access_key_id: AKIA1, secret_access_key: s1}")
	equal(t, "a key in its place", b.applied(key), []string{"connector acme/w: access key id: none → AKIA1; role: " + roleARN + " → none; secret access key: new"})
	a = b.access()
	equal(t, "access", fmt.Sprint(a.AccessKeyID, a.SecretAccessKey.Reveal(), a.RoleARN, a.ExternalID), "AKIA1s1")
	equal(t, "version", b.only("acme").Version, 1) // credentials decide nothing about events
	equal(t, "again", b.applied(key), []string(nil))

	b.refuse["bbb"] = refused("sts:AssumeRole", bucket.RoleRefused, "The role cannot be assumed.")
	err := b.failed(role)
	if !fault.Is(err, fault.Forbidden) || !strings.Contains(fault.HintOf(err), "mlr-") || !strings.Contains(fault.HintOf(err), "policy trust --workspace acme") {
		t.Fatalf("a refused role: %v (hint %q)", err, fault.HintOf(err))
	}
	equal(t, "after a refused rotation", b.access().SecretAccessKey.Reveal(), "s1")
	delete(b.refuse, "bbb")
	equal(t, "the role again", b.applied(role), []string{"connector acme/w: access key id: AKIA1 → none; role: none → " + roleARN})
	equal(t, "checked with the same external id", b.checks[len(b.checks)-1], byRole)
	if a = b.access(); !a.SecretAccessKey.Empty() || a.AccessKeyID != "" {
		t.Fatal("the key is still there")
	}
	equal(t, "another role", b.applied(smallFile("destination: {role_arn: '"+roleARN+"2'}")), []string{"connector acme/w: role: " + roleARN + " → " + roleARN + "2"})

	for name, row := range map[string]struct{ destination, problems string }{
		"both":        {"{bucket: ccc, role_arn: '" + roleARN + "', access_key_id: AKIA1, secret_access_key: s}", "access_key_id conflict, secret_access_key conflict"},
		"neither":     {"{bucket: ccc}", "access_key_id required"},
		"half a key":  {"{bucket: ccc, access_key_id: AKIA1}", "secret_access_key required"},
		"no role":     {"{bucket: ccc, role_arn: 'arn:aws:iam::123456789012:user/x'}", "role_arn invalid"},
		"no account":  {"{bucket: ccc, role_arn: 'arn:aws:iam::12345678901:role/x'}", "role_arn invalid"},
		"in China":    {"{bucket: ccc, role_arn: 'arn:aws-cn:iam::123456789012:role/path/x'}", ""},
		"in GovCloud": {"{bucket: ccc, role_arn: 'arn:aws-us-gov:iam::123456789012:role/x'}", ""},
	} {
		r := b.apply("workspaces: [{name: acme, connectors: [{name: n, contact_email: a@b.example, events: [all], destination: "+row.destination+"}]}]", true)
		var got []string
		for _, f := range r.Failures {
			for _, p := range fault.As(f.Err).Fields {
				got = append(got, p.Field[strings.LastIndex(p.Field, ".")+1:]+" "+p.Code)
			}
		}
		if s := strings.Join(got, ", "); s != row.problems {
			t.Errorf("%s: problems %q, want %q", name, s, row.problems)
		}
	}
}

func TestEachCheckIsRememberedAndTold(t *testing.T) {
	b := newBench(t)
	b.refuse["bbb"] = refused("s3:PutObject", bucket.AccessDenied, "s3:PutObject is not allowed.")
	_ = b.failed(smallFile(launch...))
	delete(b.refuse, "bbb")
	b.now = b.now.Add(time.Second)
	b.applied(smallFile(launch...))
	c := b.only("acme")
	failed := "check_failed map[bucket:bbb connector:w hint: message:s3:PutObject is not allowed. problem:access_denied said:{\"message\":{\"Key\":\"check.access_denied\",\"Text\":\"s3:PutObject is not allowed.\"},\"hint\":{\"Key\":\"\",\"Text\":\"\"}} trigger:schedule workspace:acme]"
	passed := "check_passed map[bucket:bbb connector:w trigger:schedule workspace:acme]"
	// At the launch nothing is stored that would say whom to mail.
	launched := func(notice string) string {
		return strings.NewReplacer("connector:w", "connector:w contact:"+c.ContactEmail, "trigger:schedule", "trigger:launch").Replace(notice)
	}
	equal(t, "notices", b.notices("acme"), []string{launched(failed), launched(passed)})

	day := 24 * time.Hour
	scheduled := func(want int) {
		t.Helper()
		n, err := b.CheckAll(t.Context(), day, 10)
		ok(t, err)
		equal(t, "scheduled checks", n, want)
	}
	scheduled(0)
	b.now = b.now.Add(day + time.Second)
	scheduled(1)
	scheduled(0)
	equal(t, "a scheduled check that passes is not told", len(b.notices("acme")), 2)
	b.refuse["bbb"] = refused("s3:PutObject", bucket.AccessDenied, "s3:PutObject is not allowed.")
	for _, wait := range []time.Duration{day + time.Second, 0, time.Hour, day + time.Second} {
		b.now = b.now.Add(wait)
		if wait == day+time.Second {
			scheduled(1)
		} else if _, err := b.CheckNow(t.Context(), c.Workspace, c.Connector, control.CheckSchedule); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("a check that fails: %v", err)
		}
	}
	equal(t, "told once a day", b.notices("acme")[2:], []string{failed, failed})
	passing := b.refuse["bbb"]
	passing.Passing = true
	b.refuse["bbb"] = passing
	b.now = b.now.Add(day + time.Second)
	scheduled(1)
	equal(t, "a store in trouble is not told", len(b.notices("acme")), 4)

	ok(t, b.Pause(t.Context(), c.Workspace, c.Connector))
	b.now = b.now.Add(2 * day)
	scheduled(0)
	ok(t, b.Resume(t.Context(), c.Workspace, c.Connector))
	delete(b.refuse, "bbb")
	report, err := b.CheckNow(t.Context(), c.Workspace, c.Connector, control.CheckDemand)
	ok(t, err)
	equal(t, "report", report.OK, true)
	rows, err := b.store.Checks(t.Context(), c.Workspace, c.Connector, 100)
	ok(t, err)
	var triggers []string
	for _, r := range rows {
		triggers = append(triggers, fmt.Sprint(r.Trigger, r.OK))
	}
	equal(t, "history, newest first", strings.Join(triggers, " "),
		"demandtrue schedulefalse schedulefalse schedulefalse schedulefalse schedulefalse scheduletrue launchtrue")
	told := len(b.notices("acme"))
	b.refuse["bbb"] = refused("sts:AssumeRole", bucket.OwnCredentials, "Our own credentials fail.")
	if _, err := b.CheckNow(t.Context(), c.Workspace, c.Connector, control.CheckDemand); err == nil {
		t.Error("a check that could not be made passes")
	}
	after, err := b.store.Checks(t.Context(), c.Workspace, c.Connector, 100)
	ok(t, err)
	equal(t, "what we stood in the way of ourselves is neither kept nor told", len(after)+len(b.notices("acme")), len(rows)+told)
	delete(b.refuse, "bbb")
	if _, err := b.CheckNow(t.Context(), c.Workspace+1, c.Connector, control.CheckDemand); !fault.Is(err, fault.NotFound) {
		t.Fatalf("another workspace's connector: %v", err)
	}
	ok(t, b.Delete(t.Context(), c.Workspace, c.Connector))
	b.now = b.now.Add(2 * day)
	scheduled(0)
}

func TestAScheduledCheckThatCannotBeMadeLetsTheOthersPass(t *testing.T) {
	b := newBench(t)
	b.applied(smallFile(launch...))
	w := b.only("acme").Workspace
	// A restored database knows this one from the log, without its credentials.
	lost := b.only("acme").Config
	lost.Connector, lost.Number, lost.Name, lost.Destination.Folder = control.NewConnectorID(), control.NewNumber(), "lost", "g"
	ok(t, b.store.ApplyControl(t.Context(), eventlog.ID{1}, 1, []control.LoggedRecord{
		{Workspace: w, Record: control.Record{Kind: control.RecordConfig, Config: &lost}}}))
	b.now = time.Now().Add(100 * time.Hour) // the store has a clock of its own
	checks := len(b.checks)
	for range 2 {
		n, err := b.CheckAll(t.Context(), time.Hour, 1)
		ok(t, err)
		equal(t, "made", n, 1)
	}
	equal(t, "the other was tried", len(b.checks)-checks, 1)
	rows, err := b.store.Checks(t.Context(), w, lost.Connector, 10)
	ok(t, err)
	if len(rows) != 1 || rows[0].OK || !strings.Contains(string(rows[0].Report), "No credentials are stored") {
		t.Fatalf("history %+v", rows)
	}
}

func TestAConnectorIsPausedResumedUpgradedAndAskedForJobs(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	b.applied(smallFile(append(launch, "test: true")...))
	c := b.only("acme")
	checks := len(b.checks)
	ok(t, b.Pause(ctx, c.Workspace, c.Connector))
	ok(t, b.Pause(ctx, c.Workspace, c.Connector))
	equal(t, "paused", control.StatusOf(b.only("acme"), nil), control.StatusPaused)
	ok(t, b.Resume(ctx, c.Workspace, c.Connector))
	equal(t, "resumed", control.StatusOf(b.only("acme"), nil), control.StatusActive)
	ok(t, b.Upgrade(ctx, c.Workspace, c.Connector))
	equal(t, "upgraded", fmt.Sprint(b.only("acme").Test, b.only("acme").Version), "false 1")
	if err := b.failed(smallFile("test: true")); !fault.Is(err, fault.Invalid) {
		t.Fatalf("back to a test connector: %v", err)
	}
	equal(t, "checks for all that", len(b.checks)-checks, 0)

	job, err := b.SendTestEvents(ctx, c.Workspace, c.Connector)
	ok(t, err)
	from := b.now.Add(-time.Hour)
	again, err := b.Replay(ctx, c.Workspace, c.Connector, control.ReplayParams{From: from, Until: b.now, Dropped: true})
	ok(t, err)
	jobs, err := b.store.WaitingJobs(ctx)
	ok(t, err)
	equal(t, "jobs", fmt.Sprint(len(jobs), jobs[0].ID == job, jobs[0].Kind, jobs[1].ID == again, string(jobs[1].Params)),
		`2 truetest_eventstrue{"from":"2026-11-22T09:30:00Z","until":"2026-11-22T10:30:00Z","dropped":true}`)
	for _, r := range []control.ReplayParams{{}, {From: b.now, Until: b.now}} {
		if _, err := b.Replay(ctx, c.Workspace, c.Connector, r); !fault.Is(err, fault.Invalid) {
			t.Errorf("replay of %+v: %v", r, err)
		}
	}
	other := c.Workspace + 1
	_, jobErr := b.SendTestEvents(ctx, other, c.Connector)
	_, replayErr := b.Replay(ctx, other, c.Connector, control.ReplayParams{From: from})
	for _, err := range []error{b.Pause(ctx, other, c.Connector), b.Resume(ctx, other, c.Connector), b.Upgrade(ctx, other, c.Connector), jobErr, replayErr} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("from another workspace: %v", err)
		}
	}
	ok(t, b.Delete(ctx, c.Workspace, c.Connector))
	if err := b.Pause(ctx, c.Workspace, c.Connector); !fault.Is(err, fault.NotFound) {
		t.Errorf("pausing a deleted connector: %v", err)
	}
}

func TestADataExportIsTestedThenSavedAndTheFormerWorksUntilThen(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	w, err := b.CreateWorkspace(ctx, control.Workspace{Name: "acme"})
	ok(t, err)
	text := func(s string) *string { return &s }
	key := func(s string) *secret.Value { v := secret.New(s); return &v }
	current := func() string {
		t.Helper()
		a, err := b.store.DataExportAccess(ctx, w.Number)
		if fault.Is(err, fault.NotFound) {
			return "none"
		}
		ok(t, err)
		return strings.TrimSpace(fmt.Sprintf("%s %s%s %s", a.Bucket, a.AccessKeyID, a.RoleARN, a.SecretAccessKey.Reveal()))
	}
	first := control.ExportEdit{Bucket: text("exports"), AccessKeyID: text("AKIA1"), SecretAccessKey: key("s1")}
	_, err = b.TestDataExport(ctx, w.Number, first)
	ok(t, err)
	equal(t, "a test stores nothing", current(), "none")
	b.refuse["exports"] = refused("s3:DeleteObject", bucket.AccessDenied, "s3:DeleteObject is not allowed.")
	report, err := b.TestDataExport(ctx, w.Number, first)
	if !fault.Is(err, fault.Forbidden) || len(report.Steps) != 1 {
		t.Fatalf("a test that fails: %v, %+v", err, report)
	}
	if _, _, err = b.SaveDataExport(ctx, w.Number, first); !fault.Is(err, fault.Forbidden) || current() != "none" {
		t.Fatalf("saving what fails: %v, %s", err, current())
	}
	delete(b.refuse, "exports")
	_, _, err = b.SaveDataExport(ctx, w.Number, first)
	ok(t, err)
	equal(t, "saved", current(), "exports AKIA1 s1")
	for _, k := range b.kinds {
		equal(t, "kind of check", k, bucket.Exports)
	}
	for _, step := range []struct {
		what    string
		e       control.ExportEdit
		changes string
		after   string
	}{
		{"nothing", control.ExportEdit{AccessKeyID: text("AKIA1")}, "", "exports AKIA1 s1"},
		{"another secret", control.ExportEdit{SecretAccessKey: key("s2")}, "secret access key: new", "exports AKIA1 s2"},
		{"a role", control.ExportEdit{RoleARN: text(roleARN)}, "access key id: AKIA1 → none; role: none → " + roleARN, "exports " + roleARN},
		{"another bucket", control.ExportEdit{Bucket: text("other")}, "bucket: exports → other", "other " + roleARN},
		{"another provider", control.ExportEdit{Endpoint: text("https://s.example"), AccessKeyID: text("AKIA2"), SecretAccessKey: key("s3")},
			"endpoint: none → https://s.example; access key id: none → AKIA2; role: " + roleARN + " → none; secret access key: new", "other AKIA2 s3"},
	} {
		former, checks := current(), len(b.checks)
		for _, name := range []string{"exports", "other"} {
			b.refuse[name] = refused("s3:PutObject", bucket.AccessDenied, "no")
		}
		_, _, err := b.SaveDataExport(ctx, w.Number, step.e)
		equal(t, step.what+": with a check that fails", fmt.Sprint(current(), err != nil), fmt.Sprint(former, step.changes != ""))
		clear(b.refuse)
		_, changes, err := b.SaveDataExport(ctx, w.Number, step.e)
		ok(t, err)
		equal(t, step.what, strings.Join(changes, "; "), step.changes)
		equal(t, step.what, current(), step.after)
		equal(t, step.what+": checked", len(b.checks) > checks, step.changes != "")
	}
	_, err = b.TestDataExport(ctx, w.Number, control.ExportEdit{Bucket: text("B"), RoleARN: text("x"), Region: text("?")})
	var fields []string
	for _, p := range fault.As(err).Fields {
		fields = append(fields, p.Field+" "+p.Code)
	}
	equal(t, "problems", fields, []string{"bucket invalid", "region invalid", "role_arn invalid"})

	b.kinds = nil
	b.now = b.now.Add(48 * time.Hour)
	n, err := b.CheckAll(ctx, 24*time.Hour, 10)
	ok(t, err)
	equal(t, "a scheduled check deletes nothing", fmt.Sprint(n, b.kinds), fmt.Sprint(1, []bucket.Kind{bucket.Currents}))
	rows, err := b.store.Checks(ctx, w.Number, "", 100)
	ok(t, err)
	equal(t, "checks remembered", len(rows), len(b.checks))
}

func TestOneFileSaysExportsWebhooksLanguageAndWhatIsShared(t *testing.T) {
	b := newBench(t)
	const file = `workspaces:
- name: acme
  language: pt-BR
  webhooks:
  - {url: "https://hooks.example/x?a=1", secret_env: ACME_PRODUCER_KEY, kinds: [failing, hour_complete]}
  connectors:
  - {name: w, contact_email: a@b.example, events: [all], destination: {bucket: bbb, folder: f, region: eu-west-1, role_arn: "` + roleARN + `"}}
  - {name: v, contact_email: a@b.example, events: [engagement], destination: {same_as: w, folder: g}}
  - {name: gone, deleted: true}
  data_export: {bucket: exports, access_key_id: AKIA1, secret_access_key_env: ACME_S3_SECRET}
`
	want := []string{"workspace acme: create", "webhook acme/https://hooks.example/x?a=1: create", "connector acme/w: launch into bbb/f",
		"connector acme/v: launch into bbb/g", "data export acme: link to exports"}
	dry := b.apply(file, true)
	equal(t, "dry run", fmt.Sprint(lines(dry), dry.Failures), fmt.Sprint(want, []control.Failure(nil)))
	equal(t, "nothing was checked", len(b.checks), 0)
	equal(t, "changes", b.applied(file), want)
	equal(t, "again", b.applied(file), []string(nil))
	w, err := b.store.Workspace(t.Context(), "acme")
	ok(t, err)
	equal(t, "language", w.Language, "pt-BR")
	cs, err := b.store.Connectors(t.Context(), w.Number)
	ok(t, err)
	equal(t, "shared", fmt.Sprint(cs[0].Name, cs[0].RoleARN, cs[0].Destination.Bucket, cs[0].Destination.Region), "v"+roleARN+"bbbeu-west-1")

	equal(t, "what the other has now", b.applied(`workspaces: [{name: acme, connectors: [{name: w, destination: {access_key_id: AKIA1, secret_access_key: s1}}, {name: v, destination: {same_as: w}}]}]`),
		[]string{"connector acme/w: access key id: none → AKIA1; role: " + roleARN + " → none; secret access key: new",
			"connector acme/v: access key id: none → AKIA1; role: " + roleARN + " → none; secret access key: new"})
	equal(t, "kinds and secret of the webhook", b.applied(`workspaces: [{name: acme, webhooks: [{url: "https://hooks.example/x?a=1", secret_env: ACME_PRODUCER_KEY, kinds: [failing]}]}]`),
		[]string{"webhook acme/https://hooks.example/x?a=1: kinds: failing, hour_complete → failing"})
	gone := `workspaces: [{name: acme, connectors: [{name: w, deleted: true}]}]`
	dry = b.apply(gone, true)
	equal(t, "dry run of a deletion", lines(dry), []string{"connector acme/w: delete"})
	equal(t, "deletion", b.applied(gone), []string{"connector acme/w: delete"})
	equal(t, "again", b.applied(gone), []string(nil))

	for name, row := range map[string]struct{ text, field, code string }{
		"a language that is none":                {"language: xx", "language", "unknown_value"},
		"a webhook without secret":               {"webhooks: [{url: 'https://x.example'}]", "webhooks[0].secret", "required"},
		"a webhook to nowhere":                   {"webhooks: [{url: 'ftp://x', secret: 0123456789abcdef}]", "webhooks[0].url", "invalid"},
		"same as nobody":                         {"connectors: [{name: x, contact_email: a@b.example, events: [all], destination: {same_as: nobody}}]", "connectors[0].destination.same_as", "unknown_value"},
		"same as nobody, and what else is wrong": {"connectors: [{name: x, contact_email: a@b.example, events: [all], codec: gzip, destination: {same_as: nobody}}]", "connectors[0].codec", "unknown_value"},
		"same as a later one":                    {"connectors: [{name: x, contact_email: a@b.example, events: [all], destination: {same_as: y}}, {name: y, contact_email: a@b.example, events: [all], destination: {bucket: yyy, role_arn: '" + roleARN + "'}}]", "connectors[0].destination.same_as", "unknown_value"},
		"a data export that is none":             {"data_export: {bucket: B, role_arn: x}", "data_export.role_arn", "invalid"},
	} {
		r := b.apply("workspaces:\n- name: new\n  "+row.text+"\n", false)
		found := false
		for _, f := range r.Failures {
			if e := fault.As(f.Err); e != nil {
				for _, p := range e.Fields {
					found = found || strings.HasPrefix(p.Field, "apply.yaml:3:") && strings.HasSuffix(p.Field, ": workspaces[0]."+row.field) && p.Code == row.code
				}
			}
		}
		if !found || len(r.Changes) > 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	r := b.apply(`workspaces: [{name: acme, connectors: [{name: root, contact_email: a@b.example, events: [all], destination: {bucket: exports, folder: "", role_arn: "`+roleARN+`"}}]}]`, false)
	if len(r.Failures) != 1 || !fault.Is(r.Failures[0].Err, fault.Conflict) {
		t.Fatalf("a connector with the whole bucket of the data export: %+v", r)
	}
	r = b.apply(`workspaces: [{name: fresh, connectors: [{name: root, contact_email: a@b.example, events: [all], destination: {bucket: both, folder: "", role_arn: "`+roleARN+`"}}], data_export: {bucket: both, role_arn: "`+roleARN+`"}}]`, true)
	if len(r.Failures) != 1 || r.Failures[0].Kind != "data export" || !fault.Is(r.Failures[0].Err, fault.Conflict) {
		t.Fatalf("a dry run does not see that the file contradicts itself: %+v", r)
	}
}

func TestADraftIsKeptUncheckedUntilItIsLaunched(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	w, err := b.CreateWorkspace(ctx, control.Workspace{Name: "acme"})
	ok(t, err)
	name, name2, bad, good, email, id := "w", "w2", "B", "bbb", "a@example.com", "AKIA1"
	key := secret.New("s1")
	if _, err := b.SaveDraft(ctx, w.Number, "", control.Edit{}, nil); !fault.Is(err, fault.Invalid) {
		t.Fatalf("a draft without a name: %v", err)
	}
	d, err := b.SaveDraft(ctx, w.Number, "", control.Edit{Name: &name, Bucket: &bad, SecretAccessKey: &key}, nil)
	ok(t, err)
	if _, err := b.LaunchDraft(ctx, w.Number, d.ID); !fault.Is(err, fault.Invalid) {
		t.Fatalf("launching a draft that is not whole: %v", err)
	}
	_, err = b.SaveDraft(ctx, w.Number, d.ID, control.Edit{Name: &name2, Bucket: &good, ContactEmail: &email, AccessKeyID: &id, Events: []string{"all"}}, nil)
	ok(t, err)
	if _, err := b.SaveDraft(ctx, w.Number+1, d.ID, control.Edit{Name: &name}, nil); !fault.Is(err, fault.NotFound) {
		t.Fatalf("another workspace's draft: %v", err)
	}
	b.refuse["bbb"] = refused("s3:PutObject", bucket.AccessDenied, "no")
	if _, err := b.LaunchDraft(ctx, w.Number, d.ID); !fault.Is(err, fault.Forbidden) {
		t.Fatalf("launching with a check that fails: %v", err)
	}
	if ds, err := b.store.Drafts(ctx, w.Number); err != nil || len(ds) != 1 {
		t.Fatalf("the draft is gone: %v, %v", ds, err)
	}
	delete(b.refuse, "bbb")
	c, err := b.LaunchDraft(ctx, w.Number, d.ID)
	ok(t, err)
	equal(t, "connector", fmt.Sprint(c.Connector, c.Name, b.access().SecretAccessKey.Reveal()), fmt.Sprint(d.ID, "w2", "s1"))
	if ds, err := b.store.Drafts(ctx, w.Number); err != nil || len(ds) != 0 {
		t.Fatalf("the draft is still there: %v, %v", ds, err)
	}
	if _, err := b.LaunchDraft(ctx, w.Number, d.ID); !fault.Is(err, fault.NotFound) {
		t.Fatalf("launching it again: %v", err)
	}
	d, err = b.SaveDraft(ctx, w.Number, "", control.Edit{Name: &name}, nil)
	ok(t, err)
	ok(t, b.DeleteDraft(ctx, w.Number, d.ID))
}

// overtaken makes the next check wait until f is done.
func (b *bench) overtaken(f func()) {
	check := b.Plane.Check
	b.Plane.Check = func(ctx context.Context, in bucket.CheckInput) (bucket.Report, error) {
		b.Plane.Check = check
		f()
		return check(ctx, in)
	}
}

func value[T any](v T) *T { return &v }

// rotation is another key.
func rotation(name string) control.Edit {
	return control.Edit{AccessKeyID: &name, SecretAccessKey: value(secret.New("secret of " + name))}
}

func TestASlowChangeUndoesNothingThatOvertookIt(t *testing.T) {
	type change = func(b *bench, c control.Connector) error
	pause := func(b *bench, c control.Connector) error { return b.Pause(t.Context(), c.Workspace, c.Connector) }
	for name, row := range map[string]struct {
		before, meanwhile change
		state             string
	}{
		"upgrade": {nil, func(b *bench, c control.Connector) error { return b.Upgrade(t.Context(), c.Workspace, c.Connector) }, "AKIA1 paused false test false"},
		"pause":   {nil, pause, "AKIA1 paused true test true"},
		"resume":  {pause, func(b *bench, c control.Connector) error { return b.Resume(t.Context(), c.Workspace, c.Connector) }, "AKIA1 paused false test true"},
		"rotation": {nil, func(b *bench, c control.Connector) error {
			_, _, err := b.Edit(t.Context(), c.Workspace, c.Connector, rotation("AKIA2"))
			return err
		}, "AKIA2 paused false test true"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.applied(smallFile(append(launch, "test: true")...))
			c := b.only("acme")
			if row.before != nil {
				ok(t, row.before(b, c))
			}
			b.overtaken(func() { ok(t, row.meanwhile(b, c)) })
			_, _, err := b.Edit(t.Context(), c.Workspace, c.Connector, rotation("AKIA3"))
			if !fault.Is(err, fault.Stale) || fault.HintOf(err) == "" {
				t.Errorf("the slow rotation: %v, want stale with a hint", err)
			}
			now := b.only("acme")
			equal(t, "connector", fmt.Sprintf("%s paused %v test %v", now.AccessKeyID, now.Paused, now.Test), row.state)
		})
	}
}

// A file of apply says nothing about the rest of what it changes: it is thought through once more.
func TestApplyThatIsOvertakenBeginsAnew(t *testing.T) {
	b := newBench(t)
	b.applied(smallFile(launch...))
	c := b.only("acme")
	b.overtaken(func() { ok(t, b.Pause(t.Context(), c.Workspace, c.Connector)) })
	equal(t, "apply", b.applied(smallFile("destination: {access_key_id: AKIA2, secret_access_key: s2}")),
		[]string{"connector acme/w: access key id: AKIA1 → AKIA2; secret access key: new"})
	c = b.only("acme")
	equal(t, "connector", fmt.Sprint(c.AccessKeyID, c.Paused), "AKIA2true")
	equal(t, "checks", len(b.checks), 3)
}

func TestASlowChangeOfADataExportUndoesNothingThatOvertookIt(t *testing.T) {
	b := newBench(t)
	b.applied(smallFile(launch...))
	w := b.only("acme").Workspace
	save := func(bucket, key string) error {
		_, _, err := b.SaveDataExport(t.Context(), w, control.ExportEdit{Bucket: &bucket, AccessKeyID: &key, SecretAccessKey: value(secret.New("of " + key))})
		return err
	}
	b.overtaken(func() { ok(t, save("exports", "AKIA2")) })
	if err := save("exports", "AKIA1"); !fault.Is(err, fault.Stale) {
		t.Errorf("the first of two: %v, want stale", err)
	}
	b.overtaken(func() { ok(t, save("exports", "AKIA3")) })
	_, _, err := b.SaveDataExport(t.Context(), w, control.ExportEdit{PathStyle: value(true)})
	if !fault.Is(err, fault.Stale) {
		t.Errorf("a change overtaken by a rotation: %v, want stale", err)
	}
	b.overtaken(func() { ok(t, save("exports", "AKIA4")) })
	equal(t, "apply", b.applied("workspaces: [{name: acme, data_export: {path_style: true}}]"), []string{"data export acme: path style: off → on"})
	a, err := b.store.DataExportAccess(t.Context(), w)
	ok(t, err)
	equal(t, "access", fmt.Sprint(a.AccessKeyID, a.SecretAccessKey.Reveal(), a.PathStyle), "AKIA4of AKIA4true")
}

func TestADataExportIsUnlinkedByTheFile(t *testing.T) {
	b := newBench(t)
	gone := "workspaces: [{name: acme, data_export: {deleted: true}}]"
	equal(t, "in a workspace that nobody has", b.applied(gone), []string(nil))
	equal(t, "link", b.applied("workspaces: [{name: acme, data_export: {bucket: exports, access_key_id: AKIA1, secret_access_key: s1}}]"),
		[]string{"workspace acme: create", "data export acme: link to exports"})
	w, err := b.store.Workspace(t.Context(), "acme")
	ok(t, err)
	equal(t, "would be", lines(b.apply(gone, true)), []string{"data export acme: delete"})
	_, err = b.store.DataExportAccess(t.Context(), w.Number)
	ok(t, err)
	equal(t, "unlink", b.applied(gone), []string{"data export acme: delete"})
	if _, err = b.store.DataExportAccess(t.Context(), w.Number); !fault.Is(err, fault.NotFound) {
		t.Errorf("after that: %v, want not_found", err)
	}
	equal(t, "again", b.applied(gone), []string(nil))
	ok(t, b.UnlinkDataExport(t.Context(), w.Number))
}
