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
		t.columns = append(t.columns, column{"custom_events." + name, func(r *row) string { return r.times(name) }})
	}
	t.custom = len(attributes) > 0
	for _, name := range attributes {
		t.columns = append(t.columns, column{"custom_attributes." + name, func(r *row) string { return r.attribute(name) }})
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
		column{"variation_name", func(r *row) string { v := had(r).Variation; return cmp.Or(titles[v], v) }},
		column{"variation_id", func(r *row) string { return had(r).Variation }},
		column{"in_control", func(r *row) string { return strconv.FormatBool(had(r).Flags&control.InControl != 0) }})
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
		dst = t.cell(dst, i, c.of(&r))
	}
	return append(dst, "\r\n"...), nil
}

// cell adds the i-th cell of a line.
func (t *Table) cell(dst []byte, i int, v string) []byte {
	if i > 0 {
		dst = append(dst, t.delimiter)
	}
	// A spreadsheet runs what begins so. Source: OWASP, "CSV Injection"; the apostrophe is Braze's.
	if v != "" && strings.IndexByte("=+-@\t\r\n", v[0]) >= 0 {
		v = "'" + v
	}
	// A spreadsheet may split a line elsewhere than it was told to here: what it could take for an end is quoted.
	if !strings.ContainsAny(v, "\"\r\n\t,;:|") {
		return append(dst, v...)
	}
	dst = append(dst, '"')
	for i := range len(v) {
		if v[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, v[i])
	}
	return append(dst, '"')
}

// row is a person whose line is being written.
type row struct {
	control.Profile
	rest   control.PersonRest
	custom map[string]json.RawMessage
}

// column is a column and what it has of a person.
type column struct {
	name string
	of   func(r *row) string
}

// The columns, in the order in which the vendor lists them.
var (
	userColumns = []column{
		{"Appboy ID", func(r *row) string { return string(r.ID) }},
		{"country", func(r *row) string { return r.Country }},
		{"created_at", func(r *row) string { return when(r.CreatedAt) }},
		{"devices", func(r *row) string { return list(r.rest.Devices, func(d control.Device) string { return d.Model }) }},
		{"date_of_birth", func(r *row) string { return r.Birth }},
		{"email", func(r *row) string { return r.Email }},
		{"unsubscribed_from_emails_at", func(r *row) string { return r.since("email", control.Unsubscribed, r.EmailSubscribe) }},
		{"user_id", func(r *row) string { return r.ExternalID }},
		{"first_name", func(r *row) string { return r.FirstName }},
		{"first_session", func(r *row) string { return when(r.FirstSession) }},
		{"gender", func(r *row) string { return r.Gender }},
		{"google_ad_ids", func(r *row) string { return r.ads("google_ad_id") }},
		{"city", func(r *row) string { return r.HomeCity }},
		{"IDFAs", func(r *row) string { return r.ads("idfa") }},
		{"IDFVs", func(r *row) string { return r.ads("idfv") }},
		{"language", func(r *row) string { return r.Language }},
		{"last_app_version_used", func(r *row) string { return r.lastVersion() }},
		{"last_name", func(r *row) string { return r.LastName }},
		{"last_session", func(r *row) string { return when(r.LastSession) }},
		{"number_of_google_ad_ids", func(r *row) string { return r.countAds("google_ad_id") }},
		{"number_of_IDFAs", func(r *row) string { return r.countAds("idfa") }},
		{"number_of_IDFVs", func(r *row) string { return r.countAds("idfv") }},
		{"number_of_push_tokens", func(r *row) string { return strconv.Itoa(len(r.rest.PushTokens)) }},
		{"number_of_roku_ad_ids", func(r *row) string { return r.countAds("roku_ad_id") }},
		{"number_of_windows_ad_ids", func(r *row) string { return r.countAds("windows_ad_id") }},
		{"phone_number", func(r *row) string { return r.Phone }},
		{"opted_into_push_at", func(r *row) string { return r.since("push", control.OptedIn, r.PushSubscribe) }},
		{"unsubscribed_from_push_at", func(r *row) string { return r.since("push", control.Unsubscribed, r.PushSubscribe) }},
		{"random_bucket", func(r *row) string { return strconv.Itoa(r.Bucket) }},
		{"roku_ad_ids", func(r *row) string { return r.ads("roku_ad_id") }},
		{"session_count", func(r *row) string { return strconv.FormatInt(r.Sessions, 10) }},
		{"timezone", func(r *row) string { return r.TimeZone }},
		{"in_app_purchase_total", func(r *row) string { return string(addNumber(nil, control.Money(r.Revenue))) }},
		{"user_aliases", aliases},
		{"windows_ad_ids", func(r *row) string { return r.ads("windows_ad_id") }},
	}
	emailColumns = []column{
		{"user_id", func(r *row) string { return r.ExternalID }},
		{"first_name", func(r *row) string { return r.FirstName }},
		{"last_name", func(r *row) string { return r.LastName }},
		{"email", func(r *row) string { return r.Email }},
		{"unsubscribed_from_emails_at", func(r *row) string { return r.since("email", control.Unsubscribed, r.EmailSubscribe) }},
		{"opted_in_to_emails_at", func(r *row) string { return r.since("email", control.OptedIn, r.EmailSubscribe) }},
		{"user_aliases", aliases},
	}
)

func aliases(r *row) string {
	return list(r.rest.Aliases, func(a control.Alias) string { return a.Label + ":" + a.Name })
}

// since is when a person's state of a channel became what it is, if it is that one.
func (r *row) since(channel string, state, is control.Subscription) string {
	if state != is || r.rest.SubscribedAt[channel] == 0 {
		return ""
	}
	return when(time.UnixMilli(r.rest.SubscribedAt[channel]))
}

// ads are the advertising ids under a key of adIDs.
func (r *row) ads(key string) string {
	return list(r.rest.Devices, func(d control.Device) string {
		if adIDs[d.AdIDType] != key {
			return ""
		}
		return d.AdID
	})
}

func (r *row) countAds(key string) string {
	n := 0
	for _, d := range r.rest.Devices {
		if d.AdID != "" && adIDs[d.AdIDType] == key {
			n++
		}
	}
	return strconv.Itoa(n)
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

// times is how often a person did a custom event.
func (r *row) times(name string) string {
	for _, d := range r.Deeds {
		if d.Kind == control.NameEvent && d.Name == name {
			return strconv.FormatInt(d.Count, 10)
		}
	}
	return "0"
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

// list is several values in a cell: those that are not empty, with commas between them.
func list[T any](all []T, of func(T) string) string {
	var some []string
	for _, x := range all {
		if v := of(x); v != "" {
			some = append(some, v)
		}
	}
	return strings.Join(some, ",")
}

// when is a time in a cell; empty: none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
