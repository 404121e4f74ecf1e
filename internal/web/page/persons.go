package page

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/client"
)

// personPages find the people whom events are about, and show what is kept of each.
func personPages() []page {
	return []page{
		{"GET /w/{workspace}/people", false, findPeople},
		{"GET /w/{workspace}/set-aside", false, showSetAside},
		{"GET /w/{workspace}/people/{person}", false, showProfile},
		{"GET /w/{workspace}/people/{person}/erase", false, eraseProfile},
		{"POST /w/{workspace}/people/{person}/erase", false, eraseProfile},
	}
}

// personsHere is their line of the rail.
const personsHere = "/people"

// findsBy is what people are found by, the first if nothing is chosen.
var findsBy = []struct {
	name, key string
	ask       func(string) client.ProfileQuery
}{
	{"external_id", "page.person_external_id", func(s string) client.ProfileQuery { return client.ProfileQuery{ExternalID: s} }},
	{"email", "page.person_email", func(s string) client.ProfileQuery { return client.ProfileQuery{Email: s} }},
	{"phone", "page.person_phone", func(s string) client.ProfileQuery { return client.ProfileQuery{Phone: s} }},
	{"alias", "page.person_alias", func(s string) client.ProfileQuery { return client.ProfileQuery{Alias: s} }},
	{"user_id", "page.person_user_id", func(s string) client.ProfileQuery { return client.ProfileQuery{UserID: s} }},
}

// findPeople finds people by what names them. Who is found alone is shown at once.
func findPeople(v *visit) error {
	p := listPage{Frame: v.frame(v.t("page.people"), personsHere)}
	p.Frame.Says = &says{Text: v.t("page.person_say")}
	why, err := v.noPeople()
	if err != nil {
		return err
	}
	if why != nil {
		p.Table.Empty = why
		v.show(http.StatusOK, "list", p)
		return nil
	}
	aside, err := v.api.ListSetAside(v, v.place.Workspace)
	if err != nil {
		return v.said(err)
	}
	if aside.Total > 0 {
		p.Banners = append(p.Banners, banner{Tone: warn, Icon: "circle-minus", Title: v.t("page.aside_banner", "n", aside.Total), Actions: []button{{Text: v.t("page.aside_see"), Href: v.path("/set-aside")}}})
	}
	q := v.r.URL.Query()
	words, by := strings.TrimSpace(q.Get("q")), findsBy[0]
	choose := field{Name: "by", Label: v.t("page.person_by")}
	for _, x := range findsBy {
		if x.name == q.Get("by") {
			by = x
		}
	}
	for _, x := range findsBy {
		choose.Options = append(choose.Options, option{x.name, v.t(x.key), x.name == by.name})
	}
	typed := field{Name: "q", Type: "search", Label: v.t("page.person_whom"), Value: q.Get("q")}
	if words == "" {
		p.Table.Empty = &empty{v.t("page.person_find_title"), v.t("page.person_find_text"), nil}
	} else {
		found, err := v.api.FindProfiles(v, v.place.Workspace, by.ask(words))
		if err = v.said(err); err != nil {
			typed.Error = v.problems(err)[by.name]
			if typed.Error == "" {
				return err
			}
			p.Filter = &filter{Fields: []field{choose, typed}, Button: v.t("page.person_find")}
			v.show(statusOf(err), "list", p)
			return nil
		}
		if len(found) == 1 {
			v.redirect(v.profilePath(found[0].UserID))
			return nil
		}
		p.Table = v.foundTable(found)
	}
	p.Filter = &filter{Fields: []field{choose, typed}, Button: v.t("page.person_find")}
	v.show(http.StatusOK, "list", p)
	return nil
}

// noPeople says why the visitor sees nobody; nil if they may look.
func (v *visit) noPeople() (*empty, error) {
	rules, err := v.installed()
	switch {
	case err != nil:
		return nil, err
	case !rules.Profiles:
		return &empty{v.t("control.no_profiles"), v.t("control.no_profiles_hint"), nil}, nil
	case !v.place.ExportUserData:
		return &empty{v.t("page.person_right"), v.t("page.person_right_text"), &button{Text: v.t("page.person_right_who"), Href: v.path("/settings/members")}}, nil
	}
	return nil, nil
}

// profilePath is the address of a person's page.
func (v *visit) profilePath(id string) string { return v.path("/people/" + url.PathEscape(id)) }

