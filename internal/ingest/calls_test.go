package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/store/storetest"
)

const everyKey = "mr_key_may_do_everything"

// office is an Ingest over a log in memory and people in a database.
type office struct {
	*house
	people filled
	calls  map[string]http.Handler
	seen   map[string]string // what stands for random ids in tests
}

// filled is People that tests fill as the reader would.
type filled interface {
	People
	Highest(ctx context.Context) (row, name int64, err error)
	Cursor(ctx context.Context) (log eventlog.ID, next eventlog.Offset, known bool, err error)
	Apply(ctx context.Context, b *control.PeopleBatch) error
}

func openOffice(t testing.TB) *office { return openOfficeOver(t, storetest.OpenProfiles(t)) }

func openOfficeOver(t testing.TB, people filled) *office {
	h := &house{t: t, log: newMemoryLog(), keys: testKeys(), rejected: map[string]int{}}
	h.keys.grants[control.HashKey(everyKey)] = control.Grant{Key: "every", Workspace: 7, Scopes: control.Scopes()}
	d := h.deps(h.log)
	d.People, d.PersonKey = people, []byte("key of the tests")
	h.in = New(Config{}, d)
	return &office{h, people, h.in.Calls(), map[string]string{}}
}

func (o *office) send(path, body string, header ...string) answer {
	o.t.Helper()
	r := newRequest(strings.NewReader(body), append([]string{"Authorization", "Bearer " + everyKey, "Content-Type", "application/json"}, header...)...)
	r.URL.Path = path
	w := httptest.NewRecorder()
	o.calls[path].ServeHTTP(w, r)
	if got := o.in.budget.free.Load(); got != o.in.cfg.MemoryBudget {
		o.t.Errorf("%d bytes of the budget were not given back", o.in.cfg.MemoryBudget-got)
	}
	return answer{status: w.Code, header: w.Header(), body: strings.TrimSpace(w.Body.String())}
}

// want sends a request and wants this answer.
func (o *office) want(path, body string, status int, answer string) {
	o.t.Helper()
	a := o.send(path, body)
	if a.status != status || a.body != answer {
		o.t.Errorf("%s %s\n got %d %s\nwant %d %s", path, body, a.status, a.body, status, answer)
	}
}

var (
	random = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}|\b[0-9a-f]{24}\b`)
	recent = regexp.MustCompile(`"(time|time_ms)":1[6-9][0-9]{8,11}`)
)

// appended gives the records of the log from the n-th commit on, one a line: of events type and fields that are not
// null, of changes their content. Ids that were made are e1, e2 … and p1, p2 …, in the order in which they come.
func (o *office) appended(from int) string {
	o.t.Helper()
	o.log.mu.Lock()
	defer o.log.mu.Unlock()
	var out strings.Builder
	for _, c := range o.log.commits[from:] {
		for rec := range c.Records() {
			line := string(rec.Value)
			if event.SchemaID(rec.Schema) != event.PersonChange {
				s, _ := catalogue().Schema(event.SchemaID(rec.Schema))
				b, err := s.AppendJSON(nil, rec.Value)
				if err != nil {
					o.t.Fatal(err)
				}
				line = regexp.MustCompile(`"[a-z_]+":null,?`).ReplaceAllString(string(b), "")
				line = s.Type.Name[strings.LastIndexByte(s.Type.Name, '.')+1:] + " " + strings.ReplaceAll(line, ",}", "}")
			}
			line = random.ReplaceAllStringFunc(line, func(id string) string {
				if o.seen[id] == "" {
					kind := "p"
					if strings.Contains(id, "-") {
						kind = "e"
					}
					n := 1
					for _, v := range o.seen {
						if v[:1] == kind {
							n++
						}
					}
					o.seen[id] = fmt.Sprint(kind, n)
				}
				return o.seen[id]
			})
			out.WriteString(recent.ReplaceAllString(line, `"$1":0`) + "\n")
		}
	}
	return strings.TrimSpace(out.String())
}

// know puts somebody into the database, as the reader would.
func (o *office) know(p control.Person, ids ...control.Identifier) {
	o.t.Helper()
	row, _, err := o.people.Highest(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	_, at, _, err := o.people.Cursor(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	p.Row, p.New, p.Workspace = row+1, true, 7
	p.UpdatedAt = time.Unix(1_700_000_000+row, 0)
	p.CreatedAt = p.UpdatedAt
	b := &control.PeopleBatch{Log: eventlog.ID{1}, From: at, Next: at, People: []*control.Person{&p}}
	for _, i := range ids {
		b.Identities = append(b.Identities, control.PersonIdentity{Workspace: 7, Identifier: i, Person: p.ID})
	}
	if err := o.people.Apply(o.t.Context(), b); err != nil {
		o.t.Fatal(err)
	}
}

func externalID(v string) control.Identifier {
	return control.Identifier{Kind: control.ByExternalID, Value: v}
}

func TestEachObjectOfATrackRequestBecomesRecords(t *testing.T) {
	const at = `"time":"2026-11-20T10:00:00Z"`
	for name, row := range map[string]struct{ body, answer, log string }{
		"attributes": {
			`{"attributes":[{"external_id":"ana","first_name":"Ana","email":"Ana@Example.com","shoe":38}]}`,
			`{"attributes_processed":1,"message":"success"}`,
			`Update {"external_user_id":"ana","id":"e1","time":0,"time_ms":0,"user_id":"p1","update_source":"REST","first_name":"Ana","email_address":"ana@example.com","custom_attributes":"{\"shoe\":38}"}
{"kind":"update","person":"p1","event":"e1","external_id":"ana","attributes":{"email":"ana@example.com","first_name":"Ana"},"custom":[{"name":"shoe","do":"set","value":38}]}`,
		},
		"an event": {
			`{"events":[{"external_id":"ana","name":"saw","app_id":"app",` + at + `,"properties":{"a":"<b>","n":[1]}}]}`,
			`{"events_processed":1,"message":"success"}`,
			`CustomEvent {"id":"e1","user_id":"p1","external_user_id":"ana","app_id":"app","time":0,"name":"saw","properties":"{\"a\":\"<b>\",\"n\":[1]}"}`,
		},
		"three of one thing are three purchases": {
			`{"purchases":[{"external_id":"ana","product_id":"hat","currency":"eur","price":2.5,"quantity":3,` + at + `}]}`,
			`{"message":"success","purchases_processed":1}`,
			`Purchase {"id":"e1","user_id":"p1","external_user_id":"ana","time":0,"product_id":"hat","price":2.5,"currency":"EUR","properties":"{}"}
