package web

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// A key that takes out personal data would give its maker what they may not see, by whichever way it is made or changed.
func TestWhoMayNotExportUserDataMakesNoKeyThatDoes(t *testing.T) {
	w := newWorld(t, nil)
	create := func(scope string) client.APIKeyCreate {
		return client.APIKeyCreate{Name: scope, Scopes: []string{"events.write", scope}}
	}
	export := slices.DeleteFunc(control.Scopes(), func(s control.Scope) bool { return !s.PersonalData() })
	if len(export) != 3 {
		t.Errorf("personal data come by %v", export)
	}
	for _, s := range export {
		for _, who := range []string{admin, installer} {
			e := w.as(who, "POST", "/workspaces/acme/api-keys", create(string(s))).refused(403)
			if !strings.Contains(e.Message, "may not export user data") || len(e.Fields) != 1 || e.Fields[0].Field != "scopes" {
				t.Errorf("%s, %s: %+v", who, s, e)
			}
		}
	}
	for _, row := range []struct{ name, had, spec string }{
		{"one that is new", "", "{name: crm, scopes: [users.export.segment]}"},
		{"one scope more", "users.track", "{name: crm, scopes: [users.track, users.export.segment]}"},
		{"a secret of theirs", "users.export.ids", "{name: crm, secret_env: KEY}"},
		{"from anywhere", "users.export.ids", "{name: crm, networks: []}"},
		{"for longer", "users.export.ids", "{name: crm, expires_at: 2099-01-01T00:00:00Z}"},
	} {
		var id control.KeyID
		if row.had != "" {
			networks, _ := control.ParseNetworks("", []string{"203.0.113.0/24"})
			k, _, err := w.plane.CreateKey(w.root(), control.APIKey{Workspace: w.acme.Number, Name: "crm", Scopes: []control.Scope{control.Scope(row.had)}, Networks: networks, ExpiresAt: time.Now().Add(time.Hour)}, secret.Value{})
			must(t, err)
			id = k.ID
		}
		m, err := control.ParseManifest("acme.yaml", []byte("workspaces: [{name: acme, api_keys: ["+row.spec+"]}]"), func(string) (string, bool) { return "a-secret-that-they-know", true }, nil)
		must(t, err)
		for _, dry := range []bool{true, false} {
			before := w.newest()
			got := w.plane.Apply(w.acts(admin), m, dry)
			if len(got.Failures) != 1 || !fault.Is(got.Failures[0].Err, fault.Forbidden) || len(got.Changes)+len(got.Keys) != 0 || w.newest() != before {
				t.Errorf("%s, dry run %v: %+v", row.name, dry, got)
			}
		}
		if got := w.plane.Apply(w.root(), m, false); len(got.Failures) != 0 || len(got.Changes) != 1 {
			t.Errorf("%s, by the command line: %+v", row.name, got)
		}
		all, err := w.plane.Store.Keys(t.Context(), w.acme.Number)
		must(t, err)
		for _, k := range all {
			if k.ID == id || k.Name == "crm" {
				must(t, w.plane.RevokeKey(w.root(), w.acme.Number, k.ID))
			}
		}
	}
	a := w.member(admin)
	w.seat(control.Membership{Workspace: w.acme.Number, Member: a.ID, Role: control.Administrator, ExportUserData: true, CreatedAt: a.CreatedAt})
	w.as(admin, "POST", "/workspaces/acme/api-keys", create("users.export.ids")).read(201, nil)
}

// acts is a context in which one of the people acts.
func (w *world) acts(who string) context.Context {
	w.t.Helper()
	m := w.member(who)
	seats, err := w.records().SeatsOf(w.t.Context(), m.ID)
	must(w.t, err)
	return control.WithActor(w.t.Context(), control.Actor{}.As(m, seats))
}
