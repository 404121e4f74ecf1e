package ingest

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
)

func TestALogBeginsOnceWithARecordThatMeansNothing(t *testing.T) {
	log := newMemoryLog()
	log.fail(func() error { return fault.New(fault.Unavailable, "append", "full") })
	if err := Begin(t.Context(), log); !fault.Is(err, fault.Unavailable) {
		t.Errorf("on a full disk: %v", err)
	}
	log.fail(nil)
	for range 2 {
		if err := Begin(t.Context(), log); err != nil {
			t.Fatal(err)
		}
	}
	if n := log.records(); n != 1 || log.commits[0].Kind != eventlog.Control {
		t.Fatalf("%d records", n)
	}
	for r := range log.commits[0].Records() {
		if d, err := control.DecodeRecord(r.Value); err != nil || d.Kind != recordClock || d.Config != nil {
			t.Errorf("the log begins with %+v, %v", d, err)
		}
	}
}

func TestAnHourIsMarkedOnlyWhenItHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, Config{})
		hour := eventlog.HourOf(time.Now())
		if err := h.in.AppendHourMark(t.Context(), hour); !fault.Is(err, fault.Conflict) || h.log.records() != 0 {
			t.Errorf("marked while it lasts: %v, %d records", err, h.log.records())
		}
		time.Sleep(time.Hour)
		if err := h.in.AppendHourMark(t.Context(), hour); err != nil {
			t.Fatal(err)
		}
		// The log's clock was shown to be past the hour; the next mark of it needs no further proof.
		if err := h.in.AppendHourMark(t.Context(), hour-1); err != nil {
			t.Fatal(err)
		}
		if got := marks(h.log); !slices.Equal(got, []eventlog.Hour{hour, hour - 1}) || h.log.records() != 3 {
			t.Errorf("marks %v in %d records", got, h.log.records())
		}
		time.Sleep(time.Hour)
		h.post(custom("a")) // shows it as well
		if err := h.in.AppendHourMark(t.Context(), hour+1); err != nil || h.log.records() != 5 {
			t.Errorf("%v, %d records", err, h.log.records())
		}
	})
}

func TestNoRecordAfterAMarkHasItsHourWhateverTheClockDoes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	synctest.Test(t, func(t *testing.T) {
		for range 30 {
			h := open(t, Config{})
			refused := 0
			for range 200 {
				switch random.IntN(5) {
				case 0:
					h.post(custom("a"))
				case 1: // the clock jumps between what the machine says now and what the log sees
					h.log.skew = time.Duration(random.IntN(240)-200) * time.Minute
				case 2:
					time.Sleep(time.Duration(random.IntN(90)) * time.Minute)
				case 3: // the process starts again, and knows nothing of the log's clock
					h.in = New(Config{}, h.deps(h.log))
				case 4:
					if err := h.in.AppendHourMark(t.Context(), eventlog.HourOf(time.Now())-eventlog.Hour(random.IntN(3))); err != nil {
						refused++
					}
				}
			}
			if len(marks(h.log)) == 0 || refused == 0 {
				t.Errorf("%d marks, %d refused: nothing was tried", len(marks(h.log)), refused)
			}
			marked := eventlog.Hour(-1)
			for _, c := range h.log.commits {
				if c.Hour() <= marked {
					t.Fatalf("a record of hour %s after the mark of %s", c.Hour(), marked)
				}
				if m, ok := markOf(c); ok {
					marked = max(marked, m)
				}
			}
		}
	})
}

func marks(l *memoryLog) (hours []eventlog.Hour) {
	for _, c := range l.commits {
		if h, ok := markOf(c); ok {
			hours = append(hours, h)
		}
	}
	return hours
}

// markOf reads a mark as it stands in the log.
func markOf(c *eventlog.Commit) (eventlog.Hour, bool) {
	if c.Kind != eventlog.Control || c.Workspace != 0 {
		return 0, false
	}
	for r := range c.Records() {
		for h := c.Hour(); h > c.Hour()-10; h-- {
			if string(r.Value) == string(control.EncodeRecord(control.Record{Kind: control.RecordHour, Hour: h})) {
				return h, true
			}
		}
	}
	return 0, false
}

func TestTestEventsAreOneOfEachTypeForOneConnector(t *testing.T) {
	own, err := event.NewCatalogue([]event.OwnFile{{Name: "visit.avsc", Data: []byte(`{"type":"record","name":"visit","namespace":"acme","schema_id":1000001,
		"fields":[{"name":"id","type":"string"},{"name":"time","type":"long"},{"name":"weight","type":["null","double"],"default":null},{"name":"tags","type":["null",{"type":"array","items":"string"}],"default":null}]}`)}})
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, Config{})
	d := h.deps(h.log)
	d.Catalogue = own
	h.in = New(Config{}, d)
	n, err := h.in.AppendTestEvents(t.Context(), 7, 42, own.Types())
	if err != nil || n != len(own.Types()) || len(h.log.commits) != 1 {
		t.Fatalf("%d events in %d commits: %v", n, len(h.log.commits), err)
	}
	c := h.log.commits[0]
	if c.Header != (eventlog.Header{Workspace: 7, Kind: eventlog.Events, Target: 42}) {
		t.Errorf("%+v", c.Header)
	}
	ids := map[string]bool{}
	i := 0
	for r := range c.Records() {
		s, ok := own.Schema(event.SchemaID(r.Schema))
		if !ok || s.Type != own.Types()[i] {
			t.Fatalf("record %d is of schema %d", i, r.Schema)
		}
		id, err := s.EventID(r.Value)
		if err != nil || !strings.HasPrefix(string(id), "test-") {
			t.Errorf("%s: id %s %v", s.Type.Name, id, err)
		}
		ids[string(id)] = true
		i++
	}
	if len(ids) != n {
		t.Errorf("%d ids of %d events", len(ids), n)
	}
	if _, err := h.in.AppendTestEvents(t.Context(), 7, 42, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("nothing selected: %v", err)
	}
}
