package control_test

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// wholeFile says everything that a file can say.
//
//go:embed testdata/apply.yaml
var wholeFile string

func parse(text string) (control.Manifest, error) {
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"ACME_PRODUCER_KEY": "a-long-enough-producer-key", "ACME_S3_SECRET": "hunter2hunter2", "EMPTY": ""}[name]
		return v, ok
	}
	files := func(name string) ([]byte, error) {
		if name == "secret.txt" {
			return []byte("from-file\r\n"), nil
		}
		return nil, errors.New("no such file")
	}
	return control.ParseManifest("apply.yaml", []byte(text), env, files)
}

func TestTheDocumentedFileIsRead(t *testing.T) {
	m, err := parse(wholeFile)
	if err != nil {
		t.Fatal(err)
	}
	w := m.Workspaces[0]
	k, c := w.Keys[0], w.Connectors[0]
	if w.Name != "acme" || *w.UnknownFields != control.RejectUnknown ||
		k.Name != "producer" || len(k.Scopes) != 2 || k.Secret.Reveal() != "a-long-enough-producer-key" {
		t.Fatalf("workspace %+v", w)
	}
	if *c.Name != "warehouse" || *c.ContactEmail != "data@acme.example" || *c.Bucket != "acme-currents" || *c.Folder != "currents" ||
		*c.Region != "us-east-1" || *c.Endpoint != "http://127.0.0.1:9000" || !*c.PathStyle || *c.AccessKeyID != "AKIAEXAMPLE" ||
		c.SecretAccessKey.Reveal() != "hunter2hunter2" || *c.Encryption || c.Events[0] != "all" ||
		c.Transformations[0] != (control.Transformation{Field: "email_address", Action: "hash"}) || *c.Codec != "deflate" ||
		*c.FlushInterval != 5*time.Minute || *c.FlushEvents != 15000 || *c.Paused || *c.Test {
		t.Fatalf("connector %+v", c)
	}
}

func TestWhatIsNotMentionedIsNil(t *testing.T) {
	m, err := parse("workspaces: [{name: acme, connectors: [{name: w}], api_keys: [{name: k}]}]")
	if err != nil {
		t.Fatal(err)
	}
	w := m.Workspaces[0]
	name := "w"
	if got, want := fmt.Sprintf("%+v", w.Connectors[0].Edit.Codec), fmt.Sprintf("%+v", (control.Edit{Name: &name}).Codec); got != want || w.UnknownFields != nil || w.Keys[0].Scopes != nil ||
		w.Connectors[0].Events != nil || w.Connectors[0].Transformations != nil || w.Connectors[0].Paused != nil {
		t.Fatalf("%+v", w)
	}
	if m, err := parse("workspaces: [{name: acme, connectors: [{name: w, events: [], transformations: []}]}]"); err != nil || m.Workspaces[0].Connectors[0].Transformations == nil {
		t.Fatalf("an empty list is a wish: %+v %v", m, err)
	}
}

func TestSecretsComeInlineOrFromEnvironmentOrFile(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"secret_access_key: inline", "inline"},
		{"secret_access_key: 0123", "0123"},
		{"secret_access_key_env: ACME_S3_SECRET", "hunter2hunter2"},
		{"secret_access_key_file: secret.txt", "from-file"},
	} {
		m, err := parse("workspaces: [{name: a, connectors: [{name: w, destination: {" + row.line + "}}]}]")
		if err != nil || m.Workspaces[0].Connectors[0].SecretAccessKey.Reveal() != row.want {
			t.Errorf("%s: %v", row.line, err)
		}
	}
}

func TestAliasesAndMergesAreFollowed(t *testing.T) {
	m, err := parse(`
x-more: {list: [&events [all]]}
x-bucket: &bucket {bucket: b, access_key_id: AKIA, secret_access_key: s, folder: other}
workspaces:
  - name: acme
    connectors:
      - &one
        name: one
        destination: {<<: *bucket, folder: one}
        events: *events
      - <<: *one
        name: two
        destination: {folder: two, <<: *bucket}
      - name: three
        events: *events
`)
	if err != nil {
		t.Fatal(err)
	}
	cs := m.Workspaces[0].Connectors
	if *cs[0].Folder != "one" || *cs[0].Bucket != "b" || *cs[1].Name != "two" || *cs[1].Folder != "two" || *cs[1].Bucket != "b" ||
		cs[1].Events[0] != "all" || cs[2].Events[0] != "all" {
		t.Fatalf("%+v", cs)
	}
}

