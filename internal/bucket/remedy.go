package bucket

import (
	"fmt"
	"strings"
)

// Remedy is a statement to add, or a trust policy to put in place of the one that is there, in each format:
//
//   - JSON: the statement, or the policy document, itself;
//   - CLI: a command that adds the statement as a policy of its own, beside those that are there; for a trust policy,
//     one that replaces it;
//   - Terraform and CloudFormation: the same as a resource; for a trust policy, the attribute of the role.
//
// Where it cannot be known whose policy it is, the name is USER_NAME; what it is for is never left open.
type Remedy map[Format]string

// grants makes the remedy that adds st to what the user or role of a may do.
func grants(st statement, a Access) Remedy {
	policy := document{Version: "2012-10-17", Statement: []statement{st}}
	// The bucket stands in the name, since a policy of the same name for another bucket would be replaced.
	name := "millrace-" + a.Bucket + "-" + strings.ReplaceAll(st.Action[0], ":", "-")
	label := strings.ToLower(strings.NewReplacer("-", "_", ".", "_").Replace(name))
	kind, who := "user", "USER_NAME"
	if a.ByRole() {
		kind, who = "role", roleName(a.RoleARN)
	}
	property := strings.ToUpper(kind[:1]) + kind[1:]
	return Remedy{
		JSON: encode(st, "", "  ") + "\n",
		CLI:  fmt.Sprintf("aws iam put-%s-policy --%s-name %s --policy-name %s --policy-document '%s'\n", kind, kind, who, name, policy.compact()),
		Terraform: fmt.Sprintf("resource \"aws_iam_%s_policy\" %q {\n  name   = %q\n  %s   = %q\n  policy = <<-JSON\n%s\n  JSON\n}\n",
			kind, label, name, kind, who, policy.indented("    ")),
		// Source: AWS CloudFormation user guide, AWS::IAM::UserPolicy and AWS::IAM::RolePolicy.
		CloudFormation: fmt.Sprintf("Resources:\n  %s:\n    Type: AWS::IAM::%sPolicy\n    Properties:\n      %sName: %s\n      PolicyName: %s\n      PolicyDocument:\n%s\n",
			logicalID(st.Action[0]), property, property, who, name, policy.indented("        ")),
	}
}

// logicalID is what a resource that grants action is called: MillraceS3PutObject.
func logicalID(action string) string {
	service, what, _ := strings.Cut(action, ":")
	return "Millrace" + strings.ToUpper(service[:1]) + service[1:] + what
}

// trusting makes the remedy that lets an installation's account take on the role of a with its external id only.
func trusting(a Access, account string) Remedy {
	p, err := NewPolicy(PolicyInput{Kind: Trust, AccountID: account, ExternalIDs: []string{a.ExternalID}, Partition: a.partition()})
	if err != nil {
		return nil // without an account there is nobody to trust
	}
	return Remedy{
		JSON:           p.JSON(),
		CLI:            fmt.Sprintf("aws iam update-assume-role-policy --role-name %s --policy-document '%s'\n", roleName(a.RoleARN), p.document.compact()),
		Terraform:      "assume_role_policy = <<-JSON\n" + p.document.indented("  ") + "\nJSON\n",
		CloudFormation: "AssumeRolePolicyDocument:\n" + p.document.indented("  ") + "\n",
	}
}

// roleName is the last part of a role's ARN.
func roleName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
