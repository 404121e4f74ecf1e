package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

// What pages about a workspace of 200 connectors count, with a month behind it.
func BenchmarkCounts(b *testing.B) {
	for name, fresh := range map[string]func() store.Config{
		"SQLite":     func() store.Config { return store.Config{Path: filepath.Join(b.TempDir(), "m.db")} },
		"PostgreSQL": func() store.Config { return storetest.Postgres(b) },
	} {
		b.Run(name, func(b *testing.B) {
			s, err := openAt(b, fresh())
			must := func(err error) {
				b.Helper()
				if err != nil {
					b.Fatal(err)
				}
			}
			must(err)
			ctx, now := b.Context(), time.Now()
			hour := eventlog.HourOf(now)
			catalogue, err := catalogue()
			must(err)
			names := catalogue.Types()
			w := control.Workspace{Number: 7, Name: "acme", UnknownFields: control.RejectUnknown}
			must(s.CreateWorkspace(ctx, w))
			first := storetest.Month(b, s, w, 200)
			for _, q := range []struct {
				name string
				ask  func() (int, error)
			}{
				{"an hour by minute", func() (int, error) {
					m := control.MinuteOf(now) + 1
					got, err := s.MinuteTallies(ctx, w.Number, first, m-60, m)
					return len(got), err
				}},
				{"a day by hour", func() (int, error) {
					got, err := s.HourTallies(ctx, w.Number, first, hour-23, hour+1)
					return len(got), err
				}},
				{"30 days by hour", func() (int, error) {
					got, err := s.HourTallies(ctx, w.Number, first, hour-24*storetest.MonthDays, hour+1)
					return len(got), err
				}},
				{"a day of all connectors", func() (int, error) {
					got, err := s.Tallies(ctx, w.Number, hour-23, hour+1)
					return len(got), err
				}},
				{"a workspace by minute", func() (int, error) {
					m := control.MinuteOf(now) + 1
					got, err := s.AcceptedMinutes(ctx, w.Number, m-60, m)
					return len(got), err
				}},
				{"newest files", func() (int, error) {
					got, err := s.Files(ctx, control.LedgerFilter{Workspace: w.Number, Connector: first, Newest: true}, 0, 100)
					return len(got), err
				}},
				{"newest files of a type and hour", func() (int, error) {
					got, err := s.Files(ctx, control.LedgerFilter{Workspace: w.Number, Connector: first, EventType: names[3].Name, From: hour - 5, Until: hour - 4, Newest: true}, 0, 100)
					return len(got), err
				}},
				{"a file that is not there", func() (int, error) {
					got, err := s.Files(ctx, control.LedgerFilter{Workspace: w.Number, Connector: first, Newest: true, Search: "nowhere"}, 0, 100)
					return len(got) + 1, err
				}},
			} {
				b.Run(q.name, func(b *testing.B) {
					for b.Loop() {
						if n, err := q.ask(); err != nil || n == 0 {
							b.Fatal(n, err)
						}
					}
				})
			}
		})
	}
}
