package web

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// Headers of repeated requests.
const (
	keyHeader      = "Idempotency-Key"
	replayedHeader = "Idempotency-Replayed"
	maxKey         = 255
)

// creates reports whether a row makes something, so that asking twice would make two.
func (r route) creates() bool {
	return r.method == http.MethodPost && (r.status == http.StatusCreated || r.status == http.StatusAccepted) && r.right != control.RightAnyone
}

// once does what makes something, but not again if the same request came before under the same Idempotency-Key: then it
// gives the answer of that time. Only answers that made something are kept.
//
// Errors: those of do; invalid if the key is none, or came with another request; conflict while the first is under way.
func (a *api) once(c *call, body []byte, do func() (reply, error)) (reply, error) {
	given := c.r.Header.Values(keyHeader)
	if len(given) == 0 || !c.row.creates() {
		return do()
	}
	bad := func(code, message string) (reply, error) {
		return reply{}, &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{{Field: keyHeader, Code: code, Message: message}}}
	}
	key := given[0]
	if len(given) > 1 || key == "" || len(key) > maxKey || !visible(key) {
		return bad("invalid", "A key has 1 to 255 visible ASCII characters, without spaces, and comes once.")
	}
	mine := control.Repeat{
		Key:  hash(string(c.actor.Member), c.actor.Name, c.r.Method, c.r.URL.Path, key),
		Body: hash(c.r.URL.RawQuery, string(body)),
		At:   time.Now().UTC(),
	}
	had, begun, err := a.deps.Store.BeginRepeat(c, mine)
	switch {
	case err != nil:
		return reply{}, err
	case begun:
		return a.first(c, mine, do)
	case had.Body != mine.Body:
		return bad("conflict", "Another request came under this key. A key stands for one request and its repetitions.")
	case had.Status == 0:
		return reply{}, fault.New(fault.Conflict, "", "The same request is still under way.").WithRetry(time.Second)
	}
	out := reply{status: had.Status, header: http.Header{}, body: []byte(had.Answer.Reveal())}
	if err := json.Unmarshal([]byte(had.Headers), &out.header); err != nil {
		return reply{}, fault.From(err, fault.Corrupt, "read a kept answer")
	}
	out.header.Set(replayedHeader, "true")
	return out, nil
}

// first does what came under its key for the first time, to its end even if the client goes away, and keeps the answer.
func (a *api) first(c *call, mine control.Repeat, do func() (reply, error)) (out reply, err error) {
	c.Context = context.WithoutCancel(c.Context)
	kept := false
	defer func() {
		if !kept { // it failed or panicked: the next try is the first again. If this fails it is so after two minutes
			_ = a.deps.Store.DropRepeat(c, mine)
		}
	}()
	if out, err = do(); err != nil {
		return out, err
	}
	headers, err := json.Marshal(out.header)
	if err != nil {
		panic(fault.From(err, fault.Internal, "encode headers"))
	}
	kept = true // from here on it is made
	mine.Status, mine.Headers, mine.Answer = out.status, string(headers), secret.New(string(out.body))
	if err := a.deps.Store.EndRepeat(c, mine); err != nil {
		a.deps.Logger.Error("an answer was not kept: its request cannot be repeated", "request_id", c.actor.Request, "error", err)
	}
	return out, nil
}

// hash is of parts that cannot be mistaken for one another.
func hash(parts ...string) control.KeyHash {
	h := sha256.New()
	for _, p := range parts {
		one := sha256.Sum256([]byte(p))
		h.Write(one[:]) // never fails
	}
	return control.KeyHash(h.Sum(nil))
}

func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
