package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
)

// bench is a plane over a real database, with a check that does what a test says.
type bench struct {
	*control.Plane
	t      *testing.T
	store  *store.Store
	now    time.Time
	refuse map[string]bucket.Report // by bucket, or bucket/folder
	checks []string                 // bucket/folder by key or role, as checked
	kinds  []bucket.Kind            // of the same checks
}

// refused is the report of a check that fails at an action, with words of its own.
func refused(action string, p bucket.Problem, words string) bucket.Report {
	return bucket.Report{Heading: fault.Message{Text: "S3 credentials are invalid"},
		Steps: []bucket.Step{{Action: action, State: bucket.Failed, Problem: p, Finding: bucket.Finding{Message: fault.Message{Key: "check." + string(p), Text: words}}}}}
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := open(t, filepath.Join(t.TempDir(), "m.db"))
	ok(t, err)
	types, err := event.NewCatalogue(nil)
	ok(t, err)
	b := &bench{t: t, store: s, refuse: map[string]bucket.Report{}, now: time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)}
	b.Plane = &control.Plane{Store: s, Catalogue: types, Cluster: "prod-01", Zone: "default",
		Now: func() time.Time { return b.now },
		Check: func(_ context.Context, in bucket.CheckInput) (bucket.Report, error) {
			a := in.Access
			by := a.AccessKeyID + ":" + a.SecretAccessKey.Reveal()
			if a.RoleARN != "" {
				by = a.RoleARN + " with " + a.ExternalID + " as " + a.SessionName
			}
			b.checks = append(b.checks, fmt.Sprintf("%s/%s by %s", a.Bucket, in.Folder, by))
			b.kinds = append(b.kinds, in.Kind)
			for _, place := range []string{a.Bucket, a.Bucket + "/" + in.Folder} {
				if refused, ok := b.refuse[place]; ok {
					return refused, nil
				}
			}
			return bucket.Report{OK: true, Features: bucket.Features{RefusesChecksums: true}, Region: "eu-west-1"}, nil
		}}
	return b
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// parse reads a file of apply with one producer's key and one secret in its environment.
func parse(text string) (control.Manifest, error) {
	return control.ParseManifest("apply.yaml", []byte(text), func(name string) (string, bool) {
		v, ok := map[string]string{"ACME_PRODUCER_KEY": "a-long-enough-producer-key", "ACME_S3_SECRET": "hunter2hunter2"}[name]
		return v, ok
	}, os.ReadFile)
}

func (b *bench) apply(text string, dryRun bool) control.Result {
	b.t.Helper()
	m, err := parse(text)
	ok(b.t, err)
	return b.Apply(b.t.Context(), m, dryRun)
}

// applied applies a file that has nothing wrong and gives what changed, a line each.
func (b *bench) applied(text string) []string {
	b.t.Helper()
	r := b.apply(text, false)
	for _, f := range r.Failures {
		b.t.Fatalf("%s: %v", f.Thing, f.Err)
	}
	return lines(r)
}

func lines(r control.Result) (out []string) {
	for _, c := range r.Changes {
		out = append(out, c.String())
	}
	return out
}

func (b *bench) only(workspace string) control.Connector {
	b.t.Helper()
	w, err := b.store.Workspace(b.t.Context(), workspace)
	ok(b.t, err)
	cs, err := b.store.Connectors(b.t.Context(), w.Number)
	ok(b.t, err)
	if len(cs) != 1 {
		b.t.Fatalf("%d connectors, want one", len(cs))
	}
	return cs[0]
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Fatalf("%s:\n got %s\nwant %s", what, g, w)
	}
}

