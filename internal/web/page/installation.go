package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/text"
)

// installationPages are about the machine and everybody on it.
func installationPages() []page {
	return []page{
		{"GET /installation", false, showMachine},
		{"GET /installation/workspaces/new", false, newSpace},
		{"POST /installation/workspaces/new", false, createSpace},
		{"GET /installation/changes", false, listAllChanges},
		{"GET /installation/people", false, listPeople},
		{"GET /installation/people/invite", false, newAdministrator},
		{"POST /installation/people/invite", false, inviteAdministrator},
		{"POST /installation/people/{person}/administrator", false, makeAdministrator},
		{"GET /installation/people/{person}", false, showPerson},
		{"GET /installation/people/{person}/step-down", false, unmakeAdministrator},
		{"POST /installation/people/{person}/step-down", false, unmakeAdministrator},
		{"GET /installation/people/{person}/two-factor", false, resetFactor},
		{"POST /installation/people/{person}/two-factor", false, resetFactor},
		{"GET /installation/people/{person}/remove", false, removePerson},
		{"POST /installation/people/{person}/remove", false, removePerson},
		{"GET /installation/invitations/{invitation}/revoke", false, revokeInvite},
		{"POST /installation/invitations/{invitation}/revoke", false, revokeInvite},
	}
}

// scarce is the share of the disk, or of the log's quota, from which on it is said to run short, in percent.
const scarce = 90

// showMachine shows what the installation runs on.
func showMachine(v *visit) error {
	m, err := v.api.GetInstallation(v)
	if err != nil {
		return v.said(err)
	}
	f := v.frame(v.t("page.machine"), "/installation")
	disk := section{Title: v.t("page.machine_room"), Bars: []progress{
		{v.t("page.machine_disk", "used", v.lang.Bytes(m.DiskTotal-m.DiskFree), "full", v.lang.Bytes(m.DiskTotal), "free", v.lang.Bytes(m.DiskFree)), m.DiskTotal - m.DiskFree, m.DiskTotal},
	}}
	f.Says = &says{good, "circle-check", v.t("page.machine_well")}
	if full(m.DiskTotal-m.DiskFree, m.DiskTotal) {
		f.Says = &says{warn, "triangle-alert", v.t("page.machine_disk_short")}
	}
	if m.LogLimit > 0 {
		disk.Bars = append(disk.Bars, progress{v.t("page.machine_log", "used", v.lang.Bytes(m.LogBytes), "full", v.lang.Bytes(m.LogLimit)), m.LogBytes, m.LogLimit})
		if full(m.LogBytes, m.LogLimit) {
			f.Says = &says{bad, "circle-alert", v.t("page.machine_log_short")}
		}
	} else {
		disk.Text = v.t("page.machine_standby")
	}
	banners := v.behind(m.ProfileLag)
	if m.ExportStoreFails {
		banners = append(banners, banner{Tone: bad, Icon: "circle-alert", Title: v.t("page.machine_exports_fail"), Texts: []string{v.t("page.machine_exports_fail_text")}})
	}
	facts := pairs{{Name: v.t("page.machine_version"), Text: m.Version, Mono: true}, {Name: v.t("page.machine_cluster"), Text: m.Cluster, Mono: true, Small: v.t("page.machine_cluster_text")}}
	if m.AccountID != "" {
		facts = append(facts, pairItem{Name: v.t("page.machine_account"), Copy: &line{"account", v.t("page.machine_account"), m.AccountID}, Small: v.t("page.machine_account_text")})
	} else {
		facts = append(facts, pairItem{Name: v.t("page.machine_account"), Text: v.t("page.unknown"), Small: v.t("page.no_account_text")})
	}
	if m.LogLimit > 0 {
		facts = append(facts, pairItem{Name: v.t("page.machine_head"), Text: v.lang.Number(m.Head), Small: v.t("page.machine_head_text")})
	}
	p := sectionsPage{Frame: f, Banners: banners, Sections: []section{disk}}
	if l := m.ProfileLag; l != nil {
		p.Sections = append(p.Sections, section{Title: v.t("page.machine_people"), Pairs: pairs{{Name: v.t("page.machine_as_of"), Time: v.moment(l.AsOf), Small: v.t("page.machine_as_of_text")}}})
	}
	if m.SetAside > 0 {
		aside, err := v.api.ListInstallationSetAside(v)
		if err != nil {
			return v.said(err)
		}
		p.Sections = append(p.Sections, section{Title: v.t("page.aside"), Text: v.t("page.aside_text"), Table: new(v.asideTable(aside))})
	}
	p.Sections = append(p.Sections, section{Title: v.t("page.machine_program"), Pairs: facts})
	v.show(http.StatusOK, "sections", p)
	return nil
}

