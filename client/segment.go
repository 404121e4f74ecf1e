package client

import (
	"context"
	"iter"
	"strconv"
	"time"
)

// Segment is a filter that was saved: the people whom it holds at the moment when somebody asks.
type Segment struct {
	Versioned
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Description string       `json:"description"`
	Tags        []string     `json:"tags"`
	Filter      Filter       `json:"filter" doc:"To who may not export user data the values with which it compares what identifies people are [REDACTED]; sent back so, the filter stays as it is."`
	Words       string       `json:"filter_words" doc:"The filter as a sentence."`
	Analytics   bool         `json:"analytics" doc:"Its size is kept each day."`
	Size        *SegmentSize `json:"size,omitempty" doc:"As it was last counted for a day; absent: it has not been."`
	CreatedAt   time.Time    `json:"created_at"`
	UpdatedAt   time.Time    `json:"updated_at"`
}

// SegmentEdit is what is wanted of a segment; what is nil stays as it is. A new segment needs a name; without a filter it
// holds everybody.
type SegmentEdit struct {
	Name        *string   `json:"name,omitempty"`
	Description *string   `json:"description,omitempty"`
	Tags        *[]string `json:"tags,omitempty"`
	Filter      *Filter   `json:"filter,omitempty"`
	Analytics   *bool     `json:"analytics,omitempty"`
}

// Filter says which people are meant: a tree whose nodes have one field each, but for the empty one, which holds everybody.
// A leaf holds or does not, with nothing between: of what is not known of a person it does not hold, and under not it does.
// GetFilterVocabulary says which leaves there are and how they are made.
type Filter struct {
	All       []Filter         `json:"all,omitzero" doc:"Each of these holds."`
	Any       []Filter         `json:"any,omitzero" doc:"One of these at least holds."`
	Not       *Filter          `json:"not,omitempty" doc:"This does not hold."`
	Attribute *FilterCondition `json:"attribute,omitempty" doc:"A standard attribute."`
	Custom    *FilterCondition `json:"custom,omitempty" doc:"A custom attribute; within objects with dots: address.city."`
	Event     *FilterDeeds     `json:"event,omitempty" doc:"A custom event was done."`
	Purchase  *FilterDeeds     `json:"purchase,omitempty" doc:"A product was bought."`
	Message   *FilterMessage   `json:"message,omitempty" doc:"What was done with messages."`
	Group     *FilterGroup     `json:"group,omitempty" doc:"A subscription group."`
}

// FilterCondition is what an attribute has to be; all that it says holds. With a name alone: it is known.
type FilterCondition struct {
	Name     string   `json:"name"`
	OneOf    []string `json:"one_of,omitzero" doc:"Of texts, exactly; of states, opted_in, subscribed, unsubscribed."`
	Contains *string  `json:"contains,omitempty" doc:"Of texts; capital letters of A to Z are as good as small ones."`
	Has      *string  `json:"has,omitempty" doc:"Of custom arrays: an item, exactly."`
	Is       *bool    `json:"is,omitempty" doc:"Of custom booleans."`
	AtLeast  *float64 `json:"at_least,omitempty" doc:"Of numbers."`
	AtMost   *float64 `json:"at_most,omitempty"`
	After    string   `json:"after,omitempty" doc:"Of times and days: from then on. A time as 2026-11-22T10:00:00Z, or days from when the filter is asked: -30d, +7d."`
	Before   string   `json:"before,omitempty" doc:"Likewise: until just before."`
}

// FilterDeeds is how often and when somebody did an event or bought a product: all that it says: once at least, unless counts are said
// that never is within, and no time.
type FilterDeeds struct {
	Name           string   `json:"name"`
	AtLeast        *int64   `json:"at_least,omitempty" doc:"Times; with 0, or at_most alone, whoever never did it is meant too, unless a time is said."`
	AtMost         *int64   `json:"at_most,omitempty"`
	FirstAfter     string   `json:"first_after,omitempty" doc:"A time, or days from now, as in conditions."`
	FirstBefore    string   `json:"first_before,omitempty"`
	LastAfter      string   `json:"last_after,omitempty"`
	LastBefore     string   `json:"last_before,omitempty"`
	RevenueAtLeast *float64 `json:"revenue_at_least,omitempty" doc:"Of purchases."`
	RevenueAtMost  *float64 `json:"revenue_at_most,omitempty"`
}

