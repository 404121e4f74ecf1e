package page

import (
	"html"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/text"
)

// sends lets events tell of a campaign that is mailed, one that is shown in apps, and a Canvas with a step.
func (w *world) sends() {
	w.t.Helper()
	now := time.Now().UTC()
	today := control.DayHour(control.DayOf(now, time.UTC))
	of := func(id int64, kind control.NameKind, name, title string, parent int64) control.Name {
		return control.Name{ID: id, Workspace: w.acme.Number, Kind: kind, Name: name, Title: title, Parent: parent, FirstAt: now.AddDate(0, 0, -3), LastAt: now}
	}
	stat := func(name int64, days int32, count control.Counter, channel control.Medium, part string, n int64) control.Stat {
		return control.Stat{Name: name, Hour: today - 24*days, Count: count, Channel: control.MessageChannel(channel), Part: part, N: n}
	}
	w.learns(control.PeopleBatch{
		Names: []control.Name{of(1, control.NameCampaign, "c/1", "Spring <i>", 0), of(2, control.NameCampaign, "c-2", "", 0), of(3, control.NameCanvas, "v-1", "Welcome", 0), of(4, control.NameStep, "s-1", "Say hello <i>", 3),
			of(5, control.NameVariation, "a", "Short <i>", 1)},
		Stats: []control.Stat{stat(1, 0, control.CountSent, control.MediumEmail, "a", 1000), stat(1, 20, control.CountSent, control.MediumEmail, "a", 7), stat(1, 0, control.CountConversions, "", "a", 3),
			stat(2, 0, control.CountImpressions, control.MediumInApp, "", 40), stat(3, 0, control.CountEntries, "", "x", 9), stat(4, 0, control.CountSent, control.MediumEmail, "x", 8)},
		People:   []*control.Person{{Row: 500, New: true, Workspace: w.acme.Number, ID: "reader", CreatedAt: now, UpdatedAt: now}},
		Messages: []control.PersonMessage{{Name: 1, Person: 500, Variation: "a", Flags: control.OpenedEmail, Opened: now}},
	})
}

func TestCampaignsAndCanvasesAreShown(t *testing.T) {
	w := newWorld(t)
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get(w.at("/campaigns")).has(t, http.StatusOK, say(l, "page.campaigns_none"), say(l, "page.campaigns_none_text"))
		b.get(w.at("/canvases")).has(t, http.StatusOK, say(l, "page.canvases_none"))
	}
	w.sends()
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		b.get(w.at("/campaigns")).has(t, http.StatusOK, ">"+say(l, "page.within_hour")+"</time>", "Spring &lt;i&gt;", w.at("/campaigns/c%2F1"), ">c-2</a>", say(l, "page.channel_email"), say(l, "page.channel_in_app"), ">"+l.Number(1000)+"<").lacks(t, "<i>", "Welcome")
		b.get(w.at("/canvases")).has(t, http.StatusOK, "Welcome", w.at("/canvases/v-1")).lacks(t, "Spring")
		b.get(w.at("/campaigns?q=spring")).has(t, http.StatusOK, "Spring").lacks(t, ">c-2</a>")
		b.get(w.at("/campaigns?tag=none")).has(t, http.StatusOK, say(l, "page.filter_none"))

		p := b.get(w.at("/campaigns/c%2F1")).has(t, http.StatusOK, ">"+say(l, "page.within_hour")+"</time>", "<h1>Spring &lt;i&gt;</h1>", say(l, "page.campaign_sent_says", "n", 1007, "days", 30, "opened", l.Tenths(1)+" %", "clicked", l.Tenths(0)+" %"),
			"Short &lt;i&gt;", say(l, "page.campaign_converted"), w.at("/campaigns/c%2F1/edit"), `class="s1"`, `id="campaign-id"`)
		p.lacks(t, "<i>", say(l, "page.campaign_spam"))
		b.get(w.at("/campaigns/c%2F1?days=7")).has(t, http.StatusOK, say(l, "page.campaign_sent_says", "n", 1000, "days", 7, "opened", l.Tenths(1)+" %", "clicked", l.Tenths(0)+" %"))
		b.get(w.at("/campaigns/c-2")).has(t, http.StatusOK, say(l, "page.campaign_shown_says", "n", 40, "days", 30, "clicked", l.Tenths(0)+" %"))
		b.get(w.at("/canvases/v-1")).has(t, http.StatusOK, say(l, "page.campaign_entries"), say(l, "page.campaign_steps"), "Say hello &lt;i&gt;")
		b.get(w.at("/campaigns/v-1")).has(t, http.StatusNotFound)
	}
}

func TestWhatPeopleSayOfACampaignIsKept(t *testing.T) {
	w := newWorld(t)
	w.sends()
	at := w.at("/campaigns/c%2F1/edit")
	for _, l := range text.Languages() {
		b := w.signedIn(string(l))
		tag := func() string {
			return html.UnescapeString(regexp.MustCompile(`name="etag" value="([^"]*)"`).FindStringSubmatch(b.get(at).has(t, http.StatusOK, say(l, "page.campaign_archive")).body)[1])
		}
		old := tag()
		name := "Autumn <i> " + string(l)
		b.post(at, "etag", old, "name", name, "description", "<i>d", "tags", "one, two <i>,", "archived", "on").
			has(t, http.StatusOK, "<h1>Autumn &lt;i&gt; "+string(l)+"</h1>", say(l, "page.campaign_saved", "name", "Autumn &lt;i&gt; "+string(l)), "one, two &lt;i&gt;", say(l, "page.campaign_event_name"), say(l, "page.campaign_archived_says")).lacks(t, "<i>")
		b.get(w.at("/campaigns")).has(t, http.StatusOK).lacks(t, "Autumn")
		b.get(w.at("/campaigns?archived=on&tag=one")).has(t, http.StatusOK, "Autumn")
		// What is wrong stands beside its field, and who was overtaken is told.
		b.post(at, "etag", tag(), "name", "x", "tags", "one, one").has(t, http.StatusUnprocessableEntity, say(l, "field.tag_twice"), `value="one, one"`, `id="tags-error"`)
		b.post(at, "etag", old, "name", "x").has(t, http.StatusPreconditionFailed, `value="x"`)
		b.post(at, "etag", tag(), "name", "").has(t, http.StatusOK, "<h1>Spring &lt;i&gt;</h1>")
	}
	viewer := w.joined(control.Viewer, "en")
	viewer.get(w.at("/campaigns/c%2F1")).has(t, http.StatusOK).lacks(t, "/edit")
	viewer.get(at).has(t, http.StatusForbidden)
	viewer.post(at, "name", "x").has(t, http.StatusForbidden)
}
