package page

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store/storetest"
	"github.com/millrace/millrace/internal/text"
	"github.com/millrace/millrace/internal/web"
)

// world is an installation with its pages, as browsers see it. Nothing of it is a fake but the mail server, which there
// is none of.
type world struct {
	t      testing.TB
	h      http.Handler
	people *control.People
	plane  *control.Plane
	acme   control.Workspace
	store  interface {
		AddNotice(context.Context, control.Notice) error
		Connector(ctx context.Context, workspace uint32, id control.ConnectorID) (control.Connector, error)
		ApplyControl(ctx context.Context, log eventlog.ID, upTo eventlog.Offset, records []control.LoggedRecord) error
		Position(ctx context.Context, l control.Lane) (control.Position, error)
		Save(ctx context.Context, v control.Save) (int64, error)
		SaveHealth(ctx context.Context, h control.Health) error
		UpdateConnector(ctx context.Context, c control.Connector, k *control.Credentials, also ...int) error
	}

	profiles keptPeople
	file     string            // of every export; empty: gone
	lag      client.ProfileLag // of profiles
	machine  client.Installation
	erased   []control.PersonID // by pages
	held     map[control.ConnectorID]web.Waiting
	api      http.Handler
	later    time.Duration                                // that the clock of sessions is ahead
	rejected []control.Rejection                          // of every key
	call     func(context.Context, control.Webhook) error // nil: taken
}

func (w *world) erase(_ context.Context, workspace uint32, who control.PersonID) error {
	if workspace == w.acme.Number {
		w.erased = append(w.erased, who)
	}
	return nil
}

// at is the address of a page of acme.
func (w *world) at(path string) string { return fmt.Sprintf("/w/%d%s", w.acme.Number, path) }

const password = "correct horse battery"

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOf(t, web.OIDC{})
}

// newWorldWithout is newWorld where nothing is kept of people.
func newWorldWithout(t testing.TB) *world {
	t.Helper()
	return newWorldFrom(t, web.OIDC{}, nil)
}

// newWorldOf is newWorld where people may sign in elsewhere.
func newWorldOf(t testing.TB, elsewhere web.OIDC, onStatement ...func(sql string)) *world {
	t.Helper()
	return newWorldFrom(t, elsewhere, storetest.OpenProfiles(t), onStatement...)
}

func newWorldFrom(t testing.TB, elsewhere web.OIDC, profiles keptPeople, onStatement ...func(sql string)) *world {
	t.Helper()
	s := storetest.Open(t, onStatement...)
	types, err := event.NewCatalogue(nil)
	must(t, err)
	ids, err := web.NewIDs([]byte("0123456789abcdef0123456789abcdef"))
	must(t, err)
	plane := &control.Plane{Store: s, Catalogue: types}
	w := &world{t: t, store: s, profiles: profiles, machine: client.Installation{Version: "test", LogBytes: 1 << 20, LogLimit: 1 << 30}}
	w.people = control.NewPeople(control.PeopleConfig{Store: s, BaseURL: func() string { return "https://mill.example" },
		Now: func() time.Time { return time.Now().Add(w.later) },
		Send: func(context.Context, control.Letter) error {
			return &fault.Error{Code: fault.Unavailable, Msg: fault.Message{Key: "notify.no_mail", Text: "This installation sends no mail."}}
		}})
	api, err := web.New(web.Config{GracePeriod: 36 * time.Hour, Retention: 72 * time.Hour, ExportRetry: 15 * time.Minute, TestCap: 10, TestWindow: 7 * 24 * time.Hour, OIDC: elsewhere}, web.Deps{Profiles: w.profiles, ExportFile: w.exportFile, ProfileLag: func() (client.ProfileLag, bool) { return w.lag, true }, Erase: w.erase, People: w.people, Plane: plane, Store: s, Catalogue: types, IDs: ids, Logger: slog.New(slog.DiscardHandler),
		Rejected: func(control.KeyID) (int64, []control.Rejection) { return int64(len(w.rejected)), w.rejected }, Wake: func() {},
		Call: func(ctx context.Context, h control.Webhook) error {
			if w.call == nil {
				return nil
			}
			return w.call(ctx, h)
		},
		Account: func(context.Context) (string, error) { return "111122223333", nil }, Waiting: func() map[control.ConnectorID]web.Waiting { return w.held }, Open: buckettest.NewMemory().Open,
		Example: func(t *event.Type) string { return `{"event_type":"` + t.Name + `","note":"<i>"}` },
		Say: func(l text.Language, n control.Notice) (title, words string) {
			return string(l) + " " + string(n.Kind), "First <i>.\n\nSecond."
		},
		Machine: func(context.Context) (client.Installation, error) {
			return w.machine, nil
		}})
	must(t, err)
	w.plane, w.api = plane, api
	w.h, err = New(Config{Components: true}, Deps{API: api, Logger: slog.New(slog.DiscardHandler), BaseURL: func() string { return "https://mill.example" }})
	must(t, err)
	root := control.WithActor(t.Context(), control.CommandLine())
	w.acme, err = plane.CreateWorkspace(root, control.Workspace{Name: "acme"})
	must(t, err)
	_, _, err = w.people.AddMember(root, control.AddMember{Email: "ada@acme.example", Name: "Ada", Password: secret.New(password), Workspace: w.acme.Number, Role: control.Administrator})
	must(t, err)
	return w
}

