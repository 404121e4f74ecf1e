package ingest

import (
	"fmt"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/store/storetest"
)

// inEach runs a test with people in each database.
func inEach(t *testing.T, f func(t *testing.T, o *office)) {
	storetest.Profiles(t, func(t *testing.T, p *storetest.People) { f(t, openOfficeOver(t, p)) })
}

// The reader of people does not come to anything here: all that is known of addresses is what requests were acknowledged.
func TestAnAddressNamesWhomRequestsBeforeGaveItTo(t *testing.T) {
	type call struct{ path, body, log string } // log: who, of each record that is appended
	track := func(array, who, log string) call {
		switch array {
		case "events":
			who += `,"name":"n","time":"2026-11-20"`
		case "attributes":
			who += `,"v":1`
		}
		return call{TrackPath, `{"` + array + `":[{` + who + `}]}`, log}
	}
	deletes := func(who, log string) call {
		return call{DeletePath, `{"email_addresses":[{"email":"` + who + `"}]}`, log}
	}
	merge := func(from, into, log string) call {
		return call{MergePath, `{"merge_updates":[{"identifier_to_merge":{` + from + `},"identifier_to_keep":{` + into + `}}]}`, log}
	}
	const known = `"external_id":"cr0"` // has old@x.example, as the reader left them
	for name, calls := range map[string][]call{
		"in the request that gives it": {
			{TrackPath, `{"attributes":[{"external_id":"ana","email":"a@x.example"}],"events":[{"email":"a@x.example","name":"n","time":"2026-11-20"}]}`, "p1 p1 p1"},
		},
		"in the next one":    {track("attributes", `"external_id":"ana","email":"a@x.example","phone":"+491234"`, "p1 p1"), track("events", `"email":"a@x.example"`, "p1"), track("events", `"phone":"+491234"`, "p1")},
		"of nobody yet":      {track("events", `"email":"a@x.example"`, "p1 p1"), track("attributes", `"email":"a@x.example"`, "p1 p1"), track("events", `"email":"a@x.example"`, "p1")},
		"that was changed":   {track("attributes", known+`,"email":"new@x.example"`, "cr0 cr0"), track("attributes", `"email":"old@x.example"`, "p1 p1"), track("events", `"email":"new@x.example"`, "cr0"), track("events", `"email":"old@x.example"`, "p1")},
		"that was removed":   {track("attributes", known+`,"email":null`, "cr0 cr0"), track("events", `"email":"old@x.example"`, "p1 p1"), track("attributes", known+`,"email":"old@x.example"`, "cr0 cr0"), track("events", `"email":"old@x.example"`, "cr0")},
		"changed on the way": {{TrackPath, `{"attributes":[{` + known + `,"email":"new@x.example"},{"email":"old@x.example","v":1},{"email":"new@x.example","v":1}],"events":[{"email":"old@x.example","name":"n","time":"2026-11-20"}]}`, "cr0 cr0 p1 p1 cr0 cr0 p1"}},
		"of who is deleted": {
			track("events", `"email":"a@x.example"`, "p1 p1"), deletes("a@x.example", "p1 p1"), deletes("a@x.example", ""), track("events", `"email":"a@x.example"`, "p2 p2"),
			deletes("old@x.example", "cr0 cr0"), deletes("old@x.example", ""),
		},
		"deleted twice at once": {{DeletePath, `{"email_addresses":[{"email":"old@x.example"},{"email":"old@x.example"}]}`, "cr0 cr0"}},
		"of who is merged": {
			track("events", `"email":"a@x.example"`, "p1 p1"), track("attributes", `"external_id":"bo"`, "p2 p2"), merge(`"email":"a@x.example"`, `"external_id":"bo"`, "p1 p1"),
			track("events", `"email":"a@x.example"`, "p2"),
		},
		"of who is merged into one with another": {merge(`"external_id":"dan"`, known, "dan dan"), track("events", `"email":"dan@x.example"`, "p1 p1"), track("events", `"email":"old@x.example"`, "cr0")},
		"merged in steps": {
			track("attributes", `"external_id":"bo"`, "p1 p1"),
			{MergePath, `{"merge_updates":[{"identifier_to_merge":{"external_id":"dan"},"identifier_to_keep":{"external_id":"bo"}},{"identifier_to_merge":{"email":"dan@x.example"},"identifier_to_keep":{"external_id":"cr0"}}]}`, "dan dan p1 p1"},
			track("events", `"email":"dan@x.example"`, "p2 p2"),
		},
		"of who is identified": {
			track("events", `"email":"a@x.example"`, "p1 p1"),
			{IdentifyPath, `{"emails_to_identify":[{"external_id":"ana","email":"a@x.example"},{"external_id":"eve","email":"a@x.example"}]}`, "p1"},
			track("events", `"external_id":"ana"`, "p1"), track("events", `"email":"a@x.example"`, "p1"),
		},
		"of who came before somebody with an external id": {
			track("events", `"email":"a@x.example"`, "p1 p1"), track("attributes", `"external_id":"ana","email":"a@x.example"`, "p2 p2"), track("events", `"email":"a@x.example"`, "p2"),
		},
		"of several whoever changed last": {
			track("attributes", `"external_id":"ana","email":"old@x.example"`, "p1 p1"), track("events", `"email":"old@x.example"`, "p1"),
			track("attributes", known, "cr0 cr0"), track("events", `"email":"old@x.example"`, "cr0"),
		},
		"by the id of who has it": {track("attributes", `"braze_id":"cr0","email":"new@x.example"`, "cr0 cr0"), track("events", `"email":"new@x.example"`, "cr0"), deletes("new@x.example", "cr0 cr0"), track("events", `"braze_id":"cr0"`, "")},
	} {
		t.Run(name, func(t *testing.T) {
			inEach(t, func(t *testing.T, o *office) {
				o.know(control.Person{ID: "cr0", ExternalID: "cr0", Email: "old@x.example"}, externalID("cr0"))
				o.know(control.Person{ID: "dan", ExternalID: "dan", Email: "dan@x.example"}, externalID("dan"))
				for i, c := range calls {
					n := len(o.log.commits)
					if a := o.send(c.path, c.body); a.status/100 != 2 {
						t.Fatalf("%s %s: %d %s", c.path, c.body, a.status, a.body)
					}
					if got := o.whose(n); got != c.log {
						t.Errorf("request %d, %s, is about %q, want %q:\n%s", i, c.body, got, c.log, o.appended(n))
					}
				}
			})
		})
	}
}

