package e2e_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/millrace/millrace/internal/text"
)

// axe finds what keeps people with other eyes, ears or hands from using a page. Source: axe-core 4.14.1 of npm,
// package/axe.min.js as it is.
//
//go:embed testdata/axe/axe.min.js
var axe string

// chromium is the one browser of all tests. end ends it.
var chromium = sync.OnceValue(func() (b struct {
	context.Context
	end func()
	err error
}) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("no-sandbox", os.Getuid() == 0)) // it refuses to work for root otherwise
	all, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(all)
	b.Context, b.end = ctx, func() { cancel(); stop() }
	if b.err = chromedp.Do(ctx); b.err != nil {
		b.err = fmt.Errorf("start Chromium (make chromium installs it): %w", b.err)
	}
	began = true
	return b
})

// began tells whether there is a browser to end.
var began bool

// window is a window of a browser of its own, without cookies at first. Whatever it meets that no page may have fails
// the test: errors of scripts, violations of the content policy, addresses of others.
type window struct {
	t    *testing.T
	ctx  context.Context
	base string // of the server
	lang text.Language
	mute bool // scripts do not run

	mu  sync.Mutex
	bad []string // what it met
}

// screen is what somebody looks at.
type screen struct {
	lang     text.Language // empty: English
	width    int64         // CSS pixels; 0: 1280
	dark     bool
	noScript bool
}

// open gives a window on the server.
func (s *server) open(t *testing.T, as screen) *window {
	t.Helper()
	b := chromium()
	if b.err != nil {
		t.Fatal(b.err)
	}
	ctx, cancel := chromedp.NewContext(b, chromedp.WithNewBrowserContext())
	w := &window{t: t, ctx: ctx, base: "http://" + s.addr, lang: text.English}
	if as.lang != "" {
		w.lang = as.lang
	}
	t.Cleanup(func() {
		if t.Failed() {
			w.leave()
		}
		cancel()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, b := range w.bad {
			t.Error(b)
		}
	})
	if err := chromedp.Do(ctx); err != nil { // opens it; the limit of any later call does not end it
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, w.listen); err != nil {
		t.Fatal(err)
	}
	w.do(tell(runtime.Enable, cdp.Empty{}), tell(log.Enable, cdp.Empty{}), tell(network.Enable, network.EnableParams{}),
		tell(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": string(w.lang)}}))
	w.become(as)
	return w
}

// become changes width, colours and whether scripts run.
func (w *window) become(as screen) {
	w.t.Helper()
	if as.width == 0 {
		as.width = 1280
	}
	w.mute = as.noScript
	scheme := "light"
	if as.dark {
		scheme = "dark"
	}
	w.do(
		tell(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: as.width, Height: 800, DeviceScaleFactor: 1, Mobile: as.width < 500}),
		tell(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: as.noScript}),
		tell(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}))
}

// tell is a command of the browser's protocol of which nothing is wanted back.
func tell[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// listen notes what a page may not do.
func (w *window) listen(e any) {
	var what string
	switch e := e.(type) {
	case *runtime.EventExceptionThrown:
		what = "a script failed: " + e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			what += " " + x.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			for _, a := range e.Args {
				what += " " + string(a.Value)
			}
			what = "the console says:" + what
		}
	case *log.EventEntryAdded:
		refusal := e.Entry.Source == log.EntrySourceNetwork && strings.Contains(e.Entry.Text, "status of 4") && !strings.Contains(e.Entry.URL, "/static/")
		if !refusal && (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning || e.Entry.Source == log.EntrySourceSecurity) {
			what = fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, w.base+"/") && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "about:") {
			what = "it asks for " + u
		}
	}
	if what != "" {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.bad = append(w.bad, what)
	}
}

// patience is how long a window waits for anything.
const patience = 30 * time.Second

// do does it, or fails the test.
func (w *window) do(actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		w.t.Fatal(err)
	}
}

