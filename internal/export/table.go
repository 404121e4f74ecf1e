package export

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// Table writes people as lines of CSV.
//
// A cell that a spreadsheet would take for a formula begins with an apostrophe. Lines end with CR LF (RFC 4180). Not safe for concurrent use.
type Table struct {
	columns   []column
	delimiter byte
	bom       bool
	custom    bool // custom attributes are asked for
}

// Form is how a CSV is written. The zero value: commas, no byte order mark.
type Form struct {
	Delimiter byte // ',', ';', ':' or '|'
	BOM       bool // before the first line, by which spreadsheets know UTF-8
}

// UserTable gives what writes all columns, and then the chosen custom events (how often) and custom attributes.
// Source: Braze, "Segment data to CSV".
func UserTable(f Form, events, attributes []string) *Table {
	t := f.table(userColumns)
	for _, name := range events {
		t.columns = append(t.columns, column{"custom_events." + name, func(dst []byte, r *row) []byte { return r.times(dst, name) }})
	}
	t.custom = len(attributes) > 0
	for _, name := range attributes {
		t.columns = append(t.columns, column{"custom_attributes." + name, func(dst []byte, r *row) []byte { return append(dst, r.attribute(name)...) }})
	}
	return t
}

// RecipientTable gives what writes, after the columns of UserTable, what people had of a campaign or Canvas: its variation by
// name and id, and whether they are in its control group. of is its id, and titles are those of variations by their ids.
// Source: Braze, "Export campaign results data", whose names of these columns are not published.
func RecipientTable(f Form, events, attributes []string, of control.NameKind, id string, titles map[string]string) *Table {
	t := UserTable(f, events, attributes)
	had := func(r *row) control.PersonMessage {
		for _, h := range r.Had {
			if h.Of.Kind == of && h.Of.Name == id {
				return h.Deed
			}
		}
		return control.PersonMessage{}
	}
	t.columns = append(t.columns,
		column{"variation_name", func(dst []byte, r *row) []byte { v := had(r).Variation; return append(dst, cmp.Or(titles[v], v)...) }},
		column{"variation_id", func(dst []byte, r *row) []byte { return append(dst, had(r).Variation...) }},
		column{"in_control", func(dst []byte, r *row) []byte { return strconv.AppendBool(dst, had(r).Flags&control.InControl != 0) }})
	return t
}

// EmailTable gives what writes people's e-mail addresses, and nothing of who has none.
// Source: as UserTable.
func EmailTable(f Form) *Table { return f.table(emailColumns) }

func (f Form) table(columns []column) *Table {
	if f.Delimiter == 0 {
		f.Delimiter = ','
	}
	return &Table{columns: slices.Clone(columns), delimiter: f.Delimiter, bom: f.BOM}
}

// Head adds the first line to dst.
func (t *Table) Head(dst []byte) []byte {
	if t.bom {
		dst = append(dst, "\ufeff"...)
	}
	for i, c := range t.columns {
		dst = t.cell(dst, i, c.name)
	}
	return append(dst, "\r\n"...)
}

// Append adds the line of p to dst. Errors: corrupt, as Users.Append.
func (t *Table) Append(dst []byte, p control.Profile) ([]byte, error) {
	r := row{Profile: p}
	var err error
	if r.rest, err = control.ParsePersonRest(p.Rest); err == nil && t.custom && len(p.Custom) > 0 {
		err = json.Unmarshal(p.Custom, &r.custom)
	}
	if err != nil {
		return dst, fault.From(err, fault.Corrupt, "read what is stored of person "+string(p.ID))
	}
	for i, c := range t.columns {
		dst = t.next(dst, i)
		dst = asCell(c.add(dst, &r), len(dst))
	}
	return append(dst, "\r\n"...), nil
}

// cell adds the i-th cell of a line.
func (t *Table) cell(dst []byte, i int, v string) []byte {
	dst = t.next(dst, i)
	return asCell(append(dst, v...), len(dst))
}

// next begins the i-th cell of a line.
func (t *Table) next(dst []byte, i int) []byte {
	if i == 0 {
		return dst
	}
	return append(dst, t.delimiter)
}

