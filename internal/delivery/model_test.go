package delivery_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/fault"
)

var (
	modelSeed = flag.Uint64("model.seed", 0, "the first schedule of the model to run, and the only one without -model.runs; 0: many, from one that is printed")
	modelLog  = flag.Bool("model.log", false, "print what the processes log, in the time of the model")
	modelRuns = flag.Int("model.runs", 0, "how many schedules of the model to run; 0: 150, and 1,000,000 in the long form")
	modelPart = flag.Bool("model.part", false, "the schedules are a part of those of another process, which has given them out")
)

// manySchedules are so many that each core gets its part of them.
const manySchedules = 1000

// TestModel runs one connector under random schedules: up to three workers at once, crashes, lost and late answers,
// refusals, failing, late and unanswered calls to the store, databases that forget or are restored from a copy, copied
// buckets, machines set back, logs lost or set back alone, changes of selection, transformation, borders and bucket, little
// memory, strangers' files, test events, pauses, trimming, the log's quota, stores without create-only writes; grace periods
// and pauses that end with notices late or never out, caps, deletion with the bucket away, and replays of drops that die.
// At rest each selected event is in exactly one object or counted as dropped, and ledger = bucket; and what was dropped
// comes back once.
func TestModel(t *testing.T) {
	defer oneThread()()
	if *modelSeed != 0 && *modelRuns == 0 {
		model(t, *modelSeed)
		return
	}
	first := cmp.Or(*modelSeed, uint64(time.Now().UnixNano()))
	if os.Getenv("CI") != "" && os.Getenv("MILLRACE_SOAK") == "" && *modelSeed == 0 {
		first = 1 // the same schedules for everybody; other seeds are tried outside
	}
	runs := uint64(cmp.Or(*modelRuns, 150))
	if *modelRuns == 0 && os.Getenv("MILLRACE_SOAK") == "1" {
		runs = 1_000_000
	}
	if runs >= manySchedules && !*modelPart {
		onEachCore(t, first, runs)
		return
	}
	both := 0
	for i := range runs {
		if !t.Run(fmt.Sprint(first+i), func(t *testing.T) {
			if model(t, first+i) {
				both++
			}
		}) {
			t.Fatalf("repeat with: go test ./internal/delivery -run TestModel -model.seed %d", first+i)
		}
	}
	t.Logf("%d schedules from %d; in %d of them events were dropped and a log was lost or set back alone", runs, first, both)
	if both == 0 && runs >= 150 {
		t.Error("no schedule drops events and loses a log: the model has lost a part of its world")
	}
}

// onEachCore runs schedules in as many processes as there are cores: in one process they run one thing at a time.
func onEachCore(t *testing.T, first, runs uint64) {
	cores := uint64(runtime.NumCPU())
	var parts sync.WaitGroup
	for i := range cores {
		from, to := first+i*runs/cores, first+(i+1)*runs/cores
		parts.Go(func() {
			part := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestModel$", "-test.v", "-test.timeout", "0",
				"-model.part", "-model.seed", fmt.Sprint(from), "-model.runs", fmt.Sprint(to-from))
			out, err := part.CombinedOutput()
			said := slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool {
				return strings.HasPrefix(line, "=== ") || strings.Contains(line, "--- PASS: TestModel/")
			})
			t.Log(strings.Join(said, "\n"))
			if err != nil {
				t.Errorf("the schedules from %d: %v", from, err)
			}
		})
	}
	parts.Wait()
}

// oneThread makes a bubble run one thing at a time until it is called back: what is drawn from a seed is then the same each
// time, and everything takes half as long.
func oneThread() (back func()) {
	procs, gc := runtime.GOMAXPROCS(1), debug.SetGCPercent(800)
	return func() {
		runtime.GOMAXPROCS(procs)
		debug.SetGCPercent(gc)
	}
}

