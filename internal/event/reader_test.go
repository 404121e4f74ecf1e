package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// An own type with a field of each kind, required and nullable, so that each rule has a short row.
const kindsFile = `{"type":"record","name":"t.Kinds","schema_id":1000000,"fields":[
	{"name":"id","type":"string"},
	{"name":"time","type":"int"},
	{"name":"s","type":["null","string"],"default":null},
	{"name":"i","type":["null","int"],"default":null},
	{"name":"l","type":["null","long"],"default":null},
	{"name":"f","type":["null","float"],"default":null},
	{"name":"d","type":["null","double"],"default":null},
	{"name":"b","type":["null","boolean"],"default":null},
	{"name":"a","type":["null",{"type":"array","items":"string"}],"default":null},
	{"name":"n","type":["null",{"type":"array","items":["null","string"]}],"default":null},
	{"name":"j","type":["null","string"],"default":null,"json":true}]}`

const requiredFile = `{"type":"record","name":"t.Required","schema_id":1000001,"fields":[
	{"name":"s","type":"string"},
	{"name":"i","type":"int"},
	{"name":"b","type":"boolean"},
	{"name":"a","type":{"type":"array","items":"string"}},
	{"name":"time","type":"long"},
	{"name":"id","type":"string"},
	{"name":"j","type":"string","json":true}]}`

func kindsReader(t testing.TB) *Reader {
	return NewReader(mustCatalogue(t, own("kinds.avsc", kindsFile), own("required.avsc", requiredFile)))
}

var fixed = Options{
	Now:   func() time.Time { return time.Unix(1_790_000_000, 0) },
	NewID: func(b []byte) []byte { return append(b, "made"...) },
}

// k makes an event of type t.Kinds with the members given.
func k(members string) string {
	return `{"event_type":"t.Kinds","id":"x","time":1,` + members + `}`
}

