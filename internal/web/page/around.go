package page

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/text"
)

// languageCookie is the language that a visitor chose before signing in.
const languageCookie = "millrace_language"

// rail is where a workspace's pages are, in the order in which they are listed.
var rail = []struct{ key, path, icon string }{
	{"page.rail_currents", "/currents", "waves"},
}

// frame gives what stands around a page with that title. here is the path of its part of the rail; empty: none.
func (v *visit) frame(title, here string) frame {
	f := frame{Title: title, Language: v.languages()}
	if v.me == nil {
		f.Alone = true
		return f
	}
	f.Told = v.told()
	f.Person = menu{Text: v.me.Email, Icon: "user", Items: []menuItem{{Text: v.t("page.sign_out"), Href: "/sign-out", Post: true, Icon: "log-out"}}}
	spaces := menu{Text: v.t("page.workspaces"), Icon: "chevron-down", Left: true}
	for _, w := range v.me.Workspaces {
		mine := v.place != nil && w.Workspace == v.place.Workspace
		item := menuItem{Text: w.Name, Href: "/w/" + w.Workspace + "/currents", Here: mine}
		if mine {
			item.Icon = "check"
		}
		spaces.Items = append(spaces.Items, item)
	}
	if v.place != nil {
		spaces.Text = v.place.Name
		for _, r := range rail {
			f.Rail = append(f.Rail, railItem{v.t(r.key), v.path(r.path), r.icon, r.path == here})
		}
	}
	if len(spaces.Items) > 0 {
		f.Workspaces = &spaces
	}
	return f
}

// path gives the address of a page of the visit's workspace.
func (v *visit) path(path string) string { return "/w/" + url.PathEscape(v.place.Workspace) + path }

// languages gives the menu that changes the language. Who is not signed in asks for the same page anew, by an address
// that is relative: that of the page may be a secret, which works once.
func (v *visit) languages() menu {
	m := menu{Text: strings.ToUpper(string(v.lang[:2])), Label: v.t("page.language"), Icon: "globe"}
	for _, l := range text.Languages() {
		item := menuItem{Text: languageNames[l], Here: l == v.lang}
		if v.me == nil || v.r.PathValue("token") != "" {
			q := v.r.URL.Query()
			q.Set(languageParam, string(l))
			item.Href = "?" + q.Encode()
		} else {
			item.Post, item.Href, item.Name, item.Value = true, "/language?next="+url.QueryEscape(v.back()), "language", string(l)
		}
		m.Items = append(m.Items, item)
	}
	return m
}

// languageParam is the language of one request; it is kept for the next ones.
const languageParam = "language"

// wish gives the language that the visitor has asked for: now, or earlier.
func (v *visit) wish() (text.Language, bool) {
	if l, ok := text.Parse(v.r.URL.Query().Get(languageParam)); ok {
		v.keepLanguage(l)
		return l, true
	}
	k, err := v.r.Cookie(languageCookie)
	if err != nil {
		return "", false
	}
	return text.Parse(k.Value)
}

func (v *visit) keepLanguage(l text.Language) {
	http.SetCookie(v.w, &http.Cookie{Name: languageCookie, Value: string(l), Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// languageNames are the languages as their readers call them.
var languageNames = map[text.Language]string{text.English: "English", text.Portuguese: "Português", text.Spanish: "Español"}

// chooseLanguage keeps a member's choice.
func chooseLanguage(v *visit) error {
	l, ok := text.Parse(v.form("language"))
	if !ok {
		return nothingHere(v)
	}
	chosen := string(l)
	if _, err := v.api.UpdateMe(v, client.MeEdit{Language: &chosen}, ""); err != nil {
		return v.said(err)
	}
	v.redirect(v.r.URL.Query().Get("next"))
	return nil
}
