package e2e_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/millrace/millrace/internal/text"
)

// peopled is a server that keeps people: three, of whom two live in Spain and one of these has done login.
func peopled(t *testing.T) *server {
	t.Helper()
	s := newServer(t, t.TempDir(), "MILLRACE_PROFILES=true", "MILLRACE_API_RATE_LIMIT=0")
	s.start()
	return s
}

// fillPeople tracks people in a workspace whose pages are at path, and waits until they are kept.
func (s *server) fillPeople(t *testing.T, path string) asker {
	t.Helper()
	a := s.asks("root@mill.example", "--installation-administrator")
	key := a.want(201, "POST", api(path)+"/api-keys", jsonObject{"name": "tracker", "scopes": []string{"users.track"}}).at("key").(string)
	var people []jsonObject
	for i, country := range []string{"DE", "ES", "ES"} {
		people = append(people, jsonObject{"external_id": fmt.Sprint("user-", i), "country": country, "first_name": "Ana"})
	}
	tracker := asker{t, "http://" + s.addr, key, http.DefaultClient}
	tracker.want(201, "POST", "/users/track", jsonObject{"attributes": people, "events": []jsonObject{{"external_id": "user-1", "name": "login", "time": "2026-01-01T00:00:00Z"}}})
	everybody := a.want(201, "POST", api(path)+"/segments", jsonObject{"name": "everybody"}).at("id").(string)
	a.until(api(path)+"/segments/"+everybody+"/size", func(x told) bool { return x.at("people") == 3.0 })
	a.want(204, "DELETE", api(path)+"/segments/"+everybody, nil)
	return a
}

// total is how many people the editor says there are.
func (w *window) total(n string) {
	w.t.Helper()
	w.until("the number "+n, `document.querySelector("#count .total")?.innerText === `+quoted(n))
}

// A segment by rows that come and go in place, counted while it is typed, with the keyboard where that matters.
func TestASegmentIsEditedInPlace(t *testing.T) {
	t.Parallel()
	s := peopled(t)
	w := s.begins(t, screen{})
	workspace := w.path()[:len(w.path())-len("/currents/new")]
	s.fillPeople(t, workspace)
	w.visit(workspace + "/segments")
	w.sees(w.says("page.segments_none"))
	w.sound()
	w.press(w.says("page.segment_create"))
	w.fill("name", "Spain")
	w.fill("value-0", "ES")
	w.total("2")
	w.press(w.says("page.segment_add_row"))
	w.until("the new row with the focus", `document.activeElement?.name === "kind-1"`)
	w.pick("kind-1", "event")
	w.until("the row of an event", `document.getElementsByName("name-1")[0]?.getAttribute("list") === "names-event"`)
	if got := js[string](w, `document.activeElement.name`); got != "kind-1" {
		t.Errorf("the focus has gone to %q", got)
	}
	w.fill("name-1", "login")
	w.total("1")
	w.pick("operator-1", "at_least")
	w.fill("value-1", "2")
	w.total("0")
	w.press(w.says("page.segment_add_group"))
	w.until("the other group", `document.getElementsByName("join")[0]`)
	w.sound()
	w.press(w.says("page.segment_save")) // the empty row of the group is said
	w.sees(w.says("field.filter_values"))
	w.sound()
	w.press(w.says("page.segment_drop_row", "n", 3))
	w.until("two rows", `!document.getElementsByName("kind-2")[0]`)
	w.press(w.says("page.segment_save"))
	w.at("/segments/[0-9a-f-]{36}$")
	w.sees(w.says("page.segment_saved", "name", "Spain"), w.says("page.segment_holds", "n", 0))
	w.sound()
	w.press(w.says("page.segment_edit"))
	w.at("/edit$")
	w.press(w.says("page.segment_drop_row", "n", 2))
	w.total("2")
	w.keys(kb.Escape)
	w.press(w.says("page.segment_save"))
	w.sees(w.says("page.segment_holds", "n", 2))

	w.become(screen{width: 320})
	w.press(w.says("page.segment_edit"))
	w.at("/edit$")
	w.sound()
}

// The same where no script runs: by buttons that send the form.
func TestASegmentIsEditedWithoutScript(t *testing.T) {
	t.Parallel()
	s := peopled(t)
	w := s.begins(t, screen{lang: text.Portuguese})
	workspace := w.path()[:len(w.path())-len("/currents/new")]
	s.fillPeople(t, workspace)
	w.become(screen{lang: text.Portuguese, noScript: true})
	w.visit(workspace + "/segments/new")
	w.fill("name", "Sem script")
	w.fill("value-0", "ES")
	w.press(w.says("page.segment_count"))
	w.total("2")
	w.press(w.says("page.segment_add_row"))
	w.until("another row", `document.getElementsByName("kind-1")[0]`)
	w.pick("kind-1", "event")
	w.press(w.says("page.segment_redraw"))
	w.until("the row of an event", `document.getElementsByName("name-1")[0]?.getAttribute("list") === "names-event"`)
	w.fill("name-1", "login")
	w.sound()
	w.press(w.says("page.segment_save"))
	w.sees(w.says("page.segment_holds", "n", 1))
	w.sound()
}