Purchase {"id":"e2","user_id":"p1","external_user_id":"ana","time":0,"product_id":"hat","price":2.5,"currency":"EUR","properties":"{}"}
Purchase {"id":"e3","user_id":"p1","external_user_id":"ana","time":0,"product_id":"hat","price":2.5,"currency":"EUR","properties":"{}"}`,
		},
		"equal events are two events of one new person": {
			`{"events":[{"external_id":"ana","name":"saw",` + at + `},{"external_id":"ana","name":"saw",` + at + `}]}`,
			`{"events_processed":2,"message":"success"}`,
			`CustomEvent {"id":"e1","user_id":"p1","external_user_id":"ana","time":0,"name":"saw","properties":"{}"}
CustomEvent {"id":"e2","user_id":"p1","external_user_id":"ana","time":0,"name":"saw","properties":"{}"}`,
		},
		"somebody known by an address alone is made with it": {
			`{"events":[{"email":"New@example.com","name":"saw",` + at + `}],"attributes":[{"phone":"+49 30 1234","shoe":38}]}`,
			`{"attributes_processed":1,"events_processed":1,"message":"success"}`,
			`Update {"id":"e1","time":0,"time_ms":0,"user_id":"p1","update_source":"REST","phone_number":"+49301234","custom_attributes":"{\"shoe\":38}"}
{"kind":"update","person":"p1","event":"e1","attributes":{"phone":"+49301234"},"custom":[{"name":"shoe","do":"set","value":38}]}
{"kind":"update","person":"p2","attributes":{"email":"new@example.com"}}
CustomEvent {"id":"e2","user_id":"p2","time":0,"name":"saw","properties":"{}"}`,
		},
		"an alias is only updated unless the request says otherwise": {
			`{"attributes":[{"user_alias":{"alias_name":"n","alias_label":"l"},"shoe":1}],"events":[{"user_alias":{"alias_name":"n","alias_label":"l"},"name":"saw",` + at + `}]}`,
			`{"attributes_processed":1,"events_processed":1,"message":"success"}`, ``,
		},
		"an alias that is made": {
			`{"attributes":[{"user_alias":{"alias_name":"n","alias_label":"l"},"_update_existing_only":false,"shoe":1}]}`,
			`{"attributes_processed":1,"message":"success"}`,
			`Update {"id":"e1","time":0,"time_ms":0,"user_id":"p1","update_source":"REST","custom_attributes":"{\"shoe\":1}"}
{"kind":"update","person":"p1","event":"e1","alias":{"alias_label":"l","alias_name":"n"},"custom":[{"name":"shoe","do":"set","value":1}]}`,
		},
		"who is to be updated only is not made": {
			`{"attributes":[{"external_id":"ana","_update_existing_only":true,"shoe":1},{"email":"a@b.example","_update_existing_only":true},{"braze_id":"0123456789abcdef01234567"}]}`,
			`{"attributes_processed":3,"message":"success"}`, ``,
		},
		"a push token without anybody": {
			`{"attributes":[{"push_token_import":true,"push_tokens":[{"app_id":"app","token":"tok","device_id":"dev"}]}]}`,
			`{"attributes_processed":1,"message":"success"}`,
			`Update {"id":"e1","time":0,"time_ms":0,"user_id":"p1","update_source":"REST"}
{"kind":"update","person":"p1","event":"e1","attributes":{"push_tokens":[{"app":"app","token":"tok","device":"dev"}]}}`,
		},
		"one bad object does not stop the others": {
			`{"events":[{"external_id":"ana",` + at + `},{"external_id":"ana","name":"saw",` + at + `},{"name":"saw",` + at + `}],"purchases":[]}`,
			`{"errors":[{"type":"'name' is required: a string of 1 to 255 characters","input_array":"events","index":0},{"type":"'external_id' or 'user_alias' or 'braze_id' or 'email' or 'phone' is required","input_array":"events","index":2}],"events_processed":1,"message":"success","purchases_processed":0}`,
			`CustomEvent {"id":"e1","user_id":"p1","external_user_id":"ana","time":0,"name":"saw","properties":"{}"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := openOffice(t)
			o.want(TrackPath, row.body, http.StatusCreated, row.answer)
			if got := o.appended(0); got != row.log {
				t.Errorf("the log has\n%s\nwant\n%s", got, row.log)
			}
		})
	}
}

func TestWhoeverAnIdentifierNamesIsTracked(t *testing.T) {
	o := openOffice(t)
	o.know(control.Person{ID: "anonymous", Email: "a@example.com"})
	o.know(control.Person{ID: "older", ExternalID: "ana", Email: "a@example.com", Phone: "+49301"}, externalID("ana"), control.ByNameOf(control.Alias{Label: "l", Name: "n"}))
	o.know(control.Person{ID: "newest", Email: "a@example.com"})
	o.know(control.Person{ID: "renamed", ExternalID: "bo"}, externalID("bo"), control.Identifier{Kind: control.ByFormerID, Value: "old bo"})
	for who, want := range map[string]string{
		`"external_id":"ana"`:                                 "older ana",
		`"email":"A@example.com","phone":"nobody's 1"`:        "older ana", // the one with an external id, though another is newer
		`"phone":"+49-301"`:                                   "older ana",
		`"user_alias":{"alias_name":"n","alias_label":"l"}`:   "older ana",
		`"braze_id":"newest"`:                                 "newest ",
		`"external_id":"old bo"`:                              "renamed bo",
		`"external_id":"ana","email":"somebody@else.example"`: "older ana",
	} {
		n := len(o.log.commits)
		o.want(TrackPath, `{"events":[{`+who+`,"name":"saw","time":"2026-11-20"}]}`, http.StatusCreated, `{"events_processed":1,"message":"success"}`)
		var got struct{ User, External string }
		if line := o.appended(n); line != "" {
			m := regexp.MustCompile(`"user_id":"([^"]*)"(?:,"external_user_id":"([^"]*)")?`).FindStringSubmatch(line)
			got.User, got.External = m[1], m[2]
		}
		if got.User+" "+got.External != want {
			t.Errorf("%s: the event is %v's, want %s", who, got, want)
		}
	}
}

