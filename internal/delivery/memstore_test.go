package delivery_test

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// memStore is a control plane in memory whose commits are atomic.
type memStore struct {
	mu       sync.Mutex
	rows     map[control.Lane]control.LaneRow
	pos      map[control.Lane]control.Position
	configs  map[configKey]control.Config
	recorded map[configKey]record
	files    map[control.Lane]map[string]control.File
	drops    map[int64]control.Drop
	dropID   int64
	unseen   map[int64]bool // drops that were final before anybody looked what the bucket holds of them
	health   map[control.Lane]control.Health
	done     map[control.Lane]bool
	cursor   eventlog.Offset
	counted  eventlog.Offset
	counts   map[control.Count]int64 // Events is 0 in the key
	access   bucket.Access
	fail     error
	ignores  bool // what the check found of every bucket

	notices map[noticeKey]control.Notice
	told    []control.Notice // the same, in the order of writing
	mute    bool             // no notice ever goes out
	slow    time.Duration    // a notice goes out this long after it was written
	marks   map[eventlog.Hour]eventlog.Offset
	toldOf  map[int64]bool // drops
	hours   map[hourKey]bool
}

type noticeKey struct {
	workspace uint32
	connector control.ConnectorID
	kind      control.NoticeKind
	episode   string
}

type hourKey struct {
	connector control.ConnectorID
	hour      eventlog.Hour
}

// record is where a version's control record stands.
type record struct {
	log eventlog.ID
	at  eventlog.Offset
}

type configKey struct {
	connector control.ConnectorID
	version   int
}

func newMemStore() *memStore {
	return &memStore{
		rows: map[control.Lane]control.LaneRow{}, pos: map[control.Lane]control.Position{},
		configs: map[configKey]control.Config{}, recorded: map[configKey]record{}, files: map[control.Lane]map[string]control.File{},
		drops: map[int64]control.Drop{}, health: map[control.Lane]control.Health{}, done: map[control.Lane]bool{},
		counts: map[control.Count]int64{}, notices: map[noticeKey]control.Notice{},
		marks: map[eventlog.Hour]eventlog.Offset{}, hours: map[hourKey]bool{}, toldOf: map[int64]bool{}, unseen: map[int64]bool{},
	}
}

// copy is what a backup holds.
func (s *memStore) copy() *memStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newMemStore()
	maps.Copy(c.rows, s.rows)
	for l, p := range s.pos {
		p.Links, p.Plans = maps.Clone(p.Links), slices.Clone(p.Plans)
		c.pos[l] = p
	}
	maps.Copy(c.configs, s.configs)
	maps.Copy(c.recorded, s.recorded)
	for l, f := range s.files {
		c.files[l] = maps.Clone(f)
	}
	maps.Copy(c.drops, s.drops)
	maps.Copy(c.health, s.health)
	maps.Copy(c.done, s.done)
	maps.Copy(c.counts, s.counts)
	maps.Copy(c.notices, s.notices)
	maps.Copy(c.marks, s.marks)
	maps.Copy(c.hours, s.hours)
	maps.Copy(c.toldOf, s.toldOf)
	maps.Copy(c.unseen, s.unseen)
	c.told = slices.Clone(s.told)
	c.ignores, c.mute, c.slow = s.ignores, s.mute, s.slow
	c.dropID, c.cursor, c.counted, c.access = s.dropID, s.cursor, s.counted, s.access
	return c
}

func (s *memStore) Lanes(context.Context) ([]control.LaneRow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []control.LaneRow
	for l, r := range s.rows {
		if !s.done[l] {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b control.LaneRow) int { return a.Lane.Destination - b.Lane.Destination })
	return out, s.fail
}

func (s *memStore) Position(_ context.Context, l control.Lane) (control.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pos[l]
	if !ok {
		return p, fault.New(fault.NotFound, "load position", "no lane %v", l)
	}
	p.Links, p.Plans = maps.Clone(p.Links), slices.Clone(p.Plans)
	return p, s.fail
}

func (s *memStore) Save(_ context.Context, v control.Save) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return 0, s.fail
	}
	l := v.Position.Lane
	if s.done[l] { // as in SQL: a second worker may still hold a lane that has ended
		return 0, fault.New(fault.Stale, "save position", "the lane is done")
	}
	old := s.pos[l]
	if old.Seq != v.Position.Seq {
		return 0, fault.New(fault.Stale, "save position", "saved since")
	}
	if v.Position.Cursor < old.Cursor {
		return 0, fault.New(fault.Internal, "save position", "cursor %d below the saved %d", v.Position.Cursor, old.Cursor)
	}
	p := v.Position
	p.Until = old.Until
	p.Seq++
	p.Links, p.Plans = maps.Clone(p.Links), slices.Clone(p.Plans)
	s.pos[l] = p
	if s.files[l] == nil {
		s.files[l] = map[string]control.File{}
	}
	for _, f := range v.Files {
		if _, is := s.files[l][f.Key]; !is {
			s.files[l][f.Key] = f
		}
	}
	for _, d := range v.Drops {
		if d.ID == 0 {
			s.dropID++
			d.ID = s.dropID
		}
		s.drops[d.ID] = d
	}
	return p.Seq, nil
}

