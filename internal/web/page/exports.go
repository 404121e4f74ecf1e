package page

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// exportsHere is where exports are in the rail.
const exportsHere = "/exports"

// exportPages are the list of what was taken out on demand, the page of each, its download, and the forms that ask for it.
func exportPages() []page {
	return []page{
		{"GET /w/{workspace}/exports", false, listExports},
		{"GET /w/{workspace}/exports/{export}", false, exporters(showExport)},
		{"GET /w/{workspace}/exports/{export}/download", false, downloadExport},
		{"POST /w/{workspace}/exports/{export}/cancel", false, exporters(cancelExport)},
		{"GET /w/{workspace}/segments/{segment}/export", false, exporters(segmentExport)},
		{"POST /w/{workspace}/segments/{segment}/export", false, exporters(segmentExport)},
		{"GET /w/{workspace}/campaigns/{campaign}/export", false, exporters(campaigns.export)},
		{"POST /w/{workspace}/campaigns/{campaign}/export", false, exporters(campaigns.export)},
		{"GET /w/{workspace}/canvases/{campaign}/export", false, exporters(canvases.export)},
		{"POST /w/{workspace}/canvases/{campaign}/export", false, exporters(canvases.export)},
	}
}

// exporters has a page for those only who may export user data: others are told whom to ask.
func exporters(do func(v *visit) error) func(v *visit) error {
	return func(v *visit) error {
		if v.place.ExportUserData {
			return do(v)
		}
		v.show(http.StatusForbidden, "notice", noticePage{v.frame(v.t("page.error_forbidden"), exportsHere),
			banner{Tone: warn, Icon: "triangle-alert", Title: v.t("page.export_right"), Texts: []string{v.t("page.export_right_text")},
				Actions: []button{{Text: v.t("page.person_right_who"), Href: v.path("/settings/members")}}}})
		return nil
	}
}

// naming is what is called by a sentence of the catalogues.
type naming struct{ name, key string }

// named says what something is called; its own name where there is no sentence for it yet.
func (v *visit) named(all []naming, name string) string {
	for _, n := range all {
		if n.name == name {
			return v.t(n.key)
		}
	}
	return name
}

// exportKinds say what an export is, by its kind.
var exportKinds = []naming{
	{"users_csv", "page.export_users"}, {"emails_csv", "page.export_emails"}, {"campaign_users_csv", "page.export_recipients"}, {"canvas_users_csv", "page.export_entrants"},
	{"segment_users", "page.export_lines"}, {"control_group", "page.export_control"},
	{"engagement", "page.export_engagement"}, {"campaign_performance", "page.export_performance"}, {"custom_events", "page.export_custom_events"}, {"revenue", "page.export_revenue"},
}

func (v *visit) exportKind(kind string) string { return v.named(exportKinds, kind) }

// exportStates are how an export's states look, in the order of its life.
var exportStates = []struct {
	name string
	tone tone
	icon string
	key  string
}{
	{"waiting", plain, "circle-dashed", "page.export_waiting"}, {"running", info, "loader-circle", "page.export_running"}, {"done", good, "circle-check", "page.export_done"},
	{"failed", bad, "circle-x", "page.export_failed"}, {"cancelled", plain, "circle-minus", "page.export_cancelled"},
}

func (v *visit) exportState(state string) *pill {
	for _, s := range exportStates {
		if s.name == state {
			return &pill{s.tone, s.icon, v.t(s.key)}
		}
	}
	return &pill{plain, "circle-dashed", state}
}

// exportSources say by what an export was asked for.
var exportSources = []naming{{"dashboard", "page.export_by_dashboard"}, {"api", "page.export_by_api"}, {"schedule", "page.export_by_schedule"}}

func (v *visit) exportSource(source string) string { return v.named(exportSources, source) }

func isOpen(e client.Export) bool { return control.ExportState(e.State).Open() }

func (v *visit) exportPath(id string) string { return v.path(exportsHere + "/" + url.PathEscape(id)) }

// howMuch says how many people or lines there are in an export's files.
func (v *visit) howMuch(e client.Export) string {
	if control.ExportKind(e.Kind).Counts() {
		return v.t("page.export_n_lines", "n", e.People)
	}
	return v.t("page.export_n_people", "n", e.People)
}

