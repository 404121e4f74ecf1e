package profile_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
)

// counts gives all that is kept of the kinds of names, and of the workspace, as lines: kind/name day-hour counter channel
// part = n.
func (w *world) counts(kinds ...control.NameKind) map[string]int64 {
	w.t.Helper()
	names := map[int64]string{control.WholeWorkspace(acme): "all"}
	for _, k := range kinds {
		some, err := w.people.Names(w.t.Context(), acme, k)
		must(w.t, err)
		for _, n := range some {
			names[n.ID] = n.Name
		}
	}
	stats, err := w.people.Stats(w.t.Context(), acme, slices.Sorted(maps.Keys(names)), -1<<30, 1<<30)
	must(w.t, err)
	out := map[string]int64{}
	for _, s := range stats {
		out[strings.TrimSpace(fmt.Sprintf("%s h%d #%d %s %s", names[s.Name], s.Hour, s.Count, s.Channel, s.Part))] = s.N
	}
	return out
}

func (w *world) wantCounts(want map[string]int64, kinds ...control.NameKind) {
	w.t.Helper()
	got := w.counts(kinds...)
	for k, n := range want {
		if got[k] != n {
			w.t.Errorf("%s: %d, want %d", k, got[k], n)
		}
	}
	for k, n := range got {
		if _, known := want[k]; !known && n != 0 {
			w.t.Errorf("%s: %d, which nothing was", k, n)
		}
	}
}

// message is an event of a message to p1 with the fields that its type needs.
func message(kind string, at int64, more map[string]any) map[string]any {
	e := map[string]any{"event_type": "users.messages." + kind, "user_id": "p1", "time": at, "external_user_id": "u1"}
	maps.Copy(e, more)
	return e
}

func TestMessagesAreCountedByCampaignVariationChannelAndDay(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		const day = 86_400
		of := map[string]any{"campaign_id": "c1", "campaign_name": "Welcome", "message_variation_id": "v1", "message_variation_name": "Short", "send_id": "s1"}
		with := func(more ...any) map[string]any {
			m := maps.Clone(of)
			for i := 0; i < len(more); i += 2 {
				m[more[i].(string)] = more[i+1]
			}
			return m
		}
		mail := func(more ...any) map[string]any { return with(append(more, "email_address", "a@b.example")...) }
		w.accept(
			message("email.Send", 10, mail()), message("email.Delivery", 20, mail()), message("email.Open", 30, mail("machine_open", "true")),
			message("email.Open", 40, mail()), message("email.Open", day+40, mail()), message("email.Click", 50, mail("url", "x", "is_suspected_bot_click", true)),
			message("email.Click", 60, mail("url", "x")), message("email.Bounce", 60, mail()), message("email.SoftBounce", 60, mail()),
			message("email.MarkAsSpam", 60, mail()), message("email.Unsubscribe", 60, mail()),
		)
		w.accept(
			message("pushnotification.Send", 10, with("platform", "ios", "app_id", "a", "device_id", "d")),
			message("pushnotification.Open", 10, with("platform", "ios", "app_id", "a", "device_id", "d")),
			message("pushnotification.Open", 10, with("platform", "android", "app_id", "a", "device_id", "d", "button_string", "yes")),
			message("inappmessage.Click", 10, with("platform", "ios", "app_id", "a", "device_id", "d", "button_id", "0")),
			map[string]any{"event_type": "users.campaigns.Conversion", "user_id": "p1", "time": 5, "app_id": "a", "campaign_id": "c1", "message_variation_id": "v1", "conversion_behavior_index": 2},
			map[string]any{"event_type": "users.campaigns.Conversion", "user_id": "p1", "time": 5, "app_id": "a", "campaign_id": "c1", "message_variation_id": "v1", "conversion_behavior_index": 7},
		)
		w.follow()
		want := map[string]int64{}
		count := func(hour int, channel string, counters ...control.Counter) {
			for _, c := range counters {
				for _, name := range []string{"c1", "s1"} {
					if channel != "" || name == "c1" { // a conversion has no send here
						want[strings.Join(strings.Fields(fmt.Sprintf("%s h%d #%d %s v1", name, hour, c, channel)), " ")]++
					}
				}
			}
		}
		count(0, "email", control.CountSent, control.CountDelivered, control.CountMachineOpens, control.CountOpens, control.CountBotClicks, control.CountClicks, control.CountBounces,
			control.CountSoftBounces, control.CountSpam, control.CountUnsubscribes)
		count(24, "email", control.CountOpens)
		count(0, "push/ios", control.CountSent, control.CountOpens, control.CountBodyClicks)
		count(0, "push/android", control.CountOpens)
		count(0, "in_app", control.CountClicks, control.CountFirstButton)
		third, _ := control.CountConversion(2)
		count(0, "", third)
		got := w.counts(control.NameCampaign, control.NameSend)
		for k, n := range got {
			delete(got, k)
			got[strings.Join(strings.Fields(k), " ")] = n
		}
		if !maps.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		v, err := w.people.Names(t.Context(), acme, control.NameVariation)
		must(t, err)
		if len(v) != 1 || v[0].Name != "v1" || v[0].Title != "Short" {
			t.Errorf("variations: %+v", v)
		}
	})
}

