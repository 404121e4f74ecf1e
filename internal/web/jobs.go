package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

// jobRoutes are about work that goes on after its answer.
func (a *api) jobRoutes() []route {
	return []route{
		{name: "getCheck", method: http.MethodGet, path: "/checks/{check}", right: control.RightSignedIn, group: "work", status: http.StatusOK,
			summary: "Says how far a check is, and what waits for it.", op: op(a.getCheck)},
		{name: "listOpenChecks", method: http.MethodGet, path: "/workspaces/{workspace}/checks", right: control.RightView, group: "work", status: http.StatusOK,
			summary: "Lists the checks that have not ended, and what waits for them, oldest first.", op: op(a.listOpenChecks)},
		{name: "getJob", method: http.MethodGet, path: "/jobs/{job}", right: control.RightSignedIn, group: "work", status: http.StatusOK,
			summary: "Says how far a job is, and what came of it. API keys that an apply made are shown once, to the first who asks with a session or a token that may change things.", op: op(a.getJob)},
	}
}

// isCheck reports whether jobs of a kind are shown as checks.
func isCheck(k control.JobKind) bool {
	switch k {
	case control.JobLaunch, control.JobEdit, control.JobCheck, control.JobExportTest, control.JobExportSave:
		return true
	}
	return false
}

// job gives a job by its name, if the actor may see it: one of several workspaces is of whom asked for it alone, since
// it may show keys that it made. Errors: not_found, the same for what is not there and what may not be seen.
func (a *api) job(c *call, k kind, name string) (control.Job, error) {
	id, err := a.deps.IDs.number(k, name)
	if err != nil {
		return control.Job{}, err
	}
	j, err := a.deps.Store.FindJob(c, id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return j, err
	}
	may := j.Workspace != 0 && c.actor.May(control.RightView, j.Workspace) || j.Workspace == 0 && c.actor.Member != "" && c.actor.Member == j.Actor.Member
	if err != nil || !may || isCheck(j.Kind) != (k == checkID) {
		return j, fault.New(fault.NotFound, "", "There is nothing of this name.")
	}
	return j, nil
}

type checkIn struct {
	spoken
	Check string `path:"check"`
}

func (a *api) getCheck(c *call, in checkIn) (client.Check, error) {
	j, err := a.job(c, checkID, in.Check)
	if err != nil {
		return client.Check{}, err
	}
	return a.showCheck(c, j)
}

type openChecksIn struct {
	paged
	spoken
	Connector control.ConnectorID `query:"connector" doc:"Only those of this connector."`
}

func (a *api) listOpenChecks(c *call, in openChecksIn) (out client.Page[client.Check], err error) {
	all, err := a.deps.Store.OpenJobs(c, c.workspace.Number)
	if err != nil {
		return out, err
	}
	jobs := slices.DeleteFunc(all, func(j control.Job) bool { return !isCheck(j.Kind) || in.Connector != "" && j.Connector != in.Connector })
	var failed error
	out, err = pageOf(c, in.paged, jobs, func(j control.Job) int64 { return j.ID }, func(j control.Job) client.Check {
		shown, err := a.showCheck(c, j)
		failed = errors.Join(failed, err)
		return shown
	})
	return out, errors.Join(err, failed)
}

type jobIn struct {
	spoken
	Job string `path:"job"`
}

func (a *api) getJob(c *call, in jobIn) (client.Job, error) {
	j, err := a.job(c, jobID, in.Job)
	if err != nil {
		return client.Job{}, err
	}
	left, keys := withoutKeys(j.Result)
	if keys && !c.actor.ReadOnly && c.r.Method == http.MethodGet {
		if j.Result, err = a.deps.Store.TakeResult(c, j.ID, left); err != nil {
			return client.Job{}, err
		}
	} else {
		j.Result = left
	}
	return a.showJob(c, j)
}

