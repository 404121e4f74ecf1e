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

func TestWhatAPersonHadIsTheirsAlone(t *testing.T) {
	storetest.Profiles(t, func(t *testing.T, p *store.Profiles) {
		at := func(hour int) time.Time { return time.Date(2026, 11, 22, hour, 0, 0, 0, time.UTC) }
		name := func(id int64, workspace uint32, kind control.NameKind, name string, parent int64) control.Name {
			return control.Name{ID: id, Workspace: workspace, Kind: kind, Name: name, Title: "The " + name, Parent: parent, FirstAt: at(1), LastAt: at(2)}
		}
		var people []*control.Person
		for row := range int64(2) {
			people = append(people, &control.Person{Row: row + 1, New: true, Workspace: 1, ID: control.PersonID(fmt.Sprint("p", row+1)), CreatedAt: at(1), UpdatedAt: at(1)})
		}
		spring, step := name(1, 1, control.NameCampaign, "spring", 0), name(3, 1, control.NameStep, "first", 2)
		ok(t, p.Apply(t.Context(), &control.PeopleBatch{Log: eventlog.ID{1}, Next: 1, People: people,
			Names: []control.Name{spring, name(2, 1, control.NameCanvas, "welcome", 0), step, name(4, 1, control.NameGroup, "news", 0), name(5, 1, control.NameGroup, "alerts", 0), name(6, 2, control.NameCampaign, "theirs", 0)},
			Messages: []control.PersonMessage{{Name: 1, Person: 1, Variation: "a", Flags: control.Converted, Received: at(3), Opened: at(4)}, {Name: 3, Person: 1, Received: at(5), Clicked: at(6)},
				{Name: 2, Person: 2, Entered: at(3), Exited: at(4)}, {Name: 6, Person: 1, Received: at(3)}},
			Groups: []control.PersonGroup{{Name: 4, Person: 1, Subscribed: true, At: at(3)}, {Name: 5, Person: 1, At: at(4)}, {Name: 5, Person: 2, Subscribed: true, At: at(4)}}}))

		had, err := p.Had(t.Context(), people[0])
		ok(t, err)
		equal(t, "what the first had", had, []control.Had{
			{Of: spring, Deed: control.PersonMessage{Name: 1, Person: 1, Variation: "a", Flags: control.Converted, Received: at(3), Opened: at(4)}},
			{Of: step, Deed: control.PersonMessage{Name: 3, Person: 1, Received: at(5), Clicked: at(6)}}})
		groups, err := p.Groups(t.Context(), people[0])
		ok(t, err)
		equal(t, "groups of the first", groups, []control.GroupWish{{ID: "alerts", At: at(4)}, {ID: "news", Subscribed: true, At: at(3)}})
		had, err = p.Had(t.Context(), people[1])
		ok(t, err)
		equal(t, "how much the second had", len(had), 1)
	})
}
