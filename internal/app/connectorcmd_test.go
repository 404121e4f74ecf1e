package app

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/fault"
)

func TestAnActionThatChangesNothingSaysSo(t *testing.T) {
	w := newWorld(t)
	if _, err := w.apply(w.manifest("")); err != nil {
		t.Fatal(Sentence(err))
	}
	const name = "acme/warehouse"
	for _, step := range []struct {
		does runner
		says string
	}{
		{ConnectorUpgrade{name}, name + " is no test connector: nothing changed"},
		{ConnectorResume{name}, name + " is not paused: nothing changed"},
		{ConnectorPause{name}, name + " is paused\n"},
		{ConnectorPause{name}, name + " is paused already: nothing changed"},
		{ConnectorResume{name}, name + " is resumed\n"},
		{ConnectorDelete{name}, name + " is deleted\n"},
		{ConnectorDelete{name}, name + " is deleted already: nothing changed"},
	} {
		if out := w.must(step.does); !strings.HasPrefix(out, step.says) {
			t.Errorf("%T prints %q, want %q", step.does, out, step.says)
		}
	}
	for _, does := range []runner{ConnectorUpgrade{name}, ConnectorResume{name}} {
		if out, err := w.play(does); !fault.Is(err, fault.NotFound) {
			t.Errorf("%T of a deleted connector: %q %v", does, out, err)
		}
	}
}

func TestTestEventsOfAPausedConnectorSayWhatTheyWaitFor(t *testing.T) {
	w := newWorld(t)
	if _, err := w.apply(w.manifest("        paused: true\n")); err != nil {
		t.Fatal(Sentence(err))
	}
	sys, stop := w.serve()
	if err := sys.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out := w.must(ConnectorTestEvents{Connector: "warehouse"}); !strings.Contains(out, "millrace connector resume acme/warehouse") {
		t.Errorf("of the pause nothing is said: %s", out)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
