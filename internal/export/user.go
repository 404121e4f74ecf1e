package export

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// Users writes people as the user export object, one JSON object a line.
//
// What is not known of a person is left out. Not safe for concurrent use.
// Source: Braze, "User export object"; docs/compatibility.md says where ours differs.
type Users struct {
	fields []field
	only   map[string]bool // custom attributes that are wanted; nil: all
	since  time.Time       // before which events, purchases and messages are left out
}

// customField is the field of which single custom attributes can be chosen.
const customField = "custom_attributes"

// Fields are the names that there are, sorted.
func Fields() (names []string) {
	for _, f := range fields {
		names = append(names, f.name)
	}
	return names
}

// NewUsers gives what writes those fields. Of custom attributes all are written if they are among the fields, else those
// that custom names. now is when the export began. Errors: invalid, if there is nothing to write, or
// naming every field that there is not.
func NewUsers(names, custom []string, now time.Time) (*Users, error) {
	u := &Users{since: now.Add(-Recent)}
	var wrong []fault.Problem
	if len(names) == 0 && len(custom) == 0 {
		wrong = append(wrong, fault.Field("fields_to_export", "required", "field.export_fields", "Say which fields to export."))
	}
	for i, name := range names {
		if !slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
			wrong = append(wrong, fault.Field(fmt.Sprintf("fields_to_export[%d]", i), "unknown", "field.export_field", `There is no field "{name}".`, "name", name))
		}
	}
	if len(wrong) > 0 {
		return nil, &fault.Error{Code: fault.Invalid, Fields: wrong}
	}
	chosen := !slices.Contains(names, customField) && len(custom) > 0
	if chosen {
		u.only = map[string]bool{}
		for _, name := range custom {
			u.only[name] = true
		}
	}
	for _, f := range fields {
		if slices.Contains(names, f.name) || chosen && f.name == customField {
			u.fields = append(u.fields, f)
		}
	}
	return u, nil
}

// Append adds the line of p to dst. Errors: corrupt, if what is stored of p is not what the reader of the log writes; dst
// is then as it was.
func (u *Users) Append(dst []byte, p control.Profile) ([]byte, error) {
	s := subject{Profile: p, in: u}
	var err error
	if s.rest, err = control.ParsePersonRest(p.Rest); err != nil {
		return dst, fault.From(err, fault.Corrupt, "read what is stored of person "+string(p.ID))
	}
	began := len(dst)
	dst = append(dst, '{')
	for _, f := range u.fields {
		before := len(dst)
		if before > began+1 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, f.name...)
		dst = append(dst, `":`...)
		value := len(dst)
		if dst = f.add(dst, &s); len(dst) == value {
			dst = dst[:before]
		}
	}
	if s.failed != nil {
		return dst[:began], fault.From(s.failed, fault.Corrupt, "read what is stored of person "+string(p.ID))
	}
	return append(dst, "}\n"...), nil
}

// subject is a person who is being written.
type subject struct {
	control.Profile
	rest   control.PersonRest
	in     *Users
	failed error
}

// field is a key of the object. add appends its value; nothing: the person has none.
type field struct {
	name string
	add  func(dst []byte, s *subject) []byte
}

// unknown is of what no event tells: it is taken, and never there.
func unknown(dst []byte, _ *subject) []byte { return dst }

