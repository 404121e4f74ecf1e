package web

import (
	"crypto/rand"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

const acmesSegments = "/workspaces/acme/segments"

// segment makes a segment of acme.
func (w *world) segment(name, filter string) control.Segment {
	w.t.Helper()
	f, problems := control.ParseFilter("filter", []byte(filter))
	must(w.t, refused(problems))
	s, err := w.plane.CreateSegment(w.root(), w.acme.Number, control.SegmentEdit{Name: &name, Filter: &f, Analytics: new(true)})
	must(w.t, err)
	return s
}

// crowd makes twelve people of acme, of whom the odd ones live in Spain and like the event login, and one of globex.
func (w *world) crowd() keptPeople {
	w.t.Helper()
	p := w.profiles
	now := time.Now().UTC()
	b := &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1, Names: []control.Name{
		{ID: 1, Workspace: w.acme.Number, Kind: control.NameEvent, Name: "login", FirstAt: now, LastAt: now},
		{ID: 2, Workspace: w.acme.Number, Kind: control.NameCampaign, Name: "c-1", Title: "Spring", FirstAt: now, LastAt: now},
		{ID: 3, Workspace: w.globex.Number, Kind: control.NameEvent, Name: "theirs", FirstAt: now, LastAt: now}}}
	for row := range int64(13) {
		x := &control.Person{Row: row + 1, New: true, Workspace: w.acme.Number, ID: control.PersonID("p" + string(rune('a'+row))), Country: "DE", CreatedAt: now, UpdatedAt: now}
		if row%2 == 1 {
			x.Country, x.ExternalID, x.Email = "ES", "<b>"+string(x.ID), "a@acme.example"
			b.Events = append(b.Events, control.PersonEvents{Name: 1, Person: row + 1, First: now, Last: now, Count: 3})
		}
		if row == 12 {
			x.Workspace = w.globex.Number
		}
		b.People = append(b.People, x)
	}
	must(w.t, p.Apply(w.t.Context(), b))
	return p
}

// segmentExamples are those of rows about segments.
func (w *world) segmentExamples() map[string]func(who string) example {
	at := func(path string) func(string) example { return func(string) example { return example{path: path} } }
	one := func(more string, body any) func(string) example {
		return func(string) example {
			return example{path: acmesSegments + "/" + string(w.segment(fresh(), `{}`).ID) + more, body: body}
		}
	}
	return map[string]func(string) example{
		"listSegments": at(acmesSegments),
		"createSegment": func(string) example {
			return example{path: acmesSegments, body: client.SegmentEdit{Name: new(fresh())}}
		},
		"getSegment": one("", nil), "updateSegment": one("", client.SegmentEdit{Description: new("x")}), "deleteSegment": one("", nil),
		"getSegmentSize": one("/size?exact=true", nil), "listSegmentDays": one("/days", nil), "previewSegment": one("/people", nil),
		"sizeFilter": func(string) example {
			return example{path: "/workspaces/acme/filters/size", body: client.SegmentQuery{}}
		},
		"sizeFilter by what identifies": func(string) example {
			return example{path: "/workspaces/acme/filters/size", body: client.SegmentQuery{Filter: identifying}, refused: []string{viewer, editor, scripted, reading, admin, installer}}
		},
		"createSegment by what identifies": func(string) example {
			return example{path: acmesSegments, body: client.SegmentEdit{Name: new(fresh()), Filter: &identifying}, refused: []string{editor, scripted, admin, installer}}
		},
		"updateSegment by what identifies": func(string) example {
			x := one("", client.SegmentEdit{Filter: &identifying})("")
			x.refused = []string{editor, scripted, admin, installer}
			return x
		},
		"previewFilter": func(string) example {
			return example{path: "/workspaces/acme/filters/people", body: client.FilterQuery{}}
		},
		"listFilterNames":     at("/workspaces/acme/filter-names?kind=event"),
		"getFilterVocabulary": at("/filter-vocabulary"),
	}
}

// identifying is a filter whose size would tell whether a person's e-mail address has a letter.
var identifying = client.Filter{All: []client.Filter{{Attribute: &client.FilterCondition{Name: "country", OneOf: []string{"ES"}}},
	{Not: &client.Filter{Attribute: &client.FilterCondition{Name: "email", Contains: new("a@")}}}}}

