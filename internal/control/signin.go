package control

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// How long a session lives.
const (
	sessionIdle = 14 * 24 * time.Hour // after it was last used
	sessionLife = 90 * 24 * time.Hour // after it began
	touchEvery  = time.Minute         // how often its use is written down
	maxAgent    = 200                 // bytes of what the browser says of itself
)

// Client is where somebody signs in from.
type Client struct {
	Address string // of the client, as the log of changes keeps it
	Agent   string // what the browser says of itself
}

// SignIn is what a member signs in with.
type SignIn struct {
	Email    string
	Password secret.Value
	Proof    secret.Value // in place of the password: what SignIn gave when it asked for the code
	Code     string       // of the second factor, or a recovery code; empty: not asked for yet
	Client
}

// SignIn begins a session for whoever knows the password, and the code if the member has a second factor. It gives the
// session with its token.
//
// Tries are counted: those of a network, those into an account, and those into an account from one network. Where one of
// the first two is spent, the right password still lets a member in from a network that they have signed in from: so
// strangers can slow an account down for other strangers only. A right password is no try into its account unless its code
// is wrong; it stays one of its network, for it takes the same work.
//
// Where only the code is missing or wrong, the value is no token but a proof that the password was right: within five
// minutes it stands in for the password, until it has signed somebody in or the password is another. So nobody has to keep
// the password until the code comes.
//
// What is refused, and when, follows from the network's own tries and from whether it was let in, and from nothing else: an
// account whose tries are spent is refused like a wrong password, after the same work. Otherwise the tries of others, and
// those by which a member signs in, would tell which accounts there are.
//
// Errors: unauthorized, in one sentence for an unknown account, a wrong password and an account whose tries are spent, and
// after the same time; with the field problem code "required" or "wrong" if the password was right; in a sentence of its own
// for a proof that holds no more; rate_limited if the network's tries are spent.
func (p *People) SignIn(ctx context.Context, in SignIn) (Session, secret.Value, error) {
	s, token, err := p.signIn(ctx, in)
	return s, token, fault.Wrap(err, "sign in")
}

func (p *People) signIn(ctx context.Context, in SignIn) (Session, secret.Value, error) {
	email, network, now := foldEmail(in.Email), networkOf(in.Address), p.now()
	// An unknown account goes the whole way, as the member with no id and no password.
	m, err := p.cfg.Store.MemberByEmail(ctx, email)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Session{}, secret.Value{}, err
	}
	l, err := p.cfg.Store.Lock(ctx, m.ID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Session{}, secret.Value{}, err
	}
	known, err := p.knows(ctx, m.ID, network)
	if err != nil {
		return Session{}, secret.Value{}, err
	}
	spent := p.addresses.try(network, now)
	if spent != nil {
		if err := p.late.try(network, now); err != nil {
			return Session{}, secret.Value{}, err
		}
	}
	giveBack := func() {}
	slowed := false
	if spent == nil {
		var err error
		giveBack, err = p.accounts.take(email, now)
		slowed = err != nil
	}
	giveBackHere, err := p.accountsFrom.take(email+" "+network, now)
	slowedHere := err != nil
	right, old := true, false
	if in.Password.Empty() && !in.Proof.Empty() {
		if !p.proved.holds(in.Proof, m.ID, l.Password, now) {
			return Session{}, secret.Value{}, &fault.Error{Code: fault.Unauthorized,
				Msg: fault.Message{Key: "control.proof_past", Text: "The password has to be typed again: more than five minutes have passed, or it was changed."}}
		}
	} else if right, old, err = p.passwords.Verify(ctx, in.Password, l.Password); err != nil {
		return Session{}, secret.Value{}, err
	}
	enters := right && !slowedHere && (known || spent == nil && !slowed)
	if !enters && spent != nil {
		return Session{}, secret.Value{}, spent
	}
	if !enters {
		return Session{}, secret.Value{}, &fault.Error{Code: fault.Unauthorized,
			Msg:  fault.Message{Key: "control.wrong_password", Text: "The e-mail address or the password is wrong."},
			Hint: fault.Message{Key: "control.wrong_password_hint", Text: "Try again. After ten tries only one a minute counts: then wait that long, or ask for a link that sets a new password."}}
	}
	next, proof := l, in.Proof
	if !l.TOTP.Empty() {
		if !in.Password.Empty() {
			proof = p.proved.add(m.ID, l.Password, now)
		}
		if in.Code == "" {
			giveBack()
			giveBackHere()
			return Session{}, proof, codeProblem("required", "field.code_needed", "The code of your authenticator is needed.")
		}
		if !next.spend(in.Code, now) {
			return Session{}, proof, codeProblem("wrong", "field.code_wrong", "This is not the code, or it has been used.")
		}
	}
	if old {
		if next.Password, err = p.passwords.Hash(ctx, in.Password); err != nil {
			return Session{}, secret.Value{}, err
		}
	}
	if old || !l.TOTP.Empty() {
		switch err := p.cfg.Store.SetLock(ctx, m.ID, l, next, false, ""); {
		case fault.Is(err, fault.Stale) && !l.TOTP.Empty(): // somebody was quicker, with this very code perhaps
			return Session{}, proof, codeProblem("wrong", "field.code_wrong", "This is not the code, or it has been used.")
		case fault.Is(err, fault.Stale): // the password is hashed anew the next time
		case err != nil:
			return Session{}, secret.Value{}, err
		}
	}
	giveBack()
	giveBackHere()
	p.proved.spend(proof)
	return p.begin(ctx, m, in.Client)
}

