package app

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// Apply makes workspaces, keys and connectors as a file says.
type Apply struct {
	File   string `short:"f" required:"" placeholder:"FILE" help:"The file; - for standard input."`
	DryRun bool   `help:"Print what would change, and change nothing."`
	JSON   bool   `name:"json" help:"As JSON."`

	Server       string `placeholder:"URL" help:"Ask the server there, in place of working on the data folder."`
	TokenFile    string `placeholder:"FILE" help:"With --server: the file that holds the personal token, in place of MILLRACE_TOKEN."`
	InsecureHTTP bool   `name:"insecure-http" help:"With --server: send token and secrets in clear to another machine."`
}

// Help teaches.
func (Apply) Help() string {
	return `The file names workspaces with their API keys and connectors; what it does not mention is left alone, and applying it again changes nothing. Each connector's credentials are checked against its bucket before anything of it is stored: one that fails is refused with the reason, and the rest stands (exit code 1). The steps of each check are shown as they end; a role that was made a moment ago is tried for up to MILLRACE_ROLE_RETRY.

    workspaces:
      - name: acme
        api_keys:
          - {name: producer, scopes: [events.write], secret_env: ACME_PRODUCER_KEY}
        connectors:
          - name: warehouse
            type: s3
            contact_email: data@acme.example
            destination: {bucket: acme-currents, access_key_id: AKIA…, secret_access_key_env: ACME_S3_SECRET}
            events: [all]
        data_export: {bucket: acme-exports, role_arn: "arn:aws:iam::123456789012:role/exports"}
        webhooks:
          - {url: "https://acme.example/hook", secret_env: ACME_HOOK_SECRET}

A connector, or the data export, with "deleted: true" is deleted. What somebody else changes while a check runs is not undone: the file is thought through once more.

It works on the data folder itself, whether or not a server runs on it; a running one takes the change up within 5 seconds. With --server it asks a server on any machine instead, as the member whose personal token is in MILLRACE_TOKEN: it sends the file with the secrets that it refers to, which are looked up here, and prints the same.

    MILLRACE_TOKEN=mrp_… millrace apply -f acme.yaml --server https://millrace.example`
}

// Run applies.
func (cmd Apply) Run(ctx context.Context, c *Console, s Settings) error {
	name, data, err := cmd.read(c)
	if err != nil {
		return err
	}
	needed := secrets{env: s.env, found: map[string]string{}}
	m, err := control.ParseManifest(name, data, needed.variable, needed.file)
	if err != nil {
		return cmd.problems(ctx, s, name, data, needed, m, err)
	}
	if len(m.Workspaces) == 0 {
		return fault.New(fault.Invalid, "apply", "%s names no workspaces", name).
			WithHint("A file of apply holds at least:\n    workspaces:\n      - name: NAME\nMore of it: millrace apply --help")
	}
	var res client.Applied
	if cmd.Server != "" {
		res, err = cmd.ask(ctx, c, s, client.Manifest{Name: name, Text: string(data), Secrets: needed.found, DryRun: cmd.DryRun})
	} else {
		res, err = cmd.apply(ctx, c, s, m)
	}
	if err != nil {
		return err
	}
	if err := cmd.print(c, res); err != nil {
		return err
	}
	return applyError(res)
}

// secrets looks up what a file of apply refers to, and remembers what it found.
type secrets struct {
	env   func(string) (string, bool)
	found map[string]string // as client.Manifest has them
}

func (x secrets) variable(name string) (string, bool) {
	v, ok := x.env(name)
	if ok {
		x.found["env:"+name] = v
	}
	return v, ok
}

func (x secrets) file(path string) ([]byte, error) {
	b, err := readSecretFile(path)
	if err == nil {
		x.found["file:"+path] = string(b)
	}
	return b, err
}

// apply works on the data folder.
func (cmd Apply) apply(ctx context.Context, c *Console, s Settings, m control.Manifest) (client.Applied, error) {
	p, err := loadPlane(ctx, s)
	if err != nil {
		return client.Applied{}, err
	}
	defer p.Close() // commits were synced
	rules, end := p.watched(c)
	defer end()
	return showApplied(rules.Apply(ctx, m, cmd.DryRun), cmd.DryRun), nil
}

// problems adds to err what else is wrong with the file, as far as that can be told where it is to be applied.
func (cmd Apply) problems(ctx context.Context, s Settings, name string, data []byte, needed secrets, m control.Manifest, err error) error {
	if len(m.Workspaces) == 0 {
		return err
	}
	if cmd.Server != "" {
		asked, failed := cmd.client(s)
		if failed == nil {
			_, failed = asked.Apply(ctx, client.Manifest{Name: name, Text: string(data), Secrets: needed.found, DryRun: true})
		}
		return withOthers(err, failed)
	}
	p, failed := loadPlane(ctx, s)
	if failed != nil {
		return err // what the file is to be compared with is another matter
	}
	defer p.Close() // nothing was changed
	return p.rules().Problems(ctx, m, err)
}

// withOthers adds to err, which is what is wrong with a file as it was read here, what a server finds wrong with it beside.
func withOthers(err, there error) error {
	here, more := fault.As(err), (*client.Error)(nil)
	if here == nil || !errors.As(there, &more) {
		return err // what the file is to be compared with is another matter
	}
	all := *here
	all.Fields = slices.Clone(here.Fields)
	for _, p := range more.Fields {
		if !slices.ContainsFunc(here.Fields, func(had fault.Problem) bool { return had.Field == p.Field }) {
			all.Fields = append(all.Fields, fault.Problem{Field: p.Field, Code: p.Code, Message: p.Message})
		}
	}
	slices.SortStableFunc(all.Fields, control.ByPlace)
	return &all
}

