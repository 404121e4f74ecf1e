package control

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// hostile are texts that JSON writes in more than one way, or not at all.
var hostile = []string{"", "plain", `"`, `\`, "a\"b\\c", "<&>", "\u2028", "\x00\x1f", "São Paulo", "\xff", "\xed\xa0\x80", "😀", "{}[],:", "null", "1e9", " ", "\x7f"}

// agrees reports how ParsePersonRest differs from encoding/json.
func agrees(t interface{ Errorf(string, ...any) }, b []byte) {
	var want PersonRest
	wrong := json.Unmarshal(b, &want)
	if wrong != nil {
		want = PersonRest{}
	}
	got, err := ParsePersonRest(b)
	if (err == nil) != (wrong == nil) || err != nil && err.Error() != wrong.Error() || !reflect.DeepEqual(got, want) {
		t.Errorf("%q\n got %+v, %v\nwant %+v, %v", b, got, err, want, wrong)
	}
}

func TestWhatIsStoredIsReadAsJSONIs(t *testing.T) {
	for _, text := range []string{
		`{}`, ` {}`, `{} `, `{}x`, `{`, `}`, `[]`, `null`, `{"aliases":[]}`, `{"aliases":null}`, `{"Aliases":[{"ALIAS_NAME":"a"}]}`, `{"apps":[{}]}`, `{"apps":[null]}`, `{"apps":{}}`,
		`{"apps":[{"id":"a"},]}`, `{"apps":[{"id":"a"}],}`, `{"apps":[{"id":"a"},{"id":"b"}],"apps":[{"platform":"p"}]}`, `{"new":1}`, `{"new":[{"a":"]"}],"apps":[{"id":"a"}]}`,
		`{"apps":[{"sessions":01}]}`, `{"apps":[{"sessions":-0}]}`, `{"apps":[{"sessions":1.0}]}`, `{"apps":[{"sessions":1e3}]}`, `{"apps":[{"sessions":+1}]}`, `{"apps":[{"sessions":9223372036854775808}]}`,
		`{"apps":[{"sessions":-9223372036854775808}]}`, `{"apps":[{"sessions":"1"}]}`, `{"apps":[{"sessions":-}]}`, `{"apps":[{"sessions":1_0}]}`, `{"active":{"day":2147483648}}`, `{"active":{"day":1},"active":{"days":2}}`,
		`{"active":{"days":-1}}`, `{"active":{"days":18446744073709551615}}`, `{"coordinates":[1,2]}`, `{"coordinates":[1]}`, `{"coordinates":[1,2,3]}`, `{"coordinates":[[1,2]]}`, `{"coordinates":["]",2]}`, `{"coordinates":null}`,
		`{"coordinates":[1,2],"coordinates":[3]}`, `{"coordinates":5,"apps":[{"id":"a"}]}`, `{"devices":[{"ad_tracking":null}]}`, `{"devices":[{"ad_tracking":truest}]}`, `{"devices":[{"ad_tracking":true,"ad_tracking":false}]}`,
		`{"other":{}}`, `{"other":{"a":"\"b\"","a":"c"}}`, `{"other":{"a":1}}`, `{"other":{"a":"b"},"other":{"c":"d"}}`, `{"subscribed_at":{"email":1,"\u0065mail":2}}`, `{"subscribed_at":{}}`, `{"subscribed_at":{"email":null}}`,
		`{"apps":[{"id":"\ud800"}]}`, `{"apps":[{"id":"\x"}]}`, `{"apps":[{"id":"a` + "\n" + `"}]}`, `{"apps":[{"id":"é` + "\n" + `"}]}`, `{"apps":[{"id":"\`, `{"apps":[{"id":"\"`, `{"apps":[{"id":"é`, `{"apps":[{"id" :"a"}]}`, `{"a\u0070ps":[{"id":"a"}]}`,
	} {
		agrees(t, []byte(text))
	}
}

func TestWhateverIsStoredIsReadAsJSONIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.OneOf(rapid.SampledFrom(hostile), rapid.String())
		r := rapid.MakeCustom[PersonRest](rapid.MakeConfig{Types: map[reflect.Type]*rapid.Generator[any]{
			reflect.TypeFor[string](): words.AsAny(), reflect.TypeFor[float64](): rapid.Float64Range(-1e9, 1e9).AsAny()}}).Draw(t, "rest")
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		agrees(t, b)
		for range 5 { // and damaged
			at, c := rapid.IntRange(0, len(b)-1).Draw(t, "at"), rapid.SampledFrom([]byte(`{}[]",:\ 0-.eéu`)).Draw(t, "byte")
			switch damaged := slices.Clone(b); rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				damaged[at] = c
				agrees(t, damaged)
			case 1:
				agrees(t, slices.Insert(damaged, at, c))
			case 2:
				agrees(t, slices.Delete(damaged, at, at+1))
			}
		}
	})
}
