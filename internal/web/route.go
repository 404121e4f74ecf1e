package web

import (
	"context"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// route is one row of the API's table.
type route struct {
	name    string        // of the operation: launchConnector
	method  string        // of HTTP
	path    string        // below /api/v1, as http.ServeMux has it: /workspaces/{workspace}/connectors
	right   control.Right // that the actor must have; in the workspace of the path where the right is one's
	group   string        // under which the description lists it: connectors
	summary string        // one sentence
	status  int           // of the answer when all is well; 204: without a body
	op      operation
	asks    bool // it only shows, though its method says otherwise: open to tokens that only read

	// rules are those that the operation holds its input to, without doing it, and may be nil. They are asked where the input
	// could not be read whole, so that all that is wrong with it is said at once. They give invalid, or whatever else.
	rules func(c *call, in any) error

	maxBody   int64        // bytes of the body; 0: 1 MiB
	also      []fault.Code // errors that rows like this do not have: see route.fails
	versioned *versions    // of the thing that it is about: answers carry its ETag, changes heed If-Match; nil: it has none
}

// operation is what a row takes, gives and does.
//
// The input is a struct. Its fields are read from where their tag says: path:"connector", query:"limit", header:"Accept-Language", or body:"" for
// the JSON body, of which there is one at most. The parameter {workspace} is none of its fields: see call. Fields that
// are pointers, slices or have omitempty may be left out. The tags doc and enum describe fields, there and in client's
// types. A parameter of the query may be left out unless its tag says query:"bucket,required". An input without a body
// refuses one, but for {}.
//
// The output is what the answer shows as JSON; none for no body.
type operation struct {
	in, out reflect.Type
	or      reflect.Type // of the other answer that there may be, in place of out; nil: none
	orWith  int          // its status
	run     func(c *call, in any) (out any, err error)
}

// op makes an operation of a function.
func op[In, Out any](do func(c *call, in In) (Out, error)) operation {
	return operation{in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), run: func(c *call, in any) (any, error) { return do(c, in.(In)) }}
}

// refused is the error of these problems; nil if there are none.
func refused(problems []fault.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &fault.Error{Code: fault.Invalid, Fields: problems}
}

// look makes rules of a function.
func look[In any](rules func(c *call, in In) error) func(*call, any) error {
	return func(c *call, in any) error { return rules(c, in.(In)) }
}

// opOr makes an operation of a function that gives an Out, or else an Or, which is answered with a status of its own:
// 202 with a check where a change has to wait for one.
func opOr[In, Out, Or any](with int, do func(c *call, in In) (any, error)) operation {
	o := op[In, Out](nil)
	o.or, o.orWith, o.run = reflect.TypeFor[Or](), with, func(c *call, in any) (any, error) { return do(c, in.(In)) }
	return o
}

// none is an input or output that there is none of.
type none struct{}

// call is one request, with what is known before its function runs.
type call struct {
	context.Context // has the actor, see control.ActorOf
	api             *api
	row             route
	r               *http.Request
	header          http.Header // of the answer
	actor           control.Actor
	session         control.Session   // zero: came with a token, or unknown
	workspace       control.Workspace // of the path; zero: it names none
}

// paged is embedded in inputs of lists.
type paged struct {
	Cursor string `query:"cursor" doc:"What the page before gave as next."`
	Limit  *int   `query:"limit" doc:"Items at most: 1 to 500; 100 if it is left out."`
}

// versions are those of a thing, as the log of changes tells of them.
type versions struct {
	actions []string             // by which a version comes about, in the log's words; all on one kind of thing
	id      func(c *call) string // of the thing that a call is about
}

// kind is that of the thing in the log of changes.
func (v *versions) kind() string {
	kind, _, _ := strings.Cut(v.actions[0], ".")
	return kind
}

// The things that have versions.
var (
	versionsOfMe = &versions{[]string{"member.edit"}, func(c *call) string { return string(c.actor.Member) }}

	versionsOfWorkspace = &versions{[]string{"workspace.update", "workspace.create"}, func(c *call) string { return workspaceID(c.workspace.Number) }}

	versionsOfConnector = &versions{[]string{"connector.edit", "connector.launch", "connector.pause", "connector.resume", "connector.upgrade", "connector.delete"},
		func(c *call) string { return c.r.PathValue("connector") }}

	versionsOfDraft = &versions{[]string{"draft.save"}, func(c *call) string { return c.r.PathValue("draft") }}

	versionsOfMember = &versions{[]string{"member.edit", "member.join"}, func(c *call) string { return c.r.PathValue("member") }}

	versionsOfPerson = &versions{[]string{"member.edit", "member.create"}, func(c *call) string { return c.r.PathValue("member") }}

	versionsOfExport = &versions{[]string{"data_export.save", "data_export.unlink"}, func(*call) string { return control.DataExportID }}
)

// workspaceID is how a workspace's number stands in answers and addresses, where its name does as well.
func workspaceID(number uint32) string { return strconv.FormatUint(uint64(number), 10) }
