package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
)

// hello is a row that answers the workspace's name.
func hello(right control.Right) route {
	return route{name: "hello", method: http.MethodGet, path: "/workspaces/{workspace}/hello", right: right, status: 200,
		op: op(func(c *call, _ struct{}) (map[string]string, error) {
			return map[string]string{"name": c.workspace.Name}, nil
		})}
}

func TestWhoMayAskIsLookedAtBeforeAnythingElse(t *testing.T) {
	rights := []control.Right{control.RightView, control.RightChange, control.RightInstall, control.RightAdminister, control.RightExportUserData}
	var rows []route
	for _, r := range rights {
		row := hello(r)
		row.path += "/" + string(r)
		rows = append(rows, row)
	}
	w := newWorld(t, nil, rows...)
	view, change := "/workspaces/acme/hello/view", "/workspaces/acme/hello/change"
	for name, row := range map[string]struct {
		path   string
		header map[string]string
		want   int
	}{
		"a viewer sees":                           {view, w.token(viewer, false), 200},
		"by the workspace's number":               {"/workspaces/" + workspaceID(w.acme.Number) + "/hello/view", w.token(viewer, false), 200},
		"a viewer does not change":                {change, w.token(viewer, false), 403},
		"an editor changes":                       {change, w.token(editor, false), 200},
		"a token that reads does not":             {change, w.token(editor, true), 403},
		"a session":                               {change, w.session(editor), 200},
		"nobody has a foreign workspace":          {"/workspaces/globex/hello/view", w.token(editor, false), 404},
		"nor one that is not":                     {"/workspaces/nobody/hello/view", w.token(editor, false), 404},
		"nor one whose name is no text":           {"/workspaces/%00%ff/hello/view", w.token(editor, false), 404},
		"even where the right would be another's": {"/workspaces/globex/hello/install", w.token(editor, false), 404},
		"an installation administrator sees all":  {"/workspaces/globex/hello/administer", w.token(installer, false), 200},
		"but not people":                          {"/workspaces/globex/hello/export_user_data", w.token(installer, false), 403},
		"the unknown":                             {view, nil, 401},
		"the unknown, of a workspace that is not": {"/workspaces/nobody/hello/view", nil, 401},
		"a token that is none":                    {view, bearer("x"), 401},
		"a session that is none":                  {view, map[string]string{"Cookie": "millrace=x"}, 401},
		"a token that is none beside a session":   {view, with(w.session(editor), "Authorization", "Bearer x"), 401},
	} {
		a := w.ask("GET", row.path, nil, row.header)
		if a.status != row.want {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.body, row.want)
		}
		if right := row.path[strings.LastIndexByte(row.path, '/')+1:]; a.status == 403 && !strings.Contains(a.refused(403).Message, right) {
			t.Errorf("%s: %s does not name the right", name, a.body)
		}
	}
}

func TestAWorkspaceThatMayNotBeSeenIsAnsweredAsOneThatIsNot(t *testing.T) {
	w := newWorld(t, nil, hello(control.RightView))
	h := w.token(editor, false)
	foreign, none := w.ask("GET", "/workspaces/globex/hello", nil, h), w.ask("GET", "/workspaces/nobody/hello", nil, h)
	if foreign.body != none.body {
		t.Errorf("they differ:\n%s\n%s", foreign.body, none.body)
	}
}

func TestPagesOfOtherSitesCannotUseASession(t *testing.T) {
	change := hello(control.RightChange)
	change.method = http.MethodPost
	w := newWorld(t, func(c *Config, _ *Deps) { c.Origin = "https://mill.example" }, change)
	for name, row := range map[string]struct {
		header map[string]string
		want   int
	}{
		"our own page":         {with(w.session(editor), "Sec-Fetch-Site", "same-origin"), 200},
		"another site's":       {with(w.session(editor), "Sec-Fetch-Site", "cross-site"), 403},
		"another site's, old":  {with(w.session(editor), "Origin", "https://evil.example"), 403},
		"our public address":   {with(w.session(editor), "Sec-Fetch-Site", "same-site", "Origin", "https://mill.example"), 200},
		"another's with token": {with(w.token(editor, false), "Sec-Fetch-Site", "cross-site"), 200},
	} {
		if a := w.ask("POST", "/workspaces/acme/hello", nil, row.header); a.status != row.want {
			t.Errorf("%s: %d, want %d", name, a.status, row.want)
		}
	}
}

