package delivery

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

// marked is the offset of the newest hour mark that was met; -1 if there is none.
func (m *Manager) marked() eventlog.Offset { return eventlog.Offset(m.mark.Load() - 1) }

// look asks for a look for complete hours: a lane has passed a mark, a drop is settled, or a mark was met.
func (m *Manager) look() {
	select {
	case m.looks <- struct{}{}:
	default:
	}
}

// hours tells of hours of which everything accepted is in the bucket, or in the ledger as dropped.
func (m *Manager) hours(ctx context.Context) error {
	slow := time.NewTicker(cursorEvery) // if anything was missed
	defer slow.Stop()
	for {
		done, err := m.deps.Store.CompleteHours(ctx, m.deps.Log.ID())
		if err != nil {
			return fault.Wrap(err, "look for complete hours")
		}
		if told := m.deps.Hooks.OnNotice; told != nil {
			for _, h := range done {
				told(control.Notice{Workspace: h.Workspace, Connector: h.Connector, Kind: control.NoticeHourComplete, Episode: h.Hour.String(), At: h.At})
			}
		}
		if !pause(ctx, hoursEvery) {
			return nil
		}
		if len(done) > 0 {
			continue // there may be more than one call gives
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.looks:
		case <-slow.C:
		}
	}
}
