package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket/buckettest"
)

// Each integration passes its check with exactly the policy that `millrace policy` prints for it, and with any one
// action of it taken away it is refused, and the action is named.
func TestEachIntegrationNeedsItsPolicyAndNothingMore(t *testing.T) {
	t.Parallel()
	const name = "acme-rights"
	v := buckettest.StartVersity(t)
	v.CreateBucket(t, name, false)
	for _, in := range []struct {
		kind, thing, manifest string
		actions               []string
	}{
		{"currents", "connector acme/c", `    connectors:
      - name: c
        type: s3
        contact_email: data@acme.example
        destination: {bucket: %s, folder: currents, region: us-east-1, endpoint: %q, path_style: true, access_key_id: %s, secret_access_key_env: SECRET}
        events: [all]
`, []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:PutObject", "s3:GetObject"}},
		{"exports", "data export acme", `    data_export: {bucket: %s, region: us-east-1, endpoint: %q, path_style: true, access_key_id: %s, secret_access_key_env: SECRET}
`, []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:PutObject", "s3:GetObject", "s3:DeleteObject"}},
	} {
		policy := must(t, nil, "policy", in.kind, "--bucket", name)
		var named []string
		for _, m := range regexp.MustCompile(`"(s3:\w+)"`).FindAllStringSubmatch(policy, -1) {
			named = append(named, m[1])
		}
		slices.Sort(named)
		if want := slices.Sorted(slices.Values(in.actions)); !slices.Equal(named, want) {
			t.Fatalf("the policy for %s has %q, want %q", in.kind, named, want)
		}
		for i, action := range append([]string{""}, in.actions...) {
			t.Run(in.kind+" without "+strings.TrimPrefix(action+"nothing", action+"nothin"), func(t *testing.T) {
				u := v.CreateUser(t, fmt.Sprintf("%s-%d", in.kind, i), without(policy, action))
				env := []string{"MILLRACE_DATA_DIR=" + t.TempDir(), "MILLRACE_ALLOWED_ENDPOINT_NETWORKS=127.0.0.0/8", "SECRET=" + u.SecretAccessKey.Reveal()}
				file := write(t, "apply.yaml", "workspaces:\n  - name: acme\n"+fmt.Sprintf(in.manifest, name, v.Endpoint, u.AccessKeyID))
				out, stderr, code := call(t, env, "apply", "-f", file)
				if action == "" {
					if code != 0 || !strings.Contains(out, in.thing) {
						t.Errorf("exit %d\n%s%s", code, out, stderr)
					}
					return
				}
				_, failure, _ := strings.Cut(stderr, "millrace: ")
				if code != 1 || !strings.Contains(failure, "refused: "+in.thing) || !names(failure, action) {
					t.Errorf("exit %d, the failure does not name %s:\n%s", code, action, stderr)
				}
				for _, other := range in.actions {
					if other != action && names(failure, other) {
						t.Errorf("the failure names %s, too:\n%s", other, stderr)
					}
				}
				if strings.Contains(out, in.thing) {
					t.Errorf("it stands all the same:\n%s", out)
				}
			})
		}
	}
}

// names reports whether a failure has a line of its own about an action, which may stand after its place in the file.
func names(failure, action string) bool {
	return regexp.MustCompile(`(?m)^  (\S+ \S+\.)?` + action + ": ").MatchString(failure)
}

// without takes an action out of a policy.
func without(policy, action string) string {
	if action == "" {
		return policy
	}
	policy = regexp.MustCompile(`"`+action+`",\s*`).ReplaceAllString(policy, "")
	return regexp.MustCompile(`,\s*"`+action+`"`).ReplaceAllString(policy, "")
}

// A connector's whole life by the command line, with a server that runs and without one.
func TestTheLifeOfAConnectorByCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := func(want string, more ...string) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for {
			out := must(t, w.env, "connector", "show", "acme/warehouse", "--json")
			var c struct{ Status, Method string }
			if err := json.Unmarshal([]byte(out), &c); err != nil {
				t.Fatal(err)
			}
			if c.Status == want && c.Method == "key" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("status %s, want %s:\n%s", c.Status, want, out)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	w.send("first", 50)
	w.delivered()
	at("active")
	if out := must(t, w.env, "connector", "check", "warehouse"); !strings.Contains(out, "are good") {
		t.Errorf("check: %s", out)
	}
	if out := must(t, w.env, "connector", "list"); !strings.Contains(out, "acme/warehouse  active") {
		t.Errorf("list:\n%s", out)
	}

	// Paused: nothing is uploaded and nothing is lost.
	must(t, w.env, "connector", "pause", "acme/warehouse")
	at("paused")
	time.Sleep(5 * time.Second) // what the server may take to know it
	had := objects(t, w.store.root)
	w.send("held", 60)
	time.Sleep(3 * time.Second)
	if now := objects(t, w.store.root); now != had {
		t.Errorf("a paused connector wrote %d files", now-had)
	}
	must(t, w.env, "connector", "resume", "acme/warehouse")
	w.delivered()

	// Test events: one of each type, to this connector, in no count.
	before := ledgerOf(t, w.server)
	out := must(t, w.env, "connector", "test-events", "acme/warehouse")
	types, tests := 0, 0
	if _, err := fmt.Sscanf(out, "%d test events for acme/warehouse", &types); err != nil || types < 50 {
		t.Errorf("test events: %s", out)
	}
	for deadline := time.Now().Add(20 * time.Second); tests < types && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		w.shelf.look(t)
		tests = 0
		for id := range w.shelf.ids {
			if strings.HasPrefix(id, "test-") {
				w.sent[id] = true
				tests++
			}
		}
	}
	if tests != types {
		t.Errorf("of %d test events %d arrived", types, tests)
	}
	if after := ledgerOf(t, w.server); after.sum() != before.sum() {
		t.Errorf("test events are counted: %v, before %v", after.sum(), before.sum())
	}

	// Deleted: what was accepted before is still delivered; what comes later is not.
	w.send("last", 30)
	must(t, w.env, "connector", "delete", "acme/warehouse")
	at("deleted")
	w.delivered()
	w.stop()
	if out := must(t, w.env, "connector", "list"); strings.Contains(out, "acme/warehouse") {
		t.Errorf("a deleted connector is listed among the others:\n%s", out)
	}

	// Without a server: another of the same name is made and deleted before any server has heard of it.
	w.apply(w.lines)
	out = must(t, w.env, "connector", "delete", "acme/warehouse")
	if !strings.Contains(out, "acme/warehouse is deleted") {
		t.Errorf("delete without a server: %s", out)
	}
	if out := must(t, w.env, "connector", "list", "--deleted"); strings.Count(out, "acme/warehouse  deleted") != 2 {
		t.Errorf("list --deleted:\n%s", out)
	}
	w.start()
	// What comes between the records of its making and of its end would still be delivered.
	for deadline := time.Now().Add(20 * time.Second); strings.Count(w.output(), "connector=warehouse version=2") < 2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("its deletion is not recorded")
		}
	}
	if status, _, answer, err := w.post(producerKey, "", []byte(eventOf("nobodys-0", 0))); err != nil || status != 200 {
		t.Fatalf("status %d: %s %v", status, answer, err)
	}
	w.stop()
	w.shelf.look(t)
	w.shelf.compare(t, w.sent)
}