func codeProblem(code, key, message string) error {
	return &fault.Error{Code: fault.Unauthorized, Fields: []fault.Problem{fault.Field("code", code, key, message)},
		Msg: fault.Message{Key: "control.code_needed", Text: "Signing in takes the code of your authenticator as well."}}
}

// knows reports whether the member has signed in from that network: lately, or with a session that goes on.
func (p *People) knows(ctx context.Context, id MemberID, network string) (bool, error) {
	if p.known.has(id, network) {
		return true, nil
	}
	all, err := p.cfg.Store.Sessions(ctx, id)
	return slices.ContainsFunc(all, func(s Session) bool { return networkOf(s.Address) == network }), err
}

// begin makes a session for a member who has proved who they are.
func (p *People) begin(ctx context.Context, m Member, c Client) (Session, secret.Value, error) {
	now := p.now()
	agent := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(c.Agent, ""))
	s := Session{ID: NewSessionID(), Member: m.ID, Address: c.Address, Agent: strings.ToValidUTF8(agent[:min(len(agent), maxAgent)], ""),
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(sessionIdle)}
	token := newToken(sessionPrefix)
	err := p.cfg.Store.CreateSession(ctx, s, HashKey(token.Reveal()))
	if err == nil {
		p.known.add(m.ID, networkOf(c.Address))
	}
	return s, token, err
}

// SignOut ends the session that the actor came by. Without one there is nothing to end.
func (p *People) SignOut(ctx context.Context) error {
	a := ActorOf(ctx)
	if a.Session == "" {
		return nil
	}
	return fault.Wrap(ended(p.cfg.Store.EndSession(ctx, a.Member, a.Session)), "sign out")
}

