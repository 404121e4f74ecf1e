package page

import (
	"cmp"
	"context"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
)

// program is one of the two things that messages belong to, with what the API has of it.
type program struct {
	path, title, one string // of its list; keys of what it is called, all of them and one
	none, noneText   string // keys
	exports          string // kind of the export of whom it reached
	list             func(c *client.Client, ctx context.Context, workspace string, f client.CampaignFilter) iter.Seq2[client.Campaign, error]
	get              func(c *client.Client, ctx context.Context, workspace, id string, d client.CampaignDays) (client.CampaignDetails, error)
	update           func(c *client.Client, ctx context.Context, workspace, id string, e client.CampaignEdit, etag string) (client.Campaign, error)
}

var (
	campaigns = program{"/campaigns", "page.campaigns", "page.person_campaign", "page.campaigns_none", "page.campaigns_none_text", "campaign_users_csv",
		(*client.Client).ListCampaigns, (*client.Client).GetCampaign, (*client.Client).UpdateCampaign}
	canvases = program{"/canvases", "page.canvases", "page.person_canvas", "page.canvases_none", "page.canvases_none_text", "canvas_users_csv",
		(*client.Client).ListCanvases, (*client.Client).GetCanvas, (*client.Client).UpdateCanvas}
)

// campaignPages list campaigns and Canvases, show what came of each, and change what people say of it.
func campaignPages() []page {
	return []page{
		{"GET /w/{workspace}/campaigns", false, campaigns.showList},
		{"GET /w/{workspace}/campaigns/{campaign}", false, campaigns.show},
		{"GET /w/{workspace}/campaigns/{campaign}/edit", false, editors(campaigns.showEdit)},
		{"POST /w/{workspace}/campaigns/{campaign}/edit", false, editors(campaigns.saveEdit)},
		{"GET /w/{workspace}/canvases", false, canvases.showList},
		{"GET /w/{workspace}/canvases/{campaign}", false, canvases.show},
		{"GET /w/{workspace}/canvases/{campaign}/edit", false, editors(canvases.showEdit)},
		{"POST /w/{workspace}/canvases/{campaign}/edit", false, editors(canvases.saveEdit)},
	}
}

// at is the address of one of them.
func (g program) at(v *visit, id string) string { return v.path(g.path + "/" + url.PathEscape(id)) }

// showList lists those that are in use, or archived, the one with the newest event first.
func (g program) showList(v *visit) error {
	f := v.frame(v.t("page.rail_campaigns"), campaigns.path)
	for _, x := range []program{campaigns, canvases} {
		f.Tabs = append(f.Tabs, tab{v.t(x.title), v.path(x.path), x.path == g.path})
	}
	f.Says = &says{Text: v.t("page.campaigns_say")}
	p := listPage{Frame: f, Table: table{Empty: &empty{v.t(g.none), v.t(g.noneText), nil}}}
	rules, err := v.installed()
	if err != nil {
		return err
	}
	if !rules.Profiles {
		p.Table.Empty = &empty{v.t("control.no_profiles"), v.t("control.no_profiles_hint"), nil}
		v.show(http.StatusOK, "list", p)
		return nil
	}
	q := v.r.URL.Query()
	narrow := client.CampaignFilter{Search: strings.TrimSpace(q.Get("q")), Tag: strings.TrimSpace(q.Get("tag")), Archived: q.Get("archived") != ""}
	ctx, part := v.part()
	all, err := collect(v, g.list(v.api, ctx, v.place.Workspace, narrow))
	if err != nil {
		return err
	}
	p.Filter = &filter{Button: v.t("page.filter"), Fields: []field{
		{Name: "q", Type: "search", Label: v.t("page.campaign_search"), Value: q.Get("q")},
		{Name: "tag", Label: v.t("page.campaign_tag"), Value: q.Get("tag")},
		{Name: "archived", Label: v.t("page.status"), Options: []option{{"", v.t("page.campaign_used"), !narrow.Archived}, {"on", v.t("page.campaign_archived"), narrow.Archived}}},
	}}
	if narrow != (client.CampaignFilter{}) {
		p.Filter.Clear = &button{Text: v.t("page.filter_clear"), Kind: "quiet", Href: v.r.URL.Path}
		p.Table.Empty = &empty{v.t("page.filter_none"), v.t("page.filter_none_text"), nil}
	}
	p.Table.Columns = []column{{v.t("page.name"), false}, {v.t("page.campaign_channels"), false}, {v.t("page.campaign_tags"), false}, {v.t("page.campaign_week"), true}, {v.t("page.campaign_first"), false}, {v.t("page.campaign_last"), false}}
	for _, x := range all {
		p.Table.Rows = append(p.Table.Rows, row{[]cell{{Text: x.Name, Href: g.at(v, x.ID)}, {Text: v.channelsOf(x)}, {Text: cmp.Or(strings.Join(x.Tags, ", "), "–")},
			{Text: v.lang.Number(x.Sent)}, {Time: v.moment(x.FirstAt)}, {Time: v.toTheHour(x.LastAt)}}})
	}
	v.pages(&p.Table, part)
	v.show(http.StatusOK, "list", p)
	return nil
}

