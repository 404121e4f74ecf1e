package httpd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/fault"
)

// pipes is a listener in memory, so that a server runs on the fake clock of a synctest bubble.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
	peer  net.Addr // of the clients; nil: none that is an address of IP
}

// from is a connection from peer.
type from struct {
	net.Conn
	peer net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.peer }

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	if p.peer != nil {
		server = from{server, p.peer}
	}
	p.conns <- server
	return client
}

type bench struct {
	t    *testing.T
	ln   *pipes
	stop func() error
	logs *bytes.Buffer
}

func start(t *testing.T, cfg Config, h http.Handler, probes *Probes, hooks Hooks) *bench {
	t.Helper()
	b := &bench{t: t, ln: newPipes(), logs: &bytes.Buffer{}}
	s := serveOn(b.ln, cfg.withDefaults(), h, probes, slog.New(slog.NewTextHandler(b.logs, nil)), hooks)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var err error
	go func() { err = s.Run(ctx); close(done) }()
	b.stop = func() error { cancel(); <-done; return err }
	t.Cleanup(func() { cancel(); s.Close(); <-done }) // a bubble's time stands still after it
	return b
}

// exchange sends raw bytes on a new connection and gives everything that comes back.
func (b *bench) exchange(raw string) string {
	c := b.ln.dial()
	defer c.Close()
	go io.WriteString(c, raw)
	out, _ := io.ReadAll(c)
	return string(out)
}

func readBody(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if errors.Is(err, ErrSlowBody) {
		WriteErrorStatus(w, r, http.StatusRequestTimeout, fault.New(fault.Invalid, "", "too slow"))
		return
	}
	if err != nil {
		WriteError(w, r, fault.New(fault.Invalid, "", "body: %v", err))
		return
	}
	fmt.Fprint(w, n)
}

func TestABodyThatStallsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, http.HandlerFunc(readBody), nil, Hooks{})
		began := time.Now()
		out := b.exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
		if !strings.HasPrefix(out, "HTTP/1.1 408 ") {
			t.Errorf("answer %q", out)
		}
		if took := time.Since(began); took < 20*time.Second || took > 41*time.Second {
			t.Errorf("cut off after %v", took)
		}
	})
}

func TestABodyThatDripsIsCutOffAndASteadyOneIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, http.HandlerFunc(readBody), nil, Hooks{})
		send := func(each int, total int) (string, time.Duration) {
			c := b.ln.dial()
			defer c.Close()
			began := time.Now()
			go func() {
				fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", total)
				for sent := 0; sent < total; sent += each {
					time.Sleep(time.Second)
					if _, err := c.Write(bytes.Repeat([]byte("x"), each)); err != nil {
						return
					}
				}
			}()
			out, _ := io.ReadAll(c)
			return string(out), time.Since(began)
		}
		if out, took := send(1, 10000); !strings.HasPrefix(out, "HTTP/1.1 408 ") || took > time.Minute {
			t.Errorf("one byte a second: %q after %v", out, took)
		}
		if out, took := send(8<<10, 8<<20); !strings.HasPrefix(out, "HTTP/1.1 200 ") || took < 1000*time.Second {
			t.Errorf("8 KiB a second for 1024 s: %q after %v", out, took)
		}
	})
}

func TestTimeTheHandlerTakesIsNotCountedAgainstTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Minute)
			readBody(w, r)
		})
		b := start(t, Config{}, h, nil, Hooks{})
		out := b.exchange("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc")
		if !strings.HasPrefix(out, "HTTP/1.1 200 ") || !strings.HasSuffix(out, "\r\n\r\n3") {
			t.Errorf("answer %q", out)
		}
	})
}

func TestABodyNobodyReadsCannotHoldTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }), nil, Hooks{})
		began := time.Now()
		out := b.exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
		if !strings.HasPrefix(out, "HTTP/1.1 401 ") || time.Since(began) > time.Minute {
			t.Errorf("answer %q after %v", out, time.Since(began))
		}
	})
}

