package text

import (
	"embed"
	"encoding/json"
	"fmt"
)

//go:embed catalogue/*.json
var files embed.FS

// entry is a sentence: one form, or one for each plural of a number among its parameters.
type entry struct {
	By    string `json:"by"`   // the parameter whose number decides; empty: Other is the only form
	One   string `json:"one"`  //
	Many  string `json:"many"` // whole millions, in Portuguese and Spanish ("1.000.000 de eventos")
	Other string `json:"other"`
}

// UnmarshalJSON reads a string, or an object of forms.
func (e *entry) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, &e.Other)
	}
	type plain entry
	return json.Unmarshal(b, (*plain)(e))
}

// forms gives every form that e has.
func (e entry) forms() []string {
	if e.By == "" {
		return []string{e.Other}
	}
	forms := []string{e.One, e.Other}
	if e.Many != "" {
		forms = append(forms, e.Many)
	}
	return forms
}

// choose gives the form for params. Without a number there is nothing to count: Other.
func (e entry) choose(l Language, params Params) string {
	if e.By == "" {
		return e.Other
	}
	n, ok := whole(params[e.By])
	if !ok {
		return e.Other
	}
	switch l.plural(n) {
	case one:
		return e.One
	case many:
		return e.Many
	}
	return e.Other
}

// catalogues are the sentences by language and key.
var catalogues = func() map[Language]map[string]entry {
	all := map[Language]map[string]entry{}
	for _, l := range Languages() {
		b, err := files.ReadFile("catalogue/" + string(l) + ".json")
		if err == nil {
			var c map[string]entry
			if err = json.Unmarshal(b, &c); err == nil {
				all[l] = c
				continue
			}
		}
		panic(fmt.Sprintf("text: the catalogue of %s, which is part of the program, cannot be read: %v", l, err))
	}
	return all
}()
