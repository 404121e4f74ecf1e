package buckettest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/secret"
)

// Versity is a real S3 server, versitygw, with its own IAM service: users, inline policies and keys are made and
// taken away by the calls that Amazon has for it, and every action is enforced. It runs until the test ends.
//
// A right that is given or taken holds after IAMDelay.
type Versity struct {
	Endpoint string // of S3; path-style only
	Region   string
	Dir      string // objects lie at Dir/<bucket>/<key>, as plain files

	iam  string // address of the IAM API
	root aws.Credentials
	s3   *sdk.Client
}

// IAMDelay is how long the gateway may go on with rights that have changed.
const IAMDelay = 1500 * time.Millisecond

// CurrentsPolicy is the policy for Currents exactly as the vendor prints it. Source: the vendor's page about Amazon
// S3, section for Currents.
func CurrentsPolicy(name string) string {
	return strings.ReplaceAll(`{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME"]},
 {"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME/*"]}]}`, "INSERTBUCKETNAME", name)
}

// StartVersity starts gateway and IAM service on free ports with folders of their own. The first start on a
// machine builds them, which takes a minute or two.
func StartVersity(tb testing.TB) *Versity {
	tb.Helper()
	bin := buildVersity(tb)
	dir, err := os.MkdirTemp("", "versity") // short: a socket's path has at most 108 bytes
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) }) // a temporary folder that stays hurts nobody
	v := &Versity{
		Region: "us-east-1", Dir: filepath.Join(dir, "objects"),
		root: aws.Credentials{AccessKeyID: "ROOTKEY", SecretAccessKey: "root-secret-of-the-test"},
	}
	for _, d := range []string{"objects", "iam", "sidecar", "versions"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	socket := filepath.Join(dir, "iam.sock")
	common := func(addr string) []string {
		return []string{"--access", v.root.AccessKeyID, "--secret", v.root.SecretAccessKey, "--region", v.Region, "--port", addr, "--quiet"}
	}
	v.iam = v.start(tb, bin, func(addr string) []string {
		return append(common(addr), "iam", "--dir", filepath.Join(dir, "iam"), "--private-ports", socket)
	})
	waitFor(tb, "the socket of the IAM service", func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	store := []string{"posix", "--versioning-dir", filepath.Join(dir, "versions")} // Object Lock needs versions
	if !hasXattr(v.Dir) {
		store = append(store, "--sidecar", filepath.Join(dir, "sidecar"))
	}
	v.Endpoint = v.start(tb, bin, func(addr string) []string {
		args := append(common(addr), "--keep-alive", "--iam-standalone-endpoint", socket, "--iam-cache-ttl", "1")
		return append(append(args, store...), v.Dir)
	})
	v.s3 = sdk.New(sdk.Options{
		Region: v.Region, BaseEndpoint: &v.Endpoint, UsePathStyle: true,
		Credentials: credentials.StaticCredentialsProvider{Value: v.root},
	})
	return v
}

// hasXattr tells whether extended attributes, where the gateway keeps metadata, work in dir.
func hasXattr(dir string) bool { return unix.Setxattr(dir, "user.millrace", []byte("1"), 0) == nil }

// start runs the program on a free port and waits until it answers. Another process may take the port first: then
// it is tried on the next.
func (v *Versity) start(tb testing.TB, bin string, args func(addr string) []string) string {
	tb.Helper()
	for try := 0; ; try++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		out := &output{}
		cmd := exec.Command(bin, args(addr)...)
		cmd.Stdout, cmd.Stderr = out, out
		// Nothing of the developer's own set-up may change what is tested.
		cmd.Env = []string{"HOME=" + v.Dir, "PATH=" + os.Getenv("PATH")}
		if err := cmd.Start(); err != nil {
			tb.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		tb.Cleanup(func() {
			_ = cmd.Process.Kill() // it may have ended
			<-ended
			if tb.Failed() {
				tb.Logf("%s said:\n%s", filepath.Base(bin), out)
			}
		})
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				return "http://" + addr
			}
			select {
			case <-ended:
				deadline = time.Now()
			case <-time.After(10 * time.Millisecond):
			}
		}
		if try == 3 {
			tb.Fatalf("%s does not start:\n%s", strings.Join(cmd.Args, " "), out)
		}
	}
}

func waitFor(tb testing.TB, what string, ready func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ready(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("%s is not there after 20 s", what)
		}
	}
}

// output keeps the end of what a process printed.
type output struct {
	mu sync.Mutex
	b  []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b = append(o.b, p...)
	if len(o.b) > 64<<10 {
		o.b = o.b[len(o.b)-32<<10:]
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.b)
}

// buildVersity builds the pinned gateway into the cache of the checkout, once for every state of the pins.
func buildVersity(tb testing.TB) string {
	tb.Helper()
	root := moduleRoot(tb)
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(root, "tools", name))
		if err != nil {
			tb.Fatal(err)
		}
		h.Write(b)
	}
	cache := filepath.Join(root, ".cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		tb.Fatal(err)
	}
	bin := filepath.Join(cache, "versitygw-"+hex.EncodeToString(h.Sum(nil)[:6]))
	lock, err := os.OpenFile(bin+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		tb.Fatal(err)
	}
	defer lock.Close() // lets go of the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(bin); err == nil {
		return bin
	}
	tb.Logf("building %s", bin)
	cmd := exec.Command("go", "build", "-C", filepath.Join(root, "tools"), "-o", bin+".new", "github.com/versity/versitygw/cmd/versitygw")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build versitygw: %v\n%s", err, out)
	}
	if err := os.Rename(bin+".new", bin); err != nil {
		tb.Fatal(err)
	}
	return bin
}

