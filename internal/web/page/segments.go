package page

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/client"
)

// segmentPages are the list of segments, the pages of each, and the form that makes and changes them.
func segmentPages() []page {
	return []page{
		{"GET /w/{workspace}/segments", false, listSegments},
		{"GET /w/{workspace}/segments/new", false, editors(newSegment)},
		{"POST /w/{workspace}/segments/new", false, editors(createSegment)},
		{"GET /w/{workspace}/segments/{segment}", false, showSegment},
		{"GET /w/{workspace}/segments/{segment}/edit", false, editors(editSegment)},
		{"POST /w/{workspace}/segments/{segment}/edit", false, editors(saveSegment)},
		{"GET /w/{workspace}/segments/{segment}/delete", false, editors(deleteSegment)},
		{"POST /w/{workspace}/segments/{segment}/delete", false, editors(deleteSegment)},
	}
}

func listSegments(v *visit) error {
	q := v.r.URL.Query()
	words, tag := strings.TrimSpace(q.Get("q")), q.Get("tag")
	ctx, part := v.part()
	var all []client.Segment
	for s, err := range v.api.ListSegments(ctx, v.place.Workspace, client.SegmentFilter{Search: words, Tag: tag}) {
		if err != nil {
			return v.said(err)
		}
		all = append(all, s)
	}
	f := v.frame(v.t("page.rail_segments"), "/segments")
	t := table{Columns: []column{{v.t("page.name"), false}, {v.t("page.segment_tags"), false}, {v.t("page.segment_people"), true}, {v.t("page.segment_changed"), false}}}
	export := v.place.ExportUserData
	if export {
		t.Columns = append(t.Columns, column{})
	}
	v.pages(&t, part)
	p := listPage{Frame: f, Table: t}
	create := button{Text: v.t("page.segment_create"), Kind: "primary", Icon: "plus", Href: v.path("/segments/new")}
	narrowed := words != "" || tag != ""
	switch {
	case len(all) == 0 && !narrowed:
		p.Table.Empty = &empty{Title: v.t("page.segments_none"), Text: v.t("page.segments_none_text")}
		if v.may("editor") {
			p.Table.Empty.Action = &create
		}
	case v.may("editor"):
		p.Frame.Actions = []button{create}
	}
	if len(all) > listSearch || narrowed || part.Next != "" || part.Cursor != "" {
		p.Filter = &filter{Fields: []field{{Name: "q", Type: "search", Label: v.t("page.segment_search"), Value: words}, {Name: "tag", Label: v.t("page.segment_tag"), Value: tag}}, Button: v.t("page.filter")}
	}
	if narrowed {
		p.Filter.Clear = &button{Text: v.t("page.filter_clear"), Kind: "quiet", Href: v.r.URL.Path}
		p.Table.Empty = &empty{v.t("page.filter_none"), v.t("page.filter_none_text"), nil}
	}
	for _, s := range all {
		size := cell{Text: "–", Small: v.t("page.segment_uncounted")}
		if s.Size != nil {
			size = cell{Text: v.lang.Number(s.Size.People), Small: v.t("page.segment_counted", "time", v.moment(s.Size.At).Text)}
		}
		cells := []cell{{Text: s.Name, Href: v.path("/segments/" + s.ID), Small: cmp.Or(s.Description, s.Words)}, {Text: strings.Join(s.Tags, ", ")}, size, {Time: v.moment(s.UpdatedAt)}}
		if export {
			cells = append(cells, cell{Button: &button{Text: v.t("page.export_start"), Small: true, Icon: "download", Href: v.path("/segments/" + s.ID + "/export")}})
		}
		p.Table.Rows = append(p.Table.Rows, row{cells})
	}
	v.show(http.StatusOK, "list", p)
	return nil
}

