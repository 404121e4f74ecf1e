package page

import (
	"cmp"
	"slices"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/fault"
)

// access is how a bucket is reached, as typed: what the forms of Currents and of data exports have in common.
type access struct {
	integration string // currents, exports
	prefix      string // of its fields' names: "destination."; empty: none

	method                           string // role, key
	role, keyID, secret              string
	bucket, folder, region, endpoint string
	pathStyle                        bool
	secretKept                       bool // a secret is stored, and stays if none is typed
}

// typedAccess reads it from the form that was sent.
func (v *visit) typedAccess(integration, prefix string) access {
	t := func(name string) string { return strings.TrimSpace(v.form(prefix + name)) }
	return access{integration: integration, prefix: prefix, method: v.form("method"), role: t("role_arn"), keyID: t("access_key_id"), secret: t("secret_access_key"),
		bucket: t("bucket"), folder: t("folder"), region: t("region"), endpoint: t("endpoint"), pathStyle: t("path_style") != ""}
}

// wrongMethod refuses a way to sign in that there is none of, so that it is not taken for another.
func (a access) wrongMethod() error {
	if a.method == "role" || a.method == "key" || a.method == "" {
		return nil
	}
	return &fault.Error{Code: fault.Invalid, Fields: []fault.Problem{notOffered("method", a.method)}}
}

// topic gives the name of what helps this integration.
func (a access) topic(name string) string {
	if _, ok := topics[name+"_"+a.integration]; ok {
		return name + "_" + a.integration
	}
	return name
}

// accessField gives a field of it, by its name in the API.
func (v *visit) accessField(a access, problems map[string]string, name, label, value, topic string) field {
	f := field{Name: a.prefix + name, Label: v.t(label), Value: value, Error: problems[a.prefix+name], Mono: true}
	if topic != "" {
		f.Help = v.help(a.topic(topic))
	}
	return f
}

// signIn gives the parts of a form that say how to sign in. Of the two ways the one that is chosen shows.
func (v *visit) signIn(a access, problems map[string]string) ([]part, error) {
	trust, err := v.api.GetTrust(v, v.place.Workspace, a.integration, "")
	if err != nil {
		return nil, v.said(err)
	}
	role := v.accessField(a, problems, "role_arn", "page.role_arn", a.role, "role")
	role.Placeholder = "arn:aws:iam::123456789012:role/millrace-" + a.integration
	key := v.accessField(a, problems, "access_key_id", "page.access_key_id", a.keyID, "key")
	hidden := v.accessField(a, problems, "secret_access_key", "page.secret_access_key", "", "secret")
	hidden.Type, hidden.Autocomplete = "password", "off"
	if a.secretKept {
		hidden.Hint = v.t("page.secret_kept")
	}
	parts := []part{{Choices: &choices{Name: "method", Legend: v.t("page.method"), Error: problems["method"], Help: v.help("method"), Options: []choice{
		{"role", v.t("page.method_role"), v.t("page.method_role_text"), a.method == "role"},
		{"key", v.t("page.method_key"), v.t("page.method_key_text"), a.method != "role"},
	}}}}
	asRole := func(p part) { p.When = "role"; parts = append(parts, p) }
	if trust.AccountID == "" {
		asRole(part{Banner: &banner{Tone: warn, Icon: "triangle-alert", Title: v.t("page.no_account"), Texts: []string{v.t("page.no_account_text")}}})
	} else {
		asRole(part{Line: &line{"account-id", v.t("page.account_id"), trust.AccountID}, Help: v.help("account")})
	}
	asRole(part{Line: &line{"external-id", v.t("page.external_id"), trust.ExternalID}, Help: v.help("external_id")})
	if trust.Policy != "" {
		policy, err := v.trustIn(a)
		if err != nil {
			return nil, err
		}
		asRole(part{Fold: &fold{Title: v.t("page.trust_policy"), Parts: []part{{Formats: policy, Help: v.help("trust")}}}})
	}
	asRole(part{Field: &role})
	return append(parts, part{When: "key", Field: &key}, part{When: "key", Field: &hidden}), nil
}