// When a campaign was sent, or a Canvas entered, is what events of that say, in whatever order they come.
func TestACampaignKnowsItsFirstAndItsLastSend(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		of := map[string]any{"campaign_id": "c1", "canvas_id": "j1", "canvas_step_id": "s1", "email_address": "a@b.example"}
		opened, clicked := maps.Clone(of), maps.Clone(of)
		clicked["url"] = "x"
		entry := func(at int64) map[string]any {
			return map[string]any{"event_type": "users.canvas.Entry", "user_id": "p1", "time": at, "canvas_id": "j1", "canvas_variation_id": "v1", "in_control_group": false}
		}
		want := func(kind control.NameKind, first, last int64) {
			t.Helper()
			w.follow()
			all, err := w.people.Names(t.Context(), acme, kind)
			must(t, err)
			seconds := func(at time.Time) int64 {
				if at.IsZero() {
					return 0
				}
				return at.Unix()
			}
			if len(all) != 1 || seconds(all[0].FirstSent) != first || seconds(all[0].LastSent) != last {
				t.Errorf("%+v, want it from %d to %d", all, first, last)
			}
		}
		w.accept(message("email.Open", 50, opened), message("email.Click", 5, clicked))
		want(control.NameCampaign, 0, 0)
		want(control.NameCanvas, 0, 0)
		w.accept(message("email.Send", 200, of), entry(190), message("email.Send", 100, of))
		want(control.NameCampaign, 100, 200)
		want(control.NameCanvas, 190, 190)
		w.accept(message("email.Send", 150, of), entry(300), message("email.Send", 80, of), message("email.Open", 400, opened))
		want(control.NameCampaign, 80, 200)
		want(control.NameCanvas, 190, 300)
		before := time.Now().Unix()
		w.accept(message("inappmessage.Impression", 2_100_000_000, map[string]any{"campaign_id": "c1", "platform": "ios", "app_id": "a", "device_id": "d"}))
		w.follow()
		all, err := w.people.Names(t.Context(), acme, control.NameCampaign)
		must(t, err)
		if last := all[0].LastSent.Unix(); last < before || last > time.Now().Unix() {
			t.Errorf("what is said to be in the future was sent at %d, and it is %d", last, before)
		}
	})
}

func TestCanvasesAreCountedByStepAndVariation(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		of := map[string]any{"canvas_id": "j1", "canvas_name": "Journey", "canvas_variation_id": "v1", "canvas_step_id": "s1", "canvas_step_name": "First", "email_address": "a@b.example"}
		entry := func(control bool) map[string]any {
			return map[string]any{"event_type": "users.canvas.Entry", "user_id": "p1", "time": 5, "canvas_id": "j1", "canvas_variation_id": "v1", "in_control_group": control}
		}
		w.accept(message("email.Send", 10, of), entry(false), entry(true))
		w.follow()
		w.wantCounts(map[string]int64{
			"j1 h0 #1 email v1": 1, "s1 h0 #1 email v1": 1, "j1 h0 #34  v1": 2, "j1 h0 #36  v1": 1,
		}, control.NameCanvas, control.NameStep)
		steps, err := w.people.Names(t.Context(), acme, control.NameStep)
		must(t, err)
		canvases, err := w.people.Names(t.Context(), acme, control.NameCanvas)
		must(t, err)
		if len(steps) != 1 || len(canvases) != 1 || steps[0].Parent != canvases[0].ID || steps[0].Title != "First" {
			t.Errorf("%+v of %+v", steps, canvases)
		}
	})
}

