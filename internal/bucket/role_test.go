package bucket_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/bucket/buckettest"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

const theRole = "arn:aws:iam::210987654321:role/team/millrace-currents"

// byRole is input for a bucket that a role opens.
func byRole(kind bucket.Kind) bucket.CheckInput {
	in := input(kind)
	in.Access.AccessKeyID, in.Access.SecretAccessKey = "", secret.Value{}
	in.Access.RoleARN, in.Access.ExternalID = theRole, "millrace-7f3a9c"
	in.RoleRetry = 2 * time.Minute
	return in
}

func TestCheckTakesTheRoleOnFirst(t *testing.T) {
	m := buckettest.NewMemory()
	r, err := bucket.Check(t.Context(), m, byRole(bucket.Exports))
	if err != nil || !r.OK || states(r) != "pppppp" || len(r.Notes) != 0 || r.Steps[0].Action != "sts:AssumeRole" {
		t.Fatalf("%+v %v", r, err)
	}
	var ids []string
	for _, c := range m.Calls() {
		if c.Op == buckettest.OpAssume {
			ids = append(ids, c.Key)
		}
	}
	if len(ids) != 3 || ids[0] != "millrace-7f3a9c" || ids[1] != "" || ids[2] == "" || ids[2] == ids[0] {
		t.Errorf("the role was tried with the external ids %q; want the right one, none, a wrong one", ids)
	}
}

func TestCheckCallsOutARoleThatIgnoresTheExternalID(t *testing.T) {
	m := buckettest.NewMemory()
	m.IgnoreExternalID(true)
	r, err := bucket.Check(t.Context(), m, byRole(bucket.Currents))
	if err != nil || !r.OK || len(r.Notes) != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	n := r.Notes[0]
	if n.Message.Key != "check.external_id_ignored" || !strings.Contains(n.Text(), theRole) || n.Hint.Text == "" {
		t.Errorf("says %q", n.Text())
	}
	for _, f := range []bucket.Format{bucket.JSON, bucket.CLI, bucket.Terraform, bucket.CloudFormation} {
		if p := n.Remedy[f]; !strings.Contains(p, "millrace-7f3a9c") || !strings.Contains(p, "arn:aws:iam::"+buckettest.Account+":root") {
			t.Errorf("%s: the trust policy to paste is %q", f, p)
		}
	}
	if !strings.HasPrefix(n.Remedy[bucket.CLI], "aws iam update-assume-role-policy --role-name millrace-currents --policy-document '{") {
		t.Errorf("cli: %s", n.Remedy[bucket.CLI])
	}
}

func TestCheckSaysWhenItCouldNotFindOutAboutTheExternalID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := buckettest.NewMemory()
		m.Script(func(c buckettest.Call) buckettest.Fault {
			if c.Op == buckettest.OpAssume && c.Key == "" {
				return buckettest.Fault{Problem: bucket.Throttled}
			}
			return buckettest.Fault{}
		})
		r, err := bucket.Check(t.Context(), m, byRole(bucket.Currents))
		if err != nil || !r.OK || len(r.Notes) != 1 || r.Notes[0].Message.Key != "check.external_id_untested" {
			t.Fatalf("%+v %v", r, err)
		}
	})
}

