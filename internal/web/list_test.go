package web

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/secret"
)

// spans are the rows that answer pages and are no lists: what they answer is bounded by a span of time, or by whom an
// address is shared.
var spans = []string{"getAudit", "getConnectorCounts", "getCounts", "listSegmentDays", "findProfiles"}

// lists gives the rows that answer pages.
func (w *world) lists() (all []route) {
	for _, r := range w.api.routes() {
		if r.op.out.Kind() != reflect.Struct {
			continue
		}
		if _, ok := r.op.out.FieldByName("Next"); ok {
			all = append(all, r)
		}
	}
	return all
}

// crowded has at least two of everything that is listed.
func crowded(t *testing.T) (w *world, who map[string]string) {
	t.Helper()
	w = newWorld(t, nil)
	examples := w.examples()
	w.seat(control.Membership{Workspace: w.acme.Number, Member: w.member(installer).ID, Role: control.Administrator, ExportUserData: true, CreatedAt: time.Now()})
	w.session(installer)
	for range 2 {
		w.token(installer, false)
		for _, name := range []string{"revokeInvitation", "revokeInstallationInvitation", "getAPIKey", "getSegment", "getConnector", "testWebhook", "getDraft", "getExport", "getSchedule", "markNoticesRead", "markInstallationNoticesRead"} {
			examples[name](installer)
		}
	}
	return w, w.session(installer)
}

func ids(t *testing.T, a answer) (all []string, next string) {
	t.Helper()
	var p client.Page[map[string]any]
	a.read(http.StatusOK, &p)
	for _, x := range p.Items {
		id, _ := x["id"].(string)
		if id == "" {
			id, _ = x["name"].(string) // of an event type
		}
		all = append(all, id)
	}
	return all, p.Next
}

// short are lists that other tests read page by page: here they have one thing, or none.
var short = []string{"listConnectorChecks", "listDataExportChecks", "listFiles", "listLosses", "listFilterNames", "listOpenChecks", "listCanvases"}

func TestEveryListComesInPages(t *testing.T) {
	w, who := crowded(t)
	examples := w.examples()
	for _, r := range w.lists() {
		if slices.Contains(spans, r.name) {
			continue
		}
		u, err := url.Parse(examples[r.name](installer).path)
		must(t, err)
		page := func(limit, cursor string) ([]string, string) {
			q := u.Query()
			q.Set("limit", limit)
			q.Set("cursor", cursor)
			return ids(t, w.ask("GET", u.Path+"?"+q.Encode(), nil, who))
		}
		whole, next := page("500", "")
		if next != "" || len(whole) < 2 && !slices.Contains(short, r.name) {
			t.Errorf("%s: %d items, next %q", r.name, len(whole), next)
		}
		var one []string
		for cursor := ""; ; {
			some, next := page("1", cursor)
			if len(some) > 1 {
				t.Errorf("%s: a page of 1 has %d items", r.name, len(some))
			}
			if one, cursor = append(one, some...), next; next == "" || len(one) > len(whole) {
				break
			}
		}
		same(t, r.name, one, whole)
	}
}

// With a cursor of another list, another workspace or other filters a list would leave things out in silence.
func TestACursorIsOfOneListAlone(t *testing.T) {
	w, who := crowded(t)
	for _, name := range []string{"one", "two"} {
		for _, ws := range []control.Workspace{w.acme, w.globex} {
			_, _, err := w.plane.CreateKey(w.root(), control.APIKey{Workspace: ws.Number, Name: name, Scopes: []control.Scope{control.ScopeEventsWrite}}, secret.Value{})
			must(t, err)
		}
	}
	cursor := func(path string) string {
		t.Helper()
		_, next := ids(t, w.ask("GET", path, nil, who))
		if next == "" {
			t.Fatalf("%s is whole", path)
		}
		return next
	}
	for of, others := range map[string][]string{
		"/workspaces/acme/changes?limit=1": {"/installation/changes", "/workspaces/globex/changes", "/workspaces/acme/changes?kind=api_key",
			"/workspaces/acme/changes?member=" + string(w.member(admin).ID), "/workspaces/acme/changes?until=" + time.Now().UTC().Format(time.RFC3339)},
		"/workspaces/acme/api-keys?limit=1": {"/workspaces/globex/api-keys", "/workspaces/acme/members"},
		"/workspaces?limit=1":               {"/me/tokens", "/me/sessions", "/installation/members"},
	} {
		c := cursor(of)
		for _, other := range others {
			sign := "?"
			if strings.Contains(other, "?") {
				sign = "&"
			}
			same(t, other+" with a cursor of "+of, problems(w.ask("GET", other+sign+"cursor="+c, nil, who).refused(422)), []string{"cursor invalid"})
		}
		ids(t, w.ask("GET", of+"&cursor="+c, nil, who))
	}
	// A workspace has two names, and its lists one.
	ids(t, w.ask("GET", "/workspaces/"+workspaceID(w.acme.Number)+"/changes?limit=7&cursor="+cursor("/workspaces/acme/changes?limit=1"), nil, who))
}

