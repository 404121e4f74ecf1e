package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"

	"github.com/millrace/millrace/internal/secret"
)

// sealInstallationKey binds a sealed key to its name.
func sealInstallationKey(name string) string { return "installation key " + name }

// InstallationKey gives 32 random bytes that are the same for ever under that name, made at the first call.
func (s *Store) InstallationKey(ctx context.Context, name string) (key secret.Value, err error) {
	if key, err = s.reader(ctx).installationKey(name); !errors.Is(err, sql.ErrNoRows) {
		return key, s.fail(err, "find installation key")
	}
	var b [32]byte
	rand.Read(b[:]) // never fails; see crypto/rand
	sealed, err := s.ring.Seal(secret.New(string(b[:])), sealInstallationKey(name))
	if err != nil {
		return key, s.fail(err, "make installation key")
	}
	err = s.inTx(ctx, "make installation key", func(c conn) error {
		if _, err := c.exec("INSERT INTO installation_keys (name, secret, created_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
			name, sealed, millis(s.now())); err != nil {
			return err
		}
		key, err = c.installationKey(name)
		return err
	})
	return key, err
}

func (c conn) installationKey(name string) (secret.Value, error) {
	var sealed []byte
	if err := c.one("SELECT secret FROM installation_keys WHERE name = ?", []any{name}, &sealed); err != nil {
		return secret.Value{}, err
	}
	return c.s.ring.Open(sealed, sealInstallationKey(name))
}
