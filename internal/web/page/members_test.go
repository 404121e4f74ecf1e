package page

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/text"
)

func TestTheSettingsAreShownInEveryLanguage(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		for _, tab := range settingsTabs {
			b.get(w.at("/settings"+tab.path)).has(t, http.StatusOK, "<h1>"+say(l, tab.key)+"</h1>", `id="says"`, say(l, "page.rail_settings"), `aria-current="page">`+say(l, tab.key))
		}
		b.get(w.at("/settings")).has(t, http.StatusOK, "acme", `name="version"`, say(l, "page.unknown_reject_text"))
		b.get(w.at("/settings/members")).has(t, http.StatusOK, "ada@acme.example", say(l, "page.invite"), say(l, "page.invitations_none"))
		b.get(w.at("/settings/keys")).has(t, http.StatusOK, say(l, "page.keys_none"), say(l, "page.create_key"))
		b.get(w.at("/settings/webhooks")).has(t, http.StatusOK, say(l, "page.webhooks_none"), say(l, "page.create_webhook"))
		b.get(w.at("/settings/changes")).has(t, http.StatusOK, say(l, "page.deed_workspace_create"), say(l, "page.by_command_line"))
	}
}

func TestAWorkspaceIsRenamedByWhoLooksAfterTheInstallation(t *testing.T) {
	w := newWorld(t)
	w.signedIn("en").get(w.at("/settings")).has(t, http.StatusOK, say(text.English, "page.workspace_name_whose")).lacks(t, `name="name"`)
	w.signedIn("en").post(w.at("/settings"), "name", "mine", "unknown_fields", "ignore", "language", "es").has(t, http.StatusOK, say(text.English, "page.told_workspace", "name", "acme"), `value="ignore" checked`)
	w.installs()
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		version := field1(t, b.get(w.at("/settings")), "version")
		b.post(w.at("/settings"), "version", version, "name", " a/b", "unknown_fields", "ignore", "language", "es", "time_zone", "Mars").
			has(t, http.StatusUnprocessableEntity, `value=" a/b"`, `id="name-error"`, `id="time_zone-error"`, `value="Mars"`, `value="ignore" checked`, `value="es" selected`)
		name := "<b>" + string(l)
		b.post(w.at("/settings"), "version", version, "name", name, "unknown_fields", "ignore", "language", "es", "time_zone", " America/Sao_Paulo").
			has(t, http.StatusOK, `value="America/Sao_Paulo"`, say(l, "page.workspace_zone_hint"), say(l, "page.told_workspace", "name", "&lt;b&gt;"+string(l)), `value="&lt;b&gt;`+string(l)+`"`)
		b.post(w.at("/settings"), "version", version, "name", "mine", "unknown_fields", "reject", "language", "es").
			has(t, http.StatusPreconditionFailed, `value="mine"`, say(l, "page.now_is", "name", say(l, "page.name"), "value", "&lt;b&gt;"+string(l)), say(l, "page.save_anyway"))
	}
}

// field1 gives the value of a hidden field.
func field1(t *testing.T, p seen, name string) string {
	t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("%s has no field %s:\n%s", p.at, name, p.body)
	}
	return strings.ReplaceAll(m[1], "&#34;", `"`)
}

// linkTo gives the first address on a page that begins so and ends with an id.
func linkTo(t *testing.T, p seen, prefix string) string {
	t.Helper()
	m := regexp.MustCompile(`href="(` + regexp.QuoteMeta(prefix) + `/[0-9A-Za-z_-]{10,})"`).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("%s leads to nothing below %s:\n%s", p.at, prefix, p.body)
	}
	return m[1]
}

func TestSomebodyIsInvitedAndTheInvitationRevoked(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		to := strings.ToLower(string(l)) + "@acme.example"
		b.get(w.at("/settings/members/invite")).has(t, http.StatusOK, say(l, "page.role_viewer_text"), say(l, "page.role_administrator_text"), `value="viewer" checked`)
		b.post(w.at("/settings/members/invite"), "email", `"><i>`, "role", "editor", "language", "es").
			has(t, http.StatusUnprocessableEntity, `value="&#34;&gt;&lt;i&gt;"`, `id="email-error"`, say(l, "field.email"), `value="editor" checked`, `value="es" selected`)
		made := b.post(w.at("/settings/members/invite"), "once", "1", "email", to, "role", "editor", "language", "es").
			has(t, http.StatusCreated, say(l, "page.unmailed", "email", to), say(l, "notify.no_mail"), "https://mill.example/invitations/")
		again := b.post(w.at("/settings/members/invite"), "once", "1", "email", to, "role", "editor", "language", "es")
		link := regexp.MustCompile(`https://mill.example/invitations/\w+`)
		if link.FindString(again.body) != link.FindString(made.body) {
			t.Error("sent twice, the form made two invitations")
		}
		list := b.get(w.at("/settings/members"))
		list.has(t, http.StatusOK, to, say(l, "page.role_editor"), say(l, "page.revoke"))
		revoke := regexp.MustCompile(regexp.QuoteMeta(w.at("/settings/invitations/")) + `\w+/revoke`).FindString(list.body)
		b.get(revoke).has(t, http.StatusOK, say(l, "page.revoke_invitation_text", "email", to))
		b.post(revoke).has(t, http.StatusOK, say(l, "page.told_revoked", "name", to), say(l, "page.invitations_none"))
		b.post(revoke).has(t, http.StatusNotFound)
	}
}

