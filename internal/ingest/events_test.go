package ingest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
)

func TestEveryFormOfBody(t *testing.T) {
	const js = "application/json"
	a, b := custom("a"), custom("b")
	for _, row := range []struct {
		name, kind, body   string
		status             int
		accepted, rejected int
		codes              string // of the errors, "index:code"
	}{
		{"two lines", "application/x-ndjson", a + "\n" + b + "\n", 200, 2, 0, ""},
		{"the last line without its end", "application/ndjson", a + "\n" + b, 200, 2, 0, ""},
		{"lines with carriage returns and blanks", "application/jsonl; charset=UTF-8", "\r\n" + a + "\r\n \t\r\n\n" + b + "\r\n\r\n", 200, 2, 0, ""},
		{"no lines", "application/x-ndjson", "", 200, 0, 0, ""},
		{"only blank lines", "application/x-ndjson", "\n\r\n  ", 200, 0, 0, ""},
		{"a bad line between good ones", "application/x-ndjson", a + "\n\n{oops\n" + b, 200, 2, 1, "1:invalid_json"},
		{"two events on a line", "application/x-ndjson", a + b, 400, 0, 1, "0:invalid_json"},
		{"an array as lines", "application/x-ndjson", "[" + a + "]", 400, 0, 1, "0:wrong_type"},
		{"an event over two lines", "application/x-ndjson", "{\n}", 400, 0, 2, "0:invalid_json 1:invalid_json"},
		{"none good", "application/x-ndjson", noName, 400, 0, 1, "0:required"},
		{"unknown type", "application/x-ndjson", `{"event_type":"a.b"}`, 400, 0, 1, "0:unknown_event_type"},
		{"unknown fields", "application/x-ndjson", unknown, 400, 0, 1, "0:unknown_field 0:unknown_field"},
		{"an array", js, "[" + a + "," + b + "]", 200, 2, 0, ""},
		{"an array with space everywhere", js, " \n[ " + a + " ,\r\n" + b + "\t] \n", 200, 2, 0, ""},
		{"an empty array", js, "[]", 200, 0, 0, ""},
		{"an empty array with space", js, " [ ] ", 200, 0, 0, ""},
		{"an array with a bad event", js, "[" + a + "," + noName + "]", 200, 1, 1, "1:required"},
		{"an array of other things", js, `[1,"x",null,[` + a + `]]`, 400, 0, 4, "0:wrong_type 1:wrong_type 2:wrong_type 3:wrong_type"},
		{"invalid UTF-8 in one event of an array", js, "[" + a + ",{\"event_type\":\"\xff\"}," + b + "]", 200, 2, 1, ""},
		{"a deep event in an array", js, "[" + a + `,{"event_type":"users.behaviors.CustomEvent","name":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "}]", 200, 1, 1, ""},
		{"an envelope", js, `{"events":[` + a + "," + b + "]}", 200, 2, 0, ""},
		{"an envelope with space and an escaped name", js, ` { "\u0065vents" : [ ` + a + " ] } ", 200, 1, 0, ""},
		{"an empty envelope", js, `{"events":[]}`, 200, 0, 0, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := open(t, Config{})
			got := h.post(row.body, "Content-Type", row.kind)
			var codes []string
			for _, e := range got.Errors {
				codes = append(codes, fmt.Sprintf("%d:%s", e.Index, e.Code))
				if e.Message == "" {
					t.Errorf("no message in %+v", e)
				}
			}
			if got.status != row.status || got.Accepted != row.accepted || got.Rejected != row.rejected {
				t.Errorf("%d accepted %d rejected %d, want %d %d %d: %s", got.status, got.Accepted, got.Rejected, row.status, row.accepted, row.rejected, got.body)
			}
			if row.codes != "" && strings.Join(codes, " ") != row.codes {
				t.Errorf("errors %v, want %s", codes, row.codes)
			}
			if n := h.log.records(); n != row.accepted || h.accepted != row.accepted {
				t.Errorf("%d records in the log, %d told", n, h.accepted)
			}
			if row.accepted > 0 && len(h.log.commits) != 1 {
				t.Errorf("%d commits for one request", len(h.log.commits))
			}
			sum := 0
			for _, n := range h.rejected {
				sum += n
			}
			if sum != row.rejected {
				t.Errorf("told of %v rejected", h.rejected)
			}
			if !strings.Contains(got.body, `"errors":[`) {
				t.Errorf("no errors member in %s", got.body)
			}
		})
	}
}

func TestRefusedWholeNothingAppended(t *testing.T) {
	const js = "application/json"
	a := custom("a")
	header := func(kv ...string) []string { return kv }
	for _, row := range []struct {
		name   string
		body   string
		header []string
		status int
		code   string
		within string
	}{
		{"no key", a, header("Authorization", ""), 401, "unauthorized", "Authorization: Bearer"},
		{"another scheme", a, header("Authorization", "Basic abc"), 401, "unauthorized", ""},
		{"unknown key", a, header("Authorization", "Bearer mr_nobody"), 401, "unauthorized", "not known"},
		{"scope missing", a, header("Authorization", "Bearer "+trackKey), 403, "forbidden", "events.write"},
		{"no media type", a, header("Content-Type", ""), 415, "unsupported_media_type", "application/x-ndjson"},
		{"other media type", a, header("Content-Type", "text/plain"), 415, "unsupported_media_type", "application/x-ndjson"},
		{"broken media type", a, header("Content-Type", ";;"), 415, "unsupported_media_type", "application/x-ndjson"},
		{"other charset", a, header("Content-Type", "application/json; charset=latin1"), 415, "unsupported_media_type", "UTF-8"},
		{"unknown encoding", a, header("Content-Encoding", "br"), 415, "unsupported_media_type", "gzip or zstd"},
		{"stacked encoding", a, header("Content-Encoding", "gzip, zstd"), 415, "unsupported_media_type", "applied once"},
		{"not gzip", a, header("Content-Encoding", "gzip"), 400, "invalid", "is not gzip"},
		{"not zstd", a, header("Content-Encoding", "zstd"), 400, "invalid", "is not zstd"},
		{"four bytes that are not gzip", "abcd", header("Content-Encoding", "gzip"), 400, "invalid", "is not gzip"},
		{"a byte that is not gzip", "a", header("Content-Encoding", "gzip"), 400, "invalid", "is not gzip"},
		{"a byte that is not zstd", "a", header("Content-Encoding", "zstd"), 400, "invalid", "is not zstd"},
		{"a gzip's first byte", "\x1f", header("Content-Encoding", "gzip"), 400, "invalid", "early"},
		{"a zstd's first byte", "\x28", header("Content-Encoding", "zstd"), 400, "invalid", "early"},
		{"nothing as gzip", "", header("Content-Encoding", "gzip"), 400, "invalid", "early"},
		{"nothing as zstd", "", header("Content-Encoding", "zstd"), 400, "invalid", "early"},
		{"half of a gzip", half(pack(t, "gzip", a)), header("Content-Encoding", "gzip"), 400, "invalid", "early"},
		{"half of a zstd", half(pack(t, "zstd", a)), header("Content-Encoding", "zstd"), 400, "invalid", "early"},
		{"junk after a gzip", pack(t, "gzip", a) + "junkjunkjunk", header("Content-Encoding", "gzip"), 400, "invalid", "follows the gzip"},
		{"four bytes of junk after a gzip", pack(t, "gzip", a) + "junk", header("Content-Encoding", "gzip"), 400, "invalid", "follows the gzip"},
		{"half of a second gzip", pack(t, "gzip", a) + half(pack(t, "gzip", a)), header("Content-Encoding", "gzip"), 400, "invalid", "early"},
		{"a long key", a, header("Idempotency-Key", strings.Repeat("k", 256)), 400, "invalid", "255"},
		{"a key with space", a, header("Idempotency-Key", "a b"), 400, "invalid", "visible"},
		{"a key beyond ASCII", a, header("Idempotency-Key", "é"), 400, "invalid", "visible"},
		{"empty JSON", "", header("Content-Type", js), 400, "invalid", "ends before"},
		{"space as JSON", "  ", header("Content-Type", js), 400, "invalid", "ends before"},
		{"a bare value", "1", header("Content-Type", js), 400, "invalid", "byte 0"},
		{"an open array", "[" + a + ",", header("Content-Type", js), 400, "invalid", "ends before"},
		{"an array without comma", "[" + a + a + "]", header("Content-Type", js), 400, "invalid", fmt.Sprint("byte ", 1+len(a))},
		{"an array with a last comma", "[" + a + ",]", header("Content-Type", js), 400, "invalid", fmt.Sprint("byte ", 2+len(a))},
		{"something after the array", "[" + a + "]x", header("Content-Type", js), 400, "invalid", fmt.Sprint("byte ", 2+len(a))},
		{"two arrays", "[" + a + "][" + a + "]", header("Content-Type", js), 400, "invalid", "byte"},
		{"lines as JSON", a + "\n" + a, header("Content-Type", js), 400, "invalid", ""},
		{"bottomless array", strings.Repeat("[", 100000), header("Content-Type", js), 400, "invalid", "byte"},
		{"bottomless envelope", strings.Repeat(`{"events":`, 10000), header("Content-Type", js), 400, "invalid", ""},
		{"an envelope without events", "{}", header("Content-Type", js), 400, "invalid", "required"},
		{"an envelope with more", `{"events":[` + a + `],"extra":{"a":[1]},"more":2}`, header("Content-Type", js), 400, "invalid", `"field":"more"`},
		{"events twice", `{"events":[` + a + `],"events":[` + a + `]}`, header("Content-Type", js), 400, "invalid", "duplicate_field"},
		{"events not an array", `{"events":` + a + `}`, header("Content-Type", js), 400, "invalid", "wrong_type"},
		{"a single event", a, header("Content-Type", js), 400, "invalid", "line of application/x-ndjson"},
		{"an open envelope", `{"events":[` + a + `]`, header("Content-Type", js), 400, "invalid", "ends before"},
		{"an envelope with a last comma", `{"events":[` + a + `],}`, header("Content-Type", js), 400, "invalid", "byte"},
		{"a name without value", `{"events"}`, header("Content-Type", js), 400, "invalid", "byte"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := open(t, Config{})
			got := h.post(row.body, row.header...)
			if got.status != row.status || got.Error.Code != row.code || !strings.Contains(got.body, row.within) {
				t.Errorf("%d %s, want %d %s with %q", got.status, got.body, row.status, row.code, row.within)
			}
			if h.log.records() != 0 || h.log.claimed() != 0 {
				t.Errorf("%d records, %d claims", h.log.records(), h.log.claimed())
			}
			if len(h.refused) != 1 || string(h.refused[0]) != row.code {
				t.Errorf("told of %v", h.refused)
			}
		})
	}
	t.Run("method", func(t *testing.T) {
		got := open(t, Config{}).do(httptest.NewRequest("GET", EventsPath, nil))
		if got.status != 405 || got.header.Get("Allow") != "POST" {
			t.Errorf("%d %v", got.status, got.header)
		}
	})
	t.Run("two keys", func(t *testing.T) {
		r := newRequest(strings.NewReader(a))
		r.Header["Idempotency-Key"] = []string{"a", "b"}
		if got := open(t, Config{}).do(r); got.status != 400 {
			t.Errorf("%d", got.status)
		}
	})
	t.Run("two encodings", func(t *testing.T) {
		r := newRequest(strings.NewReader(a))
		r.Header["Content-Encoding"] = []string{"gzip", "gzip"}
		if got := open(t, Config{}).do(r); got.status != 415 || got.header.Get("Accept-Encoding") == "" {
			t.Errorf("%d", got.status)
		}
	})
}

func half(s string) string { return s[:len(s)/2] }

func pack(t testing.TB, kind, s string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if kind == "zstd" {
		var err error
		if w, err = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCompressedBodiesAreReadLikePlainOnes(t *testing.T) {
	var body strings.Builder
	var want []string
	for i := range 3000 {
		id := fmt.Sprintf("%06d", i)
		want = append(want, id)
		body.WriteString(custom(id) + "\n")
	}
	h := open(t, Config{})
	for round := range 3 { // the decoders are used again
		for _, kind := range []string{"gzip", "zstd"} {
			got := h.post(pack(t, kind, body.String()), "Content-Encoding", strings.ToUpper(kind))
			if got.status != 200 || got.Accepted != 3000 {
				t.Fatalf("%s round %d: %d %s", kind, round, got.status, got.body)
			}
			if ids := h.ids(); !slices.Equal(ids, want) {
				t.Fatalf("%s round %d: other ids", kind, round)
			}
			h.log.commits = nil
		}
		// A broken one between must leave no trace in them.
		h.post(half(pack(t, "gzip", body.String())), "Content-Encoding", "gzip")
		h.post(half(pack(t, "zstd", body.String())), "Content-Encoding", "zstd")
	}
	two := pack(t, "gzip", custom("a")+"\n") + pack(t, "gzip", custom("b")+"\n")
	if got := h.post(two, "Content-Encoding", "x-gzip"); got.Accepted != 2 {
		t.Errorf("a gzip of two members: %s", got.body)
	}
	two = pack(t, "zstd", custom("a")+"\n") + pack(t, "zstd", custom("b")+"\n")
	if got := h.post(two, "Content-Encoding", "zstd"); got.Accepted != 2 {
		t.Errorf("a zstd of two frames: %s", got.body)
	}
}

func TestBombsEndAtTheLimit(t *testing.T) {
	zeros := func(kind string, n int64) string {
		var b bytes.Buffer
		var w io.WriteCloser = gzip.NewWriter(&b)
		if kind == "zstd" {
			w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		}
		io.CopyN(w, zero{}, n)
		w.Close()
		return b.String()
	}
	const limit = 4 << 20
	for _, kind := range []string{"gzip", "zstd"} {
		h := open(t, Config{MaxBody: limit})
		var low int64 = 1 << 62
		bomb := zeros(kind, 100<<20)
		r := newRequest(watch{strings.NewReader(bomb), func() { low = min(low, h.in.budget.free.Load()) }}, "Content-Encoding", kind)
		if got := h.do(r); got.status != 413 || got.Error.Code != "too_large" {
			t.Errorf("%s: %d %s", kind, got.status, got.body)
		}
		if held := h.in.cfg.MemoryBudget - low; held > 2*limit+maxWindow+decoderBytes+2*spare {
			t.Errorf("%s: a bomb held %d bytes", kind, held)
		}
		if got := h.post(zeros(kind, limit), "Content-Encoding", kind); got.status == 413 {
			t.Errorf("%s: a body of exactly the limit: %s", kind, got.body)
		}
	}
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(64<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, strings.Repeat(custom("a")+"\n", 100))
	w.Flush()
	w.Close()
	if got := open(t, Config{}).post(b.String(), "Content-Encoding", "zstd"); got.status != 413 || !strings.Contains(got.body, "window") {
		t.Errorf("a window of 64 MiB: %d %s", got.status, got.body)
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type watch struct {
	r    io.Reader
	each func()
}

func (w watch) Read(p []byte) (int, error) { w.each(); return w.r.Read(p) }

func TestBodiesOverTheLimit(t *testing.T) {
	h := open(t, Config{MaxBody: 1 << 20})
	if got := h.post(strings.Repeat("\n", 1<<20)); got.status != 200 {
		t.Errorf("exactly the limit: %d", got.status)
	}
	if got := h.post(strings.Repeat("\n", 1<<20+1)); got.status != 413 {
		t.Errorf("one more, announced: %d", got.status)
	}
	read := 0
	endless := newRequest(nil)
	endless.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
		read += len(p)
		for i := range p {
			p[i] = '\n'
		}
		return len(p), nil
	}))
	endless.ContentLength = -1
	if got := h.do(endless); got.status != 413 || read > 2<<20+drainMore+firstRead {
		t.Errorf("a body without end: %d after %d bytes", got.status, read)
	}
	gz := newRequest(readerFunc(func(p []byte) (int, error) { // members of nothing, without end
		m := pack(t, "gzip", "")
		return copy(p, strings.Repeat(m, len(p)/len(m))), nil
	}), "Content-Encoding", "gzip")
	gz.ContentLength = -1
	if got := h.do(gz); got.status != 413 {
		t.Errorf("empty gzip members without end: %d %s", got.status, got.body)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestABodyThatBreaksOffLeavesNothing(t *testing.T) {
	h := open(t, Config{})
	for _, row := range []struct {
		err    error
		status int
	}{{io.ErrUnexpectedEOF, 400}, {errors.New("connection reset"), 400}, {fmt.Errorf("x: %w", httpd.ErrSlowBody), 408}} {
		for _, enc := range []string{"", "gzip", "zstd"} {
			whole := custom("a") + "\n" + custom("b") + "\n"
			if enc != "" {
				whole = pack(t, enc, whole)
			}
			r := newRequest(io.MultiReader(strings.NewReader(whole[:len(whole)-5]), readerFunc(func([]byte) (int, error) { return 0, row.err })), "Content-Encoding", enc)
			if got := h.do(r); got.status != row.status {
				t.Errorf("%v %s: %d %s", row.err, enc, got.status, got.body)
			}
		}
	}
	if h.log.records() != 0 {
		t.Errorf("%d records", h.log.records())
	}
}

func TestAZstdFrameToBePassedOverMayComeFirst(t *testing.T) {
	h := open(t, Config{})
	if got := h.post("\x5f\x2a\x4d\x18\x03\x00\x00\x00abc"+pack(t, "zstd", custom("a")), "Content-Encoding", "zstd"); got.status != 200 || got.Accepted != 1 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestABatchOver32MiBIsRefusedWhole(t *testing.T) {
	big := strings.Replace(custom("a"), `"{}"`, `"`+strings.Repeat("x", 900_000)+`"`, 1) + "\n"
	h := open(t, Config{})
	if got := h.post(strings.Repeat(big, 37)); got.status != 200 || got.Accepted != 37 {
		t.Errorf("just under: %d %s", got.status, got.body)
	}
	if got := h.post(strings.Repeat(big, 38)); got.status != 413 || len(h.log.commits) != 1 {
		t.Errorf("over: %d %s", got.status, got.body)
	}
	if got := h.post(strings.Repeat("x\n", eventlog.MaxRecords+1)); got.status != 413 || !strings.Contains(got.body, "more than") {
		t.Errorf("too many events: %d %.200s", got.status, got.body)
	}
	large := strings.Replace(custom("a"), `"{}"`, `"`+strings.Repeat("x", event.MaxEventBytes)+`"`, 1)
	if got := h.post(large + "\n" + custom("b")); got.Accepted != 1 || got.Errors[0].Code != "too_large" {
		t.Errorf("one event over its limit: %.200s", got.body)
	}
}

func TestAtMost100ErrorsAreListed(t *testing.T) {
	h := open(t, Config{})
	for n, truncated := range map[int]bool{100: false, 101: true} {
		got := h.post(strings.Repeat(noName+"\n", n) + custom("a"))
		if got.status != 200 || got.Rejected != n || len(got.Errors) != 100 || got.Truncated != truncated || got.Errors[99].Index != 99 {
			t.Errorf("%d bad events: %d listed, truncated %v", n, len(got.Errors), got.Truncated)
		}
	}
	if got := h.post(custom("a")); strings.Contains(got.body, "truncated") || len(got.Errors) != 0 {
		t.Errorf("the next request saw errors of the one before: %s", got.body)
	}
}

func TestUnknownFieldsAreDroppedAndCountedWhereTheWorkspaceSaysSo(t *testing.T) {
	h := open(t, Config{})
	got := h.post(unknown+"\n"+custom("a"), "Authorization", "Bearer "+ignoreKey)
	if got.status != 200 || got.Accepted != 2 || got.Ignored != 2 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := h.post(custom("a"), "Authorization", "Bearer "+ignoreKey); strings.Contains(got.body, "ignored") {
		t.Errorf("%s", got.body)
	}
	h.post(unknown + "\n" + custom("a")) // of a workspace that rejects them
	if !slices.Equal(h.ignored, []int{2}) {
		t.Errorf("fields told as ignored, by commit: %v", h.ignored)
	}
	if ws := h.log.commits[0].Workspace; ws != 9 || h.log.commits[0].Kind != eventlog.Events {
		t.Errorf("commit of workspace %d, kind %d", ws, h.log.commits[0].Kind)
	}
}

func TestKeysAreRememberedForFiveSecondsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, Config{})
		for range 10 {
			h.post(custom("a"))
		}
		if h.keys.lookups != 1 {
			t.Errorf("%d look-ups for ten requests", h.keys.lookups)
		}
		delete(h.keys.grants, control.HashKey(goodKey))
		time.Sleep(5 * time.Second)
		if got := h.post(custom("a")); got.status != 401 {
			t.Errorf("a deleted key still works after 5 s: %d", got.status)
		}
		h.keys.grants[control.HashKey(goodKey)] = control.Grant{Key: "k", Workspace: 1, Scopes: control.Scopes()}
		if got := h.post(custom("a")); got.status != 200 {
			t.Errorf("a new key does not work at once: %d", got.status)
		}
		h.keys.err = errors.New("database is gone")
		time.Sleep(5 * time.Second)
		got := h.post(custom("a"))
		if got.status != 503 || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "database") {
			t.Errorf("without a database: %d %s", got.status, got.body)
		}
	})
}

func TestTheKeyCacheIsBounded(t *testing.T) {
	keys := &memoryKeys{grants: map[control.KeyHash]control.Grant{}}
	c := newKeyCache(keys, time.Hour)
	for i := range 2 * maxCachedKeys {
		k := fmt.Sprint("key", i)
		keys.grants[control.HashKey(k)] = control.Grant{Workspace: uint32(i)}
		if g, err := c.grant(t.Context(), k, netip.Addr{}); err != nil || g.Workspace != uint32(i) {
			t.Fatal(g, err)
		}
		if len(c.byHash) > maxCachedKeys {
			t.Fatalf("%d keys remembered", len(c.byHash))
		}
	}
}

// A client that looks for the answer only after its last byte gets it all the same.
func TestARefusedBodyIsTakenToItsEnd(t *testing.T) {
	const limit = 8 << 20
	h := open(t, Config{MaxBody: limit})
	srv := httptest.NewServer(h.in.Events())
	defer srv.Close()
	for _, row := range []struct {
		name, header string
		chunked      bool
		expect       bool
	}{
		{"with its length", fmt.Sprintf("Content-Length: %d\r\n", limit*7/4), false, false},
		{"in chunks", "Transfer-Encoding: chunked\r\n", true, false},
		{"that waits to be asked", fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n", limit*7/4), false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			if _, err := fmt.Fprintf(c, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/x-ndjson\r\n%s\r\n", goodKey, row.header); err != nil {
				t.Fatal(err)
			}
			if !row.expect {
				part := bytes.Repeat([]byte(" "), 1<<20)
				for range limit * 7 / 4 >> 20 {
					if row.chunked {
						fmt.Fprintf(c, "%x\r\n", len(part))
					}
					if _, err := c.Write(part); err != nil {
						t.Fatalf("while sending: %v", err)
					}
					if row.chunked {
						fmt.Fprint(c, "\r\n")
					}
				}
				if row.chunked {
					fmt.Fprint(c, "0\r\n\r\n")
				}
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatalf("the answer is lost: %v", err)
			}
			if res.StatusCode != 413 {
				t.Errorf("answered %d", res.StatusCode)
			}
		})
	}
}

func TestTheRateLimiterIsAsked(t *testing.T) {
	h := open(t, Config{})
	d := h.deps(h.log)
	d.Limit = func(g control.Grant) time.Duration {
		if g.Workspace == 7 {
			return 1500 * time.Millisecond
		}
		return 0
	}
	h.in = New(Config{}, d)
	if got := h.post(custom("a")); got.status != 429 || got.header.Get("Retry-After") != "2" {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := h.post(custom("a"), "Authorization", "Bearer "+foreignKey); got.status != 200 {
		t.Errorf("%d", got.status)
	}
}

func TestWithoutMemoryARequestIsRefusedAndTheNextOneServed(t *testing.T) {
	h := open(t, Config{MaxBody: 1 << 20})
	all := h.in.cfg.MemoryBudget
	if !h.in.budget.take(all - 100<<10) {
		t.Fatal("the budget is not free")
	}
	body := strings.Repeat(custom("a")+"\n", 4000)
	for _, enc := range []string{"", "gzip", "zstd"} {
		b := body
		if enc != "" {
			b = pack(t, enc, body)
		}
		w := httptest.NewRecorder()
		h.in.Events().ServeHTTP(w, newRequest(strings.NewReader(b), "Content-Encoding", enc))
		if w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", enc, w.Code, w.Body)
		}
		if free := h.in.budget.free.Load(); free != 100<<10 {
			t.Errorf("%s: %d bytes free afterwards", enc, free)
		}
	}
	h.in.budget.give(all - 100<<10)
	if got := h.post(body); got.status != 200 || got.Accepted != 4000 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A connection that is closed while its client still sends is reset, and the answer lost with it.
func TestWithoutMemoryAClientThatSendsEverythingFirstHearsIt(t *testing.T) {
	h := open(t, Config{})
	all := h.in.cfg.MemoryBudget
	if !h.in.budget.take(all) {
		t.Fatal("the budget is not free")
	}
	defer h.in.budget.give(all)
	server := httptest.NewServer(h.in.Events())
	defer server.Close()
	for _, size := range []int{200_000, 20 << 20} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", EventsPath, goodKey, size)
		if _, err = conn.Write(bytes.Repeat([]byte{'\n'}, size)); err == nil {
			var got *http.Response
			if got, err = http.ReadResponse(bufio.NewReader(conn), nil); err == nil && got.StatusCode != 503 {
				t.Errorf("%d bytes: %s", size, got.Status)
			}
		}
		if err != nil {
			t.Errorf("%d bytes: %v, want 503", size, err)
		}
		conn.Close()
	}
}

func TestABodyThatIsAnnouncedHoldsNoMoreThanTwiceWhatCame(t *testing.T) {
	h := open(t, Config{MaxBody: 2 << 20})
	body := strings.Repeat(custom("a")+"\n", 4000)
	for _, announced := range []int64{-1, int64(len(body)), 2 << 20} {
		var came int64
		r := newRequest(nil)
		in := strings.NewReader(body)
		r.Body = io.NopCloser(watch{in, func() {
			came = int64(len(body) - in.Len())
			if held := h.in.cfg.MemoryBudget - h.in.budget.free.Load(); held > weight(2*came+firstRead+spare) {
				t.Errorf("announced %d: %d bytes are held when %d have come", announced, held, came)
			}
		}})
		r.ContentLength = announced
		if got := h.do(r); got.status != 200 || got.Accepted != 4000 {
			t.Errorf("announced %d: %d %s", announced, got.status, got.body)
		}
		if came == 0 {
			t.Fatal("nobody looked")
		}
	}
}

func TestTheLargestBodyFitsEachBudget(t *testing.T) {
	for budget, want := range map[int64]int64{1: 1 << 20, 32 << 20: 11 << 20, 64 << 20: 27 << 20, 128 << 20: 64 << 20} {
		cfg := Config{MemoryBudget: budget}.withDefaults()
		if cfg.MaxBody>>20 != want>>20 || budget > 1 && cfg.MemoryBudget != budget {
			t.Errorf("memory is bounded by settings: of %d bytes requests take %d, and bodies of %d bytes; want %d", budget, cfg.MemoryBudget, cfg.MaxBody, want)
		}
		if want > 16<<20 {
			continue // the same with more bytes
		}
		h := open(t, Config{MemoryBudget: budget})
		body := strings.Repeat("\n", int(cfg.MaxBody))
		for _, enc := range []string{"", "gzip", "zstd"} {
			b, more := body, body+"\n"
			if enc != "" {
				b, more = pack(t, enc, b), pack(t, enc, more)
			}
			if got := h.post(b, "Content-Encoding", enc); got.status != 200 {
				t.Errorf("budget %d, %s: %d %s", budget, enc, got.status, got.body)
			}
			if got := h.post(more, "Content-Encoding", enc); got.status != 413 {
				t.Errorf("budget %d, %s, a byte more: %d %s", budget, enc, got.status, got.body)
			}
		}
	}
}

func TestAFailingLogIsNeverA2xx(t *testing.T) {
	h := open(t, Config{})
	for _, row := range []struct {
		err    error
		status int
		retry  string
	}{
		{fault.New(fault.Unavailable, "append", "The disk is full.").WithRetry(7 * time.Second), 503, "7"},
		{fault.New(fault.TooLarge, "append", "x"), 413, ""},
		{fault.New(fault.Corrupt, "append", "x"), 500, ""},
		{errors.New("something else"), 500, ""},
	} {
		h.log.fail(func() error { return row.err })
		got := h.post(custom("a"), "Idempotency-Key", "k")
		if got.status != row.status || got.header.Get("Retry-After") != row.retry || got.Accepted != 0 {
			t.Errorf("%v: %d %s", row.err, got.status, got.body)
		}
		if h.log.claimed() != 0 {
			t.Errorf("%v: the claim is still held", row.err)
		}
	}
	h.log.fail(nil)
	if h.accepted != 0 || h.log.records() != 0 {
		t.Errorf("%d told, %d kept", h.accepted, h.log.records())
	}
	if got := h.post(custom("a"), "Idempotency-Key", "k"); got.status != 200 || got.Accepted != 1 || got.header.Get(ReplayedHeader) != "" {
		t.Errorf("the repetition: %d %s", got.status, got.body)
	}
}

func TestAClientThatGoesAwayTakesNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, Config{})
		enter, leave := make(chan struct{}), make(chan struct{})
		h.log.fail(func() error { close(enter); <-leave; return nil })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan answer)
		go func() {
			done <- h.do(newRequest(strings.NewReader(custom("a")), "Idempotency-Key", "k").WithContext(ctx))
		}()
		<-enter
		cancel()
		synctest.Wait()
		close(leave)
		got := <-done
		h.log.fail(nil)
		if h.log.records() != 1 || got.status != 200 {
			t.Errorf("%d records, answer %d", h.log.records(), got.status)
		}
		if got := h.post(custom("a"), "Idempotency-Key", "k"); got.header.Get(ReplayedHeader) != "true" || h.log.records() != 1 {
			t.Errorf("the repetition: %s, %d records", got.body, h.log.records())
		}
	})
}

func TestALogThatHangsIsAnsweredAndItsAppendStillCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, Config{AnswerLimit: 10 * time.Second})
		leave := make(chan struct{})
		h.log.fail(func() error { <-leave; return nil })
		began := time.Now()
		got := h.post(custom("a"), "Idempotency-Key", "k")
		if got.status != 503 || got.header.Get("Retry-After") == "" || time.Since(began) != 10*time.Second {
			t.Errorf("%d after %v: %s", got.status, time.Since(began), got.body)
		}
		// While its fate is open the key is held: a repetition may not append beside it.
		if got := h.post(custom("a"), "Idempotency-Key", "k"); got.status != 503 || h.log.claimed() != 1 {
			t.Errorf("the repetition: %d %s", got.status, got.body)
		}
		again := make(chan answer)
		go func() { again <- h.post(custom("a"), "Idempotency-Key", "k") }()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- h.in.Close(t.Context()) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed over an append")
		default:
		}
		close(leave)
		if got := <-again; got.status != 200 || got.Accepted != 1 || got.header.Get(ReplayedHeader) != "true" {
			t.Errorf("the waiting repetition: %d %s", got.status, got.body)
		}
		if err := <-closed; err != nil || h.log.records() != 1 || h.log.claimed() != 0 {
			t.Errorf("%v, %d records, %d claims", err, h.log.records(), h.log.claimed())
		}
		h.log.fail(nil)
		if got := h.post(custom("b")); got.status != 503 {
			t.Errorf("after Close: %d", got.status)
		}
		if free := h.in.budget.free.Load(); free != h.in.cfg.MemoryBudget {
			t.Errorf("%d bytes of the budget are lost", h.in.cfg.MemoryBudget-free)
		}
	})
}

func TestARepeatedRequestCountsOnce(t *testing.T) {
	h := open(t, Config{})
	body := custom("a") + "\n" + noName + "\n" + custom("b")
	first := h.post(body, "Idempotency-Key", "order-1")
	if first.status != 200 || first.Accepted != 2 || first.Rejected != 1 || len(first.Errors) != 1 {
		t.Fatalf("%s", first.body)
	}
	again := h.post(body, "Idempotency-Key", "order-1")
	if again.status != 200 || again.body != `{"accepted":2,"rejected":1,"errors_truncated":true}`+"\n" || again.header.Get(ReplayedHeader) != "true" {
		t.Errorf("repeated: %d %s %v", again.status, again.body, again.header)
	}
	if packed := h.post(pack(t, "gzip", body), "Idempotency-Key", "order-1", "Content-Encoding", "gzip"); packed.header.Get(ReplayedHeader) != "true" {
		t.Errorf("the same body compressed is another one: %s", packed.body)
	}
	if rotated := h.post(body, "Idempotency-Key", "order-1", "Authorization", "Bearer "+otherKey); rotated.header.Get(ReplayedHeader) != "true" {
		t.Errorf("another API key of the workspace: %s", rotated.body)
	}
	if h.log.records() != 2 || h.replayed != 3 {
		t.Errorf("%d records, %d replays told", h.log.records(), h.replayed)
	}
	other := h.post(body+"\n", "Idempotency-Key", "order-1")
	if other.status != 422 || other.Error.Code != "conflict" || len(other.Error.Fields) != 1 || other.Error.Fields[0].Code != "reused" {
		t.Errorf("another body: %d %s", other.status, other.body)
	}
	if foreign := h.post(body, "Idempotency-Key", "order-1", "Authorization", "Bearer "+foreignKey); foreign.Accepted != 2 || foreign.header.Get(ReplayedHeader) != "" {
		t.Errorf("another workspace: %s", foreign.body)
	}
	if clean := h.post(custom("c"), "Idempotency-Key", "order-2"); clean.Accepted != 1 {
		t.Errorf("%s", clean.body)
	}
	if clean := h.post(custom("c"), "Idempotency-Key", "order-2"); clean.body != `{"accepted":1,"rejected":0}`+"\n" {
		t.Errorf("repeated without errors: %s", clean.body)
	}
}

func TestAnAnswerThatAppendedNothingIsNotKept(t *testing.T) {
	h := open(t, Config{})
	for body, status := range map[string]int{noName: 400, "": 200} {
		if got := h.post(body, "Idempotency-Key", "k"); got.status != status {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if got := h.post("[", "Idempotency-Key", "k", "Content-Type", "application/json"); got.status != 400 {
		t.Errorf("%d", got.status)
	}
	if got := h.post(custom("a"), "Idempotency-Key", "k"); got.status != 200 || got.Accepted != 1 || got.header.Get(ReplayedHeader) != "" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestConcurrentRepetitionsAppendOnce(t *testing.T) {
	h := open(t, Config{})
	var fails sync.Mutex
	n := 0
	h.log.fail(func() error { // the first three attempts fail
		fails.Lock()
		defer fails.Unlock()
		if n++; n <= 3 {
			return fault.New(fault.Unavailable, "append", "full").WithRetry(time.Second)
		}
		return nil
	})
	var wg sync.WaitGroup
	status := make([]int, 50)
	for i := range status {
		wg.Go(func() { status[i] = h.post(custom("a")+"\n"+custom("b"), "Idempotency-Key", "k").status })
	}
	wg.Wait()
	slices.Sort(status)
	if h.log.records() != 2 || status[0] != 200 || status[46] != 200 || status[47] != 503 {
		t.Errorf("%d records, answers %v", h.log.records(), status)
	}
}

func TestConcurrentRequestsDoNotMix(t *testing.T) {
	h := open(t, Config{})
	var wg sync.WaitGroup
	var want []string
	for c := range 8 {
		for i := range 40 {
			want = append(want, fmt.Sprintf("%d-%02d-0", c, i), fmt.Sprintf("%d-%02d-1", c, i))
		}
		wg.Go(func() {
			for i := range 40 {
				body := custom(fmt.Sprintf("%d-%02d-0", c, i)) + "\n" + noName + "\n" + custom(fmt.Sprintf("%d-%02d-1", c, i))
				w := httptest.NewRecorder()
				h.in.Events().ServeHTTP(w, newRequest(strings.NewReader(body)))
				if w.Code != 200 || !strings.Contains(w.Body.String(), `"accepted":2,"rejected":1`) {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(want)
	if got := h.ids(); !slices.Equal(got, want) {
		t.Errorf("%d ids, want %d", len(got), len(want))
	}
}

func TestAControlRecordIsACommitOfItsOwn(t *testing.T) {
	h := open(t, Config{})
	if _, err := h.in.AppendControl(t.Context(), 7, []byte("record")); err != nil {
		t.Fatal(err)
	}
	c := h.log.commits[0]
	for rec := range c.Records() {
		if string(rec.Value) != "record" || rec.Schema != 0 {
			t.Errorf("%+v", rec)
		}
	}
	if c.Kind != eventlog.Control || c.Workspace != 7 || c.Count != 1 {
		t.Errorf("%+v", c.Header)
	}
	h.log.fail(func() error { return fault.New(fault.Unavailable, "append", "full") })
	if _, err := h.in.AppendControl(t.Context(), 7, []byte("record")); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := open(t, Config{})
		leave := make(chan struct{})
		h.log.fail(func() error { <-leave; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.in.AppendControl(ctx, 7, []byte("late")); !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
		if err := h.in.Close(ctx); !fault.Is(err, fault.Unavailable) {
			t.Errorf("closed over an append: %v", err)
		}
		close(leave)
		if err := h.in.Close(t.Context()); err != nil || h.log.records() != 1 {
			t.Errorf("%v, %d records", err, h.log.records())
		}
	})
}

func TestAPanicGivesBackWhatWasHeld(t *testing.T) {
	h := open(t, Config{})
	r := newRequest(readerFunc(func(p []byte) (int, error) {
		if h.in.budget.free.Load() == h.in.cfg.MemoryBudget {
			t.Error("nothing was taken yet")
		}
		panic("boom")
	}))
	func() {
		defer func() { recover() }()
		h.in.Events().ServeHTTP(httptest.NewRecorder(), r)
	}()
	if free := h.in.budget.free.Load(); free != h.in.cfg.MemoryBudget {
		t.Errorf("%d bytes of the budget are lost", h.in.cfg.MemoryBudget-free)
	}
}

func TestOverARealConnection(t *testing.T) {
	h := open(t, Config{})
	mux := http.NewServeMux()
	mux.Handle(EventsPath, h.in.Events())
	s := httptest.NewServer(mux)
	defer s.Close()
	body := strings.Repeat(custom("a")+"\n", 20000) // over a megabyte, so in several steps
	send := func(r io.Reader) int {
		req, _ := http.NewRequest("POST", s.URL+EventsPath, r)
		req.Header.Set("Authorization", "Bearer "+goodKey)
		req.Header.Set("Content-Type", "application/x-ndjson")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		return res.StatusCode
	}
	if got := send(strings.NewReader(body)); got != 200 {
		t.Errorf("with a length: %d", got)
	}
	if got := send(struct{ io.Reader }{strings.NewReader(body)}); got != 200 {
		t.Errorf("chunked: %d", got)
	}
	if n := h.log.records(); n != 40000 {
		t.Errorf("%d records", n)
	}
}
