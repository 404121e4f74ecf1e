package delivery

import (
	"cmp"
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

// VerifyInput says what to compare.
type VerifyInput struct {
	Archive
	Connector control.Connector
	Fast      bool // do not read the files: compare keys and sizes only
}

// Verdict is what Verify found. Lists are never nil.
type Verdict struct {
	Files      int64        `json:"files"`
	Events     int64        `json:"events"`
	Bytes      int64        `json:"bytes"`
	Compared   int64        `json:"events_compared_with_log"`
	Unseen     int64        `json:"events_not_compared"` // events of the log that the ledger has in buckets that cannot be looked at
	LogFrom    *time.Time   `json:"log_from,omitempty"`  // how far back that goes
	TakenAway  []string     `json:"taken_away"`
	Dropped    int64        `json:"dropped"`
	Repeated   int64        `json:"repeated_ids"` // that producers sent more than once
	Unreadable []string     `json:"unreadable"`   // destinations that cannot be looked at
	Uncompared []string     `json:"not_compared"` // files, and why the log can say nothing of them
	Wrong      []Difference `json:"differences"`  // sorted
}

// Difference is one thing that should not be.
type Difference struct {
	Kind   DifferenceKind `json:"kind"`
	Key    string         `json:"key,omitempty"` // of the file; of a gap its event type and hour
	Detail string         `json:"detail"`
}

// DifferenceKind is what is wrong.
type DifferenceKind string

// The kinds.
const (
	Damaged DifferenceKind = "damaged" // a file is not what the ledger says, or the ledger not what the log holds
	Unknown DifferenceKind = "unknown" // an object among the files that the ledger does not have
	Overlap DifferenceKind = "overlap" // two files cover the same offsets
	Gap     DifferenceKind = "gap"     // accepted events that are in no file and no drop
)

// settleTime is how long an object may be in the bucket before its ledger row is: promised is a second.
const settleTime = 3 * time.Second

// Verify compares a connector's buckets with the ledger, the ledger with itself, and the log, as far back as it
// goes, with the ledger. It changes nothing and may run beside a working Manager. What the customer took away is no
// difference. Nor is what the log lacks: a file of which it passes over offsets (a range that was set aside), or of
// whose schema the catalogue knows nothing, is compared with the ledger alone.
//
// Memory: a key for each object of a destination, an id's hash for each event of one type, a range for each row of
// the ledger.
// Errors: what keeps it from comparing: those of buckets, log and ledger. Differences are not errors.
func Verify(ctx context.Context, in VerifyInput) (Verdict, error) {
	v := &verify{VerifyInput: in, erased: map[int]bool{}, Verdict: Verdict{TakenAway: []string{}, Unreadable: []string{}, Uncompared: []string{}, Wrong: []Difference{}}}
	destinations, err := in.destinations(ctx, in.Connector)
	if err != nil {
		return v.Verdict, err
	}
	for _, d := range destinations {
		if err := v.bucket(ctx, d); err != nil {
			return v.Verdict, fault.Wrap(err, "verify bucket "+d.Bucket)
		}
	}
	err = v.log(ctx, destinations)
	slices.Sort(v.Uncompared)
	slices.SortFunc(v.Wrong, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Detail, b.Detail))
	})
	return v.Verdict, err
}

// verify is one run of Verify.
type verify struct {
	VerifyInput
	Verdict
	erased map[int]bool // destinations that cannot be looked at
}

func (v *verify) wrong(kind DifferenceKind, key, format string, args ...any) {
	v.Wrong = append(v.Wrong, Difference{kind, key, fmt.Sprintf(format, args...)})
}

