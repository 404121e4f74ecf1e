package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

func entries(run runner) {
	run("a change that succeeds leaves exactly one entry, and one that fails none", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		entry := control.Entry{Workspace: w.Number, At: e.now, Member: "m1", Actor: "ana@example.com", Via: "session", Address: "192.0.2.1", Request: "r1",
			Action: "workspace.update", SubjectID: fmt.Sprint(w.Number), SubjectName: "acme", Before: []byte(`{"name":"acme"}`), After: []byte(`{"name":"other"}`)}
		ctx := control.WithEntry(t.Context(), entry)
		got, err := e.Entries(ctx, control.EntryFilter{All: true}, 0, 10)
		ok(t, err)
		equal(t, "before", len(got), 0)

		gone := w
		gone.Number = 12345
		want(t, e.UpdateWorkspace(ctx, gone), fault.NotFound)
		e.workspace("taken")
		w.Name = "taken"
		want(t, e.UpdateWorkspace(ctx, w), fault.Conflict)
		got, err = e.Entries(t.Context(), control.EntryFilter{All: true}, 0, 10)
		ok(t, err)
		equal(t, "after failures", len(got), 0)

		w.Name = "other"
		ok(t, e.UpdateWorkspace(ctx, w))
		got, err = e.Entries(t.Context(), control.EntryFilter{All: true}, 0, 10)
		ok(t, err)
		if len(got) == 1 {
			entry.ID = got[0].ID
		}
		equal(t, "after success", got, []control.Entry{entry})
	})
	run("the log of changes is read newest first, page by page, and by what is asked for", func(t *testing.T, e *env) {
		a, b := e.workspace("a"), e.workspace("b")
		began := e.now
		write := func(w uint32, member control.MemberID, action, subject string) {
			t.Helper()
			e.now = e.now.Add(time.Second)
			ok(t, e.AddNotice(control.WithEntry(t.Context(), control.Entry{Workspace: w, At: e.now, Member: member, Action: action, SubjectID: subject}), e.notice(w, "c", "1")))
		}
		write(a.Number, "m1", "connector.launch", "c1")
		write(a.Number, "m2", "connector.edit", "c1")
		write(b.Number, "m1", "connector.edit", "c2")
		write(a.Number, "m1", "connectors.edit", "c3")
		write(0, "m1", "member.update", "m2")
		write(a.Number, "", "api_key.create", "k1")
		write(a.Number, "m2", "connector.delete", "c4")
		for _, row := range []struct {
			name   string
			filter control.EntryFilter
			want   string
		}{
			{"all", control.EntryFilter{All: true}, "c4 k1 m2 c3 c2 c1 c1"},
			{"of a workspace", control.EntryFilter{Workspace: a.Number}, "c4 k1 c3 c1 c1"},
			{"of another", control.EntryFilter{Workspace: b.Number}, "c2"},
			{"of the installation", control.EntryFilter{}, "m2"},
			{"of a kind, and not of one that begins alike", control.EntryFilter{Workspace: a.Number, Kind: "connector"}, "c4 c1 c1"},
			{"of a kind that is no pattern", control.EntryFilter{Workspace: a.Number, Kind: "connecto%"}, ""},
			{"of a thing", control.EntryFilter{All: true, SubjectID: "c1"}, "c1 c1"},
			{"of a thing elsewhere", control.EntryFilter{Workspace: b.Number, SubjectID: "c1"}, ""},
			{"by a member", control.EntryFilter{Workspace: a.Number, Member: "m2"}, "c4 c1"},
			{"from a moment on", control.EntryFilter{Workspace: a.Number, From: began.Add(6 * time.Second)}, "c4 k1"},
			{"until before another", control.EntryFilter{Workspace: a.Number, Until: began.Add(4 * time.Second)}, "c1 c1"},
			{"all of it", control.EntryFilter{Workspace: a.Number, Member: "m2", Kind: "connector", SubjectID: "c1"}, "c1"},
		} {
			var got []string
			for before := int64(0); ; {
				page, err := e.Entries(t.Context(), row.filter, before, 2)
				ok(t, err)
				if len(page) == 0 {
					break
				}
				for _, v := range page {
					if before != 0 && v.ID >= before {
						t.Fatalf("%s: entry %d follows on %d", row.name, v.ID, before)
					}
					before = v.ID
					got = append(got, v.SubjectID)
				}
			}
			equal(t, row.name, fmt.Sprint(got), "["+row.want+"]")
		}
	})
}
