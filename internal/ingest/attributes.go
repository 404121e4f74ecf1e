package ingest

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
)

// attributes is one object of attributes, checked.
type attributes struct {
	standard map[string]json.RawMessage // in normal form
	custom   []control.CustomChange
	raw      map[string]json.RawMessage // custom attributes as they were sent
}

// control fields of an object of attributes: none of them is an attribute.
var notAttributes = []string{"external_id", "user_alias", "braze_id", "alias_name", "alias_label", "_update_existing_only", "push_token_import", "_merge_objects"}

// maxAttributeText is the longest text of an attribute, in characters. Source: facts of the event object, which names
// it for all texts.
const maxAttributeText = 255

// normalize gives a standard attribute in its normal form; nil: it says nothing and is passed over.
type normalize func(json.RawMessage) (any, *problem)

// standard says how each standard attribute is read. Source: the vendor's page of the user attributes object. Null takes
// any of them away.
var standard = map[string]normalize{
	"first_name": shortText, "last_name": shortText, "home_city": shortText, "image_url": longText,
	"email": func(v json.RawMessage) (any, *problem) {
		return textAs(v, control.NormalEmail, "must be an e-mail address")
	},
	"phone": func(v json.RawMessage) (any, *problem) {
		return textAs(v, control.NormalPhone, "must be a telephone number, best as in E.164")
	},
	"gender": func(v json.RawMessage) (any, *problem) {
		return textAs(v, func(s string) (string, bool) {
			s = strings.ToUpper(s)
			return s, len(s) == 1 && strings.Contains("MFONP", s)
		}, "must be one of: M, F, O, N, P")
	},
	"dob": func(v json.RawMessage) (any, *problem) {
		return textAs(v, func(s string) (string, bool) {
			t, ok := parseTime(s)
			return t.Format(time.DateOnly), ok && t.Year() >= 1800
		}, "must be a date as YYYY-MM-DD")
	},
	"country": orNothing(func(s string) string {
		r, err := language.ParseRegion(strings.TrimSpace(s))
		if err != nil || !r.IsCountry() {
			return ""
		}
		return r.Canonicalize().String()
	}),
	"language": orNothing(func(s string) string {
		b, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(s), "_", "-"), "-")
		l, err := language.ParseBase(b)
		if err != nil {
			return ""
		}
		return l.String()
	}),
	"time_zone":       orNothing(zone),
	"email_subscribe": oneOf("opted_in", "subscribed", "unsubscribed"), "push_subscribe": oneOf("opted_in", "subscribed", "unsubscribed"),
	"email_open_tracking_disabled": yesOrNo, "email_click_tracking_disabled": yesOrNo,
	"date_of_first_session": moment, "date_of_last_session": moment, "marked_email_as_spam_at": moment,
	"facebook": anyObject, "twitter": anyObject,
	"current_location": location, "push_tokens": pushTokens, "subscription_groups": subscriptionGroups,
}

func textAs(v json.RawMessage, f func(string) (string, bool), must string) (any, *problem) {
	s, ok := text(v)
	if ok {
		s, ok = f(s)
	}
	if !ok {
		return nil, wrong("", event.CodeOutOfRange, must)
	}
	return s, nil
}

func shortText(v json.RawMessage) (any, *problem) {
	return textAs(v, func(s string) (string, bool) { return s, utf8.RuneCountInString(s) <= maxAttributeText }, "must be a string of at most 255 characters")
}

func longText(v json.RawMessage) (any, *problem) {
	return textAs(v, func(s string) (string, bool) { return s, len(s) <= 2048 }, "must be a string of at most 2,048 bytes")
}

// orNothing passes over what f does not know.
func orNothing(f func(string) string) normalize {
	return func(v json.RawMessage) (any, *problem) {
		s, ok := text(v)
		if !ok {
			return nil, wrong("", event.CodeWrongType, "must be a string")
		}
		if s = f(s); s == "" {
			return nil, nil
		}
		return s, nil
	}
}

