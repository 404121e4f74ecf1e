package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/millrace/millrace/internal/fault"
)

var update = flag.Bool("update", false, "write golden files anew")

func mustCatalogue(t testing.TB, own ...OwnFile) *Catalogue {
	t.Helper()
	c, err := NewCatalogue(own)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The golden file lists names, types, nullability and order of release 10 as the vendor's sample files show them.
// It was made once from those facts, not from the catalogue.
func TestRelease10IsWhatTheVendorWrites(t *testing.T) {
	want, err := os.ReadFile("testdata/release10.golden")
	if err != nil {
		t.Fatal(err)
	}
	const sum = "b8999250498ff96c50a2c5e8a296312a81ac3118c06d848a001079d0accd6aae"
	if got := sha256.Sum256(want); hex.EncodeToString(got[:]) != sum {
		t.Fatalf("testdata/release10.golden was changed: it states facts and has the hash %s", sum)
	}
	var got strings.Builder
	for _, ty := range mustCatalogue(t).Types() {
		for _, s := range ty.Versions {
			if s.Version != 10 {
				continue
			}
			var fields []string
			for _, f := range s.Fields {
				fields = append(fields, f.Name+" "+f.Notation())
			}
			fmt.Fprintf(&got, "%s\t%s\n", ty.Name, strings.Join(fields, ", "))
		}
	}
	a, b := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("line %d\n got %s\nwant %s", i+1, a[i], b[i])
		}
	}
	if len(a) != len(b) || len(a) != 95 {
		t.Fatalf("%d types, want %d", len(a)-1, len(b)-1)
	}
}

func TestSchemaIDsAreFrozenWithTheirText(t *testing.T) {
	const path = "testdata/frozen.golden"
	var got strings.Builder
	for _, s := range mustCatalogue(t).Schemas() {
		fmt.Fprintf(&got, "%d %s %d %x\n", s.ID, s.Type.Name, s.Version, s.Fingerprint())
	}
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() == string(want) {
		return
	}
	a, b := strings.Split(strings.TrimSpace(got.String()), "\n"), strings.Split(strings.TrimSpace(string(want)), "\n")
	for i := range b {
		if i >= len(a) || a[i] != b[i] {
			t.Fatalf("schema id %d no longer means what it meant when it was given. Ids stand in logs and object keys: give the change a new id, in a new version.\nwas %s", i+1, b[i])
		}
	}
	t.Fatalf("%d new schemas: run the test with -update to freeze them", len(a)-len(b))
}

func TestSchemaIDsRiseOneByOne(t *testing.T) {
	release := 0
	for i, s := range mustCatalogue(t).Schemas() {
		if int(s.ID) != i+1 {
			t.Fatalf("schema id %d follows %d", s.ID, i)
		}
		if s.Version < release {
			t.Errorf("schema %d of release %d comes after one of release %d", s.ID, s.Version, release)
		}
		release = s.Version
	}
}

func TestVersionsOnlyAddNullableFieldsAtTheEnd(t *testing.T) {
	later := 0
	for _, ty := range mustCatalogue(t).Types() {
		for i, s := range ty.Versions[1:] {
			if s.Version <= 12 {
				later++
			}
			before := ty.Versions[i]
			if s.ID <= before.ID {
				t.Errorf("%s: id %d after %d", ty.Name, s.ID, before.ID)
			}
			if !slices.Equal(s.Fields[:len(before.Fields)], before.Fields) || len(s.Fields) == len(before.Fields) {
				t.Errorf("%s: version %d does not continue version %d", ty.Name, s.Version, before.Version)
			}
			for _, f := range s.Fields[len(before.Fields):] {
				if !f.Nullable {
					t.Errorf("%s: %s was added and is required", ty.Name, f.Name)
				}
			}
		}
	}
	if later != 22 {
		t.Errorf("%d later versions, want the 8 of release 11 and the 14 of release 12", later)
	}
}

