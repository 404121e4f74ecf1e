package delivery_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/avrofile"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/delivery"
	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/eventlog"
)

// world is everything that outlives a process: log, control plane, buckets; and what the test knows must be true.
type world struct {
	t         testing.TB
	log       *memLog
	disk      eventlog.Log // in place of log, if there is one: the real log on a disk that crashes
	store     *memStore
	buckets   map[string]*buckettest.Memory
	catalogue *event.Catalogue
	reader    *event.Reader
	cfg       delivery.Config
	spread    delivery.Spread
	logger    *slog.Logger                        // nil: as said
	wrap      func(delivery.Store) delivery.Store // what processes see of the store; may be nil
	wrapLog   func(eventlog.Log) eventlog.Log     // and of the log
	history   []control.Config                    // of the one connector, as logged
	logged    []eventlog.Offset
	appended  []appended
	n         int
	started   []*process
}

// killAll ends what a test that failed has left running.
func (w *world) killAll() {
	for _, p := range w.started {
		p.kill()
	}
}

type appended struct {
	id     string
	schema *event.Schema
	offset eventlog.Offset
	target uint32
	// refused: its request was not answered with success; the log may hold it all the same.
	refused bool
	lost    *lost // the log no longer has it, because it was lost or set back
}

// lost is what holds of an event whose log was lost.
type lost struct {
	log     eventlog.ID
	want    string // where it had to be
	unknown bool   // not even the store knew that there was so much, or that it was to be delivered
}

const connectorID = control.ConnectorID("599f118afbe76a01c513c63c")

// builtin is read once: it takes longer than many a schedule of the model.
var builtin = sync.OnceValues(func() (*event.Catalogue, error) { return event.NewCatalogue(nil) })

func newWorld(t testing.TB) *world {
	t.Helper()
	c, err := builtin()
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, log: newMemLog(1), store: newMemStore(), catalogue: c, reader: event.NewReader(c),
		buckets: map[string]*buckettest.Memory{"b1": buckettest.NewMemory(), "b2": buckettest.NewMemory(), "b3": buckettest.NewMemory()},
		cfg:     delivery.Config{AttemptLimit: 5 * time.Second, GracePeriod: 48 * time.Hour, QuotaPatience: time.Minute, LogRetention: 100 * time.Hour},
	}
}

// Open gives the bucket that a lane's access names.
func (w *world) Open(a bucket.Access) (bucket.Bucket, error) { return w.buckets[a.Bucket], nil }

// source is the log.
func (w *world) source() eventlog.Log {
	if w.disk != nil {
		return w.disk
	}
	return w.log
}

func (w *world) config() control.Config {
	if n := len(w.history); n > 0 {
		return w.history[n-1]
	}
	return control.Config{
		Connector: connectorID, Number: 7, Workspace: 1, Name: "warehouse",
		Destination: control.Destination{Number: 1, Bucket: "b1", Folder: "currents", Cluster: "prod-01", Zone: "default"},
		Events:      []string{"all"}, Codec: "deflate", FlushInterval: 5 * time.Minute, FlushEvents: 100,
	}
}

// configure logs a new version of the connector.
func (w *world) configure(change func(*control.Config)) {
	w.t.Helper()
	c := w.config()
	c.Version++
	if change != nil {
		change(&c)
	}
	w.history, w.logged = append(w.history, c), append(w.logged, w.log.control(w.t, control.Record{Kind: control.RecordConfig, Config: &c}))
}

var someTypes = []string{"users.messages.email.Open", "users.behaviors.app.SessionStart", "users.canvas.Entry"}

// append accepts n events of one type as one request.
func (w *world) append(typ string, n int) { w.appendTo(typ, n, 0) }

func (w *world) appendTo(typ string, n int, target uint32) {
	w.t.Helper()
	ids := make([]string, n)
	for i := range n {
		w.n++
		ids[i] = fmt.Sprintf("event-%06d", w.n)
	}
	w.appendIDs(typ, ids, target)
}

