package notify

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// memStore is the inbox in memory. It behaves as store does: sends get ids, times are kept to the millisecond.
type memStore struct {
	mu       sync.Mutex
	notices  []control.Notice
	sends    []control.Send
	hooks    map[uint32][]control.Webhook
	people   map[control.ConnectorID][]control.Recipient
	hours    map[control.ConnectorID]control.HourDone
	saves    int
	failSave func(nth int, s control.Send) error // asked before each SaveSend
	badHooks map[uint32]bool                     // workspaces whose webhooks cannot be read
	exports  map[control.ExportID]control.Export
	failNote func(e control.Export) error // asked before each NoteExportCall; nil: none fails
	keys     map[control.KeyID]control.KeyHash
	// readTakes is how long DueSends takes to give what it read at its begin.
	readTakes time.Duration
}

func newMemStore() *memStore {
	return &memStore{
		hooks: map[uint32][]control.Webhook{}, people: map[control.ConnectorID][]control.Recipient{},
		hours: map[control.ConnectorID]control.HourDone{}, badHooks: map[uint32]bool{},
		exports: map[control.ExportID]control.Export{}, keys: map[control.KeyID]control.KeyHash{},
	}
}

func (m *memStore) add(n control.Notice) control.Notice {
	m.mu.Lock()
	defer m.mu.Unlock()
	n.ID = int64(len(m.notices) + 1)
	if n.At.IsZero() {
		n.At = time.Now()
	}
	m.notices = append(m.notices, n)
	return n
}

// reach says who is the contact of a connector.
func (m *memStore) reach(connector, email, language string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.people[control.ConnectorID(connector)] = []control.Recipient{{Email: email, Language: language}}
}

// dieBy makes saves fail.
func (m *memStore) dieBy(fail func(nth int, s control.Send) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failSave = fail
}

func (m *memStore) UnplannedNotices(ctx context.Context, limit int) ([]control.Notice, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []control.Notice
	for _, n := range m.notices {
		if !n.Planned && len(out) < limit {
			out = append(out, n)
		}
	}
	return out, ctx.Err()
}

func (m *memStore) PlanSends(ctx context.Context, notices []int64, sends []control.Send) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range notices {
		if m.notices[id-1].Planned {
			return fault.New(fault.Stale, "plan sends", "notice %d is planned already", id)
		}
	}
	for _, id := range notices {
		m.notices[id-1].Planned = true
	}
	for _, s := range sends {
		s.ID = int64(len(m.sends) + 1)
		s.NextTry = s.NextTry.Truncate(time.Millisecond)
		m.sends = append(m.sends, s)
	}
	return nil
}

func (m *memStore) DueSends(ctx context.Context, now time.Time, limit int) ([]control.Send, error) {
	defer time.Sleep(m.readTakes)
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []control.Send
	for _, s := range m.sends {
		if s.Done.IsZero() && s.Failed == "" && !s.NextTry.After(now) {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b control.Send) int {
		return cmp.Or(a.NextTry.Compare(b.NextTry), cmp.Compare(a.ID, b.ID))
	})
	return out[:min(len(out), limit)], ctx.Err()
}

func (m *memStore) NoticesByID(ctx context.Context, ids []int64) ([]control.Notice, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []control.Notice
	for _, id := range ids {
		if id <= int64(len(m.notices)) {
			out = append(out, m.notices[id-1])
		}
	}
	return out, ctx.Err()
}

func (m *memStore) SaveSend(ctx context.Context, s control.Send) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	m.saves++
	if m.failSave != nil {
		if err := m.failSave(m.saves, s); err != nil {
			return err
		}
	}
	s.Notices = m.sends[s.ID-1].Notices // what is saved is how far it is
	s.NextTry = s.NextTry.Truncate(time.Millisecond)
	m.sends[s.ID-1] = s
	return nil
}