func TestEachTypeHasGroupDocumentationIDAndTime(t *testing.T) {
	groups := map[Group]int{}
	for _, ty := range mustCatalogue(t).Types() {
		if ty.Versions[0].Version == 10 {
			groups[ty.Group]++
		}
		if !slices.Contains(Groups(), ty.Group) {
			t.Errorf("%s is in no group: %q", ty.Name, ty.Group)
		}
		if ty.Doc == "" || ty.Own || ty.Record != "dataexport.S3.inner."+ty.Name {
			t.Errorf("%+v", ty)
		}
		id, _ := ty.Newest().Field("id")
		at, _ := ty.Newest().Field("time")
		if id == nil || id.Kind != String || id.Nullable || at == nil || at.Nullable || at.Kind != Int && at.Kind != Long {
			t.Errorf("%s: id and time must be there and required", ty.Name)
		}
		for _, f := range ty.Newest().Fields {
			if f.Doc == "" || f.JSON && f.Kind != String {
				t.Errorf("%s: field %+v", ty.Name, f)
			}
		}
	}
	if groups[Engagement] != 78 || groups[Behavior] != 11 || groups[Profile] != 3 || groups[Agent] != 2 {
		t.Errorf("of release 10, groups have %v", groups)
	}
}

func TestAvroTextIsASchemaThatOtherReadersTake(t *testing.T) {
	for _, s := range mustCatalogue(t).Schemas() {
		codec, err := goavro.NewCodec(s.Avro)
		if err != nil {
			t.Fatalf("%s: %v", s.Type.Name, err)
		}
		if name := codec.TypeName(); name.String() != s.Type.Record {
			t.Fatalf("%s: the record is called %s", s.Type.Name, name)
		}
	}
	s, _ := mustCatalogue(t).Schema(4)
	const want = `{"type":"record","namespace":"dataexport.S3.inner.users","name":"UserDeleteRequest","doc":"The deletion of a person's profile was asked for.","fields":[` +
		`{"name":"id","type":"string","doc":"Globally unique identifier of the event: de-duplicate on it."},` +
		`{"name":"user_id","type":"string","doc":"Identifier of the person's profile."},` +
		`{"name":"app_group_id","type":["null","string"],"doc":"Identifier of the workspace.","default":null},` +
		`{"name":"time","type":"int","doc":"When it happened, in seconds since 1970 UTC."}]}`
	if s.Avro != want {
		t.Errorf("got  %s\nwant %s", s.Avro, want)
	}
}

func TestSelect(t *testing.T) {
	c := mustCatalogue(t)
	of := func(g Group) (n int) {
		for _, ty := range c.Types() {
			if ty.Group == g {
				n++
			}
		}
		return n
	}
	has := func(sel Selection, name string) bool {
		ty, ok := c.Type(name)
		if !ok {
			t.Fatal(name)
		}
		return sel.Has(ty.Newest()) && sel.Has(ty.Versions[0])
	}
	for _, tt := range []struct {
		name    string
		events  []string
		yes, no []string
		count   int
	}{
		{"all", []string{"all"}, []string{"users.profile.Update", "agentconsole.AgentExecuted"}, nil, len(c.Types())},
		{"a group", []string{"profile"}, []string{"users.UserOrphan"}, []string{"users.canvas.Entry"}, of(Profile)},
		{"groups and types together, one twice", []string{"agent", "users.canvas.Entry", "users.canvas.Entry"}, []string{"agentconsole.ToolInvocation", "users.canvas.Entry"}, []string{"users.canvas.Conversion"}, of(Agent) + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sel, problems := c.Select(tt.events)
			if problems != nil {
				t.Fatal(problems)
			}
			for _, n := range tt.yes {
				if !has(sel, n) {
					t.Errorf("%s is not selected", n)
				}
			}
			for _, n := range tt.no {
				if has(sel, n) {
					t.Errorf("%s is selected", n)
				}
			}
			n := 0
			for _, ty := range c.Types() {
				if sel.HasType(ty) {
					n++
				}
			}
			if n != tt.count {
				t.Errorf("%d types selected, want %d", n, tt.count)
			}
		})
	}
	if has(Selection{}, "users.canvas.Entry") {
		t.Error("the zero selection selects something")
	}
}

func TestSelectNamesWhatIsUnknownAndTheNearest(t *testing.T) {
	_, problems := mustCatalogue(t).Select([]string{"users.canvas.Entry", "users.messages.email.Opened", "engagment", "zzz"})
	want := []fault.Problem{
		{Field: "events[1]", Code: "unknown_event_type", Message: `"users.messages.email.Opened" is neither an event type nor a group; the nearest known name is "users.messages.email.Open"`},
		{Field: "events[2]", Code: "unknown_event_type", Message: `"engagment" is neither an event type nor a group; the nearest known name is "engagement"`},
		{Field: "events[3]", Code: "unknown_event_type", Message: `"zzz" is neither an event type nor a group`},
	}
	same := func(a, b fault.Problem) bool { return a.Field == b.Field && a.Code == b.Code && a.Message == b.Message }
	if !slices.EqualFunc(problems, want, same) {
		t.Errorf("got %+v", problems)
	}
	if _, problems := mustCatalogue(t).Select(nil); len(problems) != 1 || problems[0].Code != CodeRequired {
		t.Errorf("nothing selected: %v", problems)
	}
}