func oneOf(values ...string) normalize {
	return func(v json.RawMessage) (any, *problem) {
		return textAs(v, func(s string) (string, bool) { return s, slices.Contains(values, s) }, "must be one of: "+strings.Join(values, ", "))
	}
}

func yesOrNo(v json.RawMessage) (any, *problem) {
	var b bool
	if json.Unmarshal(v, &b) != nil {
		return nil, wrong("", event.CodeWrongType, "must be true or false")
	}
	return b, nil
}

func moment(v json.RawMessage) (any, *problem) {
	return textAs(v, func(s string) (string, bool) {
		t, ok := parseTime(s)
		return normalTime(t), ok
	}, "must be a time as in ISO 8601")
}

func anyObject(v json.RawMessage) (any, *problem) {
	if v[0] != '{' {
		return nil, wrong("", event.CodeWrongType, "must be an object")
	}
	return v, nil
}

func location(v json.RawMessage) (any, *problem) {
	var at struct{ Longitude, Latitude *float64 }
	if json.Unmarshal(v, &at) != nil || at.Longitude == nil || at.Latitude == nil || *at.Longitude < -180 || *at.Longitude > 180 || *at.Latitude < -90 || *at.Latitude > 90 {
		return nil, wrong("", event.CodeOutOfRange, "must be an object with 'longitude' and 'latitude', in degrees")
	}
	return []float64{*at.Longitude, *at.Latitude}, nil
}

func pushTokens(v json.RawMessage) (any, *problem) {
	var given []struct {
		App    string `json:"app_id"`
		Token  string `json:"token"`
		Device string `json:"device_id"`
	}
	bad := wrong("", event.CodeRequired, "must be an array of objects with 'app_id', 'token' and perhaps 'device_id'")
	if json.Unmarshal(v, &given) != nil || len(given) > 100 {
		return nil, bad
	}
	out := []control.PushToken{}
	for _, g := range given {
		if g.App == "" || g.Token == "" || len(g.App)+len(g.Token)+len(g.Device) > 4096 {
			return nil, bad
		}
		if g.Device == "" {
			g.Device = string(event.AppendUUID(nil, time.Now()))
		}
		out = append(out, control.PushToken{App: g.App, Token: g.Token, Device: g.Device})
	}
	return out, nil
}

func subscriptionGroups(v json.RawMessage) (any, *problem) {
	type group struct {
		ID    string `json:"subscription_group_id"`
		State string `json:"subscription_state"`
	}
	var given []group
	bad := wrong("", event.CodeOutOfRange, "must be an array of objects with 'subscription_group_id' and 'subscription_state', which is subscribed or unsubscribed")
	if json.Unmarshal(v, &given) != nil || len(given) > 100 {
		return nil, bad
	}
	for _, g := range given {
		if g.ID == "" || len(g.ID) > maxAttributeText || g.State != "subscribed" && g.State != "unsubscribed" {
			return nil, bad
		}
	}
	return given, nil
}

// otherZones are names of the vendor's screens that are no names of the tz database.
var otherZones = map[string]string{
	"Eastern Time (US & Canada)": "America/New_York", "Central Time (US & Canada)": "America/Chicago", "Mountain Time (US & Canada)": "America/Denver",
	"Pacific Time (US & Canada)": "America/Los_Angeles", "Atlantic Time (Canada)": "America/Halifax", "Alaska": "America/Juneau", "Hawaii": "Pacific/Honolulu",
	"Arizona": "America/Phoenix", "Indiana (East)": "America/Indiana/Indianapolis", "London": "Europe/London", "Paris": "Europe/Paris", "Berlin": "Europe/Berlin",
	"Madrid": "Europe/Madrid", "Brasilia": "America/Sao_Paulo", "Tokyo": "Asia/Tokyo", "Singapore": "Asia/Singapore", "Sydney": "Australia/Sydney", "UTC": "Etc/UTC",
}

