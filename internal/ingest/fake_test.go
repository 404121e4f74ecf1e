package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/event/sample"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// memoryLog is a log in memory that can be slow and can fail.
type memoryLog struct {
	mu      sync.Mutex
	commits []*eventlog.Commit
	answers map[eventlog.KeyHash]eventlog.Answer
	claims  map[eventlog.KeyHash]chan struct{} // closed on release
	head    eventlog.Offset

	before func() error  // called by Append before anything is kept; nil: none
	skew   time.Duration // of the machine's clock as the log sees it
	last   int64         // time of the newest commit, ms
}

func newMemoryLog() *memoryLog {
	return &memoryLog{answers: map[eventlog.KeyHash]eventlog.Answer{}, claims: map[eventlog.KeyHash]chan struct{}{}}
}

func (l *memoryLog) Append(ctx context.Context, b *eventlog.Batch) (eventlog.Receipt, error) {
	if b.Count() == 0 || b.Count() > eventlog.MaxRecords || b.Size() > eventlog.MaxBatchBytes {
		return eventlog.Receipt{}, fault.New(fault.TooLarge, "append", "%d records, %d bytes", b.Count(), b.Size())
	}
	l.mu.Lock()
	before := l.before
	l.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return eventlog.Receipt{}, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = max(l.last, time.Now().Add(l.skew).UnixMilli())
	c := &eventlog.Commit{Header: b.Header, First: l.head, Count: b.Count(), Payload: bytes.Clone(b.Payload()), At: l.last}
	if !eventlog.ValidPayload(c.Payload, c.Count) {
		panic("the batch is damaged")
	}
	l.head += eventlog.Offset(c.Count)
	l.commits = append(l.commits, c)
	if b.Claim != nil {
		l.answers[b.Claim.Key] = b.Answer
	}
	return eventlog.Receipt{First: c.First, At: time.UnixMilli(c.At)}, nil
}

func (l *memoryLog) Claim(ctx context.Context, key eventlog.KeyHash) (*eventlog.Claim, *eventlog.Answer, error) {
	for {
		l.mu.Lock()
		if a, ok := l.answers[key]; ok {
			l.mu.Unlock()
			return nil, &a, nil
		}
		held, ok := l.claims[key]
		if !ok {
			done := make(chan struct{})
			l.claims[key] = done
			l.mu.Unlock()
			return eventlog.NewClaim(key, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				delete(l.claims, key)
				close(done)
			}), nil, nil
		}
		l.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

func (l *memoryLog) Bounds() (start, head eventlog.Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return 0, l.head
}

func (l *memoryLog) ID() eventlog.ID                                              { return eventlog.ID{1} }
func (l *memoryLog) Trim(context.Context, eventlog.Offset, time.Duration) error   { return nil }
func (l *memoryLog) OffsetAt(context.Context, time.Time) (eventlog.Offset, error) { return 0, nil }
func (l *memoryLog) Usage() eventlog.Usage                                        { return eventlog.Usage{} }
func (l *memoryLog) Health() error                                                { return nil }
func (l *memoryLog) Close() error                                                 { return nil }

// Reader gives nothing: what is read here was told otherwise.
func (l *memoryLog) Reader(eventlog.Offset, eventlog.Filter) (eventlog.Reader, error) {
	return nothingToRead{}, nil
}

type nothingToRead struct{ eventlog.Reader }

func (nothingToRead) Next() (*eventlog.Commit, error) { return nil, nil }
func (nothingToRead) Close() error                    { return nil }

func (l *memoryLog) fail(f func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = f
}

// records is the number of records of all commits; claimed how many claims are held.
func (l *memoryLog) records() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.commits {
		n += c.Count
	}
	return n
}

func (l *memoryLog) claimed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.claims)
}

// memoryKeys is a table of keys.
type memoryKeys struct {
	mu      sync.Mutex
	grants  map[control.KeyHash]control.Grant
	err     error
	lookups int
}

func (k *memoryKeys) KeyByHash(_ context.Context, h control.KeyHash) (control.Grant, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lookups++
	if k.err != nil {
		return control.Grant{}, k.err
	}
	g, ok := k.grants[h]
	if !ok {
		return g, fault.New(fault.NotFound, "key", "no such key")
	}
	return g, nil
}

// The keys of the tests.
const (
	goodKey    = "mr_good_key_of_acme_0001"
	otherKey   = "mr_other_key_of_acme_001"
	foreignKey = "mr_key_of_another_tenant"
	ignoreKey  = "mr_key_ignores_unknown_f"
	trackKey   = "mr_key_may_only_track_00"
)

