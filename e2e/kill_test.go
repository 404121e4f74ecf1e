package e2e_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seed  = flag.Uint64("seed", 0, "seed of the kill test; 0: a new one")
	kills = flag.Int("kills", 0, "how often the kill test kills; 0: 20, and 1,000 in the long form")
)

// killsAround is how many kills there are between two comparisons of what was sent with what is there.
const killsAround = 20

// The promise of the product: whatever a producer sent, repeating what was not answered, is in the bucket once,
// however often the process is killed and whatever the store does meanwhile.
func TestKilledUnderLoadWithAFailingStoreEachEventIsInTheBucketOnce(t *testing.T) {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	n := *kills
	if n == 0 {
		n = killsAround
		if long() {
			n = 1000
		}
	}
	t.Logf("seed %d, %d kills (repeat with -seed and -kills)", s, n)
	r := rand.New(rand.NewPCG(s, 1))

	store := startStore(t)
	p := startProxy(t, store.endpoint)
	store.endpoint = p.URL
	srv := newServer(t, t.TempDir(), "MILLRACE_ATTEMPT_LIMIT=1s", "MILLRACE_GRACE_PERIOD=20s", "MILLRACE_LOG_RETENTION=30s")
	manifest := write(t, "apply.yaml", store.manifest("flush: {interval: 1s, events: 100}"))
	must(t, append(srv.env, "ACME_S3_SECRET="+store.secret, "ACME_PRODUCER_KEY="+producerKey), "apply", "-f", manifest)
	srv.start()
	lanesReady(t, srv, 1)

	shelf := newShelf(store.root)
	total, repeated := 0, int64(0)
	for round := 0; round*killsAround < n; round++ {
		p.set(atRandom(rand.New(rand.NewPCG(s, uint64(round)<<8|1)), 5, everyMishap))
		clear(shelf.ids) // each round sends events of its own
		load := startLoad(t, srv, s, round)
		for range min(killsAround, n-round*killsAround) {
			time.Sleep(time.Duration(100+r.IntN(1500)) * time.Millisecond)
			srv.dies(r)
			shelf.look(t)
		}
		time.Sleep(time.Second)
		sent, again := load.end()
		if t.Failed() {
			return
		}
		p.calm()
		shelf.waitFor(t, sent, time.Minute)
		if t.Failed() {
			t.Fatalf("after %d kills; seed %d", (round+1)*killsAround, s)
		}
		total, repeated = total+len(sent), repeated+again
	}
	if repeated == 0 {
		t.Error("no request was repeated: the kills did not hit anything")
	}
	did := p.happened()
	for _, m := range everyMishap {
		if did[m] == 0 && len(p.written) > 300 {
			t.Errorf("the proxy never did %q", m)
		}
	}
	t.Logf("%d events sent, %d requests repeated, %d files; mishaps: %v", total, repeated, shelf.files, did)
	srv.stop()
	p.report(t)
	shelf.unchanged(t)
	ledgerAgrees(t, srv, shelf, total)
	if out, stderr, code := call(t, srv.env, "verify", "--connector", "acme/warehouse"); code != 0 {
		t.Errorf("verify: exit %d\n%s%s", code, out, stderr)
	}
}

const producerKey = "mr_e2e_0123456789abcdefghijklmnopqrstuvwxyz"

// load is producers that send until end; each repeats its request, under one Idempotency-Key, until it is answered.
type load struct {
	stop     atomic.Bool
	producer sync.WaitGroup
	mu       sync.Mutex
	sent     map[string]bool
	repeated int64
}

// startLoad begins round of the load that follows from seed.
func startLoad(t *testing.T, srv *server, seed uint64, round int) *load {
	l := &load{sent: map[string]bool{}}
	for p := range 4 {
		l.producer.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(round)<<8|uint64(p)+2))
			for batch := 0; !l.stop.Load(); batch++ {
				var body strings.Builder
				var ids []string
				for i := range 1 + r.IntN(60) {
					id := fmt.Sprintf("r%d-p%d-b%d-e%d", round, p, batch, i)
					ids = append(ids, id)
					body.WriteString(eventOf(id, batch*7+i))
				}
				for {
					status, accepted, answer, err := srv.post(producerKey, fmt.Sprintf("r%d-p%d-b%d", round, p, batch), []byte(body.String()))
					if err == nil && status == 200 {
						if accepted != len(ids) {
							t.Errorf("accepted %d of %d: %s", accepted, len(ids), answer)
						}
						break
					}
					if err == nil && status < 500 && status != 429 {
						t.Errorf("status %d: %s", status, answer)
						return
					}
					atomic.AddInt64(&l.repeated, 1)
					time.Sleep(10 * time.Millisecond)
				}
				l.mu.Lock()
				for _, id := range ids {
					l.sent[id] = true
				}
				l.mu.Unlock()
				time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
			}
		})
	}
	return l
}

// end lets every request under way be answered, and gives what was sent.
func (l *load) end() (sent map[string]bool, repeated int64) {
	l.stop.Store(true)
	l.producer.Wait()
	return l.sent, atomic.LoadInt64(&l.repeated)
}

// ledgerAgrees compares the ledger with the bucket: the same files with as many events, all events, none twice, no
// drops.
func ledgerAgrees(t *testing.T, srv *server, s *shelf, events int) {
	t.Helper()
	type row struct {
		Kind, Key, Hour string
		EventType       string `json:"event_type"`
		SchemaID        uint32 `json:"schema_id"`
		First, Last     int64
		Events          int
	}
	type stream struct {
		typ, hour string
		schema    uint32
	}
	streams := map[stream][]row{}
	left := maps.Clone(s.read)
	total := 0
	for line := range strings.Lines(must(t, srv.env, "ledger", "--connector", "acme/warehouse", "--files", "--json")) {
		var x row
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("ledger prints %q: %v", line, err)
		}
		if x.Kind != "file" {
			t.Errorf("the ledger has a %s nobody expects: %s", x.Kind, line)
			continue
		}
		name := filepath.Join(s.root, x.Key)
		if o, ok := left[name]; !ok {
			t.Errorf("the ledger lists %s, which is not in the bucket, or twice", x.Key)
		} else if o.events != x.Events {
			t.Errorf("%s holds %d events, the ledger says %d", x.Key, o.events, x.Events)
		}
		delete(left, name)
		total += x.Events
		k := stream{x.EventType, x.Hour, x.SchemaID}
		streams[k] = append(streams[k], x)
	}
	for name := range left {
		t.Errorf("%s is in the bucket and not in the ledger", name)
	}
	if total != events {
		t.Errorf("the ledger counts %d events, %d were sent", total, events)
	}
	for k, rows := range streams {
		slices.SortFunc(rows, func(a, b row) int { return int(a.First - b.First) })
		for i := 1; i < len(rows); i++ {
			if rows[i].First <= rows[i-1].Last {
				t.Errorf("%s %s: %s and %s cover the same offsets", k.typ, k.hour, rows[i-1].Key, rows[i].Key)
			}
		}
	}
}
