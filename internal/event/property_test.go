package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/fault"
)

// oracle encodes an event by encoding/json and a general Avro encoder, which share no code with the reader.
type oracle struct {
	c      *Catalogue
	codecs map[SchemaID]*goavro.Codec
}

func newOracle(t testing.TB, c *Catalogue) *oracle {
	o := &oracle{c: c, codecs: map[SchemaID]*goavro.Codec{}}
	for _, ty := range c.Types() {
		codec, err := goavro.NewCodec(ty.Newest().Avro)
		if err != nil {
			t.Fatal(err)
		}
		o.codecs[ty.Newest().ID] = codec
	}
	return o
}

// encode gives the record of an event, or an error if the event is not one. It does not know what encoding/json
// lets through: invalid UTF-8, half surrogate pairs, duplicate fields.
func (o *oracle) encode(raw []byte, opt Options) ([]byte, *Schema, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var members map[string]json.RawMessage
	if err := d.Decode(&members); err != nil || members == nil {
		return nil, nil, fmt.Errorf("no object: %v", err)
	}
	var name string
	if err := json.Unmarshal(members["event_type"], &name); err != nil {
		return nil, nil, err
	}
	ty, ok := o.c.Type(name)
	if !ok {
		return nil, nil, fmt.Errorf("no type %q", name)
	}
	delete(members, "event_type")
	s := ty.Newest()
	native := map[string]any{}
	for _, f := range s.Fields {
		raw, there := members[f.Name]
		delete(members, f.Name)
		v, err := nativeValue(&f, raw, there, opt)
		if err != nil {
			return nil, s, fmt.Errorf("%s: %w", f.Name, err)
		}
		native[f.Name] = v
	}
	if len(members) > 0 && !opt.IgnoreUnknown {
		return nil, s, fmt.Errorf("unknown fields %v", slices.Collect(maps.Keys(members)))
	}
	rec, err := o.codecs[s.ID].BinaryFromNative(nil, native)
	return rec, s, err
}

func nativeValue(f *Field, raw json.RawMessage, there bool, opt Options) (any, error) {
	if !there {
		switch {
		case f.Nullable:
			return nil, nil
		case f.Name == "id":
			return string(opt.NewID(nil)), nil
		case f.Name == "time":
			return opt.Now().Unix(), nil
		}
		return nil, fmt.Errorf("missing")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if v == nil {
		if f.Nullable {
			return nil, nil
		}
		return nil, fmt.Errorf("null")
	}
	in := func(branch string, v any) any {
		if f.Nullable {
			return map[string]any{branch: v}
		}
		return v
	}
	number, isNumber := v.(json.Number)
	text, isText := v.(string)
	switch f.Kind {
	case String:
		if _, ok := v.(map[string]any); ok && f.JSON {
			var b bytes.Buffer
			if err := json.Compact(&b, raw); err != nil {
				return nil, err
			}
			return in("string", b.String()), nil
		}
		if !isText || f.Name == "id" && (text == "" || len(text) > 256) {
			return nil, fmt.Errorf("no string, or an id too short or long")
		}
		return in("string", text), nil
	case Int, Long:
		if isText && f.Name == "time" {
			at, err := time.Parse(time.RFC3339, text)
			if err != nil || f.Kind == Int && int64(int32(at.Unix())) != at.Unix() {
				return nil, fmt.Errorf("no time, or one out of range: %v", err)
			}
			return at.Unix(), nil
		}
		width := 64
		if f.Kind == Int {
			width = 32
		}
		n, err := strconv.ParseInt(number.String(), 10, width)
		if !isNumber || err != nil {
			return nil, fmt.Errorf("no integer: %v", err)
		}
		return in(f.Kind.String(), n), nil
	case Float, Double:
		width := 64
		if f.Kind == Float {
			width = 32
		}
		x, err := strconv.ParseFloat(number.String(), width)
		if !isNumber || err != nil {
			return nil, fmt.Errorf("no number: %v", err)
		}
		return in(f.Kind.String(), x), nil
	case Boolean:
		if b, ok := v.(bool); ok {
			return in("boolean", b), nil
		}
		return nil, fmt.Errorf("no boolean")
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("no array")
	}
	items := []any{}
	for _, item := range list {
		s, isText := item.(string)
		switch {
		case isText && f.NullableItems:
			items = append(items, map[string]any{"string": s})
		case isText, item == nil && f.NullableItems:
			items = append(items, item)
		default:
			return nil, fmt.Errorf("an item is no string")
		}
	}
	return in("array", items), nil
}

func TestReadAgreesWithAGeneralEncoder(t *testing.T) {
	c := mustCatalogue(t, own("kinds.avsc", kindsFile), own("required.avsc", requiredFile))
	want, r := newOracle(t, c), NewReader(c)
	good, bad := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		o := fixed
		o.IgnoreUnknown = rapid.Bool().Draw(t, "ignore")
		raw := eventGen(c).Draw(t, "event")
		expected, s, err := want.encode(raw, o)
		for range 2 { // as it comes, then with what was learnt from it
			out, schema, res := r.Read([]byte("x"), raw, o)
			if (err == nil) != (res.Problems == nil) {
				t.Fatalf("%s\noracle: %v\nreader: %v", raw, err, res.Problems)
			}
			if err != nil {
				bad++
				continue
			}
			good++
			if schema != s || !bytes.Equal(out[1:], expected) {
				t.Fatalf("%s\nwant %q\n got %q", raw, expected, out[1:])
			}
			again, err := s.AppendJSON(nil, expected)
			if err != nil {
				t.Fatal(err)
			}
			again = append([]byte(`{"event_type":"`+s.Type.Name+`",`), again[1:]...)
			if out, _, res := r.Read(nil, again, o); res.Problems != nil || !bytes.Equal(out, expected) {
				t.Fatalf("the record as JSON does not read back: %s %v", again, res.Problems)
			}
		}
	})
	if good < 20 || bad < 20 {
		t.Errorf("%d good and %d bad events prove little", good, bad)
	}
}

