package app

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/store"
)

// A segment that wants it is counted each day, and again when its filter has changed; what was counted of one that is gone
// goes.
func TestSegmentsAreCountedOnceADay(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		people, err := store.OpenProfiles(ctx, store.Config{Path: dir + "/" + peopleName})
		if err != nil {
			t.Fatal(err)
		}
		defer people.Close()
		s := &system{logger: slog.New(slog.DiscardHandler), plane: &plane{store: openTestStore(t, dir)}, profiles: people}
		rules := &control.Plane{Store: s.plane.store.Store}
		root := control.WithActor(ctx, control.CommandLine())
		w, err := rules.CreateWorkspace(root, control.Workspace{Name: "acme"})
		if err != nil {
			t.Fatal(err)
		}
		add := func(row int64) {
			t.Helper()
			now := time.Now().UTC()
			x := &control.Person{Row: row, New: true, Workspace: w.Number, ID: control.PersonID(rune('a' + row)), Country: "ES", CreatedAt: now, UpdatedAt: now}
			if err := people.Apply(ctx, &control.PeopleBatch{Log: eventlog.ID{1}, From: eventlog.Offset(row - 1), Next: eventlog.Offset(row), People: []*control.Person{x}}); err != nil {
				t.Fatal(err)
			}
		}
		sizes := func(id control.SegmentID) (all []int64) {
			t.Helper()
			if err := s.countDue(ctx); err != nil {
				t.Fatal(err)
			}
			today := control.DayOf(time.Now(), time.UTC)
			got, err := people.SegmentSizes(ctx, w.Number, id, today-100, today)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range got {
				all = append(all, d.Size)
			}
			return all
		}
		check := func(what string, got []int64, want ...int64) {
			t.Helper()
			if len(got) != len(want) {
				t.Fatalf("%s: %v, want %v", what, got, want)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%s: %v, want %v", what, got, want)
				}
			}
		}
		add(1)
		counted, err := rules.CreateSegment(root, w.Number, control.SegmentEdit{Name: new("counted"), Analytics: new(true)})
		if err != nil {
			t.Fatal(err)
		}
		not, err := rules.CreateSegment(root, w.Number, control.SegmentEdit{Name: new("not")})
		if err != nil {
			t.Fatal(err)
		}
		check("the first day", sizes(counted.ID), 1)
		add(2)
		check("later that day", sizes(counted.ID), 1)
		time.Sleep(24 * time.Hour)
		check("the next day", sizes(counted.ID), 1, 2)
		if _, err := rules.UpdateSegment(root, w.Number, counted.ID, control.SegmentEdit{Filter: &control.Filter{Attribute: &control.Condition{Name: "email"}}}); err != nil {
			t.Fatal(err)
		}
		check("with another filter", sizes(counted.ID), 1, 0)
		check("one that is not to be counted", sizes(not.ID))
		if err := rules.DeleteSegment(root, w.Number, counted.ID); err != nil {
			t.Fatal(err)
		}
		check("one that is gone", sizes(counted.ID))
	})
}
