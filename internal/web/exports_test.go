package web

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const acmesExports = "/workspaces/acme/exports"

// kept is a file of an export.
type kept struct{ *strings.Reader }

func (k kept) Size() (int64, error) { return k.Reader.Size(), nil }
func (k kept) Close() error         { return nil }

func (w *world) exportFile(context.Context, control.Export) (File, error) {
	if w.file == "" {
		return nil, control.ErrExportGone()
	}
	return kept{strings.NewReader(w.file)}, nil
}

// export asks for what waits then: of a segment of its own, by a key.
func (w *world) export() control.Export {
	w.t.Helper()
	e, err := w.plane.AskExport(w.root(), control.Export{Workspace: w.acme.Number, Kind: control.ExportUsersCSV, Source: control.ExportByAPI, Key: "k", Subject: string(w.segment(fresh(), `{}`).ID)})
	must(w.t, err)
	return e
}

// ended ends an export, well or by err.
func (w *world) ended(e control.Export, err error) control.Export {
	w.t.Helper()
	e.File = "users.zip"
	e = e.Ended(time.Now().UTC().Truncate(time.Millisecond), err)
	must(w.t, w.api.deps.Store.(control.Store).EndExport(w.t.Context(), e))
	return e
}

// exportExamples are those of rows about exports.
func (w *world) exportExamples() map[string]func(who string) example {
	one := func(more string) func(string) example {
		return func(string) example { return example{path: acmesExports + "/" + string(w.export().ID) + more} }
	}
	return map[string]func(string) example{
		"listExports": func(string) example { return example{path: acmesExports} },
		"createExport": func(string) example {
			return example{path: acmesExports, body: client.ExportCreate{Kind: "users_csv", Subject: string(w.segment(fresh(), `{}`).ID)}}
		},
		"getExport": one(""), "cancelExport": one("/cancel"),
		"downloadExport": func(string) example {
			w.file = "a,b\r\n"
			return example{path: acmesExports + "/" + string(w.ended(w.export(), nil).ID) + "/file"}
		},
	}
}

func TestAnExportIsAskedForWatchedAndCancelled(t *testing.T) {
	w := newWorld(t, nil)
	s := w.segment("Germans", `{"attribute":{"name":"country","one_of":["DE"]}}`)
	h := w.session(exporter)
	in := client.ExportCreate{Kind: "users_csv", Subject: string(s.ID), ExportForm: client.ExportForm{Attributes: []string{"plan"}, Delimiter: ";", BOM: true}}
	var made, again, seen client.Export
	a := w.ask("POST", acmesExports, in, with(h, keyHeader, "k1")).read(201, &made)
	if made.State != "waiting" || made.Name != "Germans" || made.By != mailOf(exporter) || made.Source != "dashboard" || made.Delimiter != ";" || !made.BOM || made.Packing != "zip" || made.Downloadable {
		t.Errorf("got %+v", made)
	}
	w.ask("POST", acmesExports, in, with(h, keyHeader, "k1")).read(201, &again)
	w.ask("GET", strings.TrimPrefix(a.header.Get("Location"), prefix), nil, h).read(200, &seen)
	same(t, "the same export", []string{again.ID, seen.ID}, []string{made.ID, made.ID})
	for range 2 {
		w.ask("POST", acmesExports+"/"+made.ID+"/cancel", nil, h).read(202, &seen)
		if seen.State != "cancelled" || seen.DoneAt == nil {
			t.Errorf("got %+v", seen)
		}
	}
	w.ask("GET", acmesExports+"/"+made.ID+"/file", nil, h).refused(404)
}

func TestEachProblemOfAnExportIsSaidAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	got := problems(w.as(exporter, "POST", acmesExports, client.ExportCreate{Kind: "campaign_users_csv", ExportForm: client.ExportForm{Delimiter: "#", Recipients: []string{"nobody", "evil@elsewhere.example"}}}).refused(422))
	same(t, "problems", got, []string{"subject required", "delimiter unknown_value", "recipients[0] invalid", "recipients[1] invalid"})
	got = problems(w.as(exporter, "POST", acmesExports, `{"kind":"users_csv","output_format":"rar","delimiter":"#","color":"red"}`).refused(422))
	for _, p := range []string{"output_format unknown_value", "delimiter unknown_value", "color unknown_field"} {
		if !slices.Contains(got, p) {
			t.Errorf("%s is not among %q", p, got)
		}
	}
	for body, want := range map[string]string{
		`{"kind":"users_csv","output_format":"gzip"}`:                                  "output_format unknown_value",
		`{"kind":"segment_users","fields_to_export":["email"],"output_format":"none"}`: "output_format unknown_value",
		`{"kind":"users_csv","fields_to_export":["email"]}`:                            "fields_to_export invalid",
		`{"kind":"emails_csv","custom_attributes_to_export":["plan"]}`:                 "custom_attributes_to_export invalid",
		`{"kind":"revenue","custom_events_to_export":["saw"],"report":{}}`:             "custom_events_to_export invalid",
		`{"kind":"segment_users","fields_to_export":["email"],"delimiter":";"}`:        "delimiter invalid",
		`{"kind":"segment_users","fields_to_export":["email"],"bom":true}`:             "bom invalid",
		`{"kind":"users_csv","report":{"names":["hat"]}}`:                              "report invalid",
	} {
		same(t, body, problems(w.as(exporter, "POST", acmesExports, body).refused(422)), []string{want})
	}
	w.as(exporter, "POST", acmesExports, client.ExportCreate{Kind: "users_csv", Subject: "none"}).refused(404)
	w.as(exporter, "POST", acmesExports, client.ExportCreate{Kind: "campaign_users_csv", Subject: "none"}).refused(404)
	w.as(exporter, "POST", acmesExports, client.ExportCreate{Kind: "control_group"}).refused(409)
}

func TestAnExportOfACampaignIsCalledAsItIs(t *testing.T) {
	w := newWorld(t, nil)
	w.sends()
	var made client.Export
	w.as(exporter, "POST", acmesExports, client.ExportCreate{Kind: "campaign_users_csv", Subject: "c-7a"}).read(201, &made)
	same(t, "its name, and the delimiter that nobody chose", []string{made.Name, made.Subject, made.Delimiter}, []string{"Welcome", "c-7a", ""})
}

func TestExportsAreFilteredByWhatTheyAre(t *testing.T) {
	w := newWorld(t, nil)
	waits, done, failed := w.export(), w.ended(w.export(), nil), w.ended(w.export(), fault.New(fault.Unavailable, "", "The bucket did not answer."))
	_, err := w.plane.AskExport(w.root(), control.Export{Workspace: w.globex.Number, Kind: control.ExportUsersCSV, Key: "k"})
	must(t, err)
	h := w.session(exporter)
	for query, want := range map[string][]control.Export{
		"": {failed, done, waits}, "?state=waiting": {waits}, "?state=failed": {failed}, "?kind=emails_csv": nil, "?kind=users_csv": {failed, done, waits},
		"?source=api": {failed, done, waits}, "?source=schedule": nil, "?subject=" + done.Subject: {done}, "?member=" + string(w.member(exporter).ID): nil,
	} {
		var p client.Page[client.Export]
		w.ask("GET", acmesExports+query, nil, h).read(200, &p)
		var got, wanted []string
		for _, e := range p.Items {
			got = append(got, e.ID)
		}
		for _, e := range want {
			wanted = append(wanted, string(e.ID))
		}
		same(t, query, got, wanted)
	}
	var shown client.Export
	w.ask("GET", acmesExports+"/"+string(failed.ID), nil, h).read(200, &shown)
	if shown.Error == nil || shown.Error.Code != "unavailable" || shown.Downloadable {
		t.Errorf("got %+v", shown)
	}
}

func TestTheFileOfAnExportIsDownloadedWhileItIsThere(t *testing.T) {
	w := newWorld(t, nil)
	w.file = "a,b\r\n1,2\r\n"
	e := w.ended(w.export(), nil)
	at := acmesExports + "/" + string(e.ID) + "/file"
	h := w.session(exporter)
	a := w.ask("GET", at, nil, h).read(200, nil)
	name := "users_csv-" + e.CreatedAt.Format(time.DateOnly) + "-" + string(e.ID[len(e.ID)-8:]) + ".zip"
	if a.body != w.file || a.header.Get("Content-Disposition") != "attachment; filename="+name {
		t.Errorf("got %q as %q", a.body, a.header.Get("Content-Disposition"))
	}
	if part := w.ask("GET", at, nil, with(h, "Range", "bytes=5-7")).read(http.StatusPartialContent, nil); part.body != "1,2" {
		t.Errorf("a part is %q", part.body)
	}
	if head := w.ask("HEAD", at, nil, h).read(200, nil); head.body != "" || head.header.Get("Content-Length") != "10" {
		t.Errorf("HEAD gives %q %v", head.body, head.header)
	}
	var log client.Page[client.ChangeEntry]
	w.as(admin, "GET", "/workspaces/acme/changes?kind=export", nil).read(200, &log)
	if len(log.Items) == 0 || log.Items[0].Action != "export.download" || log.Items[0].Actor != mailOf(exporter) {
		t.Errorf("the log of changes has %+v", log.Items)
	}
	w.file = ""
	w.ask("GET", at, nil, h).refused(http.StatusPreconditionFailed)
	w.file = "x"
	w.plane.Now = func() time.Time { return time.Now().Add(5 * time.Hour) }
	w.ask("GET", at, nil, h).refused(http.StatusPreconditionFailed)
	w.plane.Now = nil
	w.seat(control.Membership{Workspace: w.acme.Number, Member: w.member(exporter).ID, Role: control.Viewer, CreatedAt: time.Now()})
	w.ask("GET", at, nil, h).refused(http.StatusForbidden)
}

