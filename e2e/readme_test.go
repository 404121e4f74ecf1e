package e2e_test

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The README's demo, run as it stands there but shorter: the check of the whole product by its own means, and by
// ours.
func TestTheDemoChecksItself(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo-data")
	out := must(t, nil, "demo", "--for", "4s", "--rate", "500", "--dir", dir, "--listen", "127.0.0.1:0")
	last := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]
	m := regexp.MustCompile(`^accepted (\d+) delivered (\d+) files (\d+) missing 0 duplicates 0\n$`).FindStringSubmatch(last)
	if m == nil || m[1] != m[2] || m[1] == "0" || m[3] == "0" {
		t.Fatalf("the last line is %q", last)
	}
	for _, w := range []string{"http://127.0.0.1:", "mr_", "/bucket/"} {
		if !strings.Contains(out, w) {
			t.Errorf("the demo does not print %q:\n%s", w, out)
		}
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```\n(Millrace is running.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("the README does not show what the demo prints")
	}
	label := regexp.MustCompile(`(?m)^(?:  [a-zA-Z][A-Za-z ]*  |[A-Z].* path style:$)`) // what differs from run to run is left out
	shown, printed := label.FindAllString(string(block[1]), -1), label.FindAllString(out, -1)
	if len(shown) < 10 || len(printed) < len(shown) || !slices.Equal(shown, printed[:len(shown)]) {
		t.Errorf("the README shows %q, the demo prints %q", shown, printed)
	}
	shelf := newShelf(filepath.Join(dir, "bucket"))
	shelf.look(t)
	n := 0
	for id, times := range shelf.ids {
		if times != 1 {
			t.Errorf("event %s is there %d times", id, times)
		}
		n++
	}
	if got := len(shelf.ids); m[1] != strconv.Itoa(got) {
		t.Errorf("the demo says %s events, the bucket holds %d", m[1], got)
	}
	// A second run on the same folder goes on: same connector, and what was there stays.
	// Somebody has the usual address: it takes another.
	if l, err := net.Listen("tcp", "127.0.0.1:8080"); err == nil {
		defer l.Close()
	}
	out = must(t, nil, "demo", "--for", "2s", "--rate", "500", "--dir", dir)
	if !strings.Contains(out, "missing 0 duplicates 0\n") {
		t.Errorf("the second run ends with\n%s", out)
	}
	if c, _ := filepath.Glob(filepath.Join(dir, "bucket", "demo-currents", "currents", "dataexport.*")); len(c) != 1 {
		t.Errorf("the second run made another connector: %q", c)
	}
	// One connector of each method; their contacts were told.
	if c, _ := filepath.Glob(filepath.Join(dir, "bucket", "demo-currents", "behavior", "dataexport.*")); len(c) != 1 {
		t.Errorf("the connector by role wrote to %q", c)
	}
	list := must(t, nil, "connector", "list", "--data-dir", filepath.Join(dir, "data"))
	if !regexp.MustCompile(`demo/lake .* role `).MatchString(list) || !regexp.MustCompile(`demo/warehouse .* key `).MatchString(list) {
		t.Errorf("the connectors are\n%s", list)
	}
	if mails, _ := filepath.Glob(filepath.Join(dir, "outbox", "*@demo.example.eml")); len(mails) < 2 {
		t.Errorf("mails: %q", mails)
	}
	// While one is held its events wait, and the demo says of which, and what to do.
	data := []string{"--data-dir", filepath.Join(dir, "data")}
	must(t, nil, append([]string{"connector", "pause", "demo/lake"}, data...)...)
	_, stderr, code := call(t, nil, "demo", "--for", "2s", "--rate", "500", "--dir", dir, "--listen", "127.0.0.1:0")
	if code != 1 || !strings.Contains(stderr, "demo/lake is paused") || !strings.Contains(stderr, "connector resume demo/lake") {
		t.Errorf("with a paused connector: exit %d\n%s", code, stderr)
	}
	must(t, nil, append([]string{"connector", "resume", "demo/lake"}, data...)...)
	out = must(t, nil, "demo", "--for", "2s", "--rate", "500", "--dir", dir, "--listen", "127.0.0.1:0")
	if !strings.Contains(out, "missing 0 duplicates 0\n") {
		t.Errorf("after it was resumed:\n%s", out)
	}
	jsonl := must(t, nil, "cat", filepath.Join(dir, "bucket"))
	if lines := strings.Count(jsonl, "\n"); lines < n {
		t.Errorf("cat prints %d lines, there were %d events after the first run alone", lines, n)
	}
}

// What the demo prints to look into it works as pasted, while it runs, and a second shell can do what its server can.
func TestTheDemoSaysHowToLookIntoIt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo-data")
	demo := exec.Command(millrace, "demo", "--rate", "100", "--dir", dir, "--listen", "127.0.0.1:0")
	demo.Env = cleanEnv()
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		demo.Process.Signal(os.Interrupt)
		demo.Wait()
	}()
	paste := func(line, want string) {
		pasted := exec.Command("sh", "-ec", line)
		pasted.Env = cleanEnv()
		if said, err := pasted.CombinedOutput(); err != nil || !strings.Contains(string(said), want) {
			t.Errorf("%s: %v\n%s", line, err, said)
		}
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if line, ok := strings.CutPrefix(lines.Text(), "Look into it: "); ok {
			paste(line, "no difference")
			continue
		}
		if line, ok := strings.CutPrefix(lines.Text(), "Ask the API: "); ok {
			paste(line, `"name":"warehouse"`)
			return
		}
		read, check, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "Second shell: "), "; then each command works on this demo, roles included: ")
		if !ok {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, "shell.env")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("its keys: %v %v", info, err)
		}
		paste(read+"\n"+check, "the credentials are good")
		paste(read+"\n"+millrace+" policy trust --workspace demo", "111122223333")
	}
	t.Error("the demo does not say how to ask its API")
}

// Whatever the README shows is run as it stands there, with the placeholders that a reader would fill in. make demo
// and make test are only looked up: the one does not end, the other is what runs this.
func TestTheCommandsOfTheReadmeWork(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
		joined := strings.ReplaceAll(block[1], "\\\n", "")
		for line := range strings.Lines(joined) {
			commands = append(commands, strings.TrimSpace(line))
		}
	}
	if len(commands) < 9 {
		t.Fatalf("the README shows only %q", commands)
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	store := startStore(t)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(millrace, filepath.Join(dir, "bin", "millrace")); err != nil {
		t.Fatal(err)
	}
	manifest := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(string(b))
	if manifest == nil {
		t.Fatal("the README shows no file of apply")
	}
	// Its bucket is at Amazon; ours is here.
	text := strings.NewReplacer(
		"bucket: acme-currents\n", "bucket: "+store.bucket+"\n          region: us-east-1\n          path_style: true\n          endpoint: "+store.endpoint+"\n",
		"AKIAEXAMPLE", store.keyID,
	).Replace(manifest[1])
	files := map[string]string{"acme.yaml": text, "events.ndjson": eventOf("readme-1", 0) + eventOf("readme-2", 1)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	srv := newServer(t, filepath.Join(dir, "data"))
	for _, c := range commands {
		switch {
		case strings.HasPrefix(c, "make "):
			target := strings.TrimPrefix(c, "make ")
			if !regexp.MustCompile(`(?m)^` + target + `:.*## `).Match(makefile) {
				t.Errorf("the README says %q, and the Makefile has no such target", c)
			}
			continue
		case strings.HasSuffix(c, "serve &"):
			srv.start()
			continue
		case strings.HasPrefix(c, "export "):
			continue // the test's server has a folder of its own
		}
		c = strings.NewReplacer("--for 20s", "--for 2s --listen 127.0.0.1:0", "http://127.0.0.1:8080", "http://"+srv.addr, "curl ", "curl -sSf --retry 8 --retry-all-errors --retry-delay 1 ").Replace(c)
		sh := exec.Command("sh", "-ec", c)
		sh.Dir = dir
		sh.Env = append(cleanEnv(), append(srv.env, "ACME_S3_SECRET="+store.secret, "ACME_PRODUCER_KEY="+producerKey)...)
		if strings.Contains(c, " demo ") || strings.Contains(c, " cat ") {
			sh.Env = cleanEnv()
		}
		out, err := sh.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", c, err, out)
		}
		want := `"accepted":2`
		if strings.Contains(c, "/api/v1/") {
			want = `"name":"warehouse"`
		}
		if strings.HasPrefix(c, "curl") && !strings.Contains(string(out), want) {
			t.Errorf("%s answers %s", c, out)
		}
	}
}
