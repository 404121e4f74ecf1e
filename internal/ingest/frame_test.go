package ingest

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/fault"
)

func FuzzFrame(f *testing.F) {
	for _, s := range []string{
		"", " ", "[]", "[1,2]", "[1,2", "[1,]", "[[],{}]", `{"events":[1]}`, `{"events":[],"a":1}`, `{"events":1}`, "{}", "[1]x",
		"a\nb", "\r\n\n a \n", "[\"\\ud800\"]", "[\"\xff\"]", "[01]", "[-]", "[1e]", "[tru]", `["a` + "\n" + `"]`, "[1 2]", `{"events":[1]`, "\x00",
		strings.Repeat("[", 600) + strings.Repeat("]", 600),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got [][]byte
		take := func(raw []byte) error { got = append(got, raw); return nil }

		if err := frame(body, lines, take); err != nil {
			t.Fatalf("lines: %v", err)
		}
		var want [][]byte
		for line := range bytes.SplitSeq(body, []byte("\n")) {
			if len(bytes.Trim(line, " \t\r")) > 0 {
				want = append(want, line)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d lines, want %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("line %d is %q, want %q", i, got[i], want[i])
			}
		}

		got = nil
		err := frame(body, whole, take)
		if err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Fatalf("code of %v", err)
		}
		var list []json.RawMessage
		if json.Unmarshal(body, &list) == nil && list != nil && depth(body) < 500 {
			if err != nil || len(got) != len(list) {
				t.Fatalf("an array of %d: %d given, %v", len(list), len(got), err)
			}
			for i := range list {
				if !bytes.Equal(bytes.TrimSpace(got[i]), list[i]) {
					t.Fatalf("element %d is %q, want %q", i, got[i], list[i])
				}
			}
		}
		// What is wrong inside of a string, an escape or a control character, is one event's problem and not the
		// body's; all else must be JSON.
		if err == nil && !bytes.ContainsRune(body, '\\') && !json.Valid(bytes.Map(noControl, body)) {
			t.Fatalf("%q is taken for JSON", body)
		}
	})
}

// noControl makes of a control character what JSON allows in a text, and outside of one only where it is white space.
func noControl(r rune) rune {
	switch {
	case r == '\t' || r == '\r' || r == '\n':
		return ' '
	case r < ' ':
		return 'x'
	}
	return r
}

func depth(b []byte) int { return bytes.Count(b, []byte("[")) + bytes.Count(b, []byte("{")) }

func FuzzRequest(f *testing.F) {
	f.Add([]byte(custom("a")+"\n"+noName), uint8(0), "key")
	f.Add([]byte("["+custom("a")+"]"), uint8(1), "")
	f.Add([]byte(`{"events":[`+custom("a")+"]}"), uint8(1), "k")
	f.Add([]byte(pack(f, "gzip", custom("a"))), uint8(2), "k")
	f.Add([]byte(pack(f, "zstd", custom("a"))), uint8(4), "k")
	h := open(f, Config{MaxBody: 1 << 20})
	f.Fuzz(func(t *testing.T, body []byte, how uint8, key string) {
		before := h.log.records()
		r := newRequest(bytes.NewReader(body),
			"Content-Type", []string{"application/x-ndjson", "application/json"}[how&1],
			"Content-Encoding", []string{"", "gzip", "zstd", "br"}[how>>1&3],
			"Idempotency-Key", key)
		w := httptest.NewRecorder()
		h.in.Events().ServeHTTP(w, r)
		var a answer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("%v in %q", err, w.Body)
		}
		kept := h.log.records() - before
		if w.Header().Get(ReplayedHeader) != "" {
			kept = a.Accepted
			if h.log.records() != before {
				t.Fatal("a repetition appended")
			}
		}
		if a.Accepted != kept || (w.Code == 200) != (a.Accepted > 0 || a.Rejected == 0 && a.Error.Code == "") {
			t.Fatalf("%d %s, %d kept", w.Code, w.Body, kept)
		}
		if h.in.budget.free.Load() != h.in.cfg.MemoryBudget || h.log.claimed() != 0 {
			t.Fatal("memory or a claim is still held")
		}
	})
}
