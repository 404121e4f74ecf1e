package app

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Bench measures what a million events cost on this machine.
type Bench struct {
	Scenario    []string `arg:"" optional:"" help:"What to measure, by name, or all; default: reference."`
	Floor       string   `placeholder:"PATH" help:"The program of tools/floor: runs take turns with it where it can play the scenario, and ratios are printed."`
	Rounds      int      `default:"1" help:"How many times each is run."`
	Events      int64    `placeholder:"N" help:"How many events to send; default: as many as the scenario says."`
	Per         int      `placeholder:"N" help:"Events in a request."`
	Connections int      `short:"c" placeholder:"N" help:"Requests at once."`
	Rate        float64  `placeholder:"N" help:"Events a second; without it, as fast as answers come."`
	Connectors  int      `placeholder:"N" help:"Connectors in each workspace, all taking all events."`
	Workspaces  int      `placeholder:"N" help:"Workspaces that events come for in turn."`
	Idle        int      `placeholder:"N" help:"Connectors that no event comes for."`
	Shape       string   `placeholder:"NAME" help:"How events are written: plain, pretty, long, escapes or unknown."`
	Dir         string   `placeholder:"DIR" help:"Where the fresh data folder is made, on the disk to measure; default: the current folder. It is removed at the end."`
	BucketDir   string   `name:"bucket-dir" placeholder:"DIR" help:"Where the S3 server keeps its objects; default: beside the data folder. On another disk, or in memory as /dev/shm, their writes stay out of the log's syncs, as a customer's store does. It is emptied at the end."`
	Seed        uint64   `default:"1" help:"Seed of the events."`
	JSON        bool     `name:"json" help:"As JSON, one document for each run."`
}

// Help teaches.
func (Bench) Help() string {
	return `A fresh server runs as a process of its own, with one connector that takes all types; producer and S3 server run in this process, so the figures are the server's alone: CPU time from the first request to the last file, and peak resident memory. Machines and their disks differ and share: compare runs of one sitting only, best with those of the floor, a program that does the least work possible for the same events.

The p99 of answers that counts is the one at a given rate:

    millrace bench answers

Scenarios:

` + scenarioHelp() + `
Flags change the scenario. As it stands it is held against its limits, as far as its runs tell: within the aim, acceptable at first, or over. What needs a ratio needs --floor. A scenario with several connectors takes turns with one connector alone, and tells what each further one costs.`
}

// Measured is the result of one run.
type Measured struct {
	Scenario string `json:"scenario,omitempty"`
	Program  string `json:"program,omitempty"` // server, floor, or alone: the server with one connector in each workspace

	Events           int64   `json:"events"`
	CPUPerMillion    float64 `json:"cpu_seconds_per_million"`
	EventsPerSecond  float64 `json:"events_per_second"`
	DeliveredSeconds float64 `json:"delivered_after_seconds"`
	P50              float64 `json:"answer_p50_ms"`
	P99              float64 `json:"answer_p99_ms"`
	PeakMemory       int64   `json:"peak_memory_bytes"`
	FsyncP50         float64 `json:"bare_fsync_p50_ms"`
	FsyncP99         float64 `json:"bare_fsync_p99_ms"`
	DiskPerEvent     float64 `json:"disk_bytes_per_event"`
	BucketPerEvent   float64 `json:"bucket_bytes_per_event"` // of one connector
	StartSeconds     float64 `json:"start_seconds,omitempty"`
	Files            int64   `json:"files"`
	Repeated         int64   `json:"requests_repeated"`
	OthersCores      float64 `json:"cores_used_by_others"` // during the run: the more, the less it says

	IdleCores        float64 `json:"idle_cores,omitempty"`                // while nothing came
	QuietP99         float64 `json:"quiet_answer_p99_ms,omitempty"`       // before an outage
	CatchUpP99       float64 `json:"catching_up_answer_p99_ms,omitempty"` // while its events were delivered
	CatchUpPerSecond float64 `json:"catching_up_events_per_second,omitempty"`
}

// figures are the rows of the printed table.
var figures = []struct {
	name string
	of   func(Measured) float64
	show func(float64) string
}{
	{"CPU seconds per million events", cpuPerMillion, decimals},
	{"events a second", eventsPerSecond, whole},
	{"answer, p50, ms", func(m Measured) float64 { return m.P50 }, decimals},
	{"answer, p99, ms", func(m Measured) float64 { return m.P99 }, decimals},
	{"bare fsync, p50, ms", func(m Measured) float64 { return m.FsyncP50 }, decimals},
	{"bare fsync, p99, ms", func(m Measured) float64 { return m.FsyncP99 }, decimals},
	{"peak resident memory, MiB", peakMiB, whole},
	{"disk bytes an event", func(m Measured) float64 { return m.DiskPerEvent }, whole},
	{"bucket bytes an event", func(m Measured) float64 { return m.BucketPerEvent }, whole},
	{"used by others meanwhile, cores", func(m Measured) float64 { return m.OthersCores }, decimals},
	{"start to ready, s", func(m Measured) float64 { return m.StartSeconds }, decimals},
	{"idle, share of a core", func(m Measured) float64 { return m.IdleCores }, func(v float64) string { return fmt.Sprintf("%.4f", v) }},
	{"before the outage, p99, ms", func(m Measured) float64 { return m.QuietP99 }, decimals},
	{"catching up, p99, ms", func(m Measured) float64 { return m.CatchUpP99 }, decimals},
	{"catching up, events a second", func(m Measured) float64 { return m.CatchUpPerSecond }, whole},
}