// model runs the schedule of a seed, and reports whether events were dropped and a log was lost or set back alone in it.
func model(t *testing.T, seed uint64) (both bool) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := newWorld(t)
		m := &modelRun{w: w, r: r, seed: seed, logs: 1, faults: r.Float64() * 0.4}
		w.spread = func(d time.Duration) time.Duration {
			return d/2 + time.Duration(m.draw("wait", d).Int64N(int64(d/2+1)))
		}
		w.wrap = func(s delivery.Store) delivery.Store { return faultyStore{lateSaves{s, m}, m.call} }
		for name := range w.buckets {
			w.buckets[name].Script(func(c buckettest.Call) buckettest.Fault { return m.fault(name, c) })
		}
		switch r.IntN(6) {
		case 2, 3:
			m.lossy = true
			w.cfg.GracePeriod = time.Duration(1+r.IntN(40)) * time.Minute
			w.cfg.PauseLimit = time.Duration(1+r.IntN(90)) * time.Minute
			w.cfg.TestCap, w.cfg.TestCapWindow = int64(1+r.IntN(400)), time.Duration(1+r.IntN(5))*time.Hour
		case 0:
			m.quota = true
			w.cfg.QuotaPatience = 10 * time.Second // longer than an attempt, as in any sensible setting
		case 1:
			m.plain = true
			w.store.ignores = true
			for _, b := range w.buckets {
				b.IgnoreCreateOnly(true)
			}
		}
		w.configure(nil)
		for range 20 + r.IntN(40) {
			m.step()
		}
		m.calm = true
		w.log.mu.Lock()
		w.log.max = 0
		w.log.mu.Unlock()
		m.pause(false)
		for name := range w.buckets {
			w.buckets[name].Deny("")
		}
		w.store.mu.Lock()
		w.store.fail = nil
		w.store.mu.Unlock()
		if len(m.running) == 0 {
			m.running = append(m.running, m.start())
		}
		if !w.settled(6 * time.Hour) {
			t.Errorf("not everything was delivered in six hours of calm: %+v", w.store.pos)
			for _, p := range m.running {
				t.Logf("status %+v", p.m.Status())
			}
		}
		for _, p := range m.running {
			p.stop()
		}
		if !m.died {
			w.check()
		}
		both = m.replaced && slices.ContainsFunc(slices.Collect(maps.Values(w.store.drops)), func(d control.Drop) bool { return d.Events > 0 })
		if m.lossy && !t.Failed() {
			m.recoverAll()
		}
		if t.Failed() {
			t.Logf("steps: %v", m.trace)
		}
	})
	return both
}

// call lets calls of the store take their time, fail, or lose their answer after the commit; saves also arrive after their
// caller has given them up.
func (m *modelRun) call(_ context.Context, op string, do func() error) error {
	if m.calm {
		return do()
	}
	r := m.draw(op)
	if r.Float64() > m.faults {
		return do()
	}
	time.Sleep(time.Duration(r.IntN(700)) * time.Millisecond)
	busy := fault.New(fault.Unavailable, "sql", "busy")
	switch r.IntN(4) {
	case 0:
		return busy
	case 1:
		if err := do(); err != nil {
			return err
		}
		return busy
	}
	err := do()
	time.Sleep(time.Duration(r.IntN(700)) * time.Millisecond)
	return err
}

// lateSaves is a store whose saves may arrive after their caller has given them up.
type lateSaves struct {
	delivery.Store
	m *modelRun
}

func (s lateSaves) Save(ctx context.Context, v control.Save) (int64, error) {
	if r := s.m.draw("late", v.Position); !s.m.calm && r.Float64() < s.m.faults/4 {
		go func() {
			time.Sleep(time.Duration(r.IntN(5000)) * time.Millisecond)
			_, _ = s.Store.Save(context.WithoutCancel(ctx), v) // refused, if another was saved meanwhile
		}()
		return 0, fault.New(fault.Unavailable, "sql", "no answer")
	}
	return s.Store.Save(ctx, v)
}

