package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/millrace/millrace/client"
)

// jsonObject is a JSON object, by hand or as it came.
type jsonObject = map[string]any

// asker asks a server's API as curl would: no client of ours is in the way.
type asker struct {
	t     *testing.T
	base  string
	token string // personal; empty: none
	http  *http.Client
}

// asks gives an asker with a personal token of the member, whom the command line makes.
func (s *server) asks(email string, as ...string) asker {
	s.t.Helper()
	must(s.t, s.env, append([]string{"member", "add", "--email", email}, as...)...)
	token := strings.TrimSpace(must(s.t, s.env, "member", "token", "--email", email, "--name", "test"))
	return asker{s.t, "http://" + s.addr, token, http.DefaultClient}
}

// told is an answer.
type told struct {
	status int
	header http.Header
	text   string
	body   jsonObject
}

// at gives what stands in the answer under names and indexes, such as items.0.id; nil if nothing does.
func (a told) at(path string) any {
	var v any = a.body
	for name := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case jsonObject:
			v = x[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// ask asks with a body, or nil for none, and header by header. An error of the network fails the test.
func (a asker) ask(method, path string, body any, header ...string) told {
	a.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			a.t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequest(method, a.base+path, in)
	if err != nil {
		a.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := a.http.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	out := told{status: res.StatusCode, header: res.Header, text: string(b)}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &out.body); err != nil {
			a.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
	return out
}

// want is ask for what has to be answered with a status.
func (a asker) want(status int, method, path string, body any, header ...string) told {
	a.t.Helper()
	out := a.ask(method, path, body, header...)
	if out.status != status {
		a.t.Fatalf("%s %s: status %d, want %d: %s", method, path, out.status, status, out.text)
	}
	return out
}

// until asks again and again until good says that it is, and gives that answer.
func (a asker) until(path string, good func(told) bool) told {
	a.t.Helper()
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		out := a.want(200, "GET", path, nil)
		if good(out) {
			return out
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("GET %s is still %s", path, out.text)
		}
	}
}

// passed follows a check to its end.
func (a asker) passed(check told) told {
	a.t.Helper()
	at := check.header.Get("Location")
	if at == "" {
		a.t.Fatalf("the answer does not say where its check is: %s", check.text)
	}
	out := a.until(at, func(x told) bool { return x.at("state") == "passed" || x.at("state") == "failed" })
	if out.at("state") != "passed" {
		a.t.Fatalf("the check is %s", out.text)
	}
	return out
}

// connector is a connector on the store as the API takes it.
func (s store) connector(name, folder string) jsonObject {
	return jsonObject{
		"name": name, "contact_email": "data@acme.example", "events": []string{"all"}, "flush": jsonObject{"interval": "1s", "events": 100},
		"destination": jsonObject{
			"bucket": s.bucket, "folder": folder, "region": "us-east-1", "endpoint": s.endpoint, "path_style": true,
			"access_key_id": s.keyID, "secret_access_key": s.secret,
		},
	}
}

// From an empty server to the first file, through a whole life, with a personal token and HTTP alone.
func TestACurrentIsLaunchedAndFollowedByHTTPAlone(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	srv := newServer(t, t.TempDir(), quick...)
	srv.start()
	api := srv.asks("ana@acme.example", "--installation-administrator")

	api.want(201, "POST", "/api/v1/workspaces", jsonObject{"name": "acme"})
	const at = "/api/v1/workspaces/acme"
	key := api.want(201, "POST", at+"/api-keys", jsonObject{"name": "producer", "scopes": []string{"events.write"}}).at("key").(string)

	// All that is wrong is said at once, each problem with its field, and nothing is made.
	bad := s.connector("warehouse", "currents")
	bad["contact_email"], bad["evnts"] = "nobody", []string{"all"}
	bad["destination"].(jsonObject)["bucket"] = 7
	refused := api.want(422, "POST", at+"/connectors", bad)
	for _, field := range []string{`"evnts"`, `"destination.bucket"`} {
		if !strings.Contains(refused.text, `"field":`+field) {
			t.Errorf("%s has no problem: %s", field, refused.text)
		}
	}
	wrong := s.connector("warehouse", "currents")
	wrong["destination"].(jsonObject)["secret_access_key"] = "not-the-secret"
	failed := api.want(202, "POST", at+"/connectors", wrong)
	if out := api.until(failed.header.Get("Location"), func(x told) bool { return x.at("state") == "failed" }); out.at("error.message") == nil || strings.Contains(out.text, "not-the-secret") {
		t.Errorf("a check that fails says %s", out.text)
	}
	if list := api.want(200, "GET", at+"/connectors", nil); list.at("items.0") != nil {
		t.Errorf("a connector whose check failed is there: %s", list.text)
	}

	check := api.want(202, "POST", at+"/connectors", s.connector("warehouse", "currents"), "Idempotency-Key", "launch-1")
	again := api.want(202, "POST", at+"/connectors", s.connector("warehouse", "currents"), "Idempotency-Key", "launch-1")
	if again.text != check.text || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the repetition is answered with %s, the first was %s", again.text, check.text)
	}
	done := api.passed(check)
	if steps, _ := done.at("steps").([]any); len(steps) < 4 {
		t.Errorf("the check tells %s", done.text)
	}
	conn := at + "/connectors/" + done.at("connector").(string)
	lanesReady(t, srv, 1)

	shelf, sent := newShelf(s.root), map[string]bool{}
	var body strings.Builder
	for k := range 40 {
		id := fmt.Sprint("first-", k)
		sent[id] = true
		body.WriteString(eventOf(id, k))
	}
	if status, n, answer, err := srv.post(key, "", []byte(body.String())); err != nil || status != 200 || n != 40 {
		t.Fatalf("status %d: %s %v", status, answer, err)
	}
	files := api.until(conn+"/files", func(x told) bool { return x.at("items.0.key") != nil })
	if _, err := os.Stat(filepath.Join(s.root, files.at("items.0.key").(string))); err != nil {
		t.Errorf("the first file: %v", err)
	}
	shelf.waitFor(t, sent, 40*time.Second)
	api.until(conn+"/waiting", func(x told) bool { return x.at("events") == 0.0 })
	audit := api.want(200, "GET", conn+"/audit", nil)
	accepted, delivered := 0.0, 0.0
	for i := 0; audit.at(fmt.Sprintf("items.%d", i)) != nil; i++ {
		for j := 0; audit.at(fmt.Sprintf("items.%d.counts.%d", i, j)) != nil; j++ {
			accepted += audit.at(fmt.Sprintf("items.%d.counts.%d.accepted", i, j)).(float64)
			delivered += audit.at(fmt.Sprintf("items.%d.counts.%d.delivered", i, j)).(float64)
		}
	}
	if accepted != 40 || delivered != 40 {
		t.Errorf("the audit says %s", audit.text)
	}

	// Changes: for the version that was read, and refused for one that somebody else has changed.
	had := api.want(200, "GET", conn, nil)
	api.want(200, "PATCH", conn, jsonObject{"contact_email": "ops@acme.example"}, "If-Match", had.header.Get("ETag"))
	stale := api.want(412, "PATCH", conn, jsonObject{"contact_email": "other@acme.example"}, "If-Match", had.header.Get("ETag"))
	if !strings.Contains(stale.text, "ana@acme.example changed it at ") || !strings.Contains(stale.text, "contact") {
		t.Errorf("a conflict says %s", stale.text)
	}
	api.passed(api.want(202, "PATCH", conn, jsonObject{"destination": jsonObject{"folder": "elsewhere"}}))
	if now := api.want(200, "GET", conn, nil); now.at("destination.folder") != "elsewhere" || now.at("contact_email") != "ops@acme.example" {
		t.Errorf("the connector is %s", now.text)
	}
	if paused := api.want(200, "POST", conn+"/pause", nil); paused.at("status") != "paused" {
		t.Errorf("it is %s", paused.text)
	}
	api.want(200, "POST", conn+"/resume", nil)
	tests := api.want(202, "POST", conn+"/test-events", nil)
	if job := api.until(tests.header.Get("Location"), func(x told) bool { return x.at("state") == "done" }); job.at("result.events") == nil {
		t.Errorf("the job of test events is %s", job.text)
	}

	api.want(202, "DELETE", conn, nil)
	if list := api.want(200, "GET", at+"/connectors", nil); list.at("items.0") != nil {
		t.Errorf("it is still there: %s", list.text)
	}
	if list := api.want(200, "GET", at+"/connectors?deleted=true", nil); list.at("items.0.status") != "deleted" {
		t.Errorf("it is not among the deleted: %s", list.text)
	}

	// Who did all this stands in the log of changes, and no secret does.
	changes := api.want(200, "GET", at+"/changes?limit=500", nil)
	for _, action := range []string{"api_key.create", "connector.launch", "connector.edit", "connector.pause", "connector.resume", "connector.delete"} {
		if !strings.Contains(changes.text, `"action":"`+action+`"`) {
			t.Errorf("%s is not in the log of changes", action)
		}
	}
	if changes.at("items.0.actor") != "ana@acme.example" || strings.Contains(changes.text, s.secret) || strings.Contains(changes.text, key) {
		t.Errorf("the log of changes says %s", changes.text)
	}
}

// collect gives what a list of the client gives.
func collect[T any](t *testing.T, list iter.Seq2[T, error]) (items []T) {
	t.Helper()
	for x, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, x)
	}
	return items
}

