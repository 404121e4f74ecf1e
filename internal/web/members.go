package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// memberRoutes are about the people of a workspace.
func (a *api) memberRoutes() []route {
	const group = "workspaces"
	return []route{
		{name: "listMembers", method: http.MethodGet, path: "/workspaces/{workspace}/members", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists the workspace's members.", op: op(a.listMembers)},
		{name: "getMember", method: http.MethodGet, path: "/workspaces/{workspace}/members/{member}", right: control.RightView, group: group, status: http.StatusOK, versioned: versionsOfMember,
			summary: "Gives a member of the workspace. The version is of what they may do there.", op: op(func(c *call, in memberIn) (client.Member, error) { return a.member(c, in.Member) })},
		{name: "updateMember", method: http.MethodPatch, path: "/workspaces/{workspace}/members/{member}", right: control.RightAdminister, group: group, status: http.StatusOK, versioned: versionsOfMember,
			summary: "Changes what a member may do in the workspace.", op: op(a.updateMember)},
		{name: "removeMember", method: http.MethodDelete, path: "/workspaces/{workspace}/members/{member}", right: control.RightAdminister, group: group, status: http.StatusNoContent,
			summary: "Takes a member out of the workspace.", op: op(a.removeMember)},
		{name: "leaveWorkspace", method: http.MethodDelete, path: "/me/workspaces/{workspace}", right: control.RightView, group: "me", status: http.StatusNoContent,
			summary: "Takes the member who asks out of the workspace.", op: op(a.leave)},
		{name: "listInvitations", method: http.MethodGet, path: "/workspaces/{workspace}/invitations", right: control.RightAdminister, group: group, status: http.StatusOK,
			summary: "Lists the workspace's open invitations.", op: op(a.listInvitations)},
		{name: "invite", method: http.MethodPost, path: "/workspaces/{workspace}/invitations", right: control.RightAdminister, group: group, status: http.StatusCreated,
			summary: "Invites somebody into the workspace by a mail with a link; where no mail can be sent the answer has the link.", op: op(a.invite),
			rules: look(func(c *call, in inviteIn) error {
				return refused(in.of(c.workspace.Number).Validate())
			})},
		{name: "revokeInvitation", method: http.MethodDelete, path: "/workspaces/{workspace}/invitations/{invitation}", right: control.RightAdminister, group: group, status: http.StatusNoContent,
			summary: "Ends an invitation.", op: op(a.revokeInvitation)},
	}
}

func showSeat(s control.Seat) client.Member {
	return client.Member{
		ID: string(s.ID), Email: s.Email, Name: s.Name, Role: string(s.Role), ExportUserData: s.ExportUserData, TwoFactor: s.TwoFactor,
		CreatedAt: s.Membership.CreatedAt, SeenAt: maybe(s.SeenAt),
	}
}

func (a *api) listMembers(c *call, in paged) (out client.Page[client.Member], err error) {
	all, err := a.deps.People.Seats(c, c.workspace.Number)
	if err != nil {
		return out, err
	}
	return pageOf(c, in, all, func(s control.Seat) int64 { return idNumber(s.ID) }, showSeat)
}

type updateMemberIn struct {
	Member control.MemberID  `path:"member"`
	Body   client.MemberEdit `body:""`
}

func (a *api) updateMember(c *call, in updateMemberIn) (client.Member, error) {
	rev, err := meant(c)
	if err != nil {
		return client.Member{}, err
	}
	if err := a.deps.People.SetSeat(c, c.workspace.Number, in.Member, control.SeatEdit{Role: (*control.Role)(in.Body.Role), ExportUserData: in.Body.ExportUserData, Rev: rev}); err != nil {
		return client.Member{}, err
	}
	return a.member(c, in.Member)
}

// member gives a member of the workspace of the path. Errors: not_found.
func (a *api) member(c *call, id control.MemberID) (client.Member, error) {
	all, err := a.deps.People.Seats(c, c.workspace.Number)
	if err != nil {
		return client.Member{}, err
	}
	i := slices.IndexFunc(all, func(s control.Seat) bool { return s.ID == id })
	if i < 0 {
		return client.Member{}, fault.New(fault.NotFound, "", "The workspace has no such member.")
	}
	c.versioned(all[i].Membership.State())
	return showSeat(all[i]), nil
}

type memberIn struct {
	Member control.MemberID `path:"member"`
}

func (a *api) removeMember(c *call, in memberIn) (none, error) {
	return none{}, a.deps.People.RemoveSeat(c, c.workspace.Number, in.Member)
}

func (a *api) leave(c *call, _ struct{}) (none, error) {
	return none{}, a.deps.People.RemoveSeat(c, c.workspace.Number, c.actor.Member)
}

func showInvitation(t control.Ticket) client.Invitation {
	return client.Invitation{
		ID: string(t.ID), Email: t.Email, Role: string(t.Role), ExportUserData: t.ExportUserData, Installation: t.Installation,
		By: t.By, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt,
	}
}

// listInvitations gives those of the workspace of the path, and without one those of the installation.
func (a *api) listInvitations(c *call, in paged) (out client.Page[client.Invitation], err error) {
	all, err := a.deps.People.Invitations(c, c.workspace.Number)
	if err != nil {
		return out, err
	}
	return pageOf(c, in, all, func(t control.Ticket) int64 { return idNumber(t.ID) }, showInvitation)
}

type inviteIn struct {
	spoken
	Body client.Invite `body:""`
}

func (in inviteIn) of(workspace uint32) control.Invite {
	b := in.Body
	return control.Invite{Email: b.Email, Workspace: workspace, Role: control.Role(b.Role), ExportUserData: b.ExportUserData, Installation: b.Installation, Language: b.Language}
}

func (a *api) invite(c *call, in inviteIn) (client.InvitationIssued, error) {
	made, err := a.deps.People.Invite(c, in.of(c.workspace.Number))
	return a.issued(c, made, err)
}

// issued shows an invitation that was just made.
func (a *api) issued(c *call, made control.Invited, err error) (client.InvitationIssued, error) {
	if err != nil {
		return client.InvitationIssued{}, err
	}
	out := client.InvitationIssued{Invitation: showInvitation(made.Ticket), Mailed: made.Unsent == nil, Link: made.Link.Reveal()}
	if e := fault.As(made.Unsent); e != nil {
		out.MailProblem = strings.TrimSpace(text.Say(c.reader(), e.Msg, e.Params) + " " + text.Say(c.reader(), e.Hint, e.Params))
	}
	return out, nil
}

type invitationIn struct {
	Invitation control.TicketID `path:"invitation"`
}

func (a *api) revokeInvitation(c *call, in invitationIn) (none, error) {
	return none{}, a.deps.People.Revoke(c, c.workspace.Number, in.Invitation)
}
