package page

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

func TestEachScopeIsOfferedOnce(t *testing.T) {
	var offered []string
	for _, g := range scopeGroups {
		for _, s := range g.scopes {
			offered = append(offered, s.name)
		}
	}
	var all []string
	for _, s := range control.Scopes() {
		all = append(all, string(s))
	}
	slices.Sort(offered)
	slices.Sort(all)
	if !slices.Equal(offered, all) {
		t.Errorf("offered are\n%q, there are\n%q", offered, all)
	}
}

func TestAKeyIsShownOnceAndRevoked(t *testing.T) {
	w := newWorld(t)
	shown := regexp.MustCompile(`mr_[a-z0-9]{26}`)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		name := "<i>" + string(l)
		escaped := "&lt;i&gt;" + string(l)
		b.get(w.at("/settings/keys/new")).has(t, http.StatusOK, say(l, "page.scope_users_delete"), say(l, "page.scopes_send"), `value="events.write" checked`)
		made := b.post(w.at("/settings/keys/new"), "once", "1", "name", name, "scopes", "events.write", "scopes", "users.track", "networks", "203.0.113.0/24\r\n2001:db8::/32", "expires_at", "2999-12-31").
			has(t, http.StatusCreated, say(l, "page.key_made_text"), "curl https://mill.example/v1/events")
		if again := b.post(w.at("/settings/keys/new"), "once", "1", "name", name, "scopes", "events.write", "scopes", "users.track", "networks", "203.0.113.0/24\r\n2001:db8::/32", "expires_at", "2999-12-31"); shown.FindString(again.body) != shown.FindString(made.body) || shown.FindString(made.body) == "" {
			t.Error("sent twice, the form gave two keys, or none")
		}
		list := b.get(w.at("/settings/keys"))
		list.has(t, http.StatusOK, escaped, "203.0.113.0/24, 2001:db8::/32", "events.write, users.track", say(l, "page.status_active"))
		at := linkTo(t, list, w.at("/settings/keys"))
		p := b.get(at)
		p.has(t, http.StatusOK, escaped, say(l, "page.key_says_unused"), say(l, "page.rejected_none_text"), unknownKey)
		p.lacks(t, say(l, "page.rejected_more"))
		w.rejected = []control.Rejection{{At: time.Now(), Problems: []fault.Problem{{Field: "user_id", Code: "required"}}, More: true}}
		b.get(at).has(t, http.StatusOK, say(l, "page.rejected_more"))
		w.rejected = nil
		if shown.MatchString(p.body) || shown.MatchString(list.body) {
			t.Error("the key is shown again")
		}
		b.post(at+"/revoke", "confirm", "x").has(t, http.StatusUnprocessableEntity, say(l, "page.revoke_key_text", "name", escaped))
		b.post(at+"/revoke", "confirm", name).has(t, http.StatusOK, say(l, "page.told_key_revoked", "name", escaped), say(l, "page.keys_none"))
	}
}

func TestWhatIsWrongWithANewKeyStandsBesideItsField(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.post(w.at("/settings/keys/new"), "name", "", "networks", "203.0.113.0/24, home, away", "expires_at", "2001-01-01").
			has(t, http.StatusUnprocessableEntity, say(l, "field.name_needed"), say(l, "field.scopes_needed"), `id="networks-error"`, "home", "away", say(l, "field.past"), `value="2001-01-01"`, "203.0.113.0/24, home, away</textarea>")
		b.post(w.at("/settings/keys/new"), "name", "producer", "scopes", "users.track", "expires_at", "soon").
			has(t, http.StatusUnprocessableEntity, `id="expires_at-error"`, say(l, "page.no_day"), `value="producer"`, `value="users.track" checked`)
		b.post(w.at("/settings/keys/new"), "name", "", "networks", "home", "expires_at", "soon").
			has(t, http.StatusUnprocessableEntity, say(l, "field.name_needed"), say(l, "field.scopes_needed"), `id="networks-error"`, `id="expires_at-error"`, say(l, "page.no_day"), `value="soon"`).
			lacks(t, say(l, "field.past"))
	}
}

// What a visitor may not give is not offered, and refused beside the scopes when it is asked for all the same.
func TestScopesOfPersonalDataAreOfferedToWhoMayExportThem(t *testing.T) {
	w := newWorld(t)
	at := w.at("/settings/keys/new")
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get(at).has(t, http.StatusOK, `value="users.track"`, say(l, "page.scopes_without_export")).lacks(t, "users.export.", say(l, "page.scopes_export"))
		b.post(at, "name", "crm", "scopes", "users.export.ids").has(t, http.StatusForbidden, say(l, "control.data_rights"), `id="scopes"`)
	}
	_, _, err := w.people.AddMember(control.WithActor(t.Context(), control.CommandLine()), control.AddMember{Email: "ada@acme.example", Workspace: w.acme.Number, ExportUserData: true})
	must(t, err)
	b := w.signedIn("en")
	b.get(at).has(t, http.StatusOK, `value="users.export.ids"`, `value="users.export.segment"`).lacks(t, say(text.English, "page.scopes_without_export"))
	b.post(at, "name", "crm", "scopes", "users.export.ids").has(t, http.StatusCreated, say(text.English, "page.key_made"))
}

func TestRejectedEventsSayWhatToMend(t *testing.T) {
	w := newWorld(t)
	w.signedIn("en").post(w.at("/settings/keys/new"), "name", "producer", "scopes", "events.write").has(t, http.StatusCreated)
	for code := range reasons {
		w.rejected = append(w.rejected, control.Rejection{At: time.Now(), Sample: `{"<b>":"x"}`, Problems: []fault.Problem{{Field: "<i>", Code: code, Message: "Untold."}}})
	}
	for code := range wholeReasons {
		w.rejected = append(w.rejected, control.Rejection{At: time.Now(), Whole: true, Sample: `{"whole":x`, Problems: []fault.Problem{{Code: code, Message: "Untold."}}})
	}
	w.rejected = append(w.rejected, w.rejected...)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		p := b.get(linkTo(t, b.get(w.at("/settings/keys")), w.at("/settings/keys")))
		p.has(t, http.StatusOK, say(l, "page.key_says_rejected", "n", 2*(len(reasons)+len(wholeReasons))), "{&#34;whole&#34;:x", "{&#34;&lt;b&gt;&#34;:&#34;x&#34;}", "&lt;i&gt;", "<div>2</div>")
		for _, all := range []map[string]struct{ why, mend string }{reasons, wholeReasons} {
			for _, r := range all {
				p.has(t, http.StatusOK, say(l, r.why), say(l, r.mend))
			}
		}
		p.lacks(t, "Untold.")
	}
}

// The codes are constants of the room event, whose set is closed.
func TestEachCodeOfARejectedEventHasItsReason(t *testing.T) {
	src, err := os.ReadFile("../../event/problem.go")
	must(t, err)
	codes := regexp.MustCompile(`Code\w+ += "(\w+)"`).FindAllStringSubmatch(string(src), -1)
	if len(codes) != len(reasons) {
		t.Errorf("there are %d codes and %d reasons", len(codes), len(reasons))
	}
	for _, c := range codes {
		if _, ok := reasons[c[1]]; !ok {
			t.Errorf("%s has no reason", c[1])
		}
	}
}

func TestTheExamplesOfASignatureAreTheGuides(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/notifications.md")
	must(t, err)
	for _, example := range []string{verifyPython, verifyGo} {
		if !strings.Contains(string(guide), example) {
			t.Errorf("docs/notifications.md lacks\n%s", example)
		}
	}
}
