package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// work does what waits, as the process that owns the log would.
func (w *world) work() {
	w.t.Helper()
	db := w.api.deps.Store.(interface {
		books
		WaitingJobs(ctx context.Context) ([]control.Job, error)
	})
	js, err := db.WaitingJobs(w.t.Context())
	must(w.t, err)
	for _, j := range js {
		j.State = control.JobRunning
		must(w.t, db.SaveJob(w.t.Context(), j))
		out, err := w.plane.Watched(func(p control.JobProgress) {
			b, err := json.Marshal(p)
			must(w.t, err)
			must(w.t, db.JobProgress(w.t.Context(), j.ID, b))
		}).Do(w.t.Context(), j)
		j.State, j.DoneAt = control.JobDone, time.Now()
		if err != nil {
			j.State, j.Failure = control.JobFailed, control.FailureOf(err)
		}
		if done, ok := out.(control.ApplyDone); ok {
			show := client.Applied{}
			for _, k := range done.Keys {
				show.Keys = append(show.Keys, client.AppliedKey{Workspace: k.Workspace, Name: k.Name, Key: k.Key.Reveal()})
			}
			out = show
		}
		j.Result, err = json.Marshal(out)
		must(w.t, err)
		must(w.t, db.SaveJob(w.t.Context(), j))
	}
}

// follow does what waits and gives what Location of an answer says then.
func (w *world) follow(who string, a answer, out any) {
	w.t.Helper()
	w.work()
	reflect.ValueOf(out).Elem().SetZero()
	w.as(who, "GET", strings.TrimPrefix(a.header.Get("Location"), prefix), nil).read(200, out)
}

const acmes = "/workspaces/acme/connectors"

// refusing is a store that lacks a right.
func refusing(_ context.Context, in bucket.CheckInput) (bucket.Report, error) {
	return bucket.Report{Heading: fault.Message{Text: "S3 credentials are invalid"}, Steps: []bucket.Step{{Action: "s3:PutObject", State: bucket.Failed, Problem: bucket.AccessDenied,
		Statement: `{"Effect": "Allow"}`, Finding: bucket.Finding{Message: fault.Message{Text: "The policy does not allow it."}, Remedy: bucket.Remedy{bucket.CLI: "aws iam …"}}}}}, nil
}

func TestALaunchIsFollowedToItsConnector(t *testing.T) {
	w := newWorld(t, nil)
	var check client.Check
	e := wish()
	a := w.as(editor, "POST", acmes, e).read(202, &check)
	if check.State != "waiting" || check.For != "launch" || !strings.Contains(check.Note, "No server works on the log") {
		t.Errorf("asked for: %+v", check)
	}
	id := check.Connector
	w.as(viewer, "GET", acmes+"/"+id, nil).refused(404)
	w.follow(viewer, a, &check)
	if check.State != "passed" || check.Connector != id || len(check.Steps) != 1 || check.Steps[0].State != "passed" || check.DoneAt == nil || check.Note != "" {
		t.Errorf("done: %+v", check)
	}
	var c client.Connector
	a = w.as(viewer, "GET", acmes+"/"+id, nil).read(200, &c)
	if c.Name != *e.Name || c.Status != "active" || c.Destination.Bucket != "acme-currents" || c.Codec != "deflate" || c.Flush.Interval != "5m0s" ||
		!strings.HasPrefix(c.Destination.Prefix, *e.Name+"/") || a.header.Get("ETag") == "" || strings.Contains(a.body, "hunter2") {
		t.Errorf("%s, ETag %s", a.body, a.header.Get("ETag"))
	}
	entries, err := w.api.deps.Store.Entries(t.Context(), control.EntryFilter{Workspace: w.acme.Number, SubjectID: id}, 0, 10)
	must(t, err)
	if len(entries) != 1 || entries[0].Actor != mailOf(editor) || entries[0].Action != "connector.launch" {
		t.Errorf("the log of changes: %+v", entries)
	}
}

func TestALaunchThatLeasesAreHeldForSaysNothing(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.db().AcquireLease(t.Context(), theLog, "host", time.Hour)
	must(t, err)
	var check client.Check
	w.as(editor, "POST", acmes, wish()).read(202, &check)
	if check.Note != "" {
		t.Errorf("note %q", check.Note)
	}
}

func TestEveryProblemOfALaunchIsToldAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	e := wish()
	e.Name, e.Events, e.Flush = new("a/b"), &[]string{"users.messages.email.Opne"}, &client.FlushEdit{Interval: new("soon")}
	e.Destination.Bucket, e.Destination.SecretAccessKey = new("No"), nil
	got := w.as(editor, "POST", acmes, e).refused(422)
	var fields []string
	for _, f := range got.Fields {
		fields = append(fields, f.Field)
		if f.Field == "flush.interval" && !strings.Contains(f.Message, "5m") {
			t.Errorf("interval: %s", f.Message)
		}
	}
	if want := "[name destination.bucket events[0] flush.interval destination.secret_access_key]"; fmt.Sprint(fields) != want {
		t.Errorf("problems of %v, want %s", fields, want)
	}
}

