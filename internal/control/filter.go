package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/fault"
)

// Filter says which people of a workspace a segment holds: a tree whose nodes have one field each. The zero Filter holds
// everybody.
//
// A leaf holds or does not, with nothing between: of what is not known of a person it does not hold, and Not of it does.
// What a filter does not say by a leaf it says by Not: not one of, not done, not received.
//
// ParseFilter and Validate make one that is whole; everything else takes it as such.
type Filter struct {
	All []Filter `json:"all,omitempty"` // each holds
	Any []Filter `json:"any,omitempty"` // one at least holds
	Not *Filter  `json:"not,omitempty"`

	Attribute *Condition   `json:"attribute,omitempty"` // a standard attribute: one of Attributes
	Custom    *Condition   `json:"custom,omitempty"`    // a custom attribute; within objects with dots: address.city
	Event     *Deeds       `json:"event,omitempty"`     // a custom event was done
	Purchase  *Deeds       `json:"purchase,omitempty"`  // a product was bought
	Message   *MessageDeed `json:"message,omitempty"`
	Group     *GroupState  `json:"group,omitempty"`
}

// Condition is what an attribute has to be; all that it says holds. With a name alone: it is known.
type Condition struct {
	Name string `json:"name"`

	// Of texts, exactly; of states, OptedIn and so on.
	OneOf []string `json:"one_of,omitempty"`
	// Of texts, or of the items of an array; capital letters of A to Z are as good as small ones.
	Contains *string `json:"contains,omitempty"`
	// Of custom arrays: an item, exactly.
	Has *string `json:"has,omitempty"`
	// Of custom booleans.
	Is *bool `json:"is,omitempty"`
	// Of numbers.
	AtLeast *float64 `json:"at_least,omitempty"`
	AtMost  *float64 `json:"at_most,omitempty"`
	// Of times and days, from After on and until just before Before.
	After  Moment `json:"after,omitempty"`
	Before Moment `json:"before,omitempty"`
}

// Deeds is how often and when somebody did an event or bought a product, all that it says: once at least, unless it says how
// often or for how much, and never is within it.
type Deeds struct {
	Name           string   `json:"name"`
	AtLeast        *int64   `json:"at_least,omitempty"` // times
	AtMost         *int64   `json:"at_most,omitempty"`
	FirstAfter     Moment   `json:"first_after,omitempty"`
	FirstBefore    Moment   `json:"first_before,omitempty"`
	LastAfter      Moment   `json:"last_after,omitempty"`
	LastBefore     Moment   `json:"last_before,omitempty"`
	RevenueAtLeast *float64 `json:"revenue_at_least,omitempty"` // of purchases
	RevenueAtMost  *float64 `json:"revenue_at_most,omitempty"`
}

// Never reports whether whoever never did it is meant too: counts are said, none and nothing spent are within them, and
// nothing is said of when.
func (d Deeds) Never() bool {
	said := d.AtLeast != nil || d.AtMost != nil || d.RevenueAtLeast != nil || d.RevenueAtMost != nil
	return said && d.FirstAfter+d.FirstBefore+d.LastAfter+d.LastBefore == "" && includes(d.AtLeast, 0, d.AtMost) && includes(d.RevenueAtLeast, 0, d.RevenueAtMost)
}

func includes[N int64 | float64](least *N, n N, most *N) bool {
	return (least == nil || n >= *least) && (most == nil || n <= *most)
}

// MessageDeed is what somebody did with the messages of one channel, campaign, Canvas or step: one of these is named.
//
// Of a channel the last time counts. Of the others the last time that they were received, entered or left counts, and the
// first time that they were opened or clicked.
type MessageDeed struct {
	Channel  Medium `json:"channel,omitempty"`
	Campaign string `json:"campaign,omitempty"`
	Canvas   string `json:"canvas,omitempty"`
	Step     string `json:"step,omitempty"`
	Did      string `json:"did"` // one of messageDeeds
	After    Moment `json:"after,omitempty"`
	Before   Moment `json:"before,omitempty"`
}

// GroupState is what somebody said that they want of a subscription group.
type GroupState struct {
	ID    string       `json:"id"`
	State Subscription `json:"state"` // Subscribed or Unsubscribed
}

