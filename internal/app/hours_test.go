package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/ingest"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/vfstest"
)

// TestEachHourIsMarkedOnce lets days pass: hours with events and without, restarts, standstills.
func TestEachHourIsMarkedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfstest.New()
		s := &system{logger: slog.New(slog.DiscardHandler)}
		begin := eventlog.HourOf(time.Now())
		var want []eventlog.Hour
		live := func(d time.Duration) {
			log, err := segment.Open(t.Context(), segment.Config{FS: disk, MinFree: -1})
			if err != nil {
				t.Fatal(err)
			}
			in := ingest.New(ingest.Config{}, ingest.Deps{Log: log, Logger: s.logger})
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); s.markHours(ctx, log, in) }()
			time.Sleep(d)
			synctest.Wait()
			stop()
			<-done
			if got := marked(t, log); !slices.Equal(got, want) {
				t.Fatalf("marked %v, want %v", got, want)
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
		}
		live(30 * time.Minute) // a fresh log: no hour has ended in it
		time.Sleep(time.Minute)
		live(10 * time.Minute)
		want = hours(begin, begin+2)
		live(2 * time.Hour)
		live(time.Minute) // started again within the hour
		time.Sleep(5 * time.Hour)
		want = hours(begin, begin+7)
		live(time.Minute) // hours of a standstill get their marks at once
		time.Sleep(100 * time.Hour)
		want = append(want, hours(begin+7+100-hoursBack, begin+7+100)...)
		live(time.Minute) // but not all of a long one
	})
}

func hours(from, until eventlog.Hour) (h []eventlog.Hour) {
	for ; from < until; from++ {
		h = append(h, from)
	}
	return h
}

// marked gives the hours that are marked in log, in its order.
func marked(t *testing.T, log eventlog.Log) (hours []eventlog.Hour) {
	t.Helper()
	r, err := log.Reader(0, eventlog.Filter{Kind: eventlog.Control})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		c, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if c == nil {
			return hours
		}
		for rec := range c.Records() {
			m, err := control.DecodeRecord(rec.Value)
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind == control.RecordHour {
				if m.Hour >= c.Hour() {
					t.Errorf("hour %s is marked in hour %s", m.Hour, c.Hour())
				}
				hours = append(hours, m.Hour)
			}
		}
	}
}

// memoryOpener opens one bucket in memory, whatever is asked for.
type memoryOpener struct{ b bucket.Bucket }

func (o memoryOpener) Open(bucket.Access) (bucket.Bucket, error)    { return o.b, nil }
func (o memoryOpener) OpenOwn(bucket.Access) (bucket.Bucket, error) { return o.b, nil }
func (memoryOpener) Assume(context.Context, bucket.Access) error    { return nil }
func (memoryOpener) Account(context.Context) (string, error)        { return "111122223333", nil }