func (m *memStore) Webhooks(ctx context.Context, workspace uint32) ([]control.Webhook, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.badHooks[workspace] {
		return nil, errors.New("the key that sealed it is not here")
	}
	return slices.Clone(m.hooks[workspace]), ctx.Err()
}

func (m *memStore) Recipients(ctx context.Context, n control.Notice) ([]control.Recipient, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.people[n.Connector]), ctx.Err()
}

func (m *memStore) HourDone(ctx context.Context, _ uint32, c control.ConnectorID, h eventlog.Hour) (control.HourDone, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.hours[c]
	return d, ok && d.Hour == h, ctx.Err()
}

func (m *memStore) ExportCalls(ctx context.Context) ([]control.Export, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var due []control.Export
	for _, e := range m.exports {
		if !e.Call.Next.IsZero() {
			due = append(due, e)
		}
	}
	slices.SortFunc(due, func(a, b control.Export) int { return a.Call.Next.Compare(b.Call.Next) })
	return due, ctx.Err()
}

func (m *memStore) NoteExportCall(ctx context.Context, e control.Export) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.failNote != nil {
		if err := m.failNote(e); err != nil {
			return err
		}
	}
	e.Call.Next = e.Call.Next.Truncate(time.Millisecond)
	m.exports[e.ID] = e
	return nil
}

func (m *memStore) KeyHash(_ context.Context, _ uint32, id control.KeyID) (control.KeyHash, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, ok := m.keys[id]
	if !ok {
		return h, fault.New(fault.NotFound, "", "there is no such API key")
	}
	return h, nil
}

func (m *memStore) calling(id control.ExportID) control.ExportCalling {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.exports[id].Call
}

func (m *memStore) all() []control.Send {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.sends)
}

// post is a mailer that keeps letters.
type post struct {
	mu      sync.Mutex
	opens   int
	tries   []time.Time
	letters []letter
	openErr error
	sendErr func(l letter) error // nil error: accepted
	accept  func(l letter)       // called after acceptance, outside the lock
}

func (p *post) open(context.Context) (mailSession, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opens++
	if p.openErr != nil {
		p.tries = append(p.tries, time.Now())
	}
	return p, p.openErr
}

func (p *post) send(_ context.Context, l letter) error {
	p.mu.Lock()
	p.tries = append(p.tries, time.Now())
	if p.sendErr != nil {
		if err := p.sendErr(l); err != nil {
			p.mu.Unlock()
			return err
		}
	}
	p.letters = append(p.letters, l)
	p.mu.Unlock()
	if p.accept != nil {
		p.accept(l)
	}
	return nil
}

func (p *post) close() {}

// arrived gives what was accepted so far.
func (p *post) arrived() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.letters)
}

// logged is what a Notifier logged.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a Notifier over st until the test ends. change may be nil.
func start(t *testing.T, st *memStore, m mailer, change func(*Config, *Deps)) (*Notifier, *logged, context.CancelFunc) {
	t.Helper()
	out := &logged{}
	cfg := Config{From: "Millrace <millrace@example.test>", Installation: "prod-01"}
	deps := Deps{Store: st, Logger: slog.New(slog.NewTextHandler(out, nil))}
	if change != nil {
		change(&cfg, &deps)
	}
	n, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	if m != nil {
		n.mailer = m
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return n, out, stop
}

// failing is a notice about a connector that cannot deliver.
func failing(workspace uint32, connector string) control.Notice {
	since := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	return control.Notice{
		Workspace: workspace, Connector: control.ConnectorID(connector), Kind: control.NoticeFailing, Episode: "1795342500000",
		Params: map[string]string{
			"workspace": "acme", "connector": connector, "bucket": "acme-currents", "problem": "unknown_key",
			"message": "PutObject acme-currents/currents: unknown_key (403 InvalidAccessKeyId)",
			"since":   since.Format(time.RFC3339), "until": since.Add(48 * time.Hour).Format(time.RFC3339),
		},
	}
}
