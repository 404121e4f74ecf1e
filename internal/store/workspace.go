package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const workspaceColumns = "number, name, unknown_fields, language, created_at"

func scanWorkspace(r scanner) (w control.Workspace, err error) {
	var created int64
	err = r.Scan(&w.Number, &w.Name, &w.UnknownFields, &w.Language, &created)
	w.CreatedAt = fromMillis(created)
	return w, err
}

// Workspaces gives all workspaces by name. It is for the operator: nobody else may see more than one.
func (s *Store) Workspaces(ctx context.Context) ([]control.Workspace, error) {
	ws, err := list(s.reader(ctx), scanWorkspace, "SELECT "+workspaceColumns+" FROM workspaces ORDER BY name")
	return ws, s.fail(err, "list workspaces")
}

// Workspace gives the workspace of that name. Errors: not_found.
func (s *Store) Workspace(ctx context.Context, name string) (control.Workspace, error) {
	ws, err := list(s.reader(ctx), scanWorkspace, "SELECT "+workspaceColumns+" FROM workspaces WHERE name = ?", name)
	if err == nil && len(ws) == 0 {
		return control.Workspace{}, fault.New(fault.NotFound, "", "there is no workspace %q", name)
	}
	if err != nil {
		return control.Workspace{}, s.fail(err, "find workspace")
	}
	return ws[0], nil
}

// WorkspaceName gives the name of the workspace with that number. Errors: not_found.
func (s *Store) WorkspaceName(ctx context.Context, number uint32) (name string, err error) {
	err = s.reader(ctx).one("SELECT name FROM workspaces WHERE number = ?", []any{number}, &name)
	return name, s.fail(err, "find workspace")
}

// CreateWorkspace adds w. Errors: conflict if its name or number is taken.
func (s *Store) CreateWorkspace(ctx context.Context, w control.Workspace) error {
	return s.inTx(ctx, "create workspace", func(c conn) error {
		return c.insertWorkspace(w)
	})
}

func (c conn) insertWorkspace(w control.Workspace) error {
	_, err := c.exec("INSERT INTO workspaces ("+workspaceColumns+") VALUES (?, ?, ?, ?, ?)",
		w.Number, w.Name, string(w.UnknownFields), cmp.Or(w.Language, control.DefaultLanguage), millis(w.CreatedAt))
	return err
}

// UpdateWorkspace writes everything of w but its number and the time it was made. Errors: not_found; conflict if
// the name is taken.
func (s *Store) UpdateWorkspace(ctx context.Context, w control.Workspace) error {
	return s.inTx(ctx, "update workspace", func(c conn) error {
		return must(c.exec("UPDATE workspaces SET name = ?, unknown_fields = ?, language = ? WHERE number = ?",
			w.Name, string(w.UnknownFields), cmp.Or(w.Language, control.DefaultLanguage), w.Number))
	})
}

// must makes an update that met no row not_found.
func must(n int64, err error) error {
	if err == nil && n == 0 {
		return sql.ErrNoRows
	}
	return err
}

// Keys gives a workspace's API keys by name.
func (s *Store) Keys(ctx context.Context, workspace uint32) ([]control.APIKey, error) {
	keys, err := list(s.reader(ctx), func(r scanner) (k control.APIKey, err error) {
		var scopes string
		var created int64
		err = r.Scan(&k.ID, &k.Workspace, &k.Name, &scopes, &created)
		k.Scopes, k.CreatedAt = parseScopes(scopes), fromMillis(created)
		return k, err
	}, "SELECT id, workspace, name, scopes, created_at FROM api_keys WHERE workspace = ? ORDER BY name", workspace)
	return keys, s.fail(err, "list API keys")
}

// CreateKey adds k with the hash of its secret. Errors: conflict if the workspace has a key of that name, or if
// the secret is in use by any key.
func (s *Store) CreateKey(ctx context.Context, k control.APIKey, hash control.KeyHash) error {
	return s.inTx(ctx, "create API key", func(c conn) error {
		_, err := c.exec("INSERT INTO api_keys (id, workspace, name, hash, scopes, created_at) VALUES (?, ?, ?, ?, ?, ?)",
			string(k.ID), k.Workspace, k.Name, hash[:], formatScopes(k.Scopes), millis(k.CreatedAt))
		return err
	})
}

// UpdateKey writes name and scopes of k, and its secret's hash unless that is nil. Errors: not_found, conflict.
func (s *Store) UpdateKey(ctx context.Context, k control.APIKey, hash *control.KeyHash) error {
	return s.inTx(ctx, "update API key", func(c conn) error {
		if hash != nil {
			if err := must(c.exec("UPDATE api_keys SET hash = ? WHERE id = ? AND workspace = ?", hash[:], string(k.ID), k.Workspace)); err != nil {
				return err
			}
		}
		return must(c.exec("UPDATE api_keys SET name = ?, scopes = ? WHERE id = ? AND workspace = ?",
			k.Name, formatScopes(k.Scopes), string(k.ID), k.Workspace))
	})
}

// DeleteKey removes a key: from the next look-up on it is unknown. Errors: not_found.
func (s *Store) DeleteKey(ctx context.Context, workspace uint32, id control.KeyID) error {
	return s.inTx(ctx, "delete API key", func(c conn) error {
		return must(c.exec("DELETE FROM api_keys WHERE id = ? AND workspace = ?", string(id), workspace))
	})
}

// KeyByHash gives what the key with that hash allows. Errors: not_found.
func (s *Store) KeyByHash(ctx context.Context, hash control.KeyHash) (g control.Grant, err error) {
	var scopes string
	err = s.reader(ctx).one(`SELECT k.id, k.workspace, k.scopes, w.unknown_fields
		FROM api_keys k JOIN workspaces w ON w.number = k.workspace WHERE k.hash = ?`,
		[]any{hash[:]}, &g.Key, &g.Workspace, &scopes, &g.UnknownFields)
	if errors.Is(err, sql.ErrNoRows) {
		return g, fault.New(fault.NotFound, "", "there is no such API key")
	}
	g.Scopes = parseScopes(scopes)
	return g, s.fail(err, "find API key")
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
