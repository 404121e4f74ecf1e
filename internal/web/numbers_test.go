package web

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// numberExamples are those of rows about how much.
func (w *world) numberExamples() map[string]func(who string) example {
	at := func(path string) func(string) example { return func(string) example { return example{path: path} } }
	return map[string]func(who string) example{
		"getConnectorCounts": func(string) example {
			c := w.launched(w.acme)
			w.delivered(c, 5000, 1)
			return example{path: "/workspaces/acme/connectors/" + string(c.Connector) + "/counts?by=day&zone=America/Sao_Paulo"}
		},
		"getCounts":   at("/workspaces/acme/counts"),
		"getOverview": at("/workspaces/acme/overview"),
		"getFileRecords": func(who string) example {
			c := w.launched(w.acme)
			at := w.readable(c, 6000)
			return example{path: at + "/records?records=2"}
		},
	}
}

func TestFilesAndLossesAreListedTheNewestFirst(t *testing.T) {
	w := newWorld(t, nil)
	c := w.launched(w.acme)
	w.delivered(c, 100, 3)
	at := acmes + "/" + string(c.Connector)
	keys := func(query string) (all []string) {
		t.Helper()
		var page client.Page[client.File]
		w.as(viewer, "GET", at+"/files?"+query, nil).read(200, &page)
		for _, f := range page.Items {
			all = append(all, f.Key)
		}
		return all
	}
	for query, want := range map[string]string{
		"": "key0 key1 key2", "order=newest": "key2 key1 key0", "order=newest&search=key1": "key1", "search=y2": "key2", "search=KEY": "",
		"search=s3://acme-currents/key0": "key0", "search=" + url.QueryEscape(`<script>"'%`): "",
	} {
		if got := strings.Join(keys(query), " "); got != want {
			t.Errorf("?%s: %s, want %s", query, got, want)
		}
	}
	w.as(viewer, "GET", at+"/files?order=best", nil).refused(422)
	var files client.Page[client.File]
	w.as(viewer, "GET", at+"/files?order=newest&limit=2", nil).read(200, &files)
	next := files.Next
	files = client.Page[client.File]{}
	w.as(viewer, "GET", at+"/files?order=newest&limit=2&cursor="+next, nil).read(200, &files)
	if len(files.Items) != 1 || files.Items[0].Key != "key0" || files.Next != "" {
		t.Errorf("the second page: %+v", files)
	}
	_, known := w.api.deps.Catalogue.Schema(1)
	if f := files.Items[0]; f.SchemaID != 1 || (len(f.Fingerprint) == 64) != known || f.Destination != 1 || f.Version != 1 || f.Adopted || f.Test {
		t.Errorf("%+v", f)
	}
	var losses client.Page[client.Loss]
	w.as(viewer, "GET", at+"/losses?order=newest", nil).read(200, &losses)
	if len(losses.Items) != 3 || losses.Items[0].First < losses.Items[2].First || losses.Items[0].ToldAt != nil {
		t.Errorf("%+v", losses)
	}
}

func TestCountsAreGivenOfTheConnectorsThatAreNamed(t *testing.T) {
	w := newWorld(t, nil)
	w.launched(w.acme)
	other, theirs := w.launched(w.acme), w.launched(w.globex)
	w.delivered(other, 100, 2)
	ids := func(query string) (out []string) {
		var page client.Page[client.ConnectorCounts]
		w.as(viewer, "GET", "/workspaces/acme/counts"+query, nil).read(200, &page)
		for _, n := range page.Items {
			if (n.Delivered > 0) != (n.Connector == string(other.Connector)) || len(n.Hours) != 24 {
				t.Errorf("%s: %+v", query, n)
			}
			out = append(out, n.Connector)
		}
		return out
	}
	if got := ids(""); len(got) != 2 {
		t.Errorf("all: %v", got)
	}
	same(t, "named", ids("?connectors="+string(control.NewConnectorID())+","+string(other.Connector)+","+string(theirs.Connector)), []string{string(other.Connector)})
	same(t, "none that is there", ids("?connectors="+string(theirs.Connector)), nil)
}

// readable writes a file of a connector behind offset at, puts it into the bucket, and gives its address.
func (w *world) readable(c control.Connector, at eventlog.Offset) (path string) {
	w.t.Helper()
	w.delivered(c, at, 1)
	body, err := os.ReadFile("../avrofile/testdata/deflate.avro")
	must(w.t, err)
	w.bucket.Set("key0", body, nil)
	fs, err := w.db().Files(w.t.Context(), control.LedgerFilter{Connector: c.Connector}, 0, 1)
	must(w.t, err)
	return acmes + "/" + string(c.Connector) + "/files/" + w.api.deps.IDs.name(fileID, fs[0].ID)
}

