package web

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
)

// versioned says in which version the thing is that is answered: its count of changes.
func (c *call) versioned(rev int64) {
	c.row.mustBeVersioned()
	c.header.Set("ETag", strconv.Quote(strconv.FormatInt(rev, 10)))
}

// versionText is how If-Match names a version: an ETag as versioned makes it.
var versionText = regexp.MustCompile(`^(?:W/)?"(\d{1,18})"$`)

// expected gives the version that the change is meant for, as If-Match has it; given is false if the client does not
// mind. Errors: invalid.
func (c *call) expected() (rev int64, given bool, err error) {
	c.row.mustBeVersioned()
	h := c.r.Header.Get("If-Match")
	if h == "*" || len(c.r.Header.Values("If-Match")) == 0 {
		return 0, false, nil
	}
	m := versionText.FindStringSubmatch(h)
	if m == nil {
		return 0, false, fault.New(fault.Invalid, "", "If-Match holds no version of this thing.").WithHint("Send the ETag of the answer that the change is based on.")
	}
	rev, err = strconv.ParseInt(m[1], 10, 64) // 18 digits fit
	if err != nil {
		return 0, false, fault.From(err, fault.Internal, "read If-Match")
	}
	return rev, true, nil
}

// unversioned refuses a condition that the row does not look at: who sent it believes that it protects them. Errors: invalid.
func (c *call) unversioned() error {
	if h := c.r.Header.Values("If-Match"); !c.row.changes() || c.row.versioned != nil || len(h) == 0 || len(h) == 1 && h[0] == "*" {
		return nil
	}
	return fault.New(fault.Invalid, "", "If-Match means nothing to %s %s: no version is looked at here.", c.row.method, prefix+c.row.path).WithHint("Leave the header out.")
}

// location says where what was made, or goes on, is found below /api/v1.
func (c *call) location(format string, args ...any) {
	c.header.Set("Location", prefix+fmt.Sprintf(format, args...))
}

// mustBeVersioned holds the table to what functions do: the description of the API is made from it.
func (r route) mustBeVersioned() {
	if r.versioned == nil {
		panic("web: " + r.name + " answers versions or heeds them: its row has to say versioned")
	}
}

// Bounds of a page. Source: paged.
const (
	defaultPage = 100
	maxPage     = 500
)

// page gives a page of a list in the order of ids, ascending or descending as fetch does: fetch gives up to limit items
// beyond the one with id after, 0 being the begin.
func page[T, W any](c *call, p paged, fetch func(after int64, limit int) ([]T, error), id func(T) int64, show func(T) W) (client.Page[W], error) {
	out, ids, kind := client.Page[W]{Items: []W{}}, c.api.deps.IDs, cursorOf(c)
	limit := defaultPage
	if p.Limit != nil {
		limit = *p.Limit
	}
	if limit < 1 || limit > maxPage {
		return out, &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{{Field: "limit", Code: "out_of_range", Message: "A page has 1 to 500 items."}}}
	}
	var after int64
	if p.Cursor != "" {
		var err error
		if after, err = ids.number(kind, p.Cursor); err != nil {
			return out, &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{{Field: "cursor", Code: "invalid", Message: "This is no cursor of a page of this list with these filters."}}}
		}
	}
	items, err := fetch(after, limit+1)
	if err != nil {
		return out, err
	}
	if len(items) > limit {
		items = items[:limit]
		out.Next = ids.name(kind, id(items[limit-1]))
	}
	for _, x := range items {
		out.Items = append(out.Items, show(x))
	}
	return out, nil
}

// pageOf is page for a list that is read whole, in an order that stays. Errors: as partOf.
func pageOf[T, W any](c *call, p paged, all []T, id func(T) int64, show func(T) W) (client.Page[W], error) {
	return page(c, p, func(after int64, limit int) ([]T, error) { return partOf(all, id, after, limit) }, id, show)
}

// partOf gives up to limit of a list, from the one after the one with id after on; 0: from the first. Errors: invalid, also
// if what the cursor names is gone.
func partOf[T any](all []T, id func(T) int64, after int64, limit int) ([]T, error) {
	i := 0
	if after != 0 {
		if i = slices.IndexFunc(all, func(x T) bool { return id(x) == after }) + 1; i == 0 {
			return nil, &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{{Field: "cursor", Code: "gone", Message: "What this page begins after is gone. Begin with the first page again."}}}
		}
	}
	return all[i:min(i+limit, len(all))], nil
}
