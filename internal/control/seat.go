package control

import (
	"context"
	"slices"

	"github.com/millrace/millrace/internal/fault"
)

// rank orders roles by their rights; no role is below all.
func rank(r Role) int { return slices.Index(Roles(), r) }

func validateRole(field string, r Role) []fault.Problem {
	if rank(r) >= 0 {
		return nil
	}
	return []fault.Problem{oneOf(field, string(r), string(Viewer), string(Editor), string(Administrator))}
}

// seat gives a member's place in a workspace. Errors: not_found.
func (p *People) seat(ctx context.Context, workspace uint32, id MemberID) (Membership, error) {
	all, err := p.cfg.Store.SeatsOf(ctx, id)
	if err != nil {
		return Membership{}, err
	}
	if i := slices.IndexFunc(all, func(s Membership) bool { return s.Workspace == workspace }); i >= 0 {
		return all[i], nil
	}
	return Membership{}, &fault.Error{Code: fault.NotFound, Msg: fault.Message{Key: "control.no_member", Text: "The workspace has no such member."}}
}

// Seats gives the members of a workspace by their addresses. Errors: unauthorized, forbidden.
func (p *People) Seats(ctx context.Context, workspace uint32) ([]Seat, error) {
	const op = "list members"
	if _, _, err := need(ctx, RightView, workspace); err != nil {
		return nil, fault.Wrap(err, op)
	}
	all, err := p.cfg.Store.Seats(ctx, workspace)
	return all, fault.Wrap(err, op)
}

// Members gives the members of the installation by their addresses. Errors: unauthorized, forbidden.
func (p *People) Members(ctx context.Context) ([]Member, error) {
	const op = "list members of the installation"
	if _, _, err := need(ctx, RightInstall, 0); err != nil {
		return nil, fault.Wrap(err, op)
	}
	all, err := p.cfg.Store.Members(ctx)
	return all, fault.Wrap(err, op)
}

// SeatEdit is what somebody wants of a member's place. Fields that are nil stay as they are.
type SeatEdit struct {
	Role           *Role
	ExportUserData *bool
	Rev            *int64 // Membership.State that it was thought through on; nil: whatever it is now
}

// SetSeat changes what a member of a workspace may do there.
//
// Errors: unauthorized, forbidden: nobody gives themselves more, only an installation administrator changes the place of
// one, and only they give the right to export user data without having it; not_found if they have none; invalid; stale, unless nothing is left to change; conflict if the workspace would be left without an administrator.
func (p *People) SetSeat(ctx context.Context, workspace uint32, id MemberID, e SeatEdit) error {
	// Once more if the place was changed meanwhile: rights are looked at again then, and for which version it is meant.
	return fault.Wrap(anew(func() error { return p.editSeat(ctx, workspace, id, e) }), "change member")
}

func (p *People) editSeat(ctx context.Context, workspace uint32, id MemberID, e SeatEdit) error {
	ctx, a, m, had, err := p.seated(ctx, workspace, id)
	if err != nil {
		return err
	}
	next := had
	next.Role, next.ExportUserData = *orElse(e.Role, had.Role), *orElse(e.ExportUserData, had.ExportUserData)
	if err := invalid("", validateRole("role", next.Role)); err != nil {
		return err
	}
	if next != had {
		if err := sameRev(e.Rev, had.State()); err != nil {
			return err
		}
	}
	if a.Member == id && (rank(next.Role) > rank(had.Role) || next.ExportUserData && !had.ExportUserData) {
		return ownRights()
	}
	if next.ExportUserData && !had.ExportUserData {
		if ctx, err = a.givingData(ctx, workspace); err != nil {
			return err
		}
	}
	return p.setSeat(ctx, m, had, next)
}

// RemoveSeat takes a member out of a workspace; members may leave by themselves. Errors: as SetSeat.
func (p *People) RemoveSeat(ctx context.Context, workspace uint32, id MemberID) error {
	const op = "remove member"
	ctx, _, m, had, err := p.seated(ctx, workspace, id)
	if err != nil {
		return fault.Wrap(err, op)
	}
	ctx = p.logged(ctx, "member.remove", subject{workspace, string(id), m.Email}, viewSeat(had), nil)
	return fault.Wrap(p.cfg.Store.RemoveSeat(ctx, workspace, id), op)
}

