package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/event/sample"
)

// ownSchema is a type of the operator's own with every kind of field there is, in two versions.
func ownSchema(version int) string {
	later := ""
	if version == 2 {
		later = `,{"name":"added","type":["null","string"],"default":null},{"name":"added_list","type":["null",{"type":"array","items":["null","string"]}],"default":null}`
	}
	return fmt.Sprintf(`{"type":"record","name":"Reading","namespace":"dataexport.S3.inner.acme.sensors","schema_id":%d,"fields":[
		{"name":"id","type":"string"},{"name":"time","type":"long"},
		{"name":"i","type":["null","int"],"default":null},{"name":"l","type":["null","long"],"default":null},
		{"name":"f","type":["null","float"],"default":null},{"name":"d","type":["null","double"],"default":null},
		{"name":"b","type":["null","boolean"],"default":null},{"name":"s","type":["null","string"],"default":null},
		{"name":"list","type":["null",{"type":"array","items":"string"}],"default":null}%s]}`, 1_000_000+version, later)
}

// Readers that are not ours, in three languages, read what we write: every type, with all its fields and with the
// required ones alone, in every codec, and files of an older version with the schema of the newer one. All give the
// same records. What is needed beyond Python 3, a JDK and Maven is fetched from the languages' own registries.
func TestReadersOfOtherLanguagesAgree(t *testing.T) {
	if !long() {
		return // it installs things
	}
	schemas := t.TempDir()
	putSchema := func(version int) string {
		name := filepath.Join(schemas, fmt.Sprintf("reading-%d.avsc", version))
		if err := os.WriteFile(name, []byte(ownSchema(version)), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	putSchema(1)
	store := startStore(t)
	var tenants []tenant
	for _, codec := range []string{"null", "deflate", "snappy", "zstandard"} {
		tenants = append(tenants, tenant{name: "with-" + codec, key: "mr_e2e_" + codec + "_0123456789abcdefghijklmnopqrst", more: fmt.Sprintf("flush: {interval: 1s, events: 100}\n        codec: %q", codec)})
	}
	srv := newServer(t, t.TempDir(), "MILLRACE_SCHEMA_DIR="+schemas)
	manifest, env := store.manifestOf(tenants)
	must(t, append(srv.env, env...), "apply", "-f", write(t, "apply.yaml", manifest))
	srv.start()
	lanesReady(t, srv, len(tenants))

	catalogue, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	sent := map[string]bool{}
	send := func(events []byte, n int) {
		for _, x := range tenants {
			if status, accepted, answer, err := srv.post(x.key, "", events); err != nil || status != 200 || accepted != n {
				t.Fatalf("status %d, %d of %d: %s %v", status, accepted, n, answer, err)
			}
		}
	}
	var all bytes.Buffer
	n := 0
	add := func(e []byte) {
		var x struct{ ID string }
		if err := json.Unmarshal(e, &x); err != nil || sent[x.ID] {
			t.Fatalf("%s: %v", e, err)
		}
		sent[x.ID] = true
		all.Write(append(bytes.TrimSpace(e), '\n'))
		n++
	}
	maker := sample.New(catalogue, 1, nil)
	for _, typ := range catalogue.Types() {
		for range 3 {
			add(maker.AppendType(nil, typ))
		}
		add(onlyRequired(typ))
	}
	send(all.Bytes(), n)
	all.Reset()
	n = 0
	add([]byte(`{"event_type":"acme.sensors.Reading","id":"own-1","time":1790000000,"i":-2147483648,"l":9223372036854775807,"f":0.1,"d":1e300,"b":true,"s":"línea\n\u0000\"\\ 🦆","list":["a","","c"]}`))
	add([]byte(`{"event_type":"acme.sensors.Reading","id":"own-2","time":-1}`))
	send(all.Bytes(), n)

	srv.stop()
	newer := putSchema(2)
	srv.start()
	all.Reset()
	n = 0
	add([]byte(`{"event_type":"acme.sensors.Reading","id":"own-3","time":1790000000,"added":"new","added_list":["x",null]}`))
	send(all.Bytes(), n)

	var list strings.Builder
	for _, x := range tenants {
		s := newShelf(filepath.Join(store.root, x.folder()))
		s.waitFor(t, sent, time.Minute)
		for name := range s.read {
			list.WriteString(name)
			if strings.Contains(name, "acme.sensors.Reading") {
				list.WriteString("\t" + newer)
			}
			list.WriteString("\n")
		}
	}
	srv.stop()
	if t.Failed() {
		return
	}

	want := map[string]map[string]any{}
	for line := range strings.Lines(list.String()) {
		name, _, evolved := strings.Cut(strings.TrimSpace(line), "\t")
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		records, err := readTwmb(b)
		if err != nil {
			t.Fatal(err)
		}
		if goavroReads(b) {
			other, err := readGoavro(b)
			if err != nil {
				t.Fatal(err)
			}
			for i := range records {
				if len(other) != len(records) || !same(plain(other[i]), plain(records[i])) {
					t.Fatalf("two libraries of Go read %s differently:\n %v\n %v", name, other, records)
				}
			}
		}
		for _, r := range records {
			if evolved {
				for _, f := range []string{"added", "added_list"} {
					if _, has := r[f]; !has {
						r[f] = nil
					}
				}
			}
			want[name+" "+r["id"].(string)] = plain(r).(map[string]any)
		}
	}
	if len(want) != len(sent)*len(tenants) {
		t.Fatalf("%d records for %d events in %d codecs", len(want), len(sent), len(tenants))
	}
	for language, reader := range map[string][]string{"Python": python(t), "Java": java(t)} {
		c := exec.Command(reader[0], reader[1:]...)
		c.Stdin = strings.NewReader(list.String())
		var out, stderr bytes.Buffer
		c.Stdout, c.Stderr = &out, &stderr
		if err := c.Run(); err != nil {
			t.Errorf("%s: %v\n%s", language, err, stderr.String())
			continue
		}
		got := map[string]bool{}
		for line := range bytes.Lines(out.Bytes()) {
			var x struct {
				File   string
				Record map[string]any
			}
			if err := json.Unmarshal(line, &x); err != nil {
				t.Fatalf("%s prints %s: %v", language, line, err)
			}
			key := x.File + " " + x.Record["id"].(string)
			if got[key] {
				t.Errorf("%s reads %s twice", language, key)
			}
			got[key] = true
			if !same(x.Record, want[key]) {
				t.Errorf("%s reads %s as\n %v\nGo as\n %v", language, key, x.Record, want[key])
			}
		}
		t.Logf("%s: %d records of %d types in %d codecs", language, len(got), len(catalogue.Types())+1, len(tenants))
		if len(got) != len(want) {
			t.Errorf("%s reads %d records of %d", language, len(got), len(want))
		}
	}
}

// onlyRequired is an event without any field that may be left out.
func onlyRequired(typ *event.Type) []byte {
	e := map[string]any{"event_type": typ.Name}
	for _, f := range typ.Newest().Fields {
		switch {
		case f.Name == "id":
			e["id"] = "least-" + typ.Name
		case f.Nullable:
		case f.JSON:
			e[f.Name] = map[string]any{"a": []any{1, nil}}
		case f.Kind == event.String:
			e[f.Name] = ""
		case f.Kind == event.Strings:
			e[f.Name] = []any{}
		case f.Kind == event.Boolean:
			e[f.Name] = false
		default:
			e[f.Name] = 0
		}
	}
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // of plain values
	}
	return b
}

// plain takes the names of unions' branches out of what goavro gives.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 1 {
			for name, x := range v {
				if slices.Contains([]string{"string", "int", "long", "float", "double", "boolean", "array"}, name) {
					return plain(x)
				}
			}
		}
		out := map[string]any{}
		for k, x := range v {
			out[k] = plain(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case int32:
		return float64(v)
	case int64:
		return float64(v)
	case float32:
		return float64(v)
	}
	return v
}

