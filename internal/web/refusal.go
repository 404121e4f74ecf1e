package web

import (
	"context"

	"github.com/millrace/millrace/internal/fault"
)

// Headings say in a few words what a code means to whoever meets it: keys of the catalogue.
var Headings = map[fault.Code]string{
	fault.Invalid: "page.error_invalid", fault.Unauthorized: "page.error_unauthorized", fault.Forbidden: "page.error_forbidden",
	fault.NotFound: "page.error_not_found", fault.Conflict: "page.error_conflict", fault.TooLarge: "page.error_too_large",
	fault.RateLimited: "page.error_rate_limited", fault.Unavailable: "page.error_unavailable", fault.Corrupt: "page.error_internal",
	fault.UnsupportedMediaType: "page.error_invalid", fault.Stale: "page.error_stale", fault.Internal: "page.error_internal",
}

type refusalKey struct{}

// CatchRefusal gives a context under which the API leaves the error that it answers with, where refusal can be read once
// the answer is there. It is for pages, which ask the API as scripts do and say in their reader's language what it
// refused.
func CatchRefusal(ctx context.Context) (caught context.Context, refusal func() error) {
	var err error
	return context.WithValue(ctx, refusalKey{}, &err), func() error { return err }
}

// leave keeps err for who catches it.
func leave(ctx context.Context, err error) {
	if p, ok := ctx.Value(refusalKey{}).(*error); ok {
		*p = err
	}
}