// zone gives the name of a time zone; empty: there is none of that name.
func zone(s string) string {
	if z := otherZones[s]; z != "" {
		return z
	}
	if _, err := time.LoadLocation(s); err != nil || s == "" || s == "Local" {
		return ""
	}
	return s
}

// readAttributes reads an object of attributes, all but whose they are.
func readAttributes(o object) (a attributes, _ *problem) {
	merge := false
	if !o.null("_merge_objects") && json.Unmarshal(o["_merge_objects"], &merge) != nil {
		return a, wrong("_merge_objects", event.CodeWrongType, "'_merge_objects' must be true or false")
	}
	a.standard, a.raw = map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		v := o[name]
		if slices.Contains(notAttributes, name) {
			continue
		}
		if f := standard[name]; f != nil {
			if string(v) == "null" {
				if name != "subscription_groups" {
					a.standard[name] = v
				}
				continue
			}
			normal, p := f(v)
			if p != nil {
				p.field, p.text = name, "'"+name+"' "+p.text
				return a, p
			}
			if normal != nil {
				a.standard[name] = encode(normal)
			}
			continue
		}
		c, p := customChange(name, v, merge)
		if p != nil {
			return a, p
		}
		if c != nil {
			a.custom = append(a.custom, c...)
			a.raw[name] = v
		}
	}
	return a, nil
}

// Bounds of custom attributes. Source: facts of the user attributes object; of arrays the highest number that it gives.
const (
	maxName  = 255 // characters
	maxItems = 100
	maxValue = 100 << 10
)

// goodName reports whether s may name a custom attribute or a property.
func goodName(s string) bool {
	return s != "" && s[0] != '$' && utf8.RuneCountInString(s) <= maxName
}

// customChange reads what a request does to a custom attribute. nil without a problem: it does nothing, because a value
// within an object is not good, which drops the whole object.
func customChange(name string, v json.RawMessage, merge bool) ([]control.CustomChange, *problem) {
	if !goodName(name) {
		return nil, wrong(name, event.CodeOutOfRange, "the name of a custom attribute must have 1 to 255 characters, and none begins with '$'")
	}
	if len(v) > maxValue {
		return nil, wrong(name, event.CodeTooLarge, "the value of a custom attribute must have at most 100 KB")
	}
	one := func(do control.CustomDo, v json.RawMessage) []control.CustomChange {
		return []control.CustomChange{{Name: name, Do: do, Value: v}}
	}
	switch v[0] {
	case 'n':
		return []control.CustomChange{{Name: name, Do: control.CustomUnset}}, nil
	case '"':
		return one(control.CustomSet, datedText(v)), nil
	case '[':
		items, ok := arrayOf(v)
		if !ok {
			return nil, wrong(name, event.CodeWrongType, "an array must hold texts, numbers and booleans, or only objects")
		}
		return one(control.CustomSet, items), nil
	case '{':
	default: // true, false, a number
		if c := v[0]; c != 't' && c != 'f' && !finite(v) {
			return nil, wrong(name, event.CodeOutOfRange, "the number is too large")
		}
		return one(control.CustomSet, v), nil
	}
	var o object
	if json.Unmarshal(v, &o) != nil {
		return nil, wrong(name, event.CodeWrongType, "the value is not an object")
	}
	sole := func(key string) bool { _, has := o[key]; return has && len(o) == 1 }
	switch {
	case sole("inc"):
		if !finite(o["inc"]) {
			return nil, wrong(name, event.CodeWrongType, "'inc' must be a number")
		}
		return one(control.CustomInc, o["inc"]), nil
	case sole("$time"):
		return one(control.CustomSet, datedText(o["$time"])), nil
	case len(o) > 0 && only(o, "add", "remove"):
		var out []control.CustomChange
		for _, x := range []struct {
			key string
			do  control.CustomDo
		}{{"remove", control.CustomRemove}, {"add", control.CustomAdd}} {
			if o[x.key] == nil {
				continue
			}
			items, ok := arrayOf(o[x.key])
			if !ok {
				return nil, wrong(name, event.CodeWrongType, "'add' and 'remove' must be arrays")
			}
			out = append(out, one(x.do, items)...)
		}
		return out, nil
	case len(o) > 0 && only(o, "$add", "$update", "$remove"):
		if !goodEdit(o) {
			return nil, nil
		}
		return one(control.CustomEdit, v), nil
	}
	normal, ok := nested(v, 0)
	if !ok {
		return nil, nil
	}
	if merge {
		return one(control.CustomMerge, normal), nil
	}
	return one(control.CustomSet, normal), nil
}

