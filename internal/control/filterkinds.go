package control

// FilterKind is a kind of leaves of filters, as people choose it: what it names, and what can be asked of that.
type FilterKind struct {
	Name   string
	Key    string       // of its title in the catalogues
	Leaf   string       // the field of Filter that it is
	Naming string       // the field of the leaf that names what is meant
	Names  []FilterName // what can be named; nil: what the workspace's events have named, of Named
	Named  NameKind     //
	Deeds  []FilterName // what can be done with it, the leaf's field did; nil: nothing
	Type   string       // by which FilterTypes has the operators; empty: each of Names or Deeds has its own
}

// FilterName is something that a kind of leaves names.
type FilterName struct {
	Name string
	Key  string // of its title in the catalogues
	Type string // by which FilterTypes has the operators; empty: the kind has one
	// Identifies says that it is an attribute of that nature.
	Identifies bool
}

// FilterType are the operators by which values of one type are asked for.
type FilterType struct {
	Name      string
	Operators []FilterOperator
}

// FilterOperator makes a leaf of what is named and of what Takes says. Two operators of a type never make the same leaf.
type FilterOperator struct {
	Name  string
	Key   string // of its title in the catalogues
	Not   bool   // the leaf stands under not
	Takes []FilterTake
}

// FilterTake is a field of a leaf that an operator fills.
type FilterTake struct {
	Field string
	Value FilterValue
	Fixed any // what it always is, with ValueFixed
}

// FilterValue is what the value of a field is.
type FilterValue string

// The values.
const (
	ValueFixed  FilterValue = "fixed"
	ValueText   FilterValue = "text"
	ValueTexts  FilterValue = "texts"  // a list
	ValueStates FilterValue = "states" // a list of FilterStates
	ValueNumber FilterValue = "number"
	ValueCount  FilterValue = "count"  // a whole number
	ValueDays   FilterValue = "days"   // so many days ago: a Moment as -30d
	ValueMoment FilterValue = "moment" // any Moment
)

// FilterStates are the states of subscriptions.
func FilterStates() []FilterName {
	return []FilterName{
		{Name: string(OptedIn), Key: "filter.state_opted_in"}, {Name: string(Subscribed), Key: "filter.state_subscribed"}, {Name: string(Unsubscribed), Key: "filter.state_unsubscribed"},
	}
}

// mediaKeys are of the titles of media.
var mediaKeys = map[Medium]string{
	MediumEmail: "filter.channel_email", MediumPush: "filter.channel_push", MediumInApp: "filter.channel_in_app", MediumContentCard: "filter.channel_content_card",
	MediumSMS: "filter.channel_sms", MediumWhatsApp: "filter.channel_whatsapp", MediumLine: "filter.channel_line", MediumRCS: "filter.channel_rcs",
	MediumBanner: "filter.channel_banner", MediumWebhook: "filter.channel_webhook",
}

// deedKeys are of the titles of what can be done with messages.
var deedKeys = map[string]string{
	DidReceive: "filter.deed_received", DidOpen: "filter.deed_opened", DidClick: "filter.deed_clicked", DidEnter: "filter.deed_entered",
	DidExit: "filter.deed_exited", DidConvert: "filter.deed_converted",
}

// FilterKinds lists the kinds of leaves in the order in which they are shown.
func FilterKinds() []FilterKind {
	var attributes, media []FilterName
	for _, a := range Attributes() {
		attributes = append(attributes, FilterName{a.Name, a.Key, string(a.Kind), a.Identifies})
	}
	for _, m := range Media() {
		media = append(media, FilterName{Name: string(m), Key: mediaKeys[m]})
	}
	deeds := func(of NameKind) (all []FilterName) {
		for _, d := range messageDeeds[of] {
			t := "message"
			if d == DidConvert {
				t = "conversion"
			}
			all = append(all, FilterName{Name: d, Key: deedKeys[d], Type: t})
		}
		return all
	}
	return []FilterKind{
		{Name: "attribute", Key: "filter.kind_attribute", Leaf: "attribute", Naming: "name", Names: attributes},
		{Name: "custom", Key: "filter.kind_custom", Leaf: "custom", Naming: "name", Named: NameAttribute, Type: "custom"},
		{Name: "event", Key: "filter.kind_event", Leaf: "event", Naming: "name", Named: NameEvent, Type: "event"},
		{Name: "purchase", Key: "filter.kind_purchase", Leaf: "purchase", Naming: "name", Named: NameProduct, Type: "purchase"},
		{Name: "channel", Key: "filter.kind_channel", Leaf: "message", Naming: "channel", Names: media, Deeds: deeds(0)},
		{Name: "campaign", Key: "filter.kind_campaign", Leaf: "message", Naming: "campaign", Named: NameCampaign, Deeds: deeds(NameCampaign)},
		{Name: "canvas", Key: "filter.kind_canvas", Leaf: "message", Naming: "canvas", Named: NameCanvas, Deeds: deeds(NameCanvas)},
		{Name: "step", Key: "filter.kind_step", Leaf: "message", Naming: "step", Named: NameStep, Deeds: deeds(NameStep)},
		{Name: "group", Key: "filter.kind_group", Leaf: "group", Naming: "id", Named: NameGroup, Type: "group"},
	}
}

