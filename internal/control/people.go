package control

import (
	"context"
	"time"
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
	LinkIdentity(ctx context.Context, id MemberID, i Identity) error

	Seats(ctx context.Context, workspace uint32) ([]Seat, error) // by e-mail
	SeatsOf(ctx context.Context, id MemberID) ([]Membership, error)
	// SetSeat writes a membership. SetSeat and RemoveSeat: conflict if the workspace would be left without an
	// administrator.
	SetSeat(ctx context.Context, m Membership) error
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

	// CreateTicket makes a ticket in place of others of its kind for the same address and workspace.
	CreateTicket(ctx context.Context, t Ticket, hash KeyHash) error
	TicketByHash(ctx context.Context, hash KeyHash) (Ticket, error) // not_found: used, replaced or past
	Tickets(ctx context.Context, workspace uint32) ([]Ticket, error)
	DeleteTicket(ctx context.Context, workspace uint32, id TicketID) error
	TicketsFor(ctx context.Context, email string) ([]Ticket, error) // open invitations sent to that address, the oldest first
	// UseTicket spends a ticket and does what it is good for, in one transaction: m is made if its Rev is 0, else
	// written as UpdateMember does; it gets lock if that is not nil, and seat if that is not nil, in place of the one it
	// has. A reset ends all sessions. Errors: not_found if it was spent meanwhile; stale, conflict.
	UseTicket(ctx context.Context, id TicketID, m Member, lock *Lock, seat *Membership) error

	WorkspaceName(ctx context.Context, workspace uint32) (string, error)
	// Sweep takes away sessions, tickets and answers that are past.
	Sweep(ctx context.Context, now time.Time) error

	Entries(ctx context.Context, f EntryFilter, before int64, limit int) ([]Entry, error) // newest first
}
