package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// A database of the first schema is taken over with everything in it.
func TestTheFirstSchemaIsTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	script, err := os.ReadFile("testdata/schema-0001.sql")
	ok(t, err)
	db := raw(t, path)
	_, err = db.Exec(string(script))
	ok(t, err)
	_, err = db.Exec("INSERT INTO api_keys (id, workspace, name, hash, scopes, created_at) VALUES ('k1', 1, 'producer', x'00', 'events.write', 0)")
	ok(t, err)
	ok(t, db.Close())
	for range 2 { // opening it again changes nothing
		s, err := open(t, path)
		ok(t, err)
		ctx := t.Context()
		w, err := s.Workspace(ctx, "acme")
		ok(t, err)
		equal(t, "language", w.Language, "en")
		keys, err := s.Keys(ctx, 1)
		ok(t, err)
		equal(t, "key", keys, []control.APIKey{{ID: "k1", Workspace: 1, Name: "producer", Scopes: []control.Scope{"events.write"}, CreatedAt: time.UnixMilli(0).UTC()}})
		const id, hour = control.ConnectorID("0123456789abcdef01234567"), eventlog.Hour(498700)
		c, err := s.Connector(ctx, 1, id)
		ok(t, err)
		equal(t, "connector", fmt.Sprint(c.Name, c.AccessKeyID, c.RoleARN), "warehouseAKIA1")
		l := control.Lane{Connector: id, Destination: 1}
		h, err := s.Health(ctx, l)
		ok(t, err)
		equal(t, "health", fmt.Sprint(h.State, h.Failing, h.Episode.IsZero()), "failing1m0s true")
		p, err := s.Position(ctx, l)
		ok(t, err)
		equal(t, "position", fmt.Sprint(p.Cursor, p.Seq), "40 3")
		counts, err := s.AcceptedCounts(ctx, 1, hour, 0)
		ok(t, err)
		equal(t, "counts", counts, []control.Count{{Workspace: 1, EventType: "users.messages.email.Click", Hour: hour, Events: 5},
			{Workspace: 1, EventType: "users.messages.email.Open", Hour: hour, Events: 30}})
		// What was counted before eras were follows the version that was in force by then; the connector is younger
		// than the other hour.
		audit, err := s.Audit(ctx, 1, id, 0, 0)
		ok(t, err)
		equal(t, "audit", audit, map[eventlog.Hour][]control.HourCount{
			hour: {{EventType: "users.messages.email.Open", Accepted: 30, Delivered: 20, Waiting: 10}}})
		_, err = s.ExternalID(ctx, 1, control.IntegrationCurrents)
		ok(t, err)
		ok(t, s.Close())
	}
}
