package delivery

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Manager runs a worker for each lane, follows control records, keeps the hourly counts and trims the log.
type Manager struct {
	cfg    Config
	deps   Deps
	budget *budget
	blocks *blocks
	caps   *caps
	made   time.Time
	wall   time.Time // what the clock said then
	wake   chan struct{}
	looks  chan struct{} // an hour may be complete
	mark   atomic.Int64  // offset of the newest hour mark that was met, and 1; 0: none
	// pressed: the log is near its quota, and what keeps retention back is to be saved now.
	pressed atomic.Bool

	mu       sync.Mutex
	lanes    map[control.Lane]*lane
	hindered map[bucket.Problem]time.Time // when the log was told of it; see hinder
}

const (
	refreshEvery = 2 * time.Second // changes by another process are taken up within this
	trimEvery    = 5 * time.Second
	tightEvery   = time.Second // while the log is near its quota
	countEvery   = time.Second
	cursorEvery  = 30 * time.Second // a cursor that moved over nothing of its own is saved this often
	shutdownTime = 20 * time.Second
)

// New makes a manager; Run starts it. Zero fields of cfg take their defaults.
func New(cfg Config, deps Deps) *Manager {
	d := defaults
	set(&d.AttemptLimit, cfg.AttemptLimit)
	set(&d.GracePeriod, cfg.GracePeriod)
	set(&d.PauseLimit, cfg.PauseLimit)
	set(&d.QuotaPatience, cfg.QuotaPatience)
	set(&d.LogRetention, cfg.LogRetention)
	set(&d.MemoryBudget, cfg.MemoryBudget)
	set(&d.Slots, cfg.Slots)
	set(&d.Workers, cfg.Workers)
	set(&d.TestCap, cfg.TestCap)
	set(&d.TestCapWindow, cfg.TestCapWindow)
	if d.Workers == 0 {
		d.Workers = runtime.GOMAXPROCS(0)
	}
	if deps.GiveWay == nil {
		deps.GiveWay = func() {}
	}
	b, now := newBudget(d.MemoryBudget), time.Now()
	if deps.Spread == nil {
		deps.Spread = func(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
	}
	return &Manager{
		cfg: d, deps: deps, budget: b, blocks: newBlocks(b, d.Workers),
		caps: newCaps(d, deps.Store), made: now, wall: now.Round(0), wake: make(chan struct{}, 1), looks: make(chan struct{}, 1), lanes: map[control.Lane]*lane{},
		hindered: map[bucket.Problem]time.Time{},
	}
}

func set[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

// Run delivers until ctx ends; then it writes what is gathered, for up to 20 seconds, and returns.
func (m *Manager) Run(ctx context.Context) error {
	var workers, loops, lanes sync.WaitGroup
	for range m.cfg.Workers {
		workers.Go(func() {
			m.deps.GiveWay()
			m.blocks.work()
		})
	}
	loops.Go(func() { m.forever(ctx, "count events", m.count) })
	loops.Go(func() { m.forever(ctx, "trim log", m.trim) })
	loops.Go(func() { m.forever(ctx, "look for complete hours", m.hours) })
	m.forever(ctx, "follow configuration", func(ctx context.Context) error { return m.follow(ctx, &lanes) })
	lanes.Wait()
	loops.Wait()
	close(m.blocks.jobs)
	workers.Wait()
	return nil
}

// Refresh makes the manager look at the store now rather than within two seconds.
func (m *Manager) Refresh() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Try has the lanes of a connector that wait for their next probe make it now: a check has just passed.
func (m *Manager) Try(id control.ConnectorID) {
	for _, l := range m.running() {
		if l.status.Load().Row.Lane.Connector == id {
			l.ask(ask{try: true})
		}
	}
}

// Status tells what each lane is doing, in the order of their names.
func (m *Manager) Status() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Status, 0, len(m.lanes))
	for _, l := range m.lanes {
		out = append(out, *l.status.Load())
	}
	slices.SortFunc(out, func(a, b Status) int {
		if c := strings.Compare(a.Row.WorkspaceName+"/"+a.Row.Name, b.Row.WorkspaceName+"/"+b.Row.Name); c != 0 {
			return c
		}
		return a.Row.Lane.Destination - b.Row.Lane.Destination
	})
	return out
}

// Held is the memory that gathered events take now, in bytes.
func (m *Manager) Held() int64 { return m.budget.used.Load() }

