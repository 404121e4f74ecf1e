package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/secret"
)

// address answers what is asked of one path, by method.
type address map[string]http.Handler

// ServeHTTP answers HEAD as GET, and OPTIONS with the methods that there are.
func (a address) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if h, ok := a[method]; ok {
		h.ServeHTTP(w, r)
		return
	}
	allow := append(sortedKeys(a), http.MethodOptions)
	if _, ok := a[http.MethodGet]; ok {
		allow = append(allow, http.MethodHead)
	}
	slices.Sort(allow)
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	httpd.MethodNotAllowed(w, r, strings.Join(allow, ", "))
}

// canonical refuses paths that http.ServeMux would redirect, as it would do with a page instead of an error.
func canonical(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.EscapedPath(); p != path.Clean(p) {
			httpd.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// reply is an answer that is ready to be written.
type reply struct {
	status int
	header http.Header // its own: Location, ETag, Set-Cookie
	body   []byte      // JSON; empty: none
	file   *attachment // in place of body
}

// serve answers the address of one row.
func (a *api) serve(r route) http.Handler {
	s := shapeOf(r.op.in)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := &call{Context: req.Context(), r: req, row: r, api: a, header: http.Header{}}
		out, err := a.do(c, s, w)
		if err != nil {
			a.refuse(c, w, err)
			return
		}
		h := w.Header()
		for k, v := range out.header {
			h[k] = v
		}
		if out.file != nil {
			if err := out.file.serve(w, req); err != nil {
				a.refuse(c, w, err)
			}
			return
		}
		if len(out.body) > 0 {
			h.Set("Content-Type", "application/json")
		}
		w.WriteHeader(out.status)
		_, _ = w.Write(out.body) // a client that is gone is no error of ours
	})
}

// do finds out who asks, what they may, and what they ask for, and has it done.
func (a *api) do(c *call, s shape, w http.ResponseWriter) (reply, error) {
	if err := a.identify(c); err != nil {
		return reply{}, err
	}
	if err := a.admit(c); err != nil {
		return reply{}, err
	}
	if err := a.allow(c); err != nil {
		return reply{}, err
	}
	if err := c.unversioned(); err != nil {
		return reply{}, err
	}
	limit := c.row.maxBody
	if limit == 0 {
		limit = maxBody
	}
	in, body, err := s.read(w, c.r, limit)
	if err != nil {
		return reply{}, c.wholly(in, err)
	}
	return a.once(c, body, func() (reply, error) {
		held := *c // only what the row does: keeping its answer needs no right
		held.Context = control.Holding(c.Context, c.row.right, c.workspace.Number)
		out, err := c.row.op.run(&held, in)
		if err != nil {
			return reply{}, err
		}
		return c.reply(out), nil
	})
}

// wholly adds to what could not be read of an input what the row's rules say of the rest. Of a field that was refused
// already, and of what lies in it, nothing more is said.
func (c *call) wholly(in any, err error) error {
	e := fault.As(err)
	if e == nil || len(e.Fields) == 0 || c.row.rules == nil {
		return err
	}
	more := fault.As(c.row.rules(c, in))
	if more == nil || more.Code != fault.Invalid {
		return err
	}
	read := e.Fields
	for _, p := range more.Fields {
		if !slices.ContainsFunc(read, func(had fault.Problem) bool {
			below, inside := strings.CutPrefix(p.Field, had.Field)
			return inside && (below == "" || below[0] == '.' || below[0] == '[')
		}) {
			e.Fields = append(e.Fields, p)
		}
	}
	return err
}

// reply makes the answer of what the row's function gave.
func (c *call) reply(out any) reply {
	status := c.row.status
	if reflect.TypeOf(out) == c.row.op.or {
		status = c.row.op.orWith
	}
	if status == http.StatusNoContent {
		return reply{status: status, header: c.header}
	}
	if x, ok := out.(attachment); ok {
		return reply{header: c.header, file: &x}
	}
	v := reflect.New(reflect.TypeOf(out)).Elem()
	v.Set(reflect.ValueOf(out))
	fillLists(v)
	body, err := json.Marshal(v.Interface())
	if err != nil { // out is of this program's making
		panic(fault.From(err, fault.Internal, "encode answer"))
	}
	return reply{status: status, header: c.header, body: append(body, '\n')}
}