func (v *visit) channelsOf(x client.Campaign) string {
	var names []string
	for _, c := range x.Channels {
		names = append(names, v.channel(c))
	}
	return cmp.Or(strings.Join(names, ", "), "–")
}

// span is how many days a campaign's chart shows. The API knows more.
type span struct {
	days int
	key  string
}

// spans are those that can be chosen; usualSpan is shown if none is.
var spans = []span{{7, "page.campaign_7"}, {30, "page.campaign_30"}, {90, "page.campaign_90"}}

const usualSpan = 1

// program gives the one of the address with the frame of a page about it.
func (g program) of(v *visit, days int, title string) (client.CampaignDetails, frame, error) {
	x, err := g.get(v.api, v, v.place.Workspace, v.r.PathValue("campaign"), client.CampaignDays{Days: days})
	if err != nil {
		return x, frame{}, v.said(err)
	}
	f := v.frame(cmp.Or(title, x.Name), campaigns.path)
	f.Crumbs = []crumb{{v.t(g.title), v.path(g.path)}, {x.Name, ""}}
	if title != "" {
		f.Crumbs[1].Href = g.at(v, x.ID)
		f.Crumbs = append(f.Crumbs, crumb{title, ""})
	}
	return x, f, nil
}

// show says what came of one: a sentence, its days, and its variations, steps and channels.
func (g program) show(v *visit) error {
	chosen := slices.IndexFunc(spans, func(s span) bool { return strconv.Itoa(s.days) == v.r.URL.Query().Get("days") })
	if chosen < 0 {
		chosen = usualSpan
	}
	x, f, err := g.of(v, spans[chosen].days, "")
	if err != nil {
		return err
	}
	f.Says = v.campaignSays(x)
	if v.may("editor") {
		f.Actions = []button{{Text: v.t("page.campaign_edit"), Icon: "pencil", Href: g.at(v, x.ID) + "/edit"}}
	}
	if v.place.ExportUserData {
		f.Actions = append(f.Actions, button{Text: v.exportKind(g.exports), Icon: "download", Href: g.at(v, x.ID) + "/export"})
		if g.path == campaigns.path {
			f.Actions = append(f.Actions, button{Text: v.t("page.export_performance"), Icon: "download", Href: v.path("/reports/new?kind=campaign_performance&campaign=" + url.QueryEscape(x.ID))})
		}
	}
	p := sectionsPage{Frame: f, Sections: []section{{Figures: v.campaignFigures(x.Totals)}, {Title: v.t("page.campaign_days"), Chart: v.campaignChart(x, chosen)}}}
	for i := range x.ByChannel {
		x.ByChannel[i].Name = v.channel(x.ByChannel[i].ID)
		x.ByChannel[i].ID = x.ByChannel[i].Name
	}
	for _, s := range []struct {
		key, what string
		parts     []client.CampaignPart
	}{{"page.campaign_steps", "page.campaign_step", x.Steps}, {"page.campaign_variations", "page.campaign_variation", x.Variations}, {"page.person_channels", "page.person_channel", x.ByChannel}} {
		if len(s.parts) > 0 {
			p.Sections = append(p.Sections, section{Title: v.t(s.key), Table: v.partsTable(s.what, s.parts)})
		}
	}
	facts := pairs{{Name: "Id", Copy: &line{"campaign-id", "Id", x.ID}}}
	if x.EventName != "" && x.EventName != x.Name {
		facts = append(facts, pairItem{Name: v.t("page.campaign_event_name"), Text: x.EventName})
	}
	facts = append(facts, pairItem{Name: v.t("page.campaign_description"), Text: cmp.Or(x.Description, "–")}, pairItem{Name: v.t("page.campaign_tags"), Text: cmp.Or(strings.Join(x.Tags, ", "), "–")},
		pairItem{Name: v.t("page.campaign_channels"), Text: v.channelsOf(x.Campaign)}, pairItem{Name: v.t("page.campaign_first"), Time: v.moment(x.FirstAt)}, pairItem{Name: v.t("page.campaign_last"), Time: v.toTheHour(x.LastAt)})
	p.Sections = append(p.Sections, section{Title: v.t(g.one), Pairs: facts})
	v.show(http.StatusOK, "sections", p)
	return nil
}

