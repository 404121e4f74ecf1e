package compat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// applied lets the database of people take a batch, as their reader would.
func (w *world) applied(b control.PeopleBatch) {
	w.t.Helper()
	b.Log, b.From, b.Next = eventlog.ID{1}, w.at, w.at+1
	w.at++
	must(w.t, w.people.Apply(w.t.Context(), &b))
}

func named(id int64, workspace uint32, kind control.NameKind, name, title string, parent int64) control.Name {
	at := today.Add(time.Duration(id) * time.Second)
	return control.Name{ID: id, Workspace: workspace, Kind: kind, Name: name, Title: title, Parent: parent, FirstAt: at, LastAt: at}
}

// sent is n with times of sends, or entries.
func sent(n control.Name) control.Name {
	n.FirstSent, n.LastSent = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	return n
}

const mail = control.MessageChannel(control.MediumEmail)

func TestCampaignsAreListedDescribedAndCounted(t *testing.T) {
	w := newWorld(t)
	day := control.DayHour(control.DayOf(today, time.UTC))
	w.applied(control.PeopleBatch{
		Names: []control.Name{
			sent(named(1, acme, control.NameCampaign, "c1", "Welcome", 0)), named(2, acme, control.NameVariation, "v1", "Short", 1), named(3, acme, control.NameSend, "s1", "", 1),
			named(4, acme, control.NameCampaign, "c2", "Old", 0), named(5, globex, control.NameCampaign, "c3", "Theirs", 0), named(6, globex, control.NameSend, "s3", "", 5),
		},
		Stats: []control.Stat{
			{Name: 1, Hour: day, Count: control.CountSent, Channel: mail, Part: "v1", N: 5}, {Name: 1, Hour: day, Count: control.CountOpens, Channel: mail, Part: "v1", N: 2},
			{Name: 1, Hour: day, Count: control.CountMachineOpens, Channel: mail, Part: "v1", N: 1}, {Name: 1, Hour: day, Count: control.CountSent, Channel: "push/ios", Part: "v2", N: 6},
			{Name: 1, Hour: day, Count: control.CountConversions + 2, Part: "v1", N: 4}, {Name: 3, Hour: day - 24, Count: control.CountFailed, Channel: "webhook", Part: "v1", N: 3},
		},
		People:   []*control.Person{{Row: 1, New: true, Workspace: acme, ID: "p1", CreatedAt: today, UpdatedAt: today}, {Row: 2, New: true, Workspace: acme, ID: "p2", CreatedAt: today, UpdatedAt: today}},
		Messages: []control.PersonMessage{{Name: 1, Person: 1, Variation: "v1", Flags: control.OpenedEmail, Opened: today}, {Name: 1, Person: 2, Variation: "v2", Flags: control.OpenedPush, Opened: today}},
	})
	ctx := control.WithActor(t.Context(), control.CommandLine())
	w.now = today.Add(time.Hour)
	_, err := w.plane.UpdateCampaign(ctx, acme, control.NameCampaign, "c2", "Old", control.CampaignEdit{Title: new("Goodbye"), Archived: new(true), Tags: &[]string{"x"}})
	must(t, err)
	w.now = today

	const welcome, goodbye = `{"id":"c1","last_edited":"2026-11-22T10:30:01Z","name":"Welcome","is_api_campaign":false,"tags":[]}`, `{"id":"c2","last_edited":"2026-11-22T11:30:00Z","name":"Goodbye","is_api_campaign":false,"tags":["x"]}`
	list := func(items string) string { return `{"campaigns":[` + items + `],"message":"success"}` }
	w.want("/campaigns/list", 200, list(welcome))
	w.want("/campaigns/list?include_archived=true&sort_direction=desc", 200, list(goodbye+","+welcome))
	w.want("/campaigns/list?include_archived=true&last_edit.time[gt]=2026-11-22T11:00:00", 200, list(goodbye))
	w.want("/campaigns/list?page=1", 200, list(""))
	w.want("/campaigns/list?include_archived=perhaps&sort_direction=up&page=-1", 400, `"|page: This has to be a whole number from 0 on."`)

	w.want("/campaigns/details?campaign_id=c1", 200, `{"archived":false,"channels":["email","ios_push"],"conversion_behaviors":[],"created_at":"2026-11-22T10:30:01Z","description":"","draft":false,"enabled":true,`+
		`"first_sent":"2026-11-20T08:00:00Z","has_post_launch_draft":false,"last_sent":"2026-11-21T09:00:00Z","message":"success",`+
		`"messages":{"v1":{"channel":"email","name":"Short"},"v2":{"channel":"ios_push","name":"v2"}},"name":"Welcome","tags":[],"teams":[],"updated_at":"2026-11-22T10:30:01Z"}`)
	if _, body := w.as("acme", "GET", "/campaigns/details?campaign_id=c2"); !strings.Contains(body, `"first_sent":null,`) || !strings.Contains(body, `"last_sent":null,`) {
		t.Errorf("a campaign that nobody was sent: %s", body)
	}
	w.want("/campaigns/details?campaign_id=c3", 400, `"Invalid Campaign ID|campaign_id: The workspace has none with the id \"c3\"."`)

	const none = `"conversions":0,"conversions1":0,"conversions2":0,"conversions3":0`
	w.want("/campaigns/data_series?campaign_id=c1&length=2", 200, `{"data":[{`+none+`,"messages":{},"time":"2026-11-21","unique_recipients":0},`+
		`{"conversions":0,"conversions1":0,"conversions2":4,"conversions3":0,"messages":{"email":[{"bounces":0,"clicks":0,"delivered":0,"machine_opens":1,"opens":3,"reported_spam":0,"sent":5,`+
		`"unique_clicks":0,"unique_opens":1,"unsubscribes":0,"variation_api_id":"v1","variation_name":"Short"}],"ios_push":[{"body_clicks":0,"bounces":0,"direct_opens":0,"sent":6,"total_opens":0,`+
		`"variation_api_id":"v2","variation_name":"v2"}]},"time":"2026-11-22","unique_recipients":6}],"message":"success"}`)
	w.want("/campaigns/data_series?campaign_id=c1&length=1&ending_at=2026-11-20", 200, `{"data":[{`+none+`,"messages":{},"time":"2026-11-20","unique_recipients":0}],"message":"success"}`)
	w.want("/sends/data_series?campaign_id=c1&send_id=s1&length=1&ending_at=2026-11-21T23:59:59Z", 200,
		`{"data":[{`+none+`,"messages":{"webhook":[{"errors":3,"sent":0,"variation_api_id":"v1","variation_name":"Short"}]},"time":"2026-11-21","unique_recipients":0}],"message":"success"}`)
	w.want("/sends/data_series?campaign_id=c1&send_id=s3&length=1", 400, `"Invalid Send ID|send_id: The workspace has none with the id \"s3\"."`)
	w.want("/sends/data_series?campaign_id=c2&send_id=s1&length=1", 400, `"Invalid Send ID|send_id: The workspace has none with the id \"s1\"."`)
}

