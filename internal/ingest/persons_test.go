package ingest

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// unmoved are people of whom a request ends, or its process, before it has moved their identifiers.
type unmoved struct {
	filled
	still atomic.Bool
}

func (u *unmoved) MoveIdentities(ctx context.Context, m control.IdentityMoves) error {
	if u.still.Load() {
		return fault.New(fault.Unavailable, "move identities", "no").WithRetry(1)
	}
	return u.filled.MoveIdentities(ctx, m)
}

// begin begins a process with the log and the people of those before.
func (o *office) begin(log eventlog.Log, people People) {
	d := o.deps(log)
	d.People, d.PersonKey = people, []byte("key of the tests")
	o.in = New(Config{}, d)
	o.calls = o.in.Calls()
}

// eventsOf gives the events of a log as JSON, one a line.
func eventsOf(t *testing.T, log eventlog.Log) string {
	t.Helper()
	in, err := log.Reader(0, eventlog.Filter{Kind: eventlog.Events})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out strings.Builder
	for {
		c, err := in.Next()
		if err != nil {
			t.Fatal(err)
		}
		if c == nil {
			return out.String()
		}
		for rec := range c.Records() {
			if s, is := catalogue().Schema(event.SchemaID(rec.Schema)); is && s.ID != event.PersonChange {
				b, err := s.AppendJSON(nil, rec.Value)
				if err != nil {
					t.Fatal(err)
				}
				out.Write(append(b, '\n'))
			}
		}
	}
}

// A request is durable, and its process ends, or its database fails, before identifiers name whom it says. Whoever comes next must
// not find those whom it renamed, merged or deleted as they were.
func TestWhatARequestLeftUndoneIsDoneBeforeTheNextOne(t *testing.T) {
	alias := func(name string) string { return `"user_alias":{"alias_label":"l","alias_name":"` + name + `"}` }
	type step struct {
		who  string // of an event that is sent then
		want string // of what is appended for it; empty: nothing
		not  string
	}
	rename := [2]string{RenameExternalIDsPath, `{"external_id_renames":[{"current_external_id":"ana","new_external_id":"anna"}]}`}
	for name, row := range map[string]struct {
		before [2]string // path and body of a request that is done whole
		path   string
		body   string
		steps  []step
	}{
		"deleted":  {path: DeletePath, body: `{"external_ids":["ana"]}`, steps: []step{{who: `"external_id":"ana"`, want: `"external_user_id":"ana"`, not: `"p-ana"`}, {who: alias("a")}}},
		"merged":   {path: MergePath, body: `{"merge_updates":[{"identifier_to_merge":{"external_id":"ana"},"identifier_to_keep":{"external_id":"bo"}}]}`, steps: []step{{who: `"external_id":"ana"`, want: `"p-bo"`}, {who: alias("a"), want: `"p-bo"`}}},
		"renamed":  {path: rename[0], body: rename[1], steps: []step{{who: `"external_id":"ana"`, want: `"user_id":"p-ana","external_user_id":"anna"`}}},
		"let go":   {before: rename, path: RemoveExternalIDsPath, body: `{"external_ids":["ana"]}`, steps: []step{{who: `"external_id":"ana"`, want: `"external_user_id":"ana"`, not: `"p-ana"`}, {who: `"external_id":"anna"`, want: `"p-ana"`}}},
		"an alias": {path: UpdateAliasPath, body: `{"alias_updates":[{"alias_label":"l","old_alias_name":"a","new_alias_name":"b"}]}`, steps: []step{{who: alias("a")}, {who: alias("b"), want: `"p-ana"`}}},
	} {
		for _, way := range []string{"the process ends", "the database fails"} {
			t.Run(name+", "+way, func(t *testing.T) {
				o := openOffice(t)
				log, err := segment.Open(t.Context(), segment.Config{FS: vfstest.New(), MinFree: -1})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { log.Close() })
				o.know(control.Person{ID: "p-ana", ExternalID: "ana"}, externalID("ana"), control.ByNameOf(control.Alias{Label: "l", Name: "a"}))
				o.know(control.Person{ID: "p-bo", ExternalID: "bo"}, externalID("bo"))
				people := &unmoved{filled: o.people}
				o.begin(log, people)
				if row.before[0] != "" {
					o.send(row.before[0], row.before[1])
				}
				people.still.Store(true)
				if a := o.send(row.path, row.body); a.status/100 != 2 {
					t.Fatalf("%d %s", a.status, a.body)
				}
				track := func(who string) int {
					return o.send(TrackPath, `{"events":[{`+who+`,"name":"n","time":"2026-11-20"}]}`).status
				}
				if way == "the database fails" {
					if got := track(`"external_id":"cy"`); got != 503 {
						t.Errorf("while identifiers name who is no more a request about others got %d", got)
					}
				} else {
					o.begin(log, people)
				}
				people.still.Store(false)
				for _, s := range row.steps {
					was := eventsOf(t, log)
					if got := track(s.who); got != 201 {
						t.Errorf("%s: %d", s.who, got)
					}
					got := strings.TrimPrefix(eventsOf(t, log), was)
					if s.want == "" && got != "" || !strings.Contains(got, s.want) || s.not != "" && strings.Contains(got, s.not) {
						t.Errorf("an event of %s became\n%swant %s and not %s", s.who, got, s.want, s.not)
					}
				}
			})
		}
	}
}