// What can be done with messages.
const (
	DidReceive = "received"
	DidOpen    = "opened"
	DidClick   = "clicked"
	DidEnter   = "entered"   // a Canvas
	DidExit    = "exited"    // a Canvas
	DidConvert = "converted" // of a campaign or Canvas; nobody knows when
)

// messageDeeds are what can be done with what a MessageDeed names.
var messageDeeds = map[NameKind][]string{
	0:            {DidReceive, DidOpen, DidClick},
	NameCampaign: {DidReceive, DidOpen, DidClick, DidConvert},
	NameCanvas:   {DidEnter, DidExit, DidReceive, DidOpen, DidClick, DidConvert},
	NameStep:     {DidReceive, DidOpen, DidClick},
}

// Of gives what m names; kind is 0 for a channel.
func (m MessageDeed) Of() (kind NameKind, name string) {
	switch {
	case m.Campaign != "":
		return NameCampaign, m.Campaign
	case m.Canvas != "":
		return NameCanvas, m.Canvas
	case m.Step != "":
		return NameStep, m.Step
	}
	return 0, string(m.Channel)
}

// Moment is a time in a filter: fixed, as 2026-11-22T10:00:00Z, or so many days from when the filter is asked, as -30d or +7d.
// Empty: none.
type Moment string

// days gives the days from now; relative is false if m is none such.
func (m Moment) days() (n int, relative bool) {
	digits, is := strings.CutSuffix(string(m), "d")
	if !is || len(digits) < 2 || digits[0] != '-' && digits[0] != '+' {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= -maxFilterDays && n <= maxFilterDays
}

// At gives the time that m is now. false: it is none.
func (m Moment) At(now time.Time) (time.Time, bool) {
	if n, relative := m.days(); relative {
		return now.Add(time.Duration(n) * 24 * time.Hour), true
	}
	t, err := time.Parse(time.RFC3339, string(m))
	return t.UTC(), err == nil
}

// AttributeKind says with what a standard attribute is compared.
type AttributeKind string

// The kinds.
const (
	KindText   AttributeKind = "text"   // one_of, contains
	KindState  AttributeKind = "state"  // one_of
	KindNumber AttributeKind = "number" // at_least, at_most
	KindTime   AttributeKind = "time"   // after, before
	KindDay    AttributeKind = "day"    // after, before
)

// StandardAttribute is an attribute that filters know.
type StandardAttribute struct {
	Name string
	Kind AttributeKind
	Key  string // of its name in the catalogues
	// Identifies says that it tells one person from others: see Filter.Identifies.
	Identifies bool
}

// Attributes lists the standard attributes that filters know, in the order in which they are shown.
func Attributes() []StandardAttribute {
	return []StandardAttribute{
		{"external_id", KindText, "filter.external_id", true},
		{"first_name", KindText, "filter.first_name", true},
		{"last_name", KindText, "filter.last_name", true},
		{"email", KindText, "filter.email", true},
		{"phone", KindText, "filter.phone", true},
		{"gender", KindText, "filter.gender", false},
		{"dob", KindDay, "filter.dob", true},
		{"country", KindText, "filter.country", false},
		{"language", KindText, "filter.language", false},
		{"time_zone", KindText, "filter.time_zone", false},
		{"home_city", KindText, "filter.home_city", false},
		{"email_subscribe", KindState, "filter.email_subscribe", false},
		{"push_subscribe", KindState, "filter.push_subscribe", false},
		{"created_at", KindTime, "filter.created_at", false},
		{"first_session", KindTime, "filter.first_session", false},
		{"last_session", KindTime, "filter.last_session", false},
		{"sessions", KindNumber, "filter.sessions", false},
		{"last_purchase", KindTime, "filter.last_purchase", false},
		{"purchases", KindNumber, "filter.purchases", false},
		{"revenue", KindNumber, "filter.revenue", false},
		{"uninstalled_at", KindTime, "filter.uninstalled_at", false},
		{"random_bucket", KindNumber, "filter.random_bucket", false},
	}
}

// AttributeNamed gives the standard attribute of that name.
func AttributeNamed(name string) (StandardAttribute, bool) {
	all := Attributes()
	i := slices.IndexFunc(all, func(a StandardAttribute) bool { return a.Name == name })
	if i < 0 {
		return StandardAttribute{}, false
	}
	return all[i], true
}

// Bounds of a filter. They hold what it costs to ask: a leaf is a condition of one query.
const (
	maxFilterDepth  = 6
	maxFilterNodes  = 200
	maxFilterValues = 500
	maxFilterTotal  = 20_000    // values of all its parts: SQLite takes 32,766 in one query. Source: https://www.sqlite.org/limits.html
	maxFilterText   = 1024      // bytes: filters see no more of an attribute
	maxFilterDays   = 100 * 366 // from now
	maxFilterBytes  = 256 << 10
	maxFilterShown  = 100 // problems
)

// ParseFilter reads the JSON of a filter, at the field at, and gives every problem of it: the filter is one to be used if
// there is none.
func ParseFilter(at string, b []byte) (Filter, []fault.Problem) {
	var f Filter
	c := filterCheck{}
	if len(b) > maxFilterBytes {
		c.bytes(at)
		return f, c.problems
	}
	if err := json.Unmarshal(b, &f); err != nil {
		where := at
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
			where += "." + e.Field
		}
		c.problem(where, "wrong_type", "field.filter_json", "This is not as a filter is written.")
	}
	c.unknown(at, b, reflect.TypeFor[Filter](), 0)
	if len(c.problems) == 0 {
		c.node(at, f, 1)
	}
	return f, c.problems
}