func TestWhatCannotBeReadHidesNoRule(t *testing.T) {
	w := newWorld(t, nil)
	at := acmes + "/" + string(w.launched(w.acme).Connector)
	for _, row := range []struct {
		method, path, body string
		want               []string
	}{
		{"POST", acmes, `{"name":"lake","contact_email":"nope","events":["nothing"],"foo":1,"destination":{"access_key_id":"AKIAIOSFODNN7EXAMPLE","secret_access_key":7,"buckt":"b"},"flush":[]}`,
			[]string{"foo unknown_field", "destination.secret_access_key wrong_type", "destination.buckt unknown_field", "flush wrong_type",
				"contact_email invalid", "destination.bucket required", "events[0] unknown_event_type"}},
		{"PATCH", at, `{"codec":7,"contact_email":"nope","foo":1}`, []string{"codec wrong_type", "foo unknown_field", "contact_email invalid"}},
		{"POST", "/workspaces/acme/api-keys", `{"name":"p","scopes":["event.write",7],"networks":["home"],"foo":1}`,
			[]string{"scopes[1] wrong_type", "foo unknown_field", "scopes[0] unknown_value", "networks[0] invalid"}},
		{"POST", "/workspaces/acme/invitations", `{"email":"nope","language":"fr","foo":1}`, []string{"language unknown_value", "foo unknown_field", "email invalid"}},
	} {
		same(t, row.method+" "+row.path, problems(w.as(admin, row.method, row.path, row.body).refused(422)), row.want)
	}
	var all client.Page[client.Connector]
	if w.as(viewer, "GET", acmes, nil).read(200, &all); len(all.Items) != 1 {
		t.Errorf("%d connectors: looking made one", len(all.Items))
	}
}

func TestAFailedCheckSaysWhatIsMissing(t *testing.T) {
	w := newWorld(t, nil)
	w.plane.Check = refusing
	var check client.Check
	w.follow(viewer, w.as(editor, "POST", acmes, wish()), &check)
	if check.State != "failed" || check.Error == nil || check.Error.Code != "forbidden" || len(check.Error.Fields) != 1 || check.Steps[0].Statement == "" ||
		check.Steps[0].Remedy["cli"] == "" || check.Steps[0].Message != "The policy does not allow it." {
		t.Errorf("%+v", check)
	}
	w.as(viewer, "GET", acmes+"/"+check.Connector, nil).refused(404)
}

func TestACheckIsToldInTheReadersLanguage(t *testing.T) {
	w := newWorld(t, nil)
	w.plane.Check = func(_ context.Context, in bucket.CheckInput) (bucket.Report, error) {
		f := bucket.Finding{Message: fault.Message{Key: "check.no_such_bucket", Text: "There is no bucket called {bucket}."},
			Hint: fault.Message{Key: "check.no_such_bucket.hint", Text: "Compare the name."}, Params: fault.Params{"bucket": in.Access.Bucket}, Said: "NoSuchBucket"}
		return bucket.Report{Heading: fault.Message{Key: "check.heading.no_such_bucket", Text: "S3 credentials are invalid: no such bucket"},
			Steps: []bucket.Step{{Action: "s3:ListBucket", State: bucket.Failed, Problem: bucket.NoSuchBucket, Finding: f}}, Notes: []bucket.Finding{f}}, nil
	}
	spanish := with(w.session(editor), "Accept-Language", "es")
	var check client.Check
	a := w.ask("POST", acmes, wish(), spanish).read(202, &check)
	if check.Note != text.T(text.Spanish, "check.no_server", nil) {
		t.Errorf("while it waits: %q", check.Note)
	}
	w.work()
	w.ask("GET", strings.TrimPrefix(a.header.Get("Location"), prefix), nil, spanish).read(200, &check)
	want := text.T(text.Spanish, "check.no_such_bucket", text.Params{"bucket": "acme-currents"})
	if s := check.Steps[0]; s.Message != want || s.Hint != text.T(text.Spanish, "check.no_such_bucket.hint", nil) || s.Said != "NoSuchBucket" {
		t.Errorf("step %+v", s)
	}
	if check.Error.Message != text.T(text.Spanish, "check.heading.no_such_bucket", nil) || check.Error.Fields[0].Message != want {
		t.Errorf("error %+v", check.Error)
	}
	rows, err := w.api.deps.Store.Checks(t.Context(), w.acme.Number, control.ConnectorID(check.Connector), 1)
	must(t, err)
	shown, err := w.api.showPast(text.Spanish, rows[0])
	must(t, err)
	if shown.Steps[0].Message != want || shown.Notes[0].Message != want || shown.Notes[0].Hint == "" {
		t.Errorf("later: %+v", shown)
	}
	w.as(editor, "GET", strings.TrimPrefix(a.header.Get("Location"), prefix), nil).read(200, &check)
	if check.Steps[0].Message != "There is no bucket called acme-currents." {
		t.Errorf("who says nothing of a language reads %q", check.Steps[0].Message)
	}
}

func TestAChangeIsSeenBeforeItIsMade(t *testing.T) {
	w := newWorld(t, nil)
	at := acmes + "/" + string(w.launched(w.acme).Connector)
	tag := w.as(viewer, "GET", at, nil).header.Get("ETag")
	var p client.Preview
	w.as(editor, "POST", at+"/preview", client.ConnectorEdit{Codec: new("snappy")}).read(200, &p)
	if p.Check || len(p.Before) != 1 || p.Before["codec"] != "deflate" || p.After["codec"] != "snappy" {
		t.Errorf("%+v", p)
	}
	a := w.as(editor, "POST", at+"/preview", client.ConnectorEdit{Destination: &client.DestinationEdit{Folder: new("elsewhere"), SecretAccessKey: new("hunter3hunter3")}}).read(200, &p)
	if !p.Check || p.After["destination.folder"] != "elsewhere" || p.After["destination.secret_access_key"] == nil || strings.Contains(a.body, "hunter3") {
		t.Errorf("%s", a.body)
	}
	w.as(editor, "POST", at+"/preview", client.ConnectorEdit{Name: new("")}).refused(422)
	w.as(viewer, "POST", at+"/preview", client.ConnectorEdit{}).refused(403)
	if now := w.as(viewer, "GET", at, nil).header.Get("ETag"); now != tag {
		t.Errorf("looking changed it: %s after %s", now, tag)
	}
}