// js evaluates an expression, which may be a promise, and gives its value.
func js[T any](w *window, expression string) T {
	w.t.Helper()
	v, err := try[T](w, expression)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// try is js for what may fail.
func try[T any](w *window, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// quoted is s as a string of JavaScript.
func quoted(s string) string {
	b, _ := json.Marshal(s) // a string has no error
	return string(b)
}

// says gives a sentence of the catalogue in the window's language.
func (w *window) says(key string, args ...any) string {
	p := text.Params{}
	for i := 0; i+1 < len(args); i += 2 {
		p[args[i].(string)] = args[i+1]
	}
	return text.T(w.lang, key, p)
}

// visit opens a page of the server by its path.
func (w *window) visit(path string) {
	w.t.Helper()
	w.do(chromedp.Navigate(w.base + path))
}

// path is where the window is, below the server's address.
func (w *window) path() string {
	w.t.Helper()
	return strings.TrimPrefix(js[string](w, "location.href"), w.base)
}

// until waits until an expression is true. A page that is just going counts as not yet.
func (w *window) until(what, expression string) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		ok, err := try[bool](w, "Boolean("+expression+")")
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: %s does not come (%v); the page says:\n%s", w.path(), what, err, w.read())
		}
	}
}

// sees waits until the page shows each of these texts.
func (w *window) sees(texts ...string) {
	w.t.Helper()
	for _, s := range texts {
		w.until(fmt.Sprintf("%q", s), shownText+".includes("+quoted(flat(s))+")")
	}
}

// shownText is what a page shows, on one line.
const shownText = `document.body.innerText.replace(/\s+/g, " ")`

// flat is s on one line.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }

// read is what the page shows.
func (w *window) read() string {
	w.t.Helper()
	return js[string](w, "document.body.innerText")
}

// at waits until the window's path is one that matches.
func (w *window) at(pattern string) {
	w.t.Helper()
	w.until("a page at "+pattern, `document.readyState === "complete" && `+"new RegExp("+quoted(pattern)+").test(location.pathname + location.search)")
}

// control finds what can be pressed by the words on it: a button, link, or what opens something.
func control(words string) string {
	return fmt.Sprintf(`(() => { const words = %s, says = (e) => (e.getAttribute("aria-label") ?? e.innerText).replace(/\s+/g, " ").trim() === words;
	  return [...document.querySelectorAll("main a, main button, main summary, a, button, summary")].find((e) => says(e) && e.checkVisibility() && !e.closest("[aria-hidden=true]")); })()`, quoted(flat(words)))
}

// press presses a button or link by the words on it, with the mouse.
func (w *window) press(words string) {
	w.t.Helper()
	w.until(fmt.Sprintf("something to press with the words %q", words), control(words))
	w.click(control(words))
}

// click presses the middle of an element.
func (w *window) click(element string) {
	w.t.Helper()
	at := js[[]float64](w, "(() => { const e = "+element+`; e.scrollIntoView({block: "center"}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`)
	w.do(chromedp.MouseClickXY(at[0], at[1]))
}

// fill types into the field of that name instead of what stands there.
func (w *window) fill(name, value string) {
	w.t.Helper()
	field := "document.getElementsByName(" + quoted(name) + ")[0]"
	w.until("a field "+name, field)
	js[bool](w, "(() => { const f = "+field+"; f.focus(); f.select(); return true; })()")
	w.keys(kb.Backspace, value)
	if got := js[string](w, field+".value"); got != value {
		w.t.Fatalf("the field %s holds %q instead of %q", name, got, value)
	}
}

// choose sets the radio button or check box of that name and value.
func (w *window) choose(name, value string) {
	w.t.Helper()
	box := fmt.Sprintf("document.querySelector(%s)", quoted(fmt.Sprintf("input[name=%q][value=%q]", name, value)))
	w.until("a box "+name+" "+value, box)
	if !js[bool](w, box+".checked") {
		w.click(box)
	}
	if !js[bool](w, box+".checked") {
		w.t.Fatalf("the box %s %s cannot be set", name, value)
	}
}

// keys presses keys one after the other.
func (w *window) keys(keys ...string) {
	w.t.Helper()
	for _, k := range keys {
		w.do(chromedp.KeyEvent(k))
	}
}

