package page

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/text"
	"github.com/millrace/millrace/internal/web"
)

// keptPeople is what is kept of people, and how a test puts something there.
type keptPeople interface {
	web.Profiles
	Apply(ctx context.Context, b *control.PeopleBatch) error
	SaveSize(ctx context.Context, workspace uint32, id control.SegmentID, d control.DaySize) error
	Cursor(ctx context.Context) (log eventlog.ID, next eventlog.Offset, known bool, err error)
}

// learns keeps what a batch says.
func (w *world) learns(b control.PeopleBatch) {
	w.t.Helper()
	log, next, _, err := w.profiles.Cursor(w.t.Context())
	must(w.t, err)
	b.Log, b.From, b.Next = log, next, next+1
	must(w.t, w.profiles.Apply(w.t.Context(), &b))
}

// exporting is a browser of an administrator of acme who may see personal data.
func (w *world) exporting(language string) *browser {
	w.t.Helper()
	_, _, err := w.people.AddMember(control.WithActor(w.t.Context(), control.CommandLine()),
		control.AddMember{Email: "eve@acme.example", Name: "Eve", Password: secret.New(password), Workspace: w.acme.Number, Role: control.Administrator, ExportUserData: true})
	must(w.t, err)
	b := w.browser(language)
	b.signIn("eve@acme.example")
	return b
}

// knowsPeople keeps three people of acme, two of them with one address, and what one of them did; and one of nobody's.
func (w *world) knowsPeople() {
	w.t.Helper()
	at := time.Now().UTC().Add(-time.Hour)
	person := func(row int64, id, external, email string) *control.Person {
		return &control.Person{Row: row, New: true, Workspace: w.acme.Number, ID: control.PersonID(id), ExternalID: external, Email: email, CreatedAt: at, UpdatedAt: at}
	}
	ana := person(1, "p/1", "u-1 <i>", "ana@acme.example")
	ana.FirstName, ana.LastName, ana.Country, ana.EmailSubscribe = "Ana <i>", "Souza", "BR", control.OptedIn
	ana.Sessions, ana.LastSession, ana.Purchases, ana.Revenue = 12, at, 3, 1234.5
	ana.Custom = []byte(`{"plan <i>":"gold <i>","tags":["a",2],"deep":{"a":{"b":1}},"vip":true,"big":12345678901234567890}`)
	ana.Channels = []byte(`{"email":{"r":1000},"sms":{"r":1000}}`)
	ana.Rest = []byte(`{"aliases":[{"alias_label":"crm","alias_name":"7"}],"devices":[{"id":"d-1","model":"Pixel <i>"}],"apps":[{"id":"shop","sessions":2,"first_used":1,"last_used":2}],
		"push_tokens":[{"app":"shop","token":"abcdefghijklmnopqrstuvwxyz"}],"coordinates":[-46.5,-23.25],"other":{"image_url":"\"https://x.example\""}}`)
	idle := person(2, "p2", "", "both@acme.example")
	idle.LastSession = at // as an attribute says
	name := func(id int64, kind control.NameKind, name, title string) control.Name {
		return control.Name{ID: id, Workspace: w.acme.Number, Kind: kind, Name: name, Title: title, FirstAt: at, LastAt: at}
	}
	w.learns(control.PeopleBatch{
		People: []*control.Person{ana, idle, person(3, "p3", "u-3", "both@acme.example"),
			{Row: 4, New: true, Workspace: w.acme.Number + 1, ID: "p4", ExternalID: "u-4", Email: "both@acme.example", CreatedAt: at, UpdatedAt: at}},
		Names: []control.Name{name(1, control.NameEvent, "signed up <i>", ""), name(2, control.NameProduct, "hat", ""), name(3, control.NameCampaign, "c-1", "Spring <i>"), name(4, control.NameCanvas, "v-1", "Welcome"),
			name(5, control.NameGroup, "g-1", "")},
		Events:   []control.PersonEvents{{Name: 1, Person: 1, First: at, Last: at, Count: 1}, {Name: 2, Person: 1, First: at, Last: at, Count: 3, Revenue: 1234.5}},
		Messages: []control.PersonMessage{{Name: 3, Person: 1, Flags: control.Converted, Received: at, Opened: at}, {Name: 4, Person: 1, Flags: control.InControl, Entered: at, Exited: at}},
		Groups:   []control.PersonGroup{{Name: 5, Person: 1, Subscribed: false, At: at}},
		Identities: []control.PersonIdentity{{Workspace: w.acme.Number, Identifier: control.Identifier{Kind: control.ByExternalID, Value: "u-1 <i>"}, Person: "p/1"},
			{Workspace: w.acme.Number, Identifier: control.ByNameOf(control.Alias{Label: "crm", Name: "7"}), Person: "p/1"}},
	})
}

