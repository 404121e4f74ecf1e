package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// The files of a log. All numbers in them are little-endian; all checksums are CRC32C.
//
//	LOCK            held by the process that may change the folder
//	LOG             identity and start                              meta.go
//	0000000012.seg  segment 12: a header, then commits              this file
//	0000000012.idx  what can be known of segment 12 without reading it, made when it is complete   index.go
//	*.new, *.tmp    not finished; removed by the next opening
//	*.aside-…       a damaged segment as it was found, kept for people
//
// Segment header, 128 bytes. A later version keeps the first 16 and the meaning of the checksum, so that a newer
// file can be told from a damaged one.
//
//	 0  8  magic "MLRSEGMT"
//	 8  4  version, 1
//	12  4  checksum of the other 124 bytes
//	16 16  identity of the log
//	32  8  number of the segment
//	40  8  offset of the first record
//	48  8  time of acceptance of the last commit before, ms
//	56  8  ageing clock at that commit, ms (see clock.go)
//	64  8  how many bytes of this file were synced before it got its name
//	72  8  how many bytes of the segment before belong to the log
//	80  8  offset of the first record of the segment before
//	88  4  salt: where checksums of this segment's commit headers begin
//	92 36  zero
//
// Commit, 64 or 112 bytes of header and then the payload.
//
//	 0  4  magic "MCMT"
//	 4  4  checksum of the rest of the header, beginning from the salt
//	 8  8  number of the segment
//	16  8  offset of the first record
//	24  8  how many bytes of this file were synced when this was written
//	32  8  time of acceptance, ms
//	40  4  workspace
//	44  4  target
//	48  4  number of records
//	52  4  bytes of payload
//	56  4  checksum of the payload
//	60  1  kind
//	61  1  flags: 1 an answer follows, 2 the payload is idempotency keys, 4 gap
//	62  2  zero
//	64 16  hash of the idempotency key      } with flag 1 only
//	80 16  hash of the request              }
//	96  4  workspace of the key             }
//	100 4  accepted                         }
//	104 4  rejected                         }
//	108 2  status                           }
//	110 2  zero                             }
const (
	segmentMagic   = "MLRSEGMT"
	segmentVersion = 1
	segmentHeader  = 128

	commitMagic  = 'M' | 'C'<<8 | 'M'<<16 | 'T'<<24
	commitHeader = 64
	answerHeader = 48

	flagAnswer = 1 // the request's answer stands in the header
	flagKeys   = 2 // no records: idempotency keys that moved on from a segment that went
	flagGap    = 4 // no records: a damaged range was set aside; count is how many offsets it had

	// maxSegment is more than any segment has: the largest setting and one commit of the largest size.
	maxSegment = 2 << 30

	metaName = "LOG"
	lockName = "LOCK"
	newExt   = ".new"
)

// castagnoli is hardware-assisted on the processors that matter.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

func segmentName(number uint64) string { return fmt.Sprintf("%010d.seg", number) }
func indexName(number uint64) string   { return fmt.Sprintf("%010d.idx", number) }

// parseName gives the number in the name of a segment or index file.
func parseName(name, ext string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, ext)
	if !ok || len(digits) != 10 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// header is a segment's header.
type header struct {
	log       eventlog.ID
	number    uint64
	base      eventlog.Offset
	baseAt    int64
	baseClock int64
	synced    int64
	prevEnd   int64
	prevBase  eventlog.Offset
	salt      uint32
}

func (h *header) encode() []byte {
	b := make([]byte, segmentHeader)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], segmentVersion)
	copy(b[16:], h.log[:])
	binary.LittleEndian.PutUint64(b[32:], h.number)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.base))
	binary.LittleEndian.PutUint64(b[48:], uint64(h.baseAt))
	binary.LittleEndian.PutUint64(b[56:], uint64(h.baseClock))
	binary.LittleEndian.PutUint64(b[64:], uint64(h.synced))
	binary.LittleEndian.PutUint64(b[72:], uint64(h.prevEnd))
	binary.LittleEndian.PutUint64(b[80:], uint64(h.prevBase))
	binary.LittleEndian.PutUint32(b[88:], h.salt)
	seal(b)
	return b
}

// seal puts the checksum of a block of magic, version, checksum and content in its place.
func seal(b []byte) { binary.LittleEndian.PutUint32(b[12:], sealSum(b)) }

