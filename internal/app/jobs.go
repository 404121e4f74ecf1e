package app

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

// jobEvery is how soon a job that somebody asked for is taken up.
const jobEvery = time.Second

// testEventsResult is what comes out of a job that sends test events.
type testEventsResult struct {
	Events int `json:"events"`
}

// runJobs does what is asked for by others than the process that owns the log, until ctx ends. A job that was under
// way when a process ended is done again: each kind can be repeated without harm, test events apart, which may then
// be there twice.
func (s *system) runJobs(ctx context.Context, w *working) {
	var under sync.WaitGroup
	defer under.Wait()
	var replaying sync.Mutex // one at a time: each reads the log and fills memory
	begun := map[int64]bool{}
	for {
		jobs, err := s.plane.store.WaitingJobs(ctx)
		if err != nil && ctx.Err() == nil {
			s.logger.Error("jobs wait", "error", err)
		}
		for _, j := range jobs {
			if begun[j.ID] {
				continue
			}
			begun[j.ID] = true
			under.Go(func() {
				if j.Kind == control.JobReplay {
					replaying.Lock()
					defer replaying.Unlock()
				}
				s.doJob(ctx, w, j)
			})
		}
		if !sleep(ctx, jobEvery) {
			return
		}
	}
}

// doJob does one job and writes down what came of it. One that ctx interrupts stays for the next process.
func (s *system) doJob(ctx context.Context, w *working, j control.Job) {
	j.State = control.JobRunning
	err := s.plane.store.SaveJob(ctx, j)
	var out any
	if err == nil {
		switch j.Kind {
		case control.JobTestEvents:
			out, err = s.sendTestEvents(ctx, w, j)
		case control.JobReplay:
			out, err = s.replay(ctx, w, j)
		default:
			err = fault.New(fault.Internal, "", "this version does not know jobs of kind %q", j.Kind)
		}
	}
	if ctx.Err() != nil {
		return
	}
	j.State, j.DoneAt = control.JobDone, time.Now()
	if err != nil {
		j.State, j.Failure = control.JobFailed, control.FailureOf(err)
	} else if j.Result, err = json.Marshal(out); err != nil {
		j.State, j.Failure = control.JobFailed, control.FailureOf(err)
	}
	if saved := s.plane.store.SaveJob(ctx, j); saved != nil {
		err = errors.Join(err, saved) // it stays as running, and is done again by the next process
	}
	if err != nil {
		s.logger.Error("a job failed", "kind", j.Kind, "job", j.ID, "error", err)
		return
	}
	s.logger.Info("job done", "kind", j.Kind, "job", j.ID)
}

// sendTestEvents appends one event of each type that the connector selects.
func (s *system) sendTestEvents(ctx context.Context, w *working, j control.Job) (any, error) {
	c, err := s.plane.store.Connector(ctx, j.Workspace, j.Connector)
	if err != nil {
		return nil, err
	}
	if c.Deleted {
		return nil, fault.New(fault.NotFound, "", "the connector %s is deleted", c.Name)
	}
	selected, _ := s.plane.catalogue.Select(c.Events) // what is gone from the catalogue selects nothing
	var types []*event.Type
	for _, t := range s.plane.catalogue.Types() {
		if selected.HasType(t) {
			types = append(types, t)
		}
	}
	n, err := w.ingest.AppendTestEvents(ctx, j.Workspace, c.Number, types)
	return testEventsResult{n}, err
}

// replay makes a connector's files again, or delivers what was dropped.
func (s *system) replay(ctx context.Context, w *working, j control.Job) (any, error) {
	var params control.ReplayParams
	if err := json.Unmarshal(j.Params, &params); err != nil {
		return nil, fault.From(err, fault.Corrupt, "read the job's parameters")
	}
	c, err := s.plane.store.Connector(ctx, j.Workspace, j.Connector)
	if err != nil {
		return nil, err
	}
	in := s.plane.replayInput(c)
	in.Log = w.log
	return delivery.Job(ctx, delivery.RecoverInput{ReplayInput: in, Books: s.plane.store}, params)
}

// awaitJob waits until a job has ended. Errors: that of the job, if it failed.
func (p *plane) awaitJob(ctx context.Context, workspace uint32, id int64) (control.Job, error) {
	for {
		j, err := p.store.Job(ctx, workspace, id)
		switch {
		case err != nil:
			return j, err
		case j.State == control.JobFailed:
			return j, j.Failure
		case j.State == control.JobDone:
			return j, nil
		}
		if !sleep(ctx, jobLook) {
			return j, ctx.Err()
		}
	}
}

// jobLook is how often a command looks how far a job is.
const jobLook = 200 * time.Millisecond

// serverRuns reports whether a server works on the data folder.
func (p *plane) serverRuns() bool {
	lock, err := p.data.Lock(serverLockName)
	if err == nil {
		lock.Close() // an empty file
	}
	return err != nil
}

// noteServer says when a change holds.
func (p *plane) noteServer(c *Console) {
	if p.serverRuns() {
		c.Note("The running server takes it up within 5 seconds.")
	} else {
		c.Note("No server runs on the data folder; it holds as soon as one does.")
	}
}
