package app

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// Settings is where a command finds its settings: the environment and the flags that it was called with.
type Settings struct {
	Environ []string // as os.Environ gives it
	Flags   []string // --name=value
}

// Load reads and checks them. Errors: invalid, with every problem.
func (s Settings) Load() (*config.Config, error) {
	return config.Load(config.Source{Env: s.Environ, Flags: s.Flags})
}

// withDefaults gives the flags with those of more added that are not among them; all are --name=value.
func withDefaults(flags []string, more ...string) []string {
	all := slices.Clone(flags)
	for _, m := range more {
		name, _, _ := strings.Cut(m, "=")
		if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, name+"=") }) {
			all = append(all, m)
		}
	}
	return all
}

// env looks up one variable, for secrets that a file names.
func (s Settings) env(name string) (string, bool) {
	for i := len(s.Environ) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(s.Environ[i], "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// SettingName is a setting as a flag.
type SettingName struct {
	Flag   string // --data-dir
	Switch bool   // may stand without a value
}

// SettingNames gives all settings as flags, --config first.
func SettingNames() []SettingName {
	names := []SettingName{{Flag: "--config"}}
	for _, s := range config.Table() {
		names = append(names, SettingName{s.Flag(), s.Kind == config.Switch})
		if f := s.FileName(); f != "" {
			names = append(names, SettingName{Flag: "--" + strings.ReplaceAll(f, "_", "-")})
		}
	}
	return names
}

// Usage is the error for a command line that cannot be understood.
func Usage(what, hint string) error {
	return fault.New(fault.Invalid, "", "%s", what).WithHint("%s", hint)
}

// errDiffers ends a command that worked and found what it was to look for. Its exit code is 1 and its result has
// been printed.
type errDiffers struct{ what string }

func (e errDiffers) Error() string { return e.what }

// endsWith ends a command that worked with an exit code of its own. Its result has been printed.
type endsWith struct {
	code int
	what string
}

func (e endsWith) Error() string { return e.what }

// ExitCode is the process's exit code for err: 0 for nil, else as fault.Table says. A command that was
// interrupted ends with 130, as shells count.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && fault.As(err) == nil {
		return 130
	}
	if e, ok := errors.AsType[endsWith](err); ok {
		return e.code
	}
	return fault.CodeOf(err).Exit()
}

// Sentence is err for a person: field problems on lines of their own.
func Sentence(err error) string {
	if errors.Is(err, context.Canceled) && fault.As(err) == nil {
		return "interrupted"
	}
	f := fault.As(err)
	if f == nil || len(f.Fields) == 0 {
		return err.Error()
	}
	var b strings.Builder
	head := strings.TrimSpace(strings.Trim(f.Op+": "+f.Message(), ": "))
	if head == "" {
		head = string(f.Code)
	}
	b.WriteString(head)
	for _, p := range f.Fields {
		b.WriteString("\n  ")
		if p.Field != "" {
			b.WriteString(p.Field + ": ")
		}
		b.WriteString(p.Message)
	}
	return fault.Visible(b.String())
}

// Hint says what to do about err; empty if nobody knows.
func Hint(err error) string { return fault.HintOf(err) }

// advised gives err with a hint, unless it has one.
func advised(err error, hint string) error {
	e := fault.As(err)
	if e == nil || Hint(err) != "" {
		return err
	}
	with := *e
	return with.WithHint("%s", hint)
}

// makeFolder makes a folder that a setting or a flag names.
func makeFolder(folder vfs.FS, what, dir, name string) error {
	err := folder.MkdirAll(".")
	if err == nil {
		return nil
	}
	e := fault.New(fault.CodeOf(err), "", "%s %s cannot be made", what, dir).WithCause(err)
	if f := fault.As(err); f != nil && f.Cause != nil {
		e.Cause = f.Cause // what was tried is said already
	}
	return e.WithHint("%s", cmp.Or(Hint(err), "Name another one with "+name+"."))
}

// indent puts text where help shows it as it is.
func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}
