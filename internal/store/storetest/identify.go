package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/store"
)

// profiles opens the tables of people beside those of e.
func (e *env) profiles() *store.Profiles {
	e.t.Helper()
	cfg := e.cfg
	if cfg.Path != "" {
		cfg.Path += ".people"
	}
	p, err := store.OpenProfiles(e.t.Context(), cfg)
	ok(e.t, err)
	e.t.Cleanup(func() { p.Close() })
	return p
}

func external(value string) control.Identifier {
	return control.Identifier{Kind: control.ByExternalID, Value: value}
}

// moves are those of a commit to which the reader has not come.
func (e *env) moves(workspace uint32, all ...control.IdentityMove) control.IdentityMoves {
	return control.IdentityMoves{Workspace: workspace, Log: e.log, At: 1 << 40, Moves: all}
}

// changes are the moves of a commit that says these changes.
func (e *env) changes(workspace uint32, at eventlog.Offset, all ...control.PersonChange) control.IdentityMoves {
	m := control.IdentityMoves{Workspace: workspace, Log: e.log, At: at}
	for _, c := range all {
		m.Moves = append(m.Moves, c.Moves()...)
	}
	return m
}

func identities(run runner) {
	const acme, other = 7, 8
	alias := control.ByNameOf(control.Alias{Label: "crm", Name: "4711"})
	run("an identifier names the first candidate that is nobody yet, for ever", func(t *testing.T, e *env) {
		p := e.profiles()
		ctx := t.Context()
		got, err := p.Identify(ctx, acme, []control.NewIdentity{
			{Identifier: external("ana"), Candidates: []control.PersonID{"p1", "p2"}},
			{Identifier: alias, Candidates: []control.PersonID{"p1", "p2", "p3"}},
			{Identifier: external("ana"), Candidates: []control.PersonID{"p9"}},
			{Identifier: external("bo"), Candidates: []control.PersonID{"p1"}},
		})
		ok(t, err)
		equal(t, "named", got, []control.PersonIdentity{
			{Workspace: acme, Identifier: external("ana"), Person: "p1"}, {Workspace: acme, Identifier: alias, Person: "p2"},
			{Workspace: acme, Identifier: external("ana"), Person: "p1"}, {Workspace: acme, Identifier: external("bo"), Person: "p1"},
		})
		got, err = p.Identify(ctx, other, []control.NewIdentity{{Identifier: external("ana"), Candidates: []control.PersonID{"p5"}}})
		ok(t, err)
		equal(t, "in another workspace", got[0].Person, control.PersonID("p5"))
	})
	run("who another went up in has their own external id before the reader comes to them", func(t *testing.T, e *env) {
		p, ctx := e.profiles(), t.Context()
		for _, name := range []string{"ana", "bo", "cy"} {
			_, err := p.Identify(ctx, acme, []control.NewIdentity{{Identifier: external(name), Candidates: []control.PersonID{control.PersonID("p-" + name)}}})
			ok(t, err)
		}
		ok(t, p.MoveIdentities(ctx, e.moves(acme, control.IdentityMove{From: "p-ana", Into: "p-bo"}, control.IdentityMove{From: "p-cy", Into: "p-bo"})))
		known, err := p.Whom(ctx, acme, []control.Identifier{external("bo")})
		ok(t, err)
		equal(t, "bo", known, []control.Known{{Identifier: external("bo"), Person: "p-bo", ExternalID: "bo"}})
	})
	run("who is found by an address has it, and the external id that a request has given", func(t *testing.T, e *env) {
		p, ctx := e.profiles(), t.Context()
		ok(t, p.Apply(ctx, &control.PeopleBatch{Log: e.log, Next: 1, People: []*control.Person{
			{Row: 1, New: true, Workspace: acme, ID: "p1", Email: "a@x.example", Phone: "+491234", CreatedAt: e.now, UpdatedAt: e.now}}}))
		_, err := p.Identify(ctx, acme, []control.NewIdentity{{Identifier: external("ana"), Candidates: []control.PersonID{"p1"}}, {Identifier: alias, Candidates: []control.PersonID{"p2"}}})
		ok(t, err)
		for _, i := range []control.Identifier{{Kind: control.ByEmail, Value: "a@x.example"}, {Kind: control.ByPhone, Value: "+491234"}, {Kind: control.ByPerson, Value: "p1"}} {
			known, err := p.Whom(ctx, acme, []control.Identifier{i})
			ok(t, err)
			equal(t, i.Value, known, []control.Known{{Identifier: i, Person: "p1", ExternalID: "ana", Email: "a@x.example", Phone: "+491234", UpdatedAt: e.now}})
		}
	})
	run("nobody is who was ended and is not ended by the log yet", func(t *testing.T, e *env) {
		p, ctx := e.profiles(), t.Context()
		ask := []control.NewIdentity{{Identifier: external("ana"), Candidates: []control.PersonID{"p1", "p2"}}}
		whose := func() control.PersonID {
			t.Helper()
			got, err := p.Identify(ctx, acme, ask)
			ok(t, err)
			return got[0].Person
		}
		equal(t, "at first", whose(), control.PersonID("p1"))
		ok(t, p.MoveIdentities(ctx, e.moves(acme, control.IdentityMove{From: "p1"})))
		equal(t, "after p1 was deleted", whose(), control.PersonID("p2"))
		ok(t, p.MoveIdentities(ctx, e.moves(acme, control.IdentityMove{From: "p2"})))
		ok(t, p.Apply(ctx, &control.PeopleBatch{Log: e.log, Next: 1, Moves: []control.PersonMove{{Person: 1, Workspace: acme, ID: "p1"}, {Person: 2, Workspace: acme, ID: "p2"}}}))
		equal(t, "once the log has ended both", whose(), control.PersonID("p1"))
		ok(t, p.MoveIdentities(ctx, e.moves(acme, control.IdentityMove{From: "p9"})))
		named, err := p.Named(ctx, acme, []control.PersonID{"", "p9"})
		ok(t, err)
		equal(t, "of whom nothing is known", len(named), 0)
	})
	run("who was ended gets no identifier back from what the log said before", func(t *testing.T, e *env) {
		p, ctx := e.profiles(), t.Context()
		named := func(name string, candidates ...control.PersonID) control.PersonID {
			t.Helper()
			got, err := p.Identify(ctx, acme, []control.NewIdentity{{Identifier: external(name), Candidates: candidates}})
			ok(t, err)
			return got[0].Person
		}
		equal(t, "ana", named("ana", "p1", "p2"), control.PersonID("p1"))
		equal(t, "cy", named("cy", "p3"), control.PersonID("p3"))
		ok(t, p.MoveIdentities(ctx, e.moves(acme, control.IdentityMove{From: "p1"})))
		// The reader comes to what made her, and to her namesake of another workspace, who is alive.
		ok(t, p.Apply(ctx, &control.PeopleBatch{Log: e.log, Next: 1, Identities: []control.PersonIdentity{
			{Workspace: acme, Identifier: external("ana"), Person: "p1"}, {Workspace: other, Identifier: external("ana"), Person: "p1"}}}))
		known, err := p.Whom(ctx, acme, []control.Identifier{external("ana")})
		ok(t, err)
		equal(t, "people whom her external id names", len(known), 0)
		known, err = p.Whom(ctx, other, []control.Identifier{external("ana")})
		ok(t, err)
		equal(t, "people whom it names in another workspace", len(known), 1)
		equal(t, "who comes after her", named("ana", "p1", "p2"), control.PersonID("p2"))
		ok(t, p.MoveIdentities(ctx, e.moves(acme, control.IdentityMove{From: "p3", Into: "p2"})))
		ok(t, p.Apply(ctx, &control.PeopleBatch{Log: e.log, From: 1, Next: 2, Moves: []control.PersonMove{{Person: 1, Workspace: acme, ID: "p1"}}}))
		equal(t, "who went up in who came after her", named("cy", "p4"), control.PersonID("p2"))
	})
	run("only who has an external id by the log is said to hold it", func(t *testing.T, e *env) {
		p, ctx := e.profiles(), t.Context()
		_, err := p.Identify(ctx, acme, []control.NewIdentity{{Identifier: external("bo"), Candidates: []control.PersonID{"p-bo"}}})
		ok(t, err)
		ok(t, p.Apply(ctx, &control.PeopleBatch{Log: e.log, Next: 1, People: []*control.Person{
			{Row: 1, New: true, Workspace: acme, ID: "p-ana", ExternalID: "ana", CreatedAt: e.now, UpdatedAt: e.now}, {Row: 2, New: true, Workspace: other, ID: "p-cy", ExternalID: "cy", CreatedAt: e.now, UpdatedAt: e.now}}}))
		ok(t, p.MoveIdentities(ctx, e.moves(acme, control.IdentityMove{From: "p-ana"})))
		got, err := p.Holders(ctx, acme, []string{"ana", "bo", "cy"})
		ok(t, err)
		equal(t, "holders", got, []control.PersonIdentity{{Workspace: acme, Identifier: external("ana"), Person: "p-ana"}})
	})
	run("what was set aside is counted by workspace and listed of all", func(t *testing.T, e *env) {
		p, ctx := e.profiles(), t.Context()
		aside := func(offset int64, workspace uint32) control.SetAside {
			return control.SetAside{Offset: eventlog.Offset(offset), Workspace: workspace, EventType: "t", Reason: "r", At: e.now.Add(time.Duration(offset) * time.Second)}
		}
		ok(t, p.Apply(ctx, &control.PeopleBatch{Log: e.log, Next: 9, SetAside: []control.SetAside{aside(1, acme), aside(2, other), aside(3, acme), aside(4, 0)}}))
		counts, err := p.SetAsideCounts(ctx)
		ok(t, err)
		equal(t, "counts", counts, map[uint32]int64{acme: 2, other: 1, 0: 1})
		all, err := p.AllSetAside(ctx, 3)
		ok(t, err)
		equal(t, "all", all, []control.SetAside{aside(4, 0), aside(3, acme), aside(2, other)})
		own, err := p.SetAside(ctx, other, 3)
		ok(t, err)
		equal(t, "of one", own, []control.SetAside{aside(4, 0), aside(2, other)})
	})
	run("two that come at once agree on whom an identifier names", func(t *testing.T, e *env) {
		p := e.profiles()
		var wg sync.WaitGroup
		got := make([]control.PersonID, 8)
		for i := range got {
			wg.Go(func() {
				named, err := p.Identify(t.Context(), acme, []control.NewIdentity{{Identifier: external("ana"), Candidates: []control.PersonID{control.PersonID(fmt.Sprint("p", i))}}})
				if err != nil {
					t.Error(err)
					return
				}
				got[i] = named[0].Person
			})
		}
		wg.Wait()
		equal(t, "different people", len(slices.Compact(got)), 1)
	})
	run("people are found by each kind of identifier, those with one address the newest first", func(t *testing.T, e *env) {
		p := e.profiles()
		ctx := t.Context()
		someone := func(row int64, id control.PersonID, external string, minutes int) *control.Person {
			return &control.Person{Row: row, New: true, Workspace: acme, ID: id, ExternalID: external, Email: "a@example.com", Phone: "+4930123",
				CreatedAt: e.now, UpdatedAt: e.now.Add(time.Duration(minutes) * time.Minute)}
		}
		ok(t, p.Apply(ctx, &control.PeopleBatch{Log: e.log, Next: 1, People: []*control.Person{someone(1, "p1", "ana", 1), someone(2, "p2", "", 3), someone(3, "p3", "", 2)},
			Identities: []control.PersonIdentity{{Workspace: acme, Identifier: external("ana"), Person: "p1"}}}))
		_, err := p.Identify(ctx, acme, []control.NewIdentity{{Identifier: external("new"), Candidates: []control.PersonID{"p4"}}, {Identifier: alias, Candidates: []control.PersonID{"p4"}}})
		ok(t, err)
		for _, row := range []struct {
			by   control.Identifier
			want string
		}{
			{external("ana"), "p1/ana/1"},
			{external("nobody"), ""},
			{external("new"), "p4/new/-"},
			{alias, "p4/new/-"},
			{control.Identifier{Kind: control.ByPerson, Value: "p1"}, "p1/ana/1"},
			{control.Identifier{Kind: control.ByPerson, Value: "p4"}, "p4/new/-"},
			{control.Identifier{Kind: control.ByPerson, Value: "p8"}, ""},
			{control.Identifier{Kind: control.ByEmail, Value: "a@example.com"}, "p2//3 p3//2 p1/ana/1"},
			{control.Identifier{Kind: control.ByPhone, Value: "+4930123"}, "p2//3 p3//2 p1/ana/1"},
		} {
			var got []string
			known, err := p.Whom(ctx, acme, []control.Identifier{row.by})
			ok(t, err)
			for _, k := range known {
				equal(t, "by", k.Identifier, row.by)
				at := "-"
				if !k.UpdatedAt.IsZero() {
					at = fmt.Sprint(int(k.UpdatedAt.Sub(e.now).Minutes()))
				}
				got = append(got, fmt.Sprintf("%s/%s/%s", k.Person, k.ExternalID, at))
			}
			equal(t, fmt.Sprint(row.by), strings.Join(got, " "), row.want)
		}
		none, err := p.Whom(ctx, other, []control.Identifier{external("ana"), alias, {Kind: control.ByPerson, Value: "p1"}, {Kind: control.ByEmail, Value: "a@example.com"}})
		ok(t, err)
		equal(t, "of another workspace", len(none), 0)
	})
	run("identifiers move to somebody else, all of a person's or one, or to nobody", func(t *testing.T, e *env) {
		p := e.profiles()
		ctx := t.Context()
		_, err := p.Identify(ctx, acme, []control.NewIdentity{{Identifier: external("a"), Candidates: []control.PersonID{"p1"}}, {Identifier: alias, Candidates: []control.PersonID{"p1"}},
			{Identifier: external("b"), Candidates: []control.PersonID{"p2"}}, {Identifier: external("c"), Candidates: []control.PersonID{"p3"}}})
		ok(t, err)
		ok(t, p.MoveIdentities(ctx, e.moves(acme, control.IdentityMove{From: "p1", Into: "p2"}, control.IdentityMove{From: "p3"}, control.IdentityMove{Identifier: external("b"), From: "p2"},
			control.IdentityMove{Identifier: control.Identifier{Kind: control.ByFormerID, Value: "b"}, From: "p2", Into: "p2"})))
		got, err := p.Named(ctx, acme, []control.PersonID{"p1", "p2", "p3"})
		ok(t, err)
		slices.SortFunc(got, func(a, b control.PersonIdentity) int { return int(a.Kind) - int(b.Kind) })
		equal(t, "named", got, []control.PersonIdentity{{Workspace: acme, Identifier: external("a"), Person: "p2"}, {Workspace: acme, Identifier: alias, Person: "p2"},
			{Workspace: acme, Identifier: control.Identifier{Kind: control.ByFormerID, Value: "b"}, Person: "p2"}})
	})
	renamed := func(p control.PersonID, old, now string) control.PersonChange {
		return control.PersonChange{Kind: control.PersonUpdate, Person: p, Old: old, Alias: &control.Alias{Label: "crm", Name: now}}
	}
	crm := func(name string) control.Identifier {
		return control.ByNameOf(control.Alias{Label: "crm", Name: name})
	}
	run("moves that are made again change nothing, also for who was named since", func(t *testing.T, e *env) {
		p, ctx := e.profiles(), t.Context()
		name := func(i control.Identifier, id control.PersonID) {
			t.Helper()
			_, err := p.Identify(ctx, acme, []control.NewIdentity{{Identifier: i, Candidates: []control.PersonID{id}}})
			ok(t, err)
		}
		for i, id := range map[control.Identifier]control.PersonID{crm("a"): "p1", external("x"): "p2", external("y"): "p3", external("z"): "p4"} {
			name(i, id)
		}
		m := e.changes(acme, 5, renamed("p1", "a", "b"), control.PersonChange{Kind: control.PersonRename, Person: "p2", Old: "x", ExternalID: "w"},
			control.PersonChange{Kind: control.PersonDelete, Person: "p3"}, control.PersonChange{Kind: control.PersonMerge, Person: "p4", Into: "p2"})
		ok(t, p.MoveIdentities(ctx, m))
		name(crm("a"), "p7")
		name(external("y"), "p8")
		want := e.whose(p, acme, crm("a"), crm("b"), external("x"), external("w"), external("y"), external("z"))
		equal(t, "named", want, "p7 p1 - p2 p8 p2")
		ok(t, p.MoveIdentities(ctx, m))
		equal(t, "again", e.whose(p, acme, crm("a"), crm("b"), external("x"), external("w"), external("y"), external("z")), want)
	})
	run("moves to which the reader has come are its own", func(t *testing.T, e *env) {
		p, ctx := e.profiles(), t.Context()
		ok(t, p.Apply(ctx, &control.PeopleBatch{Log: e.log, Next: 6, Identities: []control.PersonIdentity{{Workspace: acme, Identifier: external("ana"), Person: "p1"}}}))
		ok(t, p.MoveIdentities(ctx, e.changes(acme, 5, control.PersonChange{Kind: control.PersonDelete, Person: "p1"})))
		equal(t, "of a commit below the cursor", e.whose(p, acme, external("ana")), "p1")
		ok(t, p.MoveIdentities(ctx, e.changes(acme, 6, control.PersonChange{Kind: control.PersonDelete, Person: "p1"})))
		equal(t, "of one at it", e.whose(p, acme, external("ana")), "-")
	})
	run("what the log told before says nothing of identifiers that were moved since", func(t *testing.T, e *env) {
		p, ctx := e.profiles(), t.Context()
		_, err := p.Identify(ctx, acme, []control.NewIdentity{{Identifier: crm("a"), Candidates: []control.PersonID{"p1"}}})
		ok(t, err)
		// There, back, and once more to another, before the reader has come to anything.
		ok(t, p.MoveIdentities(ctx, e.changes(acme, 2, renamed("p1", "a", "b"))))
		ok(t, p.MoveIdentities(ctx, e.changes(acme, 4, renamed("p1", "b", "a"))))
		_, err = p.Identify(ctx, acme, []control.NewIdentity{{Identifier: crm("b"), Candidates: []control.PersonID{"p2"}}})
		ok(t, err)
		equal(t, "named", e.whose(p, acme, crm("a"), crm("b")), "p1 p2")
		at := eventlog.Offset(0)
		for _, some := range [][]control.PersonIdentity{
			{{Workspace: acme, Identifier: crm("a"), Person: "p1"}},
			{{Workspace: acme, Identifier: crm("a"), From: "p1"}, {Workspace: acme, Identifier: crm("b"), Person: "p1"}},
			{{Workspace: acme, Identifier: crm("b"), From: "p1"}, {Workspace: acme, Identifier: crm("a"), Person: "p1"}},
			{{Workspace: acme, Identifier: crm("b"), Person: "p2"}},
		} {
			ok(t, p.Apply(ctx, &control.PeopleBatch{Log: e.log, From: at, Next: at + 2, Identities: some}))
			at += 2
			equal(t, fmt.Sprint("when the reader is at ", at), e.whose(p, acme, crm("a"), crm("b")), "p1 p2")
		}
		// By now it has come to all: the log alone says what follows.
		ok(t, p.Apply(ctx, &control.PeopleBatch{Log: e.log, From: at, Next: at + 2, Identities: []control.PersonIdentity{{Workspace: acme, Identifier: crm("a"), Person: "p9", From: "p1"}, {Workspace: acme, Identifier: crm("b"), From: "p1"}}}))
		equal(t, "by the log alone", e.whose(p, acme, crm("a"), crm("b")), "p9 p2")
	})
	run("who was renamed has their new external id before the reader comes to it, whoever went up in them", func(t *testing.T, e *env) {
		p, ctx := e.profiles(), t.Context()
		rename := func(id control.PersonID, old, now string) control.PersonChange {
			return control.PersonChange{Kind: control.PersonRename, Person: id, Old: old, ExternalID: now}
		}
		ok(t, p.Apply(ctx, &control.PeopleBatch{Log: e.log, Next: 1, People: []*control.Person{
			{Row: 1, New: true, Workspace: acme, ID: "p1", ExternalID: "ana", CreatedAt: e.now, UpdatedAt: e.now}, {Row: 2, New: true, Workspace: acme, ID: "p2", ExternalID: "bo", CreatedAt: e.now, UpdatedAt: e.now}},
			Identities: []control.PersonIdentity{{Workspace: acme, Identifier: external("ana"), Person: "p1"}, {Workspace: acme, Identifier: external("bo"), Person: "p2"}}}))
		ok(t, p.MoveIdentities(ctx, e.changes(acme, 1, rename("p1", "ana", "anna"))))
		ok(t, p.MoveIdentities(ctx, e.changes(acme, 2, rename("p2", "bo", "bob"))))
		ok(t, p.MoveIdentities(ctx, e.changes(acme, 3, control.PersonChange{Kind: control.PersonMerge, Person: "p2", Into: "p1"})))
		for _, i := range []control.Identifier{external("anna"), external("bob"), {Kind: control.ByFormerID, Value: "ana"}, {Kind: control.ByFormerID, Value: "bo"}} {
			known, err := p.Whom(ctx, acme, []control.Identifier{i})
			ok(t, err)
			if len(known) != 1 || known[0].Person != "p1" || known[0].ExternalID != "anna" {
				t.Errorf("%v names %+v, want p1 with the external id anna", i, known)
			}
		}
	})
	run("a log that takes the place of another is not waited for", func(t *testing.T, e *env) {
		p, ctx := e.profiles(), t.Context()
		ok(t, p.Begin(ctx, e.log, 1, nil))
		_, err := p.Identify(ctx, acme, []control.NewIdentity{{Identifier: external("ana"), Candidates: []control.PersonID{"p1"}}, {Identifier: crm("a"), Candidates: []control.PersonID{"p2"}}})
		ok(t, err)
		ok(t, p.MoveIdentities(ctx, e.changes(acme, 5, control.PersonChange{Kind: control.PersonDelete, Person: "p1"}, renamed("p2", "a", "b"))))
		says := func(log eventlog.ID) string {
			t.Helper()
			ok(t, p.Apply(ctx, &control.PeopleBatch{Log: log, From: 1, Next: 2, Identities: []control.PersonIdentity{{Workspace: acme, Identifier: external("ana"), Person: "p1"}, {Workspace: acme, Identifier: crm("a"), Person: "p3"}}}))
			return e.whose(p, acme, external("ana"), crm("a"))
		}
		equal(t, "by the log in which they are", says(e.log), "- -")
		other := eventlog.ID{42}
		ok(t, p.Begin(ctx, other, 1, nil))
		equal(t, "by another", says(other), "p1 p3")
	})
}

// whose gives whom identifiers name, with a dash for nobody.
func (e *env) whose(p *store.Profiles, workspace uint32, ids ...control.Identifier) string {
	e.t.Helper()
	var out []string
	for _, i := range ids {
		known, err := p.Whom(e.t.Context(), workspace, []control.Identifier{i})
		ok(e.t, err)
		who := "-"
		for _, k := range known {
			who = string(k.Person)
		}
		out = append(out, who)
	}
	return strings.Join(out, " ")
}
