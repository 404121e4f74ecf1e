package page

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/millrace/millrace/client"
)

// currentForm is what somebody wants of a Current, as typed.
type currentForm struct {
	name, contact, method, bucket, folder, keyID, secret, role string
	endpoint, region                                           string
	pathStyle, encryption, test                                bool
	all                                                        bool
	groups, events                                             []string
	transformations                                            string // lines "field action"
	codec, interval, count                                     string
}

// newCurrentForm is how the form of a Current begins.
func newCurrentForm(contact string) currentForm {
	return currentForm{contact: contact, method: "role", folder: "currents", all: true, codec: "deflate", interval: "5m", count: "15000"}
}

// typed reads the form that was sent.
func (v *visit) typed() currentForm {
	on := func(name string) bool { return v.form(name) != "" }
	return currentForm{
		name: v.form("name"), contact: v.form("contact_email"), method: v.form("method"), bucket: strings.TrimSpace(v.form("destination.bucket")), folder: v.form("destination.folder"),
		keyID: strings.TrimSpace(v.form("destination.access_key_id")), secret: strings.TrimSpace(v.form("destination.secret_access_key")), role: strings.TrimSpace(v.form("destination.role_arn")),
		endpoint: strings.TrimSpace(v.form("destination.endpoint")), region: strings.TrimSpace(v.form("destination.region")), pathStyle: on("destination.path_style"),
		encryption: on("encryption"), test: on("test"), all: on("all"), groups: v.r.PostForm["groups"], events: v.r.PostForm["events"],
		transformations: v.form("transformations"), codec: v.form("codec"), interval: v.form("flush.interval"), count: v.form("flush.events"),
	}
}

// edit gives what is asked of the API.
func (f currentForm) edit() client.ConnectorEdit {
	d := &client.DestinationEdit{Bucket: &f.bucket, Folder: &f.folder, Region: &f.region, Endpoint: &f.endpoint, PathStyle: &f.pathStyle}
	if f.method == "role" {
		d.RoleARN = &f.role
	} else {
		d.AccessKeyID = &f.keyID
		if f.secret != "" {
			d.SecretAccessKey = &f.secret
		}
	}
	events := slices.Concat(f.groups, f.events)
	if f.all {
		events = []string{"all"}
	}
	changes := []client.Transformation{}
	for line := range strings.Lines(f.transformations) {
		if words := strings.Fields(line); len(words) > 0 {
			changes = append(changes, client.Transformation{Field: words[0], Action: cmp.Or(strings.Join(words[1:], " "), "remove")})
		}
	}
	return client.ConnectorEdit{
		Name: &f.name, ContactEmail: &f.contact, Destination: d, Encryption: &f.encryption, Events: &events, Transformations: &changes,
		Codec: &f.codec, Flush: &client.FlushEdit{Interval: &f.interval, Events: number(f.count)}, Test: &f.test,
	}
}

// number reads a whole number; nil if it is none.
func number(s string) *int {
	n := 0
	for _, c := range strings.TrimSpace(s) {
		if c < '0' || c > '9' || n > 1<<40 {
			return nil
		}
		n = n*10 + int(c-'0')
	}
	return &n
}

func newCurrent(v *visit) error {
	return v.showCurrentForm(http.StatusOK, newCurrentForm(v.me.Email), nil)
}

func launchCurrent(v *visit) error {
	f := v.typed()
	if v.form("part") != "" {
		return v.showCurrentForm(http.StatusOK, f, nil)
	}
	check, err := v.api.LaunchConnector(v, v.place.Workspace, f.edit())
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		return v.showCurrentForm(again(err), f, err)
	}
	v.redirect(v.path("/checks/" + check.ID))
	return nil
}

// currentFormPage is the form of a Current, with what has to be pasted at AWS made from what is typed.
type currentFormPage struct {
	Frame  frame
	Form   form // name to place
	Paste  paste
	What   form // what it carries
	Send   button
	Draft  string
	Hidden []hidden
}

// paste is what goes to the other side, filled in. It is made anew while its fields are typed.
type paste struct {
	Path   string // where files will be
	Role   bool
	Trust  *code
	IDs    []part // account and external id
	Policy *code
	Notes  []banner
	Empty  string // instead of the policy, while there is no bucket
}