// Validate gives every problem of a filter that somebody gives at the field at. What Masked put in place of a value is one.
func (f Filter) Validate(at string) []fault.Problem {
	c := filterCheck{given: true}
	if len(f.Encode()) > maxFilterBytes { // it could be kept, and not be read again
		c.bytes(at)
		return c.problems
	}
	c.node(at, f, 1)
	return c.problems
}

// Leaves gives every node that has none below it, in the order in which they stand.
func (f Filter) Leaves() iter.Seq[Filter] {
	return func(yield func(Filter) bool) { f.leaves(yield) }
}

func (f Filter) leaves(yield func(Filter) bool) bool {
	below := slices.Concat(f.All, f.Any)
	if f.Not != nil {
		below = append(below, *f.Not)
	}
	for _, x := range below {
		if !x.leaves(yield) {
			return false
		}
	}
	return len(below) > 0 || yield(f)
}

// Identifies reports whether f compares what identifies people with a value. Then how many it holds tells, asked often enough,
// that value of one person. That it is known of somebody, or is not, tells nobody's.
func (f Filter) Identifies() bool {
	for leaf := range f.Leaves() {
		if x := leaf.Attribute; x != nil && x.identifies() {
			return true
		}
	}
	return false
}

func (c Condition) identifies() bool {
	a, _ := AttributeNamed(c.Name)
	return a.Identifies && !reflect.DeepEqual(c, Condition{Name: c.Name})
}

// masked stands in a filter for a value that is not everybody's to see.
const masked = "[REDACTED]"

// Masked gives f with what identifies people compared with nothing that can be read: which attributes there are and how they
// are compared stays, how many values there are does not. Where there are times it is for the eye alone, and not valid.
func (f Filter) Masked() Filter {
	each := func(fs []Filter) []Filter {
		fs = slices.Clone(fs)
		for i := range fs {
			fs[i] = fs[i].Masked()
		}
		return fs
	}
	f.All, f.Any = each(f.All), each(f.Any)
	if f.Not != nil {
		f.Not = new(f.Not.Masked())
	}
	if f.Attribute != nil && f.Attribute.identifies() {
		c := Condition{Name: f.Attribute.Name}
		if len(f.Attribute.OneOf) > 0 {
			c.OneOf = []string{masked}
		}
		if f.Attribute.Contains != nil {
			c.Contains = new(masked)
		}
		if f.Attribute.After != "" {
			c.After = masked
		}
		if f.Attribute.Before != "" {
			c.Before = masked
		}
		f.Attribute = &c
	}
	return f
}

// ShownTo gives f as the actor of ctx may see it: masked to who may not export the workspace's user data.
func (f Filter) ShownTo(ctx context.Context, workspace uint32) Filter {
	if _, err := f.lettingOut(ctx, workspace); err != nil {
		return f.Masked()
	}
	return f
}