func TestNamesFindsAllAndNothingElse(t *testing.T) {
	c := mustCatalogue(t)
	for i, ty := range c.Types() {
		if got := c.known.find([]byte(ty.Name)); got != i {
			t.Errorf("%s at %d, want %d", ty.Name, got, i)
		}
		for _, other := range []string{ty.Name[1:], ty.Name + "x", strings.ToUpper(ty.Name), ""} {
			if got := c.known.find([]byte(other)); got != -1 {
				t.Errorf("%q was found", other)
			}
		}
	}
	short := []string{"", "a", "b", "ab", "ba", "abc", "abcd", "abcdefg", "abcdefgh"}
	n := newNames(short)
	for i, s := range short {
		if n.find([]byte(s)) != i {
			t.Errorf("%q is lost", s)
		}
	}
}

func own(name string, lines ...string) OwnFile {
	return OwnFile{Name: name, Data: []byte(strings.Join(lines, "\n"))}
}

const orderV1 = `{"type": "record", "namespace": "acme.shop", "name": "Order", "doc": "An order.", "schema_id": 1000000, "fields": [
	{"name": "id", "type": "string"}, {"name": "time", "type": "long", "doc": "When."},
	{"name": "total", "type": "double"}, {"name": "lines", "type": ["null", {"type": "array", "items": ["null", "string"]}], "default": null}]}`

const orderV2 = `{"type": "record", "namespace": "acme.shop", "name": "Order", "schema_id": 1000007, "group": "engagement", "fields": [
	{"name": "id", "type": "string"}, {"name": "time", "type": "long"},
	{"name": "total", "type": "double"}, {"name": "lines", "type": ["null", {"type": "array", "items": ["null", "string"]}], "default": null},
	{"name": "extra", "type": ["null", "string"], "default": null, "json": true, "personal": true}]}`

func TestOwnTypes(t *testing.T) {
	c := mustCatalogue(t, own("order-2.avsc", orderV2), own("order-1.avsc", orderV1),
		own("ping.avsc", `{"type":"record","name":"dataexport.S3.inner.acme.Ping","schema_id":1000001,"fields":[{"name":"id","type":"string"},{"name":"time","type":"int"}]}`))
	ty, ok := c.Type("acme.shop.Order")
	if !ok || !ty.Own || ty.Group != Engagement || len(ty.Versions) != 2 || ty.Newest().ID != 1000007 || ty.Newest().Version != 2 {
		t.Fatalf("%+v", ty)
	}
	f, i := ty.Newest().Field("extra")
	if i != 4 || !f.JSON || !f.Personal || f.Notation() != "string?" {
		t.Errorf("%+v", f)
	}
	const want = `{"type":"record","namespace":"acme.shop","name":"Order","doc":"An order.","fields":[{"name":"id","type":"string"},{"name":"time","type":"long","doc":"When."},` +
		`{"name":"total","type":"double"},{"name":"lines","type":["null",{"type":"array","items":["null","string"]}],"default":null}]}`
	if got := ty.Versions[0].Avro; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	ping, ok := c.Type("acme.Ping")
	if !ok || ping.Record != "dataexport.S3.inner.acme.Ping" || ping.Group != Behavior {
		t.Fatalf("%+v", ping)
	}
	out, s, res := NewReader(c).Read(nil, []byte(`{"event_type":"acme.shop.Order","id":"a","time":1,"total":2.5,"lines":["x",null],"extra":{"a": 1}}`), Options{})
	if res.Problems != nil || s.ID != 1000007 || !bytes.Equal(out, []byte("\x02a\x02\x00\x00\x00\x00\x00\x00\x04\x40\x02\x04\x02\x02x\x00\x00\x02\x0e{\"a\":1}")) {
		t.Errorf("%q %v", out, res.Problems)
	}
	if sel, problems := c.Select([]string{"acme.Ping"}); problems != nil || !sel.HasType(ping) {
		t.Error("an own type cannot be selected")
	}
}