func TestOverHTTPSTheCookieIsForThisHostAlone(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *Deps) { c.Secure = true }, hello(control.RightView))
	good := w.session(editor)["Cookie"]
	for cookie, want := range map[string]int{good: 200, strings.TrimPrefix(good, "__Host-"): 401} {
		if a := w.ask("GET", "/workspaces/acme/hello", nil, map[string]string{"Cookie": cookie}); a.status != want {
			t.Errorf("%s: %d, want %d", cookie, a.status, want)
		}
	}
	if !strings.HasPrefix(good, "__Host-") {
		t.Errorf("cookie %s", good)
	}
}

func TestAskersAreHeldBackEachForThemselves(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *Deps) { c.RateLimit = 5 }, hello(control.RightView))
	for name, h := range map[string]map[string]string{"a token": w.token(viewer, false), "another token": w.token(viewer, false), "a stranger": bearer("x")} {
		answered := 0
		for range 100 {
			a := w.ask("GET", "/workspaces/acme/hello", nil, h)
			if a.status != 429 {
				answered++
			} else if a.header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
		}
		if answered < 5 || answered > 90 {
			t.Errorf("%s: %d of 100 answered at once", name, answered)
		}
	}
}

func TestAPageCountsAsOneRequestHoweverMuchItAsks(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *Deps) { c.RateLimit = 5 }, hello(control.RightView))
	cookie := w.session(viewer)["Cookie"]
	ask := func(ctx context.Context) int {
		r := httptest.NewRequestWithContext(ctx, "GET", prefix+"/workspaces/acme/hello", nil)
		r.Header.Set("Cookie", cookie)
		a := httptest.NewRecorder()
		w.h.ServeHTTP(a, r)
		return a.Code
	}
	visit, _ := CatchRefusal(t.Context())
	for range 100 {
		if got := ask(visit); got != 200 {
			t.Fatalf("one visit: %d", got)
		}
	}
	held := 0
	for range 100 {
		if next, _ := CatchRefusal(t.Context()); ask(next) == 429 {
			held++
		}
	}
	if held < 10 {
		t.Errorf("of 100 visits at once only %d were held back", held)
	}
}

// A page asks many things of one visitor: who that is, is looked up once, and anew as soon as anything was changed.
func TestAVisitFindsOutOnceWhoAsksUntilSomethingChanges(t *testing.T) {
	w := newWorld(t, nil)
	header := w.session(admin)
	visit, _ := CatchRefusal(t.Context())
	ask := func(ctx context.Context, method, path string) (status int, statements int64) {
		r := httptest.NewRequestWithContext(ctx, method, prefix+path, nil)
		r.Header.Set("Cookie", header["Cookie"])
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		a, before := httptest.NewRecorder(), w.statements.Load()
		w.h.ServeHTTP(a, r)
		return a.Code, w.statements.Load() - before
	}
	ask(visit, "GET", acmes)
	_, again := ask(visit, "GET", acmes)
	_, alone := ask(t.Context(), "GET", acmes)
	if again >= alone-2 {
		t.Errorf("%d statements in a visit that knows who asks, %d without", again, alone)
	}
	if status, _ := ask(visit, "POST", "/sign-out"); status != 204 {
		t.Fatalf("signing out: %d", status)
	}
	if status, _ := ask(visit, "GET", acmes); status != 401 {
		t.Errorf("after signing out in the same visit: %d, want 401", status)
	}
}

func TestALimitForgetsWhoHasRestedAndStaysSmall(t *testing.T) {
	l := newLimit(1, 1)
	for i := range maxAskers + 10 {
		l.wait(strings.Repeat("x", i%7) + string(rune('a'+i%26)) + workspaceID(uint32(i)))
	}
	if len(l.by) > maxAskers {
		t.Errorf("%d askers kept", len(l.by))
	}
	if l.wait("one more") == 0 {
		t.Error("those beyond have each an allowance of their own")
	}
}

func TestMethodsAndAddressesThatAreNot(t *testing.T) {
	w := newWorld(t, nil, hello(control.RightView))
	h := w.token(viewer, false)
	for name, row := range map[string]struct {
		method, path string
		want         int
		allow        string
	}{
		"HEAD is GET":                {"HEAD", "/workspaces/acme/hello", 200, ""},
		"OPTIONS says what there is": {"OPTIONS", "/workspaces/acme/hello", 204, "GET, HEAD, OPTIONS"},
		"another method":             {"DELETE", "/workspaces/acme/hello", 405, "GET, HEAD, OPTIONS"},
		"no such address":            {"GET", "/nothing", 404, ""},
		"an empty part":              {"GET", "/workspaces//hello", 404, ""},
		"a slash at the end":         {"GET", "/workspaces/acme/hello/", 404, ""},
		"a way up":                   {"GET", "/workspaces/x/../acme/hello", 404, ""},
	} {
		a := w.ask(row.method, row.path, nil, h)
		if a.status != row.want || a.header.Get("Allow") != row.allow {
			t.Errorf("%s: %d %q, want %d %q", name, a.status, a.header.Get("Allow"), row.want, row.allow)
		}
	}
}

