package avrofile

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Hash stands for a set of raw records, each at its offset: records as the log holds them, before any
// transformation and compression. The zero Hash is that of no records. Big-endian.
//
// It is the sum, modulo 2^128, of the XXH3-128 of each record seeded with its offset. A sum, because then the
// hash of a file is that of its blocks together and the hash of a prefix is what is left when the rest is taken
// away, so ranges can be compared and joined without reading records again; the seed ties each record to its
// place, so that order and repetition still count. It tells accidents apart. It is no proof against somebody
// who chooses records to deceive: whoever could gain from that owns the bucket and may write there anyway.
type Hash [16]byte

// Add takes in the record at offset. It does not keep rec.
func (h *Hash) Add(offset int64, rec []byte) {
	d := xxh3.Hash128Seed(rec, uint64(offset))
	h.plus(d.Hi, d.Lo)
}

// Merge takes in all records of o, which must not share a record with h.
func (h *Hash) Merge(o Hash) {
	h.plus(binary.BigEndian.Uint64(o[:8]), binary.BigEndian.Uint64(o[8:]))
}

// Remove takes out all records of o, which must all be in h.
func (h *Hash) Remove(o Hash) {
	lo, borrow := bits.Sub64(binary.BigEndian.Uint64(h[8:]), binary.BigEndian.Uint64(o[8:]), 0)
	hi, _ := bits.Sub64(binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(o[:8]), borrow)
	h.set(hi, lo)
}

func (h *Hash) plus(hi, lo uint64) {
	lo, carry := bits.Add64(binary.BigEndian.Uint64(h[8:]), lo, 0)
	hi, _ = bits.Add64(binary.BigEndian.Uint64(h[:8]), hi, carry)
	h.set(hi, lo)
}

func (h *Hash) set(hi, lo uint64) {
	binary.BigEndian.PutUint64(h[:8], hi)
	binary.BigEndian.PutUint64(h[8:], lo)
}

// String is the hash as 32 lower-case hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads what String gives.
func ParseHash(s string) (Hash, bool) {
	var h Hash
	if len(s) != 2*len(h) {
		return Hash{}, false
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil || h.String() != s {
		return Hash{}, false
	}
	return h, true
}
