package app

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/httpd"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

// shop is an S3 server in this process, for demo and bench.
type shop struct {
	url    string
	server *httpd.Server
	stop   context.CancelFunc
	ended  chan struct{}
}

// openShop serves one bucket that lies in the folder dir.
func openShop(dir, bucket, keyID, key, listen string) (*shop, error) {
	return openFailingShop(dir, bucket, keyID, key, listen, nil)
}

// openFailingShop is openShop of which requests fail as fails says.
func openFailingShop(dir, bucket, keyID, key, listen string, fails func(*http.Request) bucketserver.Fault) (*shop, error) {
	s, err := bucketserver.New(bucketserver.Config{Files: vfs.OS(dir), Keys: map[string]secret.Value{keyID: secret.New(key)}, Fault: fails})
	if err != nil {
		return nil, err
	}
	if err := s.CreateBucket(bucket); err != nil {
		return nil, err
	}
	server, err := httpd.Open(httpd.Config{Listen: listen}, s, nil, slog.New(slog.DiscardHandler), httpd.Hooks{})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	x := &shop{url: server.URL(), server: server, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(x.ended)
		server.Run(ctx) // its errors are the requests' errors, which the clients report
	}()
	return x, nil
}

// close ends the server when its requests are answered.
func (x *shop) close() {
	x.stop()
	<-x.ended
}