func TestAKeysNameIsGivenOnce(t *testing.T) {
	b := newBench(t)
	w, err := b.CreateWorkspace(t.Context(), control.Workspace{Name: "acme"})
	ok(t, err)
	for i := range 2 {
		_, _, err = b.CreateKey(t.Context(), control.APIKey{Workspace: w.Number, Name: "backend", Scopes: []control.Scope{control.ScopeEventsWrite}}, secret.Value{})
		if i == 0 {
			ok(t, err)
		}
	}
	if e := fault.As(err); e == nil || e.Code != fault.Conflict || !strings.Contains(err.Error(), `"backend"`) || strings.Contains(err.Error(), "constraint") {
		t.Errorf("the name again: %v", err)
	}
}

func TestApplyMakesWhatTheFileSaysAndASecondTimeNothing(t *testing.T) {
	b := newBench(t)
	data, err := os.ReadFile("../control/testdata/apply.yaml")
	ok(t, err)
	wholeFile := string(data)
	dry := b.apply(wholeFile, true)
	equal(t, "dry run", lines(dry), []string{
		"workspace acme: create", "API key acme/producer: create",
		"connector acme/warehouse: launch into acme-currents/currents at http://127.0.0.1:9000",
	})
	if ws, err := b.store.Workspaces(t.Context()); err != nil || len(ws) != 0 || len(b.checks) != 0 {
		t.Fatalf("a dry run made %v, checked %v, %v", ws, b.checks, err)
	}
	equal(t, "changes", b.applied(wholeFile), lines(dry))
	equal(t, "checks", b.checks, []string{"acme-currents/currents by AKIAEXAMPLE:hunter2hunter2"})
	for range 2 {
		equal(t, "changes of another run", b.applied(wholeFile), []string(nil))
	}
	equal(t, "checks after all runs", len(b.checks), 1)

	c := b.only("acme")
	equal(t, "version", c.Version, 1)
	equal(t, "cluster and zone", c.Destination.Cluster+" "+c.Destination.Zone, "prod-01 default")
	a, err := b.store.Access(t.Context(), control.Lane{Connector: c.Connector, Destination: 1})
	ok(t, err)
	if a.Region != "eu-west-1" || !a.Features.RefusesChecksums || a.SecretAccessKey.Reveal() != "hunter2hunter2" {
		t.Fatalf("what the check found was not kept: %+v", a)
	}
	g, err := b.store.KeyByHash(t.Context(), control.HashKey("a-long-enough-producer-key"))
	ok(t, err)
	if !g.Allows(control.ScopeEventsWrite) || !g.Allows(control.ScopeUsersTrack) {
		t.Fatalf("grant %+v", g)
	}
}

// smallFile has a place for lines of its connector.
func smallFile(lines ...string) string {
	return "workspaces:\n- name: acme\n  connectors:\n  - name: w\n    " + strings.Join(lines, "\n    ") + "\n"
}

var launch = []string{"contact_email: a@example.com", "events: [all]",
	"destination: {bucket: bbb, folder: f, access_key_id: AKIA1, secret_access_key: s1}"}