func TestAnAnswerHasNoNullWhereAListBelongs(t *testing.T) {
	row := hello(control.RightView)
	row.op = op(func(*call, struct{}) (client.Page[client.Check], error) {
		return client.Page[client.Check]{Items: []client.Check{{Notes: []client.CheckNote{{}}}}}, nil
	})
	w := newWorld(t, nil, row)
	a := w.as(viewer, "GET", "/workspaces/acme/hello", nil).read(200, nil)
	if strings.Contains(a.body, "null") || !strings.Contains(a.body, `"steps":[]`) {
		t.Errorf("got %s", a.body)
	}
}

// thing is a row that makes things, and counts them.
func thing(made *atomic.Int64, during func() error) route {
	type in struct {
		Body struct {
			Name string `json:"name"`
		} `body:""`
	}
	return route{name: "makeThing", method: http.MethodPost, path: "/workspaces/{workspace}/things", right: control.RightChange, status: 201,
		op: op(func(c *call, i in) (map[string]any, error) {
			if err := during(); err != nil {
				return nil, err
			}
			c.location("/things/%d", made.Add(1))
			return map[string]any{"number": made.Load(), "name": i.Body.Name}, nil
		})}
}

func TestACreationThatIsRepeatedMakesOneThing(t *testing.T) {
	var made atomic.Int64
	fail := errors.New("first")
	w := newWorld(t, nil, thing(&made, func() error { defer func() { fail = nil }(); return fail }))
	mine, others := w.token(editor, false), w.token(admin, false)
	make := func(h map[string]string, key, body string) answer {
		return w.ask("POST", "/workspaces/acme/things", body, with(h, keyHeader, key))
	}
	make(mine, "k1", `{"name":"a"}`).refused(500)
	first := make(mine, "k1", `{"name":"a"}`).read(201, nil) // what failed is tried again
	again := make(mine, "k1", `{"name":"a"}`).read(201, nil)
	if again.body != first.body || made.Load() != 1 {
		t.Errorf("%s, then %s; %d made", first.body, again.body, made.Load())
	}
	if first.header.Get(replayedHeader) != "" || again.header.Get(replayedHeader) != "true" || again.header.Get("Location") != "/api/v1/things/1" {
		t.Errorf("headers %v, then %v", first.header, again.header)
	}
	if e := make(mine, "k1", `{"name":"b"}`).refused(422); e.Fields[0].Field != keyHeader {
		t.Errorf("another body: %v", e)
	}
	if make(others, "k1", `{"name":"a"}`).read(201, nil); made.Load() != 2 {
		t.Errorf("another's key of the same name: %d made", made.Load())
	}
	for _, key := range []string{"a b", strings.Repeat("k", 256), "ü"} {
		make(mine, key, `{"name":"a"}`).refused(422)
	}
}

func TestARepetitionDuringTheFirstIsToldToWait(t *testing.T) {
	var made atomic.Int64
	inside, goOn := make(chan struct{}), make(chan struct{})
	w := newWorld(t, nil, thing(&made, func() error { close(inside); <-goOn; return nil }))
	h := with(w.token(editor, false), keyHeader, "k")
	ask := func() answer { return w.ask("POST", "/workspaces/acme/things", `{"name":"a"}`, h) }
	first := make(chan answer)
	go func() { first <- ask() }()
	<-inside
	a := ask()
	close(goOn)
	if a.status != 409 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	if a := <-first; a.status != 201 || made.Load() != 1 {
		t.Errorf("the first: %d, %d made", a.status, made.Load())
	}
}

func TestAConflictSaysWhoChangedWhatWhen(t *testing.T) {
	w := newWorld(t, nil)
	h := w.session(editor)
	first := w.ask("GET", "/me", nil, h).read(200, nil)
	edit := func(match, name string) answer {
		return w.ask("PATCH", "/me", client.MeEdit{Name: &name}, with(h, "If-Match", match))
	}
	second := edit(first.header.Get("ETag"), "Ed").read(200, nil)
	e := edit(first.header.Get("ETag"), "Edward").refused(412)
	if !strings.Contains(e.Message, mailOf(editor)) || !strings.Contains(e.Message, "T") || !strings.Contains(e.Message, "name") || e.Hint == "" {
		t.Errorf("got %q, %q", e.Message, e.Hint)
	}
	edit(`"0"`, "Edward").refused(412)
	edit("seven", "Edward").refused(400)
	edit("", "Edward").refused(400)
	edit(strings.Trim(second.header.Get("ETag"), `"`), "Edward").refused(400)
	edit(second.header.Get("ETag"), "Edward").read(200, nil)
	edit("*", "Edwin").read(200, nil)
}

