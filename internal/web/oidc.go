package web

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/secret"
)

// OIDC is the OpenID Connect provider at which people may sign in.
type OIDC struct {
	Issuer       string // empty: there is none
	ClientID     string
	ClientSecret secret.Value
	BaseURL      func() string // of this installation, where the provider sends people back to
}

// Addresses of signing in elsewhere. The second is registered at the provider.
const (
	oidcPath     = "/auth/oidc"
	callbackPath = "/auth/oidc/callback"
)

const (
	oidcPatience = 10 * time.Minute // between going to the provider and coming back
	oidcTimeout  = 20 * time.Second // of what the provider is asked for
)

// elsewhere lets people sign in at a provider, with the authorization code flow and PKCE. What belongs together, state,
// nonce and verifier, waits in a cookie of the browser that went there: nobody else can come back in its place.
//
// Source: OpenID Connect Core 1.0 §3.1; RFC 7636; RFC 9700 §2.1.
type elsewhere struct {
	api      *api
	cfg      OIDC
	provider atomic.Pointer[oidc.Provider] // nil: not asked yet, or it did not answer
}

// register puts the addresses into mux, if there is a provider.
func (e *elsewhere) register(mux *http.ServeMux) {
	if e.cfg.Issuer == "" {
		return
	}
	mux.Handle(oidcPath, address{http.MethodGet: e.answer(e.leave)})
	mux.Handle(callbackPath, address{http.MethodGet: e.answer(e.comeBack)})
}

// answer sends people on to where do says.
func (e *elsewhere) answer(do func(c *call) (to string, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Context: r.Context(), api: e.api, r: r, header: http.Header{}}
		err := error(nil)
		if wait := e.api.strangers.wait(neighbours(httpd.ClientAddr(r))); wait > 0 {
			err = tooMany(wait)
		}
		to := ""
		if err == nil {
			to, err = do(c)
		}
		for k, v := range c.header {
			w.Header()[k] = v
		}
		if err != nil {
			err = fault.Wrap(err, "sign in elsewhere")
			leave(r.Context(), err)
			httpd.WriteError(w, r, err)
			return
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	})
}

// ask gives the provider, found by its discovery document the first time. Errors: unavailable.
func (e *elsewhere) ask(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	p := e.provider.Load()
	if p == nil {
		var err error
		// The provider goes on with this context to fetch its keys, after this request has ended.
		if p, err = oidc.NewProvider(context.WithoutCancel(ctx), e.cfg.Issuer); err != nil {
			return nil, nil, unreachable(err)
		}
		e.provider.Store(p)
	}
	return p, &oauth2.Config{
		ClientID: e.cfg.ClientID, ClientSecret: e.cfg.ClientSecret.Reveal(), Endpoint: p.Endpoint(),
		RedirectURL: e.cfg.BaseURL() + callbackPath, Scopes: []string{oidc.ScopeOpenID, "email", "profile"},
	}, nil
}

func unreachable(cause error) error {
	e := &fault.Error{Code: fault.Unavailable,
		Msg:  fault.Message{Key: "oidc.unreachable", Text: "The sign-in provider does not answer."},
		Hint: fault.Message{Key: "oidc.unreachable_hint", Text: "Try again, or sign in with a password."}}
	return e.WithRetry(5 * time.Second).WithCause(cause)
}

// tokenErrors are the codes with which a token endpoint refuses. Source: RFC 6749 §5.2.
var tokenErrors = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}

// unconfirmed gives what to make of an error of the token endpoint: its refusal, with nothing that it wrote but the code,
// since it was sent our secret and may repeat it; down is true where it has said neither yes nor no.
func unconfirmed(err error) (cause error, down bool) {
	said, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		_, down = errors.AsType[*url.Error](err) // else what it answers is no token
		return err, down
	}
	status, code := said.Response.StatusCode, "no code of OAuth"
	if slices.Contains(tokenErrors, said.ErrorCode) {
		code = said.ErrorCode
	}
	return fault.New(fault.Forbidden, "", "the token endpoint answers %d: %s", status, code), status >= 500 || status == http.StatusTooManyRequests
}

// reaching gives a context in which the provider is asked with a time-out.
func reaching(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, &http.Client{Timeout: oidcTimeout})
}

func (e *elsewhere) cookie() string { return e.api.cookie() + "-oidc" }