// ended takes a thing that is not there for ended.
func ended(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// Sessions gives the actor's sessions, without those that are past. Errors: unauthorized.
func (p *People) Sessions(ctx context.Context) ([]Session, error) {
	const op = "list sessions"
	_, a, err := need(ctx, RightSignedIn, 0)
	if err != nil {
		return nil, fault.Wrap(err, op)
	}
	all, err := p.cfg.Store.Sessions(ctx, a.Member)
	return slices.DeleteFunc(all, func(s Session) bool { return p.over(s) }), fault.Wrap(err, op)
}

// EndSession ends a session of the actor's, the one they came by as well. Errors: unauthorized; not_found.
func (p *People) EndSession(ctx context.Context, id SessionID) error {
	const op = "end session"
	a, m, _, err := p.own(ctx)
	if err != nil {
		return fault.Wrap(err, op)
	}
	ctx = p.logged(ctx, "session.end", subject{0, string(id), m.Email}, struct{}{}, nil)
	return fault.Wrap(p.cfg.Store.EndSession(ctx, a.Member, id), op)
}

// EndOtherSessions ends all sessions of the actor's but the one they came by. Errors: unauthorized without a session;
// stale if what signs them in was changed at the same moment.
func (p *People) EndOtherSessions(ctx context.Context) error {
	const op = "end other sessions"
	a, m, l, err := p.own(ctx)
	if err != nil {
		return fault.Wrap(err, op)
	}
	ctx = p.logged(ctx, "session.end", subject{0, string(m.ID), m.Email}, struct{}{}, nil)
	return fault.Wrap(p.cfg.Store.SetLock(ctx, m.ID, l, l, true, a.Session), op)
}

// over reports whether a session has ended, whatever the clock did since.
func (p *People) over(s Session) bool {
	now := p.now()
	return !now.Before(s.ExpiresAt) || !now.Before(s.CreatedAt.Add(sessionLife))
}

// ActorBySession gives who asks with a session's token, and the session. Its use is written down once a minute, and with
// it that it goes on for two weeks, up to its end. Errors: unauthorized.
func (p *People) ActorBySession(ctx context.Context, token secret.Value, address string) (Actor, Session, error) {
	const op = "find session"
	s, err := p.cfg.Store.SessionByHash(ctx, HashKey(token.Reveal()))
	if fault.Is(err, fault.NotFound) || err == nil && p.over(s) {
		err = &fault.Error{Code: fault.Unauthorized, Msg: fault.Message{Key: "control.signed_out", Text: "You are no longer signed in."},
			Hint: fault.Message{Key: "control.signed_out_hint", Text: "Sign in again."}}
	}
	if err != nil {
		return Actor{}, Session{}, fault.Wrap(err, op)
	}
	a, err := p.actor(ctx, s.Member, address)
	if err != nil {
		return Actor{}, Session{}, fault.Wrap(err, op)
	}
	a.Via, a.Session = "session", s.ID
	// The clock may have been set back: then what it said before is corrected as well.
	if now := p.now(); now.Sub(s.SeenAt).Abs() >= touchEvery {
		s.Address, s.SeenAt, s.ExpiresAt = address, now, now.Add(sessionIdle)
		if end := s.CreatedAt.Add(sessionLife); s.ExpiresAt.After(end) {
			s.ExpiresAt = end
		}
		if err := ended(p.cfg.Store.TouchSession(ctx, s)); err != nil {
			return Actor{}, Session{}, fault.Wrap(err, op)
		}
		p.known.add(s.Member, networkOf(address))
	}
	return a, s, nil
}

// ActorByToken gives who asks with a personal token. Its use is written down once a minute. Errors: unauthorized.
func (p *People) ActorByToken(ctx context.Context, token secret.Value, address string) (Actor, error) {
	const op = "find token"
	t, err := p.cfg.Store.TokenByHash(ctx, HashKey(token.Reveal()))
	now := p.now()
	if fault.Is(err, fault.NotFound) || err == nil && !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt) {
		err = &fault.Error{Code: fault.Unauthorized, Msg: fault.Message{Key: "control.token_unknown", Text: "The personal token is unknown, revoked or past."},
			Hint: fault.Message{Key: "control.token_unknown_hint", Text: "Make a new one on the page of your account."}}
	}
	if err != nil {
		return Actor{}, fault.Wrap(err, op)
	}
	a, err := p.actor(ctx, t.Member, address)
	if err != nil {
		return Actor{}, fault.Wrap(err, op)
	}
	a.Via, a.ReadOnly = "token "+t.Name, t.ReadOnly
	if now.Sub(t.UsedAt).Abs() >= touchEvery {
		if err := ended(p.cfg.Store.TouchToken(ctx, t.ID, now)); err != nil {
			return Actor{}, fault.Wrap(err, op)
		}
	}
	return a, nil
}

// actor gives a member as who asks. Errors: unauthorized if there is no such member any more.
func (p *People) actor(ctx context.Context, id MemberID, address string) (Actor, error) {
	m, err := p.cfg.Store.Member(ctx, id)
	if fault.Is(err, fault.NotFound) {
		err = &fault.Error{Code: fault.Unauthorized, Msg: fault.Message{Key: "control.member_gone", Text: "The member is gone."}}
	}
	if err != nil {
		return Actor{}, err
	}
	seats, err := p.cfg.Store.SeatsOf(ctx, id)
	return Actor{Address: address}.As(m, seats), err
}

