package bucketserver_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/bucket/s3"
	"github.com/millrace/millrace/internal/dial"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

// The contract as a whole is checked where the client is: bucket/s3, TestOnBucketServer.

func start(t *testing.T, dir string, fault func(*http.Request) bucketserver.Fault) bucket.Bucket {
	t.Helper()
	srv, err := bucketserver.New(bucketserver.Config{
		Files: vfs.OS(dir), Keys: map[string]secret.Value{"AKIDDEMO": secret.New("demo-secret")}, Fault: fault,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.CreateBucket("acme"); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv)
	t.Cleanup(web.Close)
	b, err := s3.NewOpener(s3.Config{Dial: dial.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}).DialContext}).Open(bucket.Access{
		Bucket: "acme", Endpoint: web.URL, PathStyle: true, Region: "us-east-1", AccessKeyID: "AKIDDEMO", SecretAccessKey: secret.New("demo-secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestObjectsArePlainFilesAndOutliveTheServer(t *testing.T) {
	dir := t.TempDir()
	meta := map[string]string{"first": "1"}
	if err := start(t, dir, nil).Put(t.Context(), "f/k.avro", bucket.Body{[]byte("Obj")}, bucket.PutOptions{CreateOnly: true, Metadata: meta}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "acme/f/k.avro")); err != nil || string(b) != "Obj" {
		t.Fatalf("on disk: %q %v", b, err)
	}
	left := filepath.Join(dir, ".millrace/tmp/7")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, dir, nil)
	if i, err := b.Head(t.Context(), "f/k.avro"); err != nil || i.Metadata["first"] != "1" || i.Size != 3 {
		t.Errorf("after a restart: %+v %v", i, err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what was on its way in when the server died is still there")
	}
}

func TestAFilePutThereByHandIsAnObject(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir, nil)
	if err := os.WriteFile(filepath.Join(dir, "acme/hand"), []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if i, err := b.Head(t.Context(), "hand"); err != nil || i.Size != 5 || i.ETag == "" {
		t.Errorf("%+v %v", i, err)
	}
	if err := b.Put(t.Context(), "hand", bucket.Body{[]byte("x")}, bucket.PutOptions{CreateOnly: true}); bucket.ProblemOf(err) != bucket.Exists {
		t.Errorf("put: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "acme/hand")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Head(t.Context(), "hand"); bucket.ProblemOf(err) != bucket.NotFound {
		t.Errorf("after it was taken away: %v", err)
	}
}

func TestAFolderTakenAwayByHandComesBack(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir, nil)
	put := func(k string) error {
		return b.Put(t.Context(), k, bucket.Body{[]byte("x")}, bucket.PutOptions{CreateOnly: true})
	}
	if err := put("f/1"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "acme/f")); err != nil {
		t.Fatal(err)
	}
	if err := put("f/2"); bucket.ProblemOf(err) != bucket.ServerError {
		t.Errorf("first put: %v, want a passing error", err)
	}
	if err := put("f/2"); err != nil {
		t.Errorf("second put: %v", err)
	}
}

func TestKeysStayInTheirBucket(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir, nil)
	for _, key := range []string{"../x", "a/../../x", "/x", "a//b", "a/", "a/./b"} {
		if err := b.Put(t.Context(), key, bucket.Body{[]byte("x")}, bucket.PutOptions{}); err == nil {
			t.Errorf("%q was put", key)
		}
	}
	for _, name := range []string{"x", "acme/x", "../x"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s exists", name)
		}
	}
}

func TestFaultsByRequest(t *testing.T) {
	var f bucketserver.Fault
	b := start(t, t.TempDir(), func(*http.Request) bucketserver.Fault { return f })
	put := func() error {
		return b.Put(t.Context(), "k", bucket.Body{[]byte("x")}, bucket.PutOptions{CreateOnly: true})
	}
	f = bucketserver.Fault{Status: 503, Code: "SlowDown", RetryAfter: 3 * time.Second}
	if err := put(); bucket.ProblemOf(err) != bucket.Throttled || fault.As(err).RetryAfter != 3*time.Second {
		t.Errorf("got %v", err)
	}
	f = bucketserver.Fault{Status: 400, Code: "ExpiredToken"}
	if err := put(); bucket.ProblemOf(err) != bucket.ExpiredToken {
		t.Errorf("got %v", err)
	}
	f = bucketserver.Fault{Lost: true}
	if err := put(); bucket.ProblemOf(err) != bucket.Network {
		t.Errorf("got %v", err)
	}
	f = bucketserver.Fault{}
	if err := put(); bucket.ProblemOf(err) != bucket.Exists {
		t.Errorf("after a lost answer: %v, want exists", err)
	}
}

func TestNobodyIsLetInWithoutASignature(t *testing.T) {
	srv, err := bucketserver.New(bucketserver.Config{Files: vfs.OS(t.TempDir()), Keys: map[string]secret.Value{"AKIDDEMO": secret.New("s")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.CreateBucket("acme"); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*http.Request{
		httptest.NewRequest("PUT", "/acme/k", strings.NewReader("x")), httptest.NewRequest("GET", "/acme", nil), httptest.NewRequest("GET", "/", nil),
	} {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("%s %s: %d", r.Method, r.URL, w.Code)
		}
	}
	if _, err := bucketserver.New(bucketserver.Config{Files: vfs.OS(t.TempDir())}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a server without keys: %v", err)
	}
}

// Other clients send bodies in chunks with a trailer, as the SDK does by itself under TLS.
func TestABodyInChunksWithATrailer(t *testing.T) {
	srv, err := bucketserver.New(bucketserver.Config{Files: vfs.OS(t.TempDir()), Keys: map[string]secret.Value{"AKIDDEMO": secret.New("s")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.CreateBucket("acme"); err != nil {
		t.Fatal(err)
	}
	chunked := false
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunked = chunked || r.Header.Get("X-Amz-Content-Sha256") == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
		srv.ServeHTTP(w, r)
	}))
	defer web.Close()
	c := sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &web.URL, UsePathStyle: true, HTTPClient: web.Client(),
		Credentials:                credentials.NewStaticCredentialsProvider("AKIDDEMO", "s", ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
	})
	data := bytes.Repeat([]byte("0123456789"), 30_000)
	ctx := context.Background()
	if _, err := c.PutObject(ctx, &sdk.PutObjectInput{Bucket: aws.String("acme"), Key: aws.String("k"), Body: bytes.NewReader(data)}); err != nil {
		t.Fatal(err)
	}
	out, err := c.GetObject(ctx, &sdk.GetObjectInput{Bucket: aws.String("acme"), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if got, err := io.ReadAll(out.Body); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if !chunked {
		t.Error("the client did not send chunks: the test shows nothing")
	}
}
