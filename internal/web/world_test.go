package web

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store/storetest"
	"github.com/millrace/millrace/internal/text"
)

// world is an installation with people in two workspaces, and what answers its API. Nothing of it is a fake but the mail
// server, which there is none of.
type world struct {
	t       *testing.T
	api     *api
	h       http.Handler
	checked *document // every answer is held to it; nil: to none
	plane   *control.Plane
	people  *control.People
	acme    control.Workspace
	globex  control.Workspace

	bucket     *buckettest.Memory // every connector's
	profiles   keptPeople
	file       string // of every export; empty: gone
	erased     []control.PersonID
	statements atomic.Int64 // of SQL
}

// The people of a world, by what their addresses begin with.
const (
	viewer    = "viewer"    // of acme, as all but the last two
	exporter  = "exporter"  // a viewer who may export user data
	editor    = "editor"    //
	admin     = "admin"     // administrator
	stranger  = "stranger"  // administrator of globex, with every right there
	installer = "installer" // installation administrator, of no workspace
)

// everybody are all of them.
var everybody = []string{viewer, exporter, editor, admin, stranger, installer}

// newWorld makes a world that answers the table of the API, or rows in its place. A change of cfg comes by change.
func newWorld(t *testing.T, change func(*Config, *Deps), rows ...route) *world {
	t.Helper()
	w := &world{t: t, bucket: buckettest.NewMemory(), profiles: storetest.OpenProfiles(t)}
	s := storetest.Open(t, func(string) { w.statements.Add(1) })
	types, err := event.NewCatalogue(nil)
	must(t, err)
	ids, err := NewIDs([]byte("0123456789abcdef0123456789abcdef"))
	must(t, err)
	w.plane = &control.Plane{Store: s, Catalogue: types, Cluster: "prod-01", Zone: "default", Check: passing}
	w.people = control.NewPeople(control.PeopleConfig{Store: s, BaseURL: func() string { return "https://mill.example" }, Send: func(context.Context, control.Letter) error {
		return fault.New(fault.Unavailable, "", "There is no mail server.")
	}})
	cfg := Config{}
	deps := Deps{Profiles: w.profiles, ExportFile: w.exportFile, ProfileLag: func() (client.ProfileLag, bool) { return client.ProfileLag{Seconds: 1.5, AsOf: learned}, true }, Erase: w.erase, People: w.people, Plane: w.plane, Store: s, Catalogue: types, IDs: ids, Logger: slog.New(slog.DiscardHandler), Open: w.bucket.Open,
		Rejected: func(control.KeyID) (int64, []control.Rejection) { return 0, nil }, Wake: func() {},
		Machine: func(context.Context) (client.Installation, error) { return client.Installation{Version: "test"}, nil },
		Account: func(context.Context) (string, error) { return "123456789012", nil }, Call: func(context.Context, control.Webhook) error { return nil },
		Waiting: func() map[control.ConnectorID]Waiting { return nil }, Example: func(*event.Type) string { return "{}" },
		Say: func(l text.Language, n control.Notice) (title, words string) {
			return string(l) + " " + string(n.Kind), ""
		}}
	if change != nil {
		change(&cfg, &deps)
	}
	w.api, err = newAPI(cfg, deps)
	must(t, err)
	if rows == nil {
		rows = w.api.routes()
		w.checked = documentOf(t)
	}
	w.h = w.api.handler(rows)

	root := control.WithActor(t.Context(), control.CommandLine())
	w.acme, err = w.plane.CreateWorkspace(root, control.Workspace{Name: "acme"})
	must(t, err)
	w.globex, err = w.plane.CreateWorkspace(root, control.Workspace{Name: "globex"})
	must(t, err)
	for _, p := range []control.AddMember{
		{Email: viewer, Workspace: w.acme.Number},
		{Email: exporter, Workspace: w.acme.Number, ExportUserData: true},
		{Email: editor, Workspace: w.acme.Number, Role: control.Editor},
		{Email: admin, Workspace: w.acme.Number, Role: control.Administrator},
		{Email: stranger, Workspace: w.globex.Number, Role: control.Administrator, ExportUserData: true},
		{Email: installer, Installation: true},
	} {
		p.Email, p.Name = mailOf(p.Email), p.Email
		_, _, err := w.people.AddMember(root, p)
		must(t, err)
	}
	return w
}

func (w *world) erase(_ context.Context, _ uint32, who control.PersonID) error {
	w.erased = append(w.erased, who)
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mailOf is the e-mail address of one of the people of a world.
func mailOf(who string) string { return who + "@mill.example" }

// member gives one of the people.
func (w *world) member(who string) control.Member {
	w.t.Helper()
	m, err := w.api.deps.Store.(control.PeopleStore).MemberByEmail(w.t.Context(), mailOf(who))
	must(w.t, err)
	return m
}

// session signs somebody in and gives the header of their requests.
func (w *world) session(who string) map[string]string {
	w.t.Helper()
	token := secret.New(control.NewKey().Reveal())
	now := time.Now().UTC()
	must(w.t, w.api.deps.Store.(control.PeopleStore).CreateSession(w.t.Context(), control.Session{
		ID: control.NewSessionID(), Member: w.member(who).ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
	}, control.HashKey(token.Reveal())))
	return map[string]string{"Cookie": w.api.cookie() + "=" + token.Reveal()}
}

// token makes a personal token and gives the header of its requests.
func (w *world) token(who string, readOnly bool) map[string]string {
	w.t.Helper()
	token := control.NewKey()
	must(w.t, w.api.deps.Store.(control.PeopleStore).CreateToken(w.t.Context(), control.Token{
		ID: control.NewTokenID(), Member: w.member(who).ID, Name: token.Reveal(), ReadOnly: readOnly, CreatedAt: time.Now().UTC(),
	}, control.HashKey(token.Reveal())))
	return bearer(token.Reveal())
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token}
}

func with(h map[string]string, more ...string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, h)
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// answer is what came of a request.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// ask sends a request. body is JSON text, or what becomes it; nil: none.
func (w *world) ask(method, path string, body any, header map[string]string) answer {
	w.t.Helper()
	text, isText := body.(string)
	if body != nil && !isText {
		b, err := json.Marshal(body)
		must(w.t, err)
		text = string(b)
	}
	r := httptest.NewRequest(method, prefix+path, strings.NewReader(text))
	if text != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	got := rec.Result()
	b, err := io.ReadAll(got.Body)
	must(w.t, err)
	a := answer{w.t, got.StatusCode, got.Header, string(b)}
	if w.checked != nil {
		w.checked.check(w.t, method, path, a)
	}
	return a
}

// as asks with a fresh session of somebody.
func (w *world) as(who, method, path string, body any) answer {
	w.t.Helper()
	return w.ask(method, path, body, w.session(who))
}

// read reads a good answer into out.
func (a answer) read(status int, out any) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if out != nil {
		must(a.t, json.Unmarshal([]byte(a.body), out))
	}
	return a
}

// refused gives a bad answer's error.
func (a answer) refused(status int) client.Error {
	a.t.Helper()
	var v struct{ Error client.Error }
	a.read(status, &v)
	return v.Error
}
