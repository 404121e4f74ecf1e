package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// applied lets the database of people take a batch, as their reader would.
func (w *world) applied(b control.PeopleBatch) {
	w.t.Helper()
	p := w.api.deps.Profiles.(interface {
		Cursor(ctx context.Context) (eventlog.ID, eventlog.Offset, bool, error)
		Apply(ctx context.Context, b *control.PeopleBatch) error
	})
	_, at, _, err := p.Cursor(w.t.Context())
	must(w.t, err)
	b.Log, b.From, b.Next = eventlog.ID{1}, at, at+1
	must(w.t, p.Apply(w.t.Context(), &b))
}

// sends lets events tell of two campaigns and a Canvas with a step of acme.
func (w *world) sends() {
	now := time.Now().UTC().Truncate(time.Millisecond)
	day := control.DayHour(control.DayOf(now, time.UTC))
	of := func(id int64, kind control.NameKind, name, title string, parent int64, ago time.Duration) control.Name {
		return control.Name{ID: id, Workspace: w.acme.Number, Kind: kind, Name: name, Title: title, Parent: parent, FirstAt: now.Add(-ago), LastAt: now.Add(-ago)}
	}
	const mail = control.MessageChannel(control.MediumEmail)
	w.applied(control.PeopleBatch{
		Names: []control.Name{
			of(101, control.NameCampaign, "c-7a", "Welcome", 0, 0), of(102, control.NameCampaign, "cb", "", 0, time.Hour), of(103, control.NameCanvas, "j-7a", "Journey", 0, 0),
			of(104, control.NameStep, "sa", "First", 103, 0), of(105, control.NameVariation, "va", "Short", 101, 0),
		},
		Stats: []control.Stat{
			{Name: 101, Hour: day, Count: control.CountSent, Channel: mail, Part: "va", N: 5}, {Name: 101, Hour: day - 24, Count: control.CountSent, Channel: "push/ios", Part: "vb", N: 2},
			{Name: 101, Hour: day - 24*20, Count: control.CountSent, Channel: mail, Part: "va", N: 100}, {Name: 101, Hour: day, Count: control.CountConversions + 1, Part: "va", N: 3},
			{Name: 103, Hour: day, Count: control.CountEntries, Part: "x", N: 9}, {Name: 104, Hour: day, Count: control.CountSent, Channel: mail, Part: "x", N: 4},
		},
		People:   []*control.Person{{Row: 500, New: true, Workspace: w.acme.Number, ID: "reader", CreatedAt: now, UpdatedAt: now}},
		Messages: []control.PersonMessage{{Name: 101, Person: 500, Variation: "va", Flags: control.OpenedEmail, Opened: now}},
	})
}

const acmesCampaigns = "/workspaces/acme/campaigns"

// campaignExamples are those of rows about campaigns.
func (w *world) campaignExamples() map[string]func(who string) example {
	told := false
	at := func(path string, body any) func(string) example {
		return func(string) example {
			if !told {
				told = true
				w.sends()
			}
			return example{path: "/workspaces/acme" + path, body: body}
		}
	}
	edit := client.CampaignEdit{Description: new("x")}
	return map[string]func(string) example{
		"listCampaigns": at("/campaigns", nil), "getCampaign": at("/campaigns/c-7a", nil), "updateCampaign": at("/campaigns/c-7a", edit),
		"listCanvases": at("/canvases", nil), "getCanvas": at("/canvases/j-7a", nil), "updateCanvas": at("/canvases/j-7a", edit),
	}
}

