package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/text"
)

const atSegment = "/workspaces/{workspace}/segments/{segment}"

// segmentRoutes are about filters that were saved, and of what they are made.
func (a *api) segmentRoutes() []route {
	const group, at = "segments", "/workspaces/{workspace}/segments"
	return []route{
		{name: "listSegments", method: http.MethodGet, path: at, right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists the workspace's segments by name.", op: op(a.listSegments)},
		{name: "createSegment", method: http.MethodPost, path: at, right: control.RightChange, group: group, status: http.StatusCreated,
			summary: "Makes a segment.", op: op(a.createSegment), rules: look(func(_ *call, in createSegmentIn) error { return a.deps.Plane.LookAtSegment(segmentEdit(in.Body, nil)) })},
		{name: "getSegment", method: http.MethodGet, path: atSegment, right: control.RightView, group: group, status: http.StatusOK, versioned: versionsOfSegment,
			summary: "Gives a segment.", op: op(a.getSegment)},
		{name: "updateSegment", method: http.MethodPatch, path: atSegment, right: control.RightChange, group: group, status: http.StatusOK, versioned: versionsOfSegment,
			summary: "Changes a segment.", op: op(a.updateSegment), rules: look(func(c *call, in updateSegmentIn) error {
				return a.deps.Plane.LookAtSegmentEdit(c, c.workspace.Number, in.Segment, segmentEdit(in.Body, nil))
			})},
		{name: "deleteSegment", method: http.MethodDelete, path: atSegment, right: control.RightChange, group: group, status: http.StatusNoContent,
			summary: "Removes a segment; the people whom it held stay.", op: op(a.deleteSegment)},
		{name: "getSegmentSize", method: http.MethodGet, path: atSegment + "/size", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Gives how many people a segment holds now: estimated, unless exact is asked for or they are few.", op: op(a.getSegmentSize)},
		{name: "listSegmentDays", method: http.MethodGet, path: atSegment + "/days", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Gives how many people a segment held on each day on which it was counted, oldest first.", op: op(a.listSegmentDays)},
		{name: "previewSegment", method: http.MethodGet, path: atSegment + "/people", right: control.RightExportUserData, group: group, status: http.StatusOK,
			summary: "Gives the first ten people whom a segment holds. The log of changes keeps who looked.", op: op(a.previewSegment)},
		{name: "sizeFilter", method: http.MethodPost, asks: true, path: "/workspaces/{workspace}/filters/size", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Gives how many people a filter holds that need not be saved. One that compares what identifies people takes the right to export user data.", op: op(a.sizeFilter)},
		{name: "previewFilter", method: http.MethodPost, path: "/workspaces/{workspace}/filters/people", right: control.RightExportUserData, group: group, status: http.StatusOK,
			summary: "Gives the first ten people whom a filter holds that need not be saved. The log of changes keeps who looked.", op: op(a.previewFilter)},
		{name: "listFilterNames", method: http.MethodGet, path: "/workspaces/{workspace}/filter-names", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists what the workspace's events have named, of one kind that filters know, by name.", op: op(a.listFilterNames)},
		{name: "getFilterVocabulary", method: http.MethodGet, path: "/filter-vocabulary", right: control.RightSignedIn, group: group, status: http.StatusOK,
			summary: "Gives of what filters are made: kinds of leaves, what they name, and by which operators it is asked for.", op: op(a.getVocabulary)},
	}
}

var versionsOfSegment = &versions{[]string{"segment.update", "segment.create"}, func(c *call) string { return c.r.PathValue("segment") }}

// readFilter gives the filter that is asked for, whatever is wrong with it: the two have the same fields.
func readFilter(f client.Filter) (out control.Filter) {
	carry(f, &out)
	return out
}

func showFilter(f control.Filter) (out client.Filter) {
	carry(f, &out)
	return out
}

func carry(from, to any) {
	b, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		panic("web: a thing has other fields here than there: " + err.Error()) // a test holds the two to each other
	}
}

// showSegment gives a segment as who asks may see it, see control.Filter.ShownTo.
func showSegment(c *call, s control.Segment, sizes map[control.SegmentID]control.DaySize) client.Segment {
	s.Filter = s.Filter.ShownTo(c, s.Workspace)
	out := client.Segment{ID: string(s.ID), Name: s.Name, Description: s.Description, Tags: append([]string{}, s.Tags...), Filter: showFilter(s.Filter),
		Words:     s.Filter.Words(func(key string, params map[string]any) string { return text.T(c.reader(), key, params) }),
		Analytics: s.Analytics, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}
	if d, ok := sizes[s.ID]; ok {
		out.Size = &client.SegmentSize{People: d.Size, Exact: true, At: d.At}
	}
	return out
}

// sizes gives how many people the workspace's segments held when they were last counted; none if nothing is kept of people.
func (a *api) sizes(c *call) (map[control.SegmentID]control.DaySize, error) {
	if a.deps.Profiles == nil {
		return nil, nil
	}
	return a.deps.Profiles.LastSizes(c, c.workspace.Number)
}

type listSegmentsIn struct {
	paged
	spoken
	Search string `query:"q" doc:"Only segments whose name or description holds this, whatever the case."`
	Tag    string `query:"tag" doc:"Only segments with this tag."`
}

func (a *api) listSegments(c *call, in listSegmentsIn) (client.Page[client.Segment], error) {
	all, err := a.deps.Store.Segments(c, c.workspace.Number)
	if err != nil {
		return client.Page[client.Segment]{}, err
	}
	all = slices.DeleteFunc(all, func(s control.Segment) bool {
		return in.Tag != "" && !slices.Contains(s.Tags, in.Tag) || !holds(in.Search, s.Name, s.Description)
	})
	sizes, err := a.sizes(c)
	if err != nil {
		return client.Page[client.Segment]{}, err
	}
	return pageOf(c, in.paged, all, func(s control.Segment) int64 { return idNumber(s.ID) },
		func(s control.Segment) client.Segment { return showSegment(c, s, sizes) })
}

// holds reports whether one of texts has part in it, whatever the case.
func holds(part string, texts ...string) bool {
	part = strings.ToLower(part)
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), part) })
}

