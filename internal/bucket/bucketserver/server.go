// Package bucketserver is the demo's own S3 server: buckets as folders, objects as plain files.
//
// It verifies signatures (version 4) for real, refuses what a wrong key, secret, region or clock would be refused
// for at Amazon, writes create-only objects in one step, and keeps what S3 keeps about an object beside it in a
// hidden tree. Beside it an STS gives out temporary credentials for roles, which the server lets in until they expire.
// It is for demos, benches and tests: nothing is synced, a key may do everything unless it has a policy, and of S3 it
// knows put, get, head, list, location and delete. The protocol is gofakes3's; ours are files, the door and the STS.
//
// Layout, below the folder it is given:
//
//	<bucket>/<key>                  the object's bytes
//	.millrace/meta/<bucket>/<key>   what is known about it, as JSON
//	.millrace/tmp/                  objects on their way in
//
// Start reading at Server; then STS.
package bucketserver

import (
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/signature"

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

	// Policies says by access key id what a key may do, as a policy document; a key without one may do everything.
	Policies map[string]string

	// STS is whose temporary credentials are let in; nil: none. The server passes on to it what is meant for it, so
	// that one address can serve both.
	STS *STS

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
	keys   map[string]secret.Value
	sts    *STS

	mu     sync.Mutex
	rights map[string]*rights // by access key id
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
	if len(cfg.Keys) == 0 && cfg.STS == nil {
		return nil, fault.New(fault.Invalid, "open bucket server", "no access key is given: nobody would be let in")
	}
	s := &Server{
		files: f, region: cfg.Region, fault: cfg.Fault, keys: maps.Clone(cfg.Keys), sts: cfg.STS, rights: map[string]*rights{},
		s3: gofakes3.New(f, gofakes3.WithoutVersioning()).Server(),
	}
	for id, policy := range cfg.Policies {
		if err := s.SetPolicy(id, policy); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// SetPolicy says what the key with that id may do from now on, as a policy document; "": everything.
//
// Errors: invalid, for a document that is not understood.
func (s *Server) SetPolicy(accessKeyID, policy string) error {
	var r *rights
	if policy != "" {
		var err error
		if r, err = parseRights(policy, false); err != nil {
			return fault.Wrap(err, "set policy of "+accessKeyID)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rights[accessKeyID] = r
	return nil
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
	sig, isSigned := parseSigned(r.Header.Get("Authorization"))
	if s.sts != nil && isSigned && sig.service == "sts" {
		s.sts.ServeHTTP(w, r)
		return
	}
	if isSigned && sig.region != s.region {
		w.Header().Set("X-Amz-Bucket-Region", s.region)
		refuse(w, r, http.StatusBadRequest, answer{
			Code: "AuthorizationHeaderMalformed", Region: s.region,
			Message: "The authorization header is malformed; the region is wrong; expecting '" + s.region + "'.",
		})
		return
	}
	who, status, bad := s.admit(r, sig.key)
	if status == 0 {
		status, bad = s.authorize(r, who)
	}
	if status != 0 {
		refuse(w, r, status, bad)
		return
	}
	if _, ok := r.URL.Query()["location"]; ok && r.Method == http.MethodGet && s.region != "us-east-1" {
		w = &located{ResponseWriter: w, region: s.region}
	}
	s.s3.ServeHTTP(w, r)
}

// admit finds who signed r with key. status 0: they are who they say.
func (s *Server) admit(r *http.Request, key string) (who caller, status int, bad answer) {
	token := r.Header.Get("X-Amz-Security-Token")
	secretKey, known := s.keys[key]
	switch {
	case known && token != "":
		return who, http.StatusBadRequest, answer{Code: "InvalidToken", Message: "The provided token is malformed or otherwise invalid."}
	case known:
		s.mu.Lock()
		who = caller{arn: key, rights: s.rights[key]}
		s.mu.Unlock()
	case s.sts != nil:
		session, expired, ok := s.sts.who(key)
		if !ok {
			break
		}
		// Who knows the id learns nothing from these two: a token is not guessed.
		if !equal(session.token, token) {
			return who, http.StatusBadRequest, answer{Code: "InvalidToken", Message: "The provided token is malformed or otherwise invalid."}
		}
		if expired {
			return who, http.StatusBadRequest, answer{Code: "ExpiredToken", Message: "The provided token has expired."}
		}
		who, secretKey, known = session.caller, session.secret, true
	}
	verdict := signature.V4SignVerifyWithLookup(r, func(id string) (string, bool) {
		return secretKey.Reveal(), known && id == key // a signature in the address is nobody's here
	})
	if verdict != signature.ErrNone {
		e := signature.GetAPIError(verdict)
		return who, e.HTTPStatusCode, answer{Code: e.Code, Message: e.Description}
	}
	return who, 0, bad
}

// authorize tells whether who may do what r asks for. status 0: they may.
func (s *Server) authorize(r *http.Request, who caller) (status int, bad answer) {
	if who.rights == nil {
		return 0, bad
	}
	name, key, _ := strings.Cut(strings.TrimLeft(r.URL.Path, "/"), "/")
	action, resource := actionOf(r, name, key)
	allowed := who.rights.allow(action, resource)
	if allowed && action == "s3:GetObject" && !who.rights.allow("s3:ListBucket", arnOf(name, "")) {
		// Who may not list is not told which keys are free. Source: Amazon S3 API reference, GetObject, permissions.
		_, err := s.files.stat(name, key)
		allowed = err == nil
		action, resource = "s3:ListBucket", arnOf(name, "")
	}
	if !allowed {
		return http.StatusForbidden, answer{
			Code: "AccessDenied", Message: who.denied(action, `"`+resource+`"`) + " because no identity-based policy allows the " + action + " action",
		}
	}
	return 0, bad
}

// actionOf gives the right that r needs, and on what. Source: AWS service authorization reference, Amazon S3.
func actionOf(r *http.Request, name, key string) (action, resource string) {
	query := r.URL.Query()
	query.Del("x-id") // names the call once more, for logs
	if len(query) > 0 && key != "" {
		return unnamed, arnOf(name, key)
	}
	switch {
	case key != "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return "s3:GetObject", arnOf(name, key)
	case key != "" && r.Method == http.MethodPut:
		return "s3:PutObject", arnOf(name, key)
	case key != "" && r.Method == http.MethodDelete:
		return "s3:DeleteObject", arnOf(name, key)
	case r.Method == http.MethodPost && query.Has("delete"):
		return "s3:DeleteObject", arnOf(name, "*")
	case r.Method == http.MethodGet && query.Has("location"):
		return "s3:GetBucketLocation", arnOf(name, "")
	case name != "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return "s3:ListBucket", arnOf(name, "")
	case name == "":
		return "s3:ListAllMyBuckets", "*"
	}
	return unnamed, arnOf(name, "")
}

// unnamed is the right to everything that nobody here needs: versions, uploads in parts, the making of buckets. Only
// who may do everything has it.
const unnamed = "s3:Unnamed"

func arnOf(name, key string) string {
	if key == "" {
		return "arn:aws:s3:::" + name
	}
	return "arn:aws:s3:::" + name + "/" + key
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
