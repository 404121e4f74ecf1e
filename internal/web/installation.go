package web

import (
	"net/http"
	"slices"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// installationRoutes are about the machine and everybody on it.
func (a *api) installationRoutes() []route {
	const group = "installation"
	return []route{
		{name: "getInstallation", method: http.MethodGet, path: "/installation", right: control.RightInstall, group: group, status: http.StatusOK,
			summary: "Gives version, disk, log, and how far profiles are.", op: op(func(c *call, _ struct{}) (client.Installation, error) { return a.deps.Machine(c) })},
		{name: "getRules", method: http.MethodGet, path: "/rules", right: control.RightSignedIn, group: group, status: http.StatusOK,
			summary: "Gives what this installation has decided for all connectors: how long events are kept that cannot be delivered, what keys begin with, what test connectors deliver.", op: op(a.getRules)},
		{name: "listInstallationSetAside", method: http.MethodGet, path: "/installation/set-aside", right: control.RightInstall, group: group, status: http.StatusOK,
			summary: "Lists what of all workspaces' events could not be taken up in profiles and statistics, newest first.", op: op(a.listInstallationSetAside)},
		{name: "listPeople", method: http.MethodGet, path: "/installation/members", right: control.RightInstall, group: group, status: http.StatusOK,
			summary: "Lists the members of all workspaces.", op: op(a.listPeople)},
		{name: "getPerson", method: http.MethodGet, path: "/installation/members/{member}", right: control.RightInstall, group: group, status: http.StatusOK, versioned: versionsOfPerson,
			summary: "Gives a member of the installation.", op: op(func(c *call, in memberIn) (client.Person, error) { return a.memberOfAll(c, in.Member) })},
		{name: "updatePerson", method: http.MethodPatch, path: "/installation/members/{member}", right: control.RightInstall, group: group, status: http.StatusOK, versioned: versionsOfPerson,
			summary: "Makes a member an installation administrator, or no longer one.", op: op(a.updatePerson)},
		{name: "deletePerson", method: http.MethodDelete, path: "/installation/members/{member}", right: control.RightInstall, group: group, status: http.StatusNoContent,
			summary: "Takes a member away, with places, sessions and tokens.", op: op(a.deletePerson)},
		{name: "resetTwoFactor", method: http.MethodDelete, path: "/installation/members/{member}/two-factor", right: control.RightInstall, group: group, status: http.StatusNoContent,
			summary: "Ends the second factor of a member who has lost it, and all their sessions.", op: op(a.resetTwoFactor)},
		{name: "listInstallationInvitations", method: http.MethodGet, path: "/installation/invitations", right: control.RightInstall, group: group, status: http.StatusOK,
			summary: "Lists the open invitations that are to no workspace.", op: op(a.listInvitations)},
		{name: "inviteAdministrator", method: http.MethodPost, path: "/installation/invitations", right: control.RightInstall, group: group, status: http.StatusCreated,
			summary: "Invites somebody to be installation administrator.", op: op(a.inviteAdministrator),
			rules: look(func(_ *call, in inviteAdministratorIn) error { return refused(in.invite().Validate()) })},
		{name: "revokeInstallationInvitation", method: http.MethodDelete, path: "/installation/invitations/{invitation}", right: control.RightInstall, group: group, status: http.StatusNoContent,
			summary: "Ends an invitation that is to no workspace.", op: op(a.revokeInvitation)},
		{name: "listInstallationChanges", method: http.MethodGet, path: "/installation/changes", right: control.RightInstall, group: group, status: http.StatusOK,
			summary: "Lists who changed what, of the installation and of all workspaces, newest first.", op: op(a.listInstallationChanges)},
	}
}

func (a *api) getRules(*call, struct{}) (client.Rules, error) {
	return client.Rules{GracePeriod: a.cfg.GracePeriod.Seconds(), PauseLimit: a.cfg.PauseLimit.Seconds(),
		Cluster: a.deps.Plane.Cluster, Zone: a.deps.Plane.Zone, TestCap: a.cfg.TestCap, TestWindow: a.cfg.TestWindow.Seconds(),
		LogRetention: a.cfg.Retention.Seconds(), ExportRetry: a.cfg.ExportRetry.Seconds(), Profiles: a.deps.Profiles != nil}, nil
}

func showPerson(m control.Member) client.Person {
	return client.Person{
		ID: string(m.ID), Email: m.Email, Name: m.Name, Installation: m.Installation, TwoFactor: m.TwoFactor, CreatedAt: m.CreatedAt, SeenAt: maybe(m.SeenAt),
	}
}

func (a *api) listPeople(c *call, in paged) (out client.Page[client.Person], err error) {
	all, err := a.deps.People.Members(c)
	if err != nil {
		return out, err
	}
	return pageOf(c, in, all, func(m control.Member) int64 { return idNumber(m.ID) }, showPerson)
}

type updatePersonIn struct {
	Member control.MemberID  `path:"member"`
	Body   client.PersonEdit `body:""`
}

func (a *api) updatePerson(c *call, in updatePersonIn) (client.Person, error) {
	rev, err := meant(c)
	if err != nil {
		return client.Person{}, err
	}
	if in.Body.Installation == nil {
		return a.memberOfAll(c, in.Member)
	}
	m, err := a.deps.People.SetInstallation(c, in.Member, *in.Body.Installation, rev)
	if err != nil {
		return client.Person{}, err
	}
	c.versioned(m.Rev)
	return showPerson(m), nil
}

// memberOfAll gives a member of the installation. Errors: not_found.
func (a *api) memberOfAll(c *call, id control.MemberID) (client.Person, error) {
	all, err := a.deps.People.Members(c)
	if err != nil {
		return client.Person{}, err
	}
	i := slices.IndexFunc(all, func(m control.Member) bool { return m.ID == id })
	if i < 0 {
		return client.Person{}, fault.New(fault.NotFound, "", "There is no such member.")
	}
	c.versioned(all[i].Rev)
	return showPerson(all[i]), nil
}

func (a *api) deletePerson(c *call, in memberIn) (none, error) {
	return none{}, a.deps.People.DeleteMember(c, in.Member)
}

func (a *api) resetTwoFactor(c *call, in memberIn) (none, error) {
	return none{}, a.deps.People.ResetTwoFactor(c, in.Member)
}

type inviteAdministratorIn struct {
	spoken
	Body client.AdministratorInvite `body:""`
}

func (in inviteAdministratorIn) invite() control.Invite {
	return control.Invite{Email: in.Body.Email, Language: in.Body.Language, Installation: true}
}

func (a *api) inviteAdministrator(c *call, in inviteAdministratorIn) (client.InvitationIssued, error) {
	made, err := a.deps.People.Invite(c, in.invite())
	return a.issued(c, made, err)
}

func (a *api) listInstallationChanges(c *call, in changesIn) (client.Page[client.ChangeEntry], error) {
	return a.changes(c, in, control.EntryFilter{All: true})
}
