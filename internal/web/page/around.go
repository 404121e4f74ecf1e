package page

import (
	"net/http"
	"net/url"
	"strings"

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

// languages gives the menu that changes the language.
func (v *visit) languages() menu {
	m := menu{Text: strings.ToUpper(string(v.lang[:2])), Label: v.t("page.language"), Icon: "globe"}
	for _, l := range text.Languages() {
		m.Items = append(m.Items, menuItem{Text: languageNames[l], Post: true, Href: "/language?next=" + url.QueryEscape(v.back()), Name: "language", Value: string(l), Here: l == v.lang})
	}
	return m
}

// languageNames are the languages as their readers call them.
var languageNames = map[text.Language]string{text.English: "English", text.Portuguese: "Português", text.Spanish: "Español"}

// chooseLanguage keeps a visitor's choice: with the member, or in a cookie.
func chooseLanguage(v *visit) error {
	l, ok := text.Parse(v.form("language"))
	if !ok {
		return nothingHere(v)
	}
	http.SetCookie(v.w, &http.Cookie{Name: languageCookie, Value: string(l), Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	if v.me != nil {
		chosen := string(l)
		if _, err := v.api.UpdateMe(v, meEdit{Language: &chosen}, ""); err != nil {
			return v.said(err)
		}
	}
	v.redirect(v.r.URL.Query().Get("next"))
	return nil
}