// seated gives who asks, held to what lets them, and a member with the place that they want to change.
func (p *People) seated(ctx context.Context, workspace uint32, id MemberID) (context.Context, Actor, Member, Membership, error) {
	right := RightAdminister
	if a := ActorOf(ctx); a.Member == id && !a.ReadOnly {
		right = RightView // who sits there may take less
	}
	ctx, a, err := need(ctx, right, workspace)
	if err != nil {
		return ctx, a, Member{}, Membership{}, err
	}
	had, err := p.seat(ctx, workspace, id)
	if err != nil {
		return ctx, a, Member{}, Membership{}, err
	}
	m, err := p.cfg.Store.Member(ctx, id)
	switch {
	case err != nil || !m.Installation:
	case a.Installation:
		ctx = Holding(ctx, RightInstall, 0)
	default:
		err = &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "control.above_you", Text: "This member is an installation administrator."},
			Hint: fault.Message{Key: "control.above_you_hint", Text: "Only another installation administrator can change what they may do."}}
	}
	return ctx, a, m, had, err
}

func ownRights() error {
	return &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "control.own_rights", Text: "Nobody can give themselves more rights."},
		Hint: fault.Message{Key: "control.own_rights_hint", Text: "Ask another administrator."}}
}

func dataRights() *fault.Error {
	return &fault.Error{Code: fault.Forbidden, Msg: fault.Message{Key: "control.data_rights", Text: "Who may not export user data cannot let others do so."},
		Hint: fault.Message{Key: "control.data_rights_hint", Text: "Ask a member who may, or an installation administrator."}}
}

// setSeat makes a place what it is next. had is empty for a new one.
func (p *People) setSeat(ctx context.Context, m Member, had, next Membership) error {
	var before any
	if had.Role != "" {
		before, next.CreatedAt = viewSeat(had), had.CreatedAt
	}
	if had == next {
		return nil
	}
	ctx = p.logged(ctx, "member.edit", subject{next.Workspace, string(m.ID), m.Email}, before, viewSeat(next))
	return p.cfg.Store.SetSeat(ctx, SeatChange{had, next})
}

// SetInstallation makes a member an installation administrator, or no longer one, and gives them as they are then. rev is
// the version that the change is meant for; nil is whichever there is.
//
// Errors: unauthorized, forbidden; not_found; stale, unless nothing is left to change; conflict if there would be none left.
func (p *People) SetInstallation(ctx context.Context, id MemberID, administrator bool, rev *int64) (m Member, err error) {
	const op = "change installation administrator"
	ctx, _, err = need(ctx, RightInstall, 0)
	if err != nil {
		return Member{}, fault.Wrap(err, op)
	}
	// Once more if they were changed meanwhile: for which version it is meant is looked at again then.
	err = anew(func() error {
		if m, err = p.cfg.Store.Member(ctx, id); err != nil || m.Installation == administrator {
			return err
		}
		if err := sameRev(rev, m.Rev); err != nil {
			return err
		}
		m, err = p.setInstallation(ctx, m, administrator)
		return err
	})
	return m, fault.Wrap(err, op)
}

// setInstallation gives had as they are then.
func (p *People) setInstallation(ctx context.Context, had Member, administrator bool) (Member, error) {
	next := had
	if next.Installation = administrator; next == had {
		return had, nil
	}
	ctx = p.logged(ctx, "member.edit", subject{0, string(had.ID), had.Email}, viewMember(had), viewMember(next))
	err := p.cfg.Store.UpdateMember(ctx, next)
	next.Rev++
	return next, err
}

// DeleteMember takes a member out of the installation, with all they have: places, sessions, tokens. What they changed
// stays, and the log of changes keeps their address.
//
// Errors: unauthorized, forbidden; not_found; conflict if they are the last installation administrator.
func (p *People) DeleteMember(ctx context.Context, id MemberID) error {
	const op = "delete member"
	ctx, _, err := need(ctx, RightInstall, 0)
	if err != nil {
		return fault.Wrap(err, op)
	}
	m, err := p.cfg.Store.Member(ctx, id)
	if err != nil {
		return fault.Wrap(err, op)
	}
	ctx = p.logged(ctx, "member.delete", subject{0, string(id), m.Email}, viewMember(m), nil)
	return fault.Wrap(p.cfg.Store.DeleteMember(ctx, id), op)
}
