// Package ingest is the only writer of the log: it takes events over HTTP, and answers 2xx only for what is durable.
//
// One request is one commit, never split: its body is read into a pooled buffer, cut into events, and each event is
// turned from JSON into Avro straight into the commit's payload. An event that is not good is rejected alone and
// listed in the answer; a body that is not whole is refused, and nothing of it is appended. A request with an
// Idempotency-Key counts once, however often it is sent. Control records take the same way to the log.
//
// From the moment a request is handed to the log nothing takes it back: a client that goes away, or an answer that
// comes too late, leaves the append running to its end. What no memory is left for is refused with 503 as soon as
// that shows, so that the producer's retry is the queue. Start reading at Ingest.serve in events.go.
package ingest

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Config is what requests may cost. A zero value takes the default named beside it.
type Config struct {
	MaxBody int64 // bytes of a body, before and after decompression; 64 MiB, and no more than the budget takes at once
	// MemoryBudget is what requests may hold together, bodies and encoded events; 128 MiB, and enough for a body of 1 MiB.
	MemoryBudget int64
	// AnswerLimit is how long a request waits for the log, and before that for another request with the same
	// Idempotency-Key; 60 s. Its append goes on without it.
	AnswerLimit time.Duration
	// KeyTTL is how long what a key allows is remembered, so also how long a deleted one still works; 5 s.
	KeyTTL time.Duration
	// TrackObjects is how many attributes, events and purchases one request to TrackPath may hold together; 75.
	TrackObjects int
}

func (c Config) withDefaults() Config {
	if c.MaxBody == 0 {
		c.MaxBody = 64 << 20
	}
	if c.MemoryBudget == 0 {
		c.MemoryBudget = 128 << 20
	}
	// One request of the largest size always fits.
	c.MaxBody = min(c.MaxBody, max(leastMaxBody, heaviest(c.MemoryBudget-maxWindow-decoderBytes)-spare))
	c.MemoryBudget = max(c.MemoryBudget, weight(c.MaxBody+spare)+maxWindow+decoderBytes)
	if c.AnswerLimit == 0 {
		c.AnswerLimit = time.Minute
	}
	if c.KeyTTL == 0 {
		c.KeyTTL = 5 * time.Second
	}
	if c.TrackObjects == 0 {
		c.TrackObjects = 75
	}
	return c
}

// Deps are the parts that requests go through.
type Deps struct {
	Log       eventlog.Log
	Catalogue *event.Catalogue
	Keys      Keys
	Logger    *slog.Logger
	Hooks     Hooks
	// Sample appends one test event of type t, a JSON object with an id that begins with "test-". It is called by one
	// goroutine at a time. nil: AppendTestEvents may not be called.
	Sample func(dst []byte, t *event.Type) []byte
	// Limit says how long a key has to wait before its next request; 0: not at all. nil: no limit.
	Limit func(control.Grant) time.Duration
	// Use is told when keys were last used; see NoteUse. nil: nobody is.
	Use func(context.Context, map[control.KeyID]time.Time) error
	// People says whom requests about people name, and PersonKey makes the ids of new ones. nil: Calls may not be
	// called.
	People    People
	PersonKey []byte
}

// Keys looks up API keys.
type Keys interface {
	// KeyByHash gives what the key with hash h allows. Errors: not_found; unavailable.
	KeyByHash(ctx context.Context, h control.KeyHash) (control.Grant, error)
}

// Hooks tell what happens. Each may be nil; they are called from many goroutines and must not block.
type Hooks struct {
	// OnAccepted follows each durable commit of events: their number, and their size in the log.
	OnAccepted func(g control.Grant, events, bytes int)
	// OnRejected follows each request that had events rejected, once for each code of the event reader that was the
	// first problem of some. Rejected events are counted when the answer leaves, not when an append fails.
	OnRejected func(g control.Grant, code string, events int)
	// OnIgnored follows each durable commit whose events had fields that their types do not have, dropped because the
	// workspace says so: the number of these fields.
	OnIgnored func(g control.Grant, fields int)
	// OnRefused follows each request that was refused whole. The grant is zero before the key is known.
	OnRefused func(g control.Grant, code fault.Code, status int)
	// OnReplayed follows each request that had been answered before.
	OnReplayed func(g control.Grant)
}

