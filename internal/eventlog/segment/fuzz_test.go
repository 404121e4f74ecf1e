package segment

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// reseal gives every block of a mutated segment a right checksum, so that the fuzzer gets past them.
func reseal(data []byte) []byte {
	if len(data) < segmentHeader {
		return data
	}
	copy(data, segmentMagic)
	binary.LittleEndian.PutUint32(data[8:], segmentVersion)
	seal(data[:segmentHeader])
	salt := binary.LittleEndian.Uint32(data[88:])
	var e entry
	for pos := int64(segmentHeader); pos+commitHeader+answerHeader <= int64(len(data)); pos += e.size() {
		binary.LittleEndian.PutUint32(data[pos:], commitMagic)
		e.decode(data[pos:])
		if stop := pos + e.size(); stop <= int64(len(data)) {
			binary.LittleEndian.PutUint32(data[pos+56:], checksum(data[pos+int64(e.headSize()):stop]))
		}
		binary.LittleEndian.PutUint32(data[pos+4:], crc32.Update(salt, castagnoli, data[pos+8:pos+int64(e.headSize())]))
	}
	return data
}

// sample is a segment with an answer, keys, and plain commits.
func sample(id eventlog.ID) []byte {
	h := header{log: id, number: 1, synced: segmentHeader, salt: 7}
	data := h.encode()
	add := func(e entry, payload []byte) {
		e.payload, e.sum = len(payload), checksum(payload)
		b := make([]byte, e.headSize())
		e.encode(b, eventlog.KeyHash{Workspace: 1, Hash: [16]byte{9}}, eventlog.Answer{Status: 200})
		stamp(b, 1, int64(len(data)), 7)
		data = append(append(data, b...), payload...)
	}
	b := &eventlog.Batch{}
	b.Add(1, []byte("first"))
	b.Add(2, nil)
	add(entry{Header: eventlog.Header{Workspace: 1, Kind: eventlog.Events}, count: 2}, b.Payload())
	add(entry{Header: eventlog.Header{Workspace: 1, Kind: eventlog.Control}, first: 2, count: 2, flags: flagAnswer}, b.Payload())
	add(entry{first: 4, flags: flagKeys}, (&row{key: eventlog.KeyHash{Workspace: 2}}).append(nil))
	return data
}

// FuzzSegment reads any bytes as a segment: nothing may panic, take memory without bounds, or give a commit that
// contradicts itself.
func FuzzSegment(f *testing.F) {
	var id eventlog.ID
	f.Add(sample(id), true)
	f.Add(sample(id), false)
	f.Add(sample(id)[:200], true)
	f.Fuzz(func(t *testing.T, data []byte, fix bool) {
		if fix {
			data = reseal(data)
		}
		disk := vfstest.New()
		disk.Put(metaName, meta{id: id, first: 1}.encode())
		disk.Put(segmentName(1), data)
		Check(t.Context(), disk, nil)
		l, err := Open(t.Context(), Config{FS: disk})
		if err != nil {
			return
		}
		defer l.Close()
		r, err := l.Reader(0, eventlog.Filter{})
		if err != nil {
			return
		}
		defer r.Close()
		for range len(data) {
			c, err := r.Next()
			if err != nil || c == nil {
				return
			}
			n := 0
			for rec := range c.Records() {
				n += len(rec.Value) + 8
			}
			if n != len(c.Payload) {
				t.Fatalf("a commit of %d bytes gave %d", len(c.Payload), n)
			}
		}
	})
}

// FuzzIndex reads any bytes as an index of a good segment.
func FuzzIndex(f *testing.F) {
	var id eventlog.ID
	x := &index{end: 300, endOffset: 4}
	f.Add(encodeIndex(id, 1, x, []mark{{0, segmentHeader, 0}}, []row{{key: eventlog.KeyHash{Workspace: 1, Hash: [16]byte{9}}}}), true)
	f.Fuzz(func(t *testing.T, data []byte, fix bool) {
		if fix && len(data) >= indexHeader {
			keys := int64(binary.LittleEndian.Uint32(data[84:])) * rowSize
			if end := int64(len(data)) - keys; end >= indexHeader {
				binary.LittleEndian.PutUint32(data[88:], checksum(data[indexHeader:end]))
			}
			seal(data[:indexHeader])
		}
		disk := vfstest.New()
		disk.Put(metaName, meta{id: id, first: 1}.encode())
		disk.Put(segmentName(1), sample(id))
		disk.Put(indexName(1), data)
		l, err := Open(t.Context(), Config{FS: disk})
		if err != nil {
			return
		}
		defer l.Close()
		claim, _, err := l.Claim(t.Context(), eventlog.KeyHash{Workspace: 1, Hash: [16]byte{9}})
		if err == nil {
			claim.Release()
		}
		if r, err := l.Reader(0, eventlog.Filter{}); err == nil {
			for range 10 {
				if c, err := r.Next(); err != nil || c == nil {
					break
				}
			}
			r.Close()
		}
	})
}
