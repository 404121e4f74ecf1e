package client

import (
	"context"
	"encoding/json"
	"iter"
)

// GetDescription gives the API's description, OpenAPI 3.1.
func (c *Client) GetDescription(ctx context.Context) (json.RawMessage, error) {
	return ask[json.RawMessage](ctx, c, get("/openapi.json"))
}

// SignIn begins a session, which the client keeps if it has no token. Errors: unauthorized; with a problem of the field code
// the second factor is missing or wrong.
func (c *Client) SignIn(ctx context.Context, in SignIn) (Me, error) {
	return ask[Me](ctx, c, post("/sign-in", in))
}

// GetSignIn gives the ways to sign in.
func (c *Client) GetSignIn(ctx context.Context) (SignInWays, error) {
	return ask[SignInWays](ctx, c, get("/sign-in"))
}

// SignOut ends the session.
func (c *Client) SignOut(ctx context.Context) error { return c.tell(ctx, post("/sign-out", nil)) }

// RequestPasswordReset has a link sent that sets a new password, if there is such a member; the answer does not tell.
func (c *Client) RequestPasswordReset(ctx context.Context, in PasswordReset) error {
	return c.tell(ctx, post("/password-resets", in))
}

// SetPassword sets a password by the token of a link: the last part of its address. Errors: not_found: it was used, or is past.
func (c *Client) SetPassword(ctx context.Context, in PasswordSet) error {
	return c.tell(ctx, put("/password", in))
}

// LookAtLink says what a link is good for.
func (c *Client) LookAtLink(ctx context.Context, in LinkToken) (Link, error) {
	return ask[Link](ctx, c, post("/invitations/look", in))
}

// Accept makes a member by an invitation or the link of the first start, and begins a session.
func (c *Client) Accept(ctx context.Context, in Accept) (Me, error) {
	return ask[Me](ctx, c, post("/accept", in))
}

// AcceptAsMember takes an invitation up as the member who asks, whose address it is for. It needs a session.
func (c *Client) AcceptAsMember(ctx context.Context, in LinkToken) (Me, error) {
	return ask[Me](ctx, c, post("/me/invitations", in))
}

// GetMe gives the member who asks.
func (c *Client) GetMe(ctx context.Context) (Me, error) { return ask[Me](ctx, c, get("/me")) }

// UpdateMe changes the member who asks. Errors: stale, if etag is not empty.
func (c *Client) UpdateMe(ctx context.Context, e MeEdit, etag string) (Me, error) {
	return ask[Me](ctx, c, patch("/me", e).based(etag))
}

// ChangePassword replaces the password, and ends all other sessions. It needs a session, as do the methods about
// the second factor and those that make or end tokens and sessions.
func (c *Client) ChangePassword(ctx context.Context, in PasswordChange) error {
	return c.tell(ctx, put("/me/password", in))
}

// BeginTwoFactor gives what an authenticator is set up with.
func (c *Client) BeginTwoFactor(ctx context.Context) (TwoFactorStart, error) {
	return ask[TwoFactorStart](ctx, c, post("/me/two-factor", nil))
}

// ConfirmTwoFactor turns the second factor on.
func (c *Client) ConfirmTwoFactor(ctx context.Context, in TwoFactorCode) (RecoveryCodes, error) {
	return ask[RecoveryCodes](ctx, c, put("/me/two-factor", in))
}

// RemoveTwoFactor turns it off.
func (c *Client) RemoveTwoFactor(ctx context.Context, in TwoFactorProof) error {
	r := del("/me/two-factor")
	r.in = in
	return c.tell(ctx, r)
}

// ListSessions lists the browsers that are signed in.
func (c *Client) ListSessions(ctx context.Context) iter.Seq2[Session, error] {
	return list[Session](ctx, c, get("/me/sessions"))
}

// EndSession signs a browser out.
func (c *Client) EndSession(ctx context.Context, id string) error {
	return c.tell(ctx, del(path("/me/sessions/%s", id)))
}

// EndOtherSessions signs all other browsers of the member out.
func (c *Client) EndOtherSessions(ctx context.Context) error { return c.tell(ctx, del("/me/sessions")) }

// ListTokens lists the member's personal tokens.
func (c *Client) ListTokens(ctx context.Context) iter.Seq2[Token, error] {
	return list[Token](ctx, c, get("/me/tokens"))
}

// CreateToken makes a personal token. Errors: conflict: the name is taken.
func (c *Client) CreateToken(ctx context.Context, in TokenCreate) (TokenIssued, error) {
	return ask[TokenIssued](ctx, c, create("/me/tokens", in))
}

// RevokeToken ends a personal token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.tell(ctx, del(path("/me/tokens/%s", id)))
}

// LeaveWorkspace gives up the member's own place in a workspace.
func (c *Client) LeaveWorkspace(ctx context.Context, workspace string) error {
	return c.tell(ctx, del(path("/me/workspaces/%s", workspace)))
}