func (s *memStore) Config(_ context.Context, c control.ConnectorID, v int) (control.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg, ok := s.configs[configKey{c, v}]
	if !ok {
		return cfg, fault.New(fault.NotFound, "load configuration", "no version %d", v)
	}
	return cfg, s.fail
}

func (s *memStore) ConfigAt(_ context.Context, c control.ConnectorID, destination int, log eventlog.ID, below eventlog.Offset) (control.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	best := s.newest(c, destination, func(r record) bool { return r.log != log || r.at < below })
	if best.Version == 0 {
		return best, fault.New(fault.NotFound, "load configuration", "none below %d", below)
	}
	return best, s.fail
}

// newest is the newest version of a destination whose record is one of those. It needs s.mu.
func (s *memStore) newest(c control.ConnectorID, destination int, of func(record) bool) (best control.Config) {
	for k, r := range s.recorded {
		if cfg := s.configs[k]; k.connector == c && cfg.Destination.Number == destination && of(r) && cfg.Version > best.Version {
			best = cfg
		}
	}
	return best
}

// accept brings every lane in line with log, which now holds the offsets from start to below head and was called was
// before: as store.AcceptLog does. It gives one above the highest offset that anything knew of.
func (s *memStore) accept(was, log eventlog.ID, start, head eventlog.Offset) (known eventlog.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known = max(s.cursor, s.counted)
	for _, r := range s.recorded {
		if r.log == was {
			known = max(known, r.at+1)
		}
	}
	for _, d := range s.drops {
		if d.Log == was {
			known = max(known, d.Last+1)
		}
	}
	high := map[control.Lane]eventlog.Offset{}
	for l, p := range s.pos {
		if p.Log != was {
			continue
		}
		high[l] = p.Cursor
		for _, last := range p.Links {
			high[l] = max(high[l], last+1)
		}
		for _, f := range s.files[l] {
			if f.Log == was {
				high[l] = max(high[l], f.Last+1)
			}
		}
		known = max(known, high[l], p.Until)
	}
	lose := func(l control.Lane, first, end eventlog.Offset, events int64) {
		s.dropID++
		s.drops[s.dropID] = control.Drop{
			ID: s.dropID, Lane: l, Log: was, First: first, Last: end - 1, Events: events, Reason: control.DropLogLost, At: time.Now(), Settled: true,
		}
	}
	for l, p := range s.pos {
		if p.Log != was {
			continue
		}
		top := known
		if p.Until > 0 {
			top = min(top, p.Until)
		}
		p.Seq++
		if was != log {
			if s.done[l] {
				continue
			}
			if p.Cursor < top {
				lose(l, p.Cursor, top, -1)
			}
			if s.done[l] = p.Until > 0; !s.done[l] {
				v := s.newest(l.Connector, l.Destination, func(record) bool { return true }).Version
				p.Log, p.Cursor, p.Version, p.Links, p.Plans = log, start, max(p.Version, v), nil, nil
				s.pos[l] = p
			}
			continue
		}
		cursor := p.Cursor
		if s.done[l] {
			cursor = max(cursor, p.Until)
			top = cursor
		}
		if top = max(top, high[l]); top > head {
			events := int64(0)
			if cursor < top {
				events = -1
			}
			lose(l, head, top, events)
		}
		endLost := p.Until > 0 && p.Until >= head
		if high[l] <= head && !endLost {
			continue
		}
		version := s.newest(l.Connector, l.Destination, func(r record) bool { return r.log != log || r.at < head }).Version
		if version == 0 { // its record begins it anew
			delete(s.rows, l)
			delete(s.pos, l)
			delete(s.done, l)
			continue
		}
		if endLost {
			p.Until, s.done[l] = 0, false
		}
		for k, last := range p.Links {
			p.Links[k] = min(last, head-1) // what of the stream is left is delivered up to there
		}
		p.Plans = slices.DeleteFunc(p.Plans, func(x control.Plan) bool { return x.Last >= head })
		for id, d := range s.drops {
			if d.Lane == l && d.Log == log && d.Last >= head {
				s.unseen[id] = s.unseen[id] || !d.Settled
				d.Settled = true // what the bucket holds there from now on is other events
				s.drops[id] = d
			}
		}
		p.Version, p.Cursor = min(p.Version, version), min(p.Cursor, head)
		s.pos[l] = p
	}
	if was != log {
		s.cursor, s.counted = start, start
		clear(s.marks)
		return known
	}
	maps.DeleteFunc(s.recorded, func(_ configKey, r record) bool { return r.log == log && r.at >= head })
	maps.DeleteFunc(s.marks, func(_ eventlog.Hour, at eventlog.Offset) bool { return at >= head })
	s.cursor, s.counted = min(s.cursor, head), min(s.counted, head)
	return known
}

