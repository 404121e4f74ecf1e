package page

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
)

// partnerPages are the technology partners: where exports on demand go.
func partnerPages() []page {
	return []page{
		{"GET /w/{workspace}/partners", false, listPartners},
		{"GET /w/{workspace}/partners/s3", false, showPartner},
		{"GET /w/{workspace}/partners/s3/checks", false, showPartnerChecks},
		{"POST /w/{workspace}/partners/s3/check", false, checkPartner},
		{"GET /w/{workspace}/partners/s3/link", false, editors(linkPartner)},
		{"POST /w/{workspace}/partners/s3/link", false, sendPartner},
		{"GET /w/{workspace}/partners/s3/unlink", false, editors(unlinkPartner)},
		{"POST /w/{workspace}/partners/s3/unlink", false, editors(unlinkPartner)},
	}
}

// partnerName is that of the one partner there is, in every language.
const partnerName = "Amazon S3"

// partner is how the link to it is.
type partner struct {
	link *client.DataExport // nil: there is none
	last *client.PastCheck  // of the credentials that are in use; nil: none is remembered
}

// partner gives it.
func (v *visit) partner() (p partner, err error) {
	d, err := v.api.GetDataExport(v, v.place.Workspace)
	switch err = v.said(err); {
	case fault.Is(err, fault.NotFound):
		return p, nil
	case err != nil:
		return p, err
	}
	p.link = &d
	ctx, part := v.part()
	part.Cursor, part.Limit = "", checkRows
	checks, err := collect(v, v.api.ListDataExportChecks(ctx, v.place.Workspace))
	for i, k := range checks {
		// A test was of what somebody typed; and a save that failed left all as it was.
		if k.Trigger != "test" && (k.Trigger != "save" || k.OK) {
			p.last = &checks[i]
			break
		}
	}
	return p, err
}

func (p partner) failing() bool { return p.link != nil && p.last != nil && !p.last.OK }

// partnerPill is its state in a word, and partnerSays in a sentence.
func (v *visit) partnerPill(p partner) *pill {
	switch {
	case p.link == nil:
		return &pill{plain, "circle-dashed", v.t("page.partner_none")}
	case p.failing():
		return &pill{bad, "circle-alert", v.t("page.partner_failing")}
	}
	return &pill{good, "circle-check", v.t("page.partner_linked")}
}

func (v *visit) partnerSays(p partner) *says {
	s := v.partnerPill(p)
	out := &says{Tone: s.Tone, Icon: s.Icon}
	switch {
	case p.link == nil:
		out.Text = v.t("page.partner_says_none")
	case p.failing():
		out.Text = v.t("page.partner_says_failing", "bucket", p.link.Bucket, "ago", v.moment(p.last.At).Text)
	case p.last != nil:
		out.Text = v.t("page.partner_says_checked", "bucket", p.link.Bucket, "ago", v.moment(p.last.At).Text)
	default:
		out.Text = v.t("page.partner_says_linked", "bucket", p.link.Bucket)
	}
	return out
}

func listPartners(v *visit) error {
	p, err := v.partner()
	if err != nil {
		return err
	}
	f := v.frame(v.t("page.rail_partners"), "/partners")
	f.Says = v.partnerSays(p)
	bucket, at := cell{Text: "–"}, cell{Text: "–"}
	if p.link != nil {
		bucket = cell{Text: p.link.Bucket, Mono: true}
	}
	if p.last != nil {
		at = cell{Time: v.moment(p.last.At)}
	}
	v.show(http.StatusOK, "list", listPage{Frame: f, Table: table{
		Columns: []column{{v.t("page.partner"), false}, {v.t("page.status"), false}, {v.t("page.bucket"), false}, {v.t("page.partner_checked"), false}},
		Rows:    []row{{[]cell{{Text: partnerName, Href: v.path("/partners/s3"), Small: v.t("page.partner_for")}, {Pill: v.partnerPill(p)}, bucket, at}}},
	}})
	return nil
}

