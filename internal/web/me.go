package web

import (
	"net/http"
	"slices"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/secret"
)

// meRoutes are what members decide about themselves.
func (a *api) meRoutes() []route {
	const group = "me"
	return []route{
		{name: "getMe", method: http.MethodGet, path: "/me", right: control.RightSignedIn, group: group, status: http.StatusOK, versioned: versionsOfMe,
			summary: "Gives the member who asks, and what they may do where.", op: op(func(c *call, _ struct{}) (client.Me, error) { return a.me(c) })},
		{name: "updateMe", method: http.MethodPatch, path: "/me", right: control.RightSignedIn, group: group, status: http.StatusOK, versioned: versionsOfMe,
			summary: "Changes name, language, time zone or which notices are mailed.", op: op(a.updateMe),
			rules: look(func(_ *call, in updateMeIn) error { return refused(in.member().Validate()) })},
		{name: "changePassword", method: http.MethodPut, path: "/me/password", right: control.RightSession, group: group, status: http.StatusNoContent,
			summary: "Replaces the password, and ends all other sessions.", op: op(a.changePassword),
			rules: look(func(_ *call, in changePasswordIn) error {
				return refused(control.ValidatePassword("new", secret.New(in.Body.New)))
			})},
		{name: "beginTwoFactor", method: http.MethodPost, path: "/me/two-factor", right: control.RightSession, group: group, status: http.StatusOK,
			summary: "Gives what an authenticator is set up with. Nothing is asked for until it is confirmed.", op: op(a.beginTwoFactor)},
		{name: "confirmTwoFactor", method: http.MethodPut, path: "/me/two-factor", right: control.RightSession, group: group, status: http.StatusOK,
			summary: "Turns two-factor sign-in on with a code, and gives the recovery codes once.", op: op(a.confirmTwoFactor)},
		{name: "removeTwoFactor", method: http.MethodDelete, path: "/me/two-factor", right: control.RightSession, group: group, status: http.StatusNoContent,
			summary: "Turns two-factor sign-in off, for the password or a code.", op: op(a.removeTwoFactor)},
		{name: "listSessions", method: http.MethodGet, path: "/me/sessions", right: control.RightSignedIn, group: group, status: http.StatusOK,
			summary: "Lists the browsers that are signed in, the last that came in first.", op: op(a.listSessions)},
		{name: "endOtherSessions", method: http.MethodDelete, path: "/me/sessions", right: control.RightSession, group: group, status: http.StatusNoContent,
			summary: "Signs all other browsers of the member out.", op: op(func(c *call, _ struct{}) (none, error) { return none{}, a.deps.People.EndOtherSessions(c) })},
		{name: "endSession", method: http.MethodDelete, path: "/me/sessions/{session}", right: control.RightSession, group: group, status: http.StatusNoContent,
			summary: "Signs a browser out.", op: op(a.endSession)},
		{name: "listTokens", method: http.MethodGet, path: "/me/tokens", right: control.RightSignedIn, group: group, status: http.StatusOK,
			summary: "Lists the member's personal tokens.", op: op(a.listTokens)},
		{name: "createToken", method: http.MethodPost, path: "/me/tokens", right: control.RightSession, group: group, status: http.StatusCreated,
			summary: "Makes a personal token, shown once.", op: op(a.createToken),
			rules: look(func(_ *call, in createTokenIn) error { return refused(in.token().Validate()) })},
		{name: "revokeToken", method: http.MethodDelete, path: "/me/tokens/{token}", right: control.RightSession, group: group, status: http.StatusNoContent,
			summary: "Ends a personal token.", op: op(a.revokeToken)},
	}
}

// me says who asks.
func (a *api) me(c *call) (client.Me, error) {
	m, err := a.deps.People.Me(c)
	if err != nil {
		return client.Me{}, err
	}
	return a.showMe(c, m)
}

func (a *api) showMe(c *call, m control.Member) (client.Me, error) {
	all, err := a.deps.Store.Workspaces(c)
	if err != nil {
		return client.Me{}, err
	}
	out := client.Me{
		ID: string(m.ID), Email: m.Email, Name: m.Name, Language: m.Language, TimeZone: m.TimeZone, Mail: string(m.Mail),
		Installation: m.Installation, Password: m.Password, TwoFactor: m.TwoFactor,
	}
	for _, w := range all {
		if s, sits := c.actor.Seats[w.Number]; sits {
			out.Workspaces = append(out.Workspaces, client.Place{Workspace: workspaceID(w.Number), Name: w.Name, Role: string(s.Role), ExportUserData: s.ExportUserData, TimeZone: w.TimeZone})
		}
	}
	if c.row.versioned != nil {
		c.versioned(m.Rev)
	}
	return out, nil
}

type updateMeIn struct {
	Body client.MeEdit `body:""`
}

