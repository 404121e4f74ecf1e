package compat

import (
	"net/http"
	"slices"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
	words "github.com/millrace/millrace/internal/text"
)

// listPage is how many things a page of a list has. Source: the vendor's pages of /segments/list, /campaigns/list, /canvas/list.
const listPage = 100

// maxSeries is of how many days a series is at most. Source: the vendor's pages of the series.
const maxSeries = 100

func segmentCalls(shared *httpd.Quota) []call {
	id := about("segment_id")
	return []call{
		{http.MethodGet, "/segments/list", "", shared, []param{page, sortDirection}, listSegments},
		{http.MethodGet, "/segments/details", "", shared, []param{id}, segmentDetails},
		{http.MethodGet, "/segments/data_series", "", shared, []param{id, needed(length(maxSeries)), endingAt}, segmentSeries},
	}
}

func listSegments(q *request) (answer, error) {
	all, err := q.Store.Segments(q, q.workspace)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b control.Segment) int { return a.CreatedAt.Compare(b.CreatedAt) })
	if q.newest {
		slices.Reverse(all)
	}
	type item struct {
		ID        control.SegmentID `json:"id"`
		Name      string            `json:"name"`
		Analytics bool              `json:"analytics_tracking_enabled"`
		Tags      []string          `json:"tags"`
	}
	items := []item{}
	for _, s := range paged(q, all, listPage) {
		items = append(items, item{s.ID, s.Name, s.Analytics, tags(s.Tags)})
	}
	return answer{"segments": items}, nil
}

// segment finds the segment that the request is about.
func (q *request) segment() (control.Segment, error) {
	s, err := q.Store.Segment(q, q.workspace, control.SegmentID(q.id))
	if fault.Is(err, fault.NotFound) {
		err = unknown("Segment", "segment_id", q.id)
	}
	return s, err
}

// unknown is the refusal of an id that names nothing in the workspace. Source of the text: the vendor's page "Errors &
// responses", "Invalid Campaign ID"; the others by analogy.
func unknown(kind, field, id string) error {
	e := fault.New(fault.Invalid, "", "%s: The workspace has none with the id %q.", field, id)
	e.Fields = []fault.Problem{{Field: field, Code: "unknown_value", Message: "The workspace has none with this id."}}
	return &mistake{e, "Invalid " + kind + " ID"}
}

func segmentDetails(q *request) (answer, error) {
	s, err := q.segment()
	if err != nil {
		return nil, err
	}
	filter := s.Filter.Masked().Words(func(key string, params map[string]any) string { return words.T(words.English, key, params) })
	return answer{"name": s.Name, "description": filter, "text_description": s.Description, "tags": tags(s.Tags), "teams": []string{},
		"created_at": s.CreatedAt.Format(time.RFC3339), "updated_at": s.UpdatedAt.Format(time.RFC3339)}, nil
}

func segmentSeries(q *request) (answer, error) {
	s, err := q.segment()
	if err != nil {
		return nil, err
	}
	to := control.DayOf(q.ending, q.zone)
	from := to - int32(q.length) + 1
	sizes, err := q.People.SegmentSizes(q, q.workspace, s.ID, from, to)
	if err != nil {
		return nil, err
	}
	by := map[int32]int64{}
	for _, d := range sizes {
		by[d.Day] = d.Size
	}
	type point struct {
		Time string `json:"time"`
		Size int64  `json:"size"`
	}
	data := []point{}
	for d := from; d <= to; d++ {
		data = append(data, point{control.DayText(d), by[d]})
	}
	return answer{"data": data}, nil
}

// tags gives a list that is never null.
func tags(list []string) []string { return append([]string{}, list...) }