// ask has a server apply the file, and shows how far it is.
func (cmd Apply) ask(ctx context.Context, c *Console, s Settings, m client.Manifest) (client.Applied, error) {
	asked, err := cmd.client(s)
	if err != nil {
		return client.Applied{}, err
	}
	job, err := asked.Apply(ctx, m)
	if err != nil {
		return client.Applied{}, fromServer(cmd.Server, err)
	}
	show, end := c.checks()
	defer end()
	noted := ""
	done, err := asked.AwaitJob(ctx, job.ID, func(j client.Job) {
		if j.Note != noted && j.Note != "" {
			c.Note("%s", j.Note)
		}
		noted = j.Note
		show(progressOf(j))
	})
	if err != nil {
		end()
		if done.State == "" || ctx.Err() != nil {
			c.Note("The server goes on with it, as job %s.", job.ID)
		}
		return client.Applied{}, fromServer(cmd.Server, err)
	}
	return done.Applied()
}

// progressOf gives how far the checks of a job are; nothing, if it does not say.
func progressOf(j client.Job) (at control.JobProgress) {
	if b, err := json.Marshal(j.Progress); err == nil {
		_ = json.Unmarshal(b, &at) // a newer server may say it otherwise: then it is not shown
	}
	return at
}

// applyError is the error of an apply. A file that is wrong is invalid; things that were refused make exit code 1,
// and say why by themselves, each with its own hint below it: one refusal's remedy is wrong under another.
func applyError(res client.Applied) error {
	if len(res.Failures) == 0 {
		return nil
	}
	fields := []fault.Problem{}
	var lines, hints []string // hints are those of fields
	invalid := true
	for _, f := range res.Failures {
		if f.Code != string(fault.Invalid) {
			invalid = false
		} else if len(f.Fields) > 0 {
			for _, p := range f.Fields {
				fields = append(fields, fault.Problem{Field: p.Field, Code: p.Code, Message: p.Message})
			}
			if f.Hint != "" && !slices.Contains(hints, f.Hint) {
				hints = append(hints, f.Hint)
			}
			continue
		}
		line := control.Thing{Kind: f.Kind, Workspace: f.Workspace, Name: f.Name}.String()
		if f.Place != "" {
			line += " (" + f.Place + ")"
		}
		line += ": " + f.Message
		if f.Hint != "" {
			line += "\n  → " + f.Hint
		}
		lines = append(lines, line)
	}
	e := fault.New(fault.Invalid, "apply", "nothing was changed")
	if !invalid || len(lines) > 0 {
		e = fault.New(fault.Internal, "", "refused: %s", strings.Join(lines, "\nrefused: "))
	}
	slices.SortStableFunc(fields, control.ByPlace)
	e.Fields = fields
	return e.WithHint("%s", strings.Join(hints, "\n  → "))
}

func (cmd Apply) read(c *Console) (name string, data []byte, err error) {
	if cmd.File == "-" {
		data, err = readAllLimited(c.In, maxManifest)
		return "standard input", data, err
	}
	data, err = readFile(cmd.File, maxManifest)
	err = advised(err, "Name the file with -f, or - for standard input. What it holds: millrace apply --help")
	return filepath.Base(cmd.File), data, err
}

// readSecretFile reads a secret's file, without the line end that editors leave.
func readSecretFile(path string) ([]byte, error) {
	b, err := readFile(path, maxKeyFile)
	return []byte(strings.TrimRight(string(b), "\r\n")), err
}

func (cmd Apply) print(c *Console, res client.Applied) error {
	if cmd.JSON {
		return c.JSON(res)
	}
	would := ""
	if cmd.DryRun {
		would = "would change "
	}
	for _, x := range res.Changes {
		c.Print("%s%s", would, control.Change{Thing: control.Thing{Kind: x.Kind, Workspace: x.Workspace, Name: x.Name}, Words: x.Different})
	}
	for _, k := range res.Keys {
		c.Print("API key %s/%s: %s (shown this once)", k.Workspace, k.Name, k.Key)
	}
	if len(res.Changes) == 0 && len(res.Failures) == 0 {
		c.Print("nothing to change")
	}
	return nil
}

// showApplied gives what came of an apply as the API and --json show it.
func showApplied(res control.Result, dryRun bool) client.Applied {
	out := client.Applied{DryRun: dryRun, Changes: []client.AppliedChange{}, Keys: []client.AppliedKey{}, Failures: []client.ApplyFailure{}}
	for _, x := range res.Changes {
		out.Changes = append(out.Changes, client.AppliedChange{Kind: x.Kind, Workspace: x.Workspace, Name: x.Name, Different: x.Words})
	}
	for _, k := range res.Keys {
		out.Keys = append(out.Keys, client.AppliedKey{Workspace: k.Workspace, Name: k.Name, Key: k.Key.Reveal()})
	}
	for _, f := range res.Failures {
		j := client.ApplyFailure{Kind: f.Kind, Workspace: f.Workspace, Name: f.Name, Place: f.Place, Code: string(fault.CodeOf(f.Err)), Message: Sentence(f.Err), Hint: Hint(f.Err)}
		if e := fault.As(f.Err); e != nil {
			for _, p := range e.Fields {
				j.Fields = append(j.Fields, client.FieldProblem{Field: p.Field, Code: p.Code, Message: p.Message})
			}
		}
		out.Failures = append(out.Failures, j)
	}
	return out
}

// applyText applies a file that the program itself has written; secrets are looked up in env.
func (p *plane) applyText(ctx context.Context, name, text string, env map[string]string) error {
	m, err := control.ParseManifest(name, []byte(text), func(k string) (string, bool) { v, ok := env[k]; return v, ok }, readSecretFile)
	if err != nil {
		return err
	}
	return applyError(showApplied(p.rules().Apply(ctx, m, false), false))
}