func (v *visit) foundTable(found []client.ProfileHead) table {
	t := table{Caption: v.t("page.person_found", "n", len(found)), Columns: []column{{v.t("page.people_person"), false}, {v.t("page.person_external_id"), false}, {v.t("page.person_email"), false}, {v.t("page.person_phone"), false}, {v.t("page.person_changed"), false}},
		Empty: &empty{v.t("page.person_nobody"), v.t("page.person_nobody_text"), nil}}
	for _, x := range found {
		t.Rows = append(t.Rows, row{[]cell{{Text: nameOfPerson(x), Href: v.profilePath(x.UserID)}, {Text: cmp.Or(x.ExternalID, "–"), Mono: x.ExternalID != ""},
			{Text: cmp.Or(x.Email, "–")}, {Text: cmp.Or(x.Phone, "–")}, {Time: v.moment(x.UpdatedAt)}}})
	}
	return t
}

// nameOfPerson is what a person is called: by name if they have one.
func nameOfPerson(x client.ProfileHead) string {
	return cmp.Or(strings.TrimSpace(x.FirstName+" "+x.LastName), x.ExternalID, x.Email, x.UserID)
}

// profile gives the person of the address with the frame of a page about them.
func (v *visit) profile(title string) (client.Profile, frame, error) {
	x, err := v.api.GetProfile(v, v.place.Workspace, v.r.PathValue("person"))
	if err != nil {
		return x, frame{}, v.said(err)
	}
	name := nameOfPerson(x.ProfileHead)
	f := v.frame(cmp.Or(title, name), personsHere)
	f.Crumbs = []crumb{{v.t("page.people"), v.path(personsHere)}, {name, ""}}
	if title != "" {
		f.Crumbs[1].Href = v.profilePath(x.UserID)
		f.Crumbs = append(f.Crumbs, crumb{title, ""})
	}
	return x, f, nil
}

// lateFrom is from when on a page says that profiles are behind.
const lateFrom = 5 * time.Second

// behind says that profiles lack what was accepted last; nothing if they do not.
func (v *visit) behind(l *client.ProfileLag) []banner {
	switch {
	case l == nil || seconds(l.Seconds) < lateFrom && !l.StandsStill:
		return nil
	case l.StandsStill:
		return []banner{{Tone: warn, Icon: "triangle-alert", Title: v.t("page.person_still", "time", v.lang.Time(l.AsOf, v.zone)), Texts: []string{v.t("page.person_still_text")}}}
	}
	return []banner{{Tone: info, Icon: "info", Title: v.t("page.person_late", "time", v.lang.Time(l.AsOf, v.zone)), Texts: []string{v.t("page.person_late_text", "wait", v.lang.Duration(seconds(l.Seconds)))}}}
}

// showSetAside shows which of the workspace's events are not in profiles.
func showSetAside(v *visit) error {
	all, err := v.api.ListSetAside(v, v.place.Workspace)
	if err != nil {
		return v.said(err)
	}
	f := v.frame(v.t("page.aside"), personsHere)
	f.Crumbs = []crumb{{v.t("page.people"), v.path(personsHere)}, {f.Title, ""}}
	f.Says = &says{Text: v.t("page.aside_text")}
	v.show(http.StatusOK, "list", listPage{Frame: f, Table: v.asideTable(all)})
	return nil
}

func (v *visit) asideTable(all client.SetAsides) table {
	t := table{Caption: v.t("page.aside_total", "n", all.Total), Empty: &empty{Title: v.t("page.aside_none")},
		Columns: []column{{v.t("page.time"), false}, {v.t("page.aside_type"), false}, {v.t("page.reason"), false}, {v.t("page.aside_offset"), true}}}
	for _, x := range all.Items {
		kind := cell{Text: cmp.Or(x.EventType, "–"), Mono: x.EventType != ""}
		if v.place == nil && x.Workspace != "" {
			kind.Small = v.t("page.aside_workspace", "id", x.Workspace)
		}
		t.Rows = append(t.Rows, row{[]cell{{Time: v.moment(x.At)}, kind, {Text: x.Reason}, {Text: v.lang.Number(x.Offset)}}})
	}
	return t
}