// draw gives the choices for one thing that happens, by what it is and when. So they are the same when the schedule is
// run again, in whatever order Go runs what happens at one instant.
func (m *modelRun) draw(what ...any) *rand.Rand {
	h := fnv.New64a()
	if op, is := what[0].(string); is && len(what) == 1 { // as Fprint below, of which there would be hundreds of thousands
		h.Write(append(strconv.AppendInt(nil, time.Now().UnixNano(), 10), " ["+op+"]"...))
	} else {
		fmt.Fprint(h, time.Now().UnixNano(), what)
	}
	return rand.New(rand.NewPCG(m.seed, h.Sum64()))
}

type modelRun struct {
	plain   bool // stores ignore If-None-Match: one worker at a time
	quota   bool // the log's quota is reached now and then: one worker at a time
	died    bool // a replay of drops has left a file without its row
	lossy   bool // events are lost by all the other rules: one worker at a time
	trimmed bool // the log has forgotten something, or is another
	// untrimmed: it may not forget anything, because there may be objects of which the metadata are lost or of another time.
	untrimmed bool
	copied    bool // of what was copied a drop cannot be told that it is in the bucket: the ledger may not forget it
	// replaced: the log was lost or set back once; logs numbers those there were.
	replaced bool
	logs     byte

	w       *world
	seed    uint64
	r       *rand.Rand // for the steps, which come one after the other
	running []*process
	faults  float64
	calm    bool
	saved   *snapshot
	trace   []string
}

