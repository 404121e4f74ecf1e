package bucketserver_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/secret"
)

// Whatever is sent, nobody without the secret is given anything, and nothing breaks.
func FuzzSTSRequests(f *testing.F) {
	date := time.Now().UTC().Format("20060102")
	for _, s := range []struct{ authorization, token, body string }{
		{"", "", ""},
		{"AWS4-HMAC-SHA256 Credential=AKIDUSER/" + date + "/us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=0", "", "Action=AssumeRole&Version=2011-06-15"},
		{"AWS4-HMAC-SHA256 Credential=/////, SignedHeaders=;;, Signature=", "t", "%zz"},
		{"AWS4-HMAC-SHA256 Credential=AKIDUSER", "", "Action=GetCallerIdentity&Version=2011-06-15"},
	} {
		f.Add(s.authorization, s.token, s.body)
	}
	sts, err := bucketserver.NewSTS(bucketserver.STSConfig{
		Users: map[string]bucketserver.User{"AKIDUSER": {ARN: userARN, Secret: secret.New("user-secret")}},
		Roles: []bucketserver.Role{{ARN: roleARN, Trust: trustIt}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, authorization, token, body string) {
		r := httptest.NewRequest(http.MethodPost, "http://sts.example.com/", strings.NewReader(body))
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
		if token != "" {
			r.Header.Set("X-Amz-Security-Token", token)
		}
		w := httptest.NewRecorder()
		sts.ServeHTTP(w, r)
		if w.Code < 400 || w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzPolicies(f *testing.F) {
	for _, s := range []string{"", trustIt, mayPut, anywhere, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"***************a","Resource":"*a*a*a*a*a*a*a*a*b"}]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, policy string) {
		sts, err := bucketserver.NewSTS(bucketserver.STSConfig{})
		if err != nil {
			t.Fatal(err)
		}
		_ = sts.SetRole(bucketserver.Role{ARN: roleARN, Trust: trustIt, Policy: policy})
		_ = sts.SetRole(bucketserver.Role{ARN: roleARN, Trust: policy})
	})
}
