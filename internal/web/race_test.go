package web

import (
	"slices"
	"testing"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
)

// Whoever loses every right after a request was let in, and before its row does anything, changes nothing by it.
func TestARightThatIsLostMeanwhileIsLost(t *testing.T) {
	w := newWorld(t, nil)
	var lost string // who loses their rights
	rows := w.meanwhile(func() {
		if lost != "" {
			w.strip(lost)
		}
	})
	boss := w.newcomer() // somebody has to stay
	w.seat(control.Membership{Workspace: w.acme.Number, Member: boss.ID, Role: control.Administrator, CreatedAt: boss.CreatedAt})
	_, _, err := w.people.AddMember(w.root(), control.AddMember{Email: "root@mill.example", Installation: true})
	must(t, err)
	examples, tried := w.examples(), 0
	idle := []string{"removeTwoFactor", "leaveWorkspace", "resetTwoFactor", "resumeConnector", "upgradeConnector"} // their examples leave nothing to change
	for _, r := range rows {
		if !r.changes() || slices.Contains([]control.Right{control.RightAnyone, control.RightSignedIn}, r.right) || slices.Contains([]string{"testWebhook", "previewConnector", "sizeFilter"}, r.name) {
			continue // it writes nothing, or who is signed in may do it whatever their rights
		}
		who := map[control.Right]string{control.RightInstall: installer, control.RightExportUserData: exporter}[r.right]
		if who == "" {
			who = admin
		}
		restore := w.places(who)
		x := examples[r.name](who)
		h := w.session(who)
		before := w.newest()
		lost = who
		a := w.ask(r.method, x.path, x.body, h)
		lost = ""
		if a.status != 403 && !slices.Contains(idle, r.name) || w.newest() != before {
			t.Errorf("%s (%s): %d, and the log of changes went from %d to %d: %s", r.name, r.right, a.status, before, w.newest(), a.body)
		}
		restore()
		if x.undo != nil {
			x.undo()
		}
		tried++
	}
	if tried < 30 {
		t.Errorf("only %d rows were tried", tried)
	}
}