// partnerFrame gives the frame of the page of the partner that is at path.
func (v *visit) partnerFrame(p partner, path string) frame {
	base := v.path("/partners/s3")
	f := v.frame(partnerName, "/partners")
	f.Says = v.partnerSays(p)
	f.Crumbs = []crumb{{v.t("page.rail_partners"), v.path("/partners")}, {partnerName, ""}}
	f.Tabs = []tab{{v.t("page.tab_overview"), base, path == ""}, {v.t("page.tab_checks"), base + "/checks", path == "/checks"}}
	switch {
	case !v.may("editor"):
	case p.link == nil:
		f.Actions = []button{{Text: v.t("page.partner_link"), Kind: "primary", Icon: "plus", Href: base + "/link"}}
	default:
		f.Actions = []button{{Text: v.t("page.check_now"), Icon: "shield-check", Href: base + "/check", Post: true}, {Text: v.t("page.partner_change"), Icon: "pencil", Href: base + "/link"}}
		f.More = &menu{Label: v.t("page.more_actions"), Icon: "ellipsis", Items: []menuItem{{Text: v.t("page.partner_unlink"), Icon: "trash-2", Danger: true, Href: base + "/unlink"}}}
	}
	return f
}

func showPartner(v *visit) error {
	p, err := v.partner()
	if err != nil {
		return err
	}
	out := sectionsPage{Frame: v.partnerFrame(p, "")}
	if p.failing() {
		b := banner{Tone: bad, Icon: "circle-alert", Title: v.t("page.partner_refused"), Help: v.help("failing_exports")}
		for _, s := range p.last.Steps {
			if s.State == "failed" {
				b.Texts = said(s.Message, s.Hint)
				break
			}
		}
		if v.may("editor") {
			b.Actions = []button{{Text: v.t("page.partner_change"), Icon: "pencil", Kind: "primary", Href: v.path("/partners/s3/link")}}
		}
		out.Banners = []banner{b}
	}
	if p.link != nil {
		out.Sections = append(out.Sections, section{Title: v.t("page.partner_connection"), Pairs: v.partnerFacts(p)})
	}
	out.Sections = append(out.Sections, section{Title: v.t("page.partner_what"), Prose: prose(v.t("page.partner_what_text"))})
	v.show(http.StatusOK, "sections", out)
	return nil
}

func (v *visit) partnerFacts(p partner) pairs {
	d := p.link
	out := pairs{{Name: v.t("page.status"), Pill: v.partnerPill(p)}, {Name: v.t("page.bucket"), Text: d.Bucket, Mono: true}}
	if d.RoleARN != "" {
		out = append(out, pairItem{Name: v.t("page.role_arn"), Text: d.RoleARN, Mono: true})
	} else {
		out = append(out, pairItem{Name: v.t("page.access_key_id"), Text: cmp.Or(d.AccessKeyID, "–"), Mono: true})
	}
	for _, x := range []struct{ name, text string }{{"page.region", d.Region}, {"page.endpoint", d.Endpoint}} {
		if x.text != "" {
			out = append(out, pairItem{Name: v.t(x.name), Text: x.text, Mono: true})
		}
	}
	out = append(out, pairItem{Name: v.t("page.partner_since"), Time: v.moment(d.CreatedAt)}, pairItem{Name: v.t("page.partner_changed"), Time: v.moment(d.UpdatedAt)})
	if p.last != nil {
		out = append(out, pairItem{Name: v.t("page.partner_checked"), Time: v.moment(p.last.At)})
	}
	return out
}

func showPartnerChecks(v *visit) error {
	p, err := v.partner()
	if err != nil {
		return err
	}
	ctx, part := v.part()
	part.Limit = checkRows
	checks, err := collect(v, v.api.ListDataExportChecks(ctx, v.place.Workspace))
	if err != nil {
		return err
	}
	out := checksPage{Frame: v.partnerFrame(p, "/checks"), Empty: &empty{v.t("page.checks_none"), v.t("page.partner_checks_none"), nil}}
	for i, k := range checks {
		out.Checks = append(out.Checks, v.pastCheck(k, i == 0 && part.Cursor == ""))
	}
	v.pages(&out.Pages, part)
	v.show(http.StatusOK, "checks", out)
	return nil
}

// checkPartner tests the credentials that are in use.
func checkPartner(v *visit) error {
	c, err := v.api.TestDataExport(v, v.place.Workspace, client.DataExportEdit{})
	if err != nil {
		return v.said(err)
	}
	v.redirect(v.path("/checks/" + c.ID))
	return nil
}