func TestAnExportWhoseFileADeletionRemovedIsNotDownloadable(t *testing.T) {
	w := newWorld(t, nil)
	e := w.export()
	e.People = 1 // nobody knows who
	e = w.ended(e, nil)
	must(t, w.api.deps.Store.(interface {
		NoteMoves(ctx context.Context, workspace uint32, moves []control.PersonMove, at time.Time) error
	}).NoteMoves(t.Context(), e.Workspace, []control.PersonMove{{Workspace: e.Workspace, ID: "gone"}}, time.Now()))
	h := w.session(exporter)
	var p client.Page[client.Export]
	w.ask("GET", acmesExports, nil, h).read(200, &p)
	var shown client.Export
	w.ask("GET", acmesExports+"/"+string(e.ID), nil, h).read(200, &shown)
	for _, x := range append(p.Items, shown) {
		if x.Downloadable || !x.Removed || x.State != "done" {
			t.Errorf("got %+v", x)
		}
	}
}

// The kinds that can be asked for and listed are those that there are.
func TestTheKindsOfExportsAreAllThereAre(t *testing.T) {
	var kinds []string
	for _, k := range control.ExportKinds() {
		kinds = append(kinds, string(k))
	}
	for _, p := range shapeOf(routeOf(t, "listExports").op.in).params {
		if p.name == "kind" {
			same(t, "kinds in lists", p.enum[1:], kinds)
		}
	}
}

// A report has the same fields in the API and in control, so that what is said of one is not lost in the other.
func TestReportsHaveTheSameFieldsHereAndThere(t *testing.T) {
	here, there := reflect.TypeFor[client.Report](), reflect.TypeFor[control.ReportSpec]()
	same(t, "fields", jsonNames(here), jsonNames(there))
}

func jsonNames(t reflect.Type) (all []string) {
	for f := range t.Fields() {
		all = append(all, f.Tag.Get("json"))
	}
	return all
}

func TestAReportIsAskedFor(t *testing.T) {
	w := newWorld(t, nil)
	w.sends()
	ask := func(kind string, r client.Report) answer {
		return w.as(exporter, "POST", acmesExports, client.ExportCreate{Kind: kind, ExportForm: client.ExportForm{Report: &r}})
	}
	var made client.Export
	ask("engagement", client.Report{Campaigns: []string{"c-7a", "cb"}, LastDays: 7}).read(201, &made)
	if made.Report == nil || made.Report.LastDays != 7 || len(made.Report.Campaigns) != 2 {
		t.Errorf("got %+v", made.Report)
	}
	ask("campaign_performance", client.Report{Campaigns: []string{"c-7a"}}).read(201, &made)
	same(t, "its name", []string{made.Name, made.Subject}, []string{"Welcome", "c-7a"})
	same(t, "problems", problems(ask("engagement", client.Report{LastDays: 7, FirstDay: "today", Statistics: []string{"email.sents"}}).refused(422)),
		[]string{"report.campaigns required", "report.statistics[0] unknown_value", "report.first_day invalid", "report.last_days ambiguous"})
	same(t, "problems", problems(ask("campaign_performance", client.Report{}).refused(422)), []string{"report.campaigns required"})
	ask("campaign_performance", client.Report{Campaigns: []string{"none"}}).refused(404)
}

func routeOf(t *testing.T, name string) route {
	t.Helper()
	for _, r := range (&api{}).routes() {
		if r.name == name {
			return r
		}
	}
	t.Fatalf("there is no row %s", name)
	return route{}
}

// A mail and a page tell it to others than who asked, who are to know of what right it is.
func TestAnExportOfWhoLostTheRightSaysWhich(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.plane.MayExport(t.Context(), control.Export{Workspace: w.acme.Number, Kind: control.ExportRevenue, Actor: control.Actor{Member: "gone", Name: "gone@acme.example"}})
	if f := control.FailureOf(err); f.Code != fault.Forbidden || f.Msg.Key != "control.export_member_gone" || f.Hint.Key == "" {
		t.Errorf("it is refused with %+v", f)
	}
}