func (m *modelRun) say(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

func (m *modelRun) fault(name string, c buckettest.Call) buckettest.Fault {
	r := m.draw(name, c.Op, c.Key, c.Attempt)
	f := buckettest.Fault{Delay: time.Duration(r.IntN(700)) * time.Millisecond}
	if m.calm || r.Float64() > m.faults {
		return f
	}
	switch r.IntN(7) {
	case 0:
		f.Problem = bucket.ServerError
	case 1:
		f.Problem, f.After = bucket.Network, true
	case 2:
		f.Problem, f.Late = bucket.Network, time.Duration(r.IntN(4500))*time.Millisecond
	case 3:
		f.Hang, f.After = true, r.IntN(2) == 0
	case 4:
		if c.Op == buckettest.OpPut {
			f.Problem = bucket.Busy
		}
	case 5:
		f.Problem = bucket.Throttled
	case 6:
		if c.Op == buckettest.OpGet {
			f.CutAt = int64(1 + r.IntN(400))
		}
	}
	return f
}

func (m *modelRun) late(key string) time.Duration {
	return time.Duration(m.draw(key).IntN(7000)-3000) * time.Millisecond
}

// start runs a process that may have little memory and few attempts at once, so that its files end elsewhere than those of
// the one before.
func (m *modelRun) start() *process {
	m.w.cfg.MemoryBudget, m.w.cfg.Slots = 0, 1+m.r.IntN(4)
	if m.r.IntN(3) == 0 {
		m.w.cfg.MemoryBudget = 8 << 10 << m.r.IntN(6)
	}
	m.say("start with %d slots, a budget of %d", m.w.cfg.Slots, m.w.cfg.MemoryBudget)
	return m.w.start()
}

func (m *modelRun) step() {
	w, r := m.w, m.r
	if m.lossy && r.IntN(4) == 0 {
		m.lose()
		return
	}
	if r.IntN(5) == 0 {
		switch k := r.IntN(5); {
		case k == 0:
			m.say("test events")
			w.appendTo(someTypes[r.IntN(3)], 1+r.IntN(20), 7)
		case k == 1:
			on := r.IntN(2) == 0
			m.say("pause %v", on)
			m.pause(on)
		case k == 2:
			m.say("trim")
			if floor, err := w.store.RetentionFloor(context.Background(), w.log.id); err == nil && floor > 0 && !m.untrimmed {
				m.trimmed = true
				_ = w.log.Trim(context.Background(), floor, 0)
			}
		case k >= 3 && m.quota:
			w.log.mu.Lock()
			if r.IntN(2) == 0 {
				w.log.max = w.log.bytes*int64(5+r.IntN(8))/10 + 1
			} else {
				w.log.max = 0
			}
			m.say("quota %d of %d", w.log.max, w.log.bytes)
			w.log.mu.Unlock()
			m.trimmed = true
		}
	}
	switch k := r.IntN(20); {
	case k < 7:
		n := 1 + r.IntN(130)
		m.say("append %d", n)
		w.append(someTypes[r.IntN(len(someTypes))], n)
	case k < 11:
		d := time.Duration(r.IntN(20_000)) * time.Millisecond
		if r.IntN(6) == 0 {
			d = time.Duration(r.IntN(90)) * time.Minute
		}
		m.say("wait %v", d)
		time.Sleep(d)
	case k < 14:
		if len(m.running) < 3 && (!m.plain && !m.quota && !m.lossy || len(m.running) == 0) {
			p := m.start()
			if m.plain {
				m.running = append(m.running, p)
				return
			}
			p.late = m.late
			m.running = append(m.running, p)
		}
	case k < 16:
		if n := len(m.running); n > 0 {
			i := r.IntN(n)
			p := m.running[i]
			m.running = append(m.running[:i], m.running[i+1:]...)
			if r.IntN(4) == 0 {
				m.say("stop")
				p.stop()
			} else {
				m.say("kill")
				p.kill()
			}
		}
	case k == 16:
		if w.config().Deleted {
			return
		}
		m.say("configure")
		w.configure(func(c *control.Config) {
			switch r.IntN(6) {
			case 0:
				c.Events = []string{someTypes[r.IntN(3)], someTypes[r.IntN(3)]}
			case 1:
				c.Events = []string{"all"}
			case 2:
				c.Transformations = []control.Transformation{{Field: "user_id", Action: "hash"}}
			case 3:
				c.Codec = "null"
			case 4:
				if c.Destination.Number < 3 {
					c.Destination.Number++
					c.Destination.Bucket = fmt.Sprintf("b%d", c.Destination.Number)
				}
			case 5:
				c.FlushEvents, c.FlushInterval = 20+r.IntN(200), time.Duration(1+r.IntN(600))*time.Second
			}
		})
	case k == 17 || m.quota && k == 16:
		b := w.buckets[fmt.Sprintf("b%d", 1+r.IntN(3))]
		if r.IntN(2) == 0 {
			m.say("deny")
			b.Deny(bucket.AccessDenied)
		} else {
			m.say("allow")
			b.Deny("")
		}
	case k == 18:
		w.store.mu.Lock()
		if w.store.fail == nil {
			m.say("store fails")
			w.store.fail = fault.New(fault.Unavailable, "sql", "busy")
		} else {
			m.say("store works")
			w.store.fail = nil
		}
		w.store.mu.Unlock()
	case k == 19:
		m.disaster()
	}
}

// disaster changes the world while no process runs.
func (m *modelRun) disaster() {
	w, r := m.w, m.r
	for _, p := range m.running {
		p.kill()
	}
	m.running = nil
	time.Sleep(20 * time.Second) // what was in flight lands
	if m.saved == nil {
		m.saved = w.snapshot()
	}
	k := r.IntN(8)
	if m.plain && k != 3 {
		return
	}
	if k == 7 && m.trimmed { // nor can the versions that it has forgotten be told any more
		return
	}
	if (k == 0 || k == 7) && (m.trimmed && !m.quota || m.replaced || m.copied) {
		return // what the log has forgotten cannot be compared any more
	}
	if (m.quota || m.lossy) && (k == 1 || k == 4 || k == 6) && !m.told(k) {
		// A drop is settled by metadata where the log has forgotten its events: see FORMAT.md §4.
		if m.quota || m.trimmed {
			return
		}
		m.untrimmed = true
	}
	switch k {
	case 3:
		m.say("snapshot")
		m.saved = w.snapshot()
	case 4:
		gone := w.restore(m.saved)
		m.say("the machine is set back to its snapshot, %d events ago", len(gone))
		if now := w.log.commits; len(now) > 0 && time.Now().Before(now[len(now)-1].Time()) {
			m.w.t.Fatal("the clock went back")
		}
		// Other events take the offsets of the forgotten ones, some in streams of theirs.
		for _, a := range gone {
			if r.IntN(3) > 0 {
				w.append(a.schema.Type.Name, 1+r.IntN(3))
			}
		}
	case 5:
		if m.untrimmed {
			return
		}
		m.say("the log is lost")
		m.replaced, m.trimmed, m.logs = true, true, m.logs+1
		w.replaceLog(newMemLog(m.logs))
	case 6:
		if m.saved.log.id != w.log.id {
			return
		}
		m.say("the log is set back alone, from %d to %d", w.log.head, m.saved.log.head)
		m.replaced = true
		w.replaceLog(m.saved.log.copy())
	case 0:
		m.say("the database forgets every save")
		old := w.store.copy()
		for l, p := range old.pos {
			// As if nothing had been saved since the lane began.
			p.Cursor, p.Version, p.Links, p.Plans, p.Seq = m.begin(l), m.version(l), nil, nil, 0
			old.pos[l] = p
			old.files[l] = nil
			old.done[l] = false
			delete(old.health, l)
		}
		clear(old.drops)
		w.store = old
	case 7:
		m.say("the database is restored from the snapshot")
		w.store = m.saved.store.copy()
	case 1:
		m.say("copy the buckets without metadata")
		m.copied = m.quota || m.lossy
		for _, b := range w.buckets {
			for _, k := range b.Keys() {
				data, _, _ := b.Object(k)
				b.Set(k, data, nil)
			}
		}
	case 2:
		m.say("a stranger's object stands where the next file goes")
		_, head := w.log.Bounds()
		typ := someTypes[r.IntN(3)]
		data, meta := []byte("not ours"), map[string]string(nil)
		if r.IntN(2) == 0 {
			data, meta = m.elsewhere(typ, 1+r.IntN(5))
		}
		t, _ := w.catalogue.Type(typ)
		name := w.nameOf(appended{schema: t.Newest(), offset: head})
		b := w.buckets[w.config().Destination.Bucket]
		if _, _, taken := b.Object(name.Key()); !taken {
			b.Set(name.Key(), data, meta)
		}
	}
}

// elsewhere is a file of another installation, with n events that are not ours, and its metadata.
func (m *modelRun) elsewhere(typ string, n int) ([]byte, map[string]string) {
	w := newWorld(m.w.t)
	w.log, w.spread = newMemLog(200), m.w.spread
	w.configure(nil)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("a stranger's ", i)
	}
	w.appendIDs(typ, ids, 0)
	p := w.start()
	if !w.settled(time.Hour) {
		m.w.t.Fatal("the other installation delivers nothing")
	}
	p.stop()
	data, info, _ := w.buckets["b1"].Object(w.objects()[0].key)
	return data, info.Metadata
}

