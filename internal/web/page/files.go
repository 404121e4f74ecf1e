package page

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/text"
)

// pageRows is how many rows a page of a list shows: on a phone each is a few lines.
const pageRows = 50

// hourInput is how browsers send <input type="datetime-local">.
const hourInput = "2006-01-02T15:04"

// showFiles lists what a Current delivered, the newest first.
func showFiles(v *visit) error {
	c, f, err := v.current("/files")
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	narrow, problem := client.FileFilter{LedgerFilter: client.LedgerFilter{EventType: q.Get("type"), Newest: true}, Search: strings.TrimSpace(q.Get("q"))}, ""
	if asked := q.Get("hour"); asked != "" {
		at, err := time.Parse(hourInput, asked)
		if err != nil {
			problem = v.t("page.file_hour_wrong")
		} else {
			narrow.From = at.Truncate(time.Hour)
			narrow.Until = narrow.From.Add(time.Hour)
		}
	}
	types, known, err := v.typeOptions(narrow.EventType)
	if err != nil {
		return err
	}
	byType := field{Name: "type", Label: v.t("page.event_type"), Options: types}
	if !known {
		byType.Error = v.t("page.file_type_unknown", "type", narrow.EventType)
	}
	p := listPage{Frame: f, Table: table{Dense: true, Columns: []column{{v.t("page.file_written"), false}, {v.t("page.event_type"), false}, {v.t("page.events"), true}, {v.t("page.size"), true}, {v.t("page.file_closed"), false}}},
		Filter: &filter{Button: v.t("page.filter"), Fields: []field{
			byType,
			{Name: "hour", Type: "datetime-local", Label: v.t("page.hour_utc"), Value: q.Get("hour"), Error: problem},
			{Name: "q", Type: "search", Label: v.t("page.file_search"), Value: q.Get("q")},
		}}}
	p.Table.Empty = &empty{v.t("page.files_none"), v.t("page.files_none_text"), nil}
	if narrow.EventType != "" || narrow.Search != "" || q.Get("hour") != "" {
		p.Filter.Clear = &button{Text: v.t("page.filter_clear"), Kind: "quiet", Href: v.r.URL.Path}
		one := client.InPart(v, &client.Part{Limit: 1})
		any, err := collect(v, v.api.ListFiles(one, v.place.Workspace, c.ID, client.FileFilter{}))
		if err != nil {
			return err
		}
		if len(any) > 0 {
			p.Table.Empty = &empty{v.t("page.filter_none"), v.t("page.filter_none_text"), nil}
		}
	}
	if problem != "" || !known {
		v.show(http.StatusUnprocessableEntity, "list", p)
		return nil
	}
	ctx, part := v.part()
	files, err := collect(v, v.api.ListFiles(ctx, v.place.Workspace, c.ID, narrow))
	if err != nil {
		return err
	}
	for _, x := range files {
		p.Table.Rows = append(p.Table.Rows, row{[]cell{{Time: v.moment(x.At)}, {Text: x.EventType, Mono: true, Href: v.path("/currents/" + c.ID + "/files/" + x.ID), Small: nameOf(c, x)},
			{Text: v.lang.Number(int64(x.Events))}, {Text: v.lang.Bytes(x.Bytes)}, {Text: v.cut(x.Cut)}}})
	}
	v.pages(&p.Table, part)
	p.Frame.Live = liveEvery
	v.show(http.StatusOK, "list", p)
	return nil
}

// nameOf is what a file's row says of its key: its hour, and its own name without what all files of the Current have.
func nameOf(c client.Connector, x client.File) string {
	return hourText(x.Hour) + " UTC · " + strings.TrimPrefix(path.Base(x.Key), path.Base(c.Destination.Prefix)+"+")
}

// cut says why a file was closed. One that this program does not know stays as it is named.
func (v *visit) cut(reason string) string {
	if reason == "replay" {
		return v.t("page.cut_replay")
	}
	if !text.Has("page.cut_" + reason) {
		return reason
	}
	return v.t("page.cut_" + reason)
}

// typeOptions are the types to choose from in a filter: all, and those there are. known is false for one that is none of
// them, which stands among them all the same.
func (v *visit) typeOptions(chosen string) (all []option, known bool, err error) {
	types, err := collect(v, v.api.ListEventTypes(v))
	if err != nil {
		return nil, false, err
	}
	all = []option{{"", v.t("page.current_any"), chosen == ""}}
	known = chosen == ""
	for _, x := range types {
		known = known || x.Name == chosen
		all = append(all, option{x.Name, x.Name, x.Name == chosen})
	}
	if !known {
		all = append(all, option{chosen, chosen, true})
	}
	return all, known, nil
}

