package page

import (
	"net/http"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/control"
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