// told reports whether the ledger has every object of ours, and no drop that is still to be settled: of the store now, and
// for a machine that is set back (k 4) of its snapshot. Settling believes metadata, so nothing that it may meet can lose
// them, or be of events whose offsets are given anew.
func (m *modelRun) told(k int) bool {
	stores := []*memStore{m.w.store}
	if k == 4 {
		stores = append(stores, m.saved.store)
	}
	for _, s := range stores {
		for _, d := range s.drops {
			if !d.Settled && !s.done[d.Lane] {
				return false
			}
		}
		for _, o := range m.w.objects() {
			lane := control.Lane{Connector: connectorID, Destination: int(o.bucket[1] - '0')}
			if _, is := s.files[lane][o.key]; !is && !strings.HasPrefix(o.ids[0], "a stranger") {
				return false
			}
		}
	}
	return true
}

// begin is where a lane began: after the record of the first version with its destination.
func (m *modelRun) begin(l control.Lane) (o eventlogOffset) {
	for i, c := range m.w.history {
		if c.Destination.Number == l.Destination {
			return m.w.logged[i] + 1
		}
	}
	return 0
}

func (m *modelRun) version(l control.Lane) int {
	for _, c := range m.w.history {
		if c.Destination.Number == l.Destination {
			return c.Version
		}
	}
	return 0
}

