package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/dial"
)

// What could not be read and what was read and is refused is said in one answer, by every row that takes something.
func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	invited := func() string {
		return w.ticket(control.Ticket{Kind: control.TicketInvitation, Email: "new@mill.example", Workspace: w.acme.Number, Role: control.Viewer})
	}
	for name, row := range map[string]struct {
		who, path, body string
		want            []string
	}{
		"accept":              {"", "", `{"token":"` + invited() + `","nmae":"x","password":"short","time_zone":"Mars/Olympus"}`, []string{"name required", "nmae unknown_field", "password too_short", "time_zone unknown_value"}},
		"setPassword":         {"", "", `{"token":"x","pasword":1,"password":"short"}`, []string{"password too_short", "pasword unknown_field"}},
		"changePassword":      {viewer, "", `{"curent":"x","new":"short"}`, []string{"curent unknown_field", "current required", "new too_short"}},
		"updateMe":            {viewer, "", `{"name":" x","language":"fr","time_zone":"Mars"}`, []string{"language unknown_value", "name invalid", "time_zone unknown_value"}},
		"createToken":         {viewer, "", `{"name":"","readonly":true,"expires_at":"2001-01-01T00:00:00Z"}`, []string{"expires_at out_of_range", "name required", "readonly unknown_field"}},
		"createWorkspace":     {installer, "", `{"name":"2026","lang":"es"}`, []string{"lang unknown_field", "name invalid"}},
		"updateWorkspace":     {admin, "/workspaces/acme", `{"name":"a/b","language":"fr","time_zone":"Mars"}`, []string{"language unknown_value", "name invalid", "time_zone unknown_value"}},
		"invite":              {admin, "/workspaces/acme/invitations", `{"email":"x","rloe":"viewer"}`, []string{"email invalid", "rloe unknown_field"}},
		"createAPIKey":        {admin, "/workspaces/acme/api-keys", `{"name":"","scopes":["events.rite"],"ip":[]}`, []string{"ip unknown_field", "name required", "scopes[0] unknown_value"}},
		"inviteAdministrator": {installer, "", `{"email":"x","language":"fr"}`, []string{"email invalid", "language unknown_value"}},
		"launchConnector":     {editor, "/workspaces/acme/connectors", `{"name":"a/b","codec":1,"contact_email":"data@acme.example","events":["all"],"destination":{"bucket":"acme-currents","access_key_id":"AKIAIOSFODNN7EXAMPLE","secret_access_key":"hunter2hunter2"}}`, []string{"codec wrong_type", "name invalid"}},
		"saveDataExport":      {editor, "/workspaces/acme/data-export", `{"bucket":"A","path_style":1,"access_key_id":"AKIAIOSFODNN7EXAMPLE","secret_access_key":"hunter2hunter2"}`, []string{"bucket invalid", "path_style wrong_type"}},
		"testDataExport":      {editor, "/workspaces/acme/data-export/test", `{"bucket":"A","path_style":1,"access_key_id":"AKIAIOSFODNN7EXAMPLE","secret_access_key":"hunter2hunter2"}`, []string{"bucket invalid", "path_style wrong_type"}},
		"createWebhook":       {editor, "/workspaces/acme/webhooks", `{"url":"ftp://x","kind":[],"secret":"short"}`, []string{"kind unknown_field", "secret too_short", "url invalid"}},
		"createDraft":         {editor, "/workspaces/acme/drafts", `{"name":"a/b","codec":1}`, []string{"codec wrong_type", "name invalid"}},
	} {
		t.Run(name, func(t *testing.T) {
			i := slices.IndexFunc(w.api.routes(), func(r route) bool { return r.name == name })
			r := w.api.routes()[i]
			path := row.path
			if path == "" {
				path = r.path
			}
			var h map[string]string
			if row.who != "" {
				h = w.session(row.who)
			}
			got := problems(w.ask(r.method, path, row.body, h).refused(http.StatusUnprocessableEntity))
			slices.Sort(got)
			same(t, "problems", got, row.want)
		})
	}
}

