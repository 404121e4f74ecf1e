package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// RecoverInput says whose dropped events to deliver after all. The fields are those of a replay; the interval is one of
// hours of acceptance.
type RecoverInput struct {
	ReplayInput
	Books Books
}

// Books is the ledger for those who write it.
type Books interface {
	// RecoverDrop writes files into the ledger and makes the row of a drop d, or removes it if d has no events left,
	// in one transaction. Doing it again changes nothing.
	RecoverDrop(ctx context.Context, d control.Drop, files []control.File) error
}

// Recovered is what Recover did. Lists are never nil.
type Recovered struct {
	Drops   int       `json:"drops"`   // rows of the ledger that have lost events of the time
	Events  int64     `json:"events"`  // that are delivered now, or would be
	Written []string  `json:"written"` // files, or in a dry run those that would be written
	Found   []string  `json:"found"`   // files that were in the bucket already, of a replay that was cut short for instance
	Refused []Refusal `json:"refused"` // drops that stay in the ledger as they are, or with what is left of them
}

// Refusal is a drop that cannot be brought back, and why.
type Refusal struct {
	EventType string             `json:"event_type"` // empty: a range over all types
	Hour      string             `json:"hour,omitempty"`
	First     eventlog.Offset    `json:"first"`
	Last      eventlog.Offset    `json:"last"`
	Events    int64              `json:"events"`
	Reason    control.DropReason `json:"reason"`
	Why       string             `json:"why"`
}

// Job does a replay that was asked for as a job, in the process that owns the log, and gives what is to be kept as its
// result. It can be done again after a crash.
func Job(ctx context.Context, in RecoverInput, p control.ReplayParams) (any, error) {
	in.From = eventlog.HourOf(p.From)
	if !p.Until.IsZero() {
		in.Until = eventlog.HourOf(p.Until.Add(time.Hour - 1))
	}
	if p.Dropped {
		return Recover(ctx, in)
	}
	return Replay(ctx, in.ReplayInput)
}

// Recover delivers what a connector has lost by rule and the log still holds, into files of their own: consecutive
// dropped events of a stream, keyed by the offset of the first, cut where the configuration changed and where a file
// was found, at most 100,000 events each; with the transformations in force at each event, to the destination that was
// recorded. For each file the ledger is moved from dropped to delivered in one transaction, after the file stands.
//
// It may be interrupted anywhere and repeated: files that stand in the bucket without a row are found by a listing of
// their stream and counted first. A drop that is not settled, whose credentials are erased, or of which the log no
// longer holds every event, is refused by name; the others are brought back all the same. It may run beside a working
// Manager, which never writes below its cursor.
//
// Memory: the compressed files that are being made, at most one for each stream with drops.
// Errors: those of buckets, with passing ones tried 8 times, log and ledger. Recovered tells what was done before any
// error.
// Source: FORMAT.md §4.
func Recover(ctx context.Context, in RecoverInput) (Recovered, error) {
	j := &recovery{
		replay: replay{ReplayInput: in.ReplayInput, buckets: map[int]bucket.Bucket{}, plain: map[int]bool{}}, books: in.Books,
		out:   Recovered{Written: []string{}, Found: []string{}, Refused: []Refusal{}},
		drops: map[placedStream][]*lostRange{}, files: map[placedStream][]span{}, keys: map[string]bool{}, z: avrofile.NewCompressor(),
	}
	if j.AttemptLimit <= 0 {
		j.AttemptLimit = defaults.AttemptLimit
	}
	defer func() {
		for _, b := range j.buckets {
			b.Close() // idle connections only
		}
	}()
	err := j.run(ctx)
	slices.SortFunc(j.out.Refused, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.EventType, b.EventType))
	})
	if err != nil {
		return j.out, fault.Wrap(err, fmt.Sprintf("replay what was dropped, after %d files", len(j.out.Written)))
	}
	return j.out, nil
}

