package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// write puts a file into a fresh folder and gives its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// serve and apply need the environment and nothing else; a second apply changes nothing; what is applied while the
// server runs is taken up within 5 seconds.
func TestServeAndApplyByEnvironmentAlone(t *testing.T) {
	store := startStore(t)
	srv := newServer(t, t.TempDir())
	srv.start()
	manifest := write(t, "apply.yaml", store.manifest("flush: {interval: 1s, events: 100}"))
	env := append(srv.env, "ACME_S3_SECRET="+store.secret, "ACME_PRODUCER_KEY="+producerKey)

	if out := must(t, env, "apply", "-f", manifest, "--dry-run"); !strings.Contains(out, "warehouse") {
		t.Errorf("the dry run does not name the connector:\n%s", out)
	}
	if status, _, _, err := srv.post(producerKey, "", []byte(eventOf("early", 0))); err != nil || status != 401 {
		t.Errorf("a dry run made the key: status %d, %v", status, err)
	}
	must(t, env, "apply", "-f", manifest)
	applied := time.Now()
	var again struct{ Changes []json.RawMessage }
	if err := json.Unmarshal([]byte(must(t, env, "apply", "-f", manifest, "--json")), &again); err != nil || len(again.Changes) != 0 {
		t.Errorf("the second apply changes %s, %v", again.Changes, err)
	}
	for !recorded(t, srv) {
		if time.Since(applied) > 5*time.Second {
			t.Fatal("the connector is not taken up within 5 seconds")
		}
		time.Sleep(20 * time.Millisecond)
	}
	sent := map[string]bool{}
	for n := range 250 {
		id := fmt.Sprintf("e%d", n)
		status, accepted, answer, err := srv.post(producerKey, "", []byte(eventOf(id, n)))
		if err != nil || status != 200 || accepted != 1 {
			t.Fatalf("status %d: %s %v", status, answer, err)
		}
		sent[id] = true
	}
	shelf := newShelf(store.root)
	shelf.waitFor(t, sent, 30*time.Second)
	key := regexp.MustCompile(`/currents/dataexport\.prod-01\.S3\.integration\.[0-9a-f]{24}/event_type=[a-zA-Z.]+/date=\d{4}-\d\d-\d\d-\d\d/\d+/default/dataexport\.prod-01\.S3\.integration\.[0-9a-f]{24}\+\d+\+\d{10,}\.avro$`)
	for name := range shelf.read {
		if !key.MatchString(name) {
			t.Errorf("key %s is not as documented", name)
		}
	}
	for _, page := range []struct {
		addr, want string
	}{
		{srv.addr + "/healthz", "ok"},
		{srv.addr + "/readyz", "true"},
		{metricsOf(srv) + "/metrics", "millrace_ingest_accepted_events_total"},
		{metricsOf(srv) + "/metrics", `millrace_delivery_files_total{`},
	} {
		if got := get(t, "http://"+page.addr); !strings.Contains(got, page.want) {
			t.Errorf("%s has no %q:\n%.2000s", page.addr, page.want, got)
		}
	}
	if out := must(t, srv.env, "ledger", "--connector", "acme/warehouse", "--json"); !strings.Contains(out, `"delivered"`) {
		t.Errorf("ledger:\n%s", out)
	}
	srv.stop()
	must(t, srv.env, "verify", "--connector", "acme/warehouse")
	must(t, srv.env, "log", "check")
	if strings.Contains(srv.output(), store.secret) || strings.Contains(srv.output(), producerKey) {
		t.Error("a secret stands in the server's log")
	}
}

func metricsOf(s *server) string {
	for _, e := range s.env {
		if v, ok := strings.CutPrefix(e, "MILLRACE_METRICS_LISTEN="); ok {
			return v
		}
	}
	return ""
}

