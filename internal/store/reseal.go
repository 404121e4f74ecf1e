package store

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// sealedValue is a sealed value and where it stands.
type sealedValue struct {
	sealed  []byte
	context string // to which it is bound
	where   []any  // values of the columns that name its row
}

// sealedIn says how to find the sealed values of one column.
type sealedIn struct {
	query  string // of the sealed column and what names the row
	scan   func(r scanner) (sealedValue, error)
	update string // the sealed column, then what names the row
}

// sealedColumn is a sealed column of a table whose rows are named by another column.
func sealedColumn[K any](table, column, key string, context func(K) string) sealedIn {
	return sealedIn{
		"SELECT " + column + ", " + key + " FROM " + table + " WHERE " + column + " IS NOT NULL",
		func(r scanner) (v sealedValue, err error) {
			var k K
			err = r.Scan(&v.sealed, &k)
			v.context, v.where = context(k), []any{k}
			return v, err
		},
		"UPDATE " + table + " SET " + column + " = ? WHERE " + key + " = ?",
	}
}

// sealedColumns are all sealed columns there are.
func sealedColumns() []sealedIn {
	return []sealedIn{
		{"SELECT secret, connector, destination FROM credentials WHERE secret IS NOT NULL", func(r scanner) (v sealedValue, err error) {
			var l control.Lane
			err = r.Scan(&v.sealed, &l.Connector, &l.Destination)
			v.context, v.where = sealContext(l), []any{string(l.Connector), l.Destination}
			return v, err
		}, "UPDATE credentials SET secret = ? WHERE connector = ? AND destination = ?"},
		{"SELECT secret, workspace, url FROM webhooks", func(r scanner) (v sealedValue, err error) {
			var workspace uint32
			var url string
			err = r.Scan(&v.sealed, &workspace, &url)
			v.context, v.where = sealWebhook(workspace, url), []any{workspace, url}
			return v, err
		}, "UPDATE webhooks SET secret = ? WHERE workspace = ? AND url = ?"},
		sealedColumn("data_exports", "secret", "workspace", sealExport),
		sealedColumn("drafts", "secret", "connector", func(id string) string { return sealDraft(control.ConnectorID(id)) }),
		sealedColumn("members", "totp", "id", func(id string) string { return sealTOTP(control.MemberID(id)) }),
		sealedColumn("members", "totp_pending", "id", func(id string) string { return sealPending(control.MemberID(id)) }),
		sealedColumn("jobs", "params", "id", sealParams),
		sealedColumn("jobs", "result", "id", sealResult),
		sealedColumn("repeats", "answer", "hash", sealRepeat),
		sealedColumn("installation_keys", "secret", "name", sealInstallationKey),
	}
}

// Reseal seals under the keyring's current key what is still sealed under a former one, and gives how many values
// that were. After it the former keys can go.
func (s *Store) Reseal(ctx context.Context) (n int, err error) {
	err = s.inTx(ctx, "reseal", func(c conn) error {
		n = 0
		for _, t := range sealedColumns() {
			values, err := list(c, t.scan, t.query)
			if err != nil {
				return err
			}
			for _, v := range values {
				if s.ring.Current(v.sealed) {
					continue
				}
				opened, err := s.ring.Open(v.sealed, v.context)
				if err != nil {
					return fault.Wrap(err, v.context)
				}
				sealed, err := s.ring.Seal(opened, v.context)
				if err != nil {
					return err
				}
				if _, err := c.exec(t.update, append([]any{sealed}, v.where...)...); err != nil {
					return fmt.Errorf("%s: %w", v.context, err)
				}
				n++
			}
		}
		return nil
	})
	return n, err
}
