package page

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/text"
)

func TestTheInstallationIsForItsAdministrators(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("en")
	b.get(w.at("/currents")).has(t, http.StatusOK, `href="/me"`).lacks(t, `href="/installation"`)
	for _, path := range []string{"/installation", "/installation/people", "/installation/notices"} {
		b.get(path).has(t, http.StatusForbidden)
	}
	b.post("/installation/workspaces/new", "name", "mine").has(t, http.StatusForbidden)
	w.installs()
	b.get(w.at("/currents")).has(t, http.StatusOK, `href="/installation"`, `href="/workspaces"`)
}

func TestTheMachineIsShown(t *testing.T) {
	w := newWorld(t)
	w.installs()
	for _, l := range text.Languages() {
		w.signedIn(string(l)).get("/installation").has(t, http.StatusOK, say(l, "page.machine_well"), say(l, "page.machine_head"), "test", "<progress", "1 GiB")
	}
	w.machine.ExportStoreFails = true
	for _, l := range text.Languages() {
		w.signedIn(string(l)).get("/installation").has(t, http.StatusOK, say(l, "page.machine_exports_fail"), say(l, "page.machine_exports_fail_text"))
	}
}

func TestAWorkspaceIsMade(t *testing.T) {
	w := newWorld(t)
	w.installs()
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get("/installation/workspaces/new").has(t, http.StatusOK, `<option value="`+string(l)+`" selected>`)
		b.post("/installation/workspaces/new", "name", "a/b <i>", "language", "es").has(t, http.StatusUnprocessableEntity, `value="a/b &lt;i&gt;"`, `id="name-error"`, `<option value="es" selected>`)
		b.post("/installation/workspaces/new", "name", "acme", "language", "es").has(t, http.StatusConflict, `role="alert"`, `id="name-error"`, html.EscapeString(say(l, "control.workspace_taken", "name", "acme")))
		b.post("/installation/workspaces/new", "name", "of "+string(l), "language", "es").has(t, http.StatusOK, say(l, "page.spaces_made", "name", "of "+string(l)), say(l, "page.currents_none"))
		b.get("/workspaces").has(t, http.StatusOK, "of "+string(l), say(l, "page.role_administrator")).lacks(t, say(l, "page.spaces_no_seat")) // who made it administers it
		b.get("/workspaces?q=OF").has(t, http.StatusOK, "of "+string(l), `value="OF"`).lacks(t, ">acme</a></div></td>")
		b.get("/workspaces?q=%3Ci%3E").has(t, http.StatusOK, say(l, "page.nothing_found")).lacks(t, "<i>")
	}
}

func TestPeopleAreLookedAfter(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		w.installs()
		bob, _, err := w.people.AddMember(control.WithActor(t.Context(), control.CommandLine()), control.AddMember{Email: "bob@acme.example", Name: "Bob <i>", Password: secret.New(password), Workspace: w.acme.Number, Role: control.Viewer})
		must(t, err)
		b, at := w.signedIn(string(l)), "/installation/people/"+string(bob.ID)
		b.get("/installation/people").has(t, http.StatusOK, "Bob &lt;i&gt;", "bob@acme.example", at, say(l, "page.people_looks_after")).lacks(t, "<i>")
		b.get("/installation/people?q=BOB").has(t, http.StatusOK, "bob@acme.example").lacks(t, "ada@acme.example")
		b.get(at).has(t, http.StatusOK, say(l, "page.people_make"), at+"/remove").lacks(t, at+"/two-factor")
		b.post(at+"/administrator").has(t, http.StatusOK, say(l, "page.people_administrator_text"), say(l, "page.people_made", "name", "Bob &lt;i&gt;"))
		b.post(at+"/step-down", "confirm", "bob").has(t, http.StatusUnprocessableEntity, `id="confirm-error"`)
		b.post(at+"/step-down", "confirm", "bob@acme.example").has(t, http.StatusOK, say(l, "page.people_make"))
		b.post(at+"/two-factor", "confirm", "bob@acme.example").has(t, http.StatusOK, say(l, "page.people_factor_gone", "name", "Bob &lt;i&gt;"))
		b.get(at+"/remove").has(t, http.StatusOK, say(l, "page.people_remove_text", "email", "bob@acme.example"))
		b.post(at+"/remove", "confirm", "bob@acme.example").has(t, http.StatusOK, say(l, "page.people_removed", "name", "Bob &lt;i&gt;")).lacks(t, "bob@acme.example")
		b.get(at).has(t, http.StatusNotFound)
		ada := regexp.MustCompile(`/installation/people/[0-9a-f]{24}`).FindString(b.get("/installation/people").body)
		b.post(ada+"/step-down", "confirm", "ada@acme.example").has(t, http.StatusConflict, `role="alert"`) // the last one
	}
}

func TestAnAdministratorIsInvited(t *testing.T) {
	w := newWorld(t)
	w.installs()
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.post("/installation/people/invite", "email", "nobody <i>").has(t, http.StatusUnprocessableEntity, `id="email-error"`, "nobody &lt;i&gt;")
		email := "eva-" + strings.ToLower(string(l)) + "@acme.example"
		p := b.post("/installation/people/invite", "email", email).has(t, http.StatusOK, say(l, "page.people_unsent"), "https://mill.example/invitations/")
		list := b.get("/installation/people").has(t, http.StatusOK, email, say(l, "page.people_invitations"))
		list.lacks(t, regexp.MustCompile(`/invitations/[^<"]+`).FindString(p.body))
		revoke := regexp.MustCompile(`/installation/invitations/[^/"]+/revoke`).FindString(list.body)
		b.get(revoke).has(t, http.StatusOK, email)
		b.post(revoke, "confirm", email).has(t, http.StatusOK, say(l, "page.people_revoked", "email", email))
		b.get(revoke).has(t, http.StatusNotFound)
	}
}

func TestTheLogOfAllChangesIsForInstallationAdministrators(t *testing.T) {
	w := newWorld(t)
	w.signedIn("en").get("/installation/changes").has(t, http.StatusForbidden)
	w.installs()
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get("/installation/changes").has(t, http.StatusOK, say(l, "page.machine_changes_say"), say(l, "page.deed_workspace_create"), `<div class="muted small">acme</div>`, "ada@acme.example")
		b.get("/installation/changes?kind=token").has(t, http.StatusOK, say(l, "page.changes_none"), `<option value="token" selected>`)
		b.get("/installation/changes?from=x").has(t, http.StatusUnprocessableEntity, `id="from-error"`)
	}
}
