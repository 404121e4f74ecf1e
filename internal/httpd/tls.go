package httpd

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// certificate is the pair that clients are greeted with. While the server runs it is looked for again, so that a
// renewed one is taken without a restart; one that cannot be used changes nothing.
type certificate struct {
	read   func() (cert, key []byte, err error)
	log    *slog.Logger
	hook   func(until time.Time, err error)
	pair   atomic.Pointer[tls.Certificate]
	seen   [sha256.Size]byte // what the last look found; its error, if it was one
	broken bool              // what was seen cannot be used, and has been told of
}

// openCertificate reads the first pair. Errors: invalid, and those of read.
func openCertificate(read func() (cert, key []byte, err error), log *slog.Logger, hook func(time.Time, error)) (*certificate, error) {
	if hook == nil {
		hook = func(time.Time, error) {}
	}
	c := &certificate{read: read, log: log, hook: hook}
	pair, seen, err := c.load()
	if err != nil {
		return nil, err
	}
	c.take(pair, seen)
	return c, nil
}

// config is for a listener: what is taken later holds for the connections that come later.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil },
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
	}
}

// load reads the pair, and says what it saw by its hash.
func (c *certificate) load() (*tls.Certificate, [sha256.Size]byte, error) {
	cert, key, err := c.read()
	if err != nil {
		return nil, sha256.Sum256([]byte(err.Error())), err
	}
	h := sha256.New()
	h.Write(cert) // a hash never fails
	h.Write([]byte{0})
	h.Write(key)
	seen := [sha256.Size]byte(h.Sum(nil))
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, seen, fault.New(fault.Invalid, "read TLS certificate", "The certificate and the key do not fit together or cannot be read.").
			WithHint("See the files of the settings tls_cert_file and tls_key_file: PEM, the whole chain in the first, its first certificate's key in the second.").WithCause(err)
	}
	return &pair, seen, nil
}

func (c *certificate) take(pair *tls.Certificate, seen [sha256.Size]byte) {
	c.pair.Store(pair)
	c.seen, c.broken = seen, false
	c.hook(pair.Leaf.NotAfter, nil)
}

// watch looks for another pair until ctx ends.
func (c *certificate) watch(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			c.look()
		}
	}
}

func (c *certificate) look() {
	pair, seen, err := c.load()
	switch {
	case err == nil && seen == c.seen: // as it was
	case err == nil:
		c.take(pair, seen)
		c.log.Info("the TLS certificate was read anew", "subject", pair.Leaf.Subject.String(), "valid_until", pair.Leaf.NotAfter)
	case seen != c.seen: // whoever renews two files writes one of them first: it is broken if it stays so
		c.seen, c.broken = seen, false
	case !c.broken:
		c.broken = true
		c.log.Error("the TLS certificate that was put in place cannot be used; the one before is kept", "error", err, "hint", fault.HintOf(err))
		c.hook(c.pair.Load().Leaf.NotAfter, err)
	}
}
