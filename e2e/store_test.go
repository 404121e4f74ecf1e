package e2e_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/bucket/buckettest"
)

// store is a real S3 server with one bucket, and one user who may do what Currents needs and nothing more.
type store struct {
	endpoint, bucket, keyID, secret string
	root                            string // where the bucket's objects lie as files
}

func startStore(t *testing.T) store {
	t.Helper()
	const name = "acme-currents"
	v := buckettest.StartVersity(t)
	v.CreateBucket(t, name, false)
	u := v.CreateUser(t, "currents", buckettest.CurrentsPolicy(name))
	return store{v.Endpoint, name, u.AccessKeyID, u.SecretAccessKey.Reveal(), filepath.Join(v.Dir, name)}
}

// manifest is a file of apply with one connector acme/warehouse on the store; more is lines of the connector.
func (s store) manifest(more string) string {
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
          region: us-east-1
          endpoint: %s
          path_style: true
          access_key_id: %s
          secret_access_key_env: ACME_S3_SECRET
        events: [all]
        %s
`, s.bucket, s.endpoint, s.keyID, more)
}
