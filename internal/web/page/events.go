package page

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// eventPages are the catalogue of event types.
func eventPages() []page {
	return []page{
		{"GET /w/{workspace}/events", false, listEvents},
		{"GET /w/{workspace}/events/{type}", false, showEvent},
	}
}

// eventDoc says what the type is, or with a field's name that field: in the visitor's language, and as the schema says
// where it is one of the installation's own.
func (v *visit) eventDoc(t client.EventType, name, doc string) string {
	if t.Own {
		return doc
	}
	return text.Say(v.lang, fault.Message{Key: "event." + name, Text: doc}, nil)
}

// listEvents lists the types by group.
func listEvents(v *visit) error {
	all, err := collect(v, v.api.ListEventTypes(v))
	if err != nil {
		return err
	}
	q := strings.TrimSpace(v.r.URL.Query().Get("q"))
	p := sectionsPage{Frame: v.frame(v.t("page.event_types"), "/events"),
		Filter: &filter{Fields: []field{{Name: "q", Type: "search", Label: v.t("page.event_search"), Value: q}}, Button: v.t("page.search")}}
	p.Frame.Says = &says{Text: v.t("page.events_say", "n", len(all))}
	if q != "" {
		p.Filter.Clear = &button{Text: v.t("page.show_all"), Kind: "quiet", Href: v.path("/events")}
	}
	for _, g := range groups {
		t := table{Columns: []column{{v.t("page.event_type"), false}, {v.t("page.event_when"), false}}}
		for _, x := range all {
			if x.Group == g.name && v.matches(x, q) {
				t.Rows = append(t.Rows, row{[]cell{{Text: x.Name, Href: v.path("/events/" + url.PathEscape(x.Name)), Mono: true}, {Text: v.eventDoc(x, x.Name, x.Doc)}}})
			}
		}
		if len(t.Rows) > 0 {
			p.Sections = append(p.Sections, section{ID: g.name, Title: v.t(g.key), Table: &t})
		}
	}
	if len(p.Sections) == 0 {
		p.Sections = []section{{Empty: &empty{v.t("page.nothing_found"), v.t("page.events_none_text"), &button{Text: v.t("page.show_all"), Href: v.path("/events")}}}}
	}
	v.show(http.StatusOK, "sections", p)
	return nil
}

// matches reports whether what is searched for stands in the type's name, in what is said of it, or in a field's name.
func (v *visit) matches(t client.EventType, q string) bool {
	q = strings.ToLower(q)
	return strings.Contains(strings.ToLower(t.Name), q) || strings.Contains(strings.ToLower(v.eventDoc(t, t.Name, t.Doc)), q) ||
		slices.ContainsFunc(t.Fields, func(f client.EventField) bool { return strings.Contains(f.Name, q) })
}

// dialects are the systems that a table can be made in, by the names that the API has.
var dialects = []struct{ name, title string }{
	{"snowflake", "Snowflake"}, {"athena", "Athena, Glue"}, {"redshift", "Redshift"}, {"spark", "Spark"}, {"bigquery", "BigQuery"}, {"duckdb", "DuckDB"},
}

// showEvent shows a type with its fields, an example, and a table over its files.
func showEvent(v *visit) error {
	currents, err := collect(v, v.api.ListConnectors(v, v.place.Workspace, false))
	if err != nil {
		return err
	}
	x, err := v.api.GetEventType(v, v.r.PathValue("type"), client.Table{})
	if err != nil {
		return v.said(err)
	}
	q := v.r.URL.Query()
	of := client.Table{DDL: q.Get("ddl"), Connector: q.Get("current"), Workspace: v.place.Workspace}
	if !slices.ContainsFunc(dialects, func(d struct{ name, title string }) bool { return d.name == of.DDL }) {
		of.DDL = dialects[0].name
	}
	currents = slices.DeleteFunc(currents, func(c client.Connector) bool {
		if carries(c, x) {
			return false
		}
		if c.ID == of.Connector {
			of.Connector = ""
		}
		return true
	})
	if of.Connector == "" && len(currents) > 0 {
		of.Connector = currents[0].ID
	}
	x, err = v.api.GetEventType(v, v.r.PathValue("type"), of)
	if err != nil {
		return v.said(err)
	}
	f := v.frame(x.Name, "/events")
	f.Crumbs = []crumb{{v.t("page.event_types"), v.path("/events")}, {x.Name, ""}}
	if doc := v.eventDoc(x, x.Name, x.Doc); doc != "" {
		f.Says = &says{Text: doc}
	}
	v.show(http.StatusOK, "sections", sectionsPage{Frame: f, Sections: []section{v.eventFacts(x), v.eventFields(x), v.eventExample(x), v.eventTable(x, of, currents)}})
	return nil
}

