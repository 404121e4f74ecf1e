package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/bucket/s3"
	"github.com/millrace/millrace/internal/dial"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

var opener = s3.NewOpener(s3.Config{Dial: dial.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}).DialContext})

func openBucket(t testing.TB, o bucket.Opener, a bucket.Access) bucket.Bucket {
	t.Helper()
	b, err := o.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// startServer gives the demo's server, and an access to a bucket in it.
func startServer(t testing.TB, cfg bucketserver.Config) (dir string, srv *bucketserver.Server, a bucket.Access) {
	t.Helper()
	dir = t.TempDir()
	cfg.Files = vfs.OS(dir)
	cfg.Keys = map[string]secret.Value{"AKIDDEMO": secret.New("demo-secret")}
	srv, err := bucketserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.CreateBucket("acme"); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv)
	t.Cleanup(web.Close)
	return dir, srv, bucket.Access{
		Bucket: "acme", Endpoint: web.URL, PathStyle: true, AccessKeyID: "AKIDDEMO", SecretAccessKey: secret.New("demo-secret"),
	}
}

func TestOnBucketServer(t *testing.T) {
	t.Parallel()
	_, srv, a := startServer(t, bucketserver.Config{Region: "eu-central-1"})
	n := 0
	buckettest.Run(t, func(t *testing.T) bucket.Bucket {
		n++
		a.Bucket = fmt.Sprintf("bucket-%d", n)
		if err := srv.CreateBucket(a.Bucket); err != nil {
			t.Fatal(err)
		}
		return openBucket(t, opener, a)
	})
	refusals(t, a, opener)
}

// Wrong regions are followed call by call, but for HEAD where the refusal says nothing: it has no body.
func TestTheCheckFollowsTheRegionThatAStoreAtAnEndpointTells(t *testing.T) {
	_, _, a := startServer(t, bucketserver.Config{Region: "eu-central-1"})
	for given, notes := range map[string]int{"": 0, "eu-central-1": 0, "us-east-1": 1} {
		a.Region = given
		r, err := bucket.Check(t.Context(), opener, bucket.CheckInput{Kind: bucket.Currents, Folder: "currents", Access: a})
		if err != nil || !r.OK || r.Region != "eu-central-1" || len(r.Notes) != notes {
			t.Errorf("given %q: ok %t, region %s, notes %+v, %v", given, r.OK, r.Region, r.Notes, err)
		}
		if notes > 0 && r.Notes[0].Message.Key != "check.region" {
			t.Errorf("given %q: %+v", given, r.Notes)
		}
	}
}