func testKeys() *memoryKeys {
	k := &memoryKeys{grants: map[control.KeyHash]control.Grant{}}
	add := func(key string, ws uint32, u control.UnknownFields, s control.Scope) {
		k.grants[control.HashKey(key)] = control.Grant{Key: control.KeyID(key[3:]), Workspace: ws, Scopes: []control.Scope{s}, UnknownFields: u}
	}
	add(goodKey, 7, control.RejectUnknown, control.ScopeEventsWrite)
	add(otherKey, 7, control.RejectUnknown, control.ScopeEventsWrite)
	add(foreignKey, 8, control.RejectUnknown, control.ScopeEventsWrite)
	add(ignoreKey, 9, control.IgnoreUnknown, control.ScopeEventsWrite)
	add(trackKey, 7, control.RejectUnknown, control.ScopeUsersTrack)
	return k
}

var catalogue = sync.OnceValue(func() *event.Catalogue {
	c, err := event.NewCatalogue(nil)
	if err != nil {
		panic(err)
	}
	return c
})

// house is an Ingest over a log in memory.
type house struct {
	t    testing.TB
	in   *Ingest
	log  *memoryLog
	keys *memoryKeys

	mu       sync.Mutex
	accepted int
	rejected map[string]int
	refused  []fault.Code
	replayed int
	ignored  []int // fields, by commit
}

func open(t testing.TB, cfg Config) *house {
	h := &house{t: t, log: newMemoryLog(), keys: testKeys(), rejected: map[string]int{}}
	h.in = New(cfg, h.deps(h.log))
	return h
}

func (h *house) deps(l eventlog.Log) Deps {
	return Deps{Log: l, Sample: sample.New(catalogue(), 1, nil).AppendTest, Catalogue: catalogue(), Keys: h.keys, Logger: slog.New(slog.DiscardHandler), Hooks: Hooks{
		OnAccepted: func(_ control.Grant, n, _ int) { h.mu.Lock(); h.accepted += n; h.mu.Unlock() },
		OnRejected: func(_ control.Grant, code string, n int) { h.mu.Lock(); h.rejected[code] += n; h.mu.Unlock() },
		OnIgnored:  func(_ control.Grant, n int) { h.mu.Lock(); h.ignored = append(h.ignored, n); h.mu.Unlock() },
		OnRefused: func(_ control.Grant, c fault.Code, _ int) {
			h.mu.Lock()
			h.refused = append(h.refused, c)
			h.mu.Unlock()
		},
		OnReplayed: func(control.Grant) { h.mu.Lock(); h.replayed++; h.mu.Unlock() },
	}}
}

// answer is any answer, and what it came with.
type answer struct {
	status int
	header http.Header
	body   string

	Accepted  int
	Rejected  int
	Errors    []Error
	Truncated bool `json:"errors_truncated"`
	Ignored   int  `json:"ignored_fields"`
	Error     struct {
		Code, Message, Hint string
		Fields              []fault.Problem
	}
}

func newRequest(body io.Reader, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, EventsPath, body)
	r.Header.Set("Authorization", "Bearer "+goodKey)
	r.Header.Set("Content-Type", "application/x-ndjson")
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	return r
}

func (h *house) do(r *http.Request) answer {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.in.Events().ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), body: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		h.t.Errorf("the answer is not JSON: %q", w.Body)
	}
	if got := h.in.budget.free.Load(); got != h.in.cfg.MemoryBudget && h.log.before == nil {
		h.t.Errorf("%d bytes of the budget were not given back", h.in.cfg.MemoryBudget-got)
	}
	return a
}

func (h *house) post(body string, header ...string) answer {
	h.t.Helper()
	return h.do(newRequest(strings.NewReader(body), header...))
}

// custom is a good event with this id.
func custom(id string) string {
	return `{"event_type":"users.behaviors.CustomEvent","id":"` + id + `","time":1700000000,"user_id":"u","name":"n","properties":"{}"}`
}

const (
	noName  = `{"event_type":"users.behaviors.CustomEvent","id":"x","time":1,"user_id":"u","properties":"{}"}`
	unknown = `{"event_type":"users.behaviors.CustomEvent","id":"x","time":1,"user_id":"u","name":"n","properties":"{}","colour":"red","shape":1}`
)

// ids gives the ids of all records in the log: the first field of the type that the tests use.
func (h *house) ids() []string {
	h.t.Helper()
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	var ids []string
	for _, c := range h.log.commits {
		for rec := range c.Records() {
			n := int(rec.Value[0] >> 1) // short, so a single byte of zigzag
			ids = append(ids, string(rec.Value[1:1+n]))
		}
	}
	slices.Sort(ids)
	return ids
}
