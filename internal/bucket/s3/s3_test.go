package s3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/dial"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// seen is a request as the store saw it.
type seen struct {
	*http.Request
	body []byte
}

// store answers every request with what answer says and keeps the requests.
type store struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
}

func newStore(t *testing.T, start func(http.Handler) *httptest.Server, answer http.HandlerFunc) *store {
	t.Helper()
	s := &store{}
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.seen = append(s.seen, seen{r, body})
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *store) requests() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func access(endpoint string) bucket.Access {
	return bucket.Access{
		Bucket: "acme", Region: "eu-central-1", Endpoint: endpoint, PathStyle: true,
		AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret.New("wJalrXUtnFEMI"),
	}
}

func open(t *testing.T, cfg Config, a bucket.Access) *Bucket {
	t.Helper()
	if cfg.Dial == nil {
		cfg.Dial = dial.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}).DialContext
	}
	b, err := NewOpener(cfg).Open(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b.(*Bucket)
}

func accept(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"e"`) }

func TestPutOnTheWire(t *testing.T) {
	parts := bucket.Body{[]byte("1234"), nil, []byte("56789")}
	for _, tt := range []struct {
		name   string
		tls    bool
		change func(*bucket.Access)
		opt    bucket.PutOptions
		want   map[string]string // "" = absent
	}{
		{
			name: "create-only, with checksum and metadata",
			opt:  bucket.PutOptions{CreateOnly: true, ContentType: "avro/binary", Metadata: map[string]string{"first": "17"}},
			want: map[string]string{
				"If-None-Match": "*", "X-Amz-Checksum-Crc32c": "4waSgw==", "X-Amz-Meta-First": "17", "Content-Type": "avro/binary",
				"X-Amz-Server-Side-Encryption": "", "Content-Encoding": "", "X-Amz-Trailer": "",
				// Source: SHA-256 of "123456789".
				"X-Amz-Content-Sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
			},
		},
		{name: "plain", want: map[string]string{"If-None-Match": "", "X-Amz-Checksum-Crc32c": "4waSgw=="}},
		{name: "under TLS the signature leaves the bytes to it and to the checksum", tls: true, want: map[string]string{
			"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD", "X-Amz-Checksum-Crc32c": "4waSgw==", "Content-Encoding": "",
		}},
		{name: "encryption", change: func(a *bucket.Access) { a.Encryption = true }, want: map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}},
		{
			name: "a store that refuses checksums gets an MD5", change: func(a *bucket.Access) { a.Features.RefusesChecksums = true },
			want: map[string]string{"X-Amz-Checksum-Crc32c": "", "Content-Md5": "JfnnlDI7RTiF9RgfG2JNCw=="},
		},
		{
			name: "a store that ignores create-only is not asked for it", change: func(a *bucket.Access) { a.Features.IgnoresCreateOnly = true },
			opt: bucket.PutOptions{CreateOnly: true}, want: map[string]string{"If-None-Match": ""},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start, cfg := httptest.NewServer, Config{}
			if tt.tls {
				start = httptest.NewTLSServer
			}
			srv := newStore(t, start, accept)
			if tt.tls {
				cfg.TLS = srv.Client().Transport.(*http.Transport).TLSClientConfig
			}
			a := access(srv.URL)
			if tt.change != nil {
				tt.change(&a)
			}
			if err := open(t, cfg, a).Put(t.Context(), "f/k=1+0.avro", parts, tt.opt); err != nil {
				t.Fatal(err)
			}
			r := srv.requests()
			if len(r) != 1 {
				t.Fatalf("%d requests for one put", len(r))
			}
			if r[0].Method != "PUT" || r[0].URL.Path != "/acme/f/k=1+0.avro" || string(r[0].body) != "123456789" || r[0].ContentLength != 9 {
				t.Errorf("got %s %s, %d bytes %q", r[0].Method, r[0].URL.Path, r[0].ContentLength, r[0].body)
			}
			for h, want := range tt.want {
				if got := r[0].Header.Get(h); got != want {
					t.Errorf("%s: %q, want %q", h, got, want)
				}
			}
			if signed := r[0].Header.Get("Authorization"); tt.want["X-Amz-Server-Side-Encryption"] != "" && !strings.Contains(signed, "x-amz-server-side-encryption") {
				t.Errorf("the encryption header is not signed: %s", signed)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	xml := func(code string) string {
		return `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>words
AWS4-HMAC-SHA256</Message><StringToSign>AWS4-HMAC-SHA256</StringToSign><RequestId>R1</RequestId></Error>`
	}
	for _, tt := range []struct {
		status int
		code   string
		want   bucket.Problem
	}{
		{412, "PreconditionFailed", bucket.Exists},
		{409, "ConditionalRequestConflict", bucket.Busy},
		{409, "OperationAborted", bucket.Busy},
		{404, "NoSuchBucket", bucket.NoSuchBucket},
		{404, "NoSuchKey", bucket.NotFound},
		{403, "AccessDenied", bucket.AccessDenied},
		{403, "InvalidAccessKeyId", bucket.UnknownKey},
		{403, "SignatureDoesNotMatch", bucket.BadSecret},
		{400, "ExpiredToken", bucket.ExpiredToken},
		{403, "RequestTimeTooSkewed", bucket.ClockSkew},
		{400, "KMS.DisabledException", bucket.KMSDenied},
		{400, "KMS.SomethingNewException", bucket.KMSDenied},
		{400, "KMS.ThrottlingException", bucket.Throttled},
		{503, "SlowDown", bucket.Throttled},
		{429, "Whatever", bucket.Throttled},
		{503, "ServiceUnavailable", bucket.Throttled},
		{500, "InternalError", bucket.ServerError},
		{502, "", bucket.ServerError},
		{400, "RequestTimeout", bucket.Network},
		{400, "BadDigest", bucket.Damaged},
		{501, "NotImplemented", bucket.NotImplemented},
		{400, "InvalidRequest", bucket.BadRequest},
		{418, "Teapot", bucket.Unknown},
		{403, "Teapot", bucket.Unknown}, // what is not known is passing: nothing is parked by it
		{200, "InternalError", bucket.ServerError},
		{200, "SlowDown", bucket.Throttled},
	} {
		t.Run(fmt.Sprint(tt.status, " ", tt.code), func(t *testing.T) {
			srv := newStore(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(tt.status)
				if tt.code != "" {
					io.WriteString(w, xml(tt.code))
				}
			})
			err := open(t, Config{}, access(srv.URL)).Put(t.Context(), "k", bucket.Body{[]byte("x")}, bucket.PutOptions{CreateOnly: true})
			e, ok := errors.AsType[*bucket.Error](err)
			if !ok || e.Problem != tt.want {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			if e.StoreCode != tt.code && tt.code != "" {
				t.Errorf("code %q", e.StoreCode)
			}
			said := "words"
			if tt.code == "" {
				said = http.StatusText(tt.status)
			}
			if e.Said != said {
				t.Errorf("the store is quoted with %q, want %q", e.Said, said)
			}
			if e.RetryAfter != 7*time.Second || e.Op != "PutObject" || e.Bucket != "acme" || e.Key != "k" {
				t.Errorf("got %+v", e)
			}
			if len(srv.requests()) != 1 {
				t.Errorf("%d requests: one attempt is one request", len(srv.requests()))
			}
			if strings.Contains(err.Error(), "wJalr") {
				t.Error("the secret is in the error")
			}
		})
	}
}

func TestHeadHasNoBodyAndGoesByStatus(t *testing.T) {
	for status, want := range map[int]bucket.Problem{
		404: bucket.NotFound, 403: bucket.AccessDenied, 400: bucket.BadRequest, 500: bucket.ServerError, 503: bucket.Throttled, 429: bucket.Throttled,
	} {
		srv := newStore(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) })
		if _, err := open(t, Config{}, access(srv.URL)).Head(t.Context(), "k"); bucket.ProblemOf(err) != want {
			t.Errorf("%d: %v, want %s", status, err, want)
		}
	}
}

// What something in between answers with 200 is neither a written object, nor an object's bytes, nor an empty list: a
// link of the chain that is taken for a stranger's, or for missing, is written a second time.
func TestAPageThatIsNotFromTheStoreIsNoSuccess(t *testing.T) {
	calls := map[string]func(*Bucket) error{
		"put": func(b *Bucket) error {
			return b.Put(t.Context(), "k", bucket.Body{[]byte("x")}, bucket.PutOptions{})
		},
		"head": func(b *Bucket) error { _, err := b.Head(t.Context(), "k"); return err },
		"get": func(b *Bucket) error {
			rc, _, err := b.Get(t.Context(), "k")
			if err == nil {
				rc.Close()
			}
			return err
		},
		"list": func(b *Bucket) (last error) {
			for _, err := range b.List(t.Context(), "") {
				last = err
			}
			return last
		},
	}
	for _, page := range []string{"<html>please sign in</html>", `<?xml version="1.0"?><Error><Code>InternalError</Code></Error>`} {
		srv := newStore(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, page) })
		for name, call := range calls {
			if err := call(open(t, Config{}, access(srv.URL))); bucket.ProblemOf(err) != bucket.ServerError {
				t.Errorf("%s answered by %s: %v, want a passing error", name, page, err)
			}
		}
	}
}

func TestARefusedHTMLPageIsUnknown(t *testing.T) {
	srv := newStore(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(418)
		io.WriteString(w, "<html>go away")
	})
	if err := open(t, Config{}, access(srv.URL)).Put(t.Context(), "k", bucket.Body{[]byte("x")}, bucket.PutOptions{}); bucket.ProblemOf(err) != bucket.Unknown {
		t.Fatalf("got %v", err)
	}
}

// region plays a store whose bucket lies in eu-west-3. lookup: what GetBucketLocation answers.
func regional(lookup string, redirect func(w http.ResponseWriter)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		right := strings.Contains(r.Header.Get("Authorization"), "/eu-west-3/s3/")
		_, isLookup := r.URL.Query()["location"]
		switch {
		case isLookup && lookup == "denied":
			w.WriteHeader(403)
			io.WriteString(w, `<Error><Code>AccessDenied</Code></Error>`)
		case isLookup:
			io.WriteString(w, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`+lookup+`</LocationConstraint>`)
		case !right:
			redirect(w)
		default:
			w.Header().Set("ETag", `"e"`)
		}
	}
}

