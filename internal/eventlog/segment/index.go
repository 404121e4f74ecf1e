package segment

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/vfs"
)

// An index file says of a complete segment what would otherwise be found by reading it. It is derived: a missing
// or damaged one is made again from the segment. It is written after the segment's last byte was synced and
// never before its successor is durable or the log closes, so its presence means that the segment is complete.
//
//	 0  8  magic "MLRINDEX"
//	 8  4  version, 1
//	12  4  checksum of the rest of these 128 bytes
//	16 16  identity of the log
//	32  8  number of the segment
//	40  8  bytes of the segment that belong to the log
//	48  8  offset after its last record
//	56  8  time of acceptance of its last commit, ms
//	64  8  ageing clock at that commit, ms
//	72  4  number of marks
//	76  4  number of workspaces
//	80  4  bytes of the Bloom filter
//	84  4  number of keys
//	88  4  checksum of marks, workspaces and filter
//	92 36  zero
//
// Then marks (offset 8, position 8, time 8), one for each 256 KiB at most; workspaces (number 4, keys 4); the
// Bloom filter; keys (see row), sorted by hash and workspace, each with a checksum of its own.
const (
	indexMagic   = "MLRINDEX"
	indexVersion = 1
	indexHeader  = 128
	markSize     = 24
	markEvery    = 256 << 10
	rowSize      = 64

	// bloomBits for each key and bloomHashes give about 1 % of needless reads.
	bloomBits   = 10
	bloomHashes = 7
)

// mark says where a commit of a segment stands, so that reading can begin near an offset or a time.
type mark struct {
	offset eventlog.Offset
	pos    int64
	at     int64
}

// row is an idempotency key with its answer, 64 bytes:
//
//	hash 16, workspace 4, accepted 4, hash of the request 16, ageing clock 8, rejected 4, status 2, zero 6, checksum 4
type row struct {
	key    eventlog.KeyHash
	answer eventlog.Answer
	clock  int64
}

func (r *row) append(b []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, rowSize)...)
	p := b[at:]
	copy(p, r.key.Hash[:])
	binary.LittleEndian.PutUint32(p[16:], r.key.Workspace)
	binary.LittleEndian.PutUint32(p[20:], r.answer.Accepted)
	copy(p[24:], r.answer.Body[:])
	binary.LittleEndian.PutUint64(p[40:], uint64(r.clock))
	binary.LittleEndian.PutUint32(p[48:], r.answer.Rejected)
	binary.LittleEndian.PutUint16(p[52:], r.answer.Status)
	binary.LittleEndian.PutUint32(p[60:], checksum(p[:60]))
	return b
}

func decodeRow(p []byte) (r row, ok bool) {
	copy(r.key.Hash[:], p)
	r.key.Workspace = binary.LittleEndian.Uint32(p[16:])
	r.answer.Accepted = binary.LittleEndian.Uint32(p[20:])
	copy(r.answer.Body[:], p[24:])
	r.clock = int64(binary.LittleEndian.Uint64(p[40:]))
	r.answer.Rejected = binary.LittleEndian.Uint32(p[48:])
	r.answer.Status = binary.LittleEndian.Uint16(p[52:])
	return r, binary.LittleEndian.Uint32(p[60:]) == checksum(p[:60])
}

func compareKeys(a, b eventlog.KeyHash) int {
	if c := bytes.Compare(a.Hash[:], b.Hash[:]); c != 0 {
		return c
	}
	return int(int64(a.Workspace) - int64(b.Workspace))
}

// bloom is a Bloom filter over key hashes, which are uniform already.
type bloom []byte

func newBloom(keys int) bloom { return make(bloom, (keys*bloomBits+7)/8) }

func (f bloom) bit(key eventlog.KeyHash, i uint64) uint64 {
	a := binary.LittleEndian.Uint64(key.Hash[:])
	b := binary.LittleEndian.Uint64(key.Hash[8:]) | 1
	bit, _ := bits.Mul64(a+i*b, uint64(len(f))*8)
	return bit
}

func (f bloom) add(key eventlog.KeyHash) {
	for i := range uint64(bloomHashes) {
		n := f.bit(key, i)
		f[n/8] |= 1 << (n % 8)
	}
}

