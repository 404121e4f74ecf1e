package page

import (
	"net/http"
	"slices"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
)

// memberPages are the settings of a workspace: its name, members, API keys, webhooks and log of changes.
func memberPages() []page {
	return []page{
		{"GET /w/{workspace}/settings", false, showWorkspace},
		{"POST /w/{workspace}/settings", false, saveWorkspace},
		{"GET /w/{workspace}/settings/members", false, listMembers},
		{"GET /w/{workspace}/settings/members/invite", false, showInvite},
		{"POST /w/{workspace}/settings/members/invite", false, invite},
		{"GET /w/{workspace}/settings/members/{member}", false, showMember},
		{"POST /w/{workspace}/settings/members/{member}", false, saveMember},
		{"GET /w/{workspace}/settings/members/{member}/remove", false, removeMember},
		{"POST /w/{workspace}/settings/members/{member}/remove", false, removeMember},
		{"GET /w/{workspace}/settings/invitations/{invitation}/revoke", false, revokeInvitation},
		{"POST /w/{workspace}/settings/invitations/{invitation}/revoke", false, revokeInvitation},
		{"GET /w/{workspace}/settings/keys", false, listKeys},
		{"GET /w/{workspace}/settings/keys/new", false, newKey},
		{"POST /w/{workspace}/settings/keys/new", false, createKey},
		{"GET /w/{workspace}/settings/keys/{key}", false, showKey},
		{"GET /w/{workspace}/settings/keys/{key}/revoke", false, revokeKey},
		{"POST /w/{workspace}/settings/keys/{key}/revoke", false, revokeKey},
		{"GET /w/{workspace}/settings/webhooks", false, listWebhooks},
		{"GET /w/{workspace}/settings/webhooks/new", false, newWebhook},
		{"POST /w/{workspace}/settings/webhooks/new", false, createWebhook},
		{"GET /w/{workspace}/settings/webhooks/{webhook}", false, showWebhook},
		{"POST /w/{workspace}/settings/webhooks/{webhook}/test", false, testWebhook},
		{"GET /w/{workspace}/settings/webhooks/{webhook}/delete", false, deleteWebhook},
		{"POST /w/{workspace}/settings/webhooks/{webhook}/delete", false, deleteWebhook},
		{"GET /w/{workspace}/settings/changes", false, listChanges},
	}
}

// roles are what a member can be in a workspace, the one with the fewest rights first.
var roles = []struct{ name, key, explained string }{
	{"viewer", "page.role_viewer", "page.role_viewer_text"},
	{"editor", "page.role_editor", "page.role_editor_text"},
	{"administrator", "page.role_administrator", "page.role_administrator_text"},
}

// role says what a member is.
func (v *visit) role(name string) string {
	for _, r := range roles {
		if r.name == name {
			return v.t(r.key)
		}
	}
	return name
}

// roleChoices explains the roles where one is chosen.
func (v *visit) roleChoices(chosen, wrong string) *choices {
	c := &choices{Name: "role", Legend: v.t("page.role"), Error: wrong}
	for _, r := range roles {
		c.Options = append(c.Options, choice{r.name, v.t(r.key), v.t(r.explained), r.name == chosen})
	}
	return c
}

// mayGiveData reports whether the visitor can let others export user data.
func (v *visit) mayGiveData() bool { return v.place.ExportUserData || v.me.Installation }

// dataCheck is the permission to export user data, which stands apart from roles.
func (v *visit) dataCheck(on bool) part {
	return part{Check: &check{Name: "export_user_data", Label: v.t("page.export_user_data"), Hint: v.t("page.export_user_data_hint"), On: on, Switch: true}}
}

func listMembers(v *visit) error {
	all, err := collect(v, v.api.ListMembers(v, v.place.Workspace))
	if err != nil {
		return err
	}
	f := v.settings("/members")
	members := table{Columns: []column{{v.t("page.member"), false}, {v.t("page.role"), false}, {v.t("page.export_user_data"), false}, {v.t("page.two_factor"), false}, {v.t("page.seen"), false}}}
	for _, m := range all {
		who := cell{Text: m.Name, Small: m.Email}
		if v.may("administrator") {
			who.Href = v.path("/settings/members/" + m.ID)
		}
		members.Rows = append(members.Rows, row{[]cell{who, {Text: v.role(m.Role)}, {Text: v.yes(m.ExportUserData)}, {Text: v.yes(m.TwoFactor)}, v.maybeTime(m.SeenAt)}})
	}
	f.Says = &says{Text: v.t("page.members_say", "n", len(all))}
	p := sectionsPage{Frame: f, Sections: []section{{Table: &members}}}
	if v.may("administrator") {
		p.Frame.Actions = []button{{Text: v.t("page.invite"), Kind: "primary", Icon: "plus", Href: v.path("/settings/members/invite")}}
		open, err := v.invitations()
		if err != nil {
			return err
		}
		p.Sections = append(p.Sections, open)
	}
	v.show(http.StatusOK, "sections", p)
	return nil
}