// recovery is one run of Recover.
type recovery struct {
	replay
	books Books
	out   Recovered
	z     *avrofile.Compressor
	hist  *history
	drops map[placedStream][]*lostRange // sorted by their first offsets
	files map[placedStream][]span       // what the ledger has of these streams, likewise
	keys  map[string]bool               // of these files
}

// lostRange is a drop that is being brought back.
type lostRange struct {
	control.Drop
	held    int64 // events of it that the log holds
	seen    int64 // that were met while writing
	refused bool
	making  *remake
}

func (j *recovery) refuse(d *lostRange, why string, args ...any) {
	d.refused, d.making = true, nil
	r := Refusal{EventType: d.EventType, First: d.First, Last: d.Last, Events: d.Events, Reason: d.Reason, Why: fmt.Sprintf(why, args...)}
	if !d.OverAll() {
		r.Hour = d.Stream.Hour.String()
	}
	j.out.Refused = append(j.out.Refused, r)
}

func (j *recovery) run(ctx context.Context) error {
	if err := j.load(ctx); err != nil || len(j.drops) == 0 {
		return err
	}
	if err := j.find(ctx); err != nil {
		return err
	}
	if err := j.count(ctx); err != nil {
		return err
	}
	return j.write(ctx)
}

// load reads the drops and the files of their streams.
func (j *recovery) load(ctx context.Context) (err error) {
	if j.hist, err = j.past(ctx, j.Connector); err != nil {
		return err
	}
	f := control.LedgerFilter{Connector: j.Connector.Connector, From: j.From, Until: j.Until}
	var cuts []control.Drop // where the log was set back
	if err := j.Ledger.EachDrop(ctx, f, func(row control.Drop) error {
		if row.Reason == control.DropLogLost {
			cuts = append(cuts, row)
		}
		if row.Events == 0 {
			return nil // an attempt from before had delivered all of it
		}
		d := &lostRange{Drop: row}
		j.out.Drops++
		_, known := j.Catalogue.Schema(event.SchemaID(row.Stream.Schema))
		switch {
		case row.OverAll() || row.Events < 0:
			j.refuse(d, "the log has lost these events")
		case row.Reason == control.DropCap && j.Connector.Test:
			j.refuse(d, "it was over the cap of test connectors, and the connector still is one")
		case row.Log != j.Log.ID():
			j.refuse(d, "it is of another log")
		case !row.Settled:
			j.refuse(d, "it is not settled: the bucket has not been looked at since")
		case !known:
			j.refuse(d, "the catalogue does not know schema %d", row.Stream.Schema)
		default:
			k := placed(row.Lane, row.Stream)
			j.drops[k] = append(j.drops[k], d)
		}
		return nil
	}); err != nil {
		return err
	}
	for k, l := range j.drops {
		l = slices.DeleteFunc(l, func(d *lostRange) bool {
			former := slices.ContainsFunc(cuts, func(c control.Drop) bool {
				return c.Lane == d.Lane && c.Log == d.Log && c.ID > d.ID && c.First <= d.Last
			})
			if former {
				j.refuse(d, "the log was set back since, and gives its offsets to other events")
			}
			return former
		})
		slices.SortFunc(l, func(a, b *lostRange) int { return cmp.Compare(a.First, b.First) })
		if j.drops[k] = l; len(l) == 0 {
			delete(j.drops, k)
		}
	}
	return j.Ledger.EachFile(ctx, f, func(row control.File) error {
		if k := placed(row.Lane, row.Stream); j.drops[k] != nil && row.Log == j.Log.ID() {
			j.cover(k, row)
		}
		return nil
	})
}

// cover notes a file of the ledger.
func (j *recovery) cover(k placedStream, row control.File) {
	j.keys[row.Key] = true
	l := j.files[k]
	i, _ := slices.BinarySearchFunc(l, row.First, func(s span, o eventlog.Offset) int { return cmp.Compare(s.first, o) })
	j.files[k] = slices.Insert(l, i, span{first: row.First, last: row.Last})
}

