package control_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

func anyConfig(t *rapid.T) control.Config {
	text := rapid.String()
	return control.Config{
		Connector: control.NewConnectorID(), Number: control.NewNumber(), Workspace: control.NewNumber(),
		Version: rapid.IntRange(1, 1<<30).Draw(t, "version"), Name: text.Draw(t, "name"), Deleted: rapid.Bool().Draw(t, "deleted"),
		Destination: control.Destination{
			Number: rapid.IntRange(1, 99).Draw(t, "destination"), Bucket: text.Draw(t, "bucket"), Folder: text.Draw(t, "folder"),
			Endpoint: text.Draw(t, "endpoint"), PathStyle: rapid.Bool().Draw(t, "path style"), Cluster: "c", Zone: "z",
		},
		Events:          rapid.SliceOfN(text, 1, 3).Draw(t, "events"),
		Transformations: []control.Transformation{{Field: text.Draw(t, "field"), Action: control.Hash}},
		Codec:           "deflate", FlushInterval: time.Duration(rapid.Int64Range(0, 1e13).Draw(t, "interval")), FlushEvents: 100,
	}
}

func TestAControlRecordIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyConfig(t)
		got, err := control.DecodeRecord(control.EncodeRecord(control.Record{Kind: control.RecordConfig, Config: &c}))
		if err != nil {
			t.Fatal(err)
		}
		// JSON has no invalid UTF-8; names with it are refused before they come here.
		if g, w := fmt.Sprintf("%+v", *got.Config), fmt.Sprintf("%+v", c); g != w {
			t.Fatalf("got %s\nwant %s", g, w)
		}
	})
}

func TestAnUnknownKindIsToldByItsNameAndNothingElseIsTolerated(t *testing.T) {
	r, err := control.DecodeRecord([]byte(`{"kind":"hour_mark","hour":4711}`))
	if err != nil || r.Kind != "hour_mark" || r.Config != nil {
		t.Fatalf("unknown kind: %+v, %v", r, err)
	}
	for name, b := range map[string]string{
		"empty":                            ``,
		"no JSON":                          `config`,
		"no kind":                          `{}`,
		"no configuration":                 `{"kind":"config"}`,
		"configuration without connector":  `{"kind":"config","config":{"version":1}}`,
		"a rule that this version ignores": `{"kind":"config","config":{"connector":"0123456789abcdef01234567","number":1,"workspace":1,"version":1,"destination":{"number":1},"mask":["email"]}}`,
		"something after it":               `{"kind":"config"}{}`,
	} {
		if _, err := control.DecodeRecord([]byte(b)); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v, want corrupt", name, err)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(`{"kind":"config","config":{"connector":"0123456789abcdef01234567","number":1,"workspace":1,"version":1,"destination":{"number":1}}}`))
	f.Add([]byte(`{"kind":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := control.DecodeRecord(b)
		if err == nil && r.Kind == control.RecordConfig && !r.Config.Connector.Valid() {
			t.Fatalf("accepted %q", b)
		}
	})
}

func TestIdentitiesHaveTheirForm(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := control.NewConnectorID()
		if !id.Valid() || seen[string(id)] {
			t.Fatalf("identity %q", id)
		}
		seen[string(id)] = true
		if n := control.NewNumber(); n == 0 || n > 1<<31-1 {
			t.Fatalf("number %d", n)
		}
		key := control.NewKey().Reveal()
		if len(key) != 29 || key[:3] != "mr_" || seen[key] {
			t.Fatalf("key %q", key)
		}
		seen[key] = true
	}
	for _, bad := range []control.ConnectorID{"", "0123456789abcdef0123456", "0123456789ABCDEF01234567", "0123456789abcdef0123456/"} {
		if bad.Valid() {
			t.Errorf("%q is taken for an identity", bad)
		}
	}
}