// A name is one workspace's in the installation, and only who sees all of them gives one.
func TestWhoseNamesThereAreIsNotTold(t *testing.T) {
	w := newWorld(t, nil)
	rename := func(who, to string) answer {
		return w.as(who, "PATCH", "/workspaces/"+workspaceID(w.acme.Number), `{"name":"`+to+`"}`)
	}
	taken, free := rename(admin, "globex").refused(403), rename(admin, "nobody-has-this").refused(403)
	taken.RequestID, free.RequestID = "", ""
	if taken.Message != free.Message || taken.Hint != free.Hint || taken.Message == "" {
		t.Errorf("a name that is taken: %+v\none that is not: %+v", taken, free)
	}
	w.as(admin, "PATCH", "/workspaces/acme", `{"name":"acme","language":"es"}`).read(200, nil)
	if e := rename(installer, "globex").refused(409); !strings.Contains(e.Message, "globex") {
		t.Errorf("got %+v", e)
	}
	rename(installer, workspaceID(w.globex.Number)).refused(422) // else an address would mean two
	rename(installer, "acme-2").read(200, nil)
}

// A name that somebody else has is a problem of its field, whatever it names.
func TestANameThatIsTakenIsToldAtItsField(t *testing.T) {
	w := newWorld(t, nil)
	for name, row := range map[string]struct {
		who, method, path, field string
		body                     any
	}{
		"workspace":           {installer, "POST", "/workspaces", "name", client.WorkspaceCreate{Name: "Globex"}},
		"a workspace renamed": {installer, "PATCH", "/workspaces/acme", "name", client.WorkspaceEdit{Name: new("globex")}},
		"API key":             {admin, "POST", "/workspaces/acme/api-keys", "name", client.APIKeyCreate{Name: "p", Scopes: []string{"events.write"}}},
		"token":               {viewer, "POST", "/me/tokens", "name", client.TokenCreate{Name: "deploy"}},
		"segment":             {editor, "POST", acmesSegments, "name", client.SegmentEdit{Name: new("Spain"), Filter: new(client.Filter)}},
		"member":              {admin, "POST", "/workspaces/acme/invitations", "email", client.Invite{Email: mailOf(viewer)}},
		"webhook":             {editor, "POST", "/workspaces/acme/webhooks", "url", client.WebhookCreate{URL: "https://acme.example/hook"}},
	} {
		t.Run(name, func(t *testing.T) {
			if row.method == "POST" && row.field != "email" && name != "workspace" {
				w.as(row.who, row.method, row.path, row.body).read(http.StatusCreated, nil)
			}
			e := w.as(row.who, row.method, row.path, row.body).refused(http.StatusConflict)
			same(t, "problems", problems(e), []string{row.field + " duplicate"})
			if len(e.Fields) == 1 && e.Fields[0].Message != e.Message {
				t.Errorf("the field says %q, the whole %q", e.Fields[0].Message, e.Message)
			}
		})
	}
}

// A name stands in addresses, where some mean a step.
func TestANameIsNoStepInAnAddress(t *testing.T) {
	w := newWorld(t, nil)
	for _, name := range []string{".", ".."} {
		for path, h := range map[string]map[string]string{"/workspaces": w.session(installer), "/workspaces/acme/api-keys": w.session(admin), "/workspaces/acme/drafts": w.session(editor)} {
			if got := problems(w.ask("POST", path, map[string]any{"name": name, "scopes": []string{"events.write"}}, h).refused(422)); !slices.Contains(got, "name invalid") {
				t.Errorf("%s in %s: %v", name, path, got)
			}
		}
		same(t, "another name", problems(w.as(installer, "PATCH", "/workspaces/acme", `{"name":"`+name+`"}`).refused(422)), []string{"name invalid"})
	}
	w.as(installer, "PATCH", "/workspaces/acme", `{"name":"..."}`).read(200, nil)
}

// Whatever a row changes field by field, or keeps anew, has versions: a change that is meant for another one is refused and
// told who was quicker, the same again is no change, and one that is meant for none goes through.
func TestDraftsMembersAndPeopleHaveVersions(t *testing.T) {
	w := newWorld(t, nil)
	for name, row := range map[string]struct {
		method, path string
		first, other string // bodies
	}{
		"a draft":  {"PUT", w.planeExamples()["getDraft"](editor).path, `{"name":"one"}`, `{"name":"two"}`},
		"a member": {"PATCH", w.peopleExamples()["getMember"](admin).path, `{"role":"editor"}`, `{"export_user_data":false,"role":"administrator"}`},
		"a person": {"PATCH", w.peopleExamples()["getPerson"](admin).path, `{"installation_administrator":true}`, `{"installation_administrator":false}`},
	} {
		t.Run(name, func(t *testing.T) {
			who := admin
			if name == "a person" {
				who = installer
			}
			h := w.session(who)
			change := func(body, match string) answer { return w.ask(row.method, row.path, body, with(h, "If-Match", match)) }
			old := w.ask("GET", row.path, nil, h).read(200, nil).header.Get("ETag")
			now := change(row.first, old).read(200, nil).header.Get("ETag")
			if old == "" || now == old {
				t.Fatalf("versions %s, then %s", old, now)
			}
			e := change(row.other, old).refused(412)
			if !strings.HasPrefix(e.Message, mailOf(who)+" changed it at ") {
				t.Errorf("got %q", e.Message)
			}
			if again := w.ask("GET", row.path, nil, h).header.Get("ETag"); again != now {
				t.Errorf("a refused change left version %s, was %s", again, now)
			}
			change(row.other, now).read(200, nil)
			change(row.first, "*").read(200, nil)
			change(row.other, "x").refused(400)
		})
	}
}

