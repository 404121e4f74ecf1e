package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// rights are looked at in the transaction of the change, whoever took them away meanwhile and in which process.
func rights(run runner) {
	// acting gives ctx of a member who is held to a right, as they were when they asked.
	acting := func(e *env, m control.Member, session control.SessionID, r control.Right, workspace uint32) context.Context {
		seats, err := e.SeatsOf(e.t.Context(), m.ID)
		ok(e.t, err)
		return control.Holding(control.WithActor(e.t.Context(), control.Actor{Session: session}.As(m, seats)), r, workspace)
	}
	run("who lost a right changes nothing, though they had it when they asked", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		other := e.open() // of another process
		e.member("boss", e.seat(w, control.Administrator))
		e.administrator("root")
		for name, row := range map[string]struct {
			right control.Right
			lose  func(m control.Member) error
			want  fault.Code
		}{
			"taken out of the workspace": {control.RightChange, func(m control.Member) error { return other.RemoveSeat(t.Context(), w.Number, m.ID) }, fault.Forbidden},
			"lowered": {control.RightAdminister, func(m control.Member) error {
				was := e.seat(w, control.Administrator)
				was.Member = m.ID
				next := was
				next.Role = control.Editor
				return other.SetSeat(t.Context(), control.SeatChange{Was: was, Next: next})
			}, fault.Forbidden},
			"deleted":              {control.RightSignedIn, func(m control.Member) error { return other.DeleteMember(t.Context(), m.ID) }, fault.Unauthorized},
			"signed out elsewhere": {control.RightSession, func(m control.Member) error { return other.EndSession(t.Context(), m.ID, control.SessionID(m.ID)) }, fault.Forbidden},
			"no longer of the installation": {control.RightInstall, func(m control.Member) error {
				m.Rev, m.Installation = 2, false
				return other.UpdateMember(t.Context(), m)
			}, fault.Forbidden},
		} {
			t.Run(name, func(t *testing.T) {
				m := e.member(string(row.right), e.seat(w, control.Administrator))
				m.Installation = row.right == control.RightInstall
				ok(t, e.UpdateMember(t.Context(), m))
				s := control.Session{ID: control.SessionID(m.ID), Member: m.ID, CreatedAt: e.now, SeenAt: e.now, ExpiresAt: e.now.AddDate(0, 0, 1)}
				ok(t, e.CreateSession(t.Context(), s, tokenHash(string(m.ID))))
				ctx := acting(e, m, s.ID, row.right, w.Number)
				save := func(id string) error {
					return e.SaveDraft(ctx, control.Draft{ID: control.ConnectorID(id + string(m.ID)), Workspace: w.Number, CreatedAt: e.now, UpdatedAt: e.now})
				}
				ok(t, save("a"))
				ok(t, row.lose(m))
				want(t, save("b"), row.want)
				drafts, err := e.Drafts(t.Context(), w.Number)
				ok(t, err)
				for _, d := range drafts {
					if d.ID == control.ConnectorID("b"+string(m.ID)) {
						t.Error("the change was made")
					}
				}
			})
		}
	})
	run("no change comes after the removal of who made it", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		boss := e.member("boss", e.seat(w, control.Administrator))
		eve := e.member("eve", e.seat(w, control.Editor))
		ctx := acting(e, eve, "", control.RightChange, w.Number)
		entry := func(ctx context.Context, m control.Member, action string) context.Context {
			return control.WithEntry(ctx, control.Entry{Workspace: w.Number, At: e.now, Member: m.ID, Action: action})
		}
		var wg sync.WaitGroup
		errs := make([]error, 2)
		begun := make(chan struct{}, len(errs))
		for i := range errs {
			s := e.open()
			wg.Go(func() {
				for n := 0; errs[i] == nil; n++ {
					id := control.ConnectorID(fmt.Sprint(i, "-", n))
					errs[i] = s.SaveDraft(entry(ctx, eve, "draft.save"), control.Draft{ID: id, Workspace: w.Number, CreatedAt: e.now, UpdatedAt: e.now})
					if n == 0 {
						begun <- struct{}{}
					}
				}
			})
		}
		for range errs {
			<-begun
		}
		ok(t, e.RemoveSeat(entry(t.Context(), boss, "member.remove"), w.Number, eve.ID))
		wg.Wait()
		for _, err := range errs {
			want(t, err, fault.Forbidden)
		}
		newest, err := e.Entries(t.Context(), control.EntryFilter{Workspace: w.Number}, 0, 1)
		ok(t, err)
		equal(t, "the last change", newest[0].Action, "member.remove")
	})
}