func TestAChangeHeedsItsVersion(t *testing.T) {
	w := newWorld(t, nil)
	c := w.launched(w.acme)
	at := acmes + "/" + string(c.Connector)
	tag := w.as(viewer, "GET", at, nil).header.Get("ETag")
	patch := func(e client.ConnectorEdit, tag string) answer {
		return w.ask("PATCH", at, e, with(w.session(editor), "If-Match", tag))
	}
	a := patch(client.ConnectorEdit{Codec: new("snappy")}, tag)
	var got client.Connector
	a.read(200, &got)
	if got.Codec != "snappy" || a.header.Get("ETag") == tag {
		t.Errorf("codec %s, ETag %s after %s", got.Codec, a.header.Get("ETag"), tag)
	}
	if e := patch(client.ConnectorEdit{Codec: new("null")}, tag).refused(412); !strings.Contains(e.Message, mailOf(editor)) || !strings.Contains(e.Message, "codec") {
		t.Errorf("stale: %+v", e)
	}
	// What needs a check takes the version along.
	var check client.Check
	a = patch(client.ConnectorEdit{Destination: &client.DestinationEdit{Folder: new("elsewhere")}}, a.header.Get("ETag")).read(202, &check)
	w.as(editor, "POST", at+"/pause", nil).read(200, &got)
	if !got.Paused || got.Status != "paused" {
		t.Errorf("paused: %+v", got)
	}
	w.follow(editor, a, &check)
	if check.State != "failed" || check.Error.Code != "stale" || !strings.HasPrefix(check.Error.Message, mailOf(editor)+" changed it at ") || !strings.HasSuffix(check.Error.Message, ": paused.") {
		t.Errorf("overtaken while it ran: %+v", check.Error)
	}
	w.as(editor, "POST", at+"/resume", nil).read(200, nil) // after the check: it overtook nothing
	w.as(editor, "GET", strings.TrimPrefix(a.header.Get("Location"), prefix), nil).read(200, &check)
	if !strings.HasSuffix(check.Error.Message, ": paused.") {
		t.Errorf("later: %+v", check.Error)
	}
	w.as(viewer, "GET", strings.TrimPrefix(a.header.Get("Location"), prefix), nil).read(200, &check)
	if strings.Contains(check.Error.Message, mailOf(editor)) {
		t.Errorf("who may not change it is told who did: %+v", check.Error)
	}
	a = patch(client.ConnectorEdit{Destination: &client.DestinationEdit{Folder: new("elsewhere")}}, "*").read(202, &check)
	w.follow(editor, a, &check)
	if check.State != "passed" || len(check.Changes) != 1 || !strings.Contains(check.Changes[0], "elsewhere") {
		t.Errorf("%+v", check)
	}
	w.as(editor, "PATCH", at, client.ConnectorEdit{Name: new("")}).refused(422)
}

func TestAConnectorIsPausedUpgradedAndDeleted(t *testing.T) {
	w := newWorld(t, nil)
	e := wish()
	e.Test = new(true)
	c, err := w.plane.Launch(w.root(), w.acme.Number, editOf(e))
	must(t, err)
	at := acmes + "/" + string(c.Connector)
	var got client.Connector
	for _, row := range []struct {
		method, below string
		status        int
		is            func() bool
	}{
		{"POST", "/pause", 200, func() bool { return got.Paused }},
		{"POST", "/pause", 200, func() bool { return got.Paused }},
		{"POST", "/resume", 200, func() bool { return !got.Paused && got.Test }},
		{"POST", "/upgrade", 200, func() bool { return !got.Test }},
		{"DELETE", "", 202, func() bool { return got.Status == "deleted" }},
		{"DELETE", "", 202, func() bool { return got.Status == "deleted" }},
		{"GET", "", 200, func() bool { return got.Status == "deleted" }},
	} {
		got = client.Connector{}
		if w.as(editor, row.method, at+row.below, nil).read(row.status, &got); !row.is() {
			t.Errorf("%s %s: %+v", row.method, row.below, got)
		}
	}
	w.as(editor, "POST", at+"/pause", nil).refused(404)
	w.as(editor, "PATCH", at, client.ConnectorEdit{Codec: new("null")}).refused(404)
	var page client.Page[client.Connector]
	w.as(viewer, "GET", acmes, nil).read(200, &page)
	if len(page.Items) != 0 {
		t.Errorf("the list: %+v", page.Items)
	}
	w.as(viewer, "GET", acmes+"?deleted=true", nil).read(200, &page)
	if len(page.Items) != 1 || page.Items[0].ID != string(c.Connector) {
		t.Errorf("the deleted: %+v", page.Items)
	}
}

