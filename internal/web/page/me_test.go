package page

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/text"
)

func TestMembersDecideAboutThemselves(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get("/me").has(t, http.StatusOK, say(l, "page.me_mail_urgent"), `list="time_zone-list"`, `<option value="America/Sao_Paulo">`, `aria-current="page"`, "ada@acme.example")
		b.post("/me", "name", "", "language", string(l), "time_zone", "Mars/Olympus", "mail", "urgent").
			has(t, http.StatusUnprocessableEntity, `id="name-error"`, `id="time_zone-error"`, `value="Mars/Olympus"`, `value="urgent" checked`, say(l, "field.time_zone"))
		b.post("/me", "name", "Ada <i>", "language", "", "time_zone", "America/Sao_Paulo", "mail", "all").
			has(t, http.StatusOK, say(l, "page.me_saved"), "Ada &lt;i&gt;", "-03", `value="all" checked`)
	}
}

func TestAChangeOfOneselfUndoesNoOther(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("en")
	version := regexp.MustCompile(`name="version" value="([^"]+)"`).FindStringSubmatch(b.get("/me").body)[1]
	version = strings.ReplaceAll(version, "&#34;", `"`)
	b.post("/me", "version", version, "name", "One").has(t, http.StatusOK, `value="One"`)
	b.post("/me", "version", version, "name", "Two").has(t, http.StatusPreconditionFailed, `value="Two"`, `role="alert"`)
}

func TestEveryZoneIsOneThatIsTaken(t *testing.T) {
	all := strings.Fields(zones)
	if len(all) < 400 {
		t.Errorf("only %d zones", len(all))
	}
	for _, z := range all {
		if _, err := time.LoadLocation(z); err != nil {
			t.Errorf("%s: %v", z, err)
		}
	}
}

func TestThePasswordIsChanged(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		b, other := w.signedIn(string(l)), w.signedIn("en")
		b.get("/me/security").has(t, http.StatusOK, say(l, "page.me_sessions"), say(l, "page.me_session_current"), say(l, "page.me_factor_none"))
		p := b.post("/me/security", "current", "wrong horse battery", "new", "canary-secret-one")
		p.has(t, http.StatusUnprocessableEntity, `id="current-error"`, say(l, "field.password_wrong"))
		p.lacks(t, "canary-secret", "wrong horse")
		b.post("/me/security", "current", password, "new", "short").has(t, http.StatusUnprocessableEntity, `id="new-error"`)
		b.post("/me/security", "current", password, "new", password+"!").has(t, http.StatusOK, say(l, "page.me_password_changed"))
		if p := other.get("/me"); !strings.HasPrefix(p.at, "/sign-in") {
			t.Errorf("the other session goes on, at %s", p.at)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	w := newWorld(t)
	b, one := w.signedIn("es"), w.signedIn("en")
	w.signedIn("en")
	p := b.get("/me/security")
	ends := regexp.MustCompile(`/me/sessions/[^/"]+/end`).FindAllString(p.body, -1)
	if len(ends) != 2 {
		t.Fatalf("%d sessions can be ended, want 2:\n%s", len(ends), p.body)
	}
	b.post(ends[0]).has(t, http.StatusOK, say(text.Spanish, "page.me_session_ended"))
	b.post(ends[0]).has(t, http.StatusOK, say(text.Spanish, "page.me_session_ended")) // as good as before
	b.post("/me/sessions/end").has(t, http.StatusOK, say(text.Spanish, "page.me_sessions_ended")).lacks(t, "/end")
	one.get("/me").has(t, http.StatusOK, `action="/sign-in`)
}

func TestTheSecondFactorIsSetUpAndTurnedOff(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		b := w.signedIn(string(l))
		p := b.post("/me/two-factor")
		p.has(t, http.StatusOK, `class="qr"`, say(l, "page.me_factor_scan"))
		secret := strings.ReplaceAll(regexp.MustCompile(`<code id="secret">([A-Z2-7 ]+)</code>`).FindStringSubmatch(p.body)[1], " ", "")
		b.post("/me/two-factor/confirm", "code", "000000").has(t, http.StatusUnprocessableEntity, `id="code-error"`, say(l, "page.me_factor_again")).lacks(t, secret)
		code, err := totp.GenerateCode(secret, time.Now())
		must(t, err)
		b.post("/me/two-factor/confirm", "code", code).has(t, http.StatusOK, say(l, "page.me_factor_is_on"), `download="millrace-recovery-codes.txt"`, `href="data:text/plain;charset=utf-8;base64,`)
		b.get("/me/security").has(t, http.StatusOK, say(l, "page.me_factor_on"), "/me/two-factor/off")
		b.post("/me/two-factor").has(t, http.StatusConflict)
		other := w.browser(string(l))
		other.post("/sign-in?next=/me", "email", "ada@acme.example", "password", password).
			has(t, http.StatusUnauthorized, say(l, "page.code_asked"), `name="code"`, `name="email" value="ada@acme.example"`).lacks(t, password, `name="password"`)
		other.post("/sign-in?next=/me", "email", "ada@acme.example", "code", "000000").has(t, http.StatusUnauthorized, `id="code-error"`).lacks(t, `name="password"`)
		next, err := totp.GenerateCode(secret, time.Now().Add(30*time.Second))
		must(t, err)
		if p := other.post("/sign-in?next=/me", "email", "ada@acme.example", "code", next); p.at != "/me" || len(other.cookies) != 1 {
			t.Errorf("with the code at %s, with %d cookies: %s", p.at, len(other.cookies), p.body)
		}
		other = w.browser(string(l))
		other.cookies["millrace_proof"] = "mrc_past"
		other.post("/sign-in?next=/me", "email", "ada@acme.example", "code", next).has(t, http.StatusUnauthorized, say(l, "control.proof_past"), `name="password"`)
		b.post("/me/two-factor/off", "password", "canary-secret").has(t, http.StatusUnprocessableEntity, `id="password-error"`).lacks(t, "canary-secret")
		b.post("/me/two-factor/off", "password", password).has(t, http.StatusOK, say(l, "page.me_factor_is_off"))
	}
}