func full(used, of int64) bool { return of > 0 && used*100 >= of*scarce }

func newSpace(v *visit) error { return v.spaceAgain(nil) }

func (v *visit) spaceAgain(wrong error) error {
	problems := v.problems(wrong)
	language := &field{Name: "language", Label: v.t("page.language"), Hint: v.t("page.spaces_language_hint"), Error: problems["language"]}
	chosen := v.form("language")
	if chosen == "" {
		chosen = string(v.lang)
	}
	for _, l := range text.Languages() {
		language.Options = append(language.Options, option{string(l), languageNames[l], string(l) == chosen})
	}
	f := form{Problem: v.wrong(wrong), Parts: []part{
		{Field: &field{Name: "name", Label: v.t("page.name"), Hint: v.t("page.spaces_name_hint"), Value: v.form("name"), Error: problems["name"], Autocomplete: "off", Required: true}},
		{Field: language},
	}, Buttons: []button{{Text: v.t("page.spaces_create"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: "/workspaces"}}}
	f.unplaced(problems)
	frame := v.frame(v.t("page.spaces_create"), "/workspaces")
	frame.Crumbs = []crumb{{v.t("page.workspaces"), "/workspaces"}, {v.t("page.spaces_create"), ""}}
	v.show(statusOf(wrong), "form", formPage{frame, f})
	return nil
}

func createSpace(v *visit) error {
	w, err := v.api.CreateWorkspace(v, client.WorkspaceCreate{Name: v.form("name"), Language: v.form("language")})
	if err = v.said(err); err == nil {
		return v.done("/w/"+url.PathEscape(w.ID)+firstPage, "page.spaces_made", "name", w.Name)
	}
	if !isInput(err) {
		return err
	}
	return v.spaceAgain(err)
}

// listPeople lists everybody, and the open invitations to look after the installation.
func listPeople(v *visit) error {
	all, err := collect(v, v.api.ListPeople(v))
	if err != nil {
		return err
	}
	open, err := collect(v, v.api.ListInstallationInvitations(v))
	if err != nil {
		return err
	}
	q := strings.ToLower(strings.TrimSpace(v.r.URL.Query().Get("q")))
	f := v.frame(v.t("page.people"), "/installation/people")
	f.Says = &says{Text: v.t("page.people_say", "n", len(all))}
	f.Actions = []button{{Text: v.t("page.people_invite"), Kind: "primary", Icon: "plus", Href: "/installation/people/invite"}}
	t := table{Columns: []column{{v.t("page.people_person"), false}, {v.t("page.people_looks_after"), false}, {v.t("page.me_factor"), false}, {v.t("page.seen"), false}, {v.t("page.created"), false}},
		Empty: &empty{v.t("page.nothing_found"), v.t("page.nothing_found_text"), &button{Text: v.t("page.show_all"), Href: "/installation/people"}}}
	for _, p := range all {
		if !strings.Contains(strings.ToLower(p.Name), q) && !strings.Contains(p.Email, q) {
			continue
		}
		t.Rows = append(t.Rows, row{[]cell{{Text: personName(p), Href: personPath(p, ""), Small: p.Email}, {Text: v.yes(p.Installation)}, {Text: v.yes(p.TwoFactor)}, v.maybeTime(p.SeenAt), {Time: v.moment(p.CreatedAt)}}})
	}
	page := sectionsPage{Frame: f, Sections: []section{{Table: &t}}}
	if len(all) > shortList || q != "" {
		page.Filter = &filter{Fields: []field{{Name: "q", Type: "search", Label: v.t("page.people_search"), Value: v.r.URL.Query().Get("q")}}, Button: v.t("page.search")}
		if q != "" {
			page.Filter.Clear = &button{Text: v.t("page.show_all"), Kind: "quiet", Href: "/installation/people"}
		}
	}
	if len(open) > 0 {
		i := table{Columns: []column{{v.t("page.email"), false}, {v.t("page.people_by"), false}, {v.t("page.people_until"), false}, {"", false}}}
		for _, x := range open {
			i.Rows = append(i.Rows, row{[]cell{{Text: x.Email}, {Text: x.By}, {Time: v.moment(x.ExpiresAt)}, {Text: v.t("page.people_revoke"), Href: "/installation/invitations/" + url.PathEscape(x.ID) + "/revoke"}}})
		}
		page.Sections = append(page.Sections, section{ID: "invitations", Title: v.t("page.people_invitations"), Text: v.t("page.people_invitations_text"), Table: &i})
	}
	v.show(http.StatusOK, "sections", page)
	return nil
}

func personName(p client.Person) string {
	if p.Name == "" {
		return p.Email
	}
	return p.Name
}

func personPath(p client.Person, path string) string {
	return "/installation/people/" + url.PathEscape(p.ID) + path
}

// personOf gives who the address names, and the frame of a page about them.
func (v *visit) personOf() (client.Person, frame, error) {
	all, err := collect(v, v.api.ListPeople(v))
	if err != nil {
		return client.Person{}, frame{}, err
	}
	i := slices.IndexFunc(all, func(p client.Person) bool { return p.ID == v.r.PathValue("person") })
	if i < 0 {
		return client.Person{}, frame{}, nothingHere(v)
	}
	f := v.frame(personName(all[i]), "/installation/people")
	f.Crumbs = []crumb{{v.t("page.people"), "/installation/people"}, {personName(all[i]), ""}}
	return all[i], f, nil
}

// showPerson shows a member, and what an installation administrator can do for them.
func showPerson(v *visit) error {
	p, f, err := v.personOf()
	if err != nil {
		return err
	}
	facts := pairs{{Name: v.t("page.email"), Text: p.Email}, {Name: v.t("page.created"), Time: v.moment(p.CreatedAt)}}
	if p.SeenAt != nil {
		facts = append(facts, pairItem{Name: v.t("page.seen"), Time: v.moment(*p.SeenAt)})
	}
	after := section{Title: v.t("page.people_looks_after"), Text: v.t("page.people_no_administrator_text")}
	if p.Installation {
		after.Text = v.t("page.people_administrator_text")
		after.Actions = []button{{Text: v.t("page.people_step_down"), Kind: "danger", Href: personPath(p, "/step-down")}}
	} else {
		after.Actions = []button{{Text: v.t("page.people_make"), Icon: "shield-check", Href: personPath(p, "/administrator"), Post: true}}
	}
	factor := section{Title: v.t("page.me_factor"), Text: v.t("page.people_factor_none_text")}
	if p.TwoFactor {
		factor.Text = v.t("page.people_factor_text")
		factor.Actions = []button{{Text: v.t("page.people_factor_reset"), Kind: "danger", Href: personPath(p, "/two-factor")}}
	}
	remove := section{Title: v.t("page.people_remove"), Text: v.t("page.people_remove_text", "email", p.Email), Actions: []button{{Text: v.t("page.people_remove"), Kind: "danger", Icon: "trash-2", Href: personPath(p, "/remove")}}}
	v.show(http.StatusOK, "sections", sectionsPage{Frame: f, Sections: []section{{Pairs: facts}, after, factor, remove}})
	return nil
}

func makeAdministrator(v *visit) error {
	yes := true
	p, err := v.api.UpdatePerson(v, v.r.PathValue("person"), client.PersonEdit{Installation: &yes}, "")
	if err != nil {
		return v.said(err)
	}
	return v.done(personPath(p, ""), "page.people_made", "name", personName(p))
}

// askOf asks for the address of the person that the page's address names, and then does it.
func (v *visit) askOf(text, button string, do func(p client.Person) (to, key string, err error)) error {
	p, f, err := v.personOf()
	if err != nil {
		return err
	}
	return v.confirm(confirmation{Frame: f, Name: p.Email, Texts: []string{v.t(text, "email", p.Email)}, Button: v.t(button), Back: personPath(p, "")}, func() error {
		to, key, err := do(p)
		if err != nil {
			return v.said(err)
		}
		return v.done(to, key, "name", personName(p))
	})
}

func unmakeAdministrator(v *visit) error {
	return v.askOf("page.people_step_down_text", "page.people_step_down", func(p client.Person) (string, string, error) {
		no := false
		_, err := v.api.UpdatePerson(v, p.ID, client.PersonEdit{Installation: &no}, "")
		if p.ID == v.me.ID {
			return "/", "page.people_stepped_down", err
		}
		return personPath(p, ""), "page.people_stepped_down", err
	})
}

func resetFactor(v *visit) error {
	return v.askOf("page.people_factor_reset_text", "page.people_factor_reset", func(p client.Person) (string, string, error) {
		return personPath(p, ""), "page.people_factor_gone", v.api.ResetTwoFactor(v, p.ID)
	})
}

func removePerson(v *visit) error {
	return v.askOf("page.people_remove_text", "page.people_remove", func(p client.Person) (string, string, error) {
		return "/installation/people", "page.people_removed", v.api.DeletePerson(v, p.ID)
	})
}

func newAdministrator(v *visit) error { return v.administratorAgain(nil) }

func (v *visit) administratorAgain(wrong error) error {
	problems := v.problems(wrong)
	f := form{Problem: v.wrong(wrong), Intro: []string{v.t("page.people_invite_text")}, Parts: []part{
		{Field: &field{Name: "email", Label: v.t("page.email"), Type: "email", Value: v.form("email"), Error: problems["email"], Autocomplete: "off", Required: true}}},
		Buttons: []button{{Text: v.t("page.people_invite"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: "/installation/people"}}}
	f.unplaced(problems)
	frame := v.frame(v.t("page.people_invite"), "/installation/people")
	frame.Crumbs = []crumb{{v.t("page.people"), "/installation/people"}, {v.t("page.people_invite"), ""}}
	v.show(statusOf(wrong), "form", formPage{frame, f})
	return nil
}

// inviteAdministrator sends a link, or shows it where no mail can be sent.
func inviteAdministrator(v *visit) error {
	made, err := v.api.InviteAdministrator(v, client.AdministratorInvite{Email: v.form("email")})
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		return v.administratorAgain(err)
	}
	if made.Mailed {
		return v.done("/installation/people", "page.people_invited", "email", made.Email)
	}
	frame := v.frame(made.Email, "/installation/people")
	frame.Crumbs = []crumb{{v.t("page.people"), "/installation/people"}, {made.Email, ""}}
	v.show(http.StatusOK, "sections", sectionsPage{Frame: frame, Sections: []section{{
		Banner: &banner{Tone: warn, Icon: "triangle-alert", Title: v.t("page.people_unsent"), Texts: said(made.MailProblem, v.t("page.people_unsent_text", "email", made.Email))},
		Line:   &line{"link", v.t("page.people_link"), made.Link}, Buttons: []button{{Text: v.t("page.people_back"), Href: "/installation/people"}},
	}}})
	return nil
}

func revokeInvite(v *visit) error {
	open, err := collect(v, v.api.ListInstallationInvitations(v))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(open, func(x client.Invitation) bool { return x.ID == v.r.PathValue("invitation") })
	if i < 0 {
		return nothingHere(v)
	}
	email := open[i].Email
	f := v.frame(email, "/installation/people")
	f.Crumbs = []crumb{{v.t("page.people"), "/installation/people"}, {email, ""}}
	return v.confirm(confirmation{Frame: f, Name: email, Texts: []string{v.t("page.people_revoke_text")}, Button: v.t("page.people_revoke"), Back: "/installation/people"}, func() error {
		if err := v.said(v.api.RevokeInstallationInvitation(v, open[i].ID)); err != nil {
			return err
		}
		return v.done("/installation/people", "page.people_revoked", "email", email)
	})
}

// kindsOfAllThings are those of workspaces and of people.
var kindsOfAllThings = append(slices.Clone(kindsOfThings), naming{"session", "page.me_sessions"}, naming{"token", "page.me_tokens"})

// listAllChanges lists who changed what, of the installation and of all workspaces.
func listAllChanges(v *visit) error {
	people, err := collect(v, v.api.ListPeople(v))
	if err != nil {
		return err
	}
	spaces, err := collect(v, v.api.ListWorkspaces(v))
	if err != nil {
		return err
	}
	var who []client.Member
	for _, p := range people {
		who = append(who, client.Member{ID: p.ID, Name: personName(p)})
	}
	f := v.frame(v.t("page.tab_changes"), "/installation/changes")
	f.Says = &says{Text: v.t("page.machine_changes_say")}
	asked, filter, wrong := v.changeFilter(who, kindsOfAllThings)
	p := listPage{Frame: f, Filter: filter}
	if wrong == nil {
		ctx, part := v.part()
		all, err := collect(v, v.api.ListInstallationChanges(ctx, asked))
		if err != nil {
			return err
		}
		p.Table = v.changeTable(all)
		for i, e := range all { // where it was: the table of one workspace need not say
			if j := slices.IndexFunc(spaces, func(w client.Workspace) bool { return w.ID == e.Workspace }); j >= 0 {
				p.Table.Rows[i].Cells[0].Small = spaces[j].Name
			}
		}
		v.pages(&p.Table, part)
	}
	v.show(statusOf(wrong), "list", p)
	return nil
}