func (w *world) appendIDs(typ string, ids []string, target uint32) {
	w.t.Helper()
	var b eventlog.Batch
	b.Reset(eventlog.Header{Workspace: 1, Kind: eventlog.Events, Target: target})
	var schema *event.Schema
	for i := range ids {
		t, _ := w.catalogue.Type(typ)
		out, s, res := w.reader.Read(b.Begin(), minimal(t, ids[i]), event.Options{})
		if len(res.Problems) > 0 {
			w.t.Fatalf("made a bad event: %v", res.Problems)
		}
		schema = s
		b.Commit(out, uint32(s.ID))
	}
	r, err := w.source().Append(context.Background(), &b)
	if err != nil && w.disk == nil {
		w.t.Fatal(err)
	}
	for i, id := range ids {
		w.appended = append(w.appended, appended{id: id, schema: schema, offset: r.First + eventlog.Offset(i), target: target, refused: err != nil})
	}
}

// minimal is the JSON of an event that has its required fields only.
func minimal(t *event.Type, id string) []byte {
	form, known := forms.Load(t)
	if !known {
		var b strings.Builder
		fmt.Fprintf(&b, `{"event_type":%q,"id":"ID"`, t.Name)
		for _, f := range t.Newest().Fields {
			if f.Nullable || f.Name == "id" {
				continue
			}
			switch f.Kind {
			case event.String:
				fmt.Fprintf(&b, `,%q:"x-ID"`, f.Name)
			case event.Boolean:
				fmt.Fprintf(&b, `,%q:true`, f.Name)
			default:
				fmt.Fprintf(&b, `,%q:1790000000`, f.Name)
			}
		}
		b.WriteByte('}')
		form, _ = forms.LoadOrStore(t, b.String())
	}
	return []byte(strings.ReplaceAll(form.(string), "ID", id))
}

var forms sync.Map // of minimal events, by type

// snapshot is a copy of the machine: log and database together, not the buckets.
type snapshot struct {
	log      *memLog
	store    *memStore
	appended []appended
	history  []control.Config
	logged   []eventlog.Offset
}

func (w *world) snapshot() *snapshot {
	return &snapshot{w.log.copy(), w.store.copy(), slices.Clone(w.appended), slices.Clone(w.history), slices.Clone(w.logged)}
}

// restore sets the machine back and gives the events that were accepted since: the log no longer has them.
func (w *world) restore(s *snapshot) []appended {
	w.log, w.store = s.log.copy(), s.store.copy()
	gone := w.appended[len(s.appended):]
	w.appended, w.history, w.logged = slices.Clone(s.appended), slices.Clone(s.history), slices.Clone(s.logged)
	return gone
}

// replaceLog puts another log, or an old copy of the same, in the place of the log, and accepts it as the operator does:
// the store is brought in line with it, and versions whose record is gone are logged again.
func (w *world) replaceLog(log *memLog) {
	w.t.Helper()
	was := w.log
	w.log = log
	start, head := log.Bounds()
	begun := map[string]bool{} // buckets of which the store knows that files are to go there
	for l := range w.store.pos {
		begun["b"+strconv.Itoa(l.Destination)] = true
	}
	known := w.store.accept(was.id, log.id, start, head)
	kept := head // below, the log holds what it held
	if was.id != log.id {
		kept = 0
	}
	if head == 0 {
		w.log.control(w.t, control.Record{Kind: "clock"}) // as ingest.Begin does: no lane can end at offset 0
	}
	sels := w.selections()
	for i := range w.appended {
		if a := &w.appended[i]; a.lost == nil && a.offset >= kept {
			want := w.wanted(*a, sels)
			a.lost = &lost{was.id, want, a.offset >= known || !begun[want]}
		}
	}
	for i, c := range w.history {
		if w.logged[i] < kept {
			continue
		}
		if _, is := w.store.recorded[configKey{c.Connector, c.Version}]; is {
			w.logged[i] = -1 // holds from the beginning
		} else {
			w.logged[i] = w.log.control(w.t, control.Record{Kind: control.RecordConfig, Config: &c})
		}
	}
}

// process is a running manager that can be killed at any moment: afterwards nothing it does has an effect, but what
// it sent off before may still land.
type process struct {
	w      *world
	m      *delivery.Manager
	cancel context.CancelFunc
	done   chan struct{}
	dead   atomic.Bool
	late   func(key string) time.Duration // for a write under way when killed: when it lands; negative: never
	mu     sync.Mutex
	hooks  []string
}

