package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// errands is a process that does jobs and nothing else.
type errands struct {
	*system
	t      *testing.T
	silent atomic.Bool // nobody writes control records
}

// withErrands runs f in a bubble, with a database, two workspaces, 7 and 8, and checks that pass.
func withErrands(t *testing.T, f func(t *testing.T, e *errands)) {
	t.Helper()
	dir := t.TempDir()
	catalogue, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		db := openTestStore(t, dir)
		e := &errands{system: &system{logger: slog.New(slog.DiscardHandler), plane: &plane{store: db}, asked: newBell()}, t: t}
		e.rules = &control.Plane{Store: db, Catalogue: catalogue, Cluster: "prod-01", Zone: "default", Check: passing}
		for n, name := range map[uint32]string{7: "acme", 8: "other"} {
			e.must(db.CreateWorkspace(t.Context(), control.Workspace{Number: n, Name: name, UnknownFields: control.RejectUnknown, Language: "en", CreatedAt: time.Now()}))
		}
		e.must(db.CreateMember(t.Context(), control.Member{ID: ann.Member, Email: ann.Name, Installation: true, CreatedAt: time.Now()}, control.Lock{}, nil))
		f(t, e)
	})
}

func (e *errands) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *errands) wish(name, bucket string) control.Edit {
	key := secret.New("hunter2hunter2")
	return control.Edit{Name: &name, ContactEmail: new("data@acme.example"), Bucket: &bucket, Folder: &name, Region: new("us-east-1"),
		AccessKeyID: new("AKIAIOSFODNN7EXAMPLE"), SecretAccessKey: &key, Events: []string{"all"}}
}

// ann asks for everything.
var ann = control.Actor{Member: "ann", Name: "ann@acme.example", Via: "session", Installation: true}

func (e *errands) launch(workspace uint32, name, bucket string) control.Job {
	e.t.Helper()
	j, err := e.rules.AskLaunch(control.WithActor(e.t.Context(), ann), workspace, e.wish(name, bucket))
	e.must(err)
	e.asked.ring()
	return j
}

// work does jobs until the function that it gives is called.
func (e *errands) work() (stop func()) {
	ctx, cancel := context.WithCancel(e.t.Context())
	ended := make(chan struct{})
	go func() {
		e.runJobs(ctx, nil)
		close(ended)
	}()
	recorded := make(chan struct{})
	go func() {
		e.record(ctx)
		close(recorded)
	}()
	return func() {
		cancel()
		<-ended
		<-recorded
	}
}

// record has configurations taken up as from control records, as the process does that owns the log.
func (e *errands) record(ctx context.Context) {
	for next := eventlog.Offset(0); sleep(ctx, 10*time.Millisecond); {
		pending, err := e.plane.store.PendingConfigs(ctx)
		var records []control.LoggedRecord
		for _, c := range pending {
			records = append(records, control.LoggedRecord{Offset: next, Workspace: c.Workspace, Record: control.Record{Kind: control.RecordConfig, Config: &c}})
			next++
		}
		if err == nil && len(records) > 0 && !e.silent.Load() {
			err = e.plane.store.ApplyControl(ctx, eventlog.ID{7}, next, records)
		}
		if err != nil && ctx.Err() == nil {
			e.t.Error(err)
		}
	}
}

func (e *errands) job(j control.Job) control.Job {
	e.t.Helper()
	j, err := e.plane.store.FindJob(e.t.Context(), j.ID)
	e.must(err)
	return j
}

// become waits until a job has a state.
func (e *errands) become(j control.Job, want control.JobState) control.Job {
	e.t.Helper()
	for range 1000 {
		if got := e.job(j); got.State == want {
			return got
		}
		time.Sleep(10 * time.Millisecond)
	}
	e.t.Fatalf("job %d is %s, want %s: %v", j.ID, e.job(j).State, want, e.job(j).Failure)
	return j
}

func passing(context.Context, bucket.CheckInput) (bucket.Report, error) {
	return bucket.Report{OK: true, Steps: []bucket.Step{{Action: "s3:PutObject", State: bucket.Passed}}}, nil
}

