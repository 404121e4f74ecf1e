package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// world is a server with one connector, acme/warehouse, its folder, its store with a proxy before it, and what was
// sent so far.
type world struct {
	*server
	t     *testing.T
	data  string
	store store
	proxy *proxy
	shelf *shelf
	sent  map[string]bool
	lines string // of the connector
}

func newWorld(t *testing.T, env ...string) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir(), env...)
}

// newWorldIn is newWorld with the data folder in dir.
func newWorldIn(t *testing.T, dir string, env ...string) *world {
	t.Helper()
	w := &world{t: t, data: dir, store: startStore(t), sent: map[string]bool{}}
	w.proxy = startProxy(t, w.store.endpoint)
	w.store.endpoint = w.proxy.URL
	w.shelf = newShelf(w.store.root)
	w.server = newServer(t, w.data, append(env, quick...)...)
	w.apply("flush: {interval: 1s, events: 100}")
	w.start()
	lanesReady(t, w.server, 1)
	return w
}

// apply changes the connector to these lines; the store may have changed, too.
func (w *world) apply(lines string) {
	w.t.Helper()
	w.lines = lines
	must(w.t, append(w.env, "ACME_S3_SECRET="+w.store.secret, "ACME_PRODUCER_KEY="+producerKey), "apply", "-f", write(w.t, "apply.yaml", w.store.manifest(lines)))
}

// send sends n events whose ids begin with name, in two requests.
func (w *world) send(name string, n int) {
	w.t.Helper()
	for half := range 2 {
		var body strings.Builder
		for k := half; k < n; k += 2 {
			id := fmt.Sprintf("%s-%d", name, k)
			w.sent[id] = true
			body.WriteString(eventOf(id, k))
		}
		if status, _, answer, err := w.post(producerKey, "", []byte(body.String())); err != nil || status != 200 {
			w.t.Fatalf("status %d: %s %v", status, answer, err)
		}
	}
}

// forget takes events out of what is expected.
func (w *world) forget(name string) {
	for id := range w.sent {
		if strings.HasPrefix(id, name+"-") {
			delete(w.sent, id)
		}
	}
}

// delivered waits until everything that was sent is there, once.
func (w *world) delivered() {
	w.t.Helper()
	w.shelf.waitFor(w.t, w.sent, 40*time.Second)
	if w.t.Failed() {
		w.t.FailNow()
	}
}

// refusesToStart runs the server and wants it to end by itself, saying so.
func (w *world) refusesToStart(says ...string) {
	w.t.Helper()
	before := len(w.output())
	w.spawn()
	select {
	case <-w.done:
	case <-time.After(20 * time.Second):
		w.kill()
		w.t.Fatal("the server runs on a world that was changed behind its back")
	}
	if code := w.cmd.ProcessState.ExitCode(); code == 0 {
		w.t.Error("it refuses with exit code 0")
	}
	for _, s := range append(says, "log accept") {
		if !strings.Contains(w.output()[before:], s) {
			w.t.Errorf("no %q in what it said:\n%s", s, w.output()[before:])
		}
	}
}

// agrees stops the server and lets verify compare everything.
func (w *world) agrees() {
	w.t.Helper()
	w.stop()
	if out, stderr, code := call(w.t, w.env, "verify", "--connector", "acme/warehouse"); code != 0 {
		w.t.Errorf("verify: exit %d\n%s%s", code, out, stderr)
	}
	w.shelf.unchanged(w.t)
	w.proxy.report(w.t)
}

// drops gives the ledger's drops by reason: how many rows, and how many events as far as they are known.
func (w *world) drops() map[string][2]int64 {
	w.t.Helper()
	var l struct {
		Dropped []struct {
			Reason string
			Events int64
		}
	}
	out := must(w.t, w.env, "ledger", "--connector", "acme/warehouse", "--json")
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		w.t.Fatal(err)
	}
	sum := map[string][2]int64{}
	for _, d := range l.Dropped {
		v := sum[d.Reason]
		sum[d.Reason] = [2]int64{v[0] + 1, v[1] + max(0, d.Events)}
	}
	return sum
}

// copyTree copies files and folders as they are, without what a file system keeps beside their bytes.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// database saves the database of a stopped server and gives what puts it back.
func (w *world) database() (restore func()) {
	w.t.Helper()
	names, err := filepath.Glob(filepath.Join(w.data, "millrace.db*"))
	if err != nil || len(names) == 0 {
		w.t.Fatalf("no database: %v", err)
	}
	saved := map[string][]byte{}
	for _, name := range names {
		if saved[name], err = os.ReadFile(name); err != nil {
			w.t.Fatal(err)
		}
	}
	return func() {
		w.t.Helper()
		names, _ := filepath.Glob(filepath.Join(w.data, "millrace.db*")) // the pattern is good
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				w.t.Fatal(err)
			}
		}
		for name, b := range saved {
			if err := os.WriteFile(name, b, 0o600); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// noFiles lets everything through but files, as a store in trouble.
func noFiles(r *http.Request) mishap {
	if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".avro") {
		return internalError
	}
	return none
}