// lettingOut holds who has people counted by f to the right to export user data, if f identifies them. Errors: forbidden.
func (f Filter) lettingOut(ctx context.Context, workspace uint32) (context.Context, error) {
	if !f.Identifies() {
		return ctx, nil
	}
	return takingData(ctx, workspace, (&fault.Error{Code: fault.Forbidden,
		Msg:  fault.Message{Key: "control.identifying", Text: "Only who may export user data has people counted by what identifies them: their external id, name, e-mail address, phone number or date of birth."},
		Hint: fault.Message{Key: "control.identifying_hint", Text: "Ask a member who may, or only whether it is known."}}).At("filter", "forbidden"))
}

// Names gives what a leaf names of what events have named; kind is 0 if it names no such thing.
func (f Filter) Names() (kind NameKind, name string) {
	switch {
	case f.Custom != nil:
		return NameAttribute, f.Custom.Name
	case f.Event != nil:
		return NameEvent, f.Event.Name
	case f.Purchase != nil:
		return NameProduct, f.Purchase.Name
	case f.Message != nil:
		return f.Message.Of()
	case f.Group != nil:
		return NameGroup, f.Group.ID
	}
	return 0, ""
}

// Lower gives a text with A to Z in small letters, as filters compare it.
func Lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// ItemBetween stands around each item of an array in PersonAttribute.Text. No text in a filter holds it.
const ItemBetween = "\x1f"

// Encode gives the filter as it is kept.
func (f Filter) Encode() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(f); err != nil {
		panic("control: a filter did not encode: " + err.Error())
	}
	return bytes.TrimSpace(b.Bytes())
}

func (f Filter) equal(o Filter) bool { return bytes.Equal(f.Encode(), o.Encode()) }

// filterCheck gathers the problems of a filter.
type filterCheck struct {
	given    bool // by somebody who may have seen it masked; else it is kept already, and stays readable
	nodes    int
	values   int
	problems []fault.Problem
}

func (c *filterCheck) add(p fault.Problem) {
	if len(c.problems) < maxFilterShown {
		c.problems = append(c.problems, p)
	}
}

func (c *filterCheck) problem(at, code, key, message string, pairs ...any) {
	c.add(fault.Field(at, code, key, message, pairs...))
}

func (c *filterCheck) bytes(at string) {
	c.problem(at, "too_large", "field.filter_bytes", "A filter has at most {most} bytes.", "most", maxFilterBytes)
}

// unknown finds the fields that t does not have, at every depth that a filter may have.
func (c *filterCheck) unknown(at string, b []byte, t reflect.Type, depth int) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case depth > 3*maxFilterDepth: // what lies deeper is too deep anyway
	case t.Kind() == reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(b, &items) == nil && t.Elem().Kind() == reflect.Struct {
			for i, item := range items {
				c.unknown(index(at, i), item, t.Elem(), depth+1)
			}
		}
	case t.Kind() == reflect.Struct:
		known := map[string]reflect.Type{}
		var names []string
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			known[name] = f.Type
			names = append(names, name)
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(b, &fields) != nil {
			return // it was said
		}
		for _, name := range sortedNames(fields) {
			if ft, ok := known[name]; ok {
				c.unknown(at+"."+name, fields[name], ft, depth+1)
				continue
			}
			shown := fault.Escaped(name[:min(len(name), maxName)])
			p := oneOf(at+"."+shown, shown, names...)
			p.Code = "unknown_field"
			c.add(p)
		}
	}
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (c *filterCheck) node(at string, f Filter, depth int) {
	if c.nodes++; c.nodes > maxFilterNodes {
		if c.nodes == maxFilterNodes+1 {
			c.problem(at, "too_large", "field.filter_nodes", "A filter has at most {most} parts.", "most", maxFilterNodes)
		}
		return
	}
	if depth > maxFilterDepth {
		c.problem(at, "too_deep", "field.filter_deep", "A filter has at most {most} levels.", "most", maxFilterDepth)
		return
	}
	said := 0
	for i, v := 0, reflect.ValueOf(f); i < v.NumField(); i++ {
		if !v.Field(i).IsNil() {
			said++
		}
	}
	switch {
	case said > 1:
		c.problem(at, "ambiguous", "field.filter_one", "A part of a filter says one thing. Put several into all or any.")
	case said == 0 && depth > 1:
		c.problem(at, "required", "field.filter_empty", "This part of the filter says nothing.")
	case f.Any != nil && len(f.Any) == 0, f.All != nil && len(f.All) == 0 && depth > 1:
		c.problem(at, "required", "field.filter_empty", "This part of the filter says nothing.")
	}
	for i, x := range f.All {
		c.node(index(at+".all", i), x, depth+1)
	}
	for i, x := range f.Any {
		c.node(index(at+".any", i), x, depth+1)
	}
	if f.Not != nil {
		c.node(at+".not", *f.Not, depth+1)
	}
	if f.Attribute != nil {
		c.attribute(at+".attribute", *f.Attribute)
	}
	if f.Custom != nil {
		c.text(at+".custom.name", f.Custom.Name)
		c.condition(at+".custom", *f.Custom, true)
	}
	if f.Event != nil {
		c.deeds(at+".event", *f.Event)
		if f.Event.RevenueAtLeast != nil || f.Event.RevenueAtMost != nil {
			c.problem(at+".event", "invalid", "field.filter_revenue", "Only purchases have revenue.")
		}
	}
	if f.Purchase != nil {
		c.deeds(at+".purchase", *f.Purchase)
	}
	if f.Message != nil {
		c.message(at+".message", *f.Message)
	}
	if g := f.Group; g != nil {
		c.text(at+".group.id", g.ID)
		c.oneOf(at+".group.state", string(g.State), string(Subscribed), string(Unsubscribed))
	}
}

