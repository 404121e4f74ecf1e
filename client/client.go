// Package client asks Millrace's API, /api/v1.
//
//	c := client.New("https://millrace.example", os.Getenv("MILLRACE_TOKEN"))
//	check, err := c.LaunchConnector(ctx, "acme", client.ConnectorEdit{…})
//	check, err = c.AwaitCheck(ctx, check.ID, nil)
//
// A Client asks as the member whose personal token it has. It has a method for every operation of the API, of the same
// name; docs/api.md says what they do. Its types are the API's own: the server answers with them, and its description,
// /api/v1/openapi.json, is made from them. Fields of an edit that are nil stay as they are: new("text") sets one.
//
// Workspaces are named by name or id, everything else by id. Lists are iterators that ask for one page after the other.
// What is made is made once, however often the connection breaks: each call that makes something has an Idempotency-Key
// of its own. A server that is busy or starting is asked again, for minutes, or as long as the context lasts.
//
// Errors of the server are *Error, see HasCode. The package needs nothing but the standard library.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client asks one server as one member. Safe for concurrent use.
type Client struct {
	base  string
	token string
	// HTTP sends the requests; its time-out bounds each. It may be replaced before the first call.
	HTTP *http.Client
	// Once leaves it to the caller to ask a busy server again. It may be set before the first call.
	Once bool
	// Language is that of the sentences in answers that are told in one, such as pt-BR; empty: the member's. It may be set
	// before the first call.
	Language string
}

// New gives a client of the server at base, such as https://millrace.example, that shows the personal token. Without one
// it asks as nobody, until SignIn, Accept or AcceptAsMember begin a session, which it keeps as a browser would.
func New(base, token string) *Client {
	c := &Client{base: strings.TrimRight(base, "/"), token: token, HTTP: &http.Client{
		Timeout: 100 * time.Second,
		// The API does not redirect; whoever does shall not get the token, nor have it sent on in clear.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if token == "" {
		c.HTTP.Jar, _ = cookiejar.New(nil) // it fails never
	}
	return c
}

// Error is an answer of the server that is none of what was asked for.
type Error struct {
	Status    int            `json:"-"`       // of HTTP
	Code      string         `json:"code"`    // see docs/errors.md
	Message   string         `json:"message"` // in English
	Hint      string         `json:"hint,omitempty" doc:"What to do now."`
	Fields    []FieldProblem `json:"fields,omitempty" doc:"Everything that is wrong with the input."`
	RequestID string         `json:"request_id,omitempty" doc:"Under which the server's log has the request."`
	// RetryAfter is how long to wait before another try; 0: no advice.
	RetryAfter time.Duration `json:"-"`
}

// FieldProblem is what is wrong with one field of an input.
type FieldProblem struct {
	Field   string `json:"field" doc:"Its path in the input, as destination.bucket or events[2]."`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error gives the message with its field problems, on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "; %s: %s", f.Field, f.Message)
	}
	if b.Len() == 0 {
		fmt.Fprintf(&b, "the server answered with status %d", e.Status)
	}
	return b.String()
}

// HasCode reports whether err is an answer of the server with this code.
func HasCode(err error, code string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}

// Versioned is embedded in what has versions.
type Versioned struct {
	// ETag is the version that was read; in lists there is none. A change that is sent with it is refused, with the
	// code stale, if somebody else has changed the thing since.
	ETag string `json:"-"`
}

func (v *Versioned) took(etag string) { v.ETag = etag }

const (
	// maxAnswer bounds what is read of one answer.
	maxAnswer = 64 << 20

	// patience is for how long a busy server is asked again. A request whose first try was broken off is under way for up
	// to two minutes, to the server.
	patience = 3 * time.Minute
	// silence is for how long a server that cannot be reached is asked again.
	silence = 15 * time.Second

	firstWait = 200 * time.Millisecond
	lastWait  = 5 * time.Second
	lastLook  = 2 * time.Second // between two looks at what goes on
)

// request is one call.
type request struct {
	method  string
	path    string // below /api/v1, escaped
	query   url.Values
	match   string // ETag that a change is based on; empty: of whichever version there is
	creates bool   // made once under a key of its own
	accept  string // Accept-Language; empty: none
	in      any    // nil: no body
}

// answer is what came of it: all is well.
type answer struct {
	status int
	etag   string
	body   []byte
}

// do asks, and asks again while that is of use.
func (c *Client) do(ctx context.Context, q request) (answer, error) {
	var body []byte
	if q.in != nil {
		var err error
		if body, err = json.Marshal(q.in); err != nil {
			return answer{}, err
		}
	}
	key := ""
	if q.creates {
		key = rand.Text()
	}
	wait := firstWait
	for began := time.Now(); ; {
		a, err := c.try(ctx, q, key, body)
		if err == nil || c.Once || ctx.Err() != nil {
			return a, err
		}
		pause, limit := wait, silence
		if e, ok := errors.AsType[*Error](err); ok {
			pause, limit = max(pause, e.RetryAfter), patience
			if !e.passes() {
				return a, err
			}
		} else if q.method != http.MethodGet && key == "" { // it may have been done
			return a, err
		}
		if time.Since(began)+pause > limit {
			return a, err
		}
		if !sleep(ctx, pause) {
			return a, fmt.Errorf("%w, after: %w", context.Cause(ctx), err)
		}
		wait = min(2*wait, lastWait)
	}
}

