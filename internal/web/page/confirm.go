package page

import (
	"net/http"
	"strings"
)

// confirmation asks for a thing's name before it is destroyed.
type confirmation struct {
	Frame  frame
	Name   string   // that has to be typed; empty: nothing, what is destroyed is soon made again
	Texts  []string // what is destroyed, and what stays
	Button string   // a verb with its object
	Back   string   // where who thinks better of it goes
}

// confirm shows the question, and does it once the name was typed; do ends with where the browser goes. It serves both
// GET and POST.
func (v *visit) confirm(c confirmation, do func() error) error {
	var err error
	typed := field{Name: "confirm", Label: v.t("page.confirm_label", "name", c.Name), Value: v.form("confirm"), Autocomplete: "off", Mono: true, Required: true}
	c.Frame.Title = c.Button
	status := http.StatusOK
	if v.r.Method == http.MethodPost {
		if strings.TrimSpace(typed.Value) == c.Name {
			if err = do(); err == nil || !isInput(err) {
				return err
			}
			status = again(err)
		} else {
			typed.Error, status = v.t("page.confirm_wrong", "name", c.Name), http.StatusUnprocessableEntity
		}
	}
	var parts []part
	if c.Name != "" {
		parts = []part{{Field: &typed}}
	}
	v.show(status, "form", formPage{c.Frame, form{Intro: c.Texts, Problem: v.wrong(err), Parts: parts,
		Buttons: []button{{Text: c.Button, Kind: "danger", Icon: "trash-2"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: c.Back}}}})
	return nil
}