// moduleRoot is the folder that holds tools/go.mod.
func moduleRoot(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "tools", "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			tb.Fatal("tools/go.mod is nowhere above the test")
		}
		dir = up
	}
}

// CreateBucket makes a bucket; with lock, one with Object Lock and a default retention of a day.
func (v *Versity) CreateBucket(tb testing.TB, name string, lock bool) {
	tb.Helper()
	_, err := v.s3.CreateBucket(context.Background(), &sdk.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: &lock})
	if err == nil && lock {
		_, err = v.s3.PutObjectLockConfiguration(context.Background(), &sdk.PutObjectLockConfigurationInput{
			Bucket: &name,
			ObjectLockConfiguration: &types.ObjectLockConfiguration{
				ObjectLockEnabled: types.ObjectLockEnabledEnabled,
				Rule:              &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Days: aws.Int32(1), Mode: types.ObjectLockRetentionModeGovernance}},
			},
		})
	}
	if err != nil {
		tb.Fatalf("create bucket %s: %v", name, err)
	}
}

// RemoveObject takes an object away as its owner would; no error if there is none.
func (v *Versity) RemoveObject(tb testing.TB, name, key string) {
	tb.Helper()
	if _, err := v.s3.DeleteObject(context.Background(), &sdk.DeleteObjectInput{Bucket: &name, Key: &key}); err != nil {
		tb.Fatalf("remove %s/%s: %v", name, key, err)
	}
}

// SetBucketPolicy sets the policy of the bucket itself; "" takes it away.
func (v *Versity) SetBucketPolicy(tb testing.TB, name, policy string) {
	tb.Helper()
	var err error
	if policy == "" {
		_, err = v.s3.DeleteBucketPolicy(context.Background(), &sdk.DeleteBucketPolicyInput{Bucket: &name})
	} else {
		_, err = v.s3.PutBucketPolicy(context.Background(), &sdk.PutBucketPolicyInput{Bucket: &name, Policy: &policy})
	}
	if err != nil {
		tb.Fatalf("policy of bucket %s: %v", name, err)
	}
}

// User is a user of the IAM service with one access key.
type User struct {
	Name            string
	ARN             string
	AccessKeyID     string
	SecretAccessKey secret.Value
}

// CreateUser makes a user with a key and one inline policy; policy "": with no rights at all.
func (v *Versity) CreateUser(tb testing.TB, name, policy string) User {
	tb.Helper()
	var made struct {
		ARN string `xml:"CreateUserResult>User>Arn"`
	}
	v.call(tb, &made, "CreateUser", "UserName", name)
	u := v.CreateKey(tb, User{Name: name, ARN: made.ARN})
	if policy != "" {
		v.SetPolicy(tb, name, policy)
	}
	return u
}

// CreateKey gives u with another key; the old one stays.
func (v *Versity) CreateKey(tb testing.TB, u User) User {
	tb.Helper()
	var made struct {
		ID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
		Secret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`
	}
	v.call(tb, &made, "CreateAccessKey", "UserName", u.Name)
	u.AccessKeyID, u.SecretAccessKey = made.ID, secret.New(made.Secret)
	return u
}

// DeleteKey takes u's key away. See IAMDelay.
func (v *Versity) DeleteKey(tb testing.TB, u User) {
	tb.Helper()
	v.call(tb, nil, "DeleteAccessKey", "UserName", u.Name, "AccessKeyId", u.AccessKeyID)
}

// SetPolicy replaces a user's inline policy. See IAMDelay.
func (v *Versity) SetPolicy(tb testing.TB, user, policy string) {
	tb.Helper()
	v.call(tb, nil, "PutUserPolicy", "UserName", user, "PolicyName", "p", "PolicyDocument", policy)
}

// DeletePolicy takes a user's inline policy away. See IAMDelay.
func (v *Versity) DeletePolicy(tb testing.TB, user string) {
	tb.Helper()
	v.call(tb, nil, "DeleteUserPolicy", "UserName", user, "PolicyName", "p")
}

// Access is how u opens the bucket.
func (v *Versity) Access(name string, u User) bucket.Access {
	return bucket.Access{
		Bucket: name, Endpoint: v.Endpoint, Region: v.Region, PathStyle: true,
		AccessKeyID: u.AccessKeyID, SecretAccessKey: u.SecretAccessKey,
	}
}

// Root is the user who may do everything.
func (v *Versity) Root() User {
	return User{Name: "root", AccessKeyID: v.root.AccessKeyID, SecretAccessKey: secret.New(v.root.SecretAccessKey)}
}

// call makes one call of the IAM API. Source: AWS IAM API reference, query protocol, version 2010-05-08.
func (v *Versity) call(tb testing.TB, result any, action string, params ...string) {
	tb.Helper()
	if err := v.tryCall(result, action, params...); err != nil {
		tb.Fatalf("%s: %v", action, err)
	}
}

func (v *Versity) tryCall(result any, action string, params ...string) error {
	form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for i := 0; i < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	body := []byte(form.Encode())
	req, err := http.NewRequest(http.MethodPost, v.iam+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(context.Background(), v.root, req, hex.EncodeToString(sum[:]), "iam", v.Region, time.Now()); err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, answer)
	}
	if result == nil {
		return nil
	}
	return xml.Unmarshal(answer, result)
}
