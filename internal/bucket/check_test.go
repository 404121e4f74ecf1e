package bucket_test

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

func input(kind bucket.Kind) bucket.CheckInput {
	return bucket.CheckInput{Kind: kind, Folder: "/currents/", Access: bucket.Access{
		Bucket: "acme", Region: "us-east-1", Endpoint: "https://store.example.com", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret.New("hidden-secret"),
	}}
}

// states shortens a report: one letter a step.
func states(r bucket.Report) string {
	var b strings.Builder
	for _, s := range r.Steps {
		b.WriteByte(string(s.State)[0])
	}
	return b.String()
}

func failing(p bucket.Problem, ops ...string) func(buckettest.Call) buckettest.Fault {
	return func(c buckettest.Call) buckettest.Fault {
		for _, op := range ops {
			if c.Op == op {
				return buckettest.Fault{Problem: p}
			}
		}
		return buckettest.Fault{}
	}
}

func TestCheckPasses(t *testing.T) {
	m := buckettest.NewMemory()
	for round := range 2 {
		r, err := bucket.Check(t.Context(), m, input(bucket.Exports))
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK || r.Err() != nil || states(r) != "ppppp" || r.Features != (bucket.Features{}) || r.Region != "us-east-1" || len(r.Notes) != 0 {
			t.Fatalf("round %d: %+v", round, r)
		}
	}
	if keys := m.Keys(); len(keys) != 1 || keys[0] != "currents/_millrace-check" {
		t.Errorf("the check left %q", keys)
	}
	if data, _, _ := m.Object("currents/_millrace-check"); len(data) == 0 {
		t.Error("the probe is empty")
	}
	for _, c := range m.Calls() {
		if c.Op == buckettest.OpDelete && c.Key != "currents/_millrace-check-delete" {
			t.Errorf("the check deleted %q", c.Key)
		}
	}
}

