package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/client"
)

// Two readers of descriptions that are not ours: one says whether it is valid OpenAPI, the other makes requests of it, good
// and bad ones, by the thousand, as an installation administrator: none is answered with a 5xx, or with anything that the
// description does not have.
func TestTheAPIHoldsToItsDescription(t *testing.T) {
	if !long() {
		return // it takes minutes and the network; make soak
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "venv", "bin")
	install(t, "python3", "-m", "venv", filepath.Join(dir, "venv"))
	install(t, filepath.Join(bin, "pip"), "install", "-q", "schemathesis==4.32.5", "openapi-spec-validator==0.9.0")

	const email, password = "root@mill.example", "seven green bottles"
	store := startStore(t)
	manifest, env := store.manifestOf([]tenant{{name: "acme", key: "mr_e2e_fuzz_0123456789abcdefghijklmnopqrst"}})
	s := newServer(t, filepath.Join(dir, "data"), append(quick, "MILLRACE_API_RATE_LIMIT=0", "MILLRACE_AWS_ACCOUNT_ID=123456789012")...)
	must(t, append(s.env, env...), "apply", "-f", write(t, "apply.yaml", manifest))
	s.start()
	base := "http://" + s.addr
	link := regexp.MustCompile(`link=\S*/start/(\S+)`).FindStringSubmatch(s.output())
	if link == nil {
		t.Fatal("the first start offers no link")
	}
	accept, err := json.Marshal(client.Accept{Token: link[1], Email: email, Name: "Root", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.Post(base+"/api/v1/accept", "application/json", bytes.NewReader(accept))
	if err != nil || a.StatusCode != http.StatusOK {
		t.Fatal(a, err)
	}
	a.Body.Close()
	cookie := a.Cookies()[0]
	token := strings.TrimSpace(must(t, s.env, "member", "token", "--email", email, "--name", "fuzz"))

	// Things that are there, so that more than 404 is tried. What would take them away is left out.
	c := client.New(base, token)
	there := map[string]string{"workspace": only(t, c.ListWorkspaces(t.Context())).ID}
	there["connector"] = only(t, c.ListConnectors(t.Context(), there["workspace"], false)).ID
	there["key"] = only(t, c.ListAPIKeys(t.Context(), there["workspace"])).ID
	draft, err := c.CreateDraft(t.Context(), there["workspace"], client.ConnectorEdit{Name: new("draft")})
	if err != nil {
		t.Fatal(err)
	}
	hook, err := c.CreateWebhook(t.Context(), there["workspace"], client.WebhookCreate{URL: base + "/nothing"})
	if err != nil {
		t.Fatal(err)
	}
	there["draft"], there["webhook"], there["type"] = draft.ID, hook.ID, "users.messages.email.Open"
	var lines strings.Builder
	lines.WriteString("[parameters]\n")
	for name, id := range there {
		fmt.Fprintf(&lines, "\"path.%s\" = %q\n", name, id)
	}
	settings := write(t, "schemathesis.toml", lines.String())

	description := filepath.Join("..", "docs", "openapi.json")
	install(t, filepath.Join(bin, "openapi-spec-validator"), description)
	if description, err = filepath.Abs(description); err != nil {
		t.Fatal(err)
	}
	const checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,negative_data_rejection,unsupported_method"
	fuzz := func(as, checks string, more ...string) {
		t.Helper()
		f := exec.CommandContext(t.Context(), filepath.Join(bin, "schemathesis"), append([]string{"--config-file", settings, "run", description, "--url", base + "/api/v1",
			"-H", as, "--checks", checks, "--max-examples", "50", "--generation-database", "none", "--request-timeout", "90", "--continue-on-failure"}, more...)...)
		f.Dir = dir // it leaves files
		if out, err := f.CombinedOutput(); err != nil {
			t.Errorf("schemathesis as %.20s…: %v\n%s", as, err, out)
		}
	}
	fuzz("Authorization: Bearer "+token, checks+",ignored_auth", "--exclude-operation-id", "deleteConnector", "--exclude-operation-id", "revokeAPIKey",
		"--exclude-operation-id", "deleteDraft", "--exclude-operation-id", "deleteWebhook")
	// What a token may not do, a session may. Whether it does without one schemathesis cannot try: it keeps the header.
	fuzz("Cookie: "+cookie.Name+"="+cookie.Value, checks, "--include-path-regex", "^/me", "--exclude-path-regex", "^/me/(sessions|workspaces)/") // which would end it
}

// only gives the one thing of a list.
func only[T any](t *testing.T, all iter.Seq2[T, error]) (one T) {
	t.Helper()
	n := 0
	for x, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		one = x
		n++
	}
	if n != 1 {
		t.Fatalf("%d things, want one", n)
	}
	return one
}
