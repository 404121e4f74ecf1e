package e2e_test

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/bucket/s3"
)

// store is a real S3 server with one bucket, and one user who may do what Currents needs and nothing more.
type store struct {
	endpoint, bucket, keyID, secret string
	root                            string // where the bucket's objects lie as files
	folder                          string // of the connector; empty: the default
	versity                         *buckettest.Versity
}

func startStore(t *testing.T) store {
	t.Helper()
	const name = "acme-currents"
	v := buckettest.StartVersity(t)
	v.CreateBucket(t, name, false)
	u := v.CreateUser(t, "currents", buckettest.CurrentsPolicy(name))
	return store{v.Endpoint, name, u.AccessKeyID, u.SecretAccessKey.Reveal(), filepath.Join(v.Dir, name), "", v}
}

// manifest is a file of apply with one connector acme/warehouse on the store; more is lines of the connector, which
// selects all events unless they say otherwise.
func (s store) manifest(more string) string {
	if !strings.Contains(more, "events: [") {
		more = "events: [all]\n        " + more
	}
	return fmt.Sprintf(`workspaces:
  - name: acme
    api_keys:
      - {name: producer, scopes: [events.write], secret_env: ACME_PRODUCER_KEY}
    connectors:
      - name: warehouse
        type: s3
        contact_email: data@acme.example
        destination:
          bucket: %s
          folder: %s
          region: us-east-1
          endpoint: %s
          path_style: true
          access_key_id: %s
          secret_access_key_env: ACME_S3_SECRET
        %s
`, s.bucket, cmp.Or(s.folder, "currents"), s.endpoint, s.keyID, more)
}

// iamDelay is how long the store may go on with rights that have changed.
const iamDelay = buckettest.IAMDelay

// currentsPolicies is what Currents needs, for several buckets.
func currentsPolicies(buckets ...string) string {
	var all []string
	for _, b := range buckets {
		_, statements, _ := strings.Cut(buckettest.CurrentsPolicy(b), "[")
		all = append(all, strings.TrimSuffix(strings.TrimSpace(statements), "]}"))
	}
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(all, ",") + "]}"
}

// strip writes every object again without its metadata, as tools that copy buckets do.
func (s store) strip(t *testing.T) {
	t.Helper()
	opener := s3.NewOpener(s3.Config{Dial: (&net.Dialer{}).DialContext})
	b, err := opener.Open(s.versity.Access(s.bucket, s.versity.Root()))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for o, err := range b.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := b.Get(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(body)
		body.Close()
		if err != nil {
			t.Fatal(err)
		}
		s.versity.RemoveObject(t, s.bucket, o.Key)
		if err := b.Put(t.Context(), o.Key, bucket.Body{all}, bucket.PutOptions{CreateOnly: true}); err != nil {
			t.Fatal(err)
		}
		if info, err := b.Head(t.Context(), o.Key); err != nil || len(info.Metadata) > 0 {
			t.Fatalf("%s still has metadata: %v %v", o.Key, info.Metadata, err)
		}
	}
}
