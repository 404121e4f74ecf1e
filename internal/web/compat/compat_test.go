package compat

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/store/storetest"
)

const acme, globex uint32 = 7, 8

// database is the control plane's.
type database interface {
	control.Store
	Store
}

// peopleBase is what is made from events, and how to fill it.
type peopleBase interface {
	People
	Apply(ctx context.Context, b *control.PeopleBatch) error
	SaveSize(ctx context.Context, workspace uint32, id control.SegmentID, s control.DaySize) error
}

// world is the calls over real databases. The door lets everybody in who names a workspace, and is tried in app.
type world struct {
	t      *testing.T
	store  database
	plane  *control.Plane
	people peopleBase
	at     eventlog.Offset // of people
	now    time.Time
	calls  map[string]http.Handler
	scopes map[string]control.Scope // that were asked for, by address
}

var today = time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: storetest.Open(t), people: storetest.OpenProfiles(t), now: today, scopes: map[string]control.Scope{}}
	for n, name := range map[uint32]string{acme: "acme", globex: "globex"} {
		must(t, w.store.CreateWorkspace(t.Context(), control.Workspace{Number: n, Name: name, UnknownFields: control.RejectUnknown, CreatedAt: today}))
	}
	w.plane = &control.Plane{Store: w.store, Now: func() time.Time { return w.now }}
	w.calls = Calls(Deps{Door: w, Store: w.store, People: w.people, Writer: writeIDs, Now: func() time.Time { return w.now }})
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) Admit(_ http.ResponseWriter, r *http.Request, scope control.Scope, q *httpd.Quota) (control.Grant, error) {
	w.scopes[r.URL.Path] = scope
	g := control.Grant{Workspace: map[string]uint32{"acme": acme, "globex": globex}[httpd.Bearer(r)]}
	if g.Workspace == 0 || q == nil {
		return g, fault.New(fault.Unauthorized, "", "The API key is not known.")
	}
	return g, nil
}

func (w *world) Refuse(wr http.ResponseWriter, r *http.Request, _ control.Grant, err error, text string) {
	httpd.WriteErrorAs(wr, r, fault.CodeOf(err).HTTP(), err, func(p httpd.Problem) any { return text + "|" + p.Message })
}

func (w *world) MethodNotAllowed(wr http.ResponseWriter, r *http.Request, allow string) {
	httpd.MethodNotAllowed(wr, r, allow)
}

// as asks for an address under a key.
func (w *world) as(key, method, address string) (status int, body string) {
	w.t.Helper()
	r := httptest.NewRequest(method, address, nil)
	r.Header.Set("Authorization", "Bearer "+key)
	a := httptest.NewRecorder()
	w.calls[r.URL.Path].ServeHTTP(a, r)
	return a.Code, strings.TrimSpace(a.Body.String())
}

// want asks for an address in acme and wants this answer.
func (w *world) want(address string, status int, answer string) {
	w.t.Helper()
	if got, body := w.as("acme", http.MethodGet, address); got != status || body != answer {
		w.t.Errorf("%s\n got %d %s\nwant %d %s", address, got, body, status, answer)
	}
}

// The scopes of keys, what keys can be given, and the page that lists the calls agree with the table.
func TestEachCallHasItsScopeAndItsRow(t *testing.T) {
	w := newWorld(t)
	page, err := os.ReadFile("../../../docs/compatibility.md")
	must(t, err)
	for _, c := range table() {
		w.as("acme", c.method, c.path)
		if s := w.scopes[c.path]; !slices.Contains(control.Scopes(), s) {
			t.Errorf("%s asks for the scope %q, which no key can have", c.path, s)
		}
		if row := fmt.Sprintf("| `%s %s` |", c.method, c.path); !strings.Contains(string(page), row) {
			t.Errorf("docs/compatibility.md lacks the row %s", row)
		}
		if c.quota == nil {
			t.Errorf("%s has no quota", c.path)
		}
		if status, _ := w.as("nobody", c.method, c.path); status != http.StatusUnauthorized {
			t.Errorf("%s answers %d to an unknown key", c.path, status)
		}
		if status, _ := w.as("acme", http.MethodPatch, c.path); status != http.StatusMethodNotAllowed {
			t.Errorf("%s answers %d to another method", c.path, status)
		}
	}
}

