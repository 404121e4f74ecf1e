package page

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/text"
)

func TestNoticesAreCountedShownAndRead(t *testing.T) {
	for _, l := range text.Languages() {
		w := newWorld(t)
		b := w.signedIn(string(l))
		b.get(w.at("/notices")).has(t, http.StatusOK, say(l, "page.notices_none"), say(l, "page.notices_read")).lacks(t, `class="count"`)
		for i, n := range []control.Notice{{Kind: control.NoticeFailing, Connector: "0123456789abcdef01234567"}, {Kind: control.NoticeKeyExpired, Params: map[string]string{"key": "producer"}}} {
			n.Workspace, n.At, n.Episode = w.acme.Number, time.Now().Add(time.Duration(i)*time.Second), "x"
			must(t, w.store.AddNotice(t.Context(), n))
		}
		p := b.get(w.at("/notices"))
		p.has(t, http.StatusOK, `<span class="count" aria-hidden="true">2</span>`, say(l, "page.notices_unread", "n", 2), string(l)+" failing", "First &lt;i&gt;.</p><p>Second.",
			w.at("/currents/0123456789abcdef01234567"), w.at("/settings/keys"), say(l, "page.notice_new"))
		if strings.Index(p.body, " key_expired") > strings.Index(p.body, " failing") {
			t.Error("the newest is not first")
		}
		read := regexp.MustCompile(`action="([^"]+/notices/read\?up_to=[^"]+)"`).FindStringSubmatch(p.body)[1]
		b.post(read).has(t, http.StatusOK, say(l, "page.notices_read")).lacks(t, say(l, "page.notice_new")+"</span>", `class="count"`)
		b.get("/installation/notices").has(t, http.StatusForbidden)
	}
}

func TestNoticesOfTheInstallationAreForItsAdministrators(t *testing.T) {
	w := newWorld(t)
	w.installs()
	must(t, w.store.AddNotice(t.Context(), control.Notice{Kind: control.NoticeDiskQuota, Episode: "x", At: time.Now().Add(time.Second)}))
	b := w.signedIn("es")
	b.get(w.at("/notices")).has(t, http.StatusOK, `class="count" aria-hidden="true">1<`, `href="/installation/notices"`)
	p := b.get("/installation/notices").has(t, http.StatusOK, "es disk_quota", say(text.Spanish, "page.to_machine"))
	b.post(regexp.MustCompile(`action="([^"]+/notices/read\?up_to=[^"]+)"`).FindStringSubmatch(p.body)[1]).has(t, http.StatusOK, say(text.Spanish, "page.notices_read"))
}
