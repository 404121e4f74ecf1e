package secret

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/millrace/millrace/internal/fault"
)

// Parameters of the password hash.
// Source: OWASP Password Storage Cheat Sheet, Argon2id: 19 MiB of memory, two passes, one lane.
const (
	passwordMemory = 19 * 1024 // KiB
	passwordPasses = 2
	passwordLanes  = 1
	passwordSalt   = 16 // bytes
	passwordHash   = 32 // bytes
)

// Bounds of what a stored hash may ask for: one that was tampered with takes neither all memory nor the day.
const (
	mostMemory = 256 * 1024 // KiB
	mostPasses = 16
)

// Passwords hashes passwords with argon2id, few at once: each takes 19 MiB while it runs. Safe for concurrent use.
type Passwords struct {
	turns chan struct{}
	dummy Value
}

// NewPasswords gives a hasher of which atOnce hashes run at the same time; others wait their turn.
func NewPasswords(atOnce int) *Passwords {
	salt := make([]byte, passwordSalt)
	return &Passwords{
		turns: make(chan struct{}, atOnce),
		dummy: encodePHC(passwordMemory, passwordPasses, passwordLanes, salt, make([]byte, passwordHash)),
	}
}

// Hash gives what is stored of a password: a PHC string with a salt of its own.
//
// Errors: unavailable if ctx ends before its turn.
// Source: https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md
func (p *Passwords) Hash(ctx context.Context, password Value) (Value, error) {
	salt := make([]byte, passwordSalt)
	rand.Read(salt) // never fails; see crypto/rand
	key, err := p.derive(ctx, password, salt, passwordMemory, passwordPasses, passwordLanes, passwordHash)
	if err != nil {
		return Value{}, err
	}
	return encodePHC(passwordMemory, passwordPasses, passwordLanes, salt, key), nil
}

// Verify reports whether password is the one that stored is the hash of, computed with the parameters that stand in it;
// old says that these are not today's, so that it should be hashed anew. Against an empty stored no password is right,
// and finding that out takes as long as with one: whoever asks cannot tell whether there is a password.
//
// Errors: corrupt if stored cannot be read; unavailable if ctx ends before its turn.
func (p *Passwords) Verify(ctx context.Context, password, stored Value) (right, old bool, err error) {
	none := stored.Empty()
	if none {
		stored = p.dummy
	}
	memory, passes, lanes, salt, want, err := decodePHC(stored)
	if err != nil {
		return false, false, err
	}
	got, err := p.derive(ctx, password, salt, memory, passes, lanes, uint32(len(want)))
	if err != nil || subtle.ConstantTimeCompare(got, want) == 0 || none {
		return false, false, err
	}
	return true, memory != passwordMemory || passes != passwordPasses || lanes != passwordLanes, nil
}

func (p *Passwords) derive(ctx context.Context, password Value, salt []byte, memory, passes uint32, lanes uint8, length uint32) ([]byte, error) {
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		return nil, fault.From(ctx.Err(), fault.Unavailable, "wait for a turn to hash a password")
	}
	// Keyboards write the same letter in several ways. Source: RFC 8265, section 4.2.1: NFC.
	return argon2.IDKey(norm.NFC.Bytes([]byte(password.s)), salt, passes, memory, lanes, length), nil
}

func encodePHC(memory, passes uint32, lanes uint8, salt, hash []byte) Value {
	b := base64.RawStdEncoding
	return Value{fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes, b.EncodeToString(salt), b.EncodeToString(hash))}
}

// decodePHC reads what encodePHC wrote. No error repeats any of it.
func decodePHC(v Value) (memory, passes uint32, lanes uint8, salt, hash []byte, err error) {
	var version int
	parts := strings.Split(v.s, "$") // "", argon2id, v=, m=,t=,p=, salt, hash
	ok := len(parts) == 6 && parts[0] == "" && parts[1] == "argon2id"
	if ok {
		_, e1 := fmt.Sscanf(parts[2], "v=%d", &version)
		_, e2 := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes)
		var e3, e4 error
		salt, e3 = base64.RawStdEncoding.DecodeString(parts[4])
		hash, e4 = base64.RawStdEncoding.DecodeString(parts[5])
		ok = e1 == nil && e2 == nil && e3 == nil && e4 == nil && version == argon2.Version &&
			passes >= 1 && passes <= mostPasses && lanes >= 1 && memory >= 8*uint32(lanes) && memory <= mostMemory &&
			len(salt) >= 8 && len(hash) >= 16 && len(hash) <= 64
	}
	if !ok {
		return 0, 0, 0, nil, nil, fault.New(fault.Corrupt, "read the hash of a password", "it is not one of argon2id that this program makes")
	}
	return memory, passes, lanes, salt, hash, nil
}
