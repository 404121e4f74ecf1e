package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/store"
)

// What Month leaves behind.
const (
	MonthDays  = 30
	MonthTypes = 20
)

// Month gives workspace w, which is there, so many connectors with MonthDays days of MonthTypes event types behind them until
// now, as delivery and counting would have left them. Each has been changed twice and has a file for every hour; the first,
// which is given, has one of each type every five minutes of the last day. over is the store that Open gave: rooms beside
// the store know it by what they ask of it.
func Month(tb testing.TB, over any, w control.Workspace, connectors int) (first control.ConnectorID) {
	tb.Helper()
	s := over.(*store.Store)
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	types, err := event.NewCatalogue(nil)
	must(err)
	var names []string
	for _, t := range types.Types()[:MonthTypes] {
		names = append(names, t.Name)
	}
	const versions = 3
	ctx, log, now := tb.Context(), eventlog.ID{1}, time.Now()
	hour := eventlog.HourOf(now)
	for i := range connectors {
		c := control.Connector{Config: control.Config{Connector: control.NewConnectorID(), Number: control.NewNumber(), Workspace: w.Number, Version: 1,
			Name: fmt.Sprint("connector ", i), Events: []string{"all"}, Codec: "deflate", FlushInterval: 5 * time.Minute, FlushEvents: 15000,
			Destination: control.Destination{Number: 1, Bucket: "acme-currents", Folder: fmt.Sprint(i)}}}
		must(s.CreateConnector(ctx, c, control.Credentials{}))
		for v := range versions {
			c.Version = v + 1
			if v > 0 {
				must(s.UpdateConnector(ctx, c, nil))
				c.Rev++
			}
			at := eventlog.Offset(versions*i + v)
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
		for h := hour - 24*MonthDays; h <= hour; h++ {
			save.Files = append(save.Files, file(h, 0, -1, h.Start()))
		}
		if first == "" {
			first = c.Connector
			for n := range 24 * 12 {
				at := now.Add(-time.Duration(n) * 5 * time.Minute)
				for kind := range MonthTypes {
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
		for h := hour - 24*MonthDays; h <= hour; h++ {
			counts = append(counts, control.Count{Workspace: w.Number, EventType: name, Hour: h, Era: eventlog.Offset(connectors * versions), Events: 100})
		}
		for m := range control.Minute(control.MinutesKept) {
			counts = append(counts, control.Count{Workspace: w.Number, EventType: name, Hour: hour, Minute: control.MinuteOf(now) - m, Era: eventlog.Offset(connectors * versions), Events: 3})
		}
	}
	must(s.AddCounts(ctx, log, eventlog.Offset(connectors*versions), counts))
	return first
}
