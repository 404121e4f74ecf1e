package s3_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/bucketserver"
	"github.com/millrace/millrace/internal/bucket/s3"
	"github.com/millrace/millrace/internal/dial"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

const (
	ours       = "123456789012" // the installation's account
	theRole    = "arn:aws:iam::210987654321:role/customers/millrace-currents"
	theID      = "millrace-7f3a9c"
	baseKeyID  = "AKIDMILLRACE"
	baseSecret = "base-secret"
)

// town is a store with an STS at the same address, and an opener of an installation in it.
type town struct {
	sts    *bucketserver.STS
	server *bucketserver.Server
	url    string
	opener *s3.Opener
	access bucket.Access
	asked  atomic.Int64                                           // calls of the STS
	fails  atomic.Pointer[func(*http.Request) bucketserver.Fault] // of the store; nil: nothing
}

// trust is the trust policy that the product itself prints.
func trust(t testing.TB, account, externalID string) string {
	t.Helper()
	p, err := bucket.NewPolicy(bucket.PolicyInput{Kind: bucket.Trust, AccountID: account, ExternalIDs: []string{externalID}})
	if err != nil {
		t.Fatal(err)
	}
	return p.JSON()
}

// currents is the policy that the product prints for Currents by role.
func currents(t testing.TB, name string) string {
	t.Helper()
	p, err := bucket.NewPolicy(bucket.PolicyInput{Kind: bucket.Currents, Method: bucket.RoleMethod, Bucket: name})
	if err != nil {
		t.Fatal(err)
	}
	return p.JSON()
}

func newTown(t testing.TB, change func(*bucketserver.STSConfig, *s3.Config)) *town {
	t.Helper()
	w := &town{}
	sc := bucketserver.STSConfig{
		Users: map[string]bucketserver.User{baseKeyID: {ARN: "arn:aws:iam::" + ours + ":user/millrace", Secret: secret.New(baseSecret)}},
		Roles: []bucketserver.Role{{ARN: theRole, Trust: trust(t, ours, theID), Policy: currents(t, "acme")}},
		Fault: func(*http.Request) bucketserver.Fault { w.asked.Add(1); return bucketserver.Fault{} },
	}
	oc := s3.Config{Dial: (&net.Dialer{}).DialContext, Base: s3.Key{ID: baseKeyID, Secret: secret.New(baseSecret)}}
	if change != nil {
		change(&sc, &oc)
	}
	var err error
	if w.sts, err = bucketserver.NewSTS(sc); err != nil {
		t.Fatal(err)
	}
	_, srv, a := startServer(t, bucketserver.Config{STS: w.sts, Fault: func(r *http.Request) bucketserver.Fault {
		if f := w.fails.Load(); f != nil && !strings.Contains(r.Header.Get("Authorization"), "/sts/") {
			return (*f)(r)
		}
		return bucketserver.Fault{}
	}})
	w.server, w.url = srv, a.Endpoint
	if oc.STSEndpoint == "" {
		oc.STSEndpoint = a.Endpoint
	}
	w.opener = s3.NewOpener(oc)
	w.access = bucket.Access{
		Bucket: "acme", Endpoint: a.Endpoint, PathStyle: true, Region: "us-east-1",
		RoleARN: theRole, ExternalID: theID, SessionName: "millrace-warehouse",
	}
	return w
}

func put(t testing.TB, b bucket.Bucket, key string) error {
	t.Helper()
	return b.Put(t.Context(), key, bucket.Body{[]byte("x")}, bucket.PutOptions{CreateOnly: true})
}

func TestARoleOpensTheBucket(t *testing.T) {
	t.Parallel()
	w := newTown(t, nil)
	b := openBucket(t, w.opener, w.access)
	if err := put(t, b, "currents/k"); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), "currents/k"); bucket.ProblemOf(err) != bucket.AccessDenied {
		t.Errorf("delete, which its policy does not allow: %v", err)
	}
	account, err := w.opener.Account(t.Context())
	if err != nil || account != ours {
		t.Errorf("account %q, %v", account, err)
	}
}

