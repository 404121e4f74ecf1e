package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// askers are the people of these tests: by what they show.
type askers map[string]control.Actor

func (p askers) ActorByToken(_ context.Context, token secret.Value, _ string) (control.Actor, error) {
	if a, ok := p["token "+token.Reveal()]; ok {
		return a, nil
	}
	return control.Actor{}, fault.New(fault.Unauthorized, "", "This token is unknown.")
}

func (p askers) ActorBySession(_ context.Context, token secret.Value, _ string) (control.Actor, control.Session, error) {
	if a, ok := p["session "+token.Reveal()]; ok {
		return a, control.Session{ID: a.Session}, nil
	}
	return control.Actor{}, control.Session{}, fault.New(fault.Unauthorized, "", "This session has ended.")
}

// shelf keeps what the mechanism asks of the store.
type shelf struct {
	Store
	mu      sync.Mutex
	repeats map[control.KeyHash]control.Repeat
	last    []control.Entry
}

func (s *shelf) WorkspaceBy(_ context.Context, ref string) (control.Workspace, error) {
	for number, name := range map[uint32]string{1: "acme", 2: "globex"} {
		if ref == name || ref == workspaceID(number) {
			return control.Workspace{Number: number, Name: name}, nil
		}
	}
	return control.Workspace{}, fault.New(fault.NotFound, "", "there is no workspace")
}

func (s *shelf) Entries(context.Context, control.EntryFilter, int64, int) ([]control.Entry, error) {
	return s.last, nil
}

func (s *shelf) BeginRepeat(_ context.Context, r control.Repeat) (control.Repeat, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if had, ok := s.repeats[r.Key]; ok {
		return had, false, nil
	}
	s.repeats[r.Key] = r
	return control.Repeat{}, true, nil
}

func (s *shelf) EndRepeat(_ context.Context, r control.Repeat) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repeats[r.Key] = r
	return nil
}

func (s *shelf) DropRepeat(_ context.Context, r control.Repeat) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.repeats, r.Key)
	return nil
}

// rig serves a table of one row with the askers above.
type rig struct {
	h     http.Handler
	shelf *shelf
}

func serving(cfg Config, rows ...route) rig {
	in := func(workspace uint32, r control.Role) map[uint32]control.Membership {
		return map[uint32]control.Membership{workspace: {Workspace: workspace, Role: r}}
	}
	s := &shelf{repeats: map[control.KeyHash]control.Repeat{}}
	a, err := newAPI(cfg, Deps{Store: s, Logger: slog.New(slog.DiscardHandler), People: askers{
		"token viewer":   {Member: "v", Name: "v@acme", Seats: in(1, control.Viewer)},
		"token editor":   {Member: "e", Name: "e@acme", Seats: in(1, control.Editor)},
		"token reader":   {Member: "e", Name: "e@acme", Seats: in(1, control.Editor), ReadOnly: true, Via: "reader"},
		"token root":     {Member: "r", Name: "r@mill", Installation: true},
		"session editor": {Member: "e", Name: "e@acme", Seats: in(1, control.Editor), Session: "s1"},
	}})
	if err != nil {
		panic(err)
	}
	return rig{a.handler(rows), s}
}

type asked struct {
	method, path, body string
	header             map[string]string
}

func (g rig) ask(q asked) *http.Response {
	r := httptest.NewRequest(q.method, prefix+q.path, strings.NewReader(q.body))
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range q.header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	g.h.ServeHTTP(w, r)
	return w.Result()
}

// said gives an answer's error, and its body.
func said(t *testing.T, a *http.Response) (client.Error, string) {
	t.Helper()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Error client.Error }
	if len(b) > 0 && json.Unmarshal(b, &v) != nil {
		t.Fatalf("no JSON: %s", b)
	}
	return v.Error, string(b)
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token}
}

