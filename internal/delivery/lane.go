package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// lane is the worker of one connector's way to one destination. Everything but the atomics and channels belongs to
// the goroutine of run; attempts and saves run beside it and answer through channels.
type lane struct {
	m   *Manager
	row control.LaneRow
	log *slog.Logger

	held    atomic.Int64
	squeeze chan struct{}
	asks    chan ask
	status  atomic.Pointer[Status]

	pos    control.Position // as saved last
	hist   *history         // from the cursor on
	reader eventlog.Reader
	store  bucket.Bucket
	access bucket.Access
	// openErr is why store is nil.
	openErr error
	// createOnly is false for stores that ignore If-None-Match: there, borders are saved before a write.
	createOnly bool

	streams map[control.Stream]*stream
	hot     map[uint32]*stream // by schema, of the hour and target in hand; nil values: not selected
	hotFor  control.Stream     // hour and target that hot is for
	hotCfg  *epoch
	ready   map[*stream]struct{} // streams whose first file is closed
	// unsettled are the streams with provisional drops: the bucket is looked at before anything else is written.
	unsettled map[*stream]struct{}
	waiting   int64 // events gathered and not yet delivered

	now      time.Time
	caughtUp bool // nothing is left to read now
	lagging  bool // what is read was accepted a while ago

	attempts int // in flight
	outcomes chan outcome
	saves    chan answer
	saving   bool
	dirty    time.Time // when the oldest answer that waits for its save came; zero: none
	files    []control.File
	drops    []control.Drop
	lastSave time.Time
	unsaved  int       // saves that failed in a row
	saveAt   time.Time // when the next may be tried
	sureAt   time.Time // when the saved position was the one in hand
	askAt    time.Time // when that may be asked next, after asking failed

	health   control.Health
	failures int       // in a row, over all streams
	maxRaw   int64     // bytes of a file, before compression, that fit an attempt
	again    time.Time // when the bucket may be opened again, after that failed
	resting  time.Time // zero: not resting; else when the next attempt is due
	hurried  bool      // what is in flight while resting was begun before something was mended: the next attempt follows at once
	lastFile time.Time
	failedAt time.Time // first of the failures in a row
	// mustRewind: what is gathered is void as soon as nothing is in flight.
	mustRewind bool
	mustReload bool // the position was saved by somebody else
	healthAt   time.Time
	oldestOf   eventlog.Offset // the cursor that oldestAt is for
	oldestAt   time.Time
	stopping   bool

	// Time without delivery, see grace.go and tell.go. What is told outlives a round.
	counting  bool      // the patience of the state is being used up
	watchAt   time.Time // when watch is to look next; zero: not before something happens
	passAt    time.Time // when events may be dropped by age next
	refusedAt time.Time // when the customer's refusal was heard last
	order     *order    // what to give up as soon as nothing is in flight
	toldOf    string    // the episode that told is of
	told      map[control.NoticeKind]bool
	failingAt time.Time // of the last notice of failing
	lossAt    time.Time // of the last notice of losses
	untold    bool      // there may be drops that nobody has been told of
	slowAt    time.Time // of the last notice of a slow bucket
	slowOf    time.Time // which time of passing errors it told of
	outbox    []control.Notice
	hindrance bucket.Problem // the installation's own trouble that it met last
	lastDrop  time.Time      // newest of the drops that are not settled
	settleAt  time.Time      // when these may be settled
	// lookBelow is where the log ended at the load: of a stream with events below, the bucket is looked at before the
	// first write.
	lookBelow eventlog.Offset
	// A deleted connector's lanes end at endAt; zero: not deleted, as far as the log was looked.
	endAt   time.Time
	made    time.Time // since when this process delivers for it
	looked  eventlog.Offset
	lookEnd bool
	// stale: the store may know of the lane's end, or of its connector's, what the lane does not.
	stale atomic.Bool

	// life ends when the lane is to stop: what blocks the lane's own goroutine ends with it.
	life context.Context
}

