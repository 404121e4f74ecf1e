package page

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// segmentForm is what somebody wants of a segment, as typed.
type segmentForm struct {
	name, description string
	tags              []string
	analytics         bool
	rows              filterRows
	asJSON            bool // in place of rows, which cannot draw the filter
	json              string
	etag              string
	fresh             int // the row that was just added; -1: none
}

// Parts of the form that are made anew: the rows, and how many people they mean.
const (
	conditionsPart = "conditions"
	countPart      = "count"
)

// maxRows is how many rows a form is read of. Source: the bounds of filters, which are more exact.
const maxRows = 300

// typedSegment reads the form that was sent.
func (v *visit) typedSegment(w vocabulary) segmentForm {
	f := segmentForm{name: v.form("name"), description: v.form("description"), analytics: v.form("analytics") != "", json: v.form("filter_json"), asJSON: len(v.r.PostForm["filter_json"]) > 0, etag: v.form("etag"), fresh: -1}
	for line := range strings.Lines(v.form("tags")) {
		if tag := strings.TrimSpace(line); tag != "" {
			f.tags = append(f.tags, tag)
		}
	}
	join := func(name string) string {
		if v.form(name) == "any" {
			return "any"
		}
		return "all"
	}
	f.rows.join = join("join")
	at := map[string]int{} // groups by their place in the form
	for i := range maxRows {
		n := strconv.Itoa(i)
		if v.form("kind-"+n) == "" {
			break
		}
		group := v.form("group-" + n)
		g, known := at[group]
		if !known {
			g = len(f.rows.groups)
			at[group] = g
			f.rows.groups = append(f.rows.groups, rowGroup{join: join("join-" + group)})
		}
		r := filterRow{v.form("kind-" + n), v.form("name-" + n), v.form("did-" + n), v.form("operator-" + n), [2]string{v.form("value-" + n), v.form("until-" + n)}}
		if drawn := v.form("drawn-" + n); drawn != "" && drawn != r.kind {
			r = filterRow{kind: r.kind} // the rest was typed of another kind
		}
		r, _, _, _ = w.settle(r)
		f.rows.groups[g].rows = append(f.rows.groups[g].rows, r)
	}
	return f
}

// redrawn takes up what the button of a part asks for: another row, or one less.
func (f *segmentForm) redrawn(w vocabulary, part string) {
	asked := strings.Split(part, ".")
	row, _, _, _ := w.settle(filterRow{kind: "attribute", name: "country"})
	switch {
	case asked[0] != conditionsPart || len(asked) < 2:
	case asked[1] == "group":
		f.rows.groups = append(f.rows.groups, rowGroup{"all", []filterRow{row}})
		f.fresh = f.count() - 1
	case len(asked) > 2 && asked[1] == "row":
		if g, err := strconv.Atoi(asked[2]); err == nil && g >= 0 && g < len(f.rows.groups) {
			f.rows.groups[g].rows = append(f.rows.groups[g].rows, row)
			f.fresh = -1
			for _, group := range f.rows.groups[:g+1] {
				f.fresh += len(group.rows)
			}
		}
	case len(asked) > 2 && asked[1] == "drop":
		n := 0
		for g := range f.rows.groups {
			f.rows.groups[g].rows = slices.DeleteFunc(f.rows.groups[g].rows, func(filterRow) bool { n++; return rowID(n-1) == asked[2] })
		}
		f.rows.groups = slices.DeleteFunc(f.rows.groups, func(g rowGroup) bool { return len(g.rows) == 0 })
	}
}

// count gives how many rows there are.
func (f segmentForm) count() (n int) {
	for _, g := range f.rows.groups {
		n += len(g.rows)
	}
	return n
}

func rowID(n int) string { return "condition-" + strconv.Itoa(n) }

