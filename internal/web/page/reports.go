package page

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
)

// reportPages are the form of a report, which is made once or on a schedule, and the schedules.
func reportPages() []page {
	return []page{
		{"GET /w/{workspace}/reports/new", false, exporters(newReport)},
		{"POST /w/{workspace}/reports/new", false, exporters(newReport)},
		{"GET /w/{workspace}/reports", false, exporters(listSchedules)},
		{"GET /w/{workspace}/reports/{schedule}/edit", false, exporters(editSchedule)},
		{"POST /w/{workspace}/reports/{schedule}/edit", false, exporters(editSchedule)},
		{"POST /w/{workspace}/reports/{schedule}/run", false, exporters(runSchedule)},
		{"POST /w/{workspace}/reports/{schedule}/pause", false, exporters(pauseSchedule)},
		{"GET /w/{workspace}/reports/{schedule}/delete", false, exporters(deleteSchedule)},
		{"POST /w/{workspace}/reports/{schedule}/delete", false, exporters(deleteSchedule)},
	}
}

// exportTabs are the two lists: of exports, and of reports on a schedule.
func (v *visit) exportTabs(here string) []tab {
	return []tab{{v.t("page.rail_exports"), v.path(exportsHere), here == exportsHere}, {v.t("page.kind_of_schedule"), v.path("/reports"), here == "/reports"}}
}

// reportForm is what somebody wants of a report, as typed.
type reportForm struct {
	kind, packing string
	report        client.Report
	csv           csvForm
	recipients    []string
	scheduled     bool
	edit          client.ScheduleEdit // when, if it is scheduled
}