// sound says everything that is wrong with the page as such: what axe finds, what has no words, what is too wide.
func (w *window) sound() {
	w.t.Helper()
	for _, b := range js[[]string](w, soundness) {
		w.t.Errorf("%s (%s): %s", w.path(), w.lang, b)
	}
	if w.mute { // axe is a script
		return
	}
	if !js[bool](w, "Boolean(window.axe)") {
		js[bool](w, axe+"; true")
	}
	for _, b := range js[[]string](w, violations) {
		w.t.Errorf("%s (%s): %s", w.path(), w.lang, b)
	}
}

// soundness lists what every page must have and lacks.
const soundness = `(() => {
  const bad = [], html = document.documentElement, all = (s) => [...document.querySelectorAll(s)];
  if (!html.lang) bad.push("no language");
  if (all("h1").length !== 1) bad.push(all("h1").length + " h1");
  if (!/\S.* · Millrace$/.test(document.title)) bad.push("the title is " + document.title);
  if (all("main").length !== 1) bad.push("no main");
  for (const m of document.body.innerText.matchAll(/\b(page|api|field|drop|notice)\.[a-z_]+\b|<no value>|\{[a-z_]+\}|undefined|ZgotmplZ|\bNaN\b/g)) bad.push("the text " + m[0]);
  if (document.scrollingElement.scrollWidth > innerWidth) {
    const wide = all("body *").filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest("pre, details:not([open]) > :not(summary)"));
    bad.push("wider than the window by " + (document.scrollingElement.scrollWidth - innerWidth) + " px: " + wide.slice(0, 5).map((e) => e.outerHTML.slice(0, 120)).join(" | "));
  }
  for (const c of all(".card.flush, .table td")) if (c.scrollWidth > c.clientWidth + 1 && c.checkVisibility()) bad.push("cut off by " + (c.scrollWidth - c.clientWidth) + " px: " + c.innerText.slice(0, 120));
  for (const a of all(".rail li a")) if (innerWidth >= 800 && a.offsetHeight > 40) bad.push("broken in the rail: " + a.innerText);
  for (const i of all("input:not([type=hidden]), select, textarea")) if (!i.labels?.length && !i.getAttribute("aria-label") && !i.getAttribute("aria-labelledby")) bad.push("no label: " + i.outerHTML);
  const ids = all("[id]").map((e) => e.id);
  for (const id of new Set(ids.filter((x, i) => ids.indexOf(x) !== i))) bad.push("the id " + id + " twice");
  return bad;
})()`

// violations are what axe finds, rule by rule.
const violations = `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"] }).then((r) =>
  r.violations.map((v) => "axe " + v.id + ": " + v.help + ": " + v.nodes.slice(0, 4).map((n) => n.html.slice(0, 200) + " " + n.any.concat(n.all, n.none).map((c) => c.message).join("; ")).join(" | ")))`

// leave says, of a test that failed, where the window was and what it showed.
func (w *window) leave() {
	if shown, err := try[string](w, `location.href + ", which says:\n" + document.body.innerText`); err == nil {
		w.t.Logf("the window (%s) was at %s", w.lang, shown)
	}
}

// picture gives the whole page as a PNG.
func (w *window) picture() []byte {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		w.t.Fatal(err)
	}
	return png
}

// links gives the pages of the server that this one leads to, without their anchors.
func (w *window) links() []string {
	w.t.Helper()
	var paths []string
	for _, href := range js[[]string](w, `[...document.querySelectorAll("a[href]")].map((a) => a.href)`) {
		u, err := url.Parse(href)
		if err != nil || !strings.HasPrefix(href, w.base+"/") {
			continue
		}
		paths = append(paths, u.RequestURI())
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// firstLink is the link by which the first administrator comes in, as the server printed it.
func (s *server) firstLink(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`link=\S*(/start/\S+)`).FindStringSubmatch(s.output())
	if m == nil {
		t.Fatalf("no link is printed:\n%s", s.output())
	}
	return m[1]
}