// ask is a request to a lane from the manager.
type ask struct {
	row    *control.LaneRow // what the store says of the lane now
	dropTo eventlog.Offset  // give up events below, for the log's quota
	try    bool             // do not wait for the next probe
	save   bool             // save the cursor soon: the log wants to forget
}

// errReload ends a lane's round: somebody else saved its position, so everything gathered is void.
var errReload = errors.New("position was saved by another process")

func newLane(m *Manager, row control.LaneRow) *lane {
	l := &lane{
		m: m, row: row, made: time.Now(),
		log:     m.deps.Logger.With("workspace", row.WorkspaceName, "connector", row.Name, "destination", row.Lane.Destination),
		squeeze: make(chan struct{}, 1), asks: make(chan ask, 8),
	}
	l.status.Store(&Status{Row: row, State: control.LaneActive})
	return l
}

// run delivers until the lane is done or ctx ends; then it writes what is gathered within grace and returns nil.
func (l *lane) run(ctx context.Context) error {
	l.m.budget.join(l)
	defer l.m.budget.leave(l)
	wait := backoffMin
	for {
		err := l.round(ctx)
		l.close()
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errReload) {
			l.log.Info("beginning again from the saved position")
			wait = backoffMin
		} else {
			l.log.Error("lane stopped; starting it again", "error", err, "in", wait)
			state := control.LaneRetrying
			switch was := l.health.State; {
			case ownerOf(err) == bucket.Customer:
				state = control.LaneFailing
			case was == control.LaneFailing || was == control.LanePaused:
				state = was // no error of ours ends an episode
			}
			l.now = time.Now()
			l.setHealth(state, string(fault.CodeOf(err)), err)
			if state == control.LaneFailing && ownerOf(err) != bucket.Customer {
				l.stopClock()
			}
			if l.hist != nil && state == control.LaneFailing {
				// A round that ends so early never looks at what is due.
				if err := l.overdue(ctx); err != nil {
					l.log.Error("cannot look at what is due", "error", err)
				}
			}
			l.publish()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, backoffMax)
	}
}

// round is one life of the lane from its saved position on.
func (l *lane) round(ctx context.Context) error {
	l.life = ctx
	if err := l.load(ctx); err != nil {
		return err
	}
	// Attempts and saves outlive ctx until the shutdown is over.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		cancel()
		for l.attempts > 0 {
			<-l.outcomes
			l.attempts--
		}
		if l.saving {
			<-l.saves
		}
	}()
	var deadline <-chan time.Time
	done := ctx.Done()
	for {
		l.now = time.Now()
		// Not while a save is under way: its answer would move the position beyond what the history has read again.
		if l.mustRewind && l.attempts == 0 && !l.saving {
			if err := l.rewind(); err != nil {
				return err
			}
		}
		if !l.stopping {
			if err := l.gather(); err != nil {
				return err
			}
		}
		if err := l.news(ctx); err != nil {
			return err
		}
		if err := l.watch(work); err != nil {
			return err
		}
		if l.stopping {
			for _, s := range l.streams {
				l.cut(s, cutShutdown) // also what was gathered again behind an object that was found
			}
		}
		l.cutDue()
		if l.m.budget.full() && l.held.Load() > l.m.budget.share() {
			l.cutLargest()
		}
		if err := l.start(work); err != nil {
			return err
		}
		if l.order != nil && l.idle() {
			if err := l.drop(work, *l.order); err != nil {
				return err
			}
		}
		if l.mustReload {
			return errReload
		}
		l.startSave(work)
		l.publish()
		if l.finished() {
			if l.stopping {
				l.leave(work)
				return nil
			}
			return l.finish(work)
		}
		timer := l.nextTimer()
		ready := l.readable()
		select {
		case o := <-l.outcomes:
			l.now = time.Now()
			l.attempts--
			if err := l.landed(work, o); err != nil {
				return err
			}
		case s := <-l.saves:
			l.now = time.Now()
			l.saving = false
			if err := l.savedNow(s); err != nil {
				return err
			}
		case <-ready:
		case <-l.squeeze:
			if l.m.budget.over() { // still: it may have been asked a while ago
				l.cutLargest()
			}
		case a := <-l.asks:
			l.now = time.Now() // it may have waited for hours
			if err := l.answer(work, a); err != nil {
				return err
			}
		case <-timer:
		case <-done:
			l.now = time.Now()
			done = nil
			l.stopping = true
			deadline = time.After(shutdownTime)
			if l.dirty.IsZero() && l.cursor() > l.pos.Cursor {
				l.dirty = l.now
			}
		case <-deadline:
			l.leave(work)
			return nil
		}
	}
}

