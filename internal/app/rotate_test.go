package app

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/store"
)

// keyFile opens the world's master key file as a command does.
func (w *world) keyFile() *keyFile {
	w.t.Helper()
	p, err := existingPlane(w.t.Context(), w.s)
	if err != nil {
		w.t.Fatal(err)
	}
	k, err := p.openKeyFile()
	if err != nil {
		w.t.Fatal(err)
	}
	k.settle = 0
	return k
}

// leave ends the command, wherever it was.
func (k *keyFile) leave() {
	k.lock.Close()
	k.p.Close()
}

// opens says whether a process that starts now can read the connector's credentials.
func (w *world) opens() error {
	w.t.Helper()
	p, err := existingPlane(w.t.Context(), w.s)
	if err != nil {
		return err
	}
	defer p.Close()
	_, a, err := p.access(w.t.Context(), "warehouse")
	if err == nil && a.SecretAccessKey.Reveal() != "world-secret" {
		err = fmt.Errorf("another secret came out")
	}
	return err
}

func TestARotationMayEndAtEveryStep(t *testing.T) {
	w := newWorld(t)
	if out, err := w.apply(w.manifest("")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before, err := os.ReadFile(w.data(masterKeyName))
	if err != nil {
		t.Fatal(err)
	}
	var fresh *secret.Keyring
	for _, step := range []struct {
		name string
		do   func(k *keyFile) error
	}{
		{"a fresh key is in the file", func(k *keyFile) (err error) {
			if fresh, err = k.ring.Rotated(); err == nil {
				err = k.write(fresh)
			}
			return err
		}},
		{"values are sealed anew", func(k *keyFile) error {
			n, err := k.p.store.Reseal(t.Context())
			if err == nil && n == 0 {
				err = fmt.Errorf("nothing was sealed anew")
			}
			return err
		}},
		{"another rotation has begun", func(k *keyFile) (err error) {
			if fresh, err = k.ring.Rotated(); err == nil {
				err = k.write(fresh)
			}
			return err
		}},
		{"the former keys are gone", func(k *keyFile) error {
			_, err := k.drop(t.Context())
			return err
		}},
		{"and once more", func(k *keyFile) error {
			_, err := k.drop(t.Context())
			return err
		}},
	} {
		k := w.keyFile()
		if err := step.do(k); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		k.leave()
		if err := w.opens(); err != nil {
			t.Fatalf("after %q: %v", step.name, err)
		}
		if info, err := os.Stat(w.data(masterKeyName)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("after %q: %v %v", step.name, info.Mode(), err)
		}
	}
	if out := w.must(SecretReseal{}); !strings.Contains(out, "0 values sealed anew") || !strings.Contains(out, "no former key") {
		t.Errorf("a key was left: %s", out)
	}
	if err := os.WriteFile(w.data(masterKeyName), before, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.opens(); !fault.Is(err, fault.Corrupt) {
		t.Errorf("the first key still opens: %v", err)
	}
}

// A process that sealed under the key before and commits late: the former keys come back into the file.
func TestWhatIsSealedTooLateKeepsItsKey(t *testing.T) {
	w := newWorld(t)
	if out, err := w.apply(w.manifest("")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx := t.Context()
	k := w.keyFile()
	defer k.leave()
	stale := k.ring // of a process that does not read the file
	fresh, err := stale.Rotated()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.write(fresh); err != nil {
		t.Fatal(err)
	}
	if _, err := k.p.store.Reseal(ctx); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(ctx, store.Config{Path: w.data(databaseName), Keyring: stale, Catalogue: k.p.catalogue})
	if err != nil {
		t.Fatal(err)
	}
	late := &plane{store: ledgerStore{db}}
	defer late.Close()
	ws, err := late.workspace(ctx, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if err := late.store.SaveWebhook(ctx, control.Webhook{Workspace: ws.Number, URL: "https://hook.example", Secret: secret.New("late")}); err != nil {
		t.Fatal(err)
	}
	if err := k.takeOut(ctx); !fault.Is(err, fault.Conflict) {
		t.Fatalf("a value was lost and nobody said so: %v", err)
	}
	if hooks, err := k.p.store.Webhooks(ctx, ws.Number); err != nil || len(hooks) != 1 || hooks[0].Secret.Reveal() != "late" {
		t.Errorf("%+v %v", hooks, err)
	}
	if n, err := k.drop(ctx); err != nil || n != 1 || k.ring.Former() != 0 {
		t.Errorf("the next try: %d sealed anew, %v", n, err)
	}
}

func TestTheMasterKeyIsRotatedUnderARunningServer(t *testing.T) {
	w := newWorld(t)
	if out, err := w.apply(w.manifest("")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sys, _ := w.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sys.plane.awaitRecorded(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		w.produce(sys, 10)
		w.must(SecretRotate{})
		// The server opens what another process sealed, and the other way round.
		if _, a, err := sys.plane.access(t.Context(), "warehouse"); err != nil || a.SecretAccessKey.Reveal() != "world-secret" {
			t.Fatalf("rotation %d: the server cannot open its credentials: %v", i, err)
		}
		ws, err := sys.plane.workspace(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if err := sys.plane.store.SaveWebhook(t.Context(), control.Webhook{Workspace: ws.Number, URL: fmt.Sprint("https://hook.example/", i), Secret: secret.New("s")}); err != nil {
			t.Fatal(err)
		}
		if out := w.must(SecretReseal{}); !strings.Contains(out, "0 values sealed anew") {
			t.Errorf("rotation %d: the server seals under a former key: %s", i, out)
		}
	}
	k := w.keyFile()
	var out bytes.Buffer
	if err := k.reseal(t.Context(), &Console{Out: &out, Err: &out}, true, false); err != nil || !strings.Contains(out.String(), "3 former keys taken out") {
		t.Errorf("%v\n%s", err, out.String())
	}
	k.leave()
	if _, _, err := sys.plane.access(t.Context(), "warehouse"); err != nil {
		t.Error(err)
	}
	if v, err := w.verdict(); err != nil {
		t.Errorf("%+v %v", v, err)
	}
}

func TestRotationRefusesWhatItCannotDo(t *testing.T) {
	w := newWorld(t)
	if out, err := w.apply(w.manifest("")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before, err := os.ReadFile(w.data(masterKeyName))
	if err != nil {
		t.Fatal(err)
	}
	k := w.keyFile()
	if _, err := w.play(SecretRotate{}); !fault.Is(err, fault.Conflict) || fault.HintOf(err) == "" {
		t.Errorf("two at once: %v", err)
	}
	k.leave()
	apart := filepath.Join(w.dir, "new.key")
	w.must(SecretRotate{Out: apart})
	if !strings.Contains(w.noted, "secret reseal") {
		t.Errorf("it does not say how to go on: %s", w.noted)
	}
	if _, err := w.play(SecretRotate{Out: apart}); !fault.Is(err, fault.Conflict) {
		t.Errorf("over a file that exists: %v", err)
	}
	if _, err := w.play(SecretRotate{Out: apart + "2", DropFormer: true}); !fault.Is(err, fault.Invalid) {
		t.Errorf("drop what is still needed: %v", err)
	}
	if now, err := os.ReadFile(w.data(masterKeyName)); err != nil || !bytes.Equal(now, before) {
		t.Errorf("the key file was changed: %v", err)
	}
	// Whoever puts the file in its place goes on with it, through a link, too.
	if err := os.Remove(w.data(masterKeyName)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(apart, w.data(masterKeyName)); err != nil {
		t.Fatal(err)
	}
	if out := w.must(SecretReseal{}); strings.Contains(out, "0 values") || !strings.Contains(out, "1 former key stays") {
		t.Errorf("sealed anew: %s", out)
	}
	w.must(SecretRotate{})
	if info, err := os.Lstat(w.data(masterKeyName)); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v %v", info.Mode(), err)
	}
	if err := w.opens(); err != nil {
		t.Error(err)
	}
}