func TestTheAccountIsSetOrAskedFor(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*bucketserver.STSConfig, *s3.Config)
		want   string
		asked  int64
	}{
		"set":           {func(_ *bucketserver.STSConfig, oc *s3.Config) { oc.AccountID = "555555555555" }, "555555555555", 0},
		"asked once":    {nil, ours, 1},
		"asked in vain": {func(_ *bucketserver.STSConfig, oc *s3.Config) { oc.Base = s3.Key{} }, "", 0},
	} {
		w := newTown(t, tt.change)
		for range 3 {
			account, err := w.opener.Account(t.Context())
			if account != tt.want || fault.Is(err, fault.Unavailable) != (tt.want == "") {
				t.Errorf("%s: %q %v", name, account, err)
			}
			if err != nil && !strings.Contains(fault.HintOf(err), "MILLRACE_AWS_ACCOUNT_ID") {
				t.Errorf("%s: the hint is %q", name, fault.HintOf(err))
			}
		}
		if n := w.asked.Load(); n != tt.asked {
			t.Errorf("%s: STS was asked %d times", name, n)
		}
	}
}

func TestLanesOfOneRoleShareItsSession(t *testing.T) {
	t.Parallel()
	w := newTown(t, nil)
	var wg sync.WaitGroup
	for i := range 50 {
		b := openBucket(t, w.opener, w.access)
		wg.Go(func() {
			if err := put(t, b, fmt.Sprint("currents/", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := w.asked.Load(); n != 1 {
		t.Errorf("STS was asked %d times", n)
	}
}

func TestASessionIsRenewedBeforeItEnds(t *testing.T) {
	t.Parallel()
	w := newTown(t, func(sc *bucketserver.STSConfig, _ *s3.Config) { sc.Lifetime = 2 * time.Second })
	b := openBucket(t, w.opener, w.access)
	begun := time.Now()
	for i := range 40 { // over two sessions; a call with one that has ended would fail or ask twice
		if err := put(t, b, fmt.Sprint("currents/", i)); err != nil {
			t.Fatalf("put %d: %v", i, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	took := time.Since(begun)
	if n := w.asked.Load(); n < 3 || n > 2+int64(took/(1300*time.Millisecond)) { // renewed after two thirds of 2 s
		t.Errorf("STS was asked %d times in %s for sessions of 2 s", n, took)
	}
}

func TestASessionThatTheStoreDoesNotTakeIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	w := newTown(t, nil)
	b := openBucket(t, w.opener, w.access)
	if err := put(t, b, "currents/1"); err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"ExpiredToken", "InvalidAccessKeyId", "InvalidToken"} {
		refused := ""
		refuse := func(r *http.Request) bucketserver.Fault {
			token := r.Header.Get("X-Amz-Security-Token")
			if refused == "" {
				refused = token
			}
			if token == refused {
				return bucketserver.Fault{Status: 400, Code: code}
			}
			return bucketserver.Fault{}
		}
		w.fails.Store(&refuse)
		before := w.asked.Load()
		if err := put(t, b, "currents/"+code); err != nil {
			t.Errorf("%s: %v", code, err)
		}
		if n := w.asked.Load() - before; n != 1 {
			t.Errorf("%s: STS was asked %d times", code, n)
		}
	}
	always := func(*http.Request) bucketserver.Fault { return bucketserver.Fault{Status: 400, Code: "ExpiredToken"} }
	w.fails.Store(&always)
	if p := bucket.ProblemOf(put(t, b, "currents/never")); p.Owner() != bucket.Passing {
		t.Errorf("a store that takes no session at all is %s, which belongs to %s", p, p.Owner())
	}
}

func TestAStoreEndsSessionsThatAreOver(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	w := newTown(t, func(sc *bucketserver.STSConfig, _ *s3.Config) {
		sc.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	b := openBucket(t, w.opener, w.access)
	if err := put(t, b, "currents/1"); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(61 * time.Minute))
	// The store says ExpiredToken, and then an STS whose clock is so far from ours does not take our signature.
	if err := put(t, b, "currents/2"); bucket.ProblemOf(err) != bucket.OwnCredentials {
		t.Errorf("got %v", err)
	}
}

func TestWhoseFaultARefusedRoleIs(t *testing.T) {
	t.Parallel()
	mayNothing := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
	for _, tt := range []struct {
		name   string
		change func(*bucketserver.STSConfig, *s3.Config)
		access func(*bucket.Access)
		want   bucket.Problem
		owner  bucket.Owner
		once   bool // the second try ends otherwise
	}{
		{name: "another external id", access: func(a *bucket.Access) { a.ExternalID = "another" }, want: bucket.RoleRefused, owner: bucket.Customer},
		{name: "no such role", access: func(a *bucket.Access) { a.RoleARN += "-2" }, want: bucket.RoleRefused, owner: bucket.Customer},
		{
			name: "a role that trusts another account", want: bucket.RoleRefused, owner: bucket.Customer,
			change: func(sc *bucketserver.STSConfig, _ *s3.Config) { sc.Roles[0].Trust = trust(t, "999999999999", theID) },
		},
		{
			// STS does not tell it from the customer's refusal: what the documentation of blame says.
			name: "our user may not take on roles", want: bucket.RoleRefused, owner: bucket.Customer,
			change: func(sc *bucketserver.STSConfig, _ *s3.Config) {
				u := sc.Users[baseKeyID]
				u.Policy = mayNothing
				sc.Users[baseKeyID] = u
			},
		},
		{
			name: "our key is unknown", want: bucket.OwnCredentials, owner: bucket.Ours,
			change: func(_ *bucketserver.STSConfig, oc *s3.Config) { oc.Base.ID = "AKIDNOBODY" },
		},
		{
			name: "our secret is wrong", want: bucket.OwnCredentials, owner: bucket.Ours,
			change: func(_ *bucketserver.STSConfig, oc *s3.Config) { oc.Base.Secret = secret.New("wrong") },
		},
		{
			name: "our clock is wrong", want: bucket.OwnCredentials, owner: bucket.Ours,
			change: func(sc *bucketserver.STSConfig, _ *s3.Config) {
				sc.Now = func() time.Time { return time.Now().Add(10 * time.Minute) }
			},
		},
		{
			name: "we were given nothing to find credentials by", want: bucket.OwnCredentials, owner: bucket.Ours,
			change: func(_ *bucketserver.STSConfig, oc *s3.Config) { oc.Base = s3.Key{} },
		},
		{
			name: "STS is not reached", want: bucket.Network, owner: bucket.Passing,
			change: func(_ *bucketserver.STSConfig, oc *s3.Config) { oc.STSEndpoint = "http://127.0.0.1:9" },
		},
		{
			name: "STS is in trouble", want: bucket.ServerError, owner: bucket.Passing,
			change: func(sc *bucketserver.STSConfig, _ *s3.Config) {
				sc.Fault = func(*http.Request) bucketserver.Fault {
					return bucketserver.Fault{Status: 500, Code: "InternalFailure"}
				}
			},
		},
		{
			name: "STS asks for patience", want: bucket.Throttled, owner: bucket.Passing,
			change: func(sc *bucketserver.STSConfig, _ *s3.Config) {
				sc.Fault = func(*http.Request) bucketserver.Fault { return bucketserver.Fault{Status: 400, Code: "Throttling"} }
			},
		},
		{
			name: "refused, and then STS is in trouble", want: bucket.Throttled, owner: bucket.Passing, once: true,
			change: func(sc *bucketserver.STSConfig, _ *s3.Config) {
				var n atomic.Int64
				sc.Roles = nil
				sc.Fault = func(*http.Request) bucketserver.Fault {
					if n.Add(1) == 2 {
						return bucketserver.Fault{Status: 503, Code: "ServiceUnavailable"}
					}
					return bucketserver.Fault{}
				}
			},
		},
		{
			name: "refused by an STS that does not know GetCallerIdentity", want: bucket.RoleRefused, owner: bucket.Customer,
			change: func(sc *bucketserver.STSConfig, _ *s3.Config) {
				var n atomic.Int64
				sc.Roles = nil
				sc.Fault = func(*http.Request) bucketserver.Fault {
					if n.Add(1)%2 == 0 {
						return bucketserver.Fault{Status: 400, Code: "InvalidAction"}
					}
					return bucketserver.Fault{}
				}
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t, tt.change)
			if tt.access != nil {
				tt.access(&w.access)
			}
			errs := []error{w.opener.Assume(t.Context(), w.access)}
			if !tt.once {
				errs = append(errs, put(t, openBucket(t, w.opener, w.access), "currents/k"))
			}
			for _, err := range errs {
				p := bucket.ProblemOf(err)
				if p != tt.want || p.Owner() != tt.owner {
					t.Errorf("got %v, which belongs to %s; want %s, %s", err, p.Owner(), tt.want, tt.owner)
				}
				if !strings.Contains(fmt.Sprint(err), w.access.RoleARN) {
					t.Errorf("the role is not named: %v", err)
				}
			}
		})
	}
}

// environ sets AWS's own variables to pairs, and no others.
func environ(t *testing.T, pairs ...string) {
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", "/not/there")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/not/there")
	for i := 0; i < len(pairs); i += 2 {
		t.Setenv(pairs[i], pairs[i+1])
	}
}

func TestBaseCredentialsOfTheStandardChain(t *testing.T) {
	addressed := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "open-sesame" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(rw, `{"AccessKeyId":%q,"SecretAccessKey":%q,"Expiration":%q}`, baseKeyID, baseSecret, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(addressed.Close)
	shared := filepath.Join(t.TempDir(), "credentials")
	text := fmt.Sprintf("[other]\naws_access_key_id = %s\naws_secret_access_key = %s\n", baseKeyID, baseSecret)
	if err := os.WriteFile(shared, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env    []string
		region string
		want   bucket.Problem
	}{
		"a key":                   {env: []string{"AWS_ACCESS_KEY_ID", baseKeyID, "AWS_SECRET_ACCESS_KEY", baseSecret, "AWS_REGION", "us-east-1"}},
		"a container's address":   {env: []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", addressed.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "open-sesame"}},
		"a profile of a file":     {env: []string{"AWS_SHARED_CREDENTIALS_FILE", shared, "AWS_PROFILE", "other"}},
		"the region is ours, too": {env: []string{"AWS_ACCESS_KEY_ID", baseKeyID, "AWS_SECRET_ACCESS_KEY", baseSecret, "AWS_DEFAULT_REGION", "eu-central-1"}, region: "eu-central-1"},

		"none, and the machine may not be asked": {want: bucket.OwnCredentials},
		"no such profile":                        {env: []string{"AWS_PROFILE", "gone"}, want: bucket.OwnCredentials},
		"an address that does not answer":        {env: []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/none"}, want: bucket.OwnCredentials},
		"an address that is not ours":            {env: []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/credentials"}, want: bucket.OwnCredentials},
		"a token file that is gone":              {env: []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "/not/there", "AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/millrace"}, want: bucket.OwnCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			environ(t, tt.env...)
			w := newTown(t, func(sc *bucketserver.STSConfig, oc *s3.Config) {
				oc.Base, oc.Chain = s3.Key{}, true
				sc.Region = tt.region
			})
			if err := put(t, openBucket(t, w.opener, w.access), "currents/k"); bucket.ProblemOf(err) != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// Whoever asks hears why there are no credentials, and nobody hears it twice: the SDK's own warnings would stand among
// the lines of whatever command looked for them.
func TestAMachineWithoutARoleIsToldOfByTheCheckAlone(t *testing.T) {
	machine := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(machine.Close)
	environ(t, "AWS_EC2_METADATA_DISABLED", "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.URL)
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer func(was *os.File) { os.Stderr = was }(os.Stderr)
	os.Stderr = said

	w := newTown(t, func(_ *bucketserver.STSConfig, oc *s3.Config) { oc.Base, oc.Chain = s3.Key{}, true })
	r, err := bucket.Check(t.Context(), w.opener, bucket.CheckInput{Kind: bucket.Currents, Access: w.access, Folder: "currents"})
	if err != nil || len(r.Steps) == 0 || r.Steps[0].Problem != bucket.OwnCredentials {
		t.Fatalf("%+v %v", r, err)
	}
	if text := r.Steps[0].Finding.Text(); !strings.Contains(text, "none were found: ") || strings.Contains(text, "{") {
		t.Errorf("the cause is not told: %s", text)
	}
	if b, err := os.ReadFile(said.Name()); err != nil || len(b) > 0 {
		t.Errorf("on standard error: %s %v", b, err)
	}
}

func TestARefusalEndsTheSessionAtOnce(t *testing.T) {
	t.Parallel()
	w := newTown(t, nil)
	b := openBucket(t, w.opener, w.access)
	if err := put(t, b, "currents/1"); err != nil {
		t.Fatal(err)
	}
	w.sts.DeleteRole(theRole)
	if err := w.opener.Assume(t.Context(), w.access); bucket.ProblemOf(err) != bucket.RoleRefused {
		t.Fatalf("assume: %v", err)
	}
	if err := put(t, b, "currents/2"); bucket.ProblemOf(err) != bucket.RoleRefused {
		t.Errorf("put: %v, want the refusal", err)
	}
	// A check that succeeds lets the lanes go on at once, whatever they remember.
	if err := w.sts.SetRole(bucketserver.Role{ARN: theRole, Trust: trust(t, ours, theID)}); err != nil {
		t.Fatal(err)
	}
	if err := w.opener.Assume(t.Context(), w.access); err != nil {
		t.Fatal(err)
	}
	if err := put(t, b, "currents/3"); err != nil {
		t.Errorf("put after the check: %v", err)
	}
}

func TestOpenRefusesARoleThatIsNotWhole(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*bucket.Access){
		"external_id":       func(a *bucket.Access) { a.ExternalID = "" },
		"role_arn":          func(a *bucket.Access) { a.RoleARN = "arn:aws:iam::12:role/x" },
		"access_key_id":     func(a *bucket.Access) { a.AccessKeyID = "AKIDEXAMPLE" },
		"secret_access_key": func(a *bucket.Access) { a.SecretAccessKey = secret.New("x") },
		"session_name":      func(a *bucket.Access) { a.SessionName = "with space" },
	} {
		a := bucket.Access{Bucket: "acme", RoleARN: theRole, ExternalID: theID}
		change(&a)
		_, err := opener.Open(a)
		if f := fault.As(err); f == nil || f.Code != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestACallerWhoGoesDoesNotTakeTheSessionAlong(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	w := newTown(t, func(sc *bucketserver.STSConfig, _ *s3.Config) {
		sc.Fault = func(*http.Request) bucketserver.Fault { <-hold; return bucketserver.Fault{} }
	})
	b := openBucket(t, w.opener, w.access)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := b.Put(ctx, "currents/k", bucket.Body{[]byte("x")}, bucket.PutOptions{})
	if bucket.ProblemOf(err) != bucket.Network {
		t.Errorf("a caller out of patience: %v", err)
	}
	close(hold)
	if err := put(t, b, "currents/k"); err != nil {
		t.Errorf("the next: %v", err)
	}
}

func TestTheCheckOfARoleNamesEachRightThatIsTakenAway(t *testing.T) {
	t.Parallel()
	w := newTown(t, nil)
	p, err := bucket.NewPolicy(bucket.PolicyInput{Kind: bucket.Exports, Method: bucket.RoleMethod, Bucket: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []bucket.Kind{bucket.Exports, bucket.Currents} {
		policy := p.JSON()
		if kind == bucket.Currents {
			policy = currents(t, "acme")
		}
		for _, missing := range append([]string{""}, exportActions...) {
			if kind == bucket.Currents && missing == "s3:DeleteObject" {
				continue // it never deletes
			}
			r := bucketserver.Role{ARN: theRole, Trust: trust(t, ours, theID), Policy: policy}
			if missing != "" {
				r.Policy = strings.ReplaceAll(policy, `"`+missing+`"`, `"s3:GetBucketTagging"`)
			}
			if err := w.sts.SetRole(r); err != nil {
				t.Fatal(err)
			}
			report, err := bucket.Check(t.Context(), w.opener, bucket.CheckInput{Kind: kind, Access: w.access, Folder: string(kind)})
			if err != nil || len(report.Notes) != 0 {
				t.Fatalf("%+v %v", report, err)
			}
			names(t, report, missing)
		}
	}
}

func TestTheCheckCallsOutARoleThatIgnoresTheExternalID(t *testing.T) {
	t.Parallel()
	open := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + ours + `:root"},"Action":"sts:AssumeRole"}]}`
	w := newTown(t, func(sc *bucketserver.STSConfig, _ *s3.Config) { sc.Roles[0].Trust = open })
	check := func() bucket.Report {
		r, err := bucket.Check(t.Context(), w.opener, bucket.CheckInput{Kind: bucket.Currents, Access: w.access, Folder: "currents"})
		if err != nil || !r.OK {
			t.Fatalf("%+v %v", r, err)
		}
		return r
	}
	r := check()
	if len(r.Notes) != 1 || r.Notes[0].Message.Key != "check.external_id_ignored" {
		t.Fatalf("notes: %+v", r.Notes)
	}
	// What the note says to paste mends it.
	if err := w.sts.SetRole(bucketserver.Role{ARN: theRole, Trust: r.Notes[0].Remedy[bucket.JSON]}); err != nil {
		t.Fatal(err)
	}
	if r := check(); len(r.Notes) != 0 {
		t.Errorf("with the trust policy from the note: %+v", r.Notes)
	}
}

func TestTheCheckWaitsForARoleMadeLate(t *testing.T) {
	t.Parallel()
	w := newTown(t, func(sc *bucketserver.STSConfig, _ *s3.Config) { sc.Roles = nil })
	made := false
	r, err := bucket.Check(t.Context(), w.opener, bucket.CheckInput{
		Kind: bucket.Currents, Access: w.access, Folder: "currents", RoleRetry: time.Minute,
		Progress: func(s bucket.Step) {
			if s.State != bucket.Trying || made {
				return
			}
			made = true
			if err := w.sts.SetRole(bucketserver.Role{ARN: theRole, Trust: trust(t, ours, theID)}); err != nil {
				t.Error(err)
			}
		},
	})
	if err != nil || !r.OK || !made {
		t.Errorf("waited %t: %+v %v", made, r, err)
	}
}

// A bucket of the operator's is opened with the installation's own key, where customers' endpoints may not lie, and never
// with what an access holds.
func TestABucketOfTheOperatorsIsOpenedWithTheirOwnKey(t *testing.T) {
	t.Parallel()
	_, _, a := startServer(t, bucketserver.Config{})
	of := func(own s3.Key) error {
		b, err := s3.NewOpener(s3.Config{Dial: dial.New(nil).DialContext, Base: own}).OpenOwn(bucket.Access{Bucket: a.Bucket, Endpoint: a.Endpoint, PathStyle: true,
			AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close() // idle connections
		return put(t, b, "millrace-exports/k")
	}
	if err := of(s3.Key{}); bucket.ProblemOf(err) != bucket.OwnCredentials {
		t.Errorf("without a key: %v", err)
	}
	if err := of(s3.Key{ID: a.AccessKeyID, Secret: a.SecretAccessKey}); err != nil {
		t.Error(err)
	}
	if _, err := s3.NewOpener(s3.Config{Dial: dial.New(nil).DialContext}).OpenOwn(bucket.Access{Bucket: "NO"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a name that no bucket has: %v", err)
	}
}
