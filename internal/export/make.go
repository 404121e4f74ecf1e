package export

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zip"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// made is what came of an export.
type made struct {
	undo func(ctx context.Context) error // takes away what makes it whole; nil: nothing does
}

// make does an export as far as it comes; e goes on with it. Errors: errEnded; those of its parts.
func (r *Runner) make(ctx context.Context, e *control.Export) (made, error) {
	if err := r.May(ctx, *e); err != nil {
		return made{}, err
	}
	var to bucket.Bucket
	if e.Place.Linked() {
		var err error
		if to, err = r.Bucket(ctx, *e); err != nil {
			return made{}, err
		}
		defer to.Close()
	}
	if e.Outdated() && !e.StartedAt.IsZero() {
		if err := r.discard(ctx, e, to); err != nil {
			return made{}, err
		}
	}
	if err := r.Files.MkdirAll(string(e.ID)); err != nil {
		return made{}, err
	}
	if !e.Kind.OfPeople() {
		return r.report(ctx, e, to)
	}
	parts, err := r.people(ctx, e, to)
	if err != nil {
		return made{}, err
	}
	return r.finish(ctx, e, to, parts)
}

// loose reports whether each part is an object of its own in the bucket; else all are one archive, which the own store keeps.
func loose(e control.Export) bool { return e.Kind.Lines() && e.Place.Linked() }

// people writes all parts that are missing, and gives all.
func (r *Runner) people(ctx context.Context, e *control.Export, to bucket.Bucket) ([]control.ExportPart, error) {
	if r.People == nil {
		return nil, errNoProfiles()
	}
	began := time.Now() // before anybody is read
	titles, err := r.variations(ctx, *e)
	if err != nil {
		return nil, err
	}
	w, err := wholeOf(*e, titles)
	if err != nil {
		return nil, err
	}
	who, total, err := r.People(ctx, *e, w.needs)
	if err != nil {
		return nil, err
	}
	parts, err := r.Books.ExportParts(ctx, *e)
	if err != nil {
		return nil, err
	}
	if e.Outdated() {
		parts = nil
	}
	if parts, err = r.stillThere(*e, parts); err != nil {
		return nil, err
	}
	e.ExportProgress = control.ExportProgress{Total: total}
	for _, p := range parts {
		e.Add(p)
	}
	if err := ended(r.Books.StartExport(ctx, *e, total, began)); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancel(ctx)
	var under sync.WaitGroup
	defer under.Wait()
	defer cancel()
	// Parts are made side by side and finished in their order, so that a crash leaves no gap.
	order := make(chan *making, cap(r.workers))
	under.Go(func() { r.plan(ctx, *e, who, w, order, &under) })
	for m := range order {
		p, err := m.wait(ctx)
		if err == nil && loose(*e) {
			err = r.putPart(ctx, *e, to, p)
		}
		if err == nil {
			err = ended(r.Books.AddExportPart(ctx, *e, p))
		}
		if err != nil {
			return nil, err
		}
		e.Add(p)
		parts = append(parts, p)
	}
	return parts, ctx.Err()
}

// variations gives the titles of all variations by their ids, where a table says them.
func (r *Runner) variations(ctx context.Context, e control.Export) (map[string]string, error) {
	if r.Counts == nil || recipients[e.Kind] == 0 {
		return nil, nil
	}
	all, err := r.Counts.Names(ctx, e.Workspace, control.NameVariation)
	titles := map[string]string{}
	for _, v := range all {
		titles[v.Name] = v.Title
	}
	return titles, err
}

// ended says of a stale export that it has ended.
func ended(err error) error {
	if fault.Is(err, fault.Stale) {
		return errEnded
	}
	return err
}

// making is a part that is being made.
type making struct {
	part control.ExportPart
	err  error
	done chan struct{}
}

func (m *making) wait(ctx context.Context) (control.ExportPart, error) {
	select {
	case <-m.done:
		return m.part, m.err
	case <-ctx.Done():
		return m.part, ctx.Err()
	}
}