// TestAnHourIsCompleteOnceItHasEndedAndIsDelivered lets an hour end under the real parts, but for disk and bucket.
func TestAnHourIsCompleteOnceItHasEndedAndIsDelivered(t *testing.T) {
	dir := t.TempDir()
	ring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		hour := eventlog.HourOf(time.Now())
		time.Sleep(58 * time.Minute)
		db, err := store.Open(ctx, store.Config{Path: filepath.Join(dir, databaseName), Keyring: ring, Catalogue: catalogue})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		log, err := segment.Open(ctx, segment.Config{FS: vfstest.New(), MinFree: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		if err := db.SetCurrentLog(ctx, log.ID()); err != nil {
			t.Fatal(err)
		}
		logger := slog.New(slog.DiscardHandler)
		sink := &Console{Err: io.Discard}
		p := &plane{cfg: &config.Config{}, data: vfs.OS(dir), catalogue: catalogue, store: ledgerStore{db}, opener: memoryOpener{buckettest.NewMemory()}}
		s := &system{logger: logger, plane: p}
		rules := p.rules()
		rules.Cluster, rules.Zone = "prod-01", "default"
		w, err := rules.CreateWorkspace(ctx, control.Workspace{Name: "acme"})
		if err != nil {
			t.Fatal(err)
		}
		_, key, err := rules.CreateKey(ctx, control.APIKey{Workspace: w.Number, Name: "producer", Scopes: []control.Scope{control.ScopeEventsWrite}}, secret.Value{})
		if err != nil {
			t.Fatal(err)
		}
		word := func(s string) *string { return &s }
		pass := secret.New("secret")
		conn, err := rules.Launch(ctx, w.Number, control.Edit{Name: word("warehouse"), ContactEmail: word("a@b.example"), Bucket: word("acme-currents"),
			AccessKeyID: word("AKIA0123456789ABCDEF"), SecretAccessKey: &pass, Events: []string{"users.behaviors.CustomEvent"}})
		if err != nil {
			t.Fatal(err)
		}

		in := ingest.New(ingest.Config{}, ingest.Deps{Log: log, Catalogue: catalogue, Keys: db, Logger: logger})
		manager := delivery.New(delivery.Config{}, delivery.Deps{Log: log, Store: p.store, Opener: p.opener, Catalogue: catalogue, Logger: logger})
		work, stop := context.WithCancel(ctx)
		var parts sync.WaitGroup
		parts.Go(func() { s.recordConfigs(work, in) })
		parts.Go(func() { s.markHours(work, log, in) })
		parts.Go(func() { manager.Run(work) })
		time.Sleep(5 * time.Second)

		var body strings.Builder
		for n := range 70 {
			fmt.Fprintf(&body, `{"event_type":"users.behaviors.CustomEvent","user_id":"u%d","name":"n","properties":{}}`+"\n", n)
		}
		body.WriteString(`{"event_type":"users.messages.email.Open","user_id":"u"}` + "\n") // not selected
		r := httptest.NewRequest("POST", ingest.EventsPath, strings.NewReader(body.String()))
		r.Header.Set("Authorization", "Bearer "+key.Reveal())
		r.Header.Set("Content-Type", "application/x-ndjson")
		answer := httptest.NewRecorder()
		in.Events().ServeHTTP(answer, r)
		if answer.Code != 200 {
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}

		// While it lasts nobody says that it is complete.
		looked := time.Now()
		cmd := Wait{Connector: "acme/warehouse", Timeout: new(time.Duration(0))}
		if _, err := cmd.await(ctx, sink, p, conn, hour); !fault.Is(err, fault.Unavailable) || time.Since(looked) > 0 {
			t.Errorf("with no time it looks for %s: %v", time.Since(looked), err)
		}
		cmd.Timeout = new(30 * time.Second)
		if _, err := cmd.await(ctx, sink, p, conn, hour); !fault.Is(err, fault.Unavailable) || !strings.Contains(Hint(err), "ends at 2000-01-01T01:00:00Z") {
			t.Errorf("while it lasts: %v (%s)", err, Hint(err))
		}
		time.Sleep(time.Until((hour + 1).Start()))
		cmd.Timeout = new(time.Minute)
		done, err := cmd.await(ctx, sink, p, conn, hour)
		want := []control.HourCount{{EventType: "users.behaviors.CustomEvent", Accepted: 70, Delivered: 70}}
		if err != nil || !slices.Equal(done.Counts, want) {
			t.Errorf("%+v %v", done, err)
		}
		if took := time.Since((hour + 1).Start()); took > 30*time.Second {
			t.Errorf("complete %v after its end", took)
		}
		stop()
		parts.Wait()
		if err := in.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestAnHourWithLossesHasAnExitCodeOfItsOwn(t *testing.T) {
	if got := ExitCode(fmt.Errorf("wait: %w", endsWith{exitDropped, "some were dropped"})); got != 3 {
		t.Errorf("exit code %d", got)
	}
}

func TestAnHourIsWrittenAsOne(t *testing.T) {
	for text, ok := range map[string]bool{
		"2026-11-22T10": true, "2026-11-22-10": true, "2026-11-22T10:00": true, "2026-11-22T10:00:00Z": true, "2026-11-22T00": true,
		"": false, "2026-11-22": false, "2026-11-22T10:30": false, "10": false, "2026-11-22T10:00:01Z": false,
	} {
		if h, err := parseOneHour(text); (err == nil) != ok || ok && !strings.HasPrefix(hourText(h), "2026-11-22T") {
			t.Errorf("%q: %s %v", text, hourText(h), err)
		}
	}
}
