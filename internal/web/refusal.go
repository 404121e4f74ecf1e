package web

import (
	"context"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// Headings say in a few words what a code means to whoever meets it: keys of the catalogue.
var Headings = map[fault.Code]string{
	fault.Invalid: "page.error_invalid", fault.Unauthorized: "page.error_unauthorized", fault.Forbidden: "page.error_forbidden",
	fault.NotFound: "page.error_not_found", fault.Conflict: "page.error_conflict", fault.TooLarge: "page.error_too_large",
	fault.RateLimited: "page.error_rate_limited", fault.Unavailable: "page.error_unavailable", fault.Corrupt: "page.error_internal",
	fault.UnsupportedMediaType: "page.error_invalid", fault.Stale: "page.error_stale", fault.Internal: "page.error_internal",
}

// Moment is a time in a refusal's sentence: the API writes it in UTC, pages in their visitor's zone.
type Moment time.Time

// String gives it as the API writes it.
func (m Moment) String() string { return time.Time(m).UTC().Format("2006-01-02 15:04:05 UTC") }

// Fields are names of fields in a refusal's sentence: the API writes them as they are, pages as their forms call them.
type Fields []string

// String gives them as the API writes them.
func (f Fields) String() string { return strings.Join(f, ", ") }

type visitKey struct{}

// pageVisit is a page that is made from answers of the API.
type pageVisit struct {
	refusal error       // the last
	counted bool        // among the requests of whoever asks
	found   map[any]any // by remembered
}

// CatchRefusal gives the context of one visit of a page, under which the API leaves the error that it answers with, or that it
// shows as what ended a check, where refusal can be read once the answer is there. It is for pages, which ask the API as scripts do and say in their
// reader's language what it refused. However much a page asks, it counts as one request of its visitor, and who that is
// and where is found out once. Not for calls at the same time.
func CatchRefusal(ctx context.Context) (caught context.Context, refusal func() error) {
	v := &pageVisit{found: map[any]any{}}
	return context.WithValue(ctx, visitKey{}, v), func() error { return v.refusal }
}

// leave keeps err for who catches it.
func leave(ctx context.Context, err error) {
	if v, ok := ctx.Value(visitKey{}).(*pageVisit); ok {
		v.refusal = err
	}
}

// countedAlready reports whether the request is of a visit that was counted by an earlier one, and counts it.
func countedAlready(ctx context.Context) bool {
	v, ok := ctx.Value(visitKey{}).(*pageVisit)
	if !ok {
		return false
	}
	was := v.counted
	v.counted = true
	return was
}

// remembered gives what find found under key earlier in the visit that the call is of; else, and where that was an error,
// it finds it. A row that changes something forgets all of it and leaves nothing: what stood there may be different now.
func remembered[T any](c *call, key any, find func() (T, error)) (T, error) {
	v, ok := c.r.Context().Value(visitKey{}).(*pageVisit)
	if ok && c.row.changes() {
		clear(v.found)
	}
	if !ok || c.row.changes() {
		return find()
	}
	if had, ok := v.found[key]; ok {
		return had.(T), nil
	}
	x, err := find()
	if err == nil {
		v.found[key] = x
	}
	return x, err
}
