package store

import (
	"context"

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