// objects counts the files of events below a folder.
func objects(t *testing.T, root string) (n int) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".avro") {
			n++
		}
		return nil // what goes while it is looked at is none
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// books is a connector's ledger as `millrace ledger --json` gives it.
type books struct {
	Audit []struct {
		Hour      string
		EventType string `json:"event_type"`
		Accepted  int64
		Delivered int64
		Dropped   int64
		Waiting   int64
	}
	Dropped []struct {
		Reason  string
		Events  int64
		Settled bool
	}
}

// sum is accepted, delivered, dropped and waiting over all hours and types.
func (b books) sum() (s [4]int64) {
	for _, a := range b.Audit {
		s[0], s[1], s[2], s[3] = s[0]+a.Accepted, s[1]+a.Delivered, s[2]+a.Dropped, s[3]+a.Waiting
	}
	return s
}

// ledgerOf reads the ledger of acme/warehouse, in which each line balances.
func ledgerOf(t *testing.T, s *server) (b books) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, s.env, "ledger", "--connector", "acme/warehouse", "--json")), &b); err != nil {
		t.Fatal(err)
	}
	for _, a := range b.Audit {
		if a.Accepted != a.Delivered+a.Dropped+a.Waiting {
			t.Errorf("the books do not balance: %+v", a)
		}
	}
	return b
}