// segment gives the segment of the address, and the frame of a page of it.
func (v *visit) segment(title string) (client.Segment, frame, error) {
	s, err := v.api.GetSegment(v, v.place.Workspace, v.r.PathValue("segment"))
	if err != nil {
		return s, frame{}, v.said(err)
	}
	f := v.frame(cmp.Or(title, s.Name), "/segments")
	f.Crumbs = []crumb{{v.t("page.rail_segments"), v.path("/segments")}}
	if title != "" {
		f.Crumbs = append(f.Crumbs, crumb{s.Name, v.path("/segments/" + s.ID)})
	}
	f.Crumbs = append(f.Crumbs, crumb{f.Title, ""})
	return s, f, nil
}

// segmentDays are for how many days the sizes of a segment can be shown.
var segmentDays = []struct {
	days int
	key  string
}{{30, "page.segment_month"}, {90, "page.segment_quarter"}, {365, "page.segment_year"}}

func showSegment(v *visit) error {
	s, f, err := v.segment("")
	if err != nil {
		return err
	}
	q, base := v.r.URL.Query(), v.path("/segments/"+s.ID)
	size, err := v.api.GetSegmentSize(v, v.place.Workspace, s.ID, q.Has("exact"))
	off := client.HasCode(err, "not_found")
	if err != nil && !off {
		return v.said(err)
	}
	f.Says = &says{info, "users", v.sizeSays(size, off)}
	if v.may("editor") {
		f.Actions = []button{{Text: v.t("page.segment_edit"), Icon: "pencil", Kind: "primary", Href: base + "/edit"}}
		f.More = &menu{Label: v.t("page.more_actions"), Icon: "ellipsis", Items: []menuItem{{Text: v.t("page.segment_delete"), Icon: "trash-2", Danger: true, Href: base + "/delete"}}}
		if v.may("administrator") {
			f.More.Items = slices.Insert(f.More.Items, 0, menuItem{Text: v.t("page.segment_changes"), Icon: "file-text", Href: v.path("/settings/changes?subject=" + s.ID)})
		}
	}
	who := section{Title: v.t("page.segment_who"), Text: sentence(s.Words)}
	if !off && !size.Exact {
		who.Buttons = append(who.Buttons, button{Text: v.t("page.segment_exact"), Href: base + "?exact="})
	}
	if !off && v.place.ExportUserData {
		who.Buttons = append(who.Buttons, button{Text: v.t("page.segment_preview"), Icon: "eye", Href: base + "?people="})
		for _, k := range exportKinds[:2] {
			who.Buttons = append(who.Buttons, button{Text: v.t(k.key), Icon: "download", Href: base + "/export?kind=" + k.name})
		}
	}
	p := sectionsPage{Frame: f, Banners: v.behind(size.Lag), Sections: []section{who}}
	if !off && v.place.ExportUserData && q.Has("people") {
		some, err := v.api.PreviewSegment(v, v.place.Workspace, s.ID)
		if err != nil {
			return v.said(err)
		}
		p.Sections = append(p.Sections, section{Title: v.t("page.segment_first"), Text: v.t("page.segment_preview_text"), Table: new(v.previewed(some))})
	}
	if !off {
		days, err := v.daysSection(s)
		if err != nil {
			return err
		}
		p.Sections = append(p.Sections, days)
	}
	p.Sections = append(p.Sections, v.segmentFacts(s))
	v.show(http.StatusOK, "sections", p)
	return nil
}

// sentence gives words as a sentence: their first letter is a capital one.
func sentence(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:n]) + s[n:] + "."
}

// sizeSays says how many people there are.
func (v *visit) sizeSays(size client.SegmentSize, off bool) string {
	switch {
	case off:
		return v.t("control.no_profiles")
	case size.Exact:
		return v.t("page.segment_holds", "n", size.People)
	}
	return v.t("page.segment_about", "n", size.People)
}

// previewed shows some of the people of a segment.
func (v *visit) previewed(some client.SegmentPreview) table {
	t := table{Columns: []column{{v.t("page.segment_external_id"), false}, {v.t("page.name"), false}, {v.t("page.segment_email"), false}}, Empty: &empty{Title: v.t("page.segment_nobody"), Text: v.t("page.segment_nobody_text")}}
	for _, x := range some.Items {
		t.Rows = append(t.Rows, row{[]cell{{Text: cmp.Or(x.ExternalID, x.UserID), Mono: true, Href: v.path("/people/" + url.PathEscape(x.UserID))},
			{Text: cmp.Or(strings.TrimSpace(x.FirstName+" "+x.LastName), "–")}, {Text: cmp.Or(x.Email, "–")}}})
	}
	return t
}

