package profile_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/profile"
)

// BenchmarkCatchUp applies a log of events of ten types about a hundred thousand people to an empty database.
func BenchmarkCatchUp(b *testing.B) {
	const people, perCommit = 100_000, 1000
	w := newWorld(b)
	random := rand.New(rand.NewPCG(1, 2))
	message := `"campaign_id":"c%d","campaign_name":"Campaign","message_variation_id":"v1","canvas_id":null`
	kinds := []string{
		`{"event_type":"users.messages.email.Send",` + message + `,"email_address":"a@b.example",`,
		`{"event_type":"users.messages.email.Open",` + message + `,"email_address":"a@b.example",`,
		`{"event_type":"users.messages.email.Click",` + message + `,"email_address":"a@b.example","url":"https://x.example",`,
		`{"event_type":"users.messages.pushnotification.Send",` + message + `,"app_id":"a","platform":"ios",`,
		`{"event_type":"users.behaviors.CustomEvent","name":"event %d","properties":"{}",`,
		`{"event_type":"users.behaviors.Purchase","product_id":"product %d","price":2.5,"currency":"EUR","properties":"{}",`,
		`{"event_type":"users.behaviors.app.SessionStart","app_id":"app %d","session_id":"s",`,
	}
	for n := 0; n < b.N; {
		var batch eventlog.Batch
		batch.Reset(eventlog.Header{Workspace: acme, Kind: eventlog.Events})
		for range min(perCommit, b.N-n) {
			who := random.IntN(people)
			text := fmt.Sprintf(kinds[random.IntN(len(kinds))], random.IntN(30)) + fmt.Sprintf(`"id":"event-%d","user_id":"%024x","external_user_id":"user-%d","time":%d}`, n, who, who, 1_700_000_000+n)
			out, s, res := w.reader.Read(batch.Begin(), []byte(text), event.Options{})
			if len(res.Problems) > 0 {
				b.Fatal(text, res.Problems)
			}
			batch.Commit(out, uint32(s.ID))
			n++
		}
		_, err := w.log.Append(b.Context(), &batch)
		must(b, err)
	}
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
	must(b, r.Run(ctx))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
