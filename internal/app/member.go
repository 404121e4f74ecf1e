package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// AsCommandLine makes the operator, who may do everything, the one who asks below ctx: the log of changes says so.
func AsCommandLine(ctx context.Context) context.Context {
	return control.WithActor(ctx, control.CommandLine())
}

// people gives the actions about members on this plane, for commands: they send no mail but give links to pass on.
func (p *plane) people() *control.People {
	return control.NewPeople(control.PeopleConfig{
		Store: p.store, BaseURL: p.baseURL,
		Send: func(context.Context, control.Letter) error {
			return fault.New(fault.Unavailable, "send a letter", "commands send no mail")
		},
	})
}

// baseURL is how people reach the server, as far as the settings know it.
func (p *plane) baseURL() string {
	s := p.cfg.Server
	switch {
	case s.BaseURL != "":
		return s.BaseURL
	case s.TLSCertFile != "":
		return "https://" + s.Listen
	}
	return "http://" + s.Listen
}

// MemberAdd makes a member.
type MemberAdd struct {
	Email          string `required:"" placeholder:"E-MAIL" help:"Their address."`
	Name           string `placeholder:"NAME" help:"What they are called; the address if it is left out."`
	Workspace      string `placeholder:"NAME" help:"The workspace that they get a place in."`
	Role           string `placeholder:"ROLE" help:"What they may do there: viewer (if it is left out), editor, administrator."`
	ExportUserData bool   `help:"They may also see and take out personal data there."`
	Installation   bool   `name:"installation-administrator" help:"They see the machine and every workspace, and make workspaces."`
	PasswordStdin  bool   `help:"Read their password from standard input, in place of giving a link that sets it."`
	JSON           bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (MemberAdd) Help() string {
	return `For the first administrator, and for whoever cannot be invited by mail. The link that is printed sets the password and is for nobody else's eyes. It begins with MILLRACE_BASE_URL, or with the address that the server listens on. Who is a member already gets the place and the rights that are named, and loses none.

    millrace member add --email ana@acme.example --installation-administrator
    millrace member add --email ben@acme.example --workspace acme --role editor`
}

// Run adds the member.
func (cmd MemberAdd) Run(ctx context.Context, c *Console, s Settings) error {
	if cmd.Workspace == "" && (cmd.Role != "" || cmd.ExportUserData) {
		return Usage("a role, and the right to personal data, are of a workspace", "Name it with --workspace.")
	}
	in := control.AddMember{Email: cmd.Email, Name: cmd.Name, Role: control.Role(cmd.Role), ExportUserData: cmd.ExportUserData, Installation: cmd.Installation}
	if cmd.PasswordStdin {
		var err error
		if in.Password, err = readPassword(c.In); err != nil {
			return err
		}
	}
	p, err := loadPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // commits were synced
	if cmd.Workspace != "" {
		w, err := p.workspace(ctx, cmd.Workspace)
		if err != nil {
			return err
		}
		in.Workspace = w.Number
	}
	m, link, err := p.people().AddMember(ctx, in)
	if err != nil {
		return err
	}
	if cmd.JSON {
		out := map[string]any{"id": m.ID, "email": m.Email, "name": m.Name}
		if !link.Empty() {
			out["link"] = link.Reveal()
		}
		return c.JSON(out)
	}
	if link.Empty() {
		c.Note("%s is a member and signs in with their password.", m.Email)
		return nil
	}
	c.Print("%s", link.Reveal())
	c.Note("%s is a member. With this link they set their password: it works once, for a week.", m.Email)
	if p.cfg.Server.BaseURL == "" {
		c.Note("The link begins with the address that the server listens on; MILLRACE_BASE_URL says how others reach it.")
	}
	return nil
}

// maxPassword bounds what is read of standard input; what a password may be is control's to say.
const maxPassword = 4 << 10

// readPassword reads the first line of standard input.
func readPassword(in io.Reader) (secret.Value, error) {
	line, err := bufio.NewReader(io.LimitReader(in, maxPassword)).ReadString('\n')
	if err != nil && err != io.EOF {
		return secret.Value{}, fault.From(err, fault.Unavailable, "read standard input")
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return secret.Value{}, Usage("standard input holds no password", "Send it as one line: … --password-stdin < FILE")
	}
	return secret.New(line), nil
}

// MemberList shows the members.
type MemberList struct {
	JSON bool `name:"json" help:"As JSON."`
}

// Help teaches.
func (MemberList) Help() string {
	return `All members of the installation with what they may do in which workspace; +data is the right to see and take out personal data.

    millrace member list`
}

// memberJSON is a member as it is shown.
type memberJSON struct {
	ID           control.MemberID `json:"id"`
	Email        string           `json:"email"`
	Name         string           `json:"name"`
	Installation bool             `json:"installation_administrator"`
	Password     bool             `json:"has_password"`
	TwoFactor    bool             `json:"two_factor"`
	CreatedAt    time.Time        `json:"created_at"`
	SeenAt       *time.Time       `json:"seen_at,omitempty"`
	Workspaces   []seatJSON       `json:"workspaces"`
}

type seatJSON struct {
	Workspace      string       `json:"workspace"`
	Role           control.Role `json:"role"`
	ExportUserData bool         `json:"export_user_data"`
}

// Run lists.
func (cmd MemberList) Run(ctx context.Context, c *Console, s Settings) error {
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // only read
	rows, err := p.members(ctx)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.JSON(map[string]any{"members": rows})
	}
	w := tabwriter.NewWriter(c.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "E-MAIL\tNAME\tSIGNS IN BY\tSEEN\tMAY")
	for _, m := range rows {
		var may []string
		if m.Installation {
			may = append(may, "installation administrator")
		}
		for _, x := range m.Workspaces {
			one := x.Workspace + ": " + string(x.Role)
			if x.ExportUserData {
				one += " +data"
			}
			may = append(may, one)
		}
		signs, seen := "no password", "never"
		switch {
		case m.TwoFactor:
			signs = "password and code"
		case m.Password:
			signs = "password"
		}
		if m.SeenAt != nil {
			seen = m.SeenAt.Format(time.DateOnly)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", m.Email, m.Name, signs, seen, strings.Join(may, ", "))
	}
	return w.Flush()
}

func (p *plane) members(ctx context.Context) ([]memberJSON, error) {
	people := p.people()
	all, err := people.Members(ctx)
	if err != nil {
		return nil, err
	}
	workspaces, err := p.store.Workspaces(ctx)
	if err != nil {
		return nil, err
	}
	places := map[control.MemberID][]seatJSON{}
	for _, w := range workspaces {
		seats, err := people.Seats(ctx, w.Number)
		if err != nil {
			return nil, err
		}
		for _, x := range seats {
			places[x.ID] = append(places[x.ID], seatJSON{w.Name, x.Role, x.ExportUserData})
		}
	}
	rows := []memberJSON{}
	for _, m := range all {
		row := memberJSON{
			ID: m.ID, Email: m.Email, Name: m.Name, Installation: m.Installation, Password: m.Password, TwoFactor: m.TwoFactor,
			CreatedAt: m.CreatedAt, Workspaces: append([]seatJSON{}, places[m.ID]...),
		}
		if !m.SeenAt.IsZero() {
			row.SeenAt = &m.SeenAt
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// MemberToken makes a personal token.
type MemberToken struct {
	Email    string        `required:"" placeholder:"E-MAIL" help:"Of the member as whom programs ask that have it."`
	Name     string        `required:"" placeholder:"NAME" help:"What the token is called in lists."`
	ReadOnly bool          `help:"It can look, and change nothing."`
	Life     time.Duration `placeholder:"DURATION" help:"For how long it works, such as 720h; for ever if it is left out."`
	JSON     bool          `name:"json" help:"As JSON."`
}

// Help teaches.
func (MemberToken) Help() string {
	return `The token is printed once and kept only as a hash: write it down. It may do in the API, /api/v1, what the member may do, their own password, sessions and tokens apart.

    MILLRACE_TOKEN=$(millrace member token --email ana@acme.example --name deploy)
    millrace apply -f connectors.yaml --server https://millrace.example`
}

// Run makes the token.
func (cmd MemberToken) Run(ctx context.Context, c *Console, s Settings) error {
	if cmd.Life < 0 {
		return Usage("--life must be a time to work for, like 720h", "Leave it out for a token that works until it is revoked.")
	}
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // the commit was synced
	var expires time.Time
	if cmd.Life > 0 {
		expires = time.Now().Add(cmd.Life)
	}
	t, token, err := p.people().IssueToken(ctx, cmd.Email, cmd.Name, cmd.ReadOnly, expires)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "", "there is no member %q", cmd.Email).WithHint("Members are listed by millrace member list, and made by millrace member add.")
	}
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.JSON(map[string]any{"id": t.ID, "email": cmd.Email, "name": t.Name, "read_only": t.ReadOnly, "token": token.Reveal()})
	}
	c.Print("%s", token.Reveal())
	c.Note("Token %q of %s. It is shown this once.", t.Name, cmd.Email)
	return nil
}
