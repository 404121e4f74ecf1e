package web

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// keptPeople is what is kept of people, and how a test puts something there.
type keptPeople interface {
	Profiles
	Apply(ctx context.Context, b *control.PeopleBatch) error
	SaveSize(ctx context.Context, workspace uint32, id control.SegmentID, d control.DaySize) error
	Cursor(ctx context.Context) (log eventlog.ID, next eventlog.Offset, known bool, err error)
	Highest(ctx context.Context) (row, name int64, err error)
}

// learned is when everything about people happened.
var learned = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// learns keeps what a batch says.
func (w *world) learns(b control.PeopleBatch) {
	w.t.Helper()
	log, next, _, err := w.profiles.Cursor(w.t.Context())
	must(w.t, err)
	b.Log, b.From, b.Next = log, next, next+1
	must(w.t, w.profiles.Apply(w.t.Context(), &b))
}

// knows keeps somebody of a workspace under that external id, and gives them as they are kept.
func (w *world) knows(workspace uint32, external string, change func(*control.Person)) *control.Person {
	w.t.Helper()
	row, _, err := w.profiles.Highest(w.t.Context())
	must(w.t, err)
	p := &control.Person{Row: row + 1, New: true, Workspace: workspace, ID: control.PersonID("p-" + external), ExternalID: external, Bucket: 7, CreatedAt: learned, UpdatedAt: learned}
	if change != nil {
		change(p)
	}
	w.learns(control.PeopleBatch{People: []*control.Person{p},
		Identities: []control.PersonIdentity{{Workspace: workspace, Identifier: control.Identifier{Kind: control.ByExternalID, Value: external}, Person: p.ID}}})
	return p
}

// personExamples are those of rows about the people whom events are about.
func (w *world) personExamples() map[string]func(who string) example {
	at := func(string) example {
		return example{path: "/workspaces/acme/people/" + string(w.knows(w.acme.Number, fresh(), nil).ID)}
	}
	return map[string]func(who string) example{
		"listSetAside": func(string) example { return example{path: "/workspaces/acme/set-aside"} },
		"findProfiles": func(string) example { return example{path: "/workspaces/acme/people?external_id=u-1"} },
		"getProfile":   at,
		"eraseProfile": at,
	}
}

func TestPeopleAreFoundByWhatNamesThem(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.knows(w.acme.Number, "u-1", func(p *control.Person) {
		p.FirstName, p.Email, p.Phone, p.UpdatedAt = "Ada", "ada@acme.example", "+551199", learned.Add(time.Hour)
	})
	ben := w.knows(w.acme.Number, "u-2", func(p *control.Person) { p.FirstName, p.Email = "Ben", "ada@acme.example" })
	w.knows(w.globex.Number, "u-3", func(p *control.Person) { p.FirstName, p.Email = "Cleo", "ada@acme.example" })
	w.learns(control.PeopleBatch{Identities: []control.PersonIdentity{
		{Workspace: w.acme.Number, Identifier: control.ByNameOf(control.Alias{Label: "crm", Name: "1:7"}), Person: ada.ID},
		{Workspace: w.acme.Number, Identifier: control.Identifier{Kind: control.ByFormerID, Value: "u-0"}, Person: ben.ID},
	}})
	for query, want := range map[string]string{
		"external_id=u-1": "Ada", "external_id=u-0": "Ben", "external_id=u-3": "", "external_id=U-1": "", "user_id=p-u-2": "Ben", "user_id=p-u-3": "",
		"email=ada@acme.example": "Ada Ben", "email=%20ADA@acme.example": "Ada Ben", "email=nobody": "", "phone=%2B55%201199": "Ada", "phone=x": "", "alias=crm:1:7": "Ada", "alias=crm:1": "",
	} {
		var page client.Page[client.ProfileHead]
		w.as(exporter, "GET", "/workspaces/acme/people?"+query, nil).read(200, &page)
		var names []string
		for _, x := range page.Items {
			names = append(names, x.FirstName)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("?%s finds %q, want %q", query, got, want)
		}
	}
	for query, want := range map[string]string{
		"": "external_id required", "email=a@b.example&phone=1": "phone conflict", "alias=crm": "alias invalid", "alias=:x": "alias invalid",
	} {
		if got := problems(w.as(exporter, "GET", "/workspaces/acme/people?"+query, nil).refused(422)); fmt.Sprint(got) != "["+want+"]" {
			t.Errorf("?%s is refused with %v, want %s", query, got, want)
		}
	}
}