// exportBar is how far an export is that runs.
func (v *visit) exportBar(e client.Export) *progress {
	switch {
	case e.State != "running":
		return nil
	case e.Total > 0:
		return &progress{v.t("page.export_of_about", "n", e.People, "all", e.Total), min(e.People, e.Total), e.Total}
	}
	return &progress{Label: v.howMuch(e)}
}

// listExports lists what was taken out, the newest first.
func listExports(v *visit) error {
	f := v.frame(v.t("page.rail_exports"), exportsHere)
	p := listPage{Frame: f}
	if !v.place.ExportUserData {
		p.Table.Empty = &empty{v.t("page.export_right"), v.t("page.export_right_text"), &button{Text: v.t("page.person_right_who"), Href: v.path("/settings/members")}}
		v.show(http.StatusOK, "list", p)
		return nil
	}
	p.Frame.Tabs = v.exportTabs(exportsHere)
	p.Frame.Actions = []button{{Text: v.t("page.report_new"), Icon: "plus", Href: v.path("/reports/new")}}
	q := v.r.URL.Query()
	narrow := client.ExportFilter{Kind: q.Get("kind"), State: q.Get("state")}
	ctx, part := v.part()
	all, err := collect(v, v.api.ListExports(ctx, v.place.Workspace, narrow))
	if err != nil {
		return err
	}
	p.Table.Empty = &empty{v.t("page.exports_none"), v.t("page.exports_none_text"), &button{Text: v.t("page.exports_to_segments"), Kind: "primary", Icon: "layers-2", Href: v.path("/segments")}}
	narrowed := narrow != client.ExportFilter{}
	if len(all) > 0 || narrowed || part.Cursor != "" {
		kinds, states := []option{{"", v.t("page.current_any"), narrow.Kind == ""}}, []option{{"", v.t("page.current_any"), narrow.State == ""}}
		for _, k := range exportKinds {
			kinds = append(kinds, option{k.name, v.t(k.key), k.name == narrow.Kind})
		}
		for _, s := range exportStates {
			states = append(states, option{s.name, v.t(s.key), s.name == narrow.State})
		}
		p.Filter = &filter{Button: v.t("page.filter"), Fields: []field{{Name: "kind", Label: v.t("page.export_what"), Options: kinds}, {Name: "state", Label: v.t("page.status"), Options: states}}}
	}
	if narrowed {
		p.Filter.Clear = &button{Text: v.t("page.filter_clear"), Kind: "quiet", Href: v.r.URL.Path}
		p.Table.Empty = &empty{v.t("page.filter_none"), v.t("page.filter_none_text"), nil}
	}
	open := 0
	p.Table.Columns = []column{{v.t("page.export_what"), false}, {v.t("page.status"), false}, {v.t("page.export_content"), true}, {v.t("page.size"), true}, {v.t("page.export_asked_at"), false}, {"", false}}
	for _, e := range all {
		p.Table.Rows = append(p.Table.Rows, v.exportRow(e))
		if isOpen(e) {
			open++
		}
	}
	v.pages(&p.Table, part)
	if open > 0 {
		p.Frame.Says = &says{info, "loader-circle", v.t("page.exports_open", "n", open)}
		p.Frame.Live = exportEvery
	} else if len(all) > 0 {
		p.Frame.Says = &says{Text: v.t("page.exports_say")}
	}
	v.show(http.StatusOK, "list", p)
	return nil
}

// exportEvery is how often a page is asked for again on which an export waits or runs, in seconds.
const exportEvery = 2

func (v *visit) exportRow(e client.Export) row {
	content, size := cell{Text: "–"}, cell{Text: "–"}
	if e.People > 0 || e.State == "done" {
		content.Text = v.lang.Number(e.People)
	}
	if e.Bytes > 0 {
		size.Text = v.lang.Bytes(e.Bytes)
	}
	status := cell{Pill: v.exportState(e.State), Bar: v.exportBar(e)}
	if e.Removed {
		status.Small = v.t("page.export_removed")
	}
	if e.Error != nil {
		status.Small = e.Error.Message
	}
	act := cell{}
	switch {
	case e.Downloadable:
		act.Button = &button{Text: v.t("page.export_download"), Small: true, Icon: "download", Href: v.exportPath(e.ID) + "/download"}
	case isOpen(e):
		act.Button = &button{Text: v.t("page.export_cancel"), Small: true, Post: true, Href: v.exportPath(e.ID) + "/cancel"}
	}
	return row{[]cell{{Text: v.exportKind(e.Kind), Href: v.exportPath(e.ID), Small: e.Name}, status, content, size,
		{Time: v.moment(e.CreatedAt), Small: e.By + ", " + v.exportSource(e.Source)}, act}}
}