// net/http reads a rest of the body before it sends the answer: the time for that must not come out of the time for
// the answer.
func TestAnAnswerGivenBeforeTheBodysEndArrives(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"and nothing read": func(w http.ResponseWriter, r *http.Request) { WriteJSON(w, 401, 1) },
		"and a little read afterwards": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(401)
			time.Sleep(5 * time.Second)
			r.Body.Read(make([]byte, 2))
		},
		"and nothing written but a header, long ago": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(401)
			time.Sleep(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, Config{}, h, nil, Hooks{})
				began := time.Now()
				out := b.exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
				if !strings.HasPrefix(out, "HTTP/1.1 401 ") || time.Since(began) > 2*time.Minute {
					t.Errorf("answer %q after %v", out, time.Since(began))
				}
			})
		})
	}
}

func TestAHeaderThatDripsAndAnIdleConnectionEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, http.HandlerFunc(readBody), nil, Hooks{})
		began := time.Now()
		b.exchange("GET / HTTP/1.1\r\nHost")
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("half a header held the connection for %v", took)
		}
		began = time.Now()
		out := b.exchange("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if took := time.Since(began); !strings.HasPrefix(out, "HTTP/1.1 200 ") || took < 119*time.Second || took > 121*time.Second {
			t.Errorf("idle for %v after %q", took, out)
		}
	})
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 64<<10))
			}
			failed <- err
		})
		b := start(t, Config{}, h, nil, Hooks{})
		c := b.ln.dial()
		defer c.Close()
		began := time.Now()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		<-failed
		if took := time.Since(began); took > 21*time.Second {
			t.Errorf("written to for %v", took)
		}
	})
}

func TestAWriteDeadlineOfOneRequestDoesNotReachTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, http.HandlerFunc(readBody), nil, Hooks{})
		c := b.ln.dial()
		defer c.Close()
		r := bufio.NewReader(c)
		for i := range 3 {
			go io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
			line, err := r.ReadString('\n')
			if err != nil || !strings.Contains(line, "100") {
				t.Fatalf("round %d: %q, %v", i, line, err)
			}
			r.ReadString('\n')
			go io.WriteString(c, "ab")
			res, err := http.ReadResponse(r, nil)
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("round %d: %v", i, err)
			}
			io.Copy(io.Discard, res.Body)
			time.Sleep(90 * time.Second)
		}
	})
}

func TestHeaderBombsAndJunkAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, http.HandlerFunc(readBody), nil, Hooks{})
		for _, row := range []struct{ name, raw, want string }{
			{"one huge header", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", "HTTP/1.1 431 "},
			{"many headers", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 100000) + "\r\n", "HTTP/1.1 431 "},
			{"junk", "\x00\x01\x02\r\n\r\n", "HTTP/1.1 400 "},
			{"no host", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
			{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 400 "},
			{"bad chunk", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 "},
			{"unknown transfer coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: br\r\n\r\n", "HTTP/1.1 501 "},
		} {
			if out := b.exchange(row.raw); !strings.HasPrefix(out, row.want) {
				t.Errorf("%s: %.80q, want %q", row.name, out, row.want)
			}
		}
		out := b.exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nabJUNK JUNK\r\n\r\n")
		if !strings.HasPrefix(out, "HTTP/1.1 200 ") || !strings.Contains(out, "HTTP/1.1 400 ") {
			t.Errorf("pipelined junk: %q", out)
		}
	})
}

// A proxy that goes by the length where we go by the chunks would take what follows for another client's request.
func TestWhatFollowsAnAmbiguousBodyOfAProxyIsNobodysRequest(t *testing.T) {
	const next = "GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for name, raw := range map[string]string{
		"length and chunks":               "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 91\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next,
		"chunks that HTTP/1.0 has not":    "POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next,
		"length, chunks and an own close": "POST / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + next,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, http.HandlerFunc(readBody), nil, Hooks{})
			b.ln.peer = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9}
			if out := b.exchange(raw); strings.Count(out, "HTTP/1.") != 1 || !strings.Contains(out, " 200 OK") {
				t.Errorf("%s: %q", name, out)
			}
		})
	}
}

