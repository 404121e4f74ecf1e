package control

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/scanner"
	"github.com/goccy/go-yaml/token"

	"github.com/millrace/millrace/internal/fault"
)

// Limits of a file of apply, so that aliases of aliases cannot make a small file endless, nor its mistakes an answer.
const (
	maxManifestBytes    = 1 << 20
	maxManifestNodes    = 1 << 17 // keys and items, as often as they are read
	maxManifestProblems = 100
	maxManifestSaid     = 500  // bytes of a problem's sentence, and of its place
	maxManifestShort    = 1000 // items of a list of types, fields and the like: far more than there are
	maxManifestValue    = 4096 // bytes of a plain value: twice the longest that means anything, a webhook's address
	maxMerges           = 16   // one within the other
	// The parser makes a path of names for every node, and copies lists of them for every key of a block and every value that
	// is missing: what nests deeper, has longer names or more of all that than any manifest, is refused before it.
	maxManifestTokens    = 100_000 // words and signs; some 1,200 connectors that say everything, or 4,000 that say little
	maxManifestDepth     = 32
	maxManifestColumn    = 128  // where a block of lines may begin
	maxManifestKey       = 128  // bytes
	maxManifestKeys      = 1000 // of one block
	maxManifestDocuments = 8
)

// yamlReader walks a YAML file along the keys that are known, and gathers everything that is wrong with it, each
// with file, line, column and path.
type yamlReader struct {
	file     string
	problems []fault.Problem
	anchors  map[string]ast.Node
	places   map[string]string // file:line:column by path
	nodes    int
	over     bool // a limit is reached, and nothing more is read
}

// fields says what to do with each key of a mapping.
type fields map[string]func(path string, n ast.Node)

// root parses data and gives the one document's content; nil if there is none.
func (r *yamlReader) root(data []byte) ast.Node {
	if len(data) > maxManifestBytes {
		r.problem("", nil, "too_large", "The file is larger than %d bytes.", maxManifestBytes)
		return nil
	}
	tokens, over := tokenize(string(data))
	if over != nil {
		r.note(fault.Problem{Field: fmt.Sprintf("%s:%d:%d", r.file, over.Position.Line, over.Position.Column), Code: "too_large",
			Message: fmt.Sprintf("From here on the file is more than is read: it has more than %d words and signs, or %d keys in one block, nests deeper than %d levels, has a key of more than %d bytes, or one that is marked with a question mark. What a file does not mention stays as it is, so it can be cut in two.",
				maxManifestTokens, maxManifestKeys, maxManifestDepth, maxManifestKey)})
		return nil
	}
	doc, err := parser.Parse(tokens, 0)
	if err != nil {
		message, at := "The file is not YAML.", r.file
		if ye, ok := errors.AsType[yaml.Error](err); ok {
			message = "The file is not YAML: " + ye.GetMessage() + "."
			if t := ye.GetToken(); t != nil && t.Position != nil {
				at = fmt.Sprintf("%s:%d:%d", r.file, t.Position.Line, t.Position.Column)
			}
		}
		r.problems = append(r.problems, fault.Problem{Field: at, Code: "invalid_yaml", Message: message})
		return nil
	}
	var root ast.Node
	for _, d := range doc.Docs {
		if d.Body == nil {
			continue
		}
		if root != nil {
			r.problem("", d.Body, "invalid_yaml", "The file holds a second document; one is read.")
			return nil
		}
		root = d.Body
	}
	return root
}

