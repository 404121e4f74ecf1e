package page

import (
	"net/http"
	"testing"

	"github.com/millrace/millrace/internal/text"
)

func TestTheOverviewBeginsWithTheFirstCurrent(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		p := w.signedIn(string(l)).get("/")
		p.has(t, http.StatusOK, say(l, "page.home_empty"), say(l, "page.create_current"), w.at("/currents/new")).lacks(t, say(l, "page.home_machine"))
		if p.at != w.at("") {
			t.Errorf("/ leads to %s", p.at)
		}
	}
}

func TestTheOverviewSaysHowAWorkspaceDoes(t *testing.T) {
	w := newWorld(t)
	w.installs()
	id := w.launch("<i>")
	for _, l := range text.Languages() {
		w.signedIn(string(l)).get(w.at("")).has(t, http.StatusOK, say(l, "page.currents_active", "n", 1), say(l, "page.home_minutes"), `class="plane"`, "&lt;i&gt;",
			w.at("/currents/"+id), string(l)+" check_passed", w.at("/notices"), say(l, "page.home_machine"), l.Bytes(1<<30), `<progress value="1048576" max="1073741824"`)
	}
}
