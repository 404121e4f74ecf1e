package e2e_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

// once adds the users of an archive of JSON lines to those that were met, and gives how many there were.
func once(t *testing.T, met map[string]bool, archive []byte) (n int) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(r); ; n++ {
			var u struct {
				ID string `json:"external_id"`
			}
			if err := d.Decode(&u); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if met[u.ID] {
				t.Errorf("%q is there twice", u.ID)
			}
			met[u.ID] = true
		}
	}
	return n
}

// An export of a segment goes on where it was when its process is killed: to a bucket with exactly the policies that the
// vendor prints, and to the own store, each user is there once.
func TestAnExportThatIsKilledHasEachUserOnce(t *testing.T) {
	t.Parallel()
	const name, crowd, key = "acme-exports", 20_000, "mr_exports_0123456789abcdefghijklmn"
	v := buckettest.StartVersity(t)
	v.CreateBucket(t, name, false)
	user := v.CreateUser(t, "exports", must(t, nil, "policy", "exports", "--method", "key", "--bucket", name))
	store := startProxy(t, v.Endpoint)
	data := t.TempDir()
	s := newServer(t, data, "MILLRACE_PROFILES=true", "KEY="+key, "SECRET="+user.SecretAccessKey.Reveal())
	apply := func(more string) {
		t.Helper()
		must(t, s.env, "apply", "-f", write(t, "apply.yaml", `workspaces:
  - name: acme
    api_keys:
      - {name: program, scopes: [users.track, users.export.segment], secret_env: KEY}
`+more))
	}
	apply("")
	s.start()
	program := asker{t, "http://" + s.addr, key, http.DefaultClient}
	for from := 0; from < crowd; from += 75 {
		var people []jsonObject
		for k := from; k < min(from+75, crowd); k++ {
			people = append(people, jsonObject{"external_id": fmt.Sprint("user-", k), "country": "ES", "plan": "gold"})
		}
		program.want(201, "POST", "/users/track", jsonObject{"attributes": people})
	}
	root := s.asks("root@mill.example", "--installation-administrator")
	segment := root.want(201, "POST", "/api/v1/workspaces/acme/segments", jsonObject{"name": "everybody"}).at("id").(string)
	root.until("/api/v1/workspaces/acme/segments/"+segment+"/size", func(x told) bool { return x.at("people") == float64(crowd) })
	ask := func() told {
		t.Helper()
		return program.want(200, "POST", "/users/export/segment", jsonObject{"segment_id": segment, "fields_to_export": []string{"external_id", "country", "custom_attributes"}})
	}

	// Without a bucket: killed as soon as another part lies in the own store.
	out := ask()
	url := out.at("url").(string)
	parts := filepath.Join(data, "exports", out.at("object_prefix").(string)[:36], "part-*")
	for kills, had := 0, 0; kills < 3; time.Sleep(time.Millisecond) {
		found, err := filepath.Glob(parts)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > had {
			s.kill()
			had, kills = len(found), kills+1
			s.spawn()
		}
	}
	s.ready()
	var archive []byte
	eventually(t, time.Minute, "the file is there", func() bool {
		res, err := http.Get(url)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		archive, err = io.ReadAll(res.Body)
		return err == nil && res.StatusCode == 200
	})
	met := map[string]bool{}
	if n := once(t, met, archive); n != crowd || len(met) != crowd {
		t.Errorf("the own store has %d users, %d of them once, want %d", n, len(met), crowd)
	}

	// With one: killed while it is sent its second file since the start.
	for _, method := range []string{"key", "role"} {
		v.SetPolicy(t, "exports", must(t, nil, "policy", "exports", "--method", method, "--bucket", name))
		time.Sleep(iamDelay)
		apply(fmt.Sprintf("    data_export: {bucket: %s, region: us-east-1, endpoint: %q, path_style: true, access_key_id: %s, secret_access_key_env: SECRET}\n", name, store.URL, user.AccessKeyID))
		puts := make(chan struct{}, 1000)
		store.set(func(r *http.Request) mishap {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/segment-export/") {
				puts <- struct{}{}
			}
			return none
		})
		out := ask()
		if out.at("url") != nil {
			t.Errorf("with a linked bucket the answer has a url: %s", out.text)
		}
		for range 2 {
			for range 2 {
				select {
				case <-puts:
				case <-time.After(time.Minute):
					t.Fatal("nothing is sent to the bucket")
				}
			}
			s.kill()
			for len(puts) > 0 {
				<-puts
			}
			s.spawn()
		}
		s.ready()
		wholeExport(t, filepath.Join(v.Dir, name, "segment-export", segment, "*", out.at("object_prefix").(string)), crowd)
	}
}

