package page

import (
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/text"
	"github.com/millrace/millrace/internal/web"
)

func TestWhoSignsInComesBackToWhereTheyWereGoing(t *testing.T) {
	w := newWorld(t)
	b := w.browser("es-MX,es;q=0.9")
	p := b.get("/?from=mail")
	p.has(t, http.StatusOK, `<html lang="es">`, "Iniciar sesión", `action="/sign-in?next=%2F%3Ffrom%3Dmail"`)
	b.post("/sign-in?next=%2F%3Ffrom%3Dmail", "email", "ada@acme.example", "password", "wrong horse battery").
		has(t, http.StatusUnauthorized, `value="ada@acme.example"`, `role="alert"`)
	if p = b.post("/sign-in?next=%2F%3Ffrom%3Dmail", "email", "ada@acme.example", "password", password); !strings.HasPrefix(p.at, "/w/") {
		t.Errorf("after signing in at %s", p.at)
	}
	if p = b.post("/sign-out"); p.at != "/sign-in" || len(b.cookies) > 0 {
		t.Errorf("after signing out at %s with %v", p.at, b.cookies)
	}
}

func TestNobodyIsSentToAnotherServer(t *testing.T) {
	for to, want := range map[string]string{
		"/me": "/me", "/w/1?x=2": "/w/1?x=2", "": "/", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/",
		"javascript:alert(1)": "/", "/\t/evil.example": "/", "me": "/",
	} {
		if got := local(to); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}

func TestAFormOfAnotherSiteDoesNothing(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("en")
	r := newForeign("/sign-out")
	for k, v := range b.cookies {
		r.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	if code := w.code(r); code != http.StatusForbidden {
		t.Errorf("status %d, want 403", code)
	}
	b.get("/sign-in").has(t, http.StatusOK, "Ada") // still signed in, so it leads on
}

func TestAnInvitationMakesAMember(t *testing.T) {
	w := newWorld(t)
	root := control.WithActor(t.Context(), control.CommandLine())
	made, err := w.people.Invite(root, control.Invite{Email: "bob@acme.example", Workspace: w.acme.Number, Role: control.Viewer})
	must(t, err)
	link := strings.TrimPrefix(made.Link.Reveal(), "https://mill.example")
	b := w.browser("pt-BR")
	if p := b.get(link); strings.Contains(p.body, strings.TrimPrefix(link, "/invitations/")) {
		t.Errorf("the page holds its link, which works once:\n%s", p.body)
	}
	b.get(link).has(t, http.StatusOK, "bob@acme.example", "acme", `name="password"`)
	b.post(link, "name", "Bob <script>", "password", "short").has(t, http.StatusUnprocessableEntity, `value="Bob &lt;script&gt;"`, `id="password-error"`)
	if b.post(link, "name", "Bob", "password", password); len(b.cookies) == 0 {
		t.Error("not signed in")
	}
	w.browser("en").get(link).has(t, http.StatusNotFound)
}

func TestALanguageIsKept(t *testing.T) {
	w := newWorld(t)
	b := w.browser("en")
	b.get("/password?language=pt-BR").has(t, http.StatusOK, `<html lang="pt-BR">`, "Esqueci a senha", `href="?language=es"`)
	b.get("/password").has(t, http.StatusOK, `<html lang="pt-BR">`)
	b.get("/password?language=xx").has(t, http.StatusOK, `<html lang="pt-BR">`)
	s := w.signedIn("en")
	s.post("/language", "language", "xx").has(t, http.StatusNotFound)
	s.post("/language?next=/nowhere", "language", "es")
	s.cookies["millrace_language"] = "en"
	s.get("/nowhere").has(t, http.StatusNotFound, `<html lang="es">`)
}

func TestWhoIsSignedInTakesALinkUpWithTheirAccount(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		first, needed, err := w.people.FirstLink(t.Context())
		must(t, err)
		if !needed {
			t.Fatal("there is an administrator")
		}
		link := strings.TrimPrefix(first.Reveal(), "https://mill.example")
		w.browser(string(l)).get(link).has(t, http.StatusOK, `name="password"`, say(l, "page.first"))
		b := w.signedIn(string(l))
		b.get(link).has(t, http.StatusOK, say(l, "page.take_up"), say(l, "page.take_up_text", "email", "ada@acme.example"), `formaction="/sign-out"`).lacks(t, `name="password"`)
		b.post(link).has(t, http.StatusOK, `href="/installation"`)
		w.browser("en").get(link).has(t, http.StatusNotFound)
	}
}

func TestAnInvitationOfAMemberAsksThemToSignIn(t *testing.T) {
	w := newWorld(t)
	root := control.WithActor(t.Context(), control.CommandLine())
	globex, err := w.plane.CreateWorkspace(root, control.Workspace{Name: "globex"})
	must(t, err)
	made, err := w.people.Invite(root, control.Invite{Email: "ada@acme.example", Workspace: globex.Number, Role: control.Viewer})
	must(t, err)
	link := strings.TrimPrefix(made.Link.Reveal(), "https://mill.example")
	b := w.browser("es")
	p := b.get(link)
	p.has(t, http.StatusOK, `action="/sign-in?next=`)
	b.post(p.at, "email", "ada@acme.example", "password", password).has(t, http.StatusOK, say(text.Spanish, "page.take_up"), "globex")
	b.post(link).has(t, http.StatusOK, "globex")
}

func TestAnInvitationOfSomebodyElseIsNotTakenUp(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		globex, err := w.plane.CreateWorkspace(control.WithActor(t.Context(), control.CommandLine()), control.Workspace{Name: "globex"})
		must(t, err)
		made, err := w.people.Invite(control.WithActor(t.Context(), control.CommandLine()), control.Invite{Email: "carol@acme.example", Workspace: globex.Number, Role: control.Editor})
		must(t, err)
		link := strings.TrimPrefix(made.Link.Reveal(), "https://mill.example")
		b := w.signedIn(string(l))
		b.get(link).has(t, http.StatusOK, "globex", `action="/sign-out"`,
			say(l, "page.take_up_other", "email", "ada@acme.example", "invited", "carol@acme.example", "by", made.Ticket.By)).lacks(t, ">"+say(l, "page.take_up")+"<")
		b.post(link).has(t, http.StatusUnprocessableEntity, "carol@acme.example", `action="/sign-out"`)
		b.get("/").lacks(t, "globex")
		b.post("/sign-out")
		b.get(link).has(t, http.StatusOK, `name="password"`, say(l, "page.join")) // she has no account yet
	}
}

