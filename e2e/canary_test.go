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
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

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
	secrets = append(secrets, drivePeople(t, w, hay, wrongSecret)...)

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

// drivePeople signs people in and lets them ask for everything, and gives the secrets that they and the server made: each
// has its home in the one answer that shows it.
func drivePeople(t *testing.T, w *world, hay *haystack, wrongSecret string) []planted {
	t.Helper()
	const (
		email    = "ana@acme.example"
		password = "canary-password-6a5b4c3d"
		another  = "canary-password-next-2f1e"
		wrong    = "canary-password-wrong-9d8e"
	)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	base := "http://" + w.addr + "/api/v1"
	// ask keeps an answer under a name and gives its fields.
	ask := func(name, method, path string, body any, header ...string) (status int, fields map[string]any) {
		t.Helper()
		var b []byte
		if body != nil {
			if b, err = json.Marshal(body); err != nil {
				t.Fatal(err)
			}
		}
		req, err := http.NewRequest(method, base+path, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, err = io.ReadAll(res.Body); err != nil {
			t.Fatal(err)
		}
		res.Header.Del("Set-Cookie") // the way of a session to the browser
		hay.add("answer: "+name, []byte(fmt.Sprint(res.StatusCode, res.Header)), b)
		json.Unmarshal(b, &fields) // what has no fields has no secret of its own
		return res.StatusCode, fields
	}
	must := func(name, method, path string, body any, header ...string) map[string]any {
		t.Helper()
		status, fields := ask(name, method, path, body, header...)
		if status >= 300 {
			t.Fatalf("%s: %d %v", name, status, fields)
		}
		return fields
	}
	text := func(fields map[string]any, name string) string {
		t.Helper()
		s, _ := fields[name].(string)
		if s == "" {
			t.Fatalf("no %s in %v", name, fields)
		}
		return s
	}
	type object = map[string]any

	_, rest, _ := strings.Cut(w.output(), "/start/")
	first, _, _ := strings.Cut(rest, " ")
	must("the first administrator", "POST", "/accept", object{"token": first, "email": email, "name": "Ana", "password": password})
	found := []planted{
		{what: "the first link", value: first, home: []string{"what the server said"}},
		{what: "a member's password", value: password}, {what: "a member's next password", value: another}, {what: "a wrong password", value: wrong},
	}
	at, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	cookies := jar.Cookies(at)
	if len(cookies) != 1 {
		t.Fatalf("cookies: %v", cookies)
	}
	found = append(found, planted{what: "a session", value: cookies[0].Value})

	start := must("an authenticator", "POST", "/me/two-factor", nil)
	key := text(start, "secret")
	found = append(found, planted{what: "an authenticator's secret", value: key, home: []string{"answer: an authenticator"}})
	ask("a wrong code", "PUT", "/me/two-factor", object{"code": "000000"})
	code, err := totp.GenerateCode(key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range must("recovery codes", "PUT", "/me/two-factor", object{"code": code})["codes"].([]any) {
		found = append(found, planted{what: "a recovery code", value: c.(string), home: []string{"answer: recovery codes"}})
	}
	token := text(must("a personal token", "POST", "/me/tokens", object{"name": "canary"}), "secret")
	found = append(found, planted{what: "a personal token", value: token, home: []string{"answer: a personal token"}})
	ask("sign in with a wrong password", "POST", "/sign-in", object{"email": email, "password": wrong})
	ask("sign in without a code", "POST", "/sign-in", object{"email": email, "password": password})
	ask("sign in as nobody", "POST", "/sign-in", object{"email": "nobody@acme.example", "password": wrong})
	ask("an unknown field", "POST", "/sign-in", object{"email": email, "pasword": wrong})
	ask("a broken form", "POST", "/sign-in", wrong)
	ask("a link that is none", "POST", "/accept", object{"token": wrongSecret, "email": email, "password": wrong})
	must("another password", "PUT", "/me/password", object{"current": password, "new": another})
	ask("the same again", "PUT", "/me/password", object{"current": password, "new": wrong})

	// The rest as a program, with the token.
	as := []string{"Authorization", "Bearer " + token}
	list, _ := must("workspaces", "GET", "/workspaces", nil, as...)["items"].([]any)
	if len(list) == 0 {
		t.Fatal("there is no workspace")
	}
	acme := "/workspaces/" + text(list[0].(map[string]any), "id")
	made := must("an API key that is made", "POST", acme+"/api-keys", object{"name": "made", "scopes": []string{"events.write"}}, append(as, "Idempotency-Key", "canary-1")...)
	must("an API key that is made, repeated", "POST", acme+"/api-keys", object{"name": "made", "scopes": []string{"events.write"}}, append(as, "Idempotency-Key", "canary-1")...)
	for _, v := range made {
		if s, ok := v.(string); ok && strings.HasPrefix(s, "mr_") {
			found = append(found, planted{what: "an API key that the server made", value: s, home: []string{"answer: an API key that is made"}})
		}
	}
	for _, v := range must("an invitation", "POST", acme+"/invitations", object{"email": "rui@acme.example", "role": "viewer"}, as...) {
		if s, ok := v.(string); ok && strings.Contains(s, "/invitations/") {
			_, link, _ := strings.Cut(s, "/invitations/")
			found = append(found, planted{what: "an invitation's link", value: link, home: []string{"answer: an invitation"}})
		}
	}
	destination := object{"bucket": w.store.bucket, "endpoint": w.store.endpoint, "path_style": true, "access_key_id": w.store.keyID, "secret_access_key": wrongSecret}
	for name, r := range map[string]struct {
		method, path string
		body         object
	}{
		"a connector with a wrong secret": {"POST", acme + "/connectors", object{"name": "wrong", "contact_email": email, "destination": destination, "events": []string{"all"}}},
		"a connector with a wrong field":  {"POST", acme + "/connectors", object{"name": "", "destination": destination, "colour": wrongSecret}},
		"a draft":                         {"POST", acme + "/drafts", object{"name": "draft", "destination": destination}},
		"a data export":                   {"PUT", acme + "/data-export", destination},
		"a webhook":                       {"POST", acme + "/webhooks", object{"url": "https://hook.example/x", "secret": wrongSecret}},
	} {
		ask(name, r.method, r.path, r.body, as...)
	}
	// Whatever the description has to be looked at.
	described := must("the description", "GET", "/openapi.json", nil)
	paths, _ := described["paths"].(map[string]any)
	looked := 0
	for path, methods := range paths {
		at := strings.Replace(path, "/workspaces/{workspace}", acme, 1)
		if _, reads := methods.(map[string]any)["get"]; reads && !strings.Contains(at, "{") {
			ask("GET "+path, "GET", at, nil, as...)
			looked++
		}
	}
	if looked < 10 {
		t.Errorf("only %d addresses were looked at", looked)
	}
	return found
}