func TestTheFirstRecordsOfAFileAreReadAndTheLookIsKept(t *testing.T) {
	w := newWorld(t, nil)
	c := w.launched(w.acme)
	at := w.readable(c, 100)
	var got client.FileRecords
	w.as(exporter, "GET", at+"/records?records=2", nil).read(200, &got)
	var first map[string]any
	must(t, json.Unmarshal(got.Records[0], &first))
	if len(got.Records) != 2 || !got.More || first["id"] == nil || first["time"] == nil {
		t.Errorf("%s", got.Records)
	}
	few, err := os.ReadFile("../avrofile/testdata/test-events.avro")
	must(t, err)
	w.bucket.Set("key0", few, nil)
	w.as(exporter, "GET", at+"/records", nil).read(200, &got)
	if len(got.Records) == 0 || len(got.Records) >= 10 || got.More {
		t.Errorf("%d records of a small file, more: %t", len(got.Records), got.More)
	}
	if opened := w.bucket.Opened(); opened[0].Bucket != "acme-currents" || opened[0].SecretAccessKey.Empty() {
		t.Errorf("opened %+v", opened)
	}
	var changes client.Page[client.ChangeEntry]
	a := w.as(admin, "GET", "/workspaces/acme/changes?subject="+string(c.Connector), nil).read(200, &changes)
	if e := changes.Items[0]; e.Action != "connector.look" || e.Actor != mailOf(exporter) || !strings.Contains(a.body, `"file":"key0"`) {
		t.Errorf("%s", a.body)
	}
	looks := len(changes.Items)
	for _, n := range []string{"0", "101", "x"} {
		w.as(exporter, "GET", at+"/records?records="+n, nil).refused(422)
	}
	w.as(exporter, "GET", at[:len(at)-1]+"/records", nil).refused(404)
	if e := w.as(viewer, "GET", at+"/records", nil).refused(403); !strings.Contains(e.Message, "export_user_data") {
		t.Errorf("%+v", e)
	}
	w.as(admin, "GET", "/workspaces/acme/changes?subject="+string(c.Connector), nil).read(200, &changes)
	if len(changes.Items) != looks {
		t.Error("who was refused stands in the log of changes as having looked")
	}
}