// free are the parameters of lists that take any text: it is looked for, or looked at where it is used.
var free = map[string]string{
	"search": "any part of a key", "q": "any part of a name", "tag": "people's own words", "subject": "the id of a campaign is its producer's", "zone": "a name of a time zone, looked at by getConnectorCounts", "event_type": "of the catalogue, looked at by ledger",
}

// A filter that is misspelt finds nothing; who asked would believe that there is nothing.
func TestNoFilterTakesWhatItDoesNotKnow(t *testing.T) {
	w, who := crowded(t)
	examples := w.examples()
	enums := 0
	for _, r := range w.api.routes() {
		for _, p := range shapeOf(r.op.in).params {
			_, isID := reflect.Zero(p.typ).Interface().(interface{ Valid() bool })
			if p.enum == nil && !(isID && p.in == "query") {
				continue
			}
			enums++
			u, err := url.Parse(examples[r.name](installer).path)
			must(t, err)
			q := u.Query()
			if p.in == "path" {
				u.Path = u.Path[:strings.LastIndexByte(u.Path, '/')+1] + "nonsense"
			} else {
				q.Set(p.name, "nonsense")
			}
			u.RawQuery = q.Encode()
			if got := problems(w.ask(r.method, u.String(), nil, who).refused(422)); !slices.Contains(got, p.name+" unknown_value") {
				t.Errorf("%s: nonsense for %s is refused with %q", r.name, p.name, got)
			}
		}
	}
	if enums < 10 {
		t.Errorf("only %d parameters with values were found", enums)
	}
	for _, r := range w.lists() {
		if r.name == "findProfiles" { // which looks for what it is given
			continue
		}
		for _, p := range shapeOf(r.op.in).params {
			_, isID := reflect.Zero(p.typ).Interface().(interface{ Valid() bool })
			if p.in == "query" && p.name != "cursor" && p.typ.Kind() == reflect.String && p.enum == nil && !isID && free[p.name] == "" {
				t.Errorf("%s takes any text for %s", r.name, p.name)
			}
		}
	}
}

// The kinds that a filter takes are those that the log of changes knows.
func TestTheKindsOfChangesAreAllThereAre(t *testing.T) {
	f, _ := reflect.TypeFor[changesIn]().FieldByName("Kind")
	kinds := enumOf(f)
	w, _ := crowded(t)
	_, err := w.plane.CreateSegment(w.root(), w.acme.Number, control.SegmentEdit{Name: new("Germans"), Filter: &control.Filter{Attribute: &control.Condition{Name: "country", OneOf: []string{"DE"}}}})
	must(t, err)
	examples := w.examples()
	for _, r := range w.api.routes() { // whatever can be changed is
		if r.changes() && r.right != control.RightAnyone {
			x := examples[r.name](installer)
			w.ask(r.method, x.path, x.body, w.session(installer))
			if x.undo != nil {
				x.undo()
			}
		}
	}
	who, seen := w.session(installer), map[string]bool{}
	for cursor := ""; ; {
		var p client.Page[client.ChangeEntry]
		w.ask("GET", "/installation/changes?limit=500&cursor="+cursor, nil, who).read(200, &p)
		for _, e := range p.Items {
			kind, _, _ := strings.Cut(e.Action, ".")
			if seen[kind] = true; !slices.Contains(kinds, kind) {
				t.Errorf("%s is of no kind that can be asked for", e.Action)
			}
		}
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	for _, k := range kinds[1:] {
		if !seen[k] {
			t.Errorf("nothing of the kind %s was changed", k)
		}
	}
}

// What is in no schema file any more stands in the ledger all the same, and can be asked for.
func TestTheLedgerIsAskedForTypesThatWereOnce(t *testing.T) {
	w := newWorld(t, nil)
	c := w.launched(w.acme)
	at := acmes + "/" + string(c.Connector) + "/files?event_type=acme.Former"
	w.as(viewer, "GET", at, nil).refused(422)
	must(t, w.db().RecordSchemas(t.Context(), []control.SchemaPrint{{ID: 1_000_001, Type: "acme.Former"}}))
	w.as(viewer, "GET", at, nil).read(200, nil)
}
