package config

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/fault"
)

// Source is where settings come from besides their defaults. The zero value has none.
type Source struct {
	// File is the YAML file; empty: the --config flag, else MILLRACE_CONFIG, else none.
	File string
	// Env is the environment as os.Environ gives it. Only names that begin with Prefix are looked at.
	Env []string
	// Flags are arguments: --data-dir DIR or --data-dir=DIR; dashes and underscores are the same. Everything in it must
	// be a setting or --config.
	Flags []string
	// Read reads a file; nil: from the disk.
	Read func(name string) ([]byte, error)
}

// value is what one layer says of one setting.
type value struct {
	items  []string
	origin string // where it stands, for messages
}

// Load reads, checks and joins all settings.
//
// Errors: invalid, with one field problem for every mistake in every layer. Problem.Field is the place
// (FILE:LINE: name, MILLRACE_NAME, --name); codes: unknown_setting (its message names the nearest known one),
// invalid_value, duplicate_setting, not_yet, unreadable_file, invalid_yaml, missing_setting. Values of secrets
// are in no message.
func Load(src Source) (*Config, error) {
	if src.Read == nil {
		src.Read = os.ReadFile
	}
	l := loader{src: src, table: Table(), values: map[string]value{}}

	flags := l.flags()
	env := l.env()
	file := src.File
	for _, layer := range []map[string]value{flags, env} {
		if v, ok := layer["config"]; ok && file == "" {
			file = v.items[0]
		}
	}
	if file != "" {
		l.take(l.file(file))
	}
	l.take(env)
	l.take(flags)
	c := l.apply()

	if len(l.problems) > 0 {
		return nil, &fault.Error{
			Code: fault.Invalid, Op: "read settings", Fields: l.problems,
			Hint: fault.Message{Text: "millrace config check reads them again; docs/settings.md lists all of them."},
		}
	}
	return c, nil
}

// originDefault is the origin of what nobody gave.
const originDefault = "default"

type loader struct {
	src      Source
	table    []Setting
	values   map[string]value
	problems []fault.Problem
}

func (l *loader) problem(at, code, format string, args ...any) {
	l.problems = append(l.problems, fault.Problem{Field: at, Code: code, Message: fmt.Sprintf(format, args...)})
}

// take puts a layer over those before it. A secret and its file are one setting: the higher layer's form wins.
func (l *loader) take(layer map[string]value) {
	for _, s := range l.table {
		direct, ok := layer[s.Name]
		viaFile, okFile := value{}, false
		if s.Secret {
			viaFile, okFile = layer[s.FileName()]
		}
		switch {
		case ok && okFile:
			l.problem(viaFile.origin, "duplicate_setting", "is given twice: %s says the same; leave one out", direct.origin)
		case okFile:
			raw, err := l.src.Read(viaFile.items[0])
			if err != nil {
				l.problem(viaFile.origin, "unreadable_file", "cannot be read: %v", err)
				continue
			}
			l.values[s.Name] = value{[]string{strings.TrimRight(string(raw), "\r\n")}, viaFile.origin}
		case ok:
			l.values[s.Name] = direct
		}
	}
}

// apply gives every setting its value, in the table's order.
func (l *loader) apply() *Config {
	c := &Config{}
	for _, s := range l.table {
		v, given := l.values[s.Name]
		if !given {
			v = value{split(s, s.Default), originDefault}
		}
		e := Entry{Name: s.Name, Value: strings.Join(v.items, ", "), Origin: v.origin}
		if s.Secret && given {
			e.Value = "[redacted]"
		}
		c.entries = append(c.entries, e)
		if !given && s.Default == "" {
			continue
		}
		if given && len(v.items) == 1 && v.items[0] == "" {
			l.problem(v.origin, "invalid_value", "is empty; leave it out to have the default")
			continue
		}
		err := s.parse(c, v.items)
		if err == nil {
			continue
		}
		code, shown := "invalid_value", ""
		if _, ok := err.(notYetError); ok {
			code = "not_yet"
		} else if !s.Secret && !s.list() && s.Kind != URL { // of a list the error names the item; a URL may hold a password
			shown = strconv.Quote(v.items[0]) + " "
		}
		l.problem(v.origin, code, "%s%v", shown, err)
	}
	for _, set := range together {
		for _, have := range set {
			for _, need := range set {
				h, given := l.values[have]
				if _, met := l.values[need]; given && !met {
					l.problem(h.origin, "missing_setting", "needs %s too", need)
				}
			}
		}
	}
	return c
}