func segmentEdit(e client.SegmentEdit, rev *int64) control.SegmentEdit {
	out := control.SegmentEdit{Name: e.Name, Description: e.Description, Tags: e.Tags, Analytics: e.Analytics, Rev: rev}
	if e.Filter != nil {
		out.Filter = new(readFilter(*e.Filter))
	}
	return out
}

type createSegmentIn struct {
	spoken
	Body client.SegmentEdit `body:""`
}

func (a *api) createSegment(c *call, in createSegmentIn) (client.Segment, error) {
	s, err := a.deps.Plane.CreateSegment(c, c.workspace.Number, segmentEdit(in.Body, nil))
	if err != nil {
		return client.Segment{}, err
	}
	c.location("/workspaces/%s/segments/%s", workspaceID(s.Workspace), s.ID)
	return showSegment(c, s, nil), nil
}

type segmentIn struct {
	Segment control.SegmentID `path:"segment"`
}

type tellSegmentIn struct {
	segmentIn
	spoken
}

func (a *api) getSegment(c *call, in tellSegmentIn) (client.Segment, error) {
	s, err := a.deps.Store.Segment(c, c.workspace.Number, in.Segment)
	if err != nil {
		return client.Segment{}, err
	}
	sizes, err := a.sizes(c)
	c.versioned(s.Rev)
	return showSegment(c, s, sizes), err
}

type updateSegmentIn struct {
	tellSegmentIn
	Body client.SegmentEdit `body:""`
}

func (a *api) updateSegment(c *call, in updateSegmentIn) (client.Segment, error) {
	rev, err := meant(c)
	if err != nil {
		return client.Segment{}, err
	}
	s, err := a.deps.Plane.UpdateSegment(c, c.workspace.Number, in.Segment, segmentEdit(in.Body, rev))
	if err != nil {
		return client.Segment{}, err
	}
	sizes, err := a.sizes(c)
	c.versioned(s.Rev)
	return showSegment(c, s, sizes), err
}

func (a *api) deleteSegment(c *call, in segmentIn) (none, error) {
	return none{}, a.deps.Plane.DeleteSegment(c, c.workspace.Number, in.Segment)
}

type segmentSizeIn struct {
	segmentIn
	Exact bool `query:"exact" doc:"Count, where an estimate would be quicker."`
}

func (a *api) getSegmentSize(c *call, in segmentSizeIn) (client.SegmentSize, error) {
	s, err := a.deps.Store.Segment(c, c.workspace.Number, in.Segment)
	if err != nil {
		return client.SegmentSize{}, err
	}
	return a.size(c, s.Filter, in.Exact)
}

// size counts or estimates the people of the workspace whom a filter holds.
func (a *api) size(c *call, f control.Filter, exact bool) (client.SegmentSize, error) {
	p, err := a.profiles()
	if err != nil {
		return client.SegmentSize{}, err
	}
	out := client.SegmentSize{Exact: exact, At: time.Now().UTC().Truncate(time.Millisecond)}
	if exact {
		out.People, err = p.Size(c, c.workspace.Number, f, out.At)
	} else {
		out.People, out.Exact, err = p.Estimate(c, c.workspace.Number, f, out.At)
	}
	out.Lag = a.profileLag()
	return out, err
}

// Days of a segment's sizes: how many are given if nothing is said, and at most.
const (
	defaultSizeDays = 30
	maxSizeDays     = 400
)

type segmentDaysIn struct {
	segmentIn
	Days *int `query:"days" doc:"The last so many, 1 to 400; 30 if it is left out."`
}