func TestEachMistakeIsNamedWithItsPlace(t *testing.T) {
	connector := func(lines string) string {
		return "workspaces:\n- name: acme\n  connectors:\n  - name: w\n    " + strings.ReplaceAll(lines, "\n", "\n    ") + "\n"
	}
	const path = "workspaces[0].connectors[0]."
	for _, row := range []struct{ name, text, field, code, message string }{
		{"unknown key at the top", "workspace: []", "apply.yaml:1:1: workspace", "unknown_key", `Did you mean "workspaces"?`},
		{"unknown key of a workspace", "workspaces:\n- nam: x\n  name: y\n", "apply.yaml:2:3: workspaces[0].nam", "unknown_key", `"name"`},
		{"unknown key of a connector", connector("enc: true"), "apply.yaml:5:5: " + path + "enc", "unknown_key", "the keys are codec, contact_email"},
		{"unknown key of a destination", connector("destination:\n  bukcet: b"), "apply.yaml:6:7: " + path + "destination.bukcet", "unknown_key", `Did you mean "bucket"?`},
		{"unknown key of a flush", connector("flush: {event: 1}"), "apply.yaml:5:13: " + path + "flush.event", "unknown_key", `"events"`},
		{"key twice", connector("codec: null_\ncodec: b"), "apply.yaml:6:5", "invalid_yaml", "already defined"},
		{"no YAML", "workspaces: [", "apply.yaml:1:13", "invalid_yaml", ""},
		{"two documents", "workspaces: []\n---\nworkspaces: []\n", "apply.yaml:3:1", "invalid_yaml", "second document"},
		{"a list at the top", "- a", "apply.yaml:1:1", "wrong_type", "Keys with values"},
		{"a word for a list", "workspaces: acme", "apply.yaml:1:13: workspaces", "wrong_type", "list"},
		{"a list for a word", connector("codec: [a]"), "apply.yaml:5:12: " + path + "codec", "wrong_type", "Text"},
		{"true for a word", connector("codec: true"), "apply.yaml:5:12: " + path + "codec", "wrong_type", "quotes"},
		{"nothing for a word", connector("codec:"), "apply.yaml:5:12: " + path + "codec", "required", "missing"},
		{"a word for true", connector("paused: yes"), "apply.yaml:5:13: " + path + "paused", "wrong_type", "true or false"},
		{"a word for a number", connector("flush: {events: many}"), "apply.yaml:5:21: " + path + "flush.events", "wrong_type", "whole number"},
		{"a fraction for a number", connector("flush: {events: 1.5}"), "apply.yaml:5:21: " + path + "flush.events", "wrong_type", "whole number"},
		{"a number too large", connector("flush: {events: 99999999999999999999}"), "apply.yaml:5:21: " + path + "flush.events", "wrong_type", "whole number"},
		{"a duration without unit", connector("flush: {interval: 5}"), "apply.yaml:5:23: " + path + "flush.interval", "invalid", "30s"},
		{"no name", "workspaces:\n- unknown_fields: reject\n", "apply.yaml:2:3: workspaces[0].name", "required", "name"},
		{"same workspace twice", "workspaces:\n- name: a\n- name: a\n", "apply.yaml:3:3: workspaces[1].name", "duplicate", `"a"`},
		{"same connector twice", "workspaces:\n- name: a\n  connectors: [{name: b}, {name: b}]\n", "apply.yaml:3:28: workspaces[0].connectors[1].name", "duplicate", `"b"`},
		{"another type", connector("type: gcs"), "apply.yaml:5:5: " + path + "type", "unknown_value", "s3"},
		{"a variable that is not set", connector("destination: {secret_access_key_env: NOPE}"), "apply.yaml:5:42: " + path + "destination.secret_access_key_env", "not_set", "NOPE"},
		{"a variable that is empty", connector("destination: {secret_access_key_env: EMPTY}"), "apply.yaml:5:42: " + path + "destination.secret_access_key_env", "required", "empty"},
		{"a file that is missing", connector("destination: {secret_access_key_file: nope}"), "apply.yaml:5:43: " + path + "destination.secret_access_key_file", "unreadable_file", "nope"},
		{"a secret twice", connector("destination: {secret_access_key: a, secret_access_key_env: ACME_S3_SECRET}"), "apply.yaml:5:64: " + path + "destination.secret_access_key_env", "duplicate", "secret_access_key"},
		{"an unknown scope", "workspaces:\n- name: a\n  api_keys: [{name: k, scopes: [events.write, events.wirte]}]\n", "apply.yaml:3:47: workspaces[0].api_keys[0].scopes[1]", "unknown_value", `Did you mean "events.write"?`},
		{"an unknown scope alone", "workspaces:\n- name: a\n  api_keys: [{name: k, scopes: all}]\n", "apply.yaml:3:32: workspaces[0].api_keys[0].scopes", "unknown_value", `no scope "all"`},
		{"an unknown kind of notice", "workspaces:\n- name: a\n  webhooks: [{url: u, kinds: [failign]}]\n", "apply.yaml:3:31: workspaces[0].webhooks[0].kinds[0]", "unknown_value", `"failign" is none of`},
		{"an anchor below an unknown key", connector("enc: &e {deep: [&codec deflate]}\ncodec: *codec"), "apply.yaml:5:5: " + path + "enc", "unknown_key", "the keys are codec"},
		{"an anchor below an unknown key at the top", "common: {one: &w {name: acme}}\nworkspaces: [*w]\n", "apply.yaml:1:1: common", "unknown_key", `no key "common"`},
		{"an unknown alias", connector("codec: *x"), "apply.yaml:5", "", ""},
	} {
		_, err := parse(row.text)
		e := fault.As(err)
		if e == nil || e.Code != fault.Invalid || len(e.Fields) != 1 {
			t.Errorf("%s: %v, want one problem", row.name, err)
			continue
		}
		p := e.Fields[0]
		if !strings.HasPrefix(p.Field, row.field) || !strings.Contains(p.Code, row.code) || !strings.Contains(p.Message, row.message) {
			t.Errorf("%s: got %s: %s (%s)\nwant %s: …%s… (%s)", row.name, p.Field, p.Message, p.Code, row.field, row.message, row.code)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a secret is in the error: %v", row.name, err)
		}
	}
}

