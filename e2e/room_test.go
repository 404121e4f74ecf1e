package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of its own on a fresh folder until the test ends. Who may not mount runs the test
// once more in a user namespace, where anybody may; nil says that this has happened and decided.
func smallDisk(t *testing.T, size string) (dir string, ours bool) {
	t.Helper()
	dir = t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
	const inside = "E2E_INSIDE_NAMESPACE"
	if err == unix.EPERM && os.Getenv(inside) == "" {
		c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		c.Env = append(os.Environ(), inside+"=1")
		c.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("in a namespace of its own: %v\n%s", err, out)
		}
		return "", false
	}
	if err != nil {
		t.Fatalf("a small file system cannot be mounted, neither as this user nor in a user namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir, true
}

// ballast takes so many bytes of the disk at once, or all that are left if there are fewer.
func ballast(t *testing.T, dir string, bytes int64) (remove func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for step := bytes; step >= 4096; {
		at, err := f.Seek(0, 2)
		if err != nil {
			t.Fatal(err)
		}
		if at >= bytes {
			break
		}
		if unix.Fallocate(int(f.Fd()), 0, at, min(step, bytes-at)) != nil {
			step /= 2
		}
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Error(err)
		}
	}
}

// refused gives how many requests a server answered with 503.
func refused(t *testing.T, srv *server) float64 {
	return sum(get(t, "http://"+metricsOf(srv)+"/metrics"), "millrace_ingest_requests_total", `status="503"`)
}

func accepted(t *testing.T, srv *server) float64 {
	return sum(get(t, "http://"+metricsOf(srv)+"/metrics"), "millrace_ingest_accepted_events_total")
}

// eventually waits until what is true.
func eventually(t *testing.T, limit time.Duration, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !true(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %s", limit, what)
		}
	}
}

// The disk fills up under load, first to where the reserve begins, then to its last byte within a moment. Requests
// are refused with 503, nothing that was acknowledged is lost, and work goes on by itself when there is room.
func TestADiskThatFillsUpRefusesAndRecovers(t *testing.T) {
	dir, ours := smallDisk(t, "400m")
	if !ours {
		return
	}
	w := newWorldIn(t, filepath.Join(dir, "data"), "MILLRACE_LOG_MAX_BYTES=1GiB")
	load := startLoad(t, w.server, 1, 0)
	time.Sleep(time.Second)
	for _, c := range []struct {
		name  string
		bytes int64
	}{{"the reserve is reached", 200 << 20}, {"nothing is left", 1 << 40}} {
		before := refused(t, w.server)
		remove := ballast(t, dir, c.bytes)
		eventually(t, 10*time.Second, c.name+": requests are refused", func() bool { return refused(t, w.server) > before })
		time.Sleep(2 * time.Second)
		if got := get(t, "http://"+w.addr+"/healthz"); !strings.Contains(got, "ok") {
			t.Errorf("%s: /healthz says %s", c.name, got)
		}
		during := accepted(t, w.server)
		time.Sleep(500 * time.Millisecond)
		if now := accepted(t, w.server); now > during {
			t.Errorf("%s: %v events were accepted", c.name, now-during)
		}
		remove()
		eventually(t, 20*time.Second, c.name+": there is room again and events are accepted", func() bool { return accepted(t, w.server) > during })
	}
	sent, again := load.end()
	if again == 0 {
		t.Error("no request was refused")
	}
	maps.Copy(w.sent, sent)
	w.delivered()
	w.agrees()
	if d := w.drops(); len(d) > 0 {
		t.Errorf("the ledger lists drops: %v", d)
	}
}

// A crowd of idle connections leaves descriptors for the log and the bucket, and places for others, however few there
// are. When there are none left all the same, the process survives, what it accepted is delivered once there are some
// again, and it takes requests again by itself.
func TestFileDescriptorsRunOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	w.files = 64
	w.start()
	load := startLoad(t, w.server, 2, 0)
	isServed := func() bool {
		c := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := c.Get("http://" + w.addr + "/healthz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	}
	for range 200 {
		c, err := net.DialTimeout("tcp", w.addr, 5*time.Second)
		if err != nil {
			t.Fatalf("a connection beside idle ones: %v", err)
		}
		defer c.Close()
	}
	eventually(t, 10*time.Second, "a new connection is served beside 200 idle ones", isServed)

	pid := w.cmd.Process.Pid
	limit := unix.Rlimit{Cur: 8, Max: uint64(w.files)} // fewer than it has: it keeps those, and gets no other
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "there are no descriptors left", func() bool { return !isServed() })
	time.Sleep(3 * time.Second)
	limit.Cur = limit.Max
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "a new connection is served", isServed)
	time.Sleep(time.Second)
	sent, _ := load.end()
	maps.Copy(w.sent, sent)
	w.delivered()
	w.agrees()
}

