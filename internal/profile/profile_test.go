package profile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/profile"
	"github.com/millrace/millrace/internal/store/storetest"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// world is a log, and people made from it.
type world struct {
	t      testing.TB
	log    eventlog.Log
	people people
	types  *event.Catalogue
	reader *event.Reader
	zone   *time.Location // of acme; nil: UTC
	n      int
}

// people is what a reader needs of the store, and how to look at what came of it.
type people interface {
	profile.Store
	SetAside(ctx context.Context, workspace uint32, limit int) ([]control.SetAside, error)
	MoveIdentities(ctx context.Context, m control.IdentityMoves) error
	Done(ctx context.Context, who *control.Person) ([]control.Deed, error)
	Stats(ctx context.Context, workspace uint32, names []int64, from, until int32) ([]control.Stat, error)
	Total(ctx context.Context, workspace uint32, count control.Counter, part string, until int32) (int64, error)
}

const acme uint32 = 7

func TestMain(m *testing.M) { storetest.Main(m) }

// over runs a test with people in each database.
func over(t *testing.T, f func(t *testing.T, w *world)) {
	storetest.Profiles(t, func(t *testing.T, p *storetest.People) { f(t, newWorld(t, p)) })
}

func newWorld(t testing.TB, p *storetest.People) *world {
	t.Helper()
	types, err := event.NewCatalogue(nil)
	must(t, err)
	w := &world{t: t, people: p.Following(), types: types, reader: event.NewReader(types)}
	w.newLog(0)
	return w
}

// newLog gives the world another log, whose files are of so many bytes; 0: as usual.
func (w *world) newLog(segmentBytes int64) {
	w.t.Helper()
	log, err := segment.Open(w.t.Context(), segment.Config{FS: vfstest.New(), MinFree: -1, SegmentBytes: segmentBytes})
	must(w.t, err)
	w.t.Cleanup(func() { must(w.t, log.Close()) })
	w.log = log
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// item is an event as JSON without id, or a change.
type item any

// accept puts items into the log as one request's.
func (w *world) accept(items ...item) {
	w.t.Helper()
	var b eventlog.Batch
	b.Reset(eventlog.Header{Workspace: acme, Kind: eventlog.Events})
	for _, i := range items {
		switch i := i.(type) {
		case control.PersonChange:
			b.Commit(append(b.Begin(), control.EncodePersonChange(i)...), uint32(event.PersonChange))
		case map[string]any:
			w.n++
			e := maps.Clone(i)
			if e["id"] == nil {
				e["id"] = fmt.Sprintf("event-%d", w.n)
			}
			text, err := json.Marshal(e)
			must(w.t, err)
			out, s, res := w.reader.Read(b.Begin(), text, event.Options{})
			if len(res.Problems) > 0 {
				w.t.Fatalf("%s: %v", text, res.Problems)
			}
			b.Commit(out, uint32(s.ID))
		}
	}
	_, err := w.log.Append(w.t.Context(), &b)
	must(w.t, err)
}

func (w *world) zones(context.Context) (map[uint32]*time.Location, error) {
	if w.zone == nil {
		return nil, nil
	}
	return map[uint32]*time.Location{acme: w.zone}, nil
}

// follow applies the log until people are at its head.
func (w *world) follow() {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	_, head := w.log.Bounds()
	var r *profile.Reader
	done := func() {
		if st, _ := r.Status(); st.Next >= head {
			stop()
		}
	}
	r = profile.New(profile.Deps{Log: w.log, Store: w.people, Catalogue: w.types, Zones: w.zones, Logger: slog.New(slog.DiscardHandler), Hooks: profile.Hooks{
		OnApplied: func(next eventlog.Offset, _ int, _ time.Duration) { done() },
		OnSetAside: func(x control.SetAside) {
			w.t.Logf("set aside: %+v", x)
			done()
		},
	}})
	if log, at, known, err := w.people.Cursor(ctx); err != nil || known && log == w.log.ID() && at == head {
		must(w.t, err)
		return
	}
	must(w.t, r.Run(ctx))
}

func (w *world) person(id string) *control.Person {
	w.t.Helper()
	some, err := w.people.People(w.t.Context(), acme, []control.PersonID{control.PersonID(id)})
	must(w.t, err)
	if len(some) == 0 {
		return nil
	}
	return some[0]
}

func customEvent(person, name string, at int64) map[string]any {
	return map[string]any{"event_type": "users.behaviors.CustomEvent", "user_id": person, "name": name, "properties": "{}", "time": at}
}

func TestAPersonIsMadeOfWhatTheyDid(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		w.accept(
			map[string]any{"event_type": "users.behaviors.app.SessionStart", "user_id": "p1", "external_user_id": "u-1", "app_id": "ios", "session_id": "s", "time": 1_000, "device_id": "d1", "platform": "ios"},
			map[string]any{"event_type": "users.behaviors.Purchase", "user_id": "p1", "product_id": "hat", "price": 2.5, "currency": "EUR", "properties": "{}", "time": 2_000},
			map[string]any{"event_type": "users.behaviors.Purchase", "user_id": "p1", "product_id": "hat", "price": 4, "currency": "EUR", "properties": "{}", "time": 1_500},
			customEvent("p1", "signed up", 900),
			map[string]any{"event_type": "users.profile.Update", "user_id": "p1", "time": 1, "time_ms": 1, "update_source": "x", "first_name": "Ada", "custom_attributes": `{"plan":"gold","n":{"a":1}}`},
		)
		w.follow()
		p := w.person("p1")
		if p == nil || p.ExternalID != "u-1" || p.FirstName != "Ada" || p.Sessions != 1 || p.Purchases != 2 || p.Revenue != 6.5 || p.LastPurchase.Unix() != 2_000 || string(p.Custom) != `{"n":{"a":1},"plan":"gold"}` {
			t.Fatalf("%+v\n%s\n%s", p, p.Custom, p.Rest)
		}
		names, err := w.people.Names(t.Context(), acme, control.NameAttribute)
		must(t, err)
		if got := namesOf(names); !slices.Equal(got, []string{"n.a", "plan"}) {
			t.Errorf("attributes %v", got)
		}
	})
}