// invitations lists those that nobody has taken up.
func (v *visit) invitations() (section, error) {
	all, err := collect(v, v.api.ListInvitations(v, v.place.Workspace))
	if err != nil {
		return section{}, err
	}
	t := table{
		Columns: []column{{v.t("page.email"), false}, {v.t("page.role"), false}, {v.t("page.export_user_data"), false}, {v.t("page.invited_by"), false}, {v.t("page.ends"), false}, {"", false}},
		Empty:   &empty{v.t("page.invitations_none"), v.t("page.invitations_none_text"), nil},
	}
	for _, i := range all {
		t.Rows = append(t.Rows, row{[]cell{{Text: i.Email}, {Text: v.role(i.Role)}, {Text: v.yes(i.ExportUserData)}, {Text: i.By}, {Time: v.moment(i.ExpiresAt)},
			{Text: v.t("page.revoke"), Href: v.path("/settings/invitations/" + i.ID + "/revoke")}}})
	}
	return section{Title: v.t("page.invitations"), Table: &t}, nil
}

// yes says whether something is so.
func (v *visit) yes(is bool) string {
	if is {
		return v.t("page.yes")
	}
	return "–"
}

// maybeTime shows a time that may not have come.
func (v *visit) maybeTime(at *time.Time) cell {
	if at == nil {
		return cell{Text: v.t("page.never")}
	}
	return cell{Time: v.moment(*at)}
}

// member finds the member of the address in the workspace.
func (v *visit) member() (client.Member, error) {
	all, err := collect(v, v.api.ListMembers(v, v.place.Workspace))
	if err != nil {
		return client.Member{}, err
	}
	i := slices.IndexFunc(all, func(m client.Member) bool { return m.ID == v.r.PathValue("member") })
	if i < 0 {
		return client.Member{}, nothingHere(v)
	}
	return all[i], nil
}

func showMember(v *visit) error {
	m, err := v.member()
	if err != nil {
		return err
	}
	return v.memberAgain(m, m.Role, m.ExportUserData, nil)
}

// memberAgain shows a member with what may be changed, as chosen, and what was wrong with it.
func (v *visit) memberAgain(m client.Member, role string, export bool, wrong error) error {
	f := v.setting("/members", m.Name)
	facts := section{Pairs: pairs{{Name: v.t("page.email"), Text: m.Email}, {Name: v.t("page.member_since"), Time: v.moment(m.CreatedAt)}, {Name: v.t("page.two_factor"), Text: v.yes(m.TwoFactor)}}}
	if m.SeenAt != nil {
		facts.Pairs = append(facts.Pairs, pairItem{Name: v.t("page.seen"), Time: v.moment(*m.SeenAt)})
	}
	if !v.may("administrator") {
		if wrong != nil {
			return wrong
		}
		facts.Pairs = append(facts.Pairs, pairItem{Name: v.t("page.role"), Text: v.role(m.Role)}, pairItem{Name: v.t("page.export_user_data"), Text: v.yes(m.ExportUserData)})
		v.show(http.StatusOK, "sections", sectionsPage{Frame: f, Sections: []section{facts}})
		return nil
	}
	change := form{Problem: v.wrong(wrong), Parts: []part{{Choices: v.roleChoices(role, v.problems(wrong)["role"])}}, Buttons: []button{{Text: v.t("page.save"), Kind: "primary"}}}
	if m.ExportUserData || v.mayGiveData() {
		change.Parts = append(change.Parts, v.dataCheck(export))
	}
	f.More = &menu{Label: v.t("page.more_actions"), Icon: "ellipsis", Items: []menuItem{
		{Text: v.t("page.member_changes"), Icon: "file-text", Href: v.path("/settings/changes?member=" + m.ID)},
		{Text: v.t("page.remove_member"), Icon: "trash-2", Danger: true, Line: true, Href: v.path("/settings/members/" + m.ID + "/remove")},
	}}
	v.show(statusOf(wrong), "sections", sectionsPage{Frame: f, Sections: []section{facts, {Title: v.t("page.member_may"), Form: &change}}})
	return nil
}

// statusOf is that of a form: shown for the first time, or again for what was wrong.
func statusOf(wrong error) int {
	if wrong == nil {
		return http.StatusOK
	}
	return again(wrong)
}

func saveMember(v *visit) error {
	m, err := v.member()
	if err != nil {
		return err
	}
	role, export := v.form("role"), v.form("export_user_data") != ""
	edit := client.MemberEdit{Role: &role}
	if export != m.ExportUserData && (m.ExportUserData || v.mayGiveData()) { // else the form did not ask
		edit.ExportUserData = &export
	}
	if _, err := v.api.UpdateMember(v, v.place.Workspace, m.ID, edit, ""); err != nil {
		if err = v.said(err); !isInput(err) {
			return err
		}
		return v.memberAgain(m, role, export, err)
	}
	return v.done(v.path("/settings/members"), "page.told_member", "name", m.Name)
}

