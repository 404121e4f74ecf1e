package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/notify/outbox"
)

// planted is a secret that is given to the product where it asks for one. It may stand in the places that home names
// (parts of their names) and nowhere else.
type planted struct {
	what, value string
	home        []string
}

// forms are the ways in which a secret may show.
func (p planted) forms() map[string]string {
	f := map[string]string{"": p.value, "in hex": hex.EncodeToString([]byte(p.value))}
	for i := range 3 { // base64 of something with the secret in it, wherever that begins
		s := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("-", i) + p.value))
		f[fmt.Sprint("in base64, ", i)] = s[i*4/3+1 : len(s)-3]
	}
	return f
}

// haystack is everything that the product says and writes, by place.
type haystack struct {
	mu     sync.Mutex
	places map[string][]byte
}

func (h *haystack) add(place string, text ...[]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.places[place] = append(h.places[place], bytes.Join(text, []byte("\n"))...)
}

// addFiles adds every file below dir.
func (h *haystack) addFiles(t *testing.T, place, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		h.add(place+strings.TrimPrefix(name, dir), b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// search says where secrets are that do not belong there.
func (h *haystack) search(t *testing.T, all []planted) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range all {
		if len(p.value) < 12 {
			t.Fatalf("%s is too short to be told from chance", p.what)
		}
		for place, text := range h.places {
			home := false
			for _, part := range p.home {
				home = home || strings.Contains(place, part)
			}
			if home {
				continue
			}
			for how, form := range p.forms() {
				if i := bytes.Index(text, []byte(form)); i >= 0 {
					t.Errorf("%s stands in %s %s: …%q…", p.what, place, how, text[max(0, i-60):i])
				}
			}
		}
	}
}

// Secrets go in and never come out: they are planted wherever one can be given, the server is driven through good and
// bad ways, and everything that it said and wrote is searched. A new place for a secret is a row in planted, a new
// address a row in requests, a new command one in commands.
func TestNoSecretComesOut(t *testing.T) {
	t.Parallel()
	const (
		webhookSecret = "canary-webhook-5e1f0a7b"
		smtpPassword  = "canary-smtp-1c9d77e2"
		oidcSecret    = "canary-oidc-90ab33fc"
		databasePass  = "canary-database-77f0c1d4"
		wrongSecret   = "canary-wrong-s3-2b8e4f61"
		wrongKey      = "mr_canary_unknown_key_4d5e6f"
		inlineKey     = "mr_canary_inline_key_6b7a8c9d"
		eventText     = "canary-person-8a7b6c5d@acme.example"
	)
	hay := &haystack{places: map[string][]byte{}}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // what came is what counts
		hay.add("calls of webhooks", []byte(fmt.Sprint(r.URL, r.Header)), b)
	}))
	t.Cleanup(hook.Close)

	w := newWorld(t, "MILLRACE_LOG_LEVEL=debug", "MILLRACE_ACCESS_LOG=true", "MILLRACE_NOTICE_QUIET=1s",
		"MILLRACE_SMTP_URL=smtp://millrace:"+smtpPassword+"@127.0.0.1:1",
		"HOOK_SECRET="+webhookSecret, "WRONG_SECRET="+wrongSecret)
	masterKey, err := os.ReadFile(filepath.Join(w.data, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	var ring struct {
		Key []struct{ KeyData struct{ Value string } }
	}
	if err := json.Unmarshal(masterKey, &ring); err != nil || len(ring.Key) != 1 {
		t.Fatalf("the master key file: %v", err)
	}
	secrets := []planted{
		{what: "the customer's secret key", value: w.store.secret},
		{what: "a secret key that is wrong", value: wrongSecret},
		{what: "the API key", value: producerKey},
		{what: "an API key that is not known", value: wrongKey},
		{what: "an API key that stands in a file of apply", value: inlineKey},
		{what: "the webhook's secret", value: webhookSecret},
		{what: "the mail server's password", value: smtpPassword},
		{what: "the OpenID Connect client's secret", value: oidcSecret},
		{what: "the database's password", value: databasePass},
		{what: "the master key", value: ring.Key[0].KeyData.Value, home: []string{"data/master.key"}},
		{what: "an event's e-mail address", value: eventText, home: []string{"data/log/", "its own answer"}},
	}

	// run keeps what a command says.
	run := func(env []string, args ...string) (code int) {
		t.Helper()
		out, said, code := call(t, append(append([]string{}, w.env...), env...), args...)
		hay.add("millrace "+strings.Join(args, " "), []byte(out), []byte(said))
		return code
	}
	apply := func(wantCode int, lines string) {
		t.Helper()
		file := write(t, "canary.yaml", "workspaces:\n  - name: acme\n    "+strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n    ")+"\n")
		if code := run(nil, "apply", "-f", file); code != wantCode {
			t.Errorf("apply: exit %d, want %d\n%s", code, wantCode, lines)
		}
	}
	destination := func(secret string) string {
		return fmt.Sprintf("{bucket: %s, region: us-east-1, endpoint: %q, path_style: true, access_key_id: %s, secret_access_key_env: %s}", w.store.bucket, w.store.endpoint, w.store.keyID, secret)
	}
	apply(0, fmt.Sprintf("webhooks: [{url: %q, secret_env: HOOK_SECRET}]", hook.URL+"/"))
	apply(1, "connectors: [{name: second, type: s3, contact_email: data@acme.example, events: [all], destination: "+destination("WRONG_SECRET")+"}]")
	apply(1, "data_export: "+destination("WRONG_SECRET"))
	apply(2, "connectors: [{name: third, type: s3, destination: {secret_access_key: "+wrongSecret+"}}]")
	apply(0, "api_keys: [{name: inline, scopes: [events.write], secret: "+inlineKey+"}]")
	apply(2, "api_keys: [{name: other, scopes: [nonsense], secret: "+inlineKey+"}]")

	w.send("good", 30)
	w.delivered()
	for name, r := range map[string]struct {
		method, path, body string
		header             []string
	}{
		"good":                          {"POST", "/v1/events", strings.Replace(eventOf("canary-1", 0), "maría0@example.com", eventText, 1), []string{"Authorization", "Bearer " + producerKey}},
		"an event that is rejected":     {"POST", "/v1/events", `{"event_type":"users.messages.email.Open","email_address":"` + eventText + `"}`, []string{"Authorization", "Bearer " + producerKey}},
		"its own answer":                {"POST", "/v1/events", `{"event_type":"users.messages.email.Open","time":"` + eventText + `"}`, []string{"Authorization", "Bearer " + producerKey}},
		"a broken body":                 {"POST", "/v1/events", `[{"event_type":"` + eventText + `"`, []string{"Authorization", "Bearer " + producerKey, "Content-Type", "application/json"}},
		"a key that is not known":       {"POST", "/v1/events", "", []string{"Authorization", "Bearer " + wrongKey}},
		"a key as a password":           {"POST", "/v1/events", "", []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+producerKey))}},
		"a key as an Idempotency-Key":   {"POST", "/v1/events", "", []string{"Authorization", "Bearer " + producerKey, "Idempotency-Key", producerKey}},
		"a key in the query":            {"POST", "/v1/events?api_key=" + producerKey, "", nil},
		"a key as a cookie":             {"GET", "/", "", []string{"Cookie", "session=" + producerKey}},
		"a key as a link":               {"GET", "/invitations/" + producerKey, "", nil},
		"a key as a link to a password": {"GET", "/password/" + producerKey, "", nil},
		"a key as a file's link":        {"GET", "/exports/" + producerKey, "", nil},
		"no such address":               {"GET", "/nonsense", "", []string{"Authorization", "Bearer " + producerKey}},
		"another method":                {"DELETE", "/v1/events", "", []string{"Authorization", "Bearer " + producerKey}},
		"the API without a right":       {"GET", "/api/v1/workspaces", "", []string{"Authorization", "Bearer " + producerKey}},
		"the API's description":         {"GET", "/api/v1/openapi.json", "", nil},
		"healthy":                       {"GET", "/healthz", "", nil},
		"ready":                         {"GET", "/readyz", "", nil},
	} {
		req, err := http.NewRequest(r.method, "http://"+w.addr+r.path, strings.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		for i := 0; i < len(r.header); i += 2 {
			req.Header.Set(r.header[i], r.header[i+1])
		}
		res, err := producers.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		hay.add("answer: "+name, []byte(fmt.Sprint(res.Header)), b)
	}

	for _, args := range [][]string{
		{"config", "print"}, {"config", "print", "--json"}, {"config", "check"},
		{"connector", "list", "--json"}, {"connector", "show", "acme/warehouse"}, {"connector", "show", "acme/warehouse", "--json"},
		{"connector", "check", "acme/warehouse"}, {"connector", "pause", "acme/warehouse"}, {"connector", "resume", "acme/warehouse"},
		{"connector", "test-events", "acme/warehouse"}, {"connector", "show", "acme/nobody"},
		{"policy", "currents", "--bucket", "acme-currents"}, {"policy", "trust", "--workspace", "acme", "--account-id", "111122223333"},
		{"ledger", "--connector", "acme/warehouse", "--json"}, {"verify", "--connector", "acme/warehouse", "--json"},
		{"log", "check", "--json"}, {"version", "--json"}, {"key", "create", "--workspace", "nobody", "--name", "x"},
	} {
		run(nil, args...)
	}
	copied := filepath.Join(t.TempDir(), "backup")
	for _, args := range [][]string{{"backup", copied}, {"restore", copied}, {"secret", "rotate", "--json"}, {"secret", "reseal"}} {
		run(nil, args...)
	}
	hay.addFiles(t, "backup", copied)
	// Settings that hold secrets, each wrong in its way.
	for _, env := range []string{
		"MILLRACE_SMTP_URL=http://millrace:" + smtpPassword + "@127.0.0.1", "MILLRACE_SMTP_URL=smtp://millrace:" + smtpPassword + "@%zz",
		"MILLRACE_SMTP_URL=" + smtpPassword, "MILLRACE_SMTP_URL=smtp://millrace:" + smtpPassword + "@127.0.0.1:port",
		"MILLRACE_DATABASE_URL=mysql://millrace:" + databasePass + "@127.0.0.1/x", "MILLRACE_DATABASE_URL=postgres://millrace:" + databasePass + "@%zz/x",
		"MILLRACE_DATABASE_URL=" + databasePass, "MILLRACE_DATABASE_URL=postgres://millrace:" + databasePass + "@127.0.0.1:1/x",
		"MILLRACE_OIDC_CLIENT_SECRET=" + oidcSecret, "MILLRACE_OIDC_CLIENT_SECRET_FILE=/nonexistent/" + "secret",
	} {
		name, _, _ := strings.Cut(env, "=")
		for _, args := range [][]string{{"config", "check"}, {"config", "print"}, {"connector", "list"}, {"serve"}} {
			if args[0] == "serve" && !strings.Contains(env, "@127.0.0.1:1/") {
				continue // the one that only the server finds out
			}
			out, said, code := call(t, append(append([]string{}, w.env...), env, "MILLRACE_DATA_DIR="+t.TempDir(), "MILLRACE_LISTEN="+freeAddr(t), "MILLRACE_METRICS_LISTEN="+freeAddr(t)), args...)
			hay.add(fmt.Sprintf("millrace %s with %s", strings.Join(args, " "), name), []byte(out), []byte(said))
			if args[0] == "serve" && code == 0 {
				t.Error("a server without its database ends as if all were well")
			}
		}
	}

	// A store that refuses the key, mails that cannot be sent; then mails that can.
	w.proxy.set(func(*http.Request) mishap { return denied })
	w.send("kept", 3)
	eventually(t, 20*time.Second, "the connector fails and a mail is tried", func() bool {
		m := get(t, "http://"+metricsOf(w.server)+"/metrics")
		return sum(m, "millrace_delivery_state", `state="failing"`) > 0 && sum(m, "millrace_notify_failed_tries_total", `channel="mail"`) > 0
	})
	hay.add("metrics", []byte(get(t, "http://"+metricsOf(w.server)+"/metrics")))
	w.stop()
	box := t.TempDir()
	mails, err := outbox.Listen(box, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mails.Close() })
	w.env = append(w.env, "MILLRACE_SMTP_URL="+mails.URL())
	w.start()
	w.proxy.calm()
	eventually(t, 20*time.Second, "a mail arrives", func() bool {
		got, err := os.ReadDir(box)
		return err == nil && len(got) > 0
	})

	// What a person sends when asked for a dump, and what whoever takes the disk has.
	if err := w.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	<-w.done
	if !strings.Contains(w.output(), "goroutine ") {
		t.Error("there is no dump")
	}
	hay.add("what the server said", []byte(w.output()))
	hay.addFiles(t, "data", w.data)
	hay.addFiles(t, "mails", box)
	if len(hay.places["backup/millrace.db"]) == 0 {
		t.Error("there is no backup")
	}
	hay.search(t, secrets)
}