func TestReadTakes(t *testing.T) {
	// The want column is the record as JSON without id, time and nulls.
	for _, tt := range []struct{ name, in, want string }{
		{"a string", k(`"s":"text"`), `"s":"text"`},
		{"an empty string", k(`"s":""`), `"s":""`},
		{"a string of 63, 64 and 8192 bytes", k(`"s":"` + strings.Repeat("y", 63) + `","j":"` + strings.Repeat("z", 64) + `","a":["` + strings.Repeat("w", 8192) + `"]`),
			`"s":"` + strings.Repeat("y", 63) + `","a":["` + strings.Repeat("w", 8192) + `"],"j":"` + strings.Repeat("z", 64) + `"`},
		{"every short escape", k(`"s":"\"\\\/\b\f\n\r\t"`), `"s":"\"\\/\u0008\u000c\n\r\t"`},
		{"escapes by number, in both cases", k(`"s":"\u0041\u00e9\u20AC\u20ac\u0000\u001f"`), `"s":"Aé€€\u0000\u001f"`},
		{"a surrogate pair", k(`"s":"\ud83d\ude00 \uD83D\uDE00"`), `"s":"😀 😀"`},
		{"escapes that shrink a string under 64 bytes", k(`"s":"` + strings.Repeat(`\u0041`, 20) + `"`), `"s":"` + strings.Repeat("A", 20) + `"`},
		{"escapes at the borders of words", k(`"s":"1234567\n1234567\n123456\n\n12345678"`), `"s":"1234567\n1234567\n123456\n\n12345678"`},
		{"text outside ASCII", k(`"s":"Promoção de verão, 日本, 😀"`), `"s":"Promoção de verão, 日本, 😀"`},
		{"the delete character, which is no control character to JSON", k("\"s\":\"\x7f\""), "\"s\":\"\x7f\""},
		{"null where it may be", k(`"s":null,"i":null,"a":null,"j":null`), ``},
		{"the least and greatest int", k(`"i":-2147483648,"l":2147483647`), `"i":-2147483648,"l":2147483647`},
		{"the least and greatest long", k(`"l":-9223372036854775808`), `"l":-9223372036854775808`},
		{"the greatest long", k(`"l":9223372036854775807`), `"l":9223372036854775807`},
		{"minus zero as an integer", k(`"i":-0`), `"i":0`},
		{"an integer as float and double", k(`"f":3,"d":-4`), `"f":3,"d":-4`},
		{"fractions and exponents", k(`"f":3.14,"d":-1.5e-3`), `"f":3.14,"d":-0.0015`},
		{"the greatest float32", k(`"f":3.4028234663852886e38`), `"f":3.4028235e+38`},
		{"a float32 too small to tell from zero", k(`"f":1e-60`), `"f":0`},
		{"booleans", k(`"b":true`), `"b":true`},
		{"false", k(`"b":false`), `"b":false`},
		{"arrays of strings", k(`"a":["x","é\n",""],"n":["y",null]`), `"a":["x","é\n",""],"n":["y",null]`},
		{"empty arrays", k(`"a":[],"n":[ ]`), `"a":[],"n":[]`},
		{"an array with space in it", k("\"a\":[ \"x\" ,\n\"y\" ]"), `"a":["x","y"]`},
		{"an array of 100 items", k(`"a":["x"` + strings.Repeat(`,"x"`, 99) + `]`), `"a":["x"` + strings.Repeat(`,"x"`, 99) + `]`},
		{"JSON text as a string, unchecked", k(`"j":"{not json"`), `"j":"{not json"`},
		{"JSON as an object", k(`"j":{"a":[1,2.50,{"b":null}],"c":"d"}`), `"j":"{\"a\":[1,2.50,{\"b\":null}],\"c\":\"d\"}"`},
		{"JSON as an object: space goes, all else stays", k(`"j":{ "a" : [ 1 , "x y \" \u0041" ] , "é":-0.0e+1 }`), `"j":"{\"a\":[1,\"x y \\\" \\u0041\"],\"é\":-0.0e+1}"`},
		{"JSON as an empty object", k(`"j":{ }`), `"j":"{}"`},
		{"JSON as a long object with space", k(`"j":{ "a" :"` + strings.Repeat("y", 5000) + `"}`), `"j":"{\"a\":\"` + strings.Repeat("y", 5000) + `\"}"`},
		{"fields in any order", `{"j":"j","b":true,"time":1,"s":"s","event_type":"t.Kinds","i":7,"id":"x"}`, `"s":"s","i":7,"b":true,"j":"j"`},
		{"event_type last", `{"id":"x","s":"s","time":1,"event_type":"t.Kinds"}`, `"s":"s"`},
		{"keys and event_type with escapes", `{"event\u005ftype":"t.\u004binds","id":"x","ti\u006de":1,"\u0073":"s"}`, `"s":"s"`},
		{"space everywhere", " \t\r\n{ \"event_type\" : \"t.Kinds\" , \"id\" : \"x\" ,\n\"time\" : 1 , \"s\" : \"s\" , \"i\" : 7 } \r\n", `"s":"s","i":7`},
		{"32 levels", k(`"j":{"a":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`), `"j":"{\"a\":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}"`},
		{"an id of 256 bytes", `{"event_type":"t.Kinds","time":1,"id":"` + strings.Repeat("x", 256) + `"}`, ``},
		{"an id of 256 bytes after escapes", `{"event_type":"t.Kinds","time":1,"id":"` + strings.Repeat("x", 255) + `\u0041"}`, ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := kindsReader(t)
			for range 2 { // the second time it has learnt the order
				out, s, res := r.Read([]byte("before"), []byte(tt.in), Options{})
				if len(res.Problems) > 0 {
					t.Fatalf("%+v", res.Problems)
				}
				if s.ID != 1000000 || !bytes.HasPrefix(out, []byte("before")) {
					t.Fatalf("schema %d, out %q", s.ID, out)
				}
				if got := asJSON(t, s, out[6:]); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			}
		})
	}
}

// asJSON gives the record's fields without id, time and nulls.
func asJSON(t *testing.T, s *Schema, rec []byte) string {
	t.Helper()
	b, err := s.AppendJSON(nil, rec)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b) {
		t.Fatalf("not JSON: %s", b)
	}
	got := string(b)
	got = regexp.MustCompile(`"(id|time)":("[^"]*"|-?[0-9]+),?`).ReplaceAllString(got, "")
	got = regexp.MustCompile(`"[a-z]+":null,?`).ReplaceAllString(got, "")
	return strings.TrimSuffix(got[1:len(got)-1], ",")
}

