package bucket

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/fault"
)

// Kind is what a bucket is used for; policies and checks follow from it.
type Kind string

// The kinds. Both and Trust are policies only.
const (
	Currents Kind = "currents" // continuous delivery: list, locate, put, get
	Exports  Kind = "exports"  // data exports: also delete
	Both     Kind = "both"     // one policy that serves the two
	Trust    Kind = "trust"    // who may take on a role, for the role method
)

// Method is how a customer lets us in.
type Method string

// The methods.
const (
	KeyMethod  Method = "key"  // a user's secret access key
	RoleMethod Method = "role" // a role that is assumed with an external id
)

// Format is how a policy is printed.
type Format string

// The formats.
const (
	JSON           Format = "json"
	CLI            Format = "cli" // commands of the AWS CLI, for a POSIX shell
	Terraform      Format = "terraform"
	CloudFormation Format = "cloudformation" // YAML
)

// PolicyInput says which policy is wanted.
type PolicyInput struct {
	Kind      Kind
	For       Kind   // with Trust: what the role is for; empty: Currents
	Method    Method // empty: KeyMethod
	Bucket    string // not needed for Trust
	Folder    string // with Strict: objects of this folder only; empty: of the whole bucket
	AccountID string // of the installation; needed for Trust, and for RoleMethod in formats other than JSON
	// ExternalIDs, of which the role asks for one, are needed likewise: that of the integration, or those of Both.
	ExternalIDs []string
	Strict      bool   // the tight form where the vendor's is loose
	Partition   string // of ARNs: aws, aws-cn, aws-us-gov; empty: aws
}

// Policy is an IAM policy document.
type Policy struct {
	in       PolicyInput
	document document
	trust    *document // with RoleMethod, if the ids are known

	// Warnings are to be shown with the policy.
	Warnings []fault.Message
}

type document struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect    string
	Principal map[string]string `json:",omitempty"`
	Action    oneOrMany
	Resource  []string                  `json:",omitempty"`
	Condition map[string]map[string]any `json:",omitempty"` // texts, or lists of them
}

// oneOrMany is written without brackets if it is "one" by convention: only the trust policy's action.
type oneOrMany []string

func (o oneOrMany) MarshalJSON() ([]byte, error) {
	if len(o) == 1 && o[0] == "sts:AssumeRole" {
		return json.Marshal(o[0])
	}
	return json.Marshal([]string(o))
}

var (
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
	externalID = regexp.MustCompile(`^[A-Za-z0-9+=,.@:/_-]{2,1000}$`)
)