func with(h map[string]string, more ...string) map[string]string {
	out := maps.Clone(h)
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// hello is a row that answers the workspace's name.
func hello(right control.Right) route {
	return route{name: "hello", method: http.MethodGet, path: "/workspaces/{workspace}/hello", right: right, status: 200,
		op: op(func(c *call, _ struct{}) (map[string]string, error) {
			return map[string]string{"name": c.workspace.Name}, nil
		})}
}

func TestWhoMayAskIsLookedAtBeforeAnythingElse(t *testing.T) {
	for name, row := range map[string]struct {
		right  control.Right
		path   string
		header map[string]string
		want   int
	}{
		"a viewer sees":                           {control.RightView, "/workspaces/acme/hello", bearer("viewer"), 200},
		"by the workspace's number":               {control.RightView, "/workspaces/1/hello", bearer("viewer"), 200},
		"a viewer does not change":                {control.RightChange, "/workspaces/acme/hello", bearer("viewer"), 403},
		"an editor changes":                       {control.RightChange, "/workspaces/acme/hello", bearer("editor"), 200},
		"a token that reads does not":             {control.RightChange, "/workspaces/acme/hello", bearer("reader"), 403},
		"nobody has a foreign workspace":          {control.RightView, "/workspaces/globex/hello", bearer("editor"), 404},
		"nor one that is not":                     {control.RightView, "/workspaces/nobody/hello", bearer("editor"), 404},
		"even where the right would be another's": {control.RightInstall, "/workspaces/globex/hello", bearer("editor"), 404},
		"an installation administrator sees all":  {control.RightAdminister, "/workspaces/globex/hello", bearer("root"), 200},
		"but not people":                          {control.RightExportUserData, "/workspaces/globex/hello", bearer("root"), 403},
		"the unknown":                             {control.RightView, "/workspaces/acme/hello", nil, 401},
		"the unknown, of a workspace that is not": {control.RightView, "/workspaces/nobody/hello", nil, 401},
		"a token that is none":                    {control.RightView, "/workspaces/acme/hello", bearer("x"), 401},
		"a session":                               {control.RightChange, "/workspaces/acme/hello", map[string]string{"Cookie": "millrace=editor"}, 200},
		"a session that has ended":                {control.RightChange, "/workspaces/acme/hello", map[string]string{"Cookie": "millrace=x"}, 401},
		"a token that is none beside a session":   {control.RightChange, "/workspaces/acme/hello", with(bearer("x"), "Cookie", "millrace=editor"), 401},
	} {
		got, _ := said(t, serving(Config{}, hello(row.right)).ask(asked{"GET", row.path, "", row.header}))
		status := serving(Config{}, hello(row.right)).ask(asked{"GET", row.path, "", row.header}).StatusCode
		if status != row.want {
			t.Errorf("%s: %d %s, want %d", name, status, got.Message, row.want)
		}
		if status == 403 && !strings.Contains(got.Message, string(row.right)) {
			t.Errorf("%s: %q does not name the right", name, got.Message)
		}
	}
}

func TestAWorkspaceThatMayNotBeSeenIsAnsweredAsOneThatIsNot(t *testing.T) {
	g := serving(Config{}, hello(control.RightView))
	_, foreign := said(t, g.ask(asked{"GET", "/workspaces/globex/hello", "", bearer("editor")}))
	_, none := said(t, g.ask(asked{"GET", "/workspaces/nobody/hello", "", bearer("editor")}))
	if foreign != none {
		t.Errorf("they differ:\n%s\n%s", foreign, none)
	}
}

func TestPagesOfOtherSitesCannotUseASession(t *testing.T) {
	change := hello(control.RightChange)
	change.method = http.MethodPost
	for name, row := range map[string]struct {
		header map[string]string
		want   int
	}{
		"our own page":         {map[string]string{"Cookie": "millrace=editor", "Sec-Fetch-Site": "same-origin"}, 200},
		"another site's":       {map[string]string{"Cookie": "millrace=editor", "Sec-Fetch-Site": "cross-site"}, 403},
		"another site's, old":  {map[string]string{"Cookie": "millrace=editor", "Origin": "https://evil.example"}, 403},
		"our public address":   {map[string]string{"Cookie": "millrace=editor", "Sec-Fetch-Site": "same-site", "Origin": "https://mill.example"}, 200},
		"another's with token": {with(bearer("editor"), "Sec-Fetch-Site", "cross-site"), 200},
	} {
		if got := serving(Config{Origin: "https://mill.example"}, change).ask(asked{"POST", "/workspaces/acme/hello", "", row.header}).StatusCode; got != row.want {
			t.Errorf("%s: %d, want %d", name, got, row.want)
		}
	}
}

func TestOverHTTPSTheCookieIsForThisHostAlone(t *testing.T) {
	g := serving(Config{Secure: true}, hello(control.RightView))
	for cookie, want := range map[string]int{"millrace=editor": 401, "__Host-millrace=editor": 200} {
		if got := g.ask(asked{"GET", "/workspaces/acme/hello", "", map[string]string{"Cookie": cookie}}).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", cookie, got, want)
		}
	}
}

func TestAskersAreHeldBackEachForThemselves(t *testing.T) {
	g := serving(Config{RateLimit: 5}, hello(control.RightView))
	count := func(h map[string]string) (answered int) {
		for range 30 {
			a := g.ask(asked{"GET", "/workspaces/acme/hello", "", h})
			switch a.StatusCode {
			case 429:
				if a.Header.Get("Retry-After") == "" {
					t.Error("429 without Retry-After")
				}
			default:
				answered++
			}
		}
		return answered
	}
	for name, h := range map[string]map[string]string{"a token": bearer("viewer"), "another token": bearer("editor"), "a stranger": bearer("x")} {
		if n := count(h); n < 5 || n > 20 {
			t.Errorf("%s: %d of 30 answered at once", name, n)
		}
	}
}

func TestMethodsAndAddressesThatAreNot(t *testing.T) {
	g := serving(Config{}, hello(control.RightView))
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
		a := g.ask(asked{row.method, row.path, "", bearer("viewer")})
		if a.StatusCode != row.want || a.Header.Get("Allow") != row.allow {
			t.Errorf("%s: %d %q, want %d %q", name, a.StatusCode, a.Header.Get("Allow"), row.want, row.allow)
		}
	}
}