func TestWhatTheFileDoesNotMentionStaysAndWhatItMentionsWins(t *testing.T) {
	b := newBench(t)
	b.applied(smallFile(launch...))
	c := b.only("acme")
	equal(t, "defaults", fmt.Sprint(c.Codec, c.FlushInterval, c.FlushEvents, c.Paused), "deflate5m0s 15000 false")

	equal(t, "nothing mentioned", b.applied(smallFile()), []string(nil))
	for _, step := range []struct {
		lines       []string
		changes     []string
		version     int
		destination int
		checked     bool
	}{
		{[]string{"paused: true"}, []string{"connector acme/w: paused: off → on"}, 1, 1, false},
		{[]string{"contact_email: b@example.com"}, []string{"connector acme/w: contact e-mail: a@example.com → b@example.com"}, 1, 1, false},
		{[]string{"codec: zstandard", "paused: false"}, []string{"connector acme/w: codec: deflate → zstandard; paused: on → off"}, 2, 1, false},
		{[]string{"transformations: [{field: email_address, action: hash}, {field: phone_number, action: remove}]"},
			[]string{"connector acme/w: transformations: none → hash email_address, remove phone_number"}, 3, 1, false},
		{[]string{"transformations: [{field: phone_number, action: remove}, {field: email_address, action: hash}]"}, nil, 3, 1, false},
		{[]string{"transformations: []"}, []string{"connector acme/w: transformations: hash email_address, remove phone_number → none"}, 4, 1, false},
		{[]string{"events: [engagement, behavior]"}, []string{"connector acme/w: events: all → behavior, engagement"}, 5, 1, false},
		{[]string{"events: [behavior, engagement]"}, nil, 5, 1, false},
		{[]string{"flush: {interval: 1m, events: 200}"}, []string{"connector acme/w: flush interval: 5m0s → 1m0s; flush events: 15000 → 200"}, 6, 1, false},
		{[]string{"destination: {secret_access_key: s2}"}, []string{"connector acme/w: secret access key: new"}, 6, 1, true},
		{[]string{"destination: {access_key_id: AKIA2, secret_access_key: s2}"}, []string{"connector acme/w: access key id: AKIA1 → AKIA2"}, 6, 1, true},
		{[]string{"encryption: true"}, []string{"connector acme/w: encryption: off → on"}, 7, 1, true},
		{[]string{"destination: {folder: /f/}"}, nil, 7, 1, false},
		{[]string{"destination: {folder: g}"}, []string{"connector acme/w: folder: f → g"}, 8, 2, true},
		{[]string{"destination: {bucket: ccc}"}, []string{"connector acme/w: bucket: bbb → ccc"}, 9, 3, true},
		{[]string{"destination: {endpoint: 'http://store:80'}"}, []string{"connector acme/w: endpoint: none → http://store:80"}, 10, 4, true},
		{[]string{"destination: {endpoint: 'http://STORE/'}"}, []string{"connector acme/w: endpoint: http://store:80 → http://STORE/"}, 11, 4, true},
	} {
		before := len(b.checks)
		equal(t, "changes", b.applied(smallFile(step.lines...)), step.changes)
		c := b.only("acme")
		equal(t, fmt.Sprintf("version, destination, checked after %s", step.lines),
			fmt.Sprint(c.Version, c.Destination.Number, len(b.checks) > before), fmt.Sprint(step.version, step.destination, step.checked))
		equal(t, "changes of another run", b.applied(smallFile(step.lines...)), []string(nil))
	}
	old, err := b.store.Access(t.Context(), control.Lane{Connector: c.Connector, Destination: 1})
	ok(t, err)
	equal(t, "the first destination's access", old.Bucket+" "+old.AccessKeyID+" "+old.SecretAccessKey.Reveal(), "bbb AKIA2 s2")
}

func TestAFailedCheckStoresNothingAndTheRestStands(t *testing.T) {
	b := newBench(t)
	b.refuse["bad"] = refused("s3:PutObject", bucket.AccessDenied, "s3:PutObject is missing")
	text := `workspaces:
- name: acme
  connectors:
  - {name: bad, contact_email: a@example.com, events: [all], destination: {bucket: bad, access_key_id: AKIA1, secret_access_key: s1}}
  - {name: good, contact_email: a@example.com, events: [all], destination: {bucket: good, access_key_id: AKIA1, secret_access_key: s1}}
`
	r := b.apply(text, false)
	equal(t, "changes", lines(r), []string{"workspace acme: create", "connector acme/good: launch into good/currents"})
	if len(r.Failures) != 1 || r.Failures[0].String() != "connector acme/bad" || !fault.Is(r.Failures[0].Err, fault.Forbidden) || !strings.Contains(fmt.Sprint(fault.As(r.Failures[0].Err).Fields), "s3:PutObject is missing") {
		t.Fatalf("failures %+v", r.Failures)
	}
	equal(t, "connector", b.only("acme").Name, "good")

	b.refuse["good"] = b.refuse["bad"] // now a rotation that fails
	r = b.apply("workspaces: [{name: acme, connectors: [{name: good, codec: 'null', destination: {secret_access_key: wrong}}]}]", false)
	equal(t, "failures", len(r.Failures), 1)
	c := b.only("acme")
	a, err := b.store.Access(t.Context(), control.Lane{Connector: c.Connector, Destination: 1})
	ok(t, err)
	equal(t, "after a refused rotation", fmt.Sprint(a.SecretAccessKey.Reveal(), c.Version, c.Codec), fmt.Sprint("s1", 1, "deflate"))
}