// filter gives the filter that is meant, where its rows stand in it, and what is wrong with them as far as can be seen here.
func (v *visit) filter(w vocabulary, f segmentForm) (out client.Filter, at []string, problems map[string]string) {
	problems = map[string]string{}
	if f.asJSON {
		d := json.NewDecoder(strings.NewReader(f.json))
		d.DisallowUnknownFields()
		if d.Decode(&out) != nil || d.More() {
			problems["filter_json"], out = v.t("field.filter_json"), refusedFilter
		}
		return out, nil, problems
	}
	out, at, wrong := w.build(f.rows)
	for n, key := range wrong {
		problems[rowID(n)] = v.t(key)
	}
	return out, at, problems
}

// placed gives the problems of an input with those of its filter beside the row that they are about.
func (f segmentForm) placed(problems map[string]string, at []string) map[string]string {
	out := map[string]string{}
	for _, field := range sortedKeys(problems) {
		to := field
		switch {
		case strings.HasPrefix(field, "tags"):
			to = "tags"
		case field != "filter" && !strings.HasPrefix(field, "filter."):
		case f.asJSON:
			to = "filter_json"
		default:
			to = conditionsPart
			best := -1
			for n, path := range at {
				if (field == path || strings.HasPrefix(field, path+".")) && len(path) > best {
					to, best = rowID(n), len(path)
				}
			}
		}
		if out[to] == "" {
			out[to] = problems[field]
		}
	}
	return out
}

func (v *visit) vocabulary() (vocabulary, error) {
	w, err := v.api.GetFilterVocabulary(v)
	return vocabulary{w}, v.said(err)
}

// offered gives the vocabulary that the visitor is offered: who may not export user data asks of what identifies people only
// whether it is known. What was typed is read by the whole of it, so that nothing else is saved: the API refuses it.
func (v *visit) offered(w vocabulary) vocabulary {
	if v.place.ExportUserData {
		return w
	}
	for _, k := range w.Kinds {
		for i, n := range k.Names {
			if n.Identifies {
				k.Names[i].Type = knownOnly
			}
		}
	}
	texts := chosen(w.Types, "text", func(t client.FilterType) string { return t.Name })
	known := slices.DeleteFunc(slices.Clone(texts.Operators), func(o client.FilterOperator) bool { return len(o.Takes) > 0 })
	w.Types = append(w.Types, client.FilterType{Name: knownOnly, Operators: known})
	return w
}

// knownOnly is the type of values that are not compared.
const knownOnly = "known"

func newSegment(v *visit) error {
	w, err := v.vocabulary()
	if err != nil {
		return err
	}
	w = v.offered(w)
	f := segmentForm{analytics: true, rows: filterRows{join: "all"}, fresh: -1}
	f.redrawn(w, conditionsPart+".group")
	f.fresh = -1
	return v.showSegmentForm(http.StatusOK, w, f, nil, nil, nil)
}

func createSegment(v *visit) error { return v.sentSegment(nil) }

func editSegment(v *visit) error {
	w, err := v.vocabulary()
	if err != nil {
		return err
	}
	w = v.offered(w)
	s, err := v.api.GetSegment(v, v.place.Workspace, v.r.PathValue("segment"))
	if err != nil {
		return v.said(err)
	}
	f := segmentForm{name: s.Name, description: s.Description, tags: s.Tags, analytics: s.Analytics, etag: s.ETag, fresh: -1}
	rows, drawn := w.draw(s.Filter)
	if f.rows = rows; !drawn {
		f.asJSON, f.json = true, indented(s.Filter)
	}
	return v.showSegmentForm(http.StatusOK, w, f, &s, nil, nil)
}

// indented is a filter as JSON for people.
func indented(f client.Filter) string {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		panic("page: a filter did not encode: " + err.Error())
	}
	return string(b)
}

func saveSegment(v *visit) error {
	s, err := v.api.GetSegment(v, v.place.Workspace, v.r.PathValue("segment"))
	if err != nil {
		return v.said(err)
	}
	return v.sentSegment(&s)
}

