package web

import (
	"net/http"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/secret"
)

// signInRoutes are about coming in and going out.
func (a *api) signInRoutes() []route {
	const group = "sign-in"
	return []route{
		{name: "signIn", method: http.MethodPost, path: "/sign-in", right: control.RightAnyone, group: group, status: http.StatusOK, also: []fault.Code{fault.Unauthorized},
			summary: "Begins a session, in a cookie. A 401 with the field problem code: the second factor is missing or wrong; its cookie stands in for the password for five minutes.", op: op(a.signIn)},
		{name: "getSignIn", method: http.MethodGet, path: "/sign-in", right: control.RightAnyone, group: group, status: http.StatusOK,
			summary: "Gives the ways to sign in beside a password, and whether anybody could yet.", op: op(a.signInWays)},
		{name: "signOut", method: http.MethodPost, path: "/sign-out", right: control.RightAnyone, group: group, status: http.StatusNoContent,
			summary: "Ends the session, if there is one.", op: op(a.signOut)},
		{name: "requestPasswordReset", method: http.MethodPost, path: "/password-resets", right: control.RightAnyone, group: group, status: http.StatusNoContent,
			summary: "Has a link sent that sets a new password, if the address is a member's; the answer does not tell.", op: op(a.requestReset)},
		{name: "setPassword", method: http.MethodPut, path: "/password", right: control.RightAnyone, group: group, status: http.StatusNoContent, also: []fault.Code{fault.NotFound},
			summary: "Sets a password by the token of a link, and ends all sessions of the member.", op: op(a.setPassword),
			rules: look(func(_ *call, in passwordIn) error {
				return refused(control.ValidatePassword("password", secret.New(in.Body.Password)))
			})},
		{name: "lookAtLink", method: http.MethodPost, path: "/invitations/look", right: control.RightAnyone, group: group, status: http.StatusOK, also: []fault.Code{fault.NotFound},
			summary: "Says what a link is good for, without spending it.", op: op(a.look)},
		{name: "accept", method: http.MethodPost, path: "/accept", right: control.RightAnyone, group: group, status: http.StatusOK, also: []fault.Code{fault.NotFound},
			summary: "Makes a member by the token of an invitation or of the first start, and begins a session.", op: op(a.accept),
			rules: look(func(c *call, in acceptIn) error {
				return a.deps.People.LookAtAccept(c, secret.New(in.Body.Token), in.newcomer(c))
			})},
		{name: "acceptAsMember", method: http.MethodPost, path: "/me/invitations", right: control.RightSession, group: group, status: http.StatusOK, also: []fault.Code{fault.NotFound},
			summary: "Takes an invitation up as the member who asks, whose address it is for.", op: op(a.acceptAsMember),
			rules: look(func(c *call, in linkIn) error {
				return a.deps.People.LookAtAcceptAsMember(c, secret.New(in.Body.Token))
			})},
	}
}

func (a *api) signInWays(c *call, _ struct{}) (out client.SignInWays, err error) {
	some, err := a.deps.People.Administrated(c)
	out.First = err == nil && !some
	if a.cfg.OIDC.Issuer != "" {
		out.Elsewhere = oidcPath
	}
	return out, err
}

type signInIn struct {
	Body client.SignIn `body:""`
}

func (a *api) signIn(c *call, in signInIn) (client.Me, error) {
	asked := control.SignIn{Email: in.Body.Email, Password: secret.New(in.Body.Password), Code: in.Body.Code, Client: c.client()}
	if k, err := c.r.Cookie(a.proofCookie()); err == nil {
		asked.Proof = secret.New(k.Value)
	}
	_, token, err := a.deps.People.SignIn(c, asked)
	if err != nil {
		if !token.Empty() {
			c.setCookie(a.proofCookie(), token.Reveal(), control.ProofLife)
		}
		return client.Me{}, err
	}
	if !asked.Proof.Empty() {
		c.setCookie(a.proofCookie(), "", 0)
	}
	return a.enter(c, token)
}

// proofCookie is the name of the cookie that stands in for the password while the code is asked for.
func (a *api) proofCookie() string { return a.cookie() + "_proof" }

// client is where the request comes from.
func (c *call) client() control.Client {
	return control.Client{Address: httpd.ClientAddr(c.r).String(), Agent: c.r.UserAgent()}
}

// sessionLife is how long a browser keeps the cookie: as long as a session can be used at all. The server ends it sooner.
const sessionLife = 90 * 24 * time.Hour

// enter gives the browser the session that has begun, and says whose it is.
func (a *api) enter(c *call, token secret.Value) (client.Me, error) {
	actor, s, err := a.deps.People.ActorBySession(c, token, httpd.ClientAddr(c.r).String())
	if err != nil {
		return client.Me{}, err
	}
	c.setCookie(a.cookie(), token.Reveal(), sessionLife)
	c.actor, c.session = actor, s
	c.Context = control.WithActor(c.Context, actor)
	return a.me(c)
}

// setCookie gives the browser a cookie, or with no value takes it away.
func (c *call) setCookie(name, value string, life time.Duration) {
	k := &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: c.api.cfg.Secure}
	if value == "" {
		k.MaxAge = -1
	}
	c.header.Add("Set-Cookie", k.String())
}

func (a *api) signOut(c *call, _ struct{}) (none, error) {
	if err := a.deps.People.SignOut(c); err != nil {
		return none{}, err
	}
	c.setCookie(a.cookie(), "", 0)
	return none{}, nil
}

type resetIn struct {
	Body client.PasswordReset `body:""`
}

func (a *api) requestReset(c *call, in resetIn) (none, error) {
	return none{}, a.deps.People.RequestReset(c, in.Body.Email, c.client().Address)
}

type passwordIn struct {
	Body client.PasswordSet `body:""`
}

func (a *api) setPassword(c *call, in passwordIn) (none, error) {
	return none{}, a.deps.People.Reset(c, secret.New(in.Body.Token), secret.New(in.Body.Password))
}

type linkIn struct {
	Body client.LinkToken `body:""`
}

func (a *api) look(c *call, in linkIn) (client.Link, error) {
	o, err := a.deps.People.Look(c, secret.New(in.Body.Token))
	return client.Link{
		Kind: string(o.Kind), Email: o.Email, Workspace: o.WorkspaceName, Role: string(o.Role), ExportUserData: o.ExportUserData,
		Installation: o.Installation || o.Kind == control.TicketFirst, By: o.By, Known: o.Known, ExpiresAt: o.ExpiresAt,
	}, err
}

type acceptIn struct {
	Body client.Accept `body:""`
}

func (in acceptIn) newcomer(c *call) control.Newcomer {
	b := in.Body
	return control.Newcomer{Email: b.Email, Name: b.Name, Password: secret.New(b.Password), Language: b.Language, TimeZone: b.TimeZone, Client: c.client()}
}

func (a *api) accept(c *call, in acceptIn) (client.Me, error) {
	_, token, err := a.deps.People.Accept(c, secret.New(in.Body.Token), in.newcomer(c))
	if err != nil {
		return client.Me{}, err
	}
	return a.enter(c, token)
}

func (a *api) acceptAsMember(c *call, in linkIn) (client.Me, error) {
	if err := a.deps.People.AcceptAsMember(c, secret.New(in.Body.Token)); err != nil {
		return client.Me{}, err
	}
	cookie, err := c.r.Cookie(a.cookie())
	if err != nil {
		return client.Me{}, fault.From(err, fault.Internal, "find the session's cookie") // the right asks for a session
	}
	return a.enter(c, secret.New(cookie.Value)) // with the places that the member has now
}
