package e2e_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// malloryKey is the API key of a producer who means harm, in a workspace of its own.
const malloryKey = "mr_e2e_mallory_0123456789abcdefghijklmnopqrst"

// inTime is how long a producer waits for an answer at most while others do their worst: a bound for the slowest of
// machines that many things share.
const inTime = 10 * time.Second

// mostUnderAttack bounds the process's memory in MiB: its budget of 256, what lies beside it, and 4,096 connections.
const mostUnderAttack = 512

// Those who mean harm, with an API key and without, all at once: connections that do nothing, headers and bodies by
// drops, bodies without an end, bombs, nonsense, and requests that two readers would read differently. Meanwhile the
// producers who mean well are answered in time, by connections they have and by new ones; what they sent is in the
// bucket once; memory is bounded.
func TestHostileInputHarmsNobodyElse(t *testing.T) {
	w := newWorld(t)
	must(t, append(w.env, "MALLORY_KEY="+malloryKey), "apply", "-f", write(t, "mallory.yaml",
		"workspaces:\n  - name: mallory\n    api_keys:\n      - {name: bad, scopes: [events.write], secret_env: MALLORY_KEY}\n"))
	eventually(t, 10*time.Second, "mallory may send", func() bool {
		status, _, _, err := w.post(malloryKey, "", nil)
		return err == nil && status == 200
	})

	lasts := 2 * time.Second
	if long() {
		lasts = 3 * time.Minute
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := &harm{t: t, addr: w.addr, did: map[string]int{}}
	good := startGoodProducers(t, w)

	crowd := 10_000
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if most := int(files.Cur) - 2_000; crowd > most {
		crowd = max(most, 100)
		t.Logf("only %d idle connections: this process may open %d files", crowd, files.Cur)
	}
	began := time.Now()
	closed := h.idle(ctx, crowd)
	t.Logf("%d idle connections were opened in %v", crowd, time.Since(began).Round(time.Millisecond))
	for _, a := range attacks {
		for range a.at {
			h.forever(ctx, a)
		}
	}
	time.Sleep(lasts)
	var all sync.WaitGroup
	for _, s := range shapes {
		all.Go(func() { h.shape(s.name, s.raw, s.want) })
	}
	all.Wait()
	cancel()
	h.wg.Wait()
	sent := good.end()
	for _, a := range attacks {
		if h.did[a.name] == 0 {
			t.Errorf("%s: not once", a.name)
		}
	}
	t.Logf("what was done, and how often: %v; %d idle connections were closed", h.did, closed.Load())
	t.Logf("%d requests of those who mean well, the slowest answered after %v; %d were put off by 503", good.answers.Load(), time.Duration(good.slowest.Load()).Round(time.Millisecond), good.refused.Load())
	peak := peakMiB(t, w.server)
	t.Logf("peak resident memory %d MiB", peak)
	if peak > mostUnderAttack {
		t.Errorf("memory is bounded: the process had %d MiB, the bound is %d", peak, mostUnderAttack)
	}
	maps.Copy(w.sent, sent)
	w.delivered()
	if out := w.output(); strings.Contains(out, "panic") {
		t.Error("input made the server panic")
	}
	w.agrees()
}

// goodProducers send until end, each request until it is accepted.
type goodProducers struct {
	stop                      atomic.Bool
	wg                        sync.WaitGroup
	mu                        sync.Mutex
	sent                      map[string]bool
	answers, refused, slowest atomic.Int64
}

func startGoodProducers(t *testing.T, w *world) *goodProducers {
	g := &goodProducers{sent: map[string]bool{}}
	for i, c := range []*http.Client{
		{Transport: &http.Transport{}}, // keeps its connection
		{Transport: &http.Transport{DisableKeepAlives: true}},
	} {
		g.wg.Go(func() {
			for batch := 0; !g.stop.Load(); batch++ {
				var body strings.Builder
				name := fmt.Sprintf("good%d-%d", i, batch)
				g.mu.Lock()
				for k := range 5 {
					id := fmt.Sprintf("%s-%d", name, k)
					g.sent[id] = true
					body.WriteString(eventOf(id, batch+k))
				}
				g.mu.Unlock()
				for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
					req, err := http.NewRequest("POST", "http://"+w.addr+"/v1/events", strings.NewReader(body.String()))
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set("Content-Type", "application/x-ndjson")
					req.Header.Set("Authorization", "Bearer "+producerKey)
					req.Header.Set("Idempotency-Key", name)
					res, err := c.Do(req)
					status := 0
					if err == nil {
						io.Copy(io.Discard, res.Body)
						res.Body.Close()
						status = res.StatusCode
					}
					took := time.Since(began)
					if took > inTime {
						t.Errorf("a producer who means well is not accepted after %v: status %d, %v", took, status, err)
						return
					}
					if status == 200 {
						g.answers.Add(1)
						if took := int64(took); took > g.slowest.Load() {
							g.slowest.Store(took)
						}
						break
					}
					if err == nil && status != 503 {
						t.Errorf("a producer who means well is answered %d", status)
						return
					}
					g.refused.Add(1)
				}
				time.Sleep(25 * time.Millisecond)
			}
		})
	}
	return g
}