// tokenize gives the tokens of a file up to its first mistake, of which the parser says what it is; over is that at which it
// is more than manifests are, nil if nowhere.
func tokenize(text string) (all token.Tokens, over *token.Token) {
	var s scanner.Scanner
	s.Init(text)
	some, _ := s.Scan()
	all.Add(some...) // and each knows its neighbours
	if len(all) > maxManifestTokens {
		return nil, all[maxManifestTokens]
	}
	depth, documents := 0, 0            // brackets that are open; marks between documents
	var keys [maxManifestColumn + 1]int // of the block that begins at a column
	for _, t := range all {
		column := min(t.Position.Column, maxManifestColumn)
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
			clear(keys[column+1:])
		case token.MappingEndType, token.SequenceEndType:
			depth = max(depth-1, 0)
		case token.SequenceEntryType:
			if t.Position.Column > maxManifestColumn {
				return nil, t
			}
			clear(keys[column+1:])
		case token.MappingKeyType: // a question mark: its key need not be followed by a colon
			return nil, t
		case token.MappingValueType:
			key := t.Prev
			for key != nil && key.Type == token.CommentType {
				key = key.Prev
			}
			if key == nil {
				break // the parser says so
			}
			far := key.Position.Column > maxManifestColumn // as lines in brackets may be
			if len(key.Value) > maxManifestKey || far && depth == 0 {
				return nil, key
			}
			if far {
				break
			}
			clear(keys[key.Position.Column+1:])
			if keys[key.Position.Column]++; keys[key.Position.Column] > maxManifestKeys {
				return nil, key
			}
		case token.DocumentHeaderType, token.DocumentEndType:
			documents++
		}
		if depth > maxManifestDepth || documents > maxManifestDocuments {
			return nil, t
		}
	}
	return all, nil
}

// place is where n begins: a mapping with its first key, of which the library gives the colon.
func (r *yamlReader) place(n ast.Node) string {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0]
	}
	if pair, ok := n.(*ast.MappingValueNode); ok {
		n = pair.Key
	}
	if n != nil {
		if t := n.GetToken(); t != nil && t.Position != nil {
			return fmt.Sprintf("%s:%d:%d", r.file, t.Position.Line, t.Position.Column)
		}
	}
	return r.file
}

// problem notes what is wrong at n.
func (r *yamlReader) problem(path string, n ast.Node, code, format string, args ...any) {
	if !r.over { // what is wrong may cost more to say than to find
		r.note(fault.Problem{Field: located(r.place(n), path), Code: code, Message: fmt.Sprintf(format, args...)})
	}
}

// note lists p. With the last one that is listed reading ends.
func (r *yamlReader) note(p fault.Problem) {
	if r.over {
		return
	}
	r.problems = listed(append(r.problems, p), maxManifestProblems)
	r.over = len(r.problems) > maxManifestProblems
}

// listed gives the problems of a manifest as they are told: each cut to a length, and of more than most the first, with one
// behind them that says so.
func listed(problems []fault.Problem, most int) []fault.Problem {
	if len(problems) > most {
		problems = problems[:most+1]
		more := &problems[most]
		more.Code, more.Message = "truncated", fmt.Sprintf("More is wrong than the %d problems that are listed: mend these first.", maxManifestProblems)
	}
	for i, p := range problems {
		problems[i].Field, problems[i].Message = cut(p.Field), cut(p.Message)
	}
	return problems
}

// cut gives s, or its beginning.
func cut(s string) string {
	if len(s) <= maxManifestSaid {
		return s
	}
	return strings.ToValidUTF8(s[:maxManifestSaid], "") + "…"
}

// more counts a key or an item that is read, and reports whether it may be.
func (r *yamlReader) more(path string, n ast.Node) bool {
	if r.nodes++; r.nodes > maxManifestNodes {
		r.problem(path, n, "too_large", "Aliases make the file larger than what is read.")
		r.over = true
	}
	return !r.over
}

func located(place, path string) string {
	if path == "" {
		return place
	}
	return place + ": " + path
}

// anchorsOf keeps the anchors of what it is walked through.
type anchorsOf map[string]ast.Node

// Visit keeps n if it is an anchor.
func (a anchorsOf) Visit(n ast.Node) ast.Visitor {
	if v, ok := n.(*ast.AnchorNode); ok {
		a[v.Name.String()] = v.Value
	}
	return a
}