func TestOnVersity(t *testing.T) {
	t.Parallel() // it mostly waits: for the gateway, and for rights to be felt
	v := buckettest.StartVersity(t)
	n := 0
	buckettest.Run(t, func(t *testing.T) bucket.Bucket {
		n++
		name := fmt.Sprintf("bucket-%d", n)
		v.CreateBucket(t, name, false)
		return openBucket(t, opener, v.Access(name, v.Root()))
	})
	v.CreateBucket(t, "acme", false)
	refusals(t, v.Access("acme", v.Root()), opener)

	t.Run("a user with exactly the rights for Currents", func(t *testing.T) {
		u := v.CreateUser(t, "currents", buckettest.CurrentsPolicy("acme"))
		b := openBucket(t, opener, v.Access("acme", u))
		err := b.Put(t.Context(), "currents/x+0+1.avro", bucket.Body{[]byte("obj")}, bucket.PutOptions{CreateOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if on, err := os.ReadFile(filepath.Join(v.Dir, "acme/currents/x+0+1.avro")); err != nil || string(on) != "obj" {
			t.Errorf("on disk: %q %v", on, err)
		}
		if _, err := b.Head(t.Context(), "currents/none"); bucket.ProblemOf(err) != bucket.NotFound {
			t.Errorf("head of a free key: %v", err)
		}
		if err := b.Delete(t.Context(), "currents/x+0+1.avro"); bucket.ProblemOf(err) != bucket.AccessDenied {
			t.Errorf("delete: %v, want access denied", err)
		}
		v.DeletePolicy(t, u.Name)
		time.Sleep(buckettest.IAMDelay)
		err = b.Put(t.Context(), "currents/x+0+2.avro", bucket.Body{[]byte("obj")}, bucket.PutOptions{CreateOnly: true})
		if bucket.ProblemOf(err) != bucket.AccessDenied {
			t.Errorf("put without rights: %v", err)
		}
		if _, err := b.Head(t.Context(), "currents/x+0+1.avro"); bucket.ProblemOf(err) != bucket.AccessDenied {
			t.Errorf("head without rights: %v", err)
		}
		v.DeleteKey(t, u)
		time.Sleep(buckettest.IAMDelay)
		err = b.Put(t.Context(), "currents/x+0+2.avro", bucket.Body{[]byte("obj")}, bucket.PutOptions{CreateOnly: true})
		if bucket.ProblemOf(err) != bucket.UnknownKey {
			t.Errorf("put with a deleted key: %v", err)
		}
	})

	t.Run("the check names each right that is taken away", func(t *testing.T) { checkRights(t, v) })

	t.Run("the check of data exports names each right that is taken away", func(t *testing.T) {
		v.CreateBucket(t, "exports", false)
		for _, method := range []bucket.Method{bucket.KeyMethod, bucket.RoleMethod} { // P2 and P3, here both of a user
			p, err := bucket.NewPolicy(bucket.PolicyInput{Kind: bucket.Exports, Method: method, Bucket: "exports"})
			if err != nil {
				t.Fatal(err)
			}
			for _, missing := range append([]string{""}, exportActions...) {
				policy := p.JSON()
				if missing != "" {
					policy = strings.ReplaceAll(policy, `"`+missing+`"`, `"s3:GetBucketTagging"`)
				}
				u := v.CreateUser(t, string(method)+strings.ReplaceAll(missing, ":", "-"), policy)
				r, err := bucket.Check(t.Context(), opener, bucket.CheckInput{Kind: bucket.Exports, Access: v.Access("exports", u), Folder: "exports"})
				if err != nil {
					t.Fatal(err)
				}
				names(t, r, missing)
			}
		}
	})

	t.Run("a bucket with Object Lock", func(t *testing.T) {
		v.CreateBucket(t, "locked", true)
		for _, refuses := range []bool{false, true} {
			a := v.Access("locked", v.CreateUser(t, fmt.Sprint("locked-", refuses), buckettest.CurrentsPolicy("locked")))
			a.Features.RefusesChecksums = refuses
			key := fmt.Sprint("k", refuses)
			b := openBucket(t, opener, a)
			r, err := bucket.Check(t.Context(), opener, bucket.CheckInput{Kind: bucket.Currents, Access: a, Folder: "currents"})
			if err != nil || !r.OK {
				t.Errorf("check: %v %v", err, r.Err())
			}
			for _, want := range []bucket.Problem{"", bucket.Exists} {
				err := b.Put(t.Context(), key, bucket.Body{[]byte("x")}, bucket.PutOptions{CreateOnly: true})
				if bucket.ProblemOf(err) != want {
					t.Errorf("without checksums %t: %v, want %q", refuses, err, want)
				}
			}
		}
	})
}

// exportActions are what data exports need.
var exportActions = []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:PutObject", "s3:GetObject", "s3:DeleteObject"}

// names checks that a report names missing and nothing else; "": it names nothing.
func names(t *testing.T, r bucket.Report, missing string) {
	t.Helper()
	if r.OK != (missing == "") {
		t.Errorf("without %q: ok %t", missing, r.OK)
	}
	for _, s := range r.Steps {
		want := bucket.Passed
		if s.Action == missing {
			want = bucket.Failed
			if s.Problem != bucket.AccessDenied || !strings.Contains(s.Statement, missing) || len(s.Finding.Remedy) != 4 {
				t.Errorf("%s: %s %s", s.Action, s.Problem, s.Statement)
			}
		}
		if s.State != want {
			t.Errorf("without %q: %s %s, want %s (%s)", missing, s.Action, s.State, want, s.Finding.Text())
		}
	}
}

// checkRights runs the check for Currents with users who lack one right each, and with other mistakes.
func checkRights(t *testing.T, v *buckettest.Versity) {
	v.CreateBucket(t, "checked", false)
	actions := []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:PutObject", "s3:GetObject"}
	good := v.CreateUser(t, "good", buckettest.CurrentsPolicy("checked"))
	check := func(t *testing.T, a bucket.Access) bucket.Report {
		t.Helper()
		r, err := bucket.Check(t.Context(), opener, bucket.CheckInput{Kind: bucket.Currents, Access: a, Folder: "currents"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	// Without the right to write before there is a probe, and with one afterwards: both must be told apart.
	for _, round := range []string{"empty", "probed"} {
		for _, missing := range actions {
			if round == "empty" && missing == "s3:GetObject" {
				continue // its check leaves a probe
			}
			t.Run(round+" without "+missing, func(t *testing.T) {
				policy := strings.ReplaceAll(buckettest.CurrentsPolicy("checked"), `"`+missing+`"`, `"s3:GetBucketTagging"`)
				u := v.CreateUser(t, round+strings.ReplaceAll(missing, ":", "-"), policy)
				r := check(t, v.Access("checked", u))
				for _, s := range r.Steps {
					want := bucket.Passed
					if s.Action == missing {
						want = bucket.Failed
					}
					if s.State != want {
						t.Errorf("%s: %s, want %s (%s)", s.Action, s.State, want, s.Finding.Text())
					}
					if s.Action == missing && (s.Problem != bucket.AccessDenied || !strings.Contains(s.Statement, missing)) {
						t.Errorf("%s: %s %s", s.Action, s.Problem, s.Statement)
					}
				}
				if r.OK || r.Heading.Text != "S3 credentials are invalid" {
					t.Errorf("ok %t, heading %q", r.OK, r.Heading.Text)
				}
			})
			if round == "empty" && missing != "s3:PutObject" {
				v.RemoveObject(t, "checked", "currents/_millrace-check")
			}
		}
		if r := check(t, v.Access("checked", good)); !r.OK || r.Features != (bucket.Features{}) {
			t.Fatalf("all rights: %v %+v", r.Err(), r.Features)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*bucket.Access)
		want   bucket.Problem
	}{
		{"an unknown key", func(a *bucket.Access) { a.AccessKeyID = "AKIDNOBODY" }, bucket.UnknownKey},
		{"a wrong secret", func(a *bucket.Access) { a.SecretAccessKey = secret.New("wrong") }, bucket.BadSecret},
		{"no such bucket", func(a *bucket.Access) { a.Bucket = "not-there" }, bucket.NoSuchBucket},
		{"a wrong region", func(a *bucket.Access) { a.Region = "ap-south-1" }, ""},
		{"encryption", func(a *bucket.Access) { a.Encryption = true }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := v.Access("checked", good)
			if tt.want == bucket.NoSuchBucket {
				a = v.Access("checked", v.Root()) // others are told nothing about what is not theirs
			}
			tt.change(&a)
			r := check(t, a)
			var problems []bucket.Problem
			for _, s := range r.Steps {
				if s.State == bucket.Failed {
					problems = append(problems, s.Problem)
				}
			}
			if r.OK != (tt.want == "") || !r.OK && problems[0] != tt.want {
				t.Errorf("ok %t, problems %q, want %q", r.OK, problems, tt.want)
			}
		})
	}
	t.Run("a policy of the bucket that denies", func(t *testing.T) {
		v.CreateBucket(t, "denying", false)
		u := v.CreateUser(t, "denied", buckettest.CurrentsPolicy("denying"))
		v.SetBucketPolicy(t, "denying", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::denying/*"}]}`)
		r := check(t, v.Access("denying", u))
		if s := r.Steps[2]; r.OK || s.Problem != bucket.AccessDenied || !strings.Contains(s.Finding.Text(), "policy of the bucket") {
			t.Errorf("ok %t: %+v", r.OK, s)
		}
	})
}

// refusals checks how a store's refusals arrive. a is good for everything in its bucket.
func refusals(t *testing.T, a bucket.Access, o bucket.Opener) {
	put := func(t *testing.T, o bucket.Opener, a bucket.Access, key string, data []byte) error {
		return openBucket(t, o, a).Put(t.Context(), key, bucket.Body{data}, bucket.PutOptions{CreateOnly: true})
	}
	for _, tt := range []struct {
		name   string
		change func(*bucket.Access)
		want   bucket.Problem
	}{
		{"good", func(*bucket.Access) {}, ""},
		{"an unknown key", func(a *bucket.Access) { a.AccessKeyID = "AKIDNOBODY" }, bucket.UnknownKey},
		{"a wrong secret", func(a *bucket.Access) { a.SecretAccessKey = secret.New("wrong") }, bucket.BadSecret},
		{"no such bucket", func(a *bucket.Access) { a.Bucket = "not-there" }, bucket.NoSuchBucket},
		{"a wrong region is followed", func(a *bucket.Access) { a.Region = "ap-south-1" }, ""},
		{"no region is found", func(a *bucket.Access) { a.Region = "" }, ""},
		{"encryption", func(a *bucket.Access) { a.Encryption = true }, ""},
		{"no checksums", func(a *bucket.Access) { a.Features.RefusesChecksums = true }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := a
			tt.change(&a)
			if err := put(t, o, a, "refusals/"+t.Name(), []byte("x")); bucket.ProblemOf(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}

	t.Run("a body that breaks off leaves nothing", func(t *testing.T) {
		var left atomic.Int64
		left.Store(200_000)
		cut := s3.NewOpener(s3.Config{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return &shortConn{Conn: c, left: &left}, err
		}})
		data := bytes.Repeat([]byte("x"), 1<<20)
		if err := put(t, cut, a, "cut/k", data); bucket.ProblemOf(err) != bucket.Network {
			t.Fatalf("got %v, want network", err)
		}
		b := openBucket(t, o, a)
		time.Sleep(50 * time.Millisecond) // the store notices in its own time
		if _, err := b.Head(t.Context(), "cut/k"); bucket.ProblemOf(err) != bucket.NotFound {
			t.Fatalf("head: %v, want not found", err)
		}
		if err := put(t, o, a, "cut/k", data); err != nil {
			t.Fatalf("put again: %v", err)
		}
	})
}

// shortConn breaks when left bytes have been written.
type shortConn struct {
	net.Conn
	left *atomic.Int64
}

func (c *shortConn) Write(p []byte) (int, error) {
	if left := c.left.Add(-int64(len(p))); left < 0 {
		keep := max(0, int(left)+len(p))
		n, _ := c.Conn.Write(p[:keep])
		c.Conn.Close()
		return n, net.ErrClosed
	}
	return c.Conn.Write(p)
}
