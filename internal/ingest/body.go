package ingest

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
)

// form is how a body holds its events.
type form uint8

const (
	lines form = iota // one JSON object a line
	whole             // one JSON array, or one object around it
)

// formOf reads the media type. Errors: unsupported_media_type.
func formOf(h http.Header) (form, error) {
	given := h.Get("Content-Type")
	mt, params, err := mime.ParseMediaType(given)
	if cs, ok := params["charset"]; err == nil && ok && !strings.EqualFold(cs, "utf-8") {
		return 0, fault.New(fault.UnsupportedMediaType, "", "Bodies are read as UTF-8 only.")
	}
	switch mt {
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		return lines, nil
	case "application/json":
		return whole, nil
	}
	return 0, fault.New(fault.UnsupportedMediaType, "", "Content-Type must be application/x-ndjson or application/json.")
}

// encoding is how a body is compressed.
type encoding uint8

const (
	plain encoding = iota
	gzipped
	zstandard
)

// What every gzip member and zstd frame begins with. Source: RFC 1952 §2.3.1, RFC 8878 §3.1.1.
const (
	gzipMagic = "\x1f\x8b"
	zstdMagic = "\x28\xb5\x2f\xfd"
)

// errOtherCoding is the error for a body that does not begin as its coding does.
var errOtherCoding = errors.New("not what Content-Encoding says")

// errMore is the error for a body that goes on behind its last gzip member.
var errMore = errors.New("bytes behind the gzip data")

// String is the coding's name as in Content-Encoding.
func (e encoding) String() string { return [...]string{"identity", "gzip", "zstd"}[e] }

// encodingOf reads the content coding; one at most. Errors: unsupported_media_type.
func encodingOf(h http.Header) (encoding, error) {
	given := h.Values("Content-Encoding")
	if len(given) == 0 {
		return plain, nil
	}
	if len(given) == 1 {
		switch strings.ToLower(strings.TrimSpace(given[0])) {
		case "", "identity":
			return plain, nil
		case "gzip", "x-gzip":
			return gzipped, nil
		case "zstd":
			return zstandard, nil
		}
	}
	return plain, fault.New(fault.UnsupportedMediaType, "", "Content-Encoding must be gzip or zstd, applied once.")
}

// Sizes of what reading needs besides the body itself.
const (
	firstRead  = 64 << 10 // taken before anything has come; from there on memory follows the bytes that came
	spare      = 512      // so that the read that meets the end needs no larger buffer
	keptBuffer = 8 << 20  // larger ones are not kept for the next request

	leastMaxBody = 1 << 20 // an event of the largest size, and more

	// A frame of zstd may ask for a window; this is what the format's own document advises decoders to support.
	// Source: RFC 8878 §3.1.1.1.2.
	maxWindow = 8 << 20

	decoderBytes = 192 << 10 // what a decoder has beside its window, its input buffer included
)

// source is a body as it comes: counted, and its own error kept apart from a decoder's.
type source struct {
	r     io.Reader
	n     int64
	limit int64
	err   error
}

