package control

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

func TestAPersonsChangeIsReadAsItWasWritten(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, c := range []PersonChange{
		{Kind: PersonUpdate, Person: "5f0c7e2d9a4b1c3e8d6f0a12", Event: "e1", ExternalID: "u-1", Alias: &Alias{"crm", "17"}, At: &at,
			Attributes: map[string]json.RawMessage{"email": json.RawMessage(`"a@b.example"`), "country": json.RawMessage(`null`)},
			Custom:     []CustomChange{{"plan", CustomSet, json.RawMessage(`{"a":[1,2.5]}`)}, {"old", CustomUnset, nil}, {"n", CustomInc, json.RawMessage(`-1`)}}},
		{Kind: PersonMerge, Person: "a", Into: "b"},
		{Kind: PersonDelete, Person: "a"},
		{Kind: PersonRename, Person: "a", Old: "u-1", ExternalID: "u-2"},
		{Kind: PersonForgetID, Person: "a", Old: "u-1"},
	} {
		got, err := DecodePersonChange(EncodePersonChange(c))
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%+v came back as %+v, %v", c, got, err)
		}
	}
}

func TestAPersonsChangeThatCannotBeAppliedIsCorrupt(t *testing.T) {
	for _, b := range []string{
		``, `[]`, `{"kind":"update"}`, `{"kind":"merge","person":"a"}`, `{"kind":"merge","person":"a","into":"a"}`, `{"kind":"rename","person":"a","old":"x"}`,
		`{"kind":"forget_id","person":"a"}`, `{"kind":"vanish","person":"a"}`, `{"kind":"delete","person":"a","newer":1}`,
	} {
		if c, err := DecodePersonChange([]byte(b)); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %+v, %v", b, c, err)
		}
	}
}
