package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// ExternalID gives what the trust policies of a workspace's roles must ask for, one for each integration. It is made
// at the first call and is the same for ever after. Errors: not_found if there is no such workspace.
func (s *Store) ExternalID(ctx context.Context, workspace uint32, i control.Integration) (id string, err error) {
	if id, err = s.reader(ctx).externalID(workspace, i); err != nil || id != "" {
		return id, s.fail(err, "find external id")
	}
	err = s.inTx(ctx, "make external id", func(c conn) error {
		var n int
		if err := c.one("SELECT COUNT(*) FROM workspaces WHERE number = ?", []any{workspace}, &n); err != nil {
			return err
		}
		if n == 0 {
			return fault.New(fault.NotFound, "", "there is no workspace %d", workspace)
		}
		if _, err := c.exec(`INSERT INTO external_ids (workspace, integration, value, created_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (workspace, integration) DO NOTHING`, workspace, string(i), control.NewExternalID(), millis(s.now())); err != nil {
			return err
		}
		id, err = c.externalID(workspace, i)
		return err
	})
	return id, err
}

// externalID gives an external id that was made, else "".
func (c conn) externalID(workspace uint32, i control.Integration) (id string, err error) {
	err = c.one("SELECT value FROM external_ids WHERE workspace = ? AND integration = ?", []any{workspace, string(i)}, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// sealExport binds a sealed secret to the data export of its workspace.
func sealExport(workspace uint32) string {
	return fmt.Sprintf("credentials of the data export of %d", workspace)
}

// DataExport gives a workspace's data export integration. Errors: not_found if it has none.
func (s *Store) DataExport(ctx context.Context, workspace uint32) (d control.DataExport, err error) {
	var created, updated int64
	err = s.reader(ctx).one(`SELECT workspace, bucket, region, endpoint, path_style, access_key_id, role_arn, created_at, updated_at, rev
		FROM data_exports WHERE workspace = ?`, []any{workspace},
		&d.Workspace, &d.Bucket, &d.Region, &d.Endpoint, &d.PathStyle, &d.AccessKeyID, &d.RoleARN, &created, &updated, &d.Rev)
	if errors.Is(err, sql.ErrNoRows) {
		return d, fault.New(fault.NotFound, "", "the workspace has no data export")
	}
	d.CreatedAt, d.UpdatedAt = fromMillis(created), fromMillis(updated)
	return d, s.fail(err, "find data export")
}

// SaveDataExport makes d the data export of its workspace, opened by k, in one commit: readers see the former one or
// this one whole. The time at which the integration was first made stays. d was made from what DataExport gave, with
// the same Rev; the new one counts up.
//
// Errors: stale if it was changed meanwhile, or is there only now, or no longer; conflict if a connector of any workspace puts its files into the root of that bucket.
func (s *Store) SaveDataExport(ctx context.Context, d control.DataExport, k control.Credentials) error {
	return s.inTx(ctx, "save data export", func(c conn) error {
		if err := c.sameExport(d); err != nil {
			return err
		}
		others, err := c.placements(d.Bucket)
		if err != nil {
			return err
		}
		if err := control.CheckPlacement(control.PlacementOfExport(d), others); err != nil {
			return err
		}
		var sealed []byte
		if k.RoleARN == "" {
			if sealed, err = s.ring.Seal(k.SecretAccessKey, sealExport(d.Workspace)); err != nil {
				return err
			}
		}
		features, err := json.Marshal(k.Features)
		if err != nil {
			return err
		}
		_, err = c.exec(`INSERT INTO data_exports (workspace, bucket, region, endpoint, path_style, access_key_id, secret, role_arn,
				features, found_region, rev, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (workspace) DO UPDATE SET bucket = excluded.bucket, region = excluded.region, endpoint = excluded.endpoint,
				path_style = excluded.path_style, access_key_id = excluded.access_key_id, secret = excluded.secret,
				role_arn = excluded.role_arn, features = excluded.features, found_region = excluded.found_region,
				rev = excluded.rev, updated_at = excluded.updated_at`,
			d.Workspace, d.Bucket, d.Region, d.Endpoint, d.PathStyle, k.AccessKeyID, sealed, k.RoleARN,
			string(features), k.Region, d.Rev+1, millis(d.CreatedAt), millis(d.UpdatedAt))
		return err
	})
}

// DeleteDataExport removes a workspace's data export and its credentials. Errors: not_found if it has none.
func (s *Store) DeleteDataExport(ctx context.Context, workspace uint32) error {
	return s.inTx(ctx, "delete data export", func(c conn) error {
		n, err := c.exec("DELETE FROM data_exports WHERE workspace = ?", workspace)
		if err == nil && n == 0 {
			err = fault.New(fault.NotFound, "", "the workspace has no data export")
		}
		return err
	})
}

// sameExport fails unless the workspace's data export is the one that d was made from. One that was linked anew
// counts from 1 again, and is another.
func (c conn) sameExport(d control.DataExport) error {
	var rev, created int64
	err := c.one("SELECT rev, created_at FROM data_exports WHERE workspace = ?", []any{d.Workspace}, &rev, &created)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if rev != d.Rev || rev > 0 && created != millis(d.CreatedAt) {
		return errChanged()
	}
	return nil
}

// DataExportAccess gives what opens the bucket of a workspace's data export. Errors: not_found if it has none.
func (s *Store) DataExportAccess(ctx context.Context, workspace uint32) (a control.Access, err error) {
	return a, s.snapshot(ctx, "find access of the data export", func(c conn) error {
		var sealed []byte
		var features, found string
		err := c.one(`SELECT bucket, region, endpoint, path_style, access_key_id, secret, role_arn, features, found_region
			FROM data_exports WHERE workspace = ?`, []any{workspace},
			&a.Bucket, &a.Region, &a.Endpoint, &a.PathStyle, &a.AccessKeyID, &sealed, &a.RoleARN, &features, &found)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, "", "the workspace has no data export")
		}
		if err != nil {
			return err
		}
		if found != "" {
			a.Region = found
		}
		if err := json.Unmarshal([]byte(features), &a.Features); err != nil {
			return fault.New(fault.Corrupt, "", "the features of the data export of %d are not JSON", workspace).WithCause(err)
		}
		if a.RoleARN != "" {
			return c.assume(&a, workspace, control.IntegrationExports, "exports")
		}
		a.SecretAccessKey, err = s.ring.Open(sealed, sealExport(workspace))
		return err
	})
}

// assume fills in what a role is assumed with.
func (c conn) assume(a *control.Access, workspace uint32, i control.Integration, name string) (err error) {
	if a.ExternalID, err = c.externalID(workspace, i); err != nil {
		return err
	}
	if a.ExternalID == "" { // lost with the database: without it a role must not be asked for
		return errNoCredentials()
	}
	a.SessionName = control.SessionName(name)
	return nil
}

func errNoCredentials() error {
	return &fault.Error{Code: fault.Forbidden,
		Msg:  fault.Message{Key: "control.credentials_missing", Text: "No credentials are stored for this destination."},
		Hint: fault.Message{Key: "control.credentials_missing_hint", Text: "Give the access key or the role again."}}
}
