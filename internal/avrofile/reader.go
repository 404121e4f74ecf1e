package avrofile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/internal/fault"
)

// Limits of what is read, so that a file from elsewhere can make neither long allocations nor long loops. Our own
// blocks end at MaxBlock and one record (at most some 1.2 MiB); other writers' blocks are mostly 64 KiB.
const (
	maxHeader  = 4 << 20  // bytes of all keys and values of the header
	maxEntries = 1 << 10  // in the header
	maxBlock   = 16 << 20 // bytes of a block, compressed and raw
)

const opRead = "read Avro file"

// Reader reads an Avro object container file block by block. It holds one block at a time, compressed and raw, so its
// memory is bounded by the limits above however large the file is. It is for one goroutine.
type Reader struct {
	in     source
	header map[string]string
	cols   []column
	codec  Codec
	meta   Meta
	isOurs bool
	sync   [syncSize]byte

	packed, raw []byte // of the current block
	block       []byte // what records walks: raw, or packed for the codec null
	start       int64  // where in the file the current block begins
	inflate     io.ReadCloser
	packedIn    bytes.Reader
	unzstd      *zstd.Decoder
}

// Open reads the header of a file.
//
// Errors: corrupt if r does not hold an Avro object container file of flat records of the kinds of the catalogue,
// compressed with one of the codecs; the message says what is wrong and at which byte. Errors of r itself keep
// their code.
func Open(r io.Reader) (*Reader, error) {
	f := &Reader{in: source{r: bufio.NewReaderSize(r, 64<<10)}}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Reader) open() error {
	var m [len(magic)]byte
	if err := f.in.fill(m[:], "magic"); err != nil {
		return err
	}
	if string(m[:]) != magic {
		return f.in.corrupt(0, "does not begin as an Avro object container file does")
	}
	if err := f.readMap(); err != nil {
		return err
	}
	at := f.in.pos
	schema, ok := f.header[keySchema]
	if !ok {
		return f.in.corrupt(at, "the header has no %s", keySchema)
	}
	var err error
	if f.cols, err = parseColumns([]byte(schema)); err != nil {
		return f.in.corrupt(at, "%s in the header %v", keySchema, err)
	}
	f.codec = Null // what the specification has an absent codec mean
	if c, ok := f.header[keyCodec]; ok {
		if f.codec, ok = ParseCodec(c); !ok {
			return f.in.corrupt(at, "the codec %q is not read here", c)
		}
	}
	f.meta, f.isOurs = parseMeta(func(name string) string { return f.header[headerPrefix+name] })
	return f.in.fill(f.sync[:], "the header's sync marker")
}

func (f *Reader) readMap() error {
	f.header = map[string]string{}
	left := maxHeader
	text := func(what string) (string, error) {
		at := f.in.pos
		n, err := f.in.long(what)
		if err != nil {
			return "", err
		}
		if n < 0 || n > int64(left) {
			return "", f.in.corrupt(at, "the header has %s of %d bytes", what, n)
		}
		left -= int(n)
		b, err := f.in.take(nil, int(n), what)
		return string(b), err
	}
	for {
		at := f.in.pos
		n, err := f.in.long("the header's count")
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if n < 0 { // the size in bytes follows, for readers that skip
			n = -n
			if _, err := f.in.long("the header's size"); err != nil {
				return err
			}
		}
		if n < 0 || n > int64(maxEntries-len(f.header)) {
			return f.in.corrupt(at, "the header has too many entries")
		}
		for ; n > 0; n-- {
			at := f.in.pos
			k, err := text("a key")
			if err != nil {
				return err
			}
			v, err := text("a value")
			if err != nil {
				return err
			}
			if _, twice := f.header[k]; twice {
				return f.in.corrupt(at, "the header has the key %q twice", k)
			}
			f.header[k] = v
		}
	}
}

// Schema is the writer's schema, JSON as it stands in the header.
func (f *Reader) Schema() string { return f.header[keySchema] }

// Codec is how the blocks are compressed.
func (f *Reader) Codec() Codec { return f.codec }

// Meta is what the header says of the file; false if it was not written by us.
func (f *Reader) Meta() (Meta, bool) { return f.meta, f.isOurs }

// Next gives the raw bytes of the next block, valid until the call that follows, and the number of records in it;
// io.EOF after the last block.
//
// Errors: as Open. A file that ends within a block is corrupt.
func (f *Reader) Next() ([]byte, int, error) {
	if done, err := f.in.done(); err != nil || done {
		if done {
			err = io.EOF
		}
		return nil, 0, err
	}
	f.start = f.in.pos
	count, err := f.in.long("a block's count")
	if err != nil {
		return nil, 0, err
	}
	size, err := f.in.long("a block's size")
	if err != nil {
		return nil, 0, err
	}
	if size < 0 || size > maxBlock {
		return nil, 0, f.in.corrupt(f.start, "the block has a size of %d bytes; at most %d are read", size, maxBlock)
	}
	if f.packed, err = f.in.take(f.packed[:0], int(size), "a block"); err != nil {
		return nil, 0, err
	}
	at := f.in.pos
	var sync [syncSize]byte
	if err := f.in.fill(sync[:], "a sync marker"); err != nil {
		return nil, 0, err
	}
	if sync != f.sync {
		return nil, 0, f.in.corrupt(at, "the sync marker is not that of the header")
	}
	raw, err := f.unpack()
	if err != nil {
		return nil, 0, f.in.corrupt(f.start, "the block cannot be decompressed: %v", err)
	}
	// Every record of an event has at least an id, so a byte.
	if count < 0 || count > int64(len(raw)) {
		return nil, 0, f.in.corrupt(f.start, "the block claims %d records in %d bytes", count, len(raw))
	}
	return raw, int(count), nil
}

