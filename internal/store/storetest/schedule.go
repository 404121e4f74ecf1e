package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/eventlog"
)

// world is a log with events, records and marks, what the lanes of some connectors have done of it, and what follows
// from that by going through all of it again.
type world struct {
	*env
	rnd     *rand.Rand
	ws      control.Workspace
	log     []entry // by offset
	hour    eventlog.Hour
	era     eventlog.Offset
	counted eventlog.Offset
	flows   []*flow
}

// entry is one record of the log: an event if it has a type, else a mark if it has an hour, else a configuration.
type entry struct {
	eventType string
	hour      eventlog.Hour
	era       eventlog.Offset
}

// flow is a connector.
type flow struct {
	config   control.Config
	launched eventlog.Offset
	deleted  eventlog.Offset // 0: it is not
	selects  []epochOf
	lanes    []*way
	told     map[eventlog.Hour]bool
	sums     map[string][2]int64 // delivered and dropped by hour and type
}

type epochOf struct {
	from  eventlog.Offset
	types []string
}

// way is a lane.
type way struct {
	control.Lane
	from, cursor, until eventlog.Offset
	open                map[eventlog.Hour]bool // hours with provisional drops
}

func (f *flow) has(at eventlog.Offset, e entry) bool {
	if e.eventType == "" || at < f.launched || f.deleted > 0 && at > f.deleted {
		return false
	}
	for _, s := range slices.Backward(f.selects) {
		if s.from < at {
			return slices.Contains(s.types, e.eventType)
		}
	}
	return false
}

// append puts one entry into the log and gives its offset.
func (w *world) append(e entry) eventlog.Offset {
	w.log = append(w.log, e)
	return eventlog.Offset(len(w.log) - 1)
}

func (w *world) head() eventlog.Offset { return eventlog.Offset(len(w.log)) }

// configure appends the next version of f, changed.
func (w *world) configure(f *flow, change func(n *control.Config)) {
	n := f.config
	n.Version++
	change(&n)
	at := w.append(entry{})
	w.era = at
	w.apply(at, n)
	if n.Destination.Number != f.config.Destination.Number || n.Deleted {
		if k := len(f.lanes); k > 0 {
			f.lanes[k-1].until = at
		}
		if !n.Deleted {
			f.lanes = append(f.lanes, &way{Lane: laneOf(n), from: at + 1, cursor: at + 1, open: map[eventlog.Hour]bool{}})
		}
	}
	f.config = n
	f.selects = append(f.selects, epochOf{at, n.Events})
}

func (w *world) launch() {
	c := w.draft(w.ws, fmt.Sprint("c", len(w.flows)))
	c.Version = 0
	c.Events = []string{opens, clicks}
	f := &flow{config: c.Config, launched: w.head(), told: map[eventlog.Hour]bool{}, sums: map[string][2]int64{}}
	c.Version = 1
	ok(w.t, w.CreateConnector(w.t.Context(), c, credentials()))
	f.config.Destination.Number = 0
	w.configure(f, func(n *control.Config) { n.Destination.Number = 1 })
	w.flows = append(w.flows, f)
}

// advance lets a lane deliver or drop up to some offset.
func (w *world) advance(f *flow, l *way) {
	end := w.head()
	if l.until > 0 {
		end = min(end, l.until)
	}
	if l.cursor >= end {
		return
	}
	to := l.cursor + 1 + eventlog.Offset(w.rnd.IntN(int(end-l.cursor)))
	sv := control.Save{Position: w.position(l.Lane)}
	for at := l.cursor; at < to; at++ {
		e := w.log[at]
		if !f.has(at, e) {
			continue
		}
		k := fmt.Sprint(e.hour, e.eventType)
		v := f.sums[k]
		if w.rnd.IntN(4) > 0 {
			sv.Files = append(sv.Files, in(w.file(l.Lane, at, at), e.eventType, e.hour))
			v[0]++
		} else {
			d := w.drop(l.Lane, at, at)
			d.EventType, d.Stream.Hour, d.Settled = e.eventType, e.hour, w.rnd.IntN(2) == 0
			if !d.Settled {
				l.open[e.hour] = true
			}
			sv.Drops = append(sv.Drops, d)
			v[1]++
		}
		f.sums[k] = v
	}
	l.cursor = to
	sv.Position.Cursor = to
	_, err := w.Save(w.t.Context(), sv)
	ok(w.t, err)
}

func (w *world) settle(l *way) {
	drops, err := w.UnsettledDrops(w.t.Context(), l.Lane)
	ok(w.t, err)
	for i := range drops {
		drops[i].Settled = true
	}
	_, err = w.Save(w.t.Context(), control.Save{Position: w.position(l.Lane), Drops: drops})
	ok(w.t, err)
	clear(l.open)
}

func (w *world) count() {
	to := w.counted + eventlog.Offset(w.rnd.IntN(int(w.head()-w.counted)+1))
	var counts []control.Count
	for at := w.counted; at < to; at++ {
		if e := w.log[at]; e.eventType != "" {
			counts = append(counts, control.Count{Workspace: w.ws.Number, EventType: e.eventType, Hour: e.hour, Era: e.era, Events: 1})
		}
	}
	w.env.counted(to, counts...)
	w.counted = to
}