func TestCheckForCurrentsNeverDeletes(t *testing.T) {
	m := buckettest.NewMemory()
	m.Script(failing(bucket.AccessDenied, buckettest.OpDelete))
	if r, err := bucket.Check(t.Context(), m, input(bucket.Currents)); err != nil || !r.OK || states(r) != "pppp" {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestCheckNamesEachMissingRight(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ops    []string
		states string
		grants map[string]string // action → resource
	}{
		{"locate", []string{buckettest.OpLocation}, "fpppp", map[string]string{"s3:GetBucketLocation": "arn:aws:s3:::acme"}},
		{"list", []string{buckettest.OpList}, "pfppp", map[string]string{"s3:ListBucket": "arn:aws:s3:::acme"}},
		{"put", []string{buckettest.OpPut}, "ppfpp", map[string]string{"s3:PutObject": "arn:aws:s3:::acme/*"}},
		{"get", []string{buckettest.OpGet, buckettest.OpHead}, "pppfp", map[string]string{"s3:GetObject": "arn:aws:s3:::acme/*"}},
		{"delete", []string{buckettest.OpDelete}, "ppppf", map[string]string{"s3:DeleteObject": "arn:aws:s3:::acme/*"}},
		{"put and delete", []string{buckettest.OpPut, buckettest.OpDelete}, "ppfpf", map[string]string{"s3:PutObject": "arn:aws:s3:::acme/*", "s3:DeleteObject": "arn:aws:s3:::acme/*"}},
		{
			"without list and put nobody can tell about get",
			[]string{buckettest.OpList, buckettest.OpPut, buckettest.OpGet, buckettest.OpHead}, "pffsp",
			map[string]string{"s3:ListBucket": "arn:aws:s3:::acme", "s3:PutObject": "arn:aws:s3:::acme/*"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := buckettest.NewMemory()
			m.Script(failing(bucket.AccessDenied, tt.ops...))
			r, err := bucket.Check(t.Context(), m, input(bucket.Exports))
			if err != nil {
				t.Fatal(err)
			}
			if r.OK || r.Passing || r.Heading.Key != "check.heading.invalid" || states(r) != tt.states {
				t.Errorf("%s, heading %q, ok %t", states(r), r.Heading.Key, r.OK)
			}
			for _, s := range r.Steps {
				want, missing := tt.grants[s.Action]
				if missing != (s.State == bucket.Failed) {
					t.Errorf("%s: %s", s.Action, s.State)
				}
				if !missing {
					continue
				}
				var st struct{ Action, Resource []string }
				if err := json.Unmarshal([]byte(s.Statement), &st); err != nil || len(st.Action) != 1 || st.Action[0] != s.Action || st.Resource[0] != want {
					t.Errorf("%s: the statement is %s", s.Action, s.Statement)
				}
				if text := s.Finding.Text(); !strings.Contains(text, s.Action) {
					t.Errorf("%s: not named in %q", s.Action, text)
				}
			}
			e := fault.As(r.Err())
			for _, f := range e.Fields {
				if !strings.Contains(f.Message, `"Action":["`+f.Field+`"]`) {
					t.Errorf("%s comes without its statement: %s", f.Field, f.Message)
				}
			}
			// Of a right that could not be tried it says so, with its statement.
			if e == nil || e.Code != fault.Invalid || len(e.Fields) != len(tt.grants)+strings.Count(tt.states, "s") || !strings.HasPrefix(e.Error(), "check credentials: S3 credentials are invalid") {
				t.Errorf("as an error: %v", r.Err())
			}
		})
	}
}

func TestCheckTellsProblemsApart(t *testing.T) {
	seen := map[string]bucket.Problem{}
	for _, tt := range []struct {
		problem bucket.Problem
		heading string
		passing bool
		states  string
	}{
		{bucket.UnknownKey, "check.heading.invalid", false, "fsss"},
		{bucket.BadSecret, "check.heading.invalid", false, "fsss"},
		{bucket.ExpiredToken, "check.heading.invalid", false, "fsss"},
		{bucket.NoSuchBucket, "check.heading.no_such_bucket", false, "fsss"},
		{bucket.WrongRegion, "check.heading.invalid", false, "fsss"},
		{bucket.ClockSkew, "check.heading.invalid", false, "fsss"},
		{bucket.KMSDenied, "check.heading.invalid", false, "ffff"},
		{bucket.ObjectLocked, "check.heading.invalid", false, "ffff"},
		{bucket.AddressForbidden, "check.heading.unreachable", false, "fsss"},
		{bucket.Network, "check.heading.unreachable", true, "fsss"},
		{bucket.ServerError, "check.heading.unreachable", true, "fsss"},
		{bucket.Throttled, "check.heading.unreachable", true, "fsss"},
	} {
		t.Run(string(tt.problem), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := buckettest.NewMemory()
				m.Deny(tt.problem)
				r, err := bucket.Check(t.Context(), m, input(bucket.Currents))
				if err != nil {
					t.Fatal(err)
				}
				if r.OK || r.Heading.Key != tt.heading || r.Passing != tt.passing || states(r) != tt.states {
					t.Errorf("ok %t, heading %q, passing %t, steps %s", r.OK, r.Heading.Key, r.Passing, states(r))
				}
				f := r.Steps[0].Finding
				if f.Message.Key != "check."+string(tt.problem) || f.Hint.Text == "" || strings.ContainsAny(f.Text(), "{}") {
					t.Errorf("says %q", f.Text())
				}
				if other, taken := seen[f.Text()]; taken {
					t.Errorf("says the same as for %s", other)
				}
				seen[f.Text()] = tt.problem
				if strings.Contains(r.Err().Error(), "hidden-secret") {
					t.Error("the secret is in the report")
				}
			})
		})
	}
}

func TestCheckSaysThatANameDoesNotExist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := input(bucket.Currents)
		in.Access.Endpoint = "" // a region that there is none of
		r, err := bucket.Check(t.Context(), lost{buckettest.NewMemory()}, in)
		if err != nil {
			t.Fatal(err)
		}
		if f := r.Steps[0].Finding; !r.Passing || f.Message.Key != "check.no_such_host" || !strings.Contains(f.Text(), "acme.nowhere.example") {
			t.Errorf("%+v", r.Steps[0])
		}
	})
}

// lost opens buckets of a store whose name does not exist.
type lost struct{ *buckettest.Memory }

func (l lost) Open(a bucket.Access) (bucket.Bucket, error) {
	b, err := l.Memory.Open(a)
	return lostBucket{b}, err
}

type lostBucket struct{ bucket.Bucket }

func (lostBucket) Location(context.Context) (string, error) {
	return "", &bucket.Error{Problem: bucket.Network, Op: "GetBucketLocation",
		Cause: &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "acme.nowhere.example", IsNotFound: true}}}
}