// exported gives the export of the address.
func (v *visit) exported() (client.Export, error) {
	e, err := v.api.GetExport(v, v.place.Workspace, v.r.PathValue("export"))
	return e, v.said(err)
}

// showExport says how far an export is, where its files are, and what to do.
func showExport(v *visit) error {
	e, err := v.exported()
	if err != nil {
		return err
	}
	title := v.exportKind(e.Kind)
	if e.Name != "" {
		title = e.Name + " · " + title
	}
	f := v.frame(title, exportsHere)
	f.Crumbs = []crumb{{v.t("page.rail_exports"), v.path(exportsHere)}, {title, ""}}
	f.Says = v.exportSays(e)
	p := sectionsPage{Frame: f}
	at := v.exportPath(e.ID)
	if isOpen(e) {
		p.Frame.Live, p.Frame.Refresh = exportEvery, exportEvery
		p.Frame.Actions = []button{{Text: v.t("page.export_cancel"), Post: true, Href: at + "/cancel"}}
	}
	if again := v.exportAgain(e); again != "" && !isOpen(e) {
		p.Frame.Actions = append(p.Frame.Actions, button{Text: v.t("page.export_again"), Icon: "rotate-ccw", Href: again})
	}
	if e.Downloadable {
		p.Frame.Actions = append(p.Frame.Actions, button{Text: v.t("page.export_download"), Kind: "primary", Icon: "download", Href: at + "/download"})
	}
	if e.Error != nil {
		b := banner{Tone: bad, Icon: "circle-x", Title: e.Error.Message}
		if isOpen(e) {
			b = banner{Tone: warn, Icon: "triangle-alert", Title: v.t("page.export_held", "why", e.Error.Message)}
			if r, err := v.installed(); err == nil { // else what follows says enough
				b.Texts = append(b.Texts, v.t("page.export_held_text", "time", v.lang.Duration(time.Duration(r.ExportRetry*float64(time.Second)))))
			}
		}
		if e.Error.Hint != "" {
			b.Texts = append(b.Texts, e.Error.Hint)
		}
		for _, x := range e.Error.Fields {
			b.Texts = append(b.Texts, x.Field+": "+x.Message)
		}
		p.Banners = append(p.Banners, b)
	}
	if bar := v.exportBar(e); bar != nil {
		p.Sections = append(p.Sections, section{Title: v.t("page.export_progress"), Bars: []progress{*bar}})
	}
	p.Sections = append(p.Sections, v.exportPlaces(e), v.exportFacts(e))
	v.show(http.StatusOK, "sections", p)
	return nil
}

// exportSays says how an export is.
func (v *visit) exportSays(e client.Export) *says {
	state := v.exportState(e.State)
	s := &says{state.Tone, state.Icon, ""}
	switch {
	case e.State == "waiting":
		s.Text = v.t("page.export_says_waiting")
	case e.State == "running" && e.Total > 0:
		s.Text = v.t("page.export_says_running", "part", v.t("page.export_of_about", "n", e.People, "all", e.Total))
	case e.State == "running":
		s.Text = v.t("page.export_says_running", "part", v.howMuch(e))
	case e.Downloadable:
		s.Text = v.t("page.export_says_ready", "content", v.howMuch(e), "size", v.lang.Bytes(e.Bytes), "time", v.lang.Time(*e.ExpiresAt, v.zone))
	case e.Removed && e.Bucket == "":
		s.Text = v.t("page.export_says_removed", "content", v.howMuch(e))
	case e.State == "done" && e.Bucket != "":
		s.Text = v.t("page.export_says_bucket", "content", v.howMuch(e), "bucket", e.Bucket)
	case e.State == "done":
		s.Text = v.t("page.export_says_past", "content", v.howMuch(e))
	case e.State == "failed":
		s.Text = v.t("page.export_says_failed")
	default:
		s.Text = v.t("page.export_says_cancelled")
	}
	return s
}

// exportAgain is where the same is asked for once more; empty: a program asked for it.
func (v *visit) exportAgain(e client.Export) string {
	switch subject := url.PathEscape(e.Subject); {
	case (e.Kind == "users_csv" || e.Kind == "emails_csv") && subject != "":
		return v.path("/segments/" + subject + "/export?kind=" + e.Kind)
	case e.Kind == "campaign_users_csv":
		return v.path("/campaigns/" + subject + "/export")
	case e.Kind == "canvas_users_csv":
		return v.path("/canvases/" + subject + "/export")
	}
	return ""
}

