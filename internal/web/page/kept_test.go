package page

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/text"
)

// sent sends a form from the page that has it, as browsers do, whose session has ended.
func (b *browser) sent(path string, values ...string) seen {
	b.w.t.Helper()
	b.referer = path
	defer func() { b.referer = "" }()
	return b.post(path, values...)
}

// ended ends every session of the installation's, so that browsers come with one that is none.
func (w *world) ended() {
	w.t.Helper()
	w.later += 91 * 24 * time.Hour
}

func TestWhatWasTypedComesBackAfterSigningIn(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		current := w.at("/currents/" + w.launch("warehouse"))
		forms := map[string][]string{
			w.at("/currents/new"): {`value="warehouse"`, `value="acme-currents"`, `value="AKIATYPED"`, `value="users.messages.email.Open" checked`, `value="email_address"`,
				`<option value="hash" selected>`, "arn:aws:s3:::acme-currents"},
			current + "/settings":    {`value="AKIATYPED"`, `name="etag" value="&#34;7&#34;"`},
			current + "/credentials": {`value="AKIATYPED"`, `value="key" checked`},
		}
		if l == text.English { // the others say the same, and each takes a sign-in
			maps.Copy(forms, map[string][]string{
				w.at("/partners/s3/link"):        {`value="AKIATYPED"`},
				w.at("/settings"):                {`value="ignore" checked`},
				w.at("/settings/keys/new"):       {`value="warehouse"`, "203.0.113.0/24", `value="users.track" checked`},
				w.at("/settings/members/invite"): {`value="new@acme.example"`, `value="editor" checked`},
				w.at("/settings/webhooks/new"):   {`value="https://hooks.example.com/&lt;i&gt;"`, `value="failing" checked`},
			})
		}
		for at, typed := range forms {
			b := w.signedIn(string(l))
			w.ended()
			p := b.sent(at, append(wish("all", "", "destination.access_key_id", "AKIATYPED", "events", "users.messages.email.Open", "transformation", "email_address", "transformation_action", "hash"),
				"access_key_id", "AKIATYPED", "secret_access_key", "canary-secret", "networks", "203.0.113.0/24", "scopes", "users.track", "email", "new@acme.example", "role", "editor",
				"url", "https://hooks.example.com/<i>", "kinds", "failing", "unknown_fields", "ignore", "etag", `"7"`, "once", "x")...)
			p.has(t, http.StatusOK, say(l, "page.kept_sign_in"))
			if !strings.HasPrefix(p.at, "/sign-in?") {
				t.Fatalf("at %s", p.at)
			}
			p = b.post(p.at, "email", "ada@acme.example", "password", password)
			p.has(t, http.StatusOK, append(typed, say(l, "page.kept"), say(l, "page.kept_text"))...)
			p.lacks(t, "canary-secret", "<i>")
			if path, _, _ := strings.Cut(p.at, "?"); path != at {
				t.Errorf("%s comes back at %s", at, p.at)
			}
			b.get(at).lacks(t, say(l, "page.kept")) // only under the name that it was given
		}
	}
}

// A browser that does not say where a form stood comes back to it all the same.
func TestAFormComesBackToItsOwnAddress(t *testing.T) {
	w := newWorld(t)
	at := w.at("/currents/new")
	b := w.signedIn("en")
	w.ended()
	p := b.post(b.post(at, wish("all", "")...).at, "email", "ada@acme.example", "password", password)
	p.has(t, http.StatusOK, `value="warehouse"`, say(text.English, "page.kept"))
	if path, _, _ := strings.Cut(p.at, "?"); path != at {
		t.Errorf("the form comes back at %s", p.at)
	}
}

// A form that waits is of a browser that had a session, comes from a page of ours, is bounded, and ends.
func TestOnlyFormsOfEndedSessionsWait(t *testing.T) {
	w := newWorld(t)
	names := func(b *browser, at string, values ...string) string {
		p := b.sent(at, values...)
		u, err := url.Parse(p.at)
		must(t, err)
		next, err := url.Parse(u.Query().Get("next"))
		must(t, err)
		return next.Query().Get(keptParam)
	}
	at := w.at("/currents/new")
	stranger := w.browser("en")
	if name := names(stranger, at, "name", "x"); name != "" {
		t.Error("a form waits of who never had a session")
	}
	b := w.signedIn("en")
	w.ended()
	b.foreign = true
	if name := names(b, at, "name", "x"); name != "" {
		t.Error("a form of another site waits")
	}
	b.foreign = false
	for what, values := range map[string][]string{"more than fits": {"name", strings.Repeat("x", maxKeptForm)}} {
		if name := names(b, at, values...); name != "" {
			t.Errorf("a form waits that holds %s", what)
		}
	}
	if name := names(b, "/me/security", "current", "canary", "new", "canary"); name != "" {
		t.Error("passwords wait")
	}
	first := names(b, at, "name", "<first>")
	if first == "" {
		t.Fatal("no form waits")
	}
	for i := range maxKept {
		names(b, at, "name", fmt.Sprint(i))
	}
	b.signIn("ada@acme.example")
	b.get(at+"?kept="+first).has(t, http.StatusOK, say(text.English, "page.unkept"), say(text.English, "page.unkept_text", "time", text.English.Duration(keptFor))).lacks(t, "&lt;first&gt;")
}

// A button has no form that could come back: who pressed it when the session had ended learns that nothing was done.
func TestAnActionOfAnEndedSessionIsSaidNotToBeDone(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		at := w.at("/currents/" + w.launch("warehouse"))
		for _, action := range []string{"/pause", "/test-events", "/check", "/credentials"} {
			b := w.signedIn(string(l))
			w.ended()
			p := b.post(at+action, "once", "x", "destination.secret_access_key", "canary-secret")
			p.has(t, http.StatusOK, say(l, "page.undone_sign_in")).lacks(t, say(l, "page.kept_sign_in"))
			p = b.post(p.at, "email", "ada@acme.example", "password", password)
			p.has(t, http.StatusOK, say(l, "page.undone"), say(l, "page.undone_text")).lacks(t, say(l, "page.kept"), "canary-secret")
			if path, _, _ := strings.Cut(p.at, "?"); path != at && path != at+"/credentials" {
				t.Errorf("%s comes back at %s", action, p.at)
			}
			b.get(at).has(t, http.StatusOK, say(l, "page.says_active")).lacks(t, say(l, "page.undone"))
			b.get(w.at("/currents/new?kept=zzz")).has(t, http.StatusOK, say(l, "page.unkept"))
		}
	}
}