func unlinkPartner(v *visit) error {
	p, err := v.partner()
	if err != nil {
		return err
	}
	back := v.path("/partners/s3")
	if p.link == nil { // somebody was quicker
		v.redirect(back)
		return nil
	}
	f := v.frame(v.t("page.partner_unlink"), "/partners")
	f.Crumbs = []crumb{{v.t("page.rail_partners"), v.path("/partners")}, {partnerName, back}, {f.Title, ""}}
	return v.confirm(confirmation{Frame: f, Name: p.link.Bucket, Button: v.t("page.partner_unlink"), Back: back,
		Texts: []string{v.t("page.partner_unlink_text", "bucket", p.link.Bucket), v.t("page.partner_unlink_stays")}}, func() error {
		if err := v.said(v.api.DeleteDataExport(v, v.place.Workspace)); err != nil {
			return err
		}
		return v.done(back, "page.partner_unlinked", "bucket", p.link.Bucket)
	})
}

// newLink is how the form of a link that is there begins, or of the first.
func newLink(d *client.DataExport) access {
	a := access{integration: "exports", method: "role"}
	if d != nil {
		a.bucket, a.region, a.endpoint, a.pathStyle, a.role, a.keyID = d.Bucket, d.Region, d.Endpoint, d.PathStyle, d.RoleARN, d.AccessKeyID
		if a.role == "" {
			a.method = "key"
		}
	}
	return a
}

// asked gives the form as it was when the check c was asked for.
func (a access) asked(c client.Check) access {
	e := c.AskedExport
	if e == nil {
		return a
	}
	for _, x := range []struct {
		to   *string
		from *string
	}{{&a.bucket, e.Bucket}, {&a.region, e.Region}, {&a.endpoint, e.Endpoint}, {&a.role, e.RoleARN}, {&a.keyID, e.AccessKeyID}} {
		if x.from != nil {
			*x.to = *x.from
		}
	}
	if e.PathStyle != nil {
		a.pathStyle = *e.PathStyle
	}
	switch {
	case e.RoleARN != nil:
		a.method = "role"
	case e.AccessKeyID != nil:
		a.method = "key"
	}
	return a
}

// exportEdit gives what is asked of the API.
func (a access) exportEdit() client.DataExportEdit {
	e := client.DataExportEdit{Bucket: &a.bucket, Region: &a.region, Endpoint: &a.endpoint, PathStyle: &a.pathStyle}
	if a.method == "role" {
		e.RoleARN = &a.role
		return e
	}
	e.AccessKeyID = &a.keyID
	if a.secret != "" {
		e.SecretAccessKey = &a.secret
	}
	return e
}

// linkPartner shows the form, as it was when a check was asked for if the address names one.
func linkPartner(v *visit) error {
	p, err := v.partner()
	if err != nil {
		return err
	}
	a := newLink(p.link)
	id := v.r.URL.Query().Get(checkParam)
	if v.kept != nil {
		a = v.typedAccess("exports", "")
	}
	if id == "" || v.kept != nil {
		return v.showLink(p, a, nil, nil)
	}
	c, err := v.api.GetCheck(v, id)
	if err != nil {
		return v.said(err)
	}
	return v.showLink(p, a.asked(c), &c, nil)
}

// checkParam is the field of the form's address that names the check which it was left for.
const checkParam = "check"

// sendPartner tests what was typed, or has it saved after the same test.
func sendPartner(v *visit) error {
	p, err := v.partner()
	if err != nil {
		return err
	}
	a := v.typedAccess("exports", "")
	if v.form("part") != "" {
		return v.showLink(p, a, nil, nil)
	}
	if err := a.wrongMethod(); err != nil {
		return v.showLink(p, a, nil, err)
	}
	var c client.Check
	if v.form("do") == "save" {
		c, err = v.api.SaveDataExport(v, v.place.Workspace, a.exportEdit(), v.form("etag"))
	} else {
		v.r.PostForm.Del(onceField) // something may have been mended at AWS since: the same once more is another test
		c, err = v.api.TestDataExport(v, v.place.Workspace, a.exportEdit())
	}
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		return v.showLink(p, a, nil, err)
	}
	v.redirect(v.path("/checks/" + c.ID))
	return nil
}

