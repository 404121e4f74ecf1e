package profile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// custom changes custom attributes, and the rows by which filters find them. A change that does not fit what is there (a
// number added to a text) is passed over, as the vendor does; the others are made.
func (b *batch) custom(rec record, p *person, changes []control.CustomChange) error {
	if len(changes) == 0 {
		return nil
	}
	all := p.readCustom()
	for _, c := range changes {
		was, had := all[c.Name]
		now, ok := changed(was, c)
		if !ok || had && bytes.Equal(was, now) {
			continue
		}
		p.change(control.PartMore)
		if now == nil {
			delete(all, c.Name)
		} else {
			all[c.Name] = now
		}
		if err := b.rows(rec, p, c.Name, was, now); err != nil {
			return err
		}
	}
	if p.Changed&control.PartMore != 0 {
		size := 0
		for name, v := range all {
			size += len(name) + len(v)
		}
		if size > 2*maxCustom {
			return fault.New(fault.TooLarge, "", "the person's custom attributes are larger than %d bytes", maxCustom)
		}
	}
	return nil
}

// rows keeps what filters compare: for each scalar of the value one row, under a name with dots for what is within
// objects.
func (b *batch) rows(rec record, p *person, name string, was, now json.RawMessage) error {
	old, fresh := map[string]compared{}, map[string]compared{}
	flatten(name, was, 0, old)
	flatten(name, now, 0, fresh)
	for n := range old {
		if _, stays := fresh[n]; !stays {
			fresh[n] = compared{}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(fresh)) {
		id, err := b.name(rec, control.NameAttribute, n, "", 0)
		if err != nil {
			return err
		}
		v := fresh[n]
		b.attributes[rowKey{id, p.Row}] = control.PersonAttribute{Name: id, Person: p.Row, Number: v.number, Text: v.text}
	}
	return nil
}

// compared is a value as filters compare it.
type compared struct {
	number *float64
	text   *string
}

// Bounds of what filters see of one attribute.
const (
	maxDepth = 4
	maxText  = 1024
)

// flatten adds the rows of a value.
func flatten(name string, value json.RawMessage, depth int, to map[string]compared) {
	if len(value) == 0 {
		return
	}
	switch value[0] {
	case 'n':
	case 't', 'f':
		n := 0.0
		if value[0] == 't' {
			n = 1
		}
		to[name] = compared{number: &n}
	case '"':
		var s string
		if json.Unmarshal(value, &s) != nil {
			return
		}
		c := compared{text: new(clean(s))}
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			c.number = new(float64(t.UnixMilli()))
		}
		to[name] = c
	case '[':
		var items []json.RawMessage
		if json.Unmarshal(value, &items) != nil {
			return
		}
		var b strings.Builder
		for _, i := range items {
			s := string(i)
			if i[0] == '"' {
				_ = json.Unmarshal(i, &s) // it is a text: the array was read whole
			} else if i[0] == '{' || i[0] == '[' {
				continue
			}
			b.WriteString(control.ItemBetween + s)
		}
		if b.Len() > 0 {
			b.WriteString(control.ItemBetween)
		}
		to[name] = compared{text: new(clean(b.String()))}
	case '{':
		var fields map[string]json.RawMessage
		if depth == maxDepth || json.Unmarshal(value, &fields) != nil {
			return
		}
		for n, v := range fields {
			flatten(name+"."+n, v, depth+1, to)
		}
	default:
		var n float64
		if json.Unmarshal(value, &n) == nil && !math.IsInf(n, 0) {
			to[name] = compared{number: &n}
		}
	}
}

// clean gives a text that every database can hold.
func clean(s string) string {
	s = s[:min(len(s), maxText)]
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
}

