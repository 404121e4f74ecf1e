package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

// world is an installation in a temporary folder with a bucket of its own.
type world struct {
	t     *testing.T
	dir   string
	shop  *shop
	s     Settings
	typed string // what commands find on standard input
	noted string // what the last command that was played said for people
}

const worldKey = "mr_world_0123456789abcdefghijklmnop"

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	shop, err := openShop(shopConfig{dir: filepath.Join(dir, "bucket"), buckets: []string{"acme-currents"}, keyID: "AKIAWORLD", key: "world-secret", listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shop.close)
	return &world{t: t, dir: dir, shop: shop, s: Settings{
		Environ: []string{
			"MILLRACE_DATA_DIR=" + filepath.Join(dir, "data"), "MILLRACE_LISTEN=127.0.0.1:0", "MILLRACE_PROFILES=true", "MILLRACE_METRICS_LISTEN=127.0.0.1:0",
			"MILLRACE_ALLOWED_ENDPOINT_NETWORKS=127.0.0.0/8", "MILLRACE_LOG_LEVEL=error",
			"KEY=" + worldKey, "SECRET=world-secret", "WRONG=not-the-secret",
		},
	}}
}

func (w *world) data(name string) string { return filepath.Join(w.dir, "data", name) }

// manifest has one connector; more is further lines of it.
func (w *world) manifest(more string) string {
	return fmt.Sprintf(`workspaces:
  - name: acme
    api_keys: [{name: producer, scopes: [events.write], secret_env: KEY}]
    connectors:
      - name: warehouse
        type: s3
        contact_email: data@acme.example
        destination: {bucket: acme-currents, region: us-east-1, endpoint: %q, path_style: true, access_key_id: AKIAWORLD, secret_access_key_env: SECRET}
        events: [all]
        flush: {interval: 1s, events: 100}
%s`, w.shop.url, more)
}

type runner interface {
	Run(ctx context.Context, c *Console, s Settings) error
}

// play runs a command and gives what it printed.
func (w *world) play(cmd runner) (string, error) {
	w.t.Helper()
	var out, note bytes.Buffer
	err := cmd.Run(AsCommandLine(w.t.Context()), &Console{In: strings.NewReader(w.typed), Out: &out, Err: &note, Version: "test"}, w.s)
	w.noted = note.String()
	return out.String(), err
}

func (w *world) must(cmd runner) string {
	w.t.Helper()
	out, err := w.play(cmd)
	if err != nil {
		w.t.Fatalf("%T: %s\n%s", cmd, Sentence(err), out)
	}
	return out
}

func (w *world) apply(manifest string) (string, error) {
	w.t.Helper()
	name := filepath.Join(w.dir, "apply.yaml")
	if err := os.WriteFile(name, []byte(manifest), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return w.play(Apply{File: name})
}

// serve starts the server; stop ends it in order and gives its error.
func (w *world) serve() (sys *system, stop func() error) {
	w.t.Helper()
	cfg, err := w.s.Load()
	if err != nil {
		w.t.Fatal(err)
	}
	var said bytes.Buffer
	sys, err = openSystem(w.t.Context(), cfg, &Console{Out: &said, Err: w.t.Output()})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- sys.run(ctx) }()
	var once error
	done := false
	stop = func() error {
		cancel()
		if !done {
			once, done = <-ended, true
		}
		return once
	}
	w.t.Cleanup(func() { stop() })
	return sys, stop
}

