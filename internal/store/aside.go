package store

import (
	"context"

	"github.com/millrace/millrace/internal/control"
)

// AllSetAside is SetAside of all workspaces.
func (p *Profiles) AllSetAside(ctx context.Context, limit int) ([]control.SetAside, error) {
	out, err := list(p.s.reader(ctx), func(r scanner) (x control.SetAside, err error) {
		var at int64
		err = r.Scan(&x.Offset, &x.Workspace, &x.EventType, &x.Reason, &at)
		x.At = fromMillis(at)
		return x, err
	}, "SELECT record_offset, workspace, event_type, reason, at FROM people_set_aside ORDER BY at DESC, record_offset DESC LIMIT ?", limit)
	return out, p.s.fail(err, "read what was set aside")
}

// SetAsideCounts gives how many records of each workspace could not be applied; of 0 how many ranges, of which nobody knows
// whose they were.
func (p *Profiles) SetAsideCounts(ctx context.Context) (map[uint32]int64, error) {
	counts := map[uint32]int64{}
	_, err := list(p.s.reader(ctx), func(r scanner) (none struct{}, err error) {
		var workspace uint32
		var n int64
		err = r.Scan(&workspace, &n)
		counts[workspace] = n
		return none, err
	}, "SELECT workspace, COUNT(*) FROM people_set_aside GROUP BY workspace")
	return counts, p.s.fail(err, "count what was set aside")
}