func TestReadRefuses(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	r := func(members string) string { return `{"event_type":"t.Required",` + members + `}` }
	const good = `"s":"s","i":1,"b":true,"a":[],"time":1,"id":"x","j":"{}"`
	for _, tt := range []struct {
		name, in string
		want     []string // FIELD CODE
	}{
		{"required fields missing, all of them", r(`"id":"x"`), []string{"s required", "i required", "b required", "a required", "j required"}},
		{"null for required fields", r(`"s":null,"i":null,"b":null,"a":null,"time":null,"id":null,"j":null`),
			[]string{"s required", "i required", "b required", "a required", "time required", "id required", "j required"}},
		{"wrong types, all of them", r(`"s":1,"i":"1","b":0,"a":"x","time":true,"id":{},"j":[]`),
			[]string{"s wrong_type", "i wrong_type", "b wrong_type", "a wrong_type", "time wrong_type", "id wrong_type", "j wrong_type"}},
		{"wrong types for what may be null", k(`"s":["x"],"i":false,"l":{},"f":"1","d":true,"b":"true","a":{},"n":1,"j":1`),
			[]string{"s wrong_type", "i wrong_type", "l wrong_type", "f wrong_type", "d wrong_type", "b wrong_type", "a wrong_type", "n wrong_type", "j wrong_type"}},
		{"an int beyond 32 bits", k(`"i":2147483648`), []string{"i out_of_range"}},
		{"an int below 32 bits", k(`"i":-2147483649`), []string{"i out_of_range"}},
		{"a long beyond 64 bits", k(`"l":9223372036854775808`), []string{"l out_of_range"}},
		{"a long below 64 bits", k(`"l":-9223372036854775809`), []string{"l out_of_range"}},
		{"a long of 20 digits", k(`"l":10000000000000000000`), []string{"l out_of_range"}},
		{"a fraction for an integer", k(`"i":1.0,"l":0.5`), []string{"i not_integer", "l not_integer"}},
		{"an exponent for an integer", k(`"i":1e3,"l":1E+3`), []string{"i not_integer", "l not_integer"}},
		{"a float32 beyond its range", k(`"f":3.5e38`), []string{"f out_of_range"}},
		{"a double beyond its range", k(`"d":-1e309`), []string{"d out_of_range"}},
		{"bytes that are not UTF-8", k("\"s\":\"a\xffb\""), []string{"s invalid_utf8"}},
		{"UTF-8 cut short", k("\"s\":\"ab\xe2\x82\""), []string{"s invalid_utf8"}},
		{"UTF-8 longer than it must be", k("\"s\":\"\xc0\x80\""), []string{"s invalid_utf8"}},
		{"a surrogate in UTF-8", k("\"s\":\"\xed\xa0\x80\""), []string{"s invalid_utf8"}},
		{"bytes that are not UTF-8 in an array", k("\"a\":[\"\xff\"]"), []string{"a invalid_utf8"}},
		{"bytes that are not UTF-8 in an object, key and value", k("\"j\":{\"\xff\":1}") + "\n", []string{"j invalid_utf8"}},
		{"bytes that are not UTF-8 in a key", k("\"s\xff\":1"), []string{"s\uFFFD invalid_utf8"}},
		{"a lone high surrogate", k(`"s":"\ud83d"`), []string{"s invalid_escape"}},
		{"a lone low surrogate", k(`"s":"\ude00"`), []string{"s invalid_escape"}},
		{"a high surrogate and no low one", k(`"s":"\ud83d\u0041"`), []string{"s invalid_escape"}},
		{"two high surrogates", k(`"s":"\ud83d\ud83d\ude00"`), []string{"s invalid_escape"}},
		{"an escape that is none", k(`"s":"\x41"`), []string{"s invalid_escape"}},
		{"an escape with too few digits", k(`"s":"\u12"`), []string{"s invalid_escape"}},
		{"an escape with no hex digits", k(`"s":"\u00g0"`), []string{"s invalid_escape"}},
		{"a bad escape in an array", k(`"a":["\q"]`), []string{"a invalid_escape"}},
		{"a bad escape in an object", k(`"j":{"a":"\q"}`), []string{"j invalid_escape"}},
		{"a bad escape in a key", k(`"\q":1`), []string{`\q invalid_escape`}},
		{"a bad escape in a key, before the type is known", `{"\u12":1,"\":1,"event_type":"t.Kinds"}`, []string{" invalid_json"}},
		{"bad escapes in keys, before the type is known", `{"\u1":1,"\ud800":1,"\q":2,"event_type":"t.Kinds"}`, []string{`\u1 invalid_escape`, `\ud800 invalid_escape`, `\q invalid_escape`}},
		{"a field twice", k(`"s":"a","s":"b"`), []string{"s duplicate_field"}},
		{"a field twice, one key with an escape", k(`"s":"a","\u0073":"b"`), []string{"s duplicate_field"}},
		{"a field twice, once null", k(`"s":null,"s":"b"`), []string{"s duplicate_field"}},
		{"a field twice, before the type is known", `{"s":"a","s":"b","id":"x","event_type":"t.Kinds"}`, []string{"s duplicate_field"}},
		{"event_type twice", k(`"event_type":"t.Kinds"`), []string{"event_type duplicate_field"}},
		{"a field not known, twice", k(`"zzz":1,"zzz":2`), []string{"zzz unknown_field", "zzz duplicate_field"}},
		{"a field not known, twice, before the type is known", `{"zzz":1,"z\u007az":2,"id":"x","event_type":"t.Kinds"}`, []string{"zzz unknown_field", "zzz duplicate_field"}},
		{"a field not known", k(`"ss":1,"zzz":2`), []string{"ss unknown_field", "zzz unknown_field"}},
		{"a field not known that differs in case", k(`"S":"x"`), []string{"S unknown_field"}},
		{"an item that is not a string", k(`"a":["x",1,{}]`), []string{"a wrong_type", "a wrong_type"}},
		{"a null item where none may be", k(`"a":[null]`), []string{"a wrong_type"}},
		{"an empty id", `{"event_type":"t.Kinds","id":""}`, []string{"id out_of_range"}},
		{"an id of 257 bytes", `{"event_type":"t.Kinds","id":"` + strings.Repeat("x", 257) + `"}`, []string{"id out_of_range"}},
		{"a time that is no time", `{"event_type":"t.Kinds","id":"x","time":"yesterday"}`, []string{"time invalid_time"}},
		{"letters where a time has none", `{"event_type":"t.Kinds","id":"x","time":"2026-11-22z10:00:00t"}`, []string{"time invalid_time"}},
		{"a date alone", `{"event_type":"t.Kinds","id":"x","time":"2026-11-2"}`, []string{"time invalid_time"}},
		{"a time without zone", `{"event_type":"t.Kinds","id":"x","time":"2026-11-22T10:00:00"}`, []string{"time invalid_time"}},
		{"a day that does not exist", `{"event_type":"t.Kinds","id":"x","time":"2026-02-30T10:00:00Z"}`, []string{"time invalid_time"}},
		{"a time in fractions", `{"event_type":"t.Kinds","id":"x","time":1.5}`, []string{"time not_integer"}},
		{"a time beyond 32 bits", `{"event_type":"t.Kinds","id":"x","time":2147483648}`, []string{"time out_of_range"}},
		{"a time beyond 32 bits, as text", `{"event_type":"t.Kinds","id":"x","time":"2038-01-19T03:14:08Z"}`, []string{"time out_of_range"}},
		{"33 levels", k(`"j":{"a":` + deep(31) + `}`), []string{"j too_deep"}},
		{"33 levels where they do not belong, and more", k(`"s":` + deep(32) + `,"i":"x"`), []string{"s too_deep", "i wrong_type"}},
		{"600 levels", k(`"j":{"a":` + deep(600) + `}`), []string{" too_deep"}},
		{"a type not known", `{"event_type":"users.messages.email.Opened","whatever":1}`, []string{"event_type unknown_event_type"}},
		{"no type", `{"id":"x"}`, []string{"event_type required"}},
		{"no type, and a bad escape", `{"id":"\0"}`, []string{"event_type required", "id invalid_escape"}},
		{"a type not known, and bad UTF-8 on both sides", "{\"a\":\"\xff\",\"event_type\":\"x\",\"b\":\"\xff\"}", []string{"a invalid_utf8", "event_type unknown_event_type", "b invalid_utf8"}},
		{"no members", `{}`, []string{"event_type required"}},
		{"a type that is null", `{"event_type":null}`, []string{"event_type required"}},
		{"a type that is a number", `{"event_type":5,"x":[]}`, []string{"event_type wrong_type"}},
		{"a type with bad UTF-8", "{\"event_type\":\"\xff\"}", []string{"event_type invalid_utf8"}},
		{"not an object", `["x"]`, []string{" wrong_type"}},
		{"a string", `"x"`, []string{" wrong_type"}},
		{"nothing", ``, []string{" invalid_json"}},
		{"space", ` `, []string{" invalid_json"}},
		{"two values", k(`"s":"x"`) + `{}`, []string{" invalid_json"}},
		{"text after it", k(`"s":"x"`) + `,`, []string{" invalid_json"}},
		{"a comma at the end", k(`"s":"x",`), []string{" invalid_json"}},
		{"no comma", k(`"s":"x" "i":1`), []string{" invalid_json"}},
		{"no colon", k(`"s" "x"`), []string{" invalid_json"}},
		{"no value", k(`"s":`), []string{" invalid_json"}},
		{"a key without quotes", k(`s:1`), []string{" invalid_json"}},
		{"a control character in a string", k("\"s\":\"a\nb\""), []string{" invalid_json"}},
		{"a control character in a key", k("\"s\n\":1"), []string{" invalid_json"}},
		{"a control character in an object", k("\"j\":{\"a\":\"\x00\"}"), []string{" invalid_json"}},
		{"a leading zero", k(`"i":01`), []string{" invalid_json"}},
		{"a plus", k(`"i":+1`), []string{" invalid_json"}},
		{"a minus alone", k(`"i":-`), []string{" invalid_json"}},
		{"a point and no digits", k(`"d":1.`), []string{" invalid_json"}},
		{"an exponent and no digits", k(`"d":1e`), []string{" invalid_json"}},
		{"not a number", k(`"d":NaN`), []string{" invalid_json"}},
		{"a word that is none", k(`"b":truth`), []string{" invalid_json"}},
		{"a word that goes on", k(`"b":truex`), []string{" invalid_json"}},
		{"an array that ends as an object", k(`"a":[}`), []string{" invalid_json"}},
		{"an array with a comma at the end", k(`"a":["x",]`), []string{" invalid_json"}},
		{"an object with a comma at the end", k(`"j":{"a":1,}`), []string{" invalid_json"}},
		{"broken JSON hides what was found before", k(`"s":1,"i":`), []string{" invalid_json"}},
		{"many problems, in the order of the input", `{"event_type":"t.Required","j":5,"zzz":1,"i":1.5,"i":2,"a":["\ud800"],"time":"x"}`,
			[]string{"j wrong_type", "zzz unknown_field", "i not_integer", "i duplicate_field", "a invalid_escape", "time invalid_time", "s required", "b required"}},
		{"as good as it gets", r(good), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := kindsReader(t)
			for range 2 {
				out, _, res := r.Read([]byte("before"), []byte(tt.in), fixed)
				var got []string
				for _, p := range res.Problems {
					got = append(got, p.Field+" "+p.Code)
					if p.Message == "" {
						t.Errorf("%s has no sentence", p.Code)
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Fatalf("got  %q\nwant %q\n%+v", got, tt.want, res.Problems)
				}
				if tt.want != nil && string(out) != "before" {
					t.Errorf("something was appended: %q", out)
				}
			}
		})
	}
}

