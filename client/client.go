// Package client asks Millrace's API, /api/v1.
//
//	c := client.New("https://millrace.example", os.Getenv("MILLRACE_TOKEN"))
//	check, err := c.LaunchConnector(ctx, "acme", client.ConnectorEdit{…})
//
// A Client asks as the member whose personal token it has. Its types are the API's own: the server answers with
// them, and its description, /api/v1/openapi.json, is made from them. Fields of an edit that are nil stay as they are.
//
// It needs nothing but the standard library. Errors of the server are *Error. Safe for concurrent use.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client asks one server as one member.
type Client struct {
	base  string
	token string
	// HTTP sends the requests; its time-out bounds each.
	HTTP *http.Client
}

// New gives a client of the server at base, such as https://millrace.example, that shows the personal token.
func New(base, token string) *Client {
	return &Client{base: strings.TrimRight(base, "/"), token: token, HTTP: &http.Client{Timeout: 100 * time.Second}}
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

// maxAnswer bounds what is read of one answer.
const maxAnswer = 64 << 20

// do asks and reads the answer into out, which may be nil.
func (c *Client) do(ctx context.Context, method, path string, header http.Header, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+"/api/v1"+path, body)
	if err != nil {
		return err
	}
	for k, v := range header {
		r.Header[k] = v
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	a, err := c.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close() // all of it is read
	b, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer))
	if err != nil {
		return err
	}
	if a.StatusCode >= 300 {
		return failure(a, b)
	}
	if out == nil || len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, out)
}

func failure(a *http.Response, body []byte) error {
	e := &Error{Status: a.StatusCode}
	said := struct {
		Error *Error `json:"error"`
	}{e}
	if json.Unmarshal(body, &said) != nil || e.Code == "" { // whoever answered is no Millrace
		return &Error{Status: a.StatusCode}
	}
	if s, err := time.ParseDuration(a.Header.Get("Retry-After") + "s"); err == nil {
		e.RetryAfter = s
	}
	return e
}

// path joins the parts of an address, each escaped; a part that begins with a slash stands as it is.
func path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		if strings.HasPrefix(p, "/") {
			b.WriteString(p)
		} else {
			b.WriteString("/" + url.PathEscape(p))
		}
	}
	return b.String()
}