func TestAListOfConnectorsSaysHowTheyDoPageByPage(t *testing.T) {
	oldest := time.Now().Add(-time.Minute)
	var held map[control.ConnectorID]Waiting
	w := newWorld(t, func(c *Config, d *Deps) {
		c.GracePeriod = 48 * time.Hour
		d.Waiting = func() map[control.ConnectorID]Waiting { return held }
	})
	all := map[string]bool{}
	var last control.Connector
	for i := range 5 {
		last = w.launched(w.acme)
		w.delivered(last, eventlog.Offset(100*(i+1)), 1)
		all[string(last.Connector)] = true
	}
	w.launched(w.globex)
	since := time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
	must(t, w.db().SaveHealth(t.Context(), control.Health{Lane: control.Lane{Connector: last.Connector, Destination: 1}, State: control.LaneFailing, Since: since, Episode: since,
		Problem: "bad_secret", Message: "The secret is wrong."}))
	held = map[control.ConnectorID]Waiting{last.Connector: {Events: 7, Oldest: oldest, LastFile: oldest}}
	cursor, names := "", []string{}
	for range 3 {
		var page client.Page[client.Connector]
		w.as(viewer, "GET", acmes+"?limit=2&cursor="+cursor, nil).read(200, &page)
		for _, c := range page.Items {
			delete(all, c.ID)
			names = append(names, c.Name)
			if c.ID != string(last.Connector) {
				continue
			}
			d := c.Delivery
			if c.Status != "failing" || d == nil || d.Problem != "bad_secret" || d.Until == nil || !d.Until.Equal(since.Add(48*time.Hour)) ||
				d.Waiting == nil || *d.Waiting != 7 || *d.LagSeconds < 60 || d.LastFileAt == nil || !d.LastFileAt.After(oldest) { // the ledger has a newer one
				t.Errorf("failing: %+v, %+v", c, d)
			}
		}
		cursor = page.Next
	}
	if len(all) > 0 || cursor != "" || len(names) != 5 {
		t.Errorf("left over %v, next %q, names %v", all, cursor, names)
	}
	for i := 1; i < len(names); i++ {
		if names[i] < names[i-1] {
			t.Errorf("%s stands after %s", names[i], names[i-1])
		}
	}
	w.as(viewer, "GET", acmes+"?cursor=nonsense", nil).refused(422)
	w.as(viewer, "GET", acmes+"?limit=0", nil).refused(422)
}

// Whoever keeps events in the log holds none of them in memory: the books say how many wait.
func TestWhatAFailingConnectorKeepsIsCounted(t *testing.T) {
	w := newWorld(t, func(_ *Config, d *Deps) {
		d.Waiting = func() map[control.ConnectorID]Waiting { return map[control.ConnectorID]Waiting{} }
	})
	c := w.launched(w.acme)
	w.delivered(c, 100, 1)
	_, err := w.db().CountsCursor(t.Context(), theLog)
	must(t, err)
	hour := eventlog.HourOf(c.CreatedAt)
	must(t, w.db().AddCounts(t.Context(), theLog, 200, []control.Count{
		{Workspace: w.acme.Number, EventType: "users.messages.email.Open", Hour: hour, Era: 100, Events: 12},
		{Workspace: w.acme.Number, EventType: "users.messages.email.Click", Hour: hour, Era: 100, Events: 1}}))
	at := acmes + "/" + string(c.Connector)
	var got client.Connector
	for _, state := range []control.LaneState{control.LaneActive, control.LaneFailing} {
		must(t, w.db().SaveHealth(t.Context(), control.Health{Lane: control.Lane{Connector: c.Connector, Destination: 1}, State: state, Since: c.CreatedAt.Add(-time.Hour)}))
		w.as(viewer, "GET", at, nil).read(200, &got)
		if n := got.Delivery.Waiting; (n != nil) != (state == control.LaneFailing) || n != nil && *n != 11 {
			t.Errorf("%s: %+v", state, got.Delivery)
		}
	}
	var waits client.Waiting
	w.as(viewer, "GET", at+"/waiting", nil).read(200, &waits)
	if waits.Events != 11 || waits.Since == nil || !waits.Since.Equal(hour.Start()) {
		t.Errorf("%+v", waits)
	}
	w.as(viewer, "GET", acmes+"/000000000000000000000000/waiting", nil).refused(404)
}

func TestAListOfConnectorsTakesFewStatements(t *testing.T) {
	w := newWorld(t, nil)
	header := w.session(viewer)
	count := func() int64 {
		t.Helper()
		before := w.statements.Load()
		w.ask("GET", acmes+"?limit=500", nil, header).read(200, nil)
		return w.statements.Load() - before
	}
	w.launched(w.acme)
	count() // notes that the session was seen
	few := count()
	for range 199 {
		w.launched(w.acme)
	}
	if many := count(); many != few {
		t.Errorf("200 connectors take %d statements, one takes %d", many, few)
	}
}

