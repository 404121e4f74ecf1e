package httpd

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// RequestIDHeader carries the request's id, in answers and from trusted proxies.
const RequestIDHeader = "X-Request-Id"

// request is what the guard knows of a request. It is the ResponseWriter that handlers see.
type request struct {
	http.ResponseWriter
	ctl    *http.ResponseController
	guest  *guest
	stall  time.Duration
	id     string
	client netip.Addr
	status int   // 0 until the header is written
	err    error // that WriteError answered
	probe  bool  // a probe's answer: 503 is no news, whatever is wrong says so itself
	// awaited is until when the client may still be waited for to send the rest of its body.
	awaited time.Time
}

type requestKey struct{}

// of gives the request's guard, or nil outside of a server.
func of(r *http.Request) *request {
	q, _ := r.Context().Value(requestKey{}).(*request)
	return q
}

// RequestID is the id that the answer carries in RequestIDHeader; empty outside of a server.
func RequestID(r *http.Request) string {
	if q := of(r); q != nil {
		return q.id
	}
	return ""
}

// ClientAddr is the address of whoever sent the request: the connection's, or what the first trusted proxy was
// told. The zero Addr outside of a server.
func ClientAddr(r *http.Request) netip.Addr {
	if q := of(r); q != nil {
		return q.client
	}
	return netip.Addr{}
}

// Bearer gives the token of an Authorization header with the scheme Bearer; "" if there is none.
func Bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.Trim(token, " ")
}

// Unwrap lets http.ResponseController reach the connection.
func (q *request) Unwrap() http.ResponseWriter { return q.ResponseWriter }

// WriteHeader sends the status line. A second call does nothing.
func (q *request) WriteHeader(status int) {
	if q.status != 0 {
		return
	}
	if status >= 200 { // 1xx go before the answer
		q.status = status
	}
	q.allowWrite()
	q.ResponseWriter.WriteHeader(status)
}

// Write gives the client StallTimeout to take p, as allowWrite does.
func (q *request) Write(p []byte) (int, error) {
	if q.status == 0 {
		q.WriteHeader(http.StatusOK)
	} else {
		q.allowWrite()
	}
	q.guest.waits(time.Now())
	n, err := q.ResponseWriter.Write(p)
	q.guest.works()
	return n, err
}

// allowWrite gives the client StallTimeout to take what is written, beyond the time that it has for its body:
// net/http reads a rest of the body before it sends an answer, so waiting for the one must leave time for the other.
func (q *request) allowWrite() {
	from := time.Now()
	if q.awaited.After(from) {
		from = q.awaited
	}
	_ = q.ctl.SetWriteDeadline(from.Add(q.stall)) // a connection without deadlines is a test's, and has no slow client
}

// await gives the client until t to send more of its body; the zero time takes the limit away.
func (q *request) await(t time.Time) {
	q.awaited = t
	_ = q.ctl.SetReadDeadline(t) // as in allowWrite
}

// Header values that every answer gets unless its handler sets others; the slices are shared and full, so that
// appending to one copies it.
type headers struct {
	nosniff, noReferrer, deny, csp, noFeatures, sameOrigin, noStore, hsts, close []string
}

func guard(cfg Config, next http.Handler, log *slog.Logger, hooks Hooks) http.Handler {
	sec := headers{
		nosniff:    []string{"nosniff"},
		noReferrer: []string{"no-referrer"},
		deny:       []string{"DENY"},
		csp:        []string{"default-src 'none'; frame-ancestors 'none'"},
		noFeatures: []string{"accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=()"},
		sameOrigin: []string{"same-origin"},
		noStore:    []string{"no-store"},
		hsts:       []string{"max-age=31536000"},
		close:      []string{"close"},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		q := &request{ResponseWriter: w, ctl: http.NewResponseController(w), guest: guestOf(r), stall: cfg.StallTimeout}
		q.guest.works()
		defer func() { q.guest.waits(time.Now()) }() // to take the answer, to send what is left of the body, to ask again
		trusted := q.identify(cfg.TrustedProxies, r)
		q.id = requestID(r, trusted)
		q.allowWrite() // also for what net/http writes by itself; see Server.WriteTimeout, which would count the upload

		h := w.Header()
		h[RequestIDHeader] = []string{q.id}
		h["X-Content-Type-Options"] = sec.nosniff
		h["Referrer-Policy"] = sec.noReferrer
		h["X-Frame-Options"] = sec.deny
		h["Content-Security-Policy"] = sec.csp
		h["Permissions-Policy"] = sec.noFeatures
		h["Cross-Origin-Opener-Policy"] = sec.sameOrigin
		h["Cross-Origin-Resource-Policy"] = sec.sameOrigin
		h["Cache-Control"] = sec.noStore
		if trusted && (len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1)) {
			// A length that stood beside the chunks is gone by now, and so is a coding that HTTP/1.0 does not have. A
			// proxy that went by those leaves bytes of this body where another client's request begins.
			// Source: RFC 9112 §6.1, §6.3.
			h["Connection"] = sec.close
		}
		if r.TLS != nil {
			h["Strict-Transport-Security"] = sec.hsts
		}

		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, q))
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = newPacedBody(r.Body, q, cfg)
		}
		defer func() {
			p := recover()
			aborted := p == http.ErrAbortHandler
			if p != nil && !aborted {
				q.err = fault.New(fault.Internal, r.Method+" "+pathToLog(r), "panic: %v", p)
				log.LogAttrs(r.Context(), slog.LevelError, "panic in a request", slog.String("request_id", q.id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
				if q.status == 0 {
					WriteError(q, r, q.err)
				} else {
					aborted = true // half an answer must not look like a whole one
				}
			}
			if q.status == 0 && !aborted {
				q.WriteHeader(http.StatusOK)
			}
			q.allowWrite() // what is buffered leaves when this returns
			q.report(log, cfg.AccessLog, r, began, hooks)
			if aborted {
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(q, r)
	})
}

func (q *request) report(log *slog.Logger, access bool, r *http.Request, began time.Time, hooks Hooks) {
	took := time.Since(began)
	if hooks.OnRequest != nil {
		hooks.OnRequest(r.Pattern, q.status, took)
	}
	level := slog.LevelInfo
	if q.status >= 500 && !q.probe {
		level = slog.LevelWarn
	} else if !access {
		return
	}
	if !log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", q.id), slog.String("client", q.client.String()), slog.String("method", r.Method),
		slog.String("path", pathToLog(r)), slog.Int("status", q.status), slog.Duration("took", took),
	}
	if q.err != nil {
		attrs = append(attrs, slog.String("error", q.err.Error()))
	}
	log.LogAttrs(r.Context(), level, "request", attrs...)
}