var errBodyTooLong = errors.New("body over the limit")

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if s.n > s.limit {
		err = errBodyTooLong
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// gzipSource and zstdSource are decoders with the buffer they read through, kept for the next request.
type gzipSource struct {
	buf *bufio.Reader
	dec *gzip.Reader
}

// next begins the next member. A few bytes of something else would look like the beginning of one that was cut off.
func (g *gzipSource) next() error {
	if head, _ := g.buf.Peek(len(gzipMagic)); !strings.HasPrefix(gzipMagic, string(head)) {
		return errOtherCoding
	}
	err := g.dec.Reset(g.buf)
	g.dec.Multistream(false)
	return err
}

// Read gives the members one after the other.
func (g *gzipSource) Read(p []byte) (int, error) {
	n, err := g.dec.Read(p)
	if err != io.EOF {
		return n, err
	}
	if _, err := g.buf.Peek(1); err != nil {
		return n, err
	}
	if err = g.next(); err == errOtherCoding {
		err = errMore
	}
	return n, err
}

type zstdSource struct {
	buf *bufio.Reader
	dec *zstd.Decoder
}

// readBody reads the whole body, decompressed, into q.body and takes memory for it as it comes.
//
// Errors: invalid (ends early, broken), too_large, unavailable (no memory left, or the client is too slow).
func (q *request) readBody(r *http.Request, enc encoding) error {
	limit := q.maxBody
	if r.ContentLength > limit {
		return tooLong(limit)
	}
	src := &source{r: r.Body, limit: limit}
	var err error
	switch enc {
	case plain:
		err = q.fill(src, r.ContentLength)
	case gzipped:
		err = q.readGzip(src)
	case zstandard:
		err = q.readZstd(src)
	}
	if src.err != nil { // what the decoder made of it is beside the point
		err = src.err
	}
	return bodyError(err, enc, limit)
}

func bodyError(err error, enc encoding, limit int64) error {
	switch {
	case err == nil:
		return nil
	case fault.As(err) != nil:
		return err
	case errors.Is(err, errBodyTooLong), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return tooLong(limit)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fault.New(fault.TooLarge, "read body", "The zstd window is larger than 8 MiB; compress without --long.").WithCause(err)
	case errors.Is(err, httpd.ErrSlowBody):
		return fault.New(fault.Unavailable, "read body", "The body came too slowly; nothing was appended.").WithRetry(time.Second).WithCause(err)
	case errors.Is(err, errOtherCoding):
		return fault.New(fault.Invalid, "read body", "The body is not %s, which Content-Encoding says it is; nothing was appended.", enc).WithCause(err)
	case errors.Is(err, errMore):
		return fault.New(fault.Invalid, "read body", "Something that is not gzip follows the gzip data in the body; nothing was appended.").WithCause(err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fault.New(fault.Invalid, "read body", "The body ended early; nothing was appended.").WithCause(err)
	case enc == plain:
		return fault.New(fault.Invalid, "read body", "The body could not be read; nothing was appended.").WithCause(err)
	}
	return fault.New(fault.Invalid, "read body", "The body could not be decompressed; nothing was appended.").WithCause(err)
}

func tooLong(limit int64) error {
	return fault.New(fault.TooLarge, "read body", "The body is larger than %d bytes; nothing was appended.", limit).
		WithHint("Send the events in several requests.")
}

func (q *request) readGzip(src *source) error {
	if !q.take(decoderBytes) {
		return noMemory()
	}
	g, _ := q.in.gzips.Get().(*gzipSource)
	if g == nil {
		g = &gzipSource{buf: bufio.NewReaderSize(nil, firstRead), dec: new(gzip.Reader)}
	}
	g.buf.Reset(src)
	err := g.next()
	if err == nil {
		err = q.fill(g, -1)
	}
	g.buf.Reset(nil)
	q.in.gzips.Put(g)
	return err
}

func (q *request) readZstd(src *source) error {
	if !q.take(decoderBytes) {
		return noMemory()
	}
	z, _ := q.in.zstds.Get().(*zstdSource)
	if z == nil {
		// With a concurrency of 1 a decoder has no goroutines, so that it may be forgotten without Close.
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(uint64(max(q.in.cfg.MaxBody, maxWindow))))
		if err != nil {
			return fault.From(err, fault.Internal, "make zstd decoder")
		}
		z = &zstdSource{buf: bufio.NewReaderSize(nil, firstRead), dec: dec}
	}
	z.buf.Reset(src)
	var first zstd.Header
	if head, _ := z.buf.Peek(zstd.HeaderMaxSize); first.Decode(head) == nil { // what is wrong with it the decoder says
		if !q.take(int64(min(first.WindowSize, maxWindow))) {
			return noMemory()
		}
	}
	var err error
	if head, _ := z.buf.Peek(len(zstdMagic)); !strings.HasPrefix(zstdMagic, string(head)) && !skippable(head) {
		err = errOtherCoding
	} else if err = z.dec.Reset(z.buf); err == nil {
		err = q.fill(z.dec, -1)
	}
	if err == nil && src.n == 0 {
		err = io.ErrUnexpectedEOF // no frame at all
	}
	z.buf.Reset(nil)
	_ = z.dec.Reset(nil) // lets go of the body; nil cannot fail
	q.in.zstds.Put(z)
	return err
}

// skippable reports whether head begins a frame that a decoder passes over. Source: RFC 8878 §3.1.2.
func skippable(head []byte) bool {
	return head[0]&0xf0 == 0x50 && strings.HasPrefix("\x2a\x4d\x18", string(head[1:]))
}

// fill reads r to its end into q.body. length is what the client says, or negative.
//
// Memory is taken for what has come and, in doubling steps, for what comes next, never for what is only announced:
// so neither a body that is announced and stalls nor a bomb holds more than twice what it really sent or unpacked. A
// stated length ends the last step where the body does.
func (q *request) fill(r io.Reader, length int64) error {
	limit := q.maxBody
	var room int64 // bytes that memory is taken for
	b := q.body[:0]
	for {
		if int64(len(b)) == room {
			next := min(room+max(firstRead, room), limit+spare)
			if end := length + spare; length >= 0 && end > room {
				next = min(next, end)
			}
			if !q.take(weight(next) - weight(room)) {
				q.body = b
				return noMemory()
			}
			room = next
			if int64(cap(b)) < room {
				b = append(make([]byte, 0, room), b...)
			}
		}
		n, err := r.Read(b[len(b):room])
		b = b[:len(b)+n]
		q.body = b
		if int64(len(b)) > limit {
			return errBodyTooLong
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func noMemory() error {
	return fault.New(fault.Unavailable, "read body", "The server has no memory left for this request; nothing was appended.").WithRetry(time.Second)
}
