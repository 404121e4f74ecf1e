package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
)

// copies opens databases of one keyring in a folder.
func copies(t *testing.T) (open func(name string, ring *secret.Keyring) *store.Store, ring *secret.Keyring, path func(name string) string) {
	t.Helper()
	dir := t.TempDir()
	ring, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	types, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	path = func(name string) string { return filepath.Join(dir, name) }
	return func(name string, ring *secret.Keyring) *store.Store {
		t.Helper()
		s, err := store.Open(t.Context(), store.Config{Path: path(name), Keyring: ring, Catalogue: types})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}, ring, path
}

func TestACopyIsOneMomentWhileOthersWrite(t *testing.T) { each(t, copiesOneMoment) }

func copiesOneMoment(t *testing.T, cfg store.Config) {
	open, ring, path := copies(t)
	cfg.Keyring = ring
	var err error
	cfg.Catalogue, err = catalogue()
	ok(t, err)
	first := func() *store.Store {
		s, err := store.Open(t.Context(), cfg)
		ok(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	}
	s := first()
	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	begun := make(chan struct{})
	writer.Go(func() {
		other := first()
		for i := uint32(1); ctx.Err() == nil; i++ {
			// A workspace and its webhook: the copy has the second of a pair only with the first.
			err := other.CreateWorkspace(t.Context(), control.Workspace{Number: i, Name: fmt.Sprint("w", i), UnknownFields: control.RejectUnknown, CreatedAt: time.Now()})
			if err == nil {
				err = other.SaveWebhook(t.Context(), control.Webhook{Workspace: i, URL: "https://hook.example", Secret: secret.New("s"), CreatedAt: time.Now()})
			}
			if err != nil {
				t.Error(err)
				return
			}
			if i == 20 {
				close(begun)
			}
		}
	})
	<-begun
	for n := range 3 {
		name := fmt.Sprint("copy", n, ".db")
		schema, err := s.CopyTo(t.Context(), path(name))
		if err != nil || schema != store.NewestSchema() || schema < 3 {
			t.Fatalf("schema %d: %v", schema, err)
		}
		c := open(name, ring)
		all, err := c.Workspaces(t.Context())
		if err != nil || len(all) < 20 {
			t.Fatalf("%d workspaces: %v", len(all), err)
		}
		for _, w := range all {
			hooks, err := c.Webhooks(t.Context(), w.Number)
			if err != nil || len(hooks) != 1 && int(w.Number) < len(all) {
				t.Errorf("workspace %d of %d has %d webhooks: %v", w.Number, len(all), len(hooks), err)
			}
		}
		if err := c.CheckSealed(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop()
	writer.Wait()
	if _, err := s.CopyTo(t.Context(), path("copy0.db")); err == nil {
		t.Error("a copy was written over")
	}
}

func TestAnotherKeyringOpensNoCopy(t *testing.T) {
	open, ring, _ := copies(t)
	s := open("first.db", ring)
	other, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	if err := open("first.db", other).CheckSealed(t.Context()); err != nil {
		t.Errorf("nothing is sealed: %v", err)
	}
	if _, err := s.InstallationKey(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	if err := open("first.db", other).CheckSealed(t.Context()); !fault.Is(err, fault.Corrupt) {
		t.Errorf("%v", err)
	}
}

func TestWhatMayHaveEndedSinceEndsInACopy(t *testing.T) {
	open, ring, path := copies(t)
	s := open("first.db", ring)
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	log, hash := eventlog.ID{1}, control.HashKey("session")
	if got, err := s.AcquireLease(ctx, log, "old", time.Hour); err != nil || !got {
		t.Fatal(got, err)
	}
	ok(s.CreateMember(ctx, control.Member{ID: "m", Email: "ana@acme.example", CreatedAt: time.Now()}, control.Lock{}, nil))
	ok(s.CreateSession(ctx, control.Session{ID: "s", Member: "m", CreatedAt: time.Now(), SeenAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}, hash))
	ok(s.CreateTicket(ctx, control.Ticket{ID: "t", Kind: control.TicketReset, Email: "ana@acme.example", Member: "m", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}, hash))
	_, err := s.CopyTo(ctx, path("copy.db"))
	ok(err)

	c := open("copy.db", ring)
	if got, err := c.AcquireLease(ctx, log, "new", time.Hour); err != nil || got {
		t.Fatalf("the lease is not in the copy: %v", err)
	}
	if err := c.Revive(ctx, false); !fault.Is(err, fault.Conflict) {
		t.Errorf("somebody may work on it: %v", err)
	}
	if _, err := c.SessionByHash(ctx, hash); err != nil {
		t.Errorf("what is refused has ended the session: %v", err)
	}
	ok(c.Revive(ctx, true))
	if got, err := c.AcquireLease(ctx, log, "new", time.Hour); err != nil || !got {
		t.Errorf("the lease goes on: %v", err)
	}
	if _, err := c.SessionByHash(ctx, hash); !fault.Is(err, fault.NotFound) {
		t.Errorf("the session goes on: %v", err)
	}
	if _, err := c.TicketByHash(ctx, hash); !fault.Is(err, fault.NotFound) {
		t.Errorf("the link works: %v", err)
	}
	if _, err := c.MemberByEmail(ctx, "ana@acme.example"); err != nil {
		t.Error(err)
	}
	if _, err := s.SessionByHash(ctx, hash); err != nil {
		t.Errorf("the copy reached the database: %v", err)
	}
}
