package store_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/store"
	"github.com/millrace/millrace/internal/store/storetest"
)

// What pages about a workspace of 200 connectors count, with 30 days of 20 types behind it. The ledger of one connector
// has a file of each type every five minutes of the last day.
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
			const days, connectors, types, version = 30, 200, 20, 3
			ctx, log, now := b.Context(), eventlog.ID{1}, time.Now()
			hour := eventlog.HourOf(now)
			catalogue, err := catalogue()
			must(err)
			var names []string
			for _, t := range catalogue.Types()[:types] {
				names = append(names, t.Name)
			}
			w := control.Workspace{Number: 7, Name: "acme", UnknownFields: control.RejectUnknown}
			must(s.CreateWorkspace(ctx, w))
			var first control.ConnectorID
			for i := range connectors {
				c := control.Connector{Config: control.Config{Connector: control.NewConnectorID(), Number: control.NewNumber(), Workspace: w.Number, Version: 1,
					Name: fmt.Sprint("c", i), Events: []string{"all"}, Destination: control.Destination{Number: 1, Bucket: "b", Folder: fmt.Sprint(i)}}}
				must(s.CreateConnector(ctx, c, control.Credentials{}))
				for v := range version {
					c.Version = v + 1
					if v > 0 {
						must(s.UpdateConnector(ctx, c, nil))
						c.Rev++
					}
					at := eventlog.Offset(version*i + v)
					must(s.ApplyControl(ctx, log, at+1, []control.LoggedRecord{{Offset: at, Workspace: w.Number, Record: control.Record{Kind: control.RecordConfig, Config: &c.Config}}}))
				}
				l := control.Lane{Connector: c.Connector, Destination: 1}
				file := func(h eventlog.Hour, kind, n int, at time.Time) control.File {
					return control.File{Lane: l, Key: fmt.Sprint("currents/", h, "/", names[kind], "/", n), EventType: names[kind], Stream: control.Stream{Schema: uint32(kind), Hour: h},
						Log: log, Events: 10, Size: 1000, Cut: "age", At: at}
				}
				p, err := s.Position(ctx, l)
				must(err)
				save := control.Save{Position: p}
				for h := hour - 24*days; h <= hour; h++ {
					save.Files = append(save.Files, file(h, 0, -1, h.Start()))
				}
				if first == "" {
					first = c.Connector
					for n := range 24 * 12 {
						at := now.Add(-time.Duration(n) * 5 * time.Minute)
						for kind := range types {
							save.Files = append(save.Files, file(eventlog.HourOf(at), kind, n, at))
						}
					}
				}
				_, err = s.Save(ctx, save)
				must(err)
			}
			_, err = s.CountsCursor(ctx, log)
			must(err)
			var counts []control.Count
			for _, name := range names {
				for h := hour - 24*days; h <= hour; h++ {
					counts = append(counts, control.Count{Workspace: w.Number, EventType: name, Hour: h, Era: connectors * version, Events: 100})
				}
				for m := range control.Minute(control.MinutesKept) {
					counts = append(counts, control.Count{Workspace: w.Number, EventType: name, Hour: hour, Minute: control.MinuteOf(now) - m, Era: connectors * version, Events: 3})
				}
			}
			must(s.AddCounts(ctx, log, connectors*version, counts))
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
					got, err := s.HourTallies(ctx, w.Number, first, hour-24*days, hour+1)
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
					got, err := s.Files(ctx, control.LedgerFilter{Workspace: w.Number, Connector: first, EventType: names[3], From: hour - 5, Until: hour - 4, Newest: true}, 0, 100)
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
