package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

func logs(run runner) {
	run("retention stops at the lowest cursor of those who still read", func(t *testing.T, e *env) {
		floor := func() eventlog.Offset {
			t.Helper()
			f, err := e.RetentionFloor(t.Context(), e.log)
			ok(t, err)
			return f
		}
		equal(t, "nobody has read", floor(), 0)
		ok(t, e.ApplyControl(t.Context(), e.log, 500, nil))
		equal(t, "counts have not begun", floor(), 0)
		_, err := e.CountsCursor(t.Context(), e.log)
		ok(t, err)
		ok(t, e.AddCounts(t.Context(), e.log, 300, nil))
		equal(t, "no lanes", floor(), 300)
		c := e.connector(e.workspace("acme"), "x", 99)
		l := laneOf(c.Config)
		equal(t, "a lane", floor(), 100)
		p := e.position(l)
		p.Cursor = 200
		_, err = e.Save(t.Context(), control.Save{Position: p})
		ok(t, err)
		equal(t, "the lane has moved", floor(), 200)
		gone := c.Config
		gone.Version, gone.Deleted = 2, true
		e.apply(250, gone)
		equal(t, "an ended lane still counts", floor(), 200)
		ok(t, e.FinishLane(t.Context(), l))
		equal(t, "a finished lane does not", floor(), 300)
	})
	run("the lowest possible head is above everything that was ever named", func(t *testing.T, e *env) {
		head := func() eventlog.Offset {
			t.Helper()
			h, err := e.MaxLoggedOffset(t.Context(), e.log)
			ok(t, err)
			return h
		}
		equal(t, "nothing known", head(), 0)
		l := e.lane()
		equal(t, "control record at 9", head(), 10)
		p := e.position(l)
		step := func(s control.Save, want eventlog.Offset) {
			t.Helper()
			s.Position = p
			seq, err := e.Save(t.Context(), s)
			ok(t, err)
			p.Seq = seq
			equal(t, "head", head(), want)
		}
		p.Cursor = 50
		step(control.Save{}, 50)
		p.Links[control.Stream{Schema: 1}] = 60
		step(control.Save{}, 61)
		p.Plans = []control.Plan{{First: 61, Last: 70}}
		step(control.Save{}, 71)
		step(control.Save{Files: []control.File{e.file(l, 75, 80)}}, 81)
		step(control.Save{Drops: []control.Drop{e.drop(l, 75, 90)}}, 91)
		p.Links, p.Plans = nil, nil
		step(control.Save{}, 91)
		foreign := e.drop(l, 0, 1000)
		foreign.Log = eventlog.ID{9}
		step(control.Save{Drops: []control.Drop{foreign}}, 91)
		ok(t, e.ApplyControl(t.Context(), e.log, 120, nil))
		equal(t, "control cursor", head(), 120)
	})
	run("there is one current log", func(t *testing.T, e *env) {
		_, known, err := e.CurrentLog(t.Context())
		ok(t, err)
		equal(t, "known", known, false)
		for _, id := range []eventlog.ID{e.log, {7}} {
			ok(t, e.SetCurrentLog(t.Context(), id))
			got, known, err := e.CurrentLog(t.Context())
			ok(t, err)
			if !known || got != id {
				t.Fatalf("current log %s %v", got, known)
			}
		}
	})
	run("one holds the lease at a time", func(t *testing.T, e *env) {
		second := e.open()
		acquire := func(s leaser, owner string, want bool) {
			t.Helper()
			got, err := s.AcquireLease(t.Context(), e.log, owner, 10*time.Second)
			ok(t, err)
			equal(t, "acquired by "+owner, got, want)
		}
		renew := func(s leaser, owner string, want bool) {
			t.Helper()
			got, err := s.RenewLease(t.Context(), e.log, owner, 10*time.Second)
			ok(t, err)
			equal(t, "renewed by "+owner, got, want)
		}
		renew(e.Store, "a", false)
		acquire(e.Store, "a", true)
		acquire(second, "b", false)
		acquire(e.Store, "a", true)
		e.now = e.now.Add(9 * time.Second)
		renew(e.Store, "a", true)
		e.now = e.now.Add(9 * time.Second)
		acquire(second, "b", false)
		e.now = e.now.Add(time.Second)
		acquire(second, "b", true)
		renew(e.Store, "a", false)
		ok(t, e.ReleaseLease(t.Context(), e.log, "a")) // not its own
		acquire(e.Store, "a", false)
		ok(t, second.ReleaseLease(t.Context(), e.log, "b"))
		renew(second, "b", false)
		acquire(e.Store, "a", true)
	})
	run("one works on one log of the database at a time", func(t *testing.T, e *env) {
		other := eventlog.ID{3}
		lease := func(what string, f func(ctx context.Context, log eventlog.ID, owner string, ttl time.Duration) (bool, error), log eventlog.ID, owner string, want bool) {
			t.Helper()
			got, err := f(t.Context(), log, owner, 10*time.Second)
			ok(t, err)
			equal(t, what+" by "+owner, got, want)
		}
		lease("the first log taken", e.AcquireLease, e.log, "a", true)
		lease("another log taken", e.AcquireLease, other, "b", false)
		lease("another log taken", e.AcquireLease, other, "a", true) // the same server, after its folder was replaced
		lease("the first log renewed", e.RenewLease, e.log, "a", true)
		e.now = e.now.Add(10 * time.Second)
		lease("another log taken when both ran out", e.AcquireLease, other, "b", true)
		lease("the first log renewed", e.RenewLease, e.log, "a", false)
		ok(t, e.ReleaseLease(t.Context(), other, "b"))
		lease("the first log renewed", e.RenewLease, e.log, "a", true)
	})
	run("a log that was lost is accepted into the ledger", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.connector(w, "x", 9)
		old := laneOf(c.Config)
		moved := c
		moved.Version, moved.Destination.Number, moved.Destination.Bucket = 2, 2, "b2"
		k := credentials()
		e.update(&moved, &k)
		e.apply(50, moved.Config)
		l := laneOf(moved.Config)
		p := e.position(l)
		p.Cursor, p.Links[control.Stream{Schema: 1}] = 80, 95
		_, err := e.Save(t.Context(), control.Save{Position: p})
		ok(t, err)
		lost := e.log
		fresh := eventlog.ID{42}
		n, err := e.LanesOutside(t.Context(), fresh)
		ok(t, err)
		equal(t, "lanes in another log", n, 2)

		e.accept(fresh, 5, 700, 2)
		n, err = e.LanesOutside(t.Context(), fresh)
		ok(t, err)
		equal(t, "lanes in another log", n, 0)
		got := e.position(l)
		if got.Log != fresh || got.Cursor != 5 || got.Version != 2 || len(got.Links) != 0 || got.Until != 0 || got.Seq != p.Seq+2 {
			t.Fatalf("position %+v", got)
		}
		rows, err := e.Lanes(t.Context())
		ok(t, err)
		if len(rows) != 1 || rows[0].Lane != l {
			t.Fatalf("the ended lane goes on: %+v", rows)
		}
		drops, err := e.Drops(t.Context(), control.LedgerFilter{}, 0, 10)
		ok(t, err)
		equal(t, "drops", len(drops), 2)
		for i, d := range drops {
			if d.Reason != control.DropLogLost || d.Log != lost || d.Events != -1 || !d.Settled || d.First != map[control.Lane]eventlog.Offset{old: 10, l: 80}[d.Lane] {
				t.Fatalf("drop %d: %+v", i, d)
			}
		}
		id, _, err := e.CurrentLog(t.Context())
		ok(t, err)
		equal(t, "current log", id, fresh)
		before := drops
		e.accept(fresh, 5, 700, 0) // again: nothing
		drops, err = e.Drops(t.Context(), control.LedgerFilter{}, 0, 10)
		ok(t, err)
		equal(t, "drops", drops, before)
	})
	run("a log that was set back is accepted: positions are cut, lost records are appended again", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.connector(w, "x", 9)
		l := laneOf(c.Config)
		still := e.connector(w, "still", 10)
		moved := c
		moved.Version, moved.Destination.Number, moved.Destination.Bucket = 2, 2, "b2"
		k := credentials()
		e.update(&moved, &k)
		p := e.position(l)
		p.Cursor, p.Links[control.Stream{Schema: 1}], p.Links[control.Stream{Schema: 2}] = 70, 95, 75
		_, err := e.Save(t.Context(), control.Save{Position: p})
		ok(t, err)
		e.apply(90, moved.Config)
		_, err = e.CountsCursor(t.Context(), e.log)
		ok(t, err)
		ok(t, e.AddCounts(t.Context(), e.log, 96, nil))

		e.accept(e.log, 0, 80, 3)
		got := e.position(l)
		if got.Cursor != 70 || got.Until != 0 || got.Version != 1 {
			t.Fatalf("position %+v", got)
		}
		equal(t, "links", got.Links, map[control.Stream]eventlog.Offset{{Schema: 1}: 79, {Schema: 2}: 75})
		if q := e.position(laneOf(still.Config)); q.Cursor != 11 {
			t.Fatalf("a position that is below the head was moved: %+v", q)
		}
		pending, err := e.PendingConfigs(t.Context())
		ok(t, err)
		equal(t, "pending", pending, []control.Config{moved.Config})
		head, err := e.MaxLoggedOffset(t.Context(), e.log)
		ok(t, err)
		if head > 80 {
			t.Fatalf("the log still looks set back: %d", head)
		}
		drops, err := e.Drops(t.Context(), control.LedgerFilter{}, 0, 10)
		ok(t, err)
		if len(drops) != 3 { // also of the one that had delivered nothing of what is gone
			t.Fatalf("drops %+v", drops)
		}
		for _, d := range drops {
			if d.First != 80 || d.Reason != control.DropLogLost || d.Log != e.log || d.Events != -1 {
				t.Fatalf("drop %+v", d)
			}
		}
		// Counting goes on at the head.
		want(t, e.AddCounts(t.Context(), e.log, 97, nil), fault.Stale)
		next, err := e.CountsCursor(t.Context(), e.log)
		ok(t, err)
		equal(t, "counts cursor", next, 80)
		// The record is appended again and changes the destination once more.
		e.apply(85, moved.Config)
		if a, b := e.position(l), e.position(laneOf(moved.Config)); a.Until != 85 || b.Cursor != 86 || b.Version != 2 {
			t.Fatalf("after the record came again: %+v, %+v", a, b)
		}
	})
	run("what a set back log still holds of a stream and was delivered beyond the cursor stays delivered", func(t *testing.T, e *env) {
		ahead, level := e.lane(), laneOf(e.connector(e.workspace("level"), "x", 10).Config)
		across, above, below := control.Stream{Schema: 1}, control.Stream{Schema: 2}, control.Stream{Schema: 3}
		for l, cursor := range map[control.Lane]eventlog.Offset{ahead: 20, level: 85} {
			p := e.position(l)
			p.Cursor, p.Links = cursor, map[control.Stream]eventlog.Offset{across: 95, above: 97, below: 90}
			if l == ahead {
				p.Links[below] = 75
			}
			_, err := e.Save(t.Context(), control.Save{Position: p})
			ok(t, err)
		}
		e.accept(e.log, 0, 80, 2)
		// A link ends at or above the cursor, or there is none: the log has nothing between them.
		equal(t, "links of the lane whose cursor lies below the head", e.position(ahead).Links, map[control.Stream]eventlog.Offset{across: 79, above: 79, below: 75})
		equal(t, "links of the lane that begins again at the head", e.position(level).Links, map[control.Stream]eventlog.Offset{})
	})
	run("a lane that was moved to a log goes on when that log is set back", func(t *testing.T, e *env) {
		l := e.lane()
		fresh := eventlog.ID{42}
		e.accept(fresh, 0, 1, 0)
		p := e.position(l)
		p.Cursor = 90
		_, err := e.Save(t.Context(), control.Save{Position: p})
		ok(t, err)
		e.accept(fresh, 0, 80, 0) // no record of the lane ever stood in this log
		n, err := e.ConfigAt(t.Context(), l.Connector, l.Destination, fresh, 5)
		ok(t, err)
		equal(t, "version in force below any record of the log", n.Version, 1)
		rows, err := e.Lanes(t.Context())
		ok(t, err)
		if len(rows) != 1 || rows[0].Lane != l {
			t.Fatalf("lanes %+v: nobody delivers for the connector any more, and no record will begin it again", rows)
		}
		equal(t, "cursor", e.position(l).Cursor, 80)
	})
	run("drops of what a set back log no longer holds are final, as they were counted", func(t *testing.T, e *env) {
		l := e.lane()
		p := e.position(l)
		p.Cursor = 96
		_, err := e.Save(t.Context(), control.Save{Position: p, Drops: []control.Drop{e.drop(l, 20, 79), e.drop(l, 70, 80), e.drop(l, 85, 95)}})
		ok(t, err)
		e.accept(e.log, 0, 80, 0)
		// Settling goes by offsets, and those from 80 on are given to other events now.
		left, err := e.UnsettledDrops(t.Context(), l)
		ok(t, err)
		if len(left) != 1 || left[0].First != 20 {
			t.Errorf("to be settled by what the bucket holds: %+v, want only what lies below the head", left)
		}
		drops, err := e.Drops(t.Context(), control.LedgerFilter{}, 0, 10)
		ok(t, err)
		var events int64
		for _, d := range drops {
			events += max(0, d.Events)
		}
		equal(t, "dropped events", events, int64(60+11+11))
	})
	run("an end that lay in the lost part is taken back, also of a lane that lags", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.connector(w, "x", 9)
		l := laneOf(c.Config) // parked: cursor 10
		moved := c
		moved.Version, moved.Destination.Number, moved.Destination.Bucket = 2, 2, "b2"
		k := credentials()
		e.update(&moved, &k)
		e.apply(90, moved.Config)
		e.accept(e.log, 0, 80, 1) // the record at 90 is gone
		if got := e.position(l); got.Until != 0 {
			t.Errorf("the lane still ends at %d, where the log has no record", got.Until)
		}
		e.apply(82, moved.Config)
		if a, b := e.position(l), e.position(laneOf(moved.Config)); a.Until != 82 || b.Cursor != 83 {
			t.Errorf("old lane ends at %d, new one begins at %d: both deliver what lies between", a.Until, b.Cursor)
		}
	})
	run("a lane that was done goes on when its end is lost", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.connector(w, "x", 9)
		l := laneOf(c.Config)
		moved := c
		moved.Version, moved.Destination.Number, moved.Destination.Bucket = 2, 2, "b2"
		k := credentials()
		e.update(&moved, &k)
		e.apply(90, moved.Config)
		p := e.position(l)
		p.Cursor = 90
		_, err := e.Save(t.Context(), control.Save{Position: p})
		ok(t, err)
		ok(t, e.FinishLane(t.Context(), l))
		e.accept(e.log, 0, 80, 0)
		e.apply(85, moved.Config) // events 80 to 84 were accepted before it
		rows, err := e.Lanes(t.Context())
		ok(t, err)
		if len(rows) != 2 {
			t.Errorf("lanes %+v: nobody delivers what was accepted between the head and the record that came again", rows)
		}
	})
	run("a deleted connector's lane stays done when its end is lost", func(t *testing.T, e *env) {
		c := e.connector(e.workspace("acme"), "x", 9)
		gone := c
		gone.Version, gone.Deleted = 2, true
		e.update(&gone, nil)
		e.apply(90, gone.Config)
		ok(t, e.FinishLane(t.Context(), laneOf(c.Config)))
		e.accept(e.log, 0, 80, 0)
		e.apply(85, gone.Config)
		rows, err := e.Lanes(t.Context())
		ok(t, err)
		equal(t, "lanes", len(rows), 0)
	})
	run("accepting a log says that events are lost only where that can be", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		at := func(name string, cursor eventlog.Offset, link eventlog.Offset) control.Lane {
			l := laneOf(e.connector(w, name, 9).Config)
			p := e.position(l)
			p.Cursor = cursor
			if link != 0 {
				p.Links[control.Stream{Schema: 1}] = link
			}
			_, err := e.Save(t.Context(), control.Save{Position: p})
			ok(t, err)
			return l
		}
		all, most, little, below := at("all", 96, 0), at("most", 90, 94), at("little", 20, 0), at("below", 80, 0)
		e.accept(e.log, 0, 80, 3)
		rows := func() map[control.Lane][]control.Drop {
			t.Helper()
			out := map[control.Lane][]control.Drop{}
			drops, err := e.Drops(t.Context(), control.LedgerFilter{}, 0, 100)
			ok(t, err)
			for _, d := range drops {
				out[d.Lane] = append(out[d.Lane], d)
			}
			return out
		}
		for l, events := range map[control.Lane]int64{all: 0, most: -1, little: -1, below: -1} {
			ds := rows()[l]
			if len(ds) != 1 || ds[0].First != 80 || ds[0].Last != 95 || ds[0].Events != events || !ds[0].Settled {
				t.Errorf("after the log was set back: %+v, want offsets 80 to 95 and %d events", ds, events)
			}
		}
		e.accept(e.log, 0, 80, 0) // again: nothing
		// The log is replaced. Three have delivered all that is known of it.
		p := e.position(little)
		equal(t, "cursor", p.Cursor, 20)
		e.accept(eventlog.ID{42}, 5, 700, 1)
		for l, n := range map[control.Lane]int{all: 1, most: 1, little: 2, below: 1} {
			if ds := rows()[l]; len(ds) != n {
				t.Errorf("after the log was replaced: %+v, want %d drops", ds, n)
			}
		}
		if d := rows()[little][1]; d.First != 20 || d.Last != 79 || d.Events != -1 || d.Log != e.log {
			t.Errorf("what was never delivered: %+v", d)
		}
	})
	run("what stands under a schema id never changes", func(t *testing.T, e *env) {
		a := control.SchemaPrint{ID: 1, Type: "x", Fingerprint: [32]byte{1}}
		b := control.SchemaPrint{ID: 2, Type: "y", Fingerprint: [32]byte{2}}
		ok(t, e.RecordSchemas(t.Context(), []control.SchemaPrint{a}))
		ok(t, e.RecordSchemas(t.Context(), []control.SchemaPrint{a, b}))
		changed := b
		changed.Fingerprint[31] = 9
		c := control.SchemaPrint{ID: 3, Type: "z"}
		want(t, e.RecordSchemas(t.Context(), []control.SchemaPrint{c, changed}), fault.Conflict)
		c.Fingerprint[0] = 1
		ok(t, e.RecordSchemas(t.Context(), []control.SchemaPrint{c})) // the refused call left nothing
		kept, err := e.Schemas(t.Context())
		ok(t, err)
		equal(t, "schemas", kept, []control.SchemaPrint{a, b, c})
	})
}
