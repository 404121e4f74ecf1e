package event

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// AppendUUID appends a version 7 UUID for time t: 36 bytes, lower-case, milliseconds first and 74 random bits, so
// that ids sort by time and two never meet. Source: RFC 9562 §5.7.
//
// Safe for concurrent use: the random bits come from the runtime's own generator, which the system seeds.
func AppendUUID(dst []byte, t time.Time) []byte {
	ms := uint64(t.UnixMilli())
	return appendUUID(dst, ms<<16|7<<12|rand.Uint64()&0xfff, rand.Uint64()>>2|1<<63)
}

// appendUUID writes 128 bits as 8-4-4-4-12 hex digits.
func appendUUID(dst []byte, high, low uint64) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], high)
	binary.BigEndian.PutUint64(b[8:], low)
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}
