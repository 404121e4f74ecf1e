package e2e_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// A test connector delivers up to its cap and drops the rest, counted. Once it is upgraded everything is delivered, and
// what the cap dropped can be brought back.
func TestATestConnectorHasACapUntilItIsUpgraded(t *testing.T) {
	t.Parallel()
	const limit, sent = 100, 300
	w := &world{t: t, data: t.TempDir(), store: startStore(t), sent: map[string]bool{}}
	w.shelf = newShelf(w.store.root)
	w.server = newServer(t, w.data, append([]string{"MILLRACE_TEST_CONNECTOR_CAP=100"}, quick...)...)
	w.apply("test: true\n        flush: {interval: 1s, events: 100}")
	w.start()
	lanesReady(t, w.server, 1)

	w.send("capped", sent)
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(250 * time.Millisecond) {
		b := ledgerOf(t, w.server)
		s := b.sum()
		if s[0] == sent && s[3] == 0 {
			if s[1] == 0 || s[1] > limit {
				t.Errorf("a cap of %d let %d through", limit, s[1])
			}
			for _, d := range b.Dropped {
				if d.Reason != "cap" {
					t.Errorf("dropped for %s", d.Reason)
				}
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("accepted, delivered, dropped, waiting: %v", s)
		}
	}

	// The hour goes on: who waits for it hears so. Once it is complete, it is with losses.
	hour := ""
	for _, a := range ledgerOf(t, w.server).Audit {
		if a.Dropped > 0 {
			hour = a.Hour
		}
	}
	waits := func(timeout string, want int, says string) {
		t.Helper()
		stdout, stderr, code := call(t, w.env, "wait", "--connector", "warehouse", "--hour", hour, "--timeout", timeout)
		if code != want || !strings.Contains(stdout+stderr, says) {
			t.Errorf("wait for %s ends with exit %d, want %d, and says\n%s%s", hour, code, want, stdout, stderr)
		}
	}
	waits("0s", 7, "is not complete\n")
	waits("1s", 7, "is not complete after 1s\n")
	w.complete("warehouse", hour)
	waits("1m", 3, "were dropped")

	if out := must(t, w.env, "connector", "upgrade", "warehouse"); !strings.Contains(out, "acme/warehouse is upgraded") {
		t.Errorf("upgrade: %s", out)
	}
	time.Sleep(6 * time.Second) // what the server may take to know it
	w.send("full", 90)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(250 * time.Millisecond) {
		open := 0
		for _, d := range ledgerOf(t, w.server).Dropped {
			if !d.Settled {
				open++
			}
		}
		if open == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d losses are not settled", open)
		}
	}
	must(t, w.env, "replay", "--connector", "warehouse", "--dropped")
	w.delivered()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(250 * time.Millisecond) {
		if s := ledgerOf(t, w.server).sum(); s == [4]int64{sent + 90, sent + 90, 0, 0} {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("accepted, delivered, dropped, waiting: %v", s)
		}
	}
	waits("0s", 0, "all of ")
}

// complete writes down that an hour is complete, as the server does when it has ended: no test can wait for that.
func (w *world) complete(connector, hour string) {
	w.t.Helper()
	at, err := time.Parse("2006-01-02-15", hour)
	if err != nil {
		w.t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(w.data, "millrace.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("INSERT INTO hours_done (connector, hour, at) SELECT id, ?, ? FROM connectors WHERE name = ?", at.Unix()/3600, time.Now().UnixMilli(), connector); err != nil {
		w.t.Fatal(err)
	}
}
