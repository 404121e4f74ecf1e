package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Verify compares a connector's bucket with the ledger, and the ledger with the log.
type Verify struct {
	Connector string `required:"" placeholder:"[WORKSPACE/]NAME" help:"Whose files."`
	Fast      bool   `help:"Do not read the files: compare keys and sizes only."`
	JSON      bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (Verify) Help() string {
	return `Three things are compared. The bucket with the ledger: every recorded file is there, is as long as recorded, says of itself what the ledger says, holds as many events; nothing else lies among them. The ledger with itself: no two files cover the same events. The log with the ledger, as far back as the log still goes: every event that the connector selected is in a file, or listed as dropped.

Files that the customer took away are listed apart: that is their right. The exit code is 1 on any other difference. It can be run while the server runs, and again after an alarm.`
}

// verdict is what Verify found.
type verdict struct {
	Connector  string       `json:"connector"`
	Files      int64        `json:"files"`
	Events     int64        `json:"events"`
	Bytes      int64        `json:"bytes"`
	Compared   int64        `json:"events_compared_with_log"`
	LogFrom    *time.Time   `json:"log_from,omitempty"` // how far back that goes
	TakenAway  []string     `json:"taken_away"`
	Dropped    int64        `json:"dropped"`
	Repeated   int64        `json:"repeated_ids"` // that producers sent more than once
	Unreadable []string     `json:"unreadable"`   // destinations that cannot be looked at
	Wrong      []difference `json:"differences"`
}

// difference is one thing that should not be.
type difference struct {
	Kind   string `json:"kind"` // damaged, unknown, overlap, gap
	Key    string `json:"key,omitempty"`
	Detail string `json:"detail"`
}

func (v *verdict) wrong(kind, key, format string, args ...any) {
	v.Wrong = append(v.Wrong, difference{kind, key, fmt.Sprintf(format, args...)})
}

// Run compares.
func (cmd Verify) Run(ctx context.Context, c *Console, s Settings) error {
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // only read
	_, conn, err := p.connector(ctx, cmd.Connector)
	if err != nil {
		return err
	}
	v := verdict{Connector: cmd.Connector, TakenAway: []string{}, Unreadable: []string{}, Wrong: []difference{}}
	destinations, err := p.destinations(ctx, conn)
	if err != nil {
		return err
	}
	log, err := openSource(ctx, p.cfg)
	if err != nil {
		return err
	}
	defer log.Close() // only read
	for _, d := range destinations {
		if err := cmd.bucket(ctx, c, p, conn, d, &v); err != nil {
			return fault.Wrap(err, fmt.Sprintf("verify bucket %s", d.Bucket))
		}
	}
	if err := p.verifyLog(ctx, c, log, conn, &v); err != nil {
		return err
	}
	if cmd.JSON {
		if err := c.JSON(v); err != nil {
			return err
		}
	} else {
		v.print(c)
	}
	if len(v.Wrong) > 0 {
		return errDiffers{fmt.Sprintf("verify found %d differences", len(v.Wrong))}
	}
	return nil
}

func (v *verdict) print(c *Console) {
	c.Print("%s files, %s events, %s", thousands(v.Files), thousands(v.Events), size(v.Bytes))
	if v.LogFrom != nil {
		c.Print("%s events compared with the log, which goes back to %s", thousands(v.Compared), v.LogFrom.Format(time.RFC3339))
	}
	if v.Dropped > 0 {
		c.Print("%s events are listed as dropped; see millrace ledger", thousands(v.Dropped))
	}
	if v.Repeated > 0 {
		c.Print("%s event ids are there more than once: producers sent these events again, and not under one Idempotency-Key", thousands(v.Repeated))
	}
	for _, k := range v.TakenAway {
		c.Print("taken away: %s", k)
	}
	for _, d := range v.Unreadable {
		c.Print("not looked at: %s", d)
	}
	for _, d := range v.Wrong {
		c.Print("%s: %s %s", d.Kind, d.Key, d.Detail)
	}
	if len(v.Wrong) == 0 {
		c.Print("no difference")
	}
}

// destinations gives every place that a connector was ever pointed to, oldest first.
func (p *plane) destinations(ctx context.Context, conn control.Connector) ([]control.Destination, error) {
	var all []control.Destination
	for version := 1; version <= conn.Version; version++ {
		cfg, err := p.store.Config(ctx, conn.Connector, version)
		if fault.Is(err, fault.NotFound) {
			continue // a restored database may know later versions only
		}
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(d control.Destination) bool { return d.Number == cfg.Destination.Number }) {
			all = append(all, cfg.Destination)
		}
	}
	return all, nil
}

// settle is how long an object may be in the bucket before its ledger row is: promised is a second.
const settle = 3 * time.Second

