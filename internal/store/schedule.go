package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const scheduleColumns = "id, workspace, name, kind, spec, times, paused, error, member, runs, ran_at, next_run, created_at, updated_at, rev"

// Schedules gives a workspace's schedules by name. Of one that cannot be read, Failure says so, and Spec and times are empty.
func (s *Store) Schedules(ctx context.Context, workspace uint32) ([]control.ReportSchedule, error) {
	all, err := list(s.reader(ctx), despite(scanSchedule, func(x *control.ReportSchedule) **fault.Error { return &x.Failure }),
		"SELECT "+scheduleColumns+" FROM report_schedules WHERE workspace = ? ORDER BY name", workspace)
	return all, s.fail(err, "list schedules")
}

// Schedule gives one schedule. Errors: not_found, also if it belongs to another workspace.
func (s *Store) Schedule(ctx context.Context, workspace uint32, id control.ScheduleID) (control.ReportSchedule, error) {
	all, err := list(s.reader(ctx), scanSchedule, "SELECT "+scheduleColumns+" FROM report_schedules WHERE workspace = ? AND id = ?", workspace, string(id))
	if err == nil && len(all) == 0 {
		return control.ReportSchedule{}, errNoSchedule()
	}
	if err != nil {
		return control.ReportSchedule{}, s.fail(err, "find schedule")
	}
	return all[0], nil
}

func errNoSchedule() error {
	return &fault.Error{Code: fault.NotFound, Msg: fault.Message{Key: "control.no_schedule", Text: "The workspace has no such schedule."}}
}

// SchedulesDue gives the schedules of all workspaces that are due at now, the longest due first, and those that were
// changed or ran at a time that is yet to come, because the clock was set back.
//
// Errors: corrupt where one of them cannot be read, beside those that can.
func (s *Store) SchedulesDue(ctx context.Context, now time.Time) ([]control.ReportSchedule, error) {
	const op = "list schedules that are due"
	var broken error
	all, err := list(s.reader(ctx), func(r scanner) (*control.ReportSchedule, error) {
		x, err := scanSchedule(r)
		if fault.Is(err, fault.Corrupt) {
			broken = errors.Join(broken, err)
			return nil, nil
		}
		return &x, err
	}, "SELECT "+scheduleColumns+" FROM report_schedules WHERE next_run <= ? OR next_run IS NOT NULL AND (ran_at > ? OR updated_at > ?) ORDER BY next_run, id", millis(now), millis(now), millis(now))
	if err != nil {
		return nil, s.fail(err, op)
	}
	var due []control.ReportSchedule
	for _, x := range all {
		if x != nil {
			due = append(due, *x)
		}
	}
	return due, s.fail(broken, op)
}

func scanSchedule(r scanner) (x control.ReportSchedule, err error) {
	var spec, times, failure string
	var paused int
	var ran, next sql.NullInt64
	var created, updated int64
	if err = r.Scan(&x.ID, &x.Workspace, &x.Name, &x.Kind, &spec, &times, &paused, &failure, &x.Member, &x.Runs, &ran, &next, &created, &updated, &x.Rev); err != nil {
		return x, err
	}
	x.Paused, x.RanAt, x.Next, x.CreatedAt, x.UpdatedAt = paused == 1, fromOptMillis(ran), fromOptMillis(next), fromMillis(created), fromMillis(updated)
	d := json.NewDecoder(strings.NewReader(spec))
	d.DisallowUnknownFields() // a report of which something is passed over is another one
	if err = d.Decode(&x.Spec); err == nil {
		err = json.Unmarshal([]byte(times), &x.ScheduleTimes)
	}
	if err == nil && failure != "" {
		x.Failure, err = readFailure(failure)
	}
	if err != nil {
		x.Spec, x.ScheduleTimes = control.ExportSpec{}, control.ScheduleTimes{}
		err = unreadable(err, string(x.ID), fault.Message{Key: "control.schedule_unreadable", Text: "What schedule {id} says is not of this program."})
	}
	return x, err
}

