package avrofile

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/millrace/millrace/internal/event"
)

const (
	magic    = "Obj\x01"
	syncSize = 16
	// The two keys that the Avro specification names.
	keySchema = "avro.schema"
	keyCodec  = "avro.codec"
)

// SyncMarker is the marker that stands after the header and after each block of the file at key: the first 16 bytes
// of its SHA-256. Derived rather than random, so that a file can be made again byte for byte.
func SyncMarker(key string) [16]byte {
	sum := sha256.Sum256([]byte(key))
	return [16]byte(sum[:syncSize])
}

// Header is what a file at key begins with: magic, a map of schema, codec and m, and the sync marker.
//
// The map is one block of entries with a positive count, followed by an empty one: the plainest of the forms that
// the specification allows, and the one that the strictest readers take.
func Header(s *event.Schema, c Codec, m Meta, key string) []byte {
	items := m.items()
	b := make([]byte, 0, len(s.Avro)+512)
	b = append(b, magic...)
	b = binary.AppendVarint(b, int64(2+len(items)))
	b = appendEntry(b, keySchema, s.Avro)
	b = appendEntry(b, keyCodec, string(c))
	for _, i := range items {
		b = appendEntry(b, headerPrefix+i.name, i.value)
	}
	b = append(b, 0)
	sync := SyncMarker(key)
	return append(b, sync[:]...)
}

func appendEntry(b []byte, key, value string) []byte {
	b = binary.AppendVarint(b, int64(len(key)))
	b = append(b, key...)
	b = binary.AppendVarint(b, int64(len(value)))
	return append(b, value...)
}

// Assemble puts a file together: header, then each block with the sync marker after it. The parts are those given,
// not copies; they stay valid and unchanged as long as the result is used.
func Assemble(header []byte, sync [16]byte, blocks [][]byte) [][]byte {
	mark := sync[:]
	parts := make([][]byte, 0, 1+2*len(blocks))
	parts = append(parts, header)
	for _, b := range blocks {
		parts = append(parts, b, mark)
	}
	return parts
}
