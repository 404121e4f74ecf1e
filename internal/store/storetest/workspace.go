package storetest

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// Names that SQL, patterns, JSON or encodings could trip over.
var hostileNames = []string{
	`'; DROP TABLE workspaces; --`, `"`, `\`, `%`, `_`, `a' OR '1'='1`, `{"a":1}`, `?`, `$1`, `:name`, "São Paulo", "ひらがな", "🙂", "e\u0301", "\u00e9", "NULL", "0",
}

func workspaces(run runner) {
	run("a workspace is found under its name, whatever that is", func(t *testing.T, e *env) {
		for _, name := range hostileNames {
			w := e.workspace(name)
			got, err := e.Workspace(t.Context(), name)
			ok(t, err)
			equal(t, "workspace", got, w)
		}
		all, err := e.Workspaces(t.Context())
		ok(t, err)
		equal(t, "number of workspaces", len(all), len(hostileNames))
		_, err = e.Workspace(t.Context(), "nobody")
		want(t, err, fault.NotFound)
	})
	run("a workspace is found by its number, and else by its name", func(t *testing.T, e *env) {
		a := e.workspace("acme")
		number := strconv.FormatUint(uint64(a.Number), 10)
		b := e.workspace(number) // somebody called theirs so
		for ref, w := range map[string]control.Workspace{"acme": a, number: a, strconv.FormatUint(uint64(b.Number), 10): b} {
			got, err := e.WorkspaceBy(t.Context(), ref)
			ok(t, err)
			equal(t, "workspace", got, w)
		}
		for _, ref := range []string{"", "0", "-1", "99999999999999999999", "nobody", "ACME"} {
			_, err := e.WorkspaceBy(t.Context(), ref)
			want(t, err, fault.NotFound)
		}
	})
	run("workspaces have time zones", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		utc := e.workspace("globex").Number
		w.TimeZone = "America/Sao_Paulo"
		ok(t, e.UpdateWorkspace(t.Context(), w))
		for number, want := range map[uint32]string{w.Number: w.TimeZone, utc: "UTC"} {
			zone, err := e.Zone(t.Context(), number)
			ok(t, err)
			equal(t, "zone", zone.String(), want)
		}
		_, err := e.Zone(t.Context(), control.NewNumber())
		want(t, err, fault.NotFound)
		all, err := e.Zones(t.Context())
		ok(t, err)
		equal(t, "zones beside UTC", len(all), 1)
		equal(t, "zone", all[w.Number].String(), w.TimeZone)
		_, err = e.Zone(t.Context(), utc)
		ok(t, err)
	})
	run("a name or number is given to one workspace only", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		same := w
		same.Number = control.NewNumber()
		want(t, e.CreateWorkspace(t.Context(), same), fault.Conflict)
		for _, other := range []string{"ACME", "Acme"} {
			same.Name = other
			err := e.CreateWorkspace(t.Context(), same)
			want(t, err, fault.Conflict)
			if said := fault.As(err).Message(); !strings.Contains(said, `"acme"`) {
				t.Errorf("%q is refused with %q", other, said)
			}
		}
		e.workspace("ÉCOLE")
		same.Name = "école"
		want(t, e.CreateWorkspace(t.Context(), same), fault.Conflict)
		same = w
		same.Name = "other"
		want(t, e.CreateWorkspace(t.Context(), same), fault.Conflict)
		e.workspace("other")
		for _, taken := range []string{"other", "Other"} {
			w.Name = taken
			want(t, e.UpdateWorkspace(t.Context(), w), fault.Conflict)
		}
		w.Name = "Acme" // its own, written otherwise
		ok(t, e.UpdateWorkspace(t.Context(), w))
		w.Rev++
		w.Name, w.UnknownFields = "renamed", control.IgnoreUnknown
		ok(t, e.UpdateWorkspace(t.Context(), w))
		want(t, e.UpdateWorkspace(t.Context(), w), fault.Stale) // it was read before
		w.Rev++
		got, err := e.Workspace(t.Context(), "renamed")
		ok(t, err)
		equal(t, "workspace", got, w)
		w.Number = control.NewNumber()
		want(t, e.UpdateWorkspace(t.Context(), w), fault.NotFound)
	})
	run("a key is found by its hash and opens its own workspace", func(t *testing.T, e *env) {
		a, b := e.workspace("a"), e.workspace("b")
		b.UnknownFields = control.IgnoreUnknown
		ok(t, e.UpdateWorkspace(t.Context(), b))
		for _, w := range []control.Workspace{a, b} {
			for _, name := range hostileNames {
				k := control.APIKey{ID: control.NewKeyID(), Workspace: w.Number, Name: name, Scopes: control.Scopes(), CreatedAt: e.now}
				hash := control.HashKey(w.Name + name)
				ok(t, e.CreateKey(t.Context(), k, hash))
				g, err := e.KeyByHash(t.Context(), hash)
				ok(t, err)
				equal(t, "grant", g, control.Grant{Key: k.ID, Workspace: w.Number, Scopes: k.Scopes, UnknownFields: w.UnknownFields})
			}
			keys, err := e.Keys(t.Context(), w.Number)
			ok(t, err)
			equal(t, "number of keys", len(keys), len(hostileNames))
		}
		_, err := e.KeyByHash(t.Context(), control.HashKey("nobody's"))
		want(t, err, fault.NotFound)
	})
	run("a key can be changed, given another secret and taken away, by its workspace only", func(t *testing.T, e *env) {
		w := e.workspace("a")
		k := control.APIKey{ID: control.NewKeyID(), Workspace: w.Number, Name: "producer", Scopes: control.Scopes(), CreatedAt: e.now}
		one, two := control.HashKey("one"), control.HashKey("two")
		ok(t, e.CreateKey(t.Context(), k, one))
		twin := k
		twin.ID = control.NewKeyID()
		want(t, e.CreateKey(t.Context(), twin, two), fault.Conflict)
		twin.Name = "another"
		want(t, e.CreateKey(t.Context(), twin, one), fault.Conflict)

		k.Name, k.Scopes = "renamed", k.Scopes[:1]
		ok(t, e.UpdateKey(t.Context(), k, &two))
		keys, err := e.Keys(t.Context(), w.Number)
		ok(t, err)
		equal(t, "keys", keys, []control.APIKey{k})
		_, err = e.KeyByHash(t.Context(), one)
		want(t, err, fault.NotFound)
		g, err := e.KeyByHash(t.Context(), two)
		ok(t, err)
		equal(t, "scopes", g.Scopes, k.Scopes)

		stranger := k
		stranger.Workspace = e.workspace("b").Number
		want(t, e.UpdateKey(t.Context(), stranger, nil), fault.NotFound)
		want(t, e.UpdateKey(t.Context(), stranger, &one), fault.NotFound)
		want(t, e.DeleteKey(t.Context(), stranger.Workspace, k.ID), fault.NotFound)
		ok(t, e.DeleteKey(t.Context(), k.Workspace, k.ID))
		_, err = e.KeyByHash(t.Context(), two)
		want(t, err, fault.NotFound)
	})
	run("what is stored is there after opening again", func(t *testing.T, e *env) {
		w := e.workspace("acme")
		ok(t, e.Close())
		got, err := e.open().Workspace(t.Context(), "acme")
		ok(t, err)
		equal(t, "workspace", got, w)
	})
	run("a foreign ring does not open credentials, and says so", func(t *testing.T, e *env) {
		l := e.lane()
		ring, err := e.cfg.Keyring.Rotated()
		ok(t, err)
		e.cfg.Keyring = ring
		rotated := e.open()
		a, err := rotated.Access(t.Context(), l)
		ok(t, err)
		equal(t, "secret", a.SecretAccessKey.Reveal(), "s3cret")
		n, err := rotated.Reseal(t.Context())
		ok(t, err)
		equal(t, "resealed", n, 1)
		n, err = rotated.Reseal(t.Context())
		ok(t, err)
		equal(t, "resealed again", n, 0)
		_, err = e.Access(t.Context(), l) // still has the former ring
		want(t, err, fault.Corrupt)
		if !strings.Contains(fault.HintOf(err), "master key") || bytes.Contains([]byte(err.Error()), []byte("s3cret")) {
			t.Fatalf("unhelpful or leaking: %v (%s)", err, fault.HintOf(err))
		}
	})
}
