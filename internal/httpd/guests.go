package httpd

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxConns is how many connections a server has at most, however many descriptors there are: each costs some 20 KiB,
// and 60 KiB with TLS.
const maxConns = 4096

// connsFor is how many connections a server may have in a process that may open so many files: a third. Another third
// is for the operator's address, and a third for the log, the database and the buckets.
func connsFor(files uint64) int { return int(min(max(files/3, 1), maxConns)) }

// guests are the connections of a server, at most max of them.
//
// When there are more, those that have waited longest for their clients are closed, whatever it is that the client
// does not send or take: a header, a body, the next request, an answer. So a crowd that does nothing, or does it by
// drops, keeps nobody out, and a client that does something loses its place last. A connection whose request is being
// worked on is never closed, nor one that has waited for a moment only; while all are like that, a new one waits.
type guests struct {
	max   int
	log   *slog.Logger
	start time.Time

	mu   sync.Mutex
	here map[net.Conn]*guest
	sent int       // away since the last line in the log
	said time.Time // the last line in the log
}

func newGuests(n int, log *slog.Logger) *guests {
	return &guests{max: n, log: log, start: time.Now(), here: map[net.Conn]*guest{}}
}

// guest is one connection. The nil guest is that of a request without a server.
type guest struct {
	start time.Time // the same for all of a server
	// since is when it began to wait for its client, as the time since start; working: it does not wait.
	since atomic.Int64
}

const working = -1

// waits notes that from now on only the client can go on.
func (g *guest) waits(now time.Time) {
	if g != nil {
		g.since.Store(int64(now.Sub(g.start)))
	}
}

// works notes that it is our turn.
func (g *guest) works() {
	if g != nil {
		g.since.Store(working)
	}
}

// decent is how long a connection has its place whatever comes: enough for a header that is on its way, and for the
// answer that leaves after a handler has returned.
const decent = 500 * time.Millisecond

// patience is how long a new connection waits for a place before looking again, while no other may be closed.
const patience = 20 * time.Millisecond

// atOnce is the share of all places that is made free together, one in so many: to find who has waited longest is to
// look at everybody.
const atOnce = 16

// quiet is how long after a line in the log about connections that were closed there is no other.
const quiet = time.Minute

// makeRoom makes a place free if there is none, and reports whether there is one now.
func (h *guests) makeRoom() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.here) < h.max {
		return true
	}
	type waiting struct {
		conn  net.Conn
		since int64
	}
	before := int64(time.Since(h.start) - decent)
	var all []waiting
	for c, g := range h.here {
		if t := g.since.Load(); t != working && t <= before {
			all = append(all, waiting{c, t})
		}
	}
	slices.SortFunc(all, func(a, b waiting) int { return cmp.Compare(a.since, b.since) })
	for _, w := range all[:min(len(all), 1+h.max/atOnce)] {
		if !h.here[w.conn].since.CompareAndSwap(w.since, working) {
			continue // its client came back this moment
		}
		delete(h.here, w.conn)
		leave(w.conn)
		h.sent++
	}
	if now := time.Now(); h.sent > 0 && now.Sub(h.said) >= quiet {
		h.log.Warn("connections that waited for their clients were closed, to let others in", "closed", h.sent, "connections_limit", h.max)
		h.sent, h.said = 0, now
	}
	return len(h.here) < h.max
}

// leave closes a connection without waiting for its client, as TLS would.
func leave(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close() // nobody has a use for the error
}

// arrive makes c a guest, and ctx that of its requests.
func (h *guests) arrive(ctx context.Context, c net.Conn) context.Context {
	g := &guest{start: h.start}
	g.waits(time.Now())
	h.mu.Lock()
	h.here[c] = g
	h.mu.Unlock()
	return context.WithValue(ctx, guestKey{}, g)
}

type guestKey struct{}

// guestOf gives the guest who sent r.
func guestOf(r *http.Request) *guest {
	g, _ := r.Context().Value(guestKey{}).(*guest)
	return g
}

// state hears from net/http what becomes of a connection.
func (h *guests) state(c net.Conn, s http.ConnState) {
	if s == http.StateClosed || s == http.StateHijacked {
		h.mu.Lock()
		delete(h.here, c)
		h.mu.Unlock()
	}
}

// door is a listener that lets in as many as there is room for.
type door struct {
	net.Listener
	guests *guests
	once   sync.Once
	closed chan struct{}
}

func newDoor(ln net.Listener, g *guests) *door {
	return &door{Listener: ln, guests: g, closed: make(chan struct{})}
}

// Accept waits for a connection and then for a place.
func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	for !d.guests.makeRoom() {
		select {
		case <-time.After(patience):
		case <-d.closed:
			leave(c)
			return nil, net.ErrClosed
		}
	}
	return c, nil
}

// Close ends waiting, too.
func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.Listener.Close()
}
