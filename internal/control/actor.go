package control

import (
	"context"
	"slices"
)

// Actor is who asks for something: what they may do, and the name under which the log of changes keeps it.
type Actor struct {
	Member   MemberID  // empty: not a person, see Via
	Name     string    // of a member the e-mail address
	Via      string    // how they came: a session, a token by its name, the command line
	Session  SessionID // empty: they did not come by one
	Address  string    // of the client; empty for the command line
	Request  string    // id of the request; empty for the command line
	Language string    // of the member; empty: none chosen

	Installation bool                  // installation administrator
	Seats        map[uint32]Membership // by workspace
	ReadOnly     bool                  // came with a token that only reads
}

// CommandLine is the actor of commands: whoever may read the data folder may do everything.
func CommandLine() Actor {
	return Actor{Name: "command line", Via: "command line", Installation: true}
}

// Itself is the actor of what the installation does unasked: it has no rights, and needs none.
func Itself() Actor {
	return Actor{Name: "millrace", Via: "by itself"}
}

// Role is what a member is in a workspace. Each holds the rights of the one before.
type Role string

// The roles.
const (
	Viewer        Role = "viewer"        // sees everything but personal data and people's keys
	Editor        Role = "editor"        // decides about connectors, the data export, webhooks
	Administrator Role = "administrator" // decides about members, keys and the workspace itself
)

// Roles are all roles, the one with the fewest rights first.
func Roles() []Role { return []Role{Viewer, Editor, Administrator} }

// Right is what an action needs of whoever asks for it.
type Right string

// The rights. Those from RightView to RightExportUserData are of one workspace.
const (
	RightAnyone         Right = "anyone"           // nobody need be known
	RightSignedIn       Right = "signed_in"        // a member, whatever they may do
	RightSession        Right = "session"          // a person in their session: whoever found a token shall not stay by it
	RightView           Right = "view"             // see connectors, ledgers, notices
	RightChange         Right = "change"           // change connectors, the data export, webhooks
	RightAdminister     Right = "administer"       // change members, keys, the workspace; read the log of changes
	RightExportUserData Right = "export_user_data" // see and take out personal data; apart from every role
	RightInstall        Right = "install"          // see the machine, make workspaces, see all of them
)

// Rights are all rights, in the order in which they are shown.
func Rights() []Right {
	return []Right{RightAnyone, RightSignedIn, RightSession, RightView, RightChange, RightAdminister, RightExportUserData, RightInstall}
}

// needs says from which role on a right is held.
var needs = map[Right]Role{RightView: Viewer, RightChange: Editor, RightAdminister: Administrator}

// reads are the rights that a token which only reads still gives.
var reads = []Right{RightAnyone, RightSignedIn, RightView, RightExportUserData}

// May reports whether the actor has right r in a workspace; the workspace means nothing for rights that are not one's.
//
// Installation administrators have every right everywhere, but that to personal data, which is given by name. A token
// that only reads leaves RightAdminister and RightInstall out too: what they show is nothing for a script that only reads.
func (a Actor) May(r Right, workspace uint32) bool {
	if a.ReadOnly && !slices.Contains(reads, r) {
		return false
	}
	seat, sits := a.Seats[workspace]
	switch r {
	case RightAnyone:
		return true
	case RightSignedIn:
		return a.Member != "" || a.Installation
	case RightSession:
		return a.Member != "" && a.Session != ""
	case RightInstall:
		return a.Installation
	case RightExportUserData:
		return sits && seat.ExportUserData
	}
	if a.Installation {
		return true
	}
	least, ok := needs[r]
	return ok && sits && slices.Index(Roles(), seat.Role) >= slices.Index(Roles(), least)
}

// decides reports whether there is a workspace of which the actor may change anything.
func (a Actor) decides() bool {
	if a.May(RightInstall, 0) {
		return true
	}
	for w := range a.Seats {
		if a.May(RightChange, w) {
			return true
		}
	}
	return false
}

// As gives the actor with the rights of a member who has these places.
func (a Actor) As(m Member, seats []Membership) Actor {
	a.Member, a.Name, a.Language, a.Installation, a.Seats = m.ID, m.Email, m.Language, m.Installation, map[uint32]Membership{}
	for _, s := range seats {
		a.Seats[s.Workspace] = s
	}
	return a
}

type actorKey struct{}

// WithActor lets the actions below ctx know who asks.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf gives who asks; Itself where nobody said so.
func ActorOf(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Itself()
}