// load begins a round: position, configuration, reader and store as they are saved.
func (l *lane) load(ctx context.Context) error {
	st := l.m.deps.Store
	l.sureAt, l.askAt = time.Now(), time.Time{}
	pos, err := st.Position(ctx, l.row.Lane)
	if err != nil {
		return fault.Wrap(err, "load position")
	}
	if id := l.m.deps.Log.ID(); pos.Log != id {
		return fault.New(fault.Corrupt, "load position", "the position of connector %s belongs to log %s, not to this one (%s)", l.row.Name, pos.Log, id).
			WithHint("run `millrace log accept` if the log was replaced on purpose")
	}
	l.pos = pos
	l.streams = map[control.Stream]*stream{}
	l.ready, l.unsettled = map[*stream]struct{}{}, map[*stream]struct{}{}
	l.hot, l.hotCfg = nil, nil
	l.outcomes, l.saves = make(chan outcome, l.m.cfg.Slots), make(chan answer, 1)
	l.attempts, l.saving, l.files, l.drops, l.dirty = 0, false, nil, nil, time.Time{}
	l.unsaved, l.saveAt = 0, time.Time{}
	l.waiting, l.caughtUp, l.lagging = 0, false, false
	l.now = time.Now()
	l.lastSave = l.now
	refused, episode, spent := l.counting && l.health.State == control.LaneFailing, l.health.Episode, l.counted()
	if l.health, err = st.Health(ctx, l.row.Lane); err != nil && !fault.Is(err, fault.NotFound) {
		return fault.Wrap(err, "load health")
	}
	l.health.Lane = l.row.Lane
	if l.health.State == "" {
		l.health.State, l.health.Since = control.LaneActive, l.now
	}
	l.lastFile = l.health.LastFile
	l.maxRaw = maxRaw
	l.failures, l.resting, l.hurried, l.mustRewind = 0, time.Time{}, false, false
	l.mustReload, l.healthAt = false, l.now
	l.order, l.watchAt, l.lookEnd, l.lastDrop = nil, l.now, true, time.Time{}
	l.untold = true
	l.stale.Store(false)
	// Whether the customer still refuses is known with the first answer only, unless it was the last word of the round
	// before; a pause goes on, unless it ended while nobody looked.
	l.counting = l.health.State == control.LanePaused
	if refused && l.health.State == control.LaneFailing && l.health.Episode.Equal(episode) {
		l.counting, l.health.Failing = true, max(l.health.Failing, spent)
	}
	if l.health.State == control.LanePaused && !l.row.Paused {
		l.resume()
	}
	if l.health.State == control.LaneFailing {
		// It may have been mended while nobody looked: try at once, but gently.
		l.resting, l.failures = l.now, restAfter
		if l.failedAt.IsZero() {
			l.failedAt = l.now
		}
	}
	if l.health.Episode.IsZero() && (l.counting || l.health.State == control.LaneFailing) {
		l.health.Episode = l.health.Since
	}
	l.openStore(ctx)
	cfg, err := st.Config(ctx, l.row.Lane.Connector, pos.Version)
	if err != nil {
		return fault.Wrap(err, "load configuration")
	}
	if l.hist, err = newHistory(l.row, l.m.deps.Catalogue, l.log, pos.Cursor, cfg, pos.Until); err != nil {
		return err
	}
	if start, _ := l.m.deps.Log.Bounds(); pos.Cursor < start {
		if err := l.recoverTrimmed(ctx, start); err != nil {
			return err
		}
	}
	for k, last := range l.pos.Links {
		s := l.newStream(k)
		s.last, s.tail = last, last
	}
	for i := range l.pos.Plans {
		p := &l.pos.Plans[i]
		s := l.stream(p.Stream)
		s.plan, s.partition = p, p.Partition
	}
	drops, err := st.UnsettledDrops(ctx, l.row.Lane)
	if err != nil {
		return fault.Wrap(err, "load drops")
	}
	l.settleAt = l.now.Add(l.settleWait())
	_, l.lookBelow = l.m.deps.Log.Bounds()
	for _, d := range drops {
		s := l.stream(d.Stream)
		if s.schema == nil {
			return unknownSchema(d.Stream.Schema)
		}
		l.unsettled[s] = struct{}{}
		l.lastDrop = maxTime(l.lastDrop, d.At)
	}
	return l.seek(l.pos.Cursor)
}