func TestSlowChecksOfOneCustomerHoldUpNobodyElse(t *testing.T) {
	withErrands(t, func(t *testing.T, e *errands) {
		var slow atomic.Int32
		open := make(chan struct{})
		e.rules.Check = func(ctx context.Context, in bucket.CheckInput) (bucket.Report, error) {
			if in.Access.Bucket == "slow-bucket" {
				slow.Add(1)
				<-open
			}
			return passing(ctx, in)
		}
		var theirs []control.Job
		for i := range control.JobsAtOnce + 2 {
			theirs = append(theirs, e.launch(7, fmt.Sprint("slow", i), "slow-bucket"))
		}
		defer e.work()()
		e.become(theirs[control.JobsAtOnce-1], control.JobRunning)
		e.become(e.launch(8, "quick", "quick-bucket"), control.JobDone)
		if n := slow.Load(); n != control.JobsAtOnce {
			t.Errorf("%d checks of one workspace at once, want %d", n, control.JobsAtOnce)
		}
		close(open)
		for _, j := range theirs {
			e.become(j, control.JobDone)
		}
	})
}

func TestALaunchIsDoneOnceEventsAreForIt(t *testing.T) {
	withErrands(t, func(t *testing.T, e *errands) {
		e.silent.Store(true)
		defer e.work()()
		j := e.launch(7, "warehouse", "bucket")
		e.become(j, control.JobRunning)
		time.Sleep(5 * time.Second)
		if got := e.job(j); got.State != control.JobRunning {
			t.Errorf("before its control record it is %s", got.State)
		}
		e.silent.Store(false)
		e.become(j, control.JobDone)
	})
}

func TestAJobOfThisProcessIsTakenUpAtOnce(t *testing.T) {
	withErrands(t, func(t *testing.T, e *errands) {
		defer e.work()()
		synctest.Wait()
		asked := time.Now()
		e.become(e.launch(7, "warehouse", "bucket"), control.JobDone)
		if took := time.Since(asked); took >= jobEvery {
			t.Errorf("it took %v", took)
		}
	})
}

func TestALaunchThatWasInterruptedHappensOnceInTheNameOfWhoAsked(t *testing.T) {
	withErrands(t, func(t *testing.T, e *errands) {
		var tries atomic.Int32
		e.rules.Check = func(ctx context.Context, in bucket.CheckInput) (bucket.Report, error) {
			if tries.Add(1) == 1 {
				<-ctx.Done()
				return bucket.Report{}, fault.From(ctx.Err(), fault.Unavailable, "check")
			}
			return passing(ctx, in)
		}
		j := e.launch(7, "warehouse", "bucket")
		stop := e.work()
		e.become(j, control.JobRunning)
		synctest.Wait() // it is written down as running before its check begins, which is what is interrupted
		stop()
		if got := e.job(j); got.State != control.JobRunning || len(got.Params) == 0 {
			t.Fatalf("after the first process it is %s, with %d bytes of parameters", got.State, len(got.Params))
		}
		defer e.work()()
		done := e.become(j, control.JobDone)
		if string(done.Result) != fmt.Sprintf(`{"connector":%q}`, j.Connector) || len(done.Params) > 0 {
			t.Errorf("result %s, parameters %s", done.Result, done.Params)
		}
		cs, err := e.plane.store.Connectors(t.Context(), 7)
		e.must(err)
		if len(cs) != 1 || cs[0].Connector != j.Connector {
			t.Errorf("connectors: %+v", cs)
		}
		if done.Actor.Name != ann.Name {
			t.Errorf("done for %q", done.Actor.Name)
		}
	})
}