func TestPeopleAreFoundAndShown(t *testing.T) {
	w := newWorld(t)
	w.knowsPeople()
	for _, l := range text.Languages() {
		t.Run(string(l), func(t *testing.T) {
			b := w.exporting(string(l))
			b.get(w.at("/people")).has(t, http.StatusOK, say(l, "page.person_find_title"), `aria-current="page"`, `<option value="external_id" selected>`)
			b.get(w.at("/people?by=external_id&q=u-9")).has(t, http.StatusOK, say(l, "page.person_nobody"))
			b.get(w.at("/people?by=alias&q=crm")).has(t, http.StatusUnprocessableEntity, say(l, "field.alias"), `id="q-error"`, `value="crm"`)
			b.get(w.at("/people?by=email&q=both@acme.example")).has(t, http.StatusOK, say(l, "page.person_found", "n", 2), w.at("/people/p2"), w.at("/people/p3")).lacks(t, "p4")
			b.get(w.at("/people?by=user_id&q=p4")).has(t, http.StatusOK, say(l, "page.person_nobody"))

			// Who is found alone is shown.
			p := b.get(w.at("/people?by=external_id&q=u-1+%3Ci%3E")).has(t, http.StatusOK, "<h1>Ana &lt;i&gt; Souza</h1>", "u-1 &lt;i&gt;", say(l, "page.person_opted_in"), "gold &lt;i&gt;", "plan &lt;i&gt;",
				"a, 2", `{&#34;a&#34;:{&#34;b&#34;:1}}`, say(l, "page.yes"), "12345678901234567890", "signed up &lt;i&gt;", "Spring &lt;i&gt;", say(l, "page.person_converted"), "Welcome", say(l, "page.person_control"),
				say(l, "page.channel_email"), "SMS", "g-1", say(l, "page.person_unsubscribed"), "Pixel &lt;i&gt;", "abcd…wxyz", "-23.2500, -46.5000", "https://x.example", "crm:7", l.Amount(1234.5))
			p.lacks(t, "<i>", "efghijk")
			if !strings.HasSuffix(p.at, "/people/p%2F1") {
				t.Errorf("who was found alone is shown at %s", p.at)
			}
			b.get(w.at("/people/p4")).has(t, http.StatusNotFound, say(l, "control.no_person"))
			b.get(w.at("/people/p2")).has(t, http.StatusOK, "<h1>both@acme.example</h1>", say(l, "page.identifiers")).lacks(t, say(l, "page.person_custom"), say(l, "page.person_tokens"), say(l, "page.person_sessions", "n", 0, "time", "")[:9])
		})
	}
}

func TestAPersonsPageLeadsToTheirSegments(t *testing.T) {
	w := newWorld(t)
	w.knowsPeople()
	segment := func(name string, f control.Filter) string {
		s, err := w.plane.CreateSegment(control.WithActor(t.Context(), control.CommandLine()), w.acme.Number, control.SegmentEdit{Name: &name, Filter: &f})
		must(t, err)
		return w.at("/segments/" + string(s.ID))
	}
	nobody := control.Filter{Attribute: &control.Condition{Name: "home_city", OneOf: []string{"Atlantis"}}}
	none := segment("nobody", nobody)
	for _, l := range text.Languages() {
		w.exporting(string(l)).get(w.at("/people/p2")).has(t, http.StatusOK, say(l, "page.person_segments_none")).lacks(t, none)
	}
	all := segment("everybody <i>", control.Filter{})
	for i := range 100 {
		segment(fmt.Sprint("z", i), nobody)
	}
	for _, l := range text.Languages() {
		w.exporting(string(l)).get(w.at("/people/p2")).has(t, http.StatusOK, all, "everybody &lt;i&gt;", say(l, "page.person_segments_left", "n", 2)).lacks(t, none, say(l, "page.person_segments_none"))
	}
}

func TestAPageSaysThatProfilesAreBehind(t *testing.T) {
	w := newWorld(t)
	w.knowsPeople()
	b := w.exporting("pt-BR")
	w.installs()
	asOf := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	late, still := say(text.Portuguese, "page.person_late", "time", text.Portuguese.Time(asOf, time.UTC)), say(text.Portuguese, "page.person_still", "time", text.Portuguese.Time(asOf, time.UTC))
	all, err := w.plane.CreateSegment(control.WithActor(t.Context(), control.CommandLine()), w.acme.Number, control.SegmentEdit{Name: new("all"), Filter: &control.Filter{}})
	must(t, err)
	for at, b := range map[string]*browser{w.at("/people/p2"): b, w.at("/segments/" + string(all.ID)): b, "/installation": w.signedIn("pt-BR")} {
		w.lag, w.machine.ProfileLag = client.ProfileLag{AsOf: asOf}, &w.lag
		b.get(at).has(t, http.StatusOK).lacks(t, late, still)
		w.lag.Seconds = 90
		b.get(at).has(t, http.StatusOK, late, text.Portuguese.Duration(90*time.Second)).lacks(t, still)
		w.lag.StandsStill = true
		b.get(at).has(t, http.StatusOK, still).lacks(t, late)
	}
}

