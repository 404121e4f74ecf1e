package store

import (
	"context"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const ticketQuery = `SELECT id, kind, email, member, workspace, role, export_user_data, installation, made_by, maker,
	created_at, expires_at FROM tickets `

func scanTicket(r scanner) (v control.Ticket, err error) {
	var created, expires int64
	err = r.Scan(&v.ID, &v.Kind, &v.Email, &v.Member, &v.Workspace, &v.Role, &v.ExportUserData, &v.Installation, &v.By, &v.Maker, &created, &expires)
	v.CreatedAt, v.ExpiresAt = fromMillis(created), fromMillis(expires)
	return v, err
}

// CreateTicket makes a ticket in place of others of its kind for the same address and workspace; a reset only in place of
// those of the command line, and none if a member asked for it: then SettleReset ends others. Errors: conflict if it
// is for the first installation administrator and there is one.
func (s *Store) CreateTicket(ctx context.Context, v control.Ticket, hash control.KeyHash) error {
	return s.inTx(ctx, "create ticket", func(c conn) error {
		if v.Kind == control.TicketFirst {
			if ms, err := c.members("WHERE m.installation = 1 LIMIT 1"); err != nil {
				return err
			} else if len(ms) > 0 {
				return fault.New(fault.Conflict, "", "there is an installation administrator")
			}
		}
		if v.Kind != control.TicketReset || v.Maker == "" {
			had, err := list(c, scanTicket, ticketQuery+"WHERE kind = ? AND email = ? AND workspace = ? AND (kind <> ? OR maker = '') ORDER BY created_at, id",
				string(v.Kind), v.Email, v.Workspace, string(control.TicketReset))
			if err != nil {
				return err
			}
			for _, t := range had {
				end := c.endTicket
				if t.ID == v.ID { // the answer of the first try was lost: it is made anew, and none has ended
					end = c.deleteTicket
				}
				if err := end(t); err != nil {
					return err
				}
			}
		}
		_, err := c.exec(`INSERT INTO tickets (id, hash, kind, email, member, workspace, role, export_user_data, installation, made_by, maker, created_at, expires_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, string(v.ID), hash[:], string(v.Kind), v.Email, string(v.Member), v.Workspace,
			string(v.Role), v.ExportUserData, v.Installation, v.By, string(v.Maker), millis(v.CreatedAt), millis(v.ExpiresAt))
		return err
	})
}

// SettleReset ends the other resets that the same member asked for, once v was sent; else v itself, as if it had not been
// asked for.
func (s *Store) SettleReset(ctx context.Context, v control.Ticket, sent bool) error {
	return s.inTx(ctx, "settle ticket", func(c conn) (err error) {
		if sent {
			_, err = c.exec("DELETE FROM tickets WHERE kind = ? AND member = ? AND maker = ? AND id <> ?",
				string(control.TicketReset), string(v.Member), string(v.Maker), string(v.ID))
		} else {
			_, err = c.exec("DELETE FROM tickets WHERE id = ?", string(v.ID))
		}
		return err
	})
}

// TicketByHash gives the ticket whose link has that hash. Errors: not_found if it was used, replaced, or is past.
func (s *Store) TicketByHash(ctx context.Context, hash control.KeyHash) (control.Ticket, error) {
	vs, err := list(s.reader(ctx), scanTicket, ticketQuery+"WHERE hash = ? AND expires_at > ?", hash[:], millis(s.now()))
	return single(s, vs, err, "ticket")
}

// Tickets gives the tickets of a workspace that are not past, oldest first. Those of no workspace are of 0.
func (s *Store) Tickets(ctx context.Context, workspace uint32) ([]control.Ticket, error) {
	vs, err := list(s.reader(ctx), scanTicket, ticketQuery+"WHERE workspace = ? AND expires_at > ? ORDER BY created_at, id", workspace, millis(s.now()))
	return vs, s.fail(err, "list tickets")
}

// TicketsFor gives the invitations of an address that are not past, oldest first.
func (s *Store) TicketsFor(ctx context.Context, email string) ([]control.Ticket, error) {
	vs, err := list(s.reader(ctx), scanTicket, ticketQuery+"WHERE kind = ? AND email = ? AND expires_at > ? ORDER BY created_at, id",
		string(control.TicketInvitation), email, millis(s.now()))
	return vs, s.fail(err, "list invitations")
}

// DeleteTicket makes a link worth nothing. Errors: not_found, also if it is of another workspace.
func (s *Store) DeleteTicket(ctx context.Context, workspace uint32, id control.TicketID) error {
	return s.inTx(ctx, "delete ticket", func(c conn) error {
		return must(c.exec("DELETE FROM tickets WHERE id = ? AND workspace = ?", string(id), workspace))
	})
}

// UseTicket spends a ticket and does what it is good for, in one commit: m is made if its Rev is 0, else updated; gets
// lock if that is not nil, and seat if that is not nil. A reset ends all sessions, and other
// links that set the password.
//
// Errors: not_found if it was spent meanwhile, is past, or its maker may not give it any more; what CreateMember, UpdateMember, SetLock and SetSeat give. The
// ticket is good for another try then.
func (s *Store) UseTicket(ctx context.Context, id control.TicketID, m control.Member, lock *control.LockChange, seat *control.SeatChange) error {
	return s.inTx(ctx, "use ticket", func(c conn) error {
		vs, err := list(c, scanTicket, ticketQuery+"WHERE id = ? AND expires_at > ?", string(id), millis(s.now()))
		v, err := single(s, vs, err, "ticket")
		if err != nil {
			return err
		}
		if void, err := c.void(v); err != nil {
			return err
		} else if void {
			return fault.New(fault.NotFound, "", "who made this ticket may not give any more what it gives")
		}
		if err := must(c.exec("DELETE FROM tickets WHERE id = ?", string(id))); err != nil {
			return err
		}
		if m.Rev == 0 {
			err = c.insertMember(m)
		} else {
			err = c.updateMember(m)
		}
		if err == nil && lock != nil {
			err = c.setLock(m.ID, *lock)
		}
		if err == nil && seat != nil {
			err = c.setSeat(*seat)
		}
		if err == nil && v.Kind == control.TicketReset {
			if _, err = c.exec("DELETE FROM tickets WHERE member = ?", string(m.ID)); err == nil {
				err = c.endSessions(m.ID, "")
			}
		}
		return err
	})
}

// void reports whether a ticket is an invitation whose maker may not give any more what it gives.
func (c conn) void(v control.Ticket) (bool, error) {
	if v.Kind != control.TicketInvitation || v.Maker == "" {
		return false, nil
	}
	m, err := c.member("WHERE m.id = ?", string(v.Maker))
	if fault.Is(err, fault.NotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	seats, err := c.seatsOf(v.Maker)
	return !control.Actor{}.As(m, seats).MayGive(v), err
}

// endVoid takes the tickets of a maker away who may not give them any more.
func (c conn) endVoid(maker control.MemberID) error {
	vs, err := list(c, scanTicket, ticketQuery+"WHERE maker = ? ORDER BY created_at, id", string(maker))
	if err != nil {
		return err
	}
	for _, v := range vs {
		void, err := c.void(v)
		if err == nil && void {
			err = c.endTicket(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// endTicket takes a ticket away that ends by another change. An invitation that is not past has a line in the log of
// changes, as one that is revoked: whoever was invited asks why the link does nothing.
func (c conn) endTicket(v control.Ticket) error {
	if err := c.deleteTicket(v); err != nil {
		return err
	}
	now := c.s.now()
	if v.Kind != control.TicketInvitation || !v.ExpiresAt.After(now) {
		return nil
	}
	return c.insertEntry(control.RevokedBy(c.ctx, now, v))
}

func (c conn) deleteTicket(v control.Ticket) error {
	_, err := c.exec("DELETE FROM tickets WHERE id = ?", string(v.ID))
	return err
}
