package export

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// File is the file of an export that is done.
type File interface {
	io.ReaderAt
	io.Closer
	Size() (int64, error)
}

// Own is the installation's own store: of each export it holds at most the one file that can be downloaded. All methods are
// safe for concurrent use.
//
// Errors of all: unavailable if it cannot be reached; to whoever asked for an export nothing is said of why.
type Own interface {
	// Keep keeps e.File, which lies in the folder in which e is made, in place of what an earlier try may have left.
	Keep(ctx context.Context, e control.Export) error

	// Open opens e.File; reading ends with ctx. Errors: stale if it is not there any more.
	Open(ctx context.Context, e control.Export) (File, error)

	// Leave removes all that there is of an export, also in the folder in which it is made, but the kept file of that name;
	// empty: none.
	Leave(ctx context.Context, id control.ExportID, file string) error

	// All gives the exports of which there is anything.
	All(ctx context.Context) ([]control.ExportID, error)
}

// Watched is an own store that tells whether it works.
type Watched struct {
	Own
	failed atomic.Int64 // when it last did, in milliseconds; 0: never
}

// Watch watches an own store.
func Watch(own Own) *Watched { return &Watched{Own: own} }

// Fails reports whether the store has failed within the two minutes before now. A Runner lists it each minute, and tries at
// least as often to keep a file that waits for it: so it is known soon that it fails, and that it works again.
func (w *Watched) Fails(now time.Time) bool {
	at := w.failed.Load()
	return at > 0 && now.Sub(time.UnixMilli(at)) < 2*tidyEvery
}

func (w *Watched) note(err error) error {
	if fault.Is(err, fault.Unavailable) && !errors.Is(err, context.Canceled) {
		w.failed.Store(time.Now().UnixMilli())
	}
	return err
}

func (w *Watched) Keep(ctx context.Context, e control.Export) error {
	return w.note(w.Own.Keep(ctx, e))
}

func (w *Watched) Open(ctx context.Context, e control.Export) (File, error) {
	f, err := w.Own.Open(ctx, e)
	return f, w.note(err)
}

func (w *Watched) Leave(ctx context.Context, id control.ExportID, file string) error {
	return w.note(w.Own.Leave(ctx, id, file))
}

func (w *Watched) All(ctx context.Context) ([]control.ExportID, error) {
	ids, err := w.Own.All(ctx)
	return ids, w.note(err)
}

// InFolder is an own store that keeps files where exports are made.
func InFolder(files vfs.FS) Own { return folder{files} }

type folder struct{ files vfs.FS }

// Keep has nothing to do: the file is durable where it was made.
func (f folder) Keep(context.Context, control.Export) error { return nil }

func (f folder) Open(_ context.Context, e control.Export) (File, error) {
	file, err := f.files.Open(inFolder(e, e.File))
	if fault.Is(err, fault.NotFound) {
		err = control.ErrExportGone()
	}
	return file, err
}

func (f folder) Leave(_ context.Context, id control.ExportID, file string) error {
	all, err := f.files.List(string(id))
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	left := false
	for _, x := range all {
		if file != "" && x.Name == file {
			left = true
			continue
		}
		err = errors.Join(err, f.remove(string(id)+"/"+x.Name))
	}
	if err == nil && !left {
		err = f.remove(string(id))
	}
	return err
}

// remove removes a file or a folder that may be gone by now.
func (f folder) remove(name string) error {
	if err := f.files.Remove(name); !fault.Is(err, fault.NotFound) {
		return err
	}
	return nil
}

func (f folder) All(context.Context) (ids []control.ExportID, err error) {
	all, err := f.files.List(".")
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	for _, x := range all {
		if x.Dir {
			ids = append(ids, control.ExportID(x.Name))
		}
	}
	return ids, err
}

// OwnFolder is where the own store's objects lie in the operator's bucket. Source: FORMAT.md §5.
const OwnFolder = "millrace-exports/"

// InBucket is an own store that keeps files in a bucket of the operator's, and nothing in the folder in which they are made.
// installation tells those of one installation from those of others in the same bucket: what is there under it belongs to
// its exports, or is removed.
func InBucket(made vfs.FS, b bucket.Bucket, installation string) Own {
	return inBucket{folder{made}, b, OwnFolder + installation + "/"}
}

type inBucket struct {
	made   folder
	bucket bucket.Bucket
	under  string
}

func (o inBucket) key(id control.ExportID, file string) string {
	return o.under + string(id) + "/" + file
}

func (o inBucket) Keep(ctx context.Context, e control.Export) error {
	return ownFails(putFile(ctx, o.bucket, o.key(e.ID, e.File), o.made.files, inFolder(e, e.File), contentTypes[Zip]))
}

