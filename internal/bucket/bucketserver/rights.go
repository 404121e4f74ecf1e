package bucketserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/fault"
)

// rights is an IAM policy document as far as this server understands it: actions and resources with wildcards,
// principals by account or ARN, and the one condition that trust policies need. A document that says more is
// refused, because to pass over a part of a policy is to allow what it forbids.
//
// Source: AWS IAM user guide, JSON policy elements and evaluation logic.
type rights struct{ statements []ruling }

type ruling struct {
	deny       bool
	principals []string // of a trust policy
	actions    []string
	resources  []string
	externalID *[]string // StringEquals on sts:ExternalId; nil: no condition
}

// texts is one string or a list of them.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// parseRights reads a policy document; trust: one that says who may take on a role.
//
// Errors: invalid, for what is not understood.
func parseRights(document string, trust bool) (*rights, error) {
	const op = "read policy"
	var d struct {
		Version   string
		ID        string `json:"Id"`
		Statement []struct {
			Sid       string
			Effect    string
			Principal json.RawMessage
			Action    texts
			Resource  texts
			Condition map[string]map[string]texts
		}
	}
	dec := json.NewDecoder(strings.NewReader(document))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return nil, fault.New(fault.Invalid, op, "this is no policy that is understood here").WithCause(err)
	}
	bad := func(format string, args ...any) (*rights, error) {
		return nil, fault.New(fault.Invalid, op, format, args...)
	}
	if d.Version != "2012-10-17" || len(d.Statement) == 0 {
		return bad("a policy has the version 2012-10-17 and at least one statement")
	}
	r := &rights{}
	for i, s := range d.Statement {
		rule := ruling{deny: s.Effect == "Deny", actions: s.Action, resources: s.Resource}
		switch {
		case s.Effect != "Allow" && s.Effect != "Deny":
			return bad("statement %d has the effect %q", i+1, s.Effect)
		case len(s.Action) == 0:
			return bad("statement %d names no action", i+1)
		case trust != (len(s.Principal) > 0), trust == (len(s.Resource) > 0):
			return bad("statement %d: a trust policy names principals, any other policy resources", i+1)
		}
		if trust {
			var err error
			if rule.principals, err = parsePrincipals(s.Principal); err != nil {
				return nil, err
			}
		}
		for operator, keys := range s.Condition {
			for key, values := range keys {
				if operator != "StringEquals" || !strings.EqualFold(key, "sts:ExternalId") || rule.externalID != nil {
					return bad("statement %d has the condition %s on %s; only StringEquals on sts:ExternalId is understood", i+1, operator, key)
				}
				rule.externalID = (*[]string)(&values)
			}
		}
		r.statements = append(r.statements, rule)
	}
	return r, nil
}

func parsePrincipals(raw json.RawMessage) ([]string, error) {
	if bytes.Equal(raw, []byte(`"*"`)) {
		return []string{"*"}, nil
	}
	var p struct{ AWS texts }
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil || len(p.AWS) == 0 {
		return nil, fault.New(fault.Invalid, "read policy", "a principal is \"*\" or AWS accounts and ARNs").WithCause(err)
	}
	return p.AWS, nil
}

// allow tells whether action may be done on resource. A nil receiver allows everything.
func (r *rights) allow(action, resource string) bool {
	if r == nil {
		return true
	}
	return r.decide(func(s ruling) bool {
		return s.externalID == nil && s.names(action) &&
			slices.ContainsFunc(s.resources, func(p string) bool { return wild(p, resource) })
	})
}

// trusts tells whether who may take the role on with externalID; "" is none.
func (r *rights) trusts(who caller, externalID string) bool {
	return r.decide(func(s ruling) bool {
		if s.externalID != nil && (externalID == "" || !slices.Contains(*s.externalID, externalID)) {
			return false
		}
		return s.names("sts:AssumeRole") && slices.ContainsFunc(s.principals, who.is)
	})
}

// decide: what nobody allows is denied, and a denial wins.
func (r *rights) decide(applies func(ruling) bool) bool {
	allowed := false
	for _, s := range r.statements {
		if !applies(s) {
			continue
		}
		if s.deny {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s ruling) names(action string) bool {
	return slices.ContainsFunc(s.actions, func(p string) bool { return wild(strings.ToLower(p), strings.ToLower(action)) })
}

// wild matches s against a pattern in which * stands for any text and ? for one byte, in time that does not explode
// with the number of stars: only the last one met is ever gone back to.
func wild(pattern, s string) bool {
	p, i, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// caller is who signed a request.
type caller struct {
	account string
	arn     string // of the user, or of the session of a role
	role    string // ARN of the role of a session; else empty
	id      string // unique id, as GetCallerIdentity shows it
	rights  *rights
}

// is tells whether a principal of a trust policy means c.
func (c caller) is(principal string) bool {
	switch principal {
	case "*", c.account, c.arn:
		return true
	case "arn:" + partitionOf(c.arn) + ":iam::" + c.account + ":root":
		return true
	}
	return c.role != "" && principal == c.role
}

// denied is the sentence with which AWS refuses.
func (c caller) denied(action, resource string) string {
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s", c.arn, action, resource)
}

// arnParts gives partition, account and last part of arn:PARTITION:iam::ACCOUNT:KIND/PATH/NAME.
func arnParts(arn, kind string) (partition, account, name string, ok bool) {
	p := strings.SplitN(arn, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[2] != "iam" || p[3] != "" || len(p[4]) != 12 || strings.Trim(p[4], "0123456789") != "" {
		return "", "", "", false
	}
	path, ok := strings.CutPrefix(p[5], kind+"/")
	name = path[strings.LastIndexByte(path, '/')+1:]
	return p[1], p[4], name, ok && name != ""
}

func partitionOf(arn string) string {
	if p := strings.SplitN(arn, ":", 3); len(p) == 3 {
		return p[1]
	}
	return "aws"
}
