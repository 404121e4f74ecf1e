package secret

import (
	"bytes"
	"encoding/binary"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/millrace/millrace/internal/fault"
)

// Keyring seals values for storage and opens them again.
//
// It holds one current key, which seals, and any number of former ones, which only open. A sealed value names its
// key, so that the current key can be replaced while values of the former are still stored. A Keyring never
// changes and is safe for concurrent use.
type Keyring struct {
	handle *keyset.Handle
	aead   tink.AEAD
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
	return &Keyring{handle: h, aead: a}, nil
}

// Bytes is the keyring in clear, to be stored where only the program can read it (file mode 0600).
func (k *Keyring) Bytes() ([]byte, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(k.handle, keyset.NewJSONWriter(&b)); err != nil {
		return nil, fault.From(err, fault.Internal, "write master key")
	}
	return b.Bytes(), nil
}

// Rotated gives a keyring with a fresh current key that still opens what k sealed.
func (k *Keyring) Rotated() (*Keyring, error) {
	m := keyset.NewManagerFromHandle(k.handle)
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

// Seal encrypts v under the current key, bound to context: Open needs the same context, so that a sealed value
// that was copied to another row does not open there.
func (k *Keyring) Seal(v Value, context string) ([]byte, error) {
	sealed, err := k.aead.Encrypt([]byte(v.s), []byte(context))
	if err != nil {
		return nil, fault.From(err, fault.Internal, "seal")
	}
	return sealed, nil
}

// Open decrypts what Seal gave. Errors: corrupt if sealed is damaged, was sealed for another context or under a
// key that is not on the ring.
func (k *Keyring) Open(sealed []byte, context string) (Value, error) {
	plain, err := k.aead.Decrypt(sealed, []byte(context))
	if err != nil {
		return Value{}, fault.New(fault.Corrupt, "open sealed value", "the master key does not open it").
			WithHint("Start with the master key file that this database was used with (MILLRACE_MASTER_KEY_FILE).")
	}
	return Value{string(plain)}, nil
}

// Current reports whether sealed was sealed under the current key. It does not check that it opens.
func (k *Keyring) Current(sealed []byte) bool {
	// A sealed value begins with a version byte and the number of its key.
	// Source: https://developers.google.com/tink/wire-format, "Tink output prefix".
	return len(sealed) >= 5 && sealed[0] == 1 &&
		binary.BigEndian.Uint32(sealed[1:5]) == k.handle.KeysetInfo().GetPrimaryKeyId()
}
