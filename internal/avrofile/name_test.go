package avrofile

import (
	"testing"

	"pgregory.net/rapid"
)

func exampleName() Name {
	return Name{Folder: "currents", Cluster: "prod-01", Kind: KindS3, Connector: "65f0c0ffee65f0c0ffee0001", EventType: "users.messages.email.Open",
		Hour: 495_994, SchemaID: 77, Zone: "default", Partition: 0, First: 35_465}
}

func TestKeyHasTheDocumentedLayout(t *testing.T) {
	const prefix = "currents/dataexport.prod-01.S3.integration.65f0c0ffee65f0c0ffee0001/event_type=users.messages.email.Open/date=2026-08-01-10/77/default/"
	const file = "dataexport.prod-01.S3.integration.65f0c0ffee65f0c0ffee0001+0+0000035465"
	n := exampleName()
	if got := n.StreamPrefix(); got != prefix {
		t.Errorf("prefix\n%s, want\n%s", got, prefix)
	}
	if got := n.Key(); got != prefix+file+".avro" {
		t.Errorf("key\n%s, want\n%s", got, prefix+file+".avro")
	}
	n.Target = 7
	if got := n.Key(); got != prefix+file+"+test-7.avro" {
		t.Errorf("key of test events\n%s", got)
	}
	n = exampleName()
	n.Folder, n.First, n.Partition = "", 12_345_678_901, 1000
	if want := prefix[len("currents/"):] + "dataexport.prod-01.S3.integration.65f0c0ffee65f0c0ffee0001+1000+12345678901.avro"; n.Key() != want {
		t.Errorf("key in the root, of a long offset\n%s, want\n%s", n.Key(), want)
	}
	if got, want := ConnectorPrefix("currents", "prod-01", n.Connector), "currents/dataexport.prod-01.S3.integration.65f0c0ffee65f0c0ffee0001/"; got != want {
		t.Errorf("connector prefix %s, want %s", got, want)
	}
}

func anyName() *rapid.Generator[Name] {
	return rapid.Custom(func(t *rapid.T) Name {
		return Name{
			Folder:    rapid.StringMatching(`|[a-zA-Z0-9 ._+=-]{1,8}(/[a-zA-Z0-9 ._+=-]{1,8}){0,2}`).Draw(t, "folder"),
			Cluster:   rapid.StringMatching(`[a-z0-9.+-]{1,12}`).Draw(t, "cluster"),
			Kind:      rapid.SampledFrom([]string{KindS3, "GCS", "AzureBlob"}).Draw(t, "kind"),
			Connector: rapid.StringMatching(`[0-9a-f]{24}`).Draw(t, "connector"),
			EventType: rapid.StringMatching(`[a-zA-Z0-9_]{1,9}(\.[a-zA-Z0-9_]{1,9}){0,4}`).Draw(t, "type"),
			Hour:      rapid.Int32Range(0, 8_000_000).Draw(t, "hour"),
			SchemaID:  rapid.Uint32().Draw(t, "schema"),
			Zone:      rapid.StringMatching(`[a-z0-9.=+-]{1,12}`).Draw(t, "zone"),
			Partition: rapid.IntRange(0, 1<<40).Draw(t, "partition"),
			First:     rapid.Int64Min(0).Draw(t, "first"),
			Target:    rapid.OneOf(rapid.Just(uint32(0)), rapid.Uint32()).Draw(t, "target"),
		}
	})
}

func TestParseKeyUndoesKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := anyName().Draw(t, "name")
		got, ok := ParseKey(n.Folder, n.Key())
		if !ok || got != n {
			t.Fatalf("%s\ngave %+v %v,\nwant %+v", n.Key(), got, ok, n)
		}
	})
}

func TestListingOrderIsEventOrderBelowTenDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := exampleName(), exampleName()
		a.First = rapid.Int64Range(0, 9_999_999_998).Draw(t, "a")
		b.First = rapid.Int64Range(a.First+1, 9_999_999_999).Draw(t, "b")
		if a.Key() >= b.Key() {
			t.Fatalf("offset %d sorts after %d", a.First, b.First)
		}
	})
}

func TestParseKeyRefusesEverythingElse(t *testing.T) {
	const dir = "dataexport.prod-01.S3.integration.c1"
	const good = "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+0+0000035465.avro"
	if _, ok := ParseKey("currents", good); !ok {
		t.Fatal("the good one is refused, so the table proves nothing")
	}
	for why, key := range map[string]string{
		"another folder":       "events/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+0+0000035465.avro",
		"no folder":            dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+0+0000035465.avro",
		"a level more":         "currents/x/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+0+0000035465.avro",
		"a level less":         "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77/" + dir + "+0+0000035465.avro",
		"another connector":    "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/dataexport.prod-01.S3.integration.c2+0+0000035465.avro",
		"short offset":         "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+0+35465.avro",
		"signed offset":        "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+0+-000035465.avro",
		"padded partition":     "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+00+0000035465.avro",
		"no partition":         "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+0000035465.avro",
		"offset too long":      "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+0+99999999999999999999.avro",
		"schema id not number": "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/v77/default/" + dir + "+0+0000035465.avro",
		"schema id too large":  "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/4294967296/default/" + dir + "+0+0000035465.avro",
		"no such hour":         "currents/" + dir + "/event_type=a.B/date=2026-08-01-24/77/default/" + dir + "+0+0000035465.avro",
		"no type":              "currents/" + dir + "/event_type=/date=2026-08-01-10/77/default/" + dir + "+0+0000035465.avro",
		"no zone":              "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77//" + dir + "+0+0000035465.avro",
		"target zero":          "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+0+0000035465+test-0.avro",
		"another suffix":       "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+0+0000035465+copy.avro",
		"another ending":       "currents/" + dir + "/event_type=a.B/date=2026-08-01-10/77/default/" + dir + "+0+0000035465.csv",
		"the check's probe":    "currents/_millrace-check",
		"nothing":              "",
	} {
		if n, ok := ParseKey("currents", key); ok {
			t.Errorf("%s: %s was read as %+v", why, key, n)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	n := exampleName()
	f.Add(n.Folder, n.Key())
	n.Target, n.Folder = 3, ""
	f.Add("", n.Key())
	f.Add("a/b", "a/b/dataexport.a..integration.b/event_type=/date=0000-01-01-00/0//x+1+1.avro")
	f.Fuzz(func(t *testing.T, folder, key string) {
		if n, ok := ParseKey(folder, key); ok && n.Key() != key {
			t.Fatalf("%q was read as %+v, of which the key is %q", key, n, n.Key())
		}
	})
}
