package store

import (
	"context"
	"encoding/json"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const segmentColumns = "id, workspace, name, description, tags, filter, analytics, created_at, updated_at, rev"

// Segments gives a workspace's segments by name.
func (s *Store) Segments(ctx context.Context, workspace uint32) ([]control.Segment, error) {
	all, err := list(s.reader(ctx), scanSegment, "SELECT "+segmentColumns+" FROM segments WHERE workspace = ? ORDER BY name", workspace)
	return all, s.fail(err, "list segments")
}

// Segment gives one segment. Errors: not_found, also if it belongs to another workspace.
func (s *Store) Segment(ctx context.Context, workspace uint32, id control.SegmentID) (control.Segment, error) {
	all, err := list(s.reader(ctx), scanSegment, "SELECT "+segmentColumns+" FROM segments WHERE workspace = ? AND id = ?", workspace, string(id))
	if err == nil && len(all) == 0 {
		return control.Segment{}, fault.New(fault.NotFound, "", "there is no segment %s", id)
	}
	if err != nil {
		return control.Segment{}, s.fail(err, "find segment")
	}
	return all[0], nil
}

func scanSegment(r scanner) (x control.Segment, err error) {
	var tags, filter []byte
	var analytics int
	var created, updated int64
	if err = r.Scan(&x.ID, &x.Workspace, &x.Name, &x.Description, &tags, &filter, &analytics, &created, &updated, &x.Rev); err != nil {
		return x, err
	}
	x.Analytics, x.CreatedAt, x.UpdatedAt = analytics == 1, fromMillis(created), fromMillis(updated)
	if err := json.Unmarshal(tags, &x.Tags); err != nil {
		return x, fault.New(fault.Corrupt, "", "the tags of segment %s are not JSON", x.ID).WithCause(err)
	}
	// A filter of which something is passed over would hold other people.
	filtered, problems := control.ParseFilter("filter", filter)
	if len(problems) > 0 {
		return x, (&fault.Error{Code: fault.Corrupt, Msg: fault.Message{Text: "the filter of segment {id} is not one of this program"}, Params: fault.Params{"id": x.ID}, Fields: problems}).
			WithHint("If a newer version of Millrace wrote it, start that version.")
	}
	x.Filter = filtered
	return x, nil
}

// CreateSegment makes a segment. Errors: conflict if its name or id is taken.
func (s *Store) CreateSegment(ctx context.Context, x control.Segment) error {
	return s.inTx(ctx, "create segment", func(c conn) error {
		tags, err := json.Marshal(append([]string{}, x.Tags...))
		if err != nil {
			return err
		}
		_, err = c.exec("INSERT INTO segments ("+segmentColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", string(x.ID), x.Workspace, x.Name, x.Description, string(tags),
			string(x.Filter.Encode()), x.Analytics, millis(x.CreatedAt), millis(x.UpdatedAt))
		return err
	})
}

// UpdateSegment makes the segment of x's identity as x says, if it still has x's Rev. Errors: stale, also if it is gone;
// conflict if the name is taken.
func (s *Store) UpdateSegment(ctx context.Context, x control.Segment) error {
	return s.inTx(ctx, "update segment", func(c conn) error {
		tags, err := json.Marshal(append([]string{}, x.Tags...))
		if err != nil {
			return err
		}
		n, err := c.exec("UPDATE segments SET name = ?, description = ?, tags = ?, filter = ?, analytics = ?, updated_at = ?, rev = rev + 1 WHERE workspace = ? AND id = ? AND rev = ?",
			x.Name, x.Description, string(tags), string(x.Filter.Encode()), x.Analytics, millis(x.UpdatedAt), x.Workspace, string(x.ID), x.Rev)
		if err == nil && n == 0 {
			err = errChanged()
		}
		return err
	})
}

// DeleteSegment removes a segment. Errors: not_found.
func (s *Store) DeleteSegment(ctx context.Context, workspace uint32, id control.SegmentID) error {
	return s.inTx(ctx, "delete segment", func(c conn) error {
		n, err := c.exec("DELETE FROM segments WHERE workspace = ? AND id = ?", workspace, string(id))
		if err == nil && n == 0 {
			err = fault.New(fault.NotFound, "", "there is no segment %s", id)
		}
		return err
	})
}