// An append that outlives its request may count or not: nobody may find identifiers as they were before it.
func TestNobodyIsNamedBesideAnAppendThatNobodyWaitsFor(t *testing.T) {
	o := openOffice(t)
	o.know(control.Person{ID: "p-ana", ExternalID: "ana"}, externalID("ana"))
	v, err := o.in.people.enter(t.Context(), 7, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	ends := v.begins()
	v.leave() // its request was answered: too late
	const body = `{"events":[{"external_id":"ana","name":"n","time":"2026-11-20"}]}`
	if a := o.send(TrackPath, body); a.status != 503 || a.header.Get("Retry-After") == "" || o.log.records() != 0 {
		t.Errorf("beside it: %d %s, %d records", a.status, a.body, o.log.records())
	}
	ends(control.IdentityMoves{Workspace: 7, Log: o.log.ID(), At: 5, Moves: control.PersonChange{Kind: control.PersonDelete, Person: "p-ana"}.Moves()})
	if a := o.send(TrackPath, body); a.status != 201 || strings.Contains(o.appended(0), "p-ana") {
		t.Errorf("after it: %d %s, appended\n%s", a.status, a.body, o.appended(0))
	}
}

func TestAnIdentifierIsNotRenamedToItself(t *testing.T) {
	o := openOffice(t)
	o.know(control.Person{ID: "p-ana", ExternalID: "ana"}, externalID("ana"), control.ByNameOf(control.Alias{Label: "l", Name: "a"}))
	o.want(RenameExternalIDsPath, `{"external_id_renames":[{"current_external_id":"ana","new_external_id":"ana"}]}`, 201,
		`{"external_ids":[],"message":"success","rename_errors":["the new_external_id is in use already (item 0)"]}`)
	o.want(UpdateAliasPath, `{"alias_updates":[{"alias_label":"l","old_alias_name":"a","new_alias_name":"a"}]}`, 201, `{"message":"success"}`)
	for _, i := range []control.Identifier{externalID("ana"), control.ByNameOf(control.Alias{Label: "l", Name: "a"})} {
		if known, err := o.people.Whom(t.Context(), 7, []control.Identifier{i}); err != nil || len(known) != 1 {
			t.Errorf("%v names %v, %v", i, known, err)
		}
	}
	if n := o.log.records(); n != 0 {
		t.Errorf("%d records were appended", n)
	}
}
