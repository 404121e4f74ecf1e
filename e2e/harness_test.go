// Package e2e_test proves the built program from outside: the binary, its environment, its addresses, a real S3
// server, and Avro readers that are not ours.
package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro/ocf"
)

// millrace is the binary under test.
var millrace string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "millrace-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	millrace = filepath.Join(dir, "millrace")
	build := exec.Command("go", "build", "-o", millrace, "./cmd/millrace")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if began {
		chromium().end()
	}
	return code
}

// long tells whether the long forms of the tests are wanted.
func long() bool { return os.Getenv("MILLRACE_SOAK") == "1" }

// cleanEnv is the environment without any setting of ours, so that a developer's shell does not decide a test.
func cleanEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "MILLRACE_") {
			env = append(env, e)
		}
	}
	return env
}

// call runs the binary to its end and gives what it said. Code is the exit code.
func call(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, millrace, args...)
	c.Env = append(cleanEnv(), env...)
	c.Dir = t.TempDir()
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	err := c.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatalf("millrace %s: %v", strings.Join(args, " "), err)
	}
	return o.String(), e.String(), c.ProcessState.ExitCode()
}

// must is call for what has to succeed.
func must(t *testing.T, env []string, args ...string) string {
	t.Helper()
	stdout, stderr, code := call(t, env, args...)
	if code != 0 {
		t.Fatalf("millrace %s: exit %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// server is `millrace serve` on a folder. It keeps its address when it is killed and started again.
type server struct {
	t     *testing.T
	env   []string
	addr  string
	files int // descriptors that it may have; 0: as many as we
	// binary is run instead of millrace, if there is one.
	binary string
	mu     sync.Mutex
	cmd    *exec.Cmd
	done   chan struct{} // closed when cmd has ended
	said   bytes.Buffer  // of all its lives
}

func newServer(t *testing.T, data string, env ...string) *server {
	s := &server{t: t, addr: freeAddr(t)}
	s.env = append([]string{
		"MILLRACE_DATA_DIR=" + data,
		"MILLRACE_LISTEN=" + s.addr,
		"MILLRACE_METRICS_LISTEN=" + freeAddr(t),
		"MILLRACE_ALLOWED_ENDPOINT_NETWORKS=127.0.0.0/8",
	}, env...)
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("what the server said:\n%s", s.output())
		}
	})
	return s
}

// lastPort is the last port that freeAddr gave, below those that systems give to connections (from 32768 on Linux):
// one of these may be taken again before the server listens.
var lastPort = func() *atomic.Int32 {
	p := new(atomic.Int32)
	p.Store(int32(os.Getpid()%1200) * 10)
	return p
}()

// freeAddr gives an address that nobody listens on and that is given once.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 1000 {
		at := fmt.Sprintf("127.0.0.1:%d", 20000+lastPort.Add(1)%12000)
		if l, err := net.Listen("tcp", at); err == nil {
			l.Close()
			return at
		}
	}
	t.Fatal("no free port among a thousand")
	return ""
}

// start runs the server and waits until it is ready.
func (s *server) start() {
	s.t.Helper()
	s.spawn()
	s.ready()
}