func TestAWrittenNullIsTheCodecAndTheDefaultFolder(t *testing.T) {
	for _, null := range []string{"null", "NULL", "&n null"} {
		m, err := parse("workspaces: [{name: acme, connectors: [{name: w, codec: " + null + ", destination: {folder: null}}]}]")
		if err != nil {
			t.Fatalf("%s: %v", null, err)
		}
		if c := m.Workspaces[0].Connectors[0]; *c.Codec != "null" || *c.Folder != control.DefaultFolder {
			t.Errorf("%s: codec %q, folder %q", null, *c.Codec, *c.Folder)
		}
	}
}

func TestAllMistakesComeTogether(t *testing.T) {
	_, err := parse("workspaces:\n- name: a\n  x: 1\n  connectors:\n  - codec: []\n    y: 2\n  api_keys: [{name: k, scopes: [z], secret_env: NOPE}]\n")
	if e := fault.As(err); e == nil || len(e.Fields) != 6 { // x, codec, y, name, z, NOPE
		t.Fatalf("got %v", err)
	}
}

// deep is a block in a block, n times.
func deep(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// A few kilobytes of aliases stand for millions of keys, and each could be a mistake of its own.
func TestAliasesMakeNoFileEndless(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, c := range map[string]struct{ text, last string }{
		"mistakes in a mapping that is named often": {"workspaces: [{name: w, connectors: [&c {" + many(500, "b%d: 1,") + "}" + strings.Repeat(",*c", 4000) + "]}]", "truncated"},
		"mistakes in a list that is named often":    {"x-a: &a [" + strings.Repeat("[],", 1000) + "]\nworkspaces: [{name: w, connectors: [" + many(1000, "{name: c%d, events: *a },") + "]}]", "truncated"},
		"a list of lists, without a mistake":        {"x-a: &a [" + strings.Repeat("all,", 1000) + "]\nworkspaces: [{name: w, connectors: [" + many(1000, "{name: c%d, events: *a },") + "]}]", "too_large"},
		"lists in lists":                            {"workspaces: " + strings.Repeat("[", 100000) + strings.Repeat("]", 100000), "too_large"},
		"lists in lists, in one line":               {"workspaces:\n" + strings.Repeat("- ", 100000) + "a\n", "too_large"},
		"blocks in blocks":                          {deep(1000), "too_large"},
		"a long key":                                {"workspaces: [{\"" + strings.Repeat("k", 400000) + "\": {" + many(4000, "a%d: 1,") + "}}]", "too_large"},
		"a long key that is marked":                 {"workspaces:\n  ? " + strings.Repeat("k", 400000) + "\n    # no colon\n    " + many(4000, "a%d: 1\n    ") + "\n", "too_large"},
		"a long key before a remark":                {"workspaces: {" + strings.Repeat("k", 400000) + " # of it\n : {" + many(4000, "a%d: 1,") + "}}", "too_large"},
		"lists in lists, after some that end":       {"workspaces: " + strings.Repeat("]", 200) + strings.Repeat("[", 100000), "too_large"},
		"more words than are read":                  {"workspaces:\n" + strings.Repeat("-\n", 200000), "too_large"},
		"a block of many keys":                      {many(2000, "x-%d: 1\n"), "too_large"},
		"many documents":                            {strings.Repeat("---\na\n", 1000), "too_large"},
		"a long value that is named often":          {"x-a: &a " + strings.Repeat("v", 400000) + "\nworkspaces: [" + strings.Repeat("{name: *a},", 20000) + "]", "too_large"},
		"a long list of transformations":            {"workspaces: [{name: demo, connectors: [{name: aa, transformations: [" + strings.Repeat("{field: x, action: y},", 5000) + "]}]}]", "too_large"},
		"a long plain key":                          {"workspaces:\n  " + strings.Repeat("k", 400000) + ":\n    a: 1\n", "too_large"},
		"a long list of values":                     {"workspaces: [{name: demo, connectors: [{name: aa, events: [&e \"" + strings.Repeat("v", 4000) + "\"" + strings.Repeat(",*e ", 100000) + "]}]}]", "too_large"},
		"long values":                               {"workspaces: [{name: w, connectors: [" + strings.Repeat("{name: "+strings.Repeat("n", 4000)+"},", 200) + "]}]", "duplicate"},
		"a mapping that is merged often":            {"x-a: &a {" + many(20, "b%d: 1,") + "}\nworkspaces: [{name: w, connectors: [" + many(1000, "{name: c%d, <<: *a },") + "]}]", "truncated"},
	} {
		_, err := parse(c.text)
		e := fault.As(err)
		if e != nil && len(fmt.Sprint(e.Fields)) > 200_000 {
			t.Errorf("%s: %d bytes of problems", name, len(fmt.Sprint(e.Fields)))
		}
		if e == nil || len(e.Fields) > 101 || !slices.ContainsFunc(e.Fields, func(p fault.Problem) bool { return p.Code == c.last }) {
			t.Errorf("%s: %d problems: %.300v", name, len(e.Fields), err)
		}
	}
}

// A file of a thousand connectors is read, in blocks and in brackets.
func TestALongFileIsRead(t *testing.T) {
	var blocks, brackets strings.Builder
	blocks.WriteString("workspaces:\n- name: acme\n  connectors:\n")
	brackets.WriteString("{\"workspaces\": [{\"name\": \"acme\", \"connectors\": [\n")
	for i := range 1000 {
		fmt.Fprintf(&blocks, "  - name: c%d\n    contact_email: a@b.example\n    destination:\n      bucket: b%d\n      access_key_id: AKIA\n      secret_access_key_env: ACME_S3_SECRET\n    events: [all]\n    flush:\n      events: 100\n", i, i)
		fmt.Fprintf(&brackets, "  {\n    \"name\": \"c%d\",\n    \"contact_email\": \"a@b.example\",\n    \"destination\": {\n      \"bucket\": \"b%d\"\n    },\n    \"events\": [\"all\"]\n  },\n", i, i)
	}
	brackets.WriteString("]}]}")
	for _, text := range []string{blocks.String(), brackets.String(), strings.ReplaceAll(brackets.String(), "\n", "")} {
		if m, err := parse(text); err != nil || len(m.Workspaces[0].Connectors) != 1000 || *m.Workspaces[0].Connectors[999].Name != "c999" {
			t.Errorf("%.60s…: %.300v", text, err)
		}
	}
}

// Whatever stands before a key, it is as long as its name is.
func TestEmptyLinesMakeNoKeyLong(t *testing.T) {
	if m, err := parse("workspaces:\n" + strings.Repeat("\n", 1000) + "- name: acme\n" + strings.Repeat(" \n", 1000) + "  language: es\n  time_zone: Asia/Tokyo\n"); err != nil || *m.Workspaces[0].Language != "es" || *m.Workspaces[0].TimeZone != "Asia/Tokyo" {
		t.Errorf("%v", err)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(wholeFile)
	f.Add("a: &a {<<: *a}\nworkspaces: *a")
	f.Add("x-a: &a [*a]\nworkspaces: *a")
	f.Add("workspaces:\n- &w {name: a, connectors: [*w]}\n")
	f.Add("? [a]\n: b\n")
	f.Add("workspaces: !!binary abc\n---\n...")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parse(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, w := range m.Workspaces {
			for _, c := range w.Connectors {
				if c.Name == nil {
					t.Fatal("a connector without name went through")
				}
			}
		}
	})
}
