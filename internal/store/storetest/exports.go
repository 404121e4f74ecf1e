package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// exported is an export of w that waits.
func (e *env) exported(w control.Workspace, change func(*control.Export)) control.Export {
	e.t.Helper()
	x := control.Export{ID: control.NewExportID(e.now), Workspace: w.Number, Kind: control.ExportSegmentUsers, Source: control.ExportByAPI, Key: "k1",
		Actor: control.Actor{Member: "m1", Name: "ana@acme.example"}, Subject: "s-1", Title: "Germans", State: control.ExportWaiting, CreatedAt: e.now,
		Spec: control.ExportSpec{Filter: control.Filter{Attribute: &control.Condition{Name: "country", OneOf: []string{"DE"}}}, Fields: []string{"email"}, BOM: true}}
	if change != nil {
		change(&x)
	}
	n, err := e.AddExport(e.t.Context(), x)
	ok(e.t, err)
	x.Number = n
	return x
}

// same compares what JSON shows of values, since filters hold pointers.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	g, err := json.Marshal(got)
	ok(t, err)
	w, err := json.Marshal(want)
	ok(t, err)
	equal(t, what, string(g), string(w))
}

func exports(run runner) {
	run("an export is read as it was asked for, by its workspace alone", func(t *testing.T, e *env) {
		ctx := t.Context()
		w, other := e.workspace("acme"), e.workspace("other")
		x := e.exported(w, func(x *control.Export) { x.Place = control.ExportPlace{Bucket: "b", Endpoint: "http://s3.example"} })
		got, err := e.Export(ctx, w.Number, x.ID)
		ok(t, err)
		same(t, "export", got, x)
		_, err = e.Export(ctx, other.Number, x.ID)
		want(t, err, fault.NotFound)
		csv := e.exported(w, func(x *control.Export) {
			x.Kind, x.Source, x.Subject, x.Actor.Member = control.ExportUsersCSV, control.ExportByDashboard, "s-2", "m2"
		})
		for name, f := range map[string]control.ExportFilter{
			"kind": {Kinds: []control.ExportKind{control.ExportUsersCSV, control.ExportEmailsCSV}}, "state and source": {States: []control.ExportState{control.ExportWaiting}, Source: control.ExportByDashboard},
			"subject": {Subject: "s-2"}, "member": {Member: "m2"},
		} {
			all, err := e.Exports(ctx, w.Number, f, 0, 10)
			ok(t, err)
			same(t, name, all, []control.Export{csv})
		}
		all, err := e.Exports(ctx, w.Number, control.ExportFilter{}, 0, 10)
		ok(t, err)
		same(t, "newest first", all, []control.Export{csv, x})
		all, err = e.Exports(ctx, w.Number, control.ExportFilter{}, csv.Number, 10)
		ok(t, err)
		same(t, "those before", all, []control.Export{x})
		all, err = e.Exports(ctx, other.Number, control.ExportFilter{}, 0, 10)
		ok(t, err)
		equal(t, "another's", len(all), 0)
		all, err = e.OpenExports(ctx)
		ok(t, err)
		same(t, "open, oldest first", all, []control.Export{x, csv})
	})

	run("one export of a segment by the API is open, and a hundred of a workspace", func(t *testing.T, e *env) {
		ctx := t.Context()
		w, other := e.workspace("acme"), e.workspace("other")
		x := e.exported(w, nil)
		again := x
		again.ID = control.NewExportID(e.now)
		_, err := e.AddExport(ctx, again)
		want(t, err, fault.RateLimited)
		if f := fault.As(err); f.Msg.Key != "control.export_running" || f.RetryAfter == 0 {
			t.Errorf("it is refused with %+v", f)
		}
		e.exported(w, func(x *control.Export) { x.Source = control.ExportByDashboard }) // a person is not held to the API's limit
		e.exported(w, func(x *control.Export) { x.Subject = "s-2" })
		e.exported(other, nil)
		ok(t, e.EndExport(ctx, x.Ended(e.now, nil)))
		e.exported(w, nil)
		for i := range 97 {
			e.exported(w, func(x *control.Export) {
				x.Kind, x.Source, x.Subject = control.ExportUsersCSV, control.ExportByDashboard, fmt.Sprint(i)
			})
		}
		again.Kind = control.ExportUsersCSV
		_, err = e.AddExport(ctx, again)
		want(t, err, fault.RateLimited)
		for i := range 97 {
			e.exported(other, func(x *control.Export) { x.Subject = fmt.Sprint("o-", i) })
		}
		again.Workspace, again.Kind = other.Number, control.ExportSegmentUsers
		again.Subject = "s-9"
		_, err = e.AddExport(ctx, again) // the 100th of the installation is there
		want(t, err, fault.RateLimited)
	})

	run("a part and the progress of its export are one", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		x := e.exported(w, nil)
		part := control.ExportPart{Number: 1, Last: 70, People: 5000, Bytes: 10, Plain: 99, Name: "a.json", Sum: 1<<32 - 1, Hash: []byte{1, 2}}
		want(t, e.AddExportPart(ctx, x, part), fault.Stale) // it waits
		ok(t, e.StartExport(ctx, x, 7000, e.now))
		ok(t, e.AddExportPart(ctx, x, part))
		want(t, e.AddExportPart(ctx, x, part), fault.Stale)
		two := control.ExportPart{Number: 2, After: 71, Last: 90, People: 1, Name: "b.json", Hash: []byte{3}}
		want(t, e.AddExportPart(ctx, x, two), fault.Stale) // somebody would be left out
		two.After = 70
		held := x
		held.Failure = control.FailureOf(fault.New(fault.Unavailable, "", "the bucket does not answer"))
		ok(t, e.HoldExport(ctx, held))
		got, err := e.Export(ctx, w.Number, x.ID)
		ok(t, err)
		if got.Failure == nil || got.Failure.Message() != "the bucket does not answer" || got.State != control.ExportRunning {
			t.Errorf("held up it is %+v", got)
		}
		ok(t, e.AddExportPart(ctx, x, two)) // and nothing holds it up any more
		e.now = e.now.Add(time.Hour)
		got, err = e.Export(ctx, w.Number, x.ID)
		ok(t, err)
		ok(t, e.StartExport(ctx, got, 7001, e.now))               // by the next process
		x.State, x.StartedAt = control.ExportRunning, x.CreatedAt // what it holds is of then
		x.ExportProgress = control.ExportProgress{People: 5001, Total: 7001, Parts: 2, Bytes: 10, After: 90}
		got, err = e.Export(ctx, w.Number, x.ID)
		ok(t, err)
		same(t, "export", got, x)
		parts, err := e.ExportParts(ctx, x)
		ok(t, err)
		equal(t, "parts", parts, []control.ExportPart{part, two})

		fresh := x
		fresh.ExportProgress = control.ExportProgress{}
		ok(t, e.StartExport(ctx, fresh, 7001, e.now)) // by a process without its files
		x.StartedAt = e.now
		if parts, err = e.ExportParts(ctx, x); err != nil || len(parts) > 0 {
			t.Errorf("from the beginning its parts are %v, %v", parts, err)
		}
		ok(t, e.StartExport(ctx, x, 7001, e.now))

		x = x.Ended(e.now, fault.New(fault.Unavailable, "", "the bucket is gone"))
		ok(t, e.EndExport(ctx, x))
		want(t, e.AddExportPart(ctx, x, control.ExportPart{Number: 3, After: 90, Last: 91}), fault.Stale)
		want(t, e.StartExport(ctx, x, 1, e.now), fault.Stale)
		want(t, e.HoldExport(ctx, held), fault.Stale)
		want(t, e.EndExport(ctx, x), fault.Stale)
		got, err = e.Export(ctx, w.Number, x.ID)
		ok(t, err)
		same(t, "failed", got, x)
		if parts, err = e.ExportParts(ctx, x); err != nil || len(parts) > 0 {
			t.Errorf("its parts are %v, %v", parts, err)
		}
	})

	run("files are kept while an export is open or can be downloaded, and nobody of the workspace was deleted", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		open := e.exported(w, nil)
		csv := func(x *control.Export) { x.Kind, x.Source = control.ExportUsersCSV, control.ExportByDashboard }
		done, failed := e.exported(w, csv), e.exported(w, csv)
		report := e.exported(w, func(x *control.Export) { x.Kind, x.Source = control.ExportRevenue, control.ExportByDashboard })
		ok(t, e.EndExport(ctx, done.Ended(e.now, nil)))
		ok(t, e.EndExport(ctx, report.Ended(e.now, nil)))
		ok(t, e.EndExport(ctx, failed.Ended(e.now, fault.New(fault.Internal, "", "x"))))
		kept := func(what string, at time.Time, all ...control.Export) {
			t.Helper()
			got, err := e.KeptExports(ctx, at)
			ok(t, err)
			m := map[control.ExportID]bool{}
			for _, x := range all {
				m[x.ID] = true
			}
			equal(t, what, got, m)
		}
		kept("at once", e.now, open, done, report)
		kept("after four hours", e.now.Add(4*time.Hour), open)
		ok(t, e.NoteErasure(ctx, w.Number, e.now)) // of somebody, whom NoteMoves has looked for
		kept("after a deletion", e.now, open, done, report)
		want(t, e.NoteErasure(ctx, w.Number+1, e.now), fault.NotFound)
	})

	run("a deletion ends the files that hold the person, and those of which nobody knows whom they hold", func(t *testing.T, e *env) {
		ctx := t.Context()
		w, other := e.workspace("acme"), e.workspace("other")
		marks := func(ids ...control.PersonID) (who []byte) {
			for _, id := range ids {
				who = control.AppendMark(who, id)
			}
			return who
		}
		part := func(who []byte, people int64) control.ExportPart {
			return control.ExportPart{People: people, Who: who, Hash: []byte{1}}
		}
		n := 0
		file := func(w control.Workspace, kind control.ExportKind, parts ...control.ExportPart) control.Export {
			t.Helper()
			x := e.exported(w, func(x *control.Export) { x.Kind, x.Source, x.File = kind, control.ExportByDashboard, "users.zip" })
			ok(t, e.StartExport(ctx, x, 1, e.now))
			for i, p := range parts {
				n++
				p.Number, p.After, p.Last = i+1, x.After, int64(n)
				ok(t, e.AddExportPart(ctx, x, p))
				x.Add(p)
			}
			ok(t, e.EndExport(ctx, x.Ended(e.now, nil)))
			return x
		}
		deleted := func(id control.PersonID) control.PersonMove {
			return control.PersonMove{Person: 1, Workspace: w.Number, ID: id}
		}
		merged := func(id, into control.PersonID) control.PersonMove {
			return control.PersonMove{Person: 1, Workspace: w.Number, ID: id, Into: 2, IntoID: into}
		}
		for _, x := range []struct {
			what  string
			kind  control.ExportKind
			parts []control.ExportPart
			moves []control.PersonMove
			ends  bool
		}{
			{"somebody else", control.ExportUsersCSV, []control.ExportPart{part(marks("a", "b"), 2), part(marks("c"), 1)}, []control.PersonMove{deleted("x")}, false},
			{"one of the first part", control.ExportUsersCSV, []control.ExportPart{part(marks("a", "b"), 2), part(marks("c"), 1)}, []control.PersonMove{deleted("b")}, true},
			{"one of the last part, among others", control.ExportEmailsCSV, []control.ExportPart{part(marks("a", "b"), 2), part(marks("c"), 1)}, []control.PersonMove{deleted("x"), deleted("c")}, true},
			{"somebody, and nobody is in it", control.ExportSegmentUsers, nil, []control.PersonMove{deleted("x")}, false},
			{"somebody, and it is of before lists", control.ExportCanvasUsers, []control.ExportPart{part(marks("a", "b"), 2), part(nil, 1)}, []control.PersonMove{deleted("x")}, true},
			{"somebody, and its list is short", control.ExportUsersCSV, []control.ExportPart{part(marks("a"), 2)}, []control.PersonMove{deleted("x")}, true},
			{"somebody, and its list is torn", control.ExportUsersCSV, []control.ExportPart{part(marks("a", "b")[:7], 2)}, []control.PersonMove{deleted("x")}, true},
			{"nobody: two of it are one now", control.ExportUsersCSV, []control.ExportPart{part(marks("a", "b"), 2)}, []control.PersonMove{merged("a", "b")}, false},
			{"one in whom one of it went up", control.ExportUsersCSV, []control.ExportPart{part(marks("a", "b"), 2)}, []control.PersonMove{merged("a", "m"), merged("a", "m"), merged("m", "o"), deleted("o")}, true},
			{"one, in whom somebody else went up", control.ExportUsersCSV, []control.ExportPart{part(marks("a", "b"), 2)}, []control.PersonMove{merged("n", "p"), deleted("p")}, false},
			{"somebody, and it names nobody", control.ExportRevenue, nil, []control.PersonMove{deleted("a")}, false},
		} {
			f, others := file(w, x.kind, x.parts...), file(other, x.kind, x.parts...)
			for _, m := range x.moves { // merges may be of earlier commits
				ok(t, e.NoteMoves(ctx, w.Number, []control.PersonMove{m}, e.now))
			}
			ok(t, e.NoteMoves(ctx, w.Number, x.moves, e.now)) // as after a crash
			got, err := e.Export(ctx, w.Number, f.ID)
			ok(t, err)
			kept, err := e.KeptExports(ctx, e.now)
			ok(t, err)
			if got.Downloadable(e.now) == x.ends || got.Outdated() != x.ends || kept[f.ID] == x.ends {
				t.Errorf("%s was deleted: it is %+v, kept: %v", x.what, got, kept[f.ID])
			}
			if !kept[others.ID] {
				t.Errorf("%s was deleted: another workspace's file is gone", x.what)
			}
			e.now = e.now.Add(5 * time.Hour)
			ok(t, e.Sweep(ctx, e.now))
			if parts, err := e.ExportParts(ctx, others); err != nil || len(parts) > 0 {
				t.Errorf("who was in what has expired is still there: %v, %v", parts, err)
			}
		}
		want(t, e.NoteMoves(ctx, other.Number+1, []control.PersonMove{deleted("a")}, e.now), fault.NotFound)
	})

	run("who went up in others is remembered as long as a file or an open export may hold them", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		x := e.exported(w, func(x *control.Export) { x.Kind, x.File = control.ExportUsersCSV, "users.zip" })
		ok(t, e.StartExport(ctx, x, 1, e.now))
		e.now = e.now.Add(time.Minute)
		ok(t, e.NoteMoves(ctx, w.Number, []control.PersonMove{{Workspace: w.Number, ID: "a", Into: 2, IntoID: "b"}}, e.now)) // after it was read
		e.now = e.now.Add(time.Hour)
		ok(t, e.Sweep(ctx, e.now))
		p := control.ExportPart{Number: 1, Last: 1, People: 1, Hash: []byte{1}, Who: control.AppendMark(nil, "a")}
		ok(t, e.AddExportPart(ctx, x, p))
		x.Add(p)
		ok(t, e.EndExport(ctx, x.Ended(e.now, nil)))
		ok(t, e.Sweep(ctx, e.now))
		ok(t, e.NoteMoves(ctx, w.Number, []control.PersonMove{{Workspace: w.Number, ID: "b"}}, e.now))
		got, err := e.Export(ctx, w.Number, x.ID)
		ok(t, err)
		equal(t, "outdated", got.Outdated(), true)
	})

	run("an export of people during which somebody was deleted is not done", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		x := e.exported(w, nil)
		report := e.exported(w, func(x *control.Export) { x.Kind, x.Source = control.ExportRevenue, control.ExportByDashboard })
		ok(t, e.NoteErasure(ctx, w.Number, e.now)) // while it waits
		e.now = e.now.Add(time.Minute)
		ok(t, e.StartExport(ctx, x, 1, e.now))
		x.StartedAt, x.ErasedAt = e.now, e.now.Add(-time.Minute)
		outdated := func(is bool) {
			t.Helper()
			got, err := e.Export(ctx, w.Number, x.ID)
			ok(t, err)
			equal(t, "outdated", got.Outdated(), is)
		}
		outdated(false)
		ok(t, e.NoteErasure(ctx, w.Number, e.now))
		outdated(true)
		want(t, e.EndExport(ctx, x.Ended(e.now, nil)), fault.Stale)
		ok(t, e.EndExport(ctx, report.Ended(e.now, nil))) // which names nobody
		e.now = e.now.Add(time.Minute)
		ok(t, e.StartExport(ctx, x, 1, e.now)) // anew
		outdated(false)
		ok(t, e.EndExport(ctx, x.Ended(e.now, nil)))
	})

	run("the call of a program is repeated until it is done", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		x := e.exported(w, func(x *control.Export) { x.Spec.Callback = "https://example.com/done" })
		due := func() []control.Export {
			t.Helper()
			all, err := e.ExportCalls(ctx)
			ok(t, err)
			return all
		}
		equal(t, "before it is done", len(due()), 0)
		x = x.Ended(e.now, nil)
		ok(t, e.EndExport(ctx, x))
		same(t, "done", due(), []control.Export{x})
		x.Call = control.ExportCalling{Next: e.now.Add(time.Minute), Tries: 1}
		ok(t, e.NoteExportCall(ctx, x))
		same(t, "later", due(), []control.Export{x})
		x.Call = control.ExportCalling{Tries: 2}
		ok(t, e.NoteExportCall(ctx, x))
		equal(t, "called", len(due()), 0)
		failed := e.exported(w, func(x *control.Export) { x.Subject, x.Spec.Callback = "s-2", "https://example.com/done" })
		failed = failed.Ended(e.now, fault.New(fault.Unavailable, "", "the bucket is gone"))
		ok(t, e.EndExport(ctx, failed))
		same(t, "failed", due(), []control.Export{failed})

		bad := e.exported(w, func(x *control.Export) { x.Subject, x.Spec.Callback = "s-3", "https://example.com/done" })
		ok(t, e.EndExport(ctx, bad.Ended(e.now, nil)))
		e.spoil("UPDATE exports SET spec = '{\"of_a_newer_version\":1}' WHERE number = " + fmt.Sprint(bad.Number))
		all, err := e.ExportCalls(ctx)
		want(t, err, fault.Corrupt)
		same(t, "beside one that cannot be read", all, []control.Export{failed})
		same(t, "which is told of no more", due(), []control.Export{failed})
	})

	run("an export that cannot be read fails, and holds up no other", func(t *testing.T, e *env) {
		ctx := context.Background()
		w := e.workspace("acme")
		bad, good := e.exported(w, nil), e.exported(w, func(x *control.Export) { x.Subject = "s-2" })
		e.spoil("UPDATE exports SET spec = '{\"filter\":{\"of_a_newer_version\":1}}' WHERE number = " + fmt.Sprint(bad.Number))
		all, err := e.OpenExports(ctx)
		want(t, err, fault.Corrupt)
		same(t, "those that can be read", all, []control.Export{good})
		all, err = e.OpenExports(ctx)
		ok(t, err)
		same(t, "and again", all, []control.Export{good})
		all, err = e.Exports(ctx, w.Number, control.ExportFilter{}, 0, 10)
		ok(t, err)
		if len(all) != 2 || all[0].ID != good.ID || all[1].ID != bad.ID || all[1].Failure == nil || all[1].Failure.Code != fault.Corrupt || !strings.Contains(all[1].Failure.Message(), string(bad.ID)) {
			t.Errorf("listed are %+v", all)
		}
		_, err = e.Export(ctx, w.Number, bad.ID) // of its filter everybody would be left
		want(t, err, fault.Corrupt)
	})
}
