package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
)

// The addresses of requests about people. Names, limits and texts are the vendor's. Source: its REST API, "User data".
const (
	TrackPath             = "/users/track"
	BulkTrackPath         = "/users/track/bulk"
	NewAliasPath          = "/users/alias/new"
	UpdateAliasPath       = "/users/alias/update"
	IdentifyPath          = "/users/identify"
	MergePath             = "/users/merge"
	DeletePath            = "/users/delete"
	RenameExternalIDsPath = "/users/external_ids/rename"
	RemoveExternalIDsPath = "/users/external_ids/remove"
)

// CallPaths are the addresses of Calls.
func CallPaths() []string {
	return []string{TrackPath, BulkTrackPath, NewAliasPath, UpdateAliasPath, IdentifyPath, MergePath, DeletePath, RenameExternalIDsPath, RemoveExternalIDsPath}
}

// call is one address.
type call struct {
	path    string
	scope   control.Scope
	quota   *httpd.Quota
	maxBody int64
	alone   bool // what it does to identifiers has to be seen by the next request of the workspace
	read    func(*task) (job, error)
}

// job is what a request asks for, once it was read.
type job interface {
	// who gives whom it names.
	who() []named
	// run finds the people and puts into t's batch what is to be appended.
	run(t *task) error
	// reply is the answer, which has to be the same for a repetition, of which prior is kept and run was not called.
	reply(t *task, prior *eventlog.Answer) (status int, body any)
}

// Calls are the handlers for requests about people, by address. Each answers every method.
func (in *Ingest) Calls() map[string]http.Handler {
	lifecycle, ids := httpd.NewQuota(20_000, time.Minute), httpd.NewQuota(1_000, time.Minute)
	calls := []call{
		{TrackPath, control.ScopeUsersTrack, httpd.NewQuota(3_000, 3*time.Second), 16 << 20, false, func(t *task) (job, error) { return readTrack(t, in.cfg.TrackObjects, 0) }},
		{BulkTrackPath, "users.track.bulk", httpd.NewQuota(50, time.Second), 2 << 20, false, func(t *task) (job, error) { return readTrack(t, 1000, 100) }},
		{NewAliasPath, "users.alias.new", lifecycle, 1 << 20, true, readNewAliases},
		{UpdateAliasPath, "users.alias.update", lifecycle, 1 << 20, true, readAliasUpdates},
		{IdentifyPath, "users.identify", lifecycle, 1 << 20, true, readIdentify},
		{MergePath, "users.merge", lifecycle, 1 << 20, true, readMerge},
		{DeletePath, "users.delete", lifecycle, 1 << 20, true, readDelete},
		{RenameExternalIDsPath, "users.external_ids.rename", ids, 1 << 20, true, readRenames},
		{RemoveExternalIDsPath, "users.external_ids.remove", ids, 1 << 20, true, readRemovals},
	}
	out := map[string]http.Handler{}
	for _, c := range calls {
		out[c.path] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { in.serveCall(w, r, c) })
	}
	return out
}

// fatal is a request that was refused whole, with the text by which the vendor's clients know why.
type fatal struct {
	err    *fault.Error
	text   string
	errors []objectError
}

func (f *fatal) Error() string { return f.err.Error() }
func (f *fatal) Unwrap() error { return f.err }

// refusal is a fatal whose text says it all.
func refusal(text string) error {
	return &fatal{err: fault.New(fault.Invalid, "", "%s", text), text: text}
}

// names are what the vendor's answers say of each code. Source: its page "Errors & responses".
var names = map[fault.Code]string{
	fault.Invalid: "Bad Request", fault.Unauthorized: "Unauthorized", fault.Forbidden: "Access Denied", fault.NotFound: "Not Found", fault.Conflict: "Bad Request",
	fault.TooLarge: "Max Input Length Exceeded", fault.UnsupportedMediaType: "Unsupported Media Type", fault.RateLimited: "Rate Limited", fault.Unavailable: "Service Unavailable",
}