func TestStopLetsRequestsFinishAndTurnsReadinessOffFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probes := NewProbes()
		enter, leave := make(chan struct{}), make(chan struct{})
		mux := http.NewServeMux()
		probes.Register(mux)
		mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
			close(enter)
			<-leave
			fmt.Fprint(w, "done")
		})
		b := start(t, Config{DrainDelay: 5 * time.Second}, mux, probes, Hooks{})
		slow := make(chan string)
		go func() { slow <- b.exchange("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n") }()
		<-enter
		stopped := make(chan error)
		go func() { stopped <- b.stop() }()
		synctest.Wait()
		if out := b.exchange("GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(out, "HTTP/1.1 503 ") {
			t.Errorf("ready while stopping: %q", out)
		}
		time.Sleep(10 * time.Second)
		select {
		case err := <-stopped:
			t.Fatalf("stopped with a request running: %v", err)
		default:
		}
		close(leave)
		if out := <-slow; !strings.HasSuffix(out, "done") {
			t.Errorf("the running request got %q", out)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func TestStopCutsOffWhatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enter := make(chan struct{})
		b := start(t, Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(enter)
			<-r.Context().Done()
		}), nil, Hooks{})
		go b.exchange("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		<-enter
		began := time.Now()
		if err := b.stop(); !fault.Is(err, fault.Unavailable) || time.Since(began) < 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func handle(cfg Config, h http.HandlerFunc, r *http.Request) (*httptest.ResponseRecorder, string) {
	var logs bytes.Buffer
	w := httptest.NewRecorder()
	func() {
		defer func() { recover() }()
		guard(cfg.withDefaults(), h, slog.New(slog.NewTextHandler(&logs, nil)), Hooks{}).ServeHTTP(w, r)
	}()
	return w, logs.String()
}

func problem(t *testing.T, w *httptest.ResponseRecorder) Problem {
	t.Helper()
	var out struct{ Error Problem }
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%v in %q", err, w.Body)
	}
	return out.Error
}

func TestErrorsBecomeAnswers(t *testing.T) {
	for _, row := range fault.Table {
		e := fault.New(row.Code, "op", "A sentence.").WithHint("A hint.").WithCause(errors.New("inner secret"))
		e.Fields = []fault.Problem{{Field: "f", Code: "c", Message: "m"}}
		w, logs := handle(Config{}, func(w http.ResponseWriter, r *http.Request) { WriteError(w, r, fault.Wrap(e, "outer")) }, httptest.NewRequest("GET", "/", nil))
		p := problem(t, w)
		hidden := row.Code == fault.Internal || row.Code == fault.Corrupt
		if w.Code != row.HTTP || p.Code != string(row.Code) || p.RequestID == "" || p.RequestID != w.Header().Get(RequestIDHeader) {
			t.Errorf("%s: %d %+v", row.Code, w.Code, p)
		}
		if hidden != (p.Message != "A sentence.") || hidden != (p.Hint == "") || hidden != (len(p.Fields) == 0) {
			t.Errorf("%s: %+v", row.Code, p)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: the cause got out: %s", row.Code, w.Body)
		}
		if (row.HTTP >= 500) != strings.Contains(logs, "inner secret") {
			t.Errorf("%s: logged %q", row.Code, logs)
		}
		later := row.Code == fault.RateLimited || row.Code == fault.Unavailable
		if later != (w.Header().Get("Retry-After") == "1") {
			t.Errorf("%s: Retry-After %q", row.Code, w.Header().Get("Retry-After"))
		}
	}
	w, _ := handle(Config{}, func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, r, fault.New(fault.Unavailable, "", "x").WithRetry(2500*time.Millisecond))
	}, httptest.NewRequest("GET", "/", nil))
	if got := w.Header().Get("Retry-After"); got != "3" {
		t.Errorf("Retry-After %q, want whole seconds rounded up", got)
	}
}

func TestAForeignErrorShowsNothing(t *testing.T) {
	w, logs := handle(Config{}, func(w http.ResponseWriter, r *http.Request) { WriteError(w, r, errors.New("dsn=secret")) }, httptest.NewRequest("GET", "/", nil))
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret") || !strings.Contains(logs, "dsn=secret") {
		t.Errorf("%d %s, logged %q", w.Code, w.Body, logs)
	}
}

func TestAPanicIsAnAnswerOnceAndABrokenConnectionAfterHalfOfOne(t *testing.T) {
	w, logs := handle(Config{}, func(http.ResponseWriter, *http.Request) { panic("boom") }, httptest.NewRequest("GET", "/x", nil))
	if p := problem(t, w); w.Code != 500 || p.Code != "internal" || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(logs, "boom") || !strings.Contains(logs, "httpd_test.go") {
		t.Errorf("no stack in %q", logs)
	}
	var again any
	func() {
		defer func() { again = recover() }()
		guard(Config{}.withDefaults(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			panic("boom")
		}), slog.New(slog.DiscardHandler), Hooks{}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}()
	if again != http.ErrAbortHandler {
		t.Errorf("half an answer ended with %v", again)
	}
}