func TestOwnTypesAreRefusedByFileFieldAndReason(t *testing.T) {
	const tail = `"schema_id":1000001,"fields":[{"name":"id","type":"string"},{"name":"time","type":"int"}]}`
	field := func(f string) string {
		return `{"type":"record","name":"a.B","schema_id":1000001,"fields":[{"name":"id","type":"string"},{"name":"time","type":"int"},` + f + `]}`
	}
	for _, tt := range []struct {
		name string
		file string
		want string // FIELD CODE
	}{
		{"not JSON", `{"type":`, "f.avsc invalid_json"},
		{"two values", `{} {}`, "f.avsc invalid_json"},
		{"not an object", `[]`, "f.avsc wrong_type"},
		{"not a record", `{"type":"enum","name":"a.B",` + tail, "f.avsc: type wrong_type"},
		{"an attribute not known", `{"type":"record","name":"a.B","aliases":[],` + tail, "f.avsc: aliases unknown_field"},
		{"no name", `{"type":"record",` + tail, "f.avsc: name required"},
		{"a name that is none", `{"type":"record","name":"a.9B",` + tail, "f.avsc: name wrong_type"},
		{"no namespace", `{"type":"record","name":"all",` + tail, "f.avsc: namespace required"},
		{"a name too long for keys", `{"type":"record","name":"a.` + strings.Repeat("b", 199) + `",` + tail, "f.avsc: name too_large"},
		{"a built-in type", `{"type":"record","name":"dataexport.S3.inner.users.canvas.Entry",` + tail, "f.avsc: name duplicate_field"},
		{"no such group", `{"type":"record","name":"a.B","group":"all",` + tail, "f.avsc: group out_of_range"},
		{"no schema id", `{"type":"record","name":"a.B","fields":[{"name":"id","type":"string"},{"name":"time","type":"int"}]}`, "f.avsc: schema_id required"},
		{"a schema id of ours", strings.Replace(field(`{"name":"x","type":"int"}`), "1000001", "999999", 1), "f.avsc: schema_id out_of_range"},
		{"a schema id that is a string", strings.Replace(field(`{"name":"x","type":"int"}`), "1000001", `"x"`, 1), "f.avsc: schema_id out_of_range"},
		{"a schema id that is null", strings.Replace(field(`{"name":"x","type":"int"}`), "1000001", `null`, 1), "f.avsc: schema_id out_of_range"},
		{"no fields", `{"type":"record","name":"a.B","schema_id":1000001}`, "f.avsc: fields required"},
		{"no id", `{"type":"record","name":"a.B","schema_id":1000001,"fields":[{"name":"time","type":"int"}]}`, "f.avsc: id required"},
		{"a nullable id", `{"type":"record","name":"a.B","schema_id":1000001,"fields":[{"name":"id","type":["null","string"],"default":null},{"name":"time","type":"int"}]}`, "f.avsc: id wrong_type"},
		{"no time", `{"type":"record","name":"a.B","schema_id":1000001,"fields":[{"name":"id","type":"string"}]}`, "f.avsc: time required"},
		{"a time that is a string", `{"type":"record","name":"a.B","schema_id":1000001,"fields":[{"name":"id","type":"string"},{"name":"time","type":"string"}]}`, "f.avsc: time wrong_type"},
		{"a field that is none", field(`7`), "f.avsc: fields[2] wrong_type"},
		{"a field without a name", field(`{"type":"int"}`), "f.avsc: fields[2] required"},
		{"a field with a bad name", field(`{"name":"a-b","type":"int"}`), "f.avsc: a-b wrong_type"},
		{"a field twice", field(`{"name":"id","type":"string"}`), "f.avsc: id duplicate_field"},
		{"a field called event_type", field(`{"name":"event_type","type":"string"}`), "f.avsc: event_type wrong_type"},
		{"an attribute of a field not known", field(`{"name":"x","type":"int","order":"ascending"}`), "f.avsc: x unknown_field"},
		{"bytes", field(`{"name":"x","type":"bytes"}`), "f.avsc: x wrong_type"},
		{"a logical type", field(`{"name":"x","type":{"type":"long","logicalType":"timestamp-millis"}}`), "f.avsc: x wrong_type"},
		{"a nested record", field(`{"name":"x","type":{"type":"record","name":"y","fields":[]}}`), "f.avsc: x wrong_type"},
		{"an array of ints", field(`{"name":"x","type":{"type":"array","items":"int"}}`), "f.avsc: x wrong_type"},
		{"an array of unions with null last", field(`{"name":"x","type":{"type":"array","items":["string","null"]}}`), "f.avsc: x wrong_type"},
		{"a union with null last", field(`{"name":"x","type":["string","null"]}`), "f.avsc: x wrong_type"},
		{"a union of unions", field(`{"name":"x","type":["null",["null","int"]],"default":null}`), "f.avsc: x wrong_type"},
		{"no type", field(`{"name":"x"}`), "f.avsc: x wrong_type"},
		{"a nullable field without default", field(`{"name":"x","type":["null","int"]}`), "f.avsc: x required"},
		{"a required field with default", field(`{"name":"x","type":"int","default":0}`), "f.avsc: x wrong_type"},
		{"JSON in a number", field(`{"name":"x","type":"int","json":true}`), "f.avsc: x wrong_type"},
		{"a flag that is none", field(`{"name":"x","type":"string","json":"yes"}`), "f.avsc: x wrong_type"},
		{"a doc that is none", field(`{"name":"x","type":"string","doc":null}`), "f.avsc: x wrong_type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewCatalogue([]OwnFile{own("f.avsc", tt.file)})
			wantProblems(t, err, tt.want)
		})
	}
}

