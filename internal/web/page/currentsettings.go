package page

import (
	"net/http"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
)

// settingsPages change a Current.
func currentSettingsPages() []page {
	return []page{
		{"GET /w/{workspace}/currents/{current}/settings", false, showSettings},
		{"POST /w/{workspace}/currents/{current}/settings", false, saveSettings},
		{"GET /w/{workspace}/currents/{current}/credentials", false, editors(showCredentials)},
		{"POST /w/{workspace}/currents/{current}/credentials", false, rotateCredentials},
	}
}

// asked gives what the failed check of the address was to do; nil if there is none.
func (v *visit) asked() (*client.Check, error) {
	id := v.r.URL.Query().Get("check")
	if id == "" {
		return nil, nil
	}
	c, err := v.api.GetCheck(v, id)
	if err != nil {
		return nil, v.said(err)
	}
	if c.Asked == nil || c.Connector != v.r.PathValue("current") {
		return nil, nil
	}
	return &c, nil
}

// wanted gives a Current's form as it is, or as a change that failed was to make it, with why it failed.
func (v *visit) wanted(c client.Connector) (x currentForm, problems map[string]string, wrong *banner, err error) {
	failed, err := v.asked()
	if err != nil {
		return x, nil, nil, err
	}
	x, problems = newCurrentForm("").with(wishOf(c)), map[string]string{}
	if failed != nil {
		x, wrong = x.with(*failed.Asked), v.whyFailed(*failed, problems)
	}
	return x, problems, wrong, nil
}

// showSettings shows a Current as it is, or as a change that failed was to make it.
func showSettings(v *visit) error {
	c, f, err := v.current("/settings")
	if err != nil {
		return err
	}
	x, problems, wrong, err := v.wanted(c)
	if err != nil {
		return err
	}
	return v.settingsForm(http.StatusOK, c, f, v.keptOr(x), problems, wrong, c.ETag, false)
}

func (v *visit) settingsForm(status int, c client.Connector, f frame, x currentForm, problems map[string]string, wrong *banner, etag string, extra bool) error {
	if c.Status == "deleted" || !v.may("editor") {
		v.show(status, "sections", sectionsPage{Frame: f, Sections: []section{{Pairs: v.facts(c)}}})
		return nil
	}
	types, err := collect(v, v.api.ListEventTypes(v))
	if err != nil {
		return err
	}
	parts, err := v.currentParts(x, formParts{types: types, problems: problems, id: c.ID, extra: extra})
	if err != nil {
		return err
	}
	settings := form{Problem: wrong, Parts: parts, Enter: true, Hidden: []hidden{{"etag", etag}}, Buttons: []button{{Text: v.t("page.form_review"), Kind: "primary"}}}
	settings.unplaced(problems)
	v.show(status, "form", formPage{f, settings})
	return nil
}

// saveSettings takes the form: to be shown again, to be looked at once more, or, confirmed, to be done. It is meant for
// the version that was shown; who was overtaken is told by whom, and sees what they typed against what is there now.
func saveSettings(v *visit) error {
	c, f, err := v.current("/settings")
	if err != nil {
		return err
	}
	x, etag := v.typed(), v.form("etag")
	if next, extra, again := v.redrawn(x); again {
		return v.settingsForm(http.StatusOK, c, f, next, map[string]string{}, nil, etag, extra)
	}
	if err := x.wrongMethod(); err != nil {
		return v.settingsForm(again(err), c, f, x, v.problems(err), v.wrong(err), etag, false)
	}
	types, err := collect(v, v.api.ListEventTypes(v))
	if err != nil {
		return err
	}
	e := x.edit(types)
	if v.form("confirmed") == "" {
		p, err := v.api.PreviewConnector(v, v.place.Workspace, c.ID, e)
		err = v.said(err)
		switch problems := v.notNumber(x, v.problems(err)); {
		case err == nil && len(p.After) == 0:
			return v.done(v.path("/currents/"+c.ID+"/settings"), "page.form_nothing")
		case err == nil:
			return v.reviewChange(http.StatusOK, c, f, p, x, "")
		case len(problems) == 1 && problems[secretField] != "": // it is asked for beside what changes
			return v.reviewChange(http.StatusOK, c, f, client.Preview{Check: true, Before: map[string]any{}, After: map[string]any{"destination.access_key_id": x.keyID}}, x, "")
		case !isInput(err):
			return err
		default:
			return v.settingsForm(again(err), c, f, x, problems, v.wrong(err), etag, false)
		}
	}
	_, check, err := v.api.UpdateConnector(v, v.place.Workspace, c.ID, e, etag)
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		if fault.Is(err, fault.Stale) {
			etag = c.ETag
		}
		return v.settingsForm(again(err), c, f, x, v.notNumber(x, v.problems(err)), v.wrong(err), etag, false)
	}
	if check != nil {
		v.redirect(v.path("/checks/" + check.ID))
		return nil
	}
	return v.done(v.path("/currents/"+c.ID+"/settings"), "page.form_saved")
}