func TestTheLedgerIsReadPageByPage(t *testing.T) {
	w := newWorld(t, nil)
	c, other := w.launched(w.acme), w.launched(w.acme)
	w.delivered(c, 100, 5)
	w.delivered(other, 200, 1)
	at := acmes + "/" + string(c.Connector)
	var files []client.File
	for next, pages := "", 0; pages == 0 || next != ""; pages++ {
		var page client.Page[client.File]
		w.as(viewer, "GET", at+"/files?limit=2&cursor="+next, nil).read(200, &page)
		files, next = append(files, page.Items...), page.Next
		if next != "" {
			w.as(viewer, "GET", at+"/losses?cursor="+next, nil).refused(422) // it is of another list
		}
	}
	if len(files) != 5 || files[0].Key != "key0" || files[4].Key != "key4" || files[0].Bucket != "acme-currents" || files[0].SHA == "" {
		t.Fatalf("%+v", files)
	}
	var one client.File
	w.as(viewer, "GET", at+"/files/"+files[3].ID, nil).read(200, &one)
	if one != files[3] {
		t.Errorf("%+v, want %+v", one, files[3])
	}
	w.as(viewer, "GET", acmes+"/"+string(other.Connector)+"/files/"+files[3].ID, nil).refused(404)
	hour := files[1].Hour.Format(time.RFC3339)
	var page client.Page[client.File]
	w.as(viewer, "GET", at+"/files?from="+hour, nil).read(200, &page)
	if len(page.Items) != 2 {
		t.Errorf("from %s: %d files, want 2", hour, len(page.Items))
	}
	w.as(viewer, "GET", at+"/files?event_type=users.messages.sms.Delivery", nil).read(200, &page)
	if len(page.Items) != 0 {
		t.Errorf("of another type: %+v", page.Items)
	}
	w.as(viewer, "GET", at+"/files?from="+hour+"&until="+hour, nil).refused(422)
	var losses client.Page[client.Loss]
	w.as(viewer, "GET", at+"/losses?limit=3", nil).read(200, &losses)
	if len(losses.Items) != 3 || losses.Next == "" || losses.Items[0].Reason != "grace" || losses.Items[0].Hour == nil || losses.Items[0].Events != 1 {
		t.Errorf("%+v", losses)
	}
	var audit client.Page[client.AuditHour]
	w.as(viewer, "GET", at+"/audit?from="+files[0].Hour.Format(time.RFC3339)+"&until="+files[1].Hour.Add(time.Hour).Format(time.RFC3339), nil).read(200, &audit)
	if len(audit.Items) != 2 || audit.Items[1].Counts[0] != (client.AuditCount{EventType: "users.messages.email.Open", Accepted: 2, Delivered: 2}) {
		t.Errorf("%+v", audit)
	}
	w.as(viewer, "GET", at+"/audit?from=2026-01-01T00:00:00Z&until=2026-03-01T00:00:00Z", nil).refused(422)
	var waiting client.Waiting
	w.as(viewer, "GET", at+"/waiting", nil).read(200, &waiting)
	if waiting.Events != 0 || waiting.Since != nil {
		t.Errorf("%+v", waiting)
	}
}

func TestAnHourIsWaitedForUntilItIsCompleteOrTheServerStops(t *testing.T) {
	stopping := make(chan struct{})
	w := newWorld(t, func(_ *Config, d *Deps) { d.Stopping = stopping })
	c := w.launched(w.acme)
	at := acmes + "/" + string(c.Connector) + "/hours/"
	var got client.Hour
	w.as(viewer, "GET", at+time.Now().UTC().Format(hourForm), nil).read(200, &got)
	if got.Complete || got.CompleteAt != nil {
		t.Errorf("%+v", got)
	}
	w.as(viewer, "GET", at+"2020-01-01T10", nil).refused(404)
	w.as(viewer, "GET", at+"yesterday?wait=61", nil).refused(422)
	began := time.Now()
	close(stopping)
	w.as(viewer, "GET", at+time.Now().UTC().Format(hourForm)+"?wait=60", nil).read(200, &got)
	if time.Since(began) > 30*time.Second {
		t.Error("the end of the server was waited out")
	}
}

func TestAnHourThatBecomesCompleteEndsTheWait(t *testing.T) {
	w := newWorld(t, nil)
	c := w.launched(w.acme)
	w.delivered(c, 100, 1)
	hour := eventlog.HourOf(c.CreatedAt)
	header := w.session(viewer)
	before := w.statements.Load()
	completed := make(chan error, 1)
	go func() {
		for w.statements.Load() < before+6 { // who asks, the workspace, the connector, the hour
			time.Sleep(time.Millisecond)
		}
		completed <- w.complete(c, 200, hour)
	}()
	var got client.Hour
	w.ask("GET", acmes+"/"+string(c.Connector)+"/hours/"+hour.Start().Format(hourForm)+"?wait=30", nil, header).read(200, &got)
	must(t, <-completed)
	if !got.Complete || got.CompleteAt == nil || len(got.Counts) != 2 || got.Counts[1].Delivered != 1 || got.Counts[0].Dropped != 1 {
		t.Errorf("%+v", got)
	}
}

// complete lets an hour end at offset at, for a connector that has dealt with everything below.
func (w *world) complete(c control.Connector, at eventlog.Offset, h eventlog.Hour) error {
	ctx, db := w.t.Context(), w.db()
	if err := db.ApplyControl(ctx, theLog, at+1, []control.LoggedRecord{{Offset: at, Record: control.Record{Kind: control.RecordHour, Hour: h}}}); err != nil {
		return err
	}
	p, err := db.Position(ctx, control.Lane{Connector: c.Connector, Destination: c.Destination.Number})
	if err != nil {
		return err
	}
	p.Cursor = at + 1
	if _, err := db.Save(ctx, control.Save{Position: p}); err != nil {
		return err
	}
	if _, err := db.CountsCursor(ctx, theLog); err != nil {
		return err
	}
	if err := db.AddCounts(ctx, theLog, at+1, nil); err != nil {
		return err
	}
	_, err = db.CompleteHours(ctx, theLog)
	return err
}