// links are the first elements of addresses whose rest is a secret: links that work for whoever has them.
var links = []string{"invitations", "password", "start", "exports"}

// pathToLog is the request's path without what may not stand in a log.
func pathToLog(r *http.Request) string {
	clean := path.Clean("/" + r.URL.Path) // what a redirect would lead to, or a proxy before us makes of it
	first, rest, _ := strings.Cut(clean[1:], "/")
	for _, l := range links {
		if rest != "" && strings.EqualFold(first, l) { // mistyped, too: somebody mends the link and uses it
			return "/" + first + "/…"
		}
	}
	return r.URL.Path
}

// identify finds the client's address and reports whether the peer is a trusted proxy.
func (q *request) identify(proxies []netip.Prefix, r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	q.client = peer.Addr().Unmap()
	if !within(proxies, q.client) {
		return false
	}
	// The right end was written by the proxy that we trust, each entry before it by whoever that entry names.
	chain := r.Header.Values("X-Forwarded-For")
	for i := len(chain) - 1; i >= 0; i-- {
		rest := chain[i]
		for rest != "" {
			cut := strings.LastIndexByte(rest, ',')
			hop := strings.TrimSpace(rest[cut+1:])
			rest = rest[:max(cut, 0)]
			a, err := parseHop(hop)
			if err != nil {
				return true // behind this nothing can be believed
			}
			q.client = a
			if !within(proxies, a) {
				return true
			}
		}
	}
	return true
}

func parseHop(s string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err
}

func within(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func requestID(r *http.Request, trusted bool) string {
	if trusted {
		if id := r.Header.Get(RequestIDHeader); id != "" && len(id) <= 128 && visible(id) {
			return id
		}
	}
	var b [15]byte
	rand.Read(b[:])
	var text [24]byte
	base32.HexEncoding.Encode(text[:], b[:])
	return string(text[:])
}

func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// ErrSlowBody ends the reading of a body whose client is slower than the server's patience.
var ErrSlowBody = errors.New("the body came too slowly")

// pacedBody gives each read of a body a deadline. Only time spent waiting for the client counts: it may stall for at
// most stall, and over the whole body it has stall plus one second for every rate bytes that came.
type pacedBody struct {
	io.ReadCloser
	q      *request
	stall  time.Duration
	rate   int64
	got    int64
	waited time.Duration
	begun  bool
	ended  bool
}

func newPacedBody(b io.ReadCloser, q *request, cfg Config) *pacedBody {
	// A handler may never read the body; net/http then reads a rest of it, and must not wait for ever either.
	q.await(time.Now().Add(cfg.StallTimeout))
	return &pacedBody{ReadCloser: b, q: q, stall: cfg.StallTimeout, rate: cfg.MinBodyRate}
}

// Read fails with an error that wraps ErrSlowBody when the client is too slow.
func (b *pacedBody) Read(p []byte) (int, error) {
	if b.ended {
		return b.ReadCloser.Read(p)
	}
	now := time.Now()
	credit := b.stall + time.Duration(float64(b.got)/float64(b.rate)*float64(time.Second)) - b.waited
	b.q.await(now.Add(min(credit, b.stall)))
	if !b.begun {
		b.begun = true
		b.q.allowWrite() // the first read may send 100 Continue
	}
	b.q.guest.waits(now)
	n, err := b.ReadCloser.Read(p)
	b.q.guest.works()
	b.got += int64(n)
	b.waited += time.Since(now)
	if err != nil {
		b.ended = true
		if errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err) {
			return n, fmt.Errorf("%w: %w", ErrSlowBody, err)
		}
		// From here on net/http watches the connection for its end; a deadline would look like one.
		b.q.await(time.Time{})
	}
	return n, err
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
