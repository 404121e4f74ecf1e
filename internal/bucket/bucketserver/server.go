// Package bucketserver is the demo's own S3 server: buckets as folders, objects as plain files.
//
// It verifies signatures (version 4) for real, refuses what a wrong key, secret, region or clock would be refused
// for at Amazon, writes create-only objects in one step, and keeps what S3 keeps about an object beside it in a
// hidden tree. It is for demos, benches and tests: nothing is synced, every key may do everything, and of S3 it
// knows put, get, head, list, location and delete. The protocol is gofakes3's; ours are files and the door.
//
// Layout, below the folder it is given:
//
//	<bucket>/<key>                  the object's bytes
//	.millrace/meta/<bucket>/<key>   what is known about it, as JSON
//	.millrace/tmp/                  objects on their way in
//
// Start reading at Server.
package bucketserver

import (
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rclone/gofakes3"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

// Config is what a Server needs.
type Config struct {
	Files  vfs.FS                  // the folder of the buckets; made if it does not exist
	Keys   map[string]secret.Value // secrets by access key id
	Region string                  // where all buckets lie; empty: us-east-1

	// Fault is asked before each request is looked at; nil: nothing ever fails. For tests.
	Fault func(*http.Request) Fault
}

// Fault is what goes wrong with a request. The zero value: nothing.
type Fault struct {
	Status     int    // > 0: the request is answered with it and has no effect
	Code       string // the error code in that answer
	RetryAfter time.Duration
	Lost       bool // the request takes effect and the connection breaks without an answer
}

// Server is an http.Handler that speaks S3 with path-style addresses. Safe for concurrent use.
type Server struct {
	files  *files
	region string
	fault  func(*http.Request) Fault
	s3     http.Handler
}

// New makes a server over what its folder holds.
//
// Errors: those of the disk. Only one server may have the folder: create-only holds among its own requests.
func New(cfg Config) (*Server, error) {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	f, err := openFiles(cfg.Files)
	if err != nil {
		return nil, fault.Wrap(err, "open bucket server")
	}
	pairs := map[string]string{}
	for id, s := range cfg.Keys {
		pairs[id] = s.Reveal()
	}
	if len(pairs) == 0 {
		return nil, fault.New(fault.Invalid, "open bucket server", "no access key is given: everybody would be let in")
	}
	return &Server{
		files: f, region: cfg.Region, fault: cfg.Fault,
		s3: gofakes3.New(f, gofakes3.WithV4Auth(pairs), gofakes3.WithoutVersioning()).Server(),
	}, nil
}

// CreateBucket makes a bucket; no error if it exists.
//
// Errors: invalid for a name that no bucket can have; those of the disk.
func (s *Server) CreateBucket(name string) error {
	if p := bucket.ValidateName("bucket", name); p != nil {
		return &fault.Error{Code: fault.Invalid, Op: "create bucket", Fields: p}
	}
	return s.files.fs.MkdirAll(name)
}

// ServeHTTP answers one S3 request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.fault != nil {
		switch f := s.fault(r); {
		case f.Status > 0:
			if f.RetryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
			}
			refuse(w, r, f.Status, answer{Code: f.Code, Message: "A fault was asked for."})
			return
		case f.Lost:
			s.serve(unheard{http.Header{}}, r)
			panic(http.ErrAbortHandler)
		}
	}
	s.serve(w, r)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if region, ok := scope(r.Header.Get("Authorization")); ok && region != s.region {
		w.Header().Set("X-Amz-Bucket-Region", s.region)
		refuse(w, r, http.StatusBadRequest, answer{
			Code: "AuthorizationHeaderMalformed", Region: s.region,
			Message: "The authorization header is malformed; the region is wrong; expecting '" + s.region + "'.",
		})
		return
	}
	if _, ok := r.URL.Query()["location"]; ok && r.Method == http.MethodGet && s.region != "us-east-1" {
		w = &located{ResponseWriter: w, region: s.region}
	}
	s.s3.ServeHTTP(w, r)
}

// scope gives the region that a signature is for: Credential=KEY/DATE/REGION/s3/aws4_request.
func scope(authorization string) (region string, ok bool) {
	_, rest, ok := strings.Cut(authorization, "Credential=")
	if !ok {
		return "", false
	}
	credential, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(credential, "/")
	if len(parts) < 5 {
		return "", false
	}
	return parts[len(parts)-3], true
}

// answer is an error as S3 writes it.
type answer struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	Region  string `xml:",omitempty"`
}

func refuse(w http.ResponseWriter, r *http.Request, status int, a answer) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = io.WriteString(w, xml.Header) // a client that has gone
	_ = xml.NewEncoder(w).Encode(a)      // misses nothing
}

// located puts the region into the answer of GetBucketLocation, which gofakes3 leaves empty.
type located struct {
	http.ResponseWriter
	region string
	status int
}

func (l *located) WriteHeader(status int) {
	l.status = status
	if status == http.StatusOK {
		l.Header().Del("Content-Length")
	}
	l.ResponseWriter.WriteHeader(status)
}

func (l *located) Write(p []byte) (int, error) {
	if l.status == 0 {
		l.WriteHeader(http.StatusOK)
	}
	if l.status != http.StatusOK {
		return l.ResponseWriter.Write(p)
	}
	if l.region != "" {
		region := l.region
		l.region = ""
		_, err := io.WriteString(l.ResponseWriter, xml.Header+`<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`+region+`</LocationConstraint>`)
		if err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// unheard is where the answers of requests go whose connection breaks.
type unheard struct{ header http.Header }

func (u unheard) Header() http.Header         { return u.header }
func (u unheard) Write(p []byte) (int, error) { return len(p), nil }
func (u unheard) WriteHeader(int)             {}

// userMetadata keeps what S3 would give back with an object.
func userMetadata(meta map[string]string) map[string]string {
	kept := maps.Clone(meta)
	delete(kept, "Last-Modified")
	return kept
}
