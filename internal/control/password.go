package control

import (
	"context"
	_ "embed"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// Lengths of passwords, in characters. Source of the least: NIST SP 800-63B, with two more than it asks for.
const (
	minPassword = 10
	maxPassword = 200 // nobody types more; hashing more costs time
	minKinds    = 4   // different characters
)

// commonest holds the passwords of minPassword characters and more that lead the lists of leaked ones, one a line,
// in lower case.
//
//go:embed commonest.txt
var commonest string

// validatePassword gives the problem of a password that somebody wants for the account of that address, if it has one.
func validatePassword(field string, password secret.Value, email string) []fault.Problem {
	problem := func(code, key, message string) []fault.Problem {
		return []fault.Problem{fault.Field(field, code, key, message)}
	}
	p := password.Reveal()
	lower := strings.ToLower(p)
	name, _, _ := strings.Cut(email, "@")
	switch n := utf8.RuneCountInString(p); {
	case p == "":
		return problem("required", "field.password_needed", "A password is needed.")
	case !utf8.ValidString(p):
		return problem("invalid_utf8", "field.password_utf8", "The password is not valid UTF-8.")
	case n < minPassword:
		return problem("too_short", "field.password_short", "A password has at least 10 characters.")
	case n > maxPassword:
		return problem("too_long", "field.password_long", "A password has at most 200 characters.")
	case lower == email || lower == name:
		return problem("too_easy", "field.password_address", "The password is not the e-mail address.")
	case kinds(lower) < minKinds || slices.Contains(strings.Fields(commonest), lower):
		return problem("too_easy", "field.password_common", "This password is one of the first that are tried.")
	}
	return nil
}

// ValidatePassword gives the problem of a password for whatever account, if it has one.
func ValidatePassword(field string, password secret.Value) []fault.Problem {
	return validatePassword(field, password, "")
}

// kinds counts the different characters of s.
func kinds(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}

// ChangePassword replaces the actor's password and ends all their other sessions.
//
// Errors: unauthorized without a session; invalid with the fields current if that is not the password, and new if that
// one will not do; conflict if they have none: a link by mail sets the first; rate_limited.
func (p *People) ChangePassword(ctx context.Context, current, next secret.Value) error {
	const op = "change password"
	a, m, l, err := p.own(ctx)
	if err != nil {
		return fault.Wrap(err, op)
	}
	if l.Password.Empty() {
		return &fault.Error{Code: fault.Conflict, Op: op,
			Msg:  fault.Message{Key: "control.no_password", Text: "There is no password that could be changed."},
			Hint: fault.Message{Key: "control.no_password_hint", Text: "Sign out and ask for a link that sets one."}}
	}
	err = p.proves(ctx, m, l, "current", current)
	if err != nil && !fault.Is(err, fault.Invalid) {
		return fault.Wrap(err, op)
	}
	var problems []fault.Problem
	if err != nil {
		problems = fault.As(err).Fields
	}
	if err := invalid(op, append(problems, validatePassword("new", next, m.Email)...)); err != nil {
		return err
	}
	return fault.Wrap(p.setPassword(ctx, m, l, next, a.Session), op)
}

// proves lets whoever knows the password of m pass. Only a wrong one counts as a try. Errors: invalid with the field;
// rate_limited.
func (p *People) proves(ctx context.Context, m Member, l Lock, field string, password secret.Value) error {
	giveBack, err := p.proofs.take(string(m.ID), p.now())
	if err != nil {
		return err
	}
	right, _, err := p.passwords.Verify(ctx, password, l.Password)
	if right {
		giveBack()
	}
	if err == nil && !right {
		err = invalid("", []fault.Problem{fault.Field(field, "wrong", "field.password_wrong", "This is not the password.")})
	}
	return err
}

// setPassword gives m, whose lock is l, another password, and ends all sessions but keep.
func (p *People) setPassword(ctx context.Context, m Member, l Lock, password secret.Value, keep SessionID) error {
	next := l
	var err error
	if next.Password, err = p.passwords.Hash(ctx, password); err != nil {
		return err
	}
	ctx = p.logged(ctx, "member.password", subject{0, string(m.ID), m.Email}, struct{}{}, struct{}{}, "password")
	return p.cfg.Store.SetLock(ctx, m.ID, l, next, true, keep)
}

// RequestReset has a link that sets the password sent to a member's address, later and in the background: whether there
// is such a member cannot be told from the answer. The link works once, for an hour; once it has left it ends the one that
// was mailed before it, and never one that the command line made.
//
// Errors: invalid if it is no address; rate_limited by the client's address, or if too many wait.
func (p *People) RequestReset(ctx context.Context, email, address string) error {
	const op = "ask for a new password"
	email = foldEmail(email)
	if err := invalid(op, validateAddress("email", email)); err != nil {
		return err
	}
	if err := p.addresses.try(networkOf(address), p.now()); err != nil {
		return fault.Wrap(err, op)
	}
	select {
	case p.resets <- email:
		return nil
	default:
		return (&fault.Error{Code: fault.RateLimited, Op: op,
			Msg: fault.Message{Key: "control.letters_wait", Text: "Too many e-mails are waiting to be sent. Try again in a few seconds."}}).WithRetry(everyOfAddress)
	}
}

// sendReset sends the letter that RequestReset promises, if there is such a member and it is not the fourth in a row.
func (p *People) sendReset(ctx context.Context, email string) error {
	m, err := p.cfg.Store.MemberByEmail(ctx, email)
	if fault.Is(err, fault.NotFound) || err == nil && p.letters.try(string(m.ID), p.now()) != nil {
		return nil
	}
	if err != nil {
		return err
	}
	t, link, err := p.ticket(ctx, Ticket{Kind: TicketReset, Email: m.Email, Member: m.ID, By: m.Email, Maker: m.ID}, resetLife)
	if err != nil {
		return err
	}
	// Anybody may ask: what was not mailed ends no link that was.
	unsent := p.cfg.Send(ctx, Letter{Kind: TicketReset, To: m.Email, Language: m.Language, Link: link, ExpiresAt: t.ExpiresAt})
	// What has left has left, whatever ends meanwhile.
	return errors.Join(unsent, p.cfg.Store.SettleReset(context.WithoutCancel(ctx), t, unsent == nil))
}

// Reset sets the password of the member whom the link with that token was sent to, and ends all their sessions. It signs
// nobody in: who has a second factor needs it.
//
// Errors: not_found if the link is past; invalid with the field password.
func (p *People) Reset(ctx context.Context, token, password secret.Value) error {
	// Once more if the lock was changed meanwhile: nothing of that is undone.
	return fault.Wrap(anew(func() error { return p.reset(ctx, token, password) }), "set password")
}

func (p *People) reset(ctx context.Context, token, password secret.Value) error {
	t, err := p.open(ctx, token, TicketReset)
	if err != nil {
		return err
	}
	m, err := p.cfg.Store.Member(ctx, t.Member)
	if err != nil {
		return err
	}
	if err := invalid("", validatePassword("password", password, m.Email)); err != nil {
		return err
	}
	had, err := p.cfg.Store.Lock(ctx, m.ID)
	if err != nil {
		return err
	}
	next := had
	if next.Password, err = p.passwords.Hash(ctx, password); err != nil {
		return err
	}
	ctx = WithActor(ctx, arriving(ctx, m, "link"))
	ctx = p.logged(ctx, "member.password", subject{0, string(m.ID), m.Email}, struct{}{}, struct{}{}, "password")
	return gone(p.cfg.Store.UseTicket(ctx, t.ID, m, &LockChange{had, next}, nil))
}
