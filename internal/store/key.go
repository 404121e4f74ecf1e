package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const keyColumns = "k.id, k.workspace, k.name, k.scopes, k.networks, k.created_at, k.expires_at, k.used_at"

// scanKey scans keyColumns, and into more what the query gives behind them.
func scanKey(r scanner, more ...any) (k control.APIKey, err error) {
	var scopes, networks string
	var created int64
	var expires, used sql.NullInt64
	if err = r.Scan(append([]any{&k.ID, &k.Workspace, &k.Name, &scopes, &networks, &created, &expires, &used}, more...)...); err != nil {
		return k, err
	}
	k.Scopes, k.CreatedAt, k.ExpiresAt, k.UsedAt = parseScopes(scopes), fromMillis(created), fromOptMillis(expires), fromOptMillis(used)
	k.Networks, err = parseNetworks(networks)
	return k, err
}

// Keys gives a workspace's API keys by name.
func (s *Store) Keys(ctx context.Context, workspace uint32) ([]control.APIKey, error) {
	keys, err := list(s.reader(ctx), func(r scanner) (control.APIKey, error) { return scanKey(r) },
		"SELECT "+keyColumns+" FROM api_keys k WHERE k.workspace = ? ORDER BY k.name", workspace)
	return keys, s.fail(err, "list API keys")
}

// CreateKey adds k with the hash of its secret. Errors: conflict if the workspace has a key of that name, or if
// the secret is in use by any key.
func (s *Store) CreateKey(ctx context.Context, k control.APIKey, hash control.KeyHash) error {
	return s.inTx(ctx, "create API key", func(c conn) error {
		_, err := c.exec("INSERT INTO api_keys (id, workspace, name, hash, scopes, networks, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			string(k.ID), k.Workspace, k.Name, hash[:], formatScopes(k.Scopes), formatNetworks(k.Networks), millis(k.CreatedAt), optMillis(k.ExpiresAt))
		return err
	})
}

// UpdateKey writes name, scopes, networks and expiry of k, and its secret's hash unless that is nil. Errors:
// not_found, conflict.
func (s *Store) UpdateKey(ctx context.Context, k control.APIKey, hash *control.KeyHash) error {
	return s.inTx(ctx, "update API key", func(c conn) error {
		if hash != nil {
			if err := must(c.exec("UPDATE api_keys SET hash = ? WHERE id = ? AND workspace = ?", hash[:], string(k.ID), k.Workspace)); err != nil {
				return err
			}
		}
		return must(c.exec("UPDATE api_keys SET name = ?, scopes = ?, networks = ?, expires_at = ? WHERE id = ? AND workspace = ?",
			k.Name, formatScopes(k.Scopes), formatNetworks(k.Networks), optMillis(k.ExpiresAt), string(k.ID), k.Workspace))
	})
}

// DeleteKey removes a key: from the next look-up on it is unknown. Errors: not_found.
func (s *Store) DeleteKey(ctx context.Context, workspace uint32, id control.KeyID) error {
	return s.inTx(ctx, "delete API key", func(c conn) error {
		return must(c.exec("DELETE FROM api_keys WHERE id = ? AND workspace = ?", string(id), workspace))
	})
}

// KeyByHash gives what the key with that hash allows, also if it has expired. Errors: not_found.
func (s *Store) KeyByHash(ctx context.Context, hash control.KeyHash) (g control.Grant, err error) {
	var scopes, networks string
	var expires sql.NullInt64
	err = s.reader(ctx).one(`SELECT k.id, k.workspace, k.scopes, k.networks, k.expires_at, w.unknown_fields
		FROM api_keys k JOIN workspaces w ON w.number = k.workspace WHERE k.hash = ?`,
		[]any{hash[:]}, &g.Key, &g.Workspace, &scopes, &networks, &expires, &g.UnknownFields)
	if errors.Is(err, sql.ErrNoRows) {
		return g, fault.New(fault.NotFound, "", "there is no such API key")
	}
	if err == nil {
		g.Scopes, g.ExpiresAt = parseScopes(scopes), fromOptMillis(expires)
		g.Networks, err = parseNetworks(networks)
	}
	return g, s.fail(err, "find API key")
}

// KeyHash gives the hash of a key, also if the key has expired. Errors: not_found.
func (s *Store) KeyHash(ctx context.Context, workspace uint32, id control.KeyID) (hash control.KeyHash, err error) {
	var b []byte
	err = s.reader(ctx).one("SELECT hash FROM api_keys WHERE id = ? AND workspace = ?", []any{string(id), workspace}, &b)
	if errors.Is(err, sql.ErrNoRows) {
		return hash, fault.New(fault.NotFound, "", "there is no such API key")
	}
	copy(hash[:], b)
	return hash, s.fail(err, "find the hash of an API key")
}

// TouchKeys writes when each of these keys was last used, in one commit; a time that is earlier than what is known
// changes nothing, nor does a key that is gone.
func (s *Store) TouchKeys(ctx context.Context, used map[control.KeyID]time.Time) error {
	return s.inTx(ctx, "touch API keys", func(c conn) error {
		for _, id := range slices.Sorted(maps.Keys(used)) {
			at := millis(used[id])
			if _, err := c.exec("UPDATE api_keys SET used_at = ? WHERE id = ? AND (used_at IS NULL OR used_at < ?)", at, string(id), at); err != nil {
				return err
			}
		}
		return nil
	})
}

// KeysToTell gives the notices that people are still to be told of API keys, of all workspaces: see control.KeyNotice.
// What AddNotice has written is not given again.
func (s *Store) KeysToTell(ctx context.Context, now time.Time, unusedFor time.Duration) (out []control.Notice, err error) {
	err = s.snapshot(ctx, "look after API keys", func(c conn) error {
		names := map[control.KeyID]string{} // of their workspaces
		keys, err := list(c, func(r scanner) (k control.APIKey, err error) {
			var name string
			k, err = scanKey(r, &name)
			names[k.ID] = name
			return k, err
		}, "SELECT "+keyColumns+", w.name FROM api_keys k JOIN workspaces w ON w.number = k.workspace ORDER BY k.id")
		if err != nil {
			return err
		}
		for _, k := range keys {
			n, due := control.KeyNotice(k, names[k.ID], now, unusedFor)
			if !due {
				continue
			}
			var told int
			if err := c.one("SELECT COUNT(*) FROM notices WHERE workspace = ? AND connector = '' AND kind = ? AND episode = ?",
				[]any{n.Workspace, string(n.Kind), n.Episode}, &told); err != nil {
				return err
			}
			if told == 0 {
				out = append(out, n)
			}
		}
		return nil
	})
	return out, err
}

func formatScopes(scopes []control.Scope) string {
	parts := make([]string, len(scopes))
	for i, s := range scopes {
		parts[i] = string(s)
	}
	return strings.Join(parts, " ")
}

func parseScopes(s string) (scopes []control.Scope) {
	for _, f := range strings.Fields(s) {
		scopes = append(scopes, control.Scope(f))
	}
	return scopes
}

func formatNetworks(networks []netip.Prefix) string {
	parts := make([]string, len(networks))
	for i, n := range networks {
		parts[i] = n.String()
	}
	return strings.Join(parts, " ")
}

func parseNetworks(s string) (networks []netip.Prefix, err error) {
	for _, f := range strings.Fields(s) {
		n, err := netip.ParsePrefix(f)
		if err != nil {
			return nil, fault.New(fault.Corrupt, "", "%q is not a network", f).WithCause(err)
		}
		networks = append(networks, n)
	}
	return networks, nil
}
