package store

import (
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// FindJob gives a job of whichever workspace: whoever shows it looks at its workspace first. Errors: not_found.
func (s *Store) FindJob(ctx context.Context, id int64) (control.Job, error) {
	var workspace uint32
	if err := s.reader(ctx).one("SELECT workspace FROM jobs WHERE id = ?", []any{id}, &workspace); err != nil {
		return control.Job{}, s.fail(err, "find job")
	}
	return s.Job(ctx, workspace, id)
}

// Worked reports whether a process holds the lease on a log: without one, nothing is accepted and jobs wait.
func (s *Store) Worked(ctx context.Context) (bool, error) {
	var n int
	err := s.reader(ctx).one("SELECT COUNT(*) FROM logs WHERE lease_owner <> '' AND lease_until > ?", []any{millis(s.now())}, &n)
	return n > 0, s.fail(err, "look for a lease")
}

// Destinations gives every destination that a connector ever had, each as its newest version has it, in order. A
// connector of another workspace has none.
func (s *Store) Destinations(ctx context.Context, workspace uint32, id control.ConnectorID) (out []control.Destination, err error) {
	cs, err := list(s.reader(ctx), scanConfig, `SELECT n.config FROM connector_configs n JOIN connectors c ON c.id = n.connector
		WHERE c.workspace = ? AND c.id = ?
			AND n.version = (SELECT MAX(x.version) FROM connector_configs x WHERE x.connector = n.connector AND x.destination = n.destination)
		ORDER BY n.destination`, workspace, string(id))
	for _, n := range cs {
		out = append(out, n.Destination)
	}
	return out, s.fail(err, "list destinations")
}

// SeenNotices gives up to which ID a member has seen a workspace's notices, and since when they could have: what was
// told before counts as seen. See UnreadNotices.
func (s *Store) SeenNotices(ctx context.Context, workspace uint32, id control.MemberID) (upTo int64, since time.Time, err error) {
	var from int64
	err = s.reader(ctx).one(`SELECT COALESCE((SELECT up_to FROM notices_read WHERE workspace = ? AND member = ?), 0),
		COALESCE((SELECT created_at FROM seats WHERE workspace = ? AND member = ?), m.created_at) FROM members m WHERE m.id = ?`,
		[]any{workspace, string(id), workspace, string(id), string(id)}, &upTo, &from)
	return upTo, fromMillis(from), s.fail(err, "look up to where notices were read")
}

// CreateWebhook adds a webhook and gives its ID. Errors: conflict if the workspace has one that leads to the same, see
// control.SameWebhook.
func (s *Store) CreateWebhook(ctx context.Context, w control.Webhook) (id int64, err error) {
	err = s.inTx(ctx, "create webhook", func(c conn) error {
		had, err := list(c, func(r scanner) (url string, err error) { return url, r.Scan(&url) }, "SELECT url FROM webhooks WHERE workspace = ?", w.Workspace)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(had, func(url string) bool { return control.SameWebhook(url, w.URL) }) {
			taken := fault.Field("url", "duplicate", "field.webhook_taken", "The workspace has a webhook to this address already.")
			return &fault.Error{Code: fault.Conflict, Msg: fault.Message{Key: taken.Key, Text: taken.Message}, Fields: []fault.Problem{taken}}
		}
		id, err = c.saveWebhook(w)
		return err
	})
	return id, err
}
