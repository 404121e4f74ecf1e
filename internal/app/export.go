package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/export"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/web"
	"github.com/millrace/millrace/internal/web/compat"
)

// exportsFolder is the installation's own store of exports, within the data folder.
const exportsFolder = "exports"

// exportWriter writes people for the calls that answer with them.
func exportWriter(fields, custom []string, now time.Time) (compat.Writer, error) {
	return export.NewUsers(fields, custom, now)
}

// newExports gives what makes exports, in the process that owns the log.
func (s *system) newExports() *export.Runner {
	d := export.Deps{
		Books: s.plane.store, Retry: s.cfg.Exports.Retry, Files: s.plane.exportFiles(), Own: s.own, Logger: s.logger, Bucket: s.plane.exportBucket,
		May: func(ctx context.Context, e control.Export) error {
			_, err := s.rules.MayExport(ctx, e)
			return err
		},
		Notices: s.exportNotices,
	}
	if s.profiles != nil {
		d.Counts, d.Labels = s.profiles, s.plane.store
		d.People = func(ctx context.Context, e control.Export, needs control.ProfileNeeds) (export.People, int64, error) {
			b, err := s.profiles.Bulk(ctx, e.Workspace, e.Spec.Filter, e.CreatedAt, needs)
			if err != nil {
				return nil, 0, err
			}
			total, _, err := s.profiles.Estimate(ctx, e.Workspace, e.Spec.Filter, e.CreatedAt)
			if err != nil && ctx.Err() == nil {
				err, total = nil, 0 // how many there will be is only told
			}
			return b, total, err
		}
	}
	if s.notifier != nil {
		d.OnEnded = func(control.Export) { s.notifier.Wake() }
	}
	return export.NewRunner(d, cores())
}

// exportNotices gives what is told of an export that has ended.
func (s *system) exportNotices(e control.Export) []control.Notice {
	name := strconv.FormatUint(uint64(e.Workspace), 10)
	if w, err := s.plane.store.WorkspaceBy(context.Background(), name); err == nil { // else it is told of by its number
		name = w.Name
	}
	n, told := control.ExportNotice(e, name)
	if !told {
		return nil
	}
	return []control.Notice{n}
}

// exportFiles is the folder in which exports are made.
func (p *plane) exportFiles() vfs.FS { return vfs.OS(filepath.Join(p.cfg.DataDir, exportsFolder)) }

// ownStore gives where the files of exports lie that can be downloaded. It connects to nothing.
func (p *plane) ownStore(ctx context.Context) (export.Own, error) {
	b, err := openOwnBucket(p.cfg, p.opener)
	if b == nil || err != nil {
		return export.InFolder(p.exportFiles()), err
	}
	key, err := p.store.InstallationKey(ctx, "export bucket")
	name := sha256.Sum256([]byte(key.Reveal()))
	return export.InBucket(p.exportFiles(), b, hex.EncodeToString(name[:8])), err
}

// openOwnBucket opens the operator's bucket for exports; nil: there is none.
func openOwnBucket(cfg *config.Config, opener bucket.Assumer) (bucket.Bucket, error) {
	x := cfg.Exports
	if x.Bucket == "" {
		return nil, nil
	}
	b, err := opener.OpenOwn(bucket.Access{Bucket: x.Bucket, Region: x.Region, Endpoint: x.Endpoint, PathStyle: x.Endpoint != ""})
	return b, fault.Wrap(err, "open export_bucket")
}

// proveOwnBucket finds out whether the operator's bucket, if there is one, can keep exports. Errors: unavailable, which says
// what failed and which rights it takes.
func proveOwnBucket(ctx context.Context, cfg *config.Config, opener bucket.Assumer) error {
	b, err := openOwnBucket(cfg, opener)
	if b == nil || err != nil {
		return err
	}
	defer b.Close() // idle connections
	if err = export.Prove(ctx, b); err != nil {
		err = fault.New(fault.Unavailable, "prove export_bucket", "exports cannot be kept in the bucket %s: %v", cfg.Exports.Bucket, err).WithCause(err).
			WithHint("The installation's own AWS credentials need s3:PutObject, s3:GetObject and s3:DeleteObject on %s* in it, and s3:ListBucket: see docs/operator.md.", export.OwnFolder)
	}
	return err
}

// exportBucket opens the bucket of a workspace's data export. Errors: conflict if it is not the one that was linked when the
// export was asked for: half of its files would be in the other.
func (p *plane) exportBucket(ctx context.Context, e control.Export) (bucket.Bucket, error) {
	d, err := p.store.DataExport(ctx, e.Workspace)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if (control.ExportPlace{Bucket: d.Bucket, Endpoint: d.Endpoint}) != e.Place {
		return nil, &fault.Error{Code: fault.Conflict, Params: fault.Params{"bucket": e.Place.Bucket},
			Msg:  fault.Message{Key: "control.export_bucket_changed", Text: "The bucket {bucket} is not the linked one any more."},
			Hint: fault.Message{Key: "control.export_bucket_changed_hint", Text: "Ask for the export again: it goes to the bucket that is linked now."}}
	}
	a, err := p.store.DataExportAccess(ctx, e.Workspace)
	if err != nil {
		return nil, err
	}
	return p.opener.Open(a)
}

// erasing keeps people up from the log, and first notes who is deleted or goes up in others: files of exports that may hold who is
// deleted are removed.
type erasing struct {
	*store.Profiles
	notes interface {
		NoteMoves(ctx context.Context, workspace uint32, moves []control.PersonMove, at time.Time) error
		NoteErasure(ctx context.Context, workspace uint32, at time.Time) error
	}
}

// applyMost is longer than a batch takes.
const applyMost = time.Minute

// Apply notes before it applies, and ahead of time: an export that begins meanwhile may still read them. Afterwards it notes
// the time; of a crash between the two, exports that begin in the next minute wait or begin anew, and no file stays.
func (e erasing) Apply(ctx context.Context, b *control.PeopleBatch) error {
	moves, deletes := map[uint32][]control.PersonMove{}, map[uint32]bool{}
	for _, m := range b.Moves {
		moves[m.Workspace] = append(moves[m.Workspace], m)
		deletes[m.Workspace] = deletes[m.Workspace] || m.Into == 0
	}
	for workspace, all := range moves {
		if err := e.notes.NoteMoves(ctx, workspace, all, time.Now().Add(applyMost)); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	if err := e.Profiles.Apply(ctx, b); err != nil {
		return err
	}
	for workspace, some := range deletes {
		if !some {
			continue
		}
		if err := e.notes.NoteErasure(ctx, workspace, time.Now()); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}

// exportFile opens the file of an export in the installation's own store.
func (s *system) exportFile(ctx context.Context, e control.Export) (web.File, error) {
	f, err := s.own.Open(ctx, e)
	if err != nil && !fault.Is(err, fault.Stale) {
		s.logger.Error("the file of an export cannot be opened", "export", e.ID, "error", err)
	}
	return f, err
}

// openLinks opens the installation's own store, and makes the links to it.
func (s *system) openLinks(ctx context.Context) (err error) {
	own, err := s.plane.ownStore(ctx)
	if err != nil {
		return err
	}
	s.own = export.Watch(own)
	key, err := s.plane.store.InstallationKey(ctx, "export links")
	s.links = compat.Links{Key: key, Base: s.URL, Download: s.rules.DownloadExport, Open: s.exportFile}
	return err
}
