package storetest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

func connectors(run runner) {
	run("a connector is given back as it was made, to its workspace only", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		for _, name := range hostileNames {
			c := e.draft(w, name)
			c.Transformations = []control.Transformation{{Field: name, Action: control.Hash}}
			ok(t, e.CreateConnector(t.Context(), c, credentials()))
			got, err := e.Connector(t.Context(), w.Number, c.Connector)
			ok(t, err)
			equal(t, "connector", got, c)
			_, err = e.Connector(t.Context(), other.Number, c.Connector)
			want(t, err, fault.NotFound)
			want(t, e.UpdateConnector(t.Context(), stranger(c, other), nil), fault.NotFound)
		}
		e.statements = 0
		cs, err := e.Connectors(t.Context(), w.Number)
		ok(t, err)
		equal(t, "number of connectors", len(cs), len(hostileNames))
		equal(t, "statements for a list", e.statements, 1)
		cs, err = e.Connectors(t.Context(), other.Number)
		ok(t, err)
		equal(t, "connectors of the other workspace", len(cs), 0)
	})
	run("connectors are listed by name, byte by byte", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		ordered := []string{"", " b", "-a", "1", "A", "B", "Z", "_", "a", "a b", "aa", "z", "Á", "é"}
		for _, i := range rand.Perm(len(ordered)) {
			ok(t, e.CreateConnector(t.Context(), e.draft(w, ordered[i]), credentials()))
		}
		cs, err := e.Connectors(t.Context(), w.Number)
		ok(t, err)
		var names []string
		for _, c := range cs {
			names = append(names, c.Name)
		}
		equal(t, "names", names, ordered)
	})
	run("name, number and folder are given once", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		c := e.draft(w, "warehouse")
		ok(t, e.CreateConnector(t.Context(), c, credentials()))
		for what, change := range map[string]func(n *control.Connector){
			"name":           func(n *control.Connector) { n.Name = c.Name },
			"number":         func(n *control.Connector) { n.Number = c.Number },
			"folder":         func(n *control.Connector) { n.Destination.Folder = c.Destination.Folder },
			"folder within":  func(n *control.Connector) { n.Destination.Folder = c.Destination.Folder + "/x" },
			"root":           func(n *control.Connector) { n.Destination.Folder = "" },
			"foreign folder": func(n *control.Connector) { n.Workspace = other.Number; n.Destination.Folder = c.Destination.Folder },
		} {
			n := e.draft(w, "another")
			change(&n)
			if err := e.CreateConnector(t.Context(), n, credentials()); !fault.Is(err, fault.Conflict) {
				t.Errorf("same %s: %v, want conflict", what, err)
			}
		}
		_, err := e.Access(t.Context(), laneOf(e.draft(w, "x").Config))
		want(t, err, fault.NotFound)

		n := e.draft(other, "warehouse") // the name is free in another workspace
		ok(t, e.CreateConnector(t.Context(), n, credentials()))
		n.Version, n.Destination.Number, n.Destination.Folder = 2, 2, c.Destination.Folder
		want(t, e.UpdateConnector(t.Context(), n, nil), fault.Conflict)

		c.Version, c.Deleted = 2, true // name and folder are free again
		e.update(&c, nil)
		again := e.draft(w, "warehouse")
		ok(t, e.CreateConnector(t.Context(), again, credentials()))
	})
	run("an edit makes the next version, based on the newest", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.draft(w, "warehouse")
		ok(t, e.CreateConnector(t.Context(), c, credentials()))
		c.Paused, c.ContactEmail, c.Test = true, "other@example.com", true
		e.update(&c, nil)
		two := c
		two.Version, two.Codec, two.Name = 2, "zstandard", "renamed"
		e.update(&two, nil)
		got, err := e.Connector(t.Context(), w.Number, c.Connector)
		ok(t, err)
		equal(t, "connector", got, two)
		want(t, e.UpdateConnector(t.Context(), c, nil), fault.Stale) // still at version 1
		skips := two
		skips.Version = 4
		want(t, e.UpdateConnector(t.Context(), skips, nil), fault.Internal)

		for v, n := range map[int]control.Config{1: c.Config, 2: two.Config} {
			got, err := e.Config(t.Context(), c.Connector, v)
			ok(t, err)
			equal(t, "configuration", got, n)
		}
		_, err = e.Config(t.Context(), c.Connector, 3)
		want(t, err, fault.NotFound)

		gone := two
		gone.Version, gone.Deleted = 3, true
		e.update(&gone, nil)
		want(t, e.UpdateConnector(t.Context(), gone, nil), fault.Stale)
		cs, err := e.Connectors(t.Context(), w.Number)
		ok(t, err)
		equal(t, "connectors left", len(cs), 0)
	})
	run("deleted connectors are there to be looked at, the newest first", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		var gone []control.ConnectorID
		for range 2 { // of the same name
			c := e.draft(w, "warehouse")
			ok(t, e.CreateConnector(t.Context(), c, credentials()))
			c.Version, c.Deleted = 2, true
			ok(t, e.UpdateConnector(t.Context(), c, nil))
			gone = append(gone, c.Connector)
			e.now = e.now.Add(time.Minute)
		}
		ok(t, e.CreateConnector(t.Context(), e.draft(w, "warehouse"), credentials()))
		cs, err := e.DeletedConnectors(t.Context(), w.Number)
		ok(t, err)
		if len(cs) != 2 || cs[0].Connector != gone[1] || cs[1].Connector != gone[0] || !cs[0].Deleted || cs[0].Name != "warehouse" {
			t.Errorf("deleted connectors: %+v, want %v the other way round", cs, gone)
		}
		cs, err = e.DeletedConnectors(t.Context(), other.Number)
		ok(t, err)
		equal(t, "deleted connectors of another workspace", len(cs), 0)
	})
	run("a change that is based on what was changed since is stale, and writes nothing", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.draft(w, "warehouse")
		ok(t, e.CreateConnector(t.Context(), c, credentials()))
		slow := c
		slow.AccessKeyID = "AKIA2"
		k := control.Credentials{AccessKeyID: "AKIA2", SecretAccessKey: secret.New("other")}
		same := func(expect control.Connector) {
			t.Helper()
			want(t, e.UpdateConnector(t.Context(), slow, &k), fault.Stale)
			got, err := e.Connector(t.Context(), w.Number, c.Connector)
			ok(t, err)
			equal(t, "connector", got, expect)
			a, err := e.Access(t.Context(), laneOf(c.Config))
			ok(t, err)
			equal(t, "secret", a.SecretAccessKey.Reveal(), "s3cret")
		}
		c.Paused = true
		e.update(&c, nil)
		same(c)

		slow = c
		e.apply(9, c.Config) // its own record is no change
		other := c
		other.Version, other.Codec = 2, "snappy"
		e.apply(10, other.Config) // one that this database did not know is
		other.Rev++
		slow.Version, slow.AccessKeyID = 2, "AKIA2"
		same(other)
		slow, c = other, other
		slow.AccessKeyID = "AKIA2"
		e.update(&c, nil)
		same(c)
	})
	run("access is the newest of its destination, with its own credentials", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		c := e.draft(w, "warehouse")
		c.Destination.Endpoint, c.Destination.PathStyle, c.Destination.Region = "http://x:9000", true, "typed"
		k := credentials()
		k.Features, k.Region = control.Features{IgnoresCreateOnly: true}, "found"
		ok(t, e.CreateConnector(t.Context(), c, k))
		one := laneOf(c.Config)
		expect := control.Access{Bucket: "b", Region: "found", Endpoint: "http://x:9000", PathStyle: true, AccessKeyID: "AKIA1", Features: k.Features}
		check := func(l control.Lane, expect control.Access, value string) {
			t.Helper()
			a, err := e.Access(t.Context(), l)
			ok(t, err)
			equal(t, "secret", a.SecretAccessKey.Reveal(), value)
			a.SecretAccessKey = secret.Value{}
			equal(t, "access", a, expect)
		}
		check(one, expect, "s3cret")

		c.Version, c.Destination.Encryption = 2, true
		e.update(&c, nil)
		expect.Encryption = true
		check(one, expect, "s3cret")

		c.Version, c.Destination.Number, c.Destination.Bucket, c.AccessKeyID = 3, 2, "b2", "AKIA2"
		k = control.Credentials{AccessKeyID: "AKIA2", SecretAccessKey: secret.New("other")}
		e.update(&c, &k)
		check(one, expect, "s3cret")
		second := expect
		second.Bucket, second.Region, second.AccessKeyID, second.Features = "b2", "typed", "AKIA2", control.Features{}
		check(laneOf(c.Config), second, "other")

		ok(t, e.SetFeatures(t.Context(), one, control.Features{RefusesChecksums: true}, ""))
		expect.Features = control.Features{RefusesChecksums: true}
		check(one, expect, "s3cret")
		ok(t, e.SetFeatures(t.Context(), one, control.Features{}, "moved"))
		expect.Features, expect.Region = control.Features{}, "moved"
		check(one, expect, "s3cret")
		want(t, e.SetFeatures(t.Context(), control.Lane{Connector: c.Connector, Destination: 9}, control.Features{}, ""), fault.NotFound)
	})
}

func stranger(c control.Connector, w control.Workspace) control.Connector {
	c.Workspace = w.Number
	return c
}
