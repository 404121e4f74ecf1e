package control

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// MemberID names a person for ever: 24 hex digits.
type MemberID string

// Member is a person. What they may do in a workspace is their Membership there.
type Member struct {
	ID       MemberID
	Email    string // lower case, unique in the installation
	Name     string
	Language string // one of Languages; empty: as the browser asks
	TimeZone string // IANA name; empty: UTC
	Mail     Mail
	// Installation administrators see the machine and every workspace, and make workspaces.
	Installation bool
	Password     bool // has one; otherwise signs in elsewhere
	TwoFactor    bool // needs a code to sign in
	CreatedAt    time.Time
	SeenAt       time.Time // when they last asked for something; zero: never. Up to a minute behind
	Rev          int64     // counts the changes, see Connector.Rev
}

// Mail is which notices of their workspaces a member is mailed, beside those that they are the one to be told of.
type Mail string

// The wishes.
const (
	MailOwn    Mail = ""       // none beside
	MailUrgent Mail = "urgent" // those by which events are lost or may be, see NoticeKind.Urgent
	MailAll    Mail = "all"    // all that are mailed to anybody
)

// Membership is a member's place in a workspace.
type Membership struct {
	Workspace      uint32
	Member         MemberID
	Role           Role
	ExportUserData bool
	CreatedAt      time.Time
}

// State tells the few states of a place apart: what a member may do there.
func (m Membership) State() int64 {
	state := int64(2 * (rank(m.Role) + 1))
	if m.ExportUserData {
		state++
	}
	return state
}

// SeatChange is what becomes of a place. It holds only for the place that was thought through: who is removed or lowered
// meanwhile does not come back by it.
type SeatChange struct {
	Was  Membership // no role: there is none. When it was made does not count
	Next Membership // of the same member and workspace
}

// Seat is a member with their place, as a workspace lists its people.
type Seat struct {
	Member
	Membership
}

// Lock is what signs a member in: kept apart from the member, so that no list carries it.
type Lock struct {
	Password secret.Value   // its hash in PHC form; empty: none
	TOTP     secret.Value   // base32; empty: none
	Pending  secret.Value   // a TOTP secret that was shown and not confirmed yet
	Recovery []RecoveryHash // of the codes that are left
	LastStep int64          // newest step of TOTP that was used: no code works twice
}

// LockChange is what becomes of a lock, if it still is what it was. The order of recovery codes means nothing.
type LockChange struct{ Was, Next Lock }

// RecoveryHash is the SHA-256 of a recovery code: 80 random bits, so a plain hash will do, as for KeyHash.
type RecoveryHash [32]byte

// Identity is how an OpenID Connect provider names a member.
type Identity struct {
	Issuer  string
	Subject string
}

// SessionID names a session. It is no secret.
type SessionID string

// Session is a browser that is signed in. Its token is kept as a hash.
type Session struct {
	ID        SessionID
	Member    MemberID
	Address   string // from which it was last used
	Agent     string // what the browser said of itself, at most 200 bytes
	CreatedAt time.Time
	SeenAt    time.Time // up to a minute behind
	ExpiresAt time.Time
}

// TokenID names a personal token. It is no secret.
type TokenID string

// Token lets a program ask the control API as a member. It is shown once and kept as a hash.
type Token struct {
	ID        TokenID
	Member    MemberID
	Name      string // unique for the member
	ReadOnly  bool
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	UsedAt    time.Time // zero: never. Up to a minute behind
}

// TicketKind is what a ticket is good for.
type TicketKind string

// The kinds.
const (
	TicketInvitation TicketKind = "invitation" // joins a workspace, as a new member or as one that exists
	TicketReset      TicketKind = "reset"      // sets a member's password
	TicketFirst      TicketKind = "first"      // makes the first installation administrator
)

// TicketID names a ticket. It is no secret; the token in its link is.
type TicketID string

// Ticket is a link that works once.
type Ticket struct {
	ID             TicketID
	Kind           TicketKind
	Email          string   // whom it was sent to; empty for TicketFirst
	Member         MemberID // of TicketReset
	Workspace      uint32   // of TicketInvitation; 0: none
	Role           Role
	ExportUserData bool
	Installation   bool   // an invitation to be an installation administrator
	By             string // name of who made it
	// Maker is the member who made it: an invitation is worth what they may give when it is used. Of a reset it is who
	// asked for it themselves. Empty: the command line, or the installation.
	Maker     MemberID
	CreatedAt time.Time
	ExpiresAt time.Time
}

// MayGive reports whether the actor may invite to what t is good for.
func (a Actor) MayGive(t Ticket) bool {
	return (!t.Installation || a.May(RightInstall, 0)) && a.May(administers(t.Workspace), t.Workspace) &&
		(!t.ExportUserData || a.mayGiveData(t.Workspace))
}

// mayGiveData reports whether the actor may let others see and take out personal data: who may do so themselves, or an
// installation administrator.
func (a Actor) mayGiveData(workspace uint32) bool {
	return a.Installation || a.May(RightExportUserData, workspace)
}

// givingData holds the actor to what lets them give it, see Holding. Errors: forbidden.
func (a Actor) givingData(ctx context.Context, workspace uint32) (context.Context, error) {
	switch {
	case !a.mayGiveData(workspace):
		return ctx, dataRights()
	case a.Installation:
		return Holding(ctx, RightInstall, 0), nil
	}
	return Holding(ctx, RightExportUserData, workspace), nil
}

// takingData holds a member who acts to the right to export user data themselves, see Holding: an installation administrator too,
// who may give it to others alone. Without it they get refusal. The command line, and the installation itself, are held to nothing.
func takingData(ctx context.Context, workspace uint32, refusal *fault.Error) (context.Context, error) {
	switch a := ActorOf(ctx); {
	case a.Member == "":
		return ctx, nil
	case !a.May(RightExportUserData, workspace):
		return ctx, refusal
	}
	return Holding(ctx, RightExportUserData, workspace), nil
}

// Letter is a mail to one person that carries a link which works once. It is not a Notice: those are kept.
type Letter struct {
	Kind      TicketKind
	To        string
	Language  string // one of Languages
	Workspace string // name; empty: none
	By        string // who invites
	Link      secret.Value
	ExpiresAt time.Time
}