// What was said of random people in random order is what was counted, however often the reader began anew.
func TestDeedsAndSessionsAreCountedExactly(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		w.zone = []*time.Location{nil, control.ZoneOf("America/Sao_Paulo"), control.ZoneOf("Asia/Kolkata"), control.ZoneOf("Europe/Madrid")}[r.IntN(4)]
		zone := cmp.Or(w.zone, time.UTC)
		want := map[string]int64{}
		there := map[string]map[int32]bool{} // by person and app, and by person
		begin := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -33)
		for range 40 {
			var items []item
			for range 1 + r.IntN(20) {
				person, app := fmt.Sprint("p", r.IntN(4)), []string{"", "ios", "web"}[r.IntN(3)]
				at := begin.Add(time.Duration(r.Int64N(int64(33 * 24 * time.Hour))))
				h, d := control.HourOf(at, zone), control.DayHour(control.DayOf(at, zone))
				e := map[string]any{"user_id": person, "time": at.Unix()}
				if app != "" {
					e["app_id"] = app
				}
				switch r.IntN(4) {
				case 0:
					e["event_type"], e["name"], e["properties"] = "users.behaviors.CustomEvent", "saw", "{}"
					want[strings.TrimSpace(fmt.Sprintf("saw h%d #50  %s", h, app))]++
				case 1:
					e["event_type"], e["product_id"], e["price"], e["currency"], e["properties"] = "users.behaviors.Purchase", "hat", 2.5, "EUR", "{}"
					want[strings.TrimSpace(fmt.Sprintf("hat h%d #51  %s", h, app))]++
					want[strings.TrimSpace(fmt.Sprintf("all h%d #51  %s", h, app))]++
				case 2:
					if app == "" {
						continue
					}
					e["event_type"] = "users.behaviors.Uninstall"
					want[fmt.Sprintf("all h%d #53  %s", d, app)]++
				default:
					if app == "" {
						continue
					}
					e["event_type"], e["session_id"] = "users.behaviors.app.SessionStart", "s"
					want[fmt.Sprintf("all h%d #52  %s", h, app)]++
					for _, part := range []string{"", app} {
						k := person + " " + part
						if there[k] == nil {
							there[k] = map[int32]bool{}
						}
						if day := control.DayOf(at, zone); !there[k][day] {
							there[k][day] = true
							want[strings.TrimSpace(fmt.Sprintf("all h%d #60  %s", d, part))]++
						}
					}
				}
				items = append(items, e)
			}
			if len(items) > 0 {
				w.accept(items...)
			}
			if r.IntN(15) == 0 {
				w.follow()
			}
		}
		w.follow()
		for k, days := range there {
			_, app, _ := strings.Cut(k, " ")
			want[strings.TrimSpace(fmt.Sprintf("all h%d #62  %s", control.DayHour(slices.Min(slices.Collect(maps.Keys(days)))), app))]++
		}
		got := w.counts(control.NameEvent, control.NameProduct)
		for k, n := range got {
			if strings.Contains(k, "#61") {
				delete(got, k)
			} else if got[k] != want[k] {
				t.Errorf("seed %d: %s: %d, want %d", seed, k, n, want[k])
			}
		}
		for k, n := range want {
			if got[k] != n {
				t.Errorf("seed %d: %s: %d, want %d", seed, k, got[k], n)
			}
		}
		for _, app := range []string{"", "ios", "web"} {
			for d := control.DayOf(begin, zone) - 1; d < control.DayOf(begin, zone)+80; d++ {
				people := int64(0)
				for k, days := range there {
					_, of, _ := strings.Cut(k, " ")
					if of != app {
						continue
					}
					for back := range int32(30) {
						if days[d-back] {
							people++
							break
						}
					}
				}
				n, err := w.people.Total(t.Context(), acme, control.CountMonthly, app, control.DayHour(d+1))
				must(t, err)
				if n != people {
					t.Errorf("seed %d: %d people of app %q within 30 days on day %d, want %d", seed, n, app, d, people)
				}
			}
		}
	})
}