// The least memory that may be set, a store that takes nothing for a while, and producers who do not stop, some of them with
// the largest bodies that are taken: memory stays below the bound that docs/performance.md states, and everything is
// delivered afterwards.
func TestTheLeastMemoryBudgetIsKept(t *testing.T) {
	t.Parallel()
	const budget = 64                   // MiB
	const most = budget*9/8 + 96 + 2*12 // what the process may have: two connectors read a commit each
	t.Run("Currents alone", func(t *testing.T) { keepsBudget(t, budget, most, "MILLRACE_PROFILES=false") })
	t.Run("with profiles", func(t *testing.T) { keepsBudget(t, budget, most+budget/4+64) })
}

// keepsBudget fills the memory of a server with that budget, and looks at the most that it had, both in MiB.
func keepsBudget(t *testing.T, budget, most int, env ...string) {
	t.Parallel()
	w := newWorld(t, append(env, fmt.Sprintf("MILLRACE_MEMORY_BUDGET=%dMiB", budget))...)
	w.proxy.set(noFiles)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for p := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(3, uint64(p)))
			batches, events := 6, 1500
			if p >= 6 {
				batches, events = 2, 5400 // bodies about as large as this budget lets them be
			}
			for batch := range batches {
				var body strings.Builder
				var ids []string
				for k := range events {
					id := fmt.Sprintf("p%d-b%d-e%d", p, batch, k)
					ids = append(ids, id)
					fmt.Fprintf(&body, `{"event_type":"users.behaviors.CustomEvent","id":%q,"user_id":"u","time":1790000000,"name":%q,"properties":"{}"}`+"\n",
						id, strings.Repeat(fmt.Sprint(r.Uint64()), 100))
				}
				for {
					status, _, answer, err := w.post(producerKey, fmt.Sprintf("p%d-b%d", p, batch), []byte(body.String()))
					if err == nil && status == 200 {
						break
					}
					if err == nil && status != 503 && status != 429 {
						t.Errorf("status %d: %s", status, answer)
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
				mu.Lock()
				for _, id := range ids {
					w.sent[id] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	w.proxy.calm()
	w.delivered()
	peak := peakMiB(t, w.server)
	t.Logf("peak resident memory %d MiB with a budget of %d MiB", peak, budget)
	if peak > most {
		t.Errorf("memory is bounded by its budget: the process had %d MiB, with %d MiB set", peak, budget)
	}
	w.agrees()
}

// The log reaches its quota with a connector that delivers, one that is refused and one that is paused. First the
// room for replay goes, then the oldest of what only the idle ones need. The ledger counts exactly what they lost, the
// rest of theirs is delivered when they can, and the one that delivers has everything. The short form fills the log once
// and gives one segment back.
func TestTheLogsQuotaIsPaidByWhoDeliversNothing(t *testing.T) {
	batches, quota, pause := 150, "144MiB", time.Duration(0) // of about a megabyte each; a segment has 64 MiB
	grace := "1m"                                            // longer than it takes, and short, because a probe comes each twentieth
	if long() {
		batches, quota, pause, grace = 420, "256MiB", 100*time.Millisecond, "20m"
	}
	store := startStore(t)
	p := startProxy(t, store.endpoint)
	store.endpoint = p.URL
	var tenants []tenant
	for _, name := range []string{"healthy", "failing", "paused"} {
		tenants = append(tenants, tenant{name: name, key: "mr_e2e_" + name + "_0123456789abcdefghijklmnopqrst", more: "flush: {interval: 1s, events: 1000}"})
	}
	srv := newServer(t, t.TempDir(), "MILLRACE_ATTEMPT_LIMIT=2s", "MILLRACE_GRACE_PERIOD="+grace, "MILLRACE_LOG_MAX_BYTES="+quota, "MILLRACE_QUOTA_PATIENCE=5s")
	apply := func(paused string) {
		tenants[2].more = "flush: {interval: 1s, events: 1000}\n        paused: " + paused
		manifest, env := store.manifestOf(tenants)
		must(t, append(srv.env, env...), "apply", "-f", write(t, "apply.yaml", manifest))
	}
	apply("true") // before it starts, so that it delivers nothing of what comes
	srv.start()
	lanesReady(t, srv, 3)
	p.set(func(r *http.Request) mishap {
		if strings.Contains(r.URL.Path, "/f-failing/") {
			return denied
		}
		return none
	})
	sent := []map[string]bool{{}, {}, {}}
	var waited time.Duration
	for batch := range batches {
		i := batch % 3
		var body strings.Builder
		for k := range 100 {
			id := fmt.Sprintf("%s-b%d-e%d", tenants[i].name, batch, k)
			sent[i][id] = true
			fmt.Fprintf(&body, `{"event_type":"users.behaviors.CustomEvent","id":%q,"user_id":"u","time":1790000000,"name":%q,"properties":"{}"}`+"\n", id, strings.Repeat("x", 10_000))
		}
		for {
			status, _, answer, err := srv.post(tenants[i].key, fmt.Sprint("b", batch), []byte(body.String()))
			if err == nil && status == 200 {
				break
			}
			if err != nil || status != 503 {
				t.Fatalf("status %d: %s %v", status, answer, err)
			}
			time.Sleep(250 * time.Millisecond)
			waited += 250 * time.Millisecond
		}
		time.Sleep(pause)
	}
	shelves := make([]*shelf, 3)
	for i, x := range tenants {
		shelves[i] = newShelf(filepath.Join(store.root, x.folder()))
	}
	shelves[0].waitFor(t, sent[0], 20*time.Second) // while the others still wait
	eventually(t, time.Minute, "those that deliver nothing have paid", func() bool {
		return quotaDrops(t, srv, "failing") > 0 && quotaDrops(t, srv, "paused") > 0
	})
	p.calm()
	apply("false")
	for i := 1; i < 3; i++ {
		// What is neither in the bucket nor in the ledger is on its way.
		var lost int64
		eventually(t, 6*time.Minute, tenants[i].name+" has its events or has listed them", func() bool {
			lost = quotaDrops(t, srv, tenants[i].name)
			shelves[i].look(t)
			return int64(len(shelves[i].ids))+lost >= int64(len(sent[i]))
		})
		time.Sleep(secondCopy)
		shelves[i].look(t)
		if got := int64(len(shelves[i].ids)) + lost; got != int64(len(sent[i])) || lost == 0 || len(shelves[i].ids) == 0 {
			t.Errorf("%s: %d events in the bucket and %d in the ledger as dropped, of %d: some are to be lost, and as few as give room", tenants[i].name, len(shelves[i].ids), lost, len(sent[i]))
		}
		for id, n := range shelves[i].ids {
			if n > 1 || !sent[i][id] {
				t.Errorf("%s: %s is there %d times", tenants[i].name, id, n)
			}
		}
		// Each tenant's requests were sent one after the other.
		newestLost, oldestKept := -1, batches
		for id := range sent[i] {
			batch := 0
			fmt.Sscanf(id, tenants[i].name+"-b%d-", &batch)
			if shelves[i].ids[id] == 0 {
				newestLost = max(newestLost, batch)
			} else {
				oldestKept = min(oldestKept, batch)
			}
		}
		if newestLost > oldestKept {
			t.Errorf("the quota takes the oldest first: %s lost events of request %d and kept some of request %d", tenants[i].name, newestLost, oldestKept)
		}
		t.Logf("%s: %d delivered, %d dropped", tenants[i].name, len(shelves[i].ids), lost)
	}
	if n := quotaDrops(t, srv, "healthy"); n > 0 {
		t.Errorf("the connector that delivers lost %d events", n)
	}
	t.Logf("producers waited %v in all", waited)
	if waited > 20*time.Second {
		t.Errorf("producers waited %v, although connectors that deliver nothing held the log", waited)
	}
	srv.stop()
	for _, x := range tenants {
		if out, stderr, code := call(t, srv.env, "verify", "--connector", x.name+"/warehouse"); code != 0 {
			t.Errorf("verify %s: exit %d\n%s%s", x.name, code, out, stderr)
		}
	}
}

// quotaDrops gives how many events a workspace's connector lost to the quota, by its ledger.
func quotaDrops(t *testing.T, srv *server, workspace string) (events int64) {
	t.Helper()
	var l struct {
		Dropped []struct {
			Reason string
			Events int64
		}
	}
	if err := json.Unmarshal([]byte(must(t, srv.env, "ledger", "--connector", workspace+"/warehouse", "--json")), &l); err != nil {
		t.Fatal(err)
	}
	for _, d := range l.Dropped {
		if d.Reason != "quota" {
			t.Errorf("%s lost events for %s", workspace, d.Reason)
		}
		events += d.Events
	}
	return events
}