// FilterMessage is what somebody did with the messages of one channel, campaign, Canvas or step: one of these is named.
type FilterMessage struct {
	Channel  string `json:"channel,omitempty"`
	Campaign string `json:"campaign,omitempty"`
	Canvas   string `json:"canvas,omitempty"`
	Step     string `json:"step,omitempty" doc:"Of a Canvas."`
	Did      string `json:"did" doc:"received, opened, clicked, entered, exited, converted."`
	After    string `json:"after,omitempty" doc:"A time, or days from now, as in conditions. Of a channel the last time counts; of the others the last time that they were received, entered or left, and the first that they were opened or clicked."`
	Before   string `json:"before,omitempty"`
}

// FilterGroup is what somebody said that they want of a subscription group.
type FilterGroup struct {
	ID    string `json:"id"`
	State string `json:"state" doc:"subscribed or unsubscribed."`
}

// FilterVocabulary is of what filters are made: for editors, and for scripts that make filters.
type FilterVocabulary struct {
	Kinds  []FilterKind   `json:"kinds"`
	Types  []FilterType   `json:"types"`
	States []FilterChoice `json:"states" doc:"Of subscriptions."`
}

// FilterKind is a kind of leaves.
type FilterKind struct {
	FilterChoice
	Leaf   string         `json:"leaf" doc:"The field of the filter that it is."`
	Naming string         `json:"naming" doc:"The field of the leaf that names what is meant."`
	Names  []FilterChoice `json:"names,omitempty" doc:"What can be named; absent: what the workspace's events have named, which listFilterNames gives."`
	Deeds  []FilterChoice `json:"deeds,omitempty" doc:"What can be done with it: the leaf's field did."`
}

// FilterChoice is something to choose.
type FilterChoice struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Type  string `json:"type,omitempty" doc:"Whose operators ask for it; absent where that is said of something else."`
	// Of an attribute.
	Identifies bool `json:"identifies,omitempty" doc:"To compare it with a value takes the right to export user data; whether it is known may be asked without."`
}

// FilterType is a type of values, with the operators that ask for them.
type FilterType struct {
	Name      string           `json:"name"`
	Operators []FilterOperator `json:"operators"`
}

// FilterOperator makes a leaf of what is named and of what it takes.
type FilterOperator struct {
	FilterChoice
	Not   bool         `json:"not" doc:"The leaf stands under not."`
	Takes []FilterTake `json:"takes"`
}

// FilterTake is a field of the leaf that an operator fills.
type FilterTake struct {
	Field string `json:"field"`
	Value string `json:"value" enum:"fixed,text,texts,states,number,count,days,moment" doc:"What its value is: days are so many days ago, as -30d; a moment is a time or days."`
	Fixed any    `json:"fixed,omitempty" doc:"The value, where it is always the same."`
}

// FilterName is something that a workspace's events have named.
type FilterName struct {
	Name   string    `json:"name" doc:"As filters have it: an id where there is one."`
	Title  string    `json:"title,omitempty" doc:"What it is called, where events say so."`
	LastAt time.Time `json:"last_at" doc:"When an event last named it."`
}

// SegmentSize is how many people a filter holds.
type SegmentSize struct {
	People int64     `json:"people"`
	Exact  bool      `json:"exact" doc:"Counted, and not estimated from a sample."`
	At     time.Time `json:"at"`

	Lag *ProfileLag `json:"lag,omitempty" doc:"What is not in profiles yet and so in no count; absent from sizes that were kept, and if the server that was asked does not keep profiles up."`
}

// SegmentDay is how many people a segment held on a day.
type SegmentDay struct {
	Day    string    `json:"day" doc:"As 2026-11-22, in the workspace's time zone."`
	People int64     `json:"people"`
	At     time.Time `json:"at" doc:"When they were counted."`
}

// SegmentQuery is a filter to be asked without being saved.
type SegmentQuery struct {
	Filter Filter `json:"filter"`
	Exact  bool   `json:"exact,omitempty" doc:"Count, where an estimate would be quicker."`
}

// FilterQuery is SegmentQuery where nothing is counted.
type FilterQuery struct {
	Filter Filter `json:"filter"`
}

// SegmentPreview is some of the people whom a filter holds.
type SegmentPreview struct {
	Items []SegmentPerson `json:"items" doc:"The first ten."`
}

// SegmentPerson is one of them.
type SegmentPerson struct {
	UserID     string `json:"user_id"`
	ExternalID string `json:"external_id,omitempty"`
	FirstName  string `json:"first_name,omitempty"`
	LastName   string `json:"last_name,omitempty"`
	Email      string `json:"email,omitempty"`
}