func TestACanvasIsDescribedAndCounted(t *testing.T) {
	w := newWorld(t)
	day := control.DayHour(control.DayOf(today, time.UTC))
	w.applied(control.PeopleBatch{
		Names: []control.Name{
			sent(named(1, acme, control.NameCanvas, "j1", "Journey", 0)), named(2, acme, control.NameVariation, "v1", "A", 1), named(3, acme, control.NameStep, "s1", "First", 1),
			named(4, acme, control.NameStep, "s9", "Of another", 99),
		},
		Stats: []control.Stat{
			{Name: 1, Hour: day, Count: control.CountEntries, Part: "v1", N: 7}, {Name: 1, Hour: day - 24, Count: control.CountEntries, N: 1},
			{Name: 3, Hour: day, Count: control.CountSent, Channel: "sms", Part: "v1", N: 2},
		},
	})
	w.want("/canvas/list", 200, `{"canvases":[{"id":"j1","last_edited":"2026-11-22T10:30:01Z","name":"Journey","tags":[]}],"message":"success"}`)
	status, body := w.as("acme", "GET", "/canvas/details?canvas_id=j1")
	for _, part := range []string{`"channels":["sms"]`, `"variants":[{"first_step_ids":[],"id":"v1","name":"A"}]`,
		`"steps":[{"channels":["sms"],"id":"s1","name":"First","next_paths":[],"next_step_ids":[]}]`, `"first_entry":"2026-11-20T08:00:00Z"`, `"last_entry":"2026-11-21T09:00:00Z"`} {
		if status != 200 || !strings.Contains(body, part) {
			t.Errorf("details are %d %s, without %s", status, body, part)
		}
	}
	const none = `"conversions":0,"conversions1":0,"conversions2":0,"conversions3":0`
	total := func(n int) string { return fmt.Sprintf(`"total_stats":{%s,"entries":%d}`, none, n) }
	w.want("/canvas/data_series?canvas_id=j1&length=2&ending_at=2026-11-22", 200,
		`{"data":{"name":"Journey","stats":[{"time":"2026-11-21",`+total(1)+`},{"time":"2026-11-22",`+total(7)+`}]},"message":"success"}`)
	step := `"step_stats":{"s1":{` + none + `,"messages":{"sms":[{"clicks":0,"delivered":0,"delivery_failed":0,"help":0,"opt_out":0,"rejected":0,"sent":2,"sent_to_carrier":0}]},"name":"First","unique_recipients":2}}`
	w.want("/canvas/data_summary?canvas_id=j1&starting_at=2026-11-21&ending_at=2026-11-22&include_variant_breakdown=true&include_step_breakdown=true", 200,
		`{"data":{"name":"Journey",`+step+`,`+total(8)+`,"variant_stats":{"v1":{`+none+`,"entries":7,"name":"A"}}},"message":"success"}`)
	w.want("/canvas/data_series?canvas_id=j1&ending_at=2026-11-22", 400, `"|length: Either length or starting_at is needed."`)
	w.want("/canvas/data_series?canvas_id=j1&length=1", 400, `"|ending_at: This is needed: a time such as 2026-11-22T10:00:00Z."`)
	for _, start := range []string{"2026-11-08", "2026-11-23"} {
		w.want("/canvas/data_series?canvas_id=j1&ending_at=2026-11-22&starting_at="+start, 400, `"|starting_at: A series of a Canvas has 1 to 14 days."`)
	}
	w.want("/canvas/data_series?canvas_id=j1&length=15&ending_at=2026-11-22", 400, `"|length: This has to be a whole number from 1 to 14."`)
	w.want("/canvas/details?canvas_id=c1", 400, `"Invalid Canvas ID|canvas_id: The workspace has none with the id \"c1\"."`)
}