var errTooLong = fmt.Errorf("it has more than %d bytes", maxBlock)

func (f *Reader) unpack() (raw []byte, err error) {
	switch f.codec {
	case Deflate:
		f.packedIn.Reset(f.packed)
		if f.inflate == nil {
			f.inflate = flate.NewReader(&f.packedIn)
		} else if err := f.inflate.(flate.Resetter).Reset(&f.packedIn, nil); err != nil {
			return nil, err
		}
		f.raw = f.raw[:0]
		for {
			if len(f.raw) == cap(f.raw) {
				f.raw = slices.Grow(f.raw, 64<<10)
			}
			n, err := f.inflate.Read(f.raw[len(f.raw):cap(f.raw)])
			if f.raw = f.raw[:len(f.raw)+n]; len(f.raw) > maxBlock {
				return nil, errTooLong
			}
			if err == io.EOF {
				return f.raw, nil
			}
			if err != nil {
				return nil, err
			}
		}
	case Snappy:
		cut := len(f.packed) - crc32.Size
		if cut < 0 {
			return nil, errors.New("it has no checksum")
		}
		n, err := snappy.DecodedLen(f.packed[:cut])
		if err != nil {
			return nil, err
		}
		if n > maxBlock {
			return nil, errTooLong
		}
		// A byte of snappy stands for at most 64: so that a few bytes cannot claim much memory.
		if n > 64*cut {
			return nil, snappy.ErrCorrupt
		}
		if f.raw, err = snappy.Decode(f.raw[:cap(f.raw)], f.packed[:cut]); err != nil {
			return nil, err
		}
		if crc32.ChecksumIEEE(f.raw) != binary.BigEndian.Uint32(f.packed[cut:]) {
			return nil, errors.New("its checksum is not that of its bytes")
		}
		return f.raw, nil
	case Zstandard:
		if f.unzstd == nil {
			if f.unzstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxMemory(maxBlock), zstd.WithDecoderMaxWindow(maxBlock)); err != nil {
				return nil, err
			}
		}
		f.raw, err = f.unzstd.DecodeAll(f.packed, f.raw[:0])
		return f.raw, err
	}
	return f.packed, nil
}

// source counts the bytes that were read, and tells a file that ends too early from a reader that failed.
type source struct {
	r   *bufio.Reader
	pos int64
}

func (s *source) corrupt(at int64, format string, args ...any) error {
	return fault.New(fault.Corrupt, opRead, "at byte %d: %s", at, fmt.Sprintf(format, args...))
}

// failed turns an error of the reader into one of ours.
func (s *source) failed(err error, what string) error {
	if err == io.EOF {
		return s.corrupt(s.pos, "the file ends in %s", what)
	}
	return fault.Wrap(err, fmt.Sprintf("%s, at byte %d", opRead, s.pos))
}

// done reports whether the file ends here.
func (s *source) done() (bool, error) {
	switch _, err := s.r.Peek(1); err {
	case nil:
		return false, nil
	case io.EOF:
		return true, nil
	default:
		return false, s.failed(err, "")
	}
}

// fill reads len(b) bytes.
func (s *source) fill(b []byte, what string) error {
	for len(b) > 0 {
		n, err := s.r.Read(b)
		s.pos += int64(n)
		if b = b[n:]; err != nil && len(b) > 0 {
			return s.failed(err, what)
		}
	}
	return nil
}

// take appends n bytes to dst. It asks for memory as bytes arrive: a size that lies costs at most twice the bytes
// that are really there.
func (s *source) take(dst []byte, n int, what string) ([]byte, error) {
	for n > 0 {
		step := min(n, max(len(dst), 64<<10))
		dst = slices.Grow(dst, step)
		part := dst[len(dst) : len(dst)+step]
		if err := s.fill(part, what); err != nil {
			return nil, err
		}
		dst = dst[:len(dst)+step]
		n -= step
	}
	return dst, nil
}

// long reads a zig-zag number.
func (s *source) long(what string) (int64, error) {
	at := s.pos
	var u uint64
	for shift := 0; ; shift += 7 {
		b, err := s.r.ReadByte()
		if err != nil {
			return 0, s.failed(err, what)
		}
		s.pos++
		if shift == 63 && b > 1 {
			return 0, s.corrupt(at, "%s is not a number of 64 bits", what)
		}
		u |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(u>>1) ^ -int64(u&1), nil
		}
	}
}
