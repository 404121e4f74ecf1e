package page

import (
	"fmt"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/text"
)

// What is written into the log of changes stands in control, as the argument of logged.
func TestEachDeedHasItsWords(t *testing.T) {
	names, err := filepath.Glob("../../control/*.go")
	must(t, err)
	found := 0
	for _, n := range names {
		if strings.HasSuffix(n, "_test.go") {
			continue
		}
		src, err := os.ReadFile(n)
		must(t, err)
		for _, m := range regexp.MustCompile(`\b(?:logged|set)\(ctx, [^)]*?"([a-z_]+\.[a-z_]+)"`).FindAllStringSubmatch(string(src), -1) {
			found++
			if _, ok := deeds[m[1]]; !ok {
				t.Errorf("%s: %s has no words", n, m[1])
			}
			kind, _, _ := strings.Cut(m[1], ".")
			if !slices.ContainsFunc(kindsOfAllThings, func(k naming) bool { return k.name == kind }) {
				t.Errorf("%s: the filter of the log does not offer %s", n, kind)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d deeds were found; does the test still see them?", found)
	}
}

// What things are in the log of changes stands in control: in views, in what is set in them later, in secrets.
func TestEachFieldOfTheLogOfChangesHasItsWords(t *testing.T) {
	names, err := filepath.Glob("../../control/*.go")
	must(t, err)
	found := map[string]bool{}
	field := regexp.MustCompile(`"([a-z_.]+)":`)
	for _, n := range names {
		if strings.HasSuffix(n, "_test.go") {
			continue
		}
		src, err := os.ReadFile(n)
		must(t, err)
		for _, v := range regexp.MustCompile(`(?s)\bview\{.*?\n\t?\}\n|\n\t\tmap\[string\]any\{[^\n]*|func twoFactor.*?\n`).FindAllString(string(src), -1) {
			for _, m := range field.FindAllStringSubmatch(v, -1) {
				found[m[1]] = true
			}
		}
		for _, m := range regexp.MustCompile(`(?:\bv|\bafter)\["([a-z_.]+)"\](?:,| =)|secrets (?::)?= \[\]string\{"([a-z_.]+)"\}|secretOfDestination = "([a-z_.]+)"`).FindAllStringSubmatch(string(src), -1) {
			found[m[1]+m[2]+m[3]] = true
		}
	}
	if len(found) < 40 {
		t.Errorf("only %d fields were found; does the test still see them?", len(found))
	}
	for name := range found {
		if fieldWords[name] == "" {
			t.Errorf("%s has no words", name)
		}
	}
	for _, name := range changeOrder {
		if fieldWords[name] == "" {
			t.Errorf("%s of a Current has no words", name)
		}
	}
}

func TestTheLogOfChangesSaysValuesInTheReadersWords(t *testing.T) {
	w := newWorld(t)
	at := w.at("/currents/" + w.launch("warehouse"))
	ada := w.signedIn("en")
	ada.post(at+"/settings", wish("destination.secret_access_key", "", "codec", "null", "flush.interval", "1m0s", "etag", ada.get(at+"/settings").version(t), "confirmed", "on")...).has(t, http.StatusOK)
	ada.post(at + "/pause")
	for _, l := range text.Languages() {
		p := w.signedIn(string(l)).get(w.at("/settings/changes?kind=connector"))
		p.has(t, http.StatusOK, "<ins>"+say(l, "page.form_codec_none")+"</ins>", "<ins>"+l.Duration(time.Minute)+"</ins>", "<ins>"+say(l, "page.all_events")+"</ins>",
			">"+say(l, "page.form_interval")+"</span>", ">"+say(l, "page.folder")+"</span>", ">"+say(l, "page.status_paused")+"</span> <del>"+say(l, "page.form_off")+"</del>")
		p.lacks(t, "flush.", "destination.", "contact_email", "path_style")
	}
}

func TestTheLogOfChangesSaysFiltersAsTheirSegmentsDoAndWorkspacesByName(t *testing.T) {
	w := newWorld(t)
	w.installs()
	root := control.WithActor(t.Context(), control.CommandLine())
	filter, wrong := control.ParseFilter("filter", []byte(`{"all": [{"attribute": {"name": "country", "one_of": ["BR", "<i>"]}}, {"event": {"name": "search"}}]}`))
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	made, err := w.plane.CreateSegment(root, w.acme.Number, control.SegmentEdit{Name: new("searchers"), Filter: &filter})
	must(t, err)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		words := html.EscapeString(sentence(filter.Words(func(key string, params map[string]any) string { return text.T(l, key, params) })))
		b.get(w.at("/segments/"+string(made.ID))).has(t, http.StatusOK, words)
		b.get(w.at("/settings/changes?kind=segment")).has(t, http.StatusOK, "<ins>"+words+"</ins>", `value="segment" selected>`+say(l, "page.rail_segments")).lacks(t, "one_of", `<option value="session"`)
		b.get("/installation/changes?kind=member").has(t, http.StatusOK, ">"+say(l, "page.kind_of_workspace")+"</span> <ins>acme</ins>")
	}
}

func TestTheLogOfChangesIsNarrowedDown(t *testing.T) {
	w := newWorld(t)
	w.installs()
	ada := w.signedIn("en")
	ada.post(w.at("/settings"), "name", "acme <b>", "unknown_fields", "ignore", "language", "en").has(t, http.StatusOK)
	ada.post(w.at("/settings/keys/new"), "name", "producer", "scopes", "events.write").has(t, http.StatusCreated)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		all := b.get(w.at("/settings/changes"))
		all.has(t, http.StatusOK, say(l, "page.deed_key_create"), say(l, "page.deed_workspace_update"), "<del>acme</del>", "<ins>acme &lt;b&gt;</ins>", ">"+say(l, "page.unknown_fields")+"</span> <del>"+say(l, "page.unknown_reject")+"</del> → <ins>"+say(l, "page.unknown_ignore")+"</ins>", "ada@acme.example")
		member := regexp.MustCompile(`<option value="(\w{24})">Ada<`).FindStringSubmatch(all.body)
		if member == nil {
			t.Fatal("no person is offered")
		}
		keys := b.get(w.at("/settings/changes?kind=api_key"))
		keys.has(t, http.StatusOK, say(l, "page.deed_key_create"), `value="api_key" selected`, say(l, "page.show_all"))
		keys.lacks(t, "<del>acme</del>")
		hers := b.get(w.at("/settings/changes?from=2020-01-01&until=2999-01-01&member=" + member[1]))
		hers.has(t, http.StatusOK, say(l, "page.deed_key_create"))
		hers.lacks(t, ">"+say(l, "page.deed_workspace_create")+"<")
		b.get(w.at("/settings/changes?until=2020-01-01")).has(t, http.StatusOK, say(l, "page.changes_none"))
		b.get(w.at("/settings/changes?from=x&until=")).has(t, http.StatusUnprocessableEntity, say(l, "page.no_day"), `value="x"`)
	}
}