// The same through the public client.
func TestACurrentIsLaunchedAndFollowedByTheClient(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	srv := newServer(t, t.TempDir(), quick...)
	srv.start()
	c := client.New("http://"+srv.addr, srv.asks("ana@acme.example", "--installation-administrator").token)
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.CreateWorkspace(ctx, client.WorkspaceCreate{Name: "acme"})
	ok(err)
	key, err := c.CreateAPIKey(ctx, w.ID, client.APIKeyCreate{Name: "producer", Scopes: []string{"events.write"}})
	ok(err)
	edit := client.ConnectorEdit{
		Name: new("warehouse"), ContactEmail: new("data@acme.example"), Events: &[]string{"all"}, Flush: &client.FlushEdit{Interval: new("1s")},
		Destination: &client.DestinationEdit{
			Bucket: &s.bucket, Region: new("us-east-1"), Endpoint: &s.endpoint, PathStyle: new(true), AccessKeyID: &s.keyID, SecretAccessKey: new("not-the-secret"),
		},
	}
	check, err := c.LaunchConnector(ctx, "acme", edit)
	ok(err)
	if _, err = c.AwaitCheck(ctx, check.ID, nil); err == nil || !strings.Contains(err.Error(), "S3 credentials are invalid") {
		t.Errorf("a wrong secret: %v", err)
	}
	edit.Destination.SecretAccessKey = &s.secret
	check, err = c.LaunchConnector(ctx, "acme", edit)
	ok(err)
	steps := 0
	check, err = c.AwaitCheck(ctx, check.ID, func(x client.Check) { steps = max(steps, len(x.Steps)) })
	ok(err)
	if steps < 4 {
		t.Errorf("who watched saw %d steps", steps)
	}
	conn, err := c.GetConnector(ctx, "acme", check.Connector)
	ok(err)
	lanesReady(t, srv, 1)
	if status, _, answer, err := srv.post(key.Key, "", []byte(eventOf("one", 0)+eventOf("two", 1))); err != nil || status != 200 {
		t.Fatalf("status %d: %s %v", status, answer, err)
	}
	newShelf(s.root).waitFor(t, map[string]bool{"one": true, "two": true}, 40*time.Second)
	files := collect(t, c.ListFiles(ctx, "acme", conn.ID, client.FileFilter{LedgerFilter: client.LedgerFilter{From: time.Now().Add(-2 * time.Hour)}}))
	for deadline := time.Now().Add(10 * time.Second); len(files) < 2 && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		files = collect(t, c.ListFiles(ctx, "acme", conn.ID, client.FileFilter{}))
	}
	if len(files) != 2 || !strings.HasPrefix(files[0].Key, conn.Destination.Prefix) {
		t.Errorf("the files are %+v below %s", files, conn.Destination.Prefix)
	}
	changed, again, err := c.UpdateConnector(ctx, "acme", conn.ID, client.ConnectorEdit{Name: new("lake")}, conn.ETag)
	ok(err)
	if again != nil || changed.Name != "lake" || changed.ETag == conn.ETag {
		t.Errorf("the change gives %+v, %+v", changed, again)
	}
	if _, _, err = c.UpdateConnector(ctx, "acme", conn.ID, client.ConnectorEdit{Name: new("pond")}, conn.ETag); !client.HasCode(err, "stale") {
		t.Errorf("a change that is overtaken: %v", err)
	}
	_, again, err = c.UpdateConnector(ctx, "acme", conn.ID, client.ConnectorEdit{Destination: &client.DestinationEdit{Folder: new("other")}}, "")
	ok(err)
	if again == nil {
		t.Fatal("another folder needs no check")
	}
	_, err = c.AwaitCheck(ctx, again.ID, nil)
	ok(err)
	_, err = c.PauseConnector(ctx, "acme", conn.ID)
	ok(err)
	_, err = c.DeleteConnector(ctx, "acme", conn.ID)
	ok(err)
	if left := collect(t, c.ListConnectors(ctx, "acme", false)); len(left) != 0 {
		t.Errorf("there are %+v", left)
	}
}

