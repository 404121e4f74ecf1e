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

// endLanes runs the server until only so many lanes are left.
func (w *world) endLanes(left int) {
	w.t.Helper()
	sys, stop := w.serve()
	if err := sys.awaitReady(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := sys.plane.awaitRecorded(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		lanes, err := sys.plane.store.Lanes(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if len(lanes) == left {
			break
		}
		if time.Since(began) > 30*time.Second {
			w.t.Fatalf("%d lanes do not end", len(lanes)-left)
		}
	}
	if err := stop(); err != nil {
		w.t.Fatal(err)
	}
}

// What a connector delivered before it moved cannot be looked at: nobody is told that it was.
func TestVerifyCountsWhatItCannotLookAtApart(t *testing.T) {
	w := newWorld(t)
	w.deliver(20)
	if out, err := w.apply(strings.Replace(w.manifest(""), "bucket: acme-currents", "bucket: acme-currents, folder: elsewhere", 1)); err != nil {
		t.Fatalf("%s\n%s", Sentence(err), out)
	}
	w.endLanes(1)
	out, err := w.play(Verify{Connector: "warehouse"})
	if ExitCode(err) != 4 || !strings.Contains(Sentence(err), "20 events") || !strings.Contains(Hint(err), "millrace ledger") {
		t.Errorf("exit %d: %v\n%s", ExitCode(err), err, out)
	}
	if strings.Contains(out, "20 events compared") || strings.Contains(out, "no difference") || !strings.Contains(out, "not compared: 20 events of the log") {
		t.Errorf("it prints\n%s", out)
	}
}

func TestADeletedConnectorIsStillFoundByItsName(t *testing.T) {
	w := newWorld(t)
	w.deliver(20)
	w.must(ConnectorDelete{Connector: "warehouse"})
	w.endLanes(0)

	if out := w.must(ConnectorList{}); strings.Contains(out, "acme/warehouse") {
		t.Errorf("the list shows it among the others:\n%s", out)
	}
	if out := w.must(ConnectorList{Deleted: true}); !strings.Contains(out, "acme/warehouse  deleted") {
		t.Errorf("list --deleted prints\n%s", out)
	}
	// What it delivered with was erased: of a role nothing is left that would tell it from a key.
	var all struct{ Connectors []map[string]any }
	if err := json.Unmarshal([]byte(w.must(ConnectorList{Deleted: true, JSON: true})), &all); err != nil || len(all.Connectors) != 1 || all.Connectors[0]["method"] != nil {
		t.Errorf("list --deleted knows its method: %v %v", all, err)
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
	if out, _ := w.play(Verify{Connector: "warehouse"}); strings.Contains(out, "no difference") || strings.Contains(out, "compared with") || strings.Contains(out, "0 files") {
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