func TestATokenIsShownOnce(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get("/me/tokens").has(t, http.StatusOK, say(l, "page.me_tokens_none"))
		b.get("/me/tokens/new").has(t, http.StatusOK, say(l, "page.me_token_life"))
		b.post("/me/tokens/new", "name", "", "days", "30").has(t, http.StatusUnprocessableEntity, `id="name-error"`, `value="30" selected`)
		p := b.post("/me/tokens/new", "name", "cron <i>", "days", "30", "read_only", "on")
		p.has(t, http.StatusOK, say(l, "page.me_token_made"), "cron &lt;i&gt;")
		secret := regexp.MustCompile(`<code id="token">([^<]+)</code>`).FindStringSubmatch(p.body)[1]
		list := b.get("/me/tokens")
		list.has(t, http.StatusOK, "cron &lt;i&gt;", say(l, "page.me_token_reads")).lacks(t, secret)
		b.post("/me/tokens/new", "name", "cron <i>", "days", "0").has(t, http.StatusConflict, `role="alert"`, `id="name-error"`, `value="cron &lt;i&gt;"`)
		revoke := regexp.MustCompile(`/me/tokens/[^/"]+/revoke`).FindString(list.body)
		b.get(revoke).has(t, http.StatusOK, say(l, "page.confirm_label", "name", "cron &lt;i&gt;"))
		b.post(revoke, "confirm", "cron").has(t, http.StatusUnprocessableEntity, `id="confirm-error"`)
		b.post(revoke, "confirm", "cron <i>").has(t, http.StatusOK, say(l, "page.me_tokens_none"), "cron &lt;i&gt;")
		b.get(revoke).has(t, http.StatusNotFound)
	}
}

func TestAMemberLeavesAWorkspace(t *testing.T) {
	w := newWorld(t)
	root := control.WithActor(t.Context(), control.CommandLine())
	other, err := w.plane.CreateWorkspace(root, control.Workspace{Name: "globex"})
	must(t, err)
	_, _, err = w.people.AddMember(root, control.AddMember{Email: "ada@acme.example", Workspace: other.Number, Role: control.Viewer})
	must(t, err)
	b := w.signedIn("pt-BR")
	p := b.get("/workspaces")
	p.has(t, http.StatusOK, "acme", "globex", say(text.Portuguese, "page.role_viewer"))
	leave := regexp.MustCompile(`/workspaces/[^/"]+/leave`).FindAllString(p.body, -1)
	b.post(leave[0], "confirm", "acme").has(t, http.StatusConflict, `role="alert"`) // nobody else looks after it
	b.post(leave[1], "confirm", "globex").has(t, http.StatusOK, say(text.Portuguese, "page.spaces_left", "name", "globex"))
	b.get(leave[1]).has(t, http.StatusNotFound)
}

func TestBrowsersAreCalledByTheirNames(t *testing.T) {
	v := &visit{lang: text.English}
	for said, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                 "Firefox on Linux",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                  "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 Mobile/15E148 Safari/604.1": "Chrome on iPhone",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0":                  "Edge on Windows",
		"Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 Chrome/122.0 Mobile Safari/537.36":           "Samsung Internet on Android",
		"my script": "my script", "": "not known",
	} {
		if got := v.agent(said); got != want {
			t.Errorf("%s: %q, want %q", said, got, want)
		}
	}
}