// bucket compares one destination with the ledger.
func (v *verify) bucket(ctx context.Context, d control.Destination) error {
	lane := control.Lane{Connector: v.Connector.Connector, Destination: d.Number}
	a, err := v.Ledger.Access(ctx, lane)
	if fault.Is(err, fault.Forbidden) {
		v.erased[d.Number] = true
		v.Unreadable = append(v.Unreadable, fmt.Sprintf("destination %d (bucket %s): its credentials are erased", d.Number, d.Bucket))
		return nil
	}
	if err != nil {
		return err
	}
	b, err := v.Opener.Open(a)
	if err != nil {
		return err
	}
	defer b.Close() // idle connections only

	there := map[string]int64{} // key → bytes
	for o, err := range b.List(ctx, avrofile.ConnectorPrefix(d.Folder, d.Cluster, string(v.Connector.Connector))) {
		if err != nil {
			return err
		}
		if strings.HasSuffix(o.Key, ".avro") {
			there[o.Key] = o.Size
		}
		v.progress("listing "+d.Bucket, int64(len(there)), 0)
	}

	// The ledger is read after the bucket was listed: whatever it lacks then is not on its way in.
	total, done := int64(len(there)), int64(0)
	var seen map[[16]byte]bool // hashes of ids
	compare := func(f control.File) error {
		size, ok := there[f.Key]
		if !ok { // or it came after the listing had passed its place
			info, err := b.Head(ctx, f.Key)
			if bucket.ProblemOf(err) == bucket.NotFound {
				v.TakenAway = append(v.TakenAway, f.Key)
				return nil
			}
			if err != nil {
				return err
			}
			size = info.Size
		}
		delete(there, f.Key)
		v.Files, v.Events, v.Bytes = v.Files+1, v.Events+int64(f.Events), v.Bytes+size
		done++
		v.progress("comparing "+d.Bucket, done, total)
		if size != f.Size && f.Size > 0 {
			again, err := madeAgain(ctx, b, f)
			if err != nil {
				return err
			}
			if !again {
				v.wrong(Damaged, f.Key, "has %d bytes, the ledger says %d", size, f.Size)
				return nil
			}
		}
		if v.Fast {
			return nil
		}
		return v.read(ctx, b, f, seen)
	}
	for _, t := range v.Catalogue.Types() {
		// Type by type, so that the ids in memory are those of one type.
		seen = map[[16]byte]bool{}
		f := control.LedgerFilter{Connector: lane.Connector, Destination: lane.Destination, EventType: t.Name}
		if err := v.Ledger.EachFile(ctx, f, compare); err != nil {
			return err
		}
	}
	if len(there) > 0 && !pause(ctx, settleTime) {
		return ctx.Err()
	}
	for key := range there {
		f, err := v.Ledger.FileByKey(ctx, lane, key)
		if fault.Is(err, fault.NotFound) {
			v.wrong(Unknown, key, "lies among the files and is not in the ledger")
			continue
		}
		if err == nil {
			err = compare(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// madeAgain reports whether the object under f's key is f made again by another version of the encoder: it promises
// the same records, not the same size.
func madeAgain(ctx context.Context, b bucket.Bucket, f control.File) (bool, error) {
	info, err := b.Head(ctx, f.Key)
	if bucket.ProblemOf(err) == bucket.NotFound {
		return true, nil // taken away since it was listed, which reading it will tell
	}
	if err != nil {
		return false, err
	}
	m, ours := avrofile.ParseMeta(info.Metadata)
	return ours && m.Encoder != f.Encoder && describes(m, f), nil
}

// describes reports whether what a file says of itself is what the ledger says of it.
func describes(m avrofile.Meta, f control.File) bool {
	return m.Log == f.Log.String() && m.First == int64(f.First) && m.Last == int64(f.Last) && m.Events == f.Events && m.Hash == avrofile.Hash(f.RawHash)
}

// read reads one object whole and compares it with its ledger row.
func (v *verify) read(ctx context.Context, b bucket.Bucket, f control.File, seen map[[16]byte]bool) error {
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
		v.wrong(Damaged, f.Key, "%v", err)
		return nil
	case err != nil:
		return err
	case n != f.Events && !f.Adopted:
		v.wrong(Damaged, f.Key, "holds %d events, the ledger says %d", n, f.Events)
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // to the end, where the checksum is compared
		v.wrong(Damaged, f.Key, "%v", err)
	}
	if m, ours := avrofile.ParseMeta(info.Metadata); ours && !f.Adopted && !describes(m, f) {
		v.wrong(Damaged, f.Key, "says of itself offsets %d to %d, %d events; the ledger says %d to %d, %d", m.First, m.Last, m.Events, f.First, f.Last, f.Events)
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

// log goes through what the log still holds of the connector's events and looks for each in the ledger.
func (v *verify) log(ctx context.Context, destinations []control.Destination) error {
	start, head := v.Log.Bounds()
	hist, err := v.past(ctx, v.Connector)
	if err != nil {
		return err
	}
	spans, err := v.spans(ctx)
	if err != nil {
		return err
	}
	v.overlaps(spans)
	cursors := map[int]eventlog.Offset{}
	end := eventlog.Offset(0)
	for _, d := range destinations {
		pos, err := v.Ledger.Position(ctx, control.Lane{Connector: v.Connector.Connector, Destination: d.Number})
		if fault.Is(err, fault.NotFound) {
			continue // its control record is not applied yet
		}
		if err != nil {
			return err
		}
		if pos.Log == v.Log.ID() {
			cursors[d.Number] = pos.Cursor
			end = max(end, pos.Cursor)
		}
	}
	end = min(end, head)

	type hole struct {
		eventType   string
		first, last eventlog.Offset
		events      int64
	}
	holes := map[placedStream]*hole{}
	f := eventlog.Filter{Workspace: v.Connector.Workspace, Kind: eventlog.Events}
	var passed gaps
	next := start
	// All commits, also those of others: offsets that none of them has are those that the log passes over.
	err = v.eachCommit(ctx, start, end, eventlog.Filter{}, func(c *eventlog.Commit) error {
		passed.add(next, c.First+eventlog.Offset(c.Skip))
		next = c.End()
		if !f.Matches(c.Header) || c.Target != 0 && c.Target != v.Connector.Number {
			return nil
		}
		if v.LogFrom == nil {
			at := c.Time().UTC()
			v.LogFrom = &at
		}
		v.progress("comparing with the log", int64(c.First-start), int64(end-start))
		for r := range c.Records() {
			e := inForce(hist, r.Offset)
			if e == nil || r.Offset >= cursors[e.config.Destination.Number] {
				continue
			}
			schema, ok := v.Catalogue.Schema(event.SchemaID(r.Schema))
			if !ok || !e.takes(schema, c.Target) {
				continue
			}
			k := placedStream{e.config.Destination.Number, control.Stream{Schema: r.Schema, Hour: c.Hour(), Target: c.Target}}
			s := covering(spans[k], r.Offset)
			if s != nil && s.file != nil && v.erased[e.config.Destination.Number] {
				v.Unseen++
			} else {
				v.Compared++
			}
			if s != nil {
				s.events++
				if s.file != nil {
					s.hash.Add(int64(r.Offset), r.Value)
				}
				continue
			}
			h := holes[k]
			if h == nil {
				h = &hole{eventType: schema.Type.Name, first: r.Offset}
				holes[k] = h
			}
			h.last = r.Offset
			h.events++
		}
		return nil
	})
	if err != nil {
		return err
	}
	passed.add(next, end)
	for k, h := range holes {
		v.wrong(Gap, h.eventType+" "+k.Hour.String(), "%d events between offsets %d and %d were accepted and are in no file and no drop", h.events, h.first, h.last)
	}
	for _, l := range spans {
		for _, s := range l {
			// A hash of zeros: adopted by its events' ids. A range that others share holds less than the log.
			if s.file == nil || s.shared || s.file.Adopted || s.first < start || s.last >= min(head, cursors[s.file.Lane.Destination]) {
				continue
			}
			if reason := v.uncomparable(s, passed); reason != "" {
				v.Uncompared = append(v.Uncompared, s.file.Key+": "+reason)
				continue
			}
			if s.events != s.file.Events || s.hash != avrofile.Hash(s.file.RawHash) {
				v.wrong(Damaged, s.file.Key, "the log holds %d events of its range, the ledger says %d, or their bytes differ", s.events, s.file.Events)
			}
		}
	}
	return nil
}

// uncomparable says why the log can say nothing of a file; empty if it can.
func (v *verify) uncomparable(s *span, passed gaps) string {
	if _, known := v.Catalogue.Schema(event.SchemaID(s.file.Stream.Schema)); !known {
		return fmt.Sprintf("schema %d is not known here; is its file missing from the folder of schemas?", s.file.Stream.Schema)
	}
	if s.events < s.file.Events && passed.meet(s.first, s.last) {
		return "the log passes over offsets of its range"
	}
	return ""
}

// gaps are the ranges of offsets, in their order, that the log passes over.
type gaps []gap

type gap struct{ first, next eventlog.Offset }

func (g *gaps) add(first, next eventlog.Offset) {
	if first < next {
		*g = append(*g, gap{first, next})
	}
}

// meet reports whether a gap lies among the offsets first to last.
func (g gaps) meet(first, last eventlog.Offset) bool {
	i, _ := slices.BinarySearchFunc(g, first, func(x gap, o eventlog.Offset) int { return cmp.Compare(x.next, o+1) })
	return i < len(g) && g[i].first <= last
}

// spans reads what the ledger accounts for of this log, sorted by first offsets.
func (v *verify) spans(ctx context.Context) (map[placedStream][]*span, error) {
	all := control.LedgerFilter{Connector: v.Connector.Connector}
	spans := map[placedStream][]*span{}
	// Drops first: where the log was set back, offsets were given twice, and files from before speak of the first time.
	var cuts []control.Drop
	err := v.Ledger.EachDrop(ctx, all, func(d control.Drop) error {
		v.Dropped += max(0, d.Events)
		switch {
		case d.Log != v.Log.ID():
		case d.Reason == control.DropLogLost:
			cuts = append(cuts, d)
		default:
			k := placed(d.Lane, d.Stream)
			spans[k] = append(spans[k], &span{first: d.First, last: d.Last})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = v.Ledger.EachFile(ctx, all, func(f control.File) error {
		former := slices.ContainsFunc(cuts, func(d control.Drop) bool {
			return d.Lane == f.Lane && f.Last >= d.First && f.At.Before(d.At)
		})
		if f.Log == v.Log.ID() && !former {
			k := placed(f.Lane, f.Stream)
			spans[k] = append(spans[k], &span{first: f.First, last: f.Last, file: &f})
		}
		return nil
	})
	for _, l := range spans {
		slices.SortFunc(l, func(a, b *span) int { return cmp.Compare(a.first, b.first) })
	}
	return spans, err
}

// overlaps marks the spans that share offsets, and names the files that must not.
func (v *verify) overlaps(spans map[placedStream][]*span) {
	for _, l := range spans {
		a := l[0] // of those before b, the one that goes furthest
		for _, b := range l[1:] {
			if a.last >= b.first {
				a.shared, b.shared = true, true
				if a.file != nil && b.file != nil && !a.file.Adopted && !b.file.Adopted {
					v.wrong(Overlap, b.file.Key, "covers offsets that %s covers too", a.file.Key)
				}
			}
			if b.last > a.last {
				a = b
			}
		}
	}
}

// covering gives the span that holds o; spans are sorted by their first offsets. Files that overlap are few, so the
// last that begins at o or before is nearly always the one.
func covering(spans []*span, o eventlog.Offset) *span {
	i, exact := slices.BinarySearchFunc(spans, o, func(s *span, o eventlog.Offset) int { return cmp.Compare(s.first, o) })
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