func TestAttributesInEachForm(t *testing.T) {
	for name, row := range map[string]struct{ fields, want string }{
		"removed":                       {`"first_name":null,"shoe":null`, `"attributes":{"first_name":null},"custom":[{"name":"shoe","do":"unset"}]`},
		"incremented":                   {`"n":{"inc":-2}`, `"custom":[{"name":"n","do":"inc","value":-2}]`},
		"items added and removed":       {`"n":{"add":["a","b","a"],"remove":["c"]}`, `"custom":[{"name":"n","do":"remove","value":["c"]},{"name":"n","do":"add","value":["b","a"]}]`},
		"an array has each item once":   {`"n":["a","b","a",1]`, `"custom":[{"name":"n","do":"set","value":["b","a",1]}]`},
		"equal numbers are one item":    {`"n":[1,2,2.0,10e-1,0.5,9007199254740993,9007199254740992,"\u0061","a","2"]`, `"custom":[{"name":"n","do":"set","value":[2,1,0.5,9007199254740993,9007199254740992,"a","2"]}]`},
		"an object":                     {`"n":{"a":{"b":1}}`, `"custom":[{"name":"n","do":"set","value":{"a":{"b":1}}}]`},
		"an object is merged":           {`"n":{"a":1},"_merge_objects":true`, `"custom":[{"name":"n","do":"merge","value":{"a":1}}]`},
		"a time in an object":           {`"n":{"a":{"$time":"2026-11-22"}}`, `"custom":[{"name":"n","do":"set","value":{"a":"2026-11-22T00:00:00Z"}}]`},
		"a bad value drops its object":  {`"n":{"a":{"$time":"soon"}},"m":1`, `"custom":[{"name":"m","do":"set","value":1}]`},
		"objects in an array":           {`"n":[{"a":1},{"a":1}]`, `"custom":[{"name":"n","do":"set","value":[{"a":1},{"a":1}]}]`},
		"an array of objects is edited": {`"n":{"$add":[{"id":1}],"$remove":[{"$identifier_key":"id","$identifier_value":2}]}`, `"custom":[{"name":"n","do":"edit","value":{"$add":[{"id":1}],"$remove":[{"$identifier_key":"id","$identifier_value":2}]}}]`},
		"a date":                        {`"n":"2026-11-22 10:15:00"`, `"custom":[{"name":"n","do":"set","value":"2026-11-22T10:15:00Z"}]`},
		"a date as Americans write it":  {`"n":"11/22/2026"`, `"custom":[{"name":"n","do":"set","value":"2026-11-22T00:00:00Z"}]`},
		"a year after 3000 is a text":   {`"n":"3001-01-01"`, `"custom":[{"name":"n","do":"set","value":"3001-01-01"}]`},
		"names are told apart by case":  {`"Email":"x"`, `"custom":[{"name":"Email","do":"set","value":"x"}]`},
		"a country":                     {`"country":"de","language":"pt-BR","gender":"f","dob":"1990-02-03"`, `"attributes":{"country":"DE","dob":"1990-02-03","gender":"F","language":"pt"}`},
		"a country that nobody knows":   {`"country":"Atlantis","language":"klingon","time_zone":"Moon/Base"`, ``},
		"a time zone":                   {`"time_zone":"Eastern Time (US & Canada)"`, `"attributes":{"time_zone":"America/New_York"}`},
		"subscriptions":                 {`"email_subscribe":"opted_in","push_subscribe":"unsubscribed"`, `"attributes":{"email_subscribe":"opted_in","push_subscribe":"unsubscribed"}`},
		"subscription groups":           {`"subscription_groups":[{"subscription_group_id":"g","subscription_state":"subscribed"}]`, `"attributes":{"subscription_groups":[{"subscription_group_id":"g","subscription_state":"subscribed"}]}`},
		"a place":                       {`"current_location":{"longitude":13.4,"latitude":52.5}`, `"attributes":{"current_location":[13.4,52.5]}`},
		"a first session":               {`"date_of_first_session":"2026-01-02T03:04:05.678+01:00"`, `"attributes":{"date_of_first_session":"2026-01-02T02:04:05.678Z"}`},
		"others":                        {`"twitter":{"id":1},"email_open_tracking_disabled":true`, `"attributes":{"email_open_tracking_disabled":true,"twitter":{"id":1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			o := openOffice(t)
			o.want(TrackPath, `{"attributes":[{"external_id":"ana",`+row.fields+`}]}`, http.StatusCreated, `{"attributes_processed":1,"message":"success"}`)
			_, got, _ := strings.Cut(o.appended(0), "\n")
			want := `{"kind":"update","person":"p1","event":"e1","external_id":"ana"`
			if row.want != "" {
				want += "," + row.want
			}
			if want += "}"; got != want {
				t.Errorf("the change is\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestWhatIsWrongWithAnObjectIsSaid(t *testing.T) {
	long := strings.Repeat("x", 256)
	const who, at = `"external_id":"ana",`, `"time":"2026-11-20",`
	for _, row := range []struct{ array, object, text string }{
		{"attributes", `7`, "each of 'attributes' must be an object"},
		{"attributes", `{"shoe":1}`, anIdentifier},
		{"attributes", `{"external_id":7}`, "'external_id' must be a string"},
		{"attributes", `{"external_id":"a\u0000b"}`, "'external_id' has the character U+0000, which cannot be stored"},
		{"attributes", `{"external_id":"\ud800q"}`, "'external_id' has half of a surrogate pair, which is no character"},
		{"attributes", `{"external_id":"\udc01q"}`, "'external_id' has half of a surrogate pair, which is no character"},
		{"attributes", `{` + who + `"first_name":"\ud83d\ud83d\ude00"}`, "'first_name' has half of a surrogate pair, which is no character"},
		{"attributes", `{` + who + `"nested":{"in":[{"x":"\ud800"}]}}`, "'nested' has half of a surrogate pair, which is no character"},
		{"attributes", `{` + who + `"\ud800":1}`, "a name has half of a surrogate pair, which is no character"},
		{"attributes", `{` + who + `"external_id":"bo"}`, "'external_id' is there twice"},
		{"attributes", `{` + who + `"nested":{"x":1,"y":{"x":1}, "\u0078" : 2}}`, "'x' is there twice"},
		{"events", `{` + who + at + `"name":"saw","properties":{"a":"\u0000"}}`, "'properties' has the character U+0000, which cannot be stored"},
		{"events", `{` + who + at + `"name":"saw","properties":{"a":"\udfff"}}`, "'properties' has half of a surrogate pair, which is no character"},
		{"attributes", `{"external_id":"` + strings.Repeat("x", 998) + `"}`, "'external_id' must have 1 to 997 bytes"},
		{"attributes", `{"user_alias":{"alias_name":"a"}}`, "'alias_name' and 'alias_label' must be strings of 1 to 997 bytes"},
		{"attributes", `{"email":"nobody"}`, "'email' must be an e-mail address"},
		{"attributes", `{` + who + `"_update_existing_only":"yes"}`, "'_update_existing_only' must be true or false"},
		{"attributes", `{` + who + `"email":"nobody"}`, "'email' must be an e-mail address"},
		{"attributes", `{` + who + `"phone":"x"}`, "'phone' must be a telephone number, best as in E.164"},
		{"attributes", `{` + who + `"first_name":"` + long + `"}`, "'first_name' must be a string of at most 255 characters"},
		{"attributes", `{` + who + `"first_name":"a\u0000"}`, "'first_name' has the character U+0000, which cannot be stored"},
		{"attributes", `{` + who + `"gender":"X"}`, "'gender' must be one of: M, F, O, N, P"},
		{"attributes", `{` + who + `"dob":"yesterday"}`, "'dob' must be a date as YYYY-MM-DD"},
		{"attributes", `{` + who + `"email_subscribe":"maybe"}`, "'email_subscribe' must be one of: opted_in, subscribed, unsubscribed"},
		{"attributes", `{` + who + `"current_location":{"longitude":1}}`, "'current_location' must be an object with 'longitude' and 'latitude', in degrees"},
		{"attributes", `{` + who + `"push_tokens":[{"token":"t"}]}`, "'push_tokens' must be an array of objects with 'app_id', 'token' and perhaps 'device_id'"},
		{"attributes", `{` + who + `"$set":1}`, "the name of a custom attribute must have 1 to 255 characters, and none begins with '$'"},
		{"attributes", `{` + who + `"n":{"inc":"2"}}`, "'inc' must be a number"},
		{"attributes", `{` + who + `"n":[[1]]}`, "an array must hold texts, numbers and booleans, or only objects"},
		{"attributes", `{` + who + `"n":1e999}`, "the number is too large"},
		{"attributes", `{` + who + `"push_token_import":true}`, "an object with 'push_token_import' has no 'external_id' and no 'braze_id'"},
		{"attributes", `{"push_token_import":true}`, "'push_tokens' is required with 'push_token_import'"},
		{"events", `{` + who + `"name":"saw"}`, "'time' is required: a time as in ISO 8601"},
		{"events", `{` + who + at + `"name":"` + long + `"}`, "'name' is required: a string of 1 to 255 characters"},
		{"events", `{` + who + at + `"name":"saw","properties":[]}`, "'properties' must be an object"},
		{"events", `{` + who + at + `"name":"saw","properties":{"$a":1}}`, "the name of a property must have 1 to 255 characters, and none begins with '$'"},
		{"events", `{` + who + at + `"name":"saw","properties":{"time":1}}`, "'time' is reserved and cannot be the name of a property"},
		{"events", `{` + who + at + `"name":"saw","properties":{"event_name":1}}`, "'event_name' is reserved and cannot be the name of a property"},
		{"events", `{` + who + at + `"name":"saw","properties":{"a":"` + long + `"}}`, "a property that is a string must have at most 255 characters"},
		{"events", `{` + who + at + `"name":"saw","properties":{"a":["` + strings.Repeat("x", 100<<10) + `"]}}`, "'properties' must have at most 100 KB"},
		{"purchases", `{` + who + at + `"currency":"USD","price":1}`, "'product_id' is required: a string of 1 to 255 characters"},
		{"purchases", `{` + who + at + `"product_id":"p","currency":"US","price":1}`, "'currency' is required: a code of ISO 4217 such as USD"},
		{"events", `{` + who + `"time":"0001-01-01","name":"saw"}`, "'time' must be a time as in ISO 8601, from the year 1902 to 3000"},
		{"purchases", `{` + who + at + `"product_id":"p","currency":"USD"}`, "'price' is required: a number"},
		{"purchases", `{` + who + at + `"product_id":"p","currency":"USD","price":"1"}`, "'price' must be a number, at most 3.4e38"},
		{"purchases", `{` + who + at + `"product_id":"p","currency":"USD","price":1e300}`, "'price' must be a number, at most 3.4e38"},
		{"purchases", `{` + who + at + `"product_id":"p","currency":"USD","price":1,"quantity":101}`, "'quantity' must be a whole number from 1 to 100"},
	} {
		o := openOffice(t)
		text, _ := json.Marshal(row.text)
		a := o.send(TrackPath, `{"`+row.array+`":[`+row.object+`]}`)
		want := `{"message":"` + noValidData + `","errors":[{"type":` + string(text) + `,"input_array":"` + row.array + `","index":0}],`
		if a.status != http.StatusBadRequest || !strings.HasPrefix(a.body, strings.ReplaceAll(want, "'", `'`)) {
			t.Errorf("%.200s\n got %d %s\nwant 400 %s", row.object, a.status, a.body, want)
		}
		if total, last := o.in.Rejected("every"); total != 1 || len(last) != 1 || last[0].Problems[0].Message != row.text && last[0].Problems[0].Code != event.CodeInvalidTime {
			t.Errorf("%.100s: kept of the key: %d %+v", row.object, total, last)
		}
		if o.log.records() != 0 {
			t.Errorf("%.100s: something was appended", row.object)
		}
	}
}

// Whoever an escape of half a character names would be one with whoever another names.
func TestWhatIsNoCharacterStopsItsObjectOnly(t *testing.T) {
	o := openOffice(t)
	o.want(TrackPath, `{"attributes":[{"external_id":"\ud800q"},{"external_id":"\ud83d\ude00 \\ud800"}]}`, http.StatusCreated,
		`{"attributes_processed":1,"errors":[{"type":"'external_id' has half of a surrogate pair, which is no character","input_array":"attributes","index":0}],"message":"success"}`)
	if got := o.appended(0); !strings.Contains(got, `"external_id":"😀 \\ud800"`) {
		t.Errorf("the log has\n%s", got)
	}
}

// One bad object of a request about who people are does not stop the others.
func TestABadObjectOfALifecycleRequestIsLeftOutAlone(t *testing.T) {
	for name, row := range map[string]struct{ path, body, answer, log string }{
		"a new alias": {NewAliasPath, `{"user_aliases":[{"alias_label":"l"},{"external_id":"known","alias_label":"l","alias_name":"n"},7]}`,
			`{"aliases_processed":1,"errors":[{"type":"'alias_name' and 'alias_label' must be strings of 1 to 997 bytes","input_array":"user_aliases","index":0},{"type":"each of 'user_aliases' must be an object","input_array":"user_aliases","index":2}],"message":"success"}`,
			`{"kind":"update","person":"k","alias":{"alias_label":"l","alias_name":"n"}}`},
		"an alias that is updated": {UpdateAliasPath, `{"alias_updates":[{"alias_label":"a"},{"alias_label":"a","old_alias_name":"b","new_alias_name":"n"}]}`,
			`{"errors":[{"type":"'alias_label', 'old_alias_name' and 'new_alias_name' must be strings of 1 to 997 bytes","input_array":"alias_updates","index":0}],"message":"success"}`,
			`{"kind":"update","person":"u","alias":{"alias_label":"a","alias_name":"n"},"old":"b"}`},
		"somebody who is identified": {IdentifyPath, `{"aliases_to_identify":[{"external_id":"x"},{"external_id":"x","user_alias":{"alias_label":"a","alias_name":"b"}}],"emails_to_identify":[{"email":"nobody","external_id":"x"}]}`,
			`{"aliases_processed":1,"errors":[{"type":"'user_alias' must be an object with 'alias_name' and 'alias_label'","input_array":"aliases_to_identify","index":0},{"type":"'email' must be an e-mail address","input_array":"emails_to_identify","index":0}],"message":"success"}`,
			`{"kind":"update","person":"u","external_id":"x"}`},
		"somebody who is deleted": {DeletePath, `{"external_ids":[5,"known","\ud800"],"email_addresses":["a@b.example"]}`,
			`{"deleted":1,"errors":[{"type":"each of 'external_ids' must be a string","input_array":"external_ids","index":0},{"type":"a text has half of a surrogate pair, which is no character","input_array":"external_ids","index":2},{"type":"each of 'email_addresses' must be an object with 'email'","input_array":"email_addresses","index":0}],"message":"success"}`,
			"UserDeleteRequest {\"id\":\"e1\",\"user_id\":\"k\",\"time\":0}\n" + `{"kind":"delete","person":"k","event":"e1"}`},
		"an external id that is renamed": {RenameExternalIDsPath, `{"external_id_renames":[{"current_external_id":"known"},{"current_external_id":"known","new_external_id":"b"}]}`,
			`{"external_ids":["b"],"message":"success","rename_errors":["'new_external_id' must be a string (item 0)"]}`,
			`{"kind":"rename","person":"k","external_id":"b","old":"known"}`},
		"an external id that is removed": {RemoveExternalIDsPath, `{"external_ids":[5,"old"]}`,
			`{"message":"success","removal_errors":["each of 'external_ids' must be a string (item 0)"],"removed_ids":["old"]}`,
			`{"kind":"forget_id","person":"k","old":"old"}`},
	} {
		t.Run(name, func(t *testing.T) {
			o := openOffice(t)
			o.know(control.Person{ID: "k", ExternalID: "known"}, externalID("known"), control.Identifier{Kind: control.ByFormerID, Value: "old"})
			o.know(control.Person{ID: "u"}, control.ByNameOf(control.Alias{Label: "a", Name: "b"}))
			a, again := o.send(row.path, row.body, IdempotencyHeader, "once"), o.send(row.path, row.body, IdempotencyHeader, "once")
			if a.status != http.StatusCreated || a.body != row.answer || again.body != a.body {
				t.Errorf("got %d %s\nthen %s\nwant 201 %s", a.status, a.body, again.body, row.answer)
			}
			if got := o.appended(0); got != row.log {
				t.Errorf("the log has\n%s\nwant\n%s", got, row.log)
			}
			if total, _ := o.in.Rejected("every"); total == 0 {
				t.Error("the key does not know of what was left out")
			}
		})
	}
}

// A merge has the vendor's texts for a request that is refused whole: none of it is done.
func TestAMergeIsTakenWholeOrNotAtAll(t *testing.T) {
	o := openOffice(t)
	a := o.send(MergePath, `{"merge_updates":[{"identifier_to_merge":{"external_id":"a"},"identifier_to_keep":{"external_id":"b"}},{}]}`)
	if a.status != http.StatusBadRequest || !strings.HasPrefix(a.body, `{"message":"'merge_updates' must only have 'identifier_to_merge' and 'identifier_to_keep'","errors":[{`) || !strings.Contains(a.body, `"index":1`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestARequestIsRefusedWholeByName(t *testing.T) {
	many := func(n int, item string) string { return strings.Repeat(item+",", n-1) + item }
	event := `{"external_id":"a","name":"n","time":"2026-11-20"}`
	for name, row := range map[string]struct {
		path, body string
		header     []string
		status     int
		message    string
	}{
		"no key":              {TrackPath, `{}`, []string{"Authorization", ""}, 401, "Unauthorized"},
		"an unknown key":      {TrackPath, `{}`, []string{"Authorization", "Bearer nobodys"}, 401, "Unauthorized"},
		"a key without scope": {TrackPath, `{}`, []string{"Authorization", "Bearer " + goodKey}, 403, "Access Denied"},
		"another scope":       {DeletePath, `{}`, []string{"Authorization", "Bearer " + trackKey}, 403, "Access Denied"},
		"another kind":        {TrackPath, `{}`, []string{"Content-Type", "text/plain"}, 415, "Unsupported Media Type"},
		"not JSON":            {TrackPath, `{"events":[}`, nil, 400, "Error while parsing request body. Please check your syntax."},
		"no object":           {TrackPath, `[]`, nil, 400, "Error while parsing request body. Please check your syntax."},
		"two of a name":       {TrackPath, `{"events":[` + event + `],"events":[]}`, nil, 400, "Error while parsing request body. Please check your syntax."},
		"two values":          {TrackPath, `{}{}`, nil, 400, "Error while parsing request body. Please check your syntax."},
		"nothing":             {TrackPath, `{}`, nil, 400, noValidData},
		"no array":            {TrackPath, `{"events":{}}`, nil, 400, "'events' must be an array of objects"},
		"76 objects":          {TrackPath, `{"events":[` + many(40, event) + `],"attributes":[` + many(36, `{"external_id":"a"}`) + `]}`, nil, 400, "Max Input Length Exceeded"},
		"1,001 objects":       {BulkTrackPath, `{"events":[` + many(1001, event) + `]}`, nil, 400, "Max Input Length Exceeded"},
		"101 of one user":     {BulkTrackPath, `{"events":[` + many(101, event) + `]}`, nil, 400, "Max Input Length Exceeded"},
		"2 MB":                {BulkTrackPath, `{"events":[` + strings.Repeat(" ", 2<<20) + `]}`, nil, 413, "Max Input Length Exceeded"},
		"51 aliases":          {NewAliasPath, `{"user_aliases":[` + many(51, `{"alias_name":"n","alias_label":"l"}`) + `]}`, nil, 400, "The max number of external_ids and aliases per request was exceeded"},
		"51 ids":              {DeletePath, `{"external_ids":[` + many(51, `"a"`) + `]}`, nil, 400, "The max number of ids per request was exceeded"},
		"51 merges": {MergePath, `{"merge_updates":[` + many(51, `{"identifier_to_merge":{"external_id":"a"},"identifier_to_keep":{"external_id":"b"}}`) + `]}`, nil, 400,
			"a single request may not contain more than 50 merge updates"},
		"merges that are no array":  {MergePath, `{"merge_updates":7}`, nil, 400, "'merge_updates' must be an array of objects"},
		"a merge of something else": {MergePath, `{"merge_updates":[{"identifier_to_merge":{"external_id":7},"identifier_to_keep":{"external_id":"b"}}]}`, nil, 400, mergeWho},
		"a merge with more":         {MergePath, `{"merge_updates":[{"identifier_to_merge":{"external_id":"a"},"identifier_to_keep":{"external_id":"b"},"x":1}]}`, nil, 400, mergeOnly},
		"rules that contradict": {DeletePath, `{"email_addresses":[{"email":"a@b.example","prioritization":["identified","unidentified"]}]}`, nil, 400,
			"'prioritization' must be an array of: identified, unidentified, most_recently_updated, least_recently_updated; only one of the first two, and one of the last two"},
	} {
		t.Run(name, func(t *testing.T) {
			o := openOffice(t)
			a := o.send(row.path, row.body, row.header...)
			var got struct{ Message, Error string }
			if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != row.status || got.Message != row.message || got.Error == "" {
				t.Errorf("got %d %s, want %d with the message %s", a.status, a.body, row.status, row.message)
			}
			if o.log.records() != 0 {
				t.Error("something was appended")
			}
		})
	}
}

func TestAWorkspaceThatAsksTooOftenIsToldWhenItMayAgain(t *testing.T) {
	o := openOffice(t)
	c := call{path: DeletePath, scope: "users.delete", quota: httpd.NewQuota(2, time.Hour), maxBody: 1 << 20, alone: true, read: readDelete}
	o.calls[DeletePath] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { o.in.serveCall(w, r, c) })
	for i, want := range []string{"201 2 1", "201 2 0", "429 2 0"} {
		a := o.send(DeletePath, `{"external_ids":["a"]}`)
		if got := fmt.Sprint(a.status, " ", a.header.Get("X-RateLimit-Limit"), " ", a.header.Get("X-RateLimit-Remaining")); got != want {
			t.Errorf("request %d: %s, want %s", i, got, want)
		}
		var at int64
		if _, err := fmt.Sscan(a.header.Get("X-RateLimit-Reset"), &at); err != nil || time.Until(time.Unix(at, 0)) < 59*time.Minute {
			t.Errorf("request %d: it may again at %q", i, a.header.Get("X-RateLimit-Reset"))
		}
		if after := a.header.Get("Retry-After"); (after != "") != (i == 2) {
			t.Errorf("request %d: Retry-After is %q", i, after)
		}
	}
}

func TestAnEventInTheFutureIsOfNow(t *testing.T) {
	o := openOffice(t)
	o.send(TrackPath, `{"events":[{"external_id":"a","name":"n","time":"2999-01-01T00:00:00Z"}]}`)
	if got := o.appended(0); !strings.Contains(got, `"time":0`) {
		t.Error(got)
	}
}

func TestPeopleAreJoinedRenamedAndEnded(t *testing.T) {
	type call struct {
		path, body string
		status     int
		answer     string
		log        string // what it appended
	}
	alias := func(label, name string) string { return `{"alias_label":"` + label + `","alias_name":"` + name + `"}` }
	track := func(who string) call {
		return call{path: TrackPath, body: `{"events":[{` + who + `,"name":"n","time":"2026-11-20"}]}`, status: 201, answer: `{"events_processed":1,"message":"success"}`}
	}
	is := func(c call, log string) call { c.log = log; return c }
	ok := `{"message":"success"}`
	for name, calls := range map[string][]call{
		"an alias is given, found, renamed": {
			is(track(`"external_id":"ana"`), `CustomEvent {"id":"e1","user_id":"p1","external_user_id":"ana","time":0,"name":"n","properties":"{}"}`),
			{NewAliasPath, `{"user_aliases":[{"external_id":"ana","alias_label":"l","alias_name":"n"},{"external_id":"nobody","alias_label":"l","alias_name":"m"},{"alias_label":"l","alias_name":"n"}]}`, 201,
				`{"aliases_processed":3,"message":"success"}`, `{"kind":"update","person":"p1","alias":` + alias("l", "n") + `}`},
			{NewAliasPath, `{"user_aliases":[{"external_id":"ana","alias_label":"l","alias_name":"other"}]}`, 201, `{"aliases_processed":1,"message":"success"}`, ``},
			is(track(`"user_alias":`+alias("l", "n")), `CustomEvent {"id":"e2","user_id":"p1","external_user_id":"ana","time":0,"name":"n","properties":"{}"}`),
			{UpdateAliasPath, `{"alias_updates":[{"alias_label":"l","old_alias_name":"n","new_alias_name":"m"}]}`, 201, ok, `{"kind":"update","person":"p1","alias":` + alias("l", "m") + `,"old":"n"}`},
			is(track(`"user_alias":`+alias("l", "n")), ``),
			is(track(`"user_alias":`+alias("l", "m")), `CustomEvent {"id":"e3","user_id":"p1","external_user_id":"ana","time":0,"name":"n","properties":"{}"}`),
		},
		"an alias alone gets an external id that is nobody's": {
			{NewAliasPath, `{"user_aliases":[` + alias("l", "n") + `]}`, 201, `{"aliases_processed":1,"message":"success"}`, `{"kind":"update","person":"p1","alias":` + alias("l", "n") + `}`},
			{IdentifyPath, `{"aliases_to_identify":[{"external_id":"ana","user_alias":` + alias("l", "n") + `}]}`, 201, `{"aliases_processed":1,"message":"success"}`, `{"kind":"update","person":"p1","external_id":"ana"}`},
			is(track(`"external_id":"ana"`), `CustomEvent {"id":"e1","user_id":"p1","external_user_id":"ana","time":0,"name":"n","properties":"{}"}`),
		},
		"an alias alone goes up in whoever has the external id": {
			{NewAliasPath, `{"user_aliases":[` + alias("l", "n") + `]}`, 201, `{"aliases_processed":1,"message":"success"}`, `{"kind":"update","person":"p1","alias":` + alias("l", "n") + `}`},
			is(track(`"external_id":"ana"`), `CustomEvent {"id":"e1","user_id":"p2","external_user_id":"ana","time":0,"name":"n","properties":"{}"}`),
			{IdentifyPath, `{"aliases_to_identify":[{"external_id":"ana","user_alias":` + alias("l", "n") + `}]}`, 201, `{"aliases_processed":1,"message":"success"}`,
				"UserOrphan {\"id\":\"e2\",\"user_id\":\"p1\",\"time\":0,\"orphaned_by_id\":\"p2\"}\n" + `{"kind":"merge","person":"p1","event":"e2","into":"p2"}`},
			is(track(`"user_alias":`+alias("l", "n")), `CustomEvent {"id":"e3","user_id":"p2","external_user_id":"ana","time":0,"name":"n","properties":"{}"}`),
		},
		"two are merged": {
			is(track(`"external_id":"a"`), `CustomEvent {"id":"e1","user_id":"p1","external_user_id":"a","time":0,"name":"n","properties":"{}"}`),
			is(track(`"external_id":"b"`), `CustomEvent {"id":"e2","user_id":"p2","external_user_id":"b","time":0,"name":"n","properties":"{}"}`),
			{MergePath, `{"merge_updates":[{"identifier_to_merge":{"external_id":"a"},"identifier_to_keep":{"external_id":"b"}},{"identifier_to_merge":{"external_id":"x"},"identifier_to_keep":{"external_id":"b"}}]}`, 202, ok,
				"UserOrphan {\"id\":\"e3\",\"user_id\":\"p1\",\"external_user_id\":\"a\",\"time\":0,\"orphaned_by_id\":\"p2\"}\n" + `{"kind":"merge","person":"p1","event":"e3","into":"p2"}`},
			{DeletePath, `{"external_ids":["a"]}`, 201, `{"deleted":1,"message":"success"}`,
				"UserDeleteRequest {\"id\":\"e4\",\"user_id\":\"p2\",\"time\":0}\n" + `{"kind":"delete","person":"p2","event":"e4"}`},
			{DeletePath, `{"external_ids":["a","b"],"user_aliases":[` + alias("l", "x") + `]}`, 201, `{"deleted":0,"message":"success"}`, ``},
		},
		"an external id is renamed, still works, and is let go": {
			is(track(`"external_id":"a"`), `CustomEvent {"id":"e1","user_id":"p1","external_user_id":"a","time":0,"name":"n","properties":"{}"}`),
			{RenameExternalIDsPath, `{"external_id_renames":[{"current_external_id":"a","new_external_id":"b"},{"current_external_id":"x","new_external_id":"y"}]}`, 201,
				`{"external_ids":["b"],"message":"success","rename_errors":["there is no user with the current_external_id (item 1)"]}`,
				`{"kind":"rename","person":"p1","external_id":"b","old":"a"}`},
			is(track(`"external_id":"a"`), `CustomEvent {"id":"e2","user_id":"p1","external_user_id":"b","time":0,"name":"n","properties":"{}"}`),
			{RemoveExternalIDsPath, `{"external_ids":["a",5,"b"]}`, 201,
				`{"message":"success","removal_errors":["each of 'external_ids' must be a string (item 1)","the external id is not one that was renamed (item 2)"],"removed_ids":["a"]}`,
				`{"kind":"forget_id","person":"p1","old":"a"}`},
			is(track(`"external_id":"a"`), `CustomEvent {"id":"e3","user_id":"p2","external_user_id":"a","time":0,"name":"n","properties":"{}"}`),
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := openOffice(t)
			for i, c := range calls {
				n := len(o.log.commits)
				o.want(c.path, c.body, c.status, c.answer)
				if got := o.appended(n); got != c.log {
					t.Errorf("request %d, %s, appended\n%s\nwant\n%s", i, c.path, got, c.log)
				}
			}
		})
	}
}

func TestOneOfSeveralWithAnAddressIsChosenByRule(t *testing.T) {
	for rules, want := range map[string]string{
		``: "", `"identified"`: "", `"unidentified"`: "", `"most_recently_updated"`: "anonymous2", `"least_recently_updated"`: "ana",
		`"identified","most_recently_updated"`: "bo", `"unidentified","least_recently_updated"`: "anonymous1",
	} {
		o := openOffice(t)
		for _, id := range []string{"ana", "anonymous1", "bo", "anonymous2"} {
			p := control.Person{ID: control.PersonID(id), Email: "a@example.com"}
			if !strings.HasPrefix(id, "anonymous") {
				p.ExternalID = id
			}
			o.know(p)
		}
		body := `{"email_addresses":[{"email":"a@example.com"`
		if rules != "" {
			body += `,"prioritization":[` + rules + `]`
		}
		o.send(DeletePath, body+`}]}`)
		got := o.appended(0)
		if want == "" && got != "" || want != "" && !strings.Contains(got, `"kind":"delete","person":"`+want+`"`) {
			t.Errorf("[%s] deleted\n%s\nwant %s", rules, got, want)
		}
	}
}

func TestARepeatedRequestAboutPeopleCountsOnce(t *testing.T) {
	for path, bodies := range map[string][2]string{
		TrackPath:             {`{"events":[{"external_id":"a","name":"n","time":"2026-11-20"},{}]}`, `{"errors":[{"type":"'name' is required: a string of 1 to 255 characters","input_array":"events","index":1}],"events_processed":1,"message":"success"}`},
		DeletePath:            {`{"external_ids":["known","x"]}`, `{"deleted":1,"message":"success"}`},
		RenameExternalIDsPath: {`{"external_id_renames":[{"current_external_id":"known","new_external_id":"b"}]}`, `{"external_ids":["b"],"message":"success","rename_errors":[]}`},
	} {
		o := openOffice(t)
		o.know(control.Person{ID: "k", ExternalID: "known"}, externalID("known"))
		first := o.send(path, bodies[0], IdempotencyHeader, "once")
		n := o.log.records()
		again := o.send(path, bodies[0], IdempotencyHeader, "once")
		want := strings.ReplaceAll(bodies[1], "'name' is required: a string of 1 to 255 characters", anIdentifier)
		if first.body != want || again.body != want || again.status != first.status || again.header.Get(ReplayedHeader) != "true" || o.log.records() != n || n == 0 {
			t.Errorf("%s: first %d %s, again %d %s, %d records and then %d; want %s", path, first.status, first.body, again.status, again.body, n, o.log.records(), want)
		}
		if other := o.send(path, `{"events":[{"external_id":"a","name":"m","time":"2026-11-20"}],"external_ids":["y"]}`, IdempotencyHeader, "once"); other.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: another body under the key: %d %s", path, other.status, other.body)
		}
	}
}

func TestWhatWasHalfDoneIsDoneByItsRepetition(t *testing.T) {
	for path, row := range map[string]struct{ body, log string }{
		NewAliasPath:    {`{"user_aliases":[{"external_id":"known","alias_label":"l","alias_name":"n"}]}`, `{"kind":"update","person":"k","alias":{"alias_label":"l","alias_name":"n"}}`},
		UpdateAliasPath: {`{"alias_updates":[{"alias_label":"a","old_alias_name":"b","new_alias_name":"n"}]}`, `{"kind":"update","person":"u","alias":{"alias_label":"a","alias_name":"n"},"old":"b"}`},
		IdentifyPath:    {`{"aliases_to_identify":[{"external_id":"x","user_alias":{"alias_label":"a","alias_name":"b"}}]}`, `{"kind":"update","person":"u","external_id":"x"}`},
		RenameExternalIDsPath: {`{"external_id_renames":[{"current_external_id":"known","new_external_id":"b"}]}`,
			`{"kind":"rename","person":"k","external_id":"b","old":"known"}`},
	} {
		o := openOffice(t)
		o.know(control.Person{ID: "k", ExternalID: "known"}, externalID("known"))
		o.know(control.Person{ID: "u"}, control.ByNameOf(control.Alias{Label: "a", Name: "b"}))
		o.log.fail(func() error { return fault.New(fault.Unavailable, "append", "no") })
		if a := o.send(path, row.body); a.status != http.StatusServiceUnavailable {
			t.Error(path, a)
		}
		o.log.fail(nil)
		o.send(path, row.body)
		if got := o.appended(0); got != row.log {
			t.Errorf("%s: the log has\n%s\nwant\n%s", path, got, row.log)
		}
	}
}

// The identifier is fixed and the log has nothing: a crash between them. The next request is about the same person.
func TestALogThatFailsAfterSomebodyWasNamedDoesNoHarm(t *testing.T) {
	o := openOffice(t)
	body := `{"attributes":[{"user_alias":{"alias_name":"n","alias_label":"l"},"_update_existing_only":false},{"external_id":"a"}]}`
	o.log.fail(func() error { return fault.New(fault.Unavailable, "append", "no") })
	if a := o.send(TrackPath, body); a.status != http.StatusServiceUnavailable {
		t.Fatal(a)
	}
	o.log.fail(nil)
	for _, alias := range []string{`,"alias":{"alias_label":"l","alias_name":"n"}`, ""} { // said once
		n := len(o.log.commits)
		o.send(TrackPath, body)
		got := regexp.MustCompile(`e[0-9]+`).ReplaceAllString(o.appended(n), "e")
		want := `Update {"id":"e","time":0,"time_ms":0,"user_id":"p1","update_source":"REST"}
{"kind":"update","person":"p1","event":"e"` + alias + `}
Update {"external_user_id":"a","id":"e","time":0,"time_ms":0,"user_id":"p2","update_source":"REST"}
{"kind":"update","person":"p2","event":"e","external_id":"a"}`
		if got != want {
			t.Errorf("the log has\n%s\nwant\n%s", got, want)
		}
	}
}

func TestAPersonIsDeletedAsARequestWould(t *testing.T) {
	o := openOffice(t)
	o.know(control.Person{ID: "somebody", ExternalID: "a"}, externalID("a"))
	o.know(control.Person{ID: "another"})
	for _, who := range []control.PersonID{"somebody", "nobody", "somebody"} { // of whom nobody knows any more, nothing is appended
		if err := o.in.DeletePerson(t.Context(), 7, who); err != nil {
			t.Fatal(err)
		}
	}
	first := "UserDeleteRequest {\"id\":\"e1\",\"user_id\":\"somebody\",\"time\":0}\n" + `{"kind":"delete","person":"somebody","event":"e1"}`
	if got := o.appended(0); got != first {
		t.Errorf("appended\n%s\nwant\n%s", got, first)
	}
	if known, err := o.people.Whom(t.Context(), 7, []control.Identifier{externalID("a")}); err != nil || len(known) > 0 {
		t.Errorf("the external id still names %v, %v", known, err)
	}
	o.in.Close(t.Context())
	if err := o.in.DeletePerson(t.Context(), 7, "another"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("while the server stops: %v", err)
	}
}
