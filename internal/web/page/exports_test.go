package page

import (
	"context"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/text"
	"github.com/millrace/millrace/internal/web"
)

// keptFile is a file of an export.
type keptFile struct{ *strings.Reader }

func (k keptFile) Size() (int64, error) { return k.Reader.Size(), nil }
func (k keptFile) Close() error         { return nil }

func (w *world) exportFile(context.Context, control.Export) (web.File, error) {
	if w.file == "" {
		return nil, control.ErrExportGone()
	}
	return keptFile{strings.NewReader(w.file)}, nil
}

// exporter gives a browser of Eva, a viewer who may export user data.
func (w *world) exporter(language string) *browser {
	w.t.Helper()
	_, _, err := w.people.AddMember(control.WithActor(w.t.Context(), control.CommandLine()), control.AddMember{Email: "eva@acme.example", Name: "Eva", Password: secret.New(password), Workspace: w.acme.Number, ExportUserData: true})
	must(w.t, err)
	b := w.browser(language)
	b.signIn("eva@acme.example")
	return b
}

// named makes a segment that holds everybody, and gives its id.
func (w *world) named(name string) string {
	w.t.Helper()
	s, err := w.plane.CreateSegment(control.WithActor(w.t.Context(), control.CommandLine()), w.acme.Number, control.SegmentEdit{Name: &name})
	must(w.t, err)
	return string(s.ID)
}

// taking asks for an export of a segment by a key.
func (w *world) taking(segment string) control.Export {
	w.t.Helper()
	e, err := w.plane.AskExport(control.WithActor(w.t.Context(), control.CommandLine()), control.Export{Workspace: w.acme.Number, Kind: control.ExportUsersCSV, Source: control.ExportByAPI, Key: "k", Subject: segment})
	must(w.t, err)
	return e
}

// taken ends an export at a time, well or by err.
func (w *world) taken(e control.Export, at time.Time, err error) {
	w.t.Helper()
	s := w.store.(control.Store)
	e.People, e.Bytes, e.File = 1234, 5_000_000, "users.zip"
	must(w.t, s.EndExport(w.t.Context(), e.Ended(at.UTC(), err)))
}

var exportAddress = regexp.MustCompile(`/w/\d+/exports/[0-9a-f-]{36}$`)

func TestASegmentIsExportedAsCSV(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		w.peopled()
		b := w.exporter(string(l))
		id := w.named(`<i>"Everybody"`)
		b.get(w.at("/segments")).has(t, http.StatusOK, w.at("/segments/"+id+"/export"), say(l, "page.export_start"))
		b.get(w.at("/segments/"+id)).has(t, http.StatusOK, say(l, "page.export_users"), say(l, "page.export_emails"), w.at("/segments/"+id+"/export?kind=emails_csv"))
		at := w.at("/segments/" + id + "/export?kind=users_csv")
		first := `value=","`
		if l != text.English {
			first = `value=";"`
		}
		b.get(at).has(t, http.StatusOK, first+" selected", say(l, "page.export_delimiter_hint"), say(l, "page.export_intro", "email", "eva@acme.example")).lacks(t, "<i>")
		b.post(at, "delimiter", "#").has(t, http.StatusUnprocessableEntity, `id="delimiter-error"`, say(l, "page.error_title"))
		asked := b.post(at, "once", "x", "delimiter", "|", "bom", "on", "custom_attributes_to_export", "plan").
			has(t, http.StatusOK, say(l, "page.export_asked", "email", "eva@acme.example"), say(l, "page.export_says_waiting"), say(l, "page.export_cancel"), "plan", say(l, "page.export_pipe")).at
		if !exportAddress.MatchString(asked) {
			t.Errorf("it leads to %s", asked)
		}
		b.get(at).has(t, http.StatusOK, `value="|" selected`, `name="bom" value="on" checked`) // what was chosen the last time
		b.get(w.at("/exports")).has(t, http.StatusOK, say(l, "page.exports_open", "n", 1), asked, "&lt;i&gt;", say(l, "page.export_by_dashboard")).lacks(t, "<i>")
		b.post(asked+"/cancel").has(t, http.StatusOK, say(l, "page.export_was_cancelled"), say(l, "page.export_says_cancelled")).lacks(t, asked+"/cancel")
		b.post(asked+"/cancel").has(t, http.StatusOK, say(l, "page.export_says_cancelled"))
		b.get(w.at("/segments/"+id+"/export?kind=emails_csv")).has(t, http.StatusOK, say(l, "page.export_emails")).lacks(t, "custom_attributes_to_export")
	}
}

