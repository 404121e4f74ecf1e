package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/millrace/millrace/internal/app"
)

// grammar is the command line. Commands are app's values; their flags stand as tags at their fields.
type grammar struct {
	Demo      app.Demo    `cmd:"" help:"Run the whole system on embedded parts, with a producer." group:"run"`
	Serve     app.Serve   `cmd:"" help:"Run the server." group:"run"`
	Apply     app.Apply   `cmd:"" help:"Make workspaces, keys and connectors as a file says." group:"run"`
	Member    members     `cmd:"" help:"Members: add, list, give a personal token." group:"run"`
	Key       keys        `cmd:"" help:"API keys." group:"run"`
	Config    settings    `cmd:"" help:"Settings: what holds, and whether they are right." group:"run"`
	Connector connectors  `cmd:"" help:"Connectors: list, show, check, pause, resume, delete, test events, upgrade." group:"run"`
	Policy    app.Policy  `cmd:"" help:"Print the IAM policy that a customer's bucket needs." group:"data"`
	Cat       app.Cat     `cmd:"" help:"Print Avro records as JSON lines." group:"data"`
	Schema    app.Schema  `cmd:"" help:"Show the event types, their fields, and table definitions for warehouses." group:"data"`
	Wait      app.Wait    `cmd:"" help:"Return when an hour of a connector is complete." group:"data"`
	Verify    app.Verify  `cmd:"" help:"Compare a connector's bucket with the ledger." group:"care"`
	Ledger    app.Ledger  `cmd:"" help:"Show what was delivered and what was dropped." group:"care"`
	Replay    app.Replay  `cmd:"" help:"Make a connector's files again from the log." group:"care"`
	Log       logs        `cmd:"" help:"The event log: read it whole, set damage aside, go on with another." group:"care"`
	Secret    secrets     `cmd:"" help:"The master key: rotate it, seal anew what is stored." group:"care"`
	Backup    app.Backup  `cmd:"" help:"Copy the control plane while servers work on it." group:"care"`
	Restore   app.Restore `cmd:"" help:"Put a backup in the place of a control plane that is gone." group:"care"`
	Bench     app.Bench   `cmd:"" help:"Measure what a million events cost on this machine." group:"care"`

	Version app.Version `cmd:"" help:"Print the version." group:"care"`
}

type members struct {
	Add   app.MemberAdd   `cmd:"" help:"Make a member, the first administrator for instance."`
	List  app.MemberList  `cmd:"" help:"List all members with what they may do."`
	Token app.MemberToken `cmd:"" help:"Make a personal token for the API; it is printed once."`
}

type keys struct {
	Create app.KeyCreate `cmd:"" help:"Make an API key; it is printed once."`
}

type connectors struct {
	List       app.ConnectorList       `cmd:"" help:"List all connectors with their status."`
	Show       app.ConnectorShow       `cmd:"" help:"Show everything about one, but its secret."`
	Check      app.ConnectorCheck      `cmd:"" help:"Try its credentials now."`
	Pause      app.ConnectorPause      `cmd:"" help:"Hold its uploads."`
	Resume     app.ConnectorResume     `cmd:"" help:"Go on with its uploads."`
	Delete     app.ConnectorDelete     `cmd:"" help:"End it."`
	TestEvents app.ConnectorTestEvents `cmd:"" help:"Send it one realistic event of each selected type."`
	Upgrade    app.ConnectorUpgrade    `cmd:"" help:"Make a test connector a full one."`
}

type settings struct {
	Print app.ConfigPrint `cmd:"" help:"Print every setting with its value and where it comes from."`
	Check app.ConfigCheck `cmd:"" help:"Read and check the settings, and do nothing else."`
}

type logs struct {
	Check  app.LogCheck  `cmd:"" help:"Read the whole log and say what is wrong."`
	Skip   app.LogSkip   `cmd:"" help:"Set a damaged range aside, into the ledger."`
	Accept app.LogAccept `cmd:"" help:"Go on with a log that was set back or replaced."`
}

type secrets struct {
	Rotate app.SecretRotate `cmd:"" help:"Put a fresh master key in the place of the current one."`
	Reseal app.SecretReseal `cmd:"" help:"Seal anew what is sealed under a former master key."`
}

// command is what the grammar's leaves are.
type command interface {
	Run(ctx context.Context, c *app.Console, s app.Settings) error
}

const description = `Millrace takes events over HTTP, makes them durable, and delivers them as Avro files into each customer's own S3 bucket, each event exactly once.

Begin with "millrace demo": it needs nothing else. Every setting is also an environment variable and a flag of every command: docs/settings.md, or "millrace config print".`

// exited is how the parser's wish to end the process travels up to parseAndRun.
type exited int

// parseAndRun gives the exit code, and the error to report if there is one.
func parseAndRun(ctx context.Context, c *app.Console, args, environ []string) (code int, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	parser, flags, err := newParser(c)
	if err != nil {
		return 1, err
	}
	switch { // what people try first
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "--version":
		args = append([]string{"version"}, args[1:]...)
	case args[0] == "help":
		args = append(slices.Clone(args[1:]), "--help")
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		if p, ok := errors.AsType[*kong.ParseError](err); ok {
			at := ""
			if n := p.Context.Selected(); n != nil {
				at = " " + n.FullPath()[len("millrace "):]
			}
			said := p.Error()
			if name, nothing := strings.CutSuffix(said, ` but got "EOL" (<EOL>)`); nothing { // the parser's name of the end
				name, _, _ = strings.Cut(name, ": expected")
				said = name + " needs a value"
			}
			err = app.Usage(said, fmt.Sprintf("millrace%s --help shows how it is used", at))
		}
		return app.ExitCode(err), err
	}
	cmd, ok := parsed.Selected().Target.Addr().Interface().(command)
	if !ok {
		return 1, fmt.Errorf("%s is not a command", parsed.Command())
	}
	err = cmd.Run(app.AsCommandLine(ctx), c, app.Settings{Environ: environ, Flags: flags()})
	return app.ExitCode(err), err
}

// newParser builds the parser, and the function that gives the settings among the flags after parsing.
func newParser(c *app.Console) (*kong.Kong, func() []string, error) {
	set, flags := settingFlags()
	parser, err := kong.New(&grammar{},
		kong.Name("millrace"),
		kong.Description(description),
		kong.Embed(set),
		kong.Writers(c.Out, c.Err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ExplicitGroups([]kong.Group{
			{Key: "run", Title: "Run it:"},
			{Key: "data", Title: "For the data engineer:"},
			{Key: "care", Title: "Care and proof:"},
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
	)
	return parser, flags, err
}

// settingFlags makes a struct with a hidden flag for every setting, and a function that gives those that were set
// as config reads them. They are hidden because each command has all of them; `config print` lists them.
func settingFlags() (set any, flags func() []string) {
	var fields []reflect.StructField
	names := app.SettingNames()
	for i, n := range names {
		typ := reflect.TypeFor[*string]()
		if n.Switch {
			typ = reflect.TypeFor[*bool]()
		}
		fields = append(fields, reflect.StructField{
			Name: fmt.Sprintf("Setting%d", i),
			Type: typ,
			Tag:  reflect.StructTag(fmt.Sprintf(`name:"%s" hidden:""`, strings.TrimPrefix(n.Flag, "--"))),
		})
	}
	v := reflect.New(reflect.StructOf(fields))
	return v.Interface(), func() []string {
		var given []string
		for i, n := range names {
			if f := v.Elem().Field(i); !f.IsNil() {
				given = append(given, fmt.Sprintf("%s=%v", n.Flag, f.Elem().Interface()))
			}
		}
		return given
	}
}
