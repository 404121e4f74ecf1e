package page

import (
	"net/http"
	"net/url"

	"github.com/millrace/millrace/client"
)

// enterPages are about coming in and going out.
func enterPages() []page {
	return []page{
		{"GET /{$}", false, home},
		{"GET /sign-in", true, showSignIn},
		{"POST /sign-in", true, signIn},
		{"GET /auth/oidc", true, signInElsewhere},
		{"GET /auth/oidc/callback", true, signInElsewhere},
		{"POST /sign-out", true, signOut},
		{"POST /language", false, chooseLanguage},
		{"GET /password", true, showForgotten},
		{"POST /password", true, forgotten},
		{"GET /password/{token}", true, showReset},
		{"POST /password/{token}", true, reset},
		{"GET /invitations/{token}", true, showLink},
		{"POST /invitations/{token}", true, accept},
		{"GET /start/{token}", true, showLink},
		{"POST /start/{token}", true, accept},
	}
}

// home leads to the first workspace that the member has, and who has none to what can be done about that.
func home(v *visit) error {
	to := "/workspaces"
	if len(v.me.Workspaces) > 0 {
		to = "/w/" + url.PathEscape(v.me.Workspaces[0].Workspace)
	}
	v.redirect(to)
	return nil
}

// showSignIn asks who is there; with the parameter again also who is known, for what takes a fresh sign-in.
func showSignIn(v *visit) error {
	if v.me != nil && !v.r.URL.Query().Has("again") {
		v.redirect(v.r.URL.Query().Get("next"))
		return nil
	}
	return signInAgain(v, nil)
}

// signInAgain shows the form, with what was wrong. The code is asked for only once the password was right.
func signInAgain(v *visit, err error) error {
	problems := v.problems(err)
	f := v.frame(v.t("page.sign_in"), "")
	f.Alone = true
	next, email := v.r.URL.Query().Get("next"), v.form("email")
	if email == "" && v.me != nil {
		email = v.me.Email
	}
	signIn := form{
		Action: "/sign-in?next=" + url.QueryEscape(next), Problem: v.wrong(err),
		Parts: []part{
			{Field: &field{Name: "email", Label: v.t("page.email"), Type: "email", Autocomplete: "username", Value: email, Error: problems["email"], Required: true}},
			{Field: &field{Name: "password", Label: v.t("page.password"), Type: "password", Autocomplete: "current-password", Error: problems["password"], Required: true}},
		},
		Buttons: []button{{Text: v.t("page.sign_in"), Kind: "primary"}, {Text: v.t("page.forgotten"), Kind: "quiet", Href: "/password"}},
	}
	if at, err := url.Parse(next); err == nil {
		switch f, waits := v.p.kept.find(at.Query(), v.now); {
		case waits && len(f.values) == 0:
			signIn.Intro = []string{v.t("page.undone_sign_in")}
		case waits:
			signIn.Intro = []string{v.t("page.kept_sign_in")}
		}
	}
	ways, failed := v.api.GetSignIn(v)
	if failed != nil {
		return v.said(failed)
	}
	if ways.First && signIn.Problem == nil {
		signIn.Problem = &banner{Tone: info, Icon: "info", Title: v.t("page.first_needed"), Texts: []string{v.t("page.first_needed_text")}}
	}
	if ways.Elsewhere != "" {
		elsewhere := button{Text: v.t("page.sign_in_elsewhere"), Icon: "external-link", Href: ways.Elsewhere + "?next=" + url.QueryEscape(next)}
		signIn.Buttons = append(signIn.Buttons[:1:1], elsewhere, signIn.Buttons[1])
	}
	if problems["code"] != "" { // the password was right, and the browser has the proof of it
		code := field{Name: "code", Label: v.t("page.code"), Hint: v.t("page.code_hint"), Autocomplete: "one-time-code", Mono: true, Required: true}
		if v.form("code") != "" {
			code.Error = problems["code"]
		} else {
			signIn.Problem = &banner{Tone: info, Icon: "shield-check", Title: v.t("page.code_asked")}
		}
		signIn.Hidden = []hidden{{"email", email}}
		signIn.Parts = []part{{Field: &code}}
		signIn.Buttons = []button{signIn.Buttons[0], {Text: v.t("page.back"), Kind: "quiet", Href: "/sign-in?next=" + url.QueryEscape(next)}}
	}
	status := http.StatusOK
	if err != nil {
		status = again(err)
	}
	v.show(status, "form", formPage{f, signIn})
	return nil
}

