package store

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// checksKept is how many checks of a connector, or of a data export, are remembered.
const checksKept = 100

// AddCheck remembers a credential check that was made. Of those of the same connector the newest are kept.
func (s *Store) AddCheck(ctx context.Context, r control.CheckRow) error {
	return s.inTx(ctx, "add check", func(c conn) error {
		if _, err := c.exec("INSERT INTO checks (workspace, connector, cause, passed, report, at) VALUES (?, ?, ?, ?, ?, ?)",
			r.Workspace, string(r.Connector), string(r.Trigger), r.OK, string(r.Report), millis(r.At)); err != nil {
			return err
		}
		_, err := c.exec(`DELETE FROM checks WHERE workspace = ? AND connector = ? AND id <= (
				SELECT id FROM checks WHERE workspace = ? AND connector = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`,
			r.Workspace, string(r.Connector), r.Workspace, string(r.Connector), checksKept)
		return err
	})
}

// Checks gives up to limit checks of a workspace's connector, or of its data export if connector is empty, newest
// first.
func (s *Store) Checks(ctx context.Context, workspace uint32, connector control.ConnectorID, limit int) ([]control.CheckRow, error) {
	rs, err := list(s.reader(ctx), func(r scanner) (v control.CheckRow, err error) {
		var report string
		var at int64
		err = r.Scan(&v.ID, &v.Workspace, &v.Connector, &v.Trigger, &v.OK, &report, &at)
		v.Report, v.At = []byte(report), fromMillis(at)
		return v, err
	}, "SELECT id, workspace, connector, cause, passed, report, at FROM checks WHERE workspace = ? AND connector = ? ORDER BY id DESC LIMIT ?",
		workspace, string(connector), limit)
	return rs, s.fail(err, "list checks")
}

// ChecksDue gives up to limit connectors, and data exports, of all workspaces whose last check, or whose making if
// they never had one, lies before then, the longest ago first. Connectors that are deleted, paused or have a failing
// lane are left out.
func (s *Store) ChecksDue(ctx context.Context, before time.Time, limit int) ([]control.CheckDue, error) {
	due, err := list(s.reader(ctx), func(r scanner) (d control.CheckDue, err error) {
		var last int64
		return d, r.Scan(&d.Workspace, &d.Connector, &last)
	}, `SELECT workspace, connector, last FROM (
			SELECT c.workspace AS workspace, c.id AS connector, COALESCE((SELECT MAX(k.at) FROM checks k
				WHERE k.workspace = c.workspace AND k.connector = c.id), c.created_at) AS last
			FROM connectors c WHERE c.deleted_at IS NULL AND c.paused = 0
				AND NOT EXISTS (SELECT 1 FROM health h WHERE h.connector = c.id AND h.state = ?)
			UNION ALL
			SELECT e.workspace, '', COALESCE((SELECT MAX(k.at) FROM checks k
				WHERE k.workspace = e.workspace AND k.connector = ''), e.updated_at)
			FROM data_exports e) AS due
		WHERE last < ? ORDER BY last, connector, workspace LIMIT ?`, string(control.LaneFailing), millis(before), limit)
	return due, s.fail(err, "list checks that are due")
}
