package delivery

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// order is what a lane is to give up as soon as nothing is in flight.
type order struct {
	floor  eventlog.Offset // everything below
	reason control.DropReason
}

// drop gives up the lane's events as ordered: provisional ledger rows and the position in one save, with nothing in
// flight. The lane begins anew afterwards.
func (l *lane) drop(ctx context.Context, o order) error {
	l.order = nil
	floor := o.floor
	if l.hist.until > 0 {
		floor = min(floor, l.hist.until)
	}
	for _, s := range l.streams {
		for covered := range s.covered {
			if covered >= floor {
				floor = min(floor, s.since) // what holds it is found again only from there
				break
			}
		}
	}
	if floor <= l.pos.Cursor {
		return nil
	}
	if err := l.rewind(); err != nil {
		return err
	}
	hist := l.hist.clone()
	r, err := l.m.deps.Log.Reader(l.pos.Cursor, eventlog.Filter{Workspace: l.row.Workspace})
	if err != nil {
		return fault.Wrap(err, "read log")
	}
	defer r.Close()
	lost := map[control.Stream]*control.Drop{}
	for r.Position() < floor {
		c, err := r.Next()
		if err != nil {
			return fault.Wrap(err, "read log")
		}
		if c == nil || c.First >= floor {
			break
		}
		if c.Kind == eventlog.Control {
			if _, err := hist.observe(c); err != nil {
				return err
			}
			continue
		}
		if c.Kind != eventlog.Events || c.Target != 0 && c.Target != l.row.Number {
			continue
		}
		k := control.Stream{Hour: c.Hour(), Target: c.Target}
		for rec := range c.Records() {
			if rec.Offset >= floor || hist.over(rec.Offset) {
				break
			}
			k.Schema = rec.Schema
			s := l.stream(k)
			if s.schema == nil {
				return unknownSchema(k.Schema)
			}
			if s.knows(rec.Offset) || k.Target == 0 && !hist.at(rec.Offset).selects.Has(s.schema) {
				continue
			}
			d := lost[k]
			if d == nil {
				d = &control.Drop{
					Lane: l.row.Lane, Stream: k, EventType: s.schema.Type.Name, Log: l.pos.Log,
					First: rec.Offset, Reason: o.reason, At: l.now,
				}
				lost[k] = d
			}
			d.Last = rec.Offset
			d.Events++
		}
	}
	if hist.until > 0 {
		floor = min(floor, hist.until)
	}
	s := control.Save{Position: l.pos}
	s.Position.Cursor = floor
	s.Position.Version = hist.at(floor).config.Version
	s.Position.Links = map[control.Stream]eventlog.Offset{}
	s.Position.Plans = slices.DeleteFunc(slices.Clone(l.pos.Plans), func(p control.Plan) bool { return p.First < floor })
	for k, st := range l.streams {
		if st.last >= floor {
			s.Position.Links[k] = st.last
		}
	}
	for _, d := range lost {
		s.Drops = append(s.Drops, *d)
	}
	if _, err := l.m.deps.Store.Save(ctx, s); err != nil {
		if fault.Is(err, fault.Stale) {
			return errReload
		}
		return fault.Wrap(err, "save drops")
	}
	l.m.look()
	for _, d := range s.Drops {
		l.log.Warn("events dropped", "reason", d.Reason, "type", d.EventType, "events", d.Events, "first", d.First, "last", d.Last)
		if h := l.m.deps.Hooks.OnDropped; h != nil {
			h(l.row, d)
		}
	}
	return errReload
}