func (f bloom) has(key eventlog.KeyHash) bool {
	if len(f) == 0 {
		return false
	}
	for i := range uint64(bloomHashes) {
		if n := f.bit(key, i); f[n/8]&(1<<(n%8)) == 0 {
			return false
		}
	}
	return true
}

// index is an index file as far as it is kept in memory: everything but marks and keys.
type index struct {
	end       int64
	endOffset eventlog.Offset
	lastAt    int64
	lastClock int64
	marks     int
	keys      int
	counts    map[uint32]int // keys by workspace
	filter    bloom
}

func (x *index) marksPos() int64 { return indexHeader }

func (x *index) keysPos() int64 {
	return indexHeader + int64(x.marks)*markSize + int64(len(x.counts))*8 + int64(len(x.filter))
}

// encodeIndex gives the bytes of an index file. rows are sorted by it.
func encodeIndex(log eventlog.ID, number uint64, x *index, marks []mark, rows []row) []byte {
	slices.SortFunc(rows, func(a, b row) int { return compareKeys(a.key, b.key) })
	x.marks, x.keys, x.counts, x.filter = len(marks), len(rows), map[uint32]int{}, newBloom(len(rows))
	for i := range rows {
		x.counts[rows[i].key.Workspace]++
		x.filter.add(rows[i].key)
	}
	b := make([]byte, indexHeader, x.keysPos()+int64(len(rows))*rowSize)
	copy(b, indexMagic)
	binary.LittleEndian.PutUint32(b[8:], indexVersion)
	copy(b[16:], log[:])
	binary.LittleEndian.PutUint64(b[32:], number)
	binary.LittleEndian.PutUint64(b[40:], uint64(x.end))
	binary.LittleEndian.PutUint64(b[48:], uint64(x.endOffset))
	binary.LittleEndian.PutUint64(b[56:], uint64(x.lastAt))
	binary.LittleEndian.PutUint64(b[64:], uint64(x.lastClock))
	binary.LittleEndian.PutUint32(b[72:], uint32(len(marks)))
	binary.LittleEndian.PutUint32(b[76:], uint32(len(x.counts)))
	binary.LittleEndian.PutUint32(b[80:], uint32(len(x.filter)))
	binary.LittleEndian.PutUint32(b[84:], uint32(len(rows)))
	for _, m := range marks {
		b = binary.LittleEndian.AppendUint64(b, uint64(m.offset))
		b = binary.LittleEndian.AppendUint64(b, uint64(m.pos))
		b = binary.LittleEndian.AppendUint64(b, uint64(m.at))
	}
	for _, ws := range slices.Sorted(func(yield func(uint32) bool) {
		for ws := range x.counts {
			if !yield(ws) {
				return
			}
		}
	}) {
		b = binary.LittleEndian.AppendUint32(b, ws)
		b = binary.LittleEndian.AppendUint32(b, uint32(x.counts[ws]))
	}
	b = append(b, x.filter...)
	binary.LittleEndian.PutUint32(b[88:], checksum(b[indexHeader:]))
	seal(b[:indexHeader])
	for i := range rows {
		b = rows[i].append(b)
	}
	return b
}

