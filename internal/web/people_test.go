package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// cookieOf gives the header that a browser sends after an answer.
func cookieOf(t *testing.T, a answer) map[string]string {
	t.Helper()
	k, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
	must(t, err)
	if !k.HttpOnly || k.SameSite != http.SameSiteLaxMode || k.Path != "/" || k.MaxAge <= 0 || k.Domain != "" {
		t.Errorf("cookie %v", k)
	}
	return map[string]string{"Cookie": k.Name + "=" + k.Value}
}

// problems gives the fields of an error with their codes.
func problems(e client.Error) (all []string) {
	for _, f := range e.Fields {
		all = append(all, f.Field+" "+f.Code)
	}
	return all
}

func same[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

func TestSigningInAndOut(t *testing.T) {
	w := newWorld(t, nil)
	w.password(editor)
	in := client.SignIn{Email: " Editor@mill.example", Password: goodPassword}
	a := w.ask("POST", "/sign-in", in, nil)
	var me client.Me
	a.read(200, &me)
	h := cookieOf(t, a)
	if me.Email != mailOf(editor) || len(me.Workspaces) != 1 || me.Workspaces[0].Name != "acme" || me.Workspaces[0].Role != "editor" || !me.Password {
		t.Errorf("got %+v", me)
	}
	var sessions client.Page[client.Session]
	w.ask("GET", "/me/sessions", nil, h).read(200, &sessions)
	if len(sessions.Items) != 1 || !sessions.Items[0].Current {
		t.Errorf("sessions %+v", sessions)
	}
	out := w.ask("POST", "/sign-out", nil, h).read(204, nil)
	if k, err := http.ParseSetCookie(out.header.Get("Set-Cookie")); err != nil || k.MaxAge >= 0 {
		t.Errorf("the cookie stays: %v %v", k, err)
	}
	w.ask("GET", "/me", nil, h).refused(401)
	w.ask("POST", "/sign-out", nil, h).read(204, nil)
	w.ask("POST", "/sign-in", in, h).read(200, nil) // what is left of a session is in nobody's way
}

func TestAWrongPasswordAndAnUnknownAccountAreAnsweredAlike(t *testing.T) {
	w := newWorld(t, nil)
	w.password(editor)
	try := func(email string) (string, time.Duration) {
		began := time.Now()
		a := w.ask("POST", "/sign-in", client.SignIn{Email: email, Password: "something else"}, nil)
		return a.refused(401).Message, time.Since(began)
	}
	var known, unknown []time.Duration
	for range 7 {
		a, wrong := try(mailOf(editor))
		b, none := try("somebody@else.example")
		if a != b {
			t.Fatalf("%q and %q", a, b)
		}
		known, unknown = append(known, wrong), append(unknown, none)
	}
	slices.Sort(known)
	slices.Sort(unknown)
	// A password takes tens of milliseconds to look at; without it an answer takes less than one.
	if a, b := known[3], unknown[3]; a > 3*b || b > 3*a {
		t.Errorf("a wrong password takes %v, an unknown account %v", a, b)
	}
}

func TestAMemberDecidesWhatIsMailed(t *testing.T) {
	w := newWorld(t, nil)
	var me client.Me
	w.as(viewer, "PATCH", "/me", client.MeEdit{Mail: new("urgent")}).read(200, &me)
	if me.Mail != "urgent" {
		t.Errorf("got %+v", me)
	}
	same(t, "another word", problems(w.as(viewer, "PATCH", "/me", client.MeEdit{Mail: new("some")}).refused(422)), []string{"mail unknown_value"})
	w.as(viewer, "PATCH", "/me", client.MeEdit{Name: new("Vi")}).read(200, &me)
	if me.Mail != "urgent" {
		t.Errorf("another change took it away: %+v", me)
	}
}

func TestOtherSessionsEndTogether(t *testing.T) {
	w := newWorld(t, nil)
	w.password(editor)
	in := client.SignIn{Email: mailOf(editor), Password: goodPassword}
	mine, other := cookieOf(t, w.ask("POST", "/sign-in", in, nil)), cookieOf(t, w.ask("POST", "/sign-in", in, nil))
	w.ask("DELETE", "/me/sessions", nil, mine).read(204, nil)
	w.ask("GET", "/me", nil, other).refused(401)
	w.ask("GET", "/me", nil, mine).read(200, nil)
}

func TestTheSecondFactor(t *testing.T) {
	w := newWorld(t, nil)
	w.password(editor)
	h := w.session(editor)
	w.ask("PUT", "/me/two-factor", client.TwoFactorCode{Code: "000000"}, h).refused(409) // not begun
	var start client.TwoFactorStart
	w.ask("POST", "/me/two-factor", nil, h).read(200, &start)
	if u, err := url.Parse(start.URI); err != nil || u.Query().Get("secret") != start.Secret || start.Secret == "" {
		t.Errorf("got %+v", start)
	}
	if e := w.ask("PUT", "/me/two-factor", client.TwoFactorCode{Code: "x"}, h).refused(422); e.Fields[0].Field != "code" {
		t.Errorf("got %v", e)
	}
	code := func(ago time.Duration) string {
		c, err := totp.GenerateCode(start.Secret, time.Now().Add(-ago))
		must(t, err)
		return c
	}
	var recovery client.RecoveryCodes
	w.ask("PUT", "/me/two-factor", client.TwoFactorCode{Code: code(30 * time.Second)}, h).read(200, &recovery)
	signIn := func(code string) answer {
		return w.ask("POST", "/sign-in", client.SignIn{Email: mailOf(editor), Password: goodPassword, Code: code}, nil)
	}
	same(t, "without a code", problems(signIn("").refused(401)), []string{"code required"})
	same(t, "with a wrong one", problems(signIn("123").refused(401)), []string{"code wrong"})
	signIn(recovery.Codes[0]).read(200, nil)
	same(t, "with a recovery code that is spent", problems(signIn(recovery.Codes[0]).refused(401)), []string{"code wrong"})
	w.ask("DELETE", "/me/two-factor", client.TwoFactorProof{Password: "no"}, h).refused(422)
	w.ask("DELETE", "/me/two-factor", client.TwoFactorProof{Password: goodPassword}, h).read(204, nil)
	signIn("").read(200, nil)
}

func TestAnInvitationIsTakenUpOnce(t *testing.T) {
	w := newWorld(t, nil)
	var made client.InvitationIssued
	w.as(admin, "POST", "/workspaces/acme/invitations", client.Invite{Email: "new@mill.example", Role: "editor"}).read(201, &made)
	if made.Mailed || made.MailProblem == "" || !strings.Contains(made.Link, "/invitations/") {
		t.Fatalf("without a mail server: %+v", made)
	}
	token := made.Link[strings.LastIndexByte(made.Link, '/')+1:]
	var link client.Link
	w.ask("POST", "/invitations/look", client.LinkToken{Token: token}, nil).read(200, &link)
	if link.Kind != "invitation" || link.Email != "new@mill.example" || link.Workspace != "acme" || link.Role != "editor" || link.By != mailOf(admin) || link.Known {
		t.Errorf("got %+v", link)
	}
	same(t, "a bad answer", problems(w.ask("POST", "/accept", client.Accept{Token: token, Password: "short", TimeZone: "Mars/Olympus"}, nil).refused(422)),
		[]string{"name required", "time_zone unknown_value", "password too_short"})
	a := w.ask("POST", "/accept", client.Accept{Token: token, Name: "New", Password: goodPassword}, nil)
	var me client.Me
	a.read(200, &me)
	if len(me.Workspaces) != 1 || me.Workspaces[0].Role != "editor" {
		t.Errorf("got %+v", me)
	}
	w.ask("GET", "/workspaces/acme", nil, cookieOf(t, a)).read(200, nil)
	w.ask("POST", "/accept", client.Accept{Token: token, Name: "New", Password: goodPassword}, nil).refused(404)

	// Somebody who is a member already signs in and takes it up.
	w.as(admin, "POST", "/workspaces/acme/invitations", client.Invite{Email: mailOf(stranger)}).read(201, &made)
	token = made.Link[strings.LastIndexByte(made.Link, '/')+1:]
	w.ask("POST", "/accept", client.Accept{Token: token, Name: "S", Password: goodPassword}, nil).refused(409)
	same(t, "as somebody else", problems(w.as(viewer, "POST", "/me/invitations", client.LinkToken{Token: token}).refused(422)), []string{"token conflict"})
	same(t, "and with a field too many", problems(w.as(viewer, "POST", "/me/invitations", map[string]string{"token": token, "role": "editor"}).refused(422)), []string{"role unknown_field", "token conflict"})
	w.as(stranger, "POST", "/me/invitations", client.LinkToken{Token: token}).read(200, &me)
	if len(me.Workspaces) != 2 {
		t.Errorf("got %+v", me)
	}
	w.as(admin, "POST", "/workspaces/acme/invitations", client.Invite{Email: mailOf(stranger)}).refused(409)
	w.as(admin, "POST", "/workspaces/acme/invitations", client.Invite{Email: "x@mill.example", Installation: true}).refused(403)
}

func TestALinkSetsAPasswordAndEndsSessions(t *testing.T) {
	w := newWorld(t, nil)
	h := w.session(editor)
	w.ask("POST", "/password-resets", client.PasswordReset{Email: "somebody@else.example"}, nil).read(204, nil)
	token := w.ticket(control.Ticket{Kind: control.TicketReset, Email: mailOf(editor), Member: w.member(editor).ID})
	same(t, "the address", problems(w.ask("PUT", "/password", client.PasswordSet{Token: token, Password: mailOf(editor)}, nil).refused(422)), []string{"password too_easy"})
	w.ask("PUT", "/password", client.PasswordSet{Token: token, Password: goodPassword}, nil).read(204, nil)
	w.ask("PUT", "/password", client.PasswordSet{Token: token, Password: goodPassword}, nil).refused(404)
	w.ask("GET", "/me", nil, h).refused(401)
	h = w.session(editor)
	same(t, "another's password", problems(w.ask("PUT", "/me/password", client.PasswordChange{Current: "x", New: "ten green bottles"}, h).refused(422)), []string{"current wrong"})
	w.ask("PUT", "/me/password", client.PasswordChange{Current: goodPassword, New: "ten green bottles"}, h).read(204, nil)
	w.ask("POST", "/sign-in", client.SignIn{Email: mailOf(editor), Password: "ten green bottles"}, nil).read(200, nil)
}

func TestATokenIsShownOnceAndWorksUntilItIsRevoked(t *testing.T) {
	w := newWorld(t, nil)
	h := w.session(editor)
	var made, again client.TokenIssued
	ask := func() answer {
		return w.ask("POST", "/me/tokens", client.TokenCreate{Name: "deploy"}, with(h, keyHeader, "k"))
	}
	a := ask().read(201, &made)
	ask().read(201, &again) // a request that was lost on its way gets the very token
	if made.Secret == "" || again != made {
		t.Errorf("%+v, then %+v", made, again)
	}
	if stored := w.ask("GET", "/me/tokens", nil, h).body; strings.Contains(stored, made.Secret) {
		t.Error("the list shows the secret")
	}
	w.ask("POST", "/me/tokens", client.TokenCreate{Name: "deploy"}, h).refused(409)
	past := time.Now().Add(-time.Hour)
	same(t, "a bad one", problems(w.ask("POST", "/me/tokens", client.TokenCreate{ExpiresAt: &past}, h).refused(422)), []string{"name required", "expires_at out_of_range"})
	w.ask("GET", "/me", nil, bearer(made.Secret)).read(200, nil)
	w.ask("POST", "/me/tokens", client.TokenCreate{Name: "x"}, bearer(made.Secret)).refused(403)
	w.ask("DELETE", strings.TrimPrefix(a.header.Get("Location"), prefix), nil, h).read(204, nil)
	w.ask("GET", "/me", nil, bearer(made.Secret)).refused(401)
}

func TestMembersOfAWorkspace(t *testing.T) {
	w := newWorld(t, nil)
	var all client.Page[client.Member]
	w.as(viewer, "GET", "/workspaces/acme/members", nil).read(200, &all)
	if len(all.Items) != 4 {
		t.Errorf("%d members", len(all.Items))
	}
	at := func(who string) string { return "/workspaces/acme/members/" + string(w.member(who).ID) }
	role := func(r string) client.MemberEdit { return client.MemberEdit{Role: &r} }
	var m client.Member
	w.as(admin, "PATCH", at(viewer), role("editor")).read(200, &m)
	if m.Role != "editor" || m.Email != mailOf(viewer) {
		t.Errorf("got %+v", m)
	}
	same(t, "no role", problems(w.as(admin, "PATCH", at(viewer), role("owner")).refused(422)), []string{"role unknown_value"})
	w.as(admin, "PATCH", at(admin), role("viewer")).refused(409) // the last administrator
	yes := true
	w.as(admin, "PATCH", at(admin), client.MemberEdit{ExportUserData: &yes}).refused(403) // nobody gives themselves more
	w.as(admin, "DELETE", at(admin), nil).refused(409)
	w.as(admin, "DELETE", at(exporter), nil).read(204, nil)
	w.as(exporter, "GET", "/workspaces/acme", nil).refused(404)
	w.as(viewer, "DELETE", "/me/workspaces/acme", nil).read(204, nil)
	w.as(viewer, "GET", "/workspaces/acme", nil).refused(404)
}

func TestAPIKeys(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	w := newWorld(t, func(_ *Config, d *Deps) {
		d.Rejected = func(control.KeyID) (int64, []control.Rejection) {
			return 7, []control.Rejection{{At: now, Index: 3, Problems: []fault.Problem{{Field: "time", Code: "required", Message: "A time is needed."}}, More: true, Sample: `{"x":"xx"}`}}
		}
	})
	h := w.session(admin)
	past := now.Add(-time.Hour)
	same(t, "all at once", problems(w.ask("POST", "/workspaces/acme/api-keys", client.APIKeyCreate{Scopes: []string{"event.write"}, Networks: []string{"10.0.0.0/8", "home"}, ExpiresAt: &past}, h).refused(422)),
		[]string{"name required", "scopes[0] unknown_value", "expires_at out_of_range", "networks[1] invalid"})
	var k client.APIKeyIssued
	a := w.ask("POST", "/workspaces/acme/api-keys", client.APIKeyCreate{Name: "p", Scopes: []string{"events.write"}, Networks: []string{"203.0.113.7"}}, h).read(201, &k)
	if !strings.HasPrefix(k.Key, "mr_") || !slices.Equal(k.Networks, []string{"203.0.113.7/32"}) {
		t.Errorf("got %+v", k)
	}
	w.ask("POST", "/workspaces/acme/api-keys", client.APIKeyCreate{Name: "p", Scopes: []string{"events.write"}}, h).refused(409)
	at := strings.TrimPrefix(a.header.Get("Location"), prefix)
	if one := w.as(viewer, "GET", at, nil).read(200, nil); strings.Contains(one.body, k.Key) {
		t.Error("the key is shown again")
	}
	var r client.RejectedEvents
	if shown := w.as(viewer, "GET", at+"/rejected-events", nil).read(200, &r); !strings.Contains(shown.body, `"errors_truncated":true`) {
		t.Errorf("that there were more errors is not said: %s", shown.body)
	}
	if r.Total != 7 || len(r.Items) != 1 || r.Items[0].Index != 3 || r.Items[0].Errors[0].Code != "required" || r.Items[0].Sample != `{"x":"xx"}` {
		t.Errorf("got %+v", r)
	}
	w.ask("DELETE", at, nil, h).read(204, nil)
	w.ask("GET", at, nil, h).refused(404)
	w.ask("GET", at+"/rejected-events", nil, h).refused(404)
}

func TestTheLogOfChangesComesInPages(t *testing.T) {
	w := newWorld(t, nil)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		_, _, err := w.plane.CreateKey(control.WithActor(t.Context(), control.Actor{Member: w.member(admin).ID, Name: mailOf(admin), Via: "test"}), control.APIKey{Workspace: w.acme.Number, Name: name, Scopes: []control.Scope{"events.write"}}, secret.Value{})
		must(t, err)
	}
	read := func(path string) (names []string, pages int) {
		for cursor := ""; ; {
			var p client.Page[client.ChangeEntry]
			w.as(admin, "GET", path+"&cursor="+url.QueryEscape(cursor), nil).read(200, &p)
			for _, e := range p.Items {
				names = append(names, e.SubjectName)
				if e.Action == "api_key.create" && (e.Actor != mailOf(admin) || e.After["name"] == nil || e.Before != nil || e.Workspace != workspaceID(w.acme.Number)) {
					t.Errorf("got %+v", e)
				}
			}
			if pages++; p.Next == "" {
				return names, pages
			}
			cursor = p.Next
		}
	}
	names, pages := read("/workspaces/acme/changes?kind=api_key&limit=2")
	if pages != 3 {
		t.Errorf("%d pages", pages)
	}
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	same(t, "newest first", names, []string{"e", "d", "c", "b", "a"})
	mine, _ := read("/workspaces/acme/changes?limit=500&member=" + string(w.member(admin).ID))
	same(t, "by one member", mine, names)
	none, _ := read("/workspaces/acme/changes?limit=500&subject=" + string(control.NewKeyID()))
	same(t, "of one thing", none, nil)
	for _, bad := range []string{"limit=0", "limit=501", "limit=x", "cursor=x", "cursor=" + string(w.member(admin).ID), "sort=name"} {
		w.as(admin, "GET", "/workspaces/acme/changes?"+bad, nil).refused(422)
	}
	var all client.Page[client.ChangeEntry]
	w.as(installer, "GET", "/installation/changes?limit=500", nil).read(200, &all)
	if len(all.Items) <= len(names) {
		t.Errorf("the installation has %d changes", len(all.Items))
	}
}