func TestWhatACheckFoundIsSeenWhileItRunsAndAfterItFailed(t *testing.T) {
	withErrands(t, func(t *testing.T, e *errands) {
		open := make(chan struct{})
		e.rules.Check = func(_ context.Context, in bucket.CheckInput) (bucket.Report, error) {
			failed := bucket.Step{Action: "s3:PutObject", State: bucket.Failed, Problem: bucket.AccessDenied, Statement: "{}",
				Finding: bucket.Finding{Message: fault.Message{Text: "The policy does not allow it."}, Remedy: bucket.Remedy{bucket.JSON: "{}"}}}
			in.Progress(bucket.Step{Action: "s3:ListBucket", State: bucket.Passed})
			in.Progress(bucket.Step{Action: "s3:PutObject", State: bucket.Trying, Problem: bucket.AccessDenied, Left: time.Minute})
			<-open
			in.Progress(failed)
			return bucket.Report{Heading: fault.Message{Text: "S3 credentials are invalid"},
				Steps: []bucket.Step{{Action: "s3:ListBucket", State: bucket.Passed}, failed}}, nil
		}
		defer e.work()()
		j := e.launch(7, "warehouse", "bucket")
		e.become(j, control.JobRunning)
		var at control.JobProgress
		for range 100 {
			if b := e.job(j).Progress; len(b) > 0 {
				e.must(json.Unmarshal(b, &at))
			}
			if len(at.Checks) > 0 && len(at.Checks[0].Steps) == 2 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if len(at.Checks) != 1 || at.Checks[0].Left != 60 || at.Checks[0].Steps[1].State != bucket.Trying {
			t.Errorf("while it runs: %+v", at)
		}
		close(open)
		failed := e.become(j, control.JobFailed)
		at = control.JobProgress{}
		e.must(json.Unmarshal(failed.Progress, &at))
		if s := at.Checks[0].Steps[1]; s.State != bucket.Failed || s.Finding.Remedy[bucket.JSON] != "{}" || at.Checks[0].Left != 0 {
			t.Errorf("after it failed: %+v", at)
		}
		if f := failed.Failure; f == nil || f.Code != fault.Forbidden || len(f.Fields) != 1 || f.Fields[0].Field != "s3:PutObject" {
			t.Errorf("why: %+v", f)
		}
	})
}

func TestEditsOfAConnectorFollowOneAnother(t *testing.T) {
	withErrands(t, func(t *testing.T, e *errands) {
		var now, most atomic.Int32
		e.rules.Check = func(ctx context.Context, in bucket.CheckInput) (bucket.Report, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			time.Sleep(time.Second)
			return passing(ctx, in)
		}
		defer e.work()()
		c := e.become(e.launch(7, "warehouse", "bucket"), control.JobDone).Connector
		most.Store(0)
		var jobs []control.Job
		for i := range 3 {
			_, _, j, err := e.rules.AskEdit(t.Context(), 7, c, control.Edit{Folder: new(fmt.Sprint("folder", i))}, nil)
			e.must(err)
			jobs = append(jobs, *j)
		}
		e.asked.ring()
		for _, j := range jobs {
			e.become(j, control.JobDone)
		}
		got, err := e.plane.store.Connector(t.Context(), 7, c)
		e.must(err)
		if got.Destination.Folder != "folder2" || most.Load() != 1 {
			t.Errorf("folder %s, %d checks at once", got.Destination.Folder, most.Load())
		}
	})
}

func TestAnApplyTellsWhatItDidAsTheCommandDoes(t *testing.T) {
	withErrands(t, func(t *testing.T, e *errands) {
		defer e.work()()
		j, err := e.rules.AskApply(control.WithActor(t.Context(), ann), "apply.yaml", `
workspaces:
  - name: fresh
    api_keys: [{name: producer, scopes: [events.write]}]
  - name: acme
    connectors: [{name: broken, contact_email: a@b.example, events: [all], destination: {same_as: nothing}}]
`, nil, false)
		e.must(err)
		e.asked.ring()
		got := e.become(j, control.JobDone)
		var out client.Applied
		e.must(json.Unmarshal(got.Result, &out))
		if len(out.Failures) != 1 || out.Failures[0].Code != string(fault.Invalid) || len(out.Failures[0].Fields) == 0 {
			t.Errorf("failures: %s", got.Result)
		}
	})
}