// apply --server says and does what apply does on the data folder, without it.
func TestApplyOverTheNetworkSaysWhatApplySays(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	near, far := t.TempDir(), t.TempDir()
	srv := newServer(t, far, quick...)
	srv.start()
	api := srv.asks("ana@acme.example", "--installation-administrator")
	secrets := []string{"ACME_S3_SECRET=" + s.secret, "ACME_PRODUCER_KEY=" + producerKey}
	local := append([]string{"MILLRACE_DATA_DIR=" + near, "MILLRACE_ALLOWED_ENDPOINT_NETWORKS=127.0.0.0/8"}, secrets...)
	remote := append([]string{"MILLRACE_TOKEN=" + api.token}, secrets...)
	over := []string{"--server", "http://" + srv.addr}
	secret := regexp.MustCompile(`mr_\w+`)
	both := func(name, manifest string, env []string, args ...string) (out string, code int) {
		t.Helper()
		file := write(t, "apply.yaml", manifest)
		o1, e1, c1 := call(t, append(slices.Clone(local), env...), append([]string{"apply", "-f", file}, args...)...)
		o2, e2, c2 := call(t, append(slices.Clone(remote), env...), append(append([]string{"apply", "-f", file}, over...), args...)...)
		o1, o2 = secret.ReplaceAllString(o1, "KEY"), secret.ReplaceAllString(o2, "KEY")
		if o1 != o2 || c1 != c2 || e1 != e2 {
			t.Errorf("%s:\non the folder: exit %d\n%s%s\nover the network: exit %d\n%s%s", name, c1, o1, e1, c2, o2, e2)
		}
		return o2, c2
	}
	manifest := s.manifest("flush: {interval: 1s, events: 100}")
	// The keys that it makes are shown; a second connector cannot be opened.
	more := strings.Replace(manifest, "    connectors:", "      - {name: made, scopes: [events.write]}\n    connectors:", 1)
	_, one, _ := strings.Cut(s.manifest("flush: {interval: 1s, events: 100}"), "    connectors:\n")
	more += strings.NewReplacer("name: warehouse", "name: locked", "folder: currents", "folder: other", "ACME_S3_SECRET", "WRONG").Replace(one)

	if out, _ := both("a dry run", manifest, nil, "--dry-run"); !strings.Contains(out, "would change connector acme/warehouse") {
		t.Errorf("a dry run says %q", out)
	}
	if out, code := both("the first time", manifest, nil); code != 0 || !strings.Contains(out, "connector acme/warehouse: ") {
		t.Errorf("the first time says %q, exit %d", out, code)
	}
	if out, code := both("the second time", manifest, nil); code != 0 || out != "nothing to change\n" {
		t.Errorf("the second time says %q, exit %d", out, code)
	}
	if out, code := both("with a wrong secret", more, []string{"WRONG=not-the-secret"}); code != 1 || !strings.Contains(out, "made: KEY (shown this once)") {
		t.Errorf("with a wrong secret it says %q, exit %d", out, code)
	}
	both("as JSON", manifest, nil, "--json")
	both("a mistake in the file", strings.Replace(manifest, "contact_email", "contct_email", 1), nil)
	mixed := strings.NewReplacer("contact_email", "contct_email", "[all]", "[nothing]", "data@acme.example", "nobody", "name: warehouse", "name: warehouse\n        codec: none").Replace(manifest)
	if _, code := both("mistakes of every kind", mixed, nil); code != 2 {
		t.Errorf("mistakes of every kind: exit %d", code)
	}
	if _, code := both("a name in another case", strings.Replace(manifest, "name: acme", "name: Acme", 1), nil, "--dry-run"); code != 1 {
		t.Errorf("a dry run of a name in another case: exit %d", code)
	}
	both("a field that is invalid", strings.Replace(manifest, "data@acme.example", "nobody", 1), nil)
	both("a secret that is not set", strings.Replace(manifest, "ACME_S3_SECRET", "NOT_SET", 1), nil)
	both("a file of a secret", strings.Replace(manifest, "secret_access_key_env: ACME_S3_SECRET", "secret_access_key_file: "+write(t, "secret", s.secret+"\n"), 1), nil)

	// The producer's key works there, so all of it was made there.
	if status, _, answer, err := srv.post(producerKey, "", []byte(eventOf("one", 0))); err != nil || status != 200 {
		t.Errorf("status %d: %s %v", status, answer, err)
	}

	// What is refused before anything is sent, and what the server refuses.
	token := write(t, "token", api.token+"\n")
	viewer := srv.asks("vic@acme.example", "--workspace", "acme", "--role", "viewer")
	file := write(t, "apply.yaml", manifest+"        paused: true\n")
	for name, c := range map[string]struct {
		env  []string
		args []string
		code int
		says string
	}{
		"no token":               {nil, over, 2, "MILLRACE_TOKEN"},
		"in clear":               {remote, []string{"--server", "http://millrace.example"}, 2, "--insecure-http"},
		"no address":             {remote, []string{"--server", "millrace.example"}, 2, "https://"},
		"a password in it":       {remote, []string{"--server", "https://a:b@millrace.example"}, 2, "MILLRACE_TOKEN"},
		"a token that is none":   {[]string{"MILLRACE_TOKEN=mrp_nothing"}, over, 4, "token"},
		"a member who only sees": {[]string{"MILLRACE_TOKEN=" + viewer.token}, over, 4, "no workspace of which you may change anything"},
		"somebody else's server": {remote, []string{"--server", s.endpoint}, 7, "Does Millrace answer there?"},
		"a token's file":         {[]string{"MILLRACE_TOKEN=mrp_nothing"}, append(slices.Clone(over), "--token-file", token, "--dry-run"), 0, "would change"},
	} {
		out, said, code := call(t, append(slices.Clone(secrets), c.env...), append([]string{"apply", "-f", file}, c.args...)...)
		if code != c.code || !strings.Contains(out+said, c.says) {
			t.Errorf("%s: exit %d\n%s%s", name, code, out, said)
		}
		if strings.Contains(said, api.token) || strings.Contains(said, "a:b@") {
			t.Errorf("%s: it prints what is secret: %s", name, said)
		}
	}
}

