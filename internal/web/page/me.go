package page

import (
	_ "embed"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// mePages are a member's own: language, password, second factor, sessions, tokens.
func mePages() []page {
	return []page{
		{"GET /me", false, showMe},
		{"POST /me", false, saveMe},
		{"GET /me/security", false, showSecurity},
		{"POST /me/security", false, changePassword},
		{"GET /me/two-factor", false, showTwoFactor},
		{"POST /me/two-factor", false, beginTwoFactor},
		{"POST /me/two-factor/confirm", false, confirmTwoFactor},
		{"GET /me/two-factor/off", false, showTwoFactorOff},
		{"POST /me/two-factor/off", false, removeTwoFactor},
		{"POST /me/sessions/{session}/end", false, endSession},
		{"POST /me/sessions/end", false, endOtherSessions},
		{"GET /me/tokens", false, listTokens},
		{"GET /me/tokens/new", false, newToken},
		{"POST /me/tokens/new", false, createToken},
		{"GET /me/tokens/{id}/revoke", false, revokeToken},
		{"POST /me/tokens/{id}/revoke", false, revokeToken},
		{"GET /workspaces", false, listWorkspaces},
		{"GET /workspaces/{left}/leave", false, leaveWorkspace},
		{"POST /workspaces/{left}/leave", false, leaveWorkspace},
	}
}

// zones are the names of time zones, one a line. Source: the IANA time zone database's zone.tab, which is in the public
// domain.
//
//go:embed zones.txt
var zones string

func showMe(v *visit) error { return v.meAgain(*v.me, nil) }

// zoneField chooses a time zone.
func (v *visit) zoneField(name, typed, hint, wrong string) *field {
	return &field{Name: name, Label: v.t("page.me_zone"), Hint: hint, Value: typed, Error: wrong, Placeholder: control.DefaultZone, Autocomplete: "off", List: strings.Fields(zones)}
}

// meAgain shows what members decide about themselves, as typed, and what was wrong with it.
func (v *visit) meAgain(typed client.Me, wrong error) error {
	problems := v.problems(wrong)
	f := form{Problem: v.wrong(wrong), Hidden: []hidden{{"version", v.me.ETag}}, Buttons: []button{{Text: v.t("page.me_save"), Kind: "primary"}}}
	if wrong != nil && v.form("version") != "" && fault.CodeOf(wrong) != fault.Stale {
		f.Hidden[0].Value = v.form("version")
	}
	language := &field{Name: "language", Label: v.t("page.language"), Hint: v.t("page.me_language_hint"), Error: problems["language"],
		Options: []option{{"", v.t("page.me_language_browser"), typed.Language == ""}}}
	for _, l := range text.Languages() {
		language.Options = append(language.Options, option{string(l), languageNames[l], string(l) == typed.Language})
	}
	zone := v.zoneField("time_zone", typed.TimeZone, v.t("page.me_zone_hint", "time", v.lang.Time(v.now, v.zone)), problems["time_zone"])
	zone.Zone = v.t("page.me_zone_use")
	mail := &choices{Name: "mail", Legend: v.t("page.me_mail"), Hint: v.t("page.me_mail_hint"), Error: problems["mail"]}
	for _, w := range mailWishes {
		mail.Options = append(mail.Options, choice{w.name, v.t(w.key), v.t(w.explained), w.name == typed.Mail})
	}
	f.Parts = []part{
		{Pairs: pairs{{Name: v.t("page.email"), Text: v.me.Email}}},
		{Field: &field{Name: "name", Label: v.t("page.your_name"), Autocomplete: "name", Value: typed.Name, Error: problems["name"], Required: true}},
		{Pair: []field{*language, *zone}},
		{Choices: mail},
	}
	f.unplaced(problems)
	v.show(statusOf(wrong), "sections", sectionsPage{Frame: v.own("page.me_profile", "/me"), Sections: []section{{Form: &f}}})
	return nil
}

// mailWishes are what members may be mailed.
var mailWishes = []struct{ name, key, explained string }{
	{"", "page.me_mail_own", "page.me_mail_own_text"}, {"urgent", "page.me_mail_urgent", "page.me_mail_urgent_text"}, {"all", "page.me_mail_all", "page.me_mail_all_text"},
}

// own gives the frame of a page of the member's own.
func (v *visit) own(title, here string) frame { return v.frame(v.t(title), here) }

// ownThing gives the frame of a page about one of the things that are listed at here, under the title that they have.
func (v *visit) ownThing(title, list, here string) frame {
	f := v.frame(title, here)
	f.Crumbs = []crumb{{v.t(list), here}, {title, ""}}
	return f
}

func saveMe(v *visit) error {
	typed := *v.me
	typed.Name, typed.Language, typed.TimeZone, typed.Mail = v.form("name"), v.form("language"), strings.TrimSpace(v.form("time_zone")), v.form("mail")
	me, err := v.api.UpdateMe(v, client.MeEdit{Name: &typed.Name, Language: &typed.Language, TimeZone: &typed.TimeZone, Mail: &typed.Mail}, v.form("version"))
	if err = v.said(err); err == nil {
		v.know(me)
		return v.done("/me", "page.me_saved")
	}
	if !isInput(err) {
		return err
	}
	return v.meAgain(typed, err)
}

func showSecurity(v *visit) error { return v.securityAgain(nil) }

// securityAgain shows what signs a member in, and what was wrong with another password.
func (v *visit) securityAgain(wrong error) error {
	p := sectionsPage{Frame: v.own("page.me_security", "/me/security")}
	problems := v.problems(wrong)
	if v.me.Password {
		next := v.newPassword(map[string]string{"password": problems["new"]})
		next.Name = "new"
		f := form{Problem: v.wrong(wrong), Buttons: []button{{Text: v.t("page.me_password_change"), Kind: "primary"}}, Parts: []part{
			{Field: &field{Name: "current", Label: v.t("page.me_password_current"), Type: "password", Autocomplete: "current-password", Error: problems["current"], Required: true}},
			{Field: next},
		}}
		p.Sections = append(p.Sections, section{Title: v.t("page.password"), Text: v.t("page.me_password_text"), Form: &f}, v.twoFactor())
	} else {
		p.Sections = append(p.Sections, section{Title: v.t("page.password"), Text: v.t("page.me_password_none")})
	}
	all, err := collect(v, v.api.ListSessions(v))
	if err != nil {
		return err
	}
	t := table{Columns: []column{{v.t("page.me_browser"), false}, {v.t("page.me_address"), false}, {v.t("page.me_last_used"), false}, {v.t("page.me_signed_in"), false}, {"", false}}}
	for _, s := range all {
		end := cell{Button: &button{Text: v.t("page.me_session_end"), Kind: "quiet", Small: true, Href: "/me/sessions/" + url.PathEscape(s.ID) + "/end", Post: true}}
		if s.Current {
			end = cell{Pill: &pill{good, "circle-check", v.t("page.me_session_current")}}
		}
		t.Rows = append(t.Rows, row{[]cell{{Text: v.agent(s.Agent)}, {Text: s.Address, Mono: true}, {Time: v.moment(s.SeenAt)}, {Time: v.moment(s.CreatedAt)}, end}})
	}
	sessions := section{ID: "sessions", Title: v.t("page.me_sessions"), Text: v.t("page.me_sessions_text"), Table: &t}
	if len(all) > 1 {
		sessions.Actions = []button{{Text: v.t("page.me_sessions_end"), Kind: "danger", Href: "/me/sessions/end", Post: true}}
	}
	p.Sections = append(p.Sections, sessions)
	v.show(statusOf(wrong), "sections", p)
	return nil
}

// agents tell browsers and systems by what browsers say of themselves. What is named earlier claims to be what is named
// later, too.
var agents = [2][]struct{ mark, name string }{
	{{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}},
	{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}},
}

