package avrofile

// The least and the most raw bytes of a block. MaxBlock is passed by at most one record.
const (
	MinBlock = 16 << 10
	MaxBlock = 128 << 10
)

// BorderAfter reports whether a block that has size raw bytes ends after the record at offset.
func BorderAfter(offset int64, size int) bool {
	if size < MinBlock {
		return false
	}
	if size >= MaxBlock {
		return true
	}
	h := uint64(offset) * 0x9e3779b97f4a7c15
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	return h>>57 == 0
}