func (cmd Verify) bucket(ctx context.Context, c *Console, p *plane, conn control.Connector, d control.Destination, v *verdict) error {
	lane := control.Lane{Connector: conn.Connector, Destination: d.Number}
	a, err := p.store.Access(ctx, lane)
	if fault.Is(err, fault.Forbidden) {
		v.Unreadable = append(v.Unreadable, fmt.Sprintf("destination %d (bucket %s): its credentials are erased", d.Number, d.Bucket))
		return nil
	}
	if err != nil {
		return err
	}
	b, err := p.opener.Open(a)
	if err != nil {
		return err
	}
	defer b.Close() // idle connections only

	progress := c.bar("listing "+d.Bucket, thousands)
	defer progress.End()
	there := map[string]int64{}
	for o, err := range b.List(ctx, avrofile.ConnectorPrefix(d.Folder, d.Cluster, string(conn.Connector))) {
		if err != nil {
			return err
		}
		if strings.HasSuffix(o.Key, ".avro") {
			there[o.Key] = o.Size
		}
		progress.Set(int64(len(there)), 0)
	}
	total := int64(len(there))
	progress.End()
	progress = c.bar("comparing "+d.Bucket, thousands)
	defer progress.End()

	// The ledger is read after the bucket was listed: whatever it lacks then is not on its way in.
	var seen map[[16]byte]bool
	typ, done := "", int64(0)
	read := func(f control.File) error {
		size, ok := there[f.Key]
		if !ok {
			v.TakenAway = append(v.TakenAway, f.Key)
			return nil
		}
		delete(there, f.Key)
		v.Files, v.Events, v.Bytes = v.Files+1, v.Events+int64(f.Events), v.Bytes+size
		done++
		progress.Set(done, total)
		if size != f.Size && f.Size > 0 {
			v.wrong("damaged", f.Key, "has %d bytes, the ledger says %d", size, f.Size)
			return nil
		}
		if cmd.Fast {
			return nil
		}
		return readFileOf(ctx, b, f, seen, v)
	}
	for _, t := range p.catalogue.Types() {
		// Type by type, so that the ids in memory are those of one type.
		if typ = t.Name; !cmd.Fast {
			seen = map[[16]byte]bool{}
		}
		if err := p.eachFile(ctx, control.LedgerFilter{Connector: conn.Connector, Destination: d.Number, EventType: typ}, read); err != nil {
			return err
		}
	}
	if len(there) > 0 && !sleep(ctx, settle) {
		return ctx.Err()
	}
	for key := range there {
		f, err := p.store.FileByKey(ctx, lane, key)
		if fault.Is(err, fault.NotFound) {
			v.wrong("unknown", key, "lies among the files and is not in the ledger")
			continue
		}
		if err == nil {
			err = read(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readFileOf reads one object whole and compares it with its ledger row.
func readFileOf(ctx context.Context, b bucket.Bucket, f control.File, seen map[[16]byte]bool, v *verdict) error {
	in, info, err := b.Get(ctx, f.Key)
	if bucket.ProblemOf(err) == bucket.NotFound {
		v.TakenAway = append(v.TakenAway, f.Key) // a moment ago
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close() // read only
	n := 0
	err = avrofile.EventIDs(in, func(id []byte) bool {
		n++
		h := xxh3.Hash128(id).Bytes()
		if seen[h] {
			v.Repeated++
		}
		seen[h] = true
		return true
	})
	switch {
	case fault.Is(err, fault.Corrupt):
		v.wrong("damaged", f.Key, "%s", Sentence(err))
		return nil
	case err != nil:
		return err
	case n != f.Events && !f.Adopted:
		v.wrong("damaged", f.Key, "holds %d events, the ledger says %d", n, f.Events)
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // to the end, where the checksum is compared
		v.wrong("damaged", f.Key, "%v", err)
	}
	m, ours := avrofile.ParseMeta(info.Metadata)
	if ours && !f.Adopted && (m.Log != f.Log.String() || m.First != int64(f.First) || m.Last != int64(f.Last) || m.Events != f.Events || m.Hash != avrofile.Hash(f.RawHash)) {
		v.wrong("damaged", f.Key, "says of itself offsets %d to %d, %d events; the ledger says %d to %d, %d", m.First, m.Last, m.Events, f.First, f.Last, f.Events)
	}
	return nil
}

// span is a range of a stream that the ledger accounts for.
type span struct {
	first, last eventlog.Offset
	file        *control.File // nil: a drop
	shared      bool          // another one covers some of it too
	hash        avrofile.Hash // of what the log holds of it
	events      int
}

// laneStream is a stream of one lane.
type laneStream struct {
	destination int
	stream      control.Stream
}

// verifyLog goes through what the log still holds of the connector's events and looks for each in the ledger.
func (p *plane) verifyLog(ctx context.Context, c *Console, log source, conn control.Connector, v *verdict) error {
	start, head := log.Bounds()
	t, err := p.tell(ctx, log, conn)
	if err != nil {
		return err
	}
	// Drops first: where the log was set back, offsets were given twice, and files from before speak of the first time.
	spans := map[laneStream][]*span{}
	var cuts []control.Drop
	err = p.eachDrop(ctx, control.LedgerFilter{Connector: conn.Connector}, func(d control.Drop) error {
		v.Dropped += max(0, d.Events)
		switch {
		case d.Log != log.ID():
		case d.Reason == control.DropLogLost:
			cuts = append(cuts, d)
		default:
			k := laneStream{d.Lane.Destination, d.Stream}
			spans[k] = append(spans[k], &span{first: d.First, last: d.Last})
		}
		return nil
	})
	if err != nil {
		return err
	}
	types := map[laneStream]string{}
	err = p.eachFile(ctx, control.LedgerFilter{Connector: conn.Connector}, func(f control.File) error {
		former := slices.ContainsFunc(cuts, func(d control.Drop) bool {
			return d.Lane == f.Lane && f.Last >= d.First && f.At.Before(d.At)
		})
		if f.Log != log.ID() || former {
			return nil
		}
		k := laneStream{f.Lane.Destination, f.Stream}
		spans[k] = append(spans[k], &span{first: f.First, last: f.Last, file: &f})
		types[k] = f.EventType
		return nil
	})
	if err != nil {
		return err
	}
	for _, l := range spans {
		slices.SortFunc(l, func(a, b *span) int { return int(a.first - b.first) })
		for i := 1; i < len(l); i++ {
			a, b := l[i-1], l[i]
			if a.last < b.first {
				continue
			}
			a.shared, b.shared = true, true
			if a.file != nil && b.file != nil && !a.file.Adopted && !b.file.Adopted {
				v.wrong("overlap", b.file.Key, "covers offsets that %s covers too", a.file.Key)
			}
		}
	}
	cursors := map[int]eventlog.Offset{}
	end := eventlog.Offset(0)
	destinations, err := p.destinations(ctx, conn)
	if err != nil {
		return err
	}
	for _, d := range destinations {
		pos, err := p.store.Position(ctx, control.Lane{Connector: conn.Connector, Destination: d.Number})
		if fault.Is(err, fault.NotFound) {
			continue // its control record is not applied yet
		}
		if err != nil {
			return err
		}
		if pos.Log == log.ID() {
			cursors[d.Number] = pos.Cursor
			end = max(end, pos.Cursor)
		}
	}

	type hole struct {
		first, last eventlog.Offset
		events      int64
	}
	holes := map[laneStream]*hole{}
	progress := c.bar("comparing with the log", thousands)
	defer progress.End()
	err = eachCommit(ctx, log, start, min(head, end), eventlog.Filter{Workspace: conn.Workspace, Kind: eventlog.Events}, func(cm *eventlog.Commit) error {
		if cm.Target != 0 && cm.Target != conn.Number {
			return nil
		}
		if v.LogFrom == nil {
			at := cm.Time().UTC()
			v.LogFrom = &at
		}
		progress.Set(int64(cm.First-start), int64(end-start))
		for r := range cm.Records() {
			e := t.at(r.Offset)
			if e == nil || r.Offset >= cursors[e.config.Destination.Number] {
				continue
			}
			schema, ok := p.catalogue.Schema(event.SchemaID(r.Schema))
			if !ok || !e.picks.Has(schema) {
				continue
			}
			v.Compared++
			k := laneStream{e.config.Destination.Number, control.Stream{Schema: r.Schema, Hour: cm.Hour(), Target: cm.Target}}
			if s := covering(spans[k], r.Offset); s != nil {
				s.events++
				if s.file != nil {
					s.hash.Add(int64(r.Offset), r.Value)
				}
				continue
			}
			h := holes[k]
			if h == nil {
				h = &hole{first: r.Offset}
				holes[k], types[k] = h, schema.Type.Name
			}
			h.last = r.Offset
			h.events++
		}
		return nil
	})
	if err != nil {
		return err
	}
	for k, h := range holes {
		v.wrong("gap", types[k]+" "+k.stream.Hour.String(), "%d events between offsets %d and %d were accepted and are in no file and no drop", h.events, h.first, h.last)
	}
	for _, l := range spans {
		for _, s := range l {
			// A hash of zeros: adopted by its events' ids. A range that others share holds less than the log.
			if s.file == nil || s.shared || s.file.Adopted || s.first < start || s.last >= min(head, cursors[s.file.Lane.Destination]) {
				continue
			}
			if s.events != s.file.Events || s.hash != avrofile.Hash(s.file.RawHash) {
				v.wrong("damaged", s.file.Key, "the log holds %d events of its range, the ledger says %d, or their bytes differ", s.events, s.file.Events)
			}
		}
	}
	return nil
}

// covering gives the span that holds o; spans are sorted by their first offsets. Files that overlap are few, so the
// last that begins at o or before is nearly always the one.
func covering(spans []*span, o eventlog.Offset) *span {
	i, exact := slices.BinarySearchFunc(spans, o, func(s *span, o eventlog.Offset) int { return int(s.first - o) })
	if exact {
		return spans[i]
	}
	for i--; i >= 0; i-- {
		if spans[i].last >= o {
			return spans[i]
		}
		if !spans[i].shared && spans[i].file != nil {
			return nil
		}
	}
	return nil
}