func TestAWrongFieldStopsTheFileAtStartWithEachPlace(t *testing.T) {
	b := newBench(t)
	text := `workspaces:
- name: fine
- name: acme
  unknown_fields: ignroe
  api_keys:
  - {name: k, scopes: [events.write], secret: short}
  connectors:
  - name: w
    contact_email: nobody
    destination: {bucket: B, folder: a//b, endpoint: "ftp://x", access_key_id: AKIA1}
    events: [all, users.messages.email.Opne]
    transformations: [{field: id, action: hash}, {field: emial_address, action: shred}, {field: time, action: hash}]
    codec: gzip
    flush: {interval: 1ms, events: 5}
- name: "a/b"
`
	r := b.apply(text, false)
	var got []string
	for _, f := range r.Failures {
		for _, p := range fault.As(f.Err).Fields {
			got = append(got, strings.TrimPrefix(p.Field, "apply.yaml:")+" "+p.Code)
			if strings.Contains(p.Message, "short") || p.Message == "" {
				t.Errorf("message %q", p.Message)
			}
		}
	}
	slices.Sort(got)
	const c = "workspaces[1].connectors[0]."
	want := []string{
		"10:19: " + c + "destination.bucket invalid", "10:30: " + c + "destination.folder invalid",
		"10:44: " + c + "destination.endpoint invalid", "10:5: " + c + "destination.secret_access_key required",
		"11:19: " + c + "events[1] unknown_event_type",
		"12:23: " + c + "transformations[0].field invalid", "12:51: " + c + "transformations[1].field unknown_field",
		"12:73: " + c + "transformations[1].action unknown_value", "12:91: " + c + "transformations[2].field invalid",
		"13:5: " + c + "codec unknown_value", "14:13: " + c + "flush.interval out_of_range", "14:28: " + c + "flush.events out_of_range",
		"15:3: workspaces[2].name invalid", "4:3: workspaces[1].unknown_fields unknown_value",
		"6:38: workspaces[1].api_keys[0].secret too_short",
		"9:5: " + c + "contact_email invalid",
	}
	slices.Sort(want)
	if len(got) != len(want) {
		t.Errorf("%d problems, want %d", len(got), len(want))
	}
	for _, w := range want {
		_, rest, _ := strings.Cut(w, ": ")
		if !slices.ContainsFunc(got, func(g string) bool { _, r, _ := strings.Cut(g, ": "); return r == rest && g[:2] == w[:2] }) {
			t.Errorf("missing %s", w)
		}
	}
	if t.Failed() {
		t.Logf("got:\n%s", strings.Join(got, "\n"))
	}
	if ws, err := b.store.Workspaces(t.Context()); err != nil || len(ws) != 0 || len(r.Changes) != 0 || len(b.checks) != 0 {
		t.Fatalf("a wrong file made %v, changed %v, checked %v", ws, r.Changes, b.checks)
	}
}