// covered reports whether the ledger has o in a file. Files of a stream do not overlap, but for adopted ones.
func (j *recovery) covered(k placedStream, o eventlog.Offset) bool {
	for _, s := range j.files[k] {
		if s.first > o {
			return false
		}
		if o <= s.last {
			return true
		}
	}
	return false
}

// find takes what stands in the bucket already into the ledger: files of a replay that was cut short, and what arrived
// after a drop was settled. Like settling it believes metadata that fit the log, or of which the log holds no records.
func (j *recovery) find(ctx context.Context) error {
	places, err := j.destinations(ctx, j.Connector)
	if err != nil {
		return err
	}
	looked := 0
	for k, drops := range j.drops {
		j.progress("looking", int64(looked), int64(len(j.drops)))
		looked++
		lane := control.Lane{Connector: j.Connector.Connector, Destination: k.destination}
		b, err := j.bucket(ctx, lane)
		if fault.Is(err, fault.Forbidden) {
			for _, d := range drops {
				j.refuse(d, "the credentials of destination %d are erased", k.destination)
			}
			continue
		}
		if err != nil {
			return err
		}
		i := slices.IndexFunc(places, func(d control.Destination) bool { return d.Number == k.destination })
		if i < 0 {
			return fault.New(fault.NotFound, "find destination", "the connector has no destination %d", k.destination)
		}
		keys, err := j.list(ctx, b, j.name(places[i], drops[0], 0).StreamPrefix())
		if err != nil {
			return err
		}
		for _, key := range keys {
			name, ok := avrofile.ParseKey(places[i].Folder, key)
			if !ok || j.keys[key] || name.Target != k.Target {
				continue
			}
			d := within(drops, eventlog.Offset(name.First))
			if d == nil || d.refused {
				continue
			}
			if err := j.take(ctx, b, k, d, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// list gives the keys below prefix. An answer that never comes holds nobody up.
func (j *recovery) list(ctx context.Context, b bucket.Bucket, prefix string) (keys []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, listFactor*j.AttemptLimit)
	defer cancel()
	for o, err := range b.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, o.Key)
	}
	return keys, nil
}

// name is the name of a file of dropped events.
func (j *recovery) name(at control.Destination, d *lostRange, first eventlog.Offset) avrofile.Name {
	return avrofile.Name{
		Folder: at.Folder, Cluster: at.Cluster, Kind: avrofile.KindS3, Connector: string(j.Connector.Connector), EventType: d.EventType,
		Hour: int32(d.Stream.Hour), SchemaID: d.Stream.Schema, Zone: at.Zone, First: int64(first), Target: d.Stream.Target,
	}
}

// within gives the drop whose range holds o.
func within(drops []*lostRange, o eventlog.Offset) *lostRange {
	for _, d := range drops {
		if d.First <= o && o <= d.Last {
			return d
		}
	}
	return nil
}

// take takes an object into the ledger that holds events of a drop.
func (j *recovery) take(ctx context.Context, b bucket.Bucket, k placedStream, d *lostRange, key string) error {
	info, err := j.head(ctx, b, key)
	if bucket.ProblemOf(err) == bucket.NotFound {
		return nil // taken away meanwhile
	}
	if err != nil {
		return err
	}
	m, ours := avrofile.ParseMeta(info.Metadata)
	if !ours || m.Log != j.Log.ID().String() {
		return nil // if it is in the way, the write finds out
	}
	first, last := eventlog.Offset(m.First), eventlog.Offset(m.Last)
	free := !slices.ContainsFunc(j.files[k], func(s span) bool { return s.first <= last && first <= s.last })
	fits, err := j.fits(ctx, k, m)
	switch {
	case err != nil:
		return err
	case !free, fits && (last > d.Last || int64(m.Events) > d.Events):
		j.refuse(d, "%s holds events from offset %d to %d, which the ledger does not know; see millrace verify", key, first, last)
		return nil
	case !fits:
		return nil // of events that had these offsets before the log was set back
	}
	row := control.File{
		Lane: d.Lane, Key: key, Stream: d.Stream, EventType: d.EventType, Partition: m.Partition, Log: d.Log, First: first, Last: last,
		Events: m.Events, RawHash: m.Hash, Size: info.Size, Version: m.Version, Encoder: m.Encoder, Cut: string(cutReplay), Adopted: true, At: time.Now(),
	}
	if !j.DryRun {
		if err := j.enter(ctx, d, row); err != nil {
			return err
		}
	} else {
		d.Events -= int64(row.Events)
	}
	j.cover(k, row)
	j.out.Found = append(j.out.Found, key)
	j.out.Events += int64(row.Events)
	return nil
}

// fits reports whether metadata are of the events that the log holds in their range, as far as it holds them.
func (j *recovery) fits(ctx context.Context, k placedStream, m avrofile.Meta) (bool, error) {
	first, hash, events := eventlog.Offset(m.First), avrofile.Hash{}, 0
	if start, _ := j.Log.Bounds(); first < start {
		return true, nil
	}
	err := j.eachTaken(ctx, first, eventlog.Offset(m.Last)+1, func(of placedStream, _ *epoch, r eventlog.Record) error {
		if of == k {
			hash.Add(int64(r.Offset), r.Value)
			events++
		}
		return nil
	})
	return hash == m.Hash && events == m.Events, err
}

// enter moves a file's events from dropped to delivered.
func (j *recovery) enter(ctx context.Context, d *lostRange, row control.File) error {
	left := d.Drop
	left.Events -= int64(row.Events)
	if err := j.books.RecoverDrop(ctx, left, []control.File{row}); err != nil {
		return fault.Wrap(err, "save ledger")
	}
	d.Drop = left
	return nil
}

// eachLost calls do for every event that the log holds of the drops and the ledger has in no file, and skipped for one
// that it has.
func (j *recovery) eachLost(ctx context.Context, do, skipped func(k placedStream, d *lostRange, e *epoch, r eventlog.Record) error) error {
	start, head := j.Log.Bounds()
	from, to := head, start
	for _, l := range j.drops {
		for _, d := range l {
			if !d.refused && d.Events > 0 {
				from, to = min(from, max(d.First, start)), max(to, d.Last+1)
			}
		}
	}
	return j.eachTaken(ctx, from, to, func(k placedStream, e *epoch, r eventlog.Record) error {
		d := within(j.drops[k], r.Offset)
		if d == nil || d.refused {
			return nil
		}
		if j.covered(k, r.Offset) {
			return skipped(k, d, e, r)
		}
		return do(k, d, e, r)
	})
}

// eachTaken calls do for every event from from on and below to that the log holds and the connector takes.
func (j *recovery) eachTaken(ctx context.Context, from, to eventlog.Offset, do func(k placedStream, e *epoch, r eventlog.Record) error) error {
	f := eventlog.Filter{Workspace: j.Connector.Workspace, Kind: eventlog.Events}
	return j.eachCommit(ctx, from, to, f, func(c *eventlog.Commit) error {
		if c.Target != 0 && c.Target != j.Connector.Number {
			return nil
		}
		for r := range c.Records() {
			e := inForce(j.hist, r.Offset)
			if e == nil || r.Offset < from || r.Offset >= to {
				continue
			}
			schema, known := j.Catalogue.Schema(event.SchemaID(r.Schema))
			if !known || !e.takes(schema, c.Target) {
				continue
			}
			k := placedStream{e.config.Destination.Number, control.Stream{Schema: r.Schema, Hour: c.Hour(), Target: c.Target}}
			if err := do(k, e, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// count refuses the drops of which the log does not hold all.
func (j *recovery) count(ctx context.Context) error {
	none := func(placedStream, *lostRange, *epoch, eventlog.Record) error { return nil }
	if err := j.eachLost(ctx, func(_ placedStream, d *lostRange, _ *epoch, _ eventlog.Record) error {
		d.held++
		return nil
	}, none); err != nil {
		return err
	}
	start, _ := j.Log.Bounds()
	for _, l := range j.drops {
		for _, d := range l {
			switch {
			case d.refused || d.held == d.Events:
			case d.First < start:
				j.refuse(d, "the log begins at offset %d and holds %d of its events", start, d.held)
			default:
				j.refuse(d, "the log holds %d of its events; part of its range stands in files that were adopted from elsewhere", d.held)
			}
		}
	}
	return nil
}

// write makes the files.
func (j *recovery) write(ctx context.Context) error {
	return j.eachLost(ctx, func(k placedStream, d *lostRange, e *epoch, r eventlog.Record) error {
		if m := d.making; m != nil && m.cfg != e {
			if err := j.finish(ctx, k, d); err != nil || d.refused {
				return err
			}
		}
		if d.making == nil {
			d.making = j.begin(d, e, r.Offset)
		}
		m := d.making
		if err := m.add(j.z, r); err != nil {
			return err
		}
		m.row.Last = r.Offset
		m.row.Events++
		d.seen++
		if m.events >= maxEvents || m.raw >= maxRaw || d.seen == d.held {
			return j.finish(ctx, k, d)
		}
		return nil
	}, func(k placedStream, d *lostRange, _ *epoch, _ eventlog.Record) error {
		return j.finish(ctx, k, d) // a file holds consecutive events of its stream
	})
}

func (j *recovery) begin(d *lostRange, e *epoch, first eventlog.Offset) *remake {
	m := &remake{cfg: e}
	m.schema, _ = j.Catalogue.Schema(event.SchemaID(d.Stream.Schema))
	if len(e.rules) > 0 {
		m.transform = avrofile.NewTransform(m.schema, e.rules)
	}
	m.row = control.File{
		Lane: d.Lane, Key: j.name(e.config.Destination, d, first).Key(), Stream: d.Stream, EventType: d.EventType, Log: d.Log,
		First: first, Last: -1, Version: e.config.Version, Encoder: avrofile.Encoder, Cut: string(cutReplay),
	}
	return m
}

// finish writes the file that is being made of a drop, if there is one.
func (j *recovery) finish(ctx context.Context, k placedStream, d *lostRange) error {
	m := d.making
	if m == nil {
		return nil
	}
	d.making = nil
	m.closeBlock(j.z)
	m.row.RawHash = m.hash
	body := m.body()
	m.row.Size, m.row.At = body.Size(), time.Now()
	if !j.DryRun {
		there, err := j.offer(ctx, m, body)
		if err == nil && there {
			var same bool
			if same, err = j.same(ctx, m); err == nil && !same {
				j.refuse(d, "%s is taken by an object that does not say of itself what it holds", m.row.Key)
				return nil
			}
		}
		if err != nil {
			return err
		}
		if err := j.enter(ctx, d, m.row); err != nil {
			return err
		}
	}
	// What follows is read from the log: the file need not cover what was read already.
	j.out.Written = append(j.out.Written, m.row.Key)
	j.out.Events += int64(m.row.Events)
	j.progress("writing", int64(len(j.out.Written)), 0)
	return nil
}

// same reports whether the object under a file's key is that file: another replay is a little ahead.
func (j *recovery) same(ctx context.Context, m *remake) (bool, error) {
	info, err := j.head(ctx, j.buckets[m.row.Lane.Destination], m.row.Key)
	if err != nil {
		return false, err
	}
	meta, ours := avrofile.ParseMeta(info.Metadata)
	return ours && describes(meta, m.row), nil
}
