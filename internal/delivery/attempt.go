package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// outcome is what became of an attempt.
type outcome struct {
	s    *stream
	f    *file
	key  string
	size int64
	took time.Duration
	// found is set when the key is taken: what the object there covers.
	found *found
	// looked: nothing was written; what begins in the stream's prefix are borders.
	looked  bool
	borders []eventlog.Offset
	err     error
}

// start begins the attempts that may begin now.
func (l *lane) start(ctx context.Context) error {
	ending := l.ending()
	if l.order != nil || l.row.Paused && !ending || l.mustRewind || len(l.ready) == 0 && len(l.unsettled) == 0 && !l.mustProbe() {
		return nil
	}
	if !l.dirty.IsZero() && l.now.Sub(l.dirty) > saveTooOld {
		return nil // answers wait too long for their save: the customer may take files away meanwhile
	}
	slots := l.m.cfg.Slots
	if !l.resting.IsZero() && !ending {
		if l.resting.After(l.now) {
			return nil
		}
		slots = 1
	}
	if l.store == nil {
		if l.again.After(l.now) {
			return nil
		}
		if l.openStore(ctx); l.store == nil {
			l.failed(l.openErr)
			l.again = l.now.Add(l.backoff(l.failures))
			return nil
		}
	}
	if l.attempts == 0 && l.mustProbe() && !ending {
		l.attempts++
		go l.probe(ctx, l.store, l.probeKey())
		return nil
	}
	if l.resting.IsZero() || ending {
		for s := range l.unsettled {
			if s.retryAt.After(l.now) || s.inFlight {
				continue
			}
			if !l.trySettle(ctx, s) {
				return nil
			}
		}
	}
	if ending {
		return nil // a deleted connector's time is over: nothing more is written
	}
	for l.attempts < slots {
		s := l.choose()
		if s == nil {
			return nil
		}
		if _, is := l.unsettled[s]; is {
			if !l.trySettle(ctx, s) {
				return nil
			}
			continue // settling may have changed what comes next
		}
		if ok, err := l.sure(ctx); !ok {
			return err
		}
		f := s.next()
		if !s.looked && f.first < l.lookBelow {
			s.inFlight = true
			delete(l.ready, s)
			l.attempts++
			go l.look(ctx, l.store, s, f, l.streamName(s).StreamPrefix(), l.hist.last().config.Destination.Folder)
			continue
		}
		if l.row.Test && s.Target == 0 && s.plan == nil {
			if ok, err := l.underCap(ctx, s, f); err != nil || !ok {
				if err != nil || l.order != nil {
					return err
				}
				continue
			}
		}
		if !l.createOnly && s.plan == nil {
			// The store cannot tell a second writer: what this file holds must be known before it may exist.
			s.plan = &control.Plan{Stream: s.Stream, Partition: s.partition, First: f.first, Last: f.last}
			if l.dirty.IsZero() {
				l.dirty = l.now
			}
		}
		if s.plan != nil && !l.saved(s) {
			return nil // its save is under way
		}
		s.inFlight = true
		delete(l.ready, s)
		l.attempts++
		go l.attempt(ctx, l.store, l.createOnly, s, f, l.name(s, f), l.hist.clone())
	}
	return nil
}

// trySettle settles a stream, or puts it off; false: the lane is to try nothing more for now.
func (l *lane) trySettle(ctx context.Context, s *stream) bool {
	if err := l.settle(ctx, s); err != nil {
		l.later(s)
		l.failed(err)
		return l.resting.IsZero()
	}
	return !l.mustReload
}

// later puts the stream's next attempt off.
func (l *lane) later(s *stream) {
	s.tries++
	s.retryAt = l.now.Add(l.backoff(s.tries))
}

// backoff is the wait after the nth failure in a row.
func (l *lane) backoff(n int) time.Duration {
	return l.m.deps.Spread(min(backoffMax, backoffMin<<min(n, 16)))
}

// mustProbe reports whether a resting lane has nothing to write that would tell whether it may go on.
func (l *lane) mustProbe() bool {
	return !l.resting.IsZero() && !l.resting.After(l.now) && !l.mustRewind && l.atEnd() && l.waiting == 0
}

// probeKey is a key that is asked for to see whether the bucket answers.
func (l *lane) probeKey() string {
	return strings.TrimPrefix(l.hist.last().config.Destination.Folder+"/_millrace-check", "/")
}

// saved reports whether the stream's plan is saved.
func (l *lane) saved(s *stream) bool {
	for _, p := range l.pos.Plans {
		if p == *s.plan {
			return true
		}
	}
	if l.dirty.IsZero() {
		l.dirty = l.now
	}
	return false
}

