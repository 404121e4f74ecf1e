package page

import (
	"net/http"

	"github.com/millrace/millrace/client"
)

// newPages make a Current, by way of a draft or at once.
func newPages() []page {
	return []page{
		{"GET /w/{workspace}/currents/new", false, editors(newCurrent)},
		{"POST /w/{workspace}/currents/new", false, launchCurrent},
		{"GET /w/{workspace}/drafts/{draft}/delete", false, editors(deleteDraft)},
		{"POST /w/{workspace}/drafts/{draft}/delete", false, editors(deleteDraft)},
	}
}

// newCurrent shows the form: empty, as a draft has it, or as a check that failed was asked.
func newCurrent(v *visit) error {
	f, draft := newCurrentForm(v.me.Email), v.r.URL.Query().Get("draft")
	var failed *client.Check
	if id := v.r.URL.Query().Get("check"); id != "" {
		c, err := v.api.GetCheck(v, id)
		if err != nil {
			return v.said(err)
		}
		if c.Asked != nil {
			f, failed, draft = f.with(*c.Asked), &c, c.Connector // which is a draft's, if there is one of that id
		}
	}
	kept, err := v.draft(draft, failed != nil)
	if err != nil {
		return err
	}
	if kept != nil && failed == nil {
		f = f.with(kept.Connector)
	}
	problems := map[string]string{}
	var b *banner
	if failed != nil {
		b = v.whyFailed(*failed, problems)
	}
	return v.showNew(http.StatusOK, v.keptOr(f), kept, problems, b, false)
}

// draft gives a draft; nil if there is none of that id, which is an error unless it may be missing.
func (v *visit) draft(id string, mayMiss bool) (*client.Draft, error) {
	if id == "" {
		return nil, nil
	}
	d, err := v.api.GetDraft(v, v.place.Workspace, id)
	if mayMiss && client.HasCode(err, "not_found") {
		return nil, nil
	}
	return &d, v.said(err)
}

// launchCurrent takes the form: to be shown again, to be kept as a draft, or to be launched. The draft that it came from
// keeps what was typed last, and its secret where none was typed.
func launchCurrent(v *visit) error {
	f, draft := v.typed(), v.form("draft")
	kept, err := v.draft(draft, false)
	if err != nil {
		return err
	}
	if next, extra, again := v.redrawn(f); again {
		return v.showNew(http.StatusOK, next, kept, map[string]string{}, nil, extra)
	}
	if err := f.wrongMethod(); err != nil {
		return v.showNew(again(err), f, kept, v.problems(err), v.wrong(err), false)
	}
	types, err := collect(v, v.api.ListEventTypes(v))
	if err != nil {
		return err
	}
	e, workspace := f.edit(types), v.place.Workspace
	var check client.Check
	switch {
	case kept != nil:
		var saved client.Draft
		if saved, err = v.api.SaveDraft(v, workspace, kept.ID, e, v.form("etag")); err == nil {
			kept = &saved
		}
		if err == nil && v.form("do") != "draft" {
			check, err = v.api.LaunchDraft(v, workspace, kept.ID)
		}
	case v.form("do") == "draft":
		_, err = v.api.CreateDraft(v, workspace, e)
	default:
		check, err = v.api.LaunchConnector(v, workspace, e)
	}
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		return v.showNew(again(err), f, kept, v.notNumber(f, v.problems(err)), v.wrong(err), false)
	}
	if v.form("do") == "draft" {
		return v.done(v.path("/currents"), "page.form_draft_saved", "name", f.name)
	}
	v.redirect(v.path("/checks/" + check.ID))
	return nil
}

func (v *visit) showNew(status int, f currentForm, kept *client.Draft, problems map[string]string, wrong *banner, extra bool) error {
	types, err := collect(v, v.api.ListEventTypes(v))
	if err != nil {
		return err
	}
	others, err := collect(v, v.api.ListConnectors(v, v.place.Workspace, false))
	if err != nil {
		return err
	}
	in := formParts{types: types, others: others, problems: problems, extra: extra}
	f.secretKept = kept != nil && kept.HasSecret
	parts, err := v.currentParts(f, in)
	if err != nil {
		return err
	}
	title := v.t("page.create_current")
	x := form{Problem: wrong, Parts: parts, Enter: true, Buttons: []button{{Text: v.t("page.launch"), Kind: "primary"}, {Text: v.t("page.form_draft_save"), Name: "do", Value: "draft"}}}
	if kept != nil {
		title = kept.Name
		x.Hidden = []hidden{{"draft", kept.ID}, {"etag", kept.ETag}}
		x.Buttons = append(x.Buttons, button{Text: v.t("page.form_draft_delete"), Kind: "quiet", Icon: "trash-2", Href: v.path("/drafts/" + kept.ID + "/delete")})
	}
	x.unplaced(problems)
	p := formPage{v.frame(title, "/currents"), x}
	p.Frame.Crumbs = []crumb{{v.t("page.rail_currents"), v.path("/currents")}, {title, ""}}
	if kept != nil {
		p.Frame.Says = &says{plain, "circle-dashed", v.t("page.says_draft")}
	}
	v.show(status, "form", p)
	return nil
}

func deleteDraft(v *visit) error {
	d, err := v.api.GetDraft(v, v.place.Workspace, v.r.PathValue("draft"))
	if err != nil {
		return v.said(err)
	}
	f := v.frame(v.t("page.form_draft_delete"), "/currents")
	f.Crumbs = []crumb{{v.t("page.rail_currents"), v.path("/currents")}, {d.Name, v.path("/currents/new?draft=" + d.ID)}, {f.Title, ""}}
	return v.confirm(confirmation{Frame: f, Name: d.Name, Texts: []string{v.t("page.form_draft_delete_text", "name", d.Name)}, Button: v.t("page.form_draft_delete"), Back: v.path("/currents/new?draft=" + d.ID)}, func() error {
		if err := v.said(v.api.DeleteDraft(v, v.place.Workspace, d.ID)); err != nil {
			return err
		}
		return v.done(v.path("/currents"), "page.form_draft_deleted", "name", d.Name)
	})
}
