package page

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/millrace/millrace/internal/control"
)

func TestADoubleClickGetsTheFirstAnswerAgain(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("en")
	twice := func(path string, values ...string) {
		t.Helper()
		values = append(values, "once", "1")
		other := *b // sent before the first answer has come
		other.cookies = maps.Clone(b.cookies)
		p := b.post(path, values...)
		if p.status >= 400 {
			t.Fatalf("%s: status %d\n%s", path, p.status, p.body)
		}
		if again := other.post(path, values...); again.status != p.status || again.at != p.at {
			t.Errorf("sent twice, %s led to %d %s and to %d %s", path, p.status, p.at, again.status, again.at)
		}
		if again := b.post(path, values...); again.status != p.status || again.at != p.at {
			t.Errorf("sent a third time, %s led to %d %s and to %d %s", path, p.status, p.at, again.status, again.at)
		}
	}
	b.post(w.at("/settings/keys/new"), "name", "shop", "scopes", "events.write")
	twice(linkTo(t, b.get(w.at("/settings/keys")), w.at("/settings/keys"))+"/revoke", "confirm", "shop")
	b.post(w.at("/settings/members/invite"), "email", "eve@acme.example", "role", "editor")
	revoke := regexp.MustCompile(regexp.QuoteMeta(w.at("/settings/invitations/")) + `\w+/revoke`)
	twice(revoke.FindString(b.get(w.at("/settings/members")).body))

	p := b.post("/me/two-factor")
	key := strings.ReplaceAll(regexp.MustCompile(`<code id="secret">([A-Z2-7 ]+)</code>`).FindStringSubmatch(p.body)[1], " ", "")
	code, err := totp.GenerateCode(key, time.Now())
	must(t, err)
	codes := regexp.MustCompile(`base64,[^"]+`)
	made := codes.FindString(b.post("/me/two-factor/confirm", "code", code, "once", "1").body)
	if again := codes.FindString(b.post("/me/two-factor/confirm", "code", code, "once", "1").body); made == "" || again != made {
		t.Errorf("sent twice, the recovery codes are %q and %q", made, again)
	}

	made2, err := w.people.Invite(control.WithActor(t.Context(), control.CommandLine()), control.Invite{Email: "bob@acme.example", Workspace: w.acme.Number, Role: control.Viewer})
	must(t, err)
	b = w.browser("en")
	twice(strings.TrimPrefix(made2.Link.Reveal(), "https://mill.example"), "name", "Bob", "password", password)
}

func TestFourLaunchesAtOnceLeadToOneCheck(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("en")
	at := make([]string, 4)
	var all sync.WaitGroup
	for i := range at {
		all.Go(func() {
			other := *b
			other.cookies = maps.Clone(b.cookies)
			at[i] = other.post(w.at("/currents/new"), "once", "one", "name", "warehouse", "contact_email", "data@acme.example", "method", "key", "destination.bucket", "acme-currents", "destination.folder", "currents",
				"destination.access_key_id", "AKIAIOSFODNN7EXAMPLE", "destination.secret_access_key", "s", "codec", "deflate", "flush.interval", "5m", "flush.events", "15000", "all", "on").at
		})
	}
	all.Wait()
	if all := slices.Compact(at); len(all) != 1 || !strings.Contains(all[0], "/checks/") {
		t.Errorf("they led to %q", at)
	}
}

func TestAFormThatWasRefusedOrIsOldIsSentAnew(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("en")
	made := func() seen {
		return b.post(w.at("/settings/keys/new"), "once", "1", "name", "", "scopes", "events.write")
	}
	if first, again := made(), made(); first.status != http.StatusUnprocessableEntity || first.body == again.body { // each has a once of its own
		t.Errorf("status %d; the answer that was kept came again: %t", first.status, first.body == again.body)
	}
	var now time.Time
	count := 0
	a := answers{all: map[[32]byte]*answering{}}
	send := func() {
		r := newForm("once=1")
		a.serve(httptest.NewRecorder(), r, false, func() time.Time { return now }, func(w http.ResponseWriter, _ *http.Request) { count++ })
	}
	now = time.Now()
	send()
	send()
	now = now.Add(twiceWithin + time.Second)
	if send(); count != 2 || len(a.all) != 1 {
		t.Errorf("done %d times, %d answers kept; want 2 and 1", count, len(a.all))
	}
}

func newForm(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func TestAPanicKeepsNoAnswer(t *testing.T) {
	a := answers{all: map[[32]byte]*answering{}}
	func() {
		defer func() { _ = recover() }()
		a.serve(httptest.NewRecorder(), newForm("once=1"), false, time.Now, func(http.ResponseWriter, *http.Request) { panic("first") })
	}()
	done := false
	if a.serve(httptest.NewRecorder(), newForm("once=1"), false, time.Now, func(http.ResponseWriter, *http.Request) { done = true }); !done {
		t.Error("the second waits for an answer that never comes")
	}
}
