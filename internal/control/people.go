package control

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// PeopleStore is what the actions about people need of the database. Every method is one transaction; see room store
// for errors. Hashes are those of tokens that only their holders have.
type PeopleStore interface {
	Member(ctx context.Context, id MemberID) (Member, error)
	MemberByEmail(ctx context.Context, email string) (Member, error)
	MemberByIdentity(ctx context.Context, i Identity) (Member, error)
	Members(ctx context.Context) ([]Member, error) // of the installation, by e-mail
	// CreateMember makes a member, with a membership if seat is not nil. Errors: conflict if the address is taken.
	CreateMember(ctx context.Context, m Member, l Lock, seat *Membership) error
	// UpdateMember writes what a person decides of a member. Errors: not_found, stale (Rev); conflict if nobody would
	// be installation administrator any more.
	UpdateMember(ctx context.Context, m Member) error
	// DeleteMember takes a member away with seats, sessions, tokens, identities and tickets. Errors: not_found; conflict
	// if it is the last installation administrator.
	DeleteMember(ctx context.Context, id MemberID) error
	Lock(ctx context.Context, id MemberID) (Lock, error)
	// SetLock changes what signs a member in from was to next; ends all sessions but keep's if endSessions. Errors:
	// stale if it is not was any more.
	SetLock(ctx context.Context, id MemberID, was, next Lock, endSessions bool, keep SessionID) error
	// LinkIdentity lets a provider sign a member in, and ends what else does: password, second factor, links that set a
	// password, sessions, tokens. Again it changes nothing. Errors: conflict if the identity is another member's, or if
	// its issuer signs the member in under another name already.
	LinkIdentity(ctx context.Context, id MemberID, i Identity) error

	Seats(ctx context.Context, workspace uint32) ([]Seat, error) // by e-mail
	SeatsOf(ctx context.Context, id MemberID) ([]Membership, error)
	// SetSeat makes a member's place what c says. Errors: stale if it is not c.Was any more. SetSeat and RemoveSeat:
	// conflict if the workspace would be left without an administrator.
	SetSeat(ctx context.Context, c SeatChange) error
	RemoveSeat(ctx context.Context, workspace uint32, id MemberID) error

	CreateSession(ctx context.Context, s Session, hash KeyHash) error
	SessionByHash(ctx context.Context, hash KeyHash) (Session, error)
	TouchSession(ctx context.Context, s Session) error // address and times
	Sessions(ctx context.Context, id MemberID) ([]Session, error)
	EndSession(ctx context.Context, member MemberID, id SessionID) error

	CreateToken(ctx context.Context, t Token, hash KeyHash) error // conflict: the name is taken
	TokenByHash(ctx context.Context, hash KeyHash) (Token, error)
	TouchToken(ctx context.Context, id TokenID, at time.Time) error
	Tokens(ctx context.Context, id MemberID) ([]Token, error)
	DeleteToken(ctx context.Context, member MemberID, id TokenID) error

	// CreateTicket makes a ticket in place of others of its kind for the same address and workspace. A reset that a member
	// asked for takes no place until it is settled, and only that of others they asked for.
	CreateTicket(ctx context.Context, t Ticket, hash KeyHash) error
	SettleReset(ctx context.Context, t Ticket, sent bool) error      // ends what it takes the place of, or itself
	TicketByHash(ctx context.Context, hash KeyHash) (Ticket, error)  // not_found: used, replaced or past
	Tickets(ctx context.Context, workspace uint32) ([]Ticket, error) // that are not past
	DeleteTicket(ctx context.Context, workspace uint32, id TicketID) error
	TicketsFor(ctx context.Context, email string) ([]Ticket, error) // open invitations sent to that address, the oldest first
	// UseTicket spends a ticket and does what it is good for, in one transaction: m is made if its Rev is 0, else
	// written as UpdateMember does; lock and seat change if they are not nil. A reset ends all sessions. Errors: not_found
	// if it was spent meanwhile, or its maker may not give it any more; stale, also if lock or seat are not what they were; conflict.
	UseTicket(ctx context.Context, id TicketID, m Member, lock *LockChange, seat *SeatChange) error

	WorkspaceName(ctx context.Context, workspace uint32) (string, error)
	// Sweep takes away sessions, tickets and answers that are past.
	Sweep(ctx context.Context, now time.Time) error

	Entries(ctx context.Context, f EntryFilter, before int64, limit int) ([]Entry, error) // newest first
}

