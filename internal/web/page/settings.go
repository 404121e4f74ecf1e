package page

import (
	"net/http"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// settingsTabs are the settings of a workspace, with the role that sees each.
var settingsTabs = []struct{ key, path, role string }{
	{"page.tab_workspace", "", "viewer"}, {"page.tab_members", "/members", "viewer"}, {"page.tab_keys", "/keys", "viewer"},
	{"page.tab_webhooks", "/webhooks", "viewer"}, {"page.tab_changes", "/changes", "administrator"},
}

// settings gives the frame of the settings at path.
func (v *visit) settings(path string) frame {
	var tabs []tab
	title := ""
	for _, t := range settingsTabs {
		if t.path == path {
			title = v.t(t.key)
		}
		if v.may(t.role) {
			tabs = append(tabs, tab{v.t(t.key), v.path("/settings" + t.path), t.path == path})
		}
	}
	f := v.frame(title, "/settings")
	f.Crumbs = []crumb{{v.t("page.rail_settings"), v.path("/settings")}, {title, ""}}
	f.Tabs = tabs
	return f
}

// setting gives the frame of a page about one of the things that the settings at path list.
func (v *visit) setting(path, title string) frame {
	f := v.frame(title, "/settings")
	for _, t := range settingsTabs {
		if t.path == path {
			f.Crumbs = []crumb{{v.t("page.rail_settings"), v.path("/settings")}, {v.t(t.key), v.path("/settings" + t.path)}, {title, ""}}
		}
	}
	return f
}

func showWorkspace(v *visit) error {
	w, err := v.api.GetWorkspace(v, v.place.Workspace)
	if err != nil {
		return v.said(err)
	}
	return v.workspaceAgain(w, w, nil)
}

// workspaceAgain shows the settings of a workspace, as typed, and what was wrong with them.
func (v *visit) workspaceAgain(w, typed client.Workspace, wrong error) error {
	problems := v.problems(wrong)
	p := sectionsPage{Frame: v.settings("")}
	key := "page.workspace_says_reject"
	if w.UnknownFields == "ignore" {
		key = "page.workspace_says_ignore"
	}
	p.Frame.Says = &says{Text: v.t(key, "language", languageNames[text.Language(w.Language)])}
	ids := section{Title: v.t("page.identifiers"), Pairs: pairs{
		{Name: v.t("page.workspace_id"), Copy: &line{"workspace-id", v.t("page.workspace_id"), w.ID}},
		{Name: v.t("page.created"), Time: v.moment(w.CreatedAt)},
	}}
	if !v.may("administrator") {
		if wrong != nil {
			return wrong
		}
		p.Sections = []section{{Pairs: pairs{
			{Name: v.t("page.name"), Text: w.Name}, {Name: v.t("page.unknown_fields"), Text: v.unknownFields(w.UnknownFields)}, {Name: v.t("page.workspace_language"), Text: languageNames[text.Language(w.Language)]},
			{Name: v.t("page.me_zone"), Text: w.TimeZone},
		}}, ids}
		v.show(http.StatusOK, "sections", p)
		return nil
	}
	f := form{Problem: v.wrong(wrong), Hidden: []hidden{{"version", w.ETag}}, Buttons: []button{{Text: v.t("page.save"), Kind: "primary"}}}
	if fault.CodeOf(wrong) == fault.Stale {
		f.Problem.Texts = v.nowIs(w, typed)
	}
	unknown := &choices{Name: "unknown_fields", Legend: v.t("page.unknown_fields"), Hint: v.t("page.unknown_fields_hint"), Error: problems["unknown_fields"]}
	for _, u := range unknownFields {
		unknown.Options = append(unknown.Options, choice{u.name, v.t(u.key), v.t(u.explained), u.name == typed.UnknownFields})
	}
	if v.me.Installation { // names are the installation's
		f.Parts = []part{{Field: &field{Name: "name", Label: v.t("page.name"), Hint: v.t("page.workspace_name_hint"), Value: typed.Name, Error: problems["name"], Required: true}}}
	} else {
		ids.Pairs = append(pairs{{Name: v.t("page.name"), Text: w.Name, Small: v.t("page.workspace_name_whose")}}, ids.Pairs...)
	}
	f.Parts = append(f.Parts, part{Choices: unknown}, part{Field: v.languageField(typed.Language, v.t("page.workspace_language_hint"), problems["language"])},
		part{Field: v.zoneField("time_zone", typed.TimeZone, v.t("page.workspace_zone_hint"), problems["time_zone"])})
	f.unplaced(problems)
	p.Sections = []section{{Form: &f}, ids}
	v.show(statusOf(wrong), "sections", p)
	return nil
}

// unknownFields are what becomes of fields of events that their type does not have.
var unknownFields = []struct{ name, key, explained string }{
	{"reject", "page.unknown_reject", "page.unknown_reject_text"}, {"ignore", "page.unknown_ignore", "page.unknown_ignore_text"},
}

func (v *visit) unknownFields(name string) string {
	for _, u := range unknownFields {
		if u.name == name {
			return v.t(u.key)
		}
	}
	return name
}

// languageField chooses a language that people are written to in.
func (v *visit) languageField(chosen, hint, wrong string) *field {
	f := &field{Name: "language", Label: v.t("page.mail_language"), Hint: hint, Error: wrong}
	for _, l := range text.Languages() {
		f.Options = append(f.Options, option{string(l), languageNames[l], string(l) == chosen})
	}
	return f
}

// nowIs says how the workspace is now where what was typed is different.
func (v *visit) nowIs(w, typed client.Workspace) (all []string) {
	for _, x := range []struct{ name, now, typed string }{
		{v.t("page.name"), w.Name, typed.Name}, {v.t("page.unknown_fields"), v.unknownFields(w.UnknownFields), v.unknownFields(typed.UnknownFields)},
		{v.t("page.mail_language"), languageNames[text.Language(w.Language)], languageNames[text.Language(typed.Language)]},
		{v.t("page.me_zone"), w.TimeZone, typed.TimeZone},
	} {
		if x.now != x.typed {
			all = append(all, v.t("page.now_is", "name", x.name, "value", x.now))
		}
	}
	return append(all, v.t("page.save_anyway"))
}

func saveWorkspace(v *visit) error {
	typed := client.Workspace{Name: v.form("name"), UnknownFields: v.form("unknown_fields"), Language: v.form("language"), TimeZone: strings.TrimSpace(v.form("time_zone"))}
	edit := client.WorkspaceEdit{UnknownFields: &typed.UnknownFields, Language: &typed.Language, TimeZone: &typed.TimeZone}
	if v.me.Installation {
		edit.Name = &typed.Name
	}
	w, err := v.api.UpdateWorkspace(v, v.place.Workspace, edit, v.form("version"))
	if err == nil {
		return v.done(v.path("/settings"), "page.told_workspace", "name", w.Name)
	}
	if err = v.said(err); !isInput(err) {
		return err
	}
	w, failed := v.api.GetWorkspace(v, v.place.Workspace)
	if failed != nil {
		return v.said(failed)
	}
	if !v.me.Installation { // the form did not ask
		typed.Name = w.Name
	}
	return v.workspaceAgain(w, typed, err)
}
