package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
)

// Bounds of what is read and of what is said about it.
const (
	maxBody     = 1 << 20 // where the row says no other
	maxProblems = 100
	maxEcho     = 100 // bytes of a value that a message repeats
)

// field is one named part of an input or output, as its tags declare it.
type field struct {
	name     string
	in       string // path, query, header, or json
	index    []int  // see reflect.Value.FieldByIndex
	typ      reflect.Type
	enum     []string
	doc      string
	required bool // of an input
	always   bool // of an output: it is never left out
}

// shape is how an input is read.
type shape struct {
	typ    reflect.Type
	params []field // of path, query and header
	body   []int   // index of the field that is the body; nil: there is none
}

// shapeOf reads the tags of an input type. A type that breaks the rules of operation panics: the table is wrong.
func shapeOf(t reflect.Type) shape {
	s := shape{typ: t}
	for _, f := range reflect.VisibleFields(t) {
		if _, ok := f.Tag.Lookup("body"); ok {
			s.body = f.Index
			continue
		}
		for _, in := range []string{"path", "query", "header"} {
			if tag, ok := f.Tag.Lookup(in); ok {
				name, option, _ := strings.Cut(tag, ",")
				s.params = append(s.params, field{name: name, in: in, index: f.Index, typ: f.Type, enum: enumOf(f), doc: f.Tag.Get("doc"), required: in == "path" || option == "required"})
			}
		}
	}
	return s
}

// fieldsOf gives the fields that JSON has of struct type t, those of embedded structs among them.
func fieldsOf(t reflect.Type) []field {
	var all []field
	for _, f := range reflect.VisibleFields(t) {
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || name == "-" || name == "" {
			continue
		}
		always := !strings.Contains(option, "omit")
		all = append(all, field{name: name, in: "json", index: f.Index, typ: f.Type, enum: enumOf(f), doc: f.Tag.Get("doc"),
			required: always && f.Type.Kind() != reflect.Pointer && f.Type.Kind() != reflect.Slice, always: always})
	}
	return all
}

func enumOf(f reflect.StructField) []string {
	if tag, ok := f.Tag.Lookup("enum"); ok {
		return strings.Split(tag, ",")
	}
	return nil
}

// read gives the row's input of a request, and its body as it came. limit bounds the body.
//
// Errors: invalid, with every problem of the fields where the input can be read at all; too_large,
// unsupported_media_type, unavailable (the client is too slow).
func (s shape) read(w http.ResponseWriter, r *http.Request, limit int64) (in any, body []byte, err error) {
	v := reflect.New(s.typ).Elem()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "", "The query of the address cannot be read.").WithHint("Write special characters as %%XX.")
	}
	var d decoder
	d.query(s, query)
	for _, p := range s.params {
		given := query[p.name]
		switch p.in {
		case "path":
			given = []string{r.PathValue(p.name)}
		case "header":
			given = r.Header.Values(p.name)
		}
		d.param(p, given, v.FieldByIndex(p.index))
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead { // a body means nothing with these
		if body, err = readBody(w, r, limit); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case s.body != nil:
		err = d.body(r, body, v.FieldByIndex(s.body))
	case len(body) > 0: // what it says would be done is not done
		err = d.body(r, body, reflect.ValueOf(&none{}).Elem())
	}
	if err == nil && len(d.problems) > 0 {
		err = &fault.Error{Code: fault.Invalid, Fields: d.problems}
	}
	return v.Interface(), body, err
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return nil, fault.New(fault.TooLarge, "", "The body is larger than %d MiB.", limit>>20)
	}
	if errors.Is(err, httpd.ErrSlowBody) {
		return nil, fault.New(fault.Invalid, "", "The body came too slowly.").WithCause(err)
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "", "The body ended early.").WithCause(err)
	}
	return body, nil
}

// decoder gathers what is wrong while an input is read.
type decoder struct{ problems []fault.Problem }

func (d *decoder) problem(at, code, format string, args ...any) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, fault.Problem{Field: at, Code: code, Message: fault.Visible(fmt.Sprintf(format, args...))})
	}
}

// unknown is the problem of a name that nothing has.
func (d *decoder) unknown(at, name, what string, known []string) {
	if near := fault.Nearest(name, known); near != "" {
		d.problem(at, "unknown_field", "There is no %s %q. Did you mean %q?", what, cut(name), near)
	} else {
		d.problem(at, "unknown_field", "There is no %s %q.", what, cut(name))
	}
}

