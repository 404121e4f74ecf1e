package e2e_test

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

// The role method as an AWS administrator meets it: the policies come from the command line with the ids filled in, a
// role that was made a moment ago is waited for, events are delivered through it, and a role that lets anybody in is
// called out. The STS and the S3 server are strict stand-ins for AWS's.
func TestARoleIsTakenOnWithItsExternalID(t *testing.T) {
	t.Parallel()
	const (
		name    = "acme-lake"
		account = "111122223333"
		arn     = "arn:aws:iam::444455556666:role/exports/millrace"
	)
	sts, err := bucketserver.NewSTS(bucketserver.STSConfig{
		Users:    map[string]bucketserver.User{"AKIABASE": {ARN: "arn:aws:iam::" + account + ":user/millrace", Secret: secret.New("base-secret")}},
		Lifetime: 8 * time.Second, // several sessions are needed in the course of this
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s3, err := bucketserver.New(bucketserver.Config{Files: vfs.OS(dir), STS: sts})
	if err != nil {
		t.Fatal(err)
	}
	if err := s3.CreateBucket(name); err != nil {
		t.Fatal(err)
	}
	aws := httptest.NewServer(s3)
	t.Cleanup(aws.Close)

	srv := newServer(t, t.TempDir(), "MILLRACE_STS_ENDPOINT="+aws.URL, "MILLRACE_AWS_ACCOUNT_ID="+account, "MILLRACE_ROLE_RETRY=2s",
		"AWS_ACCESS_KEY_ID=AKIABASE", "AWS_SECRET_ACCESS_KEY=base-secret", "AWS_REGION=us-east-1", "ACME_PRODUCER_KEY="+producerKey)
	srv.start()
	workspace := "workspaces:\n  - name: acme\n    api_keys: [{name: producer, scopes: [events.write], secret_env: ACME_PRODUCER_KEY}]\n"
	must(t, srv.env, "apply", "-f", write(t, "workspace.yaml", workspace))
	trust := must(t, srv.env, "policy", "trust", "--workspace", "acme")
	if m := regexp.MustCompile(`"(mlr-[0-9a-f]{32})"`).FindStringSubmatch(trust); m == nil || !strings.Contains(trust, account) {
		t.Fatalf("account id and external id are not filled in:\n%s", trust)
	}
	if again := must(t, srv.env, "policy", "trust", "--workspace", "acme"); again != trust {
		t.Errorf("the ids changed:\n%s", again)
	}
	if other := must(t, srv.env, "policy", "trust", "--workspace", "acme", "--for", "exports"); other == trust {
		t.Error("both integrations have the same external id")
	}
	rights := must(t, srv.env, "policy", "currents", "--method", "role", "--bucket", name)

	file := write(t, "role.yaml", workspace+fmt.Sprintf(`    connectors:
      - name: warehouse
        type: s3
        contact_email: data@acme.example
        destination: {bucket: %s, region: us-east-1, endpoint: %q, path_style: true, role_arn: %q}
        events: [all]
        flush: {interval: 1s, events: 100}
`, name, aws.URL, arn))
	_, stderr, code := call(t, srv.env, "apply", "-f", file)
	if code != 1 || !strings.Contains(stderr, "S3 credentials are invalid") || !strings.Contains(stderr, "sts:AssumeRole: ") || !strings.Contains(stderr, "  trying   sts:AssumeRole again") {
		t.Errorf("a role that does not exist: exit %d\n%s", code, stderr)
	}
	later := time.AfterFunc(3*time.Second, func() {
		if err := sts.SetRole(bucketserver.Role{ARN: arn, Trust: trust, Policy: rights}); err != nil {
			t.Error(err)
		}
	})
	defer later.Stop()
	_, stderr, code = call(t, append(srv.env, "MILLRACE_ROLE_RETRY=1m"), "apply", "-f", file)
	if code != 0 || !strings.Contains(stderr, "  trying   sts:AssumeRole again") || !strings.Contains(stderr, "  passed   sts:AssumeRole") || strings.Contains(stderr, "note") {
		t.Fatalf("a role made a moment ago: exit %d\n%s", code, stderr)
	}
	lanesReady(t, srv, 1)

	shelf, sent := newShelf(filepath.Join(dir, name)), map[string]bool{}
	for round := range 3 { // longer than two sessions last
		for n := range 30 {
			id := fmt.Sprintf("r%d-%d", round, n)
			if status, _, answer, err := srv.post(producerKey, "", []byte(eventOf(id, n))); err != nil || status != 200 {
				t.Fatalf("status %d: %s %v", status, answer, err)
			}
			sent[id] = true
		}
		shelf.waitFor(t, sent, 20*time.Second)
		time.Sleep(5 * time.Second)
	}

	// The trust policy loses its condition: the check still passes, and says in plain words what is wrong.
	open := regexp.MustCompile(`(?s),\s*"Condition": \{.*?\}\s*\}`).ReplaceAllString(trust, "")
	if open == trust {
		t.Fatalf("no condition in\n%s", trust)
	}
	if err := sts.SetRole(bucketserver.Role{ARN: arn, Trust: open, Policy: rights}); err != nil {
		t.Fatalf("%v in\n%s", err, open)
	}
	out, stderr, code := call(t, srv.env, "connector", "check", "acme/warehouse")
	if code != 0 || !strings.Contains(out, "are good") || !strings.Contains(stderr, "can be taken on without its external id") || !strings.Contains(stderr, `"sts:ExternalId"`) {
		t.Errorf("a role that ignores the external id: exit %d\n%s%s", code, out, stderr)
	}
	if strings.Contains(srv.output(), "base-secret") {
		t.Error("a secret stands in the server's log")
	}
}

// A data export by role passes with exactly the policies that `millrace policy` prints for it, and with any one action
// of it taken away it is refused, and the action is named.
func TestADataExportByRoleNeedsItsPolicyAndNothingMore(t *testing.T) {
	t.Parallel()
	const (
		name    = "acme-exports"
		account = "111122223333"
		arn     = "arn:aws:iam::444455556666:role/exports"
	)
	sts, err := bucketserver.NewSTS(bucketserver.STSConfig{
		Users: map[string]bucketserver.User{"AKIABASE": {ARN: "arn:aws:iam::" + account + ":user/millrace", Secret: secret.New("base-secret")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s3, err := bucketserver.New(bucketserver.Config{Files: vfs.OS(t.TempDir()), STS: sts})
	if err != nil {
		t.Fatal(err)
	}
	if err := s3.CreateBucket(name); err != nil {
		t.Fatal(err)
	}
	aws := httptest.NewServer(s3)
	t.Cleanup(aws.Close)
	env := []string{"MILLRACE_DATA_DIR=" + t.TempDir(), "MILLRACE_ALLOWED_ENDPOINT_NETWORKS=127.0.0.0/8", "MILLRACE_STS_ENDPOINT=" + aws.URL,
		"MILLRACE_AWS_ACCOUNT_ID=" + account, "MILLRACE_ROLE_RETRY=1s", "AWS_ACCESS_KEY_ID=AKIABASE", "AWS_SECRET_ACCESS_KEY=base-secret", "AWS_REGION=us-east-1"}
	const workspace = "workspaces:\n  - name: acme\n"
	must(t, env, "apply", "-f", write(t, "workspace.yaml", workspace))
	trust := must(t, env, "policy", "trust", "--workspace", "acme", "--for", "exports")
	policy := must(t, env, "policy", "exports", "--method", "role", "--bucket", name)
	file := write(t, "exports.yaml", workspace+fmt.Sprintf("    data_export: {bucket: %s, region: us-east-1, endpoint: %q, path_style: true, role_arn: %q}\n", name, aws.URL, arn))
	apply := func(policy string) (out, stderr string, code int) {
		t.Helper()
		if err := sts.SetRole(bucketserver.Role{ARN: arn, Trust: trust, Policy: policy}); err != nil {
			t.Fatalf("%v in\n%s", err, policy)
		}
		return call(t, env, "apply", "-f", file)
	}
	actions := []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:PutObject", "s3:GetObject", "s3:DeleteObject"}
	for _, action := range actions {
		narrower := without(policy, action)
		if narrower == policy {
			t.Fatalf("%s is not in\n%s", action, policy)
		}
		out, stderr, code := apply(narrower)
		_, failure, _ := strings.Cut(stderr, "millrace: ")
		if code != 1 || !strings.Contains(failure, "refused: data export acme") || strings.Contains(out, "data export") {
			t.Errorf("without %s: exit %d\n%s%s", action, code, out, stderr)
		}
		for _, other := range actions {
			if named := names(failure, other); named != (other == action) {
				t.Errorf("without %s the failure names %s: %v\n%s", action, other, named, stderr)
			}
		}
	}
	out, stderr, code := apply(policy)
	if code != 0 || !strings.Contains(out, "data export acme") || strings.Contains(stderr, "note") {
		t.Errorf("with the policy as it is: exit %d\n%s%s", code, out, stderr)
	}
	if out := must(t, env, "apply", "-f", file); !strings.Contains(out, "nothing to change") {
		t.Errorf("applied again: %s", out)
	}
}
