package control_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
)

func TestFiltersAreReadAndEveryProblemIsSaidAtOnce(t *testing.T) {
	deep := strings.Repeat(`{"not":`, 6) + `{}` + strings.Repeat("}", 6)
	values := `{"custom":{"name":"a","one_of":[` + strings.TrimSuffix(strings.Repeat(`"a",`, 500), ",") + `]}},`
	wide := `{"all":[` + strings.TrimSuffix(strings.Repeat(`{"custom":{"name":"a"}},`, 200), ",") + `]}`
	for _, c := range []struct {
		name, filter string
		problems     []string // field, a blank, code
	}{
		{"nothing is everybody", `{}`, nil},
		{"a list of nothing is everybody", `{"all":[]}`, nil},
		{"an attribute that is known", `{"attribute":{"name":"email"}}`, nil},
		{"every kind of leaf", `{"all":[{"attribute":{"name":"country","one_of":["DE","FR"]}},{"custom":{"name":"a.b","is":true}},
			{"not":{"event":{"name":"login","at_least":2,"last_after":"-30d"}}},{"purchase":{"name":"shoe","revenue_at_most":9.5}},
			{"any":[{"message":{"channel":"email","did":"opened","after":"2026-11-22T10:00:00Z"}},{"message":{"canvas":"c","did":"converted"}}]},
			{"group":{"id":"g","state":"unsubscribed"}}]}`, nil},
		{"unknown fields, also deep within, by their names", `{"al":[],"not":{"custom":{"name":"a","atleast":3}},"any":[{"evnt":{}}]}`,
			[]string{"filter.al unknown_field", "filter.any[0].evnt unknown_field", "filter.not.custom.atleast unknown_field"}},
		{"another type", `{"custom":{"name":3}}`, []string{"filter.custom.name wrong_type"}},
		{"no object", `[]`, []string{"filter wrong_type"}},
		{"no JSON", `{`, []string{"filter wrong_type"}},
		{"two things in one part", `{"custom":{"name":"a"},"event":{"name":"b"}}`, []string{"filter ambiguous"}},
		{"a part that says nothing", `{"all":[{}]}`, []string{"filter.all[0] required"}},
		{"any of nothing", `{"any":[]}`, []string{"filter required"}},
		{"an attribute that is none", `{"attribute":{"name":"county","one_of":["DE"]}}`, []string{"filter.attribute.name unknown_value"}},
		{"a comparison of another kind", `{"attribute":{"name":"sessions","contains":"1","after":"-1d"}}`,
			[]string{"filter.attribute.contains invalid", "filter.attribute.after invalid"}},
		{"a state that is none", `{"attribute":{"name":"email_subscribe","one_of":["subscribed","no"]}}`, []string{"filter.attribute.one_of[1] unknown_value"}},
		{"values that are none", `{"custom":{"name":"","one_of":[],"contains":"","has":"a\u001fb"}}`,
			[]string{"filter.custom.name required", "filter.custom.one_of required", "filter.custom.contains required", "filter.custom.has invalid"}},
		{"ranges that nobody is in", `{"event":{"name":"a","at_least":3,"at_most":2,"first_after":"-1d","first_before":"-2d"}}`,
			[]string{"filter.event.at_most out_of_range", "filter.event.first_before out_of_range"}},
		{"never done by at most none", `{"event":{"name":"a","at_most":0}}`, nil},
		{"done by less than none", `{"event":{"name":"a","at_most":-1}}`, []string{"filter.event.at_most out_of_range"}},
		{"a text that holds nothing", `{"custom":{"name":"a","one_of":[""],"has":""}}`, nil},
		{"a known attribute that holds nothing", `{"attribute":{"name":"country","one_of":[""]}}`, []string{"filter.attribute.one_of[0] required"}},
		{"revenue of an event", `{"event":{"name":"a","revenue_at_least":1}}`, []string{"filter.event invalid"}},
		{"times that are none", `{"custom":{"name":"a","after":"yesterday","before":"30d"}}`, []string{"filter.custom.after invalid_time", "filter.custom.before invalid_time"}},
		{"a message of two things", `{"message":{"campaign":"a","channel":"email","did":"opened"}}`, []string{"filter.message required"}},
		{"a deed that such a message does not know", `{"message":{"channel":"smoke","did":"converted","after":"-1d"}}`,
			[]string{"filter.message.channel unknown_value", "filter.message.did unknown_value", "filter.message invalid"}},
		{"a group without a state", `{"group":{"id":"g"}}`, []string{"filter.group.state unknown_value"}},
		{"too deep", deep, []string{"filter.not.not.not.not.not.not too_deep"}},
		{"too many parts", wide, []string{"filter.all[199] too_large"}},
		{"too many values in all", `{"any":[` + strings.TrimSuffix(strings.Repeat(values, 42), ",") + `]}`, []string{"filter.any[40].custom.one_of too_large"}},
		{"too long", `{"custom":{"name":"` + strings.Repeat("a", 300_000) + `"}}`, []string{"filter too_large"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, problems := control.ParseFilter("filter", []byte(c.filter))
			var got []string
			for _, p := range problems {
				got = append(got, p.Field+" "+p.Code)
			}
			if !reflect.DeepEqual(got, c.problems) {
				t.Fatalf("problems %q, want %q", got, c.problems)
			}
			if problems == nil {
				again, ps := control.ParseFilter("filter", f.Encode())
				if ps != nil || string(again.Encode()) != string(f.Encode()) {
					t.Errorf("%s is read as %s, %v", f.Encode(), again.Encode(), ps)
				}
			}
		})
	}
}

func FuzzParseFilter(f *testing.F) {
	f.Add([]byte(`{"all":[{"attribute":{"name":"country","one_of":["DE"]}},{"not":{"event":{"name":"a","last_after":"-3d"}}}]}`))
	f.Add([]byte(`{"any":[{"x":[[{}]]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, problems := control.ParseFilter("f", b)
		if len(problems) > 0 {
			return
		}
		if ps := x.Validate("f"); len(ps) > 0 {
			t.Errorf("%s was read, and is refused: %v", b, ps)
		}
		if _, ps := control.ParseFilter("f", x.Encode()); len(ps) > 0 {
			t.Errorf("%s is written as %s, which is refused: %v", b, x.Encode(), ps)
		}
	})
}

func TestMomentsAreFixedOrDaysFromNow(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		m    control.Moment
		want string
	}{
		{"-30d", "2026-10-23T10:00:00Z"},
		{"+7d", "2026-11-29T10:00:00Z"},
		{"-0d", "2026-11-22T10:00:00Z"},
		{"2026-11-01T02:00:00+02:00", "2026-11-01T00:00:00Z"},
		{"7d", ""}, {"-d", ""}, {"-1h", ""}, {"--1d", ""}, {"-99999999d", ""}, {"2026-11-01", ""}, {"", ""},
	} {
		at, ok := c.m.At(now)
		if ok != (c.want != "") || ok && at.Format(time.RFC3339) != c.want {
			t.Errorf("%q is %v, %v; want %q", c.m, at, ok, c.want)
		}
	}
}
