package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// sealWebhook binds a sealed secret to its webhook.
func sealWebhook(workspace uint32, url string) string {
	return fmt.Sprintf("webhook of %d to %s", workspace, url)
}

// Webhooks gives a workspace's webhooks with their secrets opened, oldest first.
func (s *Store) Webhooks(ctx context.Context, workspace uint32) ([]control.Webhook, error) {
	ws, err := list(s.reader(ctx), func(r scanner) (w control.Webhook, err error) {
		var sealed []byte
		var kinds string
		var created int64
		if err = r.Scan(&w.ID, &w.Workspace, &w.URL, &sealed, &kinds, &created); err != nil {
			return w, err
		}
		for _, k := range strings.Fields(kinds) {
			w.Kinds = append(w.Kinds, control.NoticeKind(k))
		}
		w.CreatedAt = fromMillis(created)
		w.Secret, err = s.ring.Open(sealed, sealWebhook(w.Workspace, w.URL))
		return w, err
	}, "SELECT id, workspace, url, secret, kinds, created_at FROM webhooks WHERE workspace = ? ORDER BY id", workspace)
	return ws, s.fail(err, "list webhooks")
}

// SaveWebhook makes the webhook of w's workspace and URL as w says; its ID stays, or is made.
func (s *Store) SaveWebhook(ctx context.Context, w control.Webhook) error {
	return s.inTx(ctx, "save webhook", func(c conn) error {
		_, err := c.saveWebhook(w)
		return err
	})
}

// saveWebhook gives the webhook's id, and names it in the log of changes.
func (c conn) saveWebhook(w control.Webhook) (id int64, err error) {
	sealed, err := c.s.ring.Seal(w.Secret, sealWebhook(w.Workspace, w.URL))
	if err != nil {
		return 0, err
	}
	kinds := make([]string, len(w.Kinds))
	for i, k := range w.Kinds {
		kinds[i] = string(k)
	}
	err = c.one(`INSERT INTO webhooks (workspace, url, secret, kinds, created_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (workspace, url) DO UPDATE SET secret = excluded.secret, kinds = excluded.kinds RETURNING id`,
		[]any{w.Workspace, w.URL, sealed, strings.Join(kinds, " "), millis(w.CreatedAt)}, &id)
	control.NameEntry(c.ctx, strconv.FormatInt(id, 10))
	return id, err
}

// DeleteWebhook removes a webhook and gives up what waits to be sent to it. Errors: not_found.
func (s *Store) DeleteWebhook(ctx context.Context, workspace uint32, id int64) error {
	return s.inTx(ctx, "delete webhook", func(c conn) error {
		n, err := c.exec("DELETE FROM webhooks WHERE id = ? AND workspace = ?", id, workspace)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.New(fault.NotFound, "", "there is no webhook %d", id)
		}
		_, err = c.exec("UPDATE sends SET failed = 'the webhook was deleted' WHERE channel = ? AND webhook = ? AND done_at IS NULL AND failed = ''",
			string(control.ChannelWebhook), id)
		return err
	})
}
