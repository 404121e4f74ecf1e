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

// Schemas gives everything that RecordSchemas has kept, by id.
func (s *Store) Schemas(ctx context.Context) ([]control.SchemaPrint, error) {
	ps, err := list(s.reader(ctx), func(r scanner) (p control.SchemaPrint, err error) {
		var print []byte
		if err = r.Scan(&p.ID, &p.Type, &print); err == nil && copy(p.Fingerprint[:], print) != len(p.Fingerprint) {
			err = fault.New(fault.Corrupt, "", "the fingerprint of schema %d is too short", p.ID)
		}
		return p, err
	}, "SELECT id, event_type, fingerprint FROM schemas ORDER BY id")
	return ps, s.fail(err, "list schemas")
}

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