// How many people a filter holds tells nobody's data to who may not see them, and a saved filter is not made to tell them.
func TestPeopleAreCountedByWhatIdentifiesThemForWhoMayExportUserData(t *testing.T) {
	w := newWorld(t, nil)
	w.crowd()
	const size = "/workspaces/acme/filters/size"
	for _, a := range control.Attributes() {
		known := client.SegmentQuery{Filter: client.Filter{Attribute: &client.FilterCondition{Name: a.Name}}}
		if a.Kind != control.KindNumber {
			w.as(viewer, "POST", size, known).read(200, nil)
		}
		compared := client.FilterCondition{Name: a.Name}
		switch a.Kind {
		case control.KindText:
			compared.OneOf = []string{"x"}
		case control.KindState:
			compared.OneOf = []string{"opted_in"}
		case control.KindNumber:
			compared.AtLeast = new(1.0)
		default:
			compared.Before = "-1d"
		}
		q := client.SegmentQuery{Filter: client.Filter{Not: &client.Filter{Attribute: &compared}}}
		w.as(exporter, "POST", size, q).read(200, nil)
		if !slices.Contains([]string{"external_id", "first_name", "last_name", "email", "phone", "dob"}, a.Name) {
			w.as(viewer, "POST", size, q).read(200, nil)
		} else if e := w.as(viewer, "POST", size, q).refused(403); len(e.Fields) != 1 || e.Fields[0].Field != "filter" {
			t.Errorf("%s: %+v", a.Name, e)
		}
	}
	// How many hold one that who may has saved is everybody's to see.
	s := w.segment("s", `{"attribute":{"name":"email","contains":"acme"}}`)
	w.as(viewer, "GET", acmesSegments+"/"+string(s.ID)+"/size", nil).read(200, nil)
}

