package web

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/secret"
)

// example is a request that its row answers well to whoever has the right. Things that it names are of acme.
type example struct {
	path    string
	body    any
	undo    func()   // what the next example needs undone; nil: nothing
	refused []string // who is refused by what the operation itself looks at, beyond the row's right
}

// examples gives examples of each row, made for one of the people, with things made anew at each call. After the name of its row
// one may say, after a space, what is particular about it.
func (w *world) examples() map[string]func(who string) example {
	all := w.peopleExamples()
	maps.Copy(all, w.planeExamples())
	maps.Copy(all, w.numberExamples())
	maps.Copy(all, w.segmentExamples())
	maps.Copy(all, w.personExamples())
	maps.Copy(all, w.campaignExamples())
	maps.Copy(all, w.exportExamples())
	maps.Copy(all, w.scheduleExamples())
	return all
}

// Who asks, beside everybody with a session of theirs.
const (
	nobody   = "nobody"
	scripted = "an editor's token"
	reading  = "an administrator's token that only reads"
)

// matrix is what a right means to each, as the status of the refusal. What is not listed is answered.
var matrix = map[control.Right]map[string]int{
	control.RightAnyone:         {},
	control.RightSignedIn:       {nobody: 401},
	control.RightSession:        {nobody: 401, scripted: 403, reading: 403},
	control.RightView:           {nobody: 401, stranger: 404},
	control.RightChange:         {nobody: 401, stranger: 404, viewer: 403, exporter: 403, reading: 403},
	control.RightAdminister:     {nobody: 401, stranger: 404, viewer: 403, exporter: 403, reading: 403, editor: 403, scripted: 403},
	control.RightExportUserData: {nobody: 401, stranger: 404, viewer: 403, editor: 403, scripted: 403, admin: 403, reading: 403, installer: 403},
	control.RightInstall:        {nobody: 401, stranger: 403, viewer: 403, exporter: 403, editor: 403, scripted: 403, admin: 403, reading: 403},
}

// Every row, asked by everybody: what they are answered follows from the row's right, or is said beside its example.
func TestWhoMayDoWhat(t *testing.T) {
	w := newWorld(t, nil)
	examples := w.examples()
	for _, r := range w.api.routes() {
		refusals, known := matrix[r.right]
		if !known || examples[r.name] == nil {
			t.Errorf("%s: the matrix has no right %q, or there is no example of the row", r.name, r.right)
		}
		for name, made := range examples {
			if row, _, _ := strings.Cut(name, " "); row != r.name {
				continue
			}
			w.answersWhoMay(r, name, made, refusals)
		}
	}
	for name := range examples {
		if row, _, _ := strings.Cut(name, " "); !slices.Contains(names(w.api.routes()), row) {
			t.Errorf("there is an example of %s, which is no row", name)
		}
	}
}

// answersWhoMay has everybody ask for an example of a row.
func (w *world) answersWhoMay(r route, name string, made func(who string) example, refusals map[string]int) {
	for _, who := range append([]string{nobody, scripted, reading}, everybody...) {
		person := map[string]string{nobody: viewer, scripted: editor, reading: admin}[who]
		if person == "" {
			person = who
		}
		x := made(person)
		var h map[string]string
		switch who {
		case nobody:
		case scripted, reading:
			h = w.token(person, who == reading)
		default:
			h = w.session(person)
		}
		a := w.ask(r.method, x.path, x.body, h)
		if x.undo != nil {
			x.undo()
		}
		want := refusals[who]
		if who == reading && want == 0 && r.changes() && r.name != "sizeFilter" && r.right != control.RightAnyone {
			want = http.StatusForbidden
		}
		if slices.Contains(x.refused, who) {
			want = http.StatusForbidden
		}
		if want == 0 && a.status/100 == 2 || a.status == want {
			continue
		}
		w.t.Errorf("%s (%s) asked by %s: %d, want %d (0: any 2xx): %s", name, r.right, who, a.status, want, a.body)
	}
}

func names(rs []route) (all []string) {
	for _, r := range rs {
		all = append(all, r.name)
	}
	return all
}