// Ingest takes events, test events and control records. All methods are safe for concurrent use.
type Ingest struct {
	cfg      Config
	log      eventlog.Log
	cat      *event.Catalogue
	keys     *keyCache
	uses     uses
	logger   *slog.Logger
	hooks    Hooks
	limit    func(control.Grant) time.Duration
	budget   budget
	gate     gate
	rejected *rejections
	accepted atomic.Int64 // when the newest commit that is known to be durable was accepted; ms since 1970
	sampling sync.Mutex
	sample   func(dst []byte, t *event.Type) []byte
	people   persons

	requests sync.Pool // of *request
	gzips    sync.Pool // of *gzipSource
	zstds    sync.Pool // of *zstdSource
}

// New makes an Ingest that is ready. Close it before the log.
func New(cfg Config, d Deps) *Ingest {
	cfg = cfg.withDefaults()
	in := &Ingest{
		cfg: cfg, log: d.Log, cat: d.Catalogue, logger: d.Logger, hooks: d.Hooks, limit: d.Limit, sample: d.Sample,
		keys: newKeyCache(d.Keys, cfg.KeyTTL), rejected: newRejections(),
		uses:   uses{note: d.Use, log: d.Logger, last: map[control.KeyID]time.Time{}},
		people: persons{store: d.People, key: d.PersonKey, log: d.Log, logger: d.Logger, most: mostAhead, patience: 5 * time.Second},
	}
	if d.People != nil {
		_, in.people.until = d.Log.Bounds()
	}
	in.budget.free.Store(cfg.MemoryBudget)
	in.gate.idle = make(chan struct{})
	return in
}

// Close refuses what comes from now on and waits until every append has ended.
//
// Errors: unavailable if ctx ends first; the log may be closed all the same, which ends them.
func (in *Ingest) Close(ctx context.Context) error {
	select {
	case <-in.gate.close():
		return nil
	case <-ctx.Done():
		return fault.From(ctx.Err(), fault.Unavailable, "wait for appends")
	}
}

// AppendControl appends one control record of a workspace (0: of the whole installation) as a commit of its own.
//
// Durable: when err is nil. Errors: as eventlog.Log.Append; unavailable also if ctx ends first, and then the record
// may still become durable.
func (in *Ingest) AppendControl(ctx context.Context, workspace uint32, record []byte) (eventlog.Receipt, error) {
	b := new(eventlog.Batch)
	b.Reset(eventlog.Header{Workspace: workspace, Kind: eventlog.Control})
	b.Add(0, record)
	return in.append(ctx, b, nothing)
}

// append hands b to the log and waits for its answer, at most until ctx ends or AnswerLimit. after is called once,
// when the log has let go of b, with its answer; b must not be touched before. The append itself is never given up: an answer that
// nobody waits for any more must not leave the fate of b's claim open.
func (in *Ingest) append(ctx context.Context, b *eventlog.Batch, after func(eventlog.Receipt, error)) (eventlog.Receipt, error) {
	if !in.gate.enter() {
		err := fault.New(fault.Unavailable, "append", "The server is stopping.").WithRetry(5 * time.Second)
		after(eventlog.Receipt{}, err)
		return eventlog.Receipt{}, err
	}
	type outcome struct {
		receipt eventlog.Receipt
		err     error
	}
	done := make(chan outcome, 1)
	workspace := b.Workspace // while b is ours
	go func() {
		defer in.gate.leave()
		r, err := in.log.Append(context.WithoutCancel(ctx), b)
		if err == nil {
			in.sawTime(r.At)
		}
		after(r, err)
		done <- outcome{r, err}
	}()
	late := time.NewTimer(in.cfg.AnswerLimit)
	defer late.Stop()
	select {
	case o := <-done:
		return o.receipt, fault.Wrap(o.err, "append")
	case <-ctx.Done():
	case <-late.C:
	}
	go func() {
		o := <-done
		in.logger.Warn("an append ended after its answer had left", "workspace", workspace, "offset", o.receipt.First, "error", o.err)
	}()
	return eventlog.Receipt{}, fault.New(fault.Unavailable, "append", "The log did not answer in time; what was sent may still be kept.").
		WithHint("Repeat the request with the same Idempotency-Key: then it counts once.").WithRetry(5 * time.Second).WithCause(context.Cause(ctx))
}

// nothing is for who has nothing to do after an append.
func nothing(eventlog.Receipt, error) {}

// gate counts appends under way and closes behind the last one.
type gate struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when closed and n is 0
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.n++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 && g.closed {
		close(g.idle)
	}
}

func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		if g.n == 0 {
			close(g.idle)
		}
	}
	return g.idle
}