// Some changes take another right than that which lets a request in. Who loses that one alone makes none of them.
func TestAFurtherRightThatIsLostMeanwhileIsLost(t *testing.T) {
	w := newWorld(t, nil)
	lose := func() {}
	w.meanwhile(func() { lose() })
	boss := w.newcomer() // somebody has to stay
	w.seat(control.Membership{Workspace: w.acme.Number, Member: boss.ID, Role: control.Administrator, CreatedAt: boss.CreatedAt})
	_, _, err := w.people.AddMember(w.root(), control.AddMember{Email: "root@mill.example", Installation: true, Workspace: w.acme.Number})
	must(t, err)
	root := w.member("root")
	seat := func(who string, role control.Role, export bool) {
		m := w.member(who)
		w.seat(control.Membership{Workspace: w.acme.Number, Member: m.ID, Role: role, ExportUserData: export, CreatedAt: m.CreatedAt})
	}
	install := func(is bool) {
		m := w.member(installer)
		if m.Installation != is {
			m.Installation = is
			must(t, w.records().UpdateMember(t.Context(), m))
		}
	}
	const acme = "/workspaces/acme"
	stays := func(m control.Member) string { return acme + "/members/" + string(m.ID) }
	invited := func() string {
		w.ticket(control.Ticket{Kind: control.TicketInvitation, Email: fresh() + "@mill.example", Workspace: w.acme.Number, Role: control.Viewer, Installation: true})
		all, err := w.records().Tickets(t.Context(), w.acme.Number)
		must(t, err)
		return acme + "/invitations/" + string(all[len(all)-1].ID)
	}
	for _, row := range []struct {
		name, who, method string
		path              func() string
		body              any
	}{
		{"invites to the installation", installer, "POST", func() string { return acme + "/invitations" }, client.Invite{Email: "x@mill.example", Installation: true}},
		{"invites to personal data", installer, "POST", func() string { return acme + "/invitations" }, client.Invite{Email: "y@mill.example", ExportUserData: true}},
		{"invites to personal data", admin, "POST", func() string { return acme + "/invitations" }, client.Invite{Email: "z@mill.example", ExportUserData: true}},
		{"takes back an invitation to the installation", installer, "DELETE", invited, nil},
		{"lets somebody see personal data", installer, "PATCH", func() string { return stays(w.newcomer()) }, client.MemberEdit{ExportUserData: new(true)}},
		{"lets somebody see personal data", admin, "PATCH", func() string { return stays(w.newcomer()) }, client.MemberEdit{ExportUserData: new(true)}},
		{"makes a key for personal data", admin, "POST", func() string { return acme + "/api-keys" }, client.APIKeyCreate{Name: "crm", Scopes: []string{"users.export.ids"}}},
		{"saves a segment by what identifies people", admin, "POST", func() string { return acmesSegments }, client.SegmentEdit{Name: new("s"), Filter: &identifying}},
		{"changes the place of who is above them", installer, "PATCH", func() string { return stays(root) }, client.MemberEdit{Role: new("editor")}},
		{"takes the place of who is above them", installer, "DELETE", func() string { return stays(root) }, nil},
		{"names the workspace", installer, "PATCH", func() string { return acme }, client.WorkspaceEdit{Name: new("other")}},
		{"applies a new workspace", installer, "POST", func() string { return "/apply" }, client.Manifest{Name: "a.yaml", Text: "workspaces: [{name: fresh}]"}},
		{"applies keys", admin, "POST", func() string { return "/apply" }, client.Manifest{Name: "a.yaml", Text: "workspaces: [{name: acme, api_keys: [{name: k, scopes: [events.write]}]}]"}},
	} {
		install(true)
		seat(installer, control.Administrator, false)
		seat(admin, control.Administrator, true)
		path, h, before := row.path(), w.session(row.who), w.newest()
		lose = func() {
			switch {
			case row.who == installer:
				install(false)
			case row.name == "applies keys":
				seat(admin, control.Editor, true)
			default:
				seat(admin, control.Administrator, false)
			}
		}
		a := w.ask(row.method, path, row.body, h)
		lose = func() {}
		if a.status != 403 || w.newest() != before {
			t.Errorf("%s %s: %d, and the log of changes went from %d to %d: %s", row.who, row.name, a.status, before, w.newest(), a.body)
		}
	}
}

// meanwhile has w do something between letting a request in and doing what it asks for, and gives the rows.
func (w *world) meanwhile(do func()) []route {
	rows := w.api.routes()
	for i, r := range rows {
		run := r.op.run
		rows[i].op.run = func(c *call, in any) (any, error) {
			do()
			return run(c, in)
		}
	}
	w.h = w.api.handler(rows)
	return rows
}

// strip ends all sessions of somebody, and takes them out of every workspace and of the installation.
func (w *world) strip(who string) {
	w.t.Helper()
	m := w.member(who)
	seats, err := w.records().SeatsOf(w.t.Context(), m.ID)
	must(w.t, err)
	for _, s := range seats {
		must(w.t, w.records().RemoveSeat(w.t.Context(), s.Workspace, m.ID))
	}
	if m.Installation {
		m.Installation = false
		must(w.t, w.records().UpdateMember(w.t.Context(), m))
	}
	all, err := w.records().Sessions(w.t.Context(), m.ID)
	must(w.t, err)
	for _, s := range all {
		must(w.t, w.records().EndSession(w.t.Context(), m.ID, s.ID))
	}
}

// places gives what makes somebody again what they are now.
func (w *world) places(who string) (restore func()) {
	w.t.Helper()
	m := w.member(who)
	seats, err := w.records().SeatsOf(w.t.Context(), m.ID)
	must(w.t, err)
	return func() {
		w.t.Helper()
		for _, s := range seats {
			w.seat(s)
		}
		now := w.member(who)
		if now.Installation != m.Installation {
			now.Installation = m.Installation
			must(w.t, w.records().UpdateMember(w.t.Context(), now))
		}
	}
}

// newest is the number of the last line of the log of changes.
func (w *world) newest() int64 {
	w.t.Helper()
	all, err := w.db().Entries(w.t.Context(), control.EntryFilter{All: true}, 0, 1)
	must(w.t, err)
	if len(all) == 0 {
		return 0
	}
	return all[0].ID
}