// eventGen makes events of all types, mostly good, in any order, form and spacing that JSON allows.
func eventGen(c *Catalogue) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		ty := rapid.SampledFrom(c.Types()).Draw(t, "type")
		if rapid.IntRange(0, 2).Draw(t, "which") == 0 {
			ty, _ = c.Type(rapid.SampledFrom([]string{"t.Kinds", "t.Required"}).Draw(t, "own"))
		}
		spaced := rapid.IntRange(0, 3).Draw(t, "spaced") == 0
		space := func() string {
			if !spaced {
				return ""
			}
			return rapid.SampledFrom([]string{"", "", " ", "\n\t ", "\r"}).Draw(t, "space")
		}
		tidy := rapid.Bool().Draw(t, "tidy") // as most producers write: plain keys, in order
		var members []string
		add := func(name, value string) {
			key := `"` + name + `"`
			if !tidy {
				key = quoted(t, name)
			}
			members = append(members, space()+key+space()+":"+space()+value+space())
		}
		add("event_type", `"`+ty.Name+`"`)
		faulty := rapid.IntRange(0, 3).Draw(t, "faulty") == 0
		for _, f := range ty.Newest().Fields {
			if (f.Nullable || f.Name == "id" || f.Name == "time") && rapid.IntRange(0, 3).Draw(t, "absent") == 0 {
				continue
			}
			k := f.Kind
			if faulty && rapid.IntRange(0, 15).Draw(t, "fault") == 0 {
				switch rapid.IntRange(0, 2).Draw(t, "kind of fault") {
				case 0:
					continue
				case 1:
					add(f.Name, "null")
					continue
				case 2:
					k = Kind(rapid.IntRange(1, int(Strings)).Draw(t, "kind"))
				}
			}
			if f.Nullable && rapid.IntRange(0, 5).Draw(t, "null") == 0 {
				add(f.Name, "null")
				continue
			}
			add(f.Name, valueOf(t, &f, k, space))
		}
		if rapid.IntRange(0, 15).Draw(t, "unknown") == 0 {
			add("no_such_field", jsonValue(t, 3, space))
		}
		if !tidy && rapid.Bool().Draw(t, "shuffled") {
			members = rapid.Permutation(members).Draw(t, "order")
		}
		return []byte(space() + "{" + strings.Join(members, ",") + "}" + space())
	})
}

