package bucket

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/millrace/millrace/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestPolicyGolden(t *testing.T) {
	ids := PolicyInput{AccountID: "123456789012", ExternalIDs: []string{"65f0c0ffee"}}
	role := func(k Kind) PolicyInput {
		in := ids
		in.Kind, in.Method, in.Bucket = k, RoleMethod, "acme-data"
		if k == Both {
			in.ExternalIDs = []string{"65f0c0ffee", "5ca1ab1e"}
		}
		return in
	}
	for name, in := range map[string]PolicyInput{
		"currents-key":       {Kind: Currents, Bucket: "acme-data"},
		"currents-role":      role(Currents),
		"currents-strict":    {Kind: Currents, Bucket: "acme-data", Folder: "/currents/", Strict: true},
		"exports-key":        {Kind: Exports, Bucket: "acme-data"},
		"exports-key-strict": {Kind: Exports, Bucket: "acme-data", Strict: true},
		"exports-role":       role(Exports),
		"both-key":           {Kind: Both, Bucket: "acme-data"},
		"both-role":          role(Both),
		"trust":              {Kind: Trust, AccountID: ids.AccountID, ExternalIDs: ids.ExternalIDs},
		"trust-exports":      {Kind: Trust, For: Exports, AccountID: ids.AccountID, ExternalIDs: ids.ExternalIDs},
	} {
		p, err := NewPolicy(in)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for format, ext := range map[Format]string{JSON: ".json", CLI: ".sh", Terraform: ".tf", CloudFormation: ".yaml"} {
			got, err := p.Render(format)
			if err != nil {
				t.Fatalf("%s as %s: %v", name, format, err)
			}
			file := filepath.Join("testdata", "policy", name+ext)
			if *update {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs from what it was; -update writes it anew:\n%s", file, got)
			}
			checkFormat(t, name, p, format, got)
		}
		if loose := len(p.Warnings) == 1; loose != (name == "exports-key") {
			t.Errorf("%s: warnings %v", name, p.Warnings)
		}
	}
}

// checkFormat parses what was printed and compares the documents in it.
func checkFormat(t *testing.T, name string, p Policy, format Format, text string) {
	t.Helper()
	var want any
	if err := json.Unmarshal([]byte(p.JSON()), &want); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	switch format {
	case CLI:
		parts := strings.Split(text, "'")
		if len(parts) < 3 || !sameJSON(parts[len(parts)-2], want) {
			t.Errorf("%s: the last document in the commands is another: %s", name, text)
		}
	case Terraform:
		parts := strings.Split(text, "JSON\n")
		if len(parts) < 3 || !sameJSON(parts[len(parts)-2], want) {
			t.Errorf("%s: the last document for Terraform is another: %s", name, text)
		}
	case CloudFormation:
		var doc struct {
			Resources map[string]struct {
				Type       string
				Properties struct {
					AssumeRolePolicyDocument any `yaml:"AssumeRolePolicyDocument"`
					Policies                 []struct {
						PolicyDocument any `yaml:"PolicyDocument"`
					} `yaml:"Policies"`
				} `yaml:"Properties"`
			} `yaml:"Resources"`
		}
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		for _, r := range doc.Resources {
			got := r.Properties.AssumeRolePolicyDocument
			if len(r.Properties.Policies) > 0 {
				got = r.Properties.Policies[0].PolicyDocument
			}
			raw, err := json.Marshal(got)
			if err != nil || !sameJSON(string(raw), want) {
				t.Errorf("%s: the template holds %s", name, raw)
			}
		}
		if len(doc.Resources) != 1 {
			t.Errorf("%s: %d resources", name, len(doc.Resources))
		}
	}
}

func sameJSON(text string, want any) bool {
	text = strings.TrimSpace(text)
	var got any
	return json.Unmarshal([]byte(text), &got) == nil && reflect.DeepEqual(got, want)
}