func TestTheLogOfChangesNamesThingsAsTheAPIDoes(t *testing.T) {
	w := newWorld(t, nil)
	var hook client.WebhookIssued
	w.as(editor, "POST", "/workspaces/acme/webhooks", client.WebhookCreate{URL: "https://acme.example/hook"}).read(201, &hook)
	w.as(editor, "POST", "/workspaces/acme/webhooks", client.WebhookCreate{URL: "https://acme.example/other"}).read(201, nil)
	w.as(editor, "DELETE", "/workspaces/acme/webhooks/"+hook.ID, nil).read(204, nil)
	var check client.Check
	w.follow(editor, w.as(editor, "PUT", "/workspaces/acme/data-export", client.DataExportEdit{Bucket: new("acme-exports"), AccessKeyID: new("AKIAIOSFODNN7EXAMPLE"), SecretAccessKey: new("hunter2hunter2")}), &check)
	for subject, want := range map[string][]string{
		hook.ID: {"webhook.delete", "webhook.create"}, hook.ID + "&kind=webhook": {"webhook.delete", "webhook.create"}, hook.ID + "&kind=connector": nil,
		"data-export": {"data_export.save"}, workspaceID(w.acme.Number): {"workspace.create"},
	} {
		var p client.Page[client.ChangeEntry]
		w.as(admin, "GET", "/workspaces/acme/changes?subject="+subject, nil).read(200, &p)
		var got []string
		for _, e := range p.Items {
			got = append(got, e.Action)
			if id, _, _ := strings.Cut(subject, "&"); e.SubjectID != id {
				t.Errorf("%s is named %q, want %q", e.Action, e.SubjectID, id)
			}
		}
		same(t, "of "+subject, got, want)
	}
}