// sentSegment takes the form, of a segment that there is or of a new one: to be shown again, or to be saved.
func (v *visit) sentSegment(had *client.Segment) error {
	w, err := v.vocabulary()
	if err != nil {
		return err
	}
	part := v.form("part")
	if part != "" {
		w = v.offered(w)
	}
	f := v.typedSegment(w)
	if part != "" {
		f.redrawn(w, part)
		return v.showSegmentForm(http.StatusOK, w, f, had, nil, nil)
	}
	wanted, at, problems := v.filter(w, f)
	e := client.SegmentEdit{Name: &f.name, Description: &f.description, Tags: &f.tags, Filter: &wanted, Analytics: &f.analytics}
	if f.tags == nil {
		e.Tags = &[]string{}
	}
	var saved client.Segment
	if had != nil { // a row that cannot be sent as it is makes a filter that is refused, with all else that is wrong
		saved, err = v.api.UpdateSegment(v, v.place.Workspace, had.ID, e, f.etag)
	} else {
		saved, err = v.api.CreateSegment(v, v.place.Workspace, e)
	}
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		for field, message := range f.placed(v.problems(err), at) {
			problems[field] = cmp.Or(problems[field], message)
		}
		return v.showSegmentForm(again(err), w, f, had, err, problems)
	}
	return v.done(v.path("/segments/"+saved.ID), "page.segment_saved", "name", saved.Name)
}