// writeRefusal answers in the vendor's form, with what we know beside it.
func writeRefusal(w http.ResponseWriter, r *http.Request, status int, err error) {
	httpd.WriteErrorAs(w, r, status, err, func(p httpd.Problem) any {
		body := struct {
			Message   string          `json:"message"`
			Errors    []objectError   `json:"errors,omitempty"`
			Error     string          `json:"error"`
			Hint      string          `json:"hint,omitempty"`
			Fields    []fault.Problem `json:"fields,omitempty"`
			RequestID string          `json:"request_id,omitempty"`
		}{names[fault.CodeOf(err)], nil, p.Message, p.Hint, p.Fields, p.RequestID}
		if body.Message == "" {
			body.Message = "Internal Server Error"
		}
		if f, is := errors.AsType[*fatal](err); is {
			body.Message, body.Errors = f.text, f.errors
		}
		return body
	})
}

// Admit says who makes one of the vendor's calls, if they may make it now: known by an API key that has scope, and within q.
// What it finds to refuse is for Refuse, with the grant as far as it is known.
//
// Errors: unauthorized, forbidden, rate_limited, unavailable. Safe for concurrent use.
func (in *Ingest) Admit(w http.ResponseWriter, r *http.Request, scope control.Scope, q *httpd.Quota) (control.Grant, error) {
	g, err := in.admit(r, scope)
	if err == nil {
		err = q.Take(w, g.Workspace)
	}
	return g, err
}

// Refuse answers one of the vendor's calls with err, in the vendor's form. text is the vendor's for this very mistake; empty:
// that of the error's code.
func (in *Ingest) Refuse(w http.ResponseWriter, r *http.Request, g control.Grant, err error, text string) {
	if e := fault.As(err); text != "" && e != nil {
		err = &fatal{err: e, text: text}
	}
	in.refuseBy(w, r, g, err, writeRefusal)
}

// NotFound answers one of the vendor's addresses that there is not, in the vendor's form.
func NotFound(w http.ResponseWriter, r *http.Request) {
	writeRefusal(w, r, http.StatusNotFound, fault.New(fault.NotFound, "", "There is nothing at this address."))
}

// MethodNotAllowed answers one of the vendor's calls, which takes the method allow alone, in the vendor's form.
func (in *Ingest) MethodNotAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	writeRefusal(w, r, http.StatusMethodNotAllowed, &fatal{err: fault.New(fault.Invalid, "", "This address takes %s only.", allow), text: "Method Not Allowed"})
}

// serveCall answers one request about people.
func (in *Ingest) serveCall(w http.ResponseWriter, r *http.Request, c call) {
	if r.Method != http.MethodPost {
		in.MethodNotAllowed(w, r, http.MethodPost)
		return
	}
	g, err := in.Admit(w, r, c.scope, c.quota)
	if err == nil {
		err = in.takeCall(w, r, g, c)
	}
	if err != nil {
		in.Refuse(w, r, g, err, "")
	}
}

// takeCall reads an admitted request, appends what it makes as one commit and answers. An error means that nothing has
// been answered yet.
func (in *Ingest) takeCall(w http.ResponseWriter, r *http.Request, g control.Grant, c call) error {
	if f, err := formOf(r.Header); err != nil || f != whole {
		return fault.New(fault.UnsupportedMediaType, "", "Content-Type must be application/json.")
	}
	return in.with(r, g, func(q *request, enc encoding, idem string) error {
		q.maxBody = min(q.maxBody, c.maxBody)
		return q.call(w, r, c, enc, idem)
	})
}

// parsing is how much memory reading takes beside the body, as a multiple of it.
const parsing = 4

