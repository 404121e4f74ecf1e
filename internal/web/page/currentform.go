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
	access
	name, contact          string
	encryption, test       bool
	all                    bool
	groups, events         []string
	transformations        string // lines "field action"
	codec, interval, count string
}

// newCurrentForm is how the form of a Current begins.
func newCurrentForm(contact string) currentForm {
	return currentForm{access: access{integration: "currents", prefix: "destination.", method: "role", folder: "currents"}, contact: contact, all: true, codec: "deflate", interval: "5m", count: "15000"}
}

// typed reads the form that was sent.
func (v *visit) typed() currentForm {
	on := func(name string) bool { return v.form(name) != "" }
	return currentForm{
		access: v.typedAccess("currents", "destination."), name: v.form("name"), contact: v.form("contact_email"),
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
	Paste  part
	What   form // what it carries
	Send   button
	Draft  string
	Hidden []hidden
}

func (v *visit) showCurrentForm(status int, f currentForm, wrong error) error {
	types, err := collect(v, v.api.ListEventTypes(v))
	if err != nil {
		return err
	}
	p, err := v.paste(f.access, "s3://"+f.bucket+"/"+strings.Trim(f.folder, "/")+"/")
	if err != nil {
		return err
	}
	problems := v.problems(wrong)
	signIn, err := v.signIn(f.access, problems)
	if err != nil {
		return err
	}
	at := func(name, label, value string, set func(*field)) *field {
		x := &field{Name: name, Label: v.t(label), Value: value, Error: problems[name]}
		if set != nil {
			set(x)
		}
		return x
	}
	live := func(x *field) { x.Mono, x.Live = true, pasted }
	page := currentFormPage{Frame: v.frame(v.t("page.create_current"), "/currents"), Paste: p, Send: button{Text: v.t("page.launch"), Kind: "primary"}}
	page.Frame.Crumbs = []crumb{{v.t("page.rail_currents"), v.path("/currents")}, {v.t("page.create_current"), ""}}
	page.Form = form{Problem: v.wrong(wrong), Parts: append([]part{
		{Pair: []field{
			*at("name", "page.name", f.name, func(x *field) { x.Required = true }),
			*at("contact_email", "page.contact", f.contact, func(x *field) { x.Hint, x.Type, x.Required = v.t("page.contact_hint"), "email", true }),
		}},
	}, append(signIn, []part{
		{Heading: v.t("page.where")},
		{Pair: []field{*at("destination.bucket", "page.bucket", f.bucket, live), *at("destination.folder", "page.folder", f.folder, live)}},
		{Check: &check{Name: "encryption", Label: v.t("page.encryption"), Hint: v.t("page.encryption_hint"), On: f.encryption, Switch: true}},
	}...)...)}
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
