package s3

import (
	"errors"
	"io"

	"github.com/millrace/millrace/internal/bucket"
)

// reader reads a body's parts one after the other without copying them together.
type reader struct {
	body bucket.Body
	size int64
	off  int64 // of the next byte in the whole
	part int   // the part it lies in
	at   int   // and where
}

func newReader(body bucket.Body) *reader { return &reader{body: body, size: body.Size()} }

// Read copies from the current part; it never fails.
func (r *reader) Read(p []byte) (int, error) {
	var n int
	for n < len(p) && r.part < len(r.body) {
		c := copy(p[n:], r.body[r.part][r.at:])
		n += c
		r.at += c
		if r.at == len(r.body[r.part]) {
			r.part, r.at = r.part+1, 0
		}
	}
	r.off += int64(n)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// WriteTo hands the parts over as they are.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	var sum int64
	for r.part < len(r.body) {
		n, err := w.Write(r.body[r.part][r.at:])
		sum += int64(n)
		r.off += int64(n)
		r.at += n
		if err != nil {
			return sum, err
		}
		r.part, r.at = r.part+1, 0
	}
	return sum, nil
}

// Seek moves within the body; the signer reads it, goes back, and the transport reads it again.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 || offset > r.size {
		return 0, errors.New("seek outside the body")
	}
	r.off, r.part, r.at = offset, 0, 0
	rest := offset
	for r.part < len(r.body) && rest >= int64(len(r.body[r.part])) {
		rest -= int64(len(r.body[r.part]))
		r.part++
	}
	r.at = int(rest)
	return offset, nil
}

// download is the body of an object that is read.
type download struct {
	io.ReadCloser
	bucket *Bucket
	key    string
}

// Read gives errors of the seam: io.ErrUnexpectedEOF for a body cut short, *bucket.Error for others.
func (d *download) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, io.ErrUnexpectedEOF
	}
	return n, d.bucket.fail("GetObject", d.key, err)
}
