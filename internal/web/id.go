package web

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/millrace/millrace/internal/fault"
)

// IDs turns numbers of rows into names that tell nothing, and back: a number would tell how many rows other workspaces
// have. It is a permutation of 128-bit blocks under a key of the installation, so that a name which was made up is
// refused. Safe for concurrent use.
type IDs struct{ block cipher.Block }

// NewIDs makes it of 32 random bytes that stay the same as long as names shall.
func NewIDs(key []byte) (IDs, error) {
	b, err := aes.NewCipher(key)
	return IDs{b}, fault.From(err, fault.Internal, "make names of rows")
}

// kind says what a name is of, so that one of another kind is refused.
type kind uint64

// The kinds. They never change: names stand in scripts.
const (
	cursorID kind = iota + 1
	jobID
	noticeID
	fileID
	dropID
	webhookID
	entryID
	checkID
	pastCheckID
)

// cursorOf gives the kind of the cursors of the list that a call asks for: of this operation, of what its path names, with
// these filters. Any other is refused: its number counts other rows, and to begin there would leave some out in silence.
func cursorOf(c *call) kind {
	filters := c.r.URL.Query()
	filters.Del("cursor")
	filters.Del("limit")
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %d %s", c.row.name, c.workspace.Number, filters.Encode()) // never fails
	for _, name := range braces.FindAllStringSubmatch(c.row.path, -1) {
		if name[1] != "workspace" { // which has two names
			fmt.Fprintf(h, " %q", c.r.PathValue(name[1]))
		}
	}
	return kind(h.Sum32())<<32 | cursorID
}

// idNumber gives a number of an id that is none, by which a cursor names it. 0 is none.
func idNumber[ID ~string](id ID) int64 {
	h := fnv.New64a()
	h.Write([]byte(id)) // never fails
	return int64(h.Sum64()>>1 | 1)
}

var idText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// name gives the name of row n of kind k: 26 characters.
func (i IDs) name(k kind, n int64) string {
	var b [aes.BlockSize]byte
	binary.BigEndian.PutUint64(b[:8], uint64(k))
	binary.BigEndian.PutUint64(b[8:], uint64(n))
	i.block.Encrypt(b[:], b[:])
	return idText.EncodeToString(b[:])
}

// number gives back what name was made of. Errors: not_found for anything else.
func (i IDs) number(k kind, name string) (int64, error) {
	b, err := idText.DecodeString(strings.ToLower(name))
	if err == nil && len(b) == aes.BlockSize {
		i.block.Decrypt(b, b)
		if kind(binary.BigEndian.Uint64(b[:8])) == k {
			return int64(binary.BigEndian.Uint64(b[8:])), nil
		}
	}
	return 0, fault.New(fault.NotFound, "", "There is nothing of this name.")
}
