package storetest

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

func keys(run runner) {
	run("a key keeps its networks, its expiry and its last use", func(t *testing.T, e *env) {
		ctx := t.Context()
		w := e.workspace("acme")
		k := control.APIKey{ID: control.NewKeyID(), Workspace: w.Number, Name: "producer", Scopes: []control.Scope{control.ScopeEventsWrite}, CreatedAt: e.now}
		plain := k
		plain.ID, plain.Name = control.NewKeyID(), "plain"
		ok(t, e.CreateKey(ctx, plain, tokenHash("plain")))
		k.Networks, k.ExpiresAt = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}, e.now.Add(time.Hour)
		ok(t, e.CreateKey(ctx, k, tokenHash("k")))
		g, err := e.KeyByHash(ctx, tokenHash("k"))
		ok(t, err)
		equal(t, "grant", g, control.Grant{Key: k.ID, Workspace: w.Number, Scopes: k.Scopes, Networks: k.Networks, ExpiresAt: k.ExpiresAt, UnknownFields: control.RejectUnknown})

		ok(t, e.TouchKeys(ctx, map[control.KeyID]time.Time{k.ID: e.now.Add(2 * time.Minute), "gone": e.now}))
		ok(t, e.TouchKeys(ctx, map[control.KeyID]time.Time{k.ID: e.now.Add(time.Minute)})) // by a process that is behind
		ok(t, e.TouchKeys(ctx, nil))
		k.Networks, k.ExpiresAt, k.UsedAt = nil, time.Time{}, e.now.Add(2*time.Minute)
		ok(t, e.UpdateKey(ctx, k, nil))
		all, err := e.Keys(ctx, w.Number)
		ok(t, err)
		equal(t, "keys", all, []control.APIKey{plain, k})
		g, err = e.KeyByHash(ctx, tokenHash("k"))
		ok(t, err)
		equal(t, "grant", g, control.Grant{Key: k.ID, Workspace: w.Number, Scopes: k.Scopes, UnknownFields: control.RejectUnknown})
		hash, err := e.KeyHash(ctx, w.Number, k.ID)
		ok(t, err)
		equal(t, "hash", hash, tokenHash("k"))
		_, err = e.KeyHash(ctx, w.Number+1, k.ID)
		want(t, err, fault.NotFound)
		want(t, e.DeleteKey(ctx, w.Number+1, k.ID), fault.NotFound)
		ok(t, e.DeleteKey(ctx, w.Number, k.ID))
		_, err = e.KeyByHash(ctx, tokenHash("k"))
		want(t, err, fault.NotFound)
		_, err = e.KeyHash(ctx, w.Number, k.ID)
		want(t, err, fault.NotFound)
	})
	run("people are told once of a key that has expired or that nobody uses", func(t *testing.T, e *env) {
		ctx := t.Context()
		const unusedFor = 90 * 24 * time.Hour
		w, other := e.workspace("acme"), e.workspace("other")
		for _, k := range []control.APIKey{
			{ID: "k1", Workspace: w.Number, Name: "expires", ExpiresAt: e.now.Add(time.Hour)},
			{ID: "k2", Workspace: other.Number, Name: "never used"},
			{ID: "k3", Workspace: w.Number, Name: "used"},
		} {
			k.CreatedAt = e.now
			ok(t, e.CreateKey(ctx, k, tokenHash(string(k.ID))))
		}
		start := e.now
		at := func(s time.Duration) string { return start.Add(s).Format(time.RFC3339) }
		for _, row := range []struct {
			after time.Duration // since the start
			used  time.Duration // of k3; 0: no more than before
			want  string
		}{
			{time.Hour - 16*time.Minute, 0, "[]"},
			{time.Hour - time.Millisecond, 0, "[acme: key_expiring expires " + at(time.Hour) + "]"},
			{time.Hour, 0, "[acme: key_expired expires " + at(time.Hour) + "]"},
			{unusedFor - time.Millisecond, unusedFor - time.Hour, "[]"},
			{unusedFor, 0, "[other: key_unused never used " + at(0) + "]"},
			{2*unusedFor - time.Hour, 0, "[acme: key_unused used " + at(unusedFor-time.Hour) + "]"},
			{3 * unusedFor, 2 * unusedFor, "[acme: key_unused used " + at(2*unusedFor) + "]"},
			{10 * unusedFor, 0, "[]"},
		} {
			if row.used != 0 {
				ok(t, e.TouchKeys(ctx, map[control.KeyID]time.Time{"k3": start.Add(row.used)}))
			}
			ns, err := e.KeysToTell(ctx, start.Add(row.after), unusedFor)
			ok(t, err)
			var got []string
			for _, n := range ns {
				got = append(got, fmt.Sprintf("%s: %s %s %s%s", n.Params["workspace"], n.Kind, n.Params["key"], n.Params["since"], n.Params["at"]))
				ok(t, e.AddNotice(ctx, n))
			}
			equal(t, fmt.Sprint("after ", row.after), fmt.Sprint(got), row.want)
		}
	})
}