func TestDraftsKeepTheirSecretToThemselves(t *testing.T) {
	w := newWorld(t, nil)
	const at = "/workspaces/acme/drafts"
	var d client.Draft
	e := wish()
	e.Transformations, e.Flush = &[]client.Transformation{{Field: "email_address", Action: "hash"}}, &client.FlushEdit{Interval: new("10m0s"), Events: new(500)}
	a := w.as(editor, "POST", at, e).read(201, &d)
	if strings.Contains(a.body, "hunter2") || !d.HasSecret || a.header.Get("Location") != prefix+"/workspaces/"+workspaceID(w.acme.Number)+"/drafts/"+d.ID {
		t.Errorf("%s, %s", a.body, a.header.Get("Location"))
	}
	e.Destination.SecretAccessKey = nil
	want, err := json.Marshal(e)
	must(t, err)
	if got, err := json.Marshal(d.Connector); err != nil || string(got) != string(want) {
		t.Errorf("%s, want %s", got, want)
	}
	e.Destination.Folder = new("elsewhere")
	w.as(editor, "PUT", at+"/"+d.ID, e).read(200, &d)
	if !d.HasSecret || *d.Connector.Destination.Folder != "elsewhere" {
		t.Errorf("%+v", d)
	}
	var list client.Page[client.Draft]
	w.as(viewer, "GET", at, nil).read(200, &list)
	if len(list.Items) != 1 || list.Items[0].ID != d.ID {
		t.Errorf("%+v", list)
	}
	w.as(editor, "POST", at, client.ConnectorEdit{}).refused(422)
	var check client.Check
	w.follow(editor, w.as(editor, "POST", at+"/"+d.ID+"/launch", nil), &check)
	if check.State != "passed" || check.Connector != d.ID {
		t.Errorf("%+v", check)
	}
	w.as(editor, "GET", at+"/"+d.ID, nil).refused(404)
	w.as(editor, "PUT", at+"/"+d.ID, e).refused(404)
	w.as(editor, "DELETE", at+"/"+d.ID, nil).refused(404)
}

func TestADataExportIsTestedThenSaved(t *testing.T) {
	w := newWorld(t, nil)
	const at = "/workspaces/acme/data-export"
	e := client.DataExportEdit{Bucket: new("acme-exports"), AccessKeyID: new("AKIAIOSFODNN7EXAMPLE"), SecretAccessKey: new("hunter2hunter2")}
	w.as(viewer, "GET", at, nil).refused(404)
	w.as(editor, "PUT", at, client.DataExportEdit{}).refused(422)
	var check client.Check
	w.follow(editor, w.as(editor, "POST", at+"/test", e), &check)
	if check.State != "passed" || check.For != "export_test" {
		t.Errorf("%+v", check)
	}
	w.as(viewer, "GET", at, nil).refused(404)
	w.follow(editor, w.as(editor, "PUT", at, e), &check)
	var d client.DataExport
	a := w.as(viewer, "GET", at, nil).read(200, &d)
	if d.Bucket != "acme-exports" || strings.Contains(a.body, "hunter2") {
		t.Errorf("%s", a.body)
	}
	w.ask("PUT", at, client.DataExportEdit{Bucket: new("acme-others")}, with(w.session(editor), "If-Match", `"99"`)).refused(412)
	w.plane.Check = refusing
	w.follow(editor, w.ask("PUT", at, client.DataExportEdit{Bucket: new("acme-others")}, with(w.session(editor), "If-Match", a.header.Get("ETag"))), &check)
	if check.State != "failed" {
		t.Errorf("%+v", check)
	}
	if e := w.ask("PUT", at, client.DataExportEdit{Bucket: new("acme-others")}, with(w.session(editor), "If-Match", `"0"`)).refused(412); !strings.HasPrefix(e.Message, mailOf(editor)+" made it at ") || strings.Contains(e.Message, "bucket") {
		t.Errorf("the first version is overtaken by its making: %q", e.Message)
	}
	var past client.Page[client.PastCheck]
	w.as(viewer, "GET", at+"/checks?limit=2", nil).read(200, &past)
	if len(past.Items) != 2 || past.Next == "" || past.Items[0].OK || past.Items[0].Trigger != "save" || past.Items[0].Steps[0].Problem != "access_denied" || !past.Items[1].OK {
		t.Errorf("%+v", past)
	}
	w.as(editor, "DELETE", at, nil).read(204, nil)
	w.as(viewer, "GET", at, nil).refused(404)
}

func TestWhatADataExportWasTestedWithCanBeHadAgain(t *testing.T) {
	w := newWorld(t, nil)
	const at = "/workspaces/acme/data-export"
	e := client.DataExportEdit{Bucket: new("acme-exports"), AccessKeyID: new("AKIAIOSFODNN7EXAMPLE"), SecretAccessKey: new("hunter2hunter2")}
	asked := func(a answer, state string) {
		t.Helper()
		var check client.Check
		w.follow(editor, a, &check)
		got := check.AskedExport
		if check.State != state || got == nil || *got.Bucket != *e.Bucket || *got.AccessKeyID != "AKIAIOSFODNN7EXAMPLE" || got.SecretAccessKey != nil || got.RoleARN != nil {
			t.Errorf("%s %s: %+v", check.For, check.State, got)
		}
		if strings.Contains(w.as(editor, "GET", strings.TrimPrefix(a.header.Get("Location"), prefix), nil).body, "hunter2") {
			t.Error("the check holds the secret")
		}
	}
	asked(w.as(editor, "POST", at+"/test", e), "passed")
	asked(w.as(editor, "PUT", at, e), "passed")
	w.as(editor, "POST", at+"/test", struct{}{})
	w.work()
	var past client.Page[client.PastCheck]
	w.as(viewer, "GET", at+"/checks", nil).read(200, &past)
	if len(past.Items) != 3 || past.Items[0].Trigger != "demand" || past.Items[1].Trigger != "save" || past.Items[2].Trigger != "test" {
		t.Errorf("a check of what is stored, one that saves, and one of what was typed: %+v", past.Items)
	}
	w.plane.Check = refusing
	e.Bucket = new("acme-others")
	asked(w.as(editor, "POST", at+"/test", e), "failed")
	asked(w.as(editor, "PUT", at, e), "failed")
}