// agent says which browser it is; as it says itself, if that is none of the usual ones.
func (v *visit) agent(said string) string {
	var names []string
	for _, kind := range agents {
		if i := slices.IndexFunc(kind, func(a struct{ mark, name string }) bool { return strings.Contains(said, a.mark) }); i >= 0 {
			names = append(names, kind[i].name)
		}
	}
	switch {
	case len(names) == 2:
		return v.t("page.me_agent", "browser", names[0], "system", names[1])
	case said == "":
		return v.t("page.unknown")
	}
	return said
}

func changePassword(v *visit) error {
	err := v.said(v.api.ChangePassword(v, client.PasswordChange{Current: v.form("current"), New: v.form("new")}))
	switch {
	case err == nil:
		return v.done("/me/security", "page.me_password_changed")
	case isInput(err):
		return v.securityAgain(err)
	}
	return err
}

func endSession(v *visit) error {
	err := v.said(v.api.EndSession(v, v.r.PathValue("session")))
	if err != nil && fault.CodeOf(err) != fault.NotFound { // it has ended all the same
		return err
	}
	return v.done("/me/security#sessions", "page.me_session_ended")
}

func endOtherSessions(v *visit) error {
	if err := v.said(v.api.EndOtherSessions(v)); err != nil {
		return err
	}
	return v.done("/me/security#sessions", "page.me_sessions_ended")
}

