package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/dial"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/secret"
)

// received is one call as a receiver got it.
type received struct {
	at                       time.Time
	id, timestamp, signature string
	path                     string
	body                     []byte
}

// receiver is a webhook's other end.
type receiver struct {
	mu     sync.Mutex
	calls  []received
	status int // 0: 204
	header http.Header
	answer string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, received{time.Now(), req.Header.Get("Millrace-Id"), req.Header.Get("Millrace-Timestamp"), req.Header.Get("Millrace-Signature"), req.URL.Path, b})
	for k, v := range r.header {
		w.Header()[k] = v
	}
	if r.status == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.WriteHeader(r.status)
	io.WriteString(w, r.answer)
}

func (r *receiver) got() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.calls...)
}

func (r *receiver) set(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// pipes is a network inside the test: one server, reached over net.Pipe, so that time can be synctest's.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	down  bool
	dials int
	mu    sync.Mutex
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "10.0.0.1:80" }

// insideConn says that it leads to a private address.
type insideConn struct{ net.Conn }

func (insideConn) RemoteAddr() net.Addr { return pipeAddr{} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.mu.Lock()
	p.dials++
	down := p.down
	p.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	a, b := net.Pipe()
	select {
	case p.conns <- b:
		return insideConn{a}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// listen serves h inside the test.
func listen(t *testing.T, h http.Handler) *pipes {
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: h}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = srv.Serve(p) }()
	t.Cleanup(func() { _ = srv.Close(); <-ended })
	return p
}

func hook(id int64, url string, kinds ...control.NoticeKind) control.Webhook {
	return control.Webhook{ID: id, Workspace: 1, URL: url, Secret: secret.New("whsec-of-the-test"), Kinds: kinds}
}

func TestACallIsSignedAndSaysEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, r := newMemStore(), &receiver{}
		net := listen(t, r)
		st.hooks[1] = []control.Webhook{hook(7, "http://receiver.test/millrace?token=x")}
		st.hours["0123456789abcdef01234567"] = control.HourDone{
			Hour: eventlog.HourOf(noon), Counts: []control.HourCount{{EventType: "users.messages.email.Open", Accepted: 12, Delivered: 10, Dropped: 2}},
		}
		st.add(control.Notice{
			Workspace: 1, Connector: "0123456789abcdef01234567", Kind: control.NoticeHourComplete, Episode: "2026-11-22-12", At: noon.Add(time.Hour),
			Params: map[string]string{"workspace": "acme", "connector": "ware & <house>", "hour": "2026-11-22T12:00:00Z", "delivered": "10", "dropped": "2"},
		})
		start(t, st, nil, func(_ *Config, d *Deps) { d.Dial = net.dial })
		time.Sleep(time.Second)

		calls := r.got()
		if len(calls) != 1 {
			t.Fatalf("%d calls", len(calls))
		}
		c := calls[0]
		if c.id != "prod-01-1" || c.timestamp != strconv.FormatInt(c.at.Unix(), 10) {
			t.Errorf("id %q, timestamp %q at %d", c.id, c.timestamp, c.at.Unix())
		}
		h := hmac.New(sha256.New, []byte("whsec-of-the-test"))
		fmt.Fprintf(h, "%s.%s.%s", c.id, c.timestamp, c.body)
		if want := "v1=" + hex.EncodeToString(h.Sum(nil)); c.signature != want {
			t.Errorf("signature %s, want %s", c.signature, want)
		}
		header := http.Header{"Millrace-Id": {c.id}, "Millrace-Timestamp": {c.timestamp}, "Millrace-Signature": {c.signature}}
		if !verify([]byte("whsec-of-the-test"), header, c.body, c.at) {
			t.Error("the guide's verifier refuses it")
		}
		want := `{"id":"prod-01-1","kind":"hour_complete","workspace":"acme","connector":"ware & <house>","connector_id":"0123456789abcdef01234567",` +
			`"episode":"2026-11-22-12","at":"2026-11-22T13:00:00.000Z","params":{"delivered":"10","dropped":"2","hour":"2026-11-22T12:00:00Z"},` +
			`"counts":[{"event_type":"users.messages.email.Open","accepted":12,"delivered":10,"dropped":2}],` +
			`"text":"The hour 22 November 2026, 12:00 UTC of the Current “ware & <house>” is complete: 10 delivered, 2 dropped."}`
		if string(c.body) != want {
			t.Errorf("body\n%s\nwant\n%s", c.body, want)
		}
		if s := st.all()[0]; s.Done.IsZero() || s.Tries != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestKindsChooseWebhooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, r := newMemStore(), &receiver{}
		net := listen(t, r)
		st.hooks[1] = []control.Webhook{
			hook(1, "http://receiver.test/all"), hook(2, "http://receiver.test/hours", control.NoticeHourComplete),
			hook(3, "http://receiver.test/failing", control.NoticeFailing, control.NoticeDropped),
		}
		st.hooks[2] = []control.Webhook{hook(4, "http://receiver.test/other")}
		st.add(failing(1, "w"))
		start(t, st, nil, func(_ *Config, d *Deps) { d.Dial = net.dial })
		time.Sleep(time.Minute)
		paths := map[string]int{}
		for _, c := range r.got() {
			paths[c.path]++
		}
		if len(paths) != 2 || paths["/all"] != 1 || paths["/failing"] != 1 {
			t.Errorf("%v", paths)
		}
	})
}