func TestNewVersionsOfOwnTypesAreRefused(t *testing.T) {
	v1 := own("order-1.avsc", orderV1)
	change := func(from, to string) OwnFile {
		s := strings.Replace(orderV2, from, to, 1)
		if s == orderV2 {
			t.Fatalf("no %q to change", from)
		}
		return own("order-2.avsc", s)
	}
	for _, tt := range []struct {
		name  string
		files []OwnFile
		want  []string
	}{
		{"the same id twice", []OwnFile{v1, change("1000007", "1000000")}, []string{"order-2.avsc: schema_id duplicate_field"}},
		{"a required field added", []OwnFile{v1, change(`{"name": "extra", "type": ["null", "string"], "default": null, "json": true, "personal": true}`, `{"name":"extra","type":"string"}`)}, []string{"order-2.avsc: extra wrong_type"}},
		{"a type changed", []OwnFile{v1, change(`"double"`, `"float"`)}, []string{"order-2.avsc: total wrong_type"}},
		{"a field renamed", []OwnFile{v1, change(`"total"`, `"sum"`)}, []string{"order-2.avsc: total required"}},
		{"the prefix added", []OwnFile{v1, change(`"acme.shop"`, `"dataexport.S3.inner.acme.shop"`)}, []string{"order-2.avsc: namespace wrong_type"}},
		{"every problem of every file", []OwnFile{own("a.avsc", "{"), own("b.avsc", `{"type":"record","name":"B","fields":[]}`)},
			[]string{"a.avsc invalid_json", "b.avsc: namespace required", "b.avsc: schema_id required", "b.avsc: id required", "b.avsc: time required"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewCatalogue(tt.files)
			wantProblems(t, err, tt.want...)
		})
	}
}

func wantProblems(t *testing.T, err error, want ...string) {
	t.Helper()
	if !fault.Is(err, fault.Invalid) {
		t.Fatalf("got %v, want invalid", err)
	}
	var got []string
	for _, p := range fault.As(err).Fields {
		if p.Message == "" {
			t.Errorf("%s %s has no reason", p.Field, p.Code)
		}
		got = append(got, p.Field+" "+p.Code)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q\n%v", got, want, err)
	}
}

// FuzzOwn reads schema files of any bytes: they give types that a plan can be made of, or problems.
func FuzzOwn(f *testing.F) {
	f.Add([]byte(orderV1), []byte(orderV2))
	f.Add([]byte(kindsFile), []byte(requiredFile))
	f.Add([]byte(strings.Repeat("[", 2000)), []byte(`{"type":"record"}`))
	known, err := parseBuiltin(builtin)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		types, problems := parseOwn([]OwnFile{{"a.avsc", a}, {"b.avsc", b}}, known)
		if len(types) == 0 && len(problems) == 0 {
			t.Fatal("neither a type nor a problem")
		}
		for _, p := range problems {
			if p.Code == "" || p.Field == "" || p.Message == "" {
				t.Fatalf("a problem that says nothing: %+v", p)
			}
		}
		for _, typ := range types {
			for _, s := range typ.Versions {
				if len(problems) == 0 && (s.ID < FirstOwnID || len(s.Fields) == 0) {
					t.Fatalf("schema %d with %d fields was taken", s.ID, len(s.Fields))
				}
			}
		}
	})
}
