package avrofile

// The least and the most raw bytes of a block. MaxBlock is passed by at most one record.
const (
	MinBlock = 16 << 10
	MaxBlock = 128 << 10
)

// borderBits makes one offset in 128 a border: blocks of events have 68 KiB on average, and readers that begin at
// different events agree after some 200. Measured with ten usual types of 240 to 740 bytes: ratio and time of
// deflate as with blocks of a fixed 64 KiB (32.8 % against 33.0 %). With 6 bits blocks have 48 KiB and 2 % more bytes
// for a slightly earlier agreement; with 8 bits two in five end at MaxBlock and agreement takes twice as long.
const borderBits = 7

// BorderAfter reports whether a block ends after the record at offset, by which it has grown to size raw bytes.
//
// It depends on the content alone: not on time, memory, or how records arrived. And it forgets: two blocks that
// begin at different records soon end at the same one, so that connectors which joined a stream at different
// events, or made one file longer, come to share blocks again.
func BorderAfter(offset int64, size int) bool {
	if size < MinBlock {
		return false
	}
	return size >= MaxBlock || mix(uint64(offset))>>(64-borderBits) == 0
}

// mix spreads offsets over 64 bits. One multiplication would not do: a stream that takes every 89th offset, or
// any other Fibonacci number's, would meet no border for thousands of records and then one after the other.
func mix(h uint64) uint64 {
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	h *= odd
	h ^= h >> 32
	return h * odd
}