// campaignSays says in a sentence how much was sent, and what people did with it.
func (v *visit) campaignSays(x client.CampaignDetails) *says {
	n, s := x.Totals, &says{plain, "megaphone", v.t("page.campaign_quiet", "days", len(x.Days))}
	switch {
	case n.Sent > 0:
		s.Text = v.t("page.campaign_sent_says", "n", n.Sent, "days", len(x.Days), "opened", v.share(n.UniqueOpens, n.Sent), "clicked", v.share(n.UniqueClicks, n.Sent))
	case n.Impressions > 0:
		s.Text = v.t("page.campaign_shown_says", "n", n.Impressions, "days", len(x.Days), "clicked", v.share(n.UniqueClicks, n.Impressions))
	}
	if x.Archived {
		s.Text = v.t("page.campaign_archived_says") + " " + s.Text
	}
	return s
}

// share writes a part of a whole in percent.
func (v *visit) share(part, whole int64) string {
	if whole == 0 {
		return "–"
	}
	tenths := (1000*part + whole/2) / whole
	return v.lang.Tenths(tenths) + " %"
}

// counted are what figures and tables show of a campaign, those that there are.
var counted = []struct {
	key string
	n   func(client.MessageCounts) int64
	of  func(client.MessageCounts) int64 // what it is a part of; nil: nothing
}{
	{"page.campaign_entries", func(m client.MessageCounts) int64 { return m.Entries }, nil},
	{"page.campaign_sent", func(m client.MessageCounts) int64 { return m.Sent }, nil},
	{"page.campaign_delivered", func(m client.MessageCounts) int64 { return m.Delivered }, sentOf},
	{"page.campaign_shown", func(m client.MessageCounts) int64 { return m.Impressions }, nil},
	{"page.campaign_opened", func(m client.MessageCounts) int64 { return m.UniqueOpens }, reachOf},
	{"page.campaign_clicked", func(m client.MessageCounts) int64 { return m.UniqueClicks }, reachOf},
	{"page.campaign_converted", func(m client.MessageCounts) int64 {
		var n int64
		for _, x := range m.Conversions {
			n += x
		}
		return n
	}, nil},
	{"page.campaign_bounced", func(m client.MessageCounts) int64 { return m.Bounces + m.SoftBounces }, sentOf},
	{"page.campaign_unsubscribed", func(m client.MessageCounts) int64 { return m.Unsubscribes + m.OptOuts }, sentOf},
	{"page.campaign_spam", func(m client.MessageCounts) int64 { return m.Spam }, sentOf},
	{"page.campaign_failed", func(m client.MessageCounts) int64 { return m.Rejected + m.Failed + m.Aborted }, nil},
	{"page.campaign_exits", func(m client.MessageCounts) int64 { return m.Exits }, nil},
	{"page.campaign_control", func(m client.MessageCounts) int64 { return m.Control }, nil},
}

func sentOf(m client.MessageCounts) int64 { return m.Sent }

// reachOf is how many messages there were to open or to click in.
func reachOf(m client.MessageCounts) int64 { return cmp.Or(m.Sent, m.Impressions) }

func (v *visit) campaignFigures(m client.MessageCounts) (out []figure) {
	for _, c := range counted {
		if n := c.n(m); n > 0 || c.key == "page.campaign_sent" && m.Impressions == 0 {
			f := figure{Name: v.t(c.key), Text: v.lang.Number(n)}
			if c.of != nil && c.of(m) > 0 {
				f.Small = v.share(n, c.of(m))
			}
			out = append(out, f)
		}
	}
	return out
}

// partsTable shows of each part what there was of any.
func (v *visit) partsTable(what string, parts []client.CampaignPart) *table {
	t := &table{Columns: []column{{v.t(what), false}}}
	rows := make([]row, len(parts))
	for i, p := range parts {
		name := cell{Text: p.Name}
		if p.ID != p.Name {
			name.Small = p.ID
		}
		rows[i].Cells = []cell{name}
	}
	for _, c := range counted {
		if !slices.ContainsFunc(parts, func(p client.CampaignPart) bool { return c.n(p.MessageCounts) > 0 }) {
			continue
		}
		t.Columns = append(t.Columns, column{v.t(c.key), true})
		for i, p := range parts {
			n := cell{Text: v.lang.Number(c.n(p.MessageCounts))}
			if c.of != nil && c.of(p.MessageCounts) > 0 {
				n.Small = v.share(c.n(p.MessageCounts), c.of(p.MessageCounts))
			}
			rows[i].Cells = append(rows[i].Cells, n)
		}
	}
	t.Rows = rows
	return t
}

