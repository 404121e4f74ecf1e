package e2e_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// quick lets a server notice within seconds what takes minutes by default: attempts that hang, and customers that
// have mended something (a parked connector asks again after a twentieth of the grace period).
var quick = []string{"MILLRACE_ATTEMPT_LIMIT=2s", "MILLRACE_GRACE_PERIOD=20s"}

// tenant is a workspace with a connector of its own in the store's one bucket, and its producer.
type tenant struct {
	name, key string
	more      string // lines of the connector
}

func (x tenant) folder() string { return "f-" + x.name }

// manifestOf is a file of apply with a workspace for each tenant.
func (s store) manifestOf(tenants []tenant) (text string, env []string) {
	var b strings.Builder
	b.WriteString("workspaces:\n")
	for i, x := range tenants {
		fmt.Fprintf(&b, `  - name: %s
    api_keys:
      - {name: producer, scopes: [events.write], secret_env: KEY_%d}
    connectors:
      - name: warehouse
        type: s3
        contact_email: data@%s.example
        destination: {bucket: %s, folder: %s, region: us-east-1, endpoint: %q, path_style: true, access_key_id: %s, secret_access_key_env: ACME_S3_SECRET}
        events: [all]
        %s
`, x.name, i, x.name, s.bucket, x.folder(), s.endpoint, s.keyID, x.more)
		env = append(env, fmt.Sprintf("KEY_%d=%s", i, x.key))
	}
	return b.String(), append(env, "ACME_S3_SECRET="+s.secret)
}

// lanesReady waits until n connectors have begun.
func lanesReady(t *testing.T, srv *server, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		have := strings.Count(get(t, "http://"+metricsOf(srv)+"/metrics"), "\nmillrace_delivery_lag_events{")
		if have >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d connectors have begun", have, n)
		}
	}
}

// sum adds up the samples of a metric whose labels hold all of want.
func sum(metrics, name string, want ...string) float64 {
	total := 0.0
	for line := range strings.Lines(metrics) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || !strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, " ") {
			continue
		}
		at := strings.LastIndexByte(rest, ' ')
		labels, value := rest[:at], rest[at:]
		all := true
		for _, w := range want {
			all = all && strings.Contains(labels, w)
		}
		if v, err := strconv.ParseFloat(strings.TrimSpace(value), 64); all && err == nil {
			total += v
		}
	}
	return total
}

