package store

import (
	"context"

	"github.com/millrace/millrace/internal/control"
)

// Recipients gives who is to be sent n by mail: the contact of its connector, deleted or not. Where there is none it is
// the administrators of the workspace, each in their language; and where there are none of these, or n is about the
// installation itself, its administrators.
func (s *Store) Recipients(ctx context.Context, n control.Notice) (rs []control.Recipient, err error) {
	err = s.snapshot(ctx, "find recipients", func(c conn) error {
		contact := n.Params[control.ParamContact]
		rs, err = c.recipients(`SELECT c.contact_email, w.language FROM connectors c JOIN workspaces w ON w.number = c.workspace
				WHERE c.workspace = ? AND c.id = ? AND c.contact_email <> ''
			UNION SELECT ?, w.language FROM workspaces w WHERE w.number = ? AND ? <> ''`,
			n.Workspace, string(n.Connector), contact, n.Workspace, contact)
		if err == nil && len(rs) == 0 {
			rs, err = c.recipients(`SELECT m.email, CASE m.language WHEN '' THEN w.language ELSE m.language END
				FROM seats s JOIN members m ON m.id = s.member JOIN workspaces w ON w.number = s.workspace
				WHERE s.workspace = ? AND s.role = ? ORDER BY m.email`, n.Workspace, string(control.Administrator))
		}
		if err == nil && len(rs) == 0 {
			rs, err = c.recipients("SELECT m.email, CASE m.language WHEN '' THEN ? ELSE m.language END FROM members m WHERE m.installation = 1 ORDER BY m.email",
				control.DefaultLanguage)
		}
		return err
	})
	return rs, err
}

func (c conn) recipients(query string, args ...any) ([]control.Recipient, error) {
	return list(c, func(r scanner) (v control.Recipient, err error) { return v, r.Scan(&v.Email, &v.Language) }, query, args...)
}
