package page

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// deeds are what the log of changes can say was done, by action. A test holds them to what control writes.
var deeds = map[string]string{
	"api_key.create": "page.deed_key_create", "api_key.edit": "page.deed_key_edit", "api_key.revoke": "page.deed_key_revoke",
	"connector.launch": "page.deed_connector_launch", "connector.edit": "page.deed_connector_edit", "connector.pause": "page.deed_connector_pause", "connector.resume": "page.deed_connector_resume",
	"connector.upgrade": "page.deed_connector_upgrade", "connector.delete": "page.deed_connector_delete", "connector.look": "page.deed_connector_look", "segment.create": "page.deed_segment_create", "segment.update": "page.deed_segment_update", "segment.delete": "page.deed_segment_delete", "campaign.update": "page.deed_campaign_update", "canvas.update": "page.deed_canvas_update", "segment.look": "page.deed_segment_look",
	"connector.replay": "page.deed_connector_replay", "connector.test_events": "page.deed_connector_test",
	"person.search": "page.deed_person_search", "person.look": "page.deed_person_look", "person.erase": "page.deed_person_erase",
	"data_export.save": "page.deed_export_save", "data_export.unlink": "page.deed_export_unlink",
	"export.create": "page.deed_taken_create", "export.cancel": "page.deed_taken_cancel", "export.download": "page.deed_taken_download",
	"schedule.create": "page.deed_schedule_create", "schedule.update": "page.deed_schedule_update", "schedule.delete": "page.deed_schedule_delete", "schedule.pause": "page.deed_schedule_pause",
	"draft.save": "page.deed_draft_save", "draft.delete": "page.deed_draft_delete",
	"invitation.create": "page.deed_invitation_create", "invitation.revoke": "page.deed_invitation_revoke",
	"member.create": "page.deed_member_create", "member.delete": "page.deed_member_delete", "member.edit": "page.deed_member_edit", "member.join": "page.deed_member_join", "member.link": "page.deed_member_link",
	"member.password": "page.deed_member_password", "member.password_link": "page.deed_member_password_link", "member.remove": "page.deed_member_remove",
	"session.end": "page.deed_session_end", "token.create": "page.deed_token_create", "token.revoke": "page.deed_token_revoke",
	"webhook.create": "page.deed_webhook_create", "webhook.save": "page.deed_webhook_save", "webhook.delete": "page.deed_webhook_delete",
	"workspace.create": "page.deed_workspace_create", "workspace.update": "page.deed_workspace_update",
}

// kindsOfThings are those of a workspace.
var kindsOfThings = []naming{
	{"connector", "page.kind_of_connector"}, {"draft", "page.kind_of_draft"}, {"data_export", "page.kind_of_export"}, {"export", "page.kind_of_taken"}, {"schedule", "page.kind_of_schedule"}, {"member", "page.kind_of_member"},
	{"invitation", "page.kind_of_invitation"}, {"api_key", "page.kind_of_key"}, {"webhook", "page.kind_of_webhook"}, {"person", "page.kind_of_person"},
	{"segment", "page.rail_segments"}, {"campaign", "page.rail_campaigns"}, {"canvas", "page.canvases"}, {"workspace", "page.kind_of_workspace"},
}

// difference is a field of a thing before and after a change. Where it was made there is no before, where it is gone no
// after.
type difference struct {
	Field   string
	Was, Is string
	Made    bool
	Gone    bool
}

func listChanges(v *visit) error {
	people, err := collect(v, v.api.ListMembers(v, v.place.Workspace))
	if err != nil {
		return err
	}
	f := v.settings("/changes")
	f.Says = &says{Text: v.t("page.changes_say")}
	asked, filter, wrong := v.changeFilter(people, kindsOfThings)
	p := listPage{Frame: f, Filter: filter}
	if wrong == nil {
		ctx, part := v.part()
		all, err := collect(v, v.api.ListChanges(ctx, v.place.Workspace, asked))
		if err != nil {
			return err
		}
		p.Table = v.changeTable(all)
		v.pages(&p.Table, part)
	}
	v.show(statusOf(wrong), "list", p)
	return nil
}

// changeFilter reads from the address which changes are asked for, and gives the form that asks.
func (v *visit) changeFilter(people []client.Member, kinds []naming) (client.ChangeFilter, *filter, error) {
	q := v.r.URL.Query()
	asked := client.ChangeFilter{Member: q.Get("member"), Kind: q.Get("kind"), Subject: q.Get("subject")}
	from, wrongFrom := v.day("from", q.Get("from"))
	until, wrongUntil := v.day("until", q.Get("until"))
	asked.From = from
	if !until.IsZero() {
		asked.Until = until.AddDate(0, 0, 1)
	}
	who := field{Name: "member", Label: v.t("page.who"), Options: []option{{"", v.t("page.everybody"), asked.Member == ""}}}
	for _, m := range people {
		who.Options = append(who.Options, option{m.ID, m.Name, m.ID == asked.Member})
	}
	what := field{Name: "kind", Label: v.t("page.what_changed"), Options: []option{{"", v.t("page.everything"), asked.Kind == ""}}}
	for _, k := range kinds {
		what.Options = append(what.Options, option{k.name, v.t(k.key), k.name == asked.Kind})
	}
	wrongWho, wrongWhat := v.oneOf(&who, asked.Member), v.oneOf(&what, asked.Kind)
	f := &filter{Button: v.t("page.show"), Fields: []field{who, what,
		{Name: "from", Label: v.t("page.from_day"), Type: "date", Value: q.Get("from"), Error: v.problems(wrongFrom)["from"]},
		{Name: "until", Label: v.t("page.until_day"), Type: "date", Value: q.Get("until"), Error: v.problems(wrongUntil)["until"]},
	}}
	if asked != (client.ChangeFilter{}) {
		f.Clear = &button{Text: v.t("page.show_all"), Kind: "quiet", Href: v.r.URL.Path}
	}
	return asked, f, cmp.Or(wrongWho, wrongWhat, wrongFrom, wrongUntil)
}