func TestAFileThatCannotBeReadIsExplained(t *testing.T) {
	w := newWorld(t, nil)
	at := w.readable(w.launched(w.acme), 100)
	whole, _, _ := w.bucket.Object("key0")
	for name, row := range map[string]struct {
		spoil func()
		say   string
	}{
		"denied":      {func() { w.bucket.Deny(bucket.AccessDenied) }, "The store does not allow it"},
		"an old key":  {func() { w.bucket.Deny(bucket.UnknownKey) }, "The store does not know the access key"},
		"gone":        {func() { w.bucket.Remove("key0") }, "A file that was written is not there"},
		"another's":   {func() { w.bucket.Set("key0", []byte("<html>"), nil) }, "not the file that was written"},
		"cut in half": {func() { w.bucket.Set("key0", bytes.Clone(whole[:len(whole)/2]), nil) }, "not the file that was written"},
	} {
		w.bucket.Deny("")
		w.bucket.Set("key0", whole, nil)
		row.spoil()
		if e := w.as(exporter, "GET", at+"/records?records=100", nil).refused(409); !strings.Contains(e.Message, row.say) || e.Hint == "" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestCountsCoverTheTimeThatIsAskedFor(t *testing.T) {
	w := newWorld(t, nil)
	c := w.launched(w.acme)
	w.delivered(c, 100, 2)
	now := time.Now()
	_, err := w.db().CountsCursor(t.Context(), theLog)
	must(t, err)
	must(t, w.db().AddCounts(t.Context(), theLog, 200, []control.Count{{Workspace: w.acme.Number, EventType: "users.messages.email.Open", Hour: eventlog.HourOf(c.CreatedAt),
		Minute: control.MinuteOf(c.CreatedAt), Era: 100, Events: 40}}))
	at := acmes + "/" + string(c.Connector) + "/counts?"
	ask := func(query string) (sum client.Count, n int, last time.Time) {
		t.Helper()
		var page client.Page[client.Count]
		w.as(viewer, "GET", at+query, nil).read(200, &page)
		for i, x := range page.Items {
			sum.Accepted, sum.Delivered, sum.Dropped = sum.Accepted+x.Accepted, sum.Delivered+x.Delivered, sum.Dropped+x.Dropped
			if i > 0 && !x.At.After(last) {
				t.Errorf("%s: %s after %s", query, x.At, last)
			}
			last = x.At
		}
		return sum, len(page.Items), last
	}
	until := "&until=" + url.QueryEscape(now.Add(2*time.Hour).Format(time.RFC3339)) // the second file is of the hour after
	for query, n := range map[string]int{"by=minute": 60, "": 24, "by=hour" + until: 24, "by=day" + until: 30, "by=day&zone=Asia/Kolkata" + until: 30} {
		sum, got, _ := ask(query)
		want := int64(2)
		if query == "" {
			want = 1
		}
		if got != n || sum.Accepted != 40 && query != "by=hour"+until && !strings.HasPrefix(query, "by=day") || sum.Accepted < 40 || sum.Delivered != want || sum.Dropped != 2 {
			t.Errorf("%q: %d of them, in all %+v", query, got, sum)
		}
	}
	zone, err := time.LoadLocation("America/Sao_Paulo")
	must(t, err)
	if _, _, last := ask("by=day&zone=America/Sao_Paulo"); last.In(zone).Format("15:04") != "00:00" {
		t.Errorf("the last day begins at %s", last.In(zone))
	}
	for _, query := range []string{"by=week", "zone=Mars/Base", "zone=Local", "by=minute&from=2026-01-01T00:00:00Z", "by=day&from=2026-01-01T00:00:00Z&until=2026-03-01T00:00:00Z",
		"from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"} {
		w.as(viewer, "GET", at+query, nil).refused(422)
	}
}

func TestAnOverviewCountsAWorkspaceAndNoOther(t *testing.T) {
	var held map[control.ConnectorID]Waiting
	w := newWorld(t, func(_ *Config, d *Deps) { d.Waiting = func() map[control.ConnectorID]Waiting { return held } })
	c, paused := w.launched(w.acme), w.launched(w.acme)
	theirs := w.launched(w.globex)
	w.delivered(c, 100, 1)
	w.delivered(paused, 150, 0)
	w.delivered(theirs, 200, 1)
	w.as(editor, "POST", acmes+"/"+string(paused.Connector)+"/pause", nil).read(200, nil)
	_, err := w.db().CountsCursor(t.Context(), theLog)
	must(t, err)
	hour, minute := eventlog.HourOf(time.Now()), control.MinuteOf(time.Now())
	for _, x := range []control.Workspace{w.acme, w.globex} {
		must(t, w.db().AddCounts(t.Context(), theLog, 300, []control.Count{{Workspace: x.Number, EventType: "users.messages.email.Open", Hour: hour, Minute: minute, Era: 250, Events: 40}}))
	}
	old := time.Now().Add(-time.Minute)
	held = map[control.ConnectorID]Waiting{c.Connector: {Events: 7, Oldest: old}, paused.Connector: {Events: 1, Oldest: old.Add(time.Second)}, theirs.Connector: {Events: 9, Oldest: old.Add(-time.Hour)}}
	must(t, w.db().AddNotice(t.Context(), control.Notice{Workspace: w.acme.Number, Kind: control.NoticeKeyUnused, Episode: "1", At: time.Now()}))
	must(t, w.db().AddNotice(t.Context(), control.Notice{Workspace: w.acme.Number, Kind: control.NoticeFailing, Episode: "2", At: time.Now()}))
	var got client.Overview
	w.ask("GET", "/workspaces/acme/overview", nil, with(w.session(viewer), "Accept-Language", "es")).read(200, &got)
	if got.Connectors != (client.ConnectorStates{Active: 1, Paused: 1}) {
		t.Errorf("states %+v", got.Connectors)
	}
	var accepted int64
	for _, m := range got.Minutes {
		accepted += m.Accepted
	}
	if got.Accepted != 40 {
		t.Errorf("%d events in a day, of which two Currents carry each, want 40", got.Accepted)
	}
	if len(got.Minutes) != 60 || accepted != 40 || got.Day.Accepted != 80 || got.Day.Delivered != 1 || got.Day.Dropped != 1 {
		t.Errorf("%d minutes with %d; the day %+v", len(got.Minutes), accepted, got.Day)
	}
	if got.Worst == nil || got.Worst.Connector != string(c.Connector) || got.Worst.Events != 7 || got.Worst.Seconds < 60 {
		t.Errorf("worst %+v", got.Worst)
	}
	if got.OldestUnread == nil || got.Unread < 2 || !strings.HasPrefix(got.OldestUnread.Title, "es ") || got.OldestUnread.Read {
		t.Errorf("%d unread, the oldest %+v", got.Unread, got.OldestUnread)
	}
	var list client.Page[client.ConnectorCounts]
	w.as(viewer, "GET", "/workspaces/acme/counts", nil).read(200, &list)
	for _, x := range list.Items {
		if len(x.Hours) != 24 || (x.Delivered == 1) != (x.Connector == string(c.Connector)) {
			t.Errorf("%+v", x)
		}
	}
	if len(list.Items) != 2 {
		t.Errorf("%d connectors", len(list.Items))
	}
}
