package page

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/text"
)

func TestEveryComponentIsShownInEveryLanguage(t *testing.T) {
	l, err := newLook()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range text.Languages() {
		w := httptest.NewRecorder()
		l.show(w, httptest.NewRequest("GET", "/", nil), lang, http.StatusOK, "components", components(time.Unix(1, 0)))
		body := w.Body.String()
		for _, want := range []string{`<html lang="` + string(lang) + `">`, `id="main"`, `aria-current="page"`, "12,480"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: the page lacks %q", lang, want)
			}
		}
		for _, never := range []string{"ZgotmplZ", "<no value>", "style=", "onclick", ">page."} {
			if strings.Contains(body, never) {
				t.Errorf("%s: the page holds %q", lang, never)
			}
		}
	}
}

func TestAssetsAreKeptForEverUnderTheHashOfWhatTheyAre(t *testing.T) {
	l, err := newLook()
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range l.assets {
		w := httptest.NewRecorder()
		l.serveAsset(w, httptest.NewRequest("GET", a.href, nil))
		if w.Code != 200 || w.Body.Len() != len(a.body) || a.kind == "" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %d bytes, %q", name, w.Code, w.Body.Len(), a.kind)
		}
	}
	w := httptest.NewRecorder()
	l.serveAsset(w, httptest.NewRequest("GET", "/static/000000000000/style.css", nil))
	if w.Code != 404 {
		t.Errorf("another hash: %d", w.Code)
	}
}

func TestGridlinesStandAtRoundNumbers(t *testing.T) {
	for top, want := range map[int64]int64{0: 1, 3: 1, 4: 1, 5: 2, 12480: 5000, 20000: 5000, 20001: 10000, 99: 50} {
		if got := round(top); got != want || got*gridlines < top {
			t.Errorf("up to %d: steps of %d, want %d", top, got, want)
		}
	}
}

func TestPagesAndAssetsGoOverTheWireInGzipWhereBrowsersReadIt(t *testing.T) {
	l, err := newLook()
	if err != nil {
		t.Fatal(err)
	}
	plain := func(r *http.Request) []byte {
		w := httptest.NewRecorder()
		if strings.HasPrefix(r.URL.Path, assetPrefix) {
			l.serveAsset(w, r)
		} else {
			l.show(w, r, text.English, http.StatusOK, "components", components(time.Unix(1, 0)))
		}
		packed := w.Header().Get("Content-Encoding") == "gzip"
		if want := r.Header.Get("X-Packed") == "yes"; packed != want {
			t.Errorf("%s, Accept-Encoding %q: in gzip: %v", r.URL.Path, r.Header.Get("Accept-Encoding"), packed)
		}
		if !strings.Contains(strings.Join(w.Header().Values("Vary"), ", "), "Accept-Encoding") {
			t.Errorf("%s: caches are not told that the encoding depends on who asks", r.URL.Path)
		}
		if !packed {
			return w.Body.Bytes()
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, at := range []string{"/", l.assets["style.css"].href} {
		ask := func(accept, packed string) *http.Request {
			r := httptest.NewRequest("GET", at, nil)
			r.Header.Set("Accept-Encoding", accept)
			r.Header.Set("X-Packed", packed)
			return r
		}
		want := plain(ask("", "no"))
		for accept, packed := range map[string]string{"gzip": "yes", "br, GZIP;q=0.5": "yes", "gzip;q=0": "no", "gzip; q=0.0, br": "no", "br": "no", "xgzip": "no"} {
			if got := plain(ask(accept, packed)); !bytes.Equal(got, want) {
				t.Errorf("%s, Accept-Encoding %q: %d bytes instead of %d", at, accept, len(got), len(want))
			}
		}
	}
}

func TestPagesAboutOneThingHaveTheirOwnTitles(t *testing.T) {
	w := newWorld(t)
	at := w.at("/currents/" + w.launch("ware"))
	b := w.signedIn("en")
	for path, want := range map[string]string{"": "ware", "/files": "Files · ware", "/settings": "Settings · ware"} {
		b.get(at+path).has(t, http.StatusOK, "<title>"+want+" · Millrace</title>")
	}
	// A form that comes back says so in its title, and leads to what is wrong.
	b.post("/me/tokens/new", "name", "", "days", "30").has(t, http.StatusUnprocessableEntity, "<title>Error: Create token", `<li><a href="#name">Name: `)
	b.get("/nothing").lacks(t, "<title>Error")
}