func TestWhatIsNotInProfilesIsShown(t *testing.T) {
	w := newWorld(t)
	w.installs()
	for _, l := range text.Languages() {
		b := w.exporting(string(l))
		if l == text.Languages()[0] {
			b.get(w.at("/people")).has(t, http.StatusOK).lacks(t, w.at("/set-aside"))
			b.get(w.at("/set-aside")).has(t, http.StatusOK, say(l, "page.aside_none"))
			at := time.Now().UTC().Add(-time.Minute)
			w.machine.SetAside = 2
			w.learns(control.PeopleBatch{SetAside: []control.SetAside{{Offset: 77012, Workspace: w.acme.Number, EventType: "users.behaviors.Purchase", Reason: "ours <i>", At: at},
				{Offset: 77013, Workspace: w.acme.Number + 1, EventType: "users.behaviors.Purchase", Reason: "theirs", At: at}}})
		}
		b.get(w.at("/people")).has(t, http.StatusOK, say(l, "page.aside_banner", "n", 1), w.at("/set-aside"))
		b.get(w.at("/set-aside")).has(t, http.StatusOK, "ours &lt;i&gt;", "users.behaviors.Purchase", l.Number(77012), say(l, "page.aside_total", "n", 1)).lacks(t, "theirs", "<i>")
		w.signedIn(string(l)).get("/installation").has(t, http.StatusOK, "ours &lt;i&gt;", "theirs", say(l, "page.aside_total", "n", 2))
	}
}

func TestWhoMayNotSeePeopleIsToldWhatItTakes(t *testing.T) {
	w := newWorld(t)
	w.knowsPeople()
	for _, l := range text.Languages() {
		b := w.signedIn(string(l)) // an administrator without the right
		b.get(w.at("/people?by=external_id&q=u-3")).has(t, http.StatusOK, say(l, "page.person_right"), say(l, "page.export_user_data"), w.at("/settings/members")).lacks(t, "u-3</", "both@acme.example")
		b.get(w.at("/people/p3")).has(t, http.StatusForbidden)
		b.post(w.at("/people/p3/erase"), "confirm", "u-3").has(t, http.StatusForbidden)
	}
	if len(w.erased) > 0 {
		t.Errorf("%v were deleted", w.erased)
	}
}

func TestAPersonIsDeletedByName(t *testing.T) {
	w := newWorld(t)
	w.knowsPeople()
	for _, l := range text.Languages() {
		w.erased = nil
		b := w.exporting(string(l))
		b.get(w.at("/people/p3")).has(t, http.StatusOK, w.at("/people/p3/erase"))
		b.get(w.at("/people/p3/erase")).has(t, http.StatusOK, say(l, "page.person_erase_stays"), l.Duration(72*time.Hour))
		b.post(w.at("/people/p3/erase"), "confirm", "u-4").has(t, http.StatusUnprocessableEntity, say(l, "page.confirm_wrong", "name", "u-3"))
		if len(w.erased) > 0 {
			t.Fatal("deleted without the name")
		}
		b.post(w.at("/people/p3/erase"), "confirm", "u-3").has(t, http.StatusOK, say(l, "page.person_erased", "name", "u-3"))
		if len(w.erased) != 1 || w.erased[0] != "p3" {
			t.Errorf("deleted were %v", w.erased)
		}
		b.get(w.at("/settings/changes?kind=person")).has(t, http.StatusOK, say(l, "page.deed_person_erase"), say(l, "page.deed_person_look"))
	}
	// Who may see people and is no administrator is not offered it.
	root := control.WithActor(t.Context(), control.CommandLine())
	_, _, err := w.people.AddMember(root, control.AddMember{Email: "viv@acme.example", Name: "Viv", Password: secret.New(password), Workspace: w.acme.Number, Role: control.Viewer, ExportUserData: true})
	must(t, err)
	b := w.browser("en")
	b.signIn("viv@acme.example")
	b.get(w.at("/people/p3")).has(t, http.StatusOK).lacks(t, "/erase")
	b.get(w.at("/people/p3/erase")).has(t, http.StatusForbidden)
}