func valueOf(t *rapid.T, f *Field, k Kind, space func() string) string {
	switch k {
	case Int, Long:
		if f.Name == "time" && rapid.IntRange(0, 3).Draw(t, "as text") == 0 {
			at := time.Unix(rapid.Int64Range(0, math.MaxInt32).Draw(t, "time"), 0).In(time.FixedZone("", 3600*rapid.IntRange(-12, 14).Draw(t, "zone")))
			return quoted(t, at.Format(time.RFC3339))
		}
		least, most := int64(math.MinInt32), int64(math.MaxInt32)
		if k == Long {
			least, most = math.MinInt64, math.MaxInt64
		}
		return strconv.FormatInt(rapid.Int64Range(least, most).Draw(t, "integer"), 10)
	case Float, Double:
		x := rapid.Float32().Draw(t, "float")
		return strconv.FormatFloat(float64(x), byte(rapid.SampledFrom([]int{'e', 'f', 'g'}).Draw(t, "form")), -1, 64)
	case Boolean:
		return strconv.FormatBool(rapid.Bool().Draw(t, "boolean"))
	case Strings:
		var items []string
		for range rapid.IntRange(0, 5).Draw(t, "items") {
			if f.NullableItems && rapid.Bool().Draw(t, "null item") {
				items = append(items, space()+"null"+space())
			} else {
				items = append(items, space()+quoted(t, rapid.String().Draw(t, "item"))+space())
			}
		}
		return "[" + space() + strings.Join(items, ",") + "]"
	}
	if f.Name == "id" {
		return quoted(t, rapid.StringN(1, 60, 256).Draw(t, "id"))
	}
	if f.JSON && rapid.Bool().Draw(t, "object") {
		return jsonObject(t, 4, space)
	}
	return quoted(t, rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z0-9-]{30,70}`), rapid.StringMatching(`("|\\|\n|[a-z]{1,9}|é|日){0,30}`)).Draw(t, "string"))
}

func jsonObject(t *rapid.T, depth int, space func() string) string {
	var members []string
	for range rapid.IntRange(0, 3).Draw(t, "members") {
		members = append(members, space()+quoted(t, rapid.String().Draw(t, "key"))+space()+":"+space()+jsonValue(t, depth-1, space)+space())
	}
	return "{" + space() + strings.Join(members, ",") + "}"
}

func jsonValue(t *rapid.T, depth int, space func() string) string {
	kinds := 4
	if depth > 0 {
		kinds = 6
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "value") {
	case 0:
		return quoted(t, rapid.String().Draw(t, "text"))
	case 1:
		return rapid.SampledFrom([]string{"0", "-1", "1.50", "1e+10", "-0.0E-1"}).Draw(t, "number")
	case 2:
		return rapid.SampledFrom([]string{"true", "false"}).Draw(t, "word")
	case 3:
		return "null"
	case 4:
		return jsonObject(t, depth, space)
	}
	var items []string
	for range rapid.IntRange(0, 3).Draw(t, "items") {
		items = append(items, space()+jsonValue(t, depth-1, space)+space())
	}
	return "[" + space() + strings.Join(items, ",") + "]"
}

// quoted writes s as a JSON string in one of the many ways there are.
func quoted(t *rapid.T, s string) string {
	style := rapid.IntRange(0, 5).Draw(t, "style")
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case style == 1 || style == 2 && r%5 == 0:
			if r >= 0x10000 {
				fmt.Fprintf(&b, `\u%04x\u%04X`, 0xD800+(r-0x10000)>>10, 0xDC00+(r-0x10000)&0x3ff)
			} else {
				fmt.Fprintf(&b, `\u%04x`, r)
			}
		case r == '\n' && style != 3:
			b.WriteString(`\n`)
		case r == '/' && style == 3:
			b.WriteString(`\/`)
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Both ways through the reader must give the same for every event: the quick one may only decline.
func TestQuickAgreesWithScanAndWrite(t *testing.T) {
	c := mustCatalogue(t, own("kinds.avsc", kindsFile), own("required.avsc", requiredFile))
	r := NewReader(c)
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		raw := eventGen(c).Draw(t, "event")
		for i := range r.learnt {
			r.learnt[i].pass = 0
		}
		quick, s, ok := r.quick(nil, raw, &fixed)
		r.forget()
		if !ok {
			return
		}
		taken++
		schema, _ := r.scan(raw, false)
		if schema != s {
			t.Fatalf("%s\nanother schema, problems %v", raw, r.takeProblems())
		}
		slow := r.write(nil, raw, s, &fixed)
		if problems := r.takeProblems(); len(problems) > 0 || !bytes.Equal(slow, quick) {
			t.Fatalf("%s\nquick %q\n slow %q %v", raw, quick, slow, problems)
		}
	})
	if taken < 10 {
		t.Errorf("quick took %d events only", taken)
	}
}

