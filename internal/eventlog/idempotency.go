package eventlog

import (
	"encoding/hex"
	"sync"
)

// KeyHash names an idempotency key within its workspace.
type KeyHash struct {
	Workspace uint32
	Hash      [16]byte // of workspace, API key and the request's Idempotency-Key
}

// Answer is what is kept of a request's answer: enough to give it again.
type Answer struct {
	Body     [16]byte // hash of path and decoded body: another body under the same key is a mistake
	Status   uint16
	Accepted uint32
	Rejected uint32
}

// Claim is the right to answer the request with a key. Nobody else gets one for that key until it is released.
type Claim struct {
	Key     KeyHash
	release func()
	once    sync.Once
}

// NewClaim is for implementations of Log: release is called once, by the first Release.
func NewClaim(key KeyHash, release func()) *Claim { return &Claim{Key: key, release: release} }

// Release lets the next one in. It is safe to call twice.
func (c *Claim) Release() {
	if c != nil {
		c.once.Do(c.release)
	}
}

// String is the identity in hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String wrote. It reports false for anything else.
func ParseID(s string) (id ID, ok bool) {
	if len(s) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err == nil
}
