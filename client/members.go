package client

import (
	"context"
	"iter"
)

// ListMembers lists the people of a workspace.
func (c *Client) ListMembers(ctx context.Context, workspace string) iter.Seq2[Member, error] {
	return list[Member](ctx, c, get(path("/workspaces/%s/members", workspace)))
}

// GetMember gives a member of a workspace. The version is of what they may do there.
func (c *Client) GetMember(ctx context.Context, workspace, id string) (Member, error) {
	return ask[Member](ctx, c, get(path("/workspaces/%s/members/%s", workspace, id)))
}

// UpdateMember changes what a member may do in a workspace. Errors: conflict: it would be left without an administrator;
// stale, if etag is not empty.
func (c *Client) UpdateMember(ctx context.Context, workspace, id string, e MemberEdit, etag string) (Member, error) {
	return ask[Member](ctx, c, patch(path("/workspaces/%s/members/%s", workspace, id), e).based(etag))
}

// RemoveMember takes a member out of a workspace. Errors: as UpdateMember.
func (c *Client) RemoveMember(ctx context.Context, workspace, id string) error {
	return c.tell(ctx, del(path("/workspaces/%s/members/%s", workspace, id)))
}

// ListInvitations lists the open invitations to a workspace.
func (c *Client) ListInvitations(ctx context.Context, workspace string) iter.Seq2[Invitation, error] {
	return list[Invitation](ctx, c, get(path("/workspaces/%s/invitations", workspace)))
}

// Invite asks somebody to join a workspace.
func (c *Client) Invite(ctx context.Context, workspace string, in Invite) (InvitationIssued, error) {
	return ask[InvitationIssued](ctx, c, create(path("/workspaces/%s/invitations", workspace), in).told(c))
}

// RevokeInvitation takes an invitation back.
func (c *Client) RevokeInvitation(ctx context.Context, workspace, id string) error {
	return c.tell(ctx, del(path("/workspaces/%s/invitations/%s", workspace, id)))
}

// ListAPIKeys lists a workspace's API keys.
func (c *Client) ListAPIKeys(ctx context.Context, workspace string) iter.Seq2[APIKey, error] {
	return list[APIKey](ctx, c, get(path("/workspaces/%s/api-keys", workspace)))
}

// CreateAPIKey makes an API key.
func (c *Client) CreateAPIKey(ctx context.Context, workspace string, in APIKeyCreate) (APIKeyIssued, error) {
	return ask[APIKeyIssued](ctx, c, create(path("/workspaces/%s/api-keys", workspace), in))
}

// GetAPIKey gives an API key.
func (c *Client) GetAPIKey(ctx context.Context, workspace, id string) (APIKey, error) {
	return ask[APIKey](ctx, c, get(path("/workspaces/%s/api-keys/%s", workspace, id)))
}

// RevokeAPIKey ends an API key: nothing that comes under it is taken any more.
func (c *Client) RevokeAPIKey(ctx context.Context, workspace, id string) error {
	return c.tell(ctx, del(path("/workspaces/%s/api-keys/%s", workspace, id)))
}

// ListRejectedEvents gives the last events of an API key that were not taken.
func (c *Client) ListRejectedEvents(ctx context.Context, workspace, id string) (RejectedEvents, error) {
	return ask[RejectedEvents](ctx, c, get(path("/workspaces/%s/api-keys/%s/rejected-events", workspace, id)))
}

// GetRules gives what the installation has decided for all connectors. Whoever is signed in may know it.
func (c *Client) GetRules(ctx context.Context) (Rules, error) {
	return ask[Rules](ctx, c, get("/rules"))
}

// GetInstallation shows the machine. It needs an installation administrator, as does what follows.
func (c *Client) GetInstallation(ctx context.Context) (Installation, error) {
	return ask[Installation](ctx, c, get("/installation"))
}

// ListInstallationSetAside gives what of all workspaces' events could not be taken up in profiles. Errors: as ListSetAside.
func (c *Client) ListInstallationSetAside(ctx context.Context) (SetAsides, error) {
	return ask[SetAsides](ctx, c, get("/installation/set-aside"))
}

// ListPeople lists the members of the installation.
func (c *Client) ListPeople(ctx context.Context) iter.Seq2[Person, error] {
	return list[Person](ctx, c, get("/installation/members"))
}

// GetPerson gives a member of the installation.
func (c *Client) GetPerson(ctx context.Context, id string) (Person, error) {
	return ask[Person](ctx, c, get(path("/installation/members/%s", id)))
}

// UpdatePerson makes a member installation administrator, or no more. Errors: conflict: the last one stays; stale, if etag
// is not empty.
func (c *Client) UpdatePerson(ctx context.Context, id string, e PersonEdit, etag string) (Person, error) {
	return ask[Person](ctx, c, patch(path("/installation/members/%s", id), e).based(etag))
}

// ResetTwoFactor turns the second factor of a member off who has lost it, and ends their sessions.
func (c *Client) ResetTwoFactor(ctx context.Context, id string) error {
	return c.tell(ctx, del(path("/installation/members/%s/two-factor", id)))
}

// DeletePerson takes a member away, from every workspace. Errors: as UpdatePerson.
func (c *Client) DeletePerson(ctx context.Context, id string) error {
	return c.tell(ctx, del(path("/installation/members/%s", id)))
}

// ListInstallationInvitations lists the open invitations to be installation administrator.
func (c *Client) ListInstallationInvitations(ctx context.Context) iter.Seq2[Invitation, error] {
	return list[Invitation](ctx, c, get("/installation/invitations"))
}

// InviteAdministrator asks somebody to be installation administrator.
func (c *Client) InviteAdministrator(ctx context.Context, in AdministratorInvite) (InvitationIssued, error) {
	return ask[InvitationIssued](ctx, c, create("/installation/invitations", in).told(c))
}

// RevokeInstallationInvitation takes such an invitation back.
func (c *Client) RevokeInstallationInvitation(ctx context.Context, id string) error {
	return c.tell(ctx, del(path("/installation/invitations/%s", id)))
}