func listTokens(v *visit) error {
	all, err := collect(v, v.api.ListTokens(v))
	if err != nil {
		return err
	}
	f := v.own("page.me_tokens", "/me/tokens")
	f.Says = &says{Text: v.t("page.me_tokens_text")}
	create := button{Text: v.t("page.me_token_create"), Kind: "primary", Icon: "plus", Href: "/me/tokens/new"}
	t := table{
		Columns: []column{{v.t("page.name"), false}, {v.t("page.me_token_may"), false}, {v.t("page.created"), false}, {v.t("page.me_last_used"), false}, {v.t("page.me_token_ends"), false}, {"", false}},
		Empty:   &empty{v.t("page.me_tokens_none"), v.t("page.me_tokens_none_text"), &create},
	}
	for _, x := range all {
		may, ends := v.t("page.me_token_all"), v.maybeTime(x.ExpiresAt)
		if x.ReadOnly {
			may = v.t("page.me_token_reads")
		}
		if x.ExpiresAt != nil && !v.now.Before(*x.ExpiresAt) {
			ends = cell{Pill: &pill{warn, "triangle-alert", v.t("page.me_token_ended")}}
		}
		t.Rows = append(t.Rows, row{[]cell{{Text: x.Name}, {Text: may}, {Time: v.moment(x.CreatedAt)}, v.maybeTime(x.UsedAt), ends, {Text: v.t("page.revoke"), Href: "/me/tokens/" + url.PathEscape(x.ID) + "/revoke"}}})
	}
	if len(all) > 0 {
		f.Actions = []button{create}
	}
	v.show(http.StatusOK, "list", listPage{Frame: f, Table: t})
	return nil
}

// tokenLives are for how long a token may work, in days; 0: for ever.
var tokenLives = []int{30, 90, 365, 0}

func newToken(v *visit) error { return v.tokenAgain("90", true, nil) }

func (v *visit) tokenAgain(days string, reads bool, wrong error) error {
	problems := v.problems(wrong)
	life := &field{Name: "days", Label: v.t("page.me_token_life"), Error: problems["expires_at"]}
	for _, d := range tokenLives {
		o := option{v.lang.Number(int64(d)), v.t("page.me_token_for", "n", d), days == v.lang.Number(int64(d))}
		if d == 0 {
			o.Text = v.t("page.me_token_for_ever")
		}
		life.Options = append(life.Options, o)
	}
	f := form{Problem: v.wrong(wrong), Parts: []part{
		{Field: &field{Name: "name", Label: v.t("page.name"), Hint: v.t("page.me_token_name_hint"), Value: v.form("name"), Error: problems["name"], Autocomplete: "off", Required: true}},
		{Field: life},
		{Check: &check{Name: "read_only", Label: v.t("page.me_token_read_only"), Hint: v.t("page.me_token_read_only_hint"), On: reads, Switch: true}},
	}, Buttons: []button{{Text: v.t("page.me_token_create"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: "/me/tokens"}}}
	f.unplaced(problems)
	v.show(statusOf(wrong), "form", formPage{v.ownThing(v.t("page.me_token_create"), "page.me_tokens", "/me/tokens"), f})
	return nil
}

// createToken makes a token and shows it, this once.
func createToken(v *visit) error {
	in := client.TokenCreate{Name: v.form("name"), ReadOnly: v.form("read_only") != ""}
	for _, d := range tokenLives {
		if d > 0 && v.form("days") == v.lang.Number(int64(d)) {
			ends := v.now.UTC().AddDate(0, 0, d).Truncate(24 * time.Hour) // a form that is sent twice asks for the same
			in.ExpiresAt = &ends
		}
	}
	made, err := v.api.CreateToken(v, in)
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		return v.tokenAgain(v.form("days"), in.ReadOnly, err)
	}
	f := v.ownThing(made.Name, "page.me_tokens", "/me/tokens")
	use := "curl -H 'Authorization: Bearer " + made.Secret + "' " + v.p.deps.BaseURL() + "/api/v1/me"
	v.show(http.StatusOK, "sections", sectionsPage{Frame: f, Sections: []section{{
		Banner: &banner{Tone: good, Icon: "circle-check", Title: v.t("page.me_token_made"), Texts: []string{v.t("page.me_token_made_text")}},
		Line:   &line{"token", v.t("page.me_token"), made.Secret},
		Code:   &code{"use", v.t("page.me_token_use"), use},
	}}})
	return nil
}