// wholeExport waits until the folder that a pattern names holds an export whole, with that many users, each of them once.
func wholeExport(t *testing.T, pattern string, users int) {
	t.Helper()
	var folder string
	eventually(t, time.Minute, "the manifest is there", func() bool {
		found, err := filepath.Glob(filepath.Join(pattern, "manifest.json"))
		if err != nil || len(found) > 1 {
			t.Fatalf("the manifests are %v %v", found, err)
		}
		if len(found) == 1 {
			folder = filepath.Dir(found[0])
		}
		return folder != ""
	})
	last, err := os.Stat(filepath.Join(folder, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(folder, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		People int
		Files  []struct {
			Name, SHA256  string
			People, Bytes int
		}
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	met, sum := map[string]bool{}, 0
	for _, f := range manifest.Files {
		b, err := os.ReadFile(filepath.Join(folder, f.Name))
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256(b)
		n := once(t, met, b)
		if sum += n; n != f.People || len(b) != f.Bytes || hex.EncodeToString(hash[:]) != f.SHA256 {
			t.Errorf("%s has %d users, %d bytes; the manifest says %+v", f.Name, n, len(b), f)
		}
	}
	if sum != users || len(met) != users || manifest.People != users {
		t.Errorf("%d users, %d of them once, %d by the manifest, want %d", sum, len(met), manifest.People, users)
	}
	all, err := os.ReadDir(folder)
	if err != nil || len(all) != len(manifest.Files)+1 {
		t.Errorf("%d files beside a manifest of %d, %v", len(all), len(manifest.Files), err)
	}
	for _, f := range all {
		if info, err := f.Info(); err != nil || info.ModTime().After(last.ModTime()) {
			t.Errorf("%s is newer than the manifest, %v", f.Name(), err)
		}
	}
}

// An export whose bucket refuses in the middle, and for longer than it is tried again, has failed: its administrators are
// mailed why and what to do, and nothing looks whole of what came through. With its rights back the next one goes through.
func TestAnExportFailsWhoseBucketRefusesForLong(t *testing.T) {
	t.Parallel()
	const name, crowd = "acme-exports", 12_000 // three files
	v := buckettest.StartVersity(t)
	v.CreateBucket(t, name, false)
	policy := must(t, nil, "policy", "exports", "--method", "role", "--bucket", name)
	user := v.CreateUser(t, "exports", policy)
	store := startProxy(t, v.Endpoint)
	x := newExporting(t, "MILLRACE_EXPORT_RETRY=4s")
	people := make([]jsonObject, crowd)
	for i := range people {
		people[i] = jsonObject{"external_id": fmt.Sprint("user-", i)}
	}
	segment := x.track(people...)
	x.root.passed(x.root.want(202, "PUT", api(x.workspace)+"/data-export", jsonObject{"bucket": name, "region": v.Region, "endpoint": store.URL, "path_style": true,
		"access_key_id": user.AccessKeyID, "secret_access_key": user.SecretAccessKey.Reveal()}))
	eva := x.asks("eva@acme.example", "--workspace", "acme", "--role", "administrator", "--export-user-data")
	second, refused, files := make(chan struct{}), make(chan struct{}), 0
	store.set(func(r *http.Request) mishap {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/segment-export/") {
			if files++; files == 2 {
				close(second)
				<-refused
			}
		}
		return none
	})
	ask := func() (at, folder string) {
		t.Helper()
		prefix := x.program.want(200, "POST", "/users/export/segment", jsonObject{"segment_id": segment, "fields_to_export": []string{"external_id"}}).at("object_prefix").(string)
		return api(x.workspace) + "/exports/" + prefix[:36], filepath.Join(v.Dir, name, "segment-export", segment, "*", prefix)
	}

	at, folder := ask()
	select {
	case <-second:
	case <-time.After(time.Minute):
		t.Fatal("no second file is sent to the bucket")
	}
	v.SetPolicy(t, "exports", without(policy, "s3:PutObject"))
	time.Sleep(iamDelay)
	close(refused)
	held := eva.until(at, func(e told) bool { return e.at("error") != nil })
	if held.at("state") != "running" || !strings.Contains(fmt.Sprint(held.at("error.hint")), "s3:PutObject") {
		t.Errorf("while it is tried again it is %s", held.text)
	}
	failed := eva.until(at, func(e told) bool { return e.at("state") == "failed" })
	why, hint := failed.at("error.message").(string), failed.at("error.hint").(string)
	mail := x.mailTo(t, "eva@acme.example", func(l letter) bool { return strings.Contains(l.plain, why) })
	if !strings.Contains(mail.plain, hint) || !strings.Contains(mail.plain, "manifest.json") || !strings.Contains(mail.html, failed.at("id").(string)) {
		t.Errorf("the mail of %s says %s", failed.text, mail.plain)
	}
	there, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(there) != 1 || filepath.Base(there[0]) == "manifest.json" {
		t.Errorf("in the bucket are %v %v", there, err)
	}

	v.SetPolicy(t, "exports", policy)
	time.Sleep(iamDelay)
	_, folder = ask()
	wholeExport(t, folder, crowd)
	if now, err := filepath.Glob(there[0]); err != nil || len(now) != 1 {
		t.Errorf("what a failed one has left is %v %v", now, err)
	}
}
