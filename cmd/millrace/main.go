// Command millrace is the whole product in one binary: the server, and the tools around it.
//
// This package turns flags into commands of internal/app and their errors into exit codes, nothing else. The
// grammar stands in cli.go.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/millrace/millrace/internal/app"
)

var version = "unknown" // set by the linker

func main() {
	// The first signal asks for an ordered end; the second ends the process at once, by its default action.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	console := &app.Console{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Program: os.Args[0], Version: version,
		Terminal: term.IsTerminal(int(os.Stderr.Fd())),
	}
	os.Exit(run(ctx, console, os.Args[1:], os.Environ()))
}

// run plays one command line and gives the exit code.
func run(ctx context.Context, c *app.Console, args, environ []string) int {
	code, err := parseAndRun(ctx, c, args, environ)
	if err != nil {
		report(c.Err, err)
	}
	return code
}

// endless is a word that nobody wrote to be read: a file or a key, say, that was given in the place of a name. What the
// program itself has to say, statements to paste among it, is shorter.
var endless = regexp.MustCompile(`\S{600,}`)

// shorten cuts words short that would bury what is said about them.
func shorten(s string) string {
	return endless.ReplaceAllStringFunc(s, func(word string) string { return strings.ToValidUTF8(word[:100], "") + "…" })
}

// report says what failed and what to do now, for a person.
func report(w io.Writer, err error) {
	fmt.Fprintf(w, "millrace: %s\n", shorten(app.Sentence(err)))
	if hint := app.Hint(err); hint != "" {
		fmt.Fprintf(w, "  → %s\n", hint)
	}
}