func namesOf(all []control.Name) (out []string) {
	for _, n := range all {
		out = append(out, n.Name)
	}
	return out
}

func TestAnExternalIDNamesOnePersonWhateverTheirUserID(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		e := customEvent("p1", "a", 1)
		e["external_user_id"] = "u-1"
		w.accept(e)
		e["user_id"] = "p2"
		w.accept(e)
		w.follow()
		if w.person("p2") != nil {
			t.Error("one external id has two people")
		}
	})
}

func TestAChangeIsAppliedAndItsEventPassedOver(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		w.accept(
			control.PersonChange{Kind: control.PersonUpdate, Person: "p1", Event: "e1", ExternalID: "u-1", Alias: &control.Alias{Label: "crm", Name: "1"},
				Attributes: map[string]json.RawMessage{"email": json.RawMessage(`"a@b.example"`), "image_url": json.RawMessage(`"x"`)},
				Custom:     []control.CustomChange{{Name: "n", Do: control.CustomInc, Value: json.RawMessage("2")}, {Name: "tags", Do: control.CustomAdd, Value: json.RawMessage(`["a","b"]`)}}},
			map[string]any{"event_type": "users.profile.Update", "id": "e1", "user_id": "p1", "time": 1, "time_ms": 1, "update_source": "x", "custom_attributes": `{"n":2}`},
			control.PersonChange{Kind: control.PersonUpdate, Person: "p1", Custom: []control.CustomChange{
				{Name: "n", Do: control.CustomInc, Value: json.RawMessage("-5")}, {Name: "tags", Do: control.CustomAdd, Value: json.RawMessage(`["a"]`)}, {Name: "tags", Do: control.CustomRemove, Value: json.RawMessage(`["b"]`)}},
				Attributes: map[string]json.RawMessage{"email": json.RawMessage(`null`)}},
		)
		w.follow()
		if p := w.person("p1"); string(p.Custom) != `{"n":-3,"tags":["a"]}` || p.Email != "" || p.ExternalID != "u-1" {
			t.Errorf("%+v %s", p, p.Custom)
		}
	})
}

