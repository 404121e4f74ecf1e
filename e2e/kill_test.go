package e2e_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seed  = flag.Uint64("seed", 0, "seed of the kill test; 0: a new one")
	kills = flag.Int("kills", 5, "how often the kill test kills")
)

// The promise of the product: whatever a producer sent, repeating what was not answered, is in the bucket once,
// however often the process was killed.
func TestKilledUnderLoadEachEventIsInTheBucketOnce(t *testing.T) {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	n := *kills
	if os.Getenv("MILLRACE_SOAK") == "1" {
		n *= 20
	}
	t.Logf("seed %d, %d kills (repeat with -seed)", s, n)
	r := rand.New(rand.NewPCG(s, 1))

	store := startStore(t)
	data := t.TempDir()
	srv := newServer(t, data)
	manifest := write(t, "apply.yaml", store.manifest("flush: {interval: 1s, events: 500}"))
	env := append(srv.env, "ACME_S3_SECRET="+store.secret, "ACME_PRODUCER_KEY="+producerKey)
	must(t, env, "apply", "-f", manifest)
	srv.start()

	// Producers: each repeats its request, under one key, until it is answered.
	var (
		stop     atomic.Bool
		mu       sync.Mutex
		sent     = map[string]bool{}
		repeated atomic.Int64
		wg       sync.WaitGroup
	)
	for p := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(s, uint64(p)+2))
			for batch := 0; !stop.Load(); batch++ {
				var body strings.Builder
				var ids []string
				for i := range 1 + r.IntN(100) {
					id := fmt.Sprintf("p%d-b%d-e%d", p, batch, i)
					ids = append(ids, id)
					body.WriteString(eventOf(id, batch*7+i))
				}
				idem := fmt.Sprintf("p%d-b%d", p, batch)
				for try := 0; ; try++ {
					status, accepted, answer, err := srv.post(producerKey, idem, []byte(body.String()))
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
					repeated.Add(1)
					time.Sleep(10 * time.Millisecond)
				}
				mu.Lock()
				for _, id := range ids {
					sent[id] = true
				}
				mu.Unlock()
				time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
			}
		})
	}
	for range n {
		time.Sleep(time.Duration(200+r.IntN(2500)) * time.Millisecond)
		srv.kill()
		srv.start()
	}
	time.Sleep(time.Second)
	stop.Store(true)
	wg.Wait()
	if t.Failed() {
		return
	}
	if repeated.Load() == 0 {
		t.Error("no request was repeated: the kills did not hit anything")
	}
	shelf := newShelf(store.root)
	shelf.waitFor(t, sent, time.Minute)
	t.Logf("%d events sent, %d requests repeated, %d files", len(sent), repeated.Load(), shelf.files)

	srv.stop()
	if out, stderr, code := call(t, srv.env, "verify", "--connector", "acme/warehouse"); code != 0 {
		t.Errorf("verify: exit %d\n%s%s", code, out, stderr)
	}
}

const producerKey = "mr_e2e_0123456789abcdefghijklmnopqrstuvwxyz"
