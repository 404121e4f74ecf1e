package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// Numbers is what is counted of workspaces; see room store for errors.
type Numbers interface {
	Name(ctx context.Context, workspace uint32, kind control.NameKind, name string) (control.Name, error)
	Stats(ctx context.Context, workspace uint32, names []int64, from, until int32) ([]control.Stat, error)
	Firsts(ctx context.Context, workspace uint32, names []int64, zone *time.Location, from, until int32) ([]control.Stat, error)
}

// program is one of the two things that send messages.
type program struct {
	kind  control.NameKind
	where string // in addresses
	what  string // in a sentence
}

var (
	campaigns = program{control.NameCampaign, "campaigns", "campaign"}
	canvases  = program{control.NameCanvas, "canvases", "Canvas"}
)

// campaignRoutes are about campaigns and Canvases, as events tell of them.
func (a *api) campaignRoutes() []route {
	const group = "campaigns"
	rules := look(func(_ *call, in updateCampaignIn) error {
		return refused(campaignEdit(in.Body, nil).Apply(control.CampaignLabel{}).Validate())
	})
	return []route{
		{name: "listCampaigns", method: http.MethodGet, path: "/workspaces/{workspace}/campaigns", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists the workspace's campaigns, the one with the newest event first.", op: op(a.listPrograms(campaigns))},
		{name: "getCampaign", method: http.MethodGet, path: "/workspaces/{workspace}/campaigns/{campaign}", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Gives a campaign with what there was of it, day by day.", op: op(a.getProgram(campaigns)), versioned: versionsOfCampaign},
		{name: "updateCampaign", method: http.MethodPatch, path: "/workspaces/{workspace}/campaigns/{campaign}", right: control.RightChange, group: group, status: http.StatusOK,
			summary: "Changes what people say of a campaign: name, description, tags, whether it is archived.", op: op(a.updateProgram(campaigns)), versioned: versionsOfCampaign, rules: rules},
		{name: "listCanvases", method: http.MethodGet, path: "/workspaces/{workspace}/canvases", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Lists the workspace's Canvases, the one with the newest event first.", op: op(a.listPrograms(canvases))},
		{name: "getCanvas", method: http.MethodGet, path: "/workspaces/{workspace}/canvases/{campaign}", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Gives a Canvas with what there was of it, day by day.", op: op(a.getProgram(canvases)), versioned: versionsOfCanvas},
		{name: "updateCanvas", method: http.MethodPatch, path: "/workspaces/{workspace}/canvases/{campaign}", right: control.RightChange, group: group, status: http.StatusOK,
			summary: "Changes what people say of a Canvas: name, description, tags, whether it is archived.", op: op(a.updateProgram(canvases)), versioned: versionsOfCanvas, rules: rules},
	}
}

var (
	versionsOfCampaign = &versions{[]string{"campaign.update"}, func(c *call) string { return c.r.PathValue("campaign") }}
	versionsOfCanvas   = &versions{[]string{"canvas.update"}, func(c *call) string { return c.r.PathValue("campaign") }}
)

// Days of which campaigns tell in a list. Channels by which there was nothing for long are no longer theirs.
const (
	sentDays     = 7
	channelDays  = 90
	campaignDays = 30 // of one, if the request says nothing
	maxDays      = 366
)

// told is a campaign with what people say of it.
type told struct {
	control.Name
	label control.CampaignLabel
	stats []control.Stat // of channelDays, which end with today
	today int32          // in the workspace
}

func (t told) title() string { return cmp.Or(t.label.Title, t.Title, t.Name.Name) }

func (t told) show() client.Campaign {
	out := client.Campaign{ID: t.Name.Name, Name: t.title(), EventName: t.Title, Description: t.label.Description, Tags: append([]string{}, t.label.Tags...),
		Archived: t.label.Archived, FirstAt: t.FirstAt, LastAt: t.LastAt, Channels: []string{}}
	since := t.today - sentDays + 1
	for _, m := range control.Media() {
		for _, s := range t.stats {
			if s.Channel.Medium() != m {
				continue
			}
			if !slices.Contains(out.Channels, string(m)) {
				out.Channels = append(out.Channels, string(m))
			}
			shown := s.Count == control.CountImpressions && (m == control.MediumInApp || m == control.MediumBanner)
			if s.Day() >= since && (s.Count == control.CountSent || shown) {
				out.Sent += s.N
			}
		}
	}
	return out
}

// today is the day that it is in the workspace.
func (c *call) today() int32 { return control.DayOf(time.Now(), c.workspace.Zone()) }

type listCampaignsIn struct {
	paged
	Search   string `query:"q" doc:"Is in name, id or description, whatever the case."`
	Tag      string `query:"tag" doc:"Those with this tag."`
	Archived bool   `query:"archived" doc:"Those that are archived, in place of the others."`
}

func (a *api) listPrograms(g program) func(*call, listCampaignsIn) (client.Page[client.Campaign], error) {
	return func(c *call, in listCampaignsIn) (none client.Page[client.Campaign], err error) {
		people, err := a.profiles()
		if err != nil {
			return none, err
		}
		names, err := people.Names(c, c.workspace.Number, g.kind)
		if err != nil {
			return none, err
		}
		labels, err := a.deps.Store.CampaignLabels(c, c.workspace.Number, g.kind)
		if err != nil {
			return none, err
		}
		by := map[string]control.CampaignLabel{}
		for _, l := range labels {
			by[l.ID] = l
		}
		var all []told
		for _, n := range names {
			t := told{Name: n, label: by[n.Name]}
			if t.label.Archived == in.Archived && (in.Tag == "" || slices.Contains(t.label.Tags, in.Tag)) && holds(in.Search, t.title(), n.Name, t.label.Description) {
				all = append(all, t)
			}
		}
		slices.SortStableFunc(all, func(x, y told) int { return y.LastAt.Compare(x.LastAt) })
		id := func(t told) int64 { return t.ID }
		return page(c, in.paged, func(after int64, limit int) ([]told, error) {
			some, err := partOf(all, id, after, limit)
			if err != nil {
				return nil, err
			}
			return some, a.recent(c, people, some)
		}, id, told.show)
	}
}

// recent fills in the statistics that lists show.
func (a *api) recent(c *call, people Profiles, some []told) error {
	ids := make([]int64, len(some))
	for i, t := range some {
		ids[i] = t.ID
	}
	today := c.today()
	stats, err := people.Stats(c, c.workspace.Number, ids, control.DayHour(today-channelDays+1), control.DayHour(today+1))
	by := map[int64][]control.Stat{}
	for _, s := range stats {
		by[s.Name] = append(by[s.Name], s)
	}
	for i := range some {
		some[i].stats, some[i].today = by[some[i].ID], today
	}
	return err
}

// program finds the campaign of the path. Errors: not_found.
func (a *api) program(c *call, g program, id string) (people Profiles, t told, err error) {
	if people, err = a.profiles(); err != nil {
		return nil, t, err
	}
	if t.Name, err = people.Name(c, c.workspace.Number, g.kind, id); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = fault.New(fault.NotFound, "", "No event of the workspace has named such a %s.", g.what)
		}
		return nil, t, err
	}
	t.label, err = a.deps.Store.CampaignLabel(c, c.workspace.Number, g.kind, id)
	return people, t, err
}

type getCampaignIn struct {
	Campaign string     `path:"campaign"`
	Days     *int       `query:"days" doc:"How many: 1 to 366; 30 if it is left out."`
	Until    *time.Time `query:"until" doc:"The last day holds it: now if it is left out."`
}

func (a *api) getProgram(g program) func(*call, getCampaignIn) (client.CampaignDetails, error) {
	return func(c *call, in getCampaignIn) (out client.CampaignDetails, err error) {
		days, last := *cmp.Or(in.Days, new(campaignDays)), c.today()
		if in.Until != nil {
			last = control.DayOf(*in.Until, c.workspace.Zone())
		}
		if days < 1 || days > maxDays {
			return out, refused([]fault.Problem{{Field: "days", Code: "out_of_range", Message: "There are statistics of 1 to 366 days at once."}})
		}
		people, t, err := a.program(c, g, in.Campaign)
		if err != nil {
			return out, err
		}
		some := []told{t}
		if err := a.recent(c, people, some); err != nil {
			return out, err
		}
		out.Campaign = some[0].show()
		c.versioned(t.label.Rev)
		return out, a.details(c, people, t, last-int32(days)+1, last, &out)
	}
}

// details fills in what there was of a campaign on the days from first to last.
func (a *api) details(c *call, people Profiles, t told, first, last int32, out *client.CampaignDetails) error {
	from, until := control.DayHour(first), control.DayHour(last+1)
	parts, err := people.Names(c, c.workspace.Number, control.NameVariation)
	if err != nil {
		return err
	}
	ids := []int64{t.ID}
	titles := map[string]string{}
	for _, v := range parts {
		if v.Parent == t.ID {
			titles[v.Name] = cmp.Or(v.Title, v.Name)
		}
	}
	var steps []control.Name
	if t.Kind == control.NameCanvas {
		all, err := people.Names(c, c.workspace.Number, control.NameStep)
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.Parent == t.ID {
				steps, ids = append(steps, s), append(ids, s.ID)
			}
		}
	}
	stats, err := people.Stats(c, c.workspace.Number, ids, from, until)
	if err != nil {
		return err
	}
	firsts, err := people.Firsts(c, c.workspace.Number, ids, c.workspace.Zone(), from, until)
	if err != nil {
		return err
	}
	stats = append(stats, firsts...)
	byDay := make([]tally, last-first+1)
	byChannel, byVariation, byStep := map[string]*tally{}, map[string]*tally{}, map[int64]*tally{}
	var totals tally
	for _, s := range stats {
		if s.Name != t.ID {
			tallyOf(byStep, s.Name).add(s)
			continue
		}
		totals.add(s)
		byDay[s.Day()-first].add(s)
		if m := s.Channel.Medium(); m != "" {
			tallyOf(byChannel, string(m)).add(s)
		}
		if s.Part != "" {
			tallyOf(byVariation, s.Part).add(s)
		}
	}
	out.Totals = totals.show()
	for i, d := range byDay {
		out.Days = append(out.Days, client.CampaignDay{Day: control.DayText(first + int32(i)), MessageCounts: d.show()})
	}
	for _, m := range control.Media() {
		if n := byChannel[string(m)]; n != nil {
			out.ByChannel = append(out.ByChannel, client.CampaignPart{ID: string(m), Name: string(m), MessageCounts: n.show()})
		}
	}
	for _, id := range sortedKeys(byVariation) {
		out.Variations = append(out.Variations, client.CampaignPart{ID: id, Name: cmp.Or(titles[id], id), MessageCounts: byVariation[id].show()})
	}
	slices.SortFunc(steps, func(x, y control.Name) int { return cmp.Or(x.FirstAt.Compare(y.FirstAt), cmp.Compare(x.ID, y.ID)) })
	for _, s := range steps {
		out.Steps = append(out.Steps, client.CampaignPart{ID: s.Name, Name: cmp.Or(s.Title, s.Name), MessageCounts: tallyOf(byStep, s.ID).show()})
	}
	return nil
}

// tally adds up stats by counter.
type tally map[control.Counter]int64

func tallyOf[K comparable](all map[K]*tally, k K) *tally {
	if all[k] == nil {
		all[k] = &tally{}
	}
	return all[k]
}

func (t *tally) add(s control.Stat) {
	if *t == nil {
		*t = tally{}
	}
	(*t)[s.Count] += s.N
}

func (t tally) show() client.MessageCounts {
	out := client.MessageCounts{
		Sent: t[control.CountSent], Delivered: t[control.CountDelivered], Opens: t[control.CountOpens], UniqueOpens: t[control.CountUniqueOpens],
		MachineOpens: t[control.CountMachineOpens], Clicks: t[control.CountClicks], UniqueClicks: t[control.CountUniqueClicks], BotClicks: t[control.CountBotClicks],
		BodyClicks: t[control.CountBodyClicks], FirstButton: t[control.CountFirstButton], SecondButton: t[control.CountSecondButton],
		Impressions: t[control.CountImpressions], Dismissals: t[control.CountDismissals], Bounces: t[control.CountBounces], SoftBounces: t[control.CountSoftBounces],
		Spam: t[control.CountSpam], Unsubscribes: t[control.CountUnsubscribes], OptOuts: t[control.CountOptOuts], Helps: t[control.CountHelps],
		Carrier: t[control.CountCarrier], Rejected: t[control.CountRejected], Failed: t[control.CountFailed], Aborted: t[control.CountAborted],
		Entries: t[control.CountEntries], Exits: t[control.CountExits], Control: t[control.CountControl],
	}
	for i := range 4 {
		n, _ := control.CountConversion(i)
		out.Conversions = append(out.Conversions, t[n])
	}
	return out
}

type updateCampaignIn struct {
	Campaign string              `path:"campaign"`
	Body     client.CampaignEdit `body:""`
}

func campaignEdit(e client.CampaignEdit, rev *int64) control.CampaignEdit {
	return control.CampaignEdit{Title: e.Name, Description: e.Description, Tags: e.Tags, Archived: e.Archived, Rev: rev}
}

func (a *api) updateProgram(g program) func(*call, updateCampaignIn) (client.Campaign, error) {
	return func(c *call, in updateCampaignIn) (out client.Campaign, err error) {
		rev, err := meant(c)
		if err != nil {
			return out, err
		}
		people, t, err := a.program(c, g, in.Campaign)
		if err != nil {
			return out, err
		}
		if t.label, err = a.deps.Plane.UpdateCampaign(c, c.workspace.Number, g.kind, in.Campaign, cmp.Or(t.Title, t.Name.Name), campaignEdit(in.Body, rev)); err != nil {
			return out, err
		}
		c.versioned(t.label.Rev)
		some := []told{t}
		if err := a.recent(c, people, some); err != nil {
			return out, err
		}
		return some[0].show(), nil
	}
}
