package export

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

const (
	atOnce    = 2           // exports that run
	perPart   = 5000        // people of a part. Source: Braze, "Export user profiles by segment"
	lookEvery = time.Second // for what another process was asked for
	tidyEvery = time.Minute // files whose time is over
	retryMost = time.Minute
	mostAnew  = 10 // times that an export begins anew because somebody was deleted
	// keepFree is what an export leaves of the disk: below the half of it ingest takes nothing any more.
	keepFree = 512 << 20
	// An attempt to put may take so long, and a second more for each so many bytes.
	attemptFor  = 30 * time.Second
	slowestRate = 1 << 20
)

// Books are the rows of exports. See room store.
type Books interface {
	OpenExports(ctx context.Context) ([]control.Export, error)
	Export(ctx context.Context, workspace uint32, id control.ExportID) (control.Export, error)
	StartExport(ctx context.Context, e control.Export, total int64, at time.Time) error
	HoldExport(ctx context.Context, e control.Export) error
	AddExportPart(ctx context.Context, e control.Export, p control.ExportPart) error
	ExportParts(ctx context.Context, e control.Export) ([]control.ExportPart, error)
	EndExport(ctx context.Context, e control.Export, notices ...control.Notice) error
	KeptExports(ctx context.Context, now time.Time) (map[control.ExportID]bool, error)
}

// People are those whom an export is of, in the order of their rows. Safe for concurrent use.
type People interface {
	// Next gives the rows of the first up to limit people after a row; none: there are no more.
	Next(ctx context.Context, after int64, limit int) ([]int64, error)
	// Each calls f for those of rows who are still there, in their order. f may not keep its argument.
	Each(ctx context.Context, rows []int64, f func(control.Profile) error) error
}

// Deps are what exports are made with.
type Deps struct {
	Books Books
	// People finds whom an export is of; total: estimated. nil: nothing is kept of people.
	People func(ctx context.Context, e control.Export, needs control.ProfileNeeds) (who People, total int64, err error)
	// Counts and Labels are what reports are made of; nil: as People.
	Counts ReportCounts
	Labels ReportLabels
	// Bucket opens the bucket of a workspace's data export. Errors: conflict if it is not e.Place any more.
	Bucket func(ctx context.Context, e control.Export) (bucket.Bucket, error)
	// May refuses an export whose asker lost the right to it.
	May func(ctx context.Context, e control.Export) error
	// Retry is how long an export is tried again after the last part that came through.
	Retry  time.Duration
	Files  vfs.FS // the folder in which they are made
	Own    Own    // where what can be downloaded lies then
	Logger *slog.Logger
	// Notices gives what is told of an export that has ended, in the commit that says so; nil: nothing is.
	Notices func(e control.Export) []control.Notice
	OnEnded func(e control.Export) // nil: nobody listens
}

// Runner does what is asked for, in the process that owns the log.
//
// At most two exports run at once. Of one workspace a second runs only while no other workspace waits, and of those that wait
// the one goes first whose last began longest ago. Each is done in parts whose bytes depend on their people and the spec alone;
// a part and the progress are one commit, so that whoever goes on after a crash begins at the last finished part, and
// each person is in exactly one. What fails in a bucket or on a full disk is tried again for Retry after the last part
// that came through; meanwhile others have its place. One of people during which somebody of the workspace is deleted begins
// anew: no file that is told of holds them.
type Runner struct {
	Deps
	workers chan struct{}
	bell    chan struct{}

	mu      sync.Mutex
	running map[control.ExportID]control.Export
	began   map[uint32]int // of each workspace the turn in which its last began
	turn    int
	failing map[control.ExportID]*failing
	anewed  map[control.ExportID]int // times that each began anew
}

// failing is an export that waits for its next try.
type failing struct {
	parts int // that it had
	since time.Time
	tries int
	next  time.Time
}

// NewRunner makes a runner; workers is how many parts are made at once, of all exports.
func NewRunner(d Deps, workers int) *Runner {
	return &Runner{Deps: d, workers: make(chan struct{}, max(workers, 1)), bell: make(chan struct{}, 1),
		running: map[control.ExportID]control.Export{}, began: map[uint32]int{}, failing: map[control.ExportID]*failing{}, anewed: map[control.ExportID]int{}}
}

// Ring says that an export waits.
func (r *Runner) Ring() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

// Run does exports until ctx ends. One that is under way then goes on in the next process.
func (r *Runner) Run(ctx context.Context) error {
	var under sync.WaitGroup
	defer under.Wait()
	under.Go(func() { r.keepTidy(ctx) })
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for ctx.Err() == nil {
		open, err := r.Books.OpenExports(ctx)
		if err != nil && ctx.Err() == nil {
			r.Logger.Error("exports wait", "error", err)
		}
		for {
			e, found := r.take(open, time.Now())
			if !found {
				break
			}
			under.Go(func() {
				r.do(ctx, e)
				r.leave(e)
				r.Ring()
			})
		}
		select {
		case <-ctx.Done():
		case <-r.bell:
		case <-look.C:
		}
	}
	return ctx.Err()
}

