package control

import (
	"cmp"
	"context"
	"slices"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// Invite says who is to join, and as what.
type Invite struct {
	Email          string
	Workspace      uint32 // 0: none, of the installation alone
	Role           Role   // empty: viewer
	ExportUserData bool
	Installation   bool   // as installation administrator
	Language       string // of the letter: one of Languages; empty: the inviter's
}

// Invited is an invitation that was just made.
type Invited struct {
	Ticket
	Link   secret.Value // to be passed on; empty if it was mailed: then it is for nobody else's eyes
	Unsent error        // why it was not mailed; nil if it was
}

// Validate gives every problem of an invitation's fields.
func (in Invite) Validate() []fault.Problem {
	ps := append(validateAddress("email", foldEmail(in.Email)), validateRole("role", cmp.Or(in.Role, Viewer))...)
	ps = append(ps, validateLanguage("language", in.Language)...)
	if in.Workspace == 0 && !in.Installation {
		ps = append(ps, fault.Field("workspace", "required", "field.invitation", "An invitation is to a workspace, or to be installation administrator."))
	}
	return ps
}

// Invite makes an invitation in place of an earlier one for the same address, and mails its link. It works once, for a
// week, and as long as who made it may give what it gives.
//
// Errors: unauthorized, forbidden: it takes an administrator of the workspace, or an installation administrator for
// another one, and nobody gives the right to export user data who has not got it, but an installation administrator;
// invalid with every problem; conflict if the address is a member's there; rate_limited.
func (p *People) Invite(ctx context.Context, in Invite) (Invited, error) {
	const op = "invite"
	right := administers(in.Workspace)
	if in.Installation {
		right = RightInstall
	}
	ctx, a, err := need(ctx, right, in.Workspace)
	if err == nil && in.ExportUserData {
		ctx, err = a.givingData(ctx, in.Workspace)
	}
	if err != nil {
		return Invited{}, fault.Wrap(err, op)
	}
	in.Email, in.Role = foldEmail(in.Email), cmp.Or(in.Role, Viewer)
	if err := invalid(op, in.Validate()); err != nil {
		return Invited{}, err
	}
	name := ""
	if in.Workspace != 0 {
		if name, err = p.cfg.Store.WorkspaceName(ctx, in.Workspace); err != nil {
			return Invited{}, fault.Wrap(err, op)
		}
	}
	if err := p.joined(ctx, in); err != nil {
		return Invited{}, fault.Wrap(err, op)
	}
	if err := p.invites.try(a.Name, p.now()); err != nil {
		return Invited{}, fault.Wrap(err, op)
	}
	t := Ticket{Kind: TicketInvitation, Email: in.Email, Workspace: in.Workspace, Role: in.Role,
		ExportUserData: in.ExportUserData, Installation: in.Installation, By: a.Name, Maker: a.Member}
	t, link, err := p.ticket(p.logged(ctx, "invitation.create", subject{in.Workspace, "", in.Email}, nil, viewTicket(t)), t, inviteLife)
	if err != nil {
		return Invited{}, fault.Wrap(err, op)
	}
	// Without a letter the inviter passes the link on: what kept it back is told, and is no error of inviting.
	unsent := p.cfg.Send(ctx, Letter{Kind: TicketInvitation, To: in.Email, Language: cmp.Or(in.Language, a.Language),
		Workspace: name, By: a.Name, Link: link, ExpiresAt: t.ExpiresAt})
	if unsent == nil {
		link = secret.Value{}
	}
	return Invited{t, link, unsent}, nil
}

// joined refuses an invitation for somebody who is there already. For a workspace it looks at its own people alone, so that
// it takes no longer for an address that is a member's elsewhere. Errors: conflict.
func (p *People) joined(ctx context.Context, in Invite) error {
	var there bool
	if in.Workspace == 0 {
		m, err := p.cfg.Store.MemberByEmail(ctx, in.Email)
		if ended(err) != nil {
			return err
		}
		there = m.Installation
	} else {
		seats, err := p.cfg.Store.Seats(ctx, in.Workspace)
		if err != nil {
			return err
		}
		there = slices.ContainsFunc(seats, func(s Seat) bool { return s.Email == in.Email && (s.Installation || !in.Installation) })
	}
	if there {
		return (&fault.Error{Code: fault.Conflict, Params: fault.Params{"email": in.Email},
			Msg:  fault.Message{Key: "control.joined", Text: "{email} is a member already."},
			Hint: fault.Message{Key: "control.joined_hint", Text: "Change what they may do on the list of members."}}).At("email", "duplicate")
	}
	return nil
}

// Invitations gives the open invitations to a workspace, or with 0 those to the installation alone. Errors:
// unauthorized, forbidden.
func (p *People) Invitations(ctx context.Context, workspace uint32) ([]Ticket, error) {
	const op = "list invitations"
	_, ts, err := p.invitations(ctx, workspace)
	return ts, fault.Wrap(err, op)
}

// invitations is Invitations, with the context in which one of them may be changed.
func (p *People) invitations(ctx context.Context, workspace uint32) (context.Context, []Ticket, error) {
	ctx, _, err := need(ctx, administers(workspace), workspace)
	if err != nil {
		return ctx, nil, err
	}
	ts, err := p.cfg.Store.Tickets(ctx, workspace)
	return ctx, slices.DeleteFunc(ts, func(t Ticket) bool { return t.Kind != TicketInvitation }), err
}

// administers is the right to decide about people of a workspace, or with 0 of the installation.
func administers(workspace uint32) Right {
	if workspace == 0 {
		return RightInstall
	}
	return RightAdminister
}

// Revoke ends an invitation. Errors: unauthorized, forbidden, not_found.
func (p *People) Revoke(ctx context.Context, workspace uint32, id TicketID) error {
	const op = "revoke invitation"
	ctx, ts, err := p.invitations(ctx, workspace)
	i := slices.IndexFunc(ts, func(t Ticket) bool { return t.ID == id })
	if err == nil && i < 0 {
		err = &fault.Error{Code: fault.NotFound, Msg: fault.Message{Key: "control.no_invitation", Text: "There is no such invitation."}}
	}
	if err == nil && ts[i].Installation {
		ctx, _, err = need(ctx, RightInstall, 0)
	}
	if err != nil {
		return fault.Wrap(err, op)
	}
	ctx = p.logged(ctx, "invitation.revoke", subject{workspace, string(id), ts[i].Email}, viewTicket(ts[i]), nil)
	return fault.Wrap(p.cfg.Store.DeleteTicket(ctx, workspace, id), op)
}

// Opened is what the page of a link shows.
type Opened struct {
	Ticket
	WorkspaceName string // empty: none
	Known         bool   // the address is a member's: who signs in as that one takes the invitation up
}

// Look says what the link with that token is good for, without spending it. Errors: not_found.
func (p *People) Look(ctx context.Context, token secret.Value) (Opened, error) {
	const op = "look at link"
	t, err := p.open(ctx, token, TicketInvitation, TicketReset, TicketFirst)
	if err != nil {
		return Opened{}, fault.Wrap(err, op)
	}
	o := Opened{Ticket: t}
	if t.Workspace != 0 {
		if o.WorkspaceName, err = p.cfg.Store.WorkspaceName(ctx, t.Workspace); err != nil {
			return Opened{}, fault.Wrap(err, op)
		}
	}
	_, err = p.cfg.Store.MemberByEmail(ctx, t.Email)
	o.Known = err == nil
	return o, fault.Wrap(ended(err), op)
}

// Newcomer is somebody who makes themselves a member by a link.
type Newcomer struct {
	Email    string // of the first administrator; an invitation has its own
	Name     string
	Password secret.Value
	Language string // one of Languages; empty: as the browser asks
	TimeZone string // IANA name; empty: UTC
	Client
}

// Accept makes a new member by an invitation, or the first installation administrator by the link of the first start,
// and begins a session.
//
// Errors: not_found if the link is past; invalid with every problem; conflict if the address is a member's: they sign in
// and take the invitation up.
func (p *People) Accept(ctx context.Context, token secret.Value, in Newcomer) (Session, secret.Value, error) {
	s, t, err := p.accept(ctx, token, in)
	return s, t, fault.Wrap(err, "accept")
}

// LookAtAccept says what Accept would refuse of in, and does nothing. Errors: not_found, invalid.
func (p *People) LookAtAccept(ctx context.Context, token secret.Value, in Newcomer) error {
	_, _, err := p.newcomer(ctx, token, in)
	return err
}

// newcomer gives the ticket with that token and the member whom in would make by it. Errors: not_found; invalid with every
// problem.
func (p *People) newcomer(ctx context.Context, token secret.Value, in Newcomer) (Ticket, Member, error) {
	t, err := p.open(ctx, token, TicketInvitation, TicketFirst)
	if err != nil {
		return t, Member{}, err
	}
	if t.Kind == TicketFirst {
		some, err := p.Administrated(ctx)
		if err != nil {
			return t, Member{}, err
		}
		if some {
			return t, Member{}, gone(fault.New(fault.NotFound, "", "there is an installation administrator"))
		}
		t.Email, t.Installation = foldEmail(in.Email), true
	}
	m := Member{ID: NewMemberID(), Email: t.Email, Name: in.Name, Language: in.Language, TimeZone: in.TimeZone, CreatedAt: p.now()}
	problems := append(validateAddress("email", m.Email), m.Validate()...)
	if in.Email != "" && foldEmail(in.Email) != t.Email {
		problems = append(problems, fault.Field("email", "conflict", "field.invited_email", "The invitation is for {email}: leave the address out, or give this one.", "email", t.Email))
	}
	return t, m, invalid("", append(problems, validatePassword("password", in.Password, m.Email)...))
}

func (p *People) accept(ctx context.Context, token secret.Value, in Newcomer) (Session, secret.Value, error) {
	t, m, err := p.newcomer(ctx, token, in)
	if err != nil {
		return Session{}, secret.Value{}, err
	}
	_, err = p.cfg.Store.MemberByEmail(ctx, m.Email)
	if err == nil {
		return Session{}, secret.Value{}, &fault.Error{Code: fault.Conflict, Params: fault.Params{"email": m.Email},
			Msg:  fault.Message{Key: "control.sign_in_first", Text: "There is an account for {email} already."},
			Hint: fault.Message{Key: "control.sign_in_first_hint", Text: "Sign in to it, then open the link again."}}
	}
	if !fault.Is(err, fault.NotFound) {
		return Session{}, secret.Value{}, err
	}
	hash, err := p.passwords.Hash(ctx, in.Password)
	if err != nil {
		return Session{}, secret.Value{}, err
	}
	if err := p.join(ctx, t, m, &LockChange{Next: Lock{Password: hash}}); err != nil {
		return Session{}, secret.Value{}, err
	}
	return p.begin(ctx, m, in.Client)
}

// AcceptAsMember takes an invitation up, or the link of the first start, as the member who is signed in. What they may do
// already stays. Errors: unauthorized; not_found if the link is past; forbidden if they invited themselves; invalid if the
// invitation is for another address: who gave it decided whom, and the log of changes tells of them.
func (p *People) AcceptAsMember(ctx context.Context, token secret.Value) error {
	return fault.Wrap(anew(func() error { return p.acceptAsMember(ctx, token) }), "accept")
}

// LookAtAcceptAsMember says what AcceptAsMember would refuse, and does nothing. Errors: as there.
func (p *People) LookAtAcceptAsMember(ctx context.Context, token secret.Value) error {
	_, _, err := p.invited(ctx, token)
	return err
}

// invited gives the ticket with that token and the member who is signed in, who may take it up.
func (p *People) invited(ctx context.Context, token secret.Value) (Ticket, Member, error) {
	a, m, _, err := p.own(ctx)
	if err != nil {
		return Ticket{}, m, err
	}
	t, err := p.open(ctx, token, TicketInvitation, TicketFirst)
	switch {
	case err != nil:
	case t.Maker == a.Member:
		err = ownRights()
	case t.Kind == TicketInvitation && t.Email != m.Email:
		err = invalid("", []fault.Problem{fault.Field("token", "conflict", "field.invited_member", "The invitation is for {email}: sign in as {email}, or ask for one to your own address.", "email", t.Email)})
	}
	return t, m, err
}

func (p *People) acceptAsMember(ctx context.Context, token secret.Value) error {
	t, m, err := p.invited(ctx, token)
	if err != nil {
		return err
	}
	t.Installation = t.Installation || t.Kind == TicketFirst // which ends with whoever is one first, see UseTicket
	return p.join(ctx, t, m, nil)
}

// join spends t for m, a new member or one who is there. Errors: stale if m or their place was changed meanwhile.
func (p *People) join(ctx context.Context, t Ticket, m Member, l *LockChange) error {
	before, after := any(nil), map[string]any{"email": m.Email, "by": t.By}
	if t.Installation {
		m.Installation = true
		after["installation_administrator"] = true
	}
	var seat *SeatChange
	if t.Workspace != 0 {
		had, err := p.seat(ctx, t.Workspace, m.ID)
		if ended(err) != nil {
			return err
		}
		next := atLeast(had, Membership{Workspace: t.Workspace, Member: m.ID, Role: t.Role, ExportUserData: t.ExportUserData, CreatedAt: p.now()})
		seat = &SeatChange{had, next}
		after["role"], after["export_user_data"] = next.Role, next.ExportUserData
	}
	ctx = WithActor(ctx, arriving(ctx, m, string(t.Kind)))
	ctx = p.logged(ctx, "member.join", subject{t.Workspace, string(m.ID), m.Email}, before, after)
	return gone(p.cfg.Store.UseTicket(ctx, t.ID, m, l, seat))
}

// atLeast gives next with what had allows beyond it.
func atLeast(had, next Membership) Membership {
	next.ExportUserData = next.ExportUserData || had.ExportUserData
	if rank(had.Role) > rank(next.Role) {
		next.Role = had.Role
	}
	return next
}

// Administrated reports whether there is an installation administrator.
func (p *People) Administrated(ctx context.Context) (bool, error) {
	all, err := p.cfg.Store.Members(ctx)
	return slices.ContainsFunc(all, func(m Member) bool { return m.Installation }), err
}

// FirstLink makes the link by which the first installation administrator makes themselves a member; needed is false
// while there is one. It replaces the one that was given before.
func (p *People) FirstLink(ctx context.Context) (link secret.Value, needed bool, err error) {
	const op = "make the link of the first start"
	some, err := p.Administrated(ctx)
	if err != nil || some {
		return secret.Value{}, false, fault.Wrap(err, op)
	}
	_, link, err = p.ticket(ctx, Ticket{Kind: TicketFirst, By: ActorOf(ctx).Name}, firstLife)
	if fault.Is(err, fault.Conflict) { // the command line was quicker
		return secret.Value{}, false, nil
	}
	return link, true, fault.Wrap(err, op)
}

// AddMember says who is to be a member, without their doing.
type AddMember struct {
	Email          string
	Name           string       // empty: the address
	Password       secret.Value // empty: a link sets it
	Workspace      uint32       // 0: none
	Role           Role         // empty: viewer
	ExportUserData bool
	Installation   bool // as installation administrator
}

// AddMember makes a member, or gives a member of that address the place and the rights that it names, those they have
// left alone. For a member without a password it gives a link that sets one, for a week. It is for the command line.
//
// Errors: forbidden; invalid with every problem; not_found if there is no such workspace.
func (p *People) AddMember(ctx context.Context, in AddMember) (Member, secret.Value, error) {
	m, link, err := p.addMember(ctx, in)
	return m, link, fault.Wrap(err, "add member")
}

func (p *People) addMember(ctx context.Context, in AddMember) (m Member, link secret.Value, err error) {
	if ctx, _, err = need(ctx, RightInstall, 0); err != nil {
		return m, link, err
	}
	in.Email, in.Role = foldEmail(in.Email), cmp.Or(in.Role, Viewer)
	m, err = p.cfg.Store.MemberByEmail(ctx, in.Email)
	made := fault.Is(err, fault.NotFound)
	if err != nil && !made {
		return m, link, err
	}
	if made {
		m = Member{ID: NewMemberID(), Email: in.Email, Name: cmp.Or(in.Name, in.Email), Installation: in.Installation, CreatedAt: p.now()}
	}
	problems := append(validateAddress("email", in.Email), m.Validate()...)
	problems = append(problems, validateRole("role", in.Role)...)
	if !in.Password.Empty() {
		problems = append(problems, validatePassword("password", in.Password, in.Email)...)
	}
	if in.Workspace == 0 && in.ExportUserData {
		problems = append(problems, fault.Problem{Field: "workspace", Code: "required", Message: "User data is exported from a workspace."})
	}
	if err := invalid("", problems); err != nil {
		return m, link, err
	}
	var seat *Membership
	if in.Workspace != 0 {
		if _, err := p.cfg.Store.WorkspaceName(ctx, in.Workspace); err != nil {
			return m, link, err
		}
		seat = &Membership{Workspace: in.Workspace, Member: m.ID, Role: in.Role, ExportUserData: in.ExportUserData, CreatedAt: p.now()}
	}
	if made {
		err = p.create(ctx, m, in.Password, seat)
	} else {
		err = p.promote(ctx, m, in, seat)
	}
	if err == nil && in.Password.Empty() && !m.Password {
		ctx := p.logged(ctx, "member.password_link", subject{0, string(m.ID), m.Email}, nil, struct{}{})
		_, link, err = p.ticket(ctx, Ticket{Kind: TicketReset, Email: m.Email, Member: m.ID, By: ActorOf(ctx).Name}, inviteLife)
	}
	return m, link, err
}

func (p *People) create(ctx context.Context, m Member, password secret.Value, seat *Membership) (err error) {
	var l Lock
	if !password.Empty() {
		if l.Password, err = p.passwords.Hash(ctx, password); err != nil {
			return err
		}
	}
	after := viewMember(m)
	if seat != nil {
		if after["workspace"], err = p.cfg.Store.WorkspaceName(ctx, seat.Workspace); err != nil {
			return err
		}
		after["role"], after["export_user_data"] = seat.Role, seat.ExportUserData
	}
	return p.cfg.Store.CreateMember(p.logged(ctx, "member.create", subject{0, string(m.ID), m.Email}, nil, after), m, l, seat)
}

// promote gives a member who is there what in names.
func (p *People) promote(ctx context.Context, m Member, in AddMember, seat *Membership) error {
	if in.Installation && !m.Installation {
		if _, err := p.setInstallation(ctx, m, true); err != nil {
			return err
		}
	}
	if seat != nil {
		if err := anew(func() error {
			had, err := p.seat(ctx, seat.Workspace, m.ID)
			if ended(err) != nil {
				return err
			}
			return p.setSeat(ctx, m, had, atLeast(had, *seat))
		}); err != nil {
			return err
		}
	}
	if in.Password.Empty() {
		return nil
	}
	l, err := p.cfg.Store.Lock(ctx, m.ID)
	if err != nil {
		return err
	}
	return p.setPassword(ctx, m, l, in.Password, "")
}
