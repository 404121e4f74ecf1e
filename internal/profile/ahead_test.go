package profile

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store/storetest"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// late is a store that takes a batch only when the next one is made and waits. In a bubble time passes only then.
type late struct {
	Store
	fail func(b *control.PeopleBatch) error // nil: none fails
}

func (l late) Apply(ctx context.Context, b *control.PeopleBatch) error {
	time.Sleep(time.Nanosecond)
	if l.fail != nil {
		if err := l.fail(b); err != nil {
			return err
		}
	}
	return l.Store.Apply(ctx, b)
}

// commits are random doings of a few people that meet in everything of which batches have to know of each other.
func commits(random *rand.Rand, n int) (all [][]any) {
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	for range n {
		var commit []any
		for range 1 + random.IntN(4) {
			who, at := one("p1", "p2", "p3", "p4", "p5"), 1_000+random.IntN(1_000)
			e := map[string]any{"user_id": who, "time": at}
			if random.IntN(2) == 0 {
				e["external_user_id"] = one("u1", "u2", "u3", "u4")
			}
			switch random.IntN(12) {
			case 0, 1, 2:
				e["event_type"], e["name"], e["properties"] = "users.behaviors.CustomEvent", one("a", "b"), "{}"
				if random.IntN(3) == 0 {
					e["device_id"] = one("d1", "d2")
				}
			case 3:
				e["event_type"], e["product_id"], e["price"], e["currency"], e["properties"] = "users.behaviors.Purchase", one("x", "y"), 2.5, "EUR", "{}"
			case 4, 5:
				e["event_type"], e["app_id"], e["session_id"], e["device_id"], e["platform"] = "users.behaviors.app.SessionStart", one("ios", "web"), "s", one("d1", "d2"), "ios"
			case 6, 7:
				e["event_type"], e["campaign_id"], e["message_variation_id"], e["email_address"] = "users.messages.email."+one("Send", "Open"), one("c1", "c2"), "v", "a@b.example"
			case 8:
				e["event_type"], e["time_ms"], e["update_source"], e["first_name"], e["custom_attributes"] = "users.profile.Update", at*1000, "x", one("Ada", "Bo"), `{"plan":"`+one("gold", "free")+`"}`
			case 9:
				commit = append(commit, control.PersonChange{Kind: control.PersonUpdate, Person: control.PersonID(who), ExternalID: one("", "u1", "u2", "u5"),
					Alias: &control.Alias{Label: "l", Name: one("m", "n")}, Custom: []control.CustomChange{{Name: "n", Do: control.CustomInc, Value: json.RawMessage("1")}}})
				continue
			case 10:
				commit = append(commit, control.PersonChange{Kind: control.PersonRename, Person: control.PersonID(who), Old: one("u1", "u2"), ExternalID: one("u3", "u6")})
				continue
			case 11:
				c := control.PersonChange{Kind: control.PersonDelete, Person: control.PersonID(who)}
				if random.IntN(2) == 0 {
					c.Kind, c.Into = control.PersonMerge, control.PersonID(one("p6", "p7"))
				}
				commit = append(commit, c)
				continue
			}
			commit = append(commit, e)
		}
		all = append(all, commit)
	}
	return all
}

