package web

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
)

// nested has a field of every kind that an input may have.
type nested struct {
	Name   string            `json:"name"`
	Role   string            `json:"role,omitempty" enum:",viewer,editor"`
	Limit  int64             `json:"limit,omitempty"`
	Small  *int              `json:"small,omitempty"`
	Amount *float64          `json:"amount,omitempty"`
	On     bool              `json:"on,omitempty"`
	At     *time.Time        `json:"at,omitempty"`
	Events []string          `json:"events"`
	Flush  *client.FlushEdit `json:"flush,omitempty"`
	Rules  []client.Flush    `json:"rules,omitempty"`
	Texts  map[string]string `json:"texts,omitempty"`
	Free   map[string]any    `json:"free,omitempty"`
}

type nestedIn struct {
	paged
	Thing string   `path:"thing"`
	Mode  string   `query:"mode" enum:"fast,slow"`
	Types []string `query:"type"`
	Dry   *bool    `query:"dry"`
	Needs string   `query:"needs,required"`
	Body  nested   `body:""`
}

func readNested(target, contentType, body string) (nestedIn, error) {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	r.SetPathValue("thing", "t1")
	in, _, err := shapeOf(reflect.TypeFor[nestedIn]()).read(httptest.NewRecorder(), r, 1000)
	got, _ := in.(nestedIn)
	return got, err
}

func TestAnInputIsReadFromPathQueryAndBody(t *testing.T) {
	in, err := readNested("/?limit=7&type=a&type=b&dry=true&needs=x&mode=slow", "application/json; charset=UTF-8",
		`{"name":"n","limit":1e3,"small":-2.0,"amount":-1.25,"on":true,"at":"2026-11-22T11:00:00+01:00","events":["all"],"flush":{"interval":"5m"},"rules":[{"interval":"1s","events":9}],"texts":{"a":"b"},"free":{"x":[1]}}`)
	if err != nil {
		t.Fatal(err)
	}
	seven, minusTwo, yes, five, at := 7, -2, true, "5m", time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	want := nestedIn{paged: paged{Limit: &seven}, Thing: "t1", Mode: "slow", Types: []string{"a", "b"}, Dry: &yes, Needs: "x", Body: nested{
		Name: "n", Limit: 1000, Small: &minusTwo, Amount: new(-1.25), On: true, At: &at, Events: []string{"all"}, Flush: &client.FlushEdit{Interval: &five},
		Rules: []client.Flush{{Interval: "1s", Events: 9}}, Texts: map[string]string{"a": "b"}, Free: map[string]any{"x": []any{1.0}},
	}}
	if !reflect.DeepEqual(in, want) {
		t.Errorf("got  %+v\nwant %+v", in, want)
	}
}