// asCell makes a cell of the value that stands in dst from began on.
func asCell(dst []byte, began int) []byte {
	if began == len(dst) {
		return dst
	}
	// A spreadsheet runs what begins so. Source: OWASP, "CSV Injection"; the apostrophe is Braze's.
	formula := strings.IndexByte("=+-@\t\r\n", dst[began]) >= 0
	// A spreadsheet may split a line elsewhere than it was told to here: what it could take for an end is quoted.
	quoted := false
	for _, c := range dst[began:] {
		quoted = quoted || ends[c]
	}
	if !formula && !quoted {
		return dst
	}
	v := string(dst[began:])
	if dst = dst[:began]; quoted {
		dst = append(dst, '"')
	}
	if formula {
		dst = append(dst, '\'')
	}
	if !quoted {
		return append(dst, v...)
	}
	return append(append(dst, strings.ReplaceAll(v, `"`, `""`)...), '"')
}

// ends are the bytes that some spreadsheet could take for the end of a cell, and the quote.
var ends = [256]bool{'"': true, '\r': true, '\n': true, '\t': true, ',': true, ';': true, ':': true, '|': true}

// row is a person whose line is being written.
type row struct {
	control.Profile
	rest   control.PersonRest
	custom map[string]json.RawMessage
}

// column is a column. add appends what it has of a person.
type column struct {
	name string
	add  func(dst []byte, r *row) []byte
}

// The columns, in the order in which the vendor lists them.
var (
	userColumns = []column{
		{"Appboy ID", func(dst []byte, r *row) []byte { return append(dst, string(r.ID)...) }},
		{"country", func(dst []byte, r *row) []byte { return append(dst, r.Country...) }},
		{"created_at", func(dst []byte, r *row) []byte { return addWhen(dst, r.CreatedAt) }},
		{"devices", func(dst []byte, r *row) []byte {
			return addList(dst, r.rest.Devices, func(d control.Device) string { return d.Model })
		}},
		{"date_of_birth", func(dst []byte, r *row) []byte { return append(dst, r.Birth...) }},
		{"email", func(dst []byte, r *row) []byte { return append(dst, r.Email...) }},
		{"unsubscribed_from_emails_at", func(dst []byte, r *row) []byte { return r.since(dst, "email", control.Unsubscribed, r.EmailSubscribe) }},
		{"user_id", func(dst []byte, r *row) []byte { return append(dst, r.ExternalID...) }},
		{"first_name", func(dst []byte, r *row) []byte { return append(dst, r.FirstName...) }},
		{"first_session", func(dst []byte, r *row) []byte { return addWhen(dst, r.FirstSession) }},
		{"gender", func(dst []byte, r *row) []byte { return append(dst, r.Gender...) }},
		{"google_ad_ids", func(dst []byte, r *row) []byte { return r.ads(dst, "google_ad_id") }},
		{"city", func(dst []byte, r *row) []byte { return append(dst, r.HomeCity...) }},
		{"IDFAs", func(dst []byte, r *row) []byte { return r.ads(dst, "idfa") }},
		{"IDFVs", func(dst []byte, r *row) []byte { return r.ads(dst, "idfv") }},
		{"language", func(dst []byte, r *row) []byte { return append(dst, r.Language...) }},
		{"last_app_version_used", func(dst []byte, r *row) []byte { return append(dst, r.lastVersion()...) }},
		{"last_name", func(dst []byte, r *row) []byte { return append(dst, r.LastName...) }},
		{"last_session", func(dst []byte, r *row) []byte { return addWhen(dst, r.LastSession) }},
		{"number_of_google_ad_ids", func(dst []byte, r *row) []byte { return r.countAds(dst, "google_ad_id") }},
		{"number_of_IDFAs", func(dst []byte, r *row) []byte { return r.countAds(dst, "idfa") }},
		{"number_of_IDFVs", func(dst []byte, r *row) []byte { return r.countAds(dst, "idfv") }},
		{"number_of_push_tokens", func(dst []byte, r *row) []byte { return strconv.AppendInt(dst, int64(len(r.rest.PushTokens)), 10) }},
		{"number_of_roku_ad_ids", func(dst []byte, r *row) []byte { return r.countAds(dst, "roku_ad_id") }},
		{"number_of_windows_ad_ids", func(dst []byte, r *row) []byte { return r.countAds(dst, "windows_ad_id") }},
		{"phone_number", func(dst []byte, r *row) []byte { return append(dst, r.Phone...) }},
		{"opted_into_push_at", func(dst []byte, r *row) []byte { return r.since(dst, "push", control.OptedIn, r.PushSubscribe) }},
		{"unsubscribed_from_push_at", func(dst []byte, r *row) []byte { return r.since(dst, "push", control.Unsubscribed, r.PushSubscribe) }},
		{"random_bucket", func(dst []byte, r *row) []byte { return strconv.AppendInt(dst, int64(r.Bucket), 10) }},
		{"roku_ad_ids", func(dst []byte, r *row) []byte { return r.ads(dst, "roku_ad_id") }},
		{"session_count", func(dst []byte, r *row) []byte { return strconv.AppendInt(dst, r.Sessions, 10) }},
		{"timezone", func(dst []byte, r *row) []byte { return append(dst, r.TimeZone...) }},
		{"in_app_purchase_total", func(dst []byte, r *row) []byte { return addNumber(dst, control.Money(r.Revenue)) }},
		{"user_aliases", aliases},
		{"windows_ad_ids", func(dst []byte, r *row) []byte { return r.ads(dst, "windows_ad_id") }},
	}
	emailColumns = []column{
		{"user_id", func(dst []byte, r *row) []byte { return append(dst, r.ExternalID...) }},
		{"first_name", func(dst []byte, r *row) []byte { return append(dst, r.FirstName...) }},
		{"last_name", func(dst []byte, r *row) []byte { return append(dst, r.LastName...) }},
		{"email", func(dst []byte, r *row) []byte { return append(dst, r.Email...) }},
		{"unsubscribed_from_emails_at", func(dst []byte, r *row) []byte { return r.since(dst, "email", control.Unsubscribed, r.EmailSubscribe) }},
		{"opted_in_to_emails_at", func(dst []byte, r *row) []byte { return r.since(dst, "email", control.OptedIn, r.EmailSubscribe) }},
		{"user_aliases", aliases},
	}
)