func TestClientAddress(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, row := range []struct {
		name, peer string
		xff        []string
		want       string
	}{
		{"no proxy", "192.0.2.1:5", nil, "192.0.2.1"},
		{"a stranger's header is not believed", "192.0.2.1:5", []string{"8.8.8.8"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1:5", []string{"8.8.8.8"}, "8.8.8.8"},
		{"what the client wrote before the proxy is not believed", "10.0.0.1:5", []string{"1.1.1.1, 8.8.8.8"}, "8.8.8.8"},
		{"two proxies, two lines", "10.0.0.1:5", []string{"1.1.1.1, 8.8.8.8", "10.9.9.9"}, "8.8.8.8"},
		{"only proxies", "10.0.0.1:5", []string{"10.0.0.2"}, "10.0.0.2"},
		{"junk ends the chain", "10.0.0.1:5", []string{"8.8.8.8, junk, 10.0.0.3"}, "10.0.0.3"},
		{"no header", "10.0.0.1:5", nil, "10.0.0.1"},
		{"version 6", "[::1]:5", []string{"[2001:db8::7]:99"}, "2001:db8::7"},
		{"version 4 in 6", "[::ffff:10.0.0.1]:5", []string{"8.8.8.8:99"}, "8.8.8.8"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = row.peer
		r.Header["X-Forwarded-For"] = row.xff
		var got netip.Addr
		handle(Config{TrustedProxies: proxies}, func(w http.ResponseWriter, r *http.Request) { got = ClientAddr(r) }, r)
		if got.String() != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

func TestRequestIDsComeFromTrustedProxiesOnly(t *testing.T) {
	send := func(id string, trusted bool) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(RequestIDHeader, id)
		cfg := Config{}
		if trusted {
			cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		}
		w, _ := handle(cfg, NotFound, r)
		return w.Header().Get(RequestIDHeader)
	}
	if got := send("abc-1", true); got != "abc-1" {
		t.Errorf("a proxy's id became %q", got)
	}
	for _, id := range []string{"", "a b", "a\x7f", strings.Repeat("x", 200)} {
		if got := send(id, true); len(got) != 24 {
			t.Errorf("%q became %q", id, got)
		}
	}
	if a, b := send("abc-1", false), send("abc-1", false); a == "abc-1" || a == b || len(a) != 24 {
		t.Errorf("a stranger's id became %q and %q", a, b)
	}
}

func TestBearer(t *testing.T) {
	for in, want := range map[string]string{"": "", "Bearer abc": "abc", "bearer  abc ": "abc", "Basic abc": "", "Bearer": "", "Bearerabc": "", "Bearer ": ""} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", in)
		if got := Bearer(r); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

func TestProbes(t *testing.T) {
	var down error
	p := NewProbes(Check{"log", func(context.Context) error { return down }}, Check{"database", func(context.Context) error { return nil }})
	mux := http.NewServeMux()
	p.Register(mux)
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	if code, body := get("/readyz"); code != 200 || body != `{"ready":true,"checks":[{"name":"log","ok":true},{"name":"database","ok":true}]}`+"\n" {
		t.Errorf("%d %s", code, body)
	}
	down = fault.New(fault.Corrupt, "", "Segment 7 is damaged at 4096.").WithHint("Run log check.").WithCause(errors.New("secret"))
	code, body := get("/readyz")
	if code != 503 || !strings.Contains(body, `{"name":"log","ok":false,"error":"Segment 7 is damaged at 4096.","hint":"Run log check."}`) || strings.Contains(body, "secret") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := get("/healthz"); code != 200 {
		t.Errorf("healthz %d", code)
	}
	down = nil
	p.Drain()
	if code, body := get("/readyz"); code != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("%d %s", code, body)
	}
}

func TestMetricsStandOnTheOperatorsAddress(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_test_total", Help: "x"})
	reg.MustRegister(c)
	c.Add(3)
	h := Operation(reg, nil)
	for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/other": 404} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
		if path == "/metrics" && !strings.Contains(w.Body.String(), "millrace_test_total 3") {
			t.Errorf("metrics:\n%s", w.Body)
		}
	}
}

func TestSecurityHeadersAndTheHookAndTheAccessLog(t *testing.T) {
	var logs bytes.Buffer
	var pattern string
	var status int
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a/{id}", func(w http.ResponseWriter, r *http.Request) {})
	h := guard(Config{AccessLog: true}.withDefaults(), mux, slog.New(slog.NewTextHandler(&logs, nil)), Hooks{
		OnRequest: func(p string, s int, _ time.Duration) { pattern, status = p, s },
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/a/7?token=secret", strings.NewReader("payload")))
	if pattern != "GET /a/{id}" || status != 200 {
		t.Errorf("hook got %q %d", pattern, status)
	}
	for _, k := range []string{"X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options", "Content-Security-Policy", "Cache-Control",
		"Permissions-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy"} {
		if w.Header().Get(k) == "" {
			t.Errorf("no %s", k)
		}
	}
	if l := logs.String(); !strings.Contains(l, "path=/a/7") || strings.Contains(l, "secret") || strings.Contains(l, "payload") {
		t.Errorf("logged %q", l)
	}
}

func TestAHandlerMaySetItsOwnHeadersOverTheGuards(t *testing.T) {
	const own = "default-src 'self'"
	w, _ := handle(Config{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", own)
		w.Header().Set("Cache-Control", "max-age=60")
	}, httptest.NewRequest("GET", "/", nil))
	if h := w.Header(); len(h["Content-Security-Policy"]) != 1 || h.Get("Content-Security-Policy") != own || h.Get("Cache-Control") != "max-age=60" {
		t.Errorf("%v", w.Header())
	}
	w, _ = handle(Config{}, NotFound, httptest.NewRequest("GET", "/", nil))
	if got := w.Header().Get("Content-Security-Policy"); got == own || got == "" {
		t.Errorf("one answer's header is another's default: %q", got)
	}
}

func TestALinkThatWorksOnceIsNotLogged(t *testing.T) {
	const token = "mt_0123456789abcdef"
	for path, shown := range map[string]string{
		"/invitations/" + token:              "/invitations/…",
		"/password/" + token:                 "/password/…",
		"/start/" + token + "/":              "/start/…",
		"/exports/" + token + "/part-1.csv":  "/exports/…",
		"//invitations/" + token:             "/invitations/…",
		"/x/../Invitations/./" + token:       "/Invitations/…",
		"/%69nvitations/" + token:            "/invitations/…",
		"/password":                          "/password",
		"/passwords/7":                       "/passwords/7",
		"/api/v1/workspaces/1/invitations/7": "/api/v1/workspaces/1/invitations/7",
	} {
		for what, h := range map[string]http.HandlerFunc{
			"an answer": func(http.ResponseWriter, *http.Request) {},
			"an error":  func(w http.ResponseWriter, r *http.Request) { WriteError(w, r, fault.New(fault.Internal, "x", "y")) },
			"a panic":   func(http.ResponseWriter, *http.Request) { panic("boom") },
		} {
			_, logs := handle(Config{AccessLog: true}, h, httptest.NewRequest("GET", path, nil))
			if strings.Contains(logs, token) || !strings.Contains(logs, "path="+shown+" ") {
				t.Errorf("%s at %s is logged as\n%s", what, path, logs)
			}
		}
	}
}

func TestAProbeThatIsNotReadyIsNoWarning(t *testing.T) {
	var logs bytes.Buffer
	mux := http.NewServeMux()
	NewProbes(Check{"log", func(context.Context) error { return errors.New("not mine yet") }}).Register(mux)
	mux.HandleFunc("GET /broken", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	h := guard(Config{}.withDefaults(), mux, slog.New(slog.NewTextHandler(&logs, nil)), Hooks{})
	for _, path := range []string{"/readyz", "/broken"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 503 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if l := logs.String(); strings.Contains(l, "/readyz") || strings.Count(l, "level=WARN") != 1 {
		t.Errorf("logged %q", l)
	}
}

func TestAnAddressThatIsTakenIsRefusedWithWhatToDo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	at := ln.Addr().String()
	_, err = Open(Config{Listen: at}, http.HandlerFunc(NotFound), nil, slog.New(slog.DiscardHandler), Hooks{})
	if !fault.Is(err, fault.Unavailable) || !strings.HasPrefix(err.Error(), "listen on "+at+": the address cannot be listened on: listen tcp") || !strings.Contains(fault.HintOf(err), "--listen") {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
}