// showProfile shows what is kept of a person.
func showProfile(v *visit) error {
	x, f, err := v.profile("")
	if err != nil {
		return err
	}
	f.Says = &says{plain, "user", v.profileSays(x)}
	if v.may("administrator") {
		f.More = &menu{Label: v.t("page.more_actions"), Icon: "ellipsis", Items: []menuItem{
			{Text: v.t("page.person_changes"), Icon: "file-text", Href: v.path("/settings/changes?subject=" + url.QueryEscape(x.UserID))},
			{Text: v.t("page.person_erase"), Icon: "trash-2", Danger: true, Line: true, Href: v.profilePath(x.UserID) + "/erase"},
		}}
	}
	p := sectionsPage{Frame: f, Sections: []section{{Title: v.t("page.person_attributes"), Pairs: v.attributes(x)}}}
	p.Banners = v.behind(x.Lag)
	if len(x.Custom) > 0 {
		s := section{Title: v.t("page.person_custom")}
		for _, name := range sortedKeys(x.Custom) {
			text, mono := v.jsonText(x.Custom[name])
			s.Pairs = append(s.Pairs, pairItem{Name: name, Text: text, Mono: mono})
		}
		p.Sections = append(p.Sections, s)
	}
	for _, s := range []struct {
		key   string
		table table
	}{
		{"page.person_events", v.deedTable("page.person_event", x.Events, false)}, {"page.person_products", v.deedTable("page.person_product", x.Products, true)},
		{"page.person_messages", v.messageTable(x)}, {"page.person_channels", v.channelTable(x.Channels)}, {"page.person_groups", v.groupTable(x.Groups)},
		{"page.person_apps", v.appTable(x.Apps)}, {"page.person_devices", v.deviceTable(x.Devices)}, {"page.person_tokens", v.tokenTable(x.Tokens)},
	} {
		if len(s.table.Rows) > 0 {
			p.Sections = append(p.Sections, section{Title: v.t(s.key), Table: &s.table})
		}
	}
	p.Sections = append(p.Sections, v.segmentsOf(x), section{Title: v.t("page.identifiers"), Pairs: v.identifiers(x)})
	v.show(http.StatusOK, "sections", p)
	return nil
}

// segmentsOf shows which segments hold somebody.
func (v *visit) segmentsOf(x client.Profile) section {
	s := section{Title: v.t("page.rail_segments"), Table: &table{Columns: []column{{v.t("page.person_segment"), false}}, Empty: &empty{Title: v.t("page.person_segments_none")}}}
	if x.SegmentsLeft > 0 {
		s.Text = v.t("page.person_segments_left", "n", x.SegmentsLeft)
	}
	for _, in := range x.Segments {
		s.Table.Rows = append(s.Table.Rows, row{[]cell{{Text: in.Name, Href: v.path("/segments/" + in.ID)}}})
	}
	return s
}

// profileSays says in a sentence since when somebody is known, and what they did.
func (v *visit) profileSays(x client.Profile) string {
	said := []string{v.t("page.person_since", "time", v.lang.Time(x.CreatedAt, v.zone))}
	if x.LastSession != nil && x.Sessions > 0 { // an attribute can say the last of none
		said = append(said, v.t("page.person_sessions", "n", x.Sessions, "time", v.moment(*x.LastSession).Text))
	}
	if x.Purchases > 0 {
		said = append(said, v.t("page.person_bought", "n", x.Purchases, "amount", v.lang.Amount(x.Revenue)))
	}
	if x.UninstalledAt != nil {
		said = append(said, v.t("page.person_uninstalled", "time", v.moment(*x.UninstalledAt).Text))
	}
	return strings.Join(said, " ")
}

// attributes are the standard ones that are known.
func (v *visit) attributes(x client.Profile) (out pairs) {
	place := ""
	if at := x.Location; at != nil {
		place = strconv.FormatFloat(at.Latitude, 'f', 4, 64) + ", " + strconv.FormatFloat(at.Longitude, 'f', 4, 64)
	}
	for _, a := range []struct{ key, text string }{
		{"filter.first_name", x.FirstName}, {"filter.last_name", x.LastName}, {"filter.email", x.Email}, {"filter.phone", x.Phone}, {"filter.gender", x.Gender},
		{"filter.dob", x.Birth}, {"filter.country", x.Country}, {"filter.language", x.Language}, {"filter.time_zone", x.TimeZone}, {"filter.home_city", x.HomeCity},
		{"filter.email_subscribe", v.subscription(x.EmailSubscribe)}, {"filter.push_subscribe", v.subscription(x.PushSubscribe)}, {"page.person_location", place},
	} {
		if a.text != "" {
			out = append(out, pairItem{Name: capital(v.t(a.key)), Text: a.text})
		}
	}
	for _, name := range sortedKeys(x.Other) {
		text, mono := v.jsonText(x.Other[name])
		out = append(out, pairItem{Name: name, Text: text, Mono: mono})
	}
	if len(out) == 0 {
		out = pairs{{Name: v.t("page.person_attributes_none"), Text: v.t("page.person_attributes_none_text")}}
	}
	return out
}