func TestPeopleComeTogetherAndGo(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		w.accept(customEvent("p1", "a", 10))
		w.follow()
		older := w.person("p1").CreatedAt
		for time.Since(older) < 2*time.Millisecond { // the log's clock counts milliseconds
			time.Sleep(time.Millisecond)
		}
		w.accept(customEvent("p1", "a", 30), customEvent("p2", "a", 20), customEvent("p2", "b", 5),
			control.PersonChange{Kind: control.PersonUpdate, Person: "p1", ExternalID: "u-1", Custom: []control.CustomChange{{Name: "x", Do: control.CustomSet, Value: json.RawMessage("1")}}},
			control.PersonChange{Kind: control.PersonUpdate, Person: "p2", Custom: []control.CustomChange{{Name: "x", Do: control.CustomSet, Value: json.RawMessage("2")}}},
			control.PersonChange{Kind: control.PersonMerge, Person: "p1", Into: "p2"},
			customEvent("p3", "a", 1), control.PersonChange{Kind: control.PersonDelete, Person: "p3"}, customEvent("p4", "a", 1))
		e := customEvent("p1", "a", 40)
		e["external_user_id"] = "u-1" // who is p2 by now
		w.accept(e)
		w.follow()
		if w.person("p1") != nil || w.person("p3") != nil || w.person("p4") == nil {
			t.Error("who is there?")
		}
		p := w.person("p2")
		if p == nil || p.ExternalID != "u-1" || string(p.Custom) != `{"x":2}` || !p.CreatedAt.Equal(older) {
			t.Fatalf("%+v", p)
		}
		done, err := w.people.Done(t.Context(), p)
		must(t, err)
		if len(done) != 2 || done[0].Count != 4 || done[0].First.Unix() != 10 || done[0].Last.Unix() != 40 || done[1].Count != 1 {
			t.Errorf("%+v", done)
		}
	})
}

func TestWhatCannotBeAppliedIsSetAside(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		long := make([]byte, 2000)
		for i := range long {
			long[i] = 'x'
		}
		w.accept(customEvent("p1", string(long), 1), customEvent("p1", "good", 2))
		w.follow()
		aside, err := w.people.SetAside(t.Context(), acme, 10)
		must(t, err)
		if len(aside) != 1 || aside[0].Offset != 1 && aside[0].Offset != 0 || w.person("p1") == nil {
			t.Errorf("%+v", aside)
		}
	})
}

// Records whose bytes are not what was written, that nothing knows, or that a newer version wrote stop nobody.
func TestPoisonedRecordsAreSetAside(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		good, err := json.Marshal(map[string]any{"id": "e", "event_type": "users.behaviors.CustomEvent", "user_id": "p1", "name": "a", "properties": "{}", "time": 1})
		must(t, err)
		bytes, s, res := w.reader.Read(nil, good, event.Options{})
		if len(res.Problems) > 0 {
			t.Fatal(res.Problems)
		}
		var b eventlog.Batch
		b.Reset(eventlog.Header{Workspace: acme, Kind: eventlog.Events})
		cut, long := bytes[:len(bytes)/2], slices.Clone(bytes)
		long[0], long[1] = 0xff, 0xff // the length of its first field
		for _, value := range [][]byte{bytes, cut, long, nil} {
			b.Add(uint32(s.ID), value)
		}
		b.Add(77_777_777, bytes)
		b.Add(uint32(event.PersonChange), []byte(`{"kind":"enchant","person":"p1"}`))
		b.Add(uint32(s.ID), bytes)
		_, err = w.log.Append(t.Context(), &b)
		must(t, err)
		w.follow()
		rows, err := w.people.SetAside(t.Context(), acme, 10)
		must(t, err)
		var at []eventlog.Offset
		for _, x := range rows {
			at = append(at, x.Offset)
			if x.Reason == "" || x.EventType == "" || x.Workspace != acme || x.At.IsZero() {
				t.Errorf("%+v says too little", x)
			}
		}
		slices.Sort(at)
		if !slices.Equal(at, []eventlog.Offset{1, 2, 3, 4, 5}) {
			t.Errorf("set aside %v", at)
		}
		done, err := w.people.Done(t.Context(), w.person("p1"))
		must(t, err)
		if len(done) != 1 || done[0].Count != 2 {
			t.Errorf("beside them were done %+v", done)
		}
	})
}