// same compares values that have been through JSON; floats of 32 bits are printed in different lengths.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if _, has := b[k]; !has || !same(a[k], b[k]) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case float64:
		b, ok := b.(float64)
		return ok && (a == b || math.Abs(a) < math.MaxFloat32 && float32(a) == float32(b) && math.Abs(a) < 1<<24)
	}
	return a == b
}

// python gives what runs read.py, with fastavro in an environment of its own.
func python(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	install(t, "python3", "-m", "venv", dir)
	install(t, filepath.Join(dir, "bin", "pip"), "install", "-q", "fastavro==1.13.1", "cramjam==2.14.0", "backports.zstd==1.8.0")
	return []string{filepath.Join(dir, "bin", "python"), filepath.Join("testdata", "read.py")}
}

// java gives what runs Read.java, with Apache Avro and its codecs.
func java(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	install(t, "mvn", "-q", "-B", "-f", filepath.Join("testdata", "pom.xml"), "dependency:copy-dependencies", "-DoutputDirectory="+dir)
	install(t, "javac", "-cp", filepath.Join(dir, "*"), "-d", dir, filepath.Join("testdata", "Read.java"))
	return []string{"java", "-cp", dir + string(os.PathListSeparator) + filepath.Join(dir, "*"), "Read"}
}

func install(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