func TestTheRegionIsFoundAndRemembered(t *testing.T) {
	malformed := func(w http.ResponseWriter) {
		w.WriteHeader(400)
		io.WriteString(w, `<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-3</Region></Error>`)
	}
	moved := func(w http.ResponseWriter) {
		w.Header().Set("X-Amz-Bucket-Region", "eu-west-3")
		w.WriteHeader(301)
		io.WriteString(w, `<Error><Code>PermanentRedirect</Code></Error>`)
	}
	untold := func(w http.ResponseWriter) {
		w.WriteHeader(301)
		io.WriteString(w, `<Error><Code>PermanentRedirect</Code></Error>`)
	}
	for _, tt := range []struct {
		name     string
		region   string
		lookup   string
		redirect func(http.ResponseWriter)
		requests int // for two puts
	}{
		{"looked up", "", "eu-west-3", malformed, 3},
		{"not given, look-up denied, told in the body", "", "denied", malformed, 4},
		{"not given, look-up denied, told in a header", "", "denied", moved, 4},
		{"given wrong, told in the body", "us-west-2", "eu-west-3", malformed, 3},
		{"given wrong, told in a header", "us-west-2", "eu-west-3", moved, 3},
		{"given wrong, not told, looked up", "us-west-2", "eu-west-3", untold, 4},
		{"given right", "eu-west-3", "eu-west-3", malformed, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newStore(t, httptest.NewServer, regional(tt.lookup, tt.redirect))
			a := access(srv.URL)
			a.Region = tt.region
			b := open(t, Config{}, a)
			for range 2 {
				if err := b.Put(t.Context(), "k", bucket.Body{[]byte("abc"), []byte("def")}, bucket.PutOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			r := srv.requests()
			if len(r) != tt.requests {
				t.Errorf("%d requests, want %d", len(r), tt.requests)
			}
			if last := r[len(r)-1]; string(last.body) != "abcdef" {
				t.Errorf("the repeated body was %q", last.body)
			}
		})
	}
}

func TestAWrongRegionThatNobodyCanTellIsAnErrorWithoutEnd(t *testing.T) {
	srv := newStore(t, httptest.NewServer, regional("denied", func(w http.ResponseWriter) {
		w.WriteHeader(301)
		io.WriteString(w, `<Error><Code>PermanentRedirect</Code></Error>`)
	}))
	err := open(t, Config{}, access(srv.URL)).Put(t.Context(), "k", bucket.Body{[]byte("x")}, bucket.PutOptions{})
	if bucket.ProblemOf(err) != bucket.WrongRegion || len(srv.requests()) != 2 {
		t.Fatalf("%v after %d requests", err, len(srv.requests()))
	}
}

func TestARegionFromTheStoreCannotBecomeAHost(t *testing.T) {
	srv := newStore(t, httptest.NewServer, regional("denied", func(w http.ResponseWriter) {
		w.Header().Set("X-Amz-Bucket-Region", "evil.example.com/")
		w.WriteHeader(301)
	}))
	if err := open(t, Config{}, access(srv.URL)).Put(t.Context(), "k", bucket.Body{[]byte("x")}, bucket.PutOptions{}); bucket.ProblemOf(err) != bucket.WrongRegion {
		t.Fatalf("got %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	other := newStore(t, httptest.NewServer, accept)
	srv := newStore(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/acme/k", http.StatusTemporaryRedirect)
	})
	err := open(t, Config{}, access(srv.URL)).Put(t.Context(), "k", bucket.Body{[]byte("x")}, bucket.PutOptions{})
	if err == nil || len(other.requests()) != 0 {
		t.Fatalf("%v, %d requests at the other host", err, len(other.requests()))
	}
}

// A store that answers without reading, and then closes or resets, must be heard all the same.
func TestARefusalOfALargeBodyIsHeard(t *testing.T) {
	const refusal = "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n"
	for name, answer := range map[string]string{
		"closing":                   refusal + "Connection: close\r\n\r\n",
		"as if it went on":          refusal + "\r\n",
		"after asking for the body": "HTTP/1.1 100 Continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					req, err := http.ReadRequest(bufio.NewReader(c))
					if err == nil {
						io.WriteString(c, answer)
						if strings.Contains(answer, "100") {
							io.Copy(io.Discard, req.Body)
							io.WriteString(c, refusal+"Connection: close\r\n\r\n")
						}
						time.Sleep(5 * time.Millisecond) // let the answer arrive ahead of the reset
					}
					c.Close()
				}
			}()
			b := open(t, Config{}, access("http://"+l.Addr().String()))
			for range 10 {
				err := b.Put(t.Context(), "k", bucket.Body{make([]byte, 3<<20)}, bucket.PutOptions{CreateOnly: true})
				if bucket.ProblemOf(err) != bucket.Exists {
					t.Fatalf("got %v, want exists", err)
				}
			}
		})
	}
}

