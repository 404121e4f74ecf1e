package page

import (
	"context"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// wish is the form of a Current, filled in. What is given comes in place of it, or besides.
func wish(more ...string) []string {
	values := []string{"name", "warehouse", "contact_email", "data@acme.example", "method", "key", "destination.bucket", "acme-currents", "destination.folder", "currents",
		"destination.access_key_id", "AKIAIOSFODNN7EXAMPLE", "destination.secret_access_key", "canary-secret", "codec", "deflate", "flush.interval", "5m0s", "flush.events", "15000", "all", "on"}
	for i := 0; i < len(more); i += 2 {
		for j := 0; j < len(values); j += 2 {
			if values[j] == more[i] {
				values = append(values[:j], values[j+2:]...)
				break
			}
		}
	}
	return append(values, more...)
}

// noBucket has never heard of the bucket.
func noBucket(_ context.Context, in bucket.CheckInput) (bucket.Report, error) {
	return bucket.Report{Heading: fault.Message{Key: "check.heading.no_such_bucket", Text: "S3 credentials are invalid: no such bucket"}, Steps: []bucket.Step{
		{Action: "s3:GetBucketLocation", State: bucket.Passed},
		{Action: "s3:ListBucket", State: bucket.Failed, Problem: bucket.NoSuchBucket, Finding: bucket.Finding{
			Message: fault.Message{Key: "check.no_such_bucket", Text: "There is no bucket called {bucket}."}, Params: fault.Params{"bucket": in.Access.Bucket}, Said: "<b>NoSuchBucket</b>",
			Remedy: bucket.Remedy{bucket.JSON: `{"Effect": "Allow"}`, bucket.CLI: "aws s3 mb"}}},
		{Action: "s3:PutObject", State: bucket.Skipped}}}, nil
}

// link gives the address on a page that matches.
func (s seen) link(t *testing.T, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(`href="(` + pattern + `)"`).FindStringSubmatch(s.body)
	if m == nil {
		t.Fatalf("%s leads nowhere like %s:\n%s", s.at, pattern, s.body)
	}
	return html.UnescapeString(m[1])
}

func TestALaunchThatFailsComesBackAsItWasSent(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		w.plane.Check = noBucket
		b := w.signedIn(string(l))
		p := b.post(w.at("/currents/new"), wish("name", "<i>w", "transformation", "email_address", "transformation_action", "hash", "all", "", "groups", "profile", "events", "users.messages.email.Open")...)
		p.has(t, http.StatusOK, `data-watch="1"`)
		p.reads(t, l, "page.form_check_waits", "page.form_step_put", "check.no_server")
		p = b.follow(p)
		missing := html.EscapeString(text.T(l, "check.no_such_bucket", text.Params{"bucket": "acme-currents"}))
		p.has(t, http.StatusOK, missing, "&lt;b&gt;NoSuchBucket&lt;/b&gt;", "aws s3 mb", "s3:ListBucket")
		p.reads(t, l, "check.heading.no_such_bucket", "page.form_launch_failed", "page.form_step_list", "page.form_remedy", "page.form_back")
		p.lacks(t, "data-watch", "<b>NoSuchBucket")
		p = b.get(p.link(t, `/w/[^"]*/currents/new\?check=[^"]*`))
		p.has(t, http.StatusOK, `value="&lt;i&gt;w"`, `value="acme-currents"`, `value="key" checked`, `id="destination.bucket-error"`, missing,
			`value="email_address"`, `<option value="hash" selected>`, `value="profile" aria-label="`+say(l, "page.group_profile")+`" checked`, `value="users.messages.email.Open" checked`)
		p.lacks(t, "canary-secret")
	}
}