func aliases(dst []byte, r *row) []byte {
	return addList(dst, r.rest.Aliases, func(a control.Alias) string { return a.Label + ":" + a.Name })
}

// since adds when a person's state of a channel became what it is, if it is that one.
func (r *row) since(dst []byte, channel string, state, is control.Subscription) []byte {
	if state != is || r.rest.SubscribedAt[channel] == 0 {
		return dst
	}
	return addWhen(dst, time.UnixMilli(r.rest.SubscribedAt[channel]))
}

// ads adds the advertising ids under a key of adIDs.
func (r *row) ads(dst []byte, key string) []byte {
	return addList(dst, r.rest.Devices, func(d control.Device) string {
		if adIDs[d.AdIDType] != key {
			return ""
		}
		return d.AdID
	})
}

func (r *row) countAds(dst []byte, key string) []byte {
	n := 0
	for _, d := range r.rest.Devices {
		if d.AdID != "" && adIDs[d.AdIDType] == key {
			n++
		}
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// lastVersion is that of the app used last.
func (r *row) lastVersion() string {
	var last control.AppUse
	for _, a := range r.rest.Apps {
		if a.LastUsed >= last.LastUsed {
			last = a
		}
	}
	return last.Version
}

// times adds how often a person did a custom event.
func (r *row) times(dst []byte, name string) []byte {
	var n int64
	for _, d := range r.Deeds {
		if d.Kind == control.NameEvent && d.Name == name {
			n = d.Count
		}
	}
	return strconv.AppendInt(dst, n, 10)
}

// attribute is a custom attribute: a text as it is, all else as JSON.
func (r *row) attribute(name string) string {
	v := r.custom[name]
	var text string
	if len(v) > 0 && v[0] == '"' && json.Unmarshal(v, &text) == nil {
		return text
	}
	return string(v)
}

// addList adds several values in a cell: those that are not empty, with commas between them.
func addList[T any](dst []byte, all []T, of func(T) string) []byte {
	began := len(dst)
	for _, x := range all {
		if v := of(x); v != "" {
			if len(dst) > began {
				dst = append(dst, ',')
			}
			dst = append(dst, v...)
		}
	}
	return dst
}

// addWhen adds a time in a cell; nothing, if there is none.
func addWhen(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return t.UTC().AppendFormat(dst, time.RFC3339)
}
