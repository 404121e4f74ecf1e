package control

import (
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// maxTokens bounds the personal tokens of one member.
const maxTokens = 100

// CreateToken makes a personal token for the actor and gives its secret, once. readOnly: it can look, and change nothing.
// expires: zero for never.
//
// Errors: unauthorized without a session: a token makes no others; forbidden if it did not begin in the last 10 minutes;
// invalid with every problem; conflict if the name is taken.
func (p *People) CreateToken(ctx context.Context, name string, readOnly bool, expires time.Time) (Token, secret.Value, error) {
	_, m, _, err := p.fresh(ctx)
	if err != nil {
		return Token{}, secret.Value{}, fault.Wrap(err, "create token")
	}
	t, value, err := p.createToken(ctx, m, name, readOnly, expires)
	return t, value, fault.Wrap(err, "create token")
}

// IssueToken makes a personal token for the member with that address, and gives its secret, once. It is for the command
// line, and for nobody who has come over the network: they would act as somebody else.
//
// Errors: forbidden; not_found; as CreateToken.
func (p *People) IssueToken(ctx context.Context, email, name string, readOnly bool, expires time.Time) (Token, secret.Value, error) {
	const op = "issue token"
	if _, a, err := need(ctx, RightInstall, 0); err != nil || a.Member != "" {
		return Token{}, secret.Value{}, fault.New(fault.Forbidden, op, "tokens of others are made on the machine itself")
	}
	m, err := p.cfg.Store.MemberByEmail(ctx, foldEmail(email))
	if err != nil {
		return Token{}, secret.Value{}, fault.Wrap(err, op)
	}
	t, value, err := p.createToken(ctx, m, name, readOnly, expires)
	return t, value, fault.Wrap(err, op)
}

func (p *People) createToken(ctx context.Context, m Member, name string, readOnly bool, expires time.Time) (Token, secret.Value, error) {
	had, err := p.cfg.Store.Tokens(ctx, m.ID)
	if err != nil {
		return Token{}, secret.Value{}, err
	}
	t := Token{ID: NewTokenID(), Member: m.ID, Name: name, ReadOnly: readOnly, CreatedAt: p.now(), ExpiresAt: expires}
	problems := t.Validate()
	if len(had) >= maxTokens {
		problems = append(problems, fault.Field("name", "too_many", "field.tokens_many", "A member has at most 100 tokens. Revoke one that is no longer used."))
	}
	if err := invalid("", problems); err != nil {
		return Token{}, secret.Value{}, err
	}
	if slices.ContainsFunc(had, func(o Token) bool { return o.Name == name }) {
		return Token{}, secret.Value{}, (&fault.Error{Code: fault.Conflict, Params: fault.Params{"name": name},
			Msg:  fault.Message{Key: "control.token_name_taken", Text: `You have a token "{name}" already.`},
			Hint: fault.Message{Key: "control.token_name_taken_hint", Text: "Give this one another name, or revoke that one."}}).At("name", "duplicate")
	}
	value := newToken(tokenPrefix)
	ctx = p.logged(ctx, "token.create", subject{0, string(t.ID), m.Email + ": " + name}, nil, viewToken(t))
	return t, value, p.cfg.Store.CreateToken(ctx, t, HashKey(value.Reveal()))
}

// Validate gives every problem of a token's fields. A token does not end before it was made.
func (t Token) Validate() []fault.Problem {
	return append(validatePerson("name", t.Name), validateExpiry("expires_at", t.ExpiresAt, t.CreatedAt)...)
}

// validateExpiry gives the problem of a time at which something ends to work, if it has one; zero is never.
func validateExpiry(field string, at, now time.Time) []fault.Problem {
	if at.IsZero() || at.After(now) {
		return nil
	}
	return []fault.Problem{fault.Field(field, "out_of_range", "field.past", "This time has passed.")}
}

// Tokens gives the actor's personal tokens. Errors: unauthorized.
func (p *People) Tokens(ctx context.Context) ([]Token, error) {
	const op = "list tokens"
	_, a, err := need(ctx, RightSignedIn, 0)
	if err != nil {
		return nil, fault.Wrap(err, op)
	}
	all, err := p.cfg.Store.Tokens(ctx, a.Member)
	return all, fault.Wrap(err, op)
}

// RevokeToken ends a personal token of the actor's. Errors: unauthorized without a session; not_found.
func (p *People) RevokeToken(ctx context.Context, id TokenID) error {
	const op = "revoke token"
	a, m, _, err := p.own(ctx)
	if err != nil {
		return fault.Wrap(err, op)
	}
	all, err := p.cfg.Store.Tokens(ctx, a.Member)
	if err != nil {
		return fault.Wrap(err, op)
	}
	i := slices.IndexFunc(all, func(t Token) bool { return t.ID == id })
	if i < 0 {
		return &fault.Error{Code: fault.NotFound, Op: op, Msg: fault.Message{Key: "control.no_token", Text: "You have no such token."}}
	}
	ctx = p.logged(ctx, "token.revoke", subject{0, string(id), m.Email + ": " + all[i].Name}, viewToken(all[i]), nil)
	return fault.Wrap(p.cfg.Store.DeleteToken(ctx, a.Member, id), op)
}
