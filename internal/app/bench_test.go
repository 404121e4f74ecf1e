package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/event/sample"
)

// What bench sends in other shapes are the same good events, or it would measure refusals.
func TestShapesAreGoodEvents(t *testing.T) {
	c, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			maker, reader := sample.New(c, 1, nil), event.NewReader(c)
			ignored := 0
			for range 300 {
				plain := maker.Append(nil)
				shaped := s.rewrite(rand.New(rand.NewPCG(1, 1)), plain)
				record, _, res := reader.Read(nil, shaped, event.Options{IgnoreUnknown: s.name == "unknown"})
				if res.Problems != nil {
					t.Fatalf("%s\n%v", shaped, res.Problems)
				}
				ignored += res.Ignored
				want, _, _ := reader.Read(nil, plain, event.Options{})
				if same := bytes.Equal(record, want); same != (s.name != "long" || bytes.Equal(shaped, plain)) {
					t.Fatalf("%s\n%s\nthe same record: %v", plain, shaped, same)
				}
				if s.name == "escapes" && bytes.Count(shaped, []byte(`\u00`)) < 10 {
					t.Fatalf("hardly an escape in %s", shaped)
				}
			}
			if (ignored > 300) != (s.name == "unknown") {
				t.Errorf("%d unknown fields", ignored)
			}
		})
	}
}

// Bodies hold as many events as asked for, each with an id of its own.
func TestShapedBodiesHaveFreshIDs(t *testing.T) {
	c, err := event.NewCatalogue(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shapes {
		body := s.source(sample.New(c, 1, nil))(nil, 3*shapePool)
		d := json.NewDecoder(bytes.NewReader(body))
		seen := map[string]bool{}
		read := func(v any) {
			if err := d.Decode(v); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
		}
		type identified struct{ ID string }
		var all []identified
		if s.pretty {
			read(&all)
		} else {
			for d.More() {
				var e identified
				read(&e)
				all = append(all, e)
			}
		}
		for _, e := range all {
			seen[e.ID] = true
		}
		if len(all) != 3*shapePool || len(seen) != len(all) {
			t.Errorf("%s: %d events with %d ids, want %d", s.name, len(all), len(seen), 3*shapePool)
		}
	}
}

func TestScenariosAreFilesOfApply(t *testing.T) {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
		s = s.withDefaults()
		env := func(k string) (string, bool) {
			if k == "SECRET" {
				return benchSecret, true
			}
			return fmt.Sprintf("mr_%032d", len(k)) + k, true
		}
		m, err := control.ParseManifest("bench.yaml", []byte(s.manifest("http://127.0.0.1:9000")), env, nil)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		connectors := 0
		for _, w := range m.Workspaces {
			connectors += len(w.Connectors)
		}
		if want := s.connectors*s.workspaces + s.idle; connectors != want {
			t.Errorf("%s: %d connectors, want %d", s.name, connectors, want)
		}
		if _, ok := findShape(s.shape); !ok {
			t.Errorf("%s: there is no shape %q", s.name, s.shape)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(scenarios) {
		t.Errorf("two scenarios have one name: %v", names)
	}
}

// The table divides the server's figures by the floor's.
func TestBenchPrintsRatios(t *testing.T) {
	var out bytes.Buffer
	of := func(cpu ...float64) (all []Measured) {
		for _, v := range cpu {
			all = append(all, Measured{CPUPerMillion: v})
		}
		return all
	}
	Bench{}.print(&Console{Out: &out, Err: io.Discard}, scenarios[0].withDefaults(), of(9, 6, 8), of(4, 3, 5))
	if want := "CPU seconds per million events           6.00         8.00         3.00         4.00       2.00     2.00\n"; !bytes.Contains(out.Bytes(), []byte(want)) {
		t.Errorf("it prints\n%s", out.String())
	}
}
