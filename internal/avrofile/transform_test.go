package avrofile

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

func personSchema() *event.Schema {
	return schemaOf(
		event.Field{Name: "id", Kind: event.String},
		event.Field{Name: "email_address", Kind: event.String, Nullable: true},
		event.Field{Name: "time", Kind: event.Int},
		event.Field{Name: "phone", Kind: event.String},
		event.Field{Name: "tags", Kind: event.Strings, Nullable: true},
		event.Field{Name: "country", Kind: event.String, Nullable: true},
	)
}

func TestRulesChangeWhatTheyName(t *testing.T) {
	s := personSchema()
	const sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of hello, by sha256sum
	values := func(email, phone, country any) []any {
		return []any{"e1", email, int64(7), phone, []any{"a", "b"}, country}
	}
	for _, row := range []struct {
		why       string
		rules     []Rule
		in, want  []any
		unchanged bool
	}{
		{why: "remove", rules: []Rule{{"email_address", ActionRemove}}, in: values("hello", "1", "br"), want: values("[REDACTED]", "1", "br")},
		{why: "hash", rules: []Rule{{"email_address", ActionHash}}, in: values("hello", "1", "br"), want: values(sha, "1", "br")},
		{why: "a required field", rules: []Rule{{"phone", ActionHash}}, in: values("x", "hello", "br"), want: values("x", sha, "br")},
		{why: "an empty text is a text", rules: []Rule{{"phone", ActionRemove}}, in: values("x", "", "br"), want: values("x", "[REDACTED]", "br")},
		{why: "null stays null", rules: []Rule{{"email_address", ActionRemove}, {"country", ActionHash}}, in: values(nil, "1", nil), want: values(nil, "1", nil)},
		{why: "several", rules: []Rule{{"country", ActionRemove}, {"email_address", ActionHash}, {"phone", ActionRemove}}, in: values("hello", "1", "br"), want: values(sha, "[REDACTED]", "[REDACTED]")},
		{why: "removal wins, whichever comes first", rules: []Rule{{"phone", ActionRemove}, {"phone", ActionHash}, {"country", ActionHash}, {"country", ActionRemove}}, in: values("x", "1", "br"), want: values("x", "[REDACTED]", "[REDACTED]")},
		{why: "an unknown action removes", rules: []Rule{{"phone", "mask"}, {"country", ""}}, in: values("x", "1", "br"), want: values("x", "[REDACTED]", "[REDACTED]")},
		{why: "never id", rules: []Rule{{"id", ActionRemove}}, unchanged: true},
		{why: "strings only", rules: []Rule{{"time", ActionRemove}, {"tags", ActionHash}}, unchanged: true},
		{why: "no such field", rules: []Rule{{"Phone", ActionRemove}}, unchanged: true},
		{why: "no rules", unchanged: true},
	} {
		tr := NewTransform(s, row.rules)
		if (tr == nil) != row.unchanged {
			t.Errorf("%s: transform %v", row.why, tr)
		}
		if tr == nil {
			continue
		}
		in := appendRecord(nil, s.Fields, row.in)
		kept := bytes.Clone(in)
		got, err := tr.Append([]byte("before"), in)
		if err != nil {
			t.Errorf("%s: %v", row.why, err)
		}
		if want := appendRecord([]byte("before"), s.Fields, row.want); !bytes.Equal(got, want) {
			t.Errorf("%s:\n%q, want\n%q", row.why, got, want)
		}
		if !bytes.Equal(in, kept) {
			t.Errorf("%s: the raw record was changed", row.why)
		}
	}
}

func TestTransformAgreesWithEncodingAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := []event.Field{{Name: "id", Kind: event.String}}
		for i := range rapid.IntRange(1, 8).Draw(t, "fields") {
			fields = append(fields, anyField(string(rune('a'+i))).Draw(t, "field"))
		}
		s := schemaOf(fields...)
		var rules []Rule
		actions := map[string]string{}
		for _, f := range fields {
			if a := rapid.SampledFrom([]string{"", ActionRemove, ActionHash}).Draw(t, "action"); a != "" {
				rules = append(rules, Rule{f.Name, a})
				actions[f.Name] = a
			}
		}
		values := make([]any, len(fields))
		for i, f := range fields {
			values[i] = anyValue(t, f)
		}
		rec := appendRecord(nil, fields, values)
		changed := false
		for i, f := range fields {
			text, ok := values[i].(string)
			if f.Kind != event.String || f.Name == "id" || actions[f.Name] == "" {
				continue
			}
			changed = true
			if !ok {
				continue
			}
			if values[i] = "[REDACTED]"; actions[f.Name] == ActionHash {
				values[i] = fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
			}
		}
		tr := NewTransform(s, rules)
		if (tr != nil) != changed {
			t.Fatalf("transform %v of %v", tr, rules)
		}
		if tr == nil {
			return
		}
		got, err := tr.Append(nil, rec)
		if want := appendRecord(nil, fields, values); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q %v, want %q", got, err, want)
		}
	})
}

func TestADamagedRecordIsNotTransformed(t *testing.T) {
	s := personSchema()
	tr := NewTransform(s, []Rule{{"country", ActionRemove}})
	rec := appendRecord(nil, s.Fields, []any{"e1", "hello", int64(7), "1", []any{"a"}, "br"})
	for cut := range rec {
		got, err := tr.Append([]byte("before"), rec[:cut])
		if !fault.Is(err, fault.Corrupt) || string(got) != "before" {
			t.Errorf("cut at %d: %q, %v", cut, got, err)
		}
	}
	longer := append(bytes.Clone(rec), 0)
	if got, err := tr.Append(nil, longer); !fault.Is(err, fault.Corrupt) {
		t.Errorf("bytes after the record: %q, %v", got, err)
	}
}