func TestFoldersMayNotOverlapAndTheReasonKeepsWorkspacesApart(t *testing.T) {
	b := newBench(t)
	b.applied(smallFile(launch...))
	r := b.apply(strings.ReplaceAll(smallFile(launch...), "name: w", "name: second"), false)
	if len(r.Failures) != 1 || !fault.Is(r.Failures[0].Err, fault.Conflict) || !strings.Contains(r.Failures[0].Err.Error(), `"w"`) || len(b.checks) != 1 {
		t.Fatalf("same workspace: %+v, checks %v", r.Failures, b.checks)
	}
	other := strings.ReplaceAll(strings.ReplaceAll(smallFile(launch...), "acme", "other"), "folder: f", "folder: f/inner")
	r = b.apply(other, false)
	if len(r.Failures) != 1 || !fault.Is(r.Failures[0].Err, fault.Conflict) || strings.Contains(r.Failures[0].Err.Error(), `"w"`) {
		t.Fatalf("other workspace: %+v", r.Failures)
	}
	equal(t, "the credentials were checked before it was told", len(b.checks), 2)
	b.refuse["bbb"] = refused("s3:ListBucket", bucket.AccessDenied, "not yours")
	if r = b.apply(other, false); len(r.Failures) != 1 || !fault.Is(r.Failures[0].Err, fault.Forbidden) {
		t.Fatalf("who may not open the bucket learns of others: %+v", r.Failures)
	}
	two := `workspaces:
- name: third
  connectors:
  - {name: a, contact_email: a@example.com, events: [all], destination: {bucket: new, access_key_id: AKIA1, secret_access_key: s1}}
  - {name: b, contact_email: a@example.com, events: [all], destination: {bucket: new, access_key_id: AKIA1, secret_access_key: s1}}
`
	if r = b.apply(two, true); len(r.Failures) != 1 || r.Failures[0].Name != "b" {
		t.Fatalf("a dry run does not see that the file contradicts itself: %+v", r.Failures)
	}
}

func TestKeysAreMadeOnceShownOnceAndFollowTheFile(t *testing.T) {
	b := newBench(t)
	file := func(key string) string { return "workspaces: [{name: acme, api_keys: [{name: k, " + key + "}]}]" }
	r := b.apply(file("scopes: [events.write]"), false)
	if len(r.Failures) != 0 || len(r.Keys) != 1 {
		t.Fatalf("%+v", r)
	}
	made := r.Keys[0].Key.Reveal()
	if strings.Contains(fmt.Sprintf("%+v", r), made) {
		t.Fatal("printing the result shows the key")
	}
	grant := func(key string) control.Grant {
		t.Helper()
		g, err := b.store.KeyByHash(t.Context(), control.HashKey(key))
		ok(t, err)
		return g
	}
	equal(t, "scopes", grant(made).Scopes, []control.Scope{control.ScopeEventsWrite})
	if r = b.apply(file("scopes: [events.write]"), false); len(r.Changes)+len(r.Keys)+len(r.Failures) != 0 {
		t.Fatalf("a second run: %+v", r)
	}
	equal(t, "more scopes", b.applied(file("scopes: [users.track, events.write]")), []string{"API key acme/k: scopes: events.write → events.write, users.track"})
	equal(t, "the same in another order", b.applied(file("scopes: [events.write, users.track]")), []string(nil))
	equal(t, "a secret of one's own", b.applied(file("secret: brought-by-the-customer")), []string{"API key acme/k: secret: new"})
	equal(t, "scopes kept", len(grant("brought-by-the-customer").Scopes), 2)
	if _, err := b.store.KeyByHash(t.Context(), control.HashKey(made)); !fault.Is(err, fault.NotFound) {
		t.Fatalf("the former secret still opens: %v", err)
	}
	r = b.apply("workspaces: [{name: other, api_keys: [{name: k, scopes: [events.write], secret: brought-by-the-customer}]}]", false)
	if len(r.Failures) != 1 || !fault.Is(r.Failures[0].Err, fault.Conflict) {
		t.Fatalf("one secret opens two workspaces: %+v", r)
	}
}

func TestUnknownFieldsFollowTheFile(t *testing.T) {
	b := newBench(t)
	b.applied("workspaces: [{name: acme}]")
	equal(t, "changes", b.applied("workspaces: [{name: acme, unknown_fields: ignore}]"), []string{"workspace acme: unknown fields: reject → ignore"})
	equal(t, "not mentioned", b.applied("workspaces: [{name: acme}]"), []string(nil))
	w, err := b.store.Workspace(t.Context(), "acme")
	ok(t, err)
	equal(t, "policy", w.UnknownFields, control.IgnoreUnknown)
}