// Whoever may do everything in their own workspace finds nothing of another's there, and cannot tell that it exists.
func TestThingsOfAnotherWorkspaceAreNotThere(t *testing.T) {
	w := newWorld(t, nil)
	examples := w.examples()
	rows := 0
	for _, r := range w.api.routes() {
		inside, named := strings.Contains(r.path, "{workspace}"), r.path[strings.LastIndexByte(r.path, '{')+1:]
		if r.right == control.RightInstall || !strings.Contains(r.path, "{") || inside && strings.Count(r.path, "{") == 1 || examples[r.name] == nil {
			continue // what the row names is nobody's but its own
		}
		if strings.HasPrefix(r.path, "/me/") {
			continue // of the member who asks: see below
		}
		if slices.Contains([]string{"getEventType", "getPolicy"}, r.name) {
			continue // what it names last is of no workspace
		}
		rows++
		x := examples[r.name](editor)
		there := strings.Replace(x.path, "/acme/", "/globex/", 1)
		theirs := w.as(stranger, r.method, there, x.body)
		// The same address with an id that is none.
		at := strings.Index(r.path, "{"+named)
		before := strings.Count(r.path[:at], "/")
		parts := strings.Split(there, "/")
		id := parts[before]
		parts[before] = strings.Map(func(c rune) rune {
			if c == 'a' {
				return 'b'
			}
			return c
		}, id[:len(id)-1]) + "a" // of the same form, as good as never the same
		if parts[before] == id {
			parts[before] = "b" + id[1:]
		}
		none := w.as(stranger, r.method, strings.Join(parts, "/"), x.body)
		if x.undo != nil {
			x.undo()
		}
		if theirs.status != 404 || none.status != 404 || strings.ReplaceAll(theirs.body, id, "ID") != strings.ReplaceAll(none.body, parts[before], "ID") {
			t.Errorf("%s: a foreign thing is %d %s\none that is not is %d %s", r.name, theirs.status, theirs.body, none.status, none.body)
		}
	}
	if rows == 0 {
		t.Error("no row names a thing")
	}
	for _, name := range []string{"endSession", "revokeToken"} {
		x := examples[name](viewer)
		w.as(editor, "DELETE", x.path, nil).refused(404)
	}
}

// root is who makes what examples need.
func (w *world) root() context.Context {
	return control.WithActor(w.t.Context(), control.CommandLine())
}

func (w *world) records() control.PeopleStore { return w.api.deps.Store.(control.PeopleStore) }

// fresh is a name that nothing has yet.
func fresh() string { return strings.TrimPrefix(control.NewKey().Reveal(), "mr_") }

// newcomer makes a viewer of acme.
func (w *world) newcomer() control.Member {
	w.t.Helper()
	m, _, err := w.people.AddMember(w.root(), control.AddMember{Email: fresh() + "@mill.example", Workspace: w.acme.Number})
	must(w.t, err)
	return m
}

// ticket makes a link and gives its token.
func (w *world) ticket(t control.Ticket) (token string) {
	w.t.Helper()
	token = fresh()
	t.ID, t.By, t.CreatedAt, t.ExpiresAt = control.NewTicketID(), "somebody@mill.example", time.Now().UTC(), time.Now().Add(time.Hour).UTC()
	must(w.t, w.records().CreateTicket(w.t.Context(), t, control.HashKey(token)))
	return token
}

const goodPassword = "seven green bottles"

// password gives one of the people a password.
func (w *world) password(who string) string {
	w.t.Helper()
	_, _, err := w.people.AddMember(w.root(), control.AddMember{Email: mailOf(who), Password: secret.New(goodPassword)})
	must(w.t, err)
	return goodPassword
}

// withoutFactor takes somebody's second factor away.
func (w *world) withoutFactor(who string) {
	w.t.Helper()
	id := w.member(who).ID
	l, err := w.records().Lock(w.t.Context(), id)
	must(w.t, err)
	must(w.t, w.records().SetLock(w.t.Context(), id, l, control.Lock{Password: l.Password}, false, ""))
}

// seat gives somebody a place, whatever they have there.
func (w *world) seat(next control.Membership) {
	w.t.Helper()
	all, err := w.records().SeatsOf(w.t.Context(), next.Member)
	must(w.t, err)
	var was control.Membership
	for _, s := range all {
		if s.Workspace == next.Workspace {
			was = s
		}
	}
	must(w.t, w.records().SetSeat(w.t.Context(), control.SeatChange{Was: was, Next: next}))
}

