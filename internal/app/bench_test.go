package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
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
	results{scenario: scenarios[0].withDefaults(), server: of(9, 6, 8), floor: of(4, 3, 5)}.print(&Console{Out: &out, Err: io.Discard})
	if want := "CPU seconds per million events           6.00         8.00         3.00         4.00       2.00     2.00\n"; !bytes.Contains(out.Bytes(), []byte(want)) {
		t.Errorf("it prints\n%s", out.String())
	}
}

// A scenario as it stands is held against its limits, as far as its runs tell; one that flags have changed is not.
func TestBenchSaysWhatIsWithinTheLimits(t *testing.T) {
	of := func(cpu, rate float64, mib int64) []Measured {
		return []Measured{{CPUPerMillion: cpu, EventsPerSecond: rate, PeakMemory: mib << 20}}
	}
	for name, x := range map[string]struct {
		scenario      string
		floor         string
		change        func(*Bench)
		server, other []Measured
		want, wantNot []string
	}{
		"quicker than the floor": {
			scenario: "reference", floor: "floor", server: of(6, 300_000, 287), other: of(6, 200_000, 213),
			want: []string{
				"CPU, server / floor                         1         1.00         1.30  within the aim\n",
				"events a second, server / floor           1.5         1.00         0.75  within the aim\n",
				"peak memory, MiB                          287       300.00            -  within the aim\n",
			},
		},
		"a little slower": {
			scenario: "reference", floor: "floor", server: of(7.2, 160_000, 301), other: of(6, 200_000, 213),
			want: []string{" 1.2         1.00         1.30  acceptable at first\n", " 0.8         1.00         0.75  acceptable at first\n", " 301       300.00            -  over\n"},
		},
		"much slower": {
			scenario: "reference", floor: "floor", server: of(8.4, 140_000, 100), other: of(6, 200_000, 213),
			want: []string{" 1.4         1.00         1.30  over\n", " 0.7         1.00         0.75  over\n"},
		},
		"without a floor": {
			scenario: "reference", server: of(6, 300_000, 287),
			want: []string{"peak memory, MiB"}, wantNot: []string{"server / floor"},
		},
		"with another load": {
			scenario: "reference", floor: "floor", change: func(b *Bench) { b.Events = 1000 }, server: of(6, 300_000, 287), other: of(6, 200_000, 213),
			wantNot: []string{"within", "acceptable", "over\n"},
		},
		"20 connectors and one": {
			scenario: "connectors-20", server: of(29, 100_000, 297), other: of(10, 200_000, 200),
			want: []string{"each further connector costs 0.10 of what one costs alone", "each further connector / one              0.1         0.15         0.59  within the aim\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := findScenario(x.scenario)
			if err != nil {
				t.Fatal(err)
			}
			cmd := Bench{Floor: x.floor}
			if x.change != nil {
				x.change(&cmd)
			}
			r := results{scenario: cmd.change(s), server: x.server, floor: x.other}
			if s.connectors > 1 {
				r.floor, r.alone = nil, x.other
			}
			var out bytes.Buffer
			r.print(&Console{Out: &out, Err: io.Discard})
			for _, w := range x.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("it does not say %q:\n%s", w, out.String())
				}
			}
			for _, w := range x.wantNot {
				if strings.Contains(out.String(), w) {
					t.Errorf("it says %q:\n%s", w, out.String())
				}
			}
		})
	}
	for _, l := range limits {
		if _, err := findScenario(l.scenario); err != nil {
			t.Errorf("a limit is of no scenario: %v", err)
		}
	}
}
