package page

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// keptFor is for how long a form waits for whoever sent it to sign in again.
	keptFor = 15 * time.Minute
	// maxKept and maxKeptForm bound the memory of forms that wait: 4 MiB. Beyond it the one that has waited longest goes.
	maxKept, maxKeptForm = 64, 64 << 10
)

// keptParam is the field of an address that names a form that waits.
const keptParam = "kept"

// keptForms are forms that came from browsers whose session had ended, until they have signed in again. They wait here
// and neither in a cookie, which is too small, nor sealed in the page that signs in, which a second factor and a provider
// elsewhere leave. What they are good for is little: the name is drawn at random and goes to the browser alone that sent
// the form, whoever opens it has to be let in to the page first, and no secret is among it. A process that ends forgets
// them. Safe for concurrent use.
type keptForms struct {
	mu  sync.Mutex
	all map[string]keptForm
}

// keptForm is one of them.
type keptForm struct {
	action string // path that it was sent to
	values url.Values
	until  time.Time
}

// origins tells forms of our pages from those of others: nobody else fills a form in.
var origins = http.NewCrossOriginProtection()

// keep takes up the form that r sends, and gives the name by which it is found; empty if it cannot be kept. One without a
// field, such as a button, or with nothing but secrets is kept to say that it was not done. It is for forms of workspaces and of the installation: those that sign in, or change what does, hold nothing but secrets.
func (k *keptForms) keep(r *http.Request, now time.Time) (name string) {
	session := slices.ContainsFunc(r.Cookies(), func(c *http.Cookie) bool { return isSession(c.Name) })
	if !session || r.Header.Get("X-Part") != "" || !strings.HasPrefix(r.URL.Path, "/w/") && !strings.HasPrefix(r.URL.Path, "/installation/") || origins.Check(r) != nil {
		return ""
	}
	_ = r.PostFormValue(onceField) // reads the form; of one that cannot be read there is what came
	values, size := url.Values{}, 0
	for field, all := range r.PostForm {
		if field == onceField || isSecret(field) {
			continue
		}
		values[field] = all
		for _, v := range all {
			size += len(field) + len(v)
		}
	}
	if size > maxKeptForm {
		return ""
	}
	name = rand.Text()
	k.mu.Lock()
	defer k.mu.Unlock()
	oldest := ""
	for n, f := range k.all {
		if now.After(f.until) {
			delete(k.all, n)
		} else if oldest == "" || f.until.Before(k.all[oldest].until) {
			oldest = n
		}
	}
	if len(k.all) >= maxKept {
		delete(k.all, oldest)
	}
	k.all[name] = keptForm{r.URL.Path, values, now.Add(keptFor)}
	return name
}

// isSecret reports whether a field of a form holds what is typed again rather than kept.
func isSecret(field string) bool {
	return strings.Contains(field, "secret") || strings.Contains(field, "password")
}

// find gives the form that an address names; ok is false if it does not wait any more.
func (k *keptForms) find(at url.Values, now time.Time) (f keptForm, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, ok = k.all[at.Get(keptParam)]
	return f, ok && !now.After(f.until)
}

// comesBack takes up what was sent when the session had ended, if the address says so.
func (v *visit) comesBack() {
	if v.r.Method != http.MethodGet || !v.r.URL.Query().Has(keptParam) {
		return
	}
	switch f, ok := v.p.kept.find(v.r.URL.Query(), v.now); {
	case !ok:
		v.ended = []banner{{Tone: warn, Icon: "triangle-alert", Title: v.t("page.unkept"), Texts: []string{v.t("page.unkept_text", "time", v.lang.Duration(keptFor))}}}
	case len(f.values) == 0:
		v.ended = []banner{{Tone: warn, Icon: "triangle-alert", Title: v.t("page.undone"), Texts: []string{v.t("page.undone_text")}}}
	default:
		v.kept, v.r.PostForm = &f, f.values
	}
}

// withKept gives an address that names a form which waits.
func withKept(address, name string) string {
	u, err := url.Parse(address)
	if name == "" || err != nil {
		return address
	}
	q := u.Query()
	q.Set(keptParam, name)
	u.RawQuery = q.Encode()
	return u.RequestURI()
}

// restored gives a page whose form is filled in with what was typed before the session ended, and says so.
func (v *visit) restored(data any) any {
	switch p := data.(type) {
	case formPage:
		if v.fill(&p.Form) {
			p.Frame.Told = append(p.Frame.Told, v.keptSays())
		}
		return p
	case sectionsPage:
		for i := range p.Sections {
			if f := p.Sections[i].Form; f != nil && v.fill(f) {
				p.Frame.Told = append(p.Frame.Told, v.keptSays())
			}
		}
		return p
	}
	return data
}

func (v *visit) keptSays() banner {
	return banner{Tone: info, Icon: "info", Title: v.t("page.kept"), Texts: []string{v.t("page.kept_text")}}
}

// fill fills a form in with what was kept, if it is the one that was sent.
func (v *visit) fill(f *form) bool {
	to := v.r.URL.Path
	if at, err := url.Parse(f.Action); err == nil && at.Path != "" {
		to = at.Path
	}
	if to != v.kept.action {
		return false
	}
	for i, h := range f.Hidden { // the version that it was meant for above all
		if v.kept.values.Has(h.Name) {
			f.Hidden[i].Value = v.kept.values.Get(h.Name)
		}
	}
	v.fillParts(f.Parts)
	return true
}

func (v *visit) fillParts(parts []part) {
	for i := range parts {
		p := &parts[i]
		if p.Field != nil {
			v.fillField(p.Field)
		}
		for j := range p.Pair {
			v.fillField(&p.Pair[j])
		}
		if c := p.Choices; c != nil && v.kept.values.Has(c.Name) {
			for j := range c.Options {
				c.Options[j].Chosen = c.Options[j].Value == v.kept.values.Get(c.Name)
			}
		}
		if p.Check != nil {
			p.Check.On = v.wasOn(*p.Check)
		}
		if p.Tree != nil {
			v.fillTree(p.Tree)
		}
		if p.Fold != nil {
			v.fillParts(p.Fold.Parts)
		}
		if p.Live != nil {
			v.fillParts(p.Live.Parts)
		}
		v.fillParts(p.Parts)
	}
}

func (v *visit) fillField(f *field) {
	if f.Type == "password" || !v.kept.values.Has(f.Name) {
		return
	}
	f.Value = v.kept.values.Get(f.Name)
	for i := range f.Options {
		f.Options[i].Chosen = f.Options[i].Value == f.Value
	}
}

// wasOn reports whether a box was on: browsers send those alone that are.
func (v *visit) wasOn(c check) bool {
	if c.Value == "" {
		return v.kept.values.Get(c.Name) != ""
	}
	return slices.Contains(v.kept.values[c.Name], c.Value)
}

func (v *visit) fillTree(t *tree) {
	for i := range t.Groups {
		g := &t.Groups[i]
		here := 0
		whole := g.Name != "" && slices.Contains(v.kept.values[g.Name], g.Value)
		for j := range g.Items {
			if g.Items[j].On = whole || v.wasOn(g.Items[j]); g.Items[j].On {
				here++
			}
		}
		g.All, g.Open = here == len(g.Items), here > 0 && here < len(g.Items)
	}
}

// keptOr gives the form of a Current as it was sent before the session ended, or else f.
func (v *visit) keptOr(f currentForm) currentForm {
	if v.kept == nil {
		return f
	}
	return v.typed()
}