func TestACheckThatWaitsListsTheStepsOfItsMethod(t *testing.T) {
	w := newWorld(t)
	role := []string{"method", "role", "destination.role_arn", "arn:aws:iam::123456789012:role/mill", "role_arn", "arn:aws:iam::123456789012:role/mill"}
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		take, remove := say(l, "page.form_step_role"), say(l, "page.form_step_delete")
		byRole := b.post(w.at("/currents/new"), wish(append(role, "name", "by role "+string(l))...)...)
		byRole.has(t, http.StatusOK, `data-watch="1"`, take, say(l, "page.form_step_location")).lacks(t, remove)
		b.post(w.at("/currents/new"), wish("name", "by key "+string(l))...).has(t, http.StatusOK, `data-watch="1"`).lacks(t, take, remove)
		b.post(w.at("/partners/s3/link"), append(role, "bucket", "acme-exports", "do", "test")...).has(t, http.StatusOK, `data-watch="1"`, take, remove)
		w.advances(`{"checks":[{"bucket":"acme-currents","by_role":true,"steps":[]}]}`) // it is made, and has not made a step
		b.get(byRole.at).has(t, http.StatusOK, `data-watch="1"`, take)
		w.ends(`{}`)
	}
}

func TestNoTreeCountsWithoutScript(t *testing.T) {
	w := newWorld(t)
	current := w.at("/currents/" + w.launch("warehouse") + "/settings")
	shown := regexp.MustCompile(`<span class="muted[^"]*" data-tree-(count|part)>[^<]+</span>|<div class="tools">`)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		for _, at := range []string{w.at("/currents/new"), current, w.at("/settings/keys/new"), w.at("/settings/webhooks/new")} {
			p := b.get(at)
			p.has(t, http.StatusOK, `data-tree="`+say(l, "page.of")+`"`, "data-tree-count", "data-tree-part")
			if wrong := shown.FindString(p.body); wrong != "" {
				t.Errorf("%s: %s", at, wrong)
			}
		}
	}
}

func TestAnErrorStandsBesideItsField(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("pt-BR")
	p := b.post(w.at("/currents/new"), wish("name", "a/b", "transformation", "nobody_has_it", "transformation_action", "remove", "flush.events", "7", "destination.endpoint", "ftp://x", "all", "")...)
	p.has(t, http.StatusUnprocessableEntity, `id="name-error"`, `id="transformations-0-error"`, `id="flush.events-error"`, `id="destination.endpoint-error"`, `id="events-error"`, `<details class="fold" open>`)
	p.lacks(t, "canary-secret", "transformations[0]")
}

func TestAnErrorIsAboutTheMethodThatWasChosen(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		role, key := "destination.role_arn-error", "destination.access_key_id-error"
		for _, at := range []string{w.at("/currents/new"), w.at("/currents/" + id + "/settings"), w.at("/currents/" + id + "/credentials")} {
			p := b.post(at, wish("name", "another", "method", "role", "destination.folder", "another", "destination.role_arn", "", "destination.secret_access_key", "")...)
			p.has(t, http.StatusUnprocessableEntity, `id="`+role+`"`, say(l, "field.role_needed"))
			p.lacks(t, `id="`+key+`"`)
		}
		p := b.post(w.at("/currents/new"), wish("destination.folder", "another", "destination.access_key_id", "", "destination.secret_access_key", "")...)
		p.has(t, http.StatusUnprocessableEntity, `id="`+key+`"`, say(l, "field.key_id_needed"), say(l, "field.secret_key_needed"))
		p.lacks(t, `id="`+role+`"`, say(l, "field.access_needed"))
	}
}

func TestANumberThatIsNoneIsNotCalledZero(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		for _, typed := range []string{"12abc", "", "1.5"} {
			b.post(w.at("/currents/new"), wish("flush.events", typed)...).has(t, http.StatusUnprocessableEntity, `id="flush.events-error"`, say(l, "page.form_not_number"), `value="`+typed+`"`)
			b.post(w.at("/currents/"+id+"/settings"), wish("flush.events", typed)...).has(t, http.StatusUnprocessableEntity, say(l, "page.form_not_number"))
		}
		b.post(w.at("/currents/new"), wish("flush.events", "7")...).has(t, http.StatusUnprocessableEntity, say(l, "field.flush_events", "least", 100, "most", 100_000, "given", 7))
	}
}