// take gives the export that begins now, if there is room for one.
func (r *Runner) take(open []control.Export, now time.Time) (e control.Export, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.running) >= atOnce {
		return e, false
	}
	of := map[uint32]int{}
	for _, x := range r.running {
		of[x.Workspace]++
	}
	for _, x := range open {
		_, runs := r.running[x.ID]
		f := r.failing[x.ID]
		if runs || f != nil && now.Before(f.next) {
			continue
		}
		if !found || cmp.Or(of[x.Workspace]-of[e.Workspace], r.began[x.Workspace]-r.began[e.Workspace]) < 0 {
			e, found = x, true
		}
	}
	if found {
		r.turn++
		r.running[e.ID], r.began[e.Workspace] = e, r.turn
	}
	return e, found
}

func (r *Runner) leave(e control.Export) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, e.ID)
}

// errEnded says that an export has ended meanwhile, by whoever cancelled it.
var errEnded = errors.New("the export has ended")

// errOutdated says that somebody was deleted meanwhile, who may be in what the export holds.
var errOutdated = errors.New("somebody of the workspace was deleted")

// do does an export, as far as it comes, and writes down what came of it.
func (r *Runner) do(ctx context.Context, e control.Export) {
	// The list may be older than the export's end.
	e, err := r.Books.Export(ctx, e.Workspace, e.ID)
	if err != nil || !e.State.Open() {
		if err != nil && ctx.Err() == nil {
			r.Logger.Error("an export waits", "export", e.ID, "error", err)
		}
		return
	}
	began := e.Parts
	done, err := r.make(ctx, &e)
	switch {
	case errors.Is(err, errEnded):
		r.forget(ctx, e)
		return
	case ctx.Err() != nil:
		return
	case errors.Is(err, errOutdated):
		r.startAnew(ctx, e, time.Now())
		return
	case err != nil && passing(err) && r.again(e, began, time.Now()):
		r.Logger.Warn("an export is held up and tried again", "export", e.ID, "error", err)
		e.Failure = control.FailureOf(err)
		if err := r.Books.HoldExport(ctx, e); err != nil && !fault.Is(err, fault.Stale) && ctx.Err() == nil {
			r.Logger.Error("why an export is held up could not be written", "export", e.ID, "error", err)
		}
		return
	}
	e = e.Ended(time.Now().UTC().Truncate(time.Millisecond), err)
	var notices []control.Notice
	if r.Notices != nil {
		notices = r.Notices(e)
	}
	if saved := r.Books.EndExport(ctx, e, notices...); saved != nil {
		if fault.Is(saved, fault.Stale) { // in the last moment it was cancelled, or somebody deleted
			saved = nil
			if done.undo != nil {
				saved = done.undo(ctx)
			}
			if errors.Is(r.open(ctx, e), errOutdated) {
				r.startAnew(ctx, e, time.Now())
			} else {
				r.forget(ctx, e)
			}
		}
		if saved != nil && ctx.Err() == nil {
			r.Logger.Error("what came of an export could not be written; it is done again", "export", e.ID, "error", saved)
		}
		return
	}
	r.mu.Lock()
	delete(r.failing, e.ID)
	delete(r.anewed, e.ID)
	r.mu.Unlock()
	if err != nil {
		level := slog.LevelInfo
		if code := fault.CodeOf(err); code == fault.Internal || code == fault.Corrupt {
			level = slog.LevelError
		}
		r.Logger.Log(ctx, level, "an export failed", "export", e.ID, "kind", e.Kind, "error", err)
		r.forget(ctx, e)
	} else {
		r.Logger.Info("export done", "export", e.ID, "kind", e.Kind, "people", e.People, "bytes", e.Bytes)
		r.keepOnly(ctx, e)
	}
	if r.OnEnded != nil {
		r.OnEnded(e)
	}
}

// passing reports whether it may help to try again later: buckets are mended, by their owners too, and disks get room.
func passing(err error) bool {
	if b, is := errors.AsType[*bucket.Error](err); is {
		return b.Problem != bucket.BadRequest && b.Problem != bucket.NotImplemented
	}
	e := fault.As(err)
	return e != nil && e.Code == fault.Unavailable
}