// What a log that was trimmed, replaced or set back no longer holds is in no profile, and a row says so; what it holds counts once.
func TestWhatTheLogNoLongerHoldsIsNamed(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		w.newLog(4 << 10)
		count := func() int64 {
			t.Helper()
			done, err := w.people.Done(t.Context(), w.person("p1"))
			must(t, err)
			return done[0].Count
		}
		aside := func(want ...string) {
			t.Helper()
			rows, err := w.people.SetAside(t.Context(), acme, 10)
			must(t, err)
			var got []string
			for _, x := range rows {
				got = append(got, fmt.Sprint(x.Offset, " ", x.Reason))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("set aside %q, want %q", got, want)
			}
		}
		w.accept(customEvent("p1", "a", 1))
		w.follow()
		for range 100 {
			w.accept(customEvent("p1", "a", 1))
		}
		start, head := w.log.Bounds()
		for deadline := time.Now().Add(time.Minute); start <= 1; start, _ = w.log.Bounds() { // segments are sealed in the background
			if time.Now().After(deadline) {
				t.Fatal("the log did not forget anything")
			}
			must(t, w.log.Trim(t.Context(), head, 0))
			runtime.Gosched()
		}
		w.follow()
		trimmed := fmt.Sprintf("1 the log no longer holds the offsets 1 to %d, which are in no profile", start-1)
		aside(trimmed)
		if got, want := count(), 1+int64(head-start); got != want {
			t.Errorf("after the log was trimmed %d, want %d", got, want)
		}

		must(t, w.people.Begin(t.Context(), w.log.ID(), head+5, nil)) // as if five more had been read before it was set back
		w.follow()
		back := fmt.Sprintf("%d the log was set back to offset %d: profiles have events up to %d that it has no more", head, head, head+4)
		aside(trimmed, back)
		before := count()
		old := w.log.ID()
		w.newLog(0)
		w.accept(customEvent("p1", "a", 1))
		w.follow()
		aside(trimmed, back, fmt.Sprintf("0 the log %s took the place of %s: what that had from offset %d on is in no profile", w.log.ID(), old, head))
		if got := count(); got != before+1 {
			t.Errorf("with another log %d, want %d", got, before+1)
		}
	})
}

