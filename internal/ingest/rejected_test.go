package ingest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

func TestRejectedEventsAreKeptMasked(t *testing.T) {
	h := open(t, Config{})
	for i := range 30 {
		h.post(strings.Repeat(`{"event_type":"users.behaviors.CustomEvent","user_id":"joe@acme.example","ok":true,"n":-12.5e3,"i":`+fmt.Sprint(i)+"}\n", 10))
	}
	total, got := h.in.Rejected(control.KeyID(goodKey[3:]))
	if total != 300 || len(got) != rejectionsPerKey || got[0].Index != 9 || got[9].Index != 0 || got[10].Index != 9 || !slices.IsSortedFunc(got, func(a, b control.Rejection) int { return b.At.Compare(a.At) }) {
		t.Fatalf("%d of %d kept, newest %+v", len(got), total, got[0])
	}
	want := `{"event_type":"users.behaviors.CustomEvent","user_id":"xxx@xxxx.xxxxxxx","ok":true,"n":-00.0x0,"i":00}`
	if got[0].Sample != want || len(got[0].Problems) == 0 {
		t.Errorf("sample %s", got[0].Sample)
	}
	if total, other := h.in.Rejected("nobody"); total != 0 || other != nil {
		t.Errorf("%d %v", total, other)
	}
	for raw, want := range map[string]string{
		`secret words`:           `xxxxxx xxxxx`,
		`{"a":"half`:             `{"a":"xxxx`,
		`{"a":"x\"y","b":"é1"}`:  `{"a":"x\"x","b":"xx0"}`,
		`{"half`:                 `{"xxxx`,
		`{"event_type":"half`:    `{"event_type":"xxxx`,
		"\x00\xff":               "xx",
		`["true",true,truest]`:   `["xxxx",true,xxxxxx]`,
		`{"a":{"event_type":1}}`: `{"a":{"xxxxx_xxxx":0}}`,
	} {
		if got := mask([]byte(raw)); got != want {
			t.Errorf("%s is shown as %s, want %s", raw, got, want)
		}
	}
	s := newRejections()
	for i := range 2 * rejectionKeys {
		s.add(control.KeyID(fmt.Sprint(i)), 1, []control.Rejection{{At: time.Unix(int64(i), 0)}})
	}
	if len(s.byKey) != rejectionKeys || s.byKey["0"] != nil || s.byKey[control.KeyID(fmt.Sprint(2*rejectionKeys-1))] == nil {
		t.Errorf("%d keys", len(s.byKey))
	}
}

// Of a request of which more was rejected than is kept, the last hundred are.
func TestTheLastRejectedEventsOfARequestAreKept(t *testing.T) {
	h := open(t, Config{})
	h.post(strings.Repeat("{}\n", 950))
	total, got := h.in.Rejected(control.KeyID(goodKey[3:]))
	if total != 950 || len(got) != rejectionsPerKey || got[0].Index != 949 || got[rejectionsPerKey-1].Index != 850 {
		t.Errorf("%d of %d kept, from %d to %d", len(got), total, got[len(got)-1].Index, got[0].Index)
	}
}

// Producers put people's data where names belong, and into fields of other kinds: none of it is kept, whatever is wrong.
func TestNothingOfAPersonIsKept(t *testing.T) {
	const start = `{"event_type":"users.behaviors.CustomEvent","id":"x","time":1700000000,"user_id":"u","name":"n","properties":"{}"`
	for what, bodies := range map[string][]string{
		"a name": {
			`,"maria.souza@acme.example":1}`, `,"+55 11 97777-4711":1}`, `,"maria souza":1}`, `,"119777747110":1}`, `,"m97777":1}`, `,"m\u0061ria souza":1}`,
			`,"souza":1,"maria@a":2,"maria@a":3}`, `,"` + strings.Repeat("maria", 40) + `":1}`,
		},
		"a value": {
			`,"colour":"maria.souza@acme.example"}`, `,"colour":97777}`, `,"colour":{"maria":{"souza":97777}}}`, `,"colour":["maria","souza"]}`,
			`,"app_id":97777}`, `,"app_id":"maria`, `,"app_id":"maria","app_id":"souza"}`,
		},
		"the time": {`{"event_type":"users.behaviors.CustomEvent","id":"x","time":"maria","user_id":"u","name":"n","properties":"{}"}`},
		"the type": {
			`{"event_type":"maria.souza@acme.example","id":"x"}`, `{"event_type":"maria souza","id":"x"}`, `{"event_type":"m97777","id":"x"}`,
			`{"event_type":"maria\"souza","id":"x"}`, `{"event_type":["maria"]}`, `{"event_type":5 "maria"}`,
		},
		"no JSON": {`maria souza 97777`, `"maria"`, `{"user_id":maria}`, `{"user_id":"maria"`},
	} {
		for _, b := range bodies {
			if strings.HasPrefix(b, ",") {
				b = start + b
			}
			h := open(t, Config{})
			h.post(b)
			total, got := h.in.Rejected(control.KeyID(goodKey[3:]))
			if total != 1 || len(got) != 1 || len(got[0].Problems) == 0 || got[0].Problems[0].Message == "" {
				t.Errorf("%s: %s: kept %d, %+v", what, b, total, got)
				continue
			}
			kept, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			for _, piece := range []string{"maria", "97777", "4711"} {
				if strings.Contains(string(kept), piece) {
					t.Errorf("%s: of %s is kept %s", what, b, kept)
				}
			}
		}
	}
}

