package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

func TestWhatIsCountedAddsUpAndStaysInItsWorkspace(t *testing.T) {
	storetest.Profiles(t, func(t *testing.T, p *store.Profiles) {
		ctx := t.Context()
		at := time.UnixMilli(90_000_000).UTC() // in the second day
		campaign := func(id int64, workspace uint32) control.Name {
			return control.Name{ID: id, Workspace: workspace, Kind: control.NameCampaign, Name: "c1", Title: "Welcome", FirstAt: at, LastAt: at}
		}
		mail := control.MessageChannel(control.MediumEmail)
		b := &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1, Names: []control.Name{campaign(1, 1), campaign(2, 2)},
			Stats: []control.Stat{
				{Name: 1, Hour: 24, Count: control.CountSent, Channel: mail, Part: "v1", N: 2}, {Name: 1, Hour: 0, Count: control.CountSent, Channel: mail, Part: "v1", N: 1},
				{Name: 2, Hour: 24, Count: control.CountSent, Channel: mail, N: 7}, {Name: -1, Hour: 24, Count: control.CountMonthly, N: 3}, {Name: -2, Hour: 24, Count: control.CountMonthly, N: 5},
			},
			People: []*control.Person{
				{Row: 1, New: true, Workspace: 1, ID: "a", CreatedAt: at, UpdatedAt: at}, {Row: 2, New: true, Workspace: 1, ID: "b", CreatedAt: at, UpdatedAt: at},
			},
			Messages: []control.PersonMessage{
				{Name: 1, Person: 1, Variation: "v1", Flags: control.OpenedEmail | control.ClickedEmail, Opened: at, Clicked: at.Add(24 * time.Hour)},
				{Name: 1, Person: 2, Variation: "v1", Flags: control.OpenedPush | control.ClickedOther, Opened: at, Clicked: at},
				{Name: 2, Person: 2, Variation: "v1", Opened: at},
			},
		}
		ok(t, p.Apply(ctx, b))
		b = &control.PeopleBatch{Log: eventlog.ID{1}, From: 1, Next: 2, Stats: []control.Stat{
			{Name: 1, Hour: 24, Count: control.CountSent, Channel: mail, Part: "v1", N: 4, Revenue: 1.5}, {Name: -1, Hour: 48, Count: control.CountMonthly, N: -1}}}
		ok(t, p.Apply(ctx, b))

		stats, err := p.Stats(ctx, 1, []int64{1, 2, -1, -2}, 24, 48)
		ok(t, err)
		equal(t, "stats", stats, []control.Stat{{Name: -1, Hour: 24, Count: control.CountMonthly, N: 3}, {Name: 1, Hour: 24, Count: control.CountSent, Channel: mail, Part: "v1", N: 6, Revenue: 1.5}})
		for until, want := range map[int32]int64{24: 0, 25: 3, 49: 2} {
			n, err := p.Total(ctx, 1, control.CountMonthly, "", until)
			ok(t, err)
			equal(t, "total", n, want)
		}
		oldest, known, err := p.Oldest(ctx, 1, []int64{1, 2, 9})
		ok(t, err)
		equal(t, "the oldest hour", oldest, int32(0))
		equal(t, "the oldest hour is known", known, true)
		oldest, known, err = p.Oldest(ctx, 2, []int64{1, 2, 9})
		ok(t, err)
		equal(t, "the oldest hour of the other", oldest, int32(24))
		_, known, err = p.Oldest(ctx, 2, []int64{1})
		ok(t, err)
		equal(t, "another workspace's is known", known, false)
		firsts, err := p.Firsts(ctx, 1, []int64{1, 2}, time.UTC, 24, 48)
		ok(t, err)
		equal(t, "firsts", firsts, []control.Stat{
			{Name: 1, Hour: 24, Count: control.CountUniqueOpens, Channel: mail, Part: "v1", N: 1},
			{Name: 1, Hour: 24, Count: control.CountUniqueOpens, Channel: "push", Part: "v1", N: 1},
			{Name: 1, Hour: 24, Count: control.CountUniqueClicks, Part: "v1", N: 1},
		})
		firsts, err = p.Firsts(ctx, 2, []int64{1}, time.UTC, 0, 1000)
		ok(t, err)
		equal(t, "firsts of another workspace's campaign", len(firsts), 0)
		firsts, err = p.Firsts(ctx, 1, []int64{1, 2}, control.ZoneOf("America/New_York"), 0, 24) // there it was still the first day
		ok(t, err)
		equal(t, "firsts in another zone", len(firsts), 3)

		name, err := p.Name(ctx, 2, control.NameCampaign, "c1")
		ok(t, err)
		equal(t, "name", name, campaign(2, 2))
		_, err = p.Name(ctx, 1, control.NameCanvas, "c1")
		equal(t, "a Canvas of that name", fault.CodeOf(err), fault.NotFound)
	})
}

// Who first opened on a day of a zone is who did so while it was that day there, over all changes of clocks.
func TestFirstsAreOfTheDaysOfAZone(t *testing.T) {
	const year = 366
	begin := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	b := control.PeopleBatch{Log: eventlog.ID{1}, Next: 1, Names: []control.Name{{ID: 1, Workspace: 1, Kind: control.NameCampaign, Name: "c", FirstAt: begin, LastAt: begin}}}
	for i := range int64(2 * year * 5) { // every few hours, and never at the same one
		at := begin.Add(time.Duration(i) * 283 * time.Minute)
		b.People = append(b.People, &control.Person{Row: i + 1, New: true, Workspace: 1, ID: control.PersonID(strconv.FormatInt(i, 10)), CreatedAt: at, UpdatedAt: at})
		b.Messages = append(b.Messages, control.PersonMessage{Name: 1, Person: i + 1, Flags: control.OpenedEmail, Opened: at})
	}
	storetest.Profiles(t, func(t *testing.T, p *store.Profiles) {
		copied := b
		ok(t, p.Apply(t.Context(), &copied))
		for _, name := range []string{"UTC", "America/Sao_Paulo", "Europe/Madrid", "Asia/Kolkata", "Australia/Lord_Howe"} {
			zone := control.ZoneOf(name)
			first := control.DayOf(begin, zone) + 3
			want := map[int32]int64{}
			for _, m := range b.Messages {
				if d := control.DayOf(m.Opened, zone); d >= first && d < first+year {
					want[d]++
				}
			}
			stats, err := p.Firsts(t.Context(), 1, []int64{1}, zone, control.DayHour(first), control.DayHour(first+year))
			ok(t, err)
			got := map[int32]int64{}
			for _, s := range stats {
				got[s.Day()] += s.N
			}
			equal(t, name, got, want)
		}
	})
}
