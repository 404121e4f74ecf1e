package app

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

// fullLog is a log of which only its use of the disk counts.
type fullLog struct {
	eventlog.Log
	usage eventlog.Usage
}

func (l *fullLog) Usage() eventlog.Usage { return l.usage }

// openTestStore opens a fresh database.
func openTestStore(t *testing.T, dir string) ledgerStore {
	t.Helper()
	ring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(dir, databaseName), Keyring: ring, Catalogue: catalogue})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return ledgerStore{db}
}

func TestANearlyFullLogIsToldOnceADay(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &system{logger: slog.New(slog.DiscardHandler), plane: &plane{store: openTestStore(t, dir)}}
		log := &fullLog{usage: eventlog.Usage{MaxBytes: 1000, Bytes: 899}}
		watch := func(d time.Duration) []control.Notice {
			t.Helper()
			ctx, stop := context.WithTimeout(t.Context(), d)
			defer stop()
			s.watchQuota(ctx, log)
			told, err := s.plane.store.Notices(t.Context(), 0, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			return told
		}
		if told := watch(time.Minute); len(told) > 0 {
			t.Errorf("told below nine tenths: %+v", told)
		}
		log.usage.Bytes = 900
		for range 2 { // a restart tells nothing twice
			if told := watch(time.Hour); len(told) != 1 || told[0].Kind != control.NoticeDiskQuota || told[0].Params["used"] != "900" || told[0].Params["limit"] != "1000" {
				t.Errorf("%+v", told)
			}
		}
		if told := watch(24 * time.Hour); len(told) != 2 {
			t.Errorf("%d notices after another day", len(told))
		}
	})
}

func TestKeysThatEndOrAreNotUsedAreToldOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := &system{logger: slog.New(slog.DiscardHandler), plane: &plane{store: openTestStore(t, dir)}}
		if err := s.plane.store.CreateWorkspace(ctx, control.Workspace{Number: 7, Name: "acme", UnknownFields: control.RejectUnknown, CreatedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
		for name, ends := range map[string]time.Time{"ends": time.Now().Add(90 * time.Minute), "rests": {}, "works": {}} {
			k := control.APIKey{ID: control.KeyID(name), Workspace: 7, Name: name, Scopes: control.Scopes()[:1], CreatedAt: time.Now(), ExpiresAt: ends}
			if err := s.plane.store.CreateKey(ctx, k, control.HashKey(name)); err != nil {
				t.Fatal(err)
			}
		}
		woken := 0
		after := func(d time.Duration, want ...string) {
			t.Helper()
			run, stop := context.WithTimeout(ctx, d)
			defer stop()
			s.watchKeys(run, func() { woken++ })
			told, err := s.plane.store.Notices(ctx, 7, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range told {
				got = append(got, string(n.Kind)+" "+n.Params["key"])
			}
			slices.Sort(got)
			if !slices.Equal(got, want) || woken != len(want) {
				t.Errorf("after %v: told %v, woken %d times", d, got, woken)
			}
			if err := s.plane.store.TouchKeys(ctx, map[control.KeyID]time.Time{"works": time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		after(90*time.Minute - time.Second)
		after(2*time.Hour, "key_expired ends")
		after(48*time.Hour, "key_expired ends")
		after(keyUnused/2, "key_expired ends")
		after(keyUnused/2, "key_expired ends", "key_unused rests")
		after(48*time.Hour, "key_expired ends", "key_unused rests") // restarts tell nothing twice
	})
}

func TestAJobThatFailsSaysWhy(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p := &plane{store: openTestStore(t, dir)}
		s := &system{logger: slog.New(slog.DiscardHandler), plane: p, rules: &control.Plane{Store: p.store}}
		if err := p.store.CreateWorkspace(ctx, control.Workspace{Number: 7, Name: "acme", UnknownFields: control.RejectUnknown, CreatedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
		id, err := p.store.AddJob(ctx, control.Job{Kind: "dance", Workspace: 7, Connector: "c", State: control.JobWaiting, CreatedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		work, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		s.runJobs(work, nil)
		j, err := p.store.Job(ctx, 7, id)
		if err != nil || j.State != control.JobFailed || j.Failure == nil || j.Failure.Code != fault.Internal || j.DoneAt.IsZero() {
			t.Errorf("%+v %v", j, err)
		}
		if _, err := p.awaitJob(ctx, 7, id); err == nil || !fault.Is(err, fault.Internal) {
			t.Errorf("who waits for it hears %v", err)
		}
	})
}

func TestANoticeOfDeliveryWakesWhoeverSendsIt(t *testing.T) {
	s := &system{logger: slog.New(slog.DiscardHandler), meters: newMeters(prometheus.NewRegistry())}
	woken := 0
	told := s.deliveryHooks(func() { woken++ }).OnNotice
	if told == nil {
		t.Fatal("a notice waits for the next look")
	}
	told(control.Notice{Kind: control.NoticeFailing})
	if woken != 1 {
		t.Errorf("woken %d times", woken)
	}
}

func TestTheOperatorIsToldWhatPeopleLack(t *testing.T) {
	dir := t.TempDir()
	people := storetest.OpenProfiles(t)
	synctest.Test(t, func(t *testing.T) {
		s := &system{logger: slog.New(slog.DiscardHandler), plane: &plane{store: openTestStore(t, dir)}, profiles: people}
		lag := client.ProfileLag{AsOf: time.Now().UTC()}
		watch := func(d time.Duration, want ...string) {
			t.Helper()
			ctx, stop := context.WithTimeout(t.Context(), d)
			defer stop()
			s.watchPeople(ctx, func(time.Time) (client.ProfileLag, bool) { return lag, true })
			all, err := s.plane.store.Notices(t.Context(), 0, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			for _, n := range all {
				told = append(told, fmt.Sprint(n.Kind, " ", n.Params["since"], n.Params["offset"], " ", n.Params["reason"]))
			}
			slices.Sort(told)
			if !slices.Equal(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
		}
		log := eventlog.ID{1}
		aside := func(offset eventlog.Offset) {
			t.Helper()
			if err := people.Begin(t.Context(), log, offset, &control.SetAside{Offset: offset, Reason: "gone", At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		watch(time.Hour)
		lag.StandsStill = true
		stood := "profiles_still 2000-01-01T00:00:00Z "
		watch(time.Hour, stood)
		lag.StandsStill = false
		aside(7)
		for range 2 { // a restart tells nothing twice
			watch(time.Hour, stood, "set_aside 7 gone")
		}
		aside(8) // on the same day: in the list
		watch(time.Hour, stood, "set_aside 7 gone")
		watch(24*time.Hour, stood, "set_aside 7 gone")
		aside(9)
		watch(time.Hour, stood, "set_aside 7 gone", "set_aside 9 gone")
	})
}
