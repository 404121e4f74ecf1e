package web

import (
	"cmp"
	"net/http"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

// policyRoutes are about what a customer's account has to allow.
func (a *api) policyRoutes() []route {
	const group = "policies"
	return []route{
		{name: "getPolicy", method: http.MethodGet, path: "/workspaces/{workspace}/policies/{kind}", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Gives the IAM policy that a bucket needs, filled in.", op: op(a.getPolicy)},
		{name: "getTrust", method: http.MethodGet, path: "/workspaces/{workspace}/trust", right: control.RightView, group: group, status: http.StatusOK,
			summary: "Gives what a role has to trust: account, external id, policy.", op: op(a.getTrust)},
	}
}

type policyIn struct {
	Kind   string `path:"kind" enum:"currents,exports,both" doc:"What the bucket is used for."`
	Bucket string `query:"bucket,required"`
	Method string `query:"method" enum:",key,role" doc:"How the customer lets us in; key if it is left out."`
	Format string `query:"format" enum:",json,cli,terraform,cloudformation" doc:"json if it is left out."`
	Folder string `query:"folder" doc:"With strict: objects of this folder only."`
	Strict bool   `query:"strict" doc:"The tight form where the vendor's is loose."`
}

func (a *api) getPolicy(c *call, in policyIn) (client.Policy, error) {
	p := bucket.PolicyInput{Kind: bucket.Kind(in.Kind), Method: bucket.Method(in.Method), Bucket: in.Bucket, Folder: in.Folder, Strict: in.Strict}
	if p.Method == bucket.RoleMethod {
		switch err := a.fillIn(c, &p); {
		case fault.Is(err, fault.Unavailable) && cmp.Or(in.Format, string(bucket.JSON)) == string(bucket.JSON):
			p.ExternalIDs = nil // the document names neither
		case err != nil:
			return client.Policy{}, err
		}
	}
	return render(p, in.Format)
}

func render(in bucket.PolicyInput, format string) (client.Policy, error) {
	p, err := bucket.NewPolicy(in)
	if err != nil {
		return client.Policy{}, err
	}
	out := client.Policy{Format: cmp.Or(format, string(bucket.JSON))}
	for _, w := range p.Warnings {
		out.Warnings = append(out.Warnings, w.Text)
	}
	out.Text, err = p.Render(bucket.Format(out.Format))
	return out, err
}

// fillIn gives in the ids of the workspace's roles. Errors: unavailable if the installation's account is not known.
func (a *api) fillIn(c *call, in *bucket.PolicyInput) (err error) {
	if in.ExternalIDs, err = a.deps.Plane.ExternalIDs(c, c.workspace.Number, *in); err == nil {
		in.AccountID, err = a.deps.Account(c)
	}
	return err
}

type trustIn struct {
	Integration string `query:"integration" enum:",currents,exports" doc:"What the role is for; currents if it is left out."`
	Format      string `query:"format" enum:",json,cli,terraform,cloudformation" doc:"json if it is left out."`
}

func (a *api) getTrust(c *call, in trustIn) (client.Trust, error) {
	p := bucket.PolicyInput{Kind: bucket.Trust, For: bucket.Kind(cmp.Or(in.Integration, string(bucket.Currents)))}
	err := a.fillIn(c, &p)
	if err != nil && !fault.Is(err, fault.Unavailable) {
		return client.Trust{}, err
	}
	out := client.Trust{AccountID: p.AccountID, ExternalID: p.ExternalIDs[0], Integration: string(p.For)}
	if err != nil { // nobody can trust an account that is not known
		return out, nil
	}
	text, err := render(p, in.Format)
	out.Policy = text.Text
	return out, err
}