func TestAnAnswerThatBreaksOffDoesNotHang(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 4")
		c.Close()
	}()
	start := time.Now()
	err = open(t, Config{}, access("http://"+l.Addr().String())).Put(t.Context(), "k", bucket.Body{make([]byte, 3<<20)}, bucket.PutOptions{})
	if bucket.ProblemOf(err) != bucket.Network || time.Since(start) > 10*time.Second {
		t.Fatalf("got %v after %s", err, time.Since(start))
	}
}

func TestTheGuardForbidsInnerAddresses(t *testing.T) {
	srv := newStore(t, httptest.NewServer, accept)
	b := open(t, Config{Dial: dial.New(nil).DialContext}, access(srv.URL))
	err := b.Put(t.Context(), "k", bucket.Body{[]byte("x")}, bucket.PutOptions{})
	if bucket.ProblemOf(err) != bucket.AddressForbidden || !strings.Contains(err.Error(), dial.Setting) || len(srv.requests()) != 0 {
		t.Fatalf("got %v", err)
	}
}

// Whoever may name an endpoint shall not learn from what comes of it which names mean something inside.
func TestAnInnerNameIsNotToldFromOneThatDoesNotExist(t *testing.T) {
	srv := newStore(t, httptest.NewServer, accept)
	guard := dial.New(nil).DialContext
	tell := func(endpoint string, dial func(context.Context, string, string) (net.Conn, error)) *bucket.Error {
		b := open(t, Config{Dial: dial}, access(endpoint))
		e, ok := errors.AsType[*bucket.Error](b.Put(t.Context(), "k", bucket.Body{[]byte("x")}, bucket.PutOptions{}))
		if !ok {
			t.Fatalf("%s: no error of a bucket", endpoint)
		}
		return e
	}
	missing := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "inner.corp", IsNotFound: true}}
	}
	inner, none := tell(srv.URL, guard), tell("http://inner.corp", missing)
	if inner.Problem != bucket.AddressForbidden || inner.Problem != none.Problem || inner.Error() != none.Error() || fmt.Sprintf("%+v", inner.Cause) != fmt.Sprintf("%+v", none.Cause) {
		t.Errorf("an inner name: %v\nno name: %v", inner, none)
	}
	if amazon := tell("", missing); amazon.Problem != bucket.Network || !strings.Contains(amazon.Error(), "no such host") {
		t.Errorf("Amazon S3: %v", amazon)
	}
}

func TestNoAnswerIsNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	closed := "http://" + l.Addr().String()
	hang := newStore(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cut := newStore(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	for name, url := range map[string]string{"refused": closed, "time-out": hang.URL, "reset": cut.URL} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := open(t, Config{}, access(url)).Head(ctx, "k")
		cancel()
		if bucket.ProblemOf(err) != bucket.Network || !fault.As(err).Retry {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABodyCutShort(t *testing.T) {
	srv := newStore(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.Header().Set("ETag", `"e"`)
		io.WriteString(w, "1234")
	})
	rc, info, err := open(t, Config{}, access(srv.URL)).Get(t.Context(), "k")
	if err != nil || info.Size != 10 {
		t.Fatal(info, err)
	}
	defer rc.Close()
	if data, err := io.ReadAll(rc); err != io.ErrUnexpectedEOF || string(data) != "1234" {
		t.Fatalf("read %q, %v", data, err)
	}
}

func TestABodyThatDiffersFromItsChecksum(t *testing.T) {
	srv := newStore(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Checksum-Crc32c", "4waSgw==")
		w.Header().Set("ETag", `"e"`)
		io.WriteString(w, "123456780")
	})
	rc, _, err := open(t, Config{}, access(srv.URL)).Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if _, err := io.ReadAll(rc); err == nil {
		t.Fatal("damaged bytes were read as good")
	}
}

func TestAListThatNeverEndsIsAnError(t *testing.T) {
	srv := newStore(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>`)
	})
	var last error
	n := 0
	for _, err := range open(t, Config{}, access(srv.URL)).List(t.Context(), "") {
		last = err
		n++
	}
	if bucket.ProblemOf(last) != bucket.ServerError || n != 3 {
		t.Fatalf("%d entries, then %v", n, last)
	}
}

func TestAmazonIsReachedByNamesMadeHere(t *testing.T) {
	srv := newStore(t, httptest.NewTLSServer, accept)
	for _, tt := range []struct{ bucket, region, host, path string }{
		{"acme", "eu-central-1", "acme.s3.eu-central-1.amazonaws.com", "/k"},
		{"acme", "us-east-1", "acme.s3.us-east-1.amazonaws.com", "/k"},
		{"acme", "cn-north-1", "acme.s3.cn-north-1.amazonaws.com.cn", "/k"},
		{"acme", "nowhere-9", "acme.s3.nowhere-9.amazonaws.com", "/k"},
		{"acme.data", "eu-west-1", "s3.eu-west-1.amazonaws.com", "/acme.data/k"},
	} {
		a := access("")
		a.Bucket, a.Region, a.PathStyle = tt.bucket, tt.region, false
		guard := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("the guard was asked") }
		b := open(t, Config{Dial: guard, TLS: &tls.Config{InsecureSkipVerify: true}}, a)
		var dialled string
		b.door.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialled = addr
			return (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
		}
		if err := b.Put(t.Context(), "k", bucket.Body{[]byte("x")}, bucket.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		r := srv.requests()
		if last := r[len(r)-1]; last.Host != tt.host || last.URL.Path != tt.path || dialled != tt.host+":443" {
			t.Errorf("%s in %s: dialled %s for %s%s", tt.bucket, tt.region, dialled, last.Host, last.URL.Path)
		}
	}
}

func TestOpenNamesTheFields(t *testing.T) {
	_, err := NewOpener(Config{Dial: dial.New(nil).DialContext}).Open(bucket.Access{Bucket: "NO"})
	if f := fault.As(err); f == nil || f.Code != fault.Invalid || len(f.Fields) != 3 {
		t.Fatalf("got %v", err)
	}
}

func TestReader(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		var body bucket.Body
		for range rnd.IntN(5) {
			body = append(body, bytes.Repeat([]byte{byte(rnd.IntN(256))}, rnd.IntN(100)))
		}
		whole := bytes.Join(body, nil)
		if err := iotest.TestReader(newReader(body), whole); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		r := newReader(body)
		at := rnd.Int64N(int64(len(whole)) + 1)
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if n, err := r.WriteTo(&out); err != nil || n != int64(len(whole))-at || !bytes.Equal(out.Bytes(), whole[at:]) {
			t.Fatalf("seed %d: wrote %d bytes from %d, %v", seed, n, at, err)
		}
	}
}

// BenchmarkPut shows what an upload costs besides the network: a store that reads and answers.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		for _, scheme := range []string{"http", "https"} {
			b.Run(fmt.Sprintf("%s/%dKiB", scheme, size>>10), func(b *testing.B) {
				h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					w.Header().Set("ETag", `"e"`)
				})
				srv, cfg := httptest.NewServer(h), Config{Dial: dial.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}).DialContext}
				if scheme == "https" {
					srv.Close()
					srv = httptest.NewTLSServer(h)
					cfg.TLS = srv.Client().Transport.(*http.Transport).TLSClientConfig
				}
				defer srv.Close()
				bk, err := NewOpener(cfg).Open(access(srv.URL))
				if err != nil {
					b.Fatal(err)
				}
				defer bk.Close()
				body := bucket.Body{make([]byte, size/2), make([]byte, size/2)}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if err := bk.Put(b.Context(), "k", body, bucket.PutOptions{CreateOnly: true}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