// fillLists makes lists and maps that were never made empty ones, so that an answer has [] and {} where it has nothing,
// and never null. v can be set.
func fillLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == timeType {
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && !(strings.Contains(f.Tag.Get("json"), ",omit") && v.Field(i).IsZero()) { // what is left out stays so
				fillLists(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 { // bytes, or JSON as it is
			return
		}
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			fillLists(v.Index(i))
		}
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			fillLists(v.Elem())
		}
	}
}

// refuse answers err, with the cookies that were set all the same.
func (a *api) refuse(c *call, w http.ResponseWriter, err error) {
	status := fault.CodeOf(err).HTTP()
	if e := fault.As(err); e != nil {
		switch {
		case e.Code == fault.Invalid && len(e.Fields) > 0:
			status = http.StatusUnprocessableEntity
		case e.Code == fault.Stale && c.row.versioned != nil:
			err = a.overtaken(c, c.row.versioned, c.workspace.Number, c.row.versioned.id(c), time.Now(), err)
		}
	}
	for _, k := range c.header.Values("Set-Cookie") {
		w.Header().Add("Set-Cookie", k)
	}
	leave(c.r.Context(), err)
	httpd.WriteErrorStatus(w, c.r, status, err)
}

// overtakenBy is how many of the newest lines about a thing are looked through for the one that made its version.
const overtakenBy = 50

// overtaken says of the thing with that id, for which a change came too late at a time, who was quicker, when, and in
// which fields: what the log of changes has of it and no other thing, without values. It is for who may change the thing.
func (a *api) overtaken(ctx context.Context, v *versions, workspace uint32, id string, at time.Time, err error) error {
	if id == "" {
		return err
	}
	all, failed := a.deps.Store.Entries(ctx, control.EntryFilter{Workspace: workspace, Kind: v.kind(), SubjectID: id}, 0, overtakenBy)
	i := slices.IndexFunc(all, func(e control.Entry) bool { return slices.Contains(v.actions, e.Action) && !e.At.After(at) })
	if failed != nil || i < 0 {
		return err // it is stale all the same
	}
	e := all[i]
	fields := changed(e)
	out := &fault.Error{Code: fault.Stale, Hint: overtakenHint, Cause: err, Params: fault.Params{"who": e.Actor, "at": Moment(e.At), "fields": fields}}
	switch {
	case e.Before == nil:
		out.Msg = fault.Message{Key: "control.overtaken_made", Text: "{who} made it at {at}."}
	case e.After == nil:
		out.Msg = fault.Message{Key: "control.overtaken_removed", Text: "{who} removed it at {at}."}
	case len(fields) == 0:
		out.Msg = fault.Message{Key: "control.overtaken_changed", Text: "{who} changed it at {at}."}
	default:
		out.Msg = fault.Message{Key: "control.overtaken_fields", Text: "{who} changed it at {at}: {fields}."}
	}
	return out
}

var overtakenHint = fault.Message{Key: "control.overtaken_hint", Text: "Load it again and see whether your change still fits."}

// changed gives the names of the fields that differ.
func changed(e control.Entry) Fields {
	fields := map[string]json.RawMessage{}
	for _, side := range []json.RawMessage{e.Before, e.After} {
		if len(side) > 0 {
			_ = json.Unmarshal(side, &fields) // of this program's making; without it the sentence is shorter
		}
	}
	return sortedKeys(fields)
}

// cookie is the name of the cookie that holds a session's token.
func (a *api) cookie() string {
	if a.cfg.Secure {
		return "__Host-millrace" // browsers take it by HTTPS only, for this very host and every path
	}
	return "millrace"
}

// whose is what a cookie stands for; whoseKey is what it is remembered by.
type (
	whose struct {
		actor   control.Actor
		session control.Session
	}
	whoseKey struct{ token, address string }
)

