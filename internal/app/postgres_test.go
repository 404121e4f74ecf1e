package app

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// Two servers with folders of their own and one master key meet on an empty database: both come up, and one of them works. What it
// accepted is in the bucket, also over a restart; the other one does not take over with a log that nobody knows.
func TestServersOnPostgreSQLWorkOneAtATime(t *testing.T) {
	at := storetest.EmptyPostgres(t)
	database := "MILLRACE_DATABASE_URL=" + at.URL.Reveal()
	w := newWorld(t)
	w.s.Environ = append(w.s.Environ, database, "MILLRACE_MASTER_KEY_FILE="+filepath.Join(w.dir, "keys", "shared"))
	other := &world{t: t, dir: filepath.Join(w.dir, "other"), shop: w.shop, s: Settings{Environ: slices.Clone(w.s.Environ)}}
	other.s.Environ[0] = "MILLRACE_DATA_DIR=" + other.data("")
	first, stopFirst := w.serve()
	second, stopSecond := other.serve()
	for deadline := time.Now().Add(10 * time.Second); first.working.Load() == nil && second.working.Load() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nobody works: %v; %v", first.waiting.Load(), second.waiting.Load())
		}
	}
	if first.working.Load() == nil { // it does not matter which
		w, other, first, second, stopFirst, stopSecond = other, w, second, first, stopSecond, stopFirst
	}
	second.awaitStandby(t)
	if second.working.Load() != nil {
		t.Fatal("both work, on two logs")
	}
	back := storetest.Outage(t, at)
	for end := time.Now().Add(standbyWait * 3 / 2); time.Now().Before(end); { // both ask for it in vain
		if err := first.plane.store.SetCurrentLog(t.Context(), eventlog.ID{}); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("without a database: %v", err)
		}
	}
	back()
	second.awaitStandby(t)
	if out, err := w.apply(w.manifest("")); err != nil {
		t.Fatalf("apply: %s\n%s", Sentence(err), out)
	}
	if err := first.plane.awaitRecorded(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.produce(first, 100)
	if _, err := first.drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stopFirst(); err != nil {
		t.Fatal(err)
	}
	if err := second.awaitStopped(t, stopSecond); !fault.Is(err, fault.Conflict) || Hint(err) != acceptHint {
		t.Errorf("the other one, once the log of the first is free: %v", err)
	}
	w.deliver(100)
	if v, err := w.verdict(); err != nil || len(v.Wrong) > 0 || v.Events != 200 || v.Compared != 200 {
		t.Errorf("verify: %+v, %v", v, err)
	}
}