func TestNoticesAreReadInTheReadersLanguage(t *testing.T) {
	w := newWorld(t, nil)
	const at = "/workspaces/acme/notices"
	for i := range 3 {
		must(t, w.db().AddNotice(t.Context(), control.Notice{Workspace: w.acme.Number, Kind: control.NoticeKeyUnused, Episode: fmt.Sprint(i), At: time.Now().Add(time.Minute),
			Params: map[string]string{"key": "k", control.ParamContact: "somebody@acme.example"}}))
	}
	var page client.Notices
	a := w.ask("GET", at+"?limit=2", nil, with(w.session(viewer), "Accept-Language", "pt"))
	a.read(200, &page)
	if page.Unread != 3 || len(page.Items) != 2 || page.Next == "" || page.Items[0].Title != string(text.Portuguese)+" key_unused" || page.Items[0].Read || strings.Contains(a.body, "somebody@") {
		t.Errorf("%s", a.body)
	}
	w.as(viewer, "PUT", at+"/read", client.NoticesRead{UpTo: page.Items[1].ID}).read(204, nil)
	w.as(viewer, "GET", at, nil).read(200, &page)
	if page.Unread != 1 || len(page.Items) != 3 || page.Items[0].Read || !page.Items[1].Read || !page.Items[2].Read || page.Items[0].Title != "en key_unused" {
		t.Errorf("%+v", page)
	}
	w.as(editor, "GET", at, nil).read(200, &page)
	if page.Unread != 3 {
		t.Errorf("another member has %d unread", page.Unread)
	}
	w.as(viewer, "PUT", at+"/read", client.NoticesRead{UpTo: "nonsense"}).refused(422)
}

func TestAWebhookShowsItsSecretOnce(t *testing.T) {
	var called []string
	var fails error
	w := newWorld(t, func(_ *Config, d *Deps) {
		d.Call = func(_ context.Context, h control.Webhook) error {
			called = append(called, h.URL+" "+h.Secret.Reveal())
			return fails
		}
	})
	const at = "/workspaces/acme/webhooks"
	var made client.WebhookIssued
	w.as(editor, "POST", at, client.WebhookCreate{URL: "https://acme.example/hook", Kinds: []string{"failing"}}).read(201, &made)
	var list client.Page[client.Webhook]
	a := w.as(viewer, "GET", at, nil).read(200, &list)
	if made.Secret == "" || strings.Contains(a.body, made.Secret) || len(list.Items) != 1 || list.Items[0].ID != made.ID || list.Items[0].Kinds[0] != "failing" {
		t.Errorf("%s", a.body)
	}
	w.as(editor, "POST", at, client.WebhookCreate{URL: "https://Acme.example:443/hook"}).refused(409)
	w.as(editor, "POST", at, client.WebhookCreate{URL: "nowhere", Secret: "short", Kinds: []string{"x"}}).refused(422)
	var tried client.WebhookTest
	w.as(editor, "POST", at+"/"+made.ID+"/test", nil).read(200, &tried)
	if !tried.OK || len(called) != 1 || called[0] != "https://acme.example/hook "+made.Secret {
		t.Errorf("%+v, %v", tried, called)
	}
	fails = &fault.Error{Code: fault.Unavailable, Msg: fault.Message{Text: "The call was not taken: acme.example answered 500."}, Params: fault.Params{control.ParamStatus: 500}}
	w.as(editor, "POST", at+"/"+made.ID+"/test", nil).read(200, &tried)
	if tried.OK || tried.Status != 500 || !strings.Contains(tried.Message, "answered 500") {
		t.Errorf("%+v", tried)
	}
	w.as(editor, "DELETE", at+"/"+made.ID, nil).read(204, nil)
	w.as(editor, "DELETE", at+"/"+made.ID, nil).refused(404)
}

func TestTheCatalogueGivesTables(t *testing.T) {
	w := newWorld(t, nil)
	c := w.launched(w.acme)
	var page client.Page[client.EventType]
	w.as(stranger, "GET", "/event-types?limit=500", nil).read(200, &page)
	if len(page.Items) != len(w.api.deps.Catalogue.Types()) {
		t.Errorf("%d types", len(page.Items))
	}
	const at = "/event-types/users.messages.email.Open"
	var one client.EventType
	w.as(stranger, "GET", at, nil).read(200, &one)
	if one.DDL != "" || one.Fields[0].Name != "id" || one.SchemaID == 0 {
		t.Errorf("%+v", one)
	}
	w.as(viewer, "GET", at+"?ddl=athena&bucket=other&folder=f", nil).read(200, &one)
	if !strings.Contains(one.DDL, "other/f") {
		t.Errorf("%s", one.DDL)
	}
	of := at + "?ddl=athena&workspace=acme&connector=" + string(c.Connector)
	w.as(viewer, "GET", of, nil).read(200, &one)
	if !strings.Contains(one.DDL, string(c.Connector)) {
		t.Errorf("%s", one.DDL)
	}
	w.as(stranger, "GET", of, nil).refused(404)
	w.as(viewer, "GET", at+"?ddl=oracle", nil).refused(422)
	if e := w.as(viewer, "GET", "/event-types/users.messages.email.Opne", nil).refused(404); !strings.Contains(e.Hint, "users.messages.email.Open") {
		t.Errorf("%+v", e)
	}
}