// TestPeopleAreWhatAModelSays applies random items, in pieces, with readers that end anywhere, and compares counts.
func TestPeopleAreWhatAModelSays(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		seed := uint64(time.Now().UnixNano())
		t.Log("seed", seed)
		random := rand.New(rand.NewPCG(seed, 1))
		type key struct{ person, name string }
		counts := map[key]int64{}
		for range 60 {
			var items []item
			for range random.IntN(20) + 1 {
				k := key{fmt.Sprint("p", random.IntN(8)), fmt.Sprint("n", random.IntN(4))}
				if random.IntN(15) == 0 {
					items = append(items, control.PersonChange{Kind: control.PersonDelete, Person: control.PersonID(k.person)})
					for x := range counts {
						if x.person == k.person {
							delete(counts, x)
						}
					}
					continue
				}
				items = append(items, customEvent(k.person, k.name, int64(random.IntN(1000)+1)))
				counts[k]++
			}
			w.accept(items...)
			if random.IntN(3) == 0 {
				ctx, stop := context.WithTimeout(t.Context(), time.Duration(random.IntN(20))*time.Millisecond)
				r := profile.New(profile.Deps{Log: w.log, Store: w.people, Catalogue: w.types, Logger: slog.New(slog.DiscardHandler)})
				must(t, r.Run(ctx))
				stop()
			}
		}
		w.follow()
		for i := range 8 {
			id := fmt.Sprint("p", i)
			got := map[key]int64{}
			if p := w.person(id); p != nil {
				done, err := w.people.Done(t.Context(), p)
				must(t, err)
				for _, d := range done {
					got[key{id, d.Name}] = d.Count
				}
			}
			want := maps.Clone(counts)
			maps.DeleteFunc(want, func(k key, _ int64) bool { return k.person != id })
			if !maps.Equal(got, want) {
				t.Errorf("%s did %v, and people say %v", id, want, got)
			}
		}
	})
}

// Whoever was merged is still named by the external id that they had: a request by it is about who stays, and must not
// give them that one for their own.
func TestWhoStaysKeepsTheirOwnExternalID(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p1", ExternalID: "gone"}, control.PersonChange{Kind: control.PersonUpdate, Person: "p2", ExternalID: "stays"})
		w.accept(control.PersonChange{Kind: control.PersonMerge, Person: "p1", Into: "p2"})
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p2", ExternalID: "gone"})
		w.follow()
		if p := w.person("p2"); p == nil || p.ExternalID != "stays" {
			t.Errorf("who stays is %+v", p)
		}
	})
}

func TestAnAliasThatWasRenamedNamesNobody(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		old, now := control.Alias{Label: "l", Name: "old"}, control.Alias{Label: "l", Name: "new"}
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p1", Alias: &old})
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p1", Alias: &now})
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p1", Alias: &now}) // again
		w.follow()
		got, err := w.people.Identities(t.Context(), acme, control.ByAlias, []string{control.ByNameOf(old).Value, control.ByNameOf(now).Value})
		must(t, err)
		if len(got) != 1 || got[0].Identifier != control.ByNameOf(now) {
			t.Errorf("aliases name %+v", got)
		}
	})
}

func TestAnArrayThatIsAddedToKeepsItsLastHundredItems(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		add := func(items ...int) {
			value, err := json.Marshal(items)
			must(t, err)
			w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p1", Custom: []control.CustomChange{{Name: "n", Do: control.CustomAdd, Value: value}}})
		}
		for i := range 60 {
			add(2*i, 2*i+1)
		}
		add(50)
		w.follow()
		var custom struct{ N []int }
		must(t, json.Unmarshal(w.person("p1").Custom, &custom))
		if n := len(custom.N); n != 100 || custom.N[0] != 20 || custom.N[n-1] != 50 {
			t.Errorf("the array has %d items: %v", n, custom.N)
		}
	})
}

func TestAnAliasThatSomebodyLetGoNamesWhoComesNextInTheSameBatch(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		alias := func(person, name, old string) control.PersonChange {
			return control.PersonChange{Kind: control.PersonUpdate, Person: control.PersonID(person), Alias: &control.Alias{Label: "l", Name: name}, Old: old}
		}
		w.accept(alias("p1", "n", ""))
		w.follow()
		w.accept(alias("p1", "m", "n"))
		w.accept(alias("p2", "n", ""))
		w.follow()
		for name, want := range map[string]control.PersonID{"n": "p2", "m": "p1"} {
			named, err := w.people.Identities(t.Context(), acme, control.ByAlias, []string{control.ByNameOf(control.Alias{Label: "l", Name: name}).Value})
			must(t, err)
			if len(named) != 1 || named[0].Person != want {
				t.Errorf("%s is %+v, want %s", name, named, want)
			}
		}
	})
}