// passes reports whether the same request may be answered otherwise in a while.
func (e *Error) passes() bool {
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable || e.Status == http.StatusConflict && e.RetryAfter > 0
}

// sleep reports whether it came to its end before ctx did.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// try asks once.
func (c *Client) try(ctx context.Context, q request, key string, body []byte) (answer, error) {
	a, err := c.send(ctx, c.HTTP, q, key, body)
	if err != nil {
		return answer{}, err
	}
	defer a.Body.Close() // all of it is read
	b, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer))
	if err != nil {
		return answer{}, err
	}
	if a.StatusCode >= 300 {
		return answer{}, failure(a, b)
	}
	return answer{a.StatusCode, a.Header.Get("ETag"), b}, nil
}

// stream asks once for what may be of any size and take any time.
func (c *Client) stream(ctx context.Context, q request) (io.ReadCloser, error) {
	patient := *c.HTTP
	patient.Timeout = 0
	a, err := c.send(ctx, &patient, q, "", nil)
	if err != nil {
		return nil, err
	}
	if a.StatusCode >= 300 {
		defer a.Body.Close()
		b, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer))
		if err != nil {
			return nil, err
		}
		return nil, failure(a, b)
	}
	return a.Body, nil
}

// send sends a request and gives the answer as it begins.
func (c *Client) send(ctx context.Context, by *http.Client, q request, key string, body []byte) (*http.Response, error) {
	at := c.base + "/api/v1" + q.path
	if len(q.query) > 0 {
		at += "?" + q.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, q.method, at, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"If-Match": q.match, "Idempotency-Key": key, "Accept-Language": q.accept} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if q.in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return by.Do(r)
}

func failure(a *http.Response, body []byte) error {
	e := &Error{}
	said := struct {
		Error *Error `json:"error"`
	}{e}
	if json.Unmarshal(body, &said) != nil || said.Error == nil { // whoever answered is no Millrace
		e = &Error{}
	}
	e.Status = a.StatusCode
	if at := a.Header.Get("Location"); at != "" && e.Message == "" {
		e.Message = fmt.Sprintf("the server answered with status %d and points to %s", e.Status, at)
	}
	if s, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

// read reads an answer.
func read[T any](a answer) (T, error) {
	var out T
	if err := json.Unmarshal(a.body, &out); err != nil {
		return out, fmt.Errorf("read the server's answer: %w", err)
	}
	if v, ok := any(&out).(interface{ took(string) }); ok {
		v.took(a.etag)
	}
	return out, nil
}

// ask asks for a T.
func ask[T any](ctx context.Context, c *Client, q request) (T, error) {
	a, err := c.do(ctx, q)
	if err != nil {
		var none T
		return none, err
	}
	return read[T](a)
}

// tell asks for something to be done that has no answer but that.
func (c *Client) tell(ctx context.Context, q request) error {
	_, err := c.do(ctx, q)
	return err
}

func get(path string) request { return request{method: http.MethodGet, path: path} }

// create is a POST that makes something.
func create(path string, in any) request {
	return request{method: http.MethodPost, path: path, creates: true, in: in}
}

func post(path string, in any) request { return request{method: http.MethodPost, path: path, in: in} }

func put(path string, in any) request { return request{method: http.MethodPut, path: path, in: in} }

func patch(path string, in any) request {
	return request{method: http.MethodPatch, path: path, in: in}
}

func del(path string) request { return request{method: http.MethodDelete, path: path} }

// with gives the request with a query, of which what is empty is left out.
func (q request) with(query map[string]string) request {
	q.query = url.Values{}
	for k, v := range query {
		if v != "" {
			q.query.Set(k, v)
		}
	}
	return q
}

// based gives the request for a version.
func (q request) based(etag string) request {
	q.match = etag
	return q
}

// told gives the request with the language of the answer.
func (q request) told(c *Client) request {
	q.accept = c.Language
	return q
}

// list gives what all pages hold, or those of one (see InPart), and ends after the first error.
func list[T any](ctx context.Context, c *Client, q request) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q := q // an iterator may be used again
		if q.query = maps.Clone(q.query); q.query == nil {
			q.query = url.Values{}
		}
		part, _ := ctx.Value(partKey{}).(*Part)
		if part != nil {
			part.begin(q.query)
		}
		for {
			p, err := ask[Page[T]](ctx, c, q)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, x := range p.Items {
				if !yield(x, nil) {
					return
				}
			}
			if part != nil {
				part.Next = p.Next
				return
			}
			if p.Next == "" {
				return
			}
			q.query.Set("cursor", p.Next)
		}
	}
}

// path fills names and ids into an address. Dots that stand alone are escaped too: else they would be steps in it.
func path(format string, parts ...string) string {
	escaped := make([]any, len(parts))
	for i, p := range parts {
		if escaped[i] = url.PathEscape(p); p == "." || p == ".." {
			escaped[i] = strings.ReplaceAll(p, ".", "%2E")
		}
	}
	return fmt.Sprintf(format, escaped...)
}
