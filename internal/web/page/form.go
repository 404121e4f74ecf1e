package page

import (
	"maps"
	"slices"
	"strings"
)

// form is fields in their order, sent to a page of ours.
type form struct {
	Action  string
	Intro   []string
	Problem *banner // what was wrong with the whole
	Hidden  []hidden
	Parts   []part
	Buttons []button
	Enter   bool // the enter key means the first of Buttons, though others stand among the parts
}

type hidden struct{ Name, Value string }

// part is one thing of a form: the one that is set.
type part struct {
	// When is the choice that it is for: role or key of the field "method", own of "destination.same_as" if that names
	// nothing, some of "all" if that is off. Empty: it always shows.
	When    string
	Heading string
	Text    string
	Field   *field
	Pair    []field
	Choices *choices
	Check   *check
	Tree    *tree
	Code    *code
	Line    *line
	Pairs   pairs
	Formats *formatted
	Help    *help
	Banner  *banner
	Fold    *fold
	Live    *live
	Table   *table
	Parts   []part

	Transforms *transforms
	Conditions *conditions
}

// fold is parts that open when they are wanted.
type fold struct {
	Title string
	Open  bool
	Parts []part
}

// live is parts that are made anew while fields are typed that name its id.
type live struct {
	ID    string
	Parts []part
}

// formPage is a page that is one form.
type formPage struct {
	Frame frame
	Form  form
}

// wrong gives the banner of a form that is shown again; problems of fields stand beside them, so for these it only says
// that there are some.
func (v *visit) wrong(err error) *banner {
	if err == nil {
		return nil
	}
	b := &banner{Tone: bad, Icon: "circle-alert", Title: v.message(err), Actions: v.waysOut(err)}
	if len(v.problems(err)) > 0 {
		b.Title = v.t("page.form_wrong")
	}
	if hint := v.hint(err); hint != "" && !ofField(err) {
		b.Texts = []string{hint}
	}
	return b
}

// Wrong gives the banner of what was wrong, with the way to each field that is.
func (f form) Wrong() *banner {
	if f.Problem == nil {
		return nil
	}
	b := *f.Problem
	b.Links = wrongFields(f.Parts)
	return &b
}

// wrongFields gives the fields that are wrong, in the order in which they stand.
func wrongFields(parts []part) (out []link) {
	add := func(id, label, wrong string) {
		if wrong != "" {
			out = append(out, link{strings.TrimSuffix(label, ":") + ": " + wrong, "#" + id})
		}
	}
	for _, p := range parts {
		if x := p.Field; x != nil {
			add(x.Name, x.Label, x.Error)
		}
		for _, x := range p.Pair {
			add(x.Name, x.Label, x.Error)
		}
		if x := p.Choices; x != nil {
			add(x.Name, x.Legend, x.Error)
		}
		if x := p.Check; x != nil {
			add(x.Name, x.Label, x.Error)
		}
		if x := p.Tree; x != nil {
			add(x.Name, x.Legend, x.Error)
		}
		if x := p.Conditions; x != nil {
			add("conditions", x.Legend, x.Error)
			for _, g := range x.Groups {
				for _, r := range g.Rows {
					add(r.ID, r.Label, r.Error)
				}
			}
		}
		if x := p.Transforms; x != nil {
			for _, r := range x.Rows {
				add(x.ID, x.Legend, r.Error)
			}
		}
		if p.Fold != nil {
			out = append(out, wrongFields(p.Fold.Parts)...)
		}
		if p.Live != nil {
			out = append(out, wrongFields(p.Live.Parts)...)
		}
		out = append(out, wrongFields(p.Parts)...)
	}
	return out
}

// unplaced adds to the banner the problems of fields that the form does not have, so that none is lost.
func (f *form) unplaced(problems map[string]string) {
	for name, message := range problems {
		if f.Problem != nil && !f.has(name) {
			f.Problem.Texts = append(f.Problem.Texts, name+": "+message)
		}
	}
}

func (f *form) has(name string) bool { return within(f.Parts, name) }

// within reports whether a field with that name is among the parts.
func within(parts []part, name string) bool {
	for _, p := range parts {
		if p.Field != nil && p.Field.Name == name || p.Choices != nil && p.Choices.Name == name || p.Tree != nil && (p.Tree.Name == name || strings.HasPrefix(name, p.Tree.Name+"[")) || p.Fold != nil && within(p.Fold.Parts, name) || within(p.Parts, name) || p.Check != nil && p.Check.Name == name || p.Transforms.has(name) {
			return true
		}
		for _, x := range p.Pair {
			if x.Name == name {
				return true
			}
		}
	}
	return false
}

// has reports whether name is a field of the rows.
func (t *transforms) has(name string) bool { return t != nil && strings.HasPrefix(name, t.ID+"[") }

// sortedKeys gives the keys of a map in their order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