func (w *world) segment(e control.SegmentEdit) control.Segment {
	w.t.Helper()
	s, err := w.plane.CreateSegment(control.WithActor(w.t.Context(), control.CommandLine()), acme, e)
	must(w.t, err)
	return s
}

func TestSegmentsAreListedAPageAtATime(t *testing.T) {
	w := newWorld(t)
	for i := range listPage + 1 {
		w.now = today.Add(time.Duration(i) * time.Second)
		w.segment(control.SegmentEdit{Name: new(fmt.Sprintf("s%d", i)), Tags: &[]string{"a"}})
	}
	names := func(address string) (all []string) {
		_, body := w.as("acme", http.MethodGet, address)
		var out struct {
			Message  string
			Segments []struct {
				ID, Name string
				Tags     []string
			}
		}
		must(t, json.Unmarshal([]byte(body), &out))
		for _, s := range out.Segments {
			all = append(all, s.Name)
		}
		if out.Message != "success" || out.Segments == nil {
			t.Errorf("%s: %s", address, body)
		}
		return all
	}
	if got := names("/segments/list"); len(got) != listPage || got[0] != "s0" || got[99] != "s99" {
		t.Errorf("the first page is %v", got)
	}
	if got := names("/segments/list?page=1"); !slices.Equal(got, []string{"s100"}) {
		t.Errorf("the second page is %v", got)
	}
	if got := names("/segments/list?page=2"); len(got) != 0 {
		t.Errorf("the third page is %v", got)
	}
	if got := names("/segments/list?sort_direction=desc&page=0"); got[0] != "s100" {
		t.Errorf("the newest is %v", got[0])
	}
	if status, body := w.as("globex", http.MethodGet, "/segments/list"); status != 200 || body != `{"message":"success","segments":[]}` {
		t.Errorf("another workspace sees %d %s", status, body)
	}
}

func TestASegmentIsDescribed(t *testing.T) {
	w := newWorld(t)
	s := w.segment(control.SegmentEdit{Name: new("Portugal"), Description: new("for the mail"), Filter: &control.Filter{Attribute: &control.Condition{Name: "country", OneOf: []string{"PT"}}}})
	w.want("/segments/details?segment_id="+string(s.ID), 200, `{"created_at":"2026-11-22T10:30:00Z","description":"country is PT","message":"success","name":"Portugal","tags":[],"teams":[],"text_description":"for the mail","updated_at":"2026-11-22T10:30:00Z"}`)
	w.want("/segments/details", 400, `"|segment_id: This is needed: a text."`)
	w.want("/segments/details?segment_id=x", 400, `"Invalid Segment ID|segment_id: The workspace has none with the id \"x\"."`)
	if status, body := w.as("globex", http.MethodGet, "/segments/details?segment_id="+string(s.ID)); status != 400 {
		t.Errorf("another workspace's segment: %d %s", status, body)
	}
	must(t, w.people.SaveSize(t.Context(), acme, s.ID, control.DaySize{Day: control.DayOf(today, time.UTC) - 1, Size: 41, At: today}))
	w.want("/segments/data_series?length=3&segment_id="+string(s.ID), 200,
		`{"data":[{"time":"2026-11-20","size":0},{"time":"2026-11-21","size":41},{"time":"2026-11-22","size":0}],"message":"success"}`)
	for _, length := range []string{"0", "101", "x", "1.5"} {
		w.want("/segments/data_series?segment_id="+string(s.ID)+"&length="+length, 400, `"|length: This has to be a whole number from 1 to 100."`)
	}
	w.want("/segments/data_series?segment_id="+string(s.ID)+"&length=1&ending_at=soon", 400, `"|ending_at: This has to be a time such as 2026-11-22T10:00:00Z."`)
}