// leave sends people to the provider.
func (e *elsewhere) leave(c *call) (string, error) {
	_, o, err := e.ask(reaching(c))
	if err != nil {
		return "", err
	}
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	c.setCookie(e.cookie(), state+"."+nonce+"."+verifier, oidcPatience)
	return o.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), nil
}

// comeBack begins a session for whoever the provider says came back. Errors: forbidden, unavailable; those of
// People.SignInWith.
func (e *elsewhere) comeBack(c *call) (string, error) {
	refuse := func(cause error, message fault.Message) (string, error) {
		e := &fault.Error{Code: fault.Forbidden, Msg: message, Hint: fault.Message{Key: "oidc.anew_hint", Text: "Begin to sign in anew."}}
		return "", e.WithCause(cause)
	}
	cookie, err := c.r.Cookie(e.cookie())
	if err != nil {
		return refuse(err, fault.Message{Key: "oidc.not_begun", Text: "This sign-in was not begun in this browser, has ended already, or took too long."})
	}
	c.setCookie(e.cookie(), "", 0) // whatever comes of it: it counts once
	kept := strings.SplitN(cookie.Value, ".", 3)
	q := c.r.URL.Query()
	if len(kept) != 3 || subtle.ConstantTimeCompare([]byte(kept[0]), []byte(q.Get("state"))) != 1 {
		return refuse(nil, fault.Message{Key: "oidc.other", Text: "This is not the sign-in that this browser began."})
	}
	if q.Get("code") == "" {
		return refuse(fault.New(fault.Forbidden, "", "%.200q: %.200q", q.Get("error"), q.Get("error_description")), fault.Message{Key: "oidc.nobody", Text: "The sign-in provider has let nobody in."})
	}
	ctx := reaching(c)
	p, o, err := e.ask(ctx)
	if err != nil {
		return "", err
	}
	token, err := o.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(kept[2]))
	if err != nil {
		cause, down := unconfirmed(err)
		if down {
			return "", unreachable(cause)
		}
		return refuse(cause, fault.Message{Key: "oidc.unconfirmed", Text: "The sign-in provider does not confirm this sign-in."})
	}
	who, err := e.read(ctx, p, token, kept[1])
	if err != nil {
		return refuse(err, fault.Message{Key: "oidc.untrusted", Text: "What the sign-in provider says cannot be trusted."})
	}
	who.Client = c.client()
	c.Context = control.WithActor(c.Context, control.Actor{Address: who.Address, Request: httpd.RequestID(c.r)})
	_, session, err := e.api.deps.People.SignInWith(c, who)
	if err != nil {
		return "", err
	}
	c.setCookie(e.api.cookie(), session.Reveal(), sessionLife)
	return "/", nil
}

// claims are what a provider says of a person.
type claims struct {
	Email    string `json:"email"`
	Verified flag   `json:"email_verified"`
	Name     string `json:"name"`
}

// flag is true or "true": some providers write it as text.
type flag bool

// UnmarshalJSON takes anything else for false.
func (f *flag) UnmarshalJSON(b []byte) error {
	*f = flag(strings.Trim(string(b), `"`) == "true")
	return nil
}

// read verifies what the provider signed, and gives whom it names.
func (e *elsewhere) read(ctx context.Context, p *oidc.Provider, token *oauth2.Token, nonce string) (control.SignInElsewhere, error) {
	var who control.SignInElsewhere
	raw, _ := token.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: e.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		return who, err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return who, fault.New(fault.Forbidden, "", "the nonce is another sign-in's")
	}
	var said claims
	if err := id.Claims(&said); err != nil {
		return who, err
	}
	if said.Email == "" { // then it says so where it is asked for it
		info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil || info.Subject != id.Subject {
			if _, down := errors.AsType[*url.Error](err); !down {
				err = nil // it repeats the answer, and that may repeat the token that it was asked with
			}
			return who, fault.New(fault.Forbidden, "", "the provider gives no address of %q", id.Subject).WithCause(err)
		}
		if err := info.Claims(&said); err != nil {
			return who, err
		}
	}
	who.Identity = control.Identity{Issuer: id.Issuer, Subject: id.Subject}
	who.Email, who.Verified, who.Name = said.Email, bool(said.Verified), said.Name
	return who, nil
}