// choose picks the stream with the oldest event among those that may write now.
func (l *lane) choose() *stream {
	var best *stream
	for s := range l.ready {
		f := s.next()
		if f == nil || s.retryAt.After(l.now) {
			continue
		}
		if s.plan != nil && !l.createOnly && !l.saved(s) {
			continue
		}
		if best == nil || f.first < best.files[0].first {
			best = s
		}
	}
	return best
}

// name is where a file goes.
func (l *lane) name(s *stream, f *file) avrofile.Name {
	d := f.cfg.config.Destination
	return avrofile.Name{
		Folder: d.Folder, Cluster: d.Cluster, Kind: "S3", Connector: string(l.row.Lane.Connector),
		EventType: s.schema.Type.Name, Hour: int32(s.Hour), SchemaID: s.Schema, Zone: d.Zone,
		Partition: s.partition, First: int64(f.first), Target: s.Target,
	}
}

// attempt writes one file and finds out what became of it. It runs beside the lane and changes nothing of it but
// outcomes.
func (l *lane) attempt(ctx context.Context, store bucket.Bucket, createOnly bool, s *stream, f *file, name avrofile.Name, hist *history) {
	o := outcome{s: s, f: f, key: name.Key()}
	start := time.Now()
	blocks := make([][]byte, len(f.blocks))
	for i, b := range f.blocks {
		<-b.done
		blocks[i] = b.data
	}
	meta := l.meta(s, f, name.Partition)
	header := avrofile.Header(s.schema, f.cfg.codec, meta, o.key)
	body := bucket.Body(avrofile.Assemble(header, avrofile.SyncMarker(o.key), blocks))
	o.size = body.Size()

	limited := func(call func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, l.m.cfg.AttemptLimit)
		defer cancel()
		return call(ctx)
	}
	var info bucket.Info
	head := func(ctx context.Context) (err error) {
		info, err = store.Head(ctx, o.key)
		return err
	}
	// No write of an attempt outlasts the attempt's limit, also not one that is tried twice: settling rests on it.
	putBy := start.Add(l.m.cfg.AttemptLimit)
	put := func() error {
		ctx, cancel := context.WithDeadline(ctx, putBy)
		defer cancel()
		return store.Put(ctx, o.key, body, bucket.PutOptions{
			CreateOnly: createOnly, ContentType: "application/octet-stream", Metadata: meta.Map(),
		})
	}
	// Two rounds: a key that was taken at the PUT and free at the HEAD is written again at once.
	for range 2 {
		if !createOnly {
			// The border is fixed: what stands there is this file or nothing.
			if o.err = limited(head); o.err == nil {
				break
			}
			if bucket.ProblemOf(o.err) != bucket.NotFound {
				break
			}
		}
		o.err = put()
		taken := bucket.ProblemOf(o.err)
		if taken != bucket.Exists && taken != bucket.Busy {
			info = bucket.Info{}
			break
		}
		if o.err = limited(head); bucket.ProblemOf(o.err) != bucket.NotFound {
			break
		}
	}
	if o.err == nil && info.Key != "" {
		o.found, o.err = l.examine(ctx, store, s, f, hist, info)
	}
	o.took = time.Since(start)
	l.outcomes <- o
}

func (l *lane) meta(s *stream, f *file, partition int) avrofile.Meta {
	return avrofile.Meta{
		Log: l.m.deps.Log.ID().String(), Partition: partition, First: int64(f.first), Last: int64(f.last),
		Events: f.events, Version: f.cfg.config.Version, Encoder: avrofile.Encoder, Hash: f.hash, Target: s.Target,
	}
}