// forever runs step until ctx ends; what fails is said and begun again.
func (m *Manager) forever(ctx context.Context, what string, step func(context.Context) error) {
	wait := backoffMin
	for ctx.Err() == nil {
		begun := time.Now()
		err := step(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if time.Since(begun) > backoffMax {
			wait = backoffMin
		}
		m.deps.Logger.Error(what+" stopped; starting again", "error", err, "in", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, backoffMax)
	}
}

// follow writes control records into the store as they come and keeps a worker for each lane.
func (m *Manager) follow(ctx context.Context, group *sync.WaitGroup) error {
	id := m.deps.Log.ID()
	at, err := m.deps.Store.ControlCursor(ctx, id)
	if err != nil {
		return fault.Wrap(err, "load control cursor")
	}
	start, _ := m.deps.Log.Bounds()
	r, err := m.deps.Log.Reader(max(at, start), eventlog.Filter{Kind: eventlog.Control})
	if err != nil {
		return fault.Wrap(err, "read log")
	}
	defer r.Close()
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	lastSave := time.Now()
	for {
		for {
			c, err := r.Next()
			if err != nil {
				return fault.Wrap(err, "read log")
			}
			if c == nil {
				break
			}
			var recs []control.LoggedRecord
			for rec := range c.Records() {
				d, err := control.DecodeRecord(rec.Value)
				if err != nil {
					return fault.Wrap(err, "read control record")
				}
				recs = append(recs, control.LoggedRecord{Offset: rec.Offset, Workspace: c.Workspace, Record: d})
			}
			if err := m.deps.Store.ApplyControl(ctx, id, c.End(), recs); err != nil {
				return fault.Wrap(err, "apply control record")
			}
			at = c.End()
			m.tellLanes(recs)
		}
		if p := r.Position(); p > at && (m.pressed.Load() || time.Since(lastSave) >= cursorEvery) {
			if err := m.deps.Store.ApplyControl(ctx, id, p, nil); err != nil {
				return fault.Wrap(err, "save control cursor")
			}
			at, lastSave = p, time.Now()
		}
		if err := m.refresh(ctx, group); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.Ready():
		case <-refresh.C:
		case <-m.wake:
		}
	}
}

// tellLanes tells the lanes what control records mean for them that they may not read.
func (m *Manager) tellLanes(recs []control.LoggedRecord) {
	for _, rec := range recs {
		switch rec.Record.Kind {
		case control.RecordHour:
			m.mark.Store(int64(rec.Offset) + 1)
			m.look()
			for _, l := range m.running() {
				l.ask(ask{save: true})
			}
		case control.RecordConfig:
			for _, l := range m.running() {
				if l.status.Load().Row.Lane.Connector == rec.Record.Config.Connector {
					l.stale.Store(true)
					l.ask(ask{})
				}
			}
		}
	}
}

// refresh starts workers for new lanes and tells the others what the store says of them.
func (m *Manager) refresh(ctx context.Context, group *sync.WaitGroup) error {
	rows, err := m.deps.Store.Lanes(ctx)
	if err != nil {
		return fault.Wrap(err, "load lanes")
	}
	for _, row := range rows {
		m.mu.Lock()
		l := m.lanes[row.Lane]
		if l == nil {
			l = newLane(m, row)
			m.lanes[row.Lane] = l
			group.Go(func() {
				if err := l.run(ctx); err != nil {
					l.log.Error("lane ended", "error", err)
				}
				m.mu.Lock()
				delete(m.lanes, row.Lane)
				m.mu.Unlock()
			})
			m.mu.Unlock()
			continue
		}
		m.mu.Unlock()
		if st := l.status.Load(); st.Row != row || st.State != control.LaneActive || row.Paused {
			l.ask(ask{row: &row})
		}
	}
	return nil
}

// ask hands a request over unless the lane has enough of them waiting: it is asked again soon.
func (l *lane) ask(a ask) {
	select {
	case l.asks <- a:
	default:
	}
}

