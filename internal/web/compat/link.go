package compat

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/web"
)

const (
	linkFolder = "/users/export/file/"

	// LinkPath is where Links are served.
	LinkPath = linkFolder + "{workspace}/{export}/{signature}"
)

// Links are the addresses at which programs get the files of exports. One stands for itself: whoever has it may read the
// file, for as long as it lies there.
type Links struct {
	Key  secret.Value  // signs which export a link is about; when it ends stands in the export's row
	Base func() string // scheme, host and port under which this installation is reached

	// Download writes down that the file of an export is read, and gives the export. Errors: as control.Plane.DownloadExport.
	Download func(ctx context.Context, workspace uint32, id control.ExportID, link bool) (control.Export, error)
	Open     func(context.Context, control.Export) (web.File, error)
}

// Of is the link of an export.
func (l Links) Of(e control.Export) string {
	return l.Base() + linkFolder + strconv.FormatUint(uint64(e.Workspace), 10) + "/" + string(e.ID) + "/" + l.sign(e.Workspace, e.ID)
}

func (l Links) sign(workspace uint32, id control.ExportID) string {
	h := hmac.New(sha256.New, []byte(l.Key.Reveal()))
	io.WriteString(h, strconv.FormatUint(uint64(workspace), 10)+"/"+string(id)) // a hash never fails
	return hex.EncodeToString(h.Sum(nil))
}

// ServeHTTP gives the file of an export to who has its link.
func (l Links) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	workspace, err := strconv.ParseUint(r.PathValue("workspace"), 10, 32)
	id := control.ExportID(r.PathValue("export"))
	if err != nil || !hmac.Equal([]byte(l.sign(uint32(workspace), id)), []byte(r.PathValue("signature"))) {
		httpd.NotFound(w, r)
		return
	}
	e, f, size, err := l.read(control.WithActor(r.Context(), control.Actor{Name: "link", Via: "link"}), uint32(workspace), id)
	if err != nil {
		status := fault.CodeOf(err).HTTP()
		if fault.Is(err, fault.Stale) {
			status = http.StatusGone
		}
		httpd.WriteErrorStatus(w, r, status, err)
		return
	}
	defer f.Close() // read only
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="`+e.File+`"`)
	w.Header().Set("Cache-Control", "no-store")
	http.ServeContent(w, r, e.File, e.DoneAt, io.NewSectionReader(f, 0, size))
}

func (l Links) read(ctx context.Context, workspace uint32, id control.ExportID) (e control.Export, f web.File, size int64, err error) {
	if e, err = l.Download(ctx, workspace, id, true); err != nil {
		return e, nil, 0, err
	}
	if f, err = l.Open(ctx, e); err != nil {
		return e, nil, 0, err
	}
	if size, err = f.Size(); err != nil {
		_ = f.Close() // read only
	}
	return e, f, size, err
}
