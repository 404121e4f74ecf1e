package compat

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/httpd"
)

// maxCanvas is of how many days a series of a Canvas is at most. Source: the vendor's page of /canvas/data_series.
const maxCanvas = 14

func campaignCalls(shared, series *httpd.Quota) []call {
	list := []param{page, sortDirection, flag("include_archived", func(q *query) *bool { return &q.archived }),
		moment("last_edit.time[gt]", func(q *query) *time.Time { return &q.editedFrom })}
	campaign, canvas := about("campaign_id"), about("canvas_id")
	days := []param{canvas, needed(endingAt), moment("starting_at", func(q *query) *time.Time { return &q.starting }), length(maxCanvas),
		flag("include_variant_breakdown", func(q *query) *bool { return &q.byVariant }), flag("include_step_breakdown", func(q *query) *bool { return &q.byStep })}
	return []call{
		{http.MethodGet, "/campaigns/list", "", shared, list, listOf(control.NameCampaign, "campaigns")},
		{http.MethodGet, "/campaigns/details", "", shared, []param{campaign}, campaignDetails},
		{http.MethodGet, "/campaigns/data_series", "", series, []param{campaign, needed(length(maxSeries)), endingAt}, campaignSeries},
		{http.MethodGet, "/sends/data_series", "", shared, []param{campaign, needed(text("send_id", func(q *query) *string { return &q.send })), needed(length(maxSeries)), endingAt}, sendSeries},
		{http.MethodGet, "/canvas/list", "", shared, list, listOf(control.NameCanvas, "canvases")},
		{http.MethodGet, "/canvas/details", "", shared, []param{canvas}, canvasDetails},
		{http.MethodGet, "/canvas/data_series", "", shared, days, canvasSeries},
		{http.MethodGet, "/canvas/data_summary", "", shared, days, canvasSummary},
	}
}

// program is a campaign or a Canvas with what people say of it.
type program struct {
	control.Name
	label control.CampaignLabel
}

func (p program) title() string { return cmp.Or(p.label.Title, p.Title, p.Name.Name) }

// edited is when it was last changed: by people, or by coming into being.
func (p program) edited() time.Time {
	if p.label.UpdatedAt.IsZero() {
		return p.FirstAt
	}
	return p.label.UpdatedAt
}

// listOf lists campaigns or Canvases under a name, in the order in which events first named them.
func listOf(kind control.NameKind, under string) func(*request) (answer, error) {
	type item struct {
		ID     string   `json:"id"`
		Edited string   `json:"last_edited"`
		Name   string   `json:"name"`
		API    *bool    `json:"is_api_campaign,omitempty"`
		Tags   []string `json:"tags"`
	}
	return func(q *request) (answer, error) {
		names, err := q.People.Names(q, q.workspace, kind)
		if err != nil {
			return nil, err
		}
		labels, err := q.Store.CampaignLabels(q, q.workspace, kind)
		if err != nil {
			return nil, err
		}
		by := map[string]control.CampaignLabel{}
		for _, l := range labels {
			by[l.ID] = l
		}
		var all []program
		for _, n := range names {
			p := program{n, by[n.Name]}
			if (q.archived || !p.label.Archived) && p.edited().After(q.editedFrom) {
				all = append(all, p)
			}
		}
		slices.SortFunc(all, func(a, b program) int { return cmp.Or(a.FirstAt.Compare(b.FirstAt), cmp.Compare(a.ID, b.ID)) })
		if q.newest {
			slices.Reverse(all)
		}
		items := []item{}
		for _, p := range paged(q, all, listPage) {
			i := item{ID: p.Name.Name, Edited: p.edited().Format(time.RFC3339), Name: p.title(), Tags: tags(p.label.Tags)}
			if kind == control.NameCampaign {
				i.API = new(false)
			}
			items = append(items, i)
		}
		return answer{under: items}, nil
	}
}

// program finds what the request is about.
func (q *request) program(kind control.NameKind) (p program, err error) {
	what, field := "Campaign", "campaign_id"
	if kind == control.NameCanvas {
		what, field = "Canvas", "canvas_id"
	}
	if p.Name, err = q.People.Name(q, q.workspace, kind, q.id); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = unknown(what, field, q.id)
		}
		return p, err
	}
	p.label, err = q.Store.CampaignLabel(q, q.workspace, kind, q.id)
	return p, err
}