func TestEveryProblemOfAnInputIsSaidAtOnce(t *testing.T) {
	for name, row := range map[string]struct {
		query, body string
		want        []string // field code
	}{
		"all at once": {"nedes=1&dry=ja&limit=x&limit=y&mode=fats",
			`{"nmae":1,"limit":"x","on":null,"events":["a",2],"rules":[{"interval":"1s"},7],"texts":[],"flush":{"interval":5,"evnets":1},"role":"veiwer","role":"editor"}`,
			[]string{"nedes unknown_field", "limit duplicate_field", "mode unknown_value", "dry wrong_type", "needs required",
				"role duplicate_field", "nmae unknown_field", "limit wrong_type", "on wrong_type", "events[1] wrong_type", "rules[0].events required",
				"rules[1] wrong_type", "texts wrong_type", "flush.interval wrong_type", "flush.evnets unknown_field", "role unknown_value", "name required"}},
		"numbers":                      {"needs=", `{"name":"","small":1.5,"limit":9223372036854775808}`, []string{"small not_integer", "limit out_of_range"}},
		"numbers beyond all":           {"needs=", `{"name":"","small":1e400,"limit":1e18,"amount":1e400}`, []string{"small out_of_range", "limit out_of_range", "amount out_of_range"}},
		"a number that is none":        {"needs=", `{"name":"","amount":"1.5"}`, []string{"amount wrong_type"}},
		"a time that is none":          {"needs=", `{"name":"","at":"yesterday"}`, []string{"at invalid_time"}},
		"a character that SQL has not": {"needs=%00", `{"name":"a\u0000"}`, []string{"needs invalid", "name invalid"}},
		"half a surrogate pair": {"needs=", `{"name":"\ud800","role":"\udfff","events":["\\ud800 😀","\ud83d\u0041","\ud83d\ud83d\ude00","\uD83D\uDE00"],` +
			`"at":"\ud800","texts":{"\ud800":"a","b":"x\udc00"},"free":{"c":["\ud800"]}}`,
			[]string{"name invalid_escape", "role invalid_escape", "events[1] invalid_escape", "events[2] invalid_escape", "at invalid_escape",
				"texts.\ufffd invalid_escape", "texts.b invalid_escape", "free.c invalid_escape"}},
		"a parameter that is no text":              {"needs=%ff", `{"name":""}`, []string{"needs invalid_utf8"}},
		"an empty value where one may be left out": {"needs=", `{"name":"","role":""}`, nil},
	} {
		_, err := readNested("/?"+row.query, "application/json", row.body)
		var got []string
		if e := fault.As(err); e != nil {
			for _, f := range e.Fields {
				got = append(got, f.Field+" "+f.Code)
			}
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, row.want)
		}
	}
}

func TestProblemsNameTheNearestAndRepeatLittle(t *testing.T) {
	_, err := readNested("/?needs=", "application/json", `{"nmae":"","role":"edtior","`+strings.Repeat("é", 300)+`":1}`)
	e := fault.As(err)
	if e == nil || !strings.Contains(e.Error(), `Did you mean "name"?`) || !strings.Contains(e.Error(), `Did you mean "editor"?`) || len(e.Error()) > 1000 {
		t.Errorf("got %v", err)
	}
	many := strings.Repeat(`"x":1,`, 140)
	_, err = readNested("/?needs=", "application/json", `{`+many+`"name":""}`)
	if e := fault.As(err); e == nil || len(e.Fields) != maxProblems {
		t.Errorf("%d problems, want %d", len(e.Fields), maxProblems)
	}
}

func TestABodyThatCannotBeReadIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		contentType, body string
		want              fault.Code
		says              string
	}{
		"no media type":   {"", `{}`, fault.UnsupportedMediaType, ""},
		"another":         {"text/plain", `{}`, fault.UnsupportedMediaType, ""},
		"another charset": {"application/json; charset=latin1", `{}`, fault.UnsupportedMediaType, ""},
		"empty":           {"application/json", "", fault.Invalid, "empty"},
		"no JSON":         {"application/json", `{"a"`, fault.Invalid, "not valid JSON"},
		"more after it":   {"application/json", `{} {}`, fault.Invalid, "at byte 4"},
		"a list":          {"application/json", `[]`, fault.Invalid, "a list"},
		"null":            {"application/json", `null`, fault.Invalid, "null"},
		"no UTF-8":        {"application/json", "{\"name\":\"\xff\"}", fault.Invalid, "UTF-8"},
		"too long":        {"application/json", `{"name":"` + strings.Repeat("x", 1000) + `"}`, fault.TooLarge, ""},
	} {
		_, err := readNested("/?needs=", row.contentType, row.body)
		if !fault.Is(err, row.want) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARowWithoutABodyTakesNone(t *testing.T) {
	s := shapeOf(reflect.TypeFor[struct{}]())
	for body, good := range map[string]bool{"": true, "{}": true, " {} ": true, `{"reason":"x"}`: false, "[]": false} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if _, _, err := s.read(httptest.NewRecorder(), r, 100); (err == nil) != good {
			t.Errorf("%q: %v", body, err)
		}
	}
}