func TestACallIsTriedAgainUntilItIsTaken(t *testing.T) {
	for _, status := range []int{500, 503, 404, 302, 401, 429} {
		synctest.Test(t, func(t *testing.T) {
			st, r := newMemStore(), &receiver{status: status, header: http.Header{"Location": {"http://metadata.test/"}}, answer: strings.Repeat("x", 1<<20)}
			net := listen(t, r)
			st.hooks[1] = []control.Webhook{hook(1, "http://receiver.test/millrace")}
			st.add(failing(1, "w"))
			start(t, st, nil, func(_ *Config, d *Deps) { d.Dial = net.dial })
			time.Sleep(2 * time.Hour)
			r.set(0)
			time.Sleep(2 * time.Hour)
			calls := r.got()
			if len(calls) < 5 || len(calls) > 12 {
				t.Errorf("%d: %d calls in four hours", status, len(calls))
			}
			for i, c := range calls {
				if c.path != "/millrace" {
					t.Errorf("%d: a redirect was followed to %s", status, c.path)
				}
				if c.id != calls[0].id || !bytes.Equal(c.body, calls[0].body) {
					t.Errorf("%d: try %d is another message", status, i)
				}
				if c.signature != Sign("whsec-of-the-test", c.id, c.timestamp, c.body) {
					t.Errorf("%d: try %d is not signed for its own time", status, i)
				}
				if i > 0 && c.timestamp == calls[i-1].timestamp {
					t.Errorf("%d: try %d has the time of the one before", status, i)
				}
			}
			s := st.all()[0]
			if s.Done.IsZero() || s.Failed != "" {
				t.Errorf("%d: %+v", status, s)
			}
		})
	}
}

