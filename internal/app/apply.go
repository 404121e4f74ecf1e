package app

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// Apply makes workspaces, keys and connectors as a file says.
type Apply struct {
	File   string `short:"f" required:"" placeholder:"FILE" help:"The file; - for standard input."`
	DryRun bool   `help:"Print what would change, and change nothing."`
	JSON   bool   `name:"json" help:"As JSON."`
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

It works on the data folder itself, whether or not a server runs on it; a running one takes the change up within 5 seconds.`
}

type appliedJSON struct {
	DryRun   bool          `json:"dry_run,omitempty"`
	Changes  []changeJSON  `json:"changes"`
	Keys     []keyJSON     `json:"keys"`
	Failures []failureJSON `json:"failures"`
}

type changeJSON struct {
	Kind      string   `json:"kind"`
	Workspace string   `json:"workspace"`
	Name      string   `json:"name,omitempty"`
	Different []string `json:"different,omitempty"`
}

type keyJSON struct {
	Workspace string `json:"workspace"`
	Name      string `json:"name"`
	Key       string `json:"key"`
}

type failureJSON struct {
	Kind      string          `json:"kind"`
	Workspace string          `json:"workspace"`
	Name      string          `json:"name,omitempty"`
	Place     string          `json:"place,omitempty"` // file:line:column
	Code      fault.Code      `json:"code"`
	Message   string          `json:"message"`
	Hint      string          `json:"hint,omitempty"`
	Fields    []fault.Problem `json:"fields,omitempty"`
}

// Run applies.
func (cmd Apply) Run(ctx context.Context, c *Console, s Settings) error {
	name, data, err := cmd.read(c)
	if err != nil {
		return err
	}
	m, err := control.ParseManifest(name, data, s.env, readSecretFile)
	if err != nil {
		return err
	}
	if len(m.Workspaces) == 0 {
		return fault.New(fault.Invalid, "apply", "%s names no workspaces", name).
			WithHint("A file of apply holds at least:\n    workspaces:\n      - name: NAME\nMore of it: millrace apply --help")
	}
	p, err := loadPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // commits were synced
	res := p.watched(c).Apply(ctx, m, cmd.DryRun)
	if cmd.JSON {
		if err := c.JSON(showApplied(res, cmd.DryRun)); err != nil {
			return err
		}
	} else {
		cmd.print(c, res)
	}
	return applyError(res)
}

// applyError is the error of an apply. A file that is wrong is invalid; things that were refused make exit code 1,
// and say why by themselves.
func applyError(res control.Result) error {
	if len(res.Failures) == 0 {
		return nil
	}
	fields := []fault.Problem{}
	var lines []string
	invalid := true
	hint := ""
	for _, f := range res.Failures {
		if hint == "" {
			hint = Hint(f.Err)
		}
		e := fault.As(f.Err)
		if !fault.Is(f.Err, fault.Invalid) {
			invalid = false
		}
		if e != nil && len(e.Fields) > 0 && fault.Is(f.Err, fault.Invalid) {
			fields = append(fields, e.Fields...)
			continue
		}
		line := f.Thing.String()
		if f.Place != "" {
			line += " (" + f.Place + ")"
		}
		lines = append(lines, line+": "+Sentence(f.Err))
	}
	if invalid && len(lines) == 0 {
		return &fault.Error{Code: fault.Invalid, Op: "apply", Msg: fault.Message{Text: "nothing was changed"}, Fields: fields, Hint: fault.Message{Text: hint}}
	}
	e := fault.New(fault.Internal, "", "refused: %s", strings.Join(lines, "\nrefused: "))
	e.Fields = fields
	if hint != "" {
		e = e.WithHint("%s", hint)
	}
	return e
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

func (cmd Apply) print(c *Console, res control.Result) {
	would := ""
	if cmd.DryRun {
		would = "would change "
	}
	for _, x := range res.Changes {
		c.Print("%s%s", would, x.String())
	}
	for _, k := range res.Keys {
		c.Print("API key %s/%s: %s (shown this once)", k.Workspace, k.Name, k.Key.Reveal())
	}
	if len(res.Changes) == 0 && len(res.Failures) == 0 {
		c.Print("nothing to change")
	}
}

func showApplied(res control.Result, dryRun bool) appliedJSON {
	out := appliedJSON{DryRun: dryRun, Changes: []changeJSON{}, Keys: []keyJSON{}, Failures: []failureJSON{}}
	for _, x := range res.Changes {
		out.Changes = append(out.Changes, changeJSON{x.Kind, x.Workspace, x.Name, x.Words})
	}
	for _, k := range res.Keys {
		out.Keys = append(out.Keys, keyJSON{k.Workspace, k.Name, k.Key.Reveal()})
	}
	for _, f := range res.Failures {
		j := failureJSON{Kind: f.Kind, Workspace: f.Workspace, Name: f.Name, Place: f.Place, Code: fault.CodeOf(f.Err), Message: Sentence(f.Err), Hint: Hint(f.Err)}
		if e := fault.As(f.Err); e != nil {
			j.Fields = e.Fields
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
	return applyError(p.rules().Apply(ctx, m, false))
}