// oneOf gives a field that offers a choice its problem if what was chosen is none of it, and keeps that.
func (v *visit) oneOf(f *field, chosen string) error {
	if slices.ContainsFunc(f.Options, func(o option) bool { return o.Value == chosen }) {
		return nil
	}
	wrong := notOffered(f.Name, chosen)
	f.Options, f.Error = append(f.Options, option{chosen, chosen, true}), text.Problem(v.lang, wrong)
	return &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{wrong}}
}

// notOffered is the problem of a field that offers a choice, of which chosen is none.
func notOffered(field, chosen string) fault.Problem {
	return fault.Field(field, "unknown_value", "page.choice_unknown", "“{value}” cannot be chosen here. Choose from the list.", "value", chosen)
}

// day reads a day as it begins where the visitor is; the zero time for none.
func (v *visit) day(name, typed string) (time.Time, error) {
	if typed == "" {
		return time.Time{}, nil
	}
	day, err := time.ParseInLocation(time.DateOnly, typed, v.zone)
	if err != nil {
		return day, wrongField(name, "page.no_day", "This is not a day such as 2027-12-31.")
	}
	return day, nil
}

// changeTable shows lines of the log of changes.
func (v *visit) changeTable(all []client.ChangeEntry) table {
	t := table{
		Columns: []column{{v.t("page.time"), false}, {v.t("page.who"), false}, {v.t("page.what_changed"), false}, {v.t("page.before_after"), false}},
		Empty:   &empty{Title: v.t("page.changes_none"), Text: v.t("page.changes_none_text")},
	}
	for _, e := range all {
		t.Rows = append(t.Rows, row{[]cell{{Time: v.moment(e.At)}, v.actor(e), v.deed(e), {Differences: v.differences(e.Before, e.After)}}})
	}
	return t
}

// actor says who changed something, and how they came.
func (v *visit) actor(e client.ChangeEntry) cell {
	name, via := e.Actor, e.Via
	switch {
	case via == "command line":
		name, via = v.t("page.by_command_line"), ""
	case via == "by itself":
		name, via = v.t("page.by_itself"), ""
	case via == "session":
		via = ""
	case strings.HasPrefix(via, "token "):
		via = v.t("page.via_token", "name", strings.TrimPrefix(via, "token "))
	}
	return cell{Text: name, Small: strings.Trim(via+" · "+e.Address, " ·")}
}

// deed says what was done to what. The thing leads to all that was done to it.
func (v *visit) deed(e client.ChangeEntry) cell {
	c := cell{Text: e.Action, Mono: true}
	if key, ok := deeds[e.Action]; ok {
		c = cell{Text: v.t(key)}
	}
	c.Small = e.SubjectName
	if e.SubjectID != "" {
		c.Href = v.r.URL.Path + "?subject=" + e.SubjectID
	}
	return c
}

// differences gives the fields that a change made others, in the reader's words.
func (v *visit) differences(before, after map[string]any) (all []difference) {
	names := slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, m := range []map[string]any{before, after} {
			for k := range maps.Keys(m) {
				if !yield(k) {
					return
				}
			}
		}
	}))
	for _, name := range names {
		was, had := before[name]
		is, has := after[name]
		all = append(all, difference{v.fieldWord(name), v.value(name, was), v.value(name, is), !had, !has})
	}
	return all
}

// plainly writes a value of the log of changes.
func (v *visit) plainly(value any) string {
	switch x := value.(type) {
	case nil:
		return ""
	case bool:
		if x {
			return v.t("page.yes")
		}
		return v.t("page.no")
	case string:
		switch x {
		case "":
			return "–"
		case "never":
			return v.t("page.never")
		case "[redacted]":
			return v.t("page.redacted")
		}
		return x
	case float64:
		return v.lang.Number(int64(x))
	case []any:
		if len(x) == 0 {
			return "–"
		}
		texts := make([]string, len(x))
		for i, item := range x {
			texts[i] = v.plainly(item)
		}
		return strings.Join(texts, ", ")
	}
	b, err := json.Marshal(value)
	if err != nil { // it came as JSON
		return fmt.Sprint(value)
	}
	return string(b)
}
