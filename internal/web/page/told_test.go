package page

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/millrace/millrace/internal/text"
)

func TestWhatCameOfAFormIsToldOnceAndInTheLanguageOfThePage(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("es")
	tell := func(key string, args ...string) {
		a := httptest.NewRecorder()
		v := &visit{w: a, r: httptest.NewRequest(http.MethodPost, "/", nil)}
		must(t, v.done(w.at("/currents"), key, args...))
		if a.Code != http.StatusSeeOther || a.Header().Get("Location") != w.at("/currents") {
			t.Fatalf("%d to %q", a.Code, a.Header().Get("Location"))
		}
		for _, k := range a.Result().Cookies() {
			b.cookies[k.Name] = k.Value
		}
	}
	said := say(text.Spanish, "page.policy_for", "bucket", "&lt;acme&gt;")
	tell("page.policy_for", "bucket", "<acme>")
	b.get(w.at("/currents")).has(t, http.StatusOK, said)
	b.get(w.at("/currents")).lacks(t, said)
	tell("no.such_sentence")
	b.get(w.at("/currents")).lacks(t, "no.such_sentence")
}

func TestAFormThatIsSentTwiceMakesOneThing(t *testing.T) {
	w := newWorld(t)
	b := w.signedIn("en")
	send := func(once, bucket string) string {
		p := b.post(w.at("/currents/new"), "once", once, "name", "warehouse", "contact_email", "data@acme.example", "method", "key", "destination.bucket", bucket, "destination.folder", "currents",
			"destination.access_key_id", "AKIAIOSFODNN7EXAMPLE", "destination.secret_access_key", "s", "codec", "deflate", "flush.interval", "5m", "flush.events", "15000", "all", "on")
		p.has(t, http.StatusOK, `data-watch="1"`)
		return p.at
	}
	first := send("one", "acme-currents")
	if again := send("one", "acme-currents"); again != first {
		t.Errorf("sent twice, it led to %s and %s", first, again)
	}
	if other := send("one", "acme-others"); other == first {
		t.Error("what was typed anew was not taken")
	}
	if other := send("two", "acme-currents"); other == first {
		t.Error("another form is the same request")
	}
}