// count keeps the accepted events of each hour and type, once each: the cursor is saved with them.
func (m *Manager) count(ctx context.Context) error {
	id := m.deps.Log.ID()
	at, err := m.deps.Store.CountsCursor(ctx, id)
	if err != nil {
		return fault.Wrap(err, "load counts cursor")
	}
	start, _ := m.deps.Log.Bounds()
	r, err := m.deps.Log.Reader(max(at, start), eventlog.Filter{})
	if err != nil {
		return fault.Wrap(err, "read log")
	}
	defer r.Close()
	type key struct {
		workspace, schema uint32
		minute            control.Minute
		era               eventlog.Offset
	}
	// No record stands between the newest one below the reader's start and that start: both name the same era.
	begin := max(at, start) - 1
	eras := map[uint32]eventlog.Offset{}
	marked := false // an hour mark was met: somebody waits for the counts below it
	counts := map[key]*int64{}
	lastSave := time.Now()
	for {
		more := true
		for range 256 {
			c, err := r.Next()
			if err != nil {
				return fault.Wrap(err, "read log")
			}
			if c == nil {
				more = false
				break
			}
			if c.Kind == eventlog.Control {
				for rec := range c.Records() {
					d, err := control.DecodeRecord(rec.Value)
					if err != nil {
						return fault.Wrap(err, "read control record")
					}
					switch d.Kind {
					case control.RecordConfig:
						eras[c.Workspace] = rec.Offset
					case control.RecordHour:
						marked = true
					}
				}
				continue
			}
			if c.Kind != eventlog.Events || c.Target != 0 {
				continue // test events are nobody's statistics
			}
			era, known := eras[c.Workspace]
			if !known {
				era = max(0, begin)
				eras[c.Workspace] = era
			}
			k := key{workspace: c.Workspace, minute: control.MinuteOf(c.Time()), era: era}
			var n *int64
			for rec := range c.Records() {
				if n == nil || k.schema != rec.Schema {
					k.schema = rec.Schema
					if n = counts[k]; n == nil {
						n = new(int64)
						counts[k] = n
					}
				}
				*n++
			}
		}
		every := cursorEvery
		if len(counts) > 0 || marked {
			every = countEvery
		}
		p := r.Position()
		if p > at && time.Since(lastSave) >= every {
			rows := make([]control.Count, 0, len(counts))
			for k, n := range counts {
				s, ok := m.deps.Catalogue.Schema(event.SchemaID(k.schema))
				if !ok {
					return fault.New(fault.Corrupt, "count events", "the log holds events of schema %d, which the catalogue does not know", k.schema)
				}
				if s.Type.Internal {
					continue // no event, and nobody's to miss
				}
				rows = append(rows, control.Count{Workspace: k.workspace, EventType: s.Type.Name,
					Hour: eventlog.HourOf(k.minute.Start()), Minute: k.minute, Era: k.era, Events: *n})
			}
			if err := m.deps.Store.AddCounts(ctx, id, p, rows); err != nil {
				return fault.Wrap(err, "save counts")
			}
			at, lastSave = p, time.Now()
			clear(counts)
			if marked {
				marked = false
				m.look()
			}
		}
		if more && ctx.Err() == nil {
			continue
		}
		ready := r.Ready()
		var due <-chan time.Time
		if p > at {
			due = time.After(every - time.Since(lastSave))
			if every == countEvery {
				ready = nil // what comes until then is counted together
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ready:
		case <-due:
		}
	}
}

// trim forgets what everybody has delivered, and frees room when the log reaches its quota.
//
// Over the quota the order is: room for replay; then what only lanes need that have delivered nothing for the
// patience, oldest first, into the ledger; then ingest refuses until there is room.
func (m *Manager) trim(ctx context.Context) error {
	timer := time.NewTimer(trimEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := m.makeRoom(ctx); err != nil {
			return err
		}
		tight := m.tight()
		if m.pressed.Store(tight); tight {
			m.Refresh() // saves the control cursor, which retention waits for
			timer.Reset(tightEvery)
		} else {
			timer.Reset(trimEvery)
		}
	}
}

// makeRoom forgets what may go now.
func (m *Manager) makeRoom(ctx context.Context) error {
	floor, err := m.deps.Store.RetentionFloor(ctx, m.deps.Log.ID())
	if err != nil {
		return fault.Wrap(err, "load retention floor")
	}
	if err := m.deps.Log.Trim(ctx, floor, m.cfg.LogRetention); err != nil {
		return fault.Wrap(err, "trim log")
	}
	if !m.tight() {
		return nil
	}
	for _, l := range m.running() {
		l.ask(ask{save: true})
	}
	if err := m.deps.Log.Trim(ctx, floor, 0); err != nil {
		return fault.Wrap(err, "trim log")
	}
	if !m.tight() {
		return nil
	}
	return m.dropOldest(ctx)
}

// tight reports whether the log has reached nine tenths of its quota: a little before appends are refused, so that
// healthy connectors never notice.
func (m *Manager) tight() bool {
	u := m.deps.Log.Usage()
	return u.MaxBytes > 0 && u.Bytes >= u.MaxBytes/10*9
}

func (m *Manager) running() []*lane {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*lane, 0, len(m.lanes))
	for _, l := range m.lanes {
		out = append(out, l)
	}
	return out
}

// dropOldest asks lanes that deliver nothing to give up the oldest events that only they need.
func (m *Manager) dropOldest(ctx context.Context) error {
	u := m.deps.Log.Usage()
	now := time.Now()
	if u.Oldest.IsZero() {
		return nil
	}
	// A twentieth of what the log spans at a time, but not less than gives anything back.
	floor, err := m.deps.Log.OffsetAt(ctx, u.Oldest.Add(max(time.Second, now.Sub(u.Oldest)/20)))
	if err != nil {
		return fault.Wrap(err, "find oldest events")
	}
	floor = max(floor, u.Release)
	var idle []*lane
	for _, l := range m.running() {
		st := l.status.Load()
		switch {
		case st.State != control.LaneActive && now.Sub(maxTime(st.LastFile, st.Since)) >= m.cfg.QuotaPatience:
			idle = append(idle, l)
		default:
			floor = min(floor, st.Cursor)
		}
	}
	for _, l := range idle {
		if l.status.Load().Cursor < floor {
			l.ask(ask{dropTo: floor})
		}
	}
	return nil
}
