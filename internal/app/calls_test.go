package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// Requests about people, through the server with its log and databases, and the reader that makes people of them.
func TestRequestsAboutPeopleMakePeople(t *testing.T) {
	w := newWorld(t)
	if out, err := w.apply(strings.Replace(w.manifest(""), "[events.write]", "[events.write, users.track, users.alias.new, users.identify, users.merge, users.delete, users.external_ids.rename, segments.list]", 1)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sys, _ := w.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	acme, err := sys.plane.store.WorkspaceBy(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	call := func(path, body string, want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sys.URL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+worldKey)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var said bytes.Buffer
		said.ReadFrom(res.Body)
		if res.StatusCode != want {
			t.Fatalf("%s: %d, want %d: %s", path, res.StatusCode, want, said.String())
		}
	}
	// The calls that read come in by the same door.
	for path, want := range map[string]string{"/segments/list": `200 {"message":"success","segments":[]}`, "/segments/details?segment_id=x": `403 {"message":"Access Denied"`} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, sys.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+worldKey)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var said bytes.Buffer
		said.ReadFrom(res.Body)
		if got := fmt.Sprint(res.StatusCode, " ", said.String()); !strings.HasPrefix(got, want) || res.Header.Get("X-RateLimit-Limit") == "" && res.StatusCode == 200 {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	// Who asks for an address that there is not is a program, and reads no page.
	for _, row := range []struct{ method, path, allow, want string }{
		{"POST", "/users/track/", "", `404 {"message":"Not Found","error":"`},
		{"GET", "/users", "", `404 {"message":"Not Found","error":"`},
		{"GET", "/campaigns/nope", "", `404 {"message":"Not Found","error":"`},
		{"GET", "/canvas/nope", "", `404 {"message":"Not Found","error":"`},
		{"GET", "/kpi/nope/data_series", "", `404 {"message":"Not Found","error":"`},
		{"GET", "/segments/", "", `404 {"message":"Not Found","error":"`},
		{"POST", "/export/nope", "", `404 {"message":"Not Found","error":"`},
		{"GET", "/events/", "", `404 {"message":"Not Found","error":"`},
		{"GET", "/purchases/nope", "", `404 {"message":"Not Found","error":"`},
		{"GET", "/sessions/data_series/", "", `404 {"message":"Not Found","error":"`},
		{"GET", "/sends/nope", "", `404 {"message":"Not Found","error":"`},
		{"GET", "/users/track", "POST", `405 {"message":"Method Not Allowed","error":"`},
		{"POST", "/segments/list", "GET", `405 {"message":"Method Not Allowed","error":"`},
		{"GET", "/v1", "", `404 {"error":{"code":"not_found","`},
		{"POST", "/v1/events/", "", `404 {"error":{"code":"not_found","`},
		{"GET", "/v1/events", "POST", `405 {"error":{"code":"invalid","`},
		{"GET", "/api", "", `404 {"error":{"code":"not_found","`},
		{"GET", "/api/v1/nope", "", `404 {"error":{"code":"not_found","`},
		{"GET", "/api/v1/workspaces/", "", `404 {"error":{"code":"not_found","`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), row.method, sys.URL()+row.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var said bytes.Buffer
		said.ReadFrom(res.Body)
		if got := fmt.Sprint(res.StatusCode, " ", said.String()); !strings.HasPrefix(got, row.want) || res.Header.Get("Allow") != row.allow {
			t.Errorf("%s %s: %.150s, Allow %q; want %s, Allow %q", row.method, row.path, got, res.Header.Get("Allow"), row.want, row.allow)
		}
	}
	// named waits until what an identifier names is as good says.
	named := func(i control.Identifier, good func(*control.Person) bool) *control.Person {
		t.Helper()
		var p *control.Person
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			known, err := sys.profiles.Whom(t.Context(), acme.Number, []control.Identifier{i})
			if err != nil {
				t.Fatal(err)
			}
			p = nil
			if len(known) == 1 {
				people, err := sys.profiles.People(t.Context(), acme.Number, []control.PersonID{known[0].Person})
				if err != nil {
					t.Fatal(err)
				}
				if len(people) == 1 {
					p = people[0]
				}
			}
			if good(p) {
				return p
			}
			if time.Now().After(deadline) {
				t.Fatalf("%v names %+v", i, p)
			}
		}
	}
	by := func(external string) control.Identifier {
		return control.Identifier{Kind: control.ByExternalID, Value: external}
	}

	call("/users/alias/new", `{"user_aliases":[{"alias_label":"crm","alias_name":"4711"}]}`, 201)
	call("/users/track", `{"events":[{"user_alias":{"alias_label":"crm","alias_name":"4711"},"name":"saw","time":"2026-11-20"}],
		"attributes":[{"user_alias":{"alias_label":"crm","alias_name":"4711"},"home_city":"Lisboa","visits":{"inc":2}}]}`, 201)
	call("/users/track", `{"attributes":[{"external_id":"ana","email":"Ana@Example.com","country":"pt","visits":{"inc":3},"tags":["a","b"],"address":{"street":"x"}},
			{"external_id":"ana","tags":{"add":["c"],"remove":["a"]},"address":{"town":"y"},"_merge_objects":true,
			 "push_tokens":[{"app_id":"app","token":"tok","device_id":"d"}],"email_subscribe":"opted_in","current_location":{"longitude":-9,"latitude":38}}],
		"purchases":[{"external_id":"ana","product_id":"hat","currency":"EUR","price":19.99,"quantity":3,"time":"2026-11-20T10:00:00Z"}],
		"events":[{"external_id":"bo","name":"saw","time":"2026-11-20"}]}`, 201)
	call("/users/track", `{"events":[{"email":"ana@example.com","_update_existing_only":false,"name":"wrote","time":"2026-11-21"}]}`, 201)
	call("/users/identify", `{"aliases_to_identify":[{"external_id":"ana","user_alias":{"alias_label":"crm","alias_name":"4711"}}]}`, 201)
	call("/users/external_ids/rename", `{"external_id_renames":[{"current_external_id":"ana","new_external_id":"ana-2"}]}`, 201)
	call("/users/track", `{"attributes":[{"external_id":"ana","first_name":"Ana"}]}`, 201) // still hers

	ana := named(by("ana-2"), func(p *control.Person) bool { return p != nil && p.FirstName == "Ana" })
	var rest control.PersonRest
	var custom any
	if err := json.Unmarshal(ana.Rest, &rest); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(ana.Custom, &custom); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(custom)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"address":{"street":"x","town":"y"},"tags":["b","c"],"visits":3}`; string(text) != want {
		t.Errorf("custom attributes are %s, want %s", text, want)
	}
	if ana.ExternalID != "ana-2" || ana.Email != "ana@example.com" || ana.Country != "PT" || ana.HomeCity != "Lisboa" || ana.Purchases != 3 || control.Money(ana.Revenue) != 59.97 ||
		ana.EmailSubscribe != control.OptedIn || rest.Coordinates == nil || *rest.Coordinates != [2]float64{-9, 38} ||
		!slices.Equal(rest.PushTokens, []control.PushToken{{App: "app", Token: "tok", Device: "d"}}) || !slices.Equal(rest.Aliases, []control.Alias{{Label: "crm", Name: "4711"}}) {
		t.Errorf("she is %+v\n%s", ana, ana.Rest)
	}
	if p := named(control.ByNameOf(control.Alias{Label: "crm", Name: "4711"}), func(p *control.Person) bool { return p != nil }); p.ID != ana.ID {
		t.Errorf("the alias names %s, and not %s", p.ID, ana.ID)
	}

	call("/users/merge", `{"merge_updates":[{"identifier_to_merge":{"external_id":"bo"},"identifier_to_keep":{"external_id":"ana-2"}}]}`, 202)
	done := func() (n int64) {
		deeds, err := sys.profiles.Done(t.Context(), ana)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range deeds {
			if d.Kind == control.NameEvent && d.Name == "saw" {
				n = d.Count
			}
		}
		return n
	}
	named(by("bo"), func(p *control.Person) bool { return p != nil && p.ID == ana.ID && done() == 2 })

	call("/users/delete", `{"external_ids":["ana-2"]}`, 201)
	for _, i := range []control.Identifier{by("ana-2"), by("bo"), {Kind: control.ByPerson, Value: string(ana.ID)}} {
		named(i, func(p *control.Person) bool { return p == nil })
	}
	call("/users/track", `{"attributes":[{"external_id":"ana-2","first_name":"Another"}]}`, 201)
	if p := named(by("ana-2"), func(p *control.Person) bool { return p != nil && p.FirstName == "Another" }); p.Email != "" || p.ExternalID != "ana-2" {
		t.Errorf("who came after her is %+v", p)
	}
	aside, err := sys.profiles.SetAside(t.Context(), acme.Number, 10)
	if err != nil || len(aside) > 0 {
		t.Errorf("set aside: %+v, %v", aside, err)
	}
}
