package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// RecordSchemas keeps what stands under each schema id, the first time it is seen. Errors: conflict, naming each
// schema whose text is another than before; nothing is kept then.
func (s *Store) RecordSchemas(ctx context.Context, schemas []control.SchemaPrint) error {
	return s.inTx(ctx, "record schemas", func(c conn) error {
		var changed []fault.Problem
		for _, n := range schemas {
			var kind string
			var had []byte
			err := c.one("SELECT event_type, fingerprint FROM schemas WHERE id = ?", []any{n.ID}, &kind, &had)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				if _, err := c.exec("INSERT INTO schemas (id, event_type, fingerprint) VALUES (?, ?, ?)", n.ID, n.Type, n.Fingerprint[:]); err != nil {
					return err
				}
			case err != nil:
				return err
			case !bytes.Equal(had, n.Fingerprint[:]):
				changed = append(changed, fault.Problem{Field: n.Type, Code: "changed",
					Message: fmt.Sprintf("Schema %d was used for another schema of %s. A change needs a new id.", n.ID, kind)})
			}
		}
		if len(changed) > 0 {
			return &fault.Error{Code: fault.Conflict, Fields: changed}
		}
		return nil
	})
}
