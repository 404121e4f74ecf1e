package store

import (
	"context"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/control"
)

// Recipients gives who is to be sent n by mail: the contact of its connector, deleted or not. Where there is none it is
// the administrators of the workspace, each in their language; and where there are none of these, or n is about the
// installation itself, its administrators. Beside them it is the members of the workspace who wish for mails of its kind.
func (s *Store) Recipients(ctx context.Context, n control.Notice) (rs []control.Recipient, err error) {
	err = s.snapshot(ctx, "find recipients", func(c conn) error {
		if to := n.Params[control.ParamTo]; to != "" {
			rs, err = c.named(n, strings.Split(to, ","))
			return err
		}
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
		if err != nil {
			return err
		}
		wish := control.MailAll
		if n.Kind.Urgent() {
			wish = control.MailUrgent
		}
		wishing, err := c.recipients(`SELECT m.email, CASE m.language WHEN '' THEN w.language ELSE m.language END
			FROM seats s JOIN members m ON m.id = s.member JOIN workspaces w ON w.number = s.workspace
			WHERE s.workspace = ? AND m.mail IN (?, ?) ORDER BY m.email`, n.Workspace, string(control.MailAll), string(wish))
		for _, r := range wishing {
			if !slices.ContainsFunc(rs, func(told control.Recipient) bool { return strings.EqualFold(told.Email, r.Email) }) {
				rs = append(rs, r)
			}
		}
		return err
	})
	return rs, err
}

// named gives those of addresses that are of members of the notice's workspace; of who may have what an export holds only
// those who may export user data still.
func (c conn) named(n control.Notice, addresses []string) (rs []control.Recipient, err error) {
	least := 0
	if n.Kind == control.NoticeExportReady {
		least = 1
	}
	all, err := c.recipients(`SELECT m.email, COALESCE(NULLIF(m.language, ''), NULLIF(?, ''), w.language)
		FROM seats s JOIN members m ON m.id = s.member JOIN workspaces w ON w.number = s.workspace
		WHERE s.workspace = ? AND s.export_user_data >= ? ORDER BY m.email`, n.Params[control.ParamLanguage], n.Workspace, least)
	for _, r := range all {
		if slices.ContainsFunc(addresses, func(a string) bool { return strings.EqualFold(a, r.Email) }) {
			rs = append(rs, r)
		}
	}
	return rs, err
}

func (c conn) recipients(query string, args ...any) ([]control.Recipient, error) {
	return list(c, func(r scanner) (v control.Recipient, err error) { return v, r.Scan(&v.Email, &v.Language) }, query, args...)
}