func TestASecondLibraryReadsTheRecords(t *testing.T) {
	c := mustCatalogue(t)
	r := NewReader(c)
	const raw = `{"event_type":"users.behaviors.Purchase","id":"x","user_id":"u","app_id":"a","time":7,"product_id":"p","price":3.14,"currency":"BRL","properties":{"a":"é"},"platform":"ios"}`
	out, s, res := r.Read(nil, []byte(raw), Options{})
	if res.Problems != nil {
		t.Fatal(res.Problems)
	}
	schema, err := avro.Parse(s.Avro)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	rest, err := schema.Decode(out, &got)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%v, %d bytes left", err, len(rest))
	}
	if got["price"] != float32(3.14) || got["properties"] != `{"a":"é"}` || got["time"] != int32(7) || got["timezone"] != nil {
		t.Errorf("%v", got)
	}
}

// FuzzRead holds the reader to what encoding/json says of any bytes: what is taken is JSON and has the record that a
// general encoder gives it; what is called not JSON is not.
func FuzzRead(f *testing.F) {
	c := mustCatalogue(f, own("kinds.avsc", kindsFile), own("required.avsc", requiredFile))
	want, r := newOracle(f, c), NewReader(c)
	for _, seed := range []string{
		k(`"s":"\ud83d\ude00 é","i":-7,"l":1,"f":1.5,"d":-2e3,"b":true,"a":["x"],"n":[null,"y"],"j":{"a": [1]}`),
		`{"time":"2026-11-22T10:15:00Z","event_type":"t.Required","s":"","i":1,"b":false,"a":[],"j":"x"}`,
		`{"event_type":"users.behaviors.CustomEvent","id":"1","user_id":"u","time":1,"name":"n","properties":{}}`,
		k(`"s":"\ud800"`), k(`"zzz":[[[[]]]]`), `[1]`, ` {} `, "{\"event_type\":\"t.Kinds\",\"s\":\"\xff\"}",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, ignore bool) {
		o := fixed
		o.IgnoreUnknown = ignore
		for range 2 {
			out, s, res := r.Read(nil, raw, o)
			if len(res.Problems) > 0 {
				if len(out) > 0 {
					t.Fatal("something was appended")
				}
				if res.Problems[0].Code == CodeInvalidJSON && json.Valid(raw) {
					t.Fatalf("it is JSON: %v", res.Problems)
				}
				if res.Problems[0].Code != CodeInvalidJSON && !json.Valid(raw) && !slices.ContainsFunc(res.Problems, excuses) && !noObject(res.Problems[0], raw) {
					t.Fatalf("it is not JSON: %v", res.Problems)
				}
				continue
			}
			if !json.Valid(raw) || !utf8.Valid(raw) {
				t.Fatal("what was taken is not JSON in UTF-8")
			}
			expected, schema, err := want.encode(raw, o)
			if err != nil || schema != s || !bytes.Equal(out, expected) {
				t.Fatalf("want %q %v\n got %q", expected, err, out)
			}
			if _, err := s.AppendJSON(nil, out); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// excuses: encoding/json calls these not JSON, or stops before them.
func excuses(p fault.Problem) bool {
	return p.Code == CodeInvalidEscape || p.Code == CodeTooDeep || p.Code == CodeTooLarge
}

// noObject: what is not an object is refused for that, and nobody looks at the escapes in its strings.
func noObject(p fault.Problem, raw []byte) bool {
	n, err := SkipValue(raw)
	return p.Field == "" && p.Code == CodeWrongType && err == nil && len(bytes.TrimLeft(raw[n:], " \t\r\n")) == 0
}

// FuzzSkipValue holds the scanner to encoding/json: of JSON it takes the whole; what it takes, and has sound strings, is
// JSON.
func FuzzSkipValue(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-2.5e+3,true,null,"x\"\\\u00e9"]} `, ` [[],{},""]`, `-0`, `1.`, `"a`, `{"a":1,}`, `[1 2]`, "\"\n\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := SkipValue(raw)
		if n < 0 || n > len(raw) {
			t.Fatalf("%d of %d bytes", n, len(raw))
		}
		valid := json.Valid(raw)
		if err != nil {
			if valid && !strings.Contains(err.Error(), "deeper") {
				t.Fatalf("it is JSON: %v", err)
			}
			return
		}
		if valid && len(bytes.TrimLeft(raw[n:], " \t\r\n")) > 0 {
			t.Fatalf("stopped at %d of %d", n, len(raw))
		}
		if !json.Valid(raw[:n]) {
			// Then only the inside of a string can be wrong.
			if _, m := scanNested(append(append([]byte{'['}, raw[:n]...), ']'), 0, 0, false); m&badEscape == 0 && !bytes.ContainsFunc(raw[:n], func(r rune) bool { return r < ' ' }) {
				t.Fatalf("%q is not JSON", raw[:n])
			}
		}
	})
}