// An address that stands in the form itself and will never be connected to, and a port that nothing has, are told at once;
// where a name leads is for the check.
func TestAnAddressThatCannotBeIsRefusedAtItsField(t *testing.T) {
	w := newWorld(t, func(_ *Config, d *Deps) {
		d.Plane.MayConnect = dial.New([]netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}).Check
	})
	good := string(w.launched(w.acme).Connector)
	named := func(endpoint string) client.ConnectorEdit {
		e := wish()
		e.Destination.Endpoint = &endpoint
		return e
	}
	for name, row := range map[string]struct {
		method, field string
		ask           func(at string) (path string, body any)
	}{
		"launch": {"POST", "destination.endpoint", func(at string) (string, any) { return acmes, named(at) }},
		"launch of a draft": {"POST", "destination.endpoint", func(at string) (string, any) {
			d, err := w.plane.SaveDraft(w.root(), w.acme.Number, "", editOf(named(at)), nil) // of a draft only the name is looked at
			must(t, err)
			return "/workspaces/acme/drafts/" + string(d.ID) + "/launch", nil
		}},
		"edit": {"PATCH", "destination.endpoint", func(at string) (string, any) {
			return acmes + "/" + good, client.ConnectorEdit{Destination: &client.DestinationEdit{Endpoint: &at}}
		}},
		"preview": {"POST", "destination.endpoint", func(at string) (string, any) {
			return acmes + "/" + good + "/preview", client.ConnectorEdit{Destination: &client.DestinationEdit{Endpoint: &at}}
		}},
		"data export": {"PUT", "endpoint", func(at string) (string, any) {
			return "/workspaces/acme/data-export", client.DataExportEdit{Bucket: new("acme-exports"), Endpoint: &at, AccessKeyID: new("AKIAIOSFODNN7EXAMPLE"), SecretAccessKey: new("hunter2hunter2")}
		}},
		"test of a data export": {"POST", "endpoint", func(at string) (string, any) {
			return "/workspaces/acme/data-export/test", client.DataExportEdit{Bucket: new("acme-exports"), Endpoint: &at, AccessKeyID: new("AKIAIOSFODNN7EXAMPLE"), SecretAccessKey: new("hunter2hunter2")}
		}},
		"webhook": {"POST", "url", func(at string) (string, any) { return "/workspaces/acme/webhooks", client.WebhookCreate{URL: at} }},
	} {
		t.Run(name, func(t *testing.T) {
			for at, code := range map[string]string{
				"http://127.0.0.1:1": "address_forbidden", "https://[::1]:9000": "address_forbidden", "https://[fe80::1%25eth0]": "address_forbidden", "http://169.254.169.254": "address_forbidden", "http://10.8.0.1": "address_forbidden",
				"http://store.example:0": "invalid", "http://store.example:65536": "invalid", "https://store.example:-1": "invalid",
				"https://a..b": "invalid", "https://-": "invalid", "https://example.com:": "invalid", "https://0x7f.1": "invalid", "https://2130706433": "invalid",
			} {
				path, body := row.ask(at)
				same(t, at, problems(w.as(editor, row.method, path, body).refused(422)), []string{row.field + " " + code})
			}
			for _, at := range []string{"http://10.9.0.1:9000", "https://store.example:65535", "http://localhost:9000"} {
				path, body := row.ask(at)
				if a := w.as(editor, row.method, path, body); a.status/100 != 2 {
					t.Errorf("%s: %d %s", at, a.status, a.body)
				}
			}
		})
	}
}