// details are what a campaign and a Canvas have in common.
func (q *request) details(p program, stats []control.Stat) answer {
	return answer{
		"created_at": p.FirstAt.Format(time.RFC3339), "updated_at": p.edited().Format(time.RFC3339), "name": p.title(), "description": p.label.Description,
		"archived": p.label.Archived, "draft": false, "enabled": !p.label.Archived, "has_post_launch_draft": false, "tags": tags(p.label.Tags), "teams": []string{},
		"channels": channelsOf(stats),
	}
}

// when is a time as answers have it; null: there was none.
func when(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Format(time.RFC3339)
}

// lastYear gives what was counted of names in the last year, from which details say channels and variations.
func (q *request) lastYear(ids ...int64) ([]control.Stat, error) {
	today := control.DayOf(q.Now(), q.zone)
	return q.People.Stats(q, q.workspace, ids, control.DayHour(today-365), control.DayHour(today+1))
}

func channelsOf(stats []control.Stat) []string {
	all := []string{}
	for _, s := range stats {
		if name := channelName(s.Channel); name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// channelNames are the vendor's names of channels. Source: its page of /campaigns/data_series; those of line, rcs and banner
// by analogy.
var channelNames = map[control.MessageChannel]string{
	"push/ios": "ios_push", "push/android": "android_push", "push/kindle": "kindle_push", "push/web": "web_push", "whatsapp": "whats_app",
	"content_card": "content_cards", "in_app": "trigger_in_app_message",
}

func channelName(c control.MessageChannel) string {
	if name := channelNames[c]; name != "" {
		return name
	}
	return string(c.Medium())
}

func campaignDetails(q *request) (answer, error) {
	p, err := q.program(control.NameCampaign)
	if err != nil {
		return nil, err
	}
	stats, err := q.lastYear(p.ID)
	if err != nil {
		return nil, err
	}
	titles, err := q.variations(p.ID)
	if err != nil {
		return nil, err
	}
	out := q.details(p, stats)
	messages := map[string]answer{}
	for _, s := range stats {
		if s.Part != "" && s.Channel != "" {
			messages[s.Part] = answer{"channel": channelName(s.Channel), "name": cmp.Or(titles[s.Part], s.Part)}
		}
	}
	out["messages"], out["conversion_behaviors"] = messages, []answer{}
	out["first_sent"], out["last_sent"] = when(p.FirstSent), when(p.LastSent)
	return out, nil
}

// parts gives what belongs to a campaign or a Canvas, the oldest first.
func (q *request) parts(kind control.NameKind, parent int64) ([]control.Name, error) {
	all, err := q.People.Names(q, q.workspace, kind)
	all = slices.DeleteFunc(all, func(n control.Name) bool { return n.Parent != parent })
	slices.SortFunc(all, func(a, b control.Name) int { return cmp.Or(a.FirstAt.Compare(b.FirstAt), cmp.Compare(a.ID, b.ID)) })
	return all, err
}

// variations gives the titles of the variations of a campaign or a Canvas, by id.
func (q *request) variations(of int64) (map[string]string, error) {
	all, err := q.parts(control.NameVariation, of)
	out := map[string]string{}
	for _, n := range all {
		out[n.Name] = n.Title
	}
	return out, err
}

func canvasDetails(q *request) (answer, error) {
	p, err := q.program(control.NameCanvas)
	if err != nil {
		return nil, err
	}
	steps, err := q.parts(control.NameStep, p.ID)
	if err != nil {
		return nil, err
	}
	ids := []int64{p.ID}
	for _, s := range steps {
		ids = append(ids, s.ID)
	}
	stats, err := q.lastYear(ids...)
	if err != nil {
		return nil, err
	}
	titles, err := q.variations(p.ID)
	if err != nil {
		return nil, err
	}
	out := q.details(p, stats)
	variants := []answer{}
	for id, title := range sorted(titles) {
		variants = append(variants, answer{"id": id, "name": cmp.Or(title, id), "first_step_ids": []string{}})
	}
	list := []answer{}
	for _, s := range steps {
		of := slices.DeleteFunc(slices.Clone(stats), func(x control.Stat) bool { return x.Name != s.ID })
		list = append(list, answer{"id": s.Name, "name": cmp.Or(s.Title, s.Name), "channels": channelsOf(of), "next_step_ids": []string{}, "next_paths": []string{}})
	}
	out["variants"], out["steps"] = variants, list
	out["first_entry"], out["last_entry"] = when(p.FirstSent), when(p.LastSent)
	return out, nil
}

// counter is something that answers say of messages, with what it adds up.
type counter struct {
	name string
	of   []control.Counter
}

// counters are what answers say of a channel's messages. Source: the vendor's page of /campaigns/data_series.
var counters = map[control.Medium][]counter{
	control.MediumEmail: {{"sent", of(control.CountSent)}, {"opens", of(control.CountOpens, control.CountMachineOpens)}, {"machine_opens", of(control.CountMachineOpens)},
		{"unique_opens", of(control.CountUniqueOpens)}, {"clicks", of(control.CountClicks)}, {"unique_clicks", of(control.CountUniqueClicks)}, {"unsubscribes", of(control.CountUnsubscribes)},
		{"bounces", of(control.CountBounces)}, {"delivered", of(control.CountDelivered)}, {"reported_spam", of(control.CountSpam)}},
	control.MediumPush: {{"sent", of(control.CountSent)}, {"direct_opens", of(control.CountOpens)}, {"total_opens", of(control.CountOpens)},
		{"bounces", of(control.CountBounces)}, {"body_clicks", of(control.CountBodyClicks)}},
	control.MediumSMS: {{"sent", of(control.CountSent)}, {"sent_to_carrier", of(control.CountCarrier)}, {"delivered", of(control.CountDelivered)}, {"rejected", of(control.CountRejected)},
		{"delivery_failed", of(control.CountFailed)}, {"clicks", of(control.CountClicks)}, {"opt_out", of(control.CountOptOuts)}, {"help", of(control.CountHelps)}},
	control.MediumWhatsApp: {{"sent", of(control.CountSent)}, {"delivered", of(control.CountDelivered)}, {"failed", of(control.CountFailed)}, {"read", of(control.CountOpens)}},
	control.MediumWebhook:  {{"sent", of(control.CountSent)}, {"errors", of(control.CountFailed)}},
	control.MediumContentCard: {{"sent", of(control.CountSent)}, {"total_clicks", of(control.CountClicks)}, {"unique_clicks", of(control.CountUniqueClicks)},
		{"total_dismissals", of(control.CountDismissals)}, {"total_impressions", of(control.CountImpressions)}, {"unique_impressions", of(control.CountUniqueOpens)}},
	control.MediumInApp: {{"impressions", of(control.CountImpressions)}, {"clicks", of(control.CountClicks)}, {"first_button_clicks", of(control.CountFirstButton)},
		{"second_button_clicks", of(control.CountSecondButton)}},
	control.MediumBanner: {{"impressions", of(control.CountImpressions)}, {"clicks", of(control.CountClicks)}, {"dismissals", of(control.CountDismissals)}},
	control.MediumLine:   {{"sent", of(control.CountSent)}, {"clicks", of(control.CountClicks)}},
	control.MediumRCS: {{"sent", of(control.CountSent)}, {"delivered", of(control.CountDelivered)}, {"rejected", of(control.CountRejected)}, {"read", of(control.CountOpens)},
		{"clicks", of(control.CountClicks)}},
}

func of(all ...control.Counter) []control.Counter { return all }

// sum adds up the stats that keep takes, of any of some counters.
func sum(stats []control.Stat, keep func(control.Stat) bool, some ...control.Counter) (n int64) {
	for _, s := range stats {
		if slices.Contains(some, s.Count) && keep(s) {
			n += s.N
		}
	}
	return n
}

func every(control.Stat) bool { return true }

// placed gives uniques that say no channel the one that the others have, where these have one alone beside e-mail and push.
func placed(stats []control.Stat) []control.Stat {
	var others []control.MessageChannel
	for _, s := range stats {
		if m := s.Channel.Medium(); m != "" && m != control.MediumEmail && m != control.MediumPush && !slices.Contains(others, s.Channel) {
			others = append(others, s.Channel)
		}
	}
	for i, s := range stats {
		if len(others) == 1 && s.Channel == "" && (s.Count == control.CountUniqueOpens || s.Count == control.CountUniqueClicks) {
			stats[i].Channel = others[0]
		}
	}
	return stats
}

// messages gives what answers say of messages: by channel a list of variations.
func messages(stats []control.Stat, titles map[string]string) map[string][]answer {
	out := map[string][]answer{}
	type key struct {
		channel control.MessageChannel
		part    string
	}
	keys := map[key]bool{}
	for _, s := range stats {
		// Who opened a push is counted whatever the platform, and stands in no list.
		if slices.ContainsFunc(counters[s.Channel.Medium()], func(c counter) bool { return slices.Contains(c.of, s.Count) }) {
			keys[key{s.Channel, s.Part}] = true
		}
	}
	all := slices.SortedFunc(func(yield func(key) bool) {
		for k := range keys {
			if !yield(k) {
				return
			}
		}
	}, func(a, b key) int {
		return cmp.Or(strings.Compare(string(a.channel), string(b.channel)), strings.Compare(a.part, b.part))
	})
	for _, k := range all {
		of := answer{}
		if k.part != "" {
			of["variation_api_id"], of["variation_name"] = k.part, cmp.Or(titles[k.part], k.part)
		}
		for _, c := range counters[k.channel.Medium()] {
			of[c.name] = sum(stats, func(s control.Stat) bool { return s.Channel == k.channel && s.Part == k.part }, c.of...)
		}
		name := channelName(k.channel)
		out[name] = append(out[name], of)
	}
	return out
}

// conversions adds to an answer how many there were by each behaviour.
func conversions(to answer, stats []control.Stat) answer {
	for i, name := range []string{"conversions", "conversions1", "conversions2", "conversions3"} {
		c, _ := control.CountConversion(i)
		to[name] = sum(stats, every, c)
	}
	return to
}

// reached is how many people had a message, as near as counts of events tell: the most that one channel has of sends, or
// where messages are shown and not sent, of impressions.
func reached(stats []control.Stat) (most int64) {
	by := map[control.MessageChannel]int64{}
	for _, s := range stats {
		m := s.Channel.Medium()
		if s.Count == control.CountSent || s.Count == control.CountImpressions && (m == control.MediumInApp || m == control.MediumBanner) {
			by[s.Channel] += s.N
			most = max(most, by[s.Channel])
		}
	}
	return most
}

func campaignSeries(q *request) (answer, error) {
	p, err := q.program(control.NameCampaign)
	if err != nil {
		return nil, err
	}
	return q.messageSeries(p.ID, p.ID)
}

func sendSeries(q *request) (answer, error) {
	p, err := q.program(control.NameCampaign)
	if err != nil {
		return nil, err
	}
	send, err := q.People.Name(q, q.workspace, control.NameSend, q.send)
	if fault.Is(err, fault.NotFound) || err == nil && send.Parent != p.ID {
		err = unknown("Send", "send_id", q.send)
	}
	if err != nil {
		return nil, err
	}
	return q.messageSeries(send.ID, p.ID)
}

// messageSeries is the days of a campaign or a send; titles are those of the campaign.
func (q *request) messageSeries(name, campaign int64) (answer, error) {
	titles, err := q.variations(campaign)
	if err != nil {
		return nil, err
	}
	days := q.days()
	by, err := q.counted(days, name)
	data := []answer{}
	for i, d := range days {
		data = append(data, conversions(answer{"time": control.DayText(d), "messages": messages(by[i], titles), "unique_recipients": reached(by[i])}, by[i]))
	}
	return answer{"data": data}, err
}

// days are those that a request asks for: its length of them up to its end, or else from its start.
func (q *request) days() (all []int32) {
	to := control.DayOf(q.ending, q.zone)
	from := to - int32(max(q.length, 1)) + 1
	if q.length == 0 && !q.starting.IsZero() {
		from = control.DayOf(q.starting, q.zone)
	}
	for d := from; d <= to; d++ {
		all = append(all, d)
	}
	return all
}

// counted gives what was counted of names on each of some days that follow one another, with the unique ones.
func (q *request) counted(days []int32, names ...int64) ([][]control.Stat, error) {
	by := make([][]control.Stat, len(days))
	from, until := control.DayHour(days[0]), control.DayHour(days[len(days)-1]+1)
	stats, err := q.People.Stats(q, q.workspace, names, from, until)
	if err != nil {
		return nil, err
	}
	firsts, err := q.People.Firsts(q, q.workspace, names, q.zone, from, until)
	for _, s := range placed(append(stats, firsts...)) {
		by[s.Day()-days[0]] = append(by[s.Day()-days[0]], s)
	}
	return by, err
}

// canvas reads what both calls about the numbers of a Canvas need.
func (q *request) canvas() (p program, steps []control.Name, titles map[string]string, days []int32, by [][]control.Stat, err error) {
	if p, err = q.program(control.NameCanvas); err != nil {
		return
	}
	if q.length == 0 && q.starting.IsZero() {
		err = wrongParam("length", "required", "Either length or starting_at is needed.")
		return
	}
	days = q.days()
	if len(days) == 0 || len(days) > maxCanvas {
		err = wrongParam("starting_at", "out_of_range", "A series of a Canvas has 1 to 14 days.")
		return
	}
	if steps, err = q.parts(control.NameStep, p.ID); err != nil {
		return
	}
	if titles, err = q.variations(p.ID); err != nil {
		return
	}
	ids := []int64{p.ID}
	if q.byStep {
		for _, s := range steps {
			ids = append(ids, s.ID)
		}
	}
	by, err = q.counted(days, ids...)
	return
}

func wrongParam(field, code, message string) error {
	e := fault.New(fault.Invalid, "", "%s: %s", field, message)
	e.Fields = []fault.Problem{{Field: field, Code: code, Message: message}}
	return e
}

// canvasStats gives what there was of a Canvas by some stats.
func (q *request) canvasStats(p program, steps []control.Name, titles map[string]string, stats []control.Stat) answer {
	of := func(keep func(control.Stat) bool) []control.Stat {
		return slices.DeleteFunc(slices.Clone(stats), func(s control.Stat) bool { return !keep(s) })
	}
	whole := of(func(s control.Stat) bool { return s.Name == p.ID })
	out := answer{"total_stats": conversions(answer{"entries": sum(whole, every, control.CountEntries)}, whole)}
	if q.byVariant {
		variants := map[string]answer{}
		for id, title := range titles {
			own := of(func(s control.Stat) bool { return s.Name == p.ID && s.Part == id })
			variants[id] = conversions(answer{"name": cmp.Or(title, id), "entries": sum(own, every, control.CountEntries)}, own)
		}
		out["variant_stats"] = variants
	}
	if q.byStep {
		all := map[string]answer{}
		for _, s := range steps {
			own := of(func(x control.Stat) bool { return x.Name == s.ID })
			for i := range own {
				own[i].Part = "" // a step's messages are told of all variants together
			}
			all[s.Name] = conversions(answer{"name": cmp.Or(s.Title, s.Name), "unique_recipients": reached(own), "messages": messages(own, nil)}, own)
		}
		out["step_stats"] = all
	}
	return out
}

func canvasSeries(q *request) (answer, error) {
	p, steps, titles, days, by, err := q.canvas()
	if err != nil {
		return nil, err
	}
	list := []answer{}
	for i, d := range days {
		day := q.canvasStats(p, steps, titles, by[i])
		day["time"] = control.DayText(d)
		list = append(list, day)
	}
	return answer{"data": answer{"name": p.title(), "stats": list}}, nil
}

func canvasSummary(q *request) (answer, error) {
	p, steps, titles, _, by, err := q.canvas()
	if err != nil {
		return nil, err
	}
	out := q.canvasStats(p, steps, titles, slices.Concat(by...))
	out["name"] = p.title()
	return answer{"data": out}, nil
}