// SegmentFilter narrows a list of segments down.
type SegmentFilter struct {
	Search string // in names and descriptions, whatever the case
	Tag    string
}

// ListSegments lists a workspace's segments by name.
func (c *Client) ListSegments(ctx context.Context, workspace string, f SegmentFilter) iter.Seq2[Segment, error] {
	return list[Segment](ctx, c, get(path("/workspaces/%s/segments", workspace)).with(map[string]string{"q": f.Search, "tag": f.Tag}).told(c))
}

// CreateSegment makes a segment. Errors: invalid with every problem; conflict: its name is taken.
func (c *Client) CreateSegment(ctx context.Context, workspace string, e SegmentEdit) (Segment, error) {
	return ask[Segment](ctx, c, create(path("/workspaces/%s/segments", workspace), e).told(c))
}

// GetSegment gives a segment.
func (c *Client) GetSegment(ctx context.Context, workspace, id string) (Segment, error) {
	return ask[Segment](ctx, c, get(path("/workspaces/%s/segments/%s", workspace, id)).told(c))
}

// UpdateSegment changes a segment. Errors: as CreateSegment; stale, if etag is not empty.
func (c *Client) UpdateSegment(ctx context.Context, workspace, id string, e SegmentEdit, etag string) (Segment, error) {
	return ask[Segment](ctx, c, patch(path("/workspaces/%s/segments/%s", workspace, id), e).based(etag).told(c))
}

// DeleteSegment removes a segment; the people whom it held stay.
func (c *Client) DeleteSegment(ctx context.Context, workspace, id string) error {
	return c.tell(ctx, del(path("/workspaces/%s/segments/%s", workspace, id)))
}

// GetSegmentSize gives how many people a segment holds now: estimated, unless exact is asked for or they are few.
func (c *Client) GetSegmentSize(ctx context.Context, workspace, id string, exact bool) (SegmentSize, error) {
	return ask[SegmentSize](ctx, c, get(path("/workspaces/%s/segments/%s/size", workspace, id)).with(map[string]string{"exact": flag(exact)}))
}

// ListSegmentDays gives how many people a segment held on each of the last days on which it was counted, oldest first: 30
// days, or up to 400.
func (c *Client) ListSegmentDays(ctx context.Context, workspace, id string, days int) ([]SegmentDay, error) {
	n := ""
	if days > 0 {
		n = strconv.Itoa(days)
	}
	p, err := ask[Page[SegmentDay]](ctx, c, get(path("/workspaces/%s/segments/%s/days", workspace, id)).with(map[string]string{"days": n}))
	return p.Items, err
}

// PreviewSegment gives the first ten people whom a segment holds. Who looked stands in the log of changes.
//
// Errors: forbidden without the right to export user data.
func (c *Client) PreviewSegment(ctx context.Context, workspace, id string) (SegmentPreview, error) {
	return ask[SegmentPreview](ctx, c, get(path("/workspaces/%s/segments/%s/people", workspace, id)))
}

// SizeFilter gives how many people a filter holds that need not be saved. Errors: invalid with every problem.
func (c *Client) SizeFilter(ctx context.Context, workspace string, q SegmentQuery) (SegmentSize, error) {
	return ask[SegmentSize](ctx, c, post(path("/workspaces/%s/filters/size", workspace), q))
}

// PreviewFilter is PreviewSegment of a filter that need not be saved. Errors: as that, and SizeFilter.
func (c *Client) PreviewFilter(ctx context.Context, workspace string, q FilterQuery) (SegmentPreview, error) {
	return ask[SegmentPreview](ctx, c, post(path("/workspaces/%s/filters/people", workspace), q))
}

// GetFilterVocabulary gives of what filters are made.
func (c *Client) GetFilterVocabulary(ctx context.Context) (FilterVocabulary, error) {
	return ask[FilterVocabulary](ctx, c, get("/filter-vocabulary").told(c))
}

// ListFilterNames lists what a workspace's events have named of one kind of leaves, by name; search is looked for in names
// and titles.
func (c *Client) ListFilterNames(ctx context.Context, workspace, kind, search string) iter.Seq2[FilterName, error] {
	return list[FilterName](ctx, c, get(path("/workspaces/%s/filter-names", workspace)).with(map[string]string{"kind": kind, "q": search}))
}