func only(o object, names ...string) bool {
	for n := range o {
		if !slices.Contains(names, n) {
			return false
		}
	}
	return true
}

// goodEdit reports whether o changes an array of objects.
func goodEdit(o object) bool {
	var add []object
	if o["$add"] != nil && json.Unmarshal(o["$add"], &add) != nil {
		return false
	}
	for _, name := range []string{"$update", "$remove"} {
		var some []object
		if o[name] != nil && json.Unmarshal(o[name], &some) != nil {
			return false
		}
		for _, x := range some {
			if _, ok := text(x["$identifier_key"]); !ok || x.null("$identifier_value") || name == "$update" && (x.null("$new_object") || x["$new_object"][0] != '{') {
				return false
			}
		}
	}
	return true
}

func finite(v json.RawMessage) bool {
	var n float64
	return len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9') && json.Unmarshal(v, &n) == nil
}

// datedText gives a text, a time in its normal form.
func datedText(v json.RawMessage) json.RawMessage {
	s, _ := text(v)
	if t, ok := parseTime(s); ok {
		return encode(normalTime(t))
	}
	return v
}

// arrayOf gives an array's items, each once, the last of equal ones; the last of too many.
func arrayOf(v json.RawMessage) (json.RawMessage, bool) {
	var given []json.RawMessage
	if json.Unmarshal(v, &given) != nil || given == nil {
		return nil, false
	}
	objects := 0
	items := make([]json.RawMessage, 0, len(given))
	seen := map[string]bool{}
	for _, i := range slices.Backward(given) {
		switch i[0] {
		case '{':
			objects++
			items = append(items, i)
			continue
		case '[', 'n':
			return nil, false
		}
		if i = normal(i); !seen[string(i)] {
			seen[string(i)] = true
			items = append(items, i)
		}
	}
	if objects > 0 && objects < len(given) {
		return nil, false
	}
	items = items[:min(len(items), maxItems)]
	slices.Reverse(items)
	return encode(items), true
}

// normal gives a text or a number of an array in the one form that all its equals have.
func normal(v json.RawMessage) json.RawMessage {
	if s, ok := text(v); ok {
		return encode(s)
	}
	if n, err := strconv.ParseFloat(string(v), 64); err == nil && bytes.ContainsAny(v, ".eE") {
		return encode(n)
	}
	return v
}

// nested gives an object with the times in it, {"$time": …}, in their normal form.
func nested(v json.RawMessage, depth int) (json.RawMessage, bool) {
	const deepest = 20
	if depth > deepest {
		return nil, false
	}
	switch v[0] {
	case '{':
		var o object
		if json.Unmarshal(v, &o) != nil {
			return nil, false
		}
		if at, is := o["$time"]; is && len(o) == 1 {
			s, ok := text(at)
			t, good := parseTime(s)
			return encode(normalTime(t)), ok && good
		}
		for name, x := range o {
			normal, ok := nested(x, depth+1)
			if !ok || !goodName(name) {
				return nil, false
			}
			o[name] = normal
		}
		return encode(o), true
	case '[':
		var items []json.RawMessage
		if json.Unmarshal(v, &items) != nil {
			return nil, false
		}
		for i, x := range items {
			normal, ok := nested(x, depth+1)
			if !ok {
				return nil, false
			}
			items[i] = normal
		}
		return encode(items), true
	case '"', 't', 'f', 'n':
		return v, true
	}
	return v, finite(v)
}
