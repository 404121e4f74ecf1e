package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

// jobEvery is how soon a job is taken up that another process was asked for; one of this process is at once.
const jobEvery = time.Second

// testEventsResult is what comes out of a job that sends test events.
type testEventsResult struct {
	Events int `json:"events"`
}

// bell is rung when a job waits. One that nobody hears is kept, a second one adds nothing.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// busy is which jobs are under way, and what they keep others from.
type busy struct {
	begun map[int64]bool  // since the start: the list of those that wait may be older than their end
	of    map[string]int  // of each owner
	taken map[string]bool // what one at a time works on
}

// take begins j, unless it was begun or has to wait.
func (b *busy) take(j control.Job) bool {
	who, what := j.Owner(), j.Exclusive()
	if b.begun[j.ID] || b.of[who] >= control.JobsAtOnce || b.taken[what] {
		return false
	}
	b.begun[j.ID] = true
	b.of[who]++
	if what != "" {
		b.taken[what] = true
	}
	return true
}

func (b *busy) leave(j control.Job) {
	if b.of[j.Owner()]--; b.of[j.Owner()] == 0 {
		delete(b.of, j.Owner())
	}
	delete(b.taken, j.Exclusive())
}

// runJobs does what is asked for by others than the process that owns the log, until ctx ends. A job that was under
// way when a process ended is done again: each kind can be repeated without harm, test events apart, which may then
// be there twice.
func (s *system) runJobs(ctx context.Context, w *working) {
	var under sync.WaitGroup
	defer under.Wait()
	b := busy{map[int64]bool{}, map[string]int{}, map[string]bool{}}
	ended := make(chan control.Job)
	look := time.NewTicker(jobEvery)
	defer look.Stop()
	for {
		jobs, err := s.plane.store.WaitingJobs(ctx)
		if err != nil && ctx.Err() == nil {
			s.logger.Error("jobs wait", "error", err)
		}
		for _, j := range jobs {
			if !b.take(j) {
				continue
			}
			under.Go(func() {
				s.doJob(ctx, w, j)
				select {
				case ended <- j:
				case <-ctx.Done():
				}
			})
		}
		select {
		case <-ctx.Done():
			return
		case j := <-ended:
			b.leave(j)
		case <-s.asked:
		case <-look.C:
		}
	}
}

// doJob does one job and writes down what came of it. One that ctx interrupts stays for the next process.
func (s *system) doJob(ctx context.Context, w *working, j control.Job) {
	j.State = control.JobRunning
	err := s.plane.store.SaveJob(ctx, j)
	var out any
	if err == nil {
		out, err = s.carryOut(ctx, w, j)
	}
	if ctx.Err() != nil {
		return
	}
	j.State, j.DoneAt = control.JobDone, time.Now()
	if out != nil {
		var lost error
		j.Result, lost = json.Marshal(out)
		err = cmp.Or(err, lost)
	}
	if err != nil {
		j.State, j.Failure = control.JobFailed, control.FailureOf(err)
	}
	level := slog.LevelInfo // what a customer gave and has to mend
	if code := fault.CodeOf(err); code == fault.Internal || code == fault.Corrupt {
		level = slog.LevelError
	}
	if saved := s.plane.store.SaveJob(ctx, j); saved != nil {
		err, level = errors.Join(err, saved), slog.LevelError // it stays as running, and is done again by the next process
	}
	if err != nil {
		s.logger.Log(ctx, level, "a job failed", "kind", j.Kind, "job", j.ID, "error", err)
		return
	}
	s.logger.Info("job done", "kind", j.Kind, "job", j.ID)
}

func (s *system) carryOut(ctx context.Context, w *working, j control.Job) (any, error) {
	if j.Kind != control.JobTestEvents && j.Kind != control.JobReplay {
		return s.change(ctx, w, j) // which looks at the actor's rights by itself
	}
	ctx, err := s.rules.May(ctx, j)
	if err != nil {
		return nil, err
	}
	if j.Kind == control.JobTestEvents {
		return s.sendTestEvents(ctx, w, j)
	}
	return s.replay(ctx, w, j)
}

// change does a job that is an action of the plane; how far its checks are can be seen meanwhile.
func (s *system) change(ctx context.Context, w *working, j control.Job) (any, error) {
	note, end := s.noting(ctx, j)
	out, err := s.rules.Watched(func(at control.JobProgress) { note(at) }).Do(ctx, j)
	end()
	switch {
	case err != nil:
	case j.Kind == control.JobCheck:
		w.delivery.Try(j.Connector)
	case j.Kind == control.JobLaunch || j.Kind == control.JobEdit:
		// Who is told that it is done sends events, which are for it from its control record on.
		if late := s.plane.awaitRecords(ctx, func(c control.Config) bool { return c.Connector == j.Connector }); late != nil && ctx.Err() == nil {
			s.logger.Warn("a connector is stored, and its control record comes later", "connector", j.Connector, "error", late)
		}
	}
	if done, ok := out.(control.ApplyDone); ok {
		out = showApplied(done.Result, done.DryRun)
	}
	return out, err
}

// noting gives what notes how far a job is, for whoever asks for it. note is called by one goroutine at a time; end waits
// for the last.
func (s *system) noting(ctx context.Context, j control.Job) (note func(any), end func()) {
	p := newProgress(func(v json.RawMessage) error { return s.plane.store.JobProgress(ctx, j.ID, v) })
	note = func(at any) {
		b, err := json.Marshal(at)
		if err != nil {
			panic("app: progress of plain values did not encode: " + err.Error())
		}
		p.put(b)
	}
	return note, func() {
		if lost := p.end(); lost != nil && ctx.Err() == nil {
			s.logger.Error("how far a job is could not be noted", "job", j.ID, "error", lost) // it goes on: only its page is behind
		}
	}
}

// replayProgress is how far a replay is.
type replayProgress struct {
	Doing string `json:"doing"` // looking, writing
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"` // 0: not known
}

// progressEvery is how often at most the progress of a job is written.
const progressEvery = 250 * time.Millisecond

// progress writes the newest of the values that it is given, without holding up whoever gives them.
type progress struct {
	newest chan json.RawMessage
	ending chan struct{}
	ended  chan error
}

func newProgress(write func(json.RawMessage) error) *progress {
	p := &progress{make(chan json.RawMessage, 1), make(chan struct{}), make(chan error, 1)}
	go func() {
		var failed error
		for v := range p.newest {
			if err := write(v); err != nil {
				failed = err
			}
			select {
			case <-p.ending:
			case <-time.After(progressEvery):
			}
		}
		p.ended <- failed
	}()
	return p
}

// put is called by one goroutine at a time.
func (p *progress) put(v json.RawMessage) {
	select {
	case <-p.newest: // not written yet, and past
	default:
	}
	p.newest <- v
}

// end returns once the last value is written. Errors: that of the last write that failed.
func (p *progress) end() error {
	close(p.ending)
	close(p.newest)
	return <-p.ended
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
	note, end := s.noting(ctx, j)
	defer end()
	in.Progress = func(doing string, done, total int64) { note(replayProgress{doing, done, total}) }
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
