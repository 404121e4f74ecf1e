package delivery

import (
	"cmp"
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

// ReplayInput says which files to make again.
type ReplayInput struct {
	Archive
	Connector    control.Connector
	From, Until  eventlog.Hour // hours of acceptance; Until is exclusive; 0: from the first, to the last
	DryRun       bool          // say what would be written, and write nothing
	AttemptLimit time.Duration // of one PUT; 0: 30 s
}

// Replayed is what Replay did. Lists are in the order of writing, and never nil.
type Replayed struct {
	Recorded int      `json:"recorded"` // files that the ledger has of the time
	There    int      `json:"there"`    // left as they are
	Written  []string `json:"written"`  // or, in a dry run, to be written
	Adopted  []string `json:"not_ours"` // missing, but written by somebody else in the first place
	// OtherEncoder are those of Written that another version of the encoder made at first: the same records, and
	// nothing is promised of their bytes.
	OtherEncoder []string `json:"other_encoder"`
}

// Replay makes the ledger's files again from the log where they are missing in their buckets: same range, same key,
// same bytes (of another encoder version: same records), to the destination that was recorded, create-only. What is
// there is left alone, so it can be interrupted and repeated, and run beside a working Manager, which never writes a
// recorded file again.
//
// Errors: not_found, naming files, if the log no longer holds the events of some, and if the catalogue lacks a
// schema: nothing was written then. conflict: the log does not give the file that the ledger means; that one was not
// written. Those of buckets, with passing ones tried 8 times. Replayed tells what was written before any error.
// Source: FORMAT.md §3.
func Replay(ctx context.Context, in ReplayInput) (Replayed, error) {
	j := &replay{ReplayInput: in, out: Replayed{Written: []string{}, Adopted: []string{}, OtherEncoder: []string{}}, buckets: map[int]bucket.Bucket{}, plain: map[int]bool{}}
	if j.AttemptLimit <= 0 {
		j.AttemptLimit = defaults.AttemptLimit
	}
	defer func() {
		for _, b := range j.buckets {
			b.Close() // idle connections only
		}
	}()
	missing, err := j.missing(ctx)
	if err != nil {
		return j.out, err
	}
	if err := j.refuseTrimmed(missing); err != nil {
		return j.out, err
	}
	if in.DryRun {
		for _, m := range missing {
			j.wrote(m)
		}
		return j.out, nil
	}
	if err := j.remakeAll(ctx, missing); err != nil {
		return j.out, fault.Wrap(err, fmt.Sprintf("replay, after %d of %d files", len(j.out.Written), len(missing)))
	}
	return j.out, nil
}

// replay is one run of Replay.
type replay struct {
	ReplayInput
	out     Replayed
	buckets map[int]bucket.Bucket // by destination
	plain   map[int]bool          // those that ignore If-None-Match
}

// remake is a file that is being made again.
type remake struct {
	row       control.File
	schema    *event.Schema
	cfg       *epoch
	transform *avrofile.Transform

	buf    []byte
	count  int // in buf
	events int
	raw    int64 // bytes before compression
	hash   avrofile.Hash
	blocks [][]byte
}

// missing looks which recorded files are not in their buckets.
func (j *replay) missing(ctx context.Context) ([]*remake, error) {
	var missing []*remake
	versions := map[int]*epoch{}
	f := control.LedgerFilter{Connector: j.Connector.Connector, From: j.From, Until: j.Until}
	err := j.Ledger.EachFile(ctx, f, func(row control.File) error {
		j.out.Recorded++
		j.progress("looking", int64(j.out.Recorded), 0)
		b, err := j.bucket(ctx, row.Lane)
		if err != nil {
			return err
		}
		_, err = j.head(ctx, b, row.Key)
		switch {
		case err == nil:
			j.out.There++
			return nil
		case bucket.ProblemOf(err) != bucket.NotFound:
			return err
		case row.Adopted && row.RawHash == [16]byte{}:
			j.out.Adopted = append(j.out.Adopted, row.Key)
			return nil
		}
		m := &remake{row: row}
		var ok bool
		if m.schema, ok = j.Catalogue.Schema(event.SchemaID(row.Stream.Schema)); !ok {
			return fault.New(fault.NotFound, "replay", "%s holds events of schema %d, which the catalogue does not know", row.Key, row.Stream.Schema)
		}
		if m.cfg = versions[row.Version]; m.cfg == nil {
			cfg, err := j.Ledger.Config(ctx, row.Lane.Connector, row.Version)
			if err != nil {
				return err
			}
			h := j.epochs()
			if err := h.add(0, cfg); err != nil {
				return err
			}
			m.cfg = h.last()
			versions[row.Version] = m.cfg
		}
		m.transform = avrofile.NewTransform(m.schema, m.cfg.rules)
		missing = append(missing, m)
		return nil
	})
	return missing, err
}

func (j *replay) head(ctx context.Context, b bucket.Bucket, key string) (bucket.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, j.AttemptLimit)
	defer cancel()
	return b.Head(ctx, key)
}