// PeopleConfig is what People works with. All are needed but Now and OnUnsent.
type PeopleConfig struct {
	Store PeopleStore
	// Send hands a letter to the mail server. Errors: unavailable if there is none, or it cannot take it now.
	Send func(ctx context.Context, l Letter) error
	// BaseURL is how people reach the installation, without a slash at its end.
	BaseURL  func() string
	Now      func() time.Time // nil: time.Now
	OnUnsent func(error)      // a letter that was promised in the background did not leave; nil: nobody minds
}

// People is the actions about members: who they are, how they sign in, what they may do. Pages, the API and the command
// line all go through it. Who asks stands in the context, see WithActor; each action looks at their right itself.
//
// What it knows of tries and of who signed in from where is in memory: several processes count apart. Safe for concurrent
// use.
type People struct {
	cfg       PeopleConfig
	passwords *secret.Passwords
	known     *pairs
	proved    *proofs
	resets    chan string // addresses that wait for a letter

	addresses, accounts, accountsFrom, late, proofs, letters, invites *limits
}

// hashesAtOnce bounds the memory of passwords that are being looked at: 19 MiB each.
const hashesAtOnce = 2

// NewPeople gives the actions; Run has to run beside them.
func NewPeople(cfg PeopleConfig) *People {
	return &People{
		cfg: cfg, passwords: secret.NewPasswords(hashesAtOnce), known: newPairs(), proved: &proofs{all: map[KeyHash]proof{}}, resets: make(chan string, 100),
		addresses: newLimits(triesOfAddress, everyOfAddress), accounts: newLimits(triesOfAccount, everyOfAccount),
		accountsFrom: newLimits(triesOfAccount, everyOfAccount), late: newLimits(triesLate, everyLate), proofs: newLimits(triesOfAccount, everyOfAccount),
		letters: newLimits(resetsAtOnce, everyReset), invites: newLimits(invitesAtOnce, everyInvite),
	}
}

// sweepEvery is how often what is past is taken out of the database.
const sweepEvery = time.Hour

// Run sends the letters that RequestReset promised, and takes away what is past, until ctx is done. It returns nil.
func (p *People) Run(ctx context.Context) error {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case email := <-p.resets:
			err = fault.Wrap(p.sendReset(ctx, email), "send the link that sets a password")
		case <-sweep.C:
			err = fault.Wrap(p.cfg.Store.Sweep(ctx, p.now()), "take away sessions and links that are past")
		}
		if err != nil && p.cfg.OnUnsent != nil {
			p.cfg.OnUnsent(err)
		}
	}
}

// now is as exact as times are kept, so that what is made is read later as it was answered.
func (p *People) now() time.Time {
	if p.cfg.Now != nil {
		return p.cfg.Now().UTC().Truncate(time.Millisecond)
	}
	return time.Now().UTC().Truncate(time.Millisecond)
}

func (p *People) logged(ctx context.Context, action string, s subject, before, after any, secrets ...string) context.Context {
	return logged(ctx, p.now(), action, s, before, after, secrets...)
}

// own gives the actor with what signs them in, for what only a person in their session may do: who has come by a token
// could otherwise stay when it is revoked. Errors: unauthorized.
func (p *People) own(ctx context.Context) (Actor, Member, Lock, error) {
	a := ActorOf(ctx)
	if a.Member == "" || a.Session == "" {
		return a, Member{}, Lock{}, &fault.Error{Code: fault.Unauthorized,
			Msg:  fault.Message{Key: "control.session_needed", Text: "This needs a person who is signed in."},
			Hint: fault.Message{Key: "control.session_needed_hint", Text: "Sign in on the dashboard; a personal token is not enough."}}
	}
	m, err := p.cfg.Store.Member(ctx, a.Member)
	if err != nil {
		return a, Member{}, Lock{}, err
	}
	l, err := p.cfg.Store.Lock(ctx, a.Member)
	return a, m, l, err
}

// freshFor is how long after signing in somebody may do what lets them in later.
const freshFor = 10 * time.Minute