func TestCheckWaitsForARoleThatWasMadeAMomentAgo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		op     string // what is refused at first
		with   bucket.Problem
		after  time.Duration // until then
		retry  time.Duration
		ok     bool
		states string
		took   time.Duration
	}{
		{"the role is late", buckettest.OpAssume, bucket.RoleRefused, 20 * time.Second, 2 * time.Minute, true, "ppppp", 22 * time.Second},
		{"its policy is late", buckettest.OpList, bucket.AccessDenied, 20 * time.Second, 2 * time.Minute, true, "ppppp", 22 * time.Second},
		{"its session is not known everywhere", buckettest.OpPut, bucket.UnknownKey, 2 * time.Second, 2 * time.Minute, true, "ppppp", 3 * time.Second},
		{"the role does not come", buckettest.OpAssume, bucket.RoleRefused, time.Hour, 2 * time.Minute, false, "fssss", 2 * time.Minute},
		{"the right does not come", buckettest.OpPut, bucket.AccessDenied, time.Hour, 2 * time.Minute, false, "pppfp", 2 * time.Minute},
		{"no patience", buckettest.OpAssume, bucket.RoleRefused, time.Second, 0, false, "fssss", 0},
		{"what does not pass by waiting", buckettest.OpPut, bucket.KMSDenied, time.Hour, 2 * time.Minute, false, "pppfp", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := buckettest.NewMemory()
				begun := time.Now()
				m.Script(func(c buckettest.Call) buckettest.Fault {
					if c.Op == tt.op && time.Since(begun) < tt.after {
						return buckettest.Fault{Problem: tt.with}
					}
					return buckettest.Fault{}
				})
				in := byRole(bucket.Currents)
				in.RoleRetry = tt.retry
				var shown []bucket.Step
				in.Progress = func(s bucket.Step) { shown = append(shown, s) }
				r, err := bucket.Check(t.Context(), m, in)
				if err != nil || r.OK != tt.ok || states(r) != tt.states {
					t.Errorf("ok %t, %s, %v", r.OK, states(r), err)
				}
				if took := time.Since(begun); took != tt.took {
					t.Errorf("it took %s, want %s", took, tt.took)
				}
				if !tt.ok && r.Heading.Text != "S3 credentials are invalid" {
					t.Errorf("heading %q", r.Heading.Text)
				}
				tries, ends := 0, 0
				last := tt.retry + 1
				for _, s := range shown {
					if s.State != bucket.Trying {
						ends++
						continue
					}
					tries++
					if s.Left <= 0 || s.Left >= last || s.Problem != tt.with || s.Finding.Text() == "" {
						t.Errorf("shown while waiting: %+v", s)
					}
					last = s.Left
				}
				if ends != len(r.Steps) || (tries > 0) != (tt.took > 0) {
					t.Errorf("%d tries and %d ends were shown of %d steps", tries, ends, len(r.Steps))
				}
			})
		})
	}
}

func TestCheckOfAKeyDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := buckettest.NewMemory()
		m.Script(failing(bucket.AccessDenied, buckettest.OpPut))
		in := input(bucket.Currents)
		in.RoleRetry = 2 * time.Minute
		begun := time.Now()
		if r, err := bucket.Check(t.Context(), m, in); err != nil || r.OK || time.Since(begun) != 0 {
			t.Errorf("%+v %v after %s", r, err, time.Since(begun))
		}
	})
}

func TestCheckOfARoleSaysWhoseFaultItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for problem, want := range map[bucket.Problem]struct {
			heading, key string
			passing      bool
			remedy       bool
		}{
			bucket.RoleRefused:    {"check.heading.invalid", "check.role_refused", false, true},
			bucket.OwnCredentials: {"check.heading.unreachable", "check.own_credentials", false, false},
			bucket.Network:        {"check.heading.unreachable", "check.network", true, false},
		} {
			m := buckettest.NewMemory()
			m.Deny(problem)
			r, err := bucket.Check(t.Context(), m, byRole(bucket.Currents))
			if err != nil || r.OK || states(r) != "fssss" || r.Heading.Key != want.heading || r.Passing != want.passing {
				t.Errorf("%s: %+v %v", problem, r, err)
				continue
			}
			f := r.Steps[0].Finding
			if f.Message.Key != want.key || (f.Remedy != nil) != want.remedy {
				t.Errorf("%s: %+v", problem, f)
			}
		}
	})
}

func TestCheckNeedsTheExternalIDAndAnOpenerOfRoles(t *testing.T) {
	in := byRole(bucket.Currents)
	in.Access.ExternalID = ""
	_, err := bucket.Check(t.Context(), buckettest.NewMemory(), in)
	if f := fault.As(err); f == nil || len(f.Fields) != 1 || f.Fields[0].Field != "external_id" {
		t.Errorf("without an external id: %v", err)
	}
	if _, err := bucket.Check(t.Context(), onlyKeys{buckettest.NewMemory()}, byRole(bucket.Currents)); !fault.Is(err, fault.Invalid) {
		t.Errorf("with an opener that knows no roles: %v", err)
	}
}

type onlyKeys struct{ m *buckettest.Memory }

func (o onlyKeys) Open(a bucket.Access) (bucket.Bucket, error) { return o.m.Open(a) }