func (v *visit) showCurrentForm(status int, f currentForm, wrong error) error {
	types, err := collect(v, v.api.ListEventTypes(v))
	if err != nil {
		return err
	}
	p, err := v.paste("currents", f.method == "role", f.bucket, f.folder)
	if err != nil {
		return err
	}
	problems := v.problems(wrong)
	at := func(name, label, value string, set func(*field)) *field {
		x := &field{Name: name, Label: v.t(label), Value: value, Error: problems[name]}
		if set != nil {
			set(x)
		}
		return x
	}
	mono := func(x *field) { x.Mono = true }
	live := func(x *field) { x.Mono, x.Live = true, "paste" }
	page := currentFormPage{Frame: v.frame(v.t("page.create_current"), "/currents"), Paste: p, Send: button{Text: v.t("page.launch"), Kind: "primary"}}
	page.Frame.Crumbs = []crumb{{v.t("page.rail_currents"), v.path("/currents")}, {v.t("page.create_current"), ""}}
	page.Form = form{Problem: v.wrong(wrong), Parts: []part{
		{Pair: []field{
			*at("name", "page.name", f.name, func(x *field) { x.Required = true }),
			*at("contact_email", "page.contact", f.contact, func(x *field) { x.Hint, x.Type, x.Required = v.t("page.contact_hint"), "email", true }),
		}},
		{Choices: &choices{Name: "method", Legend: v.t("page.method"), Error: problems["method"], Options: []choice{
			{"role", v.t("page.method_role"), v.t("page.method_role_text"), f.method == "role"},
			{"key", v.t("page.method_key"), v.t("page.method_key_text"), f.method != "role"},
		}}},
		{Field: at("destination.role_arn", "page.role_arn", f.role, func(x *field) { x.Mono, x.Placeholder = true, "arn:aws:iam::123456789012:role/millrace-currents" })},
		{Pair: []field{
			*at("destination.access_key_id", "page.access_key_id", f.keyID, mono),
			*at("destination.secret_access_key", "page.secret_access_key", "", func(x *field) { x.Type, x.Autocomplete = "password", "off" }),
		}},
		{Heading: v.t("page.where")},
		{Pair: []field{*at("destination.bucket", "page.bucket", f.bucket, live), *at("destination.folder", "page.folder", f.folder, live)}},
		{Check: &check{Name: "encryption", Label: v.t("page.encryption"), Hint: v.t("page.encryption_hint"), On: f.encryption, Switch: true}},
	}}
	page.What = form{Parts: []part{
		{Heading: v.t("page.what")},
		{Check: &check{Name: "all", Label: v.t("page.all_events"), Hint: v.t("page.all_events_hint"), On: f.all, Switch: true}},
		{Tree: v.eventTree(types, f, problems["events"])},
		{Field: at("transformations", "page.transformations", f.transformations, func(x *field) {
			x.Mono, x.Lines, x.Hint = true, 3, v.t("page.transformations_hint")
		})},
	}}
	page.Form.unplaced(page.What.without(problems))
	v.show(status, "currentform", page)
	return nil
}

// without gives the problems of fields that f does not have.
func (f *form) without(problems map[string]string) map[string]string {
	rest := map[string]string{}
	for name, message := range problems {
		if !f.has(name) {
			rest[name] = message
		}
	}
	return rest
}

// groups are those of the catalogue, in the order in which they are shown.
var groups = []struct{ name, key string }{
	{"engagement", "page.group_engagement"}, {"behavior", "page.group_behavior"}, {"profile", "page.group_profile"}, {"agent", "page.group_agent"},
}

// eventTree gives the check boxes of all event types, by group.
func (v *visit) eventTree(types []client.EventType, f currentForm, wrong string) *tree {
	t := &tree{Name: "events", Legend: v.t("page.event_types"), Search: v.t("page.event_search"), Error: wrong}
	chosen := 0
	for _, g := range groups {
		branch := treeGroup{Label: v.t(g.key), Name: "groups", Value: g.name, All: slices.Contains(f.groups, g.name)}
		on := 0
		for _, et := range types {
			if et.Group != g.name {
				continue
			}
			c := check{Name: "events", Value: et.Name, Label: et.Name, On: branch.All || slices.Contains(f.events, et.Name), Mono: true}
			if c.On {
				on++
			}
			branch.Items = append(branch.Items, c)
		}
		branch.Open = on > 0 && on < len(branch.Items)
		branch.Counts = v.t("page.of", "n", on, "all", len(branch.Items))
		chosen += on
		t.Groups = append(t.Groups, branch)
	}
	t.Counts = v.t("page.of", "n", chosen, "all", len(types))
	return t
}

// paste gives what a role and a bucket need on the other side.
func (v *visit) paste(integration string, role bool, bucket, folder string) (paste, error) {
	p := paste{Role: role, Empty: v.t("page.policy_later")}
	if role {
		trust, err := v.api.GetTrust(v, v.place.Workspace, integration, "")
		if err != nil {
			return p, v.said(err)
		}
		p.IDs = append(p.IDs, part{Line: &line{"external-id", v.t("page.external_id"), trust.ExternalID}})
		if trust.AccountID != "" {
			p.IDs = slices.Insert(p.IDs, 0, part{Line: &line{"account-id", v.t("page.account_id"), trust.AccountID}})
			p.Trust = &code{"trust", v.t("page.trust_policy"), trust.Policy}
		} else {
			p.Notes = append(p.Notes, banner{Tone: warn, Icon: "triangle-alert", Title: v.t("page.no_account"), Texts: []string{v.t("page.no_account_text")}})
		}
	}
	if bucket == "" {
		return p, nil
	}
	method := "key"
	if role {
		method = "role"
	}
	policy, err := v.api.GetPolicy(v, v.place.Workspace, integration, client.PolicyFor{Bucket: bucket, Method: method})
	switch err = v.said(err); {
	case err == nil:
		p.Policy = &code{"policy", v.t("page.policy_for", "bucket", bucket), policy.Text}
		p.Path = "s3://" + bucket + "/" + strings.Trim(folder, "/")
	case !isInput(err): // the form says what is wrong with the bucket once it is sent
		return p, err
	}
	return p, nil
}