// bucket opens the bucket of a lane, once.
func (j *replay) bucket(ctx context.Context, l control.Lane) (bucket.Bucket, error) {
	if b := j.buckets[l.Destination]; b != nil {
		return b, nil
	}
	a, err := j.Ledger.Access(ctx, l)
	if err != nil {
		return nil, err
	}
	b, err := j.Opener.Open(a)
	if err != nil {
		return nil, err
	}
	j.buckets[l.Destination], j.plain[l.Destination] = b, a.Features.IgnoresCreateOnly
	return b, nil
}

// refuseTrimmed names the files whose events the log does not hold.
func (j *replay) refuseTrimmed(files []*remake) error {
	const named = 5
	start, head := j.Log.Bounds()
	var gone []string
	for _, m := range files {
		if m.row.Log != j.Log.ID() || m.row.First < start || m.row.Last >= head {
			gone = append(gone, fmt.Sprintf("%s (offsets %d to %d)", m.row.Key, m.row.First, m.row.Last))
		}
	}
	if len(gone) == 0 {
		return nil
	}
	more := ""
	if len(gone) > named {
		gone, more = gone[:named], fmt.Sprintf(" and %d more", len(gone)-named)
	}
	return fault.New(fault.NotFound, "replay", "the log no longer holds the events of %s%s; nothing was written", strings.Join(gone, ", "), more).
		WithHint("The log begins at offset %d. Choose a later --from; MILLRACE_LOG_RETENTION says how long events stay.", start)
}

// remakeAll reads the log once and writes each file as soon as its last event was read.
func (j *replay) remakeAll(ctx context.Context, files []*remake) error {
	if len(files) == 0 {
		return nil
	}
	z := avrofile.NewCompressor()
	waiting := map[placedStream][]*remake{}
	from, to := files[0].row.First, files[0].row.Last
	for _, m := range files {
		k := placed(m.row.Lane, m.row.Stream)
		waiting[k] = append(waiting[k], m)
		from, to = min(from, m.row.First), max(to, m.row.Last)
	}
	var places []int
	for k, l := range waiting {
		slices.SortFunc(l, func(a, b *remake) int { return cmp.Compare(a.row.First, b.row.First) })
		if !slices.Contains(places, k.destination) {
			places = append(places, k.destination)
		}
	}
	done := 0
	f := eventlog.Filter{Workspace: j.Connector.Workspace, Kind: eventlog.Events}
	return j.eachCommit(ctx, from, to+1, f, func(c *eventlog.Commit) error {
		for r := range c.Records() {
			for _, place := range places {
				k := placedStream{place, control.Stream{Schema: r.Schema, Hour: c.Hour(), Target: c.Target}}
				l := waiting[k]
				if len(l) == 0 || r.Offset < l[0].row.First {
					continue
				}
				m := l[0]
				if err := m.add(z, r); err != nil {
					return err
				}
				if r.Offset < m.row.Last {
					continue
				}
				waiting[k] = l[1:]
				if err := j.put(ctx, m); err != nil {
					return err
				}
				done++
				j.progress("writing", int64(done), int64(len(files)))
			}
		}
		return nil
	})
}

// add takes one event of the file's range, as a lane does.
func (m *remake) add(z *avrofile.Compressor, r eventlog.Record) error {
	if !m.cfg.takes(m.schema, m.row.Stream.Target) {
		return nil
	}
	if m.transform == nil {
		m.buf = append(m.buf, r.Value...)
	} else {
		var err error
		if m.buf, err = m.transform.Append(m.buf, r.Value); err != nil {
			return fault.Wrap(err, "replay "+m.row.Key)
		}
	}
	m.hash.Add(int64(r.Offset), r.Value)
	m.events++
	m.count++
	m.raw += int64(len(r.Value))
	if avrofile.BorderAfter(int64(r.Offset), len(m.buf)) || r.Offset == m.row.Last {
		m.closeBlock(z)
	}
	return nil
}

