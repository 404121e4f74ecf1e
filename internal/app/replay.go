package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// Replay makes a connector's recorded files again from the log.
type Replay struct {
	Connector string `required:"" placeholder:"[WORKSPACE/]NAME" help:"Whose files."`
	From      string `required:"" placeholder:"TIME" help:"Files of this hour of acceptance and later: 2026-11-22T10, or a date."`
	To        string `placeholder:"TIME" help:"Files of hours before this one; without it, all."`
	DryRun    bool   `help:"Say what would be written, and write nothing."`
	JSON      bool   `name:"json" help:"As JSON."`
}

// Help teaches.
func (Replay) Help() string {
	return `The ledger says which file held which events; the log still holds the events, for as long as MILLRACE_LOG_RETENTION says. Each file is made again with the same key and the same bytes, to the bucket that it was recorded in, and is written only if it is not there: nobody's events are doubled. It can be interrupted and run again.

    millrace replay --connector acme/warehouse --from 2026-11-22T10 --to 2026-11-22T12

What the log has forgotten is refused by name before anything is written.`
}

// replayed is what Replay did.
type replayed struct {
	Recorded int      `json:"recorded"` // files that the ledger has of the time
	There    int      `json:"there"`    // left as they are
	Written  []string `json:"written"`  // or, in a dry run, to be written
	Adopted  []string `json:"not_ours"` // missing, but written by somebody else in the first place
}

// remake is a file that is being made again.
type remake struct {
	file      control.File
	schema    *event.Schema
	config    control.Config
	codec     avrofile.Codec
	picks     event.Selection
	transform *avrofile.Transform

	buf    []byte
	count  int // in buf
	events int
	hash   avrofile.Hash
	blocks [][]byte
}

// Run replays.
func (cmd Replay) Run(ctx context.Context, c *Console, s Settings) error {
	f := control.LedgerFilter{}
	var err error
	if f.From, err = parseHour("--from", cmd.From); err != nil {
		return err
	}
	if f.Until, err = parseHour("--to", cmd.To); err != nil {
		return err
	}
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // only read
	_, conn, err := p.connector(ctx, cmd.Connector)
	if err != nil {
		return err
	}
	f.Connector = conn.Connector
	log, err := openSource(ctx, p.cfg)
	if err != nil {
		return err
	}
	defer log.Close() // only read

	buckets := map[int]bucket.Bucket{}
	defer func() {
		for _, b := range buckets {
			b.Close() // idle connections only
		}
	}()
	out := replayed{Written: []string{}, Adopted: []string{}}
	missing, err := cmd.missing(ctx, c, p, f, buckets, &out)
	if err != nil {
		return err
	}
	start, head := log.Bounds()
	var gone []string
	for _, m := range missing {
		if m.file.Log != log.ID() || m.file.First < start || m.file.Last >= head {
			gone = append(gone, fmt.Sprintf("%s (offsets %d to %d)", m.file.Key, m.file.First, m.file.Last))
		}
	}
	if len(gone) > 0 {
		more := ""
		if len(gone) > 5 {
			gone, more = gone[:5], fmt.Sprintf(" and %d more", len(gone)-5)
		}
		return fault.New(fault.NotFound, "replay", "the log no longer holds the events of %s%s; nothing was written", strings.Join(gone, ", "), more).
			WithHint("The log begins at offset %d. Choose a later --from; MILLRACE_LOG_RETENTION says how long events stay.", start)
	}
	if cmd.DryRun {
		for _, m := range missing {
			out.Written = append(out.Written, m.file.Key)
		}
		return cmd.print(c, out)
	}
	progress := c.bar("writing", thousands)
	defer progress.End()
	err = p.remakeAll(ctx, log, conn, missing, func(m *remake) error {
		if err := m.put(ctx, buckets[m.file.Lane.Destination], p.cfg.Delivery.AttemptLimit); err != nil {
			return err
		}
		out.Written = append(out.Written, m.file.Key)
		progress.Set(int64(len(out.Written)), int64(len(missing)))
		return nil
	})
	progress.End()
	if err != nil {
		return fault.Wrap(err, fmt.Sprintf("replay, after %d of %d files", len(out.Written), len(missing)))
	}
	return cmd.print(c, out)
}

func (cmd Replay) print(c *Console, out replayed) error {
	if cmd.JSON {
		return c.JSON(out)
	}
	did := "written"
	if cmd.DryRun {
		did = "would be written"
	}
	for _, k := range out.Written {
		c.Print("%s: %s", did, k)
	}
	for _, k := range out.Adopted {
		c.Print("missing, and not made by this installation: %s", k)
	}
	c.Print("%d files recorded, %d there, %d %s", out.Recorded, out.There, len(out.Written), did)
	return nil
}

