package fault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/fault"
)

func TestCodeSurvivesWrapping(t *testing.T) {
	err := fault.Wrap(fmt.Errorf("open: %w", fault.New(fault.Corrupt, "read segment 3", "checksum differs at {at}").WithHint("run log check")), "start")
	if got := fault.CodeOf(err); got != fault.Corrupt {
		t.Fatalf("code %q, want corrupt", got)
	}
	if got := fault.HintOf(err); got != "run log check" {
		t.Fatalf("hint %q", got)
	}
	if fault.Wrap(nil, "x") != nil || fault.From(nil, fault.Internal, "x") != nil {
		t.Fatal("no error became one")
	}
}

func TestAHintIsFoundWhereverItStands(t *testing.T) {
	plain := errors.New("plain")
	hinted := func(h string) error { return fault.New(fault.Corrupt, "op", "text").WithHint("%s", h) }
	for name, row := range map[string]struct {
		err  error
		want string
	}{
		"nothing":                   {nil, ""},
		"no hint":                   {fault.Wrap(plain, "a"), ""},
		"the outer one of two":      {fault.New(fault.Corrupt, "op", "text").WithHint("outer").WithCause(hinted("inner")), "outer"},
		"joined behind others":      {errors.Join(plain, fault.New(fault.Internal, "op", "no hint"), hinted("b")), "b"},
		"the first of two joined":   {errors.Join(hinted("a"), hinted("b")), "a"},
		"joined under a wrap":       {fault.Wrap(errors.Join(plain, fault.Wrap(hinted("c"), "x")), "y"), "c"},
		"joined within joined":      {errors.Join(errors.Join(plain, plain), errors.Join(plain, hinted("d"))), "d"},
		"two wrapped by one verb":   {fmt.Errorf("%w and %w", plain, hinted("e")), "e"},
		"the cause of an own error": {fault.From(errors.Join(plain, hinted("f")), fault.Internal, "op"), "f"},
		"joined without any":        {errors.Join(plain, plain), ""},
	} {
		if got := fault.HintOf(row.err); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

func TestAForeignErrorIsInternalAndItsTextStaysOutOfTheMessage(t *testing.T) {
	if got := fault.CodeOf(errors.New("boom")); got != fault.Internal {
		t.Fatalf("code %q, want internal", got)
	}
	e := fault.As(fault.From(errors.New("secret=1"), fault.Unavailable, "save position"))
	if e.Message() != "" {
		t.Fatalf("the cause leaked into the message: %q", e.Message())
	}
}

func TestParamsFillPlaces(t *testing.T) {
	e := &fault.Error{Code: fault.NotFound, Msg: fault.Message{Key: "bucket.none", Text: "There is no bucket {bucket}."}, Params: fault.Params{"bucket": "b1"}}
	if e.Error() != "There is no bucket b1." {
		t.Fatalf("got %q", e.Error())
	}
}

func TestWhatIsFilledInHasNoPlaces(t *testing.T) {
	for range 20 { // the order of a map is another one each time
		e := &fault.Error{Msg: fault.Message{Text: "{a} {b} {c {d}"}, Params: fault.Params{"a": "{b}", "b": "{a}", "d": 7}}
		if e.Message() != "{b} {a} {c 7" {
			t.Fatalf("got %q", e.Message())
		}
	}
}

func TestAProblemSaysInEnglishWhatACatalogueCanSay(t *testing.T) {
	p := fault.Field("codec", "unknown_value", "field.none_of", `"{value}" is none of {valid}.`, "value", fault.Escaped("a\"\x1b"), "valid", "null")
	if want := fmt.Sprintf("%q is none of null.", "a\"\x1b"); p.Message != want {
		t.Errorf("got %s, want %s", p.Message, want)
	}
	b, err := json.Marshal(p)
	if err != nil || strings.Contains(string(b), "none_of") || p.Key != "field.none_of" || p.Params["valid"] != "null" {
		t.Errorf("in JSON %s, %v; key %s, params %v", b, err, p.Key, p.Params)
	}
}

func TestWhatShowsNothingIsWrittenOut(t *testing.T) {
	for _, x := range []struct{ name, in, want string }{
		{"a joiner of graphemes", "a\u034fb", `a\u034fb`},
		{"a variation selector", "a\ufe0fb", `a\ufe0fb`},
		{"one of the others", "a\U000e0101b", `a\U000e0101b`},
		{"a filler, which is a letter", "a\u3164b", `a\u3164b`},
		{"a vowel that nobody sees", "a\u17b4b", `a\u17b4b`},
		{"what is not printable", "a\u200bb\u2064", `a\u200bb\u2064`},
		{"no characters at all", "a\xffb", `a\xffb`},
		{"what is seen", "é e\u0301 日本 \"x\"", `é e` + "\u0301" + ` 日本 \"x\"`},
	} {
		if got := fault.Escaped(x.in); got != x.want {
			t.Errorf("%s: got %+q, want %+q", x.name, got, x.want)
		}
		e := fault.New(fault.NotFound, "find", "there is no %q", x.in)
		if want := `find: there is no "` + x.want + `"`; e.Error() != want {
			t.Errorf("%s, in an error: got %+q, want %+q", x.name, e.Error(), want)
		}
	}
}

func TestEveryCodeHasARow(t *testing.T) {
	seen := map[fault.Code]bool{}
	for _, r := range fault.Table {
		if seen[r.Code] {
			t.Errorf("code %s stands twice in the table", r.Code)
		}
		seen[r.Code] = true
		if r.Exit == 0 || r.HTTP < 400 {
			t.Errorf("code %s maps to success", r.Code)
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d codes in the table, want all 12", len(seen))
	}
}
