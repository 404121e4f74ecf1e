package app

import "fmt"

// results are the runs of one scenario.
type results struct {
	scenario scenario
	server   []Measured
	floor    []Measured
	alone    []Measured // the server with one connector in each workspace; only where the scenario has more
}

// median gives the middle of a figure; 0 if there are no runs.
func median(ms []Measured, of func(Measured) float64) float64 {
	_, m := minMedian(ms, of)
	return m
}

// overFloor divides the server's median by the floor's; 0 without a floor.
func (r results) overFloor(of func(Measured) float64) float64 {
	if f := median(r.floor, of); f > 0 {
		return median(r.server, of) / f
	}
	return 0
}

// further is what each connector beyond the first costs, as a share of what the server costs with one; 0 if not known.
func (r results) further() float64 {
	one := median(r.alone, cpuPerMillion)
	if one == 0 {
		return 0
	}
	return (median(r.server, cpuPerMillion) - one) / float64(r.scenario.connectors-1) / one
}

func cpuPerMillion(m Measured) float64   { return m.CPUPerMillion }
func eventsPerSecond(m Measured) float64 { return m.EventsPerSecond }
func peakMiB(m Measured) float64         { return float64(m.PeakMemory) / (1 << 20) }

// limit is what a figure of a scenario is to keep to.
type limit struct {
	scenario, name string
	of             func(results) float64 // 0: these runs do not tell
	aim            float64
	acceptable     float64 // what is acceptable at first; 0: nothing but the aim
	least          bool    // the figure is to be at least that, and not at most
}

// limits are those of docs/performance.md.
var limits = []limit{
	{scenario: "reference", name: "CPU, server / floor", aim: 1, acceptable: 1.3, of: func(r results) float64 { return r.overFloor(cpuPerMillion) }},
	{scenario: "reference", name: "events a second, server / floor", aim: 1, acceptable: .75, least: true, of: func(r results) float64 { return r.overFloor(eventsPerSecond) }},
	{scenario: "reference", name: "peak memory, MiB", aim: 300, of: func(r results) float64 { return median(r.server, peakMiB) }},
	{scenario: "answers", name: "p99 / (10 ms or two bare fsyncs)", aim: 1, acceptable: 2, of: func(r results) float64 {
		fsync := median(r.server, func(m Measured) float64 { return m.FsyncP99 })
		return median(r.server, func(m Measured) float64 { return m.P99 }) / max(10, 2*fsync)
	}},
	// Acceptable is its own deflate and a tenth; deflate is 49 % of what the floor costs.
	{scenario: "connectors-20", name: "each further connector / one", aim: .15, acceptable: .59, of: results.further},
	{scenario: "connectors-20", name: "peak memory, MiB", aim: 600, of: func(r results) float64 { return median(r.server, peakMiB) }},
	{scenario: "idle-1000", name: "idle, share of a core", aim: .01, of: func(r results) float64 { return median(r.server, func(m Measured) float64 { return m.IdleCores }) }},
	{scenario: "idle-1000", name: "peak memory, MiB", aim: 200, of: func(r results) float64 { return median(r.server, peakMiB) }},
	{scenario: "long-log", name: "start to ready, s", aim: 1, of: func(r results) float64 { return median(r.server, func(m Measured) float64 { return m.StartSeconds }) }},
	{scenario: "outage", name: "p99 catching up / before", aim: 2, of: func(r results) float64 {
		return median(r.server, func(m Measured) float64 { return m.CatchUpP99 / m.QuietP99 })
	}},
}

// verdict says where v lies.
func (l limit) verdict(v float64) string {
	within := func(limit float64) bool { return limit > 0 && (v == limit || (v < limit) != l.least) }
	switch {
	case within(l.aim):
		return "within the aim"
	case within(l.acceptable):
		return "acceptable at first"
	}
	return "over"
}

// printLimits says of each limit of the scenario whether it is kept, as far as the runs tell. A scenario that flags have
// changed has none.
func (r results) printLimits(c *Console) {
	asItStands, err := findScenario(r.scenario.name)
	asItStands.floor = r.scenario.floor
	if err != nil || asItStands.withDefaults() != r.scenario {
		return
	}
	head := false
	for _, l := range limits {
		v := 0.0
		if l.scenario == r.scenario.name {
			v = l.of(r)
		}
		if v == 0 {
			continue
		}
		if !head {
			c.Print("%-32s %12s %12s %12s", "limit, by medians", "measured", "aim", "acceptable")
			head = true
		}
		acceptable := "-"
		if l.acceptable > 0 {
			acceptable = decimals(l.acceptable)
		}
		c.Print("%-32s %12s %12s %12s  %s", l.name, fmt.Sprintf("%.3g", v), decimals(l.aim), acceptable, l.verdict(v))
	}
}
