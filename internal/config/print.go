package config

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Print writes the settings that hold as a YAML file that Load reads back, each with where it comes from. What
// has no value, and secrets, stand in comments.
func (c *Config) Print(w io.Writer) error {
	var b strings.Builder
	for i, s := range Table() {
		e, note := c.entries[i], ""
		if s.Reserved {
			note = "; reserved: not built yet"
		}
		switch {
		case s.Secret && e.Value != "":
			fmt.Fprintf(&b, "# %s: [redacted]  # %s%s\n", e.Name, e.Origin, note)
		case e.Value == "":
			fmt.Fprintf(&b, "# %s:  # %s%s\n", e.Name, s.Absent, note)
		case s.list():
			items := strings.Split(e.Value, ", ")
			for i := range items {
				items[i] = strconv.Quote(items[i])
			}
			fmt.Fprintf(&b, "%s: [%s]  # %s%s\n", e.Name, strings.Join(items, ", "), e.Origin, note)
		default:
			fmt.Fprintf(&b, "%s: %s  # %s%s\n", e.Name, strconv.Quote(e.Value), e.Origin, note)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// doc is the documentation, which says first where there is nothing yet to document.
func (s Setting) doc() string {
	if s.Reserved {
		return "Reserved: not built yet. " + s.Doc
	}
	return s.Doc
}

// Markdown is the page of all settings, for docs/settings.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Settings

<!-- Generated from internal/config/table.go; a test compares. -->

Each setting can stand in a YAML file (` + "`--config FILE` or `MILLRACE_CONFIG`" + `) under its name, in the environment
as ` + "`MILLRACE_`" + ` and its name in upper case, and on the command line as a flag. A flag wins over the environment, the
environment over the file, the file over the default. A setting that does not exist is an error which names the
nearest one that does. ` + "`millrace config print`" + ` shows what holds and where it comes from; ` + "`millrace config check`" + ` only
reads and checks.

Sizes: ` + "`256MiB`, `10GB`, `1048576`" + `. Durations: ` + "`30s`, `48h`, `7d`, `1d12h`" + `. Lists: a YAML list, or commas. An empty
variable in the environment counts as not set. ` + "`MILLRACE_TOKEN`" + ` is no setting but a person's: the token with which
` + "`millrace apply --server`" + ` asks a server; nor is ` + "`MILLRACE_URL`" + `, for scripts.

*Reserved* settings are for parts that are not built yet; giving one is an error.

| name | environment, flag | form | default | what it does |
|---|---|---|---|---|
`)
	for _, s := range Table() {
		def := "`" + s.Default + "`"
		if s.Default == "" {
			def = s.Absent
		}
		doc := s.doc()
		if s.Secret {
			doc += " Secret; also readable from a file named by `" + s.FileName() + "`."
		}
		fmt.Fprintf(&b, "| `%s` | `%s` `%s` | %s | %s | %s |\n", s.Name, s.Env(), s.Flag(), s.Kind, def, doc)
	}
	return b.String()
}

// FlagHelp lists the flags for the help of a command.
func FlagHelp() string {
	var b strings.Builder
	for _, s := range Table() {
		def := s.Default
		if def == "" {
			def = s.Absent
		}
		fmt.Fprintf(&b, "  %-30s %s (%s)\n", s.Flag(), s.doc(), def)
	}
	return b.String()
}
