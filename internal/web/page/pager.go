package page

import (
	"context"
	"net/http"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
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
	if p.Next != "" {
		t.Next = v.partAt(p.Next)
	}
	if p.Cursor != "" {
		t.First = v.partAt("")
	}
}

// partAt gives the address of the part of the visit's list that begins at cursor.
func (v *visit) partAt(cursor string) string {
	u, q := *v.r.URL, v.r.URL.Query()
	q.Del(cursorParam)
	if cursor != "" {
		q.Set(cursorParam, cursor)
	}
	u.RawQuery = q.Encode()
	return u.RequestURI()
}

// elsewhere reports whether err is that the address asks for a part of a list which is not there, any more perhaps. Then the
// visit begins anew at the first part, which says so.
func (v *visit) elsewhere(err error) bool {
	e := fault.As(err)
	if e == nil || len(e.Fields) != 1 || e.Fields[0].Field != cursorParam || v.r.Method != http.MethodGet || v.astray {
		return false
	}
	first, err := v.r.URL.Parse(v.partAt(""))
	if err != nil {
		return false
	}
	v.r.URL, v.astray = first, true
	return true
}
