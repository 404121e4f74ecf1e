package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/text"
)

// words is the vocabulary of filters.
func words(t *testing.T, w *world) (out vocabulary) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/api/v1/filter-vocabulary", nil)
	for k, v := range w.signedIn("en").cookies {
		r.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	a := httptest.NewRecorder()
	w.api.ServeHTTP(a, r)
	must(t, json.Unmarshal(a.Body.Bytes(), &out.FilterVocabulary))
	return out
}

// Every leaf that the vocabulary makes is drawn as the row that makes it, and so is what joins them.
func TestRowsAndFiltersAreEachOther(t *testing.T) {
	w := words(t, newWorld(t))
	values := map[string][2]string{"texts": {"DE\nFR"}, "text": {"a b"}, "states": {"opted_in subscribed"}, "number": {"1.5", "20"}, "count": {"3"}, "days": {"30"}, "moment": {"2026-11-01", "2026-11-02T10:00:00Z"}}
	var rows []filterRow
	for _, k := range w.Kinds {
		names, deeds := k.Names, k.Deeds
		if names == nil {
			names = []client.FilterChoice{{Name: "x"}}
		}
		if deeds == nil {
			deeds = []client.FilterChoice{{}}
		}
		for _, n := range names {
			for _, d := range deeds {
				_, _, operators, _ := w.settle(filterRow{kind: k.Name, name: n.Name, did: d.Name})
				for _, o := range operators {
					r := filterRow{kind: k.Name, name: n.Name, did: d.Name, operator: o.Name}
					for i, take := range o.Takes {
						r.values[i] = values[take.Value][i]
					}
					rows = append(rows, r)
				}
			}
		}
	}
	if len(rows) < 200 {
		t.Fatalf("only %d rows", len(rows))
	}
	same := func(x filterRows) {
		t.Helper()
		f, at, problems := w.build(x)
		if len(problems) > 0 {
			t.Fatalf("%+v: %v", x, problems)
		}
		got, ok := w.draw(f)
		again, _, _ := w.build(got)
		if !ok || fmt.Sprint(got.groups) != fmt.Sprint(x.groups) || indented(again) != indented(f) {
			t.Errorf("%+v\nis drawn %v as\n%+v\nof %s", x, ok, got, indented(f))
		}
		parsed, wrong := control.ParseFilter("filter", []byte(indented(f)))
		if n := 0; len(wrong) > 0 {
			t.Errorf("%s: %v", indented(f), wrong)
		} else {
			for range parsed.Leaves() {
				n++
			}
			if n != len(at) {
				t.Errorf("%d leaves of %d rows", n, len(at))
			}
		}
	}
	for _, r := range rows {
		same(filterRows{"all", []rowGroup{{"all", []filterRow{r}}}})
	}
	for i := 0; i+5 < len(rows); i += 5 {
		same(filterRows{"all", []rowGroup{{"all", rows[i : i+2]}, {"any", rows[i+2 : i+5]}}})
		same(filterRows{"any", []rowGroup{{"all", rows[i : i+3]}, {"any", rows[i+3 : i+5]}}})
	}
}

func TestFiltersOfScriptsAreDrawnWhereTheyCanBe(t *testing.T) {
	w := words(t, newWorld(t))
	for filter, want := range map[string]int{ // rows; -1: not drawn
		`{}`: 0,
		`{"attribute":{"name":"country","one_of":["DE"],"contains":"d"}}`:                                                                  2,
		`{"not":{"event":{"name":"a","at_least":2,"last_after":"-7d"}}}`:                                                                   -1,
		`{"not":{"attribute":{"name":"country","one_of":["DE"],"contains":"d"}}}`:                                                          2,
		`{"any":[{"attribute":{"name":"email"}},{"custom":{"name":"a","at_least":1,"has":"x"}}]}`:                                          3,
		`{"all":[{"any":[{"attribute":{"name":"email"}},{"custom":{"name":"a","at_least":1,"has":"x"}}]},{"attribute":{"name":"email"}}]}`: -1,
		`{"all":[{"all":[{"any":[{"attribute":{"name":"email"}},{"group":{"id":"g","state":"subscribed"}}]}]}]}`:                           -1,
		`{"not":{"all":[{"attribute":{"name":"email"}}]}}`:                                                                                 -1,
		`{"not":{"group":{"id":"g","state":"unsubscribed"}}}`:                                                                              -1,
		`{"custom":{"name":"renewal","before":"+7d"}}`:                                                                                     1,
	} {
		var f client.Filter
		must(t, json.Unmarshal([]byte(filter), &f))
		rows, ok := w.draw(f)
		if n := (segmentForm{rows: rows}).count(); ok != (want >= 0) || ok && n != want {
			t.Errorf("%s: %v, %+v", filter, ok, rows)
		}
	}
}