func (q *request) call(w http.ResponseWriter, r *http.Request, c call, enc encoding, idem string) error {
	if err := q.readBody(r, enc); err != nil {
		return err
	}
	if !q.take(parsing * int64(len(q.body))) {
		return noMemory()
	}
	t := q.task(r.Context())
	var kept eventlog.Answer
	if idem != "" {
		kept.Body = hashBody(c.path, q.body)
		prior, err := q.claimKey(r.Context(), idem)
		if err != nil {
			return err
		}
		if prior != nil {
			return q.replayCall(w, t, c, kept.Body, prior)
		}
	}
	j, err := t.parse(c)
	if err != nil {
		if q.noteRejected(t); len(t.errors) == 0 {
			q.refusedWhole(err)
		}
		return err
	}
	if err := t.enter(c.alone, j.who()); err != nil {
		return err
	}
	defer t.visit.leave()
	if err := j.run(t); err != nil {
		return err
	}
	status, body := j.reply(t, nil)
	if q.batch.Count() > 0 {
		if q.claim != nil {
			kept.Status, kept.Accepted, kept.Rejected = uint16(status), uint32(t.done), uint32(len(t.errors))
			q.batch.Claim, q.batch.Answer = q.claim, kept
		}
		size := q.batch.Size()
		if size > eventlog.MaxBatchBytes {
			return tooLong(eventlog.MaxBatchBytes)
		}
		q.holders.Add(1)
		if err := t.append(q.appended); err != nil {
			return err
		}
	}
	q.noteRejected(t)
	httpd.WriteJSON(w, status, body)
	return nil
}

// append appends the batch, and then lets identifiers name whom it says; done is called when the log has let go of the batch.
func (t *task) append(done func()) error {
	q, size := t.q, t.q.batch.Size()
	owed := control.IdentityMoves{Workspace: q.grant.Workspace, Log: q.in.log.ID(), Moves: t.moves}
	ends := t.visit.begins()
	_, err := q.in.append(t.ctx, &q.batch, func(r eventlog.Receipt, err error) {
		if owed.At = r.First; err != nil {
			owed.Moves = nil
		} else {
			t.visit.take(t.effects, r)
		}
		ends(owed)
		done()
	})
	if err != nil {
		return err
	}
	if q.in.hooks.OnAccepted != nil && t.events > 0 {
		q.in.hooks.OnAccepted(q.grant, t.events, size)
	}
	if err := t.people.pay(t.ctx, t.visit.room); err != nil {
		q.in.logger.Warn("identifiers follow a change of people later than their request", "workspace", q.grant.Workspace, "error", err)
	}
	t.people.tidy(t.ctx)
	return nil
}

// replayCall answers what was answered before: from the body, which is the same.
func (q *request) replayCall(w http.ResponseWriter, t *task, c call, body [16]byte, prior *eventlog.Answer) error {
	if prior.Body != body {
		return q.replay(w, body, prior)
	}
	j, err := t.parse(c)
	if err != nil {
		return err
	}
	if q.in.hooks.OnReplayed != nil {
		q.in.hooks.OnReplayed(q.grant)
	}
	w.Header().Set(ReplayedHeader, "true")
	_, answer := j.reply(t, prior)
	httpd.WriteJSON(w, int(prior.Status), answer)
	return nil
}

// noteRejected keeps and counts the objects that were not taken.
func (q *request) noteRejected(t *task) {
	if len(t.errors) == 0 {
		return
	}
	q.in.rejected.add(q.grant.Key, len(t.errors), t.kept)
	if q.in.hooks.OnRejected != nil {
		codes := map[string]int{}
		for _, e := range t.errors {
			codes[e.code]++
		}
		for code, n := range codes {
			q.in.hooks.OnRejected(q.grant, code, n)
		}
	}
}

// task is what one request about people does.
type task struct {
	q      *request
	people *persons
	ctx    context.Context
	now    time.Time
	body   object
	errors []objectError
	kept   []control.Rejection
	moves  []control.IdentityMove // once the batch is durable
	events int                    // in the batch, changes left out
	done   int                    // of what was asked for, as answers count it

	visit   *visit
	effects []effect                               // of the batch
	own     *ahead                                 // the same, by place in the batch
	memory  map[control.Identifier][]control.Known // whom identifiers name, but for what own does to addresses
	known   map[control.PersonID]control.Known     // people there
}

func (q *request) task(ctx context.Context) *task {
	return &task{q: q, people: &q.in.people, ctx: context.WithoutCancel(ctx), now: time.Now(),
		own: newAhead(0), memory: map[control.Identifier][]control.Known{}, known: map[control.PersonID]control.Known{}}
}

