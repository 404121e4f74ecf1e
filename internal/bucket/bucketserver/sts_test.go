package bucketserver_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/internal/vfs"
)

// The SDK's own client is used against it in bucket/s3; here the requests are made by hand, to be wrong in one thing.

const (
	roleARN  = "arn:aws:iam::210987654321:role/team/exports"
	userARN  = "arn:aws:iam::123456789012:user/millrace"
	trustIt  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"their-id"}}}]}`
	mayPut   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":"arn:aws:s3:::acme"},{"Effect":"Allow","Action":"s3:Put*","Resource":["arn:aws:s3:::acme/in/*"]}]}`
	nowhere  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
	anywhere = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"arn:aws:iam::210987654321:role/team/exports"}]}`
)

// booth is an STS and a store, with a clock that the test moves.
type booth struct {
	*testing.T
	now   time.Time
	sts   *bucketserver.STS
	store *bucketserver.Server
}

func newBooth(t *testing.T) *booth {
	b := &booth{T: t, now: time.Now()}
	var err error
	b.sts, err = bucketserver.NewSTS(bucketserver.STSConfig{
		Users: map[string]bucketserver.User{"AKIDUSER": {ARN: userARN, Secret: secret.New("user-secret")}},
		Roles: []bucketserver.Role{{ARN: roleARN, Trust: trustIt, Policy: mayPut}},
		Now:   func() time.Time { return b.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.store, err = bucketserver.New(bucketserver.Config{Files: vfs.OS(t.TempDir()), STS: b.sts})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.store.CreateBucket("acme"); err != nil {
		t.Fatal(err)
	}
	return b
}

// request is one call of the STS, right unless changed.
type request struct {
	form            url.Values
	creds           aws.Credentials
	service, region string
	at              time.Time
	after           func(*http.Request) // after it was signed
}

func (b *booth) request() *request {
	return &request{
		form:  url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {roleARN}, "RoleSessionName": {"acme"}, "ExternalId": {"their-id"}},
		creds: aws.Credentials{AccessKeyID: "AKIDUSER", SecretAccessKey: "user-secret"}, service: "sts", region: "us-east-1", at: b.now,
	}
}

// reply is what STS answers, as far as it is looked at.
type reply struct {
	status  int
	Key     string    `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	Secret  string    `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
	Token   string    `xml:"AssumeRoleResult>Credentials>SessionToken"`
	Expires time.Time `xml:"AssumeRoleResult>Credentials>Expiration"`
	User    string    `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
	Who     string    `xml:"GetCallerIdentityResult>Arn"`
	Account string    `xml:"GetCallerIdentityResult>Account"`
	Type    string    `xml:"Error>Type"`
	Code    string    `xml:"Error>Code"`
	Message string    `xml:"Error>Message"`
}

func (r reply) creds() aws.Credentials {
	return aws.Credentials{AccessKeyID: r.Key, SecretAccessKey: r.Secret, SessionToken: r.Token}
}

func (b *booth) ask(r *request) (out reply) {
	b.Helper()
	body := r.form.Encode()
	req := httptest.NewRequest(http.MethodPost, "http://sts.example.com/", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(body))
	if r.creds.AccessKeyID != "" {
		if err := v4.NewSigner().SignHTTP(context.Background(), r.creds, req, hex.EncodeToString(sum[:]), r.service, r.region, r.at); err != nil {
			b.Fatal(err)
		}
	}
	if r.after != nil {
		r.after(req)
	}
	w := httptest.NewRecorder()
	b.sts.ServeHTTP(w, req)
	if err := xml.Unmarshal(w.Body.Bytes(), &out); err != nil {
		b.Fatalf("%s: %v", w.Body, err)
	}
	out.status = w.Code
	return out
}

// object does method on acme/key with credentials and gives status and error code.
func (b *booth) object(c aws.Credentials, method, key string) (int, string) {
	b.Helper()
	req := httptest.NewRequest(method, "http://s3.example.com/acme/"+key, strings.NewReader("x"))
	req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	req.Header.Set("Content-Length", "1")
	if err := v4.NewSigner().SignHTTP(context.Background(), c, req, "UNSIGNED-PAYLOAD", "s3", "us-east-1", time.Now()); err != nil {
		b.Fatal(err)
	}
	w := httptest.NewRecorder()
	b.store.ServeHTTP(w, req)
	var e struct{ Code string }
	_ = xml.Unmarshal(w.Body.Bytes(), &e) // not every answer has a body
	return w.Code, e.Code
}

