package e2e_test

import (
	"strings"
	"testing"
	"time"
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
	must(t, w.env, "replay", "--connector", "warehouse", "--from", time.Now().UTC().Add(-24*time.Hour).Format(time.DateOnly), "--dropped")
	w.delivered()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(250 * time.Millisecond) {
		if s := ledgerOf(t, w.server).sum(); s == [4]int64{sent + 90, sent + 90, 0, 0} {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("accepted, delivered, dropped, waiting: %v", s)
		}
	}
}