func (w *world) start() *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{w: w, cancel: cancel, done: make(chan struct{})}
	var store delivery.Store = w.store
	if w.wrap != nil {
		store = w.wrap(store)
	}
	log := w.source()
	if w.wrapLog != nil {
		log = w.wrapLog(log)
	}
	p.m = delivery.New(w.cfg, delivery.Deps{
		Log: log, Store: &mortalStore{Store: store, p: p}, Opener: p, Catalogue: w.catalogue,
		Logger: cmp.Or(w.logger, slog.New(said())), Spread: w.spread,
		Hooks: delivery.Hooks{
			OnRetry:   func(control.LaneRow, error) { p.said("retry") },
			OnParked:  func(control.LaneRow, error) { p.said("parked") },
			OnResumed: func(control.LaneRow) { p.said("resumed") },
			OnForeign: func(control.LaneRow, string) { p.said("foreign") },
		},
	})
	w.started = append(w.started, p)
	go func() {
		defer close(p.done)
		if err := p.m.Run(ctx); err != nil {
			w.t.Errorf("manager: %v", err)
		}
	}()
	return p
}

func (p *process) said(s string) {
	p.mu.Lock()
	p.hooks = append(p.hooks, s)
	p.mu.Unlock()
}

func (p *process) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.hooks)
}

// said is where processes log to: nowhere, unless a schedule is looked at.
func said() slog.Handler {
	if *modelLog {
		return slog.NewTextHandler(os.Stderr, nil)
	}
	return slog.DiscardHandler
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	p.dead.Store(true)
	p.cancel()
	<-p.done
}

// stop ends it in order.
func (p *process) stop() {
	p.cancel()
	<-p.done
}

var errDead = errors.New("the process is dead")

func (p *process) Open(a bucket.Access) (bucket.Bucket, error) {
	b, err := p.w.Open(a)
	return &mortalBucket{Bucket: b, p: p}, err
}

// mortalBucket lets nothing through once its process is dead.
type mortalBucket struct {
	bucket.Bucket
	p *process
}

func (b *mortalBucket) refuse() error {
	if b.p.dead.Load() {
		return &bucket.Error{Problem: bucket.AccessDenied, Op: "dead", Cause: errDead}
	}
	return nil
}

func (b *mortalBucket) Put(ctx context.Context, key string, body bucket.Body, opt bucket.PutOptions) error {
	if b.p.dead.Load() {
		if b.p.late != nil {
			if d := b.p.late(key); d >= 0 {
				joined := bucket.Body{bytes.Join(body, nil)}
				go func() {
					time.Sleep(d)
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					_ = b.Bucket.Put(ctx, key, joined, opt)
				}()
			}
		}
		return b.refuse()
	}
	return b.Bucket.Put(ctx, key, body, opt)
}

func (b *mortalBucket) Head(ctx context.Context, key string) (bucket.Info, error) {
	if err := b.refuse(); err != nil {
		return bucket.Info{}, err
	}
	return b.Bucket.Head(ctx, key)
}

func (b *mortalBucket) Get(ctx context.Context, key string) (io.ReadCloser, bucket.Info, error) {
	if err := b.refuse(); err != nil {
		return nil, bucket.Info{}, err
	}
	return b.Bucket.Get(ctx, key)
}

func (b *mortalBucket) List(ctx context.Context, prefix string) iter.Seq2[bucket.Info, error] {
	if err := b.refuse(); err != nil {
		return func(yield func(bucket.Info, error) bool) { yield(bucket.Info{}, err) }
	}
	return b.Bucket.List(ctx, prefix)
}

func (b *mortalBucket) Close() error { return nil }

// mortalStore writes nothing once its process is dead.
type mortalStore struct {
	delivery.Store
	p *process
}

func (s *mortalStore) Save(ctx context.Context, v control.Save) (int64, error) {
	if s.p.dead.Load() {
		return 0, errDead
	}
	return s.Store.Save(ctx, v)
}

func (s *mortalStore) ApplyControl(ctx context.Context, log eventlog.ID, next eventlog.Offset, recs []control.LoggedRecord) error {
	if s.p.dead.Load() {
		return errDead
	}
	return s.Store.ApplyControl(ctx, log, next, recs)
}

