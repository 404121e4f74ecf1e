package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// maxCachedKeys bounds the cache; an installation with more active keys looks some up more often.
const maxCachedKeys = 4096

// keyCache remembers what known keys allow. Unknown keys are not remembered: a key that was just made works at
// once, and guessing fills nothing.
type keyCache struct {
	keys   Keys
	ttl    time.Duration
	mu     sync.RWMutex
	byHash map[control.KeyHash]cachedKey
}

type cachedKey struct {
	grant control.Grant
	until time.Time
}

func newKeyCache(k Keys, ttl time.Duration) *keyCache {
	return &keyCache{keys: k, ttl: ttl, byHash: map[control.KeyHash]cachedKey{}}
}

// grant gives what the key allows. Errors: unauthorized, unavailable.
func (c *keyCache) grant(ctx context.Context, key string) (control.Grant, error) {
	if key == "" {
		return control.Grant{}, fault.New(fault.Unauthorized, "", "The request carries no API key.").
			WithHint("Send the header Authorization: Bearer KEY.")
	}
	h := control.HashKey(key)
	now := time.Now()
	c.mu.RLock()
	e, ok := c.byHash[h]
	c.mu.RUnlock()
	if ok && now.Before(e.until) {
		return e.grant, nil
	}
	g, err := c.keys.KeyByHash(ctx, h)
	switch {
	case fault.Is(err, fault.NotFound):
		c.mu.Lock()
		delete(c.byHash, h)
		c.mu.Unlock()
		return control.Grant{}, fault.New(fault.Unauthorized, "", "The API key is not known.").
			WithHint("It may have been deleted, or belong to another installation.")
	case err != nil:
		return control.Grant{}, fault.New(fault.Unavailable, "look up API key", "The API key cannot be checked at the moment.").WithRetry(time.Second).WithCause(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byHash) >= maxCachedKeys {
		c.makeRoom(now)
	}
	c.byHash[h] = cachedKey{g, now.Add(c.ttl)}
	return g, nil
}

// makeRoom forgets what is out of date, or else any one.
func (c *keyCache) makeRoom(now time.Time) {
	for h, e := range c.byHash {
		if !now.Before(e.until) {
			delete(c.byHash, h)
		}
	}
	for h := range c.byHash {
		if len(c.byHash) < maxCachedKeys {
			return
		}
		delete(c.byHash, h)
	}
}
