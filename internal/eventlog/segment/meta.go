package segment

import (
	"encoding/binary"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/vfs"
)

// meta is the file LOG: what the log is and where it begins. It changes in one step, before what it no longer
// names is removed.
//
//	 0  8  magic "MLRMETA\n"
//	 8  4  version, 1
//	12  4  checksum of the rest
//	16 16  identity of the log
//	32  8  number of the first segment
//	40  8  offset of the first readable record
//	48 16  zero
type meta struct {
	id    eventlog.ID
	first uint64
	start eventlog.Offset
}

const (
	metaMagic   = "MLRMETA\n"
	metaVersion = 1
	metaSize    = 64
)

func (m meta) encode() []byte {
	b := make([]byte, metaSize)
	copy(b, metaMagic)
	binary.LittleEndian.PutUint32(b[8:], metaVersion)
	copy(b[16:], m.id[:])
	binary.LittleEndian.PutUint64(b[32:], m.first)
	binary.LittleEndian.PutUint64(b[40:], uint64(m.start))
	seal(b)
	return b
}

func (m meta) save(fs vfs.FS) error { return vfs.WriteFile(fs, metaName, m.encode()) }

func decodeMeta(b []byte) (m meta, err error) {
	if len(b) < metaSize {
		return m, damage(metaName, 0, "it is cut off")
	}
	b = b[:metaSize]
	if err := checkSeal(b, metaMagic, metaVersion, metaName); err != nil {
		return m, err
	}
	copy(m.id[:], b[16:])
	m.first = binary.LittleEndian.Uint64(b[32:])
	m.start = eventlog.Offset(binary.LittleEndian.Uint64(b[40:]))
	return m, nil
}

// loadMeta errors with not_found if there is no such file.
func loadMeta(fs vfs.FS) (meta, error) {
	b, err := vfs.ReadFile(fs, metaName, 1<<16)
	if err != nil {
		return meta{}, err
	}
	return decodeMeta(b)
}
