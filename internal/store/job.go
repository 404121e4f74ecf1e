package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// sealParams and sealResult bind what is sealed of a job to it.
func sealParams(id int64) string { return fmt.Sprintf("parameters of job %d", id) }
func sealResult(id int64) string { return fmt.Sprintf("result of job %d", id) }

const jobQuery = "SELECT id, kind, workspace, connector, params, actor, state, progress, result, error, created_at, done_at FROM jobs "

func (s *Store) scanJob(r scanner) (j control.Job, err error) {
	var params, result []byte
	var actor, progress, failure string
	var created int64
	var done sql.NullInt64
	if err = r.Scan(&j.ID, &j.Kind, &j.Workspace, &j.Connector, &params, &actor, &j.State, &progress, &result, &failure, &created, &done); err != nil {
		return j, err
	}
	j.CreatedAt, j.DoneAt = fromMillis(created), fromOptMillis(done)
	if j.Params, err = s.openJSON(params, sealParams(j.ID)); err != nil {
		return j, err
	}
	if j.Result, err = s.openJSON(result, sealResult(j.ID)); err != nil {
		return j, err
	}
	if progress != "" {
		j.Progress = json.RawMessage(progress)
	}
	if err = json.Unmarshal([]byte(actor), &j.Actor); err == nil && failure != "" {
		j.Failure, err = readFailure(failure)
	}
	if err != nil {
		err = fault.New(fault.Corrupt, "", "actor or error of job %d is not JSON", j.ID).WithCause(err)
	}
	return j, err
}

func (s *Store) sealJSON(v json.RawMessage, context string) ([]byte, error) {
	return s.sealOptional(secret.New(string(v)), context)
}

func (s *Store) openJSON(sealed []byte, context string) (json.RawMessage, error) {
	v, err := s.openOptional(sealed, context)
	if err != nil || v.Empty() {
		return nil, err
	}
	return json.RawMessage(v.Reveal()), nil
}

// jobsWaiting is how many jobs of a workspace, or of a member where they are of none, may wait at once.
const jobsWaiting = 100

// roomForJob refuses a job where too many wait. Errors: rate_limited.
func (c conn) roomForJob(j control.Job) error {
	actors, err := list(c, func(r scanner) (actor string, err error) { return actor, r.Scan(&actor) },
		"SELECT actor FROM jobs WHERE workspace = ? AND state IN ('waiting', 'running')", j.Workspace)
	n := 0
	for _, text := range actors {
		var a control.Actor
		if err := json.Unmarshal([]byte(text), &a); err == nil && (j.Workspace != 0 || a.Member == j.Actor.Member) {
			n++
		}
	}
	if err == nil && n >= jobsWaiting {
		err = fault.New(fault.RateLimited, "", "%d jobs wait already.", n).WithRetry(time.Minute)
	}
	return err
}

// AddJob stores a job for the process that owns the log, and gives its ID. Errors: rate_limited if 100 of the
// workspace wait already, or of the member where it is of none.
func (s *Store) AddJob(ctx context.Context, j control.Job) (id int64, err error) {
	actor, err := json.Marshal(j.Actor)
	if err != nil {
		return 0, fault.From(err, fault.Internal, "add job")
	}
	err = s.inTx(ctx, "add job", func(c conn) error {
		if err := c.roomForJob(j); err != nil {
			return err
		}
		if err := c.one(`INSERT INTO jobs (kind, workspace, connector, actor, state, progress, error, created_at, done_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`, []any{string(j.Kind), j.Workspace, string(j.Connector), string(actor),
			string(j.State), string(j.Progress), failureText(j.Failure), millis(j.CreatedAt), optMillis(j.DoneAt)}, &id); err != nil {
			return err
		}
		params, err := s.sealJSON(j.Params, sealParams(id)) // which was not known before
		if err != nil {
			return err
		}
		result, err := s.sealJSON(j.Result, sealResult(id))
		if err != nil {
			return err
		}
		return must(c.exec("UPDATE jobs SET params = ?, result = ? WHERE id = ?", params, result, id))
	})
	return id, err
}

// WaitingJobs gives the jobs of all workspaces that are not done, oldest first; also those that are said to run: the
// owner of the log is alone, so one that it does not know of was running when its process ended.
//
// Errors: corrupt where one of them cannot be read, beside the jobs that can: it has failed then, and is not met again.
func (s *Store) WaitingJobs(ctx context.Context) ([]control.Job, error) {
	const op = "list waiting jobs"
	type row struct {
		job control.Job
		err error
	}
	rows, err := list(s.reader(ctx), func(r scanner) (v row, err error) {
		if v.job, v.err = s.scanJob(r); !fault.Is(v.err, fault.Corrupt) {
			err = v.err
		}
		return v, err
	}, jobQuery+"WHERE state IN ('waiting', 'running') ORDER BY id")
	if err != nil {
		return nil, s.fail(err, op)
	}
	var jobs []control.Job
	for _, v := range rows {
		if v.err == nil {
			jobs = append(jobs, v.job)
			continue
		}
		v.job.State, v.job.DoneAt = control.JobFailed, s.now()
		v.job.Failure = fault.New(fault.Corrupt, "", "What was asked for cannot be read any more.").WithHint("Ask for it again.")
		err = errors.Join(err, fault.Wrap(v.err, fmt.Sprintf("read job %d, which failed by it", v.job.ID)), s.SaveJob(ctx, v.job))
	}
	return jobs, s.fail(err, op)
}