func TestReadEveryPrefixOfAnEventIsBrokenAndNothingElse(t *testing.T) {
	r := kindsReader(t)
	whole := k(`"s":"\n\u0041é","i":-1,"d":1.5e3,"b":true,"a":["x"],"j":{"a":[null,{}]}`)
	for n := range len(whole) {
		_, _, res := r.Read(nil, []byte(whole[:n]), fixed)
		if len(res.Problems) != 1 || res.Problems[0].Code != CodeInvalidJSON {
			t.Fatalf("%s: %+v", whole[:n], res.Problems)
		}
	}
	if _, _, res := r.Read(nil, []byte(whole), fixed); res.Problems != nil {
		t.Fatal(res.Problems)
	}
}

func TestReadSentences(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"event_type":"users.messages.email.Opened"}`, `"users.messages.email.Opened" is not an event type; the nearest known name is "users.messages.email.Open"`},
		{`{"event_type":"nothing like it"}`, `"nothing like it" is not an event type`},
		{k(`"s":5`), `s must be a string, not a number`},
		{k(`"j":[]`), `j must be a string or an object, not an array`},
		{k(`"tim":5`), `t.Kinds has no field "tim"; the nearest known name is "time"`},
		{k(`"i":3000000000`), `i does not fit into 32 bits`},
		{k(`"s":}`), `it is not JSON: '}' cannot stand at byte 46`},
		{`[nonsense]`, `it is not JSON: 'o' cannot stand at byte 2; an event is an object, {…}`},
		{`{"a":1`, `it is not JSON: it ends too early, after 6 bytes`},
		{k(`"a":["x",1]`), `item 2 of a must be a string, not a number`},
		{`{"event_type":"t.Required","id":"x","s":"","i":1,"b":true,"a":[]}`, `j is missing: it is required`},
	} {
		_, _, res := kindsReader(t).Read(nil, []byte(tt.in), fixed)
		if len(res.Problems) != 1 || res.Problems[0].Message != tt.want {
			t.Errorf("%s\n got %+v\nwant %s", tt.in, res.Problems, tt.want)
		}
	}
}

func TestReadTimeAndIDThatAreAbsent(t *testing.T) {
	r := kindsReader(t)
	out, s, res := r.Read(nil, []byte(`{"event_type":"t.Kinds"}`), fixed)
	if res.Problems != nil {
		t.Fatal(res.Problems)
	}
	b, _ := s.AppendJSON(nil, out)
	if want := `{"id":"made","time":1790000000,`; !strings.HasPrefix(string(b), want) {
		t.Errorf("got %s", b)
	}
	out, s, _ = r.Read(nil, []byte(`{"event_type":"t.Kinds"}`), Options{Now: fixed.Now})
	id, err := s.EventID(out)
	if err != nil || !regexp.MustCompile(`^01a0c450-6c00-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).Match(id) {
		t.Errorf("id %s %v, milliseconds are %012x", id, err, fixed.Now().UnixMilli())
	}
	before := time.Now().Unix()
	out, s, _ = r.Read(nil, []byte(`{"event_type":"t.Required","s":"","i":1,"b":true,"a":[],"j":""}`), Options{})
	after := time.Now().Unix()
	b, _ = s.AppendJSON(nil, out)
	var got struct{ Time int64 }
	if err := json.Unmarshal(b, &got); err != nil || got.Time < before || got.Time > after {
		t.Errorf("%s", b)
	}
}