func (v *visit) showSegmentForm(status int, w vocabulary, f segmentForm, had *client.Segment, wrong error, problems map[string]string) error {
	title, back := v.t("page.segment_create"), v.path("/segments")
	if had != nil {
		title, back = v.t("page.segment_edit"), v.path("/segments/"+had.ID)
	}
	who := part{Field: &field{Name: "filter_json", Label: v.t("page.segment_who"), Hint: v.jsonHint(had) + v.identityHint(), Value: f.json, Error: problems["filter_json"], Lines: min(24, strings.Count(f.json, "\n")+2), Mono: true}}
	if !f.asJSON {
		c, err := v.conditions(w, f, problems)
		if err != nil {
			return err
		}
		who = part{Conditions: c}
	}
	x := form{Problem: v.wrong(wrong), Enter: true, Hidden: []hidden{{"etag", f.etag}}, Parts: []part{
		{Field: &field{Name: "name", Label: v.t("page.name"), Value: f.name, Error: problems["name"], Autocomplete: "off", Required: true}},
		who,
		{Field: &field{Name: "description", Label: v.t("page.segment_description"), Hint: v.t("page.segment_description_hint"), Value: f.description, Error: problems["description"], Lines: 2}},
		{Field: &field{Name: "tags", Label: v.t("page.segment_tags"), Hint: v.t("page.segment_tags_hint"), Value: strings.Join(f.tags, "\n"), Error: problems["tags"], Lines: 2}},
		{Check: &check{Name: "analytics", Label: v.t("page.segment_daily"), Hint: v.t("page.segment_daily_hint"), On: f.analytics, Switch: true}},
	}, Buttons: []button{{Text: v.t("page.segment_save"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: back}}}
	if x.Problem != nil && len(problems) > 0 {
		x.Problem.Title = v.t("page.form_wrong")
	}
	p := formPage{v.frame(title, "/segments"), x}
	p.Frame.Crumbs = []crumb{{v.t("page.rail_segments"), v.path("/segments")}}
	if had != nil {
		p.Frame.Crumbs = append(p.Frame.Crumbs, crumb{had.Name, back})
	}
	p.Frame.Crumbs = append(p.Frame.Crumbs, crumb{title, ""})
	v.show(status, "form", p)
	return nil
}

// jsonHint says why a filter is edited as JSON.
func (v *visit) jsonHint(had *client.Segment) string {
	if had != nil && !v.place.ExportUserData {
		// What stands for a time is none, so there may be problems; what it stands for is not asked.
		if f, _ := control.ParseFilter("filter", []byte(indented(had.Filter))); f.Identifies() {
			return v.t("page.segment_masked_hint")
		}
	}
	return v.t("page.segment_json_hint")
}

// identityHint says why some conditions are not offered; empty: all are.
func (v *visit) identityHint() string {
	if v.place.ExportUserData {
		return ""
	}
	return " " + v.t("page.segment_identity_hint")
}

// conditions draws the rows of a filter, and how many people it means.
func (v *visit) conditions(w vocabulary, f segmentForm, problems map[string]string) (*conditions, error) {
	c := &conditions{Legend: v.t("page.segment_who"), Hint: v.t("page.segment_who_hint"), Add: v.t("page.segment_add_group"), Refresh: v.t("page.segment_redraw"), Error: problems[conditionsPart]}
	if len(f.rows.groups) == 0 {
		c.Hint, c.Add = v.t("page.segment_everybody"), v.t("page.segment_add_row")
	}
	c.Hint += v.identityHint()
	joins := func(name, join, all, some string) *field {
		return &field{Name: name, Label: v.t("page.segment_join"), Options: []option{{"all", v.t(all), join != "any"}, {"any", v.t(some), join == "any"}}}
	}
	if len(f.rows.groups) > 1 {
		c.Join = joins("join", f.rows.join, "page.segment_all_groups", "page.segment_any_group")
	}
	n := 0
	named := map[string]bool{}
	for g, group := range f.rows.groups {
		shown := conditionGroup{Legend: v.t("page.segment_group", "n", g+1), Add: v.t("page.segment_add_row"), Name: strconv.Itoa(g)}
		if len(group.rows) > 1 {
			shown.Join = joins("join-"+shown.Name, group.join, "page.segment_all_rows", "page.segment_any_row")
		}
		for _, r := range group.rows {
			row := v.conditionRow(w, r, n)
			row.Fields = append(row.Fields, field{Type: "hidden", Name: "group-" + strconv.Itoa(n), Value: shown.Name},
				field{Type: "hidden", Name: "drawn-" + strconv.Itoa(n), Value: r.kind})
			row.Error, row.Fresh = problems[row.ID], n == f.fresh
			shown.Rows = append(shown.Rows, row)
			if k := chosen(w.Kinds, r.kind, w.kindName); len(k.Names) == 0 && !named[k.Name] {
				named[k.Name] = true
				list, err := v.names(k.Name)
				if err != nil {
					return nil, err
				}
				c.Lists = append(c.Lists, list)
			}
			n++
		}
		c.Groups = append(c.Groups, shown)
	}
	var err error
	c.Count, err = v.people(w, f)
	return c, err
}

// conditionRow draws one row: what it is about, by which operator, and with what.
func (v *visit) conditionRow(w vocabulary, r filterRow, n int) conditionRow {
	r, k, operators, o := w.settle(r)
	at := "-" + strconv.Itoa(n)
	choose := func(name, label, value string, all []client.FilterChoice) field {
		x := field{Name: name + at, Label: v.t(label), Live: conditionsPart}
		for _, c := range all {
			x.Options = append(x.Options, option{c.Name, c.Title, c.Name == value})
		}
		return x
	}
	var kinds, by []client.FilterChoice
	for _, k := range w.Kinds {
		kinds = append(kinds, k.FilterChoice)
	}
	for _, o := range operators {
		by = append(by, o.FilterChoice)
	}
	row := conditionRow{ID: rowID(n), Label: v.t("page.segment_row", "n", n+1), Drop: v.t("page.segment_drop_row", "n", n+1), Fields: []field{choose("kind", "page.segment_kind", r.kind, kinds)}}
	if len(k.Names) > 0 {
		row.Fields = append(row.Fields, choose("name", "page.segment_what", r.name, k.Names))
	} else {
		row.Fields = append(row.Fields, field{Name: "name" + at, Label: v.t("page.segment_what"), Placeholder: v.t("page.segment_what"), Value: r.name, ListID: "names-" + k.Name, Live: countPart})
	}
	if len(k.Deeds) > 0 {
		row.Fields = append(row.Fields, choose("did", "page.segment_did", r.did, k.Deeds))
	}
	row.Fields = append(row.Fields, choose("operator", "page.segment_how", r.operator, by))
	for i, take := range o.Takes {
		name := [2]string{"value", "until"}[min(i, 1)] + at
		x := field{Name: name, Label: v.t("page.segment_value"), Value: r.values[min(i, 1)], Live: countPart}
		switch take.Value {
		case "fixed":
			continue
		case "texts":
			x.Label = v.t("page.segment_values")
			x.Placeholder, x.Lines = x.Label, min(6, strings.Count(x.Value, "\n")+1)
		case "states":
			for _, s := range w.States {
				x.Options = append(x.Options, option{s.Name, s.Title, s.Name == x.Value})
			}
			either := []client.FilterChoice{w.States[0], w.States[1]}
			x.Options = append(x.Options, option{either[0].Name + " " + either[1].Name, v.t("filter.or", "a", either[0].Title, "b", either[1].Title), x.Value == either[0].Name+" "+either[1].Name})
			if x.Value != "" && !slices.ContainsFunc(x.Options, func(o option) bool { return o.Chosen }) {
				x.Options = append(x.Options, option{x.Value, strings.ReplaceAll(x.Value, " ", ", "), true})
			}
		case "count", "days":
			x.Type = "number"
			if take.Value == "days" {
				x.Label = v.t("page.segment_day_count")
			}
			x.Placeholder = x.Label
		case "moment":
			x.Label = v.t("page.segment_date")
			if _, err := time.Parse(time.DateOnly, x.Value); err == nil || x.Value == "" {
				x.Type = "date"
			}
		default:
			x.Placeholder = x.Label
		}
		if len(o.Takes) > 1 {
			x.Label = fmt.Sprintf("%s (%s)", x.Label, v.t([2]string{"page.segment_from", "page.segment_to"}[min(i, 1)]))
			x.Placeholder = v.t([2]string{"page.segment_from", "page.segment_to"}[min(i, 1)])
		}
		row.Fields = append(row.Fields, x)
	}
	return row
}

// shownNames is how many names are offered of a kind; others may be typed.
const shownNames = 500

// names offers what the workspace's events have named of one kind.
func (v *visit) names(kind string) (datalist, error) {
	list := datalist{ID: "names-" + kind}
	ctx := client.InPart(v, &client.Part{Limit: shownNames})
	for n, err := range v.api.ListFilterNames(ctx, v.place.Workspace, kind, "") {
		if client.HasCode(err, "not_found") { // nothing is kept of people
			return list, nil
		}
		if err != nil {
			return list, v.said(err)
		}
		list.Names = append(list.Names, option{Value: n.Name, Text: n.Title})
	}
	return list, nil
}

// people says how many people a form means, and shows some of them if that is asked for. While a row is not filled in, or
// the count cannot be had, it says that: the form has more to do.
func (v *visit) people(w vocabulary, f segmentForm) (headcount, error) {
	c := headcount{Title: v.t("page.segment_people"), Refresh: v.t("page.segment_count")}
	filter, _, problems := v.filter(w, f)
	asked := v.form("part")
	var size client.SegmentSize
	var err error
	if len(problems) == 0 {
		size, err = v.api.SizeFilter(v, v.place.Workspace, client.SegmentQuery{Filter: filter, Exact: asked == countPart+".exact"})
		err = v.said(err)
	}
	switch {
	case len(problems) > 0 || fault.Is(err, fault.Invalid):
		c.Text, c.Small = "–", v.t("page.segment_unfinished")
		return c, nil
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Unavailable), fault.Is(err, fault.Forbidden):
		c.Text, c.Small = "–", v.message(err)
		return c, nil
	case err != nil:
		return c, err
	case size.Exact:
		c.Text, c.Small = v.lang.Number(size.People), v.t("page.segment_is_exact")
	default:
		c.Text, c.Small = v.t("page.segment_roughly", "n", size.People), v.t("page.segment_is_estimated")
		c.Buttons = append(c.Buttons, button{Text: v.t("page.segment_exact"), Small: true, Name: "part", Value: countPart + ".exact"})
	}
	if v.place.ExportUserData {
		c.Buttons = append(c.Buttons, button{Text: v.t("page.segment_preview"), Small: true, Name: "part", Value: countPart + ".people"})
		if asked == countPart+".people" {
			some, err := v.api.PreviewFilter(v, v.place.Workspace, client.FilterQuery{Filter: filter})
			if err != nil {
				return c, v.said(err)
			}
			c.Table = new(v.previewed(some))
		}
	}
	return c, nil
}