// Each thing that can go wrong between us and S3, alone, and in a server that has to live with all of them at once:
// everything is delivered, each event once, without anybody doing anything. What is the customer's to mend parks the
// connector and resumes; what is not does not. Nobody slows the connector whose store is well.
func TestEachFaultOfS3AloneIsSurvived(t *testing.T) {
	const (
		first = iota // the first request of each method for each key
		while        // everything, for two seconds
	)
	cases := []struct {
		what    mishap
		when    int
		problem string // as the metrics name it; empty: nothing fails
		parks   bool
		large   bool // events that add up to megabytes
	}{
		{what: none},
		{what: internalError, problem: "server_error"},
		{what: slowDown, problem: "throttled"},
		{what: errorIn200, problem: "server_error"},
		{what: conflict}, // answered by asking what is there
		{what: resetBefore, problem: "network"},
		{what: resetAfter, problem: "network"},
		{what: stall, problem: "network"},
		{what: lostAnswer, problem: "network"},
		{what: lateArrival, problem: "network"},
		{what: cutAnswer, problem: "network"},
		{what: slowAnswer},
		{what: slowBytes, when: while, problem: "network", large: true},
		{what: skewedClock, problem: "clock_skew"},
		{what: denied, when: while, problem: "access_denied", parks: true},
		{what: expiredToken, when: while, problem: "expired_token", parks: true},
		{what: wrongRegion, when: while, problem: "wrong_region", parks: true},
	}
	store := startStore(t)
	direct := store.endpoint
	p := startProxy(t, direct)
	store.endpoint = p.URL
	var tenants []tenant
	for i := range cases {
		x := tenant{name: fmt.Sprintf("t%02d", i), key: fmt.Sprintf("mr_e2e_%02d_0123456789abcdefghijklmnopqrst", i), more: "flush: {interval: 1s, events: 100}"}
		if cases[i].large {
			x.more = "flush: {interval: 2s, events: 15000}\n        codec: \"null\""
		}
		tenants = append(tenants, x)
	}
	srv := newServer(t, t.TempDir(), quick...)
	manifest, env := store.manifestOf(tenants)
	must(t, append(srv.env, env...), "apply", "-f", write(t, "apply.yaml", manifest))
	srv.start()
	lanesReady(t, srv, len(tenants))

	// From here on each connector has its fault.
	type request struct{ method, path string }
	seen := map[request]bool{}
	began := map[int]time.Time{}
	hit := make([]int, len(cases))
	folder := regexp.MustCompile(`/f-t(\d\d)(/|$)`)
	p.set(func(r *http.Request) mishap {
		m := folder.FindStringSubmatch(r.URL.Path)
		if m == nil {
			return none
		}
		i, _ := strconv.Atoi(m[1])
		c := cases[i]
		if c.when == while {
			if began[i].IsZero() {
				began[i] = time.Now()
			}
			if c.what != slowBytes && time.Since(began[i]) > 2*time.Second {
				return none
			}
			hit[i]++
			return c.what
		}
		q := request{r.Method, r.URL.Path}
		if seen[q] || c.what == conflict && r.Method != http.MethodPut {
			return none
		}
		seen[q] = true
		hit[i]++
		return c.what
	})
	sent := make([]map[string]bool, len(cases))
	var wg sync.WaitGroup
	for i, x := range tenants {
		sent[i] = map[string]bool{}
		wg.Go(func() {
			for batch := range 5 {
				var body strings.Builder
				n := 120
				filler := "x"
				if cases[i].large {
					n, filler = 1000, strings.Repeat("x", 1000)
				}
				for k := range n {
					id := fmt.Sprintf("%s-b%d-e%d", x.name, batch, k)
					sent[i][id] = true
					if cases[i].large {
						fmt.Fprintf(&body, `{"event_type":"users.behaviors.CustomEvent","id":%q,"user_id":"u","time":1790000000,"name":%q,"properties":"{}"}`+"\n", id, filler)
						continue
					}
					body.WriteString(eventOf(id, k))
				}
				if status, accepted, answer, err := srv.post(x.key, "", []byte(body.String())); err != nil || status != 200 || accepted != n {
					t.Errorf("%s: status %d: %s %v", x.name, status, answer, err)
				}
				if !cases[i].large {
					time.Sleep(400 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	shelves := make([]*shelf, len(cases))
	for i, x := range tenants {
		shelves[i] = newShelf(filepath.Join(store.root, x.folder()))
	}
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(300 * time.Millisecond) {
		waiting := 0
		for i, s := range shelves {
			if s.look(t); len(s.ids) < len(sent[i]) {
				waiting++
			}
		}
		if waiting == 0 || time.Now().After(deadline) {
			break
		}
	}
	time.Sleep(secondCopy)
	for i, c := range cases {
		name := string(c.what)
		if c.what == none {
			name = "nothing"
		}
		t.Run(name, func(t *testing.T) {
			shelves[i].look(t)
			shelves[i].compare(t, sent[i])
			metrics := get(t, "http://"+metricsOf(srv)+"/metrics")
			ws := fmt.Sprintf(`workspace=%q`, tenants[i].name)
			retries := sum(metrics, "millrace_delivery_retries_total", ws)
			parked := sum(metrics, "millrace_delivery_parked_total", ws)
			p.mu.Lock()
			hits := hit[i]
			p.mu.Unlock()
			if c.what != none && hits < 3 {
				t.Errorf("the fault hit %d requests only", hits)
			}
			switch problem := fmt.Sprintf(`problem=%q`, c.problem); {
			case c.parks:
				if parked == 0 || sum(metrics, "millrace_delivery_parked_total", ws, problem) != parked {
					t.Errorf("it parked %v times, %v of them for %s", parked, sum(metrics, "millrace_delivery_parked_total", ws, problem), c.problem)
				}
			case parked > 0:
				t.Errorf("it parked %v times for what no customer can mend", parked)
			case c.problem == "" && retries > 0:
				t.Errorf("%v attempts failed", retries)
			case c.problem != "" && sum(metrics, "millrace_delivery_retries_total", ws, problem) == 0:
				t.Errorf("%v attempts failed, none by %s", retries, c.problem)
			}
			if n := sum(metrics, "millrace_delivery_state", ws, `state="active"`); n != 1 {
				t.Errorf("it is not active again")
			}
			if n := sum(metrics, "millrace_delivery_foreign_objects_total", ws); n > 0 {
				t.Errorf("%v of our own objects were taken for a stranger's", n)
			}
		})
	}
	p.calm()
	srv.stop()
	p.report(t)
	for _, x := range tenants {
		if out, stderr, code := call(t, srv.env, "verify", "--connector", x.name+"/warehouse"); code != 0 {
			t.Errorf("verify %s: exit %d\n%s%s", x.name, code, out, stderr)
		}
	}
}