// value looks through anchors, aliases and tags.
func (r *yamlReader) value(path string, n ast.Node) ast.Node {
	for range maxMerges {
		switch v := n.(type) {
		case *ast.AnchorNode:
			r.anchors[v.Name.String()] = v.Value
			n = v.Value
		case *ast.AliasNode:
			target, ok := r.anchors[v.Value.String()]
			if !ok {
				r.problem(path, n, "unknown_alias", "Nothing before it is called &%s.", v.Value)
				return nil
			}
			n = target
		case *ast.TagNode:
			n = v.Value
		default:
			return n
		}
	}
	r.problem(path, n, "invalid_yaml", "Aliases lead in a circle.")
	return nil
}

// mapping reads n by known. What is merged in with << gives way to what stands beside it.
func (r *yamlReader) mapping(path string, n ast.Node, known fields) {
	seen := map[string]bool{}
	r.mergeInto(path, n, known, seen, 0)
}

func (r *yamlReader) mergeInto(path string, n ast.Node, known fields, seen map[string]bool, depth int) {
	v := r.value(path, n)
	if v == nil {
		return
	}
	if depth > maxMerges {
		r.problem(path, n, "too_large", "Aliases make the file larger than what is read.")
		return
	}
	var pairs []*ast.MappingValueNode
	switch v := v.(type) {
	case *ast.MappingNode:
		pairs = v.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{v}
	default:
		r.problem(path, n, "wrong_type", "Keys with values are expected here.")
		return
	}
	var merged []ast.Node
	for _, pair := range pairs {
		if !r.more(path, pair) {
			return
		}
		if pair.Key.IsMergeKey() {
			merged = append(merged, pair.Value)
			continue
		}
		key := scalar(pair.Key)
		at := join(path, key)
		if !seen[key] || depth == 0 {
			r.places[at] = r.place(pair.Key)
		}
		read, ok := known[key]
		switch {
		case !ok:
			names := slices.Sorted(maps.Keys(known))
			hint := ""
			if near := fault.Nearest(key, names); near != "" {
				hint = fmt.Sprintf(" Did you mean %q?", near)
			}
			r.problem(at, pair.Key, "unknown_key", "There is no key %q here; the keys are %s.%s", key, strings.Join(names, ", "), hint)
			ast.Walk(anchorsOf(r.anchors), pair.Value) // else what leads there would be a mistake too
		case seen[key] && depth == 0:
			r.problem(at, pair.Key, "duplicate_key", "This key stands here twice.")
		case seen[key]: // what stands in the mapping itself wins
		default:
			seen[key] = true
			read(at, pair.Value)
		}
	}
	for _, m := range merged {
		r.mergeInto(path, m, known, seen, depth+1)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// sequence calls item for each item of a list.
func (r *yamlReader) sequence(path string, n ast.Node, item func(path string, n ast.Node)) {
	r.items(path, n, maxManifestNodes, item)
}

// short is sequence for a list that is never long.
func (r *yamlReader) short(path string, n ast.Node, item func(path string, n ast.Node)) {
	r.items(path, n, maxManifestShort, item)
}

func (r *yamlReader) items(path string, n ast.Node, most int, item func(path string, n ast.Node)) {
	v := r.value(path, n)
	if v == nil {
		return
	}
	s, ok := v.(*ast.SequenceNode)
	if !ok {
		r.problem(path, n, "wrong_type", "A list is expected here.")
		return
	}
	for i, v := range s.Values {
		if !r.more(path, v) {
			return
		}
		at := index(path, i)
		if i == most {
			r.problem(at, v, "too_large", "A list of more than %d items is not read here.", most)
			return
		}
		r.places[at] = r.place(v)
		item(at, v)
	}
}

// scalar gives a plain value as it is written, so that 0123 stays 0123; "" for anything else.
func scalar(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n")
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value
	}
	return ""
}

// text gives the text of a plain value.
func (r *yamlReader) text(path string, n ast.Node) (string, bool) {
	v := r.value(path, n)
	switch v.(type) {
	case nil:
		return "", false
	case *ast.StringNode, *ast.LiteralNode, *ast.IntegerNode, *ast.FloatNode:
		s := scalar(v)
		if len(s) > maxManifestValue {
			r.problem(path, n, "too_large", "A value of more than %d bytes is not read.", maxManifestValue)
		}
		return s, len(s) <= maxManifestValue
	case *ast.BoolNode:
		r.problem(path, n, "wrong_type", "Text is expected here; put %s into quotes if it is meant as text.", scalar(v))
	case *ast.NullNode:
		r.problem(path, n, "required", "A value is missing here.")
	default:
		r.problem(path, n, "wrong_type", "Text is expected here.")
	}
	return "", false
}

// into gives a reader of text for dst.
func (r *yamlReader) into(dst **string) func(path string, n ast.Node) {
	return func(path string, n ast.Node) {
		if s, ok := r.text(path, n); ok {
			*dst = &s
		}
	}
}

// intoOrNull is into, where a null that was written out means something. Nothing at all after a key is a mistake.
func (r *yamlReader) intoOrNull(dst **string, null string) func(path string, n ast.Node) {
	return func(path string, n ast.Node) {
		v := r.value(path, n)
		if z, ok := v.(*ast.NullNode); ok && z.Token.Type == token.NullType {
			*dst = &null
		} else if v != nil {
			r.into(dst)(path, v)
		}
	}
}

func (r *yamlReader) flag(dst **bool) func(path string, n ast.Node) {
	return func(path string, n ast.Node) {
		switch v := r.value(path, n).(type) {
		case nil:
		case *ast.BoolNode:
			*dst = &v.Value
		default:
			r.problem(path, n, "wrong_type", "true or false is expected here.")
		}
	}
}

func (r *yamlReader) integer(dst **int) func(path string, n ast.Node) {
	return func(path string, n ast.Node) {
		v := r.value(path, n)
		if v == nil {
			return
		}
		if _, ok := v.(*ast.IntegerNode); ok {
			if i, err := strconv.Atoi(strings.ReplaceAll(scalar(v), "_", "")); err == nil {
				*dst = &i
				return
			}
		}
		r.problem(path, n, "wrong_type", "A whole number is expected here.")
	}
}

func (r *yamlReader) duration(dst **time.Duration) func(path string, n ast.Node) {
	return func(path string, n ast.Node) {
		s, ok := r.text(path, n)
		if !ok {
			return
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			r.problem(path, n, "invalid", "%q is not a duration such as 30s, 5m or 1h.", s)
			return
		}
		*dst = &d
	}
}

// texts reads a list of plain values; one value alone is a list of one.
func (r *yamlReader) texts(dst *[]string) func(path string, n ast.Node) {
	return func(path string, n ast.Node) {
		*dst = []string{}
		r.each(path, n, func(_ string, _ ast.Node, s string) { *dst = append(*dst, s) })
	}
}

// each calls item for each value of a list of plain ones; one value alone is a list of one.
func (r *yamlReader) each(path string, n ast.Node, item func(path string, n ast.Node, s string)) {
	read := func(path string, n ast.Node) {
		if s, ok := r.text(path, n); ok {
			item(path, n, s)
		}
	}
	if _, ok := r.value(path, n).(*ast.StringNode); ok {
		read(path, n)
		return
	}
	r.short(path, n, read)
}

// namesInto reads a list of names out of known. One that is none of them is what unknown says.
func namesInto[N ~string](r *yamlReader, dst *[]N, known []N, unknown func(field string, got N) fault.Problem) func(path string, n ast.Node) {
	return func(path string, n ast.Node) {
		*dst = []N{}
		r.each(path, n, func(path string, n ast.Node, s string) {
			if !slices.Contains(known, N(s)) {
				p := unknown(path, N(s))
				r.problem(path, n, p.Code, "%s", p.Message)
			}
			*dst = append(*dst, N(s))
		})
	}
}