func (o inBucket) Open(ctx context.Context, e control.Export) (File, error) {
	info, err := o.bucket.Head(ctx, o.key(e.ID, e.File))
	if bucket.ProblemOf(err) == bucket.NotFound {
		return nil, control.ErrExportGone()
	}
	if err != nil {
		return nil, ownFails(err)
	}
	return &object{ctx: ctx, bucket: o.bucket, info: info}, nil
}

func (o inBucket) Leave(ctx context.Context, id control.ExportID, file string) error {
	err := o.made.Leave(ctx, id, "")
	var there []string
	for i, failed := range o.bucket.List(ctx, o.key(id, "")) {
		if failed != nil {
			return errors.Join(err, ownFails(failed))
		}
		if file == "" || i.Key != o.key(id, file) {
			there = append(there, i.Key)
		}
	}
	for _, key := range there {
		err = errors.Join(err, ownFails(o.bucket.Delete(ctx, key)))
	}
	return err
}

func (o inBucket) All(ctx context.Context) ([]control.ExportID, error) {
	ids, err := o.made.All(ctx)
	for i, failed := range o.bucket.List(ctx, o.under) {
		if failed != nil {
			return ids, errors.Join(err, ownFails(failed))
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(i.Key, o.under), "/")
		ids = append(ids, control.ExportID(id))
	}
	return ids, err
}

// ownFails says of an error of the operator's bucket what everybody may know; the log has the cause.
func ownFails(err error) error {
	if e, is := errors.AsType[*bucket.Error](err); !is || e.Problem == bucket.BadRequest { // too large is theirs to know
		return err
	}
	return (&fault.Error{Code: fault.Unavailable, Msg: fault.Message{Key: "control.export_store_fails", Text: "The installation's own store for exports does not work at the moment."},
		Hint: fault.Message{Key: "control.export_store_fails_hint", Text: "Nothing of yours is the cause. The operator finds the reason in the log."}}).WithCause(err)
}

// proofTime is how long the proof of a bucket may take.
const proofTime = 30 * time.Second

// Prove finds out whether a bucket of the operator's can be the own store: it puts an object, reads it, finds it and deletes
// it. Errors: *bucket.Error of the first call that fails.
func Prove(ctx context.Context, b bucket.Bucket) error {
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	const key = OwnFolder + "check"
	if err := b.Put(ctx, key, bucket.Body{[]byte("Millrace checks here that it may keep exports.\n")}, bucket.PutOptions{}); err != nil {
		return err
	}
	r, _, err := b.Get(ctx, key)
	if err != nil {
		return err
	}
	if _, err = io.Copy(io.Discard, r); errors.Join(err, r.Close()) != nil {
		return err
	}
	for _, err := range b.List(ctx, key) {
		if err != nil {
			return err
		}
	}
	return b.Delete(ctx, key)
}

// object reads an object in as few requests as the order of what is asked for lets it: one, from its beginning to its end.
type object struct {
	ctx    context.Context
	bucket bucket.Bucket
	info   bucket.Info

	mu   sync.Mutex
	body io.ReadCloser // nil: none is open
	at   int64         // of its next byte
}

func (o *object) Size() (int64, error) { return o.info.Size, nil }

// mostBroken is how often in a row a request may end before it gave anything.
const mostBroken = 3

// ReadAt goes on with the request that stands there, and asks anew where none does or it breaks off: stores close what a slow
// reader leaves waiting.
func (o *object) ReadAt(p []byte, from int64) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if from >= o.info.Size {
		return 0, io.EOF
	}
	end := error(nil)
	if left := o.info.Size - from; int64(len(p)) > left {
		p, end = p[:left], io.EOF
	}
	for broken := 0; n < len(p); {
		if o.body == nil || o.at != from+int64(n) {
			if err := o.open(from + int64(n)); err != nil {
				return n, ownFails(err)
			}
		}
		m, err := o.body.Read(p[n:])
		n, o.at = n+m, o.at+int64(m)
		if m > 0 {
			broken = 0
		}
		if err != nil && n < len(p) {
			o.drop()
			if broken++; broken == mostBroken || o.ctx.Err() != nil {
				return n, ownFails(err)
			}
		}
	}
	return n, end
}

// open asks for the object from a byte on. Errors: those of the bucket; NotFound also if another stands in its place.
func (o *object) open(at int64) error {
	o.drop()
	body, info, err := o.bucket.GetFrom(o.ctx, o.info.Key, at)
	if err != nil {
		return err
	}
	o.body, o.at = body, at
	if info.ETag != o.info.ETag {
		o.drop()
		return &bucket.Error{Problem: bucket.NotFound, Op: "GetObject", Key: o.info.Key}
	}
	return nil
}

func (o *object) drop() {
	if o.body != nil {
		_ = o.body.Close() // read only
		o.body = nil
	}
}

func (o *object) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop()
	return nil
}