func TestAConflictShowsNothingOfOthers(t *testing.T) {
	w := newWorld(t, nil)
	w.as(installer, "DELETE", "/installation/members/"+string(w.newcomer().ID), nil).read(204, nil)
	me := string(w.member(viewer).ID)
	edit := func() string {
		return w.ask("PATCH", "/me", client.MeEdit{Name: new("V")}, with(w.session(viewer), "If-Match", `"77"`)).refused(412).Message
	}
	if said := edit(); strings.Contains(said, mailOf(installer)) || !strings.Contains(said, "changed since") {
		t.Errorf("of what was never changed: %q", said)
	}
	w.as(installer, "PATCH", "/installation/members/"+me, client.PersonEdit{Installation: new(true)}).read(200, nil)
	if said := edit(); !strings.Contains(said, mailOf(installer)) || !strings.HasSuffix(said, "UTC: installation_administrator.") {
		t.Errorf("of their own: %q", said)
	}
}

func TestEveryRowIsWhole(t *testing.T) {
	var names []string
	for _, r := range (&api{}).routes() {
		if r.name == "" || r.summary == "" || !strings.HasSuffix(r.summary, ".") || r.status == 0 || !slices.Contains(control.Rights(), r.right) {
			t.Errorf("%s %s: a row has a name, a sentence, a right and a status", r.method, r.path)
		}
		if !slices.ContainsFunc(groups, func(g struct{ name, about string }) bool { return g.name == r.group }) {
			t.Errorf("%s: there is no group %q", r.name, r.group)
		}
		if slices.Contains(names, r.name) {
			t.Errorf("%s: the name is taken", r.name)
		}
		if inside := strings.Contains(r.path, "{workspace}"); !inside && slices.Contains([]control.Right{control.RightView, control.RightChange, control.RightAdminister, control.RightExportUserData}, r.right) {
			t.Errorf("%s: the right %q is one of a workspace, and the path names none", r.name, r.right)
		}
		if (r.status == http.StatusNoContent) != (r.op.out == noneType) {
			t.Errorf("%s: 204 has no output, others have one", r.name)
		}
		without := []string{"changePassword", "confirmTwoFactor", "setPassword", "markNoticesRead", "markInstallationNoticesRead"} // nobody's change can be lost by these
		if edits := r.method == http.MethodPatch || r.method == http.MethodPut; r.versioned == nil && edits && !slices.Contains(without, r.name) {
			t.Errorf("%s: what is edited has versions", r.name)
		}
		if v := r.versioned; v != nil {
			for _, action := range v.actions {
				if !strings.HasPrefix(action, v.kind()+".") || v.id == nil {
					t.Errorf("%s: its versions are counted by %q, which is no action on one thing", r.name, action)
				}
			}
		}
		names = append(names, r.name)
	}
}

func TestAConditionThatNobodyLooksAtIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	at := "/installation/members/" + string(w.member(viewer).ID)
	for _, row := range []struct{ method, path, match string }{
		{"DELETE", at, `"999"`}, {"DELETE", at, "garbage"}, {"DELETE", at, ""},
		{"PATCH", at, "garbage"}, {"PATCH", at, ""}, // which looks, and finds no version
		{"DELETE", "/workspaces/acme/members/" + string(w.member(viewer).ID), `"999"`},
	} {
		body := any(nil)
		if row.method == "PATCH" {
			body = "{}"
		}
		e := w.ask(row.method, row.path, body, with(w.session(installer), "If-Match", row.match)).refused(400)
		if !strings.Contains(e.Message, "If-Match") {
			t.Errorf("%s %s under %q: %+v", row.method, row.path, row.match, e)
		}
	}
	w.ask("PATCH", at, "{}", with(w.session(installer), "If-Match", "*")).read(200, nil)
	w.ask("PATCH", at, `{"installation_administrator":true}`, with(w.session(installer), "If-Match", `"999"`)).refused(412)
	w.ask("GET", "/workspaces/acme/members", nil, with(w.session(installer), "If-Match", `"999"`)).read(200, nil)
}
