package avrofile

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Codec is how the blocks of a file are compressed, by its name in the header.
type Codec string

// The codecs. Source: Avro specification 1.12, object container files.
//
// On events at home in blocks like ours, deflate leaves 33 % of the raw bytes, snappy 53 % in a quarter of the time,
// zstandard 30 % in three quarters of it.
const (
	Null      Codec = "null"
	Deflate   Codec = "deflate"
	Snappy    Codec = "snappy" // each block is followed by the CRC32 of its raw bytes
	Zstandard Codec = "zstandard"
)

// ParseCodec gives the codec with the given name, as it stands in settings and headers.
func ParseCodec(s string) (Codec, bool) {
	switch c := Codec(s); c {
	case Null, Deflate, Snappy, Zstandard:
		return c, true
	}
	return "", false
}

// Compressor makes blocks. It keeps the encoders' tables (up to 1.5 MiB) from one block to the next.
// It is for one goroutine at a time.
type Compressor struct {
	deflate *flate.Writer
	zstd    *zstd.Encoder
	out     sink // the compressed bytes of the block being made
}

// NewCompressor makes a Compressor; encoders are made when their codec is first asked for.
func NewCompressor() *Compressor { return &Compressor{} }

// AppendBlock appends count records, which raw holds one after the other, as one Avro block: count, size, data.
//
// The sync marker that ends a block in a file is left out, because it belongs to the file: so one block can stand
// in the files of several connectors. dst grows to just what the block needs.
// count is at least 1; c is one of the codecs, anything else panics.
func (z *Compressor) AppendBlock(dst []byte, c Codec, count int, raw []byte) []byte {
	data := raw
	switch c {
	case Null:
	case Deflate:
		data = z.deflated(raw)
	case Snappy:
		// golang/snappy, although the s2 package is quicker and packs 7 % tighter: the assembly of s2 finds other
		// matches than its Go code, so its bytes would depend on the machine.
		z.out = snappy.Encode(z.out[:cap(z.out)], raw)
		z.out = binary.BigEndian.AppendUint32(z.out, crc32.ChecksumIEEE(raw))
		data = z.out
	case Zstandard:
		data = z.zstandard(raw)
	default:
		panic("avrofile: no codec " + string(c))
	}
	dst = slices.Grow(dst, 2*binary.MaxVarintLen32+len(data))
	dst = binary.AppendVarint(dst, int64(count))
	dst = binary.AppendVarint(dst, int64(len(data)))
	return append(dst, data...)
}

func (z *Compressor) deflated(raw []byte) []byte {
	z.out = z.out[:0]
	if z.deflate == nil {
		z.deflate = must(flate.NewWriter(&z.out, flate.BestSpeed))
	} else {
		z.deflate.Reset(&z.out)
	}
	// The sink takes everything, so neither call can fail.
	_, _ = z.deflate.Write(raw)
	_ = z.deflate.Close()
	return z.out
}

func (z *Compressor) zstandard(raw []byte) []byte {
	if z.zstd == nil {
		z.zstd = must(zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.SpeedFastest), // the next level takes half as long again for 0.3 % of the size
			zstd.WithEncoderConcurrency(1),           // blocks are made one at a time: one set of tables
			zstd.WithWindowSize(MaxBlock),
			zstd.WithEncoderCRC(false), // the object as a whole has a checksum
			zstd.WithLowerEncoderMem(true)))
	}
	z.out = z.zstd.EncodeAll(raw, z.out[:0])
	return z.out
}

// sink is an io.Writer into memory that keeps its room.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}

// must gives v where an error could only mean that the constants above are wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