func TestWhatAPersonWantsOfAChannelHasATime(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		state := func(status, channel string, at int64) map[string]any {
			return map[string]any{"event_type": "users.behaviors.subscription.GlobalStateChange", "user_id": "p1", "subscription_status": status, "channel": channel, "time": at}
		}
		says := func(person string, at int64, attributes string) control.PersonChange {
			c := control.PersonChange{Kind: control.PersonUpdate, Person: control.PersonID(person), At: new(time.Unix(at, 0))}
			must(t, json.Unmarshal([]byte(attributes), &c.Attributes))
			return c
		}
		for _, x := range []struct {
			what  string
			items []item
			who   string
			want  map[string]int64 // seconds
		}{
			{"an event says it", []item{state("Subscribed", "email", 10), state("Unsubscribed", "push", 11)}, "p1", map[string]int64{"email": 10, "push": 11}},
			{"the same again changes nothing", []item{state("Subscribed", "email", 20), says("p1", 21, `{"push_subscribe":"unsubscribed"}`)}, "p1", map[string]int64{"email": 10, "push": 11}},
			{"a request says otherwise", []item{says("p1", 30, `{"email_subscribe":"opted_in"}`)}, "p1", map[string]int64{"email": 30, "push": 11}},
			{"a request takes it away", []item{says("p1", 40, `{"push_subscribe":null}`)}, "p1", map[string]int64{"email": 30}},
			{"who stays takes over what they lack, with its time", []item{says("p2", 50, `{"push_subscribe":"opted_in"}`),
				control.PersonChange{Kind: control.PersonMerge, Person: "p1", Into: "p2"}}, "p2", map[string]int64{"push": 50, "email": 30}},
		} {
			w.accept(x.items...)
			w.follow()
			p := w.person(x.who)
			var rest control.PersonRest
			must(t, json.Unmarshal(p.Rest, &rest))
			got := map[string]int64{}
			for channel, ms := range rest.SubscribedAt {
				got[channel] = ms / 1000
			}
			if !maps.Equal(got, x.want) {
				t.Errorf("%s: %v, want %v (%s %s)", x.what, got, x.want, p.EmailSubscribe, p.PushSubscribe)
			}
		}
	})
}

// A request fixes whom identifiers name before the reader comes to it: so the store knows of deletions and merges to which
// the reader has still to come. What was accepted before is of whom the identifier named then.
func TestWhatWasAcceptedBeforeADeletionGoesWithIt(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p1", ExternalID: "ana"})
		w.follow()
		w.accept(saw("native", "ana", 1))
		w.moves(control.IdentityMove{From: "p1"})
		w.accept(control.PersonChange{Kind: control.PersonDelete, Person: "p1"})
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p2", ExternalID: "ana"})
		w.accept(saw("native", "ana", 2))
		w.follow()
		if w.person("p1") != nil || w.person("native") != nil {
			t.Errorf("who was deleted is %+v and %+v", w.person("p1"), w.person("native"))
		}
		if deeds := w.deeds("p2"); deeds != "saw 1" {
			t.Errorf("who came after them did %q", deeds)
		}
		w.nothingAside()
	})
}

func TestWhoIsDeletedIsNobodyInTheSameBatch(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p1", ExternalID: "ana"})
		w.follow()
		w.accept(saw("p1", "ana", 1))
		w.accept(control.PersonChange{Kind: control.PersonDelete, Person: "p1"})
		w.accept(saw("native", "ana", 2))
		w.follow()
		if deeds := w.deeds("native"); w.person("p1") != nil || deeds != "saw 1" {
			t.Errorf("who was deleted is %+v, who came after them did %q", w.person("p1"), deeds)
		}
		named, err := w.people.Identities(t.Context(), acme, control.ByExternalID, []string{"ana"})
		must(t, err)
		if len(named) != 1 || named[0].Person != "native" {
			t.Errorf("ana is %+v", named)
		}
		w.nothingAside()
	})
}

