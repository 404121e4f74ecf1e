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

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/text"
)

// work does what waits, as the process that owns the log would.
func (w *world) work() {
	w.t.Helper()
	db := w.store.(interface {
		WaitingJobs(ctx context.Context) ([]control.Job, error)
		SaveJob(ctx context.Context, j control.Job) error
		JobProgress(ctx context.Context, id int64, progress json.RawMessage) error
	})
	jobs, err := db.WaitingJobs(w.t.Context())
	must(w.t, err)
	for _, j := range jobs {
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
		j.Result, err = json.Marshal(out)
		must(w.t, err)
		must(w.t, db.SaveJob(w.t.Context(), j))
	}
}

// follow does what waits for the page that came, and gives what is at its address then.
func (b *browser) follow(p seen) seen {
	b.w.t.Helper()
	b.w.work()
	return b.get(p.at)
}

// passing lets everybody in, and noKey has never heard of the key.
func passing(context.Context, bucket.CheckInput) (bucket.Report, error) {
	return bucket.Report{OK: true, Region: "us-east-1", Steps: []bucket.Step{{Action: "s3:PutObject", State: bucket.Passed}}}, nil
}

func noKey(context.Context, bucket.CheckInput) (bucket.Report, error) {
	return bucket.Report{Heading: fault.Message{Key: "check.heading", Text: "S3 credentials are invalid"}, Steps: []bucket.Step{{Action: "s3:ListBucket", State: bucket.Failed, Problem: bucket.UnknownKey,
		Finding: bucket.Finding{Message: fault.Message{Text: "<i>No such key.</i>"}}}}}, nil
}

// linked is acme with a data export.
func (w *world) linked() {
	w.t.Helper()
	w.plane.Check = passing
	name, key, value := "acme-exports", "AKIAIOSFODNN7EXAMPLE", secret.New("canary-secret")
	_, _, err := w.plane.SaveDataExport(control.WithActor(w.t.Context(), control.CommandLine()), w.acme.Number, control.ExportEdit{Bucket: &name, AccessKeyID: &key, SecretAccessKey: &value})
	must(w.t, err)
}

// reads fails unless the page holds the sentences with these keys.
func (s seen) reads(t *testing.T, l text.Language, keys ...string) {
	t.Helper()
	body := html.UnescapeString(s.body)
	for _, k := range keys {
		if want := say(l, k); !strings.Contains(body, want) {
			t.Errorf("%s %s lacks %s, %q:\n%s", l, s.at, k, want, s.body)
		}
	}
}

func TestABucketForExportsIsTestedThenSaved(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		w.plane.Check = passing
		b := w.signedIn(string(l))
		b.get(w.at("/partners")).has(t, http.StatusOK, say(l, "page.partner_none"), w.at("/partners/s3"))
		p := b.get(w.at("/partners/s3"))
		p.has(t, http.StatusOK, w.at("/partners/s3/link"), "segment-export/")
		p.reads(t, l, "page.partner_says_none", "page.partner_link")
		p = b.get(w.at("/partners/s3/link"))
		p.has(t, http.StatusOK, "111122223333", "mlr-", `name="etag" value="&#34;0&#34;"`, "millrace-exports")
		p.reads(t, l, "page.method", "page.partner_test", "page.partner_save", "page.policy_later", "page.help_secret")
		typed := []string{"method", "key", "bucket", "acme-exports", "access_key_id", "AKIAIOSFODNN7EXAMPLE", "secret_access_key", "canary-secret", "etag", `"0"`}

		p = b.post(w.at("/partners/s3/link"), append(typed, "do", "test")...)
		p.has(t, http.StatusOK, `data-watch="1"`)
		p = b.follow(p)
		p.reads(t, l, "page.partner_tested", "page.form_back")
		back := regexp.MustCompile(`href="(/w/[^"]*/link\?check=[^"]*)"`).FindStringSubmatch(p.body)
		if back == nil {
			t.Fatalf("no way back to the form:\n%s", p.body)
		}
		p = b.get(html.UnescapeString(back[1]))
		p.has(t, http.StatusOK, `value="acme-exports"`, `value="AKIAIOSFODNN7EXAMPLE"`, `value="key" checked`)
		p.reads(t, l, "page.partner_tested")
		if strings.Contains(p.body, "canary-secret") {
			t.Error("the form holds the secret")
		}
		b.get(w.at("/partners/s3")).reads(t, l, "page.partner_says_none")

		p = b.follow(b.post(w.at("/partners/s3/link"), append(typed, "do", "save")...))
		p.has(t, http.StatusOK, "acme-exports", "AKIAIOSFODNN7EXAMPLE")
		p.reads(t, l, "page.partner_saved", "page.partner_linked", "page.partner_unlink")
		if p.at != w.at("/partners/s3") {
			t.Errorf("a save leads to %s", p.at)
		}
		p = b.get(w.at("/partners/s3/checks"))
		p.has(t, http.StatusOK, "s3:PutObject")
		p.reads(t, l, "page.check_by_test", "page.check_by_save")
	}
}

