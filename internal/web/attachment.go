package web

import (
	"io"
	"mime"
	"net/http"
	"reflect"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// File is what can be downloaded.
type File interface {
	io.ReaderAt
	io.Closer
	Size() (int64, error)
}

// attachment is a file that an operation answers as it is, in place of JSON: whole, or the part that is asked for.
type attachment struct {
	name string    // under which it is kept
	at   time.Time // when it was finished
	file File
}

var attachmentType = reflect.TypeFor[attachment]()

// anyBytes is the content type of attachments: nothing but a file to keep, whatever is in it.
const anyBytes = "application/octet-stream"

// serve sends the file and closes it. Errors: those of its size; nothing is sent then.
func (x attachment) serve(w http.ResponseWriter, r *http.Request) error {
	defer x.file.Close() // read only: nothing can be lost by it
	size, err := x.file.Size()
	if err != nil {
		return fault.Wrap(err, "send "+x.name)
	}
	h := w.Header()
	h.Set("Content-Type", anyBytes)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": x.name}))
	http.ServeContent(w, r, "", x.at, io.NewSectionReader(x.file, 0, size))
	return nil
}