// firstRecords is how many records of a file are shown.
const firstRecords = 10

// showFile says everything about one file, and reads its first records when asked to.
func showFile(v *visit) error {
	c, f, err := v.current("/files")
	if err != nil {
		return err
	}
	x, err := v.api.GetFile(v, v.place.Workspace, c.ID, v.r.PathValue("file"))
	if err != nil {
		return v.said(err)
	}
	base := v.path("/currents/" + c.ID)
	f.Window = path.Base(x.Key)
	f.Crumbs[1].Href = base
	f.Crumbs = append(f.Crumbs, crumb{v.t("page.tab_files"), base + "/files"}, crumb{v.t("page.file"), ""})
	place := "s3://" + x.Bucket + "/" + x.Key
	facts := pairs{
		{Name: v.t("page.key"), Copy: &line{"key", v.t("page.key"), place}},
		{Name: v.t("page.event_type"), Text: x.EventType, Mono: true, Href: v.path("/events/" + url.PathEscape(x.EventType))},
		{Name: v.t("page.file_schema"), Text: strconv.Itoa(x.SchemaID), Mono: true},
		{Name: v.t("page.hour_utc"), Text: hourText(x.Hour), Href: base + "/audit/" + x.Hour.UTC().Format(hourAddress)},
		{Name: v.t("page.file_written"), Time: v.moment(x.At)},
		{Name: v.t("page.events"), Text: v.lang.Number(int64(x.Events))},
		{Name: v.t("page.size"), Text: v.lang.Bytes(x.Bytes)},
		{Name: v.t("page.file_closed"), Text: v.cut(x.Cut)},
		{Name: v.t("page.file_range"), Text: v.t("page.range", "first", x.First, "last", x.Last), Small: v.t("page.file_range_text")},
	}
	if x.SHA != "" {
		facts = append(facts, pairItem{Name: v.t("page.file_checksum"), Text: x.SHA, Mono: true, Small: v.t("page.file_checksum_text")})
	}
	if x.Adopted {
		facts = append(facts, pairItem{Name: v.t("page.file_adopted"), Text: v.t("page.file_adopted_text")})
	}
	if x.Test {
		facts = append(facts, pairItem{Name: v.t("page.file_test"), Text: v.t("page.file_test_text")})
	}
	at, ours := "", ""
	if d := c.Destination; d.Endpoint != "" {
		at, ours = " --endpoint-url "+quoted(d.Endpoint), " --endpoint "+quoted(d.Endpoint)
	}
	p := sectionsPage{Frame: f, Sections: []section{
		{Title: v.t("page.file"), Pairs: facts},
		{Title: v.t("page.file_fetch"), Text: v.t("page.file_fetch_text"), Codes: []code{
			{"fetch-aws", "AWS CLI", "aws s3 cp " + quoted(place) + " ." + at},
			{"fetch-cat", "Millrace", "millrace cat " + quoted(place) + ours},
		}},
		v.recordsOf(c, x),
	}}
	v.show(http.StatusOK, "sections", p)
	return nil
}

// recordsOf is the part of a file's page with its first records: read if the address asks for them, else offered.
func (v *visit) recordsOf(c client.Connector, x client.File) section {
	s := section{ID: "records", Title: v.t("page.file_records"), Text: v.t("page.file_records_text")}
	if !v.place.ExportUserData {
		s.Text = v.t("page.file_records_right")
		return s
	}
	if v.r.URL.Query().Get("records") == "" {
		s.Buttons = []button{{Text: v.t("page.file_records_read"), Icon: "eye", Href: "?records=1#records"}}
		return s
	}
	got, err := v.api.GetFileRecords(v, v.place.Workspace, c.ID, x.ID, firstRecords)
	if err != nil {
		err = v.said(err)
		b := banner{Tone: bad, Icon: "circle-alert", Title: v.message(err)}
		if hint := v.hint(err); hint != "" {
			b.Texts = []string{hint}
		}
		s.Banner = &b
		return s
	}
	for i, r := range got.Records {
		var b bytes.Buffer
		if json.Indent(&b, r, "", "  ") != nil {
			b.Write(r)
		}
		n := v.t("page.file_record", "n", i+1, "all", x.Events)
		s.Folds = append(s.Folds, fold{n, i == 0, []part{{Code: &code{"record-" + strconv.Itoa(i+1), n, b.String()}}}})
	}
	return s
}

// quoted writes a word for a shell.
func quoted(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
