package page

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// scopeGroups are the scopes of API keys in the groups in which they are offered, each with what it allows. A test holds
// them to control.Scopes.
var scopeGroups = []struct {
	key    string
	scopes []struct{ name, explained string }
}{
	{"page.scopes_send", []struct{ name, explained string }{
		{"events.write", "page.scope_events_write"}, {"users.track", "page.scope_users_track"}, {"users.track.bulk", "page.scope_users_track_bulk"}}},
	{"page.scopes_users", []struct{ name, explained string }{
		{"users.delete", "page.scope_users_delete"}, {"users.alias.new", "page.scope_users_alias_new"}, {"users.alias.update", "page.scope_users_alias_update"},
		{"users.identify", "page.scope_users_identify"}, {"users.merge", "page.scope_users_merge"},
		{"users.external_ids.rename", "page.scope_users_rename"}, {"users.external_ids.remove", "page.scope_users_remove"}}},
	{"page.scopes_export", []struct{ name, explained string }{
		{"users.export.ids", "page.scope_export_ids"}, {"users.export.segment", "page.scope_export_segment"}, {"users.export.global_control_group", "page.scope_export_control"}}},
	{"page.scopes_segments", []struct{ name, explained string }{
		{"segments.list", "page.scope_list"}, {"segments.details", "page.scope_details"}, {"segments.data_series", "page.scope_segments_series"}}},
	{"page.scopes_campaigns", []struct{ name, explained string }{
		{"campaigns.list", "page.scope_list"}, {"campaigns.details", "page.scope_details"}, {"campaigns.data_series", "page.scope_campaigns_series"}, {"sends.data_series", "page.scope_sends_series"}}},
	{"page.scopes_canvas", []struct{ name, explained string }{
		{"canvas.list", "page.scope_list"}, {"canvas.details", "page.scope_details"}, {"canvas.data_series", "page.scope_canvas_series"}, {"canvas.data_summary", "page.scope_canvas_summary"}}},
	{"page.scopes_events", []struct{ name, explained string }{
		{"events.list", "page.scope_events_list"}, {"events.data_series", "page.scope_events_series"},
		{"purchases.product_list", "page.scope_products"}, {"purchases.revenue_series", "page.scope_revenue"}, {"purchases.quantity_series", "page.scope_quantity"},
		{"sessions.data_series", "page.scope_sessions"}, {"kpi.mau.data_series", "page.scope_mau"}, {"kpi.dau.data_series", "page.scope_dau"},
		{"kpi.new_users.data_series", "page.scope_new_users"}, {"kpi.uninstalls.data_series", "page.scope_uninstalls"}}},
}

// scopeTree offers the scopes that the visitor may give; chosen are on.
func (v *visit) scopeTree(chosen []string, wrong string) *tree {
	t := &tree{Name: "scopes", Legend: v.t("page.scopes"), Search: v.t("page.scope_search"), Error: wrong}
	for i, g := range scopeGroups {
		branch := treeGroup{Label: v.t(g.key), Open: i == 0}
		for _, s := range g.scopes {
			if control.Scope(s.name).PersonalData() && !v.place.ExportUserData {
				continue
			}
			c := check{Name: "scopes", Value: s.name, Label: s.name, Hint: v.t(s.explained), On: slices.Contains(chosen, s.name), Mono: true}
			branch.Open = branch.Open || c.On
			branch.Items = append(branch.Items, c)
		}
		if len(branch.Items) > 0 {
			t.Groups = append(t.Groups, branch)
		}
	}
	return t
}