// problem is what stands beside a field.
func (s seen) problem(t *testing.T, field string) string {
	t.Helper()
	m := regexp.MustCompile(`id="` + regexp.QuoteMeta(field) + `-error">.*?<span>(.*?)</span>`).FindStringSubmatch(s.body)
	if m == nil {
		t.Fatalf("%s has no problem beside %s:\n%s", s.at, field, s.body)
	}
	return html.UnescapeString(m[1])
}

func TestAFolderOfAnotherWorkspaceIsToldBesideItOnceTheBucketIsProved(t *testing.T) {
	w := newWorld(t)
	w.plane.Check = passing
	other, err := w.plane.CreateWorkspace(control.WithActor(t.Context(), control.CommandLine()), control.Workspace{Name: "other"})
	must(t, err)
	acme := w.acme
	w.acme = other
	w.launchIn("secret name", "shared")
	w.acme = acme
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		p := b.follow(b.post(w.at("/currents/new"), wish("destination.folder", "shared/below")...))
		p = b.get(p.link(t, `/w/[^"]*/currents/new\?check=[^"]*`))
		want := say(l, "control.folder_inside_foreign", "folder", "shared/below", "bucket", "acme-currents") + " " + say(l, "control.folder_overlap_hint")
		if got := p.problem(t, "destination.folder"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		p.has(t, http.StatusOK, say(l, "page.form_wrong")).lacks(t, "secret name")
	}
}

func TestANameOrFolderThatIsTakenIsToldBesideIt(t *testing.T) {
	w := newWorld(t)
	w.launch("warehouse")
	id := w.launchIn("second", "second")
	w.launchIn("third", "logs/mill")
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		for _, at := range []string{w.at("/currents/new"), w.at("/currents/" + id + "/settings")} {
			b.post(at, wish("destination.folder", "free")...).has(t, http.StatusConflict, `id="name-error"`, html.EscapeString(say(l, "control.name_taken", "name", "warehouse")))
			for folder, key := range map[string]string{"logs/mill": "control.folder_taken", "logs/mill/x": "control.folder_inside", "logs": "control.folder_around"} {
				p := b.post(at, wish("name", "fourth", "destination.folder", folder)...)
				p.has(t, http.StatusConflict)
				want := say(l, key, "folder", folder, "other", "logs/mill", "connector", "third", "bucket", "acme-currents") + " " + say(l, "control.folder_overlap_hint")
				if got := p.problem(t, "destination.folder"); got != want {
					t.Errorf("%s %q: %q, want %q", at, folder, got, want)
				}
				if n := strings.Count(p.body, say(l, "control.folder_overlap_hint")); n != 2 { // at the field, and in the list of what is wrong
					t.Errorf("%s %q says what to do %d times", at, folder, n)
				}
			}
		}
	}
}

func TestRowsOfTransformationsComeAndGoWithoutScript(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("en")
	rows := func(p seen) int { return strings.Count(p.body, `name="transformation"`) }
	p := b.post(w.at("/currents/new"), wish("transformation", "email_address", "transformation_action", "hash", "part", "transformations")...)
	if p.has(t, http.StatusOK, `value="email_address"`, `<option value="email_address">`); rows(p) != 2 {
		t.Errorf("%d rows, want 2", rows(p))
	}
	p = b.post(w.at("/currents/new"), wish("transformation", "email_address", "transformation_action", "hash", "transformation", "gender", "transformation_action", "remove", "part", "transformations.0")...)
	if p.has(t, http.StatusOK, `value="gender"`); rows(p) != 1 {
		t.Errorf("%d rows, want 1", rows(p))
	}
}