func TestCampaignsAreListedAsEventsAndPeopleTellOfThem(t *testing.T) {
	w := newWorld(t, nil)
	w.sends()
	list := func(query string) []string {
		var p client.Page[client.Campaign]
		w.as(viewer, "GET", acmesCampaigns+query, nil).read(200, &p)
		var all []string
		for _, c := range p.Items {
			all = append(all, fmt.Sprintf("%s %s %v %d", c.ID, c.Name, c.Channels, c.Sent))
		}
		if p.Next != "" {
			all = append(all, "…")
		}
		return all
	}
	same(t, "all", list(""), []string{"c-7a Welcome [email push] 7", "cb cb [] 0"})
	same(t, "the first", list("?limit=1"), []string{"c-7a Welcome [email push] 7", "…"})
	a := w.as(editor, "PATCH", acmesCampaigns+"/cb", client.CampaignEdit{Name: new("Goodbye"), Tags: &[]string{"old"}, Archived: new(true)})
	a.read(200, nil)
	same(t, "those that are not archived", list(""), []string{"c-7a Welcome [email push] 7"})
	same(t, "those that are", list("?archived=true"), []string{"cb Goodbye [] 0"})
	same(t, "by tag", list("?tag=old&archived=true"), []string{"cb Goodbye [] 0"})
	same(t, "by a word", list("?q=WELC"), []string{"c-7a Welcome [email push] 7"})
	same(t, "by a word that is nowhere", list("?q=none"), []string{})

	var got client.Campaign
	w.ask("PATCH", acmesCampaigns+"/cb", `{"name":""}`, with(w.session(editor), "If-Match", a.header.Get("ETag"))).read(200, &got)
	same(t, "without a name of people's", []string{got.Name}, []string{"cb"})
	w.ask("PATCH", acmesCampaigns+"/cb", `{"name":"late"}`, with(w.session(editor), "If-Match", a.header.Get("ETag"))).refused(http.StatusPreconditionFailed)
	bad := problems(w.as(editor, "PATCH", acmesCampaigns+"/cb", `{"name":" x","tags":["a","a"],"titel":1}`).refused(422))
	slices.Sort(bad)
	same(t, "problems", bad, []string{"name invalid", "tags[1] duplicate", "titel unknown_field"})
	w.as(editor, "PATCH", acmesCampaigns+"/nothing", client.CampaignEdit{}).refused(404)
	w.as(viewer, "GET", "/workspaces/acme/canvases/c-7a", nil).refused(404)
	var changes client.Page[client.ChangeEntry]
	w.as(admin, "GET", "/workspaces/acme/changes?kind=campaign", nil).read(200, &changes)
	if len(changes.Items) != 2 || changes.Items[1].SubjectName != "Goodbye" || changes.Items[1].After["archived"] != true {
		t.Errorf("the log of changes has %+v", changes.Items)
	}
}

func TestACampaignHasItsDays(t *testing.T) {
	w := newWorld(t, nil)
	w.sends()
	var got client.CampaignDetails
	w.as(viewer, "GET", acmesCampaigns+"/c-7a?days=2", nil).read(200, &got)
	if len(got.Days) != 2 || got.Days[0].Sent != 2 || got.Days[1].Sent != 5 || got.Days[1].UniqueOpens != 1 || got.Totals.Sent != 7 || !slices.Equal(got.Totals.Conversions, []int64{0, 3, 0, 0}) ||
		got.Days[1].Day != time.Now().UTC().Format(time.DateOnly) {
		t.Errorf("%+v", got)
	}
	parts := func(all []client.CampaignPart) (out []string) {
		for _, p := range all {
			out = append(out, fmt.Sprint(p.ID, " ", p.Name, " ", p.Sent))
		}
		return out
	}
	same(t, "channels", parts(got.ByChannel), []string{"email email 5", "push push 2"})
	same(t, "variations", parts(got.Variations), []string{"va Short 5", "vb vb 2"})
	w.as(viewer, "GET", acmesCampaigns+"/c-7a?until=2020-01-01T00:00:00Z", nil).read(200, &got)
	if len(got.Days) != 30 || got.Totals.Sent != 0 || got.Days[29].Day != "2020-01-01" {
		t.Errorf("%+v", got.Days)
	}
	for _, days := range []string{"0", "367"} {
		same(t, "days="+days, problems(w.as(viewer, "GET", acmesCampaigns+"/c-7a?days="+days, nil).refused(422)), []string{"days out_of_range"})
	}
	w.as(viewer, "GET", "/workspaces/acme/canvases/j-7a", nil).read(200, &got)
	same(t, "steps", parts(got.Steps), []string{"sa First 4"})
	if got.Totals.Entries != 9 || got.Totals.Sent != 0 {
		t.Errorf("%+v", got.Totals)
	}
}