func (a *api) listSegmentDays(c *call, in segmentDaysIn) (out client.Page[client.SegmentDay], err error) {
	days := defaultSizeDays
	if in.Days != nil {
		days = *in.Days
	}
	if days < 1 || days > maxSizeDays {
		return out, refused([]fault.Problem{fault.Field("days", "out_of_range", "field.segment_days", "Days are 1 to {most}.", "most", maxSizeDays)})
	}
	if _, err := a.deps.Store.Segment(c, c.workspace.Number, in.Segment); err != nil {
		return out, err
	}
	p, err := a.profiles()
	if err != nil {
		return out, err
	}
	today := control.DayOf(time.Now(), c.workspace.Zone())
	all, err := p.SegmentSizes(c, c.workspace.Number, in.Segment, today-int32(days)+1, today)
	for _, d := range all {
		out.Items = append(out.Items, client.SegmentDay{Day: control.DayText(d.Day), People: d.Size, At: d.At})
	}
	return out, err
}

// previewRows is how many people a preview has.
const previewRows = 10

func (a *api) previewSegment(c *call, in segmentIn) (client.SegmentPreview, error) {
	s, err := a.deps.Store.Segment(c, c.workspace.Number, in.Segment)
	if err != nil {
		return client.SegmentPreview{}, err
	}
	return a.people(c, s)
}

// people gives the first people whom a segment holds, once it is written down who looks.
func (a *api) people(c *call, s control.Segment) (out client.SegmentPreview, err error) {
	p, err := a.profiles()
	if err != nil {
		return out, err
	}
	if err := a.deps.Plane.LookAtPeople(c, s); err != nil {
		return out, err
	}
	some, err := p.Matching(c, c.workspace.Number, s.Filter, time.Now(), 0, previewRows)
	out.Items = []client.SegmentPerson{}
	for _, x := range some {
		out.Items = append(out.Items, client.SegmentPerson{UserID: string(x.ID), ExternalID: x.ExternalID, FirstName: x.FirstName, LastName: x.LastName, Email: x.Email})
	}
	return out, err
}

type sizeFilterIn struct {
	Body client.SegmentQuery `body:""`
}

func (a *api) sizeFilter(c *call, in sizeFilterIn) (client.SegmentSize, error) {
	f := readFilter(in.Body.Filter)
	if err := a.deps.Plane.LookAtFilter(c, c.workspace.Number, f); err != nil {
		return client.SegmentSize{}, err
	}
	return a.size(c, f, in.Body.Exact)
}

type previewFilterIn struct {
	Body client.FilterQuery `body:""`
}

func (a *api) previewFilter(c *call, in previewFilterIn) (client.SegmentPreview, error) {
	f := readFilter(in.Body.Filter)
	if err := refused(f.Validate("filter")); err != nil {
		return client.SegmentPreview{}, err
	}
	return a.people(c, control.Segment{Workspace: c.workspace.Number, Filter: f})
}

type filterNamesIn struct {
	paged
	Kind   string `query:"kind,required" enum:"custom,event,purchase,campaign,canvas,step,group" doc:"As getFilterVocabulary has it."`
	Search string `query:"q" doc:"Only what has this in its name or title, whatever the case."`
}

func (a *api) listFilterNames(c *call, in filterNamesIn) (client.Page[client.FilterName], error) {
	p, err := a.profiles()
	if err != nil {
		return client.Page[client.FilterName]{}, err
	}
	kinds := control.FilterKinds()
	kind := kinds[slices.IndexFunc(kinds, func(k control.FilterKind) bool { return k.Name == in.Kind })] // the enum's are there
	all, err := p.Names(c, c.workspace.Number, kind.Named)
	if err != nil {
		return client.Page[client.FilterName]{}, err
	}
	all = slices.DeleteFunc(all, func(n control.Name) bool { return !holds(in.Search, n.Name, n.Title) })
	return pageOf(c, in.paged, all, func(n control.Name) int64 { return n.ID }, func(n control.Name) client.FilterName {
		return client.FilterName{Name: n.Name, Title: n.Title, LastAt: n.LastAt}
	})
}

func (a *api) getVocabulary(c *call, _ spoken) (out client.FilterVocabulary, err error) {
	l := c.reader()
	choices := func(names []control.FilterName) (all []client.FilterChoice) {
		for _, n := range names {
			all = append(all, client.FilterChoice{Name: n.Name, Title: text.T(l, n.Key, nil), Type: n.Type, Identifies: n.Identifies})
		}
		return all
	}
	for _, k := range control.FilterKinds() {
		out.Kinds = append(out.Kinds, client.FilterKind{FilterChoice: client.FilterChoice{Name: k.Name, Title: text.T(l, k.Key, nil), Type: k.Type},
			Leaf: k.Leaf, Naming: k.Naming, Names: choices(k.Names), Deeds: choices(k.Deeds)})
	}
	for _, t := range control.FilterTypes() {
		shown := client.FilterType{Name: t.Name}
		for _, o := range t.Operators {
			x := client.FilterOperator{FilterChoice: client.FilterChoice{Name: o.Name, Title: text.T(l, o.Key, nil)}, Not: o.Not, Takes: []client.FilterTake{}}
			for _, take := range o.Takes {
				x.Takes = append(x.Takes, client.FilterTake{Field: take.Field, Value: string(take.Value), Fixed: take.Fixed})
			}
			shown.Operators = append(shown.Operators, x)
		}
		out.Types = append(out.Types, shown)
	}
	out.States = choices(control.FilterStates())
	return out, nil
}