// whose says about whom the records of the log are from the n-th commit on.
func (o *office) whose(from int) string {
	out := ""
	for _, m := range regexp.MustCompile(`"(?:user_id|person)":"([^"]*)"`).FindAllStringSubmatch(o.appended(from), -1) {
		out += " " + m[1]
	}
	return out[min(1, len(out)):]
}

const (
	byMail     = `{"events":[{"email":"a@x.example","name":"n","time":"2026-11-20"}]}`
	byExternal = `{"events":[{"external_id":"cr0","name":"n","time":"2026-11-20"}]}`
)

// come lets the reader have come to the head of the log.
func (o *office) come() {
	o.t.Helper()
	_, at, _, err := o.people.Cursor(o.t.Context())
	if err == nil {
		_, head := o.log.Bounds()
		err = o.people.Apply(o.t.Context(), &control.PeopleBatch{Log: eventlog.ID{1}, From: at, Next: head})
	}
	if err != nil {
		o.t.Error(err)
	}
}

// What the process before was acknowledged, and what events of a producer's own say, only the reader knows.
func TestNobodyGuessesWhomAnAddressNames(t *testing.T) {
	for name, before := range map[string]func(o *office){
		"after a start": func(o *office) { o.send(TrackPath, byExternal); o.begin(o.log, o.people) },
		"after a profile update": func(o *office) {
			o.post(`{"event_type":"users.profile.Update","time":1,"time_ms":1,"user_id":"u","update_source":"x"}`)
		},
		"after a deletion": func(o *office) { o.post(`{"event_type":"users.UserDeleteRequest","time":1,"user_id":"u"}`) },
		"after somebody went up in another": func(o *office) {
			o.post(`{"event_type":"users.UserOrphan","time":1,"user_id":"u","orphaned_by_id":"v"}`)
		},
		"after more than is kept": func(o *office) {
			o.in.people.most = 10 << 10
			for i := range 100 {
				o.send(TrackPath, fmt.Sprintf(`{"attributes":[{"external_id":"u%d","email":"%d@x.example"}]}`, i, i))
			}
			if kept := o.in.people.size.Load(); kept > o.in.people.most {
				o.t.Errorf("%d bytes are kept", kept)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inEach(t, func(t *testing.T, o *office) {
				before(o)
				o.in.people.patience = time.Millisecond
				n := o.log.records()
				for path, body := range map[string]string{TrackPath: byMail, DeletePath: `{"phone_numbers":[{"phone":"+491234"}]}`} {
					if a := o.send(path, body); a.status != 503 || a.header.Get("Retry-After") == "" || o.log.records() != n {
						t.Errorf("%s: %d %s, %d records were appended", path, a.status, a.body, o.log.records()-n)
					}
				}
				if a := o.send(TrackPath, byExternal); a.status != 201 {
					t.Errorf("by external id: %d %s", a.status, a.body)
				}
				o.in.people.patience = time.Minute
				var reader sync.WaitGroup
				reader.Go(func() {
					time.Sleep(10 * time.Millisecond) // the request has begun to wait, or will not have to
					o.come()
				})
				if a := o.send(TrackPath, byMail); a.status != 201 {
					t.Errorf("once the reader came: %d %s", a.status, a.body)
				}
				reader.Wait()
			})
		})
	}
}