func TestWhatAMemberMayDoIsChangedUntilTheyAreRemoved(t *testing.T) {
	w := newWorld(t)
	w.joined(control.Viewer, "en")
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		var at string
		for _, m := range regexp.MustCompile(`href="([^"]*/settings/members/\w{24})">([^<]*)<`).FindAllStringSubmatch(b.get(w.at("/settings/members")).body, -1) {
			if m[2] == "The viewer" {
				at = m[1]
			} else {
				b.post(m[1], "role", "viewer").has(t, http.StatusConflict, say(l, "control.last_administrator"), `value="viewer" checked`)
			}
		}
		b.get(at).has(t, http.StatusOK, "viewer@acme.example", say(l, "page.member_may"))
		b.post(at, "role", "king").has(t, http.StatusUnprocessableEntity, `id="role-error"`)
		b.post(at, "role", "editor").has(t, http.StatusOK, say(l, "page.told_member", "name", "The viewer"), say(l, "page.role_editor"))
		b.get(at+"/remove").has(t, http.StatusOK, say(l, "page.remove_text", "name", "The viewer", "workspace", "acme"), say(l, "page.confirm_label", "name", "viewer@acme.example"))
		b.post(at+"/remove", "confirm", "viewer").has(t, http.StatusUnprocessableEntity, `value="viewer"`, say(l, "page.confirm_wrong", "name", "viewer@acme.example"))
		if l == text.Spanish {
			b.post(at+"/remove", "confirm", "viewer@acme.example").has(t, http.StatusOK, say(l, "page.told_removed", "name", "The viewer"))
			b.get(at).has(t, http.StatusNotFound)
		}
	}
}

func TestWhoMayNotIsOfferedNothingAndRefused(t *testing.T) {
	w := newWorld(t)
	ada := w.signedIn("en")
	ada.post(w.at("/settings/keys/new"), "name", "producer", "scopes", "events.write").has(t, http.StatusCreated)
	ada.post(w.at("/settings/webhooks/new"), "url", "https://hooks.acme.example/x", "all", "on").has(t, http.StatusCreated)
	key, hook := linkTo(t, ada.get(w.at("/settings/keys")), w.at("/settings/keys")), linkTo(t, ada.get(w.at("/settings/webhooks")), w.at("/settings/webhooks"))
	member := linkTo(t, ada.get(w.at("/settings/members")), w.at("/settings/members"))
	for _, role := range []control.Role{control.Viewer, control.Editor} {
		b := w.joined(role, "en")
		for _, at := range []string{w.at("/settings"), w.at("/settings/members"), w.at("/settings/keys"), key, hook} {
			b.get(at).has(t, http.StatusOK)
			b.get(at).lacks(t, "/invite", "/revoke", "/remove", "/settings/changes", "/settings/keys/new")
		}
		closed := []string{"/settings/members/invite", "/settings/keys/new", "/settings/changes", strings.TrimPrefix(key, w.at("")) + "/revoke", strings.TrimPrefix(member, w.at("")) + "/remove"}
		done := map[string][]string{w.at("/settings"): {"name", "x", "unknown_fields", "reject", "language", "en"}, w.at("/settings/members/invite"): {"email", "x@acme.example"},
			w.at("/settings/keys/new"): {"name", "x", "scopes", "events.write"}, key + "/revoke": {"confirm", "producer"}, member: {"role", "viewer"}}
		if role == control.Viewer {
			b.get(w.at("/settings/webhooks")).lacks(t, "/webhooks/new")
			b.get(hook).lacks(t, "/test", "/delete")
			closed = append(closed, "/settings/webhooks/new", strings.TrimPrefix(hook, w.at(""))+"/delete")
			done[w.at("/settings/webhooks/new")], done[hook+"/test"], done[hook+"/delete"] = []string{"url", "https://x.example", "all", "on"}, nil, []string{"confirm", "https://hooks.acme.example/x"}
		}
		for _, at := range closed {
			b.get(w.at(at)).has(t, http.StatusForbidden)
		}
		for at, form := range done {
			b.post(at, form...).has(t, http.StatusForbidden)
		}
	}
	ada.get(key).has(t, http.StatusOK, "producer")
}