func TestMadeIDsDiffer(t *testing.T) {
	seen := map[string]bool{}
	now := time.Unix(1, 0)
	for range 10_000 {
		id := string(AppendUUID(nil, now))
		if seen[id] || len(id) != 36 {
			t.Fatal(id)
		}
		seen[id] = true
	}
}

func TestReadTimeAsText(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64
	}{
		{`"1970-01-01T00:00:00Z"`, 0},
		{`"2026-11-22T10:15:00Z"`, 1795342500},
		{`"2026-11-22T10:15:00.999Z"`, 1795342500},
		{`"2026-11-22T07:15:00-03:00"`, 1795342500},
		{`"1969-12-31T23:59:59.5Z"`, -1},
		{`"2026-11-22T10:15:00\u005a"`, 1795342500},
		{`"1901-12-13T20:45:52Z"`, math.MinInt32},
		{`"2026-11-22t10:15:00z"`, 1795342500},
		{`"2026-11-22t10:15:00.5Z"`, 1795342500},
		{`"2026-11-22t07:15:00-03:00"`, 1795342500},
		{`-5`, -5},
	} {
		out, s, res := kindsReader(t).Read(nil, []byte(`{"event_type":"t.Kinds","id":"x","time":`+tt.in+`}`), Options{})
		if res.Problems != nil {
			t.Errorf("%s: %v", tt.in, res.Problems)
			continue
		}
		b, _ := s.AppendJSON(nil, out)
		if !strings.HasPrefix(string(b), fmt.Sprintf(`{"id":"x","time":%d,`, tt.want)) {
			t.Errorf("%s: got %s, want %d", tt.in, b, tt.want)
		}
	}
}