func signIn(v *visit) error {
	_, err := v.api.SignIn(v, client.SignIn{Email: v.form("email"), Password: v.form("password"), Code: v.form("code")})
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		return signInAgain(v, err)
	}
	v.redirect(v.r.URL.Query().Get("next"))
	return nil
}

// nextCookie is where visitors were going while they sign in elsewhere.
const nextCookie = "millrace_next"

// signInElsewhere sends the visitor to the provider, and lets them in when they come back. What goes wrong is said above
// the form that signs in here.
func signInElsewhere(v *visit) error {
	if next := v.r.URL.Query().Get("next"); next != "" {
		http.SetCookie(v.w, &http.Cookie{Name: nextCookie, Value: url.QueryEscape(next), Path: "/auth/oidc", MaxAge: 10 * 60, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	q, err := http.NewRequestWithContext(v, http.MethodGet, "http://api"+v.r.URL.RequestURI(), nil)
	if err != nil {
		return err
	}
	a, err := inside{v}.RoundTrip(q)
	if err != nil {
		return err
	}
	switch refused := v.refusal(); {
	case a.StatusCode == http.StatusNotFound: // there is no provider
		return nothingHere(v)
	case a.StatusCode != http.StatusSeeOther && isInput(refused):
		return signInAgain(v, refused)
	case a.StatusCode != http.StatusSeeOther:
		return refused
	}
	to := a.Header.Get("Location")
	if k, err := v.r.Cookie(nextCookie); err == nil && to == "/" {
		to, _ = url.QueryUnescape(k.Value) // what cannot be read leads to the first page
		to = local(to)
		http.SetCookie(v.w, &http.Cookie{Name: nextCookie, Path: "/auth/oidc", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

func signOut(v *visit) error {
	if err := v.api.SignOut(v); err != nil {
		return v.said(err)
	}
	v.redirect("/sign-in")
	return nil
}

// forgottenForm asks for the address that a link is sent to.
func (v *visit) forgottenForm(err error) formPage {
	return formPage{v.frame(v.t("page.forgotten"), ""), form{
		Action: "/password", Intro: []string{v.t("page.forgotten_text")}, Problem: v.wrong(err),
		Parts:   []part{{Field: &field{Name: "email", Label: v.t("page.email"), Type: "email", Autocomplete: "username", Value: v.form("email"), Error: v.problems(err)["email"], Required: true}}},
		Buttons: []button{{Text: v.t("page.send_link"), Kind: "primary"}, {Text: v.t("page.back"), Kind: "quiet", Href: "/sign-in"}},
	}}
}

func showForgotten(v *visit) error {
	v.show(http.StatusOK, "form", v.forgottenForm(nil))
	return nil
}

func forgotten(v *visit) error {
	if err := v.said(v.api.RequestPasswordReset(v, client.PasswordReset{Email: v.form("email")})); err != nil {
		if !isInput(err) {
			return err
		}
		v.show(again(err), "form", v.forgottenForm(err))
		return nil
	}
	v.tell(v.t("page.forgotten_sent"), v.t("page.forgotten_sent_text"), button{Text: v.t("page.back"), Href: "/sign-in"})
	return nil
}

// tell answers with a page that says that something is done.
func (v *visit) tell(title, more string, action button) {
	f := v.frame(title, "")
	v.show(http.StatusOK, "notice", noticePage{f, banner{Tone: good, Icon: "circle-check", Title: title, Texts: []string{more}, Actions: []button{action}}})
}

// newPassword is the field for a password that is to be.
func (v *visit) newPassword(problems map[string]string) *field {
	return &field{Name: "password", Label: v.t("page.new_password"), Hint: v.t("page.password_hint"), Type: "password", Autocomplete: "new-password", Error: problems["password"], Required: true}
}

func (v *visit) resetForm(err error) formPage {
	return formPage{v.frame(v.t("page.new_password"), ""), form{
		Intro: []string{v.t("page.reset_text")}, Problem: v.wrong(err), Parts: []part{{Field: v.newPassword(v.problems(err))}},
		Buttons: []button{{Text: v.t("page.set_password"), Kind: "primary"}},
	}}
}

func showReset(v *visit) error {
	if _, err := v.api.LookAtLink(v, client.LinkToken{Token: v.r.PathValue("token")}); err != nil {
		return v.said(err)
	}
	v.show(http.StatusOK, "form", v.resetForm(nil))
	return nil
}

func reset(v *visit) error {
	err := v.said(v.api.SetPassword(v, client.PasswordSet{Token: v.r.PathValue("token"), Password: v.form("password")}))
	switch {
	case err == nil:
		v.tell(v.t("page.password_set"), v.t("page.password_set_text"), button{Text: v.t("page.sign_in"), Kind: "primary", Href: "/sign-in"})
		return nil
	case isInput(err):
		v.show(again(err), "form", v.resetForm(err))
		return nil
	}
	return err
}

// showLink shows what an invitation, or the link of the first start, is good for.
func showLink(v *visit) error { return linkAgain(v, nil) }

func linkAgain(v *visit, wrong error) error {
	l, err := v.api.LookAtLink(v, client.LinkToken{Token: v.r.PathValue("token")})
	if err != nil {
		return v.said(err)
	}
	problems := v.problems(wrong)
	title := v.t("page.invited")
	f := form{Problem: v.wrong(wrong), Buttons: []button{{Text: v.t("page.join"), Kind: "primary"}}}
	switch {
	case l.Kind == "first":
		title = v.t("page.first")
		f.Intro = []string{v.t("page.first_text")}
	case l.Workspace != "":
		f.Intro = []string{v.t("page.invited_text", "by", l.By, "workspace", l.Workspace, "email", l.Email)}
	default:
		f.Intro = []string{v.t("page.invited_installation", "by", l.By, "email", l.Email)}
	}
	signOut := button{Text: v.t("page.sign_out"), Kind: "quiet", Action: "/sign-out"}
	switch {
	case v.me != nil && l.Kind == "invitation" && l.Email != v.me.Email:
		signOut.Kind = "primary"
		f.Intro = append(f.Intro, v.t("page.take_up_other", "email", v.me.Email, "invited", l.Email, "by", l.By))
		f.Problem, f.Buttons = nil, []button{signOut} // what the API refuses for stands here, before it was asked
	case v.me != nil:
		f.Intro = append(f.Intro, v.t("page.take_up_text", "email", v.me.Email))
		f.Buttons = []button{{Text: v.t("page.take_up"), Kind: "primary"}, signOut}
	case l.Known:
		v.redirect("/sign-in?next=" + url.QueryEscape(v.r.URL.Path))
		return nil
	default:
		if l.Kind == "first" {
			f.Parts = append(f.Parts, part{Field: &field{Name: "email", Label: v.t("page.email"), Type: "email", Autocomplete: "username", Value: v.form("email"), Error: problems["email"], Required: true}})
		}
		f.Parts = append(f.Parts,
			part{Field: &field{Name: "name", Label: v.t("page.your_name"), Autocomplete: "name", Value: v.form("name"), Error: problems["name"], Required: true}},
			part{Field: v.newPassword(problems)})
	}
	frame := v.frame(title, "")
	frame.Alone = true
	status := http.StatusOK
	if wrong != nil {
		status = again(wrong)
	}
	v.show(status, "form", formPage{frame, f})
	return nil
}

// accept takes a link up: as the member who is signed in, else as a new one.
func accept(v *visit) error {
	token := v.r.PathValue("token")
	var err error
	if v.me != nil {
		_, err = v.api.AcceptAsMember(v, client.LinkToken{Token: token})
	} else {
		_, err = v.api.Accept(v, client.Accept{Token: token, Email: v.form("email"), Name: v.form("name"), Password: v.form("password"), Language: string(v.lang)})
	}
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		return linkAgain(v, err)
	}
	v.redirect("/")
	return nil
}