// query refuses parameters that the row does not have, and those given twice.
func (d *decoder) query(s shape, given url.Values) {
	var known []string
	for _, p := range s.params {
		if p.in == "query" {
			known = append(known, p.name)
		}
	}
	for _, name := range sortedKeys(given) {
		if !slices.Contains(known, name) {
			d.unknown(cut(name), name, "parameter", known)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// param reads one parameter into v.
func (d *decoder) param(p field, given []string, v reflect.Value) {
	switch {
	case len(given) == 0:
		if p.required {
			d.problem(p.name, "required", "This parameter is needed.")
		}
		return
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), len(given), len(given)))
		for i, g := range given {
			d.text(index(p.name, i), g, v.Index(i), p.enum)
		}
		return
	case len(given) > 1:
		d.problem(p.name, "duplicate_field", "This parameter is given twice.")
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	d.text(p.name, given[0], v, p.enum)
	if id, ok := v.Interface().(interface{ Valid() bool }); ok && p.in == "query" && v.String() != "" && !id.Valid() {
		d.problem(p.name, "unknown_value", "This has not the form of an id.") // in a path, what it names is not there
	}
}

// text reads the text of a parameter into v.
func (d *decoder) text(at, text string, v reflect.Value, enum []string) {
	if v.Type() == timeType {
		d.time(at, text, v)
		return
	}
	switch v.Kind() {
	case reflect.String:
		d.string(at, text, v, enum)
	case reflect.Bool:
		switch text {
		case "true", "false":
			v.SetBool(text == "true")
		default:
			d.problem(at, "wrong_type", "This is either true or false.")
		}
	case reflect.Int, reflect.Int64:
		d.integer(at, text, v)
	default:
		panic("web: no parameter can be a " + v.Type().String())
	}
}

func (d *decoder) string(at, text string, v reflect.Value, enum []string) {
	switch {
	case !utf8.ValidString(text):
		d.problem(at, "invalid_utf8", "The text is not valid UTF-8.")
	case strings.ContainsRune(text, 0): // PostgreSQL has no such text
		d.problem(at, "invalid", "A text does not hold the character U+0000.")
	case enum != nil && !slices.Contains(enum, text):
		valid := slices.DeleteFunc(slices.Clone(enum), func(s string) bool { return s == "" })
		message := fmt.Sprintf("%q is none of %s.", cut(text), strings.Join(valid, ", "))
		if near := fault.Nearest(text, valid); near != "" {
			message += fmt.Sprintf(" Did you mean %q?", near)
		}
		d.problem(at, "unknown_value", "%s", message)
	default:
		v.SetString(text)
	}
}

func (d *decoder) time(at, text string, v reflect.Value) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d.problem(at, "invalid_time", "A time is written as 2026-11-22T10:00:00Z.")
		return
	}
	v.Set(reflect.ValueOf(t.UTC().Truncate(time.Millisecond))) // as it is kept: what is answered now is what is read later
}

func (d *decoder) integer(at, text string, v reflect.Value) {
	n, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err == nil {
		v.SetInt(n)
		return
	}
	f, notNumber := strconv.ParseFloat(text, 64)
	const exact = 1 << 53 // from here on not every whole number is a float64
	switch {
	case errors.Is(err, strconv.ErrRange) || errors.Is(notNumber, strconv.ErrRange):
		d.problem(at, "out_of_range", "The number is too large.")
	case notNumber != nil:
		d.problem(at, "wrong_type", "This is a whole number.")
	case f >= exact || f <= -exact || v.OverflowInt(int64(f)):
		d.problem(at, "out_of_range", "The number is too large.")
	case f != float64(int64(f)):
		d.problem(at, "not_integer", "The number has to be a whole one.")
	default: // 1.0, 1e3
		v.SetInt(int64(f))
	}
}

// body reads a JSON body into v. Errors: invalid where it is no JSON at all, unsupported_media_type.
func (d *decoder) body(r *http.Request, body []byte, v reflect.Value) error {
	mt, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset, given := params["charset"]; err != nil || mt != "application/json" || given && !strings.EqualFold(charset, "utf-8") {
		return fault.New(fault.UnsupportedMediaType, "", "Content-Type must be application/json.")
	}
	if c := r.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return fault.New(fault.UnsupportedMediaType, "", "Bodies come without Content-Encoding.")
	}
	if !utf8.Valid(body) {
		return fault.New(fault.Invalid, "", "The body is not valid UTF-8.")
	}
	var raw json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		if s, ok := errors.AsType[*json.SyntaxError](err); ok && len(bytes.TrimSpace(body)) > 0 {
			return fault.New(fault.Invalid, "", "The body is not valid JSON: %s, at byte %d.", s.Error(), s.Offset)
		}
		return fault.New(fault.Invalid, "", "This address takes a JSON object as its body, and the body is empty.")
	}
	if raw[0] != '{' && v.Kind() == reflect.Struct {
		return fault.New(fault.Invalid, "", "The body has to be a JSON object; this is %s.", kindOf(raw))
	}
	d.value("", raw, v, nil)
	return nil
}

