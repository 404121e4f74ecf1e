package page

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/text"
)

// version gives the version that a form is meant for.
func (s seen) version(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`name="etag" value="([^"]*)"`).FindStringSubmatch(s.body)
	if m == nil {
		t.Fatalf("%s is meant for no version:\n%s", s.at, s.body)
	}
	return html.UnescapeString(m[1])
}

func TestAChangeIsShownBeforeItIsMade(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		at := w.at("/currents/" + w.launch("warehouse"))
		b := w.signedIn(string(l))
		p := b.get(at+"/settings").has(t, http.StatusOK, `value="warehouse"`, `value="AKIAIOSFODNN7EXAMPLE"`, `value="key" checked`)
		p.reads(t, l, "page.form_review", "page.form_settings")
		p.lacks(t, `name="destination.secret_access_key"`, `name="destination.same_as"`)
		etag := p.version(t)
		same := []string{"destination.access_key_id", "AKIAIOSFODNN7EXAMPLE", "destination.secret_access_key", "", "etag", etag}
		b.post(at+"/settings", wish(same...)...).reads(t, l, "page.form_nothing")

		typed := append(same, "codec", "snappy", "name", "<b>new", "flush.interval", "1m0s", "transformation", "email_address", "transformation_action", "remove")
		p = b.post(at+"/settings", wish(typed...)...)
		p.has(t, http.StatusOK, "warehouse", "&lt;b&gt;new", "deflate", "snappy", `name="confirmed" value="on"`, `name="codec" value="snappy"`)
		p.reads(t, l, "page.form_review_title", "page.form_review_now", "page.form_remove", "page.form_save")
		b.get(at+"/settings").has(t, http.StatusOK, `value="warehouse"`) // nothing was changed yet
		b.post(at+"/settings", wish(append(typed, "part", "form")...)...).has(t, http.StatusOK, `value="&lt;b&gt;new"`, `<option value="snappy" selected>`)
		p = b.post(at+"/settings", wish(append(typed, "confirmed", "on")...)...)
		p.has(t, http.StatusOK, `value="&lt;b&gt;new"`)
		p.reads(t, l, "page.form_saved")
	}
}

func TestAnotherFolderIsCheckedFirst(t *testing.T) {
	w := newWorld(t)
	at := w.at("/currents/" + w.launch("warehouse"))
	w.plane.Check = noBucket
	b := w.signedIn("es")
	typed := wish("destination.folder", "elsewhere", "destination.secret_access_key", "", "etag", b.get(at+"/settings").version(t))
	b.post(at+"/settings", typed...).reads(t, text.Spanish, "page.form_review_check")
	p := b.follow(b.post(at+"/settings", append(typed, "confirmed", "on")...))
	p.reads(t, text.Spanish, "page.form_edit_failed", "check.heading.no_such_bucket")
	p = b.get(p.link(t, `/w/[^"]*/settings\?check=[^"]*`))
	p.has(t, http.StatusOK, `value="elsewhere"`, `id="destination.bucket-error"`)
	w.plane.Check = passing
	p = b.follow(b.post(at+"/settings", append(typed, "confirmed", "on")...))
	p.has(t, http.StatusOK, `value="elsewhere"`)
	p.reads(t, text.Spanish, "page.form_saved")
}

func TestASecretIsAskedForWhereAnotherKeyNeedsOne(t *testing.T) {
	w := newWorld(t)
	at := w.at("/currents/" + w.launch("warehouse"))
	b := w.signedIn("en")
	typed := wish("destination.access_key_id", "AKIAOTHEROTHEROTHER0", "destination.secret_access_key", "", "etag", b.get(at+"/settings").version(t))
	b.post(at+"/settings", typed...).has(t, http.StatusOK, `name="destination.secret_access_key" type="password"`)
	b.follow(b.post(at+"/settings", append(typed, "confirmed", "on", "destination.secret_access_key", "canary-other")...)).has(t, http.StatusOK, `value="AKIAOTHEROTHEROTHER0"`).lacks(t, "canary-other")
}

func TestWhoComesSecondIsToldOfWhom(t *testing.T) {
	w := newWorld(t)
	at := w.at("/currents/" + w.launch("warehouse"))
	eva, ada := w.joined(control.Editor, "en"), w.signedIn("es")
	ada.post("/me", "name", "Ada", "language", "es", "time_zone", "Asia/Tokyo", "mail", "").has(t, http.StatusOK)
	old := ada.get(at + "/settings").version(t)
	eva.post(at+"/settings", wish("destination.secret_access_key", "", "codec", "null", "etag", old, "confirmed", "on")...).has(t, http.StatusOK, say(text.English, "page.form_saved"))
	p := ada.post(at+"/settings", append(wish("destination.secret_access_key", "", "name", "mine", "etag", old), "confirmed", "on")...)
	p.has(t, http.StatusPreconditionFailed, "editor@acme.example", " JST: "+say(text.Spanish, "page.form_codec")+".", `value="mine"`)
	p.lacks(t, "changed it at", " UTC: ", ": codec.")
	if now := p.version(t); now == old {
		t.Error("the form is meant for the version that was overtaken")
	}
}