// A member comes in by the link of the command line, invites another, and neither may do what is not theirs.
func TestMembersComeInByLinks(t *testing.T) {
	t.Parallel()
	srv := newServer(t, t.TempDir(), quick...)
	srv.start()
	must(t, srv.env, "apply", "-f", write(t, "apply.yaml", "workspaces: [{name: acme}, {name: other}]\n"))
	link := strings.TrimSpace(must(t, srv.env, "member", "add", "--email", "ana@acme.example", "--workspace", "acme", "--role", "administrator"))
	browser := func() asker {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return asker{t, "http://" + srv.addr, "", &http.Client{Jar: jar}}
	}
	tokenOf := func(link string) string { return link[strings.LastIndexByte(link, '/')+1:] }

	ana := browser()
	if look := ana.want(200, "POST", "/api/v1/invitations/look", jsonObject{"token": tokenOf(link)}); look.at("kind") != "reset" || look.at("email") != "ana@acme.example" {
		t.Errorf("the link is %s", look.text)
	}
	ana.want(204, "PUT", "/api/v1/password", jsonObject{"token": tokenOf(link), "password": "a horse of copper"})
	ana.want(404, "PUT", "/api/v1/password", jsonObject{"token": tokenOf(link), "password": "another horse"})
	ana.want(401, "POST", "/api/v1/sign-in", jsonObject{"email": "ana@acme.example", "password": "another horse"})
	me := ana.want(200, "POST", "/api/v1/sign-in", jsonObject{"email": "ana@acme.example", "password": "a horse of copper"})
	if me.at("workspaces.0.role") != "administrator" || me.at("workspaces.1") != nil {
		t.Errorf("she is %s", me.text)
	}

	// Without a mail server she is shown the link to pass on.
	invited := ana.want(201, "POST", "/api/v1/workspaces/acme/invitations", jsonObject{"email": "ben@acme.example", "role": "viewer"})
	if invited.at("mailed") != false || invited.at("link") == nil {
		t.Fatalf("the invitation is %s", invited.text)
	}
	ben := browser()
	accept := jsonObject{"token": tokenOf(invited.at("link").(string)), "name": "Ben", "password": "a cart of copper"}
	ben.want(200, "POST", "/api/v1/accept", accept)
	browser().want(404, "POST", "/api/v1/accept", accept)

	// Rights: what he may see, what he may not, and what is as if it were not.
	ben.want(200, "GET", "/api/v1/workspaces/acme/connectors", nil)
	if no := ben.want(403, "POST", "/api/v1/workspaces/acme/connectors", jsonObject{"name": "x"}); !strings.Contains(no.text, "change") {
		t.Errorf("the right that is missing is not named: %s", no.text)
	}
	for _, path := range []string{"/members", "/changes", "/api-keys"} {
		if status := ben.ask("GET", "/api/v1/workspaces/acme"+path, nil).status; status != map[string]int{"/members": 200, "/changes": 403, "/api-keys": 200}[path] {
			t.Errorf("%s: status %d", path, status)
		}
		foreign, none := ben.want(404, "GET", "/api/v1/workspaces/other"+path, nil), ben.want(404, "GET", "/api/v1/workspaces/nothing"+path, nil)
		if foreign.at("error.message") != none.at("error.message") {
			t.Errorf("a foreign workspace is told from none: %s %s", foreign.text, none.text)
		}
	}
	ben.want(403, "GET", "/api/v1/installation", nil)
	browser().want(401, "GET", "/api/v1/me", nil)

	// The second factor.
	begun := ana.want(200, "POST", "/api/v1/me/two-factor", nil)
	secret := begun.at("secret").(string)
	code := func(ahead time.Duration) string {
		c, err := totp.GenerateCode(secret, time.Now().Add(ahead))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := code(0)
	codes := ana.want(200, "PUT", "/api/v1/me/two-factor", jsonObject{"code": first})
	if list, _ := codes.at("codes").([]any); len(list) != 10 {
		t.Fatalf("the recovery codes are %s", codes.text)
	}
	in := jsonObject{"email": "ana@acme.example", "password": "a horse of copper"}
	if no := browser().want(401, "POST", "/api/v1/sign-in", in); !strings.Contains(no.text, `"field":"code"`) {
		t.Errorf("without a code it says %s", no.text)
	}
	in["code"] = first // has been used
	browser().want(401, "POST", "/api/v1/sign-in", in)
	in["code"] = code(30 * time.Second)
	browser().want(200, "POST", "/api/v1/sign-in", in)
	in["code"] = codes.at("codes.0")
	browser().want(200, "POST", "/api/v1/sign-in", in)
	browser().want(401, "POST", "/api/v1/sign-in", in)
}

// However the server ends in the middle of a launch, the launch is done, and once.
func TestALaunchThatIsKilledIsDoneOnce(t *testing.T) {
	t.Parallel()
	s := startStore(t)
	p := startProxy(t, s.endpoint)
	s.endpoint = p.URL
	srv := newServer(t, t.TempDir(), quick...)
	srv.start()
	api := srv.asks("ana@acme.example", "--installation-administrator")
	api.want(201, "POST", "/api/v1/workspaces", jsonObject{"name": "acme"})
	const at = "/api/v1/workspaces/acme/connectors"
	for round := range 5 {
		name := fmt.Sprint("round-", round)
		n := 0
		reached := make(chan struct{})
		p.set(func(r *http.Request) mishap { // the check is at its round-th request when the server dies
			if n++; n <= round {
				return none
			}
			if n == round+1 {
				close(reached)
			}
			return stall
		})
		check := api.want(202, "POST", at, s.connector(name, name), "Idempotency-Key", name)
		select {
		case <-reached:
		case <-time.After(20 * time.Second):
			t.Fatalf("round %d: the check does not come so far", round)
		}
		srv.kill()
		p.calm()
		srv.start()
		// Whoever had no answer asks once more, and gets that of the first time.
		if again := api.want(202, "POST", at, s.connector(name, name), "Idempotency-Key", name); again.header.Get("Location") != check.header.Get("Location") {
			t.Errorf("round %d: the repetition is another check: %s, %s", round, again.text, check.text)
		}
		id := api.passed(check).at("connector")
		var made []any
		list := api.want(200, "GET", at, nil)
		for i := 0; list.at(fmt.Sprintf("items.%d", i)) != nil; i++ {
			if list.at(fmt.Sprintf("items.%d.name", i)) == name {
				made = append(made, list.at(fmt.Sprintf("items.%d.id", i)))
			}
		}
		if len(made) != 1 || made[0] != id {
			t.Errorf("round %d: the connectors are %v, the check's is %v", round, made, id)
		}
		log := api.want(200, "GET", "/api/v1/workspaces/acme/changes?kind=connector&subject="+id.(string), nil)
		if log.at("items.0.action") != "connector.launch" || log.at("items.0.actor") != "ana@acme.example" || log.at("items.1") != nil {
			t.Errorf("round %d: the log of changes says %s", round, log.text)
		}
	}
}

// A client whose server dies under its call, and comes back, does not notice.
func TestTheClientOutlivesItsServer(t *testing.T) {
	t.Parallel()
	srv := newServer(t, t.TempDir(), quick...)
	srv.start()
	c := client.New("http://"+srv.addr, srv.asks("ana@acme.example", "--installation-administrator").token)
	srv.kill()
	made := make(chan error, 1)
	go func() {
		_, err := c.CreateWorkspace(t.Context(), client.WorkspaceCreate{Name: "acme"})
		made <- err
	}()
	srv.start()
	select {
	case err := <-made:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the call has no answer")
	}
	var names []string
	for _, w := range collect(t, c.ListWorkspaces(t.Context())) {
		names = append(names, w.Name)
	}
	if !slices.Equal(names, []string{"acme"}) {
		t.Errorf("the workspaces are %q", names)
	}
	if _, err := c.CreateWorkspace(t.Context(), client.WorkspaceCreate{Name: "acme"}); !client.HasCode(err, "conflict") {
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 409 {
			t.Errorf("a name that is taken: %v", err)
		}
	}
}

// The lines of docs/api.md work as they stand there, with what a reader would fill in.
func TestTheLinesOfTheGuideToTheAPIWork(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	s := startStore(t)
	srv := newServer(t, t.TempDir(), quick...)
	srv.start()
	api := srv.asks("ana@acme.example", "--installation-administrator")
	api.want(201, "POST", "/api/v1/workspaces", jsonObject{"name": "acme"})
	define, calls := "", 0
	fill := map[string]string{
		"AKIA…": s.keyID, `"…"`: fmt.Sprintf("%q", s.secret), "wait=60": "wait=1", "2026-11-22T10": time.Now().UTC().Format("2006-01-02T15"),
		`"bucket": "acme-currents"`: fmt.Sprintf(`"region": "us-east-1", "path_style": true, "endpoint": %q, "bucket": %q`, s.endpoint, s.bucket),
	}
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
		for _, line := range regexp.MustCompile(`(?m)^api`).Split("\n"+block[1], -1)[1:] {
			if line = "api" + line; strings.HasPrefix(line, "api() ") {
				define = line
				continue
			}
			calls++
			for was, is := range fill {
				line = strings.ReplaceAll(line, was, is)
			}
			sh := exec.Command("sh", "-ec", define+line)
			sh.Env = append(cleanEnv(), "MILLRACE_TOKEN="+api.token, "MILLRACE_URL="+api.base)
			out, err := sh.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
			var x struct{ ID, Connector string }
			if json.Unmarshal(out, &x) == nil && x.Connector != "" && fill["CHECK"] == "" {
				fill["CHECK"], fill["CONNECTOR"] = x.ID, x.Connector
				api.until("/api/v1/checks/"+x.ID, func(x told) bool { return x.at("state") == "passed" })
			}
		}
	}
	if define == "" || calls < 10 {
		t.Errorf("of the guide %d lines were run", calls)
	}
}
