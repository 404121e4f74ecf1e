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
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/millrace/millrace/internal/fault"
)

// Limits of a file of apply, so that aliases of aliases cannot make a small file endless, nor its mistakes an answer.
const (
	maxManifestBytes    = 1 << 20
	maxManifestNodes    = 1 << 17 // keys and items, as often as they are read
	maxManifestProblems = 100
	maxManifestSaid     = 500  // bytes of a problem's sentence, and of its place
	maxManifestPlain    = 1000 // plain values in a list: far more than there are types of events
	maxMerges           = 16   // one within the other
	// The parser makes a path of names for every node: what nests deeper, or has longer names, than any manifest is refused
	// before it.
	maxManifestDepth  = 32
	maxManifestColumn = 128 // where a block of lines may begin
	maxManifestKey    = 128 // bytes
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
	tokens := lexer.Tokenize(string(data))
	if t := beyond(tokens); t != nil {
		r.note(fault.Problem{Field: fmt.Sprintf("%s:%d:%d", r.file, t.Position.Line, t.Position.Column), Code: "too_large",
			Message: fmt.Sprintf("From here on the file nests deeper than %d levels, or has a key of more than %d bytes.", maxManifestDepth, maxManifestKey)})
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

// beyond gives the token at which a file nests deeper, or has a longer key, than manifests do; nil: it does nowhere.
func beyond(tokens token.Tokens) *token.Token {
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType:
			if t.Position.Column > maxManifestColumn {
				return t
			}
		case token.MappingValueType:
			if key := t.Prev; key != nil && (len(key.Origin) > maxManifestKey+maxManifestColumn || depth == 0 && key.Position.Column > maxManifestColumn) {
				return key
			}
		}
		if depth > maxManifestDepth {
			return t
		}
	}
	return nil
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
	if len(r.problems) == maxManifestProblems {
		r.over = true
		p.Code, p.Message = "truncated", fmt.Sprintf("More is wrong, from here on, than the %d problems that are listed: mend these first.", maxManifestProblems)
	}
	p.Field, p.Message = cut(p.Field), cut(p.Message)
	r.problems = append(r.problems, p)
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
		return scalar(v), true
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
	count := 0
	r.sequence(path, n, func(path string, n ast.Node) {
		if count++; count <= maxManifestPlain {
			read(path, n)
		} else if count == maxManifestPlain+1 {
			r.problem(path, n, "too_large", "A list of more than %d values is not read.", maxManifestPlain)
		}
	})
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