// expected gives the hours of f that are complete by now.
func (w *world) expected(f *flow) map[eventlog.Hour]bool {
	out := map[eventlog.Hour]bool{}
	before := eventlog.Offset(-1)
	for at, e := range w.log {
		mark := eventlog.Offset(at)
		if e.eventType != "" || e.hour == 0 {
			continue
		}
		is := mark > f.launched && (f.deleted == 0 || before < f.deleted) && w.counted >= mark
		for _, l := range f.lanes {
			is = is && (l.cursor >= mark || l.until > 0 && l.cursor >= l.until) && !l.open[e.hour]
		}
		if is {
			out[e.hour] = true
		}
		before = mark
	}
	return out
}

// compare looks for complete hours and compares them, and the audit of all hours, with what follows from the log.
func (w *world) compare() {
	w.t.Helper()
	for {
		done, err := w.CompleteHours(w.t.Context(), w.env.log)
		ok(w.t, err)
		if len(done) == 0 {
			break
		}
		for _, d := range done {
			i := slices.IndexFunc(w.flows, func(f *flow) bool { return f.config.Connector == d.Connector })
			if w.flows[i].told[d.Hour] {
				w.t.Fatalf("hour %s of connector %d is told twice", d.Hour, i)
			}
			w.flows[i].told[d.Hour] = true
			for _, c := range d.Counts {
				if c.Waiting != 0 || c.Accepted != c.Delivered+c.Dropped {
					w.t.Fatalf("hour %s of connector %d does not balance: %+v", d.Hour, i, c)
				}
			}
		}
	}
	for i, f := range w.flows {
		// An hour that was complete stays told, also while a later drop is provisional.
		expect := w.expected(f)
		for h := range expect {
			if !f.told[h] {
				w.t.Fatalf("hour %s of connector %d is complete and not told", h, i)
			}
		}
		for h := range f.told {
			if !expect[h] {
				w.t.Fatalf("hour %s of connector %d is told and not complete", h, i)
			}
		}
		accepted := map[string]int64{}
		for at, e := range w.log[:w.counted] {
			if f.has(eventlog.Offset(at), e) {
				accepted[fmt.Sprint(e.hour, e.eventType)]++
			}
		}
		audit, err := w.Audit(w.t.Context(), w.ws.Number, f.config.Connector, 0, 0)
		ok(w.t, err)
		found := map[string]bool{}
		for h, counts := range audit {
			for _, c := range counts {
				k := fmt.Sprint(h, c.EventType)
				found[k] = true
				v := f.sums[k]
				a := max(accepted[k], v[0]+v[1])
				if want := (control.HourCount{EventType: c.EventType, Accepted: a, Delivered: v[0], Dropped: v[1], Waiting: a - v[0] - v[1]}); c != want {
					w.t.Fatalf("audit of connector %d, hour %s: %+v, want %+v", i, h, c, want)
				}
			}
		}
		for _, k := range slices.Concat(slices.Collect(maps.Keys(accepted)), slices.Collect(maps.Keys(f.sums))) {
			if !found[k] {
				w.t.Fatalf("the audit of connector %d lacks %s", i, k)
			}
		}
	}
}

// schedules runs random schedules; MILLRACE_SOAK=1 makes them many, and MILLRACE_SEED repeats one.
func schedules(run runner) {
	run("in any order of things each hour is told once, when it is complete, and the audit is what follows from the log", func(t *testing.T, e *env) {
		rounds := 1
		if os.Getenv("MILLRACE_SOAK") == "1" {
			rounds = 30
		}
		for round := range rounds {
			seed := rand.Uint64()
			if s, err := strconv.ParseUint(os.Getenv("MILLRACE_SEED"), 10, 64); err == nil {
				seed = s
			}
			t.Logf("MILLRACE_SEED=%d", seed)
			e.env(round)
			w := &world{env: e, rnd: rand.New(rand.NewPCG(seed, 1)), ws: e.workspace(fmt.Sprint("w", round)), hour: eventlog.HourOf(e.now)}
			w.run(250)
		}
	})
}

// env gives each round a log of its own.
func (e *env) env(round int) { e.log[0], e.log[1] = byte(round), e.log[1]+1 }

func (w *world) run(steps int) {
	w.append(entry{}) // offset 0 is nobody's
	w.launch()
	for range steps {
		f := w.flows[w.rnd.IntN(len(w.flows))]
		l := f.lanes[w.rnd.IntN(len(f.lanes))]
		switch n := w.rnd.IntN(20); {
		case n < 8:
			w.append(entry{eventType: []string{opens, clicks}[w.rnd.IntN(2)], hour: w.hour, era: w.era})
		case n < 12:
			w.advance(f, l)
		case n < 14:
			w.count()
		case n < 15:
			w.settle(l)
		case n < 17:
			w.ended(w.append(entry{hour: w.hour}), w.hour)
			w.hour++
		case n < 18 && f.deleted == 0:
			types := [][]string{{opens}, {clicks}, {opens, clicks}}[w.rnd.IntN(3)]
			w.configure(f, func(c *control.Config) { c.Events = types })
		case n < 19 && f.deleted == 0:
			w.configure(f, func(c *control.Config) {
				c.Destination.Number++
				c.Destination.Folder = fmt.Sprint(c.Connector, c.Destination.Number)
			})
		case w.rnd.IntN(4) == 0 && f.deleted == 0:
			w.configure(f, func(c *control.Config) { c.Deleted = true })
			f.deleted = w.head() - 1
		case len(w.flows) < 4:
			w.launch()
		}
		if w.rnd.IntN(3) == 0 {
			w.compare()
		}
	}
	w.compare()
}