func TestWhatIsMadeIsReadAsItWasAnswered(t *testing.T) {
	w := newWorld(t, nil)
	var ws, read client.Workspace
	w.as(installer, "POST", "/workspaces", client.WorkspaceCreate{Name: "initech"}).read(201, &ws)
	w.as(installer, "GET", "/workspaces/initech", nil).read(200, &read)
	if !ws.CreatedAt.Equal(read.CreatedAt) {
		t.Errorf("made at %v, read %v", ws.CreatedAt, read.CreatedAt)
	}
	var k client.APIKeyIssued
	var again client.APIKey
	end := time.Now().Add(time.Hour).Truncate(time.Second).Add(123456789)
	at := w.as(admin, "POST", "/workspaces/acme/api-keys", client.APIKeyCreate{Name: "p", Scopes: []string{"events.write"}, ExpiresAt: &end}).read(201, &k).header.Get("Location")
	w.as(admin, "GET", strings.TrimPrefix(at, prefix), nil).read(200, &again)
	if !k.CreatedAt.Equal(again.CreatedAt) || !k.ExpiresAt.Equal(*again.ExpiresAt) {
		t.Errorf("made %+v, read %+v", k.APIKey, again)
	}
}

func TestChangesOfAWorkspaceUndoNoneThatOvertookThem(t *testing.T) {
	w := newWorld(t, nil)
	const at = "/workspaces/acme"
	first := w.as(admin, "GET", at, nil).read(200, nil).header.Get("ETag")
	stale := func(e client.WorkspaceEdit, tag string) answer {
		return w.ask("PATCH", at, e, with(w.session(admin), "If-Match", tag))
	}
	second := stale(client.WorkspaceEdit{Language: new("es")}, first).read(200, nil).header.Get("ETag")
	if e := stale(client.WorkspaceEdit{UnknownFields: new("ignore")}, first).refused(412); !strings.HasPrefix(e.Message, mailOf(admin)+" changed it at ") || !strings.HasSuffix(e.Message, ": language.") {
		t.Errorf("got %q", e.Message)
	}
	if got := w.as(viewer, "GET", at, nil).header.Get("ETag"); got != second || second == first {
		t.Errorf("ETag %s, after %s and %s", got, first, second)
	}
	for range 10 {
		var all sync.WaitGroup
		for _, e := range []client.WorkspaceEdit{{Language: new("pt-BR")}, {UnknownFields: new("ignore")}} {
			h := w.session(admin)
			all.Go(func() {
				if a := w.ask("PATCH", at, e, h); a.status != 200 {
					t.Errorf("%d: %s", a.status, a.body)
				}
			})
		}
		all.Wait()
		var got client.Workspace
		if w.as(admin, "GET", at, nil).read(200, &got); got.Language != "pt-BR" || got.UnknownFields != "ignore" {
			t.Fatalf("one of two changes is lost: %+v", got)
		}
		w.as(admin, "PATCH", at, client.WorkspaceEdit{Language: new("en"), UnknownFields: new("reject")}).read(200, nil)
	}
}