func TestExportsAreShownAsTheyAre(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		b := w.exporter(string(l))
		b.get(w.at("/exports")).has(t, http.StatusOK, say(l, "page.exports_none"), say(l, "page.exports_to_segments"))
		id := w.named("Everybody")
		done, failed, runs := w.taking(id), w.taking(id), w.taking(id)
		w.taken(done, time.Now(), nil)
		w.taken(failed, time.Now(), &fault.Error{Code: fault.Unavailable, Msg: fault.Message{Key: "notify.no_mail", Text: "This installation sends no mail."}})
		s := w.store.(interface {
			StartExport(ctx context.Context, e control.Export, total int64, at time.Time) error
			AddExportPart(ctx context.Context, e control.Export, p control.ExportPart) error
			HoldExport(ctx context.Context, e control.Export) error
		})
		must(t, s.StartExport(t.Context(), runs, 12_000, time.Now()))
		must(t, s.AddExportPart(t.Context(), runs, control.ExportPart{Number: 1, Last: 7, People: 5000, Bytes: 9, Hash: []byte{1}}))
		at := w.at("/exports/")
		b.get(w.at("/exports")).has(t, http.StatusOK, `<progress value="5000" max="12000"`, at+string(done.ID)+"/download", at+string(runs.ID)+"/cancel", say(l, "page.export_failed"), say(l, "page.export_by_api"), `data-watch="2"`)
		b.get(w.at("/exports?state=failed")).has(t, http.StatusOK, at+string(failed.ID)).lacks(t, at+string(done.ID))
		b.get(w.at("/exports?kind=revenue")).has(t, http.StatusOK, say(l, "page.filter_none"))
		b.get(at+string(runs.ID)).has(t, http.StatusOK, `<progress value="5000" max="12000"`, say(l, "page.export_says_running", "part", say(l, "page.export_of_about", "n", 5000, "all", 12000)), `data-watch="2"`)
		runs.Failure = &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "bucket.access_denied", Text: "denied"}}
		must(t, s.HoldExport(t.Context(), runs))
		b.get(at+string(runs.ID)).has(t, http.StatusOK, say(l, "page.export_held", "why", say(l, "bucket.access_denied")), say(l, "page.export_held_text", "time", l.Duration(15*time.Minute)), "/cancel")
		b.get(at+string(done.ID)).has(t, http.StatusOK, say(l, "page.export_n_people", "n", 1234), l.Bytes(5_000_000), "/download").lacks(t, "data-watch")
		b.get(at+string(failed.ID)).has(t, http.StatusOK, say(l, "page.export_says_failed"), say(l, "notify.no_mail")).lacks(t, "/download")
		b.get(at+"none").has(t, http.StatusNotFound)
	}
}