func TestADeletedConnectorEndsWithAVersionOfItsOwn(t *testing.T) {
	b := newBench(t)
	b.applied(smallFile(launch...))
	c := b.only("acme")
	ok(t, b.Pause(t.Context(), c.Workspace, c.Connector))
	ok(t, b.Delete(t.Context(), c.Workspace, c.Connector))
	ok(t, b.Delete(t.Context(), c.Workspace, c.Connector))
	gone, err := b.store.DeletedConnectors(t.Context(), c.Workspace)
	ok(t, err)
	equal(t, "paused, though what it holds is to be delivered", gone[0].Paused, false)
	n, err := b.store.Config(t.Context(), c.Connector, 2)
	ok(t, err)
	equal(t, "deleted", n.Deleted, true)
	if _, _, err := b.Edit(t.Context(), c.Workspace, c.Connector, control.Edit{}); !fault.Is(err, fault.NotFound) {
		t.Fatalf("editing it: %v", err)
	}
	if err := b.Delete(t.Context(), c.Workspace+1, c.Connector); !fault.Is(err, fault.NotFound) {
		t.Fatalf("deleting another workspace's: %v", err)
	}
	equal(t, "the file makes it again", b.applied(smallFile(launch...)), []string{"connector acme/w: launch into bbb/f"})
	if b.only("acme").Connector == c.Connector {
		t.Fatal("the new connector has the identity of the deleted one")
	}
}

func TestARotatedKeyReachesEarlierFoldersOfTheSameBucketIfItOpensThem(t *testing.T) {
	b := newBench(t)
	b.applied(smallFile(launch...))
	b.applied(smallFile("destination: {folder: g}"))
	b.applied(smallFile("destination: {bucket: ccc}"))
	b.applied(smallFile("destination: {bucket: bbb, folder: h}"))
	c := b.only("acme")
	opened := func(what string, want ...string) {
		t.Helper()
		for i, want := range want {
			a, err := b.store.Access(t.Context(), control.Lane{Connector: c.Connector, Destination: i + 1})
			ok(t, err)
			equal(t, fmt.Sprintf("%s: access of destination %d", what, i+1), a.Bucket+" "+a.AccessKeyID+" "+a.SecretAccessKey.Reveal(), want)
		}
	}
	b.checks = nil
	b.applied(smallFile("destination: {access_key_id: AKIA2, secret_access_key: s2}"))
	opened("rotated", "bbb AKIA2 s2", "bbb AKIA2 s2", "ccc AKIA1 s1", "bbb AKIA2 s2")
	equal(t, "checks", b.checks, []string{"bbb/h by AKIA2:s2", "bbb/f by AKIA2:s2", "bbb/g by AKIA2:s2"})

	equal(t, "folder and key at once", b.applied(smallFile("destination: {folder: i, access_key_id: AKIA3, secret_access_key: s3}")),
		[]string{"connector acme/w: folder: h → i; access key id: AKIA2 → AKIA3; secret access key: new"})
	opened("folder and key at once", "bbb AKIA3 s3", "bbb AKIA3 s3", "ccc AKIA1 s1", "bbb AKIA3 s3", "bbb AKIA3 s3")

	b.refuse["bbb/g"] = refused("s3:PutObject", bucket.AccessDenied, "s3:PutObject is not allowed.")
	equal(t, "a key that does not open all", b.applied(smallFile("destination: {access_key_id: AKIA4, secret_access_key: s4}")),
		[]string{"connector acme/w: access key id: AKIA3 → AKIA4; secret access key: new; earlier folder g: keeps its former credentials, the new ones do not open it"})
	opened("a key that does not open all", "bbb AKIA4 s4", "bbb AKIA3 s3", "ccc AKIA1 s1", "bbb AKIA4 s4", "bbb AKIA4 s4")
	failing := b.refuse["bbb/g"]
	failing.Passing = true
	b.refuse["bbb/g"] = failing
	if err := b.failed(smallFile("destination: {access_key_id: AKIA5, secret_access_key: s5}")); err == nil {
		t.Error("a store in trouble that passes was taken for a refusal")
	}
	opened("while it cannot be told", "bbb AKIA4 s4", "bbb AKIA3 s3", "ccc AKIA1 s1", "bbb AKIA4 s4", "bbb AKIA4 s4")
	delete(b.refuse, "bbb/g")
	b.applied(smallFile("destination: {role_arn: '" + roleARN + "'}"))
	for _, d := range []int{1, 2, 4, 5} {
		a, err := b.store.Access(t.Context(), control.Lane{Connector: c.Connector, Destination: d})
		ok(t, err)
		equal(t, "a role in its place", fmt.Sprint(a.RoleARN, a.AccessKeyID), roleARN)
	}
	role := b.checks[len(b.checks)-1]
	if !strings.HasPrefix(role, "bbb/h by "+roleARN+" with mlr-") || !strings.HasSuffix(role, " as millrace-w") {
		t.Errorf("the check of an earlier folder: %s", role)
	}
}