// SignInElsewhere is what an OpenID Connect provider says of somebody who signed in there.
type SignInElsewhere struct {
	Identity
	Email    string
	Verified bool // the provider says that the address is theirs
	Name     string
	Client
}

// SignInWith begins a session for somebody whom a provider names: a member of that identity; else one of that address,
// whom the identity is linked to from now on; else a new member, if there is an invitation for the address. Only an
// address that the provider has verified counts, and only for a member whom that provider does not name otherwise already: an
// address may be given to somebody else there. The provider's second factor is taken for ours.
//
// Who held an invitation can have made the account of an address that is not theirs, for nothing proves the address
// there. So linking ends all that signed that member in until then: password, second factor, sessions, personal tokens.
// They may set a password again by a link that is mailed.
//
// Errors: forbidden if there is neither; conflict if the provider names the member of the address otherwise.
func (p *People) SignInWith(ctx context.Context, in SignInElsewhere) (Session, secret.Value, error) {
	const op = "sign in"
	m, err := p.cfg.Store.MemberByIdentity(ctx, in.Identity)
	if fault.Is(err, fault.NotFound) {
		m, err = p.introduce(ctx, in)
	}
	if err != nil {
		return Session{}, secret.Value{}, fault.Wrap(err, op)
	}
	s, token, err := p.begin(ctx, m, in.Client)
	return s, token, fault.Wrap(err, op)
}

// introduce finds or makes the member whom an unknown identity belongs to, and links it.
func (p *People) introduce(ctx context.Context, in SignInElsewhere) (Member, error) {
	uninvited := &fault.Error{Code: fault.Forbidden,
		Msg:  fault.Message{Key: "control.uninvited", Text: "There is no account for this e-mail address."},
		Hint: fault.Message{Key: "control.uninvited_hint", Text: "Ask an administrator of your workspace for an invitation."}}
	email := foldEmail(in.Email)
	if !in.Verified || len(validateAddress("email", email)) > 0 {
		return Member{}, uninvited
	}
	m, err := p.cfg.Store.MemberByEmail(ctx, email)
	if fault.Is(err, fault.NotFound) {
		m, err = p.joinInvited(ctx, email, in.Name)
		if err == nil && m.ID == "" {
			err = uninvited
		}
	}
	if err != nil {
		return Member{}, err
	}
	sessions, err := p.cfg.Store.Sessions(ctx, m.ID)
	if err != nil {
		return Member{}, err
	}
	tokens, err := p.cfg.Store.Tokens(ctx, m.ID)
	if err != nil {
		return Member{}, err
	}
	ctx = WithActor(ctx, arriving(ctx, m, "sign-in at "+in.Issuer))
	ctx = p.logged(ctx, "member.link", subject{0, string(m.ID), m.Email},
		map[string]any{"password": m.Password, "two_factor": m.TwoFactor, "sessions": len(sessions), "tokens": len(tokens)},
		map[string]any{"password": false, "two_factor": false, "sessions": 0, "tokens": 0, "issuer": in.Issuer, "subject": in.Subject})
	return m, p.cfg.Store.LinkIdentity(ctx, m.ID, in.Identity)
}

// joinInvited makes a member by the oldest invitation for an address, and takes the others up as well; those whose makers
// may not give them any more are left out. It gives no id if there is none.
func (p *People) joinInvited(ctx context.Context, email, name string) (m Member, err error) {
	ts, err := p.cfg.Store.TicketsFor(ctx, email)
	if err != nil {
		return Member{}, err
	}
	if len(validatePerson("name", name)) > 0 {
		name = email
	}
	for _, t := range ts {
		next := Member{ID: NewMemberID(), Email: email, Name: name, CreatedAt: p.now()}
		if m.ID != "" {
			if next, err = p.cfg.Store.Member(ctx, m.ID); err != nil {
				return Member{}, err
			}
		}
		switch err := p.join(ctx, t, next, nil); {
		case err == nil:
			m = next
		case !fault.Is(err, fault.NotFound):
			return Member{}, err
		}
	}
	return m, nil
}