// withoutKeys gives the result of a job without the API keys that an apply made, and whether it had any.
func withoutKeys(result json.RawMessage) (left json.RawMessage, had bool) {
	var r map[string]any
	if json.Unmarshal(result, &r) != nil {
		return result, false // none yet; what else it is, is told where it is shown
	}
	made, _ := r["keys"].([]any)
	for _, k := range made {
		if k, ok := k.(map[string]any); ok && k["key"] != nil {
			delete(k, "key")
			had = true
		}
	}
	if !had {
		return result, false
	}
	left, err := json.Marshal(r)
	if err != nil {
		panic("web: what was JSON did not encode: " + err.Error())
	}
	return left, true
}

// begun answers with the check that j is, and says where it is watched.
func (a *api) begun(c *call, j control.Job, err error) (client.Check, error) {
	if err != nil {
		return client.Check{}, err
	}
	a.deps.Wake()
	c.location("/checks/%s", a.deps.IDs.name(checkID, j.ID))
	return a.showCheck(c, j)
}

// began answers with the job of that number, and says where it is watched.
func (a *api) began(c *call, id int64, err error) (client.Job, error) {
	if err != nil {
		return client.Job{}, err
	}
	a.deps.Wake()
	c.location("/jobs/%s", a.deps.IDs.name(jobID, id))
	j, err := a.deps.Store.FindJob(c, id)
	if err != nil {
		return client.Job{}, err
	}
	j.Result, _ = withoutKeys(j.Result) // this answer may be kept for a repetition
	return a.showJob(c, j)
}

var noServer = fault.Message{Key: "check.no_server", Text: "No server works on the log at the moment. This is done as soon as one does."}

// note says why j waits, where that is not only its turn, and which job goes first if it is one of the workspace; 0: none.
func (a *api) note(c *call, j control.Job) (why string, first int64, err error) {
	if j.State != control.JobWaiting {
		return "", 0, nil
	}
	worked, err := a.deps.Store.Worked(c)
	if err != nil {
		return "", 0, err
	}
	if !worked {
		return text.Say(c.reader(), noServer, nil), 0, nil
	}
	if !isCheck(j.Kind) {
		return "", 0, nil
	}
	others, err := a.deps.Store.OpenJobs(c, j.Workspace)
	running := 0
	for _, o := range others {
		if o.ID < j.ID && j.Exclusive() != "" && o.Exclusive() == j.Exclusive() {
			key := "check.behind"
			if j.Kind == control.JobExportSave {
				key = "check.behind_exports"
			}
			return text.T(c.reader(), key, nil), o.ID, err
		}
		if o.State == control.JobRunning {
			running++
		}
	}
	if running >= control.JobsAtOnce {
		why = text.T(c.reader(), "check.busy", text.Params{"n": control.JobsAtOnce})
	}
	return why, 0, err
}

func (a *api) showJob(c *call, j control.Job) (client.Job, error) {
	note, _, err := a.note(c, j)
	out := client.Job{ID: a.deps.IDs.name(jobID, j.ID), Kind: string(j.Kind), State: string(j.State), Connector: string(j.Connector),
		Error: showError(c.reader(), j.Failure), Note: note, CreatedAt: j.CreatedAt, DoneAt: maybe(j.DoneAt)}
	for _, part := range []struct {
		from json.RawMessage
		to   *map[string]any
	}{{j.Progress, &out.Progress}, {j.Result, &out.Result}} {
		if err == nil && len(part.from) > 0 {
			err = fault.From(json.Unmarshal(part.from, part.to), fault.Corrupt, "read the job")
		}
	}
	return out, err
}

