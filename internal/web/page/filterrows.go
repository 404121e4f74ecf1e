package page

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
)

// filterRows is a filter as the editor draws it: rows in groups. What is deeper than that, or made otherwise than by the
// operators of the vocabulary, has no such form and is written as JSON.
type filterRows struct {
	join   string // of the groups: all or any
	groups []rowGroup
}

// rowGroup is rows that are joined; none of them is empty.
type rowGroup struct {
	join string
	rows []filterRow
}

// filterRow is a leaf as typed.
type filterRow struct {
	kind, name, did, operator string
	values                    [2]string // of what the operator takes, in its order
}

// vocabulary is of what filters are made.
type vocabulary struct{ client.FilterVocabulary }

// chosen gives the one of that name, or else the first.
func chosen[T any](all []T, name string, nameOf func(T) string) (x T) {
	if i := slices.IndexFunc(all, func(x T) bool { return nameOf(x) == name }); i >= 0 {
		return all[i]
	}
	if len(all) > 0 {
		return all[0]
	}
	return x
}

func choiceName(c client.FilterChoice) string          { return c.Name }
func operatorName(o client.FilterOperator) string      { return o.Name }
func (vocabulary) kindName(k client.FilterKind) string { return k.Name }

// settle gives a row in which everything goes together, and what it is made of: where it does not, the first that does
// takes its place.
func (w vocabulary) settle(r filterRow) (filterRow, client.FilterKind, []client.FilterOperator, client.FilterOperator) {
	k := chosen(w.Kinds, r.kind, w.kindName)
	of := k.Type
	if r.kind = k.Name; len(k.Names) > 0 {
		n := chosen(k.Names, r.name, choiceName)
		r.name, of = n.Name, of+n.Type
	}
	if len(k.Deeds) > 0 {
		d := chosen(k.Deeds, r.did, choiceName)
		r.did, of = d.Name, d.Type
	} else {
		r.did = ""
	}
	operators := chosen(w.Types, of, func(t client.FilterType) string { return t.Name }).Operators
	o := chosen(operators, r.operator, operatorName)
	r.operator = o.Name
	return r, k, operators, o
}

// valueProblems are what is wrong with a value that cannot be sent as it was typed.
var valueProblems = map[string]string{
	"number": "page.segment_no_number", "count": "page.segment_no_count", "days": "page.segment_no_days", "moment": "page.segment_no_date", "states": "page.segment_no_value",
}

// refusedFilter stands for what cannot be sent as it was typed: the API refuses it wherever it stands, with all else that is
// wrong, so that nothing else than what was typed is saved.
var refusedFilter = client.Filter{Not: &client.Filter{}}

// leaf makes the filter of a row; problem is the key of what is wrong with it, empty: nothing is, as far as can be seen here.
func (w vocabulary) leaf(r filterRow) (f client.Filter, problem string) {
	r, k, _, o := w.settle(r)
	fields := map[string]any{k.Naming: r.name}
	if r.did != "" {
		fields["did"] = r.did
	}
	for i, take := range o.Takes {
		v, good := takeValue(take, r.values[min(i, 1)])
		if !good {
			problem = valueProblems[take.Value]
			continue
		}
		fields[take.Field] = v
	}
	if problem != "" {
		return refusedFilter, problem
	}
	b, err := json.Marshal(map[string]any{k.Leaf: fields})
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		panic("page: the vocabulary makes no filter: " + err.Error()) // a test makes each
	}
	if o.Not {
		return client.Filter{Not: new(f)}, ""
	}
	return f, ""
}

// takeValue reads what was typed as the value of a field.
func takeValue(take client.FilterTake, typed string) (v any, good bool) {
	trimmed := strings.TrimSpace(typed)
	switch take.Value {
	case "fixed":
		return take.Fixed, true
	case "texts":
		values := []string{}
		for s := range strings.Lines(typed) {
			if s = strings.TrimSpace(s); s != "" {
				values = append(values, s)
			}
		}
		return values, true
	case "states":
		return strings.Fields(typed), trimmed != ""
	case "number":
		n, err := strconv.ParseFloat(strings.Replace(trimmed, ",", ".", 1), 64)
		return n, err == nil && n-n == 0 // finite
	case "count":
		n, err := strconv.ParseInt(trimmed, 10, 64)
		return n, err == nil
	case "days":
		n, err := strconv.ParseUint(trimmed, 10, 31)
		return fmt.Sprintf("-%dd", n), err == nil
	case "moment":
		if _, err := time.Parse(time.DateOnly, trimmed); err == nil {
			trimmed += "T00:00:00Z"
		}
		return trimmed, trimmed != ""
	}
	return trimmed, true
}

// typedValue is takeValue the other way round; false if the field's value is none that it makes.
func typedValue(take client.FilterTake, v any) (string, bool) {
	text, isText := v.(string)
	number, isNumber := v.(float64)
	list, _ := v.([]any)
	switch take.Value {
	case "fixed":
		return "", v == take.Fixed
	case "texts", "states":
		if slices.Contains(list, any("")) { // a line that is empty is none
			return "", false
		}
		between, all := "\n", []string{}
		if take.Value == "states" {
			between = " "
		}
		for _, x := range list {
			s, _ := x.(string)
			all = append(all, s)
		}
		return strings.Join(all, between), len(all) > 0
	case "number", "count":
		return strconv.FormatFloat(number, 'f', -1, 64), isNumber
	case "days":
		n, is := strings.CutSuffix(text, "d")
		n, past := strings.CutPrefix(n, "-")
		return n, is && past
	case "moment":
		return strings.TrimSuffix(text, "T00:00:00Z"), isText
	}
	return text, isText
}