// fresh is own for what would let somebody stay who has only come upon a browser that is signed in: it takes a session that
// has just begun. Errors: as own; forbidden if it began earlier.
func (p *People) fresh(ctx context.Context) (Actor, Member, Lock, error) {
	a, m, l, err := p.own(ctx)
	if err != nil {
		return a, m, l, err
	}
	all, err := p.cfg.Store.Sessions(ctx, m.ID)
	if err == nil && !slices.ContainsFunc(all, func(s Session) bool { return s.ID == a.Session && p.now().Sub(s.CreatedAt).Abs() <= freshFor }) {
		err = &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "control.sign_in_again", Text: "This takes a sign-in of the last 10 minutes."},
			Hint: fault.Message{Key: "control.sign_in_again_hint", Text: "Sign in again."}}
	}
	return a, m, l, err
}

// need gives who asks if they have the right, and the context in which they are held to it, see Holding: what is written
// for them is written under it. Errors: unauthorized if they are unknown, else forbidden.
func need(ctx context.Context, r Right, workspace uint32) (context.Context, Actor, error) {
	a := ActorOf(ctx)
	switch {
	case a.May(r, workspace):
		return Holding(ctx, r, workspace), a, nil
	case a.Member == "":
		return ctx, a, &fault.Error{Code: fault.Unauthorized, Msg: fault.Message{Key: "control.nobody", Text: "Nobody is signed in."}}
	}
	return ctx, a, &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "control.forbidden", Text: "You may not do this."},
		Hint: fault.Message{Key: "control.forbidden_hint", Text: "Ask an administrator of the workspace or of the installation."}}
}

// arriving is the actor of what a member does who is only just known, by a link for instance.
func arriving(ctx context.Context, m Member, via string) Actor {
	a := ActorOf(ctx)
	return Actor{Member: m.ID, Name: m.Email, Via: via, Session: a.Session, Address: a.Address, Request: a.Request, Language: m.Language}
}

// foldEmail gives an address in the form in which it is kept and compared.
func foldEmail(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// validateAddress gives the problem of a member's address, if it has one.
func validateAddress(field, email string) []fault.Problem {
	if email == "" {
		return []fault.Problem{fault.Field(field, "required", "field.email_needed", "An e-mail address is needed.")}
	}
	return validateEmail(field, email)
}

// What tokens of sessions and personal tokens begin with: people and scanners recognise a leaked one.
const (
	sessionPrefix = "mrs_"
	proofPrefix   = "mrc_"
	tokenPrefix   = "mrp_"
)

// newToken makes a token: its prefix and 26 random characters (130 bits).
func newToken(prefix string) secret.Value { return secret.New(prefix + strings.ToLower(rand.Text())) }

// How long links work.
const (
	inviteLife = 7 * 24 * time.Hour
	resetLife  = time.Hour
	firstLife  = 7 * 24 * time.Hour
)

// ticket makes t for so long and gives its link. The context may carry its entry.
func (p *People) ticket(ctx context.Context, t Ticket, life time.Duration) (Ticket, secret.Value, error) {
	t.ID, t.CreatedAt = NewTicketID(), p.now()
	t.ExpiresAt = t.CreatedAt.Add(life)
	token := newToken("")
	at := map[TicketKind]string{TicketInvitation: "/invitations/", TicketReset: "/password/", TicketFirst: "/start/"}[t.Kind]
	return t, secret.New(p.cfg.BaseURL() + at + token.Reveal()), p.cfg.Store.CreateTicket(ctx, t, HashKey(token.Reveal()))
}

// open gives the ticket with that token if it is of one of these kinds. Errors: not_found, also if it is past.
func (p *People) open(ctx context.Context, token secret.Value, kinds ...TicketKind) (Ticket, error) {
	t, err := p.cfg.Store.TicketByHash(ctx, HashKey(token.Reveal()))
	if err == nil && !slices.Contains(kinds, t.Kind) {
		err = fault.New(fault.NotFound, "", "of another kind")
	}
	return t, gone(err)
}

// gone says of a ticket that is not there what its holder can do.
func gone(err error) error {
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	return &fault.Error{Code: fault.NotFound,
		Msg:  fault.Message{Key: "control.link_gone", Text: "This link has been used, was replaced by a newer one, or is too old."},
		Hint: fault.Message{Key: "control.link_gone_hint", Text: "Ask for a new one where it came from."}}
}