func listKeys(v *visit) error {
	all, err := collect(v, v.api.ListAPIKeys(v, v.place.Workspace))
	if err != nil {
		return err
	}
	create := button{Text: v.t("page.create_key"), Kind: "primary", Icon: "plus", Href: v.path("/settings/keys/new")}
	f := v.settings("/keys")
	if f.Says = (&says{Text: v.t("page.keys_say", "n", len(all))}); len(all) == 0 {
		f.Says.Text = v.t("page.keys_say_none")
	}
	t := table{
		Columns: []column{{v.t("page.name"), false}, {v.t("page.status"), false}, {v.t("page.scopes"), false}, {v.t("page.networks"), false}, {v.t("page.used"), false}, {v.t("page.ends"), false}},
		Empty:   &empty{Title: v.t("page.keys_none"), Text: v.t("page.keys_none_text")},
	}
	if v.may("administrator") {
		if len(all) == 0 {
			t.Empty.Action = &create
		} else {
			f.Actions = []button{create}
		}
	}
	for _, k := range all {
		ends := cell{Text: v.t("page.never")}
		if k.ExpiresAt != nil {
			ends = cell{Time: v.moment(*k.ExpiresAt)}
		}
		t.Rows = append(t.Rows, row{[]cell{{Text: k.Name, Href: v.path("/settings/keys/" + k.ID)}, {Pill: v.keyState(k)}, {Text: v.scopesOf(k)}, {Text: v.networksOf(k)}, v.maybeTime(k.UsedAt), ends}})
	}
	v.show(http.StatusOK, "list", listPage{Frame: f, Table: t})
	return nil
}

// keyState says whether a key works.
func (v *visit) keyState(k client.APIKey) *pill {
	if k.ExpiresAt != nil && !k.ExpiresAt.After(v.now) {
		return &pill{bad, "circle-x", v.t("page.key_ended")}
	}
	return &pill{good, "circle-check", v.t("page.status_active")}
}

// scopesOf names the first of a key's scopes, and says how many there are more.
func (v *visit) scopesOf(k client.APIKey) string {
	const shown = 2
	if len(k.Scopes) <= shown+1 {
		return strings.Join(k.Scopes, ", ")
	}
	return v.t("page.and_more", "list", strings.Join(k.Scopes[:shown], ", "), "n", len(k.Scopes)-shown)
}

func (v *visit) networksOf(k client.APIKey) string {
	if len(k.Networks) == 0 {
		return v.t("page.anywhere")
	}
	return strings.Join(k.Networks, ", ")
}

func newKey(v *visit) error {
	if !v.may("administrator") {
		return v.forbidden()
	}
	return v.keyAgain(client.APIKeyCreate{Scopes: []string{string(control.ScopeEventsWrite)}}, nil)
}