// fields are the object, sorted by name.
var fields = []field{
	{"apps", func(dst []byte, s *subject) []byte {
		return addEach(dst, s.rest.Apps, func(dst []byte, a control.AppUse) []byte {
			dst = addPairs(dst, "name", a.ID, "platform", a.Platform, "version", a.Version)
			dst = strconv.AppendInt(append(dst[:len(dst)-1], `,"sessions":`...), a.Sessions, 10)
			dst = addInstant(append(dst, `,"first_used":`...), time.UnixMilli(a.FirstUsed))
			return append(addInstant(append(dst, `,"last_used":`...), time.UnixMilli(a.LastUsed)), '}')
		})
	}},
	{"attributed_ad", unknown},
	{"attributed_adgroup", unknown},
	{"attributed_campaign", unknown},
	{"attributed_source", unknown},
	{"braze_id", func(dst []byte, s *subject) []byte { return addText(dst, string(s.ID)) }},
	{"campaigns_received", addCampaigns},
	{"canvases_received", addCanvases},
	{"cards_clicked", unknown},
	{"country", func(dst []byte, s *subject) []byte { return addText(dst, s.Country) }},
	{"created_at", func(dst []byte, s *subject) []byte {
		began := len(dst)
		if dst = addInstant(dst, s.CreatedAt); len(dst) > began {
			dst[began+len(`"2006-01-02`)] = ' '
			dst = append(dst[:len(dst)-len(`Z"`)], ` UTC"`...)
		}
		return dst
	}},
	{customField, addCustom},
	{"custom_events", func(dst []byte, s *subject) []byte { return addDeeds(dst, s, control.NameEvent) }},
	{"devices", func(dst []byte, s *subject) []byte { return addEach(dst, s.rest.Devices, addDevice) }},
	{"dob", func(dst []byte, s *subject) []byte { return addText(dst, s.Birth) }},
	{"email", func(dst []byte, s *subject) []byte { return addText(dst, s.Email) }},
	{"email_subscribe", func(dst []byte, s *subject) []byte { return addText(dst, string(s.EmailSubscribe)) }},
	{"external_id", func(dst []byte, s *subject) []byte { return addText(dst, s.ExternalID) }},
	{"first_name", func(dst []byte, s *subject) []byte { return addText(dst, s.FirstName) }},
	{"gender", func(dst []byte, s *subject) []byte { return addText(dst, s.Gender) }},
	{"home_city", func(dst []byte, s *subject) []byte { return addText(dst, s.HomeCity) }},
	{"language", func(dst []byte, s *subject) []byte { return addText(dst, s.Language) }},
	{"last_coordinates", func(dst []byte, s *subject) []byte {
		c := s.rest.Coordinates
		if c == nil {
			return dst
		}
		return append(addNumber(append(addNumber(append(dst, '['), c[0]), ','), c[1]), ']')
	}},
	{"last_name", func(dst []byte, s *subject) []byte { return addText(dst, s.LastName) }},
	{"phone", func(dst []byte, s *subject) []byte { return addText(dst, s.Phone) }},
	{"purchases", func(dst []byte, s *subject) []byte { return addDeeds(dst, s, control.NameProduct) }},
	{"push_opted_in_at", func(dst []byte, s *subject) []byte {
		if s.PushSubscribe != control.OptedIn || s.rest.SubscribedAt["push"] == 0 {
			return dst
		}
		return addInstant(dst, time.UnixMilli(s.rest.SubscribedAt["push"]))
	}},
	{"push_subscribe", func(dst []byte, s *subject) []byte { return addText(dst, string(s.PushSubscribe)) }},
	{"push_tokens", func(dst []byte, s *subject) []byte {
		return addEach(dst, s.rest.PushTokens, func(dst []byte, t control.PushToken) []byte {
			return addPairs(dst, "app", t.App, "platform", t.Platform, "token", t.Token, "device_id", t.Device)
		})
	}},
	{"random_bucket", func(dst []byte, s *subject) []byte { return strconv.AppendInt(dst, int64(s.Bucket), 10) }},
	{"time_zone", func(dst []byte, s *subject) []byte { return addText(dst, s.TimeZone) }},
	{"total_revenue", func(dst []byte, s *subject) []byte { return addNumber(dst, control.Money(s.Revenue)) }},
	{"uninstalled_at", func(dst []byte, s *subject) []byte { return addInstant(dst, s.UninstalledAt) }},
	{"user_aliases", func(dst []byte, s *subject) []byte {
		return addEach(dst, s.rest.Aliases, func(dst []byte, a control.Alias) []byte {
			return addPairs(dst, "alias_name", a.Name, "alias_label", a.Label)
		})
	}},
}

// addCustom adds custom attributes as they are stored, or those of them that are wanted, sorted by name.
func addCustom(dst []byte, s *subject) []byte {
	if len(s.Custom) == 0 || string(s.Custom) == "{}" { // attributes that were taken away leave an empty object
		return dst
	}
	if s.in.only == nil {
		return append(dst, s.Custom...)
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(s.Custom, &all); err != nil {
		s.failed = err
		return dst
	}
	began := len(dst)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if s.in.only[name] {
			dst = append(dst, separator(len(dst) == began, '{'))
			dst = append(append(addText(dst, name), ':'), all[name]...)
		}
	}
	if len(dst) > began {
		dst = append(dst, '}')
	}
	return dst
}

// addDeeds adds the events or purchases of recent times, with their counts and first times of all times.
func addDeeds(dst []byte, s *subject, kind control.NameKind) []byte {
	began := len(dst)
	for _, d := range s.Deeds {
		if d.Kind != kind || d.Last.Before(s.in.since) {
			continue
		}
		dst = append(dst, separator(len(dst) == began, '['))
		dst = addText(append(dst, `{"name":`...), d.Name)
		dst = addInstant(append(dst, `,"first":`...), d.First)
		dst = addInstant(append(dst, `,"last":`...), d.Last)
		dst = append(strconv.AppendInt(append(dst, `,"count":`...), d.Count, 10), '}')
	}
	if len(dst) > began {
		dst = append(dst, ']')
	}
	return dst
}

// engaged are what campaigns_received says of what a person did with a campaign.
var engaged = []struct {
	name string
	flag control.Flags
}{
	{"opened_email", control.OpenedEmail}, {"opened_push", control.OpenedPush},
	{"clicked_email", control.ClickedEmail}, {"clicked_triggered_in_app_message", control.ClickedInApp},
}

