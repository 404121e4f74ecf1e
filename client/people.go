package client

import "time"

// Me is the member who asks.
type Me struct {
	Versioned
	ID           string  `json:"id"`
	Email        string  `json:"email"`
	Name         string  `json:"name"`
	Language     string  `json:"language,omitempty" enum:",en,pt-BR,es" doc:"Absent: as the browser asks."`
	TimeZone     string  `json:"time_zone,omitempty" doc:"IANA name; absent: UTC."`
	Mail         string  `json:"mail,omitempty" enum:",urgent,all" doc:"Which notices of their workspaces they are mailed, beside those that they are the one to be told of: urgent, by which events are lost or may be; all. Absent: none."`
	Installation bool    `json:"installation_administrator"`
	Password     bool    `json:"has_password"`
	TwoFactor    bool    `json:"two_factor"`
	Workspaces   []Place `json:"workspaces" doc:"Where the member may do what."`
}

// Place is a workspace and what a member may do there.
type Place struct {
	Workspace      string `json:"workspace" doc:"Its id."`
	Name           string `json:"name"`
	Role           string `json:"role" enum:"viewer,editor,administrator"`
	ExportUserData bool   `json:"export_user_data"`
	TimeZone       string `json:"time_zone" doc:"Of the days of its statistics."`
}

// MeEdit changes what members decide about themselves.
type MeEdit struct {
	Name     *string `json:"name,omitempty"`
	Language *string `json:"language,omitempty" enum:",en,pt-BR,es"`
	TimeZone *string `json:"time_zone,omitempty"`
	Mail     *string `json:"mail,omitempty" enum:",urgent,all"`
}

// SignInWays are how people can sign in beside their password.
type SignInWays struct {
	Elsewhere string `json:"elsewhere,omitempty" doc:"Where a browser goes to sign in at the OpenID Connect provider; absent: there is none."`
	First     bool   `json:"first,omitempty" doc:"There is no installation administrator yet: who opens the link in the server's log becomes the first."`
}

// SignIn is what a member signs in with.
type SignIn struct {
	Email    string `json:"email"`
	Password string `json:"password,omitempty" doc:"Left out when the code is sent after a 401 that asked for it, with the cookie of that answer."`
	Code     string `json:"code,omitempty" doc:"Of the authenticator, or a recovery code, where the member has two-factor sign-in."`
}

// PasswordChange replaces a password.
type PasswordChange struct {
	Current string `json:"current"`
	New     string `json:"new"`
}

// PasswordReset asks for a mail with a link.
type PasswordReset struct {
	Email string `json:"email"`
}

// PasswordSet sets a password by the token of a link.
type PasswordSet struct {
	Token    string `json:"token"`
	Password string `json:"password"`
}

// TwoFactorStart is what an authenticator is set up with.
type TwoFactorStart struct {
	Secret string `json:"secret" doc:"Base32. Shown this once."`
	URI    string `json:"uri" doc:"otpauth://, for a QR code."`
}

// TwoFactorCode shows that an authenticator is set up.
type TwoFactorCode struct {
	Code string `json:"code" doc:"That it shows now."`
}

// TwoFactorProof shows that a member may take their authenticator away: a code of it, or the password.
type TwoFactorProof struct {
	Code     string `json:"code,omitempty"`
	Password string `json:"password,omitempty"`
}

// RecoveryCodes sign in once each, in place of a code.
type RecoveryCodes struct {
	Codes []string `json:"codes" doc:"Shown this once."`
}