// carries reports whether a Current selects the type.
func carries(c client.Connector, x client.EventType) bool {
	return slices.ContainsFunc(c.Events, func(name string) bool { return name == "all" || name == x.Group || name == x.Name })
}

func (v *visit) eventFacts(x client.EventType) section {
	var versions []string
	for _, id := range x.Versions {
		versions = append(versions, strconv.Itoa(id))
	}
	p := pairs{{Name: v.t("page.event_group"), Text: v.groupName(x.Group)}, {Name: v.t("page.event_schema"), Text: strconv.Itoa(x.SchemaID), Small: v.t("page.event_schema_text")}}
	if len(versions) > 1 {
		p = append(p, pairItem{Name: v.t("page.event_versions"), Text: strings.Join(versions, ", "), Small: v.t("page.event_versions_text")})
	}
	if x.Own {
		p = append(p, pairItem{Name: v.t("page.event_origin"), Text: v.t("page.event_own")})
	}
	return section{Pairs: p}
}

func (v *visit) groupName(name string) string {
	for _, g := range groups {
		if g.name == name {
			return v.t(g.key)
		}
	}
	return name
}

func (v *visit) eventFields(x client.EventType) section {
	t := table{Columns: []column{{v.t("page.event_field"), false}, {v.t("page.event_kind"), false}, {v.t("page.event_absent"), false}, {v.t("page.event_note"), false}}}
	for _, f := range x.Fields {
		c := cell{Text: v.eventDoc(x, "field."+f.Name, f.Doc)}
		if f.Since != x.Versions[0] {
			c.Small = v.t("page.event_since", "id", strconv.Itoa(f.Since))
		}
		absent := v.t("page.event_required")
		if f.Nullable {
			absent = v.t("page.event_optional")
		}
		t.Rows = append(t.Rows, row{[]cell{{Text: f.Name, Mono: true, Whole: true}, {Text: f.Type, Mono: true, Whole: true}, {Text: absent}, c}})
	}
	return section{ID: "fields", Title: v.t("page.event_fields"), Table: &t}
}

// eventExample shows an event, and how it is sent.
func (v *visit) eventExample(x client.EventType) section {
	var b bytes.Buffer
	if json.Indent(&b, []byte(x.Example), "", "  ") != nil {
		b.Reset()
		b.WriteString(x.Example)
	}
	send := "curl " + v.p.deps.BaseURL() + "/v1/events \\\n  -H 'Authorization: Bearer " + v.t("page.event_your_key") + "' \\\n  -H 'Content-Type: application/x-ndjson' \\\n  -d '" +
		strings.ReplaceAll(x.Example, "'", `'\''`) + "'"
	return section{ID: "example", Title: v.t("page.event_example"), Text: v.t("page.event_example_text"),
		Codes: []code{{"example-json", "JSON", b.String()}, {"example-curl", "curl", send}}}
}

// eventTable shows the statements that make a table over a Current's files.
func (v *visit) eventTable(x client.EventType, of client.Table, currents []client.Connector) section {
	s := section{ID: "table", Title: v.t("page.event_table"), Text: v.t("page.event_table_text")}
	which := field{Name: "current", Label: v.t("page.event_table_of")}
	for _, c := range currents {
		which.Options = append(which.Options, option{c.ID, c.Name, c.ID == of.Connector})
	}
	in := field{Name: "ddl", Label: v.t("page.event_table_in")}
	title := ""
	for _, d := range dialects {
		in.Options = append(in.Options, option{d.name, d.title, d.name == of.DDL})
		if d.name == of.DDL {
			title = d.title
		}
	}
	s.Filter = &filter{Fields: []field{in}, Button: v.t("page.event_table_show")}
	if len(currents) > 0 {
		s.Filter.Fields = []field{in, which}
	} else {
		s.Banner = &banner{Tone: info, Icon: "info", Title: v.t("page.event_table_none")}
	}
	s.Code = &code{"ddl-text", title, x.DDL}
	return s
}