func TestGoneAndDeletedEndAtOnceAndADayEndsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, gone := newMemStore(), &receiver{status: http.StatusGone, answer: "the customer's own words"}
		net := listen(t, gone)
		st.hooks[1] = []control.Webhook{hook(1, "http://receiver.test/gone")}
		st.add(failing(1, "w"))
		_, log, stop := start(t, st, nil, func(_ *Config, d *Deps) { d.Dial = net.dial })
		time.Sleep(time.Minute)
		if s := st.all()[0]; s.Failed == "" || s.Tries != 1 || strings.Contains(s.Failed+log.String(), "own words") {
			t.Errorf("410: %+v", s)
		}
		stop()

		// A webhook that is deleted between planning and calling.
		st.mu.Lock()
		st.hooks[1] = nil
		st.sends = append(st.sends, control.Send{ID: 2, Notices: []int64{1}, Channel: control.ChannelWebhook, Webhook: 1, NextTry: time.Now()})
		st.mu.Unlock()
		_, _, stop = start(t, st, nil, func(_ *Config, d *Deps) { d.Dial = net.dial })
		time.Sleep(time.Minute)
		if s := st.all()[1]; s.Failed != "the webhook was deleted" {
			t.Errorf("deleted: %+v", s)
		}
		stop()
		if len(gone.got()) != 1 {
			t.Errorf("%d calls", len(gone.got()))
		}

		// One that is never there.
		net.mu.Lock()
		net.down = true
		net.mu.Unlock()
		st.hooks[1] = []control.Webhook{hook(1, "http://receiver.test/gone")}
		n := failing(1, "w")
		n.Episode = "2"
		st.add(n)
		start(t, st, nil, func(_ *Config, d *Deps) { d.Dial = net.dial })
		time.Sleep(26 * time.Hour)
		if s := st.all()[2]; !strings.Contains(s.Failed, "connection refused") || strings.Contains(s.Failed, "/gone") {
			t.Errorf("never there: %+v", s)
		}
	})
}

// 300 messages for a receiver that is down cost one call a round, not 300 time-outs, and the healthy one beside it waits
// for none of them.
func TestAReceiverThatIsDownSlowsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		slow := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			select {
			case <-hang:
			case <-req.Context().Done():
			}
		})
		good := &receiver{}
		a, b := listen(t, slow), listen(t, good)
		st := newMemStore()
		st.hooks[1] = []control.Webhook{hook(1, "http://slow.test/")}
		st.hooks[2] = []control.Webhook{hook(2, "http://good.test/")}
		for i := range 300 {
			n := failing(1, fmt.Sprint("c", i))
			st.add(n)
			n.Workspace = 2
			st.add(n)
		}
		start(t, st, nil, func(_ *Config, d *Deps) {
			d.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if strings.HasPrefix(address, "slow") {
					return a.dial(ctx, network, address)
				}
				return b.dial(ctx, network, address)
			}
		})
		time.Sleep(5 * time.Second)
		if n := len(good.got()); n != 300 {
			t.Errorf("the healthy receiver got %d of 300 calls in 5 seconds", n)
		}
		time.Sleep(10 * time.Minute)
		a.mu.Lock()
		if a.dials > 10 {
			t.Errorf("%d connections to the receiver that hangs", a.dials)
		}
		a.mu.Unlock()
		for _, s := range st.all() {
			if s.Webhook == 1 && (s.Tries == 0 || s.FirstTry.IsZero()) {
				t.Fatalf("not counted as tried: %+v", s)
			}
		}
		close(hang)
	})
}

