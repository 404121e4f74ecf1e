package app

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

func TestADeletedConnectorIsStillFoundByItsName(t *testing.T) {
	w := newWorld(t)
	w.deliver(20)
	w.must(ConnectorDelete{Connector: "warehouse"})
	sys, stop := w.serve() // ends its lane
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		lanes, err := sys.plane.store.Lanes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(lanes) == 0 {
			break
		}
		if time.Since(began) > 30*time.Second {
			t.Fatal("its lane does not end")
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	if out := w.must(ConnectorList{}); strings.Contains(out, "acme/warehouse") {
		t.Errorf("the list shows it among the others:\n%s", out)
	}
	if out := w.must(ConnectorList{Deleted: true}); !strings.Contains(out, "acme/warehouse  deleted") {
		t.Errorf("list --deleted prints\n%s", out)
	}
	listed := strings.Fields(w.must(ConnectorList{Deleted: true}))
	var shown struct{ ID, Status string }
	if err := json.Unmarshal([]byte(w.must(ConnectorShow{Connector: "acme/warehouse", JSON: true})), &shown); err != nil || shown.Status != "deleted" {
		t.Fatalf("show: %+v, %v", shown, err)
	}
	if listed[0] != "ID" || !slices.Contains(listed, shown.ID) {
		t.Errorf("list --deleted does not say the id %s: %q", shown.ID, listed)
	}
	for _, name := range []string{"warehouse", "acme/warehouse", shown.ID} {
		if out := w.must(Ledger{Connector: name}); !strings.Contains(out, "20") {
			t.Errorf("the ledger of %s:\n%s", name, out)
		}
	}
	if v, err := w.verdict(); !fault.Is(err, fault.Forbidden) || !strings.Contains(Hint(err), "millrace ledger --connector "+shown.ID) || len(v.Wrong) > 0 {
		t.Errorf("verify, which cannot look into the bucket: %+v %v", v, err)
	}
	if out, _ := w.play(Verify{Connector: "warehouse"}); strings.Contains(out, "no difference") {
		t.Errorf("verify compared nothing and says\n%s", out)
	}

	if _, err := w.play(ConnectorPause{Connector: "warehouse"}); !fault.Is(err, fault.NotFound) || !strings.Contains(Sentence(err), "deleted") || Hint(err) == "" {
		t.Errorf("pause: %v", err)
	}
	if _, err := w.play(Replay{Connector: "warehouse", From: "2026-01-01", Dropped: true}); !fault.Is(err, fault.Forbidden) || !strings.Contains(Sentence(err), "deleted") {
		t.Errorf("replay --dropped: %v", err)
	}

	// Another of its name takes its place; the former is still there by its id.
	if _, err := w.apply(w.manifest("")); err != nil {
		t.Fatal(Sentence(err))
	}
	if out := w.must(ConnectorShow{Connector: "warehouse"}); strings.Contains(out, shown.ID) || !strings.Contains(out, "active") {
		t.Errorf("a live connector does not win:\n%s", out)
	}
	if out := w.must(Ledger{Connector: shown.ID}); !strings.Contains(out, "20") {
		t.Errorf("the former's ledger by id:\n%s", out)
	}
	w.must(ConnectorDelete{Connector: "warehouse"})
	if out := w.must(ConnectorShow{Connector: "warehouse"}); strings.Contains(out, shown.ID) {
		t.Errorf("not the newest of the name:\n%s", out)
	}
	if out := w.must(ConnectorShow{Connector: shown.ID}); !strings.Contains(out, string(control.StatusDeleted)) {
		t.Errorf("by id:\n%s", out)
	}
}