func TestDaysAndHoursAreThoseOfTheWorkspacesZone(t *testing.T) {
	w := newWorld(t)
	edit := func(zone string) {
		_, err := w.plane.UpdateWorkspace(control.WithActor(t.Context(), control.CommandLine()), acme, control.WorkspaceEdit{TimeZone: &zone})
		must(t, err)
	}
	saw := func(at string) control.Stat {
		h, err := time.Parse("2006-01-02T15", at)
		must(t, err)
		return control.Stat{Name: 1, Hour: control.HourOf(h, time.UTC), Count: control.CountEvents, N: 1}
	}
	w.applied(control.PeopleBatch{Names: []control.Name{named(1, acme, control.NameEvent, "saw", "", 0)},
		Stats: []control.Stat{saw("2026-11-21T23"), saw("2026-11-22T07"), saw("2026-11-22T08"), saw("2026-03-29T01"), saw("2026-03-29T03"), saw("2026-10-25T02")}})
	series := func(points ...any) string {
		var all []string
		for i := 0; i < len(points); i += 2 {
			all = append(all, fmt.Sprintf(`{"count":%d,"time":"%s"}`, points[i+1], points[i]))
		}
		return `{"data":[` + strings.Join(all, ",") + `],"message":"success"}`
	}
	const at = "/events/data_series?event=saw&unit="
	edit("America/Sao_Paulo") // where it is 07:30
	w.want(at+"hour&length=2", 200, series("2026-11-22T06:00:00-03:00", 0, "2026-11-22T07:00:00-03:00", 1))
	w.want(at+"day&length=1&ending_at=2026-11-22T02:59:59Z", 200, series("2026-11-21", 1))
	w.want(at+"day&length=1&ending_at=2026-11-21T23:59:59", 200, series("2026-11-21", 1)) // which says no zone
	edit("Asia/Tokyo")
	w.now = today.Add(6 * time.Hour)
	w.want(at+"day&length=2", 200, series("2026-11-22", 2, "2026-11-23", 0))
	edit("Europe/Madrid") // whose clocks pass over an hour, and have another twice
	w.want(at+"hour&length=3&ending_at=2026-03-29T03:00:00", 200, series("2026-03-29T01:00:00+01:00", 1, "2026-03-29T03:00:00+02:00", 1))
	w.want(at+"hour&length=2&ending_at=2026-10-25T03:00:00", 200, series("2026-10-25T02:00:00+02:00", 1, "2026-10-25T03:00:00+01:00", 0))
}

