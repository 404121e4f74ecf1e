package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
	"github.com/millrace/millrace/internal/web"
)

// visit is one request for a page: who visits, and what their page is made with.
type visit struct {
	context.Context
	p    *pages
	w    http.ResponseWriter
	r    *http.Request
	api  *client.Client // asks as the browser that visits; its errors go through v.said
	lang text.Language
	zone *time.Location
	now  time.Time

	me       *client.Me    // nil: nobody is signed in
	place    *client.Place // the workspace of the address; nil: it names none
	refusal  func() error  // the API's last
	rules    *client.Rules // nil: not asked for yet, see installed
	kept     *keptForm     // what was typed into the form of this page before the session ended; nil: nothing
	ended    []banner      // what became of what was sent when the session had ended, where it does not come back
	astray   bool          // the address asked for a part of a list that is not there, see elsewhere
	remedies int           // how many the page has, whose names tell them apart
}

func (p *pages) newVisit(w http.ResponseWriter, r *http.Request) *visit {
	v := &visit{p: p, w: w, r: r, lang: text.Match(r.Header.Get("Accept-Language")), zone: time.UTC, now: p.deps.Now()}
	if l, ok := v.wish(); ok {
		v.lang = l
	}
	v.Context, v.refusal = web.CatchRefusal(r.Context())
	v.api = client.New("http://api", "")
	v.api.Once = true
	v.api.HTTP = &http.Client{Transport: inside{v}}
	return v
}

// enter finds out who visits, and where. Who has to sign in first comes back afterwards.
func (v *visit) enter(open bool) error {
	me, err := v.api.GetMe(v)
	switch {
	case err == nil:
		v.know(me)
		v.comesBack()
	case client.HasCode(err, string(fault.Unauthorized)):
		if open {
			return nil
		}
		next := v.back()
		if v.r.Method == http.MethodPost {
			next = withKept(next, v.p.kept.keep(v.r, v.now))
		}
		v.redirect("/sign-in?next=" + url.QueryEscape(next))
		return errAnswered
	default:
		return v.said(err)
	}
	id := v.r.PathValue("workspace")
	if id == "" {
		return nil
	}
	if v.place = placed(me, id); v.place != nil {
		return nil
	}
	if !me.Installation {
		return nothingHere(v)
	}
	w, err := v.api.GetWorkspace(v, id) // installation administrators see all of them, by name too
	if err != nil {
		return v.said(err)
	}
	if v.place = placed(me, w.ID); v.place == nil {
		v.place = &client.Place{Workspace: w.ID, Name: w.Name, Role: "administrator", TimeZone: w.TimeZone}
	}
	return nil
}

// placed gives what a member is in a workspace; nil if they are none of its members.
func placed(me client.Me, id string) *client.Place {
	for i := range me.Workspaces {
		if me.Workspaces[i].Workspace == id {
			return &me.Workspaces[i]
		}
	}
	return nil
}

// know takes up who visits, and how they want to be addressed.
func (v *visit) know(me client.Me) {
	v.me = &me
	if l, ok := text.Parse(me.Language); ok && v.r.URL.Query().Get(languageParam) == "" {
		v.lang = l
	}
	if z, err := time.LoadLocation(me.TimeZone); err == nil {
		v.zone = z
	}
}

// back is where a visitor returns to after signing in: where they were going, if that was to look, else where they were.
func (v *visit) back() string {
	if v.r.Method != http.MethodGet {
		if at, err := url.Parse(v.r.Referer()); err == nil && at.Host == v.r.Host {
			return local(at.RequestURI())
		}
		// Not every browser says where a form stood. Most are sent to the address of their own page, or to one below it.
		at := v.r.URL.Path
		for at != "/" && !v.p.shows(at) {
			at = path.Dir("/" + at)
		}
		return at
	}
	return v.r.URL.RequestURI()
}

// errAnswered ends a visit that is answered already.
var errAnswered = errors.New("answered")

// said gives, of an error of v.api, what the API refused with: it can be said in every language. Others stay.
func (v *visit) said(err error) error {
	if _, ok := errors.AsType[*client.Error](err); ok {
		if refused := v.refusal(); refused != nil {
			return refused
		}
	}
	return err
}

// redirect sends the browser to another page of ours.
func (v *visit) redirect(to string) { http.Redirect(v.w, v.r, local(to), http.StatusSeeOther) }

// local gives the address if it is one of this server, and the first page for any other: addresses come from outside.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}

// t gives a sentence in the visitor's language; args are names and values in turn.
func (v *visit) t(key string, args ...any) string { return say(v.lang, key, args...) }

// show answers with a page.
func (v *visit) show(status int, name string, data any) {
	if v.kept != nil {
		data = v.restored(data)
	}
	if v.astray && status == http.StatusOK {
		status = http.StatusNotFound
	}
	v.p.look.show(v.w, v.r, v.lang, status, name, data)
}

// form gives a field of the form that was sent.
func (v *visit) form(name string) string { return v.r.PostFormValue(name) }

// inside brings what a page asks to the API of this process.
type inside struct{ v *visit }

// carried are the headers of the visit that the API needs to know who asks, and whether one of our pages did.
var carried = []string{"Cookie", "Origin", "Sec-Fetch-Site", "User-Agent"}

// RoundTrip has the API answer, and gives the browser the cookies that it sets.
func (t inside) RoundTrip(r *http.Request) (*http.Response, error) {
	q := r.Clone(r.Context())
	if q.Body == nil {
		q.Body = http.NoBody
	}
	visited := t.v.r
	q.RequestURI, q.RemoteAddr, q.Host, q.TLS = q.URL.RequestURI(), visited.RemoteAddr, visited.Host, visited.TLS
	for _, name := range carried {
		if values := visited.Header.Values(name); len(values) > 0 {
			q.Header[name] = values
		}
	}
	q.Header.Set("Accept-Language", string(t.v.lang))
	if err := t.v.once(q); err != nil {
		return nil, err
	}
	a := &recorded{header: http.Header{}, status: http.StatusOK}
	t.v.p.deps.API.ServeHTTP(a, q)
	for _, k := range a.header.Values("Set-Cookie") {
		t.v.w.Header().Add("Set-Cookie", k)
	}
	return &http.Response{
		StatusCode: a.status, Header: a.header, Body: io.NopCloser(&a.body), Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(a.body.Len()),
	}, nil
}

// onceField is the field that tells one rendering of a form from another.
const onceField = "once"

// once has the API take a form that was sent twice, as it stands, for the same request: it makes one thing, and gives the
// same answer again. A form that was changed in between is another request.
func (v *visit) once(q *http.Request) error {
	form := v.form(onceField)
	if form == "" || q.Header.Get(onceHeader) == "" {
		return nil
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return err
	}
	q.Body = io.NopCloser(bytes.NewReader(body))
	sum := sha256.Sum256(append([]byte(form+"\n"), body...))
	q.Header.Set(onceHeader, hex.EncodeToString(sum[:]))
	return nil
}

// onceHeader is what client gives each call that makes something.
const onceHeader = "Idempotency-Key"

// recorded is an answer of the API.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recorded) Header() http.Header         { return a.header }
func (a *recorded) WriteHeader(status int)      { a.status = status }
func (a *recorded) Write(b []byte) (int, error) { return a.body.Write(b) }