func TestAMisspeltNameIsKept(t *testing.T) {
	h := open(t, Config{})
	h.post(strings.Replace(custom("a"), `"user_id"`, `"usr_id"`, 1) + "\n" + strings.Replace(custom("a"), "CustomEvent", "CustomEvnt", 1))
	_, got := h.in.Rejected(control.KeyID(goodKey[3:]))
	if len(got) != 2 || got[0].More || !strings.Contains(got[0].Sample, "CustomEvnt") || !strings.Contains(got[0].Problems[0].Message, "CustomEvnt") ||
		!strings.Contains(got[1].Sample, `"usr_id":"x"`) || !slices.ContainsFunc(got[1].Problems, func(p fault.Problem) bool {
		return p.Field == "usr_id" && strings.Contains(p.Message, "usr_id")
	}) {
		t.Errorf("%+v", got)
	}
}

// Whose body is refused whole finds it among the rejected events of the key: once, with the reason and a masked sample.
func TestABodyThatIsRefusedWholeIsKeptOnce(t *testing.T) {
	long := "[" + strings.Repeat("1,", eventlog.MaxRecords) + "1]"
	for _, c := range []struct{ what, path, body, reason, sample string }{
		{"no JSON", EventsPath, `{"maria": ]`, "not JSON", `{"maria": ]`},
		{"rejected events before it ends", EventsPath, `[{"event_type":"nonsense"},`, "ends before", `[{"xxxxx_xxxx":"xxxxxxxx"},`},
		{"another envelope", EventsPath, `{"maria@a":[],"event":["maria"]}`, `{"events":[`, `{"xxxxx@x":[],"event":["xxxxx"]}`},
		{"too many events", EventsPath, long, "more than", long[:sampleBytes]},
		{"a call that is no JSON", TrackPath, `{"attributes": maria`, "JSON", `{"attributes": xxxxx`},
		{"a call of another shape", TrackPath, `{"attributes": "maria"}`, "must be an array", `{"attributes": "xxxxx"}`},
	} {
		var total int64
		var got []control.Rejection
		if c.path == EventsPath {
			h := open(t, Config{})
			h.post(c.body, "Content-Type", "application/json")
			total, got = h.in.Rejected(control.KeyID(goodKey[3:]))
		} else {
			o := openOffice(t)
			o.send(c.path, c.body)
			total, got = o.in.Rejected("every")
		}
		if total != 1 || len(got) != 1 || !got[0].Whole || len(got[0].Problems) != 1 {
			t.Errorf("%s: %d: %+v", c.what, total, got)
			continue
		}
		if p := got[0].Problems[0]; p.Field != "" || !strings.Contains(p.Message, c.reason) || strings.Contains(p.Message, "maria") {
			t.Errorf("%s: %+v", c.what, p)
		}
		if want := strings.ReplaceAll(c.sample, "1", "0"); got[0].Sample != want {
			t.Errorf("%s: sample %s, want %s", c.what, got[0].Sample, want)
		}
	}
}

func TestARequestThatIsRefusedForAnotherReasonThanItsBodyIsNotKept(t *testing.T) {
	h := open(t, Config{})
	h.log.fail(func() error { return fault.New(fault.Unavailable, "append", "full") })
	h.post(noName + "\n" + custom("a"))
	if total, got := h.in.Rejected(control.KeyID(goodKey[3:])); total != 0 || got != nil {
		t.Errorf("%d: %+v", total, got)
	}
}

// What a hostile producer has kept of its events is bounded for each of them.
func TestWhatIsKeptOfOneEventIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"event_type":"users.behaviors.CustomEvent"`)
	for i := range 5000 {
		fmt.Fprintf(&b, `,"a%s.a%d":%q`, strings.Repeat("n", 55), i%10000, strings.Repeat("v", 100))
	}
	b.WriteString("}")
	h := open(t, Config{})
	h.post(b.String())
	_, got := h.in.Rejected(control.KeyID(goodKey[3:]))
	if len(got) != 1 {
		t.Fatalf("%d kept", len(got))
	}
	if !got[0].More {
		t.Error("that there were more problems is not said")
	}
	n := len(got[0].Sample)
	for _, p := range got[0].Problems {
		n += len(p.Field) + len(p.Message)
	}
	if most := 15 << 20 / (rejectionKeys * rejectionsPerKey); n > most {
		t.Errorf("%d bytes are kept of one event, more than %d", n, most)
	}
}
