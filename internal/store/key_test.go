package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

func TestApplyHoldsAKeyToNetworksAndATime(t *testing.T) {
	b := newBench(t)
	file := func(more string) string {
		return "workspaces: [{name: acme, api_keys: [{name: producer, scopes: events.write, secret_env: ACME_PRODUCER_KEY" + more + "}]}]"
	}
	b.now = time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	for _, row := range []struct{ file, want string }{
		{", networks: [192.0.2.77/24, '2001:db8::1'], expires_at: 2027-01-01T00:00:00Z", "[workspace acme: create API key acme/producer: create]"},
		{", networks: ['2001:db8::1/128', 192.0.2.0/24], expires_at: 2027-01-01T01:00:00+01:00", "[]"},
		{"", "[]"},
		{", networks: 203.0.113.9", "[API key acme/producer: networks: 192.0.2.0/24, 2001:db8::1/128 → 203.0.113.9/32]"},
		{", networks: []", "[API key acme/producer: networks: 203.0.113.9/32 → none]"},
		{", expires_at: never", "[API key acme/producer: expires at: 2027-01-01T00:00:00Z → never]"},
		{", expires_at: 2026-11-22T10:31:00Z", "[API key acme/producer: expires at: never → 2026-11-22T10:31:00Z]"},
	} {
		equal(t, row.file, b.applied(file(row.file)), row.want)
	}
	b.now = b.now.Add(time.Hour)
	equal(t, "a time that has passed and stands already", b.applied(file(", expires_at: 2026-11-22T10:31:00Z")), "[]")

	w, err := b.store.Workspace(t.Context(), "acme")
	ok(t, err)
	keys, err := b.store.Keys(t.Context(), w.Number)
	ok(t, err)
	if len(keys) != 1 || len(keys[0].Networks) != 0 || !keys[0].ExpiresAt.Equal(b.now.Add(-59*time.Minute)) {
		t.Errorf("the key: %+v", keys)
	}
	for more, want := range map[string]string{
		", networks: [10.0.0.0/33, everywhere, 10.0.0.1]": "[apply.yaml:1:118: workspaces[0].api_keys[0].networks[0] invalid apply.yaml:1:118: workspaces[0].api_keys[0].networks[1] invalid]",
		", expires_at: tomorrow":                          "[apply.yaml:1:120: workspaces[0].api_keys[0].expires_at invalid]",
	} {
		_, err := parse(file(more))
		equal(t, more, problemsOf(err), want)
	}
	m, err := parse(file(", expires_at: 2026-11-22T10:32:00Z"))
	ok(t, err)
	for _, f := range b.Apply(t.Context(), m, false).Failures {
		equal(t, "another time that has passed", problemsOf(f.Err), "[apply.yaml:1:108: workspaces[0].api_keys[0].expires_at out_of_range]")
	}
}

func problemsOf(err error) (out []string) {
	for _, f := range fault.As(err).Fields {
		out = append(out, fmt.Sprint(f.Field, " ", f.Code))
	}
	return out
}

func TestAKeyIsRevoked(t *testing.T) {
	b := newBench(t)
	w, err := b.CreateWorkspace(t.Context(), control.Workspace{Name: "acme"})
	ok(t, err)
	key := control.APIKey{Workspace: w.Number, Name: "backend", Scopes: []control.Scope{"events.write"}, ExpiresAt: b.now}
	_, _, err = b.CreateKey(t.Context(), key, control.NewKey())
	equal(t, "one that has expired", problemsOf(err), "[expires_at out_of_range]")
	key.ExpiresAt = b.now.Add(time.Second)
	k, value, err := b.CreateKey(t.Context(), key, control.NewKey())
	ok(t, err)
	if err := b.RevokeKey(t.Context(), w.Number+1, k.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another workspace's: %v", err)
	}
	ok(t, b.RevokeKey(t.Context(), w.Number, k.ID))
	if _, err := b.store.KeyByHash(t.Context(), control.HashKey(value.Reveal())); !fault.Is(err, fault.NotFound) {
		t.Errorf("once revoked: %v", err)
	}
	if err := b.RevokeKey(t.Context(), w.Number, k.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("again: %v", err)
	}
}
