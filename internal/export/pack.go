package export

import (
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zip"

	"github.com/millrace/millrace/internal/fault"
)

// Packing is how a file is compressed.
type Packing string

// The packings.
const (
	Zip  Packing = "zip"
	Gzip Packing = "gzip"
	None Packing = "none"
)

// Suffix is what the name of a packed file ends with.
func (p Packing) Suffix() string {
	switch p {
	case Zip:
		return ".zip"
	case Gzip:
		return ".gz"
	}
	return ""
}

// Pack writes what from has to w: as the only file of an archive, called name, or compressed, or as it is. The same bytes
// give the same bytes, since no time is written. Errors: those of from and w.
func Pack(w io.Writer, how Packing, name string, from io.Reader) error {
	to, err := newPacker(w, how, name)
	if err != nil {
		return fault.Wrap(err, "pack "+name)
	}
	if _, err := io.Copy(to, from); err != nil {
		return fault.Wrap(err, "pack "+name)
	}
	return fault.Wrap(to.Close(), "pack "+name)
}

// newPacker is Pack for what is written bit by bit; Close ends the file, and leaves w open.
func newPacker(w io.Writer, how Packing, name string) (io.WriteCloser, error) {
	switch how {
	case Zip:
		z := newArchive(w)
		f, err := z.Create(name)
		return packer{f, z.Close}, err
	case Gzip:
		return gzip.NewWriterLevel(w, flate.BestSpeed)
	}
	return packer{w, func() error { return nil }}, nil
}

// packer is a writer with what ends it.
type packer struct {
	io.Writer
	end func() error
}

func (p packer) Close() error { return p.end() }

// newArchive begins an archive in w.
func newArchive(w io.Writer) *zip.Writer {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	return z
}

// lastBlock ends a stream of deflate: an empty block that says that it is the last. Source: RFC 1951, 3.2.6.
var lastBlock = []byte{0x03, 0x00}

// piece is a piece of a file of an archive: deflate that ends at a whole byte and without a last block, so that pieces made
// apart from each other are one stream when they stand one after the other.
type piece struct {
	plain, packed int64
	sum           uint32 // CRC-32 of the plain bytes
}

// join gives p followed by q.
func (p piece) join(q piece) piece {
	return piece{p.plain + q.plain, p.packed + q.packed, joinSums(p.sum, q.sum, q.plain)}
}

// beginFile begins a file of an archive that is pieces; after them comes lastBlock.
func (p piece) beginFile(z *zip.Writer, name string) (io.Writer, error) {
	return z.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Deflate, CRC32: p.sum,
		CompressedSize64: uint64(p.packed) + uint64(len(lastBlock)), UncompressedSize64: uint64(p.plain)})
}

// joinSums gives the CRC-32 of two texts, the second of n bytes, of which those are known: the first goes through n more
// zero bytes, which is a matrix over bits, squared again and again. Source: zlib, crc32_combine.
func joinSums(first, second uint32, n int64) uint32 {
	var step, square [32]uint32
	step[0] = crc32.IEEE // one zero bit
	for i := 1; i < 32; i++ {
		step[i] = 1 << (i - 1)
	}
	for bits := n * 8; bits > 0; bits >>= 1 {
		if bits&1 == 1 {
			first = times(&step, first)
		}
		for i := range square {
			square[i] = times(&step, step[i])
		}
		step = square
	}
	return first ^ second
}

func times(m *[32]uint32, v uint32) (sum uint32) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			sum ^= m[i]
		}
	}
	return sum
}