// build makes the filter of rows. at is where each row stands in it, as problems name their fields; problems are keys, by
// row.
func (w vocabulary) build(x filterRows) (f client.Filter, at []string, problems map[int]string) {
	problems = map[int]string{}
	var groups []client.Filter
	for g, group := range x.groups {
		before := "filter"
		if len(x.groups) > 1 {
			before += fmt.Sprintf(".%s[%d]", x.join, g)
		}
		var leaves []client.Filter
		for i, r := range group.rows {
			leaf, problem := w.leaf(r)
			if problem != "" {
				problems[len(at)] = problem
			}
			leaves = append(leaves, leaf)
			if len(group.rows) > 1 {
				at = append(at, fmt.Sprintf("%s.%s[%d]", before, group.join, i))
			} else {
				at = append(at, before)
			}
		}
		groups = append(groups, joined(group.join, leaves))
	}
	return joined(x.join, groups), at, problems
}

func joined(join string, list []client.Filter) client.Filter {
	switch {
	case len(list) == 0:
		return client.Filter{}
	case len(list) == 1:
		return list[0]
	case join == "any":
		return client.Filter{Any: list}
	}
	return client.Filter{All: list}
}

// parts gives what a node joins, and how; nil if it is a leaf.
func parts(f client.Filter) (list []client.Filter, join string) {
	if len(f.Any) > 0 {
		return f.Any, "any"
	}
	return f.All, "all"
}

// draw gives a filter as rows; false if it cannot be drawn.
func (w vocabulary) draw(f client.Filter) (x filterRows, ok bool) {
	x.join = "all"
	if f.All == nil && f.Any == nil && f.Not == nil && f.Attribute == nil && f.Custom == nil && f.Event == nil && f.Purchase == nil && f.Message == nil && f.Group == nil {
		return x, true
	}
	list, join := parts(f)
	if list == nil {
		list = []client.Filter{f}
	}
	if rows, ok := w.rowsOf(list, join); ok {
		x.groups = []rowGroup{{join, rows}}
		return x, true
	}
	x.join = join
	for _, part := range list {
		list, join := parts(part)
		if list == nil {
			list = []client.Filter{part}
			if part.Not != nil {
				join = "any"
			}
		}
		rows, ok := w.rowsOf(list, join)
		if !ok {
			return x, false
		}
		x.groups = append(x.groups, rowGroup{join, rows})
	}
	return x, true
}

// rowsOf draws leaves that are joined. A leaf that says several things at once is one row for each, where that is the same.
func (w vocabulary) rowsOf(list []client.Filter, join string) (rows []filterRow, ok bool) {
	for _, f := range list {
		not, fits := f.Not != nil, "all"
		if not {
			f, fits = *f.Not, "any"
		}
		some, ok := w.leafRows(f, not, join == fits)
		if !ok {
			return nil, false
		}
		rows = append(rows, some...)
	}
	return rows, true
}

// leafRows draws one leaf, as several rows if it may be split.
func (w vocabulary) leafRows(f client.Filter, not, split bool) (rows []filterRow, ok bool) {
	b, err := json.Marshal(f)
	var leaf map[string]map[string]any
	if err != nil || json.Unmarshal(b, &leaf) != nil || len(leaf) != 1 { // it joins others
		return nil, false
	}
	for _, k := range w.Kinds {
		fields := leaf[k.Leaf]
		name, named := fields[k.Naming].(string)
		if !named {
			continue
		}
		did, _ := fields["did"].(string)
		delete(fields, k.Naming)
		if len(k.Deeds) > 0 {
			delete(fields, "did")
		}
		base := filterRow{kind: k.Name, name: name, did: did}
		settled, _, operators, _ := w.settle(base)
		if settled.name != name || settled.did != did {
			return nil, false
		}
		if r, ok := base.by(operators, not, fields); ok {
			return []filterRow{r}, true
		}
		if !split {
			return nil, false
		}
		for _, field := range sortedKeys(fields) {
			r, ok := base.by(operators, not, map[string]any{field: fields[field]})
			if !ok {
				return nil, false
			}
			rows = append(rows, r)
		}
		return rows, true
	}
	return nil, false
}

// by gives the row with the operator that makes just these fields.
func (r filterRow) by(operators []client.FilterOperator, not bool, fields map[string]any) (filterRow, bool) {
	for _, o := range operators {
		good := o.Not == not && len(o.Takes) == len(fields)
		r.operator, r.values = o.Name, [2]string{}
		for i := 0; good && i < len(o.Takes); i++ {
			v, there := fields[o.Takes[i].Field]
			r.values[min(i, 1)], good = typedValue(o.Takes[i], v)
			good = good && there
		}
		if good {
			return r, true
		}
	}
	return r, false
}