// pending begins a second factor and gives its secret.
func (w *world) pending(who string) (key string) {
	w.t.Helper()
	w.session(who)
	m := w.member(who)
	all, err := w.records().Sessions(w.t.Context(), m.ID)
	must(w.t, err)
	k, _, err := w.people.BeginTwoFactor(control.WithActor(w.t.Context(), control.Actor{Member: m.ID, Name: m.Email, Session: all[0].ID}))
	must(w.t, err)
	return k.Reveal()
}

// peopleExamples are those of rows about people, workspaces and keys.
func (w *world) peopleExamples() map[string]func(who string) example {
	at := func(path string) func(string) example { return func(string) example { return example{path: path} } }
	put := func(path string, body any) func(string) example {
		return func(string) example { return example{path: path, body: body} }
	}
	name := "Somebody"
	yes := true
	invitation := func(workspace uint32) string {
		email := fresh() + "@mill.example"
		made, err := w.people.Invite(w.root(), control.Invite{Email: email, Workspace: workspace, Installation: workspace == 0})
		must(w.t, err)
		return string(made.ID)
	}
	key := func() string {
		k, _, err := w.plane.CreateKey(w.root(), control.APIKey{Workspace: w.acme.Number, Name: fresh(), Scopes: []control.Scope{control.ScopeEventsWrite}}, secret.Value{})
		must(w.t, err)
		return string(k.ID)
	}
	return map[string]func(string) example{
		"getDescription": at("/openapi.json"),

		"signIn": func(who string) example {
			return example{path: "/sign-in", body: client.SignIn{Email: mailOf(who), Password: w.password(who)}}
		},
		"getSignIn": at("/sign-in"),
		"signOut":   at("/sign-out"),
		"requestPasswordReset": func(who string) example {
			return example{path: "/password-resets", body: client.PasswordReset{Email: mailOf(who)}}
		},
		"setPassword": func(who string) example {
			return example{path: "/password", body: client.PasswordSet{Token: w.ticket(control.Ticket{Kind: control.TicketReset, Email: mailOf(who), Member: w.member(who).ID}), Password: goodPassword}}
		},
		"lookAtLink": func(string) example {
			return example{path: "/invitations/look", body: client.LinkToken{Token: w.ticket(control.Ticket{Kind: control.TicketInvitation, Email: fresh() + "@mill.example", Workspace: w.acme.Number, Role: control.Viewer})}}
		},
		"accept": func(string) example {
			return example{path: "/accept", body: client.Accept{Name: name, Password: goodPassword,
				Token: w.ticket(control.Ticket{Kind: control.TicketInvitation, Email: fresh() + "@mill.example", Workspace: w.acme.Number, Role: control.Viewer})}}
		},
		"acceptAsMember": func(who string) example {
			other, err := w.plane.CreateWorkspace(w.root(), control.Workspace{Name: fresh()})
			must(w.t, err)
			return example{path: "/me/invitations", body: client.LinkToken{Token: w.ticket(control.Ticket{Kind: control.TicketInvitation, Email: mailOf(who), Workspace: other.Number, Role: control.Viewer})}}
		},

		"getMe":    at("/me"),
		"updateMe": put("/me", client.MeEdit{Name: &name}),
		"changePassword": func(who string) example {
			return example{path: "/me/password", body: client.PasswordChange{Current: w.password(who), New: "ten green bottles"}}
		},
		"beginTwoFactor": at("/me/two-factor"),
		"confirmTwoFactor": func(who string) example {
			code, err := totp.GenerateCode(w.pending(who), time.Now())
			must(w.t, err)
			return example{path: "/me/two-factor", body: client.TwoFactorCode{Code: code}, undo: func() { w.withoutFactor(who) }}
		},
		"removeTwoFactor":  put("/me/two-factor", client.TwoFactorProof{}),
		"listSessions":     at("/me/sessions"),
		"endOtherSessions": at("/me/sessions"),
		"endSession": func(who string) example {
			w.session(who)
			all, err := w.records().Sessions(w.t.Context(), w.member(who).ID)
			must(w.t, err)
			return example{path: "/me/sessions/" + string(all[0].ID)}
		},
		"listTokens":  at("/me/tokens"),
		"createToken": func(string) example { return example{path: "/me/tokens", body: client.TokenCreate{Name: fresh()}} },
		"revokeToken": func(who string) example {
			w.token(who, false)
			all, err := w.records().Tokens(w.t.Context(), w.member(who).ID)
			must(w.t, err)
			return example{path: "/me/tokens/" + string(all[0].ID)}
		},
		"leaveWorkspace": func(who string) example {
			// Whoever sits there, and nobody can be the last administrator to leave.
			had := control.Membership{Workspace: w.acme.Number, Member: w.member(who).ID, Role: control.Viewer, CreatedAt: time.Now()}
			seats, err := w.records().SeatsOf(w.t.Context(), had.Member)
			must(w.t, err)
			i := slices.IndexFunc(seats, func(s control.Membership) bool { return s.Workspace == had.Workspace })
			if i >= 0 {
				had = seats[i]
			} else if who == installer {
				w.seat(had)
			}
			w.seat(control.Membership{Workspace: w.acme.Number, Member: w.newcomer().ID, Role: control.Administrator, CreatedAt: time.Now()})
			return example{path: "/me/workspaces/acme", undo: func() {
				if i >= 0 {
					w.seat(had)
				}
			}}
		},

		"listWorkspaces":  at("/workspaces"),
		"createWorkspace": func(string) example { return example{path: "/workspaces", body: client.WorkspaceCreate{Name: fresh()}} },
		"getWorkspace":    at("/workspaces/acme"),
		"updateWorkspace": func(string) example {
			language := "es"
			return example{path: "/workspaces/acme", body: client.WorkspaceEdit{Language: &language}}
		},
		"listChanges": at("/workspaces/acme/changes"),
		"listMembers": at("/workspaces/acme/members"),
		"getMember":   func(string) example { return example{path: "/workspaces/acme/members/" + string(w.newcomer().ID)} },
		"updateMember": func(string) example {
			editor := "editor"
			return example{path: "/workspaces/acme/members/" + string(w.newcomer().ID), body: client.MemberEdit{Role: &editor}}
		},
		"removeMember": func(string) example {
			return example{path: "/workspaces/acme/members/" + string(w.newcomer().ID)}
		},
		"listInvitations": at("/workspaces/acme/invitations"),
		"invite": func(string) example {
			return example{path: "/workspaces/acme/invitations", body: client.Invite{Email: fresh() + "@mill.example"}}
		},
		"revokeInvitation": func(string) example {
			return example{path: "/workspaces/acme/invitations/" + invitation(w.acme.Number)}
		},

		"listAPIKeys": at("/workspaces/acme/api-keys"),
		"createAPIKey": func(string) example {
			return example{path: "/workspaces/acme/api-keys", body: client.APIKeyCreate{Name: fresh(), Scopes: []string{"events.write"}, Networks: []string{"203.0.113.0/24"}}}
		},
		"createAPIKey for personal data": func(string) example {
			return example{path: "/workspaces/acme/api-keys", body: client.APIKeyCreate{Name: fresh(), Scopes: []string{"users.export.ids"}}, refused: []string{admin, installer}}
		},
		"getAPIKey":          func(string) example { return example{path: "/workspaces/acme/api-keys/" + key()} },
		"revokeAPIKey":       func(string) example { return example{path: "/workspaces/acme/api-keys/" + key()} },
		"listRejectedEvents": func(string) example { return example{path: "/workspaces/acme/api-keys/" + key() + "/rejected-events"} },

		"getInstallation": at("/installation"), "listInstallationSetAside": at("/installation/set-aside"),
		"listPeople": at("/installation/members"),
		"getPerson":  func(string) example { return example{path: "/installation/members/" + string(w.newcomer().ID)} },
		"updatePerson": func(string) example {
			return example{path: "/installation/members/" + string(w.newcomer().ID), body: client.PersonEdit{Installation: &yes}}
		},
		"deletePerson": func(string) example { return example{path: "/installation/members/" + string(w.newcomer().ID)} },
		"resetTwoFactor": func(string) example {
			return example{path: "/installation/members/" + string(w.newcomer().ID) + "/two-factor"}
		},
		"listInstallationInvitations": at("/installation/invitations"),
		"inviteAdministrator": func(string) example {
			return example{path: "/installation/invitations", body: client.AdministratorInvite{Email: fresh() + "@mill.example"}}
		},
		"revokeInstallationInvitation": func(string) example { return example{path: "/installation/invitations/" + invitation(0)} },
		"listInstallationChanges":      at("/installation/changes"),
	}
}
