package ingest

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
)

// EventsPath is the address of Events.
const EventsPath = "/v1/events"

// Events is the handler for EventsPath. It answers every method.
func (in *Ingest) Events() http.Handler { return http.HandlerFunc(in.serve) }

// request is the memory of one request; it is used again for later ones.
//
// While an append is under way two parties hold it, the handler and the append; the last one puts it back.
type request struct {
	in      *Ingest
	holders atomic.Int32
	spoilt  bool  // by a panic: not to be used again
	held    int64 // of the budget
	maxBody int64
	body    []byte
	reader  *event.Reader
	batch   eventlog.Batch
	claim   *eventlog.Claim
	grant   control.Grant
	options event.Options
	tally
}

// tally is what became of the events so far.
type tally struct {
	index     int // of the next event
	accepted  int
	rejected  int
	ignored   int  // fields
	addresses bool // see toldByEvents
	errors    []Error
	truncated bool
	codes     map[string]int // rejected events by their first problem
	kept      []control.Rejection
}

func (in *Ingest) request(g control.Grant) *request {
	q, _ := in.requests.Get().(*request)
	if q == nil {
		q = &request{in: in, reader: event.NewReader(in.cat)}
	}
	q.holders.Store(1)
	q.spoilt = true // until the handler comes to its end
	q.grant, q.maxBody = g, in.cfg.MaxBody
	q.options.IgnoreUnknown = g.UnknownFields == control.IgnoreUnknown
	q.batch.Reset(eventlog.Header{Workspace: g.Workspace, Kind: eventlog.Events})
	return q
}

// take takes memory of the budget until the request is put back.
func (q *request) take(n int64) bool {
	if !q.in.budget.take(n) {
		return false
	}
	q.held += n
	return true
}

// release ends one party's hold.
func (q *request) release() {
	if q.holders.Add(-1) > 0 {
		return
	}
	q.claim.Release()
	q.in.budget.give(q.held)
	if q.spoilt {
		return
	}
	q.claim, q.held = nil, 0
	if q.body = q.body[:0]; cap(q.body) > keptBuffer {
		q.body = nil
	}
	if q.batch.Size() > keptBuffer {
		q.batch = eventlog.Batch{}
	}
	clear(q.errors) // the sentences in it
	q.tally = tally{errors: q.errors[:0]}
	q.in.requests.Put(q)
}

// serve answers one request.
func (in *Ingest) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		httpd.MethodNotAllowed(w, r, http.MethodPost)
		return
	}
	g, err := in.admit(r, control.ScopeEventsWrite)
	if err != nil {
		in.refuse(w, r, g, err)
		return
	}
	if err := in.take(w, r, g); err != nil {
		in.refuse(w, r, g, err)
	}
}

// admit says who is asking, and whether he may now do what takes scope.
func (in *Ingest) admit(r *http.Request, scope control.Scope) (control.Grant, error) {
	client, now := httpd.ClientAddr(r), time.Now()
	g, err := in.keys.grant(r.Context(), httpd.Bearer(r), client)
	if err == nil {
		err = usable(g, client, now)
	}
	if err != nil {
		return g, err
	}
	in.uses.add(g.Key, now)
	if !g.Allows(scope) {
		return g, fault.New(fault.Forbidden, "", "The API key lacks the scope %s.", scope)
	}
	if in.limit != nil {
		if wait := in.limit(g); wait > 0 {
			return g, fault.New(fault.RateLimited, "", "Too many requests with this API key.").WithRetry(wait)
		}
	}
	return g, nil
}

// take reads the events of an admitted request, appends the good ones and answers. An error means that nothing has
// been answered yet.
func (in *Ingest) take(w http.ResponseWriter, r *http.Request, g control.Grant) error {
	f, err := formOf(r.Header)
	if err != nil {
		return err
	}
	return in.with(r, g, func(q *request, enc encoding, idem string) error { return q.answer(w, r, f, enc, idem) })
}

// with reads what the headers say of a body, and lends the memory of a request to do.
func (in *Ingest) with(r *http.Request, g control.Grant, do func(q *request, enc encoding, idem string) error) error {
	enc, err := encodingOf(r.Header)
	if err != nil {
		return err
	}
	idem, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	q := in.request(g)
	defer q.release()
	err = do(q, enc, idem)
	q.spoilt = false
	return err
}