const secretField = "destination.secret_access_key"

// changeOrder is the order in which the fields of a Current are told of that a change is about: that of the form.
var changeOrder = []string{"name", "contact_email", "destination.role_arn", "destination.access_key_id", secretField, "destination.bucket", "destination.folder",
	"encryption", "events", "transformations", "codec", "flush.interval", "flush.events", "destination.endpoint", "destination.region", "destination.path_style",
	"test", "paused"}

// reviewChange shows what a change comes to, before it is made. The form goes along, but for its secret, which is asked
// for here if the change needs one.
func (v *visit) reviewChange(status int, c client.Connector, f frame, p client.Preview, x currentForm, wrong string) error {
	t := &table{Columns: []column{{v.t("page.form_field"), false}, {v.t("page.form_now"), false}, {v.t("page.form_then"), false}}}
	for _, name := range changeOrder {
		if after, ok := p.After[name]; ok && name != secretField {
			t.Rows = append(t.Rows, row{[]cell{{Text: v.fieldWord(name)}, {Text: v.value(name, p.Before[name]), Mono: true}, {Text: v.value(name, after), Mono: true}}})
		}
	}
	review := form{Hidden: []hidden{{"confirmed", "on"}}, Parts: []part{{Heading: v.t("page.form_review_title")}, {Table: t}}}
	for _, name := range sortedKeys(v.r.PostForm) {
		if name == onceField || name == "confirmed" || name == secretField {
			continue
		}
		for _, value := range v.r.PostForm[name] {
			review.Hidden = append(review.Hidden, hidden{name, value})
		}
	}
	if _, other := p.After["destination.access_key_id"]; other && x.method == "key" {
		review.Parts = append(review.Parts, part{Field: &field{Name: secretField, Label: v.t("page.secret_access_key"), Hint: v.t("page.form_secret_new"), Type: "password", Autocomplete: "off", Mono: true, Error: wrong, Help: v.help("secret")}})
	}
	if p.Check {
		review.Parts = append(review.Parts, part{Text: v.t("page.form_review_check")})
	} else {
		review.Parts = append(review.Parts, part{Text: v.t("page.form_review_now")})
	}
	review.Buttons = []button{{Text: v.t("page.form_save"), Kind: "primary"}, {Text: v.t("page.form_back"), Name: "part", Value: "form"}}
	v.show(status, "form", formPage{f, review})
	return nil
}

// showCredentials shows the form of other credentials.
func showCredentials(v *visit) error {
	c, f, err := v.current("/settings")
	if err == nil {
		err = v.acts(c)
	}
	if err != nil {
		return err
	}
	x, problems, wrong, err := v.wanted(c)
	if err != nil {
		return err
	}
	return v.credentialsForm(http.StatusOK, c, f, v.keptOr(x), problems, wrong)
}

func (v *visit) credentialsForm(status int, c client.Connector, f frame, x currentForm, problems map[string]string, wrong *banner) error {
	access, err := v.signIn(x.access, problems)
	if err != nil {
		return err
	}
	f.Crumbs = []crumb{f.Crumbs[0], {c.Name, v.path("/currents/" + c.ID)}, {v.t("page.form_rotate"), ""}}
	topic := "rotate"
	if x.method == "role" {
		topic = "rotate_role"
	}
	rotate := form{Intro: []string{v.t("page.form_rotate_text")}, Problem: wrong, Parts: append(access, part{Help: v.help(topic)}),
		Buttons: []button{{Text: v.t("page.form_rotate"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: v.path("/currents/" + c.ID)}}}
	rotate.unplaced(problems)
	v.show(status, "form", formPage{f, rotate})
	return nil
}

// rotateCredentials has other credentials checked, which take the place of the former ones once they have passed.
func rotateCredentials(v *visit) error {
	c, f, err := v.current("/settings")
	if err != nil {
		return err
	}
	x := v.typed()
	if err := x.wrongMethod(); err != nil {
		return v.credentialsForm(again(err), c, f, x, v.problems(err), v.wrong(err))
	}
	d := &client.DestinationEdit{}
	x.accessEdit(d)
	_, check, err := v.api.UpdateConnector(v, v.place.Workspace, c.ID, client.ConnectorEdit{Destination: d}, "")
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		return v.credentialsForm(again(err), c, f, x, v.problems(err), v.wrong(err))
	}
	if check == nil {
		return v.done(v.path("/currents/"+c.ID), "page.form_nothing")
	}
	v.redirect(v.path("/checks/" + check.ID))
	return nil
}