// Of whatever tells of a first session, and in whatever order, one holds: the day that the profile says.
func TestSomebodyIsNewOnTheDayOfTheirFirstSession(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		session := func(kind, who string, day int64) map[string]any {
			return map[string]any{"event_type": "users.behaviors.app." + kind, "user_id": who, "session_id": "s", "app_id": "ios", "time": day * 86_400}
		}
		since := func(who, date string) control.PersonChange {
			return control.PersonChange{Kind: control.PersonUpdate, Person: control.PersonID(who), Attributes: map[string]json.RawMessage{"date_of_first_session": json.RawMessage(date)}}
		}
		news := func(want string) {
			t.Helper()
			w.follow()
			var got []string
			for k, n := range w.counts() {
				if day, is := strings.CutSuffix(k, " #62"); is && n != 0 {
					got = append(got, fmt.Sprint(strings.TrimPrefix(day, "all h"), ":", n))
				}
			}
			slices.Sort(got)
			if fmt.Sprint(got) != want {
				t.Errorf("new by hour of the day: %v, want %s", got, want)
			}
		}
		w.accept(session("SessionStart", "p1", 22), session("SessionStart", "p1", 19), session("FirstSession", "p1", 18), session("SessionStart", "p1", 20))
		news("[432:1]") // the 18th
		w.accept(session("SessionStart", "p1", 17))
		news("[408:1]")
		w.accept(since("p1", `"1970-01-11T00:00:00Z"`)) // an attribute says the 10th
		news("[240:1]")
		w.accept(since("p2", `"1970-01-02T00:00:00Z"`)) // nobody is new by an attribute alone
		w.accept(session("SessionStart", "p3", 5))
		news("[120:1 240:1]")
		w.accept(control.PersonChange{Kind: control.PersonMerge, Person: "p2", Into: "p3"})
		news("[240:1 24:1]")
		w.accept(session("SessionStart", "p3", 0))
		news("[0:1 240:1]")
		w.accept(control.PersonChange{Kind: control.PersonMerge, Person: "p3", Into: "p1"}) // what was counted stays
		news("[0:1 240:1]")
		w.accept(since("p1", "null"))
		news("[240:1]")
		w.accept(session("SessionStart", "p1", 3))
		news("[240:1 72:1]")
	})
}

// What was counted stays where it was, and what comes afterwards is of the days of the new zone.
func TestAChangeOfZoneHoldsForWhatComesAfterIt(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		late := time.Date(2026, 11, 22, 2, 30, 0, 0, time.UTC) // in São Paulo still the day before
		day := control.DayHour(control.DayOf(late, time.UTC))
		sent := map[string]any{"event_type": "users.messages.email.Send", "user_id": "p1", "email_address": "a@example.com", "campaign_id": "c1", "campaign_name": "C", "time": late.Unix()}
		w.accept(sent, customEvent("p1", "saw", late.Unix()))
		w.follow()
		w.zone = control.ZoneOf("America/Sao_Paulo")
		w.accept(sent, sent, customEvent("p1", "saw", late.Unix()))
		w.follow()
		w.wantCounts(map[string]int64{
			fmt.Sprintf("c1 h%d #1 email", day): 1, fmt.Sprintf("c1 h%d #1 email", day-24): 2,
			fmt.Sprintf("saw h%d #50", day+2): 1, fmt.Sprintf("saw h%d #50", day-1): 1,
		}, control.NameCampaign, control.NameEvent)
	})
}

func TestAnEventOfTheFutureIsCountedWhenItWasAccepted(t *testing.T) {
	over(t, func(t *testing.T, w *world) {
		e := customEvent("p1", "saw", time.Now().AddDate(3, 0, 0).Unix())
		before := control.HourOf(time.Now(), time.UTC)
		w.accept(e)
		after := control.HourOf(time.Now(), time.UTC)
		w.follow()
		got := w.counts(control.NameEvent)
		if len(got) != 1 || got[fmt.Sprintf("saw h%d #50", before)]+got[fmt.Sprintf("saw h%d #50", after)] == 0 {
			t.Errorf("%v, and it was accepted in hour %d", got, after)
		}
	})
}