func TestEachProblemHasTheOwnerWhoCanMendIt(t *testing.T) {
	for p, want := range map[bucket.Problem]bucket.Owner{
		bucket.AccessDenied: bucket.Customer, bucket.UnknownKey: bucket.Customer, bucket.BadSecret: bucket.Customer,
		bucket.ExpiredToken: bucket.Customer, bucket.NoSuchBucket: bucket.Customer, bucket.WrongRegion: bucket.Customer,
		bucket.KMSDenied: bucket.Customer, bucket.ObjectLocked: bucket.Customer, bucket.RoleRefused: bucket.Customer,
		bucket.OwnCredentials: bucket.Ours, bucket.ClockSkew: bucket.Ours, bucket.AddressForbidden: bucket.Passing,
		bucket.Throttled: bucket.Passing, bucket.ServerError: bucket.Passing, bucket.Network: bucket.Passing,
		bucket.NotImplemented: bucket.Passing, bucket.BadRequest: bucket.Passing, bucket.Unknown: bucket.Passing,
		bucket.Exists: bucket.Passing, bucket.Busy: bucket.Passing, bucket.Damaged: bucket.Passing, bucket.NotFound: bucket.Passing,
	} {
		if got := p.Owner(); got != want {
			t.Errorf("%s belongs to %s, want %s", p, got, want)
		}
		if fault.As(&bucket.Error{Problem: p}).Retry != (want == bucket.Passing) {
			t.Errorf("%s: whether a repetition helps contradicts its owner", p)
		}
	}
}

func TestCheckIsPatientWithATroubledStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := buckettest.NewMemory()
		m.Script(func(c buckettest.Call) buckettest.Fault {
			if c.Attempt < 3 {
				return buckettest.Fault{Problem: bucket.ServerError}
			}
			return buckettest.Fault{}
		})
		if r, err := bucket.Check(t.Context(), m, input(bucket.Currents)); err != nil || !r.OK {
			t.Fatalf("%+v %v", r, err)
		}
	})
}

func TestCheckFindsAStoreThatIgnoresCreateOnly(t *testing.T) {
	m := buckettest.NewMemory()
	m.IgnoreCreateOnly(true)
	for round := range 2 {
		r, err := bucket.Check(t.Context(), m, input(bucket.Currents))
		if err != nil || !r.OK || !r.Features.IgnoresCreateOnly || len(r.Notes) != 1 || r.Notes[0].Message.Key != "check.ignores_create_only" {
			t.Errorf("round %d: %+v %v", round, r, err)
		}
	}
}

// quirky refuses puts by how the bucket was opened.
type quirky struct {
	*buckettest.Memory
	refuse func(bucket.Access) bucket.Problem
}

func (q quirky) Open(a bucket.Access) (bucket.Bucket, error) {
	b, err := q.Memory.Open(a)
	return quirkyBucket{b, q.refuse(a)}, err
}

type quirkyBucket struct {
	bucket.Bucket
	problem bucket.Problem
}

func (q quirkyBucket) Put(ctx context.Context, key string, body bucket.Body, opt bucket.PutOptions) error {
	if q.problem != "" {
		return &bucket.Error{Problem: q.problem, Op: "PutObject", Said: "words of the store"}
	}
	return q.Bucket.Put(ctx, key, body, opt)
}

func TestCheckFindsFeaturesByTryingThem(t *testing.T) {
	for want, refuse := range map[bucket.Features]func(f bucket.Features) bool{
		{RefusesChecksums: true}:                          func(f bucket.Features) bool { return !f.RefusesChecksums },
		{IgnoresCreateOnly: true}:                         func(f bucket.Features) bool { return !f.IgnoresCreateOnly },
		{RefusesChecksums: true, IgnoresCreateOnly: true}: func(f bucket.Features) bool { return !f.IgnoresCreateOnly || !f.RefusesChecksums },
	} {
		for _, p := range []bucket.Problem{bucket.NotImplemented, bucket.BadRequest} {
			o := quirky{buckettest.NewMemory(), func(a bucket.Access) bucket.Problem {
				if refuse(a.Features) {
					return p
				}
				return ""
			}}
			r, err := bucket.Check(t.Context(), o, input(bucket.Currents))
			if err != nil || !r.OK || r.Features != want {
				t.Errorf("%s: found %+v, want %+v, ok %t, %v", p, r.Features, want, r.OK, err)
			}
		}
	}
}

