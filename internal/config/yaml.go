package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// file reads the YAML file: one mapping from names to values, a list where the setting is one.
func (l *loader) file(name string) map[string]value {
	layer := map[string]value{}
	raw, err := l.src.Read(name)
	if err != nil {
		l.problem(name, "unreadable_file", "cannot be read: %v", err)
		return layer
	}
	doc, err := parser.ParseBytes(raw, 0)
	if err != nil {
		at, msg := name, err.Error()
		var ye yaml.Error
		if errors.As(err, &ye) {
			msg = ye.GetMessage()
			if t := ye.GetToken(); t != nil && t.Position != nil {
				at = fmt.Sprintf("%s:%d", name, t.Position.Line)
			}
		}
		l.problem(at, "invalid_yaml", "%s", msg)
		return layer
	}
	var root ast.Node
	for _, d := range doc.Docs {
		if d.Body == nil {
			continue
		}
		if root != nil {
			l.problem(place(name, d.Body, ""), "invalid_yaml", "a second document; settings are one")
			return layer
		}
		root = d.Body
	}
	switch root := root.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode: // an empty file
	case *ast.MappingNode:
		for _, m := range root.Values {
			l.member(name, m, layer)
		}
	default:
		l.problem(place(name, root, ""), "invalid_yaml", "settings are lines of the form name: value")
	}
	return layer
}

func (l *loader) member(file string, m *ast.MappingValueNode, layer map[string]value) {
	key, ok := m.Key.(*ast.StringNode)
	if !ok {
		l.problem(place(file, m, ""), "invalid_yaml", "a setting's name is a plain word")
		return
	}
	name := key.Value
	at := place(file, key, name)
	if name == "config" {
		l.problem(at, "unknown_setting", "a settings file cannot name another one")
		return
	}
	s, ok := l.known(name, at, func(n string) string { return n })
	if !ok {
		return
	}
	if _, twice := layer[name]; twice {
		l.problem(at, "duplicate_setting", "is given twice; leave one out")
		return
	}
	v := value{origin: at}
	switch n := m.Value.(type) {
	case *ast.NullNode: // "name:" with nothing after it: not set
		return
	case *ast.SequenceNode:
		if !s.list() || name != s.Name {
			l.problem(at, "invalid_value", "takes one value, not a list")
			return
		}
		for _, item := range n.Values {
			t, ok := scalar(item)
			if !ok {
				l.problem(place(file, item, name), "invalid_value", "items of the list are plain values")
				return
			}
			v.items = append(v.items, t)
		}
	default:
		t, ok := scalar(n)
		if !ok {
			l.problem(at, "invalid_value", "takes a plain value")
			return
		}
		v.items = splitAs(s, name, t)
	}
	layer[name] = v
}

// scalar gives a value as it is written, so that 012345678901 stays an account id.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func place(file string, n ast.Node, name string) string {
	at := file
	if t := n.GetToken(); t != nil && t.Position != nil {
		at = fmt.Sprintf("%s:%d", file, t.Position.Line)
	}
	if name != "" {
		at += ": " + name
	}
	return at
}
