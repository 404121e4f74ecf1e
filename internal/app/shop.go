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

// shop is an S3 server in this process, with an STS at the same address, for demo and bench.
type shop struct {
	url    string
	server *httpd.Server
	stop   context.CancelFunc
	ended  chan struct{}
}

// shopConfig says what a shop sells.
type shopConfig struct {
	dir        string   // where its buckets lie
	buckets    []string // made if they are not there
	keyID, key string   // of the one customer with a key
	listen     string
	sts        *bucketserver.STS                      // for customers with a role; nil: none
	fails      func(*http.Request) bucketserver.Fault // which requests fail; nil: none
}

// openShop serves buckets, and the roles that open them.
func openShop(cfg shopConfig) (*shop, error) {
	s, err := bucketserver.New(bucketserver.Config{
		Files: vfs.OS(cfg.dir), Keys: map[string]secret.Value{cfg.keyID: secret.New(cfg.key)}, STS: cfg.sts, Fault: cfg.fails,
	})
	if err != nil {
		return nil, err
	}
	for _, b := range cfg.buckets {
		if err := s.CreateBucket(b); err != nil {
			return nil, err
		}
	}
	server, err := httpd.Open(httpd.Config{Listen: cfg.listen}, s, nil, slog.New(slog.DiscardHandler), httpd.Hooks{})
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