// subscriptions are what a person can want of a channel.
var subscriptions = map[string]string{"opted_in": "page.person_opted_in", "subscribed": "page.person_subscribed", "unsubscribed": "page.person_unsubscribed"}

func (v *visit) subscription(state string) string {
	if key, ok := subscriptions[state]; ok {
		return v.t(key)
	}
	return state
}

// identifiers are what a person is known by.
func (v *visit) identifiers(x client.Profile) pairs {
	out := pairs{{Name: v.t("page.person_user_id"), Copy: &line{"user-id", v.t("page.person_user_id"), x.UserID}}}
	if x.ExternalID != "" {
		out = append(out, pairItem{Name: v.t("page.person_external_id"), Copy: &line{"external-id", v.t("page.person_external_id"), x.ExternalID}})
	}
	for _, a := range x.Aliases {
		out = append(out, pairItem{Name: v.t("page.person_alias"), Text: a.Label + ":" + a.Name, Mono: true})
	}
	return append(out, pairItem{Name: capital(v.t("filter.random_bucket")), Text: strconv.Itoa(x.RandomBucket)}, pairItem{Name: v.t("page.person_known"), Time: v.moment(x.CreatedAt)},
		pairItem{Name: v.t("page.person_changed"), Time: v.moment(x.UpdatedAt)})
}

// capital begins a word of a sentence as a label.
func capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

// jsonText writes a value of an attribute; mono says that it is one of many parts.
func (v *visit) jsonText(raw json.RawMessage) (text string, mono bool) {
	var value any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return string(raw), true
	}
	switch x := value.(type) {
	case json.Number:
		return x.String(), false
	case []any:
		var items []string
		for _, i := range x {
			switch i.(type) {
			case string, json.Number, bool:
				items = append(items, v.scalar(i))
			default:
				return string(raw), true
			}
		}
		return cmp.Or(strings.Join(items, ", "), "–"), false
	case map[string]any:
		return string(raw), true
	}
	return v.scalar(value), false
}

func (v *visit) scalar(x any) string {
	if n, ok := x.(json.Number); ok {
		return n.String()
	}
	return v.plainly(x)
}

func (v *visit) deedTable(what string, deeds []client.ProfileDeed, revenue bool) table {
	t := table{Columns: []column{{v.t(what), false}, {v.t("page.person_times"), true}, {v.t("page.person_first"), false}, {v.t("page.person_last"), false}}}
	if revenue {
		t.Columns = append(t.Columns, column{v.t("page.person_revenue"), true})
	}
	for _, d := range deeds {
		cells := []cell{{Text: d.Name}, {Text: v.lang.Number(d.Count)}, {Time: v.moment(d.First)}, {Time: v.moment(d.Last)}}
		if revenue {
			cells = append(cells, cell{Text: v.lang.Amount(d.Revenue)})
		}
		t.Rows = append(t.Rows, row{cells})
	}
	return t
}

// messageTable shows what somebody had of campaigns and Canvases.
func (v *visit) messageTable(x client.Profile) table {
	t := table{Columns: []column{{v.t("page.person_message"), false}, {v.t("page.person_received"), false}, {v.t("page.person_opened"), false}, {v.t("page.person_clicked"), false}, {v.t("page.person_further"), false}}}
	for _, of := range []struct {
		program
		all []client.ProfileMessage
	}{{campaigns, x.Campaigns}, {canvases, x.Canvases}} {
		for _, m := range of.all {
			if m.Received == nil {
				m.Received = m.Entered
			}
			var more []string
			if m.Converted {
				more = append(more, v.t("page.person_converted"))
			}
			if m.InControl {
				more = append(more, v.t("page.person_control"))
			}
			if m.Exited != nil {
				more = append(more, v.t("page.person_exited", "time", v.moment(*m.Exited).Text))
			}
			if n := len(m.Steps); n > 0 {
				more = append(more, v.t("page.person_steps", "n", n))
			}
			t.Rows = append(t.Rows, row{[]cell{{Text: cmp.Or(m.Title, m.ID), Href: of.at(v, m.ID), Small: v.t(of.one)}, v.when(m.Received), v.when(m.Opened), v.when(m.Clicked), {Text: cmp.Or(strings.Join(more, ", "), "–")}}})
		}
	}
	return t
}

