package page

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
)

// currentForm is what somebody wants of a Current, as typed.
type currentForm struct {
	access
	sameAs                 string // id of the Current whose bucket and credentials are taken
	name, contact          string
	encryption, test       bool
	all                    bool
	groups, events         []string
	transformations        []client.Transformation
	codec, interval, count string
}

// newCurrentForm is how the form of a Current begins.
func newCurrentForm(contact string) currentForm {
	return currentForm{access: access{integration: "currents", prefix: "destination.", method: "role", folder: "currents"}, contact: contact, all: true, codec: "deflate", interval: "5m0s", count: "15000"}
}

// typed reads the form that was sent.
func (v *visit) typed() currentForm {
	on := func(name string) bool { return v.form(name) != "" }
	trim := func(name string) string { return strings.TrimSpace(v.form(name)) }
	f := currentForm{
		access: v.typedAccess("currents", "destination."), sameAs: v.form("destination.same_as"), name: v.form("name"), contact: trim("contact_email"),
		encryption: on("encryption"), test: on("test"), all: on("all"), groups: v.r.PostForm["groups"], events: v.r.PostForm["events"],
		codec: v.form("codec"), interval: v.form("flush.interval"), count: trim("flush.events"),
	}
	actions := v.r.PostForm["transformation_action"]
	for i, name := range v.r.PostForm["transformation"] {
		if name = strings.TrimSpace(name); name != "" && i < len(actions) {
			f.transformations = append(f.transformations, client.Transformation{Field: name, Action: actions[i]})
		}
	}
	return f
}

// with gives the form as e fills it in: a draft, or what a launch was to make.
func (f currentForm) with(e client.ConnectorEdit) currentForm {
	take(&f.name, e.Name)
	take(&f.contact, e.ContactEmail)
	if d := e.Destination; d != nil {
		take(&f.sameAs, d.SameAs)
		take(&f.bucket, d.Bucket)
		take(&f.folder, d.Folder)
		take(&f.region, d.Region)
		take(&f.endpoint, d.Endpoint)
		take(&f.pathStyle, d.PathStyle)
		take(&f.keyID, d.AccessKeyID)
		take(&f.role, d.RoleARN)
		switch {
		case d.RoleARN != nil && *d.RoleARN != "":
			f.method = "role"
		case d.AccessKeyID != nil:
			f.method = "key"
		}
	}
	take(&f.encryption, e.Encryption)
	take(&f.test, e.Test)
	if e.Events != nil {
		f.all, f.groups, f.events = false, nil, nil
		for _, name := range *e.Events {
			switch {
			case name == "all":
				f.all = true
			case slices.ContainsFunc(groups, func(g group) bool { return g.name == name }):
				f.groups = append(f.groups, name)
			default:
				f.events = append(f.events, name)
			}
		}
	}
	take(&f.transformations, e.Transformations)
	take(&f.codec, e.Codec)
	if e.Flush != nil {
		take(&f.interval, e.Flush.Interval)
		if e.Flush.Events != nil {
			f.count = strconv.Itoa(*e.Flush.Events)
		}
	}
	return f
}

