package app

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// open gives the world's control plane, as a command opens it.
func (w *world) open() *plane {
	w.t.Helper()
	p, err := loadPlane(w.t.Context(), w.s)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return p
}

// signIn signs a member in, and says whether they could.
func (w *world) signIn(p *plane, email, password string) error {
	_, _, err := p.people().SignIn(w.t.Context(), control.SignIn{Email: email, Password: secret.New(password), Client: control.Client{Address: "192.0.2.1"}})
	return err
}

func TestTheLinkOfAMemberThatWasAddedSetsTheirPassword(t *testing.T) {
	w := newWorld(t)
	w.s.Environ = append(w.s.Environ, "MILLRACE_BASE_URL=https://millrace.example/")
	link := strings.TrimSpace(w.must(MemberAdd{Email: "Ana@Acme.example", Installation: true}))
	token, ok := strings.CutPrefix(link, "https://millrace.example/password/")
	if !ok {
		t.Fatalf("the link is %q", link)
	}
	p := w.open()
	if err := p.people().Reset(t.Context(), secret.New(token), secret.New("a horse of copper")); err != nil {
		t.Fatal(err)
	}
	if err := w.signIn(p, "ana@acme.example", "a horse of copper"); err != nil {
		t.Error(err)
	}
	if err := w.signIn(p, "ana@acme.example", "another horse"); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("a wrong password: %v", err)
	}
	// Nothing is left to set, so there is no link any more.
	if out := w.must(MemberAdd{Email: "ana@acme.example", Installation: true}); out != "" {
		t.Errorf("adding again prints %q", out)
	}
}

func TestMembersAreAddedWithPlaceAndPassword(t *testing.T) {
	w := newWorld(t)
	if _, err := w.apply(w.manifest("")); err != nil {
		t.Fatal(Sentence(err))
	}
	w.typed = "a horse of copper\n"
	if out := w.must(MemberAdd{Email: "ben@acme.example", Name: "Ben", Workspace: "acme", Role: "editor", ExportUserData: true, PasswordStdin: true}); out != "" {
		t.Errorf("add prints %q", out)
	}
	if err := w.signIn(w.open(), "ben@acme.example", "a horse of copper"); err != nil {
		t.Error(err)
	}
	var got struct{ Members []memberJSON }
	if err := json.Unmarshal([]byte(w.must(MemberList{JSON: true})), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Members) != 1 || got.Members[0].Name != "Ben" || !got.Members[0].Password || len(got.Members[0].Workspaces) != 1 ||
		got.Members[0].Workspaces[0] != (seatJSON{"acme", control.Editor, true}) {
		t.Errorf("the members are %+v", got.Members)
	}
	if out := w.must(MemberList{}); !strings.Contains(out, "ben@acme.example  Ben   password  ") || !strings.Contains(out, "acme: editor +data") {
		t.Errorf("list prints\n%s", out)
	}
}

func TestAMemberThatCannotBeAddedIsRefusedByName(t *testing.T) {
	w := newWorld(t)
	w.must(MemberAdd{Email: "ana@acme.example", Installation: true})
	for name, c := range map[string]struct {
		cmd   runner
		typed string
		says  string
	}{
		"an address that is none":     {MemberAdd{Email: "ana"}, "", "email"},
		"a role without a workspace":  {MemberAdd{Email: "b@acme.example", Role: "editor"}, "", "--workspace"},
		"data without a workspace":    {MemberAdd{Email: "b@acme.example", ExportUserData: true}, "", "--workspace"},
		"a role that is none":         {MemberAdd{Email: "b@acme.example", Workspace: "acme", Role: "boss"}, "", "boss"},
		"a workspace that is not":     {MemberAdd{Email: "b@acme.example", Workspace: "nobody"}, "", "nobody"},
		"no password":                 {MemberAdd{Email: "b@acme.example", PasswordStdin: true}, "\n", "no password"},
		"a password that is too weak": {MemberAdd{Email: "b@acme.example", PasswordStdin: true}, "short\n", "password"},
		"a token for nobody":          {MemberToken{Email: "b@acme.example", Name: "x"}, "", "b@acme.example"},
		"a token without a name":      {MemberToken{Email: "ana@acme.example"}, "", "name"},
		"a token of the past":         {MemberToken{Email: "ana@acme.example", Name: "x", Life: -1}, "", "--life"},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t, w.typed = t, c.typed
			if name == "a role that is none" {
				if _, err := w.apply("workspaces: [{name: acme}]"); err != nil {
					t.Fatal(err)
				}
			}
			out, err := w.play(c.cmd)
			if err == nil || !strings.Contains(Sentence(err)+Hint(err), c.says) || out != "" {
				t.Errorf("it says %q, %q", Sentence(err), out)
			}
		})
	}
}

// A token that the machine gives is the member's, and the log of changes says that the command line made it.
func TestATokenOfTheCommandLineActsAsItsMember(t *testing.T) {
	w := newWorld(t)
	if _, err := w.apply("workspaces: [{name: acme}]"); err != nil {
		t.Fatal(err)
	}
	w.must(MemberAdd{Email: "ana@acme.example", Workspace: "acme", Role: "administrator"})
	token := strings.TrimSpace(w.must(MemberToken{Email: "ana@acme.example", Name: "deploy"}))
	p := w.open()
	a, err := p.people().ActorByToken(t.Context(), secret.New(token), "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if a.Name != "ana@acme.example" || a.Installation || a.ReadOnly || len(a.Seats) != 1 {
		t.Errorf("whoever has the token is %+v", a)
	}
	look := strings.TrimSpace(w.must(MemberToken{Email: "ana@acme.example", Name: "look", ReadOnly: true}))
	if a, err := p.people().ActorByToken(t.Context(), secret.New(look), "192.0.2.1"); err != nil || !a.ReadOnly {
		t.Errorf("whoever has the token that reads is %+v, %v", a, err)
	}
	log, err := p.store.Entries(t.Context(), control.EntryFilter{Kind: "token"}, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(log) != 2 || log[1].Actor != "command line" || log[1].Action != "token.create" || !strings.Contains(log[1].SubjectName, "deploy") {
		t.Errorf("the log of changes says %+v", log)
	}
	if _, err := w.play(MemberToken{Email: "ana@acme.example", Name: "deploy"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second token of the name: %v", err)
	}
	// Over the network nobody makes tokens that act as somebody else.
	root := control.WithActor(t.Context(), control.Actor{Member: "x", Installation: true})
	if _, _, err := p.people().IssueToken(root, "ana@acme.example", "theirs", false, time.Time{}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("an installation administrator: %v", err)
	}
}