// daysSection shows how many people a segment held, day by day.
func (v *visit) daysSection(s client.Segment) (section, error) {
	out := section{Title: v.t("page.segment_days")}
	at := max(0, slices.IndexFunc(segmentDays, func(x struct {
		days int
		key  string
	}) bool {
		return strconv.Itoa(x.days) == v.r.URL.Query().Get("days")
	}))
	counted, err := v.api.ListSegmentDays(v, v.place.Workspace, s.ID, segmentDays[at].days)
	if err != nil {
		return out, v.said(err)
	}
	if len(counted) == 0 && at == 0 {
		out.Empty = &empty{Title: v.t("page.segment_days_none"), Text: v.t("page.segment_days_none_text")}
		if !s.Analytics {
			out.Empty.Title, out.Empty.Text = v.t("page.segment_days_off"), v.t("page.segment_days_off_text")
		}
		out.Title = ""
		return out, nil
	}
	var points []point
	for i, d := range counted {
		day, err := time.Parse(time.DateOnly, d.Day)
		if err != nil {
			return out, err
		}
		p := point{At: day, Label: v.lang.Date(day), Values: [2]int64{d.People}}
		if step := max(1, len(counted)/5); i%step == 0 {
			p.Tick, p.Wide = v.lang.DayMonth(day), i/step%2 == 1
		}
		points = append(points, p)
	}
	c := newChart(v.lang, v.t("page.segment_days"), v.t("page.segment_day"), []string{v.t("page.segment_people")}, points, false)
	c.Unit = v.t("page.segment_days_unit", "zone", v.place.TimeZone)
	for i, x := range segmentDays {
		c.Ranges = append(c.Ranges, tab{v.t(x.key), v.r.URL.Path + "?days=" + strconv.Itoa(x.days), i == at})
	}
	out.Chart = &c
	return out, nil
}

// segmentFacts are what a segment is, beside whom it holds.
func (v *visit) segmentFacts(s client.Segment) section {
	facts := pairs{}
	if s.Description != "" {
		facts = append(facts, pairItem{Name: v.t("page.segment_description"), Text: s.Description})
	}
	if len(s.Tags) > 0 {
		facts = append(facts, pairItem{Name: v.t("page.segment_tags"), Text: strings.Join(s.Tags, ", ")})
	}
	daily := v.t("page.segment_daily_no")
	if s.Analytics {
		daily = v.t("page.segment_daily_yes", "zone", v.place.TimeZone)
	}
	facts = append(facts, pairItem{Name: v.t("page.segment_daily"), Text: daily}, pairItem{Name: v.t("page.segment_id"), Copy: &line{"segment-id", v.t("page.segment_id"), s.ID}},
		pairItem{Name: v.t("page.created"), Time: v.moment(s.CreatedAt)}, pairItem{Name: v.t("page.segment_changed"), Time: v.moment(s.UpdatedAt)})
	return section{Title: v.t("page.segment_facts"), Pairs: facts, Folds: []fold{{Title: v.t("page.segment_json"), Parts: []part{{Code: &code{"segment-json", "JSON", indented(s.Filter)}}}}}}
}

func deleteSegment(v *visit) error {
	s, f, err := v.segment(v.t("page.segment_delete"))
	if err != nil {
		return err
	}
	return v.confirm(confirmation{Frame: f, Name: s.Name, Texts: []string{v.t("page.segment_delete_text", "name", s.Name)}, Button: v.t("page.segment_delete"), Back: v.path("/segments/" + s.ID)}, func() error {
		if err := v.said(v.api.DeleteSegment(v, v.place.Workspace, s.ID)); err != nil {
			return err
		}
		return v.done(v.path("/segments"), "page.segment_deleted", "name", s.Name)
	})
}