func take[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// wishOf gives what would make a Current as it is.
func wishOf(c client.Connector) client.ConnectorEdit {
	d := c.Destination
	return client.ConnectorEdit{
		Name: &c.Name, ContactEmail: &c.ContactEmail, Encryption: &c.Encryption, Events: &c.Events, Transformations: &c.Transformations, Codec: &c.Codec,
		Flush: &client.FlushEdit{Interval: &c.Flush.Interval, Events: &c.Flush.Events}, Test: &c.Test,
		Destination: &client.DestinationEdit{Bucket: &d.Bucket, Folder: &d.Folder, Region: &d.Region, Endpoint: &d.Endpoint, PathStyle: &d.PathStyle, AccessKeyID: &d.AccessKeyID, RoleARN: &d.RoleARN},
	}
}

// edit gives what is asked of the API. What a group has is not named beside it.
func (f currentForm) edit(types []client.EventType) client.ConnectorEdit {
	d := &client.DestinationEdit{Folder: &f.folder}
	e := client.ConnectorEdit{
		Name: &f.name, ContactEmail: &f.contact, Destination: d, Transformations: &f.transformations, Codec: &f.codec,
		Flush: &client.FlushEdit{Interval: &f.interval, Events: number(f.count)}, Test: &f.test,
	}
	if f.transformations == nil {
		e.Transformations = &[]client.Transformation{}
	}
	if f.sameAs != "" {
		d.SameAs = &f.sameAs
	} else {
		d.Bucket, d.Region, d.Endpoint, d.PathStyle, e.Encryption = &f.bucket, &f.region, &f.endpoint, &f.pathStyle, &f.encryption
		f.accessEdit(d)
	}
	events := append([]string{}, f.groups...)
	for _, name := range f.events {
		i := slices.IndexFunc(types, func(t client.EventType) bool { return t.Name == name })
		if i < 0 || !slices.Contains(f.groups, types[i].Group) {
			events = append(events, name)
		}
	}
	if f.all {
		events = []string{"all"}
	}
	e.Events = &events
	return e
}

// accessEdit gives d what opens the bucket: a role, or a key. A secret that is not typed stays as it is.
func (f currentForm) accessEdit(d *client.DestinationEdit) {
	if f.method == "role" {
		d.RoleARN = &f.role
		return
	}
	d.AccessKeyID = &f.keyID
	if f.secret != "" {
		d.SecretAccessKey = &f.secret
	}
}

// number reads a whole number, the largest for one that is larger; 0, which is none that is asked for, if it is none.
func number(s string) *int {
	n, _ := strconv.Atoi(s)
	return &n
}

// notNumber says so in place of the range that the 0 which number makes of it is outside of.
func (v *visit) notNumber(f currentForm, problems map[string]string) map[string]string {
	const name = "flush.events"
	if _, err := strconv.Atoi(f.count); problems[name] != "" && errors.Is(err, strconv.ErrSyntax) {
		problems[name] = v.t("page.form_not_number")
	}
	return problems
}

// formats are those of policies, in the order in which they are shown.
var formats = []struct{ name, text string }{{"json", "JSON"}, {"cli", "AWS CLI"}, {"terraform", "Terraform"}, {"cloudformation", "CloudFormation"}}

// pasteOf gives where the files of a Current will be, and the policy that this needs. One that takes bucket and
// credentials from another needs no policy of its own.
func (v *visit) pasteOf(f currentForm, in formParts) (part, error) {
	other := slices.IndexFunc(in.others, func(c client.Connector) bool { return c.ID == f.sameAs })
	if other >= 0 {
		f.bucket = in.others[other].Destination.Bucket
	}
	if f.bucket == "" {
		return v.paste(f.access, "")
	}
	rules, err := v.installed()
	if err != nil {
		return part{}, err
	}
	path := fmt.Sprintf("s3://%s/%sdataexport.%s.S3.integration.%s/event_type=…/date=%s/…/%s/….avro", f.bucket, slashed(f.folder), rules.Cluster, cmp.Or(in.id, "…"),
		v.now.UTC().Format("2006-01-02-15"), rules.Zone)
	if other >= 0 {
		return part{Live: &live{ID: pasted, Parts: []part{{Line: &line{"files-at", v.t("page.files_at"), path}}}}}, nil
	}
	return v.paste(f.access, path)
}

// slashed gives a folder as keys begin with it.
func slashed(folder string) string {
	if folder = strings.Trim(folder, "/"); folder == "" {
		return ""
	}
	return folder + "/"
}

// formParts is what a form of a Current needs beside what is typed.
type formParts struct {
	types    []client.EventType
	others   []client.Connector // whose bucket and credentials may be taken
	problems map[string]string
	id       string // of the Current; empty: it is to be
	extra    bool   // an empty row for one more transformation
}

// currentParts gives the fields of a Current.
func (v *visit) currentParts(f currentForm, in formParts) ([]part, error) {
	said := in.problems
	signIn, err := v.signIn(f.access, said)
	if err != nil {
		return nil, err
	}
	if in.id != "" { // a secret is asked for once it is clear that it is another
		signIn = slices.DeleteFunc(signIn, func(p part) bool { return p.Field != nil && p.Field.Name == secretField })
	}
	paste, err := v.pasteOf(f, in)
	if err != nil {
		return nil, err
	}
	at := func(name, label, value, topic string) field {
		x := field{Name: name, Label: v.t(label), Value: value, Error: said[name]}
		if topic != "" {
			x.Help = v.help(topic)
		}
		return x
	}
	name := at("name", "page.name", f.name, "name")
	name.Required, name.Autocomplete = true, "off"
	contact := at("contact_email", "page.contact", f.contact, "contact")
	contact.Type, contact.Required = "email", true
	bucket := v.accessField(f.access, said, "bucket", "page.bucket", f.bucket, "bucket")
	bucket.Live, bucket.When = pasted, "own"
	folder := v.accessField(f.access, said, "folder", "page.folder", f.folder, "folder")
	folder.Live = pasted

	parts := []part{{Pair: []field{name, contact}}}
	if same := v.sameAs(f, in); same != nil {
		parts = append(parts, part{Field: same})
	}
	return append(parts,
		part{When: "own", Parts: signIn},
		part{Heading: v.t("page.where")},
		part{Pair: []field{bucket, folder}},
		part{When: "own", Check: &check{Name: "encryption", Label: v.t("page.encryption"), Hint: v.t("page.encryption_hint"), On: f.encryption, Switch: true, Error: said["encryption"]}, Help: v.help("encryption")},
		paste,
		part{Heading: v.t("page.what")},
		part{Check: &check{Name: "all", Label: v.t("page.all_events"), Hint: v.t("page.all_events_hint"), On: f.all, Switch: true}, Help: v.help("events")},
		part{When: "some", Tree: v.eventTree(in.types, f, firstOf(said, "events"))},
		part{Transforms: v.transforms(f, in)},
		part{Fold: v.moreSettings(f, in, at)},
	), nil
}

// firstOf gives the first problem of a list or of what it holds.
func firstOf(problems map[string]string, name string) string {
	for _, field := range sortedKeys(problems) {
		if field == name || strings.HasPrefix(field, name+"[") {
			return problems[field]
		}
	}
	return ""
}

// sameAs offers the buckets and credentials of the workspace's other Currents; nil if there is none.
func (v *visit) sameAs(f currentForm, in formParts) *field {
	if len(in.others) == 0 || in.id != "" {
		return nil
	}
	x := &field{Name: "destination.same_as", Label: v.t("page.form_same_as"), Error: in.problems["destination.same_as"], Live: pasted, Options: []option{{"", v.t("page.form_own"), f.sameAs == ""}}}
	for _, c := range in.others {
		x.Options = append(x.Options, option{c.ID, v.t("page.form_same_option", "name", c.Name, "bucket", c.Destination.Bucket), c.ID == f.sameAs})
	}
	return x
}

// transformsID is the part of the form with the rows of transformations.
const transformsID = "transformations"

// transforms gives the rows in which fields are named that are removed or hashed.
func (v *visit) transforms(f currentForm, in formParts) *transforms {
	t := &transforms{ID: transformsID, Legend: v.t("page.transformations"), Hint: v.t("page.form_transformations_hint"), Add: v.t("page.form_transformation_add"),
		Help: v.help("transformations"), Field: v.t("page.form_transformation_field"), Action: v.t("page.form_transformation_action"), Drop: v.t("page.form_transformation_drop"), Names: textFields(in.types)}
	rows := f.transformations
	if in.extra {
		rows = append(slices.Clone(rows), client.Transformation{Action: "remove"})
	}
	for i, x := range rows {
		at := fmt.Sprintf("%s[%d].", transformsID, i)
		t.Rows = append(t.Rows, transformRow{Field: x.Field, Error: cmp.Or(in.problems[at+"field"], in.problems[at+"action"]),
			Actions: []option{{"remove", v.t("page.form_remove"), x.Action != "hash"}, {"hash", v.t("page.form_hash"), x.Action == "hash"}}})
	}
	return t
}

// textFields are the fields that a transformation can be about, sorted.
func textFields(types []client.EventType) (names []string) {
	for _, t := range types {
		for _, f := range t.Fields {
			if f.Type == "string" && f.Name != "id" {
				names = append(names, f.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// intervals are offered for how long a file is gathered.
var intervals = []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour}

// moreSettings are those that few people need.
func (v *visit) moreSettings(f currentForm, in formParts, at func(name, label, value, topic string) field) *fold {
	codec := at("codec", "page.form_codec", f.codec, "codec")
	for _, c := range []string{"deflate", "zstandard", "snappy", "null"} {
		text := c
		if c == "null" {
			text = v.t("page.form_codec_none")
		}
		codec.Options = append(codec.Options, option{c, text, c == f.codec})
	}
	interval := at("flush.interval", "page.form_interval", f.interval, "flush")
	now, err := time.ParseDuration(f.interval)
	offered := slices.Clone(intervals)
	if err == nil && now > 0 && !slices.Contains(offered, now) {
		offered = append(offered, now)
		slices.Sort(offered)
	}
	for _, d := range offered {
		interval.Options = append(interval.Options, option{d.String(), v.lang.Duration(d), d == now})
	}
	count := at("flush.events", "page.form_count", f.count, "")
	m := &fold{Title: v.t("page.form_more"), Parts: []part{{Field: &codec}, {Pair: []field{interval, count}}, {When: "own", Parts: v.store(f.access, in.problems)}}}
	if in.id == "" || f.test {
		hint := v.t("page.form_test_hint")
		if rules, err := v.installed(); err == nil {
			hint = v.t("page.form_test_cap", "n", rules.TestCap, "time", v.lang.Duration(time.Duration(rules.TestWindow*float64(time.Second))))
		}
		m.Parts = append(m.Parts, part{Check: &check{Name: "test", Label: v.t("page.form_test"), Hint: hint, Error: in.problems["test"], On: f.test, Switch: true}})
	}
	for _, name := range []string{"codec", "flush.interval", "flush.events", "destination.region", "destination.endpoint", "test"} {
		m.Open = m.Open || in.problems[name] != ""
	}
	m.Open = m.Open || f.test || f.endpoint != ""
	return m
}

// group is one of the catalogue.
type group struct{ name, key string }

// groups are in the order in which they are shown.
var groups = []group{
	{"engagement", "page.group_engagement"}, {"behavior", "page.group_behavior"}, {"profile", "page.group_profile"}, {"agent", "page.group_agent"},
}

// eventTree gives the check boxes of all event types, by group.
func (v *visit) eventTree(types []client.EventType, f currentForm, wrong string) *tree {
	t := &tree{Name: "events", Legend: v.t("page.event_types"), Search: v.t("page.event_search"), Error: wrong}
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
		t.Groups = append(t.Groups, branch)
	}
	return t
}

// redrawn reports whether the form was sent to be shown again with something more, as a browser without script does: the
// policy, or another row. It gives the form as it is then.
func (v *visit) redrawn(f currentForm) (next currentForm, extra, again bool) {
	asked := v.form("part")
	if at, ok := strings.CutPrefix(asked, transformsID+"."); ok {
		var kept []client.Transformation
		names, actions := v.r.PostForm["transformation"], v.r.PostForm["transformation_action"]
		for i, name := range names {
			if strconv.Itoa(i) != at && strings.TrimSpace(name) != "" && i < len(actions) {
				kept = append(kept, client.Transformation{Field: strings.TrimSpace(name), Action: actions[i]})
			}
		}
		f.transformations = kept
	}
	return f, asked == transformsID, asked != ""
}
