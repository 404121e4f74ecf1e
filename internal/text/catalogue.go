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

// parts are the files that a language's catalogue consists of, each LANGUAGE.json with something before it.
var parts = []string{"", "event.", "field.", "filter.", "page.", "page.campaign.", "page.current.", "page.export.", "page.form.", "page.help.", "page.home.", "page.me.", "page.partner.", "page.people.", "page.person.", "page.segment."}

// partName is the name of a part's file.
func partName(part string, l Language) string { return "catalogue/" + part + string(l) + ".json" }

// catalogues are the sentences by language and key.
var catalogues = func() map[Language]map[string]entry {
	all := map[Language]map[string]entry{}
	for _, l := range Languages() {
		all[l] = map[string]entry{}
		for _, part := range parts {
			b, err := files.ReadFile(partName(part, l))
			if err == nil {
				c := all[l]
				err = json.Unmarshal(b, &c)
			}
			if err != nil {
				panic(fmt.Sprintf("text: %s, which is part of the program, cannot be read: %v", partName(part, l), err))
			}
		}
	}
	return all
}()