func TestACurrentIsLaunchedWithTheBucketAndCredentialsOfAnother(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	b := w.signedIn("en")
	b.get(w.at("/currents/new")).has(t, http.StatusOK, `<option value="`+id+`">warehouse (acme-currents)`)
	p := b.follow(b.post(w.at("/currents/new"), wish("name", "second", "destination.same_as", id, "destination.bucket", "", "destination.folder", "second", "destination.access_key_id", "", "destination.secret_access_key", "")...))
	p.has(t, http.StatusOK, "s3://acme-currents/second/", say(text.English, "page.form_launched"))
	b.get(p.at).lacks(t, say(text.English, "page.form_launched"))
}

func TestADraftIsKeptOpenedLaunchedAndDeleted(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		w.plane.Check = passing
		b := w.signedIn(string(l))
		p := b.post(w.at("/currents/new"), wish("name", "<u>d", "destination.bucket", "", "do", "draft")...)
		p.has(t, http.StatusOK, "&lt;u&gt;d", say(l, "page.status_draft"))
		at := p.link(t, `/w/[^"]*/currents/new\?draft=[^"]*`)
		p = b.get(at)
		p.has(t, http.StatusOK, `value="&lt;u&gt;d"`)
		p.reads(t, l, "page.secret_kept", "page.form_draft_delete", "page.says_draft")
		p.lacks(t, "canary-secret")
		hidden := func(name string) string {
			return html.UnescapeString(regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(p.body)[1])
		}
		draft, etag := hidden("draft"), hidden("etag")
		// Still without a bucket: refused, and kept as typed.
		p = b.post(w.at("/currents/new"), wish("name", "done", "destination.bucket", "", "destination.secret_access_key", "", "draft", draft, "etag", etag)...)
		p.has(t, http.StatusUnprocessableEntity, `id="destination.bucket-error"`, `value="done"`)
		// Who opened it before that is told of whom.
		b.post(w.at("/currents/new"), wish("name", "late", "draft", draft, "etag", etag, "do", "draft")...).has(t, http.StatusPreconditionFailed, "ada@acme.example", `value="late"`)
		p = b.follow(b.post(w.at("/currents/new"), wish("name", "done", "destination.secret_access_key", "", "draft", draft, "etag", hidden("etag"))...))
		p.has(t, http.StatusOK, "s3://acme-currents/currents/")
		p.reads(t, l, "page.form_launched")

		b.post(w.at("/currents/new"), wish("name", "other", "do", "draft")...)
		at = b.get(w.at("/currents")).link(t, `/w/[^"]*/currents/new\?draft=[^"]*`)
		remove := w.at("/drafts/" + strings.SplitN(at, "draft=", 2)[1] + "/delete")
		b.post(remove, "confirm", "another").has(t, http.StatusUnprocessableEntity, `id="confirm-error"`)
		b.post(remove, "confirm", "other").has(t, http.StatusOK, say(l, "page.form_draft_deleted", "name", "other"))
	}
}

func TestWhoMayOnlyLookIsOfferedNoForm(t *testing.T) {
	w := newWorld(t)
	at := w.at("/currents/" + w.launch("warehouse"))
	b := w.joined(control.Viewer, "en")
	b.get(at).has(t, http.StatusOK, "warehouse").lacks(t, at+"/settings", at+"/delete", at+"/credentials", at+"/replay", at+"/test-events")
	b.get(at+"/settings").lacks(t, "<textarea", `name="destination.bucket"`)
	b.post(at+"/settings", wish("confirmed", "on")...).has(t, http.StatusForbidden)
	b.post(at+"/delete", "confirm", "warehouse").has(t, http.StatusForbidden)
	b.post(at+"/pause").has(t, http.StatusForbidden)
	b.post(w.at("/currents/new"), wish()...).has(t, http.StatusForbidden)
	for _, form := range []string{w.at("/currents/new"), at + "/delete", at + "/replay", at + "/credentials", at + "/upgrade", w.at("/partners/s3/link"), w.at("/partners/s3/unlink")} {
		b.get(form).has(t, http.StatusForbidden)
	}
	w.signedIn("en").post(w.at("/currents/new"), wish("name", "later", "do", "draft")...)
	b.get(w.at("/currents")).has(t, http.StatusOK, "later").lacks(t, "currents/new")
}

