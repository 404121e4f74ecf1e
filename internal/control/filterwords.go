package control

import (
	"slices"
	"strconv"
	"strings"
)

// Words gives a filter as a sentence: who is meant. say gives the sentence of a key of the catalogues in the reader's
// language, with its places filled.
func (f Filter) Words(say func(key string, params map[string]any) string) string {
	w := filterWords(say)
	if words, _ := w.node(f); words != "" {
		return words
	}
	return say("filter.everybody", nil)
}

type filterWords func(key string, params map[string]any) string

// join puts parts into one by a sentence of two places, a and b.
func (w filterWords) join(key string, parts []string) string {
	var out string
	for _, p := range parts {
		if out == "" {
			out = p
			continue
		}
		out = w(key, map[string]any{"a": out, "b": p})
	}
	return out
}

// node gives a filter's words, and whether they have an and or an or that could be taken for one around them.
func (w filterWords) node(f Filter) (words string, open bool) {
	switch {
	case f.Not != nil:
		words, _ = w.node(*f.Not)
		return w("filter.not", map[string]any{"what": words}), false
	case f.Attribute != nil:
		name := f.Attribute.Name
		if a, ok := AttributeNamed(name); ok {
			name = w(a.Key, nil)
		}
		return w.condition(name, w.states(*f.Attribute))
	case f.Custom != nil:
		return w.condition(f.Custom.Name, *f.Custom)
	case f.Event != nil:
		return w.deeds("filter.did", *f.Event), false
	case f.Purchase != nil:
		return w.deeds("filter.bought", *f.Purchase), false
	case f.Message != nil:
		return w.message(*f.Message), false
	case f.Group != nil && f.Group.State == Subscribed:
		return w("filter.group_in", map[string]any{"name": f.Group.ID}), false
	case f.Group != nil:
		return w("filter.group_out", map[string]any{"name": f.Group.ID}), false
	}
	list, key := f.All, "filter.and"
	if len(f.Any) > 0 {
		list, key = f.Any, "filter.or"
	}
	parts := make([]string, len(list))
	for i, x := range list {
		if parts[i], open = w.node(x); open && len(list) > 1 {
			parts[i] = "(" + parts[i] + ")"
		}
	}
	return w.join(key, parts), open || len(list) > 1
}

// states gives a condition on a state with what its values are called.
func (w filterWords) states(c Condition) Condition {
	if a, _ := AttributeNamed(c.Name); a.Kind != KindState {
		return c
	}
	c.OneOf = slices.Clone(c.OneOf)
	for i, value := range c.OneOf {
		for _, s := range FilterStates() {
			if s.Name == value {
				c.OneOf[i] = w(s.Key, nil)
			}
		}
	}
	return c
}

func (w filterWords) condition(name string, c Condition) (words string, open bool) {
	var parts []string
	add := func(key, place string, value any) {
		parts = append(parts, w(key, map[string]any{"name": name, place: value}))
	}
	if len(c.OneOf) > 0 {
		values := slices.Clone(c.OneOf)
		for i, v := range values {
			if v == "" {
				values[i] = `""`
			}
		}
		add("filter.one_of", "values", w.join("filter.or", values))
	}
	if c.Contains != nil {
		add("filter.contains", "value", *c.Contains)
	}
	if c.Has != nil {
		add("filter.has", "value", *c.Has)
	}
	if c.Is != nil && *c.Is {
		add("filter.true", "value", nil)
	} else if c.Is != nil {
		add("filter.false", "value", nil)
	}
	if c.AtLeast != nil {
		add("filter.at_least", "value", number(*c.AtLeast))
	}
	if c.AtMost != nil {
		add("filter.at_most", "value", number(*c.AtMost))
	}
	if c.After != "" {
		add("filter.after", "when", w.moment(c.After))
	}
	if c.Before != "" {
		add("filter.before", "when", w.moment(c.Before))
	}
	if len(parts) == 0 {
		add("filter.known", "value", nil)
	}
	if open = len(c.OneOf) > 1; open && len(parts) > 1 {
		parts[0] = "(" + parts[0] + ")"
	}
	return w.join("filter.and", parts), open || len(parts) > 1
}

func (w filterWords) deeds(key string, d Deeds) string {
	var more []string
	if d.AtLeast != nil {
		more = append(more, w("filter.times_at_least", map[string]any{"n": *d.AtLeast}))
	}
	if d.AtMost != nil {
		more = append(more, w("filter.times_at_most", map[string]any{"n": *d.AtMost}))
	}
	if d.RevenueAtLeast != nil {
		more = append(more, w("filter.revenue_at_least", map[string]any{"amount": number(*d.RevenueAtLeast)}))
	}
	if d.RevenueAtMost != nil {
		more = append(more, w("filter.revenue_at_most", map[string]any{"amount": number(*d.RevenueAtMost)}))
	}
	for _, p := range []struct {
		key string
		m   Moment
	}{
		{"filter.first_after", d.FirstAfter}, {"filter.first_before", d.FirstBefore}, {"filter.last_after", d.LastAfter}, {"filter.last_before", d.LastBefore},
	} {
		if p.m != "" {
			more = append(more, w(p.key, map[string]any{"when": w.moment(p.m)}))
		}
	}
	if d.Never() {
		more = append(more, w("filter.or_never", nil))
	}
	return with(w(key, map[string]any{"name": d.Name}), more)
}

func (w filterWords) message(m MessageDeed) string {
	kind, name := m.Of()
	if kind == 0 {
		name = w(mediaKeys[m.Channel], nil)
	}
	of := map[NameKind]string{0: "filter.of_channel", NameCampaign: "filter.of_campaign", NameCanvas: "filter.of_canvas", NameStep: "filter.of_step"}[kind]
	did := map[string]string{DidReceive: "filter.received", DidOpen: "filter.opened", DidClick: "filter.clicked", DidEnter: "filter.entered", DidExit: "filter.exited",
		DidConvert: "filter.converted"}[m.Did]
	var more []string
	if m.After != "" {
		more = append(more, w("filter.since", map[string]any{"when": w.moment(m.After)}))
	}
	if m.Before != "" {
		more = append(more, w("filter.until", map[string]any{"when": w.moment(m.Before)}))
	}
	return with(w(did, map[string]any{"what": w(of, map[string]any{"name": name})}), more)
}

// with adds particulars in brackets.
func with(s string, more []string) string {
	if len(more) == 0 {
		return s
	}
	return s + " (" + strings.Join(more, ", ") + ")"
}

// moment says when.
func (w filterWords) moment(m Moment) string {
	n, relative := m.days()
	switch {
	case !relative: // of a day that is one in UTC its date says all
		return strings.TrimSuffix(string(m), "T00:00:00Z")
	case n > 0:
		return w("filter.ahead", map[string]any{"n": n})
	}
	return w("filter.ago", map[string]any{"n": -n})
}

// number writes a number as filters have it.
func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