// exportPlaces says where the files of an export are.
func (v *visit) exportPlaces(e client.Export) section {
	s := section{Title: v.t("page.export_where")}
	ours := v.t("page.export_where_later")
	switch {
	case e.Downloadable:
		ours = v.t("page.export_where_until", "time", v.lang.Time(*e.ExpiresAt, v.zone))
	case e.Removed:
		ours = v.t("page.export_removed")
	case !isOpen(e):
		ours = v.t("page.export_where_none")
	}
	s.Pairs = pairs{{Name: v.t("page.export_where_here"), Text: ours}}
	if e.Bucket != "" {
		place, stays := "s3://"+e.Bucket+"/"+e.Folder, v.t("page.export_where_stays")
		if k := control.ExportKind(e.Kind); k.Lines() || k == control.ExportEngagement && e.Packing != control.ExportPackings()[0] { // several files
			stays += " " + v.t("page.export_where_whole")
		}
		s.Pairs = append(s.Pairs, pairItem{Name: v.t("page.export_where_bucket"), Copy: &line{"folder", v.t("page.export_where_bucket"), place}, Small: stays})
	}
	return s
}

// exportFacts are what was asked for.
func (v *visit) exportFacts(e client.Export) section {
	facts := pairs{{Name: v.t("page.export_what"), Text: v.exportKind(e.Kind)}}
	add := func(key, text string) {
		if text != "" {
			facts = append(facts, pairItem{Name: v.t(key), Text: text})
		}
	}
	if e.Name != "" {
		about := pairItem{Name: v.t("page.export_of"), Text: e.Name}
		if again := v.exportAgain(e); again != "" {
			about.Href, _, _ = strings.Cut(again, "/export")
		}
		facts = append(facts, about)
	}
	facts = append(facts, pairItem{Name: v.t("page.who"), Text: e.By, Small: v.exportSource(e.Source)}, pairItem{Name: v.t("page.export_asked_at"), Time: v.moment(e.CreatedAt)})
	if e.DoneAt != nil {
		facts = append(facts, pairItem{Name: v.t("page.export_ended_at"), Time: v.moment(*e.DoneAt)})
	}
	add("page.word_fields", strings.Join(e.Fields, ", "))
	add("page.word_custom_attributes", strings.Join(e.Attributes, ", "))
	add("page.word_custom_events", strings.Join(e.Events, ", "))
	add("page.word_recipients", strings.Join(e.Recipients, ", "))
	if !control.ExportKind(e.Kind).Lines() {
		form := v.delimiter(cmp.Or(e.Delimiter, control.ExportDelimiters()[0]))
		if e.BOM {
			form += ", " + v.t("page.export_bom_short")
		}
		add("page.export_form", form)
	}
	facts = append(facts, pairItem{Name: v.t("page.export_id"), Copy: &line{"export-id", v.t("page.export_id"), e.ID}})
	return section{Title: v.t("page.export_facts"), Pairs: facts}
}

func cancelExport(v *visit) error {
	e, err := v.api.CancelExport(v, v.place.Workspace, v.r.PathValue("export"))
	if err != nil {
		return v.said(err)
	}
	if e.State != "cancelled" { // it had ended already
		v.redirect(v.exportPath(e.ID))
		return nil
	}
	return v.done(v.exportPath(e.ID), "page.export_was_cancelled")
}

// ranged are the headers of a visit that ask for a part of a file.
var ranged = []string{"Range", "If-Range"}

