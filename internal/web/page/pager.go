package page

import (
	"context"

	"github.com/millrace/millrace/client"
)

// part gives the part of a list that the address asks for, and the context in which the API's list keeps to it.
func (v *visit) part() (context.Context, *client.Part) {
	p := &client.Part{Cursor: v.r.URL.Query().Get(cursorParam), Limit: pageRows}
	return client.InPart(v, p), p
}

// cursorParam is the field of an address that says where a list goes on.
const cursorParam = "cursor"

// pages gives the table the links to its next page and its first, which keep everything else of the address.
func (v *visit) pages(t *table, p *client.Part) {
	at := func(cursor string) string {
		q := v.r.URL.Query()
		q.Del(cursorParam)
		if cursor != "" {
			q.Set(cursorParam, cursor)
		}
		return v.r.URL.Path + "?" + q.Encode()
	}
	if p.Next != "" {
		t.Next = at(p.Next)
	}
	if p.Cursor != "" {
		t.First = at("")
	}
}
