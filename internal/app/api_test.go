package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/client"
)

// asker is somebody with a browser.
type asker struct {
	t    *testing.T
	base string
	http http.Client
}

func newAsker(t *testing.T, s *system) *asker {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &asker{t: t, base: s.URL() + "/api/v1", http: http.Client{Jar: jar}}
}

// ask sends a request and reads its good answer into out.
func (a *asker) ask(method, path string, in, out any) (status int) {
	a.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		a.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(a.t.Context(), method, a.base+path, bytes.NewReader(b))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	got, err := a.http.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if out != nil && json.Unmarshal(body, out) != nil {
		a.t.Fatalf("%s %s: %d %s", method, path, got.StatusCode, body)
	}
	return got.StatusCode
}

// lockedBuffer keeps what is written at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serveLogged is serve with what the server logs.
func (w *world) serveLogged() (sys *system, stop func() error, said *lockedBuffer) {
	w.t.Helper()
	cfg, err := w.s.Load()
	if err != nil {
		w.t.Fatal(err)
	}
	said = &lockedBuffer{}
	sys, err = openSystem(w.t.Context(), cfg, &Console{Out: io.Discard, Err: said, Version: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- sys.run(ctx) }()
	if err := sys.awaitReady(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return sys, func() error { cancel(); return <-ended }, said
}

func TestTheFirstStartOffersALinkThatMakesTheAdministrator(t *testing.T) {
	w := newWorld(t)
	w.s.Environ = append(slices.DeleteFunc(w.s.Environ, func(e string) bool { return strings.HasPrefix(e, "MILLRACE_LOG_LEVEL") }), "MILLRACE_ACCESS_LOG=true")
	sys, stop, said := w.serveLogged()
	link := regexp.MustCompile(`link=\S*/start/(\S+)`).FindStringSubmatch(said.String())
	if link == nil {
		t.Fatalf("no link in %s", said.String())
	}
	a := newAsker(t, sys)
	var me client.Me
	if status := a.ask("POST", "/accept", client.Accept{Token: link[1], Email: "root@mill.example", Name: "Root", Password: "a good long one"}, &me); status != 200 || !me.Installation {
		t.Fatalf("%d %+v", status, me)
	}
	if status := a.ask("GET", "/me", nil, &me); status != 200 || me.Email != "root@mill.example" {
		t.Errorf("afterwards: %d %+v", status, me)
	}
	var inst client.Installation
	if status := a.ask("GET", "/installation", nil, &inst); status != 200 || inst.Version != "test" || inst.DiskTotal == 0 || inst.LogLimit == 0 {
		t.Errorf("the installation: %d %+v", status, inst)
	}
	if n := strings.Count(said.String(), link[1]); n != 1 {
		t.Errorf("the link stands %d times in the log", n)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	_, stop, said = w.serveLogged()
	if err := stop(); err != nil || strings.Contains(said.String(), "/start/") {
		t.Errorf("the next start: %v %s", err, said.String())
	}
}

func TestAStandbyAnswersTheAPI(t *testing.T) {
	w := newWorld(t)
	first, _ := w.serve()
	if err := first.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, _ := w.serve()
	second.awaitStandby(t)
	a := newAsker(t, second)
	if status := a.ask("GET", "/openapi.json", nil, nil); status != 200 {
		t.Errorf("the description: %d", status)
	}
	var e struct{ Error client.Error }
	if status := a.ask("GET", "//me", nil, &e); status != 404 || e.Error.Code != "not_found" {
		t.Errorf("an address that is not canonical: %d %+v", status, e)
	}
}
