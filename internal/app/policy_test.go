package app

import (
	"strings"
	"testing"
)

// Each integration's role has a name of its own and asks for its own external id; one for both asks for either.
func TestATrustPolicyIsForAnIntegration(t *testing.T) {
	w := newWorld(t)
	if _, err := w.apply("workspaces: [{name: acme}]"); err != nil {
		t.Fatal(Sentence(err))
	}
	trust := func(what, format string) string {
		return w.must(Policy{Kind: "trust", For: what, Method: "key", Workspace: "acme", AccountID: "111122223333", Format: format})
	}
	id := func(text string) string {
		_, rest, _ := strings.Cut(text, `"sts:ExternalId":"`)
		id, _, _ := strings.Cut(rest, `"`)
		return id
	}
	currents, exports, both := trust("", "cli"), trust("exports", "cli"), trust("both", "cli")
	if id(currents) == "" || id(currents) == id(exports) {
		t.Errorf("the external ids are %q and %q", id(currents), id(exports))
	}
	if !strings.Contains(both, `"`+id(currents)+`","`+id(exports)+`"`) {
		t.Errorf("a role for both asks for another id:\n%s", both)
	}
	if byKind := w.must(Policy{Kind: "both", Bucket: "acme", Method: "role", Workspace: "acme", AccountID: "111122223333", Format: "cli"}); !strings.HasPrefix(byKind, strings.SplitAfter(both, "\n")[0]) {
		t.Errorf("policy both trusts otherwise than policy trust --for both:\n%s", byKind)
	}
	for name, text := range map[string]string{"millrace-currents": currents, "millrace-exports": exports, "millrace-both": both} {
		if !strings.HasPrefix(text, "aws iam create-role --role-name "+name+" ") {
			t.Errorf("not the role %s:\n%s", name, text)
		}
	}
	for what, name := range map[string]string{"": "millrace-currents", "exports": "millrace-exports"} {
		if text := trust(what, "terraform"); !strings.Contains(text, `name               = "`+name+`"`) {
			t.Errorf("not the role %s:\n%s", name, text)
		}
	}
}

func TestAFlagThatAPolicyDoesNotUseIsToldOf(t *testing.T) {
	w := newWorld(t)
	ids := func(p Policy) Policy {
		p.Format, p.AccountID, p.ExternalID = "json", "111122223333", "an-id"
		return p
	}
	for want, cmd := range map[string]Policy{
		"--bucket":    ids(Policy{Kind: "trust", Method: "key", Bucket: "acme"}),
		"--for":       ids(Policy{Kind: "both", Method: "role", Bucket: "acme", For: "exports"}),
		"--folder":    ids(Policy{Kind: "currents", Method: "role", Bucket: "acme", Folder: "a"}),
		"--workspace": {Kind: "currents", Method: "key", Bucket: "acme", Workspace: "acme", Format: "json"},
		"":            ids(Policy{Kind: "trust", Method: "key", For: "exports"}),
	} {
		w.must(cmd)
		if n := strings.Count(w.noted, "warning:"); n > 1 || n != len(strings.Fields(want)) || !strings.Contains(w.noted, want) {
			t.Errorf("%+v: want one warning of %q, got %q", cmd, want, w.noted)
		}
	}
}