// enter begins the visit of a request that names people.
func (t *task) enter(alone bool, who []named) (err error) {
	t.visit, err = t.people.enter(t.ctx, t.q.grant.Workspace, alone, addresses(who))
	return err
}

// objectError is one object of a request that was not taken.
type objectError struct {
	Type  string `json:"type"` // what is wrong with it
	Array string `json:"input_array"`
	Index int    `json:"index"`
	code  string
}

// object is a JSON object by names, which are told apart by case.
type object map[string]json.RawMessage

// null reports whether there is nothing, or null, under a name.
func (o object) null(name string) bool {
	v, has := o[name]
	return !has || string(v) == "null"
}

// parse reads the request.
func (t *task) parse(c call) (job, error) {
	body := t.q.body
	broken := &fatal{text: "Error while parsing request body. Please check your syntax."}
	if !utf8.Valid(body) {
		broken.err = fault.New(fault.Invalid, "read body", "The body is not UTF-8; nothing was appended.")
		return nil, broken
	}
	cur := cursor{b: body}
	if _, err := cur.value(); err != nil {
		broken.err = fault.As(err)
		return nil, broken
	}
	if cur.peek(); cur.i < len(body) {
		broken.err = fault.As(cur.broken(cur.i))
		return nil, broken
	}
	if err := json.Unmarshal(body, &t.body); err != nil || t.body == nil {
		broken.err = fault.New(fault.Invalid, "read body", "The body must be a JSON object; nothing was appended.")
		return nil, broken
	}
	if p := flaw(body, 1); p != nil { // what is deeper concerns its object alone
		broken.err = fault.New(fault.Invalid, "read body", "In the body %s; nothing was appended.", p.text)
		return nil, broken
	}
	return c.read(t)
}

// list gives the elements of an array of the body; nil: it is not there.
func (t *task) list(name string) ([]json.RawMessage, error) {
	if t.body.null(name) {
		return nil, nil
	}
	items := []json.RawMessage{}
	if json.Unmarshal(t.body[name], &items) != nil {
		return nil, refusal("'" + name + "' must be an array of objects")
	}
	return items, nil
}

// reject notes an object that is not taken.
func (t *task) reject(array string, index int, raw []byte, p *problem) {
	t.errors = append(t.errors, objectError{p.text, array, index, p.code})
	t.kept = keep(t.kept, rejection(index, raw, []fault.Problem{{Field: p.field, Code: p.code, Message: p.text}}))
}

// problem is what is wrong with an object.
type problem struct{ field, code, text string }

func wrong(field, code, text string) *problem { return &problem{field, code, text} }

// encode gives v as JSON, with < and > as they are.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("ingest: checked values did not encode: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// event puts an event into the batch; its id is given if the event has none. It reports what is wrong with it.
func (t *task) event(e map[string]any) (id string, _ *problem) {
	id = string(event.AppendUUID(nil, t.now))
	e["id"] = id
	q := t.q
	buf := q.batch.Begin()
	out, schema, res := q.reader.Read(buf, encode(e), event.Options{})
	if len(res.Problems) > 0 {
		q.batch.Cancel(buf)
		p := res.Problems[0]
		return "", wrong(p.Field, p.Code, p.Message)
	}
	q.batch.Commit(out, uint32(schema.ID))
	t.events++
	return id, nil
}

// change puts a change of a person into the batch. Identifiers name whom it says once that is durable, and for the steps that
// follow at once.
func (t *task) change(c control.PersonChange) {
	t.q.batch.Add(uint32(event.PersonChange), control.EncodePersonChange(c))
	t.affect(effectOf(c))
	for _, m := range c.Moves() {
		t.move(m)
	}
}

// affect notes what the last record of the batch does to somebody.
func (t *task) affect(e effect) {
	e.record = t.q.batch.Count() - 1
	t.effects = append(t.effects, e)
	t.own.take(e, eventlog.Offset(e.record), t.now)
}

// text reads a JSON text; false for anything else.
func text(raw json.RawMessage) (s string, _ bool) {
	return s, len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil
}