func (q *request) answer(w http.ResponseWriter, r *http.Request, f form, enc encoding, idem string) error {
	in, g := q.in, q.grant
	if err := q.readBody(r, enc); err != nil {
		return err
	}
	var kept eventlog.Answer
	if idem != "" {
		kept.Body = hashBody(EventsPath, q.body)
		prior, err := q.claimKey(r.Context(), idem)
		if err != nil {
			return err
		}
		if prior != nil {
			return q.replay(w, kept.Body, prior)
		}
	}
	if err := frame(q.body, f, q.event); err != nil {
		q.refusedWhole(err)
		return err
	}
	status := http.StatusOK
	if q.accepted == 0 && q.rejected > 0 {
		status = http.StatusBadRequest
	}
	if q.accepted > 0 {
		if q.claim != nil {
			kept.Status, kept.Accepted, kept.Rejected = uint16(status), uint32(q.accepted), uint32(q.rejected)
			q.batch.Claim, q.batch.Answer = q.claim, kept
		}
		size := q.batch.Size()
		q.holders.Add(1)
		// The request's end is not the append's: a client that is gone must not take back what it may believe sent.
		if _, err := in.append(context.WithoutCancel(r.Context()), &q.batch, func(r eventlog.Receipt, err error) {
			if err == nil && q.addresses && in.people.store != nil {
				in.people.raise(g.Workspace, r.First+eventlog.Offset(q.accepted))
			}
			q.appended()
		}); err != nil {
			return err
		}
		if in.hooks.OnAccepted != nil {
			in.hooks.OnAccepted(g, q.accepted, size)
		}
		if in.hooks.OnIgnored != nil && q.ignored > 0 {
			in.hooks.OnIgnored(g, q.ignored)
		}
	}
	if q.rejected > 0 {
		in.rejected.add(g.Key, q.rejected, q.kept)
	}
	if in.hooks.OnRejected != nil {
		for code, n := range q.codes {
			in.hooks.OnRejected(g, code, n)
		}
	}
	writeResult(w, status, Result{q.accepted, q.rejected, q.errors, q.truncated, q.ignored})
	return nil
}

// appended is called when the log has let go of the batch. The next request with this key need not wait for the
// answer to leave.
func (q *request) appended() {
	q.claim.Release()
	q.release()
}

// event reads one event into the batch or notes why not. Errors: too_large, when the batch has become so.
func (q *request) event(raw []byte) error {
	if q.index == eventlog.MaxRecords {
		return fault.New(fault.TooLarge, "read events", "The request holds more than %d events; nothing was appended.", eventlog.MaxRecords).
			WithHint("Send the events in several requests.")
	}
	buf := q.batch.Begin()
	out, schema, res := q.reader.Read(buf, raw, q.options)
	if len(res.Problems) > 0 {
		q.batch.Cancel(buf)
		q.reject(raw, res.Problems)
		q.index++
		return nil
	}
	q.batch.Commit(out, uint32(schema.ID))
	q.index++
	q.accepted++
	q.addresses = q.addresses || toldByEvents(schema.Type.Name)
	q.ignored += res.Ignored
	if q.batch.Size() > eventlog.MaxBatchBytes {
		return fault.New(fault.TooLarge, "read events", "The request's events are larger than %d bytes encoded; nothing was appended.", eventlog.MaxBatchBytes).
			WithHint("Send the events in several requests.")
	}
	return nil
}

// maxErrors is how many problems an answer lists. Source: the product's address table.
const maxErrors = 100

func (q *request) reject(raw []byte, problems []fault.Problem) {
	q.rejected++
	if q.codes == nil {
		q.codes = map[string]int{}
	}
	q.codes[problems[0].Code]++
	q.kept = keep(q.kept, rejection(q.index, raw, problems))
	for _, p := range problems {
		if len(q.errors) == maxErrors {
			q.truncated = true
			return
		}
		q.errors = append(q.errors, Error{Index: q.index, Field: p.Field, Code: p.Code, Message: p.Message})
	}
}

// refuse answers a request that was refused whole.
func (in *Ingest) refuse(w http.ResponseWriter, r *http.Request, g control.Grant, err error) {
	in.refuseBy(w, r, g, err, httpd.WriteErrorStatus)
}

// refuseBy is refuse with an answer that write writes.
func (in *Ingest) refuseBy(w http.ResponseWriter, r *http.Request, g control.Grant, err error, write func(http.ResponseWriter, *http.Request, int, error)) {
	code := fault.CodeOf(err)
	status := code.HTTP()
	switch {
	case code == fault.Conflict: // a key used for two bodies; see replay
		status = http.StatusUnprocessableEntity
	case errors.Is(err, httpd.ErrSlowBody):
		status = http.StatusRequestTimeout
	case code == fault.UnsupportedMediaType:
		w.Header().Set("Accept-Encoding", "gzip, zstd") // what would do; RFC 9110 §15.5.16
	}
	if in.hooks.OnRefused != nil {
		in.hooks.OnRefused(g, code, status)
	}
	write(w, r, status, err)
	if code == fault.TooLarge || code == fault.Unavailable {
		in.drain(w, r)
	}
}

// How much of a refused body is still taken, beyond what a good one may have, and for how long.
const (
	drainMore = 8 << 20
	drainFor  = 10 * time.Second
)

// drain takes the rest of a body that was refused and answered. Many clients look for an answer only when they have
// sent everything: a connection that is closed before is reset, and the answer lost with it.
func (in *Ingest) drain(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > in.cfg.MaxBody && r.Header.Get("Expect") != "" {
		return // this one sends nothing before it was asked to
	}
	if http.NewResponseController(w).Flush() != nil {
		return // the client is gone
	}
	buf := make([]byte, 8<<10) // out of no budget: that may be what is spent
	left, until := in.cfg.MaxBody+drainMore, time.Now().Add(drainFor)
	for left > 0 && time.Now().Before(until) {
		n, err := r.Body.Read(buf)
		if left -= int64(n); err != nil {
			return // its end, or the client's
		}
	}
}