// showLink shows the form of the link: after a check of what stands in it, or again because of wrong.
func (v *visit) showLink(p partner, a access, tested *client.Check, wrong error) error {
	title, etag := "page.partner_link", `"0"`
	if p.link != nil {
		title, etag = "page.partner_change", p.link.ETag
		a.secretKept = p.link.AccessKeyID != "" && p.link.AccessKeyID == a.keyID
	}
	f := form{Problem: v.wrong(wrong), Hidden: []hidden{{"etag", etag}}}
	problems := v.problems(wrong)
	switch {
	case tested == nil:
	case tested.State == "passed":
		b := v.tested()
		if a.method == "key" && !a.secretKept {
			b.Texts = append(b.Texts, v.t("page.partner_secret_again"))
		}
		f.Parts = append(f.Parts, part{Banner: &b})
	case tested.State == "failed":
		found := map[string]string{}
		f.Problem = v.whyFailed(*tested, found)
		f.Problem.Actions = []button{{Text: v.t("page.partner_steps"), Href: v.path("/checks/" + tested.ID)}}
		for name, message := range found {
			problems[strings.TrimPrefix(name, "destination.")] = message
		}
	}
	signIn, err := v.signIn(a, problems)
	if err != nil {
		return err
	}
	policy, err := v.paste(a, "")
	if err != nil {
		return err
	}
	bucket := v.accessField(a, problems, "bucket", "page.bucket", a.bucket, "bucket")
	bucket.Live = pasted
	more := fold{Title: v.t("page.partner_compatible"), Parts: v.store(a, problems)}
	more.Open = a.endpoint != "" || a.region != "" || problems["endpoint"] != "" || problems["region"] != ""

	f.Intro = []string{v.t("page.partner_link_text")}
	if p.link != nil {
		f.Intro = []string{v.t("page.partner_change_text")}
		signIn = append(signIn, part{When: "key", Help: v.help("rotate_exports")}, part{When: "role", Help: v.help("rotate_role")})
	}
	f.Parts = append(f.Parts, signIn...)
	f.Parts = append(f.Parts, part{Heading: v.t("page.partner_where")}, part{Field: &bucket}, policy, part{Fold: &more}, part{Live: &live{ID: testPlace}})
	test := button{Text: v.t("page.partner_test"), Icon: "shield-check", Name: "do", Value: "test", Test: testPlace}
	save := button{Text: v.t("page.partner_save"), Name: "do", Value: "save"}
	if tested != nil && tested.State == "passed" {
		save.Kind = "primary"
	} else {
		test.Kind = "primary"
	}
	f.Buttons = []button{test, save, {Text: v.t("page.cancel"), Kind: "quiet", Href: v.path("/partners/s3")}}
	f.unplaced(problems)

	out := formPage{Frame: v.frame(v.t(title), "/partners"), Form: f}
	out.Frame.Crumbs = []crumb{{v.t("page.rail_partners"), v.path("/partners")}, {partnerName, v.path("/partners/s3")}, {out.Frame.Title, ""}}
	v.show(statusOf(wrong), "form", out)
	return nil
}

// testPlace is the id of where the steps of a test are shown, beside the form that it is of.
const testPlace = "test"

// said gives those of texts that say something.
func said(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}

// tested says that a test has passed.
func (v *visit) tested() banner {
	return banner{Tone: good, Icon: "circle-check", Title: v.t("page.partner_tested"), Texts: []string{v.t("page.partner_tested_text")}}
}

// linkSaved leads from the check of a link that is saved to its partner.
func (v *visit) linkSaved(c client.Check) error {
	key := "page.partner_saved"
	if len(c.Changes) == 0 {
		key = "page.partner_same"
	}
	return v.done(v.path("/partners/s3"), key)
}

// exportCheck completes the page of a check that was of the data export: one of what was typed leads back to its form,
// others to the partner.
func (v *visit) exportCheck(c client.Check, p *checkPage) {
	home := v.path("/partners/s3")
	typed := c.AskedExport != nil && *c.AskedExport != client.DataExportEdit{}
	switch {
	case c.State != "passed" && c.State != "failed":
	case typed && (c.State == "failed" || c.For == "export_test") && v.may("editor"):
		p.Actions = []button{{Text: v.t("page.form_back"), Kind: "primary", Href: home + "/link?" + url.Values{checkParam: {c.ID}}.Encode()}}
		if c.State == "passed" {
			p.Frame.Says, p.Results = nil, append(p.Results, v.tested())
		}
	default:
		p.Actions = []button{{Text: v.t("page.partner_home"), Kind: "primary", Href: home}}
	}
}