// again says when an export is tried again after it failed; false: it has failed for good.
func (r *Runner) again(e control.Export, began int, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.failing[e.ID]
	if f == nil || e.Parts > began || e.Parts > f.parts {
		f = &failing{parts: e.Parts, since: now}
		r.failing[e.ID] = f
	}
	if now.Sub(f.since) >= r.Retry {
		return false
	}
	f.next = now.Add(min(time.Second<<min(f.tries, 10), retryMost, r.Retry-now.Sub(f.since)))
	f.tries++
	return true
}

// startAnew says when an export begins anew in which somebody may be who was deleted.
func (r *Runner) startAnew(ctx context.Context, e control.Export, now time.Time) {
	r.forget(ctx, e)
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.anewed[e.ID]
	r.anewed[e.ID]++
	r.failing[e.ID] = &failing{since: now, next: now.Add(min(time.Second<<n, retryMost))}
	r.Logger.Info("an export begins anew: somebody of the workspace was deleted", "export", e.ID, "times", n+1)
}

// discard throws away what was made of an export in which somebody may be who was deleted: without a part it begins anew.
func (r *Runner) discard(ctx context.Context, e *control.Export, to bucket.Bucket) error {
	r.mu.Lock()
	n := r.anewed[e.ID]
	r.mu.Unlock()
	if n > mostAnew {
		return &fault.Error{Code: fault.Conflict, Params: fault.Params{"n": n},
			Msg:  fault.Message{Key: "control.export_erased", Text: "While the export was made, somebody of the workspace was deleted, {n} times in a row: each time it began anew."},
			Hint: fault.Message{Key: "control.export_erased_hint", Text: "Ask for it again when the deletions are through."}}
	}
	e.ExportProgress = control.ExportProgress{}
	if to != nil { // a process that was killed may have put what makes it whole
		if err := to.Delete(ctx, wholeKey(*e)); err != nil && bucket.ProblemOf(err) != bucket.NotFound {
			return err
		}
	}
	return r.Own.Leave(ctx, e.ID, "")
}

// keepTidy tidies now and then, until ctx ends.
func (r *Runner) keepTidy(ctx context.Context) {
	t := time.NewTicker(tidyEvery)
	defer t.Stop()
	for ctx.Err() == nil {
		if err := r.tidy(ctx, time.Now()); err != nil && ctx.Err() == nil {
			r.Logger.Error("files of exports whose time is over could not all be removed; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
}

// tidy removes what may not lie in the own store any more, whoever left it there. What is there is listed before the rows are,
// so that none is younger than its row.
func (r *Runner) tidy(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, tidyEvery)
	defer cancel()
	all, err := r.Own.All(ctx)
	kept, failed := r.Books.KeptExports(ctx, now)
	if failed != nil {
		return errors.Join(err, failed)
	}
	for _, id := range all {
		if !kept[id] {
			err = errors.Join(err, r.Own.Leave(ctx, id, ""))
		}
	}
	return err
}

// forget removes all files of an export from the own store, and keepOnly all but the one that can be downloaded; what fails is
// removed by tidy.
func (r *Runner) forget(ctx context.Context, e control.Export) { r.clean(ctx, e, "") }

func (r *Runner) keepOnly(ctx context.Context, e control.Export) { r.clean(ctx, e, e.File) }

func (r *Runner) clean(ctx context.Context, e control.Export, file string) {
	ctx, cancel := context.WithTimeout(ctx, attemptFor)
	defer cancel()
	if err := r.Own.Leave(ctx, e.ID, file); err != nil && !errors.Is(context.Cause(ctx), context.Canceled) {
		r.Logger.Warn("files of an export are still there; they are removed later", "export", e.ID, "error", err)
	}
}

// inFolder is the path of a file of an export where it is made.
func inFolder(e control.Export, name string) string { return string(e.ID) + "/" + name }

// hashName is a name of 32 hex digits.
func hashName(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:16])
}

// putFile puts a file to a bucket, in place of what an earlier try may have left under its key.
func putFile(ctx context.Context, to bucket.Bucket, key string, files vfs.FS, path, kind string) error {
	f, err := files.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // read only
	size, err := f.Size()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, attemptFor+time.Duration(size/slowestRate)*time.Second)
	defer cancel()
	return to.PutFile(ctx, key, f, bucket.PutOptions{ContentType: kind})
}

// room refuses to write while the disk is nearly full. Errors: unavailable.
func (r *Runner) room() error {
	free, err := r.Files.Free()
	if err == nil && free < keepFree {
		err = fault.New(fault.Unavailable, "", "The disk of the installation has too little room for exports: %d MiB are free.", free>>20).WithRetry(time.Minute)
	}
	return err
}

// contentTypes are those of files, by how they are packed.
var contentTypes = map[Packing]string{Zip: "application/zip", Gzip: "application/gzip", None: "text/csv; charset=utf-8"}