func TestWhoWentUpInAnotherIsThatOneInTheSameBatch(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p1", ExternalID: "ana"})
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p2", ExternalID: "bo"})
		w.follow()
		w.accept(saw("native", "ana", 1))
		w.accept(control.PersonChange{Kind: control.PersonMerge, Person: "p1", Into: "p2"})
		w.accept(saw("native", "ana", 2))
		w.follow()
		if deeds := w.deeds("p2"); w.person("p1") != nil || w.person("native") != nil || deeds != "saw 2" {
			t.Errorf("both did %q; who went up is %+v and %+v", deeds, w.person("p1"), w.person("native"))
		}
		w.nothingAside()
	})
}

// What the log says of somebody whom a request let go up in another says nothing of whom identifiers name now; once the log has
// come to the merge, all of theirs name who stays.
func TestAnExternalIDThatOnlyTheLogKnowsNamesWhoStays(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p1", Alias: &control.Alias{Label: "l", Name: "n"}}, control.PersonChange{Kind: control.PersonUpdate, Person: "p2", ExternalID: "bo"})
		w.follow()
		w.accept(saw("p1", "ana", 1))
		w.moves(control.IdentityMove{From: "p1", Into: "p2"})
		w.follow()
		w.accept(control.PersonChange{Kind: control.PersonMerge, Person: "p1", Into: "p2"})
		w.accept(saw("native", "ana", 2))
		w.follow()
		if deeds := w.deeds("p2"); w.person("p1") != nil || w.person("native") != nil || deeds != "saw 2" {
			t.Errorf("both did %q; who went up is %+v and %+v", deeds, w.person("p1"), w.person("native"))
		}
		w.nothingAside()
	})
}

// An event named somebody while a request did, and the reader made one person and the request another: they are one.
func TestTwoOfOneExternalIDAreOne(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		w.accept(saw("native", "ana", 1))
		w.follow()
		w.accept(control.PersonChange{Kind: control.PersonUpdate, Person: "p1", ExternalID: "ana", Attributes: map[string]json.RawMessage{"first_name": json.RawMessage(`"Ana"`)}})
		w.accept(saw("native", "ana", 2))
		w.follow()
		if p := w.person("p1"); p == nil || p.ExternalID != "ana" || p.FirstName != "Ana" || w.person("native") != nil || w.deeds("p1") != "saw 2" {
			t.Errorf("she is %+v and did %q; the other is %+v", p, w.deeds("p1"), w.person("native"))
		}
		w.nothingAside()
	})
}

func saw(user, external string, at int64) map[string]any {
	return map[string]any{"event_type": "users.behaviors.CustomEvent", "user_id": user, "external_user_id": external, "name": "saw", "properties": "{}", "time": at}
}

// moves lets identifiers name somebody else, as the commit that comes next will say.
func (w *world) moves(all ...control.IdentityMove) {
	w.t.Helper()
	_, head := w.log.Bounds()
	must(w.t, w.people.MoveIdentities(w.t.Context(), control.IdentityMoves{Workspace: acme, Log: w.log.ID(), At: head, Moves: all}))
}

// deeds are what somebody did, and how often.
func (w *world) deeds(id string) string {
	w.t.Helper()
	p := w.person(id)
	if p == nil {
		return "nobody"
	}
	all, err := w.people.Done(w.t.Context(), p)
	must(w.t, err)
	var out []string
	for _, d := range all {
		out = append(out, fmt.Sprint(d.Name, " ", d.Count))
	}
	return strings.Join(out, ", ")
}

func (w *world) nothingAside() {
	w.t.Helper()
	rows, err := w.people.SetAside(w.t.Context(), acme, 10)
	must(w.t, err)
	if len(rows) > 0 {
		w.t.Errorf("set aside: %+v", rows)
	}
}