// settle looks into the bucket for links of a stream with provisional drops, before anything else of the stream is
// written: what an attempt before the drop has left there counts as delivered after all.
func (l *lane) settle(ctx context.Context, s *stream) error {
	if l.saving {
		s.retryAt = l.now.Add(saveDelay) // one save at a time
		return nil
	}
	if l.settleAt.After(l.now) {
		s.retryAt = l.settleAt // what was sent before the drop may still land
		return nil
	}
	all, err := l.m.deps.Store.UnsettledDrops(ctx, l.row.Lane)
	if err != nil {
		return fault.Wrap(err, "load drops")
	}
	var drops []control.Drop
	for _, d := range all {
		if d.Stream == s.Stream {
			drops = append(drops, d)
		}
	}
	save := control.Save{Position: l.position(), Files: l.files, Drops: l.drops}
	links, err := l.links(l.life, l.streamName(s).StreamPrefix())
	if err != nil {
		return err
	}
	last := s.last
	// Drops of a stream follow each other without a gap, and so do a link's events: a link takes from the drop that
	// holds its first event and from those after it.
	// Links of a log that was lost since are of its drops.
	slices.SortFunc(drops, func(a, b control.Drop) int {
		return cmp.Or(strings.Compare(a.Log.String(), b.Log.String()), cmp.Compare(a.First, b.First))
	})
	slices.SortFunc(links, func(a, b link) int { return cmp.Compare(a.name.First, b.name.First) })
	for _, w := range links {
		if w.name.Target != s.Target {
			continue
		}
		of := cmp.Or(w.meta.Log, l.pos.Log.String()) // without metadata: found by its events, if they are of this log
		i := slices.IndexFunc(drops, func(d control.Drop) bool {
			return d.Log.String() == of && int64(d.First) <= w.name.First && w.name.First <= int64(d.Last)
		})
		if i < 0 {
			continue
		}
		// What has its row was no part of a drop that is still to be settled. Its offsets may be: the log was set back.
		if _, err := l.m.deps.Store.FileByKey(l.life, l.row.Lane, w.info.Key); err == nil {
			continue
		} else if !fault.Is(err, fault.NotFound) {
			return fault.Wrap(err, "look for a link in the ledger")
		}
		log, end := drops[i].Log, i
		for end < len(drops) && drops[end].Log == log {
			end++
		}
		row, err := l.takeOut(l.life, drops[i:end], s, w)
		if err != nil {
			return err
		}
		if row.Events == 0 {
			continue // a stranger's
		}
		if log == l.pos.Log {
			last = max(last, row.Last)
		}
		save.Files = append(save.Files, row)
	}
	var borders []eventlog.Offset
	for _, w := range links {
		if w.name.Target == s.Target {
			borders = append(borders, eventlog.Offset(w.name.First))
		}
	}
	for i := range drops {
		drops[i].Settled = true
	}
	save.Drops = append(save.Drops, drops...)
	if last > s.last && last >= save.Position.Cursor {
		save.Position.Links[s.Stream] = last
	}
	seq, err := l.m.deps.Store.Save(ctx, save)
	if err != nil {
		if fault.Is(err, fault.Stale) {
			l.mustReload = true
			return nil
		}
		return fault.Wrap(err, "save settled drops")
	}
	l.moved(save.Position, seq)
	l.sureAt = l.now
	l.m.look()
	l.files, l.drops, l.dirty, l.lastSave = nil, nil, time.Time{}, l.now
	l.reserve()
	delete(l.unsettled, s)
	if last > s.last {
		l.advance(s, last)
	}
	return l.bordered(s, borders)
}

// takeOut takes the events of a link out of the drops of its stream and log, and gives its ledger row, without events if it
// holds none of ours. The first of drops holds the offset that the link is named by.
//
// The link's metadata are believed where the log no longer holds its range. Where it does they must fit the records: if the
// log was set back, the object may be of events that had their offsets before.
func (l *lane) takeOut(ctx context.Context, drops []control.Drop, s *stream, w link) (row control.File, err error) {
	row = l.adopted(s.Stream, s.schema.Type.Name, w)
	row.Log = drops[0].Log
	start, _ := l.m.deps.Log.Bounds()
	if row.Log != l.pos.Log {
		start = row.Last + 1 // nothing of that log is held any more
	}
	in := make([]int64, len(drops))
	left, held, hash := int64(row.Events), 0, avrofile.Hash{}
	if err := l.eachOf(ctx, s, max(row.First, start), row.Last, func(r eventlog.Record) bool {
		hash.Add(int64(r.Offset), r.Value)
		held++
		if i := slices.IndexFunc(drops, func(d control.Drop) bool { return r.Offset <= d.Last }); i >= 0 {
			in[i]++
		} else {
			left-- // beyond them: the log holds what is not decided
		}
		return true
	}); err != nil {
		return row, err
	}
	if whole := row.First >= start; w.meta.Log == "" || whole && (hash != row.RawHash || held != row.Events) {
		return l.findIn(ctx, drops, start, s, w, row)
	}
	for i := range drops {
		d := &drops[i]
		n := min(d.Events, left)
		if row.First >= start {
			n = min(n, in[i])
		}
		d.Events, left = d.Events-n, left-n
	}
	return row, nil
}