func TestPoliciesAreFilledIn(t *testing.T) {
	var unknown error
	w := newWorld(t, func(_ *Config, d *Deps) {
		d.Account = func(context.Context) (string, error) {
			if unknown != nil {
				return "", unknown
			}
			return "123456789012", nil
		}
	})
	var trust client.Trust
	w.as(viewer, "GET", "/workspaces/acme/trust?integration=exports&format=terraform", nil).read(200, &trust)
	if trust.AccountID != "123456789012" || trust.Integration != "exports" || !strings.Contains(trust.Policy, trust.ExternalID) || !strings.Contains(trust.Policy, "resource") {
		t.Errorf("%+v", trust)
	}
	var p client.Policy
	w.as(viewer, "GET", "/workspaces/acme/policies/exports?bucket=acme-exports&method=role&format=cli", nil).read(200, &p)
	if !strings.Contains(p.Text, "123456789012") || !strings.Contains(p.Text, trust.ExternalID) || p.Format != "cli" {
		t.Errorf("%+v", p)
	}
	w.as(viewer, "GET", "/workspaces/acme/policies/exports?bucket=acme-exports", nil).read(200, &p)
	if len(p.Warnings) != 1 || !strings.Contains(p.Text, "acme-exports*") {
		t.Errorf("%+v", p)
	}
	w.as(viewer, "GET", "/workspaces/acme/policies/exports?bucket=acme-exports&strict=true", nil).read(200, &p)
	if len(p.Warnings) != 0 {
		t.Errorf("%+v", p)
	}
	w.as(viewer, "GET", "/workspaces/acme/policies/nothing", nil).refused(422)
	w.as(viewer, "GET", "/workspaces/acme/policies/currents?bucket=No", nil).refused(422)
	unknown = fault.New(fault.Unavailable, "", "No credentials.")
	trust = client.Trust{}
	w.as(viewer, "GET", "/workspaces/acme/trust", nil).read(200, &trust)
	if trust.AccountID != "" || trust.Policy != "" || trust.ExternalID == "" {
		t.Errorf("%+v", trust)
	}
	w.as(viewer, "GET", "/workspaces/acme/policies/currents?bucket=acme-currents&method=role", nil).read(200, &p)
	w.as(viewer, "GET", "/workspaces/acme/policies/currents?bucket=acme-currents&method=role&format=cli", nil).refused(503)
}

func TestAJobOfApplyIsOfWhoAskedAlone(t *testing.T) {
	w := newWorld(t, nil)
	m := client.Manifest{Name: "apply.yaml", Text: "workspaces: [{name: acme, api_keys: [{name: k, scopes: [events.write]}]}]"}
	w.as(editor, "POST", "/apply", m).refused(403)
	w.as(stranger, "POST", "/apply", m).refused(403)
	w.as(admin, "POST", "/apply", client.Manifest{Name: "apply.yaml", Text: "workspaces: [{nam: acme}]"}).refused(422)
	w.as(admin, "POST", "/apply", client.Manifest{Name: "apply.yaml", Text: "workspaces: []"}).refused(400)
	a := w.as(admin, "POST", "/apply", m)
	at := strings.TrimPrefix(a.header.Get("Location"), prefix)
	w.work()
	keys := func(a answer) (shown int) {
		var job client.Job
		a.read(200, &job)
		out, err := job.Applied()
		if err != nil || job.State != "done" || job.Kind != "apply" || len(out.Keys) != 1 || out.Keys[0].Name != "k" {
			t.Errorf("%+v %v", job, err)
		}
		return strings.Count(a.body, `"key":"`)
	}
	if n := keys(w.ask("GET", at, nil, w.token(admin, true))); n != 0 {
		t.Errorf("a token that only reads sees %d keys", n)
	}
	w.ask("HEAD", at, nil, w.session(admin))
	if n := keys(w.as(admin, "GET", at, nil)); n != 1 {
		t.Errorf("who asked sees %d keys", n)
	}
	if n := keys(w.as(admin, "GET", at, nil)); n != 0 {
		t.Errorf("who asked sees %d keys once more", n)
	}
	for _, who := range []string{viewer, editor, stranger, installer} {
		w.as(who, "GET", at, nil).refused(404)
	}
}

func TestJobsAndChecksHaveAddressesOfTheirOwn(t *testing.T) {
	w := newWorld(t, nil)
	c := w.launched(w.acme)
	at := acmes + "/" + string(c.Connector)
	var check client.Check
	w.as(editor, "POST", at+"/check", nil).read(202, &check)
	var job client.Job
	a := w.as(editor, "POST", at+"/test-events", nil).read(202, &job)
	if job.Kind != "test_events" || job.Connector != string(c.Connector) || a.header.Get("Location") != prefix+"/jobs/"+job.ID {
		t.Errorf("%+v, %s", job, a.header.Get("Location"))
	}
	w.as(viewer, "GET", "/jobs/"+job.ID, nil).read(200, nil)
	w.as(viewer, "GET", "/checks/"+check.ID, nil).read(200, nil)
	for _, path := range []string{"/jobs/" + check.ID, "/checks/" + job.ID, "/jobs/1", "/jobs/" + strings.Repeat("0", 26),
		"/jobs/" + w.api.deps.IDs.name(jobID, 1<<40), "/checks/" + w.api.deps.IDs.name(checkID, 2)} {
		w.as(viewer, "GET", path, nil).refused(http.StatusNotFound)
	}
	w.as(editor, "POST", at+"/replays", client.Replay{}).refused(422)
	until := time.Now().Add(-2 * time.Hour)
	w.as(editor, "POST", at+"/replays", client.Replay{From: time.Now().Add(-time.Hour), Until: &until}).refused(422)
	w.as(editor, "POST", at+"/replays", client.Replay{From: time.Now().Add(-time.Hour), Dropped: true}).read(202, &job)
	if job.Kind != "replay" {
		t.Errorf("%+v", job)
	}
}