func (s *mortalStore) AddCounts(ctx context.Context, log eventlog.ID, next eventlog.Offset, counts []control.Count) error {
	if s.p.dead.Load() {
		return errDead
	}
	return s.Store.AddCounts(ctx, log, next, counts)
}

func (s *mortalStore) SaveHealth(ctx context.Context, h control.Health) error {
	if s.p.dead.Load() {
		return errDead
	}
	return s.Store.SaveHealth(ctx, h)
}

func (s *mortalStore) AddNotice(ctx context.Context, n control.Notice) error {
	if s.p.dead.Load() {
		return errDead
	}
	return s.Store.AddNotice(ctx, n)
}

func (s *mortalStore) TellDrops(ctx context.Context, told []control.Drop, notices []control.Notice) error {
	if s.p.dead.Load() {
		return errDead
	}
	return s.Store.TellDrops(ctx, told, notices)
}

func (s *mortalStore) FinishLane(ctx context.Context, l control.Lane) error {
	if s.p.dead.Load() {
		return errDead
	}
	return s.Store.FinishLane(ctx, l)
}

// object is one Avro object of ours with the ids it holds.
type object struct {
	bucket, key string
	ids         []string
}

// objects reads every Avro file of the connector, past delivery's own bookkeeping.
func (w *world) objects() []object {
	w.t.Helper()
	var out []object
	for _, name := range slices.Sorted(maps.Keys(w.buckets)) {
		b := w.buckets[name]
		for _, key := range b.Keys() {
			if _, ok := avrofile.ParseKey("currents", key); !ok {
				continue
			}
			data, _, _ := b.Object(key)
			o := object{bucket: name, key: key}
			if err := avrofile.EventIDs(bytes.NewReader(data), func(id []byte) bool {
				o.ids = append(o.ids, string(id))
				return true
			}); err != nil {
				continue // a stranger's
			}
			out = append(out, o)
		}
	}
	return out
}

func (w *world) selections() (sels []event.Selection) {
	for _, c := range w.history {
		sel, _ := w.catalogue.Select(c.Events)
		sels = append(sels, sel)
	}
	return sels
}

// wanted is where each event must be: by the configuration that held at its offset, of which sels are the selections.
// Empty: nowhere.
func (w *world) wanted(a appended, sels []event.Selection) string {
	if a.lost != nil {
		return a.lost.want
	}
	where := ""
	for i, c := range w.history {
		if w.logged[i] > a.offset {
			break
		}
		where = ""
		if !c.Deleted && (a.target == 0 && sels[i].Has(a.schema) || a.target == c.Number) {
			where = c.Destination.Bucket
		}
	}
	return where
}