func (g *goodProducers) end() map[string]bool {
	g.stop.Store(true)
	g.wg.Wait()
	return g.sent
}

// harm is what is done to a server.
type harm struct {
	t    *testing.T
	addr string
	wg   sync.WaitGroup
	mu   sync.Mutex
	did  map[string]int
}

// attack is one way to do harm, done again and again by at connections at once.
type attack struct {
	name string
	at   int
	do   func(ctx context.Context, c net.Conn) error
	want []int // if not nil: the answer's status is one of these
}

// errDone ends an attack because the test ends; any other error is the connection's end, which the server may choose.
var errDone = errors.New("done")

func (h *harm) forever(ctx context.Context, a attack) {
	h.wg.Go(func() {
		for ctx.Err() == nil {
			c, err := net.DialTimeout("tcp", h.addr, 5*time.Second)
			if err != nil {
				time.Sleep(50 * time.Millisecond)
				continue
			}
			h.mu.Lock()
			h.did[a.name]++
			h.mu.Unlock()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			answer := make(chan *http.Response, 1)
			go func() {
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					res = nil
				}
				answer <- res
			}()
			err = a.do(ctx, c)
			if err == nil { // it waits for its answer
				c.SetReadDeadline(time.Now().Add(30 * time.Second))
			} else {
				c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			}
			res := <-answer
			if stop(); ctx.Err() != nil {
				c.Close()
				return
			}
			if res != nil && a.want != nil && !slices.Contains(a.want, res.StatusCode) {
				h.t.Errorf("%s: answered %d, wanted one of %v", a.name, res.StatusCode, a.want)
			}
			c.Close()
		}
	})
}

// idle opens n connections that say nothing until ctx ends, and counts those that the server closes.
func (h *harm) idle(ctx context.Context, n int) (closed *atomic.Int64) {
	closed = new(atomic.Int64)
	var opening sync.WaitGroup
	for range 50 {
		opening.Go(func() {
			for range n / 50 {
				c, err := net.DialTimeout("tcp", h.addr, inTime)
				if err != nil {
					h.t.Errorf("an idle connection: %v", err)
					return
				}
				context.AfterFunc(ctx, func() { c.Close() })
				h.wg.Go(func() {
					var one [1]byte
					if _, err := c.Read(one[:]); err != nil && ctx.Err() == nil {
						closed.Add(1)
					}
					c.Close()
				})
			}
		})
	}
	opening.Wait()
	return closed
}

func head(key, more string) string {
	s := "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n" + more
	if key != "" {
		s += "Authorization: Bearer " + key + "\r\n"
	}
	return s + "\r\n"
}

// drops writes first and then one byte after the other, until the server has enough.
func drops(first string, bytes func(i int) string) func(context.Context, net.Conn) error {
	return func(ctx context.Context, c net.Conn) error {
		_, err := io.WriteString(c, first)
		for i := 0; err == nil; i++ {
			select {
			case <-ctx.Done():
				return errDone
			case <-time.After(200 * time.Millisecond):
			}
			_, err = io.WriteString(c, bytes(i))
		}
		return err
	}
}

// flood writes first and then the same again and again, as fast as it is taken.
func flood(first, again string) func(context.Context, net.Conn) error {
	return func(ctx context.Context, c net.Conn) error {
		_, err := io.WriteString(c, first)
		for err == nil && ctx.Err() == nil {
			_, err = io.WriteString(c, again)
		}
		return err
	}
}

// says writes one request with a body.
func says(key, more string, body []byte) func(context.Context, net.Conn) error {
	return func(ctx context.Context, c net.Conn) error {
		if _, err := io.WriteString(c, head(key, more+fmt.Sprintf("Content-Length: %d\r\n", len(body)))); err != nil {
			return err
		}
		_, err := c.Write(body)
		return err
	}
}

func constant(s string) func(int) string { return func(int) string { return s } }

// gzipBomb and zstdBomb are n bytes of zeros in small.
func gzipBomb(n int64) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	io.CopyN(z, zeros{}, n)
	z.Close()
	return b.Bytes()
}