// conditions are what attributes of a kind can be compared with, by their names in JSON.
var conditions = map[AttributeKind][]string{
	KindText: {"one_of", "contains"}, KindState: {"one_of"}, KindNumber: {"at_least", "at_most"}, KindTime: {"after", "before"}, KindDay: {"after", "before"},
}

func (c *filterCheck) attribute(at string, x Condition) {
	a, ok := AttributeNamed(x.Name)
	if !ok {
		var names []string
		for _, a := range Attributes() {
			names = append(names, a.Name)
		}
		c.oneOf(at+".name", x.Name, names...)
		return
	}
	for i, v, t := 0, reflect.ValueOf(x), reflect.TypeFor[Condition](); i < v.NumField(); i++ {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "name" && !v.Field(i).IsZero() && !slices.Contains(conditions[a.Kind], name) {
			c.problem(at+"."+name, "invalid", "field.filter_not_so", "{name} is not compared so, but with {valid}.", "name", a.Name, "valid", strings.Join(conditions[a.Kind], ", "))
		}
	}
	if a.Kind == KindState {
		for i, s := range x.OneOf {
			c.oneOf(index(at+".one_of", i), s, string(OptedIn), string(Subscribed), string(Unsubscribed))
		}
	}
	if c.given && a.Identifies {
		x = c.unmasked(at, x)
	}
	c.condition(at, x, false)
}

// unmasked is a problem of each value that is hidden. It gives the rest of x to check.
func (c *filterCheck) unmasked(at string, x Condition) Condition {
	hidden := func(at string) {
		c.problem(at, "masked", "field.filter_masked", "This stands for a value that is hidden. A filter that comes back as it was shown stays as it is; otherwise the value is needed.")
	}
	for i, s := range x.OneOf {
		if s == masked {
			hidden(index(at+".one_of", i))
		}
	}
	if x.Contains != nil && *x.Contains == masked {
		hidden(at + ".contains")
	}
	if x.After == masked {
		hidden(at + ".after")
		x.After = ""
	}
	if x.Before == masked {
		hidden(at + ".before")
		x.Before = ""
	}
	return x
}

func (c *filterCheck) oneOf(at, got string, valid ...string) {
	if !slices.Contains(valid, got) {
		c.add(oneOf(at, got[:min(len(got), maxName)], valid...))
	}
}