func get(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b strings.Builder
	buf := make([]byte, 32<<10)
	for {
		n, err := res.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

// A small bench: the child is started, everything is delivered, and the figures are there.
func TestBenchMeasuresAServerOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	var m map[string]float64
	if out := must(t, nil, "bench", "--events", "20000", "--json", "--dir", dir); json.Unmarshal([]byte(out), &m) != nil {
		t.Fatalf("it prints %s", out)
	}
	for _, k := range []string{"cpu_seconds_per_million", "events_per_second", "answer_p99_ms", "peak_memory_bytes", "bare_fsync_p50_ms", "files"} {
		if m[k] <= 0 {
			t.Errorf("%s is %v", k, m[k])
		}
	}
	if m["events"] != 20000 {
		t.Errorf("%v events, want 20000", m["events"])
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v behind, %v", left, err)
	}
}

func hasLine(text, prefix string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

func TestBadInputIsRefusedWithItsPlaceAndTheNearestName(t *testing.T) {
	data := "MILLRACE_DATA_DIR=" + t.TempDir()
	settings := write(t, "millrace.yaml", "listen: 127.0.0.1:0\nlog_retension: 72h\n")
	for name, c := range map[string]struct {
		env  []string
		args []string
		code int
		want []string
	}{
		"an unknown setting in the environment": {
			[]string{data, "MILLRACE_LISTN=127.0.0.1:0"}, []string{"serve"}, 2, []string{"MILLRACE_LISTN", "MILLRACE_LISTEN"}},
		"an unknown setting in the file": {
			[]string{data, "MILLRACE_CONFIG=" + settings}, []string{"serve"}, 2, []string{"millrace.yaml:2", "log_retension", "log_retention"}},
		"several wrong values at once": {
			[]string{data, "MILLRACE_GRACE_PERIOD=soon", "MILLRACE_MEMORY_BUDGET=lots"}, []string{"serve"}, 2, []string{"MILLRACE_GRACE_PERIOD", "MILLRACE_MEMORY_BUDGET"}},
		"Kafka is not there yet": {
			[]string{data, "MILLRACE_KAFKA_BROKERS=k:9092"}, []string{"serve"}, 2, []string{"MILLRACE_KAFKA_BROKERS", "not"}},
		"an unknown flag": {
			[]string{data}, []string{"serve", "--listn", "x"}, 2, []string{"--listn", "--listen"}},
		"an unknown command": {
			nil, []string{"sreve"}, 2, []string{"sreve", "serve"}},
		"an unknown key in the file of apply": {
			[]string{data}, []string{"apply", "-f", write(t, "a.yaml", "workspaces:\n  - name: acme\n    conectors: []\n")}, 2, []string{"a.yaml:3", "conectors", "connectors"}},
		"no such file": {
			[]string{data}, []string{"apply", "-f", "/nowhere/a.yaml"}, 5, []string{"/nowhere/a.yaml"}},
		"an unknown event type in the file of apply": {
			[]string{data, "S=0123456789"}, []string{"apply", "-f", write(t, "b.yaml", `workspaces:
  - name: acme
    connectors:
      - name: w
        type: s3
        contact_email: a@b.example
        destination: {bucket: bbb, access_key_id: AKIA, secret_access_key_env: S}
        events: [users.messages.email.Opn]
`)}, 2, []string{"users.messages.email.Opn", "users.messages.email.Open"}},
		"an unknown event type": {
			[]string{data}, []string{"schema", "users.messages.email.Opn"}, 5, []string{"users.messages.email.Open"}},
		"a file that is not Avro": {
			[]string{data}, []string{"cat", settings}, 8, []string{"millrace.yaml"}},
		"policy without a bucket": {
			nil, []string{"policy", "currents"}, 2, []string{"--bucket"}},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := call(t, c.env, c.args...)
			if code != c.code {
				t.Errorf("exit %d, want %d\n%s%s", code, c.code, stdout, stderr)
			}
			for _, w := range c.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("no %q in:\n%s", w, stderr)
				}
			}
		})
	}
}