// trustIn gives the trust policy in every format.
func (v *visit) trustIn(a access) (*formatted, error) {
	out := &formatted{Name: "format-trust", Legend: v.t("page.trust_policy")}
	chosen := cmp.Or(v.form(out.Name), formats[0].name)
	for _, x := range formats {
		t, err := v.api.GetTrust(v, v.place.Workspace, a.integration, x.name)
		if err != nil {
			return nil, v.said(err)
		}
		out.Items = append(out.Items, formattedItem{x.name, x.name == chosen, code{"trust-" + x.name, x.text, t.Policy}})
	}
	return out, nil
}

// store gives the parts of a form for stores that are compatible with S3.
func (v *visit) store(a access, problems map[string]string) []part {
	endpoint := v.accessField(a, problems, "endpoint", "page.endpoint", a.endpoint, "endpoint")
	endpoint.Placeholder = "https://storage.example.com"
	region := v.accessField(a, problems, "region", "page.region", a.region, "region")
	return []part{{Field: &endpoint}, {Check: &check{Name: a.prefix + "path_style", Label: v.t("page.path_style"), Hint: v.t("page.path_style_hint"), On: a.pathStyle}}, {Field: &region}}
}

// pasted is the id of the part of a form that is made anew while the bucket is typed.
const pasted = "paste"

// paste gives the policy that the bucket needs, for whichever way of signing in is chosen. path is where files will be;
// empty: that is not said.
func (v *visit) paste(a access, path string) (part, error) {
	out := live{ID: pasted}
	made := false
	for _, method := range []string{"role", "key"} {
		// The vendor's form of an export's policy for keys opens other buckets too: the tight one stands first.
		loose := a.integration == "exports" && method == "key"
		tight, err := v.policies(a, client.PolicyFor{Method: method, Strict: loose})
		if err != nil {
			return part{}, err
		}
		if tight == nil {
			continue
		}
		made = true
		out.Parts = append(out.Parts, part{When: method, Formats: tight, Help: v.help(a.topic("policy"))})
		if loose {
			p, err := v.api.GetPolicy(v, v.place.Workspace, a.integration, client.PolicyFor{Bucket: a.bucket, Method: method})
			if err != nil {
				return part{}, v.said(err)
			}
			out.Parts = append(out.Parts, part{When: method, Fold: &fold{Title: v.t("page.policy_loose"), Parts: []part{
				{Banner: &banner{Tone: warn, Icon: "triangle-alert", Title: v.t("page.policy_wide", "bucket", a.bucket), Texts: []string{v.t("page.policy_wide_text")}}},
				{Code: &code{"policy-loose", "JSON", p.Text}},
			}}})
		}
	}
	switch {
	case made && path != "":
		out.Parts = slices.Insert(out.Parts, 0, part{Line: &line{"files-at", v.t("page.files_at"), path}})
	case !made:
		out.Parts = append(out.Parts, part{Text: v.t("page.policy_later")})
	}
	return part{Live: &out}, nil
}

// policies gives a policy in every format that it can be had in; nil while there is no bucket that could have one. What
// is wrong with the bucket's name is said once the form is sent.
func (v *visit) policies(a access, f client.PolicyFor) (*formatted, error) {
	if f.Bucket = a.bucket; f.Bucket == "" {
		return nil, nil
	}
	out := &formatted{Name: "format-" + f.Method, Legend: v.t("page.policy_for", "bucket", a.bucket)}
	chosen := cmp.Or(v.form(out.Name), formats[0].name)
	for _, x := range formats {
		f.Format = x.name
		p, err := v.api.GetPolicy(v, v.place.Workspace, a.integration, f)
		switch err = v.said(err); {
		case err == nil:
			out.Items = append(out.Items, formattedItem{x.name, x.name == chosen, code{"policy-" + f.Method + "-" + x.name, x.text, p.Text}})
		case fault.Is(err, fault.Invalid):
			return nil, nil
		case !fault.Is(err, fault.Unavailable): // which formats that name the account are, while it is not known
			return nil, err
		}
	}
	return out, nil
}