func TestLostCredentialsCanBeGivenAgain(t *testing.T) {
	b := newBench(t)
	w, err := b.CreateWorkspace(t.Context(), control.Workspace{Name: "acme"})
	ok(t, err)
	// A restored database learns of the connector from the log and has no credentials for it.
	n := control.Config{
		Connector: control.NewConnectorID(), Number: control.NewNumber(), Workspace: w.Number, Version: 3, Name: "w",
		Destination: control.Destination{Number: 2, Bucket: "bbb", Folder: "f", Cluster: "c", Zone: "z"},
		Events:      []string{"all"}, Codec: "deflate", FlushInterval: time.Minute, FlushEvents: 1000,
	}
	ok(t, b.store.ApplyControl(t.Context(), eventlog.ID{1}, 1, []control.LoggedRecord{
		{Workspace: w.Number, Record: control.Record{Kind: control.RecordConfig, Config: &n}}}))
	equal(t, "changes", b.applied(smallFile("contact_email: a@example.com", "destination: {access_key_id: AKIA1, secret_access_key: s1}")),
		[]string{"connector acme/w: contact e-mail: none → a@example.com; access key id: none → AKIA1; secret access key: new"})
	equal(t, "version", b.only("acme").Version, 3)
	a, err := b.store.Access(t.Context(), control.Lane{Connector: n.Connector, Destination: 2})
	ok(t, err)
	equal(t, "secret", a.SecretAccessKey.Reveal(), "s1")
}

// problems gives all problems of fields of a result.
func problems(r control.Result) (all []fault.Problem) {
	for _, f := range r.Failures {
		if e := fault.As(f.Err); e != nil {
			all = append(all, e.Fields...)
		}
	}
	return all
}

// Of thousands of broken things the first problems are told, and that there are more.
func TestTheProblemsOfAFileAreBounded(t *testing.T) {
	b := newBench(t)
	var text strings.Builder
	text.WriteString("workspaces:\n- name: acme\n  connectors:\n")
	for i := range 2000 {
		fmt.Fprintf(&text, "  - {name: c%d, events: [nothing], codec: none}\n", i)
	}
	for _, dry := range []bool{true, false} {
		all := problems(b.apply(text.String(), dry))
		if len(all) != 101 || all[100].Code != "truncated" || !strings.HasPrefix(all[100].Field, "apply.yaml:") {
			t.Errorf("dry run %t: %d problems, the last %+v", dry, len(all), all[len(all)-1])
		}
	}
	_, err := b.AskApply(control.WithActor(t.Context(), control.CommandLine()), "apply.yaml", strings.Replace(text.String(), "codec: none", "codec: none, kodec: a", 1), nil, false)
	if e := fault.As(err); e == nil || len(e.Fields) != 101 || e.Fields[100].Code != "truncated" {
		t.Errorf("with what could not be read: %.300v", err)
	}
	long := "x-a: &v " + strings.Repeat("v", 4000) + "\nworkspaces: [{name: acme, connectors: [{name: a, events: [" + strings.Repeat("*v,", 999) + "]}]}]"
	all := problems(b.apply(long, true))
	if n := len(fmt.Sprint(all)); len(all) != 101 || n > 100_000 {
		t.Errorf("of long values: %d problems, %d bytes", len(all), n)
	}
}