// deliver accepts n events with a running server and stops it, so that all are in the bucket.
func (w *world) deliver(n int) {
	w.t.Helper()
	if out, err := w.apply(w.manifest("")); err != nil {
		w.t.Fatalf("apply: %s\n%s", Sentence(err), out)
	}
	sys, stop := w.serve()
	if err := sys.awaitReady(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := sys.plane.awaitRecorded(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.produce(sys, n)
	if _, err := sys.drain(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := stop(); err != nil {
		w.t.Fatalf("stop: %v", err)
	}
}

func (w *world) produce(sys *system, n int) {
	w.t.Helper()
	catalogue, err := event.NewCatalogue(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := load{url: sys.URL() + "/v1/events", key: worldKey, catalogue: catalogue, seed: 1, conns: 2, per: 50, events: int64(n)}.run(w.t.Context())
	if err != nil || p.Acked != int64(n) {
		w.t.Fatalf("accepted %d of %d: %v", p.Acked, n, err)
	}
}

// objects gives the Avro files in the bucket.
func (w *world) objects() []string {
	w.t.Helper()
	var names []string
	err := filepath.WalkDir(filepath.Join(w.dir, "bucket", "acme-currents"), func(name string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".avro") {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

func (w *world) verdict() (v verdict, err error) {
	w.t.Helper()
	out, err := w.play(Verify{Connector: "acme/warehouse", JSON: true})
	if e := json.Unmarshal([]byte(out), &v); e != nil {
		w.t.Fatalf("verify prints %q (%v)", out, err)
	}
	return v, err
}

func TestVerifyAgreesAndFindsWhatWasChanged(t *testing.T) {
	w := newWorld(t)
	w.deliver(400)
	v, err := w.verdict()
	if err != nil || len(v.Wrong) > 0 || v.Events != 400 || v.Compared != 400 || v.Files == 0 {
		t.Fatalf("of a whole bucket: %+v, %v", v, err)
	}
	all := w.objects()
	took := all[0]
	if err := os.Remove(took); err != nil {
		t.Fatal(err)
	}
	if v, err = w.verdict(); err != nil || len(v.TakenAway) != 1 {
		t.Errorf("a file that was taken away: %+v, %v", v, err)
	}
	b, err := os.ReadFile(all[1])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-20] ^= 1 // the last byte of the last block, or of the marker behind it
	if err := os.WriteFile(all[1], b, 0o600); err != nil {
		t.Fatal(err)
	}
	strange := strings.Replace(all[1], "+0+", "+7+", 1)
	if err := os.WriteFile(strange, b, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err = w.verdict()
	kinds := map[delivery.DifferenceKind]int{}
	for _, d := range v.Wrong {
		kinds[d.Kind]++
	}
	if err == nil || kinds["damaged"] == 0 || kinds["unknown"] != 1 || ExitCode(err) != 1 {
		t.Errorf("a changed and a strange file: %+v, %v", v, err)
	}
}

func TestReplayMakesTheSameBytesAgain(t *testing.T) {
	w := newWorld(t)
	w.deliver(700)
	before := map[string][]byte{}
	for i, name := range w.objects() {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = b
		if i%2 == 0 {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	from := time.Now().UTC().Add(-2 * time.Hour).Format("2006-01-02T15")
	dry := w.must(Replay{Connector: "warehouse", From: from, DryRun: true})
	if !strings.Contains(dry, "would be written") || len(w.objects()) != len(before)/2 {
		t.Fatalf("a dry run: %s", dry)
	}
	w.must(Replay{Connector: "warehouse", From: from})
	after := w.objects()
	if len(after) != len(before) {
		t.Errorf("%d files after the replay, there were %d", len(after), len(before))
	}
	for _, name := range after {
		b, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(b, before[name]) {
			t.Errorf("%s has other bytes than before (%v)", name, err)
		}
	}
	if v, err := w.verdict(); err != nil || v.Files != int64(len(before)) {
		t.Errorf("verify after the replay: %+v, %v", v, err)
	}
	if out := w.must(Replay{Connector: "warehouse", From: from}); !strings.Contains(out, " 0 written") {
		t.Errorf("a second replay: %s", out)
	}
}

// Another log under known positions, or one that was set back, is never worked on by itself.
func TestAnotherLogIsRefusedUntilItIsAccepted(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"a lost log": func(w *world) {
			if err := os.RemoveAll(w.data("log")); err != nil {
				w.t.Fatal(err)
			}
		},
		"a log that was set back": func(w *world) {
			if err := os.CopyFS(filepath.Join(w.dir, "old"), os.DirFS(w.data("log"))); err != nil {
				w.t.Fatal(err)
			}
			w.deliver(100)
			if err := os.RemoveAll(w.data("log")); err != nil {
				w.t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(w.dir, "old"), w.data("log")); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deliver(100)
			change(w)
			sys, stop := w.serve()
			err := sys.awaitStopped(t, stop)
			if !fault.Is(err, fault.Conflict) || !strings.Contains(Hint(err), "millrace log accept") {
				t.Fatalf("the server starts with another log: %v", err)
			}
			if out := w.must(LogAccept{}); !strings.Contains(out, "nothing of it is lost") {
				t.Errorf("accept says of a log of which all was delivered: %s", out)
			}
			if out := w.must(LogAccept{}); !strings.Contains(out, "nothing to accept") {
				t.Errorf("accepted twice: %s", out)
			}
			// All had been delivered, so nothing was lost.
			if out := w.must(Ledger{Connector: "warehouse", JSON: true}); strings.Contains(out, `"events": -1`) {
				t.Errorf("the ledger speaks of a loss that did not happen: %s", out)
			}
			w.deliver(100)
			if v, err := w.verdict(); err != nil {
				t.Errorf("after it: %+v, %v", v, err)
			}
		})
	}
}

// A change of folder waits for its record while the log is lost: the record is the first thing that the new log is told.
func TestAChangeThatWaitsWhileTheLogIsLostEndsTheFormerDestination(t *testing.T) {
	w := newWorld(t)
	w.deliver(50)
	moved := strings.Replace(w.manifest(""), "bucket: acme-currents,", "bucket: acme-currents, folder: moved,", 1)
	if out, err := w.apply(moved); err != nil {
		t.Fatalf("apply: %s\n%s", Sentence(err), out)
	}
	if err := os.RemoveAll(w.data("log")); err != nil {
		t.Fatal(err)
	}
	w.must(LogAccept{})
	sys, stop := w.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sys.plane.awaitRecorded(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.produce(sys, 50)
	if _, err := sys.drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	folders := map[string]int{}
	for _, name := range w.objects() {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(filepath.Join(w.dir, "bucket", "acme-currents"), name) // it lies there
		folder, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		if err := avrofile.EventIDs(f, func([]byte) bool { folders[folder]++; return true }); err != nil {
			t.Fatal(err)
		}
		f.Close() // only read
	}
	if want := map[string]int{"currents": 50, "moved": 50}; !maps.Equal(folders, want) {
		t.Errorf("events by folder: %v, want %v", folders, want)
	}
}

func TestHoursOfWhichThereAreNoneAreRefused(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		ok       bool
	}{
		{"2026-11-22", "", true}, {"", "2026-11-22", true}, {"", "", true}, {"2026-11-22T10", "2026-11-22T11", true},
		{"2026-11-22", "2026-11-20", false}, {"2026-11-22T10", "2026-11-22T10", false}, {"2026-11-22T10:05", "2026-11-22T10:50", false},
		{"yesterday", "", false}, {"", "noon", false},
	} {
		if _, _, err := parseHours(tt.from, tt.to); (err == nil) != tt.ok || !tt.ok && (!fault.Is(err, fault.Invalid) || Hint(err) == "") {
			t.Errorf("from %q to %q: %v", tt.from, tt.to, err)
		}
	}
}

// awaitStopped waits for a server that ends by itself.
func (s *system) awaitStopped(t *testing.T, stop func() error) error {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := http.Get(s.front.URL() + "/healthz"); err != nil {
			return stop()
		}
		if s.working.Load() != nil {
			t.Fatal("it works")
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it neither works nor ends")
	return nil
}

func TestASecondServerStandsByAndTakesOver(t *testing.T) {
	w := newWorld(t)
	w.deliver(50)
	first, stopFirst := w.serve()
	if err := first.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, _ := w.serve()
	second.awaitStandby(t)
	if err := stopFirst(); err != nil {
		t.Fatal(err)
	}
	if err := second.awaitReady(t.Context()); err != nil {
		t.Fatalf("the standby does not take over: %v", err)
	}
	w.produce(second, 50)
}

// awaitStandby waits until a server says that it stands by.
func (s *system) awaitStandby(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		res, err := http.Get(s.front.URL() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		body.ReadFrom(res.Body)
		res.Body.Close()
		if strings.Contains(body.String(), "standby") {
			if res.StatusCode != 503 {
				t.Errorf("a standby is ready: %d", res.StatusCode)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server does not say that it stands by: %s", body.String())
		}
	}
}

func TestAStandbyWithACopyOfTheFolderDoesNotTakeOverWhatWentOnWithoutIt(t *testing.T) {
	w := newWorld(t)
	w.deliver(50)
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
	if ok, err := p.store.AcquireLease(t.Context(), log, "another machine", time.Hour); err != nil || !ok {
		t.Fatal(ok, err)
	}
	standby, stop := w.serve()
	standby.awaitStandby(t)
	// The other machine reads on in its own copy, and goes.
	if err := p.store.ApplyControl(t.Context(), log, 1_000_000, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.store.ReleaseLease(t.Context(), log, "another machine"); err != nil {
		t.Fatal(err)
	}
	if err := standby.awaitStopped(t, stop); !fault.Is(err, fault.Conflict) || Hint(err) != acceptHint {
		t.Errorf("it ended with %v", err)
	}
	if ok, err := p.store.AcquireLease(t.Context(), log, "a third", time.Second); err != nil || !ok {
		t.Errorf("the lease was kept: %v %v", ok, err)
	}
}

func TestAnApplyThatIsRefusedSaysWhyAndTheRestStands(t *testing.T) {
	w := newWorld(t)
	out, err := w.apply(w.manifest("") + fmt.Sprintf(`
      - name: locked
        type: s3
        contact_email: data@acme.example
        destination: {bucket: acme-currents, folder: other, region: us-east-1, endpoint: %q, path_style: true, access_key_id: AKIAWORLD, secret_access_key_env: WRONG}
        events: [all]
`, w.shop.url))
	if ExitCode(err) != 1 || !strings.Contains(Sentence(err), "acme/locked") || !strings.Contains(Sentence(err), "S3 credentials are invalid") {
		t.Errorf("exit %d: %s\n%s", ExitCode(err), Sentence(err), out)
	}
	if strings.Contains(Sentence(err)+out, "not-the-secret") {
		t.Error("a secret is printed")
	}
	if !strings.Contains(out, "acme/warehouse") {
		t.Errorf("the other connector is not there: %s", out)
	}
	if out, err = w.apply(w.manifest("")); err != nil || !strings.Contains(out, "nothing to change") {
		t.Errorf("applied again: %s %v", out, err)
	}
}

func TestTheLedgerShowsLossesOverAllTypesWhateverIsAskedFor(t *testing.T) {
	w := newWorld(t)
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
	lanes, err := p.store.Lanes(t.Context())
	if err != nil || len(lanes) != 1 {
		t.Fatal(lanes, err)
	}
	pos, err := p.store.Position(t.Context(), lanes[0].Lane)
	if err != nil {
		t.Fatal(err)
	}
	drop := control.Drop{Lane: pos.Lane, Log: pos.Log, First: 3, Last: 5, Events: -1, Reason: control.DropDamaged, At: time.Now(), Settled: true}
	if _, err := p.store.Save(t.Context(), control.Save{Position: pos, Drops: []control.Drop{drop}}); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []Ledger{
		{}, {From: "2026-01-01"}, {Type: "users.messages.email.Open"}, {To: "2026-01-01"}, {Files: true}, {JSON: true}, {JSON: true, Files: true, From: "2026-01-01"},
	} {
		cmd.Connector = "warehouse"
		out := w.must(cmd)
		if !strings.Contains(out, "damaged") || strings.Contains(out, "Nothing was dropped") || strings.Contains(out, "1970") {
			t.Errorf("%+v prints\n%s", cmd, out)
		}
	}
	_, err = w.play(Ledger{Connector: "warehouse", Type: "users.messages.email.Opn"})
	if !fault.Is(err, fault.NotFound) || !strings.Contains(Hint(err), "users.messages.email.Open") {
		t.Errorf("a type misspelt: %v, %s", err, Hint(err))
	}
}

func TestAConnectorIsFoundByItsNameAloneWhereThatIsEnough(t *testing.T) {
	w := newWorld(t)
	more := func(workspace, name string) string {
		return fmt.Sprintf(`
  - name: %s
    connectors:
      - name: %s
        contact_email: data@acme.example
        destination: {bucket: acme-currents, folder: %s-%s, endpoint: %q, path_style: true, access_key_id: AKIAWORLD, secret_access_key_env: SECRET}
        events: [all]`, workspace, name, workspace, name, w.shop.url)
	}
	if _, err := w.apply(w.manifest("") + more("beta", "lake") + more("gamma", "warehouse")); err != nil {
		t.Fatal(Sentence(err))
	}
	w.must(Ledger{Connector: "lake"})
	w.must(Ledger{Connector: "gamma/warehouse"})
	if _, err := w.play(Ledger{Connector: "warehouse"}); !fault.Is(err, fault.Conflict) || !strings.Contains(Hint(err), "gamma/warehouse") {
		t.Errorf("a name that two workspaces have: %v, %s", err, Hint(err))
	}
	if _, err := w.play(Ledger{Connector: "beta/warehouse"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a name in the wrong workspace: %v", err)
	}
}

func TestASchemaFileMayGoOnlyWhenNobodyNeedsIt(t *testing.T) {
	w := newWorld(t)
	schemas := filepath.Join(w.dir, "schemas")
	file := filepath.Join(schemas, "ping.avsc")
	const ping = `{"type":"record","name":"dataexport.S3.inner.acme.Ping","schema_id":1000001,"fields":[{"name":"id","type":"string"},{"name":"time","type":"int"}]}`
	if err := os.MkdirAll(schemas, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func() {
		t.Helper()
		if err := os.WriteFile(file, []byte(ping), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	take := func() {
		t.Helper()
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	put()
	w.s.Environ = append(w.s.Environ, "MILLRACE_SCHEMA_DIR="+schemas)
	post := func(paused bool) {
		t.Helper()
		if _, err := w.apply(w.manifest(fmt.Sprintf("        paused: %v\n", paused))); err != nil {
			t.Fatal(Sentence(err))
		}
		sys, stop := w.serve()
		if err := sys.awaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := sys.plane.awaitRecorded(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.post(sys, `[{"event_type":"acme.Ping"}]`, 200)
		if !paused {
			if _, err := sys.drain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	post(true)
	take()
	sys, stop := w.serve()
	err := sys.awaitStopped(t, stop)
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "1000001 of acme.Ping") || !strings.Contains(err.Error(), "acme/warehouse") ||
		!strings.Contains(Hint(err), "MILLRACE_SCHEMA_DIR") {
		t.Fatalf("with undelivered events of it: %v, %s", err, Hint(err))
	}
	put()
	post(false)
	take()
	sys, _ = w.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Errorf("with everything delivered: %v", err)
	}
}

// post sends a body of JSON and wants an answer.
func (w *world) post(sys *system, body string, want int) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, sys.URL()+"/v1/events", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+worldKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var said bytes.Buffer
	said.ReadFrom(res.Body)
	if res.StatusCode != want {
		w.t.Fatalf("%d, want %d: %s", res.StatusCode, want, said.String())
	}
	return res
}

func TestNobodyElseCanReadTheDataFolder(t *testing.T) {
	w := newWorld(t)
	w.deliver(10)
	sys, stop := w.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(w.data("."), func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the rights %v", name, info.Mode().Perm())
		}
		files++
		return err
	})
	if err != nil || files < 6 { // the database and the two files beside it among them
		t.Fatal(files, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]bool{0o700: false, 0o711: false, 0o750: true, 0o777: true} {
		if err := os.Chmod(w.data("."), mode); err != nil {
			t.Fatal(err)
		}
		cfg, err := Settings{Environ: append(w.s.Environ, "MILLRACE_LOG_LEVEL=warn")}.Load()
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		sys, err := openSystem(t.Context(), cfg, &Console{Out: &said, Err: &said})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(sys.front.Close(), sys.back.Close(), sys.plane.Close()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(said.String(), "chmod 700") != want {
			t.Errorf("with %v it says %q", mode, said.String())
		}
	}
}

func TestDamageIsNamedAndSetAsideIntoTheLedger(t *testing.T) {
	w := newWorld(t)
	w.deliver(300)
	segments, err := filepath.Glob(w.data("log/*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0xff
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := w.play(LogCheck{})
	if ExitCode(err) != 8 || !strings.Contains(out, filepath.Base(segments[0])) {
		t.Fatalf("check of a damaged log: exit %d\n%s", ExitCode(err), out)
	}
	w.must(LogSkip{})
	w.must(LogCheck{})
	if out := w.must(LogSkip{}); !strings.Contains(out, "no damage") {
		t.Errorf("skipped twice: %s", out)
	}
	w.deliver(100)
}

func TestCatReadsFilesFoldersAndBuckets(t *testing.T) {
	w := newWorld(t)
	w.deliver(200)
	lines := func(out string) int { return strings.Count(out, "\n") }
	folder := w.must(Cat{Paths: []string{filepath.Join(w.dir, "bucket")}})
	bucket := w.must(Cat{Paths: []string{"s3://acme-currents/currents/"}, Connector: "acme/warehouse"})
	if lines(folder) != 200 || lines(bucket) != 200 {
		t.Errorf("%d lines from the folder, %d from the bucket, want 200", lines(folder), lines(bucket))
	}
	for line := range strings.Lines(folder) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil || e["id"] == "" || e["time"] == nil {
			t.Fatalf("%q is not an event: %v", line, err)
		}
	}
	file := w.objects()[0]
	schema := w.must(Cat{Paths: []string{file}, Schema: true})
	if !strings.HasPrefix(schema, `{"type":"record","namespace":"dataexport.S3.inner.`) {
		t.Errorf("the schema is %.100s", schema)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b[:len(b)-30], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.play(Cat{Paths: []string{file}}); !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), file) {
		t.Errorf("a file cut short: %v", err)
	}
	if _, err := w.play(Cat{Paths: []string{"s3://acme-currents/currents/"}}); !fault.Is(err, fault.Unauthorized) || Hint(err) == "" {
		t.Errorf("without credentials: %v", err)
	}
}

// The control plane is in PostgreSQL and the setting that says so is forgotten, or the file is lost.
func TestALogWithoutItsDatabaseGetsNoNewOneInSilence(t *testing.T) {
	w := newWorld(t)
	w.deliver(20)
	if err := os.Remove(w.data(databaseName)); err != nil {
		t.Fatal(err)
	}
	out, err := w.apply(w.manifest(""))
	if !fault.Is(err, fault.Conflict) || !strings.Contains(Hint(err), "MILLRACE_DATABASE_URL") || !strings.Contains(Hint(err), "millrace restore") {
		t.Fatalf("a new database beside the log: %v %s", err, out)
	}
	if _, err := os.Stat(w.data(databaseName)); err == nil {
		t.Error("it was made all the same")
	}
	if err := os.WriteFile(w.data(databaseName), nil, 0o600); err != nil { // as the hint says
		t.Fatal(err)
	}
	w.deliver(20)
}

func TestALostMasterKeyIsNotReplacedInSilence(t *testing.T) {
	w := newWorld(t)
	w.deliver(10)
	info, err := os.Stat(w.data(masterKeyName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the master key: %v, %v", info.Mode(), err)
	}
	if err := os.Remove(w.data(masterKeyName)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.play(Ledger{Connector: "warehouse"}); !fault.Is(err, fault.NotFound) || Hint(err) == "" {
		t.Errorf("without its key: %v", err)
	}
}

func TestAKeyThatAsksTooOftenIsToldWhenToComeAgain(t *testing.T) {
	w := newWorld(t)
	w.deliver(1)
	w.s.Environ = append(w.s.Environ, "MILLRACE_KEY_RATE_LIMIT=1")
	sys, _ := w.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.post(sys, "[]", 200)
	if res := w.post(sys, "[]", 429); res.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", res.Header.Get("Retry-After"))
	}
}

func TestTheLastUseOfAKeyIsKeptWhenTheServerStops(t *testing.T) {
	w := newWorld(t)
	began := time.Now().Truncate(time.Millisecond)
	w.deliver(1)
	p := w.open()
	acme, err := p.store.WorkspaceBy(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := p.store.Keys(t.Context(), acme.Number)
	if err != nil || len(keys) != 1 || keys[0].UsedAt.Before(began) {
		t.Errorf("the keys are %+v, %v", keys, err)
	}
}

func TestDurationsInJSONLogsSayTheirUnit(t *testing.T) {
	var out bytes.Buffer
	cfg, err := Settings{Environ: []string{"MILLRACE_LOG_FORMAT=json"}}.Load()
	if err != nil {
		t.Fatal(err)
	}
	newLogger(cfg, &Console{Err: &out}).With("wait", 2*time.Second).Info("x", "took", 1500*time.Microsecond, "events", 3)
	for _, want := range []string{`"took_ms":1.5`, `"wait_ms":2000`, `"events":3`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in %s", want, out.String())
		}
	}
}

// A loss is brought back by the command as mails and guides give it, which name no time.
func TestWhatWasDroppedIsReplayedWithoutATime(t *testing.T) {
	w := newWorld(t)
	w.deliver(20)
	if _, err := w.play(Replay{Connector: "warehouse"}); !fault.Is(err, fault.Invalid) || !strings.Contains(Sentence(err), "--from") || Hint(err) == "" {
		t.Errorf("recorded files of any time: %v", err)
	}
	again := Replay{Connector: "warehouse", Dropped: true}
	if out := w.must(again); !strings.Contains(out, "0 rows of the ledger") {
		t.Errorf("of a connector that lost nothing: %s", out)
	}
	w.must(ConnectorPause{"warehouse"})
	if _, err := w.play(again); !fault.Is(err, fault.Conflict) || !strings.Contains(Hint(err), "millrace connector resume acme/warehouse") {
		t.Errorf("of a paused connector: %v", err)
	}
}
