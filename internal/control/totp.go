package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

const (
	totpIssuer    = "Millrace"
	totpStep      = 30 // seconds; what every authenticator assumes. Source: RFC 6238, section 5.2
	recoveryCodes = 10
)

// spend uses a code up: of the authenticator, now or one step off, or a recovery code. It reports whether it was one.
// No code works twice: steps up to the last used one are past. One that lies further ahead than any code does was used
// before the clock was set back, and does not count.
func (l *Lock) spend(code string, now time.Time) bool {
	code = strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(code))
	last, step := l.LastStep, now.Unix()/totpStep
	if last > step+1 {
		last = 0
	}
	for _, s := range []int64{step, step - 1, step + 1} {
		if want, err := hotp.GenerateCode(l.TOTP.Reveal(), uint64(s)); err == nil && s > last && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			l.LastStep = s
			return true
		}
	}
	if i := slices.Index(l.Recovery, hashRecovery(code)); i >= 0 {
		l.Recovery = slices.Delete(slices.Clone(l.Recovery), i, i+1)
		return true
	}
	return false
}

func hashRecovery(code string) RecoveryHash { return sha256.Sum256([]byte(code)) }

// newRecoveryCodes makes recovery codes, as they are shown and as they are kept: 16 characters (80 bits), in fours.
func newRecoveryCodes() (shown []secret.Value, kept []RecoveryHash) {
	for range recoveryCodes {
		c := strings.ToLower(rand.Text()[:16])
		shown = append(shown, secret.New(c[:4]+"-"+c[4:8]+"-"+c[8:12]+"-"+c[12:]))
		kept = append(kept, hashRecovery(c))
	}
	return shown, kept
}

// BeginTwoFactor gives what an authenticator is set up with: the secret in base32, and the same as an otpauth address for
// a QR code. Nothing is asked for until ConfirmTwoFactor. Beginning again gives another secret.
//
// Errors: unauthorized without a session; forbidden if it did not begin in the last 10 minutes; conflict if there is a second
// factor.
func (p *People) BeginTwoFactor(ctx context.Context) (key, uri secret.Value, err error) {
	const op = "set up two-factor sign-in"
	_, m, l, err := p.fresh(ctx)
	if err == nil && !l.TOTP.Empty() {
		err = &fault.Error{Code: fault.Conflict,
			Msg:  fault.Message{Key: "control.two_factor_on", Text: "Two-factor sign-in is on already."},
			Hint: fault.Message{Key: "control.two_factor_on_hint", Text: "To use another authenticator, turn it off first."}}
	}
	if err != nil {
		return key, uri, fault.Wrap(err, op)
	}
	k, err := totp.Generate(totp.GenerateOpts{Issuer: totpIssuer, AccountName: m.Email, SecretSize: 20})
	if err != nil {
		return key, uri, fault.From(err, fault.Internal, op)
	}
	next := l
	next.Pending = secret.New(k.Secret())
	if err := p.cfg.Store.SetLock(ctx, m.ID, l, next, false, ""); err != nil {
		return key, uri, fault.Wrap(err, op)
	}
	return next.Pending, secret.New(k.URL()), nil
}

// ConfirmTwoFactor turns two-factor sign-in on, with a code that shows that the authenticator is set up, and ends the
// actor's other sessions. It gives the recovery codes, once.
//
// Errors: unauthorized without a session; conflict if it was not begun; invalid with the field code; rate_limited.
func (p *People) ConfirmTwoFactor(ctx context.Context, code string) ([]secret.Value, error) {
	const op = "turn two-factor sign-in on"
	a, m, l, err := p.own(ctx)
	if err == nil && l.Pending.Empty() {
		err = &fault.Error{Code: fault.Conflict,
			Msg:  fault.Message{Key: "control.two_factor_not_begun", Text: "There is no authenticator that waits for its first code."},
			Hint: fault.Message{Key: "control.two_factor_not_begun_hint", Text: "Begin again."}}
	}
	if err == nil {
		err = p.proofs.try(string(m.ID), p.now())
	}
	if err != nil {
		return nil, fault.Wrap(err, op)
	}
	next := Lock{Password: l.Password, TOTP: l.Pending}
	if !next.spend(code, p.now()) {
		return nil, invalid(op, []fault.Problem{fault.Field("code", "wrong", "field.code_now", "This is not the code that the authenticator shows now.")})
	}
	var shown []secret.Value
	shown, next.Recovery = newRecoveryCodes()
	ctx = p.logged(ctx, "member.edit", subject{0, string(m.ID), m.Email}, twoFactor(false), twoFactor(true))
	if err := p.cfg.Store.SetLock(ctx, m.ID, l, next, true, a.Session); err != nil {
		return nil, fault.Wrap(err, op)
	}
	return shown, nil
}

// RemoveTwoFactor turns two-factor sign-in off, for whoever gives the password or a code. Without one there is nothing
// to turn off.
//
// Errors: unauthorized without a session; invalid with the field password or code; rate_limited.
func (p *People) RemoveTwoFactor(ctx context.Context, password secret.Value, code string) error {
	const op = "turn two-factor sign-in off"
	a, m, l, err := p.own(ctx)
	if err != nil || l.TOTP.Empty() {
		return fault.Wrap(err, op)
	}
	used := l
	if !password.Empty() {
		err = p.proves(ctx, m, l, "password", password)
	} else if err = p.proofs.try(string(m.ID), p.now()); err == nil && !used.spend(code, p.now()) {
		err = invalid("", []fault.Problem{fault.Field("code", "wrong", "field.code_wrong", "This is not the code, or it has been used.")})
	}
	if err != nil {
		return fault.Wrap(err, op)
	}
	ctx = p.logged(ctx, "member.edit", subject{0, string(m.ID), m.Email}, twoFactor(true), twoFactor(false))
	return fault.Wrap(p.cfg.Store.SetLock(ctx, m.ID, l, Lock{Password: l.Password}, true, a.Session), op)
}

// ResetTwoFactor turns two-factor sign-in off for a member who has lost authenticator and recovery codes, and ends their
// sessions. Nobody does it for themselves: that takes a code, see RemoveTwoFactor.
//
// Errors: unauthorized, forbidden; not_found.
func (p *People) ResetTwoFactor(ctx context.Context, id MemberID) error {
	const op = "turn two-factor sign-in off"
	ctx, a, err := need(ctx, RightInstall, 0)
	if err == nil && a.Member == id {
		err = ownRights()
	}
	if err != nil {
		return fault.Wrap(err, op)
	}
	return fault.Wrap(anew(func() error {
		m, err := p.cfg.Store.Member(ctx, id)
		if err != nil || !m.TwoFactor {
			return err
		}
		l, err := p.cfg.Store.Lock(ctx, id)
		if err != nil {
			return err
		}
		ctx := p.logged(ctx, "member.edit", subject{0, string(id), m.Email}, twoFactor(true), twoFactor(false))
		return p.cfg.Store.SetLock(ctx, id, l, Lock{Password: l.Password}, true, "")
	}), op)
}

func twoFactor(on bool) map[string]bool { return map[string]bool{"two_factor": on} }