func TestTheWorkspaceIsCountedByDayAndHour(t *testing.T) {
	w := newWorld(t)
	h := control.HourOf(today, time.UTC)
	day := control.DayHour(control.DayOf(today, time.UTC))
	all, theirs := control.WholeWorkspace(acme), control.WholeWorkspace(globex)
	w.applied(control.PeopleBatch{
		Names: []control.Name{named(1, acme, control.NameEvent, "saw", "", 0), named(2, acme, control.NameEvent, "bought", "", 0), named(3, acme, control.NameProduct, "hat", "", 0)},
		Stats: []control.Stat{
			{Name: 1, Hour: h, Count: control.CountEvents, N: 2}, {Name: 1, Hour: h - 1, Count: control.CountEvents, Part: "ios", N: 3}, {Name: 1, Hour: day - 1, Count: control.CountEvents, N: 4},
			{Name: 3, Hour: h, Count: control.CountPurchases, N: 2, Revenue: 5.3 + 1e-12}, {Name: 3, Hour: h, Count: control.CountPurchases, Part: "ios", N: 1, Revenue: 0.2}, {Name: all, Hour: h, Count: control.CountPurchases, N: 3, Revenue: 7},
			{Name: all, Hour: h, Count: control.CountSessions, Part: "ios", N: 4}, {Name: all, Hour: h, Count: control.CountSessions, N: 1}, {Name: theirs, Hour: h, Count: control.CountSessions, N: 9},
			{Name: all, Hour: day, Count: control.CountUninstalls, Part: "ios", N: 6},
			{Name: all, Hour: day, Count: control.CountActive, N: 8}, {Name: all, Hour: day, Count: control.CountActive, Part: "ios", N: 7},
			{Name: all, Hour: day, Count: control.CountNewUsers, N: 1},
			{Name: all, Hour: day - 24*10, Count: control.CountMonthly, N: 20}, {Name: all, Hour: day, Count: control.CountMonthly, N: -3}, {Name: theirs, Hour: day, Count: control.CountMonthly, N: 50},
		},
	})
	w.want("/events/list", 200, `{"events":["bought","saw"],"message":"success"}`)
	w.want("/events/list?page=1", 200, `{"events":[],"message":"success"}`)
	w.want("/purchases/product_list", 200, `{"message":"success","products":["hat"]}`)
	series := func(key string, points ...any) string {
		var all []string
		for i := 0; i < len(points); i += 2 {
			at, n := fmt.Sprintf(`"time":"%v"`, points[i]), fmt.Sprintf(`"%s":%v`, key, points[i+1])
			if key < "time" {
				at, n = n, at
			}
			all = append(all, "{"+at+","+n+"}")
		}
		return `{"data":[` + strings.Join(all, ",") + `],"message":"success"}`
	}
	const y, d = "2026-11-21", "2026-11-22"
	w.want("/events/data_series?event=saw&length=2", 200, series("count", y, 4, d, 5))
	w.want("/events/data_series?event=saw&length=2&app_id=ios&unit=day", 200, series("count", y, 0, d, 3))
	w.want("/events/data_series?event=saw&length=3&unit=hour", 200, series("count", "2026-11-22T08:00:00Z", 0, "2026-11-22T09:00:00Z", 3, "2026-11-22T10:00:00Z", 2))
	w.want("/events/data_series?event=never&length=1", 200, series("count", d, 0))
	w.want("/events/data_series?length=1", 400, `"|event: This is needed: a text."`)
	w.want("/events/data_series?event=saw&length=1&segment_id=x", 400, `"|segment_id: This has to be left out: nothing is counted by segment."`)
	w.want("/events/data_series?event=saw&length=1&unit=week", 400, `"|unit: This has to be day or hour."`)
	w.want("/purchases/revenue_series?length=1", 200, series("revenue", d, 7))
	w.want("/purchases/revenue_series?length=1&product=hat", 200, series("revenue", d, 5.5))
	w.want("/purchases/quantity_series?length=1&product=hat", 200, series("purchase_quantity", d, 3))
	w.want("/sessions/data_series?length=1", 200, series("sessions", d, 5))
	w.want("/sessions/data_series?length=1&app_id=ios", 200, series("sessions", d, 4))
	w.want("/kpi/uninstalls/data_series?length=2", 200, series("uninstalls", y, 0, d, 6))
	w.want("/kpi/dau/data_series?length=1", 200, series("dau", d, 8))
	w.want("/kpi/dau/data_series?length=1&app_id=ios", 200, series("dau", d, 7))
	w.want("/kpi/new_users/data_series?length=1", 200, series("new_users", d, 1))
	w.want("/kpi/mau/data_series?length=2", 200, series("mau", y, 20, d, 17))
	w.want("/kpi/mau/data_series?length=101", 400, `"|length: This has to be a whole number from 1 to 100."`)
}