// The log is gone, database and bucket stay: what was not delivered is lost, and the ledger says so; nothing that is
// in the bucket is written again, although the new log counts from the beginning and meets the old keys.
func TestALostLogIsRefusedThenAcceptedAndListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send("before", 300)
	w.delivered()
	time.Sleep(time.Second) // the position is saved within a second
	w.proxy.set(noFiles)
	w.send("lost", 90)
	w.kill()
	if err := os.RemoveAll(filepath.Join(w.data, "log")); err != nil {
		t.Fatal(err)
	}
	w.proxy.calm()
	w.refusesToStart()
	must(t, w.env, "log", "accept")
	w.start()
	lanesReady(t, w.server, 1)
	w.forget("lost")
	w.send("after", 300)
	w.delivered()
	w.agrees()
	if d := w.drops(); d["log_lost"][0] != 1 || len(d) != 1 {
		t.Errorf("the ledger lists %v, want one row of reason log_lost", d)
	}
}

// An old copy of the log is put back: refused, then accepted; its offsets are given a second time and meet files of
// the first time, which stay.
func TestALogThatWasSetBackIsRefusedThenAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send("before", 150)
	w.delivered()
	w.stop()
	old := t.TempDir()
	copyTree(t, filepath.Join(w.data, "log"), old)
	w.start()
	w.send("between", 150)
	w.delivered()
	time.Sleep(time.Second) // the position is saved within a second
	w.proxy.set(noFiles)
	w.send("lost", 60)
	w.kill()
	if err := os.RemoveAll(filepath.Join(w.data, "log")); err != nil {
		t.Fatal(err)
	}
	copyTree(t, old, filepath.Join(w.data, "log"))
	w.proxy.calm()
	w.refusesToStart("set back")
	must(t, w.env, "log", "accept")
	w.start()
	w.forget("lost")
	w.send("after", 200)
	w.delivered()
	w.agrees()
	if d := w.drops(); d["log_lost"][0] != 1 || len(d) != 1 {
		t.Errorf("the ledger lists %v, want one row of reason log_lost", d)
	}
}

// An old copy of the database is put back: what the bucket holds is found there by its keys, taken into the ledger
// and not written again.
func TestADatabaseOlderThanBucketAndLog(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env     []string
		trimmed bool // the log does not go back to the database's position either
		bare    bool // the objects have lost their metadata, as copies of a bucket do
	}{
		"and nothing else is wrong":           {},
		"and the bucket's objects are copies": {bare: true},
		"and the log is trimmed":              {env: []string{"MILLRACE_LOG_RETENTION=1s"}, trimmed: true},
	} {
		if c.trimmed && !long() {
			continue // the log waits half a minute for cursors that have nothing to say
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.env...)
			w.send("before", 150)
			w.delivered()
			w.stop()
			restore := w.database()
			w.start()
			w.send("between", 300)
			w.delivered()
			if c.trimmed {
				// Each start begins a segment, and the one before it may go.
				w.stop()
				w.start()
				for began := time.Now(); !strings.Contains(w.output(), "log: trimmed"); time.Sleep(200 * time.Millisecond) {
					if time.Since(began) > time.Minute {
						t.Fatal("the log is not trimmed")
					}
				}
			}
			w.stop()
			restore()
			if c.bare {
				w.store.strip(t)
				asked := map[string]bool{}
				w.proxy.set(func(r *http.Request) mishap {
					// What tells whose an object is must not be taken from an answer that is none.
					if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, ".avro") || asked[r.URL.Path] {
						return none
					}
					asked[r.URL.Path] = true
					return []mishap{errorIn200, cutAnswer, internalError}[len(asked)%3]
				})
			}
			w.start()
			w.send("after", 150)
			w.delivered()
			w.proxy.calm()
			w.agrees()
			d := w.drops()
			if c.trimmed && (d["trimmed"][0] != 1 || len(d) != 1) || !c.trimmed && len(d) > 0 {
				t.Errorf("the ledger lists drops: %v", d)
			}
			if c.bare && w.proxy.happened()[errorIn200] == 0 {
				t.Error("no object was read")
			}
		})
	}
}