// A snapshot of the whole PostgreSQL holds the lease of the server that was there, and whoever was signed in.
func TestADatabaseThatPostgreSQLPutBackIsMadeFitForUse(t *testing.T) {
	at := storetest.EmptyPostgres(t)
	w := newWorld(t)
	w.s.Environ = append(w.s.Environ, "MILLRACE_DATABASE_URL="+at.URL.Reveal())
	w.deliver(20)
	cfg, err := w.s.Load()
	if err != nil {
		t.Fatal(err)
	}
	p, err := openPlane(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	log, _, err := p.store.CurrentLog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := p.store.AcquireLease(t.Context(), log, "the server that was there", time.Hour); !ok || err != nil {
		t.Fatal(ok, err)
	}
	elsewhere := w.moved("elsewhere")
	w.copyFile(w.data(masterKeyName), filepath.Join(w.dir, "elsewhere", masterKeyName))
	if _, err := elsewhere.play(Restore{}); !fault.Is(err, fault.Conflict) || !strings.Contains(Hint(err), "MILLRACE_DATABASE_URL") {
		t.Errorf("a server works there: %v", err)
	}
	if ok, err := p.store.RenewLease(t.Context(), log, "the server that was there", time.Millisecond); !ok || err != nil {
		t.Errorf("its lease, after the refusal: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		_, err := w.play(Restore{})
		if err == nil {
			break
		}
		if !fault.Is(err, fault.Conflict) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if ok, err := p.store.AcquireLease(t.Context(), log, "another", time.Second); !ok || err != nil {
		t.Errorf("the lease of the server that was there goes on: %v", err)
	}
}

// An installation moves from SQLite to PostgreSQL by a backup, with its log: everything accepted before and after is in
// the bucket once, by the credentials and the key that it had, and nothing of it is left beside the database.
func TestAnInstallationMovesToPostgreSQL(t *testing.T) {
	w := newWorld(t)
	w.deliver(100)
	size := control.DaySize{Day: 20000, Rev: 1, Size: 7, At: time.UnixMilli(1_800_000_000_000).UTC()}
	if err := w.openProfiles().SaveSize(t.Context(), 1, "a segment", size); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(w.dir, "backup-1")
	w.must(Backup{Dir: dir})
	at := storetest.EmptyPostgres(t)
	w.s.Environ = append(w.s.Environ, "MILLRACE_DATABASE_URL="+at.URL.Reveal())
	if out := w.must(Restore{Dir: dir}); !strings.Contains(out, "restored to PostgreSQL") {
		t.Error(out)
	}
	if had, err := os.ReadDir(w.data("")); err != nil || strings.Contains(names(had), restoring) {
		t.Errorf("the data folder holds %s %v", names(had), err)
	}
	if all, err := w.openProfiles().LastSizes(t.Context(), 1); err != nil || all["a segment"] != size {
		t.Errorf("what was counted of people: %v, %v", all, err)
	}
	if _, err := w.play(Restore{Dir: dir}); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("again: %v", err)
	}
	w.deliver(100)
	if v, err := w.verdict(); err != nil || len(v.Wrong) > 0 || v.Events != 200 || v.Compared != 200 {
		t.Errorf("verify: %+v, %v", v, err)
	}
}

// And back: a backup of PostgreSQL, made while it is in use, is put into a data folder without a database.
func TestAnInstallationMovesFromPostgreSQL(t *testing.T) {
	w := newWorld(t)
	without := w.s.Environ
	w.s.Environ = append(slices.Clip(without), "MILLRACE_DATABASE_URL="+storetest.EmptyPostgres(t).URL.Reveal())
	w.deliver(100)
	size := control.DaySize{Day: 20000, Rev: 1, Size: 7, At: time.UnixMilli(1_800_000_000_000).UTC()}
	if err := w.openProfiles().SaveSize(t.Context(), 1, "a segment", size); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(w.dir, "backup-1")
	w.must(Backup{Dir: dir})
	if had, err := os.ReadDir(dir); err != nil || names(had) != "backup.json millrace.db people.db" {
		t.Errorf("the backup holds %s %v", names(had), err)
	}
	for _, name := range []string{databaseName, peopleName} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	w.s.Environ = without
	w.must(Restore{Dir: dir})
	if all, err := w.openProfiles().LastSizes(t.Context(), 1); err != nil || all["a segment"] != size {
		t.Errorf("what was counted of people: %v, %v", all, err)
	}
	w.deliver(100)
	if v, err := w.verdict(); err != nil || len(v.Wrong) > 0 || v.Events != 200 || v.Compared != 200 {
		t.Errorf("verify: %+v, %v", v, err)
	}
}

// A database that is gone for longer than the lease ends the server's work, and not the server.
func TestAServerWorksAgainOnceItsDatabaseIsBack(t *testing.T) {
	at := storetest.EmptyPostgres(t)
	w := newWorld(t)
	w.s.Environ = append(w.s.Environ, "MILLRACE_DATABASE_URL="+at.URL.Reveal())
	cfg, err := w.s.Load()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	console := &Console{Out: t.Output(), Err: t.Output()}
	opened := make(chan *system)
	ended := make(chan error, 1)
	go func() {
		ended <- keepServing(ctx, newLogger(cfg, console), time.Millisecond, func() (*system, error) {
			sys, err := openSystem(ctx, cfg, console)
			if err == nil {
				sys.lease = time.Second
				opened <- sys
			}
			return sys, err
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	if err := (<-opened).awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := storetest.Outage(t, at)
	for began := time.Now(); time.Since(began) < 3*time.Second; time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the server has ended: %v", err)
		default:
		}
	}
	back()
	again := <-opened
	if err := again.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := w.apply(w.manifest("")); err != nil {
		t.Fatalf("apply: %s\n%s", Sentence(err), out)
	}
	w.produce(again, 50)
}

// Without the setting, every command on such a folder says which one is missing, as the server does.
func TestADataFolderWithoutItsDatabaseNamesTheSetting(t *testing.T) {
	at := storetest.EmptyPostgres(t)
	w := newWorld(t)
	with := slices.Clone(w.s.Environ)
	w.s.Environ = append(w.s.Environ, "MILLRACE_DATABASE_URL="+at.URL.Reveal())
	w.deliver(5)
	w.s.Environ = with
	for name, cmd := range map[string]runner{
		"backup": Backup{Dir: filepath.Join(w.dir, "copy")}, "secret rotate": SecretRotate{}, "secret reseal": SecretReseal{}, "serve": Serve{},
		"connector list": ConnectorList{},
	} {
		_, err := w.play(cmd)
		if !fault.Is(err, fault.Conflict) || !strings.Contains(Hint(err), "MILLRACE_DATABASE_URL") {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.s.Environ[0] = "MILLRACE_DATA_DIR=" + filepath.Join(w.dir, "empty")
	if _, err := w.play(Backup{Dir: filepath.Join(w.dir, "copy")}); !fault.Is(err, fault.NotFound) || !strings.Contains(Hint(err), "MILLRACE_DATABASE_URL") {
		t.Errorf("an empty folder: %v", err)
	}
}
