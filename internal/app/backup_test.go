package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/fault"
)

// moved gives a world on a data folder that does not exist yet, with the same bucket.
func (w *world) moved(name string) *world {
	m := *w
	m.s.Environ = nil
	for _, e := range w.s.Environ {
		if strings.HasPrefix(e, "MILLRACE_DATA_DIR=") {
			e = "MILLRACE_DATA_DIR=" + filepath.Join(w.dir, name)
		}
		m.s.Environ = append(m.s.Environ, e)
	}
	return &m
}

func (w *world) copyFile(from, to string) {
	w.t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// A backup that was made while a server works is put back beside the log, older than log and bucket: everything accepted
// is in the bucket once.
func TestARestoredBackupGoesOnWhereLogAndBucketAre(t *testing.T) {
	w := newWorld(t)
	if out, err := w.apply(w.manifest("")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sys, stop := w.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sys.plane.awaitRecorded(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.produce(sys, 100)
	dir := filepath.Join(w.dir, "backup-1")
	out := w.must(Backup{Dir: dir})
	if !strings.Contains(w.noted, "master key") || !strings.Contains(out, dir) {
		t.Errorf("%s%s", out, w.noted)
	}
	w.produce(sys, 100)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if had, err := os.ReadDir(dir); err != nil || len(had) != 3 {
		t.Errorf("the backup holds %v %v", had, err)
	}
	for _, name := range []string{databaseName, peopleName, backupName} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}

	m := w.moved("restored")
	data := filepath.Join(w.dir, "restored")
	w.copyFile(w.data(masterKeyName), filepath.Join(data, masterKeyName))
	if err := os.CopyFS(filepath.Join(data, logFolder), os.DirFS(w.data(logFolder))); err != nil {
		t.Fatal(err)
	}
	m.must(Restore{Dir: dir})
	if had, err := os.ReadDir(data); err != nil || !strings.Contains(names(had), peopleName) {
		t.Errorf("the data folder holds %s %v", names(had), err)
	}
	m.openProfiles() // they are whole
	sys, stop = m.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.produce(sys, 100)
	if _, err := sys.drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	v, err := m.verdict()
	if err != nil || v.Events != 300 {
		t.Errorf("%+v %v", v, err)
	}
	if had, err := os.ReadDir(data); err != nil || strings.Contains(names(had), restoring) {
		t.Errorf("the data folder holds %s %v", names(had), err)
	}
}

func names(entries []os.DirEntry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// Without the log, the restored control plane refuses until it is accepted.
func TestARestoredBackupWithoutItsLogIsRefusedUntilAccepted(t *testing.T) {
	w := newWorld(t)
	w.deliver(100)
	dir := filepath.Join(w.dir, "backup-1")
	w.must(Backup{Dir: dir})
	m := w.moved("restored")
	w.copyFile(w.data(masterKeyName), filepath.Join(w.dir, "restored", masterKeyName))
	m.must(Restore{Dir: dir})
	sys, stop := m.serve()
	if err := sys.awaitStopped(t, stop); !fault.Is(err, fault.Conflict) || !strings.Contains(fault.HintOf(err), "log accept") {
		t.Errorf("%v", err)
	}
	m.must(LogAccept{})
	m.deliver(50)
	if v, err := m.verdict(); err != nil || v.Events != 150 {
		t.Errorf("%+v %v", v, err)
	}
}

func TestBackupAndRestoreRefuse(t *testing.T) {
	w := newWorld(t)
	if out, err := w.apply(w.manifest("")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	good := filepath.Join(w.dir, "good")
	w.must(Backup{Dir: good})
	if _, err := w.play(Backup{Dir: good}); !fault.Is(err, fault.Conflict) || fault.HintOf(err) == "" {
		t.Errorf("over another backup: %v", err)
	}
	if _, err := w.play(Restore{Dir: good}); !fault.Is(err, fault.Conflict) || fault.HintOf(err) == "" {
		t.Errorf("over a database: %v", err)
	}

	change := func(edit func(b map[string]any)) func(dir string) {
		return func(dir string) {
			text, err := os.ReadFile(filepath.Join(dir, backupName))
			if err != nil {
				t.Fatal(err)
			}
			var b map[string]any
			if err := json.Unmarshal(text, &b); err != nil {
				t.Fatal(err)
			}
			edit(b)
			if text, err = json.Marshal(b); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, backupName), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for what, c := range map[string]struct {
		spoil func(dir string) // of the backup
		key   string           // file that is put in the place of the master key; empty: the right one; "-": none
		code  fault.Code
		says  string
	}{
		"no backup":               {spoil: func(dir string) { os.RemoveAll(dir) }, code: fault.NotFound, says: "did not come to its end"},
		"one that was cut short":  {spoil: func(dir string) { os.Remove(filepath.Join(dir, backupName)) }, code: fault.NotFound, says: "did not come to its end"},
		"junk for its file":       {spoil: func(dir string) { os.WriteFile(filepath.Join(dir, backupName), []byte("junk"), 0o600) }, code: fault.Corrupt},
		"a newer schema":          {spoil: change(func(b map[string]any) { b["schema"], b["version"] = 999, "v9.9" }), code: fault.Unavailable, says: "v9.9"},
		"a newer form":            {spoil: change(func(b map[string]any) { b["millrace_backup"] = 2 }), code: fault.Unavailable},
		"a path out of it":        {spoil: change(func(b map[string]any) { b["file"] = "../data/millrace.db" }), code: fault.Corrupt},
		"another checksum":        {spoil: change(func(b map[string]any) { b["sha256"] = strings.Repeat("0", 64) }), code: fault.Corrupt, says: "not what was written"},
		"a database cut short":    {spoil: func(dir string) { os.Truncate(filepath.Join(dir, databaseName), 5000) }, code: fault.Corrupt, says: "not what was written"},
		"a database that is gone": {spoil: func(dir string) { os.Remove(filepath.Join(dir, databaseName)) }, code: fault.NotFound},
		"no master key":           {key: "-", code: fault.NotFound, says: "there is no master key at"},
		"another master key":      {key: "other", code: fault.Corrupt, says: "master key does not open it"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "backup")
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			if c.spoil != nil {
				c.spoil(dir)
			}
			m := w.moved("into " + what)
			data := filepath.Join(w.dir, "into "+what)
			switch c.key {
			case "":
				w.copyFile(w.data(masterKeyName), filepath.Join(data, masterKeyName))
			case "other":
				o := w.moved("other")
				if _, err := os.Stat(filepath.Join(w.dir, "other")); err != nil {
					if out, err := o.apply(w.manifest("")); err != nil {
						t.Fatalf("%v\n%s", err, out)
					}
				}
				w.copyFile(filepath.Join(w.dir, "other", masterKeyName), filepath.Join(data, masterKeyName))
			}
			_, err := m.play(Restore{Dir: dir})
			if !fault.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(filepath.Join(data, databaseName)); err == nil {
				t.Error("a database stands in the data folder")
			}
			if left, err := filepath.Glob(filepath.Join(data, "*"+restoring+"*")); err != nil || len(left) > 0 {
				t.Errorf("a copy stays: %v, %v", left, err)
			}
			// What it left is not in the way of the next.
			if c.key == "" {
				if out, err := m.play(Restore{Dir: good}); err != nil {
					t.Errorf("then a good one: %v\n%s", err, out)
				}
			}
		})
	}
}

func TestABackupHoldsNoMasterKey(t *testing.T) {
	w := newWorld(t)
	if out, err := w.apply(w.manifest("")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir := filepath.Join(w.dir, "backup-1")
	w.must(Backup{Dir: dir})
	key, err := os.ReadFile(w.data(masterKeyName))
	if err != nil {
		t.Fatal(err)
	}
	_, value, ok := bytes.Cut(key, []byte(`"value":"`))
	if !ok {
		t.Fatal("the key file is not what it was")
	}
	had, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range had {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range map[string][]byte{"the master key": value[:30], "a secret key": []byte("world-secret"), "an API key": []byte(worldKey)} {
			if bytes.Contains(b, secret) {
				t.Errorf("%s stands in %s", what, e.Name())
			}
		}
	}
}