// Selection, transformations and bucket change twice while nothing can be delivered; the process is killed and
// begins from a position before all of it. Each event is where the configuration at its place in the log wanted it,
// and as it wanted it.
func TestChangesAreDecidedByTheirPlaceInTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.store
	w.send("one", 90)
	w.delivered()
	w.proxy.set(noFiles)
	w.send("two", 90)
	second, third := first, first
	second.bucket, third.bucket = "acme-second", "acme-third"
	for i, s := range []*store{&second, &third} {
		s.root = filepath.Join(filepath.Dir(first.root), s.bucket)
		s.versity.CreateBucket(t, s.bucket, false)
		s.versity.SetPolicy(t, "currents", currentsPolicies("acme-currents", "acme-second", "acme-third"))
		time.Sleep(iamDelay)
		w.store = *s
		w.apply([]string{
			"transformations: [{field: email_address, action: hash}]\n        events: [users.messages.email.Open, users.behaviors.Purchase]\n        flush: {interval: 1s, events: 100}",
			"transformations: [{field: email_address, action: remove}]\n        events: [all]\n        flush: {interval: 1s, events: 100}",
		}[i])
		for began := time.Now(); strings.Count(w.output(), `"configuration recorded"`) < i+2; time.Sleep(50 * time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("a change is not recorded")
			}
		}
		w.send([]string{"three", "four"}[i], 90)
	}
	w.kill()
	w.proxy.calm()
	w.start()
	w.send("five", 90)

	open := func(k int) bool { return k%3 == 0 }
	want := []struct {
		store store
		ids   map[string]bool
		email func(clear string) string
	}{
		{first, map[string]bool{}, func(s string) string { return s }},
		{second, map[string]bool{}, func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }},
		{third, map[string]bool{}, func(string) string { return "[REDACTED]" }},
	}
	emails := map[string]string{}
	for k := range 90 {
		for i, batch := range []string{"one", "two", "three", "four", "five"} {
			id := fmt.Sprintf("%s-%d", batch, k)
			if open(k) {
				emails[id] = fmt.Sprintf("maría%d@example.com", k)
			}
			to := []int{0, 0, 1, 2, 2}[i]
			if to != 1 || k%3 != 1 { // custom events were not selected
				want[to].ids[id] = true
			}
		}
	}
	for _, x := range want {
		shelf := newShelf(x.store.root)
		shelf.waitFor(t, x.ids, 40*time.Second)
		for name := range shelf.read {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			records, err := readGoavro(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				id := r["id"].(string)
				clear, has := emails[id]
				if !has {
					continue
				}
				if got := value(r["email_address"]); got != x.email(clear) {
					t.Errorf("%s in %s has the address %q, want %q", id, x.store.bucket, got, x.email(clear))
				}
			}
		}
	}
	w.stop()
	if out, stderr, code := call(t, w.env, "verify", "--connector", "acme/warehouse"); code != 0 {
		t.Errorf("verify: exit %d\n%s%s", code, out, stderr)
	}
	w.proxy.report(t)
}

// An old database is put back that does not know of a hash rule and of another folder: both stand in the log. What is
// to be hashed stays hashed; credentials, which no log holds, are asked for by parking and come with the next apply.
func TestAnOldDatabaseLearnsTheConfigurationFromTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send("before", 90)
	w.delivered()
	w.stop()
	restore := w.database()
	w.start()
	w.store.folder = "moved"
	lines := "transformations: [{field: email_address, action: hash}]\n        flush: {interval: 1s, events: 100}"
	w.apply(lines)
	for began := time.Now(); strings.Count(w.output(), `"configuration recorded"`) < 2; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the change is not recorded")
		}
	}
	w.send("between", 90)
	w.delivered()
	w.stop()
	restore()
	w.start()
	w.send("after", 90)
	for began := time.Now(); sum(get(t, "http://"+metricsOf(w.server)+"/metrics"), "millrace_delivery_state", `state="failing"`) == 0; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatal("a connector without credentials does not park")
		}
	}
	w.apply(lines)
	w.delivered()
	for name := range w.shelf.read {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		records, err := readGoavro(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if e, ok := value(r["email_address"]).(string); ok && strings.Contains(e, "@") == strings.Contains(name, "/moved/") {
				t.Errorf("%s has the address %q in %s", r["id"], e, name)
			}
		}
	}
	w.agrees()
	if d := w.drops(); len(d) > 0 {
		t.Errorf("the ledger lists drops: %v", d)
	}
}

// value is a field that may be null, as goavro gives it.
func value(v any) any {
	if m, ok := v.(map[string]any); ok {
		return m["string"]
	}
	return v
}
