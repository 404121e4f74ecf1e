package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// A webhook is called over the wire, signed as docs/notifications.md says, and follows no redirect.
func TestAWebhookIsSignedAndFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	const secret = "a webhook's own secret"
	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(elsewhere.Close)
	type call struct {
		header http.Header
		body   []byte
	}
	calls, redirected := make(chan call, 100), make(chan struct{}, 100)
	hooks := http.NewServeMux()
	hooks.HandleFunc("POST /good", func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		calls <- call{r.Header, body}
	})
	hooks.HandleFunc("POST /moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		redirected <- struct{}{}
	})
	hook := httptest.NewServer(hooks)
	t.Cleanup(hook.Close)

	w := newWorld(t, "HOOK_SECRET="+secret)
	must(t, w.env, "apply", "-f", write(t, "hooks.yaml", fmt.Sprintf(`workspaces:
  - name: acme
    webhooks:
      - {url: %q, secret_env: HOOK_SECRET, kinds: [check_passed]}
      - {url: %q, secret_env: HOOK_SECRET, kinds: [check_passed]}
`, hook.URL+"/good", hook.URL+"/moved")))
	must(t, w.env, "connector", "check", "acme/warehouse")

	limit := time.After(40 * time.Second)
	select {
	case c := <-calls:
		at, err := strconv.ParseInt(c.header.Get("Millrace-Timestamp"), 10, 64)
		if age := time.Since(time.Unix(at, 0)); err != nil || age > 5*time.Minute || age < -5*time.Minute {
			t.Errorf("timestamp %q", c.header.Get("Millrace-Timestamp"))
		}
		id := c.header.Get("Millrace-Id")
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%d.%s", id, at, c.body)
		if want := "v1=" + hex.EncodeToString(mac.Sum(nil)); c.header.Get("Millrace-Signature") != want {
			t.Errorf("signature %q, want %q", c.header.Get("Millrace-Signature"), want)
		}
		var said struct {
			ID, Kind, Workspace, Connector, Text string
			Params                               map[string]string
		}
		if err := json.Unmarshal(c.body, &said); err != nil {
			t.Fatal(err)
		}
		if said.ID != id || id == "" || said.Kind != "check_passed" || said.Workspace != "acme" || said.Connector != "warehouse" || said.Text == "" || said.Params["trigger"] != "demand" {
			t.Errorf("the call says %s", c.body)
		}
	case <-limit:
		t.Fatal("nobody was called")
	}
	select {
	case <-redirected:
	case <-limit:
		t.Fatal("the address that moved was not called")
	}
	w.send("beside", 30) // what a followed redirect would take is long over by then
	w.delivered()
	if n := followed.Load(); n > 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}
