package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

// exportPolicies are those that the vendor prints for data exports, for keys and for roles. Source: the vendor's page about
// Amazon S3.
var exportPolicies = []struct{ name, text string }{
	{"that of keys", `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME"]},
 {"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME*","arn:aws:s3:::INSERTBUCKETNAME/","arn:aws:s3:::INSERTBUCKETNAME"]}]}`},
	{"that of roles", `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME"]},
 {"Effect":"Allow","Action":["s3:PutObject","s3:GetObject","s3:DeleteObject"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME/*"]}]}`},
}

// awsOfExports is a stand-in for AWS with a bucket and a role for exports, and looks at what is put into the bucket.
type awsOfExports struct {
	*httptest.Server
	t     *testing.T
	sts   *bucketserver.STS
	ahead atomic.Int64 // nanoseconds that the clock of sessions is ahead of ours
	dir   string       // of the bucket
	trust string

	mu   sync.Mutex
	each func(nth int) // called before the nth PUT of an export is looked at
	nth  int
	puts map[string]map[int]int // by path: how often a PUT was answered with each status
}

const (
	exportsBucket = "acme-exports"
	exportsRole   = "arn:aws:iam::444455556666:role/exports"
	sessionsLast  = time.Minute
)

func startAWS(t *testing.T) *awsOfExports {
	t.Helper()
	a := &awsOfExports{t: t, dir: t.TempDir(), puts: map[string]map[int]int{}}
	var err error
	if a.sts, err = bucketserver.NewSTS(bucketserver.STSConfig{
		Users:    map[string]bucketserver.User{"AKIABASE": {ARN: "arn:aws:iam::111122223333:user/millrace", Secret: secret.New("base-secret")}},
		Lifetime: sessionsLast,
		Now:      func() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) },
	}); err != nil {
		t.Fatal(err)
	}
	s3, err := bucketserver.New(bucketserver.Config{Files: vfs.OS(a.dir), STS: a.sts})
	if err != nil {
		t.Fatal(err)
	}
	if err := s3.CreateBucket(exportsBucket); err != nil {
		t.Fatal(err)
	}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/segment-export/") {
			s3.ServeHTTP(w, r)
			return
		}
		a.mu.Lock()
		a.nth++
		each, nth := a.each, a.nth
		a.mu.Unlock()
		each(nth)
		seen := &answered{ResponseWriter: w, status: http.StatusOK}
		s3.ServeHTTP(seen, r)
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.puts[r.URL.Path] == nil {
			a.puts[r.URL.Path] = map[int]int{}
		}
		a.puts[r.URL.Path][seen.status]++
	}))
	t.Cleanup(a.Close)
	a.dir = filepath.Join(a.dir, exportsBucket)
	return a
}

// answered notes the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// next has each called before each PUT of an export from now on, and forgets what was put.
func (a *awsOfExports) next(each func(nth int)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.each, a.nth, a.puts = each, 0, map[string]map[int]int{}
}

// grant says what the role may do from now on.
func (a *awsOfExports) grant(policy string) {
	if err := a.sts.SetRole(bucketserver.Role{ARN: exportsRole, Trust: a.trust, Policy: strings.ReplaceAll(policy, "INSERTBUCKETNAME", exportsBucket)}); err != nil {
		a.t.Errorf("%v in %s", err, policy)
	}
}

// put gives the PUTs of an export that were answered so.
func (a *awsOfExports) put(prefix string, status int) (paths int, times int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for path, by := range a.puts {
		if strings.Contains(path, prefix) && by[status] > 0 {
			paths, times = paths+1, times+by[status]
		}
	}
	return paths, times
}

// A role with exactly the policy that the vendor prints is all that exports need, and a session that ends in the middle of
// one, or rights that are taken away and given back, cost neither people nor files: what came through is not put again.
func TestAnExportByRoleOutlivesItsSessionAndARefusal(t *testing.T) {
	t.Parallel()
	const crowd = 12_000 // three files
	a := startAWS(t)
	x := newExporting(t, "MILLRACE_STS_ENDPOINT="+a.URL, "MILLRACE_AWS_ACCOUNT_ID=111122223333", "MILLRACE_ROLE_RETRY=2s",
		"AWS_ACCESS_KEY_ID=AKIABASE", "AWS_SECRET_ACCESS_KEY=base-secret", "AWS_REGION=us-east-1")
	a.trust = must(t, x.env, "policy", "trust", "--workspace", "acme", "--for", "exports")
	people := make([]jsonObject, crowd)
	for i := range people {
		people[i] = jsonObject{"external_id": fmt.Sprint("user-", i), "plan": "gold"}
	}
	segment := x.track(people...)
	eva := x.asks("eva@acme.example", "--workspace", "acme", "--role", "viewer", "--export-user-data")
	for _, policy := range exportPolicies {
		t.Run(policy.name, func(t *testing.T) {
			a.grant(policy.text)
			x.root.passed(x.root.want(202, "PUT", api(x.workspace)+"/data-export", jsonObject{"bucket": exportsBucket, "region": "us-east-1", "endpoint": a.URL, "path_style": true, "role_arn": exportsRole}))
			export := func(each func(nth int)) (prefix string) {
				t.Helper()
				a.next(each)
				out := x.program.want(200, "POST", "/users/export/segment", jsonObject{"segment_id": segment, "fields_to_export": []string{"external_id"}})
				if out.at("url") != nil {
					t.Errorf("with a linked bucket the answer has a url: %s", out.text)
				}
				return out.at("object_prefix").(string)
			}
			whole := func(prefix string) {
				t.Helper()
				eva.until(api(x.workspace)+"/exports/"+prefix[:36], func(e told) bool { return e.at("state") == "done" })
				wholeExport(t, filepath.Join(a.dir, "segment-export", segment, "*", prefix), crowd)
				if paths, times := a.put(prefix, 200); paths != 4 || times != 4 {
					t.Errorf("%d objects are put %d times", paths, times)
				}
			}

			prefix := export(func(nth int) {
				if nth == 2 {
					a.ahead.Add(int64(sessionsLast)) // the request is on its way for longer than its session lasts
				}
			})
			whole(prefix)
			if _, times := a.put(prefix, 400); times == 0 {
				t.Error("no session has ended in the middle")
			}

			prefix = export(func(nth int) {
				if nth == 2 {
					a.grant(without(policy.text, "s3:PutObject"))
				}
			})
			eventually(t, 20*time.Second, "it is tried again in vain", func() bool {
				_, times := a.put(prefix, 403)
				return times > 1
			})
			if folders, err := filepath.Glob(filepath.Join(a.dir, "segment-export", segment, "*", prefix, "manifest.json")); err != nil || len(folders) > 0 {
				t.Errorf("half of it looks whole: %v %v", folders, err)
			}
			a.grant(policy.text)
			whole(prefix)
		})
	}
}