// member is one of whom only that is wanted which in names.
func (in updateMeIn) member() control.Member {
	m := control.Member{Name: "Somebody"}
	for _, f := range []struct{ want, to *string }{{in.Body.Name, &m.Name}, {in.Body.TimeZone, &m.TimeZone}} {
		if f.want != nil {
			*f.to = *f.want
		}
	}
	return m // the rest are lists of values
}

func (a *api) updateMe(c *call, in updateMeIn) (client.Me, error) {
	rev, err := meant(c)
	if err != nil {
		return client.Me{}, err
	}
	m, err := a.deps.People.UpdateMe(c, control.MeEdit{Name: in.Body.Name, Language: in.Body.Language, TimeZone: in.Body.TimeZone, Mail: (*control.Mail)(in.Body.Mail), Rev: rev})
	if err != nil {
		return client.Me{}, err
	}
	return a.showMe(c, m)
}

type changePasswordIn struct {
	Body client.PasswordChange `body:""`
}

func (a *api) changePassword(c *call, in changePasswordIn) (none, error) {
	return none{}, a.deps.People.ChangePassword(c, secret.New(in.Body.Current), secret.New(in.Body.New))
}

func (a *api) beginTwoFactor(c *call, _ struct{}) (client.TwoFactorStart, error) {
	key, uri, err := a.deps.People.BeginTwoFactor(c)
	return client.TwoFactorStart{Secret: key.Reveal(), URI: uri.Reveal()}, err
}

type confirmIn struct {
	Body client.TwoFactorCode `body:""`
}

func (a *api) confirmTwoFactor(c *call, in confirmIn) (client.RecoveryCodes, error) {
	codes, err := a.deps.People.ConfirmTwoFactor(c, in.Body.Code)
	var out client.RecoveryCodes
	for _, code := range codes {
		out.Codes = append(out.Codes, code.Reveal())
	}
	return out, err
}

type removeIn struct {
	Body client.TwoFactorProof `body:""`
}

func (a *api) removeTwoFactor(c *call, in removeIn) (none, error) {
	return none{}, a.deps.People.RemoveTwoFactor(c, secret.New(in.Body.Password), in.Body.Code)
}

// maybe is a time that may be none.
func maybe(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (a *api) listSessions(c *call, in paged) (out client.Page[client.Session], err error) {
	all, err := a.deps.People.Sessions(c)
	if err != nil {
		return out, err
	}
	slices.SortStableFunc(all, func(x, y control.Session) int { return y.CreatedAt.Compare(x.CreatedAt) }) // when they were seen changes between two pages
	return pageOf(c, in, all, func(s control.Session) int64 { return idNumber(s.ID) }, func(s control.Session) client.Session {
		return client.Session{
			ID: string(s.ID), Address: s.Address, Agent: s.Agent, Current: s.ID == c.session.ID,
			CreatedAt: s.CreatedAt, SeenAt: s.SeenAt, ExpiresAt: s.ExpiresAt,
		}
	})
}

type sessionIn struct {
	Session control.SessionID `path:"session"`
}

func (a *api) endSession(c *call, in sessionIn) (none, error) {
	return none{}, a.deps.People.EndSession(c, in.Session)
}

func showToken(t control.Token) client.Token {
	return client.Token{ID: string(t.ID), Name: t.Name, ReadOnly: t.ReadOnly, CreatedAt: t.CreatedAt, ExpiresAt: maybe(t.ExpiresAt), UsedAt: maybe(t.UsedAt)}
}

func (a *api) listTokens(c *call, in paged) (out client.Page[client.Token], err error) {
	all, err := a.deps.People.Tokens(c)
	if err != nil {
		return out, err
	}
	return pageOf(c, in, all, func(t control.Token) int64 { return idNumber(t.ID) }, showToken)
}

type createTokenIn struct {
	Body client.TokenCreate `body:""`
}

func (in createTokenIn) token() control.Token {
	t := control.Token{Name: in.Body.Name, ReadOnly: in.Body.ReadOnly, CreatedAt: time.Now()}
	if in.Body.ExpiresAt != nil {
		t.ExpiresAt = *in.Body.ExpiresAt
	}
	return t
}

func (a *api) createToken(c *call, in createTokenIn) (client.TokenIssued, error) {
	want := in.token()
	t, value, err := a.deps.People.CreateToken(c, want.Name, want.ReadOnly, want.ExpiresAt)
	if err != nil {
		return client.TokenIssued{}, err
	}
	c.location("/me/tokens/%s", t.ID)
	return client.TokenIssued{Token: showToken(t), Secret: value.Reveal()}, nil
}

type tokenIn struct {
	Token control.TokenID `path:"token"`
}

func (a *api) revokeToken(c *call, in tokenIn) (none, error) {
	return none{}, a.deps.People.RevokeToken(c, in.Token)
}