// downloadExport sends the file of an export as the API has it, and says on a page of its own why there is none.
func downloadExport(v *visit) error {
	at := "/api/v1/workspaces/" + url.PathEscape(v.place.Workspace) + "/exports/" + url.PathEscape(v.r.PathValue("export")) + "/file"
	q, err := http.NewRequestWithContext(v, v.r.Method, at, http.NoBody)
	if err != nil {
		return err
	}
	q.RequestURI, q.RemoteAddr, q.Host, q.TLS = at, v.r.RemoteAddr, v.r.Host, v.r.TLS
	for _, name := range slices.Concat(carried, ranged) {
		if values := v.r.Header.Values(name); len(values) > 0 {
			q.Header[name] = values
		}
	}
	w := through{to: v.w, header: http.Header{}}
	v.p.deps.API.ServeHTTP(&w, q)
	if !w.refused {
		return nil
	}
	err = cmp.Or(v.refusal(), nothingHere(v)) // no refusal: the address is none of the API's
	at = v.exportPath(v.r.PathValue("export"))
	b := banner{Tone: warn, Icon: "triangle-alert", Title: v.message(err), Texts: []string{v.hint(err)}, Actions: []button{{Text: v.t("page.export_to"), Kind: "primary", Href: at}}}
	status, title := fault.CodeOf(err).HTTP(), v.t("page.export_no_download")
	f := v.frame(title, exportsHere)
	e := fault.As(err)
	switch {
	case e == nil || e.Code == fault.NotFound && e.Msg.Key == "":
		return err
	case e.Code == fault.Stale:
		status = http.StatusGone
		if x, err := v.exported(); err == nil && x.ExpiresAt != nil && x.ExpiresAt.Before(v.now) {
			b.Title, b.Texts = v.t("page.export_expired", "time", v.lang.Time(*x.ExpiresAt, v.zone)), []string{v.t("page.export_expired_text")}
		}
	case e.Code == fault.Forbidden:
		b.Title, b.Texts = v.t("page.export_right"), []string{v.t("page.export_right_text")}
		b.Actions = []button{{Text: v.t("page.person_right_who"), Href: v.path("/settings/members")}}
	case e.Msg.Key == "control.export_not_ready":
		f.Refresh = liveEvery
	}
	v.show(status, "notice", noticePage{f, b})
	return nil
}

// through hands an answer of the API on as it comes, unless it is a refusal.
type through struct {
	to             http.ResponseWriter
	header         http.Header
	begun, refused bool
}

func (p *through) Header() http.Header { return p.header }

func (p *through) WriteHeader(status int) {
	if p.begun {
		return
	}
	p.begun = true
	if p.refused = status >= http.StatusBadRequest && status != http.StatusRequestedRangeNotSatisfiable; p.refused {
		return
	}
	for name, values := range p.header {
		p.to.Header()[name] = values
	}
	p.to.WriteHeader(status)
}

func (p *through) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	if p.refused {
		return len(b), nil
	}
	return p.to.Write(b)
}

// csvForm is how somebody wants a CSV, as typed.
type csvForm struct {
	attributes, events []string
	delimiter          string
	bom                bool
}

// delimiters are what may stand between the cells of a line.
var delimiters = []naming{{",", "page.export_comma"}, {";", "page.export_semicolon"}, {":", "page.export_colon"}, {"|", "page.export_pipe"}}

func (v *visit) delimiter(is string) string { return v.named(delimiters, is) }

// csv gives what was typed; of a form that was not sent yet, what the member chose the last time, or what spreadsheets in
// their language open best.
func (v *visit) csv() (csvForm, error) {
	if v.r.Method == http.MethodPost {
		f := csvForm{delimiter: v.form("delimiter"), bom: v.form("bom") != ""}
		f.attributes, f.events = v.r.PostForm["custom_attributes_to_export"], v.r.PostForm["custom_events_to_export"]
		return f, nil
	}
	f := csvForm{delimiter: ","}
	if v.lang != "en" {
		f = csvForm{delimiter: ";", bom: true}
	}
	ctx := client.InPart(v, &client.Part{Limit: 20})
	for e, err := range v.api.ListExports(ctx, v.place.Workspace, client.ExportFilter{Member: v.me.ID, Source: "dashboard"}) {
		if err != nil {
			return f, v.said(err)
		}
		if e.Delimiter != "" {
			return csvForm{delimiter: e.Delimiter, bom: e.BOM}, nil
		}
	}
	return f, nil
}

// csvParts are the fields of how a CSV is written.
func (v *visit) csvParts(f csvForm, problems map[string]string) []part {
	choose := field{Name: "delimiter", Label: v.t("page.export_delimiter"), Hint: v.t("page.export_delimiter_hint"), Error: problems["delimiter"]}
	for _, d := range delimiters {
		choose.Options = append(choose.Options, option{d.name, v.t(d.key), d.name == f.delimiter})
	}
	return []part{{Field: &choose}, {Check: &check{Name: "bom", Value: "on", Label: v.t("page.export_bom"), Hint: v.t("page.export_bom_hint"), On: f.bom, Switch: true}}}
}

