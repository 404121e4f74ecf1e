package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// mishap is what happens to one request on its way between the server and its store.
type mishap string

// The mishaps. "Stored" says whether the request had its effect in the store.
const (
	none mishap = ""

	internalError mishap = "500"                        // not stored
	slowDown      mishap = "503 SlowDown"               // not stored
	errorIn200    mishap = "200 with an error inside"   // not stored
	conflict      mishap = "409"                        // not stored
	denied        mishap = "403"                        // not stored
	expiredToken  mishap = "expired token"              // not stored
	wrongRegion   mishap = "wrong region"               // not stored
	skewedClock   mishap = "skewed clock"               // not stored
	resetBefore   mishap = "reset before the body"      // half of the body was read; not stored
	resetAfter    mishap = "reset after the body"       // stored
	stall         mishap = "stall"                      // never answered; not stored
	lostAnswer    mishap = "success, the answer lost"   // never answered; stored
	lateArrival   mishap = "success, after giving up"   // never answered; stored once the caller has gone
	cutAnswer     mishap = "answer cut short"           // stored; the body of a GET ends in its middle
	slowBytes     mishap = "slow by bytes"              // read at slowRate; stored
	slowAnswer    mishap = "answer that comes by drops" // stored; every byte of the head apart
)

// everyMishap is what a random proxy chooses from.
var everyMishap = []mishap{
	internalError, slowDown, errorIn200, conflict, denied, expiredToken, wrongRegion, skewedClock, resetBefore,
	resetAfter, stall, lostAnswer, lateArrival, cutAnswer, slowBytes, slowAnswer,
}

// slowRate is how many bytes of a body a slow proxy reads in a second.
const slowRate = 1 << 20

// proxy stands between the server and its S3 server, and lets choose decide what happens to each request. Requests
// are handed on as they came, signature and host included.
//
// It also watches what crosses the wire: writes that are not create-only, and keys that the store said it had
// written twice.
type proxy struct {
	*httptest.Server
	store *http.Transport
	to    *url.URL

	mu       sync.Mutex
	choose   func(r *http.Request) mishap
	done     map[mishap]int
	written  map[string]int // path → answers of 200 to its PUTs
	careless []string       // PUTs of files that could have overwritten something
	waiting  sync.WaitGroup // requests that go on after their caller has gone
}

// startProxy starts a proxy in front of the store at endpoint that lets everything through.
func startProxy(t *testing.T, endpoint string) *proxy {
	t.Helper()
	to, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{
		to: to, choose: func(*http.Request) mishap { return none }, done: map[mishap]int{}, written: map[string]int{},
		store: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
	}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.CloseClientConnections() // lets go of those that stall
		p.Close()
		p.waiting.Wait()
		p.store.CloseIdleConnections()
	})
	return p
}

// set replaces what decides. It is called for one request at a time.
func (p *proxy) set(choose func(r *http.Request) mishap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choose = choose
}

// calm lets everything through from now on.
func (p *proxy) calm() { p.set(func(*http.Request) mishap { return none }) }

// happened gives how often each mishap was done.
func (p *proxy) happened() map[mishap]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.done)
}

// report fails the test for writes that the promises forbid.
func (p *proxy) report(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.careless {
		t.Errorf("objects never change: a PUT of %s was not create-only", k)
	}
	for k, n := range p.written {
		if n > 1 {
			t.Errorf("objects never change: the store wrote %s %d times", k, n)
		}
	}
}

func (p *proxy) decide(r *http.Request) mishap {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".avro") && r.Header.Get("If-None-Match") != "*" {
		p.careless = append(p.careless, r.URL.Path)
	}
	m := p.choose(r)
	if m != none {
		p.done[m]++
	}
	return m
}