// check compares buckets, ledger and what was appended. dropped counts events that the ledger says were lost.
func (w *world) check() {
	w.t.Helper()
	time.Sleep(30 * time.Second) // what dead processes sent off lands
	where := map[string][]string{}
	objects := w.objects()
	for _, o := range objects {
		for _, id := range o.ids {
			where[id] = append(where[id], o.bucket+" "+o.key)
		}
	}
	missed, doubled, wrong := 0, 0, 0
	missing, maybe := map[string]int64{}, map[string]int64{} // per type; maybe: in a range that cannot be told exactly
	w.store.mu.Lock()
	var blanks []control.Drop // ranges of which the ledger cannot tell how many events they lost
	for _, d := range w.store.drops {
		if d.OverAll() {
			blanks = append(blanks, d)
		}
	}
	w.store.mu.Unlock()
	blank := func(a appended) bool {
		return a.lost != nil && a.lost.unknown || slices.ContainsFunc(blanks, func(d control.Drop) bool {
			here := d.Events < 0 && d.First <= a.offset && a.offset <= d.Last
			if a.lost != nil {
				return here && d.Log == a.lost.log
			}
			return here && d.Log == w.source().ID() && d.Reason != control.DropLogLost
		})
	}
	sels := w.selections()
	for _, a := range w.appended {
		want, got := w.wanted(a, sels), where[a.id]
		switch {
		case want == "" && len(got) > 0:
			wrong++
			w.t.Errorf("event %s at %d was not selected, yet is in %v", a.id, a.offset, got)
		case want == "":
		case len(got) == 0 && blank(a):
			maybe[a.schema.Type.Name]++
		case len(got) == 0:
			missing[a.schema.Type.Name]++
			missed++
		case len(got) > 1:
			doubled++
			w.t.Errorf("promise 2 (exactly once) is broken: event %s at %d is in several objects: %v", a.id, a.offset, got)
		case got[0][:len(want)] != want:
			wrong++
			w.t.Errorf("event %s at %d must be in bucket %s, and is in %v", a.id, a.offset, want, got)
		}
		if w.t.Failed() && missed+doubled+wrong > 10 {
			w.t.FailNow()
		}
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	dropped := map[string]int64{}
	var sum int64
	loose := map[string]bool{} // types with drops that could not be settled: some of it may be in the bucket after all
	for _, d := range w.store.drops {
		if d.OverAll() {
			continue
		}
		dropped[d.EventType] += d.Events
		sum += d.Events
		loose[d.EventType] = loose[d.EventType] || !d.Settled && w.store.done[d.Lane] || w.store.unseen[d.ID]
	}
	for typ := range loose {
		if loose[typ] && missing[typ] <= dropped[typ] {
			delete(missing, typ)
			delete(dropped, typ)
		}
	}
	for typ := range dropped {
		if n := dropped[typ] - missing[typ]; n > 0 && n <= maybe[typ] {
			missing[typ] += n // dropped before its log was lost
		}
	}
	if !maps.Equal(missing, nonzero(dropped)) {
		w.t.Errorf("promise 4 (nothing is lost in silence) is broken: missing in the bucket %v, dropped by the ledger %v", missing, dropped)
		for _, a := range w.appended {
			if w.wanted(a, sels) != "" && len(where[a.id]) == 0 && sum == 0 {
				w.t.Errorf("  lost: %s at %d", a.id, a.offset)
			}
		}
	}
	// Ledger = bucket.
	rows := map[string]int{}
	for l, files := range w.store.files {
		for _, f := range files {
			rows["b"+strconv.Itoa(l.Destination)+" "+f.Key] += f.Events
		}
	}
	known, lost := map[string]bool{}, map[string]bool{}
	for _, a := range w.appended {
		known[a.id], lost[a.id] = true, a.lost != nil
	}
	for _, o := range objects {
		at := o.bucket + " " + o.key
		ours, orphans := 0, 0
		for _, id := range o.ids {
			if known[id] {
				ours++
			}
			if lost[id] {
				orphans++
			}
		}
		if rows[at] == 0 && ours == orphans {
			continue // written before its log was lost, and not saved: nobody can know
		}
		if name, _ := avrofile.ParseKey("currents", o.key); rows[at] == 0 && loose[name.EventType] {
			continue
		}
		if rows[at] > ours || rows[at] < ours-orphans { // of what a lost log held nobody may know that it is there
			w.t.Errorf("the ledger says %d events for %s, the bucket holds %d of ours", rows[at], at, ours)
		}
		delete(rows, at)
	}
	for key := range rows {
		w.t.Errorf("the ledger has %s, the bucket does not", key)
	}
}

func nonzero(m map[string]int64) map[string]int64 {
	maps.DeleteFunc(m, func(_ string, n int64) bool { return n == 0 })
	return m
}

// settled waits until every lane that is not parked has delivered everything.
func (w *world) settled(limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(time.Second) {
		w.store.mu.Lock()
		_, head := w.source().Bounds()
		ok := len(w.store.rows) > 0 && w.store.cursor >= w.lastRecord()
		for l, p := range w.store.pos {
			upto := head
			if p.Until > 0 {
				upto = p.Until
			}
			ok = ok && (w.store.done[l] || p.Cursor >= upto)
		}
		for _, d := range w.store.drops {
			ok = ok && (d.Settled || w.store.done[d.Lane])
		}
		w.store.mu.Unlock()
		if ok {
			return true
		}
	}
	return false
}

func (w *world) lastRecord() eventlog.Offset {
	if n := len(w.logged); n > 0 {
		return w.logged[n-1] + 1
	}
	return 0
}

func newRand(t testing.TB, seed uint64) *rand.Rand {
	t.Helper()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

func (w *world) hour() eventlog.Hour {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	return w.log.commits[0].Hour()
}

type eventlogOffset = eventlog.Offset
