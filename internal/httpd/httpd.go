// Package httpd serves HTTP well: a server with limits on everything a client can stretch, request ids, errors as
// JSON, probes, the metrics page, and an ordered stop.
//
// A handler given to Open runs inside of it: the client's address, the request id and the log line are there, a
// panic becomes an answer, a body that stalls ends with an error that says so. WriteError is the one way from a
// fault.Error to an answer. What the handler does is none of this room's business. Start reading at Open.
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// Config is where a server listens and what it puts up with. A zero duration or size takes the default named
// beside it.
type Config struct {
	Listen string // host:port; port 0 takes a free one
	// TLS reads certificate chain and key, as PEM; nil: HTTP. It is called again every TLSEvery by one goroutine: a
	// pair that has changed is what connections get from then on, one that cannot be used is told of and not taken.
	TLS      func() (cert, key []byte, err error)
	TLSEvery time.Duration // 5 s

	// TrustedProxies are the networks whose X-Forwarded-For and X-Request-Id are believed.
	TrustedProxies []netip.Prefix
	// AccessLog writes a line for every request at level info; without it only answers of 500 and above have one.
	AccessLog bool

	HeaderTimeout  time.Duration // for a request's header, from its first byte; 10 s
	IdleTimeout    time.Duration // between two requests of a connection; 120 s
	StallTimeout   time.Duration // without a byte read or written; 20 s
	MinBodyRate    int64         // bytes a second a body must come at, beyond StallTimeout of patience; 4 KiB
	MaxHeaderBytes int           // 64 KiB
	// MaxConns is how many connections there may be; 4,096, or a third of the files that the process may open. When
	// there are more, those that have waited longest for their clients are closed.
	MaxConns int

	DrainDelay time.Duration // from readiness off to no new connections, for balancers to notice; none
	DrainLimit time.Duration // for requests in flight at the end; 30 s
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.HeaderTimeout, 10*time.Second)
	set(&c.IdleTimeout, 120*time.Second)
	set(&c.StallTimeout, 20*time.Second)
	set(&c.DrainLimit, 30*time.Second)
	set(&c.TLSEvery, 5*time.Second)
	if c.MinBodyRate == 0 {
		c.MinBodyRate = 4 << 10
	}
	if c.MaxHeaderBytes == 0 {
		c.MaxHeaderBytes = 64 << 10
	}
	if c.MaxConns == 0 {
		c.MaxConns = connsFor(openFiles())
	}
	return c
}

// Hooks tell what happens. Each may be nil; they are called from many goroutines and must not block.
type Hooks struct {
	// OnRequest follows each answer. Pattern is the route that served it, empty if none did.
	OnRequest func(pattern string, status int, took time.Duration)
	// OnCertificate says until when the certificate in use is valid: at the start, when it is replaced, and with an
	// error when the pair that was put in its place cannot be used.
	OnCertificate func(until time.Time, err error)
}

// Server is one listening address.
type Server struct {
	cfg    Config
	ln     net.Listener
	http   *http.Server
	probes *Probes
	cert   *certificate // nil: HTTP
}

// Open binds the address and prepares to serve h. Nothing is answered before Run. probes may be nil.
//
// Errors: invalid (certificate and key do not fit, address cannot be read), unavailable (address is taken or not
// allowed), those of cfg.TLS.
func Open(cfg Config, h http.Handler, probes *Probes, log *slog.Logger, hooks Hooks) (*Server, error) {
	cfg = cfg.withDefaults()
	var cert *certificate
	if cfg.TLS != nil {
		var err error
		if cert, err = openCertificate(cfg.TLS, log, hooks.OnCertificate); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		code := fault.Unavailable
		if _, ok := errors.AsType[*net.AddrError](err); ok {
			code = fault.Invalid
		}
		return nil, fault.New(code, "listen on "+cfg.Listen, "the address cannot be listened on").
			WithHint("Another process may hold it; choose another one with --listen or --metrics-listen.").WithCause(err)
	}
	if cert != nil {
		ln = tls.NewListener(ln, cert.config())
	}
	s := serveOn(ln, cfg, h, probes, log, hooks)
	s.cert = cert
	return s, nil
}

func serveOn(ln net.Listener, cfg Config, h http.Handler, probes *Probes, log *slog.Logger, hooks Hooks) *Server {
	g := newGuests(cfg.MaxConns, log)
	return &Server{cfg: cfg, ln: newDoor(ln, g), probes: probes, http: &http.Server{
		Handler:           guard(cfg, h, log, hooks),
		ReadHeaderTimeout: cfg.HeaderTimeout,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    cfg.MaxHeaderBytes,
		ConnContext:       g.arrive,
		ConnState:         g.state,
		// What net/http has to say is about single connections of clients: handshakes, resets.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// Addr is the address that is bound, with its real port.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// URL is the address as a URL without a slash at its end.
func (s *Server) URL() string {
	if s.cert != nil {
		return "https://" + s.Addr().String()
	}
	return "http://" + s.Addr().String()
}

// Run serves until ctx ends, then stops in order: readiness off, DrainDelay, no new connections, requests in
// flight finish within DrainLimit. It returns nil after an ordered stop, and unavailable if requests had to be cut
// off or serving failed. It is called once.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.ln) }()
	if s.cert != nil {
		watch, end := context.WithCancel(ctx)
		defer end()
		go s.cert.watch(watch, s.cfg.TLSEvery) // not waited for: a disk that hangs must not hold up the stop
	}
	select {
	case err := <-served:
		return fault.From(err, fault.Unavailable, "serve "+s.Addr().String())
	case <-ctx.Done():
	}
	s.probes.Drain()
	if s.cfg.DrainDelay > 0 {
		time.Sleep(s.cfg.DrainDelay)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DrainLimit)
	defer cancel()
	err := s.http.Shutdown(last)
	if err != nil {
		s.http.Close()
		return fault.New(fault.Unavailable, "stop serving "+s.Addr().String(), "Requests were still running after %s and were cut off.", s.cfg.DrainLimit).WithCause(err)
	}
	return nil
}

// Close stops at once, also before Run. Use Run's ctx for an ordered stop.
func (s *Server) Close() error {
	s.http.Close() // its error is the listener's, which is closed again below
	if err := s.ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fault.From(err, fault.Unavailable, "close "+s.Addr().String())
	}
	return nil
}