func TestSTSGivesASessionThatTheStoreTakesUntilItEnds(t *testing.T) {
	b := newBooth(t)
	r := b.request()
	r.form.Set("DurationSeconds", "900")
	s := b.ask(r)
	if s.status != 200 || !strings.HasPrefix(s.Key, "ASIA") || s.User != "arn:aws:sts::210987654321:assumed-role/exports/acme" || !s.Expires.Equal(b.now.Add(15*time.Minute).Truncate(time.Millisecond)) {
		t.Fatalf("%+v", s)
	}
	for _, try := range []struct {
		name, method, key string
		creds             aws.Credentials
		status            int
		code              string
	}{
		{"what it may", "PUT", "in/k", s.creds(), 200, ""},
		{"another folder", "PUT", "out/k", s.creds(), 403, "AccessDenied"},
		{"another action", "DELETE", "in/k", s.creds(), 403, "AccessDenied"},
		{"parts", "PUT", "in/k?partNumber=1&uploadId=u", s.creds(), 403, "AccessDenied"},
		{"another bucket", "PUT", "../other/k", s.creds(), 403, "AccessDenied"},
		{"list", "GET", "?list-type=2", s.creds(), 200, ""},
		{"locate", "GET", "?location", s.creds(), 403, "AccessDenied"},
		{"a wrong token", "PUT", "in/k", aws.Credentials{AccessKeyID: s.Key, SecretAccessKey: s.Secret, SessionToken: "guess"}, 400, "InvalidToken"},
		{"no token", "PUT", "in/k", aws.Credentials{AccessKeyID: s.Key, SecretAccessKey: s.Secret}, 400, "InvalidToken"},
		{"a wrong secret", "PUT", "in/k", aws.Credentials{AccessKeyID: s.Key, SecretAccessKey: "guess", SessionToken: s.Token}, 403, "SignatureDoesNotMatch"},
		{"the user's own key", "PUT", "in/k", aws.Credentials{AccessKeyID: "AKIDUSER", SecretAccessKey: "user-secret"}, 403, "InvalidAccessKeyId"},
	} {
		if status, code := b.object(try.creds, try.method, try.key); status != try.status || code != try.code {
			t.Errorf("%s: %d %s, want %d %s", try.name, status, code, try.status, try.code)
		}
	}
	b.now = b.now.Add(15*time.Minute - time.Second)
	if status, code := b.object(s.creds(), "PUT", "in/k2"); status != 200 {
		t.Errorf("a second before its end: %d %s", status, code)
	}
	b.now = b.now.Add(time.Second)
	if status, code := b.object(s.creds(), "PUT", "in/k3"); status != 400 || code != "ExpiredToken" {
		t.Errorf("at its end: %d %s", status, code)
	}
	q := b.request()
	q.creds, q.form = s.creds(), url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}
	if a := b.ask(q); a.status != 403 || a.Code != "ExpiredToken" || a.Type != "Sender" {
		t.Errorf("asked who it is, after its end: %+v", a)
	}
}

func TestSTSRightsChangeUnderASession(t *testing.T) {
	b := newBooth(t)
	s := b.ask(b.request())
	if err := b.sts.SetRole(bucketserver.Role{ARN: roleARN, Trust: trustIt, Policy: nowhere}); err != nil {
		t.Fatal(err)
	}
	if status, code := b.object(s.creds(), "DELETE", "in/k"); status != 204 {
		t.Errorf("with more rights: %d %s", status, code)
	}
	b.sts.DeleteRole(roleARN)
	if status, code := b.object(s.creds(), "PUT", "in/k"); status != 403 || code != "AccessDenied" {
		t.Errorf("of a role that is gone: %d %s", status, code)
	}
}

