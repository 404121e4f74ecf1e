package store_test

import (
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

// Who was read for their events alone is written likewise: what was not read stays as it is.
func TestOnlyThePartsOfAPersonThatChangedAreWritten(t *testing.T) {
	storetest.Profiles(t, func(t *testing.T, p *store.Profiles) {
		ctx, log := t.Context(), eventlog.ID{1}
		at := time.UnixMilli(1_800_000_000_000).UTC()
		whole := func(row int64, id control.PersonID) *control.Person {
			return &control.Person{Row: row, New: true, Known: control.AllParts, Workspace: 1, ID: id, ExternalID: "x-" + string(id), Bucket: 7, CreatedAt: at, UpdatedAt: at,
				FirstName: "Ada", Email: "ada@example.com", Sessions: 1, LastSession: at, Channels: []byte(`{"email":{"r":1}}`), Custom: []byte(`{"plan":"gold"}`), Rest: []byte(`{"aliases":[]}`)}
		}
		ids := []control.PersonID{"a", "b", "c", "d"}
		b := &control.PeopleBatch{Log: log, Next: 1}
		want := map[control.PersonID]*control.Person{}
		for i, id := range ids {
			b.People = append(b.People, whole(int64(i+1), id))
			w := whole(int64(i+1), id)
			w.New = false
			want[id] = w
		}
		ok(t, p.Apply(ctx, b))

		active, err := p.Active(ctx, 1, ids)
		ok(t, err)
		b = &control.PeopleBatch{Log: log, From: 1, Next: 2}
		for _, x := range active {
			if x.Known != control.PartDone || x.ExternalID != "x-"+string(x.ID) || x.Sessions != 1 || !x.LastSession.Equal(at) {
				t.Fatalf("%+v", x)
			}
			switch x.ID {
			case "a", "b": // two, so that one statement takes both where it can
				x.Sessions, x.Revenue, x.UninstalledAt, x.Channels, x.Changed = 2, 2.5, at.Add(time.Hour), []byte(`{"push":{"o":2}}`), control.PartDone
				w := want[x.ID]
				w.Sessions, w.Revenue, w.UninstalledAt, w.Channels = x.Sessions, x.Revenue, x.UninstalledAt, x.Channels
				b.People = append(b.People, x)
			}
		}
		people, err := p.People(ctx, 1, []control.PersonID{"c", "d"})
		ok(t, err)
		for _, x := range people {
			w := want[x.ID]
			if x.ID == "c" {
				x.FirstName, x.CreatedAt, x.Changed = "Bo", at.Add(-time.Hour), control.PartWho
				w.FirstName, w.CreatedAt = x.FirstName, x.CreatedAt
			} else {
				x.Custom, x.Changed = []byte(`{"plan":"free"}`), control.PartMore
				w.Custom = x.Custom
			}
			b.People = append(b.People, x)
		}
		ok(t, p.Apply(ctx, b))
		people, err = p.People(ctx, 1, ids)
		ok(t, err)
		equal(t, "people", len(people), len(ids))
		for _, x := range people {
			equal(t, string(x.ID), *x, *want[x.ID])
		}
	})
}