func TestAProfileShowsWhatIsKept(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.knows(w.acme.Number, "u-1", func(p *control.Person) {
		p.FirstName, p.EmailSubscribe, p.Sessions, p.LastSession, p.Purchases, p.Revenue = "Ada", control.OptedIn, 2, learned, 1, 12.5+1e-12
		p.Custom = []byte(`{"plan":"gold","n":{"a":[1,2.50]}}`)
		p.Channels = []byte(`{"email":{"r":1000,"c":2000}}`)
		p.Rest = []byte(`{"aliases":[{"alias_label":"crm","alias_name":"7"}],"devices":[{"id":"d1","model":"Pixel"}],"apps":[{"id":"shop","sessions":2,"first_used":1000,"last_used":2000}],
			"push_tokens":[{"app":"shop","token":"abcdefghijklmnopqrstuvwxyz"},{"app":"shop","token":"short"}],"coordinates":[-46.5,-23.25],"other":{"image_url":"\"https://x.example\""}}`)
	})
	name := func(id int64, kind control.NameKind, name, title string, parent int64) control.Name {
		return control.Name{ID: id, Workspace: w.acme.Number, Kind: kind, Name: name, Title: title, Parent: parent, FirstAt: learned, LastAt: learned}
	}
	at := func(hours int) time.Time { return learned.Add(time.Duration(hours) * time.Hour) }
	w.learns(control.PeopleBatch{
		Names: []control.Name{name(1, control.NameEvent, "signed up", "", 0), name(2, control.NameEvent, "read", "", 0), name(3, control.NameProduct, "hat", "", 0), name(4, control.NameCampaign, "c-1", "Spring", 0),
			name(5, control.NameCanvas, "v-1", "Welcome", 0), name(6, control.NameStep, "s-1", "First", 5), name(7, control.NameGroup, "g-1", "", 0)},
		Events: []control.PersonEvents{{Name: 1, Person: ada.Row, First: at(1), Last: at(1), Count: 1}, {Name: 2, Person: ada.Row, First: at(1), Last: at(3), Count: 4}, {Name: 3, Person: ada.Row, First: at(2), Last: at(2), Count: 1, Revenue: 12.5 + 1e-12}},
		Messages: []control.PersonMessage{{Name: 4, Person: ada.Row, Variation: "a", Flags: control.Converted, Received: at(1), Opened: at(2)},
			{Name: 5, Person: ada.Row, Entered: at(1)}, {Name: 6, Person: ada.Row, Received: at(1)}},
		Groups: []control.PersonGroup{{Name: 7, Person: ada.Row, Subscribed: true, At: at(1)}},
	})
	body := w.as(exporter, "GET", "/workspaces/acme/people/p-u-1", nil).read(200, nil).body
	var got, want any
	must(t, json.Unmarshal([]byte(body), &got))
	must(t, json.Unmarshal([]byte(`{"user_id":"p-u-1","external_id":"u-1","first_name":"Ada","created_at":"2026-11-20T09:00:00Z","updated_at":"2026-11-20T09:00:00Z",
		"aliases":[{"alias_label":"crm","alias_name":"7"}],"random_bucket":7,"email_subscribe":"opted_in","other_attributes":{"image_url":"https://x.example"},
		"custom_attributes":{"plan":"gold","n":{"a":[1,2.5]}},"location":{"longitude":-46.5,"latitude":-23.25},"last_session":"2026-11-20T09:00:00Z","sessions":2,"purchases":1,"revenue":12.5,
		"custom_events":[{"name":"read","first":"2026-11-20T10:00:00Z","last":"2026-11-20T12:00:00Z","count":4,"revenue":0},{"name":"signed up","first":"2026-11-20T10:00:00Z","last":"2026-11-20T10:00:00Z","count":1,"revenue":0}],
		"products":[{"name":"hat","first":"2026-11-20T11:00:00Z","last":"2026-11-20T11:00:00Z","count":1,"revenue":12.5}],
		"campaigns":[{"id":"c-1","title":"Spring","variation_id":"a","last_received":"2026-11-20T10:00:00Z","first_opened":"2026-11-20T11:00:00Z","converted":true,"in_control":false}],
		"canvases":[{"id":"v-1","title":"Welcome","last_entered":"2026-11-20T10:00:00Z","converted":false,"in_control":false,
			"steps":[{"id":"s-1","title":"First","last_received":"2026-11-20T10:00:00Z","converted":false,"in_control":false}]}],
		"channels":[{"channel":"email","last_received":"1970-01-01T00:00:01Z","last_clicked":"1970-01-01T00:00:02Z"}],"subscription_groups":[{"id":"g-1","state":"subscribed","at":"2026-11-20T10:00:00Z"}],
		"apps":[{"id":"shop","sessions":2,"first_used":"1970-01-01T00:00:01Z","last_used":"1970-01-01T00:00:02Z"}],"devices":[{"id":"d1","model":"Pixel"}],
		"push_tokens":[{"app":"shop","token":"abcd…wxyz"},{"app":"shop","token":"…"}],"segments":[],"lag":{"lag_seconds":1.5,"as_of":"2026-11-20T09:00:00Z","stands_still":false}}`), &want))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	bare := w.knows(w.acme.Number, "u-2", nil)
	body = w.as(exporter, "GET", "/workspaces/acme/people/"+string(bare.ID), nil).read(200, nil).body
	if !strings.Contains(body, `"custom_events":[]`) || !strings.Contains(body, `"custom_attributes":{}`) {
		t.Errorf("of whom nothing is known: %s", body)
	}
}

