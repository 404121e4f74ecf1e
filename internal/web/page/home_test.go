package page

import (
	"net/http"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
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
			w.at("/currents/"+id), w.at("/notices"), say(l, "page.home_machine"), l.Bytes(1<<30), `<progress value="1048576" max="1073741824"`)
	}
}

func TestTheOverviewIsNotLedByADeletedCurrent(t *testing.T) {
	w := newWorld(t)
	gone := w.launch("gone")
	stays := w.launchIn("stays", "stays")
	kinds := map[string]control.NoticeKind{stays: control.NoticeSlow, gone: control.NoticeDropped}
	must(t, w.plane.Delete(control.WithActor(t.Context(), control.CommandLine()), w.acme.Number, control.ConnectorID(gone)))
	for _, id := range []string{stays, gone} {
		must(t, w.store.AddNotice(t.Context(), control.Notice{Workspace: w.acme.Number, Connector: control.ConnectorID(id), Kind: kinds[id], Episode: "x", At: time.Now()}))
	}
	w.signedIn("en").get(w.at("")).has(t, http.StatusOK, "en slow").lacks(t, "en dropped")
}

func TestTheOverviewBeginsWithWhatNeedsSomebody(t *testing.T) {
	for name, x := range map[string]struct {
		of   []client.Notice // the newest first
		want string
	}{
		"nothing":            {nil, ""},
		"all read":           {[]client.Notice{{ID: "1", Kind: "failing", Read: true}}, ""},
		"bad before good":    {[]client.Notice{{ID: "2", Kind: "failing", Connector: "a"}, {ID: "1", Kind: "check_passed", Connector: "b"}}, "2"},
		"older, but worse":   {[]client.Notice{{ID: "3", Kind: "resumed", Connector: "b"}, {ID: "2", Kind: "slow", Connector: "c"}, {ID: "1", Kind: "dropped", Connector: "a"}}, "1"},
		"mended since":       {[]client.Notice{{ID: "2", Kind: "resumed", Connector: "a"}, {ID: "1", Kind: "failing", Connector: "a"}}, ""},
		"good news alone":    {[]client.Notice{{ID: "1", Kind: "check_passed", Connector: "a"}}, ""},
		"of no Current, two": {[]client.Notice{{ID: "2", Kind: "key_unused"}, {ID: "1", Kind: "disk_quota"}}, "1"},
	} {
		got := ""
		if n := gravest(x.of); n != nil {
			got = n.ID
		}
		if got != x.want {
			t.Errorf("%s: the notice %q, want %q", name, got, x.want)
		}
	}
}