// OpenJobs gives the jobs of a workspace that wait or run, oldest first, without what they are to do.
func (s *Store) OpenJobs(ctx context.Context, workspace uint32) ([]control.Job, error) {
	jobs, err := list(s.reader(ctx), s.scanJob, "SELECT id, kind, workspace, connector, NULL, actor, state, progress, NULL, error, created_at, done_at FROM jobs "+
		"WHERE workspace = ? AND state IN ('waiting', 'running') ORDER BY id", workspace)
	return jobs, s.fail(err, "list open jobs")
}

// SaveJob writes state, result, error and end of a job; its parameters are erased once it is done or has failed.
// Errors: not_found.
func (s *Store) SaveJob(ctx context.Context, j control.Job) error {
	const op = "save job"
	result, err := s.sealJSON(j.Result, sealResult(j.ID))
	if err != nil {
		return s.fail(err, op)
	}
	return s.inTx(ctx, op, func(c conn) error {
		if j.State == control.JobDone || j.State == control.JobFailed {
			if _, err := c.exec("UPDATE jobs SET params = NULL WHERE id = ? AND workspace = ?", j.ID, j.Workspace); err != nil {
				return err
			}
		}
		return must(c.exec("UPDATE jobs SET state = ?, result = ?, error = ?, done_at = ? WHERE id = ? AND workspace = ?",
			string(j.State), result, failureText(j.Failure), optMillis(j.DoneAt), j.ID, j.Workspace))
	})
}

// TakeResult gives the result of a job and leaves another in its place, in one commit: what is taken is given once.
// Errors: not_found.
func (s *Store) TakeResult(ctx context.Context, id int64, left json.RawMessage) (had json.RawMessage, err error) {
	err = s.inTx(ctx, "take result of job", func(c conn) error {
		js, err := list(c, s.scanJob, jobQuery+"WHERE id = ?", id)
		j, err := single(s, js, err, "job")
		if err != nil {
			return err
		}
		had = j.Result
		sealed, err := s.sealJSON(left, sealResult(id))
		if err != nil {
			return err
		}
		return must(c.exec("UPDATE jobs SET result = ? WHERE id = ?", sealed, id))
	})
	return had, err
}

// JobProgress writes how far a job is. Errors: not_found, also if it does not run.
func (s *Store) JobProgress(ctx context.Context, id int64, progress json.RawMessage) error {
	return s.inTx(ctx, "save progress of job", func(c conn) error {
		return must(c.exec("UPDATE jobs SET progress = ? WHERE id = ? AND state = 'running'", string(progress), id))
	})
}

// Job gives one job. Errors: not_found, also if it belongs to another workspace.
func (s *Store) Job(ctx context.Context, workspace uint32, id int64) (control.Job, error) {
	js, err := list(s.reader(ctx), s.scanJob, jobQuery+"WHERE id = ? AND workspace = ?", id, workspace)
	if err == nil && len(js) == 0 {
		return control.Job{}, fault.New(fault.NotFound, "", "there is no job %d", id)
	}
	if err != nil {
		return control.Job{}, s.fail(err, "find job")
	}
	return js[0], nil
}

// failureRow is a job's failure as it is stored: with what lets the catalogues say its field problems, which answers
// leave out.
type failureRow struct {
	*fault.Error
	Fields []problemRow
}

type problemRow struct {
	fault.Problem
	Key    string       `json:"key,omitempty"`
	Params fault.Params `json:"params,omitempty"`
}

func failureText(f *fault.Error) string {
	if f == nil {
		return ""
	}
	row := failureRow{Error: f}
	for _, p := range f.Fields {
		row.Fields = append(row.Fields, problemRow{p, p.Key, p.Params})
	}
	b, err := json.Marshal(row)
	if err != nil {
		panic("store: a failure did not encode: " + err.Error())
	}
	return string(b)
}

// readFailure reads what failureText wrote. Numbers among the parameters come back as float64.
func readFailure(text string) (*fault.Error, error) {
	row := failureRow{Error: &fault.Error{}}
	if err := json.Unmarshal([]byte(text), &row); err != nil {
		return nil, err
	}
	for _, p := range row.Fields {
		p.Problem.Key, p.Problem.Params = p.Key, p.Params
		row.Error.Fields = append(row.Error.Fields, p.Problem)
	}
	return row.Error, nil
}