// changed gives what becomes of a value; nil: it goes. false: the change does not fit.
func changed(was json.RawMessage, c control.CustomChange) (json.RawMessage, bool) {
	switch c.Do {
	case control.CustomSet:
		return compact(c.Value)
	case control.CustomUnset:
		return nil, true
	case control.CustomInc:
		var n, by json.Number
		if len(was) > 0 && json.Unmarshal(was, &n) != nil || json.Unmarshal(c.Value, &by) != nil {
			return nil, false
		}
		return add(n, by)
	case control.CustomAdd, control.CustomRemove:
		return items(was, c)
	case control.CustomMerge:
		var into, from map[string]any
		if len(was) > 0 && read(was, &into) != nil || read(c.Value, &from) != nil {
			return nil, false
		}
		return write(merged(into, from))
	case control.CustomEdit:
		return edit(was, c.Value)
	}
	return nil, false
}

// read keeps numbers as they were written.
func read(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(to)
}

func write(v any) (json.RawMessage, bool) {
	b, err := json.Marshal(v)
	return b, err == nil
}

func compact(b []byte) (json.RawMessage, bool) {
	var out bytes.Buffer
	err := json.Compact(&out, b)
	return out.Bytes(), err == nil
}

// add adds whole numbers as such, so that none loses its last digits.
func add(n, by json.Number) (json.RawMessage, bool) {
	if n == "" {
		n = "0"
	}
	a, err1 := n.Int64()
	b, err2 := by.Int64()
	if err1 == nil && err2 == nil && (b <= 0 || a <= math.MaxInt64-b) && (b >= 0 || a >= math.MinInt64-b) {
		return json.RawMessage(fmt.Sprint(a + b)), true
	}
	x, err1 := n.Float64()
	y, err2 := by.Float64()
	if err1 != nil || err2 != nil || math.IsInf(x+y, 0) {
		return nil, false
	}
	return write(x + y)
}

// items adds items to an array, or takes them away. Items are told apart by their text; one that is added again moves
// to the end, and of too many the last are kept, as of an array that is set.
func items(was json.RawMessage, c control.CustomChange) (json.RawMessage, bool) {
	var list, some []json.RawMessage
	if len(was) > 0 && json.Unmarshal(was, &list) != nil || json.Unmarshal(c.Value, &some) != nil {
		return nil, false
	}
	for _, x := range some {
		list = slices.DeleteFunc(list, func(y json.RawMessage) bool { return bytes.Equal(x, y) })
		if c.Do == control.CustomAdd {
			list = newest(append(list, x))
		}
	}
	if list == nil {
		list = []json.RawMessage{}
	}
	return write(list)
}

// merged puts from into into, at every depth; null takes away.
func merged(into, from map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for k, v := range from {
		a, ok1 := into[k].(map[string]any)
		b, ok2 := v.(map[string]any)
		switch {
		case ok1 && ok2:
			into[k] = merged(a, b)
		case v == nil:
			delete(into, k)
		default:
			into[k] = v
		}
	}
	return into
}

// edit changes an array of objects.
func edit(was, value json.RawMessage) (json.RawMessage, bool) {
	var list []any
	type identified struct {
		Key    string         `json:"$identifier_key"`
		Value  any            `json:"$identifier_value"`
		Object map[string]any `json:"$new_object"`
	}
	var do struct {
		Add    []any        `json:"$add"`
		Update []identified `json:"$update"`
		Remove []identified `json:"$remove"`
	}
	if len(was) > 0 && read(was, &list) != nil || read(value, &do) != nil {
		return nil, false
	}
	is := func(x any, i identified) bool {
		o, ok := x.(map[string]any)
		return ok && fmt.Sprint(o[i.Key]) == fmt.Sprint(i.Value)
	}
	list = append(list, do.Add...)
	for _, u := range do.Update {
		for n, x := range list {
			if is(x, u) {
				list[n] = merged(x.(map[string]any), u.Object)
			}
		}
	}
	for _, d := range do.Remove {
		list = slices.DeleteFunc(list, func(x any) bool { return is(x, d) })
	}
	if list == nil {
		list = []any{}
	}
	return write(list)
}