func TestRemediesAreForUserOrRole(t *testing.T) {
	for name, tt := range map[string]struct {
		in   bucket.CheckInput
		want map[bucket.Format][]string
	}{
		"a key": {input(bucket.Currents), map[bucket.Format][]string{
			bucket.JSON:           {`"s3:PutObject"`, `"arn:aws:s3:::acme/*"`},
			bucket.CLI:            {`aws iam put-user-policy --user-name USER_NAME --policy-name millrace-acme-s3-PutObject --policy-document '{"Version":"2012-10-17","Statement":[`},
			bucket.Terraform:      {`resource "aws_iam_user_policy" "millrace_acme_s3_putobject"`, `user   = "USER_NAME"`, "JSON\n}\n"},
			bucket.CloudFormation: {"  MillraceS3PutObject:\n    Type: AWS::IAM::UserPolicy\n", "UserName: USER_NAME\n"},
		}},
		"a role": {byRole(bucket.Currents), map[bucket.Format][]string{
			bucket.JSON:           {`"s3:PutObject"`},
			bucket.CLI:            {`aws iam put-role-policy --role-name millrace-currents --policy-name`},
			bucket.Terraform:      {`resource "aws_iam_role_policy"`, `role   = "millrace-currents"`},
			bucket.CloudFormation: {"Type: AWS::IAM::RolePolicy\n", "RoleName: millrace-currents\n"},
		}},
	} {
		tt.in.RoleRetry = 0
		m := buckettest.NewMemory()
		m.Script(failing(bucket.AccessDenied, buckettest.OpPut))
		r, err := bucket.Check(t.Context(), m, tt.in)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range r.Steps {
			if s.Action != "s3:PutObject" {
				continue
			}
			if len(s.Finding.Remedy) != 4 {
				t.Errorf("%s: %d formats", name, len(s.Finding.Remedy))
			}
			for f, parts := range tt.want {
				for _, p := range parts {
					if !strings.Contains(s.Finding.Remedy[f], p) {
						t.Errorf("%s, %s: %s is not in\n%s", name, f, p, s.Finding.Remedy[f])
					}
				}
			}
			if hint := s.Finding.Hint.Text; strings.Contains(hint, "policy of the "+strings.Fields(name)[1]) == (name == "a key") {
				t.Errorf("%s: the hint is %q", name, hint)
			}
		}
	}
}

func TestCheckSaysWhenEverythingIsDenied(t *testing.T) {
	m := buckettest.NewMemory()
	m.Deny(bucket.AccessDenied)
	for _, in := range []bucket.CheckInput{input(bucket.Currents), byRole(bucket.Currents)} {
		in.RoleRetry = 0
		r, err := bucket.Check(t.Context(), m, in)
		if err != nil || len(r.Notes) != 1 || r.Notes[0].Message.Key != "check.all_denied" {
			t.Errorf("%+v %v", r, err)
		}
	}
}

func TestAReportIsStoredAndReadAgain(t *testing.T) {
	m := buckettest.NewMemory()
	m.IgnoreExternalID(true)
	m.IgnoreCreateOnly(true)
	m.Script(failing(bucket.AccessDenied, buckettest.OpGet, buckettest.OpHead))
	in := byRole(bucket.Currents)
	in.RoleRetry = 0
	r, err := bucket.Check(t.Context(), m, in)
	if err != nil || r.OK || len(r.Notes) != 2 {
		t.Fatalf("%+v %v", r, err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again bucket.Report
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	// Numbers are float64 in JSON; what is said must be the same.
	for i := range r.Steps {
		if r.Steps[i].Finding.Text() != again.Steps[i].Finding.Text() {
			t.Errorf("step %d says %q, said %q", i, again.Steps[i].Finding.Text(), r.Steps[i].Finding.Text())
		}
		r.Steps[i].Finding.Params, again.Steps[i].Finding.Params = nil, nil
	}
	if !reflect.DeepEqual(r, again) {
		t.Errorf("stored %+v\nread   %+v", r, again)
	}
	var keys func(at string, v any)
	keys = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, v := range v {
				if strings.ToLower(k) != k {
					t.Errorf("%s.%s is not snake_case", at, k)
				}
				keys(at+"."+k, v)
			}
		case []any:
			for _, v := range v {
				keys(at+"[]", v)
			}
		}
	}
	var raw any
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	keys("", raw)
	for _, want := range []string{`"ok":false`, `"heading":{"key":"check.heading.invalid","text":`, `"state":"failed"`, `"ignores_create_only":true`, `"remedy":{"cli":`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
}