// seek begins to read at from.
func (l *lane) seek(from eventlog.Offset) error {
	if l.reader != nil {
		if err := l.reader.Close(); err != nil {
			l.log.Warn("closing a reader of the log", "error", err)
		}
		l.reader = nil
	}
	r, err := l.m.deps.Log.Reader(from, eventlog.Filter{Workspace: l.row.Workspace})
	if err != nil {
		return fault.Wrap(err, "read log")
	}
	l.reader, l.caughtUp = r, false
	return nil
}

// openStore opens the bucket with the credentials of now. Without any the lane parks: a restored database may lack
// them.
func (l *lane) openStore(ctx context.Context) {
	a, err := l.m.deps.Store.Access(ctx, l.row.Lane)
	if err == nil && l.store != nil && a == l.access {
		return
	}
	if l.store != nil {
		if err := l.store.Close(); err != nil {
			l.log.Warn("closing a bucket", "error", err)
		}
		l.store = nil
	}
	if err == nil {
		l.access = a
		l.createOnly = !a.Features.IgnoresCreateOnly
		l.store, err = l.m.deps.Opener.Open(a)
	}
	if l.openErr = err; err != nil {
		l.store = nil
		l.log.Error("bucket cannot be opened", "error", err)
	}
}

func (l *lane) close() {
	l.m.caps.set(l, 0)
	for _, s := range l.streams {
		l.discard(s, len(s.files))
	}
	if l.reader != nil {
		if err := l.reader.Close(); err != nil {
			l.log.Warn("closing a reader of the log", "error", err)
		}
		l.reader = nil
	}
	if l.store != nil {
		if err := l.store.Close(); err != nil {
			l.log.Warn("closing a bucket", "error", err)
		}
		l.store = nil
	}
}

// stream gives the stream k, made if it is new.
func (l *lane) stream(k control.Stream) *stream {
	if s := l.streams[k]; s != nil {
		return s
	}
	return l.newStream(k)
}

func (l *lane) newStream(k control.Stream) *stream {
	s := &stream{Stream: k, last: -1, tail: -1}
	s.schema, _ = l.m.deps.Catalogue.Schema(event.SchemaID(k.Schema))
	l.streams[k] = s
	return s
}