func TestSTSIsStrict(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*booth, *request)
		status int
		code   string
	}{
		{"right", func(*booth, *request) {}, 200, ""},
		{"no external id", func(_ *booth, r *request) { r.form.Del("ExternalId") }, 403, "AccessDenied"},
		{"a wrong external id", func(_ *booth, r *request) { r.form.Set("ExternalId", "their-id2") }, 403, "AccessDenied"},
		{"an external id that cannot be one", func(_ *booth, r *request) { r.form.Set("ExternalId", "a b") }, 400, "ValidationError"},
		{"no such role", func(_ *booth, r *request) { r.form.Set("RoleArn", roleARN+"x") }, 403, "AccessDenied"},
		{"no ARN", func(_ *booth, r *request) { r.form.Set("RoleArn", "exports") }, 400, "ValidationError"},
		{"a user's ARN", func(_ *booth, r *request) { r.form.Set("RoleArn", userARN) }, 400, "ValidationError"},
		{"no session name", func(_ *booth, r *request) { r.form.Del("RoleSessionName") }, 400, "ValidationError"},
		{"a session name with a space", func(_ *booth, r *request) { r.form.Set("RoleSessionName", "a b") }, 400, "ValidationError"},
		{"too short", func(_ *booth, r *request) { r.form.Set("DurationSeconds", "899") }, 400, "ValidationError"},
		{"longer than the role allows", func(_ *booth, r *request) { r.form.Set("DurationSeconds", "3601") }, 400, "ValidationError"},
		{"no number", func(_ *booth, r *request) { r.form.Set("DurationSeconds", "1h") }, 400, "ValidationError"},
		{"no such action", func(_ *booth, r *request) { r.form.Set("Action", "GetSessionToken") }, 400, "InvalidAction"},
		{"no version", func(_ *booth, r *request) { r.form.Del("Version") }, 400, "InvalidAction"},
		{"not signed", func(_ *booth, r *request) { r.creds = aws.Credentials{} }, 403, "MissingAuthenticationToken"},
		{"an unknown key", func(_ *booth, r *request) { r.creds.AccessKeyID = "AKIDNOBODY" }, 403, "InvalidClientTokenId"},
		{"a wrong secret", func(_ *booth, r *request) { r.creds.SecretAccessKey = "guess" }, 403, "SignatureDoesNotMatch"},
		{"a token with a user's key", func(_ *booth, r *request) { r.creds.SessionToken = "guess" }, 403, "InvalidClientTokenId"},
		{"for another service", func(_ *booth, r *request) { r.service = "s3" }, 403, "SignatureDoesNotMatch"},
		{"for another region", func(_ *booth, r *request) { r.region = "eu-west-1" }, 403, "SignatureDoesNotMatch"},
		{"signed too long ago", func(_ *booth, r *request) { r.at = r.at.Add(-6 * time.Minute) }, 403, "SignatureDoesNotMatch"},
		{"signed in the future", func(_ *booth, r *request) { r.at = r.at.Add(6 * time.Minute) }, 403, "SignatureDoesNotMatch"},
		{"changed on its way", func(_ *booth, r *request) {
			r.after = func(q *http.Request) {
				q.Body = io.NopCloser(bytes.NewReader([]byte(strings.Replace(r.form.Encode(), "their-id", "other-id", 1))))
			}
		}, 403, "SignatureDoesNotMatch"},
		{"for another host", func(_ *booth, r *request) { r.after = func(q *http.Request) { q.Host = "sts.example.org" } }, 403, "SignatureDoesNotMatch"},
		{"a header of AWS that is not signed", func(_ *booth, r *request) {
			r.after = func(q *http.Request) { q.Header.Set("X-Amz-Extra", "1") }
		}, 403, "SignatureDoesNotMatch"},
		{"half a signature", func(_ *booth, r *request) {
			r.after = func(q *http.Request) { q.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDUSER") }
		}, 400, "IncompleteSignature"},
		{"a user who may not", func(b *booth, _ *request) { b.user(nowhere) }, 403, "AccessDenied"},
		{"a user who may not by a denial", func(b *booth, _ *request) { b.user(anywhere) }, 403, "AccessDenied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBooth(t)
			r := b.request()
			tt.change(b, r)
			a := b.ask(r)
			if a.status != tt.status || a.Code != tt.code || (a.Key != "") != (tt.status == 200) {
				t.Errorf("%+v, want %d %s", a, tt.status, tt.code)
			}
			if tt.code == "AccessDenied" && a.Message != "User: "+userARN+" is not authorized to perform: sts:AssumeRole on resource: "+r.form.Get("RoleArn") {
				t.Errorf("a refusal says %q", a.Message)
			}
		})
	}
}