func sealSum(b []byte) uint32 {
	return crc32.Update(checksum(b[:12]), castagnoli, b[16:])
}

// checkSeal tells a newer version, which is refused by name, from damage.
func checkSeal(b []byte, magic string, version uint32, file string) error {
	if !bytes.Equal(b[:8], []byte(magic)) {
		return damage(file, 0, "it does not begin like a file of its kind")
	}
	if binary.LittleEndian.Uint32(b[12:]) != sealSum(b) {
		return damage(file, 0, "the checksum of its header differs")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != version {
		return newer(file, v, version)
	}
	return nil
}

// newer is the error for a file of a version that this program does not know. It is no damage.
func newer(file string, has, knows uint32) error {
	return &fault.Error{
		Code:   fault.Conflict,
		Op:     "open " + file,
		Msg:    fault.Message{Key: "log.newer_version", Text: "{file} has format version {has}; this program knows version {knows}"},
		Hint:   fault.Message{Key: "log.newer_version.hint", Text: "run the newer program that wrote it; nothing was changed"},
		Params: fault.Params{"file": file, "has": has, "knows": knows},
	}
}

// IsNewer reports whether err says that a file of the log was written by a newer program.
func IsNewer(err error) bool {
	e := fault.As(err)
	return e != nil && e.Msg.Key == "log.newer_version"
}

// damage is the error for bytes that are not what was written.
func damage(file string, pos int64, what string) *fault.Error {
	return &fault.Error{
		Code:   fault.Corrupt,
		Op:     "read log",
		Msg:    fault.Message{Key: "log.damaged", Text: "{file} is damaged at byte {position}: " + what},
		Hint:   fault.Message{Key: "log.damaged.hint", Text: "run `millrace log check`; `millrace log skip` sets the damaged range aside"},
		Params: fault.Params{"file": file, "position": pos},
	}
}

func decodeHeader(b []byte, file string) (h header, err error) {
	if len(b) < segmentHeader {
		return h, damage(file, 0, "its header is cut off")
	}
	b = b[:segmentHeader]
	if err := checkSeal(b, segmentMagic, segmentVersion, file); err != nil {
		return h, err
	}
	copy(h.log[:], b[16:])
	h.number = binary.LittleEndian.Uint64(b[32:])
	h.base = eventlog.Offset(binary.LittleEndian.Uint64(b[40:]))
	h.baseAt = int64(binary.LittleEndian.Uint64(b[48:]))
	h.baseClock = int64(binary.LittleEndian.Uint64(b[56:]))
	h.synced = int64(binary.LittleEndian.Uint64(b[64:]))
	h.prevEnd = int64(binary.LittleEndian.Uint64(b[72:]))
	h.prevBase = eventlog.Offset(binary.LittleEndian.Uint64(b[80:]))
	h.salt = binary.LittleEndian.Uint32(b[88:])
	if h.base < 0 || h.prevBase < 0 || h.synced < segmentHeader || h.prevEnd < 0 || h.prevEnd > maxSegment {
		return h, damage(file, 0, "its header contradicts itself")
	}
	return h, nil
}

// entry is a commit's header.
type entry struct {
	eventlog.Header
	number  uint64
	first   eventlog.Offset
	synced  int64
	at      int64
	count   int
	payload int
	sum     uint32
	flags   byte
}

func (e *entry) headSize() int {
	if e.flags&flagAnswer != 0 {
		return commitHeader + answerHeader
	}
	return commitHeader
}

func (e *entry) size() int64 { return int64(e.headSize()) + int64(e.payload) }

// end is the offset after the commit. Keys have no offsets; a gap has those of what it stands for.
func (e *entry) end() eventlog.Offset {
	return e.first + eventlog.Offset(e.count)
}

// visible reports whether the commit holds records.
func (e *entry) visible() bool { return e.flags&(flagKeys|flagGap) == 0 }

// encode writes the header without segment number, synced position and checksum: see stamp.
func (e *entry) encode(b []byte, key eventlog.KeyHash, a eventlog.Answer) {
	binary.LittleEndian.PutUint32(b, commitMagic)
	binary.LittleEndian.PutUint64(b[16:], uint64(e.first))
	binary.LittleEndian.PutUint64(b[32:], uint64(e.at))
	binary.LittleEndian.PutUint32(b[40:], e.Workspace)
	binary.LittleEndian.PutUint32(b[44:], e.Target)
	binary.LittleEndian.PutUint32(b[48:], uint32(e.count))
	binary.LittleEndian.PutUint32(b[52:], uint32(e.payload))
	binary.LittleEndian.PutUint32(b[56:], e.sum)
	b[60], b[61], b[62], b[63] = byte(e.Kind), e.flags, 0, 0
	if e.flags&flagAnswer != 0 {
		copy(b[64:], key.Hash[:])
		copy(b[80:], a.Body[:])
		binary.LittleEndian.PutUint32(b[96:], key.Workspace)
		binary.LittleEndian.PutUint32(b[100:], a.Accepted)
		binary.LittleEndian.PutUint32(b[104:], a.Rejected)
		binary.LittleEndian.PutUint16(b[108:], a.Status)
		b[110], b[111] = 0, 0
	}
}

// stamp completes a header: which segment, how much of it is durable by now, checksum.
func stamp(b []byte, number uint64, synced int64, salt uint32) {
	binary.LittleEndian.PutUint64(b[8:], number)
	binary.LittleEndian.PutUint64(b[24:], uint64(synced))
	n := commitHeader
	if b[61]&flagAnswer != 0 {
		n += answerHeader
	}
	binary.LittleEndian.PutUint32(b[4:], crc32.Update(salt, castagnoli, b[8:n]))
}

// decode reads a header of at least commitHeader bytes without checking anything. The bytes come from memory
// that this process wrote, or check is called next.
func (e *entry) decode(b []byte) {
	e.number = binary.LittleEndian.Uint64(b[8:])
	e.first = eventlog.Offset(binary.LittleEndian.Uint64(b[16:]))
	e.synced = int64(binary.LittleEndian.Uint64(b[24:]))
	e.at = int64(binary.LittleEndian.Uint64(b[32:]))
	e.Workspace = binary.LittleEndian.Uint32(b[40:])
	e.Target = binary.LittleEndian.Uint32(b[44:])
	e.count = int(binary.LittleEndian.Uint32(b[48:]))
	e.payload = int(binary.LittleEndian.Uint32(b[52:]))
	e.sum = binary.LittleEndian.Uint32(b[56:])
	e.Kind, e.flags = eventlog.Kind(b[60]), b[61]
}

// check says what is wrong with a header that stands in segment number; "" if nothing is.
// b holds the header, or all there is.
func (e *entry) check(b []byte, number uint64, salt uint32) string {
	if len(b) < commitHeader || binary.LittleEndian.Uint32(b) != commitMagic {
		return "no commit begins here"
	}
	e.decode(b)
	if len(b) < e.headSize() || binary.LittleEndian.Uint32(b[4:]) != crc32.Update(salt, castagnoli, b[8:e.headSize()]) {
		return "the checksum of a commit's header differs"
	}
	switch {
	case e.number != number:
		return "a commit belongs to another segment"
	case e.first < 0:
		return "a commit's header contradicts itself"
	}
	return ""
}

// answer reads what flagAnswer announces; b is the whole header.
func answer(b []byte) (key eventlog.KeyHash, a eventlog.Answer) {
	copy(key.Hash[:], b[64:])
	copy(a.Body[:], b[80:])
	key.Workspace = binary.LittleEndian.Uint32(b[96:])
	a.Accepted = binary.LittleEndian.Uint32(b[100:])
	a.Rejected = binary.LittleEndian.Uint32(b[104:])
	a.Status = binary.LittleEndian.Uint16(b[108:])
	return key, a
}

// checkPayload says what is wrong with a commit's payload; "" if nothing is.
func (e *entry) checkPayload(p []byte) string {
	switch {
	case e.flags&flagGap != 0:
		return ""
	case checksum(p) != e.sum:
		return "the checksum of a commit's payload differs"
	case e.flags&flagKeys != 0:
		if e.count != 0 || len(p)%rowSize != 0 {
			return "a commit of idempotency keys contradicts itself"
		}
	case e.count == 0 || !eventlog.ValidPayload(p, e.count):
		return "a commit's records contradict their header"
	}
	return ""
}