// installs makes Ada an installation administrator.
func (w *world) installs() {
	w.t.Helper()
	_, _, err := w.people.AddMember(control.WithActor(w.t.Context(), control.CommandLine()), control.AddMember{Email: "ada@acme.example", Installation: true})
	must(w.t, err)
}

// launch makes a Current whose check passes, and gives its id.
func (w *world) launch(name string) string { return w.launchIn(name, "currents") }

// launchIn does so with its files in that folder.
func (w *world) launchIn(name, folder string) string {
	w.t.Helper()
	w.plane.Check = func(context.Context, bucket.CheckInput) (bucket.Report, error) { return bucket.Report{OK: true}, nil }
	contact, bucketName, key, value := "data@acme.example", "acme-currents", "AKIAIOSFODNN7EXAMPLE", secret.New("s")
	c, err := w.plane.Launch(control.WithActor(w.t.Context(), control.CommandLine()), w.acme.Number,
		control.Edit{Name: &name, ContactEmail: &contact, Bucket: &bucketName, Folder: &folder, AccessKeyID: &key, SecretAccessKey: &value, Events: []string{"all"}})
	must(w.t, err)
	return string(c.Connector)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// browser keeps cookies, follows redirects and sends forms.
type browser struct {
	w        *world
	cookies  map[string]string
	language string
	referer  string // of forms; empty: none is sent
	foreign  bool   // its forms come from another site
}

func (w *world) browser(language string) *browser {
	return &browser{w: w, cookies: map[string]string{}, language: language}
}

// seen is a page that came.
type seen struct {
	status int
	at     string // path and query, after redirects
	body   string
	header http.Header
}

func (b *browser) get(path string) seen { return b.ask(http.MethodGet, path, nil) }

// post sends a form as a page of this server does.
func (b *browser) post(path string, values ...string) seen {
	f := url.Values{}
	for i := 0; i < len(values); i += 2 {
		f.Add(values[i], values[i+1])
	}
	return b.ask(http.MethodPost, path, f)
}

func (b *browser) ask(method, path string, f url.Values) seen {
	b.w.t.Helper()
	for range 5 {
		var body io.Reader
		if f != nil {
			body = strings.NewReader(f.Encode())
		}
		r := httptest.NewRequest(method, path, body)
		r.Header.Set("Accept-Language", b.language)
		if f != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if b.referer != "" {
				r.Header.Set("Referer", "http://"+r.Host+b.referer)
			}
			if b.foreign {
				r.Header.Set("Sec-Fetch-Site", "cross-site")
			}
		}
		for k, v := range b.cookies {
			r.AddCookie(&http.Cookie{Name: k, Value: v})
		}
		w := httptest.NewRecorder()
		b.w.h.ServeHTTP(w, r)
		for _, k := range w.Result().Cookies() {
			b.cookies[k.Name] = k.Value
			if k.MaxAge < 0 {
				delete(b.cookies, k.Name)
			}
		}
		if w.Code != http.StatusSeeOther {
			return seen{w.Code, path, w.Body.String(), w.Header()}
		}
		path, _, _ = strings.Cut(w.Header().Get("Location"), "#")
		method, f = http.MethodGet, nil
	}
	b.w.t.Fatal("redirected in a circle")
	return seen{}
}

// signedIn is a browser of somebody who is.
func (w *world) signedIn(language string) *browser {
	w.t.Helper()
	b := w.browser(language)
	b.signIn("ada@acme.example")
	return b
}

func (b *browser) signIn(email string) {
	b.w.t.Helper()
	if p := b.post("/sign-in?next=/_components", "email", email, "password", password); len(b.cookies) == 0 {
		b.w.t.Fatalf("not signed in: %d\n%s", p.status, p.body)
	}
}

// joined is a browser of another member of acme, with that role.
func (w *world) joined(role control.Role, language string) *browser {
	w.t.Helper()
	email := string(role) + "@acme.example"
	_, _, err := w.people.AddMember(control.WithActor(w.t.Context(), control.CommandLine()), control.AddMember{Email: email, Name: "The " + string(role), Password: secret.New(password), Workspace: w.acme.Number, Role: role})
	must(w.t, err)
	b := w.browser(language)
	b.signIn(email)
	return b
}

// has fails unless the page came with that status and holds each of want. It gives the page back.
func (s seen) has(t *testing.T, status int, want ...string) seen {
	t.Helper()
	if s.status != status {
		t.Errorf("%s: status %d, want %d\n%s", s.at, s.status, status, s.body)
	}
	for _, x := range want {
		if !strings.Contains(s.body, x) {
			t.Errorf("%s lacks %q:\n%s", s.at, x, s.body)
		}
	}
	return s
}

// lacks fails if the page holds one of these.
func (s seen) lacks(t *testing.T, never ...string) {
	t.Helper()
	for _, x := range never {
		if strings.Contains(s.body, x) {
			t.Errorf("%s holds %q:\n%s", s.at, x, s.body)
		}
	}
}

// newForeign is a form that a page of another site sends.
func newForeign(path string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return r
}

func (w *world) code(r *http.Request) int {
	a := httptest.NewRecorder()
	w.h.ServeHTTP(a, r)
	return a.Code
}
