// Package compat answers the calls of Braze's REST API that read: segments, campaigns, Canvases, users, and what is
// counted of them and of events, purchases and sessions.
//
// The calls are a table: each row is an address with its scope, its quota, the parameters that it reads and the function
// that does it. Who asks is found out by Door, which is the ingest calls' own, so keys, quotas and refusals are the same on
// all of the vendor's addresses. Names, limits and forms of answers are the vendor's; docs/compatibility.md says where ours
// differ.
//
// Start reading at call, then at Calls.
package compat

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
)

// Door lets programs in by their API keys.
type Door interface {
	// Admit says who asks, if they may do now what takes scope, and counts the request against q.
	Admit(w http.ResponseWriter, r *http.Request, scope control.Scope, q *httpd.Quota) (control.Grant, error)
	// Refuse answers err in the vendor's form; text is the vendor's for this very mistake, or empty.
	Refuse(w http.ResponseWriter, r *http.Request, g control.Grant, err error, text string)
	// MethodNotAllowed answers a request of another method than allow, in the vendor's form.
	MethodNotAllowed(w http.ResponseWriter, r *http.Request, allow string)
}

// Deps are what the calls work with.
type Deps struct {
	Door   Door
	Store  Store
	People People
	// Writer gives what writes those fields of people, and those custom attributes. Errors: invalid, naming unknown fields.
	Writer  func(fields, custom []string, now time.Time) (Writer, error)
	Exports Exports
	// Link is the address at which a program gets the file of an export once it is done.
	Link func(e control.Export) string
	Now  func() time.Time // nil: time.Now
}

// Exports are what may be asked for of exports. See room control.
type Exports interface {
	AskExport(ctx context.Context, e control.Export) (control.Export, error)
	CancelExportsOf(ctx context.Context, workspace uint32, segment control.SegmentID) (n int, err error)
}

// Store is what the calls read of the control plane. Every method keeps to its workspace.
type Store interface {
	Segments(ctx context.Context, workspace uint32) ([]control.Segment, error)
	Segment(ctx context.Context, workspace uint32, id control.SegmentID) (control.Segment, error) // not_found
	Keys(ctx context.Context, workspace uint32) ([]control.APIKey, error)
	CampaignLabels(ctx context.Context, workspace uint32, kind control.NameKind) ([]control.CampaignLabel, error)
	CampaignLabel(ctx context.Context, workspace uint32, kind control.NameKind, id string) (control.CampaignLabel, error)
	Zone(ctx context.Context, workspace uint32) (*time.Location, error)
}

// People is what the calls read of what is made from events. Every method keeps to its workspace.
type People interface {
	// SegmentSizes gives how many people a segment held on the days from from to to, both included, of those on which they
	// were counted.
	SegmentSizes(ctx context.Context, workspace uint32, id control.SegmentID, from, to int32) ([]control.DaySize, error)
	Names(ctx context.Context, workspace uint32, kind control.NameKind) ([]control.Name, error)
	Name(ctx context.Context, workspace uint32, kind control.NameKind, name string) (control.Name, error) // not_found
	Stats(ctx context.Context, workspace uint32, names []int64, from, until int32) ([]control.Stat, error)
	Firsts(ctx context.Context, workspace uint32, names []int64, zone *time.Location, from, until int32) ([]control.Stat, error)
	Total(ctx context.Context, workspace uint32, count control.Counter, part string, until int32) (int64, error)

	Whom(ctx context.Context, workspace uint32, ids []control.Identifier) ([]control.Known, error)
	People(ctx context.Context, workspace uint32, ids []control.PersonID) ([]*control.Person, error)
	Done(ctx context.Context, who *control.Person) ([]control.Deed, error)
	Had(ctx context.Context, who *control.Person) ([]control.Had, error)
}

// call is one address.
type call struct {
	method string
	path   string
	scope  control.Scope // empty: the path, with dots for slashes
	quota  *httpd.Quota
	params []param
	run    func(*request) (answer, error)
}

// answer is what an answer says beside message.
type answer map[string]any

// request is one request of a call, admitted and read.
type request struct {
	context.Context
	Deps
	query
	workspace uint32
	key       control.KeyID
	http      *http.Request
}

// Calls are the handlers of the calls, by address. Each answers every method.
func Calls(d Deps) map[string]http.Handler {
	if d.Now == nil {
		d.Now = time.Now
	}
	out := map[string]http.Handler{}
	for _, c := range table() {
		out[c.path] = d.serve(c)
	}
	return out
}

// Paths are the addresses of Calls.
func Paths() (all []string) {
	for _, c := range table() {
		all = append(all, c.path)
	}
	return all
}

// table is the calls, with quotas of which nothing is used. Source of the limits: the vendor's page "API rate limits".
func table() []call {
	shared := httpd.NewQuota(250_000, time.Hour)
	return slices.Concat(
		segmentCalls(shared),
		campaignCalls(shared, httpd.NewQuota(50_000, time.Minute)),
		seriesCalls(shared, httpd.NewQuota(1_000, time.Hour)),
		exportCalls(shared),
	)
}

// allows is the scope that a call takes.
func (c call) allows() control.Scope {
	if c.scope != "" {
		return c.scope
	}
	return control.Scope(strings.ReplaceAll(c.path[1:], "/", "."))
}

// mistake is a request that is refused with the vendor's own text for it.
type mistake struct {
	err  *fault.Error
	text string
}

func (m *mistake) Error() string { return m.err.Error() }
func (m *mistake) Unwrap() error { return m.err }

// serve answers a call.
func (d Deps) serve(c call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != c.method && (r.Method != http.MethodHead || c.method != http.MethodGet) {
			d.Door.MethodNotAllowed(w, r, c.method)
			return
		}
		g, err := d.Door.Admit(w, r, c.allows(), c.quota)
		var out answer
		if err == nil {
			out, err = d.run(c, &request{Context: r.Context(), Deps: d, workspace: g.Workspace, key: g.Key, http: r})
		}
		if err != nil {
			text := ""
			if m, is := errors.AsType[*mistake](err); is {
				text, err = m.text, m.err
			}
			d.Door.Refuse(w, r, g, err, text)
			return
		}
		out["message"] = "success"
		httpd.WriteJSON(w, http.StatusOK, out)
	})
}

func (d Deps) run(c call, q *request) (answer, error) {
	zone, err := d.Store.Zone(q, q.workspace)
	if err == nil {
		q.query, err = read(q.http.URL.Query(), c.params, d.Now().In(zone))
	}
	if err != nil {
		return nil, err
	}
	return c.run(q)
}

// maxBody is how many bytes a body may have.
const maxBody = 1 << 20

// body reads the JSON object of a request that has one into v. Fields that v does not have are passed over, as the vendor
// does. Errors: unsupported_media_type, too_large, invalid.
func (q *request) body(v any) error {
	if form, _, err := mime.ParseMediaType(q.http.Header.Get("Content-Type")); err != nil || form != "application/json" {
		return fault.New(fault.UnsupportedMediaType, "", "Content-Type must be application/json.")
	}
	b, err := io.ReadAll(io.LimitReader(q.http.Body, maxBody+1))
	if err != nil {
		return fault.From(err, fault.Invalid, "read body")
	}
	if len(b) > maxBody {
		return fault.New(fault.TooLarge, "", "The body is larger than %d bytes.", maxBody)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return &mistake{fault.New(fault.Invalid, "", "The body is not the JSON object that this call takes.").WithCause(err),
			"Error while parsing request body. Please check your syntax."}
	}
	return nil
}