// made is what a reader makes of commits, as every table has it: of each commit a batch. ahead: all of them lie before it; else
// each comes when the one before is stored.
func made(t *testing.T, all [][]any, ahead bool, fail func(b *control.PeopleBatch) error) (rows []string) {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	types, err := event.NewCatalogue(nil)
	ok(err)
	log, err := segment.Open(t.Context(), segment.Config{FS: vfstest.New(), MinFree: -1})
	ok(err)
	defer func() { ok(log.Close()) }()
	people := storetest.OpenProfiles(t)
	applied := make(chan eventlog.Offset, 1000)
	r := New(Deps{Log: log, Store: late{people.Following(), fail}, Catalogue: types, Logger: slog.New(slog.DiscardHandler), Hooks: Hooks{
		OnApplied: func(at eventlog.Offset, _ int, _ time.Duration) { applied <- at }}})
	r.most, r.limit = 1, 1
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	follow := func() { go func() { done <- r.Run(ctx) }() }
	wait := func() {
		_, head := log.Bounds()
		for at := range applied {
			if at == head {
				return
			}
		}
	}
	if !ahead {
		follow()
	}
	reader := event.NewReader(types)
	n := 0
	for _, commit := range all {
		var b eventlog.Batch
		b.Reset(eventlog.Header{Workspace: 7, Kind: eventlog.Events})
		for _, x := range commit {
			switch x := x.(type) {
			case control.PersonChange:
				b.Commit(append(b.Begin(), control.EncodePersonChange(x)...), uint32(event.PersonChange))
			case map[string]any:
				n++
				x["id"] = fmt.Sprint("event-", n)
				text, err := json.Marshal(x)
				ok(err)
				out, s, res := reader.Read(b.Begin(), text, event.Options{})
				if len(res.Problems) > 0 {
					t.Fatalf("%s: %v", text, res.Problems)
				}
				b.Commit(out, uint32(s.ID))
			}
		}
		_, err := log.Append(t.Context(), &b)
		ok(err)
		if !ahead {
			wait()
		}
	}
	if ahead {
		follow()
		wait()
	}
	stop()
	ok(<-done)
	path := filepath.Join(t.TempDir(), "copy.db")
	_, err = people.CopyTo(t.Context(), path)
	ok(err)
	db, err := sql.Open("sqlite", path)
	ok(err)
	defer func() { ok(db.Close()) }()
	each := func(query string, f func(cells []any)) {
		found, err := db.Query(query)
		ok(err)
		defer found.Close() // again
		columns, err := found.Columns()
		ok(err)
		for found.Next() {
			cells, at := make([]any, len(columns)), make([]any, len(columns))
			for i := range at {
				at[i] = &cells[i]
			}
			ok(found.Scan(at...))
			f(cells)
		}
		ok(found.Err())
	}
	var tables []string
	each("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'people_%' OR name = 'people' ORDER BY name", func(cells []any) { tables = append(tables, cells[0].(string)) })
	for _, table := range tables {
		var some []string
		each("SELECT * FROM "+table, func(cells []any) {
			if table == "people_cursor" || table == "people_set_aside" {
				cells[0] = "of this log"
			}
			some = append(some, fmt.Sprintf("%s %q", table, cells))
		})
		slices.Sort(some)
		rows = append(rows, some...)
	}
	return rows
}

// A reader that makes a batch while the one before is being written makes the same of it as one that waits.
func TestWhatIsMadeAheadIsTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for name, trouble := range map[string]func() func(b *control.PeopleBatch) error{
		"nothing fails": func() func(b *control.PeopleBatch) error { return nil },
		"some are refused": func() func(b *control.PeopleBatch) error {
			return func(b *control.PeopleBatch) error {
				if b.Next-b.From > 1 && b.From%7 < 3 {
					return fault.New(fault.Conflict, "", "refused")
				}
				return nil
			}
		},
		"one in three is refused alone": func() func(b *control.PeopleBatch) error {
			return func(b *control.PeopleBatch) error {
				if b.From%3 == 0 && len(b.SetAside) == 0 {
					return fault.New(fault.Internal, "", "refused")
				}
				return nil
			}
		},
		"each fails at first": func() func(b *control.PeopleBatch) error {
			seen := map[eventlog.Offset]bool{}
			return func(b *control.PeopleBatch) error {
				if !seen[b.From] {
					seen[b.From] = true
					return fault.New(fault.Unavailable, "", "busy")
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range uint64(2) {
				all := commits(rand.New(rand.NewPCG(seed, round)), 50)
				var want, got []string
				synctest.Test(t, func(t *testing.T) { want = made(t, all, false, trouble()) })
				synctest.Test(t, func(t *testing.T) { got = made(t, all, true, trouble()) })
				if len(want) < 20 {
					t.Fatalf("only %d rows: nothing to compare", len(want))
				}
				for i := range max(len(want), len(got)) {
					if i >= len(want) || i >= len(got) || want[i] != got[i] {
						t.Fatalf("round %d: of %d rows this one is\n%q, and with waiting it is one of %d,\n%q", round, len(got), got[min(i, len(got)-1)], len(want), want[min(i, len(want)-1)])
					}
				}
			}
		})
	}
}