// readable gives the channel that tells of something to read; nil while nothing may be gathered. While events are
// there already, it is closed.
func (l *lane) readable() <-chan struct{} {
	if l.stopping || l.reader == nil || !l.mayGather() {
		return nil
	}
	if !l.caughtUp {
		return closed
	}
	return l.reader.Ready()
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// nextTimer gives a channel that fires when something is due by the clock; nil if nothing is.
func (l *lane) nextTimer() <-chan time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if !l.stopping {
		sooner(l.watchAt)
	}
	if !l.row.Paused || l.ending() {
		if l.resting.IsZero() {
			for _, s := range l.streams {
				t, _ := l.due(s)
				sooner(t)
			}
		} else if l.attempts == 0 && l.resting.After(l.now) {
			sooner(l.resting)
		}
		if l.store == nil && l.again.After(l.now) {
			sooner(l.again)
		}
		for _, waiting := range []map[*stream]struct{}{l.ready, l.unsettled} {
			for s := range waiting {
				if s.retryAt.After(l.now) {
					sooner(s.retryAt)
				}
			}
		}
		if l.m.budget.full() && l.held.Load() > 0 {
			sooner(l.now.Add(20 * time.Millisecond)) // others free memory without telling
		}
	}
	if l.askAt.After(l.now) {
		sooner(l.askAt)
	}
	if !l.saving {
		if !l.dirty.IsZero() {
			sooner(maxTime(maxTime(l.dirty, l.lastSave).Add(saveDelay), l.saveAt))
		} else if l.cursor() > l.pos.Cursor {
			sooner(maxTime(l.lastSave.Add(idleSave), l.saveAt))
		}
	}
	if at.IsZero() {
		return nil
	}
	return time.After(max(0, at.Sub(l.now)))
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// cursor is the first offset that the lane has neither delivered nor passed over.
func (l *lane) cursor() eventlog.Offset {
	c := l.pos.Cursor
	if l.reader != nil {
		c = l.reader.Position()
	}
	if l.hist.until > 0 {
		c = min(c, l.hist.until)
	}
	for _, s := range l.streams {
		if f, ok := s.floor(); ok {
			c = min(c, f)
		}
		if len(s.covered) > 0 {
			c = min(c, s.since)
		}
	}
	return max(c, l.pos.Cursor)
}

// finished reports whether the lane has nothing left to do in this round.
func (l *lane) finished() bool {
	if l.attempts > 0 || l.saving || !l.dirty.IsZero() {
		return false
	}
	if l.stopping {
		return len(l.ready) == 0 || l.row.Paused || !l.resting.IsZero()
	}
	return l.hist.over(l.pos.Cursor) && (len(l.unsettled) == 0 || !l.finalAt().After(l.now))
}

// finish ends a lane that has delivered everything up to its end, or given it up for good.
func (l *lane) finish(ctx context.Context) error {
	l.tellLosses(ctx, true)
	if l.sendNotices(ctx); len(l.outbox) > 0 || l.untold {
		return fault.New(fault.Unavailable, "finish lane", "what is to be told of it is not saved yet")
	}
	if err := l.m.deps.Store.FinishLane(ctx, l.row.Lane); err != nil {
		return fault.Wrap(err, "finish lane")
	}
	l.setHealth(control.LaneDone, "", nil)
	l.publish()
	return nil
}

// answer does what the manager asks.
func (l *lane) answer(ctx context.Context, a ask) error {
	if a.row != nil {
		l.row = *a.row
		if o := l.order; o != nil && (o.reason == control.DropPause && !l.row.Paused || o.reason == control.DropCap && !l.row.Test) {
			l.order = nil // just in time
		}
		switch paused := l.health.State == control.LanePaused; {
		case l.row.Paused && !paused:
			// What was gathered is read again: a paused lane holds no memory.
			problem := ""
			if l.health.State == control.LaneFailing {
				problem = l.health.Problem // that episode is only interrupted
			}
			l.setHealth(control.LanePaused, problem, nil)
			l.mustRewind = true
		case !l.row.Paused && paused:
			l.resume()
			l.openStore(ctx)
		case !l.resting.IsZero():
			if a, err := l.m.deps.Store.Access(ctx, l.row.Lane); err == nil && a != l.access { // new credentials
				l.hurry(ctx)
			}
		}
	}
	if a.try && !l.resting.IsZero() {
		l.hurry(ctx)
	}
	if a.dropTo > 0 && l.idle() { // or else the manager asks again while the log is full
		return l.drop(ctx, order{a.dropTo, control.DropQuota})
	}
	if a.save && l.dirty.IsZero() && l.cursor() > l.pos.Cursor {
		l.dirty = l.now
	}
	return nil
}

// hurry has a resting lane make its next attempt now, or as soon as the one in flight is refused.
func (l *lane) hurry(ctx context.Context) {
	if l.attempts > 0 {
		l.hurried = true
		return
	}
	l.restNoMore()
	l.openStore(ctx)
}

// restNoMore has a resting lane make its next attempt now, also of a stream that has just failed.
func (l *lane) restNoMore() {
	l.resting, l.hurried = l.now, false
	for _, s := range l.streams {
		s.retryAt = time.Time{}
	}
}

// rewind forgets what is gathered and begins again at the saved position. Nothing may be in flight.
func (l *lane) rewind() error {
	l.mustRewind = false
	for _, s := range l.streams {
		l.discard(s, len(s.files))
		s.tail, s.most = s.last, 0
	}
	l.reserve()
	l.hot = nil
	l.hist.rewind(l.pos.Cursor)
	return l.seek(l.pos.Cursor)
}

// idle reports whether nothing is in flight, and everything that came of what was is saved.
func (l *lane) idle() bool { return l.attempts == 0 && !l.saving && l.dirty.IsZero() }

// leave saves what would be forgotten with the process: what the clock has counted, and what is to be told.
func (l *lane) leave(ctx context.Context) {
	l.tellLosses(ctx, true)
	l.sendNotices(ctx)
	if l.counting {
		l.setHealth(l.health.State, l.health.Problem, nil)
	}
}

// news looks at what the store has learned of the lane's end. A lane that reads meets its end in the log; one that
// rests or is paused would not.
func (l *lane) news(ctx context.Context) error {
	if !l.stale.Load() {
		return nil
	}
	if l.hist.until > 0 {
		l.stale.Store(false)
		l.lookEnd = true
		l.watchBy(l.now)
		return nil
	}
	if !l.row.Paused && l.resting.IsZero() {
		return nil
	}
	l.stale.Store(false)
	pos, err := l.m.deps.Store.Position(ctx, l.row.Lane)
	if err != nil {
		return fault.Wrap(err, "load position")
	}
	if pos.Until > 0 {
		return errReload
	}
	return nil
}

// publish shows the lane's state to others.
func (l *lane) publish() {
	st := &Status{
		Row: l.row, State: l.health.State, Problem: l.health.Problem, Cursor: l.pos.Cursor,
		Waiting: l.waiting, Held: l.held.Load(), LastFile: l.lastFile, Since: l.health.Since,
	}
	if l.reader != nil {
		st.Read = l.reader.Position()
	}
	for _, s := range l.streams {
		if s.Target != 0 { // test events are in no count
			for _, f := range s.files {
				st.Waiting -= int64(f.events)
			}
			continue
		}
		if len(s.files) > 0 && (st.Oldest.IsZero() || s.files[0].accepted.Before(st.Oldest)) {
			st.Oldest = s.files[0].accepted
		}
	}
	if st.Oldest.IsZero() && l.hist != nil && (l.row.Paused || !l.resting.IsZero()) {
		st.Oldest = l.oldest()
	}
	l.status.Store(st)
}

// oldest is the acceptance of the first event from the saved cursor on, for a lane that holds none in memory; zero if
// there is none.
func (l *lane) oldest() time.Time {
	if l.oldestOf == l.pos.Cursor && !l.oldestAt.IsZero() {
		return l.oldestAt
	}
	l.oldestOf, l.oldestAt = l.pos.Cursor, time.Time{}
	r, err := l.m.deps.Log.Reader(l.pos.Cursor, eventlog.Filter{Workspace: l.row.Workspace, Kind: eventlog.Events})
	if err != nil {
		return time.Time{} // what is wrong with the log is said where it is read for delivery
	}
	defer r.Close()
	if c, err := r.Next(); err == nil && c != nil && !l.hist.over(c.First) {
		l.oldestAt = c.Time()
	}
	return l.oldestAt
}
