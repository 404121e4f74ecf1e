package page

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/text"
)

// languageCookie is the language that a visitor chose before signing in.
const languageCookie = "millrace_language"

// railRow is a line of a rail.
type railRow struct{ key, path, icon string }

// rail is where a workspace's pages are, in the order in which they are listed.
var rail = []railRow{
	{"page.home", homeHere, "gauge"},
	{"page.rail_currents", "/currents", "waves"},
	{"page.rail_partners", "/partners", "puzzle"},
	{"page.rail_exports", exportsHere, "download"},
	{"page.rail_segments", "/segments", "layers-2"},
	{"page.people", personsHere, "users"},
	{"page.rail_campaigns", campaigns.path, "megaphone"},
	{"page.rail_events", "/events", "activity"},
	{"page.rail_settings", "/settings", "settings"},
}

// rails are those of pages that belong to no workspace, by where their addresses begin.
var rails = []struct {
	path string
	rows []railRow
}{
	{"/me", []railRow{
		{"page.me_profile", "/me", "user"}, {"page.me_security", "/me/security", "shield-check"}, {"page.me_tokens", "/me/tokens", "key-round"},
		{"page.workspaces", "/workspaces", "building-2"},
	}},
	{"/installation", []railRow{
		{"page.machine", "/installation", "gauge"}, {"page.workspaces", "/workspaces", "building-2"}, {"page.people", "/installation/people", "users"},
		{"page.notices", "/installation/notices", "bell"}, {"page.tab_changes", "/installation/changes", "file-text"},
	}},
}

// frame gives what stands around a page with that title. here is the path of its part of the rail; empty: none.
func (v *visit) frame(title, here string) frame {
	f := frame{Title: title, Language: v.languages()}
	if v.me == nil {
		f.Alone = true
		return f
	}
	f.Told = append(v.told(), v.ended...)
	if v.astray {
		f.Told = append(f.Told, banner{Tone: warn, Icon: "triangle-alert", Title: v.t("page.astray"), Texts: []string{v.t("page.astray_text")},
			Actions: []button{{Text: v.t("page.first_page"), Href: v.partAt("")}}})
	}
	f.Person = v.person()
	f.Workspaces = v.spaces()
	f.Inbox = v.inbox(here)
	rows, at := rail, func(path string) string { return path }
	if v.place != nil {
		at = v.path
	} else {
		rows = v.ownRail(here)
	}
	for _, r := range rows {
		f.Rail = append(f.Rail, railItem{v.t(r.key), strings.TrimSuffix(at(r.path), "/"), r.icon, r.path == here})
	}
	return f
}

// ownRail gives the rail of a page that belongs to no workspace.
func (v *visit) ownRail(here string) []railRow {
	if here == "/workspaces" && v.me.Installation {
		here = "/installation"
	}
	for _, r := range rails {
		if strings.HasPrefix(here, r.path) {
			return r.rows
		}
	}
	return rails[0].rows
}

// person gives the menu of what is the visitor's own.
func (v *visit) person() menu {
	m := menu{Text: cmp.Or(v.me.Name, v.me.Email), Label: v.t("page.me"), Icon: "user", Items: []menuItem{{Text: v.t("page.me"), Href: "/me", Icon: "settings"}}}
	if v.me.Installation {
		m.Items = append(m.Items, menuItem{Text: v.t("page.installation"), Href: "/installation", Icon: "gauge"})
	}
	m.Items = append(m.Items, menuItem{Text: v.t("page.sign_out"), Href: "/sign-out", Post: true, Icon: "log-out", Line: true})
	return m
}

// spaces gives the menu of workspaces: the one that the page is of first, and as many others as fit.
func (v *visit) spaces() *menu {
	m := menu{Text: v.t("page.workspaces"), Icon: "building-2", Left: true}
	if v.place != nil {
		m.Text = v.place.Name
		m.Items = append(m.Items, menuItem{Text: v.place.Name, Href: v.path(firstPage), Here: true, Icon: "check"})
	}
	for _, w := range v.me.Workspaces {
		if len(m.Items) < shortList && (v.place == nil || w.Workspace != v.place.Workspace) {
			m.Items = append(m.Items, menuItem{Text: w.Name, Href: "/w/" + url.PathEscape(w.Workspace) + firstPage})
		}
	}
	if v.me.Installation || len(v.me.Workspaces) > 1 {
		m.Items = append(m.Items, menuItem{Text: v.t("page.spaces_all"), Href: "/workspaces", Line: len(m.Items) > 0})
	}
	if len(m.Items) == 0 {
		return nil
	}
	return &m
}

// firstPage is the page of a workspace that one comes to first.
const firstPage = ""

// inbox gives the bell with how much is unread, of the workspace and, for who looks after it, of the installation. A
// count that cannot be had is left out: the page has more to say.
func (v *visit) inbox(here string) *inbox {
	in, unread := inbox{Text: v.t("page.notices"), Href: "/installation/notices", Here: strings.HasSuffix(here, "/notices")}, 0
	if v.place != nil {
		in.Href = v.path("/notices")
		if u, err := v.api.CountUnread(v, v.place.Workspace); err == nil {
			unread += u.Unread
		}
	}
	if v.me.Installation {
		if u, err := v.api.CountInstallationUnread(v); err == nil {
			unread += u.Unread
		}
	} else if v.place == nil {
		return nil
	}
	if unread > 0 {
		in.Text, in.Number = v.t("page.notices_unread", "n", unread), v.lang.Number(int64(unread))
	}
	return &in
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