func TestTheFileOfAnExportIsDownloadedOrItIsSaidWhyNot(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		w.file = "a,b\r\n1,2\r\n"
		b := w.exporter(string(l))
		e := w.taking(w.named("Everybody"))
		at := w.at("/exports/" + string(e.ID) + "/download")
		b.get(at).has(t, http.StatusNotFound, say(l, "control.export_not_ready"), say(l, "page.export_to"), `http-equiv="refresh"`)
		w.taken(e, time.Now(), nil)
		p := b.get(at).has(t, http.StatusOK, w.file)
		if p.body != w.file || p.header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(p.header.Get("Content-Disposition"), "attachment; filename=users_csv-") {
			t.Errorf("got %q %v", p.body, p.header)
		}
		w.file = ""
		b.get(at).has(t, http.StatusGone, html.EscapeString(say(l, "control.export_gone")), say(l, "page.export_to"))
		w.file = "x"
		old := w.taking(w.named("Once"))
		w.taken(old, time.Now().Add(-5*time.Hour), nil)
		b.get(w.at("/exports/"+string(old.ID)+"/download")).has(t, http.StatusGone, say(l, "page.export_expired_text"))
		b.get(w.at("/exports/"+string(old.ID))).has(t, http.StatusOK, say(l, "page.export_says_past", "content", say(l, "page.export_n_people", "n", 1234)), w.at("/segments/"+old.Subject+"/export")).lacks(t, "/download")
		failed := w.taking(w.named("Others"))
		w.taken(failed, time.Now(), fault.New(fault.Unavailable, "", "x"))
		b.get(w.at("/exports/"+string(failed.ID)+"/download")).has(t, http.StatusNotFound, say(l, "control.export_no_file"))
		b.get(w.at("/exports/none/download")).has(t, http.StatusNotFound)
	}
}

func TestAnExportWhoseFileADeletionRemovedPromisesNone(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		b := w.exporter(string(l))
		e := w.taking(w.named("Everybody"))
		w.file = "secret"
		w.taken(e, time.Now(), nil)
		at := w.at("/exports/" + string(e.ID))
		b.get(at).has(t, http.StatusOK, at+"/download")
		must(t, w.store.(interface {
			NoteMoves(ctx context.Context, workspace uint32, moves []control.PersonMove, at time.Time) error
		}).NoteMoves(t.Context(), e.Workspace, []control.PersonMove{{Workspace: e.Workspace, ID: "gone"}}, time.Now()))
		b.get(at).has(t, http.StatusOK, say(l, "page.export_says_removed", "content", say(l, "page.export_n_people", "n", 1234)), say(l, "page.export_removed")).lacks(t, at+"/download")
		b.get(w.at("/exports")).has(t, http.StatusOK, say(l, "page.export_removed")).lacks(t, at+"/download")
		b.get(at+"/download").has(t, http.StatusGone, html.EscapeString(say(l, "control.export_gone_hint"))).lacks(t, "secret")
	}
}

func TestWhoMayNotExportIsToldWhomToAsk(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		e := w.taking(w.named("Everybody"))
		w.file = "secret"
		w.taken(e, time.Now(), nil)
		b := w.signedIn(string(l)) // an administrator
		b.get(w.at("/exports")).has(t, http.StatusOK, say(l, "page.export_right"), w.at("/settings/members")).lacks(t, string(e.ID))
		for _, at := range []string{"/exports/" + string(e.ID), "/exports/" + string(e.ID) + "/download", "/segments/" + e.Subject + "/export", "/campaigns/c/export"} {
			b.get(w.at(at)).has(t, http.StatusForbidden, say(l, "page.export_right"), w.at("/settings/members")).lacks(t, "secret")
		}
		b.post(w.at("/segments/"+e.Subject+"/export"), "delimiter", ",").has(t, http.StatusForbidden)
		b.post(w.at("/exports/"+string(e.ID)+"/cancel")).has(t, http.StatusForbidden)
		b.get(w.at("/segments")).lacks(t, "/export\"")
	}
}

func TestWhomACampaignReachedIsExported(t *testing.T) {
	w := newWorld(t)
	w.sends()
	b := w.exporter("en")
	for at, says := range map[string]string{"/campaigns/c%2F1": "CSV: recipients", "/canvases/v-1": "CSV: people who entered"} {
		b.get(w.at(at)).has(t, http.StatusOK, w.at(at+"/export"), says)
		b.post(w.at(at+"/export"), "delimiter", ";").has(t, http.StatusOK, says, "Waits for its turn").lacks(t, "<i>")
	}
}