// spans are the operators of a time that stands between the fields after and before. Whoever has no such time is not in
// any of them, but for the one that is a not.
func spans(prefix, after, before string, keys [6]string) []FilterOperator {
	return []FilterOperator{
		{Name: prefix + "in_last", Key: keys[0], Takes: []FilterTake{{Field: after, Value: ValueDays}}},
		{Name: prefix + "not_in_last", Key: keys[1], Not: true, Takes: []FilterTake{{Field: after, Value: ValueDays}}},
		{Name: prefix + "over_ago", Key: keys[2], Takes: []FilterTake{{Field: before, Value: ValueDays}}},
		{Name: prefix + "from", Key: keys[3], Takes: []FilterTake{{Field: after, Value: ValueMoment}}},
		{Name: prefix + "until", Key: keys[4], Takes: []FilterTake{{Field: before, Value: ValueMoment}}},
		{Name: prefix + "between_times", Key: keys[5], Takes: []FilterTake{{Field: after, Value: ValueMoment}, {Field: before, Value: ValueMoment}}},
	}
}

// FilterTypes lists the operators of each type of values, in the order in which they are shown.
func FilterTypes() []FilterType {
	join := func(lists ...[]FilterOperator) (all []FilterOperator) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	take := func(field string, v FilterValue) []FilterTake { return []FilterTake{{Field: field, Value: v}} }
	fixed := func(field string, v any) []FilterTake { return []FilterTake{{field, ValueFixed, v}} }

	known := []FilterOperator{{Name: "known", Key: "filter.op_known"}, {Name: "unknown", Key: "filter.op_unknown", Not: true}}
	texts := []FilterOperator{
		{Name: "is", Key: "filter.op_is", Takes: take("one_of", ValueTexts)}, {Name: "is_not", Key: "filter.op_is_not", Not: true, Takes: take("one_of", ValueTexts)},
		{Name: "contains", Key: "filter.op_contains", Takes: take("contains", ValueText)}, {Name: "contains_not", Key: "filter.op_contains_not", Not: true, Takes: take("contains", ValueText)},
	}
	states := []FilterOperator{
		{Name: "is", Key: "filter.op_is", Takes: take("one_of", ValueStates)}, {Name: "is_not", Key: "filter.op_is_not", Not: true, Takes: take("one_of", ValueStates)},
	}
	numbers := []FilterOperator{
		{Name: "at_least", Key: "filter.op_at_least", Takes: take("at_least", ValueNumber)}, {Name: "at_most", Key: "filter.op_at_most", Takes: take("at_most", ValueNumber)},
		{Name: "between", Key: "filter.op_between", Takes: []FilterTake{{Field: "at_least", Value: ValueNumber}, {Field: "at_most", Value: ValueNumber}}},
	}
	items := []FilterOperator{
		{Name: "has", Key: "filter.op_has", Takes: take("has", ValueText)}, {Name: "has_not", Key: "filter.op_has_not", Not: true, Takes: take("has", ValueText)},
	}
	truths := []FilterOperator{
		{Name: "true", Key: "filter.op_true", Takes: fixed("is", true)}, {Name: "false", Key: "filter.op_false", Takes: fixed("is", false)},
	}
	times := spans("", "after", "before", [6]string{"filter.op_in_last", "filter.op_not_in_last", "filter.op_over_ago", "filter.op_from", "filter.op_until", "filter.op_between"})
	ever := []FilterOperator{{Name: "ever", Key: "filter.op_ever"}, {Name: "never", Key: "filter.op_never", Not: true}}
	counts := []FilterOperator{
		{Name: "at_least", Key: "filter.op_times_at_least", Takes: take("at_least", ValueCount)}, {Name: "at_most", Key: "filter.op_times_at_most", Takes: take("at_most", ValueCount)},
	}
	spent := []FilterOperator{
		{Name: "spent_at_least", Key: "filter.op_spent_at_least", Takes: take("revenue_at_least", ValueNumber)},
		{Name: "spent_at_most", Key: "filter.op_spent_at_most", Takes: take("revenue_at_most", ValueNumber)},
	}
	done := join(spans("last_", "last_after", "last_before", [6]string{"filter.op_in_last", "filter.op_not_in_last", "filter.op_last_over_ago", "filter.op_last_from", "filter.op_last_until", "filter.op_last_between"}),
		spans("first_", "first_after", "first_before", [6]string{"filter.op_first_in_last", "filter.op_first_not_in_last", "filter.op_first_over_ago", "filter.op_first_from", "filter.op_first_until", "filter.op_first_between"}))
	return []FilterType{
		{string(KindText), join(texts, known)},
		{string(KindState), join(states, known)},
		{string(KindNumber), numbers},
		{string(KindTime), join(times, known)},
		{string(KindDay), join(times[3:], known)},
		{"custom", join(texts, items, truths, numbers, times, known)},
		{"event", join(ever, counts, done)},
		{"purchase", join(ever, counts, spent, done)},
		{"message", join(ever, times)},
		{"conversion", ever},
		{"group", []FilterOperator{
			{Name: "subscribed", Key: "filter.op_subscribed", Takes: fixed("state", string(Subscribed))},
			{Name: "unsubscribed", Key: "filter.op_unsubscribed", Takes: fixed("state", string(Unsubscribed))},
			{Name: "not_subscribed", Key: "filter.op_not_subscribed", Not: true, Takes: fixed("state", string(Subscribed))},
		}},
	}
}