func TestUnknownFieldsCanBeDroppedAndAreCounted(t *testing.T) {
	r := kindsReader(t)
	o := fixed
	o.IgnoreUnknown = true
	for _, in := range []string{
		k(`"zzz":1,"s":"s","y":{"a":["b"]},"z":"c"`),
		`{"zzz":1,"s":"s","y":{"a":["b"]},"z":"c","id":"x","time":1,"event_type":"t.Kinds"}`,
	} {
		out, s, res := r.Read(nil, []byte(in), o)
		if res.Problems != nil || res.Ignored != 3 {
			t.Fatalf("%+v", res)
		}
		if got := asJSON(t, s, out); got != `"s":"s"` {
			t.Error(got)
		}
	}
	_, _, res := r.Read(nil, []byte(k(`"y":"\q"`)), o)
	if len(res.Problems) != 1 || res.Problems[0].Code != CodeInvalidEscape {
		t.Errorf("what is dropped must still be JSON: %+v", res)
	}
	for range 2 { // and again: what one event held is no matter of the next
		_, _, res = r.Read(nil, []byte(k(`"y":1,"z":1,"y":2`)), o)
		if len(res.Problems) != 1 || res.Problems[0].Code != CodeDuplicateField || res.Problems[0].Field != "y" {
			t.Errorf("what is dropped may stand once: %+v", res)
		}
	}
}