func TestADeletedCurrentOffersNoForm(t *testing.T) {
	w := newWorld(t)
	at := w.at("/currents/" + w.launch("warehouse"))
	b := w.signedIn("en")
	for range 2 { // the second answer is that of the first
		b.post(at+"/delete", "confirm", "warehouse").has(t, http.StatusOK, say(text.English, "page.form_deleted", "name", "warehouse"))
	}
	for _, form := range []string{"/delete", "/replay", "/credentials", "/upgrade"} {
		b.get(at+form).has(t, http.StatusNotFound, say(text.English, "control.connector_deleted", "name", "warehouse"))
	}
}

func TestAFreshPauseHasNoTimeOfTheStateBefore(t *testing.T) {
	w := newWorld(t)
	id := w.launch("warehouse")
	w.deliver(id, 1)
	must(t, w.store.SaveHealth(t.Context(), control.Health{Lane: control.Lane{Connector: control.ConnectorID(id), Destination: 1}, State: control.LaneActive, Since: time.Now().Add(-10 * time.Minute)}))
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.post(w.at("/currents/"+id+"/pause")).has(t, http.StatusOK, say(l, "page.says_paused")).lacks(t, l.Duration(10*time.Minute))
	}
}

func TestATableIsOfferedOfCurrentsThatCarryTheType(t *testing.T) {
	w := newWorld(t)
	w.launch("warehouse")
	b := w.signedIn("en")
	b.follow(b.post(w.at("/currents/new"), wish("name", "lake", "destination.folder", "lake", "all", "", "groups", "behavior")...)).has(t, http.StatusOK, "lake")
	b.get(w.at("/events/users.messages.email.Open")).has(t, http.StatusOK, ">warehouse<").lacks(t, ">lake<")
	b.get(w.at("/events/users.behaviors.CustomEvent")).has(t, http.StatusOK, ">warehouse<", ">lake<")
}

func TestWhoseSessionEndedComesBackToTheForm(t *testing.T) {
	w := newWorld(t)
	form := w.at("/currents/new")
	for _, c := range []struct{ name, to, from, want string }{
		{"the browser says where the form stood", form, "http://example.com" + form + "?draft=x", form + "?draft=x"},
		{"a foreign page, and the form is sent to its own address", form, "https://evil.example/w/1", form},
		{"no page, and the form is sent to its own address", form, "", form},
		{"no page, and it is sent below what can be looked at", w.at("/currents/x/pause"), "", w.at("/currents/x")},
		{"a foreign page, and it is sent below what can be looked at", w.at("/currents/x/pause"), "https://evil.example/w/1", w.at("/currents/x")},
	} {
		r := httptest.NewRequest(http.MethodPost, c.to, strings.NewReader(url.Values{"name": {"x"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Referer", c.from)
		a := httptest.NewRecorder()
		w.h.ServeHTTP(a, r)
		if got := a.Header().Get("Location"); a.Code != http.StatusSeeOther || got != "/sign-in?next="+url.QueryEscape(c.want) {
			t.Errorf("%s: %d to %q, want next %q", c.name, a.Code, got, c.want)
		}
	}
}

func TestAWayToSignInThatThereIsNoneOfIsRefusedAtItsField(t *testing.T) {
	w := newWorld(t)
	at := w.at("/currents/" + w.launch("warehouse"))
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		for _, form := range []string{w.at("/currents/new"), at + "/settings", at + "/credentials", w.at("/partners/s3/link")} {
			b.post(form, wish("method", "<i>", "name", "other", "bucket", "acme-exports", "etag", `"0"`)...).has(t, http.StatusUnprocessableEntity, `id="method-error"`,
				say(l, "page.choice_unknown", "value", "&lt;i&gt;")).lacks(t, "<i>")
		}
	}
}