// findIn is takeOut by the ids that the object holds, as far as the log holds the drops. What it holds of what comes after
// them counts up to the first event that it lacks.
func (l *lane) findIn(ctx context.Context, drops []control.Drop, start eventlog.Offset, s *stream, w link, row control.File) (control.File, error) {
	ids, _, err := l.idsOf(ctx, l.store, row.Key)
	if err != nil {
		return row, err
	}
	row.Partition, row.Events, row.RawHash = w.name.Partition, 0, avrofile.Hash{}
	err = l.eachOf(ctx, s, max(drops[0].First, start), math.MaxInt64, func(r eventlog.Record) bool {
		i := slices.IndexFunc(drops, func(d control.Drop) bool { return d.First <= r.Offset && r.Offset <= d.Last && d.Events > 0 })
		open := i < 0 && r.Offset >= l.pos.Cursor && r.Offset > s.last
		id, err := s.schema.EventID(r.Value)
		if i < 0 && !open || err != nil || ids[string(id)] == 0 {
			return !open
		}
		ids[string(id)]--
		if i >= 0 {
			drops[i].Events--
		}
		if row.Events++; row.Events == 1 {
			row.First = r.Offset
		}
		row.Last = r.Offset
		return true
	})
	return row, err
}

// eachOf gives the events of s that the log holds from first to last, as they were selected then, until yield returns false.
func (l *lane) eachOf(ctx context.Context, s *stream, first, last eventlog.Offset, yield func(eventlog.Record) bool) error {
	if first > last {
		return nil
	}
	hist := l.hist.clone()
	cfg, err := l.m.deps.Store.ConfigAt(ctx, l.row.Lane.Connector, l.row.Lane.Destination, l.pos.Log, first)
	if err == nil {
		hist, err = newHistory(l.row, l.m.deps.Catalogue, l.log, first, cfg, 0)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return fault.Wrap(err, "load configuration")
	}
	return l.selected(s, first, last, hist, yield)
}

// link is an object of a lane's chain as the bucket tells of it.
type link struct {
	name avrofile.Name
	info bucket.Info
	meta avrofile.Meta
}

// listFactor is how many attempt limits a listing with its HEADs may take.
const listFactor = 20

// links lists what lies below prefix, with the metadata of ours.
func (l *lane) links(ctx context.Context, prefix string) ([]link, error) {
	ctx, cancel := context.WithTimeout(ctx, listFactor*l.m.cfg.AttemptLimit)
	defer cancel()
	var out []link
	for info, err := range l.store.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		name, ok := avrofile.ParseKey(l.hist.last().config.Destination.Folder, info.Key)
		if !ok {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, l.m.cfg.AttemptLimit)
		head, err := l.store.Head(ctx, info.Key)
		cancel()
		if err != nil {
			if bucket.ProblemOf(err) == bucket.NotFound {
				continue // taken away meanwhile
			}
			return nil, err
		}
		m, ok := avrofile.ParseMeta(head.Metadata)
		if !ok {
			m = avrofile.Meta{} // a stranger's, or copied without them
		}
		head.Key = info.Key
		out = append(out, link{name, head, m})
	}
	return out, nil
}

// streamName is a name in the stream's folder.
func (l *lane) streamName(s *stream) avrofile.Name {
	return l.name(s, &file{cfg: l.hist.last()})
}

// adopted is the ledger row of a link that was found in the bucket.
func (l *lane) adopted(k control.Stream, eventType string, w link) control.File {
	return control.File{
		Lane: l.row.Lane, Key: w.info.Key, Stream: k, EventType: eventType, Partition: w.meta.Partition, Log: l.pos.Log,
		First: eventlog.Offset(w.meta.First), Last: eventlog.Offset(w.meta.Last), Events: w.meta.Events, RawHash: w.meta.Hash,
		Size: w.info.Size, Version: w.meta.Version, Encoder: w.meta.Encoder, Cut: string(cutFound), Adopted: true, At: l.now,
	}
}
