package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

func positions(run runner) {
	run("a new lane begins after its control record", func(t *testing.T, e *env) {
		l := e.lane()
		p := e.position(l)
		if p.Cursor != 10 || p.Version != 1 || p.Until != 0 || p.Seq != 0 || p.Log != e.log || p.Links == nil || len(p.Links) != 0 || len(p.Plans) != 0 {
			t.Fatalf("position %+v", p)
		}
		_, err := e.Position(t.Context(), control.Lane{Connector: l.Connector, Destination: 2})
		want(t, err, fault.NotFound)
		rows, err := e.Lanes(t.Context())
		ok(t, err)
		equal(t, "lanes", len(rows), 1)
		if r := rows[0]; r.Lane != l || r.WorkspaceName != "acme" || r.Name != "warehouse" || r.Number == 0 || r.Workspace == 0 || r.Paused {
			t.Fatalf("lane %+v", r)
		}
	})
	run("a saved position is loaded as it was", func(t *testing.T, e *env) {
		l := e.lane()
		p := e.position(l)
		for step, change := range []func(){
			func() {
				p.Cursor = 100
				p.Links = map[control.Stream]eventlog.Offset{{Schema: 1, Hour: 5}: 120, {Schema: 1, Hour: 6}: 130, {Schema: 2, Hour: -6, Target: 9}: 1 << 60}
				p.Plans = []control.Plan{{Stream: control.Stream{Schema: 1, Hour: 5}, First: 121, Last: 150}, {Stream: control.Stream{Schema: 1, Hour: 5}, Partition: 1000, First: 121, Last: 151}}
			},
			func() { // one changed, one gone, one new, one as it was
				p.Links = map[control.Stream]eventlog.Offset{{Schema: 1, Hour: 5}: 121, {Schema: 2, Hour: -6, Target: 9}: 1 << 60, {Schema: 2, Hour: -6}: 3}
				p.Plans = []control.Plan{{Stream: control.Stream{Schema: 1, Hour: 5}, First: 121, Last: 149}}
				p.Version = 3
			},
			func() {},
			func() { p.Links, p.Plans, p.Cursor = nil, nil, 200 },
		} {
			change()
			seq, err := e.Save(t.Context(), control.Save{Position: p})
			ok(t, err)
			equal(t, "seq", seq, p.Seq+1)
			p.Seq = seq
			if p.Links == nil {
				p.Links = map[control.Stream]eventlog.Offset{}
			}
			equal(t, "position after step "+string(rune('0'+step)), e.position(l), p)
		}
	})
	run("a save that is not based on the newest is refused whole", func(t *testing.T, e *env) {
		l := e.lane()
		base := e.position(l)
		first := base
		first.Cursor = 50
		_, err := e.Save(t.Context(), control.Save{Position: first})
		ok(t, err)
		late := base
		late.Cursor = 60
		late.Links = map[control.Stream]eventlog.Offset{{Schema: 1}: 70}
		_, err = e.Save(t.Context(), control.Save{Position: late, Files: []control.File{e.file(l, 50, 55)}, Drops: []control.Drop{e.drop(l, 50, 55)}})
		want(t, err, fault.Stale)
		p := e.position(l)
		if p.Cursor != 50 || len(p.Links) != 0 || p.Seq != 1 {
			t.Fatalf("the refused save left %+v", p)
		}
		files, err := e.Files(t.Context(), control.LedgerFilter{}, 0, 10)
		ok(t, err)
		left, err := e.Drops(t.Context(), control.LedgerFilter{}, 0, 10)
		ok(t, err)
		equal(t, "rows left", len(files)+len(left), 0)
	})
	run("the cursor never goes back and the log never changes under a save", func(t *testing.T, e *env) {
		p := e.position(e.lane())
		back := p
		back.Cursor--
		_, err := e.Save(t.Context(), control.Save{Position: back})
		want(t, err, fault.Internal)
		other := p
		other.Log[0]++
		_, err = e.Save(t.Context(), control.Save{Position: other})
		want(t, err, fault.Internal)
		equal(t, "position", e.position(p.Lane), p)
	})
	run("a save that fails at its last row leaves nothing", func(t *testing.T, e *env) {
		l := e.lane()
		p := e.position(l)
		base := p
		p.Cursor = 80
		p.Links = map[control.Stream]eventlog.Offset{{Schema: 1}: 90}
		stray := e.drop(l, 1, 2)
		stray.ID = 12345 // no such row
		_, err := e.Save(t.Context(), control.Save{Position: p, Files: []control.File{e.file(l, 10, 20)}, Drops: []control.Drop{e.drop(l, 21, 30), stray}})
		want(t, err, fault.Internal)
		foreign := e.file(control.Lane{Connector: l.Connector, Destination: 7}, 10, 20)
		_, err = e.Save(t.Context(), control.Save{Position: p, Files: []control.File{foreign}})
		want(t, err, fault.Internal)
		equal(t, "position", e.position(l), base)
		files, err := e.Files(t.Context(), control.LedgerFilter{}, 0, 10)
		ok(t, err)
		drops, err := e.UnsettledDrops(t.Context(), l)
		ok(t, err)
		equal(t, "rows left", len(files)+len(drops), 0)
	})
	run("a save writes what changed and nothing else", func(t *testing.T, e *env) {
		l := e.lane()
		p := e.position(l)
		for i := range 1000 {
			p.Links[control.Stream{Schema: uint32(i)}] = eventlog.Offset(20 + i)
		}
		seq, err := e.Save(t.Context(), control.Save{Position: p})
		ok(t, err)
		p.Seq = seq
		p.Links[control.Stream{Schema: 5}] = 5000
		delete(p.Links, control.Stream{Schema: 6})
		e.statements = 0
		_, err = e.Save(t.Context(), control.Save{Position: p, Files: []control.File{e.file(l, 10, 20)}})
		ok(t, err)
		// Lane, links, plans; one link deleted, one changed; one file, its hour; the lane.
		equal(t, "statements", e.statements, 8)
	})
	run("a finished lane is out of the way and loses its credentials", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.connector(w, "warehouse", 9)
		old := laneOf(c.Config)
		want(t, e.FinishLane(t.Context(), old), fault.Conflict)
		want(t, e.FinishLane(t.Context(), control.Lane{Connector: c.Connector, Destination: 5}), fault.NotFound)

		c.Version, c.Destination.Number, c.Destination.Bucket = 2, 2, "b2"
		k := credentials()
		e.update(&c, &k)
		e.apply(50, c.Config)
		p := e.position(old)
		equal(t, "end", p.Until, 50)
		p.Links[control.Stream{Schema: 1}] = 49
		_, err := e.Save(t.Context(), control.Save{Position: p})
		ok(t, err)
		_, err = e.Access(t.Context(), old)
		ok(t, err)
		undrained := func(expect ...int) {
			t.Helper()
			ds, err := e.Undrained(t.Context(), w.Number, c.Connector)
			ok(t, err)
			var got []int
			for _, d := range ds {
				got = append(got, d.Number)
			}
			equal(t, "destinations that wait", got, expect)
		}
		undrained(1, 2)
		ok(t, e.FinishLane(t.Context(), old))
		ok(t, e.FinishLane(t.Context(), old))
		_, err = e.Access(t.Context(), old)
		want(t, err, fault.Forbidden)
		undrained(2)
		ds, err := e.Undrained(t.Context(), w.Number+1, c.Connector)
		ok(t, err)
		equal(t, "destinations of another workspace", len(ds), 0)
		ok(t, e.UpdateConnector(t.Context(), c, &k, 1)) // thought through before the lane was done
		c.Rev++
		_, err = e.Access(t.Context(), old)
		want(t, err, fault.Forbidden)
		next := c // waits for its record
		next.Version, next.Destination.Number, next.Destination.Folder = 3, 3, "g"
		e.update(&next, &k)
		undrained(2, 3)
		_, err = e.Access(t.Context(), laneOf(c.Config))
		ok(t, err)
		rows, err := e.Lanes(t.Context())
		ok(t, err)
		if len(rows) != 1 || rows[0].Lane != laneOf(c.Config) {
			t.Fatalf("lanes %+v", rows)
		}
		p = e.position(old)
		equal(t, "links", len(p.Links), 0)
		_, err = e.Save(t.Context(), control.Save{Position: p})
		want(t, err, fault.Stale)
	})
	run("a paused connector shows on its lane", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.connector(w, "warehouse", 9)
		c.Paused = true
		e.update(&c, nil)
		rows, err := e.Lanes(t.Context())
		ok(t, err)
		equal(t, "paused", rows[0].Paused, true)
	})
	run("the last file of a lane is that of the ledger, whenever it last said how it is", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		l := laneOf(e.connector(w, "warehouse", 9).Config)
		h := control.Health{Lane: l, State: control.LaneActive, Since: e.now}
		ok(t, e.SaveHealth(t.Context(), h))
		f := e.file(l, 10, 19)
		f.At = e.now.Add(time.Minute)
		e.reach(l, 20, []control.File{f})
		h.LastFile = f.At
		got, err := e.Health(t.Context(), l)
		ok(t, err)
		equal(t, "health", got, h)
		hs, err := e.Healths(t.Context(), w.Number, "")
		ok(t, err)
		equal(t, "healths", hs, []control.Health{h})
	})
	run("health is kept as it was said", func(t *testing.T, e *env) {
		l := e.lane()
		h, err := e.Health(t.Context(), l)
		ok(t, err)
		equal(t, "health of a new lane", h, control.Health{Lane: l, State: control.LaneActive})
		h = control.Health{Lane: l, State: control.LaneFailing, Since: e.now, Problem: "access_denied", Message: `"it's" 100% denied`, Said: "User: <x> is not authorized", Failing: 12345678901}
		for range 2 {
			ok(t, e.SaveHealth(t.Context(), h))
			got, err := e.Health(t.Context(), l)
			ok(t, err)
			equal(t, "health", got, h)
			h.LastFile, h.State = e.now, control.LaneRetrying
		}
		// What a store answers may hold any bytes, and may keep nobody from saying how a lane is.
		h.Message = "a\x00b\xffc"
		ok(t, e.SaveHealth(t.Context(), h))
		got, err := e.Health(t.Context(), l)
		ok(t, err)
		if !strings.HasPrefix(got.Message, "a") || !strings.HasSuffix(got.Message, "c") {
			t.Fatalf("message %q", got.Message)
		}
		h.Lane.Destination = 9
		want(t, e.SaveHealth(t.Context(), h), fault.NotFound)
	})
}
