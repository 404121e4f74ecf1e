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

// sealedIn says how to find the sealed values of one table.
type sealedIn struct {
	query  string // of the sealed column and what names the row
	scan   func(r scanner) (sealedValue, error)
	update string // the sealed column, then what names the row
}

func sealedTables() []sealedIn {
	return []sealedIn{
		{"SELECT secret, connector, destination FROM credentials WHERE secret IS NOT NULL", func(r scanner) (v sealedValue, err error) {
			var l control.Lane
			err = r.Scan(&v.sealed, &l.Connector, &l.Destination)
			v.context, v.where = sealContext(l), []any{string(l.Connector), l.Destination}
			return v, err
		}, "UPDATE credentials SET secret = ? WHERE connector = ? AND destination = ?"},
		{"SELECT secret, workspace FROM data_exports WHERE secret IS NOT NULL", func(r scanner) (v sealedValue, err error) {
			var workspace uint32
			err = r.Scan(&v.sealed, &workspace)
			v.context, v.where = sealExport(workspace), []any{workspace}
			return v, err
		}, "UPDATE data_exports SET secret = ? WHERE workspace = ?"},
		{"SELECT secret, connector FROM drafts WHERE secret IS NOT NULL", func(r scanner) (v sealedValue, err error) {
			var id control.ConnectorID
			err = r.Scan(&v.sealed, &id)
			v.context, v.where = sealDraft(id), []any{string(id)}
			return v, err
		}, "UPDATE drafts SET secret = ? WHERE connector = ?"},
		{"SELECT secret, workspace, url FROM webhooks", func(r scanner) (v sealedValue, err error) {
			var workspace uint32
			var url string
			err = r.Scan(&v.sealed, &workspace, &url)
			v.context, v.where = sealWebhook(workspace, url), []any{workspace, url}
			return v, err
		}, "UPDATE webhooks SET secret = ? WHERE workspace = ? AND url = ?"},
	}
}

// Reseal seals under the keyring's current key what is still sealed under a former one, and gives how many values
// that were. After it the former keys can go.
func (s *Store) Reseal(ctx context.Context) (n int, err error) {
	err = s.inTx(ctx, "reseal", func(c conn) error {
		n = 0
		for _, t := range sealedTables() {
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
