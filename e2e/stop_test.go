package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

// A stop waits for a bucket that hangs; a second signal does not, and loses nothing.
func TestASecondSignalEndsItAtOnceAndLosesNothing(t *testing.T) {
	var hangs atomic.Bool
	release := make(chan struct{})
	dir := t.TempDir()
	shop, err := bucketserver.New(bucketserver.Config{
		Files: vfs.OS(dir), Keys: map[string]secret.Value{"AKIAHANG": secret.New("hang-secret")},
		Fault: func(r *http.Request) bucketserver.Fault {
			if hangs.Load() && r.Method == http.MethodPut {
				<-release
			}
			return bucketserver.Fault{}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := shop.CreateBucket("acme-currents"); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(shop)
	t.Cleanup(web.Close)
	s := store{endpoint: web.URL, bucket: "acme-currents", keyID: "AKIAHANG", secret: "hang-secret", root: filepath.Join(dir, "acme-currents")}

	srv := newServer(t, t.TempDir())
	env := append(srv.env, "ACME_S3_SECRET="+s.secret, "ACME_PRODUCER_KEY="+producerKey)
	must(t, env, "apply", "-f", write(t, "apply.yaml", s.manifest("flush: {interval: 1s, events: 100}")))
	srv.start()
	// The connector begins with its control record, which a fresh server appends within a second.
	for deadline := time.Now().Add(10 * time.Second); !recorded(t, srv); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the connector does not begin")
		}
	}
	hangs.Store(true)
	sent := map[string]bool{}
	for n := range 300 {
		id := fmt.Sprintf("e%d", n)
		if status, _, answer, err := srv.post(producerKey, "", []byte(eventOf(id, n))); err != nil || status != 200 {
			t.Fatalf("status %d: %s %v", status, answer, err)
		}
		sent[id] = true
	}
	srv.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-srv.done:
		t.Fatal("it ended although a file was on its way")
	case <-time.After(time.Second):
	}
	srv.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-srv.done:
	case <-time.After(2 * time.Second):
		t.Fatal("a second signal does not end it")
	}
	hangs.Store(false)
	close(release)
	srv.start()
	newShelf(s.root).waitFor(t, sent, 30*time.Second)
	srv.stop()
}

// recorded reports whether a lane runs: the metrics have one.
func recorded(t *testing.T, srv *server) bool {
	return hasLine(get(t, "http://"+metricsOf(srv)+"/metrics"), "millrace_delivery_lag_events{")
}
