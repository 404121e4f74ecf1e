package profile_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/profile"
	"github.com/millrace/millrace/internal/store/storetest"
)

// speedEvents are what BenchmarkCatchUp applies, by what each is made of: a number below 30, and who.
var speedEvents = func() []string {
	const message = `"campaign_id":"c%[1]d","campaign_name":"Campaign","message_variation_id":"v1","canvas_id":null,`
	return []string{
		`{"event_type":"users.messages.email.Send",` + message + `"email_address":"a@b.example",`,
		`{"event_type":"users.messages.email.Open",` + message + `"email_address":"a@b.example",`,
		`{"event_type":"users.messages.email.Click",` + message + `"email_address":"a@b.example","url":"https://x.example",`,
		`{"event_type":"users.messages.pushnotification.Send",` + message + `"app_id":"a","platform":"ios",`,
		`{"event_type":"users.behaviors.CustomEvent","name":"event %[1]d","properties":"{}",`,
		`{"event_type":"users.behaviors.Purchase","product_id":"product %[1]d","price":2.5,"currency":"EUR","properties":"{}",`,
		`{"event_type":"users.behaviors.app.SessionStart","app_id":"app %[1]d","session_id":"s",`,
	}
}()

// speedPeople is how many people they are about.
const speedPeople = 100_000

// BenchmarkCatchUp applies a log of events of seven types about a hundred thousand people: to a database that knows none of
// them, of both kinds, and to one that knows them all.
func BenchmarkCatchUp(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func(n int) string {
		return fmt.Sprintf(speedEvents[random.IntN(len(speedEvents))], random.IntN(30)) + speedWho(random.IntN(speedPeople), n)
	}
	b.Run("nobody is known", func(b *testing.B) {
		w := newWorld(b, storetest.OpenProfiles(b))
		w.fill(b.N, some)
		w.catchUp(b)
	})
	b.Run("nobody is known, PostgreSQL", func(b *testing.B) {
		w := newWorld(b, storetest.PostgresProfiles(b))
		w.fill(b.N, some)
		w.catchUp(b)
	})
	b.Run("everybody is known", func(b *testing.B) {
		w := newWorld(b, storetest.OpenProfiles(b))
		w.fill(speedPeople, func(n int) string {
			return fmt.Sprintf(`{"event_type":"users.profile.Update","time_ms":1,"update_source":"x","first_name":"Ada","last_name":"Lovelace","email_address":"user%d@example.com",
				"country":"DE","language":"de","custom_attributes":"{\"plan\":\"gold\",\"age\":%d}",`, n, n%80) + speedWho(n, n)
		})
		w.follow()
		w.fill(b.N, some)
		w.catchUp(b)
	})
}

func speedWho(who, n int) string {
	return fmt.Sprintf(`"id":"event-%d","user_id":"%024x","external_user_id":"user-%d","time":%d}`, n, who, who, 1_700_000_000+n)
}

// fill appends n events in commits of a thousand.
func (w *world) fill(n int, text func(n int) string) {
	for at := 0; at < n; {
		var batch eventlog.Batch
		batch.Reset(eventlog.Header{Workspace: acme, Kind: eventlog.Events})
		for range min(1000, n-at) {
			line := text(at)
			out, s, res := w.reader.Read(batch.Begin(), []byte(line), event.Options{})
			if len(res.Problems) > 0 {
				w.t.Fatal(line, res.Problems)
			}
			batch.Commit(out, uint32(s.ID))
			at++
		}
		_, err := w.log.Append(w.t.Context(), &batch)
		must(w.t, err)
	}
}

// catchUp applies the log to its head, by the benchmark's clock.
func (w *world) catchUp(b *testing.B) {
	_, head := w.log.Bounds()
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	r := profile.New(profile.Deps{Log: w.log, Store: w.people, Catalogue: w.types, Logger: slog.New(slog.DiscardHandler), Hooks: profile.Hooks{
		OnApplied: func(next eventlog.Offset, n int, took time.Duration) {
			if next >= head {
				stop()
			}
		},
	}})
	b.ResetTimer()
	began := cpuTime(b)
	must(b, r.Run(ctx))
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64((cpuTime(b)-began).Nanoseconds())/1e3/float64(b.N), "cpu-µs/event")
}

// cpuTime is what this process has used: other than the clock it says the same on a machine that others use too.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