func TestAProfileShowsTheSegmentsThatHoldIt(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.knows(w.acme.Number, "u-1", func(p *control.Person) { p.Country = "DE" })
	w.knows(w.acme.Number, "u-2", func(p *control.Person) { p.Country = "FR" })
	segment := func(workspace uint32, name, country string) control.Segment {
		f := control.Filter{}
		if country != "" {
			f.Attribute = &control.Condition{Name: "country", OneOf: []string{country}}
		}
		s, err := w.plane.CreateSegment(w.root(), workspace, control.SegmentEdit{Name: &name, Filter: &f})
		must(t, err)
		return s
	}
	german, _, all := segment(w.acme.Number, "b Germans", "DE"), segment(w.acme.Number, "c French", "FR"), segment(w.acme.Number, "a everybody", "")
	segment(w.globex.Number, "theirs", "DE")
	shown := func() (p client.Profile) {
		t.Helper()
		w.as(exporter, "GET", "/workspaces/acme/people/"+string(ada.ID), nil).read(200, &p)
		return p
	}
	want := []client.ProfileSegment{{ID: string(all.ID), Name: all.Name}, {ID: string(german.ID), Name: german.Name}}
	if p := shown(); !slices.Equal(p.Segments, want) || p.SegmentsLeft != 0 {
		t.Errorf("in %v, %d left; want %v", p.Segments, p.SegmentsLeft, want)
	}
	for i := range maxLookedAt { // three there are, all of names that come before
		segment(w.acme.Number, fmt.Sprint("z", i), "FR")
	}
	if p := shown(); !slices.Equal(p.Segments, want) || p.SegmentsLeft != 3 {
		t.Errorf("of too many: in %v, %d left; want %v and 3", p.Segments, p.SegmentsLeft, want)
	}
}

