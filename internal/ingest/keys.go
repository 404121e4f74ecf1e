package ingest

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// maxCachedKeys bounds the cache; an installation with more active keys looks some up more often.
const maxCachedKeys = 4096

// How often one client may come with keys that are not known before it has to wait: at once after a rest, and a second.
// Keys are too long to be guessed; each guess asks the database.
const (
	guessesAtOnce   = 30
	guessesASecond  = 1
	guessersCounted = 4096
)

// keyCache remembers what known keys allow. Unknown keys are not remembered: a key that was just made works at
// once, and guessing fills nothing.
type keyCache struct {
	keys     Keys
	ttl      time.Duration
	guessers *limits[netip.Addr]
	mu       sync.RWMutex
	byHash   map[control.KeyHash]cachedKey
}

type cachedKey struct {
	grant control.Grant
	until time.Time
}

func newKeyCache(k Keys, ttl time.Duration) *keyCache {
	return &keyCache{
		keys: k, ttl: ttl, byHash: map[control.KeyHash]cachedKey{},
		guessers: newLimits[netip.Addr](guessesASecond, guessesAtOnce, guessersCounted),
	}
}

// grant gives what the key allows, whether or not it may be used now and from client. A client that came with too many
// unknown keys is not let in with another one, but with those that were known lately it is: others may share its address.
//
// Errors: unauthorized, rate_limited, unavailable.
func (c *keyCache) grant(ctx context.Context, key string, client netip.Addr) (control.Grant, error) {
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
	if !ok {
		if wait := c.guessers.wait(networkOf(client), now); wait > 0 {
			return control.Grant{}, fault.New(fault.RateLimited, "", "Too many requests from %s with API keys that are not known.", client).
				WithHint("A program there uses a key that was deleted, or of another installation. If this is the address of your own reverse proxy, the operator names it in MILLRACE_TRUSTED_PROXIES.").
				WithRetry(wait)
		}
	}
	g, err := c.keys.KeyByHash(ctx, h)
	switch {
	case fault.Is(err, fault.NotFound):
		c.guessers.take(networkOf(client), now)
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

// usable says why a key that is known may not be used now, from client. Whoever shows a key learns from which address they
// came, and not from where it would work: a key that was found would say where to go. Errors: unauthorized, forbidden.
func usable(g control.Grant, client netip.Addr, now time.Time) error {
	if !g.ExpiresAt.IsZero() && !now.Before(g.ExpiresAt) {
		return fault.New(fault.Unauthorized, "", "The API key expired at %s.", g.ExpiresAt.UTC().Format(time.RFC3339)).
			WithHint("Have an administrator of the workspace make another one.")
	}
	if len(g.Networks) > 0 && !slices.ContainsFunc(g.Networks, func(n netip.Prefix) bool { return n.Contains(client) }) {
		return fault.New(fault.Forbidden, "", "The API key may not be used from the address %s.", client).
			WithHint("It works from certain networks only. An administrator of the workspace makes a key for this address (on the dashboard under Settings, API keys, or by POST /api/v1/workspaces/WORKSPACE/api-keys), or changes this one's networks in a manifest and runs millrace apply. If the address is that of your own reverse proxy, the operator names it in MILLRACE_TRUSTED_PROXIES. See docs/troubleshooting.md#key.network.")
	}
	return nil
}

// uses gathers when keys were last used, so that a request need not wait for the database to note it.
type uses struct {
	note func(context.Context, map[control.KeyID]time.Time) error // nil: nobody wants to know
	log  *slog.Logger
	mu   sync.Mutex
	last map[control.KeyID]time.Time
}

// How often what was gathered is noted, and how long that may take at the end.
const (
	noteEvery = time.Minute
	noteLimit = 5 * time.Second
)

func (u *uses) add(key control.KeyID, now time.Time) {
	if u.note == nil {
		return
	}
	u.mu.Lock()
	u.last[key] = now
	u.mu.Unlock()
}

// flush notes what was gathered; what cannot be noted now is kept for the next time.
func (u *uses) flush(ctx context.Context) {
	u.mu.Lock()
	last := u.last
	u.last = map[control.KeyID]time.Time{}
	u.mu.Unlock()
	if len(last) == 0 {
		return
	}
	err := u.note(ctx, last)
	if err == nil {
		return
	}
	u.log.Warn("the last use of API keys could not be noted; it is tried again", "keys", len(last), "error", err)
	u.mu.Lock()
	defer u.mu.Unlock()
	for k, at := range last {
		if _, again := u.last[k]; !again {
			u.last[k] = at
		}
	}
}

// NoteUse hands to Deps.Use when keys were last used, once a minute, until ctx ends, and then a last time.
func (in *Ingest) NoteUse(ctx context.Context) {
	if in.uses.note == nil {
		return
	}
	t := time.NewTicker(noteEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			in.uses.flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
			defer cancel()
			in.uses.flush(last)
			return
		}
	}
}
