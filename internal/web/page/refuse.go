package page

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/text"
	"github.com/millrace/millrace/internal/web"
)

// noticePage says one thing, and what to do now.
type noticePage struct {
	Frame  frame
	Banner banner
}

// refuse answers with the page of an error: what happened, and what to do.
func (v *visit) refuse(err error) {
	if err == errAnswered {
		return
	}
	err = v.absent(err)
	code := fault.CodeOf(err)
	if code == fault.Internal || code == fault.Corrupt {
		v.p.deps.Logger.Error("a page failed", "path", v.r.Pattern, "request_id", httpd.RequestID(v.r), "error", err)
	}
	b := banner{Tone: warn, Icon: "triangle-alert", Title: v.message(err), Actions: append(v.waysOut(err), button{Text: v.t("page.to_start"), Href: "/"})}
	if hint := v.hint(err); hint != "" {
		b.Texts = append(b.Texts, hint)
	}
	if id := httpd.RequestID(v.r); id != "" && code == fault.Internal {
		b.Texts = append(b.Texts, v.t("page.request_id", "id", id))
	}
	f := v.frame(v.t(web.Headings[code]), "")
	v.show(code.HTTP(), "notice", noticePage{f, b})
}

// absences say that what a part of an address names is not there: keys of the catalogue.
var absences = map[string]string{
	"workspace": "page.none_workspace", "current": "page.none_current", "draft": "page.none_draft", "check": "page.none_check",
	"job": "page.none_job", "file": "page.none_file", "hour": "page.none_hour", "export": "page.none_export", "segment": "page.none_segment", "campaign": "page.none_campaign",
	"key": "control.no_key", "webhook": "control.no_webhook", "member": "control.no_member", "invitation": "control.no_invitation",
}

// absent gives err a sentence of ours, by what the address names, if it says that something is not there in English alone.
func (v *visit) absent(err error) error {
	if e := fault.As(err); e == nil || e.Code != fault.NotFound || e.Msg.Key != "" {
		return err
	}
	key := "page.nothing_here"
	for _, part := range strings.FieldsFunc(v.r.Pattern, func(r rune) bool { return r == '/' || r == '{' || r == '}' }) {
		if said := absences[part]; said != "" && v.r.PathValue(part) != "" && (part != "workspace" || v.place == nil) {
			key = said
		}
	}
	for _, field := range []string{"check", "draft"} { // whose form a page is to begin with
		if v.r.URL.Query().Get(field) != "" && v.place != nil {
			key = absences[field]
		}
	}
	return &fault.Error{Code: fault.NotFound, Msg: fault.Message{Key: key, Text: text.T(text.English, key, nil)},
		Hint: fault.Message{Key: "page.none_hint", Text: text.T(text.English, "page.none_hint", nil)}, Cause: err}
}

// message says err in the visitor's language. Of errors that are ours alone the sentence stays in the log. One that has
// no key is English: whoever reads another language is told by the code.
func (v *visit) message(err error) string {
	if e := fault.As(err); e != nil && e.Code != fault.Internal && e.Code != fault.Corrupt && v.speaks(e.Msg) {
		return text.Say(v.lang, e.Msg, v.inWords(e.Params))
	}
	return v.t(web.Headings[fault.CodeOf(err)])
}

// inWords gives the params of a sentence with what pages say otherwise than the API: moments in the visitor's zone, fields as
// forms call them.
func (v *visit) inWords(params fault.Params) fault.Params {
	out := fault.Params{}
	for name, x := range params {
		switch x := x.(type) {
		case web.Moment:
			out[name] = v.lang.Time(time.Time(x), v.zone)
		case web.Fields:
			words := make([]string, len(x))
			for i, field := range x {
				words[i] = v.fieldWord(field)
			}
			out[name] = strings.Join(words, ", ")
		default:
			out[name] = x
		}
	}
	return out
}

// speaks reports whether there is such a sentence in the visitor's language.
func (v *visit) speaks(m fault.Message) bool {
	return m.Text != "" && (m.Key != "" || v.lang == text.English)
}

// waysOut lead to what err asks for.
func (v *visit) waysOut(err error) []button {
	if e := fault.As(err); e != nil && e.Msg.Key == "control.sign_in_again" {
		return []button{{Text: v.t("page.sign_in_again"), Kind: "primary", Href: "/sign-in?again=&next=" + url.QueryEscape(v.r.URL.Path)}}
	}
	return nil
}

// hint says what to do about err; empty if there is no advice.
func (v *visit) hint(err error) string {
	if e := fault.As(err); e != nil && v.speaks(e.Hint) {
		return text.Say(v.lang, e.Hint, e.Params)
	}
	return ""
}

// problems gives what is wrong with the fields of an input, by field, in the visitor's language.
func (v *visit) problems(err error) map[string]string {
	out := map[string]string{}
	if e := fault.As(err); e != nil {
		for _, p := range e.Fields {
			if out[p.Field] == "" {
				out[p.Field] = text.Problem(v.lang, p)
				if hint := v.hint(err); hint != "" && ofField(err) {
					out[p.Field] += " " + hint
				}
			}
		}
	}
	return out
}

// ofField reports whether err is the problem of one field and nothing else: then its advice stands there too.
func ofField(err error) bool {
	e := fault.As(err)
	return e != nil && len(e.Fields) == 1 && e.Fields[0].Key == e.Msg.Key
}

// isInput reports whether err is about what was typed, so that the form is shown again.
func isInput(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.Conflict, fault.Stale, fault.Unauthorized, fault.Forbidden, fault.RateLimited, fault.Unavailable:
		return true
	}
	return false
}

// again is the status of a form that is shown again for err.
func again(err error) int {
	if code := fault.CodeOf(err); code != fault.Invalid {
		return code.HTTP()
	}
	return http.StatusUnprocessableEntity
}