// peopled fills the tables with three people, of whom one lives in Spain.
func (w *world) peopled() {
	w.t.Helper()
	b := &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1}
	now := time.Now().UTC()
	b.Names = append(b.Names, control.Name{ID: 1, Workspace: w.acme.Number, Kind: control.NameCampaign, Name: "c-1", Title: `<i>"Spring"`, FirstAt: now, LastAt: now})
	for row, country := range []string{"DE", "FR", "ES"} {
		b.People = append(b.People, &control.Person{Row: int64(row + 1), New: true, Workspace: w.acme.Number, ID: control.PersonID("p" + country), ExternalID: "<b>" + country, FirstName: "Ana", Country: country, CreatedAt: now, UpdatedAt: now})
	}
	must(w.t, w.profiles.Apply(w.t.Context(), b))
}

func TestASegmentIsMadeWithoutScript(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		w.peopled()
		b := w.signedIn(string(l))
		b.get(w.at("/segments")).has(t, http.StatusOK, say(l, "page.segments_none"), w.at("/segments/new"))
		b.get(w.at("/segments/new")).has(t, http.StatusOK, `name="kind-0"`, `<option value="country" selected>`, say(l, "page.segment_unfinished"), say(l, "page.segment_add_row"))
		row := []string{"kind-0", "attribute", "name-0", "country", "operator-0", "is", "group-0", "0", "value-0", "ES\nDE"}

		p := b.post(w.at("/segments/new"), append(row, "part", "conditions.row.0", "name", "In <b>")...)
		p.has(t, http.StatusOK, `name="kind-1"`, `name="join-0"`, "data-fresh", "In &lt;b&gt;", ">ES\nDE</textarea>")
		p = b.post(w.at("/segments/new"), append(row, "part", "conditions.group")...)
		p.has(t, http.StatusOK, `name="kind-1"`, `name="join"`, `name="group-1" value="1"`)
		p = b.post(w.at("/segments/new"), append(row, "part", "conditions.drop.condition-0")...)
		p.has(t, http.StatusOK, say(l, "page.segment_everybody"), `<p class="total" role="status">3</p>`)
		p.lacks(t, `name="kind-0"`)
		p = b.post(w.at("/segments/new"), append(row, "kind-1", "campaign", "name-1", "", "operator-1", "never", "group-1", "1", "part", "conditions")...)
		p.has(t, http.StatusOK, `name="did-1"`, `list="names-campaign"`, `<option value="c-1" label="&lt;i&gt;&#34;Spring&#34;">`)
		p = b.post(w.at("/segments/new"), "kind-0", "event", "drawn-0", "attribute", "name-0", "country", "operator-0", "is", "group-0", "0", "value-0", "PT", "part", "conditions")
		p.has(t, http.StatusOK, `name="drawn-0" value="event"`, `list="names-event"`) // what was country is no name of an event
		p.lacks(t, `value="country"`, `value="PT"`)
		p = b.post(w.at("/segments/new"), "kind-0", "event", "drawn-0", "event", "name-0", "login", "operator-0", "ever", "group-0", "0", "part", "conditions")
		p.has(t, http.StatusOK, `value="login"`)
		p = b.post(w.at("/segments/new"), append(row, "part", "count")...)
		p.has(t, http.StatusOK, `<p class="total" role="status">2</p>`, say(l, "page.segment_is_exact"))
		p.lacks(t, say(l, "page.segment_preview")) // Ada may not export user data

		p = b.post(w.at("/segments/new"), append(row, "kind-1", "attribute", "name-1", "sessions", "operator-1", "at_least", "value-1", "many", "group-1", "0",
			"kind-2", "custom", "name-2", "", "operator-2", "has", "value-2", "x", "group-2", "7", "tags", "a\na")...)
		p.has(t, http.StatusUnprocessableEntity, say(l, "page.form_wrong"), `id="condition-1-error"`, say(l, "page.segment_no_number"), `id="condition-2-error"`, say(l, "field.filter_text"),
			`id="name-error"`, `id="tags-error"`, `href="#condition-2"`, `value="many"`)
		if l != text.English {
			p.lacks(t, "A text is needed", "has at most")
		}
		p = b.post(w.at("/segments/new"), append(row, "name", "In <b>", "tags", "eu\nbig", "analytics", "on")...)
		p.has(t, http.StatusOK, say(l, "page.segment_saved", "name", "In <b>")[:3], "In &lt;b&gt;", "eu, big", say(l, "page.segment_holds", "n", 2), say(l, "page.segment_days_none"))
		p.lacks(t, "<b>ES", "In <b>")
		b.post(w.at("/segments/new"), append(row, "name", "In <b>")...).has(t, http.StatusConflict, "In &lt;b&gt;")
		b.get(w.at("/segments")).has(t, http.StatusOK, "In &lt;b&gt;", "eu, big", say(l, "page.segment_uncounted"))
		b.get(w.at("/segments?tag=none")).has(t, http.StatusOK, say(l, "page.filter_none"))

		at := strings.TrimSuffix(p.at, "/")
		b.get(at+"/edit").has(t, http.StatusOK, `value="In &lt;b&gt;"`, ">ES\nDE</textarea>", "eu\nbig</textarea>", `name="etag" value="&#34;0&#34;"`)
		b.post(at+"/edit", append(row, "name", "Spain", "value-0", "ES", "etag", `"0"`, "analytics", "on")...).has(t, http.StatusOK, "<h1>Spain</h1>")
		b.post(at+"/edit", append(row, "name", "Late", "etag", `"0"`)...).has(t, http.StatusPreconditionFailed, `value="Late"`)
		b.get(at+"/delete").has(t, http.StatusOK, "Spain")
		b.post(at+"/delete", "confirm", "x").has(t, http.StatusUnprocessableEntity)
		b.post(at+"/delete", "confirm", "Spain").has(t, http.StatusOK, say(l, "page.segment_deleted", "name", "Spain"), say(l, "page.segments_none"))
	}
}