func TestWhatWasSetAsideIsListedForItsWorkspaceAndForTheOperator(t *testing.T) {
	w := newWorld(t, nil)
	poisoned := func(offset int64, workspace uint32, reason string) control.SetAside {
		return control.SetAside{Offset: eventlog.Offset(offset), Workspace: workspace, EventType: "users.behaviors.Purchase", Reason: reason, At: learned.Add(time.Duration(offset) * time.Minute)}
	}
	w.learns(control.PeopleBatch{SetAside: []control.SetAside{poisoned(3, w.acme.Number, "ours"), poisoned(4, w.globex.Number, "theirs"),
		{Offset: 5, Reason: "a range", At: learned.Add(time.Hour)}}})
	listed := func(who, path string) (got client.SetAsides, reasons string) {
		w.as(who, "GET", path, nil).read(200, &got)
		for _, x := range got.Items {
			reasons += x.Reason + ";"
		}
		return got, reasons
	}
	got, reasons := listed(viewer, "/workspaces/acme/set-aside")
	if want := (client.SetAside{At: learned.Add(3 * time.Minute), Workspace: workspaceID(w.acme.Number), Offset: 3, EventType: "users.behaviors.Purchase", Reason: "ours"}); reasons != "a range;ours;" || got.Total != 2 || got.Items[1] != want || got.Items[0].Workspace != "" {
		t.Errorf("the workspace sees %+v", got)
	}
	if got, reasons = listed(installer, "/installation/set-aside"); reasons != "a range;theirs;ours;" || got.Total != 3 {
		t.Errorf("the operator sees %+v", got)
	}
}

func TestTheLogOfChangesKeepsWhoLookedAtWhom(t *testing.T) {
	w := newWorld(t, nil)
	w.knows(w.acme.Number, "u-1", func(p *control.Person) { p.Email = "ada@acme.example" })
	w.as(exporter, "GET", "/workspaces/acme/people?email=ada@acme.example", nil).read(200, nil)
	w.as(exporter, "GET", "/workspaces/acme/people/p-u-1", nil).read(200, nil)
	w.as(exporter, "GET", "/workspaces/acme/people/p-u-9", nil).refused(404) // nobody was shown
	w.as(editor, "GET", "/workspaces/acme/people/p-u-1", nil).refused(403)
	w.as(admin, "DELETE", "/workspaces/acme/people/p-u-1", nil).read(204, nil)
	var page client.Page[client.ChangeEntry]
	w.as(admin, "GET", "/workspaces/acme/changes?kind=person", nil).read(200, &page)
	var lines []string
	for _, e := range page.Items {
		lines = append(lines, fmt.Sprint(e.Action, " ", e.SubjectID, " ", e.Actor, " ", e.After))
	}
	want := "person.erase p-u-1 admin@mill.example map[]\nperson.look p-u-1 exporter@mill.example map[]\nperson.search  exporter@mill.example map[by:email]"
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("the log of changes has\n%s\nwant\n%s", got, want)
	}
	if fmt.Sprint(w.erased) != "[p-u-1]" {
		t.Errorf("%v were deleted", w.erased)
	}
}

func TestWithoutProfilesTheSettingIsNamed(t *testing.T) {
	w := newWorld(t, func(_ *Config, d *Deps) { d.Profiles = nil })
	for _, path := range []string{"/workspaces/acme/people?email=a@b.example", "/workspaces/acme/people/p"} {
		if e := w.as(exporter, "GET", path, nil).refused(404); !strings.Contains(e.Hint, "setting profiles") {
			t.Errorf("%s: %+v", path, e)
		}
	}
	var rules client.Rules
	if w.as(viewer, "GET", "/rules", nil).read(200, &rules); rules.Profiles {
		t.Error("the rules say that profiles are kept")
	}
}