// plan finds out whom each part is of, has it made, and gives the parts in their order.
func (r *Runner) plan(ctx context.Context, e control.Export, who People, w whole, order chan<- *making, under *sync.WaitGroup) {
	defer close(order)
	for number, after := e.Parts+1, e.After; ; number++ {
		rows, err := who.Next(ctx, after, perPart)
		m := &making{part: control.ExportPart{Number: number, After: after, Last: after, Name: partName(e, number)}, err: err, done: make(chan struct{})}
		// A table has its head also if there is nobody in it.
		over := err == nil && len(rows) == 0
		if over && (number > 1 || len(w.head) == 0) {
			return
		}
		if len(rows) > 0 {
			m.part.Last = rows[len(rows)-1]
		}
		after = m.part.Last
		select {
		case order <- m:
		case <-ctx.Done():
			return
		}
		if err != nil || over {
			if over {
				m.err = r.writePart(ctx, e, who, w, rows, &m.part)
			}
			close(m.done)
			return
		}
		select {
		case r.workers <- struct{}{}:
		case <-ctx.Done():
			return
		}
		under.Go(func() {
			defer func() { <-r.workers }()
			defer close(m.done)
			m.err = r.writePart(ctx, e, who, w, rows, &m.part)
		})
	}
}

// spool is where a part lies until its export is done, or it is in the bucket.
func spool(e control.Export, p control.ExportPart) string {
	return inFolder(e, fmt.Sprintf("part-%06d", p.Number))
}

// writePart makes a part in its folder: a file for the bucket, or a piece of the archive of all.
func (r *Runner) writePart(ctx context.Context, e control.Export, who People, w whole, rows []int64, p *control.ExportPart) error {
	if err := r.room(); err != nil {
		return err
	}
	f, err := r.anew(spool(e, *p))
	if err != nil {
		return err
	}
	hash, packed := sha256.New(), counter{}
	buffer := bufio.NewWriterSize(io.MultiWriter(f, hash, &packed), 256<<10)
	err = func() error {
		to, err := partWriter(e, *p, buffer)
		if err != nil {
			return err
		}
		line := append([]byte{}, w.head...)
		if p.Number > 1 {
			line = line[:0]
		}
		flush := func() error {
			p.Sum, p.Plain = crc32.Update(p.Sum, crc32.IEEETable, line), p.Plain+int64(len(line))
			_, err := to.Write(line)
			line = line[:0]
			return err
		}
		if err := who.Each(ctx, rows, func(x control.Profile) error {
			p.People, p.Who = p.People+1, control.AppendMark(p.Who, x.ID)
			if line, err = w.writer.Append(line, x); err == nil && len(line) >= 64<<10 {
				err = flush()
			}
			return err
		}); err != nil {
			return err
		}
		return errors.Join(flush(), to.Close(), buffer.Flush())
	}()
	p.Bytes, p.Hash = packed.n, hash.Sum(nil)
	return errors.Join(err, f.Close())
}

// counter counts what is written to it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

// partWriter gives what packs a part.
func partWriter(e control.Export, p control.ExportPart, to io.Writer) (io.WriteCloser, error) {
	if loose(e) {
		return newPacker(to, packing(e), p.Name+".json")
	}
	z, err := flate.NewWriter(to, flate.BestSpeed)
	return packer{z, z.Flush}, err // without a last block: see piece
}

// packing is how the files of an export are packed.
func packing(e control.Export) Packing {
	if e.Spec.Packing == "" {
		return Zip
	}
	return Packing(e.Spec.Packing)
}

