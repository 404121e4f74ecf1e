package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

// An export of a campaign's recipients read all that each of them ever had.
func TestOfWhatPeopleHadOnlyWhatIsNeededIsRead(t *testing.T) {
	storetest.Profiles(t, func(t *testing.T, p *store.Profiles) {
		at := time.UnixMilli(1_800_000_000_000).UTC()
		b := &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1}
		for i, kind := range []control.NameKind{control.NameCampaign, control.NameCampaign, control.NameCanvas, control.NameStep} {
			id := int64(i + 1)
			b.Names = append(b.Names, control.Name{ID: id, Workspace: 1, Kind: kind, Name: fmt.Sprint("n", i%2), FirstAt: at, LastAt: at, Title: fmt.Sprint(id)})
			for row := int64(1); row <= 2; row++ {
				b.Messages = append(b.Messages, control.PersonMessage{Name: id, Person: row, Variation: "v", Received: at})
			}
		}
		for row := int64(1); row <= 2; row++ {
			b.People = append(b.People, &control.Person{Row: row, New: true, Workspace: 1, ID: control.PersonID(fmt.Sprint("p", row)), CreatedAt: at, UpdatedAt: at})
		}
		ok(t, p.Apply(t.Context(), b))
		for _, c := range []struct {
			name  string
			needs control.ProfileNeeds
			want  string
		}{
			{"nothing", control.ProfileNeeds{HadOf: "n0"}, ""},
			{"a campaign", control.ProfileNeeds{Had: []control.NameKind{control.NameCampaign}, HadOf: "n1"}, "2"},
			{"a Canvas", control.ProfileNeeds{Had: []control.NameKind{control.NameCanvas}, HadOf: "n0"}, "3"},
			{"one that nobody had", control.ProfileNeeds{Had: []control.NameKind{control.NameCanvas}, HadOf: "n1"}, ""},
			{"all campaigns", control.ProfileNeeds{Had: []control.NameKind{control.NameCampaign}}, "12"},
			{"all", control.ProfileNeeds{Had: []control.NameKind{control.NameCampaign, control.NameCanvas, control.NameStep}}, "1234"},
		} {
			all, err := p.Bulk(t.Context(), 1, control.Filter{}, at, c.needs)
			ok(t, err)
			rows, err := all.Next(t.Context(), 0, 10)
			ok(t, err)
			people := 0
			ok(t, all.Each(t.Context(), rows, func(x control.Profile) error {
				people++
				got := ""
				for _, h := range x.Had {
					got += h.Of.Title
				}
				equal(t, c.name+" of "+string(x.ID), got, c.want)
				return nil
			}))
			equal(t, "people", people, 2)
		}
	})
}

// What is read of many at once goes another way than what is read of one, and one after the other into the same place.
func TestOfManyPeopleTheSameIsReadAsOfEach(t *testing.T) {
	storetest.Profiles(t, func(t *testing.T, p *store.Profiles) {
		at := time.UnixMilli(1_800_000_000_123).UTC()
		b := &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1, People: []*control.Person{
			{ID: "nothing", CreatedAt: at, UpdatedAt: at},
			{ID: "all", ExternalID: "a,\"\\\x01é😀", Bucket: 9999, CreatedAt: at, UpdatedAt: at, FirstName: "=1", LastName: "\u2028", Email: "a@b.example", Phone: "+1", Gender: "F", Birth: "1990-02-28",
				Country: "BR", Language: "pt", TimeZone: "UTC", HomeCity: "São Paulo", EmailSubscribe: control.OptedIn, PushSubscribe: control.Unsubscribed, FirstSession: at.Add(1), LastSession: at.Add(time.Hour),
				UninstalledAt: at.Add(-time.Hour), Sessions: 1 << 40, Revenue: 0.1, Custom: []byte(`{"a":"é"}`), Rest: []byte(`{"apps":[{"id":"x"}]}`)},
			{ID: "nothing-again", CreatedAt: at.Add(-50 * 365 * 24 * time.Hour), UpdatedAt: at},
		}}
		want := map[control.PersonID]control.Person{}
		for i, x := range b.People {
			x.Row, x.New, x.Workspace, x.Changed = int64(i)+1, true, 1, control.AllParts
			want[x.ID] = *x
		}
		ok(t, p.Apply(t.Context(), b))
		for _, needs := range []control.ProfileNeeds{{}, {Custom: true}, {Rest: true}, {Custom: true, Rest: true}} {
			all, err := p.Bulk(t.Context(), 1, control.Filter{}, at, needs)
			ok(t, err)
			rows, err := all.Next(t.Context(), 0, 10)
			ok(t, err)
			equal(t, "people", len(rows), len(want))
			ok(t, all.Each(t.Context(), rows, func(x control.Profile) error {
				one, err := p.People(t.Context(), 1, []control.PersonID{x.ID})
				ok(t, err)
				w := one[0]
				if !needs.Custom {
					w.Custom = nil
				}
				if !needs.Rest {
					w.Rest = nil
				}
				equal(t, string(x.ID), shown(x.Person), shown(w))
				equal(t, "e-mail of "+string(x.ID), x.Email, want[x.ID].Email)
				return nil
			}))
		}
	})
}

// shown is what exports have a use for.
func shown(p *control.Person) string {
	x := *p
	x.UpdatedAt, x.LastPurchase, x.Purchases, x.Channels, x.Known = time.Time{}, time.Time{}, 0, nil, 0
	custom, rest := string(x.Custom), string(x.Rest)
	x.Custom, x.Rest = nil, nil
	return fmt.Sprintf("%+v %s %s", x, custom, rest)
}