func (m *remake) closeBlock(z *avrofile.Compressor) {
	if m.count > 0 {
		m.blocks = append(m.blocks, z.AppendBlock(nil, m.cfg.codec, m.count, m.buf))
		m.buf, m.count = m.buf[:0], 0
	}
}

// meta is what the file says of itself.
func (m *remake) meta() avrofile.Meta {
	return avrofile.Meta{
		Log: m.row.Log.String(), Partition: m.row.Partition, First: int64(m.row.First), Last: int64(m.row.Last), Events: m.row.Events,
		Version: m.row.Version, Encoder: avrofile.Encoder, Hash: m.hash, Target: m.row.Stream.Target,
	}
}

// body is the whole file.
func (m *remake) body() bucket.Body {
	header := avrofile.Header(m.schema, m.cfg.codec, m.meta(), m.row.Key)
	return bucket.Body(avrofile.Assemble(header, avrofile.SyncMarker(m.row.Key), m.blocks))
}

// made gives the whole file. One that cannot be made as it was is a conflict: another one under its key would not be
// the file that the ledger means.
func (m *remake) made() (bucket.Body, error) {
	const notWritten = "it was not written"
	if m.events != m.row.Events || m.hash != avrofile.Hash(m.row.RawHash) {
		return nil, fault.New(fault.Conflict, "replay "+m.row.Key, "the log gives %d events for it and the ledger says %d, or their bytes differ; %s", m.events, m.row.Events, notWritten).
			WithHint("Part of its range stands in a file that was adopted from elsewhere. millrace verify says more.")
	}
	body := m.body()
	if n := body.Size(); m.row.Encoder == avrofile.Encoder && m.row.Size > 0 && n != m.row.Size {
		return nil, fault.New(fault.Conflict, "replay "+m.row.Key, "encoder %d makes %d bytes of it and the ledger says %d; %s", avrofile.Encoder, n, m.row.Size, notWritten).
			WithHint("It was made by another build. Replay with the build that wrote it.")
	}
	return body, nil
}

// put writes the file unless it is there.
func (j *replay) put(ctx context.Context, m *remake) error {
	body, err := m.made()
	if err != nil {
		return err
	}
	there, err := j.offer(ctx, m, body)
	if err != nil {
		return err
	}
	m.blocks = nil
	if there { // somebody else put it back
		j.out.There++
	} else {
		j.wrote(m)
	}
	return nil
}

// offer writes a file create-only, with passing errors tried 8 times. there: its key is taken.
func (j *replay) offer(ctx context.Context, m *remake, body bucket.Body) (there bool, err error) {
	b := j.buckets[m.row.Lane.Destination]
	opt := bucket.PutOptions{CreateOnly: true, ContentType: "application/octet-stream", Metadata: m.meta().Map()}
	for try := 1; ; try++ {
		err := j.free(ctx, m)
		if err == nil {
			attempt, cancel := context.WithTimeout(ctx, j.AttemptLimit)
			err = b.Put(attempt, m.row.Key, body, opt)
			cancel()
		}
		problem := bucket.ProblemOf(err)
		switch {
		case err == nil:
			return false, nil
		case problem == bucket.Exists: // perhaps by a try before that arrived after all, perhaps not
			return true, nil
		case problem.Owner() != bucket.Passing, try == 8, !pause(ctx, backoffMin<<(try-1)):
			return false, err
		}
	}
}

// free gives Exists if a file's key is taken in a store that would overwrite it.
func (j *replay) free(ctx context.Context, m *remake) error {
	if !j.plain[m.row.Lane.Destination] {
		return nil
	}
	_, err := j.head(ctx, j.buckets[m.row.Lane.Destination], m.row.Key)
	switch {
	case bucket.ProblemOf(err) == bucket.NotFound:
		return nil
	case err != nil:
		return err
	}
	return &bucket.Error{Problem: bucket.Exists, Op: "HeadObject"}
}

func (j *replay) wrote(m *remake) {
	j.out.Written = append(j.out.Written, m.row.Key)
	if m.row.Encoder != avrofile.Encoder {
		j.out.OtherEncoder = append(j.out.OtherEncoder, m.row.Key)
	}
}
