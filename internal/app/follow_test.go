package app

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/profile"
	"github.com/millrace/millrace/internal/store"
)

// openProfiles opens the people of the data folder.
func (w *world) openProfiles() *store.Profiles {
	w.t.Helper()
	p := w.open()
	profiles, err := p.openProfiles(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { profiles.Close() })
	return profiles
}

// oldLog is a full log of which a twentieth of the time ends at offset 5.
type oldLog struct{ fullLog }

func (*oldLog) OffsetAt(context.Context, time.Time) (eventlog.Offset, error) { return 5, nil }

// What the server accepted is in profiles, and the log is kept until it is.
func TestAServerKeepsPeopleUp(t *testing.T) {
	w := newWorld(t)
	if out, err := w.apply(w.manifest("")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sys, stop := w.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.post(sys, `[{"event_type":"users.behaviors.CustomEvent","user_id":"p1","name":"a","properties":"{}"}]`, 200)
	acme, err := sys.plane.store.WorkspaceBy(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		some, err := sys.profiles.People(t.Context(), acme.Number, []control.PersonID{"p1"})
		if err != nil {
			t.Fatal(err)
		}
		if len(some) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody was made")
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.s.Environ[slices.Index(w.s.Environ, "MILLRACE_PROFILES=true")] = "MILLRACE_PROFILES=false"
	sys, stop = w.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sys.profiles != nil {
		t.Error("they are kept although the setting says no")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// The log is kept for people until it is nearly full and nothing else can go; then its oldest part is not.
func TestPeopleGiveWayBeforeProducersAreRefused(t *testing.T) {
	w := newWorld(t)
	w.deliver(50)
	p, profiles := w.open(), w.openProfiles()
	id, _, err := p.store.CurrentLog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.store.CountsCursor(t.Context(), id)
	if err := errors.Join(err, p.store.ApplyControl(t.Context(), id, 40, nil), p.store.AddCounts(t.Context(), id, 40, nil)); err != nil {
		t.Fatal(err)
	}
	all, err := p.store.RetentionFloor(t.Context(), id)
	if err != nil || all < 10 {
		t.Fatal(all, err)
	}
	log := &oldLog{fullLog: fullLog{usage: eventlog.Usage{MaxBytes: 1000, Bytes: 899, Oldest: time.Now().Add(-time.Hour), Release: 7}}}
	people := &follower{log: log, reader: profile.New(profile.Deps{Log: log, Store: profiles})} // it never ran: nothing is known to be applied
	var got []eventlog.Offset
	for _, bytes := range []int64{899, 899, 899, 900, 900, 900, 900, 899, 900} {
		log.usage.Bytes = bytes
		floor, err := retained{p.store, people}.RetentionFloor(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, floor)
	}
	want := []eventlog.Offset{0, 0, 0, 0, 0, 7, 7, 0, 0}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("the log is kept from %v, want %v", got, want)
		}
	}
	if floor, err := (retained{p.store, &follower{}}).RetentionFloor(t.Context(), id); err != nil || floor != all {
		t.Errorf("without people the log is kept from %d, want %d: %v", floor, all, err)
	}
}

// What the dashboard says of people's pace, from looks every ten seconds.
func TestPeopleWhoStandStillAreSeen(t *testing.T) {
	began := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for name, x := range map[string]struct {
		look  func(at time.Duration) (next eventlog.Offset, since time.Duration, known bool) // since < 0: nothing was read that waits
		span  time.Duration
		asOf  time.Duration
		still bool
	}{
		"nothing waits": {func(time.Duration) (eventlog.Offset, time.Duration, bool) { return 100, -1, true }, time.Hour, time.Hour, false},
		"slow": {func(at time.Duration) (eventlog.Offset, time.Duration, bool) {
			return eventlog.Offset(at / time.Minute), at / 2, true
		}, time.Hour, 30 * time.Minute, false},
		"what was read is not taken up":  {func(time.Duration) (eventlog.Offset, time.Duration, bool) { return 50, time.Minute, true }, 5*time.Minute + 10*time.Second, time.Minute, true},
		"for less than five minutes":     {func(time.Duration) (eventlog.Offset, time.Duration, bool) { return 50, time.Minute, true }, 5*time.Minute - 10*time.Second, time.Minute, false},
		"the log cannot be read further": {func(time.Duration) (eventlog.Offset, time.Duration, bool) { return 50, -1, true }, time.Hour, 0, true},
		"the database cannot be read":    {func(time.Duration) (eventlog.Offset, time.Duration, bool) { return 0, -1, false }, time.Hour, 0, true},
		"it caught up after half an hour": {func(at time.Duration) (eventlog.Offset, time.Duration, bool) {
			return 50 + 50*eventlog.Offset(at/(30*time.Minute)), -1, true
		}, 31 * time.Minute, 31 * time.Minute, false},
	} {
		p := pace{moved: began, asOf: began}
		for at := time.Duration(0); at <= x.span; at += 10 * time.Second {
			next, since, known := x.look(at)
			st := profile.Status{Next: next}
			if since >= 0 {
				st.Since = began.Add(since)
			}
			p.see(began.Add(at), st, known, 100)
		}
		lag := p.lag(began.Add(x.span))
		if !lag.AsOf.Equal(began.Add(x.asOf)) || lag.Seconds != (x.span-x.asOf).Seconds() || lag.StandsStill != x.still {
			t.Errorf("%s: %+v", name, lag)
		}
	}
}

// Between two looks that find nothing waiting much may have come and gone: what waits at the next one has not waited long.
func TestPeopleWhoCaughtUpBetweenLooksDoNotStandStill(t *testing.T) {
	began := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	p := pace{moved: began, asOf: began}
	p.see(began, profile.Status{Next: 100}, true, 100)
	p.see(began.Add(time.Hour), profile.Status{Next: 100}, true, 101)
	if lag := p.lag(began.Add(time.Hour)); lag.StandsStill {
		t.Errorf("%+v after a record that was accepted a moment ago", lag)
	}
	p.see(began.Add(time.Hour+peopleStill), profile.Status{Next: 100}, true, 101)
	if lag := p.lag(began.Add(time.Hour + peopleStill)); !lag.StandsStill {
		t.Errorf("%+v after five minutes in which it was not taken up", lag)
	}
}