// together are settings of which each needs the others.
var together = [][]string{{"tls_cert_file", "tls_key_file"}, {"oidc_issuer", "oidc_client_id", "oidc_client_secret"}}

// known finds the setting or secret's file that name means, or reports the nearest one.
func (l *loader) known(name, at string, show func(string) string) (Setting, bool) {
	var names []string
	for _, s := range l.table {
		if s.Name == name || s.Secret && s.FileName() == name {
			return s, true
		}
		names = append(names, s.Name)
		if s.Secret {
			names = append(names, s.FileName())
		}
	}
	l.problem(at, "unknown_setting", "there is no such setting; the nearest is %s", show(fault.Closest(name, names)))
	return Setting{}, false
}

func (l *loader) env() map[string]value {
	layer := map[string]value{}
	env := slices.Clone(l.src.Env)
	slices.Sort(env) // so that problems come in the same order each time
	for _, kv := range env {
		key, val, _ := strings.Cut(kv, "=")
		name, ok := strings.CutPrefix(key, Prefix)
		if !ok || val == "" || key == TokenVariable || key == URLVariable { // an empty variable is how many tools write "not set"
			continue
		}
		name = strings.ToLower(name)
		if key == Prefix+"CONFIG" {
			layer["config"] = value{[]string{val}, key}
			continue
		}
		s, ok := l.known(name, key, func(n string) string { return Prefix + strings.ToUpper(n) })
		if !ok {
			continue
		}
		if key != Prefix+strings.ToUpper(name) {
			l.problem(key, "unknown_setting", "names in the environment are upper case: %s", Prefix+strings.ToUpper(name))
			continue
		}
		layer[name] = value{splitAs(s, name, val), key}
	}
	return layer
}

func (l *loader) flags() map[string]value {
	layer := map[string]value{}
	args := l.src.Flags
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		body, ok := strings.CutPrefix(arg, "--")
		if !ok || body == "" {
			l.problem(arg, "unknown_setting", "is not a flag; settings are given as --name VALUE")
			continue
		}
		name, val, inline := strings.Cut(body, "=")
		flag := "--" + strings.ReplaceAll(name, "_", "-")
		name = strings.ReplaceAll(name, "-", "_")
		s, ok := Setting{Name: "config", Kind: Path}, true
		if name != "config" {
			s, ok = l.known(name, flag, func(n string) string { return "--" + strings.ReplaceAll(n, "_", "-") })
		}
		switch {
		case inline:
		case s.Kind == Switch && (len(args) == 0 || args[0] != "true" && args[0] != "false"):
			val = "true"
		case len(args) == 0 || !ok && strings.HasPrefix(args[0], "--"):
			if ok {
				l.problem(flag, "invalid_value", "needs a value")
			}
			continue
		default:
			val, args = args[0], args[1:]
		}
		if !ok {
			continue
		}
		if _, twice := layer[name]; twice {
			l.problem(flag, "duplicate_setting", "is given twice; leave one out")
			continue
		}
		layer[name] = value{splitAs(s, name, val), flag}
	}
	return layer
}

// splitAs is split, but the file of a secret is one item.
func splitAs(s Setting, name, val string) []string {
	if name != s.Name {
		return []string{val}
	}
	return split(s, val)
}

func split(s Setting, val string) []string {
	if !s.list() {
		return []string{strings.TrimSpace(val)}
	}
	var items []string
	for item := range strings.SplitSeq(val, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