// Two workspaces whose names differ in case alone are told before anything is made.
func TestADryRunSeesThatANameIsTakenInAnotherCase(t *testing.T) {
	b := newBench(t)
	b.workspace("demo")
	for name, row := range map[string]struct {
		text string
		code fault.Code
		says string
	}{
		"of one that is there": {"workspaces: [{name: Demo}]", fault.Conflict, `There is a workspace "demo" already.`},
		"of one in the file":   {"workspaces: [{name: Straße}, {name: demo, language: es}, {name: STRAẞE}]", fault.Invalid, ": workspaces[2].name: Upper and lower case"},
	} {
		r := b.apply(row.text, true)
		if len(r.Failures) != 1 || !fault.Is(r.Failures[0].Err, row.code) || !strings.Contains(r.Failures[0].Err.Error(), row.says) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := b.apply("workspaces: [{name: demo}, {name: acme}, {name: Acme}]", false); len(r.Changes) > 0 || len(r.Failures) != 1 {
		t.Errorf("the half of a file that contradicts itself: %+v", r)
	}
}

// Whoever asks by the API is told at once of what cannot be read and of what the rules say of the rest, as far as what could
// not be read leaves no doubt.
func TestAManifestIsMendedInOneRoundByTheAPI(t *testing.T) {
	b := newBench(t)
	b.workspace("acme")
	const text = `workspaces:
- name: acme
  api_keys:
  - {name: k, scopes: []}
  - {name: l, skopes: [events.write]}
  connectors:
  - name: w
    contact_email: nobody
    destination: {bukcet: b, secret_access_key_env: NONE}
    events: [nothing]
    kodec: snappy
- {name: other, languages: es}
`
	_, err := b.AskApply(control.WithActor(t.Context(), control.CommandLine()), "apply.yaml", text, nil, false)
	code(t, err, fault.Invalid)
	var got []string
	for _, p := range fault.As(err).Fields {
		_, field, _ := strings.Cut(p.Field, ": ")
		got = append(got, strings.TrimPrefix(field, "workspaces")+" "+p.Code)
	}
	equal(t, "problems", strings.Join(got, "\n"), strings.Join([]string{
		"[0].api_keys[0].scopes required", "[0].api_keys[1].skopes unknown_key", "[0].connectors[0].contact_email invalid",
		"[0].connectors[0].destination.bukcet unknown_key", "[0].connectors[0].destination.secret_access_key_env not_set",
		"[0].connectors[0].events[0] unknown_event_type", "[0].connectors[0].kodec unknown_key", "[1].languages unknown_key"}, "\n"))

	m := control.Member{ID: control.NewMemberID(), Email: "eve@mill.example", CreatedAt: b.now}
	other := b.workspace("theirs")
	seat := control.Membership{Workspace: other.Number, Member: m.ID, Role: control.Administrator, CreatedAt: b.now}
	ok(t, b.store.CreateMember(t.Context(), m, control.Lock{}, &seat))
	_, err = b.AskApply(control.WithActor(t.Context(), control.Actor{}.As(m, []control.Membership{seat})), "apply.yaml", text, nil, false)
	if e := fault.As(err); e == nil || e.Code != fault.Invalid || strings.Contains(err.Error(), "api_keys[0].scopes") {
		t.Errorf("whoever may not look at the workspace: %v", err)
	}
}