func decimals(v float64) string { return fmt.Sprintf("%.2f", v) }
func whole(v float64) string    { return thousands(int64(v)) }

// Run measures.
func (cmd Bench) Run(ctx context.Context, c *Console, set Settings) error {
	if cmd.Rounds < 1 || min(cmd.Events, int64(cmd.Per), int64(cmd.Connections), int64(cmd.Connectors), int64(cmd.Workspaces), int64(cmd.Idle)) < 0 || cmd.Rate < 0 {
		return Usage("numbers of bench are at least 1", "millrace bench --help shows how it is used")
	}
	if _, ok := findShape(cmd.Shape); !ok {
		return Usage(fmt.Sprintf("--shape %q is none of %s", cmd.Shape, strings.Join(shapeNames(), ", ")), "millrace bench --help shows how it is used")
	}
	// The S3 server is in this process too: who waits for an answer must see it at once, and not when an object has been read.
	runtime.GOMAXPROCS(4 * cores())
	names := cmd.Scenario
	switch {
	case len(names) == 0:
		names = []string{"reference"}
	case slices.Equal(names, []string{"all"}):
		names = nil
		for _, s := range scenarios {
			names = append(names, s.name)
		}
	}
	var chosen []scenario
	for _, n := range names {
		s, err := findScenario(n)
		if err != nil {
			return err
		}
		chosen = append(chosen, cmd.change(s))
	}
	for _, s := range chosen {
		if err := cmd.compare(ctx, c, s, set.Environ); err != nil {
			return err
		}
	}
	return nil
}

// change gives the scenario with what the flags say instead.
func (cmd Bench) change(s scenario) scenario {
	s.events, s.per, s.connections = cmp.Or(cmd.Events, s.events), cmp.Or(cmd.Per, s.per), cmp.Or(cmd.Connections, s.connections)
	s.rate, s.shape = cmp.Or(cmd.Rate, s.rate), cmp.Or(cmd.Shape, s.shape)
	s.connectors, s.workspaces, s.idle = cmp.Or(cmd.Connectors, s.connectors), cmp.Or(cmd.Workspaces, s.workspaces), cmp.Or(cmd.Idle, s.idle)
	s.outage = min(s.outage, s.events*9/10)
	// The floor has one connector and takes lines.
	s.floor = s.floor && s.connectors <= 1 && s.shape != "pretty" && cmd.Floor != ""
	return s.withDefaults()
}

// compare runs one scenario, the server in turns with what it is compared with, and prints what came of it.
func (cmd Bench) compare(ctx context.Context, c *Console, s scenario, environ []string) error {
	r := results{scenario: s}
	run := func(to *[]Measured, s scenario, program, path string) error {
		m, err := runBench(ctx, c, s, cmd, environ, path)
		if err != nil {
			return err
		}
		if len(cmd.Scenario) > 0 || cmd.Floor != "" {
			m.Scenario, m.Program = s.name, program
		}
		*to = append(*to, m)
		if cmd.JSON {
			return c.JSON(m)
		}
		return nil
	}
	for range cmd.Rounds {
		if err := run(&r.server, s, "server", ""); err != nil {
			return err
		}
		if s.floor {
			if err := run(&r.floor, s, "floor", cmd.Floor); err != nil {
				return err
			}
		}
		if s.connectors > 1 {
			alone := s
			alone.connectors = 1
			if err := run(&r.alone, alone, "alone", ""); err != nil {
				return err
			}
		}
	}
	if !cmd.JSON {
		r.print(c)
	}
	return nil
}

// print shows minimum and median of each figure, and the server's divided by those of what it is compared with.
func (r results) print(c *Console) {
	s, last := r.scenario, r.server[len(r.server)-1]
	c.Print("%s: %s; %s events in requests of %d, %d connections, %d files", s.name, s.what, thousands(last.Events), s.per, s.connections, last.Files)
	beside, with := r.floor, "floor"
	if len(r.alone) > 0 {
		beside, with = r.alone, "alone"
	}
	head := fmt.Sprintf("%-32s %12s %12s", "", "server min", "median")
	if len(beside) > 0 {
		head += fmt.Sprintf(" %12s %12s %10s %8s", with+" min", "median", "ratio min", "median")
	}
	c.Print("%s", head)
	for _, f := range figures {
		least, middle := minMedian(r.server, f.of)
		if least == 0 && middle == 0 {
			continue
		}
		line := fmt.Sprintf("%-32s %12s %12s", f.name, f.show(least), f.show(middle))
		if otherLeast, otherMiddle := minMedian(beside, f.of); otherLeast > 0 {
			line += fmt.Sprintf(" %12s %12s %10.2f %8.2f", f.show(otherLeast), f.show(otherMiddle), least/otherLeast, middle/otherMiddle)
		}
		c.Print("%s", line)
	}
	if last.Repeated > 0 {
		c.Print("%d requests repeated", last.Repeated)
	}
	if v := r.further(); v != 0 {
		c.Print("each further connector costs %.2f of what one costs alone (CPU, medians)", v)
	}
	r.printLimits(c)
	c.Print("")
}

func minMedian(ms []Measured, of func(Measured) float64) (least, median float64) {
	if len(ms) == 0 {
		return 0, 0
	}
	var vs []float64
	for _, m := range ms {
		vs = append(vs, of(m))
	}
	slices.Sort(vs)
	return vs[0], vs[len(vs)/2]
}
