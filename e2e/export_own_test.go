package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket/buckettest"
)

// ownPolicy is that of docs/operator.md for export_bucket, without what a region and an address of one's own save.
const ownPolicy = `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::ops-exports"},
 {"Effect":"Allow","Action":["s3:PutObject","s3:GetObject","s3:DeleteObject"],"Resource":"arn:aws:s3:::ops-exports/millrace-exports/*"}]}`

// With export_bucket, files that can be downloaded lie in the operator's bucket, which needs four rights, and go through the
// server all the same: whole and in parts, after a crash in the middle, until their time is over or somebody is deleted.
func TestFilesOfExportsAreKeptInABucketOfTheOperators(t *testing.T) {
	t.Parallel()
	const name, crowd = "ops-exports", 12_000
	v := buckettest.StartVersity(t)
	v.CreateBucket(t, name, false)
	user := v.CreateUser(t, "millrace", without(ownPolicy, "s3:DeleteObject"))
	env := []string{"MILLRACE_EXPORT_BUCKET=" + name, "MILLRACE_EXPORT_BUCKET_REGION=" + v.Region, "MILLRACE_EXPORT_BUCKET_ENDPOINT=" + v.Endpoint,
		"AWS_ACCESS_KEY_ID=" + user.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + user.SecretAccessKey.Reveal(), "AWS_REGION=" + v.Region}
	if _, said, code := call(t, env, "config", "check"); code == 0 || !strings.Contains(said, "DeleteObject") || !strings.Contains(said, name) {
		t.Errorf("without a right the check of the settings exits with %d and says %s", code, said)
	}
	v.SetPolicy(t, "millrace", ownPolicy)
	time.Sleep(iamDelay)
	must(t, env, "config", "check")

	x := newExporting(t, env...)
	people := make([]jsonObject, crowd)
	for i := range people {
		people[i] = jsonObject{"external_id": fmt.Sprint("user-", i), "plan": "gold"}
	}
	segment := x.track(people...)
	ask := func() (url, id string) {
		t.Helper()
		out := x.program.want(200, "POST", "/users/export/segment", jsonObject{"segment_id": segment, "fields_to_export": []string{"external_id"}})
		return out.at("url").(string), out.at("object_prefix").(string)[:36]
	}
	get := func(url, part string) (status int, body []byte) {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if part != "" {
			r.Header.Set("Range", part)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, nil // it is being started
		}
		defer res.Body.Close()
		body, err = io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		return res.StatusCode, body
	}
	kept := func(id string) []string {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(v.Dir, name, "millrace-exports", "*", id, "*.zip"))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}

	url, id := ask()
	made := filepath.Join(x.data, "exports", id)
	eventually(t, time.Minute, "a part is made", func() bool {
		parts, err := filepath.Glob(filepath.Join(made, "part-*"))
		return err == nil && len(parts) > 1
	})
	x.kill()
	x.start()
	var archive []byte
	eventually(t, time.Minute, "the file is there", func() bool {
		status, body := get(url, "")
		archive = body
		return status == 200
	})
	if n := once(t, map[string]bool{}, archive); n != crowd {
		t.Errorf("%d users are exported, not %d", n, crowd)
	}
	if files := kept(id); len(files) != 1 {
		t.Errorf("in the bucket are %v", files)
	}
	eventually(t, 10*time.Second, "nothing is left where it was made", func() bool {
		_, err := os.Stat(made)
		return os.IsNotExist(err)
	})
	if status, part := get(url, "bytes=1000-4999"); status != http.StatusPartialContent || !bytes.Equal(part, archive[1000:5000]) {
		t.Errorf("a part of it is answered with %d and %d bytes", status, len(part))
	}

	x.exec(1, "UPDATE exports SET expires_at = ? WHERE id = ?", time.Now().Add(-time.Second).UnixMilli(), id)
	if status, body := get(url, ""); status != http.StatusGone {
		t.Errorf("after its time it is answered with %d %.200s", status, body)
	}
	next, other := ask()
	eventually(t, time.Minute, "the next file is there", func() bool { status, _ := get(next, ""); return status == 200 })
	key := strings.TrimSpace(must(t, x.env, "key", "create", "--workspace", "acme", "--name", "eraser", "--scope", "users.delete"))
	asker{t, x.program.base, key, http.DefaultClient}.want(201, "POST", "/users/delete", jsonObject{"external_ids": []string{"user-7"}})
	eventually(t, time.Minute, "it cannot be downloaded any more", func() bool { status, _ := get(next, ""); return status == http.StatusGone })
	x.kill()
	x.start() // it tidies up at once
	eventually(t, time.Minute, "both are removed", func() bool { return len(kept(id)) == 0 && len(kept(other)) == 0 })
}
