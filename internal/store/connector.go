package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

const connectorQuery = `SELECT n.config, c.contact_email, c.paused, c.test, c.created_at, c.rev, COALESCE(k.access_key_id, ''), COALESCE(k.role_arn, '')
	FROM connectors c
	JOIN connector_configs n ON n.connector = c.id AND n.version = c.version
	LEFT JOIN credentials k ON k.connector = c.id AND k.destination = n.destination `

func scanConnector(r scanner) (c control.Connector, err error) {
	var config string
	var created int64
	if err = r.Scan(&config, &c.ContactEmail, &c.Paused, &c.Test, &created, &c.Rev, &c.AccessKeyID, &c.RoleARN); err != nil {
		return c, err
	}
	c.CreatedAt = fromMillis(created)
	c.Config, err = control.DecodeConfig([]byte(config))
	return c, err
}

// Connectors gives a workspace's connectors that are not deleted, by name.
func (s *Store) Connectors(ctx context.Context, workspace uint32) ([]control.Connector, error) {
	cs, err := list(s.reader(ctx), scanConnector, connectorQuery+"WHERE c.workspace = ? AND c.deleted_at IS NULL ORDER BY c.name", workspace)
	return cs, s.fail(err, "list connectors")
}

// DeletedConnectors gives a workspace's connectors that are deleted, the last deleted first.
func (s *Store) DeletedConnectors(ctx context.Context, workspace uint32) ([]control.Connector, error) {
	cs, err := list(s.reader(ctx), scanConnector, connectorQuery+"WHERE c.workspace = ? AND c.deleted_at IS NOT NULL ORDER BY c.deleted_at DESC, c.id", workspace)
	return cs, s.fail(err, "list deleted connectors")
}

// Connector gives one connector, also a deleted one. Errors: not_found, also if it belongs to another workspace.
func (s *Store) Connector(ctx context.Context, workspace uint32, id control.ConnectorID) (control.Connector, error) {
	return s.reader(ctx).connector(workspace, id)
}

func (c conn) connector(workspace uint32, id control.ConnectorID) (control.Connector, error) {
	cs, err := list(c, scanConnector, connectorQuery+"WHERE c.workspace = ? AND c.id = ?", workspace, string(id))
	if err == nil && len(cs) == 0 {
		return control.Connector{}, fault.New(fault.NotFound, "", "there is no connector %s", id)
	}
	if err != nil {
		return control.Connector{}, c.s.fail(err, "find connector")
	}
	return cs[0], nil
}