func (a *api) showCheck(c *call, j control.Job) (client.Check, error) {
	note, first, err := a.note(c, j)
	if err != nil {
		return client.Check{}, err
	}
	out := client.Check{ID: a.deps.IDs.name(checkID, j.ID), For: string(j.Kind), Connector: string(j.Connector), Error: showError(c.reader(), a.late(c, j)), Note: note,
		CreatedAt: j.CreatedAt, DoneAt: maybe(j.DoneAt)}
	if first != 0 {
		out.Behind = a.deps.IDs.name(checkID, first)
	}
	out.State = string(j.State)
	switch j.State {
	case control.JobDone:
		out.State = "passed"
	case control.JobFailed:
		out.State = "failed"
	}
	if len(j.Progress) > 0 {
		var at control.JobProgress
		if err := json.Unmarshal(j.Progress, &at); err != nil {
			return out, fault.From(err, fault.Corrupt, "read the check")
		}
		if len(at.Checks) > 0 { // those of earlier folders, if any follow, are told in words among the changes
			first := at.Checks[0]
			out.ByRole, out.Steps, out.Notes = first.ByRole, showSteps(c.reader(), first.Steps), showNotes(c.reader(), first.Notes)
			if n := len(out.Steps); n > 0 {
				out.Steps[n-1].LeftSecs = first.Left
			}
		}
	}
	if len(j.Result) > 0 && (j.Kind == control.JobExportTest || j.Kind == control.JobExportSave) {
		var done control.DataExportDone
		if err := json.Unmarshal(j.Result, &done); err != nil {
			return out, fault.From(err, fault.Corrupt, "read the check")
		}
		out.Changes, out.AskedExport = done.Changes, new(showExportEdit(done.Asked))
	} else if len(j.Result) > 0 {
		var done control.EditDone
		if err := json.Unmarshal(j.Result, &done); err != nil {
			return out, fault.From(err, fault.Corrupt, "read the check")
		}
		out.Changes = done.Changes
		for _, folder := range done.Kept {
			out.Notes = append(out.Notes, client.CheckNote{Message: text.T(c.reader(), "check.kept", text.Params{"folder": cmp.Or(folder, "/")})})
		}
		if j.State == control.JobFailed && done.Asked != nil {
			out.Asked = new(showEdit(*done.Asked))
		}
	}
	return out, nil
}

// late gives the failure of a check; of one whose change was overtaken, with who was quicker, for who may change the thing.
func (a *api) late(c *call, j control.Job) *fault.Error {
	f := j.Failure
	if f == nil || f.Code != fault.Stale || !c.actor.May(control.RightChange, j.Workspace) {
		return f
	}
	v, id := versionsOfConnector, string(j.Connector)
	if j.Kind == control.JobExportSave {
		v, id = versionsOfExport, control.DataExportID
	}
	err := a.overtaken(c, v, j.Workspace, id, j.DoneAt, f)
	leave(c.r.Context(), err)
	return fault.As(err)
}

// showError gives a job's failure as an answer says it. What no catalogue has is English for who reads that; others are
// told by the code.
func showError(l text.Language, f *fault.Error) *client.Error {
	if f == nil {
		return nil
	}
	out := &client.Error{Code: string(f.Code), Message: text.Say(l, f.Msg, f.Params), Hint: text.Say(l, f.Hint, f.Params)}
	if l != text.English && f.Msg.Key == "" && len(f.Fields) == 0 || out.Message == "" && len(f.Fields) == 0 {
		out.Message = text.T(l, Headings[f.Code], nil)
	}
	if l != text.English && f.Hint.Key == "" {
		out.Hint = ""
	}
	for _, p := range f.Fields {
		message := p.Message // which may say more than the catalogue's
		if l != text.English {
			message = text.Problem(l, p)
		}
		out.Fields = append(out.Fields, client.FieldProblem{Field: p.Field, Code: p.Code, Message: message})
	}
	return out
}

func showSteps(l text.Language, steps []bucket.Step) []client.CheckStep {
	out := make([]client.CheckStep, len(steps))
	for i, s := range steps {
		f := s.Finding
		out[i] = client.CheckStep{Action: s.Action, State: string(s.State), Problem: string(s.Problem), Message: text.Say(l, f.Message, f.Params), Hint: text.Say(l, f.Hint, f.Params),
			Said: f.Said, Remedy: showRemedy(f.Remedy), Statement: s.Statement}
	}
	return out
}

func showNotes(l text.Language, notes []bucket.Finding) []client.CheckNote {
	out := make([]client.CheckNote, len(notes))
	for i, n := range notes {
		out[i] = client.CheckNote{Message: text.Say(l, n.Message, n.Params), Hint: text.Say(l, n.Hint, n.Params), Said: n.Said, Remedy: showRemedy(n.Remedy)}
	}
	return out
}

func showRemedy(r bucket.Remedy) map[string]string {
	if len(r) == 0 {
		return nil
	}
	out := map[string]string{}
	for f, text := range r {
		out[string(f)] = text
	}
	return out
}
