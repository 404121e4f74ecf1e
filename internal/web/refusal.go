package web

import "context"

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