// maxOffered is how many names a form offers to choose from.
const maxOffered = 500

// chosenNames is a list of what the workspace's events have named of one kind, to choose from.
func (v *visit) chosenNames(kind, name, legend string, chosen []string, wrong string) (part, error) {
	t := &tree{Name: name, Legend: legend, Search: v.t("page.export_search"), Error: wrong}
	all := "page.current_any"
	if kind == "campaign" { // which has another gender
		all = "page.campaign_any"
	}
	branch := treeGroup{Label: v.t(all)}
	for n, err := range v.api.ListFilterNames(client.InPart(v, &client.Part{Limit: maxOffered}), v.place.Workspace, kind, "") {
		if err != nil {
			return part{}, v.said(err)
		}
		branch.Items = append(branch.Items, check{Name: name, Value: n.Name, Label: cmp.Or(n.Title, n.Name), On: slices.Contains(chosen, n.Name)})
	}
	if len(branch.Items) == 0 {
		return part{}, nil
	}
	branch.Open = len(chosen) > 0 || len(branch.Items) <= listSearch
	t.Groups = []treeGroup{branch}
	return part{Tree: t}, nil
}

// csvExport is the form of an export of people, and asks for it once it was sent.
func (v *visit) csvExport(f frame, kind, subject, back string) error {
	typed, err := v.csv()
	if err != nil {
		return err
	}
	var wrong error
	if v.r.Method == http.MethodPost {
		made, err := v.api.CreateExport(v, v.place.Workspace, client.ExportCreate{Kind: kind, Subject: subject,
			ExportForm: client.ExportForm{Attributes: typed.attributes, Events: typed.events, Delimiter: typed.delimiter, BOM: typed.bom, Language: string(v.lang)}})
		if err == nil {
			return v.done(v.exportPath(made.ID), "page.export_asked", "email", v.me.Email)
		}
		if wrong = v.said(err); !isInput(wrong) {
			return wrong
		}
	}
	problems := v.problems(wrong)
	x := form{Problem: v.wrong(wrong), Intro: []string{v.t("page.export_intro", "email", v.me.Email)}, Parts: v.csvParts(typed, problems),
		Buttons: []button{{Text: v.t("page.export_start"), Kind: "primary", Icon: "download"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: back}}}
	if kind != "emails_csv" {
		for i, c := range []struct {
			kind, name, key string
			chosen          []string
		}{{"custom", "custom_attributes_to_export", "page.export_attributes", typed.attributes}, {"event", "custom_events_to_export", "page.export_events", typed.events}} {
			names, err := v.chosenNames(c.kind, c.name, v.t(c.key), c.chosen, problems[c.name])
			if err != nil {
				return err
			}
			if names.Tree != nil {
				x.Parts = slices.Insert(x.Parts, min(i, len(x.Parts)), names)
			}
		}
	}
	linked, err := v.api.GetDataExport(v, v.place.Workspace)
	switch {
	case err == nil:
		x.Intro = append(x.Intro, v.t("page.export_copy", "bucket", linked.Bucket))
	case !client.HasCode(err, string(fault.NotFound)):
		return v.said(err)
	}
	x.unplaced(problems)
	v.show(statusOf(wrong), "form", formPage{f, x})
	return nil
}

// segmentExport is the form of an export of a segment's people, or of their e-mail addresses.
func segmentExport(v *visit) error {
	kind := "users_csv"
	if v.r.URL.Query().Get("kind") == "emails_csv" {
		kind = "emails_csv"
	}
	s, f, err := v.segment(v.t("page.export_csv"))
	if err != nil {
		return err
	}
	back := v.path("/segments/" + s.ID)
	for _, k := range exportKinds[:2] {
		f.Tabs = append(f.Tabs, tab{v.t(k.key), back + "/export?kind=" + k.name, k.name == kind})
	}
	size, err := v.api.GetSegmentSize(v, v.place.Workspace, s.ID, false)
	if err != nil {
		return v.said(err)
	}
	f.Says = &says{info, "users", v.sizeSays(size, false)}
	return v.csvExport(f, kind, s.ID, back)
}

// export is the form of an export of whom a campaign or Canvas reached.
func (g program) export(v *visit) error {
	x, f, err := g.of(v, 1, v.exportKind(g.exports))
	if err != nil {
		return err
	}
	return v.csvExport(f, g.exports, x.ID, g.at(v, x.ID))
}