var (
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

// value reads valid JSON into v, which stands at the path at.
func (d *decoder) value(at string, raw json.RawMessage, v reflect.Value, enum []string) {
	if leaf := raw[0] == '"' || v.Type() == rawType || v.Kind() == reflect.Interface; leaf && halfPair(raw) {
		d.halfPair(at)
		return
	}
	if v.Type() == rawType {
		v.SetBytes(raw)
		return
	}
	if v.Kind() == reflect.Interface {
		var x any
		_ = json.Unmarshal(raw, &x) // it is valid
		if x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return
	}
	if raw[0] == 'n' {
		d.problem(at, "wrong_type", "This is null. Leave the field out instead.")
		return
	}
	wrong := func(want string) { d.problem(at, "wrong_type", "This is %s; it has to be %s.", kindOf(raw), want) }
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(at, raw, v.Elem(), enum)
	case reflect.String:
		if raw[0] != '"' {
			wrong("a text")
			return
		}
		d.string(at, unquote(raw), v, enum)
	case reflect.Bool:
		if raw[0] != 't' && raw[0] != 'f' {
			wrong("true or false")
			return
		}
		v.SetBool(raw[0] == 't')
	case reflect.Int, reflect.Int64:
		if !isNumber(raw) {
			wrong("a whole number")
			return
		}
		d.integer(at, string(raw), v)
	case reflect.Float64:
		if !isNumber(raw) {
			wrong("a number")
			return
		}
		n, err := strconv.ParseFloat(string(raw), 64)
		if err != nil { // it is one
			d.problem(at, "out_of_range", "The number is too large.")
			return
		}
		v.SetFloat(n)
	case reflect.Slice:
		if raw[0] != '[' {
			wrong("a list")
			return
		}
		items := elements(raw)
		v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
		for i, x := range items {
			d.value(index(at, i), x, v.Index(i), enum)
		}
	case reflect.Map:
		if raw[0] != '{' {
			wrong("an object")
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for _, m := range d.members(at, raw) {
			x := reflect.New(v.Type().Elem()).Elem()
			d.value(join(at, m.name), m.value, x, nil)
			v.SetMapIndex(reflect.ValueOf(m.name).Convert(v.Type().Key()), x)
		}
	case reflect.Struct:
		switch {
		case v.Type() == timeType && raw[0] == '"':
			d.time(at, unquote(raw), v)
		case v.Type() == timeType:
			wrong("a time, as 2026-11-22T10:00:00Z")
		case raw[0] != '{':
			wrong("an object")
		default:
			d.object(at, raw, v)
		}
	default:
		panic("web: no input can be a " + v.Type().String())
	}
}

func (d *decoder) object(at string, raw json.RawMessage, v reflect.Value) {
	fields := fieldsOf(v.Type())
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	given := make([]bool, len(fields))
	for _, m := range d.members(at, raw) {
		i := slices.Index(names, m.name)
		if i < 0 {
			d.unknown(join(at, cut(m.name)), m.name, "field", names)
			continue
		}
		given[i] = true
		d.value(join(at, m.name), m.value, v.FieldByIndex(fields[i].index), fields[i].enum)
	}
	for i, f := range fields {
		if f.required && !given[i] {
			d.problem(join(at, f.name), "required", "This field is needed.")
		}
	}
}

type member struct {
	name  string
	value json.RawMessage
}

// members gives what an object holds. A name that comes again is a problem, and left out.
func (d *decoder) members(at string, raw json.RawMessage) []member {
	dec := json.NewDecoder(bytes.NewReader(raw))
	var all []member
	seen := map[string]bool{}
	_, _ = dec.Token() // raw is a valid object: none of these fails
	for dec.More() {
		name, _ := dec.Token()
		m := member{name: name.(string)}
		_ = dec.Decode(&m.value)
		if strings.ContainsRune(m.name, utf8.RuneError) && halfPair(raw) {
			d.halfPair(join(at, cut(m.name)))
			continue
		}
		if seen[m.name] {
			d.problem(join(at, cut(m.name)), "duplicate_field", "This field is given twice.")
			continue
		}
		seen[m.name] = true
		all = append(all, m)
	}
	return all
}

func (d *decoder) halfPair(at string) {
	d.problem(at, "invalid_escape", "Half a surrogate pair stands for no character: \\ud83d means nothing without what follows it, as in \\ud83d\\ude00.")
}

// halfPair reports whether valid JSON has half a surrogate pair somewhere. encoding/json reads each as U+FFFD and says
// nothing, so that texts that differ would become the same one.
func halfPair(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++ // what is escaped; \u has four digits behind it
		if raw[i] != 'u' {
			continue
		}
		first := escaped(raw[i+1 : i+5])
		i += 4
		if !utf16.IsSurrogate(first) {
			continue
		}
		if !bytes.HasPrefix(raw[i+1:], []byte(`\u`)) || utf16.DecodeRune(first, escaped(raw[i+3:i+7])) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// escaped reads the four digits of an escape.
func escaped(digits []byte) rune {
	n, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil {
		panic("web: valid JSON has an escape of " + strconv.Quote(string(digits)))
	}
	return rune(n)
}

func elements(raw json.RawMessage) []json.RawMessage {
	var all []json.RawMessage
	_ = json.Unmarshal(raw, &all) // raw is a valid array
	return all
}

func unquote(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // raw is a valid string
	return s
}

// kindOf names what valid JSON is.
func kindOf(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a text"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

func isNumber(raw json.RawMessage) bool { return kindOf(raw) == "a number" }

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func index(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }

// cut shortens what a message repeats of an input.
func cut(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	return strings.ToValidUTF8(s[:maxEcho], "") + "…"
}