func TestAnAnswerHasNoNullWhereAListBelongs(t *testing.T) {
	row := hello(control.RightView)
	row.op = op(func(*call, struct{}) (client.Page[client.Check], error) {
		return client.Page[client.Check]{Items: []client.Check{{Notes: []client.CheckNote{{}}}}}, nil
	})
	_, body := said(t, serving(Config{}, row).ask(asked{"GET", "/workspaces/acme/hello", "", bearer("viewer")}))
	if strings.Contains(body, "null") || !strings.Contains(body, `"steps":[]`) {
		t.Errorf("got %s", body)
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
	g := serving(Config{}, thing(&made, func() error { defer func() { fail = nil }(); return fail }))
	make := func(token, key, body string) (*http.Response, string) {
		a := g.ask(asked{"POST", "/workspaces/acme/things", body, with(bearer(token), keyHeader, key)})
		_, b := said(t, a)
		return a, b
	}
	if a, _ := make("editor", "k1", `{"name":"a"}`); a.StatusCode != 500 {
		t.Fatalf("%d", a.StatusCode)
	}
	first, body := make("editor", "k1", `{"name":"a"}`) // what failed is tried again
	again, same := make("editor", "k1", `{"name":"a"}`)
	if first.StatusCode != 201 || again.StatusCode != 201 || same != body || made.Load() != 1 {
		t.Errorf("%d, then %d: %s %s, %d made", first.StatusCode, again.StatusCode, body, same, made.Load())
	}
	if first.Header.Get(replayedHeader) != "" || again.Header.Get(replayedHeader) != "true" || again.Header.Get("Location") != first.Header.Get("Location") || again.Header.Get("Location") == "" {
		t.Errorf("headers %v, then %v", first.Header, again.Header)
	}
	if a, b := make("editor", "k1", `{"name":"b"}`); a.StatusCode != 422 || !strings.Contains(b, keyHeader) {
		t.Errorf("another body: %d %s", a.StatusCode, b)
	}
	if a, _ := make("root", "k1", `{"name":"a"}`); a.StatusCode != 201 || made.Load() != 2 {
		t.Errorf("another's key of the same name: %d, %d made", a.StatusCode, made.Load())
	}
	for _, key := range []string{"a b", strings.Repeat("k", 256), "ü"} {
		if a, _ := make("editor", key, `{"name":"a"}`); a.StatusCode != 422 {
			t.Errorf("key %.10q: %d", key, a.StatusCode)
		}
	}
}

func TestARepetitionDuringTheFirstIsToldToWait(t *testing.T) {
	var made atomic.Int64
	inside, goOn := make(chan struct{}), make(chan struct{})
	g := serving(Config{}, thing(&made, func() error { close(inside); <-goOn; return nil }))
	q := asked{"POST", "/workspaces/acme/things", `{"name":"a"}`, with(bearer("editor"), keyHeader, "k")}
	first := make(chan int)
	go func() { first <- g.ask(q).StatusCode }()
	<-inside
	a := g.ask(q)
	close(goOn)
	if a.StatusCode != 409 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
	}
	if status := <-first; status != 201 || made.Load() != 1 {
		t.Errorf("the first: %d, %d made", status, made.Load())
	}
}

func TestAConflictSaysWhoChangedWhatWhen(t *testing.T) {
	row := hello(control.RightChange)
	row.versioned = true
	row.op = op(func(c *call, _ struct{}) (none, error) {
		if rev, given, err := c.expected(); err != nil || given && rev != 7 {
			return none{}, errors.Join(err, fault.New(fault.Stale, "", "overtaken"))
		}
		c.versioned(7)
		return none{}, nil
	})
	g := serving(Config{}, row)
	g.shelf.last = []control.Entry{{Actor: "ana@acme.example", At: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Before: json.RawMessage(`{"name":"a"}`), After: json.RawMessage(`{"name":"b","codec":"null"}`)}}
	ask := func(match string) (*http.Response, client.Error) {
		a := g.ask(asked{"GET", "/workspaces/acme/hello", "", with(bearer("editor"), "If-Match", match)})
		e, _ := said(t, a)
		return a, e
	}
	a, e := ask(`"6"`)
	if a.StatusCode != 412 || !strings.Contains(e.Message, "ana@acme.example") || !strings.Contains(e.Message, "2026-11-22T10:00:00Z") || !strings.Contains(e.Message, "codec, name") {
		t.Errorf("%d %q", a.StatusCode, e.Message)
	}
	if a, _ := ask("seven"); a.StatusCode != 400 {
		t.Errorf("what is no version: %d", a.StatusCode)
	}
	for _, match := range []string{`"7"`, `W/"7"`, "*", ""} {
		if a, e := ask(match); a.StatusCode != 200 || a.Header.Get("ETag") != `"7"` {
			t.Errorf("If-Match %q: %d %q, ETag %q", match, a.StatusCode, e.Message, a.Header.Get("ETag"))
		}
	}
}
