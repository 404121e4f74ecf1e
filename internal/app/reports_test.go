package app

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/store"
)

func TestAReportOnAScheduleIsAskedForWhenItIsDue(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		people, err := store.OpenProfiles(ctx, store.Config{Path: dir + "/" + peopleName})
		must(err)
		defer people.Close()
		s := &system{logger: slog.New(slog.DiscardHandler), plane: &plane{store: openTestStore(t, dir)}, profiles: people}
		s.rules = &control.Plane{Store: s.plane.store.Store}
		w, err := s.rules.CreateWorkspace(ctx, control.Workspace{Name: "acme"})
		must(err)
		seat := control.Membership{Workspace: w.Number, Member: "ana", Role: control.Viewer, ExportUserData: true}
		must(s.plane.store.CreateMember(ctx, control.Member{ID: "ana", Email: "ana@acme.example", Name: "Ana"}, control.Lock{}, &seat))
		ana := control.WithActor(ctx, control.Actor{Member: "ana", Seats: map[uint32]control.Membership{w.Number: seat}})
		_, err = s.rules.CreateSchedule(ana, w.Number, control.ScheduleEdit{Name: new("Daily"), Kind: new(control.ExportRevenue), Spec: &control.ExportSpec{},
			Times: &control.ScheduleTimes{Every: 1, Unit: control.EveryDay, Hour: 9}})
		must(err)
		ended := make(chan struct{})
		go func() {
			s.runSchedules(ctx)
			close(ended)
		}()
		var made []control.Export
		for day := range 3 {
			time.Sleep(24 * time.Hour) // of the bubble's clock
			synctest.Wait()
			made, err = s.plane.store.Exports(ctx, w.Number, control.ExportFilter{Source: control.ExportBySchedule}, 0, 10)
			must(err)
			if len(made) != day+1 {
				t.Fatalf("after %d days there are %d reports", day+1, len(made))
			}
		}
		if hour := made[0].CreatedAt.Hour(); hour != 9 {
			t.Errorf("it was asked for at %d o'clock", hour)
		}
		stop()
		<-ended
	})
}
