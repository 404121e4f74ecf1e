package store

import (
	"context"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const seatColumns = "s.workspace, s.member, s.role, s.export_user_data, s.created_at"

// Seats gives the members of a workspace by e-mail.
func (s *Store) Seats(ctx context.Context, workspace uint32) ([]control.Seat, error) {
	seats, err := list(s.reader(ctx), func(r scanner) (v control.Seat, err error) {
		var created int64
		p := &v.Membership
		v.Member, err = scanMember(r, &p.Workspace, &p.Member, &p.Role, &p.ExportUserData, &created)
		p.CreatedAt = fromMillis(created)
		return v, err
	}, "SELECT "+memberColumns+", "+seatColumns+" FROM seats s JOIN members m ON m.id = s.member WHERE s.workspace = ? ORDER BY m.email", workspace)
	return seats, s.fail(err, "list members of a workspace")
}

// SeatsOf gives the memberships of a member, by the number of the workspace.
func (s *Store) SeatsOf(ctx context.Context, id control.MemberID) ([]control.Membership, error) {
	seats, err := s.reader(ctx).seatsOf(id)
	return seats, s.fail(err, "list workspaces of a member")
}

func (c conn) seatsOf(id control.MemberID) ([]control.Membership, error) {
	return list(c, func(r scanner) (p control.Membership, err error) {
		var created int64
		err = r.Scan(&p.Workspace, &p.Member, &p.Role, &p.ExportUserData, &created)
		p.CreatedAt = fromMillis(created)
		return p, err
	}, "SELECT "+seatColumns+" FROM seats s WHERE s.member = ? ORDER BY s.workspace", string(id))
}

// SetSeat makes a member's place what v says; the time at which it was first made stays. Errors: not_found if there is no
// such member or workspace; stale if the place is not v.Was any more, also if it is gone; conflict if the workspace would
// be left without an administrator. Installation administrators do not count as one; a workspace that never had one needs
// none.
func (s *Store) SetSeat(ctx context.Context, v control.SeatChange) error {
	return s.inTx(ctx, "set membership", func(c conn) error { return c.setSeat(v) })
}

func (c conn) setSeat(v control.SeatChange) error {
	m, was := v.Next, v.Was
	var name string
	if err := c.one("SELECT name FROM workspaces WHERE number = ?", []any{m.Workspace}, &name); err != nil {
		return c.s.fail(err, "find workspace")
	}
	if _, err := c.member("WHERE m.id = ?", string(m.Member)); err != nil {
		return err
	}
	if m.Role != control.Administrator {
		if err := c.keepAdministrator(m.Workspace, m.Member); err != nil {
			return err
		}
	}
	var n int64
	var err error
	if was.Role == "" {
		n, err = c.exec(`INSERT INTO seats (workspace, member, role, export_user_data, created_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (workspace, member) DO NOTHING`, m.Workspace, string(m.Member), string(m.Role), m.ExportUserData, millis(m.CreatedAt))
	} else {
		n, err = c.exec(`UPDATE seats SET role = ?, export_user_data = ?
			WHERE workspace = ? AND member = ? AND role = ? AND export_user_data = ?`,
			string(m.Role), m.ExportUserData, m.Workspace, string(m.Member), string(was.Role), was.ExportUserData)
	}
	if err == nil && n == 0 {
		err = errChanged()
	}
	if err != nil {
		return err
	}
	return c.endVoid(m.Member)
}

// RemoveSeat takes a member out of a workspace, and with it their open invitations there. Errors: not_found; conflict as SetSeat.
func (s *Store) RemoveSeat(ctx context.Context, workspace uint32, id control.MemberID) error {
	return s.inTx(ctx, "remove membership", func(c conn) error {
		if err := c.keepAdministrator(workspace, id); err != nil {
			return err
		}
		if err := must(c.exec("DELETE FROM seats WHERE workspace = ? AND member = ?", workspace, string(id))); err != nil {
			return err
		}
		return c.endVoid(id)
	})
}

// keepAdministrator refuses if a member is the last administrator of a workspace.
func (c conn) keepAdministrator(workspace uint32, id control.MemberID) error {
	administrators, err := list(c, func(r scanner) (m control.MemberID, err error) { return m, r.Scan(&m) },
		"SELECT member FROM seats WHERE workspace = ? AND role = ? LIMIT 2", workspace, string(control.Administrator))
	if err == nil && len(administrators) == 1 && administrators[0] == id {
		err = &fault.Error{Code: fault.Conflict,
			Msg:  fault.Message{Key: "control.last_administrator", Text: "This is the last administrator of the workspace."},
			Hint: fault.Message{Key: "control.last_administrator_hint", Text: "Make somebody else an administrator first."}}
	}
	return err
}