func (b *booth) user(policy string) {
	b.Helper()
	if err := b.sts.SetUser("AKIDUSER", bucketserver.User{ARN: userARN, Secret: secret.New("user-secret"), Policy: policy}); err != nil {
		b.Fatal(err)
	}
}

func TestSTSTellsEverybodyWhoTheyAre(t *testing.T) {
	b := newBooth(t)
	who := func(c aws.Credentials) reply {
		r := b.request()
		r.creds, r.form = c, url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}
		return b.ask(r)
	}
	b.user(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`) // cannot be denied
	if a := who(b.request().creds); a.Who != userARN || a.Account != "123456789012" {
		t.Errorf("user: %+v", a)
	}
	b.user("")
	if a := who(b.ask(b.request()).creds()); a.Who != "arn:aws:sts::210987654321:assumed-role/exports/acme" || a.Account != "210987654321" {
		t.Errorf("session: %+v", a)
	}
}

func TestPoliciesThatAreNotUnderstoodAreRefused(t *testing.T) {
	b := newBooth(t)
	for name, policy := range map[string]string{
		"not JSON":           `allow all`,
		"an older version":   `{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
		"no statement":       `{"Version":"2012-10-17","Statement":[]}`,
		"a negation":         `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":"*","Resource":"*"}]}`,
		"another condition":  `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`,
		"an unknown effect":  `{"Version":"2012-10-17","Statement":[{"Effect":"allow","Action":"*","Resource":"*"}]}`,
		"no resource":        `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"}]}`,
		"a trust policy":     trustIt,
		"an unknown element": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}],"More":1}`,
	} {
		if err := b.sts.SetRole(bucketserver.Role{ARN: roleARN, Trust: trustIt, Policy: policy}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
		if err := b.store.SetPolicy("AKIDDEMO", policy); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s, of a key: %v", name, err)
		}
	}
	for name, trust := range map[string]string{
		"nobody":            ``,
		"a right":           nowhere,
		"a service":         `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`,
		"another condition": strings.Replace(trustIt, "StringEquals", "StringLike", 1),
	} {
		if err := b.sts.SetRole(bucketserver.Role{ARN: roleARN, Trust: trust}); !fault.Is(err, fault.Invalid) {
			t.Errorf("trust in %s: %v", name, err)
		}
	}
	for _, arn := range []string{"", "exports", "arn:aws:iam::12:role/x", "arn:aws:iam::210987654321:role/", userARN} {
		if err := b.sts.SetRole(bucketserver.Role{ARN: arn, Trust: trustIt}); !fault.Is(err, fault.Invalid) {
			t.Errorf("role %q: %v", arn, err)
		}
	}
}

func TestWhoMayNotListIsNotToldWhichKeysAreFree(t *testing.T) {
	b := newBooth(t)
	s := b.ask(b.request())
	set := func(policy string) {
		if err := b.sts.SetRole(bucketserver.Role{ARN: roleARN, Trust: trustIt, Policy: policy}); err != nil {
			t.Fatal(err)
		}
	}
	set(nowhere)
	if status, _ := b.object(s.creds(), "GET", "free"); status != 404 {
		t.Errorf("who may list: %d", status)
	}
	set(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::acme/*"}]}`)
	if status, code := b.object(s.creds(), "GET", "free"); status != 403 || code != "AccessDenied" {
		t.Errorf("who may not list: %d %s", status, code)
	}
	b.object(s.creds(), "PUT", "taken")
	if status, code := b.object(s.creds(), "GET", "taken"); status != 200 {
		t.Errorf("of a key that is taken: %d %s", status, code)
	}
}

func TestOneAddressServesBoth(t *testing.T) {
	b := newBooth(t)
	r := b.request()
	body := r.form.Encode()
	sum := sha256.Sum256([]byte(body))
	req := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
	if err := v4.NewSigner().SignHTTP(context.Background(), r.creds, req, hex.EncodeToString(sum[:]), "sts", "us-east-1", b.now); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	b.store.ServeHTTP(w, req)
	if w.Code != 200 || !strings.Contains(w.Body.String(), "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