func TestAddressesInsideAreRefused(t *testing.T) {
	r := &receiver{}
	srv := httptest.NewServer(r)
	defer srv.Close()
	n, err := New(Config{}, Deps{Store: newMemStore(), Dial: dial.New(nil).DialContext, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{srv.URL, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), strings.Replace(srv.URL, "http:", "https:", 1)} {
		out := n.post(t.Context(), hook(1, url), "id", []byte("{}"))
		var no *dial.Forbidden
		if !errors.As(out.err, &no) || out.final {
			t.Errorf("%s: %v", url, out.err)
		}
	}
	if len(r.got()) != 0 {
		t.Error("a call arrived")
	}
}

func TestWithoutTLSOnlyInsideAllowedNetworks(t *testing.T) {
	r := &receiver{}
	srv := httptest.NewServer(r)
	defer srv.Close()
	allowed := dial.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	n, err := New(Config{}, Deps{Store: newMemStore(), Dial: allowed.DialContext, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if out := n.post(t.Context(), hook(1, srv.URL), "id", []byte("{}")); out.err != nil {
		t.Errorf("an allowed address inside: %v", out.err)
	}
	// The same server at what looks like a public address.
	n.https, n.http = webhookClients(func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := allowed.DialContext(ctx, network, srv.Listener.Addr().String())
		return publicConn{c}, err
	}, nil)
	if out := n.post(t.Context(), hook(1, "http://receiver.test/"), "id", []byte("{}")); !errors.Is(out.err, errClear) {
		t.Errorf("a public address: %v", out.err)
	}
	if len(r.got()) != 1 {
		t.Errorf("%d calls arrived, want the allowed one", len(r.got()))
	}
}

// What a call failed of is read by customers: it tells them neither of the operator's resolver and addresses, nor which names
// mean something inside.
func TestAFailedCallTellsNothingOfTheInside(t *testing.T) {
	lookup := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "receiver.test", Server: "10.255.255.53:53", IsNotFound: true}}
	reset := &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 40000}, Addr: &net.TCPAddr{IP: net.IPv4(8, 8, 8, 8), Port: 443}, Err: syscall.ECONNRESET}
	said := func(err error) string {
		n, _ := New(Config{}, Deps{Store: newMemStore(), Logger: slog.New(slog.DiscardHandler),
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, err }})
		out := n.post(t.Context(), hook(1, "https://receiver.test/secret"), "id", []byte("{}"))
		if out.err == nil || !out.down || !errors.Is(out.err, err) {
			t.Fatalf("%v: got %+v", err, out)
		}
		return out.err.Error()
	}
	unknown, inside := said(lookup), said(&dial.Forbidden{Addr: netip.MustParseAddr("10.1.2.3")})
	if unknown != inside || !strings.Contains(unknown, "receiver.test") || !strings.Contains(unknown, dial.Setting) {
		t.Errorf("no such name: %s\nan inner name: %s", unknown, inside)
	}
	if got := said(&net.DNSError{Err: "server misbehaving", Name: "receiver.test", Server: "10.255.255.53:53", IsTemporary: true}); got != "call receiver.test: its name cannot be looked up just now" {
		t.Errorf("got %s", got)
	}
	if got := said(reset); got != "call receiver.test: connection reset by peer" {
		t.Errorf("got %s", got)
	}
}

type publicConn struct{ net.Conn }

func (publicConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(8, 8, 8, 8), Port: 80} }

func TestTLSOfTheReceiverIsChecked(t *testing.T) {
	r := &receiver{}
	srv := httptest.NewTLSServer(r)
	defer srv.Close()
	srv.Config.ErrorLog = nil
	allowed := dial.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	for _, row := range []struct {
		name  string
		roots *x509.CertPool
		want  bool
	}{
		{"vouched for", srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, true},
		{"by nobody", x509.NewCertPool(), false},
	} {
		n, err := New(Config{Roots: row.roots}, Deps{Store: newMemStore(), Dial: allowed.DialContext, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		out := n.post(t.Context(), hook(1, srv.URL), "id", []byte("{}"))
		var no *tls.CertificateVerificationError
		if (out.err == nil) != row.want || !row.want && !errors.As(out.err, &no) {
			t.Errorf("%s: %v", row.name, out.err)
		}
		n.https.CloseIdleConnections()
	}
}

func TestTheBodyIsJSONWhateverItNames(t *testing.T) {
	st := newMemStore()
	n, err := New(Config{Installation: "prod.01/ä"}, Deps{Store: st, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	notice := failing(1, "w")
	notice.Params["connector"] = "\"\\\x00\xff\u2028</script>"
	id := n.messageOf(control.Send{ID: 3})
	if strings.ContainsAny(id, "./") || !strings.HasSuffix(id, "-3") {
		t.Errorf("id %q", id)
	}
	b, err := n.body(t.Context(), notice, id)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(b, &back); err != nil {
		t.Errorf("%v: %s", err, b)
	}
	if _, ok := back["params"].(map[string]any)["workspace"]; ok {
		t.Error("params repeats the workspace")
	}
}
