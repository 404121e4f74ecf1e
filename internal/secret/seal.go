package secret

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/millrace/millrace/internal/fault"
)

// Keyring seals values for storage and opens them again.
//
// It holds one current key, which seals, and any number of former ones, which only open. A sealed value names its
// key, so that the current key can be replaced while values of the former are still stored. One that OpenKeyring gave
// follows its file; others never change. Safe for concurrent use.
type Keyring struct {
	read func() ([]byte, error) // nil: it never changes
	held atomic.Pointer[keys]
}

// keys is what a keyring holds at a time.
type keys struct {
	from   [sha256.Size]byte // what it was read from
	handle *keyset.Handle
	aead   tink.AEAD
}

// OpenKeyring gives a keyring that follows what read gives, which is what Bytes wrote: it is read again before each
// Seal, and when Open meets a key that it does not know. So the processes that share a file seal with its current key from
// the moment it is there, and none needs to be started again. What cannot be read later changes nothing.
//
// Errors: those of read; invalid, never with any of what was read in it.
func OpenKeyring(read func() ([]byte, error)) (*Keyring, error) {
	k := &Keyring{read: read}
	return k, k.refresh()
}

// refresh takes what is there now. An error leaves what is held.
func (k *Keyring) refresh() error {
	if k.read == nil {
		return nil
	}
	data, err := k.read()
	if err != nil {
		return err
	}
	from := sha256.Sum256(data)
	if held := k.held.Load(); held != nil && held.from == from {
		return nil
	}
	fresh, err := ParseKeyring(data)
	if err != nil {
		return err
	}
	keys := fresh.held.Load()
	keys.from = from
	k.held.Store(keys)
	return nil
}

// NewKeyring makes a keyring with one fresh key (AES-256-GCM).
func NewKeyring() (*Keyring, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fault.From(err, fault.Internal, "make master key")
	}
	return keyringOf(h)
}

// ParseKeyring reads what Bytes wrote. Errors: invalid, never with any of data in it.
func ParseKeyring(data []byte) (*Keyring, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		// The library's error may quote what it could not read, which is key material.
		return nil, fault.New(fault.Invalid, "read master key", "this is not a master key file").
			WithHint("Give the file that was made on the first run, or a copy of it.")
	}
	return keyringOf(h)
}

func keyringOf(h *keyset.Handle) (*Keyring, error) {
	a, err := aead.New(h)
	if err != nil {
		return nil, fault.New(fault.Invalid, "read master key", "the master key is of a kind that cannot seal")
	}
	k := &Keyring{}
	k.held.Store(&keys{handle: h, aead: a})
	return k, nil
}

// Bytes is the keyring in clear, to be stored where only the program can read it (file mode 0600).
func (k *Keyring) Bytes() ([]byte, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(k.held.Load().handle, keyset.NewJSONWriter(&b)); err != nil {
		return nil, fault.From(err, fault.Internal, "write master key")
	}
	return b.Bytes(), nil
}

// Rotated gives a keyring with a fresh current key that still opens what k opens.
func (k *Keyring) Rotated() (*Keyring, error) {
	m := keyset.NewManagerFromHandle(k.held.Load().handle)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err != nil {
		return nil, fault.From(err, fault.Internal, "rotate master key")
	}
	h, err := m.Handle()
	if err != nil {
		return nil, fault.From(err, fault.Internal, "rotate master key")
	}
	return keyringOf(h)
}

// Alone gives a keyring of the current key: what is sealed under a former one it does not open.
func (k *Keyring) Alone() (*Keyring, error) {
	h := k.held.Load().handle
	m := keyset.NewManagerFromHandle(h)
	for _, id := range formerOf(h) {
		if err := m.Delete(id); err != nil {
			return nil, fault.From(err, fault.Internal, "leave out a former master key")
		}
	}
	h, err := m.Handle()
	if err != nil {
		return nil, fault.From(err, fault.Internal, "leave out the former master keys")
	}
	return keyringOf(h)
}

// Former is how many former keys there are.
func (k *Keyring) Former() int { return len(formerOf(k.held.Load().handle)) }

func formerOf(h *keyset.Handle) (ids []uint32) {
	info := h.KeysetInfo()
	for _, i := range info.GetKeyInfo() {
		if i.GetKeyId() != info.GetPrimaryKeyId() {
			ids = append(ids, i.GetKeyId())
		}
	}
	return ids
}

// Seal encrypts v under the current key, bound to context: Open needs the same context, so that a sealed value
// that was copied to another row does not open there.
func (k *Keyring) Seal(v Value, context string) ([]byte, error) {
	_ = k.refresh() // what is sealed under a key that is former by now can be opened all the same, and sealed anew
	sealed, err := k.held.Load().aead.Encrypt([]byte(v.s), []byte(context))
	if err != nil {
		return nil, fault.From(err, fault.Internal, "seal")
	}
	return sealed, nil
}

// Open decrypts what Seal gave. Errors: corrupt if sealed is damaged, was sealed for another context or under a
// key that is not on the ring; unavailable if that cannot be told since the keyring's file cannot be read now.
func (k *Keyring) Open(sealed []byte, context string) (Value, error) {
	held := k.held.Load()
	plain, err := held.aead.Decrypt(sealed, []byte(context))
	if err == nil {
		return Value{string(plain)}, nil
	}
	if err := k.refresh(); err != nil {
		return Value{}, fault.New(fault.Unavailable, "open sealed value", "the master key that is known does not open it, and its file cannot be read").
			WithHint("See that this process may read the master key file; if the key was rotated, put the new file in its place.").WithCause(err)
	}
	if now := k.held.Load(); now != held {
		if plain, err = now.aead.Decrypt(sealed, []byte(context)); err == nil {
			return Value{string(plain)}, nil
		}
	}
	return Value{}, fault.New(fault.Corrupt, "open sealed value", "the master key does not open it").
		WithHint("Start with the master key file that this database was used with (MILLRACE_MASTER_KEY_FILE).")
}

// Current reports whether sealed was sealed under the current key. It does not check that it opens.
func (k *Keyring) Current(sealed []byte) bool {
	_ = k.refresh() // as in Seal
	// A sealed value begins with a version byte and the number of its key.
	// Source: https://developers.google.com/tink/wire-format, "Tink output prefix".
	return len(sealed) >= 5 && sealed[0] == 1 &&
		binary.BigEndian.Uint32(sealed[1:5]) == k.held.Load().handle.KeysetInfo().GetPrimaryKeyId()
}