func TestWorkspaces(t *testing.T) {
	w := newWorld(t, nil)
	var ws client.Workspace
	a := w.as(installer, "POST", "/workspaces", client.WorkspaceCreate{Name: "initech", Language: "es"}).read(201, &ws)
	w.as(installer, "GET", strings.TrimPrefix(a.header.Get("Location"), prefix), nil).read(200, &ws)
	if ws.Name != "initech" || ws.Language != "es" || ws.UnknownFields != "reject" {
		t.Errorf("got %+v", ws)
	}
	w.as(installer, "POST", "/workspaces", client.WorkspaceCreate{Name: "initech"}).refused(409)
	same(t, "all at once", problems(w.as(installer, "POST", "/workspaces", `{"nmae":"x","language":"fr"}`).refused(422)), []string{"nmae unknown_field", "language unknown_value", "name required"})
	var all client.Page[client.Workspace]
	w.as(viewer, "GET", "/workspaces", nil).read(200, &all)
	if len(all.Items) != 1 || all.Items[0].Name != "acme" {
		t.Errorf("a viewer sees %+v", all)
	}
	w.as(installer, "GET", "/workspaces", nil).read(200, &all)
	if len(all.Items) != 3 {
		t.Errorf("the installation's administrator sees %d", len(all.Items))
	}
	name := "globex"
	w.as(installer, "PATCH", "/workspaces/acme", client.WorkspaceEdit{Name: &name}).refused(409)
	name = "acme/x"
	w.as(admin, "PATCH", "/workspaces/acme", client.WorkspaceEdit{Name: &name}).refused(422)
	name = "acme 2"
	w.as(installer, "PATCH", "/workspaces/acme", client.WorkspaceEdit{Name: &name}).read(200, &ws)
	w.as(viewer, "GET", "/workspaces/acme%202", nil).read(200, &ws)
}

func TestTheLastInstallationAdministratorStays(t *testing.T) {
	w := newWorld(t, nil)
	at := "/installation/members/" + string(w.member(installer).ID)
	no, yes := false, true
	w.as(installer, "PATCH", at, client.PersonEdit{Installation: &no}).refused(409)
	w.as(installer, "DELETE", at, nil).refused(409)
	w.as(installer, "PATCH", "/installation/members/"+string(w.member(admin).ID), client.PersonEdit{Installation: &yes}).read(200, nil)
	var p client.Person
	w.as(installer, "PATCH", at, client.PersonEdit{Installation: &no}).read(200, &p)
	if p.Installation || p.Email != mailOf(installer) {
		t.Errorf("got %+v", p)
	}
	w.as(installer, "GET", "/installation", nil).refused(403)
	w.as(admin, "DELETE", at, nil).read(204, nil)
}