// What a saved filter compares with identifying attributes is seen by who may export user data; the others change the segment
// around it, and lose or guess nothing.
func TestWhatASavedFilterComparesIsMaskedToWhoMayNotExportUserData(t *testing.T) {
	w := newWorld(t, nil)
	s := w.segment("s", `{"any":[{"not":{"attribute":{"name":"email","contains":"ana@"}}},{"attribute":{"name":"phone","one_of":["+5511","+5521"]}},
		{"attribute":{"name":"dob","after":"1990-05-17T00:00:00Z","before":"-1d"}},{"attribute":{"name":"country","one_of":["ES"]}},{"attribute":{"name":"last_name"}}]}`)
	at := acmesSegments + "/" + string(s.ID)
	const hidden = `{"any":[{"not":{"attribute":{"name":"email","contains":"[REDACTED]"}}},{"attribute":{"name":"phone","one_of":["[REDACTED]"]}},` +
		`{"attribute":{"name":"dob","after":"[REDACTED]","before":"[REDACTED]"}},{"attribute":{"name":"country","one_of":["ES"]}},{"attribute":{"name":"last_name"}}]}`
	tells := func(a answer) bool {
		return strings.Contains(a.body, "ana@") || strings.Contains(a.body, "5511") || strings.Contains(a.body, "1990")
	}
	var list client.Page[client.Segment]
	for _, who := range []string{viewer, editor, admin, installer} {
		var got client.Segment
		a := w.as(who, "GET", at, nil).read(200, &got)
		if shown, err := json.Marshal(got.Filter); err != nil || string(shown) != hidden || tells(a) {
			t.Errorf("%s: %s", who, a.body)
		}
		if a := w.as(who, "GET", acmesSegments, nil).read(200, &list); tells(a) || len(list.Items) != 1 {
			t.Errorf("%s: %s", who, a.body)
		}
	}
	if a := w.as(exporter, "GET", at, nil).read(200, nil); !tells(a) {
		t.Errorf("%s", a.body)
	}
	as := func(filter string) string { return `{"description":"` + rand.Text() + `","filter":` + filter + `}` }
	stays := func(what string) {
		t.Helper()
		now, err := w.api.deps.Store.Segment(t.Context(), w.acme.Number, s.ID)
		if must(t, err); !reflect.DeepEqual(now.Filter, s.Filter) {
			t.Errorf("%s: the filter became %s", what, now.Filter.Encode())
		}
	}
	a := w.as(editor, "PATCH", at, as(hidden)).read(200, nil)
	if stays("as it was shown"); tells(a) {
		t.Errorf("%s", a.body)
	}
	w.as(editor, "PATCH", at, `{"name":"t"}`).read(200, nil)
	w.as(editor, "PATCH", at, as(string(s.Filter.Encode()))).refused(403) // right or wrong, a guess is answered alike
	w.as(editor, "PATCH", at, as(`{"attribute":{"name":"email","contains":"bob@"}}`)).refused(403)
	w.as(editor, "PATCH", at, as(strings.Replace(hidden, "ES", "PT", 1))).refused(422) // of its times none is valid
	stays("what was refused")
	for _, who := range []string{editor, admin} {
		if who == admin {
			w.seat(control.Membership{Workspace: w.acme.Number, Member: w.member(admin).ID, Role: control.Administrator, ExportUserData: true, CreatedAt: time.Now()})
		}
		w.as(who, "PATCH", at, as(hidden)).read(200, nil) // shown to somebody else, or before this right was given
		stays(who + " sends what was shown masked")
		for body, field := range map[string]string{
			`{"attribute":{"name":"email","contains":"[REDACTED]"}}`:                            ".attribute.contains",
			`{"any":[{"not":{"attribute":{"name":"phone","one_of":["+5511","[REDACTED]"]}}}]}`:  ".any[0].not.attribute.one_of[1]",
			`{"attribute":{"name":"dob","after":"[REDACTED]","before":"2000-01-01T00:00:00Z"}}`: ".attribute.after",
			`{"attribute":{"name":"dob","after":"1990-01-01T00:00:00Z","before":"[REDACTED]"}}`: ".attribute.before",
		} {
			for _, ask := range [][3]string{{"PATCH", at, as(body)}, {"POST", acmesSegments, `{"name":"copy","filter":` + body + `}`}, {"POST", "/workspaces/acme/filters/size", `{"filter":` + body + `}`}} {
				same(t, who+" "+ask[0]+" "+ask[1]+" "+body, problems(w.as(who, ask[0], ask[1], ask[2]).refused(422)), []string{"filter" + field + " masked"})
			}
		}
	}
	stays("what stands for values")
	other := control.Filter{Attribute: &control.Condition{Name: "email", Contains: new("ana@")}}
	for range 2 { // from one value to another
		_, err := w.plane.UpdateSegment(w.root(), w.acme.Number, s.ID, control.SegmentEdit{Filter: &other})
		must(t, err)
		*other.Attribute.Contains = "ana@acme"
	}
	w.as(editor, "PATCH", at, as(`{}`)).read(200, nil)
	if a := w.as(admin, "GET", "/workspaces/acme/changes?kind=segment", nil).read(200, nil); tells(a) || !strings.Contains(a.body, "[REDACTED]") || !strings.Contains(a.body, `"filter":"[redacted]"`) {
		t.Errorf("%s", a.body)
	}
}

func TestASegmentIsMadeChangedAndRemoved(t *testing.T) {
	w := newWorld(t, nil)
	var made, got client.Segment
	f := client.Filter{Any: []client.Filter{{Attribute: &client.FilterCondition{Name: "country", OneOf: []string{"ES"}}}, {Not: &client.Filter{Event: &client.FilterDeeds{Name: "login", LastAfter: "-30d"}}}}}
	w.as(editor, "POST", acmesSegments, client.SegmentEdit{Name: new("Spain"), Tags: &[]string{"eu"}, Filter: &f, Analytics: new(true)}).read(201, &made)
	a := w.ask("GET", acmesSegments+"/"+made.ID, nil, with(w.session(viewer), "Accept-Language", "es"))
	a.read(200, &got)
	if !reflect.DeepEqual(got.Filter, f) || got.Words != "país es ES o no (hizo login (la última vez a partir de hace 30 días))" || !got.Analytics || got.Size != nil || !slices.Equal(got.Tags, []string{"eu"}) {
		t.Errorf("%s", a.body)
	}
	change := w.ask("PATCH", acmesSegments+"/"+made.ID, `{"tags":[],"filter":{}}`, with(w.session(editor), "If-Match", a.header.Get("ETag")))
	change.read(200, &got)
	if got.Words != "everybody" || len(got.Tags) != 0 || got.Name != "Spain" {
		t.Errorf("%s", change.body)
	}
	w.ask("PATCH", acmesSegments+"/"+made.ID, `{"name":"late"}`, with(w.session(editor), "If-Match", a.header.Get("ETag"))).refused(412)
	w.as(editor, "POST", acmesSegments, client.SegmentEdit{Name: new("Spain")}).refused(409)
	w.as(editor, "DELETE", acmesSegments+"/"+made.ID, nil).read(204, nil)
	w.as(viewer, "GET", acmesSegments+"/"+made.ID, nil).refused(404)
}

func TestEveryProblemOfASegmentIsToldAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	id := string(w.segment("s", `{}`).ID)
	for _, row := range []struct {
		method, path, body string
		want               []string
	}{
		{"POST", acmesSegments, `{"name":"","tags":["a","a"],"analitics":true,"filter":{"all":[{"attribute":{"name":"cuntry"}},{"any":[]},{"event":{"name":"x","at_least":"3"}},{"custom":{"name":"a","one_of":[]},"not":{}}]}}`,
			[]string{"analitics unknown_field", "filter.all[2].event.at_least wrong_type", "name required", "tags[1] duplicate", "filter.all[0].attribute.name unknown_value",
				"filter.all[1] required", "filter.all[3] ambiguous", "filter.all[3].not required", "filter.all[3].custom.one_of required"}},
		{"PATCH", acmesSegments + "/" + id, `{"filter":{"any":[]}}`, []string{"filter required"}},
		{"POST", "/workspaces/acme/filters/size", `{"filter":{"group":{"id":"g","state":"maybe"}}}`, []string{"filter.group.state unknown_value"}},
	} {
		got := problems(w.as(editor, row.method, row.path, row.body).refused(422))
		slices.Sort(got)
		slices.Sort(row.want)
		same(t, row.path, got, row.want)
	}
	long := client.Filter{Attribute: &client.FilterCondition{Name: "country", OneOf: slices.Repeat([]string{strings.Repeat("x", 1000)}, 300)}}
	same(t, "too long", problems(w.as(editor, "PATCH", acmesSegments+"/"+id, client.SegmentEdit{Filter: &long}).refused(422)), []string{"filter too_large"})
}

func TestSegmentsAreFoundByNameAndTag(t *testing.T) {
	w := newWorld(t, nil)
	for name, tags := range map[string][]string{"Big spenders": {"vip"}, "Bigger": {}, "Small": {"vip"}} {
		_, err := w.plane.CreateSegment(w.root(), w.acme.Number, control.SegmentEdit{Name: &name, Tags: &tags})
		must(t, err)
	}
	names := func(query string) (all []string) {
		t.Helper()
		for next := ""; ; {
			var page client.Page[client.Segment]
			w.as(viewer, "GET", acmesSegments+"?limit=1&"+query+"&cursor="+next, nil).read(200, &page)
			for _, s := range page.Items {
				all = append(all, s.Name)
			}
			if next = page.Next; next == "" {
				return all
			}
		}
	}
	for query, want := range map[string]string{"": "Big spenders, Bigger, Small", "q=bIG": "Big spenders, Bigger", "tag=vip": "Big spenders, Small", "q=big&tag=vip": "Big spenders", "tag=vi": ""} {
		if got := strings.Join(names(query), ", "); got != want {
			t.Errorf("?%s: %s, want %s", query, got, want)
		}
	}
}