// lined gives the lines of a text that are not blank; an empty list if there are none.
func lined(s string) []string {
	out := []string{}
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// number reads what was typed as a whole number; what is none is one that no rule takes.
func (v *visit) number(name string) int {
	n, err := strconv.Atoi(cmp.Or(strings.TrimSpace(v.form(name)), "0"))
	if err != nil {
		return -1
	}
	return n
}

func (v *visit) typedReport(kind string) reportForm {
	csv, _ := v.csv() // of a form that was sent there is nothing to ask
	f := reportForm{kind: kind, packing: v.form("output_format"), csv: csv, recipients: lined(v.form("recipients")), scheduled: v.form("scheduled") != ""}
	f.report = client.Report{FirstDay: strings.TrimSpace(v.form("report.first_day")), LastDay: strings.TrimSpace(v.form("report.last_day")), LastDays: v.number("report.last_days"),
		Every: v.number("report.every"), Per: v.form("report.per"), Campaigns: v.r.PostForm["report.campaigns"], Canvases: v.r.PostForm["report.canvases"], Names: v.r.PostForm["report.names"],
		Tags: lined(v.form("report.tags")), AllTags: v.form("report.all_tags") == "all", Statistics: v.r.PostForm["report.statistics"], Variations: v.form("report.variations") != ""}
	times := func(name string) *string { return new(strings.TrimSpace(v.form(name))) }
	f.edit = client.ScheduleEdit{Name: times("name"), Every: new(v.number("every")), Unit: times("unit"), Hour: new(v.number("hour")), Zone: times("zone"), FirstDay: times("first_day"),
		LastDay: times("last_day"), Most: new(v.number("most"))}
	return f
}

// whole gives the schedule that is wanted.
func (f reportForm) whole(lang string) client.ScheduleEdit {
	e := f.edit
	e.Kind, e.Report, e.Packing, e.Delimiter, e.BOM, e.Recipients = &f.kind, &f.report, &f.packing, &f.csv.delimiter, &f.csv.bom, &f.recipients
	e.Language = &lang
	return e
}

// newReport is the form of a report, and has it made, or its schedule kept, once it was sent.
func newReport(v *visit) error {
	kind := v.r.URL.Query().Get("kind")
	if !control.ExportKind(kind).Counts() {
		kind = "engagement"
	}
	title := v.exportKind(kind)
	f := v.frame(title, exportsHere)
	f.Crumbs = []crumb{{v.t("page.rail_exports"), v.path(exportsHere)}, {title, ""}}
	for _, k := range exportKinds {
		if control.ExportKind(k.name).Counts() && (k.name != "campaign_performance" || kind == k.name) {
			f.Tabs = append(f.Tabs, tab{v.t(k.key), v.path("/reports/new?kind=" + k.name), k.name == kind})
		}
	}
	if v.r.Method == http.MethodGet {
		csv, err := v.csv()
		if err != nil {
			return err
		}
		typed := reportForm{kind: kind, packing: "zip", csv: csv, report: client.Report{LastDays: 30}}
		if id := v.r.URL.Query().Get("campaign"); id != "" {
			typed.report.Campaigns = []string{id}
		}
		return v.reportForm(f, typed, "", nil)
	}
	typed := v.typedReport(kind)
	if typed.scheduled {
		s, err := v.api.CreateSchedule(v, v.place.Workspace, typed.whole(string(v.lang)))
		if err == nil {
			return v.done(v.path("/reports"), "page.report_scheduled", "name", s.Name)
		}
		return v.reportAgain(f, typed, "", err)
	}
	e, err := v.api.CreateExport(v, v.place.Workspace, client.ExportCreate{Kind: kind, ExportForm: client.ExportForm{Report: &typed.report, Packing: typed.packing,
		Delimiter: typed.csv.delimiter, BOM: typed.csv.bom, Recipients: typed.recipients, Language: string(v.lang)}})
	if err == nil {
		return v.done(v.exportPath(e.ID), "page.export_asked", "email", cmp.Or(strings.Join(typed.recipients, ", "), v.me.Email))
	}
	return v.reportAgain(f, typed, "", err)
}

func (v *visit) reportAgain(f frame, typed reportForm, etag string, err error) error {
	if err = v.said(err); !isInput(err) {
		return err
	}
	return v.reportForm(f, typed, etag, err)
}

// reportForm shows the form.
func (v *visit) reportForm(f frame, typed reportForm, etag string, wrong error) error {
	problems := v.problems(wrong)
	x := form{Problem: v.wrong(wrong), Hidden: []hidden{{"etag", etag}}, Buttons: []button{{Text: v.t("page.report_make"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: v.path(exportsHere)}}}
	about, err := v.reportAbout(typed, problems)
	if err != nil {
		return err
	}
	text := func(name, key, value, kind string) field {
		return field{Name: name, Label: v.t(key), Value: value, Error: problems[name], Type: kind, Autocomplete: "off"}
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	choose := func(name, key, chosen string, options ...[2]string) *field {
		out := text(name, key, "", "")
		for _, o := range options {
			out.Options = append(out.Options, option{o[0], v.t(o[1]), o[0] == chosen})
		}
		return &out
	}
	r := typed.report
	steps := [][2]string{{"day", "page.report_day"}, {"week", "page.report_week"}, {"range", "page.report_whole"}}
	if typed.kind == "custom_events" || typed.kind == "revenue" {
		steps = slices.Insert(steps, 0, [2]string{"hour", "page.report_hour"})
	}
	x.Parts = append(about, part{Heading: v.t("page.report_when"), Text: v.t("page.report_when_text", "zone", v.place.TimeZone)},
		part{Field: new(text("report.last_days", "page.report_last_days", number(r.LastDays), "number"))},
		part{Pair: []field{text("report.first_day", "page.word_first_day", r.FirstDay, "date"), text("report.last_day", "page.word_last_day", r.LastDay, "date")}},
		part{Field: choose("report.per", "page.report_per", cmp.Or(r.Per, "day"), steps...)}, part{Field: new(text("report.every", "page.report_every", number(r.Every), "number"))})
	x.Parts = append(x.Parts, v.csvParts(typed.csv, problems)...)
	x.Parts = append(x.Parts, part{Field: choose("output_format", "page.word_packing", typed.packing, [2]string{"zip", "page.report_zip"}, [2]string{"gzip", "page.report_gzip"}, [2]string{"none", "page.report_unpacked"})},
		part{Field: &field{Name: "recipients", Label: v.t("page.word_recipients"), Hint: v.t("page.report_recipients_hint"), Value: strings.Join(typed.recipients, "\n"), Error: gathered(problems, "recipients"), Lines: 3}})
	e, value := typed.edit, func(s *string) string { return *cmp.Or(s, new("")) }
	scheduled := []part{
		{Check: &check{Name: "scheduled", Value: "on", Label: v.t("page.report_schedule"), On: typed.scheduled, Switch: true}},
		{Field: new(text("name", "page.name", value(e.Name), ""))},
		{Pair: []field{text("every", "page.word_every", number(*cmp.Or(e.Every, new(1))), "number"), *choose("unit", "page.word_unit", cmp.Or(value(e.Unit), "week"), [2]string{"day", "page.report_days"}, [2]string{"week", "page.report_weeks"}, [2]string{"month", "page.report_months"})}},
		{Pair: []field{text("first_day", "page.word_first_day", value(e.FirstDay), "date"), text("hour", "page.word_hour", strconv.Itoa(*cmp.Or(e.Hour, new(6))), "number")}},
		{Field: v.zoneField("zone", cmp.Or(value(e.Zone), v.place.TimeZone), "", problems["zone"])},
		{Pair: []field{text("last_day", "page.word_last_day", value(e.LastDay), "date"), text("most", "page.word_most", number(*cmp.Or(e.Most, new(0))), "number")}},
	}
	if etag != "" {
		x.Parts, x.Buttons[0].Text = append(x.Parts, part{Heading: v.t("page.report_schedule"), Parts: scheduled[1:]}), v.t("page.save")
	} else {
		x.Parts = append(x.Parts, part{Fold: &fold{Title: v.t("page.report_schedule"), Open: typed.scheduled, Parts: scheduled}})
	}
	x.unplaced(problems)
	v.show(statusOf(wrong), "form", formPage{f, x})
	return nil
}

// reportAbout are the fields of what a report is about.
func (v *visit) reportAbout(typed reportForm, problems map[string]string) (parts []part, err error) {
	names := func(kind, name, key string, chosen []string) error {
		p, err := v.chosenNames(kind, name, v.t(key), chosen, gathered(problems, name))
		if err == nil && p.Tree == nil && problems[name] != "" {
			p.Banner = &banner{Tone: bad, Icon: "circle-alert", Title: problems[name]}
		}
		parts = append(parts, p)
		return err
	}
	r := typed.report
	switch typed.kind {
	case "custom_events":
		err = names("event", "report.names", "page.report_events", r.Names)
		return parts, err
	case "revenue":
		err = names("purchase", "report.names", "page.report_products", r.Names)
		return parts, err
	case "campaign_performance":
		err = names("campaign", "report.campaigns", "page.report_campaign", r.Campaigns)
		return append(parts, part{Check: &check{Name: "report.variations", Value: "on", Label: v.t("page.report_variations"), On: r.Variations, Switch: true}}), err
	}
	if err := names("campaign", "report.campaigns", "page.campaigns", r.Campaigns); err != nil {
		return nil, err
	}
	if err := names("canvas", "report.canvases", "page.canvases", r.Canvases); err != nil {
		return nil, err
	}
	statistics := &tree{Name: "report.statistics", Legend: v.t("page.report_statistics"), Search: v.t("page.export_search"), Error: gathered(problems, "report.statistics")}
	for _, s := range control.ReportStatistics() {
		if n := len(statistics.Groups); n == 0 || statistics.Groups[n-1].Value != s.Channel {
			statistics.Groups = append(statistics.Groups, treeGroup{Label: v.channel(s.Channel), Value: s.Channel})
		}
		g := &statistics.Groups[len(statistics.Groups)-1]
		_, what, _ := strings.Cut(s.Name, ".")
		g.Items = append(g.Items, check{Name: "report.statistics", Value: s.Name, Label: v.t(statisticNames[what]), On: slices.Contains(r.Statistics, s.Name)})
	}
	all := "any"
	if r.AllTags {
		all = "all"
	}
	return append(parts, part{Field: &field{Name: "report.tags", Label: v.t("page.report_tags"), Hint: v.t("page.report_tags_hint"), Value: strings.Join(r.Tags, "\n"), Error: gathered(problems, "report.tags"), Lines: 3}},
		part{Field: &field{Name: "report.all_tags", Label: v.t("page.report_join"), Options: []option{{"any", v.t("page.report_any"), all == "any"}, {"all", v.t("page.report_all"), all == "all"}}}},
		part{Tree: statistics}, part{Text: v.t("page.report_columns")}), nil
}

// statisticNames say what a statistic counts, by its name behind that of its channel. A test holds them to
// control.ReportStatistics.
var statisticNames = map[string]string{
	"sends":                "page.statistic_sends",
	"opens":                "page.statistic_opens",
	"unique_opens":         "page.statistic_unique_opens",
	"clicks":               "page.statistic_clicks",
	"unique_clicks":        "page.statistic_unique_clicks",
	"click_to_open":        "page.statistic_click_to_open",
	"unsubscribes":         "page.statistic_unsubscribes",
	"bounces":              "page.statistic_bounces",
	"delivered":            "page.statistic_delivered",
	"reported_spam":        "page.statistic_reported_spam",
	"influenced_opens":     "page.statistic_influenced_opens",
	"body_clicks":          "page.statistic_body_clicks",
	"impressions":          "page.statistic_impressions",
	"first_button_clicks":  "page.statistic_first_button_clicks",
	"second_button_clicks": "page.statistic_second_button_clicks",
	"errors":               "page.statistic_errors",
	"sends_to_carrier":     "page.statistic_sends_to_carrier",
	"confirmed_deliveries": "page.statistic_confirmed_deliveries",
	"delivery_failures":    "page.statistic_delivery_failures",
	"rejections":           "page.statistic_rejections",
}

// listSchedules lists the reports that are made on a schedule.
func listSchedules(v *visit) error {
	all, err := collect(v, v.api.ListSchedules(v, v.place.Workspace))
	if err != nil {
		return err
	}
	f := v.frame(v.t("page.rail_exports"), exportsHere)
	f.Tabs = v.exportTabs("/reports")
	create := button{Text: v.t("page.report_new"), Kind: "primary", Icon: "plus", Href: v.path("/reports/new")}
	p := listPage{Frame: f, Table: table{Empty: &empty{v.t("page.reports_none"), v.t("page.reports_none_text"), &create},
		Columns: []column{{v.t("page.name"), false}, {v.t("page.status"), false}, {v.t("page.report_next"), false}, {v.t("page.report_ran"), false}, {"", false}, {"", false}}}}
	if len(all) > 0 {
		p.Frame.Actions = []button{create}
	}
	for _, s := range all {
		at := v.path("/reports/" + url.PathEscape(s.ID))
		state := cell{Pill: &pill{good, "circle-check", v.t("page.status_active")}}
		pause := button{Text: v.t("page.report_pause"), Small: true, Post: true, Href: at + "/pause?on=1"}
		if s.Paused {
			state.Pill, pause = &pill{warn, "pause", v.t("page.status_paused")}, button{Text: v.t("page.resume"), Small: true, Post: true, Href: at + "/pause"}
		}
		if s.Error != nil {
			state.Small = s.Error.Message
		}
		p.Table.Rows = append(p.Table.Rows, row{[]cell{{Text: s.Name, Href: at + "/edit", Small: strings.Join(append([]string{v.exportKind(s.Kind)}, s.Recipients...), ", ")}, state, v.maybeTime(s.NextAt), v.maybeTime(s.RanAt),
			{Button: &button{Text: v.t("page.report_run"), Small: true, Post: true, Href: at + "/run"}}, {Button: &pause}}})
	}
	v.show(http.StatusOK, "list", p)
	return nil
}

// schedule gives the schedule of the address, and the frame of a page of it.
func (v *visit) schedule(title string) (client.ReportSchedule, frame, error) {
	s, err := v.api.GetSchedule(v, v.place.Workspace, v.r.PathValue("schedule"))
	f := v.frame(cmp.Or(title, s.Name), exportsHere)
	f.Crumbs = []crumb{{v.t("page.kind_of_schedule"), v.path("/reports")}, {cmp.Or(s.Name, "–"), ""}}
	return s, f, v.said(err)
}

// editSchedule is the form of a schedule.
func editSchedule(v *visit) error {
	s, f, err := v.schedule("")
	if err != nil {
		return err
	}
	at := v.path("/reports/" + url.PathEscape(s.ID))
	f.More = &menu{Label: v.t("page.more_actions"), Icon: "ellipsis", Items: []menuItem{{Text: v.t("page.report_delete"), Icon: "trash-2", Danger: true, Href: at + "/delete"}}}
	if s.Error != nil {
		f.Told = append(f.Told, banner{Tone: warn, Icon: "pause", Title: s.Error.Message, Texts: said(s.Error.Hint)})
	}
	if v.r.Method == http.MethodGet {
		return v.reportForm(f, reportForm{kind: s.Kind, packing: s.Packing, report: s.Report, csv: csvForm{delimiter: s.Delimiter, bom: s.BOM}, recipients: s.Recipients, scheduled: true,
			edit: client.ScheduleEdit{Name: &s.Name, Every: &s.Every, Unit: &s.Unit, Hour: &s.Hour, Zone: &s.Zone, FirstDay: &s.FirstDay, LastDay: &s.LastDay, Most: &s.Most}}, s.ETag, nil)
	}
	typed := v.typedReport(s.Kind)
	typed.scheduled = true
	saved, err := v.api.UpdateSchedule(v, v.place.Workspace, s.ID, typed.whole(cmp.Or(s.Language, string(v.lang))), v.form("etag"))
	if err == nil {
		return v.done(v.path("/reports"), "page.report_scheduled", "name", saved.Name)
	}
	return v.reportAgain(f, typed, s.ETag, err)
}

func runSchedule(v *visit) error {
	e, err := v.api.RunSchedule(v, v.place.Workspace, v.r.PathValue("schedule"))
	if err != nil {
		return v.said(err)
	}
	return v.done(v.exportPath(e.ID), "page.export_asked", "email", cmp.Or(strings.Join(e.Recipients, ", "), v.me.Email))
}

func pauseSchedule(v *visit) error {
	s, err := v.api.UpdateSchedule(v, v.place.Workspace, v.r.PathValue("schedule"), client.ScheduleEdit{Paused: new(v.r.URL.Query().Has("on"))}, "")
	if err != nil {
		return v.said(err)
	}
	return v.done(v.path("/reports"), "page.report_scheduled", "name", s.Name)
}

func deleteSchedule(v *visit) error {
	s, f, err := v.schedule(v.t("page.report_delete"))
	if err != nil {
		return err
	}
	return v.confirm(confirmation{Frame: f, Name: s.Name, Texts: []string{v.t("page.report_delete_text")}, Button: v.t("page.report_delete"), Back: v.path("/reports")}, func() error {
		if err := v.said(v.api.DeleteSchedule(v, v.place.Workspace, s.ID)); err != nil {
			return err
		}
		return v.done(v.path("/reports"), "page.report_deleted", "name", s.Name)
	})
}
