package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

func ledger(run runner) {
	run("ledger rows come back as they were saved, page by page", func(t *testing.T, e *env) {
		l := e.lane()
		p := e.position(l)
		var files []control.File
		var drops []control.Drop
		for i := range 25 {
			first := eventlog.Offset(10 + 10*i)
			f := e.file(l, first, first+4)
			f.Adopted, f.Partition, f.Stream.Target = i%2 == 0, i%3*1000, uint32(i%5)
			files = append(files, f)
			d := e.drop(l, first+5, first+9)
			d.Settled, d.Events = i%2 == 0, int64(i-1)
			drops = append(drops, d)
		}
		_, err := e.Save(t.Context(), control.Save{Position: p, Files: files, Drops: drops})
		ok(t, err)
		var gotFiles []control.File
		for after := int64(0); ; {
			page, err := e.Files(t.Context(), control.LedgerFilter{Connector: l.Connector}, after, 10)
			ok(t, err)
			if len(page) == 0 {
				break
			}
			after = page[len(page)-1].ID
			gotFiles = append(gotFiles, page...)
		}
		for i := range gotFiles {
			one, err := e.FileByKey(t.Context(), l, gotFiles[i].Key)
			ok(t, err)
			equal(t, "file by key", one, gotFiles[i])
			gotFiles[i].ID = 0
		}
		equal(t, "files", gotFiles, files)
		gotDrops, err := e.Drops(t.Context(), control.LedgerFilter{Connector: l.Connector}, 0, 100)
		ok(t, err)
		for i := range gotDrops {
			if gotDrops[i].ID == 0 {
				t.Fatalf("drop %d was given no ID", i)
			}
			gotDrops[i].ID = 0
		}
		equal(t, "drops", gotDrops, drops)
		open, err := e.UnsettledDrops(t.Context(), l)
		ok(t, err)
		equal(t, "unsettled", len(open), 12)
		_, err = e.FileByKey(t.Context(), l, "nothing")
		want(t, err, fault.NotFound)
	})
	run("the newest first, pages stay right while new rows come", func(t *testing.T, e *env) {
		l := e.lane()
		first := eventlog.Offset(10)
		write := func(n int) {
			t.Helper()
			sv := control.Save{Position: e.position(l)}
			for range n {
				sv.Files, sv.Drops = append(sv.Files, e.file(l, first, first)), append(sv.Drops, e.drop(l, first+1, first+1))
				first += 10
			}
			_, err := e.Save(t.Context(), sv)
			ok(t, err)
		}
		write(7)
		newest := control.LedgerFilter{Connector: l.Connector, Newest: true}
		var files, drops []eventlog.Offset
		var file, drop int64
		for range 4 {
			fs, err := e.Files(t.Context(), newest, file, 2)
			ok(t, err)
			ds, err := e.Drops(t.Context(), newest, drop, 2)
			ok(t, err)
			for i := range fs {
				files, drops = append(files, fs[i].First), append(drops, ds[i].First-1)
				file, drop = fs[i].ID, ds[i].ID
			}
			write(1)
		}
		equal(t, "files", files, []eventlog.Offset{70, 60, 50, 40, 30, 20, 10})
		equal(t, "drops", drops, files)
	})
	run("files are found by a text in their key, as it stands", func(t *testing.T, e *env) {
		l := e.lane()
		f, other := e.file(l, 10, 10), e.file(l, 20, 20)
		f.Key, other.Key = "currents/100%_A'b.avro", "currents/a.avro"
		_, err := e.Save(t.Context(), control.Save{Position: e.position(l), Files: []control.File{f, other}})
		ok(t, err)
		for text, n := range map[string]int{"currents/": 2, "100%_A'b": 1, "a.avro": 1, "A.avro": 0, "100%%": 0, "_a": 0, f.Key: 1} {
			for _, newest := range []bool{true, false} {
				fs, err := e.Files(t.Context(), control.LedgerFilter{Connector: l.Connector, EventType: f.EventType, From: f.Stream.Hour, Search: text, Newest: newest}, 0, 10)
				ok(t, err)
				equal(t, "files with "+text, len(fs), n)
			}
		}
	})
	run("a file stands in a lane's ledger once, as it was first written", func(t *testing.T, e *env) {
		l := e.lane()
		p := e.position(l)
		f := e.file(l, 10, 19)
		seq, err := e.Save(t.Context(), control.Save{Position: p, Files: []control.File{f, f}})
		ok(t, err)
		p.Seq = seq
		other := f
		other.Events, other.Last = 99, 99
		_, err = e.Save(t.Context(), control.Save{Position: p, Files: []control.File{other}})
		ok(t, err)
		got, err := e.Files(t.Context(), control.LedgerFilter{}, 0, 10)
		ok(t, err)
		equal(t, "files", len(got), 1)
		got[0].ID = 0
		equal(t, "file", got[0], f)
	})
	run("a drop is changed by its ID, in its own lane", func(t *testing.T, e *env) {
		l := e.lane()
		p := e.position(l)
		drops := []control.Drop{e.drop(l, 10, 19), e.drop(l, 30, 39)}
		seq, err := e.Save(t.Context(), control.Save{Position: p, Drops: drops})
		ok(t, err)
		p.Seq = seq
		drops, err = e.UnsettledDrops(t.Context(), l)
		ok(t, err)
		drops[0].Events, drops[0].Settled, drops[0].First = 3, true, 17
		_, err = e.Save(t.Context(), control.Save{Position: p, Drops: drops[:1]})
		ok(t, err)
		got, err := e.Drops(t.Context(), control.LedgerFilter{}, 0, 10)
		ok(t, err)
		equal(t, "drops", got, drops)

		other := laneOf(e.connector(e.workspace("other"), "x", 50).Config)
		foreign := drops[0]
		foreign.Lane = other
		_, err = e.Save(t.Context(), control.Save{Position: e.position(other), Drops: []control.Drop{foreign}})
		want(t, err, fault.Internal)
	})
	run("a drop is told of once, with what it has then", func(t *testing.T, e *env) {
		l := e.lane()
		p := e.position(l)
		one, two, test, found, all := e.drop(l, 10, 19), e.drop(l, 30, 39), e.drop(l, 50, 59), e.drop(l, 70, 79), e.drop(l, 0, 9)
		one.Stream.Target, two.Stream.Target, test.Stream.Target, found.Stream.Target = 0, 0, 7, 0
		found.Events = 0
		all.Stream, all.EventType = control.Stream{}, ""
		_, err := e.Save(t.Context(), control.Save{Position: p, Drops: []control.Drop{one, two, test, found, all}})
		ok(t, err)
		open, err := e.UntoldDrops(t.Context(), l)
		ok(t, err)
		equal(t, "untold", len(open), 2)
		stale := open[1]
		stale.Events++
		n := control.Notice{Workspace: 1, Connector: l.Connector, Kind: control.NoticeDropped, Episode: "1", At: e.now}
		want(t, e.TellDrops(t.Context(), []control.Drop{open[0], stale}, []control.Notice{n}), fault.Stale)
		again, err := e.UntoldDrops(t.Context(), l)
		ok(t, err)
		equal(t, "untold after a refusal", again, open)
		ok(t, e.TellDrops(t.Context(), open[:1], []control.Notice{n}))
		want(t, e.TellDrops(t.Context(), open[:1], nil), fault.Stale)
		again, err = e.UntoldDrops(t.Context(), l)
		ok(t, err)
		equal(t, "untold", again, open[1:])
		told, err := e.Drops(t.Context(), control.LedgerFilter{Connector: l.Connector}, open[0].ID-1, 2)
		ok(t, err)
		equal(t, "told at", []bool{told[0].ToldAt.Equal(e.now), told[1].ToldAt.IsZero()}, []bool{true, true})
		gone, err := e.NoticeGone(t.Context(), 1, l.Connector, control.NoticeDropped, "1", time.Hour)
		ok(t, err)
		equal(t, "gone out", gone, false)
	})
	run("a filter lets through what it names and nothing of another workspace", func(t *testing.T, e *env) {
		var lanes []control.Lane
		var ws []control.Workspace
		for i := range 2 {
			w := e.workspace(fmt.Sprint("w", i))
			ws = append(ws, w)
			l := laneOf(e.connector(w, "x", eventlog.Offset(i)).Config)
			lanes = append(lanes, l)
			var files []control.File
			for j := range 6 {
				f := e.file(l, eventlog.Offset(10+10*j), eventlog.Offset(12+10*j))
				f.Stream.Hour, f.EventType = eventlog.Hour(100+j), fmt.Sprint("type", j%2)
				if j == 5 {
					f.Stream.Target = 77 // test events
				}
				files = append(files, f)
			}
			_, err := e.Save(t.Context(), control.Save{Position: e.position(l), Files: files})
			ok(t, err)
		}
		for name, row := range map[string]struct {
			f    control.LedgerFilter
			want int
		}{
			"all":                   {control.LedgerFilter{}, 12},
			"workspace":             {control.LedgerFilter{Workspace: ws[0].Number}, 6},
			"connector":             {control.LedgerFilter{Connector: lanes[1].Connector}, 6},
			"both":                  {control.LedgerFilter{Workspace: ws[1].Number, Connector: lanes[1].Connector}, 6},
			"connector of another":  {control.LedgerFilter{Workspace: ws[0].Number, Connector: lanes[1].Connector}, 0},
			"destination":           {control.LedgerFilter{Destination: 2}, 0},
			"type":                  {control.LedgerFilter{EventType: "type1"}, 6},
			"hours":                 {control.LedgerFilter{From: 101, Until: 103}, 4},
			"hours of a connector":  {control.LedgerFilter{Connector: lanes[0].Connector, From: 105}, 1},
			"an event type in SQL":  {control.LedgerFilter{EventType: "' OR 1=1 --"}, 0},
			"a connector in SQL":    {control.LedgerFilter{Connector: "' OR 1=1 --"}, 0},
			"unknown workspace":     {control.LedgerFilter{Workspace: 1}, 0},
			"everything at a time":  {control.LedgerFilter{Workspace: ws[0].Number, Connector: lanes[0].Connector, Destination: 1, EventType: "type0", From: 100, Until: 200}, 3},
			"an hour before all":    {control.LedgerFilter{Until: 100}, 0},
			"an hour after all":     {control.LedgerFilter{From: 106}, 0},
			"the first destination": {control.LedgerFilter{Destination: 1}, 12},
		} {
			got, err := e.Files(t.Context(), row.f, 0, 100)
			ok(t, err)
			if len(got) != row.want {
				t.Errorf("%s: %d files, want %d", name, len(got), row.want)
			}
		}
		e.statements = 0
		counts, err := e.DeliveredCounts(t.Context(), control.LedgerFilter{Connector: lanes[0].Connector, From: 101})
		ok(t, err)
		equal(t, "statements", e.statements, 1)
		equal(t, "delivered, without test events", counts, []control.Delivered{
			{EventType: "type1", Hour: 101, Files: 1, Events: 3}, {EventType: "type0", Hour: 102, Files: 1, Events: 3},
			{EventType: "type1", Hour: 103, Files: 1, Events: 3}, {EventType: "type0", Hour: 104, Files: 1, Events: 3},
		})
	})
	run("no filter of type or hour hides a drop over all streams that may hold such events", func(t *testing.T, e *env) {
		l := e.lane()
		made := eventlog.HourOf(e.now)
		typed, all := e.drop(l, 10, 19), e.drop(l, 20, 29)
		typed.Stream.Hour = made - 10
		all.Stream, all.EventType, all.Events, all.Reason = control.Stream{}, "", -1, control.DropLogLost
		_, err := e.Save(t.Context(), control.Save{Position: e.position(l), Drops: []control.Drop{typed, all}})
		ok(t, err)
		for name, row := range map[string]struct {
			f          control.LedgerFilter
			typed, all bool
		}{
			"no filter":                {control.LedgerFilter{}, true, true},
			"its type":                 {control.LedgerFilter{EventType: typed.EventType}, true, true},
			"another type":             {control.LedgerFilter{EventType: "another"}, false, true},
			"from its hour":            {control.LedgerFilter{From: made - 10}, true, true},
			"from an hour later":       {control.LedgerFilter{From: made - 9}, false, true},
			"from the making on":       {control.LedgerFilter{From: made}, false, true},
			"from after the making":    {control.LedgerFilter{From: made + 1}, false, false},
			"before its hour":          {control.LedgerFilter{Until: made - 10}, false, true},
			"before an hour later":     {control.LedgerFilter{Until: made - 9}, true, true},
			"another destination":      {control.LedgerFilter{Destination: 2}, false, false},
			"type and hours, together": {control.LedgerFilter{EventType: typed.EventType, From: made - 10, Until: made - 9}, true, true},
		} {
			var want []eventlog.Offset
			if row.typed {
				want = append(want, 10)
			}
			if row.all {
				want = append(want, 20)
			}
			ds, err := e.Drops(t.Context(), row.f, 0, 10)
			ok(t, err)
			var got []eventlog.Offset
			for _, d := range ds {
				got = append(got, d.First)
			}
			equal(t, name, got, want)
		}
	})
	run("accepted events are counted once", func(t *testing.T, e *env) {
		a := e.workspace("a").Number
		add := func(s counter, next eventlog.Offset, n int64) error {
			return s.AddCounts(t.Context(), e.log, next, []control.Count{{Workspace: a, EventType: "x", Hour: 5, Events: n}, {Workspace: a + 1, EventType: "x", Hour: 5, Events: 1000}})
		}
		want(t, add(e.Store, 10, 1), fault.Stale) // nobody has looked where counting stands
		next, err := e.CountsCursor(t.Context(), e.log)
		ok(t, err)
		equal(t, "cursor of a new log", next, 0)
		ok(t, add(e.Store, 10, 3))
		ok(t, add(e.Store, 20, 4))
		want(t, add(e.Store, 19, 1), fault.Internal)

		second := e.open()
		_, err = second.CountsCursor(t.Context(), e.log)
		ok(t, err)
		ok(t, add(second, 30, 5))
		want(t, add(e.Store, 40, 100), fault.Stale) // would count 20 to 30 again
		next, err = e.CountsCursor(t.Context(), e.log)
		ok(t, err)
		equal(t, "cursor", next, 30)
		ok(t, add(e.Store, 40, 6))
		ok(t, e.AddCounts(t.Context(), e.log, 41, []control.Count{{Workspace: a, EventType: "y", Hour: 6, Events: 1}}))

		got, err := e.AcceptedCounts(t.Context(), a, 5, 0)
		ok(t, err)
		equal(t, "counts", got, []control.Count{{Workspace: a, EventType: "x", Hour: 5, Events: 18}, {Workspace: a, EventType: "y", Hour: 6, Events: 1}})
		got, err = e.AcceptedCounts(t.Context(), a, 0, 6)
		ok(t, err)
		equal(t, "counts before 6", len(got), 1)
	})
}