func (s *memStore) Access(_ context.Context, l control.Lane) (bucket.Access, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access
	if a.Bucket == "" {
		a.Bucket = "b" + string(rune('0'+l.Destination))
	}
	a.Features.IgnoresCreateOnly = a.Features.IgnoresCreateOnly || s.ignores
	return a, s.fail
}

func (s *memStore) SaveHealth(_ context.Context, h control.Health) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.health[h.Lane] = h
	}
	return s.fail
}

func (s *memStore) Health(_ context.Context, l control.Lane) (control.Health, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health[l], s.fail
}

func (s *memStore) UnsettledDrops(_ context.Context, l control.Lane) ([]control.Drop, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []control.Drop
	for _, d := range s.drops {
		if d.Lane == l && !d.Settled {
			out = append(out, d)
		}
	}
	return out, s.fail
}

func (s *memStore) FinishLane(_ context.Context, l control.Lane) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		if s.pos[l].Until == 0 {
			return fault.New(fault.Conflict, "finish lane", "it has no end")
		}
		s.done[l] = true
	}
	return s.fail
}

func (s *memStore) ControlCursor(context.Context, eventlog.ID) (eventlog.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor, s.fail
}

func (s *memStore) ApplyControl(_ context.Context, log eventlog.ID, next eventlog.Offset, recs []control.LoggedRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, r := range recs {
		if r.Record.Kind == control.RecordHour {
			if _, known := s.marks[r.Record.Hour]; !known {
				s.marks[r.Record.Hour] = r.Offset
			}
		}
		c := r.Record.Config
		if c == nil {
			continue
		}
		k := configKey{c.Connector, c.Version}
		if _, known := s.recorded[k]; known {
			continue
		}
		newest := 0
		for o := range s.recorded {
			if o.connector == c.Connector {
				newest = max(newest, o.version)
			}
		}
		s.configs[k], s.recorded[k] = *c, record{log, r.Offset}
		if c.Version < newest {
			continue // late: it changes nothing
		}
		lane := control.Lane{Connector: c.Connector, Destination: c.Destination.Number}
		for l, p := range s.pos {
			if l.Connector == c.Connector && p.Until == 0 && (l != lane || c.Deleted) {
				p.Until = r.Offset
				p.Seq++ // a worker that does not know its end yet must load it
				s.pos[l] = p
			}
		}
		if _, known := s.rows[lane]; !known && !c.Deleted {
			s.rows[lane] = control.LaneRow{Lane: lane, Workspace: c.Workspace, WorkspaceName: "w", Name: c.Name, Number: c.Number}
			s.pos[lane] = control.Position{Lane: lane, Log: log, Cursor: r.Offset + 1, Version: c.Version, Links: map[control.Stream]eventlog.Offset{}}
		}
	}
	s.cursor = max(s.cursor, next)
	return nil
}

func (s *memStore) CountsCursor(context.Context, eventlog.ID) (eventlog.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counted, s.fail
}

func (s *memStore) AddCounts(_ context.Context, _ eventlog.ID, next eventlog.Offset, counts []control.Count) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, c := range counts {
		n := c.Events
		if eventlog.HourOf(c.Minute.Start()) != c.Hour {
			return fault.New(fault.Internal, "", "minute %s is not in hour %s", c.Minute.Start(), c.Hour)
		}
		c.Events, c.Minute = 0, 0
		s.counts[c] += n
	}
	s.counted = next
	return nil
}

func (s *memStore) RetentionFloor(context.Context, eventlog.ID) (eventlog.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	floor := min(s.cursor, s.counted)
	for l, p := range s.pos {
		if !s.done[l] {
			floor = min(floor, p.Cursor)
		}
	}
	return floor, s.fail
}

func (s *memStore) UntoldDrops(_ context.Context, l control.Lane) (out []control.Drop, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, d := range s.drops {
		if d.Lane == l && !s.toldOf[id] && d.Stream.Target == 0 && d.Events > 0 && !d.OverAll() {
			out = append(out, d)
		}
	}
	return out, s.fail
}