// NewPolicy makes the policy that in asks for.
//
// The documents for Currents, for exports with a key and for exports with a role are those that the vendor prints,
// action for action and resource for resource, so that one who has them already need not change anything; Both is
// the last of them, which holds the first. Source: the vendor's page about Amazon S3; for Trust, what the wizard of
// the IAM console makes for another account with an external id.
//
// Errors: invalid, with field problems.
func NewPolicy(in PolicyInput) (Policy, error) {
	if in.Method == "" {
		in.Method = KeyMethod
	}
	if in.Partition == "" {
		in.Partition = "aws"
	}
	var problems []fault.Problem
	unknown := func(field, got, valid string) {
		problems = append(problems, fault.Problem{Field: field, Code: "unknown_value", Message: fmt.Sprintf("%q is none of %s.", got, valid)})
	}
	switch in.Kind {
	case Currents, Exports, Both:
		problems = append(problems, ValidateName("bucket", in.Bucket)...)
	case Trust:
		in.Method = RoleMethod
		in.For = cmp.Or(in.For, Currents)
		if in.For != Currents && in.For != Exports && in.For != Both {
			unknown("for", string(in.For), "currents, exports, both")
		}
	default:
		unknown("kind", string(in.Kind), "currents, exports, both, trust")
	}
	if in.Method != KeyMethod && in.Method != RoleMethod {
		unknown("method", string(in.Method), "key, role")
	}
	if in.Partition != "aws" && in.Partition != "aws-cn" && in.Partition != "aws-us-gov" {
		unknown("partition", in.Partition, "aws, aws-cn, aws-us-gov")
	}
	folder, p := ParseFolder("folder", in.Folder)
	problems = append(problems, p...)
	if strings.ContainsAny(folder, "*?$%'\"\\") && in.Strict {
		problems = append(problems, fault.Field("folder", "invalid", "field.folder_policy", "A policy cannot name a folder with one of * ? $ % ' \" and the backslash."))
	}
	in.Folder = folder
	given := in.AccountID != "" || len(in.ExternalIDs) > 0
	if in.Kind == Trust || given {
		if !accountID.MatchString(in.AccountID) {
			problems = append(problems, fault.Field("account_id", "invalid", "field.account_id", "An AWS account id has 12 digits."))
		}
		if len(in.ExternalIDs) == 0 || slices.ContainsFunc(in.ExternalIDs, func(id string) bool { return !externalID.MatchString(id) }) {
			problems = append(problems, fault.Field("external_id", "invalid", "field.external_id", "An external id has 2 to 1,000 letters, digits and signs out of + = , . @ : / _ -."))
		}
	}
	if len(problems) > 0 {
		return Policy{}, &fault.Error{Code: fault.Invalid, Op: "make policy", Fields: problems}
	}

	pol := Policy{in: in}
	if in.Method == RoleMethod && given {
		var ids any = in.ExternalIDs
		if len(in.ExternalIDs) == 1 {
			ids = in.ExternalIDs[0]
		}
		pol.trust = &document{Version: "2012-10-17", Statement: []statement{{
			Effect:    "Allow",
			Principal: map[string]string{"AWS": "arn:" + in.Partition + ":iam::" + in.AccountID + ":root"},
			Action:    oneOrMany{"sts:AssumeRole"},
			Condition: map[string]map[string]any{"StringEquals": {"sts:ExternalId": ids}},
		}}}
	}
	if in.Kind == Trust {
		pol.document = *pol.trust
		return pol, nil
	}
	arn := "arn:" + in.Partition + ":s3:::" + in.Bucket
	objects := arn + "/*"
	if in.Strict && folder != "" {
		objects = arn + "/" + folder + "/*"
	}
	about := statement{Effect: "Allow", Action: oneOrMany{"s3:ListBucket", "s3:GetBucketLocation"}, Resource: []string{arn}}
	inside := statement{Effect: "Allow", Action: oneOrMany{"s3:PutObject", "s3:GetObject"}, Resource: []string{objects}}
	switch {
	case in.Kind == Exports && in.Method == KeyMethod && !in.Strict:
		inside.Action = oneOrMany{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
		inside.Resource = []string{arn + "*", arn + "/", arn}
		pol.Warnings = append(pol.Warnings, fault.Message{
			Key:  "policy.loose",
			Text: "The resource " + arn + "* also opens every other bucket whose name begins with " + in.Bucket + ". The strict form names this bucket only.",
		})
	case in.Kind != Currents:
		inside.Action = append(inside.Action, "s3:DeleteObject")
	}
	pol.document = document{Version: "2012-10-17", Statement: []statement{about, inside}}
	return pol, nil
}

// JSON is the document itself, indented, with a line feed at its end.
func (p Policy) JSON() string { return p.document.indented("") + "\n" }

// Render prints the policy in a format.
//
// Errors: invalid for an unknown format, and for a role whose ids were not given: without them nobody could take
// the role on, or anybody.
func (p Policy) Render(f Format) (string, error) {
	switch f {
	case JSON:
		return p.JSON(), nil
	case CLI, Terraform, CloudFormation:
	default:
		return "", &fault.Error{Code: fault.Invalid, Op: "print policy", Fields: []fault.Problem{{
			Field: "format", Code: "unknown_value", Message: fmt.Sprintf("%q is none of json, cli, terraform, cloudformation.", f),
		}}}
	}
	if p.in.Method == RoleMethod && p.trust == nil {
		return "", &fault.Error{Code: fault.Invalid, Op: "print policy", Fields: []fault.Problem{
			{Field: "account_id", Code: "required", Message: "The account id is needed: it says who may take on the role."},
			{Field: "external_id", Code: "required", Message: "The external id is needed: it keeps others with the same account from using the role."},
		}}
	}
	switch f {
	case CLI:
		return p.cli(), nil
	case Terraform:
		return p.terraform(), nil
	}
	return p.cloudFormation(), nil
}

// name is what user, role and policy are called: each integration's differently, so that one does not take the
// other's place.
func (p Policy) name() string { return "millrace-" + string(p.use()) }

// use is what user or role are for.
func (p Policy) use() Kind {
	if p.in.Kind == Trust {
		return p.in.For
	}
	return p.in.Kind
}

func (p Policy) cli() string {
	var b strings.Builder
	name := p.name()
	if p.in.Method == RoleMethod {
		fmt.Fprintf(&b, "aws iam create-role --role-name %s --assume-role-policy-document '%s'\n", name, p.trust.compact())
		if p.in.Kind != Trust {
			fmt.Fprintf(&b, "aws iam put-role-policy --role-name %s --policy-name %s --policy-document '%s'\n", name, name, p.document.compact())
		}
		fmt.Fprintf(&b, "aws iam get-role --role-name %s --query Role.Arn --output text\n", name)
		return b.String()
	}
	fmt.Fprintf(&b, "aws iam create-user --user-name %s\n", name)
	fmt.Fprintf(&b, "aws iam put-user-policy --user-name %s --policy-name %s --policy-document '%s'\n", name, name, p.document.compact())
	fmt.Fprintf(&b, "aws iam create-access-key --user-name %s\n", name)
	return b.String()
}

func (p Policy) terraform() string {
	var b strings.Builder
	name := p.name()
	label := strings.ReplaceAll(name, "-", "_")
	inline := func(d document) string { return "<<-JSON\n" + d.indented("    ") + "\n  JSON" }
	if p.in.Method == RoleMethod {
		fmt.Fprintf(&b, "resource \"aws_iam_role\" %q {\n  name               = %q\n  assume_role_policy = %s\n}\n", label, name, inline(*p.trust))
		if p.in.Kind != Trust {
			fmt.Fprintf(&b, "\nresource \"aws_iam_role_policy\" %q {\n  name   = %q\n  role   = aws_iam_role.%s.name\n  policy = %s\n}\n", label, name, label, inline(p.document))
		}
		fmt.Fprintf(&b, "\noutput \"role_arn\" {\n  value = aws_iam_role.%s.arn\n}\n", label)
		return b.String()
	}
	fmt.Fprintf(&b, "resource \"aws_iam_user\" %q {\n  name = %q\n}\n", label, name)
	fmt.Fprintf(&b, "\nresource \"aws_iam_user_policy\" %q {\n  name   = %q\n  user   = aws_iam_user.%s.name\n  policy = %s\n}\n", label, name, label, inline(p.document))
	fmt.Fprintf(&b, "\n# The access key is left out, since its secret would stand in the state:\n#   aws iam create-access-key --user-name %s\n", name)
	return b.String()
}

func (p Policy) cloudFormation() string {
	var b strings.Builder
	id := "Millrace" + strings.ToUpper(string(p.use()[:1])) + string(p.use()[1:])
	b.WriteString("AWSTemplateFormatVersion: \"2010-09-09\"\nResources:\n")
	// JSON is YAML as it stands; inside a block it only must be indented more than what holds it.
	policies := func(at string) {
		fmt.Fprintf(&b, "%sPolicies:\n%s  - PolicyName: %s\n%s    PolicyDocument:\n%s%s\n", at, at, p.name(), at, at+"      ", p.document.indented(at + "      ")[len(at)+6:])
	}
	if p.in.Method == RoleMethod {
		id += "Role"
		b.WriteString("  " + id + ":\n    Type: AWS::IAM::Role\n    Properties:\n      AssumeRolePolicyDocument:\n")
		b.WriteString(p.trust.indented("        ") + "\n")
		if p.in.Kind != Trust {
			policies("      ")
		}
		b.WriteString("Outputs:\n  RoleArn:\n    Value: !GetAtt " + id + ".Arn\n")
		return b.String()
	}
	id += "User"
	b.WriteString("  " + id + ":\n    Type: AWS::IAM::User\n    Properties:\n")
	policies("      ")
	b.WriteString("Outputs:\n  UserName:\n    Description: make its access key with \"aws iam create-access-key --user-name\"\n    Value: !Ref " + id + "\n")
	return b.String()
}

// indented is the document with every line after margin.
func (d document) indented(margin string) string { return margin + encode(d, margin, "  ") }

// compact is the document on one line.
func (d document) compact() string { return encode(d, "", "") }

func encode(v any, prefix, indent string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, indent)
	if err := e.Encode(v); err != nil {
		panic(err) // strings, maps of strings: there is nothing that could not be written
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// grant is the one statement that gives action.
func grant(action string, a Access) statement {
	arn := "arn:" + a.partition() + ":s3:::" + a.Bucket
	switch action {
	case "s3:PutObject", "s3:GetObject", "s3:DeleteObject":
		arn += "/*"
	}
	return statement{Effect: "Allow", Action: oneOrMany{action}, Resource: []string{arn}}
}

// grantKMS is the statement that lets the bucket's encryption key be used. Source: AWS, "SSE-KMS: permissions": a
// write needs GenerateDataKey, a read Decrypt.
func grantKMS(a Access) statement {
	region := a.Region
	if region == "" {
		region = "REGION"
	}
	return statement{
		Effect: "Allow", Action: oneOrMany{"kms:GenerateDataKey", "kms:Decrypt"},
		Resource: []string{"arn:" + a.partition() + ":kms:" + region + ":ACCOUNT_ID:key/KEY_ID"},
	}
}

// partition is the part of AWS that a belongs to: a role says so, a region that is known as well.
func (a Access) partition() string {
	if a.ByRole() {
		return strings.SplitN(a.RoleARN, ":", 3)[1]
	}
	return partition(a.Region)
}

// partition is the part of AWS that a region belongs to.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
