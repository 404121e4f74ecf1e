package compat

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// ids writes of people which they are, and how much they did and had.
type ids struct{ fields []string }

func writeIDs(fields, _ []string, _ time.Time) (Writer, error) {
	if len(fields) == 0 {
		return nil, fault.New(fault.Invalid, "", "the fields are missing")
	}
	return ids{fields}, nil
}

func (w ids) Append(dst []byte, p control.Profile) ([]byte, error) {
	return fmt.Appendf(dst, `{"id":%q,"fields":%q,"deeds":%d,"had":%d}`+"\n", p.ID, strings.Join(w.fields, " "), len(p.Deeds), len(p.Had)), nil
}

func TestUsersAreExportedByTheirIdentifiers(t *testing.T) {
	w := newWorld(t)
	person := func(row int64, id control.PersonID, workspace uint32, external, email, phone string) *control.Person {
		return &control.Person{Row: row, New: true, Workspace: workspace, ID: id, ExternalID: external, Email: email, Phone: phone, CreatedAt: today, UpdatedAt: today}
	}
	named := func(workspace uint32, i control.Identifier, p control.PersonID) control.PersonIdentity {
		return control.PersonIdentity{Workspace: workspace, Identifier: i, Person: p}
	}
	external := func(v string) control.Identifier { return control.Identifier{Kind: control.ByExternalID, Value: v} }
	w.applied(control.PeopleBatch{
		Names: []control.Name{{ID: 1, Workspace: acme, Kind: control.NameEvent, Name: "saw", FirstAt: today, LastAt: today},
			{ID: 2, Workspace: acme, Kind: control.NameCampaign, Name: "c", FirstAt: today, LastAt: today}},
		People: []*control.Person{person(1, "p1", acme, "ana", "shared@acme.example", ""), person(2, "p2", acme, "bo", "shared@acme.example", "+5511"),
			person(3, "p3", acme, "", "", ""), person(4, "p4", globex, "eve", "shared@acme.example", "")},
		Events:   []control.PersonEvents{{Name: 1, Person: 1, First: today, Last: today, Count: 1}},
		Messages: []control.PersonMessage{{Name: 2, Person: 1, Received: today}},
		Identities: []control.PersonIdentity{named(acme, external("ana"), "p1"), named(acme, external("bo"), "p2"), named(globex, external("eve"), "p4"),
			named(acme, control.Identifier{Kind: control.ByFormerID, Value: "anna"}, "p1"), named(acme, control.ByNameOf(control.Alias{Label: "crm", Name: "77"}), "p3")},
	})
	const f = `,"fields_to_export":["email"]}`
	ana, bo, nobody := `{"id":"p1","fields":"email","deeds":1,"had":1}`, `{"id":"p2","fields":"email","deeds":0,"had":0}`, `{"id":"p3","fields":"email","deeds":0,"had":0}`
	success := func(users, rest string) string { return `{` + rest + `"message":"success","users":[` + users + `]}` }
	many := strings.Repeat(`"x",`, 50) + `"x"`
	for _, c := range []struct {
		name, body string
		status     int
		answer     string
	}{
		{"by external ids", `{"external_ids":["ana","bo"]` + f, 200, success(ana+","+bo, "")},
		{"twice the same, by an id that was renamed", `{"external_ids":["ana","anna"]` + f, 200, success(ana, "")},
		{"another workspace's is unknown", `{"external_ids":["eve","ana"]` + f, 200, success(ana, `"invalid_user_ids":["eve"],`)},
		{"by alias", `{"user_aliases":[{"alias_name":"77","alias_label":"crm"},{"alias_name":"78","alias_label":"crm"}]` + f, 200, success(nobody, "")},
		{"by an address in another case", `{"email_address":"Shared@Acme.example"` + f, 200, success(ana+","+bo, "")},
		{"by telephone", `{"phone":"+55 11"` + f, 200, success(bo, "")},
		{"by the vendor's id", `{"braze_id":"p3"` + f, 200, success(nobody, "")},
		{"by another workspace's", `{"braze_id":"p4"` + f, 200, success("", "")},
		{"nobody named", `{"fields_to_export":["email"]}`, 400, `"Bad Request|Nobody is named: give external_ids, user_aliases, braze_id, email_address or phone."`},
		{"no fields", `{"external_ids":["ana"]}`, 400, `"|the fields are missing"`},
		{"too many", `{"external_ids":[` + many + `]` + f, 400,
			`"The max number of external_ids and aliases per request was exceeded|external_ids and user_aliases name more than 50 users together."`},
		{"by device", `{"device_id":"d"` + f, 400, `"|Users are not found by device_id here."`},
		{"no object", `[]`, 400, `"Error while parsing request body. Please check your syntax.|The body is not the JSON object that this call takes."`},
	} {
		r := httptest.NewRequest(http.MethodPost, "/users/export/ids", strings.NewReader(c.body))
		r.Header.Set("Authorization", "Bearer acme")
		r.Header.Set("Content-Type", "application/json")
		a := httptest.NewRecorder()
		w.calls[r.URL.Path].ServeHTTP(a, r)
		if got := strings.TrimSpace(a.Body.String()); a.Code != c.status || got != c.answer {
			t.Errorf("%s\n got %d %s\nwant %d %s", c.name, a.Code, got, c.status, c.answer)
		}
	}
}
