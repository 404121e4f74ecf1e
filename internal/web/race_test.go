package web

import (
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/control"
)

// Whoever loses every right after a request was let in, and before its row does anything, changes nothing by it.
func TestARightThatIsLostMeanwhileIsLost(t *testing.T) {
	w := newWorld(t, nil)
	var lost string // who loses their rights
	rows := w.api.routes()
	for i, r := range rows {
		run := r.op.run
		rows[i].op.run = func(c *call, in any) (any, error) {
			if lost != "" {
				w.strip(lost)
			}
			return run(c, in)
		}
	}
	w.h = w.api.handler(rows)
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
