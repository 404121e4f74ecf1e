package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/app"
)

func play(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	c := &app.Console{In: strings.NewReader(""), Out: &out, Err: &err, Version: "test"}
	code = run(t.Context(), c, args, env)
	return out.String(), err.String(), code
}

func TestEveryCommandIsOneAndTeaches(t *testing.T) {
	for _, path := range commands(t) {
		out, stderr, code := play(t, nil, append(path, "--help")...)
		if code != 0 || stderr != "" || !strings.Contains(out, "Usage: millrace "+strings.Join(path, " ")) {
			t.Errorf("millrace %v --help: exit %d\n%s%s", path, code, out, stderr)
		}
	}
	// A leaf of the grammar that is no command is found when it is called: call each with a flag that ends it early.
	out, _, code := play(t, nil)
	if code != 0 {
		t.Errorf("without arguments: exit %d", code)
	}
	for _, c := range strings.Fields("demo serve apply policy cat schema verify replay ledger bench log config key version") {
		if !strings.Contains(out, "\n  "+c+" ") {
			t.Errorf("help does not list %s:\n%s", c, out)
		}
	}
}

func TestTheCommandLineEndsWithTheCodesOfTheTable(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		env  []string
		code int
		want string
	}{
		"version":                          {[]string{"version"}, nil, 0, ""},
		"an unknown flag":                  {[]string{"serve", "--listn=x"}, nil, 2, "--listen"},
		"an unknown command":               {[]string{"sreve"}, nil, 2, "serve"},
		"a setting that does not exist":    {[]string{"config", "check"}, []string{"MILLRACE_LISTN=x"}, 2, "MILLRACE_LISTEN"},
		"a setting as a flag wins":         {[]string{"config", "check", "--cluster=eu-02"}, []string{"MILLRACE_CLUSTER=prod-02"}, 0, ""},
		"a switch as a flag":               {[]string{"config", "check", "--access-log"}, nil, 0, ""},
		"a flag without a value":           {[]string{"wait", "--hour=2026-11-22T10", "--timeout"}, nil, 2, "--timeout needs a value\n"},
		"an option without its file":       {[]string{"apply", "-f"}, nil, 2, "--file needs a value\n"},
		"a word as long as a book":         {[]string{"schema", strings.Repeat("é", 10_000)}, nil, 5, "there is no event type \"" + strings.Repeat("é", 49) + "…\n"},
		"a file that does not exist":       {[]string{"apply", "-f", "/nonexist"}, nil, 5, "-f"},
		"a folder that cannot be made":     {[]string{"serve", "--data-dir=/proc/x"}, nil, 5, "the data folder /proc/x cannot be made: no such file or directory\n  → Name another one with --data-dir"},
		"a type that nothing is like":      {[]string{"schema", "nope"}, nil, 5, "millrace schema"},
		"a type that does not exist":       {[]string{"schema", "users.messages.email.Opn"}, nil, 5, "users.messages.email.Open"},
		"a folder without an installation": {[]string{"ledger", "--connector=a/b", "--data-dir=" + t.TempDir()}, nil, 5, "--data-dir"},
	} {
		t.Run(name, func(t *testing.T) {
			out, stderr, code := play(t, c.env, c.args...)
			if code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("exit %d, want %d, with %q in\n%s%s", code, c.code, c.want, out, stderr)
			}
		})
	}
}

func TestHelpAndVersionAreFoundWhereTheyAreLookedFor(t *testing.T) {
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"--version"}, "millrace test ("},
		{[]string{"--version", "--json"}, `"version": "test"`},
		{[]string{"help"}, "Usage: millrace <command>"},
		{[]string{"help", "log", "skip"}, "Usage: millrace log skip"},
		{[]string{"help", "log"}, "Usage: millrace log <command>"},
	} {
		out, stderr, code := play(t, nil, row.args...)
		if code != 0 || !strings.Contains(out, row.want) {
			t.Errorf("millrace %v: exit %d, without %q in\n%s%s", row.args, code, row.want, out, stderr)
		}
	}
	if _, stderr, code := play(t, nil, "help", "sreve"); code != 2 || !strings.Contains(stderr, "serve") {
		t.Errorf("help for a command that does not exist: exit %d, %s", code, stderr)
	}
}

func TestAFlagWinsOverTheEnvironment(t *testing.T) {
	out, _, _ := play(t, []string{"MILLRACE_CLUSTER=prod-02"}, "config", "print", "--cluster=eu-02")
	if !strings.Contains(out, `cluster: "eu-02"`) {
		t.Errorf("got\n%s", out)
	}
}
