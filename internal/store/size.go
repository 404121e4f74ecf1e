package store

import (
	"context"
	"strings"

	"github.com/millrace/millrace/internal/control"
)

const sizeColumns = "day, rev, size, at"

func scanSize(r scanner, before ...any) (d control.DaySize, err error) {
	var at int64
	err = r.Scan(append(before, &d.Day, &d.Rev, &d.Size, &at)...)
	d.At = fromMillis(at)
	return d, err
}

// SegmentSizes gives how many people a segment held on the days from one to another on which it was counted, oldest
// first.
func (p *Profiles) SegmentSizes(ctx context.Context, workspace uint32, id control.SegmentID, from, to int32) ([]control.DaySize, error) {
	all, err := list(p.s.reader(ctx), func(r scanner) (control.DaySize, error) { return scanSize(r) },
		"SELECT "+sizeColumns+" FROM people_sizes WHERE workspace = ? AND segment = ? AND day >= ? AND day <= ? ORDER BY day", workspace, string(id), from, to)
	return all, p.s.fail(err, "read sizes of a segment")
}

// LastSizes gives, of each segment of a workspace that was ever counted, the last day's size.
func (p *Profiles) LastSizes(ctx context.Context, workspace uint32) (map[control.SegmentID]control.DaySize, error) {
	by := map[control.SegmentID]control.DaySize{}
	_, err := list(p.s.reader(ctx), func(r scanner) (none struct{}, err error) {
		var id control.SegmentID
		d, err := scanSize(r, &id)
		by[id] = d
		return none, err
	}, "SELECT segment, "+sizeColumns+" FROM people_sizes s WHERE workspace = ? AND day = (SELECT MAX(day) FROM people_sizes l WHERE l.workspace = s.workspace AND l.segment = s.segment)", workspace)
	return by, p.s.fail(err, "read last sizes of segments")
}

// SaveSize keeps how many people a segment held on a day, in place of what was kept of that day.
func (p *Profiles) SaveSize(ctx context.Context, workspace uint32, id control.SegmentID, d control.DaySize) error {
	return p.s.inTx(ctx, "save size of a segment", func(c conn) error {
		_, err := c.exec("INSERT INTO people_sizes (workspace, segment, "+sizeColumns+") VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (workspace, segment, day) DO UPDATE SET rev = excluded.rev, size = excluded.size, at = excluded.at",
			workspace, string(id), d.Day, d.Rev, d.Size, millis(d.At))
		return err
	})
}

// DropSizes forgets the sizes of days before one, and those of segments that are none of ids.
func (p *Profiles) DropSizes(ctx context.Context, workspace uint32, before int32, ids []control.SegmentID) error {
	return p.s.inTx(ctx, "drop sizes of segments", func(c conn) error {
		query, args := "DELETE FROM people_sizes WHERE workspace = ? AND (day < ?", []any{workspace, before}
		if len(ids) > 0 {
			query += " OR segment NOT IN (" + strings.Repeat(", ?", len(ids))[2:] + ")"
			for _, id := range ids {
				args = append(args, string(id))
			}
		} else {
			query += " OR 1 = 1"
		}
		_, err := c.exec(query+")", args...)
		return err
	})
}
