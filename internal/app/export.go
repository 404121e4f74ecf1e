package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/export"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/vfs"
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
		Books: s.plane.store, Files: s.exportFiles(), Logger: s.logger, Bucket: s.plane.exportBucket,
		May: func(ctx context.Context, e control.Export) error {
			_, err := s.rules.MayExport(ctx, e)
			return err
		},
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
	d.Notices = s.exportNotices
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

func (s *system) exportFiles() vfs.FS { return vfs.OS(filepath.Join(s.cfg.DataDir, exportsFolder)) }

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

// erasing keeps people up from the log, and first notes of which workspaces somebody is deleted: files of exports that may
// hold them are removed.
type erasing struct {
	*store.Profiles
	note func(ctx context.Context, workspace uint32, at time.Time) error
}

// Apply notes before it applies: of a crash between the two comes a second note, and no file that stays.
func (e erasing) Apply(ctx context.Context, b *control.PeopleBatch) error {
	of := map[uint32]bool{}
	for _, m := range b.Moves {
		if m.Into == 0 && !of[m.Workspace] {
			of[m.Workspace] = true
			if err := e.note(ctx, m.Workspace, time.Now()); err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
		}
	}
	return e.Profiles.Apply(ctx, b)
}

// linkPath is where the file of an export is had by a link that stands for itself: workspace, export, signature.
const linkPath = "/users/export/file/{workspace}/{export}/{signature}"

// exportLink is the address at which a program gets the file of an export once it is done.
func (s *system) exportLink(e control.Export) string {
	return s.URL() + "/users/export/file/" + strconv.FormatUint(uint64(e.Workspace), 10) + "/" + string(e.ID) + "/" + s.signLink(e.Workspace, e.ID)
}

// signLink signs which export a link is about. When it ends stands in the export's row.
func (s *system) signLink(workspace uint32, id control.ExportID) string {
	h := hmac.New(sha256.New, []byte(s.linkKey.Reveal()))
	io.WriteString(h, strconv.FormatUint(uint64(workspace), 10)+"/"+string(id)) // a hash never fails
	return hex.EncodeToString(h.Sum(nil))
}

// serveLink gives the file of an export to who has its link.
func (s *system) serveLink(w http.ResponseWriter, r *http.Request) {
	workspace, err := strconv.ParseUint(r.PathValue("workspace"), 10, 32)
	id := control.ExportID(r.PathValue("export"))
	if err != nil || !hmac.Equal([]byte(s.signLink(uint32(workspace), id)), []byte(r.PathValue("signature"))) {
		httpd.NotFound(w, r)
		return
	}
	ctx := control.WithActor(r.Context(), control.Actor{Name: "link", Via: "link"})
	e, err := s.rules.DownloadExport(ctx, uint32(workspace), id, true)
	var f vfs.File
	if err == nil {
		f, err = export.File(s.exportFiles(), e)
	}
	var size int64
	if err == nil {
		defer f.Close() // read only
		size, err = f.Size()
	}
	if err != nil {
		status := fault.CodeOf(err).HTTP()
		if fault.Is(err, fault.Stale) {
			status = http.StatusGone
		}
		httpd.WriteErrorStatus(w, r, status, err)
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="`+e.File+`"`)
	w.Header().Set("Cache-Control", "no-store")
	http.ServeContent(w, r, e.File, e.DoneAt, io.NewSectionReader(f, 0, size))
}