func TestReadBoundsAnEventsSize(t *testing.T) {
	r := kindsReader(t)
	event := func(n int) []byte {
		e := k(`"s":""`)
		return []byte(strings.Replace(e, `"s":""`, `"s":"`+strings.Repeat("y", n-len(e))+`"`, 1))
	}
	if _, _, res := r.Read(nil, event(MaxEventBytes), fixed); res.Problems != nil {
		t.Errorf("900 KB: %v", res.Problems)
	}
	if _, _, res := r.Read(nil, event(MaxEventBytes+1), fixed); len(res.Problems) != 1 || res.Problems[0].Code != CodeTooLarge {
		t.Errorf("a byte more: %v", res.Problems)
	}
}

func TestProblemsOfOneEventAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `"unknown%d":1,`, i)
	}
	_, _, res := kindsReader(t).Read(nil, []byte(k(b.String()+`"s":"s"`)), fixed)
	if len(res.Problems) != maxProblems {
		t.Errorf("%d problems", len(res.Problems))
	}
	if _, _, res = kindsReader(t).Read(nil, []byte(`{`+b.String()+`"event_type":"t.Kinds"}`), fixed); len(res.Problems) != maxProblems {
		t.Errorf("%d problems", len(res.Problems))
	}
}

func TestSkipValue(t *testing.T) {
	for _, tt := range []struct {
		in string
		n  int
		ok bool
	}{
		{`{}`, 2, true}, {`[]`, 2, true}, {`"a"`, 3, true}, {`-1.5e3,`, 6, true}, {`true]`, 4, true}, {`null`, 4, true},
		{` {"a":[1,{"b":"c]}\""}]} , {`, 24, true},
		{"\"a\nb\xff\\q\"x", 8, true}, // what is inside strings is for Read
		{strings.Repeat("[", 512) + strings.Repeat("]", 512), 1024, true},
		{strings.Repeat("[", 513) + strings.Repeat("]", 513), 512, false},
		{``, 0, false}, {` `, 1, false}, {`{`, 1, false}, {`{"a"}`, 4, false}, {`{"a":}`, 5, false}, {`[1,]`, 3, false},
		{`[1 2]`, 3, false}, {`}`, 0, false}, {`"abc`, 4, false}, {`"abc\`, 5, false}, {`tru`, 3, false}, {`nulx`, 3, false}, {`[01]`, 2, false}, {`[}`, 1, false}, {`{]`, 1, false},
		{`{"a":1]`, 6, false}, {`[,1]`, 1, false}, {`{1:2}`, 1, false},
	} {
		n, err := SkipValue([]byte(tt.in))
		if n != tt.n || (err == nil) != tt.ok {
			t.Errorf("%.40s: %d %v, want %d %v", tt.in, n, err, tt.n, tt.ok)
		}
	}
}