func TestTheLogOfChangesHasPages(t *testing.T) {
	w := newWorld(t)
	root := control.WithActor(t.Context(), control.CommandLine())
	for i := range pageRows + 5 {
		_, _, err := w.plane.CreateKey(root, control.APIKey{Workspace: w.acme.Number, Name: fmt.Sprintf("k%03d", i), Scopes: []control.Scope{control.ScopeEventsWrite}}, secret.Value{})
		must(t, err)
	}
	b := w.signedIn("en")
	first := b.get(w.at("/settings/changes?kind=api_key"))
	first.has(t, http.StatusOK, fmt.Sprintf("k%03d", pageRows+4), "k005")
	first.lacks(t, ">k004<", say(text.English, "page.first_page"))
	next := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(first.body)
	if next == nil {
		t.Fatal("there is no next page")
	}
	second := b.get(strings.ReplaceAll(next[1], "&amp;", "&"))
	second.has(t, http.StatusOK, "k004", "k000", say(text.English, "page.first_page"), `value="api_key" selected`)
	second.lacks(t, ">k005<", `rel="next"`)
}

func TestTheLogOfChangesSaysAtItsFieldThatSomethingCannotBeChosen(t *testing.T) {
	w := newWorld(t)
	w.installs()
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		for _, at := range []string{w.at("/settings/changes"), "/installation/changes"} {
			b.get(at+"?kind=%3Ci%3E").has(t, http.StatusUnprocessableEntity, `id="kind-error"`, say(l, "page.choice_unknown", "value", "&lt;i&gt;"), `value="&lt;i&gt;" selected`, `value="connector"`).lacks(t, "<i>")
		}
		b.get(w.at("/settings/changes?member=zzz")).has(t, http.StatusUnprocessableEntity, `id="member-error"`, say(l, "page.choice_unknown", "value", "zzz"))
	}
}