// spawn runs the server.
func (s *server) spawn() {
	s.t.Helper()
	binary := cmp.Or(s.binary, millrace)
	c := exec.Command(binary, "serve")
	if s.files > 0 {
		c = exec.Command("sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" serve`, s.files), binary)
	}
	c.Env = append(cleanEnv(), s.env...)
	out := lockedWriter{&s.mu, &s.said}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { c.Wait(); close(done) }()
	s.mu.Lock()
	s.cmd, s.done = c, done
	s.mu.Unlock()
}

// ready waits until the server that was spawned is ready.
func (s *server) ready() {
	s.t.Helper()
	c, done := s.cmd, s.done
	deadline := time.Now().Add(30 * time.Second)
	for {
		res, err := http.Get("http://" + s.addr + "/readyz")
		if err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode == 200 {
				return
			}
		}
		select {
		case <-done:
			s.t.Fatalf("serve ended at start: %v\n%s", c.ProcessState, s.output())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("serve is not ready after 30 s\n%s", s.output())
		}
	}
}

// kill is SIGKILL, and waits until the process is gone.
func (s *server) kill() {
	s.mu.Lock()
	c, done := s.cmd, s.done
	s.mu.Unlock()
	if c == nil {
		return
	}
	c.Process.Kill()
	<-done
}

// dies kills the server, now and then also before it is ready again, and starts it.
func (s *server) dies(r *rand.Rand) {
	s.t.Helper()
	s.kill()
	for r.IntN(4) == 0 {
		s.spawn()
		time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
		s.kill()
	}
	s.start()
}

// stop is SIGTERM, and waits for the ordered end.
func (s *server) stop() {
	s.t.Helper()
	s.cmd.Process.Signal(os.Interrupt)
	select {
	case <-s.done:
		if code := s.cmd.ProcessState.ExitCode(); code != 0 {
			s.t.Errorf("an ordered stop ends with exit %d", code)
		}
	case <-time.After(30 * time.Second):
		s.t.Errorf("serve does not stop")
		s.kill()
	}
}

func (s *server) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// post sends NDJSON once. An error means that there was no answer.
func (s *server) post(key, idempotency string, body []byte) (status, accepted int, answer string, err error) {
	status, answer, err = s.tell("/v1/events", "application/x-ndjson", key, idempotency, body)
	var a struct{ Accepted int }
	json.Unmarshal([]byte(answer), &a) // of an answer of another form the status is enough
	return status, a.Accepted, answer, err
}

// tell posts to an address of producers once. An error means that there was no answer.
func (s *server) tell(path, form, key, idempotency string, body []byte) (status int, answer string, err error) {
	req, err := http.NewRequest("POST", "http://"+s.addr+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", form)
	req.Header.Set("Authorization", "Bearer "+key)
	if idempotency != "" {
		req.Header.Set("Idempotency-Key", idempotency)
	}
	res, err := producers.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, "", err
	}
	return res.StatusCode, string(b), nil
}

var producers = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}

// shelf reads Avro files below a folder, each once, and remembers what it saw: objects never change.
type shelf struct {
	root  string
	read  map[string]object
	ids   map[string]int // how often each event is there
	types map[string]int
	files int
	each  func(eventType string, record map[string]any) // is shown what is read; nil: nobody is
}

// object is one file as it was first seen.
type object struct {
	events int
	hash   [sha256.Size]byte
}

func newShelf(root string) *shelf {
	return &shelf{root: root, read: map[string]object{}, ids: map[string]int{}, types: map[string]int{}}
}

// unchanged reads everything that was read once more, and says what is not as it was.
func (s *shelf) unchanged(t *testing.T) {
	t.Helper()
	for name, had := range s.read {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("objects never change: %v", err)
		} else if sha256.Sum256(b) != had.hash {
			t.Errorf("objects never change: %s is not what it was", name)
		}
	}
}

// look reads what is new, with two readers by turns.
func (s *shelf) look(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(s.root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a store's temporary file that has gone
			}
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".avro") {
			return nil
		}
		if _, known := s.read[name]; known {
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		records := readGoavro
		if s.files%2 == 1 || !goavroReads(b) {
			records = readTwmb
		}
		all, err := records(b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(all) == 0 {
			return fmt.Errorf("%s is empty", name)
		}
		_, rest, _ := strings.Cut(name, "event_type=")
		typ, _, _ := strings.Cut(rest, "/")
		for _, r := range all {
			s.ids[r["id"].(string)]++
			s.types[typ]++
			if s.each != nil {
				s.each(typ, r)
			}
		}
		s.read[name] = object{len(all), sha256.Sum256(b)}
		s.files++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// goavroReads tells whether goavro knows a file's codec.
func goavroReads(file []byte) bool {
	return !bytes.Contains(file[:min(len(file), 64<<10)], []byte("avro.codec\x12zstandard"))
}

func readGoavro(b []byte) ([]map[string]any, error) {
	r, err := goavro.NewOCFReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	var all []map[string]any
	for r.Scan() {
		v, err := r.Read()
		if err != nil {
			return nil, err
		}
		all = append(all, v.(map[string]any))
	}
	return all, r.Err()
}

func readTwmb(b []byte) ([]map[string]any, error) {
	r, err := ocf.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []map[string]any
	for {
		var v any
		err := r.Decode(&v)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v.(map[string]any))
	}
}

// waitFor looks until every id of sent is on the shelf, and then says what differs.
func (s *shelf) waitFor(t *testing.T, sent map[string]bool, limit time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(250 * time.Millisecond) {
		s.look(t)
		if len(s.ids) >= len(sent) || time.Now().After(deadline) {
			break
		}
	}
	time.Sleep(secondCopy)
	s.look(t)
	s.compare(t, sent)
}

// secondCopy is how long a second copy of an event may still be on its way once the first is there.
const secondCopy = 1500 * time.Millisecond

// compare says how the shelf differs from what was sent.
func (s *shelf) compare(t *testing.T, sent map[string]bool) {
	t.Helper()
	missing, double, strange := 0, 0, 0
	for id := range sent {
		if s.ids[id] == 0 {
			missing++
		}
	}
	for id, n := range s.ids {
		if n > 1 {
			double++
		}
		if !sent[id] {
			strange++
		}
	}
	if missing+double+strange > 0 {
		t.Errorf("of %d events sent, %d are missing, %d are there more than once, %d were never sent (%d files)", len(sent), missing, double, strange, s.files)
	}
}

// eventOf makes one event as NDJSON, of a type that follows from n.
func eventOf(id string, n int) string {
	switch n % 3 {
	case 0:
		return fmt.Sprintf(`{"event_type":"users.messages.email.Open","id":%q,"user_id":"u%d","time":1790000000,"email_address":"maría%d@example.com"}`+"\n", id, n%1000, n)
	case 1:
		return fmt.Sprintf(`{"event_type":"users.behaviors.CustomEvent","id":%q,"user_id":"u%d","time":1790000000,"name":"visto","properties":{"n":%d}}`+"\n", id, n%1000, n)
	}
	return fmt.Sprintf(`{"event_type":"users.behaviors.Purchase","id":%q,"user_id":"u%d","time":1790000000,"product_id":"p%d","price":9.5,"currency":"BRL","properties":"{}"}`+"\n", id, n%1000, n%50)
}