// Session is a browser that is signed in.
type Session struct {
	ID        string    `json:"id"`
	Address   string    `json:"address"`
	Agent     string    `json:"agent"`
	Current   bool      `json:"current" doc:"It is the one that asks."`
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Token is a personal token.
type Token struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	ReadOnly  bool       `json:"read_only"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	UsedAt    *time.Time `json:"used_at,omitempty"`
}

// TokenCreate asks for a personal token.
type TokenCreate struct {
	Name      string     `json:"name"`
	ReadOnly  bool       `json:"read_only,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// TokenIssued is a new personal token.
type TokenIssued struct {
	Token
	Secret string `json:"secret" doc:"What goes into the Authorization header. Shown this once."`
}

// Member is a person in a workspace.
type Member struct {
	Versioned
	ID             string     `json:"id"`
	Email          string     `json:"email"`
	Name           string     `json:"name"`
	Role           string     `json:"role" enum:"viewer,editor,administrator"`
	ExportUserData bool       `json:"export_user_data"`
	TwoFactor      bool       `json:"two_factor"`
	CreatedAt      time.Time  `json:"created_at" doc:"Since when they are in the workspace."`
	SeenAt         *time.Time `json:"seen_at,omitempty"`
}

// MemberEdit changes what a member may do in a workspace.
type MemberEdit struct {
	Role           *string `json:"role,omitempty" enum:"viewer,editor,administrator"`
	ExportUserData *bool   `json:"export_user_data,omitempty"`
}

// Person is a member as installation administrators see them.
type Person struct {
	Versioned
	ID           string     `json:"id"`
	Email        string     `json:"email"`
	Name         string     `json:"name"`
	Installation bool       `json:"installation_administrator"`
	TwoFactor    bool       `json:"two_factor"`
	CreatedAt    time.Time  `json:"created_at"`
	SeenAt       *time.Time `json:"seen_at,omitempty"`
}

// PersonEdit changes a member of the installation.
type PersonEdit struct {
	Installation *bool `json:"installation_administrator,omitempty"`
}

// Invite asks somebody to join.
type Invite struct {
	Email          string `json:"email"`
	Role           string `json:"role,omitempty" enum:",viewer,editor,administrator" doc:"Viewer if it is left out."`
	ExportUserData bool   `json:"export_user_data,omitempty"`
	Installation   bool   `json:"installation_administrator,omitempty" doc:"Only installation administrators may."`
	Language       string `json:"language,omitempty" enum:",en,pt-BR,es" doc:"Of the mail; that of who invites if it is left out."`
}

// AdministratorInvite asks somebody to be installation administrator.
type AdministratorInvite struct {
	Email    string `json:"email"`
	Language string `json:"language,omitempty" enum:",en,pt-BR,es" doc:"Of the mail; that of who invites if it is left out."`
}

// Invitation is a link that somebody was sent.
type Invitation struct {
	ID             string    `json:"id"`
	Email          string    `json:"email"`
	Role           string    `json:"role"`
	ExportUserData bool      `json:"export_user_data"`
	Installation   bool      `json:"installation_administrator"`
	By             string    `json:"by"`
	CreatedAt      time.Time `json:"created_at"`
	ExpiresAt      time.Time `json:"expires_at"`
}

// InvitationIssued is a new invitation.
type InvitationIssued struct {
	Invitation
	Mailed      bool   `json:"mailed" doc:"Whether the mail went out. If not, pass the link on."`
	Link        string `json:"link,omitempty" doc:"Shown this once, and only if no mail went out."`
	MailProblem string `json:"mail_problem,omitempty" doc:"Why no mail went out."`
}

// LinkToken is the last part of a link's address.
type LinkToken struct {
	Token string `json:"token"`
}

// Link is what a link is good for.
type Link struct {
	Kind           string    `json:"kind" enum:"invitation,reset,first"`
	Email          string    `json:"email,omitempty" doc:"Whom it was sent to."`
	Workspace      string    `json:"workspace,omitempty" doc:"Name of the one to join."`
	Role           string    `json:"role,omitempty" enum:"viewer,editor,administrator"`
	ExportUserData bool      `json:"export_user_data"`
	Installation   bool      `json:"installation_administrator"`
	By             string    `json:"by,omitempty" doc:"Who invites."`
	Known          bool      `json:"known" doc:"The address is a member's: sign in and take it up."`
	ExpiresAt      time.Time `json:"expires_at"`
}

// Accept answers an invitation, or the link of the first start.
type Accept struct {
	Token    string `json:"token"`
	Email    string `json:"email,omitempty" doc:"Of the first administrator; an invitation has its own, and no other is taken."`
	Name     string `json:"name"`
	Password string `json:"password"`
	Language string `json:"language,omitempty" enum:",en,pt-BR,es"`
	TimeZone string `json:"time_zone,omitempty"`
}

// APIKey is a key of a workspace's programs.
type APIKey struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes"`
	Networks  []string   `json:"networks" doc:"CIDR, from which it works; empty: from anywhere."`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	UsedAt    *time.Time `json:"used_at,omitempty"`
}

// APIKeyCreate asks for a key.
type APIKeyCreate struct {
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes"`
	Networks  []string   `json:"networks,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// APIKeyIssued is a new key.
type APIKeyIssued struct {
	APIKey
	Key string `json:"key" doc:"What goes into the Authorization header. Shown this once."`
}

// RejectedEvents are the last events of a key that were not taken, and the bodies that were refused whole.
type RejectedEvents struct {
	Total int64           `json:"total" doc:"Since the server started; a body that was refused whole counts as one."`
	Items []RejectedEvent `json:"items" doc:"Newest first; at most 100."`
}

// RejectedEvent is one of them.
type RejectedEvent struct {
	At     time.Time      `json:"at"`
	Whole  bool           `json:"whole" doc:"Not an event but the body of a request: nothing of it was taken, and its one error is the answer's."`
	Index  int            `json:"index" doc:"Its place in its request, from 0."`
	Errors []FieldProblem `json:"errors"`
	More   bool           `json:"errors_truncated,omitempty" doc:"It had more errors than are kept of one event."`
	Sample string         `json:"sample" doc:"Its beginning, with every value masked."`
}

// ChangeEntry is a line of the log of changes.
type ChangeEntry struct {
	ID          string         `json:"id"`
	Workspace   string         `json:"workspace,omitempty" doc:"Id of the workspace; absent: of the installation."`
	At          time.Time      `json:"at"`
	Actor       string         `json:"actor"`
	Via         string         `json:"via"`
	Address     string         `json:"address,omitempty"`
	RequestID   string         `json:"request_id,omitempty"`
	Action      string         `json:"action" doc:"As connector.edit."`
	SubjectID   string         `json:"subject_id"`
	SubjectName string         `json:"subject_name"`
	Before      map[string]any `json:"before,omitempty" doc:"Fields that differ; secrets are redacted."`
	After       map[string]any `json:"after,omitempty"`
}