// missing looks which recorded files are not in their buckets.
func (cmd Replay) missing(ctx context.Context, c *Console, p *plane, f control.LedgerFilter, buckets map[int]bucket.Bucket, out *replayed) ([]*remake, error) {
	progress := c.bar("looking", thousands)
	defer progress.End()
	var missing []*remake
	configs := map[int]control.Config{}
	err := p.eachFile(ctx, f, func(x control.File) error {
		out.Recorded++
		progress.Set(int64(out.Recorded), 0)
		b := buckets[x.Lane.Destination]
		if b == nil {
			a, err := p.store.Access(ctx, x.Lane)
			if err != nil {
				return err
			}
			if b, err = p.opener.Open(a); err != nil {
				return err
			}
			buckets[x.Lane.Destination] = b
		}
		_, err := b.Head(ctx, x.Key)
		switch {
		case err == nil:
			out.There++
			return nil
		case bucket.ProblemOf(err) != bucket.NotFound:
			return err
		case x.Adopted && x.RawHash == [16]byte{}:
			out.Adopted = append(out.Adopted, x.Key)
			return nil
		}
		m := &remake{file: x}
		var ok bool
		if m.schema, ok = p.catalogue.Schema(event.SchemaID(x.Stream.Schema)); !ok {
			return fault.New(fault.NotFound, "replay", "%s holds events of schema %d, which the catalogue does not know", x.Key, x.Stream.Schema)
		}
		if m.config, ok = configs[x.Version]; !ok {
			if m.config, err = p.store.Config(ctx, x.Lane.Connector, x.Version); err != nil {
				return err
			}
			configs[x.Version] = m.config
		}
		if m.codec, ok = avrofile.ParseCodec(m.config.Codec); !ok {
			return fault.New(fault.Corrupt, "replay", "version %d of the connector names the unknown codec %q", x.Version, m.config.Codec)
		}
		m.picks, _ = p.catalogue.Select(m.config.Events) // a type that is gone picks nothing
		var rules []avrofile.Rule
		for _, t := range m.config.Transformations {
			rules = append(rules, avrofile.Rule{Field: t.Field, Action: t.Action})
		}
		m.transform = avrofile.NewTransform(m.schema, rules)
		missing = append(missing, m)
		return nil
	})
	return missing, err
}

// remakeAll reads the log once and calls done for each file as soon as its last event was read.
func (p *plane) remakeAll(ctx context.Context, log source, conn control.Connector, files []*remake, done func(*remake) error) error {
	if len(files) == 0 {
		return nil
	}
	z := avrofile.NewCompressor()
	waiting := map[laneStream][]*remake{}
	from, to := files[0].file.First, files[0].file.Last
	for _, m := range files {
		k := laneStream{m.file.Lane.Destination, m.file.Stream}
		waiting[k] = append(waiting[k], m)
		from, to = min(from, m.file.First), max(to, m.file.Last)
	}
	var places []int
	for k, l := range waiting {
		slices.SortFunc(l, func(a, b *remake) int { return int(a.file.First - b.file.First) })
		if !slices.Contains(places, k.destination) {
			places = append(places, k.destination)
		}
	}
	return eachCommit(ctx, log, from, to+1, eventlog.Filter{Workspace: conn.Workspace, Kind: eventlog.Events}, func(c *eventlog.Commit) error {
		if c.Target != 0 && c.Target != conn.Number {
			return nil
		}
		for r := range c.Records() {
			for _, place := range places {
				k := laneStream{place, control.Stream{Schema: r.Schema, Hour: c.Hour(), Target: c.Target}}
				l := waiting[k]
				if len(l) == 0 || r.Offset < l[0].file.First {
					continue
				}
				m := l[0]
				if err := m.add(z, r); err != nil {
					return err
				}
				if r.Offset < m.file.Last {
					continue
				}
				waiting[k] = l[1:]
				if err := done(m); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// add takes one event of the file's range, as delivery does.
func (m *remake) add(z *avrofile.Compressor, r eventlog.Record) error {
	if !m.picks.Has(m.schema) {
		return nil
	}
	if m.transform == nil {
		m.buf = append(m.buf, r.Value...)
	} else {
		var err error
		if m.buf, err = m.transform.Append(m.buf, r.Value); err != nil {
			return err
		}
	}
	m.hash.Add(int64(r.Offset), r.Value)
	m.events++
	m.count++
	if avrofile.BorderAfter(int64(r.Offset), len(m.buf)) || r.Offset == m.file.Last {
		m.blocks = append(m.blocks, z.AppendBlock(nil, m.codec, m.count, m.buf))
		m.buf, m.count = m.buf[:0], 0
	}
	return nil
}

// put writes the file unless it is there. A file that cannot be made as it was is an error and nothing is written:
// another one under its key would not be the file that the ledger means.
func (m *remake) put(ctx context.Context, b bucket.Bucket, limit time.Duration) error {
	if m.events != m.file.Events || m.hash != avrofile.Hash(m.file.RawHash) {
		return fault.New(fault.Conflict, "replay "+m.file.Key, "the log gives %d events for it and the ledger says %d, or their bytes differ; it was not written", m.events, m.file.Events).
			WithHint("Part of its range stands in a file that was adopted from elsewhere. millrace verify says more.")
	}
	meta := avrofile.Meta{
		Log: m.file.Log.String(), Partition: m.file.Partition, First: int64(m.file.First), Last: int64(m.file.Last), Events: m.file.Events,
		Version: m.file.Version, Encoder: avrofile.Encoder, Hash: m.hash, Target: m.file.Stream.Target,
	}
	body := bucket.Body(avrofile.Assemble(avrofile.Header(m.schema, m.codec, meta, m.file.Key), avrofile.SyncMarker(m.file.Key), m.blocks))
	wait := 200 * time.Millisecond
	for try := 1; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, limit)
		err := b.Put(attempt, m.file.Key, body, bucket.PutOptions{CreateOnly: true, ContentType: "application/octet-stream", Metadata: meta.Map()})
		cancel()
		problem := bucket.ProblemOf(err)
		if err == nil || problem == bucket.Exists {
			m.blocks = nil
			return nil
		}
		if problem.Owner() != bucket.Passing || try == 8 || !sleep(ctx, wait) {
			return err
		}
		wait *= 2
	}
}