// refusals are answers in the store's place. Source: Amazon S3 API reference, list of error codes.
var refusals = map[mishap]struct {
	status int
	code   string
	more   string // of the XML
}{
	internalError: {500, "InternalError", ""},
	slowDown:      {503, "SlowDown", ""},
	errorIn200:    {200, "InternalError", ""},
	conflict:      {409, "ConditionalRequestConflict", ""},
	denied:        {403, "AccessDenied", ""},
	expiredToken:  {400, "ExpiredToken", ""},
	wrongRegion:   {301, "PermanentRedirect", "<Region>eu-central-1</Region>"},
	skewedClock:   {403, "RequestTimeTooSkewed", ""},
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := p.decide(r)
	if a, ok := refusals[m]; ok && !(m == errorIn200 && r.Method == http.MethodHead) {
		// As from the store itself: before the body was taken.
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(a.status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n<Error><Code>%s</Code><Message>by the proxy</Message>%s</Error>", a.code, a.more)
		}
		return
	}
	var body []byte
	var err error
	switch m {
	case resetBefore:
		io.CopyN(io.Discard, r.Body, r.ContentLength/2) // what breaks off here breaks off below
		reset(w)
		return
	case slowBytes:
		body, err = readSlowly(r.Body)
	default:
		body, err = io.ReadAll(r.Body)
	}
	if err != nil {
		return // the caller has gone
	}
	gone := r.Context().Done()
	switch m {
	case stall:
		<-gone
		return
	case lateArrival:
		p.waiting.Add(1)
		defer p.waiting.Done()
		<-gone
		time.Sleep(100 * time.Millisecond) // its repetition may come first
		if res, err := p.pass(context.Background(), r, body); err == nil {
			res.Body.Close()
		}
		return
	}
	// What has begun goes on in the store, whether or not somebody waits.
	res, err := p.pass(context.WithoutCancel(r.Context()), r, body)
	if err != nil {
		reset(w)
		return
	}
	defer res.Body.Close()
	switch m {
	case resetAfter:
		reset(w)
	case lostAnswer:
		<-gone
	case cutAnswer:
		if r.Method == http.MethodHead {
			reset(w) // it has nothing but its head
			return
		}
		b, _ := io.ReadAll(res.Body) // shorter still, if it breaks off
		maps.Copy(w.Header(), res.Header)
		w.Header().Set("Content-Length", fmt.Sprint(len(b)+1))
		w.WriteHeader(res.StatusCode)
		w.Write(b[:len(b)/2])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		reset(w)
	case slowAnswer:
		drip(w, res)
	default:
		maps.Copy(w.Header(), res.Header)
		w.WriteHeader(res.StatusCode)
		io.Copy(w, res.Body) // who does not read on has gone
	}
}

// pass hands a request on.
func (p *proxy) pass(ctx context.Context, r *http.Request, body []byte) (*http.Response, error) {
	out := r.Clone(ctx)
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = p.to.Scheme, p.to.Host // Host, which is signed, stays
	out.Header.Del("Expect")
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if len(body) == 0 {
		out.Body = http.NoBody
	}
	res, err := p.store.RoundTrip(out)
	if err == nil && r.Method == http.MethodPut && res.StatusCode == http.StatusOK {
		p.mu.Lock()
		p.written[r.URL.Path]++
		p.mu.Unlock()
	}
	return res, err
}

// reset ends the connection as if the cable were cut.
func reset(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the answer has begun: the server cuts it for us
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

func readSlowly(r io.Reader) ([]byte, error) {
	const step = slowRate / 20
	var body bytes.Buffer
	for {
		n, err := io.CopyN(&body, r, step)
		if err == io.EOF {
			return body.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		time.Sleep(time.Second * time.Duration(n) / slowRate)
	}
}

func drip(w http.ResponseWriter, res *http.Response) {
	var b bytes.Buffer
	res.Write(&b) // whole, or the caller sees it end
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	all := b.Bytes()
	head := min(len(all), 200)
	for i := range head {
		if _, err := c.Write(all[i : i+1]); err != nil {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	c.Write(all[head:])
}

// atRandom gives what chooses a mishap for one request in every n, by r.
func atRandom(r *rand.Rand, n int, from []mishap) func(*http.Request) mishap {
	return func(*http.Request) mishap {
		if r.IntN(n) > 0 {
			return none
		}
		return from[r.IntN(len(from))]
	}
}
