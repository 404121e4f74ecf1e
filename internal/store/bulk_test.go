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