func TestTheSizeOfASegmentIsThatOfItsWorkspace(t *testing.T) {
	w := newWorld(t, nil)
	p := w.crowd()
	s := w.segment("Spain", `{"attribute":{"name":"country","one_of":["ES"]}}`)
	at := acmesSegments + "/" + string(s.ID)
	var size client.SegmentSize
	for _, path := range []string{"/size", "/size?exact=true"} {
		if w.as(viewer, "GET", at+path, nil).read(200, &size); size.People != 6 || !size.Exact {
			t.Errorf("%s: %+v", path, size)
		}
	}
	if w.as(viewer, "POST", "/workspaces/acme/filters/size", `{"filter":{"not":{"event":{"name":"login"}}},"exact":true}`).read(200, &size); size.People != 6 {
		t.Errorf("%+v", size)
	}
	if w.as(stranger, "POST", "/workspaces/globex/filters/size", `{"filter":{}}`).read(200, &size); size.People != 1 {
		t.Errorf("%+v", size)
	}
	today := control.DayOf(time.Now(), time.UTC)
	for _, d := range []control.DaySize{{Day: today - 40, Size: 4}, {Day: today - 1, Size: 5}, {Day: today, Size: 6, At: time.Now()}} {
		must(t, p.SaveSize(t.Context(), w.acme.Number, s.ID, d))
	}
	var days client.Page[client.SegmentDay]
	w.as(viewer, "GET", at+"/days", nil).read(200, &days)
	if len(days.Items) != 2 || days.Items[0].People != 5 || days.Items[1].Day != time.Now().UTC().Format(time.DateOnly) {
		t.Errorf("%+v", days)
	}
	if w.as(viewer, "GET", at+"/days?days=100", nil).read(200, &days); len(days.Items) != 3 {
		t.Errorf("%+v", days)
	}
	w.as(viewer, "GET", at+"/days?days=1000", nil).refused(422)
	var shown client.Segment
	if w.as(viewer, "GET", at, nil).read(200, &shown); shown.Size == nil || shown.Size.People != 6 {
		t.Errorf("%+v", shown)
	}
}

func TestWhoLooksAtPeopleOfAFilterIsWrittenDown(t *testing.T) {
	w := newWorld(t, nil)
	w.crowd()
	s := w.segment("Spain", `{"attribute":{"name":"country","one_of":["ES"]}}`)
	var people client.SegmentPreview
	a := w.as(exporter, "GET", acmesSegments+"/"+string(s.ID)+"/people", nil).read(200, &people)
	if len(people.Items) != 6 || people.Items[0].UserID != "pb" || people.Items[0].ExternalID != "<b>pb" {
		t.Errorf("%s", a.body)
	}
	if w.as(exporter, "POST", "/workspaces/acme/filters/people", `{"filter":{}}`).read(200, &people); len(people.Items) != 10 {
		t.Errorf("%+v", people)
	}
	entries, err := w.api.deps.Store.Entries(t.Context(), control.EntryFilter{Workspace: w.acme.Number, Kind: "segment"}, 0, 10)
	must(t, err)
	var said []string
	for _, e := range entries {
		said = append(said, e.Action+" "+e.SubjectName+" "+e.Actor)
	}
	same(t, "the log of changes", said, []string{"segment.look  " + mailOf(exporter), "segment.look Spain " + mailOf(exporter), "segment.create Spain " + control.CommandLine().Name})
}

func TestNamesToChooseAreThoseOfTheWorkspace(t *testing.T) {
	w := newWorld(t, nil)
	w.crowd()
	names := func(query string) string {
		t.Helper()
		var page client.Page[client.FilterName]
		w.as(viewer, "GET", "/workspaces/acme/filter-names?"+query, nil).read(200, &page)
		var all []string
		for _, n := range page.Items {
			all = append(all, n.Name+"/"+n.Title)
		}
		return strings.Join(all, " ")
	}
	for query, want := range map[string]string{"kind=event": "login/", "kind=event&q=x": "", "kind=campaign&q=SPR": "c-1/Spring", "kind=custom": ""} {
		if got := names(query); got != want {
			t.Errorf("?%s: %s, want %s", query, got, want)
		}
	}
	w.as(viewer, "GET", "/workspaces/acme/filter-names?kind=attribute", nil).refused(422)
	w.as(viewer, "GET", "/workspaces/acme/filter-names", nil).refused(422)
}