func TestRequestsAtOnceMakeOnePersonOfAnAddress(t *testing.T) {
	inEach(t, func(t *testing.T, o *office) {
		// Whoever has the first number that follows from the address has given it up.
		o.send(TrackPath, byMail)
		o.send(TrackPath, `{"attributes":[{"external_id":"keeps"}]}`)
		o.send(MergePath, `{"merge_updates":[{"identifier_to_merge":{"email":"a@x.example"},"identifier_to_keep":{"external_id":"keeps"}}]}`)
		o.send(TrackPath, `{"attributes":[{"external_id":"keeps","email":"other@x.example"}]}`)
		n := len(o.log.commits)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				w := httptest.NewRecorder()
				o.calls[TrackPath].ServeHTTP(w, newRequest(strings.NewReader(byMail), "Authorization", "Bearer "+everyKey, "Content-Type", "application/json"))
				if w.Code != 201 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			})
		}
		all.Wait()
		who := map[string]bool{}
		for _, p := range strings.Fields(o.whose(n)) {
			who[p] = true
		}
		if len(who) != 1 || strings.Count(o.appended(n), `"kind":"update"`) != 1 {
			t.Errorf("%d people were made:\n%s", len(who), o.appended(n))
		}
	})
}

// Two who name somebody by an address may come together with who changes it: none of them may bring the old one back.
func TestWhoIsNamedByAnAddressIsNotGivenIt(t *testing.T) {
	o := openOffice(t)
	o.know(control.Person{ID: "cr0", ExternalID: "cr0", Email: "a@x.example"}, externalID("cr0"))
	o.send(TrackPath, `{"attributes":[{"email":"a@x.example","phone":"+491234","v":1},{"phone":"+491234","v":2}]}`)
	got := o.appended(0)
	if strings.Count(got, `"person":"cr0"`) != 2 || strings.Contains(got, `"attributes":{"email"`) || strings.Count(got, `"attributes":{"phone"`) != 1 {
		t.Errorf("appended\n%s", got)
	}
}

// Another may come to the same address while nobody knows yet whether an append counts that its request does not wait for.
func TestAnAddressWaitsForAnAppendThatNobodyWaitsFor(t *testing.T) {
	o := openOffice(t)
	v, err := o.in.people.enter(t.Context(), 7, false, []control.Identifier{{Kind: control.ByEmail, Value: "a@x.example"}})
	if err != nil {
		t.Fatal(err)
	}
	ends := v.begins()
	v.leave()
	o.in.people.patience = time.Millisecond
	if a := o.send(TrackPath, byMail); a.status != 503 || o.log.records() != 0 {
		t.Errorf("beside it: %d %s", a.status, a.body)
	}
	if a := o.send(TrackPath, byExternal); a.status != 201 {
		t.Errorf("about another: %d %s", a.status, a.body)
	}
	ends(control.IdentityMoves{})
	if a := o.send(TrackPath, byMail); a.status != 201 {
		t.Errorf("after it: %d %s", a.status, a.body)
	}
}

func TestWhatIsAheadTakesTheMemoryThatIsCounted(t *testing.T) {
	const people = 20_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	a := newAhead(0)
	for i := range people {
		email, phone := fmt.Sprintf("somebody-%d@example.com", i), fmt.Sprint("+4912345", i)
		a.take(effect{person: control.PersonID(fmt.Sprintf("%024d", i)), external: fmt.Sprint("external id ", i), email: &email, phone: &phone}, eventlog.Offset(i), time.Time{})
	}
	took := int(heap() - before)
	if a.size < took*3/4 || a.size > took*3 {
		t.Errorf("%d people take %d bytes and are counted as %d", people, took, a.size)
	}
	b := a.without(people / 2)
	if got := len(b.people); got != people/2 || len(b.holders) != people || b.size < a.size*4/10 || b.size > a.size*6/10 {
		t.Errorf("of %d half are %d with %d addresses, %d of %d bytes", people, got, len(b.holders), b.size, a.size)
	}
	runtime.KeepAlive(a)
}