// landed takes the answer of an attempt.
func (l *lane) landed(ctx context.Context, o outcome) error {
	s := o.s
	if s == nil { // a probe
		if o.err != nil {
			l.failed(o.err)
			l.openStore(ctx)
		} else {
			l.succeeded(false)
		}
		return nil
	}
	s.inFlight = false
	l.mark(s)
	defer l.reserve() // by what is in flight, or in a file, when all is done
	if fault.Is(o.err, fault.Stale) {
		return errReload // the log has forgotten what the object was to be compared with: others are ahead
	}
	if o.err != nil {
		l.later(s)
		if e, ok := errors.AsType[*bucket.Error](o.err); ok && e.RetryAfter > 0 {
			s.retryAt = maxTime(s.retryAt, l.now.Add(min(e.RetryAfter, backoffMax)))
		}
		l.failed(o.err)
		l.openStore(ctx)
		if o.took >= l.m.cfg.AttemptLimit && o.f.raw > minRaw && s.plan == nil && !l.mustRewind {
			// Too much for the line to the bucket: try less at a time.
			l.maxRaw = max(minRaw, o.f.raw/2)
			return l.reform(s)
		}
		return nil
	}
	if o.looked {
		return l.bordered(s, o.borders)
	}
	l.maxRaw = min(maxRaw, 2*l.maxRaw)
	s.tries, s.retryAt, s.most = 0, time.Time{}, 0
	l.succeeded(true)
	row := control.File{
		Lane: l.row.Lane, Key: o.key, Stream: s.Stream, EventType: s.schema.Type.Name, Partition: s.partition,
		Log: l.pos.Log, First: o.f.first, Last: o.f.last, Events: o.f.events, RawHash: o.f.hash, Size: o.size,
		Version: o.f.cfg.config.Version, Encoder: avrofile.Encoder, Cut: string(o.f.cut), At: l.now,
	}
	if w := o.found; w != nil {
		if w.events == 0 {
			// A stranger's object has the key: leave it, and go on under the next number that every writer tries.
			s.partition += foreignStep
			s.plan = nil
			l.log.Warn("a foreign object has the key of the next file; writing beside it", "key", o.key)
			if h := l.m.deps.Hooks.OnForeign; h != nil {
				h(l.row, o.key)
			}
			return nil
		}
		row.Adopted, row.First, row.Last, row.Events, row.RawHash, row.Size = true, w.first, w.last, w.events, w.hash, w.size
		if w.meta {
			row.Version, row.Encoder = w.version, w.encoder
		}
		if w.holes != nil {
			l.deliver(row, o.took)
			s.cover(w.holes)
			s.plan = nil
			return l.reform(s)
		}
	}
	l.deliver(row, o.took)
	l.advance(s, row.Last)
	if f, ok := s.floor(); ok && f <= s.last {
		return l.reform(s)
	}
	return nil
}

// look finds what stands under a stream's prefix. After a load the next key does not follow from the chain alone: if the
// database was restored from before a drop, the links after the dropped events stand beyond a gap.
func (l *lane) look(ctx context.Context, store bucket.Bucket, s *stream, f *file, prefix, folder string) {
	ctx, cancel := context.WithTimeout(ctx, listFactor*l.m.cfg.AttemptLimit)
	defer cancel()
	o := outcome{s: s, f: f, key: prefix, looked: true}
	for info, err := range store.List(ctx, prefix) {
		if err != nil {
			o.err = err
			break
		}
		if name, ok := avrofile.ParseKey(folder, info.Key); ok && name.Target == s.Target {
			o.borders = append(o.borders, eventlog.Offset(name.First))
		}
	}
	l.outcomes <- o
}

// bordered takes the borders that were found, and gathers the stream again if a file crosses one, or begins in a link.
func (l *lane) bordered(s *stream, borders []eventlog.Offset) error {
	slices.Sort(borders)
	s.looked, s.borders = true, borders
	if p := s.plan; p != nil && s.crosses(p.First, p.Last) {
		if _, written := slices.BinarySearch(borders, p.First); !written {
			s.plan = nil // given up, or the chain would not go on inside of it
		}
	}
	for _, f := range s.files {
		if f.first <= s.last || s.crosses(f.first, f.last) {
			return l.reform(s)
		}
	}
	return nil
}

// advance moves a stream past last: everything of it up to there is in an object.
func (l *lane) advance(s *stream, last eventlog.Offset) {
	s.last = max(s.last, last)
	s.partition, s.plan = 0, nil
	for o := range s.covered {
		if o <= s.last {
			delete(s.covered, o)
		}
	}
	s.tail = max(s.tail, s.last)
	n := 0
	for n < len(s.files) && s.files[n].last <= s.last {
		n++
	}
	l.discard(s, n)
}

// reform gathers a stream again from its last link on, after an object with other borders than ours was adopted.
func (l *lane) reform(s *stream) error {
	to := l.reader.Position()
	l.discard(s, len(s.files))
	s.tail = s.last
	r, err := l.m.deps.Log.Reader(max(s.last+1, l.pos.Cursor), eventlog.Filter{Workspace: l.row.Workspace, Kind: eventlog.Events})
	if err != nil {
		return fault.Wrap(err, "read log again")
	}
	defer r.Close()
	for r.Position() < to {
		c, err := r.Next()
		if err != nil {
			return fault.Wrap(err, "read log again")
		}
		if c == nil || c.First >= to {
			return nil
		}
		if err := l.take(c, s); err != nil {
			return err
		}
	}
	return nil
}

// deliver notes a ledger row for the save that covers it.
func (l *lane) deliver(row control.File, took time.Duration) {
	l.files = append(l.files, row)
	l.lastFile = l.now
	if l.dirty.IsZero() {
		l.dirty = l.now
	}
	if h := l.m.deps.Hooks.OnDelivered; h != nil {
		h(l.row, row, took)
	}
}
