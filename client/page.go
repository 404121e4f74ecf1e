package client

import (
	"context"
	"net/url"
	"strconv"
)

// Page is a part of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Given as cursor it gives the next page; absent on the last."`
}

// Part is one page of a list, for who shows lists page by page.
type Part struct {
	Cursor string // where it begins: Next of the part before; empty: with the first item
	Limit  int    // items at most, 1 to 500; 0: 100
	Next   string // where the next begins, once the list has ended; empty: this is the last
}

type partKey struct{}

// InPart has the list that is asked for under the context end after one page, which is p, and notes in p where the next
// begins. p serves one list at a time.
func InPart(ctx context.Context, p *Part) context.Context {
	return context.WithValue(ctx, partKey{}, p)
}

func (p *Part) begin(q url.Values) {
	if p.Cursor != "" {
		q.Set("cursor", p.Cursor)
	}
	if p.Limit > 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
}