func TestCredentialsAreRotatedAfterTheirCheck(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		at := w.at("/currents/" + w.launch("warehouse"))
		b := w.signedIn(string(l))
		p := b.get(at+"/credentials").has(t, http.StatusOK, `value="AKIAIOSFODNN7EXAMPLE"`)
		p.reads(t, l, "page.form_rotate", "page.form_rotate_text", "page.help_rotate")
		b.post(at+"/credentials", "method", "key", "destination.access_key_id", "no key", "destination.secret_access_key", "canary-secret").has(t, http.StatusUnprocessableEntity, `id="destination.access_key_id-error"`).lacks(t, "canary-secret")
		w.plane.Check = noKey
		p = b.follow(b.post(at+"/credentials", "method", "key", "destination.access_key_id", "AKIAOTHEROTHEROTHER0", "destination.secret_access_key", "canary-secret"))
		p = b.get(p.link(t, `/w/[^"]*/credentials\?check=[^"]*`))
		p.has(t, http.StatusOK, `value="AKIAOTHEROTHEROTHER0"`, `id="destination.access_key_id-error"`).lacks(t, "canary-secret")
		w.plane.Check = passing
		b.follow(b.post(at+"/credentials", "method", "key", "destination.access_key_id", "AKIAOTHEROTHEROTHER0", "destination.secret_access_key", "canary-secret")).reads(t, l, "page.form_saved")
		b.get(at+"/settings").has(t, http.StatusOK, `value="AKIAOTHEROTHEROTHER0"`)
	}
}

func TestACurrentIsDeletedByItsName(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		at := w.at("/currents/" + w.launch("ware <house>"))
		b := w.signedIn(string(l))
		p := b.get(at+"/delete").has(t, http.StatusOK, "ware &lt;house&gt;")
		p.reads(t, l, "page.form_delete_none", "page.form_delete")
		b.post(at+"/delete", "confirm", "ware").has(t, http.StatusUnprocessableEntity, `id="confirm-error"`)
		b.post(at+"/delete", "confirm", "ware <house>").has(t, http.StatusOK, html.EscapeString(say(l, "page.form_deleted", "name", "ware <house>")))
	}
}

func TestAReplayIsAskedForAndFollowed(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		at := w.at("/currents/" + w.launch("warehouse"))
		b := w.signedIn(string(l))
		b.get(at+"/replay").has(t, http.StatusOK, `type="datetime-local"`).reads(t, l, "page.form_replay_dropped", "page.form_replay_start")
		b.post(at+"/replay", "from", "yesterday", "until", "").has(t, http.StatusUnprocessableEntity, `id="from-error"`, `value="yesterday"`)
		b.post(at+"/replay", "from", "2026-11-22T10:00", "until", "2026-11-22T09:00").has(t, http.StatusUnprocessableEntity, `id="until-error"`)
		p := b.post(at+"/replay", "from", "2026-11-22T10:00", "dropped", "on")
		p.has(t, http.StatusOK, `data-watch="1"`)
		p.reads(t, l, "page.form_job_replay", "page.form_job_runs")
		if !strings.HasPrefix(p.at, w.at("/jobs/")) {
			t.Errorf("at %s", p.at)
		}
		w.advances(`{"doing":"writing","done":3,"total":12}`)
		b.get(p.at).has(t, http.StatusOK, `data-watch="1"`, `<progress value="3" max="12"`, say(l, "page.form_job_files", "n", 3, "all", 12))
		w.ends(`{"drops":2,"events":7,"written":["a","b"],"found":[],"refused":[{}]}`)
		p = b.get(p.at)
		p.has(t, http.StatusOK, say(l, "page.form_replayed", "n", 2), at+"/files", at+"/losses").lacks(t, "data-watch")
		p = b.post(at + "/test-events")
		w.ends(`{"events":94}`)
		b.get(p.at).has(t, http.StatusOK, html.EscapeString(say(l, "page.form_job_test_done", "n", 94, "bucket", "acme-currents", "time", l.Duration(5*time.Minute))), at+"/files")
	}
}

func TestATestCurrentIsUpgradedOnce(t *testing.T) {
	w := newWorld(t)
	w.plane.Check = passing
	b := w.signedIn("en")
	p := b.follow(b.post(w.at("/currents/new"), wish("test", "on")...))
	p.has(t, http.StatusOK, p.at+"/upgrade")
	b.get(p.at+"/upgrade").has(t, http.StatusOK, say(text.English, "page.form_upgrade_text", "name", "warehouse"))
	b.post(p.at+"/upgrade").has(t, http.StatusOK, say(text.English, "page.form_upgraded")).lacks(t, p.at+"/upgrade")
}

// ends does what waits, as other rooms would, with that result.
func (w *world) ends(result string) {
	w.t.Helper()
	db := w.store.(interface {
		WaitingJobs(ctx context.Context) ([]control.Job, error)
		SaveJob(ctx context.Context, j control.Job) error
	})
	js, err := db.WaitingJobs(w.t.Context())
	must(w.t, err)
	for _, j := range js {
		j.State, j.Result, j.DoneAt = control.JobDone, []byte(result), j.CreatedAt
		must(w.t, db.SaveJob(w.t.Context(), j))
	}
}

// advances notes how far what waits is, as other rooms would.
func (w *world) advances(progress string) {
	w.t.Helper()
	db := w.store.(interface {
		WaitingJobs(ctx context.Context) ([]control.Job, error)
		SaveJob(ctx context.Context, j control.Job) error
		JobProgress(ctx context.Context, id int64, progress json.RawMessage) error
	})
	js, err := db.WaitingJobs(w.t.Context())
	must(w.t, err)
	for _, j := range js {
		j.State = control.JobRunning
		must(w.t, db.SaveJob(w.t.Context(), j))
		must(w.t, db.JobProgress(w.t.Context(), j.ID, json.RawMessage(progress)))
	}
}