// scheduleValues are the columns from name to updated_at.
func scheduleValues(x control.ReportSchedule) ([]any, error) {
	spec, err := json.Marshal(x.Spec)
	if err != nil {
		return nil, err
	}
	times, err := json.Marshal(x.ScheduleTimes)
	return []any{x.Name, string(x.Kind), string(spec), string(times), x.Paused, failureText(x.Failure), string(x.Member), x.Runs, optMillis(x.RanAt), optMillis(x.Next),
		millis(x.CreatedAt), millis(x.UpdatedAt)}, err
}

// CreateSchedule makes a schedule. Errors: conflict if its name or id is taken, or the workspace has 100.
func (s *Store) CreateSchedule(ctx context.Context, x control.ReportSchedule) error {
	return s.inTx(ctx, "create schedule", func(c conn) error {
		var n int
		if err := c.one("SELECT COUNT(*) FROM report_schedules WHERE workspace = ?", []any{x.Workspace}, &n); err != nil {
			return err
		}
		if n >= control.MaxSchedules {
			return &fault.Error{Code: fault.Conflict, Msg: fault.Message{Key: "control.schedules_many", Text: "The workspace has {n} schedules already."},
				Hint: fault.Message{Key: "control.schedules_many_hint", Text: "Delete one that is not needed."}, Params: fault.Params{"n": n}}
		}
		values, err := scheduleValues(x)
		if err != nil {
			return err
		}
		_, err = c.exec("INSERT INTO report_schedules ("+scheduleColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", append([]any{string(x.ID), x.Workspace}, values...)...)
		return err
	})
}

// UpdateSchedule makes the schedule of x's identity as x says, if it still has x's Rev and has not run meanwhile. Errors:
// stale, also if it is gone; conflict if the name is taken.
func (s *Store) UpdateSchedule(ctx context.Context, x control.ReportSchedule) error {
	return s.inTx(ctx, "update schedule", func(c conn) error { return c.setSchedule(x, x.Runs, x.Rev+1) })
}

// setSchedule writes x with that Rev over what has x's, and ran so often.
func (c conn) setSchedule(x control.ReportSchedule, runs int, rev int64) error {
	values, err := scheduleValues(x)
	if err != nil {
		return err
	}
	n, err := c.exec("UPDATE report_schedules SET name = ?, kind = ?, spec = ?, times = ?, paused = ?, error = ?, member = ?, runs = ?, ran_at = ?, next_run = ?, created_at = ?, updated_at = ?, rev = ? "+
		"WHERE workspace = ? AND id = ? AND rev = ? AND runs = ?", append(values, rev, x.Workspace, string(x.ID), x.Rev, runs)...)
	if err == nil && n == 0 {
		err = errChanged()
	}
	return err
}

// RunSchedule makes the schedule was what it is next, writes notices, and makes the export e wait, in one commit; nil: none. Errors: stale if it
// ran or was changed meanwhile; as AddExport.
func (s *Store) RunSchedule(ctx context.Context, was, next control.ReportSchedule, e *control.Export, notices ...control.Notice) error {
	return s.inTx(ctx, "run schedule", func(c conn) error {
		if err := c.setSchedule(next, was.Runs, was.Rev); err != nil {
			return err
		}
		for _, n := range notices {
			if err := c.addNotice(n); err != nil {
				return err
			}
		}
		if e == nil {
			return nil
		}
		_, err := c.addExport(*e)
		return err
	})
}

// DeleteSchedule removes a schedule. Errors: not_found.
func (s *Store) DeleteSchedule(ctx context.Context, workspace uint32, id control.ScheduleID) error {
	return s.inTx(ctx, "delete schedule", func(c conn) error {
		n, err := c.exec("DELETE FROM report_schedules WHERE workspace = ? AND id = ?", workspace, string(id))
		if err == nil && n == 0 {
			err = errNoSchedule()
		}
		return err
	})
}