// The documents as the vendor prints them.
func TestPoliciesAreTheVendors(t *testing.T) {
	for _, tt := range []struct {
		in   PolicyInput
		want string
	}{
		{PolicyInput{Kind: Currents}, `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME"]},
 {"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME/*"]}]}`},
		{PolicyInput{Kind: Exports}, `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME"]},
 {"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME*","arn:aws:s3:::INSERTBUCKETNAME/","arn:aws:s3:::INSERTBUCKETNAME"]}]}`},
		{PolicyInput{Kind: Exports, Method: RoleMethod}, `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME"]},
 {"Effect":"Allow","Action":["s3:PutObject","s3:GetObject","s3:DeleteObject"],"Resource":["arn:aws:s3:::INSERTBUCKETNAME/*"]}]}`},
	} {
		tt.in.Bucket = "acme"
		p, err := NewPolicy(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal([]byte(strings.ReplaceAll(tt.want, "INSERTBUCKETNAME", "acme")), &want); err != nil {
			t.Fatal(err)
		}
		if !sameJSON(p.JSON(), want) {
			t.Errorf("%+v:\n%s", tt.in, p.JSON())
		}
	}
}

func TestPolicyProblems(t *testing.T) {
	for _, tt := range []struct {
		in     PolicyInput
		fields string
	}{
		{PolicyInput{}, "kind"},
		{PolicyInput{Kind: "all", Method: "x", Partition: "y", Folder: "a//b"}, "kind method partition folder"},
		{PolicyInput{Kind: Currents}, "bucket"},
		{PolicyInput{Kind: Currents, Bucket: "acme", Folder: "a*", Strict: true}, "folder"},
		{PolicyInput{Kind: Trust}, "account_id external_id"},
		{PolicyInput{Kind: Trust, For: "all", AccountID: "12", ExternalIDs: []string{"good", `a"b`}}, "for account_id external_id"},
		{PolicyInput{Kind: Both, Bucket: "acme", Method: RoleMethod, AccountID: "123456789012"}, "external_id"},
	} {
		_, err := NewPolicy(tt.in)
		var fields []string
		if f := fault.As(err); f != nil {
			for _, p := range f.Fields {
				fields = append(fields, p.Field)
			}
		}
		if got := strings.Join(fields, " "); got != tt.fields {
			t.Errorf("%+v: problems of %q, want %q", tt.in, got, tt.fields)
		}
	}
	p, err := NewPolicy(PolicyInput{Kind: Currents, Method: RoleMethod, Bucket: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []Format{CLI, Terraform, CloudFormation, "xml"} {
		if text, err := p.Render(f); !fault.Is(err, fault.Invalid) {
			t.Errorf("a role without ids was printed as %s: %s", f, text)
		}
	}
	if _, err := p.Render(JSON); err != nil {
		t.Errorf("the document alone needs no ids: %v", err)
	}
}

func TestARoleSaysItsPartition(t *testing.T) {
	a := Access{Bucket: "b.c-d", RoleARN: "arn:aws-cn:iam::210987654321:role/r", ExternalID: "id"}
	if got := encode(grant("s3:PutObject", a), "", ""); got != `{"Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws-cn:s3:::b.c-d/*"]}` {
		t.Error(got)
	}
	r := grants(grant("s3:PutObject", a), a)
	if got := r[Terraform]; !strings.HasPrefix(got, "resource \"aws_iam_role_policy\" \"millrace_b_c_d_s3_putobject\" {\n") {
		t.Error(got)
	}
	if got := trusting(a, "123456789012")[JSON]; !strings.Contains(got, "arn:aws-cn:iam::123456789012:root") {
		t.Error(got)
	}
	if got := trusting(a, ""); got != nil {
		t.Error(got)
	}
}

func TestPartitionOfARegion(t *testing.T) {
	for region, want := range map[string]string{"": "aws", "eu-west-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov"} {
		if got := partition(region); got != want {
			t.Errorf("%q: %s", region, got)
		}
	}
	if got := encode(grant("s3:PutObject", Access{Bucket: "b", Region: "cn-north-1"}), "", ""); got != `{"Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws-cn:s3:::b/*"]}` {
		t.Error(got)
	}
}