// condition checks what something has to be; blank: which may be a text without a character.
func (c *filterCheck) condition(at string, x Condition, blank bool) {
	switch {
	case x.OneOf != nil && len(x.OneOf) == 0:
		c.problem(at+".one_of", "required", "field.filter_values", "At least one value is needed.")
	case len(x.OneOf) > maxFilterValues:
		c.problem(at+".one_of", "too_large", "field.filter_many", "There are at most {most} values.", "most", maxFilterValues)
	case c.values+len(x.OneOf) > maxFilterTotal:
		if c.values <= maxFilterTotal {
			c.problem(at+".one_of", "too_large", "field.filter_total", "A filter has at most {most} values in all.", "most", maxFilterTotal)
		}
		c.values = maxFilterTotal + 1
	default:
		c.values += len(x.OneOf)
		for i, s := range x.OneOf {
			if s != "" || !blank {
				c.text(index(at+".one_of", i), s)
			}
		}
	}
	if x.Contains != nil {
		c.text(at+".contains", *x.Contains)
	}
	if x.Has != nil && (*x.Has != "" || !blank) {
		c.text(at+".has", *x.Has)
	}
	numbers(c, at, "at_most", x.AtLeast, x.AtMost)
	c.moments(at, "after", "before", x.After, x.Before)
}

func (c *filterCheck) deeds(at string, d Deeds) {
	c.text(at+".name", d.Name)
	numbers(c, at, "at_most", d.AtLeast, d.AtMost)
	if d.AtMost != nil && *d.AtMost < 0 {
		c.problem(at+".at_most", "out_of_range", "field.filter_never", "Nothing is done less than 0 times.")
	}
	numbers(c, at, "revenue_at_most", d.RevenueAtLeast, d.RevenueAtMost)
	c.moments(at, "first_after", "first_before", d.FirstAfter, d.FirstBefore)
	c.moments(at, "last_after", "last_before", d.LastAfter, d.LastBefore)
}

func (c *filterCheck) message(at string, m MessageDeed) {
	named := 0
	for _, n := range []string{string(m.Channel), m.Campaign, m.Canvas, m.Step} {
		if n != "" {
			named++
		}
	}
	if named != 1 {
		c.problem(at, "required", "field.filter_message", "Name one channel, campaign, Canvas or step.")
		return
	}
	kind, name := m.Of()
	if kind == 0 {
		var media []string
		for _, x := range Media() {
			media = append(media, string(x))
		}
		c.oneOf(at+".channel", name, media...)
	} else {
		c.text(at, name)
	}
	c.oneOf(at+".did", m.Did, messageDeeds[kind]...)
	if m.Did == DidConvert && (m.After != "" || m.Before != "") {
		c.problem(at, "invalid", "field.filter_timeless", "It is not known when somebody converted.")
	}
	c.moments(at, "after", "before", m.After, m.Before)
}

// text is a problem of what no name and no value can be.
func (c *filterCheck) text(at, s string) {
	switch {
	case s == "":
		c.problem(at, "required", "field.filter_text", "A text is needed.")
	case len(s) > maxFilterText:
		c.problem(at, "too_long", "field.filter_long", "A text has at most {most} bytes.", "most", maxFilterText)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		c.problem(at, "invalid", "field.filter_control", "The text holds characters that are not printable.")
	}
}

// numbers is a problem of a range that nothing lies in.
func numbers[N int64 | float64](c *filterCheck, at, most string, from, to *N) {
	if from != nil && to != nil && *from > *to {
		c.problem(at+"."+most, "out_of_range", "field.filter_range", "{to} is less than {from}: nobody is between.", "to", fmt.Sprint(*to), "from", fmt.Sprint(*from))
	}
}

// moments is a problem of what is no time, and of a span that nothing lies in.
func (c *filterCheck) moments(at, after, before string, from, to Moment) {
	good := true
	for _, p := range []struct {
		name string
		m    Moment
	}{{after, from}, {before, to}} {
		if _, ok := p.m.At(time.Time{}); p.m != "" && !ok {
			good = false
			c.problem(at+"."+p.name, "invalid_time", "field.filter_time", "A time is written as 2026-11-22T10:00:00Z, or as days from now: -30d, +7d.")
		}
	}
	_, days1 := from.days()
	_, days2 := to.days()
	if good && from != "" && to != "" && days1 == days2 { // whether one of each kind makes sense, time tells
		a, _ := from.At(time.Time{})
		b, _ := to.At(time.Time{})
		if !a.Before(b) {
			c.problem(at+"."+before, "out_of_range", "field.filter_span", "The end lies before the beginning.")
		}
	}
}