func TestThePolicyOfExportsIsMadeWhileTheBucketIsTyped(t *testing.T) {
	w := newWorld(t)
	p := w.signedIn("en").post(w.at("/partners/s3/link"), "part", pasted, "method", "key", "bucket", "acme-exports")
	p.has(t, http.StatusOK, `id="paste"`, "s3:DeleteObject", `id="policy-role-terraform"`, `id="policy-key-cli"`, "arn:aws:s3:::acme-exports/*", "arn:aws:s3:::acme-exports*", html.EscapeString(say(text.English, "page.policy_wide", "bucket", "acme-exports")))
	wide, tight := strings.Index(p.body, `id="policy-loose"`), strings.Index(p.body, `id="policy-key-json"`)
	if strings.Contains(p.body[tight:wide], "acme-exports*") || !strings.Contains(p.body[wide:], "arn:aws:s3:::acme-exports*") {
		t.Error("the tight policy does not stand before the wide one")
	}
}

func TestWhatIsWrongWithALinkStandsBesideItsField(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		for _, do := range []string{"test", "save"} {
			p := w.signedIn(string(l)).post(w.at("/partners/s3/link"), "method", "key", "bucket", `No<b>"`, "access_key_id", "", "secret_access_key", "canary-secret", "endpoint", "ftp://x", "do", do, "etag", `"0"`)
			p.has(t, http.StatusUnprocessableEntity, `id="bucket-error"`, `id="access_key_id-error"`, `value="No&lt;b&gt;&#34;"`, `<details class="fold" open`)
			p.reads(t, l, "field.bucket_form")
			if strings.Contains(p.body, "canary-secret") {
				t.Error("the page holds the secret")
			}
		}
	}
}

func TestALinkThatIsRefusedSaysSoAndWhatHelps(t *testing.T) {
	w := newWorld(t)
	w.linked()
	w.plane.Check = noKey
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		p := b.follow(b.post(w.at("/partners/s3/check")))
		p.has(t, http.StatusOK, "s3:ListBucket")
		p.reads(t, l, "page.partner_home")
		p = b.get(w.at("/partners/s3"))
		p.has(t, http.StatusOK, "&lt;i&gt;No such key.&lt;/i&gt;")
		p.reads(t, l, "page.partner_refused", "page.partner_failing", "page.partner_change", "page.help_failing")
	}
	// What somebody only tried says nothing of what is in use.
	w.plane.Check = passing
	b := w.signedIn("en")
	b.follow(b.post(w.at("/partners/s3/check")))
	w.plane.Check = noKey
	typed := []string{"method", "key", "bucket", "acme-others", "access_key_id", "AKIAIOSFODNN7EXAMPLE", "etag", `"1"`}
	p := b.follow(b.post(w.at("/partners/s3/link"), append(typed, "do", "test")...))
	p.reads(t, text.English, "page.form_back")
	p = b.follow(b.post(w.at("/partners/s3/link"), append(typed, "do", "save")...))
	p.reads(t, text.English, "page.form_back")
	b.get(w.at("/partners/s3")).reads(t, text.English, "page.partner_linked")
}