// stillThere gives the finished parts up to the first whose piece of the archive does not lie there as it did: another
// machine has gone on with the export, or this one lost its power.
func (r *Runner) stillThere(e control.Export, parts []control.ExportPart) ([]control.ExportPart, error) {
	if loose(e) {
		return parts, nil
	}
	for i, p := range parts {
		f, err := r.Files.Open(spool(e, p))
		if fault.Is(err, fault.NotFound) {
			return parts[:i], nil
		}
		if err != nil {
			return nil, err
		}
		hash := sha256.New()
		_, err = io.Copy(hash, io.NewSectionReader(f, 0, p.Bytes))
		size, failed := f.Size()
		if err = errors.Join(err, failed, f.Close()); err != nil {
			return nil, err
		}
		if size != p.Bytes || !bytes.Equal(hash.Sum(nil), p.Hash) {
			return parts[:i], nil
		}
	}
	return parts, nil
}

// partKey is where a part stands in the bucket.
func partKey(e control.Export, name string) string { return e.Folder() + name + packing(e).Suffix() }

// putPart puts a part to the bucket, and has no need of its file then.
func (r *Runner) putPart(ctx context.Context, e control.Export, to bucket.Bucket, p control.ExportPart) error {
	at := spool(e, p)
	if err := putFile(ctx, to, partKey(e, p.Name), r.Files, at, contentTypes[packing(e)]); err != nil {
		return err
	}
	return r.Files.Remove(at)
}

// finish makes the whole of parts, and last what says that it is whole.
func (r *Runner) finish(ctx context.Context, e *control.Export, to bucket.Bucket, parts []control.ExportPart) (made, error) {
	if loose(*e) {
		return r.finishParts(ctx, *e, to, parts)
	}
	if err := r.archive(ctx, e, parts); err != nil {
		return made{}, err
	}
	if to == nil {
		return made{}, nil
	}
	return r.putOnly(ctx, *e, to, e.File, contentTypes[Zip])
}

// putOnly puts the one object of an export, which is whole by itself.
func (r *Runner) putOnly(ctx context.Context, e control.Export, to bucket.Bucket, name, kind string) (made, error) {
	if err := r.open(ctx, e); err != nil {
		return made{}, err
	}
	return undoing(to, e.Folder()+name), putFile(ctx, to, e.Folder()+name, r.Files, inFolder(e, name), kind)
}

// undoing is what came of an export that is whole by an object.
func undoing(to bucket.Bucket, key string) made {
	return made{func(ctx context.Context) error { return to.Delete(ctx, key) }}
}

// wholeName is what the file of an export of people is called, without its suffix.
func wholeName(e control.Export) string { return "users-" + hashName(string(e.ID))[:16] }

// wholeKey is the object of the bucket by which an export of people is whole: the manifest of its parts, or all in one.
func wholeKey(e control.Export) string {
	if loose(e) {
		return e.Folder() + manifestName
	}
	return e.Folder() + wholeName(e) + ".zip"
}

