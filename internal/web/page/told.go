package page

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/millrace/millrace/internal/text"
)

// toldCookie keeps what came of a form until the page that the browser is sent to.
const toldCookie = "millrace_told"

// told is what came of something: a sentence of the catalogue and what it names, so that it is said in the language of
// the page that shows it.
type told struct {
	Bad  bool     `json:"bad,omitempty"` // it did not come off
	Key  string   `json:"key"`
	Args []string `json:"args,omitempty"` // names and values in turn; never a secret
}

// done ends a form: the browser goes to another page of ours, which begins with the sentence.
func (v *visit) done(to, key string, args ...string) error {
	return v.leave(to, told{false, key, args})
}

// failed is done where what was tried did not come off, though all is well with the form.
func (v *visit) failed(to, key string, args ...string) error {
	return v.leave(to, told{true, key, args})
}

func (v *visit) leave(to string, t told) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	http.SetCookie(v.w, &http.Cookie{Name: toldCookie, Value: base64.RawURLEncoding.EncodeToString(b), Path: "/", MaxAge: 60, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	v.redirect(to)
	return nil
}

// told gives what the page before had to say, and takes it away: it is shown once.
func (v *visit) told() []banner {
	k, err := v.r.Cookie(toldCookie)
	if err != nil {
		return nil
	}
	http.SetCookie(v.w, &http.Cookie{Name: toldCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	var t told
	b, err := base64.RawURLEncoding.DecodeString(k.Value)
	if err != nil || json.Unmarshal(b, &t) != nil || !text.Has(t.Key) { // not of this program's making
		return nil
	}
	args := make([]any, len(t.Args))
	for i, a := range t.Args {
		args[i] = a
	}
	came := banner{Tone: good, Icon: "circle-check", Title: v.t(t.Key, args...)}
	if t.Bad {
		came.Tone, came.Icon = bad, "circle-alert"
	}
	return []banner{came}
}
