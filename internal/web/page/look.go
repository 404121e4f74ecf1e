package page

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/millrace/millrace/internal/text"
)

//go:embed template static
var files embed.FS

// common are the templates that every page is made with; each other one in the folder is a page, which defines "main".
var common = []string{"template/frame.html", "template/component.html"}

// look is how pages are made: their templates, once for each language, and the files that browsers keep.
type look struct {
	pages  map[text.Language]map[string]*template.Template // by name, without folder and extension
	assets map[string]asset                                // by the name that pages use
}

// asset is a file for browsers. Its address holds a hash of what it is, so it can be kept for ever.
type asset struct {
	href   string
	body   []byte
	packed []byte // body in gzip
	kind   string // content type
}

// assetPrefix is where assets are found.
const assetPrefix = "/static/"

// kinds are the content types of assets, by extension.
var kinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// newLook reads every template. An error is one of this program's making.
func newLook() (*look, error) {
	l := &look{pages: map[text.Language]map[string]*template.Template{}, assets: map[string]asset{}}
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		b, err := files.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		l.assets[e.Name()] = asset{assetPrefix + hex.EncodeToString(sum[:6]) + "/" + e.Name(), b, pack(b, gzip.BestCompression), kinds[path.Ext(e.Name())]}
	}
	names, err := fs.Glob(files, "template/*.html")
	if err != nil {
		return nil, err
	}
	for _, lang := range text.Languages() {
		base, err := template.New("").Funcs(l.funcs(lang)).ParseFS(files, common...)
		if err != nil {
			return nil, err
		}
		l.pages[lang] = map[string]*template.Template{}
		for _, n := range names {
			if n == common[0] || n == common[1] {
				continue
			}
			t, err := base.Clone()
			if err == nil {
				t, err = t.ParseFS(files, n)
			}
			if err != nil {
				return nil, err
			}
			l.pages[lang][strings.TrimSuffix(path.Base(n), ".html")] = t
		}
	}
	return l, nil
}

// funcs are what templates call.
func (l *look) funcs(lang text.Language) template.FuncMap {
	return template.FuncMap{
		"lang":     func() string { return string(lang) },
		"t":        func(key string, args ...any) string { return say(lang, key, args...) },
		"once":     rand.Text,
		"static":   func(name string) string { return l.assets[name].href },
		"stepIcon": func(state string) string { return stepIcons[state] },
		"stepWord": func(state string) string { return say(lang, stepWords[state]) },
	}
}

// stepIcons say what became of a step.
var stepIcons = map[string]string{"passed": "circle-check", "failed": "circle-x", "trying": "loader-circle", "waiting": "circle-dashed", "skipped": "circle-minus"}

// stepWords say it to who does not see the icon.
var stepWords = map[string]string{"passed": "page.step_passed", "failed": "page.step_failed", "trying": "page.step_trying", "waiting": "page.step_waiting", "skipped": "page.step_skipped"}

// say gives a sentence of the catalogue; args are names and values in turn.
func say(lang text.Language, key string, args ...any) string {
	p := text.Params{}
	for i := 0; i+1 < len(args); i += 2 {
		p[fmt.Sprint(args[i])] = args[i+1]
	}
	return text.T(lang, key, p)
}

// policy is what pages may load: what stands beside them, and nothing else. Templates have no script and no style in
// line.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// show answers with a page. data is a struct with the field Frame.
func (l *look) show(w http.ResponseWriter, r *http.Request, lang text.Language, status int, name string, data any) {
	t := l.pages[lang][name]
	if t == nil {
		panic("page: there is no template " + name)
	}
	var b bytes.Buffer // whole, or not at all
	shown := struct {
		Page  any
		Wrong bool // what was sent is shown again, with what was wrong with it
	}{data, status >= http.StatusBadRequest && name != "notice"}
	if err := t.ExecuteTemplate(&b, "document", shown); err != nil {
		panic(fmt.Errorf("page: template %s: %w", name, err))
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Language", string(lang))
	h.Set("Referrer-Policy", "same-origin") // so that who has to sign in comes back to the form that they sent, see visit.back
	h.Add("Vary", "Accept-Language, Cookie")
	body := b.Bytes()
	if takesGzip(h, r) {
		body = pack(body, gzip.DefaultCompression)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a browser that is gone is no error of ours
}

// serveAsset answers the addresses below assetPrefix.
func (l *look) serveAsset(w http.ResponseWriter, r *http.Request) {
	a := l.assets[path.Base(r.URL.Path)]
	if a.href != r.URL.Path {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	body := a.body
	if takesGzip(h, r) {
		body = a.packed
	}
	_, _ = w.Write(body) // as in show
}