func (s *memStore) TellDrops(ctx context.Context, told []control.Drop, notices []control.Notice) error {
	s.mu.Lock()
	if s.fail != nil {
		s.mu.Unlock()
		return s.fail
	}
	for _, d := range told {
		if now, is := s.drops[d.ID]; !is || now.Events != d.Events || s.toldOf[d.ID] {
			s.mu.Unlock()
			return fault.New(fault.Stale, "tell of drops", "drop %d has changed", d.ID)
		}
	}
	for _, d := range told {
		s.toldOf[d.ID] = true
	}
	s.mu.Unlock()
	for _, n := range notices {
		if err := s.AddNotice(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (s *memStore) AddNotice(_ context.Context, n control.Notice) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.addNotice(n)
	}
	return s.fail
}

func (s *memStore) addNotice(n control.Notice) {
	k := noticeKey{n.Workspace, n.Connector, n.Kind, n.Episode}
	if _, known := s.notices[k]; !known {
		s.notices[k] = n
		s.told = append(s.told, n)
	}
}

func (s *memStore) NoticeGone(_ context.Context, workspace uint32, c control.ConnectorID, kind control.NoticeKind, episode string, patience time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, is := s.notices[noticeKey{workspace, c, kind, episode}]
	return is && !s.mute && time.Since(n.At) >= min(s.slow, patience), s.fail
}

func (s *memStore) CapUsed(_ context.Context, workspace uint32, since time.Time) (n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l, files := range s.files {
		if r := s.rows[l]; r.Workspace != workspace || !r.Test {
			continue
		}
		for _, f := range files {
			if f.Stream.Target == 0 && !f.At.Before(since) && f.Cut != control.CutReplay {
				n += int64(f.Events)
			}
		}
	}
	return n, s.fail
}

func (s *memStore) CompleteHours(_ context.Context, log eventlog.ID) (done []control.HourDone, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	for hour, mark := range s.marks {
		whole := map[control.ConnectorID]bool{}
		for l, p := range s.pos {
			if _, seen := whole[l.Connector]; !seen {
				whole[l.Connector] = true
			}
			whole[l.Connector] = whole[l.Connector] && (s.done[l] || p.Cursor > mark || p.Until > 0 && p.Cursor >= p.Until)
		}
		for _, d := range s.drops {
			if !d.Settled && !s.done[d.Lane] && d.Stream.Hour == hour {
				whole[d.Lane.Connector] = false
			}
		}
		for c, ok := range whole {
			if k := (hourKey{c, hour}); ok && !s.hours[k] {
				s.hours[k] = true
				d := control.HourDone{Connector: c, Workspace: 1, Hour: hour, At: time.Now()}
				s.addNotice(control.HourNotice(d, "acme", "warehouse"))
				done = append(done, d)
			}
		}
	}
	return done, nil
}

func (s *memStore) PendingConfigs(context.Context) ([]control.Config, error) { return nil, nil }

func (s *memStore) FileByKey(_ context.Context, l control.Lane, key string) (control.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, is := s.files[l][key]
	if !is {
		return f, fault.New(fault.NotFound, "find file", "no file %s", key)
	}
	return f, s.fail
}

func (s *memStore) EachFile(_ context.Context, f control.LedgerFilter, do func(control.File) error) error {
	s.mu.Lock()
	var all []control.File
	for l, files := range s.files {
		for _, x := range files {
			if f.Destination != 0 && l.Destination != f.Destination || f.EventType != "" && x.EventType != f.EventType ||
				x.Stream.Hour < f.From || f.Until != 0 && x.Stream.Hour >= f.Until {
				continue
			}
			all = append(all, x)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b control.File) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Key, b.Key)) })
	for _, x := range all {
		if err := do(x); err != nil {
			return err
		}
	}
	return nil
}

func (s *memStore) EachDrop(_ context.Context, f control.LedgerFilter, do func(control.Drop) error) error {
	s.mu.Lock()
	drops := slices.SortedFunc(maps.Values(s.drops), func(a, b control.Drop) int { return cmp.Compare(a.ID, b.ID) })
	s.mu.Unlock()
	for _, x := range drops {
		if !x.OverAll() && (x.Stream.Hour < f.From || f.Until != 0 && x.Stream.Hour >= f.Until) {
			continue
		}
		if err := do(x); err != nil {
			return err
		}
	}
	return nil
}

func (s *memStore) RecoverDrop(_ context.Context, d control.Drop, files []control.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	_, is := s.drops[d.ID]
	for _, f := range files {
		if _, known := s.files[f.Lane][f.Key]; known {
			continue
		}
		if !is {
			return fault.New(fault.Stale, "recover drop", "drop %d is gone", d.ID)
		}
		if s.files[f.Lane] == nil {
			s.files[f.Lane] = map[string]control.File{}
		}
		s.files[f.Lane][f.Key] = f
	}
	switch {
	case !is:
	case d.Events == 0:
		delete(s.drops, d.ID)
	default:
		s.drops[d.ID] = d
	}
	return nil
}