func TestAKeyIsRotatedWithoutItsBucketBeingTypedAgain(t *testing.T) {
	w := newWorld(t)
	w.linked()
	b := w.signedIn("en")
	p := b.get(w.at("/partners/s3/link"))
	p.has(t, http.StatusOK, `value="acme-exports"`, `value="AKIAIOSFODNN7EXAMPLE"`, `value="key" checked`)
	p.reads(t, text.English, "page.secret_kept", "page.help_rotate", "page.partner_change_text")
	var with string
	w.plane.Check = func(ctx context.Context, in bucket.CheckInput) (bucket.Report, error) {
		with = in.Access.AccessKeyID + ":" + in.Access.SecretAccessKey.Reveal()
		return passing(ctx, in)
	}
	etag := html.UnescapeString(regexp.MustCompile(`name="etag" value="([^"]*)"`).FindStringSubmatch(p.body)[1])
	p = b.follow(b.post(w.at("/partners/s3/link"), "method", "key", "bucket", "acme-exports", "access_key_id", "AKIAIOSFODNN7EXAMPLF", "secret_access_key", "second", "do", "save", "etag", etag))
	p.reads(t, text.English, "page.partner_saved")
	if with != "AKIAIOSFODNN7EXAMPLF:second" {
		t.Errorf("checked with %q", with)
	}
	// The form of somebody who had opened it before says who was quicker, and keeps what was typed.
	p = b.post(w.at("/partners/s3/link"), "method", "key", "bucket", "acme-others", "access_key_id", "AKIAIOSFODNN7EXAMPLE", "secret_access_key", "first", "do", "save", "etag", etag)
	p.has(t, http.StatusPreconditionFailed, "ada@acme.example", `value="acme-others"`)
	p = b.follow(b.post(w.at("/partners/s3/link"), "method", "key", "bucket", "acme-exports", "access_key_id", "AKIAIOSFODNN7EXAMPLF", "do", "save"))
	p.reads(t, text.English, "page.partner_same")
}

func TestALinkIsRemovedByItsName(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		w.linked()
		b := w.signedIn(string(l))
		b.get(w.at("/partners/s3/unlink")).reads(t, l, "page.partner_unlink_stays")
		b.post(w.at("/partners/s3/unlink"), "confirm", "acme").has(t, http.StatusUnprocessableEntity, `id="confirm-error"`)
		p := b.post(w.at("/partners/s3/unlink"), "confirm", "acme-exports")
		p.has(t, http.StatusOK, html.EscapeString(say(l, "page.partner_unlinked", "bucket", "acme-exports")))
		p.reads(t, l, "page.partner_says_none")
		b.get(w.at("/partners/s3/unlink")).reads(t, l, "page.partner_says_none")
	}
}

func TestAViewerSeesTheLinkAndCannotChangeIt(t *testing.T) {
	w := newWorld(t)
	w.linked()
	_, _, err := w.people.AddMember(control.WithActor(t.Context(), control.CommandLine()), control.AddMember{Email: "vi@acme.example", Name: "Vi", Password: secret.New(password), Workspace: w.acme.Number, Role: control.Viewer})
	must(t, err)
	b := w.browser("en")
	b.post("/sign-in", "email", "vi@acme.example", "password", password)
	p := b.get(w.at("/partners/s3"))
	p.has(t, http.StatusOK, "acme-exports")
	for _, part := range []string{"/link", "/unlink", "/check\""} {
		if strings.Contains(p.body, w.at("/partners/s3")+part) {
			t.Errorf("a viewer is offered %s", part)
		}
	}
	b.post(w.at("/partners/s3/check")).has(t, http.StatusForbidden)
	b.post(w.at("/partners/s3/link"), "method", "key", "bucket", "acme-others", "access_key_id", "AKIAIOSFODNN7EXAMPLE", "secret_access_key", "x", "do", "save").has(t, http.StatusForbidden)
	b.post(w.at("/partners/s3/unlink"), "confirm", "acme-exports").has(t, http.StatusForbidden)
}