func TestWithoutPeopleSegmentsStayAndSizesSayWhy(t *testing.T) {
	w := newWorld(t, func(_ *Config, d *Deps) { d.Profiles = nil })
	at := acmesSegments + "/" + string(w.segment("s", `{}`).ID)
	w.as(viewer, "GET", at, nil).read(200, nil)
	w.as(viewer, "GET", acmesSegments, nil).read(200, nil)
	for _, path := range []string{"/size", "/days", "/people"} {
		if e := w.as(exporter, "GET", at+path, nil).refused(404); !strings.Contains(e.Hint, "profiles") {
			t.Errorf("%s: %+v", path, e)
		}
	}
}

// filled makes a leaf as an operator does, of values that fit.
func filled(k control.FilterKind, name, deed string, o control.FilterOperator) control.Filter {
	leaf := map[string]any{k.Naming: name}
	if deed != "" {
		leaf["did"] = deed
	}
	for i, take := range o.Takes {
		leaf[take.Field] = map[control.FilterValue]any{control.ValueFixed: take.Fixed, control.ValueText: "x", control.ValueTexts: []string{"x"},
			control.ValueStates: []string{"subscribed"}, control.ValueNumber: i + 1, control.ValueCount: i + 1, control.ValueDays: "-30d",
			control.ValueMoment: []string{"2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"}[i]}[take.Value]
	}
	b, err := json.Marshal(map[string]any{k.Leaf: leaf})
	if err != nil {
		panic(err)
	}
	if o.Not {
		b = []byte(`{"not":` + string(b) + `}`)
	}
	f, problems := control.ParseFilter("filter", b)
	if len(problems) > 0 {
		panic(fault.As(refused(problems)).Error() + " " + string(b))
	}
	return f
}

func TestEachOperatorMakesALeafOfItsOwn(t *testing.T) {
	operators := map[string][]control.FilterOperator{}
	for _, x := range control.FilterTypes() {
		operators[x.Name] = x.Operators
	}
	said := map[string]bool{}
	try := func(k control.FilterKind, name, deed, of string) {
		if len(operators[of]) == 0 {
			t.Errorf("%s %s %s has no operators: %q", k.Name, name, deed, of)
		}
		for _, o := range operators[of] {
			f := filled(k, name, deed, o)
			if s := string(f.Encode()); said[s] {
				t.Errorf("%s %s: %s is made twice", k.Name, o.Name, s)
			} else {
				said[s] = true
			}
			for _, l := range text.Languages() {
				if words := f.Words(func(key string, params map[string]any) string { return text.T(l, key, params) }); strings.Contains(words, "filter.") {
					t.Errorf("%s: %s", l, words)
				}
			}
		}
	}
	for _, k := range control.FilterKinds() {
		names := k.Names
		if names == nil {
			names = []control.FilterName{{Name: "x"}}
		}
		for _, n := range names {
			if k.Deeds == nil {
				try(k, n.Name, "", k.Type+n.Type)
			}
			for _, d := range k.Deeds {
				try(k, n.Name, d.Name, d.Type)
			}
		}
	}
	if len(said) < 200 {
		t.Errorf("only %d leaves were made", len(said))
	}
}

// Filters of the API and those of control have the same fields, so that each can be carried into the other.
func TestFiltersHaveTheSameFieldsHereAndThere(t *testing.T) {
	var compare func(at string, a, b reflect.Type)
	compare = func(at string, a, b reflect.Type) {
		for a.Kind() == reflect.Pointer || a.Kind() == reflect.Slice {
			a = a.Elem()
		}
		for b.Kind() == reflect.Pointer || b.Kind() == reflect.Slice {
			b = b.Elem()
		}
		if a.Kind() != b.Kind() {
			t.Errorf("%s is %v here and %v there", at, a, b)
		}
		if a.Kind() != reflect.Struct {
			return
		}
		fields := func(t reflect.Type) map[string]reflect.Type {
			all := map[string]reflect.Type{}
			for _, f := range fieldsOf(t) {
				all[f.name] = f.typ
			}
			return all
		}
		here, there := fields(a), fields(b)
		same(t, at, sortedKeys(here), sortedKeys(there))
		for _, name := range sortedKeys(here) {
			if there[name] != nil && !slices.Contains([]string{"all", "any", "not"}, name) {
				compare(at+"."+name, here[name], there[name])
			}
		}
	}
	compare("filter", reflect.TypeFor[client.Filter](), reflect.TypeFor[control.Filter]())
}
