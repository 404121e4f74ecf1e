package storetest

import (
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

func records(run runner) {
	logged := func(at eventlog.Offset, n control.Config) control.LoggedRecord {
		return control.LoggedRecord{Offset: at, Workspace: n.Workspace, Record: control.Record{Kind: control.RecordConfig, Config: &n}}
	}
	run("versions wait for their record in the order of their making", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		a, b := e.draft(w, "a"), e.draft(w, "b")
		ok(t, e.CreateConnector(t.Context(), b, credentials()))
		ok(t, e.CreateConnector(t.Context(), a, credentials()))
		b2 := b
		b2.Version, b2.Codec = 2, "null"
		e.update(&b2, nil)
		pending, err := e.PendingConfigs(t.Context())
		ok(t, err)
		equal(t, "pending", pending, []control.Config{b.Config, a.Config, b2.Config})

		e.apply(5, b.Config)
		pending, err = e.PendingConfigs(t.Context())
		ok(t, err)
		equal(t, "pending", pending, []control.Config{a.Config, b2.Config})
		rows, err := e.Lanes(t.Context())
		ok(t, err)
		equal(t, "lanes", len(rows), 1)
	})
	run("applying a record twice changes nothing, and the first of a version counts", func(t *testing.T, e *env) {
		c := e.connector(e.workspace("acme"), "warehouse", 9)
		l := laneOf(c.Config)
		p := e.position(l)
		p.Cursor = 30
		_, err := e.Save(t.Context(), control.Save{Position: p})
		ok(t, err)
		later := c.Config
		later.Codec = "null"
		ok(t, e.ApplyControl(t.Context(), e.log, 41, []control.LoggedRecord{logged(9, c.Config), logged(40, later)}))
		got, err := e.Config(t.Context(), c.Connector, 1)
		ok(t, err)
		equal(t, "configuration", got, c.Config)
		if p := e.position(l); p.Cursor != 30 || p.Seq != 1 || p.Until != 0 {
			t.Fatalf("position %+v", p)
		}
	})
	run("another destination ends the lane before it, at the record", func(t *testing.T, e *env) {
		c := e.connector(e.workspace("acme"), "warehouse", 9)
		one := laneOf(c.Config)
		same := c.Config
		same.Version, same.Codec = 2, "null"
		e.apply(20, same)
		if p := e.position(one); p.Until != 0 || p.Seq != 0 || p.Version != 1 {
			t.Fatalf("a version for the same destination changed its lane: %+v", p)
		}
		moved := same
		moved.Version, moved.Destination.Number, moved.Destination.Bucket = 3, 2, "b2"
		stale := e.position(one)
		e.apply(30, moved)
		if p := e.position(one); p.Until != 30 || p.Cursor != 10 {
			t.Fatalf("old lane %+v", p)
		}
		_, err := e.Save(t.Context(), control.Save{Position: stale})
		want(t, err, fault.Stale) // it does not know of its end
		if p := e.position(laneOf(moved)); p.Until != 0 || p.Cursor != 31 || p.Version != 3 {
			t.Fatalf("new lane %+v", p)
		}
		gone := moved
		gone.Version, gone.Deleted = 4, true
		e.apply(40, gone)
		if a, b := e.position(one), e.position(laneOf(moved)); a.Until != 30 || b.Until != 40 {
			t.Fatalf("after deletion: %+v, %+v", a, b)
		}
	})
	run("the configuration in force at an offset is the newest of the destination whose record stands below", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		one := e.connector(w, "warehouse", 9).Config
		two, three, four := one, one, one
		two.Version, two.Codec = 2, "null"
		three.Version, three.Destination.Number, three.Destination.Bucket = 3, 2, "b2"
		four.Version, four.Destination, four.Codec = 4, three.Destination, "snappy"
		e.apply(20, two)
		e.apply(30, three)
		e.apply(40, four)
		e.connector(w, "another", 12)
		for what, row := range map[string]struct {
			destination int
			log         eventlog.ID
			before      eventlog.Offset
			want        *control.Config
		}{
			"before everything":                 {1, e.log, 0, nil},
			"at the first record itself":        {1, e.log, 9, nil},
			"after the first record":            {1, e.log, 10, &one},
			"at the second record itself":       {1, e.log, 20, &one},
			"after the second record":           {1, e.log, 21, &two},
			"after another destination's":       {1, e.log, 1000, &two},
			"before its own":                    {2, e.log, 30, nil},
			"after its own":                     {2, e.log, 31, &three},
			"after its newest":                  {2, e.log, 41, &four},
			"a destination that was never made": {3, e.log, 1000, nil},
			"a log that came after":             {1, eventlog.ID{7}, 0, &two},
		} {
			got, err := e.ConfigAt(t.Context(), one.Connector, row.destination, row.log, row.before)
			if row.want == nil {
				if !fault.Is(err, fault.NotFound) {
					t.Errorf("%s: %+v, %v; want not_found", what, got, err)
				}
				continue
			}
			ok(t, err)
			equal(t, what, got, *row.want)
		}
		// A version that waits for its record is in force nowhere.
		five := four
		five.Version, five.Codec = 5, "deflate"
		c, err := e.Connector(t.Context(), w.Number, one.Connector)
		ok(t, err)
		c.Config = five
		e.update(&c, nil)
		got, err := e.ConfigAt(t.Context(), one.Connector, 2, e.log, 1000)
		ok(t, err)
		equal(t, "while a version waits", got, four)
	})
	run("a record older than one that is applied changes no lane", func(t *testing.T, e *env) {
		c := e.connector(e.workspace("acme"), "warehouse", 9)
		three := c.Config
		three.Version = 3
		e.apply(20, three)
		two := c.Config
		two.Version, two.Destination.Number = 2, 2
		e.apply(30, two)
		if p := e.position(laneOf(c.Config)); p.Until != 0 {
			t.Fatalf("position %+v", p)
		}
		_, err := e.Position(t.Context(), laneOf(two))
		want(t, err, fault.NotFound)
	})
	run("a restored database learns from the log what it has forgotten", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.connector(w, "warehouse", 9)
		squatter := e.draft(w, "renamed")
		ok(t, e.CreateConnector(t.Context(), squatter, credentials()))
		// Version 2 was edited after the restore; the log holds another version 2, a version 3, and a connector
		// of a workspace that is unknown.
		edited := c
		edited.Version, edited.Codec = 2, "snappy"
		e.update(&edited, nil)
		two, three := c.Config, c.Config
		two.Version, two.Transformations = 2, []control.Transformation{{Field: "email_address", Action: control.Hash}}
		three.Version, three.Name, three.Destination.Number, three.Destination.Bucket = 3, "renamed", 2, "b2"
		lost := e.draft(control.Workspace{Number: control.NewNumber()}, "lost").Config
		ok(t, e.ApplyControl(t.Context(), e.log, 60, []control.LoggedRecord{logged(30, two), logged(40, three), logged(50, lost)}))

		got, err := e.Config(t.Context(), c.Connector, 2)
		ok(t, err)
		equal(t, "version 2", got, two)
		now, err := e.Connector(t.Context(), w.Number, c.Connector)
		ok(t, err)
		equal(t, "newest", now.Config, three)
		if p := e.position(laneOf(c.Config)); p.Until != 40 {
			t.Fatalf("old lane %+v", p)
		}
		_, err = e.Access(t.Context(), laneOf(three))
		want(t, err, fault.Forbidden)
		pending, err := e.PendingConfigs(t.Context())
		ok(t, err)
		equal(t, "pending", pending, []control.Config{squatter.Config})

		found, err := e.Connector(t.Context(), lost.Workspace, lost.Connector)
		ok(t, err)
		equal(t, "lost connector", found.Config, lost)
		if p := e.position(laneOf(lost)); p.Cursor != 51 {
			t.Fatalf("lost lane %+v", p)
		}
		rows, err := e.Lanes(t.Context())
		ok(t, err)
		equal(t, "lanes", len(rows), 3)
	})
	run("a record that contradicts its workspace is refused, and the cursor stays", func(t *testing.T, e *env) {
		c := e.connector(e.workspace("acme"), "warehouse", 9)
		two := c.Config
		two.Version = 2
		r := logged(20, two)
		r.Workspace = c.Workspace + 1
		want(t, e.ApplyControl(t.Context(), e.log, 21, []control.LoggedRecord{r}), fault.Corrupt)
		two.Workspace++ // of another workspace than the connector
		want(t, e.ApplyControl(t.Context(), e.log, 21, []control.LoggedRecord{logged(20, two)}), fault.Corrupt)
		next, err := e.ControlCursor(t.Context(), e.log)
		ok(t, err)
		equal(t, "cursor", next, 10)
		_, err = e.Config(t.Context(), c.Connector, 2)
		want(t, err, fault.NotFound)
	})
	run("the control cursor goes forward, also over kinds that are not known", func(t *testing.T, e *env) {
		next, err := e.ControlCursor(t.Context(), e.log)
		ok(t, err)
		equal(t, "cursor of a new log", next, 0)
		ok(t, e.ApplyControl(t.Context(), e.log, 7, []control.LoggedRecord{{Offset: 6, Record: control.Record{Kind: "hour_mark"}}}))
		ok(t, e.ApplyControl(t.Context(), e.log, 5, nil))
		next, err = e.ControlCursor(t.Context(), e.log)
		ok(t, err)
		equal(t, "cursor", next, 7)
		next, err = e.ControlCursor(t.Context(), eventlog.ID{1})
		ok(t, err)
		equal(t, "cursor of another log", next, 0)
	})
}