// workspaceKey is what a workspace is remembered by: how the path names it.
type workspaceKey string

// identify finds out who asks: by a token, else by a session. Nobody is who has neither. Errors: unauthorized where
// somebody has to be known; forbidden: another site's page asks with the cookie of whoever looks at it.
func (a *api) identify(c *call) error {
	address := httpd.ClientAddr(c.r).String()
	token := httpd.Bearer(c.r)
	var err error
	if token != "" {
		c.actor, err = a.deps.People.ActorByToken(c, secret.New(token), address)
	} else {
		if err := a.origins.Check(c.r); err != nil {
			return fault.New(fault.Forbidden, "", "A page of another site may not do this.").WithCause(err)
		}
		var cookie *http.Cookie
		if cookie, err = c.r.Cookie(a.cookie()); err == nil {
			var known whose
			known, err = remembered(c, whoseKey{cookie.Value, address}, func() (x whose, err error) {
				x.actor, x.session, err = a.deps.People.ActorBySession(c, secret.New(cookie.Value), address)
				return x, err
			})
			c.actor, c.session = known.actor, known.session
		} else {
			err = fault.New(fault.Unauthorized, "", "This needs to be known who asks.").
				WithHint("Sign in, or send a personal token: Authorization: Bearer TOKEN.")
		}
	}
	if fault.Is(err, fault.Unauthorized) {
		c.actor, c.session = control.Actor{}, control.Session{}
		if wait := a.strangers.wait(neighbours(httpd.ClientAddr(c.r))); wait > 0 {
			return tooMany(wait)
		}
		if c.row.right == control.RightAnyone {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	c.actor.Address, c.actor.Request = address, httpd.RequestID(c.r)
	c.Context = control.WithActor(c.Context, c.actor)
	return nil
}

// admit bounds how often one session or token asks. Errors: rate_limited.
func (a *api) admit(c *call) error {
	if c.actor.Member == "" || countedAlready(c.r.Context()) {
		return nil // counted by address, or with the page that asks
	}
	if wait := a.members.wait(fmt.Sprintf("%s %s %s", c.actor.Member, c.actor.Session, c.actor.Via)); wait > 0 {
		return tooMany(wait)
	}
	return nil
}

func tooMany(wait time.Duration) error {
	return fault.New(fault.RateLimited, "", "Too many requests in a short time.").WithRetry(wait)
}

// allow finds the workspace of the path and looks at the actor's right. Errors: not_found, the same for a workspace
// that is not and for one that the actor may not see; forbidden.
func (a *api) allow(c *call) error {
	right := c.row.right
	ref := c.r.PathValue("workspace")
	if ref != "" {
		ref = strings.ToValidUTF8(strings.ReplaceAll(ref, "\x00", "\uFFFD"), "\uFFFD") // PostgreSQL refuses what is no text
		w, err := remembered(c, workspaceKey(ref), func() (control.Workspace, error) { return a.deps.Store.WorkspaceBy(c, ref) })
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if err != nil || !c.actor.May(control.RightView, w.Number) && !c.actor.May(control.RightExportUserData, w.Number) {
			return fault.New(fault.NotFound, "", "There is no such workspace, or none that you may see.")
		}
		c.workspace = w
	}
	changesBy := c.actor.ReadOnly && c.row.changes() && !c.row.asks && right != control.RightAnyone
	if c.actor.May(right, c.workspace.Number) && !changesBy {
		return nil
	}
	e := fault.New(fault.Forbidden, "", "This needs the right %q.", right)
	switch {
	case right == control.RightSession:
		return e.WithHint("Sign in on the dashboard; a personal token is not enough.")
	case c.actor.ReadOnly:
		return e.WithHint("The token only reads. Use one that may change things.")
	case ref != "":
		e = fault.New(fault.Forbidden, "", "This needs the right %q in the workspace %s.", right, c.workspace.Name)
		return e.WithHint("An administrator of the workspace can give it.")
	}
	return e.WithHint("An installation administrator can give it.")
}