func zstdBomb(n int64) []byte {
	var b bytes.Buffer
	z, _ := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	io.CopyN(z, zeros{}, n)
	z.Close()
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// zstdWindow begins a frame that asks for a window of 2 GiB. Source: RFC 8878 §3.1.1.1.
var zstdWindow = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00}

// nested is an event with a property of so many brackets.
func nested(n int) []byte {
	return []byte(`{"event_type":"users.behaviors.CustomEvent","id":"x","user_id":"u","time":1790000000,"name":"n","properties":` +
		strings.Repeat("[", n) + strings.Repeat("]", n) + "}\n")
}

var (
	outsider = []int{400, 401, 408, 413, 431, 501}
	insider  = []int{400, 408, 413, 415, 503}
)

// attacks are done all at once. Those with Mallory's key end without one event of hers in the log: each is refused
// or rejected whole.
var attacks = []attack{
	{"header by drops", 300, drops("GET / HTTP/1.1\r\nHost: x\r\nX-", constant("a")), nil},
	{"body by drops, without a key", 300, drops(head("", "Content-Length: 100000\r\n"), constant("x")), outsider},
	{"body by drops", 100, drops(head(malloryKey, "Content-Length: 100000\r\n"), constant("x")), insider},
	{"chunks by drops", 100, drops(head(malloryKey, "Transfer-Encoding: chunked\r\n"), func(i int) string {
		return []string{"1", "\r\n", "x", "\r\n"}[i%4]
	}), insider},
	{"requests by drops, one after the other", 50, drops("", func(i int) string {
		const r = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
		return r[i*6%len(r) : min(i*6%len(r)+6, len(r))]
	}), nil},
	{"answers not taken", 20, flood("", strings.Repeat("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 10)), nil},
	{"header without an end", 2, flood("GET / HTTP/1.1\r\nHost: x\r\n", strings.Repeat("X-A: b\r\n", 1000)), []int{431}},
	{"header of one line without an end", 2, flood("GET / HTTP/1.1\r\nHost: x\r\nX: ", strings.Repeat("a", 8000)), []int{431}},
	{"chunks without an end", 1, flood(head(malloryKey, "Transfer-Encoding: chunked\r\n"), "1000\r\n"+strings.Repeat("x", 4095)+"\n\r\n"), insider},
	{"chunks of one byte without an end", 1, flood(head(malloryKey, "Transfer-Encoding: chunked\r\n"), strings.Repeat("1\r\n{\r\n", 100)), insider},
	{"chunk extensions without an end", 1, flood(head(malloryKey, "Transfer-Encoding: chunked\r\n"), "1;"+strings.Repeat("a", 4000)+"\r\nx\r\n"), insider},
	{"a chunk extension of one line without an end", 1, flood(head(malloryKey, "Transfer-Encoding: chunked\r\n")+"1;", strings.Repeat("a", 4000)), insider},
	{"trailers without an end", 1, flood(head(malloryKey, "Transfer-Encoding: chunked\r\n")+"1\r\nx\r\n0\r\n", strings.Repeat("X-A: b\r\n", 1000)), insider},
	{"gzip bomb", 1, says(malloryKey, "Content-Encoding: gzip\r\n", gzipBomb(1<<30)), insider},
	{"gzip bomb of a thousand members", 1, says(malloryKey, "Content-Encoding: gzip\r\n", bytes.Repeat(gzipBomb(1<<20), 1000)), insider},
	{"gzip members with nothing in them", 1, says(malloryKey, "Content-Encoding: gzip\r\n", append(bytes.Repeat(gzipBomb(0), 40_000), 'x')), insider},
	{"zstd bomb", 1, says(malloryKey, "Content-Encoding: zstd\r\n", zstdBomb(1<<30)), insider},
	{"zstd window of 2 GiB", 1, says(malloryKey, "Content-Encoding: zstd\r\n", zstdWindow), insider},
	{"a million lines of nonsense", 1, says(malloryKey, "", bytes.Repeat([]byte("{\n"), 1_000_000)), insider},
	{"nonsense that is not UTF-8", 1, says(malloryKey, "", bytes.Repeat([]byte("{\"\xff\xfe\x00\":\"\\ud800\"}\n"), 10_000)), insider},
	{"one line of 20 MB", 1, says(malloryKey, "", bytes.Repeat([]byte("["), 20_000_000)), insider},
	{"brackets a million deep", 1, says(malloryKey, "", nested(1_000_000)), insider},
	{"a field ten thousand times", 1, says(malloryKey, "", []byte("{"+strings.Repeat(`"a":1,`, 10_000)+`"b":2}`+"\n")), insider},
	{"a number of a million digits", 1, says(malloryKey, "", []byte(`{"event_type":"users.behaviors.Purchase","id":"x","user_id":"u","time":1790000000,"product_id":"p","currency":"BRL","properties":"{}","price":`+strings.Repeat("9", 1_000_000)+"}\n")), insider},
}

// shape is a request that another reader might end, or begin, elsewhere. Behind it the connection asks for /healthz:
// want is every status that comes, so "400" alone says that nothing behind it was read.
type shape struct{ name, raw, want string }

const chunked = "Transfer-Encoding: chunked\r\n"

var shapes = []shape{
	{"one length, twice", head("", "Content-Length: 3\r\nContent-Length: 3\r\n") + "abc", "401 200"},
	{"two lengths", head("", "Content-Length: 3\r\nContent-Length: 4\r\n") + "abc", "400"},
	{"a list of lengths", head("", "Content-Length: 3, 3\r\n") + "abc", "400"},
	{"a length with a sign", head("", "Content-Length: +3\r\n") + "abc", "400"},
	{"a negative length", head("", "Content-Length: -1\r\n") + "abc", "400"},
	{"a length in hex", head("", "Content-Length: 0x3\r\n") + "abc", "400"},
	{"a length over 63 bits", head("", "Content-Length: 9223372036854775808\r\n") + "abc", "400"},
	{"a space before the colon", head("", "Content-Length : 3\r\n") + "abc", "400"},
	{"a space before the colon of the coding", head("", "Transfer-Encoding : chunked\r\n") + "0\r\n\r\n", "400"},
	{"chunks win over a length", head("", "Content-Length: 3\r\n"+chunked) + "0\r\n\r\n", "401 200"},
	{"another coding", head("", "Transfer-Encoding: xchunked\r\n") + "0\r\n\r\n", "501"},
	{"a coding behind the chunks", head("", "Transfer-Encoding: chunked, identity\r\n") + "0\r\n\r\n", "501"},
	{"two codings", head("", chunked+"Transfer-Encoding: identity\r\n") + "0\r\n\r\n", "501"},
	{"a vertical tab before the coding", head("", "Transfer-Encoding:\x0bchunked\r\n") + "0\r\n\r\n", "400"},
	{"a NUL in a value", head("", "X: a\x00b\r\n"), "400"},
	{"a NUL in a name", head("", "X\x00: a\r\n"), "400"},
	{"a NUL in the address", "GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
	{"a bare CR", head("", "X: a\rTransfer-Encoding: chunked\r\n"), "400"},
	{"lines that end with LF alone", "GET /healthz HTTP/1.1\nHost: x\n\n", "200 200"},
	{"a first line that begins with space", "POST /v1/events HTTP/1.1\r\n Host: x\r\n\r\n", "400"},
	{"two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400"},
	{"no host", "GET / HTTP/1.1\r\n\r\n", "400"},
	{"an absolute address", "GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nHost: x\r\n\r\n", "404 200"},
	{"CONNECT", "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n", "404 200"},
	{"a chunk of more than 64 bits", head(malloryKey, chunked) + "fffffffffffffffff\r\nabc", "400"},
	{"a chunk of negative size", head(malloryKey, chunked) + "-1\r\nabc", "400"},
	{"a chunk that is longer than it says", head(malloryKey, chunked) + "3\r\nabcdef\r\n0\r\n\r\n", "400"},
	{"a chunk's line that ends with LF alone", head(malloryKey, chunked) + "3\nabc\r\n0\r\n\r\n", "400"},
	{"HTTP/2 where nobody agreed on it", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
	{"HTTP/9.9", "GET / HTTP/9.9\r\nHost: x\r\n\r\n", "505"},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
}

func (h *harm) shape(name, raw, want string) {
	h.t.Helper()
	c, err := net.DialTimeout("tcp", h.addr, inTime)
	if err != nil {
		h.t.Errorf("%s: %v", name, err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(inTime))
	io.WriteString(c, raw+"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	out, err := io.ReadAll(c)
	var got []string
	for rest := string(out); ; {
		_, after, found := strings.Cut(rest, "HTTP/1.")
		if !found {
			break
		}
		got = append(got, after[2:min(5, len(after))])
		rest = after
	}
	if strings.Join(got, " ") != want {
		h.t.Errorf("%s: answers %v, wanted %s (%v)", name, got, want, err)
	}
}

// peakMiB is the most memory that the server's process has had resident, in MiB.
func peakMiB(t *testing.T, s *server) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(s.cmd.Process.Pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}