func TestADeeperFilterIsEditedAsJSON(t *testing.T) {
	w := newWorld(t)
	w.peopled()
	deep := `{"not":{"all":[{"attribute":{"name":"country","one_of":["ES"]}}]}}`
	var f control.Filter
	must(t, json.Unmarshal([]byte(deep), &f))
	s, err := w.plane.CreateSegment(control.WithActor(t.Context(), control.CommandLine()), w.acme.Number, control.SegmentEdit{Name: new("deep"), Filter: &f})
	must(t, err)
	b, at := w.signedIn("pt-BR"), w.at("/segments/"+string(s.ID))
	b.get(at+"/edit").has(t, http.StatusOK, `name="filter_json"`, "&#34;one_of&#34;")
	b.post(at+"/edit", "name", "deep", "filter_json", "").has(t, http.StatusUnprocessableEntity)
	b.post(at+"/edit", "name", "deep", "filter_json", `{"nope":1}`).has(t, http.StatusUnprocessableEntity, say(text.Portuguese, "field.filter_json"), "&#34;nope&#34;")
	b.post(at+"/edit", "name", "deep", "filter_json", `{"any":[]}`).has(t, http.StatusUnprocessableEntity, say(text.Portuguese, "field.filter_empty"))
	b.post(at+"/edit", "name", "deep", "filter_json", strings.Replace(deep, "ES", "FR", 1)).has(t, http.StatusOK, say(text.Portuguese, "page.segment_holds", "n", 2), "é FR")
}

func TestWhoMayDoWhatWithSegments(t *testing.T) {
	w := newWorld(t)
	w.peopled()
	s, err := w.plane.CreateSegment(control.WithActor(t.Context(), control.CommandLine()), w.acme.Number, control.SegmentEdit{Name: new("everybody")})
	must(t, err)
	at := w.at("/segments/" + string(s.ID))
	viewer := w.joined(control.Viewer, "es")
	viewer.get(w.at("/segments")).lacks(t, "/segments/new")
	p := viewer.get(at).has(t, http.StatusOK, say(text.Spanish, "page.segment_holds", "n", 3))
	p.lacks(t, "/edit", "?people=")
	viewer.get(at+"/edit").has(t, http.StatusForbidden)
	viewer.post(at+"/delete", "confirm", "everybody").has(t, http.StatusForbidden)
	viewer.get(at+"?people=").lacks(t, "&lt;b&gt;ES") // asked for, without the right

	_, _, err = w.people.AddMember(control.WithActor(t.Context(), control.CommandLine()), control.AddMember{Email: "editor@acme.example", Workspace: w.acme.Number, Role: control.Editor, ExportUserData: true})
	must(t, err)
	editor := w.joined(control.Editor, "es")
	editor.get(at).has(t, http.StatusOK, "?people=", "/edit")
	editor.get(at+"?people=").has(t, http.StatusOK, "&lt;b&gt;ES", w.at("/people/pES"), "Ana")
	editor.post(w.at("/segments/new"), "part", "count.people").has(t, http.StatusOK, "&lt;b&gt;ES", w.at("/people/pES"))
}

