package app

import (
	"context"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
)

// Policy prints what a customer's bucket has to allow.
type Policy struct {
	Kind       string `arg:"" enum:"currents,exports,both,trust" help:"What the bucket is used for: currents, exports or both; or trust, the trust policy of a role."`
	Bucket     string `placeholder:"NAME" help:"The bucket. Needed except for trust, which says who may take on a role and not what it opens."`
	Folder     string `placeholder:"PATH" help:"With --strict: only objects of this folder."`
	Method     string `enum:"key,role" default:"key" help:"How the customer lets us in: key (secret access key) or role (role ARN)."`
	Workspace  string `placeholder:"NAME" help:"Fill in account id and external id for this workspace of the data folder."`
	AccountID  string `name:"account-id" placeholder:"ID" help:"AWS account of this installation, for roles; default: the setting aws_account_id."`
	ExternalID string `name:"external-id" placeholder:"ID" help:"External id of the workspace, for roles; --workspace looks it up."`
	For        string `enum:"currents,exports,both," default:"" help:"What the role of a trust policy is for: currents (default), exports or both. Each has an external id of its own, and a role a name."`
	Format     string `enum:"json,cli,terraform,cloudformation" default:"json" help:"json, cli, terraform or cloudformation."`
	Strict     bool   `help:"The tight form where the vendor's is loose."`
}

// Help teaches.
func (Policy) Help() string {
	return `Millrace works with exactly these rights and nothing more. For Currents: s3:ListBucket and s3:GetBucketLocation on the bucket, to find its region and what was written before; s3:PutObject and s3:GetObject on its objects, to write files and, after errors, to look what they hold. Exports delete too.

    millrace policy currents --bucket acme-currents
    millrace policy currents --bucket acme-currents --format terraform
    millrace policy trust --workspace acme
    millrace policy trust --account-id 123456789012 --external-id EXTERNAL-ID

The external id is made by Millrace, one for each workspace and integration, and never changes: a role's trust policy has to ask for it; a role for both asks for either. The account id is that of the credentials by which this installation takes roles on; --workspace looks both up.

"exports --method key" is the vendor's text, whose resource NAME* opens other buckets too; --strict prints the tight form.`
}

// Run prints.
func (cmd Policy) Run(ctx context.Context, c *Console, s Settings) error {
	if cmd.Bucket == "" && cmd.Kind != string(bucket.Trust) {
		return Usage("--bucket is missing", "millrace policy --help shows how it is used")
	}
	in := bucket.PolicyInput{
		Kind: bucket.Kind(cmd.Kind), Method: bucket.Method(cmd.Method), Bucket: cmd.Bucket, Folder: cmd.Folder,
		For: bucket.Kind(cmd.For), Strict: cmd.Strict,
	}
	trust := in.Kind == bucket.Trust
	byRole := trust || in.Method == bucket.RoleMethod
	for _, w := range []struct {
		idle      bool
		flag, why string
	}{
		{cmd.Folder != "" && !cmd.Strict, "--folder", "without --strict: this policy opens all of the bucket"},
		{cmd.Bucket != "" && trust, "--bucket", "for trust: a trust policy says who may take on the role, not what it opens"},
		{cmd.For != "" && !trust, "--for", "except for trust: what comes first says what the policy is for"},
		{cmd.Workspace+cmd.AccountID+cmd.ExternalID != "" && !byRole, "--workspace, as --account-id and --external-id,", "without --method role: a key needs none of them"},
	} {
		if w.idle {
			c.Note("warning: %s does nothing %s.", w.flag, w.why)
		}
	}
	if byRole {
		if err := cmd.fillIn(ctx, s, &in); err != nil {
			return err
		}
	}
	p, err := bucket.NewPolicy(in)
	if err != nil {
		return err
	}
	text, err := p.Render(bucket.Format(cmd.Format))
	if err != nil {
		return fault.Wrap(err, "policy")
	}
	for _, w := range p.Warnings {
		c.Note("warning: %s Use --strict for it.", w.Text)
	}
	_, err = c.Out.Write([]byte(text))
	return err
}

// fillIn finds the ids of a role: those that the caller gave, else those of the workspace.
func (cmd Policy) fillIn(ctx context.Context, s Settings, in *bucket.PolicyInput) error {
	in.AccountID = cmd.AccountID
	if cmd.ExternalID != "" {
		in.ExternalIDs = []string{cmd.ExternalID}
	}
	if cmd.Workspace == "" {
		if in.AccountID != "" || len(in.ExternalIDs) == 0 {
			return nil
		}
		cfg, err := s.Load()
		if err == nil {
			in.AccountID = cfg.AWS.AccountID
		}
		return err
	}
	p, err := existingPlane(ctx, s)
	if err != nil {
		return err
	}
	defer p.Close() // the commit was synced
	w, err := p.workspace(ctx, cmd.Workspace)
	if err != nil {
		return err
	}
	if in.AccountID == "" {
		if in.AccountID, err = p.opener.Account(ctx); err != nil {
			return err
		}
	}
	if len(in.ExternalIDs) > 0 {
		return nil
	}
	in.ExternalIDs, err = p.rules().ExternalIDs(ctx, w.Number, *in)
	return err
}
