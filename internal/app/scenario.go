package app

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// scenario is a load and the system it is played to.
type scenario struct {
	name string
	what string

	events      int64
	per         int     // events in a request; 0: 1,000
	connections int     // 0: 16
	rate        float64 // events a second; 0: as fast as answers come, as the events of an outage always do

	connectors int // in each workspace that events come for, all taking all of them; 0: 1
	workspaces int // that events come for in turn; 0: 1
	idle       int // connectors in workspaces for which no event comes
	shape      string

	logBefore int64         // bytes of events in the log before the start
	watch     time.Duration // how long the server is watched before any event comes
	outage    int64         // events accepted while the bucket is away; the others come before and meanwhile
	profiles  bool          // people are kept up from the events
	floor     bool          // the floor can play it too
}

// scenarios are what `make bench` measures, in this order; each is repeated alone by its name.
var scenarios = []scenario{
	{name: "reference", what: "as fast as answers come, one connector", events: 3_000_000, floor: true},
	{name: "profiles", what: "the same, with user profiles kept up", events: 1_000_000, profiles: true},
	{name: "answers", what: "50,000 events a second in requests of 100", events: 1_500_000, per: 100, rate: 50_000, floor: true},
	{name: "connectors-20", what: "20 connectors take the same stream", events: 1_000_000, connectors: 20},
	{name: "connectors-200", what: "200 connectors take the same stream", events: 200_000, connectors: 200},
	{name: "workspaces-50", what: "50 workspaces with a connector each", events: 1_500_000, workspaces: 50},
	{name: "idle-1000", what: "1,000 connectors without events, watched for 30 s", events: 1_000, idle: 1000, watch: 30 * time.Second},
	{name: "requests-1", what: "one event in a request", events: 200_000, per: 1, connections: 64, floor: true},
	{name: "requests-10", what: "10 events in a request", events: 1_000_000, per: 10, connections: 64, floor: true},
	{name: "requests-100", what: "100 events in a request", events: 2_000_000, per: 100, floor: true},
	{name: "pretty", what: "events indented, in arrays", events: 1_000_000, shape: "pretty"},
	{name: "long", what: "names of 2 KiB", events: 300_000, per: 200, shape: "long", floor: true},
	{name: "escapes", what: "escapes in every text", events: 1_000_000, shape: "escapes", floor: true},
	{name: "unknown", what: "one field in six is unknown and ignored", events: 1_000_000, shape: "unknown", floor: true},
	{name: "long-log", what: "start with 10 GiB of log", events: 100_000, logBefore: 10 << 30},
	{name: "outage", what: "10 million events wait for the bucket, while 5,000 a second come", events: 10_300_000, outage: 10_000_000, per: 100, rate: 5000},
}

// pause is the time between two requests.
func (s scenario) pause() time.Duration {
	if s.rate == 0 {
		return 0
	}
	return time.Duration(float64(s.per) / s.rate * float64(time.Second))
}

func findScenario(name string) (scenario, error) {
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
	if i < 0 {
		return scenario{}, Usage(fmt.Sprintf("there is no scenario %q", name), "millrace bench --help lists them")
	}
	return scenarios[i], nil
}

func scenarioHelp() string {
	var b strings.Builder
	for _, s := range scenarios {
		fmt.Fprintf(&b, "    %-16s%s\n", s.name, s.what)
	}
	return b.String()
}

// withDefaults fills in what zero stands for.
func (s scenario) withDefaults() scenario {
	s.per, s.connections = max(s.per, 0), max(s.connections, 0)
	if s.per == 0 {
		s.per = 1000
	}
	if s.connections == 0 {
		s.connections = 16
	}
	s.connectors, s.workspaces = max(1, s.connectors), max(1, s.workspaces)
	return s
}

// copies is how many times each event is delivered.
func (s scenario) copies() int64 { return int64(s.connectors) }

// idlePerWorkspace spreads idle connectors, as customers would.
const idlePerWorkspace = 20

// manifest is the file of apply for the scenario. Keys of workspaces that take events are in the environment as
// KEY0, KEY1 …
func (s scenario) manifest(endpoint string) string {
	var b strings.Builder
	b.WriteString("workspaces:\n")
	unknown := "reject"
	if s.shape == "unknown" {
		unknown = "ignore"
	}
	connector := func(folder string) {
		fmt.Fprintf(&b, `      - name: %s
        type: s3
        contact_email: bench@millrace.example
        destination: {bucket: %s, folder: %s, region: us-east-1, endpoint: %q, path_style: true, access_key_id: %s, secret_access_key_env: SECRET}
        events: [all]
        codec: deflate
        flush: {interval: 10s, events: 15000}
`, folder, benchBucket, folder, endpoint, benchKeyID)
	}
	for w := range s.workspaces {
		fmt.Fprintf(&b, "  - name: bench-%d\n    unknown_fields: %s\n    api_keys:\n      - {name: load, scopes: [events.write], secret_env: KEY%d}\n    connectors:\n", w, unknown, w)
		for c := range s.connectors {
			connector(fmt.Sprintf("w%d-c%d", w, c))
		}
	}
	for c := range s.idle {
		if c%idlePerWorkspace == 0 {
			fmt.Fprintf(&b, "  - name: idle-%d\n    connectors:\n", c/idlePerWorkspace)
		}
		connector(fmt.Sprintf("idle-%d", c))
	}
	return b.String()
}
