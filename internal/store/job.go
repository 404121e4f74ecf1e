package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

const jobQuery = "SELECT id, kind, workspace, connector, params, state, result, error, created_at, done_at FROM jobs "

func scanJob(r scanner) (j control.Job, err error) {
	var params, result, failure string
	var created int64
	var done sql.NullInt64
	err = r.Scan(&j.ID, &j.Kind, &j.Workspace, &j.Connector, &params, &j.State, &result, &failure, &created, &done)
	if params != "" {
		j.Params = json.RawMessage(params)
	}
	if result != "" {
		j.Result = json.RawMessage(result)
	}
	if err == nil && failure != "" {
		err = json.Unmarshal([]byte(failure), &j.Failure)
	}
	j.CreatedAt, j.DoneAt = fromMillis(created), fromOptMillis(done)
	return j, err
}

// AddJob stores a job for the process that owns the log, and gives its ID.
func (s *Store) AddJob(ctx context.Context, j control.Job) (id int64, err error) {
	err = s.inTx(ctx, "add job", func(c conn) error {
		return c.one(`INSERT INTO jobs (kind, workspace, connector, params, state, result, error, created_at, done_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`, []any{string(j.Kind), j.Workspace, string(j.Connector), string(j.Params),
			string(j.State), string(j.Result), failureText(j.Failure), millis(j.CreatedAt), optMillis(j.DoneAt)}, &id)
	})
	return id, err
}

// WaitingJobs gives the jobs of all workspaces that are not done, oldest first; also those that are said to run: the
// owner of the log is alone, so one that it does not know of was running when its process ended.
func (s *Store) WaitingJobs(ctx context.Context) ([]control.Job, error) {
	js, err := list(s.reader(ctx), scanJob, jobQuery+"WHERE state IN ('waiting', 'running') ORDER BY id")
	return js, s.fail(err, "list waiting jobs")
}

// SaveJob writes state, result, error and end of a job. Errors: not_found.
func (s *Store) SaveJob(ctx context.Context, j control.Job) error {
	return s.inTx(ctx, "save job", func(c conn) error {
		return must(c.exec("UPDATE jobs SET state = ?, result = ?, error = ?, done_at = ? WHERE id = ? AND workspace = ?",
			string(j.State), string(j.Result), failureText(j.Failure), optMillis(j.DoneAt), j.ID, j.Workspace))
	})
}

// Job gives one job. Errors: not_found, also if it belongs to another workspace.
func (s *Store) Job(ctx context.Context, workspace uint32, id int64) (control.Job, error) {
	js, err := list(s.reader(ctx), scanJob, jobQuery+"WHERE id = ? AND workspace = ?", id, workspace)
	if err == nil && len(js) == 0 {
		return control.Job{}, fault.New(fault.NotFound, "", "there is no job %d", id)
	}
	if err != nil {
		return control.Job{}, s.fail(err, "find job")
	}
	return js[0], nil
}

func failureText(f *fault.Error) string {
	if f == nil {
		return ""
	}
	b, err := json.Marshal(f)
	if err != nil {
		panic("store: a failure did not encode: " + err.Error())
	}
	return string(b)
}