// loadIndex reads what is kept in memory of an index file. It errors with not_found or corrupt; either way the
// index can be made again.
func loadIndex(fs vfs.FS, log eventlog.ID, number uint64) (*index, error) {
	name := indexName(number)
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing can be lost by it
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size < indexHeader {
		return nil, damage(name, 0, "it is cut off")
	}
	var head [indexHeader]byte
	if err := readFull(f, head[:], 0, name); err != nil {
		return nil, err
	}
	b := head[:]
	if err := checkSeal(b, indexMagic, indexVersion, name); err != nil {
		return nil, err
	}
	x := &index{
		end:       int64(binary.LittleEndian.Uint64(b[40:])),
		endOffset: eventlog.Offset(binary.LittleEndian.Uint64(b[48:])),
		lastAt:    int64(binary.LittleEndian.Uint64(b[56:])),
		lastClock: int64(binary.LittleEndian.Uint64(b[64:])),
		marks:     int(binary.LittleEndian.Uint32(b[72:])),
		keys:      int(binary.LittleEndian.Uint32(b[84:])),
		counts:    map[uint32]int{},
	}
	workspaces := int(binary.LittleEndian.Uint32(b[76:]))
	filter := int(binary.LittleEndian.Uint32(b[80:]))
	rest := int64(x.marks)*markSize + int64(workspaces)*8 + int64(filter)
	if !bytes.Equal(b[16:32], log[:]) || binary.LittleEndian.Uint64(b[32:]) != number {
		return nil, damage(name, 16, "it belongs to another log or segment")
	}
	if x.end < segmentHeader || x.endOffset < 0 {
		return nil, damage(name, 40, "its end is no place in a segment")
	}
	if size != indexHeader+rest+int64(x.keys)*rowSize {
		return nil, damage(name, 72, "its size differs from what its header says")
	}
	// Marks are read only to check them; what stays is the rest.
	p := make([]byte, rest)
	if err := readFull(f, p, indexHeader, name); err != nil {
		return nil, err
	}
	if checksum(p) != binary.LittleEndian.Uint32(b[88:]) {
		return nil, damage(name, indexHeader, "the checksum of its content differs")
	}
	for _, m := range decodeMarks(p[:x.marks*markSize]) {
		if m.pos < segmentHeader || m.pos >= x.end {
			return nil, damage(name, x.marksPos(), "a mark is no place in its segment")
		}
	}
	p = p[x.marks*markSize:]
	for range workspaces {
		x.counts[binary.LittleEndian.Uint32(p)] = int(binary.LittleEndian.Uint32(p[4:]))
		p = p[8:]
	}
	x.filter = slices.Clone(bloom(p))
	return x, nil
}

// readMarks gives the marks of an index file that loadIndex has accepted.
func (x *index) readMarks(fs vfs.FS, number uint64) ([]mark, error) {
	f, err := fs.Open(indexName(number))
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing can be lost by it
	p := make([]byte, x.marks*markSize)
	if err := readFull(f, p, x.marksPos(), indexName(number)); err != nil {
		return nil, err
	}
	return decodeMarks(p), nil
}

func decodeMarks(p []byte) []mark {
	marks := make([]mark, len(p)/markSize)
	for i := range marks {
		marks[i] = mark{
			offset: eventlog.Offset(binary.LittleEndian.Uint64(p)),
			pos:    int64(binary.LittleEndian.Uint64(p[8:])),
			at:     int64(binary.LittleEndian.Uint64(p[16:])),
		}
		p = p[markSize:]
	}
	return marks
}

// find looks a key up in an index file, by halving.
func (x *index) find(fs vfs.FS, number uint64, key eventlog.KeyHash) (r row, ok bool, err error) {
	f, err := fs.Open(indexName(number))
	if err != nil {
		return r, false, err
	}
	defer f.Close() // read only: nothing can be lost by it
	lo, hi := 0, x.keys
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		r, err := x.readRow(f, number, mid)
		if err != nil {
			return r, false, err
		}
		switch c := compareKeys(r.key, key); {
		case c == 0:
			return r, true, nil
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return r, false, nil
}

func (x *index) readRow(f vfs.File, number uint64, i int) (row, error) {
	var b [rowSize]byte
	pos := x.keysPos() + int64(i)*rowSize
	if err := readFull(f, b[:], pos, indexName(number)); err != nil {
		return row{}, err
	}
	r, ok := decodeRow(b[:])
	if !ok {
		return r, damage(indexName(number), pos, "the checksum of a key differs")
	}
	return r, nil
}

// readRows gives all keys of an index file.
func (x *index) readRows(fs vfs.FS, number uint64) ([]row, error) {
	f, err := fs.Open(indexName(number))
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing can be lost by it
	p := make([]byte, x.keys*rowSize)
	if err := readFull(f, p, x.keysPos(), indexName(number)); err != nil {
		return nil, err
	}
	return decodeRows(p, indexName(number))
}

func decodeRows(p []byte, file string) ([]row, error) {
	rows := make([]row, 0, len(p)/rowSize)
	for at := 0; at+rowSize <= len(p); at += rowSize {
		r, ok := decodeRow(p[at:])
		if !ok {
			return nil, damage(file, int64(at), "the checksum of a key differs")
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// readFull fills p or errors: corrupt if the file ends before.
func readFull(f vfs.File, p []byte, pos int64, name string) error {
	n, err := f.ReadAt(p, pos)
	if n == len(p) {
		return nil
	}
	if err == nil || fault.As(err) == nil {
		return damage(name, pos+int64(n), "the file ends early")
	}
	return err
}