func revokeToken(v *visit) error {
	all, err := collect(v, v.api.ListTokens(v))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(t client.Token) bool { return t.ID == v.r.PathValue("id") })
	if i < 0 {
		return nothingHere(v)
	}
	name := all[i].Name
	return v.confirm(confirmation{Frame: v.ownThing(name, "page.me_tokens", "/me/tokens"), Name: name, Texts: []string{v.t("page.me_token_revoke_text", "name", name)},
		Button: v.t("page.me_token_revoke"), Back: "/me/tokens"}, func() error {
		if err := v.said(v.api.RevokeToken(v, all[i].ID)); err != nil {
			return err
		}
		return v.done("/me/tokens", "page.me_token_revoked", "name", name)
	})
}

// listWorkspaces lists the workspaces that the visitor may see: where there are many, the menu leads here.
func listWorkspaces(v *visit) error {
	all, err := collect(v, v.api.ListWorkspaces(v))
	if err != nil {
		return err
	}
	q := strings.TrimSpace(v.r.URL.Query().Get("q"))
	f := v.frame(v.t("page.workspaces"), "/workspaces")
	if len(all) > 0 {
		f.Says = &says{Text: v.t("page.spaces_say", "n", len(all))}
	}
	t := table{Columns: []column{{v.t("page.name"), false}, {v.t("page.role"), false}, {v.t("page.created"), false}, {"", false}},
		Empty: &empty{Title: v.t("page.home_none"), Text: v.t("page.home_none_text")}}
	if q != "" {
		t.Empty = &empty{v.t("page.nothing_found"), v.t("page.nothing_found_text"), &button{Text: v.t("page.show_all"), Href: "/workspaces"}}
	}
	for _, w := range all {
		if !strings.Contains(strings.ToLower(w.Name), strings.ToLower(q)) {
			continue
		}
		role, leave := v.t("page.spaces_no_seat"), cell{}
		if i := slices.IndexFunc(v.me.Workspaces, func(p client.Place) bool { return p.Workspace == w.ID }); i >= 0 {
			role = v.role(v.me.Workspaces[i].Role)
			leave = cell{Text: v.t("page.spaces_leave"), Href: "/workspaces/" + url.PathEscape(w.ID) + "/leave"}
		}
		t.Rows = append(t.Rows, row{[]cell{{Text: w.Name, Href: "/w/" + url.PathEscape(w.ID)}, {Text: role}, {Time: v.moment(w.CreatedAt)}, leave}})
	}
	p := listPage{Frame: f, Table: t}
	if len(all) > shortList || q != "" {
		p.Filter = &filter{Fields: []field{{Name: "q", Type: "search", Label: v.t("page.name"), Value: q}}, Button: v.t("page.search")}
		if q != "" {
			p.Filter.Clear = &button{Text: v.t("page.show_all"), Kind: "quiet", Href: "/workspaces"}
		}
	}
	if v.me.Installation {
		create := button{Text: v.t("page.spaces_create"), Kind: "primary", Icon: "plus", Href: "/installation/workspaces/new"}
		if len(all) > 0 {
			p.Frame.Actions = []button{create}
		} else {
			p.Table.Empty = &empty{v.t("page.spaces_first"), v.t("page.spaces_first_text"), &create}
		}
	}
	v.show(http.StatusOK, "list", p)
	return nil
}

// shortList is how many things need no search.
const shortList = 12

func leaveWorkspace(v *visit) error {
	i := slices.IndexFunc(v.me.Workspaces, func(p client.Place) bool { return p.Workspace == v.r.PathValue("left") })
	if i < 0 {
		return nothingHere(v)
	}
	w := v.me.Workspaces[i]
	f := v.frame(w.Name, "/workspaces")
	f.Crumbs = []crumb{{v.t("page.workspaces"), "/workspaces"}, {w.Name, ""}}
	return v.confirm(confirmation{Frame: f, Name: w.Name, Texts: []string{v.t("page.spaces_leave_text", "name", w.Name)}, Button: v.t("page.spaces_leave"), Back: "/workspaces"}, func() error {
		if err := v.said(v.api.LeaveWorkspace(v, w.Workspace)); err != nil {
			return err
		}
		return v.done("/workspaces", "page.spaces_left", "name", w.Name)
	})
}