func TestCheckTellsEncryptionFromAMissingRight(t *testing.T) {
	for _, tt := range []struct {
		name      string
		on        bool
		wants     bool
		key       string
		statement string
	}{
		{"the bucket wants it", false, true, "check.encryption_wanted", "kms:GenerateDataKey"},
		{"the bucket does not want it", true, false, "check.encryption_unwanted", ""},
	} {
		o := quirky{buckettest.NewMemory(), func(a bucket.Access) bucket.Problem {
			if a.Encryption != tt.wants {
				return bucket.AccessDenied
			}
			return ""
		}}
		in := input(bucket.Currents)
		in.Access.Encryption = tt.on
		r, err := bucket.Check(t.Context(), o, in)
		if err != nil {
			t.Fatal(err)
		}
		s := r.Steps[2]
		if states(r) != "ppfp" || s.Finding.Message.Key != tt.key || !strings.Contains(s.Statement, tt.statement) || (s.Statement == "") != (tt.statement == "") {
			t.Errorf("%s: %s %+v", tt.name, states(r), s)
		}
		if !strings.Contains(s.Finding.Text(), "words of the store") {
			t.Errorf("%s: the store is not quoted: %s", tt.name, s.Finding.Text())
		}
	}
}

func TestCheckTellsDecryptionFromAMissingRight(t *testing.T) {
	m := buckettest.NewMemory()
	m.Script(failing(bucket.AccessDenied, buckettest.OpGet)) // head is allowed: so is s3:GetObject
	r, err := bucket.Check(t.Context(), m, input(bucket.Currents))
	if err != nil || states(r) != "pppf" || r.Steps[3].Problem != bucket.KMSDenied || !strings.Contains(r.Steps[3].Statement, "kms:Decrypt") {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestCheckTellsTheRegion(t *testing.T) {
	in := input(bucket.Currents)
	in.Access.Endpoint = ""
	for given, notes := range map[string]int{"": 0, "us-east-1": 0, "eu-west-1": 1} {
		in.Access.Region = given
		r, err := bucket.Check(t.Context(), buckettest.NewMemory(), in)
		if err != nil || !r.OK || r.Region != "us-east-1" || len(r.Notes) != notes {
			t.Errorf("given %q: %+v %v", given, r, err)
		}
	}
	// A store without regions says the default and takes any: what was given stands, without a word.
	in = input(bucket.Currents)
	in.Access.Region = "eu-west-1"
	if r, err := bucket.Check(t.Context(), buckettest.NewMemory(), in); err != nil || !r.OK || r.Region != "eu-west-1" || len(r.Notes) != 0 {
		t.Errorf("at a store without regions: %+v %v", r, err)
	}
}

func TestCheckRefusesBadInputAndTriesNothing(t *testing.T) {
	m := buckettest.NewMemory()
	_, err := bucket.Check(t.Context(), m, bucket.CheckInput{Kind: bucket.Trust, Folder: "a//b"})
	if f := fault.As(err); f == nil || f.Code != fault.Invalid || len(f.Fields) != 5 {
		t.Errorf("got %v", err)
	}
	if len(m.Opened()) != 0 {
		t.Error("the bucket was opened")
	}
}

func TestEveryProblemHasItsSentence(t *testing.T) {
	keys := map[string]bool{}
	for _, m := range bucket.CheckMessages() {
		if keys[m.Key] || m.Text == "" {
			t.Errorf("message %q is empty or there twice", m.Key)
		}
		keys[m.Key] = true
	}
	for _, p := range []bucket.Problem{
		bucket.NotFound, bucket.AccessDenied, bucket.UnknownKey, bucket.BadSecret, bucket.ExpiredToken, bucket.NoSuchBucket, bucket.WrongRegion,
		bucket.ClockSkew, bucket.KMSDenied, bucket.ObjectLocked, bucket.RoleRefused, bucket.OwnCredentials, bucket.Throttled, bucket.ServerError,
		bucket.Network, bucket.AddressForbidden, bucket.NotImplemented, bucket.BadRequest, bucket.Unknown,
	} {
		if !keys["check."+string(p)] || !keys["check."+string(p)+".hint"] {
			t.Errorf("%s has no sentence or no hint", p)
		}
	}
}
