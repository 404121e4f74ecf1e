package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

func overview(run runner) {
	run("the healths of a workspace are one statement, however many connectors it has", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		e.connector(other, "theirs", 9)
		ok(t, e.SaveHealth(t.Context(), control.Health{Lane: laneOf(e.connector(other, "failing", 10).Config), State: control.LaneFailing, Since: e.now}))
		wanted := map[control.ConnectorID]control.Health{}
		for i := range 20 {
			c := e.connector(w, fmt.Sprint("c", i), 11+9)
			h := control.Health{Lane: laneOf(c.Config), State: control.LaneFailing, Since: e.now, Problem: "bad_secret", Message: "m", Failing: time.Hour,
				LastFile: e.now.Add(-time.Hour), Episode: e.now.Add(-time.Minute), Kept: time.Second, KeptEpisode: e.now.Add(-time.Second)}
			ok(t, e.SaveHealth(t.Context(), h))
			wanted[c.Connector] = h
		}
		e.statements = 0
		hs, err := e.Healths(t.Context(), w.Number, "")
		ok(t, err)
		equal(t, "statements", e.statements, 1)
		equal(t, "number of healths", len(hs), len(wanted))
		for i, h := range hs {
			equal(t, "health", h, wanted[h.Lane.Connector])
			if i > 0 && h.Lane.Connector <= hs[i-1].Lane.Connector {
				t.Errorf("%s stands after %s", h.Lane.Connector, hs[i-1].Lane.Connector)
			}
		}
	})
	run("destinations are given as their newest version has them, to the connector's workspace only", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		c := e.connector(w, "warehouse", 9)
		c.Version, c.Destination.Region = 2, "eu-west-1"
		e.update(&c, nil)
		c.Version, c.Destination.Number, c.Destination.Folder = 3, 2, "elsewhere"
		e.update(&c, nil)
		ds, err := e.Destinations(t.Context(), w.Number, c.Connector)
		ok(t, err)
		equal(t, "number of destinations", len(ds), 2)
		equal(t, "region of the first", ds[0].Region, "eu-west-1")
		equal(t, "the second", ds[1], c.Destination)
		ds, err = e.Destinations(t.Context(), other.Number, c.Connector)
		ok(t, err)
		equal(t, "destinations for the other workspace", len(ds), 0)
	})
	run("a job is found by its number alone", func(t *testing.T, e *env) {
		for _, n := range []uint32{0, e.workspace("acme").Number} {
			id, err := e.AddJob(t.Context(), control.Job{Kind: control.JobCheck, Workspace: n, State: control.JobWaiting, CreatedAt: e.now})
			ok(t, err)
			j, err := e.FindJob(t.Context(), id)
			ok(t, err)
			equal(t, "workspace", j.Workspace, n)
		}
		_, err := e.FindJob(t.Context(), 99)
		want(t, err, fault.NotFound)
	})
	run("a hundred jobs of one workspace or member wait at most", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		add := func(workspace uint32, m control.MemberID) (int64, error) {
			return e.AddJob(t.Context(), control.Job{Kind: control.JobCheck, Workspace: workspace, Actor: control.Actor{Member: m}, State: control.JobWaiting, CreatedAt: e.now})
		}
		var last int64
		for range 100 {
			id, err := add(w.Number, "ann")
			ok(t, err)
			_, err = add(0, "ann")
			ok(t, err)
			last = id
		}
		for _, n := range []uint32{w.Number, 0} {
			_, err := add(n, "ann")
			want(t, err, fault.RateLimited)
		}
		_, err := add(other.Number, "ann")
		ok(t, err)
		_, err = add(0, "bob")
		ok(t, err)
		j, err := e.FindJob(t.Context(), last)
		ok(t, err)
		j.State = control.JobDone
		ok(t, e.SaveJob(t.Context(), j))
		_, err = add(w.Number, "ann")
		ok(t, err)
	})
	run("somebody works on the log while a lease holds", func(t *testing.T, e *env) {
		worked := func(want bool) {
			t.Helper()
			got, err := e.Worked(t.Context())
			ok(t, err)
			equal(t, "worked", got, want)
		}
		worked(false)
		_, err := e.AcquireLease(t.Context(), e.log, "host", 15*time.Second)
		ok(t, err)
		worked(true)
		e.now = e.now.Add(16 * time.Second)
		worked(false)
		_, err = e.RenewLease(t.Context(), e.log, "host", 15*time.Second)
		ok(t, err)
		worked(true)
		ok(t, e.ReleaseLease(t.Context(), e.log, "host"))
		worked(false)
	})
	run("a webhook is created once", func(t *testing.T, e *env) {
		w, other := e.workspace("acme"), e.workspace("other")
		hook := control.Webhook{Workspace: w.Number, URL: "https://acme.example/hook", Secret: secret.New("sixteen-characters"), CreatedAt: e.now}
		id, err := e.CreateWebhook(t.Context(), hook)
		ok(t, err)
		again := hook
		again.Secret = secret.New("another-sixteen-characters")
		_, err = e.CreateWebhook(t.Context(), again)
		want(t, err, fault.Conflict)
		had, err := e.Webhooks(t.Context(), w.Number)
		ok(t, err)
		hook.ID = id
		equal(t, "webhooks", fmt.Sprint(had), fmt.Sprint([]control.Webhook{hook}))
		equal(t, "secret", had[0].Secret.Reveal(), "sixteen-characters")
		hook.Workspace = other.Number
		_, err = e.CreateWebhook(t.Context(), hook)
		ok(t, err)
	})
}