// campaignChart draws the days of one: what was sent or shown, and what people did with it.
func (v *visit) campaignChart(x client.CampaignDetails, chosen int) *chart {
	shown := x.Totals.Sent == 0 && x.Totals.Impressions > 0
	names := []string{v.t("page.campaign_sent"), v.t("page.campaign_opened")}
	if shown {
		names = []string{v.t("page.campaign_shown"), v.t("page.campaign_clicked")}
	}
	var points []point
	var clicks []cell
	for i, d := range x.Days {
		at, err := time.Parse(time.DateOnly, d.Day)
		if err != nil {
			continue // a day that the API does not give
		}
		p := point{At: at, Label: v.lang.Date(at), Values: [2]int64{d.Sent, d.UniqueOpens}}
		if shown {
			p.Values = [2]int64{d.Impressions, d.UniqueClicks}
		}
		if every := max(1, len(x.Days)/5); i%every == every/2 {
			p.Tick, p.Wide = v.lang.DayMonth(at), i/every%2 == 1
		}
		points = append(points, p)
		clicks = append(clicks, cell{Text: v.lang.Number(d.UniqueClicks)})
	}
	c := newChart(v.lang, v.t("page.campaign_days"), v.t("page.current_date"), names, points, true)
	if !shown {
		c.Table.Columns = append(c.Table.Columns, column{v.t("page.campaign_clicked"), true})
		for i := range c.Table.Rows {
			c.Table.Rows[i].Cells = append(c.Table.Rows[i].Cells, clicks[i])
		}
	}
	c.Unit = v.t("page.campaign_unit", "zone", v.place.TimeZone)
	for i, s := range spans {
		c.Ranges = append(c.Ranges, tab{v.t(s.key), v.r.URL.Path + "?days=" + strconv.Itoa(s.days), i == chosen})
	}
	return &c
}

// showEdit shows the form of what people say of one.
func (g program) showEdit(v *visit) error {
	x, f, err := g.of(v, 1, v.t("page.campaign_edit"))
	if err != nil {
		return err
	}
	return g.editForm(v, x, f, x.Campaign, strings.Join(x.Tags, ", "), x.ETag, nil)
}

func (g program) editForm(v *visit, x client.CampaignDetails, f frame, typed client.Campaign, tags, etag string, wrong error) error {
	problems := v.problems(wrong)
	hint := v.t("page.campaign_name_hint")
	if x.EventName != "" {
		hint = v.t("page.campaign_name_events", "name", x.EventName)
	}
	edit := form{Problem: v.wrong(wrong), Hidden: []hidden{{"etag", etag}}, Parts: []part{
		{Field: &field{Name: "name", Label: v.t("page.name"), Hint: hint, Value: typed.Name, Error: problems["name"], Autocomplete: "off"}},
		{Field: &field{Name: "description", Label: v.t("page.campaign_description"), Value: typed.Description, Error: problems["description"], Lines: 3}},
		{Field: &field{Name: "tags", Label: v.t("page.campaign_tags"), Hint: v.t("page.campaign_tags_hint"), Value: tags, Error: gathered(problems, "tags"), Autocomplete: "off"}},
		{Check: &check{Name: "archived", Label: v.t("page.campaign_archive"), Hint: v.t("page.campaign_archive_hint"), On: typed.Archived, Switch: true}},
	}, Buttons: []button{{Text: v.t("page.save"), Kind: "primary"}, {Text: v.t("page.cancel"), Kind: "quiet", Href: g.at(v, x.ID)}}}
	edit.unplaced(problems)
	v.show(statusOf(wrong), "form", formPage{f, edit})
	return nil
}

// saveEdit keeps what was typed. It is meant for the version that was shown.
func (g program) saveEdit(v *visit) error {
	x, f, err := g.of(v, 1, v.t("page.campaign_edit"))
	if err != nil {
		return err
	}
	typed := client.Campaign{Name: strings.TrimSpace(v.form("name")), Description: strings.TrimSpace(v.form("description")), Archived: v.form("archived") != "", Tags: []string{}}
	for t := range strings.SplitSeq(v.form("tags"), ",") {
		if t = strings.TrimSpace(t); t != "" {
			typed.Tags = append(typed.Tags, t)
		}
	}
	e := client.CampaignEdit{Name: &typed.Name, Description: &typed.Description, Tags: &typed.Tags, Archived: &typed.Archived}
	if typed.Name == x.Name {
		e.Name = nil // as it is called, whoever calls it so
	}
	saved, err := g.update(v.api, v, v.place.Workspace, x.ID, e, v.form("etag"))
	if err = v.said(err); err != nil {
		if !isInput(err) {
			return err
		}
		return g.editForm(v, x, f, typed, v.form("tags"), x.ETag, err)
	}
	return v.done(g.at(v, x.ID), "page.campaign_saved", "name", saved.Name)
}