func removeMember(v *visit) error {
	m, err := v.member()
	if err != nil {
		return err
	}
	if !v.may("administrator") {
		return v.forbidden()
	}
	f := v.setting("/members", v.t("page.remove_title", "name", m.Name))
	return v.confirm(confirmation{
		Frame: f, Name: m.Email, Texts: []string{v.t("page.remove_text", "name", m.Name, "workspace", v.place.Name), v.t("page.remove_stays")},
		Button: v.t("page.remove_member"), Back: v.path("/settings/members/" + m.ID),
	}, func() error {
		if err := v.said(v.api.RemoveMember(v, v.place.Workspace, m.ID)); err != nil {
			return err
		}
		return v.done(v.path("/settings/members"), "page.told_removed", "name", m.Name)
	})
}

// editors has a page of an action for those only who may take it: a viewer is told before they have typed anything.
func editors(do func(v *visit) error) func(v *visit) error {
	return func(v *visit) error {
		if !v.may("editor") {
			return v.forbidden()
		}
		return do(v)
	}
}

// forbidden is the answer to who opens a page of an action that they may not take: the API would refuse it.
func (v *visit) forbidden() error {
	return &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "control.forbidden", Text: "You may not do this."},
		Hint: fault.Message{Key: "control.forbidden_hint", Text: "Ask an administrator of the workspace or of the installation."}}
}

func showInvite(v *visit) error {
	if !v.may("administrator") {
		return v.forbidden()
	}
	return v.inviteAgain("viewer", string(v.lang), nil)
}

func (v *visit) inviteAgain(role, language string, wrong error) error {
	problems := v.problems(wrong)
	f := form{Problem: v.wrong(wrong), Intro: []string{v.t("page.invite_text")}, Buttons: []button{{Text: v.t("page.invite_send"), Kind: "primary", Icon: "send"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: v.path("/settings/members")}}}
	f.Parts = []part{
		{Field: &field{Name: "email", Label: v.t("page.email"), Type: "email", Autocomplete: "off", Value: v.form("email"), Error: problems["email"], Required: true}},
		{Choices: v.roleChoices(role, problems["role"])},
	}
	if v.mayGiveData() {
		f.Parts = append(f.Parts, v.dataCheck(v.form("export_user_data") != ""))
	}
	f.Parts = append(f.Parts, part{Field: v.languageField(language, v.t("page.invite_language"), problems["language"])})
	f.unplaced(problems)
	v.show(statusOf(wrong), "form", formPage{v.setting("/members", v.t("page.invite")), f})
	return nil
}

func invite(v *visit) error {
	in := client.Invite{Email: v.form("email"), Role: v.form("role"), ExportUserData: v.form("export_user_data") != "", Language: v.form("language")}
	made, err := v.api.Invite(v, v.place.Workspace, in)
	if err != nil {
		if err = v.said(err); !isInput(err) {
			return err
		}
		return v.inviteAgain(in.Role, in.Language, err)
	}
	if made.Mailed {
		return v.done(v.path("/settings/members"), "page.told_invited", "email", made.Email)
	}
	to := button{Text: v.t("page.to_members"), Href: v.path("/settings/members")}
	v.show(http.StatusCreated, "sections", sectionsPage{Frame: v.setting("/members", v.t("page.invite")), Sections: []section{{
		Banner: &banner{Tone: warn, Icon: "mail", Title: v.t("page.unmailed", "email", made.Email), Texts: said(made.MailProblem, v.t("page.unmailed_text", "time", v.lang.Time(made.ExpiresAt, v.zone))), Actions: []button{to}},
		Line:   &line{"link", v.t("page.link"), made.Link},
	}}})
	return nil
}

func revokeInvitation(v *visit) error {
	if !v.may("administrator") {
		return v.forbidden()
	}
	all, err := collect(v, v.api.ListInvitations(v, v.place.Workspace))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(i client.Invitation) bool { return i.ID == v.r.PathValue("invitation") })
	if i < 0 {
		return nothingHere(v)
	}
	return v.confirm(confirmation{
		Frame: v.setting("/members", v.t("page.revoke_invitation")), Texts: []string{v.t("page.revoke_invitation_text", "email", all[i].Email)},
		Button: v.t("page.revoke_invitation"), Back: v.path("/settings/members"),
	}, func() error {
		if err := v.said(v.api.RevokeInvitation(v, v.place.Workspace, all[i].ID)); err != nil {
			return err
		}
		return v.done(v.path("/settings/members"), "page.told_revoked", "name", all[i].Email)
	})
}