// keyAgain shows the form of a new key, as typed, and what was wrong with it.
func (v *visit) keyAgain(typed client.APIKeyCreate, wrong error) error {
	problems := v.problems(wrong)
	f := form{Problem: v.wrong(wrong), Buttons: []button{{Text: v.t("page.create_key"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: v.path("/settings/keys")}}}
	f.Parts = []part{
		{Field: &field{Name: "name", Label: v.t("page.name"), Hint: v.t("page.key_name_hint"), Value: typed.Name, Error: problems["name"], Autocomplete: "off", Required: true}},
		{Tree: v.scopeTree(typed.Scopes, gathered(problems, "scopes"))},
		{Field: &field{Name: "networks", Label: v.t("page.networks"), Hint: v.t("page.networks_hint"), Value: v.form("networks"), Error: gathered(problems, "networks"), Lines: 3, Mono: true}},
		{Field: &field{Name: "expires_at", Label: v.t("page.ends"), Hint: v.t("page.ends_hint"), Type: "date", Value: v.form("expires_at"), Error: problems["expires_at"]}},
	}
	if !v.place.ExportUserData {
		f.Parts = slices.Insert(f.Parts, 2, part{Text: v.t("page.scopes_without_export")})
	}
	f.unplaced(problems)
	v.show(statusOf(wrong), "form", formPage{v.setting("/keys", v.t("page.create_key")), f})
	return nil
}

// gathered takes out of problems those of a list, as networks[2], which has one control in the form.
func gathered(problems map[string]string, list string) string {
	var all []string
	for name, message := range problems {
		if name == list || strings.HasPrefix(name, list+"[") {
			all = append(all, message)
			delete(problems, name)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func createKey(v *visit) error {
	in := client.APIKeyCreate{Name: v.form("name"), Scopes: v.chosenScopes(), Networks: strings.FieldsFunc(v.form("networks"), func(r rune) bool { return strings.ContainsRune(" ,;\r\n\t", r) })}
	ends, noDay := v.endOfDay("expires_at")
	if in.ExpiresAt = ends; noDay != nil {
		in.ExpiresAt = new(time.Unix(0, 0)) // no key ends then
	}
	made, err := v.api.CreateAPIKey(v, v.place.Workspace, in)
	if err != nil {
		if err = instead(v.said(err), noDay); !isInput(err) {
			return err
		}
		return v.keyAgain(in, err)
	}
	p := sectionsPage{Frame: v.setting("/keys", made.Name), Sections: []section{{
		Banner: &banner{Tone: good, Icon: "key-round", Title: v.t("page.key_made"), Texts: []string{v.t("page.key_made_text")}, Actions: []button{{Text: v.t("page.to_key"), Href: v.path("/settings/keys/" + made.ID)}}},
		Line:   &line{"key", v.t("page.tab_keys"), made.Key},
	}}}
	if try := v.tryKey(made.APIKey, made.Key); try != nil {
		p.Sections = append(p.Sections, *try)
	}
	v.show(http.StatusCreated, "sections", p)
	return nil
}

// chosenScopes are those whose boxes are on.
func (v *visit) chosenScopes() []string {
	_ = v.r.PostFormValue("scopes") // reads the form
	return append([]string{}, v.r.PostForm["scopes"]...)
}

// endOfDay reads a day: its last second where the visitor is. nil: none was given.
func (v *visit) endOfDay(name string) (*time.Time, error) {
	day, err := v.day(name, v.form(name))
	if err != nil || day.IsZero() {
		return nil, err
	}
	end := day.AddDate(0, 0, 1).Add(-time.Second)
	return &end, nil
}

// wrongField is the error of a field that only the form has, or that says more there than in the API.
func wrongField(name, key, message string) error {
	return &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{fault.Field(name, "invalid", key, message)}}
}

// instead gives what the API said of an input with what the form says of a field in place of what the API does. What only
// a form can see goes to the API as what it refuses as well: so all that is wrong is said at once.
func instead(said, wrong error) error {
	all, of := fault.As(said), fault.As(wrong)
	if of == nil || all == nil || all.Code != fault.Invalid {
		return said
	}
	e := *all
	e.Fields = slices.DeleteFunc(slices.Clone(all.Fields), func(p fault.Problem) bool {
		return slices.ContainsFunc(of.Fields, func(w fault.Problem) bool { return p.Field == w.Field || strings.HasPrefix(p.Field, w.Field+"[") })
	})
	e.Fields = append(e.Fields, of.Fields...)
	return &e
}

// tryKey shows how a program sends a first event with a key; secret is what stands for it. nil if its scopes do not let it.
func (v *visit) tryKey(k client.APIKey, secret string) *section {
	if !slices.Contains(k.Scopes, string(control.ScopeEventsWrite)) {
		return nil
	}
	text := "curl " + v.p.deps.BaseURL() + "/v1/events \\\n" +
		"  -H 'Authorization: Bearer " + secret + "' \\\n" +
		"  -H 'Content-Type: application/json' \\\n" +
		`  -d '[{"event_type":"users.behaviors.CustomEvent","user_id":"u-1","name":"order paid","properties":{}}]'`
	return &section{Title: v.t("page.try_key"), Text: v.t("page.try_key_text"), Code: &code{"try", "curl", text}}
}

// unknownKey stands where a key would, once it is not shown any more.
const unknownKey = "mr_…"

func showKey(v *visit) error {
	k, err := v.api.GetAPIKey(v, v.place.Workspace, v.r.PathValue("key"))
	if err != nil {
		return v.said(err)
	}
	had, err := v.api.ListRejectedEvents(v, v.place.Workspace, k.ID)
	if err != nil {
		return v.said(err)
	}
	f := v.setting("/keys", k.Name)
	f.Says = v.keySays(k, had.Total)
	if v.may("administrator") {
		f.More = &menu{Label: v.t("page.more_actions"), Icon: "ellipsis", Items: []menuItem{
			{Text: v.t("page.key_changes"), Icon: "file-text", Href: v.path("/settings/changes?subject=" + k.ID)},
			{Text: v.t("page.revoke_key"), Icon: "trash-2", Danger: true, Line: true, Href: v.path("/settings/keys/" + k.ID + "/revoke")},
		}}
	}
	facts := pairs{{Name: v.t("page.status"), Pill: v.keyState(k)}, {Name: v.t("page.scopes"), Text: strings.Join(k.Scopes, ", "), Mono: true}, {Name: v.t("page.networks"), Text: v.networksOf(k)},
		{Name: v.t("page.created"), Time: v.moment(k.CreatedAt)}}
	if k.ExpiresAt != nil {
		facts = append(facts, pairItem{Name: v.t("page.ends"), Time: v.moment(*k.ExpiresAt)})
	}
	rejected := v.rejections(had)
	about := v.t("page.rejected_text")
	if slices.ContainsFunc(had.Items, func(e client.RejectedEvent) bool { return e.More }) {
		about += " " + v.t("page.rejected_more")
	}
	p := sectionsPage{Frame: f, Sections: []section{{Pairs: facts}, {Title: v.t("page.rejected"), Text: about, Table: &rejected}}}
	if len(rejected.Rows) > 0 { // what is to be mended comes first
		slices.Reverse(p.Sections)
	}
	if try := v.tryKey(k, unknownKey); try != nil {
		p.Sections = append(p.Sections, *try)
	}
	v.show(http.StatusOK, "sections", p)
	return nil
}

// keySays says how a key is, the worst first.
func (v *visit) keySays(k client.APIKey, rejected int64) *says {
	switch {
	case k.ExpiresAt != nil && !k.ExpiresAt.After(v.now):
		return &says{bad, "circle-x", v.t("page.key_says_ended", "time", v.lang.Time(*k.ExpiresAt, v.zone))}
	case rejected > 0:
		return &says{warn, "triangle-alert", v.t("page.key_says_rejected", "n", rejected)}
	case k.UsedAt == nil:
		return &says{plain, "circle-dashed", v.t("page.key_says_unused")}
	}
	return &says{good, "circle-check", v.t("page.key_says_used", "time", v.moment(*k.UsedAt).Text)}
}

func revokeKey(v *visit) error {
	if !v.may("administrator") {
		return v.forbidden()
	}
	k, err := v.api.GetAPIKey(v, v.place.Workspace, v.r.PathValue("key"))
	if err != nil {
		return v.said(err)
	}
	texts := []string{v.t("page.revoke_key_text", "name", k.Name)}
	if k.UsedAt != nil {
		texts = append(texts, v.t("page.revoke_key_used", "time", v.moment(*k.UsedAt).Text))
	}
	return v.confirm(confirmation{
		Frame: v.setting("/keys", v.t("page.revoke_title", "name", k.Name)), Name: k.Name, Texts: texts, Button: v.t("page.revoke_key"), Back: v.path("/settings/keys/" + k.ID),
	}, func() error {
		if err := v.said(v.api.RevokeAPIKey(v, v.place.Workspace, k.ID)); err != nil {
			return err
		}
		return v.done(v.path("/settings/keys"), "page.told_key_revoked", "name", k.Name)
	})
}