// CreateConnector adds a connector with its first version and its credentials. The version waits in
// PendingConfigs for its control record. A draft of the same identity goes.
//
// Errors: conflict if name, number or folder are taken; the folder is compared with those of all workspaces in
// the same transaction, see control.CheckPlacement.
func (s *Store) CreateConnector(ctx context.Context, n control.Connector, k control.Credentials) error {
	return s.inTx(ctx, "create connector", func(c conn) error {
		if err := c.checkPlacement(n.Config); err != nil {
			return err
		}
		if _, err := c.exec(`INSERT INTO connectors (id, number, workspace, name, contact_email, paused, test, version, created_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, string(n.Connector), n.Number, n.Workspace, n.Name, n.ContactEmail,
			n.Paused, n.Test, n.Version, millis(n.CreatedAt)); err != nil {
			return err
		}
		if err := c.insertConfig(n.Config); err != nil {
			return err
		}
		if _, err := c.exec("DELETE FROM drafts WHERE connector = ? AND workspace = ?", string(n.Connector), n.Workspace); err != nil {
			return err
		}
		return c.setCredentials(control.Lane{Connector: n.Connector, Destination: n.Destination.Number}, k)
	})
}

// UpdateConnector makes n the connector's state, and counts its Rev up. n was made from what Connector gave: with the
// same Rev, and with the same version if nothing of the configuration changed, else with the next. New credentials, unless k is nil, are stored for n's
// destination and for those of its earlier destinations that also names, unless their lane is done by now.
//
// Errors: not_found; stale if anything of it was changed meanwhile, or it was deleted; conflict if name or folder are taken.
func (s *Store) UpdateConnector(ctx context.Context, n control.Connector, k *control.Credentials, also ...int) error {
	return s.inTx(ctx, "update connector", func(c conn) error {
		had, err := c.connector(n.Workspace, n.Connector)
		if err != nil {
			return err
		}
		if had.Deleted || n.Rev != had.Rev {
			return errChanged()
		}
		if n.Version != had.Version && n.Version != had.Version+1 {
			return fault.New(fault.Internal, "", "version %d of connector %s does not follow on %d", n.Version, n.Connector, had.Version)
		}
		if n.Version != had.Version {
			if !n.Deleted {
				if err := c.checkPlacement(n.Config); err != nil {
					return err
				}
			}
			if err := c.insertConfig(n.Config); err != nil {
				return err
			}
		}
		var deleted any
		if n.Deleted {
			deleted = millis(c.s.now())
		}
		if err := must(c.exec(`UPDATE connectors SET name = ?, contact_email = ?, paused = ?, test = ?, version = ?, deleted_at = ?,
			rev = rev + 1 WHERE id = ?`, n.Name, n.ContactEmail, n.Paused, n.Test, n.Version, deleted, string(n.Connector))); err != nil {
			return err
		}
		if k == nil {
			return nil
		}
		for _, d := range also {
			l := control.Lane{Connector: n.Connector, Destination: d}
			v, err := c.lane(l)
			switch {
			case err == nil && v.done.Valid: // its credentials are erased for good
				continue
			case err != nil && !fault.Is(err, fault.NotFound): // not found: its record is not in the log yet
				return err
			}
			if err := c.setCredentials(l, *k); err != nil {
				return err
			}
		}
		return c.setCredentials(control.Lane{Connector: n.Connector, Destination: n.Destination.Number}, *k)
	})
}

// errChanged refuses a change that is based on what is no longer so: it would undo what was done meanwhile.
func errChanged() error {
	return &fault.Error{Code: fault.Stale,
		Msg:  fault.Message{Key: "control.changed_meanwhile", Text: "Somebody else has changed this meanwhile."},
		Hint: fault.Message{Key: "control.changed_meanwhile_hint", Text: "Look at how it is now, and make the change again."}}
}

func (c conn) insertConfig(n control.Config) error {
	_, err := c.exec(`INSERT INTO connector_configs (connector, version, destination, bucket, config, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
		string(n.Connector), n.Version, n.Destination.Number, n.Destination.Bucket, string(control.EncodeConfig(n)), millis(c.s.now()))
	return err
}

func (c conn) checkPlacement(n control.Config) error {
	others, err := c.placements(n.Destination.Bucket)
	if err != nil {
		return err
	}
	return control.CheckPlacement(control.PlacementOf(n), others)
}

// Placements gives where the connectors of one workspace, and its data export, put files in buckets of that name.
func (s *Store) Placements(ctx context.Context, workspace uint32, bucket string) (own []control.Placement, err error) {
	err = s.snapshot(ctx, "list placements", func(c conn) error {
		all, err := c.placements(bucket)
		for _, p := range all {
			if p.Workspace == workspace {
				own = append(own, p)
			}
		}
		return err
	})
	return own, err
}

func (c conn) placements(bucket string) ([]control.Placement, error) {
	ps, err := list(c, func(r scanner) (control.Placement, error) {
		var config string
		if err := r.Scan(&config); err != nil {
			return control.Placement{}, err
		}
		n, err := control.DecodeConfig([]byte(config))
		return control.PlacementOf(n), err
	}, `SELECT n.config FROM connector_configs n JOIN connectors c ON c.id = n.connector AND c.version = n.version
		WHERE n.bucket = ? AND c.deleted_at IS NULL ORDER BY c.name`, bucket)
	if err != nil {
		return nil, err
	}
	exports, err := list(c, func(r scanner) (control.Placement, error) {
		var d control.DataExport
		err := r.Scan(&d.Workspace, &d.Bucket, &d.Endpoint)
		return control.PlacementOfExport(d), err
	}, "SELECT workspace, bucket, endpoint FROM data_exports WHERE bucket = ? ORDER BY workspace", bucket)
	return append(ps, exports...), err
}

// Undrained gives the destinations of a connector whose lane is not done, or not begun yet, each as its newest version
// has it, in order. A connector of another workspace has none.
func (s *Store) Undrained(ctx context.Context, workspace uint32, id control.ConnectorID) (out []control.Destination, err error) {
	cs, err := list(s.reader(ctx), scanConfig, `SELECT n.config FROM connector_configs n JOIN connectors c ON c.id = n.connector
		WHERE c.workspace = ? AND c.id = ?
			AND n.version = (SELECT MAX(x.version) FROM connector_configs x WHERE x.connector = n.connector AND x.destination = n.destination)
			AND NOT EXISTS (SELECT 1 FROM lanes l WHERE l.connector = n.connector AND l.destination = n.destination AND l.done_at IS NOT NULL)
		ORDER BY n.destination`, workspace, string(id))
	for _, n := range cs {
		out = append(out, n.Destination)
	}
	return out, s.fail(err, "list destinations that wait")
}

// Config gives one version of a connector's configuration. Errors: not_found.
func (s *Store) Config(ctx context.Context, id control.ConnectorID, version int) (control.Config, error) {
	cs, err := list(s.reader(ctx), scanConfig, "SELECT config FROM connector_configs WHERE connector = ? AND version = ?", string(id), version)
	if err == nil && len(cs) == 0 {
		return control.Config{}, fault.New(fault.NotFound, "", "there is no version %d of connector %s", version, id)
	}
	if err != nil {
		return control.Config{}, s.fail(err, "find configuration")
	}
	return cs[0], nil
}

// ConfigAt gives the configuration of a destination that is in force for what stands in log just below before: the
// newest of its versions whose control record stands below it, or in a log before. Errors: not_found if there is none.
func (s *Store) ConfigAt(ctx context.Context, id control.ConnectorID, destination int, log eventlog.ID, before eventlog.Offset) (control.Config, error) {
	cs, err := list(s.reader(ctx), scanConfig, `SELECT config FROM connector_configs
		WHERE connector = ? AND destination = ? AND recorded_offset IS NOT NULL AND (log <> ? OR recorded_offset < ?) ORDER BY version DESC LIMIT 1`,
		string(id), destination, log.String(), int64(before))
	if err == nil && len(cs) == 0 {
		return control.Config{}, fault.New(fault.NotFound, "", "no version of %s stands in log %s below %d",
			laneName(control.Lane{Connector: id, Destination: destination}), log, before)
	}
	if err != nil {
		return control.Config{}, s.fail(err, "find configuration")
	}
	return cs[0], nil
}

func scanConfig(r scanner) (control.Config, error) {
	var config string
	if err := r.Scan(&config); err != nil {
		return control.Config{}, err
	}
	return control.DecodeConfig([]byte(config))
}

// sealContext binds sealed credentials to their lane.
func sealContext(l control.Lane) string {
	return "credentials of " + laneName(l)
}

func (c conn) setCredentials(l control.Lane, k control.Credentials) error {
	var sealed []byte
	if k.RoleARN == "" {
		var err error
		if sealed, err = c.s.ring.Seal(k.SecretAccessKey, sealContext(l)); err != nil {
			return err
		}
	}
	features, err := json.Marshal(k.Features)
	if err != nil {
		return err
	}
	_, err = c.exec(`INSERT INTO credentials (connector, destination, access_key_id, secret, role_arn, features, region, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (connector, destination) DO UPDATE SET access_key_id = excluded.access_key_id, secret = excluded.secret,
			role_arn = excluded.role_arn, features = excluded.features, region = excluded.region, updated_at = excluded.updated_at`,
		string(l.Connector), l.Destination, k.AccessKeyID, sealed, k.RoleARN, string(features), k.Region, millis(c.s.now()))
	return err
}

// Access gives what opens a lane's bucket: the destination of the newest version that has it, with the credentials
// stored for it. A role comes with the external id of its workspace and a session name that names the connector.
//
// Errors: not_found if the lane's destination is unknown; forbidden if it has no credentials (erased, or lost
// with the database): only the customer can give them again.
func (s *Store) Access(ctx context.Context, l control.Lane) (a control.Access, err error) {
	err = s.snapshot(ctx, "find access", func(c conn) error { return c.access(l, &a) })
	return a, err
}

// LoggedAccess is Access in a transaction that writes the entry which ctx has: who uses it to look into the bucket stands
// in the log of changes before they have.
func (s *Store) LoggedAccess(ctx context.Context, l control.Lane) (a control.Access, err error) {
	err = s.inTx(ctx, "find access", func(c conn) error { return c.access(l, &a) })
	return a, err
}

func (c conn) access(l control.Lane, a *control.Access) error {
	cs, err := list(c, scanConfig, "SELECT config FROM connector_configs WHERE connector = ? AND destination = ? ORDER BY version DESC LIMIT 1",
		string(l.Connector), l.Destination)
	if err != nil {
		return err
	}
	if len(cs) == 0 {
		return fault.New(fault.NotFound, "", "there is no destination %s", laneName(l))
	}
	d := cs[0].Destination
	*a = control.Access{Bucket: d.Bucket, Region: d.Region, Endpoint: d.Endpoint, PathStyle: d.PathStyle, Encryption: d.Encryption}
	var sealed []byte
	var features, region string
	err = c.one("SELECT access_key_id, secret, role_arn, features, region FROM credentials WHERE connector = ? AND destination = ?",
		[]any{string(l.Connector), l.Destination}, &a.AccessKeyID, &sealed, &a.RoleARN, &features, &region)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && sealed == nil && a.RoleARN == "") {
		return errNoCredentials()
	}
	if err != nil {
		return err
	}
	if region != "" {
		a.Region = region // as found: where it differs from what was typed, the store is right
	}
	if err := json.Unmarshal([]byte(features), &a.Features); err != nil {
		return fault.New(fault.Corrupt, "", "the features of %s are not JSON", laneName(l)).WithCause(err)
	}
	if a.RoleARN != "" {
		return c.assume(a, cs[0].Workspace, control.IntegrationCurrents, cs[0].Name)
	}
	a.SecretAccessKey, err = c.s.ring.Open(sealed, sealContext(l))
	return err
}

// SetFeatures remembers how a lane's store differs from Amazon S3 and in which region the bucket lies; an empty
// region leaves the one that is known. Errors: not_found if no credentials were ever stored.
func (s *Store) SetFeatures(ctx context.Context, l control.Lane, f control.Features, region string) error {
	features, err := json.Marshal(f)
	if err != nil {
		return fault.From(err, fault.Internal, "set features")
	}
	return s.inTx(ctx, "set features", func(c conn) error {
		return must(c.exec("UPDATE credentials SET features = ?, region = CASE WHEN ? = '' THEN region ELSE ? END WHERE connector = ? AND destination = ?",
			string(features), region, region, string(l.Connector), l.Destination))
	})
}

// belongs fails unless the workspace has the connector, deleted or not.
func (c conn) belongs(workspace uint32, id control.ConnectorID) error {
	var n int
	if err := c.one("SELECT COUNT(*) FROM connectors WHERE id = ? AND workspace = ?", []any{string(id), workspace}, &n); err != nil {
		return err
	}
	if n == 0 {
		return fault.New(fault.NotFound, "", "there is no connector %s", id)
	}
	return nil
}