// when shows a time that there may be none of.
func (v *visit) when(at *time.Time) cell {
	if at == nil {
		return cell{Text: "–"}
	}
	return cell{Time: v.moment(*at)}
}

// channels are those of messages, as they are called; those in brands have one name everywhere.
var (
	channels = map[string]string{"email": "page.channel_email", "push": "page.channel_push", "in_app": "page.channel_in_app", "content_card": "page.channel_card",
		"banner": "page.channel_banner", "webhook": "page.channel_webhook", "web_push": "page.channel_web_push"}
	brands = map[string]string{"sms": "SMS", "whatsapp": "WhatsApp", "line": "LINE", "rcs": "RCS"}
)

func (v *visit) channel(name string) string {
	if key, ok := channels[name]; ok {
		return v.t(key)
	}
	return cmp.Or(brands[name], name)
}

func (v *visit) channelTable(all []client.ProfileChannel) table {
	t := table{Columns: []column{{v.t("page.person_channel"), false}, {v.t("page.person_received"), false}, {v.t("page.person_opened"), false}, {v.t("page.person_clicked"), false}}}
	for _, c := range all {
		t.Rows = append(t.Rows, row{[]cell{{Text: v.channel(c.Channel)}, v.when(c.Received), v.when(c.Opened), v.when(c.Clicked)}})
	}
	return t
}

func (v *visit) groupTable(all []client.ProfileGroup) table {
	t := table{Columns: []column{{v.t("page.person_group"), false}, {v.t("page.person_state"), false}, {v.t("page.person_at"), false}}}
	for _, g := range all {
		t.Rows = append(t.Rows, row{[]cell{{Text: g.ID, Mono: true}, {Text: v.subscription(g.State)}, {Time: v.moment(g.At)}}})
	}
	return t
}

func (v *visit) appTable(all []client.ProfileApp) table {
	t := table{Columns: []column{{v.t("page.person_app"), false}, {v.t("page.person_platform"), false}, {v.t("page.person_app_sessions"), true}, {v.t("page.person_first"), false}, {v.t("page.person_last"), false}}}
	for _, a := range all {
		t.Rows = append(t.Rows, row{[]cell{{Text: a.ID, Mono: true, Small: a.Version}, {Text: cmp.Or(a.Platform, "–")}, {Text: v.lang.Number(a.Sessions)}, {Time: v.moment(a.FirstUsed)}, {Time: v.moment(a.LastUsed)}}})
	}
	return t
}

func (v *visit) deviceTable(all []client.ProfileDevice) table {
	t := table{Columns: []column{{v.t("page.person_device"), false}, {v.t("page.person_model"), false}, {v.t("page.person_platform"), false}}}
	for _, d := range all {
		t.Rows = append(t.Rows, row{[]cell{{Text: d.ID, Mono: true}, {Text: cmp.Or(d.Model, "–")}, {Text: cmp.Or(strings.TrimSpace(d.Platform+" "+d.OS), "–")}}})
	}
	return t
}

func (v *visit) tokenTable(all []client.ProfileToken) table {
	t := table{Columns: []column{{v.t("page.person_token"), false}, {v.t("page.person_app"), false}, {v.t("page.person_platform"), false}}}
	for _, x := range all {
		t.Rows = append(t.Rows, row{[]cell{{Text: x.Token, Mono: true}, {Text: cmp.Or(x.App, "–"), Mono: x.App != ""}, {Text: cmp.Or(x.Platform, "–")}}})
	}
	return t
}

// eraseProfile asks for a person's name, and has them deleted.
func eraseProfile(v *visit) error {
	if !v.may("administrator") {
		return v.forbidden()
	}
	x, f, err := v.profile(v.t("page.person_erase"))
	if err != nil {
		return err
	}
	rules, err := v.installed()
	if err != nil {
		return err
	}
	texts := []string{v.t("page.person_erase_goes"), v.t("page.person_erase_log", "time", v.lang.Duration(seconds(rules.LogRetention))), v.t("page.person_erase_stays"), v.t("page.person_erase_again")}
	name := cmp.Or(x.ExternalID, x.UserID)
	return v.confirm(confirmation{Frame: f, Name: name, Texts: texts, Button: v.t("page.person_erase"), Back: v.profilePath(x.UserID)}, func() error {
		if err := v.said(v.api.EraseProfile(v, v.place.Workspace, x.UserID)); err != nil {
			return err
		}
		return v.done(v.path(personsHere), "page.person_erased", "name", name)
	})
}