// archive puts the pieces together in one archive, which the own store keeps as e.File: nothing is packed again.
func (r *Runner) archive(ctx context.Context, e *control.Export, parts []control.ExportPart) error {
	name := wholeName(*e)
	return r.whole(ctx, e, name+".zip", func(z *zip.Writer) error {
		if !e.Kind.Lines() {
			return r.addFile(z, *e, name+".csv", parts)
		}
		for i, p := range parts {
			if err := r.addFile(z, *e, p.Name+".json", parts[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	})
}

// whole writes an archive that the own store keeps, which is e.File and has e.Bytes then. What a crash leaves of it has
// another name.
func (r *Runner) whole(ctx context.Context, e *control.Export, name string, write func(z *zip.Writer) error) error {
	if err := r.room(); err != nil {
		return err
	}
	at := inFolder(*e, "whole"+vfs.TempSuffix)
	f, err := r.anew(at)
	if err != nil {
		return err
	}
	err = func() error {
		buffer := bufio.NewWriterSize(f, 256<<10)
		z := newArchive(buffer)
		if err := write(z); err != nil {
			return err
		}
		return errors.Join(z.Close(), buffer.Flush(), f.Sync())
	}()
	size, failed := f.Size()
	if err = errors.Join(err, failed, f.Close()); err != nil {
		return err
	}
	e.File, e.Bytes = name, size
	if err := r.Files.Rename(at, inFolder(*e, name)); err != nil {
		return err
	}
	if err := r.Files.SyncDir(string(e.ID)); err != nil {
		return err
	}
	return r.Own.Keep(ctx, *e)
}

// anew makes a file in place of what an earlier try may have left.
func (r *Runner) anew(at string) (vfs.File, error) {
	if err := r.Files.Remove(at); err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	return r.Files.Create(at)
}

// addFile adds to an archive a file that is the pieces of parts.
func (r *Runner) addFile(z *zip.Writer, e control.Export, name string, parts []control.ExportPart) error {
	var all piece
	for _, p := range parts {
		all = all.join(piece{p.Plain, p.Bytes, p.Sum})
	}
	to, err := all.beginFile(z, name)
	if err != nil {
		return fault.Wrap(err, "pack "+name)
	}
	for _, p := range parts {
		f, err := r.Files.Open(spool(e, p))
		if err != nil {
			return err
		}
		_, err = io.Copy(to, io.NewSectionReader(f, 0, p.Bytes))
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	_, err = to.Write(lastBlock)
	return err
}

// manifestName is the object that says that an export of several is whole: it is written last. In a folder of several exports
// the export's own name stands before it.
const manifestName = "manifest.json"

// manifest is what manifestName holds. Source: FORMAT.md.
type manifest struct {
	Export    string         `json:"export"`
	Kind      string         `json:"kind"`
	Subject   string         `json:"subject,omitempty"`
	Fields    []string       `json:"fields"`
	Custom    []string       `json:"custom_attributes,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	People    int64          `json:"people"` // of a report its lines, here and below
	Bytes     int64          `json:"bytes"`
	Files     []manifestFile `json:"files"`
}

type manifestFile struct {
	Name   string `json:"name"`
	People int64  `json:"people"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// finishParts writes the manifest of parts that stand in the bucket.
func (r *Runner) finishParts(ctx context.Context, e control.Export, to bucket.Bucket, parts []control.ExportPart) (made, error) {
	var files []manifestFile
	for _, p := range parts {
		files = append(files, manifestFile{p.Name + packing(e).Suffix(), p.People, p.Bytes, hex.EncodeToString(p.Hash)})
	}
	// A process that was killed may have put one more part than it wrote down. If those who were in it are gone since, no
	// part has taken its place.
	beyond, err := to.Head(ctx, partKey(e, partName(e, len(parts)+1)))
	if err == nil {
		err = to.Delete(ctx, beyond.Key)
	} else if bucket.ProblemOf(err) == bucket.NotFound {
		err = nil
	}
	if err != nil {
		return made{}, err
	}
	return r.manifest(ctx, e, to, manifestName, files)
}

// manifest writes the manifest of files that stand in the bucket.
func (r *Runner) manifest(ctx context.Context, e control.Export, to bucket.Bucket, name string, files []manifestFile) (made, error) {
	m := manifest{Export: string(e.ID), Kind: string(e.Kind), Subject: e.Subject, Fields: append([]string{}, e.Spec.Fields...), Custom: e.Spec.Attributes,
		CreatedAt: e.CreatedAt, People: e.People, Files: append([]manifestFile{}, files...)}
	for _, f := range files {
		m.Bytes += f.Bytes
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return made{}, fault.From(err, fault.Internal, "write manifest")
	}
	if err := r.open(ctx, e); err != nil {
		return made{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, attemptFor)
	defer cancel()
	key := e.Folder() + name
	return undoing(to, key), to.Put(ctx, key, bucket.Body{append(b, '\n')}, bucket.PutOptions{ContentType: "application/json"})
}

// open refuses to go on with an export that has ended, or is outdated.
func (r *Runner) open(ctx context.Context, e control.Export) error {
	now, err := r.Books.Export(ctx, e.Workspace, e.ID)
	switch {
	case err == nil && !now.State.Open():
		err = errEnded
	case err == nil && now.Outdated():
		err = errOutdated
	}
	return err
}

func errNoProfiles() error {
	return &fault.Error{Code: fault.Conflict, Msg: fault.Message{Key: "control.no_profiles", Text: "This installation keeps no user profiles."},
		Hint: fault.Message{Key: "control.no_profiles_hint", Text: "The operator turns the setting profiles on."}}
}

// report makes the files of an export that is not of people: an archive of all that the own store keeps, and in the bucket too.
func (r *Runner) report(ctx context.Context, e *control.Export, to bucket.Bucket) (made, error) {
	if r.Counts == nil {
		return made{}, errNoProfiles()
	}
	if err := ended(r.Books.StartExport(ctx, *e, 0, time.Now())); err != nil {
		return made{}, err
	}
	zone, err := r.Labels.Zone(ctx, e.Workspace)
	if err != nil {
		return made{}, err
	}
	report := Report{Counts: r.Counts, Labels: r.Labels, Workspace: e.Workspace, Kind: e.Kind, Spec: e.Spec.Report, Form: formOf(*e), Now: e.CreatedAt, Zone: zone}
	name := string(e.Kind) + "-" + hashName(string(e.ID))[:16]
	var files []manifestFile
	e.People = 0
	err = r.whole(ctx, e, name+".zip", func(z *zip.Writer) error {
		for _, name := range report.Files() {
			to, err := z.Create(name)
			if err != nil {
				return fault.Wrap(err, "pack "+name)
			}
			lines, err := report.Write(ctx, name, to)
			if err != nil {
				return err
			}
			e.People += lines
			files = append(files, manifestFile{Name: name, People: lines})
		}
		return nil
	})
	if err != nil || to == nil {
		return made{}, err
	}
	if packing(*e) == Zip {
		return r.putOnly(ctx, *e, to, e.File, contentTypes[Zip])
	}
	return r.putEach(ctx, *e, to, name, files)
}

// putEach puts the files of a report's archive into the bucket one by one, packed as was asked for, and then what says that
// they are whole, if it is not the one of them.
func (r *Runner) putEach(ctx context.Context, e control.Export, to bucket.Bucket, report string, files []manifestFile) (made, error) {
	archive, err := r.Files.Open(inFolder(e, e.File))
	if err != nil {
		return made{}, err
	}
	defer archive.Close() // read only
	z, err := zip.NewReader(archive, e.Bytes)
	if err != nil {
		return made{}, fault.From(err, fault.Corrupt, "read "+e.File)
	}
	for i, one := range z.File {
		f := &files[i]
		f.Name = report + "-" + one.Name + packing(e).Suffix()
		if err := r.repack(e, one, f); err != nil {
			return made{}, err
		}
		if len(files) == 1 {
			return r.putOnly(ctx, e, to, f.Name, contentTypes[packing(e)])
		}
		if err := r.open(ctx, e); err != nil {
			return made{}, err
		}
		if err := putFile(ctx, to, e.Folder()+f.Name, r.Files, inFolder(e, f.Name), contentTypes[packing(e)]); err != nil {
			return made{}, err
		}
	}
	return r.manifest(ctx, e, to, report+"-"+manifestName, files)
}

// repack writes a file of an archive as f, packed as was asked for, and says in f how that is.
func (r *Runner) repack(e control.Export, one *zip.File, f *manifestFile) error {
	from, err := one.Open()
	if err != nil {
		return fault.From(err, fault.Corrupt, "read "+one.Name)
	}
	defer from.Close() // read only
	to, err := r.anew(inFolder(e, f.Name))
	if err != nil {
		return err
	}
	hash, packed := sha256.New(), counter{}
	buffer := bufio.NewWriterSize(io.MultiWriter(to, hash, &packed), 256<<10)
	err = errors.Join(Pack(buffer, packing(e), one.Name, from), buffer.Flush(), to.Close())
	f.Bytes, f.SHA256 = packed.n, hex.EncodeToString(hash.Sum(nil))
	return err
}
