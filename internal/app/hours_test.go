package app

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/eventlog/segment"
	"github.com/millrace/millrace/internal/ingest"
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