// What identifies people is compared by who may export user data. The others are offered whether it is known, and told why; a filter
// that they may not make is shown as JSON, and stays as it is when something else is changed.
func TestWhatIdentifiesPeopleIsComparedByWhoMayExportThem(t *testing.T) {
	w := newWorld(t)
	w.peopled()
	email := []string{"kind-0", "attribute", "name-0", "email", "operator-0", "is", "value-0", "es@acme.example", "group-0", "0"}
	f := control.Filter{Attribute: &control.Condition{Name: "email", Contains: new("acme")}}
	s, err := w.plane.CreateSegment(control.WithActor(t.Context(), control.CommandLine()), w.acme.Number, control.SegmentEdit{Name: new("ours"), Filter: &f})
	must(t, err)
	edit := w.at("/segments/" + string(s.ID) + "/edit")
	for _, l := range text.Languages() {
		b := w.joined(control.Editor, string(l))
		b.post(w.at("/segments/new"), append(email, "part", "conditions")...).
			has(t, http.StatusOK, say(l, "page.segment_identity_hint"), `<option value="known" selected`).lacks(t, `<option value="is"`, `name="value-0"`)
		b.post(w.at("/segments/new"), "kind-0", "attribute", "name-0", "country", "operator-0", "is", "value-0", "ES", "group-0", "0", "part", "conditions").
			has(t, http.StatusOK, `<option value="is" selected`)
		b.post(w.at("/segments/new"), append(email, "name", "theirs")...).has(t, http.StatusForbidden, say(l, "control.identifying"), "es@acme.example")
		b.get(edit).has(t, http.StatusOK, `name="filter_json"`, say(l, "page.segment_identity_hint"), say(l, "page.segment_masked_hint"), "[REDACTED]").lacks(t, "acme&#34;\n", say(l, "page.segment_json_hint"))
		b.get(w.at("/segments/"+string(s.ID))).has(t, http.StatusOK, "[REDACTED]").lacks(t, "“acme”", `&#34;acme&#34;`)
		b.post(edit, "name", "ours "+string(l), "filter_json", `{"attribute":{"name":"email","contains":"[REDACTED]"}}`).has(t, http.StatusOK, "ours "+string(l))
		b.post(edit, "name", "ours", "filter_json", `{"attribute":{"name":"email","contains":"acme"}}`).has(t, http.StatusForbidden, say(l, "control.identifying"))
	}
	_, _, err = w.people.AddMember(control.WithActor(t.Context(), control.CommandLine()), control.AddMember{Email: "editor@acme.example", Workspace: w.acme.Number, Role: control.Editor, ExportUserData: true})
	must(t, err)
	b := w.joined(control.Editor, "en")
	b.post(edit, "name", "whose", "filter_json", `{"attribute":{"name":"email","contains":"[REDACTED]"}}`).has(t, http.StatusOK, "whose", "acme") // a form from before the right was given
	b.post(edit, "name", "whose", "filter_json", `{"attribute":{"name":"phone","contains":"[REDACTED]"}}`).has(t, http.StatusUnprocessableEntity, say(text.English, "field.filter_masked"))
	b.get(edit).lacks(t, say(text.English, "page.segment_masked_hint"))
	b.post(w.at("/segments/new"), append(email, "part", "conditions")...).has(t, http.StatusOK, `<option value="is" selected`).lacks(t, say(text.English, "page.segment_identity_hint"))
	b.post(w.at("/segments/new"), append(email, "name", "theirs")...).has(t, http.StatusOK, "theirs")
}

func TestSizesOfDaysAreDrawn(t *testing.T) {
	w := newWorld(t)
	s, err := w.plane.CreateSegment(control.WithActor(t.Context(), control.CommandLine()), w.acme.Number, control.SegmentEdit{Name: new("everybody"), Analytics: new(true)})
	must(t, err)
	today := control.DayOf(time.Now(), time.UTC)
	for day := today - 50; day <= today; day++ {
		must(t, w.profiles.SaveSize(t.Context(), w.acme.Number, s.ID, control.DaySize{Day: day, Size: int64(day), At: time.Now()}))
	}
	at := w.at("/segments/" + string(s.ID))
	b := w.signedIn("en")
	if n := len(regexp.MustCompile(`<rect `).FindAllString(b.get(at).has(t, http.StatusOK, `<svg class="plane"`).body, -1)); n != 30 {
		t.Errorf("%d days", n)
	}
	if n := len(regexp.MustCompile(`<rect `).FindAllString(b.get(at+"?days=90").body, -1)); n != 51 {
		t.Errorf("%d days of 90", n)
	}
}

func TestWithoutPeopleTheSegmentsPagesSaySo(t *testing.T) {
	w := newWorldWithout(t)
	s, err := w.plane.CreateSegment(control.WithActor(t.Context(), control.CommandLine()), w.acme.Number, control.SegmentEdit{Name: new("everybody")})
	must(t, err)
	b := w.signedIn("es")
	b.get(w.at("/segments")).has(t, http.StatusOK, "everybody")
	b.get(w.at("/segments/"+string(s.ID))).has(t, http.StatusOK, say(text.Spanish, "control.no_profiles"))
	b.get(w.at("/segments/new")).has(t, http.StatusOK, `name="kind-0"`)
}
