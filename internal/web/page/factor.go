package page

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/boombuler/barcode/qr"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
)

// twoFactor says whether a second factor is asked for, and lets it be set up.
func (v *visit) twoFactor() section {
	s := section{ID: "two-factor", Title: v.t("page.me_factor"), Text: v.t("page.me_factor_text")}
	if v.me.TwoFactor {
		s.Pairs = pairs{{Name: v.t("page.status"), Pill: &pill{good, "shield-check", v.t("page.me_factor_on")}}}
		s.Actions = []button{{Text: v.t("page.me_factor_off"), Kind: "danger", Href: "/me/two-factor/off"}}
		return s
	}
	s.Pairs = pairs{{Name: v.t("page.status"), Pill: &pill{plain, "circle-dashed", v.t("page.me_factor_none")}}}
	s.Actions = []button{{Text: v.t("page.me_factor_set_up"), Icon: "shield-check", Href: "/me/two-factor", Post: true}}
	return s
}

// codeField asks for the code that an authenticator shows.
func (v *visit) codeField(wrong string) part {
	return part{Field: &field{Name: "code", Label: v.t("page.me_factor_code"), Autocomplete: "one-time-code", Mono: true, Error: wrong, Required: true}}
}

// showTwoFactor serves who comes back to the address of the form that sets a second factor up.
func showTwoFactor(v *visit) error {
	v.redirect("/me/security#two-factor")
	return nil
}

// beginTwoFactor shows what an authenticator is set up with, this once.
func beginTwoFactor(v *visit) error {
	start, err := v.api.BeginTwoFactor(v)
	if err != nil {
		return v.said(err)
	}
	drawing, err := drawCode(start.URI, v.t("page.me_factor_drawing"))
	if err != nil {
		return err
	}
	confirm := form{Action: "/me/two-factor/confirm", Parts: []part{v.codeField("")},
		Buttons: []button{{Text: v.t("page.me_factor_confirm"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: "/me/security"}}}
	v.show(http.StatusOK, "sections", sectionsPage{Frame: v.ownThing(v.t("page.me_factor_set_up"), "page.me_security", "/me/security"), Sections: []section{
		{Title: v.t("page.me_factor_scan"), Text: v.t("page.me_factor_scan_text"), Drawing: drawing, Line: &line{"secret", v.t("page.me_factor_secret"), spaced(start.Secret)}},
		{Title: v.t("page.me_factor_prove"), Text: v.t("page.me_factor_prove_text"), Form: &confirm},
	}})
	return nil
}

// spaced writes a key that is to be typed in groups of four; authenticators pass over the blanks.
func spaced(key string) string {
	var b strings.Builder
	for i, r := range key {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// quiet is the margin of a QR code in modules. Source: ISO/IEC 18004, §5.3.8: four on every side.
const quiet = 4

// drawCode draws a QR code of text. label says what it is to who does not see it.
func drawCode(text, label string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", fault.From(err, fault.Internal, "draw a QR code")
	}
	var path strings.Builder
	size := code.Bounds()
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	side := size.Dx() + 2*quiet
	return template.HTML(fmt.Sprintf(`<svg class="qr" viewBox="0 0 %d %d" role="img" aria-label="%s"><path d="%s"/></svg>`,
		side, side, template.HTMLEscapeString(label), path.String())), nil
}

// confirmTwoFactor turns the second factor on and shows the recovery codes, this once. The key is not shown again with a
// wrong code: who has not taken it up begins anew.
func confirmTwoFactor(v *visit) error {
	made, err := v.api.ConfirmTwoFactor(v, client.TwoFactorCode{Code: v.form("code")})
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		f := form{Action: "/me/two-factor/confirm", Problem: v.wrong(err), Intro: []string{v.t("page.me_factor_again")}, Parts: []part{v.codeField(v.problems(err)["code"])},
			Buttons: []button{{Text: v.t("page.me_factor_confirm"), Kind: "primary"}, {Text: v.t("page.me_factor_anew"), Kind: "quiet", Action: "/me/two-factor"}}}
		v.show(again(err), "form", formPage{v.ownThing(v.t("page.me_factor_set_up"), "page.me_security", "/me/security"), f})
		return nil
	}
	all := strings.Join(made.Codes, "\n")
	v.me.TwoFactor = true
	v.show(http.StatusOK, "sections", sectionsPage{Frame: v.ownThing(v.t("page.me_factor_recovery"), "page.me_security", "/me/security"), Sections: []section{{
		Banner: &banner{Tone: good, Icon: "shield-check", Title: v.t("page.me_factor_is_on"), Texts: []string{v.t("page.me_factor_recovery_text")}},
		Code:   &code{"codes", v.t("page.me_factor_recovery"), all},
		Keep: &download{v.t("page.me_factor_download"), "millrace-recovery-codes.txt",
			template.URL("data:text/plain;charset=utf-8;base64," + base64.StdEncoding.EncodeToString([]byte(all+"\n")))},
	}, {
		Title: v.t("page.me_factor_kept"), Text: v.t("page.me_factor_kept_text"),
		Buttons: []button{{Text: v.t("page.me_factor_done"), Kind: "primary", Href: "/me/security"}},
	}}})
	return nil
}

func showTwoFactorOff(v *visit) error { return v.twoFactorOffAgain(nil) }

func (v *visit) twoFactorOffAgain(wrong error) error {
	problems := v.problems(wrong)
	proof := &field{Name: "password", Label: v.t("page.password"), Type: "password", Autocomplete: "current-password", Error: problems["password"], Required: true}
	f := form{Problem: v.wrong(wrong), Intro: []string{v.t("page.me_factor_off_text")}, Parts: []part{{Field: proof}},
		Buttons: []button{{Text: v.t("page.me_factor_off"), Kind: "danger"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: "/me/security"}}}
	f.unplaced(problems)
	v.show(statusOf(wrong), "form", formPage{v.ownThing(v.t("page.me_factor_off"), "page.me_security", "/me/security"), f})
	return nil
}

func removeTwoFactor(v *visit) error {
	err := v.said(v.api.RemoveTwoFactor(v, client.TwoFactorProof{Password: v.form("password")}))
	switch {
	case err == nil:
		return v.done("/me/security#two-factor", "page.me_factor_is_off")
	case isInput(err):
		return v.twoFactorOffAgain(err)
	}
	return err
}