func addCampaigns(dst []byte, s *subject) []byte {
	began := len(dst)
	for _, h := range s.Had {
		if h.Of.Kind != control.NameCampaign || h.Deed.Received.Before(s.in.since) {
			continue
		}
		dst = append(dst, separator(len(dst) == began, '['))
		dst = addPairs(dst, "name", titleOf(h.Of), "api_campaign_id", h.Of.Name, "variation_api_id", h.Deed.Variation)
		dst = addInstant(append(dst[:len(dst)-1], `,"last_received":`...), h.Deed.Received)
		dst = append(dst, `,"engaged":{`...)
		for i, e := range engaged {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '"'), e.name...), `":`...)
			dst = strconv.AppendBool(dst, h.Deed.Flags&e.flag != 0)
		}
		dst = strconv.AppendBool(append(dst, `},"converted":`...), h.Deed.Flags&control.Converted != 0)
		dst = append(strconv.AppendBool(append(dst, `,"in_control":`...), h.Deed.Flags&control.InControl != 0), '}')
	}
	if len(dst) > began {
		dst = append(dst, ']')
	}
	return dst
}

func addCanvases(dst []byte, s *subject) []byte {
	began := len(dst)
	for _, h := range s.Had {
		if h.Of.Kind != control.NameCanvas || latest(h.Deed.Received, h.Deed.Entered).Before(s.in.since) {
			continue
		}
		dst = append(dst, separator(len(dst) == began, '['))
		dst = addPairs(dst, "name", titleOf(h.Of), "api_canvas_id", h.Of.Name, "variation_name", h.Deed.Variation)
		dst = dst[:len(dst)-1]
		for _, t := range []struct {
			name string
			at   time.Time
		}{{"last_received_message", h.Deed.Received}, {"last_entered", h.Deed.Entered}, {"last_exited", h.Deed.Exited}} {
			if !t.at.IsZero() {
				dst = addInstant(append(append(append(dst, `,"`...), t.name...), `":`...), t.at)
			}
		}
		dst = strconv.AppendBool(append(dst, `,"in_control":`...), h.Deed.Flags&control.InControl != 0)
		steps := len(dst)
		for _, step := range s.Had {
			if step.Of.Kind == control.NameStep && step.Of.Parent == h.Of.ID && !step.Deed.Received.IsZero() {
				if len(dst) == steps {
					dst = append(dst, `,"steps_received":[`...)
				} else {
					dst = append(dst, ',')
				}
				dst = addPairs(dst, "name", titleOf(step.Of), "api_canvas_step_id", step.Of.Name)
				dst = append(addInstant(append(dst[:len(dst)-1], `,"last_received":`...), step.Deed.Received), '}')
			}
		}
		if len(dst) > steps {
			dst = append(dst, ']')
		}
		dst = append(dst, '}')
	}
	if len(dst) > began {
		dst = append(dst, ']')
	}
	return dst
}

// adIDs are the keys of a device's advertising id, by its type in events.
var adIDs = map[string]string{"ios_idfa": "idfa", "ios_idfv": "idfv", "google_ad_id": "google_ad_id", "roku_ad_id": "roku_ad_id", "windows_ad_id": "windows_ad_id"}

func addDevice(dst []byte, d control.Device) []byte {
	pairs := []string{"model", d.Model, "os", d.OS, "device_id", d.ID}
	if key := adIDs[d.AdIDType]; key != "" {
		pairs = append(pairs, key, d.AdID)
	}
	dst = addPairs(dst, pairs...)
	if d.AdTracking != nil {
		dst = append(strconv.AppendBool(append(dst[:len(dst)-1], `,"ad_tracking_enabled":`...), *d.AdTracking), '}')
	}
	return dst
}

// titleOf gives what events call a thing, or its id.
func titleOf(n control.Name) string {
	if n.Title != "" {
		return n.Title
	}
	return n.Name
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// separator is what stands before an element of a list that opens with that.
func separator(first bool, open byte) byte {
	if first {
		return open
	}
	return ','
}

// addEach adds a list; nothing, if it is empty.
func addEach[T any](dst []byte, all []T, add func([]byte, T) []byte) []byte {
	for i, x := range all {
		dst = add(append(dst, separator(i == 0, '[')), x)
	}
	if len(all) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

// addPairs adds an object of texts, by turns a key and its value: the first always, others if they are not empty.
func addPairs(dst []byte, pairs ...string) []byte {
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 && pairs[i+1] == "" {
			continue
		}
		dst = append(dst, separator(i == 0, '{'), '"')
		dst = append(append(dst, pairs[i]...), `":`...)
		if dst = addText(dst, pairs[i+1]); pairs[i+1] == "" {
			dst = append(dst, `""`...)
		}
	}
	return append(dst, '}')
}

// addText adds a JSON text; nothing, if it is empty.
func addText(dst []byte, v string) []byte {
	if v == "" {
		return dst
	}
	for i := range len(v) {
		if c := v[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			b, err := json.Marshal(v)
			if err != nil {
				panic("export: a text did not encode: " + err.Error()) // no text fails
			}
			return append(dst, b...)
		}
	}
	return append(append(append(dst, '"'), v...), '"')
}

// addInstant adds a time as the vendor's samples have it; nothing, if there is none.
func addInstant(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	// Package time writes this layout several times quicker than one with milliseconds.
	dst = t.UTC().AppendFormat(append(dst, '"'), time.RFC3339)
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(dst[:len(dst)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z', '"')
}

func addNumber(dst []byte, v float64) []byte { return strconv.AppendFloat(dst, v, 'f', -1, 64) }