func (m *modelRun) pause(on bool) {
	m.w.store.mu.Lock()
	for l, r := range m.w.store.rows {
		r.Paused = on
		m.w.store.rows[l] = r
	}
	m.w.store.mu.Unlock()
}

// lose changes what decides about losses, or brings some back.
func (m *modelRun) lose() {
	w, r := m.w, m.r
	if len(m.running) == 0 {
		p := m.start()
		p.late = m.late
		m.running = append(m.running, p)
	}
	switch r.IntN(8) {
	case 0, 1, 6:
		name := fmt.Sprintf("b%d", 1+r.IntN(3))
		m.say("%s denies for long", name)
		w.buckets[name].Deny([]bucket.Problem{bucket.AccessDenied, bucket.NoSuchBucket, bucket.Network, bucket.OwnCredentials}[r.IntN(4)])
		time.Sleep(time.Duration(r.IntN(120)) * time.Minute)
		if r.IntN(2) == 0 {
			w.buckets[name].Deny("")
		}
	case 2:
		w.store.mu.Lock()
		w.store.mute, w.store.slow = r.IntN(3) == 0, time.Duration(r.IntN(20))*time.Minute
		m.say("notices mute %v, slow %v", w.store.mute, w.store.slow)
		w.store.mu.Unlock()
	case 3:
		on := r.IntN(2) == 0
		m.say("test connector %v", on)
		w.test(on)
	case 4:
		m.say("a long pause")
		m.pause(true)
		time.Sleep(time.Duration(r.IntN(180)) * time.Minute)
		m.pause(r.IntN(2) == 0)
	case 5:
		if r.IntN(3) == 0 && !w.config().Deleted {
			m.say("delete")
			w.configure(func(c *control.Config) { c.Deleted = true })
		}
	default:
		books := &dying{memStore: w.store, left: 1 + r.IntN(6), after: r.IntN(2) == 0}
		out, err := w.recover(books, nil)
		m.died = m.died || err != nil
		m.say("replay of drops: %d written, %d found, %d refused, %v", len(out.Written), len(out.Found), len(out.Refused), err)
	}
}

// recoverAll brings back all that can be, and looks at everything again.
func (m *modelRun) recoverAll() {
	w, t := m.w, m.w.t
	before := w.dropped()
	out, err := w.recover(nil, nil)
	if err != nil {
		t.Errorf("replay of drops in calm: %v", err)
		return
	}
	var refused, left, lost int64
	for _, x := range out.Refused {
		refused += x.Events
	}
	for _, n := range before {
		lost += n
	}
	for _, n := range w.dropped() {
		left += n
	}
	if left != refused || lost-left != out.Events {
		t.Errorf("%d were lost, %d brought back, %d left, %d refused: %+v", lost, out.Events, left, refused, out)
	}
	if !m.trimmed && !m.replaced {
		for _, x := range out.Refused {
			if !strings.Contains(x.Why, "settled") && !strings.Contains(x.Why, "taken") {
				t.Errorf("the log holds everything, and yet: %+v", x)
			}
		}
	}
	w.check()
	m.say("drops: %v, refused %d", before, refused)
}