func TestWhatTakesAFreshSignInLeadsToOne(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		b := w.signedIn(string(l))
		w.later = 20 * time.Minute
		p := b.post("/me/tokens/new", "name", "cron", "days", "30")
		p.has(t, http.StatusForbidden, `value="cron"`, say(l, "control.sign_in_again"), `href="/sign-in?again=&amp;next=%2Fme%2Ftokens%2Fnew"`)
		b.post("/me/two-factor").has(t, http.StatusForbidden, say(l, "page.sign_in_again"))
		b.get("/sign-in?next=/me/tokens/new").has(t, http.StatusOK, say(l, "page.me_token_life")) // known, and led on
		b.get("/sign-in?again=&next=/me/tokens/new").has(t, http.StatusOK, `value="ada@acme.example"`)
		b.post("/sign-in?next=%2Fme%2Ftokens%2Fnew", "email", "ada@acme.example", "password", password).has(t, http.StatusOK, say(l, "page.me_token_life"))
		b.post("/me/tokens/new", "name", "cron", "days", "30").has(t, http.StatusOK, say(l, "page.me_token_made"))
	}
}

func TestASignInElsewhereThatFailsIsSaidOnThePage(t *testing.T) {
	w := newWorldOf(t, web.OIDC{Issuer: "http://127.0.0.1:1", ClientID: "millrace", BaseURL: func() string { return "https://mill.example" }})
	for _, l := range text.Languages() {
		b := w.browser(string(l))
		b.get("/sign-in?next=%2Fme").has(t, http.StatusOK, say(l, "page.sign_in_elsewhere"), `href="/auth/oidc?next=%2Fme"`)
		b.get("/auth/oidc?next=%2Fme").has(t, http.StatusServiceUnavailable, say(l, "oidc.unreachable"), say(l, "oidc.unreachable_hint"), `name="password"`)
		b.get("/auth/oidc/callback?code=x&state=y").has(t, http.StatusForbidden, say(l, "oidc.not_begun"), say(l, "oidc.anew_hint"))
	}
	w = newWorld(t)
	w.browser("en").get("/auth/oidc").has(t, http.StatusNotFound)
	w.browser("en").get("/sign-in").lacks(t, "/auth/oidc")
}

func TestWhoComesBackFromElsewhereGoesOn(t *testing.T) {
	api := http.NewServeMux() // that part of it, for a provider who says yes
	api.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		httpd.WriteError(w, httptest.NewRequest("GET", "/", nil), fault.New(fault.Unauthorized, "", "nobody"))
	})
	api.HandleFunc("/auth/oidc", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://provider.example/authorize", http.StatusSeeOther)
	})
	api.HandleFunc("/auth/oidc/callback", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusSeeOther) })
	h, err := New(Config{}, Deps{API: api, Logger: slog.New(slog.DiscardHandler), BaseURL: func() string { return "" }})
	must(t, err)
	for next, want := range map[string]string{"/w/1/files?type=a&hour=2": "/w/1/files?type=a&hour=2", "//evil.example": "/", "": "/"} {
		away := httptest.NewRecorder()
		h.ServeHTTP(away, httptest.NewRequest("GET", "/auth/oidc?next="+url.QueryEscape(next), nil))
		if to := away.Header().Get("Location"); to != "https://provider.example/authorize" {
			t.Errorf("sent to %s", to)
		}
		r := httptest.NewRequest("GET", "/auth/oidc/callback?code=x", nil)
		for _, k := range away.Result().Cookies() {
			r.AddCookie(k)
		}
		back := httptest.NewRecorder()
		h.ServeHTTP(back, r)
		if to := back.Header().Get("Location"); to != want {
			t.Errorf("after %q at %q, want %q", next, to, want)
		}
	}
}

func TestTheSignInPageOfAFreshServerSaysHowTheFirstComesIn(t *testing.T) {
	w := newWorld(t) // Ada administers a workspace, and nobody the installation
	for _, l := range text.Languages() {
		w.browser(string(l)).get("/sign-in").has(t, http.StatusOK, html.EscapeString(say(l, "page.first_needed")), html.EscapeString(say(l, "page.first_needed_text")))
	}
	w.installs()
	w.browser("en").get("/sign-in").has(t, http.StatusOK).lacks(t, say(text.English, "page.first_needed"))
}
