package store

import (
	"context"
	"encoding/json"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// sealDraft binds a sealed secret to its draft.
func sealDraft(id control.ConnectorID) string { return "credentials of draft " + string(id) }

// SaveDraft makes d the draft of its identity: a new one if Rev is 0, else in place of that save. Errors: conflict if the
// identity is another draft's, or that of a connector; stale (Rev), also if it is gone.
func (s *Store) SaveDraft(ctx context.Context, d control.Draft) error {
	return s.inTx(ctx, "save draft", func(c conn) error {
		var taken int
		if err := c.one("SELECT COUNT(*) FROM connectors WHERE id = ?", []any{string(d.ID)}, &taken); err != nil {
			return err
		}
		if taken > 0 {
			return fault.New(fault.Conflict, "", "the draft has been launched")
		}
		edit, err := json.Marshal(d.Edit)
		if err != nil {
			return err
		}
		var sealed []byte
		if d.Edit.SecretAccessKey != nil {
			if sealed, err = s.ring.Seal(*d.Edit.SecretAccessKey, sealDraft(d.ID)); err != nil {
				return err
			}
		}
		var n int64
		lost := errChanged()
		if d.Rev == 0 {
			n, err = c.exec(`INSERT INTO drafts (connector, workspace, edit, secret, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (connector) DO NOTHING`, string(d.ID), d.Workspace, string(edit), sealed, millis(d.CreatedAt), millis(d.UpdatedAt))
			lost = fault.New(fault.Conflict, "", "the identity of the draft is taken")
		} else {
			n, err = c.exec("UPDATE drafts SET edit = ?, secret = ?, updated_at = ? WHERE workspace = ? AND connector = ? AND updated_at = ?",
				string(edit), sealed, millis(d.UpdatedAt), d.Workspace, string(d.ID), d.Rev)
		}
		if err == nil && n == 0 {
			err = lost
		}
		return err
	})
}

// Drafts gives a workspace's drafts, oldest first.
func (s *Store) Drafts(ctx context.Context, workspace uint32) ([]control.Draft, error) {
	ds, err := list(s.reader(ctx), s.scanDraft, "SELECT connector, workspace, edit, secret, created_at, updated_at FROM drafts WHERE workspace = ? ORDER BY created_at, connector", workspace)
	return ds, s.fail(err, "list drafts")
}

// Draft gives one draft. Errors: not_found, also if it belongs to another workspace.
func (s *Store) Draft(ctx context.Context, workspace uint32, id control.ConnectorID) (control.Draft, error) {
	ds, err := list(s.reader(ctx), s.scanDraft, "SELECT connector, workspace, edit, secret, created_at, updated_at FROM drafts WHERE workspace = ? AND connector = ?",
		workspace, string(id))
	if err == nil && len(ds) == 0 {
		return control.Draft{}, fault.New(fault.NotFound, "", "there is no draft %s", id)
	}
	if err != nil {
		return control.Draft{}, s.fail(err, "find draft")
	}
	return ds[0], nil
}

func (s *Store) scanDraft(r scanner) (d control.Draft, err error) {
	var edit string
	var sealed []byte
	var created, updated int64
	if err = r.Scan(&d.ID, &d.Workspace, &edit, &sealed, &created, &updated); err != nil {
		return d, err
	}
	d.CreatedAt, d.UpdatedAt, d.Rev = fromMillis(created), fromMillis(updated), updated
	if err := json.Unmarshal([]byte(edit), &d.Edit); err != nil {
		return d, fault.New(fault.Corrupt, "", "draft %s is not JSON", d.ID).WithCause(err)
	}
	if sealed != nil {
		var v secret.Value
		if v, err = s.ring.Open(sealed, sealDraft(d.ID)); err == nil {
			d.Edit.SecretAccessKey = &v
		}
	}
	return d, err
}

// DeleteDraft removes a draft. Errors: not_found.
func (s *Store) DeleteDraft(ctx context.Context, workspace uint32, id control.ConnectorID) error {
	return s.inTx(ctx, "delete draft", func(c conn) error {
		n, err := c.exec("DELETE FROM drafts WHERE workspace = ? AND connector = ?", workspace, string(id))
		if err == nil && n == 0 {
			err = fault.New(fault.NotFound, "", "there is no draft %s", id)
		}
		return err
	})
}
